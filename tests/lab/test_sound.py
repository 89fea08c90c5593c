"""The Sound view's numbers: those of the descriptors, of NumPy, and of signals that are known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serfeat.lab.answers import LabError
from serfeat.lab.curves import CURVES, OURS, SLIDERS, Settings, curves, sources_of
from serfeat.lab.pictures import LOWEST, STEP, slice_at, spectrogram, waveform
from serfeat.lab.sounds import Recording, decode, sound_id
from serfeat.lab.vowels import VOWELS
from serfeat.lld import DESCRIPTORS, formants, zcr
from serfeat.shorttime import ShortTime

SR = 16_000


@pytest.fixture
def kept(tmp_path: Path) -> Any:
    def keep(x: np.ndarray[Any, Any], name: str = "x") -> Recording:
        path = tmp_path / f"{name}.npy"
        np.save(path, x)
        mean = float(x.mean())
        return Recording(path, SR, len(x), SR, (), mean, float(np.abs(x - mean).max()))

    return keep


# --- curves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CURVES))
def test_curves_are_the_descriptors(kept: Any, buzz: Any, name: str) -> None:
    """Seen to fail with `Settings.window` of 30 ms."""
    x = buzz(1.0)
    arrays, about = curves(kept(x), [name], OURS, Settings(), 0.0, 1.0)
    descriptor = DESCRIPTORS[CURVES[name].descriptor]
    places = [descriptor.columns.index(c) for c in CURVES[name].columns]
    whole = descriptor(ShortTime(x, SR))[:, places].astype(np.float32)
    np.testing.assert_array_equal(arrays[name], whole)
    assert about["start"] == 0.0
    assert about["step"] == 0.010
    assert about["columns"][name] == CURVES[name].columns


def test_sliders_reach_the_descriptors(kept: Any, buzz: Any) -> None:
    """Every slider changes the curves that say so, and no other.

    Seen to fail with `_resonances` without its ceiling, and with "window" among the sliders of F0.
    """
    rng = np.random.default_rng(0)
    recording = kept(buzz(1.0) + 0.01 * rng.standard_normal(SR))
    other = {"window": "40", "floor": "130", "ceiling": "300", "order": "14", "top": "4500"}
    names = list(CURVES)
    usual, _ = curves(recording, names, OURS, Settings(), 0.0, 1.0)
    for slider, value in other.items():
        made = Settings.of({slider: value})
        moved, about = curves(recording, names, OURS, made, 0.0, 1.0)
        assert not about["problems"]
        for name in names:
            same = np.array_equal(usual[name], moved[name], equal_nan=True)
            # 120 Hz and its formants do not change where the ceiling of F0 is still above
            if slider in CURVES[name].sliders:
                assert not same or slider == "ceiling", (slider, name)
            elif name != "formants" or slider == "window":  # frames that are voiced depend on F0
                assert same, (slider, name)
    hop, about = curves(recording, names, OURS, Settings.of({"hop": "5"}), 0.0, 1.0)
    assert about["step"] == 0.005
    assert {len(v) for v in hop.values()} == {201}


def test_settings_out_of_range() -> None:
    assert Settings.of({}) == Settings()
    defaults = {n: str(s.default) for n, s in SLIDERS.items()}
    assert Settings.of(defaults) == Settings()
    for words in (
        {"window": "0"}, {"window": "1e9"}, {"hop": "nan"}, {"order": "x"}, {"top": ""},
        {"floor": "300", "ceiling": "200"},
    ):  # fmt: skip
        with pytest.raises(LabError) as error:
            Settings.of(words)
        assert error.value.status == 422


def test_one_curve_that_cannot_be_does_not_take_the_others(kept: Any, buzz: Any) -> None:
    made = Settings.of({"window": "5", "order": "20", "top": "3500", "floor": "40"})
    arrays, about = curves(kept(buzz(0.03)), list(CURVES), OURS, made, 0.0, 0.03)
    assert set(arrays) | set(about["problems"]) == set(CURVES)
    assert "energy" in arrays
    arrays, about = curves(kept(buzz(0.5)), ["f0", "teo"], "praat", Settings(), 0.0, 0.5)
    assert "teo" in about["problems"]


def test_a_stretch_of_a_long_recording(kept: Any) -> None:
    """What has no memory is the same in a stretch as in the whole.

    Seen to fail with the mean of the stretch instead of that of the whole.
    """
    rng = np.random.default_rng(1)
    x = 0.1 * rng.standard_normal(40 * SR) + 0.02
    arrays, about = curves(kept(x), ["zcr", "energy"], OURS, Settings(), 20.0, 22.0)
    first = round(about["start"] / 0.010)
    assert (first, len(arrays["zcr"])) == (2000, 202)
    np.testing.assert_array_equal(arrays["zcr"][:, 0], zcr(x, SR)[first:2202].astype(np.float32))
    with pytest.raises(LabError, match="zoom in"):
        curves(kept(np.zeros(70 * SR)), ["zcr"], OURS, Settings(), 0.0, 70.0)


def test_every_source_names_unit_and_source() -> None:
    for curve in CURVES.values():
        found = sources_of(curve)
        assert found[0]["source"] == OURS
        assert not found[0]["missing"]
        for source in found:
            assert source["words"]
            assert len(source["units"]) == len(source["columns"])


def test_other_programs_beside_ours(kept: Any, buzz: Any) -> None:
    """Praat's F0 of a voice of 120 Hz, on the same frames; and why openSMILE says nothing."""
    recording = kept(buzz(1.0))
    for source in ("praat", "f0_yin", "f0_cc", "f0_shs"):
        arrays, about = curves(recording, ["f0"], source, Settings(), 0.0, 1.0)
        if source == "praat" and about["problems"]:
            pytest.skip(about["problems"]["f0"])
        assert arrays["f0"].shape == (101, 1)
        assert np.nanmedian(arrays["f0"]) == pytest.approx(120, abs=1.0)


def test_vowels_are_in_order() -> None:
    """Children's formants lie above women's, and those above men's: the table has no slip."""
    men, women, children = (VOWELS[k] for k in ("men", "women", "children"))
    assert list(men) == list(women) == list(children)
    for vowel in men:
        for k in range(2):
            assert men[vowel][k] <= women[vowel][k] + 1 <= children[vowel][k] + 10, vowel


# --- pictures -------------------------------------------------------------------------------------


def test_waveform_by_columns(kept: Any) -> None:
    """Seen to fail with `reduceat` at the right edges."""
    x = np.random.default_rng(2).standard_normal(SR)
    arrays, about = waveform(kept(x), 0.0, 1.0, 160)
    parts = x.reshape(160, 100)
    np.testing.assert_array_equal(arrays["low"], parts.min(axis=1).astype(np.float32))
    np.testing.assert_array_equal(arrays["high"], parts.max(axis=1).astype(np.float32))
    assert about["step"] == pytest.approx(1 / 160)
    close, about = waveform(kept(x), 0.5, 0.51, 160)
    np.testing.assert_array_equal(close["x"], x[8000:8160].astype(np.float32))
    assert about["start"] == 0.5
    for width in (1, 7, 10_000_000):
        arrays, _ = waveform(kept(x), 0.0, 1.0, width)
        assert max(len(a) for a in arrays.values()) <= SR


@pytest.mark.parametrize(("frequency", "raised"), [(400, 0.0), (2000, 12.04)])
def test_level_of_a_tone(kept: Any, frequency: int, raised: float) -> None:
    """A sinusoid 40 dB below full scale has -40 dB, raised by 6 dB per octave above 500 Hz.

    Seen to fail with the window's sum not squared.
    """
    t = np.arange(SR) / SR
    arrays, about = spectrogram(kept(0.01 * np.sin(2 * np.pi * frequency * t)), 0.0, 1.0, 50, 0.032)
    level = LOWEST + STEP * arrays["level"][10:40].astype(float)
    row = int(level.mean(axis=0).argmax())
    step = about["top"] / (arrays["level"].shape[1] - 1)
    assert row * step == pytest.approx(frequency, abs=step)
    assert level[:, row].mean() == pytest.approx(raised - 40, abs=0.5)


def test_spectrogram_at_any_zoom(kept: Any, buzz: Any) -> None:
    recording = kept(buzz(2.0))
    for start, end, width, length in (
        (0.0, 2.0, 1000, 0.025), (0.0, 2.0, 10, 0.005), (1.0, 1.001, 1000, 0.100),
        (1.9, 2.0, 5000, 0.025), (0.0, 2.0, 1, 0.050),
    ):  # fmt: skip
        arrays, about = spectrogram(recording, start, end, width, length)
        columns, rows = arrays["level"].shape
        assert columns <= 2400
        assert rows <= 257
        assert about["start"] == pytest.approx(start)
        assert about["start"] + columns * about["step"] == pytest.approx(end)


def test_envelope_of_known_poles(kept: Any) -> None:
    """Linear prediction finds the resonances that a train of pulses was sent through.

    Seen to fail with the order halved.
    """
    import scipy.signal

    x = np.zeros(SR)
    x[::160] = 1.0  # 100 Hz: the envelope is drawn to the nearest harmonic
    poles = (500.0, 1500.0, 2500.0, 3500.0, 4500.0)
    for frequency in poles:
        r = math.exp(-math.pi * 60 / SR)
        pair = [1, -2 * r * math.cos(2 * math.pi * frequency / SR), r * r]
        x = scipy.signal.lfilter([1.0], pair, x)
    recording = kept(x / np.abs(x).max())
    arrays, about = slice_at(recording, 0.5, Settings())
    peaks, _ = scipy.signal.find_peaks(arrays["envelope"])
    np.testing.assert_allclose(peaks * about["step"], poles, atol=65)
    assert len(arrays["level"]) == 1 + round(SR / 2 / about["step"])
    track = np.nanmedian(formants(x, SR)[40:60, :3], axis=0)
    np.testing.assert_allclose(peaks[:3] * about["step"], track, atol=25)
    for time in (0.0, 1.0, 99.0):
        arrays, _ = slice_at(recording, time, Settings())
        assert np.isfinite(arrays["envelope"]).all()


# --- recordings -----------------------------------------------------------------------------------


def test_real_speech_is_decoded_as_features_hear_it(emodb_root: Path, tmp_path: Path) -> None:
    """The lab's samples are those of `load_audio`, to the bit."""
    from serfeat.audio import load_audio

    path = next(iter(sorted(emodb_root.rglob("*.flac"))))
    recording = decode(path, None, None, tmp_path / "x.npy")
    np.testing.assert_array_equal(recording.x, load_audio(path).x)
    part = decode(path, 0.5, 1.0, tmp_path / "y.npy")
    assert part.duration == pytest.approx(0.5)
    arrays, _ = curves(recording, ["f0"], OURS, Settings(), 0.0, recording.duration)
    assert 75 <= np.nanmedian(arrays["f0"]) <= 600


def test_ids_are_of_place_and_part(tmp_path: Path) -> None:
    keys = [("a", 0.0, math.nan), ("b", 0.0, math.nan), ("a", 0.0, 1.0), ("a", 0.5, math.nan)]
    ids = {sound_id(tmp_path, *key) for key in keys}
    assert len(ids) == 4
    assert ids == {sound_id(tmp_path / "." / "", *key) for key in keys}
    assert all(len(i) == 16 for i in ids)
    assert json.dumps(sorted(ids)).isascii()
