"""Scores: pure functions of truths and predictions.

Conventions
-----------
A confusion matrix ``n`` has the truth in its rows and the prediction in its columns, in the order
of `labels`, the *declared* label set. WAR (in papers also WA, or just accuracy) is recall weighted
by support, which is ``trace(n) / sum(n)``.

A declared class without a clip has no recall: it is NaN. UAR is the mean recall, and there are two
conventions for such a class, chosen with `absent`: ``"skip"`` averages over the classes present in
the truth (scikit-learn's ``balanced_accuracy_score``; the default), ``"zero"`` divides by all
declared classes, so that an absent one counts as never recognised (scikit-learn's
``recall_score(average="macro", labels=...)``). They are equal where every class has a clip;
`scores` gives both and says how many classes were present. Averaging over the labels that occur in
truth *or prediction*, a third habit, depends on what a model says and is not offered.

A precision of 0 / 0 (a class that was never predicted) is 0 in F1, as in scikit-learn, and flagged
in `per_class`; in `precisions_of` and `rates` it is NaN. What cannot be computed is NaN, without a
warning: no clip, an AUC with a class that never occurs, a correlation of a constant.

Pooled scores come from all clips of a protocol at once; means over folds are another number, since
a fold may lack a class. Both are reported (see `uar_over_folds`, `serfeat.compare.leaderboard`).

Contents
--------
classes : `confusion` `rates` `recalls` `uar` `war` `f1` `auc` `scores`, and the same from a
    confusion matrix: `recalls_of` `precisions_of` `uar_of`; `label_codes` is what counting starts
    from.
tables  : `speaker_key` `per_speaker` `per_class` `uar_over_folds`.
numbers : `mse` `rmse` `mae` `pcc` `ccc`, from `serfeat.concordance`.

Sources
-------
Hand and Till, "A simple generalisation of the area under the ROC curve for multiple class
classification problems", Machine Learning 45, 2001 (one-vs-one AUC). Equal to scikit-learn where it
has the score (held by the tests).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from serfeat.concordance import ccc, mae, mse, pcc, ratio, rmse
from serfeat.errors import ModelError, did_you_mean
from serfeat.types import Floats, Ints

__all__ = [
    "auc",
    "ccc",
    "confusion",
    "f1",
    "label_codes",
    "mae",
    "mse",
    "pcc",
    "per_class",
    "per_speaker",
    "precisions_of",
    "rates",
    "recalls",
    "recalls_of",
    "rmse",
    "scores",
    "speaker_key",
    "uar",
    "uar_of",
    "uar_over_folds",
    "war",
]

Texts = Sequence[str]
Average = Literal["macro", "weighted", "micro"]
Absent = Literal["skip", "zero"]


# --- classes ---------------------------------------------------------------------------------


def confusion(truth: Texts, prediction: Texts, labels: Texts) -> Ints:
    """Count truths against predictions.

    Parameters
    ----------
    truth, prediction : (n,) labels.
    labels : (C,) all classes; their order is the order of rows and columns.

    Returns
    -------
    (C, C) counts: row = truth, column = prediction.

    Raises
    ------
    UnknownNameError : a truth or prediction that is none of `labels`.
    ModelError : truth and prediction differ in length.
    """
    if len(truth) != len(prediction):
        raise ModelError(
            f"{len(truth)} truths but {len(prediction)} predictions", code="length-mismatch"
        )
    n = len(labels)
    pairs = label_codes(truth, labels) * n + label_codes(prediction, labels)
    return np.bincount(pairs, minlength=n * n).reshape(n, n).astype(np.int64)


def label_codes(values: Texts, labels: Texts) -> Ints:
    """(n,) position of each value in `labels`; an unknown one raises UnknownNameError."""
    codes = pd.Index(list(labels), dtype=object).get_indexer(pd.Index(list(values), dtype=object))
    if (codes < 0).any():
        raise did_you_mean("label", list(values)[int(np.argmin(codes))], list(labels))
    return np.asarray(codes, dtype=np.int64)


def recalls_of(counts: ArrayLike) -> Floats:
    """(..., C) recall of every class from (..., C, C) counts; NaN for a class without a clip."""
    n = np.asarray(counts, dtype=np.float64)
    return ratio(np.diagonal(n, axis1=-2, axis2=-1), n.sum(axis=-1))


def precisions_of(counts: ArrayLike) -> Floats:
    """(..., C) precision of every class from (..., C, C) counts; NaN for one never predicted."""
    n = np.asarray(counts, dtype=np.float64)
    return ratio(np.diagonal(n, axis1=-2, axis2=-1), n.sum(axis=-2))


def rates(counts: ArrayLike, *, of: Literal["truth", "prediction", "all"] = "truth") -> Floats:
    """Turn (..., C, C) counts into shares.

    Parameters
    ----------
    of : ``"truth"`` rows sum to 1 and the diagonal is recall; ``"prediction"`` columns sum to 1 and
        the diagonal is precision; ``"all"`` everything sums to 1.

    Returns
    -------
    (..., C, C) 0..1; a row (or column) without a clip is NaN, which is not a rate of 0.
    """
    n = np.asarray(counts, dtype=np.float64)
    axis: Any = {"truth": -1, "prediction": -2, "all": (-2, -1)}[of]
    return ratio(n, n.sum(axis=axis, keepdims=True))


def uar_of(counts: ArrayLike, *, absent: Absent = "skip") -> Floats:
    """(...) UAR from (..., C, C) counts; for `absent` see the module; NaN without a clip."""
    recall = recalls_of(counts)
    present = ~np.isnan(recall)
    size = present.sum(axis=-1)
    if absent == "zero":
        size = np.where(size > 0, recall.shape[-1], 0)
    return ratio(np.where(present, recall, 0.0).sum(axis=-1), size)


def recalls(truth: Texts, prediction: Texts, labels: Texts) -> Floats:
    """(C,) share of each class's clips that were recognised; NaN for a class without a clip."""
    return recalls_of(confusion(truth, prediction, labels))


def uar(truth: Texts, prediction: Texts, labels: Texts, *, absent: Absent = "skip") -> float:
    """Unweighted average recall, 0..1; for classes without a clip see the module."""
    return float(uar_of(confusion(truth, prediction, labels), absent=absent))


def war(truth: Texts, prediction: Texts, labels: Texts) -> float:
    """Weighted average recall, which is accuracy, 0..1; NaN without a clip."""
    counts = confusion(truth, prediction, labels)
    return float(ratio(np.trace(counts), counts.sum()))


def f1(truth: Texts, prediction: Texts, labels: Texts, *, average: Average = "macro") -> float:
    """F1: the harmonic mean of precision and recall, averaged over classes.

    Parameters
    ----------
    truth, prediction : (n,) labels.
    labels : (C,) all classes.
    average : ``"macro"`` over the classes that occur in truth or prediction (scikit-learn's
        default); ``"weighted"`` by their clips; ``"micro"``, which is accuracy.

    Returns
    -------
    0..1; a class that was never recognised has F1 0; NaN without a clip.
    """
    counts = confusion(truth, prediction, labels)
    if average == "micro":
        return float(ratio(np.trace(counts), counts.sum()))
    support = counts.sum(axis=1)
    both = support + counts.sum(axis=0)
    each = np.where(both > 0, ratio(2.0 * np.diagonal(counts), both), 0.0)
    weight = (both > 0).astype(np.float64) if average == "macro" else support.astype(np.float64)
    return float(ratio((each * weight).sum(), weight.sum()))


def auc(
    truth: Texts,
    proba: ArrayLike,
    labels: Texts,
    *,
    multi_class: Literal["ovr", "ovo"] = "ovr",
    average: Literal["macro", "weighted"] = "macro",
) -> float:
    """Area under the ROC curve; chance is 0.5 whatever the class sizes.

    Parameters
    ----------
    truth : (n,) labels.
    proba : (n, C) scores, higher = more likely; columns as in `labels`. Ties count one half.
    labels : (C,) all classes.
    multi_class : ``"ovr"`` each class against the rest; ``"ovo"`` the mean over pairs of classes
        of ``(A(i|j) + A(j|i)) / 2`` (Hand and Till 2001, eq. 7), insensitive to class sizes.
    average : ``"macro"``, or ``"weighted"`` by the clips of the class (of the pair).

    Returns
    -------
    0..1; NaN if a class is absent from `truth`, if there is only one, or if a score is NaN.
    """
    p = np.asarray(proba, dtype=np.float64).reshape(len(truth), len(labels))
    code = label_codes(truth, labels)
    n = len(labels)
    if n < 2 or len(np.unique(code)) < n or np.isnan(p).any():
        return float("nan")
    if multi_class == "ovr":
        areas = [_area(p[code == i, i], p[code != i, i]) for i in range(n)]
        sizes = [np.sum(code == i) for i in range(n)]
    else:
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        areas = [_area(p[code == i, i], p[code == j, i]) for i, j in pairs]
        sizes = [np.sum((code == i) | (code == j)) for i, j in pairs]
    return float(np.average(areas, weights=sizes if average == "weighted" else None))


def _area(positive: Floats, negative: Floats) -> float:
    """P(a positive scores higher than a negative) + half the ties: Mann-Whitney's U / (n m)."""
    from scipy.stats import rankdata

    n, m = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))  # ties share their mean rank
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def scores(
    truth: Texts, prediction: Texts, proba: ArrayLike | None = None, *, labels: Texts
) -> dict[str, float]:
    """All scores of one set of predictions.

    Parameters
    ----------
    truth, prediction : (n,) labels.
    proba : (n, C) class scores, or None: then the AUCs are NaN.
    labels : (C,) all classes.

    Returns
    -------
    n, classes (how many of `labels` occur in the truth), uar (over these), uar_declared (over all
    of `labels`, an absent one counts 0), war, f1_macro, f1_weighted, f1_micro (= war), auc
    (one-vs-rest), auc_weighted, auc_ovo, auc_ovo_weighted; NaN where undefined.
    """
    counts = confusion(truth, prediction, labels)
    areas = {
        name: float("nan")
        if proba is None
        else auc(truth, proba, labels, multi_class=kind, average=average)
        for name, kind, average in _AREAS
    }
    return {
        "n": float(len(truth)),
        "classes": float((counts.sum(axis=1) > 0).sum()),
        "uar": float(uar_of(counts)),
        "uar_declared": float(uar_of(counts, absent="zero")),
        "war": float(ratio(np.trace(counts), counts.sum())),
        "f1_macro": f1(truth, prediction, labels),
        "f1_weighted": f1(truth, prediction, labels, average="weighted"),
        "f1_micro": f1(truth, prediction, labels, average="micro"),
        **areas,
    }


_AREAS: tuple[tuple[str, Literal["ovr", "ovo"], Literal["macro", "weighted"]], ...] = (
    ("auc", "ovr", "macro"),
    ("auc_weighted", "ovr", "weighted"),
    ("auc_ovo", "ovo", "macro"),
    ("auc_ovo_weighted", "ovo", "weighted"),
)


# --- tables ----------------------------------------------------------------------------------


def speaker_key(predictions: pd.DataFrame) -> pd.Series:
    """Name of each row's speaker; with several corpora "corpus/speaker", since codes repeat."""
    speaker = predictions["speaker"].astype(str)
    several = len(predictions["corpus"].unique()) > 1
    return predictions["corpus"].astype(str) + "/" + speaker if several else speaker


def per_speaker(predictions: pd.DataFrame, *, labels: Texts | None = None) -> pd.DataFrame:
    """Score every entry on every speaker.

    Parameters
    ----------
    predictions : rows of corpus, speaker, truth, prediction, entry, protocol, seed, control.
    labels : (C,) all classes; default: those that occur.

    Returns
    -------
    One row per protocol x entry x control x speaker: uar (over the classes that this speaker has;
    with several seeds their mean), classes (how many those are), war, n (clips).
    """
    known = list(labels) if labels is not None else _occurring(predictions)
    keyed = predictions.assign(speaker=speaker_key(predictions))
    keys = ["protocol", "entry", "control", "speaker"]
    rows = []
    for key, part in keyed.groupby(keys, sort=False, observed=True):
        one = scores(list(part["truth"]), list(part["prediction"]), labels=known)
        clips = len(part) // max(part["seed"].nunique(), 1)
        wanted = {name: one[name] for name in ("uar", "classes", "war")}
        rows.append(dict(zip(keys, key, strict=True)) | wanted | {"n": clips})
    table = pd.DataFrame(rows, columns=[*keys, "uar", "classes", "war", "n"])
    return table.astype({"classes": np.int64, "n": np.int64})


def per_class(
    truth: Texts, prediction: Texts, proba: ArrayLike | None = None, *, labels: Texts
) -> pd.DataFrame:
    """Score every class.

    Parameters
    ----------
    truth, prediction, proba, labels : as of `scores`.

    Returns
    -------
    One row per label: label, n (its clips), predicted (clips that were given it), recall (NaN
    without a clip), precision (0 where 0 / 0), never_predicted (flags that 0), f1 (0 where nothing
    was right, NaN for a class in neither truth nor prediction), auc (against the rest, NaN without
    `proba`).
    """
    counts = confusion(truth, prediction, labels)
    n, predicted = counts.sum(axis=1), counts.sum(axis=0)
    areas = np.full(len(labels), np.nan)
    if proba is not None:
        p = np.asarray(proba, dtype=np.float64).reshape(len(truth), len(labels))
        code = label_codes(truth, labels)
        for i in np.flatnonzero((n > 0) & (n < len(truth)) & ~np.isnan(p).any(axis=0)):
            areas[i] = _area(p[code == i, i], p[code != i, i])
    return pd.DataFrame(
        {
            "label": list(labels),
            "n": n,
            "predicted": predicted,
            "recall": recalls_of(counts),
            "precision": np.nan_to_num(precisions_of(counts)),
            "never_predicted": predicted == 0,
            "f1": ratio(2.0 * np.diagonal(counts), n + predicted),
            "auc": areas,
        }
    )


def uar_over_folds(
    truth: Texts, prediction: Texts, folds: Sequence[object], *, labels: Texts
) -> dict[str, float]:
    """UAR of all folds at once, and the mean of the folds' own: two numbers that papers confuse.

    Parameters
    ----------
    truth, prediction, folds : (n,) labels, and the fold in which each clip was tested.
    labels : (C,) all classes.

    Returns
    -------
    pooled, mean, sd (n - 1; NaN with one fold), folds, incomplete (folds that lack a class: theirs
    is a mean over fewer classes, which is easier).
    """
    size = len(labels)
    fold, names = pd.factorize(np.asarray([str(f) for f in folds], dtype=object))
    place = (fold * size + label_codes(truth, labels)) * size + label_codes(prediction, labels)
    counts = np.bincount(place, minlength=len(names) * size * size).reshape(-1, size, size)
    each = uar_of(counts)
    return {
        "pooled": float(uar_of(counts.sum(axis=0))),
        "mean": float(each.mean()) if len(each) else float("nan"),
        "sd": float(each.std(ddof=1)) if len(each) > 1 else float("nan"),
        "folds": float(len(names)),
        "incomplete": float((counts.sum(axis=2) == 0).any(axis=1).sum()),
    }


def _occurring(predictions: pd.DataFrame) -> list[str]:
    return sorted(set(predictions["truth"]) | set(predictions["prediction"]))
