"""The index of every table: ``file, start, end`` and, for frames, ``time``.

A table is a plain pandas DataFrame. The index follows audformat's segmented convention: `file` is
text, `start` and `end` are ``timedelta64[ns]``, and ``end = NaT`` means "to the end of the file".
The index comes from the manifest alone: extractors return arrays and never build it, so that the
columns of different extractors join exactly. CSV holds times as decimal seconds, because a
spreadsheet cannot read ``0 days 00:00:01``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from serfeat.errors import ManifestError
from serfeat.types import Floats

__all__ = [
    "INDEX",
    "clip_index",
    "escaped",
    "frame_index",
    "from_csv_times",
    "renamed",
    "to_csv_times",
    "unescaped",
]

INDEX = ("file", "start", "end")


# Bytes of a name that are not UTF-8 are lone surrogates in Python (PEP 383); no file holds these.
_BYTE = re.compile("[\udc80-\udcff]")
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")


def escaped(name: str) -> str:
    r"""Return a file name as text that can be written: a byte that is not UTF-8 becomes ``\udcff``.

    >>> escaped("bad\udcff.wav") == "bad\\udcff.wav"
    True
    """
    return _BYTE.sub(lambda m: f"\\u{ord(m[0]):x}", name)


def unescaped(name: str) -> str:
    """Undo `escaped`: the name under which the file is opened."""
    return _ESCAPED.sub(lambda m: chr(0xDC00 + int(m[1], 16)), name) if "\\udc" in name else name


def renamed(index: pd.MultiIndex, rule: Callable[[str], str]) -> pd.MultiIndex:
    """Return an index with other names of files; its codes stay."""
    names = pd.Index([rule(str(name)) for name in index.levels[0]], dtype=object)
    return index.set_levels(names, level=0)


def clip_index(
    files: Iterable[str], starts: Iterable[float] | None = None, ends: Iterable[float] | None = None
) -> pd.MultiIndex:
    """Make the utterance-level index; the only constructor, so that dtypes are the same everywhere.

    Parameters
    ----------
    files : (n,) text, relative to the manifest's root.
    starts : (n,) s, default 0.
    ends : (n,) s, NaN or default: to the end of the file.

    Returns
    -------
    MultiIndex of (file: object, start: timedelta64[ns], end: timedelta64[ns]).

    Raises
    ------
    ManifestError : a (file, start, end) that occurs twice.
    """
    names = pd.array([str(f) for f in files], dtype=object)
    n = len(names)
    start = _seconds(np.zeros(n) if starts is None else starts)
    end = _seconds(np.full(n, np.nan) if ends is None else ends)
    index = pd.MultiIndex.from_arrays([pd.Index(names, dtype=object), start, end], names=INDEX)
    twice = index[index.duplicated()]
    if len(twice):
        raise ManifestError(
            f"{len(twice)} rows have a (file, start, end) that occurs before, "
            f"the first is {twice[0][0]!r}",
            code="duplicate-row",
            fix="remove the repeated rows",
        )
    return index


def frame_index(clips: pd.MultiIndex, n_frames: Sequence[int], hop: float) -> pd.MultiIndex:
    """Repeat each clip's key once per frame and add the frame's time.

    Parameters
    ----------
    clips : (n,) the utterance-level index.
    n_frames : (n,) frames of each clip.
    hop : s between frames; frame i of a clip is centred on start + i * hop.

    Returns
    -------
    MultiIndex of (file, start, end, time: timedelta64[ns] since the beginning of the file).
    """
    counts = np.asarray(n_frames, dtype=np.int64)
    row = np.repeat(np.arange(len(clips)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = clips.get_level_values("start")[row]
    time = start + pd.TimedeltaIndex(np.round(within * hop * 1e9).astype("timedelta64[ns]"))
    arrays = [clips.get_level_values(name)[row] for name in INDEX]
    return pd.MultiIndex.from_arrays([*arrays, time], names=[*INDEX, "time"])


def to_csv_times(table: pd.DataFrame) -> pd.DataFrame:
    """Turn the index into columns, with times as decimal seconds (NaT becomes an empty cell)."""
    if isinstance(table.index, pd.MultiIndex):
        table = table.set_axis(renamed(table.index, escaped))
    flat = table.reset_index()
    for name in ("start", "end", "time"):
        if name in flat.columns:
            flat[name] = flat[name].dt.total_seconds()
    return flat


def from_csv_times(flat: pd.DataFrame) -> pd.DataFrame:
    """Undo `to_csv_times`: set the index again from its columns."""
    files = pd.array([unescaped(str(name)) for name in flat["file"]], dtype=object)
    index = clip_index(files, flat["start"], flat["end"]) if "time" not in flat else None
    if index is None:
        columns = [pd.Index(files, dtype=object)]
        columns += [_seconds(flat[name]) for name in ("start", "end", "time")]
        index = pd.MultiIndex.from_arrays(columns, names=[*INDEX, "time"])
    table = flat.drop(columns=[c for c in (*INDEX, "time") if c in flat])
    table.index = index
    return table


def _seconds(values: Iterable[float]) -> pd.TimedeltaIndex:
    """Seconds as timedelta64[ns], rounded to the nanosecond; NaN becomes NaT."""
    seconds: Floats = np.asarray(list(values), dtype=np.float64)
    ns = np.full(len(seconds), np.iinfo(np.int64).min, dtype=np.int64)  # NaT
    known = np.isfinite(seconds)
    ns[known] = np.round(seconds[known] * 1e9).astype(np.int64)
    return pd.TimedeltaIndex(ns.view("timedelta64[ns]"))
