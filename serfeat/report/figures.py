"""The pictures of the report, as inline SVG.

Conventions
-----------
Every function takes plain numbers and returns the text of one `<svg>` element (how it is made:
`serfeat.report.canvas`). Scores are drawn in percent. `marks` are the warnings that a figure must
carry wherever it is copied to ("SYNTHETIC SPEECH", "SPEAKER-DEPENDENT"); they are drawn into it.
Confusions and speakers are shaded tables (`serfeat.report.blocks.Table`), not pictures.

Contents
--------
`forest` `gap`        : scores of entries.
`ladder` `reliability` `scatter` : a score against noise; stated against true probability; truth
    against prediction.
`bars`                : contributions with their intervals.
`curves` `over_time`  : training; weights along a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from serfeat.report.canvas import (
    BLUE,
    CYCLE,
    GREY,
    INK,
    PAPER,
    RULE,
    VERMILION,
    canvas,
    finish,
    margin,
    percent_axis,
    short,
)
from serfeat.types import Floats

__all__ = [
    "bars",
    "curves",
    "forest",
    "gap",
    "ladder",
    "over_time",
    "reliability",
    "scatter",
]

# kind of entry -> (colour, marker)
LOOK = {"classical": (BLUE, "o"), "deep": (VERMILION, "s"), "control": (GREY, "D")}


def forest(
    rows: Sequence[dict[str, Any]], *, chance: float, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw UAR with its interval, one line per entry, and the chance level.

    Parameters
    ----------
    rows : entry, kind ("classical", "deep", "control"), uar, low, high (0..1; NaN: not drawn).
    chance : 0..1.
    name : unique on the page; prefix of the ids.
    alt : what a reader who cannot see the figure is told.
    marks : warnings drawn into the figure.
    """
    with canvas(4.7, 0.95 + 0.36 * len(rows)) as figure:
        ax = figure.add_subplot()
        for y, row in enumerate(rows):
            colour, marker = LOOK[row["kind"]]
            fill = PAPER if row["kind"] == "control" else colour
            if np.isfinite(row["low"]):
                ax.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour, lw=1.8)
            ax.plot(100 * row["uar"], y, marker, color=colour, mfc=fill, ms=6.5, mew=1.4)
        ax.axvline(100 * chance, color=INK, lw=0.9, ls=(0, (4, 3)))
        ax.text(100 * chance, -0.75, f" chance {100 * chance:.1f}", va="bottom", color=GREY)
        ax.set_yticks(range(len(rows)), [short(row["entry"]) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.8)
        percent_axis(ax, "UAR in %, with 95 % interval over speakers")
        return finish(figure, name, alt, marks)


def gap(
    rows: Sequence[dict[str, Any]], *, chance: float, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw each entry's UAR with held-out speakers and with random folds, joined by a line.

    Parameters
    ----------
    rows : entry, held, random (0..1).
    chance, name, alt, marks : as in `forest`.
    """
    with canvas(4.7, 1.25 + 0.36 * len(rows)) as figure:
        ax = figure.add_subplot()
        for y, row in enumerate(rows):
            held, random = 100 * row["held"], 100 * row["random"]
            ax.plot([held, random], [y, y], color=RULE, lw=4, solid_capstyle="butt", zorder=1)
            first = y == 0
            ax.plot(held, y, "o", color=BLUE, ms=7, label="held-out speakers" if first else None)
            ax.plot(
                random,
                y,
                "^",
                color=VERMILION,
                mfc=PAPER,
                mew=1.4,
                ms=7,
                label="random folds (speaker-dependent)" if first else None,
            )
            right = max(held, random)
            ax.text(right + 2, y, f"{random - held:+.1f}".replace("-", "−"), va="center")
        ax.axvline(100 * chance, color=INK, lw=0.9, ls=(0, (4, 3)))
        ax.set_yticks(range(len(rows)), [short(row["entry"]) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        percent_axis(ax, "UAR in %; dashed: chance; numbers: the gap in points")
        figure.legend(loc="outside lower left", frameon=False, ncols=2, fontsize=9, handletextpad=0)
        return finish(figure, name, alt, marks)


def curves(
    losses: Sequence[tuple[Floats, Floats]],
    scores: Sequence[tuple[Floats, Floats]],
    *,
    score_name: str,
    percent: bool,
    name: str,
    alt: str,
    marks: Sequence[str] = (),
) -> str:
    """Draw the training loss and a score over epochs: one thin line per fold and seed.

    Parameters
    ----------
    losses, scores : (epochs, values) of each training; no scores: the losses alone are drawn.
    score_name : what the scores are, for the axis.
    percent : of the scores: from 0 to 1, drawn as 0 to 100; else up to 1, drawn as they are.
    name, alt, marks : as in `forest`.
    """
    with canvas(4.2, 3.6 if scores else 2.0) as figure:
        axes = figure.subplots(2 if scores else 1, 1, sharex=True, squeeze=False)[:, 0]
        scale = 100 if percent else 1
        for ax, lines, colour, by in zip(
            axes, (losses, scores), (INK, VERMILION), (1, scale), strict=False
        ):
            for epochs, values in lines:
                ax.plot(epochs, by * values, color=colour, lw=0.8, alpha=0.45)
            ax.grid(axis="y", color=RULE, lw=0.5)
        axes[0].set_ylabel("training loss")
        axes[0].set_ylim(bottom=0)
        if scores:
            axes[1].set_ylabel(f"{score_name}, %" if percent else score_name)
            axes[1].set_ylim(0 if percent else None, 1.02 * scale)
        axes[-1].set_xlabel("epoch")
        return finish(figure, name, alt, marks)


def ladder(
    panels: Sequence[tuple[str, str, Sequence[dict[str, Any]]]],
    *,
    chance: float,
    score_name: str,
    name: str,
    alt: str,
    marks: Sequence[str] = (),
) -> str:
    """Draw a score against the amount of a disturbance: one panel per kind, one line per entry.

    Parameters
    ----------
    panels : (title, name of the axis, lines); a line has entry, x (n,) and y (n,) in 0..1.
    chance : 0..1; NaN: not drawn.
    score_name : of the axis.
    name, alt, marks : as in `forest`.
    """
    height = 0.5 + 2.3 * len(panels)
    with canvas(4.7, height) as figure:
        axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for ax, (title, across, lines) in zip(axes, panels, strict=True):
            for (colour, marker), line in zip(_looks(len(lines)), lines, strict=True):
                label = short(line["entry"]) if ax is axes[0] else None
                y = 100 * np.asarray(line["y"])
                ax.plot(line["x"], y, marker, ls="-", color=colour, lw=1.2, ms=4.5, label=label)
            if np.isfinite(chance):
                ax.axhline(100 * chance, color=INK, lw=0.9, ls=(0, (4, 3)))
            ax.set_ylim(0, 100)
            ax.grid(axis="y", color=RULE, lw=0.5)
            ax.set_title(short(title), loc="left", fontsize=10)
            ax.set_xlabel(across)
            ax.set_ylabel(f"{score_name}, %")
        figure.legend(loc="outside lower left", frameon=False, ncols=3, fontsize=9)
        return finish(figure, name, alt, marks)


def _looks(n: int) -> list[tuple[str, str]]:
    """A colour and a marker for each of n lines; the seven pairs repeat."""
    return [CYCLE[i % len(CYCLE)] for i in range(n)]


def reliability(
    stated: Floats, found: Floats, share: Floats, *, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw how often a prediction is right against how probable the entry said it was.

    Parameters
    ----------
    stated, found : (bins,) mean stated probability and share of right predictions, 0..1; NaN where
        no clip falls into the bin.
    share : (bins,) of all clips; the area of the dot.
    name, alt, marks : as in `forest`.
    """
    with canvas(2.7, 2.8) as figure:
        ax = figure.add_subplot()
        ax.plot([0, 100], [0, 100], color=GREY, lw=0.9, ls=(0, (4, 3)))
        here = np.isfinite(stated) & np.isfinite(found)
        x, y = 100 * stated[here], 100 * found[here]
        ax.vlines(x, x, y, color=RULE, lw=3)
        ax.plot(x, y, color=BLUE, lw=1.0)
        ax.scatter(x, y, s=10 + 240 * share[here], color=BLUE, zorder=3)
        ax.set_xlim(0, 100)
        ax.set_ylim(0, 100)
        ax.set_aspect("equal")
        ax.set_xlabel("stated probability, %")
        ax.set_ylabel("right, %")
        return finish(figure, name, alt, marks)


def scatter(
    truth: Floats, prediction: Floats, *, what: str, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw predictions against the truth, with the line on which they are equal.

    Parameters
    ----------
    truth, prediction : (n,) in the unit of the rating; at most some hundred dots should come.
    what : the rating and its unit, for the axes.
    name, alt, marks : as in `forest`.
    """
    with canvas(3.0, 3.1) as figure:
        ax = figure.add_subplot()
        both = np.concatenate([truth, prediction])
        both = both[np.isfinite(both)]
        low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
        reach = 0.05 * (high - low) or 1.0
        ends = (low - reach, high + reach)
        ax.plot(ends, ends, color=GREY, lw=0.9, ls=(0, (4, 3)))
        ax.plot(truth, prediction, "o", color=BLUE, ms=3, alpha=0.45, mew=0)
        ax.set_xlim(ends)
        ax.set_ylim(ends)
        ax.set_aspect("equal")
        ax.set_xlabel(f"true {short(what)}")
        ax.set_ylabel(f"predicted {short(what)}")
        return finish(figure, name, alt, marks)


def bars(
    rows: Sequence[dict[str, Any]], *, across: str, name: str, alt: str, marks: Sequence[str] = ()
) -> str:
    """Draw differences in points with their intervals around zero.

    Parameters
    ----------
    rows : name, value, low, high (fractions, drawn in points; NaN low: no interval).
    across : name of the axis.
    name, alt, marks : as in `forest`.
    """
    with canvas(4.0, max(1.6, 0.8 + 0.27 * len(rows))) as figure:
        ax = figure.add_subplot()
        for y, row in enumerate(rows):
            ax.barh(y, 100 * row["value"], height=0.55, color=RULE)
            if np.isfinite(row["low"]):
                ax.plot([100 * row["low"], 100 * row["high"]], [y, y], color=BLUE, lw=1.6)
            ax.plot(100 * row["value"], y, "o", color=BLUE, ms=4.5)
        ax.axvline(0, color=INK, lw=0.9)
        ax.set_yticks(range(len(rows)), [short(row["name"]) for row in rows])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlabel(across)
        ax.grid(axis="x", color=RULE, lw=0.5)
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
        return finish(figure, name, alt, marks)


def over_time(
    seconds: Floats,
    weights: Floats,
    names: Sequence[str],
    *,
    name: str,
    alt: str,
    marks: Sequence[str] = (),
) -> str:
    """Draw where along a clip a network looks: one strip per gate or attention head.

    Parameters
    ----------
    seconds : (frames,) time of each weight.
    weights : (rows, frames); each row is drawn from its least to its greatest value.
    names : (rows,) of the strips.
    name, alt, marks : as in `forest`.
    """
    with canvas(4.2 + margin(names) - 0.5, 0.7 + 0.34 * len(names)) as figure:
        axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for ax, row, label in zip(axes, weights, names, strict=True):
            ax.fill_between(seconds, np.nanmin(row), row, color=BLUE, lw=0, alpha=0.75)
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
            ax.set_ylabel(short(label), rotation=0, ha="right", va="center")
            ax.margins(x=0)
        axes[-1].set_xlabel("time, s")
        return finish(figure, name, alt, marks)
