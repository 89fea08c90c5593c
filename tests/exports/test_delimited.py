"""CSV in three dialects: what one program writes another one reads."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import StoreError
from serfeat.exports import delimited, export_table
from serfeat.exports.delimited import FORMULA, harmless
from serfeat.files import sha256
from serfeat.store import read_metadata, read_table
from serfeat.table import clip_index


def write(given, path: Path, **keywords):
    table, units, provenance, labels = given
    keywords = {"labels": labels, **keywords}
    export_table(table, path, units=units, provenance=provenance, **keywords)
    return path


@pytest.mark.parametrize("level", ["clips", "frames"])
def test_csv_is_read_by_our_own_reader(request, tmp_path: Path, level: str) -> None:
    """Catches: times in ns, labels in the order they were given, NaN as a word."""
    given = request.getfixturevalue(level)
    path = write(given, tmp_path / "t.csv")
    again = read_table(path)
    n = given.labels.shape[1]
    pd.testing.assert_frame_equal(again.iloc[:, n:].astype(np.float32), given.table)
    said = again["emotion"].fillna("")
    for key, label in zip(given.table.index, said, strict=True):
        assert label == given.labels["emotion"].to_dict()[key[:3]]
    meta = read_metadata(path)
    assert meta["units"] == given.units
    assert meta["provenance"] == given.provenance
    assert meta["rows"] == len(given.table)
    assert meta["sha256"] == sha256(path)


def test_labels_come_back_as_they_were(tmp_path: Path) -> None:
    """Caught: speaker 03 that came back as the number 3."""
    clips = clip_index(["a.wav", "b.wav", "c.wav"])
    table = pd.DataFrame({"f0_hz": [1.0, 2.0, 3.0]}, index=clips)
    labels = pd.DataFrame({"speaker": ["03", "", "11"], "age": [31.0, 20.0, 44.0]}, index=clips)
    export_table(table, tmp_path / "t.csv", labels=labels)
    again = read_table(tmp_path / "t.csv")
    assert again["speaker"].fillna("").tolist() == ["03", "", "11"]
    assert again["age"].tolist() == [31.0, 20.0, 44.0]
    (tmp_path / "t.csv.json").write_text("[]")  # no side-car of an export
    bare = read_table(tmp_path / "t.csv")
    assert bare["f0_hz"].tolist() == [1.0, 2.0, 3.0]
    assert bare["speaker"].fillna("").tolist() == ["03", "", "11"]


def test_csv_by_hand(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"f0_hz": np.array([0.1, np.nan], np.float32)},
        index=clip_index(["a, b.wav", 'q".wav'], [0, 1.5], [np.nan, 2]),
    )
    export_table(table, tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text()
    assert text == 'file,start,end,f0_hz\n"a, b.wav",0,,0.1\n"q"".wav",1.5,2,\n'


def test_opensmile_by_hand(tmp_path: Path) -> None:
    """`%e`, but whole numbers as such; catches frameTime after frameLength, a comma."""
    table = pd.DataFrame(
        {"pcm_RMS": [0.1, -3.0], "F0_sma": [np.nan, 1.0]},
        index=clip_index(["a.wav", "b.wav"], [0, 1.5], [np.nan, 2.25]),
    )
    export_table(table, tmp_path / "t.csv", format="csv-opensmile")
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "name;frameTime;frameLength;pcm_RMS;F0_sma",
        "'a.wav';0.000000;nan;1.000000e-01;nan",
        "'b.wav';1.500000;0.750000;-3;1",
    ]


def test_opensmile_reads_what_opensmile_would_write(plain, tmp_path: Path) -> None:
    path = write(plain, tmp_path / "t.csv", format="csv-opensmile")
    again = pd.read_csv(path, sep=";", quotechar="'", dtype={f"c{i}": float for i in range(6)})
    assert list(again["name"]) == list(plain.table.index.get_level_values("file"))
    np.testing.assert_allclose(again[plain.table.columns], plain.table, rtol=5.1e-7)
    side = pd.read_csv(tmp_path / "t.csv.index.csv")
    assert list(side["emotion"]) == ["sadness", "anger", "anger", "fear", "anger"]


def test_opensmile_refuses_what_it_cannot_hold(clips, frames, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds a quote") as caught:
        write(clips, tmp_path / "t.csv", format="csv-opensmile")
    assert caught.value.code == "name"
    table = frames.table.iloc[:4]
    twice = pd.concat([table, table])
    starts = np.repeat([0.0, 0.05], 4)
    names = ["file", "start", "end", "time"]
    parts = [
        ["b.wav"] * 8,
        pd.to_timedelta(starts, unit="s").as_unit("ns"),
        pd.to_timedelta([None] * 8).as_unit("ns"),
        pd.to_timedelta(np.arange(8) / 100, unit="s").as_unit("ns"),
    ]
    twice = twice.set_axis(pd.MultiIndex.from_arrays(parts, names=names))
    twice.columns = list("abcdef")
    with pytest.raises(StoreError, match="several segments of one file"):
        export_table(twice, tmp_path / "t.csv", format="csv-opensmile")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1"])
def test_formulas_are_harmless(text: str) -> None:
    """OWASP's list; catches a first character that is left out."""
    assert harmless(text).startswith("'")
    assert harmless("a=1") == "a=1"


def test_spreadsheet_names_numbers_and_encoding(clips, tmp_path: Path) -> None:
    """Catches: a number with an apostrophe, no byte order mark, a raw formula."""
    table = clips.table.rename(columns={"end of (it)": "=cmd|' /C calc'!A0"})
    path = write(clips._replace(table=table), tmp_path / "t.csv", format="csv-spreadsheet")
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbffile,")
    assert raw.count(b"\r\n") == 6
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    assert "'=cmd|' /C calc'!A0" in rows[0]
    assert rows[3][4] == "'=x"  # the speaker
    numbers = [row[6:] for row in rows[1:]]
    assert not any(c.startswith("'") for row in numbers for c in row)
    words = [cell for row in rows for cell in row if not cell.lstrip("-")[:1].isdigit()]
    assert not [cell for cell in words if cell.startswith(FORMULA)]


def test_sheets_have_an_end(plain, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(delimited, "SHEET_ROWS", 5)
    with pytest.raises(StoreError, match=r"5 rows and 10 columns, a sheet holds 4"):
        write(plain, tmp_path / "t.csv", format="csv-spreadsheet")
    write(plain, tmp_path / "t.csv", format="csv")


def test_infinity_is_refused(plain, tmp_path: Path) -> None:
    table = plain.table.copy()
    table.iloc[2, 3] = np.inf
    for name in ("csv", "csv-opensmile", "csv-spreadsheet"):
        with pytest.raises(StoreError, match="'c3' holds an infinite number"):
            write(plain._replace(table=table), tmp_path / "t.csv", format=name)


def test_numbers_do_not_depend_on_the_locale(plain, tmp_path: Path) -> None:
    """A decimal comma of the surroundings must not reach a file."""
    path = write(plain, tmp_path / "t.csv", format="csv-opensmile")
    code = (
        "import locale, sys\n"
        "try: locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')\n"
        "except locale.Error: pass\n"
        "from pathlib import Path\n"
        "from serfeat.store import read_table, write_table\n"
        "from serfeat.exports import export_file\n"
        "export_file(Path(sys.argv[1]), Path(sys.argv[2]), format='csv-opensmile')\n"
    )
    from serfeat.store import write_table

    source, again = tmp_path / "s.parquet", tmp_path / "again.csv"
    write_table(plain.table, source, units=plain.units, provenance=plain.provenance)
    subprocess.run([sys.executable, "-c", code, str(source), str(again)], check=True)
    assert again.read_bytes() == path.read_bytes()
    assert json.loads(Path(f"{again}.json").read_text())["units"]["c0"] == "Hz"
