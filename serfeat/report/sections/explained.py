"""What decisions rest on: families of features, and where in a clip a network looks."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import ManifestError
from serfeat.report import figures
from serfeat.report.blocks import Block, Part, Picture, Section, Table, Words
from serfeat.report.numbers import interval, percent, points, visible
from serfeat.report.run import Run
from serfeat.report.sections.scores import part_of
from serfeat.report.words import title_of

__all__ = ["importance_section", "looks_section"]

CLIPS, STRIPS, FRAMES = 3, 6, 200  # of the drawings along time
ABLATED = re.compile(r"(.+?) (?:without|only) \S+( \[.+\])?")  # names that an ablation gives
BIAS = "(bias)"


# --- families of features --------------------------------------------------------------------


def importance_section(run: Run) -> Section:
    """Permutation, training again without a family, and the shares of single clips."""
    title = "What the scores rest on"
    parts: list[Block] = []
    for number, protocol in enumerate(run.protocols):
        blocks = [*_permutation(run, protocol["key"], number), *_ablations(run, protocol["key"])]
        blocks += _contributions(run, protocol["key"])
        if blocks:
            parts.append(part_of(protocol, blocks))
    if not parts:
        return Section("importance", title)
    words = (
        "Families of features overlap: what one tells another may tell too. A permutation asks "
        "what the trained model uses; training again without a family asks what only that family "
        "can tell. An interval that contains 0 does not show that a family matters, nor that it "
        "does not."
    )
    return Section("importance", title, [Words(words), *parts], short="Importance")


def _permutation(run: Run, key: str, number: int) -> list[Block]:
    """What each entry loses when a family is exchanged between the test clips."""
    stored = run.table("importance", protocol=key)
    if stored.empty:
        return []
    from serfeat.explain.permutation import importance  # only such runs need it

    targets = list(dict.fromkeys(stored["target"])) if "target" in stored else ["emotion"]
    pictures: list[Block] = []
    for t, target in enumerate(targets):
        mine = stored[stored["target"] == target] if "target" in stored else stored
        drops = importance(mine, labels=run.labels)
        score = "UAR" if run.labels else f"CCC of {visible(target)}"
        for i, (entry, part) in enumerate(drops.groupby("entry", sort=False)):
            name = f"importance{number}-{t}-{i}"
            pictures.append(_drop_picture(run, str(entry), part, score, key, name))
    return [Part("", pictures, columns="grid")]


def _drop_picture(
    run: Run, entry: str, drops: pd.DataFrame, score: str, key: str, name: str
) -> Picture:
    rows = [
        {"name": r["family"], "value": r["drop"], "low": r["low"], "high": r["high"]}
        for r in drops.to_dict("records")
    ]
    said = "; ".join(f"{r['name']} {points(r['value'])}" for r in rows[:8])
    caption = (
        f"{visible(entry)}, {title_of(key)}: points of {score} lost when a family of features is "
        "exchanged between the test clips, with 95 % intervals over speakers."
    )
    marks = run.marks(key)
    svg = figures.bars(
        rows, across=f"loss of {score}, points", name=name, alt=f"{caption} {said}.", marks=marks
    )
    cells = [
        (visible(r["name"]), points(r["value"]), interval(r["low"], r["high"], signed=True))
        for r in rows
    ]
    head = ("Family", f"Loss of {score}, points", "95 % interval")
    return Picture(svg, caption, marks, Table(caption, head, cells, marks=marks))


def _ablations(run: Run, key: str) -> list[Block]:
    """Every entry that was also trained without a family, or with one alone."""
    if not run.labels:
        return []
    from serfeat.explain.ablation import ablation

    names = [str(e) for e in run.scored(key)["entry"]]
    full = [f"{m[1]}{m[2] or ''}" for m in map(ABLATED.fullmatch, names) if m]
    tables: list[Block] = []
    for entry in dict.fromkeys(e for e in full if e in names):
        try:
            found = ablation(run.predictions, entry, key, labels=run.labels)
        except ManifestError:
            continue  # a family whose entry was not tested on the same clips
        tables.append(_ablation_table(run, entry, found[found["kind"] != ""], key))
    return tables


def _ablation_table(run: Run, entry: str, found: pd.DataFrame, key: str) -> Table:
    rows = [
        (
            f"{r['kind']} {visible(r['family'])}",
            percent(r["uar"]),
            interval(r["low"], r["high"]),
            points(r["loss"]),
            interval(r["loss_low"], r["loss_high"], signed=True),
        )
        for r in found.to_dict("records")
    ]
    caption = (
        f"{visible(entry)} trained again without a family of features, and with one alone, "
        f"{title_of(key)}; the loss is against the entry with all of them."
    )
    head = ("Features", "UAR %", "95 % interval", "Loss, points", "95 % interval of the loss")
    return Table(caption, head, rows, marks=run.marks(key))


def _contributions(run: Run, key: str) -> list[Block]:
    """Mean size of what every family added to every label's score."""
    stored = run.table("contributions", protocol=key)
    tables: list[Block] = []
    if stored.empty:
        return tables
    stored = stored[stored["family"] != BIAS].assign(size=lambda t: t["contribution"].abs())
    for entry, part in stored.groupby("entry", sort=False):
        wide = part.pivot_table(index="family", columns="label", values="size", aggfunc="mean")
        wide = wide.loc[wide.sum(axis=1).sort_values(ascending=False, kind="stable").index]
        values = wide.to_numpy(dtype=np.float64)
        share = values / max(float(np.nanmax(values)), 1e-12)
        rows = [
            (visible(family), *(f"{v:.3f}" for v in line))
            for family, line in zip(wide.index, values, strict=True)
        ]
        caption = (
            f"{visible(entry)}, {title_of(key)}: mean size of what each family added to the score "
            "of each label (before the softmax), over the clips. It says what the model did, not "
            "what caused the emotion."
        )
        shade = np.hstack([np.full((len(rows), 1), np.nan), share])
        head = ("Family", *(visible(c) or "score" for c in wide.columns))
        tables.append(Table(caption, head, rows, marks=run.marks(key), shade=shade))
    return tables


# --- along a clip ----------------------------------------------------------------------------


def looks_section(run: Run) -> Section:
    """Attention, gates and evidence of a few clips of every entry that shows them."""
    title, key = "Where the networks look", run.main["key"]
    stored = run.table("gates", protocol=key)
    pictures: list[Block] = []
    if not stored.empty:
        along = stored[stored["time"].notna()]
        for i, (entry, part) in enumerate(along.groupby("entry", sort=False)):
            clips = part[["file", "start", "end"]].drop_duplicates().head(CLIPS)
            for j, clip in enumerate(clips.to_dict("records")):
                pictures.append(_look(run, str(entry), part, clip, key, f"look{i}-{j}"))
    if not pictures:
        return Section("looks", title)
    words = (
        f"Up to {CLIPS} clips of each entry; each strip is drawn from its least to its greatest "
        "value. A weight says where the network took its answer from, not why."
    )
    grid = part_of(run.main, pictures, columns="grid")
    return Section("looks", title, [Words(words), grid], short="Networks")


def _look(
    run: Run, entry: str, part: pd.DataFrame, clip: dict[str, Any], key: str, name: str
) -> Picture:
    same = part["file"] == clip["file"]
    for column in ("start", "end"):
        value = clip[column]
        same &= part[column].isna() if pd.isna(value) else part[column] == value
    mine = part[same]
    mine = mine[mine["seed"] == mine["seed"].iloc[0]]
    truth = visible(mine["truth"].iloc[0])
    strips = list(dict.fromkeys(mine["name"]))[:STRIPS]
    wide = mine.pivot_table(index="time", columns="name", values="weight")[strips].sort_index()
    if len(wide) > FRAMES:
        wide = wide.iloc[np.unique(np.linspace(0, len(wide) - 1, FRAMES).round().astype(int))]
    seconds, weights = wide.index.to_numpy(dtype=float), wide.to_numpy(dtype=np.float64).T
    peaks = [f"{s} highest at {seconds[int(np.nanargmax(w))]:.2f} s" for s, w in
             zip(strips, weights, strict=True)]  # fmt: skip
    caption = f"{visible(entry)} on {visible(clip['file'])} ({truth}), {title_of(key)}."
    marks = run.marks(key)
    alt = f"{caption} {'; '.join(peaks)}."
    svg = figures.over_time(seconds, weights, strips, name=name, alt=alt, marks=marks)
    rows = [
        (visible(s), f"{np.nanmin(w):.4g}", f"{np.nanmax(w):.4g}",
         f"{seconds[int(np.nanargmax(w))]:.2f}")
        for s, w in zip(strips, weights, strict=True)
    ]  # fmt: skip
    table = Table(caption, ("What", "Least", "Greatest", "Greatest at, s"), rows, marks=marks)
    return Picture(svg, caption, marks, table)
