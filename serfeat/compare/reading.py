"""What a run says of itself: run.json, folds.json and lint.json, read and checked in one place.

Whoever shows a run (the report, the tables, the lab, lint) finds here what `serfeat.compare` wrote,
also when a hand or another program has been at it since: a file that is no JSON, or one that says
something else than such a file says, is one line with the file, the place within, what stands there
and what should.

Contents
--------
`read_record` : run.json.
`read_folds`  : folds.json.
`read_lint`   : lint.json.
`FAILURE` `FINDING` : what each failure of the one and each finding of the other has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from serfeat.errors import StoreError
from serfeat.lint.evidence import Severity

__all__ = ["FAILURE", "FINDING", "read_folds", "read_lint", "read_record"]

TEXT, WHOLE, NUMBER, FLAG = "a text", "a whole number", "a number", "true or false"
KINDS: Mapping[str, type | tuple[type, ...]] = {
    TEXT: str,
    WHOLE: int,
    NUMBER: (int, float),
    FLAG: bool,
}

LARGEST = 2**53

# A word of the shapes below is what stands in its place; a name with "?" may be absent, "*" is any
# name; a list holds any number of its one shape; a tuple is a choice. What no shape names passes.
FOLD = {"name": TEXT, "train": [WHOLE], "validation?": [WHOLE], "test": [WHOLE]}
SEVERITY = get_args(Severity)
FINDING = {"kind": TEXT, "severity": SEVERITY, "where": TEXT, "words": TEXT}
WHY = dict.fromkeys(("stage", "reason", "message"), TEXT)
FAILURE = {"file": TEXT, "start": NUMBER, "end?": NUMBER, **WHY}
PROTOCOL = {"key": TEXT, "speaker_independent": FLAG, "words": TEXT, "folds": WHOLE}
ENTRY = {
    **dict.fromkeys(("name", "kind", "model", "features"), TEXT),
    **{
        f"{word}?": TEXT
        for word in ("level", "normalisation", "words", "targets", "train_on", "licence")
    },
    "params?": {},
    "augment?": {},
}
CORPUS = {
    "name": TEXT,
    "title": TEXT,
    "licence?": TEXT,
    "citation?": TEXT,
    "rows": WHOLE,
    "speakers": WHOLE,
    "seconds_of_audio": NUMBER,
    "synthetic?": FLAG,
    "counts?": {"*": {"*": WHOLE}},
}
RECORD = {
    "corpus": CORPUS,
    "labels": [TEXT],
    "protocols": [PROTOCOL],
    "entries": [ENTRY],
    **{f"{word}?": TEXT for word in ("title", "command", "created", "normalisation", "selection")},
    **{f"{word}?": [TEXT] for word in ("dimensions", "disjoint", "marks", "warnings")},
    "seconds?": NUMBER,
    "seeds?": [WHOLE],
    "versions?": {"*": TEXT},
    "machine?": {},
    "conditions?": [{"name": TEXT, "words?": TEXT}],
    "extraction?": dict.fromkeys(("seconds_of_audio", "seconds", "rows", "failures"), NUMBER),
    "failures?": [FAILURE],
}
FOLDS = {"*": [FOLD]}
LINT = {"clean": FLAG, "findings": [FINDING]}


def read_record(folder: Path) -> dict[str, Any]:
    """Read run.json.

    Raises
    ------
    StoreError : it cannot be read (unreadable-run), or says something else (incomplete-run).
    """
    return dict(_read(folder, "run.json", RECORD))


def read_folds(folder: Path) -> dict[str, Any]:
    """Read folds.json, protocol -> folds; empty where there is none. Raises as `read_record`."""
    path = folder / "folds.json"
    return dict(_read(folder, path.name, FOLDS)) if path.is_file() else {}


def read_lint(folder: Path) -> dict[str, Any] | None:
    """Read lint.json; None of a run that nobody linted. Raises as `read_record`."""
    path = folder / "lint.json"
    return dict(_read(folder, path.name, LINT)) if path.is_file() else None


def _read(folder: Path, name: str, shape: Any) -> Any:
    again = "run the comparison again"
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise StoreError(
            f"{name}: {problem}", where=folder, code="unreadable-run", fix=again
        ) from problem
    for words in _otherwise(found, shape, name):
        raise StoreError(words, where=folder, code="incomplete-run", fix=again)
    return found


def _otherwise(found: Any, shape: Any, place: str) -> Iterator[str]:
    """Say where something else stands than should."""
    if isinstance(shape, str):
        # True is an integer to Python, and no number to anybody else; nor is one of thirty digits
        wrong = isinstance(found, bool) and shape != FLAG
        wrong |= isinstance(found, int) and abs(found) > LARGEST
        if wrong or not isinstance(found, KINDS[shape]):
            yield f"{place} is {_kind(found)}, expected {shape}"
    elif isinstance(shape, tuple):
        if found not in shape:
            yield f"{place} is {_kind(found)}, expected one of {', '.join(shape)}"
    elif isinstance(shape, list):
        if not isinstance(found, list):
            yield f"{place} is {_kind(found)}, expected a list"
            return
        for i, value in enumerate(found):
            yield from _otherwise(value, shape[0], f"{place}[{i}]")
    elif not isinstance(found, dict):
        yield f"{place} is {_kind(found)}, expected names and values"
    else:
        lacking = [name for name in shape if name not in found and name[-1] not in "?*"]
        if lacking:
            yield f"{place} without {', '.join(lacking)}"
        for name, value in found.items():
            inner = shape.get(name, shape.get(f"{name}?", shape.get("*")))
            if inner is not None:
                yield from _otherwise(value, inner, f"{place}: {name}")


def _kind(value: Any) -> str:
    """What a value is, in a word."""
    if value is None:
        return "nothing"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "names and values"
    return next(word for word, kind in {FLAG: bool, **KINDS}.items() if isinstance(value, kind))
