"""The transformer against its formulas in NumPy and against torch's own encoder.

The mutations that each test was seen to catch stand in its docstring.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from serfeat.errors import ModelError
from serfeat.heads.layers import length_mask
from serfeat.heads.transformer import EncoderLayer, Transformer, sinusoids

LENGTHS = torch.tensor([12, 1, 20, 7])
SMALL = {"width": 16, "heads": 4, "layers": 2, "feedforward": 24}


def _distance(a, b):
    return float((a - b).detach().abs().max())


def _torchs(layer: EncoderLayer, *, feedforward: int) -> nn.TransformerEncoderLayer:
    """torch's layer with our weights; norms and biases away from 1 and 0, where they would hide."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    width = layer.qkv.in_features
    theirs = nn.TransformerEncoderLayer(
        width, layer.heads, feedforward, 0.0, "gelu", batch_first=True, norm_first=True
    ).to(layer.qkv.weight.dtype)
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj.": "out.",
        "linear1.": "wide.",
        "linear2.": "narrow.",
        "norm1.": "norm_a.",
        "norm2.": "norm_b.",
    }
    ours = layer.state_dict()
    theirs.load_state_dict(
        {t + p: ours[o + p] for t, o in names.items() for p in ("weight", "bias")}
    )
    return theirs


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_is_torchs(training):
    """Rung 2, with padding, to 1e-12.

    Catches post-norm, a missing residual, ReLU or the tanh GELU, heads cut the wrong way, no
    division by sqrt(d), and a mask the wrong way round.
    """
    layer = EncoderLayer(16, heads=4, feedforward=24, dropout=0.0).double().train(training)
    theirs = _torchs(layer, feedforward=24).train(training)
    x, mask = torch.randn(4, 20, 16, dtype=torch.float64), length_mask(LENGTHS, 20)
    expected = theirs(x, src_key_padding_mask=~mask)
    # In evaluation torch leaves the padding out of the computation: only valid frames compare.
    assert _distance(layer(x, mask)[mask], expected[mask]) < 1e-12


def test_attention_by_loops():
    """Rung 2, without torch: softmax(q . k / sqrt(d)) over the valid frames of each head."""
    layer = EncoderLayer(6, heads=2, feedforward=4, dropout=0.0).double()
    nn.init.normal_(layer.qkv.bias)
    x = torch.randn(1, 5, 6, dtype=torch.float64)
    mask = torch.tensor([[True, True, True, False, False]])
    w, b = layer.qkv.weight.detach().numpy(), layer.qkv.bias.detach().numpy()
    q, k, v = ((x[0].numpy() @ w[i : i + 6].T + b[i : i + 6]) for i in (0, 6, 12))
    mixed = np.zeros((5, 6))
    for t in range(5):
        for columns in (slice(0, 3), slice(3, 6)):
            score = np.array([q[t, columns] @ k[s, columns] / math.sqrt(3) for s in range(3)])
            weight = np.exp(score) / np.exp(score).sum()
            mixed[t, columns] = sum(weight[s] * v[s, columns] for s in range(3))
    expected = mixed @ layer.out.weight.detach().numpy().T + layer.out.bias.detach().numpy()
    np.testing.assert_allclose(layer.attention(x, mask)[0].detach(), expected, atol=1e-12)


def test_sinusoids_by_their_formula():
    """Rung 1: catches sine and cosine exchanged, halves in place of pairs, 2i for i, base 1000."""
    positions = sinusoids(50, 16, like=torch.zeros(1, dtype=torch.float64)).numpy()
    assert positions.shape == (50, 16)
    for t in (0, 1, 7, 49):
        for i in range(8):
            angle = t / 10000 ** (2 * i / 16)
            assert positions[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert positions[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-12)
    # A shift of t is a rotation of each pair: all dot products depend on the distance alone.
    gram = positions @ positions.T
    np.testing.assert_allclose(np.diag(gram, 5), gram[0, 5], atol=1e-10)
    odd = sinusoids(3, 5, like=torch.zeros(1))
    assert odd.shape == (3, 5)
    assert float(odd[1, 4]) == pytest.approx(math.sin(10000 ** (-4 / 5)), abs=1e-7)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_head_is_torchs_encoder(pooling):
    """Rung 2, the whole: embedding + positions, layers, last norm, mean over the valid frames.

    Catches a missing last norm, positions forgotten or added twice, a mean over the padding,
    and a CLS that is no key or has a position.
    """
    head = Transformer(5, 3, **SMALL, dropout=0.0, pooling=pooling).double().eval()
    stack = [_torchs(layer, feedforward=24).eval() for layer in head.layers]
    nn.init.normal_(head.norm.bias)
    x = torch.randn(4, 20, 5, dtype=torch.float64)
    logits = head(x, LENGTHS)
    for i, n in enumerate(LENGTHS.tolist()):
        t, j = np.meshgrid(np.arange(n), np.arange(16), indexing="ij")
        positions = np.sin(t / 10000 ** ((j - j % 2) / 16) + (j % 2) * np.pi / 2)
        h = x[i : i + 1, :n] @ head.embed.weight.T + head.embed.bias + torch.from_numpy(positions)
        if pooling == "cls":
            h = torch.cat([head.cls[None, None], h], 1)
        for layer in stack:
            h = layer(h)
        h = head.norm(h)
        expected = head.classifier(h[:, 0] if pooling == "cls" else h.mean(1))
        assert _distance(logits[i], expected[0]) < 1e-10


@pytest.mark.parametrize("pooling", ["mean", "attention", "cls"])
def test_growing_padding_changes_nothing(pooling):
    """At the full size: rounding alone remains. Catches padding as a key and in the pooling."""
    head = Transformer(5, 3, pooling=pooling).eval()
    x, lengths = torch.randn(2, 40, 5), torch.tensor([40, 23])
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        logits = head.to(dtype)(x.to(dtype), lengths)
        for more in (1, 9, 64, 300):
            longer = torch.cat([x, torch.full((2, more, 5), float("nan"))], 1).to(dtype)
            error = _distance(head(longer, lengths), logits)
            assert error < tolerance * max(1.0, float(logits.detach().abs().max()))


@pytest.mark.parametrize("pooling", ["mean", "attention", "cls"])
def test_without_positions_the_order_does_not_count(pooling):
    """And with them it does: the control. Catches positions that are always, or never, added."""
    x = torch.randn(2, 30, 5)
    lengths = torch.tensor([30, 30])
    shuffled = x[:, torch.randperm(30)]
    for positions, same in (("none", True), ("sinusoidal", False)):
        head = Transformer(5, 3, **SMALL, pooling=pooling, positions=positions).eval()
        moved = _distance(head(x, lengths), head(shuffled, lengths))
        assert moved < 1e-6 if same else moved > 1e-4


def test_what_becomes_of_the_first_frame_is_classified():
    """CLS: the learnt frame attends to every valid one; catches the clip's own first frame."""
    head = Transformer(5, 3, **SMALL, pooling="cls").double().eval()
    x = torch.randn(1, 9, 5, dtype=torch.float64, requires_grad=True)
    head(x, torch.tensor([6])).sum().backward()
    assert torch.nonzero(x.grad[0].abs().sum(1))[:, 0].tolist() == list(range(6))
    for layer in head.layers:  # with nothing attended to, the clip is not seen at all
        nn.init.zeros_(layer.out.weight)
    one, two = (head(torch.randn(1, 9, 5).double(), torch.tensor([9])) for _ in range(2))
    assert _distance(one, two) < 1e-12
    with torch.no_grad():
        head.cls += torch.randn(16)
    assert _distance(one, head(x, torch.tensor([9]))) > 1e-3


def test_dropout_reaches_the_attention_weights():
    layer = EncoderLayer(16, heads=4, feedforward=24, dropout=0.5)
    x, mask = torch.randn(1, 20, 16), torch.ones(1, 20, dtype=torch.bool)
    assert _distance(layer.train().attention(x, mask), layer.attention(x, mask)) > 1e-3
    assert _distance(layer.eval().attention(x, mask), layer.attention(x, mask)) == 0


def test_parameter_count():
    d, f = 256, 512
    layer = 3 * d * d + 3 * d + d * d + d + 2 * 2 * d + d * f + f + f * d + d
    expected = 39 * d + d + 4 * layer + 2 * d + 7 * d + 7
    assert sum(p.numel() for p in Transformer(39, 7).parameters()) == expected
    assert sum(p.numel() for p in Transformer(39, 7, pooling="cls").parameters()) == expected + d


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pooling": "max"}, r"pooling 'max'.*mean, attention, cls"),
        ({"positions": "learnt"}, r"'learnt'.*sinusoidal, none"),
        ({"width": 30, "heads": 4}, "width 30 with 4 heads"),
        ({"heads": 0}, "0 heads"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ModelError, match=message):
        Transformer(3, 2, **params)
