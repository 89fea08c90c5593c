"""Manifests of other toolkits: by hand as they publish them, through audformat, hostile ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import ManifestError, UnknownNameError
from serfeat.imports import MANIFEST_FORMATS, read_manifest_of
from serfeat.manifest_csv import read_manifest, write_manifest
from serfeat.table import clip_index


def lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    path.write_text("".join(f"{t}\n" for t in texts), encoding="utf-8")
    return path


# --- nkululeko ----------------------------------------------------------------------------------


def test_nkululeko(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "cafe_test.csv",
        "file,speaker,gender,emotion,language,country",
        "CaFE/Joie/Fort/11-J-2-3.wav,11,f,happiness,french,canada",
        "CaFE/Peur/Fort/03-P-2-3.wav,03,male,fear,french,canada",
    )
    found = read_manifest_of(path)
    assert list(found.rows["speaker"]) == ["11", "03"]
    assert list(found.rows["sex"]) == ["female", "male"]
    assert "gender" not in found.rows
    assert list(found.rows["emotion"]) == ["happiness", "fear"]
    assert list(found.rows["country"]) == ["canada", "canada"]
    assert found.root == tmp_path


def test_nkululeko_segments_and_no_speaker(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "a.csv",
        "file,start,end,emotion",
        "a.wav,0 days 00:00:00,0 days 00:00:01.5,anger",
        "a.wav,0 days 00:00:01.5,0 days 00:00:02,angry",
    )
    found = read_manifest_of(path, root=tmp_path / "audio")
    expected = clip_index(["a.wav", "a.wav"], [0, 1.5], [1.5, 2])
    pd.testing.assert_index_equal(found.rows.index, expected)
    assert list(found.rows["speaker"]) == ["", ""]
    assert list(found.rows["emotion"]) == ["anger", "anger"]
    bad = lines(tmp_path / "b.csv", "file,gender,emotion", "a.wav,fmale,anger")
    with pytest.raises(UnknownNameError, match="did you mean 'female'"):
        read_manifest_of(bad)


# --- EmoBox -------------------------------------------------------------------------------------


def emobox(key: str, emo: str, **more: object) -> dict[str, object]:
    """A row as the repository has them."""
    return {
        "key": f"cafe-{key}", "dataset": "cafe", "wav": f"downloads/cafe/{key}.wav", "type": "raw",
        "sample_rate": 48000, "num_frame": 168833.0, "task": "category", "length": 3.517,
        "emo": emo, "channel": 1, **more,
    }  # fmt: skip


def test_emobox(tmp_path: Path) -> None:
    """Catches: a label map that is not found one folder above, the code that is lost."""
    folder = tmp_path / "cafe"
    lines(folder / "label_map.json", {"p": "Fear", "boredem": "Boredom"})
    lines(folder / "fold_1" / "cafe_train_fold_1.jsonl", emobox("1", "p"), emobox("2", "boredem"))
    lines(folder / "fold_1" / "cafe_test_fold_1.jsonl", emobox("3", "p"))
    found = read_manifest_of(folder / "fold_1", root=tmp_path)
    rows = found.rows.reset_index().sort_values("file")
    assert list(rows["file"]) == [f"downloads/cafe/{i}.wav" for i in "123"]
    assert list(rows["emotion"]) == ["fear", "boredom", "fear"]
    assert list(rows["emotion_code"]) == ["p", "boredem", "p"]
    assert list(rows["split"]) == ["train", "train", "test"]
    assert list(rows["duration"]) == [3.517] * 3
    assert list(rows["speaker"]) == ["", "", ""]
    assert found.name == "cafe"
    one = read_manifest_of(folder / "fold_1" / "cafe_test_fold_1.jsonl")
    assert list(one.rows["split"]) == ["test"]


def test_emobox_reports_near_misses(tmp_path: Path) -> None:
    """The typo that EmoBox really has is no new class."""
    path = lines(tmp_path / "a.jsonl", emobox("1", "boredem"))
    with pytest.raises(UnknownNameError, match=r"a.jsonl, line 1.*did you mean 'boredom'"):
        read_manifest_of(path)
    assert list(read_manifest_of(path, label_map={"boredem": "boredom"}).rows["emotion"]) == [
        "boredom"
    ]


def test_emobox_wants_one_fold(tmp_path: Path) -> None:
    for k in (1, 2):
        lines(tmp_path / f"x_test_fold_{k}.jsonl", emobox(str(k), "fear"))
    with pytest.raises(ManifestError, match="expected one file per split"):
        read_manifest_of(tmp_path)


# --- NeMo ---------------------------------------------------------------------------------------


def test_nemo(tmp_path: Path) -> None:
    """Whole files keep an open end; only files that are cut have segments."""
    path = lines(
        tmp_path / "m.json",
        {"audio_filepath": "a.wav", "offset": 0, "duration": 1.5, "label": "angry"},
        {"audio_filepath": "b.wav", "offset": 0.0, "duration": 1.0, "label": "sad", "speaker": "7"},
        {"audio_filepath": "b.wav", "offset": 1.0, "duration": 0.5, "label": "neutral"},
        {"audio_filepath": "c.wav", "duration": 2, "label": "fear", "gender": "F"},
    )
    found = read_manifest_of(path)
    expected = clip_index(
        ["a.wav", "b.wav", "b.wav", "c.wav"], [0, 0, 1, 0], [np.nan, 1, 1.5, np.nan]
    )
    pd.testing.assert_index_equal(found.rows.index, expected)
    assert list(found.rows["emotion"]) == ["anger", "sadness", "neutral", "fear"]
    assert list(found.rows["speaker"]) == ["", "7", "", ""]
    assert list(found.rows["duration"]) == [1.5, 1.0, 0.5, 2.0]
    assert found.rows["sex"].iloc[3] == "female"


def test_absolute_names_below_the_root(tmp_path: Path) -> None:
    row = {"audio_filepath": f"{tmp_path}/x/a.wav", "label": "fear"}
    found = read_manifest_of(lines(tmp_path / "m.jsonl", row), root=tmp_path)
    assert found.rows.index[0][0] == "x/a.wav"


BAD_JSON = {
    "{\n": ("not-json", "line 1: not JSON"),
    '{"wav": "a\\uD800", "label": "fear"}\n': ("not-json", "ud800 is half of a character"),
    "[1]\n": ("not-json", "line 1: a JSON list, expected an object"),
    '{"wav": "a", "label": "fear", "label": "sad"}\n': ("not-json", "a key occurs twice"),
    '{"audio_filepath": "a", "label": "fear", "offset": NaN}\n': ("not-json", "NaN is no number"),
    '{"audio_filepath": "a", "label": "fear", "offset": -1}\n': ("bad-times", "offset is -1"),
    '{"audio_filepath": "a", "label": "fear", "offset": true}\n': ("bad-times", "offset is True"),
    '{"audio_filepath": "a", "label": ["fear"]}\n': ("missing-value", "label is"),
    '{"audio_filepath": "", "label": "fear"}\n': ("missing-value", "audio_filepath is ''"),
    '{"audio_filepath": "a", "text": "hello"}\n': ("no-emotion", "no label; found audio_filepath"),
    '{"audio_filepath": "../a", "label": "fear"}\n': ("outside-root", "line 1: file '../a'"),
    '{"audio_filepath": "/etc/passwd", "label": "fear"}\n': ("outside-root", "/etc/passwd"),
    '{"audio_filepath": "a", "offset": 1, "label": "sad", "duration": 0}\n': ("bad-times", "a s"),
    "\n": ("no-rows", "no rows"),
    "[" * 100_000 + "\n": ("not-json", "not JSON"),
    '{"wav": "a", "label": "fear", "offset": ' + "9" * 5000 + "}\n": ("not-json", "JSON"),
}  # fmt: skip


@pytest.mark.parametrize("raw", BAD_JSON, ids=range(len(BAD_JSON)))
def test_bad_json(tmp_path: Path, raw: str) -> None:
    (tmp_path / "m.jsonl").write_text(raw)
    code, message = BAD_JSON[raw]
    with pytest.raises(ManifestError) as caught:
        read_manifest_of(tmp_path / "m.jsonl", "nemo")
    assert caught.value.code == code
    assert message in str(caught.value)
    assert "m.jsonl" in str(caught.value)


def test_repeated_rows_name_the_file(tmp_path: Path) -> None:
    row = {"audio_filepath": "a.wav", "label": "fear"}
    with pytest.raises(ManifestError, match=r"m.jsonl: 1 rows have .* occurs before"):
        read_manifest_of(lines(tmp_path / "m.jsonl", row, row))


# --- audformat ----------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path):
    """A database as audb publishes them: people in the speaker's scheme, files in a table."""
    audformat = pytest.importorskip("audformat", reason="audformat is not installed")
    db = audformat.Database("emodb", source="http://x", usage="research", languages=["deu"])
    db.license = "CC0-1.0"
    db.schemes["emotion"] = audformat.Scheme("str", labels=["anger", "happiness"])
    people = {"03": {"gender": "male", "age": 31}, "08": {"gender": "female", "age": 34}}
    db.schemes["speaker"] = audformat.Scheme("str", labels=people)
    db.schemes["duration"] = audformat.Scheme("time")
    db.splits["train"] = audformat.Split("train")
    db.splits["test"] = audformat.Split("test")
    files = ["wav/03a01Fa.wav", "wav/08a01Wa.wav", "wav/08b01Wa.wav"]
    table = db["files"] = audformat.Table(audformat.filewise_index(files))
    table["speaker"] = audformat.Column(scheme_id="speaker")
    table["speaker"].set(["03", "08", "08"])
    table["duration"] = audformat.Column(scheme_id="duration")
    table["duration"].set(pd.to_timedelta([1.5, 2.0, 2.5], unit="s").as_unit("ns"))
    for name, chosen, labels in (
        ("emotion.train", files[:2], ["happiness", "anger"]), ("emotion.test", files[2:], [None]),
    ):  # fmt: skip
        index = audformat.segmented_index(chosen, [0] * len(chosen), [pd.NaT] * len(chosen))
        table = db[name] = audformat.Table(index, split_id=name.split(".")[1])
        table["emotion"] = audformat.Column(scheme_id="emotion")
        table["emotion"].set(labels)
    return db, tmp_path / "db"


@pytest.mark.parametrize("storage", ["csv", "parquet"])
def test_audformat(database, storage: str) -> None:
    """Catches: a speaker that is not joined, a person's sex that is lost, pickles that are read."""
    db, folder = database
    db.save(str(folder), storage_format=storage)
    (folder / "db.files.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    found = read_manifest_of(folder)
    rows = found.rows.sort_index()
    assert list(rows.index.get_level_values("file")) == [
        "wav/03a01Fa.wav", "wav/08a01Wa.wav", "wav/08b01Wa.wav",
    ]  # fmt: skip
    assert rows.index.get_level_values("end").isna().all()
    assert list(rows["speaker"]) == ["03", "08", "08"]
    assert list(rows["emotion"]) == ["happiness", "anger", ""]
    assert list(rows["sex"]) == ["male", "female", "female"]
    assert list(rows["age"]) == [31, 34, 34]
    assert list(rows["split"]) == ["train", "train", "test"]
    assert (found.name, found.card.licence) == ("emodb", "CC0-1.0")
    only = read_manifest_of(folder, table="emotion.train")
    assert len(only) == 2
    with pytest.raises(UnknownNameError, match=r"did you mean 'emotion.test'"):
        read_manifest_of(folder, table="emotion.tst")


@pytest.mark.parametrize("kind", ["Int64", "UInt8", "category"])
def test_speakers_that_are_numbers_and_some_missing(tmp_path: Path, kind: str) -> None:
    """Caught: speaker 3 as "3.0", so that nothing that is said of 3 is joined to it."""
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    lines(
        tmp_path / "db.yaml",
        "name: x", "usage: other", "schemes:", "  speaker: {labels: {3: {gender: male}}}",
        "tables:", "  all: {type: filewise, columns: {emotion: {}, speaker: {}}}",
    )  # fmt: skip
    speakers = pd.array([3, None], dtype="Int64").astype(kind)
    table = {"file": ["a.wav", "b.wav"], "emotion": ["fear", "anger"], "speaker": speakers}
    pd.DataFrame(table).to_parquet(tmp_path / "db.all.parquet")
    found = read_manifest_of(tmp_path).rows
    assert list(found["speaker"]) == ["3", ""]
    assert list(found["sex"]) == ["male", ""]


def test_a_manifest_of_ours_is_what_it_was(database, tmp_path: Path) -> None:
    db, folder = database
    db.save(str(folder))
    found = read_manifest_of(folder)
    again = read_manifest(write_manifest(found, tmp_path / "m.csv"))
    pd.testing.assert_frame_equal(again.rows[["speaker", "sex"]], found.rows[["speaker", "sex"]])


def test_people_in_a_table_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    lines(
        tmp_path / "db.yaml",
        "name: x", "source: y", "usage: other", "schemes:",
        "  speaker: {dtype: str, labels: people}",
        "misc_tables:", "  people: {levels: {speaker: str}, columns: {gender: {}}}",
        "tables:", "  all: {type: filewise, columns: {emotion: {}, speaker: {}}}",
    )  # fmt: skip
    lines(tmp_path / "db.people.csv", "speaker,gender", "03,female")
    lines(tmp_path / "db.all.csv", "file,emotion,speaker", "a.wav,fear,03", "b.wav,NA,04")
    with pytest.raises(UnknownNameError, match=r"db.all.csv, row 3: unknown emotion 'NA'"):
        read_manifest_of(tmp_path)
    found = read_manifest_of(tmp_path, label_map={"NA": "neutral"})
    assert list(found.rows["speaker"]) == ["03", "04"]
    assert list(found.rows["sex"]) == ["female", ""]


HEADERS = {
    "a: [": "not YAML",
    "a: &x [1]\nb: *x\n": "an anchor",
    "!!python/object/apply:os.system ['touch ran']\n": "not YAML",
    "- 1\n": "no header",
    "tables: 3\n": "tables is no mapping",
    "tables: {}\n": "0 tables have a column 'emotion': none",
    "tables: {'../x': {columns: {emotion: {}}}}\n": "is no file name",
    "tables: {x: {columns: {emotion: {}}}}\n": "db.x.csv: no such file",
    "a: " + "[" * 50 + "]" * 50 + "\n": "too many levels",
    "a: \x00\n": "not YAML",
    "tables: {" + 250 * "9" + ": {columns: {emotion: {}}}}\n": r"999\.\.\.' is no file name",
    'tables: {"\\ud800": 1}\n': "ud800 is half of a character",
    "tables: {x: {columns: {emotion: {}}}, y: {columns: {emotion: {}}}}\n": "2 tables have",
}


@pytest.mark.parametrize("raw", HEADERS, ids=range(len(HEADERS)))
def test_hostile_headers(tmp_path: Path, monkeypatch, raw: str) -> None:
    """YAML that runs code, explodes or leaves the folder: one line each, and nothing was run."""
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "db.yaml").write_text(raw)
    with pytest.raises(ManifestError, match=HEADERS[raw]) as caught:
        read_manifest_of(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_without_yaml(tmp_path: Path, monkeypatch) -> None:
    import sys

    from serfeat.errors import MissingExtraError

    lines(tmp_path / "db.yaml", "name: x")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'serfeat\[audformat\]'"):
        read_manifest_of(tmp_path)


# --- all of them --------------------------------------------------------------------------------


def test_formats(tmp_path: Path) -> None:
    assert all(MANIFEST_FORMATS.values())
    with pytest.raises(UnknownNameError, match="did you mean 'nkululeko'"):
        read_manifest_of(tmp_path, "nkulueko")
    with pytest.raises(ManifestError, match="no such file or folder"):
        read_manifest_of(tmp_path / "none")
    with pytest.raises(ManifestError, match="no manifest that is known here"):
        read_manifest_of(tmp_path)
    with pytest.raises(ManifestError, match="no manifest that is known here"):
        read_manifest_of(lines(tmp_path / "x.txt", "hello"))


def test_real_corpus_through_every_way(emodb_root: Path, tmp_path: Path) -> None:
    """EMO-DB as nkululeko's CSV and as NeMo's JSONL: the same rows."""
    known = read_manifest(emodb_root / "metadata.csv")
    rows = known.rows.reset_index()
    flat = rows[["file", "speaker", "emotion"]].assign(gender=rows["sex"])
    flat.to_csv(tmp_path / "emodb.csv", index=False)
    one = read_manifest_of(tmp_path / "emodb.csv", root=emodb_root)
    objects = [
        {"audio_filepath": r["file"], "label": r["emotion"], "speaker": r["speaker"]}
        for r in rows.to_dict("records")
    ]
    two = read_manifest_of(lines(tmp_path / "emodb.jsonl", *objects), root=emodb_root)
    for found in (one, two):
        pd.testing.assert_index_equal(found.rows.index, known.rows.index)
        for column in ("speaker", "emotion"):
            assert list(found.rows[column]) == list(known.rows[column])
        assert found.path(found.rows.index[0][0]).is_file()
    assert list(one.rows["sex"]) == list(known.rows["sex"])


def test_mutated_manifests(tmp_path: Path) -> None:
    """Whatever is done to them, they give a manifest or one of our errors."""
    rng = np.random.default_rng(3)
    sources = {
        "m.jsonl": json.dumps(
            {"audio_filepath": "a.wav", "offset": 1.5, "duration": 2, "label": "sad"}
        ),
        "e.jsonl": json.dumps(emobox("1", "fear")),
        "n.csv": "file,speaker,gender,emotion\na.wav,03,f,fear",
        "db.yaml": "name: x\nlicense: y\ntables:\n  all: {type: filewise, columns: {emotion: {}}}",
    }
    lines(tmp_path / "db.all.csv", "file,emotion", "a.wav,fear")
    letters = np.frombuffer(b"',;\"{}[]:&*!|>%?\\\n\r\0\xff-+.eE019n a\t", dtype=np.uint8)
    for trial in range(600):
        name = list(sources)[trial % 4]
        raw = bytearray(f"{sources[name]}\n".encode())
        for _ in range(int(rng.integers(1, 5))):
            raw[int(rng.integers(len(raw)))] = int(rng.choice(letters))
        (tmp_path / name).write_bytes(raw)
        try:
            found = read_manifest_of(tmp_path / name)
        except (ManifestError, UnknownNameError):
            continue
        assert len(found) >= 1
