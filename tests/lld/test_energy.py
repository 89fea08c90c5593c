"""Energy: closed forms, librosa, invariances, the floor."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import FeatureError
from serfeat.lld.energy import DESCRIPTORS, FLOOR_DB, log_energy, rms_db
from serfeat.shorttime import ShortTime

SR = 16000
T = np.arange(SR) / SR


@pytest.mark.parametrize("amplitude", [1.0, 0.5, 1e-3])
def test_rms_of_a_sine(amplitude: float) -> None:
    """A / sqrt 2. Catches a peak level, a factor of 2 and 10 log10 of an amplitude."""
    level = rms_db(amplitude * np.sin(2 * np.pi * 400 * T), SR)  # 10 periods in 25 ms
    np.testing.assert_allclose(level[2:-2], 20 * np.log10(amplitude / np.sqrt(2)), atol=1e-9)


def test_log_energy_is_htks() -> None:
    """``ln sum (32768 x)^2`` of left-aligned frames. Catches a missing scale and mean square."""
    x = np.random.default_rng(1).uniform(-1, 1, SR)
    got = log_energy(x, SR, align="left", remove_mean=False)
    assert len(got) == 1 + (SR - 400) // 160
    for i in (0, 17, len(got) - 1):
        frame = 32768 * x[160 * i : 160 * i + 400]
        assert got[i] == pytest.approx(np.log(np.sum(frame**2)), abs=1e-12)
    unit = log_energy(x, SR, scale="unit", align="left", remove_mean=False)
    np.testing.assert_allclose(got - unit, 2 * np.log(32768), atol=1e-12)


def test_librosa_measures_the_same() -> None:
    librosa = pytest.importorskip("librosa")
    x = np.random.default_rng(2).standard_normal(SR) * 0.1
    theirs = librosa.feature.rms(
        y=x - x.mean(), frame_length=400, hop_length=160, pad_mode="constant"
    )[0]
    np.testing.assert_allclose(rms_db(x, SR), 20 * np.log10(theirs), atol=1e-5)  # float32


def test_gain_polarity_offset_and_shift() -> None:
    """Catches a mean that is not removed and a gain that is not 20 log10."""
    x = 0.1 * np.random.default_rng(3).standard_normal(SR)
    x -= x.mean()
    level = rms_db(x, SR)
    np.testing.assert_allclose(rms_db(0.1 * x, SR), level - 20, atol=1e-9)
    np.testing.assert_array_equal(rms_db(-x, SR), level)
    np.testing.assert_allclose(rms_db(x + 0.3, SR), level, atol=1e-9)
    later = rms_db(np.concatenate([np.zeros(160), x]), SR)
    np.testing.assert_allclose(later[1:], level, atol=1e-9)


def test_the_sample_rate_does_not_matter() -> None:
    tone = {sr: np.sin(2 * np.pi * 300 * np.arange(sr) / sr) for sr in (8000, 44100)}
    low, high = (rms_db(tone[sr], sr)[3:-3] for sr in (8000, 44100))
    np.testing.assert_allclose(low, high[: len(low)], atol=0.2)


@pytest.mark.parametrize("x", [np.zeros(1600), np.full(1600, 0.3), np.zeros(1), np.ones(1)])
def test_silence_is_at_the_floor(x: np.ndarray) -> None:
    """Catches minus infinity, a warning, and an offset that counts as sound."""
    assert (rms_db(x, SR) == FLOOR_DB).all()
    expected = np.log(400 * 32768.0**2 * 1e-10)
    np.testing.assert_allclose(log_energy(x, SR), expected, atol=1e-12)


def test_clipping_and_impulses() -> None:
    square = np.sign(np.sin(2 * np.pi * 200 * T + 1e-3))
    np.testing.assert_allclose(rms_db(square, SR)[2:-2], 0, atol=1e-6)
    impulse = np.zeros(1600)
    impulse[800] = 1.0
    level = rms_db(impulse, SR, remove_mean=False)
    np.testing.assert_allclose(level[4:6], 10 * np.log10(1 / 400), atol=1e-9)
    assert level[0] == FLOOR_DB


def test_descriptor_and_errors() -> None:
    (descriptor,) = DESCRIPTORS
    x = np.sin(2 * np.pi * 440 * T)
    both = descriptor(ShortTime(x, SR))
    np.testing.assert_array_equal(both[:, 0], rms_db(x, SR))
    np.testing.assert_array_equal(both[:, 1], log_energy(x, SR))
    with pytest.raises(FeatureError, match="unknown scale"):
        log_energy(x, SR, scale="int24")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="shorter than one sample"):
        rms_db(x, SR, length=1e-6)
