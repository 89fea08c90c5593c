"""TIM-Net against the golden logits and parameter counts of the published network.

The golden vectors were computed with two implementations that share no code with this one (a NumPy
reference and a PyTorch model that was checked against the authors' Keras graph, max difference
2.7e-15 in float64), on weights, statistics and input made by formulas.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from serfeat.errors import ModelError
from serfeat.heads.timnet import TIMNet

GOLDEN = {
    "full": [0.018098457, -0.0168912499, -0.0469749687, -0.0791970835, -0.0984149343,
             -0.0971359296, -0.0891387691],
    "no_bd": [0.0194472811, -0.0161879367, -0.0487298378, -0.0788872552, -0.0968389388,
              -0.09835563, -0.0900105929],
    "no_ms": [0.0194268482, -0.0163953409, -0.0485896638, -0.0787607778, -0.0970521321,
              -0.0983590241, -0.08979544],
    "no_df": [-0.0221771978, -0.0320523236, 0.0020536542, -0.0923417865, -0.1398547037,
              -0.0600667353, -0.0691002195],
}  # fmt: skip
GOLDEN_IEMOCAP = [0.0949336811, 0.0429338217, 0.062824783, 0.0323321849]


def _filled(shape: tuple[int, ...], i: int, kind: str) -> np.ndarray:
    """Tensor number i: v = 0.1 sin(0.37 m + 0.11 i) over its flat index m; see the caller."""
    v = 0.1 * np.sin(0.37 * np.arange(np.prod(shape)).reshape(shape) + 0.11 * i)
    return {"w": v, "gamma": 1 + v, "var": 1 + 0.5 * v}[kind]


def _fill(head: TIMNet, n: int) -> None:
    """Fill all tensors of the full network in the order of the specification.

    Stems forward and backward; block by block, direction by direction, convolution a, then b: W,
    b, gamma, beta, mean, var; fusion; classifier. A variant that lacks a tensor skips its number.
    """
    order = [(f"{s}.stem.{p}", "w") for s in ("forward_stream", "backward_stream")
             for p in ("weight", "bias")]  # fmt: skip
    for j in range(n):
        for stream in ("forward_stream", "backward_stream"):
            for conv in ("a", "b"):
                block = f"{stream}.blocks.{j}"
                order += [
                    (f"{block}.conv_{conv}.weight", "w"),
                    (f"{block}.conv_{conv}.bias", "w"),
                    (f"{block}.norm_{conv}.weight", "gamma"),
                    (f"{block}.norm_{conv}.bias", "w"),
                    (f"{block}.norm_{conv}.running_mean", "w"),
                    (f"{block}.norm_{conv}.running_var", "var"),
                ]
    order += [("fusion", "w"), ("classifier.weight", "w"), ("classifier.bias", "w")]
    state = head.state_dict()
    assert set(state) <= {name for name, _ in order}
    for i, (name, kind) in enumerate(order):
        if name in state:
            state[name].copy_(torch.from_numpy(_filled(tuple(state[name].shape), i, kind)))


def _golden_input(frames: int) -> torch.Tensor:
    t, f = np.arange(frames)[:, None], np.arange(39)[None, :]
    return torch.from_numpy(np.sin(0.01 * (39 * t + f)) * (1 + 0.1 * f))


def _golden_head(variant: str = "full", n: int = 8, classes: int = 7) -> TIMNet:
    head = TIMNet(39, classes, n_dilations=n, variant=variant).double().eval()
    _fill(head, n)
    return head


@pytest.mark.parametrize("variant", GOLDEN)
def test_golden_logits(variant):
    """Catches swapped taps, eps 1e-5, a missing gate, a wrong dilation, an unreversed stream."""
    x = _golden_input(188)[None]
    logits = _golden_head(variant)(x, torch.tensor([188]))[0]
    np.testing.assert_allclose(logits.detach(), GOLDEN[variant], atol=1e-9, rtol=0)


def test_golden_logits_of_the_iemocap_shape():
    logits = _golden_head(n=10, classes=4)(_golden_input(606)[None], torch.tensor([606]))[0]
    np.testing.assert_allclose(logits.detach(), GOLDEN_IEMOCAP, atol=1e-9, rtol=0)


def test_golden_logits_survive_a_batch_with_padding():
    """The backward stream begins at the last valid frame, not in the padding."""
    x = torch.full((2, 250, 39), 3.0, dtype=torch.float64)
    x[0, :188] = _golden_input(188)
    logits = _golden_head()(x, torch.tensor([188, 250]))[0]
    np.testing.assert_allclose(logits.detach(), GOLDEN["full"], atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("corpus", "classes", "n", "trainable", "statistics"),
    [
        ("EMO-DB", 7, 8, 104_496, 2_496),
        ("CASIA", 6, 8, 104_456, 2_496),
        ("EMOVO", 7, 8, 104_496, 2_496),
        ("SAVEE", 7, 8, 104_496, 2_496),
        ("RAVDESS", 8, 8, 104_536, 2_496),
        ("IEMOCAP", 4, 10, 129_650, 3_120),
    ],
)
def test_parameter_counts_of_the_published_models(corpus, classes, n, trainable, statistics):
    head = TIMNet(39, classes, n_dilations=n)
    assert sum(p.numel() for p in head.parameters()) == trainable, corpus
    assert sum(b.numel() for b in head.buffers()) == statistics, corpus


@pytest.mark.parametrize(
    ("variant", "total"), [("no_bd", 53_640), ("no_ms", 106_984), ("no_df", 106_984)]
)
def test_parameter_counts_of_the_ablations(variant, total):
    head = TIMNet(39, 7, variant=variant)
    assert sum(t.numel() for t in head.state_dict().values()) == total


def test_the_last_block_sees_511_frames():
    """Receptive field 1 + 2 (2^8 - 1); catches dilations that start at 2 or grow by 1.

    Weights are positive, so that no ReLU hides a frame.
    """
    head = TIMNet(2, 3, filters=2, variant="no_bd").double().eval()
    for parameter in head.parameters():
        torch.nn.init.constant_(parameter, 0.3)
    x = torch.ones(1, 600, 2, dtype=torch.float64, requires_grad=True)
    last = head.forward_stream(x, torch.ones(1, 600, dtype=torch.bool))[-1]
    last[0, 599].sum().backward()
    seen = torch.nonzero(x.grad[0].abs().sum(1))[:, 0]
    assert seen.tolist() == list(range(600 - 511, 600))


def test_a_gate_lets_through_at_least_half():
    head = TIMNet(4, 3, filters=4, n_dilations=1).eval()
    x = torch.randn(2, 20, 4)
    mask = torch.ones(2, 20, dtype=torch.bool)
    stem = head.forward_stream.stem(x)
    ratio = (head.forward_stream(x, mask)[0] / stem).detach()
    assert float(ratio.min()) >= 0.5 - 1e-6
    assert float(ratio.max()) < 1


def test_fusion_weights_start_small_and_free():
    weights = TIMNet(39, 7).fusion.detach()
    assert weights.shape == (8,)
    assert float(weights.abs().max()) <= 0.05
    assert abs(float(weights.sum()) - 1) > 0.1


VARIANTS = ("full", "no_bd", "no_ms", "no_df", "tcn")
CLIPS = torch.tensor([30, 47, 1, 12])


def _shaken(variant: str, *, causal: bool, dtype: torch.dtype = torch.float64) -> TIMNet:
    """A head whose batch statistics have moved, in evaluation mode."""
    head = TIMNet(5, 3, filters=6, n_dilations=4, variant=variant, causal=causal).to(dtype).train()
    with torch.no_grad():
        for _ in range(3):
            head(3 * torch.randn(4, 47, 5, dtype=dtype) + 1, CLIPS)
    return head.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("variant", VARIANTS)
def test_causal_logits_depend_on_no_later_frame(variant, dtype):
    """Not a bit changes before the frame that changed. Catches any look ahead.

    Seen to fail with a mean over the whole clip, with a backward stream, and with a convolution
    shifted by one frame.
    """
    head = _shaken(variant, causal=True, dtype=dtype)
    x, lengths = torch.randn(4, 47, 5, dtype=dtype), torch.full((4,), 47)
    before = head.frame_logits(x, lengths)
    for t in (1, 20, 46):
        later = x.clone()
        later[:, t:] = 50 * torch.randn(4, 47 - t, 5, dtype=dtype)
        after = head.frame_logits(later, lengths)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.isclose(after[:, t], before[:, t]).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_causal_logits_are_those_of_the_clip_so_far(variant):
    """Frame t: what `forward` says of the clip cut after t; so the last one is the clip's."""
    head = _shaken(variant, causal=True)
    x = torch.randn(4, 47, 5, dtype=torch.float64)
    running, whole = head.frame_logits(x, CLIPS), head(x, CLIPS)
    for i, n in enumerate(CLIPS.tolist()):
        torch.testing.assert_close(running[i, n - 1], whole[i], atol=1e-12, rtol=0)
        assert not running[i, n:].any()
        for t in range(0, n, 7):
            cut = head(x[i : i + 1, : t + 1], torch.tensor([t + 1]))[0]
            torch.testing.assert_close(running[i, t], cut, atol=1e-12, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mean_of_the_frames_logits_is_the_clips(variant):
    """Closed form: the network is linear behind its streams. Catches a missing bias or weight."""
    head = _shaken(variant, causal=False)
    x = torch.randn(4, 47, 5, dtype=torch.float64)
    x[0, 30:] = float("nan")
    frames, whole = head.frame_logits(x, CLIPS), head(x, CLIPS)
    for i, n in enumerate(CLIPS.tolist()):
        torch.testing.assert_close(frames[i, :n].mean(0), whole[i], atol=1e-12, rtol=0)
        assert not frames[i, n:].any()


def test_frames_of_a_palindrome_are_a_palindrome():
    """With equal weights for both directions; catches a backward stream that is not turned round.

    The plain sum F_j[t] + B_j[t] of the paper would give a copy of the forward stream.
    """
    head = _shaken("full", causal=False)
    head.backward_stream.load_state_dict(head.forward_stream.state_dict())
    x = torch.randn(1, 20, 5, dtype=torch.float64)
    x = torch.cat([x, x.flip(1), torch.full_like(x, 9.0)], 1)  # padding behind it
    frames = head.frame_logits(x, torch.tensor([40]))[0, :40]
    torch.testing.assert_close(frames, frames.flip(0), atol=1e-12, rtol=0)
    assert float((frames[1:] - frames[:-1]).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_causal_is_the_forward_stream_alone(variant):
    head = TIMNet(5, 3, filters=6, n_dilations=4, variant=variant, causal=True)
    assert head.backward_stream is None
    if variant == "full":
        torch.manual_seed(0)
        same = TIMNet(5, 3, filters=6, n_dilations=4, variant="no_bd")
        torch.manual_seed(0)
        head = TIMNet(5, 3, filters=6, n_dilations=4, causal=True)
        assert all(torch.equal(a, b) for a, b in zip(same.parameters(), head.parameters(),
                   strict=True))  # fmt: skip


def test_unknown_variant():
    with pytest.raises(ModelError, match=r"'no_bm'.*no_bd"):
        TIMNet(3, 2, variant="no_bm")
