"""Energy of the frames: root mean square in decibels, and the log energy of HTK.

The level of a recording depends on the microphone, its distance and the normalisation of the corpus
(EMO-DB is peak-normalised file by file), so these columns say more about the course within a clip
than about its absolute loudness. The mean of the clip is taken away first: an offset of the
recorder is no sound. Samples beyond the ends of the clip are zero, as on the whole grid. Both
quantities have one floor, -100 dB re full scale, below the last bit of 16-bit audio (-90 dB): a
logarithm of digital silence stays finite.

Contents
--------
`rms_db`     : root mean square, dB re full scale; a sine of amplitude A gives 20 log10(A / sqrt 2).
`log_energy` : ln of the summed squares, as HTK appends it to its cepstra.

Sources
-------
[1] S. Young et al., The HTK Book (3.4), section "Energy Measures", eq. 5.15.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.lanes import SUMMED, squares
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "FLOOR_DB", "log_energy", "rms_db"]

# dB re full scale: a quieter frame is silence.
FLOOR_DB = -100.0

# What full scale is in the unit of the samples: HTK and openSMILE count in 16-bit integers.
_FULL_SCALE = {"unit": 1.0, "int16": 32768.0}

Scale = Literal["unit", "int16"]
Align = Literal["centre", "left"]


def _summed_squares(st: ShortTime, length: float, align: Align, remove_mean: bool) -> Floats:
    """(frames,) sum of the squares of every frame, never below the floor."""
    size = round(length * st.sr)
    if size < 1:
        raise FeatureError(
            f"a window of {length} s is shorter than one sample at {st.sr} Hz", code="bad-length"
        )

    def make() -> Floats:
        signal = st.centred if remove_mean else st.x
        if COMPILED:
            count = st.n_frames if align == "centre" else 1 + max(0, len(signal) - size) // st.hop
            begin = -(size // 2) if align == "centre" else 0
            total = _sums_of_squares(signal, begin, st.hop, size, count)
        else:
            frames = st.frames(size, align=align, signal=signal)
            total = np.einsum("ij,ij->i", frames, frames)
        return np.asarray(np.maximum(total, size * 10 ** (FLOOR_DB / 10)))

    return st.memo(("energy", size, align, remove_mean), make)


@jit
def _sums_of_squares(x: Floats, begin: int, hop: int, size: int, count: int) -> Floats:
    """(count,) sum of the squares of the frames that begin at begin, begin + hop, ..."""
    totals = np.empty(count)
    for i in range(count):
        part = x[max(begin + i * hop, 0) : max(begin + i * hop + size, 0)]
        total, whole = 0.0, len(part) // SUMMED * SUMMED
        for j in range(0, whole, SUMMED):
            total += squares(part, part, (j,))
        for j in range(whole, len(part)):
            total += part[j] * part[j]
        totals[i] = total
    return totals


def _rms_db(
    st: ShortTime, *, length: float = 0.025, align: Align = "centre", remove_mean: bool = True
) -> Floats:
    total = _summed_squares(st, length, align, remove_mean)
    return np.asarray(10 * np.log10(total / round(length * st.sr)))


def _log_energy(
    st: ShortTime,
    *,
    length: float = 0.025,
    scale: Scale = "int16",
    align: Align = "centre",
    remove_mean: bool = True,
) -> Floats:
    if scale not in _FULL_SCALE:
        raise FeatureError(
            f"unknown scale {scale!r}, expected 'unit' or 'int16'", code="unknown-name"
        )
    total = _summed_squares(st, length, align, remove_mean)
    return np.asarray(np.log(total) + 2 * np.log(_FULL_SCALE[scale]))


def rms_db(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    align: Align = "centre",
    remove_mean: bool = True,
) -> Floats:
    """Root mean square of every frame, in dB re full scale.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1].
    sr : Hz.
    hop, length : s between frames, and of a frame.
    align : ``"centre"`` is the grid, ``"left"`` is HTK's framing.
    remove_mean : take the mean of the clip away first.

    Returns
    -------
    (frames,) dB, from -100 (the floor; silence) to 0 (a full-scale square wave).

    Raises
    ------
    FeatureError : a window shorter than one sample.
    """
    st = ShortTime(x, sr, hop)
    return _rms_db(st, length=length, align=align, remove_mean=remove_mean)


def log_energy(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    scale: Scale = "int16",
    align: Align = "centre",
    remove_mean: bool = True,
) -> Floats:
    """Logarithm of the energy of every frame, ``ln sum (g x)^2`` ([1]).

    HTK itself uses ``align="left"`` and ``remove_mean=False``.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1].
    sr : Hz.
    hop, length : s between frames, and of a frame.
    scale : g: ``"int16"`` is 32768 (HTK and openSMILE count in 16-bit integers), ``"unit"`` is 1.
    align, remove_mean : see `rms_db`.

    Returns
    -------
    (frames,) natural logarithm, with the floor of `rms_db` (silence is never minus infinity).

    Raises
    ------
    FeatureError : an unknown `scale`; a window shorter than one sample.
    """
    st = ShortTime(x, sr, hop)
    return _log_energy(st, length=length, scale=scale, align=align, remove_mean=remove_mean)


def _both(st: ShortTime, *, length: float = 0.025, scale: Scale = "int16") -> Floats:
    return np.column_stack(
        [_rms_db(st, length=length), _log_energy(st, length=length, scale=scale)]
    )


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="energy",
        columns=("rms_db", "log_energy"),
        unit=("dB", "ln"),
        summary="root mean square re full scale, and HTK's log energy; floor -100 dB",
        source="HTK Book 3.4, section Energy Measures, eq. 5.15",
        compute=_both,
        params={"length": 0.025, "scale": "int16"},
        oracle="closed form, sine and sum of squares: 1e-9 and 1e-12; librosa's RMS: 1e-5 dB "
        "(single precision)",
    ),
)
