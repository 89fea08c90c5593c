"""Parts of a manifest for the jobs of a cluster.

Job i of n computes ``shard(manifest, i, n)``; any scheduler's array of jobs will do, because the
jobs need not know of each other. Which part a row belongs to follows from the row itself (its file
and bounds), not from its place: rows that are added, removed or sorted move no other row to another
job, and what the other jobs have computed stays of use.

The jobs may add to one store, on a disk that they share, or each to its own (`serfeat.store.merge`
joins them). A run over the whole manifest on that store then computes nothing and writes the same
table, byte for byte, as a run without shards.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import numpy as np
import pandas as pd

from serfeat.errors import ManifestError
from serfeat.manifest import Manifest

__all__ = ["read_shard", "shard"]


def shard(manifest: Manifest, i: int, n: int) -> Manifest:
    """Return part `i` (1 to n) of `n` of a manifest, in its order.

    About one row of n is in each part, and every row in exactly one. A part may be empty.

    Raises
    ------
    ManifestError : there is no such part.
    """
    if not 1 <= i <= n:
        raise ManifestError(
            f"part {i} of {n}", where="shard", code="bad-shard", fix="parts are 1/n to n/n"
        )
    part = np.array([_number(clip, n) for clip in manifest.rows.index], dtype=np.int64)
    rows = manifest.rows.iloc[np.flatnonzero(part == i - 1)]
    # What is no clip has no number: the first part reports it, and the others do not again.
    return replace(manifest, rows=rows, refused=manifest.refused if i == 1 else ())


def read_shard(text: str) -> tuple[int, int]:
    """Read ``"3/8"`` as (3, 8).

    Raises
    ------
    ManifestError : anything else, and a part that does not exist.
    """
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    i, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= i <= n:
        raise ManifestError(
            f"{text!r} is no part",
            where="shard",
            code="bad-shard",
            fix="write i/n with i from 1 to n, such as 1/8",
        )
    return i, n


def _number(clip: tuple[str, pd.Timedelta, pd.Timedelta], n: int) -> int:
    """Number from 0 to n - 1 that a row has for ever; Python's own hash changes with the process.

    Times as integers of nanoseconds, the missing one as an empty text.
    """
    file, start, end = clip
    times = ["" if pd.isna(t) else str(t.value) for t in (start, end)]
    text = "\t".join([file, *times]).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % n
