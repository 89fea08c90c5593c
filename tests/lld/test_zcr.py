"""Zero-crossing rate: closed form, librosa, invariances, degenerate clips."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest

from serfeat.errors import FeatureError
from serfeat.lld.zcr import DESCRIPTORS, zcr
from serfeat.shorttime import ShortTime

module = import_module("serfeat.lld.zcr")  # the package's name is the function

SR = 16000
T = np.arange(SR) / SR


@pytest.mark.parametrize("sr", [8000, 16000, 44100])
@pytest.mark.parametrize("f", [103.3, 441.7, 3011.3])
def test_a_tone_crosses_twice_per_period(sr: int, f: float) -> None:
    """Catches a rate per sample, a factor of 2, and a division by L instead of L - 1."""
    rate = zcr(np.sin(2 * np.pi * f * np.arange(sr) / sr + 0.3), sr)
    assert rate.shape == (1 + sr // round(0.01 * sr),)
    assert np.mean(rate[2:-2]) == pytest.approx(2 * f, abs=3)
    assert np.abs(rate[2:-2] - 2 * f).max() <= 1 / 0.0249  # one crossing more or less per frame


def test_every_sample_alternates() -> None:
    """The highest rate is one crossing per sample, also in the half-empty frames at the ends."""
    rate = zcr(np.resize([0.5, -0.5], 1601), SR)
    np.testing.assert_allclose(rate, SR, rtol=1e-12)


def test_librosa_counts_the_same(rng: np.random.Generator) -> None:
    """Whole frames against librosa, exactly. Catches a frame that is shifted by one sample."""
    librosa = pytest.importorskip("librosa")
    x = rng.standard_normal(SR)
    x -= x.mean()
    theirs = librosa.feature.zero_crossing_rate(
        x, frame_length=400, hop_length=160, center=False, threshold=0
    )[0]
    # librosa's frame j begins at 160 j; with a hop of 40 samples our frame i begins at 40 i - 200.
    ours = zcr(x, SR, hop=0.0025)[5::4][: len(theirs)]
    np.testing.assert_allclose(ours * 399 / SR, theirs * 400, atol=1e-9)


def test_offset_gain_and_polarity_do_not_matter(rng: np.random.Generator) -> None:
    """Catches a mean that is not removed."""
    x = rng.standard_normal(SR) + np.sin(2 * np.pi * 50 * T)
    rate = zcr(x, SR)
    np.testing.assert_array_equal(zcr(0.25 * x, SR), rate)
    np.testing.assert_array_equal(zcr(-x, SR), rate)
    np.testing.assert_allclose(zcr(x + 0.5, SR), rate, atol=41)


def test_a_shift_by_a_hop_shifts_the_frames(rng: np.random.Generator) -> None:
    x = rng.standard_normal(SR)
    x -= x.mean()
    later = zcr(np.concatenate([np.zeros(160), x]), SR)
    np.testing.assert_array_equal(later[4:-2], zcr(x, SR)[3:-2])


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.zeros(1600), 0.0),
        (np.full(1600, 0.3), 0.0),
        (np.full(1600, 1.0), 0.0),
        (np.zeros(2), 0.0),
        (np.zeros(1), np.nan),
    ],
)
def test_silence_has_no_crossings(x: np.ndarray, expected: float) -> None:
    np.testing.assert_array_equal(zcr(x, SR), np.full(1 + len(x) // 160, expected))


def test_clipping_and_impulses_are_finite() -> None:
    impulse = np.zeros(1600)
    impulse[800] = 1.0
    for x in (impulse, np.clip(5 * np.sin(2 * np.pi * 200 * T), -1, 1)):
        assert np.isfinite(zcr(x, SR)).all()


def test_descriptor_and_errors() -> None:
    (descriptor,) = DESCRIPTORS
    x = np.sin(2 * np.pi * 440 * T)
    np.testing.assert_array_equal(descriptor(ShortTime(x, SR))[:, 0], zcr(x, SR))
    with pytest.raises(FeatureError, match="expected at least 2"):
        zcr(x, SR, length=1e-5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("size", [2, 5, 400])
def test_crossings_one_frame_at_a_time(size: int) -> None:
    """Zero counts as positive. Seen to catch `>` for `>=` and a window a sample off, both ways."""
    x = np.round(np.random.default_rng(0).standard_normal(1000))  # many zeros
    expected = []
    for i in range(7):
        begin = 160 * i - size // 2
        part = x[max(begin, 0) : max(begin + size, 1)]
        changes = sum((a >= 0) != (b >= 0) for a, b in pairwise(part))
        expected.append(changes * 16_000 / (len(part) - 1) if len(part) > 1 else np.nan)
    for count in (module._crossings, module._crossings_plain):
        np.testing.assert_allclose(count(x, 16_000, 160, size, 7), expected, rtol=1e-12)
