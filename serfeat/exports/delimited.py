r"""CSV in three dialects.

Conventions
-----------
* ``csv``: UTF-8, commas, ``\n``; file, start, end (s), labels, columns; NaN is an empty cell.
  `serfeat.store.read_table` reads it back, and so does every other reader.
* ``csv-opensmile``: what SMILExtract's csvSink writes: semicolons, the name in single quotes,
  frameTime in seconds, whole numbers as such and others as ``%e``: seven digits, so a float32 comes
  back within 5e-7 of itself. NaN is ``nan``. For clips, frameTime is the start and frameLength the
  length (``nan``: to the end of the file). It has no escapes and no segments of frames: names with
  quotes, and several segments of a file, are refused. Labels go to ``<name>.index.csv``.
* ``csv-spreadsheet``: as ``csv``, with a byte order mark and ``\r\n`` for Excel. A text that a
  spreadsheet would run as a formula gets an apostrophe, control characters are shown as escapes,
  and a table that is larger than a sheet is refused: Excel would cut it without a word.

Sources
-------
RFC 4180; openSMILE 3, ``csvSink.cpp`` (delimiter, columns, number formats); OWASP, "CSV Injection";
Microsoft, "Excel specifications and limits".
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from serfeat.errors import printable
from serfeat.exports.content import Content, label_text, number_rows, refuse, seconds, seconds_text
from serfeat.exports.folders import write_index, write_side_car
from serfeat.files import committed

__all__ = ["FORMULA", "write_csv", "write_opensmile", "write_spreadsheet"]

# What begins a formula in Excel, LibreOffice or Google Sheets.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
SHEET_ROWS, SHEET_COLUMNS, CELL = 1_048_576, 16_384, 32_767  # of an Excel sheet


def write_csv(content: Content, path: Path) -> None:
    """Write plain CSV."""
    with committed(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*content.table.index.names, *map(str, content.labels), *content.columns])
        writer.writerows(_rows(content, path))
    write_side_car(content, path, "csv")


def write_spreadsheet(content: Content, path: Path) -> None:
    """Write CSV that a spreadsheet may open.

    Raises
    ------
    StoreError : more rows, columns or letters than a sheet or a cell holds.
    """
    header = [*content.table.index.names, *map(str, content.labels), *content.columns]
    n_text = len(header) - len(content.columns)
    if len(content.table) >= SHEET_ROWS or len(header) > SHEET_COLUMNS:
        raise refuse(
            f"{len(content.table)} rows and {len(header)} columns, a sheet holds "
            f"{SHEET_ROWS - 1} and {SHEET_COLUMNS}",
            "too-large",
            where=path,
            fix="use csv or parquet",
        )
    if max(map(len, chain(header, content.files))) > CELL // 2:
        raise refuse("a name is longer than a cell", "too-large", where=path)
    with (
        committed(path) as temporary,
        temporary.open("w", encoding="utf-8-sig", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerow([harmless(name) for name in header])
        for row in _rows(content, path):
            # numbers stay as they are: a leading minus makes no formula of them
            writer.writerow([_text_cell(c) for c in row[:n_text]] + row[n_text:])
    write_side_car(content, path, "csv-spreadsheet")


def harmless(text: str) -> str:
    """A text that no spreadsheet runs; `serfeat.imports` takes the apostrophe away again."""
    shown = printable(text)
    return f"'{shown}" if text.startswith((*FORMULA, "'")) else shown


def _text_cell(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return harmless(text)
    return text


def write_opensmile(content: Content, path: Path) -> None:
    """Write openSMILE's dialect.

    Raises
    ------
    StoreError : names with quotes or line breaks, several segments of one file (frames).
    """
    for text in chain(content.files, content.columns):
        if any(c in text for c in "';\r\n"):
            raise refuse(
                f"{text!r} holds a quote, a semicolon or a line break, which this dialect cannot",
                "name",
                where=path,
                fix="use csv",
            )
    frames = content.level == "lld"
    if frames and len(set(content.files)) < len(content.files):
        raise refuse(
            "several segments of one file: this dialect names frames by file and time alone",
            "segments",
            where=path,
            fix="use csv or netcdf",
        )
    with committed(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        head = ["name", "frameTime", *([] if frames else ["frameLength"]), *content.columns]
        stream.write(";".join(head) + "\n")
        for row in _opensmile_rows(content, path):
            stream.write(row + "\n")
    write_index(content, path.with_name(path.name + ".index.csv"))
    write_side_car(content, path, "csv-opensmile")


def _opensmile_rows(content: Content, path: Path) -> Iterator[str]:
    frames = content.level == "lld"
    start = seconds(content.times("start"))
    length = seconds(content.times("end")) - start
    time = seconds(content.times("time")) if frames else start
    values = content.values
    if np.isinf(values).any():
        next(number_rows(content, missing="", where=path))  # names the column
    files = content.files
    for row, clip in enumerate(content.row_clips.tolist()):
        if row % content.step == 0:
            content.tell(row)
        cells = [f"'{files[clip]}'", f"{time[row]:f}"]
        cells += [] if frames else [f"{length[row]:f}"]
        # csvSink: whole numbers without decimals, all others with six
        cells += [f"{v:.0f}" if v == np.floor(v) else f"{v:e}" for v in values[row].tolist()]
        yield ";".join(cells)
    content.tell(len(values))


def _rows(content: Content, path: Path) -> Iterator[list[Any]]:
    """Index, labels and values of every row, as text."""
    start, end = (seconds_text(content.times(n)) for n in ("start", "end"))
    labels = [[label_text(v) for v in content.labels[c]] for c in content.labels]
    clips = list(zip(content.files, start, end, strict=True))
    said = list(zip(*labels, strict=True)) if labels else [()] * len(clips)
    frames = content.level == "lld"
    times = seconds_text(content.times("time")) if frames else []
    numbers = number_rows(content, missing="", where=path)
    for row, (clip, cells) in enumerate(zip(content.row_clips.tolist(), numbers, strict=True)):
        yield [*clips[clip], *(times[row : row + 1]), *said[clip], *cells]
