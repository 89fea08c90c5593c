"""A stored model that listens: windows equal to segments, causal networks, silence, chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.deploy import train
from serfeat.doubt import Doubt, save_doubt
from serfeat.errors import AudioError, ModelError
from serfeat.extract import extract
from serfeat.feature_sets import feature_set
from serfeat.manifest import Manifest, rows_from_records
from serfeat.manifest_csv import read_manifest
from serfeat.models.storage import load_model
from serfeat.plan import Entry
from serfeat.streaming import UNKNOWN, Activity, Recogniser
from serfeat.streaming.recognition import SHORT, SILENCE, is_causal

SR = 16_000


@pytest.fixture(scope="module")
def models(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    manifest = read_manifest(tiny)
    folder = tmp_path_factory.mktemp("models")
    entries = {
        "ridge": Entry("ridge", "ridge", "classic"),
        "gmm": Entry("gmm", "gmm", "mfcc"),
        "speaker": Entry("speaker", "ridge", "energy", normalisation="speaker"),
    }
    return {
        name: train(manifest, entry, folder / name, held_out=0) for name, entry in entries.items()
    }


@pytest.fixture(scope="module")
def causal(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    entry = Entry(
        "causal", "timnet", "mfcc_deltas",
        {"causal": True, "epochs": 2, "n_dilations": 4, "filters": 8},
    )  # fmt: skip
    return train(read_manifest(tiny), entry, tmp_path_factory.mktemp("causal"), held_out=0)


@pytest.fixture(scope="module")
def speech(tiny: Path) -> np.ndarray:
    """Some seconds of one speaker."""
    files = sorted((tiny.parent / "s1").glob("*"))[:3]
    return np.concatenate([sf.read(file)[0] for file in files])


def heard(listener: Recogniser, x: np.ndarray, size: int = 160) -> list:
    found = [m for i in range(0, len(x), size) for m in listener.push(x[i : i + size])]
    return found + listener.end()


# --- windows ----------------------------------------------------------------------------------


def test_a_window_is_the_segment_that_extract_would_cut(models, speech, tmp_path):
    """The same bits: a window is computed as a segment is. Seen to fail with a window of one more
    sample."""
    file = tmp_path / "speech.wav"
    sf.write(file, speech, SR, subtype="DOUBLE")
    listener = Recogniser(models["ridge"], SR, window=1.5, every=0.5)
    ends, rows = [], []
    for i in range(0, len(speech), SR // 2):
        for moment in listener.push(speech[i : i + SR // 2]):
            if moment.time >= 1.5:
                ends.append(moment.time)
                rows.append(listener.row()[0])
    records = [
        {
            "file": file.name,
            "start": end - 1.5,
            "end": end,
            "corpus": "c",
            "speaker": "s",
            "emotion": "anger",
        }
        for end in ends
    ]
    rows_of = rows_from_records(records)
    found = extract(Manifest(rows_of, tmp_path, "windows"), feature_set("classic"))
    assert len(rows) == len(found.values) > 3
    np.testing.assert_array_equal(rows, found.values)


def test_before_the_window_is_full_it_is_what_came_so_far(models, speech):
    listener = Recogniser(models["gmm"], SR, window=3.0)
    listener.push(speech[:SR])
    expected = feature_set("mfcc").compute(speech[:SR], "lld")
    np.testing.assert_array_equal(listener.row()[0], expected.astype(np.float32))


@pytest.mark.parametrize("name", ["ridge", "gmm"])
def test_chunks_do_not_matter(models, speech, name):
    """Seen to fail where a chunk was not cut at a moment."""
    settings = {"window": 1.0, "every": 0.4}
    one = heard(Recogniser(models[name], SR, **settings), speech)
    assert [m.time for m in one[:3]] == [0.4, 0.8, 1.2]
    assert heard(Recogniser(models[name], SR, **settings), speech, size=len(speech)) == one
    assert heard(Recogniser(models[name], SR, **settings), speech, size=1777) == one


def test_probabilities_are_those_of_the_model(models, speech):
    """Unsmoothed, the answer is `predict_proba` of the window."""
    model, _ = load_model(models["ridge"])
    listener = Recogniser(models["ridge"], SR, window=1.0, every=0.5, fade=0.0)
    moment = listener.push(speech[: 3 * SR // 2])[-1]
    proba = model.predict_proba(listener.row())[0]
    assert moment.values == dict(zip(model.classes_, proba.tolist(), strict=True))
    assert moment.label == model.classes_[proba.argmax()]


def test_smoothing_is_an_exponential_mean(models, speech):
    raw = heard(Recogniser(models["ridge"], SR, window=1.0, fade=0.0), speech)[:-1]
    smooth = heard(Recogniser(models["ridge"], SR, window=1.0, every=0.5, fade=1.0), speech)[:-1]
    keep, value = np.exp(-0.5), None
    for a, b in zip(raw, smooth, strict=True):
        if a.values:
            now = np.array(list(a.values.values()))
            value = now if value is None else keep * value + (1 - keep) * now
            np.testing.assert_allclose(list(b.values.values()), value, atol=1e-12)
            assert abs(sum(b.values.values()) - 1) < 1e-6


# --- causal networks --------------------------------------------------------------------------


def test_a_causal_network_is_the_batch_on_the_same_frames(causal, speech):
    """Its last probabilities without fading are those of the clip so far, to 1e-5."""
    from serfeat.sequences import Sequences
    from serfeat.streaming import Stream
    from serfeat.streaming.recognition import _Network

    model, card = load_model(causal)
    assert is_causal(model)
    features = feature_set(card["features"]["name"])
    network = _Network(model, features, memory=None)
    x = speech[: 2 * SR]
    for i in range(0, len(x), 160):
        network.push(x[i : i + 160])
    frames = Stream(features, SR).push(x).values.astype(np.float32)
    expected = model.predict_proba(Sequences.of([frames]))[0]
    np.testing.assert_allclose(network.values, expected, atol=1e-5)


def test_a_causal_network_listens(causal, speech):
    listener = Recogniser(causal, SR)
    assert listener.causal
    assert 0.04 < listener.delay < 0.06
    one = heard(listener, speech)
    assert {m.reason for m in one} <= {"", SHORT, SILENCE}
    listener.reset()
    other = heard(listener, speech, size=3333)
    for a, b in zip(one, other, strict=True):
        assert (a.time, a.label, a.reason) == (b.time, b.label, b.reason)
        np.testing.assert_allclose(list(a.values.values()), list(b.values.values()), atol=1e-6)


def test_a_window_of_another_network_is_not_called_causal(models):
    assert not is_causal(load_model(models["gmm"])[0])


# --- unknown ----------------------------------------------------------------------------------


def test_silence_is_unknown_and_forgets(models, speech):
    """Seen to fail with the smoothing kept through the pause."""
    noise = 1e-4 * np.random.default_rng(0).standard_normal(3 * SR)
    listener = Recogniser(models["ridge"], SR, window=1.0)
    said = heard(listener, np.concatenate([noise, speech[: 2 * SR], noise, speech]))
    quiet = [m for m in said if 1.0 <= m.time <= 3.0 or 6.5 <= m.time <= 8.0]
    assert quiet
    assert all(m.label == UNKNOWN and m.reason == SILENCE and not m.values for m in quiet)
    assert any(m.label != UNKNOWN for m in said if 3.5 < m.time < 5.5)
    # Smoothed for ever, and not at all: the same at the first answer after a pause.
    x = np.concatenate([speech[: 2 * SR], noise, speech])
    smooth, raw = (
        heard(Recogniser(models["ridge"], SR, window=1.0, fade=fade), x) for fade in (1e6, 0.0)
    )
    after = next(i for i, m in enumerate(smooth) if m.time > 5.0 and m.values)
    assert smooth[after] == raw[after]
    assert smooth[after + 1] != raw[after + 1]
    assert listener.push(np.zeros(0)) == []


def test_too_little_is_unknown(models, speech):
    moment = Recogniser(models["ridge"], SR, every=0.5).push(speech[: SR // 2])[0]
    assert (moment.label, moment.reason, moment.values) == (UNKNOWN, SHORT, {})


def test_what_the_models_record_doubts_is_unknown(models, speech, tmp_path):
    """A record in which no probability was ever right makes every answer unknown."""
    import shutil

    folder = shutil.copytree(models["ridge"], tmp_path / "model")
    _, card = load_model(folder)
    k = len(card["features"]["columns"])
    record = Doubt(
        confidence=(0.0, 1.0), right=(0.1, 0.2), low=(-1e30,) * k, high=(1e30,) * k, usual=1.0,
        speakers=4, clips=24, groups=4, accuracy=0.1, answered=0.0, accuracy_answered=0.0,
    )  # fmt: skip
    save_doubt(record, folder, card)
    said = heard(Recogniser(folder, SR, window=1.0), speech[: 2 * SR])
    asked = [m for m in said if m.values]
    assert asked
    assert all(m.label == UNKNOWN and m.reason.startswith("unsure") for m in asked)


@pytest.mark.parametrize("level", [1e-3, 1e-2, 0.2])
def test_steady_noise_is_nobody_speaking(level):
    activity = Activity(SR)
    activity.push(level * np.random.default_rng(0).standard_normal(4 * SR))
    assert activity.share < 0.02
    assert abs(activity.level - 20 * np.log10(level)) < 0.5


def test_speech_is_somebody_speaking(speech):
    activity = Activity(SR)
    assert (activity.share, activity.level) == (0.0, -120.0)
    activity.push(np.zeros(SR))
    assert activity.share == 0.0
    activity.push(speech[: 2 * SR])
    assert activity.share > 0.3


def test_activity_agrees_with_the_whole_file(emodb_root):
    """Blocks of 10 ms against `three_way` on 14 recordings."""
    from serfeat.audio import load_audio
    from serfeat.shorttime import ShortTime
    from serfeat.streaming.activity import ABOVE, LOWEST
    from serfeat.vad import SILENCE as QUIET
    from serfeat.vad import three_way

    same = total = 0
    for path in sorted((emodb_root / "audio").glob("*.flac"))[::40]:
        x = load_audio(path).x
        activity = Activity(SR)
        activity.push(x)
        levels = np.array(activity._levels)
        speech = levels > max(np.percentile(levels, 5) + ABOVE, LOWEST)
        expected = three_way(ShortTime(x, SR))[: len(levels)] != QUIET
        same += int((speech == expected).sum())
        total += len(levels)
    assert same > 0.8 * total


# --- refusals ---------------------------------------------------------------------------------


def test_a_model_that_needs_the_speakers_other_clips_is_refused(models):
    with pytest.raises(ModelError, match="speaker's others"):
        Recogniser(models["speaker"], SR)


@pytest.mark.parametrize("settings", [{"window": 0.5}, {"every": 0.0}, {"fade": -1.0}])
def test_bad_times_are_refused(models, settings):
    with pytest.raises(ModelError, match="expected at least"):
        Recogniser(models["ridge"], SR, **settings)


def test_bad_chunks_are_refused(models):
    with pytest.raises(AudioError):
        Recogniser(models["ridge"], SR).push(np.array([np.inf]))


def test_warming_changes_nothing(models, speech):
    listener = Recogniser(models["ridge"], SR, window=1.0)
    listener.warm()
    assert heard(listener, speech) == heard(Recogniser(models["ridge"], SR, window=1.0), speech)
