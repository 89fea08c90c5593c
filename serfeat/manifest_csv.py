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
from pathlib import Path

import numpy as np
import pandas as pd

from serfeat.cells import PURPOSE, read_cells
from serfeat.errors import ManifestError
from serfeat.files import committed, inside
from serfeat.labels import UNLABELLED, UNLABELLED_WORD, normalise, normalise_sex
from serfeat.manifest import NUMBERS, REQUIRED, TEXT, Card, Manifest, refuse_collisions
from serfeat.sidecar import read_sidecar, sidecar_place, write_sidecar
from serfeat.table import INDEX, clip_index

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

    Raises
    ------
    ManifestError : anything that cannot be trusted, with its line.
    UnknownNameError : a label outside the vocabulary, with the nearest known one.
    """
    path = Path(path)
    cells = read_cells(path, encoding=encoding, require=require)
    columns, where, comma = cells.columns, cells.where, cells.separator == ";"
    about = read_sidecar(path, len(where))
    folder = Path(root) if root is not None else path.parent / about.get("root", ".")

    files = [inside(f, folder, where=w) for f, w in zip(columns["file"], where, strict=True)]
    starts = _times(columns.get("start"), 0.0, where, comma)
    ends = _times(columns.get("end"), np.nan, where, comma)
    _check_keys(files, starts, ends, cells.lines, path)
    refuse_collisions(dict.fromkeys(files), where=path)

    rows = pd.DataFrame(index=clip_index(files, starts, ends))
    corpus = str(about.get("corpus", path.stem))
    for name in dict.fromkeys((*REQUIRED, *columns)):
        if name in INDEX:
            continue
        texts = columns.get(name, [corpus if name == "corpus" else ""] * len(files))
        if name == "emotion":
            texts = _labels(texts, where, label_map, labels, required=name in require)
        elif name == "sex":
            texts = [normalise_sex(t, where=w) for t, w in zip(texts, where, strict=True)]
        elif name in require and not all(texts):
            raise ManifestError(
                f"the {name} is empty in {sum(not t for t in texts)} rows",
                where=where[texts.index("")],
                code="missing-value",
                fix=f"fill it ({PURPOSE.get(name, name)})",
            )
        if _is_number(name, texts, about.get("numeric")):
            rows[name] = [
                _number(t, f"{w}, {name}", comma) for t, w in zip(texts, where, strict=True)
            ]
        else:
            rows[name] = pd.Series(texts, rows.index, dtype=object).astype(str)
    card = Card(**about["card"]) if "card" in about else None
    roots = {} if root is not None else about.get("roots", {})
    return Manifest(rows, folder, corpus, card, {k: path.parent / v for k, v in roots.items()})


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Write the rows as CSV and what a CSV cannot hold as ``<stem>.toml`` beside it.

    Returns
    -------
    Path of the CSV.

    Raises
    ------
    ManifestError : no rows; a file name that is not Unicode; a ``<stem>.toml`` that is no side-car.
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
            f"a file name is not Unicode (near {name!r})",
            where=path,
            code="name-not-unicode",
            fix="rename the file",
        ) from error
    with committed(path) as temporary:
        temporary.write_bytes(raw)
    write_sidecar(manifest, path)
    return path


def _to_csv(rows: pd.DataFrame) -> str:
    flat: dict[str, list[str]] = {"file": [str(f) for f in rows.index.get_level_values("file")]}
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
    texts: list[str],
    where: list[str],
    label_map: Mapping[str, str] | None,
    labels: Collection[str] | None,
    *,
    required: bool,
) -> list[str]:
    """Emotions in the vocabulary; an empty cell is unlabelled, or an error where required."""
    return [
        normalise(t, label_map=label_map, labels=labels, where=w) if t or required else UNLABELLED
        for t, w in zip(texts, where, strict=True)
    ]


def _times(
    texts: list[str] | None, default: float, where: list[str], comma: bool
) -> list[float] | None:
    """Seconds from decimal seconds or from audformat's ``0 days 00:00:01.5``."""
    if texts is None:
        return None
    seconds = []
    for text, place in zip(texts, where, strict=True):
        if "day" in text:
            try:
                seconds.append(pd.Timedelta(text).total_seconds())
            except ValueError as error:
                raise ManifestError(
                    f"{text!r} is no time", where=place, code="bad-times"
                ) from error
        else:
            value = _number(text, place, comma)
            seconds.append(default if np.isnan(value) else value)
    return seconds


def _check_keys(
    files: list[str],
    starts: list[float] | None,
    ends: list[float] | None,
    lines: list[int],
    path: Path,
) -> None:
    """Times that make sense, and no (file, start, end) twice."""
    seen: dict[tuple[str, float, float], int] = {}
    twice: list[str] = []
    for i, (file, line) in enumerate(zip(files, lines, strict=True)):
        start = 0.0 if starts is None else starts[i]
        end = float("nan") if ends is None else ends[i]
        if start < 0 or end <= start:
            raise ManifestError(
                f"start {start:g} s and end {end:g} s of {file!r}: expected 0 <= start < end",
                where=f"{path}, line {line}",
                code="bad-times",
            )
        before = seen.setdefault((file, start, -1.0 if np.isnan(end) else end), line)
        if before != line:
            twice.append(f"line {line} = line {before} ({file})")
    if twice:
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise ManifestError(
            f"repeated rows: {', '.join(twice[:5])}{more}",
            where=path,
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
