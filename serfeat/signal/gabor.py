"""Gabor band-pass filters at 8 kHz, in short blocks around the frames that are asked for.

Conventions
-----------
A band is (centre, bandwidth) in Hz. Its filter is ``g(t) = exp(-(a t)^2) cos(2 pi f t)`` with
``a = sqrt(2 pi) bandwidth``: a Gaussian response around the centre f, 1 there, whose equivalent
rectangular width is the bandwidth. Filtering also brings the signal to 8 kHz, the rate of telephone
speech: between 3.7 and 4 kHz the response is tapered to 0 (from a sample rate below 8 kHz: in the
last 300 Hz of it).

All of this is done to the spectra of blocks of a third of a second (overlap-save). A block is
spoilt at either end as far as its filters reach, 32 ms or 1.95 / bandwidth, and that is left out;
so a sample depends on its surroundings only, and on the place of the block by less than 1e-9.

Contents
--------
`RATE` : 8000 Hz.  `gabor_blocks` : the bands of a signal around its frames.
`frame_size`, `frame_begin` : the toolkit's frames at `RATE`.

Sources
-------
G. Zhou, J. Hansen, J. Kaiser, "Nonlinear feature based classification of speech under stress", IEEE
Trans. Speech and Audio Processing 9(3), 2001: the filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.shorttime import ShortTime
from serfeat.types import Floats, Ints

__all__ = ["RATE", "Bands", "frame_begin", "frame_size", "gabor_blocks"]

RATE = 8000  # Hz
# Samples at `RATE`: a block, and (at least) what is left out at either end: the taper's impulse
# response is below 1e-10 there.
BLOCK = 2560
GUARD = 256
TAPER = 300.0  # Hz, width of the taper
# A Gabor filter is below 1e-10 this far from its middle, in units of 1 / a.
REACH = 4.8
NOTHING = 1e-20  # a response below this is 0

Complex = NDArray[np.complex128]
Bands = tuple[tuple[float, float], ...]


def frame_size(length: float) -> int:
    """Samples at `RATE` of a frame of `length` s."""
    size = round(length * RATE)
    if size < 1:
        raise FeatureError(
            f"a window of {length} s is shorter than one sample at {RATE} Hz", code="bad-length"
        )
    return size


def frame_begin(st: ShortTime, at: Ints, size: int) -> Ints:
    """(k,) samples at `RATE` with which the frames `at` begin, `size` samples each."""
    return np.asarray(np.rint(at * (st.hop * RATE / st.sr)) - size // 2, dtype=np.int64)


@lru_cache(maxsize=8)
def _gains(bands: Bands, sr: int, points: int) -> Floats:
    """(bands, bins) responses of the Gabor filters over half a spectrum of a block at `RATE`."""
    f = np.arange(points // 2) * (RATE / points)
    centre, width = np.array(bands).T[..., None]
    a = np.sqrt(2 * np.pi) * width
    gains = np.exp(-((np.pi * (f - centre) / a) ** 2)) + np.exp(-((np.pi * (f + centre) / a) ** 2))
    gains /= 1 + np.exp(-((2 * np.pi * centre / a) ** 2))
    # Half of a Gaussian integral: its impulse response falls off as fast as the Gabor filters'.
    above = (f - (min(sr, RATE) - TAPER) / 2) / (TAPER / 2)
    gains *= scipy.special.erfc(3.75 * above) / 2
    gains[gains < NOTHING] = 0.0
    gains.flags.writeable = False
    return np.asarray(gains)


def _paired(spectrum: Complex, gains: Floats, out: Complex) -> None:
    """Write spectra of ``band a + i band b``, two real bands at a time.

    The real part of their inverse transform is band a, the imaginary part band b.

    Parameters
    ----------
    spectrum : (bins,) of a real signal, without the highest frequency.
    gains : (bands, at least bins) responses.
    out : (pairs, points) receives the spectra.
    """
    bins, odd = len(spectrum), len(gains) // 2
    a, b = gains[::2, :bins] * spectrum, gains[1::2, :bins] * spectrum
    out[:] = 0.0
    out[:, :bins] = a
    out[:odd, :bins] += 1j * b
    out[:, -1:-bins:-1] = a[:, 1:].conj()
    out[:odd, -1:-bins:-1] += 1j * b[:, 1:].conj()


@jit
def _paired_fast(spectrum: Complex, gains: Floats, out: Complex) -> None:
    """Do what `_paired` does, but only where a band lets something pass."""
    out[:] = 0.0
    for pair in range(len(out)):
        a, b = gains[2 * pair], gains[min(2 * pair + 1, len(gains) - 1)]
        alone = 2 * pair + 1 == len(gains)
        row = out[pair]
        mirrored = row[::-1]
        for k in range(len(spectrum)):
            p, q = a[k], 0.0 if alone else b[k]
            if p == 0.0 and q == 0.0:
                continue
            re, im = spectrum[k].real, spectrum[k].imag
            row[k] = complex(re * p - im * q, im * p + re * q)
            if k > 0:
                mirrored[k - 1] = complex(re * p + im * q, re * q - im * p)


def gabor_blocks(
    st: ShortTime, begin: Ints, size: int, bands: Bands
) -> Iterator[tuple[slice, int, Floats]]:
    """Filter what surrounds the frames that begin at the samples `begin` of `RATE`.

    A block begins at the first frame that the one before does not hold: gaps are skipped.

    Parameters
    ----------
    begin : (k,) ascending; size : samples at `RATE` of a frame. Both its neighbours are there too.
    bands : (centre, bandwidth) of each, Hz.

    Yields
    ------
    which frames; the sample of `RATE` at which the block begins; and its bands, two by two: (pairs,
    samples, 2), an array that the next block overwrites.
    """
    common = math.gcd(st.sr, RATE)
    up, down = RATE // common, st.sr // common
    narrowest = min(width for _, width in bands)
    guard = max(GUARD, math.ceil(REACH * RATE / (math.sqrt(2 * math.pi) * narrowest)))
    least = size + 2 * guard + up + 2
    # Whole samples at both rates, and an even number of them at RATE.
    units = scipy.fft.next_fast_len(-(-max(BLOCK, 2 * least) // (2 * up)))
    points, source = 2 * up * units, 2 * down * units
    gains = _gains(bands, st.sr, points)
    x, pairs = np.zeros(source), np.zeros(((len(bands) + 1) // 2, points), dtype=np.complex128)
    combine = _paired_fast if COMPILED else _paired
    i = 0
    while i < len(begin):
        start = int(begin[i] - 1 - guard) // up * up
        after = int(np.searchsorted(begin, start + points - guard - size - 1, side="right"))
        spectrum = scipy.fft.rfft(_stretch(st.centred, start // up * down, x), norm="forward")
        combine(spectrum[: min(points, source) // 2], gains, pairs)
        y = scipy.fft.ifft(pairs, axis=1, overwrite_x=True, norm="forward").view(np.float64)
        yield slice(i, after), start, y.reshape(len(pairs), points, 2)
        i = after


def _stretch(x: Floats, first: int, out: Floats) -> Floats:
    """Samples `first` ... of x, as many as `out` has: of x where it has all, else in `out`."""
    last = first + len(out)
    if first >= 0 and last <= len(x):
        return x[first:last]
    begin, end = min(max(0, first), len(x)), max(0, min(last, len(x)))
    out[:] = 0.0
    out[begin - first : end - first] = x[begin:end]
    return out
