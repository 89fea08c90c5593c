"""HNR: the true SNR of known signals, Praat, invariances, degenerate clips."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.lld.hnr import DESCRIPTORS, hnr
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

SR = 16000
module = import_module("serfeat.lld.hnr")  # the package's name is the function


def harmonic(f0: float, seconds: float = 2.0, sr: int = SR) -> Floats:
    """Harmonics falling by 12 dB per octave, of power 1."""
    n = np.arange(int(seconds * sr))
    x = np.zeros(len(n))
    for h in range(1, int(0.45 * sr / f0) + 1):
        x += 10 ** (-12 * np.log2(h) / 20) * np.cos(2 * np.pi * f0 * h * n / sr + h * h)
    return np.asarray(x / np.sqrt(np.mean(x**2)), dtype=np.float64)


def noisy(f0: float, snr: float, seed: int = 0, sr: int = SR) -> Floats:
    x = harmonic(f0, sr=sr)
    return 0.1 * (x + 10 ** (-snr / 20) * np.random.default_rng(seed).standard_normal(len(x)))


@pytest.mark.parametrize("f0", [120.0, 150.0, 200.0, 333.3])
@pytest.mark.parametrize(
    ("snr", "tolerance"), [(40, 0.3), (30, 0.3), (20, 0.3), (10, 0.3), (5, 2.0), (0, 2.0)]
)
def test_true_snr(f0: float, snr: float, tolerance: float) -> None:
    """Catches the saturating estimate (31 dB at 40), r in place of r / (1 - r), 20 log10."""
    assert np.nanmean(hnr(noisy(f0, snr), SR)) == pytest.approx(snr, abs=tolerance)


@pytest.mark.parametrize("sr", [8000, 44100])
def test_other_sample_rates(sr: int) -> None:
    for snr in (10, 30):
        assert np.nanmean(hnr(noisy(150.0, snr, sr=sr), sr)) == pytest.approx(snr, abs=0.3)


def test_glide_is_not_taken_for_noise() -> None:
    """An octave in two seconds: 25 dB or more, as in Praat."""
    f0 = 120 * 2 ** (np.arange(2 * SR) / (2 * SR))
    phase = 2 * np.pi * np.cumsum(f0) / SR
    x = sum(h**-2.0 * np.cos(h * phase + h * h) for h in range(1, 20))
    assert np.nanmin(hnr(0.1 * np.asarray(x), SR)) > 25


@pytest.mark.corpus
def test_follows_praat_on_emodb(emodb_root: Path) -> None:
    """Median within 1.5 dB, correlation above 0.88 with Harmonicity (cc); measured -1.1 and 0.92.

    Ours is lower because Praat looks for the best of all lags, and because its stretches are 13 ms
    long and ours 20 ms. Catches frames that are not where they should be.
    """
    pytest.importorskip("parselmouth")
    from serfeat.lld._praat import praat_harmonicity

    ours, theirs = [], []
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::80]:
        x, sr = sf.read(file)
        times, reference = praat_harmonicity(x, sr)
        centres = np.rint(times * sr).astype(int)
        offset = centres[0] % 160  # so that Praat's frames lie on our grid
        ours.append(hnr(x[offset:], sr)[(centres - offset) // 160])
        theirs.append(reference)
    a, b = np.concatenate(ours), np.concatenate(theirs)
    both = np.isfinite(a) & np.isfinite(b)
    assert both.sum() > 500
    assert abs(np.median(a[both] - b[both])) < 1.5
    assert np.corrcoef(a[both], b[both])[0, 1] > 0.88


@pytest.mark.parametrize("gain", [1e-6, -1.0, 100.0, 1e140, 1e-140])
def test_gain_and_polarity_do_not_matter(gain: float) -> None:
    x = noisy(150.0, 15.0)
    np.testing.assert_allclose(hnr(gain * x, SR), hnr(x, SR), atol=1e-6)


def test_offset_does_not_matter() -> None:
    x = noisy(150.0, 15.0)
    np.testing.assert_allclose(hnr(x + 0.5, SR), hnr(x, SR), atol=1e-6)


def test_shift_by_frames() -> None:
    x = noisy(150.0, 15.0)
    x -= x.mean()
    shifted = hnr(np.concatenate([np.zeros(30 * 160), x]), SR)
    np.testing.assert_allclose(shifted[40:-10], hnr(x, SR)[10:-10], atol=1e-6)


def test_unvoiced_frames_are_undefined() -> None:
    x = np.concatenate([noisy(150.0, 20.0), np.zeros(SR)])
    values = hnr(x, SR)
    assert np.isfinite(values[5:195]).all()
    assert np.isnan(values[205:]).all()


def test_a_pure_tone_is_limited() -> None:
    """Never infinite: rounding decides beyond 100 dB."""
    values = hnr(np.sin(2 * np.pi * 200 * np.arange(SR) / SR), SR)
    assert np.nanmin(values) > 60
    assert np.nanmax(values) <= 100


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("f0", [187.3, 233.1, 317.7])
def test_a_correlation_above_1_is_reflected(
    f0: float, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the samples of a pure tone r exceeds 1 a little: 56 to 59 dB then, and not the limit.

    Seen to catch r taken as it is (100 dB), and 1.1 / r in the plain version.
    """
    monkeypatch.setattr(module, "COMPILED", compiled and module.COMPILED)
    assert np.nanmax(hnr(np.cos(2 * np.pi * f0 * np.arange(SR) / SR), SR)[10:-10]) < 70


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(160), harmonic(150.0, 0.03)],
    ids=["silence", "offset", "impulse", "one sample", "one frame", "short"],
)
def test_degenerate_clips_are_undefined(x: Floats) -> None:
    values = hnr(x, SR)
    assert values.shape == (1 + len(x) // 160,)
    assert np.isnan(values).all()


def test_a_clip_of_a_few_periods_does_not_overrun() -> None:
    """Catches a stretch that runs over an edge of the clip."""
    x = harmonic(80.0, 0.2)
    for samples in range(640, 1400, 13):
        values = hnr(x[:samples], SR)
        assert not np.isinf(values).any()


def test_clipping() -> None:
    assert np.isfinite(hnr(np.clip(5 * noisy(150.0, 20.0), -0.3, 0.3), SR)[5:-5]).all()


def test_descriptor() -> None:
    descriptor = DESCRIPTORS[0]
    x = noisy(150.0, 20.0)
    assert descriptor.columns == ("hnr_db",)
    np.testing.assert_array_equal(descriptor(ShortTime(x, SR))[:, 0], hnr(x, SR))


@pytest.mark.parametrize("snr", [5, 10, 15, 20])
def test_autocorrelation_where_it_does_not_saturate(snr: float) -> None:
    """Catches r in place of r / (1 - r). At 30 dB and above it saturates: that is documented."""
    values = DESCRIPTORS[1](ShortTime(noisy(200.0, snr), SR))
    assert np.nanmean(values) == pytest.approx(snr, abs=0.4)
    assert np.isnan(DESCRIPTORS[1](ShortTime(np.zeros(SR), SR))).all()
