"""Intensity, and the syllables that it shows.

Conventions
-----------
``intensity_db`` is a level smoothed so strongly that it does not follow the glottal pulses: the
mean square of the signal under a Kaiser window that reaches 3.2 periods of the lowest voice to
either side, after the mean under the window is taken away. It is given as Praat gives it, in dB re
2e-5 as if the samples were pascals: full scale (1.0) is 93.98 dB, a sine of amplitude 1 is 90.97.
It is a sound pressure level only if the recording was calibrated; otherwise its differences have a
meaning and its value has none. No frame is below -6.02 dB (-100 dB re full scale, the floor of
``energy``): that is silence, and it is finite. Beyond the ends of the clip there is no signal, not
zeros: the window is cut there, and its weights add up to 1 again.

A syllable nucleus is a voiced peak of this contour (with a lowest voice of 50 Hz), less than 25 dB
below the loud ones and preceded by a dip of 2 dB or more. Rates are per second of the *utterance*,
from the first to the last frame that is not silent: what the recording holds before and after does
not depend on the speaker. ``speech_rate_per_s`` divides by the utterance, and
``articulation_rate_per_s`` by the utterance without its pauses.

Contents
--------
`intensity`       : the contour of a signal.
`syllable_nuclei` : the frames of a contour that are nuclei.
`DESCRIPTORS`     : "intensity", "speech_rate".

Sources
-------
[1] Praat manual, "Sound: To Intensity..."; the window was matched to Praat's numbers.
[2] N. de Jong, T. Wempe, "Praat script to detect syllable nuclei and measure speech rate
    automatically", Behavior Research Methods 41(2), 2009, 385-390.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import pitch
from serfeat.types import Floats, Ints
from serfeat.vad.pauses import find_pauses

__all__ = ["DESCRIPTORS", "intensity", "syllable_nuclei"]

REFERENCE = 2e-5  # the threshold of hearing at 1 kHz, Pa
FLOOR = 1e-10  # of the mean square: -100 dB re full scale
REACH = 3.2  # longest periods on either side of a frame
SYLLABLE_FLOOR = 50.0  # Hz, of the contour that shows syllables ([2])
BETA = 2 * np.pi**2 + 0.5  # of the Kaiser window: its side lobes are 190 dB down


def intensity(
    x: ArrayLike, sr: int, *, hop: float = 0.010, floor: float = 100.0, remove_mean: bool = True
) -> Floats:
    """Measure the intensity of every frame, as Praat does ([1]).

    Parameters
    ----------
    x : (n,) mono signal; 1.0 counts as 1 Pa.
    sr : Hz.
    hop : s between frames.
    floor : Hz, the lowest F0 whose pulses are smoothed away: 100 gives a window of 64 ms.
    remove_mean : take away the mean under each window (the offset of the recorder is no sound).

    Returns
    -------
    (n_frames,) dB re 2e-5; -6.02 (the floor) in silence, never undefined.

    Raises
    ------
    AudioError : see `ShortTime`.
    FeatureError : a lowest F0 that is not positive.
    """
    return _intensity(ShortTime(x, sr, hop), floor=floor, remove_mean=remove_mean)


def _intensity(st: ShortTime, *, floor: float = 100.0, remove_mean: bool = True) -> Floats:
    """Compute the descriptor "intensity": (n_frames,) dB."""
    if not floor > 0:
        raise FeatureError(f"a lowest F0 of {floor} Hz, expected more than 0", code="bad-range")

    def contour_of(part: ShortTime) -> Floats:
        # Without the mean of the clip first, a large offset would cost digits below.
        y = part.centred if remove_mean else part.x
        weights = _kaiser(floor, part.sr)
        size, weight = _inside(weights, part)
        box = np.ones(len(weights))
        power = _sums(y * y, weights[None], part)[0]
        if remove_mean:
            # sum w (y - m)^2, where m is the unweighted mean of the samples under the window
            level, total = _sums(y, np.stack([weights, box]), part)
            mean = total / size
            power = power - 2 * mean * level + mean**2 * weight
        return np.asarray(10 * np.log10(np.maximum(power / weight, FLOOR) / REFERENCE**2))

    return st.memo(("intensity", floor, remove_mean), lambda: st.by_stretches(contour_of))


@lru_cache(maxsize=16)
def _kaiser(floor: float, sr: int) -> Floats:
    """(odd,) Kaiser window that reaches `REACH` periods of `floor` to either side; read-only."""
    reach = REACH * sr / floor  # samples, not rounded
    k = np.arange(-int(reach), int(reach) + 1)
    weights: Floats = np.asarray(scipy.special.i0(BETA * np.sqrt(1 - (k / reach) ** 2)))
    weights.flags.writeable = False
    return weights


def _inside(weights: Floats, st: ShortTime) -> tuple[Floats, Floats]:
    """(n_frames,) samples of the clip under the window of every frame, and their summed weights."""
    until = np.concatenate([[0.0], np.cumsum(weights)])
    begin = len(weights) // 2 - np.arange(st.n_frames) * st.hop  # of the clip, within the window
    first, stop = np.maximum(begin, 0), np.minimum(begin + len(st.x), len(weights))
    return (stop - first).astype(np.float64), until[stop] - until[first]


def _sums(y: Floats, windows: Floats, st: ShortTime) -> Floats:
    """Sum the signal around every frame with one weight per sample, without copying frames.

    The signal is cut into blocks of one hop. Each is multiplied, once, with all the stretches of
    the window that come to lie over it; a frame then adds up a diagonal of the products.

    Parameters
    ----------
    y : (n,) signal, zero beyond its ends.
    windows : (k, odd) weights.

    Returns
    -------
    (k, n_frames) ``sum_j windows[:, j] y[i hop + j - odd // 2]``.
    """
    kinds, length = windows.shape
    stretches = -(-length // st.hop)
    padded = np.zeros((kinds, stretches * st.hop))
    padded[:, :length] = windows
    blocks = np.zeros((st.n_frames + stretches) * st.hop)
    half = length // 2
    covered = min(len(y), len(blocks) - half)
    blocks[half : half + covered] = y[:covered]
    products = padded.reshape(-1, st.hop) @ blocks.reshape(-1, st.hop).T
    out = np.zeros((kinds, st.n_frames))
    for j in range(stretches):
        out += products[j::stretches, j : j + st.n_frames]
    return out


def syllable_nuclei(
    level: ArrayLike, voiced: ArrayLike, *, below: float = 25.0, dip: float = 2.0
) -> Ints:
    """Find the syllable nuclei of an intensity contour ([2]).

    A nucleus is a local maximum that lies less than `below` under the loud frames (the 99th
    percentile, as in version 2 of the authors' script), stands at least `dip` above the lowest
    frame since the maximum before it, and is voiced. The script looks for the dip after a maximum
    instead, and so leaves out the last one.

    Parameters
    ----------
    level : (n_frames,) dB, as `intensity` gives it for a lowest F0 of 50 Hz.
    voiced : (n_frames,) whether a frame is voiced.
    below : dB.
    dip : dB. Syllables that run into each other without one are counted as one.

    Returns
    -------
    (k,) frames, increasing.

    Raises
    ------
    FeatureError : contours of different lengths, or a NaN in the level.
    """
    contour = np.asarray(level, dtype=np.float64)
    if contour.shape != np.shape(voiced) or contour.ndim != 1 or np.isnan(contour).any():
        raise FeatureError(
            f"a level of shape {contour.shape} and a voicing of shape {np.shape(voiced)}, expected "
            "two of the same length and no NaN",
            code="bad-shape",
        )
    if not len(contour):
        return np.zeros(0, dtype=np.int64)
    change = np.diff(contour)
    # of a plateau, its first frame; the frames beyond the ends count as lower
    top = np.concatenate([[True], change > 0]) & np.concatenate([change <= 0, [True]])
    peaks = np.flatnonzero(top & (contour > np.percentile(contour, 99) - below))
    if not len(peaks):
        return np.zeros(0, dtype=np.int64)
    # the lowest frame before each peak, since the peak before it
    lowest = np.minimum.reduceat(contour, np.concatenate([[0], peaks]))[:-1]
    chosen = (contour[peaks] - lowest >= dip) & np.asarray(voiced, dtype=np.bool_)[peaks]
    return np.asarray(peaks[chosen], dtype=np.int64)


def _speech_rate(st: ShortTime) -> Floats:
    """Compute the descriptor "speech_rate": (3,)."""
    level = _intensity(st, floor=SYLLABLE_FLOOR)
    count = len(syllable_nuclei(level, pitch(st).voiced))
    pauses, utterance = find_pauses(st)
    speech = utterance - float((pauses[:, 1] - pauses[:, 0]).sum())
    if not speech:
        return np.array([0.0, np.nan, np.nan])
    return np.array([count, count / utterance, count / speech])


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="intensity",
        columns=("intensity_db",),
        unit="dB re 2e-5",
        summary="level smoothed over 64 ms, as in Praat; full scale is 93.98, silence -6.02",
        source="Praat manual, Sound: To Intensity",
        compute=_intensity,
        params={"floor": 100.0},
        oracle="Praat, To Intensity, on EMO-DB: 1e-5 dB; the plain weighted sum: 1e-9 dB; tones, "
        "closed form: 0.02 dB",
    ),
    Descriptor(
        name="speech_rate",
        columns=("syllables", "speech_rate_per_s", "articulation_rate_per_s"),
        unit=("1", "1/s", "1/s"),
        summary="syllable nuclei: number, per second of the utterance, and without its pauses",
        source="de Jong & Wempe 2009",
        compute=_speech_rate,
        level="clip",
        undefined="rates of a clip without speech",
        oracle="pulsed vowels, 1 to 6 per s: 0.1 per s; syllables of EMO-DB's sentences, counted "
        "by hand: 2.4 of 14.6 too few, r above 0.88",
    ),
)
