"""Zero-crossing rate: how often the waveform changes its sign.

High in fricatives and noise, low in vowels. The mean of the clip is taken away first, since an
offset of the recorder would hide crossings; a sample of exactly 0 counts as positive, as in librosa
and MATLAB. A pure tone of f Hz crosses 2 f times per second. Only the samples of the clip count:
the zeros beyond its ends are no signal, so the first and the last frames are not diluted by them.

Contents
--------
`zcr` : crossings per second, frame by frame.

Sources
-------
[1] L. Rabiner, R. Schafer, "Digital Processing of Speech Signals", Prentice-Hall 1978, chapter 4.
    Departure: a rate per second instead of one per sample, comparable between sample rates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "zcr"]


def _zcr(st: ShortTime, *, length: float = 0.025) -> Floats:
    size = round(length * st.sr)
    if size < 2:
        raise FeatureError(
            f"a window of {length} s has {size} samples at {st.sr} Hz, expected at least 2",
            code="bad-length",
        )
    count = _crossings if COMPILED else _crossings_plain
    return count(st.centred, st.sr, st.hop, size, st.n_frames)


@jit
def _crossings(x: Floats, sr: int, hop: int, size: int, n_frames: int) -> Floats:
    """(n_frames,) changes of sign per second; NaN for a frame of one sample."""
    rate, end = np.empty(n_frames), len(x) - 1
    for i in range(n_frames):
        begin = i * hop - size // 2
        first, last = min(max(begin, 0), end), min(max(begin + size - 1, 0), end)
        here, there = x[first:last], x[first + 1 : last + 1]
        crossings = 0
        for j in range(len(here)):
            crossings += (here[j] >= 0.0) != (there[j] >= 0.0)
        rate[i] = crossings * sr / (last - first) if last > first else np.nan
    return rate


def _crossings_plain(x: Floats, sr: int, hop: int, size: int, n_frames: int) -> Floats:
    """`_crossings` with whole arrays."""
    positive = x >= 0
    # The places of the crossings, in order: k if the sign changes between sample k and k + 1.
    crossings = np.flatnonzero(positive[1:] != positive[:-1])
    begin = np.arange(n_frames) * hop - size // 2
    first, last = np.clip([begin, begin + size - 1], 0, len(x) - 1)
    inside = np.searchsorted(crossings, last) - np.searchsorted(crossings, first)
    rate: Floats = np.full(n_frames, np.nan)
    np.divide(inside * sr, last - first, out=rate, where=last > first)
    return rate


def zcr(x: ArrayLike, sr: int, *, hop: float = 0.010, length: float = 0.025) -> Floats:
    """Zero crossings per second ([1]).

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop, length : s between frames, and of a frame.

    Returns
    -------
    (n_frames,) 1/s, between 0 and sr; a frame of `length` resolves steps of about ``1 / length``.
    Silence has no crossings: 0. NaN only for a clip of one sample.

    Raises
    ------
    FeatureError : a window of less than two samples.
    """
    return _zcr(ShortTime(x, sr, hop), length=length)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="zcr",
        columns=("zcr_per_s",),
        unit="1/s",
        summary="zero crossings per second, without the mean of the clip",
        source="Rabiner & Schafer 1978, ch. 4",
        compute=_zcr,
        undefined="a clip of one sample",
        params={"length": 0.025},
        oracle="librosa's count: exact; tones, twice their frequency: 3 per s in the mean",
    ),
)
