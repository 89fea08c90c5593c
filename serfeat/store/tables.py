"""Typed tables on disk: one file, written whole, with its units and how it was made.

Parquet has times as timedelta64[ns], a unit per column and the provenance in its metadata; CSV has
decimal seconds, and a side-car with the rest and a checksum. Float columns are encoded with
BYTE_STREAM_SPLIT and zstd, without dictionary: see `serfeat.store`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serfeat.errors import StoreError
from serfeat.files import committed, sha256

# A worker writes no tables: pandas is imported by who does.
if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "read_arrow",
    "read_metadata",
    "read_parquet",
    "read_table",
    "require_as_written",
    "require_ended",
    "write_table",
]

# Columns that are names, however much they look like numbers.
NAMES = ("file", "speaker", "text_id", "session")


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
        from serfeat.table import to_csv_times

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
    """Read a table that `write_table` wrote, with its index.

    A CSV that was exported with labels has those as text that its side-car calls classes, and with
    or without one the speaker, the sentence and the session: speaker ``03`` is not the number 3.

    Raises
    ------
    StoreError : no such table, or a CSV that was cut: see `require_ended`, `require_as_written`.
    """
    if not path.is_file():
        raise StoreError("no such table", where=path, code="missing")
    import pandas as pd

    from serfeat.table import from_csv_times, renamed, unescaped

    if path.suffix == ".parquet":
        table = read_parquet(path)
        if isinstance(table.index, pd.MultiIndex):  # pandas 3 reads text as its own dtype
            table.index = renamed(table.index, unescaped)
        return table
    require_ended(path)
    words = dict.fromkeys((*NAMES, *_classes(path)), str)
    flat = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""])
    require_as_written(path, len(flat))
    return from_csv_times(flat)


def read_arrow(path: Path) -> Any:
    """Read a Parquet file as a `pyarrow.Table`, in this thread alone.

    Arrow's own threads outlive the reading. Others report that one of them is sometimes not ready
    for the end of the process, which then aborts (https://github.com/apache/arrow/issues/34314) or
    hangs (.../50482) after its work is done.

    Raises
    ------
    OSError, ValueError : no such file; no Parquet, or a damaged one (Arrow's errors are of these).
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        return file.read(use_threads=False)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file of anybody's as it stands there; errors as of `read_arrow`."""
    table: pd.DataFrame = read_arrow(path).to_pandas(use_threads=False)
    return table


def require_ended(path: Path) -> None:
    """Refuse a CSV whose last row does not end: of a number that was cut, another one is left.

    Raises
    ------
    StoreError : with the code no-final-newline.
    """
    with path.open("rb") as stream:
        stream.seek(max(stream.seek(0, 2) - 1, 0))
        if stream.read(1) not in (b"", b"\n", b"\r"):
            raise StoreError(
                "no newline after the last row, so the file may have been cut",
                where=path,
                code="no-final-newline",
                fix="check the last row and end it with a newline",
            )


def require_as_written(path: Path, rows: int) -> None:
    """Compare a CSV with what its side-car says, if one of serfeat's stands beside it.

    Another checksum is a warning only: a spreadsheet that saves the same numbers changes the bytes.

    Parameters
    ----------
    rows : found in the CSV.

    Raises
    ------
    StoreError : another number of rows, with the code row-count.
    """
    about, beside = _about(path), _side_car(path)
    if not {"rows", "sha256"} <= about.keys():
        return
    if about["rows"] != rows:
        raise StoreError(
            f"{rows} rows, but {beside.name} says {about['rows']}",
            where=path,
            code="row-count",
            fix=f"the file was cut or edited; if on purpose, delete {beside.name}",
        )
    if about["sha256"] != sha256(path):
        warnings.warn(
            f"{path} was changed after it was written ({beside.name} has another sha256)",
            stacklevel=3,
        )


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


def _classes(path: Path) -> list[str]:
    """The columns of a CSV that are labels in words, after its side-car."""
    try:
        labels = _about(path)["labels"]
        return [name for name, about in labels.items() if "classes" in about]
    except (KeyError, TypeError, AttributeError):
        return []  # without a side-car, or none that an export wrote


def _about(path: Path) -> dict[str, Any]:
    """What the side-car of a CSV says; nothing where there is none that can be read."""
    try:
        found = json.loads(_side_car(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _side_car(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_parquet(
    table: pd.DataFrame, path: Path, units: dict[str, str], provenance: dict[str, Any]
) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    from serfeat.table import escaped, renamed

    if isinstance(table.index, pd.MultiIndex):
        table = table.set_axis(renamed(table.index, escaped))
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
