"""Manifests: round trips, and every kind of bad CSV named with its line."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serfeat.errors import ManifestError, SerfeatError, UnknownNameError
from serfeat.files import audio_files
from serfeat.manifest import Card, Manifest, manifest_of_folder, rows_from_records
from serfeat.manifest_csv import read_manifest, write_manifest

GOOD = "file,speaker,emotion\na.wav,03,anger\nb.wav,1,neutral\n"


def put(folder: Path, content: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def example(root: Path, **extra: object) -> Manifest:
    one = {"file": "x/a, b.wav", "corpus": "c", "speaker": "03", "emotion": "anger"}
    two = {"file": 'x/"q".wav', "corpus": "c", "speaker": "3", "emotion": ""}
    return Manifest(rows_from_records([one | extra, two]), root, "c")


# --- reading --------------------------------------------------------------------------------------


def test_text_stays_text(tmp_path: Path) -> None:
    """Catches type guessing: speaker 03 -> 3, text 01 -> 1, a label NA -> NaN."""
    text = "file,speaker,emotion,text_id,take,snr_db\na.wav,03,NA,01,01,1.5\nb.wav,NA,NA,02,02,\n"
    m = read_manifest(put(tmp_path, text), labels=["NA"])
    assert list(m.rows["speaker"]) == ["03", "NA"]
    assert list(m.rows["emotion"]) == ["NA", "NA"]
    assert list(m.rows["text_id"]) == ["01", "02"]
    assert list(m.rows["take"]) == ["01", "02"]
    assert m.rows["snr_db"].dtype == np.float64
    assert np.isnan(m.rows["snr_db"].iloc[1])
    assert list(m.rows["corpus"]) == ["m", "m"]
    assert m.root == tmp_path
    text = "file,speaker,emotion,session\na.wav,10,anger,1\nb.wav,11,anger,2\n"
    m = read_manifest(put(tmp_path, text))
    assert m.speakers == ("10", "11")
    assert list(m.rows["session"]) == ["1", "2"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(tmp_path: Path, separator: str, coding: str) -> None:
    text = GOOD.replace(",", separator).replace("a.wav", "ä.wav")
    m = read_manifest(put(tmp_path, text.encode(coding)))
    assert m.files == ("ä.wav", "b.wav")
    assert m.labels == ("anger", "neutral")
    assert m.speakers == ("03", "1")


def test_decimal_comma_only_with_semicolon(tmp_path: Path) -> None:
    text = "file;speaker;emotion;valence\na.wav;1;anger;1,5\n"
    assert read_manifest(put(tmp_path, text)).rows["valence"].iloc[0] == 1.5
    text = 'file,speaker,emotion,valence\na.wav,1,anger,"1,5"\n'
    with pytest.raises(ManifestError, match="not a finite number"):
        read_manifest(put(tmp_path, text))


def test_windows_line_ends_and_blank_lines(tmp_path: Path) -> None:
    assert len(read_manifest(put(tmp_path, GOOD.replace("\n", "\r\n") + "\r\n"))) == 2


def test_labels_are_normalised_and_mapped(tmp_path: Path) -> None:
    text = "file,speaker,emotion,sex\na.wav,1,Angry,F\nb.wav,1,W,male\nc.wav,1,unlabelled,\n"
    m = read_manifest(put(tmp_path, text), label_map={"W": "anger"})
    assert list(m.rows["emotion"]) == ["anger", "anger", ""]
    assert list(m.rows["sex"]) == ["female", "male", ""]
    assert m.labels == ("anger",)
    assert len(m.labelled()) == 2


def test_segments_in_seconds_and_in_audformat(tmp_path: Path) -> None:
    """Catches start and end mixed up, and a lost unit."""
    text = (
        "file,start,end,speaker,emotion\na.wav,0,1.25,1,anger\n"
        "a.wav,0 days 00:00:01.250000,,1,anger\n"
    )
    index = read_manifest(put(tmp_path, text)).rows.index
    assert list(index.get_level_values("start").total_seconds()) == [0.0, 1.25]
    assert index.get_level_values("end")[0] == pd.Timedelta(seconds=1.25)
    assert index.get_level_values("end")[1] is pd.NaT


BAD = {
    "ragged": (GOOD + "c.wav,4\n", "line 4: 2 fields, the header has 3"),
    "long": (GOOD + "c.wav,4,anger,x\n", "line 4: 4 fields, the header has 3"),
    "trailing comma": (GOOD.replace("emotion\n", "emotion,\n"), "line 1: column 4 has no name"),
    "column twice": ("file,speaker,emotion,emotion\na,1,x,y\n", "column emotion occurs twice"),
    "nul": (GOOD + "c\0.wav,1,anger\n", "line 4: a NUL byte"),
    "header only": ("file,speaker,emotion\n", "no rows"),
    "empty": ("", "no rows"),
    "cut": (GOOD[:-1], "line 3: no newline after the last row"),
    "open quote": (GOOD + '"c.wav,1,anger\n', "not CSV"),
    "row twice": (GOOD + "./a.wav,04,anger\n", r"line 4 = line 2 \(a.wav\)"),
    "no speaker": ("file,emotion\na.wav,anger\n", "no column 'speaker'.*keep speakers apart"),
    "other speaker": ("file,spk,emotion\na.wav,1,anger\n", "rename 'spk' to 'speaker'"),
    "wav": ("wav,speaker,emotion\na.wav,1,anger\n", "rename 'wav' to 'file'"),
    "path": ("speaker,audio_filepath,emotion\n1,a.wav,anger\n", "rename 'audio_filepath'"),
    "empty speaker": (GOOD + "c.wav,,anger\n", "line 4: the speaker is empty in 1 rows"),
    "empty emotion": (GOOD + "c.wav,1,\n", "line 4: the emotion is empty"),
    "typo": (GOOD + "c.wav,1,boredem\n", "line 4: unknown emotion 'boredem'; did you mean"),
    "sex": ("file,speaker,emotion,sex\na.wav,1,anger,femal\n", "line 2: unknown sex"),
    "infinite": ("file,speaker,emotion,valence\na,1,anger,1e400\n", "line 2, valence: '1e400'"),
    "parent": (GOOD + "../c.wav,1,anger\n", "line 4: file '../c.wav' is not a name below"),
    "hidden parent": (GOOD + "x/../../c.wav,1,anger\n", "line 4"),
    "absolute": (GOOD + "/etc/passwd,1,anger\n", "line 4: file '/etc/passwd'"),
    "home": (GOOD + "~/c.wav,1,anger\n", "line 4"),
    "drive": (GOOD + "C:\\c.wav,1,anger\n", "line 4"),
    "share": (GOOD + "\\\\host\\c.wav,1,anger\n", "line 4"),
    "backslash parent": (GOOD + "..\\c.wav,1,anger\n", "line 4"),
    "url": (GOOD + "http://x/c.wav,1,anger\n", "line 4"),
    "times": ("file,start,end,speaker,emotion\na,2,1,1,anger\n", "line 2: start 2 s and end 1 s"),
    "negative": ("file,start,end,speaker,emotion\na,-1,1,1,anger\n", "line 2: start -1 s"),
    "no time": ("file,start,end,speaker,emotion\na,x days,1,1,anger\n", "line 2: 'x days'"),
    "latin-1": (GOOD.replace("b.wav", "ä.wav").encode("latin-1"), "line 3: the text is not utf-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_csv_is_named(tmp_path: Path, name: str) -> None:
    """One line that says where and what; catches every check of `read_manifest` removed."""
    content, message = BAD[name]
    with pytest.raises((ManifestError, UnknownNameError), match=message) as caught:
        read_manifest(put(tmp_path, content))
    assert str(caught.value).startswith(str(tmp_path / "m.csv"))
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "none.csv")


def test_latin1_when_named(tmp_path: Path) -> None:
    path = put(tmp_path, GOOD.replace("a.wav", "ä.wav").encode("latin-1"))
    assert read_manifest(path, encoding="latin-1").files == ("ä.wav", "b.wav")


def test_without_required_columns(tmp_path: Path) -> None:
    m = read_manifest(put(tmp_path, "file\na.wav\n"), require=())
    assert list(m.rows["speaker"]) == [""]
    assert m.labels == ()
    assert m.speakers == ()


def test_absolute_name_below_the_root(tmp_path: Path) -> None:
    text = f"file,speaker,emotion\n{tmp_path / 'x' / 'a.wav'},1,anger\n"
    assert read_manifest(put(tmp_path, text)).files == ("x/a.wav",)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_rows_or_a_serfeat_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    """Degenerate input: never another exception than ours."""
    path = put(tmp_path_factory.mktemp("junk"), b"file,speaker,emotion\n" + junk)
    said = ""
    try:
        assert len(read_manifest(path)) > 0
    except SerfeatError as error:
        said = str(error)
    assert "\n" not in said


# --- writing --------------------------------------------------------------------------------------


def test_round_trip(tmp_path: Path) -> None:
    """Catches a lost column, a changed type, and a root that is not relative to the CSV."""
    root = tmp_path / "audio"
    root.mkdir()
    extra = {"valence": 1 / 3, "votes_anger": 4, "note": "=SUM(1)", "f0_hz": 123.25, "sex": "male"}
    m = example(root, start=0.5, end=1.234567891, **extra)
    path = write_manifest(m, tmp_path / "lists" / "c.csv")
    back = read_manifest(path)
    pd.testing.assert_frame_equal(back.rows, m.rows)
    assert back.root.resolve() == root
    assert path.read_bytes().endswith(b"\n")
    assert "unlabelled" in path.read_text()
    about = tomllib.loads(path.with_suffix(".toml").read_text())["manifest"]
    assert (about["root"], about["rows"], about["synthetic"]) == ("../audio", 2, False)
    assert not list(path.parent.glob(".serfeat-*"))


def test_no_times_where_whole_files_are_used(tmp_path: Path) -> None:
    path = write_manifest(example(tmp_path), tmp_path / "c.csv")
    assert path.read_text().splitlines()[0] == "file,corpus,speaker,emotion"


def test_numeric_looking_text_survives(tmp_path: Path) -> None:
    """The side-car knows that `take` is text; catches guessing where it says so."""
    m = example(tmp_path, take="7")
    back = read_manifest(write_manifest(m, tmp_path / "c.csv"))
    assert list(back.rows["take"]) == ["7", ""]


def test_card_travels(tmp_path: Path) -> None:
    card = Card("c", title='A "corpus"', licence="mine", synthetic=True, redistributable=False)
    m = Manifest(example(tmp_path).rows, tmp_path, "c", card)
    path = write_manifest(m, tmp_path / "c.csv")
    assert read_manifest(path).card == card
    text = path.with_suffix(".toml").read_text()
    assert "keeps these rows on your disk" in text
    assert tomllib.loads(text)["manifest"]["synthetic"] is True


def test_cut_after_writing(tmp_path: Path) -> None:
    """A file that was cut at a line's end reads well; only the side-car knows."""
    path = write_manifest(example(tmp_path), tmp_path / "c.csv")
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(ManifestError, match=r"1 rows, but c.toml says 2"):
        read_manifest(path)
    path.write_text(whole.replace("anger", "fear"))
    with pytest.warns(UserWarning, match="was changed after it was written"):
        assert read_manifest(path).labels == ("fear",)


def test_refuses_to_overwrite_a_card(tmp_path: Path) -> None:
    put(tmp_path, 'name = "c"\n', "c.toml")
    with pytest.raises(ManifestError, match="another kind of file"):
        write_manifest(example(tmp_path), tmp_path / "c.csv")
    assert (tmp_path / "c.toml").read_text() == 'name = "c"\n'
    assert read_manifest(put(tmp_path, GOOD, "c.csv")).root == tmp_path


def test_write_errors(tmp_path: Path) -> None:
    m = example(tmp_path)
    with pytest.raises(ManifestError, match="no rows"):
        write_manifest(m.with_rows(m.rows[:0]), tmp_path / "c.csv")
    with pytest.raises(ManifestError, match="name it"):
        write_manifest(m, tmp_path / "c.toml")
    assert list(rows_from_records([{"file": "a", "corpus": "c\udcff"}])["corpus"]) == ["c\\udcff"]


def test_names_that_are_not_unicode_round_trip(tmp_path: Path) -> None:
    rows = rows_from_records([{"file": "a\udcff.wav", "corpus": "c", "speaker": "", "emotion": ""}])
    write_manifest(example(tmp_path).with_rows(rows), tmp_path / "c.csv")
    assert b"a\\udcff.wav" in (tmp_path / "c.csv").read_bytes()
    assert read_manifest(tmp_path / "c.csv", require=()).files == ("a\udcff.wav",)


# --- the manifest itself --------------------------------------------------------------------------


def test_path_stays_below_the_root(tmp_path: Path) -> None:
    """Catches `root / file`, which pathlib lets an absolute name take over."""
    m = example(tmp_path)
    assert m.path("x/a.wav") == tmp_path / "x" / "a.wav"
    for name in ("../a.wav", "/etc/passwd", "", "~root/a.wav", "x/../../a.wav", "."):
        with pytest.raises(ManifestError, match="not a name below"):
            m.path(name)


def test_select(tmp_path: Path) -> None:
    m = example(tmp_path)
    assert m.select(speaker="03").files == ("x/a, b.wav",)
    assert len(m.select(speaker=["03", "3"])) == 2
    assert len(m.select(speaker="03", emotion="anger")) == 1
    with pytest.raises(ManifestError, match="there are 03, 3"):
        m.select(speaker="4")
    with pytest.raises(UnknownNameError, match="did you mean 'speaker'"):
        m.select(speakr="03")


def test_required_columns(tmp_path: Path) -> None:
    m = example(tmp_path)
    with pytest.raises(ManifestError, match="no column speaker"):
        m.with_rows(m.rows.drop(columns="speaker"))
    with pytest.raises(ManifestError, match="the index is"):
        m.with_rows(m.rows.reset_index(drop=True))


def test_folder_walk(tmp_path: Path) -> None:
    """Sorted, all suffixes, no resource forks; catches os.walk order and upper case suffixes."""
    for name in ("b/2.WAV", "b/1.flac", "a.mp3", "._a.wav", "__MACOSX/x.wav", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert audio_files(tmp_path) == ["a.mp3", "b/1.flac", "b/2.WAV"]
    m = manifest_of_folder(tmp_path)
    assert m.files == ("a.mp3", "b/1.flac", "b/2.WAV")
    assert m.labels == ()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    with pytest.raises(ManifestError, match="links back"):
        audio_files(tmp_path)


def test_folder_without_audio(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no audio below"):
        manifest_of_folder(tmp_path)
    with pytest.raises(ManifestError, match="not a folder"):
        manifest_of_folder(tmp_path / "none")
