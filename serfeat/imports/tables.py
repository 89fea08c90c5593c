"""Feature tables of other programs, on our index.

Conventions
-----------
* ``opensmile-csv``: SMILExtract's csvSink; ``;`` or ``,``, a column ``name`` (the file), frameTime
  (s), perhaps frameIndex and frameLength. ``arff``: openSMILE's arffSink (attribute ``name``) and
  serfeat's (``file``). ``audformat-csv``: (file, start, end) with times as ``0 days 00:00:01`` or
  seconds: what opensmile-python, nkululeko and serfeat write.
* Rows are frames where a name occurs at several times and no length is said (`level` decides
  otherwise): then frameTime becomes `time`. With lengths they are segments.
* The names of columns are kept. The units of openSMILE's are known from their names. Text columns
  and nominal attributes are labels, never features; a constant class that openSMILE adds because
  WEKA wants one is left out and noted.
* NaN, ``?``, an empty cell and Praat's ``--undefined--`` are NaN. An infinite number is an error.
* What a side-car of serfeat says (units, provenance, which columns are labels) is taken, if its
  checksum is right. Where nobody says, columns that are named as those of a manifest (speaker, age,
  valence, votes_anger) are labels too, whatever is in them: a speaker ``03`` is no number.

Contents
--------
`TABLE_FORMATS` : name -> words.
`read_table_of` : a file -> `Imported`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from serfeat.errors import ManifestError, did_you_mean
from serfeat.files import inside, sha256
from serfeat.imports.columns import TextColumns, columns_of_arff, columns_of_csv
from serfeat.imports.lines import number
from serfeat.lld.opensmile import unit_of
from serfeat.manifest import NUMBERS, TEXT
from serfeat.table import INDEX, clip_index

__all__ = ["TABLE_FORMATS", "Imported", "read_table_of"]

TABLE_FORMATS = {
    "arff": "ARFF of openSMILE, WEKA or serfeat",
    "audformat-csv": "CSV with file, start, end (opensmile-python, nkululeko, serfeat)",
    "opensmile-csv": "CSV of SMILExtract: name; frameTime; columns",
}
Level = Literal["auto", "functionals", "lld"]
# what the first columns are called -> what they are here
_KEYS = {
    "file": "file", "name": "file", "start": "start", "end": "end", "time": "time",
    "frametime": "time", "timestamp": "time", "frameindex": "", "number": "",
    "framelength": "length",
}  # fmt: skip


class Imported(NamedTuple):
    """A table that was read.

    Parameters
    ----------
    table : float64 on (file, start, end) or (file, start, end, time).
    units : column -> unit, "" where it is not known.
    provenance : what the file says of its making, and where it came from.
    notes : what was decided or left out, for the reader.
    labels : the columns that are no features, as text, on the same index.
    """

    table: pd.DataFrame
    units: dict[str, str]
    provenance: dict[str, Any]
    notes: tuple[str, ...]
    labels: pd.DataFrame


def read_table_of(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    *,
    root: Path | None = None,
    level: Level = "auto",
) -> Imported:
    """Read a feature table that another program wrote.

    Parameters
    ----------
    format : a name of `TABLE_FORMATS`; ``auto``: by suffix and header.
    root : folder of the audio: names become relative to it, and none may lead out of it.
    level : whether rows are clips or frames.

    Raises
    ------
    ManifestError : what is wrong, with file and line.
    UnknownNameError : no such format.
    """
    path = Path(path)
    if format not in ("auto", *TABLE_FORMATS):
        raise did_you_mean("table format", format, TABLE_FORMATS)
    if format == "arff" or (format == "auto" and path.suffix.lower() == ".arff"):
        cells = columns_of_arff(path)
    else:
        cells = columns_of_csv(path, format)
    if not cells.lines:
        raise ManifestError("no rows", where=path, code="no-rows")
    notes: list[str] = []
    keys = {c: _KEYS[c.lower()] for c in cells.columns if c.lower() in _KEYS}
    if "file" not in keys.values():
        raise ManifestError(
            f"no column name or file; found {', '.join(list(cells.columns)[:5])}",
            where=path,
            code="no-file",
            fix="write it with SMILExtract -instname FILE, or add a column file",
        )
    index = _index(cells, keys, path, root, level, notes)
    about = _about(path, cells, notes)
    cells = _with_labels(cells, about, notes)
    table, labels = _values(cells, keys, path, index, notes)
    return _described(path, about, table, labels, notes)


# --- cells to a table ---------------------------------------------------------------------------


def _index(
    cells: TextColumns, keys: dict[str, str], path: Path, root: Path | None, level: Level,
    notes: list[str],
) -> pd.MultiIndex:  # fmt: skip
    """The index of the rows: clips, segments or frames."""
    said = {meaning: cells.columns[c] for c, meaning in keys.items() if meaning}
    where = [f"{path}, line {line}" for line in cells.lines]
    files = [(f or "").strip() for f in said["file"]]
    if not all(files):
        raise ManifestError("a row without a name", where=where[files.index("")], code="no-file")
    if root is not None:
        files = [inside(f, root, where=w) for f, w in zip(files, where, strict=True)]
    elif any(f.startswith("/") for f in files):
        notes.append("names are absolute; give the audio folder (root) to make them relative")
    times = {n: _times(said[n], where) for n in ("start", "end", "time", "length") if n in said}
    start = times.get("start", np.zeros(len(files)))
    end = times.get("end", np.full(len(files), np.nan))
    time = times.get("time")
    if time is None:
        return _clips(files, start, end, path)
    frames = level == "lld" or "start" in times
    if level == "auto" and "start" not in times:
        frames = "length" not in times and len(set(files)) < len(files)
        notes.append(f"rows are {'frames' if frames else 'clips'}: give the level to decide")
    if not frames:  # openSMILE: frameTime is where the segment begins
        end = time + times["length"] if "length" in times else end
        return _clips(files, time, end, path)
    index = pd.MultiIndex.from_arrays(
        [pd.Index(files, dtype=object), *(_deltas(t) for t in (start, end, time))],
        names=[*INDEX, "time"],
    )
    twice = np.flatnonzero(index.duplicated())
    if len(twice):
        file = files[int(twice[0])]
        raise ManifestError(
            f"a frame of {file!r} occurs twice", where=where[int(twice[0])], code="duplicate-row"
        )
    return index


def _clips(files: list[str], start: Any, end: Any, path: Path) -> pd.MultiIndex:
    try:
        return clip_index(files, start, end)
    except ManifestError as error:
        raise ManifestError(
            error.message, where=path, code=error.code, fix="rows of frames? give the level lld"
        ) from None


def _deltas(seconds: Any) -> pd.TimedeltaIndex:
    """Seconds as timedelta64[ns], as `clip_index` makes them."""
    n = len(seconds)
    return pd.TimedeltaIndex(clip_index(map(str, range(n)), seconds).get_level_values("start"))


def _times(texts: Sequence[str | None], where: list[str]) -> Any:
    """Seconds from numbers or from Pandas' durations."""
    out = np.empty(len(texts))
    for i, (text, place) in enumerate(zip(texts, where, strict=True)):
        word = (text or "").strip()
        if "day" in word or ":" in word:
            try:
                out[i] = pd.Timedelta(word).total_seconds()
            except ValueError:
                raise ManifestError(f"{word!r} is no time", where=place, code="bad-times") from None
        else:
            out[i] = number("" if word == "NaT" else word, where=place)
        if abs(out[i]) > 1e9:  # s: 30 years
            raise ManifestError(f"{word!r} is no time", where=place, code="bad-times")
    return out


def _values(
    cells: TextColumns, keys: dict[str, str], path: Path, index: pd.MultiIndex, notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The columns of numbers, and the columns of words."""
    numbers: dict[str, Any] = {}
    words: dict[str, list[str]] = {}
    for name, texts in cells.columns.items():
        if name in keys:
            continue
        present = [t for t in texts if t not in (None, "", "?")]
        if name.lower() == "class" and len(set(present)) <= 1:
            notes.append(f"left out {name!r}: the same in every row")
        elif name in cells.words:
            words[name] = [t or "" for t in texts]
        else:
            column = _column(name, texts, cells.lines, path, numeric=cells.typed)
            if column is None:
                words[name] = [t or "" for t in texts]
            else:
                numbers[name] = column
    if not numbers:
        raise ManifestError("no columns of numbers", where=path, code="no-columns")
    if words:
        notes.append(f"labels, not features: {', '.join(words)}")
    labels = pd.DataFrame(words, index=index, dtype=object)
    return pd.DataFrame(numbers, index=index), labels


def _column(
    name: str, texts: Sequence[str | None], lines: list[int], path: Path, *, numeric: bool
) -> Any:
    """The numbers of a column; None where its first filled cell is a word."""
    out = np.empty(len(texts))
    first = True
    for i, text in enumerate(texts):
        try:
            out[i] = number(text or "", where=f"{path}, line {lines[i]}, {name}")
        except ManifestError:
            if first and not numeric and not _looks_numeric(text or ""):
                return None
            raise
        first = first and bool(np.isnan(out[i]))
    return out


def _looks_numeric(text: str) -> bool:
    """Whether a cell that is no finite number was meant as one: ``inf``, ``1e400``, ``1,5``."""
    return text.strip().lower().lstrip("+-").startswith(("inf", *"0123456789."))


def _about(path: Path, cells: TextColumns, notes: list[str]) -> dict[str, Any]:
    """What serfeat said of the file when it wrote it: in the side-car, or in the file itself."""
    beside = path.with_name(path.name + ".json")
    if beside.is_file() and beside.stat().st_size < 64 << 20:
        try:
            found = json.loads(beside.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            found = {}
        if isinstance(found, dict) and "provenance" in found:
            if found.get("sha256") in (None, sha256(path)):
                return found
            notes.append(f"{beside.name} belongs to another file: not read")
    return dict(cells.about)


def _with_labels(cells: TextColumns, about: dict[str, Any], notes: list[str]) -> TextColumns:
    """The columns that are labels among the words, also those that look like numbers."""
    labels = about.get("labels")
    if isinstance(labels, dict | list):
        return replace(cells, words=cells.words | set(map(str, labels)))
    units = about.get("units")
    features = units if isinstance(units, dict) else {}
    named = [c for c in cells.columns if _of_a_manifest(c) and c not in features]
    if further := [c for c in named if c not in cells.words]:
        notes.append(f"labels by their names, rename them if not: {', '.join(further)}")
    return replace(cells, words=cells.words | set(named))


def _of_a_manifest(name: str) -> bool:
    """Whether a manifest has a column of this name, which says nothing of the sound."""
    return name.lower() in (*TEXT, *NUMBERS) or name.lower().startswith("votes_")


def _described(
    path: Path,
    about: dict[str, Any],
    table: pd.DataFrame,
    labels: pd.DataFrame,
    notes: list[str],
) -> Imported:
    """Add units and provenance: those that serfeat wrote down, or what the names tell."""
    given = about.get("units")
    known = given if isinstance(given, dict) else {}
    units = {str(c): str(known.get(c, unit_of(str(c)))) for c in table.columns}
    made = about.get("provenance")
    provenance = {
        **(made if isinstance(made, dict) else {}),
        "imported_from": path.name,
        "imported_sha256": sha256(path),
    }
    return Imported(table, units, provenance, tuple(notes), labels)
