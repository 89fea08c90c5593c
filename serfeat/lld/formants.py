"""Formants: the resonances of the vocal tract, from the poles of a linear predictor.

F1 falls with the closure of the vowel, F2 rises as the tongue moves forward, F3 falls with
rounding.

Method (Praat's "To Formant (burg)") [1]
----------------------------------------
1. Resample to twice the ceiling with a brick-wall filter: a smooth filter edge inside the band
   would be modelled by the predictor as if it were speech.
2. Pre-emphasis from 50 Hz: ``y[n] = x[n] - exp(-2 pi 50 / sr) x[n-1]``.
3. Gaussian window, physically twice as long as its nominal length (50 ms for 25 ms).
4. Predictor by Burg's method, two poles per formant.
5. Poles are found as roots, never as peaks of the predictor's spectrum, which merges neighbours.
   A pole z is a formant of ``F = sr / 2 pi arg z`` and ``B = -sr / pi ln |z|`` [2]; those nearer
   than 50 Hz to 0 or to the ceiling are dropped, the others are numbered from below.

Choices of ours: frames lie on the toolkit's grid, so the first and the last ones reach into the
zeros beyond the clip (Praat leaves them out); a clip whose band ends below the ceiling is not
upsampled (an empty band breaks linear prediction), but gets proportionally fewer poles. A formant
exists only in sound: a frame 60 dB or more below the loudest one of the clip, or below -100 dB re
full scale, gives NaN. Voicing is not asked: whispered speech has formants too, and who wants vowels
only has the column f0_hz to select by. The mean of the clip stays, as in Praat: the pre-emphasis
weakens a constant by 30 dB.

Trust
-----
F1 is drawn to the nearest harmonic, by up to 40 Hz at F0 = 200 Hz. The ceiling should fit the
speaker: 5000 Hz for men, 5500 Hz for women, 8000 Hz for children. An empty upper band (telephone,
MP3) renumbers the formants, in this and in every other linear-prediction method.

Contents
--------
`formants`         : F1 ... Fk and B1 ... Bk, frame by frame.
`polynomial_roots` : all roots of real polynomials, compiled.

Sources
-------
[1] P. Boersma, D. Weenink, "Praat: doing phonetics by computer", manual page "Sound: To Formant
    (burg)...", and Childers, "Modern Spectrum Analysis", IEEE Press 1978, pp. 252-255 (Burg).
[2] J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63(4), 1975.
[3] Press et al., "Numerical Recipes", 3rd ed., section 9.5 (Laguerre's method).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import FeatureError
from serfeat.jit import jit
from serfeat.prediction import burg
from serfeat.shorttime import BLOCK, Descriptor, ShortTime, window
from serfeat.types import Floats, Ints

__all__ = ["DESCRIPTORS", "formants", "polynomial_roots"]

# Hz: poles nearer than this to 0 or to the ceiling are no formants (Praat's safety margin).
SAFETY = 50.0
# dB: a frame this far below the loudest one of the clip is silence, as is one below the floor.
SILENCE_DB = 60.0
FLOOR_DB = -100.0
# Samples of silence behind a clip when it is resampled through the (circular) Fourier transform.
GUARD = 1000
MAX_ITERATIONS = 60


# ------------------------------------------------------------------------------------------- roots
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
    """The root nearest to 0, or nearly so: Laguerre's method [3], which finds one from anywhere."""
    z = 0j
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
    for _i in range(4):
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
def _roots_frames(polynomials: Floats, roots: NDArray[np.complex128]) -> None:
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
            z = _laguerre(c, degree)
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


def polynomial_roots(polynomials: ArrayLike) -> NDArray[np.complex128]:
    """Find all roots of real polynomials: Laguerre, deflation, Newton's polish ([3]).

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
    _roots_frames(c, roots)
    return roots


# ---------------------------------------------------------------------------------------- formants
def _resampled(x: Floats, sr: int, rate: int) -> Floats:
    """(about n * rate / sr,) the signal at a lower rate; sample m is at m / rate, as before.

    The filter is a brick wall at rate / 2, applied in the frequency domain to the whole clip, with
    a guard of silence behind it (the transform is circular: the guard serves both ends).
    """
    common = math.gcd(sr, rate)
    up, down = rate // common, sr // common
    # Both lengths are multiples of one fast size, so both transforms are exact and quick.
    size = scipy.fft.next_fast_len(-(-(len(x) + GUARD) // down), real=True)
    spectrum = scipy.fft.rfft(x, size * down)
    kept = spectrum[: size * up // 2 + 1]
    y = scipy.fft.irfft(kept, size * up) * (up / down)
    return np.asarray(y[: -(-len(x) * up // down)])


def _frames_at(y: Floats, centres: Ints, size: int) -> Floats:
    """(len(centres), size) frames of `y` around the centres, zero beyond its ends."""
    reach = int(max(size, centres[-1] + size - len(y) if len(centres) else size))
    padded = np.pad(y, (size, reach))
    views = np.lib.stride_tricks.sliding_window_view(padded, size)
    return np.asarray(views[centres + size - size // 2])


def _analyse(
    st: ShortTime,
    *,
    n_formants: int = 3,
    ceiling: float = 5500.0,
    max_formants: float = 5.0,
    length: float = 0.025,
    preemphasis_from: float = 50.0,
) -> Floats:
    rate = min(round(2 * ceiling), st.sr)
    y = st.x if rate == st.sr else _resampled(st.x, st.sr, rate)
    order = 2 * max(1, round(max_formants * rate / (2 * ceiling)))
    size = int(2 * length * rate)
    if n_formants < 1 or size <= order:
        raise FeatureError(
            f"{n_formants} formants from {order} poles in windows of {size} samples, expected at "
            "least one formant and more samples than poles",
            code="bad-order",
        )
    emphasised = y.copy()
    emphasised[1:] -= np.exp(-2 * np.pi * preemphasis_from / rate) * y[:-1]
    centres = np.rint(np.arange(st.n_frames) * (st.hop * rate / st.sr)).astype(np.int64)
    out = np.full((st.n_frames, 2 * n_formants), np.nan)
    audible = _audible(st, length)
    shape = window("gauss", size)
    for first in range(0, len(audible), BLOCK):
        at = audible[first : first + BLOCK]
        model = burg(_frames_at(emphasised, centres[at], size) * shape, order)
        out[at] = _poles_to_formants(polynomial_roots(model.a), rate, n_formants)
    return out


def _audible(st: ShortTime, length: float) -> Ints:
    """Indices of the frames that are not silence."""
    size = max(1, round(2 * length * st.sr))
    frames = st.frames(size, signal=st.centred)
    power = np.einsum("ij,ij->i", frames, frames) / size
    floor = max(10 ** (FLOOR_DB / 10), power.max() * 10 ** (-SILENCE_DB / 10))
    return np.flatnonzero(power > floor)


def _poles_to_formants(poles: NDArray[np.complex128], rate: int, n_formants: int) -> Floats:
    """(n, 2 n_formants) frequencies, then bandwidths, in ascending order of the frequency."""
    frequency = np.angle(poles) * (rate / (2 * np.pi))
    kept = (frequency >= SAFETY) & (frequency <= rate / 2 - SAFETY)
    radius = np.abs(np.where(kept, poles, 1.0))
    frequency = np.where(kept, frequency, np.nan)
    # A pole on the unit circle, by rounding even outside, rings for ever: bandwidth 0.
    bandwidth = np.where(kept, np.maximum(-np.log(radius) * (rate / np.pi), 0.0), np.nan)
    wanted = np.argsort(frequency, axis=1)[:, :n_formants]  # NaN goes last
    found = np.full((len(poles), 2, n_formants), np.nan)
    found[:, 0, : wanted.shape[1]] = np.take_along_axis(frequency, wanted, 1)
    found[:, 1, : wanted.shape[1]] = np.take_along_axis(bandwidth, wanted, 1)
    return found.reshape(len(poles), 2 * n_formants)


def formants(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    n_formants: int = 3,
    ceiling: float = 5500.0,
    max_formants: float = 5.0,
    length: float = 0.025,
    preemphasis_from: float = 50.0,
) -> Floats:
    """Formant frequencies and bandwidths by Burg's method, as Praat does ([1]).

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    n_formants : formants to give.
    ceiling : Hz, top of the analysed band: 5000 for men, 5500 for women, 8000 for children.
    max_formants : formants expected below the ceiling, two poles each; 4.5 means 9 poles in Praat.
    length : s, nominal; the Gaussian window is physically twice as long.
    preemphasis_from : Hz, above which the spectrum is raised by 6 dB per octave.

    Returns
    -------
    (n_frames, 2 n_formants) Hz: F1 ... Fk, then B1 ... Bk. NaN in silence (60 dB below the loudest
    frame, or digital) and where the predictor has fewer resonances.

    Raises
    ------
    FeatureError : less than one formant, or a window too short for the poles.
    """
    st = ShortTime(x, sr, hop)
    return _analyse(
        st,
        n_formants=n_formants,
        ceiling=ceiling,
        max_formants=max_formants,
        length=length,
        preemphasis_from=preemphasis_from,
    )


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="formants",
        columns=("f1_hz", "f2_hz", "f3_hz", "b1_hz", "b2_hz", "b3_hz"),
        unit="Hz",
        summary="frequencies and bandwidths of the first three formants (Burg, ceiling 5500 Hz)",
        source="Praat, Sound: To Formant (burg)",
        compute=_analyse,
        undefined="in silence (60 dB below the loudest frame); where fewer resonances are found",
        params={"ceiling": 5500.0, "max_formants": 5.0, "length": 0.025, "preemphasis_from": 50.0},
    ),
)
