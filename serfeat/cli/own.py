"""Commands of models for your own audio: train, predict, distil."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serfeat.cli.screen import Jobs, Root, app, err, out, print_failures, progress_bars
from serfeat.errors import did_you_mean, printable


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A .toml file, or the name of a shipped recipe.")],
    entry: Annotated[str, typer.Option(help="Name of one of the recipe's entries.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the model.")],
    root: Root = None,
    jobs: Jobs = 0,
) -> None:
    """Train one entry of a recipe on all its recordings and store the model."""
    from serfeat.deploy import train as train_entry
    from serfeat.recipe import find_recipe, read_recipe

    path = find_recipe(recipe)
    read = read_recipe(path)
    entries = {e.name: e for e in read.plan().entries}
    if entry not in entries:
        raise did_you_mean("entry", entry, entries, where=path)
    corpus = read.manifest(path, root=root)
    with progress_bars() as report:
        train_entry(
            corpus,
            entries[entry],
            output,
            dimensions=read.run.dimensions,
            jobs=jobs,
            progress=lambda done, total: report("features", done, total),
        )
    out.print(f"{entry} trained on {len(corpus.rows)} recordings -> {output}", markup=False)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    sources: Annotated[list[Path], typer.Argument(help="Audio files and folders.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help=".parquet or .csv")] = None,
    jobs: Jobs = 1,
) -> None:
    """Print the emotion of each recording, with the probability of every label."""
    from serfeat.deploy import predict as predict_files
    from serfeat.store import write_table

    result = predict_files(model, sources, jobs=jobs)
    labels = [c.removeprefix("p_") for c in result.table.columns if c.startswith("p_")]
    numbers = [] if labels else list(result.table.columns)
    for (file, *_), row in result.table.iterrows():
        chances = "  ".join(f"{label} {row['p_' + label]:.2f}" for label in labels)
        said = row.get("prediction", "  ".join(f"{name} {row[name]:.2f}" for name in numbers))
        typer.echo(f"{printable(file)}\t{said}\t{chances}".rstrip())  # rich would expand the tabs
    if output is not None:
        about = {"licence": result.licence, "trained_on": dict(result.trained_on)}
        write_table(result.table, output, provenance=about)
    print_failures(result.failures)
    for remark in result.remarks:
        err.print(remark, markup=False)
    if result.trained_on["synthetic"]:
        err.print("The model was trained on SYNTHETIC SPEECH: this says nothing about people.")
    if result.failures:
        raise typer.Exit(2)


@app.command()
def distil(
    encoder: Annotated[str, typer.Argument(help="A WavLM: a directory, or a name on the hub.")],
    manifest: Annotated[Path, typer.Argument(help="Manifest of speech; labels are not read.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the student.")],
    layers: Annotated[int, typer.Option(help="Transformer layers of the student.")] = 4,
    epochs: Annotated[int, typer.Option(help="Passes over the speech.")] = 100,
    batch_size: Annotated[int, typer.Option(help="Clips in a step.")] = 32,
    root: Root = None,
) -> None:
    """Compress a WavLM as Vesper does: emotion-guided masks, three losses, no labels."""
    from serfeat.deploy import waveforms
    from serfeat.manifest_csv import read_manifest
    from serfeat.vesper import distil as teach

    heard, failures = waveforms(read_manifest(manifest, root=root, require=()))
    history = teach(encoder, output, heard, n_layers=layers, epochs=epochs, batch_size=batch_size)
    print_failures(failures)
    first, last = history[0]["loss"], history[-1]["loss"]
    out.print(
        f"{len(heard)} clips, loss {first:.4g} -> {last:.4g}; use it as "
        f"--features encoder:{output}@last",
        markup=False,
    )
