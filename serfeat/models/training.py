"""The one training loop: any module, any objective, several stages, and it can be killed.

Conventions
-----------
An epoch is one pass over the training clips in batches of similar length. A *stage* is a run of
epochs with its own optimiser (AMRWC is trained in two). The selection decides whose weights stay:
``"last"`` those after the last epoch, else those of the epoch with the best score. After every
`every` epochs the whole state goes into one file (weights, optimiser, random states, history), and
a training that finds such a file goes on from there, to the same bits. The file before it is kept
(`before`), for the day on which the newest one is damaged: that costs epochs and no result.

A batch that does not fit into the memory is halved until it does, and its gradients are added up:
the step is that of the whole batch, but for what is no mean over clips: batch normalisation takes
the statistics of the parts, a concordance (CCC) is that of each part, and what is drawn (dropout,
augmentation) is drawn again.

Contents
--------
`Stage`     : optimiser, rate and length of a run of epochs.
`Trained`   : history and the epoch whose weights were kept.
`train`     : the loop.
`before`    : where the checkpoint before the newest is.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from serfeat.errors import ModelError
from serfeat.files import committed
from serfeat.heads.multi_task import trunk_of
from serfeat.models.augmentation import Augmentation
from serfeat.models.batches import Room, batches, padded, sent
from serfeat.models.objectives import Objective
from serfeat.models.optimizers import make_optimizer
from serfeat.sequences import Sequences
from serfeat.types import Ints

__all__ = ["Stage", "Trained", "before", "train"]

History = list[dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """A run of epochs.

    Parameters
    ----------
    epochs, batch_size : passes over the clips; clips in a step.
    optimizer, learning_rate, betas, eps, momentum, weight_decay : see `make_optimizer`.
    schedule : of the learning rate. None: constant. ``"cosine"``: down to 0. A list of [epochs,
        rate] pairs, as papers print it: so many epochs at each rate.
    warmup : share of the steps in which the rate rises from 0.
    """

    epochs: int
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str | Sequence[Sequence[float]] | None = None
    warmup: float = 0.0

    def rate(self, done: float) -> float:
        """Learning rate when `done` epochs of this stage are over."""
        rate = self.learning_rate
        if self.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * done / self.epochs))
        elif self.schedule is not None:
            end = 0.0
            for pair in self.schedule:
                rate = float(pair[1])
                end += float(pair[0])
                if done < end:
                    break
        if done < self.warmup * self.epochs:
            rate *= done / (self.warmup * self.epochs)
        return rate


@dataclass
class Trained:
    """What is known of a training; grows with it.

    Attributes
    ----------
    history : a dict for each epoch.
    best_score, best_epoch : of the epochs so far, where there is a score.
    best : weights of that epoch.
    """

    history: History = field(default_factory=list)
    best_score: float = -math.inf
    best_epoch: int = 0
    best: dict[str, Tensor] | None = None


def train(
    module: nn.Module,
    clips: Sequences,
    rows: Ints,
    objective: Objective,
    stages: Sequence[Stage],
    *,
    seed: int,
    score: Callable[[nn.Module], Mapping[str, float]] | None = None,
    patience: int | None = None,
    clip_norm: float | None = None,
    half: bool = False,
    augmentation: Augmentation | None = None,
    checkpoint: Path | None = None,
    identity: str = "",
    every: int = 10,
    report: Callable[[int, int], None] = lambda epoch, total: None,  # noqa: ARG005
) -> Trained:
    """Train a module in place.

    Parameters
    ----------
    module : on its device; in the state in which the training begins.
    clips, rows : all clips, and the positions of those to train on.
    objective : what is minimised.
    stages : one after the other; the head's ``stage(i)`` is called before each, if it has one.
    seed : of the order of the clips (weights and dropout draw from torch's present random state).
    score : judges the module after every epoch: names and values for the history, the first of
        which, higher being better, says whose weights are kept.
    patience : stop after that many epochs without a better score.
    clip_norm : largest norm of the gradient.
    half : multiply in bfloat16 where that is safe (GPU).
    augmentation : of the batches.
    checkpoint : a file, written every `every` epochs and removed by nobody but the caller.
    identity : what the training is of; a checkpoint of another one is not used.
    report : is called with (epochs done, of how many) after every epoch.

    Raises
    ------
    ModelError : the training diverged; a clip does not fit into the memory.
    """
    rng = np.random.default_rng(seed)
    state = Trained()
    room = Room()
    total = sum(s.epochs for s in stages)
    stored = _read(checkpoint, identity)
    head = trunk_of(module)
    pretrain: Any = getattr(head, "pretrain", None)
    if stored is None and pretrain is not None:
        module.train()
        state.history += pretrain(*_pooled(head, clips, rows, stages[0].batch_size, room))
    begin_stage: Any = getattr(head, "stage", None)
    before = 0
    for i, stage in enumerate(stages):
        if len(stages) > 1 and begin_stage is not None:
            begin_stage(i)
        parameters = [p for p in module.parameters() if p.requires_grad]
        optimizer = make_optimizer(
            stage.optimizer,
            parameters,
            learning_rate=stage.learning_rate,
            betas=stage.betas,
            eps=stage.eps,
            weight_decay=stage.weight_decay,
            momentum=stage.momentum,
        )
        first = before
        if stored is not None and stored[1]["epoch"] > before + stage.epochs:
            before += stage.epochs
            continue  # this stage was over
        if stored is not None:
            state = _restore(stored, module, optimizer, rng)
            first, stored = stored[1]["epoch"], None
        else:  # only the last stage's epochs may be kept: those before are another network's
            state.best, state.best_score, state.best_epoch = None, -math.inf, before
        for epoch in range(first + 1, before + stage.epochs + 1):
            if patience is not None and epoch - 1 - state.best_epoch >= patience:
                break  # asked here, and not after an epoch: a restored training may be over
            start = time.perf_counter()
            loss, accuracy = _epoch(
                module, optimizer, clips, rows, objective, stage, epoch - before - 1,
                rng=rng, clip_norm=clip_norm, half=half, augmentation=augmentation, room=room,
            )  # fmt: skip
            _refuse_divergence(module, loss, epoch)
            judged = {} if score is None else score(module)
            value = next(iter(judged.values()), None)
            if value is not None and value > state.best_score:
                state.best_score, state.best_epoch = value, epoch
                state.best = {k: v.clone() for k, v in module.state_dict().items()}
            state.history.append(
                {
                    "epoch": epoch,
                    "train_loss": loss,
                    "train_accuracy": accuracy,
                    **judged,
                    "seconds": time.perf_counter() - start,
                }
            )
            if checkpoint is not None and (epoch % every == 0 or epoch == total):
                _write(checkpoint, identity, epoch, state, module, optimizer, rng)
            report(epoch, total)
        before += stage.epochs
    if state.best is not None:
        module.load_state_dict(state.best)
    else:
        state.best_epoch = total
    return state


def _pooled(
    head: Any, clips: Sequences, rows: Ints, batch_size: int, room: Room
) -> tuple[Tensor, Tensor]:
    """Clips as the one row that the head makes of each, (clips, 1, columns), and the lengths."""
    device = next(head.parameters()).device
    parts: list[Tensor] = []
    for begin in range(0, len(rows), batch_size):
        batch = rows[begin : begin + batch_size]
        parts += room.each(lambda b: head.pooled(*padded(clips, b, device)), batch, clips.lengths)
    x = torch.cat(parts)[:, None]
    return x, torch.ones(len(x), dtype=torch.int64, device=device)


def _epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    clips: Sequences,
    rows: Ints,
    objective: Objective,
    stage: Stage,
    done: int,
    *,
    rng: np.random.Generator,
    clip_norm: float | None,
    half: bool,
    augmentation: Augmentation | None,
    room: Room,
) -> tuple[float, float | None]:
    """One pass over `rows`; return mean loss and accuracy (None without labels)."""
    device = next(module.parameters()).device
    cast = torch.autocast(device.type, torch.bfloat16) if half else nullcontext()
    module.train()
    loss_sum, right = torch.zeros((), device=device), torch.zeros((), device=device)
    cuts = batches(clips.lengths[rows], stage.batch_size, rng)

    def learn(batch: Ints, whole: Ints) -> tuple[Tensor, Tensor]:
        """Add the gradients of a batch, or of a part of one; return its loss and right answers."""
        all_of_it = None if len(batch) == len(whole) else sent(whole, device)
        x, lengths = padded(clips, batch, device)
        positions = sent(batch, device)
        partner, share = None, 1.0
        if augmentation is not None:
            mixed = augmentation(x, lengths, rng)
            x, lengths, partner, share = mixed.x, mixed.lengths, mixed.partner, mixed.share
        with cast:
            outputs = objective.outputs(module, x, lengths)
        loss = objective.loss(outputs, positions, all_of_it)
        if partner is not None:
            other = objective.loss(outputs, positions[partner], all_of_it)
            loss = share * loss + (1 - share) * other
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach() * len(whole), objective.right(outputs, positions)

    for step, batch in enumerate(cuts):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(done + (step + 0.5) / len(cuts))
        optimizer.zero_grad(set_to_none=True)
        for loss, correct in room.each(
            partial(learn, whole=rows[batch]),
            rows[batch],
            clips.lengths,
            again=lambda: optimizer.zero_grad(set_to_none=True),
        ):
            loss_sum, right = loss_sum + loss, right + correct
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
        optimizer.step()
    accuracy = float(right) / len(rows)
    return float(loss_sum) / len(rows), None if math.isnan(accuracy) else accuracy


def _refuse_divergence(module: nn.Module, loss: float, epoch: int) -> None:
    finite = torch.stack([p.detach().isfinite().all() for p in module.parameters()])
    if math.isfinite(loss) and bool(finite.all()):
        return
    raise ModelError(
        f"the training diverged in epoch {epoch} (loss {loss})",
        code="diverged",
        fix="lower learning_rate, set clip_norm, or scale the features",
    )


# ------------------------------------------------------------------------------------ checkpoints
FORMAT = 2  # of a checkpoint; one of another format is as good as none


def before(checkpoint: Path) -> Path:
    """Where the checkpoint before the newest one is kept."""
    return checkpoint.with_name(f"{checkpoint.name}.before")


def _digest(tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    """SHA-256 of a checkpoint's content."""
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write(
    path: Path,
    identity: str,
    epoch: int,
    state: Trained,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> None:
    """Write the whole state of a training into one safetensors file."""
    from safetensors.torch import save_file

    tensors = {f"module.{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in (state.best or {}).items()}
    for i, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{k}": v for k, v in values.items() if v is not None}
    tensors["random.cpu"] = torch.get_rng_state()
    device = next(module.parameters()).device
    if device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    card = {
        "format": FORMAT,
        "identity": identity,
        "epoch": epoch,
        "history": state.history,
        "best_score": state.best_score if state.best is not None else None,
        "best_epoch": state.best_epoch,
        "rng": rng.bit_generator.state,
    }
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    if path.exists():
        path.replace(before(path))
    with committed(path) as temporary:
        metadata = {"card": json.dumps(card), "sha256": _digest(tensors, card)}
        save_file(tensors, temporary, metadata=metadata)


def _read(path: Path | None, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the newest good checkpoint of this very training; None if there is none."""
    if path is None:
        return None
    found = (_read_one(file, identity) for file in (path, before(path)) if file.exists())
    return next((stored for stored in found if stored is not None), None)


def _read_one(path: Path, identity: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint; None if it is damaged, or of another training or format."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            card: dict[str, Any] = json.loads(file.metadata()["card"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            if card["format"] != FORMAT or file.metadata()["sha256"] != _digest(tensors, card):
                return None
    except (SafetensorError, KeyError, ValueError, TypeError, OSError):
        return None  # it costs the epochs since the one before, and no result
    return (tensors, card) if card["identity"] == identity else None


def _restore(
    stored: tuple[Mapping[str, Tensor], Mapping[str, Any]],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> Trained:
    """Put a checkpoint's state into the module, the optimiser and the random generators."""
    tensors, card = stored

    def part(prefix: str) -> dict[str, Tensor]:
        return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

    module.load_state_dict(part("module."))
    values: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimizer.").items():
        number, name = key.split(".", 1)
        values.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": values, "param_groups": groups})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], next(module.parameters()).device)
    rng.bit_generator.state = card["rng"]
    best = part("best.") or None
    score = -math.inf if card["best_score"] is None else card["best_score"]
    return Trained(list(card["history"]), score, card["best_epoch"], best)
