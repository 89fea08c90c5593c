"""TEO in bands: filters, known areas, the definition, the closed form and its bound, TEO-FM-Var."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.errors import FeatureError
from serfeat.lld.teo import desa1
from serfeat.lld.teo_bands import BAND_EDGES, DESCRIPTORS, teo_cb_auto_env
from serfeat.lld.teo_fm import DESCRIPTORS as FM
from serfeat.lld.teo_fm import teo_fm_var
from serfeat.shorttime import ShortTime
from serfeat.signal.gabor import RATE, gabor_blocks
from serfeat.signal.pitch import pitch

bands, fm = sys.modules["serfeat.lld.teo_bands"], sys.modules["serfeat.lld.teo_fm"]
gabor = sys.modules["serfeat.signal.gabor"]
SR = 8000
T = np.arange(SR) / SR


# ---------------------------------------------------------------------------------------- filters
def filtered(x: np.ndarray, sr: int, pair: tuple[float, float]) -> np.ndarray:
    """A whole clip through one filter, at 8 kHz: block by block, put together."""
    begin = np.arange(0, len(x) * RATE // sr, 80)
    out = np.zeros(len(begin) * 80 + 80)
    st = ShortTime(x, sr)
    for rows, start, y in gabor_blocks(st, begin, 80, (pair,)):
        for b in begin[rows]:
            out[b : b + 80] = y[0, b - start : b - start + 80, 0]
    return out


@pytest.mark.parametrize("sr", [4000, 8000, 11025, 16000, 44100, 48000])
def test_gabor_response(sr: int) -> None:
    """1 at the centre, exp(-(pi d / a)^2) a distance d away, in phase, at any rate.

    Catches a filter of another width, blocks put together a sample late.
    """
    a = np.sqrt(2 * np.pi) * 160
    for d in (0.0, -90.0, 150.0):
        t, t8 = np.arange(2 * sr) / sr, np.arange(2 * RATE) / RATE
        got = filtered(np.cos(2 * np.pi * (1000 + d) * t), sr, (1000.0, 160.0))
        expected = np.exp(-((np.pi * d / a) ** 2)) * np.cos(2 * np.pi * (1000 + d) * t8)
        np.testing.assert_allclose(got[800:15000], expected[800:15000], atol=1e-9)


@pytest.mark.parametrize("block", [1000, 2000, 4096])
def test_filter_does_not_depend_on_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """White noise, the narrowest band and the one at the taper; NumPy or compiled. Catches a guard
    of half the length."""
    x = np.random.default_rng(1).standard_normal(16000)
    for pair in ((80.0, 40.0), (150.0, 100.0), (3425.0, 550.0)):
        expected = filtered(x, 16000, pair)
        monkeypatch.setattr(gabor, "BLOCK", block)
        np.testing.assert_allclose(filtered(x, 16000, pair), expected, atol=2e-9)
        monkeypatch.setattr(gabor, "COMPILED", False)
        np.testing.assert_allclose(filtered(x, 16000, pair), expected, atol=2e-9)
        monkeypatch.undo()


# ---------------------------------------------------------------------------- teo_cb_auto_env
def analysed(x: np.ndarray, sr: int = SR) -> np.ndarray:
    """(16,) mean over frames 12.5 ms apart, of M = 200 samples at 8 kHz, away from the ends."""
    frames = 1 + len(x) // round(0.0125 * sr)
    chosen = np.zeros(frames, dtype=bool)
    chosen[10:50] = True
    values = teo_cb_auto_env(x, sr, hop=0.0125, voiced=chosen)
    assert np.isnan(values[~chosen]).all()
    return np.asarray(values[chosen].mean(axis=0))


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
    """Against the formulas in plain NumPy: FIR filter, psi, np.correlate, frame by frame.

    Catches psi one sample beyond an end of the clip, and one missing there.
    """
    x = np.random.default_rng(5).standard_normal(SR)
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
    for frame in (0, 1, 20, 50, 77, 99, 100):
        q = np.pad(psi, 100)[80 * frame : 80 * frame + 200]
        r = np.correlate(q, q, "full")[199:]
        assert got[frame, band] == pytest.approx(np.abs(r / r[0]).sum() / 100, abs=1e-6)


def pulses(sr: int, seconds: float = 1.0) -> np.ndarray:
    """A buzz of 125 Hz with six smooth harmonics."""
    t = np.arange(int(seconds * sr)) / sr
    return np.asarray(0.1 * sum(np.cos(2 * np.pi * 125 * k * t + k * k) / k for k in range(1, 25)))


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


def test_a_band_beyond_half_the_rate_does_not_exist() -> None:
    """The last at 6200 Hz is the one up to 2700. Seen to catch a third of the width above its
    centre, with which there is one more.
    """
    x = np.random.default_rng(0).standard_normal(6200)
    found = np.isfinite(teo_cb_auto_env(x, 6200, voiced=np.ones(101))[10:90]).all(axis=0)
    np.testing.assert_array_equal(found, np.array(BAND_EDGES[1:]) <= 3100)


@pytest.mark.parametrize(("db", "there"), [(-129.8, True), (-130.2, False)])
def test_a_band_is_empty_130_db_below_the_peak(db: float, there: bool) -> None:
    """Faint tones in the middle of the bands of 250 and 2510 Hz, beside a loud one at 700 Hz.

    Seen to catch -143 dB, and psi ten times as large.
    """
    faint = sum(np.cos(2 * np.pi * f * T) for f in (250, 2510))
    x = np.cos(2 * np.pi * 700 * T) + np.sqrt(2) * 10 ** (db / 20) * faint
    found = teo_cb_auto_env(x, SR, voiced=np.ones(101))[20:80, [1, 13]]
    assert (np.isfinite(found) == there).all()


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
    for descriptor in (*DESCRIPTORS, *FM):
        values = descriptor(ShortTime(x, sr))  # raises on a wrong shape or an infinity
        assert values.shape == (1 + len(x) // (sr // 100), len(descriptor.columns))
    teo_cb_auto_env(x, sr, voiced=np.ones(1 + len(x) // (sr // 100)))


def test_errors() -> None:
    with pytest.raises(FeatureError, match="voiced has shape"):
        teo_cb_auto_env(np.zeros(800), SR, voiced=np.ones(3))


@pytest.mark.parametrize("size", [1, 7, 8, 50, 200, 203])
def test_closed_form_equals_all_lags(size: int) -> None:
    """The kernel against transforms, on signals with every kind of psi, cut off at the edges too.

    Catches a bound that forgets negative samples or the neighbouring chunk, (S^2 - Q) / 2, and lags
    that are one short.
    """
    rng = np.random.default_rng(size)
    n = np.arange(600)
    y = np.stack(
        [
            np.cos(0.7 * n),  # psi positive everywhere
            np.cos(0.5 * n) + 0.9 * np.cos(0.6 * n),
            rng.standard_normal(600),
            np.cos(0.02 * n) + np.cos(0.05 * n),
            np.cumsum(rng.standard_normal(600)),
            np.where(n == 300, 1.0, 0.0),
        ]
    )
    pairs = np.ascontiguousarray(np.moveaxis(y.reshape(3, 2, 600), 1, 2))
    first = np.arange(1, 360, 13)
    last = first + size
    last[::5] -= size // 3
    for count in (5, 6):
        fast, plain = np.full((2, len(first), count), np.nan)
        bands._areas_fast(pairs, first, last, size, np.full(count, 1e-20), fast)
        bands._areas(pairs, first, last, size, np.full(count, 1e-20), plain)
        assert np.isfinite(plain).sum() > len(first)
        np.testing.assert_allclose(fast, plain, rtol=1e-9)


def test_no_negative_lag_is_missed() -> None:
    """Psi with a few negative samples, or with one and a peak, which make one lag negative.

    Seen to fail without the maximum of the chunk before or behind, and without distance 0.
    """
    rng = np.random.default_rng(0)
    chunks, where = np.empty((3, 52)), np.empty(25, dtype=np.int64)
    plain = getattr(bands._below, "py_func", bands._below)
    found = 0
    for trial in range(400):
        psi = np.zeros(208)
        if trial % 2:
            psi[:200] = 1.0
            place, peak = rng.choice(200, 2, replace=False)
            psi[place], psi[peak] = -10.0, 100.0
        else:
            psi[:200] = (1 + 0.99 * np.cos(rng.uniform(0, 0.4) * np.arange(200))) ** 2
            psi[rng.integers(0, 200, trial % 12)] -= 4 * rng.uniform() ** 4
        r = np.correlate(psi, psi, "full")[207:407]
        expected = -r[r < 0].sum()
        found += expected > 0
        for function in (bands._below, plain)[: 1 + (trial % 40 == 7)]:
            assert function(psi, chunks, where) == pytest.approx(expected, abs=1e-9 * r[0])
    assert 200 < found < 350


@pytest.mark.corpus
def test_speech(emodb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers compiled or not, a hop later, for other frames, from a part of the clip.

    Catches a guard of half the length, and a filter with a sharp edge (it rings for seconds).
    """
    x, sr = sf.read(sorted((emodb_root / "audio").glob("*.flac"))[3])
    x = x - x.mean()
    voiced = pitch(ShortTime(x, sr)).voiced
    values = teo_cb_auto_env(x, sr, voiced=voiced)
    assert np.isfinite(values[voiced]).mean() > 0.99
    later = teo_cb_auto_env(np.pad(x, (160, 0)), sr, voiced=np.pad(voiced, (1, 0)))
    np.testing.assert_allclose(later[1:], values, rtol=1e-6, equal_nan=True)
    some = voiced & (np.arange(len(voiced)) % 7 == 0)
    np.testing.assert_allclose(
        teo_cb_auto_env(x, sr, voiced=some)[some], values[some], rtol=1e-6, equal_nan=True
    )
    part = x[160 * 40 : 160 * 160]
    inner = bands._regularity(ShortTime(part, sr, mean=0.0), voiced[40:161], 0.025)
    np.testing.assert_allclose(inner[8:-8], values[48:153], rtol=1e-6, equal_nan=True)
    monkeypatch.setattr(bands, "COMPILED", False)
    monkeypatch.setattr(gabor, "COMPILED", False)
    np.testing.assert_allclose(
        teo_cb_auto_env(x, sr, voiced=voiced), values, rtol=1e-9, equal_nan=True
    )


# -------------------------------------------------------------------------------------- teo_fm_var
@pytest.mark.parametrize("sr", [8000, 16000, 44100])
@pytest.mark.parametrize("swing", [0.0, 0.01, 0.02])
def test_variance_of_a_known_modulation(sr: int, swing: float) -> None:
    """``m^2 / 2``, over frames of two periods of the swing; the filter weakens its sidebands.

    Catches a filter of another width, a variance not divided by the squared F0, a standard
    deviation.
    """
    t = np.arange(2 * sr) / sr
    x = 0.3 * np.cos(2 * np.pi * 200 * t + 200 * swing / 10 * np.sin(2 * np.pi * 10 * t))
    got = teo_fm_var(x, sr, length=0.2)[20:-20]
    sideband = np.exp(-((np.pi * 10 / (np.sqrt(2 * np.pi) * 100)) ** 2))
    np.testing.assert_allclose(got, (swing * sideband) ** 2 / 2, rtol=0.03, atol=1e-8)


def test_fm_var_by_the_definition() -> None:
    """Against `desa1` of the filtered clip, weighted, frame by frame."""
    rng = np.random.default_rng(7)
    t = np.arange(2 * SR) / SR
    x = np.cos(2 * np.pi * 150 * t + np.sin(30 * t)) + 0.02 * rng.standard_normal(2 * SR)
    x -= x.mean()
    f0 = pitch(ShortTime(x, SR)).f0
    centre = float(np.median(f0[np.isfinite(f0)]))
    y = filtered(x, SR, (centre, centre / 2))
    point = desa1(y, SR)
    psi = np.maximum(np.append(np.append(0, y[1:-1] ** 2 - y[:-2] * y[2:]), 0), 0)
    got = teo_fm_var(x, SR)
    for frame in (30, 77, 120):
        part = slice(80 * frame - 100, 80 * frame + 100)
        weight, hz = psi[part] / psi[part].sum(), point.frequency[part]
        mean = np.sum(weight * hz)
        expected = np.sum(weight * (hz - mean) ** 2) / centre**2
        assert got[frame] == pytest.approx(expected, rel=1e-6)


def test_fm_var_of_gain_polarity_and_unvoiced_frames() -> None:
    x = pulses(16000)
    values = teo_fm_var(x, 16000)
    assert np.nanmax(values[10:-10]) < 1e-3
    np.testing.assert_allclose(teo_fm_var(-0.01 * x, 16000), values, rtol=1e-6, atol=1e-15)
    later = teo_fm_var(np.pad(x, (160, 0)), 16000)
    np.testing.assert_allclose(later[11:91], values[10:90], rtol=1e-2, atol=1e-9)
    noise = np.random.default_rng(0).standard_normal(16000)
    assert np.isnan(teo_fm_var(noise, 16000)).all()
    with pytest.raises(FeatureError, match="shorter than one sample"):
        teo_fm_var(x, 16000, length=1e-5)


@pytest.mark.corpus
def test_fm_var_of_speech(emodb_root: Path) -> None:
    """A pure number below 1 in nearly every voiced frame."""
    x, sr = sf.read(sorted((emodb_root / "audio").glob("*.flac"))[3])
    values = teo_fm_var(x, sr)
    voiced = pitch(ShortTime(x, sr)).voiced
    assert (np.isfinite(values) == voiced).all()
    assert 1e-5 < np.nanmedian(values) < 0.05
    assert np.nanquantile(values, 0.99) < 1
