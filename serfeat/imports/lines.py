"""Text of strangers, read with caps: lines, numbers, JSON.

Conventions
-----------
UTF-8. Every error names the file and the line. Caps (`LARGEST`, `LONGEST`) stand before the work:
a file that is larger than anything honest is refused, not read until memory ends.

Contents
--------
`checked_file`     : a file that is there and not too large.
`ended`            : whether its last line is whole.
`numbered`         : its lines with their numbers, from 1.
`number`           : a cell as a number.
`json_object`      : a line of JSON as a flat mapping.
`whole_characters` : whether escapes made halves of characters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from serfeat.errors import ManifestError

__all__ = [
    "LARGEST",
    "LONGEST",
    "checked_file",
    "ended",
    "json_object",
    "number",
    "numbered",
    "whole_characters",
]

LARGEST = 4 << 30  # bytes of a file
LONGEST = 16 << 20  # letters of a line: 6373 columns are 100 kB
MISSING = ("", "?", "nan", "-nan", "nan(ind)", "-nan(ind)", "--undefined--")


def checked_file(path: Path, *, largest: int = LARGEST) -> Path:
    """`path`, if it is a regular file of at most `largest` bytes.

    Raises
    ------
    ManifestError : it is not there, no file, or too large.
    """
    if not path.is_file():
        raise ManifestError("no such file", where=path, code="missing")
    size = path.stat().st_size
    if size > largest:
        raise ManifestError(
            f"{size} bytes, at most {largest} are read",
            where=path,
            code="too-large",
            fix="split it",
        )
    return path


def numbered(path: Path, *, largest: int = LARGEST) -> Iterator[tuple[int, str]]:
    """Yield (line number, line without its end).

    Raises
    ------
    ManifestError : see `checked_file`; a line that is too long, not UTF-8, or with a NUL byte.
    """
    line = 0
    with checked_file(path, largest=largest).open("rb") as stream:
        while raw := stream.readline(LONGEST):
            line += 1
            if len(raw) >= LONGEST:
                _fail(f"longer than {LONGEST} bytes", "too-large", path, line)
            if b"\0" in raw:
                _fail("a NUL byte", "nul-byte", path, line)
            try:
                text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError:
                _fail("the text is not UTF-8", "wrong-encoding", path, line)
            yield line, text.rstrip("\r\n")


def ended(path: Path) -> None:
    """Check that the last line of a file is whole.

    Raises
    ------
    ManifestError : it does not end with a newline.
    """
    with checked_file(path).open("rb") as stream:
        stream.seek(0, 2)
        if stream.tell():
            stream.seek(-1, 2)
            if stream.read(1) not in (b"\n", b"\r"):
                raise ManifestError(
                    "no newline after the last row, so the file may have been cut",
                    where=path,
                    code="no-final-newline",
                    fix="check the last row and end it with a newline",
                )


def _fail(message: str, code: str, path: Path, line: int) -> NoReturn:
    raise ManifestError(message, where=f"{path}, line {line}", code=code)


def number(text: str, *, where: str) -> float:
    """A finite number; NaN for what programs write where there is none.

    Raises
    ------
    ManifestError : no number, or an infinite one.
    """
    word = text.strip()
    if word.lower() in MISSING:
        return math.nan
    try:
        # float() also takes 1_000 and Arabic digits, which no program writes on purpose
        value = float(word) if word.isascii() and "_" not in word else math.inf
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        shown = word if len(word) <= 40 else f"{word[:40]}..."
        raise ManifestError(f"{shown!r} is not a finite number", where=where, code="not-a-number")
    return value


def json_object(text: str, *, where: str) -> dict[str, Any]:
    """One JSON object, without repeated keys, NaN or half of a character.

    Raises
    ------
    ManifestError : anything else.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
        if "\\ud" in text.lower():
            whole_characters(json.dumps(found, ensure_ascii=False))
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ManifestError(f"not JSON: {reason}", where=where, code="not-json") from None
    if not isinstance(found, Mapping):
        raise ManifestError(
            f"a JSON {type(found).__name__}, expected an object", where=where, code="not-json"
        )
    return dict(found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def whole_characters(text: str) -> None:
    """Refuse what no UTF-8 can hold, though an escape can say it.

    Raises
    ------
    ValueError : the first half of a character.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"\\u{ord(text[error.start]):04x} is half of a character") from None


def _constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
