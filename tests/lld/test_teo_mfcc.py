"""TEO-MFCC: the MFCC of psi, by two other implementations; gain; degenerate clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.errors import FeatureError
from serfeat.lld.mfcc import mfcc
from serfeat.lld.teo import teager
from serfeat.lld.teo_mfcc import DESCRIPTORS, teo_mfcc
from serfeat.shorttime import ShortTime

SR = 16000
RNG = np.random.default_rng(0)
NOISE = 0.1 * RNG.standard_normal(SR)


def psi_of(x: np.ndarray) -> np.ndarray:
    return np.nan_to_num(teager(x - x.mean()))


@pytest.mark.parametrize("sr", [8000, 16000, 44100])
def test_is_the_mfcc_of_psi(sr: int) -> None:
    """Scaled so that both have the same floor. Catches a missing square in the scale, a lifter."""
    expected = mfcc(32767.0 * psi_of(NOISE), sr, n=13, preemphasis=0.0)
    np.testing.assert_allclose(teo_mfcc(NOISE, sr), expected, rtol=1e-9, atol=1e-9)


def test_by_the_definition() -> None:
    """One frame in plain NumPy. Catches a window of another shape, a shifted frame, a lost band."""
    psi = psi_of(NOISE)
    frame = psi[40 * 160 - 200 : 40 * 160 + 200] * np.hamming(400) * 32767.0**2
    power = np.abs(np.fft.rfft(frame, 512)) ** 2
    mel = 1127 * np.log1p(np.arange(257) * SR / 512 / 700)
    edges = np.linspace(1127 * np.log1p(20 / 700), mel[-1], 28)
    width = edges[1] - edges[0]
    bank = np.maximum(0, 1 - np.abs(mel - edges[1:-1, None]) / width)
    bank[:, :2] = 0.0  # HTK's lowest bin above 20 Hz
    log = np.log(bank @ power)
    k = np.arange(13)[:, None]
    cepstrum = np.sqrt(2 / 26) * np.cos(np.pi * k * (np.arange(26) + 0.5) / 26) @ log
    cepstrum *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    np.testing.assert_allclose(teo_mfcc(NOISE, SR)[40], cepstrum, rtol=1e-9, atol=1e-8)


def test_beat_shows_as_its_difference() -> None:
    """Two tones 500 Hz apart and a psi that swings at 500 Hz: the same shape of spectrum."""
    t = np.arange(SR) / SR
    two = 0.2 * np.cos(2 * np.pi * 2000 * t) + 0.2 * np.cos(2 * np.pi * 2500 * t)
    swing = np.sqrt(1 + np.cos(2 * np.pi * 500 * t)) * np.cos(2 * np.pi * 2250 * t)
    a, b = teo_mfcc(two, SR)[50, 1:], teo_mfcc(0.28 * np.abs(swing), SR)[50, 1:]
    high = teo_mfcc(0.2 * np.cos(2 * np.pi * 2000 * t), SR)[50, 1:]
    assert np.linalg.norm(a - b) < np.linalg.norm(a - high)


def test_gain_changes_only_c0() -> None:
    """A gain g is ``4 ln g`` in every band; polarity and offset do not matter."""
    a = teo_mfcc(NOISE, SR)
    b = teo_mfcc(-2 * NOISE + 0.3, SR)
    np.testing.assert_allclose(b[2:-2, 1:], a[2:-2, 1:], atol=1e-8)
    np.testing.assert_allclose((b - a)[2:-2, 0], 4 * np.log(2) * np.sqrt(2 * 26), atol=1e-8)


def test_columns_and_errors() -> None:
    (descriptor,) = DESCRIPTORS
    assert descriptor(ShortTime(NOISE, SR)).shape == (101, 13)
    with pytest.raises(FeatureError, match="shorter than one sample"):
        teo_mfcc(NOISE, SR, length=1e-5)
    with pytest.raises(FeatureError, match="cosine coefficients"):
        teo_mfcc(NOISE, SR, n=27)


@pytest.mark.parametrize("sr", [4000, 8000, 48000])
@pytest.mark.parametrize(
    "x",
    [np.zeros(900), np.full(900, 0.3), np.zeros(1), np.ones(3), np.eye(1, 900, 450)[0]],
    ids=["zeros", "dc", "one", "three", "impulse"],
)
def test_degenerate_clips(x: np.ndarray, sr: int) -> None:
    values = DESCRIPTORS[0](ShortTime(x, sr))
    assert np.isfinite(values).all()
    if not np.ptp(x):
        np.testing.assert_array_equal(values, 0.0)


@pytest.mark.corpus
def test_speech_shifted_by_a_hop(emodb_root: Path) -> None:
    x, sr = sf.read(sorted((emodb_root / "audio").glob("*.flac"))[0])
    x = x - x.mean()
    later = teo_mfcc(np.pad(x, (160, 0)), sr)
    np.testing.assert_allclose(later[3:], teo_mfcc(x, sr)[2:], rtol=1e-6, atol=1e-6)
