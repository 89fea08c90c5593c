"""Spectral tools that several descriptor families share: scales, filter banks, transforms.

Conventions
-----------
The last axis is the axis of bins, lags, bands or coefficients; any axes before it are frames (but
`delta` runs over the first axis, time). NaN goes in, NaN comes out.

Contents
--------
scales       : `hz_to_mel`, `mel_to_hz`, `hz_to_bark`, `bark_to_hz`, `hz_to_erb_rate`, `erb`
banks        : `mel_filterbank`; `serfeat.signal.bands` weights spectra by it
transforms   : `dct_ortho`, `autocorrelation`, `delta`

Linear prediction from an autocorrelation is `serfeat.signal.prediction`.

Sources
-------
[1] S. Young et al., The HTK Book (3.4), sections 5.4-5.9.
[2] M. Slaney, Auditory Toolbox version 2, Interval Research TR 1998-010.
[3] H. Hermansky, "Perceptual linear predictive analysis of speech", JASA 87(4), 1990.
[4] B. Glasberg, B. Moore, "Derivation of auditory filter shapes", Hearing Research 47, 1990.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.types import Floats

__all__ = [
    "MelScale",
    "autocorrelation",
    "bark_to_hz",
    "dct_ortho",
    "delta",
    "erb",
    "hz_to_bark",
    "hz_to_erb_rate",
    "hz_to_mel",
    "mel_filterbank",
    "mel_to_hz",
    "moving_average",
]

MelScale = Literal["slaney", "htk"]

# Slaney's scale [2]: linear below 1 kHz (15 mel), above it 27 steps for a factor of 6.4.
SLANEY_HZ_PER_MEL = 200.0 / 3
SLANEY_KNEE_HZ = 1000.0
SLANEY_KNEE_MEL = SLANEY_KNEE_HZ / SLANEY_HZ_PER_MEL
SLANEY_LOG_STEP = np.log(6.4) / 27.0


# ------------------------------------------------------------------------------------------ scales
def hz_to_mel(hz: ArrayLike, scale: MelScale = "slaney") -> Floats:
    """Frequency in mel; ``"htk"`` is ``1127 ln(1 + f/700)`` [1], ``"slaney"`` is Slaney's [2]."""
    f = np.asarray(hz, dtype=np.float64)
    if scale == "htk":
        return np.asarray(1127.0 * np.log1p(f / 700.0))
    above = np.maximum(f, SLANEY_KNEE_HZ)
    logarithmic = SLANEY_KNEE_MEL + np.log(above / SLANEY_KNEE_HZ) / SLANEY_LOG_STEP
    return np.where(f < SLANEY_KNEE_HZ, f / SLANEY_HZ_PER_MEL, logarithmic)


def mel_to_hz(mel: ArrayLike, scale: MelScale = "slaney") -> Floats:
    """Frequency in Hz: the inverse of `hz_to_mel`."""
    m = np.asarray(mel, dtype=np.float64)
    if scale == "htk":
        return np.asarray(700.0 * np.expm1(m / 1127.0))
    above = np.maximum(m, SLANEY_KNEE_MEL)
    exponential = SLANEY_KNEE_HZ * np.exp(SLANEY_LOG_STEP * (above - SLANEY_KNEE_MEL))
    return np.where(m < SLANEY_KNEE_MEL, m * SLANEY_HZ_PER_MEL, exponential)


def hz_to_bark(hz: ArrayLike) -> Floats:
    """Frequency in Bark, ``6 asinh(f / 600)`` ([3] eq. 3)."""
    return np.asarray(6.0 * np.arcsinh(np.asarray(hz, dtype=np.float64) / 600.0))


def bark_to_hz(bark: ArrayLike) -> Floats:
    """Frequency in Hz: the inverse of `hz_to_bark`."""
    return np.asarray(600.0 * np.sinh(np.asarray(bark, dtype=np.float64) / 6.0))


def erb(hz: ArrayLike) -> Floats:
    """Equivalent rectangular bandwidth in Hz at a frequency, ``24.7 (4.37 f/1000 + 1)`` [4]."""
    return np.asarray(24.7 * (4.37e-3 * np.asarray(hz, dtype=np.float64) + 1.0))


def hz_to_erb_rate(hz: ArrayLike) -> Floats:
    """Number of ERBs below a frequency, ``21.4 log10(1 + 0.00437 f)`` [4]."""
    return np.asarray(21.4 * np.log10(1.0 + 4.37e-3 * np.asarray(hz, dtype=np.float64)))


# ------------------------------------------------------------------------------------------- banks
@lru_cache(maxsize=64)
def mel_filterbank(
    sr: float,
    n_fft: int,
    n_bands: int,
    *,
    f_low: float = 0.0,
    f_high: float | None = None,
    scale: MelScale = "slaney",
    linear_in: Literal["hz", "mel"] | None = None,
    area_norm: bool | None = None,
    first_bin: int | None = None,
) -> Floats:
    """Weights of triangular bands that are equally wide on a mel scale.

    Parameters
    ----------
    sr, n_fft : Hz and points of the transform whose bins are weighted.
    n_bands : number of bands.
    f_low, f_high : Hz, outer edges of the first and last band; `f_high` defaults to sr / 2 and is
        never above it.
    scale : ``"slaney"``: librosa's bank; ``"htk"``: HTK's and openSMILE's bank.
    linear_in : the axis on which the sides of a triangle are straight; default Hz for
        ``"slaney"``, mel for ``"htk"``.
    area_norm : divide each band by half its width in Hz, instead of peak 1; default only for
        ``"slaney"``.
    first_bin : lowest bin with a weight. Default 0 for ``"slaney"``; for ``"htk"``
        ``floor(f_low n_fft / sr + 1.5)``: HTK and openSMILE leave out the bin at 0 Hz, and the
        first one above `f_low` where that is near.

    Returns
    -------
    (n_bands, n_fft // 2 + 1), shared and read-only. A band narrower than the bins may be all 0.

    Raises
    ------
    FeatureError : no room between the edges, or no bands.
    """
    nyquist = sr / 2
    high = nyquist if f_high is None else min(f_high, nyquist)
    if n_bands < 1 or not 0 <= f_low < high:
        raise FeatureError(
            f"{n_bands} mel bands between {f_low} and {high} Hz, expected at least one band and "
            "0 <= f_low < f_high",
            code="bad-band",
        )
    axis = linear_in or ("hz" if scale == "slaney" else "mel")
    bins = np.arange(n_fft // 2 + 1) * (sr / n_fft)
    edges_mel = np.linspace(hz_to_mel(f_low, scale), hz_to_mel(high, scale), n_bands + 2)
    edges_hz = mel_to_hz(edges_mel, scale)
    edges, at = (edges_hz, bins) if axis == "hz" else (edges_mel, hz_to_mel(bins, scale))
    widths = np.diff(edges)[:, None]
    rising = (at - edges[:-2, None]) / widths[:-1]
    falling = (edges[2:, None] - at) / widths[1:]
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if area_norm if area_norm is not None else scale == "slaney":
        bank *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    lowest = int(f_low * n_fft / sr + 1.5) if scale == "htk" else 0
    bank[:, : lowest if first_bin is None else first_bin] = 0.0
    bank.flags.writeable = False
    return bank


# -------------------------------------------------------------------------------------- transforms
@lru_cache(maxsize=64)
def _dct_matrix(size: int, n: int) -> Floats:
    """(n, size) rows of the orthonormal DCT-II."""
    k, m = np.arange(n)[:, None], np.arange(size) + 0.5
    matrix: Floats = np.sqrt(2.0 / size) * np.cos(np.pi * k * m / size)
    matrix[0] /= np.sqrt(2.0)
    matrix.flags.writeable = False
    return matrix


def dct_ortho(values: ArrayLike, n: int | None = None) -> Floats:
    """Orthonormal DCT-II along the last axis, its first `n` coefficients.

    Parameters
    ----------
    values : (..., size).
    n : coefficients to keep, at most `size`; default all.

    Returns
    -------
    (..., n). HTK's transform is the same but for coefficient 0, which it scales by sqrt(2).
    """
    v = np.asarray(values, dtype=np.float64)
    size = v.shape[-1]
    count = size if n is None else n
    if not 1 <= count <= size:
        raise FeatureError(
            f"{count} cosine coefficients of {size} bands, expected 1 to {size}",
            code="bad-count",
        )
    return np.asarray(v @ _dct_matrix(size, count).T)


@lru_cache(maxsize=64)
def _lag_matrix(n_bins: int, n_lags: int) -> Floats:
    """(n_bins, n_lags) inverse transform of a real even spectrum, as a matrix."""
    points = 2 * (n_bins - 1)
    phase = np.outer(np.arange(n_bins), np.arange(n_lags)) % points
    matrix = np.cos(2 * np.pi * phase / points) * (2.0 / points)
    matrix[[0, -1]] /= 2.0
    matrix.flags.writeable = False
    return matrix


def autocorrelation(power: ArrayLike, n_lags: int | None = None) -> Floats:
    """Autocorrelation of a frame from its power spectrum (Wiener-Khinchin).

    Parameters
    ----------
    power : (..., n_fft // 2 + 1), n_fft even.
    n_lags : lags to give, 0 ... n_lags - 1; default n_fft // 2 + 1.

    Returns
    -------
    (..., n_lags) ``sum_n x[n] x[n + lag]``; exact, without wrap-around, for the lags below
    ``n_fft - length`` + 1 of a frame of `length` samples.
    """
    spectrum = np.asarray(power, dtype=np.float64)
    n_bins = spectrum.shape[-1]
    lags = n_bins if n_lags is None else n_lags
    if not 1 <= lags <= n_bins:
        raise FeatureError(
            f"{lags} lags of a spectrum of {n_bins} bins, expected 1 to {n_bins}", code="bad-count"
        )
    if lags <= 32:  # few lags: one small matrix product costs less than the transform
        return np.asarray(spectrum @ _lag_matrix(n_bins, lags))
    # The spectrum is real and even, so its inverse FFT is a DCT-I: half the work of irfft.
    full = scipy.fft.dct(spectrum, type=1, axis=-1) / (2 * (n_bins - 1))
    return np.asarray(full[..., :lags])


def delta(values: ArrayLike, width: int = 2) -> Floats:
    """Regression slope over time, HTK's delta coefficients ([1] eq. 5.16).

    ``d[t] = sum_j j (c[t+j] - c[t-j]) / (2 sum_j j^2)``, j = 1 ... width, with the first and last
    frame repeated beyond the ends. Not `librosa.feature.delta`, which is a Savitzky-Golay filter.

    Parameters
    ----------
    values : (n_frames,) or (n_frames, k).
    width : frames on each side.

    Returns
    -------
    The shape of `values`, in units per frame. NaN wherever one of the frames it needs is NaN.
    """
    c = np.asarray(values, dtype=np.float64)
    if width < 1:
        raise FeatureError(f"a delta width of {width}, expected 1 or more", code="bad-count")
    n = len(c)
    out = np.empty_like(c)
    if not n:
        return out
    columns, slopes = np.ascontiguousarray(c.reshape(n, -1)), out.reshape(n, -1)
    (_slopes if COMPILED else _slopes_plain)(columns, width, slopes)
    return out


@jit
def _slopes(c: Floats, width: int, out: Floats) -> None:
    """Write the slopes of columns (n, k)."""
    n, k = c.shape
    unit = 0.0
    for j in range(1, width + 1):
        unit += 2.0 * j * j
    for t in range(n):
        here, slope = c[t], out[t]
        slope[:] = 0.0
        for j in range(1, width + 1):
            later, before = c[min(t + j, n - 1)], c[max(t - j, 0)]
            for i in range(k):
                slope[i] += j * (later[i] - before[i])
        # The centre frame has weight 0, but a slope through an undefined value is undefined.
        for i in range(k):
            slope[i] = slope[i] / unit if here[i] == here[i] else np.nan


def _slopes_plain(c: Floats, width: int, out: Floats) -> None:
    """`_slopes` with whole arrays."""
    out[:] = 0.0
    n = len(c)
    padded = np.concatenate([np.repeat(c[:1], width, 0), c, np.repeat(c[-1:], width, 0)])
    for j in range(1, width + 1):
        out += j * (padded[width + j : width + j + n] - padded[width - j : width - j + n])
    out /= 2 * sum(j * j for j in range(1, width + 1))
    out[np.isnan(c)] = np.nan


def moving_average(values: ArrayLike, width: int = 3) -> Floats:
    """Mean of each frame and its neighbours, openSMILE's ``sma3`` and ``sma3nz``.

    Parameters
    ----------
    values : (n_frames,) or (n_frames, k).
    width : frames, odd.

    Returns
    -------
    The shape of `values`. Frames beyond the ends and undefined ones take no part; an undefined
    frame stays NaN.
    """
    c = np.asarray(values, dtype=np.float64)
    if width < 1 or width % 2 == 0:
        raise FeatureError(
            f"an average over {width} frames, expected an odd number", code="bad-count"
        )
    total, count = np.zeros_like(c), np.zeros_like(c)
    known = np.isfinite(c)
    filled = np.where(known, c, 0.0)
    for shift in range(-(width // 2), width // 2 + 1):
        here = slice(max(shift, 0), len(c) + min(shift, 0))
        there = slice(max(-shift, 0), len(c) + min(-shift, 0))
        total[there] += filled[here]
        count[there] += known[here]
    return np.where(known, total / np.maximum(count, 1), np.nan)
