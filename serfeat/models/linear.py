"""A linear classifier of functionals: the plainest model that a comparison should hold."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression

__all__ = ["RidgeLogistic"]


class RidgeLogistic(LogisticRegression):
    """Multinomial logistic regression whose squared weights cost; balanced classes.

    Parameters
    ----------
    alpha : cost of the squared weights, ``1 / C``. With hundreds of correlated functionals and a
        few hundred clips it has to be large.
    """

    def __init__(self, alpha: float = 100.0) -> None:
        super().__init__(class_weight="balanced", max_iter=1000)
        self.alpha = alpha

    def fit(self, X: Any, y: Any) -> RidgeLogistic:
        """Fit on (n, k) and string labels."""
        self.C = 1.0 / self.alpha
        super().fit(X, y)
        return self
