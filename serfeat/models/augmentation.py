"""Changing the training batches a little in every epoch, so that no clip is learnt by heart.

These act on frames that are prepared already (z-scored, so that 0 is the mean), inside `fit` alone:
no validation or test clip is ever changed. Noise, speed and pitch of the sound itself are changed
before the features are made (`serfeat.augment`).

Sources: D. S. Park et al., "SpecAugment", Interspeech 2019 (masks over time and over features);
H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from serfeat.errors import ModelError, did_you_mean
from serfeat.heads.layers import length_mask
from serfeat.models.batches import sent
from serfeat.types import Bools

__all__ = ["Augmentation", "Mixed"]


@dataclass(frozen=True)
class Mixed:
    """A batch of mixtures: clip i is ``share`` of itself and the rest of clip ``partner[i]``."""

    x: Tensor
    lengths: Tensor
    partner: Tensor | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Augmentation:
    """How the batches are changed; with the defaults they are not.

    Parameters
    ----------
    time_masks, time_width : stretches of each clip that are set to 0, and their greatest length in
        frames; never more than a fifth of the clip each.
    feature_masks, feature_width : the same for neighbouring columns.
    noise : standard deviation of Gaussian noise added to every value.
    mixup : alpha of Beta(alpha, alpha), from which the share of each batch is drawn; 0 is none.
    """

    time_masks: int = 0
    time_width: int = 20
    feature_masks: int = 0
    feature_width: int = 5
    noise: float = 0.0
    mixup: float = 0.0

    @classmethod
    def of(cls, settings: Any) -> Augmentation:
        """Make one from a recipe's table (None is none).

        Raises
        ------
        ModelError, UnknownNameError : unknown words, negative numbers.
        """
        words = dict(settings or {})
        known = [f.name for f in fields(cls)]
        for word, value in words.items():
            if word not in known:
                raise did_you_mean("augmentation", word, known)
            whole = isinstance(getattr(cls, word), int)  # the default says which are counts
            bad = isinstance(value, bool) or not isinstance(value, int if whole else int | float)
            if bad or not value >= 0:
                raise ModelError(
                    f"augment: {word} is {value!r}, expected a {'whole ' * whole}number that is "
                    "not negative",
                    code="bad-parameter",
                )
        return cls(**words)

    def __call__(self, x: Tensor, lengths: Tensor, rng: np.random.Generator) -> Mixed:
        """Change a batch.

        Parameters
        ----------
        x : (batch, frames, columns) with zeros as padding; is changed in place.
        lengths : (batch,) frames.
        """
        if self.noise > 0:
            inside = length_mask(lengths, x.shape[1])
            x += self.noise * torch.randn_like(x) * inside[:, :, None]
        if self.time_masks or self.feature_masks:
            masks = self._masks(lengths.tolist(), x.shape[1], x.shape[2], rng)
            x.masked_fill_(sent(masks, x.device), 0)
        if self.mixup <= 0 or len(x) < 2:
            return Mixed(x, lengths)
        share = float(rng.beta(self.mixup, self.mixup))
        partner = sent(rng.permutation(len(x)), x.device)
        mixed = share * x + (1 - share) * x[partner]
        return Mixed(mixed, torch.maximum(lengths, lengths[partner]), partner, share)

    def _masks(
        self, lengths: list[int], frames: int, columns: int, rng: np.random.Generator
    ) -> Bools:
        """What is set to 0, (batch, frames, columns): one array, not a write for each stretch."""
        masks = np.zeros((len(lengths), frames, columns), dtype=bool)
        for mask, n in zip(masks, lengths, strict=True):
            for _ in range(self.time_masks):
                width = int(rng.integers(0, min(self.time_width, n // 5) + 1))
                begin = int(rng.integers(0, n - width + 1))
                mask[begin : begin + width] = True
            for _ in range(self.feature_masks):
                width = int(rng.integers(0, min(self.feature_width, columns // 5) + 1))
                begin = int(rng.integers(0, columns - width + 1))
                mask[:, begin : begin + width] = True
        return masks
