"""Tables of text: the columns of a CSV or an ARFF before they become numbers.

Conventions
-----------
openSMILE's CSV quotes with ``'`` and escapes nothing; every other CSV is RFC 4180. A CSV with the
byte order mark that Excel asks for may have apostrophes before its formulas: they are taken away.
A file without a newline at its end may have been cut, and is refused.

Contents
--------
`TextColumns`                       : columns of text, and the line of each row.
`columns_of_arff`, `columns_of_csv` : the columns of a file.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serfeat.errors import ManifestError
from serfeat.imports.arff import read_arff
from serfeat.imports.lines import ended, numbered

__all__ = ["TextColumns", "columns_of_arff", "columns_of_csv"]


@dataclass(frozen=True)
class TextColumns:
    """Columns of text.

    Parameters
    ----------
    columns : name -> one text per row; None is missing.
    lines : line of each row.
    words : the columns that the file says are text.
    typed : whether the file says which columns are numbers.
    about : units, names of the labels and provenance, where serfeat wrote the file.
    """

    columns: dict[str, list[str | None]]
    lines: list[int]
    words: frozenset[str]
    typed: bool
    about: dict[str, Any]


def columns_of_arff(path: Path) -> TextColumns:
    """Read an ARFF file.

    Raises
    ------
    ManifestError : what is wrong, with its line.
    """
    found = read_arff(path)
    columns: dict[str, list[str | None]] = {
        name: [cells[i] for _, cells in found.rows] for i, name in enumerate(found.attributes)
    }
    words = frozenset(n for n, kind in found.attributes.items() if kind != "numeric")
    return TextColumns(columns, [line for line, _ in found.rows], words, True, found.about)


def columns_of_csv(path: Path, format: str) -> TextColumns:  # noqa: A002
    """Read a CSV file.

    Parameters
    ----------
    format : ``opensmile-csv``, ``audformat-csv``, or ``auto``: what the header says.

    Raises
    ------
    ManifestError : what is wrong, with its line.
    """
    ended(path)
    lines = numbered(path)
    first = next((text for _, text in lines), "")
    delimiter = max(",;\t", key=first.count)
    header = _header(path, first, delimiter)
    lowered = [name.lower() for name in header]
    opensmile = "name" in lowered and "file" not in lowered
    wanted = "opensmile-csv" if opensmile else "audformat-csv"
    if format not in ("auto", wanted):
        raise ManifestError(
            f"the header is that of {wanted}, not of {format}",
            where=f"{path}, line 1",
            code="other-format",
            fix="give --format auto",
        )
    quote = "'" if opensmile else '"'
    reader = csv.reader(
        (f"{text}\n" for _, text in lines), delimiter=delimiter, quotechar=quote, strict=True
    )
    rows, places = _rows(reader, len(header), path)
    columns: dict[str, list[str | None]] = {
        name: [row[i] for row in rows] for i, name in enumerate(header)
    }
    if _for_spreadsheets(path):
        columns = {n: [_plain(t or "") for t in texts] for n, texts in columns.items()}
    return TextColumns(columns, places, frozenset(), False, {})


def _header(path: Path, first: str, delimiter: str) -> list[str]:
    """The names of the columns, each once."""
    where = f"{path}, line 1"
    try:
        header = next(csv.reader([first], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise ManifestError(f"not CSV: {error}", where=where, code="not-csv") from None
    header = [_plain(h) for h in header] if _for_spreadsheets(path) else header
    twice = [h for h in header if header.count(h) > 1] if len(set(header)) < len(header) else []
    if not header or twice or "" in header:
        what = f"column {twice[0]!r} occurs twice" if twice else "a column without a name"
        raise ManifestError(what, where=where, code="columns")
    return header


def _rows(reader: Any, width: int, path: Path) -> tuple[list[list[str]], list[int]]:
    """The cells of every row below the header, and their lines."""
    rows: list[list[str]] = []
    places: list[int] = []
    try:
        for row in reader:
            line = reader.line_num + 1
            if row and len(row) != width:
                raise ManifestError(
                    f"{len(row)} fields, the header has {width}",
                    where=f"{path}, line {line}",
                    code="ragged-row",
                )
            if row:
                rows.append(row)
                places.append(line)
    except csv.Error as error:
        where = f"{path}, line {reader.line_num + 1}"
        raise ManifestError(f"not CSV: {error}", where=where, code="not-csv") from None
    return rows, places


def _for_spreadsheets(path: Path) -> bool:
    """Whether the file has the byte order mark that Excel asks for."""
    with path.open("rb") as stream:
        return stream.read(3) == b"\xef\xbb\xbf"


def _plain(text: str) -> str:
    """A text without the apostrophe that keeps a spreadsheet from running it."""
    return text[1:] if text.startswith("'") else text
