"""Smoothing and deltas of a stream: each frame waits for its neighbours, and for no others.

At the beginning and at the end they do what `serfeat.spectrum.delta` and `moving_average` do at the
ends of a clip.
"""

from __future__ import annotations

import numpy as np

from serfeat.spectrum import delta, moving_average
from serfeat.types import Floats

__all__ = ["Contours"]

DELTA = 2  # frames on each side that one order of deltas looks at


class Contours:
    """Smoothing and deltas of rows that come one after the other.

    Parameters
    ----------
    smooth : frames of the moving average, odd.
    deltas : orders.

    Attributes
    ----------
    reach : frames on each side that a row waits for.
    given : frames given out.
    """

    def __init__(self, smooth: int, deltas: int) -> None:
        self._smooth, self._deltas = smooth, deltas
        self.reach = smooth // 2 + DELTA * deltas
        self._rows: Floats | None = None
        self._first = 0  # frame of the first row that is kept
        self.given = 0

    def push(self, raw: Floats, *, last: bool) -> Floats:
        """Take rows and return those whose neighbours are there, with their deltas."""
        self._rows = raw if self._rows is None else np.concatenate([self._rows, raw])
        here = self.given - self._first
        end = len(self._rows) if last else max(here, len(self._rows) - self.reach)
        out = self._rows
        if self._smooth > 1:
            out = moving_average(out, self._smooth)
        blocks = [out]
        for _ in range(self._deltas):
            blocks.append(delta(blocks[-1]))
        found = np.concatenate(blocks, axis=1)[here:end]
        self.given += len(found)
        drop = max(0, self.given - self.reach - self._first)
        self._rows, self._first = self._rows[drop:], self._first + drop
        return found
