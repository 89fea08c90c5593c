"""The tables of the report: what a run folder holds, as rows of text.

Conventions
-----------
A `Table` is text only: headers, rows, a caption and which columns hold numbers; the page, the
Markdown file and the terminal all print the same. UAR, WAR and F1 are in percent with one decimal,
differences in points, "–" is "not defined". Minus signs are real ones (U+2212). Names come from
strangers: `visible` shows control characters as escapes, so that no name can rewrite a terminal
or reverse the text around it; HTML is escaped by the template, not here.

Contents
--------
`Run` `read_run`   : the run folder, checked.
`visible` `percent` `points` `interval` `quantity` : numbers and names as text.
`scores_table` `gap_table` `differences_table` `confusion_table` `speakers_table` `costs_table`
`training_table` `counts_table` `entries_table` `failures_table` : the tables of the page.
`as_text` `as_markdown` `as_csv` : the leaderboard elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import StoreError
from serfeat.stats import Difference, leaderboard
from serfeat.types import Floats, Ints

__all__ = [
    "Run",
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
    "interval",
    "percent",
    "points",
    "quantity",
    "read_run",
    "scores_table",
    "speakers_table",
    "training_table",
    "visible",
]

SYNTHETIC = "SYNTHETIC SPEECH: scores say nothing about people"
DEPENDENT = "SPEAKER-DEPENDENT: the test speakers' other clips are in the training folds"


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


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Parameters
    ----------
    info : run.json.
    predictions, history, costs : the tables (see `serfeat.report`).
    board : `serfeat.stats.leaderboard` of the predictions.
    """

    info: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    costs: pd.DataFrame
    board: pd.DataFrame
    labels: list[str] = field(default_factory=list)

    @property
    def protocols(self) -> list[dict[str, Any]]:
        """The protocols that have predictions, speaker-independent ones first."""
        ran = set(self.board["protocol"])
        known = [p for p in self.info["protocols"] if p["key"] in ran]
        return sorted(known, key=lambda p: not p["speaker_independent"])

    def marks(self, protocol: str | None = None) -> tuple[str, ...]:
        """The warnings that everything made from this run (and protocol) must carry."""
        out = [SYNTHETIC] if self.info["corpus"].get("synthetic") else []
        dependent = {p["key"] for p in self.info["protocols"] if not p["speaker_independent"]}
        if protocol in dependent:
            out.append(DEPENDENT)
        return (*out, *(str(m) for m in self.info.get("marks", [])))

    def kind(self, entry: str) -> str:
        """Kind of an entry: classical or deep."""
        kinds = {e["name"]: str(e["kind"]) for e in self.info["entries"]}
        return kinds.get(entry, "classical")

    def scored(self, protocol: str, *, control: bool = False) -> pd.DataFrame:
        """The leaderboard's rows of one protocol, best first."""
        mine = (self.board["protocol"] == protocol) & (self.board["control"] == control)
        return self.board[mine]

    def rows(self, protocol: str, entry: str) -> pd.DataFrame:
        """The predictions of one entry, without the control."""
        p = self.predictions
        mine = (p["protocol"] == protocol) & (p["entry"] == entry) & ~p["control"].astype(bool)
        return p[mine.to_numpy()]


def read_run(folder: Path) -> Run:
    """Read a run folder and score its predictions.

    Raises
    ------
    StoreError : a part of the folder that is missing, cannot be read or lacks a column.
    """
    again = "run the comparison again"
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        predictions = pd.read_parquet(folder / "predictions.parquet")
        optional = [folder / "history.parquet", folder / "costs.parquet"]
        history, costs = (pd.read_parquet(p) if p.exists() else pd.DataFrame() for p in optional)
    except (OSError, ValueError) as problem:
        raise StoreError(str(problem), where=folder, code="unreadable-run", fix=again) from problem
    needed = {"corpus", "labels", "protocols", "entries"} - set(info)
    columns = ["file", "corpus", "speaker", "truth", "prediction", "entry", "protocol", "fold"]
    lacking = sorted(needed | ({*columns, "seed", "control"} - set(predictions)))
    if lacking or predictions.empty:
        found = f"without {', '.join(lacking)}" if lacking else "without any prediction"
        raise StoreError(f"a run {found}", where=folder, code="incomplete-run", fix=again)
    labels = [str(label) for label in info["labels"]]
    board = leaderboard(predictions, None if costs.empty else costs, labels=labels)
    return Run(info, predictions, history, costs, board, labels)


# --- numbers and names as text ---------------------------------------------------------------


def visible(text: object) -> str:
    """Text with every control, bidirectional or other unprintable character as an escape."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in str(text)
    )


def percent(value: float, digits: int = 1) -> str:
    """0..1 as per cent without the sign: 0.7412 -> "74.1"."""
    return f"{100 * value:.{digits}f}" if np.isfinite(value) else "–"


def points(value: float) -> str:
    """A difference in points with its sign: -0.021 -> "−2.1"."""
    text = f"{100 * value:+.1f}" if np.isfinite(value) else "–"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def interval(low: float, high: float, *, signed: bool = False) -> str:
    """An interval in percent or points: "[66.2, 80.1]"."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "[not defined]"
    show = points if signed else percent
    return f"[{show(low)}, {show(high)}]"


def quantity(value: float, digits: int = 3) -> str:
    """A number with 3 digits, thousands apart: 1234567 -> "1 234 567", 0.01234 -> "0.0123"."""
    if not np.isfinite(value):
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.{digits}g}"


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
    caption = "The gap: what knowing the voice is worth. Same clips, same entries, other folds."
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
