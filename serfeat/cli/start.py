"""Commands of the first day: doctor, init."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serfeat.cli import words
from serfeat.cli.document import print_json
from serfeat.cli.screen import AsJson, app, err, out
from serfeat.errors import ManifestError, did_you_mean, printable

if TYPE_CHECKING:
    from serfeat.start import Understood

SHOWN = 12  # speakers that are listed
MARKS = {"good": "ok", "note": "--", "repair": "!!"}


@app.command(epilog="Example: serfeat doctor")
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what is missing and what is in the way. Exit code 1: repair something.

    With --json: {good, findings: [{area, name, state: good|note|repair, found, fix, value}]}.
    """
    from serfeat.doctor import examine

    findings = examine()
    broken = sum(f.state == "repair" for f in findings)
    if as_json:
        print_json({"good": not broken, "findings": findings})
        raise typer.Exit(int(broken > 0))
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            out.print(f"\n{area}" if finding is not findings[0] else area, style="bold")
        line = f"{MARKS[finding.state]} {finding.name}: {finding.found}"
        style = {"repair": "red"}.get(finding.state)
        out.print(line + (f"; {finding.fix}" if finding.fix else ""), style=style, markup=False)
    counts = f"{len(findings)} looked at, {broken} to repair"
    out.print(f"\n{counts}" if broken else f"\n{counts}: serfeat can work here")
    raise typer.Exit(int(broken > 0))


@app.command(epilog="Example: serfeat init my_speech/ --compare quick --yes")
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the speech.")] = Path(),
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Recipe to write; its manifest goes beside it.")
    ] = Path("recipe.toml"),
    emotion_from: Annotated[
        str,
        typer.Option(
            help="folder:1, name:2 (second word of file names), column:label, corpus:emodb",
            autocompletion=words.one_of("places"),
        ),
    ] = "",
    speaker_from: Annotated[
        str,
        typer.Option(
            help="The same; or one (a single voice), none (nobody known)",
            autocompletion=words.one_of("places"),
        ),
    ] = "",
    table: Annotated[Path | None, typer.Option("--csv", help="CSV of the columns.")] = None,
    compare: Annotated[
        str,
        typer.Option(
            help="quick (svm, xgb), full (7 models) or head (quick and timnet); default: quick",
            autocompletion=words.one_of("comparisons"),
        ),
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: guess, and write.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Write over files that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a first recipe from a folder of speech: where are the emotions, who speaks, what for.

    With --json: {emotion_from, speaker_from, emotions: {name: n}, speakers: {code: n}, one_voice,
    odd: {word: n}, remarks, manifest, recipe (null: no comparison is possible), left_out}.
    """
    from serfeat.start import COMPARISONS, summary, understand, write_start

    asks = sys.stdin.isatty() and not yes and not as_json
    if compare and compare not in COMPARISONS:
        raise did_you_mean("comparison", compare, COMPARISONS)
    found = understand(folder, emotion_from=emotion_from, speaker_from=speaker_from, table=table)
    if asks:
        given = (emotion_from, speaker_from)
        emotion_from, speaker_from = _asked(found, *given)
        compare = compare or _ask_what(COMPARISONS)
        if (emotion_from, speaker_from) != given:
            found = understand(
                folder, emotion_from=emotion_from, speaker_from=speaker_from, table=table
            )
    if not as_json:
        _show(found)
    if not yes and not (asks and typer.confirm("Write it?", default=True, err=True)):
        raise ManifestError(
            "nothing was written", where=folder, code="not-confirmed", fix="--yes writes it"
        )
    manifest, recipe, left = write_start(found, output, compare=compare or "quick", force=force)
    if as_json:
        said = {"manifest": manifest, "recipe": recipe, "left_out": left}
        print_json({**summary(found), **said})
    else:
        for line in left:
            err.print(f"left out: {line}", markup=False)
        out.print(f"{len(found.manifest.rows)} recordings -> {manifest}", markup=False)
        if recipe is not None:
            out.print(f"{recipe}: run it with `serfeat compare {recipe}`", markup=False)
    if recipe is None:
        fix = "fill the column speaker of it, then `serfeat init --csv` with this file"
        raise ManifestError("no recipe was written", where=manifest, code="no-comparison", fix=fix)


def _asked(found: Understood, emotion_from: str, speaker_from: str) -> tuple[str, str]:
    """Ask the two questions about the folder; what was found is the answer to begin with."""
    _show(found)
    if not emotion_from:
        emotion_from = typer.prompt(
            "Where are the emotions? folder:N, name:N, column:NAME or corpus",
            default=found.clues.emotion_from,
            err=True,
        )
    if not speaker_from:
        speaker_from = typer.prompt(
            "Who speaks? folder:N, name:N, column:NAME, corpus, one or none",
            default=found.clues.speaker_from,
            err=True,
        )
    return emotion_from, speaker_from


def _ask_what(known: dict[str, Any]) -> str:
    for name, (meaning, entries) in known.items():
        err.print(f"  {name}: {meaning} ({', '.join(e.name for e in entries)})", markup=False)
    answer: str = typer.prompt("What shall be compared?", default="quick", err=True)
    if answer not in known:
        raise did_you_mean("comparison", answer, known)
    return answer


def _show(found: Understood) -> None:
    """Print what was understood, before anything is written."""
    emotions = ", ".join(f"{name} {n}" for name, n in found.emotions.items())
    out.print(f"emotions from {found.clues.emotion_from}: {emotions}", markup=False)
    known = {name: n for name, n in found.speakers.items() if name}
    people = ", ".join(f"{printable(name)} {n}" for name, n in list(known.items())[:SHOWN])
    more = f", ... ({len(known)} in all)" if len(known) > SHOWN else ""
    out.print(f"speakers from {found.clues.speaker_from}: {people + more or 'none'}", markup=False)
    for line in found.remarks:
        out.print(printable(line), markup=False)
