"""Scales, filter banks and transforms, against closed forms, librosa and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from serfeat import spectrum
from serfeat.errors import FeatureError
from serfeat.jit import COMPILED
from serfeat.signal import bands


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, 400)) * np.hamming(400)


def direct_lags(x: np.ndarray, n: int) -> np.ndarray:
    length = x.shape[1]
    return np.array([[v[: length - k] @ v[k:] for k in range(n)] for v in x])


# ------------------------------------------------------------------------------------------ scales
def test_htk_mel_of_1_khz_is_1000() -> None:
    assert spectrum.hz_to_mel(1000.0, "htk") == pytest.approx(1000.0, abs=0.1)
    assert spectrum.hz_to_mel(0.0, "htk") == 0.0


def test_slaney_mel_of_its_knee() -> None:
    """Catches a wrong knee: 15 mel at 1 kHz, 42 mel at 6.4 kHz (27 log steps)."""
    np.testing.assert_allclose(spectrum.hz_to_mel([1000.0, 6400.0]), [15.0, 42.0], rtol=1e-12)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_mel_and_back(scale: spectrum.MelScale) -> None:
    f = np.linspace(0, 22050, 1000)
    np.testing.assert_allclose(
        spectrum.mel_to_hz(spectrum.hz_to_mel(f, scale), scale), f, atol=1e-8
    )


def test_bark_and_erb() -> None:
    f = np.linspace(0, 8000, 100)
    np.testing.assert_allclose(spectrum.bark_to_hz(spectrum.hz_to_bark(f)), f, atol=1e-9)
    assert spectrum.hz_to_bark(600.0) == pytest.approx(6 * np.log(1 + np.sqrt(2)))
    assert spectrum.erb(1000.0) == pytest.approx(132.639)
    # The rate counts bandwidths: its slope is 1 / bandwidth (the constants agree to 1 %).
    slope = np.diff(spectrum.hz_to_erb_rate([2000.0, 2001.0]))[0]
    assert slope * spectrum.erb(2000.0) == pytest.approx(1.0, rel=0.01)


# ------------------------------------------------------------------------------------------- banks
@pytest.mark.parametrize(("sr", "n_fft", "n"), [(22050, 2048, 128), (8000, 256, 20)])
def test_slaney_bank_is_librosas(sr: int, n_fft: int, n: int) -> None:
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n, dtype=np.float64)
    np.testing.assert_allclose(spectrum.mel_filterbank(sr, n_fft, n), expected, atol=1e-12)


def test_htk_bank_sums_to_one_between_its_first_and_last_peak() -> None:
    """Triangles straight in mel overlap to exactly 1; straight in Hz they do not."""
    bank = spectrum.mel_filterbank(16000, 512, 26, scale="htk")
    peaks = spectrum.mel_to_hz(np.linspace(0, spectrum.hz_to_mel(8000, "htk"), 28), "htk")
    f = np.arange(257) * 16000 / 512
    inside = (f >= peaks[1]) & (f <= peaks[-2])
    np.testing.assert_allclose(bank.sum(0)[inside], 1.0, atol=1e-12)
    assert (bank[:, 0] == 0).all()  # HTK leaves the DC bin out
    in_hz = spectrum.mel_filterbank(16000, 512, 26, scale="htk", linear_in="hz")
    assert 0.01 < np.abs(bank - in_hz).max() < 0.02


def test_bank_is_cut_at_nyquist_and_read_only() -> None:
    bank = spectrum.mel_filterbank(8000, 256, 26, f_low=20, f_high=8000, scale="htk")
    same = spectrum.mel_filterbank(8000, 256, 26, f_low=20, f_high=4000, scale="htk")
    np.testing.assert_array_equal(bank, same)
    assert not bank.flags.writeable
    with pytest.raises(FeatureError, match="f_low < f_high"):
        spectrum.mel_filterbank(8000, 256, 26, f_low=5000)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 41])
def test_band_powers_are_the_matrix_product(n: int) -> None:
    """Groups of four frames and a rest; a band without bins is at the floor.

    Seen to catch a rest that is left out, a first bin that is one too high, a lost floor.
    """
    power = np.random.default_rng(0).random((n, 257))
    weights = np.array(spectrum.mel_filterbank(16000, 512, 26, scale="htk"))
    weights[3] = 0.0
    bank = bands.sparse_bank(weights)
    expected = np.maximum(power @ weights.T, 2.0)
    assert (expected == 2.0).any()
    np.testing.assert_allclose(bands.band_powers(power, bank, 2.0), expected, rtol=1e-12)
    out = np.full((n, 26), np.nan)
    kernel = getattr(bands._band_sums, "py_func", bands._band_sums)
    kernel(power, bank.first, bank.start, bank.weights, 2.0, out)
    np.testing.assert_allclose(out, expected, rtol=1e-12)


def test_band_powers_of_a_full_bank() -> None:
    weights = np.random.default_rng(0).random((5, 257))
    power = np.random.default_rng(1).random((9, 257))
    got = bands.band_powers(power, bands.sparse_bank(weights))
    np.testing.assert_allclose(got, power @ weights.T, rtol=1e-12)


def test_a_full_bank_has_a_floor() -> None:
    """Seen to catch a floor that is lost where the bank is a matrix product."""
    power = np.array([[1 / 257] * 257, [0.0] * 257])
    found = bands.band_powers(power, bands.sparse_bank(np.ones((5, 257))), 0.3)
    np.testing.assert_allclose(found, [[1.0] * 5, [0.3] * 5])


@pytest.mark.skipif(not COMPILED, reason="a matrix product has no such promise")
def test_band_powers_do_not_depend_on_the_neighbours() -> None:
    """The same bits for a frame alone as among others."""
    power = np.random.default_rng(0).random((11, 257))
    bank = bands.sparse_bank(spectrum.mel_filterbank(16000, 512, 26, scale="htk"))
    whole = bands.band_powers(power, bank)
    for t in range(11):
        np.testing.assert_array_equal(bands.band_powers(power[t : t + 1], bank)[0], whole[t])


@pytest.mark.parametrize(("low", "first"), [(14.0, 1), (17.0, 2), (45.0, 2), (49.0, 3)])
def test_htks_lowest_bin(low: float, first: int) -> None:
    """HTK's ``klo = (int)(low / 31.25 + 2.5)``, which counts from 1: one less here.

    Seen to catch 1.65 for the 1.5 that is left.
    """
    bank = spectrum.mel_filterbank(16000, 512, 26, f_low=low, scale="htk")
    assert np.flatnonzero(bank.any(axis=0))[0] == first


def test_first_bin_overrides_htks_rule() -> None:
    kept = spectrum.mel_filterbank(16000, 512, 23, f_low=20.0, scale="htk", first_bin=0)
    assert kept[0, 1] > 0
    assert spectrum.mel_filterbank(16000, 512, 23, f_low=20.0, scale="htk")[0, 1] == 0


# -------------------------------------------------------------------------------------- transforms
def test_dct_is_orthonormal() -> None:
    matrix = spectrum.dct_ortho(np.eye(26))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(26), atol=1e-12)
    np.testing.assert_allclose(spectrum.dct_ortho(np.full(26, -100.0), 1), -100 * np.sqrt(26))
    with pytest.raises(FeatureError, match="1 to 26"):
        spectrum.dct_ortho(np.eye(26), 27)


@pytest.mark.parametrize("n_lags", [13, 100])
def test_autocorrelation_is_the_direct_sum(frames: np.ndarray, n_lags: int) -> None:
    """Both paths (matrix, DCT-I); catches a wrong weight of the first or last bin."""
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    got = spectrum.autocorrelation(power, n_lags)
    np.testing.assert_allclose(got, direct_lags(frames, n_lags), atol=1e-10)


def test_autocorrelation_of_every_lag(frames: np.ndarray) -> None:
    power = np.abs(np.fft.rfft(frames, 1024)) ** 2
    got = spectrum.autocorrelation(power)
    assert got.shape == (40, 513)
    np.testing.assert_allclose(got[:, :400], direct_lags(frames, 400), atol=1e-10)


def test_delta_of_a_ramp_is_its_slope() -> None:
    """Catches a wrong divisor; at the ends the repeated frame makes the slope smaller."""
    got = spectrum.delta(3.0 * np.arange(10.0)[:, None])[:, 0]
    np.testing.assert_allclose(got[2:-2], 3.0)
    np.testing.assert_allclose(got[0], 3.0 * (1 * 1 + 2 * 2) / 10)


def test_delta_follows_a_linear_filter() -> None:
    c = np.random.default_rng(1).standard_normal((50, 3))
    padded = np.pad(c, ((2, 2), (0, 0)), mode="edge")
    expected = lfilter([0.2, 0.1, 0.0, -0.1, -0.2], [1.0], padded, axis=0)[4:]
    np.testing.assert_allclose(spectrum.delta(c), expected, atol=1e-14)


def test_delta_through_nan_is_nan() -> None:
    c = np.arange(9.0)
    c[4] = np.nan
    got = spectrum.delta(c)
    assert np.isnan(got[2:7]).all()
    assert np.isfinite(got[[0, 1, 7, 8]]).all()


def test_delta_of_one_frame_is_zero() -> None:
    np.testing.assert_array_equal(spectrum.delta(np.array([[5.0, 7.0]])), [[0.0, 0.0]])
    assert spectrum.delta(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_moving_average_is_the_mean_of_the_neighbours(width: int) -> None:
    """One frame at a time. Seen to catch a frame more on the right, a count that begins with 2."""
    c = np.random.default_rng(0).standard_normal((12, 2))
    c[4:6, 0] = np.nan
    c[1, 1] = np.nan
    found = spectrum.moving_average(c, width)
    for i in range(len(c)):
        for k in range(2):
            near = c[max(i - width // 2, 0) : i + width // 2 + 1, k]
            expected = np.nanmean(near) if np.isfinite(c[i, k]) else np.nan
            np.testing.assert_allclose(found[i, k], expected, rtol=1e-12)


def test_a_moving_average_is_of_three_frames() -> None:
    """If nothing is said, as openSMILE's sma3. Seen to catch five."""
    found = spectrum.moving_average(np.array([1.0, 2, 6, 10]))
    np.testing.assert_allclose(found, [1.5, 3, 6, 8])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_slopes_plain_and_compiled(width: int) -> None:
    """HTK Book, eq. 5.16, one frame at a time; both ways. Seen to catch 3 for the 2 below."""
    c = np.random.default_rng(1).standard_normal((9, 3))
    n = len(c)
    unit = 2 * sum(j * j for j in range(1, width + 1))
    expected = np.array([
        sum(j * (c[min(i + j, n - 1)] - c[max(i - j, 0)]) for j in range(1, width + 1)) / unit
        for i in range(n)
    ])  # fmt: skip
    for slopes in (spectrum._slopes_plain, spectrum._slopes):
        out = np.empty_like(c)
        slopes(c, width, out)
        np.testing.assert_allclose(out, expected, rtol=1e-12)
