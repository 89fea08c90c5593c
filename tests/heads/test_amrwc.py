"""AMRWC: the fusion against a plain NumPy version, silence, the stages of training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.am_resnet import AMResNet
from serfeat.heads.amrwc import AMRWC

VARIANTS = ("amrwc", "amrwf", "slides")
HOP, ENCODER, CLASSES = 20, 6, 4
STRIDES = (4, 4, 2)  # 600 samples -> 19 positions


def _waveforms(clips: int = 3, frames: int = 30, seed: int = 0) -> torch.Tensor:
    """(clips, frames, HOP + ENCODER): samples with a pause of zeros, and encoder frames."""
    x = torch.randn(clips, frames, HOP + ENCODER, generator=torch.Generator().manual_seed(seed))
    x[:, 10:15, :HOP] = 0
    return x


def _head(variant: str = "amrwc", **params) -> AMRWC:
    """A head whose statistics and biases have moved, so that 0 does not stay 0 by itself."""
    given = {"n_encoder": ENCODER, "n_samples": HOP, "width": 8, "strides": STRIDES} | params
    head = AMRWC(given.pop("n_features", HOP + ENCODER), CLASSES, variant=variant, **given)
    for name, parameter in head.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, 0.2, 0.5)
        elif "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    head.train()
    with torch.no_grad():
        for seed in range(5):
            x = torch.randn(4, 30, head.n_encoder + (given["n_samples"] or 5)) + 0.5
            head(x, torch.tensor([30, 22 + seed, 30, 9]))
    return head.eval()


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max())


# ------------------------------------------------------------------------- an independent version
def _layer_norm(v: np.ndarray, layer: torch.nn.LayerNorm) -> np.ndarray:
    gamma, beta = (p.detach().numpy() for p in (layer.weight, layer.bias))
    return gamma * (v - v.mean()) / np.sqrt(v.var() + 1e-5) + beta


def _linear(v: np.ndarray, layer: torch.nn.Linear) -> np.ndarray:
    y = layer.weight.detach().numpy() @ v
    return y if layer.bias is None else y + layer.bias.detach().numpy()


def _answers(own, other, valid, module, heads) -> list[np.ndarray]:
    """softmax(Q K^T / sqrt d) V, one position and one head after the other."""
    q = [_linear(v, module.q) for v in own]
    k = [_linear(v, module.k) for v in other]
    v = [_linear(v, module.v) for v in other]
    d = len(q[0]) // heads
    out = []
    for i in range(len(own)):
        parts = []
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            scores = {j: q[i][part] @ k[j][part] / np.sqrt(d) for j in valid}
            total = sum(np.exp(s) for s in scores.values())
            parts.append(sum(np.exp(scores[j]) / total * v[j][part] for j in valid))
        out.append(np.concatenate(parts))
    return out


def _by_hand(head: AMRWC, clip: torch.Tensor, variant: str, heads: int) -> np.ndarray:
    """Logits of one clip (frames, columns) without padding; AM-ResNet itself is given."""
    n_first = clip.shape[1] - ENCODER
    hidden, mask = head.am_resnet.sequence(clip[None, :, :n_first], torch.tensor([len(clip)]))
    sounding = np.flatnonzero(clip[:, :n_first].reshape(-1).numpy())
    n_samples = sounding[-1] + 1  # the clip ends with its last sound
    n_frames = -(-n_samples // HOP)
    n_positions = n_samples
    for stride in STRIDES:
        n_positions = -(-n_positions // stride)
    a = hidden[0].detach().numpy()[:n_positions]
    valid = np.flatnonzero(mask[0].numpy())
    assert valid[-1] == n_positions - 1
    w = []
    for p in range(n_positions):
        first = int(np.floor(p * n_frames / n_positions))
        end = int(np.ceil((p + 1) * n_frames / n_positions))
        w.append(_linear(clip[first:end, n_first:].numpy().mean(0), head.project))
    if variant == "amrwf":
        pooled = np.concatenate([np.mean([b[j] for j in valid], 0) for b in (a, w)])
        hidden_units = np.maximum(_linear(pooled, head.classifier[0]), 0)
        return _linear(hidden_units, head.classifier[3])
    branches = []
    for own, other, module in ((a, w, head.interactions[0]), (w, a, head.interactions[1])):
        answers = _answers(own, other, valid, module, heads)
        rows = []
        for i in valid:
            joint = answers[i]
            if variant == "amrwc":
                joint = _layer_norm(np.concatenate([own[i], joint]), module.norm_joint)
            up = np.maximum(_linear(joint, module.feed_forward[0]), 0)
            rows.append(_layer_norm(joint + _linear(up, module.feed_forward[2]), module.norm_out))
        branches.append(np.mean(rows, 0))
    return _linear(np.concatenate(branches), head.classifier)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_fusion_is_the_equations(variant, heads):
    """Rung 2, float64, clip by clip against a padded batch, with a pause and a silent end."""
    head = _head(variant, attention_heads=heads).double()
    x = _waveforms(4).double()
    x[1, 20:] = float("nan")  # padding
    x[2, 21, 7:HOP] = x[2, 22:, :HOP] = 0  # ends within a frame
    lengths = torch.tensor([30, 20, 30, 1])
    logits = head(x, lengths)
    for i, n in enumerate(lengths.tolist()):
        expected = _by_hand(head, x[i, :n], variant, heads)
        np.testing.assert_allclose(logits[i].detach(), expected, atol=1e-10, rtol=0)


# ------------------------------------------------------------------------------------- silence
@pytest.mark.parametrize("more", [1, 7, 64, 501])
@pytest.mark.parametrize("variant", VARIANTS)
def test_appended_silence_changes_no_logit(variant, more):
    """The defining test, on a waveform; the encoder may say anything of the silence."""
    head = _head(variant)
    x, lengths = _waveforms(), torch.tensor([30, 30, 24])
    silence = 5 * torch.randn(3, more, HOP + ENCODER)
    silence[:, :, :HOP] = 0
    longer = torch.zeros(3, 30 + more, HOP + ENCODER)
    for i, n in enumerate(lengths.tolist()):
        longer[i, : n + more] = torch.cat([x[i, :n], silence[i]])
    plain = head(x, lengths)
    assert _distance(head(longer, lengths + more), plain) < 1e-5
    assert _distance(head(longer, lengths), plain) < 1e-5


def test_zeros_in_frames_of_features():
    """They are silence if one says so; by default only the lengths count."""
    x = torch.randn(2, 40, 5 + ENCODER)
    longer = torch.cat([x, torch.randn(2, 33, 5 + ENCODER)], 1)
    longer[:, 40:, :5] = 0
    lengths = torch.tensor([40, 40])
    for silence, unchanged in ((True, True), (False, False)):
        head = _head(n_features=5 + ENCODER, n_samples=0, strides=None, zero_is_silence=silence)
        assert (_distance(head(longer, lengths + 33), head(x, lengths)) < 1e-5) == unchanged
        assert _distance(head(longer, lengths), head(x, lengths)) < 1e-5


def test_silent_positions_neither_ask_nor_answer():
    """The encoder's frames in the middle of a long pause change nothing."""
    head = _head(strides=(4, 4))
    x, lengths = _waveforms(frames=60), torch.tensor([60] * 3)
    x[:, 10:50, :HOP] = 0
    other = x.clone()
    other[:, 25:35, HOP:] += 3
    assert _distance(head(other, lengths), head(x, lengths)) < 1e-6
    other[:, 55, HOP:] += 3
    assert _distance(head(other, lengths), head(x, lengths)) > 1e-4


def test_a_silent_clip_counts_as_valid():
    x = _waveforms()
    x[:, :, :HOP] = 0
    assert torch.isfinite(_head()(x, torch.tensor([30, 1, 7]))).all()


@pytest.mark.parametrize("fixed_length", [100, 1001])
@pytest.mark.parametrize("am_resnet", ["amr", "resnet"])
def test_filling_to_a_fixed_length(am_resnet, fixed_length):
    """Finite where the positions go past the encoder's frames, and the same in any batch."""
    head = _head(am_resnet=am_resnet)
    x, lengths = _waveforms(), torch.tensor([30, 11, 3])
    plain = head(x, lengths)
    head.am_resnet.fixed_length = fixed_length
    filled = head(x, lengths)
    alone = head(x[2:, :3], lengths[2:])
    assert torch.isfinite(filled).all()
    assert _distance(alone[0], filled[2]) < 1e-5
    assert (_distance(filled[2], plain[2]) < 1e-5) == (am_resnet == "amr")


# ------------------------------------------------------------------------------------- the stages
def _trained(head: AMRWC, steps: int = 3) -> dict[str, torch.Tensor]:
    """Some steps of SGD; what changed in the state, by name.

    With weight decay: a bias in front of a batch norm has no gradient.
    """
    before = copy.deepcopy(head.state_dict())
    head.train()
    optimizer = torch.optim.SGD(
        [p for p in head.parameters() if p.requires_grad], 0.1, weight_decay=0.1
    )
    for seed in range(steps):
        optimizer.zero_grad()
        scores = head(_waveforms(8, seed=seed), torch.full((8,), 30))
        F.cross_entropy(scores, torch.arange(8) % CLASSES).backward()
        optimizer.step()
    return {k: v for k, v in head.state_dict().items() if not torch.equal(v, before[k])}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stage_0_trains_am_resnet_and_stage_1_the_rest(variant):
    """Weights and batch statistics. Catches a frozen branch whose statistics go on moving."""
    head = _head(variant)
    plain = set(head.state_dict())
    head.stage(0)
    changed = _trained(head)
    assert set(changed) == {k for k in head.state_dict() if k.startswith("am_resnet.")}
    head.stage(1)
    changed = _trained(head)
    assert set(changed) == {k for k in head.state_dict() if not k.startswith("am_resnet.")}
    assert set(head.state_dict()) == plain


def test_stage_0_is_am_resnet_itself():
    """The same logits as AMResNet with these weights; the encoder's columns do not matter."""
    head = _head()
    head.stage(0)
    alone = AMResNet(HOP, CLASSES, n_samples=HOP, width=8, strides=STRIDES)
    alone.load_state_dict(
        {k.removeprefix("am_resnet."): v for k, v in head.state_dict().items() if "am_resnet" in k}
    )
    x, lengths = _waveforms(), torch.tensor([30, 30, 13])
    expected = alone.eval()(x[:, :, :HOP], lengths)
    x[:, :, HOP:] = float("nan")
    assert _distance(head.eval()(x, lengths), expected) < 1e-6


def test_what_was_trained_in_stages_is_the_plain_network():
    """Stored after stage 1, it loads into a head that was never told of stages."""
    head = _head()
    head.stage(0)
    head.stage(1)
    fresh = _head(dropout=0.5)
    fresh.load_state_dict(head.state_dict())
    x, lengths = _waveforms(), torch.tensor([30, 9, 21])
    assert torch.equal(fresh.eval()(x, lengths), head.eval()(x, lengths))


def test_a_stage_that_begins_while_training():
    """Frozen at once, without another call of `train`, and free again."""
    head = _head().train()
    head.stage(1)
    assert not head.am_resnet.training
    assert not head.am_resnet.stem_norm.training
    assert head.interactions.training
    head.stage(0)
    assert head.am_resnet.stem_norm.training
    assert head.am_resnet.stem.weight.requires_grad


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_all_at_once_reaches_every_parameter(variant):
    """Catches a classifier of stage 0 that is built and not used, and a bias of K.

    In double precision, where no gradient can be told from rounding; only biases in front of a
    batch norm have none, as everywhere.
    """
    head = AMRWC(5 + ENCODER, CLASSES, n_encoder=ENCODER, width=8, variant=variant).double()
    x = torch.randn(8, 90, 5 + ENCODER, dtype=torch.float64)
    scores = head(x, torch.full((8,), 90))
    F.cross_entropy(scores, torch.arange(8) % CLASSES).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        before_norm = name.startswith("am_resnet.") and name.endswith("bias")
        assert before_norm or float(parameter.grad.abs().max()) > 1e-9, name


# ------------------------------------------------------------------------------------- the rest
@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_counts(variant):
    """By formula, d = 64, wav2vec 2.0's 768 columns: what is added to AM-ResNet."""
    d, c = 64, 4
    head = AMRWC(160 + 768, c, n_encoder=768, n_samples=160, variant=variant)
    trunk = AMResNet(160, 0, n_samples=160)
    added = sum(p.numel() for p in head.parameters()) - sum(p.numel() for p in trunk.parameters())
    wide = {"amrwc": 2 * d, "slides": d, "amrwf": 0}[variant]
    feed_forward = wide * 4 * d + 4 * d + 4 * d * wide + wide
    norms = {"amrwc": 2, "slides": 1, "amrwf": 0}[variant] * 2 * wide
    fusion = 2 * (3 * d * d + feed_forward + norms) + 2 * wide * c + c
    if variant == "amrwf":
        fusion = 2 * d * 4 * d + 4 * d + 4 * d * c + c
    assert added == 768 * d + d + fusion


def test_errors():
    with pytest.raises(ModelError, match=r"n_encoder 0 of 39.*add an encoder"):
        AMRWC(39, 4)
    with pytest.raises(ModelError, match="n_encoder 39 of 39"):
        AMRWC(39, 4, n_encoder=39)
    with pytest.raises(ModelError, match=r"'am'.*amrwf"):
        AMRWC(39, 4, n_encoder=9, variant="am")
    with pytest.raises(ModelError, match="divisor of width 8"):
        AMRWC(39, 4, n_encoder=9, width=8, attention_heads=3)
    with pytest.raises(ModelError, match="160 samples in a frame of 30"):
        AMRWC(39, 4, n_encoder=9, n_samples=160)
    with pytest.raises(ModelError, match="stage 2"):
        AMRWC(39, 4, n_encoder=9).stage(2)
