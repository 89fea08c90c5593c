"""Cepstral peak prominence: how far a voice's period stands out of its cepstrum.

Conventions
-----------
dB. The log power spectrum of a periodic sound is a comb whose teeth lie F0 apart, and its own
spectrum, the cepstrum, has a peak at the quefrency 1/F0. CPP is the height of that peak above a
straight line laid through the cepstrum at the same quefrency. It asks for no decision between
voiced and unvoiced, so that breathy, hoarse and shouted voices keep a value. White noise has 4 dB
of CPPS, connected speech 6 to 14, a held vowel up to 24; the unsmoothed CPP of a frame is higher,
13 dB for noise already. The level of the signal cancels. NaN only in digital silence (and CPPS of a
clip shorter than one window).

Method, and why
---------------
As Praat's PowerCepstrogram: a Gaussian window of six longest periods (0.1 s for 60 Hz), emphasis of
6 dB per octave above 50 Hz, the spectrum up to 5 kHz. Praat resamples to 10 kHz; here the bins
above 5 kHz are left out, which is the same with an ideal filter, and at a sample rate below 10 kHz
there is no empty band whose logarithm would be taken. The line is fitted between 1 and 50 ms:

``"theil"``         : the median of the slopes between pairs of points, and of what remains; the
    peaks themselves do not lift it. Praat's "robust slow" takes all 120 000 pairs, its "robust" the
    245 that are half the range apart (and lies up to 1.4 dB away); here `PAIRS` pairs are spread
    evenly over all of them, once for ever: an unbiased estimate of "robust slow" at little cost.
``"least_squares"`` : the peaks pull the line up: 0.3 to 1.5 dB less for clear voices.

CPPS takes the line off every cepstrum (2 ms steps; what lies below the line counts as lying on it),
averages the power over 20 ms and over 0.5 ms of quefrency, fits another line, and averages the
prominences. Praat looks at the prominence every 2 ms, we every 10 ms: the averages overlap so much
that the mean differs by hundredths of a dB.

Contents
--------
`cpp` : per frame.  `cpps` : of a clip.  `DESCRIPTORS` : "cpp", "cpps".

Sources
-------
[1] J. Hillenbrand, R. Houde, "Acoustic correlates of breathy vocal quality: dysphonic voices and
    continuous speech", J. Speech and Hearing Research 39 (1996) 311-321.
[2] Praat manual, "Sound: To PowerCepstrogram..." and "PowerCepstrogram: Get CPPS...": the settings.
[3] P. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError, did_you_mean
from serfeat.jit import COMPILED, jit
from serfeat.shorttime import Descriptor, ShortTime, window
from serfeat.transform import fast_points, power_spectra
from serfeat.types import Bools, Floats, Ints

__all__ = ["DESCRIPTORS", "cpp", "cpps"]

Trend = Literal["theil", "least_squares"]

PERIODS = 6.0  # longest periods per window, of which the Gaussian shows about three
HIGHEST = 5000.0  # Hz, end of the spectrum that is used
EMPHASIS = 50.0  # Hz, above which the spectrum is tilted up
FIT = (0.001, 0.050)  # s of quefrency: where the line is fitted
PAIRS = 500  # slopes of the Theil fit in CPPS, whose mean runs over hundreds of frames
PAIRS_FRAME = 2000  # and where a single frame counts
STEP = 0.002  # s between the cepstra that are averaged
GROUP = 5  # cepstra between two readings of the prominence; two groups are one average (20 ms)
QUEFRENCY_WINDOW = 0.0005  # s of quefrency averaged
BLOCK = 10 * GROUP  # frames analysed at a time
DEPTH = 1e-20  # power re the frame's highest at which the logarithm stops: 200 dB below
QUIET = 1e-10  # root of the highest bin, re the clip's peak, below which all is rounding
FEW = 16  # values that are sorted to find the one in their middle


class _Analysis(NamedTuple):
    """What all frames of a clip share.

    Parameters
    ----------
    length, points, bins : samples of the window, of the transform, and bins up to `HIGHEST`.
    weights : (length,) window.
    tilt : (bins,) logarithm of the emphasis.
    quefrency : (bins,) s.
    fit, peak : slices of the quefrencies of the line and of the peak.
    """

    length: int
    points: int
    bins: int
    weights: Floats
    tilt: Floats
    quefrency: Floats
    fit: slice
    peak: slice


@lru_cache(maxsize=8)
def _analysis(sr: int, floor: float, ceiling: float) -> _Analysis:
    """Lay out windows and axes for a sample rate; see `cpp` for the arguments."""
    if not 0 < floor < ceiling or 1 / floor > FIT[1] or 1 / ceiling < FIT[0]:
        raise FeatureError(
            f"floor {floor} Hz and ceiling {ceiling} Hz, expected 20 <= floor < ceiling <= 1000",
            where="cpp",
            code="bad-range",
        )
    length = round(PERIODS / floor * sr)
    points = fast_points(max(length, 64))
    bins = min(int(HIGHEST * points / sr), points // 2) + 1
    highest = (bins - 1) * sr / points
    frequency = np.arange(bins) * (sr / points)
    a = math.exp(-2 * math.pi * EMPHASIS / (2 * HIGHEST))
    tilt = np.log(1 - 2 * a * np.cos(np.pi * frequency / HIGHEST) + a * a)
    quefrency = np.arange(bins) / (2 * highest)

    def between(low: float, high: float) -> slice:
        first, last = np.searchsorted(quefrency, [low * (1 - 1e-9), high * (1 + 1e-9)])
        return slice(int(first), int(last))

    fit, peak = between(*FIT), between(1 / ceiling, 1 / floor)
    if peak.stop - peak.start < 3:
        raise FeatureError(
            f"no room for a cepstral peak at {sr} Hz", where="cpp", code="bad-sample-rate"
        )
    weights = window("gauss", length)
    return _Analysis(length, points, bins, weights, tilt, quefrency, fit, peak)


def cpp(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    floor: float = 60.0,
    ceiling: float = 330.0,
    trend: Trend = "theil",
) -> Floats:
    """Measure the cepstral peak prominence of every frame.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    floor, ceiling : Hz, the range of F0 in which the peak is looked for; the window is six periods
        of `floor`.
    trend : how the line is fitted, ``"theil"`` or ``"least_squares"``; see the module.

    Returns
    -------
    (n_frames,) dB; NaN in digital silence.

    Raises
    ------
    FeatureError : floor and ceiling do not fit each other.
    UnknownNameError : an unknown `trend`.
    """
    return _cpp(ShortTime(x, sr, hop), floor=floor, ceiling=ceiling, trend=trend)[:, 0]


def cpps(
    x: ArrayLike,
    sr: int,
    *,
    floor: float = 60.0,
    ceiling: float = 330.0,
    trend: Trend = "theil",
) -> float:
    """Measure the smoothed cepstral peak prominence of a clip.

    Parameters
    ----------
    x, sr, floor, ceiling, trend : see `cpp`.

    Returns
    -------
    dB, the mean over the clip, pauses included, digital silence left out; NaN for a clip that is
    silent or shorter than a window (0.1 s).

    Raises
    ------
    FeatureError, UnknownNameError : see `cpp`.
    """
    return float(_cpps(ShortTime(x, sr), floor=floor, ceiling=ceiling, trend=trend)[0])


def _cpp(
    st: ShortTime, *, floor: float = 60.0, ceiling: float = 330.0, trend: Trend = "theil"
) -> Floats:
    """Compute the descriptor "cpp".

    Returns
    -------
    (n_frames, 1) dB.
    """
    plan = _analysis(st.sr, floor, ceiling)
    # Frame t is centred at sample t hop of the clip.
    signal = np.pad(_scaled(st), (plan.length // 2, plan.length))
    starts = range(0, st.n_frames * st.hop, st.hop)
    out = np.full((st.n_frames, 1), np.nan)
    for first in range(0, len(starts), BLOCK):
        level, sounds = _cepstra(signal, starts[first : first + BLOCK], plan)
        line = _fit(level, plan, trend, PAIRS_FRAME)
        values = _prominence(level, plan, line)
        out[first : first + BLOCK, 0] = np.where(sounds, values, np.nan)
    return out


def _cpps(
    st: ShortTime, *, floor: float = 60.0, ceiling: float = 330.0, trend: Trend = "theil"
) -> Floats:
    """Compute the descriptor "cpps".

    Returns
    -------
    (1,) dB.
    """
    plan = _analysis(st.sr, floor, ceiling)
    step = max(1, round(STEP * st.sr))
    if len(st.x) < plan.length:
        return np.array([np.nan])
    signal = _scaled(st)
    starts = range(0, len(signal) - plan.length + 1, step)
    readings: list[Floats] = []
    before: tuple[Floats, Floats] | None = None  # the last group of the block before
    for first in range(0, len(starts), BLOCK):
        level, sounds = _cepstra(signal, starts[first : first + BLOCK], plan)
        slope, intercept = _fit(level, plan, trend, PAIRS)
        level -= slope[:, None] * plan.quefrency
        level -= intercept[:, None]
        # What lies below the line counts as lying on it, as in Praat: no valleys in the averages.
        np.maximum(level, 0.0, out=level)
        level *= math.log(10) / 10
        power = np.exp(level, out=level)
        power[~sounds] = 0.0
        total, count = _grouped(power), _grouped(sounds.astype(np.float64))
        if before is not None:
            total = np.concatenate([before[0], total])
            count = np.concatenate([before[1], count])
        before = total[-1:], count[-1:]
        readings.append(_smoothed_prominence(total, count, plan, trend))
    values = np.concatenate(readings)
    if np.isnan(values).all():
        return np.array([np.nan])
    return np.array([np.nanmean(values)])


def _scaled(st: ShortTime) -> Floats:
    """(n,) the signal without its mean, peak about 1: no square overflows; 0 if it is constant."""
    scale = np.abs(st.x).max() or 1.0
    return np.asarray(st.centred / scale, dtype=np.float64)


def _grouped(values: Floats) -> Floats:
    """(groups, ...) sums of `GROUP` neighbours along the first axis, of fewer at its end."""
    whole = len(values) // GROUP * GROUP
    sums = values[:whole].reshape(-1, GROUP, *values.shape[1:]).sum(axis=1)
    if whole == len(values):
        return np.asarray(sums)
    return np.concatenate([sums, values[whole:].sum(axis=0, keepdims=True)])


def _smoothed_prominence(total: Floats, count: Floats, plan: _Analysis, trend: Trend) -> Floats:
    """Prominence of the averages over two neighbouring groups of cepstra.

    Parameters
    ----------
    total : (groups, bins) sums of cepstra, their lines taken off.
    count : (groups,) how many of them were not silent.
    plan, trend : see `_Analysis` and `cpp`.

    Returns
    -------
    (groups - 1,), or (1,) for a single group: dB; NaN where all was silent.
    """
    if len(total) > 1:
        total, count = total[:-1] + total[1:], count[:-1] + count[1:]
    mean = total / np.maximum(count, 1.0)[:, None]
    kernel = _averaging(QUEFRENCY_WINDOW / plan.quefrency[1])
    within = scipy.ndimage.correlate1d(np.ones(plan.bins), kernel, mode="constant")
    mean = scipy.ndimage.correlate1d(mean, kernel, axis=1, mode="constant") / within
    level = 10 * np.log10(np.maximum(mean, 1e-30))
    values = _prominence(level, plan, _fit(level, plan, trend, PAIRS))
    return np.where(count > 0, values, np.nan)


def _averaging(width: float) -> Floats:
    """Weights of a mean over `width` samples of a curve drawn straight from sample to sample.

    Returns
    -------
    (odd,) weights, sum 1: the integral of the triangle around each sample over the window.
    """
    reach = math.ceil(0.5 * width + 0.5)
    at = np.abs(np.arange(-reach, reach + 1))

    def integral(t: Floats) -> Floats:  # of the triangle 1 - |t|, from -1 to t
        t = np.clip(t, -1.0, 1.0)
        return np.asarray(0.5 + t - 0.5 * t * np.abs(t))

    weights = integral(0.5 * width - at) - integral(-0.5 * width - at)
    return np.asarray(weights / weights.sum())


def _cepstra(signal: Floats, starts: range, plan: _Analysis) -> tuple[Floats, Bools]:
    """Compute the power cepstrum of frames, without their means.

    Parameters
    ----------
    signal : its peak is about 1; all frames lie inside it.
    starts : their first samples.
    plan : see `_Analysis`.

    Returns
    -------
    (k, bins) dB re an arbitrary level, and (k,) whether there is sound.
    """
    every = np.lib.stride_tricks.sliding_window_view(signal, plan.length)
    frames = every[starts.start : starts.stop : starts.step]
    mean = frames.mean(axis=1)
    if COMPILED:
        level = np.empty((len(starts), plan.bins))
        power_spectra(signal, np.array(starts), plan.weights, plan.points, level, mean=mean)
    else:
        windowed = (frames - mean[:, None]) * plan.weights
        spectrum = scipy.fft.rfft(windowed, plan.points, axis=1)[:, : plan.bins]
        level = spectrum.real**2
        level += spectrum.imag**2
    highest = level.max(axis=1)
    sounds = highest > QUIET**2
    least = np.where(sounds, DEPTH * highest, 1.0)
    # All in place: fresh memory for every step would take longer than the steps.
    np.maximum(level, least[:, None], out=level)
    np.log(level, out=level)
    level += plan.tilt
    # The log spectrum is real and even, so its inverse transform is a DCT-I.
    level = scipy.fft.dct(level, type=1, axis=1, overwrite_x=True)
    level *= 1 / (2 * plan.bins - 2)
    level *= level
    level += 1e-30
    np.log10(level, out=level)
    level *= 10
    return level, sounds


def _prominence(level: Floats, plan: _Analysis, line: tuple[Floats, Floats]) -> Floats:
    """Height of the highest peak above the line, refined by a parabola.

    Returns
    -------
    (k,) dB.
    """
    rows = np.arange(len(level))
    k = plan.peak.start + np.argmax(level[:, plan.peak], axis=1)
    after = np.minimum(k + 1, level.shape[1] - 1)
    left, top, right = level[rows, k - 1], level[rows, k], level[rows, after]
    bend = 2 * top - left - right
    is_peak = (top > left) & (top >= right)  # not so at the ends of the range
    shift = np.where(is_peak, 0.5 * (right - left) / np.where(is_peak, bend, 1.0), 0.0)
    height = top + 0.25 * (right - left) * shift
    slope, intercept = line
    return np.asarray(height - slope * (k + shift) * plan.quefrency[1] - intercept)


# ---------------------------------------------------------------------------------------- the line
def _fit(level: Floats, plan: _Analysis, trend: Trend, count: int) -> tuple[Floats, Floats]:
    """Fit a line to every cepstrum.

    Returns
    -------
    slopes (dB/s) and intercepts (dB), (k,) each.
    """
    y = np.ascontiguousarray(level[:, plan.fit])
    x = plan.quefrency[plan.fit]
    if trend == "least_squares":
        away = x - x.mean()
        slope = y @ away / (away @ away)
        return slope, y.mean(axis=1) - slope * x.mean()
    if trend != "theil":
        raise did_you_mean("trend", trend, ("theil", "least_squares"))
    left, right = _pairs(len(x), count)
    inverse = 1 / (right - left)
    if COMPILED:
        slope, intercept = np.empty(len(y)), np.empty(len(y))
        _theil(y, left, right, inverse, slope, intercept)
    else:
        slope = np.median((y[:, right] - y[:, left]) * inverse, axis=1)
        intercept = np.median(y - slope[:, None] * np.arange(len(x)), axis=1)
    slope = slope / plan.quefrency[1]
    return slope, intercept - slope * x[0]


@lru_cache(maxsize=16)
def _pairs(n: int, count: int) -> tuple[Ints, Ints]:
    """Spread `count` pairs of different points evenly over all pairs of `n` points.

    Multiples of 1/g and 1/g^2 modulo 1, with g^3 = g + 1, fill a square without clusters.

    Returns
    -------
    two (about count,) arrays of indices.
    """
    g = 1.324717957244746
    k = np.arange(1, count + 1)
    left = ((0.5 + k / g) % 1 * n).astype(np.int64)
    right = ((0.5 + k / g**2) % 1 * n).astype(np.int64)
    keep = np.flatnonzero(left != right)
    keep = keep[: len(keep) - 1 + len(keep) % 2]  # an odd number has one median
    return left[keep], right[keep]


@jit
def _median(values: Floats, room: Floats) -> float:
    """Find the median: bisection until few values are left, which are sorted.

    Counting what lies below a bound takes no decisions, so it runs eight values at a time: many
    times as fast as a quickselect.

    Parameters
    ----------
    values : (n,), finite.
    room : (n + 1,) is written to.
    """
    n = len(values)
    low, high = values[0], values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    last = high
    # `under` values lie below `low`, the wanted one does not; it lies below `high`, as `upto` do.
    wanted, under, upto = (n - 1) // 2, 0, n
    while upto - under > FEW:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break  # the rest are equal
        below = 0
        for i in range(n):
            below += values[i] < middle
        if below <= wanted:
            low, under = middle, below
        else:
            high, upto = middle, below
    # No decisions here either: every value is written, and the next one over it if it is outside.
    count = 0
    for value in values:
        room[count] = value
        count += (value >= low) & ((value < high) | (upto == n))
    for i in range(1, count):
        value, place = room[i], i
        while place > 0 and room[place - 1] > value:
            room[place] = room[place - 1]
            place -= 1
        room[place] = value
    lower = room[wanted - under]
    if n % 2:
        return float(lower)
    if wanted - under + 1 < count:
        return float(0.5 * (lower + room[wanted - under + 1]))
    above = last
    for value in values:
        if value >= high:
            above = min(above, value)
    return float(0.5 * (lower + above))


@jit
def _theil(
    y: Floats, left: Ints, right: Ints, inverse: Floats, slope: Floats, intercept: Floats
) -> None:
    """Lay a Theil line through every row.

    Parameters
    ----------
    y : (k, n) values at the places 0, 1, 2, ...
    left, right, inverse : (p,) indices of the pairs, and 1 / (right - left).
    slope, intercept : (k,) receive the lines.
    """
    slopes, rest = np.empty(len(left)), np.empty(y.shape[1])
    room = np.empty(max(len(slopes), len(rest)) + 1)
    for row in range(len(y)):
        for i in range(len(left)):
            slopes[i] = (y[row, right[i]] - y[row, left[i]]) * inverse[i]
        slope[row] = _median(slopes, room)
        for i in range(len(rest)):
            rest[i] = y[row, i] - slope[row] * i
        intercept[row] = _median(rest, room)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="cpp",
        columns=("cpp_db",),
        unit="dB",
        summary="cepstral peak above the trend of the cepstrum",
        source="Hillenbrand & Houde 1996; Praat's PowerCepstrogram settings, Theil line",
        compute=_cpp,
        version=2,
        undefined="digital silence",
        oracle="Praat's peak prominence of single frames on EMO-DB: 0.3 dB in the median; the line "
        "beside the medians of all pairs: 0.15 dB in the mean",
    ),
    Descriptor(
        name="cpps",
        columns=("cpps_db",),
        unit="dB",
        summary="smoothed cepstral peak prominence, mean over the clip",
        source="Hillenbrand & Houde 1996; Praat's Get CPPS with Theil line",
        compute=_cpps,
        version=2,
        level="clip",
        undefined="clips that are silent or shorter than 0.1 s",
        oracle="Praat's Get CPPS: vowel in noise, 30 to -10 dB, 0.3 dB; five clips of EMO-DB, 0.3 "
        "dB",
    ),
)
