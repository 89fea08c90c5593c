"""Line spectral frequencies of an all-pole model.

Conventions
-----------
As in `serfeat.signal.prediction`: ``A(z) = 1 + a[1] z^-1 + ... + a[p] z^-p``. From it two
polynomials are made, ``P(z) = A(z) + z^-(p+1) A(1/z)`` and ``Q(z) = A(z) - z^-(p+1) A(1/z)``.
Exactly when A is minimum phase, all their roots lie on the unit circle and those of P and Q
alternate; their angles in (0, pi) are the line spectral frequencies. Two that are close to each
other mark a resonance.

Method
------
One is palindromic, the other antipalindromic: with their roots at z = 1 and z = -1 divided out,
each is a cosine series on the unit circle, so a Chebyshev series in ``x = cos w`` ([2]), all of
whose roots are real. Its changes of sign on a grid find them, and Newton's method refines them.
Where a cell of the grid holds more than one root, there are too few changes, and where two are near
Newton's method may leave its cell: those frames get a grid that is eight times finer.

Contents
--------
`lsf` : the frequencies of every frame.

Sources
-------
[1] F. Soong, B.-H. Juang, "Line spectrum pair and speech data compression", ICASSP 1984.
[2] P. Kabal, R. Ramachandran, "The computation of line spectral frequencies using Chebyshev
    polynomials", IEEE Trans. ASSP 34(6), 1986.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from serfeat.jit import COMPILED, jit
from serfeat.types import Floats

__all__ = ["lsf"]

# Cells of the first grid (finer for high orders), and of the finest: 2 Hz at 16 kHz.
CELLS, FINEST = 64, 4096

# Frames refined at a time: rows of them stay in the cache, and a fine grid stays small.
BLOCK = 512

# Newton's method takes about five steps. Convergence is quadratic: a step below the square root of
# the rounding error was the last one that was needed.
STEPS, CONVERGED, LAST = 8, 1e-13, 1e-8


def lsf(a: ArrayLike) -> Floats:
    """Line spectral frequencies of an inverse filter ([1] eq. 5-8).

    Parameters
    ----------
    a : (..., order + 1), ``a[0] = 1``.

    Returns
    -------
    (..., order) rad, ascending in (0, pi). NaN for a polynomial that is not minimum phase, or too
    close to it to tell. The flat model ``[1, 0, ...]`` gives ``pi k / (order + 1)``.
    """
    polynomial = np.asarray(a, dtype=np.float64)
    order = polynomial.shape[-1] - 1
    flat = np.ascontiguousarray(polynomial.reshape(-1, order + 1).T)
    out = np.empty((order, flat.shape[1]))
    for first in range(0, flat.shape[1], BLOCK):
        block = slice(first, first + BLOCK)
        series = _series(order) @ flat[:, block]
        terms = (order + 1) // 2 + 1
        out[::2, block] = _roots(series[:terms])
        out[1::2, block] = _roots(series[terms:])
    np.arccos(out, out=out)
    out[:, ~(out[1:] > out[:-1]).all(axis=0)] = np.nan
    return out.T.reshape(*polynomial.shape[:-1], order)


@lru_cache(maxsize=16)
def _series(order: int) -> Floats:
    """(terms of P and of Q, order + 1): from A to the Chebyshev series of P and Q.

    Both are linear in A, so it is enough to see what becomes of every unit vector.
    """
    a = np.eye(order + 1)
    p, q = np.zeros((order + 2, order + 1)), np.zeros((order + 2, order + 1))
    p[:-1] = q[:-1] = a
    p[1:] += a[::-1]
    q[1:] -= a[::-1]
    if order % 2 == 0:  # P has a root at z = -1, Q at z = 1
        for i in range(1, order + 2):
            p[i] -= p[i - 1]
            q[i] += q[i - 1]
    else:  # Q has both
        for i in range(2, order + 2):
            q[i] += q[i - 2]
    sums, differences = 2.0 * p[(order + 1) // 2 :: -1], 2.0 * q[order // 2 :: -1]
    sums[0] /= 2.0
    differences[0] /= 2.0
    return np.concatenate([sums, differences])


@lru_cache(maxsize=16)
def _grid(terms: int, cells: int) -> tuple[Floats, Floats]:
    """(cells + 1,) x from 1 to -1, equal steps of angle; (cells + 1, terms) the T_k(x) there."""
    angles = np.pi * np.arange(cells + 1) / cells
    return np.cos(angles), np.cos(np.outer(angles, np.arange(terms)))


def _roots(series: Floats, cells: int = 0) -> Floats:
    """Roots of Chebyshev series that are real and in (-1, 1).

    Parameters
    ----------
    series : (degree + 1, frames).
    cells : of the grid; default `CELLS`, or eight for each coefficient.

    Returns
    -------
    (degree, frames) descending; NaN for a frame with fewer such roots.
    """
    terms, frames = series.shape
    count = cells or max(CELLS, 8 * terms)
    at, chebyshev = _grid(terms, count)
    x = np.empty((terms - 1, frames))
    if terms == 1:
        return x
    _refine(series, at, chebyshev @ series, x)
    if count < FINEST:
        lost = np.isnan(x[0]) & np.isfinite(series).all(axis=0)
        if lost.any():
            x[:, lost] = _roots(np.ascontiguousarray(series[:, lost]), 8 * count)
    return x


def _refine_plain(series: Floats, at: Floats, values: Floats, x: Floats) -> None:
    """Find the roots by the changes of sign, then refine them by Newton's method.

    Parameters
    ----------
    series : (degree + 1, frames).
    at, values : (cells + 1,) and (cells + 1, frames) the grid and the series on it.
    x : (degree, frames) filled; NaN for a frame where that failed.
    """
    degree = len(x)
    positive = (values >= 0.0).T
    change = positive[:, 1:] != positive[:, :-1]
    whole = np.flatnonzero(change.sum(axis=1) == degree)
    cell = np.nonzero(change[whole])[1].reshape(-1, degree).T
    high, low = at[cell], at[cell + 1]
    above, below = values[cell, whole], values[cell + 1, whole]
    root, c = high - above * (low - high) / (below - above), series[:, None, whole]
    step = np.zeros_like(root)
    for _ in range(STEPS):
        b1 = b2 = d1 = d2 = np.zeros_like(root)  # Clenshaw: value and slope
        for k in range(degree, 0, -1):
            d1, d2 = 2.0 * (b1 + root * d1) - d2, d1
            b1, b2 = c[k] + 2.0 * root * b1 - b2, b1
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (c[0] + root * b1 - b2) / (b1 + root * d1 - d2)
        root = root - step
        if (np.abs(step) <= CONVERGED).all():
            break
    fine = (np.abs(step) <= LAST) & (low <= root) & (root <= high)
    x[:] = np.nan
    x[:, whole] = np.where(fine.all(axis=0), root, np.nan)


@jit
def _refine_kernel(series: Floats, at: Floats, values: Floats, x: Floats) -> None:
    """`_refine_plain`; the inner loops run over the frames, many at a time."""
    degree, frames = x.shape
    cell, found = np.zeros((degree, frames), np.int64), np.zeros(frames, np.int64)
    x[:] = 1.0
    for g in range(len(at) - 1):
        for t in range(frames):
            above, below = values[g, t], values[g + 1, t]
            if (above >= 0.0) != (below >= 0.0):
                i = found[t]
                found[t] += 1
                if i < degree:
                    cell[i, t] = g
                    x[i, t] = at[g] - above * (at[g + 1] - at[g]) / (below - above)
    # Clenshaw's recursion needs the last two values only: three rows in turn.
    b, d, step = np.empty((3, frames)), np.empty((3, frames)), np.empty(frames)
    for i in range(degree):
        root = x[i]
        for _ in range(STEPS):
            b[:], d[:] = 0.0, 0.0
            for k in range(degree, -1, -1):
                now, last, before = k % 3, (k + 1) % 3, (k + 2) % 3
                c, scale = series[k], 2.0 if k else 1.0
                for t in range(frames):
                    d[now, t] = scale * (b[last, t] + root[t] * d[last, t]) - d[before, t]
                for t in range(frames):
                    b[now, t] = c[t] + scale * root[t] * b[last, t] - b[before, t]
            # b[0] is now the value and d[0] the slope.
            largest = 0.0
            for t in range(frames):
                step[t] = b[0, t] / d[0, t]
            for t in range(frames):
                root[t] -= step[t]
                if found[t] == degree and abs(step[t]) > largest:
                    largest = abs(step[t])
            if largest <= CONVERGED:
                break
        for t in range(frames):
            g = cell[i, t]
            if not (abs(step[t]) <= LAST and at[g + 1] <= root[t] <= at[g]):
                found[t] = -1
    for t in range(frames):
        if found[t] != degree:
            x[:, t] = np.nan


_refine = _refine_kernel if COMPILED else _refine_plain
