"""What is exported: a table, checked once, in the pieces that the formats ask for.

Conventions
-----------
* A table is one of `serfeat.table`: a row per clip (functionals) or per frame (LLD, with `time`).
  The frames of a clip stand together, in the order of their time.
* Labels belong to clips: a frame has those of its clip. The first column is the target of formats
  that know one (ARFF, LIBSVM). Text labels are classes, sorted; the empty text is "no label".
* Times leave as decimal seconds, exact to the nanosecond; an end that is NaT ("to the end of the
  file") is an empty cell or NaN.
* Numbers are written with the fewest digits that read back as the same float32 (or float64).

Contents
--------
`Content`, `gather`      : the table with its units, provenance and labels; what is wrong with it.
`labels_of`              : columns of a manifest for the rows of a table.
`label_text`             : a label as text.
`seconds`, `seconds_text`: times as numbers and as text.
`number_rows`            : the values as text, some rows at a time.
`refuse`                 : the error for what a format cannot hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from serfeat.errors import StoreError, did_you_mean
from serfeat.manifest import Manifest
from serfeat.table import INDEX
from serfeat.types import Floats, Ints, Progress, Reals

__all__ = [
    "Content",
    "gather",
    "label_text",
    "labels_of",
    "number_rows",
    "refuse",
    "seconds",
    "seconds_text",
]

NAT = np.iinfo(np.int64).min  # how NaT is held in timedelta64
CELLS = 1 << 18  # that are turned into text at a time


@dataclass(frozen=True)
class Content:
    """A table and what belongs to it.

    Parameters
    ----------
    table : numeric, on the index (file, start, end) or (file, start, end, time).
    units : column -> unit, "" where it is not known.
    provenance : how the numbers were made.
    labels : one row per clip, in the order of `clips`; columns of text or of numbers.
    clips : (n,) the clips, in the order of the table.
    offsets : (n + 1,) the rows of clip i are ``offsets[i]:offsets[i + 1]``.
    progress : is told by the formats that write text, which take long.
    """

    table: pd.DataFrame
    units: Mapping[str, str]
    provenance: Mapping[str, Any]
    labels: pd.DataFrame
    clips: pd.MultiIndex
    offsets: Ints
    progress: Progress | None = None

    @property
    def step(self) -> int:
        """Rows that are turned into text at a time."""
        return max(1, CELLS // max(1, len(self.columns)))

    def tell(self, done: int) -> None:
        """Tell who waits how many rows are written."""
        if self.progress is not None:
            self.progress(done, len(self.table))

    @property
    def level(self) -> Literal["functionals", "lld"]:
        """Whether a row is a clip or a frame."""
        return "lld" if "time" in self.table.index.names else "functionals"

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [str(c) for c in self.table.columns]

    @cached_property
    def values(self) -> Reals:
        """(rows, columns): float32 if every column is, else float64."""
        narrow = all(d == np.float32 for d in self.table.dtypes)
        return np.ascontiguousarray(self.table.to_numpy(np.float32 if narrow else np.float64))

    @property
    def files(self) -> list[str]:
        """(n,) the file of each clip."""
        return [str(f) for f in self.clips.get_level_values("file")]

    def times(self, name: str) -> pd.TimedeltaIndex:
        """(n,) ``start`` or ``end`` of each clip, or (rows,) ``time`` of each frame."""
        index = self.table.index if name == "time" else self.clips
        return pd.TimedeltaIndex(index.get_level_values(name))

    @property
    def row_clips(self) -> Ints:
        """(rows,) the number of the clip that each row belongs to."""
        return np.repeat(np.arange(len(self.clips)), np.diff(self.offsets))

    def classes(self, name: str) -> list[str] | None:
        """The sorted labels of a text column; None for a column of numbers."""
        if pd.api.types.is_numeric_dtype(self.labels[name].dtype):
            return None
        return sorted({label_text(v) for v in self.labels[name]} - {""})

    def codes(self, name: str) -> Floats:
        """(n,) the class number of each clip, from 0, NaN without label; or the numbers."""
        classes = self.classes(name)
        if classes is None:
            return np.asarray(self.labels[name], dtype=np.float64)
        number = {label: float(i) for i, label in enumerate(classes)}
        return np.array([number.get(label_text(v), np.nan) for v in self.labels[name]])


def gather(
    table: pd.DataFrame,
    *,
    units: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    labels: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> Content:
    """Check a table and its labels.

    Parameters
    ----------
    labels : on the index (file, start, end), in any order; every clip of the table is in it.
    progress : see `Content`.

    Raises
    ------
    StoreError : another index, no rows or columns, a column that is not numeric, a name that occurs
        twice among columns, labels and index, a clip twice, frames of a clip apart or out of order,
        a name that is not Unicode, clips without labels.
    """
    names = tuple(table.index.names)
    if names not in (INDEX, (*INDEX, "time")):
        raise refuse(f"the index is {names}, expected {INDEX} and, for frames, time", "wrong-index")
    if not len(table) or not table.shape[1]:
        raise refuse(f"{len(table)} rows and {table.shape[1]} columns", "no-rows")
    kinds = zip(table.columns, table.dtypes, strict=True)
    words = [c for c, kind in kinds if not pd.api.types.is_numeric_dtype(kind)]
    if words:
        raise refuse(f"column {words[0]!r} holds no numbers", "not-numeric")
    clips, offsets = _clips(table)
    joined = _joined(labels, clips)
    everything = [*INDEX, "time", *map(str, joined), *map(str, table.columns)]
    if len(set(everything)) < len(everything):
        both = next(n for i, n in enumerate(everything) if n in everything[:i])
        raise refuse(f"two columns would be called {both!r}", "columns", fix="rename one")
    texts = [*clips.get_level_values("file"), *table.columns, *joined.columns]
    texts += [v for c in joined for v in joined[c] if isinstance(v, str)]
    for text in texts:
        try:
            str(text).encode("utf-8")
        except UnicodeEncodeError:
            raise refuse(f"the name {text!r} is not Unicode", "name-not-unicode") from None
    known = {str(c): str((units or {}).get(c, "")) for c in table.columns}
    return Content(table, known, dict(provenance or {}), joined, clips, offsets, progress)


def _clips(table: pd.DataFrame) -> tuple[pd.MultiIndex, Ints]:
    """The clips in the order of the table, and where the rows of each begin."""
    index = table.index
    frames = "time" in index.names
    codes = np.stack([np.asarray(index.codes[i]) for i in range(len(INDEX))])
    new = (np.diff(codes, axis=1) != 0).any(axis=0)
    changes = np.flatnonzero(new | (not frames)) + 1  # without frames each row is a clip
    offsets = np.concatenate([[0], changes, [len(table)]]).astype(np.int64)
    firsts = index[offsets[:-1]]
    clips = firsts.droplevel("time") if frames else firsts
    if clips.has_duplicates:
        what = "the frames of a clip do not stand together" if frames else "a clip occurs twice"
        raise refuse(what, "duplicate-row")
    if frames:
        steps = np.diff(pd.TimedeltaIndex(index.get_level_values("time")).asi8)
        steps[changes - 1] = 1  # from one clip to the next
        if (steps <= 0).any():
            raise refuse("the frames of a clip are not in the order of their time", "bad-times")
    return clips, offsets


def _joined(labels: pd.DataFrame | None, clips: pd.MultiIndex) -> pd.DataFrame:
    """The labels in the order of the clips."""
    if labels is None:
        return pd.DataFrame(index=clips)
    if tuple(labels.index.names) != INDEX or labels.index.has_duplicates:
        raise refuse(f"labels need the index {INDEX}, each clip once", "wrong-index")
    where = labels.index.get_indexer(clips)
    if (where < 0).any():
        first = clips[int(np.argmax(where < 0))][0]
        raise refuse(
            f"{int((where < 0).sum())} of {len(clips)} clips have no labels, the first is "
            f"{first!r}",
            "no-labels",
            fix="give the manifest that the table was made from",
        )
    return labels.iloc[where]


def labels_of(
    table: pd.DataFrame, manifest: Manifest, columns: Sequence[str] = ("emotion",)
) -> pd.DataFrame:
    """Columns of a manifest for the clips of a table; the first is the target.

    Raises
    ------
    UnknownNameError : a column that the manifest does not have.
    StoreError : clips that the manifest does not have.
    """
    for column in columns:
        if column not in manifest.rows.columns:
            raise did_you_mean(
                "column", column, map(str, manifest.rows.columns), where=manifest.name
            )
    return _joined(manifest.rows[list(columns)], _clips(table)[0])


def refuse(message: str, code: str, *, where: object = "", fix: str = "") -> StoreError:
    """Make the error for what cannot be exported."""
    return StoreError(message, where=where, code=code, fix=fix)


def label_text(value: object) -> str:
    """A label as text; a missing one is empty."""
    return "" if pd.isna(value) else str(value)


def seconds(times: pd.TimedeltaIndex) -> Floats:
    """Seconds as float64; NaT is NaN."""
    ns = times.as_unit("ns").asi8
    return np.where(ns == NAT, np.nan, ns / 1e9)


def seconds_text(times: pd.TimedeltaIndex, missing: str = "") -> list[str]:
    """Decimal seconds, exact to the nanosecond; NaT is `missing`."""
    out = []
    for ns in times.as_unit("ns").asi8.tolist():
        whole, rest = divmod(abs(ns), 10**9)
        sign = "-" if ns < 0 else ""
        text = f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")
        out.append(missing if ns == NAT else text)
    return out


def number_rows(content: Content, *, missing: str, where: object) -> Iterator[list[str]]:
    """Yield the values row by row as text.

    Parameters
    ----------
    missing : what NaN is written as.

    Raises
    ------
    StoreError : an infinite number, which no text format holds.
    """
    values = content.values
    infinite = np.isinf(values).any(axis=0)
    if infinite.any():
        column = content.columns[int(np.argmax(infinite))]
        raise refuse(f"column {column!r} holds an infinite number", "not-finite", where=where)
    for first in range(0, len(values), content.step):
        content.tell(first)
        block = values[first : first + content.step]
        texts = block.astype(str).astype(object)
        texts[np.isnan(block)] = missing
        yield from texts.tolist()
    content.tell(len(values))
