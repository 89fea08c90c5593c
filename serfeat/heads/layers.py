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
`adaptive_mean`   : frames averaged down to a given number of positions, clip by clip.
`normalise`, `MaskedBatchNorm` : batch normalisation whose statistics see valid positions only.
`causal_convolution`, `CausalConv1d` : dilated convolution that sees no later frame.
`AttentionPooling` : mean of the frames with learnt weights.
`SpatialDropout`  : drops whole channels of a clip.
`glorot_`         : Keras' initialisation of a layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "AttentionPooling",
    "CausalConv1d",
    "MaskedBatchNorm",
    "SpatialDropout",
    "adaptive_mean",
    "causal_convolution",
    "glorot_",
    "length_mask",
    "masked_mean",
    "masked_std",
    "normalise",
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
    mask : (batch, frames) bool; without a True in its row a mean is 0.

    Returns
    -------
    (batch, channels)
    """
    weight = mask.to(x.dtype) / mask.sum(1, keepdim=True).clamp(min=1)  # 0 of a clip of no frame
    # In this order the gradient comes out channels last, like x; else all that follows is slow.
    return torch.bmm(weight[:, None, :], x)[:, 0]


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


def adaptive_mean(x: Tensor, lengths: Tensor, counts: Tensor, n_out: int) -> Tensor:
    """Average the frames of each clip down to a number of positions of its own.

    Position p of a clip with n frames and c positions is the mean of the frames from
    ``floor(p n / c)`` to before ``ceil((p + 1) n / c)``: `torch.nn.functional.adaptive_avg_pool1d`
    on every clip alone, without its padding.

    Parameters
    ----------
    x : (batch, frames, channels), finite everywhere (zero times infinity is not zero).
    lengths : (batch,) frames of each clip, at least 1; those that x does not have are zeros.
    counts : (batch,) positions of each clip, from 1 to n_out.
    n_out : positions of the longest.

    Returns
    -------
    (batch, n_out, channels), 0 after the last position of a clip.
    """
    n, c = lengths[:, None], counts[:, None]  # (batch, 1)
    p = torch.arange(n_out, device=x.device)[None, :]  # (1, n_out)
    first, end = p * n // c, -(-(p + 1) * n // c)  # (batch, n_out)
    size = torch.where(p < c, end - first, 0)
    t = torch.arange(x.shape[1], device=x.device) - first[:, :, None]  # (batch, n_out, frames)
    inside = (t >= 0) & (t < size[:, :, None])
    return torch.bmm(inside.to(x.dtype) / size.clamp(min=1)[:, :, None], x)


class _Normalise(torch.autograd.Function):
    """``gamma * (x - mean) / sqrt(var + eps) + beta`` with weighted batch statistics.

    The plain expression gives the same numbers and gradients (the tests compare them); written out,
    an epoch of TIM-Net takes about a fifth less time, as fewer arrays of the size of x are made.
    """

    generate_vmap_rule = True  # so that several networks can be trained as one (torch.func.vmap)

    @staticmethod
    def forward(
        x: Tensor, share: Tensor, gamma: Tensor, beta: Tensor, eps: float, dim: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return y, the statistics, and what the gradient needs.

        x has its channels in `dim`; share (batch, time) sums to 1.
        """
        shape = [-1 if d == dim else 1 for d in range(3)]
        equation = "btc,bt->c" if dim == 2 else "bct,bt->c"
        mean = torch.einsum(equation, x, share)
        # Two passes: E[x^2] - E[x]^2 loses the variance of a channel that is far from zero.
        z = x - mean.view(shape)
        var = torch.einsum(equation, z * z, share)
        scale = torch.rsqrt(var + eps)
        z = z.mul_(scale.view(shape))
        y = torch.addcmul(beta.view(shape), z, gamma.view(shape))
        return y, mean, var, z, gamma * scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what `backward` needs."""
        _, mean, var, z, gain = output
        ctx.save_for_backward(z, inputs[1], gain)
        ctx.dim = inputs[5]
        ctx.mark_non_differentiable(mean, var, z, gain)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of x: gamma / sqrt(var + eps) * (g - share * (sum g + z * sum g z))."""
        z, share, gain = ctx.saved_tensors
        g = grads[0]
        shape = [-1 if d == ctx.dim else 1 for d in range(3)]
        dims = [d for d in range(3) if d != ctx.dim]
        d_beta = g.sum(dims)
        d_gamma = (g * z).sum(dims)
        common = torch.addcmul(d_beta.view(shape), z, d_gamma.view(shape))
        common *= share.unsqueeze(ctx.dim)
        dx = common.neg_().add_(g).mul_(gain.view(shape))  # in place: arrays as large as x
        return dx, None, d_gamma, d_beta, None, None


def normalise(
    x: Tensor,
    share: Tensor,
    gamma: Tensor,
    beta: Tensor,
    eps: float,
    dim: int = 2,
    *,
    by_hand: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``gamma * (x - mean) / sqrt(var + eps) + beta``, mean and var (channels).

    Parameters
    ----------
    x : channels in `dim`, 1 or 2.
    share : (batch, time), the weights of the positions in the statistics; they sum to 1.
    by_hand : the gradient is written out; else it is the one that torch derives.
    """
    if not by_hand:
        shape = [-1 if d == dim else 1 for d in range(3)]
        equation = "btc,bt->c" if dim == 2 else "bct,bt->c"
        mean = torch.einsum(equation, x, share)
        centred = x - mean.view(shape)
        var = torch.einsum(equation, centred * centred, share)
        gain = gamma * torch.rsqrt(var + eps)
        return torch.addcmul(beta.view(shape), centred, gain.view(shape)), mean, var
    y, mean, var, _, _ = _Normalise.apply(  # type: ignore[no-untyped-call]
        x, share, gamma, beta, eps, dim
    )
    return y, mean, var


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

    Attributes
    ----------
    by_hand : the gradient is written out, which is quicker on a CPU. Who stacks networks by
        `torch.func.vmap` turns it off: there a function with a gradient of its own takes longer to
        call than the whole layer.
    """

    by_hand = True
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, channels: int, *, eps: float = 1e-3, momentum: float = 0.01, time_last: bool = False
    ) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.dim = 1 if time_last else 2
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise x; mask is (batch, time), True where a position counts."""
        if not self.training:
            shape = [-1 if d == self.dim else 1 for d in range(3)]
            gain = self.weight * torch.rsqrt(self.running_var + self.eps)
            centred = x - self.running_mean.view(shape)
            return torch.addcmul(self.bias.view(shape), centred, gain.view(shape))
        # Half precision has three digits: statistics of thousands of frames need more.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            share = mask.to(x.dtype) / mask.sum()
            y, mean, var = normalise(
                x, share, self.weight, self.bias, self.eps, self.dim, by_hand=self.by_hand
            )
        self.remember(mean, var)
        return y

    @torch.no_grad()
    def remember(self, mean: Tensor, var: Tensor) -> None:
        """Let the running statistics follow those of a batch."""
        # Not lerp_, which torch.func.vmap does one network after the other.
        self.running_mean.mul_(1 - self.momentum).add_(mean, alpha=self.momentum)
        self.running_var.mul_(1 - self.momentum).add_(var, alpha=self.momentum)


def causal_convolution(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """Return ``y[t] = b + sum_i W[:, :, i] x[t - (kernel - 1 - i) * dilation]``.

    Frames before the clip are zero: the left padding of Keras' ``padding="causal"``. Tap 0 is the
    oldest frame, as in torch and Keras. One matrix product for each tap and a shift: for the 39
    channels and two taps of TIM-Net that is as quick on a CPU as `torch.nn.Conv1d` or quicker, and
    needs no transposition.

    Parameters
    ----------
    x : (batch, frames, n_in).
    weight, bias : (n_out, n_in, kernel), (n_out,).

    Returns
    -------
    (batch, frames, n_out)
    """
    n_frames, kernel = x.shape[1], weight.shape[2]
    y = F.linear(x, weight[:, :, -1], bias)
    for tap in range(kernel - 1):
        shift = (kernel - 1 - tap) * dilation
        if shift < n_frames:
            past = F.linear(x[:, : n_frames - shift], weight[:, :, tap])
            y = y + F.pad(past, (0, 0, shift, 0))
    return y


class CausalConv1d(nn.Module):
    """The layer of `causal_convolution`."""

    def __init__(self, n_in: int, n_out: int, *, kernel: int = 2, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(n_out, n_in, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out))
        glorot_(self)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (batch, frames, n_in) -> (batch, frames, n_out)."""
        return causal_convolution(x, self.weight, self.bias, self.dilation)


class AttentionPooling(nn.Module):
    """Weighted mean of the frames: ``sum_t a_t h_t``, ``a = softmax_t(u . h_t)``, u learnt.

    The softmax runs over the valid frames; the padding has weight 0.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)  # a softmax does not see a bias

    def weights(self, h: Tensor, mask: Tensor) -> Tensor:
        """Return a (batch, frames) for h (batch, frames, width); each row sums to 1."""
        scores = self.score(h)[:, :, 0]  # (batch, frames)
        # The least number and not -inf, of which a clip of no frame would make NaN.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, 1)

    def forward(self, h: Tensor, mask: Tensor) -> Tensor:
        """Pool h (batch, frames, width), finite everywhere -> (batch, width)."""
        return torch.bmm(self.weights(h, mask)[:, None, :], h)[:, 0]


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
        return x * self.factors(x, x.shape[2]) if self.training and self.p else x

    def factors(self, x: Tensor, channels: int) -> Tensor:
        """Draw what the channels of a batch like x are multiplied by: (batch, 1, channels)."""
        return F.dropout(x.new_ones(x.shape[0], 1, channels), self.p, self.training)


def glorot_(layer: nn.Module) -> None:
    """Initialise as Keras does: U(-a, a), a = sqrt(6 / (k*in + k*out)), and the bias 0."""
    for name, parameter in layer.named_parameters(recurse=False):
        if name == "weight":
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
