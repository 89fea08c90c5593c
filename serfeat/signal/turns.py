"""Turning points of a contour: where it stops rising and starts to fall, ripples apart.

Conventions
-----------
A contour is one row of n frames, NaN where undefined. With a threshold h, a tenth of the contour's
range unless said otherwise:

* a *peak* is a frame from which the contour falls by at least h, and up to which it has risen by at
  least h, before it goes beyond the peak's value; a *valley* is the mirror image. Of equal values
  the first is meant.
* A *stretch* runs from one turning point to the next. The first stretch begins at the lowest (or
  highest) frame before the first peak (or valley), the last one ends likewise: a contour that only
  rises is one rising stretch without any peak. So every stretch spans at least h.
* The slope of a stretch is the change over its time, by which an undefined frame also passes.
* A contour of one value has no stretch.

Adding a constant or scaling a contour changes no turning point, and reversing it in time none but
those of equal values.

openSMILE's ``Peaks2``, from which eGeMAPS takes its slopes (``relThresh = 0.1``), means the same
but differs in three ways: it also counts the stretch from the first frame to the first turning
point, and from the last one to the last frame, however small, the latter with the wrong sign where
it falls; its selection compares neighbouring local extrema rather than turning points and so may
keep ripples on a slope; and undefined frames (zeros) are cut out, so that two voiced parts touch.

Contents
--------
`turns` : the stretches of every row, summed up as a `Turns`.

Sources
-------
[1] F. Eyben, "Real-time Speech and Music Classification by Large Audio Feature Space Extraction",
    Springer 2016 (peaks, and slopes between them, as functionals).
[2] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans.
    Affective Computing 7(2), 2016 (mean and standard deviation of rising and falling slopes).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from serfeat.jit import jit
from serfeat.types import Floats

__all__ = ["THRESHOLD", "Turns", "turns"]

THRESHOLD = 0.1  # of the range; openSMILE's default, and what eGeMAPS uses


class Turns(NamedTuple):
    """Stretches between the turning points of each row; (k,) each.

    Attributes
    ----------
    rising, falling : number of stretches.
    rising_mean, falling_mean : mean steepness, per second; both positive, NaN without a stretch.
    rising_std, falling_std : its standard deviation (1/N).
    peaks : number of peaks.
    distance : mean distance of neighbouring peaks in s; NaN with fewer than two.
    """

    rising: Floats
    rising_mean: Floats
    rising_std: Floats
    falling: Floats
    falling_mean: Floats
    falling_std: Floats
    peaks: Floats
    distance: Floats


def turns(rows: Floats, height: Floats, hop: float, *, threshold: float = THRESHOLD) -> Turns:
    """Find the turning points of every row and sum up the stretches between them.

    Parameters
    ----------
    rows : (k, n), C-contiguous, NaN where undefined.
    height : (k,) range of each row, largest less smallest value; NaN: no stretch is looked for.
    hop : s between frames.
    threshold : what a turning point must stand out by, as a share of the range.

    Returns
    -------
    The `Turns`. Undefined rows and rows of one value have no stretch.
    """
    out = np.zeros((8, len(rows)))
    _stretches(rows, threshold * height, out)
    out[[1, 2, 4, 5]] /= hop
    out[7] *= hop
    return Turns(*out)


@jit
def _stretches(rows: Floats, thresholds: Floats, out: Floats) -> None:
    """Fill `out`, (8, k) zeros, with the fields of `Turns`."""
    for j in range(len(rows)):
        row, h = rows[j], thresholds[j]
        way = 0.0  # 1: the stretch under way rises; -1: it falls; 0: not known yet
        begin = low = high = -1  # of that stretch; and the candidates for its lower and upper end
        first = last = -1  # peak
        for i in range(len(row)):
            v = row[i]
            if v != v or not h > 0.0:
                continue
            if low < 0:
                low = high = i
            elif way <= 0.0 and v - row[low] >= h:  # the lowest frame so far is a turning point
                if way < 0.0:
                    _add(out[3:6, j], (row[begin] - row[low]) / (low - begin))
                way, begin, high = 1.0, low, i
            elif way >= 0.0 and row[high] - v >= h:
                if way > 0.0:
                    _add(out[0:3, j], (row[high] - row[begin]) / (high - begin))
                    first = high if first < 0 else first
                    last = high
                    out[6, j] += 1.0
                way, begin, low = -1.0, high, i
            elif way <= 0.0 and v < row[low]:
                low = i
            elif way >= 0.0 and v > row[high]:
                high = i
        if way > 0.0:
            _add(out[0:3, j], (row[high] - row[begin]) / (high - begin))
        elif way < 0.0:
            _add(out[3:6, j], (row[begin] - row[low]) / (low - begin))
        _finish(out[0:3, j])
        _finish(out[3:6, j])
        out[7, j] = (last - first) / (out[6, j] - 1.0) if out[6, j] > 1.0 else np.nan


@jit
def _add(state: Floats, slope: float) -> None:
    """Add a slope to (number, mean, sum of squares about the mean): Welford's update."""
    state[0] += 1.0
    before = slope - state[1]
    state[1] += before / state[0]
    state[2] += before * (slope - state[1])


@jit
def _finish(state: Floats) -> None:
    """Turn the sum of squares into a standard deviation; NaN where nothing was added."""
    state[2] = np.sqrt(state[2] / state[0]) if state[0] > 0.0 else np.nan
    state[1] = state[1] if state[0] > 0.0 else np.nan
