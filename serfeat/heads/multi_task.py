"""Several tasks on one trunk: emotion, and what else a clip tells.

A head of any kind ends in an embedding instead of logits; every task has a linear layer on it.
Tasks that help (valence, arousal, dominance) shape the embedding; an adversarial one (speaker, sex)
sits behind a reversal of the gradient and makes the embedding forget it.

Sources: R. Caruana, "Multitask learning", Machine Learning 28, 1997; Y. Ganin, V. Lempitsky,
"Unsupervised domain adaptation by backpropagation", ICML 2015; learnt weights of the tasks:
A. Kendall, Y. Gal, R. Cipolla, CVPR 2018.

Ours: the embedding (64 values, then ReLU) is what the trunk's own last layer puts out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["MultiTask", "reverse_gradient", "trunk_of"]


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        """Return x."""
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Return ``-strength * gradient``."""
        return -ctx.strength * grads[0], None


def reverse_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """Return x; on the way back its gradient is multiplied by ``-strength``.

    What follows learns its task, what comes before learns to make that task impossible: a head
    whose speaker classifier sits behind this forgets who is speaking.
    """
    y: Tensor = _Reversal.apply(x, strength)  # type: ignore[no-untyped-call]
    return y


class MultiTask(nn.Module):
    """A trunk and a linear layer for each task.

    Parameters
    ----------
    trunk : maps x (batch, frames, features), lengths (batch,) to (batch, width).
    width : outputs of the trunk.
    tasks : name -> number of outputs; the first is the one that `forward` gives.
    adversarial : names of tasks behind the reversal of the gradient.
    strength : of the reversal.
    learn_weights : hold a `log_variance` (n_tasks,) that weighs the tasks' losses.
    """

    def __init__(
        self,
        trunk: nn.Module,
        width: int,
        tasks: Mapping[str, int],
        *,
        adversarial: Collection[str] = (),
        strength: float = 1.0,
        learn_weights: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.adversarial = frozenset(adversarial)
        self.strength = strength
        self.names = tuple(tasks)
        self.layers = nn.ModuleList(nn.Linear(width, n) for n in tasks.values())
        self.log_variance = nn.Parameter(torch.zeros(len(tasks))) if learn_weights else None

    def outputs(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return (batch, outputs) of every task."""
        shared = torch.relu(self.trunk(x, lengths))  # (batch, width)
        turned = reverse_gradient(shared, self.strength) if self.adversarial else shared
        return {
            name: layer(turned if name in self.adversarial else shared)
            for name, layer in zip(self.names, self.layers, strict=True)
        }

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of the main task."""
        logits: Tensor = self.layers[0](torch.relu(self.trunk(x, lengths)))
        return logits


def trunk_of(module: nn.Module) -> nn.Module:
    """Return the head itself, which may have ways of its own to be trained."""
    return module.trunk if isinstance(module, MultiTask) else module
