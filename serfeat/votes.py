"""Rater votes: proportions as targets, clear and ambiguous clips, and how far raters agree.

Conventions
-----------
A manifest holds votes as columns ``votes_<label>``, the number of raters who chose the label;
``votes_total`` is no label, and a missing cell counts as no vote. Everything below starts from
*counts*: one row per clip (unit), one column per label. Clips may have different numbers of votes,
which is missing data for both measures: a clip with fewer than two says nothing of agreement.

Clear and ambiguous (Li & Zhang 2025, after Ando et al. 2018)
-------------------------------------------------------------
The papers call a clip *clear* where at least two raters agree on a target emotion, and *ambiguous*
where target emotions are present but secondary. They leave open what happens to ties; ours:

* ``"clear"``: one target label has at least two votes, and more than every other label, be it a
  target or not.
* ``"ambiguous"``: at least one vote for a target label, and not clear: tied, outvoted by a label
  that is no target, or a single vote.
* ``"none"``: no vote for any target label.

Measures
--------
With ``n_ik`` votes on unit i for label k, and ``n_i`` votes on unit i:

* Fleiss' kappa, ``(P - E) / (1 - E)``: P is the mean over units with ``n_i >= 2`` of the share of
  agreeing pairs, ``sum_k n_ik (n_ik - 1) / (n_i (n_i - 1))``; ``E = sum_k p_k^2``, where ``p_k`` is
  the mean over units of ``n_ik / n_i``. With equal ``n_i`` this is Fleiss 1971; for unequal ones it
  is Gwet's generalisation, in which every clip weighs the same.
* Krippendorff's alpha, ``1 - D_o / D_e``: D_o and D_e are the observed and the expected mean
  difference of two votes, from coincidences in which every unit weighs as its number of votes.
  Labels differ by 1 ("nominal"), by the votes that lie between them ("ordinal"), or by the square
  of the difference of their values ("interval").

Both are 1 where all agree and 0 where votes are drawn from one urn. They take votes for raters: in
a corpus whose raters may choose several labels (IEMOCAP), one rater's own labels count as a
disagreement.

Contents
--------
`vote_columns`, `vote_counts`, `count_ratings`           : the counts.
`proportions`, `kinds`                                   : targets, and which clips to train on.
`fleiss_kappa`, `krippendorff_alpha`, `agreement_interval` : agreement.
`agreement_lines`                                        : a few lines about a corpus.

Sources
-------
J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76(5),
1971. K. L. Gwet, "Handbook of inter-rater reliability", 4th edition, 2014 (his R package irrCAC
gives the same numbers). K. Krippendorff, "Computing Krippendorff's alpha-reliability", 2011.
X. Li, Z. Zhang, Digital Communications and Networks 11(5), 2025, doi 10.1016/j.dcan.2024.10.007.
A. Ando et al., "Soft-target training with ambiguous emotional utterances for DNN-based speech
emotion classification", ICASSP 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import ManifestError, did_you_mean
from serfeat.labels import UNLABELLED
from serfeat.types import Floats

__all__ = [
    "agreement_interval",
    "agreement_lines",
    "count_ratings",
    "fleiss_kappa",
    "kinds",
    "krippendorff_alpha",
    "proportions",
    "vote_columns",
    "vote_counts",
]

PREFIX = "votes_"
NO_LABELS = frozenset({"total"})

Scale = Literal["nominal", "ordinal", "interval"]
Measure = Literal["kappa", "alpha"]


# --- counts ---------------------------------------------------------------------------------------


def vote_columns(rows: pd.DataFrame, *, prefix: str = PREFIX) -> tuple[str, ...]:
    """The columns of `rows` that count votes for a label, in the order of the table.

    `prefix` is another one where there are several kinds of raters (CREMA-D: ``face_``, ``av_``).
    """
    names = [str(c) for c in rows.columns if str(c).startswith(prefix)]
    return tuple(n for n in names if n.removeprefix(prefix) not in NO_LABELS)


def vote_counts(
    rows: pd.DataFrame, *, labels: Sequence[str] | None = None, prefix: str = PREFIX
) -> tuple[tuple[str, ...], Floats]:
    """Votes as an array.

    Parameters
    ----------
    labels : the labels wanted, in this order; default: all that have a column.

    Returns
    -------
    labels (c,), counts (n, c); a missing cell is 0.

    Raises
    ------
    UnknownNameError : a label that raters could not choose.
    ManifestError : no votes at all, or a negative number of them.
    """
    known = [c.removeprefix(prefix) for c in vote_columns(rows, prefix=prefix)]
    if not known:
        raise ManifestError(
            f"no column {prefix}<label>",
            code="no-votes",
            fix="votes are columns such as votes_anger, the number of raters who chose it",
        )
    wanted = known if labels is None else list(labels)
    for label in wanted:
        if label not in known:
            raise did_you_mean("label with votes", label, known)
    table = rows[[prefix + label for label in wanted]].to_numpy(dtype=np.float64)
    counts = np.where(np.isnan(table), 0.0, table)
    if (counts < 0).any():
        raise ManifestError(f"{counts.min():g} votes, expected 0 or more", code="bad-votes")
    return tuple(wanted), counts


def count_ratings(ratings: ArrayLike) -> tuple[Floats, NDArray[Any]]:
    """Count a table of single ratings.

    Parameters
    ----------
    ratings : (units, raters) labels or numbers; NaN, None or the empty text: not rated.

    Returns
    -------
    counts (units, c), and the c different ratings, sorted.
    """
    table = np.asarray(ratings, dtype=object)
    rated = ~(pd.isna(table) | (table == ""))
    values, codes = np.unique(table[rated].tolist(), return_inverse=True)
    counts = np.zeros((len(table), len(values)))
    np.add.at(counts, (np.nonzero(rated)[0], codes), 1.0)
    return counts, values


# --- targets --------------------------------------------------------------------------------------


def proportions(rows: pd.DataFrame, labels: Sequence[str]) -> Floats:
    """Share of each label among the votes for `labels`: soft targets.

    Returns
    -------
    (n, len(labels)), rows sum to 1; NaN in a row without a vote for any of the labels.

    Raises
    ------
    UnknownNameError, ManifestError : see `vote_counts`.
    """
    _, counts = vote_counts(rows, labels=labels)
    total = counts.sum(axis=1, keepdims=True)
    shares: Floats = np.full_like(counts, np.nan)
    np.divide(counts, total, out=shares, where=total > 0)
    return shares


def kinds(rows: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.str_]:
    """Say of each clip whether its raters agree on one of `labels`; see the module.

    Returns
    -------
    (n,) ``"clear"``, ``"ambiguous"`` or ``"none"``.

    Raises
    ------
    UnknownNameError, ManifestError : see `vote_counts`.
    """
    _, targets = vote_counts(rows, labels=labels)
    _, everything = vote_counts(rows)
    most = targets.max(axis=1)
    alone = (everything >= most[:, None]).sum(axis=1) == 1
    clear = (most >= 2) & alone
    return np.select([clear, most > 0], ["clear", "ambiguous"], "none").astype(np.str_)


# --- agreement ------------------------------------------------------------------------------------
# Each measure is a function of sums over units, so that a bootstrap only has to add up again.


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa of (units, labels) counts, generalised to unequal numbers of raters.

    Returns
    -------
    at most 1; NaN if no unit has two votes, or all votes are for one label.

    Examples
    --------
    >>> round(fleiss_kappa([[2, 0], [0, 2], [1, 1]]), 4)
    0.3333
    """
    return float(_kappa_of(_kappa_parts(np.asarray(counts, dtype=np.float64)).sum(axis=0)))


def krippendorff_alpha(
    counts: ArrayLike, *, level: Scale = "nominal", values: ArrayLike | None = None
) -> float:
    """Krippendorff's alpha of (units, labels) counts; missing ratings are simply not counted.

    Parameters
    ----------
    level : how labels differ, see the module; for "ordinal" the columns are in order.
    values : (labels,) numbers behind the columns, for "interval"; default 0, 1, 2, ...

    Returns
    -------
    at most 1; NaN if no unit has two votes, or all votes are for one label.
    """
    parts = _coincidences(np.asarray(counts, dtype=np.float64))
    return float(_alpha_of(parts.sum(axis=0), level, values))


def agreement_interval(
    counts: ArrayLike,
    measure: Measure = "kappa",
    *,
    groups: Sequence[object] | None = None,
    n: int = 500,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of kappa or of nominal alpha, by resampling clips.

    Parameters
    ----------
    counts : (units, labels).
    groups : (units,) speakers, to resample these in place of clips (a wider interval, which speaks
        of other speakers as well).
    n, seed : replicates and their generator.

    Returns
    -------
    (low, high), see `serfeat.stats.bootstrap_over_groups`; about other clips, with these raters.
    """
    from serfeat.stats import bootstrap_over_groups

    table = np.asarray(counts, dtype=np.float64)
    if measure == "kappa":
        parts, statistic = _kappa_parts(table), _kappa_of
    else:
        parts, statistic = _coincidences(table), _alpha_of
    return bootstrap_over_groups(parts, groups, statistic=statistic, n=n, seed=seed, method="t")


def _kappa_parts(counts: Floats) -> Floats:
    """(units, 3 + labels): share of agreeing pairs, has pairs, has votes, share of each label."""
    raters = counts.sum(axis=1)
    pairs = np.where(raters >= 2, raters * (raters - 1), np.inf)
    agreeing = (counts * (counts - 1)).sum(axis=1) / pairs
    shares = counts / np.where(raters > 0, raters, np.inf)[:, None]
    return np.column_stack([agreeing, raters >= 2, raters > 0, shares])


def _kappa_of(sums: Floats) -> Floats:
    """(...,) kappa of (..., 3 + labels) sums of `_kappa_parts`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = sums[..., 0] / sums[..., 1]
        expected = ((sums[..., 3:] / sums[..., 2:3]) ** 2).sum(axis=-1)
        return np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan)


def _coincidences(counts: Floats) -> Floats:
    """(units, labels, labels): ordered pairs of votes on the same unit over ``n_i - 1``."""
    raters = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts  # a vote makes no pair with itself
    return pairs / np.where(raters >= 2, raters - 1, np.inf)[:, None, None]


def _alpha_of(sums: Floats, level: Scale = "nominal", values: ArrayLike | None = None) -> Floats:
    """(...,) alpha of (..., labels, labels) sums of `_coincidences`."""
    votes = sums.sum(axis=-1)
    size = votes.sum(axis=-1)
    difference = _differences(votes, level, values)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (sums * difference).sum(axis=(-2, -1)) / size
        expected = votes[..., :, None] * votes[..., None, :] * difference
        expected = expected.sum(axis=(-2, -1)) / (size * (size - 1))
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def _differences(votes: Floats, level: Scale, values: ArrayLike | None) -> Floats:
    """(..., labels, labels) squared differences of labels; `votes` (..., labels)."""
    labels = votes.shape[-1]
    if level == "nominal":
        return 1.0 - np.eye(labels)
    if level == "interval":
        at = np.arange(labels) if values is None else np.asarray(values, dtype=np.float64)
        return np.asarray((at[:, None] - at[None, :]) ** 2, dtype=np.float64)
    if level == "ordinal":  # the votes from one label to the other, each end counting half
        middle = np.cumsum(votes, axis=-1) - votes / 2
        return np.asarray((middle[..., :, None] - middle[..., None, :]) ** 2, dtype=np.float64)
    raise did_you_mean("level", level, ["nominal", "ordinal", "interval"])


# --- in words -------------------------------------------------------------------------------------


def agreement_lines(rows: pd.DataFrame) -> tuple[str, ...]:
    """What a corpus report says about its raters; nothing where there are no votes.

    Parameters
    ----------
    rows : of a manifest, with its column emotion.
    """
    if not vote_columns(rows):
        return ()
    labels, counts = vote_counts(rows)
    raters = counts.sum(axis=1)
    if not raters.any():
        return ()
    rated = raters > 0
    figures = (("Fleiss' kappa", fleiss_kappa(counts), "kappa"),
               ("Krippendorff's alpha", krippendorff_alpha(counts), "alpha"))  # fmt: skip
    agreement = []
    for name, value, measure in figures:
        low, high = agreement_interval(counts, measure)  # type: ignore[arg-type]
        agreement.append(f"{name} {value:.3f} ({low:.3f} to {high:.3f})")
    lines = [
        f"rater votes: {raters.sum():.0f} on {rated.sum()} clips, {_span(raters[rated])} each",
        f"rater agreement: {', '.join(agreement)}; 95 % intervals over clips",
    ]
    truth = rows["emotion"].to_numpy(dtype=object)
    targets = [label for label in labels if label in set(truth)]
    labelled = rated & (truth != UNLABELLED)
    if not targets or not labelled.any():
        return tuple(lines)
    kind = kinds(rows, targets)
    tied = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) > 1
    same = (np.asarray(labels, dtype=object)[counts.argmax(axis=1)] == truth) & ~tied
    shares = ", ".join(f"{np.mean(kind == k):.1%} {k}" for k in ("clear", "ambiguous", "none"))
    lines.append(f"the raters' plurality is the label in {np.mean(same[labelled]):.1%} of clips")
    lines.append(f"clips by their votes: {shares} (serfeat.votes)")
    return tuple(lines)


def _span(numbers: Floats) -> str:
    """The smallest to the largest, or the one that all are."""
    low, high = f"{numbers.min():.0f}", f"{numbers.max():.0f}"
    return low if low == high else f"{low} to {high}"
