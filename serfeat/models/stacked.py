"""Several trainings of one head as one: the folds of a protocol side by side on a GPU.

The networks of this field are tiny; on a GPU most of a step is the launching of kernels, and a
launch for ten networks costs as much as one for one. So the weights of all folds are stacked, the
forward pass is mapped over them (`torch.func.vmap`), and one kernel serves all. The result is that
of training one by one, within float tolerance (without dropout: its random numbers are drawn for
all folds together, so that they differ from those of a single training).

On a CPU this is 2 to 3 times slower than fold by fold, as the tensors leave the cache: there the
folds run in parallel processes instead.

How equality is kept: every fold has the batches that it would have alone. In each step the folds
whose batches have the same number of clips go together; so a short last batch needs no filling
that batch statistics would see.

Contents
--------
`stackable`   : whether a training can be stacked.
`fit_stacked` : trains several `TorchClassifier` at once.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.models.arguments import as_labels, class_weights
from serfeat.models.batches import as_clips, batches, padded
from serfeat.models.optimizers import EPSILON
from serfeat.models.surroundings import own_random_state, resolve_device, threads
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.models.training import Stage
from serfeat.sequences import Sequences
from serfeat.types import Floats, Ints

__all__ = ["fit_stacked", "stackable"]

# Heads that tests/models/test_stacked.py holds, stacked, against their training one by one. The
# others: `vmap` has no rule for the recurrent layers of rnn and dcrn, and dbn is trained by a
# `pretrain` of its own first.
_HEADS = (
    *("mlp", "article_cnn", "parallel_cnn", "cnn1d", "transformer", "timnet", "am_resnet"),
    *("amrwc", "layer_weights"),
)
# Settings of a training that is more than epochs of Adam over labelled clips.
_ALONE = ("stages", "tasks", "augment", "patience", "clip_norm", "checkpoint")


def stackable(model: Any) -> bool:
    """Whether `fit_stacked` can train this model; no regressor."""
    if not isinstance(model, TorchClassifier) or model.head not in _HEADS:
        return False
    plain = all(getattr(model, name) is None for name in _ALONE)
    plain = plain and not (model.head_params or {}).get("lstm_units")
    plain = plain and model.selection == "last" and model.precision == "float32"
    return plain and model.optimizer in EPSILON


def fit_stacked(
    models: Sequence[TorchClassifier], Xs: Sequence[Any], ys: Sequence[Any]
) -> Sequence[TorchClassifier]:
    """Fit several classifiers at once; each ends as its own ``fit(X, y)`` would leave it.

    Parameters
    ----------
    models : with the same settings, but for the seed; `stackable`.
    Xs, ys : of each model, as `TorchClassifier.fit` takes them; all with the same columns and
        classes.

    Raises
    ------
    ModelError : models that cannot be stacked, or that do not fit together; a divergence.
    """
    first = models[0]
    first.check()
    same = [{k: v for k, v in m.get_params(deep=False).items() if k != "seed"} for m in models]
    if not stackable(first) or any(s != same[0] for s in same):
        raise ModelError(
            f"these models cannot be trained as one: same settings, one of the heads "
            f"{', '.join(_HEADS)} (without an LSTM), selection 'last', precision 'float32', and "
            f"none of {', '.join(_ALONE)}",
            code="not-stackable",
            fix="fit them one by one",
        )
    folds = [
        _Fold(m, as_clips(m, X, training=True), y) for m, X, y in zip(models, Xs, ys, strict=True)
    ]
    if len({(f.model.n_features_in_, tuple(f.classes)) for f in folds}) > 1:
        raise ModelError("the folds differ in columns or classes", code="not-stackable")
    device = resolve_device(first.device)
    with threads(first.threads):
        modules = []
        for fold in folds:
            with own_random_state(device, fold.model.seed):
                modules.append(fold.model._new_module(fold.sizes).to(device).train())
        with own_random_state(device, first.seed):
            histories = _Stack(modules, folds, first, device).train()
    for fold, module, history in zip(folds, modules, histories, strict=True):
        model = fold.model
        model.classes_, model.validation_groups_ = fold.classes, []
        model.task_cards_ = {}
        model._keep(module, history, model.epochs, fold.sizes)
    return models


class _Fold:
    """The clips, targets and class weights of one training."""

    def __init__(self, model: TorchClassifier, clips: Sequences, y: Any) -> None:
        labels = as_labels(y, len(clips), estimator=type(model).__name__)
        self.model, self.clips = model, clips
        self.classes, self.targets = np.unique(labels, return_inverse=True)
        self.sizes = {"emotion": len(self.classes)}
        self.weights: Floats | None = class_weights(model.class_weight, labels, self.classes)
        self.rng = np.random.default_rng(model.seed)


class _Stack:
    """The stacked state of all folds: one tensor of weights, one of each moment, the buffers."""

    def __init__(
        self,
        modules: Sequence[nn.Module],
        folds: Sequence[_Fold],
        model: TorchClassifier,
        device: torch.device,
    ) -> None:
        self.modules, self.folds, self.device, self.model = modules, folds, device, model
        parameters, buffers = stack_module_state(list(modules))
        self.shapes = {name: p.shape[1:] for name, p in parameters.items()}
        # One tensor (folds, all weights): the optimiser then needs a few kernels for everything.
        flat = torch.cat([p.detach().flatten(1) for p in parameters.values()], dim=1)
        self.flat = flat.requires_grad_()
        self.buffers = {name: b.detach() for name, b in buffers.items()}
        self.mean, self.square = torch.zeros_like(flat), torch.zeros_like(flat)
        self.steps = torch.zeros(len(modules), 1, device=device, dtype=flat.dtype)
        self.skeleton = copy.deepcopy(modules[0]).to("meta").train()
        # All clips of all folds, padded once and kept on the device.
        longest = max(int(f.clips.lengths.max()) for f in folds)
        filled = [padded(f.clips, np.arange(len(f.clips)), device, frames=longest) for f in folds]
        self.x, self.lengths = [x for x, _ in filled], [lengths for _, lengths in filled]
        self.targets = [torch.from_numpy(f.targets).to(device) for f in folds]
        weights = [np.ones(len(f.classes)) if f.weights is None else f.weights for f in folds]
        self.weights = torch.from_numpy(np.stack(weights)).float().to(device)

    def train(self) -> list[list[dict[str, Any]]]:
        """Run all epochs; return the history of every fold."""
        stage = self.model._stages()[0]
        histories: list[list[dict[str, Any]]] = [[] for _ in self.folds]
        for epoch in range(1, stage.epochs + 1):
            start = time.perf_counter()
            losses, right = self._epoch(stage, epoch - 1)
            if not bool(self.flat.detach().isfinite().all()):
                raise ModelError(
                    f"the training diverged in epoch {epoch}",
                    where=f"head {self.model.head}",
                    code="diverged",
                    fix="lower learning_rate, or scale the features",
                )
            seconds = (time.perf_counter() - start) / len(self.folds)
            for fold, loss, hits, history in zip(
                self.folds, losses.tolist(), right.tolist(), histories, strict=True
            ):
                history.append(
                    {
                        "epoch": epoch,
                        "train_loss": loss / len(fold.targets),
                        "train_accuracy": hits / len(fold.targets),
                        "validation_uar": None,
                        "validation_war": None,
                        "seconds": seconds,
                    }
                )
        self._unstack()
        return histories

    def _epoch(self, stage: Stage, done: int) -> tuple[Tensor, Tensor]:
        """One pass of every fold; return sums of the losses and of the right answers."""
        cuts = [batches(f.clips.lengths, stage.batch_size, f.rng) for f in self.folds]
        losses = torch.zeros(len(self.folds), device=self.device)
        right = torch.zeros_like(losses)
        for step in range(max(len(c) for c in cuts)):
            together: dict[int, list[int]] = {}
            for i, cut in enumerate(cuts):
                if step < len(cut):
                    together.setdefault(len(cut[step]), []).append(i)
            for size, members in together.items():
                rows = [cuts[i][step] for i in members]
                rates = [stage.rate(done + (step + 0.5) / len(cuts[i])) for i in members]
                loss, hits = self._step(members, rows, rates, stage)
                losses[members] += loss * size
                right[members] += hits
        return losses, right

    def _step(
        self, members: list[int], rows: list[Ints], rates: list[float], stage: Stage
    ) -> tuple[Tensor, Tensor]:
        """One step of some folds, each with its own batch of the same size."""
        pairs = list(zip(members, rows, strict=True))
        longest = max(int(self.folds[i].clips.lengths[r].max()) for i, r in pairs)
        at = [torch.from_numpy(r).to(self.device) for r in rows]
        x = torch.stack([self.x[i][a, :longest] for i, a in zip(members, at, strict=True)])
        lengths = torch.stack([self.lengths[i][a] for i, a in zip(members, at, strict=True)])
        targets = torch.stack([self.targets[i][a] for i, a in zip(members, at, strict=True)])
        whole = len(members) == len(self.folds)
        flat = self.flat if whole else self.flat.detach()[members].requires_grad_()
        buffers = self.buffers if whole else {k: b[members] for k, b in self.buffers.items()}
        parameters, begin = {}, 0
        for name, shape in self.shapes.items():
            end = begin + shape.numel()
            parameters[name] = flat[:, begin:end].view(-1, *shape)
            begin = end

        def loss_of(
            p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, n: Tensor, t: Tensor, w: Tensor
        ) -> tuple[Tensor, Tensor]:
            logits = functional_call(self.skeleton, (p, b), (x, n))
            loss = F.cross_entropy(logits, t, weight=w, label_smoothing=self.model.label_smoothing)
            return loss, (logits.argmax(1) == t).sum()

        losses, right = torch.vmap(loss_of, randomness="different")(
            parameters, buffers, x, lengths, targets, self.weights[members]
        )
        (gradient,) = torch.autograd.grad(losses.sum(), flat)
        self._adam(members, gradient, torch.tensor(rates, device=self.device)[:, None], stage)
        if not whole:
            for name, buffer in self.buffers.items():
                buffer[members] = buffers[name]
        return losses.detach(), right

    @torch.no_grad()
    def _adam(self, members: list[int], gradient: Tensor, rate: Tensor, stage: Stage) -> None:
        """One of the three Adams (`serfeat.models.optimizers`) on the stacked weights."""
        b1, b2 = stage.betas
        weights, mean, square = self.flat[members], self.mean[members], self.square[members]
        if stage.optimizer == "adam":
            gradient = gradient + stage.weight_decay * weights
        else:
            weights = weights * (1 - rate * stage.weight_decay)
        mean = torch.lerp(mean, gradient, 1 - b1)
        square = b2 * square + (1 - b2) * gradient * gradient
        self.steps[members] += 1
        t = self.steps[members]
        eps = EPSILON[stage.optimizer] if stage.eps is None else stage.eps
        if stage.optimizer == "keras_adam":  # epsilon is added to the uncorrected root
            root = (square.sqrt() + eps) / (1 - b2**t).sqrt()
        else:
            root = (square / (1 - b2**t)).sqrt() + eps
        weights = weights - rate / (1 - b1**t) * mean / root
        self.flat[members], self.mean[members], self.square[members] = weights, mean, square

    @torch.no_grad()
    def _unstack(self) -> None:
        """Write weights and buffers back into the modules."""
        for i, module in enumerate(self.modules):
            state, begin = {}, 0
            for name, shape in self.shapes.items():
                end = begin + shape.numel()
                state[name] = self.flat[i, begin:end].view(shape)
                begin = end
            state |= {name: buffer[i] for name, buffer in self.buffers.items()}
            module.load_state_dict(state)
