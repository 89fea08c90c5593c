"""Many entries on many corpora: average ranks, Friedman's test and Nemenyi's critical difference.

Scores of different corpora cannot be averaged (70 is good on one and poor on another), ranks can.
Friedman asks whether the entries differ at all; Nemenyi says how far two average ranks must be
apart. The unit is the corpus: a handful of corpora can only show large differences, and protocols
or seeds of one corpus are not further corpora.

Conventions: scores are (N corpora, k entries), higher is better; rank 1 is the best, equal scores
share the mean of their ranks.

Contents
--------
`average_ranks` `friedman` `critical_difference` `nemenyi` `critical_difference_groups`.

Sources
-------
Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006 (all of it;
its worked example is in `tests/test_rank_tests.py`). Iman and Davenport, Communications in
Statistics 9, 1980 (the F).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import ModelError
from serfeat.types import Floats

__all__ = [
    "Friedman",
    "average_ranks",
    "critical_difference",
    "critical_difference_groups",
    "friedman",
    "nemenyi",
]


@dataclass(frozen=True)
class Friedman:
    """Friedman's test.

    Parameters
    ----------
    ranks : (k,) average ranks, 1 is the best.
    statistic, p : chi-squared with k - 1 degrees of freedom, corrected for ties; conservative
        with few corpora.
    f, f_p : Iman and Davenport's F with k - 1 and (k - 1)(N - 1) degrees of freedom, the better
        one; infinite with p 0 if all corpora rank the entries alike.
    corpora : N.
    """

    ranks: tuple[float, ...]
    statistic: float
    p: float
    f: float
    f_p: float
    corpora: int


def average_ranks(scores: ArrayLike) -> Floats:
    """(k,) average rank of every entry of (N, k) scores, 1 is the best."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-_table(scores), axis=1).mean(axis=0), dtype=np.float64)


def friedman(scores: ArrayLike) -> Friedman:
    """Test whether any of the entries differ.

    Parameters
    ----------
    scores : (N, k) with N corpora of 2 or more and k entries of 3 or more.

    Raises
    ------
    ModelError : fewer corpora or entries, or a score that is missing.
    """
    from scipy.stats import f as fisher
    from scipy.stats import friedmanchisquare

    x = _table(scores)
    n, k = x.shape
    if n < 2 or k < 3:
        raise ModelError(
            f"{k} entries on {n} corpora, Friedman's test needs 3 or more on 2 or more",
            code="too-few",
            fix="compare two entries with serfeat.statistics.significance",
        )
    ranks = tuple(float(r) for r in average_ranks(x))
    if not (x != x[:, :1]).any():  # every corpus a tie: 0 / 0
        return Friedman(ranks, 0.0, 1.0, 0.0, 1.0, n)
    chi2, p = (float(v) for v in friedmanchisquare(*x.T))
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else float("inf")
    return Friedman(ranks, chi2, p, f, float(fisher.sf(f, k - 1, (k - 1) * (n - 1))), n)


def critical_difference(k: int, n: int, *, alpha: float = 0.05) -> float:
    """How far two of k average ranks over n corpora must be apart (Nemenyi).

    ``q sqrt(k (k + 1) / (6 n))`` with q the quantile of the studentised range over sqrt(2), so
    that among k equal entries no pair is that far apart with 1 - alpha.
    """
    from scipy.stats import studentized_range

    if k < 2 or n < 1:
        raise ModelError(f"{k} entries on {n} corpora, expected 2 on 1 or more", code="too-few")
    q = float(studentized_range.ppf(1 - alpha, k, np.inf)) / 2**0.5
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def nemenyi(scores: ArrayLike) -> Floats:
    """(k, k) p of every pair of entries, adjusted for all pairs; 1 on the diagonal."""
    from scipy.stats import studentized_range

    x = _table(scores)
    n, k = x.shape
    ranks = average_ranks(x)
    apart = np.abs(ranks[:, None] - ranks) / np.sqrt(k * (k + 1) / (6 * n))
    return np.asarray(studentized_range.sf(apart * 2**0.5, k, np.inf), dtype=np.float64)


def critical_difference_groups(
    ranks: Mapping[str, float], difference: float
) -> list[tuple[str, ...]]:
    """The bars of a critical-difference plot: entries that the data cannot tell apart.

    Parameters
    ----------
    ranks : entry -> average rank.
    difference : `critical_difference`; ranks that far apart or farther differ.

    Returns
    -------
    Groups of two or more, best first; each as large as it can be, so they may overlap: what is
    alike is not transitive.
    """
    order = sorted(ranks, key=lambda name: (ranks[name], name))
    found: list[tuple[str, ...]] = []
    reached = 0  # entries that a bar already ends at or beyond
    for i, first in enumerate(order):
        end = i + 1
        while end < len(order) and ranks[order[end]] - ranks[first] < difference:
            end += 1
        if end - i > 1 and end > reached:
            found.append(tuple(order[i:end]))
            reached = end
    return found


def _table(scores: ArrayLike) -> Floats:
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or np.isnan(x).any():
        raise ModelError(
            f"scores of shape {x.shape} with {int(np.isnan(x).sum())} missing, expected corpora x "
            "entries without a gap",
            code="incomplete",
            fix="keep the corpora on which every entry was tested",
        )
    return x
