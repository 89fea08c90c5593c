"""The tables of the report: what a run holds, as rows of text.

Conventions
-----------
A `Table` is text only: headers, rows, a caption and which columns hold numbers; the page, the
Markdown file and the terminal all print the same. UAR, WAR and F1 are in percent with one decimal,
differences in points (`serfeat.report.numbers`).

Contents
--------
`Table` : rows of text.
`scores_table` `gap_table` `differences_table` `confusion_table` `speakers_table` `costs_table`
`training_table` `counts_table` `entries_table` `failures_table` : the tables of the page.
`as_text` `as_markdown` `as_csv` : the leaderboard elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from serfeat.report.numbers import interval, percent, points, quantity, visible
from serfeat.report.run import Run
from serfeat.stats import Difference
from serfeat.types import Floats, Ints

__all__ = [
    "Table",
    "as_csv",
    "as_markdown",
    "as_text",
    "confusion_table",
    "costs_table",
    "counts_table",
    "differences_table",
    "entries_table",
    "failures_table",
    "gap_table",
    "scores_table",
    "speakers_table",
    "training_table",
]


@dataclass(frozen=True)
class Table:
    """A table of text.

    Parameters
    ----------
    caption : what it shows, in one sentence.
    head : (k,) column headers.
    rows : (n, k) cells; the first cell of a row is its header.
    text : positions of the columns that are text; all others hold numbers and align right.
    marks : warnings that belong to the caption.
    """

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text: frozenset[int] = frozenset({0})
    marks: tuple[str, ...] = ()


# --- the tables of the page ------------------------------------------------------------------


def scores_table(run: Run, protocol: str, title: str) -> Table:
    """The leaderboard of one protocol, the control last."""
    head = ("Entry", "UAR %", "95 % interval", "Mean of folds ± sd", "WAR %", "F1 macro %", "AUC")
    rows = []
    parts = [run.scored(protocol), run.scored(protocol, control=True)]
    for row in pd.concat(parts).to_dict("records"):
        folds = f"{percent(row['uar_folds_mean'])} ± {percent(row['uar_folds_sd'])}"
        control = bool(row["control"])
        rows.append(
            (
                visible(row["entry"]) + (", random labels (control)" if control else ""),
                percent(row["uar"]),
                interval(row["uar_low"], row["uar_high"]),
                folds,
                percent(row["war"]),
                percent(row["f1_macro"]),
                f"{row['auc']:.3f}" if np.isfinite(row["auc"]) else "–",
                "control" if control else run.kind(row["entry"]),
                str(row["n"]),
                str(row["seeds"]),
            )
        )
    caption = f"Scores, {title}. Chance: UAR {percent(run.board['chance'].iloc[0])} %."
    full = (*head, "Kind", "Clips", "Seeds")
    return Table(caption, full, rows, frozenset({0, 7}), run.marks(protocol))


def gap_table(
    run: Run, gaps: Sequence[tuple[str, Difference]], held: str, random: str, titles: dict[str, str]
) -> Table:
    """What each entry gains when the test speakers' other clips are in training."""
    rows = []
    for entry, gap in gaps:
        each = [_uar(run, protocol, entry) for protocol in (random, held)]
        cells = (visible(entry), *(percent(u) for u in each), points(gap.difference))
        rows.append((*cells, interval(gap.low, gap.high, signed=True)))
    head = ("Entry", f"{titles[random]}: UAR %", f"{titles[held]}: UAR %", "Gap, points")
    caption = "The gap: random folds less held-out speakers. Same clips, same entries, other folds."
    return Table(caption, (*head, "95 % interval"), rows, marks=run.marks(random))


def _uar(run: Run, protocol: str, entry: str) -> float:
    board = run.scored(protocol)
    return float(board[board["entry"] == entry]["uar"].iloc[0])


def differences_table(
    run: Run, best: str, differences: Sequence[tuple[str, Difference]], protocol: str, title: str
) -> Table:
    """Every entry against the highest score, on the same clips."""
    rows = []
    for entry, d in differences:
        words = "yes" if d.excludes_zero else "no" if np.isfinite(d.low) else "–"
        cells = (visible(entry), points(d.difference), interval(d.low, d.high, signed=True), words)
        rows.append(cells)
    head = ("Entry", f"Below {visible(best)}, points", "95 % interval", "Zero excluded")
    caption = f"How far each entry is below the highest score, {title}."
    return Table(caption, head, rows, marks=run.marks(protocol))


def confusion_table(
    counts: Ints, labels: Sequence[str], caption: str, marks: tuple[str, ...]
) -> Table:
    """Counts of truth (rows) against prediction (columns), with the recall."""
    totals = counts.sum(axis=1)
    rows = []
    for i, label in enumerate(labels):
        recall = counts[i, i] / totals[i] if totals[i] else float("nan")
        rows.append((visible(label), *(str(c) for c in counts[i]), percent(recall)))
    head = ("True \\ predicted", *(visible(x) for x in labels), "Recall %")
    return Table(caption, head, rows, marks=marks)


def speakers_table(
    values: Floats,
    clips: Sequence[int],
    names: Sequence[str],
    entries: Sequence[str],
    title: str,
    marks: tuple[str, ...],
) -> Table:
    """UAR of every entry on every speaker (rows)."""
    rows = [
        (visible(name), str(n), *(percent(v) for v in line))
        for name, n, line in zip(names, clips, values, strict=True)
    ]
    head = ("Speaker", "Clips", *(visible(e) for e in entries))
    return Table(f"UAR % per speaker, {title}.", head, rows, marks=marks)


def costs_table(run: Run, protocol: str, title: str) -> Table:
    """Time and size of every entry."""
    rows = []
    details = {e["name"]: e for e in run.info["entries"]}
    for row in run.scored(protocol).to_dict("records"):
        mine = run.costs
        if not mine.empty:
            chosen = (mine["entry"] == row["entry"]) & (mine["protocol"] == protocol)
            mine = mine[chosen & ~mine["control"].astype(bool)]
        mean = {
            name: float(mine[name].mean()) if name in mine and mine[name].notna().any() else np.nan
            for name in ("parameters", "size_bytes", "n_features")
        }
        entry = details.get(row["entry"], {})
        rows.append(
            (
                visible(row["entry"]),
                visible(entry.get("features", "–")),
                quantity(mean["n_features"]),
                quantity(row.get("fit_s", np.nan)),
                quantity(row.get("predict_ms", np.nan)),
                quantity(round(mean["parameters"]) if mean["parameters"] > 0 else np.nan),
                quantity(mean["size_bytes"] / 1e6),
            )
        )
    head = ("Entry", "Features", "Columns", "Training, s", "Prediction, ms per clip", "Parameters")
    caption = f"Time and size, {title}. Training is the sum over folds (mean over seeds)."
    return Table(caption, (*head, "Size, MB"), rows, frozenset({0, 1}), run.marks(protocol))


def training_table(
    lines: Sequence[tuple[object, object, pd.DataFrame]], caption: str, marks: tuple[str, ...]
) -> Table:
    """The end of every training: (fold, seed, its history in the order of epochs)."""
    rows = []
    for fold, seed, history in lines:
        last = history.iloc[-1]
        cells = (str(len(history)), f"{last['train_loss']:.3f}", percent(last["train_accuracy"]))
        more = (percent(last["validation_uar"]), quantity(float(history["seconds"].sum())))
        rows.append((visible(fold), visible(seed), *cells, *more))
    head = ("Fold", "Seed", "Epochs", "Last loss", "Last training accuracy %")
    return Table(caption, (*head, "Last validation UAR %", "Seconds"), rows, marks=marks)


def counts_table(run: Run) -> Table:
    """Clips per speaker and emotion."""
    counts: dict[str, dict[str, int]] = run.info["corpus"].get("counts", {})
    lines = {s: [int(each.get(x, 0)) for x in run.labels] for s, each in counts.items()}
    rows = [(visible(s), *(str(c) for c in line), str(sum(line))) for s, line in lines.items()]
    total = [sum(column) for column in zip(*lines.values(), strict=True)]
    if total:
        rows.append(("All", *(str(c) for c in total), str(sum(total))))
    head = ("Speaker", *(visible(x) for x in run.labels), "All")
    title = visible(run.info["corpus"].get("title", ""))
    return Table(f"Clips per speaker and emotion, {title}.", head, rows, marks=run.marks())


def entries_table(run: Run) -> Table:
    """What was compared: model, features, settings, licence."""
    rows = []
    for e in run.info["entries"]:
        settings = ", ".join(f"{k} = {v}" for k, v in (e.get("params") or {}).items()) or "defaults"
        cells = (e["name"], e["kind"], e["model"], e["features"], e.get("level", "–"))
        more = (settings, e.get("words", ""), e.get("licence", "–"))
        rows.append(tuple(visible(c) for c in (*cells, *more)))
    head = ("Entry", "Kind", "Model", "Features", "Level", "Settings", "In words", "Licence")
    return Table("The entries.", head, rows, frozenset(range(8)), run.marks())


def failures_table(run: Run) -> Table:
    """Clips that could not be used, and why."""
    names = ("file", "stage", "reason", "message")
    rows = [tuple(visible(f.get(n, "")) for n in names) for f in run.info.get("failures", [])]
    head = ("File", "Stage", "Reason", "Message")
    caption = "Clips that could not be used; no score knows them."
    return Table(caption, head, rows, frozenset(range(4)), run.marks())


# --- the leaderboard elsewhere ---------------------------------------------------------------


def as_text(board: pd.DataFrame) -> list[list[str]]:
    """The leaderboard as rows of text for a terminal; the first row is the header.

    Columns: protocol, entry, UAR %, 95 % interval, folds, WAR %, F1 %, AUC, clips. Control rows
    say so in the entry's name.
    """
    rows = [
        ["protocol", "entry", "UAR %", "95 % interval", "folds", "WAR %", "F1 %", "AUC", "clips"]
    ]
    for row in board.to_dict("records"):
        rows.append(
            [
                visible(row["protocol"]),
                visible(row["entry"]) + (" (random labels)" if row["control"] else ""),
                percent(row["uar"]),
                interval(row["uar_low"], row["uar_high"]),
                f"{percent(row['uar_folds_mean'])} ± {percent(row['uar_folds_sd'])}",
                percent(row["war"]),
                percent(row["f1_macro"]),
                f"{row['auc']:.3f}" if np.isfinite(row["auc"]) else "–",
                str(row["n"]),
            ]
        )
    return rows


def as_markdown(tables: Iterable[Table]) -> str:
    """Tables as GitHub Markdown, each after its marks and caption."""
    blocks = []
    for table in tables:
        align = ["---" if i in table.text else "---:" for i in range(len(table.head))]
        lines = [_markdown_row(table.head), _markdown_row(align, raw=True)]
        lines += [_markdown_row(row) for row in table.rows]
        head = "".join(f"**{mark}**\n\n" for mark in table.marks)
        blocks.append(f"{head}{table.caption}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(blocks)


def _markdown_row(cells: Iterable[str], *, raw: bool = False) -> str:
    special = str.maketrans({c: f"\\{c}" for c in "\\|`*_<>[]"})
    return "| " + " | ".join(c if raw else c.translate(special) for c in cells) + " |"


def as_csv(run: Run) -> str:
    """The leaderboard as CSV, full precision (0..1), one row per protocol and entry.

    A name that a spreadsheet would run as a formula (it begins with = + - @) gets an apostrophe.
    """
    board = run.board.copy()
    dependent = {p["key"] for p in run.info["protocols"] if not p["speaker_independent"]}
    board["speaker_dependent"] = board["protocol"].isin(dependent)
    board["marks"] = ["; ".join(run.marks(p)) for p in board["protocol"]]
    for name in ("protocol", "entry", "marks"):
        board[name] = [_cell(v) for v in board[name]]
    return str(board.to_csv(index=False, lineterminator="\n"))


def _cell(text: object) -> str:
    shown = visible(text)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown
