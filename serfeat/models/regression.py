"""Dimensions (valence, arousal, dominance) from tables of functionals, by classical models.

Conventions
-----------
y is (n,) or (n, targets); NaN is a missing target and takes no part, for its own column only: a
clip that was rated for arousal alone still teaches arousal. Targets are z-scored by those of the
training clips inside, so that one cost or one leaf size fits a scale of -1..1 as well as 1..5, and
predictions come back on the scale of the targets. Nothing keeps a prediction inside that scale.

Contents
--------
`SupportVectorRegressor`, `NearestNeighboursRegressor`, `RidgeRegressor` : a machine per target.
`BoostedTreesRegressor` : XGBoost, a tree per target and round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR
from sklearn.utils.validation import check_is_fitted, validate_data

from serfeat.errors import MissingExtraError
from serfeat.models.arguments import as_targets, target_scale
from serfeat.types import Floats

__all__ = [
    "BoostedTreesRegressor",
    "NearestNeighboursRegressor",
    "RidgeRegressor",
    "SupportVectorRegressor",
]


class _Dimensions(RegressorMixin, BaseEstimator):
    """What the regressors share: targets in, z-scores inside, targets out.

    Attributes
    ----------
    mean_, scale_ : (targets,) of the training targets.
    """

    mean_: Floats
    scale_: Floats
    flat_: bool

    def fit(self, X: Any, y: Any) -> Any:
        """Fit on (n, k) and (n,) or (n, targets) numbers, NaN = missing.

        Raises
        ------
        ModelError : no target, infinity, a column of y without a value.
        """
        rows = X if y is None else validate_data(self, X)
        targets = as_targets(y, len(rows), estimator=type(self).__name__)
        self.flat_ = np.asarray(y).ndim == 1
        self.mean_, self.scale_ = target_scale(targets)
        self._fit(rows, (targets - self.mean_) / self.scale_)
        return self

    def predict(self, X: Any) -> Floats:
        """(n,) or (n, targets), on the scale of the training targets."""
        check_is_fitted(self, "mean_")
        scaled = self._predict(validate_data(self, X, reset=False))
        values: Floats = scaled.reshape(-1, len(self.mean_)) * self.scale_ + self.mean_
        return values[:, 0] if self.flat_ else values

    def __sklearn_tags__(self) -> Any:
        """Say that y may have several columns."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _fit(self, X: Floats, z: Floats) -> None:
        raise NotImplementedError

    def _predict(self, X: Floats) -> Floats:
        raise NotImplementedError


class _PerTarget(_Dimensions):
    """A machine of scikit-learn for each target, on the rows that have it."""

    def _machine(self, n: int) -> Any:
        """Make an unfitted machine for n rows."""
        raise NotImplementedError

    def _fit(self, X: Floats, z: Floats) -> None:
        self.machines_ = []
        for column in z.T:
            known = np.isfinite(column)
            self.machines_.append(self._machine(int(known.sum())).fit(X[known], column[known]))

    def _predict(self, X: Floats) -> Floats:
        return np.stack([machine.predict(X) for machine in self.machines_], axis=1)


class SupportVectorRegressor(_PerTarget):
    """Support vector regression.

    Parameters
    ----------
    C : cost of an error beyond the tube.
    kernel : ``"rbf"`` or ``"linear"``.
    gamma : width of the RBF kernel; ``"scale"`` is 1 / (k var(X)).
    epsilon : half width of the tube in which errors cost nothing, in standard deviations of the
        target.
    """

    def __init__(
        self,
        C: float = 1.0,
        kernel: str = "rbf",
        gamma: str | float = "scale",
        epsilon: float = 0.1,
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.epsilon = epsilon

    def _machine(self, n: int) -> Any:  # noqa: ARG002
        return SVR(C=self.C, kernel=self.kernel, gamma=self.gamma, epsilon=self.epsilon)


class NearestNeighboursRegressor(_PerTarget):
    """Mean of the nearest training clips, nearer ones count more (weights 1/distance).

    Parameters
    ----------
    n_neighbors : k; where there are fewer training rows, all of them.
    """

    def __init__(self, n_neighbors: int = 9) -> None:
        self.n_neighbors = n_neighbors

    def _machine(self, n: int) -> Any:
        return KNeighborsRegressor(min(self.n_neighbors, n), weights="distance")


class RidgeRegressor(_PerTarget):
    """Linear regression whose squared weights cost (Hoerl and Kennard 1970).

    Parameters
    ----------
    alpha : cost of the squared weights. With hundreds of correlated functionals and a few hundred
        clips it has to be large.
    """

    def __init__(self, alpha: float = 100.0) -> None:
        self.alpha = alpha

    def _machine(self, n: int) -> Any:  # noqa: ARG002
        return Ridge(alpha=self.alpha)


class BoostedTreesRegressor(_Dimensions):
    """Gradient-boosted trees by XGBoost on the squared error, one tree per target and round.

    Parameters
    ----------
    n_estimators, max_depth, learning_rate, subsample, colsample_bytree, reg_lambda : XGBoost's.
    max_bin : quantile bins per feature, see `serfeat.models.classical.BoostedTrees`.
    seed : of the row and column subsampling.
    threads : of XGBoost; results do not depend on it.
    """

    def __init__(
        self,
        n_estimators: int = 300,
        max_depth: int = 4,
        learning_rate: float = 0.05,
        subsample: float = 0.8,
        colsample_bytree: float = 0.5,
        reg_lambda: float = 1.0,
        max_bin: int = 32,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.reg_lambda = reg_lambda
        self.max_bin = max_bin
        self.seed = seed
        self.threads = threads

    def _fit(self, X: Floats, z: Floats) -> None:
        xgboost = _xgboost()
        settings = {
            "num_target": z.shape[1],
            "tree_method": "hist",
            "max_bin": self.max_bin,
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "lambda": self.reg_lambda,
            "base_score": 0.0,  # the mean of z-scores
            "seed": self.seed,
            "nthread": self.threads,
            "disable_default_eval_metric": True,
        }
        rows = xgboost.DMatrix(X, np.nan_to_num(z))
        self.booster_ = xgboost.train(settings, rows, self.n_estimators, obj=_squared_error(z))

    def _predict(self, X: Floats) -> Floats:
        rows = _xgboost().DMatrix(X)
        return np.asarray(self.booster_.predict(rows), dtype=np.float64).reshape(len(X), -1)


def _squared_error(z: Floats) -> Callable[[Any, Any], tuple[ArrayLike, ArrayLike]]:
    """Return gradient and curvature of half the squared error; a missing target has neither."""
    known = np.isfinite(z)

    def objective(margin: Any, rows: Any) -> tuple[ArrayLike, ArrayLike]:  # noqa: ARG001
        error = np.where(known, np.reshape(margin, z.shape) - np.nan_to_num(z), 0.0)
        return error.astype(np.float32), known.astype(np.float32)

    return objective


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError:
        raise MissingExtraError.of("xgboost", "boost", "the model xgb") from None
    return xgboost
