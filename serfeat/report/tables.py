"""The tables of the report: what a run holds, as rows of text.

Conventions
-----------
A `Table` is text only: headers, rows, a caption and which columns hold numbers; the page, the
Markdown file and the terminal all print the same. UAR, WAR and F1 are in percent with one decimal,
differences in points (`serfeat.report.numbers`).

Contents
--------
`scores_table` `gap_table` `pairs_table` `confusion_table` `speakers_table` `costs_table`
`training_table` `counts_table` `entries_table` `failures_table` : the tables of the page.
`beaten_words` `normalisation_words` : two of their cells.
`judged` : the scores of a training that its curves and its table show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from serfeat.report.blocks import Table
from serfeat.report.differences import beaten_by
from serfeat.report.numbers import interval, p_value, percent, points, quantity, visible
from serfeat.report.run import Run
from serfeat.stats import Difference
from serfeat.types import Floats, Ints

__all__ = [
    "Judged",
    "beaten_words",
    "confusion_table",
    "costs_table",
    "counts_table",
    "entries_table",
    "failures_table",
    "gap_table",
    "judged",
    "normalisation_words",
    "pairs_table",
    "scores_table",
    "speakers_table",
    "training_table",
]

# what a leaderboard says of an entry's normalisation
NORMALISATIONS = {
    "global": "global",
    "none": "none",
    "speaker": "per speaker: uses the test speakers' unlabelled audio",
}


def normalisation_words(run: Run, entry: str) -> str:
    """How an entry was normalised, in words that cannot be overlooked where it is transductive."""
    found = run.normalisation(entry)
    return NORMALISATIONS.get(found, visible(found))


def beaten_words(run: Run, entry: str, protocol: str) -> str:
    """The entries that one is better than, as few words: "all from knn down (12)"."""
    beaten = beaten_by(run, entry, protocol)
    ranked = [str(e) for e in run.scored(protocol)["entry"]]
    if not beaten:
        return "–"
    if len(beaten) > 3 and beaten == ranked[-len(beaten) :]:
        return f"all from {visible(beaten[0])} down ({len(beaten)})"
    return ", ".join(visible(e) for e in beaten)


# --- the tables of the page ------------------------------------------------------------------


def scores_table(run: Run, protocol: str, title: str) -> Table:
    """The leaderboard of one protocol, the control last."""
    rows = []
    parts = [run.scored(protocol), run.scored(protocol, control=True)]
    for row in pd.concat(parts).to_dict("records"):
        folds = f"{percent(row['uar_folds_mean'])} ± {percent(row['uar_folds_sd'])}"
        control, entry = bool(row["control"]), str(row["entry"])
        rows.append(
            (
                visible(entry) + (", random labels (control)" if control else ""),
                percent(row["uar"]),
                interval(row["uar_low"], row["uar_high"]),
                "–" if control else beaten_words(run, entry, protocol),
                normalisation_words(run, entry),
                folds,
                percent(row["war"]),
                percent(row["f1_macro"]),
                f"{row['auc']:.3f}" if np.isfinite(row["auc"]) else "–",
                "control" if control else run.kind(entry),
                str(row["n"]),
                f"{row['seeds']}" + _spread(row["uar_seeds_sd"]),
            )
        )
    head = ("Entry", "UAR %", "95 % interval", "Better than", "Normalisation")
    more = ("Mean of folds ± sd", "WAR %", "F1 macro %", "AUC", "Kind", "Clips", "Seeds")
    caption = (
        f"Scores, {title}. Chance: UAR {percent(run.board['chance'].iloc[0])} %. “Better than” "
        "names the entries that a paired test puts this one ahead of, after Holm's correction for "
        "all pairs; no name means that nothing is shown, not that the two are equal."
    )
    return Table(caption, (*head, *more), rows, frozenset({0, 3, 4, 9}), run.marks(protocol))


def _spread(sd: float) -> str:
    """The spread of UAR over seeds, beside their number."""
    return f" (sd {100 * sd:.1f})" if np.isfinite(sd) else ""


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


def pairs_table(run: Run, protocol: str, title: str) -> Table:
    """Every pair of entries: the higher score first, its lead, and what each test says."""
    from serfeat.statistics.significance import DECIDING, TESTS

    others = [test for test in TESTS if test != DECIDING]
    rows = []
    for r in run.pairs[run.pairs["protocol"] == protocol].to_dict("records"):
        cells = (visible(r["a"]), visible(r["b"]), points(r["difference"]))
        ends = interval(r["low"], r["high"], signed=True)
        more = (ends, "yes" if r["better"] else "no", p_value(r["p_holm"]), p_value(r["p"]))
        rows.append((*cells, *more, *(p_value(r[f"p_{test}"]) for test in others)))
    head = ("Entry", "Other entry", "Ahead by, points", "95 % interval", "Better", "p after Holm")
    words = "; ".join(f"{test.replace('_', ' ')}: {TESTS[test]}" for test in others)
    caption = (
        f"Every pair of entries on the same clips, {title}; the higher score is named first. "
        f"“Better” is decided by {TESTS[DECIDING]}, after Holm’s correction for all pairs. For "
        f"comparison, uncorrected: {words}."
    )
    full = (*head, "p", *(f"p, {test.replace('_', ' ')}" for test in others))
    return Table(caption, full, rows, frozenset({0, 1, 4}), run.marks(protocol))


def confusion_table(
    counts: Ints, labels: Sequence[str], caption: str, marks: tuple[str, ...]
) -> Table:
    """Per cent of each truth (rows) and counts, shaded by the share; the last column is recall."""
    totals = counts.sum(axis=1, keepdims=True)
    share = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=share, where=totals > 0)
    rows = []
    for i, label in enumerate(labels):
        cells = (
            f"{percent(share[i, j], 0)} ({counts[i, j]})" if totals[i] else "–"
            for j in range(len(labels))
        )
        rows.append((visible(label), *cells, str(totals[i, 0])))
    head = ("True \\ predicted", *(visible(x) for x in labels), "Clips")
    shade = np.full((len(labels), len(labels) + 2), np.nan)
    shade[:, 1:-1] = share
    return Table(caption, head, rows, marks=marks, shade=shade)


def speakers_table(
    values: Floats,
    clips: Sequence[int],
    names: Sequence[str],
    entries: Sequence[str],
    caption: str,
    marks: tuple[str, ...],
) -> Table:
    """A score (0..1) of every entry on every speaker (rows), shaded."""
    rows = [
        (visible(name), str(n), *(percent(v) for v in line))
        for name, n, line in zip(names, clips, values, strict=True)
    ]
    head = ("Speaker", "Clips", *(visible(e) for e in entries))
    shade = np.hstack([np.full((len(rows), 2), np.nan), values])
    return Table(caption, head, rows, marks=marks, shade=shade)


def costs_table(run: Run, protocol: str, title: str) -> Table:
    """Time and size of every entry."""
    rows = []
    details = {e["name"]: e for e in run.info["entries"]}
    for row in run.scored(protocol).drop_duplicates("entry").to_dict("records"):
        mine = run.table("costs")
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


class Judged(NamedTuple):
    """A column of history.parquet that says how good an epoch was."""

    column: str
    words: str
    percent: bool  # of 0..1; else printed as it is


JUDGED = (
    Judged("validation_uar", "validation UAR", True),
    Judged("validation_ccc", "validation CCC", False),
    Judged("train_accuracy", "training accuracy", True),
)


def judged(history: pd.DataFrame, *, on_test: bool) -> list[Judged]:
    """Which scores the trainings of an entry have; those on speakers held out come first.

    Parameters
    ----------
    history : rows of history.parquet.
    on_test : the epoch was chosen on the test fold: its score is called what it is.
    """
    found = [one for one in JUDGED if one.column in history and history[one.column].notna().any()]
    return [
        one._replace(words=one.words.replace("validation", "test-fold")) if on_test else one
        for one in found
    ]


def training_table(
    lines: Sequence[tuple[object, object, pd.DataFrame]],
    caption: str,
    marks: tuple[str, ...],
    scores: Sequence[Judged],
) -> Table:
    """The end of every training: (fold, seed, its history in the order of epochs)."""
    rows = []
    for fold, seed, history in lines:
        last = history.iloc[-1]
        rows.append(
            (
                visible(fold),
                visible(seed),
                str(len(history)),
                f"{last['train_loss']:.3f}",
                *(
                    percent(last[one.column]) if one.percent else quantity(last[one.column])
                    for one in scores
                ),
                quantity(float(history["seconds"].sum())),
            )
        )
    names = [f"Last {one.words}{' %' if one.percent else ''}" for one in scores]
    head = ("Fold", "Seed", "Epochs", "Last loss", *names, "Seconds")
    return Table(caption, head, rows, marks=marks)


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
        cells = (e["name"], e["kind"], e["model"], e["features"], e.get("level", "–"))
        more = (_settings(e), normalisation_words(run, e["name"]), e.get("words", ""))
        rows.append(tuple(visible(c) for c in (*cells, *more, e.get("licence", "–"))))
    head = ("Entry", "Kind", "Model", "Features", "Level", "Settings", "Normalisation", "In words")
    caption = "The entries: model, features, settings, and the licence of what made the features."
    return Table(caption, (*head, "Licence"), rows, frozenset(range(9)), run.marks())


def _settings(entry: Mapping[str, Any]) -> str:
    """Everything that was set by the recipe, as "name = value"."""
    given = dict(entry.get("params") or {})
    usual = {"targets": "labels", "train_on": "all", "augment": {}, "tune": ""}
    given |= {name: entry[name] for name, u in usual.items() if entry.get(name, u) not in (u, {})}
    return ", ".join(f"{k} = {v}" for k, v in given.items()) or "defaults"


def failures_table(run: Run) -> Table:
    """Clips that could not be used, and why."""
    names = ("file", "stage", "reason", "message")
    rows = [tuple(visible(f.get(n, "")) for n in names) for f in run.info.get("failures", [])]
    head = ("File", "Stage", "Reason", "Message")
    caption = "Clips that could not be used; no score knows them."
    return Table(caption, head, rows, frozenset(range(4)), run.marks())
