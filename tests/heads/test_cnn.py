"""The article's network by its printed size and by loops; the 1-D networks against torch's layers.

The mutations that each test was seen to catch stand in its docstring.
"""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from serfeat.errors import ModelError
from serfeat.heads.cnn import CNN1D, ArticleCNN, ParallelCNN, SameConv1d, StackedBlock, centre_fit


def _count(head):
    return sum(p.numel() for p in head.parameters())


def _distance(a, b):
    return float((a - b).detach().abs().max())


def _random_statistics(head):
    """Biases and running statistics for which 0 does not stay 0 by itself."""
    for module in head.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers()):
            if name.endswith(("bias", "running_mean")):
                nn.init.uniform_(tensor, -1.5, -0.5)
            if name.endswith("running_var"):
                nn.init.uniform_(tensor, 0.5, 2)
    return head


def test_the_articles_parameter_count():
    """645,699 for 128 x 13 and 3 classes: catches a padded convolution and a pooled one too few."""
    conv, dense, classifier = 32 * 9 + 32, 63 * 5 * 32 * 64 + 64, 64 * 3 + 3
    assert (conv, dense, classifier) == (320, 645_184, 195)
    assert _count(ArticleCNN(13, 3)) == conv + dense + classifier == 645_699


def test_the_articles_network_is_torchs_layers():
    """Rung 2, at the article's size: catches average pooling and a missing ReLU."""
    head = ArticleCNN(13, 3).double()
    conv, dense, classifier = nn.Conv2d(1, 32, 3), nn.Linear(10_080, 64), nn.Linear(64, 3)
    for theirs, ours in ((conv, head.conv), (dense, head.dense), (classifier, head.classifier)):
        theirs.double().load_state_dict(ours.state_dict())
    layers = nn.Sequential(
        conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), dense, nn.ReLU(), classifier
    )
    x = torch.randn(2, 128, 13, dtype=torch.float64)
    assert _distance(head(x, torch.tensor([128, 128])), layers(x[:, None])) < 1e-10


def test_the_articles_network_by_loops():
    """Rung 2, without torch; a short clip stands in the middle of the picture."""
    head = ArticleCNN(5, 2, n_frames=6, filters=2, hidden=3).double()
    nn.init.normal_(head.conv.bias)
    x = torch.randn(1, 4, 5, dtype=torch.float64)
    picture = np.zeros((6, 5))
    picture[1:5] = x[0]
    w, b = (p.detach().numpy() for p in head.conv.parameters())
    pooled = np.zeros((2, 2, 1))
    for c, row, column in np.ndindex(pooled.shape):
        pooled[c, row, column] = max(
            max(0.0, float(np.sum(w[c, 0] * picture[i : i + 3, j : j + 3])) + b[c])
            for i in (2 * row, 2 * row + 1)
            for j in (2 * column, 2 * column + 1)
        )
    (w1, b1), (w2, b2) = (
        [p.detach().numpy() for p in layer.parameters()] for layer in (head.dense, head.classifier)
    )
    expected = w2 @ np.maximum(w1 @ pooled.ravel() + b1, 0) + b2
    np.testing.assert_allclose(head(x, torch.tensor([4]))[0].detach(), expected, atol=1e-12)


def test_the_articles_network_starts_as_kerass():
    """Glorot with the fans of a picture: sqrt(6 / (9 + 288)), sqrt(6 / (10080 + 64))."""
    head = ArticleCNN(13, 3)
    for layer, bound in ((head.conv, 0.14213), (head.dense, 0.02432), (head.classifier, 0.29925)):
        assert 0.95 * bound < float(layer.weight.detach().abs().max()) <= bound + 1e-5
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (7, [2, 3, 4, 5]),
        (6, [2, 3, 4, 5]),
        (5, [1, 2, 3, 4]),
        (4, [1, 2, 3, 4]),
        (3, [0, 1, 2, 3]),
        (2, [0, 1, 2, 0]),
        (1, [0, 0, 1, 0]),
    ],
)
def test_centre_fit_by_hand(length, expected):
    """Catches the beginning in place of the middle, rounding to zero, and the batch's length."""
    x = torch.arange(1.0, 10)[None, :, None].expand(2, 9, 2)
    fitted = centre_fit(x, torch.tensor([length, 9]), 4)
    assert fitted.shape == (2, 4, 2)
    assert fitted[0, :, 0].tolist() == expected
    assert fitted[0, :, 1].tolist() == expected
    assert fitted[1, :, 0].tolist() == [3, 4, 5, 6]


def test_the_article_sees_the_middle_of_a_long_clip_alone():
    head = ArticleCNN(5, 2, n_frames=8)
    x = torch.randn(1, 20, 5, requires_grad=True)
    head(x, torch.tensor([18])).sum().backward()
    assert set(torch.nonzero(x.grad[0].abs().sum(1))[:, 0].tolist()) == set(range(5, 13))


def test_convolutions_keep_the_length_as_torch_does():
    """Catches the larger half of an even kernel's padding in front."""
    for kernel in (1, 2, 3, 8, 64):
        ours = SameConv1d(3, 4, kernel)
        theirs = nn.Conv1d(3, 4, kernel, padding="same")
        theirs.load_state_dict(ours.state_dict())
        x = torch.randn(2, 3, 20)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch, of even kernels
            expected = theirs(x)
        torch.testing.assert_close(ours(x), expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_stacked_network_is_torchs_layers(training):
    """Rung 2, on clips without padding: catches another order, activation, pooling or eps."""
    head = _random_statistics(CNN1D(6, 3, dropout=0.0).double())
    layers = []
    for block in head.blocks:
        n_out, n_in, _ = block.conv.weight.shape
        conv = nn.Conv1d(n_in, n_out, 3, padding=1, bias=False).double()
        conv.load_state_dict(block.conv.state_dict())
        norm = nn.BatchNorm1d(n_out).double()
        norm.load_state_dict(block.norm.state_dict(), strict=False)
        layers += [conv, norm, nn.ELU(), nn.MaxPool1d(4)]
    theirs = nn.Sequential(*layers).train(training)
    x = torch.randn(3, 512, 6, dtype=torch.float64)
    expected = head.classifier(theirs(x.transpose(1, 2)).mean(2))
    logits = head.train(training)(x, torch.tensor([512] * 3))
    assert _distance(logits, expected) < 1e-9


def test_the_stacked_network_with_an_lstm_is_torchs_layers():
    """Rung 2: the two layers' last state at each clip's own end, not the batch's."""
    head = _random_statistics(CNN1D(6, 3, filters=(8, 10), pool=2, lstm_units=5)).double().eval()
    x = torch.randn(1, 21, 6, dtype=torch.float64)
    h, n = x.transpose(1, 2), torch.tensor([21])
    for block in head.blocks:
        h, n = block(h, n)
    assert h.shape == (1, 10, 6)
    states = h.transpose(1, 2)
    for layer, n_in in zip(head.classifier.layers, (10, 5), strict=True):
        lstm = nn.LSTM(n_in, 5, batch_first=True).double()
        lstm.load_state_dict(layer[0].state_dict())
        states = lstm(states)[0]
    expected = head.classifier.classifier(states[:, -1])
    longer = torch.cat([torch.nn.functional.pad(x, (0, 0, 0, 30)), torch.randn(1, 51, 6)]).double()
    assert _distance(head(longer, torch.tensor([21, 51]))[:1], expected) < 1e-10


def test_a_window_that_reaches_into_the_padding():
    """Identity convolution and norm, pool 2: -1 -2 | -3 (padding) -> elu(-1), elu(-3); then 0.

    Catches zeros or the padding's own values in the maximum, a dropped last window, and
    something other than 0 behind the end.
    """
    block = StackedBlock(1, 1, kernel=1, pool=2).eval()
    nn.init.ones_(block.conv.weight)
    x = torch.tensor([[[-1.0, -2, -3, 0, 0, 0, 0]], [[-1.0, -2, -3, -4, -5, -6, -7]]])
    h, lengths = block(x, torch.tensor([3, 7]))
    assert lengths.tolist() == [2, 4]
    elu = [math.exp(-n) - 1 for n in (1, 3, 5, 7)]
    np.testing.assert_allclose(h[0, 0].detach(), [elu[0], elu[1], 0, 0], atol=1e-5)
    np.testing.assert_allclose(h[1, 0].detach(), elu, atol=1e-5)


@pytest.mark.parametrize("lstm_units", [0, 6])
def test_batch_statistics_do_not_see_the_padding(lstm_units):
    """In training mode too, more padding changes neither logits nor running statistics."""
    x, lengths = torch.randn(4, 40, 6), torch.tensor([40, 1, 17, 33])
    outcomes = []
    for more in (0, 100):
        torch.manual_seed(0)
        head = CNN1D(6, 3, filters=(8, 8), lstm_units=lstm_units, dropout=0.0).train()
        longer = torch.cat([x, torch.full((4, more, 6), 9.0)], 1)
        logits = head(longer, lengths)
        outcomes.append([logits, head.blocks[1].norm.running_mean, head.blocks[1].norm.running_var])
    for a, b in zip(*outcomes, strict=True):
        assert _distance(a, b) < 1e-6


def test_the_parallel_network_is_torchs_layers():
    """Rung 2: catches a maximum over channels, a missing ReLU, a kernel in another's place."""
    head = _random_statistics(ParallelCNN(6, 3, filters=7, kernels=(2, 5, 9), hidden=(8, 4)))
    head = head.double().eval()
    x = torch.randn(3, 30, 6, dtype=torch.float64)
    parts = []
    for conv, kernel in zip(head.convs, (2, 5, 9), strict=True):
        padded = nn.functional.pad(x.transpose(1, 2), ((kernel - 1) // 2, kernel // 2))
        r = nn.functional.conv1d(padded, conv.weight, conv.bias)
        parts.append(nn.functional.adaptive_max_pool1d(r.relu(), 1)[:, :, 0])
    a, b, c = (m for m in head.dense if isinstance(m, nn.Linear))
    expected = c(b(a(torch.cat(parts, 1)).relu()).relu())
    assert _distance(head(x, torch.tensor([30] * 3)), expected) < 1e-10


def test_a_clip_shorter_than_every_kernel():
    """Positive biases would answer in the padding: catches a maximum over it."""
    head = ParallelCNN(6, 3, filters=7, hidden=(8,)).eval()
    for conv in head.convs:
        nn.init.constant_(conv.bias, 5.0)
    x = -torch.rand(1, 2, 6)
    for conv in head.convs:
        conv.weight.data.abs_()  # every response to the clip is below the bias
    alone = head(x, torch.tensor([2]))
    assert torch.isfinite(alone).all()
    in_a_batch = head(nn.functional.pad(x, (0, 0, 0, 90)), torch.tensor([2]))
    assert _distance(alone, in_a_batch) < 1e-5


def test_parameter_counts_of_the_one_dimensional_networks():
    convs = sum(40 * 384 * k + 384 for k in (8, 16, 32, 64))
    dense = 1536 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 4 + 4
    assert _count(ParallelCNN(40, 4)) == convs + dense
    widths = (40, 64, 64, 128, 128)
    blocks = sum(3 * a * b + 2 * b for a, b in pairwise(widths))
    assert _count(CNN1D(40, 4)) == blocks + 128 * 4 + 4
    lstm = 4 * 256 * (128 + 256 + 2) + 4 * 256 * (256 + 256 + 2)
    assert _count(CNN1D(40, 4, lstm_units=256)) == blocks + lstm + 256 * 4 + 4


def test_he_initialisation():
    """Standard deviation sqrt(2 / fan-in): catches a uniform one and the fan-out."""
    parallel, stacked = ParallelCNN(40, 4), CNN1D(40, 4)
    layers = (parallel.convs[3], parallel.dense[1], stacked.blocks[3].conv)
    for layer, fan_in in zip(layers, (40 * 64, 1536, 3 * 128), strict=True):
        weight = layer.weight.detach()
        assert float(weight.std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.01)
        assert float(weight.abs().max()) > 3 * math.sqrt(2 / fan_in)
    assert not parallel.dense[1].bias.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ArticleCNN(3, 2), "128 x 3, expected at least 4 x 4"),
        (lambda: ArticleCNN(13, 2, n_frames=3), "3 x 13"),
        (lambda: CNN1D(3, 2, filters=()), "at least one block"),
        (lambda: CNN1D(3, 2, pool=0), "pool 0"),
        (lambda: ParallelCNN(3, 2, kernels=()), "at least one kernel"),
        (lambda: ParallelCNN(3, 2, kernels=(4, 0)), r"kernels \(4, 0\)"),
    ],
)
def test_sizes_that_cannot_be(make, message):
    with pytest.raises(ModelError, match=message):
        make()
