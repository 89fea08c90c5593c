"""Manifests on disk: CSV, and the side-car of `serfeat.sidecar`.

Conventions
-----------
* We write UTF-8 with commas; times are decimal seconds, and there only where segments are used.
  Any other CSV with a column `file` can be read as well.
* Text stays text ("03" stays "03", a label NA is a label). Nothing is repaired in silence: what is
  wrong is an error that names the line.

Contents
--------
`read_manifest`, `write_manifest`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.cells import PURPOSE, Cells, Column, Place, read_cells
from serfeat.errors import ManifestError, SerfeatError
from serfeat.files import committed, inside
from serfeat.labels import UNLABELLED, UNLABELLED_WORD, normalise, normalise_sex
from serfeat.manifest import (
    NUMBERS,
    REQUIRED,
    TEXT,
    Card,
    Manifest,
    Refused,
    refuse_collisions,
)
from serfeat.sidecar import read_sidecar, sidecar_place, write_sidecar
from serfeat.table import INDEX, clip_index, escaped, unescaped
from serfeat.types import Floats

__all__ = ["read_manifest", "write_manifest"]

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")


def read_manifest(
    path: str | Path,
    *,
    root: str | Path | None = None,
    encoding: str = "utf-8",
    label_map: Mapping[str, str] | None = None,
    labels: Collection[str] | None = None,
    require: Collection[str] = ("speaker", "emotion"),
    refuse: bool = False,
) -> Manifest:
    """Read a manifest, ours or any CSV with a column `file`.

    Separator ``,`` ``;`` or tab (the one that the header has most of); UTF-8, or UTF-16 with a byte
    order mark, or `encoding`. Cells are text: a label ``NA`` is a label, speaker ``03`` stays
    ``03``. With ``;``, numbers may have a decimal comma. An extra column is numeric where the
    side-car says so; without a side-car, where every cell is a number without leading zeros.

    Parameters
    ----------
    root : folder of the audio; default: the side-car's, else the folder of the CSV.
    label_map, labels : see `serfeat.labels.normalise`.
    require : columns that must be there and be filled; ``()`` to only extract features.
    refuse : leave out rows whose names leave the root or whose times make no sense, and note them
        in `Manifest.refused`; else they are errors.

    Raises
    ------
    ManifestError : anything that cannot be trusted, with its line.
    UnknownNameError : a label outside the vocabulary, with the nearest known one.
    """
    path = Path(path)
    cells = read_cells(path, encoding=encoding, require=require)
    columns, comma = cells.columns, cells.separator == ";"
    about = read_sidecar(path, len(cells))
    folder = Path(root) if root is not None else path.parent / about.get("root", ".")

    starts = _times(columns.get("start"), 0.0, len(cells), comma)
    ends = _times(columns.get("end"), np.nan, len(cells), comma)
    files, wrong = _files(columns["file"], folder)
    wrong |= _wrong_times(cells, files, starts, ends, but=wrong)
    if wrong and not refuse:
        raise wrong[min(wrong)]
    _refuse_repeats(cells, files, starts, ends)
    refuse_collisions(dict.fromkeys(files), where=path)

    rows = _rows(cells, about, clip_index(files, starts, ends), label_map, labels, require)
    card = Card(**about["card"]) if "card" in about else None
    roots = {} if root is not None else about.get("roots", {})
    roots = {k: path.parent / v for k, v in roots.items()}
    corpus = str(about.get("corpus", path.stem))
    refused = tuple(
        Refused(files[i], float(starts[i]), float(ends[i]), error.code, str(error))
        for i, error in sorted(wrong.items())
    )
    if refused:
        keep = np.ones(len(rows), dtype=bool)
        keep[list(wrong)] = False
        rows = rows[keep]
    return Manifest(rows, folder, corpus, card, roots, refused=refused)


def _rows(
    cells: Cells,
    about: Mapping[str, Any],
    index: pd.MultiIndex,
    label_map: Mapping[str, str] | None,
    labels: Collection[str] | None,
    require: Collection[str],
) -> pd.DataFrame:
    """The columns beside the index, text as text and numbers as float64."""
    rows = pd.DataFrame(index=index)
    corpus = str(about.get("corpus", cells.path.stem))
    comma = cells.separator == ";"
    for name in dict.fromkeys((*REQUIRED, *cells.columns)):
        if name in INDEX:
            continue
        given = cells.columns.get(name) or cells.column_of(corpus if name == "corpus" else "")
        texts: list[str] = given.texts
        if name == "emotion":
            texts = _labels(given, label_map, labels, required=name in require)
        elif name == "sex":
            texts = given.each(lambda t, w: normalise_sex(t, where=w))
        elif name in require and "" in texts:
            empty = texts.index("")
            raise ManifestError(
                f"the {name} is empty in {int((given.codes == empty).sum())} rows",
                where=cells.place(int(given.first[empty])),
                code="missing-value",
                fix=f"fill it ({PURPOSE.get(name, name)})",
            )
        if _is_number(name, texts, about.get("numeric")):
            values = given.each(partial(_in_column, name=name, comma=comma))
            rows[name] = given.spread(values, np.float64)
        else:
            rows[name] = pd.Series(given.spread(texts), index, dtype=object).astype(str)
    return rows


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Write the rows as CSV and what a CSV cannot hold as ``<stem>.toml`` beside it.

    Returns
    -------
    Path of the CSV.

    Raises
    ------
    ManifestError : no rows; a cell that is not Unicode; a ``<stem>.toml`` that is no side-car.
    StoreError : the folder cannot be written.
    """
    path = Path(path)
    sidecar_place(path)
    if not len(manifest):
        raise ManifestError("no rows", where=path, code="no-rows")
    try:
        raw = _to_csv(manifest.rows).encode("utf-8")
    except UnicodeEncodeError as error:
        name = error.object[error.start : error.end]
        raise ManifestError(
            f"a cell is not Unicode (near {name!r})",
            where=path,
            code="name-not-unicode",
            fix="rename the folder that it is the name of",
        ) from error
    with committed(path) as temporary:
        temporary.write_bytes(raw)
    write_sidecar(manifest, path)
    return path


def _to_csv(rows: pd.DataFrame) -> str:
    flat: dict[str, list[str]] = {
        "file": [escaped(str(f)) for f in rows.index.get_level_values("file")]
    }
    start, end = rows.index.get_level_values("start"), rows.index.get_level_values("end")
    if (start != pd.Timedelta(0)).any() or end.notna().any():
        flat["start"], flat["end"] = _seconds(start), _seconds(end)
    for name in rows.columns:
        values = rows[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            flat[name] = [
                "" if np.isnan(v) else repr(v).removesuffix(".0") for v in values.astype(float)
            ]
        else:
            flat[name] = ["" if pd.isna(v) else str(v) for v in values]
    if any(flat["emotion"]):
        flat["emotion"] = [e or UNLABELLED_WORD for e in flat["emotion"]]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(flat)
    writer.writerows(zip(*flat.values(), strict=True))
    return out.getvalue()


def _seconds(times: pd.TimedeltaIndex) -> list[str]:
    """Decimal seconds, exact to the nanosecond; NaT is an empty cell."""
    return ["" if t is pd.NaT else f"{t.value / 1e9:.9f}".rstrip("0").rstrip(".") for t in times]


# --- from text to values ------------------------------------------------------------------------


def _labels(
    column: Column,
    label_map: Mapping[str, str] | None,
    labels: Collection[str] | None,
    *,
    required: bool,
) -> list[str]:
    """Emotions in the vocabulary; an empty cell is unlabelled, or an error where required."""
    return column.each(
        lambda t, w: (
            normalise(t, label_map=label_map, labels=labels, where=w)
            if t or required
            else UNLABELLED
        )
    )


def _times(column: Column | None, default: float, n: int, comma: bool) -> Floats:
    """(n,) seconds from decimal seconds or from audformat's ``0 days 00:00:01.5``."""
    if column is None:
        return np.full(n, default)

    def seconds(text: str, place: Place) -> float:
        if "day" in text:
            try:
                return float(pd.Timedelta(text).total_seconds())
            except ValueError as error:
                raise ManifestError(
                    f"{text!r} is no time", where=place, code="bad-times"
                ) from error
        value = _number(text, str(place), comma)
        return default if np.isnan(value) else value

    return column.spread(column.each(seconds), np.float64)


def _files(column: Column, folder: Path) -> tuple[list[str], dict[int, SerfeatError]]:
    """Name of every row below the folder; row -> error where it leads out of it."""
    faults: dict[int, SerfeatError] = {}  # by text

    def name(text: str, place: Place) -> str:
        try:
            return inside(unescaped(text), folder, where=place)
        except ManifestError as error:
            faults[len(faults)] = error
            return f"\0{len(faults) - 1}"

    names = column.each(name)
    wrong: dict[int, SerfeatError] = {}
    for code, found in enumerate(names):
        if found.startswith("\0"):
            names[code] = column.texts[code]
            rows = np.flatnonzero(column.codes == code).tolist()
            wrong |= dict.fromkeys(rows, faults[int(found[1:])])
    return column.spread(names).tolist(), wrong


def _wrong_times(
    cells: Cells, files: list[str], starts: Floats, ends: Floats, *, but: Collection[int]
) -> dict[int, SerfeatError]:
    """Row -> error where start and end make no sense, of rows that have no other error."""
    wrong: dict[int, SerfeatError] = {}
    for i in np.flatnonzero((starts < 0) | (ends <= starts)).tolist():
        if i not in but:
            wrong[i] = ManifestError(
                f"start {starts[i]:g} s and end {ends[i]:g} s of {files[i]!r}: expected "
                "0 <= start < end",
                where=cells.place(i),
                code="bad-times",
                fix="correct them in the manifest",
            )
    return wrong


def _refuse_repeats(cells: Cells, files: list[str], starts: Floats, ends: Floats) -> None:
    """No (file, start, end) twice."""
    numbers: dict[str, int] = {}
    names = np.array([numbers.setdefault(f, len(numbers)) for f in files], dtype=np.int64)
    keys = np.stack([names, starts, np.nan_to_num(ends, nan=-1.0)], axis=1)
    frame = pd.DataFrame(keys)
    again = np.flatnonzero(frame.duplicated().to_numpy())
    if not len(again):
        return
    twice = []
    for i in again[:5].tolist():
        before = int(np.flatnonzero((keys == keys[i]).all(axis=1))[0])
        twice.append(f"line {cells.lines[i]} = line {cells.lines[before]} ({files[i]})")
    more = f" and {len(again) - 5} more" if len(again) > 5 else ""
    raise ManifestError(
        f"repeated rows: {', '.join(twice)}{more}",
        where=cells.path,
        code="duplicate-row",
        fix="remove them; segments of one file need different start or end",
    )


def _is_number(name: str, texts: list[str], numeric: Sequence[str] | None) -> bool:
    if name in TEXT or name == "emotion_code":
        return False
    if name in NUMBERS or name.startswith("votes_"):
        return True
    if numeric is not None:
        return name in numeric
    return any(texts) and all(t == "" or _PLAIN_NUMBER.fullmatch(t) is not None for t in texts)


def _in_column(text: str, place: Place, *, name: str, comma: bool) -> float:
    return _number(text, f"{place}, {name}", comma)


def _number(text: str, where: str, comma: bool) -> float:
    """A finite number, or NaN for an empty cell and for Praat's ``--undefined--``."""
    if text.lower() in ("", "nan", "--undefined--"):
        return float("nan")
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError:
        value = float("inf")
    if not np.isfinite(value):
        raise ManifestError(
            f"{text!r} is not a finite number",
            where=where,
            code="not-a-number",
            fix="leave the cell empty where the value is unknown",
        )
    return value
