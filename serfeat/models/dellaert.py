"""Maximum-likelihood Bayes: one Gaussian per emotion (Dellaert, Polzin & Waibel 1996).

The first statistical classifier of emotion in speech. Every class c has a mean m and a covariance
S of its own, and a row x goes to the class with the largest

    log p(x | c) + log P(c) = -1/2 [(x - m)' S^-1 (x - m) + log det S + k log 2 pi] + log P(c):

quadratic discriminant analysis. Their k nearest neighbours are `serfeat.models.classical`'s with
``candidates=DELLAERT_K``, their voting specialists `serfeat.models.specialists`.

What the paper leaves open (ours)
---------------------------------
Only its abstract was at hand. A class of an acted corpus has 40 to 130 clips, and a full covariance
of 30 features has 465 numbers: it is shrunk towards a multiple of the identity by Ledoit and Wolf's
closed form. Classes are equally probable by default, because UAR counts them equally.

Sources
-------
F. Dellaert, T. Polzin, A. Waibel, "Recognizing emotion in speech", ICSLP 1996. O. Ledoit, M. Wolf,
"A well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate
Analysis 88(2), 2004.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.covariance import ledoit_wolf
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from serfeat.errors import did_you_mean
from serfeat.types import Floats

__all__ = ["DELLAERT_K", "MaximumLikelihoodBayes"]

DELLAERT_K = (1, 3, 5, 7, 9, 15)
# Added to every variance (rows are z-scores): a class with one row, or with equal ones, has none.
FLOOR = 1e-6


class MaximumLikelihoodBayes(ClassifierMixin, BaseEstimator):
    """One Gaussian with a full, shrunk covariance per class.

    Parameters
    ----------
    prior : ``"uniform"``, or ``"empirical"``: the share of each class among the training rows.

    Attributes
    ----------
    means_ : (classes, k).
    factors_ : (classes, k, k) lower Cholesky factors of the covariances.
    shrinkages_ : (classes,) Ledoit and Wolf's, 0 (none) to 1.
    """

    def __init__(self, prior: str = "uniform") -> None:
        self.prior = prior

    def fit(self, X: Any, y: Any) -> MaximumLikelihoodBayes:
        """Fit on (n, k) z-scores and labels.

        Raises
        ------
        UnknownNameError : an unknown prior.
        """
        if self.prior not in {"uniform", "empirical"}:
            raise did_you_mean("prior", self.prior, ["uniform", "empirical"])
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, counts = np.unique(y, return_counts=True)
        uniform = np.full(len(counts), 1 / len(counts))
        self.log_prior_ = np.log(uniform if self.prior == "uniform" else counts / counts.sum())
        means, factors, shrinkages = [], [], []
        for label in self.classes_:
            rows = X[y == label]
            means.append(rows.mean(axis=0))
            covariance, shrinkage = np.zeros((X.shape[1], X.shape[1])), 1.0
            if len(rows) > 1:
                covariance, shrinkage = ledoit_wolf(rows - means[-1], assume_centered=True)
            covariance.flat[:: len(covariance) + 1] += FLOOR
            factors.append(np.linalg.cholesky(covariance))
            shrinkages.append(shrinkage)
        self.means_, self.factors_ = np.array(means), np.array(factors)
        self.shrinkages_ = np.array(shrinkages, dtype=np.float64)
        return self

    def log_density(self, X: Any) -> Floats:
        """(n, classes) log p(x | c)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        out = np.empty((len(X), len(self.classes_)))
        for c, (mean, factor) in enumerate(zip(self.means_, self.factors_, strict=True)):
            whitened = solve_triangular(factor, (X - mean).T, lower=True)
            log_root = np.log(np.diagonal(factor)).sum()  # of the determinant
            out[:, c] = -0.5 * ((whitened**2).sum(axis=0) + X.shape[1] * np.log(2 * np.pi))
            out[:, c] -= log_root
        return out

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) posterior probabilities."""
        return np.asarray(softmax(self.log_density(X) + self.log_prior_, axis=1))

    def predict(self, X: Any) -> Any:
        """Return the class with the largest posterior."""
        posterior = self.log_density(X) + self.log_prior_
        return self.classes_[posterior.argmax(axis=1)]
