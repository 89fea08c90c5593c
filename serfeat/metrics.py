"""Scores: pure functions of truths and predictions.

Conventions
-----------
A confusion matrix ``n`` has the truth in its rows and the prediction in its columns, in the order
of `labels`. UAR is the mean recall over the classes that are *present in the truth* (scikit-learn's
balanced accuracy); a listed class without a clip has no recall (NaN), it does not count as 0, and
`scores` says how many classes were present. WAR (in papers also WA, or just accuracy)
is recall weighted by support, which is ``trace(n) / sum(n)``. What cannot be computed is NaN,
without a warning: no clip, an AUC with a class that never occurs, a correlation of a constant.

Pooled scores come from all clips of a protocol at once; means over folds are another number, since
a fold may lack a class. Both are reported (see `serfeat.leaderboard`).

Contents
--------
classes : `confusion` `recalls` `uar` `war` `f1` `auc` `scores`, and the same from a confusion
    matrix: `recalls_of` `uar_of`; `label_codes` is what counting starts from.
tables  : `speaker_key` `per_speaker`.
numbers : `mse` `rmse` `mae` `pcc` `ccc`.

Sources
-------
Hand and Till, "A simple generalisation of the area under the ROC curve for multiple class
classification problems", Machine Learning 45, 2001 (one-vs-one AUC). Lin, "A concordance
correlation coefficient to evaluate reproducibility", Biometrics 45, 1989. Equal to scikit-learn
where it has the score (held by the tests).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

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
    "per_speaker",
    "recalls",
    "recalls_of",
    "rmse",
    "scores",
    "speaker_key",
    "uar",
    "uar_of",
    "war",
]

Texts = Sequence[str]
Average = Literal["macro", "weighted", "micro"]


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
    return _ratio(np.diagonal(n, axis1=-2, axis2=-1), n.sum(axis=-1))


def uar_of(counts: ArrayLike) -> Floats:
    """(...) UAR from (..., C, C) counts, over the classes present; NaN where there is none."""
    recall = recalls_of(counts)
    present = ~np.isnan(recall)
    return _ratio(np.where(present, recall, 0.0).sum(axis=-1), present.sum(axis=-1))


def recalls(truth: Texts, prediction: Texts, labels: Texts) -> Floats:
    """(C,) share of each class's clips that were recognised; NaN for a class without a clip."""
    return recalls_of(confusion(truth, prediction, labels))


def uar(truth: Texts, prediction: Texts, labels: Texts) -> float:
    """Unweighted average recall over the classes present in `truth`, 0..1; NaN without a clip."""
    return float(uar_of(confusion(truth, prediction, labels)))


def war(truth: Texts, prediction: Texts, labels: Texts) -> float:
    """Weighted average recall, which is accuracy, 0..1; NaN without a clip."""
    counts = confusion(truth, prediction, labels)
    return float(_ratio(np.trace(counts), counts.sum()))


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
        return float(_ratio(np.trace(counts), counts.sum()))
    support = counts.sum(axis=1)
    both = support + counts.sum(axis=0)
    each = np.where(both > 0, _ratio(2.0 * np.diagonal(counts), both), 0.0)
    weight = (both > 0).astype(np.float64) if average == "macro" else support.astype(np.float64)
    return float(_ratio((each * weight).sum(), weight.sum()))


def auc(
    truth: Texts, proba: ArrayLike, labels: Texts, *, multi_class: Literal["ovr", "ovo"] = "ovr"
) -> float:
    """Area under the ROC curve, macro-averaged; chance is 0.5 whatever the class sizes.

    Parameters
    ----------
    truth : (n,) labels.
    proba : (n, C) scores, higher = more likely; columns as in `labels`. Ties count one half.
    labels : (C,) all classes.
    multi_class : ``"ovr"`` each class against the rest; ``"ovo"`` the mean over pairs of classes
        of ``(A(i|j) + A(j|i)) / 2`` (Hand and Till 2001, eq. 7), insensitive to class sizes.

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
        return float(np.mean([_area(p[code == i, i], p[code != i, i]) for i in range(n)]))
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    return float(np.mean([_area(p[code == i, i], p[code == j, i]) for i, j in pairs]))


def _area(positive: Floats, negative: Floats) -> float:
    """P(a positive scores higher than a negative) + half the ties: Mann-Whitney's U / (n m)."""
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
    n, classes (how many of `labels` occur in the truth: what UAR is an average over), uar, war,
    f1_macro, f1_weighted, auc (one-vs-rest), auc_ovo; NaN where undefined.
    """
    counts = confusion(truth, prediction, labels)
    nan = float("nan")
    return {
        "n": float(len(truth)),
        "classes": float((counts.sum(axis=1) > 0).sum()),
        "uar": float(uar_of(counts)),
        "war": float(_ratio(np.trace(counts), counts.sum())),
        "f1_macro": f1(truth, prediction, labels),
        "f1_weighted": f1(truth, prediction, labels, average="weighted"),
        "auc": nan if proba is None else auc(truth, proba, labels),
        "auc_ovo": nan if proba is None else auc(truth, proba, labels, multi_class="ovo"),
    }


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


def _occurring(predictions: pd.DataFrame) -> list[str]:
    return sorted(set(predictions["truth"]) | set(predictions["prediction"]))


# --- numbers (valence, arousal, dominance) ---------------------------------------------------


def mse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean squared error, in squared units; NaN without a value."""
    x, y = _numbers(truth, prediction)
    return float(np.mean((x - y) ** 2)) if len(x) else float("nan")


def rmse(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Root of the mean squared error, in the truth's unit; NaN without a value."""
    return float(np.sqrt(mse(truth, prediction)))


def mae(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Mean absolute error, in the truth's unit; NaN without a value."""
    x, y = _numbers(truth, prediction)
    return float(np.mean(np.abs(x - y))) if len(x) else float("nan")


def pcc(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Pearson's correlation, -1..1; NaN if either side is constant or there are < 2 values."""
    x, y = _numbers(truth, prediction)
    if len(x) < 2 or np.isnan(x).any() or np.isnan(y).any() or not np.ptp(x) or not np.ptp(y):
        return float("nan")
    u, v = x - x.mean(), y - y.mean()
    return float(np.clip((u / np.linalg.norm(u)) @ (v / np.linalg.norm(v)), -1.0, 1.0))


def ccc(
    truth: ArrayLike,
    prediction: ArrayLike,
    *,
    sequences: Sequence[object] | None = None,
    aggregate: Literal["concat", "mean"] = "concat",
) -> float:
    """Lin's concordance ``2 cov / (var x + var y + (mean x - mean y)^2)``, population moments.

    Parameters
    ----------
    truth, prediction : (n,) numbers.
    sequences : (n,) name of each value's sequence; needed for ``aggregate="mean"``.
    aggregate : over all values at once, or the mean of each sequence's CCC (a different number:
        papers rarely say which).

    Returns
    -------
    -1..1, never further from 0 than `pcc`; 0 if one side is constant, NaN if both are the same
    constant (0 / 0) or there is no value.

    Raises
    ------
    ModelError : ``aggregate="mean"`` without sequences.
    """
    x, y = _numbers(truth, prediction)
    if aggregate == "mean":
        if sequences is None:
            raise ModelError(
                "the mean over sequences needs to know them", fix="give sequences=", code="missing"
            )
        name = np.asarray([str(s) for s in sequences])
        each = [ccc(x[name == s], y[name == s]) for s in np.unique(name)]
        return float(np.mean(each)) if each else float("nan")
    if not len(x):
        return float("nan")
    u, v = x - x.mean(), y - y.mean()
    below = np.mean(u**2) + np.mean(v**2) + (x.mean() - y.mean()) ** 2
    return float(_ratio(2 * np.mean(u * v), below))


def _numbers(truth: ArrayLike, prediction: ArrayLike) -> tuple[Floats, Floats]:
    """Both sides as (n,) float64."""
    x = np.asarray(truth, dtype=np.float64).ravel()
    y = np.asarray(prediction, dtype=np.float64).ravel()
    if len(x) != len(y):
        raise ModelError(f"{len(x)} truths but {len(y)} predictions", code="length-mismatch")
    return x, y


def _ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """Divide; NaN (and no warning) where the denominator is 0."""
    a, b = np.broadcast_arrays(
        np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    )
    out: Floats = np.full(a.shape, np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out
