"""The grid and the shared analysis against librosa, SciPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.signal

import serfeat.shorttime as module
from serfeat.errors import AudioError, FeatureError
from serfeat.shorttime import BLOCK, Descriptor, Grid, ShortTime, window

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 159, 160, 161, 400, 401, 16_000])
def test_frame_count_and_centring(n: int) -> None:
    """Frame i holds sample i*hop in its middle; catches a shift by one hop or half a frame."""
    x = np.arange(1, n + 1) / (n + 1)
    st = ShortTime(x, 16_000)
    assert st.n_frames == 1 + n // 160
    frames = st.frames(401)
    assert frames.shape == (st.n_frames, 401)
    for i in range(st.n_frames):
        centre = x[i * 160] if i * 160 < n else 0.0
        assert frames[i, 200] == centre


def test_grid_is_librosas() -> None:
    librosa = pytest.importorskip("librosa")
    x = RNG.standard_normal(5000)
    ours = ShortTime(x, 22_050, 512 / 22_050).power(2048, window_name="hann_periodic")
    theirs = np.abs(librosa.stft(x, n_fft=2048, hop_length=512)) ** 2
    assert ours.shape == theirs.T.shape
    assert np.abs(ours - theirs.T).max() < 1e-8 * theirs.max()


def test_left_alignment_is_htks() -> None:
    st = ShortTime(np.arange(1000.0), 16_000)
    frames = st.frames(400, align="left")
    assert frames.shape == (1 + (1000 - 400) // 160, 400)
    assert (frames[2] == np.arange(320, 720)).all()
    assert ShortTime(np.ones(100), 16_000).frames(400, align="left").shape == (1, 400)


def test_windows() -> None:
    assert window("hamming", 401) == pytest.approx(scipy.signal.windows.hamming(401))
    assert window("hann_periodic", 400) == pytest.approx(scipy.signal.windows.hann(400, sym=False))
    gauss = window("gauss", 501)
    assert gauss[250] == pytest.approx(1.0)
    assert gauss == pytest.approx(gauss[::-1])
    assert gauss[0] < 1e-5 * 5
    with pytest.raises(FeatureError):
        window("hanming", 10)  # type: ignore[arg-type]


def test_parseval_and_blocks() -> None:
    """More frames than one block, each with the energy of its windowed samples."""
    x = RNG.standard_normal(160 * (2 * BLOCK + 7))
    st = ShortTime(x, 16_000)
    power = st.power(400, 512)
    total = (power[:, 0] + power[:, -1] + 2 * power[:, 1:-1].sum(axis=1)) / 512
    energy = ((st.frames(400) * window("hamming", 400)) ** 2).sum(axis=1)
    assert total == pytest.approx(energy, rel=1e-10)


def test_preemphasis_is_per_frame() -> None:
    x = RNG.standard_normal(2000)
    st = ShortTime(x, 16_000)
    frame = st.frames(400)[3]
    emphasised = np.r_[frame[0] * (1 - 0.97), frame[1:] - 0.97 * frame[:-1]]
    expected = np.abs(np.fft.rfft(emphasised * np.hamming(400), 512)) ** 2
    assert st.power(400, 512, preemphasis=0.97)[3] == pytest.approx(expected, rel=1e-9)


def test_memo_computes_once_and_is_read_only() -> None:
    st = ShortTime(np.ones(500), 16_000)
    assert st.power(400) is st.power(400)
    assert st.power(400) is not st.power(400, preemphasis=0.97)
    with pytest.raises(ValueError, match="read-only"):
        st.power(400)[0, 0] = 1.0


def test_bad_signals() -> None:
    for bad, match in ((np.zeros((2, 2)), "shape"), (np.zeros(0), "no samples")):
        with pytest.raises(AudioError, match=match):
            ShortTime(bad, 16_000)
    with pytest.raises(AudioError, match=r"1 samples .* first at 0\.12 ms"):
        ShortTime(np.array([0.0, 0.0, np.inf]), 16_000)
    with pytest.raises(FeatureError, match="shorter than one sample"):
        ShortTime(np.zeros(10), 16_000, hop=1e-9)


def test_descriptor_contract() -> None:
    st = ShortTime(np.zeros(1000), 16_000)
    wrong = Descriptor("w", ("a",), "1", "", "", lambda st: np.zeros(3))
    with pytest.raises(FeatureError, match="shape"):
        wrong(st)
    infinite = Descriptor("i", ("a",), "1", "", "", lambda st: np.full(st.n_frames, np.inf))
    with pytest.raises(FeatureError, match="infinite"):
        infinite(st)
    assert Grid(16_000, 160, 1600).times[1] == 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_are_their_plain_versions(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches samples of the zeros beyond the ends from which the mean was taken away too."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(500)
    starts = np.arange(-150, 520, 70)
    weights, mean = rng.standard_normal(100), rng.standard_normal(len(starts))
    results = []
    for compiled in (True, False):
        monkeypatch.setattr(module, "COMPILED", compiled)
        out = np.full((len(starts), 120), 7.0, dtype=dtype)
        module.cut_frames(x, starts, weights, out, mean)
        spectrum = scipy.fft.rfft(out, axis=1)
        results.append((out, module.squared_magnitude(spectrum)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-6)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-5)
    assert (results[0][0][:, 100:] == 7).all()
    np.testing.assert_array_equal(results[0][0][0, :100], 0)
