"""How the entries came to be: what tuning chose, how training went, what it cost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from serfeat.report import figures, tables
from serfeat.report.blocks import Block, Part, Picture, Section, Table, Words
from serfeat.report.numbers import percent, quantity, visible
from serfeat.report.run import Run
from serfeat.report.sections.scores import part_of
from serfeat.report.words import title_of

__all__ = ["costs_section", "training_section", "tuning_section"]

LINES, POINTS, FIGURES = 12, 60, 12  # of the curves: the page must stay light enough to mail


# --- tuning ----------------------------------------------------------------------------------


def tuning_section(run: Run) -> Section:
    """Which parameters every fold chose, on its own training speakers."""
    trials = run.table("tuning")
    title = "What tuning chose"
    if trials.empty or run.board.empty:
        return Section("tuning", title)
    words = (
        "Parameters are chosen inside the training clips of each fold, with speakers held out "
        "there; the test fold is not seen. Folds may choose differently; the score is that of the "
        "whole procedure."
    )
    parts: list[Block] = []
    for protocol in run.protocols:
        mine = run.table("tuning", protocol=protocol["key"])
        if not mine.empty:
            budget = _budget_table(run, mine, protocol["key"])
            choices = _choices_table(run, mine, protocol["key"])
            folded = Part(f"Every choice, {title_of(protocol['key'])}", [choices], columns="folded")
            parts.append(part_of(protocol, [budget, folded]))
    return Section("tuning", title, [Words(words), *parts], short="Tuning")


def _budget_table(run: Run, trials: pd.DataFrame, protocol: str) -> Table:
    """One row per entry: trials, time, and the inner score of what was chosen."""
    score = "ccc" if run.targets else "uar"
    scored = run.scored(protocol).groupby("entry")[[score]].mean()  # over dimensions, if any
    rows = []
    for entry, mine in trials.groupby("entry", sort=False):
        chosen = mine[mine["chosen"].astype(bool)]
        each = mine.groupby(["fold", "seed"], sort=False).size()
        favourite = chosen["params"].value_counts(sort=True)
        outer = float(scored[score][entry]) if entry in scored.index else float("nan")
        times = f" ({favourite.iloc[0]} of {len(chosen)})" if len(favourite) else ""
        rows.append(
            (
                visible(entry),
                f"{each.min()}" if each.min() == each.max() else f"{each.min()} to {each.max()}",
                str(len(each)),
                str(len(favourite)),
                (_settings(favourite.index[0]) + times) if len(favourite) else "–",
                percent(float(chosen["inner_score"].mean())),
                percent(outer),
                quantity(float(mine["seconds"].sum())),
            )
        )
    head = ("Entry", "Trials per fold", "Folds x seeds", "Different choices", "Most frequent")
    more = ("Inner score % of the choice", "Test score %", "Seconds")
    caption = f"Budget and outcome of the tuning, {title_of(protocol)}."
    return Table(caption, (*head, *more), rows, frozenset({0, 4}), run.marks(protocol))


def _choices_table(run: Run, trials: pd.DataFrame, protocol: str) -> Table:
    rows = [
        (
            visible(r["entry"]),
            visible(r["fold"]),
            visible(r["seed"]),
            _settings(r["params"]),
            f"{percent(r['inner_score'])} ± {percent(r['inner_sd'])}",
        )
        for r in trials[trials["chosen"].astype(bool)].to_dict("records")
    ]
    caption = f"The parameters of every fold and seed, {title_of(protocol)}."
    head = ("Entry", "Fold", "Seed", "Chosen", "Inner score % ± sd of folds")
    return Table(caption, head, rows, frozenset({0, 1, 3}), run.marks(protocol))


def _settings(text: object) -> str:
    """Parameters from JSON as "C = 10, gamma = scale"."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return visible(text)
    if not isinstance(found, dict):
        return visible(text)
    return visible(", ".join(f"{k} = {_short(v)}" for k, v in found.items()) or "defaults")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- training --------------------------------------------------------------------------------


def training_section(run: Run) -> Section:
    """Curves of the deep entries under the main protocol."""
    title, protocol = "Training of the deep entries", run.main
    history = run.table("history", protocol=protocol["key"])
    pictures = [
        _curves(run, entry, history[history["entry"] == entry], protocol["key"], i)
        for i, entry in enumerate(run.names(protocol["key"]))
        if not history.empty and (history["entry"] == entry).any()
    ]
    if not pictures:
        return Section("training", title)
    words = visible(run.info.get("selection", ""))
    left = len(pictures) - FIGURES
    if left > 0:
        words += f" The {FIGURES} best entries are drawn; {left} more are in history.parquet."
    part = part_of(protocol, pictures[:FIGURES], columns="grid")
    return Section("training", title, [Words(words), part], short="Training")


def _curves(run: Run, entry: str, history: pd.DataFrame, key: str, number: int) -> Picture:
    params = run.entry(entry).get("params") or {}
    scores = tables.judged(history, on_test=params.get("selection") == "test_oracle")
    score = scores[0] if scores else None
    lines = [
        (fold, seed, one.sort_values("epoch"))
        for (fold, seed), one in history.groupby(["fold", "seed"], sort=False)
    ]
    drawn = [one for *_, one in lines[:: -(-len(lines) // LINES)]]
    some = f" ({len(drawn)} of them drawn)" if len(drawn) < len(lines) else ""
    words = (
        f"{visible(entry)}, {title_of(key)}: training loss{f' and {score.words}' if score else ''} "
        f"over at most {int(history['epoch'].max())} epochs, one line for each of {len(lines)} "
        f"trainings{some}."
    )
    svg = figures.curves(
        [_thinned(one, "train_loss") for one in drawn],
        [_thinned(one, score.column) for one in drawn] if score else [],
        score_name=score.words if score else "", percent=score is None or score.percent,
        name=f"curves{number}", alt=words, marks=run.marks(key),
    )  # fmt: skip
    title = f"The trainings of {visible(entry)}."
    return Picture(
        svg, words, run.marks(key), tables.training_table(lines, title, run.marks(key), scores)
    )


def _thinned(one: pd.DataFrame, column: str) -> tuple[Any, Any]:
    """Epochs and values of one training, at most so many points, the first and last among them."""
    if len(one) > POINTS:
        one = one.iloc[np.unique(np.linspace(0, len(one) - 1, POINTS).round().astype(int))]
    return one["epoch"].to_numpy(dtype=float), one[column].to_numpy(dtype=float)


# --- time and size ---------------------------------------------------------------------------


def costs_section(run: Run) -> Section:
    """Seconds and megabytes of every entry under the main protocol."""
    key = run.main["key"]
    blocks: list[Block] = [tables.costs_table(run, key, title_of(key))]
    if extraction := run.info.get("extraction"):
        minutes = extraction["seconds_of_audio"] / 60
        blocks.append(
            Words(
                f"Features of {quantity(extraction['rows'])} clips ({minutes:.1f} min of audio) "
                f"were ready in {quantity(extraction['seconds'])} s; "
                f"{quantity(extraction['failures'])} failed."
            )
        )
    return Section("costs", "Time and size", blocks)
