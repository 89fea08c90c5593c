"""Feature tables of other programs: by hand, back from our own exports, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import ManifestError, UnknownNameError
from serfeat.exports import export_table
from serfeat.imports import TABLE_FORMATS, read_table_of
from serfeat.table import clip_index, frame_index


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


# --- what SMILExtract writes --------------------------------------------------------------------

FUNCTIONALS = """name;frameTime;F0semitoneFrom27.5Hz_sma3nz_amean;loudness_sma3_amean
'audio/03a01Fa.wav';0.000000;3.512345e+01;1
'audio/03a01Nc.wav';0.000000;nan;9.500000e-01
"""
LLD = """name;frameIndex;frameTime;Loudness_sma3;F0semitoneFrom27.5Hz_sma3nz
'a.wav';0;0.000000;1.000000e-01;0
'a.wav';1;0.010000;2.000000e-01;2.700000e+01
'b.wav';0;0.000000;3.000000e-01;nan
"""
ARFF = """@relation 'open smile'

@attribute name string
@attribute frameTime numeric
@attribute 'F0 final' numeric
@attribute class {0,1,2,3}

@data

'a\\'s, file.wav',0.000000,1.500000e+00,0
b.wav,0.000000,?,0
"""


def test_functionals(tmp_path: Path) -> None:
    """Catches: a quote that stays in the name, a NaN that becomes a word, a lost unit."""
    found = read_table_of(text(tmp_path / "t.csv", FUNCTIONALS))
    index = clip_index(["audio/03a01Fa.wav", "audio/03a01Nc.wav"])
    pd.testing.assert_index_equal(found.table.index, index)
    np.testing.assert_array_equal(found.table.to_numpy(), [[35.12345, 1.0], [np.nan, 0.95]])
    assert found.table.columns[0] == "F0semitoneFrom27.5Hz_sma3nz_amean"
    assert list(found.units) == list(found.table.columns)
    assert found.units["F0semitoneFrom27.5Hz_sma3nz_amean"] != ""
    assert found.provenance["imported_from"] == "t.csv"
    assert found.labels.shape == (2, 0)


def test_frames(tmp_path: Path) -> None:
    """A name at several times: frames; the frame's number is no feature."""
    found = read_table_of(text(tmp_path / "t.csv", LLD))
    index = frame_index(clip_index(["a.wav", "b.wav"]), [2, 1], 0.01)
    pd.testing.assert_index_equal(found.table.index, index)
    assert list(found.table.columns) == ["Loudness_sma3", "F0semitoneFrom27.5Hz_sma3nz"]
    assert any("frames" in n for n in found.notes)
    with pytest.raises(ManifestError, match=r"occurs before.*give the level lld"):
        read_table_of(text(tmp_path / "u.csv", LLD.replace("0.010000", "0.0")), level="functionals")


def test_segments_have_lengths(tmp_path: Path) -> None:
    raw = "name;frameTime;frameLength;x\n'a.wav';0.5;1.25;1\n'a.wav';2.0;nan;2\n"
    found = read_table_of(text(tmp_path / "t.csv", raw))
    expected = clip_index(["a.wav", "a.wav"], [0.5, 2.0], [1.75, np.nan])
    pd.testing.assert_index_equal(found.table.index, expected)


def test_arff_of_opensmile(tmp_path: Path) -> None:
    found = read_table_of(text(tmp_path / "t.arff", ARFF))
    assert list(found.table.index.get_level_values("file")) == ["a's, file.wav", "b.wav"]
    np.testing.assert_array_equal(found.table["F0 final"], [1.5, np.nan])
    assert list(found.table.columns) == ["F0 final"]
    assert "left out 'class': the same in every row" in found.notes
    two = read_table_of(text(tmp_path / "u.arff", ARFF.replace("?,0", "?,1")))
    assert list(two.labels["class"]) == ["0", "1"]


def test_arff_labels_and_case(tmp_path: Path) -> None:
    raw = (
        "% a comment\n@RELATION x\n@ATTRIBUTE file STRING\n@attribute\tx\tREAL\n"
        "@attribute \"the class\" {anger, 'hot anger'}\n@DATA\n% between\n"
        "a.wav, 1e-3, 'hot anger'\nb.wav,2,?\n"
    )
    found = read_table_of(text(tmp_path / "t.arff", raw))
    assert list(found.labels["the class"]) == ["hot anger", ""]
    assert list(found.table["x"]) == [0.001, 2.0]


def test_opensmile_itself(emodb_root: Path, tmp_path: Path) -> None:
    """opensmile-python's own table, through its CSV and back: the same numbers and index."""
    opensmile = pytest.importorskip("opensmile")
    from serfeat.lld.opensmile import CONSENT

    if os.environ.get(CONSENT) != "1":
        pytest.skip(f"openSMILE's licence was not accepted ({CONSENT}=1)")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02)
    files = sorted(str(p) for p in (emodb_root / "audio").glob("*.flac"))[:2]
    made = smile.process_files(files)
    made.to_csv(tmp_path / "t.csv")
    found = read_table_of(tmp_path / "t.csv", root=emodb_root)
    np.testing.assert_allclose(found.table, made, rtol=1e-6)
    assert all(f.startswith("audio/") for f in found.table.index.get_level_values("file"))


def test_csv_of_audformat(tmp_path: Path) -> None:
    raw = (
        "file,start,end,x,emotion\n"
        "a.wav,0 days 00:00:00,0 days 00:00:01.500000,1.5,anger\n"
        "b.wav,0 days 00:00:00.25,,2,fear\n"
    )
    found = read_table_of(text(tmp_path / "t.csv", raw))
    expected = clip_index(["a.wav", "b.wav"], [0, 0.25], [1.5, np.nan])
    pd.testing.assert_index_equal(found.table.index, expected)
    assert list(found.labels["emotion"]) == ["anger", "fear"]


# --- our own exports, back ----------------------------------------------------------------------


@pytest.mark.parametrize("level", ["clips", "frames"])
@pytest.mark.parametrize("name", ["arff", "csv", "csv-spreadsheet", "csv-opensmile"])
def test_round_trip(tmp_path: Path, name: str, level: str) -> None:
    """What was exported is imported: numbers, index, units, provenance, labels."""
    clips = clip_index(["b.wav", "=a, é.wav", "+c.wav"], [0, 0, 0.5], [np.nan, 1.5, 2.25])
    if level == "frames":
        clips = clip_index(["b.wav", "=a, é.wav", "+c.wav"])
    rows = clips if level == "clips" else frame_index(clips, [2, 1, 4], 0.01)
    rng = np.random.default_rng(1)
    values = rng.standard_normal((len(rows), 3)).astype(np.float32)
    values[0, 1] = np.nan
    table = pd.DataFrame(values, index=rows, columns=["f0_hz", "=x", "a b%"])
    labels = pd.DataFrame({"emotion": ["fear", "@anger", ""]}, index=clips)
    path = tmp_path / ("t.arff" if name == "arff" else "t.csv")
    keywords = {"units": {"f0_hz": "Hz"}, "provenance": {"made": "here"}, "labels": labels}
    export_table(table, path, format=name, **keywords)
    found = read_table_of(path)
    pd.testing.assert_index_equal(found.table.index, table.index)
    assert list(found.table.columns) == list(table.columns)
    tolerance = 5.1e-7 if name == "csv-opensmile" else 0
    np.testing.assert_allclose(found.table.to_numpy(np.float32), values, rtol=tolerance)
    assert found.units["f0_hz"] == "Hz"
    assert found.provenance["made"] == "here"
    if name != "csv-opensmile":
        by_key = labels["emotion"].to_dict()
        assert list(found.labels["emotion"]) == [by_key[k[:3]] for k in rows]


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("name", ["t.arff", "t.csv"])
def test_labels_that_look_like_numbers_are_no_features(
    tmp_path: Path, name: str, beside: bool
) -> None:
    """With the side-car and without. Caught: speaker 03 as the feature 3.0, age and valence too."""
    clips = clip_index(["a.wav", "b.wav"])
    labels = pd.DataFrame(
        {"speaker": ["03", "11"], "age": [31.0, np.nan], "votes_fear": [2, 0]}, index=clips
    )
    path = tmp_path / name
    export_table(pd.DataFrame({"f0_hz": [1.5, 2.0]}, index=clips), path, labels=labels)
    if not beside:
        Path(f"{path}.json").unlink()
    found = read_table_of(path)
    assert list(found.table) == ["f0_hz"]
    assert list(found.labels["speaker"]) == ["03", "11"]
    assert list(found.labels["age"])[1] == ""
    assert set(found.labels) == set(labels)


def test_what_serfeat_calls_a_label_or_a_feature(tmp_path: Path) -> None:
    """Its side-car decides, whatever the names. Caught: a feature called age that was taken away,
    a label called grade that was not.
    """
    clips = clip_index(["a.wav", "b.wav"])
    table = pd.DataFrame({"age": [1.5, 2.0]}, index=clips)
    labels = pd.DataFrame({"grade": [1, 2]}, index=clips)
    export_table(table, tmp_path / "t.csv", labels=labels)
    export_table(table, tmp_path / "t.arff", labels=labels)
    (tmp_path / "t.arff.json").unlink()  # its own comment says the same
    for name in ("t.csv", "t.arff"):
        found = read_table_of(tmp_path / name)
        assert (list(found.table), list(found.labels)) == (["age"], ["grade"])
    (tmp_path / "t.csv.json").unlink()
    found = read_table_of(tmp_path / "t.csv")
    assert (list(found.table), list(found.labels)) == (["grade"], ["age"])
    assert "labels by their names, rename them if not: age" in found.notes


def test_a_changed_file_has_no_side_car(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table = pd.DataFrame({"x": [1.0, 2.0]}, index=clip_index(["a", "b"]))
    export_table(table, path, units={"x": "Hz"}, provenance={"made": "here"})
    path.write_text(path.read_text().replace("2.0", "3.0"))
    found = read_table_of(path)
    assert found.units == {"x": ""}
    assert "made" not in found.provenance
    assert "t.csv.json belongs to another file: not read" in found.notes
    Path(f"{path}.json").write_text("[" * 100_000)
    assert read_table_of(path).units == {"x": ""}


# --- what is refused ----------------------------------------------------------------------------

BAD_CSV = {
    "ragged-row": ("file,x\na.wav,1\nb.wav,1,2\n", r"line 3: 3 fields, the header has 2"),
    "not-a-number": ("file,x\na.wav,1\nb.wav,1e400\n", r"line 3, x: '1e400' is not a finite"),
    "columns": ("file,x,x\na.wav,1,2\n", r"line 1: column 'x' occurs twice"),
    "no-rows": ("file,x\n", r"no rows"),
    "no-columns": ("file,word\na.wav,red\n", "no columns of numbers"),
    "no-file": ("x,y\n1,2\n", "no column name or file; found x, y"),
    "not-csv": ('file,x\n"a.wav,1\n', "not CSV"),
    "nul-byte": ("file,x\na\0.wav,1\n", "line 2: a NUL byte"),
    "no-final-newline": ("file,x\na.wav,1.2", "no newline after the last row"),
    "duplicate-row": ("file,x\na.wav,1\na.wav,2\n", "occurs before"),
    "bad-times": ("file,start,x\na.wav,1 dayz,1\n", "line 2: '1 dayz' is no time"),
}


@pytest.mark.parametrize("code", BAD_CSV)
def test_bad_csv(tmp_path: Path, code: str) -> None:
    """Faults 75-82 of any table; every message has file and line."""
    raw, message = BAD_CSV[code]
    with pytest.raises(ManifestError, match=message) as caught:
        read_table_of(text(tmp_path / "t.csv", raw))
    assert caught.value.code == code
    assert "t.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["inf", "-Infinity", "1e999", "1_0", "1,5", "0x10", "١"])
def test_words_that_are_no_numbers(tmp_path: Path, word: str) -> None:
    raw = f'file,x\na.wav,1\nb.wav,"{word}"\n'
    with pytest.raises(ManifestError, match="is not a finite number"):
        read_table_of(text(tmp_path / "t.csv", raw))


@pytest.mark.parametrize("word", ["", "nan", "NaN", "-nan", "?", "--undefined--", "-nan(ind)"])
def test_missing_values(tmp_path: Path, word: str) -> None:
    found = read_table_of(text(tmp_path / "t.csv", f"file,x\na.wav,1\nb.wav,{word}\n"))
    np.testing.assert_array_equal(found.table["x"], [1.0, np.nan])


BAD_ARFF = {
    "@relation x\n@attribute x numeric\n": "no @data after attributes",
    "@relation x\n@attribute x numeric\n@data\n1,2\n": "line 4: 2 values, there are 1 attributes",
    "@relation x\n@attribute x date\n@data\n": "line 2: attribute 'x' is of type 'date'",
    "@relation x\n@attribute x {a,b\n@data\n": "line 2: a nominal attribute needs",
    "@relation x\n@attribute x {a,b}\n@data\nc\n": "line 4: 'c' is none of the values of 'x'",
    "@relation x\n@attribute x real\n@attribute x real\n": "line 3: attribute 'x' occurs twice",
    "@relation x\n@attribute file string\n@data\n{0 a}\n": "line 4: a sparse row",
    "@relation x\n@attribute file string\n@data\n'a\n": "line 4: expected a comma",
    "@relation x\n@attribute file string\n@data\n'a',{b}\n": "line 4: expected a comma",
    "@relation x\n@attribute file string\n@data\n'a' b\n": "line 4: expected a comma",
    "hello\n": "line 1: expected @relation",
    "@relation x\n@attribute x\n": "line 2: an attribute needs a name and a type",
}


@pytest.mark.parametrize("raw", BAD_ARFF)
def test_bad_arff(tmp_path: Path, raw: str) -> None:
    with pytest.raises(ManifestError, match=BAD_ARFF[raw]):
        read_table_of(text(tmp_path / "t.arff", raw))


def test_names_stay_below_the_root(tmp_path: Path) -> None:
    raw = f"file,x\n{tmp_path}/audio/a.wav,1\n"
    path = text(tmp_path / "t.csv", raw)
    found = read_table_of(path, root=tmp_path)
    assert found.table.index[0][0] == "audio/a.wav"
    assert any("absolute" in n for n in read_table_of(path).notes)
    with pytest.raises(ManifestError, match=r"line 2.*not a name below") as caught:
        read_table_of(text(tmp_path / "t.csv", "file,x\n../a.wav,1\n"), root=tmp_path)
    assert caught.value.code == "outside-root"


def test_unknown_format_and_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'opensmile-csv'"):
        read_table_of(tmp_path / "t.csv", "opensmile_csv")
    with pytest.raises(ManifestError, match="no such file"):
        read_table_of(tmp_path / "t.csv")
    with pytest.raises(ManifestError, match="the header is that of audformat-csv"):
        read_table_of(text(tmp_path / "t.csv", "file,x\na,1\n"), "opensmile-csv")
    assert all(TABLE_FORMATS.values())


def test_arff_is_read_in_linear_time(tmp_path: Path) -> None:
    """A hostile line must not keep the reader busy: catches a pattern that backtracks."""
    import time

    for raw in ("'" + "a" * 400_000, "'" + "\\'" * 200_000, " " * 400_000 + "'", "," * 200_000):
        path = text(tmp_path / "t.arff", f"@relation x\n@attribute file string\n@data\n{raw}\n")
        began = time.process_time()
        with pytest.raises(ManifestError):
            read_table_of(path)
        assert time.process_time() - began < 2.0, raw[:3]
        path = text(tmp_path / "t.arff", f"@relation x\n@attribute {raw} numeric\n@data\n")
        with pytest.raises(ManifestError):
            read_table_of(path)
        assert time.process_time() - began < 4.0, raw[:3]


def test_a_million_bytes_of_noise(tmp_path: Path) -> None:
    """Mutated files give tables or one of our errors, never another exception."""
    rng = np.random.default_rng(7)
    sources = [FUNCTIONALS, LLD, ARFF, "file,start,end,x\na.wav,0 days,0.5,1\n"]
    letters = np.frombuffer(b"',;\"{}@%?\\\n\r\0\xff-+.eE019naif", dtype=np.uint8)
    for trial in range(400):
        raw = bytearray(sources[trial % 4].encode())
        for _ in range(int(rng.integers(1, 6))):
            where = int(rng.integers(len(raw)))
            if rng.random() < 0.3:
                del raw[where : where + int(rng.integers(1, 20))]
                raw = raw or bytearray(b"x")
            else:
                raw[where] = int(rng.choice(letters))
        path = tmp_path / ("t.arff" if trial % 4 == 2 else "t.csv")
        path.write_bytes(raw)
        said = ""
        try:
            found = read_table_of(path)
        except ManifestError as error:
            said = str(error)
        else:
            assert not np.isinf(found.table.to_numpy()).any()
            json.dumps(found.provenance)
        assert not said or said.startswith(str(path)), said
