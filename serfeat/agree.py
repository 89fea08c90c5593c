"""Agreement: our descriptors against other programs', over recordings, column by column.

Two programs that agree can both be wrong; two that differ cannot both be right about the same
quantity. So this table is no proof but a measuring instrument: it shows at once which numbers are a
convention (they agree to rounding), which depend on the method (they agree to some hertz), and
which share nothing but a name (those are not compared: their columns have names of their own).

Conventions
-----------
Both sides see the same samples (16 kHz, mono) on the same grid. A difference counts where both
values are defined; `alike_percent` says in how many frames both are defined or both are not, which
for F0 is the agreement on voicing. Formants are compared in frames that we call voiced: elsewhere
the poles are noise. A gross error is an F0 more than 20 % off ours; the median in cents includes
these.

Contents
--------
`agree` : the table.   `shown` : the same, rounded for reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from serfeat.audio import load_audio
from serfeat.backends import why_absent
from serfeat.engines import run
from serfeat.errors import FeatureError, SerfeatError
from serfeat.lld import DESCRIPTORS
from serfeat.lld.backends import BACKENDS, require
from serfeat.manifest import Manifest
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import pitch
from serfeat.types import Bools, Floats32

__all__ = ["COLUMNS", "agree", "shown"]

SR = 16_000  # Hz
GROSS = 0.2  # part of ours by which a gross error of F0 is off
VOICED = ("formants",)  # compared where there is a voice
BATCH = 8  # clips per task

COLUMNS = (
    "backend",
    "descriptor",
    "column",
    "unit",
    "over",
    "compared",
    "alike_percent",
    "median",
    "p95",
    "gross_percent",
    "median_cents",
    "note",
)
# What the numbers are called on a terminal.
TITLES = {
    "alike_percent": "alike %",
    "median": "median |d|",
    "p95": "95 % |d|",
    "gross_percent": "gross %",
    "median_cents": "cents",
}


class _Key(NamedTuple):
    backend: str
    descriptor: str
    column: str


@dataclass
class _Found:
    """What one column of a backend gave beside ours, over the clips seen so far."""

    difference: list[Floats32]  # theirs - ours, in the unit of the column
    cents: list[Floats32]  # of an F0; else empty
    alike: int = 0
    frames: int = 0


_Pairs = dict[_Key, _Found]


def agree(
    manifest: Manifest,
    *,
    backends: Sequence[str] | None = None,
    limit: int | None = None,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Compare our descriptors with each backend's over the clips of a manifest.

    Parameters
    ----------
    manifest : the clips.
    backends : keys of `serfeat.lld.backends.BACKENDS`; None is all of them, where one that cannot
        be used here becomes a row with a note.
    limit : clips to use, evenly spread over the manifest; None is all.
    jobs : processes.
    progress : is called with (clips done, clips in all).

    Returns
    -------
    A row per backend and column, with the columns `COLUMNS`: ``compared`` frames (or clips) where
    both are defined; ``median`` and ``p95`` of the absolute difference in ``unit``; for F0
    ``gross_percent`` and ``median_cents``; NaN where there is nothing to say. A ``note`` says what
    was not compared, and why; clips that cannot be read are a note too.

    Raises
    ------
    UnknownNameError, MissingExtraError, FeatureError : a backend that was asked for by name is not
        there, or its licence was not accepted; a limit below 1.
    """
    if limit is not None and limit < 1:
        raise FeatureError(f"a limit of {limit} clips, expected at least 1", code="bad-limit")
    for name in backends or ():
        require(name)
    absent = {} if backends else {b: why for b in BACKENDS if (why := why_absent(b))}
    chosen = [b for b in backends or BACKENDS if b not in absent]
    clips = _spread(manifest, limit)
    tasks = [(clips[i : i + BATCH], chosen) for i in range(0, len(clips), BATCH)]
    pairs, failures, done = _Pairs(), list[str](), 0
    for (batch, _), result in zip(tasks, run(_compare, tasks, jobs=jobs), strict=True):
        if isinstance(result, Exception):
            failures += [f"a worker process died ({type(result).__name__})"] * len(batch)
        else:
            _add(pairs, result[0])
            failures += result[1]
        done += len(batch)
        if progress:
            progress(done, len(clips))
    rows = [_row(key, found) for key, found in pairs.items()]
    rows += [row for b in chosen for row in _not_compared(b)]
    rows += [{"backend": b, "note": why} for b, why in absent.items()]
    if failures:
        rows.append({"note": f"{len(failures)} of {len(clips)} clips failed: {failures[0]}"})
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    texts = ["backend", "descriptor", "column", "unit", "over", "note"]
    table[texts] = table[texts].astype(object).fillna("")
    table["compared"] = table["compared"].fillna(0).astype(np.int64)
    return table


_Clip = tuple[Path, float, float | None]


def _spread(manifest: Manifest, limit: int | None) -> list[_Clip]:
    """Choose clips evenly spread over the manifest: path, start and end (s)."""
    count = len(manifest.rows)
    wanted = count if limit is None else min(limit, count)
    at = np.linspace(0, count - 1, wanted).round().astype(np.int64)
    return [
        (
            manifest.path(file),
            start.total_seconds(),
            None if end is pd.NaT else end.total_seconds(),
        )
        for file, start, end in manifest.rows.index[at]
    ]


def _compare(task: tuple[list[_Clip], list[str]]) -> tuple[_Pairs, list[str]]:
    """Read a batch of clips and compute both sides; runs in a worker."""
    clips, backends = task
    pairs, failures = _Pairs(), []
    for path, start, end in clips:
        try:
            st = ShortTime(load_audio(path, sr=SR, start=start, end=end).x, SR)
            here = _Pairs()
            for backend in backends:
                for theirs in BACKENDS[backend].values():
                    here |= _beside(st, backend, theirs)
            _add(pairs, here)
        except SerfeatError as error:
            failures.append(str(error))
    return pairs, failures


def _shared(theirs: Descriptor) -> dict[str, tuple[int, int]]:
    """Columns that our descriptor of that name has too, with their places in ours and in theirs."""
    ours = DESCRIPTORS.get(theirs.name)
    if ours is None or ours.level != theirs.level:
        return {}
    return {
        c: (ours.columns.index(c), k) for k, c in enumerate(theirs.columns) if c in ours.columns
    }


def _beside(st: ShortTime, backend: str, theirs: Descriptor) -> _Pairs:
    """Put the columns of one descriptor of a backend beside ours, for one clip."""
    shared = _shared(theirs)
    if not shared:
        return {}
    name = theirs.name
    mine = st.memo(("agree", name), lambda: np.atleast_2d(DESCRIPTORS[name](st)))
    other = np.atleast_2d(theirs(st))
    if name in VOICED:
        voiced = pitch(st).voiced
        mine, other = mine[voiced], other[voiced]
    found = _Pairs()
    for column, (i, k) in shared.items():
        a, b = mine[:, i], other[:, k]
        here: Bools = np.isfinite(a)
        there: Bools = np.isfinite(b)
        a, b = a[here & there], b[here & there]
        cents = 1200 * np.log2(b / a) if name.startswith("f0") and column.endswith("_hz") else a[:0]
        found[_Key(backend, name, column)] = _Found(
            [(b - a).astype(np.float32)],
            [cents.astype(np.float32)],
            int((here == there).sum()),
            len(here),
        )
    return found


def _add(pairs: _Pairs, more: _Pairs) -> None:
    for key, found in more.items():
        known = pairs.setdefault(key, _Found([], []))
        known.difference += found.difference
        known.cents += found.cents
        known.alike += found.alike
        known.frames += found.frames


def _row(key: _Key, found: _Found) -> dict[str, object]:
    """One line of the table."""
    descriptor = DESCRIPTORS[key.descriptor]
    difference = np.abs(np.concatenate(found.difference))
    cents = np.concatenate(found.cents)
    over = "clips" if descriptor.level == "clip" else "frames"
    row: dict[str, object] = {
        **key._asdict(),
        "unit": descriptor.units[descriptor.columns.index(key.column)],
        "over": f"voiced {over}" if key.descriptor in VOICED else over,
        "compared": len(difference),
        "alike_percent": 100 * found.alike / found.frames if found.frames else np.nan,
    }
    if len(difference):
        row |= {"median": np.median(difference), "p95": np.percentile(difference, 95)}
    if len(cents):
        gross = (cents > 1200 * np.log2(1 + GROSS)) | (cents < 1200 * np.log2(1 - GROSS))
        row |= {"gross_percent": 100 * gross.mean(), "median_cents": np.median(np.abs(cents))}
    return row


def _not_compared(backend: str) -> list[dict[str, object]]:
    """Rows for the columns of a backend that have no counterpart of ours."""
    rows: list[dict[str, object]] = []
    for theirs in BACKENDS[backend].values():
        if theirs.name not in DESCRIPTORS:
            continue
        rows += [
            {
                "backend": backend,
                "descriptor": theirs.name,
                "column": column,
                "unit": unit,
                "note": f"another quantity than our {' '.join(DESCRIPTORS[theirs.name].columns)}",
            }
            for column, unit in zip(theirs.columns, theirs.units, strict=True)
            if column not in _shared(theirs)
        ]
    return rows


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Round the rows that were compared, for a terminal.

    Returns
    -------
    Text, indexed by backend and column. Of numbered columns (``mfcc_0`` ...) the one with the
    largest median difference stands for all.
    """
    rows = table[table["over"] != ""]
    stem = rows["column"].str.replace(r"_\d+$", "", regex=True)
    together = [rows["backend"], rows["descriptor"], stem]
    size = rows.groupby(together, sort=False)["column"].transform("size")
    median = rows["median"].fillna(-1.0)
    worst = median.groupby(together, sort=False).transform("idxmax")
    rows, size = rows[worst == rows.index], size[worst == rows.index]
    text = rows[["unit", "over"]].assign(both=rows["compared"].map(str))
    for name, title in TITLES.items():
        text[title] = ["" if np.isnan(v) else f"{v:.4g}" for v in rows[name]]
    names = rows["column"] + size.map(lambda n: f" (worst of {n})" if n > 1 else "")
    text.index = pd.Index(rows["backend"] + " " + names, name="backend, column")
    return text
