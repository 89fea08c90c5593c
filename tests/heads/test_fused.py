"""Convolution, normalisation, dropout and ReLU in one step against the layers one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from serfeat.heads import fused
from serfeat.heads.fused import convolved
from serfeat.heads.layers import CausalConv1d, MaskedBatchNorm, SpatialDropout, length_mask
from serfeat.jit import COMPILED

compiled = pytest.mark.skipif(not COMPILED, reason="nothing is compiled: the layers themselves run")
LENGTHS = torch.tensor([40, 7, 1, 33])


def _layers(
    kernel: int, dilation: int, *, p: float = 0.25, n_in: int = 5, n_out: int = 9
) -> tuple[CausalConv1d, MaskedBatchNorm, SpatialDropout]:
    torch.manual_seed(0)
    conv, norm = CausalConv1d(n_in, n_out, kernel=kernel, dilation=dilation), MaskedBatchNorm(n_out)
    for parameter in (conv.bias, norm.weight, norm.bias):
        nn.init.normal_(parameter)
    return conv, norm, SpatialDropout(p)


def _outcome(x, layers, *, plain: bool):
    """Values, running statistics and gradients, with the same random numbers."""
    conv, norm, drop = layers
    mask = length_mask(LENGTHS, x.shape[1])
    norm.running_mean.zero_()
    norm.running_var.fill_(1)
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    y = torch.relu(drop(norm(conv(x), mask))) if plain else convolved(x, conv, norm, drop, mask)
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y)
    wanted = (x, *conv.parameters(), *norm.parameters())
    gradients = torch.autograd.grad((y * upstream).sum(), wanted)
    return [y, norm.running_mean.clone(), norm.running_var.clone(), *gradients]


@compiled
@pytest.mark.parametrize("centre", [0.0, 100.0])
@pytest.mark.parametrize(("kernel", "dilation"), [(2, 1), (2, 8), (3, 4), (1, 1), (2, 64), (3, 39)])
def test_it_is_the_layers_one_by_one(kernel: int, dilation: int, centre: float) -> None:
    """Rung 2: torch's layers in double precision, values and every gradient, ragged clips.

    Also with all channels far from zero, and with taps that lie before every clip. Seen to catch: a
    shift by one, a gradient without the dropout, statistics over the padding, a sum without the
    normalised values.
    """
    x = torch.randn(4, 40, 5, generator=torch.Generator().manual_seed(3)) + centre
    layers = _layers(kernel, dilation)
    ours = _outcome(x, layers, plain=False)
    single = _outcome(x, layers, plain=True)
    exact = _outcome(x.double(), [m.double() for m in layers], plain=True)
    for a, b, true in zip(ours, single, exact, strict=True):
        scale = float(true.abs().max()) + 1
        error = float((a - true).abs().max()) / scale
        assert error <= 2 * float((b - true).abs().max()) / scale + 2e-6


@compiled
def test_what_is_no_number_stays_none() -> None:
    """A training that diverges must be seen to: a ReLU written as `max` would make it zero."""
    x = torch.randn(4, 40, 5)
    x[1, 3, 2] = float("nan")
    conv, norm, drop = _layers(2, 1)
    assert convolved(x, conv, norm, drop, length_mask(LENGTHS, 40)).isnan().any()


@compiled
@pytest.mark.parametrize("kind", ["double", "evaluation", "autocast"])
def test_elsewhere_the_layers_run(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(fused, "_Fused", None)  # it would raise
    layers = _layers(2, 4)
    x = torch.randn(4, 40, 5)
    if kind == "double":
        x, layers = x.double(), tuple(m.double() for m in layers)
    if kind == "evaluation":
        layers = tuple(m.eval() for m in layers)
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
        y = convolved(x, *layers, length_mask(LENGTHS, 40))
    assert y.shape == (4, 40, 9)
    layers[1].train()
    with pytest.raises(AttributeError):
        convolved(x.float(), *(m.float() for m in layers), length_mask(LENGTHS, 40))


@compiled
def test_networks_side_by_side_have_the_layers_one_by_one() -> None:
    """Under `vmap` with an ordinary gradient around it, as `serfeat.models.stacked` has it."""
    conv, norm, _ = _layers(2, 4)
    mask = length_mask(LENGTHS, 40)
    x = torch.randn(4, 40, 5)
    weights = torch.stack([conv.weight.detach(), 2 * conv.weight.detach()]).requires_grad_()

    def one(weight: torch.Tensor) -> torch.Tensor:
        values = (x, weight, conv.bias, norm.weight, norm.bias, torch.ones(4, 9))
        return fused._Fused.apply(*values, mask / mask.sum(), 4, norm.eps)[0]

    together = torch.vmap(one)(weights)
    (gradient,) = torch.autograd.grad(together.square().sum(), weights)
    for i in range(2):
        weight = weights.detach()[i].requires_grad_()
        alone = one(weight)
        torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=1e-5)
        (its,) = torch.autograd.grad(alone.square().sum(), weight)
        torch.testing.assert_close(gradient[i], its, atol=2e-3, rtol=1e-3)


@compiled
def test_kernels_are_their_plain_python() -> None:
    """Compiled and not, they give the same numbers up to the order of a product and a sum."""
    rng = np.random.default_rng(0)
    u, y, g = (rng.standard_normal((3, 11, 4)).astype(np.float32) for _ in range(3))
    mean, scale, gain, beta = (rng.standard_normal(4).astype(np.float32) for _ in range(4))
    kept = rng.integers(0, 2, (3, 4)).astype(np.float32)
    share = np.full((3, 11), 1 / 33, np.float32)
    for kernel, arguments, n_out in (
        (fused._statistics, (u, share), (4, 4)),
        (fused._activate, (u, mean, gain, beta, kept), (u.shape,)),
        (fused._sums_of_gradient, (g, u, y, mean, scale, kept), (4, 4)),
        (fused._gradient, (g, u, y, mean, scale, kept, gain, share, beta, mean), (u.shape,)),
    ):
        ours = [np.empty(shape, np.float32) for shape in n_out]
        plain = [np.empty(shape, np.float32) for shape in n_out]
        kernel(*arguments, *ours)
        kernel.py_func(*arguments, *plain)
        for a, b in zip(ours, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
