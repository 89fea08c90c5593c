"""Typed tables on disk, and the store in which computed features are kept.

`write_table` / `read_table`: one table as Parquet (times as timedelta64[ns], a unit per column and
the provenance in the metadata) or as CSV (times in decimal seconds, a side-car with the rest). A
file is written under a unique temporary name, flushed, and renamed: it is there whole or not at
all.

`Store`: a folder of immutable Parquet segments. A row is keyed by the content of the recording and
the segment's bounds; the folder by the feature set's fingerprint (settings, descriptor versions,
libraries). So a changed file or setting is computed anew, an unchanged one never twice, and a run
that was killed goes on where it stopped. Two processes may add at once: they only add segments.

Float columns are encoded with BYTE_STREAM_SPLIT and zstd, without dictionary: 0.64 of the raw size
and 2.7 times faster to write than Parquet's defaults, which are wrong for features.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import StoreError
from serfeat.files import committed, sha256
from serfeat.table import from_csv_times, to_csv_times
from serfeat.types import Floats32

__all__ = ["Row", "Store", "cache_folder", "read_metadata", "read_table", "write_table"]

FORMAT = 1  # of the store; a reader refuses a newer one
GROUP = 1 << 22  # values of a group of a segment: what is in memory beside the table itself


def cache_folder() -> Path:
    """Where features are kept between runs: SERFEAT_CACHE, else the user's cache folder."""
    if given := os.environ.get("SERFEAT_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "serfeat" / "features"


def write_table(
    table: pd.DataFrame,
    path: Path,
    *,
    units: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a table with its units and provenance; the suffix of `path` says the format.

    Raises
    ------
    StoreError : an unknown suffix, or a folder that cannot be written.
    """
    if path.suffix == ".parquet":
        _write_parquet(table, path, dict(units or {}), dict(provenance or {}))
    elif path.suffix == ".csv":
        with committed(path) as temporary:
            to_csv_times(table).to_csv(temporary, index=False, lineterminator="\n")
        meta = {
            "rows": len(table),
            "sha256": sha256(path),
            "units": dict(units or {}),
            "provenance": dict(provenance or {}),
        }
        with committed(_side_car(path)) as temporary:
            temporary.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    else:
        raise StoreError(
            f"cannot write a table as {path.suffix or 'a file without suffix'!r}",
            where=path,
            code="unknown-format",
            fix="use .parquet or .csv",
        )


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote, with its index."""
    if not path.is_file():
        raise StoreError("no such table", where=path, code="missing")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table: pd.DataFrame = pq.read_table(path).to_pandas()
        if isinstance(table.index, pd.MultiIndex):  # pandas 3 reads text as its own dtype
            table.index = table.index.set_levels(table.index.levels[0].astype(object), level=0)
        return table
    flat = pd.read_csv(path, dtype={"file": str}, keep_default_na=False, na_values=[""])
    return from_csv_times(flat)


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the units and the provenance of a table: keys ``units`` and ``provenance``."""
    if path.suffix == ".csv":
        found: dict[str, Any] = json.loads(_side_car(path).read_text(encoding="utf-8"))
        return found
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    units = {
        field.name: field.metadata[b"unit"].decode()
        for field in schema
        if field.metadata and b"unit" in field.metadata
    }
    return {"units": units, "provenance": json.loads(schema.metadata.get(b"serfeat", b"{}"))}


def _side_car(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_parquet(
    table: pd.DataFrame, path: Path, units: dict[str, str], provenance: dict[str, Any]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table)
    fields = [
        f.with_metadata({b"unit": units[f.name].encode()}) if f.name in units else f
        for f in arrow.schema
    ]
    metadata = {**(arrow.schema.metadata or {}), b"serfeat": json.dumps(provenance).encode()}
    arrow = arrow.cast(pa.schema(fields, metadata=metadata))
    floats = [f.name for f in fields if pa.types.is_floating(f.type)]
    with committed(path) as temporary:
        pq.write_table(
            arrow,
            temporary,
            compression="zstd",
            use_dictionary=[f.name for f in fields if f.name not in floats],
            use_byte_stream_split=floats,
            write_page_checksum=True,
        )


@dataclass(frozen=True)
class Row:
    """The features of one clip as they are kept.

    Parameters
    ----------
    key : content hash and bounds of the clip, see `Store.key`.
    values : (rows, columns) float32; one row for functionals, one per frame for LLD.
    flags : what was odd about the recording.
    seconds : s of audio that were analysed.
    """

    key: str
    values: Floats32
    flags: tuple[str, ...] = ()
    seconds: float = 0.0


class Store:
    """Features of one set at one level, in a folder of immutable segments.

    Parameters
    ----------
    folder : is made if it is not there.
    columns : of the values; written into ``store.json`` for a reader.
    description : anything else worth knowing about the set (name, units, versions).
    """

    def __init__(
        self, folder: Path, columns: tuple[str, ...], description: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.columns = columns
        head = folder / "store.json"
        if not head.exists():
            card = {"format": FORMAT, "columns": list(columns), **(description or {})}
            with committed(head) as temporary:
                temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        card = json.loads(head.read_text(encoding="utf-8"))
        if card["format"] > FORMAT or tuple(card["columns"]) != columns:
            raise StoreError(
                f"holds format {card['format']} with {len(card['columns'])} columns, expected "
                f"format {FORMAT} with {len(columns)}",
                where=folder,
                code="other-store",
                fix="delete the folder or set SERFEAT_CACHE to another",
            )

    @staticmethod
    def key(content: str, start: float, end: float) -> str:
        """Key of a clip: SHA-256 of the file's bytes and the bounds in nanoseconds."""
        stop = "" if np.isnan(end) else str(round(end * 1e9))
        return f"{content}:{round(start * 1e9)}:{stop}"

    def add(self, rows: Iterable[Row]) -> None:
        """Commit rows as one new segment, named after what it holds."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        batch = list(rows)
        if not batch:
            return
        name = hashlib.sha256("\n".join(r.key for r in batch).encode()).hexdigest()[:16]
        schema = pa.schema(
            {
                "key": pa.string(),
                "flags": pa.string(),
                "seconds": pa.float64(),
                "n": pa.int32(),
                "values": pa.list_(pa.float32()),
            }
        )
        with (
            committed(self.folder / f"seg-{name}.parquet") as temporary,
            pq.ParquetWriter(
                temporary,
                schema,
                compression="zstd",
                use_dictionary=False,
                column_encoding={"values.list.element": "BYTE_STREAM_SPLIT"},
                write_page_checksum=True,
            ) as writer,
        ):
            for parts in _parts(batch):
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

    def keys(self) -> set[str]:
        """Every key that the store holds."""
        import pyarrow.parquet as pq

        return {key for segment in self._segments() for key in self._sizes(segment, pq)}

    def rows(self, wanted: Iterable[str]) -> dict[str, Row]:
        """Read the rows of some keys; a key that is not there is not in the result."""
        import pyarrow.parquet as pq

        found: dict[str, Row] = {}
        missing = set(wanted)
        for segment in self._segments():
            # The keys alone first: a store may hold many corpora, and most segments are not ours.
            sizes = self._sizes(segment, pq)
            if not missing.isdisjoint(sizes):
                found |= self._rows(segment, pq, {k: sizes[k] for k in missing & sizes.keys()})
                missing -= found.keys()
        return found

    def _sizes(self, segment: Path, pq: Any) -> dict[str, int]:
        """Key -> number of rows of values, of every clip of a segment."""
        sizes: dict[str, int] = {}
        for table in self._groups(segment, pq, ["key", "n"]):
            for key, n in zip(table["key"].to_pylist(), table["n"].to_pylist(), strict=True):
                sizes[key] = sizes.get(key, 0) + n
        return sizes

    def _rows(self, segment: Path, pq: Any, sizes: Mapping[str, int]) -> dict[str, Row]:
        """Read some clips of a segment, one group at a time: a long one is in memory once."""
        width = len(self.columns)
        found: dict[str, Row] = {}
        filled = dict.fromkeys(sizes, 0)
        for table in self._groups(segment, pq):
            values = table["values"].combine_chunks()
            flat, offsets = values.values.to_numpy(), values.offsets.to_numpy()
            flags, seconds = table["flags"].to_pylist(), table["seconds"].to_pylist()
            for i, key in enumerate(table["key"].to_pylist()):
                if key not in sizes:
                    continue
                if key not in found:
                    odd = tuple(flags[i].split("; ")) if flags[i] else ()
                    whole = np.empty((sizes[key], width), dtype=np.float32)
                    found[key] = Row(key, whole, odd, seconds[i])
                part = flat[offsets[i] : offsets[i + 1]].reshape(-1, width)
                found[key].values[filled[key] : filled[key] + len(part)] = part
                filled[key] += len(part)
        # A segment whose later groups are damaged has clips that are not whole.
        return {key: row for key, row in found.items() if filled[key] == sizes[key]}

    def _segments(self) -> list[Path]:
        return sorted(self.folder.glob("seg-*.parquet"))

    def _groups(self, segment: Path, pq: Any, columns: list[str] | None = None) -> Iterator[Any]:
        """Yield the groups of a segment, as tables."""
        import pyarrow as pa

        try:
            with pq.ParquetFile(segment, page_checksum_verification=True) as file:
                for i in range(file.num_row_groups):
                    yield file.read_row_group(i, columns=columns)
        except (OSError, pa.ArrowException):
            # A damaged segment costs its rows, which are computed again, never the store.
            segment.rename(segment.with_suffix(".damaged"))


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
