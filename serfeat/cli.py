"""The command line: thin commands over the library.

Every command ends with a line that says what it did and where. An error that serfeat raises on
purpose is one line on standard error and exit code 2, without a traceback (set ``SERFEAT_DEBUG=1``
to see it); an interrupt is exit code 130 and leaves everything resumable. Heavy packages are loaded
by the command that needs them, so that ``serfeat --help`` is quick.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from serfeat import __version__
from serfeat.errors import SerfeatError, did_you_mean, printable
from serfeat.listing import new_table

if TYPE_CHECKING:
    from serfeat.extract import Failure

__all__ = ["app", "main"]

app = typer.Typer(
    name="serfeat",
    help="Speech emotion recognition: features you can trust, comparisons you can believe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Into a pipe or file, rich would wrap tables at 80 columns.
PIPE_WIDTH = shutil.get_terminal_size((160, 40)).columns  # COLUMNS where it is set
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

INTERRUPTED = 130  # as shells report Ctrl-C

Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Processes; 0 uses all cores.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the corpus's audio.")]
Consent = Annotated[
    bool,
    typer.Option(
        "--accept-opensmile-licence", help="openSMILE is for research and private use only."
    ),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code = int(app(args=arguments, standalone_mode=False) or 0)
    except SerfeatError as error:
        if os.environ.get("SERFEAT_DEBUG") == "1":
            raise
        err.print(f"serfeat: {error}", markup=False)
        return 2
    except typer.Exit as stop:
        code = int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        # click's own usage errors (unknown option, missing argument) know how to show themselves
        if (show := getattr(error, "show", None)) is None:
            raise
        show()
        return 2
    if code == INTERRUPTED:
        err.print("serfeat: interrupted; what is done is kept, run the same command to go on")
    return code


def script() -> None:
    """Entry point of the installed command."""
    sys.exit(main())


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(f"serfeat {__version__}")
        raise typer.Exit


# --- what there is --------------------------------------------------------------------------------


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="descriptors, features, functionals, models, protocols, corpora")
    ],
) -> None:
    """Print what there is, with units and sources."""
    from serfeat.listing import LISTS

    if what not in LISTS:
        raise did_you_mean("list", what, LISTS)
    out.print(LISTS[what]())


# --- corpora and manifests ------------------------------------------------------------------------


@app.command()
def corpora() -> None:
    """Print the corpora that serfeat reads: licence, size, how to get each."""
    from serfeat.listing import LISTS

    out.print(LISTS["corpora"]())


@app.command()
def fetch(
    corpus: Annotated[str, typer.Argument(help="Name, see `serfeat corpora`.")],
    folder: Annotated[Path | None, typer.Option("-o", "--output")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licence that is shown.")] = False,
) -> None:
    """Download a corpus: licence first, resumed where it stopped, checksum at the end."""
    from serfeat.corpora import find_corpus
    from serfeat.corpora.fetch import fetch as fetch_corpus

    card = find_corpus(corpus).card
    if card is not None:
        out.print(f"{card.title}\nLicence: {card.licence} {card.licence_url}", markup=False)
    accepted = yes or (sys.stdin.isatty() and typer.confirm("Do you accept this licence?"))
    with _progress() as report:
        place = fetch_corpus(
            corpus,
            folder,
            accept_licence=accepted,
            progress=lambda done, total: report(f"download {corpus} (bytes)", done, total),
        )
    out.print(f"{corpus} is in {place}", markup=False)


@app.command()
def manifest(
    corpus: Annotated[str, typer.Argument(help="Name, see `serfeat corpora`; or `folders`.")],
    root: Annotated[
        Path | None, typer.Argument(help="Its folder; default: in SERFEAT_CORPORA, or as fetched.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV to write.")] = Path(
        "manifest.csv"
    ),
) -> None:
    """Write the manifest of a corpus: one row per recording, with speaker and emotion."""
    from serfeat.corpora import find_root, read_corpus
    from serfeat.manifest_csv import write_manifest

    found = read_corpus(corpus, root or find_root(corpus))
    write_manifest(found, output)
    rows = found.rows
    out.print(
        f"{len(rows)} rows, {rows['speaker'].nunique()} speakers, "
        f"{len(found.labels)} emotions -> {output}",
        markup=False,
    )
    if found.card is not None and not found.card.redistributable:
        out.print(f"The corpus's licence ({found.card.licence}) keeps these rows on your disk.")


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest to check.")],
    root: Root = None,
    full: Annotated[bool, typer.Option(help="Decode every file (duplicates, damage).")] = True,
) -> None:
    """Check a manifest against its audio and its card."""
    from serfeat.corpora.check import check_manifest
    from serfeat.manifest_csv import read_manifest

    result = check_manifest(read_manifest(manifest, root=root), decode="full" if full else "info")
    _print_frame("utterances per speaker and emotion", result.counts)
    for line in result.summary:
        out.print(line, markup=False)
    for line in result.notes:
        out.print(line, markup=False)
    for line in result.warnings:
        out.print(f"warning: {line}", markup=False)
    for line in result.errors:
        err.print(f"error: {line}", markup=False)
    if not result.ok:
        raise typer.Exit(2)
    out.print(f"{manifest}: good", markup=False)


def _print_frame(title: str, frame: Any) -> None:
    table = new_table(str(frame.index.name or ""), *map(str, frame.columns))
    for name, row in frame.iterrows():
        table.add_row(str(name), *map(str, row))
    out.print(title)
    out.print(table)


# --- features -------------------------------------------------------------------------------------


@app.command()
def extract(
    source: Annotated[Path, typer.Argument(help="Manifest, folder of audio, or audio file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet or .csv")],
    features: Annotated[
        str, typer.Option(help="A set of `serfeat list features`, or descriptors: f0,formants,hnr")
    ] = "classic",
    level: Annotated[str, typer.Option(help="functionals (a row per clip) or lld")] = "functionals",
    functionals: Annotated[
        str, typer.Option(help="In place of the set's: mean,p50,mean_voiced (docs/descriptors.md)")
    ] = "",
    prepare: Annotated[
        str, typer.Option(help="Applied to the samples first: mmse, log_mmse, madd")
    ] = "",
    backend: Annotated[
        str, typer.Option(help="praat, librosa or opensmile: theirs for the families they have.")
    ] = "",
    jobs: Jobs = 1,
    max_failures: Annotated[int, typer.Option(help="More than these: exit code 2.")] = 0,
    accept_opensmile_licence: Consent = False,
) -> None:
    """Compute a feature set on every recording and write the table."""
    from serfeat.backends import with_backend
    from serfeat.extract import extract as extract_features
    from serfeat.feature_sets import feature_set
    from serfeat.store import write_table

    if level not in {"functionals", "lld"}:
        raise did_you_mean("level", level, ["functionals", "lld"])
    if output.suffix not in {".parquet", ".csv"}:
        raise did_you_mean("format", output.suffix or "(none)", [".parquet", ".csv"], where=output)
    _consent(accept_opensmile_licence)
    chosen = replace(feature_set(features), prepare=_words(prepare))
    if functionals:
        chosen = replace(chosen, functionals=_words(functionals), keep=(), sparse=False)
    with _progress() as report:
        result = extract_features(
            source,
            with_backend(chosen, backend),
            level=level,  # type: ignore[arg-type]
            jobs=jobs,
            progress=lambda done, total: report(f"features {features}", done, total),
        )
    if len(result.index):
        write_table(result.table, output, units=result.units, provenance=result.provenance)
    if result.failures:
        failures = output.with_name(f"{output.stem}.failures.csv")
        write_table(result.failures_table, failures)
        _print_failures(result.failures, failures)
    speed = (
        f", {result.computed_audio / result.seconds:.0f} s of audio per second"
        if result.computed
        else ""
    )
    where = f"-> {output}" if len(result.index) else "(nothing written)"
    kept = len(result.index) - result.computed
    stored = f"; {kept} were known" if kept > 0 else ""
    out.print(
        f"{len(result.index)} clips ({result.seconds_of_audio:.0f} s of audio), "
        f"{len(result.failures)} failures, {len(result.units)} columns {where} "
        f"({result.computed} computed in {result.seconds:.1f} s{speed}{stored})",
        markup=False,
    )
    for flag, count in Counter(f for text in result.flags for f in text.split("; ") if f).items():
        out.print(f"flag: {count} x {flag}", markup=False)
    if result.corpus["synthetic"]:
        out.print("SYNTHETIC SPEECH: these numbers say nothing about people.")
    if len(result.failures) > max_failures:
        raise typer.Exit(2)


def _words(text: str) -> tuple[str, ...]:
    """The words of a comma-separated list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


@app.command()
def segment(
    manifest: Annotated[Path, typer.Argument(help="Manifest of the recordings.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV to write.")],
    method: Annotated[str, typer.Option(help="three_way, sohn or silero")] = "three_way",
    min_speech: Annotated[float, typer.Option(help="s; shorter speech is dropped.")] = 0.1,
    min_pause: Annotated[float, typer.Option(help="s; shorter pauses stay inside.")] = 0.15,
    margin: Annotated[float, typer.Option(help="s kept on either side of speech.")] = 0.0,
    root: Root = None,
) -> None:
    """Find the speech in every recording: a manifest with one row per stretch of speech."""
    from serfeat.manifest_csv import read_manifest, write_manifest
    from serfeat.segments import segment_manifest

    found = segment_manifest(
        read_manifest(manifest, root=root, require=()),
        method=method,
        min_speech=min_speech,
        min_pause=min_pause,
        margin=margin,
    )
    for row in found.failures.reset_index().to_dict("records"):
        out.print(f"failed: {row['message']}", markup=False)
    write_manifest(found.manifest, output)
    out.print(f"{len(found.manifest.rows)} stretches of speech -> {output}", markup=False)
    if len(found.failures):
        raise typer.Exit(2)


@app.command()
def agree(
    manifest: Annotated[Path, typer.Argument(help="Manifest of the recordings.")],
    backend: Annotated[
        list[str] | None, typer.Option(help="praat, librosa, opensmile; default: all there are.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Clips, evenly spread; 0 takes all.")] = 50,
    output: Annotated[Path | None, typer.Option("-o", "--output", help=".csv")] = None,
    root: Root = None,
    jobs: Jobs = 1,
    accept_opensmile_licence: Consent = False,
) -> None:
    """Print how far our descriptors and other programs' differ, column by column."""
    from serfeat.agree import agree as compare_with
    from serfeat.agree import shown
    from serfeat.files import committed
    from serfeat.manifest_csv import read_manifest

    if output is not None and output.suffix != ".csv":
        raise did_you_mean("format", output.suffix or "(none)", [".csv"], where=output)
    _consent(accept_opensmile_licence)
    corpus = read_manifest(manifest, root=root, require=())
    with _progress() as report:
        table = compare_with(
            corpus,
            backends=backend or None,
            limit=limit or None,
            jobs=jobs,
            progress=lambda done, total: report("clips", done, total),
        )
    _print_frame("our descriptors against other programs", shown(table))
    noted = table[table["note"] != ""]
    for row in noted.drop_duplicates(["backend", "descriptor", "note"]).to_dict("records"):
        what = " ".join(filter(None, (row["backend"], row["column"])))
        out.print(": ".join(filter(None, (what, row["note"]))), markup=False)
    if output is not None:
        with committed(output) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
        out.print(f"{len(table)} rows -> {output}", markup=False)


def _consent(accepted: bool) -> None:
    if accepted:
        from serfeat.lld.opensmile import accept_licence

        accept_licence()


def _print_failures(failures: Sequence[Failure], table: Path | None = None) -> None:
    for failure in failures[:5]:
        err.print(f"failed ({failure.reason}): {failure.message}", markup=False)
    if len(failures) > 5:
        err.print(f"... and {len(failures) - 5} more")
    if table is not None:
        err.print(f"all failures -> {table}", markup=False)


# --- comparison -----------------------------------------------------------------------------------


@app.command()
def compare(
    recipe: Annotated[str, typer.Argument(help="A .toml file, or the name of a shipped recipe.")],
    root: Root = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another parameter: timnet.epochs=60, or epochs=60 for all."),
    ] = None,
    jobs: Jobs = 0,
    accept_opensmile_licence: Consent = False,
) -> None:
    """Run a recipe: every entry on the same folds, predictions, scores and a report page."""
    from serfeat.compare import compare as run_plan
    from serfeat.recipe import find_recipe, read_recipe

    _consent(accept_opensmile_licence)
    path = find_recipe(recipe)
    read = read_recipe(path)
    folder = output or Path("runs") / path.stem
    corpus = read.manifest(path, root=root)
    plan = read.plan(changes or ())
    command = f"serfeat compare {recipe}" + (f" --root {root.name}" if root else "")
    command += "".join(f" --set {change}" for change in changes or ())
    with _progress() as report:
        run_plan(corpus, plan, folder, jobs=jobs, report=report, command=command)
    _show(folder)


def _show(folder: Path, places: str = "") -> None:
    """Write a run's page, then print its leaderboard and where things are."""
    from serfeat.report import write_report

    page = write_report(folder)
    _print_leaderboard(folder)
    out.print(f"\n{places}report: {page}", markup=False)


def _print_leaderboard(folder: Path) -> None:
    """Print the scores that the report has just computed."""
    import json

    import pandas as pd

    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    scores = pd.read_csv(folder / "leaderboard.csv", keep_default_na=False, na_values=[""])
    independent = {p["key"]: p["speaker_independent"] for p in record["protocols"]}
    if record["corpus"]["synthetic"]:
        out.print("\nSYNTHETIC SPEECH: these scores say nothing about people.", style="bold")
    for protocol, part in scores.groupby("protocol", sort=False):
        mark = "" if independent.get(str(protocol), True) else "  (SPEAKER-DEPENDENT)"
        out.print(f"\n{protocol}{mark}", style="bold")
        table = new_table(
            "entry", "UAR", "95 % interval", "mean of folds", "WAR", "F1", "AUC", "fit s"
        )
        ranked = part.sort_values("uar", ascending=False)
        for row in ranked.to_dict("records"):
            low, high = row["uar_low"], row["uar_high"]
            interval = f"{low:.3f}-{high:.3f}" if low == low else "not defined"
            name = f"{row['entry']}, shuffled labels" if row.get("control") else row["entry"]
            table.add_row(
                str(name), f"{row['uar']:.3f}", interval,
                f"{row['uar_folds_mean']:.3f}", f"{row['war']:.3f}", f"{row['f1_macro']:.3f}",
                f"{row['auc']:.3f}", f"{row['fit_s']:.1f}",
            )  # fmt: skip
        out.print(table)
        out.print(f"chance UAR {1 / len(record['labels']):.3f}")


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Write the report page of a stored run again."""
    from serfeat.report import write_report

    out.print(f"report: {write_report(folder)}", markup=False)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("runs/demo"),
    engine: Annotated[str, typer.Option(help="source-filter, or praat (real words)")] = (
        "source-filter"
    ),
    jobs: Jobs = 0,
) -> None:
    """Make the embedded corpus and run the main job on it. Synthetic: says nothing about people."""
    from serfeat.compare import compare as run_plan
    from serfeat.demo import make_corpus
    from serfeat.manifest_csv import read_manifest
    from serfeat.recipe import find_recipe, read_recipe

    with _progress() as report:
        made = make_corpus(
            output / "speech" / engine,
            engine=engine,
            progress=lambda done, total: report("speech", done, total),
        )
        corpus = read_manifest(made)
        plan = read_recipe(find_recipe("demo")).plan()
        command = "serfeat demo" + ("" if engine == "source-filter" else f" --engine {engine}")
        folder = run_plan(corpus, plan, output / engine, jobs=jobs, report=report, command=command)
    _show(folder, f"speech: {made.parent}\n")


# --- your own audio -------------------------------------------------------------------------------


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
    with _progress() as report:
        train_entry(
            corpus,
            entries[entry],
            output,
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
    for (file, *_), row in result.table.iterrows():
        chances = "  ".join(f"{label} {row['p_' + label]:.2f}" for label in labels)
        typer.echo(
            f"{printable(file)}\t{row['prediction']}\t{chances}"
        )  # rich would expand the tabs
    if output is not None:
        about = {"licence": result.licence, "trained_on": dict(result.trained_on)}
        write_table(result.table, output, provenance=about)
    _print_failures(result.failures)
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
    _print_failures(failures)
    first, last = history[0]["loss"], history[-1]["loss"]
    out.print(
        f"{len(heard)} clips, loss {first:.4g} -> {last:.4g}; use it as "
        f"--features encoder:{output}@last",
        markup=False,
    )


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar per stage on a terminal, one line per stage elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if not err.is_terminal:
        finished: set[str] = set()

        def line(stage: str, done: int, total: int) -> None:
            if done >= total and stage not in finished:
                finished.add(stage)
                err.print(f"{stage}: {done} of {total}", markup=False)

        yield line
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), console=err,
    ) as bars:  # fmt: skip
        known: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            group = stage.split(":")[0]
            if group not in known:
                known[group] = bars.add_task(stage, total=total)
            bars.update(known[group], completed=done, total=total, description=stage)

        yield update


if __name__ == "__main__":
    script()
