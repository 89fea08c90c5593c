"""What tuning searches: spaces of parameters, read from a recipe, and the candidates in them.

Conventions
-----------
A space is a mapping from parameters of the model to *lists* of values (the simplest first: ties go
to it) or *ranges* ``{ low, high, log }``, whole numbers where both ends are. ``either`` is a list
of such mappings, where parameters depend on each other (gamma only with the RBF kernel). Beside
them stand the words of `HOW`.

Contents
--------
`SPACES`    : model -> its space for ``tune = "default"``, 20 candidates or fewer.
`space_of`  : a recipe's words, checked and completed.
`proposals` : the candidates, one by one, see `serfeat.tuning.search`.
`budget`    : fits in all; `words` says it to the reader of a result.

Source
------
Hsu, Chang and Lin, "A practical guide to support vector classification", 2003 (C and gamma in
powers).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from serfeat.errors import RecipeError, did_you_mean
from serfeat.models import Task, check_model, model_parameters
from serfeat.tuning.search import METHODS, Range, Search

__all__ = ["HOW", "SPACES", "budget", "proposals", "space_of", "words"]

HOW = ("method", "trials", "folds", "seconds")
TRIALS, FOLDS = 20, 3  # where a recipe does not say
MOST = 10_000  # candidates that are still a search and not a typing error

# Not to be searched, and why.
_NEVER = {
    "seed": "the luckiest seed is not a better model",
    "selection": "it says what a model may look at, which is not a matter of the score",
    "tasks": "they say what is learnt",
    **dict.fromkeys(
        ("device", "threads", "checkpoint", "every", "verbose"), "it does not change what is learnt"
    ),
}

_NETWORK = {
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "epochs": (25, 50, 100),
    "weight_decay": (0.01, 0.0),
}

# The classical ones after specs of the field: ComParE's linear SVM has C in powers of ten; gamma
# lies around 1 / columns, which "scale" is, for tables of 88 to 6373 columns.
SPACES: dict[str, Any] = {
    "knn": {"n_neighbors": (25, 15, 9, 7, 5, 3, 1)},
    "bayes": {"prior": ("uniform", "empirical")},
    "mvss": {"n_neighbors": (15, 9, 5, 3)},
    "gmm": {"n_components": (4, 8, 16, 32), "covariance": ("diag",)},
    "gmm_ubm": {"n_components": (16, 32, 64), "relevance": (64.0, 16.0, 4.0)},
    "svm": {
        "either": (
            {"kernel": ("linear",), "C": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)},
            {"kernel": ("rbf",), "C": (1.0, 10.0, 100.0), "gamma": (1e-4, 3e-4, 1e-3, 3e-3)},
            {"kernel": ("rbf",), "C": (1.0, 10.0, 100.0), "gamma": ("scale",)},
        )
    },
    "xgb": {
        "max_depth": (2, 4, 6),
        "n_estimators": (100, 300),
        "learning_rate": (0.03, 0.1, 0.3),
    },
    "ridge": {"alpha": (1e5, 1e4, 1e3, 1e2, 10.0, 1.0)},
    "mlp": {
        "hidden": ([64], [128, 64]),
        "dropout": (0.5, 0.3, 0.1),
        "learning_rate": (3e-4, 1e-3, 3e-3),
    },
    "dcrn": {**_NETWORK, "learning_rate": (3e-5, 1e-4, 3e-4)},
    "transformer": {**_NETWORK, "learning_rate": (1e-4, 3e-4, 1e-3)},
    **dict.fromkeys(
        (
            *("dbn", "rnn", "lstm", "gru", "cnn", "cnn1d", "parallel_cnn"),
            *("timnet", "am_resnet", "amrwc", "layer_weights"),
        ),
        _NETWORK,
    ),
}


# --- reading -----------------------------------------------------------------------------------


def space_of(
    model: str,
    tune: Mapping[str, Any] | str,
    *,
    params: Mapping[str, Any] | None = None,
    task: Task = "classification",
) -> dict[str, Any]:
    """Check what a recipe says of tuning and complete it.

    Parameters
    ----------
    model : key of `serfeat.models.MODELS`.
    tune : ``"default"``, or a space with the words of `HOW` (the words alone: the default space).
    params : of the entry; none of them may be searched too.
    task : of the model.

    Returns
    -------
    The space, with all words of `HOW`; given again it comes back as it is.

    Raises
    ------
    UnknownNameError : a word that is neither a parameter of the model nor of `HOW`.
    RecipeError : values that cannot be searched, a grid larger than `trials`.
    """
    where = f"tune of {model}"
    if isinstance(tune, str):
        if tune != "default":
            raise did_you_mean("tune", tune, ["default"], where=where)
        tune = {}
    space = {k: v for k, v in tune.items() if k not in HOW} or _default(model, where)
    subspaces = _subspaces(space, where)
    for subspace in subspaces:
        _check_names(model, subspace, params or {}, task, where)
        for name, values in subspace.items():
            _check_values(model, name, values, params or {}, task, where)
    how = _how(tune, subspaces, where)
    return {**space, **how}


def _default(model: str, where: str) -> Mapping[str, Any]:
    if model not in SPACES:
        raise RecipeError(
            "has no default space",
            where=where,
            code="no-space",
            fix="say what to search, e.g. tune = { name = [1, 2, 3] }",
        )
    return dict(SPACES[model])


def _subspaces(space: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """The alternatives of ``either``, each with what all of them have in common."""
    common = {k: v for k, v in space.items() if k != "either"}
    either = space.get("either", ({},))
    if not isinstance(either, list | tuple) or not all(isinstance(e, Mapping) for e in either):
        raise _bad("either", either, "a list of spaces", where)
    if not either:
        raise _bad("either", either, "one space or more", where)
    return [{**common, **alternative} for alternative in either]


def _check_names(
    model: str, subspace: Mapping[str, Any], params: Mapping[str, Any], task: Task, where: str
) -> None:
    known = model_parameters(model, task=task) - set(_NEVER)
    for name in subspace:
        if name in _NEVER:
            raise RecipeError(
                f"{name} is not to be searched: {_NEVER[name]}",
                where=where,
                code="not-tunable",
                fix="set it in params",
            )
        if name not in known:
            raise did_you_mean(f"parameter of {model}", name, (*known, *HOW, "either"), where=where)
        if name in params:
            raise RecipeError(
                f"{name} is searched and also set in params",
                where=where,
                code="tuned-and-set",
                fix="take it out of one of them",
            )
    if params.get("selection") == "test_oracle":
        raise RecipeError(
            "an entry whose epoch is chosen on the test fold has nothing to search",
            where=where,
            code="not-tunable",
            fix="use selection = 'last' or 'validation'",
        )


def _check_values(
    model: str, name: str, values: Any, params: Mapping[str, Any], task: Task, where: str
) -> None:
    """A range with two ends, or a list of different values that the model takes."""
    if isinstance(values, Mapping):
        _range(name, values, where)
        return
    if not isinstance(values, list | tuple) or not values:
        raise _bad(name, values, "a list of values, or a range { low = ..., high = ... }", where)
    if len({json.dumps(v) for v in values}) < len(values):
        raise _bad(name, list(values), "every value once", where)
    for value in values:
        check_model(model, {**params, name: value}, task=task)


def _range(name: str, values: Mapping[str, Any], where: str) -> Range:
    for word in values:
        if word not in ("low", "high", "log"):
            raise did_you_mean(f"word of the range {name}", word, ("low", "high", "log"))
    low: Any = values.get("low")
    high: Any = values.get("high")
    log = values.get("log", False)
    numbers = all(_is_number(end) and math.isfinite(end) for end in (low, high))
    if not numbers or not isinstance(log, bool) or not low < high:
        raise _bad(name, dict(values), "low below high, and log true or false", where)
    if log and not low > 0:
        raise _bad(name, dict(values), "low above 0, since log = true", where)
    return Range(low, high, log, isinstance(low, int) and isinstance(high, int))


def _how(
    tune: Mapping[str, Any], subspaces: Sequence[Mapping[str, Any]], where: str
) -> dict[str, Any]:
    """The words of `HOW`, checked, with what a recipe may leave open."""
    size = _size(subspaces)
    method = tune.get("method", "random" if size is None else "grid")
    if method not in METHODS:
        raise did_you_mean("method", str(method), METHODS, where=where)
    if method == "grid" and size is None:
        raise _bad("method", method, "random or optuna, since a range has no grid", where)
    trials = tune.get("trials", size if method == "grid" else TRIALS)
    folds, seconds = tune.get("folds", FOLDS), tune.get("seconds")
    for name, value, least, most in (("trials", trials, 1, MOST), ("folds", folds, 2, 20)):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _bad(name, value, f"a whole number, {least} to {most}", where)
    if seconds is not None and not (_is_number(seconds) and seconds > 0):
        raise _bad("seconds", seconds, "a number above 0", where)
    if method == "grid" and size is not None and size > trials:
        raise RecipeError(
            f"the grid has {size} candidates, but trials = {trials}",
            where=where,
            code="grid-too-large",
            fix="raise trials, or use method = 'random' or 'optuna'",
        )
    return {"method": method, "trials": trials, "folds": folds, "seconds": seconds}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bad(name: str, value: Any, expected: str, where: str) -> RecipeError:
    return RecipeError(f"{name} is {value!r}, expected {expected}", where=where, code="bad-value")


def _size(subspaces: Sequence[Mapping[str, Any]]) -> int | None:
    """Candidates of the whole grid; None where there is a range."""
    values = [v for subspace in subspaces for v in subspace.values()]
    if any(isinstance(v, Mapping) for v in values):
        return None
    return sum(math.prod(len(v) for v in subspace.values()) for subspace in subspaces)


# --- search -----------------------------------------------------------------------------------


def proposals(tune: Mapping[str, Any], *, seed: int) -> Search:
    """Propose candidates, different from each other; ``send`` the score of the last one.

    Parameters
    ----------
    tune : of `space_of`.
    seed : of what is drawn.
    """
    space = {k: v for k, v in tune.items() if k not in HOW}
    subspaces = [
        {k: _range(k, v, "") if isinstance(v, Mapping) else v for k, v in subspace.items()}
        for subspace in _subspaces(space, "")
    ]
    return METHODS[tune["method"]](subspaces, tune["trials"], seed)


# --- what it costs -----------------------------------------------------------------------------


def budget(tune: Mapping[str, Any]) -> int:
    """Fits in one outer fold: candidates times inner folds; `tune` is of `space_of`."""
    size = _size(_subspaces({k: v for k, v in tune.items() if k not in HOW}, ""))
    most = tune["trials"] if size is None else min(size, tune["trials"])
    return int(most * tune["folds"])


_SEARCH = {"grid": "a grid of", "random": "a random search of", "optuna": "Optuna (TPE) with"}


def words(tune: Mapping[str, Any]) -> str:
    """Say to the reader of a result what was searched and how."""
    folds = tune["folds"]
    time = f", at most {tune['seconds']:g} s a fold" if tune["seconds"] else ""
    return (
        f"Parameters chosen inside the training clips by {_SEARCH[tune['method']]} "
        f"{budget(tune) // folds} candidates, each fitted {folds} times with other training "
        f"speakers held out ({budget(tune)} fits{time})."
    )
