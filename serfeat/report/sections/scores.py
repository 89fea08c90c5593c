"""What the entries score: the gap between protocols, the leaderboards, the control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from serfeat.report import figures, tables
from serfeat.report.blocks import Block, Bullets, Part, Picture, Section, Words
from serfeat.report.differences import gaps, held_and_random, shared_entries
from serfeat.report.numbers import interval, percent
from serfeat.report.run import Run
from serfeat.report.words import caveats, control_words, title_of

__all__ = ["control_section", "gap_section", "part_of", "scores_section"]

MANY = 40  # rows beyond which a table of pairs says more than it helps


def part_of(protocol: dict[str, Any], blocks: Sequence[Block], *, columns: str = "") -> Part:
    """Blocks under the heading of their protocol."""
    title = title_of(protocol["key"])
    dependent = not protocol["speaker_independent"]
    return Part(title[:1].upper() + title[1:], blocks, dependent, columns)


def gap_section(run: Run) -> Section:
    """What knowing the voice adds: random folds against held-out speakers."""
    section = Section(
        "gap", "Random folds against held-out speakers", folded=False, short="The gap"
    )
    held, random = held_and_random(run)
    if held is None or random is None or not shared_entries(run, held, random):
        return section
    differences = gaps(run, held, random)
    rows: list[dict[str, Any]] = [
        {"entry": entry, "held": _uar(run, held, entry), "random": _uar(run, random, entry)}
        for entry, _ in differences
    ]
    alt = "UAR in per cent with held-out speakers and with random folds: " + "; ".join(
        f"{r['entry']} {percent(r['held'])} and {percent(r['random'])}" for r in rows
    )
    marks, chance = run.marks(random), float(run.board["chance"].iloc[0])
    svg = figures.gap(rows, chance=chance, name="gap", alt=alt, marks=marks)
    caption = (
        "Each entry with held-out speakers (dot) and with random folds (triangle); the numbers are "
        "in the table beside it."
    )
    titles = {p: title_of(p).capitalize() for p in (held, random)}
    table = tables.gap_table(run, differences, held, random, titles)
    words = (
        "The same entries on the same clips. With random folds other clips of the test speakers "
        "are in training, so a model may recognise the voice instead of the emotion."
    )
    both = Part("", [Picture(svg, caption, marks), table], columns="pair")
    return Section("gap", section.title, [Words(words), both], folded=False, short=section.short)


def _uar(run: Run, protocol: str, entry: str) -> float:
    return float(run.scored(protocol).set_index("entry")["uar"][entry])


def scores_section(run: Run) -> Section:
    """The leaderboard of every protocol, with what its numbers do not say."""
    parts = [_scores_part(run, p, i) for i, p in enumerate(run.protocols)]
    return Section("scores", "Scores", parts, folded=False)


def _scores_part(run: Run, protocol: dict[str, Any], number: int) -> Part:
    key, title = protocol["key"], title_of(protocol["key"])
    blocks: list[Block] = [
        tables.scores_table(run, key, title),
        Part("", [_forest(run, key, title, number)], columns="pair"),
        Bullets(caveats(run, key)),
    ]
    pairs = tables.pairs_table(run, key, title)
    if pairs.rows:
        blocks.append(Part(f"Entries against each other, {title}", [pairs], columns="folded"))
    return part_of(protocol, blocks)


def _forest(run: Run, key: str, title: str, number: int) -> Picture:
    shown = pd.concat([run.scored(key), run.scored(key, control=True)]).to_dict("records")
    rows = [
        {
            "entry": r["entry"] + (" (control)" if r["control"] else ""),
            "kind": "control" if r["control"] else run.kind(r["entry"]),
            "uar": r["uar"],
            "low": r["uar_low"],
            "high": r["uar_high"],
        }
        for r in shown
    ]
    alt = f"UAR in per cent with 95 % intervals, {title}: " + "; ".join(
        f"{r['entry']} {percent(r['uar'])} {interval(r['low'], r['high'])}" for r in rows
    )
    chance, marks = float(run.board["chance"].iloc[0]), run.marks(key)
    svg = figures.forest(rows, chance=chance, name=f"forest{number}", alt=alt, marks=marks)
    caption = (
        f"UAR and its interval, {title}: classical (dot), deep (square), control (diamond); the "
        "dashed line is chance. The numbers are in the table above."
    )
    return Picture(svg, caption, marks)


def control_section(run: Run) -> Section:
    """Training on shuffled labels, which must score at chance."""
    words = (
        "The same pipeline, trained on shuffled labels: it must score at chance. If it does not, "
        "the labels reach the test side by some other way."
    )
    statements = [c["text"] for c in control_words(run)]
    found = Bullets(statements) if statements else Words("No random-label control was run.")
    title = "Random-label control"
    return Section("control", title, [Words(words), found], folded=False, short="Control")
