"""Taking care of a store: verify, compact and merge.

Nothing here needs a lock, or that nobody else works in the folder. What is written is complete and
on the disk before what it replaces is removed, and a row that is held twice is no fault as long as
both are equal.

Contents
--------
`stores_below` : the stores in a folder.
`verify`       : read every byte and say what is not as it was written.
`compact`      : many small segments into few.
`merge`        : the segments of one store into another.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serfeat.errors import StoreError
from serfeat.files import committed, committed_as, sweep
from serfeat.store.folder import Store, fingerprint_of, listed, read_card
from serfeat.store.segment import (
    Damaged,
    Row,
    checked,
    failures_of,
    kept_in,
    problems_of,
    rows_of,
    sizes_of,
    write_segment,
)

__all__ = ["Compaction", "Verification", "compact", "merge", "stores_below", "verify"]

SMALL = 32 << 20  # bytes: a segment below it is worth joining to others
LARGE = 1 << 25  # values: a segment is closed when it holds them (128 MiB of float32)


@dataclass(frozen=True)
class Verification:
    """What `verify` has found in a store.

    Parameters
    ----------
    folder : of the store.
    segments, rows, bytes, seconds : read, and how long it took.
    unchecked : segments of an old serfeat, without a checksum of the whole file.
    duplicates : rows that are held more than once, all equal: `compact` drops them.
    failures : clips of which the store says why they have no features.
    problems : (file name, what is wrong with it).
    """

    folder: Path
    segments: int
    rows: int
    bytes: int
    seconds: float
    unchecked: int
    duplicates: int
    failures: int
    problems: tuple[tuple[str, str], ...]

    @property
    def ok(self) -> bool:
        """Whether every row is what was written."""
        return not self.problems


@dataclass(frozen=True)
class Compaction:
    """What `compact` has done.

    Parameters
    ----------
    segments, made : small segments that were replaced, and those they became.
    rows, dropped : rows in the new ones, and equal duplicates that were left out.
    bytes_before, bytes_after : of the old and of the new segments.
    damaged : names of segments that could not be read, which are left as they are.
    """

    segments: int = 0
    made: int = 0
    rows: int = 0
    dropped: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    damaged: tuple[str, ...] = ()


def stores_below(folder: Path) -> list[Path]:
    """Every store in a folder, or the folder itself if it is one; sorted.

    Raises
    ------
    StoreError : there is none.
    """
    found = sorted(head.parent for head in folder.glob("*/store.json"))
    if (folder / "store.json").is_file():
        found.insert(0, folder)
    if not found:
        raise StoreError("holds no store", where=folder, code="missing")
    return found


# --- verify ---------------------------------------------------------------------------------------


def verify(folder: Path) -> Verification:
    """Read every byte of a store: checksums, schema, row counts, keys that disagree.

    Values are decoded only where the checksum cannot vouch for them: in segments of an old serfeat,
    in those that are damaged, and in those that share a key with another.

    Nothing is changed. A segment that another process compacts away meanwhile is none of the
    problems.

    Raises
    ------
    StoreError : no store, or one of a newer serfeat.
    """
    began = time.perf_counter()
    width = len(read_card(folder)["columns"])
    problems: list[tuple[str, str]] = []
    first: dict[str, Path] = {}  # key -> the segment that holds it
    shared: dict[Path, set[str]] = {}  # segment -> keys that others hold too
    count = size = unchecked = duplicates = 0
    for segment in listed(folder):
        try:
            bytes_of_it = segment.stat().st_size
            keys: Iterable[str] | None = kept_in(segment, width)
            if keys is None:
                wrong, keys = problems_of(segment, width)
                problems += [(segment.name, words) for words in wrong]
                unchecked += checked(segment) is None
        except FileNotFoundError:
            continue
        count, size = count + 1, size + bytes_of_it
        for key in keys:
            before = first.setdefault(key, segment)
            if before != segment:
                duplicates += 1
                shared.setdefault(before, set()).add(key)
                shared.setdefault(segment, set()).add(key)
    problems += _disagreements(shared, width)
    problems += [(p.name, "was put aside as damaged") for p in sorted(folder.glob("*.damaged"))]
    failed, broken = _failures(folder)
    return Verification(
        folder, count, len(first), size, time.perf_counter() - began, unchecked, duplicates,
        failed, tuple(problems + broken),
    )  # fmt: skip


def _disagreements(shared: Mapping[Path, Set[str]], width: int) -> Iterator[tuple[str, str]]:
    """Yield the segments that hold other values of a key than the first one that holds it."""
    first: dict[str, tuple[str, tuple[int, bytes]]] = {}  # key -> segment, what it holds
    for segment in sorted(shared):
        with suppress(FileNotFoundError):
            held = problems_of(segment, width)[1]
            for key in sorted(shared[segment] & held.keys()):
                name, before = first.setdefault(key, (segment.name, held[key]))
                if before != held[key]:
                    yield segment.name, f"has other values of {key} than {name}"


def _failures(folder: Path) -> tuple[int, list[tuple[str, str]]]:
    """Read the files of failures: how many clips, and what is wrong."""
    keys: set[str] = set()
    problems = []
    for path in listed(folder, "failed"):
        with suppress(FileNotFoundError):
            try:
                if checked(path) is False:
                    problems.append((path.name, "its bytes are not those that were written"))
                    continue
                keys |= {row.key for row in failures_of(path)}
            except (Damaged, TypeError) as error:
                problems.append((path.name, f"cannot be read ({error})"))
    return len(keys), problems


# --- compact --------------------------------------------------------------------------------------


def compact(folder: Path, *, small: int = SMALL, large: int = LARGE) -> Compaction:
    """Join the small segments of a store into few large ones.

    Other processes may add, read and even compact meanwhile. The new segments are written, flushed
    and read back before any old one is removed, and an old one is removed only when all its rows
    were found in them.

    Parameters
    ----------
    small : bytes; segments below it are joined.
    large : values at which a new segment is closed.

    Raises
    ------
    StoreError : no store; unequal values under one key (``two-answers``); a disk that is full. In
        every case nothing was removed.
    """
    store = Store(folder, tuple(read_card(folder)["columns"]))
    store.prepare()
    try:
        return _compact(folder, len(store.columns), small, large)
    except FileNotFoundError:  # another process compacts: its result is as good as ours
        return Compaction()


def _compact(folder: Path, width: int, small: int, large: int) -> Compaction:
    chosen = [s for s in listed(folder) if s.stat().st_size < small]
    good: dict[Path, dict[str, tuple[int, bytes]]] = {}
    damaged = []
    for segment in chosen:
        problems, digests = problems_of(segment, width)
        if problems:
            damaged.append(segment.name)
        else:
            good[segment] = digests
    if len(good) < 2:
        return Compaction(damaged=tuple(damaged))
    held = _agreed(folder, good)
    before = sum(s.stat().st_size for s in good)
    made = [
        write_segment(folder, rows, compaction=True)
        for rows in _bundles(_each_once(list(good), width), large)
    ]
    again: dict[str, tuple[int, bytes]] = {}
    for segment in made:
        again |= problems_of(segment, width)[1]
    if again != held:
        raise StoreError(
            "the new segments do not read back as the old ones; nothing was removed",
            where=folder,
            code="disk-fault",
            fix="`serfeat store verify` says which; look after the disk",
        )
    for segment in good:
        # Windows does not remove what another process reads; a row held twice is no fault.
        with suppress(FileNotFoundError, PermissionError):
            segment.unlink()
    return Compaction(
        segments=len(good),
        made=len(made),
        rows=len(held),
        dropped=sum(map(len, good.values())) - len(held),
        bytes_before=before,
        bytes_after=sum(s.stat().st_size for s in made),
        damaged=tuple(damaged),
    )


def _agreed(
    folder: Path, found: dict[Path, dict[str, tuple[int, bytes]]]
) -> dict[str, tuple[int, bytes]]:
    """Join what the segments hold; two that disagree are for a person to judge."""
    held: dict[str, tuple[int, bytes]] = {}
    for segment, digests in found.items():
        for key, value in digests.items():
            if held.setdefault(key, value) != value:
                raise StoreError(
                    f"{segment.name} has other values of {key} than another segment; nothing was "
                    "removed",
                    where=folder,
                    code="two-answers",
                    fix="`serfeat store verify` names both; delete the one you do not trust",
                )
    return held


def _each_once(segments: list[Path], width: int) -> Iterator[Row]:
    """Yield the rows of some segments, each key once."""
    seen: set[str] = set()
    for segment in segments:
        sizes = {k: n for k, n in sizes_of(segment).items() if k not in seen}
        seen |= sizes.keys()
        yield from rows_of(segment, sizes, width)


def _bundles(rows: Iterator[Row], large: int) -> Iterator[list[Row]]:
    """Cut a stream of rows where `large` values are together."""
    bundle: list[Row] = []
    size = 0
    for row in rows:
        bundle.append(row)
        size += row.values.size
        if size >= large:
            yield bundle
            bundle, size = [], 0
    if bundle:
        yield bundle


# --- merge ----------------------------------------------------------------------------------------


def merge(sources: list[Path], into: Path) -> int:
    """Copy the segments of other stores into one, which is made if it is not there.

    Segments go as they are, byte by byte under their own names: what is there already is not copied
    again, and a merge that was killed is simply run again.

    Returns
    -------
    Number of segments and files of failures that were copied.

    Raises
    ------
    StoreError : stores of other columns or settings (``other-store``), or of which nothing says
        the settings (``unknown-store``); a damaged segment. Stores are compared before any segment
        is copied.
    """
    cards = [_known_card(source) for source in sources]
    into.mkdir(parents=True, exist_ok=True)
    sweep(into)
    if (into / "store.json").exists():
        own = _known_card(into)
    else:
        own = {**cards[0], "fingerprint": fingerprint_of(into) or cards[0]["fingerprint"]}
    for source, card in zip(sources, cards, strict=True):
        if card != own:
            different = sorted(k for k in {*card, *own} if card.get(k) != own.get(k))
            raise StoreError(
                f"differs from {into} in {', '.join(different)}",
                where=source,
                code="other-store",
                fix="merge stores of the same features, settings and versions",
            )
    if not (into / "store.json").exists():
        with committed(into / "store.json") as temporary:
            temporary.write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")
    copied = 0
    for source in sources:
        for path in listed(source) + listed(source, "failed"):
            if not (into / path.name).exists():
                _copy(path, into)
                copied += 1
    return copied


def _known_card(folder: Path) -> dict[str, Any]:
    """Read a store's card with the fingerprint, which older cards do not hold themselves.

    Columns, name and units are the same whatever the preparation, the rate or the versions were:
    only the fingerprint tells such stores apart.
    """
    card, fingerprint = read_card(folder), fingerprint_of(folder)
    if not fingerprint:
        raise StoreError(
            "nothing says with which settings it was made",
            where=folder,
            code="unknown-store",
            fix="give the folder the name that extract gave it, with 16 digits at its end",
        )
    return {**card, "fingerprint": fingerprint}


def _copy(path: Path, into: Path) -> None:
    """Copy one segment under its own name, if it still has the bytes that the name says."""
    if checked(path) is False:
        raise StoreError(
            "its bytes are not those that were written",
            where=path,
            code="damaged",
            fix="move it away, its rows are computed anew",
        )
    with committed_as(into, lambda _: path.name) as stream, path.open("rb") as source:
        shutil.copyfileobj(source, stream, 1 << 20)
