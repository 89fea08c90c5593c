"""The other tasks of a multi-task training, from what a recipe says to targets.

Contents
--------
`Task`         : one of them, with its targets.
`wanted_tasks` : what is said of them, checked.
`read_tasks`   : all of them.
`read_outputs` : from what a network puts out to what it says of a clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import ModelError, did_you_mean
from serfeat.models.losses import ccc_loss, mse_loss
from serfeat.models.objectives import Classification, Regression
from serfeat.types import Bools, Floats

__all__ = ["LOSSES", "MAIN", "Task", "read_outputs", "read_tasks", "wanted_tasks"]

MAIN = "emotion"  # the task that every classifier has

LOSSES = ("ccc", "mse", "classes", "adversarial")
MEASURES = {"ccc": ccc_loss, "mse": mse_loss}


@dataclass(frozen=True)
class Task:
    """A task beside the emotion.

    Parameters
    ----------
    name, loss, weight : see `TorchClassifier`.
    size : outputs.
    values : (n,) classes as int64, -1 where missing, or z-scored dimensions as float32, NaN where
        missing.
    classes : their names, () for a dimension.
    centre, scale : mean and standard deviation of a dimension in training.
    """

    name: str
    loss: str
    weight: float
    size: int
    values: NDArray[Any]
    classes: tuple[str, ...] = ()
    centre: float = 0.0
    scale: float = 1.0

    @property
    def card(self) -> dict[str, Any]:
        """What turns outputs into predictions, as JSON can hold it; see `read_outputs`."""
        return {"classes": list(self.classes), "centre": self.centre, "scale": self.scale}

    def objective(self, device: torch.device) -> Classification | Regression:
        """Return the objective, its targets on a device."""
        values = torch.from_numpy(self.values).to(device)
        if self.loss in MEASURES:
            return Regression(values[:, None], MEASURES[self.loss])
        return Classification(values, partial=bool((self.values < 0).any()))


def wanted_tasks(wanted: Mapping[str, Any] | None) -> dict[str, tuple[str, float]]:
    """Read what is said of the tasks: name -> loss and weight.

    Parameters
    ----------
    wanted : name -> loss, or name -> {loss, weight}.

    Raises
    ------
    ModelError, UnknownNameError : another loss or word, a weight that is no number above 0, or the
        emotion, which is learnt anyway.
    """
    found = {}
    for name, setting in (wanted or {}).items():
        words = dict(setting) if isinstance(setting, Mapping) else {"loss": setting}
        for word in words:
            if word not in ("loss", "weight"):
                raise did_you_mean(f"word of the task {name!r}", str(word), ("loss", "weight"))
        loss, weight = words.get("loss"), words.get("weight", 1.0)
        if loss not in LOSSES:
            raise did_you_mean(f"loss of the task {name!r}", str(loss), LOSSES)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
            raise ModelError(
                f"weight of the task {name!r} is {weight!r}, expected a number above 0",
                code="bad-parameter",
            )
        if name == MAIN:
            raise ModelError(
                f"the task {MAIN!r} is what is learnt anyway",
                code="bad-parameter",
                fix="name other columns of the manifest",
            )
        found[name] = (str(loss), float(weight))
    return found


def read_tasks(
    wanted: Mapping[str, Any] | None, targets: Mapping[str, ArrayLike] | None, training: Bools
) -> list[Task]:
    """Join what is wanted with its targets.

    Parameters
    ----------
    wanted : see `wanted_tasks`.
    targets : name -> (n,) values.
    training : (n,) True for the rows that are trained on; classes and scales are theirs.

    Raises
    ------
    ModelError, UnknownNameError : see `wanted_tasks`; no targets, none that is present.
    """
    found = []
    for name, (loss, weight) in wanted_tasks(wanted).items():
        if targets is None or name not in targets:
            raise ModelError(
                f"no targets for the task {name!r}",
                code="no-targets",
                fix=f"pass fit(..., tasks={{{name!r}: values}}), a value for each clip",
            )
        values = np.asarray(targets[name])
        if len(values) != len(training):
            raise ModelError(
                f"task {name!r} has {len(values)} targets for {len(training)} clips",
                code="bad-targets",
            )
        if loss in MEASURES:
            column, centre, scale = _dimension(name, values, training)
            found.append(Task(name, loss, weight, 1, column, (), centre, scale))
        else:
            column, classes = _classes(name, values, training)
            found.append(Task(name, loss, weight, len(classes), column, classes))
    return found


def read_outputs(card: Mapping[str, Any], outputs: Floats) -> NDArray[Any]:
    """Turn (n, outputs) of a task into predictions (n,).

    Parameters
    ----------
    card : `Task.card`.

    Returns
    -------
    The most probable class as text, or float64 on the dimension's own scale.
    """
    if card["classes"]:
        return np.asarray(np.array(card["classes"])[outputs.argmax(axis=1)])
    return np.asarray(outputs[:, 0] * card["scale"] + card["centre"])


def _dimension(
    name: str, values: NDArray[Any], training: Bools
) -> tuple[NDArray[Any], float, float]:
    """One output, z-scored by the training rows; their mean and standard deviation."""
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            f"task {name!r} holds values that are no numbers, expected a dimension",
            code="bad-targets",
            fix="for labels, use the loss 'classes'",
        ) from None
    known = numbers[training & np.isfinite(numbers)]
    if not len(known):
        raise ModelError(f"task {name!r} has no target in training", code="bad-targets")
    centre, scale = float(known.mean()), float(known.std()) or 1.0
    return ((numbers - centre) / scale).astype(np.float32), centre, scale


def _classes(
    name: str, values: NDArray[Any], training: Bools
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """As many outputs as classes in training; other values are missing."""
    missing = np.array([v is None or v != v or v == "" for v in values.tolist()])
    words = np.where(missing, "", values.astype(str))
    classes = np.unique(words[training & ~missing])
    if not len(classes):
        raise ModelError(f"task {name!r} has no target in training", code="bad-targets")
    positions = np.searchsorted(classes, words).clip(max=len(classes) - 1)
    known = classes[positions] == words
    column = np.where(known & ~missing, positions, -1).astype(np.int64)
    return column, tuple(str(c) for c in classes)
