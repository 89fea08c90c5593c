"""Any head of `serfeat.heads` as a scikit-learn classifier.

Conventions
-----------
Strings in, strings out; nothing of a test fold is ever seen. ``selection="last"`` keeps the weights
after the last epoch; ``"validation"`` holds out whole speakers of the training rows and keeps the
epoch with their best unweighted average recall; ``"test_oracle"`` keeps the epoch that is best on
the clips that will be tested, as some papers did: it exists to reproduce their numbers, and marks
whatever is made with it. On one CPU thread the same seed gives the same weights, and the caller's
random state is left alone.

Contents
--------
`TorchClassifier` : the estimator.
`TIMNET_PAPER`    : its settings for the training of the TIM-Net paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import recall_score
from torch import nn

from serfeat.errors import ModelError
from serfeat.models.arguments import (
    Labels,
    as_labels,
    as_proportions,
    class_weights,
)
from serfeat.models.batches import as_clips, logits, outputs
from serfeat.models.objectives import Classification, MultiTask, Objective
from serfeat.models.tasks import MAIN, Task, read_outputs, read_tasks, wanted_tasks
from serfeat.models.torch_estimator import TorchEstimator
from serfeat.sequences import Sequences
from serfeat.types import Bools, Floats, Ints

__all__ = ["TIMNET_PAPER", "TorchClassifier"]

# Ye et al. 2023, as published in the authors' repository: constant rate, no early stopping.
TIMNET_PAPER: dict[str, Any] = {
    "head": "timnet",
    "epochs": 500,
    "batch_size": 64,
    "optimizer": "keras_adam",
    "learning_rate": 1e-3,
    "betas": (0.93, 0.98),
    "eps": 1e-8,
    "weight_decay": 0.0,
    "label_smoothing": 0.1,
    "selection": "last",
}


class TorchClassifier(ClassifierMixin, TorchEstimator):
    """Train a head on functionals (2-D array) or on frames (`Sequences`).

    Parameters
    ----------
    head, head_params : what `serfeat.heads.make_head` takes.
    epochs : passes over the training clips.
    batch_size : clips in a step.
    optimizer : ``"adamw"`` (weight decay apart from the gradient; without it, Adam), ``"adam"``,
        ``"keras_adam"`` (Keras' epsilon) or ``"sgd"``.
    learning_rate, betas, eps, momentum, weight_decay : of the optimiser; momentum is SGD's, and
        eps, in the three Adams, 1e-8 unless given, in Keras' 1e-7.
    schedule : of the learning rate: None, ``"cosine"``, or pairs [epochs, rate].
    warmup : share of the epochs in which the rate rises from 0.
    stages : a mapping for each stage of the training, with those of the settings above that are
        other than the estimator's; the head says what is trained in each.
    label_smoothing : a; targets become ``(1 - a) y + a / n_classes``.
    class_weight : None, ``"balanced"`` (n / (n_classes * n_c)) or a dict label -> weight.
    tasks : what else is learnt from the same clips, name -> ``"ccc"`` or ``"mse"`` (a dimension),
        ``"classes"``, ``"adversarial"`` (classes that the head shall forget), or a mapping with
        `loss` and `weight`. Their targets are given to `fit`.
    learn_task_weights : weigh the tasks by their learnt variances.
    selection : ``"last"``, ``"validation"`` (`fit` needs `groups`) or ``"test_oracle"`` (`fit`
        needs `oracle`).
    patience : stop after that many epochs without improvement of what is selected by.
    validation_fraction : share of the training speakers to hold out, at least one.
    clip_norm : largest norm of the gradient.
    augment : settings of `serfeat.models.augmentation.Augmentation`.
    precision : ``"float32"``, or ``"bfloat16"`` for the products that bear it.
    device : ``"auto"`` takes a GPU if there is one; else a torch device.
    threads : CPU threads while it works; None leaves torch's setting.
    checkpoint : a file in which the training is kept every `every` epochs; a training that finds
        its own file goes on from there, to the same weights.
    verbose : show a progress bar on stderr; or a function, called with (epochs done, of how many).
    seed : of the initial weights, the order of the clips, dropout and the held-out speakers.

    Attributes
    ----------
    classes_ : (n_classes,) sorted labels, the order of the columns of `predict_proba`.
    n_features_in_ : columns.
    module_ : the trained head, in evaluation mode.
    n_parameters_ : parameters of the head.
    history_ : a dict for each epoch: epoch, train_loss, train_accuracy (while training, so with
        dropout), validation_uar and validation_war (None if none is held out), seconds.
    selected_epoch_ : the epoch whose weights were kept, from 1.
    validation_groups_ : the held-out speakers, empty unless ``"validation"``.
    task_cards_ : what turns the further tasks' outputs into predictions.
    """

    def __init__(
        self,
        head: str = "mlp",
        head_params: Mapping[str, Any] | None = None,
        *,
        epochs: int = 50,
        batch_size: int = 32,
        optimizer: str = "adamw",
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        schedule: str | Sequence[Sequence[float]] | None = None,
        warmup: float = 0.0,
        stages: Sequence[Mapping[str, Any]] | None = None,
        label_smoothing: float = 0.0,
        class_weight: str | Mapping[Any, float] | None = None,
        tasks: Mapping[str, Any] | None = None,
        learn_task_weights: bool = False,
        selection: str = "last",
        patience: int | None = None,
        validation_fraction: float = 0.2,
        clip_norm: float | None = None,
        augment: Mapping[str, Any] | None = None,
        precision: str = "float32",
        device: str = "auto",
        threads: int | None = None,
        checkpoint: str | None = None,
        every: int = 10,
        verbose: bool | Callable[[int, int], None] = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            head,
            head_params,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            betas=betas,
            eps=eps,
            momentum=momentum,
            weight_decay=weight_decay,
            schedule=schedule,
            warmup=warmup,
            stages=stages,
            selection=selection,
            patience=patience,
            validation_fraction=validation_fraction,
            clip_norm=clip_norm,
            augment=augment,
            precision=precision,
            device=device,
            threads=threads,
            checkpoint=checkpoint,
            every=every,
            verbose=verbose,
            seed=seed,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.tasks = tasks
        self.learn_task_weights = learn_task_weights

    # ------------------------------------------------------------------ scikit-learn's contract

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        proportions: ArrayLike | None = None,
        tasks: Mapping[str, ArrayLike] | None = None,
        oracle: tuple[Any, ArrayLike] | None = None,
        recorded: int | None = None,
        validation: ArrayLike | None = None,
    ) -> TorchClassifier:
        """Train on all rows of X.

        Parameters
        ----------
        X : (n, k) array, or `Sequences` of n clips; finite.
        y : (n,) labels.
        groups : (n,) speakers; only ``selection="validation"`` reads them.
        proportions : (n, n_classes) shares of the rater votes, columns in the order of the sorted
            labels: the loss takes them in place of y.
        tasks : name -> (n,) targets of the other tasks; NaN (or None) is missing.
        oracle : X and y of the clips by which ``"test_oracle"`` selects.
        recorded : clips from here on are further versions of those before: they teach and never
            judge.
        validation : (n,) the clips by which ``"validation"`` selects; None: of drawn speakers.

        Raises
        ------
        ModelError : NaN in X, a single class, settings that do not fit together, a training that
            diverged (nothing is kept of it).
        """
        self.check()
        clips = as_clips(self, X, training=True)
        labels = as_labels(y, len(clips), estimator=type(self).__name__)
        classes, targets = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ModelError(
                f"y holds {len(classes)} class {classes.tolist()}, a classifier needs 2 or more",
                code="one-class",
            )
        shares = as_proportions(proportions, len(clips), len(classes))
        held_out, judged, speakers = self.apart(
            labels, groups, recorded=recorded, validation=validation
        )
        others = read_tasks(self.tasks, tasks, ~held_out)
        weights = class_weights(self.class_weight, labels[~held_out], classes)
        self._fit_module(
            clips,
            np.flatnonzero(~held_out),
            {MAIN: len(classes), **{t.name: t.size for t in others}},
            lambda device: self._objective(device, targets, shares, weights, others),
            score=self._score(clips, targets, classes, judged, oracle),
            identity=[
                *(targets, judged),
                *self._oracle_identity(oracle),
                *([] if shares is None else [shares]),
                *(t.values for t in others),
            ],
        )
        for epoch in self.history_:
            epoch.setdefault("validation_uar", None)
            epoch.setdefault("validation_war", None)
        self.classes_ = classes
        self.validation_groups_ = speakers
        self.task_cards_ = {task.name: task.card for task in others}
        return self

    def predict_proba(self, X: Any) -> Floats:
        """(n, n_classes) probabilities, columns in the order of `classes_`."""
        scores = self._outputs(as_clips(self, X, training=False))
        return np.asarray(torch.softmax(scores, 1).numpy(), dtype=np.float64)

    def predict(self, X: Any) -> Labels:
        """(n,) the most probable label of each clip."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_tasks(self, X: Any) -> dict[str, NDArray[Any]]:
        """Say of each clip what the further tasks ask.

        Returns
        -------
        Task -> (n,): a dimension as float64 on its own scale, classes as text. Empty without
        `tasks`. An adversarial task's own classifier is among them: at chance, the head forgot.
        """
        clips = as_clips(self, X, training=False)
        if not self.task_cards_:
            return {}
        found = self._applied(outputs, clips)
        return {
            name: read_outputs(card, found[name].numpy()) for name, card in self.task_cards_.items()
        }

    # ------------------------------------------------------------------ storing

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the weights by name, and all else as a JSON-able card; see `from_state`."""
        tensors, card = super().state()
        card["classes"] = self.classes_.tolist()
        card["validation_groups"] = list(self.validation_groups_)
        card["tasks"] = self.task_cards_
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
        model.validation_groups_ = list(card["validation_groups"])
        model.task_cards_ = dict(card.get("tasks", {}))
        model._load(tensors, card)
        return model

    # ------------------------------------------------------------------ what is minimised, and kept

    def _objective(
        self,
        device: torch.device,
        targets: Ints,
        shares: Floats | None,
        weights: Floats | None,
        others: Sequence[Task],
    ) -> Objective:
        """Cross entropy, alone or with the other tasks."""

        def tensor(values: Any) -> Any:
            return None if values is None else torch.from_numpy(values).float().to(device)

        main = Classification(
            torch.from_numpy(targets).to(device),
            tensor(shares),
            tensor(weights),
            self.label_smoothing,
        )
        if not others:
            return main
        return MultiTask(
            {MAIN: (main, 1.0), **{t.name: (t.objective(device), t.weight) for t in others}}
        )

    def check(self) -> None:
        """Refuse settings that no training can follow, those of the tasks too."""
        super().check()
        wanted_tasks(self.tasks)

    def _multi_task(self) -> dict[str, Any]:
        wanted = wanted_tasks(self.tasks)
        return {
            "adversarial": [name for name, (loss, _) in wanted.items() if loss == "adversarial"],
            "learn_weights": self.learn_task_weights,
        }

    def _score(
        self,
        clips: Sequences,
        targets: Ints,
        classes: Labels,
        judging: Bools,
        oracle: tuple[Any, ArrayLike] | None,
    ) -> Any:
        """Return the function that judges an epoch, None for ``"last"``."""
        if self.selection == "last":
            return None
        if self.selection == "validation":
            judged, truth = clips[judging], targets[judging]
        else:
            if oracle is None:
                raise ModelError(
                    "selection 'test_oracle' needs the clips that will be tested",
                    code="no-oracle",
                    fix="pass fit(X, y, oracle=(X_test, y_test)), or use 'last' or 'validation'",
                )
            judged = as_clips(self, oracle[0], training=False)
            # A label that training does not have is -1: no answer to such a clip is right.
            places = {label: i for i, label in enumerate(classes.tolist())}
            truth = np.array([places.get(x, -1) for x in np.asarray(oracle[1]).tolist()])
        return lambda module: _recalls(module, judged, truth, self.batch_size)


def _recalls(
    module: nn.Module, clips: Sequences, targets: Ints, batch_size: int
) -> dict[str, float]:
    """Mean recall over the classes that the clips have, and the share of right answers."""
    predicted = logits(module, clips, batch_size).argmax(1).numpy()
    classes = np.unique(targets)
    return {
        "validation_uar": float(recall_score(targets, predicted, labels=classes, average="macro")),
        "validation_war": float(np.mean(predicted == targets)),
    }
