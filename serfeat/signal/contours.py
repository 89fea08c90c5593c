"""The columns of one clip over time, with what several statistics need computed once.

Conventions
-----------
* Values are (n, k): n frames, k columns, NaN where undefined (an infinity counts as undefined too).
  A frame that is undefined does not take part, but time runs on while it lasts.
* Moments are those of the population (1/N), as in openSMILE; percentiles interpolate linearly
  between order statistics at ``p (N - 1)``, as NumPy does by default.
* What cannot be computed from the frames that are left is NaN, never 0 and never an infinity.

Speed
-----
Every property is computed when it is first asked for, and order statistics come from one
`numpy.sort` of contiguous rows, which is several times faster than one of strided columns.

Contents
--------
`Contours` : the columns, and their statistics as arrays of one value per column.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.signal.sums import Steps, Sums, powers, ratio, steps, sums
from serfeat.signal.turns import Turns, turns
from serfeat.types import Bools, Floats, Ints

__all__ = ["Contours", "Runs"]

# A column whose spread is rounding noise of its mean is constant.
ROUNDING = 1e-12

# All at once cost little more than one.
PERCENTILES = (5, 20, 25, 50, 75, 80, 95)
SHARES = np.array(PERCENTILES) / 100


class Runs(NamedTuple):
    """Uninterrupted runs of frames in each column; (k,) each.

    Attributes
    ----------
    rate : runs per second of the clip.
    mean, std : s, mean length and its standard deviation (1/N); NaN without any run.
    """

    rate: Floats
    mean: Floats
    std: Floats


class Contours:
    """The columns of one clip.

    Parameters
    ----------
    values : (n, k), NaN where undefined; no frame at all counts as one undefined frame.
    hop : s between frames.

    Raises
    ------
    FeatureError : values that are not (n, k), or a hop that is not positive.
    """

    def __init__(self, values: ArrayLike, hop: float) -> None:
        x = np.ascontiguousarray(values, dtype=np.float64)
        if np.ndim(values) != 2:
            raise FeatureError(
                f"values of shape {np.shape(values)}, expected (frames, columns)", code="bad-shape"
            )
        if not hop > 0:
            raise FeatureError(f"a hop of {hop} s, expected more than 0", code="bad-hop")
        if not len(x):
            x = np.full((1, x.shape[1]), np.nan)
        infinite = np.isinf(x)
        self.values: Floats = np.where(infinite, np.nan, x) if infinite.any() else x
        self.hop = hop

    @cached_property
    def defined(self) -> Bools:
        """(n, k) True where there is a value."""
        return ~np.isnan(self.values)

    @cached_property
    def sums(self) -> Sums:
        """Sums of the values, of their squares and of their products with time."""
        return sums(self.values)

    @cached_property
    def powers(self) -> Floats:
        """(2, k) sums of the third and fourth powers of the standardised values."""
        return powers(self.values, self.mean, np.where(self.constant, np.nan, self.std))

    @cached_property
    def count(self) -> Floats:
        """(k,) number of defined frames."""
        return self.sums.number

    @cached_property
    def mean(self) -> Floats:
        """(k,) mean of the defined frames."""
        return self.sums.mean

    @cached_property
    def std(self) -> Floats:
        """(k,) standard deviation, 1/N."""
        return np.sqrt(ratio(self.sums.squares, self.count))

    @cached_property
    def constant(self) -> Bools:
        """(k,) True where all defined frames are equal but for rounding, or where there is none."""
        return ~(self.std > ROUNDING * np.maximum(np.abs(self.mean), 1e-300))

    @cached_property
    def cv(self) -> Floats:
        """(k,) std / mean; undefined where the mean is below a millionth of the std."""
        small = ~(np.abs(self.mean) > 1e-6 * self.std)
        return np.asarray(self.std / np.where(small, np.nan, self.mean), dtype=np.float64)

    @cached_property
    def seconds(self) -> Floats:
        """(k,) s of the defined frames."""
        return self.count * self.hop

    @cached_property
    def slope(self) -> Floats:
        """(k,) slope per second of the least-squares line through the defined frames."""
        return ratio(self.sums.products, self.sums.times * self.hop)

    @cached_property
    def line_r2(self) -> Floats:
        """(k,) share of the variance that the least-squares line explains, 0 to 1."""
        spread = np.where(self.constant, 0.0, self.sums.squares)
        explained = ratio(self.sums.products**2, self.sums.times * spread)
        return np.minimum(explained, 1.0)

    @cached_property
    def line_error(self) -> Floats:
        """(k,) root of the mean squared deviation from the least-squares line."""
        # From the deviations themselves: std * sqrt(1 - r2) would lose half of the digits.
        frame = np.where(self.defined, np.arange(len(self.values))[:, None] * self.hop, np.nan)
        frame -= ratio(np.nansum(frame, axis=0), self.count)
        error = np.nansum((self.values - self.mean - frame * self.slope) ** 2, axis=0)
        return np.where(np.isnan(self.slope), np.nan, np.sqrt(ratio(error, self.count)))

    @cached_property
    def rows(self) -> Floats:
        """(k, n) every column as a contiguous row."""
        return np.ascontiguousarray(self.values.T)

    @cached_property
    def ordered(self) -> Floats:
        """(k, n) every column in rising order, the undefined frames (NaN) last."""
        rows = self.values.T.copy(order="C")
        rows.sort(axis=1)
        return rows

    @cached_property
    def _last(self) -> Ints:
        """(k,) index of the largest value in each row of `ordered`."""
        return np.maximum(self.count.astype(np.int64) - 1, 0)

    @cached_property
    def low(self) -> Floats:
        """(k,) smallest value."""
        return self.ordered[:, 0]

    @cached_property
    def high(self) -> Floats:
        """(k,) largest value."""
        return self.ordered[np.arange(len(self._last)), self._last]

    @cached_property
    def percentiles(self) -> dict[int, Floats]:
        """The percentiles of `PERCENTILES`, (k,) each, linear between order statistics."""
        out = np.empty((len(SHARES), len(self._last)))
        (between if COMPILED else between_plain)(self.ordered, self._last, SHARES, out)
        return dict(zip(PERCENTILES, out, strict=True))

    @cached_property
    def steps(self) -> Steps:
        """Changes between neighbours that are both defined."""
        return steps(self.values)

    @cached_property
    def turns(self) -> Turns:
        """Rising and falling stretches between the turning points."""
        height = np.where(self.constant, np.nan, self.high - self.low)
        return turns(self.rows, height, self.hop)

    def standardised_moment(self, order: int) -> Floats:
        """(k,) mean of ``((x - mean) / std) ** order``, order 3 or 4; NaN for a constant column."""
        return ratio(self.powers[order - 3], self.count)

    def level(self, share: float) -> Floats:
        """(k,) the level at a share of the range above the minimum."""
        return self.low + share * (self.high - self.low)

    def share_above(self, level: Floats) -> Floats:
        """(k,) share of the defined frames whose value is above a level per column."""
        return ratio(np.count_nonzero(self._above(level), axis=0), self.count)

    def passages(self, level: Floats, *, downward: bool = True) -> Floats:
        """(k,) times per second that the contour goes through a level per column.

        It goes upward where a frame is above the level and its predecessor is not, downward where
        it is the other way round; pairs with an undefined frame do not count, neither as passages
        nor as time. NaN without any pair.
        """
        above = self._above(level)
        pair = self.defined[1:] & self.defined[:-1]
        passed = above[1:] != above[:-1] if downward else above[1:] > above[:-1]
        return ratio(np.count_nonzero(passed & pair, axis=0), self.hop * pair.sum(axis=0))

    def _above(self, level: Floats) -> Bools:
        """(n, k) True above a level; a constant column's rounding noise is not above anything."""
        above: Bools = self.values > np.where(self.constant, self.high, level)
        return above

    @cached_property
    def onsets(self) -> Floats:
        """(k,) times per second that the contour goes up through mean + std."""
        return self.passages(self.mean + self.std, downward=False)

    def place(self, value: Floats) -> Floats:
        """(k,) place of the first frame with a value: 0 is the clip's first frame, 1 its last."""
        first = np.argmax(self.values == value, axis=0)
        return np.where(np.isnan(value), np.nan, first / max(len(self.values) - 1, 1))

    @cached_property
    def centroid(self) -> Floats:
        """(k,) place of the centre of gravity of what exceeds the minimum; NaN if constant."""
        weight = np.where(self.defined & ~self.constant, self.values - self.low, 0.0)
        place = np.arange(len(weight)) / max(len(weight) - 1, 1)
        return ratio(place @ weight, weight.sum(axis=0))

    def mean_step(self, sign: int) -> Floats:
        """(k,) mean change per second of the rising (1) or falling (-1) steps, or of all (0).

        Of all steps, the absolute change is meant. 0 where there is no such step among the pairs
        of defined neighbours, NaN where there is no pair.
        """
        total, number = {
            1: (self.steps.rise, self.steps.rising),
            -1: (self.steps.fall, self.steps.falling),
            0: (self.steps.rise - self.steps.fall, self.steps.pairs),
        }[sign]
        return np.where(self.steps.pairs > 0, total / np.maximum(number, 1) / self.hop, np.nan)

    @cached_property
    def runs(self) -> Runs:
        """Runs of defined frames."""
        return _runs(self.defined, self.hop)

    @cached_property
    def gaps(self) -> Runs:
        """Runs of undefined frames."""
        return _runs(~self.defined, self.hop)


@jit
def between(ordered: Floats, last: Ints, shares: Floats, out: Floats) -> None:
    """Read off the order statistics at some shares of the way from the first to the last.

    Parameters
    ----------
    ordered : (k, n) rows in rising order.
    last : (k,) index of the last value in each row.
    shares : (m,) of the way; between two places the statistic is linear.
    out : (m, k) receives them.
    """
    for i in range(len(shares)):
        for j in range(len(last)):
            place = last[j] * shares[i]
            below = int(place)
            low, high = ordered[j, below], ordered[j, min(below + 1, last[j])]
            out[i, j] = low + (high - low) * (place - below)


def between_plain(ordered: Floats, last: Ints, shares: Floats, out: Floats) -> None:
    """`between` with whole arrays."""
    place = last * shares[:, None]
    below = place.astype(np.int64)
    rows = np.arange(len(last))
    low, high = ordered[rows, below], ordered[rows, np.minimum(below + 1, last)]
    out[:] = low + (high - low) * (place - below)


def _runs(inside: Bools, hop: float) -> Runs:
    """Measure the runs of True in each column of (n, k)."""
    n, k = inside.shape
    edges = np.zeros((k, n + 2), dtype=np.int8)
    edges[:, 1:-1] = inside.T
    change = np.diff(edges, axis=1)
    column, begin = np.nonzero(change == 1)
    length = (np.nonzero(change == -1)[1] - begin) * hop
    number = np.bincount(column, minlength=k)
    mean = ratio(np.bincount(column, length, minlength=k), number)
    squares = np.bincount(column, (length - mean[column]) ** 2, minlength=k)
    return Runs(number / (n * hop), mean, np.sqrt(ratio(squares, number)))
