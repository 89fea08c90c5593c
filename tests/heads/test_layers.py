"""The masked operations against loops, torch's own layers and numerical gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from serfeat.heads.layers import (
    CausalConv1d,
    MaskedBatchNorm,
    SpatialDropout,
    adaptive_mean,
    glorot_,
    length_mask,
    masked_mean,
    masked_std,
    reverse_valid,
)

LENGTHS = torch.tensor([5, 2, 7])


def _batch(*, channels: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 7, channels, generator=generator, dtype=torch.float64)


def test_length_mask_counts():
    assert length_mask(LENGTHS, 7).sum(1).tolist() == LENGTHS.tolist()
    assert length_mask(torch.tensor([1]), 3).tolist() == [[True, False, False]]


def test_mean_and_std_are_those_of_each_clip_alone():
    """Catches a mean over the padded length, and a sample (n - 1) standard deviation."""
    x = _batch()
    mean = masked_mean(x, length_mask(LENGTHS, 7))
    std = masked_std(x, length_mask(LENGTHS, 7), eps=0.0)
    for i, n in enumerate(LENGTHS.tolist()):
        np.testing.assert_allclose(mean[i], x[i, :n].numpy().mean(0), atol=1e-12)
        np.testing.assert_allclose(std[i], x[i, :n].numpy().std(0), atol=1e-12)


def test_std_of_one_frame_has_a_finite_gradient():
    x = torch.ones(1, 1, 2, requires_grad=True)
    masked_std(x, torch.ones(1, 1, dtype=torch.bool)).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_reversal_turns_the_valid_frames_only():
    """Catches x.flip(1), which would bring the padding to the front."""
    x = _batch()
    turned = reverse_valid(x, LENGTHS)
    for i, n in enumerate(LENGTHS.tolist()):
        assert torch.equal(turned[i, :n], x[i, :n].flip(0))
        assert torch.equal(turned[i, n:], x[i, n:])
    assert torch.equal(reverse_valid(turned, LENGTHS), x)


def test_adaptive_mean_is_torchs_clip_by_clip():
    """Rung 2: adaptive_avg_pool1d on every clip alone, for all pairs of lengths and positions.

    Also more positions than frames. Catches pooling over the padded length, positions counted over
    the batch, and windows that do not overlap (floor at both ends).
    """
    n_frames, n_out = 13, 9
    pairs = torch.cartesian_prod(torch.arange(1, n_frames + 1), torch.arange(1, n_out + 1))
    lengths, counts = pairs[:, 0], pairs[:, 1]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(pairs), n_frames, 3, generator=generator, dtype=torch.float64)
    pooled = adaptive_mean(x, lengths, counts, n_out)
    assert pooled.shape == (len(pairs), n_out, 3)
    for i, (n, c) in enumerate(pairs.tolist()):
        alone = nn.functional.adaptive_avg_pool1d(x[i, :n].T[None], c)[0].T
        torch.testing.assert_close(pooled[i, :c], alone, atol=1e-12, rtol=0)
        assert not pooled[i, c:].any()


def test_causal_convolution_is_torchs_with_left_padding():
    """Catches swapped taps and a shift by the kernel instead of the dilation."""
    for kernel, dilation in ((2, 1), (2, 4), (3, 2), (1, 1), (2, 16)):
        ours = CausalConv1d(3, 5, kernel=kernel, dilation=dilation).double()
        nn.init.normal_(ours.bias)
        x = _batch()
        padded = nn.functional.pad(x.transpose(1, 2), ((kernel - 1) * dilation, 0))
        theirs = nn.functional.conv1d(padded, ours.weight, ours.bias, dilation=dilation)
        torch.testing.assert_close(ours(x), theirs.transpose(1, 2), atol=1e-12, rtol=0)


def test_causal_convolution_sees_no_later_frame():
    conv = CausalConv1d(3, 3, dilation=2).double()
    x = _batch()
    later = x.clone()
    later[:, 4:] += 1
    assert torch.equal(conv(x)[:, :4], conv(later)[:, :4])
    assert not torch.equal(conv(x)[:, 4:], conv(later)[:, 4:])


def test_batch_norm_without_padding_is_torchs():
    """Rung 2: torch.nn.BatchNorm1d, up to its unbiased running variance."""
    x = _batch() * 3 + 100
    ours = MaskedBatchNorm(3, eps=1e-3, momentum=0.01).double()
    theirs = nn.BatchNorm1d(3, eps=1e-3, momentum=0.01).double()
    flat = x.reshape(-1, 3)
    y = ours(x, torch.ones(3, 7, dtype=torch.bool))
    torch.testing.assert_close(y.reshape(-1, 3), theirs(flat), atol=1e-9, rtol=0)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    biased = 0.99 * 1 + (theirs.running_var - 0.99) * (len(flat) - 1) / len(flat)
    torch.testing.assert_close(ours.running_var, biased, atol=1e-12, rtol=0)
    # Evaluation, from the same running statistics.
    theirs.running_var.copy_(ours.running_var)
    y = ours.eval()(x, torch.ones(3, 7, dtype=torch.bool))
    torch.testing.assert_close(y.reshape(-1, 3), theirs.eval()(flat), atol=1e-9, rtol=0)


def test_batch_norm_never_measures_the_padding():
    """Catches statistics over all positions: valid rows packed tightly must give the same."""
    mask = length_mask(LENGTHS, 7)
    x = _batch().masked_fill(~mask[:, :, None], 1e6)
    for time_last in (False, True):
        ours = MaskedBatchNorm(3, time_last=time_last).double()
        y = ours(x.transpose(1, 2) if time_last else x, mask)
        y = y.transpose(1, 2) if time_last else y
        packed = MaskedBatchNorm(3).double()
        alone = packed(x[mask][None], torch.ones(1, int(mask.sum()), dtype=torch.bool))
        torch.testing.assert_close(y[mask], alone[0], atol=1e-9, rtol=0)
        torch.testing.assert_close(ours.running_var, packed.running_var)


def _plain_batch_norm(x, mask, gamma, beta, eps=1e-3):
    """The formula, differentiated by torch."""
    weight = mask[:, :, None].to(x.dtype) / mask.sum()
    mean = (x * weight).sum((0, 1))
    var = ((x - mean) ** 2 * weight).sum((0, 1))
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta


def test_batch_norm_has_the_gradients_of_the_formula():
    """Catches a backward pass that forgets the mask, the mean or the variance."""
    mask = length_mask(LENGTHS, 7)
    for time_last in (False, True):
        norm = MaskedBatchNorm(3, time_last=time_last).double()
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        x, upstream = _batch().requires_grad_(), _batch(seed=1)
        y = norm(x.transpose(1, 2), mask).transpose(1, 2) if time_last else norm(x, mask)
        plain = _plain_batch_norm(x, mask, norm.weight, norm.bias)
        torch.testing.assert_close(y, plain)
        inputs = (x, norm.weight, norm.bias)
        ours = torch.autograd.grad((y * upstream).sum(), inputs)
        theirs = torch.autograd.grad((plain * upstream).sum(), inputs)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_batch_norm_of_one_position_is_its_bias():
    norm = MaskedBatchNorm(3).double()
    nn.init.constant_(norm.bias, 0.5)
    y = norm(_batch()[:1, :1], torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(y, torch.full_like(y, 0.5))


def test_gradients_are_the_numerical_ones():
    mask = length_mask(LENGTHS, 7)
    x = _batch().requires_grad_()
    norm, conv = MaskedBatchNorm(3).double(), CausalConv1d(3, 2, dilation=2).double()
    assert torch.autograd.gradcheck(lambda v: norm(v, mask)[mask], (x,))
    assert torch.autograd.gradcheck(conv, (x,))
    assert torch.autograd.gradcheck(lambda v: masked_std(v, mask), (x,))
    counts = torch.tensor([2, 2, 3])
    assert torch.autograd.gradcheck(lambda v: adaptive_mean(v, LENGTHS, counts, 3), (x,))


def test_spatial_dropout_drops_whole_channels():
    """Catches ordinary dropout: a channel of a clip is all kept or all dropped."""
    drop = SpatialDropout(0.25)
    y = drop(torch.ones(40, 9, 50))
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(float((y == 0).float().mean()) - 0.25) < 0.03
    assert torch.equal(drop.eval()(y), y)


def test_glorot_bounds():
    """Keras: a = sqrt(6 / (k*in + k*out)); .19612 for TIM-Net's convolutions, .27735 its stems."""
    conv, stem = CausalConv1d(39, 39), nn.Linear(39, 39)
    glorot_(stem)
    for layer, bound in ((conv, 0.19612), (stem, 0.27735)):
        assert 0.98 * bound < float(layer.weight.detach().abs().max()) <= bound + 1e-5
        assert not layer.bias.any()
