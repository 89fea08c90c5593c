"""Glottal pulses: when the vocal folds close, along a pitch contour.

Jitter and shimmer compare one period with the next, so that they need every period by itself: the
time of each pulse, between the samples.

Sources
-------
Praat manual, "Sound & Pitch: To PointProcess (cc)", describes the search that is followed here. The
thresholds 0.3 and 0.7, the search range of 0.8 to 1.25 periods and the rule that only an interior
maximum of the correlation counts are Praat's behaviour as we know it and as the comparison with it
confirms (tests/lld/test_perturbation.py); the code is our own.
"""

from __future__ import annotations

import math

import numpy as np

from serfeat.jit import jit
from serfeat.pitch import Pitch
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

__all__ = ["pulses"]


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
    for begin, end in edges:
        room = int((end - begin + 2) * st.hop / (0.8 * lags[begin:end].min())) + 4
        marks = np.zeros(2 * room)
        used = _pulses_of_part(st.centred, st.hop, lags, int(begin), int(end), last, marks)
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
    x: Floats, hop: int, lags: Floats, begin: int, end: int, last: float, marks: Floats
) -> int:
    """Mark the pulses of the voiced frames begin ... end - 1.

    Parameters
    ----------
    x : (n,) the clip.
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
    first = _extremum(x, middle - 0.5 * period, middle + 0.5 * period)
    used = 0
    if first - last > 0.8 * period:
        marks[used] = first
        used += 1
    for direction in (-1, 1):
        at = first
        nearest = last  # on the way to the right nothing can be too near
        while used < len(marks):
            period = _period_at(lags, begin, end, hop, at)
            at, correlation = _next_pulse(x, at, period, direction)
            if correlation < -1.0:
                break
            beyond = at < left or at > right
            if correlation > (0.7 if beyond else 0.3) and at - nearest > 0.8 * period:
                marks[used] = at
                used += 1
            if beyond:
                break
    return used


@jit
def _extremum(x: Floats, begin: float, end: float) -> float:
    """Place of the largest |x| between two places, between the samples by a parabola."""
    best = max(1, math.ceil(begin))
    for k in range(best, min(len(x) - 1, int(end) + 1)):
        if abs(x[k]) > abs(x[best]):
            best = k
    if best >= len(x) - 1:
        return float(best)
    a, b, c = abs(x[best - 1]), abs(x[best]), abs(x[best + 1])
    bend = (b - a) + (b - c)
    return best + (0.5 * (c - a) / bend if b >= a and b >= c and bend > 0.0 else 0.0)


@jit
def _next_pulse(x: Floats, at: float, period: float, direction: int) -> tuple[float, float]:
    """Find the place 0.8 to 1.25 periods away whose surroundings (+-period/2) resemble those here.

    Returns
    -------
    place, and normalised cross-correlation there: 0 (and one period on) where none is the best,
    -2 where the clip ends too early to tell.
    """
    width = max(3, round(period))
    here = round(at - 0.5 * period)
    low = math.floor(0.8 * period)
    high = math.ceil(1.25 * period)
    size = high - low + 3  # one shift more on either side, for the parabola
    r = np.zeros(size)
    energy = 0.0
    for j in range(width):
        if 0 <= here + j < len(x):
            energy += x[here + j] ** 2
    usable = False
    for s in range(size):
        there = here + direction * (low - 1 + s)
        if here < 0 or there < 0 or max(here, there) + width > len(x):
            continue
        product = 0.0
        other = 0.0
        for j in range(width):
            product += x[here + j] * x[there + j]
            other += x[there + j] ** 2
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
