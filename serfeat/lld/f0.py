"""F0: the rate of vocal-fold vibration.

Conventions
-----------
Hz, NaN where unvoiced. F0 is the inverse of the glottal period, not "the lowest frequency in the
signal": a telephone line that removes the first harmonic leaves F0 where it was. Semitones are
counted from 27.5 Hz (the piano's lowest A, as in eGeMAPS): differences of semitones are what
listeners hear, and they compare across speakers.

Contents
--------
`f0`        : Boersma's autocorrelation method with a Viterbi search, the default.
`yin`       : de Cheveigne and Kawahara's method: one frame at a time, no tracking.
`semitones` : Hz to semitones.   `DESCRIPTORS` : "f0".

Sources
-------
P. Boersma, IFA Proceedings 17 (1993) 97-110. A. de Cheveigne, H. Kawahara, "YIN, a fundamental
frequency estimator for speech and music", JASA 111 (2002) 1917-1930: "eq." in `yin`. F. Eyben et
al., "The Geneva Minimalistic Acoustic Parameter Set", IEEE T-AFFC 7 (2016) 190-202: the semitones.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import jit
from serfeat.pitch import pitch
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "f0", "semitones", "yin"]

BLOCK = 64  # frames analysed at a time


def f0(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    floor: float = 75.0,
    ceiling: float = 600.0,
    silence: float = 0.03,
    voicing: float = 0.45,
    octave_cost: float = 0.01,
    octave_jump: float = 0.35,
    voiced_unvoiced: float = 0.14,
) -> Floats:
    """Find the F0 contour of a signal by autocorrelation and dynamic programming.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    floor, ceiling : Hz, the range of F0.
    silence, voicing, octave_cost, octave_jump, voiced_unvoiced : see `serfeat.pitch.pitch`.

    Returns
    -------
    (n_frames,) Hz; NaN where unvoiced, and everywhere in a clip shorter than ``3 / floor``.

    Raises
    ------
    AudioError, FeatureError : see `ShortTime` and `pitch`.

    Examples
    --------
    >>> sr = 16000
    >>> t = np.arange(sr) / sr
    >>> voice = sum(np.cos(2 * np.pi * 200 * h * t) / h for h in range(1, 20))
    >>> float(np.round(np.nanmedian(f0(voice, sr)), 3))
    200.0
    """
    contour = pitch(
        ShortTime(x, sr, hop),
        floor=floor,
        ceiling=ceiling,
        silence=silence,
        voicing=voicing,
        octave_cost=octave_cost,
        octave_jump=octave_jump,
        voiced_unvoiced=voiced_unvoiced,
    )
    return contour.f0.copy()


def semitones(f0_hz: ArrayLike, reference: float = 27.5) -> Floats:
    """Express frequencies in semitones above a reference, ``12 log2(f / reference)``.

    Parameters
    ----------
    f0_hz : (...,) Hz; NaN, zero and negative values have no logarithm and give NaN.
    reference : Hz.

    Returns
    -------
    (...,) semitones.

    >>> semitones([27.5, 55.0, 440.0]).tolist()
    [0.0, 12.0, 48.0]
    """
    f = np.asarray(f0_hz, dtype=np.float64)
    return np.asarray(12 * np.log2(np.where(f > 0, f, np.nan) / reference), dtype=np.float64)


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

    There is no path search: an octave error of one frame stays.

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
    if not 0 < floor < ceiling <= sr / 4:
        raise FeatureError(
            f"floor {floor} Hz and ceiling {ceiling} Hz at {sr} Hz; "
            "expected 0 < floor < ceiling <= a quarter of the sample rate",
            where="yin",
            code="bad-range",
            fix="speech lies between 75 and 600 Hz",
        )
    st = ShortTime(x, sr, hop)
    width, last = round(window * sr), int(sr / floor) + 2
    length = width + last
    out = np.full(st.n_frames, np.nan)
    centres = np.arange(st.n_frames) * st.hop
    inside = (centres >= length // 2) & (centres - length // 2 + length <= len(st.x))
    rows = np.flatnonzero(inside)
    frames = st.frames(length, signal=st.centred)
    n_fft = int(scipy.fft.next_fast_len(length, real=True))
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


def _f0(st: ShortTime, *, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Compute the descriptor "f0".

    Returns
    -------
    (n_frames, 3): Hz, semitones re 27.5 Hz, normalised autocorrelation at the period.
    """
    contour = pitch(st, floor=floor, ceiling=ceiling)
    return np.column_stack([contour.f0, semitones(contour.f0), contour.strength])


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="f0",
        columns=("f0_hz", "f0_semitones", "voicing_strength"),
        unit=("Hz", "semitones re 27.5 Hz", "1"),
        summary="rate of vocal-fold vibration, and how periodic the frame is",
        source="Boersma 1993 (autocorrelation, Viterbi); semitones as in eGeMAPS (Eyben 2016)",
        compute=_f0,
        undefined="unvoiced frames",
    ),
)
