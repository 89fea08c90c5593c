"""Spectral shape: where the power of a frame lies, how evenly, and how fast it changes.

Conventions
-----------
One power spectrum P(f) per frame (Hamming window, 25 ms), shared with the cepstral families. A bin
belongs to a band if its frequency lies in it, both ends included. All columns but the flux are
independent of the level. A band that ends above half the sample rate does not exist: NaN below
10 kHz in every column that needs 5 kHz. NaN in digital silence. Bins more than 200 dB below the
highest of the frame are raised to that: a logarithm of nothing is not finite.

Definitions
-----------
With p = P / sum P over all bins, as of a probability distribution:

centroid_hz, spread_hz : mean and standard deviation of f.
skewness, kurtosis     : third and fourth standardised moment of f (a Gaussian has kurtosis 3).
rolloff_hz             : the lowest bin at or below which 85 % of the power lies.
entropy                : ``-sum p ln p / ln(bins)``: 0 for a line, 1 for an even spectrum.
flatness               : geometric over arithmetic mean of P: 0 for a line, 0.56 for white noise
                         (``e^-0.577``, Euler's constant: its bins are exponentially distributed).
flux                   : root mean square, over the bins up to 5 kHz, of the change of the
                         magnitude |X(f)| since the frame before; 0 in the first frame [1].
slope_0_500,
slope_500_1500         : least-squares slope of 10 log10 P in the band, dB/Hz [1], without 0 Hz:
                         an offset of the recorder is no sound, and even white noise has 3 dB less
                         there, because that bin has no imaginary part.
alpha_ratio_db         : power of 50 to 1000 Hz over that of 1 to 5 kHz [1].
hammarberg_db          : highest bin up to 2 kHz over the highest from 2 to 5 kHz [1].

What openSMILE's eGeMAPS calls by these names
---------------------------------------------
With ``length=0.020, align="left"`` and a mean over three frames, flux and Hammarberg index are the
same numbers (but that the mean of the flux is divided by one bin less). Its alphaRatio is the
inverse, high over low (the other sign), and its lower band takes in bins below 50 Hz. Its slopes
are none: the regression is divided by N - 1 bins where it should be N, so that the mean level leaks
in. A recording 20 dB quieter gets a slope 0.016 dB/Hz greater, two thirds of that column's standard
deviation; tests/lld/test_spectral.py rebuilds it to 1e-6.

Contents
--------
`spectral_shape` : all columns.  `DESCRIPTORS` : "spectral".

Sources
-------
[1] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans.
    Affective Computing 7(2), 2016, section 3.
[2] G. Peeters, "A large set of audio features for sound description", IRCAM, 2004.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Bools, Floats

__all__ = ["COLUMNS", "DESCRIPTORS", "spectral_shape"]

Align = Literal["centre", "left"]

COLUMNS = (
    "centroid_hz",
    "spread_hz",
    "spectral_skewness",
    "spectral_kurtosis",
    "rolloff_hz",
    "spectral_flux",
    "slope_0_500",
    "slope_500_1500",
    "alpha_ratio_db",
    "hammarberg_db",
    "spectral_entropy",
    "spectral_flatness",
)
UNITS = ("Hz", "Hz", "1", "1", "Hz", "1", "dB/Hz", "dB/Hz", "dB", "dB", "1", "1")

DEPTH = 1e-20  # power re the frame's highest bin: 200 dB below
# A frame whose highest bin, as a sine's, is this part of the clip's peak holds only rounding.
QUIET = 1e-10
BLOCK = 512  # frames at a time


def spectral_shape(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    align: Align = "centre",
) -> Floats:
    """Describe the shape of every frame's spectrum.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop, length : s between frames, and of a frame.
    align : ``"centre"`` is the grid, ``"left"`` is openSMILE's framing.

    Returns
    -------
    (frames, 12) in the order of `COLUMNS`; see the module for definitions and NaN.

    Raises
    ------
    AudioError, FeatureError : see `ShortTime`; a window shorter than two samples.
    """
    return _spectral(ShortTime(x, sr, hop), length=length, align=align)


def _spectral(st: ShortTime, *, length: float = 0.025, align: Align = "centre") -> Floats:
    """Compute the descriptor "spectral".

    Returns
    -------
    (frames, 12).
    """
    size = round(length * st.sr)
    if size < 2:
        raise FeatureError(
            f"a window of {length} s is shorter than two samples at {st.sr} Hz", code="bad-length"
        )
    power = st.power(size, window_name="hamming", align=align)
    frequency = np.linspace(0.0, st.sr / 2, power.shape[1])
    least = (QUIET * size * np.abs(st.x).max()) ** 2
    out = np.full((len(power), len(COLUMNS)), np.nan)
    before = power[:1]
    for first in range(0, len(power), BLOCK):
        part = slice(first, first + BLOCK)
        block = power[part]
        with_before = np.concatenate([before, block])
        before = block[-1:]
        sounds = (block.max(axis=1) > least) & (block.max(axis=1) > 0)
        here = out[part]
        here[:, 5] = _flux(with_before, frequency)
        here[sounds, 0:5] = _distribution(block[sounds], frequency)
        here[sounds, 6:12] = _balance(block[sounds], frequency)
        here[~sounds] = np.nan
    return out


def _band(frequency: Floats, low: float, high: float) -> Bools:
    """(bins,) which lie between two frequencies, both included; none if the band is cut off."""
    if frequency[-1] < high:
        return np.zeros(len(frequency), dtype=np.bool_)
    return (frequency >= low) & (frequency <= high)


def _distribution(power: Floats, frequency: Floats) -> Floats:
    """Moments and rolloff.

    Returns
    -------
    (k, 5) centroid, spread, skewness, kurtosis, rolloff.
    """
    part = power / power.sum(axis=1, keepdims=True)
    centroid = part @ frequency
    away = frequency - centroid[:, None]
    weighted = part * away * away
    variance = weighted.sum(axis=1)
    # A single line has no skewness: what is left of its spread is rounding.
    variance[variance < 1e-12 * frequency[-1] ** 2] = np.nan
    spread = np.sqrt(variance)
    weighted *= away
    skewness = weighted.sum(axis=1) / spread**3
    kurtosis = np.einsum("ij,ij->i", weighted, away) / variance**2
    filled = np.cumsum(part, axis=1)
    rolloff = frequency[np.argmax(filled >= 0.85 * filled[:, -1:], axis=1)]
    return np.column_stack([centroid, np.nan_to_num(spread), skewness, kurtosis, rolloff])


def _flux(power: Floats, frequency: Floats) -> Floats:
    """Change of the magnitudes from row to row.

    Returns
    -------
    (rows - 1,); NaN without 5 kHz.
    """
    band = _band(frequency, 0.0, 5000.0)
    if not band.any():
        return np.full(len(power) - 1, np.nan)
    change = np.diff(np.sqrt(power[:, band]), axis=0)
    return np.asarray(np.sqrt(np.mean(change**2, axis=1)))


def _balance(power: Floats, frequency: Floats) -> Floats:
    """Slopes, band ratios and evenness: what is taken from the logarithms.

    Returns
    -------
    (k, 6) two slopes, alpha ratio, Hammarberg index, entropy, flatness.
    """
    highest = power.max(axis=1, keepdims=True)
    power = np.maximum(power / highest, DEPTH)
    decibels = 10 * np.log10(power)
    low, high = _band(frequency, 50.0, 1000.0), _band(frequency, 1000.001, 5000.0)
    below, above = _band(frequency, 0.0, 2000.0), _band(frequency, 2000.001, 5000.0)
    nothing = np.full(len(power), np.nan)
    alpha = hammarberg = nothing
    if low.any() and high.any():
        alpha = 10 * np.log10(power[:, low].sum(axis=1) / power[:, high].sum(axis=1))
    if below.any() and above.any():
        hammarberg = decibels[:, below].max(axis=1) - decibels[:, above].max(axis=1)
    total = power.sum(axis=1)
    surprise = np.einsum("ij,ij->i", power, decibels) * (math.log(10) / 10)
    entropy = (np.log(total) - surprise / total) / math.log(len(frequency))
    flatness = 10 ** (decibels.mean(axis=1) / 10) / (total / len(frequency))
    slopes = [_slope(decibels, frequency, *ends) for ends in ((0.0, 500.0), (500.0, 1500.0))]
    return np.column_stack([*slopes, alpha, hammarberg, entropy, flatness])


def _slope(decibels: Floats, frequency: Floats, low: float, high: float) -> Floats:
    """(k,) dB/Hz: slope of the regression line over a band; NaN with fewer than two bins in it."""
    band = _band(frequency, low, high) & (frequency > 0)
    if band.sum() < 2:
        return np.full(len(decibels), np.nan)
    away = frequency[band] - frequency[band].mean()
    return np.asarray(decibels[:, band] @ (away / (away @ away)))


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="spectral",
        columns=COLUMNS,
        unit=UNITS,
        summary="moments, rolloff, flux, slopes, band ratios and evenness of the power spectrum",
        source="Eyben et al. 2016 (GeMAPS), section 3; Peeters 2004",
        compute=_spectral,
        undefined="digital silence; below 10 kHz what needs 5 kHz, below 3 kHz the slopes",
        version=2,
        oracle="librosa's centroid, bandwidth, rolloff, flatness: 1e-6; openSMILE on EMO-DB: flux "
        "1e-4, Hammarberg 1e-3 dB, alpha ratio 0.5 dB; noise of known moments and slopes",
    ),
    Descriptor(
        name="spectral_20ms",
        columns=COLUMNS,
        unit=UNITS,
        summary="the spectral shape of the 20 ms windows of eGeMAPS",
        source="Eyben et al. 2016 (GeMAPS), section 3; Peeters 2004",
        compute=_spectral,
        undefined="digital silence; below 10 kHz what needs 5 kHz, below 3 kHz the slopes",
        params={"length": 0.020},
        version=2,
        oracle="openSMILE on EMO-DB: flux 1e-4, Hammarberg 1e-3 dB, alpha ratio 0.5 dB",
    ),
)
