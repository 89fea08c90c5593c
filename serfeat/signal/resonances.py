"""Resonances of the vocal tract: the poles of a linear predictor, frame by frame.

Formant frequencies and bandwidths, the harmonics beside them and the formant levels all ask for the
same poles; they are found once per clip and kept by the `ShortTime`.

Two ways to the predictor, one convention (Praat's): band up to a ceiling, two poles per formant,
pre-emphasis from 50 Hz, a Gaussian window that is physically twice its nominal length.

`"selective"` (the default) : selective linear prediction [1]. The autocorrelation of the band below
    the ceiling is a sum of cosines over the bins of the power spectrum there: no resampling, one
    transform per frame, Levinson's recursion. Frames are pre-emphasised before they are windowed,
    as in Praat: the other way round the slope of the window counts as signal, and moves the F1 of
    an /i/ by 2.5 Hz.
`"burg"` : what Praat does [2]: resample to twice the ceiling with a brick-wall filter (a smooth
    filter edge inside the band would be modelled as if it were speech), pre-emphasis, window,
    Burg's recursion. Ten times slower; equal to Praat's numbers to a fraction of a Hz.

A pole z is a resonance of ``F = rate / 2 pi arg z`` and ``B = -rate / pi ln |z|`` [1]. Poles are
found as roots, never as peaks of the predictor's spectrum, which merges neighbours. Those nearer
than 50 Hz to 0 or to the ceiling are dropped, the others are numbered from below.

Choices of ours: frames lie on the toolkit's grid, so the first and the last ones reach into the
zeros beyond the clip (Praat leaves them out). A clip whose band ends below the ceiling is not
upsampled (an empty band breaks linear prediction), but gets proportionally fewer poles.

Contents
--------
`Resonances`, `resonances` : frequencies and bandwidths of every frame.

Sources
-------
[1] J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63(4), 1975, and "Spectral linear
    prediction: properties and applications", IEEE Trans. ASSP 23(3), 1975.
[2] P. Boersma, D. Weenink, "Praat: doing phonetics by computer", manual page "Sound: To Formant
    (burg)...", and Childers, "Modern Spectrum Analysis", IEEE Press 1978, pp. 252-255 (Burg).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from serfeat.errors import FeatureError, did_you_mean
from serfeat.jit import COMPILED, jit
from serfeat.shorttime import (
    BLOCK,
    ShortTime,
    cut_frames,
    emphasise,
    squared_magnitude,
    window,
)
from serfeat.signal.pitch import pitch
from serfeat.signal.prediction import burg, levinson
from serfeat.signal.roots import polynomial_roots
from serfeat.transform import fast_points, power_spectra
from serfeat.types import Floats, Ints

__all__ = ["Frames", "Method", "Resonances", "resonances"]

Method = Literal["selective", "burg"]
Frames = Literal["voiced", "audible"]

N_RESONANCES = 5
SPECTRA = 256  # computed at a time
# Hz: poles nearer than this to 0 or to the ceiling are no formants (Praat's safety margin).
SAFETY = 50.0
# dB: a frame this far below the loudest one of the clip is silence, as is one below the floor.
SILENCE_DB = 60.0
FLOOR_DB = -100.0
# Samples of silence behind a clip when it is resampled through the (circular) Fourier transform.
GUARD = 1000


class Resonances(NamedTuple):
    """The resonances of every frame.

    Attributes
    ----------
    frequency, bandwidth : (n_frames, 5) Hz, by rising frequency; NaN where there are fewer, and in
        frames that were not asked for.
    """

    frequency: Floats
    bandwidth: Floats


def resonances(
    st: ShortTime,
    *,
    ceiling: float = 5500.0,
    max_formants: float = 5.0,
    length: float = 0.025,
    preemphasis_from: float = 50.0,
    method: Method = "selective",
    frames: Frames = "voiced",
) -> Resonances:
    """Find the resonances of a clip, once for all who ask.

    Parameters
    ----------
    st : the clip on its grid.
    ceiling : Hz, top of the analysed band: 5000 for men, 5500 for women, 8000 for children.
    max_formants : formants expected below the ceiling, two poles each; 4.5 means 9 poles in Praat.
    length : s, nominal; the Gaussian window is physically twice as long.
    preemphasis_from : Hz, above which the spectrum is raised by 6 dB per octave.
    method : ``"selective"`` or ``"burg"``.
    frames : ``"voiced"``, or ``"audible"``: all that are not silence (60 dB below the loudest frame
        of the clip, or -100 dB re full scale).

    Returns
    -------
    Resonances.

    Raises
    ------
    FeatureError : a window too short for the poles, a ceiling that is not positive.
    UnknownNameError : another method or choice of frames.
    """
    if method not in ("selective", "burg"):
        raise did_you_mean("formant method", method, ("selective", "burg"))
    if frames not in ("voiced", "audible"):
        raise did_you_mean("choice of frames", frames, ("voiced", "audible"))
    rate = min(round(2 * ceiling), st.sr)
    order = 2 * max(1, round(max_formants * rate / (2 * ceiling))) if ceiling > 0 else 0
    if order < 1 or int(2 * length * rate) <= order:
        raise FeatureError(
            f"{order} poles below {ceiling} Hz in windows of {int(2 * length * rate)} samples, "
            "expected more samples than poles",
            code="bad-order",
        )

    def make() -> Resonances:
        rows = np.flatnonzero(pitch(st).voiced) if frames == "voiced" else _audible(st, length)
        found = np.full((2, st.n_frames, N_RESONANCES), np.nan)
        predictors = _selective if method == "selective" else _by_burg
        if len(rows):
            a = predictors(st, rows, rate, order, length, preemphasis_from)
            found[:, rows] = _poles(a, rate)
        found.flags.writeable = False
        return Resonances(found[0], found[1])

    key = ("resonances", ceiling, max_formants, length, preemphasis_from, method, frames)
    return st.memo(key, make)


def _audible(st: ShortTime, length: float) -> Ints:
    """Indices of the frames that are not silence."""
    size = max(1, round(2 * length * st.sr))
    frames = st.frames(size, signal=st.centred)
    power = np.einsum("ij,ij->i", frames, frames) / size
    floor = max(10 ** (FLOOR_DB / 10), power.max() * 10 ** (-SILENCE_DB / 10))
    return np.flatnonzero(power > floor)


# ------------------------------------------------------------------------------------- predictors
def _selective(
    st: ShortTime, rows: Ints, rate: int, order: int, length: float, preemphasis_from: float
) -> Floats:
    """(len(rows), order + 1) inverse filters, by selective linear prediction ([1])."""
    size = 2 * int(length * st.sr)
    # The level is taken out: single precision has no room for extreme ones.
    scale, shape = 1.0 / (st.peak or 1.0), window("gauss", size)
    weights = shape * scale
    # Long enough that no lag of the predictor wraps round.
    needed = size + math.ceil(order * st.sr / rate)
    n_fft = fast_points(needed)
    to_lags = _lags_of_band(n_fft, st.sr, rate, order, preemphasis_from)
    before = _before(preemphasis_from, st.sr)
    lags = np.empty((len(rows), order + 1))
    for first in range(0, len(rows), SPECTRA):
        begin = rows[first : first + SPECTRA] * st.hop - size // 2
        if COMPILED:
            power = np.empty((len(begin), len(to_lags)), dtype=np.float32)
            power_spectra(st.x, begin, weights, n_fft, power, preemphasis=before)
        else:
            frames = np.zeros((len(begin), n_fft), dtype=np.float32)
            cut_frames(st.x, begin, np.full(size, scale), frames)
            emphasise(frames[:, :size], before, shape)
            power = squared_magnitude(scipy.fft.rfft(frames, axis=1))[:, : len(to_lags)]
        lags[first : first + SPECTRA] = power.astype(np.float64) @ to_lags
    return levinson(lags).a


@lru_cache(maxsize=8)
def _lags_of_band(n_fft: int, sr: int, rate: int, order: int, preemphasis_from: float) -> Floats:
    """(bins, order + 1) from the power spectrum at `sr` to the autocorrelation at a lower `rate`.

    The spectrum below ``rate / 2`` is read as that of a signal at `rate`: its autocorrelation is a
    sum of cosines. A pre-emphasis at `sr` is weighted to be the one of the same corner at `rate`.
    """
    bins = math.floor(rate / 2 * n_fft / sr + 1e-9) + 1
    f: Floats = np.arange(bins, dtype=np.float64) * (sr / n_fft)
    angle = 2 * np.pi * f / rate
    share = np.full(len(f), 2.0)  # a bin stands for itself and for its negative frequency
    share[0] = 1.0
    share[-1] = 1.0 + (rate / 2 - f[-1]) * n_fft / sr  # 1 at the edge of the band, up to 2 below
    # 0 where the corner and the frequency are 0: nothing of the signal is left there either.
    tiny = np.finfo(np.float64).tiny
    at_sr = np.maximum(_response(f, preemphasis_from, sr), tiny)
    share = share * _response(f, preemphasis_from, rate) / at_sr
    return np.asarray(share[:, None] * np.cos(np.outer(angle, np.arange(order + 1))))


def _before(preemphasis_from: float, rate: int) -> float:
    """Of ``y[n] = x[n] - before x[n-1]``, which rises by 6 dB per octave from a frequency on."""
    return math.exp(-2 * math.pi * preemphasis_from / rate)


def _response(f: Floats, preemphasis_from: float, rate: int) -> Floats:
    """The squared magnitude of the pre-emphasis at `rate`, at frequencies in Hz."""
    angle = 2 * np.pi * f / rate
    return np.asarray(np.abs(1 - _before(preemphasis_from, rate) * np.exp(-1j * angle)) ** 2)


def _by_burg(
    st: ShortTime, rows: Ints, rate: int, order: int, length: float, preemphasis_from: float
) -> Floats:
    """(len(rows), order + 1) inverse filters, by Burg's method on the resampled clip ([2])."""
    y = st.x if rate == st.sr else _resampled(st.x, st.sr, rate)
    emphasised = y.copy()
    emphasised[1:] -= _before(preemphasis_from, rate) * y[:-1]
    weights = window("gauss", int(2 * length * rate))
    centres = np.rint(np.arange(st.n_frames) * (st.hop * rate / st.sr)).astype(np.int64)
    a = np.empty((len(rows), order + 1))
    block = np.empty((min(BLOCK, len(rows)), len(weights)))
    for first in range(0, len(rows), BLOCK):
        at = rows[first : first + BLOCK]
        frames = block[: len(at)]
        cut_frames(emphasised, centres[at] - len(weights) // 2, weights, frames)
        a[first : first + BLOCK] = burg(frames, order).a
    return a


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


# ------------------------------------------------------------------------------------------ poles
def _poles(a: Floats, rate: int) -> Floats:
    """(2, n, N_RESONANCES) frequencies and bandwidths of the poles of inverse filters."""
    found = np.full((2, len(a), N_RESONANCES), np.nan)
    if COMPILED:
        _pick(polynomial_roots(a), rate, found[0], found[1])
        return found
    poles = polynomial_roots(a)
    frequency = np.angle(poles) * (rate / (2 * np.pi))
    kept = (frequency >= SAFETY) & (frequency <= rate / 2 - SAFETY)
    radius = np.abs(np.where(kept, poles, 1.0))
    frequency = np.where(kept, frequency, np.nan)
    bandwidth = np.where(kept, np.maximum(-np.log(radius) * (rate / np.pi), 0.0), np.nan)
    wanted = np.argsort(frequency, axis=1)[:, :N_RESONANCES]  # NaN goes last
    found[0, :, : wanted.shape[1]] = np.take_along_axis(frequency, wanted, 1)
    found[1, :, : wanted.shape[1]] = np.take_along_axis(bandwidth, wanted, 1)
    return found


@jit
def _pick(poles: NDArray[np.complex128], rate: int, frequency: Floats, bandwidth: Floats) -> None:
    """Keep the poles inside the band, the lowest first."""
    most = frequency.shape[1]
    for t in range(len(poles)):
        count = 0
        for k in range(poles.shape[1]):
            z = poles[t, k]
            if z.imag <= 0.0:
                continue
            f = math.atan2(z.imag, z.real) * rate / (2 * math.pi)
            if f < SAFETY or f > rate / 2 - SAFETY:
                continue
            # A pole on the unit circle, by rounding even outside, rings for ever: bandwidth 0.
            b = max(-0.5 * math.log(z.real * z.real + z.imag * z.imag) * rate / math.pi, 0.0)
            place = min(count, most)
            while place > 0 and frequency[t, place - 1] > f:
                if place < most:
                    frequency[t, place] = frequency[t, place - 1]
                    bandwidth[t, place] = bandwidth[t, place - 1]
                place -= 1
            if place < most:
                frequency[t, place] = f
                bandwidth[t, place] = b
                count += 1
