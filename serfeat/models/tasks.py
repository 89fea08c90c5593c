"""The other tasks of a multi-task training, from what a recipe says to targets.

Contents
--------
`Task`       : one of them, with its targets.
`read_tasks` : all of them, checked.
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
from serfeat.types import Bools

__all__ = ["LOSSES", "Task", "read_tasks"]

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
    """

    name: str
    loss: str
    weight: float
    size: int
    values: NDArray[Any]

    def objective(self, device: torch.device) -> Classification | Regression:
        """Return the objective, its targets on a device."""
        values = torch.from_numpy(self.values).to(device)
        if self.loss in MEASURES:
            return Regression(values[:, None], MEASURES[self.loss])
        return Classification(values, partial=bool((self.values < 0).any()))


def read_tasks(
    wanted: Mapping[str, Any] | None, targets: Mapping[str, ArrayLike] | None, training: Bools
) -> list[Task]:
    """Join what is wanted with its targets.

    Parameters
    ----------
    wanted : name -> loss, or name -> {loss, weight}.
    targets : name -> (n,) values.
    training : (n,) True for the rows that are trained on; classes and scales are theirs.

    Raises
    ------
    ModelError, UnknownNameError : another loss, no targets, none that is present.
    """
    found = []
    for name, setting in (wanted or {}).items():
        loss, weight = setting, 1.0
        if isinstance(setting, Mapping):
            loss, weight = setting.get("loss"), float(setting.get("weight", 1.0))
        if loss not in LOSSES:
            raise did_you_mean("loss", str(loss), LOSSES, where=f"tasks, {name}")
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
        make = _dimension if loss in MEASURES else _classes
        size, column = make(name, values, training)
        found.append(Task(name, str(loss), weight, size, column))
    return found


def _dimension(name: str, values: NDArray[Any], training: Bools) -> tuple[int, NDArray[Any]]:
    """One output, z-scored by the training rows."""
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
    scale = known.std() or 1.0
    return 1, ((numbers - known.mean()) / scale).astype(np.float32)


def _classes(name: str, values: NDArray[Any], training: Bools) -> tuple[int, NDArray[Any]]:
    """As many outputs as classes in training; other values are missing."""
    missing = np.array([v is None or v != v or v == "" for v in values.tolist()])
    words = np.where(missing, "", values.astype(str))
    classes = np.unique(words[training & ~missing])
    if not len(classes):
        raise ModelError(f"task {name!r} has no target in training", code="bad-targets")
    positions = np.searchsorted(classes, words).clip(max=len(classes) - 1)
    known = classes[positions] == words
    return len(classes), np.where(known & ~missing, positions, -1).astype(np.int64)
