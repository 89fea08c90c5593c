"""F0 by YIN: the lag at which a signal differs least from itself.

Conventions
-----------
Hz, NaN where the frame is aperiodic, on the grid of the toolkit. One frame at a time: there is no
path search, so that an octave error of one frame stays, but no frame depends on its neighbours.

Contents
--------
`yin` : the contour of a signal.  `DESCRIPTORS` : "f0_yin".

Sources
-------
A. de Cheveigne, H. Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA
111 (2002) 1917-1930: "eq." and "step" below.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.jit import jit
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import check_range
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "yin"]

BLOCK = 64  # frames analysed at a time


def yin(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    floor: float = 75.0,
    ceiling: float = 600.0,
    window: float = 0.025,
    trough: float = 0.1,
    aperiodic: float = 0.3,
) -> Floats:
    """Find F0 frame by frame by the difference function (YIN, steps 1 to 5).

    There is no path search: an octave error of one frame stays. The frame is compared with what
    follows it, so that its centre lies ``(1 / floor - period) / 2`` late: 4 ms at 200 Hz.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    floor, ceiling : Hz, the range of F0; at most a quarter of the sample rate.
    window : s over which differences are summed (W in eq. 6).
    trough : the first dip of the normalised difference below this is the period (step 4).
    aperiodic : without such a dip the lowest one is taken, unless it lies above this. (The paper
        has no such bound and calls every frame voiced.)

    Returns
    -------
    (n_frames,) Hz; NaN where the frame is silent, aperiodic, or leaves the clip.

    Raises
    ------
    AudioError : see `ShortTime`.  FeatureError : floor and ceiling do not fit each other.
    """
    return _yin(
        ShortTime(x, sr, hop),
        floor=floor,
        ceiling=ceiling,
        window=window,
        trough=trough,
        aperiodic=aperiodic,
    )


def _yin(
    st: ShortTime,
    *,
    floor: float = 75.0,
    ceiling: float = 600.0,
    window: float = 0.025,
    trough: float = 0.1,
    aperiodic: float = 0.3,
) -> Floats:
    """Compute the descriptor "f0_yin".

    Returns
    -------
    (n_frames,) Hz.
    """
    sr = st.sr
    check_range(floor, ceiling, sr, "yin")
    width = round(window * sr)
    length = width + int(sr / floor) + 2
    n_fft = int(scipy.fft.next_fast_len(length, real=True))
    out = np.full(st.n_frames, np.nan)
    centres = np.arange(st.n_frames) * st.hop
    inside = (centres >= length // 2) & (centres - length // 2 + length <= len(st.x))
    rows = np.flatnonzero(inside)
    frames = st.frames(length, signal=st.centred)
    for first in range(0, len(rows), BLOCK):
        part = rows[first : first + BLOCK]
        d = _difference(frames[part], width, n_fft)
        lags = np.zeros(len(part))
        _first_dip(d, sr / ceiling, sr / floor, trough, aperiodic, lags)
        out[part] = sr / np.where(lags > 0, lags, np.nan)
    return out


def _difference(frames: Floats, width: int, n_fft: int) -> Floats:
    """Squared difference of each frame with itself one lag later, summed over `width` (eq. 6-7).

    Returns
    -------
    (frames, length - width + 1) for the lags 0, 1, ...
    """
    n_lags = frames.shape[1] - width + 1
    head = np.conj(scipy.fft.rfft(frames[:, :width], n_fft, axis=1))
    product = scipy.fft.irfft(head * scipy.fft.rfft(frames, n_fft, axis=1), n_fft, axis=1)
    total = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    energy = total[:, width:] - total[:, :n_lags]
    difference = energy[:, :1] + energy - 2 * product[:, :n_lags]
    # What is left of a silent or constant stretch is rounding, and must not look like a dip.
    difference[difference <= 1e-12 * energy.max(axis=1, keepdims=True)] = 0.0
    return np.asarray(difference, dtype=np.float64)


@jit
def _first_dip(
    d: Floats, shortest: float, longest: float, trough: float, aperiodic: float, lags: Floats
) -> None:
    """Pick the period from each row of differences (steps 3 to 5).

    Parameters
    ----------
    d : (frames, lags) differences.
    shortest, longest : samples, the range of the period.
    trough, aperiodic : see `yin`.
    lags : (frames,) receives the periods in samples; 0 stays where there is none.
    """
    last = d.shape[1] - 1
    normal = np.ones(last + 1)
    for i in range(len(d)):
        total = 0.0
        for k in range(1, last + 1):  # cumulative mean normalised difference (eq. 8)
            total += d[i, k]
            normal[k] = d[i, k] * k / total if total > 0.0 else 1.0
        best = 0
        for k in range(2, last):
            if normal[k] >= normal[k - 1] or normal[k] > normal[k + 1]:
                continue
            if k <= shortest - 1.0 or k >= longest + 1.0:
                continue
            if best == 0 or normal[k] < normal[best]:
                best = k
            if normal[k] < trough:
                best = k
                break
        if best == 0 or normal[best] > aperiodic:
            continue
        # The parabola goes through the differences, which the normalisation has not tilted.
        bend = (d[i, best - 1] - d[i, best]) + (d[i, best + 1] - d[i, best])
        lag = float(best)
        if bend > 0.0 and abs(d[i, best - 1] - d[i, best + 1]) <= bend:
            lag += 0.5 * (d[i, best - 1] - d[i, best + 1]) / bend
        if shortest <= lag <= longest:
            lags[i] = lag


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="f0_yin",
        columns=("f0_yin_hz",),
        unit="Hz",
        summary="rate of vocal-fold vibration, by the difference function, frame by frame",
        source="de Cheveigne and Kawahara 2002, steps 1 to 5",
        compute=_yin,
        undefined="aperiodic frames, and frames within about 19 ms of the edges of the clip",
        oracle="plain sums of squares: 1e-10; librosa.yin on steady voices: 15 cent, the truth: "
        "0.2 cent; contours whose truth is known: 12 cent rms",
    ),
)
