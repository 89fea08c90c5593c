"""Rows of numbers in kernels: what is loaded where, and in which order a row is added up."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.jit import COMPILED, jit
from serfeat.lanes import WIDTH, Row, Rows, side_by_side, summed
from serfeat.types import Reals

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")


@summed
def _products(left: Rows, right: Rows, at: Row, place: Row) -> Row:
    return left.at(at) * right.at(place)


@side_by_side
def _scale(work: Rows, factors: Rows, row: Row, which: Row) -> None:
    work[row] = work[row] * factors.spread(which)


@jit
def _sum_of_products(left: Reals, right: Reals, at: int, place: int) -> float:
    return _products(left, right, (at, place))


@jit
def _scale_twice(work: Reals, factors: Reals, row: int) -> None:
    for _ in range(2):
        _scale(work, factors, (row, row))
        factors[row] += 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_begins_anywhere_and_is_added_by_halves(dtype: type) -> None:
    """Bit by bit. Seen to catch: neighbours added first, an index counted in rows."""
    width = WIDTH[np.dtype(dtype).itemsize]
    left, right = np.random.default_rng(0).standard_normal((2, 3 * width)).astype(dtype)
    row = left[3 : 3 + width] * right[width + 1 : 2 * width + 1]
    while len(row) > 1:
        row = row[: len(row) // 2] + row[len(row) // 2 :]
    assert _sum_of_products(left, right, 3, width + 1) == row[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_that_changes_is_loaded_again(dtype: type) -> None:
    """Seen to catch: `one`, which may be kept from the first time on, in place of `spread`."""
    width = WIDTH[np.dtype(dtype).itemsize]
    work: Reals = np.ones(4 * width, dtype)
    factors: Reals = np.array([9, 2, 9, 9], dtype)
    _scale_twice(work, factors, 1)
    np.testing.assert_array_equal(work, np.repeat(np.array([1, 6, 1, 1], dtype), width))
