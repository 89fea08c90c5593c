"""Statistics over time that turn a contour into one number, aware of undefined frames.

Conventions
-----------
* A frame whose value is NaN does not take part (F0 in an unvoiced frame is undefined, not 0); a
  statistic with too few frames left is NaN, which is imputed inside the training fold, not here.
* Moments are those of the population (1/N), as in openSMILE; percentiles interpolate linearly
  between order statistics at ``p (N - 1)``, as NumPy does by default.
* A column's functional is named ``<column>__<functional>``: ``f0_hz__p50``.

`FUNCTIONALS` is the table; a new one is one function and one line. All of them read a `Contours`,
which sorts and centres once for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serfeat.errors import FeatureError, did_you_mean
from serfeat.types import Bools, Floats

__all__ = ["DEFAULT_FUNCTIONALS", "FUNCTIONALS", "Contours", "Functional", "apply"]


class Contours:
    """The columns of one clip, with what several functionals need computed once.

    Parameters
    ----------
    values : (n, k), NaN where undefined.
    hop : s between frames.
    """

    def __init__(self, values: Floats, hop: float) -> None:
        if values.ndim != 2:
            raise FeatureError(
                f"values of shape {values.shape}, expected (frames, columns)", code="bad-shape"
            )
        self.values = np.asarray(values, dtype=np.float64)
        self.hop = hop

    @cached_property
    def defined(self) -> Bools:
        """(n, k) True where there is a value."""
        return np.isfinite(self.values)

    @cached_property
    def count(self) -> Floats:
        """(k,) number of defined frames."""
        return np.asarray(self.defined.sum(axis=0), dtype=np.float64)

    @cached_property
    def mean(self) -> Floats:
        """(k,) mean of the defined frames."""
        return _ratio(np.where(self.defined, self.values, 0.0).sum(axis=0), self.count)

    @cached_property
    def centred(self) -> Floats:
        """(n, k) deviation from the mean, 0 where undefined (so that sums leave it out)."""
        centre = np.where(self.count > 0, self.mean, 0.0)
        return np.where(self.defined, self.values - centre, 0.0)

    @cached_property
    def variance(self) -> Floats:
        """(k,) population variance."""
        return _ratio((self.centred**2).sum(axis=0), self.count)

    @cached_property
    def ordered(self) -> Floats:
        """(n, k) every column in rising order, the undefined frames (NaN) last."""
        return np.sort(self.values, axis=0)

    @cached_property
    def steps(self) -> Floats:
        """(n - 1, k) change per second between neighbours that are both defined, else NaN."""
        return np.diff(self.values, axis=0) / self.hop

    def percentile(self, q: float) -> Floats:
        """(k,) the q-th percentile, ``0 <= q <= 100``, linear between order statistics."""
        place = np.maximum(self.count - 1, 0) * (q / 100)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(self.count - 1, 0).astype(np.int64))
        columns = np.arange(self.values.shape[1])
        low, high = self.ordered[below, columns], self.ordered[above, columns]
        value: Floats = low + (high - low) * (place - below)
        return value

    def standardised_moment(self, order: int) -> Floats:
        """(k,) mean of ``((x - mean) / sd) ** order``; NaN for a constant column."""
        # A column whose spread is rounding noise of its mean is constant.
        scale = np.sqrt(self.variance)
        constant = ~(scale > 1e-12 * np.maximum(np.abs(self.mean), 1e-300))
        z = self.centred / np.where(constant, np.nan, scale)
        return _ratio(np.where(self.defined, z**order, 0.0).sum(axis=0), self.count)


@dataclass(frozen=True)
class Functional:
    """A statistic over time.

    Parameters
    ----------
    name : the word after ``__`` in a column's name.
    summary : one line of meaning.
    unit : of the result; ``{u}`` stands for the column's own unit.
    compute : ``compute(contours) -> (k,)``.
    """

    name: str
    summary: str
    unit: str
    compute: Callable[[Contours], Floats]


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """``numerator / denominator``, NaN where the denominator is 0."""
    safe = np.where(denominator > 0, denominator, np.nan)
    return np.asarray(numerator / safe, dtype=np.float64)


def _slope(c: Contours) -> Floats:
    """Slope of the least-squares line through the defined frames."""
    t = (np.arange(len(c.values)) * c.hop)[:, None] * np.ones(c.values.shape[1])
    t = np.where(c.defined, t - _ratio(np.where(c.defined, t, 0.0).sum(axis=0), c.count), 0.0)
    return _ratio((t * c.centred).sum(axis=0), (t**2).sum(axis=0))


def _mean_step(c: Contours, sign: int) -> Floats:
    """Mean rate of the rising (sign 1) or falling (-1) steps; 0 where there is none."""
    steps = c.steps
    chosen = np.isfinite(steps) & (steps * sign > 0)
    any_step = np.isfinite(steps).any(axis=0)
    total = np.where(chosen, steps, 0.0).sum(axis=0)
    mean = total / np.maximum(chosen.sum(axis=0), 1)
    return np.where(any_step, mean, np.nan)


FUNCTIONALS: dict[str, Functional] = {
    f.name: f
    for f in (
        Functional("mean", "arithmetic mean", "{u}", lambda c: c.mean),
        Functional("std", "standard deviation (1/N)", "{u}", lambda c: np.sqrt(c.variance)),
        Functional("min", "smallest value", "{u}", lambda c: c.percentile(0)),
        Functional("max", "largest value", "{u}", lambda c: c.percentile(100)),
        Functional("range", "max - min", "{u}", lambda c: c.percentile(100) - c.percentile(0)),
        Functional("p05", "5th percentile", "{u}", lambda c: c.percentile(5)),
        Functional("p20", "20th percentile", "{u}", lambda c: c.percentile(20)),
        Functional("p50", "median", "{u}", lambda c: c.percentile(50)),
        Functional("p80", "80th percentile", "{u}", lambda c: c.percentile(80)),
        Functional("p95", "95th percentile", "{u}", lambda c: c.percentile(95)),
        Functional("iqr", "p75 - p25", "{u}", lambda c: c.percentile(75) - c.percentile(25)),
        Functional(
            "skewness", "third standardised moment", "1", lambda c: c.standardised_moment(3)
        ),
        Functional(
            "kurtosis", "fourth standardised moment", "1", lambda c: c.standardised_moment(4)
        ),
        Functional("slope", "slope of the least-squares line", "{u}/s", _slope),
        Functional("rise", "mean rate of rising steps", "{u}/s", lambda c: _mean_step(c, 1)),
        Functional("fall", "mean rate of falling steps", "{u}/s", lambda c: _mean_step(c, -1)),
        Functional(
            "defined", "share of frames that have a value", "1", lambda c: c.count / len(c.values)
        ),
    )
}

DEFAULT_FUNCTIONALS = ("mean", "std", "p05", "p50", "p95", "skewness", "kurtosis", "slope")


def apply(values: Floats, hop: float, names: Sequence[str] = DEFAULT_FUNCTIONALS) -> Floats:
    """Compute functionals of every column.

    Parameters
    ----------
    values : (n, k), NaN where undefined.
    hop : s between frames.
    names : (m,) keys of `FUNCTIONALS`.

    Returns
    -------
    (k * m,) column by column: all functionals of the first column, then of the second, ...

    Raises
    ------
    UnknownNameError : a name that is not in `FUNCTIONALS`.
    """
    contours = Contours(values, hop)
    rows = []
    for name in names:
        if name not in FUNCTIONALS:
            raise did_you_mean("functional", name, FUNCTIONALS)
        rows.append(FUNCTIONALS[name].compute(contours))
    return np.stack(rows, axis=1).reshape(-1) if rows else np.empty(0)
