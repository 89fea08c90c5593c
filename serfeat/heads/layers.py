"""Masked operations that the heads share.

A batch holds clips of different lengths, padded at the end to the longest. Whatever stands in the
padding must change nothing: neither a mean, nor a batch statistic, nor a logit. These few
operations know which positions are valid, so that a head reads like its paper.

Conventions
-----------
Frames come as (batch, frames, channels), "channels last": a 1x1 convolution is then one matrix
product. `mask` is (batch, frames) bool, True where a frame is valid. A layer that works with time
last, (batch, channels, time), says so.

Contents
--------
`length_mask`, `masked_mean`, `masked_std`, `reverse_valid` : functions of frames and lengths.
`MaskedBatchNorm` : batch normalisation whose statistics see valid positions only.
`CausalConv1d`    : dilated convolution that sees no later frame.
`SpatialDropout`  : drops whole channels of a clip.
`glorot_`         : Keras' initialisation of a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "CausalConv1d",
    "MaskedBatchNorm",
    "SpatialDropout",
    "glorot_",
    "length_mask",
    "masked_mean",
    "masked_std",
    "reverse_valid",
]


def length_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """(batch, n_frames) bool: True for the first ``lengths[i]`` frames of clip i."""
    return torch.arange(n_frames, device=lengths.device)[None, :] < lengths[:, None]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid frames.

    Parameters
    ----------
    x : (batch, frames, channels), finite everywhere (zero times infinity is not zero).
    mask : (batch, frames) bool with at least one True in each row.

    Returns
    -------
    (batch, channels)
    """
    weight = mask.to(x.dtype)
    return torch.einsum("btc,bt->bc", x, weight) / weight.sum(1, keepdim=True)


def masked_std(x: Tensor, mask: Tensor, *, eps: float = 1e-8) -> Tensor:
    """Population standard deviation over the valid frames, (batch, channels).

    `eps` is added to the variance: the slope of a square root at 0 is infinite, and a clip of one
    frame has variance 0.
    """
    centred = x - masked_mean(x, mask)[:, None, :]
    return torch.sqrt(masked_mean(centred.square(), mask) + eps)


def reverse_valid(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverse time within each clip; the padding stays at the end.

    Parameters
    ----------
    x : (batch, frames, channels).
    lengths : (batch,) valid frames of each clip.
    """
    t = torch.arange(x.shape[1], device=x.device)[None, :]  # (1, frames)
    last = lengths[:, None] - 1
    source = torch.where(t <= last, last - t, t)  # (batch, frames)
    return x.gather(1, source[:, :, None].expand_as(x))


class MaskedBatchNorm(nn.Module):
    """Batch normalisation over the valid positions of a batch.

    Training: ``y = gamma * (x - mean) / sqrt(var + eps) + beta`` with the population mean and
    variance of the valid positions; evaluation: with the running ones. The defaults are Keras':
    ``eps = 1e-3``, ``running = 0.99 * running + 0.01 * batch`` (`momentum` counts the new part, as
    in torch), and the running variance keeps the biased estimate, where `torch.nn.BatchNorm1d`
    stores the unbiased one.

    Padding is normalised too but never measured: a head that needs zeros there multiplies by its
    mask.

    Parameters
    ----------
    channels : number of channels.
    time_last : x is (batch, channels, time) instead of (batch, frames, channels).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, channels: int, *, eps: float = 1e-3, momentum: float = 0.01, time_last: bool = False
    ) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.sum_over = "bct,bt->c" if time_last else "btc,bt->c"
        self.shape = (1, -1, 1) if time_last else (1, 1, -1)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise x; mask is (batch, time), True where a position counts."""
        if not self.training:
            centred, var = x - self.running_mean.view(self.shape), self.running_var
        else:
            share = mask.to(x.dtype) / mask.sum()  # sums to 1
            mean = torch.einsum(self.sum_over, x, share)
            # Two passes: E[x^2] - E[x]^2 loses the variance of a channel that is far from zero.
            centred = x - mean.view(self.shape)
            var = torch.einsum(self.sum_over, centred * centred, share)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        gain = self.weight * torch.rsqrt(var + self.eps)
        return torch.addcmul(self.bias.view(self.shape), centred, gain.view(self.shape))


class CausalConv1d(nn.Module):
    """Dilated convolution over (batch, frames, channels) that sees no later frame.

    ``y[t] = b + sum_i W[:, :, i] x[t - (kernel - 1 - i) * dilation]``, frames before the clip are
    zero: the left padding of Keras' ``padding="causal"``. Tap 0 is the oldest frame, as in torch
    and Keras. One matrix product for each tap and a shift: for the 39 channels and two taps of
    TIM-Net that is as quick on a CPU as `torch.nn.Conv1d` or quicker, and needs no transposition.
    """

    def __init__(self, n_in: int, n_out: int, *, kernel: int = 2, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(n_out, n_in, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out))
        glorot_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (batch, frames, n_in) -> (batch, frames, n_out)."""
        n_frames, kernel = x.shape[1], self.weight.shape[2]
        y = F.linear(x, self.weight[:, :, -1], self.bias)
        for tap in range(kernel - 1):
            shift = (kernel - 1 - tap) * self.dilation
            if shift < n_frames:
                past = F.linear(x[:, : n_frames - shift], self.weight[:, :, tap])
                y = y + F.pad(past, (0, 0, shift, 0))
        return y


class SpatialDropout(nn.Module):
    """Drop whole channels of a clip, over all its frames: (batch, frames, channels).

    Keras' SpatialDropout1D: neighbouring frames carry the same information, so dropping single
    values would drop nothing.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by 0 with probability p, else by 1 / (1 - p); the identity in evaluation."""
        if not self.training or self.p == 0:
            return x
        return x * F.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.p)


def glorot_(layer: nn.Module) -> None:
    """Initialise as Keras does: U(-a, a), a = sqrt(6 / (k*in + k*out)), and the bias 0."""
    for name, parameter in layer.named_parameters(recurse=False):
        if name == "weight":
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
