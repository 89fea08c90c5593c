"""Voice activity: a synthetic timeline, clips without silence or without speech, MADD."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from serfeat.errors import AudioError, FeatureError
from serfeat.shorttime import ShortTime
from serfeat.vad import SILENCE, UNVOICED, VOICED, madd, runs, three_way

SR = 16000


def vowel(seconds: float, f0: float = 120.0, sr: int = SR) -> np.ndarray:
    """Pulses through Klatt's resonators of /a/, peak 0.5."""
    n = int(seconds * sr)
    x = np.zeros(n)
    x[np.arange(0, n, sr / f0).astype(int)] = 1.0
    x = scipy.signal.lfilter([1], [1, -np.exp(-2 * np.pi * 50 / sr)], x)
    for f, b in ((730, 80), (1090, 90), (2440, 120), (3400, 150)):
        c = -np.exp(-2 * np.pi * b / sr)
        d = 2 * np.exp(-np.pi * b / sr) * np.cos(2 * np.pi * f / sr)
        x = scipy.signal.lfilter([1 - d - c], [1, -d, -c], x)
    x -= x.mean()  # air has no offset: without this the mean of the clip would shift the silence
    return 0.5 * x / np.abs(x).max()


# seconds, code; the fricative is noise of a tenth of full scale
TIMELINE = [
    (0.5, SILENCE),
    (0.5, VOICED),
    (0.3, UNVOICED),
    (0.4, SILENCE),
    (0.2, UNVOICED),
    (0.6, VOICED),
    (0.5, SILENCE),
]


def timeline(sr: int = SR, floor_db: float = -60.0) -> tuple[np.ndarray, np.ndarray]:
    """The signal over a noise floor, and the code of every sample."""
    rng = np.random.default_rng(0)
    parts, codes = [], []
    for seconds, code in TIMELINE:
        n = int(seconds * sr)
        noise = scipy.signal.sosfilt(
            scipy.signal.butter(4, 3000, "high", fs=sr, output="sos"), rng.standard_normal(n)
        )
        kind = {SILENCE: np.zeros(n), UNVOICED: 0.1 * noise, VOICED: vowel(seconds, sr=sr)[:n]}
        parts.append(kind[code])
        codes.append(np.full(n, code))
    x = np.concatenate(parts)
    return x + 10 ** (floor_db / 20) * rng.standard_normal(len(x)), np.concatenate(codes)


def accuracy(x: np.ndarray, truth: np.ndarray, sr: int = SR) -> float:
    """Of the frames farther than 20 ms from a boundary."""
    codes = three_way(ShortTime(x, sr))
    hop = round(0.01 * sr)
    at = np.minimum(np.arange(len(codes)) * hop, len(truth) - 1)
    edges = np.flatnonzero(np.diff(truth))
    far = np.abs(at[:, None] - edges[None, :]).min(axis=1) > 0.02 * sr
    return float(np.mean(codes[far] == truth[at][far]))


@pytest.mark.parametrize("sr", [8000, 16000, 44100])
def test_timeline(sr: int) -> None:
    """At least 97 % of the frames. Catches swapped codes, a wrong hop, a threshold of the wrong
    sign, and voicing that ignores the crossings."""
    assert accuracy(*timeline(sr), sr) >= 0.97


def test_timeline_in_more_noise_and_at_other_levels() -> None:
    x, truth = timeline(floor_db=-45)
    assert accuracy(x, truth) >= 0.95
    x, truth = timeline()
    codes = three_way(ShortTime(x, SR))
    np.testing.assert_array_equal(three_way(ShortTime(-x, SR)), codes)
    np.testing.assert_array_equal(three_way(ShortTime(0.125 * x, SR)), codes)
    np.testing.assert_array_equal(three_way(ShortTime(x + 0.25, SR)), codes)


def test_silence_is_silence() -> None:
    for x in (np.zeros(SR), np.full(SR, 0.3), np.zeros(1), np.ones(5)):
        codes = three_way(ShortTime(x, SR))
        assert codes.dtype == np.int8
        assert codes.shape == (1 + len(x) // 160,)
        assert (codes == SILENCE).all()


def test_a_full_scale_vowel_has_no_silence() -> None:
    """Catches a noise floor that is looked for in speech without pauses."""
    x = vowel(1.0)
    codes = three_way(ShortTime(x / np.abs(x).max(), SR))
    assert (codes != SILENCE).all()
    assert np.mean(codes == VOICED) > 0.95


def test_noise_is_unvoiced() -> None:
    codes = three_way(ShortTime(0.1 * np.random.default_rng(0).standard_normal(SR), SR))
    assert (codes == UNVOICED).all()


def test_short_runs_are_absorbed() -> None:
    """A click of 5 ms is in three or four frames; catches a minimum run that is not applied."""
    x, _ = timeline()
    x[int(0.25 * SR) : int(0.255 * SR)] += 0.05
    heard = three_way(ShortTime(x, SR), shortest=0.01)
    assert heard[25] == UNVOICED
    codes = three_way(ShortTime(x, SR), shortest=0.06)
    first, stop, code = runs(codes)
    assert (codes[:46] == SILENCE).all()
    assert (stop - first >= 6).all()
    usual = runs(three_way(ShortTime(x, SR)))
    assert (usual[1] - usual[0] >= 3).all()
    np.testing.assert_array_equal(np.repeat(code, stop - first), codes)
    assert [len(part) for part in runs([])] == [0, 0, 0]


def test_clipping_and_impulses_do_not_crash() -> None:
    impulse = np.zeros(SR)
    impulse[8000] = 1.0
    for x in (impulse, np.clip(10 * vowel(1.0), -1, 1)):
        assert set(np.unique(three_way(ShortTime(x, SR)))) <= {SILENCE, UNVOICED, VOICED}
    for wrong in ({"smooth": 4}, {"length": 1e-5}):
        with pytest.raises(FeatureError, match="odd number of frames"):
            three_way(ShortTime(impulse, SR), **wrong)


@pytest.mark.corpus
def test_voiced_frames_agree_with_praat(emodb_root: Path) -> None:
    """Share of voiced frames within 0.05 of Praat's, on 6 recordings."""
    parselmouth = pytest.importorskip("parselmouth")
    soundfile = pytest.importorskip("soundfile")
    for path in sorted((emodb_root / "audio").glob("*.flac"))[::97][:6]:
        x, sr = soundfile.read(path)
        ours = three_way(ShortTime(x, sr)) == VOICED
        track = parselmouth.Sound(x, sr).to_pitch_ac(
            time_step=0.01, pitch_floor=75, pitch_ceiling=600
        )
        theirs = [track.get_value_at_time(0.01 * i) > 0 for i in range(len(ours))]
        assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=0.05)
        assert np.mean(ours == np.array(theirs)) > 0.93


# -------------------------------------------------------------------------------------------- madd
def burst() -> np.ndarray:
    """Half a second of a tone of 400 Hz (a sine from 0) inside of silence."""
    x = np.zeros(2 * SR)
    x[SR // 2 : SR] = 0.4 * np.sin(2 * np.pi * 400 * np.arange(SR // 2) / SR)
    return x


def test_madd_keeps_a_burst_and_its_onset() -> None:
    """The mask begins and ends within a window of the truth. Catches a mask shifted by a window."""
    x = burst()
    muted = madd(x, SR)
    speech = np.flatnonzero(muted.speech)
    assert SR // 2 - 400 <= speech[0] <= SR // 2 + 1  # its first sample is 0, and silence
    assert SR - 10 <= speech[-1] <= SR + 400
    assert muted.speech[speech[0] : speech[-1]].all()
    np.testing.assert_array_equal(muted.x, x)  # what was silent was 0 already


def test_madd_by_the_definition() -> None:
    """Against window after window, in both rules."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(600) * (1e-3 + (np.arange(600) // 150 % 2))
    for rule in ("quantile", "paper"):
        d = np.array([np.ptp(x[i : i + 25]) for i in range(576)])
        if rule == "paper":
            threshold = 2 * d.min()
        else:
            threshold = max(2 * np.percentile(d, 10), 0.02 * np.ptp(x))
        speech = np.zeros(600, dtype=bool)
        for i in np.flatnonzero(d >= threshold):
            speech[i : i + 25] = True
        got = madd(x, 1000, rule=rule)  # type: ignore[arg-type]
        np.testing.assert_array_equal(got.speech, speech)
        np.testing.assert_array_equal(got.x, np.where(speech, x, 0))
        assert 0 < speech.mean() < 1


def test_madd_does_not_depend_on_gain_offset_or_polarity() -> None:
    x = burst() + 1e-3 * np.random.default_rng(0).standard_normal(2 * SR)
    mask = madd(x, SR).speech
    assert 0.2 < mask.mean() < 0.3
    for same in (0.25 * x, -x, x + 0.3):
        np.testing.assert_array_equal(madd(same, SR).speech, mask)


@pytest.mark.parametrize("before", [0, 7, SR])
@pytest.mark.parametrize("after", [1, 300, 5 * SR])
def test_silence_around_a_recording_does_not_move_madds_mask(before: int, after: int) -> None:
    """A tenth of all windows had counted, of which silence has the lowest. The end of the
    recording, with an offset, and the silence after it are no onset."""
    x = burst()[: 3 * SR // 2] + 2e-3 * np.random.default_rng(0).standard_normal(3 * SR // 2)
    x[-200:] += 0.1
    mask = madd(x, SR).speech
    assert 0.2 < mask.mean() < 0.5
    padded = madd(np.pad(x, (before, after)), SR).speech
    np.testing.assert_array_equal(padded[before : before + len(x)], mask)
    assert not padded[:before].any()
    assert not padded[before + len(x) :].any()


@pytest.mark.parametrize(("level", "heard"), [(0.9, False), (1.1, True)])
def test_madds_least_spread_is_a_fiftieth_of_the_clips(level: float, heard: bool) -> None:
    """Catches 3 % in place of 2: a tone just below the threshold in a clip of digital silence."""
    t = np.arange(SR) / SR
    x = np.where(t < 0.3, np.sin(2 * np.pi * 400 * t), 0.0)
    quiet = slice(round(0.6 * SR), round(0.7 * SR))
    x[quiet] = level * 0.02 * np.sin(2 * np.pi * 400 * t[quiet])
    x[-1] = 1e-9  # the recording goes on
    assert madd(x, SR).speech[quiet][400:-400].all() == heard


def test_madd_is_never_empty() -> None:
    for x in (np.zeros(SR), np.full(SR, 0.3), np.ones(1), 0.1 * np.sin(0.3 * np.arange(SR))):
        for rule in ("quantile", "paper"):
            muted = madd(x, SR, rule=rule)  # type: ignore[arg-type]
            assert muted.speech[1:].all()  # a first sample of 0 may be silence
            assert muted.speech.any()
            np.testing.assert_array_equal(muted.x, x)


@pytest.mark.parametrize("at", [slice(-50, None), slice(-1, None), slice(0, 1), slice(30, 70)])
def test_madd_of_a_click_in_silence(at: slice) -> None:
    """Less than a window of sound, wherever. Failed on one at the end of the clip."""
    x = np.zeros(SR)
    x[at] = 0.1
    muted = madd(x, SR)
    assert muted.speech[at].all()
    np.testing.assert_array_equal(muted.x, x)


def test_madd_errors() -> None:
    for x in (np.zeros((2, 5)), np.zeros(0), np.array([0.0, np.nan])):
        with pytest.raises(AudioError, match="finite samples"):
            madd(x, SR)
    with pytest.raises(FeatureError, match="unknown rule"):
        madd(burst(), SR, rule="other")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="shorter than one sample"):
        madd(burst(), SR, length=1e-6)
