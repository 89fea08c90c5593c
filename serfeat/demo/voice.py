"""Who speaks, and the melody: speakers drawn from a seed, and the F0 contour of a sentence.

Contents
--------
`Speaker`, `draw_speaker` : a voice: pitch, range, rate, tract, voice quality.
`intonation`              : declination, accents on stressed syllables, a final movement, flutter.

Sources
-------
Mean F0 and formant scales of women and men: Peterson & Barney (1952). Jitter, shimmer and HNR of
healthy voices: below the thresholds of MDVP (1.04 %, 3.81 %). Declination and accents: the
superposition of Fujisaki & Hirose (1984), with raised cosines for accents. Flutter: Klatt &
Klatt (1990), eq. 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from serfeat.types import Bools, Floats

__all__ = ["Speaker", "draw_speaker", "intonation"]

F0_LIMITS_HZ = (55.0, 650.0)


@dataclass(frozen=True)
class Speaker:
    """A voice when it is neutral.

    Parameters
    ----------
    name, sex : "s1", ...; "female" or "male".
    f0_hz : habitual (geometric mean) F0.
    accent_st : height of an accent, semitones.
    rate : factor on durations (above 1 = slow).
    tract : factor on formants.
    jitter, shimmer : standard deviations of a period and of a pulse's amplitude, relative.
    hnr_db, tilt_db : breath in vowels; loss of the voice source at 3 kHz.
    open_quotient : open part of a glottal cycle.
    level_db : RMS of the vowels re full scale.
    """

    name: str
    sex: Literal["female", "male"]
    f0_hz: float
    accent_st: float
    rate: float
    tract: float
    jitter: float
    shimmer: float
    hnr_db: float
    tilt_db: float
    open_quotient: float
    level_db: float


def draw_speaker(name: str, *, female: bool, rng: np.random.Generator) -> Speaker:
    """Draw a speaker's voice from its own generator."""
    low, high = (175.0, 235.0) if female else (92.0, 140.0)
    return Speaker(
        name=name,
        sex="female" if female else "male",
        f0_hz=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        accent_st=rng.uniform(2.6, 4.2),
        rate=rng.uniform(0.88, 1.14),
        tract=rng.uniform(1.10, 1.22) if female else rng.uniform(0.96, 1.06),
        jitter=rng.uniform(0.003, 0.008),
        shimmer=rng.uniform(0.02, 0.05),
        hnr_db=rng.uniform(17.0, 24.0),
        tilt_db=rng.uniform(7.0, 12.0),
        open_quotient=rng.uniform(0.58, 0.70) if female else rng.uniform(0.48, 0.60),
        level_db=rng.uniform(-29.0, -25.0),
    )


def intonation(
    t: Floats,
    voiced: Bools,
    accents: Sequence[tuple[float, float]],
    *,
    mean_hz: float,
    accent_st: float,
    range_factor: float,
    final_st: float,
    late: float,
    rng: np.random.Generator,
) -> Floats:
    """Make an F0 contour.

    Parameters
    ----------
    t : (m,) s.
    voiced : (m,) where the voice sounds: the contour's mean is taken there.
    accents : (time, height) of each stressed vowel, height relative to `accent_st`.
    mean_hz : geometric mean over the voiced part.
    range_factor : all movement is multiplied by it.
    final_st : movement over the last 0.25 s, semitones (negative = fall).
    late : accent peaks come ``0.04 * late`` s after the vowel's beginning.

    Returns
    -------
    (m,) Hz, everywhere defined, within `F0_LIMITS_HZ`.
    """
    begin, end = (t[voiced][0], t[voiced][-1]) if voiced.any() else (t[0], t[-1])
    along = ((t - begin) / max(end - begin, 1e-3)).clip(0.0, 1.0)
    shape = -3.0 * along
    for at, height in accents:
        phase = (t - at - 0.04 * late) / 0.16
        bump = np.where(np.abs(phase) < 1.0, 0.5 + 0.5 * np.cos(np.pi * phase), 0.0)
        shape += accent_st * height * bump
    shape += final_st * ((t - (end - 0.25)) / 0.25).clip(0.0, 1.0) ** 1.5
    mean = float(shape[voiced].mean()) if voiced.any() else 0.0
    st = range_factor * (shape - mean)
    for hz in (12.7, 7.1, 4.7):
        st += 0.06 * np.sin(2.0 * np.pi * (hz * t + rng.uniform()))
    f0: Floats = (mean_hz * 2.0 ** (st / 12.0)).clip(*F0_LIMITS_HZ)
    return f0
