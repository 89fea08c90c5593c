"""ARFF: SciPy's reader, WEKA's own where there is one, and one written from the format's page."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.io import arff

from serfeat.errors import ManifestError
from serfeat.exports import export_table
from serfeat.exports.arff import quoted
from serfeat.imports.arff import read_arff


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


# --- WEKA's own loader --------------------------------------------------------------------------

# One line per attribute (its name and type) and per row, names and texts in UTF-8 as hexadecimal
# digits, numbers as their bits: nothing is rounded on the way here.
LOADER = """
import java.io.File;
import java.nio.charset.StandardCharsets;
import weka.core.Attribute;
import weka.core.Instance;
import weka.core.Instances;
import weka.core.converters.ArffLoader;

public class Loader {
    static String hex(String text) {
        StringBuilder out = new StringBuilder("x");
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) out.append(String.format("%02x", b));
        return out.toString();
    }

    public static void main(String[] args) throws Exception {
        ArffLoader loader = new ArffLoader();
        loader.setFile(new File(args[0]));
        Instances table = loader.getDataSet();
        for (int j = 0; j < table.numAttributes(); j++) {
            Attribute a = table.attribute(j);
            StringBuilder line = new StringBuilder("attribute ").append(hex(a.name()));
            line.append(" ").append(Attribute.typeToString(a));
            for (int k = 0; a.isNominal() && k < a.numValues(); k++)
                line.append(" ").append(hex(a.value(k)));
            System.out.println(line);
        }
        for (Instance row : table) {
            StringBuilder line = new StringBuilder("row");
            for (int j = 0; j < row.numAttributes(); j++) {
                line.append(" ");
                if (row.isMissing(j)) line.append("?");
                else if (row.attribute(j).isNumeric())
                    line.append(Long.toHexString(Double.doubleToLongBits(row.value(j))));
                else line.append(hex(row.stringValue(j)));
            }
            System.out.println(line);
        }
    }
}
"""


@pytest.fixture(scope="module")
def weka(tmp_path_factory: pytest.TempPathFactory):
    """Read a file with ``weka.core.converters.ArffLoader``: SERFEAT_WEKA is weka.jar."""
    jar = os.environ.get("SERFEAT_WEKA", "")
    if not Path(jar).is_file() or shutil.which("javac") is None:
        pytest.skip("WEKA's loader is not here: set SERFEAT_WEKA to weka.jar, install javac")
    folder = tmp_path_factory.mktemp("weka")
    (folder / "Loader.java").write_text(LOADER)
    # As on a machine that says nothing of its text: Java's default may be ASCII, ARFF is UTF-8.
    text = ["-Dfile.encoding=UTF-8"]
    compiler = ["javac", "-cp", jar, "-d", str(folder), str(folder / "Loader.java")]
    subprocess.run(compiler, check=True, capture_output=True)

    def read(path: Path):
        command = ["java", *text, "-cp", os.pathsep.join([jar, str(folder)]), "Loader", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        attributes, rows = [], []
        for line in done.stdout.splitlines():
            kind, *words = line.split(" ")
            if kind == "attribute":
                name, sort, *values = words
                attributes.append((said(name), sort, [said(v) for v in values]))
            else:
                rows.append([None if w == "?" else said(w) for w in words])
        return attributes, rows

    return read


def said(word: str):
    """A text, a number, or the name of a type."""
    if word.startswith("x"):
        return bytes.fromhex(word[1:]).decode()
    return struct.unpack(">d", bytes.fromhex(word.zfill(16)))[0]


@pytest.mark.parametrize("level", ["clips", "frames"])
def test_weka_reads_what_was_written(request, tmp_path: Path, weka, level: str) -> None:
    """Names with every odd sign, numbers to the last bit, an end that is not known, no label."""
    given = request.getfixturevalue(level)
    attributes, rows = weka(write(given, tmp_path / "t.arff"))
    index = list(given.table.index.names)
    assert [n for n, _, _ in attributes] == [*index, *given.table.columns, "emotion"]
    kinds = ["string", *["numeric"] * (len(attributes) - 2), "nominal"]
    assert [k for _, k, _ in attributes] == kinds
    wanted = ["anger", "fear", "sadness"] if level == "clips" else ["anger", "fear"]
    assert attributes[-1][2] == wanted
    assert len(rows) == len(given.table)
    for row, (key, values) in zip(rows, given.table.iterrows(), strict=True):
        assert row[0] == key[0]
        times = [np.nan if t is None else t for t in row[1 : len(index)]]
        np.testing.assert_array_equal(times, [t.total_seconds() for t in key[1:]])
        read = np.array([np.nan if v is None else v for v in row[len(index) : -1]], np.float32)
        np.testing.assert_array_equal(read, values.to_numpy(np.float32))
        assert row[-1] == (given.labels["emotion"].to_dict()[key[:3]] or None)


def test_weka_reads_odd_labels(clips, tmp_path: Path, weka) -> None:
    """Nominal values that need quotes, numbers among the labels, and WEKA's class at the end."""
    labels = clips.labels[["emotion", "arousal", "speaker"]].copy()
    odd = ["it's", 'say "a, b"', "100 %", "{x}", "?"]
    labels["emotion"] = odd
    labels["speaker"] = ["Jörg\tk", "a\\b", "", "nein\nja", "?"]
    path = tmp_path / "t.arff"
    export_table(clips.table, path, labels=labels)
    attributes, rows = weka(path)
    assert [(n, k) for n, k, _ in attributes[-3:]] == [
        ("speaker", "nominal"),
        ("arousal", "numeric"),
        ("emotion", "nominal"),
    ]
    assert attributes[-1][2] == sorted(odd)
    order = clips.table.index
    for name, place in (("speaker", -3), ("emotion", -1)):
        wanted = [labels[name].to_dict()[clip] or None for clip in order]
        assert [row[place] for row in rows] == wanted
    ours = read_arff(path)
    assert [cells[-1] for _, cells in ours.rows] == [row[-1] for row in rows]
    assert [cells[-3] for _, cells in ours.rows] == [row[-3] for row in rows]


def test_what_weka_says_and_we_read_is_the_same(tmp_path: Path, weka) -> None:
    """A file as WEKA's manual has it: both quotes, comments, blanks, an ``@DATA`` in capitals."""
    path = tmp_path / "m.arff"
    path.write_text(
        "% a comment\n@RELATION 'a b'\n\n@Attribute \"it's\" REAL\n"
        "@attribute 'the \\'class\\'' { yes , 'no, no', \"may be\" }\n@attribute text string\n"
        "@DATA\n1e-3 , yes, 'a, b'\n% between\n?,'no, no',\"c 'd'\"\n-5, \"may be\", ?\n"
    )
    attributes, rows = weka(path)
    ours = read_arff(path)
    assert list(ours.attributes) == [n for n, _, _ in attributes]
    assert ours.attributes["the 'class'"] == tuple(attributes[1][2])
    mine = [[float(c[0]) if c[0] else None, *c[1:]] for _, c in ours.rows]
    assert mine == rows


def test_dates_are_refused(tmp_path: Path) -> None:
    """No table of ours has them: in our files times are seconds."""
    path = tmp_path / "d.arff"
    path.write_text("@relation r\n@attribute when date 'yyyy-MM-dd'\n@data\n'2026-01-31'\n")
    with pytest.raises(ManifestError, match="of type 'date'; known: numeric, string, nominal"):
        read_arff(path)


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
