"""Descriptors of a stream: the file's numbers, whatever the chunks; where they part, measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from serfeat.audio import load_audio, resample
from serfeat.errors import AudioError, FeatureError
from serfeat.feature_sets import FEATURE_SETS, feature_set
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import pitch
from serfeat.streaming import STREAMABLE, WHOLE, Stream
from serfeat.streaming.frames import PIECE

SR = 16_000
FOR_EVER = 60.0  # s of lag: F0 is decided at the end, as in a file


def voice(seconds: float = 1.0, sr: int = SR, seed: int = 0) -> np.ndarray:
    """A buzz that glides and pauses, with a little noise."""
    t = np.arange(round(seconds * sr)) / sr
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * t)) / sr
    buzz = sum(np.cos(h * phase) / h for h in range(1, 18))
    rng = np.random.default_rng(seed)
    x = 0.2 * buzz * (np.sin(2 * np.pi * 1.7 * t) > -0.6) + 0.003 * rng.standard_normal(len(t))
    return np.clip(x, -1, 1)


def streamed(stream: Stream, x: np.ndarray, seed: int | None = 0, largest: int = 900):
    """Push x in random chunks (in one for seed None) and flush."""
    rng = np.random.default_rng(seed)
    found, i = [], 0
    while i < len(x):
        n = len(x) if seed is None else int(rng.integers(0, largest))
        found.append(stream.push(x[i : i + n]))
        i += n
    found.append(stream.flush())
    values, times = (np.concatenate(field) for field in zip(*found, strict=True))
    return values, times


def of_file(name: str, x: np.ndarray) -> np.ndarray:
    """The descriptor of the whole clip, told the offset and peak that a stream knows."""
    return DESCRIPTORS[name](ShortTime(x, SR, mean=0.0, peak=1.0))


def assert_equal(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert found.shape == expected.shape
    if not tolerance:
        np.testing.assert_array_equal(found, expected)
        return
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    scale = np.nanmax(np.abs(expected), axis=0, initial=0.0)
    assert (np.nan_to_num(np.abs(found - expected)) <= tolerance * scale).all()


# --- equal to the file ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(STREAMABLE))
def test_frames_are_those_of_the_file(name):
    """Seen to fail with half of the look-ahead, and with a frame of history too few."""
    x = voice(0.9)
    values, times = streamed(Stream(feature_set(name), SR, peak=1.0, lag=FOR_EVER), x)
    np.testing.assert_allclose(times, np.arange(len(values)) * 0.010, atol=1e-12)
    assert_equal(values, of_file(name, x), STREAMABLE[name].tolerance)


@pytest.mark.parametrize("hop", [0.005, 0.04])
@pytest.mark.parametrize("name", sorted(set(STREAMABLE) - {"samples"}))
def test_frames_are_those_of_the_file_at_any_hop(name, hop):
    """Caught: the flux of `spectral` at hops above 22.5 ms, whose frame before was cut off.

    A product of one frame alone may be rounded otherwise than one of several.
    """
    x = voice(0.9)
    features = replace(feature_set(name), hop=hop)
    values, _ = streamed(Stream(features, SR, peak=1.0, lag=FOR_EVER), x)
    expected = DESCRIPTORS[name](ShortTime(x, SR, hop, mean=0.0, peak=1.0))
    assert_equal(values, expected, max(1e-9, STREAMABLE[name].tolerance))


@pytest.mark.parametrize("name", sorted(set(STREAMABLE) - {"samples"}))
def test_frames_are_those_of_the_file_on_real_speech(name, emodb_root):
    for path in sorted((emodb_root / "audio").glob("*.flac"))[5::200]:
        x = load_audio(path).x
        values, _ = streamed(Stream(feature_set(name), SR, peak=1.0, lag=FOR_EVER), x, seed=1)
        assert_equal(values, of_file(name, x), STREAMABLE[name].tolerance)


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("name", ["classic", "cepstral", "mfcc_deltas"])
def test_chunks_do_not_matter(name, seed):
    """One push, and others; seen to fail when the last samples of a chunk were left out."""
    x = voice(0.6)
    one, times = streamed(Stream(name, SR), x, seed=3)
    other, _ = streamed(Stream(name, SR), x, seed=seed)
    assert one.shape == (1 + len(x) // 160, FEATURE_SETS[name].width("lld"))
    assert_equal(other, one, 1e-9)
    assert len(times) == len(one)


def test_single_samples_are_chunks_too():
    x = voice(0.1)
    one, _ = streamed(Stream("mfcc", SR), x, seed=None)
    stream = Stream("mfcc", SR)
    parts = [stream.push(x[i : i + 1]).values for i in range(len(x))] + [stream.flush().values]
    np.testing.assert_array_equal(np.concatenate(parts), one)


def test_a_whole_recording_in_one_chunk_is_taken_in_pieces():
    x = np.tile(voice(1.0), 20)
    assert len(x) > 2 * PIECE
    one, times = streamed(Stream("energy", SR), x, seed=None)
    np.testing.assert_array_equal(one, of_file("energy", x))
    assert len(times) == len(one)


def test_smoothing_and_deltas_are_those_of_the_file():
    """Seen to fail with no earlier rows kept."""
    x = voice(0.5)
    features = replace(feature_set("mfcc"), smooth=3, deltas=2)
    values, _ = streamed(Stream(features, SR), x)
    np.testing.assert_array_equal(values, features.compute(x, "lld"))


def test_sixteen_bits_are_the_floats_they_stand_for():
    x = (20_000 * voice(0.3)).astype(np.int16)
    one, _ = streamed(Stream("energy", SR), x)
    other, _ = streamed(Stream("energy", SR), x / 32768.0)
    np.testing.assert_array_equal(one, other)


def test_resampling_piece_by_piece_is_the_files():
    """48 kHz of a sound card to 16 kHz: the same filter, so the same frames up to rounding."""
    x = voice(0.5, sr=48_000)
    values, _ = streamed(Stream("mfcc", 48_000), x, largest=2000)
    expected = of_file("mfcc", resample(x, 48_000, SR))
    assert len(values) == len(expected)
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_who_asks_for_f0_says_so():
    """Else it would be told nothing, and decide alone in every part. Seen to fail for formants."""
    for name, reach in STREAMABLE.items():
        st = ShortTime(voice(0.3), SR)
        DESCRIPTORS[name](st)
        assert any(key[0] == "pitch" for key in st._memory) == reach.pitch, name


# --- delay ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "ms"), [("mfcc", 12.5), ("f0", 70.0), ("cpp", 50.0)])
def test_a_frame_is_ready_when_its_last_sample_is_there(name, ms):
    """Delay: half the window, and for F0 the lag. Seen to fail with a frame held back."""
    stream, x = Stream(name, SR), voice(0.4)
    assert abs(1e3 * stream.delay - ms) < 0.1
    ready = 0
    for i, sample in enumerate(x):
        frames = stream.push([sample])
        for time in frames.times:
            assert i + 1 == max(1, round(time * SR)) + round(stream.delay * SR) or time == 0.0
            ready += 1
    assert ready > 25


def test_memory_does_not_grow():
    stream = Stream("classic", SR)
    sizes = []
    for _ in range(3):
        stream.push(voice(1.0))
        sizes.append((len(stream._x), len(stream._pitch._kept), len(stream._contours._rows)))
    assert sizes[1] == sizes[2]
    assert sizes[2][0] < 0.3 * SR


# --- where stream and file part: measured ---------------------------------------------------------


def test_f0_with_a_lag_differs_from_the_files_as_stated(emodb_root):
    """Share of frames whose voicing or F0 (by 1 %) differs, over 14 clips.

    On 42 clips of EMO-DB: 3.9 % decided at once, 0.56 % after 20 ms, 0.14 % after 50 ms.
    """
    wrong = {0.0: 0, 0.05: 0, 0.2: 0, FOR_EVER: 0}
    total = 0
    for path in sorted((emodb_root / "audio").glob("*.flac"))[::40]:
        x = load_audio(path).x
        expected = pitch(ShortTime(x, SR, mean=0.0, peak=1.0)).f0
        total += len(expected)
        for lag in wrong:
            found = streamed(Stream("f0", SR, peak=1.0, lag=lag), x, seed=None)[0][:, 0]
            same = np.isclose(found, expected, rtol=0.01, equal_nan=True)
            wrong[lag] += int((~same).sum())
    assert wrong[FOR_EVER] == 0
    assert wrong[0.2] <= wrong[0.05] <= wrong[0.0]
    assert 0 < wrong[0.0] < 0.06 * total
    assert wrong[0.05] < 0.01 * total
    assert wrong[0.2] < 0.003 * total


def test_an_unknown_offset_and_peak_change_little(emodb_root):
    """MFCC ask for neither; F0 asks for the peak, against which it measures silence.

    On 42 clips of EMO-DB (40 of RAVDESS) voicing differs in 1.8 % (0.5 %) of the frames.
    """
    path = sorted((emodb_root / "audio").glob("*.flac"))[5]
    x = load_audio(path).x
    np.testing.assert_array_equal(
        streamed(Stream("mfcc", SR), x)[0], feature_set("mfcc").compute(x, "lld")
    )
    found = streamed(Stream("f0", SR, lag=FOR_EVER), x)[0][:, 0]
    expected = feature_set("f0").compute(x, "lld")[:, 0]
    assert np.isclose(found, expected, rtol=0.01, equal_nan=True).mean() > 0.98


# --- refusals ---------------------------------------------------------------------------------


def test_every_descriptor_is_streamable_or_has_a_reason():
    assert set(STREAMABLE) | set(WHOLE) == set(DESCRIPTORS)
    assert not set(STREAMABLE) & set(WHOLE)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mfcc39", "loudest frame"),
        ("formants_tracked", "take formants"),
        ("full", "cannot be streamed"),
        ("waveform", "madd"),
        ("timnet39_emodb", "one length"),
        ("egemaps", "openSMILE"),
    ],
)
def test_what_needs_the_whole_recording_is_refused_by_name(name, words):
    with pytest.raises(FeatureError, match=words) as caught:
        Stream(name, SR)
    assert caught.value.code == "not-causal"


@pytest.mark.parametrize(
    ("chunk", "code"),
    [
        (np.zeros((3, 2)), "not-mono"),
        (np.array([1, 2, 3]), "bad-type"),
        (np.array(["a"]), "bad-type"),
        (np.array([0.0, np.nan]), "non-finite"),
    ],
)
def test_bad_chunks_are_refused_and_change_nothing(chunk, code):
    stream = Stream("energy", SR)
    x = voice(0.1)
    with pytest.raises(AudioError) as caught:
        stream.push(chunk)
    assert caught.value.code == code
    values, _ = streamed(stream, x)
    np.testing.assert_array_equal(values, of_file("energy", x))


def test_ends():
    empty = Stream("f0,mfcc", SR)
    assert empty.push([]).values.shape == (0, 17)
    assert empty.flush().values.shape == (0, 17)
    with pytest.raises(FeatureError, match="ended"):
        empty.push([0.0])
    assert empty.flush().values.shape == (0, 17)
    short = Stream("f0", SR)
    short.push(voice(0.03))
    assert np.isnan(short.flush().values).all()
    silent, _ = streamed(Stream("classic", SR), np.zeros(3000))
    expected = FEATURE_SETS["classic"].compute(np.zeros(3000), "lld")
    assert np.array_equal(np.isnan(silent), np.isnan(expected))


@pytest.mark.parametrize(
    "settings",
    [{"sr": 100}, {"sr": SR, "peak": 0.0}, {"sr": SR, "lag": -1.0}, {"sr": SR, "mean": np.nan}],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises((AudioError, FeatureError)):
        Stream("energy", **settings)
