"""Commands of comparisons: compare, report, lint, runs, demo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from serfeat.cli import words
from serfeat.cli.document import print_json
from serfeat.cli.reading import (
    HOUR,
    AllowTruncated,
    Encoding,
    Follow,
    MaxDuration,
    MaxMissing,
    as_typed,
    most_missing,
)
from serfeat.cli.screen import (
    AsJson,
    Consent,
    Jobs,
    Quiet,
    Root,
    app,
    consent,
    err,
    out,
    present,
    print_failures,
    probe,
    progress_bars,
    words_of,
)
from serfeat.errors import RecipeError, printable
from serfeat.listing import new_table


@app.command(epilog="Example: serfeat compare mine.toml --entry svm --seeds 0,1,2")
def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(
            help="A .toml file, or the name of a shipped recipe; or several.",
            autocompletion=words.recipes,
        ),
    ],
    root: Root = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the run; of several, the one above them."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Another parameter: timnet.epochs=60, or epochs=60 for all.",
            autocompletion=words.settings,
        ),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            help="Another corpus than the recipe's; repeated: all of them together.",
            autocompletion=words.corpora,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--entry", help="Run this entry alone; repeatable.", autocompletion=words.entries
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="In place of the recipe's: 0,1,2")] = "",
    listen: Annotated[
        bool, typer.Option(help="Decode the recordings, to find equal and nearly equal ones.")
    ] = True,
    engine: Annotated[
        str, typer.Option(help="processes or dask", autocompletion=words.one_of("engines"))
    ] = "processes",
    address: Annotated[str, typer.Option(help="Scheduler of the dask engine.")] = "",
    jobs: Jobs = 0,
    max_missing: MaxMissing = "-1",
    max_duration: MaxDuration = HOUR,
    allow_truncated: AllowTruncated = False,
    encoding: Encoding = "utf-8",
    follow: Follow = False,
    accept_opensmile_licence: Consent = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run recipes: every entry on the same folds, predictions, scores and a report page.

    With --json: a list of {recipe, folder, report, labels, synthetic, leaderboard: [{protocol,
    entry, normalisation, control, uar, uar_low, uar_high, ...}]}, one per recipe.
    """
    from serfeat.audio import Limits
    from serfeat.compare import compare as run_plan
    from serfeat.recipe import find_recipe, read_recipe

    most, limits = most_missing(max_missing), Limits(allow_truncated, max_duration)
    consent(accept_opensmile_licence)
    options = f" --root {root.name}" if root else ""
    options += "".join(f" --corpus {name}" for name in corpus or ())
    options += "".join(f" --set {change}" for change in changes or ())
    options += "".join(f" --entry {name}" for name in only or ())
    options += f" --seeds {seeds}" if seeds else ""
    options += as_typed(
        max_missing=max_missing, max_duration=max_duration, allow_truncated=allow_truncated,
        encoding=encoding, follow=follow,
    )  # fmt: skip
    plans = []
    for recipe in recipes:  # all are read before the first is run
        path = find_recipe(recipe)
        read = read_recipe(path).on(corpus) if corpus else read_recipe(path)
        plan = read.plan(changes or (), only=only or (), seeds=_numbers(seeds), folder=path.parent)
        name = "-".join([path.stem, *(Path(c).stem for c in corpus or ())])
        folder = output or Path("runs") / name
        if output is not None and len(recipes) > 1:
            folder = output / name
        probe(folder, folder=True)
        plans.append((f"serfeat compare {recipe}{options}", path, read, plan, folder))
    done = []
    for command, path, read, plan, folder in plans:
        recordings = read.manifest(path, root=root, encoding=encoding, follow=follow)
        with progress_bars(quiet=quiet) as report:
            run_plan(
                recordings, plan, folder, jobs=jobs, report=report, command=command, listen=listen,
                engine=engine, address=address, limits=limits, max_missing=most,
            )  # fmt: skip
        _print_lost(folder)
        if as_json:
            done.append(_scores(folder, path))
        else:
            _show(folder)
    if as_json:
        print_json(done)


def _scores(folder: Path, recipe: Path) -> dict[str, Any]:
    """Write a run's page, and return its leaderboard for a program."""
    from serfeat.report import write_report

    page = write_report(folder)
    record, board = _stored(folder)
    return {
        "recipe": recipe,
        "folder": folder,
        "report": page,
        "labels": record["labels"],
        "synthetic": bool(record["corpus"].get("synthetic", False)),
        "leaderboard": board,
    }


def _stored(folder: Path) -> tuple[dict[str, Any], Any]:
    """Read a run's record and its leaderboard."""
    import pandas as pd

    scores = pd.read_csv(folder / "leaderboard.csv", keep_default_na=False, na_values=[""])
    return _record(folder), scores


def _record(folder: Path) -> dict[str, Any]:
    """Read what a run says of itself."""
    from serfeat.compare.reading import read_record

    return read_record(folder)


def _print_lost(folder: Path) -> None:
    """Print on standard error which recordings no entry has seen."""
    from serfeat.compare.reading import FAILURE
    from serfeat.extract import Failure

    names = [word.removesuffix("?") for word in FAILURE]
    lost = _record(folder).get("failures", [])
    print_failures([Failure(**{name: f.get(name, math.nan) for name in names}) for f in lost])


def _numbers(text: str) -> tuple[int, ...]:
    """Whole numbers from a comma-separated list."""
    words = words_of(text)
    if not all(word.isdecimal() for word in words):
        raise RecipeError(
            f"{text!r} is no list of whole numbers",
            where="--seeds",
            code="bad-setting",
            fix="0,1,2",
        )
    return tuple(int(word) for word in words)


def _show(folder: Path, places: str = "") -> None:
    """Write a run's page, then print its leaderboard and where things are."""
    from serfeat.report import write_report

    page = write_report(folder)
    _print_leaderboard(folder)
    out.print(f"\n{places}report: {page}", markup=False)


def _print_leaderboard(folder: Path) -> None:
    """Print the scores that the report has just computed, with the marks that they carry."""
    record, scores = _stored(folder)
    print_row = _ratings_row if record.get("dimensions") else _emotions_row
    for protocol, part in scores.groupby("protocol", sort=False):
        marks = str(part["marks"].iloc[0]).split("; ") if part["marks"].notna().all() else []
        out.print(f"\n{protocol}", style="bold")
        for mark in marks:
            out.print(mark, style="bold", markup=False)
        rows = [print_row(row) for row in part.to_dict("records")]
        table = new_table(*rows[0])
        for row in rows:
            table.add_row(*row.values())
        out.print(table)
        if record["labels"]:
            out.print(f"chance UAR {1 / len(record['labels']):.3f}")


def _emotions_row(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of an entry that says emotions."""
    name = f"{row['entry']}, shuffled labels" if row["control"] else row["entry"]
    better = row["better_than"] if row["better_than"] == row["better_than"] else ""
    return {
        "entry": str(name),
        "normalisation": str(row["normalisation"]),
        "UAR": f"{row['uar']:.3f}",
        "95 % interval": _interval(row["uar_low"], row["uar_high"]),
        "mean of folds": f"{row['uar_folds_mean']:.3f}",
        "WAR": f"{row['war']:.3f}",
        "F1": f"{row['f1_macro']:.3f}",
        "AUC": f"{row['auc']:.3f}",
        "fit s": f"{row['fit_s']:.1f}",
        "better than": str(better),
    }


def _ratings_row(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of an entry that says numbers."""
    return {
        "target": str(row["target"]),
        "entry": str(row["entry"]),
        "CCC": f"{row['ccc']:.3f}",
        "95 % interval": _interval(row["ccc_low"], row["ccc_high"]),
        "PCC": f"{row['pcc']:.3f}",
        "RMSE": f"{row['rmse']:.3f}",
        "MAE": f"{row['mae']:.3f}",
    }


def _interval(low: float, high: float) -> str:
    return f"{low:.3f}-{high:.3f}" if low == low else "not defined"


@app.command(epilog="Example: serfeat report runs/mine")
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Write the report page of a stored run again."""
    from serfeat.report import write_report

    present(folder)
    out.print(f"report: {write_report(folder)}", markup=False)


@app.command(epilog="Example: serfeat lint mine.toml")
def lint(
    target: Annotated[
        str,
        typer.Argument(help="A recipe, or the folder of a run.", autocompletion=words.recipes),
    ],
    root: Root = None,
    jobs: Jobs = 0,
    listen: Annotated[
        bool, typer.Option(help="Decode the recordings, to find equal and nearly equal ones.")
    ] = True,
    max_missing: MaxMissing = "-1",
    max_duration: MaxDuration = HOUR,
    allow_truncated: AllowTruncated = False,
    encoding: Encoding = "utf-8",
    follow: Follow = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look for leaks: before training in a recipe, afterwards in a run. Exit code 1: found one."""
    from serfeat.audio import Limits
    from serfeat.audit import lint_any

    most, limits = most_missing(max_missing), Limits(allow_truncated, max_duration)
    with progress_bars(quiet=quiet) as report:
        lines, code = lint_any(
            target, root=root, jobs=jobs, listen=listen, json_text=as_json, report=report,
            limits=limits, max_missing=most, encoding=encoding, follow=follow,
        )  # fmt: skip
    for line in lines:
        out.print(line, markup=False)
    raise typer.Exit(code)


@app.command(epilog="Example: serfeat runs runs/emodb runs/emodb_heads")
def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A folder of runs (default: runs); two runs to compare; three or more, one a "
            "corpus, to rank their entries."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Picture of the ranks, .svg")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List stored runs, compare two of them entry by entry, or rank entries over corpora."""
    from serfeat import runs as stored

    given = folders or [Path("runs")]
    if len(given) > 2:
        _print_ranks(given, output, as_json=as_json)
        return
    found = stored.compare_runs(*given) if len(given) == 2 else stored.list_runs(given[0])
    if as_json:
        print_json(found)
        return
    header, *rows = stored.as_rows(found if len(given) == 2 else stored.glance(found))
    table = new_table(*header)
    for row in rows:
        table.add_row(*row)
    out.print(table)
    if "marks" in found:  # in full, below: a table of 80 columns has no room for them
        for name, marks in found.loc[found["marks"] != "", ["name", "marks"]].to_numpy():
            out.print(f"{printable(str(name))}: {marks}", markup=False)


def _print_ranks(folders: Sequence[Path], output: Path | None, *, as_json: bool) -> None:
    """Print the average ranks over corpora, and draw them.

    With --json: {entries: [{entry, rank, scores: {corpus: uar}}], friedman_f, friedman_p,
    words, protocols: {corpus: protocol}, marks: {corpus: [warning]}}.
    """
    from serfeat.files import committed
    from serfeat.ranking import as_svg, rank_runs

    ranking = rank_runs(folders)
    if output is not None:
        with committed(output) as temporary:
            temporary.write_text(as_svg(ranking), encoding="utf-8")
        (err if as_json else out).print(f"-> {output}", markup=False)
    if as_json:
        ranks = ranking.ranks.items()
        print_json(
            {
                "entries": [
                    {"entry": e, "rank": rank, "scores": dict(ranking.scores[e])}
                    for e, rank in ranks
                ],
                "friedman_f": ranking.test.f,
                "friedman_p": ranking.test.f_p,
                "words": ranking.words,
                "protocols": ranking.protocols,
                "marks": {corpus: list(marks) for corpus, marks in ranking.marks.items()},
            }
        )
        return
    table = new_table("entry", "average rank", *ranking.scores.index)
    for entry, rank in ranking.ranks.items():
        table.add_row(entry, f"{rank:.2f}", *(f"{u:.3f}" for u in ranking.scores[entry]))
    out.print(table)
    out.print(
        f"Friedman (Iman, Davenport): F {ranking.test.f:.2f}, p {ranking.test.f_p:.3f}",
        markup=False,
    )
    out.print(ranking.words, markup=False)
    for corpus, protocol in ranking.protocols.items():
        said = "; ".join([protocol, *ranking.marks[corpus]])
        out.print(f"{corpus}: {said}", markup=False)


@app.command(epilog="Example: serfeat demo -o runs/demo")
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of speech and run.")] = (
        Path("runs/demo")
    ),
    engine: Annotated[
        str,
        typer.Option(
            help="source-filter, or praat (real words)", autocompletion=words.one_of("speech")
        ),
    ] = "source-filter",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Make the embedded corpus and run the main job on it. Synthetic: says nothing about people."""
    from serfeat.compare import compare as run_plan
    from serfeat.demo import make_corpus
    from serfeat.manifest_csv import read_manifest
    from serfeat.recipe import find_recipe, read_recipe

    probe(output, folder=True)
    with progress_bars(quiet=quiet) as report:
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
