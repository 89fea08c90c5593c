"""Recurrent heads against loops of the textbook equations, one clip at a time, in NumPy.

The mutations that each test was seen to catch stand in its docstring.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from serfeat.errors import ModelError
from serfeat.heads.layers import AttentionPooling, length_mask
from serfeat.heads.rnn import CELLS, Recurrent

LENGTHS = torch.tensor([6, 1, 9, 4])
GATES = {"rnn": "h", "lstm": "ifgo", "gru": "rzn"}  # the order of torch's stacked matrices


def _sigma(a):
    return 1 / (1 + np.exp(-a))


def _rnn(x, h, p):
    return np.tanh(p["Wh"] @ x + p["bh"] + p["Uh"] @ h + p["ch"])


def _gru(x, h, p):
    r = _sigma(p["Wr"] @ x + p["br"] + p["Ur"] @ h + p["cr"])
    z = _sigma(p["Wz"] @ x + p["bz"] + p["Uz"] @ h + p["cz"])
    n = np.tanh(p["Wn"] @ x + p["bn"] + r * (p["Un"] @ h + p["cn"]))
    return (1 - z) * n + z * h


def _lstm(x, state, p):
    h, c = state
    i, f, o = (_sigma(p["W" + k] @ x + p["b" + k] + p["U" + k] @ h + p["c" + k]) for k in "ifo")
    g = np.tanh(p["Wg"] @ x + p["bg"] + p["Ug"] @ h + p["cg"])
    c = f * c + i * g
    return o * np.tanh(c), c


def _direction(cell, stream, x):
    """States (frames, hidden) of one stream over x (frames, columns)."""
    split = {}
    for letter, name in (
        ("W", "weight_ih"),
        ("U", "weight_hh"),
        ("b", "bias_ih"),
        ("c", "bias_hh"),
    ):
        value = getattr(stream, f"{name}_l0").detach().numpy()
        for gate, part in zip(GATES[cell], np.split(value, len(GATES[cell])), strict=True):
            split[letter + gate] = part
    h = c = np.zeros(stream.hidden_size)
    states = []
    for frame in x:
        if cell == "lstm":
            h, c = _lstm(frame, (h, c), split)
        else:
            h = {"rnn": _rnn, "gru": _gru}[cell](frame, h, split)
        states.append(h)
    return np.array(states)


def _by_loops(head, cell, x):
    """Logits of one clip x (frames, features)."""
    for layer in head.layers:
        parts = [_direction(cell, layer[0], x)]
        parts += [_direction(cell, stream, x[::-1])[::-1] for stream in layer[1:]]
        x = np.concatenate(parts, 1)
    if head.pooling == "mean":
        pooled = x.mean(0)
    elif head.pooling == "last":
        pooled = np.concatenate([parts[0][-1], *(part[0] for part in parts[1:])])
    else:
        weight = np.exp(x @ head.attention.score.weight.detach().numpy()[0])
        pooled = weight @ x / weight.sum()
    return head.classifier.weight.detach().numpy() @ pooled + head.classifier.bias.detach().numpy()


@pytest.mark.parametrize("pooling", ["last", "mean", "attention"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(("layers", "bidirectional"), [(2, True), (1, False), (3, False)])
def test_logits_are_those_of_the_textbook_equations(cell, pooling, layers, bidirectional):
    """Rung 2, to 1e-10.

    Catches a backward stream that begins in the padding or is not turned round again, "last" read
    at the end of the batch or from the wrong direction, a mean over the padding, a cell in place
    of another; in the equations: z and 1 - z exchanged, r before U_n, c without its forget gate,
    gates that do not see x_t (as the founding article prints them).
    """
    head = Recurrent(
        3, 4, cell=cell, hidden=5, layers=layers, bidirectional=bidirectional, pooling=pooling
    )
    head = head.double().eval()
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    logits = head(x, LENGTHS).detach()
    for i, n in enumerate(LENGTHS.tolist()):
        np.testing.assert_allclose(logits[i], _by_loops(head, cell, x[i, :n].numpy()), atol=1e-10)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_layers_are_torchs_on_packed_sequences(cell):
    """Rung 2: torch.nn's own two-layer bidirectional network under weight copy, packed.

    Catches layers or directions in another order, and a layer that is fed only one direction.
    """
    head = Recurrent(3, 4, cell=cell, hidden=5, pooling="mean").double().eval()
    theirs = CELLS[cell](3, 5, 2, batch_first=True, bidirectional=True).double()
    theirs.load_state_dict(
        {
            name[:-2] + f"l{i}" + ("_reverse" if j else ""): value
            for i, layer in enumerate(head.layers)
            for j, stream in enumerate(layer)
            for name, value in stream.state_dict().items()
        }
    )
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    h, n = pad_packed_sequence(theirs(packed)[0], batch_first=True)  # 0 in the padding
    expected = head.classifier(h.sum(1) / n[:, None])
    torch.testing.assert_close(head(x, LENGTHS), expected, atol=1e-12, rtol=0)


def test_plain_recurrence_by_hand():
    """One unit, W = 1, U = 0.5, b = 0 on (1, 2): tanh(1) = .76159, tanh(2 + .38080) = .98305."""
    head = Recurrent(
        1, 1, cell="rnn", hidden=1, layers=1, bidirectional=False, pooling="last"
    ).eval()
    for parameter, value in zip(
        (*head.layers.parameters(), *head.classifier.parameters()),
        (1.0, 0.5, 0.0, 0.0, 1.0, 0.0),
        strict=True,
    ):
        torch.nn.init.constant_(parameter, value)
    logit = head(torch.tensor([[[1.0], [2.0]]]), torch.tensor([2]))
    assert float(logit.detach()) == pytest.approx(0.98305, abs=1e-5)
    assert float(head(torch.ones(1, 2, 1), torch.tensor([1])).detach()) == pytest.approx(
        0.76159, abs=1e-5
    )


def test_forget_gates_start_open():
    """Their bias is one above torch's range, +-2/sqrt(hidden) for the sum of two; no other is.

    Catches the wrong quarter (the input gate), one layer or direction forgotten, and 1 added twice.
    """
    head = Recurrent(3, 2, hidden=100)
    streams = [stream for layer in head.layers for stream in layer]
    assert len(streams) == 4
    for stream in streams:
        i, f, g, o = (stream.bias_ih_l0 + stream.bias_hh_l0).detach().split(100)
        assert float((f - 1).abs().max()) <= 0.2
        assert float(torch.cat([i, g, o]).abs().max()) <= 0.2
    gru = Recurrent(3, 2, hidden=100, cell="gru")
    assert all(float(p.detach().abs().max()) <= 0.1 for p in gru.layers.parameters())


def test_attention_weights_sum_to_one_over_the_valid_frames():
    """Catches a softmax over the padding, a softmax over the clips, a mask the wrong way round."""
    pooling = AttentionPooling(3)
    h = torch.randn(4, 9, 3)
    mask = length_mask(LENGTHS, 9)
    h = h.masked_fill(~mask[:, :, None], 50.0)
    weights = pooling.weights(h, mask).detach()
    torch.testing.assert_close(weights.sum(1), torch.ones(4))
    assert not weights[~mask].any()
    assert (weights[mask] > 0).all()


def test_attention_by_hand():
    """Scores 0 and log 3 weigh 1/4 and 3/4; catches a mean, and weights that are not applied."""
    pooling = AttentionPooling(2).double()
    torch.nn.init.constant_(pooling.score.weight, 0.0)
    pooling.score.weight.data[0, 0] = 1.0
    h = torch.tensor([[[0.0, 8.0], [np.log(3.0), 16.0], [99.0, 99.0]]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False]])
    np.testing.assert_allclose(pooling.weights(h, mask).detach(), [[0.25, 0.75, 0]], atol=1e-12)
    np.testing.assert_allclose(pooling(h, mask).detach(), [[0.75 * np.log(3), 14]], atol=1e-12)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_parameter_count(cell, gates):
    """Each direction of a layer has gates * h * (inputs + h + 2 biases)."""
    head = Recurrent(39, 7, cell=cell)
    first, second = (2 * gates * 128 * (n_in + 128 + 2) for n_in in (39, 256))
    expected = first + second + 256 + 7 * 256 + 7
    assert sum(p.numel() for p in head.parameters()) == expected


def test_dropout_between_the_layers_and_before_the_classifier():
    """Catches one of the two left out, and dropped features."""
    head = Recurrent(3, 2, hidden=8, layers=3, dropout=0.5).train()
    seen = []
    head.drop.register_forward_hook(lambda module, args, out: seen.append(out))
    logits = head(torch.randn(4, 9, 3), LENGTHS)
    assert [tuple(out.shape) for out in seen] == [(4, 9, 16), (4, 9, 16), (4, 16)]
    assert all((out == 0).any() for out in seen)
    torch.testing.assert_close(head.classifier(seen[-1]), logits)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"cell": "lstn"}, r"cell 'lstn'.*rnn, lstm, gru"),
        ({"pooling": "max"}, r"pooling 'max'.*attention"),
        ({"layers": 0}, "0 layers of 128 units"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(ModelError, match=message):
        Recurrent(3, 2, **params)
