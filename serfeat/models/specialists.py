"""Majority voting of subspace specialists (Dellaert, Polzin & Waibel 1996).

No single set of features tells all emotions apart: loudness parts anger from sadness and is of
little use between anger and joy. So every pair of emotions gets a specialist, a nearest-neighbour
classifier that sees only these two classes and only the few features that tell them apart best; a
clip goes to the emotion that wins the most of its duels.

What the paper leaves open (ours)
---------------------------------
Only its abstract was at hand. The features of a pair are found by greedy forward selection: the one
that raises the leave-one-speaker-out score most is added, until five are taken or none raises it.
The score is the mean recall of the two classes (they differ in size); where scores are equal, the
mean posterior of the right class decides, then the order of the columns. Neighbours weigh
1/distance. Where emotions win equally many duels, the summed posteriors decide.

Source
------
F. Dellaert, T. Polzin, A. Waibel, "Recognizing emotion in speech", ICSLP 1996.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from serfeat.errors import ModelError
from serfeat.jit import COMPILED, jit
from serfeat.types import Bools, Floats, Ints

__all__ = ["SubspaceSpecialists"]

TINY = 1e-12  # stands for a distance of 0, so that an exact hit outweighs everything


class SubspaceSpecialists(ClassifierMixin, BaseEstimator):
    """One nearest-neighbour specialist per pair of classes, each in a subspace of its own.

    Parameters
    ----------
    n_features : the most that a specialist sees.
    n_neighbors : of a specialist; where it has fewer rows, all of them.

    Attributes
    ----------
    pairs_ : (pairs, 2) the classes of each specialist, as places in `classes_`.
    subspaces_ : (pairs, n_features) its columns in the order of their choice, then -1.
    scores_ : (pairs,) its mean recall on training speakers that were left out.
    """

    def __init__(self, n_features: int = 5, n_neighbors: int = 5) -> None:
        self.n_features = n_features
        self.n_neighbors = n_neighbors

    def fit(self, X: Any, y: Any, groups: Any = None) -> SubspaceSpecialists:
        """Choose the subspaces and keep the rows.

        Parameters
        ----------
        X, y : (n, k) z-scores, and labels.
        groups : (n,) speakers; without them, or with one only, rows are left out one at a time.

        Raises
        ------
        ModelError : parameters below 1, or another number of speakers than of rows.
        """
        if min(self.n_features, self.n_neighbors) < 1:
            raise ModelError(
                f"n_features is {self.n_features} and n_neighbors {self.n_neighbors}, expected at "
                "least 1",
                where="specialists",
                code="bad-parameter",
            )
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, self.codes_ = np.unique(y, return_inverse=True)
        speakers = _speakers(groups, len(X))
        self.rows_ = X
        self.pairs_ = np.array(list(combinations(range(len(self.classes_)), 2))).reshape(-1, 2)
        self.subspaces_ = np.full((len(self.pairs_), self.n_features), -1)
        self.scores_ = np.empty(len(self.pairs_))
        for i, (a, b) in enumerate(self.pairs_):
            here = (self.codes_ == a) | (self.codes_ == b)
            chosen, self.scores_[i] = _select(
                X[here], self.codes_[here] == b, speakers[here], self.n_features, self.n_neighbors
            )
            self.subspaces_[i, : len(chosen)] = chosen
        return self

    def duels(self, X: Any) -> Floats:
        """(n, pairs) posterior of the second class of each pair, in the specialist's eyes."""
        check_is_fitted(self)
        X = np.ascontiguousarray(validate_data(self, X, reset=False, dtype=np.float64))
        out = np.empty((len(X), len(self.pairs_)))
        for i, (a, b) in enumerate(self.pairs_):
            here = (self.codes_ == a) | (self.codes_ == b)
            columns = self.subspaces_[i][self.subspaces_[i] >= 0]
            squared = _squared_distances(X[:, columns], self.rows_[here][:, columns])
            n, m = squared.shape
            out[:, i] = _vote(
                squared,
                np.zeros(n),
                np.zeros(m),
                self.codes_[here] == b,
                np.full(n, -1),  # no speaker of the training is passed over
                np.zeros(m, dtype=np.int64),
                self.n_neighbors,
            )
        return out

    def standing(self, X: Any) -> Floats:
        """(n, classes) duels won, plus what the posteriors say: less than one duel in all."""
        posterior = self.duels(X)
        scores = np.zeros((len(posterior), len(self.classes_)))
        for i, (a, b) in enumerate(self.pairs_):
            wins = posterior[:, i] > 0.5
            scores[:, a] += ~wins + (1 - posterior[:, i]) / len(self.classes_)
            scores[:, b] += wins + posterior[:, i] / len(self.classes_)
        return scores

    def predict(self, X: Any) -> Any:
        """Return the class that wins the most duels; ties go to the larger summed posterior."""
        check_is_fitted(self)
        return self.classes_[self.standing(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) softmax of `standing`: an order, not calibrated probabilities."""
        return np.asarray(softmax(self.standing(X), axis=1))


def _speakers(groups: Any, n: int) -> Ints:
    """(n,) a number for each speaker; each row its own where speakers are unknown."""
    if groups is None:
        return np.arange(n)
    check_consistent_length(range(n), groups)
    names, speakers = np.unique(np.asarray(groups), return_inverse=True)
    return np.arange(n) if len(names) < 2 else np.asarray(speakers, dtype=np.int64)


def _select(
    X: Floats, second: Bools, speakers: Ints, n_features: int, k: int
) -> tuple[list[int], float]:
    """Greedy forward selection.

    Parameters
    ----------
    X, second, speakers : (m, columns), (m,), (m,) rows of two classes; True is the second class.

    Returns
    -------
    the columns in the order of their choice (at least one), and the mean recall.
    """
    chosen: list[int] = []
    X = np.asfortranarray(X)  # a column in one piece
    squared = np.zeros((len(X), len(X)))  # distances in the subspace so far
    best = (-1.0, 0.0)
    while len(chosen) < min(n_features, X.shape[1]):
        found = (-1.0, 0.0)
        at = -1
        for column in range(X.shape[1]):
            if column in chosen:
                continue
            values = X[:, column]
            score = _score(_vote(squared, values, values, second, speakers, speakers, k), second)
            if score > found:
                found, at = score, column
        if found[0] <= best[0]:
            break
        best = found
        chosen.append(at)
        squared += (X[:, at, None] - X[None, :, at]) ** 2
    return chosen, best[0]


def _score(posterior: Floats, second: Bools) -> tuple[float, float]:
    """Mean recall of the two classes, and the mean posterior of the right one (10 decimals)."""
    right = np.where(second, posterior, 1 - posterior)
    recall = np.where(second, posterior > 0.5, posterior <= 0.5)
    first = ~second
    mean = (recall[second].mean() + recall[first].mean()) / 2
    margin = (right[second].mean() + right[first].mean()) / 2
    # Rounded, so that the last bits of a sum never choose between equal columns.
    return round(float(mean), 10), round(float(margin), 10)


def _squared_distances(A: Floats, B: Floats) -> Floats:
    """(len(A), len(B)), term by term: exact zeros for equal rows."""
    squared = np.zeros((len(A), len(B)))
    for a, b in zip(A.T, B.T, strict=True):
        squared += (a[:, None] - b[None, :]) ** 2
    return squared


def _vote_plain(
    squared: Floats,
    left: Floats,
    right: Floats,
    second: Bools,
    asked: Ints,
    speakers: Ints,
    k: int,
) -> Floats:
    """`_vote` in NumPy, where nothing is compiled."""
    d = squared + (left[:, None] - right[None, :]) ** 2
    d[asked[:, None] == speakers[None, :]] = np.inf
    order = np.argsort(d, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(d, order, axis=1)
    weights = np.where(np.isfinite(near), 1 / np.maximum(np.sqrt(near), TINY), 0.0)
    total = weights.sum(axis=1)
    share = (weights * second[order]).sum(axis=1)
    return np.asarray(np.divide(share, total, out=np.full(len(d), 0.5), where=total > 0))


@jit
def _vote_compiled(
    squared: Floats,
    left: Floats,
    right: Floats,
    second: Bools,
    asked: Ints,
    speakers: Ints,
    k: int,
) -> Floats:
    """Weighted share of the second class among the k nearest rows of other speakers.

    The nearest are kept in a short sorted list while the row is read once: with k of 5 that is ten
    times quicker than to sort or partition the distances.

    Parameters
    ----------
    squared : (n, m) squared distances, to which ``(left - right)^2`` is added.
    left, right : (n,), (m,) the column that is tried.
    second : (m,) True for rows of the second class.
    asked, speakers : (n,), (m,) rows of the same speaker are passed over.

    Returns
    -------
    (n,) in 0..1; 0.5 where there is no row of another speaker.
    """
    n, m = squared.shape
    out = np.full(n, 0.5)
    near = np.empty(k)
    kind = np.empty(k, dtype=np.bool_)
    for i in range(n):
        found = 0
        for j in range(m):
            if speakers[j] == asked[i]:
                continue
            d = squared[i, j] + (left[i] - right[j]) ** 2
            if found == k and d >= near[k - 1]:
                continue
            at = found if found < k else k - 1
            while at > 0 and near[at - 1] > d:
                near[at] = near[at - 1]
                kind[at] = kind[at - 1]
                at -= 1
            near[at] = d
            kind[at] = second[j]
            found = min(found + 1, k)
        total = 0.0
        share = 0.0
        for q in range(found):
            weight = 1.0 / max(np.sqrt(near[q]), TINY)
            total += weight
            if kind[q]:
                share += weight
        if found > 0:
            out[i] = share / total
    return out


_vote = _vote_compiled if COMPILED else _vote_plain
