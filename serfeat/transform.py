"""Fourier transforms of many frames side by side: power spectra and autocorrelations.

A transform spends its time on moving numbers. Here a row holds the same sample of `WIDTH` frames
(`serfeat.lanes`), and every step of the transform works on whole rows: no step ever needs two
numbers of one frame from one register, and one cache line holds one row. Between the samples and
the result nothing is written to memory but two buffers that stay in the cache.

Method
------
*Stockham's transform* ([1]). A transform of n = r m points is m butterflies of r points, a
twist of their results, and r transforms of m points. Written from one buffer to the other, with
the results of a butterfly s rows apart, the output of the last pass is in order by itself: no bit
reversal. Pass by pass m shrinks by the radix r (2 to 16) and s grows by it.

*Real samples* ([1]). The even samples as real and the odd ones as imaginary parts are
one complex signal z of M = n/2 points. With A = Z[k], B = conj Z[M-k] and t = 2 pi k / n,
``2 X[k] = (A + B) - i exp(-it) (A - B)``, and ``2 conj X[M-k]`` is the same with a plus.

*Autocorrelation*. It is the transform of the power spectrum P, which is real and even, so that half
of that transform is known beforehand. With u = P[k] + P[M-k], v = P[k] - P[M-k], the M-point
transform of ``u + v sin t + i v cos t`` has the even lags as real, the odd ones as imaginary parts:
all lags from two complex transforms of half the size.

*Places*. The row of an imaginary part follows that of its real part, and what twists a butterfly
lies in one piece: few addresses are then to be found, which took longer than the sums themselves.

The bits of a frame do not depend on the frames beside it: the last row of a clip is filled with
silence, and no step adds across lanes.

Contents
--------
`power_spectra`    : |X|^2 of windowed frames.
`autocorrelations` : circular, of windowed frames.
`can_transform`, `fast_points` : the numbers of points that they are made for.

The transforms exist only where kernels are compiled (`serfeat.jit.COMPILED`); what runs elsewhere,
by `scipy.fft`, is beside their callers, and is their reference in the tests.

Sources
-------
[1] C. Van Loan, "Computational Frameworks for the Fast Fourier Transform", SIAM 1992.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np

from serfeat.jit import jit
from serfeat.lanes import WIDTH, Row, Rows, side_by_side
from serfeat.types import Floats, Ints, Reals

__all__ = ["autocorrelations", "can_transform", "fast_points", "power_spectra"]

T = TypeVar("T", bound=np.ndarray[Any, Any])

RADICES = (16, 10, 9, 8, 6, 5, 4, 3, 2)
TWISTS = 2 * (RADICES[0] - 1)  # numbers that twist the results of one butterfly
LINE = 64  # bytes of a cache line, which no row may straddle
SIN_60 = math.sqrt(0.75)
COS_72, SIN_72 = math.cos(0.4 * math.pi), math.sin(0.4 * math.pi)
COS_144, SIN_144 = math.cos(0.8 * math.pi), math.sin(0.8 * math.pi)


class Plan(NamedTuple):
    """What a transform of n real points needs, by size and precision.

    Attributes
    ----------
    half : M = n / 2.
    radices : (passes,) their product is M.
    twists : (passes, M, TWISTS) of butterfly p, cosine and sine of result j at [2j-2], [2j-1].
    split : (2, M / 2 + 1) cosine and sine of t.
    """

    half: int
    radices: Ints
    twists: Reals
    split: Reals


@lru_cache(maxsize=16)
def _plan(points: int, dtype: str) -> Plan:
    """Plan a transform of `points` real numbers: twice a product of 2, 3 and 5."""
    half, radices = points // 2, []
    m = half
    for r in RADICES:
        while m % r == 0:
            radices.append(r)
            m //= r
    twists = np.zeros((len(radices), half, TWISTS))
    m = half
    for k, r in enumerate(radices):
        m //= r
        for j in range(1, r):
            angle = -2 * np.pi * j * np.arange(m) / (r * m)
            twists[k, :m, 2 * j - 2], twists[k, :m, 2 * j - 1] = np.cos(angle), np.sin(angle)
    t = 2 * np.pi * np.arange(half // 2 + 1) / points
    split = np.stack([np.cos(t), np.sin(t)])
    return Plan(half, np.array(radices, dtype=np.int64), twists.astype(dtype), split.astype(dtype))


def _memory(points: int, dtype: str) -> tuple[Reals, Reals]:
    """Two buffers, (2 rows WIDTH,), and (WIDTH, rows) for frames; whole cache lines.

    There are as many rows as points, and a few more to make whole squares of them.
    """
    size = np.dtype(dtype).itemsize
    width = WIDTH[size]
    rows = -(-points // width) * width
    memory = np.empty(3 * rows * width + LINE // size, dtype=dtype)
    memory = memory[-memory.ctypes.data % LINE // size :]
    work, frames = memory[: 2 * rows * width], memory[2 * rows * width : 3 * rows * width]
    return work, frames.reshape(width, rows)


def can_transform(points: int) -> bool:
    """Say whether a number of points is twice a product of 2, 3 and 5, and above 0."""
    rest = points // 2
    for r in (2, 3, 5):
        while rest and rest % r == 0:
            rest //= r
    return points % 2 == 0 and rest == 1


@lru_cache(maxsize=64)
def fast_points(least: int) -> int:
    """Find the smallest number of points, `least` or more, that `can_transform`."""
    return next(n for n in range(least + least % 2, 2 * least + 3, 2) if can_transform(n))


def power_spectra(
    signal: Reals,
    starts: Ints,
    weights: Floats,
    points: int,
    out: Reals,
    *,
    preemphasis: float = 0.0,
    mean: Floats | None = None,
) -> None:
    """Power spectrum of every frame, ``|rfft(w * x)|^2``.

    Parameters
    ----------
    signal : (n,); samples before its beginning and after its end are zero.
    starts : (frames,) first sample of every frame, may be negative.
    weights : (length,) window.
    points : of the transform, at least `length`; twice a product of 2, 3 and 5.
    out : (frames, bins) receives the lowest bins, at most ``points // 2 + 1``, in its precision.
    preemphasis : a in ``y[n] = x[n] - a x[n-1]``, inside each frame, ``y[0] = (1 - a) x[0]``.
    mean : (frames,) is taken away from the samples of the clip, not from the zeros around it.
    """
    mean = np.zeros(len(starts)) if mean is None else mean
    _run(signal, starts, weights, mean, points, out, preemphasis, False)


def autocorrelations(
    signal: Reals, starts: Ints, weights: Floats, mean: Floats, points: int, out: Reals
) -> None:
    """Circular autocorrelation of every frame, up to a constant factor.

    Parameters
    ----------
    signal, starts, weights, points : see `power_spectra`.
    mean : (frames,) is taken away from the samples of the clip, not from the zeros around it.
    out : (frames, lags) receives lags 0, 1, ..., at most `points`, in its precision.
    """
    _run(signal, starts, weights, mean, points, out, 0.0, True)


def _run(
    signal: Reals,
    starts: Ints,
    weights: Floats,
    mean: Floats,
    points: int,
    out: Reals,
    preemphasis: float,
    lags: bool,
) -> None:
    dtype = out.dtype.str
    plan = _plan(points, dtype)
    work, frames = _memory(points, dtype)
    _analyse(
        _fixed(signal), _fixed(starts), _fixed(weights), _fixed(mean), preemphasis, lags,
        plan.half, plan.radices, plan.twists, plan.split, work, frames, out,
    )  # fmt: skip


def _fixed(array: T) -> T:
    """View an array as read-only, whether it is or not: one kernel is compiled for both."""
    view = array.view()
    view.flags.writeable = False
    return view


# ------------------------------------------------------------------------------------------ kernels
@jit
def _cut(
    signal: Reals,
    starts: Ints,
    weights: Floats,
    mean: Floats,
    preemphasis: float,
    first: int,
    frames: Reals,
) -> None:
    """Write frames `first` and following, emphasised and windowed, into the rows of `frames`."""
    length, n = len(weights), len(signal)
    raw = np.empty(length)
    for i in range(len(frames)):
        row = frames[i, :length]
        frames[i, length:] = 0.0
        if first + i >= len(starts):
            row[:] = 0.0
            continue
        start, level = starts[first + i], mean[first + i]
        if start >= 0 and start + length <= n:
            _emphasise(signal[start : start + length], level, preemphasis, weights, row)
            continue
        begin = min(max(-start, 0), length)
        end = max(begin, min(length, n - start))
        raw[:] = 0.0
        for j in range(begin, end):
            raw[j] = signal[start + j] - level
        _emphasise(raw, 0.0, preemphasis, weights, row)


@jit
def _emphasise(
    samples: Reals, level: float, preemphasis: float, weights: Floats, row: Reals
) -> None:
    """Write a frame without its mean, emphasised and windowed."""
    # slices, so that the compiler sees that no index is negative
    if preemphasis == 0.0:
        for j in range(len(weights)):
            row[j] = (samples[j] - level) * weights[j]
        return
    later, before, there, w = samples[1:], samples[:-1], row[1:], weights[1:]
    for j in range(len(w)):
        there[j] = ((later[j] - level) - preemphasis * (before[j] - level)) * w[j]
    row[0] = (1 - preemphasis) * (samples[0] - level) * weights[0]


Z = tuple[Row, Row]  # real and imaginary parts


def _dft(z: list[Z]) -> list[Z]:
    """Transform a few points: by the symmetries of 2 to 5 roots of unity, more by parts."""
    n = len(z)
    if n == 2:
        (ar, ai), (br, bi) = z
        return [(ar + br, ai + bi), (ar - br, ai - bi)]
    if n == 3:
        (ar, ai), (br, bi), (cr, ci) = z
        tr, ti, ur, ui = br + cr, bi + ci, (bi - ci) * SIN_60, (cr - br) * SIN_60
        vr, vi = ar - tr * 0.5, ai - ti * 0.5
        return [(ar + tr, ai + ti), (vr + ur, vi + ui), (vr - ur, vi - ui)]
    if n == 4:
        (ar, ai), (br, bi), (cr, ci), (dr, di) = z
        tr, ti, ur, ui = ar + cr, ai + ci, ar - cr, ai - ci
        vr, vi, wr, wi = br + dr, bi + di, bi - di, dr - br
        return [(tr + vr, ti + vi), (ur + wr, ui + wi), (tr - vr, ti - vi), (ur - wr, ui - wi)]
    if n == 5:
        (ar, ai), (br, bi), (cr, ci), (dr, di), (er, ei) = z
        tr, ti, ur, ui = br + er, bi + ei, cr + dr, ci + di
        vr, vi, wr, wi = br - er, bi - ei, cr - dr, ci - di
        fr, fi = ar + tr * COS_72 + ur * COS_144, ai + ti * COS_72 + ui * COS_144
        gr, gi = vr * SIN_72 + wr * SIN_144, vi * SIN_72 + wi * SIN_144
        hr, hi = ar + tr * COS_144 + ur * COS_72, ai + ti * COS_144 + ui * COS_72
        kr, ki = vr * SIN_144 - wr * SIN_72, vi * SIN_144 - wi * SIN_72
        first = (ar + tr + ur, ai + ti + ui)
        return [
            first,
            (fr + gi, fi - gr),
            (hr + ki, hi - kr),
            (hr - ki, hi + kr),
            (fr - gi, fi + gr),
        ]
    r = next(r for r in (4, 3, 2) if n % r == 0)
    m = n // r
    parts = [_dft(z[i::r]) for i in range(r)]
    columns = [_dft([_twisted(parts[i][k], *_root(i * k, n)) for i in range(r)]) for k in range(m)]
    return [columns[k % m][k // m] for k in range(n)]


def _root(k: int, n: int) -> tuple[float, float]:
    """Cosine and sine of ``-2 pi k / n``."""
    return math.cos(2 * math.pi * k / n), -math.sin(2 * math.pi * k / n)


def _twisted(z: Z, cosine: Row | float, sine: Row | float) -> Z:
    real, imag = z
    if cosine == 1.0:
        return z
    return real * cosine - imag * sine, real * sine + imag * cosine


def _butterfly(radix: int) -> Callable[..., None]:
    """Make the butterfly of a radix, for kernels.

    It reads row `x` and those `step` further, and writes row `y` and those `s` further, result j
    twisted by the cosine and sine at `p` + 2j - 2. An imaginary part lies behind its real one.
    """

    def butterfly(work: Rows, table: Rows, x: Row, y: Row, p: Row, step: Row, s: Row) -> None:
        z = [(work[x + step * j], work[x + step * j + 1]) for j in range(radix)]
        for j, result in enumerate(_dft(z)):
            if j:
                cosine, sine = table.one(p + (2 * j - 2)), table.one(p + (2 * j - 1))
                result = _twisted(result, cosine, sine)
            work[y + s * j], work[y + s * j + 1] = result

    return side_by_side(butterfly)


_2, _3, _4, _5, _6 = (_butterfly(r) for r in (2, 3, 4, 5, 6))
_8, _9, _10, _16 = (_butterfly(r) for r in (8, 9, 10, 16))


@side_by_side
def _power_of_pair(
    work: Rows, split: Rows, a: Row, b: Row, p: Row, q: Row, k: Row, size: Row
) -> None:
    """From Z[k] and Z[M-k] to the power of X[k] and X[M-k]."""
    _, _, er, ei, tr, ti = _split(work, split, a, b, k, size)
    xr, xi, yr, yi = er + tr, ei + ti, er - tr, ei - ti
    work[p] = (xr * xr + xi * xi) * 0.25
    work[q] = (yr * yr + yi * yi) * 0.25


@side_by_side
def _lags_of_pair(
    work: Rows, split: Rows, a: Row, b: Row, p: Row, q: Row, k: Row, size: Row
) -> None:
    """From Z[k] and Z[M-k] to what the autocorrelation is the transform of."""
    c, s, er, ei, tr, ti = _split(work, split, a, b, k, size)
    ar, ai, br, bi = work[a], work[a + 1], work[b], work[b + 1]
    u, v = (ar * ar + ai * ai) + (br * br + bi * bi), er * tr + ei * ti
    work[q], work[q + 1] = u - v * s, v * c
    work[p], work[p + 1] = u + v * s, v * c


def _split(
    work: Rows, split: Rows, a: Row, b: Row, k: Row, size: Row
) -> tuple[Row, Row, Row, Row, Row, Row]:
    """Cosine and sine of t, A + B and ``-i exp(-it) (A - B)``."""
    ar, ai, br, bi = work[a], work[a + 1], work[b], work[b + 1]
    c, s = split.one(k), split.one(k + size)
    er, ei, dr, di = ar + br, ai - bi, ai + bi, br - ar
    return c, s, er, ei, dr * c + di * s, di * c - dr * s


def _transposed(square: list[Row]) -> list[Row]:
    """From a row per frame to a row per sample, or back: as many rows as a row has numbers."""
    half = len(square) // 2
    for _ in range(half.bit_length()):
        pairs = [square[i].interleaved(square[i + half]) for i in range(half)]
        square = [row for pair in pairs for row in pair]
    return square


@side_by_side
def _square_in(work: Rows, frames: Rows, c: Row, length: Row) -> None:
    """Take W samples of W frames: even ones are real parts, odd ones imaginary."""
    width = work.width
    for j, row in enumerate(_transposed([frames[c + length * i] for i in range(width)])):
        work[c * width + j] = row


@side_by_side
def _square_out(work: Rows, frames: Rows, p: Row, c: Row, length: Row) -> None:
    """Give W lags, or bins, of W frames back."""
    width = work.width
    for i, row in enumerate(_transposed([work[p + c * width + j] for j in range(width)])):
        frames[c + length * i] = row


# A pass does m s butterflies of r points: p tells how they are twisted, q counts those of a twist.
@jit
def _transform(work: Reals, source: int, rows: int, half: int, radices: Ints, twists: Reals) -> int:
    """Transform the buffer that begins at row `source`; the row at which the result begins."""
    target, m, s = rows - source, half, half // half
    for k in range(len(radices)):
        r, table = radices[k], twists[k]
        m //= r
        for p in range(m):
            for q in range(s):
                x, y = source + 2 * (p * s + q), target + 2 * (r * p * s + q)
                at = (x, y, p * TWISTS, 2 * m * s, 2 * s)
                if r == 16:
                    _16(work, table, at)
                elif r == 10:
                    _10(work, table, at)
                elif r == 9:
                    _9(work, table, at)
                elif r == 8:
                    _8(work, table, at)
                elif r == 6:
                    _6(work, table, at)
                elif r == 5:
                    _5(work, table, at)
                elif r == 4:
                    _4(work, table, at)
                elif r == 3:
                    _3(work, table, at)
                else:
                    _2(work, table, at)
        s *= r
        source, target = target, source
    return source


@jit
def _analyse(
    signal: Reals,
    starts: Ints,
    weights: Floats,
    mean: Floats,
    preemphasis: float,
    lags: bool,
    half: int,
    radices: Ints,
    twists: Reals,
    split: Reals,
    work: Reals,
    frames: Reals,
    out: Reals,
) -> None:
    """Do `power_spectra`, or `autocorrelations`, as many frames at a time as a row is wide."""
    width, wanted, size = len(frames), out.shape[1], half // 2 + 1
    rows = frames.shape[1]
    length, squares = rows // width, (wanted + width - 1) // width
    for first in range(0, len(starts), width):
        _cut(signal, starts, weights, mean, preemphasis, first, frames)
        for c in range((2 * half + width - 1) // width):
            _square_in(work, frames, (c, length))
        z = other = rows - rows
        for turn in range(2 if lags else 1):
            z = _transform(work, other, rows, half, radices, twists)
            other = rows - z
            for k in range(0 if turn else size):
                mirror = half - k if k > 0 else 0
                a, b = z + 2 * k, z + 2 * mirror
                if lags:
                    at = (a, b, other + 2 * k, other + 2 * mirror, k, size)
                    _lags_of_pair(work, split, at)
                else:
                    _power_of_pair(work, split, (a, b, other + k, other + half - k, k, size))
        for c in range(squares):
            _square_out(work, frames, (z if lags else other, c, length))
        for i in range(min(width, len(starts) - first)):
            there, here = out[first + i], frames[i, :wanted]
            for k in range(wanted):  # an assignment of slices takes seconds to compile
                there[k] = here[k]
