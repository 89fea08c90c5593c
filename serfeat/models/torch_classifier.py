"""The one training loop: any head of `serfeat.heads` as a scikit-learn classifier.

Conventions
-----------
Strings in, strings out; nothing of a test fold is ever seen. ``selection="last"`` keeps the weights
after the last epoch; ``"validation"`` holds out whole speakers of the training rows and keeps the
epoch with their best unweighted average recall. On one CPU thread the same seed gives the same
weights, and the caller's random state is left alone.

Contents
--------
`TorchClassifier` : the estimator.
`TIMNET_PAPER`    : its settings for the training of the TIM-Net paper.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import recall_score
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads import make_head
from serfeat.models.arguments import (
    Labels,
    as_labels,
    check_settings,
    class_weights,
    held_out_speakers,
)
from serfeat.models.batches import as_clips, batches, logits, padded
from serfeat.models.surroundings import own_random_state, resolve_device, threads
from serfeat.sequences import Sequences
from serfeat.types import Bools, Floats, Ints

__all__ = ["TIMNET_PAPER", "TorchClassifier"]

# Ye et al. 2023, as published in the authors' repository: constant rate, no early stopping.
TIMNET_PAPER: dict[str, Any] = {
    "head": "timnet",
    "epochs": 500,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "betas": (0.93, 0.98),
    "weight_decay": 0.0,
    "label_smoothing": 0.1,
    "selection": "last",
}


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """Train a head on functionals (2-D array) or on frames (`Sequences`).

    Parameters
    ----------
    head, head_params : what `serfeat.heads.make_head` takes.
    epochs : passes over the training clips.
    batch_size : clips in a step.
    learning_rate, betas, weight_decay : of Adam with decoupled weight decay (AdamW; with 0 it is
        Adam).
    label_smoothing : a; targets become ``(1 - a) y + a / n_classes``.
    class_weight : None, ``"balanced"`` (n / (n_classes * n_c)) or a dict label -> weight.
    selection : ``"last"`` or ``"validation"``; `fit` needs `groups` for the second.
    patience : with ``"validation"``, stop after that many epochs without improvement.
    validation_fraction : share of the training speakers to hold out, at least one.
    clip_norm : largest norm of the gradient.
    device : ``"auto"`` takes a GPU if there is one; else a torch device.
    threads : CPU threads while it works; None leaves torch's setting.
    seed : of the initial weights, the order of the clips, dropout and the held-out speakers.

    Attributes
    ----------
    classes_ : (n_classes,) sorted labels, the order of the columns of `predict_proba`.
    n_features_in_ : columns.
    module_ : the trained head, in evaluation mode.
    n_parameters_ : trainable parameters.
    history_ : a dict for each epoch: epoch, train_loss, train_accuracy (while training, so with
        dropout), validation_uar (None without held-out speakers), seconds.
    selected_epoch_ : the epoch whose weights were kept, from 1.
    validation_groups_ : the held-out speakers, empty with ``"last"``.
    """

    def __init__(
        self,
        head: str = "mlp",
        head_params: Mapping[str, Any] | None = None,
        *,
        epochs: int = 50,
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: str | Mapping[Any, float] | None = None,
        selection: str = "last",
        patience: int | None = None,
        validation_fraction: float = 0.2,
        clip_norm: float | None = None,
        device: str = "auto",
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        self.head = head
        self.head_params = head_params
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.betas = betas
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.selection = selection
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.clip_norm = clip_norm
        self.device = device
        self.threads = threads
        self.seed = seed

    # ------------------------------------------------------------------ scikit-learn's contract

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> TorchClassifier:
        """Train on all rows of X.

        Parameters
        ----------
        X : (n, k) array, or `Sequences` of n clips; finite.
        y : (n,) labels.
        groups : (n,) speakers; only ``selection="validation"`` reads them.

        Raises
        ------
        ModelError : NaN in X, a single class, settings that do not fit together, a training that
            diverged (nothing is kept of it).
        """
        check_settings(self.get_params(deep=False))
        clips = as_clips(self, X, training=True)
        labels = as_labels(y, len(clips), estimator=type(self).__name__)
        classes, targets = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ModelError(
                f"y holds {len(classes)} class {classes.tolist()}, a classifier needs 2 or more",
                code="one-class",
            )
        held_out: Bools = np.zeros(len(targets), dtype=bool)
        speakers: list[Any] = []
        if self.selection == "validation":
            held_out, speakers = held_out_speakers(
                targets, groups, fraction=self.validation_fraction, seed=self.seed
            )
        self.__dict__.pop("module_", None)  # of an earlier fit; a failed one must not look fitted
        device = resolve_device(self.device)
        with threads(self.threads), own_random_state(device, self.seed):
            module = self._new_module(len(classes)).to(device)
            weights = class_weights(self.class_weight, labels[~held_out], classes)
            trained = self._train(module, clips, targets, held_out, weights)
        self.history_, self.selected_epoch_ = trained
        self.classes_ = classes
        self.validation_groups_ = speakers
        self.module_ = module.eval().cpu()
        self.n_parameters_ = _count(module)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """(n, n_classes) probabilities, columns in the order of `classes_`."""
        check_is_fitted(self, "module_")
        clips = as_clips(self, X, training=False)
        device = resolve_device(self.device)
        with threads(self.threads):
            scores = logits(self.module_.to(device), clips, self.batch_size)
            self.module_.cpu()
        return np.asarray(torch.softmax(scores, 1).numpy(), dtype=np.float64)

    def predict(self, X: Any) -> Labels:
        """(n,) the most probable label of each clip."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    # ------------------------------------------------------------------ storing

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the weights by name, and all else as a JSON-able card; see `from_state`."""
        check_is_fitted(self, "module_")
        tensors = {k: v.numpy().copy() for k, v in self.module_.state_dict().items()}
        params = self.get_params(deep=False)
        params["betas"] = list(self.betas)
        params["head_params"] = None if self.head_params is None else dict(self.head_params)
        if isinstance(self.class_weight, Mapping):
            params["class_weight"] = dict(self.class_weight)
        card = {
            "params": params,
            "classes": self.classes_.tolist(),
            "n_features": int(self.n_features_in_),
            "history": self.history_,
            "selected_epoch": self.selected_epoch_,
            "validation_groups": list(self.validation_groups_),
        }
        return tensors, card

    @classmethod
    def from_state(
        cls, tensors: Mapping[str, NDArray[Any]], card: Mapping[str, Any]
    ) -> TorchClassifier:
        """Rebuild a fitted classifier; it predicts what the stored one did.

        Raises
        ------
        ModelError : the weights are not those of the card's head.
        """
        params = dict(card["params"])
        params["betas"] = tuple(params["betas"])
        model = cls(**params)
        model.classes_ = np.array(card["classes"])
        model.n_features_in_ = int(card["n_features"])
        model.history_ = list(card["history"])
        model.selected_epoch_ = int(card["selected_epoch"])
        model.validation_groups_ = list(card["validation_groups"])
        with own_random_state(torch.device("cpu"), 0):
            module = model._new_module(len(model.classes_))
        try:
            module.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()})
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"the stored weights do not fit: {reason}",
                where=f"head {model.head}",
                code="wrong-weights",
                fix="store the model again with this version",
            ) from None
        model.module_ = module.eval()
        model.n_parameters_ = _count(module)
        return model

    def _new_module(self, n_classes: int) -> nn.Module:
        return make_head(self.head, self.n_features_in_, n_classes, **(self.head_params or {}))

    # ------------------------------------------------------------------ the loop

    def _train(
        self,
        module: nn.Module,
        clips: Sequences,
        targets: Ints,
        held_out: Bools,
        weights: Floats | None,
    ) -> tuple[list[dict[str, Any]], int]:
        """Train `module` in place; return the history and the epoch whose weights it has."""
        rng = np.random.default_rng(self.seed)
        optimizer = torch.optim.AdamW(
            module.parameters(),
            lr=self.learning_rate,
            betas=(self.betas[0], self.betas[1]),
            weight_decay=self.weight_decay,
        )
        training = np.flatnonzero(~held_out)
        validation = clips[held_out]
        history: list[dict[str, Any]] = []
        best_uar, best_epoch, best_state = -1.0, self.epochs, None
        for epoch in range(1, self.epochs + 1):
            start = time.perf_counter()
            loss, accuracy = self._epoch(module, optimizer, clips, targets, training, weights, rng)
            if not np.isfinite(loss) or not all(p.isfinite().all() for p in module.parameters()):
                raise ModelError(
                    f"the training diverged in epoch {epoch} (loss {loss})",
                    where=f"head {self.head}",
                    code="diverged",
                    fix="lower learning_rate, set clip_norm, or scale the features",
                )
            uar = None
            if len(validation):
                uar = _uar(module, validation, targets[held_out], self.batch_size)
                if uar > best_uar:
                    best_uar, best_epoch = uar, epoch
                    best_state = {k: v.clone() for k, v in module.state_dict().items()}
            history.append(
                {
                    "epoch": epoch,
                    "train_loss": loss,
                    "train_accuracy": accuracy,
                    "validation_uar": uar,
                    "seconds": time.perf_counter() - start,
                }
            )
            if self.patience is not None and epoch - best_epoch >= self.patience:
                break
        if best_state is not None:
            module.load_state_dict(best_state)
        return history, best_epoch

    def _epoch(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        clips: Sequences,
        targets: Ints,
        rows: Ints,
        weights: Floats | None,
        rng: np.random.Generator,
    ) -> tuple[float, float]:
        """One pass over `rows`; return mean loss and accuracy of the training mode."""
        device = next(module.parameters()).device
        weight = None
        if weights is not None:
            weight = torch.tensor(weights, dtype=torch.float32, device=device)
        module.train()
        loss_sum = torch.zeros((), device=device)
        correct = torch.zeros((), device=device)
        for batch in batches(clips.lengths[rows], self.batch_size, rng):
            x, lengths = padded(clips, rows[batch], device)
            target = torch.from_numpy(targets[rows[batch]]).to(device)
            scores = module(x, lengths)
            loss = F.cross_entropy(
                scores, target, weight=weight, label_smoothing=self.label_smoothing
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), self.clip_norm)
            optimizer.step()
            loss_sum += loss.detach() * len(batch)
            correct += (scores.detach().argmax(1) == target).sum()
        return float(loss_sum) / len(rows), float(correct) / len(rows)


def _uar(module: nn.Module, clips: Sequences, targets: Ints, batch_size: int) -> float:
    """Mean recall over the classes that the held-out speakers have."""
    predicted = logits(module, clips, batch_size).argmax(1).numpy()
    return float(recall_score(targets, predicted, labels=np.unique(targets), average="macro"))


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
