"""What a head is trained for: classes, dimensions, or several tasks at once.

An objective holds the targets of all clips, knows what to ask of a module, and turns its outputs
and the positions of a batch's clips into one number to minimise. The training loop knows no more of
the task than this.

Contents
--------
`Objective`      : the three questions.
`Classification` : labels, or proportions of rater votes.
`Regression`     : one or several dimensions; a missing target takes no part.
`MultiTask`      : a classification and other tasks that share the trunk of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.models.losses import soft_cross_entropy

__all__ = ["Classification", "MultiTask", "Objective", "Regression"]


class Objective(Protocol):
    """What the training loop asks."""

    def outputs(self, module: nn.Module, x: Tensor, lengths: Tensor) -> Any:
        """Apply the module to a batch."""

    def loss(self, outputs: Any, rows: Tensor, whole: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar; `rows` (batch,) are the positions of the batch's clips.

        Where these are part of a batch, `whole` are the positions of all of it: the losses of its
        parts then add up to the batch's, if that is a mean.
        """

    def right(self, outputs: Any, rows: Tensor) -> Tensor:
        """Return how many clips got the right label; NaN where there are no labels."""


@dataclass(frozen=True)
class Classification:
    """Cross entropy of labels or of proportions.

    Parameters
    ----------
    targets : (n,) classes as 0 ... n_classes - 1, -1 where the label is missing.
    proportions : (n, n_classes) rater votes that replace the labels in the loss.
    weight : (n_classes,) of the classes.
    smoothing : a; targets become ``(1 - a) y + a / n_classes``.
    partial : some labels are missing.
    """

    targets: Tensor
    proportions: Tensor | None = None
    weight: Tensor | None = None
    smoothing: float = 0.0
    partial: bool = False

    def outputs(self, module: nn.Module, x: Tensor, lengths: Tensor) -> Any:
        """Return logits (batch, n_classes)."""
        return module(x, lengths)

    def loss(self, outputs: Any, rows: Tensor, whole: Tensor | None = None) -> Tensor:
        """Return the mean over the clips that have a label."""
        loss = self._mean(outputs, rows)
        return loss if whole is None else loss * (self._divisor(rows) / self._divisor(whole))

    def _divisor(self, rows: Tensor) -> Tensor:
        """What the mean over some clips is divided by: their weights, or how many they are."""
        targets = self.targets[rows]
        if self.partial:
            return (targets >= 0).sum().clamp(min=1)
        if self.weight is None:
            return torch.tensor(len(rows), device=rows.device)
        if self.proportions is not None:
            return (self.proportions[rows] * self.weight).sum()
        return self.weight[targets].sum()

    def _mean(self, outputs: Any, rows: Tensor) -> Tensor:
        logits = outputs.float()
        if self.proportions is not None:
            return soft_cross_entropy(
                logits, self.proportions[rows], weight=self.weight, smoothing=self.smoothing
            )
        targets = self.targets[rows]
        loss: Tensor = F.cross_entropy(
            logits,
            targets,
            weight=self.weight,
            label_smoothing=self.smoothing,
            ignore_index=-1,
            reduction="sum" if self.partial else "mean",  # the mean over no clip would be NaN
        )
        known: Tensor = (targets >= 0).sum().clamp(min=1)
        return loss / known if self.partial else loss

    def right(self, outputs: Any, rows: Tensor) -> Tensor:
        """Return the number of clips whose most probable class is theirs."""
        right: Tensor = (outputs.detach().argmax(1) == self.targets[rows]).sum()
        return right


@dataclass(frozen=True)
class Regression:
    """A loss between outputs and targets.

    Parameters
    ----------
    targets : (n, k); NaN is missing.
    measure : ``measure(prediction, target) -> scalar``, see `serfeat.models.losses`.
    """

    targets: Tensor
    measure: Callable[[Tensor, Tensor], Tensor]

    def outputs(self, module: nn.Module, x: Tensor, lengths: Tensor) -> Any:
        """Return predictions (batch, k)."""
        return module(x, lengths)

    def loss(self, outputs: Any, rows: Tensor, whole: Tensor | None = None) -> Tensor:
        """Apply the measure; of a part it counts by the targets that there are."""
        loss = self.measure(outputs.float(), self.targets[rows])
        if whole is None:
            return loss
        known, of = (torch.isfinite(self.targets[r]).sum().clamp(min=1) for r in (rows, whole))
        return loss * (known / of)

    def right(self, outputs: Any, rows: Tensor) -> Tensor:  # noqa: ARG002
        """Return NaN: dimensions have no right answers."""
        return torch.full((), torch.nan, device=outputs.device)


@dataclass(frozen=True)
class MultiTask:
    """Emotion, and what else the same clip tells: ``L = sum_k w_k L_k``.

    With learnt weights (Kendall, Gal, Cipolla, CVPR 2018) it is ``sum_k exp(-s_k) L_k + s_k``,
    where the module holds s in `log_variance`.

    Parameters
    ----------
    tasks : name -> (objective, weight); the first is the main one. Their modules' outputs come from
        `serfeat.heads.multi_task.MultiTask`.
    """

    tasks: Mapping[str, tuple[Classification | Regression, float]]

    def outputs(self, module: nn.Module, x: Tensor, lengths: Tensor) -> Any:
        """Return the outputs of every task, and the learnt weights if there are any."""
        outputs: dict[str, Any] = module.outputs(x, lengths)  # type: ignore[operator]
        return outputs, getattr(module, "log_variance", None)

    def loss(self, outputs: Any, rows: Tensor, whole: Tensor | None = None) -> Tensor:
        """Add the tasks' losses."""
        values, log_variance = outputs
        part = 1.0 if whole is None else len(rows) / len(whole)
        losses = [
            weight * objective.loss(values[name], rows, whole)
            for name, (objective, weight) in self.tasks.items()
        ]
        if log_variance is not None:
            losses = [
                torch.exp(-s) * loss + part * s
                for s, loss in zip(log_variance, losses, strict=True)
            ]
        return torch.stack(losses).sum()

    def right(self, outputs: Any, rows: Tensor) -> Tensor:
        """Return the right answers of the main task."""
        name, (objective, _) = next(iter(self.tasks.items()))
        return objective.right(outputs[0][name], rows)
