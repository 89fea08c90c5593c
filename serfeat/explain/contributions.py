"""What every family added to the score of every label, clip by clip, exactly.

Two models say it themselves. Boosted trees: XGBoost's own TreeSHAP shares a label's margin (its
score before the softmax) among the columns. A linear support vector machine: weights times values;
its score of a label is here the sum of the margins of all pairs of labels that the label is in (the
machine votes by these margins; their sum decides among labels with equally many votes). Columns are
z-scored by the pipeline, so that "nothing" is the mean of the training clips.

The shares of a clip add up, with the bias, to the score: nothing is left over. They say what the
model did, not what caused the emotion, and of columns that go together TreeSHAP divides what they
tell between those that the trees happened to use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serfeat.errors import ModelError
from serfeat.types import Floats, Ints

__all__ = ["contributions", "explains_clips", "origins"]


def explains_clips(model: Any) -> bool:
    """Whether `contributions` can say something of this fitted pipeline: a classifier of labels."""
    learner = model.steps[-1][1]
    machine = getattr(learner, "svc_", None)
    if not hasattr(learner, "classes_"):
        return False
    return hasattr(learner, "booster_") or getattr(machine, "kernel", None) == "linear"


def contributions(
    model: Any, X: Any, families: Mapping[str, Sequence[int]]
) -> tuple[Floats, Floats]:
    """Share each label's score among the families.

    Parameters
    ----------
    model : fitted pipeline of `serfeat.models`: boosted trees, or a linear support vector machine.
    X : (n, k) rows, not yet prepared.
    families : name -> places of its columns.

    Returns
    -------
    shares (n, families, classes), families in the order given, classes in the model's; and bias (n,
    classes): both together add up to the score.

    Raises
    ------
    ModelError : a model whose score cannot be shared out exactly, or columns in no family.
    """
    if not explains_clips(model):
        name = type(model.steps[-1][1]).__name__
        raise ModelError(
            f"{name} cannot say what each column added",
            code="no-contributions",
            fix='use the model xgb, or svm with kernel = "linear"; permutation works for every one',
        )
    prepared = np.asarray(model[:-1].transform(X))
    each, bias = _of_columns(model.steps[-1][1], prepared)
    origin = origins(model[:-1], X.shape[1])
    member = np.zeros((len(families), X.shape[1]))
    for i, places in enumerate(families.values()):
        member[i, list(places)] = 1.0
    if (member.sum(axis=0)[origin] != 1).any():
        raise ModelError(
            f"{int((member.sum(axis=0) != 1).sum())} columns are not in exactly one family",
            code="bad-families",
        )
    return np.einsum("nck,fk->nfc", each, member[:, origin]), bias


def origins(steps: Any, n_columns: int) -> Ints:
    """Say which column each prepared column was made of: a missing-indicator follows its column.

    Parameters
    ----------
    steps : the fitted preparing steps of a pipeline (`serfeat.models.preparation.table_steps`).
    n_columns : of the rows before them.

    Returns
    -------
    (prepared columns,) places of the columns they came from.
    """
    origin: Ints = np.arange(n_columns, dtype=np.int64)
    for _, step in steps.steps:
        indicator = getattr(step, "indicator_", None)
        if indicator is not None:
            origin = np.concatenate([origin, origin[indicator.features_]])
        if hasattr(step, "get_support"):
            origin = origin[step.get_support()]
    return origin


def _of_columns(learner: Any, X: Floats) -> tuple[Floats, Floats]:
    """(n, classes, k) shares of the prepared columns, and (n, classes) bias."""
    if hasattr(learner, "booster_"):
        import xgboost

        shares = learner.booster_.predict(xgboost.DMatrix(X), pred_contribs=True)
        shares = np.asarray(shares, dtype=np.float64)
        return shares[:, :, :-1], shares[:, :, -1]
    machine = learner.svc_
    pairs, intercepts = np.asarray(machine.coef_), np.asarray(machine.intercept_)
    signs = _pair_signs(len(machine.classes_))
    weights = signs @ pairs  # (classes, k)
    return weights[None] * X[:, None, :], np.tile(signs @ intercepts, (len(X), 1))


def _pair_signs(n: int) -> Floats:
    """(classes, pairs): +1 where a pair's positive margin speaks for the class, -1 against it."""
    if n == 2:  # scikit-learn turns the sign of the only pair
        return np.array([[-1.0], [1.0]])
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    signs = np.zeros((n, len(pairs)))
    for p, (i, j) in enumerate(pairs):
        signs[i, p], signs[j, p] = 1.0, -1.0
    return signs
