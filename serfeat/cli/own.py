"""Commands of models for your own audio: train, predict, distil."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serfeat.cli import words
from serfeat.cli.document import print_json, records
from serfeat.cli.reading import (
    HOUR,
    AllowTruncated,
    Encoding,
    Follow,
    MaxDuration,
    MaxMissing,
    most_missing,
)
from serfeat.cli.screen import (
    AsJson,
    Jobs,
    Quiet,
    Root,
    app,
    err,
    out,
    present,
    print_failures,
    probe,
    progress_bars,
)
from serfeat.errors import did_you_mean, printable

if TYPE_CHECKING:
    from serfeat.deploy import Predictions
    from serfeat.extract import Failure


@app.command(epilog="Example: serfeat train mine.toml --entry svm -o model/")
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A .toml file, or the name of a shipped recipe.", autocompletion=words.recipes
        ),
    ],
    entry: Annotated[
        str,
        typer.Option(help="Name of one of the recipe's entries.", autocompletion=words.entries),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the model.")],
    root: Root = None,
    held_out: Annotated[
        int | None,
        typer.Option(
            min=0,
            show_default="4; 0 for networks and for numbers",
            help="Groups of speakers, each of which a further model is trained without, to learn "
            "when this one should say unknown; 0: none.",
        ),
    ] = None,
    jobs: Jobs = 0,
    max_missing: MaxMissing = "-1",
    max_duration: MaxDuration = HOUR,
    allow_truncated: AllowTruncated = False,
    encoding: Encoding = "utf-8",
    follow: Follow = False,
    quiet: Quiet = False,
) -> None:
    """Train one entry of a recipe on all its recordings and store the model.

    Of several seeds of the recipe it takes the first.
    """
    from serfeat.audio import Limits
    from serfeat.deploy import train as train_entry
    from serfeat.recipe import find_recipe, read_recipe

    most, limits = most_missing(max_missing), Limits(allow_truncated, max_duration)
    path = find_recipe(recipe)
    read = read_recipe(path)
    plan = read.plan()
    entries = {e.name: e for e in plan.entries}
    if entry not in entries:
        raise did_you_mean("entry", entry, entries, where=path)
    probe(output, folder=True)
    corpus = read.manifest(path, root=root, encoding=encoding, follow=follow)
    lost: list[Failure] = []
    with progress_bars(quiet=quiet) as report:
        train_entry(
            corpus,
            entries[entry],
            output,
            dimensions=plan.dimensions,
            seed=plan.seeds[0],
            held_out=held_out,
            jobs=jobs,
            report=report,
            limits=limits,
            max_missing=most,
            failed=lost.extend,
        )
    print_failures(lost)
    heard = len(corpus.rows) - len(lost)
    out.print(f"{entry} trained on {heard} recordings -> {output}", markup=False)


@app.command(epilog="Example: serfeat predict model/ new.wav other_folder/")
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    sources: Annotated[list[Path], typer.Argument(help="Audio files and folders.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help=".parquet or .csv")] = None,
    jobs: Jobs = 1,
    max_duration: MaxDuration = HOUR,
    allow_truncated: AllowTruncated = False,
    follow: Follow = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print the emotion of each recording, with the probability of every label.

    "unknown" stands where the answer should not be believed: the model was wrong more often than
    right with so little confidence, or the recording is unlike its training, as measured on
    speakers whom it had not heard. A model that was trained without such a record (`serfeat train
    --held-out`) knows only recordings that are far from its training. The column prediction is what
    the model says all the same; said is that or "unknown", reason is why.

    With --json: {predictions: [{file, start, end, prediction, said, right, reason, probabilities:
    {label: p}}], failures: [{file, reason, message}], remarks, licence, trained_on}; right is the
    share of such answers that were right on held-out speakers (null: not measured). Of a model of
    numbers, a prediction has a value under each dimension's name instead.
    """
    from serfeat.audio import Limits
    from serfeat.deploy import predict as predict_files
    from serfeat.store import write_table

    limits = Limits(allow_truncated, max_duration)
    for path in (model, *sources):
        present(path)
    if output is not None:
        probe(output, *sources)
    with progress_bars(quiet=quiet) as report:
        result = predict_files(
            model, sources, jobs=jobs, limits=limits, follow=follow,
            progress=lambda done, total: report("clips", done, total),
        )  # fmt: skip
    if as_json:
        print_json(_said(result))
    else:
        _print_predictions(result)
    if output is not None:
        about = {
            "licence": result.licence,
            "trained_on": dict(result.trained_on),
            "limits": result.limits.record,
        }
        write_table(result.table, output, provenance=about)
    print_failures(result.failures)
    for remark in result.remarks:
        err.print(remark, markup=False)
    if result.trained_on["synthetic"]:
        err.print("The model was trained on SYNTHETIC SPEECH: this says nothing about people.")
    if result.failures:
        raise typer.Exit(2)


def _print_predictions(result: Predictions) -> None:
    """Print a line per recording: its name, what is said of it, how likely."""
    labels = [c.removeprefix("p_") for c in result.table.columns if c.startswith("p_")]
    numbers = [] if labels else list(result.table.columns)
    for (file, *_), row in result.table.iterrows():
        chances = "  ".join(f"{label} {row['p_' + label]:.2f}" for label in labels)
        said = row.get("said", "  ".join(f"{name} {row[name]:.2f}" for name in numbers))
        typer.echo(f"{printable(file)}\t{said}\t{chances}".rstrip())  # rich would expand the tabs


def _said(result: Predictions) -> dict[str, Any]:
    """Return predictions for a program."""
    chances = [c for c in result.table.columns if c.startswith("p_")]
    rows = records(result.table)
    for row in rows if chances else ():
        row["probabilities"] = {c.removeprefix("p_"): row.pop(c) for c in chances}
    return {
        "predictions": rows,
        "failures": [
            {"file": f.file, "reason": f.reason, "message": f.message} for f in result.failures
        ],
        "remarks": list(result.remarks),
        "licence": result.licence,
        "trained_on": dict(result.trained_on),
    }


@app.command(epilog="Example: serfeat distil wavlm-base-plus/ speech.csv -o student/")
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
    from serfeat.encoders.vesper import distil as teach
    from serfeat.manifest_csv import read_manifest

    probe(output, folder=True)
    heard, failures = waveforms(read_manifest(manifest, root=root, require=()))
    history = teach(encoder, output, heard, n_layers=layers, epochs=epochs, batch_size=batch_size)
    print_failures(failures)
    first, last = history[0]["loss"], history[-1]["loss"]
    out.print(
        f"{len(heard)} clips, loss {first:.4g} -> {last:.4g}; use it as "
        f"--features encoder:{output}@last",
        markup=False,
    )
