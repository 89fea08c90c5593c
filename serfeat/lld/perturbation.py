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
`pulse_amplitudes`  : the amplitude of a signal around each glottal pulse (of
    `serfeat.signal.pulses`).
`DESCRIPTORS`       : "jitter", "shimmer".
The same of every frame: `serfeat.lld.cycles`.

Sources
-------
Praat manual, "Voice 2. Jitter" and "Voice 3. Shimmer" (the definitions and the limits). The pulses
and their amplitudes are those of `serfeat.signal.pulses`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pulses import (
    AMPLITUDE_FACTOR,
    FEWEST,
    LONGEST,
    PERIOD_FACTOR,
    SHORTEST,
    alike,
    clip_amplitudes,
    clip_pulses,
    pulse_amplitudes,
)
from serfeat.types import Bools, Floats

__all__ = ["DESCRIPTORS", "jitter", "pulse_amplitudes", "shimmer"]

JITTER = ("jitter_local", "jitter_absolute_s", "jitter_rap", "jitter_ppq5", "jitter_ddp")
SHIMMER = (
    "shimmer_local",
    "shimmer_local_db",
    "shimmer_apq3",
    "shimmer_apq5",
    "shimmer_apq11",
    "shimmer_dda",
)
BLOCK = 8192  # pulses whose neighbours are copied at a time


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
    near = alike(t, valid, PERIOD_FACTOR)
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
    near = alike(a, valid, AMPLITUDE_FACTOR) & (t >= SHORTEST) & (t <= LONGEST)
    first, second = a[:-1][near], a[1:][near]
    mean = _mean(a[valid])
    apq3, apq5, apq11 = (_quotient(a, near, points) / mean for points in (3, 5, 11))
    in_db = _mean(np.abs(20 * np.log10(second / first)))
    return np.array([_mean(np.abs(second - first)) / mean, in_db, apq3, apq5, apq11, 3 * apq3])


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
    places = np.flatnonzero(whole)
    away = np.empty(len(places))
    for first in range(0, len(places), BLOCK):  # an hour has half a million pulses
        chosen = runs[places[first : first + BLOCK]]
        away[first : first + BLOCK] = np.abs(chosen[:, points // 2] - chosen.mean(axis=1))
    return _mean(away)


def _mean(values: Floats) -> float:
    """Mean; NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def _jitter(st: ShortTime, *, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Compute the descriptor "jitter": (5,)."""
    return jitter(np.diff(clip_pulses(st, floor, ceiling)))


def _shimmer(st: ShortTime, *, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Compute the descriptor "shimmer": (6,)."""
    return shimmer(clip_amplitudes(st, floor, ceiling), np.diff(clip_pulses(st, floor, ceiling)))


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
        version=2,
        oracle="pulse trains, closed form: 1e-4; Praat on EMO-DB: 0.5 % on its pulses, 10 % in the "
        "median on ours",
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
        version=2,
        oracle="pulse trains, closed form: 1e-4 (3e-4 dB); Praat on EMO-DB: 1 % in the median on "
        "its pulses, 10 % on ours",
    ),
)
