"""Scores of dimensions (valence, arousal, dominance): pure functions of truths and predictions.

Conventions
-----------
Moments are those of the population (divided by n). A pair with a missing truth (NaN) takes no
part; a prediction of NaN makes the score NaN. What cannot be computed is NaN, without a warning.

Contents
--------
`mse` `rmse` `mae` `pcc` `ccc` : of (n,) numbers.
`moments`                     : their sufficient sums, which may be added up over speakers.
`ccc_of` `pcc_of` `mse_of` `mae_of` : the same scores from summed moments.

Sources
-------
Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45, 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import ModelError
from serfeat.types import Floats

__all__ = [
    "ccc",
    "ccc_of",
    "mae",
    "mae_of",
    "moments",
    "mse",
    "mse_of",
    "pcc",
    "pcc_of",
    "ratio",
    "rmse",
]


def mse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean squared error, in squared units; NaN without a value."""
    x, y = _numbers(truth, prediction)
    return float(np.mean((x - y) ** 2)) if len(x) else float("nan")


def rmse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared error, in the truth's unit; NaN without a value."""
    return float(np.sqrt(mse(truth, prediction)))


def mae(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error, in the truth's unit; NaN without a value."""
    x, y = _numbers(truth, prediction)
    return float(np.mean(np.abs(x - y))) if len(x) else float("nan")


def pcc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation, -1..1; NaN if either side is constant or there are < 2 values."""
    x, y = _numbers(truth, prediction)
    if len(x) < 2 or np.isnan(y).any() or not np.ptp(x) or not np.ptp(y):
        return float("nan")
    u, v = x - x.mean(), y - y.mean()
    return float(np.clip((u / np.linalg.norm(u)) @ (v / np.linalg.norm(v)), -1.0, 1.0))


def ccc(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    sequences: Sequence[object] | None = None,
    aggregate: Literal["concat", "mean"] = "concat",
) -> float:
    """Lin's concordance ``2 cov / (var x + var y + (mean x - mean y)^2)``, population moments.

    Parameters
    ----------
    truth, prediction : (n,) numbers.
    sequences : (n,) name of each value's sequence; needed for ``aggregate="mean"``.
    aggregate : over all values at once, or the mean of each sequence's CCC (a different number:
        papers rarely say which).

    Returns
    -------
    -1..1, never further from 0 than `pcc`; 0 if one side is constant, NaN if both are the same
    constant (0 / 0) or there is no value.

    Raises
    ------
    ModelError : ``aggregate="mean"`` without sequences.
    """
    if aggregate == "mean":
        if sequences is None:
            raise ModelError(
                "the mean over sequences needs to know them", fix="give sequences=", code="missing"
            )
        name = np.asarray([str(s) for s in sequences])
        x, y = np.ravel(truth), np.ravel(prediction)
        each = [ccc(x[name == s], y[name == s]) for s in np.unique(name)]
        return float(np.mean(each)) if each else float("nan")
    x, y = _numbers(truth, prediction)
    if not len(x) or np.ptp(np.concatenate([x, y])) == 0:
        return float("nan")
    # 0.1 + 0.1 + 0.1 is not 0.3: a constant would have a variance of 1e-34, and agree with itself
    u, v = (np.zeros(len(s)) if np.ptp(s) == 0 else s - s.mean() for s in (x, y))
    below = np.mean(u**2) + np.mean(v**2) + (x.mean() - y.mean()) ** 2
    return float(ratio(2 * np.mean(u * v), below))


def _numbers(truth: ArrayLike, prediction: ArrayLike) -> tuple[Floats, Floats]:
    """Both sides as float64, where there is a truth."""
    x = np.asarray(truth, dtype=np.float64).ravel()
    y = np.asarray(prediction, dtype=np.float64).ravel()
    if len(x) != len(y):
        raise ModelError(f"{len(x)} truths but {len(y)} predictions", code="length-mismatch")
    known = ~np.isnan(x)
    return x[known], y[known]


# --- from sums, so that speakers can be drawn anew ---------------------------------------------


def moments(truth: ArrayLike, prediction: ArrayLike, *, origin: float = 0.0) -> Floats:
    """(n, 7) of each pair: 1, x, y, x^2, y^2, x y, abs(x - y); rows of 0 for a missing truth.

    Parameters
    ----------
    origin : is subtracted from both sides first. It moves no score, and near their mean the sums
        of squares lose no digits.
    """
    x = np.asarray(truth, dtype=np.float64).ravel() - origin
    y = np.asarray(prediction, dtype=np.float64).ravel() - origin
    if len(x) != len(y):
        raise ModelError(f"{len(x)} truths but {len(y)} predictions", code="length-mismatch")
    columns = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(x - y)], axis=1)
    return np.where(np.isnan(x)[:, None], 0.0, columns)


def ccc_of(sums: ArrayLike) -> Floats:
    """(...) concordance from (..., 7) summed moments."""
    mean_x, mean_y, var_x, var_y, covariance = _central(sums)
    return ratio(2 * covariance, var_x + var_y + (mean_x - mean_y) ** 2)


def pcc_of(sums: ArrayLike) -> Floats:
    """(...) Pearson's correlation from (..., 7) summed moments; NaN where a side is constant."""
    _, _, var_x, var_y, covariance = _central(sums)
    return np.asarray(np.clip(ratio(covariance, np.sqrt(var_x * var_y)), -1.0, 1.0))


def mse_of(sums: ArrayLike) -> Floats:
    """(...) mean squared error from (..., 7) summed moments."""
    s = np.asarray(sums, dtype=np.float64)
    return ratio(np.maximum(s[..., 3] - 2 * s[..., 5] + s[..., 4], 0.0), s[..., 0])


def mae_of(sums: ArrayLike) -> Floats:
    """(...) mean absolute error from (..., 7) summed moments."""
    s = np.asarray(sums, dtype=np.float64)
    return ratio(s[..., 6], s[..., 0])


def _central(sums: ArrayLike) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Means, variances and covariance; a variance that is only rounding is 0."""
    s = np.asarray(sums, dtype=np.float64)
    x, y, xx, yy, xy = (ratio(s[..., i], s[..., 0]) for i in range(1, 6))
    var_x, var_y = xx - x * x, yy - y * y
    var_x = np.where(var_x <= 1e-12 * xx, 0.0, var_x)
    var_y = np.where(var_y <= 1e-12 * yy, 0.0, var_y)
    return x, y, var_x, var_y, np.where((var_x > 0) & (var_y > 0), xy - x * y, 0.0)


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """Divide; NaN (and no warning) where the denominator is 0."""
    a, b = np.broadcast_arrays(
        np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    )
    out: Floats = np.full(a.shape, np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out
