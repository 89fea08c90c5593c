"""A multilayer perceptron on the statistics of a clip.

The plainest neural baseline: it sees no order of frames. Fed with functionals (one row for a clip)
it is the neural counterpart of the SVM; fed with frames it pools them first.

Source: the architecture is ours (two hidden layers, ReLU, dropout), after the practice of the
field's feature-vector systems.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from serfeat.errors import ModelError
from serfeat.heads.layers import length_mask, masked_mean, masked_std

__all__ = ["MLP"]


class MLP(nn.Module):
    """Pooling over the frames, then [Linear, (BatchNorm), ReLU, Dropout] for each hidden layer.

    Parameters
    ----------
    n_features, n_classes : columns of a frame; logits.
    hidden : units of the hidden layers.
    dropout : probability after each hidden layer.
    batch_norm : normalise before each ReLU (`torch.nn.BatchNorm1d`).
    pooling : ``"mean"`` of the frames, which leaves a single row of functionals as it is, or
        ``"mean_std"``, mean and standard deviation, the better choice for frames.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.3,
        batch_norm: bool = False,
        pooling: Literal["mean", "mean_std"] = "mean",
    ) -> None:
        super().__init__()
        if pooling not in ("mean", "mean_std"):
            raise ModelError(
                f"pooling {pooling!r}, expected 'mean' or 'mean_std'",
                where="head mlp",
                code="bad-parameter",
            )
        self.pooling = pooling
        widths = [n_features * (2 if pooling == "mean_std" else 1), *hidden]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers.append(nn.Linear(n_in, n_out))
            if batch_norm:
                layers.append(nn.BatchNorm1d(n_out))
            layers += [nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        mask = length_mask(lengths, x.shape[1])  # (batch, frames)
        x = x.masked_fill(~mask[:, :, None], 0)
        pooled = masked_mean(x, mask)  # (batch, n_features)
        if self.pooling == "mean_std":
            pooled = torch.cat([pooled, masked_std(x, mask)], 1)  # (batch, 2 * n_features)
        logits: Tensor = self.layers(pooled)
        return logits
