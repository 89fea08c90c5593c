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
from serfeat.types import Floats, Ints

__all__ = ["DESCRIPTORS", "zcr"]


def _zcr(st: ShortTime, *, length: float = 0.025) -> Floats:
    size = round(length * st.sr)
    if size < 2:
        raise FeatureError(
            f"a window of {length} s has {size} samples at {st.sr} Hz, expected at least 2",
            code="bad-length",
        )
    n = st.grid.n_samples
    begin = np.arange(st.n_frames) * st.hop - size // 2
    first = np.clip(begin, 0, n - 1)
    last = np.clip(begin + size - 1, 0, n - 1)
    steps = last - first
    counted = (_crossings if COMPILED else _crossings_plain)(st.centred, first, last)
    rate = np.full(st.n_frames, np.nan)
    np.divide(counted * st.sr, steps, out=rate, where=steps > 0)
    return rate


@jit
def _crossings(x: Floats, first: Ints, last: Ints) -> Floats:
    """(k,) changes of sign from sample `first` to sample `last` of each frame."""
    counted = np.empty(len(first))
    for i in range(len(first)):
        here, there = x[first[i] : last[i]], x[first[i] + 1 : last[i] + 1]
        crossings = 0
        for j in range(len(here)):
            crossings += (here[j] >= 0.0) != (there[j] >= 0.0)
        counted[i] = crossings
    return counted


def _crossings_plain(x: Floats, first: Ints, last: Ints) -> Floats:
    """`_crossings` with whole arrays."""
    positive = x >= 0
    # The places of the crossings, in order: k if the sign changes between sample k and k + 1.
    crossings = np.flatnonzero(positive[1:] != positive[:-1])
    inside = np.searchsorted(crossings, last) - np.searchsorted(crossings, first)
    return np.asarray(inside, dtype=np.float64)


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
