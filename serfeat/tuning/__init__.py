"""Tuning: parameters chosen inside the training rows of a fold, with speakers held out.

What is searched an entry of a recipe says, a list for each parameter or a range::

    tune = "default"                                       # the model's space in `SPACES`
    tune = { C = [0.1, 1.0, 10.0], gamma = ["scale", 1e-3] }
    tune = { learning_rate = { low = 1e-4, high = 1e-2, log = true }, epochs = [20, 50],
             method = "optuna", trials = 20, folds = 3 }

Conventions
-----------
*Nested.* `tuned` gets the training rows of one fold and nothing else, divides them into inner folds
by speaker (with all labels in each, as far as speakers allow), fits every candidate on each inner
training side, and scores the pooled predictions for the inner test sides: UAR for labels, the mean
CCC for dimensions. The caller fits the chosen parameters on all training rows. Each outer fold may
choose others; its score is that of the whole procedure, tuning included.

A protocol may set rows apart for choosing (validation): every candidate is then fitted once to the
other training rows and scored on these, in place of inner folds.

*One budget.* `trials` is the number of candidates, `folds` how often each is fitted: classical and
deep entries with the same numbers have been given the same chance (`serfeat.tuning.spaces.budget`).
`seconds` ends the search of a fold after the candidate in which it runs out; what is chosen then
depends on the machine.

*Ties* go to the candidate whose values stand first in their lists (lowest in their range). Equal
seeds search alike.

*Left out.* Where no inner training speaker has a label, the inner test clips with this label are
not scored (no candidate could be right), and the trials say so. A candidate that cannot be fitted
has no score and is never chosen; if none can, the error of the first is raised. Clips are tried as
they were recorded: an entry with `augment` learns its further versions in the last fit only.

Sources
-------
Varma and Simon, "Bias in error estimation when using cross-validation for model selection", BMC
Bioinformatics 7, 2006.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from serfeat import metrics, models
from serfeat.errors import MissingExtraError, ModelError, SerfeatError
from serfeat.tuning.search import Candidate
from serfeat.tuning.spaces import SPACES, budget, proposals, space_of, words
from serfeat.types import Ints

__all__ = ["SPACES", "budget", "inner_folds", "space_of", "tuned", "words"]

Parts = Sequence[tuple[Ints, Ints]]


def tuned(
    make: Callable[[Mapping[str, Any]], Any],
    tune: Mapping[str, Any] | str,
    X: Any,
    y: Any,
    groups: Any,
    *,
    model: str,
    seed: int = 0,
    proportions: Any = None,
    tasks: Mapping[str, Any] | None = None,
    validation: Any = None,
    fit: Callable[..., Any] = models.fit,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Choose parameters by the training rows of a fold.

    Parameters
    ----------
    make : ``make(params) -> pipeline``, untrained.
    tune : as in a recipe, see `serfeat.tuning.spaces.space_of`.
    X, y, groups : of the training rows alone: (n, k) or `Sequences`; (n,) labels, or (n,) or
        (n, targets) numbers; (n,) speakers.
    model : name of the model, for its default space and its parameters' names.
    seed : of the inner folds and of what is drawn.
    proportions, tasks : of the same rows, see `serfeat.models.fit`.
    validation : (n,) the rows that every candidate is scored on, all others being those it is
        fitted to; None: inner folds by speaker.
    fit : fits a pipeline as `serfeat.models.fit` does.

    Returns
    -------
    The parameters, and a row for each trial: trial, params (JSON), inner_score, inner_sd (over the
    inner folds; NaN with one), scores (of each fold, JSON), chosen, seconds, words.

    Raises
    ------
    ModelError : fewer than two speakers, or no candidate that can be fitted.
    UnknownNameError, RecipeError : see `space_of`.
    MissingExtraError : Optuna is not installed.
    """
    y = np.asarray(y)
    numbers = y.dtype.kind == "f"
    space = space_of(model, tune, task="regression" if numbers else "classification")
    if validation is None:
        parts, remark = inner_folds(y, groups, n=space["folds"], seed=seed)
    else:
        parts, remark = _set_apart(y, np.asarray(validation, dtype=bool))
    known = {"groups": np.asarray(groups), "proportions": proportions, "tasks": tasks or {}}
    began = time.perf_counter()
    tried: list[tuple[Candidate, dict[str, Any]]] = []
    errors: list[SerfeatError] = []
    search = proposals(space, seed=seed)
    candidate = next(search, None)
    while candidate is not None:
        start = time.perf_counter()
        try:
            scores = _scores(make(candidate.params), fit, parts, X, y, known)
            said = remark
        except (SerfeatError, ValueError, RuntimeError) as error:
            errors.append(_as_ours(error))
            scores, said = (math.nan, [math.nan]), f"could not be fitted: {errors[-1]}"
        row = _row(len(tried), candidate, *scores, time.perf_counter() - start, said)
        tried.append((candidate, row))
        if space["seconds"] and time.perf_counter() - began > space["seconds"]:
            break
        candidate = _next(search, scores[0])
    search.close()
    return _choose(tried, errors)


def inner_folds(y: Any, groups: Any, *, n: int, seed: int) -> tuple[Parts, str]:
    """Divide training rows by speaker.

    Parameters
    ----------
    y, groups : (rows,) labels or numbers (numbers may have columns); speakers.
    n : folds; as many as there are speakers, if these are fewer.
    seed : of the shuffling of speakers.

    Returns
    -------
    (train, test) of each fold; test rows whose label no training row of theirs has are left out,
    and so is a fold with one label to learn from. And what was left out, in words, else "".

    Raises
    ------
    ModelError : fewer than two speakers, or no fold that can be used.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    y, groups = np.asarray(y), np.asarray(groups)
    speakers = len(np.unique(groups))
    if speakers < 2:
        raise ModelError(
            f"the training rows have {speakers} speaker, and to tune some must be held out",
            where="tune",
            code="too-few-groups",
            fix="use more speakers, or set the parameters in params",
        )
    folds = min(n, speakers)
    remarks = [f"{folds} inner folds, since there are {speakers} speakers"] if folds < n else []
    if y.dtype.kind == "f":
        splitter = GroupKFold(folds, shuffle=True, random_state=seed)
        return list(splitter.split(y, None, groups)), "; ".join(remarks)
    splits = _quietly(StratifiedGroupKFold(folds, shuffle=True, random_state=seed), y, groups)
    parts = []
    for i, (train, test) in enumerate(splits):
        scored = test[np.isin(y[test], y[train])]
        unknown = sorted(set(y[test]) - set(y[train]))
        if unknown:
            names = ", ".join(map(str, unknown))
            remarks.append(f"inner fold {i + 1} is not scored on {names}: no other speaker has it")
        if len(scored) and len(np.unique(y[train])) > 1:
            parts.append((train, scored))
    if not parts:
        raise ModelError(
            "every label has speakers of its own, so that none can be held out",
            where="tune",
            code="no-validation",
            fix="set the parameters in params",
        )
    return parts, "; ".join(remarks)


def _set_apart(y: Any, validation: Any) -> tuple[Parts, str]:
    """The division that a protocol has made already, as `inner_folds` gives it."""
    train, test = np.flatnonzero(~validation), np.flatnonzero(validation)
    remark = f"scored on the {len(test)} validation clips of the protocol"
    if y.dtype.kind != "f":  # of labels, training has all: the protocols are held to it
        test = test[np.isin(y[test], y[train])]
    return [(train, test)], remark


def _quietly(splitter: Any, y: Any, groups: Any) -> list[tuple[Ints, Ints]]:
    """Split; that a label has fewer clips than there are folds is said in our words."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rare = np.unique(y, return_counts=True)[1].max() < splitter.n_splits
        strata = np.zeros(len(y)) if rare else y
        return list(splitter.split(strata, strata, groups))


def _scores(
    pipeline: Any, fit: Any, parts: Parts, X: Any, y: Any, known: Mapping[str, Any]
) -> tuple[float, list[float]]:
    """Score of one candidate over all inner folds, and of each."""
    from sklearn.base import clone

    truths, predictions = [], []
    for train, test in parts:
        model = _without_calibration(clone(pipeline))
        fit(
            model,
            X[train],
            y[train],
            known["groups"][train],
            proportions=_shares(known["proportions"], y, train),
            tasks={name: np.asarray(values)[train] for name, values in known["tasks"].items()},
        )
        truths.append(y[test])
        predictions.append(np.asarray(model.predict(X[test])).reshape(truths[-1].shape))
    each = [_score(t, p) for t, p in zip(truths, predictions, strict=True)]
    return _score(np.concatenate(truths), np.concatenate(predictions)), each


def _score(truth: Any, prediction: Any) -> float:
    """UAR of labels, mean CCC of numbers (clips without a number left out); 10 decimals.

    Rounded, so that the last bits of a sum never decide between equal candidates.
    """
    if truth.dtype.kind != "f":
        labels = sorted({*map(str, truth), *map(str, prediction)})
        return round(metrics.uar(list(map(str, truth)), list(map(str, prediction)), labels), 10)
    columns = zip(
        truth.reshape(len(truth), -1).T, prediction.reshape(len(truth), -1).T, strict=True
    )
    each = [metrics.ccc(t[~np.isnan(t)], p[~np.isnan(t)]) for t, p in columns]
    return round(float(np.mean(each)), 10)


def _shares(proportions: Any, y: Any, train: Ints) -> Any:
    """Shares of the votes for the labels that this inner training side has."""
    if proportions is None:
        return None
    have = np.unique(y[train])
    shares = np.array(proportions)[train][:, np.isin(np.unique(y), have)]
    alone = shares.sum(axis=1) == 0  # all votes went to a label that nobody has here
    shares[alone] = y[train][alone, None] == have
    return shares


def _without_calibration(pipeline: Any) -> Any:
    """Leave out the fits that only a machine's probabilities need: three of four for an SVM."""
    last = pipeline.steps[-1][1]
    if "calibration_folds" in last.get_params():
        last.set_params(calibration_folds=1 << 30)  # more than there are rows: none is made
    return pipeline


def _row(
    number: int,
    candidate: Candidate,
    score: float,
    each: Sequence[float],
    seconds: float,
    said: str,
) -> dict[str, Any]:
    """A trial, as the table has it."""
    return {
        "trial": number,
        "params": candidate.text,
        "inner_score": score,
        "inner_sd": float(np.std(each, ddof=1)) if len(each) > 1 else math.nan,
        "scores": json.dumps(each),
        "chosen": False,
        "seconds": seconds,
        "words": said,
    }


def _choose(
    tried: Sequence[tuple[Candidate, dict[str, Any]]], errors: Sequence[SerfeatError]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Mark the best trial; of equal ones the simplest."""
    able = [(c, row) for c, row in tried if not math.isnan(row["inner_score"])]
    if not able:
        raise errors[0] if errors else ModelError("no candidate has a score", where="tune")
    best, row = min(able, key=lambda pair: (-pair[1]["inner_score"], pair[0].place))
    row["chosen"] = True
    return dict(best.params), [r for _, r in tried]


def _next(search: Any, score: float) -> Candidate | None:
    try:
        found: Candidate = search.send(score)
    except StopIteration:
        return None
    return found


def _as_ours(error: Exception) -> SerfeatError:
    """An error of a library as one of ours; what is not installed is no candidate's fault."""
    if isinstance(error, MissingExtraError):
        raise error
    if isinstance(error, SerfeatError):
        return error
    line = (str(error).splitlines() or [""])[0]
    return ModelError(
        f"could not be trained ({type(error).__name__}: {line})", where="tune", code="training"
    )
