"""What is left of a score under noise and with other corpora."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from serfeat.report import figures
from serfeat.report.blocks import Block, Bullets, Part, Picture, Section, Table, Words
from serfeat.report.numbers import interval, percent, points, visible
from serfeat.report.run import Run
from serfeat.report.sections.scores import part_of
from serfeat.report.words import title_of

__all__ = ["cross_section", "noise_section"]

LINES = 7  # of a figure: as many as can be told apart


# --- noise -----------------------------------------------------------------------------------


def noise_section(run: Run) -> Section:
    """UAR of every entry under every condition of the test clips; training knows none of them."""
    section = Section("noise", "Noise and other disturbances of the test clips", short="Noise")
    if run.disturbed.empty or run.targets:
        return section
    from serfeat.statistics.robustness import noise_curve  # only such runs need it

    said = [c for c in run.info.get("conditions", []) if "name" in c]
    both = pd.concat([run.predictions, run.disturbed], ignore_index=True)
    curve = noise_curve(both, labels=run.labels, conditions=said)
    words = (
        "The models are those of the scores above, trained on undisturbed clips; only the test "
        "clips were changed. SNR is the active speech level over the noise, in dB."
    )
    spoken = {str(c["name"]): str(c["words"]) for c in said if "words" in c}
    parts: list[Block] = [
        _noise_part(run, p, curve[curve["protocol"] == p["key"]], i)
        for i, p in enumerate(run.protocols)
        if (curve["protocol"] == p["key"]).any()
    ]
    terms = [(visible(name), visible(text)) for name, text in spoken.items()]
    about: list[Block] = [Words(words), *([Bullets(terms=terms)] if terms else [])]
    return Section(section.key, section.title, [*about, *parts], short=section.short)


def _noise_part(run: Run, protocol: dict[str, Any], curve: pd.DataFrame, number: int) -> Part:
    key, title = protocol["key"], title_of(protocol["key"])
    entries = [str(e) for e in run.scored(key)["entry"] if e in set(curve["entry"])]
    names = [str(c) for c in dict.fromkeys(curve["condition"])]
    wide = curve.pivot_table(index="entry", columns="condition", values="uar", dropna=False)
    values = wide.reindex(index=entries, columns=names).to_numpy(dtype=np.float64)
    marks = run.marks(key)
    caption = f"UAR % under each condition of the test clips, {title}."
    rows = [
        (visible(e), *(percent(v) for v in line)) for e, line in zip(entries, values, strict=True)
    ]
    shade = np.hstack([np.full((len(rows), 1), np.nan), values])
    head = ("Entry", *map(visible, names))
    blocks: list[Block] = [Table(caption, head, rows, marks=marks, shade=shade)]
    panels = _panels(curve, entries[:LINES])
    if panels:
        blocks.append(_noise_picture(run, panels, key, number, len(entries)))
    blocks.append(Part(f"Every loss with its interval, {title}", [_losses(curve, title, marks)],
                       columns="folded"))  # fmt: skip
    return part_of(protocol, blocks)


def _panels(
    curve: pd.DataFrame, entries: Sequence[str]
) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """One panel for each kind of noise, with and without treatment, that has 2 SNRs or more."""
    noisy = curve[np.isfinite(curve["snr"]) & curve["entry"].isin(entries)]
    panels = []
    for (kind, denoise, vad), part in noisy.groupby(["kind", "denoise", "vad"], sort=False):
        if part["snr"].nunique() < 2:
            continue
        lines = []
        for entry in entries:
            mine = part[part["entry"] == entry].groupby("snr")["uar"].mean().sort_index()
            lines.append({"entry": entry, "x": mine.index.to_numpy(), "y": mine.to_numpy()})
        title = " + ".join(x for x in (str(kind), str(denoise), f"vad {vad}" if vad else "") if x)
        panels.append((title, "SNR, dB", lines))
    return panels


def _noise_picture(run: Run, panels: list[Any], key: str, number: int, entries: int) -> Picture:
    title = title_of(key)
    ends = []
    for name, _, lines in panels:
        for line in lines:
            first, last = percent(line["y"][-1]), percent(line["y"][0])
            snr = f"{line['x'][-1]:g} to {line['x'][0]:g} dB"
            ends.append(f"{line['entry']} in {name} from {first} to {last} ({snr})")
    alt = f"UAR in per cent against SNR, {title}: {'; '.join(ends)}."
    chance = float(run.board["chance"].iloc[0])
    svg = figures.ladder(
        panels, chance=chance, score_name="UAR", name=f"noise{number}", alt=alt,
        marks=run.marks(key),
    )  # fmt: skip
    some = f"The {LINES} best of {entries} entries. " if entries > LINES else ""
    caption = (
        f"UAR against the signal-to-noise ratio, {title}; the dashed line is chance. {some}"
        "The numbers are in the table above."
    )
    return Picture(svg, caption, run.marks(key))


def _losses(curve: pd.DataFrame, title: str, marks: tuple[str, ...]) -> Table:
    rows = [
        (
            visible(r["entry"]),
            visible(r["condition"]),
            percent(r["uar"]),
            interval(r["uar_low"], r["uar_high"]),
            points(r["loss"]),
            interval(r["loss_low"], r["loss_high"], signed=True),
        )
        for r in curve[curve["condition"] != "clean"].to_dict("records")
    ]
    head = ("Entry", "Condition", "UAR %", "95 % interval", "Against clean, points")
    caption = f"Against the same clips undisturbed, {title}; intervals over speakers."
    return Table(caption, (*head, "95 % interval"), rows, frozenset({0, 1}), marks)


# --- other corpora ---------------------------------------------------------------------------


def cross_section(run: Run) -> Section:
    """Trained on one corpus (or language), tested on another."""
    section = Section("cross", "Trained on one corpus, tested on another", short="Other corpora")
    rows = run.table("rows")
    if run.targets or rows.empty or not run.folds:
        return section
    parts: list[Block] = []
    for by in ("corpus", "language"):
        names = set(rows[by].fillna("").astype(str)) if by in rows else set()
        if len(names) > 1 and "" not in names:
            parts += _matrices(run, rows, by)
    if not parts:
        return section
    words = (
        "A row says what was trained on, a column what was tested. The diagonal is training and "
        "test within one corpus; what is beside it is what a new microphone, language or style of "
        "acting leaves. All are over the emotions that every corpus has."
    )
    return Section(section.key, section.title, [Words(words), *parts], short=section.short)


def _matrices(run: Run, rows: pd.DataFrame, by: str) -> list[Block]:
    from serfeat.statistics.matrix import cross_matrix, grid, trained_on

    matrix = cross_matrix(run.predictions, trained_on(run.folds, rows, by=by), labels=run.labels)
    # Within one corpus the scores above say all; and voices that were heard are no diagonal here.
    used = matrix[matrix["protocol"].map(lambda p: not run.dependent(str(p)))]
    if used.empty or (used["setting"] == "within").all():
        return []
    grids: list[Block] = []
    for entry in dict.fromkeys(used["entry"]):
        wide = grid(used, entry)
        values = wide.to_numpy(dtype=np.float64)
        cells = [
            (visible(name), *(percent(v) for v in line))
            for name, line in zip(wide.index, values, strict=True)
        ]
        shade = np.hstack([np.full((len(cells), 1), np.nan), values])
        caption = f"{visible(entry)}: UAR %, trained on the row’s {by}, tested on the column’s."
        head = ("Trained \\ tested", *map(visible, wide.columns))
        grids.append(Table(caption, head, cells, marks=run.marks(), shade=shade))
    every = Part(f"Every {by} against every other, with intervals", [_crossings(run, used, by)],
                 columns="folded")  # fmt: skip
    return [Part(f"By {by}", grids, columns="grid"), every]


def _crossings(run: Run, matrix: pd.DataFrame, by: str) -> Table:
    rows = [
        (
            visible(r["entry"]),
            title_of(r["protocol"]),
            visible(r["train"]),
            visible(r["test"]),
            percent(r["uar"]),
            interval(r["uar_low"], r["uar_high"]),
            percent(r["chance"]),
            points(r["gap"]),
            interval(r["gap_low"], r["gap_high"], signed=True),
            str(r["n"]),
            str(r["shared_speakers"]),
        )
        for r in matrix.to_dict("records")
    ]
    head = ("Entry", "Protocol", "Trained on", "Tested on", "UAR %", "95 % interval", "Chance %")
    more = (f"Against within the {by}, points", "95 % interval", "Clips", "Shared speakers")
    caption = f"Trained and tested by {by}; intervals over the speakers of the test {by}."
    return Table(caption, (*head, *more), rows, frozenset({0, 1, 2, 3}), run.marks())
