"""Demsar's critical-difference plot, drawn on axes that the caller owns.

A ruler of average ranks, best on the left; every entry hangs from its rank, and a thick bar joins
those that the corpora cannot tell apart. The critical difference itself is drawn above the ruler.

Contents
--------
`draw_critical_difference` : ranks -> on a matplotlib Axes.
`critical_difference_alt`  : the same in words, for readers who cannot see it.

Source: Demsar, JMLR 7, 2006, figure 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from serfeat.statistics.rank_tests import critical_difference_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["critical_difference_alt", "draw_critical_difference", "plot_height"]

STEP = 0.5  # of the drawing's height, per name or bar


def plot_height(entries: int) -> float:
    """Inches that a plot of so many entries needs."""
    return 0.9 + 0.24 * (entries // 2 + entries % 2) + 0.1 * entries


def draw_critical_difference(
    ax: Axes,
    ranks: Mapping[str, float],
    difference: float,
    *,
    ink: str = "#1a1a1a",
    bar: str = "#0072B2",
) -> None:
    """Draw the plot.

    Parameters
    ----------
    ax : is emptied of its frame; its limits are set.
    ranks : entry -> average rank, 1 is the best.
    difference : `serfeat.statistics.rank_tests.critical_difference`.
    ink, bar : colours of lines and text, and of the bars.
    """
    order = sorted(ranks, key=lambda name: (ranks[name], name))
    low, high = 1, max(len(order), 2)
    groups = critical_difference_groups(ranks, difference)
    _ruler(ax, low, high, difference, ink)
    floor = -STEP * (len(groups) + 1)  # the bars lie between ruler and names
    for i, group in enumerate(groups):
        ends = [ranks[group[0]] - 0.04, ranks[group[-1]] + 0.04]
        ax.plot(ends, [-STEP * (i + 0.7)] * 2, color=bar, lw=3.5, solid_capstyle="round")
    left = (len(order) + 1) // 2
    for i, name in enumerate(order):
        # The better half is written on the left, the others on the right, each from the outside.
        first = i < left
        y = floor - STEP * (i if first else len(order) - 1 - i)
        edge, side = (low - 0.1, "right") if first else (high + 0.1, "left")
        ax.plot([ranks[name], ranks[name], edge], [0, y, y], color=ink, lw=0.8)
        words = f"{name}  {ranks[name]:.2f} " if first else f" {ranks[name]:.2f}  {name}"
        ax.text(edge, y, words, ha=side, va="center", color=ink)
    reach = 0.45 * (high - low) + 0.3
    ax.set_xlim(low - reach, high + reach)
    ax.set_ylim(floor - STEP * left, 2.1)
    ax.set_axis_off()


def _ruler(ax: Axes, low: int, high: int, difference: float, ink: str) -> None:
    """Draw the axis with its numbers, and the critical difference above it."""
    ax.plot([low, high], [0, 0], color=ink, lw=1.2)
    for rank in range(low, high + 1):
        ax.plot([rank, rank], [0, 0.2], color=ink, lw=1.2)
        ax.text(rank, 0.3, str(rank), ha="center", va="bottom", color=ink)
    shown = min(difference, high - low)  # a longer one would leave the picture
    ax.plot([low, low + shown], [1.35, 1.35], color=ink, lw=1.2)
    for x in (low, low + shown):
        ax.plot([x, x], [1.25, 1.45], color=ink, lw=1.2)
    more = "" if shown == difference else ", longer than the ruler"
    words = f"critical difference {difference:.2f}{more}"
    ax.text(low, 1.5, words, ha="left", va="bottom", color=ink)


def critical_difference_alt(ranks: Mapping[str, float], difference: float, corpora: int) -> str:
    """Say what the plot shows."""
    order = sorted(ranks, key=lambda name: (ranks[name], name))
    listed = ", ".join(f"{name} {ranks[name]:.2f}" for name in order)
    groups = critical_difference_groups(ranks, difference)
    alike = "; ".join(f"{', '.join(g[:-1])} and {g[-1]}" for g in groups) or "none"
    noun = "corpus" if corpora == 1 else "corpora"
    apart = float(np.round(difference, 2))
    return (
        f"Average ranks over {corpora} {noun}, 1 is the best: {listed}. Ranks that are less than "
        f"{apart:.2f} apart cannot be told apart: {alike}."
    )
