"""The catalogue of faults, 69 to 91: manifests, labels and tables.

tests/test_manifest.py goes through the reader line by line; here every entry of the catalogue is
asked once, with what a user of the command line sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.cli import main
from serfeat.errors import FeatureError, SerfeatError, StoreError
from serfeat.extract import extract
from serfeat.feature_tables import read_given
from serfeat.manifest import Manifest, rows_from_records
from serfeat.manifest_csv import read_manifest
from serfeat.models import fit, make_model
from serfeat.store import read_metadata, read_table, write_table
from serfeat.table import clip_index

from .bad_audio import tone, wav

GOOD = "file,speaker,emotion\na.wav,03,anger\nb.wav,3,sadness\n"


def put(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# number, words -> text of the manifest, what must be true of its rows
READ: dict[str, tuple[str | bytes, Callable[[pd.DataFrame], object]]] = {
    "069 byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), lambda r: len(r) == 2),
    "070 semicolon": (GOOD.replace(",", ";"), lambda r: len(r) == 2),
    "070 tab": (GOOD.replace(",", "\t"), lambda r: len(r) == 2),
    "071 decimal comma": (
        "file;speaker;emotion;valence\na;1;anger;1,5\n",
        lambda r: r["valence"].iloc[0] == 1.5,
    ),
    "072 utf-16": (GOOD.encode("utf-16"), lambda r: len(r) == 2),
    "073 label NA": (
        "file,speaker,emotion,note\na,NA,anger,NA\nb,None,anger,null\n",
        lambda r: list(r["speaker"]) == ["NA", "None"] and list(r["note"]) == ["NA", "null"],
    ),
    "074 speaker 01": (GOOD, lambda r: list(r["speaker"]) == ["03", "3"]),
    "081 Praat undefined": (
        "file,speaker,emotion,valence\na,1,anger,--undefined--\n",
        lambda r: r["valence"].isna().all(),
    ),
    "087 times of audformat": (
        "file,start,end,speaker,emotion\na,0 days,0 days 00:00:01.25,1,anger\n",
        lambda r: r.index.get_level_values("end").dtype == "timedelta64[ns]",
    ),
}

# number, words -> text, what the message says
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "071 decimal comma between commas": (
        'file,speaker,emotion,valence\na,1,anger,"1,5"\n',
        "not a finite number",
    ),
    "072 latin-1": (GOOD.replace("b.wav", "ä.wav").encode("latin-1"), "line 3: the text is not"),
    "075 ragged row": (GOOD + "c,1,anger,x\n", "line 4: 4 fields, the header has 3"),
    "076 short row": (GOOD + "c,1\n", "line 4: 2 fields"),
    "076 trailing comma": (GOOD.replace("emotion\n", "emotion,\n"), "column 4 has no name"),
    "077 column twice": ("file,speaker,emotion,emotion\na,1,x,y\n", "emotion occurs twice"),
    "078 row twice": (GOOD + "./a.wav,4,anger\n", "line 4 = line 2"),
    "079 cut last line": (GOOD[:-1], "no newline after the last row"),
    "080 open quote": (GOOD + '"c.wav,1,anger\n', "line "),
    "081 NUL": (GOOD + "c\0,1,anger\n", "line 4: a NUL byte"),
    "081 1e400": ("file,speaker,emotion,valence\na,1,anger,1e400\n", "line 2, valence"),
    "082 header only": ("file,speaker,emotion\n", "no rows"),
    "082 empty": ("", "no rows"),
    "083 parent": (GOOD + "../../etc/passwd,1,anger\n", "not a name below"),
    "083 absolute": (GOOD + "/etc/passwd,1,anger\n", "not a name below"),
    "083 home": (GOOD + "~/a.wav,1,anger\n", "not a name below"),
    "083 share": (GOOD + "\\\\host\\a.wav,1,anger\n", "not a name below"),
    "083 url": (GOOD + "http://host/a.wav,1,anger\n", "not a name below"),
    "084 start after end": ("file,start,end,speaker,emotion\na,2,1,1,anger\n", "start 2 s and end"),
    "084 negative": ("file,start,end,speaker,emotion\na,-1,1,1,anger\n", "start -1 s"),
    "086 typo": (GOOD + "c,1,boredem\n", "did you mean 'boredom'"),
    "094 no speaker": ("file,emotion\na.wav,anger\n", "no column 'speaker'"),
}


@pytest.mark.parametrize("case", READ)
def test_read(tmp_path: Path, case: str) -> None:
    text, holds = READ[case]
    assert holds(read_manifest(put(tmp_path, text)).rows)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the file and the line; through the command line no traceback."""
    text, message = REFUSED[case]
    path = put(tmp_path, text)
    with pytest.raises(SerfeatError) as caught:
        read_manifest(path)
    said = str(caught.value)
    assert message in said
    assert said.startswith(str(path))
    assert "\n" not in said
    assert caught.value.code
    assert main(["check", str(path)]) != 0
    assert "Traceback" not in capsys.readouterr().err


def test_072_encoding_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here and on the command line, whose message without it names the option; exit code 65."""
    path = put(tmp_path, GOOD.replace("b.wav", "ä.wav").encode("latin-1"))
    assert read_manifest(path, encoding="latin-1").files[1] == "ä.wav"
    wav(tmp_path / "a.wav")
    wav(tmp_path / "ä.wav")
    command = ["extract", str(path), "-o", str(tmp_path / "t.csv"), "--features", "zcr"]
    assert main(command) == 65
    assert "--encoding latin-1" in capsys.readouterr().err
    assert main([*command, "--encoding", "latin-1"]) == 0
    assert main([*command, "--encoding", "latin-9000"]) == 65
    files = pd.read_csv(tmp_path / "t.csv")["file"]
    assert list(files) == ["a.wav", "ä.wav"]


def test_083_and_084_cost_their_rows_only(tmp_path: Path) -> None:
    """An extraction lists them and goes on: rows + failures = rows of the CSV, in every shard too.

    A comparison and a check refuse the manifest (above).
    """
    from serfeat.extract import as_manifest
    from serfeat.shards import shard

    wav(tmp_path / "a.wav")
    rows = ["a.wav,0,0.5", "../b.wav,0,0.5", "/etc/passwd,0,", "~/c.wav,,", "http://h/d.wav,,"]
    rows += ["a.wav,0.7,0.2", "a.wav,-1,0.5", "a.wav,0.5,9", "../b.wav,1,2"]
    path = put(tmp_path, "file,start,end\n" + "".join(f"{r}\n" for r in rows))
    result = extract(path, "zcr", store=tmp_path / "s")
    assert len(result.index) == 1
    assert [(f.file, f.reason) for f in result.failures] == [
        *((name, "outside-root") for name in ("../b.wav", "/etc/passwd", "~/c.wav")),
        *(("http://h/d.wav", "outside-root"), ("a.wav", "bad-times"), ("a.wav", "bad-times")),
        *(("../b.wav", "outside-root"), ("a.wav", "bad-segment")),
    ]
    assert "line 7: start 0.7 s and end 0.2 s" in result.failures[4].message
    assert len(result.failures_table) == 8
    parts = [
        extract(shard(as_manifest(path), i, 3), "zcr", store=tmp_path / "s") for i in (1, 2, 3)
    ]
    assert sum(len(p.failures) for p in parts) == 8


def test_079_exports_carry_rows_and_a_checksum(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [1.0, 2.0]}, index=clip_index(["a", "b"]))
    write_table(table, tmp_path / "t.csv")
    about = read_metadata(tmp_path / "t.csv")
    assert about["rows"] == 2
    assert len(about["sha256"]) == 64


def _from_table(folder: Path) -> pd.DataFrame:
    about = {"corpus": "x", "speaker": "1", "emotion": "anger"}
    rows = rows_from_records([{"file": f, **about} for f in "abc"])
    return read_given("table:t.csv", folder, Manifest(rows, Path(), "x")).table


@pytest.mark.parametrize("read", [lambda folder: read_table(folder / "t.csv"), _from_table])
def test_079_a_cut_table_of_features(tmp_path: Path, read: Callable[[Path], pd.DataFrame]) -> None:
    """Seen to fail: 37.25 became 37, the columns behind it NaN, and nobody was told."""
    values = {"x": [1.5, 2.5, 37.25], "y": [1.0, 2.0, 3.0]}
    write_table(pd.DataFrame(values, index=clip_index(list("abc"))), tmp_path / "t.csv")
    whole = (tmp_path / "t.csv").read_bytes()
    assert read(tmp_path)["y"].tolist() == values["y"]
    last = whole[: whole.index(b"37.25")].rindex(b"\n") + 1
    for cut, code in (
        (whole.index(b"37.25") + 2, "no-final-newline"),
        (whole.index(b"37.25") + 5, "no-final-newline"),
        (last, "row-count"),
    ):
        (tmp_path / "t.csv").write_bytes(whole[:cut])
        with pytest.raises(StoreError) as caught:
            read(tmp_path)
        assert caught.value.code == code
    (tmp_path / "t.csv").write_bytes(whole.replace(b"\n", b"\r\n"))  # as a spreadsheet saves it
    with pytest.warns(UserWarning, match="changed after it was written"):
        assert read(tmp_path)["x"].tolist() == values["x"]
    (tmp_path / "t.csv.json").unlink()
    assert read(tmp_path)["x"].tolist() == values["x"]


def test_084_segment_beyond_the_file(tmp_path: Path) -> None:
    """Refused with the values; within a frame of the end it is the end."""
    wav(tmp_path / "a.wav")
    put(tmp_path, "file,start,end\na.wav,0.5,1.005\na.wav,0.5,1.5\n")
    result = extract(tmp_path / "m.csv", "prosody", store=tmp_path / "s")
    assert len(result.index) == 1
    (failure,) = result.failures
    assert failure.reason == "bad-segment"
    assert "0.5 to 1.5 s is not inside the recording of 1 s" in failure.message


def test_085_missing_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows + failures = rows of the manifest; above the limit the exit code says so."""
    wav(tmp_path / "a.wav")
    put(tmp_path, "file\na.wav\nb.wav\nc.wav\n")
    command = ["extract", str(tmp_path / "m.csv"), "-o", str(tmp_path / "t.csv")]
    command += ["--features", "zcr"]
    assert main(command) != 0
    assert "1 clips" in (said := capsys.readouterr()).out
    assert "2 failures" in said.out
    assert main([*command, "--max-failures", "2"]) == 0
    assert main([*command, "--max-failures", "2", "--max-missing", "2"]) == 0
    (tmp_path / "t.csv").unlink()
    assert main([*command, "--max-failures", "2", "--max-missing", "1"]) == 2
    assert "2 of 3 files are not there" in capsys.readouterr().err
    assert not (tmp_path / "t.csv").exists()  # before any work


def test_086_labels_can_be_mapped(tmp_path: Path) -> None:
    path = put(tmp_path, GOOD + "c,1,boredem\nd,1,Neutral\n")
    rows = read_manifest(path, label_map={"boredem": "boredom"}).rows
    assert list(rows["emotion"])[2:] == ["boredom", "neutral"]


def test_088_many_rows(tmp_path: Path) -> None:
    """Time per row is flat: 8 times the rows take less than 30 times as long (its square is 64)."""

    def seconds(n: int) -> float:
        rows = "".join(f"d/{i}.wav,{i % 50},anger\n" for i in range(n))
        path = put(tmp_path, "file,speaker,emotion\n" + rows)
        begin = time.process_time()
        assert len(read_manifest(path)) == n
        return time.process_time() - begin

    seconds(100)
    assert seconds(40_000) < 30 * max(seconds(5_000), 0.02)


def test_088_rows_are_encoded_as_they_are_read(tmp_path: Path) -> None:
    """100 000 rows with 50 speakers: the text is never whole in memory, and each text is once.

    What Python allocates at the peak of reading is at most 4 times the file; the cells as lists of
    texts were 12 times.
    """
    import tracemalloc

    rows = "".join(f"d/{i:06d}.wav,speaker{i % 50},anger,text{i % 9}\n" for i in range(100_000))
    path = put(tmp_path, "file,speaker,emotion,text_id\n" + rows)
    from serfeat.cells import read_cells

    tracemalloc.start()
    cells = read_cells(path, encoding="utf-8", require=())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(cells.columns["speaker"].texts) == 50
    assert cells.columns["speaker"].codes.nbytes == 400_000
    assert peak < 8 * path.stat().st_size
    read = read_manifest(path).rows
    assert len(read) == 100_000
    assert read["speaker"].iloc[73] == "speaker23"


def test_089_other_columns_in_one_store(tmp_path: Path) -> None:
    """A store of other columns is refused; another setting has another folder of its own."""
    from serfeat.store import Store

    Store(tmp_path / "s", ("a", "b"))
    with pytest.raises(StoreError):
        Store(tmp_path / "s", ("a", "c"))
    wav(tmp_path / "a.wav")
    for chosen in ("zcr", "energy"):
        assert extract(tmp_path / "a.wav", chosen, store=tmp_path / "t").computed == 1


def test_090_columns_that_say_nothing() -> None:
    """All-NaN, constant, doubled, huge: prepared in training, and predictions are finite."""
    rng = np.random.default_rng(0)
    y = np.array(["anger", "neutral"] * 20)
    good = rng.standard_normal(40) + (y == "anger")
    X = np.stack([good, good, np.full(40, np.nan), np.full(40, 7.0), 1e30 * good], axis=1)
    for name in ("svm", "knn", "ridge_logistic", "xgb"):
        from serfeat.models import MODELS

        if name not in MODELS:
            continue
        model = fit(make_model(name), X, y, np.array(["a", "b"] * 20))
        assert np.isfinite(model.predict_proba(X)).all(), name


@pytest.mark.parametrize("name", ["svm", "knn", "xgb", "mlp"])
def test_091_missing_values_are_the_same_for_every_model(name: str) -> None:
    """None raises, none takes NaN itself: the median of training and a mark."""
    if name == "xgb":
        pytest.importorskip("xgboost")
    if name == "mlp":
        pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    y = np.array(["anger", "neutral"] * 20)
    X = rng.standard_normal((40, 3)) + (y == "anger")[:, None]
    X[5:9, 1] = np.nan
    options = {"epochs": 1} if name == "mlp" else {}
    model = fit(make_model(name, **options), X, y, np.array(["a", "b"] * 20))
    seen = model[:-1].transform(X)
    assert np.isfinite(np.asarray(seen)).all()
    assert np.shape(seen)[1] == 4  # three columns and the mark
    assert np.isfinite(model.predict_proba(X)).all()


def test_091_infinite_features_of_a_table(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", tone())
    put(tmp_path, "file,speaker,emotion\na.wav,1,anger\n")
    (tmp_path / "t.csv").write_text("file,x\na.wav,inf\n")
    with pytest.raises(FeatureError, match="infinite numbers in x"):
        read_given("table:t.csv", tmp_path, read_manifest(tmp_path / "m.csv"))
