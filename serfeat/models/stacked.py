"""Several trainings of one head as one: the folds of a protocol side by side on a GPU.

The networks of this field are tiny; on a GPU most of a step is the launching of kernels, and a
launch for ten networks costs as much as one for one. So the weights of all folds are stacked, the
forward pass is mapped over them (`torch.func.vmap`), and one kernel serves all. The result is that
of training one by one, within float tolerance (without dropout: its random numbers are drawn for
all folds together, so that they differ from those of a single training).

On a CPU this is 2 to 3 times slower than fold by fold, as the tensors leave the cache: there the
folds run in parallel processes instead.

How equality is kept: every fold has the batches that it would have alone. A batch that is shorter
than the others' of its step is filled up with clips of no frame, which no batch statistic sees and
no loss counts. Where a head would see them, the folds whose batches have the same number of clips
go together.

Contents
--------
`stackable`   : whether a training can be stacked.
`fit_stacked` : trains several `TorchClassifier` at once.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.layers import MaskedBatchNorm
from serfeat.models.arguments import as_labels, class_weights
from serfeat.models.batches import as_clips, batches, sent
from serfeat.models.optimizers import EPSILON
from serfeat.models.surroundings import own_random_state, resolve_device, threads
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.models.training import Stage
from serfeat.precision import exact_float32
from serfeat.sequences import Sequences
from serfeat.types import Floats

__all__ = ["fit_stacked", "stackable"]

# Heads that tests/models/test_stacked.py holds, stacked, against their training one by one. The
# others: `vmap` has no rule for the recurrent layers of rnn and dcrn, and dbn is trained by a
# `pretrain` of its own first.
_HEADS = (
    *("mlp", "article_cnn", "parallel_cnn", "cnn1d", "transformer", "timnet", "am_resnet"),
    *("amrwc", "layer_weights"),
)
# Of these, the heads whose training a clip of no frame leaves as it is (tested there too).
_FILLED = ("article_cnn", "parallel_cnn", "cnn1d", "transformer", "timnet", "layer_weights")
_IGNORED = -100  # target of a clip of no frame
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
    with threads(first.threads), exact_float32():
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


class _Step(NamedTuple):
    """A step of some folds."""

    at: slice | Tensor  # takes them out of a stack of all
    rows: Tensor  # (folds, clips)
    longest: int  # frames of the longest clip
    rates: Tensor  # (folds,), the learning rates
    clips: Tensor  # (folds,), how many clips there are in the batches


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
        self.flat = torch.cat([p.detach().flatten(1) for p in parameters.values()], dim=1)
        self.buffers = {name: b.detach() for name, b in buffers.items()}
        self.indices: dict[tuple[int, ...], Tensor] = {}
        self.mean, self.square = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.steps = self.flat.new_zeros(len(modules), 1)
        self.skeleton = copy.deepcopy(modules[0]).to("meta").train()
        for layer in self.skeleton.modules():
            if isinstance(layer, MaskedBatchNorm):
                layer.by_hand = False
        # All clips of all folds, padded once and kept on the device, one fold after the other; in
        # the end a clip of no frame.
        lengths = np.concatenate([*(f.clips.lengths for f in folds), [0]])
        self.first = np.cumsum([0, *(len(f.clips) for f in folds)])
        shape = (len(lengths), int(lengths.max()), folds[0].clips.shape[1])
        self.x = torch.zeros(shape, device=device)  # (clips, frames, columns)
        for f, begin in zip(folds, self.first[:-1], strict=True):
            for i, clip in enumerate(f.clips, int(begin)):
                self.x[i, : len(clip)] = torch.from_numpy(clip)
        self.frames = lengths
        self.lengths = sent(lengths, device)
        self.targets = sent(np.concatenate([*(f.targets for f in folds), [_IGNORED]]), device)
        weights = [np.ones(len(f.classes)) if f.weights is None else f.weights for f in folds]
        self.weights = sent(np.stack(weights).astype(np.float32), device)

    def train(self) -> list[list[dict[str, Any]]]:
        """Run all epochs; return the history of every fold."""
        stage = self.model._stages()[0]
        histories: list[list[dict[str, Any]]] = [[] for _ in self.folds]
        for epoch in range(1, stage.epochs + 1):
            start = time.perf_counter()
            losses, right = self._epoch(stage, epoch - 1)
            if not bool(self.flat.isfinite().all()):
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
        losses = torch.zeros(len(self.folds), device=self.device)
        right = torch.zeros_like(losses)
        for step in self._steps_of_an_epoch(stage, done):
            loss, hits = self._step(step, stage)
            losses[step.at] += loss * step.clips
            right[step.at] += hits
        return losses, right

    def _steps_of_an_epoch(self, stage: Stage, done: int) -> list[_Step]:
        """Cut the batches of every fold, and say which of them go together."""
        cuts = [batches(f.clips.lengths, stage.batch_size, f.rng) for f in self.folds]
        groups: list[tuple[int, list[int]]] = []  # number of the step, folds
        for number in range(max(len(c) for c in cuts)):
            alike: dict[int, list[int]] = {}
            for i, cut in enumerate(cuts):
                if number < len(cut):
                    size = 0 if self.model.head in _FILLED else len(cut[number])
                    alike.setdefault(size, []).append(i)
            groups += [(number, members) for members in alike.values()]
        # Sent once an epoch: a GPU ends all that it has begun before it takes anything.
        rows, rates, sizes = [], [], []
        for number, members in groups:
            mine = [cuts[i][number] for i in members]
            most = max(map(len, mine))
            filled = np.full((len(members), most), self.first[-1])  # with the clip of no frame
            for line, i, batch in zip(filled, members, mine, strict=True):
                line[: len(batch)] = self.first[i] + batch
            rows.append(filled.ravel())
            rates += [stage.rate(done + (number + 0.5) / len(cuts[i])) for i in members]
            sizes += [len(batch) for batch in mine]
        of_rows = sent(np.concatenate(rows), self.device).split_with_sizes([r.size for r in rows])
        facts = sent(np.array([rates, sizes], dtype=np.float32), self.device)
        of_folds = facts.split_with_sizes([len(members) for _, members in groups], 1)
        return [
            _Step(self._at(m), r.view(len(m), -1), int(self.frames[own].max()), rate, clips)
            for (_, m), r, own, (rate, clips) in zip(groups, of_rows, rows, of_folds, strict=True)
        ]

    def _at(self, members: list[int]) -> slice | Tensor:
        """Return what takes these folds out of a stack: of all folds the stack itself."""
        if len(members) == len(self.folds):
            return slice(None)
        key = tuple(members)
        if key not in self.indices:
            self.indices[key] = torch.tensor(members, device=self.device)
        return self.indices[key]

    def _step(self, step: _Step, stage: Stage) -> tuple[Tensor, Tensor]:
        """One step of some folds, each with its own batch; return their losses and hits."""
        at = step.at
        x = self.x[step.rows, : step.longest]  # (folds, clips, longest, columns)
        lengths, targets = self.lengths[step.rows], self.targets[step.rows]
        flat = self.flat[at].requires_grad_()
        buffers = {name: buffer[at] for name, buffer in self.buffers.items()}
        # One split: the gradient of a hundred slices would be a hundred arrays as large as `flat`.
        parts = flat.split_with_sizes([shape.numel() for shape in self.shapes.values()], 1)
        parameters = {
            name: part.view(-1, *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

        def loss_of(
            p: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, n: Tensor, t: Tensor, w: Tensor
        ) -> tuple[Tensor, Tensor]:
            logits = functional_call(self.skeleton, (p, b), (x, n))
            loss = F.cross_entropy(
                *(logits, t, w), ignore_index=_IGNORED, label_smoothing=self.model.label_smoothing
            )
            return loss, (logits.argmax(1) == t).sum()

        losses, right = torch.vmap(loss_of, randomness="different")(
            parameters, buffers, x, lengths, targets, self.weights[at]
        )
        (gradient,) = torch.autograd.grad(losses.sum(), flat)
        self._adam(at, gradient, step.rates[:, None], stage)
        if not isinstance(at, slice):
            for name, buffer in self.buffers.items():
                buffer[at] = buffers[name]
        return losses.detach(), right

    @torch.no_grad()
    def _adam(self, at: slice | Tensor, gradient: Tensor, rate: Tensor, stage: Stage) -> None:
        """One of the three Adams (`serfeat.models.optimizers`) on the stacked weights."""
        b1, b2 = stage.betas
        # Of all folds the state itself, of some a copy.
        weights, mean = self.flat[at], self.mean[at]
        square, t = self.square[at], self.steps[at]
        if stage.optimizer == "adam":
            gradient = gradient + stage.weight_decay * weights
        else:
            weights *= 1 - rate * stage.weight_decay
        mean.lerp_(gradient, 1 - b1)
        square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        t += 1
        eps = EPSILON[stage.optimizer] if stage.eps is None else stage.eps
        if stage.optimizer == "keras_adam":  # epsilon is added to the uncorrected root
            root = square.sqrt().add_(eps).div_((1 - b2**t).sqrt())
        else:
            root = (square / (1 - b2**t)).sqrt_().add_(eps)
        weights -= root.reciprocal_().mul_(mean).mul_(rate / (1 - b1**t))
        if not isinstance(at, slice):
            self.flat[at], self.mean[at] = weights, mean
            self.square[at], self.steps[at] = square, t

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
