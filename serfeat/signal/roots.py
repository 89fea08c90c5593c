"""All roots of many real polynomials of low degree: the poles of predictors.

Contents
--------
`polynomial_roots` : compiled, or by eigenvalues.

Sources
-------
[1] Press et al., "Numerical Recipes", 3rd ed., section 9.5 (Laguerre's method, polishing).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.signal.root_rows import pairs
from serfeat.types import Floats

__all__ = ["polynomial_roots"]

MAX_ITERATIONS = 60
POLISH = 4  # Newton's steps at most
START = 0.9j  # of the search: the poles of speech lie near the unit circle
Complex = NDArray[np.complex128]


# Complex division, modulus and root are spelled out: the library versions guard against overflow,
# which cannot happen with the coefficients of a predictor, and cost three quarters of the time.
@jit
def _square(z: complex) -> float:
    return z.real * z.real + z.imag * z.imag


@jit
def _quotient(a: complex, b: complex) -> complex:
    size = b.real * b.real + b.imag * b.imag
    real = a.real * b.real + a.imag * b.imag
    return complex(real / size, (a.imag * b.real - a.real * b.imag) / size)


@jit
def _root(z: complex) -> complex:
    real = math.sqrt(0.5 * (math.sqrt(z.real * z.real + z.imag * z.imag) + abs(z.real)))
    if real == 0.0:
        return 0j
    imag = 0.5 * z.imag / real
    if z.real >= 0.0:
        return complex(real, imag)
    return complex(abs(imag), real if z.imag >= 0.0 else -real)


@jit
def _evaluate(c: Floats, degree: int, z: complex) -> tuple[complex, complex, complex]:
    """Value, first and half the second derivative of ``sum c[k] z^(degree-k)`` (Horner)."""
    x, y = z.real, z.imag
    pr, pi, dr, di, fr, fi = c[0], 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(1, degree + 1):
        fr, fi = x * fr - y * fi + dr, x * fi + y * fr + di
        dr, di = x * dr - y * di + pr, x * di + y * dr + pi
        pr, pi = x * pr - y * pi + c[k], x * pi + y * pr
    return complex(pr, pi), complex(dr, di), complex(fr, fi)


@jit
def _laguerre(c: Floats, degree: int) -> complex:
    """A root: Laguerre's method [1], which finds one from anywhere."""
    z = START
    for i in range(MAX_ITERATIONS):
        p, d, f = _evaluate(c, degree, z)
        if _square(p) == 0.0:
            break
        g = _quotient(d, p)
        h = g * g - 2.0 * _quotient(f, p)
        root = _root((degree - 1) * (degree * h - g * g))
        plus, minus = g + root, g - root
        down = plus if _square(plus) >= _square(minus) else minus
        if _square(down) == 0.0:  # a point of symmetry: step off it, anywhere
            step = complex(0.6, 0.8) * (i + 1.0)
        else:
            step = _quotient(degree + 0j, down)
        if (i + 1) % 12 == 0:  # a cycle, very rare: break it with a shorter step
            step *= 0.37
        z -= step
        if _square(step) <= 1e-8 * _square(z):  # cubic: the next step would be near 1e-12
            break
    return z


@jit
def _polish(c: Floats, degree: int, z: complex) -> complex:
    """Newton's steps on the undeflated polynomial, for as long as they lower its value."""
    p, d, _ = _evaluate(c, degree, z)
    for _i in range(POLISH):
        if _square(p) == 0.0 or _square(d) == 0.0:
            break
        step = _quotient(p, d)
        value, slope, _ = _evaluate(c, degree, z - step)
        if not _square(value) < _square(p):
            break
        z, p, d = z - step, value, slope
        if _square(step) <= 1e-20 * _square(z):
            break
    return z


@jit
def _of_two(c: Floats) -> complex:
    """A root of ``c[0] z^2 + c[1] z + c[2]``: the upper one, or the larger of two real ones."""
    half = -0.5 * c[1]
    rest = half * half - c[0] * c[2]
    if rest < 0.0:
        return complex(half / c[0], math.sqrt(-rest) / abs(c[0]))
    return complex((half + math.copysign(math.sqrt(rest), half)) / c[0], 0.0)


@jit
def _roots_frames(polynomials: Floats, roots: Complex) -> None:
    order = polynomials.shape[1] - 1
    c = np.empty(order + 1)
    for t in range(polynomials.shape[0]):
        whole = polynomials[t]
        degree = order
        while degree > 0 and whole[degree] == 0.0:  # roots at 0, left as they are
            degree -= 1
        full, count = degree, 0
        for k in range(degree + 1):
            c[k] = whole[k]
        while degree > 0:
            z = _of_two(c) if degree == 2 else _laguerre(c, degree)
            if degree >= 2 and abs(z.imag) > 1e-6 * abs(z.real):
                z = _polish(whole, full, z)
                # A complex root brings its conjugate: divide by z^2 - s z + q, in real numbers.
                s, q = 2.0 * z.real, _square(z)
                c[1] += s * c[0]
                for k in range(2, degree - 1):
                    c[k] += s * c[k - 1] - q * c[k - 2]
                degree -= 2
                roots[t, count], roots[t, count + 1] = z, z.conjugate()
                count += 2
            else:
                x = _polish(whole, full, z.real + 0j).real
                for k in range(1, degree):
                    c[k] += x * c[k - 1]
                degree -= 1
                roots[t, count] = x + 0j
                count += 1


# What runs where nothing is compiled. Laguerre's method with whole arrays would be slower: a few
# stray polynomials would keep all others waiting.
def _roots_plain(polynomials: Floats, roots: Complex) -> None:
    """`_roots_frames` by the eigenvalues of companion matrices (as `np.roots`)."""
    order = polynomials.shape[1] - 1
    if order < 1:
        return
    companion = np.zeros((len(polynomials), order, order))
    companion[:, 0] = -polynomials[:, 1:] / polynomials[:, :1]
    companion[:, np.arange(1, order), np.arange(order - 1)] = 1.0
    roots[:] = np.linalg.eigvals(companion)  # balances: a trailing 0 is a root of exactly 0


def polynomial_roots(polynomials: ArrayLike) -> Complex:
    """Find all roots of real polynomials: Laguerre, deflation, Newton's polish ([1]).

    Parameters
    ----------
    polynomials : (n, order + 1) coefficients, the highest power first; the first one is not 0.

    Returns
    -------
    (n, order) roots in no particular order, conjugates side by side; trailing zero coefficients
    give roots 0. Accurate to a few units of rounding for separated roots.

    Raises
    ------
    FeatureError : a polynomial that is not finite or whose first coefficient is 0.
    """
    c = np.ascontiguousarray(polynomials, dtype=np.float64)
    if c.ndim != 2 or not np.isfinite(c).all() or (c[:, :1] == 0).any():
        raise FeatureError(
            f"polynomials of shape {c.shape}, expected (n, order + 1) finite coefficients with a "
            "first one that is not 0",
            code="bad-polynomial",
        )
    roots = np.zeros((len(c), c.shape[1] - 1), dtype=np.complex128)
    if not COMPILED:
        _roots_plain(c, roots)
        return roots
    odd = np.zeros(len(c), dtype=np.bool_)
    pairs(c, roots, odd)
    if odd.any():
        some = np.zeros((int(odd.sum()), roots.shape[1]), dtype=np.complex128)
        _roots_frames(c[odd], some)
        roots[odd] = some
    return roots
