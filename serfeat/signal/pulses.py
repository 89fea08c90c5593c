"""Glottal pulses: when the vocal folds close, along a pitch contour, and how strongly.

Jitter and shimmer compare one period with the next, so that they need every period by itself: the
time of each pulse, between the samples, and its amplitude.

Contents
--------
`pulses`           : the times of the pulses along a contour.
`pulse_amplitudes` : the amplitude of the signal around each of them.
`alike`            : which neighbouring periods, or amplitudes, may be compared.
`clip_pulses`, `clip_amplitudes` : the times and amplitudes of a clip, found once for all.

Sources
-------
Praat manual, "Sound & Pitch: To PointProcess (cc)", describes the search that is followed here. The
thresholds 0.3 and 0.7, the search range of 0.8 to 1.25 periods and the rule that only an interior
maximum of the correlation counts are Praat's behaviour as we know it and as the comparison with it
confirms (tests/lld/test_perturbation.py), and the rule for a pulse's amplitude was matched to its
numbers there; the limits of what may be compared are those of its manual, "Voice 2. Jitter" and
"Voice 3. Shimmer". The code is our own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from serfeat.jit import jit
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import Pitch, pitch
from serfeat.types import Bools, Floats, Floats32, Ints, Reals

__all__ = ["alike", "clip_amplitudes", "clip_pulses", "pulse_amplitudes", "pulses"]

SHORTEST = 1e-4  # s
LONGEST = 0.02  # s
PERIOD_FACTOR = 1.3  # largest ratio of neighbouring periods
AMPLITUDE_FACTOR = 1.6  # largest ratio of neighbouring amplitudes
EQUAL = 1 + 1e-9  # a sample that is not larger than another by this factor is as large
FEWEST = 3  # valid periods, or amplitudes, below which nothing is said
BLOCK = 1 << 18  # samples looked at at a time
NEAREST, FARTHEST = 0.8, 1.25  # periods from one pulse to the next
RESEMBLANCE, AT_THE_EDGE = 0.3, 0.7  # least correlation of two pulses; where a part ends
REACH = 0.2  # periods on either side of a pulse that make its amplitude


def pulses(st: ShortTime, contour: Pitch) -> Floats:
    """Mark the glottal pulses of the voiced parts, by cross-correlation along the contour.

    In the middle of each voiced part the pulse is the largest |sample| within half a period; from
    there, to the left and to the right, the next pulse is where the waveform resembles that of the
    last one best, 0.8 to 1.25 periods away. It counts if the correlation exceeds 0.3; one beyond
    the edge of the voiced part is added if it exceeds 0.7.

    Parameters
    ----------
    st : the clip on its grid.
    contour : its pitch.

    Returns
    -------
    (n_pulses,) s, increasing; empty where nothing is voiced. Sample n lies at ``n / sr``.
    """
    voiced = np.concatenate([[False], contour.voiced, [False]])
    edges = np.flatnonzero(voiced[1:] != voiced[:-1]).reshape(-1, 2)
    lags = np.where(contour.voiced, st.sr / np.where(contour.voiced, contour.f0, 1.0), 0.0)
    # A pulse every shortest period is the most there can be, plus one beyond either edge.
    found: list[Floats] = []
    last = -np.inf
    x, mean = (st.samples, st.mean) if st.long else (st.centred, 0.0)
    for begin, end in edges:
        room = int((end - begin + 2) * st.hop / (0.8 * lags[begin:end].min())) + 4
        marks = np.zeros(2 * room)
        used = _pulses_of_part(x, np.float64(mean), st.hop, lags, int(begin), int(end), last, marks)
        if used:
            part = np.sort(marks[:used])
            last = float(part[-1])
            found.append(part)
    return np.concatenate(found) / st.sr if found else np.zeros(0)


@jit
def _period_at(lags: Floats, begin: int, end: int, hop: int, where: float) -> float:
    """Period (samples) at a place (samples); F0 runs straight from frame to frame."""
    place = min(max(where / hop, float(begin)), float(end - 1))
    k = min(int(place), end - 1)
    n = min(k + 1, end - 1)
    return float(1.0 / ((1.0 - (place - k)) / lags[k] + (place - k) / lags[n]))


@jit
def _pulses_of_part(
    x: Reals,
    mean: float,
    hop: int,
    lags: Floats,
    begin: int,
    end: int,
    last: float,
    marks: Floats,
) -> int:
    """Mark the pulses of the voiced frames begin ... end - 1.

    Parameters
    ----------
    x : (n,) the clip, of either precision.
    mean : is taken away from its samples.
    lags : (n_frames,) periods in samples.
    last : the last pulse of the part before, in samples: none may come too near to it.
    marks : receives the pulses in samples, in the order of their finding.

    Returns
    -------
    how many were found.
    """
    left = max((begin - 0.5) * hop, 0.0)
    right = min((end - 0.5) * hop, len(x) - 1.0)
    middle = 0.5 * (left + right)
    period = _period_at(lags, begin, end, hop, middle)
    first = _extremum(x, mean, middle - 0.5 * period, middle + 0.5 * period)
    used = 0
    if first - last > NEAREST * period:
        marks[used] = first
        used += 1
    for direction in (-1, 1):
        at = first
        nearest = last  # on the way to the right nothing can be too near
        while used < len(marks):
            period = _period_at(lags, begin, end, hop, at)
            at, correlation = _next_pulse(x, mean, at, period, direction)
            if correlation < -1.0:
                break
            beyond = at < left or at > right
            least = AT_THE_EDGE if beyond else RESEMBLANCE
            if correlation > least and at - nearest > NEAREST * period:
                marks[used] = at
                used += 1
            if beyond:
                break
    return used


@jit
def _extremum(x: Reals, mean: float, begin: float, end: float) -> float:
    """Place of the largest |x| between two places, between the samples by a parabola.

    Of samples that are equally large, as they often are in audio of 16 bits, the first, whatever
    their last digits: all pulses of the voiced part follow from this one.
    """
    best = max(1, math.ceil(begin))
    for k in range(best, min(len(x) - 1, int(end) + 1)):
        if abs(x[k] - mean) > EQUAL * abs(x[best] - mean):
            best = k
    if best >= len(x) - 1:
        return float(best)
    a, b, c = abs(x[best - 1] - mean), abs(x[best] - mean), abs(x[best + 1] - mean)
    bend = (b - a) + (b - c)
    return best + (0.5 * (c - a) / bend if b >= a and b >= c and bend > 0.0 else 0.0)


@jit
def _next_pulse(
    x: Reals, mean: float, at: float, period: float, direction: int
) -> tuple[float, float]:
    """Find the place 0.8 to 1.25 periods away whose surroundings (+-period/2) resemble those here.

    Returns
    -------
    place, and normalised cross-correlation there: 0 (and one period on) where none is the best,
    -2 where the clip ends too early to tell.
    """
    width = max(3, round(period))
    here = round(at - 0.5 * period)
    low = math.floor(NEAREST * period)
    high = math.ceil(FARTHEST * period)
    size = high - low + 3  # one shift more on either side, for the parabola
    r = np.zeros(size)
    energy = 0.0
    for j in range(width):
        if 0 <= here + j < len(x):
            energy += (x[here + j] - mean) ** 2
    usable = False
    for s in range(size):
        there = here + direction * (low - 1 + s)
        if here < 0 or there < 0 or max(here, there) + width > len(x):
            continue
        product = 0.0
        other = 0.0
        for j in range(width):
            y = x[there + j] - mean
            product += (x[here + j] - mean) * y
            other += y**2
        if energy > 0.0 and other > 0.0:
            r[s] = product / math.sqrt(energy * other)
        usable = True
    if not usable:
        return at, -2.0
    best = 0
    for s in range(1, size - 1):
        if r[s] > r[s - 1] and r[s] >= r[s + 1] and (best == 0 or r[s] > r[best]):
            best = s
    if best == 0:
        return at + direction * period, 0.0
    bend = (r[best] - r[best - 1]) + (r[best] - r[best + 1])
    shift = 0.5 * (r[best + 1] - r[best - 1]) / bend
    return at + direction * (low - 1 + best + shift), r[best]


def alike(values: Floats, valid: Bools, factor: float) -> Bools:
    """Which neighbours may be compared: both valid, and alike within a factor.

    Returns
    -------
    (len(values) - 1,) bool.
    """
    safe = np.where(valid, values, 1.0)
    ratio = safe[1:] / safe[:-1]
    return np.asarray(
        valid[1:] & valid[:-1] & (ratio <= factor) & (ratio >= 1 / factor), dtype=np.bool_
    )


def pulse_amplitudes(x: ArrayLike, sr: int, times: ArrayLike) -> Floats:
    """Measure the amplitude around each glottal pulse.

    The amplitude is the RMS under a Hann window that reaches a fifth of the period before and a
    fifth of the period after the pulse: it follows the height of the pulse, and the noise between
    pulses does not enter.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    times : (k,) s, increasing.

    Returns
    -------
    (k,) in the unit of x; NaN for a pulse at the edge of a voiced part (no period on both sides, or
    two that differ by more than 1.3), and where the signal is silent.
    """
    return _amplitudes(np.ascontiguousarray(x, dtype=np.float64), 0.0, sr, times)


def _amplitudes(x: Reals, offset: float, sr: int, times: ArrayLike) -> Floats:
    """`pulse_amplitudes` of a signal, of either precision, without its offset."""
    places = np.ascontiguousarray(times, dtype=np.float64)
    out = np.full(len(places), np.nan)
    if len(places) < FEWEST:
        return out
    periods = np.diff(places)
    near = alike(periods, (periods >= SHORTEST) & (periods <= LONGEST), PERIOD_FACTOR)
    _hann_rms(x, np.float64(offset), sr, places, near, out)
    return out


@jit
def _hann_rms(x: Reals, offset: float, sr: int, times: Floats, near: Bools, out: Floats) -> None:
    """Hann-weighted RMS around each pulse but the first and the last.

    Parameters
    ----------
    x : (n,) signal.
    offset : is taken away from it.
    times : (k,) s.
    near : (k - 2,) whether the two periods around pulse 1, 2, ... may be compared.
    out : (k,) receives the RMS.
    """
    for i in range(1, len(times) - 1):
        if not near[i - 1]:
            continue
        before = REACH * (times[i] - times[i - 1]) * sr
        after = REACH * (times[i + 1] - times[i]) * sr
        centre = times[i] * sr
        total = 0.0
        weights = 0.0
        for k in range(max(0, math.ceil(centre - before)), min(len(x), int(centre + after) + 1)):
            side = before if k < centre else after
            w = 0.5 + 0.5 * math.cos(math.pi * (k - centre) / side)
            total += (w * (x[k] - offset)) ** 2
            weights += w * w
        if total > 0.0:
            out[i] = math.sqrt(total / weights)


def clip_pulses(st: ShortTime, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Glottal pulses of a clip, found once for all that asks for them.

    Parameters
    ----------
    st : the clip on its grid.
    floor, ceiling : Hz, the range of F0; see `serfeat.signal.pitch.pitch`.

    Returns
    -------
    (n_pulses,) s, increasing.
    """
    return st.memo(
        ("pulses", floor, ceiling), lambda: pulses(st, pitch(st, floor=floor, ceiling=ceiling))
    )


def clip_amplitudes(st: ShortTime, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Amplitudes of the pulses of `clip_pulses`, in the unit of the samples.

    Returns
    -------
    (n_pulses,) see `pulse_amplitudes`.
    """

    def make() -> Floats:
        # An offset of the recording would add to every amplitude. It is taken as the median, not
        # the mean: a train of pulses is one-sided, and its mean belongs to the pulses.
        offset = _median(st.samples) if st.long else float(np.median(st.x))
        return _amplitudes(st.samples, offset, st.sr, clip_pulses(st, floor, ceiling))

    return st.memo(("pulse amplitudes", floor, ceiling), make)


def _median(x: Reals) -> float:
    """Median of (n,) samples, block by block: `np.median` would copy all of them."""
    single = np.ascontiguousarray(x, dtype=np.float32)
    if x.dtype != np.float32 and (single != x).any():
        return float(np.median(x))
    middle = [(len(x) - 1) // 2, len(x) // 2]
    return float(np.mean([_ranked(single, k) for k in middle], dtype=np.float64))


def _ranked(x: Floats32, k: int) -> float:
    """Return the k-th smallest sample: its upper 16 bits by counting, then its lower ones."""
    upper = np.zeros(1 << 16, dtype=np.int64)
    for block in _ordered_bits(x):
        upper += np.bincount(block >> 16, minlength=1 << 16)
    high = int(np.searchsorted(np.cumsum(upper), k, side="right"))
    lower = np.zeros(1 << 16, dtype=np.int64)
    for block in _ordered_bits(x):
        lower += np.bincount(block[block >> 16 == high] & 0xFFFF, minlength=1 << 16)
    below = k - int(upper[:high].sum())
    bits = (high << 16) + int(np.searchsorted(np.cumsum(lower), below, side="right"))
    bits = bits ^ 0x80000000 if bits & 0x80000000 else bits ^ 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))


def _ordered_bits(x: Floats32) -> Iterator[Ints]:
    """Yield blocks of whole numbers that are ordered as the samples are."""
    for first in range(0, len(x), BLOCK):
        bits = x[first : first + BLOCK].view(np.uint32).astype(np.int64)
        yield np.where(bits & 0x80000000, bits ^ 0xFFFFFFFF, bits | 0x80000000)
