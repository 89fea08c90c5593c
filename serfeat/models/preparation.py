"""Imputation and scaling, the same policy for every model, fitted on training rows only.

A comparison is fair when all models get the same inputs. So missing values (an utterance without a
voiced frame has no F0) are replaced for all of them alike by the training rows' median, with an
indicator column that says "was missing"; constant columns go; the rest is z-scored. XGBoost could
take NaN itself, and then would compete under other rules.

A network that was published without any of this, or that reads columns by their place (the samples
of a waveform, an encoder's values), says so: ``"scaled"`` imputes and z-scores and leaves every
column where it is, ``"plain"`` only imputes. ``"unscaled"`` is the standard without the z-scores,
and `WITHOUT_SCALING` says what takes the place of each where a comparison normalises nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from serfeat.sequences import Sequences
from serfeat.types import Floats

__all__ = ["PREPARATIONS", "WITHOUT_SCALING", "FramePreparation", "table_steps"]

PREPARATIONS = ("standard", "scaled", "unscaled", "plain")

WITHOUT_SCALING = {
    "standard": "unscaled",
    "scaled": "plain",
    "unscaled": "unscaled",
    "plain": "plain",
}

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

    Attributes
    ----------
    median_ : (k,) of the training frames, NaN left out.
    missing_ : (m,) columns that have a NaN in training; each gets an indicator column.
    keep_ : (<= k,) columns that vary.
    mean_, scale_ : (kept + m,) of the prepared training frames.
    """

    def __init__(self, way: str = "standard") -> None:
        self.way = way

    def fit(self, X: Sequences, y: Any = None) -> FramePreparation:  # noqa: ARG002
        """Learn medians, means and standard deviations of the frames of `X`."""
        values = X.values.astype(np.float64)
        undefined = np.isnan(values)
        all_missing = undefined.all(axis=0)
        with np.errstate(invalid="ignore"):
            filled = np.where(all_missing, 0.0, values)
            self.median_ = np.nanmedian(filled, axis=0)
            varies = np.nanmax(filled, axis=0) > np.nanmin(filled, axis=0)
        standard = self.way in _STANDARD
        self.missing_ = np.flatnonzero(undefined.any(axis=0) & standard)
        self.keep_ = np.flatnonzero(varies | (not standard))
        self.n_features_in_ = X.shape[1]
        if self.way not in _SCALED:
            width = len(self.keep_) + len(self.missing_)
            self.mean_, self.scale_ = np.zeros(width), np.ones(width)
            return self
        prepared = self._filled(X)
        self.mean_ = prepared.mean(axis=0)
        scale = prepared.std(axis=0)
        self.scale_ = np.where(scale > 0, scale, 1.0)
        return self

    def transform(self, X: Sequences) -> Sequences:
        """Impute, add the indicators and z-score; (frames, kept + m)."""
        return X.with_values(((self._filled(X) - self.mean_) / self.scale_).astype(np.float32))

    def _filled(self, X: Sequences) -> Floats:
        values = X.values.astype(np.float64)
        indicators = np.isnan(values[:, self.missing_]).astype(np.float64)
        filled = np.where(np.isnan(values), self.median_, values)[:, self.keep_]
        return np.concatenate([filled, indicators], axis=1)
