"""F0: units, the descriptor, and YIN against closed forms and librosa."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import AudioError, FeatureError
from serfeat.lld import _praat
from serfeat.lld.f0 import DESCRIPTORS, f0, semitones, yin
from serfeat.pitch import pitch
from serfeat.shorttime import ShortTime
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
    for changed in (
        {"silence": 0.9},
        {"voicing": 0.8},
        {"octave_cost": 0.3},
        {"voiced_unvoiced": 2.0},
    ):
        assert not np.array_equal(f0(x, SR, **changed), default, equal_nan=True), changed


def test_semitones() -> None:
    """Catches natural logarithms and a wrong reference (A0 = 27.5 Hz)."""
    found = semitones([27.5, 55.0, 440.0, 27.5 * 2 ** (1 / 12), np.nan, 0.0, -3.0])
    np.testing.assert_allclose(found, [0, 12, 48, 1, np.nan, np.nan, np.nan], atol=1e-12)
    assert semitones(200.0, reference=100.0) == pytest.approx(12.0)


def test_descriptor() -> None:
    (descriptor,) = DESCRIPTORS
    st = ShortTime(np.concatenate([voice(np.full(8000, 220.0)), np.zeros(8000)]), SR)
    values = descriptor(st)
    assert descriptor.columns == ("f0_hz", "f0_semitones", "voicing_strength")
    assert descriptor.units == ("Hz", "semitones re 27.5 Hz", "1")
    np.testing.assert_allclose(values[5:40], np.tile([220, 36, 1], (35, 1)), atol=0.02)
    assert np.isnan(values[60:]).all()


CONTOURS = {
    # F0 at every sample; rms in cents that librosa's yin reaches, which we may double
    "constant": (np.full(len(T), 200.0), 4.4),
    "glide": (100 * 3 ** (T / 2), 3.7),
    "vibrato": (220 * 2 ** (50 / 1200 * np.sin(2 * np.pi * 5 * T)), 5.7),
}


@pytest.mark.parametrize("name", CONTOURS)
def test_yin_on_known_contours(name: str) -> None:
    """Catches a lag that is off by one (22 cents at 200 Hz) and a missing parabola."""
    truth, rms = CONTOURS[name]
    found = yin(voice(truth), SR)
    inside = (np.arange(len(found)) > 20) & (np.arange(len(found)) < len(found) - 20)
    error = cents(found[inside], np.interp(np.arange(len(found))[inside] * 0.01, T, truth))
    assert np.isfinite(error).all()
    assert np.sqrt((error**2).mean()) < 2 * rms


@pytest.mark.parametrize("frequency", [90.0, 155.5, 233.3, 401.0])
def test_yin_agrees_with_librosa(frequency: float) -> None:
    """Within 15 cents; librosa's parabola runs through the normalised differences, which tilt: it
    is up to 12 cents high at 90 Hz, where ours is within 0.1 cent of the truth."""
    librosa = pytest.importorskip("librosa")
    x = voice(np.full(len(T), frequency))
    theirs = librosa.yin(x, fmin=75, fmax=600, sr=SR, frame_length=1024, hop_length=160)
    ours = yin(x, SR)
    assert len(theirs) == len(ours)
    assert np.abs(cents(ours[10:-10], theirs[10:-10])).max() < 15
    assert np.abs(cents(ours[10:-10], frequency)).max() < 0.2


def test_yin_difference_is_the_sum_of_squares() -> None:
    """Catches a wrong sign or window in the FFT form of eq. 6."""
    from serfeat.lld.f0 import _difference

    frames = np.random.default_rng(0).standard_normal((3, 90))
    found = _difference(frames, 60, 128)
    direct = [
        [np.sum((row[:60] - row[lag : lag + 60]) ** 2) for lag in range(31)] for row in frames
    ]
    np.testing.assert_allclose(found, direct, atol=1e-10)


def test_yin_ignores_gain_polarity_and_offset() -> None:
    x = voice(np.full(len(T), 150.0))
    for changed in (1e-5 * x, -x, x + 0.2, 1e100 * x):
        np.testing.assert_allclose(yin(changed, SR), yin(x, SR), rtol=1e-6)


def test_yin_leaves_noise_and_the_edges_undefined() -> None:
    noise = np.random.default_rng(2).standard_normal(SR)
    assert np.isfinite(yin(noise, SR)).mean() < 0.02
    found = yin(voice(np.full(SR, 150.0)), SR)
    assert np.isnan(found[[0, -1]]).all()
    assert np.isfinite(found[5:-5]).all()


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize("method", [f0, yin])
@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(160)],
    ids=["silence", "offset", "impulse", "one sample", "one frame"],
)
def test_degenerate_clips_are_undefined(method: object, x: Floats) -> None:
    found = method(x, SR)  # type: ignore[operator]
    assert found.shape == (1 + len(x) // 160,)
    assert np.isnan(found).all()


@pytest.mark.parametrize("method", [f0, yin])
def test_impossible_input_is_refused(method: object) -> None:
    with pytest.raises(FeatureError, match="floor"):
        method(np.zeros(SR), SR, floor=600, ceiling=75)  # type: ignore[operator]
    with pytest.raises(AudioError, match="no samples"):
        method(np.zeros(0), SR)  # type: ignore[operator]


@pytest.mark.parametrize("method", [f0, yin])
@pytest.mark.parametrize("sr", [8000, 44100])
def test_other_sample_rates(method: object, sr: int) -> None:
    found = method(voice(np.full(sr, 180.0), sr), sr)  # type: ignore[operator]
    assert np.abs(cents(found[6:-6], 180.0)).max() < 6


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
