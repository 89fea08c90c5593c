"""ARFF, the format of WEKA, as openSMILE writes it.

Conventions
-----------
* ``arff``: attributes file (string), start, end [, time] (numeric, s), the columns (numeric), the
  labels (nominal, or numeric), the target last, where WEKA looks for the class.
* ``arff-numeric``: columns and labels only, for learners and readers (SciPy's) that refuse string
  attributes; the clips are in ``<name>.index.csv``.
* NaN, an unknown end and a missing label are ``?``. Numbers read back as the same float.
* Names are quoted as WEKA's ``Utils.quote`` does it. A comment line holds units,
  the names of the labels and provenance.

Sources
-------
WEKA 3.8, "ARFF (stable version)" and ``weka.core.Utils`` (quoting); openSMILE 3, ``arffSink.cpp``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from serfeat.exports.content import Content, label_text, number_rows, seconds_text
from serfeat.exports.folders import write_index, write_side_car
from serfeat.files import committed

__all__ = ["MARK", "quoted", "write_arff"]

MARK = "% serfeat: "  # of the comment with units, labels and provenance
MISSING = "?"
# weka.core.Utils.backQuoteChars; the backslash goes first
_ESCAPES = (
    ("\\", "\\\\"), ("'", "\\'"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"),
    ('"', '\\"'), ("%", "\\%"), ("\x1e", "\\u001E"),
)  # fmt: skip


def quoted(text: str) -> str:
    r"""A name or value as ARFF holds it.

    >>> print(quoted("f0_hz__mean"), quoted("it's"))
    f0_hz__mean 'it\'s'
    """
    escaped = text
    for raw, safe in _ESCAPES:
        escaped = escaped.replace(raw, safe)
    # Every other blank too: WEKA's tokenizer ends a word at any character up to U+0020.
    plain = escaped == text and text and not any(c <= " " or c in "{},?@" for c in text)
    return text if plain else f"'{escaped}'"


def write_arff(content: Content, path: Path, *, index: bool) -> None:
    """Write ARFF.

    Parameters
    ----------
    index : with the file and its times as attributes; else they stand in ``<name>.index.csv``.

    Raises
    ------
    StoreError : infinite numbers.
    """
    own = list(content.table.index.names) if index else []
    labels = [str(c) for c in content.labels][::-1]  # the target last
    names = [*own, *content.columns, *labels]
    kinds = ["string" if n == "file" else "numeric" for n in own]
    kinds += ["numeric"] * len(content.columns) + [_kind(content, n) for n in labels]
    about = {
        "units": dict(content.units),
        "labels": labels,
        "provenance": dict(content.provenance),
    }
    name = "arff" if index else "arff-numeric"
    with committed(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        stream.write(f"{MARK}{json.dumps(about, default=str)}\n@relation serfeat\n\n")
        for attribute, kind in zip(names, kinds, strict=True):
            stream.write(f"@attribute {quoted(attribute)} {kind}\n")
        stream.write("\n@data\n")
        for row in _rows(content, path, labels, index=index):
            stream.write(",".join(row) + "\n")
    if not index:
        write_index(content, path.with_name(path.name + ".index.csv"))
    write_side_car(content, path, name)


def _kind(content: Content, label: str) -> str:
    """The type of a label: its values, or numeric."""
    classes = content.classes(label)
    return "numeric" if classes is None else "{" + ",".join(map(quoted, classes)) + "}"


def _rows(content: Content, path: Path, labels: list[str], *, index: bool) -> Iterator[list[str]]:
    start, end = (seconds_text(content.times(n), MISSING) for n in ("start", "end"))
    clips = list(zip(map(quoted, content.files), start, end, strict=True))
    texts = [[label_text(v) for v in content.labels[c]] for c in labels]
    said = [[quoted(t) if t else MISSING for t in row] for row in zip(*texts, strict=True)]
    frames = content.level == "lld"
    times = seconds_text(content.times("time")) if frames else []
    numbers = number_rows(content, missing=MISSING, where=path)
    for row, (clip, cells) in enumerate(zip(content.row_clips.tolist(), numbers, strict=True)):
        own = [*clips[clip], *times[row : row + 1]] if index else []
        yield [*own, *cells, *(said[clip] if said else [])]
