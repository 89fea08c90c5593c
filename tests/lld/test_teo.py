"""Teager energy: the identities of the operator, demodulation, TEO-CB-Auto-Env."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import AudioError, FeatureError
from serfeat.lld.teo import (
    BAND_EDGES,
    DESCRIPTORS,
    FLOOR_DB,
    desa1,
    desa2,
    teager,
    teo_cb_auto_env,
    teo_db,
)
from serfeat.shorttime import ShortTime

SR = 8000
T = np.arange(SR) / SR


# -------------------------------------------------------------------------------------- operators
def test_identities() -> None:
    """Sinusoid, ramp, exponential. Catches a wrong neighbour, a wrong sign, a shift by a sample."""
    n = np.arange(2000)
    sine = teager(0.7 * np.cos(0.3 * n + 0.4))
    assert np.isnan(sine[[0, -1]]).all()
    np.testing.assert_allclose(sine[1:-1], 0.7**2 * np.sin(0.3) ** 2, rtol=0, atol=1e-12)
    assert sine[1] == pytest.approx(0.04279277434712880, abs=1e-12)
    np.testing.assert_allclose(teager(0.5 * n[:50] + 3.0)[1:-1], 0.25, atol=1e-12)
    np.testing.assert_allclose(teager(0.99 ** n[:200])[1:-1], 0, atol=1e-12)
    impulse = teager([0, 0, 1.0, 0, 0])
    np.testing.assert_array_equal(impulse[1:-1], [0, 1, 0])


def test_operator_on_several_signals_and_on_short_ones() -> None:
    x = np.random.default_rng(0).standard_normal((3, 10))
    np.testing.assert_array_equal(teager(x)[1], teager(x[1]))
    for n in (0, 1, 2):
        assert np.isnan(teager(np.ones(n))).all()


@pytest.mark.parametrize("separate", [desa1, desa2])
def test_demodulation_is_exact_on_a_sinusoid(separate) -> None:  # type: ignore[no-untyped-def]
    """Catches a wrong constant in G and results that are a sample late."""
    x = 0.7 * np.cos(0.3 * np.arange(500) + 0.4)
    amplitude, frequency = separate(x, 2 * np.pi)
    np.testing.assert_allclose(frequency[2:-2], 0.3, atol=1e-10)
    np.testing.assert_allclose(amplitude[2:-2], 0.7, atol=1e-10)
    assert np.isnan(frequency[[0, 1, -2, -1]]).all()


@pytest.mark.parametrize("separate", [desa1, desa2])
def test_demodulation_follows_am_and_fm(separate) -> None:  # type: ignore[no-untyped-def]
    """30 % AM with FM: 3.2e-4 and 3.0e-4 for DESA-1 (a shift by one sample gives 2e-3)."""
    n = np.arange(8000)
    modulation = np.cos(0.0025 * np.pi * n)
    amplitude, angle = 1 + 0.3 * modulation, 0.25 * np.pi + 0.02 * np.pi * modulation
    got = separate(amplitude * np.cos(np.cumsum(angle)), 2 * np.pi)
    inner = slice(50, -50)
    assert np.sqrt(np.mean((got.frequency / angle - 1)[inner] ** 2)) < 4.5e-4
    assert np.sqrt(np.mean((got.amplitude / amplitude - 1)[inner] ** 2)) < 4.5e-4


def test_demodulation_gives_nan_where_undefined() -> None:
    for x in (np.zeros(50), np.full(50, 0.3), np.ones(1), np.ones(4), np.arange(50) * 0.0):
        for separate in (desa1, desa2):
            got = separate(x, SR)
            assert np.isnan(got.amplitude).all()
            assert np.isnan(got.frequency).all()
            assert got.amplitude.shape == x.shape
    noise = desa1(np.random.default_rng(1).standard_normal(2000), SR)
    assert 0 < np.isnan(noise.frequency).mean() < 0.9
    assert np.nanmax(noise.frequency) <= SR / 2
    with pytest.raises(AudioError, match="expected"):
        desa1(np.ones((2, 10)), SR)


# ---------------------------------------------------------------------------------------- teo_db
def test_level_of_a_tone() -> None:
    """``20 log10(A sin W)``; catches a missing sine and a frame that is not divided by its size."""
    x = 0.5 * np.sin(2 * np.pi * 400 * T)
    expected = 20 * np.log10(0.5 * np.sin(2 * np.pi * 400 / SR))
    level = teo_db(x, SR)
    assert level.shape == (101,)
    np.testing.assert_allclose(level[2:-2], expected, atol=1e-9)
    np.testing.assert_allclose(teo_db(0.1 * x, SR)[2:-2], expected - 20, atol=1e-9)
    np.testing.assert_allclose(teo_db(-x, SR), level, atol=1e-12)
    np.testing.assert_allclose(teo_db(x + 0.3, SR)[2:-2], expected, atol=1e-9)


def test_level_of_silence_is_the_floor() -> None:
    for x in (np.zeros(800), np.full(800, 0.3), np.ones(1), np.ones(2)):
        np.testing.assert_array_equal(teo_db(x, SR), FLOOR_DB)
    with pytest.raises(FeatureError, match="shorter than one sample"):
        teo_db(np.zeros(800), SR, length=1e-5)


# --------------------------------------------------------------------------------- teo_cb_auto_env
def analysed(x: np.ndarray, sr: int = SR) -> np.ndarray:
    """(16,) mean over frames 12.5 ms apart, of M = 200 samples at 8 kHz, away from the ends."""
    frames = 1 + len(x) // round(0.0125 * sr)
    chosen = np.zeros(frames, dtype=bool)
    chosen[10:50] = True
    values = teo_cb_auto_env(x, sr, hop=0.0125, voiced=chosen)
    assert np.isnan(values[~chosen]).all()
    return values[chosen].mean(axis=0)


@pytest.mark.parametrize("sr", [8000, 16000, 44100])
def test_known_areas(sr: int) -> None:
    """Tone 1.005 = 1 + 1/M, two tones in one band 0.671, noise about 0.6; any sample rate.

    Catches R divided by M instead of M/2, R not normalised, a wrong band, a wrong bandwidth.
    """
    t = np.arange(sr) / sr
    assert BAND_EDGES[7:9] == (920, 1080)
    assert analysed(np.cos(2 * np.pi * 1000 * t), sr)[7] == pytest.approx(1.005, abs=5e-4)
    two = np.cos(2 * np.pi * 960 * t) + np.cos(2 * np.pi * 1060 * t)
    assert analysed(two, sr)[7] == pytest.approx(0.671, abs=2e-3)
    noise = np.mean(
        [analysed(np.random.default_rng(s).standard_normal(sr), sr)[7] for s in range(4)]
    )
    assert noise == pytest.approx(0.60, abs=0.03)


def test_by_the_definition() -> None:
    """Against the formulas in plain NumPy: FIR filter, psi, np.correlate, frame by frame."""
    x = np.random.default_rng(5).standard_normal(SR) * np.hanning(SR)
    band = 4  # 510-630 Hz
    low, high = BAND_EDGES[band], BAND_EDGES[band + 1]
    a, centre = np.sqrt(2 * np.pi) * (high - low), (low + high) / 2
    k = np.arange(-300, 301) / SR
    g = np.exp(-((a * k) ** 2)) * np.cos(2 * np.pi * centre * k)
    g /= np.abs(np.sum(g * np.exp(-2j * np.pi * centre * k)))
    y = np.convolve(x - x.mean(), g, "same")
    psi = np.zeros(SR)
    psi[1:-1] = y[1:-1] ** 2 - y[:-2] * y[2:]
    got = teo_cb_auto_env(x, SR, voiced=np.ones(101))
    for frame in (20, 50, 77):
        q = psi[80 * frame - 100 : 80 * frame + 100]
        r = np.correlate(q, q, "full")[199:]
        assert got[frame, band] == pytest.approx(np.abs(r / r[0]).sum() / 100, abs=1e-6)


def pulses(sr: int, seconds: float = 1.0) -> np.ndarray:
    """A buzz of 125 Hz with six smooth harmonics."""
    t = np.arange(int(seconds * sr)) / sr
    return 0.1 * sum(np.cos(2 * np.pi * 125 * k * t + k * k) / k for k in range(1, 25))


def test_gain_polarity_shift_and_rate() -> None:
    """Voiced frames are found by the pitch; the value does not depend on level or rate."""
    x = pulses(16000)
    values = teo_cb_auto_env(x, 16000)
    inner = slice(10, 90)
    assert np.isfinite(values[inner]).all()
    np.testing.assert_allclose(teo_cb_auto_env(0.01 * x, 16000), values, atol=1e-9)
    np.testing.assert_allclose(teo_cb_auto_env(-x, 16000), values, atol=1e-9)
    later = teo_cb_auto_env(np.concatenate([np.zeros(160), x]), 16000)
    np.testing.assert_allclose(later[11:91], values[inner], atol=1e-3)
    other = teo_cb_auto_env(pulses(44100), 44100)
    np.testing.assert_allclose(other[inner], values[inner], atol=5e-3)


def test_only_voiced_frames_and_only_bands_that_exist() -> None:
    noise = np.random.default_rng(0).standard_normal(16000)
    assert np.isnan(teo_cb_auto_env(noise, 16000)).all()
    low = teo_cb_auto_env(pulses(4000), 4000, voiced=np.ones(101))
    exists = np.array(BAND_EDGES[1:]) <= 2000
    assert np.isfinite(low[10:90][:, exists]).all()
    assert np.isnan(low[:, ~exists]).all()
    tone = teo_cb_auto_env(np.cos(2 * np.pi * 1000 * T), SR, voiced=np.ones(101))[20:80]
    assert np.isnan(tone[:, 0]).all()  # nothing but rounding noise there


def impulse() -> np.ndarray:
    x = np.zeros(1600)
    x[800] = 1.0
    return x


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(1600),
        np.full(1600, 0.3),
        np.zeros(1),
        np.ones(2),
        np.ones(3),
        impulse(),
        np.clip(9 * pulses(16000), -1, 1),
    ],
    ids=["zeros", "dc", "one", "two", "three", "impulse", "clipped"],
)
@pytest.mark.parametrize("sr", [8000, 16000])
def test_degenerate_clips(x: np.ndarray, sr: int) -> None:
    for descriptor in DESCRIPTORS:
        values = descriptor(ShortTime(x, sr))  # raises on a wrong shape or an infinity
        assert values.shape == (1 + len(x) // (sr // 100), len(descriptor.columns))
    teo_cb_auto_env(x, sr, voiced=np.ones(1 + len(x) // (sr // 100)))


def test_errors() -> None:
    with pytest.raises(FeatureError, match="voiced has shape"):
        teo_cb_auto_env(np.zeros(800), SR, voiced=np.ones(3))
