"""One line of docs/results/accuracy.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from serfeat.types import Floats


class Row(NamedTuple):
    """What was compared, with what; what was to be reached, and what was; on which signals.

    `met` is None where nothing was promised.
    """

    quantity: str
    reference: str
    goal: str
    reached: str
    met: bool | None
    on: str


def under(
    quantity: str, reference: str, goal: float, reached: float, on: str, unit: str = ""
) -> Row:
    """A row whose figure must be at most the goal."""
    met = bool(reached <= goal)
    return Row(quantity, reference, f"{goal:.3g}{unit}", f"{reached:.2g}{unit}", met, on)


def worst_frame(
    quantity: str,
    reference: str,
    goal: float | None,
    pairs: Iterable[tuple[Floats, Floats]],
    on: str,
    *,
    relative: bool = False,
) -> Row:
    """The largest difference of all frames and columns, and what the median frame has.

    `relative` divides each column by its mean size: a logarithm near 0 keeps no digits. Without a
    goal the figure stands for information.
    """
    ours, theirs = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    size = np.abs(theirs).mean(axis=0) if relative else 1.0
    frames = (np.abs(ours - theirs) / size).max(axis=1)
    worst, on = float(frames.max()), f"{on}, {len(frames)} frames"
    if goal is None:
        row = Row(quantity, reference, "", f"{worst:.2g}", None, on)
    else:
        row = under(quantity, reference, goal, worst, on)
    return row._replace(reached=f"{row.reached} (median frame {np.median(frames):.1g})")
