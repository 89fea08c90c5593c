"""k nearest neighbours, support vectors and boosted trees on tables of functionals.

Thin classes around well-kept libraries, for three reasons: string labels in and out, class balance
by one rule (every class weighs the same, as UAR counts them), and probabilities that mean something
(a support vector machine has none of its own).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted, validate_data

from serfeat.errors import MissingExtraError
from serfeat.types import Floats

__all__ = ["BoostedTrees", "NearestNeighbours", "SupportVectors"]


class NearestNeighbours(KNeighborsClassifier):
    """Nearest neighbours, Euclidean on z-scores, nearer ones count more (weights 1/distance).

    Parameters
    ----------
    n_neighbors : k; where there are fewer training rows, all of them.
    """

    def __init__(self, n_neighbors: int = 9) -> None:
        super().__init__(n_neighbors, weights="distance")

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, **options: Any) -> Any:
        """Find the neighbours, never more than there are rows."""
        wanted = n_neighbors or self.n_neighbors
        return super().kneighbors(X, min(wanted, self.n_samples_fit_), **options)


class SupportVectors(ClassifierMixin, BaseEstimator):
    """Support vector machine with balanced classes and calibrated probabilities.

    The prediction is the class with the largest one-vs-rest decision value d. Probabilities are
    ``softmax(d / T)`` with one temperature T (Guo et al. 2017, "On calibration of modern neural
    networks"), fitted on decision values of training speakers that were held out for it: unlike
    Platt scaling it never changes which class wins.

    Parameters
    ----------
    C : cost of margin violations.
    kernel : ``"rbf"`` or ``"linear"``.
    gamma : width of the RBF kernel; ``"scale"`` is 1 / (k var(X)).
    calibration_folds : inner folds for the temperature.
    """

    def __init__(
        self,
        C: float = 10.0,
        kernel: str = "rbf",
        gamma: str | float = "scale",
        calibration_folds: int = 3,
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.calibration_folds = calibration_folds

    def fit(self, X: Any, y: Any, groups: Any = None) -> SupportVectors:
        """Fit on (n, k) and string labels; `groups` (n,) are speakers, for the calibration."""
        X, y = validate_data(self, X, y)
        self.svc_ = self._machine().fit(X, y)
        self.classes_ = self.svc_.classes_
        self.temperature_ = self._temperature(X, y, groups)
        return self

    def predict(self, X: Any) -> Any:
        """Return the class with the largest decision value."""
        return self.classes_[self._decision(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) probabilities."""
        return np.asarray(softmax(self._decision(X) / self.temperature_, axis=1))

    def _machine(self) -> SVC:
        return SVC(C=self.C, kernel=self.kernel, gamma=self.gamma, class_weight="balanced")

    def _decision(self, X: Any) -> Floats:
        check_is_fitted(self)
        return _columns(self.svc_.decision_function(validate_data(self, X, reset=False)))

    def _temperature(self, X: Any, y: Any, groups: Any) -> float:
        """Temperature with the smallest cross entropy on held-out training rows."""
        n = self.calibration_folds
        if groups is not None and len(set(groups)) >= n:
            parts = GroupKFold(n).split(X, y, groups)
        elif min(np.unique(y, return_counts=True)[1]) >= n:
            parts = StratifiedKFold(n).split(X, y)
        else:
            return 1.0  # too few rows to hold any out
        decisions, truths = [], []
        for train, test in parts:
            if len(set(y[train])) < len(self.classes_):
                continue
            machine = self._machine().fit(X[train], y[train])
            decisions.append(_columns(machine.decision_function(X[test])))
            truths.append(np.searchsorted(self.classes_, y[test]))
        if not decisions:
            return 1.0
        d, t = np.concatenate(decisions), np.concatenate(truths)

        def cross_entropy(log_temperature: float) -> float:
            p = log_softmax(d / np.exp(log_temperature), axis=1)
            return float(-p[np.arange(len(t)), t].mean())

        return float(np.exp(minimize_scalar(cross_entropy, bounds=(-4, 4), method="bounded").x))


class BoostedTrees(ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees by XGBoost, with balanced classes.

    Parameters
    ----------
    n_estimators, max_depth, learning_rate, subsample, colsample_bytree, reg_lambda : XGBoost's.
    max_bin : quantile bins per feature. A few hundred clips have no more to tell in 256, XGBoost's
        default, and with many features most of the time goes into the bins.
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

    def fit(self, X: Any, y: Any) -> BoostedTrees:
        """Fit on (n, k) and string labels; every class has the same total weight."""
        xgboost = _xgboost()
        X, y = validate_data(self, X, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        settings = {
            "objective": "multi:softprob",
            "num_class": len(self.classes_),
            "tree_method": "hist",
            "max_bin": self.max_bin,
            "max_depth": self.max_depth,
            "eta": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "lambda": self.reg_lambda,
            "seed": self.seed,
            "nthread": self.threads,
        }
        rows = xgboost.DMatrix(X, codes, weight=compute_sample_weight("balanced", y))
        self.booster_ = xgboost.train(settings, rows, self.n_estimators)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) probabilities."""
        check_is_fitted(self)
        rows = _xgboost().DMatrix(validate_data(self, X, reset=False))
        return np.asarray(self.booster_.predict(rows), dtype=np.float64)

    def predict(self, X: Any) -> Any:
        """Return the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _columns(decision: Any) -> Floats:
    """One column per class; scikit-learn gives one number for two classes."""
    d = np.asarray(decision, dtype=np.float64)
    return np.stack([-d, d], axis=1) if d.ndim == 1 else d


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError:
        raise MissingExtraError.of("xgboost", "boost", "the model xgb") from None
    return xgboost
