"""ARFF: SciPy's reader, WEKA's own where there is one, and one written from the format's page."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.io import arff

from serfeat.exports import export_table
from serfeat.exports.arff import quoted


def write(given, path: Path, name: str = "arff") -> Path:
    table, units, provenance, labels = given
    export_table(
        table, path, format=name, units=units, provenance=provenance, labels=labels[["emotion"]]
    )
    return path


def test_scipy_reads_the_numeric_dialect(plain, tmp_path: Path) -> None:
    """Catches: the target first, classes unsorted, a NaN that is not a question mark."""
    table = plain.table.copy()
    table.iloc[3, 2] = np.nan
    path = write(plain._replace(table=table), tmp_path / "t.arff", "arff-numeric")
    rows, about = arff.loadarff(path)
    assert about.names() == [*plain.table.columns, "emotion"]
    assert about["emotion"] == ("nominal", ("anger", "fear", "sadness"))
    read = np.array([list(r)[:-1] for r in rows.tolist()], dtype=np.float32)
    np.testing.assert_array_equal(read, table.to_numpy())
    assert [r[-1].decode() for r in rows.tolist()] == list(plain.labels["emotion"])
    side = (tmp_path / "t.arff.index.csv").read_text().splitlines()
    assert side[:2] == ["file,start,end,emotion", "a/0.wav,0,,sadness"]


# --- a reader from "ARFF (stable version)" ------------------------------------------------------

TOKEN = re.compile(r"'((?:\\.|[^'])*)'|([^,]+)")
WEKA = {"\\\\": "\\", "\\'": "'", '\\"': '"', "\\%": "%", "\\n": "\n", "\\t": "\t", "\\r": "\r"}


def unquoted(text: str) -> str:
    return re.sub(r"\\.", lambda m: WEKA[m.group()], text)


def second_reader(path: Path):
    head, body = path.read_text().split("@data\n")
    names = []
    for line in head.splitlines():
        if line.startswith("@attribute"):
            found = re.match(r"@attribute ('(?:\\.|[^'])*'|\S+) (.+)", line)
            name = found[1][1:-1] if found[1].startswith("'") else found[1]
            names.append((unquoted(name), found[2]))
    rows = [[unquoted(a) if a else b for a, b in TOKEN.findall(line)] for line in body.splitlines()]
    return names, rows


@pytest.mark.parametrize("level", ["clips", "frames"])
def test_a_second_reader(request, tmp_path: Path, level: str) -> None:
    """Catches: a quote, percent sign or comma that is not escaped, an end of 0 for NaT."""
    given = request.getfixturevalue(level)
    names, rows = second_reader(write(given, tmp_path / "t.arff"))
    index = list(given.table.index.names)
    assert [n for n, _ in names] == [*index, *given.table.columns, "emotion"]
    kinds = ["string", *["numeric"] * (len(names) - 2)]
    assert [k for _, k in names[:-1]] == kinds
    assert names[-1][1] == ("{anger,fear,sadness}" if level == "clips" else "{anger,fear}")
    for row, (key, values) in zip(rows, given.table.iterrows(), strict=True):
        assert row[0] == key[0]
        times = [np.nan if t == "?" else float(t) for t in row[1 : len(index)]]
        np.testing.assert_array_equal(times, [t.total_seconds() for t in key[1:]])
        read = [np.nan if t == "?" else np.float32(t) for t in row[len(index) : -1]]
        np.testing.assert_array_equal(read, values.to_numpy(np.float32))
        label = given.labels["emotion"].to_dict()[key[:3]]
        assert row[-1] == (label or "?")


def test_weka_reads_it(plain, tmp_path: Path) -> None:
    """WEKA's own loader: WEKA_JAR, or the jar of python-weka-wrapper3."""
    jar = os.environ.get("WEKA_JAR", "")
    found = importlib.util.find_spec("weka")
    if not jar and found is not None and found.origin:
        jar = str(Path(found.origin).parent / "lib" / "weka.jar")
    if shutil.which("java") is None or not Path(jar).is_file():
        pytest.skip("WEKA's loader is not here: set WEKA_JAR to weka.jar, and install Java")
    path = write(plain, tmp_path / "t.arff")
    out = tmp_path / "weka.csv"
    saver = ["weka.core.converters.CSVSaver", "-i", str(path), "-o", str(out), "-decimal", "12"]
    subprocess.run(["java", "-cp", jar, *saver], check=True, capture_output=True)
    lines = [line.split(",") for line in out.read_text().splitlines()]
    assert lines[0] == ["file", "start", "end", *plain.table.columns, "emotion"]
    read = np.array([row[3:-1] for row in lines[1:]], dtype=np.float64)
    np.testing.assert_allclose(read, plain.table, rtol=1e-6, atol=1e-11)
    assert [row[-1] for row in lines[1:]] == list(plain.labels["emotion"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f0_hz__mean", "f0_hz__mean"),
        ("", "''"),
        ("a b", "'a b'"),
        ("?", "'?'"),
        ("it's", r"'it\'s'"),
        ("a\\b\n", r"'a\\b\n'"),
        ("100%", r"'100\%'"),
        ("{a,b}", "'{a,b}'"),
        ("a\x1eb", r"'a\u001Eb'"),
    ],
)
def test_quoting_as_weka_quotes(text: str, expected: str) -> None:
    """``weka.core.Utils.quote``; catches escapes in another order, a bare question mark."""
    assert quoted(text) == expected


def test_the_target_is_the_last_attribute(clips, tmp_path: Path) -> None:
    """WEKA takes the last attribute for the class; catches labels in the order they were given."""
    labels = clips.labels[["emotion", "arousal", "speaker"]]
    export_table(clips.table, tmp_path / "t.arff", labels=labels)
    names, rows = second_reader(tmp_path / "t.arff")
    assert [n for n, _ in names[-3:]] == ["speaker", "arousal", "emotion"]
    assert [k for _, k in names[-3:]] == ["{03,11,=x}", "numeric", "{anger,fear,sadness}"]
    assert [row[-2] for row in rows] == ["0.25", "-1.0", "?", "0.1", "3.0"]
