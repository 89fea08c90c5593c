"""The CSV of a manifest as cells of text: decoded, split, and the header looked at.

What is ragged, cut, repeated or has another encoding is an error that names the line.

Conventions
-----------
The file is read line by line and each column is dictionary-encoded at once: of a million rows with
fifty speakers, fifty texts and a million numbers of four bytes are kept. What is asked of a text
(is it a label, does it leave the folder) is asked once for each different one.

Contents
--------
`Column`, `Cells` : what was read.
`read_cells`      : reads it.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from serfeat.errors import ManifestError
from serfeat.types import Ints

__all__ = ["PURPOSE", "Cells", "Column", "Place", "read_cells"]

T = TypeVar("T")

# What other tools call our columns; an error names it, nothing is renamed in silence.
_OTHER_NAMES = {
    "file": ("wav", "path", "filename", "file_name", "audio_filepath", "filepath", "audio", "name"),
    "speaker": ("speaker_id", "spk", "spkr", "subject", "actor", "participant", "user"),
    "emotion": ("label", "emo", "emotions", "class", "target", "category"),
}
PURPOSE = {
    "file": "the recordings, relative to the audio folder",
    "speaker": "one code per person; without it no split can keep speakers apart",
    "emotion": "the label",
}


@dataclass(frozen=True)
class Place:
    """A row of a CSV, for a message; its text is made when it is asked for."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}"


@dataclass(frozen=True)
class Column:
    """Cells of a column without the space around them, each different text once.

    Parameters
    ----------
    texts : in the order of their first rows.
    codes : (n,) which of them each row has.
    places : (n,) line of each row, and the file: for messages.
    """

    texts: list[str]
    codes: Ints
    places: Callable[[int], Place]

    @cached_property
    def first(self) -> Ints:
        """(number of texts,) the first row that has each."""
        rows = np.empty(len(self.texts), dtype=np.int64)
        rows[self.codes[::-1]] = np.arange(len(self.codes))[::-1]
        return rows

    def each(self, meaning: Callable[[str, Place], T]) -> list[T]:
        """Meaning of every different text; the place is that of its first row."""
        pairs = zip(self.texts, self.first.tolist(), strict=True)
        return [meaning(text, self.places(row)) for text, row in pairs]

    def spread(self, meanings: list[Any], dtype: Any = object) -> np.ndarray[Any, Any]:
        """(n,) the meaning of every row's text."""
        found = np.empty(len(meanings), dtype=dtype)
        found[:] = meanings
        spread: np.ndarray[Any, Any] = found[self.codes]
        return spread


@dataclass(frozen=True)
class Cells:
    """What a CSV holds.

    Parameters
    ----------
    columns : by name.
    path, lines : of the file, and the line of each row.
    separator : between cells.
    """

    columns: dict[str, Column]
    path: Path
    lines: Ints
    separator: str

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> Place:
        """Where a row stands."""
        return Place(self.path, int(self.lines[row]))

    def column_of(self, text: str) -> Column:
        """A column that has this text in every row."""
        return Column([text], np.zeros(len(self), dtype=np.int32), self.place)


def read_cells(path: Path, *, encoding: str, require: Collection[str]) -> Cells:
    """Read a CSV with a column `file`; separator ``,`` ``;`` or tab, whichever the header has most.

    Parameters
    ----------
    encoding : where no byte order mark says UTF-8 or UTF-16.
    require : other columns that must be there.

    Raises
    ------
    ManifestError : unreadable, wrong encoding, not CSV, ragged, cut, no rows, missing columns.
    """
    try:
        with path.open("rb") as raw:
            encoding = _marked(raw.read(4)) or encoding
            raw.seek(0)
            return _split(io.TextIOWrapper(raw, encoding, newline=""), path, require)
    except OSError as error:
        if isinstance(error, ManifestError):
            raise
        reason = error.strerror or str(error)
        raise ManifestError(f"cannot be read: {reason}", where=path, code="unreadable") from error
    except (UnicodeError, LookupError) as error:
        if isinstance(error, ManifestError):
            raise
        raise ManifestError(
            f"the text is not {encoding}",
            where=Place(path, _line_of_fault(path, encoding)),
            code="wrong-encoding",
            fix="save it as UTF-8, or name the encoding (--encoding latin-1, cp1252, ...)",
        ) from error


def _marked(head: bytes) -> str:
    """Encoding that a byte order mark names, or ""."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return "utf-8-sig" if head.startswith(b"\xef\xbb\xbf") else ""


def _line_of_fault(path: Path, encoding: str) -> int:
    """Line of the first byte that is not of the encoding."""
    raw = path.read_bytes()
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        return raw[: error.start].count(b"\n") + 1
    except (UnicodeError, LookupError):
        pass
    return 1


def _split(stream: io.TextIOWrapper, path: Path, require: Collection[str]) -> Cells:
    """Read row by row: the whole text is never in memory."""
    first = (stream.readline().splitlines() or [""])[0]
    stream.seek(0)
    separator = max(",;\t", key=first.count)
    ended = [True]  # whether the last line has its end
    reader = csv.reader(_checked(stream, path, ended), delimiter=separator, strict=True)
    header: list[str] = []
    lines = array("i")
    codes: list[array[int]] = []
    texts: list[dict[str, int]] = []
    try:
        for row in reader:
            if row and not header:
                header = [name.strip() for name in row]
                _check_header(header, path, require)
                codes, texts = [array("i") for _ in header], [{} for _ in header]
            elif row and len(row) != len(header):
                raise ManifestError(
                    f"{len(row)} fields, the header has {len(header)}",
                    where=Place(path, reader.line_num),
                    code="ragged-row",
                    fix="quote the fields that contain the separator",
                )
            elif row:
                lines.append(reader.line_num)
                for cell, known, code in zip(row, texts, codes, strict=True):
                    code.append(known.setdefault(cell.strip(), len(known)))
    except csv.Error as error:
        where = Place(path, reader.line_num)
        raise ManifestError(f"not CSV: {error}", where=where, code="not-csv") from error
    if not lines:
        raise ManifestError("no rows", where=path, code="no-rows")
    if not ended[0]:
        raise ManifestError(
            "no newline after the last row, so the file may have been cut",
            where=Place(path, lines[-1]),
            code="no-final-newline",
            fix="check the last row and end it with a newline",
        )
    cells = Cells({}, path, np.frombuffer(lines, dtype=np.int32), separator)
    for name, known, code in zip(header, texts, codes, strict=True):
        cells.columns[name] = Column(list(known), np.frombuffer(code, dtype=np.int32), cells.place)
    return cells


def _checked(stream: io.TextIOWrapper, path: Path, ended: list[bool]) -> Iterator[str]:
    """Yield lines, without a NUL, and note whether the last one has its end."""
    for number, line in enumerate(stream, 1):
        if "\0" in line:
            raise ManifestError("a NUL byte", where=Place(path, number), code="nul-byte")
        ended[0] = line.endswith(("\n", "\r"))
        yield line


def _check_header(header: list[str], path: Path, require: Collection[str]) -> None:
    where = Place(path, 1)
    twice = sorted({name for name in header if header.count(name) > 1 and name})
    if twice:
        raise ManifestError(f"column {', '.join(twice)} occurs twice", where=where, code="columns")
    if "" in header:
        n = header.index("") + 1
        raise ManifestError(f"column {n} has no name", where=where, code="columns")
    for name in dict.fromkeys(("file", *require)):
        if name in header:
            continue
        others = [h for h in header if h.lower() in (name, *_OTHER_NAMES.get(name, ()))]
        purpose = PURPOSE.get(name, "it was required")
        fix = f"rename {others[0]!r} to {name!r}" if others else f"add it ({purpose})"
        raise ManifestError(
            f"no column {name!r}; found {', '.join(header)}",
            where=where,
            code=f"no-{name}",
            fix=fix,
        )
