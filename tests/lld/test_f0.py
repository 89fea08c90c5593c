"""F0: units, settings, the range fitted to a voice, the descriptor. (The method: test_pitch.py.)"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from serfeat.errors import AudioError, FeatureError
from serfeat.lld import _praat
from serfeat.lld.f0 import DESCRIPTORS, Bounds, f0, semitones, voice_range
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import pitch
from serfeat.types import Floats

SR = 16000
T = np.arange(2 * SR) / SR


def voice(contour: Floats, sr: int = SR) -> Floats:
    phase = 2 * np.pi * np.cumsum(contour) / sr
    harmonics = range(1, 40)
    x = sum(h**-2.0 * (h * contour < 0.45 * sr) * np.cos(h * phase + h * h) for h in harmonics)
    return np.asarray(0.3 * x, dtype=np.float64)


def cents(a: Floats, b: Floats | float) -> Floats:
    return np.asarray(1200 * np.log2(a / b), dtype=np.float64)


def test_f0_of_a_steady_voice() -> None:
    found = f0(voice(np.full(len(T), 123.4)), SR)
    assert found.shape == (1 + len(T) // 160,)
    np.testing.assert_allclose(found[5:-5], 123.4, atol=0.01)


def test_f0_is_the_shared_pitch_and_may_be_written() -> None:
    x = voice(np.full(len(T), 150.0))
    found = f0(x, SR, hop=0.005, floor=60, ceiling=400, voicing=0.5)
    st = ShortTime(x, SR, 0.005)
    np.testing.assert_array_equal(found, pitch(st, floor=60, ceiling=400, voicing=0.5).f0)
    found[0] = 0.0


def test_f0_passes_every_setting_on() -> None:
    """Catches a setting that is dropped on the way to the analysis."""
    rng = np.random.default_rng(5)
    x = voice(120 + 60 * np.sin(2 * np.pi * 2 * T)) * (T % 0.5 < 0.3)
    x += 0.15 * rng.standard_normal(len(x))
    default = f0(x, SR)
    changes: tuple[dict[str, Any], ...] = (
        {"silence": 0.9},
        {"voicing": 0.8},
        {"octave_cost": 0.3},
        {"voiced_unvoiced": 2.0},
    )
    for changed in changes:
        assert not np.array_equal(f0(x, SR, **changed), default, equal_nan=True), changed


def test_semitones() -> None:
    """Catches natural logarithms and a wrong reference (A0 = 27.5 Hz)."""
    found = semitones([27.5, 55.0, 440.0, 27.5 * 2 ** (1 / 12), np.nan, 0.0, -3.0])
    np.testing.assert_allclose(found, [0, 12, 48, 1, np.nan, np.nan, np.nan], atol=1e-12)
    assert semitones(200.0, reference=100.0) == pytest.approx(12.0)


def test_descriptor() -> None:
    descriptor = DESCRIPTORS[0]
    st = ShortTime(np.concatenate([voice(np.full(8000, 220.0)), np.zeros(8000)]), SR)
    values = descriptor(st)
    assert descriptor.columns == ("f0_hz", "f0_semitones", "voicing_strength")
    assert descriptor.units == ("Hz", "semitones re 27.5 Hz", "1")
    np.testing.assert_allclose(values[5:40], np.tile([220, 36, 1], (35, 1)), atol=0.02)
    assert np.isnan(values[60:]).all()


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize("bounds", ["fixed", "two-pass"])
@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(160)],
    ids=["silence", "offset", "impulse", "one sample", "one frame"],
)
def test_degenerate_clips_are_undefined(bounds: Bounds, x: Floats) -> None:
    found = f0(x, SR, bounds=bounds)
    assert found.shape == (1 + len(x) // 160,)
    assert np.isnan(found).all()


def test_impossible_input_is_refused() -> None:
    with pytest.raises(FeatureError, match="floor"):
        f0(np.zeros(SR), SR, floor=600, ceiling=75)
    with pytest.raises(FeatureError, match="bounds"):
        f0(np.zeros(SR), SR, bounds="three-pass")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="ceiling_factor"):
        voice_range(ShortTime(np.zeros(SR), SR), ceiling_factor=0.9)
    with pytest.raises(AudioError, match="no samples"):
        f0(np.zeros(0), SR)


@pytest.mark.parametrize("sr", [8000, 44100])
def test_other_sample_rates(sr: int) -> None:
    found = f0(voice(np.full(sr, 180.0), sr), sr)
    assert np.abs(cents(found[6:-6], 180.0)).max() < 6


def melody(low: float, high: float) -> Floats:
    """An octave or less, up and down twice, evenly spread over a logarithmic axis."""
    rise = np.abs((T % 1.0) - 0.5) * 2
    return np.asarray(low * (high / low) ** rise, dtype=np.float64)


@pytest.mark.parametrize(("low", "high"), [(80.0, 160.0), (170.0, 340.0), (120.0, 130.0)])
def test_range_is_fitted_to_the_voice(low: float, high: float) -> None:
    """A man, a woman, a monotone; the quartiles of the contour are known.

    Catches swapped quartiles, a factor of the median, and a first pass that stops at 75 Hz.
    """
    st = ShortTime(voice(melody(low, high)), SR)
    floor, ceiling = voice_range(st)
    q25, q75 = low * (high / low) ** 0.25, low * (high / low) ** 0.75
    assert floor == pytest.approx(max(50, 0.75 * q25), rel=0.02)
    assert ceiling == pytest.approx(min(700, 2.5 * q75), rel=0.02)
    assert floor < low
    assert high < ceiling
    assert voice_range(st, ceiling_factor=1.5)[1] == pytest.approx(1.5 * q75, rel=0.02)


def test_range_stays_inside_its_limits() -> None:
    assert voice_range(ShortTime(voice(np.full(SR, 62.0)), SR))[0] == 50
    assert voice_range(ShortTime(voice(np.full(SR, 650.0)), SR))[1] == 700
    assert voice_range(ShortTime(np.zeros(SR), SR)) == (75, 600)
    assert voice_range(ShortTime(np.zeros(1), 2000)) == (75, 500)
    assert voice_range(ShortTime(voice(np.full(4000, 250.0), 2000), 2000))[1] == 500


def test_two_passes_reach_a_voice_below_the_usual_floor() -> None:
    x = voice(np.full(len(T), 66.0))
    np.testing.assert_allclose(f0(x, SR, bounds="two-pass")[10:-10], 66.0, rtol=1e-3)
    assert not np.allclose(f0(x, SR)[10:-10], 66.0, rtol=1e-3)


@pytest.mark.parametrize("change", [-1.0, 1e-5, 100.0])
def test_two_passes_ignore_gain_and_polarity(change: float) -> None:
    x = voice(melody(100, 180)) + 0.01 * np.random.default_rng(1).standard_normal(len(T))
    expected = f0(x, SR, bounds="two-pass")
    np.testing.assert_allclose(f0(change * x, SR, bounds="two-pass"), expected, rtol=1e-6)


def test_the_descriptor_takes_its_range_from_the_voice() -> None:
    """Catches bounds that are lost on the way."""
    x = voice(melody(80, 160))
    two_pass = next(d for d in DESCRIPTORS if d.name == "f0_two_pass")
    found = two_pass(ShortTime(x, SR))[:, 0]
    np.testing.assert_array_equal(found, f0(x, SR, bounds="two-pass"))
    assert not np.array_equal(found, f0(x, SR), equal_nan=True)


@pytest.mark.corpus
def test_two_passes_do_not_add_octave_errors_on_emodb(emodb_root: Path) -> None:
    """Jumps of more than 9 semitones from frame to frame, among voiced neighbours.

    Measured on 90 clips: 1.65 in a thousand with 75 to 600 Hz, 1.16 with two passes (1.74 with a
    ceiling of 1.5 q75, which cuts off the peaks of angry speech). Catches a ceiling of 1.2 q75.
    """
    jumps = {"fixed": 0, "two-pass": 0}
    voiced = 0
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::12]:
        x, sr = sf.read(file)
        contours = {name: f0(x, sr, bounds=name) for name in ("fixed", "two-pass")}
        for name, contour in contours.items():
            jumps[name] += int((np.abs(np.diff(semitones(contour))) > 9).sum())
        voiced += int(np.isfinite(contours["two-pass"]).sum())
    assert voiced > 5000
    assert jumps["two-pass"] <= jumps["fixed"]


def test_melody_of_synthesised_speech() -> None:
    """Praat's synthesiser is told its pitch; F0 must follow, and agree with Praat's own."""
    pytest.importorskip("parselmouth")
    medians = []
    for factor in (0.7, 1.0, 1.4):
        x, sr = _praat.speak("We were away a year ago.", pitch=factor)
        assert sr == 44100
        assert 0.1 < np.abs(x).max() <= 1
        found = f0(x, sr)
        _, theirs, strength = _praat.praat_pitch(x, sr)
        assert np.nanmedian(found) == pytest.approx(np.nanmedian(theirs), rel=0.02)
        assert 0.45 < np.nanmedian(strength) <= 1
        medians.append(float(np.nanmedian(found)))
    assert medians[0] < 0.85 * medians[1]
    assert medians[2] > 1.15 * medians[1]


def test_praat_is_guarded() -> None:
    """Catches a path or a broken signal that reaches Praat, which would open or refuse it."""
    pytest.importorskip("parselmouth")
    for bad, reason in (
        ("speech.wav", "text"),
        (np.zeros((2, SR)), "shape"),
        (np.full(SR, np.nan), "NaN"),
        (np.zeros(100), "at least"),
    ):
        with pytest.raises(AudioError, match=reason):
            _praat.praat_pitch(bad, SR)
    with pytest.raises(FeatureError, match="not a valid option"):
        _praat.speak("Good morning.", voice="Nobody")
    with pytest.raises(FeatureError, match="expected 80 to 450"):
        _praat.speak("Good morning.", rate=2)
    with pytest.raises(FeatureError, match="nothing to say"):
        _praat.speak("  ")
    assert _praat.LICENCE == "GPL-3.0-or-later"


def test_praat_formants_of_a_vowel() -> None:
    pytest.importorskip("parselmouth")
    x, sr = _praat.speak("aaaaaah", voice="Male1")
    times, frequencies, bandwidths = _praat.praat_formants(x, sr, ceiling=5000)
    assert frequencies.shape == bandwidths.shape == (len(times), 5)
    assert 500 < np.nanmedian(frequencies[:, 0]) < 950
