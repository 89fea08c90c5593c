"""Imputation and scaling, the same policy for every model, fitted on training rows only.

A comparison is fair when all models get the same inputs. So missing values (an utterance without a
voiced frame has no F0) are replaced for all of them alike by the training rows' median, with an
indicator column that says "was missing"; constant columns go; the rest is z-scored. XGBoost could
take NaN itself, and then would compete under other rules.

A network that was published without any of this, or that reads columns by their place (the samples
of a waveform, an encoder's values), says so: ``"scaled"`` imputes and z-scores and leaves every
column where it is, ``"plain"`` only imputes. ``"unscaled"`` is the standard without the z-scores,
and `WITHOUT_SCALING` says what takes the place of each where a comparison normalises nothing. The
samples of a waveform are never scaled, whatever the way: a sample of exactly 0 is silence, and the
mean of a column of them is none of their business.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from serfeat.sequences import Sequences
from serfeat.types import Floats32

__all__ = ["PREPARATIONS", "WITHOUT_SCALING", "FramePreparation", "table_steps"]

PREPARATIONS = ("standard", "scaled", "unscaled", "plain")

WITHOUT_SCALING = {
    "standard": "unscaled",
    "scaled": "plain",
    "unscaled": "unscaled",
    "plain": "plain",
}

PIECE = 1 << 24  # values of which statistics are taken at a time: 128 MiB as float64, and a copy
STEP = 1 << 20  # values that are prepared at a time

_STANDARD = ("standard", "unscaled")  # with indicators, without constant columns
_SCALED = ("standard", "scaled")


def table_steps(way: str = "standard") -> list[tuple[str, Any]]:
    """Make the preparing steps of a pipeline on tables (n, k); `way` is one of `PREPARATIONS`."""
    imputer = SimpleImputer(
        strategy="median", add_indicator=way in _STANDARD, keep_empty_features=True
    )
    steps: list[tuple[str, Any]] = [("impute", imputer)]
    if way in _STANDARD:
        steps.append(("vary", VarianceThreshold()))
    if way in _SCALED:
        steps.append(("scale", StandardScaler()))
    return steps


class FramePreparation(TransformerMixin, BaseEstimator):
    """The same policy for `Sequences`: statistics over all frames of the training clips.

    Parameters
    ----------
    way : one of `PREPARATIONS`.
    n_samples : the first columns that are samples of a waveform, and stay as they are.

    Attributes
    ----------
    median_ : (k,) of the training frames, NaN left out.
    missing_ : (m,) columns that have a NaN in training; each gets an indicator column.
    keep_ : (<= k,) columns that vary.
    mean_, scale_ : (kept + m,) of the prepared training frames.
    """

    def __init__(self, way: str = "standard", n_samples: int = 0) -> None:
        self.way = way
        self.n_samples = n_samples

    def fit(self, X: Sequences, y: Any = None) -> FramePreparation:  # noqa: ARG002
        """Learn medians, means and standard deviations of the frames of `X`.

        A few columns are taken at a time: the copies that medians need stay small.
        """
        self.n_features_in_ = X.shape[1]
        # Read once where they fit; a choice of clips is not copied again for every piece.
        source = X if X.large else Sequences(X.values, X.offsets)
        learnt = [_learn(source, *piece, self.way, self.n_samples) for piece in _pieces(X)]
        median, missing, keep, shown, absent = zip(*learnt, strict=True)
        self.median_ = np.concatenate(median)
        self.missing_ = np.flatnonzero(np.concatenate(missing))
        self.keep_ = np.flatnonzero(np.concatenate(keep))
        # The columns that are kept, then the indicators: each as (2, columns), mean and deviation.
        self.mean_, scale = np.concatenate([*shown, *absent], axis=1)
        self.scale_ = np.where(scale > 0, scale, 1.0)
        return self

    def transform(self, X: Sequences) -> Sequences:
        """Impute, add the indicators and z-score; (frames, kept + m).

        Where the frames are too many for the memory this is done to each clip when it is asked for.
        """
        if X.large:
            return X.each_frame(self._prepared)
        values = X.values
        made = np.empty((len(values), len(self.mean_)), dtype=np.float32)
        step = max(1, STEP // max(1, made.shape[1]))
        for first in range(0, len(values), step):
            made[first : first + step] = self._prepared(values[first : first + step])
        return X.with_values(made)

    def _prepared(self, frames: Any) -> Floats32:
        values = frames.astype(np.float64)
        indicators = np.isnan(values[:, self.missing_]).astype(np.float64)
        filled = np.where(np.isnan(values), self.median_, values)[:, self.keep_]
        whole = np.concatenate([filled, indicators], axis=1)
        return np.asarray((whole - self.mean_) / self.scale_, dtype=np.float32)


def _pieces(X: Sequences) -> list[tuple[int, int]]:
    """Cut the columns so that the frames of each piece fit into the memory."""
    k = X.shape[1]
    # Never a column alone beside others: NumPy adds it up in another order, with other bits.
    width = max(2, PIECE // max(1, int(X.offsets[-1])))
    cuts = list(range(0, max(1, k - 1), width)) or [0]
    return list(zip(cuts, [*cuts[1:], k], strict=True))


def _learn(X: Sequences, first: int, end: int, way: str, n_samples: int) -> tuple[Any, ...]:
    """Statistics of some columns; of the first `n_samples` of all, those that change nothing.

    Returns
    -------
    (columns,) medians; whether there is an indicator; whether the column is kept;
    (2, kept) and (2, indicators) means and deviations of what they become.
    """
    frames = X.columns(first, end) if X.mapped else X.values[:, first:end]
    values = frames.astype(np.float64, order="C")
    del frames  # of the largest corpora every copy counts: what follows works in place
    undefined = np.isnan(values)
    values[:, undefined.all(axis=0)] = 0.0
    median = np.nanmedian(values, axis=0)
    varies = np.nanmax(values, axis=0) > np.nanmin(values, axis=0)
    standard = way in _STANDARD
    samples = np.arange(first, end) < n_samples
    missing = undefined.any(axis=0) & standard & ~samples
    keep = varies | (not standard) | samples
    if way not in _SCALED:
        neutral = [np.stack([np.zeros(n.sum()), np.ones(n.sum())]) for n in (keep, missing)]
        return median, missing, keep, *neutral
    np.copyto(values, median, where=undefined)
    if not keep.all() or missing.any():
        absent = undefined[:, missing].astype(np.float64)
        values = np.concatenate([values[:, keep], absent], axis=1)
    found = np.stack([values.mean(axis=0), values.std(axis=0)])
    count = int(keep.sum())
    found[:, np.flatnonzero(samples[keep])] = [[0.0], [1.0]]
    return median, missing, keep, found[:, :count], found[:, count:]
