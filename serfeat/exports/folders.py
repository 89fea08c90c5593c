"""Exports on a disk: a file with its side-cars, or a folder that is there whole or not at all.

Conventions
-----------
* A file ``x.arff`` has the side-car ``x.arff.json``: rows, sha256, units, provenance, the index,
  the class numbers of text labels, and the name that each column got where the format cannot hold
  its own.
* A folder holds the same as ``serfeat.json``. It is made under another name and renamed. A folder
  that serfeat wrote is replaced; anything else in its place stays, and is an error.
* What belongs to the clips and has no place in the format is a CSV beside it (``x.svm.index.csv``)
  or in the folder (``index.csv``).

Contents
--------
`write_side_car`, `side_car_of` : what is said of an export.
`committed_folder`              : a folder, whole.
`write_index`, `write_columns`  : the clips with their labels, and the columns with their units.
`clip_names`                    : one name per clip for formats that keep clips apart.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import posixpath
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from serfeat import files
from serfeat.errors import StoreError
from serfeat.exports.content import Content, label_text, refuse, seconds_text
from serfeat.files import committed, inside, sha256

__all__ = [
    "clip_names",
    "committed_folder",
    "side_car_of",
    "write_columns",
    "write_index",
    "write_rows",
    "write_side_car",
]

CARD = "serfeat.json"


def side_car_of(content: Content, name: str, **more: Any) -> dict[str, Any]:
    """What is said of an export, as JSON can hold it.

    Parameters
    ----------
    name : of the format.
    more : what only this format needs.
    """
    classes = {str(c): content.classes(str(c)) for c in content.labels}
    return {
        "format": name,
        "level": content.level,
        "rows": len(content.table),
        "clips": len(content.clips),
        "units": dict(content.units),
        "labels": {
            c: {"classes": {v: i for i, v in enumerate(k)}} if k is not None else {"numeric": True}
            for c, k in classes.items()
        },
        "provenance": dict(content.provenance),
        **more,
    }


def write_side_car(content: Content, path: Path, name: str, **more: Any) -> None:
    """Write ``<path>.json``, after the file at `path`, whose checksum it holds."""
    about = {**side_car_of(content, name, **more), "sha256": sha256(path)}
    with committed(path.with_name(path.name + ".json")) as temporary:
        temporary.write_text(json.dumps(about, indent=1, default=str) + "\n", encoding="utf-8")


@contextlib.contextmanager
def committed_folder(path: Path, about: Mapping[str, Any]) -> Iterator[Path]:
    """Fill a folder under a temporary name; on success write its card and rename it to `path`.

    Raises
    ------
    StoreError : something that serfeat did not write is in its place; it cannot be written.
    """
    if os.path.lexists(path) and not (path / CARD).is_file():
        empty = path.is_dir() and not any(path.iterdir())
        if not empty:
            raise StoreError(
                "something else is in this place",
                where=path,
                code="in-the-way",
                fix="choose another place with -o",
            )
    temporary = _beside(path)
    code = "cannot-create"
    try:
        temporary.mkdir(parents=True)
        code = "disk-fault"
        yield temporary
        card = json.dumps(about, indent=1, default=str) + "\n"
        (temporary / CARD).write_text(card, encoding="utf-8")
        _replace(temporary, path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            f"cannot write here ({error.strerror or error})",
            where=path,
            code="disk-full" if full else code,
            fix="choose another place, or free the disk, and run the same command again",
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.parent / f"{files.TEMPORARY}{secrets.token_hex(8)}.tmp"


def _replace(temporary: Path, path: Path) -> None:
    """Flush every file, then put the folder in its place; what was there before goes last."""
    for file in sorted(temporary.rglob("*")):
        if file.is_file():
            with file.open("rb+") as stream:
                files.DISK.flush(stream)
    old = _beside(path)
    was_there = os.path.lexists(path)
    if was_there:  # a folder cannot take the place of one that is not empty
        files.DISK.rename(path, old)
    try:
        files.DISK.rename(temporary, path)
        files.DISK.flush_folder(path.parent)
    except OSError:
        if was_there and not path.exists():
            old.replace(path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_rows(path: Path, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Write a CSV of text: UTF-8, commas, one line feed per row."""
    with committed(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(list(header))
        writer.writerows(rows)


def write_index(content: Content, place: Path, **more: Iterable[str]) -> None:
    """Write the clips: what `more` says, file, start, end (s), labels; one row per clip."""
    start, end = (seconds_text(content.times(n)) for n in ("start", "end"))
    labels = {str(c): [label_text(v) for v in content.labels[c]] for c in content.labels}
    columns = {**more, "file": content.files, "start": start, "end": end, **labels}
    write_rows(place, columns, zip(*columns.values(), strict=True))


def write_columns(content: Content, path: Path) -> None:
    """Write the columns in their order: number from 1, name, unit."""
    rows = ([str(i), c, content.units[c]] for i, c in enumerate(content.columns, 1))
    write_rows(path, ["number", "name", "unit"], rows)


def clip_names(content: Content, *, where: object) -> list[str]:
    """One name per clip: its file and, for a segment, its bounds in seconds.

    Raises
    ------
    StoreError : a name that leads out of the folder; two clips of one name.
    """
    start, end = (seconds_text(content.times(n)) for n in ("start", "end"))
    names = []
    for file, first, last in zip(content.files, start, end, strict=True):
        # Tables come from strangers: their names become paths here.
        try:
            name = inside(file, Path("."), where=where) if not file.startswith("/") else ""
        except ValueError:
            name = ""
        if not name or posixpath.normpath(file) != file:
            raise refuse(
                f"file {file!r} is not a plain name below a folder",
                "outside-root",
                where=where,
                fix="make the table from a manifest whose files are relative to its root",
            )
        names.append(name if (first, last) == ("0", "") else f"{name}_{first}-{last or 'end'}")
    if len(set(names)) != len(names):
        raise refuse("two clips would have the same name", "duplicate-row", where=where)
    return names
