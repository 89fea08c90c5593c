"""The DCRN: its convolutions against torch's, the whole network against loops, and its grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.dcrn import DCRN, channel_max, fft_conv1d
from serfeat.models.losses import ccc_loss

TINY = {"sr": 500, "filters": 6, "pool": 3, "hidden": 4}  # 40 ms are 20 samples


def _head(**params) -> DCRN:
    return DCRN(1, 3, **(TINY | params)).double()


def _waves(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise, padded with what is not a number: (batch, longest, 1) and the lengths."""
    x = torch.full((len(lengths), max(lengths), 1), float("nan"), dtype=torch.float64)
    for i, n in enumerate(lengths):
        x[i, :n, 0] = torch.randn(n, dtype=torch.float64)
    return x, torch.tensor(lengths)


# ---------------------------------------------------------------------------- the operations


@pytest.mark.parametrize("taps", [1, 2, 5, 8, 40])
@pytest.mark.parametrize("time", [1, 7, 57, 200])
def test_fft_convolution_is_torchs(taps, time):
    """Values and both slopes. Caught: a convolution for a correlation, a block that wraps round,
    an even number of taps that leans to the past, blocks of one clip added to the next.
    """
    x = torch.randn(2, 3, time, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, taps, dtype=torch.float64, requires_grad=True)
    left = (taps - 1) // 2
    theirs = F.conv1d(F.pad(x, (left, taps - 1 - left)), weight)
    ours = fft_conv1d(x, weight)
    torch.testing.assert_close(ours, theirs, atol=1e-11, rtol=0)
    toward = torch.randn_like(theirs)
    for a, b in zip(
        torch.autograd.grad(ours, (x, weight), toward),
        torch.autograd.grad(theirs, (x, weight), toward),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_fft_convolution_of_the_papers_4000_taps():
    """In single precision, as it is used, against torch's 'same'."""
    x, weight = torch.randn(1, 2, 9000), torch.randn(3, 2, 4000) / 4000**0.5
    padded = F.pad(x.double(), (1999, 2000))  # what torch's "same" does, without its warning
    theirs = F.conv1d(padded, weight.double())
    torch.testing.assert_close(fft_conv1d(x, weight).double(), theirs, atol=1e-5, rtol=0)


def test_channel_maximum_of_neighbours():
    """40 channels to 2 are 0-19 and 20-39. Caught: every second channel, and a view that mixes
    time and channels.
    """
    x = torch.randn(3, 40, 11)
    ours = channel_max(x, 20)
    torch.testing.assert_close(ours, x.reshape(3, 2, 20, 11).amax(2))
    for channel, members in enumerate((range(20), range(20, 40))):
        for t in range(11):
            assert ours[1, channel, t] == max(float(x[1, m, t]) for m in members)


# ---------------------------------------------------------------------------- the network


def _same(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Correlate x (n_in, time) with weight (n_out, n_in, taps), tap by tap; zeros outside."""
    taps, time = weight.shape[2], x.shape[1]
    y = np.zeros((len(weight), time))
    for t in range(time):
        for k in range(taps):
            source = t + k - (taps - 1) // 2
            if 0 <= source < time:
                y[:, t] += weight[:, :, k] @ x[:, source]
    return y


def _lstm(x: np.ndarray, w: list[np.ndarray]) -> np.ndarray:
    """One direction of one layer by the textbook's equations: (frames, in) to (frames, hidden)."""
    w_x, w_h, b_x, b_h = w
    h, c = np.zeros(w_h.shape[1]), np.zeros(w_h.shape[1])
    out = []
    for frame in x:
        i, f, g, o = np.split(w_x @ frame + b_x + w_h @ h + b_h, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        out.append(h)
    return np.array(out)


def _reference(head: DCRN, wave: np.ndarray) -> np.ndarray:
    """Outputs for each 40 ms of one clip alone, (n40, n_classes), from the weights alone."""
    state = {k: v.detach().numpy() for k, v in head.state_dict().items()}
    x = (wave - wave.mean()) / wave.std()
    h = np.maximum(_same(x[None], state["filters_a"]), 0)
    h = np.pad(h, ((0, 0), (0, h.shape[1] % 2)))
    h = np.maximum(h[:, ::2], h[:, 1::2])
    h = _same(h, state["filters_b"])
    h = np.array([h[i : i + head.pool].max(0) for i in range(0, len(h), head.pool)])
    half = head.frame // 2
    h = np.pad(h, ((0, 0), (0, -h.shape[1] % half)))
    x = np.array([h[:, t : t + half].T.ravel() for t in range(0, h.shape[1], half)])
    for layer in (0, 1):
        names = [f"lstm.{p}_l{layer}" for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        directions = [_lstm(x, [state[n] for n in names])]
        if names[0] + "_reverse" in state:
            directions.append(_lstm(x[::-1], [state[n + "_reverse"] for n in names])[::-1])
        x = np.hstack(directions)
    y = x @ state["classifier.weight"].T + state["classifier.bias"]
    return np.tanh(y) if head.activation == "tanh" else y


@pytest.mark.parametrize(
    "params",
    [{"taps": (4, 9)}, {"taps": (3, 30), "size": "paper", "activation": "tanh"}],
)
def test_the_network_is_that_of_the_loops(params):
    """Clips of odd lengths in one batch, each against loops over it alone.

    Caught: no rectification, or a second one; the pair at an odd end taken from the filter's tail;
    the second filters' tail left beyond the clip; channels before time in a frame; a backward
    LSTM that starts in the padding; the last incomplete frame dropped; tanh of the mean.
    """
    head = _head(**params).eval()
    with torch.no_grad():
        for parameter in head.parameters():  # biases too: 0 hides what they are added to
            parameter.uniform_(-0.5, 0.5)
    x, lengths = _waves(83, 20, 41, 7, 160)
    frames, logits = head.frames(x, lengths).detach(), head(x, lengths).detach()
    for i, n in enumerate(lengths.tolist()):
        expected = _reference(head, x[i, :n, 0].numpy())
        np.testing.assert_allclose(frames[i, : len(expected)], expected, atol=1e-11)
        assert float(frames[i, len(expected) :].abs().sum()) == 0
        np.testing.assert_allclose(logits[i], expected.mean(0), atol=1e-11)


def test_waveform_has_mean_0_and_variance_1_over_the_clip():
    """Caught: moments over the padding, a sample variance (n - 1)."""
    x, lengths = _waves(83, 20, 2)
    wave, counts = _head().waveform(0.01 * x + 0.3, lengths)
    assert wave.shape == (3, 100)
    for i, n in enumerate(counts.tolist()):
        own = x[i, :n, 0].numpy()
        np.testing.assert_allclose(wave[i, :n], (own - own.mean()) / own.std(), atol=1e-9)
        assert float(wave[i, n:].abs().sum()) == 0


def test_gain_and_offset_of_the_recording_change_nothing():
    head = _head().eval()
    x, lengths = _waves(83, 20)
    torch.testing.assert_close(head(0.003 * x - 0.2, lengths), head(x, lengths), atol=1e-9, rtol=0)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_a_clip_without_a_signal_is_finite(level):
    """A silent clip and a constant one stay 0; rounding is not blown up to unit variance."""
    head = DCRN(1, 3, **TINY).eval()
    wave, _ = head.waveform(torch.full((1, 77, 1), level), torch.tensor([77]))
    assert float(wave.abs().max()) < 1e-6
    assert torch.isfinite(head(torch.full((1, 1, 1), level), torch.tensor([1]))).all()


def test_frames_of_samples_are_the_same_waveform():
    """Caught: samples of a frame read column by column, lengths that stay in frames."""
    x, _ = _waves(120, 120)
    lengths = torch.tensor([24, 15])
    rows = DCRN(5, 3, n_samples=5, **TINY).double().eval()
    plain = _head().eval()
    plain.load_state_dict(rows.state_dict())
    torch.testing.assert_close(
        rows(x.reshape(2, 24, 5), lengths), plain(x, 5 * lengths), atol=1e-12, rtol=0
    )


def test_a_frame_counts_when_it_holds_a_sample():
    """40 ms at 16 kHz are 640 samples. Caught: rounding down."""
    head = DCRN(1, 2)
    counts = head.frame_counts(torch.tensor([1, 639, 640, 641, 96000, 96001]))
    assert counts.tolist() == [1, 1, 1, 2, 150, 151]
    hops = DCRN(160, 2, n_samples=160).frame_counts(torch.tensor([1, 4, 5]))
    assert hops.tolist() == [1, 1, 2]


def _lstm_count(n_in: int, hidden: int) -> int:
    return 4 * hidden * (n_in + hidden + 2)


def test_parameter_counts():
    """Table of the sizes: compact with 1280 inputs of the LSTM, paper with 640."""
    compact = 40 * 20 + 40 * 40 * 40 + _lstm_count(1280, 256) + _lstm_count(256, 256) + 256 * 2 + 2
    paper = 40 * 80 + 40 * 40 * 4000
    paper += 2 * (_lstm_count(640, 128) + _lstm_count(256, 128)) + 256 * 2 + 2
    assert sum(p.numel() for p in DCRN(1, 2).parameters()) == compact == 2_166_562
    assert sum(p.numel() for p in DCRN(1, 2, size="paper").parameters()) == paper == 7_587_458


def test_filters_keep_their_duration_at_another_rate():
    assert DCRN(1, 2, sr=8000).filters_b.shape == (40, 40, 20)
    assert DCRN(1, 2, sr=2000, size="paper").filters_a.shape == (40, 1, 10)


def test_the_forget_gate_starts_open():
    """Its bias is 1 (in one of torch's two bias vectors), all others are 0."""
    for size in ("compact", "paper"):
        head = _head(size=size)
        for label, bias in head.lstm.named_parameters():
            if label.startswith("bias"):
                expected = [0.0] * 4 + [float("ih" in label)] * 4 + [0.0] * 8
                assert bias.tolist() == expected, label


@pytest.mark.parametrize(
    ("size", "dropout", "differs"),
    [("compact", 0.0, False), ("compact", 0.5, True), ("paper", 0.0, True)],
)
def test_noise_and_dropout_are_for_training(size, dropout, differs):
    """The paper's network hears noise even without dropout, the compact one does not."""
    head = _head(size=size, dropout=dropout, taps=(4, 9))
    x, lengths = _waves(83, 60)
    head.train()
    assert torch.equal(head(x, lengths), head(x, lengths)) != differs
    head.eval()
    assert torch.equal(head(x, lengths), head(x, lengths))


@pytest.mark.parametrize(("size", "where"), [("compact", [1, 0, 0]), ("paper", [0, 1, 1])])
def test_what_is_dropped(size, where):
    """Samples of the waveform, or what both convolutions put out."""
    head = _head(size=size, dropout=0.5, taps=(4, 9)).train()
    x, lengths = _waves(200, 200)
    dropped = []
    for layer in (head.drop_input, head.drop):
        layer.register_forward_hook(
            lambda _, args, out: dropped.append(float((out[args[0] != 0] == 0).double().mean()))
        )
    head(x, lengths)
    np.testing.assert_allclose(dropped, 0.5 * np.array(where), atol=0.1)


def test_ten_sequences_are_learnt_by_heart():
    """Loudness and pitch of a tone as the two dimensions: a CCC above 0.95 for both.

    The compact network as it is, 0.32 s for each sequence; a gradient that is cut anywhere, or
    frames out of step with their targets, do not get there.
    """
    n40 = 8
    time = torch.arange(n40 * 640) / 16000
    middles = (torch.arange(n40) + 0.5) / 25
    rate, phase = 5 * torch.rand(2, 10, 1) + 3, 2 * torch.pi * torch.rand(2, 10, 1)
    loudness, pitch = torch.sin(2 * torch.pi * rate * time / 2 + phase)  # 2 times (10, time)
    targets = torch.sin(2 * torch.pi * rate * middles / 2 + phase).permute(1, 2, 0)
    angle = 2 * torch.pi * torch.cumsum(400 * 2**pitch, 1) / 16000
    x, lengths = (torch.exp(loudness) * torch.sin(angle))[:, :, None], torch.full((10,), n40 * 640)
    head = DCRN(1, 2, activation="tanh", dropout=0.0)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
    for _ in range(60):
        outputs = head.frames(x, lengths)  # (10, 8, 2)
        loss = ccc_loss(outputs.reshape(-1, 2), targets.reshape(-1, 2))
        if float(loss.detach()) < 0.03:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert outputs.shape == targets.shape
    for k in range(2):
        p, t = (a[:, :, k].detach().numpy().ravel().astype(float) for a in (outputs, targets))
        spread = p.var() + t.var() + (p.mean() - t.mean()) ** 2
        assert 2 * ((p - p.mean()) * (t - t.mean())).mean() / spread > 0.95


@pytest.mark.parametrize(
    ("n_features", "params", "message"),
    [
        (39, {}, "n_features 39 with n_samples 0.*waveform alone"),
        (80, {"n_samples": 160}, "n_features 80 with n_samples 160"),
        (168, {"n_samples": 160}, "n_features 168 with n_samples 160"),
        (1, {"size": "papers"}, "'papers'.*compact, paper"),
        (1, {"activation": "relu"}, "'relu'.*tanh"),
        (1, {"sr": 11025}, "40 ms are 441 samples, expected an even number"),
        (1, {"taps": (5,)}, "taps .5,., expected two"),
        (1, {"pool": 7}, "pool 7 does not divide 40 filters"),
    ],
)
def test_wrong_parameters(n_features, params, message):
    with pytest.raises(ModelError, match=message):
        DCRN(n_features, 2, **params)
