"""The optimisers of the training loop, and Keras' Adam among them.

Adam divides the mean of the gradients by the root of the mean of their squares, both corrected for
their start at zero. Where the constant epsilon is added differs: the paper's Algorithm 1, and
torch, add it to the corrected root; Keras takes the paper's faster form and adds it to the
uncorrected one ("epsilon hat"). With the small gradients and short trainings of this field the
first steps differ visibly, and networks that were published in Keras were trained with the second.

Contents
--------
`KerasAdam`      : Adam with epsilon hat.
`EPSILON`        : of the three Adams.
`OPTIMIZERS`     : name -> class and settings.
`make_optimizer` : one of them, by name.

Sources
-------
[1] D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; section 2, last
    paragraph, for the order that Keras took.
[2] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from serfeat.errors import ModelError, did_you_mean

__all__ = ["EPSILON", "OPTIMIZERS", "KerasAdam", "make_optimizer"]


# What is added to a root unless it is given.
EPSILON = {"adamw": 1e-8, "adam": 1e-8, "keras_adam": 1e-7}


class KerasAdam(torch.optim.Optimizer):
    """Adam as Keras computes it, with decoupled weight decay ([1], [2]).

    In step t, with gradient g: ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2``, then
    ``p = p - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps)``. That is torch's Adam with
    ``eps / sqrt(1 - b2^t)`` in place of eps. The state has the names of torch's.

    Parameters
    ----------
    params : tensors, or groups of them.
    lr, betas, eps : step, memory of both means, epsilon hat; Keras' default is 1e-7.
    weight_decay : before the step, ``p = (1 - lr weight_decay) p``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = EPSILON["keras_adam"],
        weight_decay: float = 0.0,
    ) -> None:
        if not (lr >= 0 and 0 <= betas[0] < 1 and 0 <= betas[1] < 1 and eps > 0):
            raise ModelError(
                f"lr {lr}, betas {betas}, eps {eps}, expected lr >= 0, betas in [0, 1), eps > 0",
                where="optimizer keras_adam",
                code="bad-parameter",
            )
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, given)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[float, list[Tensor]] = {}  # parameters that have moved as often
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["exp_avg"] = torch.zeros_like(p)
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                alike.setdefault(float(state["step"]), []).append(p)
            for t, parameters in alike.items():
                self._move(parameters, t, group)
        return loss

    def _move(self, parameters: list[Tensor], t: float, group: dict[str, Any]) -> None:
        """Move some parameters for the t-th time.

        All of them with each operation: on a GPU their number counts, and not the size.
        """
        b1, b2 = group["betas"]
        gradients = [p.grad for p in parameters if p.grad is not None]  # of all of them
        m = [self.state[p]["exp_avg"] for p in parameters]
        v = [self.state[p]["exp_avg_sq"] for p in parameters]
        torch._foreach_lerp_(m, gradients, 1 - b1)
        torch._foreach_mul_(v, b2)
        torch._foreach_addcmul_(v, gradients, gradients, 1 - b2)
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        rate = group["lr"] * (1 - b2**t) ** 0.5 / (1 - b1**t)
        roots = torch._foreach_sqrt(v)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(parameters, m, roots, -rate)


# name -> class, and the settings that it has besides the learning rate. What "adam" calls weight
# decay is a penalty on the squares, added to the gradient; "adamw" and "keras_adam" shrink the
# weights themselves ([2]); for plain SGD both are the same.
OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], tuple[str, ...]]] = {
    "adamw": (torch.optim.AdamW, ("betas", "eps", "weight_decay")),
    "adam": (torch.optim.Adam, ("betas", "eps", "weight_decay")),
    "keras_adam": (KerasAdam, ("betas", "eps", "weight_decay")),
    "sgd": (torch.optim.SGD, ("momentum", "weight_decay")),
}


def make_optimizer(
    name: str,
    parameters: Iterable[Any],
    *,
    learning_rate: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    eps: float | None = None,
) -> torch.optim.Optimizer:
    """Make the optimiser `name`; a setting that it does not have is left out.

    Parameters
    ----------
    name : a key of `OPTIMIZERS`.
    parameters : tensors, or groups of them.
    learning_rate, weight_decay : of all.
    betas, eps : of the three Adams; None is the optimiser's own epsilon (1e-8, Keras 1e-7).
    momentum : of ``"sgd"``.

    Raises
    ------
    UnknownNameError : no such optimiser.
    """
    if name not in OPTIMIZERS:
        raise did_you_mean("optimizer", name, OPTIMIZERS)
    make, takes = OPTIMIZERS[name]
    given: dict[str, Any] = {
        "betas": (betas[0], betas[1]),
        "eps": eps,
        "weight_decay": weight_decay,
        "momentum": momentum,
    }
    settings = {k: v for k, v in given.items() if k in takes and v is not None}
    return make(parameters, lr=learning_rate, **settings)
