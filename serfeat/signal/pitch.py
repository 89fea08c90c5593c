"""Pitch: one analysis of the glottal period that every voice descriptor shares.

F0, harmonics-to-noise ratio, jitter, shimmer, voice activity and the critical-band TEO all ask for
the period of vocal-fold vibration; it is found once per clip and kept by the `ShortTime`.

Conventions
-----------
The method is Boersma's: the autocorrelation of a Hann-windowed frame, divided by the
autocorrelation of the window (eq. 9), is as high one period later as the frame is periodic; a
Viterbi search then picks one candidate per frame, or "unvoiced". The frames are the toolkit's:
frame i is centred on sample ``i * hop`` (between that sample and the one before it: the window has
an even number of samples, as in Praat), and samples outside the clip are zero. F0 is in Hz, NaN
where unvoiced; a lag is in samples and is not rounded.

Contents
--------
`Pitch`   : F0 and normalised autocorrelation of every frame.
`pitch`   : the analysis, memoised through the `ShortTime`.
`candidates`, `best_path` : its two halves, frame by frame and over time.
`tell_pitch`              : hand a `ShortTime` a contour found elsewhere (in a stream).
`sinc_at`, `sinc_peak` : a band-limited sequence, and its maximum, between the samples.
`tabled_peak`          : the same from an `interpolation_table`, ten times faster.

`serfeat.signal.pitch_plain` has the loops of this module with whole arrays, for where they are not
compiled.

Sources
-------
P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound", IFA Proceedings 17 (1993) 97-110: "eq." below.
Praat manual, "Sound: To Pitch (ac)...": the settings and their defaults. The code is our own; it
was tuned by comparing its numbers with Praat's until they agreed (tests/test_pitch.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.lanes import WIDTH, Row, Rows, pairwise, summed
from serfeat.shorttime import ShortTime, cut_frames, squared_magnitude
from serfeat.signal import pitch_plain
from serfeat.transform import autocorrelations, fast_points
from serfeat.types import Bools, Floats, Ints, Reals

__all__ = [
    "USUAL",
    "Pitch",
    "best_path",
    "candidates",
    "check_range",
    "interpolation_table",
    "pitch",
    "sinc_at",
    "sinc_peak",
    "tabled_peak",
    "tell_pitch",
]

PERIODS = 3.0  # longest periods per window: fewer cannot show a period, more blur a glide
DEPTH = 32  # samples on either side of a sinc interpolation; 50 would gain 0.005 cent
FINE = 32  # places between two samples at which the interpolation is tabled
CANDIDATES = 14  # voiced candidates per frame, as in Praat (15 with the unvoiced one)
SUMMED, PRODUCTS = 4 * WIDTH[8], 2 * WIDTH[8]  # numbers that are added up at a time
BLOCK = 512  # frames analysed at a time: their autocorrelations stay in the cache
STEP = 1e-2  # samples between the three points of a parabola through a sinc interpolation
# A signal that varies less than this part of its offset is rounding noise around a constant.
CONSTANT = 1e-10
# The defaults of `pitch`: floor and ceiling in Hz, then the costs.
USUAL = (75.0, 600.0, 0.03, 0.45, 0.01, 0.35, 0.14)


@dataclass(frozen=True)
class Pitch:
    """The pitch contour of one clip.

    Parameters
    ----------
    f0 : (n_frames,) Hz; NaN where unvoiced.
    strength : (n_frames,) normalised autocorrelation at the period, in (0, 1]; NaN where unvoiced.
    """

    f0: Floats
    strength: Floats

    @property
    def voiced(self) -> Bools:
        """(n_frames,) where there is a period."""
        return np.isfinite(self.f0)


def check_range(floor: float, ceiling: float, sr: int, where: str) -> None:
    """Refuse a range of F0 that a tracker at this sample rate cannot search.

    Raises
    ------
    FeatureError : not ``0 < floor < ceiling <= sr / 4``.
    """
    if not 0 < floor < ceiling <= sr / 4:
        raise FeatureError(
            f"floor {floor} Hz and ceiling {ceiling} Hz at {sr} Hz; "
            "expected 0 < floor < ceiling <= a quarter of the sample rate",
            where=where,
            code="bad-range",
            fix="speech lies between 75 and 600 Hz",
        )


def pitch(
    st: ShortTime,
    *,
    floor: float = 75.0,
    ceiling: float = 600.0,
    silence: float = 0.03,
    voicing: float = 0.45,
    octave_cost: float = 0.01,
    octave_jump: float = 0.35,
    voiced_unvoiced: float = 0.14,
) -> Pitch:
    """Find the F0 contour by autocorrelation and dynamic programming (Boersma 1993).

    Parameters
    ----------
    st : the clip on its grid.
    floor : Hz, the lowest F0; the window is three of its periods, 40 ms by default.
    ceiling : Hz, the highest F0; at most a quarter of the sample rate.
    silence : part of the clip's peak below which a frame is taken for silence.
    voicing : autocorrelation above which a frame is taken for voiced.
    octave_cost : favour of high candidates per octave: breaks the tie between T and 2T (eq. 24).
    octave_jump : cost of a jump of an octave between frames 10 ms apart (eq. 27).
    voiced_unvoiced : cost of a change of voicing between frames 10 ms apart (eq. 27).

    Returns
    -------
    Pitch, all NaN for a clip that is silent, constant, or shorter than the window. Every stretch of
    a long clip has a path of its own: the candidates of an hour would take too much memory.

    Raises
    ------
    FeatureError : floor and ceiling do not fit each other or the sample rate.
    """
    check_range(floor, ceiling, st.sr, "pitch")
    costs = (silence, voicing, octave_cost, octave_jump, voiced_unvoiced)

    def of_one(part: ShortTime) -> Floats:
        longest_window = PERIODS * part.sr / floor
        varies = part.peak > CONSTANT * max(part.samples.max(), -part.samples.min())
        if part.grid.n_samples >= longest_window and varies:
            return _contour(part, floor, ceiling, costs)
        return np.full((part.n_frames, 2), np.nan)

    def make() -> Pitch:
        contour = np.ascontiguousarray(st.by_stretches(of_one).T)
        contour.flags.writeable = False
        return Pitch(*contour)

    return st.memo(("pitch", floor, ceiling, *costs), make)


def _contour(
    st: ShortTime,
    floor: float,
    ceiling: float,
    costs: tuple[float, float, float, float, float],
) -> Floats:
    """F0 and strength of a clip that is not silent; the steps are those of section 4 of the paper.

    Returns
    -------
    (n_frames, 2), NaN where unvoiced.
    """
    _, _, octave_cost, octave_jump, voiced_unvoiced = costs
    per_step = 0.01 * st.sr / st.hop  # the costs are given for frames 10 ms apart
    jump, change = octave_jump * per_step, voiced_unvoiced * per_step
    lags, strengths, unvoiced = candidates(st, st.scaled, floor, ceiling, costs)
    chosen = best_path(lags, strengths, unvoiced, st.sr / ceiling, octave_cost, jump, change)
    rows = np.flatnonzero(chosen >= 0)
    contour = np.full((st.n_frames, 2), np.nan)
    contour[rows, 0] = st.sr / lags[rows, chosen[rows]]
    contour[rows, 1] = strengths[rows, chosen[rows]]
    return contour


def candidates(
    st: ShortTime,
    signal: Floats,
    floor: float,
    ceiling: float,
    costs: tuple[float, float, float, float, float],
) -> tuple[Floats, Floats, Floats]:
    """Find what `best_path` chooses from; no frame's candidates depend on another frame.

    Parameters
    ----------
    st : the clip on its grid.
    signal : (n,) its samples, without offset, with a peak of 1.
    floor, ceiling : Hz.
    costs : silence, voicing, octave_cost, octave_jump, voiced_unvoiced of `pitch`.

    Returns
    -------
    lags in samples and strengths, (n_frames, CANDIDATES), 0 where there are fewer; and the strength
    of the unvoiced candidate, (n_frames,).
    """
    silence, voicing, octave_cost, _, voiced_unvoiced = costs
    change = voiced_unvoiced * 0.01 * st.sr / st.hop
    # Where "unvoiced" beats the best voiced candidate that could be, 1, by more than two changes of
    # voicing, no path is voiced: such a quiet frame need not be analysed.
    quietest = (1 + voicing - 2 * change) * silence / (1 + voicing)
    # From 2 on, eq. 23 has no part of the peak; without a threshold it never has.
    enough = max(quietest, 3 * silence / (1 + voicing)) if silence > 0 else 1.0
    lags, strengths, peak = _search(
        st, signal, floor, ceiling, 0.5 * voicing, octave_cost, quietest, enough
    )
    # Unvoiced is a candidate as well: the better, the quieter the frame (eq. 23).
    unvoiced = np.full(st.n_frames, voicing)
    if silence > 0:
        unvoiced += np.maximum(0.0, 2 - peak * (1 + voicing) / silence)
    return lags, strengths, unvoiced


def tell_pitch(st: ShortTime, contour: Pitch) -> None:
    """Let a `ShortTime` use a contour found elsewhere wherever the usual `pitch` is asked for."""
    st.memo(("pitch", *USUAL), lambda: contour)


def _search(
    st: ShortTime,
    signal: Floats,
    floor: float,
    ceiling: float,
    least: float,
    octave_cost: float,
    quietest: float,
    enough: float,
) -> tuple[Floats, Floats, Floats]:
    """Find the voiced candidates of every frame (steps 3.1 to 3.10 of section 4).

    Returns
    -------
    lags in samples and strengths, (n_frames, CANDIDATES), 0 where there are fewer; and the peak of
    every frame, (n_frames,), as part of the clip's and at most `enough`. A frame whose peak is
    below `quietest` has no candidates.
    """
    n = st.n_frames
    period = int(st.sr / floor)  # the longest period, in samples
    half = int(PERIODS * st.sr / floor) // 2 - 1
    n_lags = period + 2 + DEPTH + 2  # lags looked at, and what the interpolation needs beyond
    # Zeros behind the frame keep the circular autocorrelation from wrapping round (step 3.6).
    n_fft = fast_points(2 * half + n_lags)
    weights, correction = _window(half, n_fft, n_lags)

    mean = (_local_means if COMPILED else pitch_plain.local_means)(signal, st.hop, period, n)
    lags, strengths = np.zeros((n, CANDIDATES)), np.zeros((n, CANDIDATES))
    find_peaks = _peaks if COMPILED else pitch_plain.peaks
    peak = find_peaks(signal, st.hop, mean, weights, period // 2 + 1, enough)
    loud = np.flatnonzero(peak >= quietest)
    for first in range(0, len(loud), BLOCK):
        rows = loud[first : first + BLOCK]
        found, height = np.zeros((2, len(rows), CANDIDATES))
        # Single precision: its error is 1e-7 of r, a thousandth of a cent, at half the time.
        if COMPILED:
            r: Reals = np.empty((len(rows), n_lags), dtype=np.float32)
            autocorrelations(signal, rows * st.hop - half, weights, mean[rows], n_fft, r)
        else:
            frames = np.zeros((len(rows), n_fft), dtype=np.float32)
            cut_frames(signal, rows * st.hop - half, weights, frames, mean[rows])
            r = _autocorrelation(frames)
        shortest, longest = st.sr / ceiling, st.sr / floor
        _candidates(r, correction, shortest, longest, least, octave_cost, found, height)
        lags[rows], strengths[rows] = found, height
    return lags, strengths, peak


@lru_cache(maxsize=4)
def _window(half: int, n_fft: int, n_lags: int) -> tuple[Floats, Floats]:
    """(2 half,) Hann window, and (n_lags,) one over its normalised autocorrelation (eq. 9)."""
    # without its two zeros, so that every sample of the frame counts
    weights = np.hanning(2 * half + 2)[1:-1].copy()
    # The transform of the power spectrum, which is real and even. Once in a process: NumPy's
    # transform does it as well, and SciPy's takes a quarter of a second to be imported.
    spectrum = np.fft.rfft(weights, n_fft)
    power = spectrum.real * spectrum.real + spectrum.imag * spectrum.imag
    r = np.fft.rfft(np.concatenate([power, power[-2:0:-1]])).real[:n_lags]
    correction = np.asarray(r[0] / r, dtype=np.float64)
    for array in (weights, correction):
        array.flags.writeable = False
    return weights, correction


@summed
def _sum(samples: Rows, _: Rows, at: Row) -> Row:
    """Sum of `SUMMED` samples."""
    return pairwise([samples.at(at + k * samples.width) for k in range(4)])


@jit
def _local_means(signal: Floats, hop: int, period: int, n: int) -> Floats:
    """Mean of the samples within a longest period of each centre; only samples of the clip count.

    Returns
    -------
    (n,) means.
    """
    means = np.empty(n)
    for i in range(n):
        part = signal[max(i * hop - period, 0) : min(i * hop + period, len(signal))]
        total, whole = 0.0, len(part) - len(part) % SUMMED
        for j in range(0, whole, SUMMED):
            total += _sum(part, part, (j,))
        for j in range(whole, len(part)):
            total += part[j]
        means[i] = total / max(len(part), 1)
    return means


def _autocorrelation(frames: Reals) -> Reals:
    """Autocorrelation of every row, circular, up to a constant factor, in the row's precision.

    The inverse transform of a power spectrum is a sum of cosines, and the DCT of type I is that sum
    at half the work of a complex transform.

    Returns
    -------
    (rows, n_fft // 2 + 1), lags 0, 1, ...
    """
    power = squared_magnitude(scipy.fft.rfft(frames, axis=1))
    return np.asarray(scipy.fft.dct(power, type=1, axis=1, overwrite_x=True))


@jit
def _peaks(
    signal: Floats, hop: int, mean: Floats, weights: Floats, reach: int, enough: float
) -> Floats:
    """Find the largest windowed sample near the centre of every frame (step 3.3).

    Parameters
    ----------
    signal : (n,) the clip.
    hop : samples between frames.
    mean : (n_frames,) local means.
    weights : (length,) window.
    reach : samples on either side of the centre in which the peak is looked for.
    enough : a sample as large as this ends the search: a louder one would change nothing.

    Returns
    -------
    (n_frames,) peaks, at most `enough`.
    """
    half = len(weights) // 2
    peak = np.zeros(len(mean))
    for i in range(len(mean)):
        begin, end = max(i * hop - reach, 0), min(i * hop + reach, len(signal))
        part, w = signal[begin:end], weights[half + begin - i * hop :]
        largest = 0.0
        for j in range(len(part)):
            value = abs((part[j] - mean[i]) * w[j])
            if value > largest:
                largest = value
                if value >= enough:
                    break
        peak[i] = min(largest, enough)
    return peak


@jit
def sinc_at(y: Floats, x: float, depth: int) -> float:
    """Interpolate an even sequence between its samples by a Hann-windowed sinc (eq. 22).

    Parameters
    ----------
    y : samples 0, 1, 2, ...; sample -k is taken to be sample k, as in an autocorrelation.
    x : the place, in samples; ``x + depth`` must be inside of `y`.
    depth : samples used on either side.

    Returns
    -------
    the value at `x`.
    """
    base = math.floor(x)
    fraction = x - base
    if fraction == 0.0:
        return float(y[base])
    total = 0.0
    sine = math.sin(math.pi * fraction) / math.pi  # sin(pi (fraction + n)) only changes its sign
    for side in range(2):
        phi = fraction if side == 0 else 1.0 - fraction
        step = math.pi / (phi + depth)
        # cos(step (phi + n)) by its recurrence: a cosine per sample would cost most of the time
        twice = 2 * math.cos(step)
        before = math.cos(step * (phi - 1))
        now = math.cos(step * phi)
        sign = 0.5
        for n in range(depth):
            k = base - n if side == 0 else base + 1 + n
            total += sign * y[abs(k)] * (1.0 + now) / (phi + n)
            before, now = now, twice * now - before
            sign = -sign
    return total * sine


@jit
def sinc_peak(y: Floats, x: float, depth: int) -> tuple[float, float]:
    """Find the maximum of the interpolated sequence near `x`, by Newton's method.

    Parameters
    ----------
    y : samples 0, 1, 2, ... of an even sequence.
    x : a first guess; the maximum is looked for within a sample of it.
    depth : samples used on either side; ``x + 1 + depth`` must be inside of `y`.

    Returns
    -------
    place (in samples) and value of the maximum.
    """
    lowest, highest = x - 1.0, x + 1.0
    value = sinc_at(y, x, depth)
    for _ in range(6):
        left = sinc_at(y, x - STEP, depth)
        right = sinc_at(y, x + STEP, depth)
        slope = (right - left) / (2 * STEP)
        curvature = (right - 2 * value + left) / STEP**2
        if curvature >= 0.0:
            break
        move = min(max(x - slope / curvature, lowest), highest) - x
        if abs(move) < STEP:
            # inside of the parabola's three points: it is the function to the last digits
            return x + move, value + slope * move + 0.5 * curvature * move * move
        x += move
        value = sinc_at(y, x, depth)
    return x, value


@lru_cache(maxsize=2)
def interpolation_table(depth: int) -> Floats:
    """(FINE, 2 depth) weights of the samples around each place between two of them: `sinc_at`."""
    unit = np.eye(4 * depth)
    places = depth + np.arange(FINE) / FINE
    table = [[sinc_at(row, x, depth) for row in unit[1 : 2 * depth + 1]] for x in places]
    return np.array(table)


@summed
def _products(samples: Rows, table: Rows, at: Row, place: Row) -> Row:
    """Sum of `PRODUCTS` products of samples with the table's numbers."""
    width = samples.width
    first = samples.at(at) * table.at(place)
    return first + samples.at(at + width) * table.at(place + width)


@jit
def _between(y: Floats, table: Floats, place: int) -> float:
    """Interpolate at a place counted in rows of the table."""
    fine, size = table.shape
    base = place // fine
    at, row, total = base + 1, (place - base * fine) * size, 0.0
    for n in range(0, size, PRODUCTS):
        total += _products(y, table, (at + n, row + n))
    return total


@jit
def tabled_peak(y: Floats, table: Floats, x: float) -> tuple[float, float]:
    """Find the maximum of the interpolated sequence near `x`: `sinc_peak` from a table.

    Three neighbouring places of the table bracket it; the parabola through them is the function, to
    the last digits that single precision has.

    Parameters
    ----------
    y : samples -depth, ..., -1, 0, 1, 2, ...
    table : (FINE, 2 depth) weights; the depth is a multiple of 8.
    x : first guess, in samples; the maximum is looked for within a sample of it, and `y` must reach
        ``depth + 2`` samples further.

    Returns
    -------
    place and value of the maximum.
    """
    fine = len(table)
    at = round(x * fine)
    lowest, highest = at - fine, at + fine
    middle = 0.0
    for _ in range(4):
        before = _between(y, table, at - 1)
        middle = _between(y, table, at)
        after = _between(y, table, at + 1)
        bend = (middle - before) + (middle - after)
        if bend <= 0.0:
            break
        move = 0.5 * (after - before) / bend
        if abs(move) <= 1.0 or at + move < lowest or at + move > highest:
            move = min(max(move, -1.0), 1.0)
            return (at + move) / fine, middle + 0.25 * (after - before) * move
        at += round(move)
    return at / fine, middle


@jit
def _collect(
    r: Reals,
    correction: Floats,
    table: Floats,
    shortest: float,
    longest: float,
    least: float,
    octave_cost: float,
    lags: Floats,
    strengths: Floats,
) -> None:
    most, depth = lags.shape[1], table.shape[1] // 2
    count = len(correction)
    mirrored = np.empty(depth + count)
    row = mirrored[depth:]
    for i in range(len(r)):
        energy = r[i, 0]
        if energy <= 0.0:
            continue
        scale, raw = 1.0 / energy, r[i, :count]
        for k in range(count):
            row[k] = raw[k] * correction[k] * scale  # eq. 9
        for k in range(1, depth + 1):
            mirrored[depth - k] = row[k]
        found = 0
        for k in range(max(2, int(shortest) - 1), int(longest) + 2):
            if row[k] <= least or row[k] <= row[k - 1] or row[k] < row[k + 1]:
                continue
            bend = (row[k] - row[k - 1]) + (row[k] - row[k + 1])
            lag = k + 0.5 * (row[k + 1] - row[k - 1]) / bend
            lag, height = tabled_peak(mirrored, table, lag)
            if lag <= shortest or lag > longest:
                continue
            if height > 1.0:  # the window's autocorrelation is small at long lags (section 4)
                height = 1.0 / height
            place = found
            if found == most:
                # full: the weakest candidate, high ones favoured, gives way
                weakest = height - octave_cost * math.log2(lag)
                for c in range(most):
                    local = strengths[i, c] - octave_cost * math.log2(lags[i, c])
                    if local < weakest:
                        weakest = local
                        place = c
                if place == found:
                    continue
            else:
                found += 1
            lags[i, place] = lag
            strengths[i, place] = height


def _candidates(
    r: Reals,
    correction: Floats,
    shortest: float,
    longest: float,
    least: float,
    octave_cost: float,
    lags: Floats,
    strengths: Floats,
) -> None:
    """Collect the local maxima of every autocorrelation, refined between the samples.

    Parameters
    ----------
    r : (frames, lags) autocorrelation; r[:, 0] is the energy.
    correction : (n_lags,) one over the window's autocorrelation (eq. 9).
    shortest, longest : lags of the ceiling and of the floor, in samples.
    least : height (as part of r[0]) below which a maximum is no candidate.
    octave_cost : see `pitch`; decides which candidates stay when there are too many.
    lags, strengths : (frames, candidates) receive the candidates; 0 where there are fewer.
    """
    table = interpolation_table(DEPTH)
    collect = _collect if COMPILED else pitch_plain.collect
    collect(r, correction, table, shortest, longest, least, octave_cost, lags, strengths)


def best_path(
    lags: Floats,
    strengths: Floats,
    unvoiced: Floats,
    shortest: float,
    octave_cost: float,
    octave_jump: float,
    voiced_unvoiced: float,
) -> Ints:
    """Find the path with the greatest strength less the costs of its jumps (eq. 27).

    Parameters
    ----------
    lags, strengths : (frames, candidates); lag 0 is no candidate.
    unvoiced : (frames,) strength of the unvoiced candidate.
    shortest : lag of the ceiling, at which the octave cost is 0.
    octave_cost, octave_jump, voiced_unvoiced : costs, the latter two per frame.

    Returns
    -------
    (frames,) the candidate chosen, -1 for unvoiced.
    """
    search = _best_path if COMPILED else pitch_plain.best_path
    return search(lags, strengths, unvoiced, shortest, octave_cost, octave_jump, voiced_unvoiced)


@jit
def _best_path(
    lags: Floats,
    strengths: Floats,
    unvoiced: Floats,
    shortest: float,
    octave_cost: float,
    octave_jump: float,
    voiced_unvoiced: float,
) -> Ints:
    frames, most = lags.shape
    came = np.zeros((frames, most + 1), dtype=np.int16)  # candidate 0 is "unvoiced" here
    octaves = np.zeros(most + 1)
    octaves_before = np.zeros(most + 1)
    score = np.zeros(most + 1)
    score_before = np.zeros(most + 1)
    count_before = 0
    for i in range(frames):
        count = 1
        score[0] = unvoiced[i]
        while count <= most and lags[i, count - 1] > 0.0:
            octaves[count] = math.log2(lags[i, count - 1] / shortest)
            score[count] = strengths[i, count - 1] - octave_cost * octaves[count]
            count += 1
        for c in range(count):
            best = -np.inf
            for b in range(count_before):
                cost = 0.0
                if (b == 0) != (c == 0):
                    cost = voiced_unvoiced
                elif c != 0:
                    cost = octave_jump * abs(octaves[c] - octaves_before[b])
                if score_before[b] - cost > best:
                    best = score_before[b] - cost
                    came[i, c] = b
            if i > 0:
                score[c] += best
        octaves, octaves_before = octaves_before, octaves
        score, score_before = score_before, score
        count_before = count
    path = np.zeros(frames, dtype=np.int64)
    at = 0
    for c in range(1, count_before):
        at = c if score_before[c] > score_before[at] else at
    for i in range(frames - 1, -1, -1):
        path[i] = at - 1
        at = came[i, at]
    return path
