"""Whom the entries serve worse: sexes, languages, speakers."""

from __future__ import annotations

import pandas as pd

from serfeat.report.blocks import Block, Section, Table, Words
from serfeat.report.numbers import interval, p_value, percent, points, visible
from serfeat.report.run import Run
from serfeat.report.sections.scores import part_of
from serfeat.report.words import title_of

__all__ = ["fairness_section"]

BY = ("sex", "language")


def fairness_section(run: Run) -> Section:
    """Gaps between groups of speakers, and the spread of speakers against chance."""
    title = "Whom it serves worse"
    if run.targets:
        return Section("fairness", title)
    from serfeat.statistics.fairness import group_gaps, group_scores, speaker_spread

    found: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    for by in BY:
        if _groups(run, by) > 1:
            scores, gaps = (f(run.predictions, labels=run.labels, by=by)
                            for f in (group_scores, group_gaps))  # fmt: skip
            found[by] = (scores, gaps)
    spread = speaker_spread(run.predictions, labels=run.labels)
    parts: list[Block] = []
    for protocol in run.protocols:
        key = protocol["key"]
        tables: list[Block] = []
        for by, (scores, gaps) in found.items():
            tables += [_scores(run, scores, by, key), _gaps(run, gaps, by, key)]
        tables.append(_spread(run, spread, key))
        parts.append(part_of(protocol, tables))
    words = (
        "A gap is the UAR of one group less that of another, over the emotions that both have; "
        "intervals and p are over speakers, so a group of one or two people says little. Speakers "
        "never score alike, even for a model that treats them alike: the last table sets their "
        "spread beside that of chance."
    )
    if not found:
        words += " The sex and the language of the speakers are not known, or there is only one."
    return Section("fairness", title, [Words(words), *parts], short="Fairness")


def _groups(run: Run, by: str) -> int:
    """How many groups there are, unknown ones left out."""
    if by not in run.predictions:
        return 0
    return len(set(run.predictions[by].fillna("").astype(str)) - {""})


def _scores(run: Run, scores: pd.DataFrame, by: str, key: str) -> Table:
    rows = [
        (
            visible(r["entry"]),
            visible(r["group"]),
            percent(r["uar"]),
            interval(r["uar_low"], r["uar_high"]),
            percent(r["war"]),
            str(r["speakers"]),
            str(r["n"]),
        )
        for r in scores[scores["protocol"] == key].to_dict("records")
    ]
    head = ("Entry", by.capitalize(), "UAR %", "95 % interval", "WAR %", "Speakers", "Clips")
    caption = f"Scores by {by}, {title_of(key)}."
    return Table(caption, head, rows, frozenset({0, 1}), run.marks(key))


def _gaps(run: Run, gaps: pd.DataFrame, by: str, key: str) -> Table:
    rows = [
        (
            visible(r["entry"]),
            f"{visible(r['first'])} less {visible(r['second'])}",
            points(r["gap"]),
            interval(r["gap_low"], r["gap_high"], signed=True),
            p_value(r["p"]),
            p_value(r["p_holm"]),
        )
        for r in gaps[gaps["protocol"] == key].to_dict("records")
    ]
    head = ("Entry", "Gap", "Points of UAR", "95 % interval", "p", "p after Holm")
    caption = f"Gaps by {by}, {title_of(key)}."
    return Table(caption, head, rows, frozenset({0, 1}), run.marks(key))


def _spread(run: Run, spread: pd.DataFrame, key: str) -> Table:
    rows = [
        (
            visible(r["entry"]),
            f"{visible(r['worst'])} ({percent(r['worst_uar'])})",
            f"{visible(r['best'])} ({percent(r['best_uar'])})",
            percent(r["sd"]),
            percent(r["sd_chance"]),
            percent(r["sd_beyond"]),
            p_value(r["p"]),
        )
        for r in spread[spread["protocol"] == key].to_dict("records")
    ]
    head = ("Entry", "Worst speaker (UAR %)", "Best speaker (UAR %)", "sd of speakers, points")
    more = ("sd by chance alone", "sd beyond chance", "p")
    caption = f"How much speakers differ, and how much they would by chance, {title_of(key)}."
    return Table(caption, (*head, *more), rows, frozenset({0, 1, 2}), run.marks(key))
