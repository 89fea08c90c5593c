"""Sound level: the mean power of a whole clip in decibels.

Conventions
-----------
dB re full scale, ``10 log10(mean x^2)`` over all samples, the mean of the clip taken away first: a
sine of amplitude A gives 20 log10(A / sqrt 2). The floor is that of the level of the frames
(`serfeat.lld.energy`), -100 dB, below the last bit of 16-bit audio: digital silence stays finite.
It is a level of the recording, not of the voice: microphone, distance and normalisation are in it,
and so are the pauses.

eGeMAPS' ``equivalentSoundLevel_dBp`` is the same quantity: the mean power of overlapping frames of
20 ms, in which the first and last 10 ms count half, and an offset of the recorder counts too.

Contents
--------
`sound_level` : of a signal.  `DESCRIPTORS` : "sound_level".

Sources
-------
F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans. Affective
Computing 7(2), 2016: equivalent sound level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "sound_level"]

FLOOR_DB = -100.0  # dB re full scale: a quieter clip is silence


def sound_level(x: ArrayLike, sr: int) -> float:
    """Measure the level of a whole clip.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1].
    sr : Hz.

    Returns
    -------
    dB re full scale, from -100 (silence) to 0 (a full-scale square wave).

    Raises
    ------
    AudioError : see `ShortTime`.

    >>> round(sound_level(np.sin(2 * np.pi * 0.01 * np.arange(1000)), 16000), 2)
    -3.01
    """
    return float(_level(ShortTime(x, sr))[0])


def _level(st: ShortTime) -> Floats:
    """Compute the descriptor "sound_level": (1,)."""
    power = float(st.centred @ st.centred) / len(st.centred)
    return np.array([10 * np.log10(max(power, 10 ** (FLOOR_DB / 10)))])


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="sound_level",
        columns=("sound_level_db",),
        unit="dB",
        summary="mean power of the clip re full scale; floor -100 dB",
        source="Eyben et al. 2016 (= eGeMAPS' equivalentSoundLevel_dBp, without the offset)",
        compute=_level,
        level="clip",
        oracle="a sine, closed form: 1e-6 dB; openSMILE's equivalentSoundLevel on EMO-DB: 0.05 dB",
    ),
)
