"""`check_manifest`: real copies pass, cut, mixed, doubled and truncated ones do not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serfeat.corpora import read_corpus
from serfeat.corpora.check import check_manifest
from serfeat.errors import CorpusError
from serfeat.manifest import Card, Manifest, rows_from_records
from serfeat.manifest_csv import read_manifest, write_manifest

CARD = Card(
    "toy",
    emotions=("anger", "sadness"),
    n_speakers=2,
    n_utterances=12,
    speakers={"a": 6, "b": 6},
    emotion_counts={"anger": 6, "sadness": 6},
    sample_rate=8000,
    total_seconds=12 * 0.125 + 66 * 0.01,
)


def toy(root: Path, *, equal: bool = False) -> Manifest:
    """12 recordings of noise of 2 speakers; durations 0.125 + i*0.01 s."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(12):
        name = f"{i:02d}.wav"
        n = 1000 if equal else 1000 + 80 * i
        soundfile.write(root / name, 0.1 * rng.standard_normal(n), 8000)
        emotion = "anger" if i % 2 else "sadness"
        records.append({"file": name, "corpus": "toy", "speaker": "ab"[i // 6], "emotion": emotion})
    return Manifest(rows_from_records(records), root, "toy", CARD)


@pytest.mark.corpus
def test_emodb_passes(emodb_root: Path) -> None:
    """SOURCE.md: 24.78 min, 16 kHz."""
    result = check_manifest(read_corpus("emodb", emodb_root), decode="info")
    assert result.errors == ()
    assert result.warnings == ()
    assert result.total_seconds / 60 == pytest.approx(24.78, abs=0.01)
    assert set(result.files["sample_rate"]) == {16000}
    assert result.counts.loc["03", "anger"] == 14
    assert result.counts.to_numpy().sum() == 535
    assert result.summary == (
        "535 utterances in 535 files, 24.78 min",
        "10 speakers, 7 emotions",
        "sample rates: 16000 Hz",
    )


@pytest.mark.corpus
def test_emodb_of_two_seconds_is_refused(emodb_root: Path, tmp_path: Path) -> None:
    """The copy that circulates; catches the check of equal durations removed."""
    silence = np.zeros(32000, dtype=np.int16)
    for name in read_corpus("emodb", emodb_root).files:
        soundfile.write(tmp_path / Path(name).with_suffix(".wav").name, silence, 16000)
    result = check_manifest(read_corpus("emodb", tmp_path), decode="info")
    assert not result.ok
    assert len(result.errors) == 1
    assert "all 535 files last exactly 2.000 s" in result.errors[0]
    assert "cut and padded" in result.errors[0]
    with pytest.raises(CorpusError, match=r"2\.000 s"):
        result.raise_errors(where=tmp_path)


@pytest.mark.corpus
def test_written_manifest_is_held_against_the_whole_card(emodb_root: Path, tmp_path: Path) -> None:
    """`serfeat check FILE` reads a side-car, which has no counts; catches its card being enough."""
    m = read_corpus("emodb", emodb_root)
    path = write_manifest(m.with_rows(m.rows[1:]), tmp_path / "emodb.csv")
    result = check_manifest(read_manifest(path), decode="none")
    assert "speaker '03' has 48 utterances, expected 49" in result.errors
    assert result.summary[0] == "534 utterances in 534 files, durations not looked at"


@pytest.mark.corpus
def test_ravdess_subset_and_its_known_duplicate(ravdess_root: Path) -> None:
    """Speaker 07 of the real copy; catches a digest of the file's bytes (they differ)."""
    m = read_corpus("ravdess", ravdess_root)
    result = check_manifest(m.select(speaker="07"))
    stems = [sorted(Path(f).stem for f in group) for group in result.duplicates]
    assert stems == [["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]]
    assert result.ok
    assert any("known, in every copy" in w for w in result.warnings)
    assert any("a subset: 1 of 24 speakers, 60 of 1440" in w for w in result.warnings)
    assert any("every recording twice" in note for note in result.notes)
    whole = check_manifest(m, decode="none")
    assert whole.ok
    assert any("14 of 24 speakers, 840 of 1440" in w for w in whole.warnings)


@pytest.mark.corpus
def test_votes_without_audio(shared: Path) -> None:
    m = read_corpus("cremad", shared / "corpora" / "crema-d-votes")
    result = check_manifest(m, decode="none")
    assert len(result.missing) == 7442
    assert result.errors[0].startswith("7442 of 7442 files missing")
    assert len(result.errors) == 1


def test_a_good_copy(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = check_manifest(toy(tmp_path), progress=lambda i, n: seen.append((i, n)))
    assert result.ok
    assert result.warnings == ()
    assert result.total_seconds == pytest.approx(CARD.total_seconds)
    assert seen[-1] == (12, 12)
    assert result.duplicates == ()


def test_equal_durations_without_a_card_are_a_warning(tmp_path: Path) -> None:
    m = toy(tmp_path, equal=True)
    assert any("last exactly 0.125 s" in e for e in check_manifest(m).errors)
    free = Manifest(m.rows, m.root, "free")
    result = check_manifest(free)
    assert result.ok
    assert any("last exactly 0.125 s" in w for w in result.warnings)


def test_total_duration(tmp_path: Path) -> None:
    """A copy with every file a little shortened; catches the comparison with the card removed."""
    m = toy(tmp_path)
    for name in m.files:
        x, sr = soundfile.read(tmp_path / name)
        soundfile.write(tmp_path / name, x[: int(0.98 * len(x))], sr)
    assert any("2.1 s of audio, expected 2.2 s" in e for e in check_manifest(m).errors)


def test_counts_against_the_card(tmp_path: Path) -> None:
    m = toy(tmp_path)
    errors = check_manifest(m.with_rows(m.rows[1:])).errors
    assert "speaker 'a' has 5 utterances, expected 6" in errors
    assert "sadness has 5 utterances, expected 6" in errors
    rows = m.rows.copy()
    rows["speaker"] = rows["speaker"].replace({"a": "z"})
    rows["emotion"] = rows["emotion"].replace({"anger": "fear"})
    errors = check_manifest(m.with_rows(rows)).errors
    assert "speaker 'z' is not one of toy's" in errors
    assert "emotions that toy does not have: fear" in errors
    subset = check_manifest(m.select(speaker="a"))
    assert subset.ok
    assert "a subset: 1 of 2 speakers, 6 of 12 utterances (absent: b)" in subset.warnings


def test_damaged_files(tmp_path: Path) -> None:
    """Each kind is named once with its files; catches the WAV header's size ignored."""
    m = toy(tmp_path)
    whole = (tmp_path / "00.wav").read_bytes()
    (tmp_path / "00.wav").write_bytes(whole[:1000])
    (tmp_path / "01.wav").write_bytes(b"")
    (tmp_path / "02.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "03.wav").write_text("no audio at all")
    (tmp_path / "04.wav").unlink()
    soundfile.write(tmp_path / "05.wav", np.zeros(900), 8000)
    soundfile.write(tmp_path / "06.wav", np.full(900, np.nan), 8000, subtype="FLOAT")
    (tmp_path / "07.wav").unlink()
    os.mkfifo(tmp_path / "07.wav")
    result = check_manifest(m)
    text = "\n".join(result.errors)
    assert f"1 of 12 files truncated: 00.wav (truncated: 1000 of {len(whole)} bytes)" in text
    for name, fault in (
        ("01", "empty file"),
        ("02", "a git-lfs pointer"),
        ("03", "cannot be decoded"),
        ("04", "missing"),
        ("05", "silent"),
        ("06", "NaN or infinite"),
        ("07", "not a regular file"),
    ):
        assert fault in result.files.loc[f"{name}.wav", "fault"]
        assert f"{fault}" in text
    assert result.missing == ("04.wav",)
    assert len(result.errors) == 8


def test_truncated_flac(tmp_path: Path) -> None:
    m = toy(tmp_path)
    x = 0.1 * np.random.default_rng(1).standard_normal(40000)
    soundfile.write(tmp_path / "00.wav", x, 8000, format="FLAC")
    raw = (tmp_path / "00.wav").read_bytes()
    (tmp_path / "00.wav").write_bytes(raw[: len(raw) // 2])
    fault = check_manifest(m).files.loc["00.wav", "fault"]
    assert "truncated" in fault or "cannot be decoded" in fault


def test_known_fault_is_a_warning(tmp_path: Path) -> None:
    m = toy(tmp_path)
    soundfile.write(tmp_path / "05.wav", np.zeros(1400), 8000)
    card = Card("toy", known_faults={"05": "no audio in it"})
    result = check_manifest(m, card=card)
    assert result.ok
    assert any("05.wav: silent" in w and "known: no audio" in w for w in result.warnings)


def test_duplicates_by_content(tmp_path: Path) -> None:
    """WAV = FLAC = stereo with equal channels; another gain or another second channel is not."""
    m = toy(tmp_path)
    x, sr = soundfile.read(tmp_path / "00.wav", dtype="int16")
    soundfile.write(tmp_path / "02.wav", x, sr, format="FLAC", subtype="PCM_16")
    soundfile.write(tmp_path / "04.wav", np.stack([x, x], axis=1), sr)
    soundfile.write(tmp_path / "06.wav", np.stack([x, x // 2], axis=1), sr)
    soundfile.write(tmp_path / "08.wav", x // 2, sr)
    result = check_manifest(m, card=Card("toy"))
    assert result.duplicates == (("00.wav", "02.wav", "04.wav"),)
    assert result.ok
    assert any("the same recording: 00.wav = 02.wav = 04.wav" in w for w in result.warnings)


def test_one_recording_under_two_labels_is_an_error(tmp_path: Path) -> None:
    m = toy(tmp_path)
    x, sr = soundfile.read(tmp_path / "00.wav", dtype="int16")
    soundfile.write(tmp_path / "01.wav", x, sr)
    result = check_manifest(m, card=Card("toy"))
    assert any("with different speakers or emotions" in e for e in result.errors)


def test_rates(tmp_path: Path) -> None:
    m = toy(tmp_path)
    card = Card("toy", sample_rate=16000)
    assert any("this copy was resampled" in w for w in check_manifest(m, card=card).warnings)
    soundfile.write(tmp_path / "00.wav", np.ones(900) / 2, 11025)
    assert any("mixed sample rates" in w for w in check_manifest(m, card=card).warnings)


def test_speakers_with_one_emotion(tmp_path: Path) -> None:
    """URDU's trap: the speaker tells the label; catches the count per speaker removed."""
    m = toy(tmp_path)
    rows = m.rows.copy()
    rows["emotion"] = ["anger"] * 6 + list(rows["emotion"][6:])
    result = check_manifest(m.with_rows(rows), card=Card("toy"), decode="none")
    assert any("1 of 2 speakers have one emotion only (a)" in w for w in result.warnings)


def test_names_that_collide_elsewhere(tmp_path: Path) -> None:
    records = [
        {"file": f, "corpus": "c", "speaker": "a", "emotion": e}
        for f, e in (("A.wav", "anger"), ("a.wav", "fear"))
    ]
    m = Manifest(rows_from_records(records), tmp_path, "c")
    assert any("A.wav = a.wav" in w for w in check_manifest(m, decode="none").warnings)
