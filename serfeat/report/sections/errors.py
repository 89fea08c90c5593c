"""Where the entries fail: which emotions, which speakers, which groups, and how sure they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ModelError
from serfeat.report import figures, tables
from serfeat.report.blocks import Block, Part, Picture, Section, Table, Words
from serfeat.report.numbers import interval, percent, visible
from serfeat.report.run import Run, rows_of
from serfeat.report.sections.scores import part_of
from serfeat.report.words import confusion_words, title_of

__all__ = ["calibration_section", "confusions_section", "speakers_section"]

MANY = 12  # drawings of one protocol; the table has every entry


def confusions_section(run: Run) -> Section:
    """One shaded matrix per entry and protocol."""
    words = (
        "Rows are the true emotion, columns the prediction. Each cell is per cent of its row, with "
        "the number of clips in brackets; the diagonal is the recall."
    )
    if len(run.info.get("seeds", ())) > 1:
        words += f" A clip counts once for each of the {len(run.info['seeds'])} seeds."
    parts: list[Block] = [_confusions_part(run, p) for p in run.protocols]
    return Section("confusions", "Confusions", [Words(words), *parts])


def _confusions_part(run: Run, protocol: dict[str, Any]) -> Part:
    key, title, out = protocol["key"], title_of(protocol["key"]), []
    for entry in run.scored(key)["entry"]:
        rows = run.rows(key, entry)
        counts = metrics.confusion(list(rows["truth"]), list(rows["prediction"]), run.labels)
        words = confusion_words(counts, run.labels)
        caption = f"{visible(entry)}, {title}: truth against prediction. {words}"
        out.append(tables.confusion_table(counts, run.labels, caption, run.marks(key)))
    # More than four labels across do not fit into a narrow column.
    return part_of(protocol, out, columns="grid" if len(run.labels) <= 4 else "grid broad")


def speakers_section(run: Run) -> Section:
    """UAR of every entry on every speaker."""
    words = (
        "An average hides for whom it fails. Small numbers of clips make single cells uncertain."
    )
    each = metrics.per_speaker(run.predictions, labels=run.labels)
    each = each[~each["control"].astype(bool)]
    parts: list[Block] = [_speakers_part(run, p, each) for p in run.protocols]
    return Section("speakers", "Speaker by speaker", [Words(words), *parts], short="Speakers")


def _speakers_part(run: Run, protocol: dict[str, Any], each: pd.DataFrame) -> Part:
    key, title = protocol["key"], title_of(protocol["key"])
    each = each[each["protocol"] == key]
    entries = [str(e) for e in run.scored(key)["entry"]]
    wide = each.pivot_table(index="speaker", columns="entry", values="uar", dropna=False)[entries]
    wide = wide.sort_index()
    clips = each.groupby("speaker")["n"].max()[wide.index]
    values = wide.to_numpy(dtype=np.float64)
    names = [str(s) for s in wide.index]
    mean = pd.Series(values.mean(axis=1), index=names)
    caption = f"UAR % per speaker and entry, {title}, over the emotions that the speaker has."
    if mean.notna().all():
        caption += (
            f" Hardest {visible(mean.idxmin())} (mean {percent(mean.min())} %), easiest "
            f"{visible(mean.idxmax())} ({percent(mean.max())} %)."
        )
    marks = run.marks(key)
    table = tables.speakers_table(values, list(clips), names, entries, caption, marks)
    return part_of(protocol, [table])


def calibration_section(run: Run) -> Section:
    """Whether stated probabilities come true."""
    title = "Stated and true probability"
    columns = [f"p_{label}" for label in run.labels]
    if run.targets or not set(columns) <= set(run.predictions):
        return Section("calibration", title)
    probable = run.predictions[columns].notna().all(axis=1).to_numpy()
    rows = run.predictions[probable]
    if rows.empty:
        return Section("calibration", title)
    from serfeat.statistics.calibration import calibration_board

    try:
        board = calibration_board(rows, labels=run.labels)
    except ModelError:  # scores of an old run that are no probabilities
        return Section("calibration", title)
    parts: list[Block] = []
    for number, protocol in enumerate(run.protocols):
        mine = board[board["protocol"] == protocol["key"]]
        if not mine.empty:
            blocks: list[Block] = [_calibration_table(run, mine, protocol["key"])]
            drawn = [
                _reliability(run, rows, entry, protocol["key"], f"calibration{number}-{i}")
                for i, entry in enumerate(run.names(protocol["key"])[:MANY])
                if (mine["entry"] == entry).any()
            ]
            parts.append(part_of(protocol, [*blocks, Part("", drawn, columns="grid")]))
    words = (
        "An entry that says 70 % should be right in 70 of 100 such clips: on the dashed line. "
        "Below it the entry is surer than it may be. ECE is the mean distance; by chance alone it "
        "is not 0 either."
    )
    return Section("calibration", title, [Words(words), *parts], short="Calibration")


def _calibration_table(run: Run, board: pd.DataFrame, key: str) -> Table:
    rows = [
        (
            visible(r["entry"]),
            percent(r["ece"]),
            f"{percent(r['ece_chance'])} (at most {percent(r['ece_chance_high'])})",
            percent(r["confidence"]),
            percent(r["accuracy"]),
            f"{r['brier']:.3f}",
            f"{r['log_loss']:.3f}",
        )
        for r in board.to_dict("records")
    ]
    head = ("Entry", "ECE, points", "By chance alone", "Mean stated %", "Right %", "Brier")
    caption = f"Calibration, {title_of(key)}; ECE over 10 bins of the winner's probability."
    return Table(caption, (*head, "Log loss, nats"), rows, marks=run.marks(key))


def _reliability(run: Run, rows: pd.DataFrame, entry: str, key: str, name: str) -> Picture:
    from serfeat.statistics.calibration import clip_keys, reliability

    mine = rows_of(rows, key, entry)
    proba = mine[[f"p_{label}" for label in run.labels]].to_numpy(dtype=np.float64)
    speakers = list(metrics.speaker_key(mine))
    clips = clip_keys(mine)
    found = reliability(list(mine["truth"]), proba, run.labels, speakers=speakers, clips=clips)
    share = found["n"].to_numpy(dtype=np.float64) / max(len(mine), 1)
    stated, right = (found[c].to_numpy(dtype=np.float64) for c in ("confidence", "accuracy"))
    caption = f"{visible(entry)}, {title_of(key)}: how often the winner is right."
    filled = found[found["n"] > 0].to_dict("records")
    said = "; ".join(
        f"says {percent(r['confidence'], 0)} %, right in {percent(r['accuracy'], 0)} %"
        for r in filled
    )
    marks = run.marks(key)
    svg = figures.reliability(stated, right, share, name=name, alt=f"{caption} {said}.",
                              marks=marks)  # fmt: skip
    cells = [
        (
            f"{percent(r['low'], 0)} to {percent(r['high'], 0)} %",
            percent(r["confidence"]),
            percent(r["accuracy"]),
            interval(r["accuracy_low"], r["accuracy_high"]),
            str(int(r["n"])),
        )
        for r in filled
    ]
    head = ("Stated between", "Mean stated %", "Right %", "95 % interval", "Clips")
    return Picture(svg, caption, marks, Table(caption, head, cells, marks=marks))
