"""A convolution, its normalisation, dropout and ReLU in one step: for training on a CPU.

On a CPU the layers between the matrix products of a network of 39 channels cost more than these:
each reads and writes an array of half a million numbers, and PyTorch makes a dozen of them for a
normalisation with its gradient. Here the statistics, the normalisation, the dropout and the ReLU
are four loops over the frames, and the taps of the convolution are added in place. An epoch of
TIM-Net takes about 0.6 of the time.

`convolved` alone says when: elsewhere (evaluation, another number format, a GPU, several networks
stacked by `torch.func.vmap`, no numba) it is the layers one after the other. They are also what the
tests hold the loops against: same values and gradients within rounding.

Contents
--------
`convolved` : ``relu(drop(norm(conv(x))))``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from serfeat.heads.layers import (
    CausalConv1d,
    MaskedBatchNorm,
    SpatialDropout,
    causal_convolution,
    normalise,
)
from serfeat.jit import COMPILED, jit
from serfeat.types import Floats

__all__ = ["convolved"]


def convolved(
    x: Tensor, conv: CausalConv1d, norm: MaskedBatchNorm, drop: SpatialDropout, mask: Tensor
) -> Tensor:
    """Return ``relu(drop(norm(conv(x))))``.

    Parameters
    ----------
    x : (batch, frames, n_in).
    mask : (batch, frames) bool, True where a frame is valid.

    Returns
    -------
    (batch, frames, n_out)
    """
    here = COMPILED and norm.by_hand and norm.training
    here = here and x.device.type == "cpu" and x.dtype == torch.float32
    if not here or torch.is_autocast_enabled("cpu"):
        # ReLU and dropout commute (the factor is not negative); in this order ReLU needs no copy.
        return torch.relu_(drop(norm(conv(x), mask)))
    kept = drop.factors(x, conv.weight.shape[0])[:, 0]  # (batch, n_out)
    share = mask.to(x.dtype) / mask.sum()  # (batch, frames), sums to 1
    y: Tensor
    y, mean, var, *_ = _Fused.apply(  # type: ignore[no-untyped-call]
        *(x, conv.weight, conv.bias, norm.weight, norm.bias, kept, share),
        *(conv.dilation, norm.eps),
    )
    norm.remember(mean, var)
    return y


def _one_by_one(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """What `_Fused` computes from the same inputs, layer by layer."""
    x, weight, bias, gamma, beta, kept, share, dilation, eps = inputs
    u = causal_convolution(x, weight, bias, dilation)
    z, mean, var = normalise(u, share, gamma, beta, eps)
    return torch.relu(z * kept[:, None, :]), mean, var


class _Fused(torch.autograd.Function):
    """What `convolved` computes, with its gradient.

    u = conv(x); z = (u - mean) / sqrt(var + eps); y = relu(kept * (gamma * z + beta)), with mean
    and var over the valid frames of the batch, weighted by `share`.
    """

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        gamma: Tensor,
        beta: Tensor,
        kept: Tensor,
        share: Tensor,
        dilation: int,
        eps: float,
    ) -> tuple[Tensor, ...]:
        """Return y (batch, frames, n_out), the statistics, and what the gradient needs."""
        n_batch, n_frames, n_in = x.shape
        n_out, _, kernel = weight.shape
        x = x.contiguous()
        u = torch.addmm(bias, x.view(-1, n_in), weight[:, :, -1].T).view(n_batch, n_frames, n_out)
        for tap in range(kernel - 1):
            shift = (kernel - 1 - tap) * dilation
            if shift < n_frames:
                matrix = weight[:, :, tap].T.contiguous().expand(n_batch, n_in, n_out)
                u[:, shift:].baddbmm_(x[:, : n_frames - shift], matrix)
        mean, var = torch.empty(n_out), torch.empty(n_out)
        _statistics(_array(u), _array(share), _array(mean), _array(var))
        scale = torch.rsqrt(var + eps)
        y = torch.empty_like(u)
        _activate(*map(_array, (u, mean, gamma * scale, beta, kept, y)))
        return y, mean, var, u, scale

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        """Several networks at once are for a GPU: layer by layer, each for all of them."""
        stacked = torch.vmap(_one_by_one, dims, randomness=info.randomness)(*inputs)
        return stacked, (0, 0, 0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what `backward` needs."""
        x, weight, _, gamma, _, kept, share, dilation, _ = inputs
        y, mean, var, u, scale = output
        ctx.save_for_backward(x, weight, gamma, kept, share, y, mean, u, scale)
        ctx.dilation = dilation
        ctx.mark_non_differentiable(mean, var, u, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight, bias, gamma and beta."""
        x, weight, gamma, kept, share, y, mean, u, scale = ctx.saved_tensors
        n_batch, n_frames, n_in = x.shape
        n_out, _, kernel = weight.shape
        x, g = x.contiguous(), g.contiguous()
        d_beta, d_gamma, du = torch.empty(n_out), torch.empty(n_out), torch.empty_like(u)
        sums = (d_beta, d_gamma)
        _sums_of_gradient(*map(_array, (g, u, y, mean, scale, kept, *sums)))
        _gradient(*map(_array, (g, u, y, mean, scale, kept, gamma * scale, share, *sums, du)))
        flat = du.view(-1, n_out)
        dx = (flat @ weight[:, :, -1]).view(x.shape)
        d_weight = torch.zeros_like(weight)  # also of taps that lie before every clip
        d_weight[:, :, -1] = flat.T @ x.view(-1, n_in)
        for tap in range(kernel - 1):
            shift = (kernel - 1 - tap) * ctx.dilation
            if shift < n_frames:
                past, later = x[:, : n_frames - shift], du[:, shift:]
                dx[:, : n_frames - shift].baddbmm_(
                    later, weight[:, :, tap].contiguous().expand(n_batch, n_out, n_in)
                )
                d_weight[:, :, tap] = torch.bmm(later.transpose(1, 2), past).sum(0)
        return dx, d_weight, flat.sum(0), d_gamma, d_beta, None, None, None, None


def _array(tensor: Tensor) -> Floats:
    """The numbers of a tensor, not copied."""
    array: Floats = tensor.detach().numpy()
    return array


@jit
def _statistics(u: Floats, share: Floats, mean: Floats, var: Floats) -> None:
    """Weighted mean and variance of every channel of u (batch, frames, channels).

    In two passes: E[u^2] - E[u]^2 loses the variance of a channel that is far from zero. A clip is
    summed in single precision, the clips in double.
    """
    n_batch, n_frames, n = u.shape
    for squared in range(2):
        total, of_clip = np.zeros(n), np.empty(n, np.float32)
        for b in range(n_batch):
            of_clip[:] = 0
            for t in range(n_frames):
                weight = share[b, t]
                for c in range(n):
                    value = u[b, t, c]
                    if squared:
                        value = (value - mean[c]) * (value - mean[c])
                    of_clip[c] += weight * value
            for c in range(n):
                total[c] += of_clip[c]
        for c in range(n):
            if squared:
                var[c] = total[c]
            else:
                mean[c] = total[c]


@jit
def _activate(u: Floats, mean: Floats, gain: Floats, beta: Floats, kept: Floats, y: Floats) -> None:
    """Write y = relu(kept * (gain * (u - mean) + beta)); what is not a number stays so."""
    n_batch, n_frames, n = u.shape
    for b in range(n_batch):
        for t in range(n_frames):
            for c in range(n):
                value = (gain[c] * (u[b, t, c] - mean[c]) + beta[c]) * kept[b, c]
                y[b, t, c] = np.float32(0) if value <= 0 else value


@jit
def _sums_of_gradient(
    g: Floats,
    u: Floats,
    y: Floats,
    mean: Floats,
    scale: Floats,
    kept: Floats,
    d_beta: Floats,
    d_gamma: Floats,
) -> None:
    """Sums of h and of h z over all frames: h is the gradient before dropout and ReLU."""
    n_batch, n_frames, n = u.shape
    sums, products = np.zeros(n), np.zeros(n)
    plain, times = np.empty(n, np.float32), np.empty(n, np.float32)
    for b in range(n_batch):
        plain[:] = 0
        times[:] = 0
        for t in range(n_frames):
            for c in range(n):
                h = g[b, t, c] * np.float32(y[b, t, c] > 0)
                plain[c] += h
                times[c] += h * (u[b, t, c] - mean[c])
        for c in range(n):
            sums[c] += plain[c] * kept[b, c]
            products[c] += times[c] * kept[b, c]
    for c in range(n):
        d_beta[c] = sums[c]
        d_gamma[c] = products[c] * scale[c]


@jit
def _gradient(
    g: Floats,
    u: Floats,
    y: Floats,
    mean: Floats,
    scale: Floats,
    kept: Floats,
    gain: Floats,
    share: Floats,
    d_beta: Floats,
    d_gamma: Floats,
    du: Floats,
) -> None:
    """Gradient before the normalisation: gain * (h - share * (sum h + z * sum h z))."""
    n_batch, n_frames, n = u.shape
    factor, common = np.empty(n, np.float32), np.empty(n, np.float32)
    slope = np.empty(n, np.float32)
    for c in range(n):
        common[c] = gain[c] * d_beta[c]
        slope[c] = gain[c] * d_gamma[c] * scale[c]
    for b in range(n_batch):
        for c in range(n):
            factor[c] = gain[c] * kept[b, c]
        for t in range(n_frames):
            weight = share[b, t]
            for c in range(n):
                h = g[b, t, c] * np.float32(y[b, t, c] > 0)
                du[b, t, c] = factor[c] * h - weight * (
                    common[c] + slope[c] * (u[b, t, c] - mean[c])
                )
