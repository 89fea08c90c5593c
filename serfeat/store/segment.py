"""One segment: the rows of a batch, or the failures of one, in a Parquet file that never changes.

Conventions
-----------
A segment is named after the SHA-256 of its own bytes, ``seg-<32 hex digits>.parquet``: whether it
is still what was written can be told from the file alone. (Stores of serfeat 0.1 named segments
after their keys, with 16 digits; they are read, and have no checksum of the whole file.)

A segment's groups hold about `GROUP` values each, so that one long recording is never in memory
twice; the parts of a clip follow each other under its key.

Contents
--------
`Row`, `FailedRow`                    : what is kept of a clip.
`write_segment`, `write_failures`     : commit one file.
`sizes_of`, `rows_of`, `failures_of`  : read one; `Damaged` if it is not what was written.
`checked`, `problems_of`              : compare it with its name, and with its own schema.
`kept_in`                             : its keys, where its name vouches for the values.
"""

from __future__ import annotations

import hashlib
import platform
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from serfeat.files import committed_as, sha256
from serfeat.types import Floats32

__all__ = [
    "GROUP",
    "Damaged",
    "FailedRow",
    "Row",
    "checked",
    "failures_of",
    "kept_in",
    "problems_of",
    "rows_of",
    "sizes_of",
    "write_failures",
    "write_segment",
]

GROUP = 1 << 20  # values of a group of a segment: what is in memory beside the table itself
DIGITS = 32  # of the checksum in a segment's name


class Damaged(Exception):  # noqa: N818  (a finding about a file, caught inside the store)
    """A segment that is not what was written."""


@dataclass(frozen=True)
class Row:
    """The features of one clip as they are kept.

    Parameters
    ----------
    key : content hash and bounds of the clip, see `serfeat.store.Store.key`.
    values : (rows, columns) float32; one row for functionals, one per frame for LLD.
    flags : what was odd about the recording.
    seconds : s of audio that were analysed.
    """

    key: str
    values: Floats32
    flags: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class FailedRow:
    """Why one clip has no features.

    Parameters
    ----------
    key : as in `Row`.
    stage, reason, message : see `serfeat.extract.Failure`.
    by : the software that failed; another version is given another try.
    """

    key: str
    stage: str
    reason: str
    message: str
    by: str


# --- writing --------------------------------------------------------------------------------------


def write_segment(folder: Path, rows: Iterable[Row], *, compaction: bool = False) -> Path:
    """Commit rows as one new segment and return its path.

    A segment that is made of others (`compaction`) carries a random number: were its bytes, and so
    its name, those of a segment that another process is about to remove, its rows would go with it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = {"serfeat": version("serfeat"), "python": platform.python_version()}
    made |= {"machine": platform.machine(), "system": platform.system()}
    if compaction:
        made["compaction"] = secrets.token_hex(8)
    schema = _schema(pa).with_metadata(made)
    found: list[Path] = []

    def name(digest: str) -> str:
        found.append(folder / f"seg-{digest[:DIGITS]}.parquet")
        return found[0].name

    with (
        committed_as(folder, name) as stream,
        pq.ParquetWriter(
            stream,
            schema,
            compression="zstd",
            use_dictionary=False,
            column_encoding={"values.list.element": "BYTE_STREAM_SPLIT"},
            write_page_checksum=True,
        ) as writer,
    ):
        for parts in _parts(rows):
            values = [p.values.reshape(-1) for p in parts]
            offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
            lists = pa.ListArray.from_arrays(offsets, pa.array(np.concatenate(values)))
            columns = [
                [p.key for p in parts],
                ["; ".join(p.flags) for p in parts],
                [p.seconds for p in parts],
                pa.array([len(p.values) for p in parts], pa.int32()),
                lists,
            ]
            writer.write_table(pa.table(columns, schema=schema))
            if len(parts) == 1:  # of one long clip: Arrow would keep what it has taken for it
                del values, lists, columns
                pa.default_memory_pool().release_unused()
    return found[0]


def write_failures(folder: Path, rows: Sequence[FailedRow]) -> None:
    """Commit failures as one new file, ``failed-<32 hex digits>.parquet``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(FailedRow.__dataclass_fields__)
    # A name that is no UTF-8 has surrogates in it, which Parquet's text does not take.
    columns = [[getattr(r, n).encode("utf-8", "backslashreplace") for r in rows] for n in names]
    table = pa.table([pa.array(c, pa.binary()).cast(pa.string()) for c in columns], names=names)
    with committed_as(folder, lambda digest: f"failed-{digest[:DIGITS]}.parquet") as stream:
        pq.write_table(table, stream, compression="zstd", write_page_checksum=True)


def _schema(pa: Any) -> Any:
    return pa.schema(
        {
            "key": pa.string(),
            "flags": pa.string(),
            "seconds": pa.float64(),
            "n": pa.int32(),
            "values": pa.list_(pa.float32()),
        }
    )


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Cut long rows and gather short ones, so that each list holds about `GROUP` values.

    The parts of a clip follow each other under its key; a clip that fits is never cut.
    """
    gathered: list[Row] = []
    room = GROUP
    for row in rows:
        values = np.asarray(row.values, dtype=np.float32)
        step = max(1, GROUP // max(values.shape[1], 1))
        for first in range(0, max(len(values), 1), step):
            part = values[first : first + step]
            if gathered and part.size > room:
                yield gathered
                gathered, room = [], GROUP
            gathered.append(Row(row.key, part, row.flags, row.seconds))
            room -= part.size
    if gathered:
        yield gathered


# --- reading --------------------------------------------------------------------------------------


def sizes_of(segment: Path) -> dict[str, int]:
    """Key -> number of rows of values, of every clip of a segment."""
    sizes: dict[str, int] = {}
    for table in _groups(segment, ["key", "n"]):
        for key, n in zip(table["key"].to_pylist(), table["n"].to_pylist(), strict=True):
            sizes[key] = sizes.get(key, 0) + n
    return sizes


def rows_of(segment: Path, sizes: Mapping[str, int], width: int) -> Iterator[Row]:
    """Yield some clips of a segment, each as soon as it is whole.

    Parameters
    ----------
    sizes : the clips that are wanted and how many rows of values each has, from `sizes_of`.
    width : columns.
    """
    begun: dict[str, Row] = {}
    filled = dict.fromkeys(sizes, 0)
    for table in _groups(segment):
        values = table["values"].combine_chunks()
        flat, offsets = values.values.to_numpy(), values.offsets.to_numpy()
        flags, seconds = table["flags"].to_pylist(), table["seconds"].to_pylist()
        for i, key in enumerate(table["key"].to_pylist()):
            if key not in sizes:
                continue
            if key not in begun:
                odd = tuple(flags[i].split("; ")) if flags[i] else ()
                whole = np.empty((sizes[key], width), dtype=np.float32)
                begun[key] = Row(key, whole, odd, seconds[i])
            part = flat[offsets[i] : offsets[i + 1]].reshape(-1, width)
            begun[key].values[filled[key] : filled[key] + len(part)] = part
            filled[key] += len(part)
            if filled[key] == sizes[key]:
                yield begun.pop(key)


def failures_of(path: Path) -> list[FailedRow]:
    """Read the failures of one batch."""
    return [FailedRow(**row) for table in _groups(path) for row in table.to_pylist()]


def _groups(segment: Path, columns: list[str] | None = None) -> Iterator[Any]:
    """Yield the groups of a segment, as tables.

    Raises
    ------
    Damaged : the file is not what was written.
    FileNotFoundError : it is not there any more, as after a compaction.
    OSError : the disk, not the file, is at fault; nothing may be concluded about the segment.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with segment.open("rb") as stream:
        try:
            with pq.ParquetFile(stream, page_checksum_verification=True, pre_buffer=False) as file:
                for i in range(file.num_row_groups):
                    yield file.read_row_group(i, columns=columns, use_threads=False)
                    if i:  # Arrow would keep what the group before has taken
                        pa.default_memory_pool().release_unused()
        except pa.ArrowMemoryError:
            raise
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            # Arrow calls a wrong checksum an OSError too, but one without the system's number.
            if isinstance(error, OSError) and error.errno:
                raise
            raise Damaged(" ".join(str(error).split()) or type(error).__name__) from None


# --- checking -------------------------------------------------------------------------------------


def checked(segment: Path) -> bool | None:
    """Whether the file's bytes have the checksum in its name; None if its name has none."""
    digits = segment.stem.partition("-")[2]
    if len(digits) != DIGITS:
        return None
    return sha256(segment)[:DIGITS] == digits


def kept_in(segment: Path, width: int) -> dict[str, int] | None:
    """Say what a segment holds from its bytes' checksum and its keys, without its values.

    The values are what was written if the bytes are: decoding them would take four times as long as
    the checksum and tell nothing more.

    Returns
    -------
    Key -> number of rows of values; None where that says too little: no checksum in the name, a
    wrong one, or anything odd. `problems_of` says what it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    digits = segment.stem.partition("-")[2]
    raw = segment.read_bytes()
    if len(digits) != DIGITS or hashlib.sha256(raw).hexdigest()[:DIGITS] != digits:
        return None
    sizes: dict[str, int] = {}
    try:
        with pq.ParquetFile(pa.BufferReader(raw), pre_buffer=False) as file:
            if not file.schema_arrow.equals(_schema(pa)):
                return None
            table = file.read(columns=["key", "n"], use_threads=False)
            groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
            values = sum(g.column(g.num_columns - 1).num_values for g in groups)
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return None
    counts = table["n"].to_pylist()
    if 0 in counts or sum(counts) * width != values:
        return None
    for key, n in zip(table["key"].to_pylist(), counts, strict=True):
        sizes[key] = sizes.get(key, 0) + n
    return sizes


def problems_of(segment: Path, width: int) -> tuple[list[str], dict[str, tuple[int, bytes]]]:
    """Read a segment whole and say what is wrong with it.

    Returns
    -------
    problems : words, none if it is good.
    digests : key -> (rows of values, BLAKE2 of the values), to compare with other segments.
    """
    import pyarrow as pa

    if checked(segment) is False:
        return ["its bytes are not those that were written (SHA-256)"], {}
    rows: dict[str, int] = {}
    hashes: dict[str, Any] = {}
    expected = _schema(pa)
    try:
        for table in _groups(segment):
            if not table.schema.equals(expected):
                return [f"its columns are {table.schema.names}, expected {expected.names}"], {}
            values = table["values"].combine_chunks()
            flat, offsets = values.values.to_numpy(), values.offsets.to_numpy()
            counts = table["n"].to_numpy()
            wrong = np.flatnonzero(np.diff(offsets) != counts.astype(np.int64) * width)
            keys = table["key"].to_pylist()
            if len(wrong):
                i = int(wrong[0])
                said = f"{counts[i]} x {width}"
                size = offsets[i + 1] - offsets[i]
                return [f"clip {keys[i]} has {size} values, expected {said}"], {}
            for i, key in enumerate(keys):
                rows[key] = rows.get(key, 0) + int(counts[i])
                hashes.setdefault(key, hashlib.blake2b(digest_size=16)).update(
                    np.ascontiguousarray(flat[offsets[i] : offsets[i + 1]])
                )
    except Damaged as error:
        return [f"cannot be read ({error})"], {}
    return [], {key: (rows[key], h.digest()) for key, h in hashes.items()}
