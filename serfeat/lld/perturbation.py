"""Jitter and shimmer: how much glottal periods and their amplitudes differ from the next.

Conventions
-----------
One value per clip, over all its voiced parts. Jitter and shimmer are fractions (0.01, not 1 %),
except ``jitter_absolute_s`` in seconds and ``shimmer_local_db`` in dB; NaN where there are fewer
than three valid periods or amplitudes, five for the five-point quotients, eleven for apq11.
A period counts if it lies between 0.1 and 20 ms (so that the pause between two voiced parts is no
period) and differs from its neighbours by a factor of at most 1.3; amplitudes, by at most 1.6.
Both rise with noise and with an expressive melody: they were defined for sustained vowels. Limits
that clinics use for these (MDVP): jitter_local 0.0104, rap 0.0068, ppq5 0.0084, shimmer_local
0.0381, 0.350 dB, apq11 0.0307.

Contents
--------
`jitter`, `shimmer` : of a sequence of periods, or of amplitudes and periods.
`pulse_amplitudes`  : the amplitude of a signal around each glottal pulse.
`DESCRIPTORS`       : "jitter", "shimmer".

Sources
-------
Praat manual, "Voice 2. Jitter" and "Voice 3. Shimmer" (the definitions and the limits); the
rule for a pulse's amplitude was matched to Praat's numbers. The pulses are `serfeat.pulses.pulses`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import jit
from serfeat.pitch import pitch
from serfeat.pulses import pulses
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Bools, Floats

__all__ = ["DESCRIPTORS", "jitter", "pulse_amplitudes", "shimmer"]

SHORTEST = 1e-4  # s
LONGEST = 0.02  # s
PERIOD_FACTOR = 1.3  # largest ratio of neighbouring periods
AMPLITUDE_FACTOR = 1.6  # largest ratio of neighbouring amplitudes
FEWEST = 3  # valid periods, or amplitudes, below which nothing is said
REACH = 0.2  # periods on either side of a pulse that make its amplitude

JITTER = ("jitter_local", "jitter_absolute_s", "jitter_rap", "jitter_ppq5", "jitter_ddp")
SHIMMER = (
    "shimmer_local",
    "shimmer_local_db",
    "shimmer_apq3",
    "shimmer_apq5",
    "shimmer_apq11",
    "shimmer_dda",
)


def jitter(periods: ArrayLike) -> Floats:
    """Measure the cycle-to-cycle variation of the glottal period.

    With T the mean of the valid periods: local is the mean |T_i - T_(i-1)| / T, absolute the same
    without the division; rap and ppq5 are the mean distance of T_i from the mean of itself and its
    one (two) neighbours on either side, over T; ddp is the mean difference of successive
    differences, over T, which is 3 rap.

    Parameters
    ----------
    periods : (n,) s, consecutive; a NaN or a value outside of 0.1 ... 20 ms is a break.

    Returns
    -------
    (5,) local, absolute (s), rap, ppq5, ddp: the columns of the descriptor; NaN where too few.

    >>> jitter([0.009, 0.011] * 10).round(4).tolist()
    [0.2, 0.002, 0.1333, 0.08, 0.4]
    """
    t = np.asarray(periods, dtype=np.float64)
    valid = (t >= SHORTEST) & (t <= LONGEST)
    if valid.sum() < FEWEST:
        return np.full(len(JITTER), np.nan)
    near = _neighbours(t, valid, PERIOD_FACTOR)
    taking_part = np.zeros(len(t), dtype=np.bool_)
    taking_part[:-1] |= near
    taking_part[1:] |= near
    absolute = _mean(np.abs(np.diff(t))[near])
    mean = _mean(t[taking_part])
    rap = _quotient(t, near, 3) / mean
    return np.array([absolute / mean, absolute, rap, _quotient(t, near, 5) / mean, 3 * rap])


def shimmer(amplitudes: ArrayLike, periods: ArrayLike) -> Floats:
    """Measure the cycle-to-cycle variation of the amplitude.

    With A the mean of the valid amplitudes: local is the mean |A_i - A_(i-1)| / A; local_db the
    mean |20 log10(A_i / A_(i-1))|; apq3, apq5 and apq11 are the mean distance of A_i from the mean
    of itself and its neighbours, over A; dda is 3 apq3.

    Parameters
    ----------
    amplitudes : (n,) one per pulse, positive, any unit; NaN where there is none.
    periods : (n - 1,) s between the pulses; a pair with an invalid period between is no pair.

    Returns
    -------
    (6,) local, local_db (dB), apq3, apq5, apq11, dda: the columns of the descriptor; NaN where too
    few.

    Raises
    ------
    FeatureError : the two sequences do not belong together.
    """
    a = np.asarray(amplitudes, dtype=np.float64)
    t = np.asarray(periods, dtype=np.float64)
    if len(t) != max(0, len(a) - 1):
        raise FeatureError(
            f"{len(a)} amplitudes with {len(t)} periods; expected one period between each two",
            where="shimmer",
            code="bad-shape",
        )
    valid = a > 0
    if valid.sum() < FEWEST:
        return np.full(len(SHIMMER), np.nan)
    near = _neighbours(a, valid, AMPLITUDE_FACTOR) & (t >= SHORTEST) & (t <= LONGEST)
    first, second = a[:-1][near], a[1:][near]
    mean = _mean(a[valid])
    apq3, apq5, apq11 = (_quotient(a, near, points) / mean for points in (3, 5, 11))
    in_db = _mean(np.abs(20 * np.log10(second / first)))
    return np.array([_mean(np.abs(second - first)) / mean, in_db, apq3, apq5, apq11, 3 * apq3])


def _neighbours(values: Floats, valid: Bools, factor: float) -> Bools:
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


def _quotient(values: Floats, near: Bools, points: int) -> float:
    """Mean distance of a value from the mean of the `points` values around it.

    Returns
    -------
    the distance in the unit of the values; NaN where there are not so many neighbours in a row.
    """
    if len(values) < points:
        return float("nan")
    runs = np.lib.stride_tricks.sliding_window_view(values, points)
    whole = np.lib.stride_tricks.sliding_window_view(near, points - 1).all(axis=1)
    chosen = runs[whole]
    return _mean(np.abs(chosen[:, points // 2] - chosen.mean(axis=1)))


def _mean(values: Floats) -> float:
    """Mean; NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


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
    signal = np.ascontiguousarray(x, dtype=np.float64)
    places = np.ascontiguousarray(times, dtype=np.float64)
    out = np.full(len(places), np.nan)
    if len(places) < FEWEST:
        return out
    periods = np.diff(places)
    near = _neighbours(periods, (periods >= SHORTEST) & (periods <= LONGEST), PERIOD_FACTOR)
    _hann_rms(signal, sr, places, near, out)
    return out


@jit
def _hann_rms(x: Floats, sr: int, times: Floats, near: Bools, out: Floats) -> None:
    """Hann-weighted RMS around each pulse but the first and the last.

    Parameters
    ----------
    x : (n,) signal.
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
            total += (w * x[k]) ** 2
            weights += w * w
        if total > 0.0:
            out[i] = math.sqrt(total / weights)


def _pulses(st: ShortTime, floor: float, ceiling: float) -> Floats:
    """Glottal pulses of a clip, found once for jitter and shimmer.

    Returns
    -------
    (n_pulses,) s.
    """
    return st.memo(
        ("pulses", floor, ceiling), lambda: pulses(st, pitch(st, floor=floor, ceiling=ceiling))
    )


def _jitter(st: ShortTime, *, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Compute the descriptor "jitter": (5,)."""
    return jitter(np.diff(_pulses(st, floor, ceiling)))


def _shimmer(st: ShortTime, *, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Compute the descriptor "shimmer": (6,)."""
    times = _pulses(st, floor, ceiling)
    # An offset of the recording would add to every amplitude. It is taken as the median, not the
    # mean: a train of pulses is one-sided, and its mean belongs to the pulses.
    amplitudes = pulse_amplitudes(st.x - np.median(st.x), st.sr, times)
    return shimmer(amplitudes, np.diff(times))


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="jitter",
        columns=JITTER,
        unit=("1", "s", "1", "1", "1"),
        summary="cycle-to-cycle variation of the glottal period",
        source="Praat manual, Voice 2 (local, absolute, rap, ppq5, ddp); pulses by correlation",
        compute=_jitter,
        level="clip",
        undefined="fewer than 3 valid periods (5 for ppq5)",
    ),
    Descriptor(
        name="shimmer",
        columns=SHIMMER,
        unit=("1", "dB", "1", "1", "1", "1"),
        summary="cycle-to-cycle variation of the amplitude of the glottal pulses",
        source="Praat manual, Voice 3 (local, local dB, apq3, apq5, apq11, dda)",
        compute=_shimmer,
        level="clip",
        undefined="fewer than 3 valid amplitudes (5 for apq5, 11 for apq11)",
    ),
)
