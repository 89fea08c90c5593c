"""k nearest neighbours, support vectors and boosted trees on tables of functionals.

Thin classes around well-kept libraries, for three reasons: string labels in and out, class balance
by one rule (every class weighs the same, as UAR counts them), and probabilities that mean something
(a support vector machine has none of its own).
"""

from __future__ import annotations

from collections.abc import Sequence
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

from serfeat.errors import MissingExtraError, ModelError
from serfeat.models.arguments import HoldsOut
from serfeat.types import Floats, Ints

__all__ = ["BoostedTrees", "NearestNeighbours", "SupportVectors"]


class NearestNeighbours(KNeighborsClassifier):
    """Nearest neighbours, Euclidean on z-scores, nearer ones count more (weights 1/distance).

    Where two classes have the same weight, the one with the smaller summed distance wins.

    Parameters
    ----------
    n_neighbors : k; where there are fewer training rows, all of them.
    candidates : several k (Dellaert's: 1, 3, 5, 7, 9, 15), of which the one with the highest UAR on
        held-out training speakers is taken, and of equal ones the largest; `n_neighbors` then only
        stands in where nothing can be held out.

    Attributes
    ----------
    k_ : the k in use.
    """

    def __init__(self, n_neighbors: int = 9, candidates: Sequence[int] | None = None) -> None:
        super().__init__(n_neighbors, weights="distance")
        self.candidates = candidates

    def fit(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        *,
        recorded: int | None = None,
        validation: Any = None,
    ) -> NearestNeighbours:
        """Fit on (n, k) and labels.

        Parameters
        ----------
        groups : (n,) speakers, to choose k without them.
        recorded : rows from here on are further versions of those before, in their order: they are
            neighbours, and k is not chosen for them.
        validation : (n,) the rows that k is chosen on; None: speakers in turn.
        """
        super().fit(X, y)
        if self.outputs_2d_:
            raise ModelError("y has several columns, expected one label a row", code="bad-labels")
        self.k_ = self.n_neighbors
        if self.candidates is not None:
            self.k_ = self._choose(groups, recorded, validation)
        return self

    def kneighbors(self, X: Any = None, n_neighbors: int | None = None, **options: Any) -> Any:
        """Find the neighbours, never more than there are rows."""
        check_is_fitted(self, "k_")
        wanted = n_neighbors or self.k_
        return super().kneighbors(X, min(wanted, self.n_samples_fit_), **options)

    def predict(self, X: Any) -> Any:
        """Return the class with the largest weight; ties go to the smaller summed distance."""
        distances, rows = self.kneighbors(X)
        return self.classes_[_nearest_class(distances, self._y[rows], len(self.classes_))]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        tags.classifier_tags.multi_label = False
        return tags

    def _choose(self, groups: Any, recorded: int | None, validation: Any) -> int:
        """The candidate with the highest UAR on training speakers that were held out."""
        candidates = [int(k) for k in self.candidates or ()]
        if not candidates or min(candidates) < 1:
            raise ModelError(
                f"candidates are {self.candidates}, expected numbers of neighbours, at least 1",
                where="knn",
                code="bad-parameter",
            )
        X, y, most = self._fit_X, self._y, max(candidates)
        speakers = 0 if groups is None else len(set(groups))
        predicted = np.full((len(candidates), len(y)), -1)
        parts = _inner_parts(y, groups, min(5, speakers) if speakers > 1 else 5, recorded)
        if validation is not None:
            apart = np.asarray(validation, dtype=bool)
            parts = [(np.flatnonzero(~apart), np.flatnonzero(apart[:recorded]))]
        for train, test in parts:
            index = KNeighborsClassifier(min(most, len(train))).fit(X[train], y[train])
            distances, rows = index.kneighbors(X[test])
            codes = y[train][rows]
            for i, k in enumerate(candidates):
                nearest = _nearest_class(distances[:, :k], codes[:, :k], len(self.classes_))
                predicted[i, test] = nearest
        if not parts:
            return int(self.n_neighbors)
        tested = np.concatenate([test for _, test in parts])
        uar = [_uar(y[tested], p[tested]) for p in predicted]
        return max(zip(uar, candidates, strict=True))[1]


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

    def fit(
        self, X: Any, y: Any, groups: Any = None, *, recorded: int | None = None
    ) -> SupportVectors:
        """Fit on (n, k) and string labels.

        Parameters
        ----------
        groups : (n,) speakers, for the calibration.
        recorded : rows from here on are further versions of those before, in their order: the
            temperature is not fitted to them.
        """
        X, y = validate_data(self, X, y)
        self.svc_ = self._machine().fit(X, y)
        self.classes_ = self.svc_.classes_
        self.temperature_ = self._temperature(X, y, groups, recorded)
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

    def _temperature(self, X: Any, y: Any, groups: Any, recorded: int | None) -> float:
        """Temperature with the smallest cross entropy on held-out training rows."""
        decisions, truths = [], []
        for train, test in _inner_parts(y, groups, self.calibration_folds, recorded):
            if len(set(y[train])) < len(self.classes_):
                continue
            machine = self._machine().fit(X[train], y[train])
            decisions.append(_columns(machine.decision_function(X[test])))
            truths.append(np.searchsorted(self.classes_, y[test]))
        if not decisions:
            return 1.0  # too few rows to hold any out
        d, t = np.concatenate(decisions), np.concatenate(truths)

        def cross_entropy(log_temperature: float) -> float:
            p = log_softmax(d / np.exp(log_temperature), axis=1)
            return float(-p[np.arange(len(t)), t].mean())

        return float(np.exp(minimize_scalar(cross_entropy, bounds=(-4, 4), method="bounded").x))


class BoostedTrees(HoldsOut, ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees by XGBoost, with balanced classes.

    Parameters
    ----------
    n_estimators, max_depth, learning_rate, subsample, colsample_bytree, reg_lambda : XGBoost's.
    max_bin : quantile bins per feature. A few hundred clips have no more to tell in 256, XGBoost's
        default, and with many features most of the time goes into the bins.
    patience : rounds without a smaller cross entropy on held-out training speakers after which
        boosting stops, and the best round is kept; None: all rounds, on all rows.
    validation_fraction : share of the training speakers that is held out for it.
    seed : of the row and column subsampling, and of the draw of these speakers.
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
        patience: int | None = None,
        validation_fraction: float = 0.2,
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
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.threads = threads

    def fit(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        *,
        recorded: int | None = None,
        validation: Any = None,
    ) -> BoostedTrees:
        """Fit on (n, k) and string labels; every class has the same total weight.

        Parameters
        ----------
        groups : (n,) speakers; needed with `patience`.
        recorded : rows from here on are further versions of those before, and stop nothing.
        validation : (n,) the rows that `patience` looks at; None: those of drawn speakers.

        Raises
        ------
        ModelError : `patience` without speakers that can be held out.
        """
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

        def rows(which: Any) -> Any:
            weight = compute_sample_weight("balanced", codes[which])
            return xgboost.DMatrix(X[which], codes[which], weight=weight)

        if self.patience is None:
            self.booster_ = xgboost.train(settings, rows(slice(None)), self.n_estimators)
            return self
        held_out, judged, _ = self.apart(y, groups, recorded=recorded, validation=validation)
        booster = xgboost.train(
            {**settings, "eval_metric": "mlogloss"},
            rows(~held_out),
            self.n_estimators,
            evals=[(rows(judged), "held_out")],
            early_stopping_rounds=self.patience,
            verbose_eval=False,
        )
        self.booster_ = booster[: booster.best_iteration + 1]
        return self

    def _judges(self) -> bool:
        return self.patience is not None

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) probabilities."""
        check_is_fitted(self)
        rows = _xgboost().DMatrix(validate_data(self, X, reset=False))
        return np.asarray(self.booster_.predict(rows), dtype=np.float64)

    def predict(self, X: Any) -> Any:
        """Return the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _nearest_class(distances: Floats, codes: Ints, n_classes: int) -> Ints:
    """(n,) class of the nearest neighbours.

    Parameters
    ----------
    distances, codes : (n, k) of the neighbours. Neighbours at distance 0, if there are any, decide
        alone.
    """
    with np.errstate(divide="ignore"):
        weights = 1.0 / distances
    exact = np.isinf(weights)
    hit = exact.any(axis=1)
    weights[hit] = exact[hit]
    votes, summed = np.zeros((2, len(distances), n_classes))
    rows = np.arange(len(distances))[:, None]
    np.add.at(votes, (rows, codes), weights)
    np.add.at(summed, (rows, codes), distances)
    # Sums of the same weights in another order may differ in the last bits: these are ties too.
    tied = votes >= votes.max(axis=1, keepdims=True) * (1 - 1e-12)
    return np.asarray(np.where(tied, summed, np.inf).argmin(axis=1), dtype=np.int64)


def _inner_parts(
    y: Any, groups: Any, n: int, recorded: int | None = None
) -> list[tuple[Ints, Ints]]:
    """(train, test) rows of `n` inner folds, speakers held out where there are enough of them.

    Further versions of rows (from `recorded` on) are trained on with their rows, and never tested.
    None at all where a class has fewer rows than there are folds.
    """
    first = y[:recorded]
    speakers = None if groups is None else np.asarray(groups)[:recorded]
    if speakers is not None and len(set(speakers)) >= n:
        parts = GroupKFold(n).split(first, first, speakers)
    elif min(np.unique(first, return_counts=True)[1]) >= n:
        parts = StratifiedKFold(n).split(first, first)
    else:
        return []
    begins = np.arange(0, len(y), len(first))[:, None]
    return [((begins + train).ravel(), test) for train, test in parts]


def _uar(truth: Any, predicted: Any) -> float:
    """Mean recall over the classes that there are."""
    return float(np.mean([(predicted[truth == c] == c).mean() for c in np.unique(truth)]))


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
