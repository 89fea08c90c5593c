"""Sums down the columns of a clip: moments, products with time, steps from frame to frame.

Conventions
-----------
Columns are (n, k), n frames, NaN where undefined; a result has one value per column. An undefined
frame enters no sum.

Speed
-----
The compiled loops run over the frames outside and over the columns inside, with an accumulator per
column: the compiler then does several columns at a time, without reordering any sum (so does it
only while a loop writes to few arrays; hence the short loops). Where there is no compiler, NumPy
does the same over whole arrays, ten times slower: the same numbers but for the last bits.

Contents
--------
`sums`   : number, mean, squares about the mean, products with time.
`powers` : third and fourth powers of standardised values.
`steps`  : changes between neighbours.
`ratio`  : division that is undefined where there is nothing to divide by.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.jit import COMPILED, jit
from serfeat.types import Floats

__all__ = ["Steps", "Sums", "powers", "ratio", "steps", "sums"]


class Sums(NamedTuple):
    """Sums over the defined frames of each column; (k,) each.

    Attributes
    ----------
    number : of defined frames.
    mean : of their values; NaN without any.
    squares : sum of d * d, where d is the deviation from the mean.
    products : sum of d * t, where t is the frame's index less the mean index of the defined frames.
    times : sum of t * t.
    """

    number: Floats
    mean: Floats
    squares: Floats
    products: Floats
    times: Floats


class Steps(NamedTuple):
    """Changes between neighbouring frames that are both defined; (k,) each.

    Attributes
    ----------
    pairs : of neighbours.
    rising, falling : number of steps up and down.
    rise, fall : sum of the steps up (positive) and down (negative), in the column's unit.
    """

    pairs: Floats
    rising: Floats
    falling: Floats
    rise: Floats
    fall: Floats


def sums(x: Floats) -> Sums:
    """Sum every column of x, (n, k) and C-contiguous, about its mean."""
    number, mean, middle, squares, products, times = np.zeros((6, x.shape[1]))
    (means if COMPILED else means_plain)(x, number, mean, middle)
    (deviations if COMPILED else deviations_plain)(x, mean, middle, squares, products, times)
    return Sums(number, mean, squares, products, times)


def powers(x: Floats, mean: Floats, scale: Floats) -> Floats:
    """Sum the third and fourth powers of ``z = (x - mean) / scale`` of every column.

    The powers are those of z and not of x - mean, so that no unit of measurement makes them
    overflow.

    Parameters
    ----------
    x : (n, k), C-contiguous.
    mean, scale : (k,); a scale of NaN gives NaN, unless no frame is defined.

    Returns
    -------
    (2, k).
    """
    out = np.zeros((2, x.shape[1]))
    (z_powers if COMPILED else z_powers_plain)(x, mean, scale, out[0], out[1])
    return out


def steps(x: Floats) -> Steps:
    """Sum the steps of every column of x, (n, k) and C-contiguous."""
    out = Steps(*np.zeros((5, x.shape[1])))
    (changes if COMPILED else changes_plain)(x, *out)
    return out


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """``numerator / denominator``, NaN where the denominator is not positive."""
    below = np.asarray(denominator, dtype=np.float64)
    return np.asarray(numerator / np.where(below > 0, below, np.nan), dtype=np.float64)


# The loops. All arrays but x have one value per column; those that a loop adds to come last. A NaN
# is not equal to itself: ``v == v`` means "defined".


@jit
def means(x: Floats, number: Floats, mean: Floats, middle: Floats) -> None:
    """Average the defined frames: their number, their values, their indices."""
    n, k = x.shape
    for i in range(n):
        for j in range(k):
            v = x[i, j]
            number[j] += 1.0 if v == v else 0.0
            mean[j] += v if v == v else 0.0
            middle[j] += i if v == v else 0.0
    for j in range(k):
        mean[j] = mean[j] / number[j] if number[j] > 0.0 else np.nan
        middle[j] = middle[j] / number[j] if number[j] > 0.0 else np.nan


def means_plain(x: Floats, number: Floats, mean: Floats, middle: Floats) -> None:
    """`means` with whole arrays."""
    defined = ~np.isnan(x)
    number += defined.sum(axis=0)
    mean += ratio(np.where(defined, x, 0.0).sum(axis=0), number)
    middle += ratio(np.arange(len(x), dtype=np.float64) @ defined, number)


@jit
def deviations(
    x: Floats, mean: Floats, middle: Floats, squares: Floats, products: Floats, times: Floats
) -> None:
    """Add up the squares and products of value less mean and of index less mean index."""
    n, k = x.shape
    for i in range(n):
        for j in range(k):
            v = x[i, j]
            d = v - mean[j] if v == v else 0.0
            t = i - middle[j] if v == v else 0.0
            squares[j] += d * d
            products[j] += d * t
            times[j] += t * t


def deviations_plain(
    x: Floats, mean: Floats, middle: Floats, squares: Floats, products: Floats, times: Floats
) -> None:
    """`deviations` with whole arrays."""
    defined = ~np.isnan(x)
    d = np.where(defined, x - mean, 0.0)
    t = np.where(defined, np.arange(len(x), dtype=np.float64)[:, None] - middle, 0.0)
    squares += (d * d).sum(axis=0)
    products += (d * t).sum(axis=0)
    times += (t * t).sum(axis=0)


@jit
def z_powers(x: Floats, mean: Floats, scale: Floats, third: Floats, fourth: Floats) -> None:
    """Add up the third and fourth powers of the standardised values."""
    n, k = x.shape
    for i in range(n):
        for j in range(k):
            v = x[i, j]
            z = (v - mean[j]) / scale[j] if v == v else 0.0
            third[j] += z * z * z
            fourth[j] += (z * z) * (z * z)


def z_powers_plain(x: Floats, mean: Floats, scale: Floats, third: Floats, fourth: Floats) -> None:
    """`z_powers` with whole arrays."""
    z = np.where(np.isnan(x), 0.0, (x - mean) / scale)
    square = z * z
    third += (square * z).sum(axis=0)
    fourth += (square * square).sum(axis=0)


@jit
def changes(
    x: Floats, pairs: Floats, rising: Floats, falling: Floats, rise: Floats, fall: Floats
) -> None:
    """Add up the steps. Beside an undefined frame a step is NaN: no comparison holds."""
    n, k = x.shape
    for i in range(1, n):
        for j in range(k):
            step = x[i, j] - x[i - 1, j]
            pairs[j] += 1.0 if step == step else 0.0
            rising[j] += 1.0 if step > 0.0 else 0.0
            falling[j] += 1.0 if step < 0.0 else 0.0
            rise[j] += step if step > 0.0 else 0.0
            fall[j] += step if step < 0.0 else 0.0


def changes_plain(
    x: Floats, pairs: Floats, rising: Floats, falling: Floats, rise: Floats, fall: Floats
) -> None:
    """`changes` with whole arrays."""
    step = np.diff(x, axis=0)
    up, down = step > 0, step < 0
    pairs += (~np.isnan(step)).sum(axis=0)
    rising += up.sum(axis=0)
    falling += down.sum(axis=0)
    rise += np.where(up, step, 0.0).sum(axis=0)
    fall += np.where(down, step, 0.0).sum(axis=0)
