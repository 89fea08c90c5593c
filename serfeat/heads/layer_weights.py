"""Learnt weights of an encoder's layers: the plainest network on a pretrained encoder.

Each state of an encoder knows something else of speech: the middle ones more of how, the last ones
more of what is said. Instead of choosing a layer on some clips, the network learns how much of each
to take, and does nothing beyond that but project and average.

Source: the emotion task of SUPERB (Yang et al., "SUPERB: Speech processing universal performance
benchmark", Interspeech 2021; its code in s3prl, downstream/emotion): softmax-weighted sum of all
states, linear to 256, mean over time, linear to the classes. Vesper is fine-tuned in the same way
(Chen et al., arXiv 2307.10757).

The network
-----------
states       (layers, width) of each position, from the ``@all`` columns of an encoder
weights      softmax(w), w = 0 at first: the mean of the layers
projection   linear to `hidden`
clip         mean over its positions, linear to the logits

What the source leaves open (ours)
----------------------------------
* `activation`: ``"relu"`` after the projection; the source has none, so that the network is linear
  but for the weights.
* `normalise`: each state to zero mean and unit variance over its width before the weights, an
  option of s3prl, off there and here: where the states of later layers are larger, the softmax has
  more than their use to make up for.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.layers import length_mask, masked_mean

__all__ = ["LayerWeights"]


class LayerWeights(nn.Module):
    """A weighted sum of layers, projected and averaged.

    Parameters
    ----------
    n_features, n_classes : columns of a position; logits.
    n_layers : layers that lie side by side in the columns, the lowest first.
    hidden : units of the projection.
    activation : ``"none"`` or ``"relu"``, after the projection.
    dropout : probability before the logits.
    normalise : bring every state to zero mean and unit variance first.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        n_layers: int = 1,
        hidden: int = 256,
        activation: Literal["none", "relu"] = "none",
        dropout: float = 0.0,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        if n_layers < 1 or n_features % n_layers:
            raise ModelError(
                f"{n_features} columns are no {n_layers} layers of one width",
                where="head layer_weights",
                code="bad-parameter",
                fix="n_layers is the encoder's layers and one more; its columns end in @all",
            )
        if activation not in ("none", "relu"):
            raise ModelError(
                f"activation {activation!r}, expected 'none' or 'relu'",
                where="head layer_weights",
                code="bad-parameter",
            )
        self.width = n_features // n_layers
        self.activation = activation
        self.normalise = normalise
        self.scores = nn.Parameter(torch.zeros(n_layers)) if n_layers > 1 else None
        self.project = nn.Linear(self.width, hidden)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, n_classes)

    @property
    def weights(self) -> Tensor:
        """(n_layers,) how much is taken of each layer; they sum to 1."""
        if self.scores is None:
            return self.project.weight.new_ones(1)
        return torch.softmax(self.scores, 0)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, positions, n_features) with `lengths` (batch,) -> logits."""
        mask = length_mask(lengths, x.shape[1])  # (batch, positions)
        x = x.masked_fill(~mask[:, :, None], 0)
        states = x.reshape(*x.shape[:2], -1, self.width)  # (batch, positions, n_layers, width)
        if self.normalise:
            states = F.layer_norm(states, (self.width,))
        mixed = torch.einsum("bplw,l->bpw", states, self.weights)  # (batch, positions, width)
        hidden = self.project(mixed)  # (batch, positions, hidden)
        hidden = torch.relu(hidden) if self.activation == "relu" else hidden
        pooled = masked_mean(hidden, mask)  # (batch, hidden)
        logits: Tensor = self.classifier(self.drop(pooled))
        return logits
