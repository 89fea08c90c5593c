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

Contents
--------
`tables`  : a table as one file.
`segment` : the rows of one batch as one file, and the failures of one.
`folder`  : `Store`, the segments of one feature set.
`care`    : verify, compact and merge the folders.
`change`  : what differs between two stores or two tables.
"""

from __future__ import annotations

from serfeat.store.care import (
    Compaction,
    Verification,
    compact,
    merge,
    stores_below,
    verify,
)
from serfeat.store.change import Difference, diff
from serfeat.store.folder import Store, cache_folder
from serfeat.store.segment import FailedRow, Row
from serfeat.store.tables import read_metadata, read_parquet, read_table, write_table

__all__ = [
    "Compaction",
    "Difference",
    "FailedRow",
    "Row",
    "Store",
    "Verification",
    "cache_folder",
    "compact",
    "diff",
    "merge",
    "read_metadata",
    "read_parquet",
    "read_table",
    "stores_below",
    "verify",
    "write_table",
]
