"""`Store`: the segments of one feature set at one level, in a folder.

Any number of processes may add and read at once, and one of them may compact (`serfeat.store.care`)
meanwhile. Nothing is locked: segments are only ever added whole, and removed after their rows are
on the disk in another one, so a reader that finds a segment gone looks at the folder again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from serfeat.errors import StoreError
from serfeat.files import committed, sweep
from serfeat.store.segment import (
    Damaged,
    FailedRow,
    Row,
    failures_of,
    rows_of,
    sizes_of,
    write_failures,
    write_segment,
)

__all__ = ["Store", "cache_folder", "fingerprint_of", "listed", "read_card"]

_Found = TypeVar("_Found")

FORMAT = 1  # of the store; a reader refuses a newer one


def cache_folder() -> Path:
    """Where features are kept between runs: SERFEAT_CACHE, else the user's cache folder."""
    if given := os.environ.get("SERFEAT_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "serfeat" / "features"


def read_card(folder: Path) -> dict[str, Any]:
    """Read ``store.json``: the format, the columns and what else is known about the set.

    Raises
    ------
    StoreError : it is not there, cannot be read, or is of a newer serfeat.
    """
    head = folder / "store.json"
    try:
        card: dict[str, Any] = json.loads(head.read_text(encoding="utf-8"))
        newer = int(card["format"]) > FORMAT
        columns = [str(c) for c in card["columns"]]
    except FileNotFoundError:
        raise StoreError(
            "not a store: it has no store.json", where=folder, code="missing"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            "cannot be read as a store's card",
            where=head,
            code="bad-card",
            fix="remove it, the next run writes it anew",
        ) from None
    if newer:
        raise StoreError(
            f"holds format {card['format']}, expected at most {FORMAT}",
            where=folder,
            code="newer-store",
            fix="use the serfeat that wrote it, or a newer one",
        )
    return {**card, "columns": columns}


def fingerprint_of(folder: Path) -> str:
    """The fingerprint of the set that a store holds, "" if nothing says it.

    The card says it; of a store that was begun before cards did, the end of the folder's name.

    Raises
    ------
    StoreError : a card that is there and cannot be read.
    """
    said = read_card(folder).get("fingerprint") if (folder / "store.json").exists() else None
    named = re.search(r"-([0-9a-f]{16})$", folder.resolve().name)
    return str(said) if said else (named[1] if named else "")


def listed(folder: Path, kind: str = "seg") -> list[Path]:
    """Every segment of a folder, sorted.

    A folder that changes while it is listed may show neither the segment that goes nor the one that
    takes its place; so it is listed until twice the same is seen.
    """
    before: list[Path] = []
    while (now := sorted(folder.glob(f"{kind}-*.parquet"))) != before:
        before = now
    return now


class Store:
    """Features of one set at one level, in a folder of immutable segments.

    Parameters
    ----------
    folder : is made if it is not there.
    columns : of the values; written into ``store.json`` for a reader.
    description : anything else worth knowing about the set (name, units). A "fingerprint" is
        compared with that of the card: columns of the same names may hold other numbers.

    Raises
    ------
    StoreError : the folder holds other columns, or numbers of other settings (``other-store``).
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
        card = read_card(folder)
        if tuple(card["columns"]) != columns:
            raise StoreError(
                f"holds {len(card['columns'])} columns, expected {len(columns)}",
                where=folder,
                code="other-store",
                fix="delete the folder or set SERFEAT_CACHE to another",
            )
        wanted = (description or {}).get("fingerprint")
        if wanted and card.get("fingerprint", wanted) != wanted:
            raise StoreError(
                f"holds features of the fingerprint {card['fingerprint']}, expected {wanted}",
                where=folder,
                code="other-store",
                fix="it was renamed or merged under another name: move it away",
            )

    @staticmethod
    def key(content: str, start: float, end: float, sex: str = "") -> str:
        """Key of a clip: SHA-256 of the file's bytes, the bounds in nanoseconds.

        The speaker's sex comes last, where it was known and the features depend on it.
        """
        stop = "" if np.isnan(end) else str(round(end * 1e9))
        return f"{content}:{round(start * 1e9)}:{stop}" + (f":{sex}" if sex else "")

    def prepare(self) -> None:
        """Make sure that rows can be added, and remove what killed writers left.

        Raises
        ------
        StoreError : nothing can be written: better known before the work than after.
        """
        sweep(self.folder)

    def add(self, rows: Iterable[Row]) -> None:
        """Commit rows as one new segment, named after what it holds."""
        if batch := list(rows):
            write_segment(self.folder, batch)

    def add_failures(self, rows: Sequence[FailedRow]) -> None:
        """Commit why some clips have no rows."""
        if rows:
            write_failures(self.folder, rows)

    def keys(self) -> set[str]:
        """Every key that the store holds."""
        return set(self._each(sizes_of))

    def failures(self, *, by: str) -> dict[str, FailedRow]:
        """Key -> failure, of what this software (`by`) has found out before."""
        return {row.key: row for row in self._each(failures_of, "failed") if row.by == by}

    def sizes(self, wanted: Iterable[str]) -> dict[str, int]:
        """Key -> number of rows of values, of those keys that are there."""
        ours = set(wanted)
        return {k: n for k, n in self._each(lambda s: sizes_of(s).items()) if k in ours}

    def rows(self, wanted: Iterable[str]) -> dict[str, Row]:
        """Read the rows of some keys; a key that is not there is not in the result.

        Raises
        ------
        StoreError : two segments have unequal values under one key (``two-answers``).
        """
        return {row.key: row for row in self.each(wanted)}

    def each(self, wanted: Iterable[str]) -> Iterator[Row]:
        """Yield the rows of some keys, each once, segment by segment: they need not fit in memory.

        Raises
        ------
        StoreError : as `rows`.
        """
        ours = set(wanted)
        first: dict[str, bytes] = {}  # what was found under each key

        def read(segment: Path) -> Iterator[Row]:
            # The keys alone first: a store may hold many corpora, and most segments are not ours.
            sizes = sizes_of(segment)
            sizes = {k: sizes[k] for k in ours & sizes.keys()}
            return rows_of(segment, sizes, len(self.columns)) if sizes else iter(())

        for row in self._each(read):
            digest = hashlib.blake2b(row.values.data, digest_size=16).digest()
            if row.key not in first:
                first[row.key] = digest
                yield row
            elif first[row.key] != digest:
                raise StoreError(
                    f"holds unequal values under the key {row.key}",
                    where=self.folder,
                    code="two-answers",
                    fix="`serfeat store verify` names the segments; delete the one you do not "
                    "trust, its rows are computed anew",
                )

    def _each(
        self, read: Callable[[Path], Iterable[_Found]], kind: str = "seg"
    ) -> Iterator[_Found]:
        """Yield what is found in every segment; after a compaction meanwhile, in the new ones too.

        A damaged segment is renamed: it costs its rows, which are computed again, not the store.
        """
        seen: set[Path] = set()
        gone = True
        while gone:
            gone = False
            for segment in listed(self.folder, kind):
                if segment in seen:
                    continue
                seen.add(segment)
                try:
                    yield from read(segment)
                except FileNotFoundError:
                    gone = True
                except Damaged:
                    with suppress(OSError):
                        segment.rename(segment.with_suffix(".damaged"))
