"""What differs between two stores or two tables.

A reader of a result wants to know three things of another run: does it have the same rows and
columns, are the numbers the same bit for bit, and if not, how far apart are they and where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serfeat.store.folder import Store, read_card
from serfeat.store.segment import Row
from serfeat.store.tables import read_table
from serfeat.types import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "diff"]

CHUNK = 1024  # clips of a store that are compared at a time
WORST = 10  # columns that are named


@dataclass
class Difference:
    """How two stores or tables differ: "here" is the first, "there" the second.

    Parameters
    ----------
    only_here, only_there : rows that the other does not have.
    columns_here, columns_there : columns that the other does not have.
    reordered : whether the common columns stand in another order.
    settings : key of the stores' cards -> (here, there), where they differ.
    rows, cells : in both.
    bit_equal : cells with the very same bits, NaN included.
    beyond : cells further apart than the tolerance, and those undefined on one side only.
    lengths : clips with another number of frames; their cells are not compared.
    worst : column -> (largest |here - there|, cells beyond), the worst first.
    """

    only_here: list[Any] = field(default_factory=list)
    only_there: list[Any] = field(default_factory=list)
    columns_here: list[str] = field(default_factory=list)
    columns_there: list[str] = field(default_factory=list)
    reordered: bool = False
    settings: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    rows: int = 0
    cells: int = 0
    bit_equal: int = 0
    beyond: int = 0
    lengths: list[Any] = field(default_factory=list)
    worst: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether both hold the same rows and columns, within the tolerance."""
        return not (
            self.only_here or self.only_there or self.columns_here or self.columns_there
            or self.reordered or self.beyond or self.lengths
        )  # fmt: skip


def diff(here: Path, there: Path, *, rtol: float = 0.0, atol: float = 0.0) -> Difference:
    """Compare two stores (folders) or two tables (files).

    Parameters
    ----------
    rtol, atol : a cell counts as equal where ``|here - there| <= atol + rtol |there|``.

    Raises
    ------
    StoreError : one of them is not there or cannot be read.
    """
    if here.is_dir() and there.is_dir():
        return _of_stores(here, there, rtol, atol)
    return _of_tables(read_table(here), read_table(there), rtol, atol)


def _of_tables(here: pd.DataFrame, there: pd.DataFrame, rtol: float, atol: float) -> Difference:
    found = _of_columns(list(here.columns), list(there.columns))
    both = here.index.intersection(there.index)
    found.only_here = list(here.index.difference(there.index))
    found.only_there = list(there.index.difference(here.index))
    found.rows = len(both)
    columns = [c for c in here.columns if c in set(there.columns)]
    numeric = [c for c in columns if _is_number(here[c].dtype) and _is_number(there[c].dtype)]
    a, b = (t.loc[both, numeric].to_numpy() for t in (here, there))
    _tally(found, numeric, a, b, rtol, atol)
    for column in (c for c in columns if c not in numeric):
        equal = here.loc[both, column].astype(str) == there.loc[both, column].astype(str)
        _add(found, column, float("nan"), int((~equal).sum()))
        found.cells += len(both)
        found.bit_equal += int(equal.sum())
    return _sorted(found)


def _of_stores(here: Path, there: Path, rtol: float, atol: float) -> Difference:
    cards = read_card(here), read_card(there)
    found = _of_columns(cards[0]["columns"], cards[1]["columns"])
    names = sorted(({*cards[0], *cards[1]}) - {"columns"})
    found.settings = {
        n: (cards[0].get(n), cards[1].get(n)) for n in names if cards[0].get(n) != cards[1].get(n)
    }
    a, b = (Store(f, tuple(c["columns"])) for f, c in zip((here, there), cards, strict=True))
    mine, theirs = a.keys(), b.keys()
    found.only_here, found.only_there = sorted(mine - theirs), sorted(theirs - mine)
    found.rows = len(mine & theirs)
    columns = [c for c in a.columns if c in set(b.columns)]
    places = [np.array([s.columns.index(c) for c in columns], dtype=np.intp) for s in (a, b)]
    stream = a.each(mine & theirs)
    while chunk := list(islice(stream, CHUNK)):
        others = b.rows(row.key for row in chunk)
        for x, y in _pairs(found, chunk, others):
            _tally(found, columns, x[:, places[0]], y[:, places[1]], rtol, atol)
    return _sorted(found)


def _pairs(
    found: Difference, chunk: list[Row], others: Mapping[str, Row]
) -> Iterator[tuple[Any, Any]]:
    """Join the clips of a chunk into two arrays; those of other lengths are only noted."""
    mine, theirs = [], []
    for row in chunk:
        other = others[row.key]
        if len(row.values) != len(other.values):
            found.lengths.append(row.key)
        else:
            mine.append(row.values)
            theirs.append(other.values)
    if mine:
        yield np.concatenate(mine), np.concatenate(theirs)


def _of_columns(here: list[str], there: list[str]) -> Difference:
    common = [[c for c in x if c in set(y)] for x, y in ((here, there), (there, here))]
    return Difference(
        columns_here=[c for c in here if c not in set(there)],
        columns_there=[c for c in there if c not in set(here)],
        reordered=common[0] != common[1],
    )


def _tally(
    found: Difference, columns: list[str], here: Any, there: Any, rtol: float, atol: float
) -> None:
    """Count the cells of two (n, k) arrays that are equal, nearly so, and not."""
    if not len(columns) or not len(here):
        return
    a: Floats = here.astype(np.float64)
    b: Floats = there.astype(np.float64)
    # A sign of zero is a bit too; NaN equals NaN whatever its bits say.
    bits = (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(bits, 0.0, np.abs(a - b))
        near = bits | (apart <= atol + rtol * np.abs(b))
    found.cells += a.size
    found.bit_equal += int(bits.sum())
    for j in np.flatnonzero(~bits.all(axis=0)):
        known = apart[:, j][np.isfinite(apart[:, j])]
        largest = float(known.max(initial=0.0)) if len(known) else float("nan")
        _add(found, columns[j], largest, int((~near[:, j]).sum()))


def _add(found: Difference, column: str, largest: float, beyond: int) -> None:
    before, count = found.worst.get(column, (0.0, 0))
    if beyond or largest > 0:
        found.worst[column] = (float(np.fmax(before, largest)), count + beyond)
    found.beyond += beyond


def _sorted(found: Difference) -> Difference:
    def order(item: tuple[str, tuple[float, int]]) -> tuple[int, float]:
        return -item[1][1], -np.nan_to_num(item[1][0], nan=np.inf)

    found.worst = dict(sorted(found.worst.items(), key=order)[:WORST])
    return found


def _is_number(dtype: Any) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(dtype) and not is_bool_dtype(dtype)
