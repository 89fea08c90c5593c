"""The CSV of a manifest as cells of text: decoded, split, and the header looked at.

What is ragged, cut, repeated or has another encoding is an error that names the line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from serfeat.errors import ManifestError

__all__ = ["PURPOSE", "Cells", "read_cells"]

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
class Cells:
    """Cells of text, without the space around them.

    Parameters
    ----------
    columns : name -> one text per row.
    where : file and line of each row, for messages.
    lines : line of each row.
    separator : between cells.
    """

    columns: dict[str, list[str]]
    where: list[str]
    lines: list[int]
    separator: str


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
    text = _text_of(path, encoding)
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ManifestError("a NUL byte", where=f"{path}, line {line}", code="nul-byte")
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(",;\t", key=first.count)
    header, lines, rows = _split(text, separator, path, require)
    if not rows:
        raise ManifestError("no rows", where=path, code="no-rows")
    if not text.endswith(("\n", "\r")):
        raise ManifestError(
            "no newline after the last row, so the file may have been cut",
            where=f"{path}, line {lines[-1]}",
            code="no-final-newline",
            fix="check the last row and end it with a newline",
        )
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    return Cells(columns, [f"{path}, line {line}" for line in lines], lines, separator)


def _text_of(path: Path, encoding: str) -> str:
    """The file's text; byte order marks decide before `encoding` does."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError(f"cannot be read: {reason}", where=path, code="unreadable") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif raw.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    try:
        return raw.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        line = raw[: getattr(error, "start", 0)].count(b"\n") + 1
        raise ManifestError(
            f"the text is not {encoding}",
            where=f"{path}, line {line}",
            code="wrong-encoding",
            fix="save it as UTF-8, or name the encoding (latin-1, cp1252, ...)",
        ) from error


def _split(
    text: str, separator: str, path: Path, require: Collection[str]
) -> tuple[list[str], list[int], list[list[str]]]:
    """Header, line of each row, and the rows' cells."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row and not header:
                header = [name.strip() for name in row]
                _check_header(header, path, require)
            elif row and len(row) != len(header):
                raise ManifestError(
                    f"{len(row)} fields, the header has {len(header)}",
                    where=f"{path}, line {reader.line_num}",
                    code="ragged-row",
                    fix="quote the fields that contain the separator",
                )
            elif row:
                lines.append(reader.line_num)
                rows.append([cell.strip() for cell in row])
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise ManifestError(f"not CSV: {error}", where=where, code="not-csv") from error
    return header, lines, rows


def _check_header(header: list[str], path: Path, require: Collection[str]) -> None:
    where = f"{path}, line 1"
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
