"""ARFF as WEKA defines it and as openSMILE and serfeat write it.

A file is read as cells of text, and the types of its attributes beside them. Dates, relational
attributes, sparse rows and weights of rows are refused: no feature table has them.

Sources
-------
WEKA 3.8, "ARFF (stable version)"; ``weka.core.Utils.unbackQuoteChars``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from serfeat.errors import ManifestError
from serfeat.exports.arff import MARK
from serfeat.imports.lines import numbered

__all__ = ["Arff", "read_arff"]

# one value: quoted in either way, or up to the next comma
_VALUE = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"{}\s][^,'"{}]*|))\s*""")
_ATTRIBUTE = re.compile(
    r"""@attribute\s+(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s'"{},%]\S*))\s+(.+)$""", re.I
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
NUMERIC = ("numeric", "real", "integer")


@dataclass(frozen=True)
class Arff:
    """The content of a file.

    Parameters
    ----------
    attributes : name -> ``"numeric"``, ``"string"``, or the values of a nominal one.
    rows : (line, cells) of each row; a missing value is None.
    about : units, names of the labels and provenance, if serfeat wrote it.
    """

    attributes: dict[str, str | tuple[str, ...]]
    rows: list[tuple[int, list[str | None]]]
    about: dict[str, Any] = field(default_factory=dict)


def read_arff(path: Path) -> Arff:
    """Read a file.

    Raises
    ------
    ManifestError : what is wrong, with its line.
    """
    attributes: dict[str, str | tuple[str, ...]] = {}
    about: dict[str, Any] = {}
    rows: list[tuple[int, list[str | None]]] = []
    body = False
    for line, text in numbered(path):
        stripped = text.strip()
        if stripped.startswith("%") or not stripped:
            about = about or _about(text)
        elif body:
            rows.append((line, _row(stripped, attributes, path, line)))
        elif re.match(r"@data\s*$", stripped, re.I):
            body = True
        elif stripped[:10].lower() == "@attribute":
            name, kind = _attribute(stripped, path, line)
            if name in attributes:
                _fail(f"attribute {name!r} occurs twice", path, line)
            attributes[name] = kind
        elif not re.match(r"@relation\b", stripped, re.I):
            _fail(f"expected @relation, @attribute or @data, found {stripped[:40]!r}", path, line)
    if not body or not attributes:
        raise ManifestError("no @data after attributes", where=path, code="not-arff")
    return Arff(attributes, rows, about)


def _fail(message: str, path: Path, line: int) -> NoReturn:
    raise ManifestError(message, where=f"{path}, line {line}", code="not-arff")


def _about(comment: str) -> dict[str, Any]:
    """What serfeat's own comment says; nothing from any other."""
    if not comment.startswith(MARK):
        return {}
    try:
        found = json.loads(comment.removeprefix(MARK))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _attribute(text: str, path: Path, line: int) -> tuple[str, str | tuple[str, ...]]:
    """Name and type of an attribute."""
    found = _ATTRIBUTE.match(text)
    if found is None:
        _fail("an attribute needs a name and a type", path, line)
    single, double, bare, kind = found.groups()
    name = bare if bare is not None else _unescaped(single if single is not None else double)
    kind = kind.strip()
    if kind.startswith("{"):
        if not kind.endswith("}"):
            _fail("a nominal attribute needs its values between { and }", path, line)
        values = [v for v, _ in _values(kind[1:-1], path, line)]
        return name, tuple(values)
    word = kind.split()[0].lower()
    if word in NUMERIC:
        return name, "numeric"
    if word == "string":
        return name, "string"
    _fail(f"attribute {name!r} is of type {word!r}; known: numeric, string, nominal", path, line)


def _row(
    text: str, attributes: dict[str, str | tuple[str, ...]], path: Path, line: int
) -> list[str | None]:
    """The cells of a row, checked against the attributes' number and nominal values."""
    if text.startswith("{"):
        _fail("a sparse row; save the file with weka's SparseToNonSparse first", path, line)
    cells = [None if v == "?" and not quoted else v for v, quoted in _values(text, path, line)]
    if len(cells) != len(attributes):
        _fail(f"{len(cells)} values, there are {len(attributes)} attributes", path, line)
    for (name, kind), cell in zip(attributes.items(), cells, strict=True):
        if isinstance(kind, tuple) and cell is not None and cell not in kind:
            _fail(f"{cell!r} is none of the values of {name!r}", path, line)
    return cells


def _values(text: str, path: Path, line: int) -> Iterator[tuple[str, bool]]:
    """Yield (value, whether it was quoted) between commas."""
    if "'" not in text and '"' not in text and "{" not in text and "}" not in text:
        yield from ((cell.strip(), False) for cell in text.split(","))
        return
    place = 0
    while True:
        found = _VALUE.match(text, place)
        if found is None:
            _fail(f"cannot read {text[place : place + 40]!r}", path, line)
        single, double, bare = found.groups()
        if bare is None:
            yield _unescaped(single if single is not None else double), True
        else:
            yield bare.strip(), False
        place = found.end()
        if place == len(text):
            return
        if text[place] != ",":
            _fail(f"expected a comma before {text[place : place + 40]!r}", path, line)
        place += 1


def _unescaped(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        code = found.group(1)
        return chr(int(code[1:], 16)) if len(code) == 5 else _LETTERS.get(code, code)

    return _ESCAPE.sub(letter, text)
