"""Any head of `serfeat.heads` as a regressor of dimensions: valence, arousal, dominance.

What is said of `serfeat.models.torch_classifier` holds here too; ``"validation"`` and
``"test_oracle"`` keep the epoch with the best concordance correlation, the mean over the targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from torch import nn

from serfeat.errors import ModelError, did_you_mean
from serfeat.models.arguments import (
    as_targets,
    target_scale,
)
from serfeat.models.batches import as_clips, logits
from serfeat.models.losses import ccc_loss
from serfeat.models.objectives import Regression
from serfeat.models.tasks import MEASURES
from serfeat.models.torch_estimator import TorchEstimator
from serfeat.sequences import Sequences
from serfeat.types import Floats, Ints

__all__ = ["TorchRegressor"]


class TorchRegressor(RegressorMixin, TorchEstimator):
    """Train a head on functionals (2-D array) or on frames (`Sequences`), one output per target.

    Targets are z-scored by those of the training clips inside, and given back on their own scale;
    with ``activation = "tanh"`` of a head they are taken as they are, within -1 and 1.

    Parameters
    ----------
    loss : ``"ccc"`` (1 - concordance) or ``"mse"``.
    All others : see `serfeat.models.torch_classifier.TorchClassifier`.

    Attributes
    ----------
    mean_, scale_ : (k,) of the training targets.
    history_ : as the classifier's; its ``validation_ccc`` stands where the UAR does there.
    All others : as the classifier's.
    """

    def __init__(
        self,
        head: str = "mlp",
        head_params: Mapping[str, Any] | None = None,
        *,
        loss: str = "ccc",
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
        self.loss = loss

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        oracle: tuple[Any, ArrayLike] | None = None,
        recorded: int | None = None,
        validation: ArrayLike | None = None,
    ) -> TorchRegressor:
        """Train on all rows of X.

        Parameters
        ----------
        X : (n, k) array, or `Sequences` of n clips; finite.
        y : (n,) or (n, targets); NaN is a missing target.
        groups : (n,) speakers; only ``selection="validation"`` reads them.
        oracle : X and y of the clips by which ``"test_oracle"`` selects.
        recorded, validation : see `TorchClassifier.fit`.

        Raises
        ------
        ModelError : NaN in X, no target, settings that do not fit together, divergence.
        """
        self.check()
        clips = as_clips(self, X, training=True)
        targets = self._targets(y, len(clips))
        held_out, judged, speakers = self.apart(
            targets, groups, recorded=recorded, validation=validation
        )
        if self.selection == "validation":
            self.validation_groups_ = speakers
        self.mean_, self.scale_ = self._target_scale(np.where(held_out[:, None], np.nan, targets))
        scaled = torch.from_numpy(((targets - self.mean_) / self.scale_).astype(np.float32))
        score = None
        if self.selection == "validation":
            score = self._score(clips[judged], scaled[torch.from_numpy(judged)])
        elif self.selection == "test_oracle":
            if oracle is None:
                raise ModelError(
                    "selection 'test_oracle' needs the clips that will be tested", code="no-oracle"
                )
            truth = (self._targets(oracle[1], len(oracle[0])) - self.mean_) / self.scale_
            score = self._score(
                as_clips(self, oracle[0], training=False), torch.from_numpy(truth).float()
            )
        self._fit_module(
            clips,
            np.flatnonzero(~held_out),
            {"targets": targets.shape[1]},
            lambda device: Regression(scaled.to(device), MEASURES[self.loss]),
            score=score,
            identity=[scaled.numpy(), judged, *self._oracle_identity(oracle)],
        )
        for epoch in self.history_:
            epoch.setdefault("validation_ccc", None)
        return self

    def check(self) -> None:
        """Refuse settings that no training can follow, another loss too."""
        super().check()
        if self.loss not in MEASURES:
            raise did_you_mean("loss", str(self.loss), MEASURES, where=f"head {self.head}")

    def _codes(self, y: Any) -> Ints:
        return np.zeros(len(y), dtype=np.int64)  # one class, so to say: any speaker can be spared

    def __sklearn_tags__(self) -> Any:
        """Say that y may have several columns."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any) -> Floats:
        """(n,) or (n, targets), on the scale of the training targets."""
        scaled = self._outputs(as_clips(self, X, training=False)).numpy().astype(np.float64)
        values: Floats = scaled * self.scale_ + self.mean_
        return values[:, 0] if self._flat else values

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return the weights by name, and all else as a JSON-able card; see `from_state`."""
        tensors, card = super().state()
        card |= {"mean": self.mean_.tolist(), "scale": self.scale_.tolist(), "flat": self._flat}
        return tensors, card

    @classmethod
    def from_state(
        cls, tensors: Mapping[str, NDArray[Any]], card: Mapping[str, Any]
    ) -> TorchRegressor:
        """Rebuild a fitted regressor; it predicts what the stored one did."""
        params = dict(card["params"])
        params["betas"] = tuple(params["betas"])
        model = cls(**params)
        model.mean_, model.scale_ = np.array(card["mean"]), np.array(card["scale"])
        model._flat = bool(card["flat"])
        model._load(tensors, card)
        return model

    def _targets(self, y: Any, n: int) -> Floats:
        """Return y as (n, targets)."""
        values = as_targets(y, n, estimator=type(self).__name__)
        self._flat = np.asarray(y).ndim == 1
        return values

    def _target_scale(self, targets: Floats) -> tuple[Floats, Floats]:
        """Means and deviations; a head that ends in a tanh has the scale of its targets itself."""
        mean, scale = target_scale(targets)
        if (self.head_params or {}).get("activation") != "tanh":
            return mean, scale
        largest = float(np.nanmax(np.abs(targets)))
        if largest > 1:
            raise ModelError(
                f"targets up to {largest:g} in magnitude, and a tanh gives -1 to 1",
                where=f"head {self.head}",
                code="bad-targets",
                fix="leave activation at 'none', or scale the targets",
            )
        return np.zeros_like(mean), np.ones_like(scale)

    def _score(self, clips: Sequences, truth: torch.Tensor) -> Any:
        """Return the function that judges an epoch: the mean concordance."""

        def concordance(module: nn.Module) -> dict[str, float]:
            off = float(ccc_loss(logits(module, clips, self.batch_size), truth))
            return {"validation_ccc": 1 - off}

        return concordance
