"""What every head must do: these tests run over the whole table `HEADS`, and over its variants."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from serfeat.errors import UnknownNameError
from serfeat.heads import HEADS, SOURCES, make_head

FEATURES, CLASSES = 5, 4
# Small sizes, so that the tests are quick; a head that is not here is tested with its defaults.
SIZES = {
    "mlp": [{}, {"pooling": "mean_std", "batch_norm": True, "dropout": 0.0}],
    "dbn": [{"hidden": (64, 64)}, {"hidden": (16,), "dropout": 0.2}],
    "dcrn": [
        {
            "n_samples": 5,
            "sr": 1000,
            "filters": 8,
            "taps": (5, 9),
            "pool": 4,
            "hidden": 16,
        },
        {
            "n_samples": 5,
            "sr": 1000,
            "size": "paper",
            "filters": 8,
            "pool": 2,
            "hidden": 8,
        },
    ],
    "rnn": [
        {"hidden": 8},
        {"hidden": 8, "cell": "gru", "pooling": "mean"},
        {"hidden": 8, "cell": "rnn", "pooling": "last"},
        {"hidden": 8, "pooling": "last", "layers": 1, "bidirectional": False},
    ],
    "article_cnn": [{"n_frames": 24, "filters": 8}],
    "cnn1d": [
        {"filters": (8, 8, 12), "pool": 2},
        {"filters": (8, 8), "kernel": 4, "pool": 3, "lstm_units": 8},
    ],
    "parallel_cnn": [{"filters": 8, "hidden": (16,)}],
    "transformer": [
        {"width": 16, "heads": 2, "layers": 2, "feedforward": 24},
        {"width": 16, "heads": 2, "layers": 2, "feedforward": 24, "pooling": "attention"},
        {
            "width": 15,
            "heads": 3,
            "layers": 1,
            "pooling": "cls",
            "positions": "none",
        },
    ],
    "timnet": [
        *(
            {"filters": 6, "n_dilations": 4, "variant": v}
            for v in ("full", "no_bd", "no_ms", "no_df", "tcn")
        ),
        {"filters": 6, "n_dilations": 4, "causal": True},
    ],
    "am_resnet": [
        {"width": 8},
        {"width": 8, "variant": "mr", "zero_is_silence": True},
        {"width": 8, "variant": "resnet", "fixed_length": 50},
        {"width": 8, "strides": (2, 2, 1), "bn_statistics": "paper"},
        {"width": 8, "n_samples": 5, "strides": (2, 2, 2)},
    ],
    "layer_weights": [
        {"n_layers": 5, "hidden": 64, "activation": "relu"},
        {"hidden": 32, "activation": "relu", "normalise": True, "dropout": 0.2},
    ],
    "amrwc": [
        {"width": 8, "n_encoder": 2},
        {"width": 8, "n_encoder": 2, "attention_heads": 2, "zero_is_silence": True},
        {"width": 8, "n_encoder": 1, "n_samples": 4, "strides": (2, 2, 2)},
        {"width": 8, "n_encoder": 2, "variant": "amrwf"},
        {"width": 8, "n_encoder": 2, "variant": "slides", "am_resnet": "resnet"},
    ],
}
CASES = [pytest.param(n, p, id=f"{n}-{i}") for n in HEADS for i, p in enumerate(SIZES.get(n, [{}]))]
LENGTHS = torch.tensor([21, 40, 3, 17, 33, 8, 1, 30])


def _head(name, params, seed=0):
    torch.manual_seed(seed)
    return make_head(name, FEATURES, CLASSES, **params)


def _batch(seed=1):
    x = torch.randn(8, 40, FEATURES, generator=torch.Generator().manual_seed(seed))
    for i, n in enumerate(LENGTHS.tolist()):
        x[i, n:] = 0
    return x


def _trained_statistics(head):
    """Move the batch statistics away from 0 and 1, where padding would go unnoticed."""
    head.train()
    with torch.no_grad():
        for _ in range(3):
            head(3 * _batch() + 1, LENGTHS)
    return head.eval()


@pytest.mark.parametrize(("name", "params"), CASES)
def test_logits_have_the_shape_and_depend_on_each_clip(name, params):
    head = _trained_statistics(_head(name, params))
    logits = head(_batch(), LENGTHS)
    assert logits.shape == (8, CLASSES)
    assert torch.isfinite(logits).all()
    assert len(logits.unique(dim=0)) == 8


@pytest.mark.parametrize(("name", "params"), CASES)
def test_every_parameter_gets_a_gradient(name, params):
    """Catches a layer that was built but is not used, and a mask that cuts everything off."""
    head = _head(name, params).train()
    target = torch.arange(8) % CLASSES
    F.cross_entropy(head(_batch(), LENGTHS), target).backward()
    for label, parameter in head.named_parameters():
        assert parameter.grad is not None, label
        assert torch.isfinite(parameter.grad).all(), label
        assert float(parameter.grad.abs().sum()) > 0, label


@pytest.mark.parametrize(("name", "params"), CASES)
def test_half_precision_trains_and_applies(name, params):
    """Catches statistics that are kept in the batch's type (bfloat16): TIM-Net stopped on them."""
    head = _head(name, params).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(head(_batch(), LENGTHS).float(), torch.arange(8) % CLASSES)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())
    head.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        halved = head(_batch(), LENGTHS).float()
    torch.testing.assert_close(halved, head(_batch(), LENGTHS), rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("name", "params"), CASES)
@pytest.mark.parametrize("fill", [0.0, 7.0, float("nan")])
def test_padding_changes_nothing(name, params, fill):
    """The defining test. Catches unmasked means, reversals and max-pooled masks."""
    head = _trained_statistics(_head(name, params))
    x = _batch()
    padded = torch.full((8, 40 + 67, FEATURES), fill)
    for i, n in enumerate(LENGTHS.tolist()):
        padded[i, :n] = x[i, :n]
    tolerance = 1e-5 if name == "am_resnet" else 1e-6
    difference = (head(padded, LENGTHS) - head(x, LENGTHS)).detach().abs().max()
    assert float(difference) < tolerance


@pytest.mark.parametrize(("name", "params"), CASES)
def test_alone_is_as_in_a_batch(name, params):
    head = _trained_statistics(_head(name, params))
    x = _batch()
    together = head(x, LENGTHS)
    for i, n in enumerate(LENGTHS.tolist()):
        alone = head(x[i : i + 1, :n], LENGTHS[i : i + 1])[0]
        assert float((alone - together[i]).detach().abs().max()) < 1e-5


@pytest.mark.parametrize(("name", "params"), CASES)
def test_works_where_its_input_is(name, params, monkeypatch):
    """Catches a tensor made on the CPU for a batch on a GPU, and a step that reads values back.

    torch's device "meta" stands for the GPU: it knows shapes, refuses to be mixed with the CPU and
    has no values to read.
    """
    if name == "dcrn":
        pytest.skip("packs its sequences by lengths that it reads back")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # has none for "meta"
    head = _head(name, params).to("meta")
    x, lengths = _batch().to("meta"), LENGTHS.to("meta")
    for training in (False, True):
        logits = head.train(training)(x, lengths)
        assert logits.device.type == "meta"
    F.cross_entropy(logits, torch.zeros(8, dtype=torch.long, device="meta")).backward()
    assert all(p.grad.device.type == "meta" for p in head.parameters())
    if hasattr(head, "explanation"):
        found = head.eval().explanation(x, lengths)
        assert {values.device.type for values in found.values()} <= {"meta"}


@pytest.mark.parametrize(("name", "params"), CASES)
def test_same_seed_same_weights_and_state_round_trip(name, params):
    first, second, other = (_head(name, params, seed) for seed in (3, 3, 4))
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    assert any(not torch.equal(v, other.state_dict()[k]) for k, v in first.state_dict().items())
    other.load_state_dict(_trained_statistics(first).state_dict())
    assert torch.equal(other.eval()(_batch(), LENGTHS), first(_batch(), LENGTHS))


@pytest.mark.parametrize(("name", "params"), CASES)
def test_eight_clips_can_be_learnt_by_heart(name, params):
    no_dropout = {} if name == "am_resnet" else {"dropout": 0.0}
    head = _head(name, params | no_dropout).train()
    lengths = torch.full((8,), 40)
    x = torch.randn(8, 40, FEATURES, generator=torch.Generator().manual_seed(5))
    x = x + torch.randn(8, 1, FEATURES, generator=torch.Generator().manual_seed(6))
    target = torch.arange(8) % CLASSES
    optimizer = torch.optim.Adam(head.parameters(), lr=2e-2)
    for _ in range(300):
        loss = F.cross_entropy(head(x, lengths), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss = loss.detach()
        if float(loss) < 0.02:
            break
    assert (head(x, lengths).argmax(1) == target).all()
    assert float(loss) < 0.1


def test_every_head_names_its_source():
    assert set(SOURCES) == set(HEADS)


def test_unknown_names_come_with_the_nearest_known_one():
    with pytest.raises(UnknownNameError, match="did you mean 'timnet'"):
        make_head("timmnet", 3, 2)
    with pytest.raises(UnknownNameError, match=r"head timnet.*did you mean 'filters'"):
        make_head("timnet", 3, 2, filter=5)
