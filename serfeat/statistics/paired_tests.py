"""Paired tests of two entries: from differences, or from counts, to a p.

Every test here asks "could the two be equally good?" and answers with a two-sided p. They differ
in what they take as independent, and that decides what the p is about:

====================  ===============  =========================================================
test                  unit             what it assumes
====================  ===============  =========================================================
`corrected_t`         fold             differences of folds are normal; training sets that
                                       overlap correlate them (the correction)
`sign_flip`           speaker          under equality a speaker's difference is as likely to
                                       have the other sign
`wilcoxon`            speaker or fold  the same, of ranks: large differences count less
`mcnemar`             clip             clips are independent, also those of one speaker: wrong
                                       for speech, so its p is about these speakers only
====================  ===============  =========================================================

Seeds are no units: average over them first (`serfeat.statistics.significance` does). With G
speakers `sign_flip` and `wilcoxon` cannot go below ``2 / 2 ** G``: .0625 with 5, so never
"significant".

Conventions: differences are first minus second; NaN (a fold that was not scored) is left out; p is
NaN where a test does not apply (fewer than 2 units, or all differences equal and not 0) and 1
where all differences are 0.

Contents
--------
`corrected_t` `sign_flip` `wilcoxon` `mcnemar` : the tests.
`holm` : many p made fit to be read side by side.

Sources
-------
Nadeau and Bengio, "Inference for the generalization error", Machine Learning 52, 2003 (corrected
resampled t). Bouckaert and Frank, "Evaluating the replicability of significance tests for
comparing learning algorithms", PAKDD 2004 (its use with cross-validation). Phipson and Smyth,
"Permutation p-values should never be zero", SAGMB 9, 2010 (the + 1). McNemar, Psychometrika 12,
1947; Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91, 2013 (mid-p).
Wilcoxon, Biometrics Bulletin 1, 1945. Holm, Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, chdtrc

from serfeat.errors import ModelError, did_you_mean
from serfeat.stats import student_p
from serfeat.types import Floats

__all__ = ["corrected_t", "holm", "mcnemar", "sign_flip", "wilcoxon"]

# Up to so many differences every pattern of signs is tried: 2 ** 15 of them, the mirror images
# being equal.
EXACT_UP_TO = 16
NAN = float("nan")


def corrected_t(differences: ArrayLike, *, ratio: float | None = None) -> float:
    """Nadeau and Bengio's corrected resampled t-test over folds.

    Parameters
    ----------
    differences : (k,) score of one entry minus the other's, one per fold.
    ratio : test clips per training clip, mean over the folds; default ``1 / (k - 1)``, that of a
        cross-validation whose folds are all tested once.

    Returns
    -------
    p of ``t = mean / sqrt((1 / k + ratio) * variance)`` with k - 1 degrees of freedom. Without
    `ratio` in the root the folds would be taken as independent, which overlapping training sets
    are not.
    """
    d = _finite(differences)
    k = len(d)
    if k < 2 or np.ptp(d) < 1e-12:
        return _without_spread(d)
    factor = 1 / k + (1 / (k - 1) if ratio is None else ratio)
    return student_p(float(d.mean()), float(np.sqrt(factor * d.var(ddof=1))), k - 1)


def sign_flip(differences: ArrayLike, *, n: int = 9999, seed: int = 0) -> float:
    """Permutation test over speakers: in each, the two entries may change names.

    Parameters
    ----------
    differences : (G,) what each speaker adds to the difference (their sum is the statistic).
    n, seed : patterns of signs to draw with more than 16 speakers, and seed of the generator; up
        to 16 all are tried.

    Returns
    -------
    Share of the patterns whose sum is at least as far from 0; ``(1 + extreme) / (1 + n)`` when
    drawn, because the observed pattern is one of them. 1 for a single speaker.
    """
    d = _finite(differences)
    if not len(d):
        return NAN
    # Sums of the same numbers in another order may differ in the last bit: they are ties.
    limit = abs(d.sum()) - 1e-12 * float(np.abs(d).sum())
    if len(d) <= EXACT_UP_TO:
        sums = d[:1]  # the first sign stays: |sum| is symmetric
        for more in d[1:]:
            sums = np.concatenate([sums + more, sums - more])
        return float((np.abs(sums) >= limit).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (n, len(d))) * 2.0 - 1.0
    return float((1 + (np.abs(signs @ d) >= limit).sum()) / (1 + n))


def wilcoxon(differences: ArrayLike, *, n: int = 9999, seed: int = 0) -> float:
    """Wilcoxon's signed-rank test: `sign_flip` of the signed ranks; zeros are left out.

    With ties, which are common where clips are few, this is still exact, as SciPy's is when it
    tries every pattern (a thousand times slower, which a table of many pairs would feel).

    Parameters
    ----------
    differences : (m,) one per speaker or fold.
    n, seed : as in `sign_flip`.
    """
    from scipy.stats import rankdata

    d = np.round(_finite(differences), 12)  # equal up to rounding is equal: ties share a rank
    kept = d[d != 0]
    if not len(kept):
        return _without_spread(d)
    return sign_flip(np.sign(kept) * rankdata(np.abs(kept)), n=n, seed=seed)


def mcnemar(
    only_first: int,
    only_second: int,
    *,
    method: Literal["exact", "mid-p", "continuity"] = "exact",
) -> float:
    """McNemar's test of the clips that only one of the two recognised.

    Parameters
    ----------
    only_first, only_second : clips that only the first (only the second) got right.
    method : ``"exact"`` two-sided binomial; ``"mid-p"`` half of the observed count's probability
        less per side (the exact test is conservative with few clips); ``"continuity"`` the
        chi-squared approximation ``(|b - c| - 1) ** 2 / (b + c)``.

    Returns
    -------
    p; 1 if the two never differ.
    """
    b, c = int(only_first), int(only_second)
    if min(b, c) < 0:
        raise ModelError(f"{b} and {c} clips, expected counts of 0 or more", code="negative-count")
    if method not in ("exact", "mid-p", "continuity"):
        raise did_you_mean("method of McNemar's test", method, ["exact", "mid-p", "continuity"])
    if b + c == 0:
        return 1.0
    if method == "continuity":
        return float(chdtrc(1, max(abs(b - c) - 1, 0) ** 2 / (b + c)))
    fewer, both = min(b, c), b + c
    tail = float(bdtr(fewer, both, 0.5))  # P(at most so few)
    if method == "mid-p":
        below = float(bdtr(fewer - 1, both, 0.5)) if fewer else 0.0
        return tail + below
    return min(2 * tail, 1.0)


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjustment: of all that stay below .05, none is false with 95 %.

    Parameters
    ----------
    p : (m,) of all the tests that are read together; NaN is no test, stays NaN and does not count.

    Returns
    -------
    (m,) ``max over j <= i of (m - j + 1) p_(j)`` at most 1, in the order of `p`.
    """
    raw = np.asarray(p, dtype=np.float64)
    out: Floats = np.full(raw.shape, np.nan)
    known = np.flatnonzero(~np.isnan(raw))
    order = known[np.argsort(raw[known], kind="stable")]
    steps = raw[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return out


def _finite(differences: ArrayLike) -> Floats:
    d = np.asarray(differences, dtype=np.float64).ravel()
    return d[np.isfinite(d)]


def _without_spread(d: Floats) -> float:
    """Differences that are all equal, or fewer than 2, have p = 1 if all are 0, else NaN."""
    return 1.0 if len(d) >= 2 and not np.abs(d).max() > 1e-12 else NAN
