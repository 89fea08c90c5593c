"""The roots of eight polynomials at a time, in the registers of the processor: the usual case.

A predictor of speech has pairs of complex poles, and one or two real ones at most. Here are the
pairs, one by one, of eight predictors side by side: Laguerre's steps until all eight stand still, a
step of Newton's on the whole polynomial, division by the pair. What is not usual (a real root among
the first, one that is hard to find) is marked, and `serfeat.signal.roots` finds all roots of that
polynomial by itself.

Contents
--------
`pairs` : the kernel.

Source: Press et al., "Numerical Recipes", 3rd ed., section 9.5.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from serfeat.jit import jit
from serfeat.lanes import WIDTH, Row, Rows, side_by_side, summed
from serfeat.types import Bools, Floats

__all__ = ["pairs"]

Complex = NDArray[np.complex128]
EIGHT = WIDTH[8]
MOST = 12  # of Laguerre's steps; six are usual
RADIUS = 0.9  # where the search begins: the poles of speech lie near the unit circle
# Squared steps, as part of the squared root. Laguerre's are cubic: after 1e-4 the next would be
# 1e-12. Newton's are quadratic: after 1e-8 all digits are there.
STANDS, POLISHED = 1e-8, 1e-16
REAL = 1e-6  # imaginary part, as part of the real one, of a root that is real

# Rows of the workspace: the root; value, first and half the second derivative there; whether it
# still moves; the degree; the coefficients of the quotient and, behind them, those of the
# polynomial. Imaginary parts are one row behind real ones.
Z, P, D, F, MOVES, DEGREE, C = 0, 2, 4, 6, 8, 9, 10


@side_by_side
def _horner(work: Rows, _: Rows, k: Row, zero: Row) -> None:
    """Take one more coefficient, in row `k`, into the value and its derivatives."""
    x, y = work[zero + Z], work[zero + Z + 1]
    (pr, pi), (dr, di), (fr, fi) = ((work[zero + r], work[zero + r + 1]) for r in (P, D, F))
    work[zero + F], work[zero + F + 1] = x * fr - y * fi + dr, x * fi + y * fr + di
    work[zero + D], work[zero + D + 1] = x * dr - y * di + pr, x * di + y * dr + pi
    work[zero + P], work[zero + P + 1] = x * pr - y * pi + work[k], x * pi + y * pr


@jit
def _evaluate(rows: Floats, first: int, degree: int) -> None:
    """Evaluate the polynomials whose coefficients begin in row `first`, at the roots so far."""
    for lane in range(EIGHT):
        for r in range(P, F + 2):
            rows[r, lane] = 0.0
        rows[P, lane] = rows[first, lane]
    for k in range(first + 1, first + degree + 1):
        _horner(rows, rows, (k, 0))


@summed
def _laguerre(work: Rows, _: Rows, zero: Row) -> Row:
    """Do Laguerre's step where a root still moves; return 1 for each that does so afterwards."""
    (x, y), (pr, pi), (dr, di), (fr, fi) = (
        (work[zero + r], work[zero + r + 1]) for r in (Z, P, D, F)
    )
    moves, m = work[zero + MOVES], work[zero + DEGREE]
    size = pr * pr + pi * pi
    gr, gi = (dr * pr + di * pi) / size, (di * pr - dr * pi) / size
    hr, hi = (fr * pr + fi * pi) / size, (fi * pr - fr * pi) / size
    hr, hi = gr * gr - gi * gi - hr * 2.0, gr * gi * 2.0 - hi * 2.0
    ar, ai = (hr * m - (gr * gr - gi * gi)) * (m - 1.0), (hi * m - gr * gi * 2.0) * (m - 1.0)
    # the square root with which the sum is larger
    real = (((ar * ar + ai * ai).sqrt() + ar.magnitude()) * 0.5).sqrt()
    imag, left = ai * 0.5 / real, ar < 0.0
    real, imag = left.choose(imag, real), left.choose(real, imag)
    away = real * gr + imag * gi < 0.0
    ur, ui = gr + away.choose(real * -1.0, real), gi + away.choose(imag * -1.0, imag)
    size, done = ur * ur + ui * ui, moves <= 0.0
    sr, si = done.choose(0.0, m * ur / size), done.choose(0.0, m * ui * -1.0 / size)
    x, y = x - sr, y - si
    work[zero + Z], work[zero + Z + 1] = x, y
    moves = (sr * sr + si * si <= (x * x + y * y) * STANDS).choose(0.0, moves)
    work[zero + MOVES] = moves
    return moves


@side_by_side
def _newton(work: Rows, _: Rows, zero: Row) -> None:
    """Do Newton's step, and remember whether it was a long one."""
    (x, y), (pr, pi), (dr, di) = ((work[zero + r], work[zero + r + 1]) for r in (Z, P, D))
    size = dr * dr + di * di
    sr, si = (pr * dr + pi * di) / size, (pi * dr - pr * di) / size
    work[zero + Z], work[zero + Z + 1] = x - sr, y - si
    size = sr * sr + si * si
    work[zero + MOVES] = (size <= (x * x + y * y) * POLISHED).choose(0.0, size)


@jit
def _polish(rows: Floats, first: int, degree: int, odd: Bools) -> None:
    """Do one step of Newton's; mark where one was not enough."""
    _evaluate(rows, first, degree)
    _newton(rows, rows, (0,))
    for lane in range(EIGHT):
        odd[lane] |= not rows[MOVES, lane] <= 0.0  # also NaN, after a division by 0


@jit
def _search(rows: Floats, degree: int, order: int, odd: Bools) -> None:
    """Find a root of each quotient; mark those that were not found, or are real.

    The search begins high in the band for the first pair, and lower for each that follows: pairs
    are spread over the band, so that it is short, and real roots remain for the end.
    """
    angle = math.pi * (degree // 2 - 1) / (order // 2)
    for lane in range(EIGHT):
        rows[Z, lane], rows[Z + 1, lane] = RADIUS * math.cos(angle), RADIUS * math.sin(angle)
        rows[MOVES, lane], rows[DEGREE, lane] = 1.0, degree
    for _ in range(MOST):
        _evaluate(rows, C, degree)
        if _laguerre(rows, rows, (0,)) == 0.0:
            break
    for lane in range(EIGHT):
        odd[lane] |= rows[MOVES, lane] > 0.0
        odd[lane] |= abs(rows[Z + 1, lane]) <= REAL * abs(rows[Z, lane])


@jit
def _divide(rows: Floats, degree: int) -> None:
    """Divide by the pairs: by z^2 - s z + q, in real numbers."""
    for lane in range(EIGHT):
        x, y = rows[Z, lane], rows[Z + 1, lane]
        s, q = 2.0 * x, x * x + y * y
        rows[C + 1, lane] += s * rows[C, lane]
        for k in range(C + 2, C + degree - 1):
            rows[k, lane] += s * rows[k - 1, lane] - q * rows[k - 2, lane]


@jit
def _rest(rows: Floats, degree: int, other: Floats) -> None:
    """Write the root of what is left, of one or two; of two the second into `other`."""
    for lane in range(EIGHT):
        a, b, c = rows[C, lane], rows[C + 1, lane], rows[C + 2, lane]
        x, y = -b / a, 0.0
        if degree == 2:
            half = -0.5 * b
            rest = half * half - a * c
            if rest < 0.0:
                x, y = half / a, math.sqrt(-rest) / abs(a)
                other[0, lane], other[1, lane] = x, -y
            else:
                x = (half + math.copysign(math.sqrt(rest), half)) / a
                other[0, lane], other[1, lane] = c / (a * x) if x != 0.0 else 0.0, 0.0
        rows[Z, lane], rows[Z + 1, lane] = x, y


@jit
def pairs(polynomials: Floats, roots: Complex, odd: Bools) -> None:
    """Find the roots of every polynomial that is a usual one.

    Parameters
    ----------
    polynomials : (n, order + 1) coefficients, the highest power first, which is not 0.
    roots : (n, order) receives them, conjugates side by side.
    odd : (n,) receives whether a polynomial is not a usual one: its roots are not found.
    """
    n, order = len(polynomials), polynomials.shape[1] - 1
    whole = C + order + 2  # a row of zeros behind the quotient, whose degree may be 1
    rows, other = np.zeros((whole + order + 1, EIGHT)), np.zeros((2, EIGHT))
    strange = np.zeros(EIGHT, dtype=np.bool_)
    for t in range(0, n, EIGHT):
        here = min(EIGHT, n - t)
        for lane in range(EIGHT):
            one = polynomials[t + min(lane, here - 1)]
            strange[lane] = False
            for k in range(order + 1):
                rows[C + k, lane] = one[k]
                rows[whole + k, lane] = one[k]
        degree, count = order, 0
        while degree > 2:
            _search(rows, degree, order, strange)
            _polish(rows, whole, order, strange)
            for lane in range(here):
                z = complex(rows[Z, lane], rows[Z + 1, lane])
                roots[t + lane, count], roots[t + lane, count + 1] = z, z.conjugate()
            _divide(rows, degree)
            degree, count = degree - 2, count + 2
        _rest(rows, degree, other)
        for k in range(degree):
            _polish(rows, whole, order, strange)
            for lane in range(EIGHT):
                z = complex(rows[Z, lane], rows[Z + 1, lane])
                if lane < here:
                    # a complex root brings its conjugate, to the last bit
                    second = k == 1 and other[1, lane] != 0.0
                    roots[t + lane, count + k] = roots[t + lane, count].conjugate() if second else z
                rows[Z, lane], rows[Z + 1, lane] = other[0, lane], other[1, lane]
        for lane in range(here):
            odd[t + lane] = strange[lane]
