"""Harmonic differences: the balance of the first harmonics, and of the formants, of a voice.

Conventions
-----------
dB, one row per frame of the grid; NaN where the frame is unvoiced, within a window of the edges of
the clip, and, for a formant's column, where that formant was not found. H1 and H2 are the
amplitudes of the harmonics at F0 and 2 F0; A_k is that of the highest harmonic near formant k:
of the two on either side of it and all within 10 % of its frequency. The formants' own influence on
H1 and H2 is not taken out (no H1*-H2*).

h1_h2_db    : ``20 log10(H1 / H2)``: high for a breathy voice, low or negative for a pressed one.
h1_a3_db    : ``20 log10(H1 / A3)``: the tilt of the source; high where closure is gradual.
f1_level_db, f2_level_db, f3_level_db : ``20 log10(A_k / H1)``. ``f3_level_db`` is
    ``-h1_a3_db``: both stand here because both are columns of eGeMAPS.

Method, and why
---------------
A harmonic is the Fourier sum at exactly k F0 under a Hann window of a whole number of periods: at
least three, and at least 25 ms. The zeros of that window's spectrum fall on all other harmonics, so
that of a periodic sound every harmonic is exact, however weak beside its neighbours.
A short window follows a gliding voice, and three periods forgive an F0 that is two percent off.

openSMILE counts F0 as harmonic 0: its ``logRelF0-H1-H2`` is the second over the third harmonic, and
hardly correlates with H1-H2 (tests/lld/test_harmonics.py shows both). Do not compare.

Contents
--------
`harmonics` : all columns.  `DESCRIPTORS` : "harmonics".

Sources
-------
H. Hanson, "Glottal characteristics of female speakers: acoustic correlates", JASA 101 (1997)
466-481 (H1-H2, H1-A3).
F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans. Affective
Computing 7(2), 2016, section 3 (formant levels relative to F0).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from serfeat.jit import jit
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import pitch
from serfeat.signal.resonances import resonances
from serfeat.types import Floats, Ints

__all__ = ["COLUMNS", "DESCRIPTORS", "harmonics"]

COLUMNS = ("h1_h2_db", "h1_a3_db", "f1_level_db", "f2_level_db", "f3_level_db")

PERIODS = 3  # fewest periods in a window
SHORTEST = 0.025  # s, shortest window
NEAR = 0.1  # part of a formant's frequency within which its harmonic is looked for
LIMIT = 1e-5  # ratios are kept within +-100 dB, beyond which rounding decides


def harmonics(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    floor: float = 75.0,
    ceiling: float = 600.0,
    formant_ceiling: float = 5500.0,
) -> Floats:
    """Measure harmonic differences and formant levels of every frame.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    floor, ceiling : Hz, the range of F0; see `serfeat.signal.pitch.pitch`.
    formant_ceiling : Hz, top of the band of five formants; see
        `serfeat.signal.resonances.resonances`.

    Returns
    -------
    (n_frames, 5) dB in [-100, 100], in the order of `COLUMNS`; NaN where unvoiced, too near to an
    edge of the clip, or without the formant.

    Raises
    ------
    AudioError, FeatureError : see `ShortTime`, `pitch` and `resonances`.
    """
    st = ShortTime(x, sr, hop)
    return _harmonics(st, floor=floor, ceiling=ceiling, formant_ceiling=formant_ceiling)


def _harmonics(
    st: ShortTime,
    *,
    floor: float = 75.0,
    ceiling: float = 600.0,
    formant_ceiling: float = 5500.0,
) -> Floats:
    """Compute the descriptor "harmonics".

    Returns
    -------
    (n_frames, 5) dB.
    """
    contour = pitch(st, floor=floor, ceiling=ceiling)
    out = np.full((st.n_frames, len(COLUMNS)), np.nan)
    rows = np.flatnonzero(contour.voiced)
    if not len(rows):
        return out
    formants = resonances(st, ceiling=formant_ceiling).frequency[rows, :3]
    amplitudes = np.full((len(rows), 5), np.nan)
    _amplitudes(
        st.centred / np.abs(st.centred).max(),
        (rows * st.hop).astype(np.int64),
        contour.f0[rows] / st.sr,
        formants / st.sr,
        SHORTEST * st.sr,
        amplitudes,
    )
    first, second = amplitudes[:, :1], amplitudes[:, 1:]
    known = first > 0
    ratio = second / np.where(known, first, 1.0)
    level = 20 * np.log10(np.clip(ratio, LIMIT, 1 / LIMIT))
    level = np.where(known, level, np.nan)
    out[rows] = np.column_stack([-level[:, 0], -level[:, 3], level[:, 1:]])
    return out


@jit
def _amplitudes(
    x: Floats, centres: Ints, f0: Floats, formants: Floats, shortest: float, out: Floats
) -> None:
    """Measure H1, H2 and the highest harmonic near each formant.

    Parameters
    ----------
    x : (n,) signal.
    centres : (k,) samples.
    f0 : (k,) cycles per sample.
    formants : (k, 3) cycles per sample; NaN where there is none.
    shortest : samples, shortest window.
    out : (k, 5) receives H1, H2, A1, A2, A3; NaN stays where the window would leave the signal or
        a harmonic lies above half the sample rate.
    """
    for i in range(len(centres)):
        length = max(float(PERIODS), math.ceil(shortest * f0[i])) / f0[i]
        half = int(0.5 * length)
        if centres[i] < half or centres[i] + half >= len(x):
            continue
        frame = np.empty(2 * half + 1)
        for j in range(-half, half + 1):
            weight = (1.0 + math.cos(2 * math.pi * j / length)) / length
            frame[half + j] = weight * x[centres[i] + j]
        highest = int(0.5 / f0[i])  # the last harmonic below half the sample rate
        for h in range(1, min(highest, 2) + 1):
            out[i, h - 1] = _fourier(frame, h * f0[i])
        for k in range(formants.shape[1]):
            place = formants[i, k] / f0[i]
            if not place > 0.0:
                continue
            low = max(1, min(math.floor(place), math.ceil((1 - NEAR) * place)))
            high = min(highest, max(math.floor(place) + 1, math.floor((1 + NEAR) * place)))
            for h in range(low, high + 1):
                amplitude = _fourier(frame, h * f0[i])
                if not out[i, 2 + k] >= amplitude:
                    out[i, 2 + k] = amplitude


@jit
def _fourier(frame: Floats, frequency: float) -> float:
    """Magnitude of the Fourier sum of a frame at any frequency, by Goertzel's recursion.

    Parameters
    ----------
    frame : (n,) windowed samples.
    frequency : cycles per sample.

    Returns
    -------
    the magnitude.
    """
    twice = 2 * math.cos(2 * math.pi * frequency)
    before = 0.0
    now = 0.0
    for sample in frame:
        before, now = now, sample + twice * now - before
    return math.sqrt(max(now * now + before * before - twice * now * before, 0.0))


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="harmonics",
        columns=COLUMNS,
        unit="dB",
        summary="H1-H2, H1-A3 and the levels of the formants' harmonics relative to H1",
        source="Hanson 1997; Eyben et al. 2016 (GeMAPS), section 3; pitch-synchronous Hann window",
        compute=_harmonics,
        undefined="unvoiced frames, frames near the edges of the clip, formants not found",
        version=3,
        oracle="harmonics of known amplitude: 0.05 dB; H1-H2 beside a plain Fourier sum on EMO-DB: "
        "0.2 dB in the median",
    ),
)
