"""Loudness in auditory bands, as the eGeMAPS feature set defines it.

Method
------
1. Power of 26 triangular bands, equally wide on the mel scale between 20 and 8000 Hz.
2. Each band weighted by the sensitivity of the ear at its centre frequency (equal loudness).
3. Intensity to loudness: power 0.33 of each band [1].
4. The mean of the 26 bands.

Conventions
-----------
"sone-like": twice the value is meant to sound about twice as loud, 10 dB more give a factor of
2.14. It is no sone: nothing is calibrated (full scale has no sound pressure), nothing masks
anything, and no band lasts longer than its frame; ISO 532 it is not. It does depend on the gain of
the recording, by the power 0.66 of the amplitude.

The unit is openSMILE's, at 16 kHz and with its 20 ms frames: there the numbers are equal
(``align="left"``, ``smooth=3``) to 1e-6. openSMILE's would change with the sample rate and with the
length of the frame; here the power is divided by that of the window, and bands above half the
sample rate stay, empty. The default window is the 25 ms one that MFCC, LPC and PLP use as well.
No band is below the last bit of 16-bit audio, so that silence is 0.001 and its logarithm finite.
The mean of the clip is not taken away, since the spectrum is shared: an offset of
0.01 of full scale moves a frame of speech by less than 0.01, where speech lies at 0.1 to 3.

Contents
--------
`loudness`       : the contour of a signal.
`loudness_peaks` : peaks of the contour per second.
`equal_loudness` : the weight of a frequency.
`DESCRIPTORS`    : "loudness", "loudness_peaks".

Sources
-------
[1] H. Hermansky, "Perceptual linear predictive analysis of speech", JASA 87(4), 1990: the bands,
    the curve of equal loudness up to 5 kHz, and the power 0.33.
[2] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans.
    Affective Computing 7(2), 2016: loudness, and its peaks per second.
The settings are those of openSMILE's configuration file; the fall above 5 kHz, the floor and the
scale were measured from its output (tests/lld/test_loudness.py).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import Descriptor, ShortTime, window
from serfeat.signal.turns import turns
from serfeat.spectrum import hz_to_mel, mel_filterbank, mel_to_hz
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "equal_loudness", "loudness", "loudness_peaks"]

BANDS = 26
LOWEST, HIGHEST = 20.0, 8000.0  # Hz
EXPONENT = 0.33  # Hermansky's cube root is printed, and used by every implementation, as 0.33
FLOOR = 9.3e-10  # power of a band: that of the last bit of 16-bit audio
FULL_SCALE = 32768 / 32767  # openSMILE divides 16-bit samples by 32767
# Sum of the squared window, times points of the transform, of openSMILE's frame at 16 kHz: the
# window that the unit belongs to.
UNIT = 512 * float(np.square(window("hamming", 320)).sum())
SMOOTH = 3  # frames of eGeMAPS' moving average
PEAK_HEIGHT = 0.1  # of the contour's range

Align = Literal["centre", "left"]


def loudness(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    align: Align = "centre",
    smooth: int = 1,
) -> Floats:
    """Measure the loudness of every frame.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1).
    sr : Hz.
    hop, length : s between frames, and of the Hamming window.
    align : ``"centre"`` is the grid, ``"left"`` openSMILE's framing.
    smooth : frames of a moving average, odd; 1 for none, 3 in eGeMAPS.

    Returns
    -------
    (frames,) sone-like, from 0.001 (silence) to about 7 (noise at full scale); never undefined.

    Raises
    ------
    FeatureError : a window shorter than two samples, or an even `smooth`.
    """
    return _loudness(ShortTime(x, sr, hop), length=length, align=align, smooth=smooth)


def loudness_peaks(x: ArrayLike, sr: int, *, hop: float = 0.010) -> float:
    """Count the peaks of the loudness per second, about one per stressed syllable ([2]).

    A peak rises and falls by at least a tenth of the range of the contour, which is first averaged
    over three frames; see `serfeat.signal.turns`.

    Parameters
    ----------
    x, sr, hop : see `loudness`.

    Returns
    -------
    1/s; 0 for a steady sound, NaN for a silent clip.
    """
    return float(_peaks(ShortTime(x, sr, hop))[0])


def equal_loudness(hz: ArrayLike) -> Floats:
    """Weight of the power at a frequency, the ear's sensitivity at 40 dB ([1], openSMILE's fall).

    With w = 2 pi f: ``(w^2 + 56.8e6) w^4 / ((w^2 + 6.3e6)^2 (w^2 + 0.38e9))`` of [1], times
    ``1e32 / (w^7 + 1.7e31)``, where [1] has ``1 / (w^6 + 9.58e26)`` and no unit.

    Parameters
    ----------
    hz : (...) frequency.

    Returns
    -------
    (...) weight, 0 at 0 Hz, at most 3.1 (near 3.5 kHz).
    """
    w = 2 * np.pi * np.asarray(hz, dtype=np.float64)
    square = w**2
    ear = (square + 56.8e6) * square**2 / ((square + 6.3e6) ** 2 * (square + 0.38e9))
    return np.asarray(ear * 1e32 / (w**7 + 1.7e31))


@lru_cache(maxsize=32)
def _bank(sr: int, n_fft: int) -> tuple[Floats, Floats]:
    """(bands, n_fft // 2 + 1) weights of the bins, and (bands,) weights of equal loudness."""
    # The same bands at every rate: as if the transform went on to 8 kHz, whose bins are left out.
    times = int(np.ceil(2 * HIGHEST / sr))
    whole = mel_filterbank(
        sr * times, n_fft * times, BANDS, f_low=LOWEST, f_high=HIGHEST, scale="htk"
    )
    bins = whole[:, : n_fft // 2 + 1]
    edges = np.linspace(hz_to_mel(LOWEST, "htk"), hz_to_mel(HIGHEST, "htk"), BANDS + 2)
    return bins, equal_loudness(mel_to_hz(edges[1:-1], "htk"))


def _loudness(
    st: ShortTime, *, length: float = 0.025, align: Align = "centre", smooth: int = 1
) -> Floats:
    """Compute the descriptor "loudness": (frames,)."""
    size = round(length * st.sr)
    if size < 2 or smooth < 1 or smooth % 2 == 0:
        raise FeatureError(
            f"a window of {size} samples and an average over {smooth} frames, expected at least "
            "two samples and an odd number of frames",
            code="bad-length",
        )

    def contour_of(part: ShortTime) -> Floats:
        power = part.power(size, align=align)
        n_fft = 2 * (power.shape[1] - 1)
        bins, ear = _bank(part.sr, n_fft)
        unit = UNIT / (n_fft * np.square(window("hamming", size)).sum()) * FULL_SCALE**2
        bands = np.maximum(power @ (unit * bins.T), FLOOR) * ear
        return np.asarray((bands**EXPONENT).mean(axis=1))

    def make() -> Floats:
        return st.by_stretches(contour_of) if align == "centre" else contour_of(st)

    contour: Floats = st.memo(("loudness", size, align), make)
    if smooth <= 1:
        return contour
    return np.asarray(scipy.ndimage.uniform_filter1d(contour, smooth, mode="nearest"))


def _peaks(st: ShortTime) -> Floats:
    """Compute the descriptor "loudness_peaks": (1,)."""
    contour = _loudness(st, smooth=SMOOTH)
    height = np.array([np.ptp(contour)])
    silence = float(((FLOOR * _bank(st.sr, 512)[1]) ** EXPONENT).mean())
    if contour.max() <= silence * (1 + 1e-9):
        return np.full(1, np.nan)
    found = turns(contour[None], height, st.hop / st.sr, threshold=PEAK_HEIGHT)
    return np.asarray(found.peaks / (st.grid.n_samples / st.sr))


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="loudness",
        columns=("loudness",),
        unit="sone-like",
        summary="loudness in 26 auditory bands, uncalibrated: that of eGeMAPS, on 25 ms windows",
        source="Hermansky 1990; Eyben et al. 2016 (= openSMILE's Loudness, with its 20 ms frames)",
        compute=_loudness,
        params={"length": 0.025},
        version=2,
        oracle="openSMILE's contour on EMO-DB, with its frames: 2e-6 relative; its functionals, "
        "with ours: 3 %; 10 dB more are a factor of 10^0.33: 1e-9",
    ),
    Descriptor(
        name="loudness_peaks",
        columns=("loudness_peaks_per_s",),
        unit="1/s",
        summary="peaks of the smoothed loudness that stand out by a tenth of its range",
        source="Eyben et al. 2016 (loudnessPeaksPerSec)",
        compute=_peaks,
        level="clip",
        undefined="silent clips",
        oracle="openSMILE's loudnessPeaksPerSec on EMO-DB: 1 per s; SciPy's find_peaks: one peak; "
        "pulsed noise: 0.3 per s",
    ),
    Descriptor(
        name="loudness_20ms",
        columns=("loudness",),
        unit="sone-like",
        summary="loudness of eGeMAPS on its own 20 ms windows: the numbers of openSMILE",
        source="Hermansky 1990; Eyben et al. 2016 (= openSMILE's Loudness)",
        compute=_loudness,
        params={"length": 0.020},
        version=2,
        oracle="openSMILE's contour on EMO-DB: 2e-6 relative",
    ),
)
