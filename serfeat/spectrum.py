"""Spectral tools that several descriptor families share: scales, filter banks, linear prediction.

Conventions
-----------
The last axis is the axis of bins, lags, bands or coefficients; any axes before it are frames.
A predictor is given by its inverse filter ``A(z) = 1 + a[1] z^-1 + ... + a[p] z^-p`` (the sign of
MATLAB and librosa); the predictor coefficients of ``s[n] = sum a_k s[n-k] + e[n]`` are ``-a[1:]``.
A frame without energy has the predictor ``[1, 0, ..., 0]`` and the error 0. NaN goes in, NaN comes
out.

Contents
--------
scales       : `hz_to_mel`, `mel_to_hz`, `hz_to_bark`, `bark_to_hz`, `hz_to_erb_rate`, `erb`
banks        : `mel_filterbank`
transforms   : `dct_ortho`, `autocorrelation`, `delta`
prediction   : `levinson`, `burg`, `lpcc`, `lsf`

Sources
-------
[1] J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63(4), 1975.
[2] J. P. Burg, "Maximum entropy spectral analysis", PhD thesis, Stanford, 1975.
[3] S. Young et al., The HTK Book (3.4), sections 5.4-5.9.
[4] M. Slaney, Auditory Toolbox version 2, Interval Research TR 1998-010.
[5] H. Hermansky, "Perceptual linear predictive analysis of speech", JASA 87(4), 1990.
[6] B. Glasberg, B. Moore, "Derivation of auditory filter shapes", Hearing Research 47, 1990.
[7] F. Soong, B.-H. Juang, "Line spectrum pair and speech data compression", ICASSP 1984.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import jit
from serfeat.types import Floats

__all__ = [
    "LinearPrediction",
    "MelScale",
    "autocorrelation",
    "bark_to_hz",
    "burg",
    "dct_ortho",
    "delta",
    "erb",
    "hz_to_bark",
    "hz_to_erb_rate",
    "hz_to_mel",
    "levinson",
    "lpcc",
    "lsf",
    "mel_filterbank",
    "mel_to_hz",
]

MelScale = Literal["slaney", "htk"]

# Slaney's scale [4]: linear below 1 kHz (15 mel), above it 27 steps for a factor of 6.4.
SLANEY_HZ_PER_MEL = 200.0 / 3
SLANEY_KNEE_HZ = 1000.0
SLANEY_KNEE_MEL = SLANEY_KNEE_HZ / SLANEY_HZ_PER_MEL
SLANEY_LOG_STEP = np.log(6.4) / 27.0

# A residual below this part of the energy is rounding noise: the frame is perfectly predictable.
# (Kernels see it as a constant of the compilation.)
PREDICTABLE = 1e-15


class LinearPrediction(NamedTuple):
    """An all-pole model per frame.

    Attributes
    ----------
    a : (..., order + 1) inverse filter, ``a[0] = 1``.
    error : (...) energy of the residual, in the unit of lag 0; the squared gain of the model.
    reflection : (..., order) reflection coefficients, |k| < 1 for a stable model.
    """

    a: Floats
    error: Floats
    reflection: Floats


# ------------------------------------------------------------------------------------------ scales
def hz_to_mel(hz: ArrayLike, scale: MelScale = "slaney") -> Floats:
    """Frequency in mel; ``"htk"`` is ``1127 ln(1 + f/700)`` [3], ``"slaney"`` is Slaney's [4]."""
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
    """Frequency in Bark, ``6 asinh(f / 600)`` ([5] eq. 3)."""
    return np.asarray(6.0 * np.arcsinh(np.asarray(hz, dtype=np.float64) / 600.0))


def bark_to_hz(bark: ArrayLike) -> Floats:
    """Frequency in Hz: the inverse of `hz_to_bark`."""
    return np.asarray(600.0 * np.sinh(np.asarray(bark, dtype=np.float64) / 6.0))


def erb(hz: ArrayLike) -> Floats:
    """Equivalent rectangular bandwidth in Hz at a frequency, ``24.7 (4.37 f/1000 + 1)`` [6]."""
    return np.asarray(24.7 * (4.37e-3 * np.asarray(hz, dtype=np.float64) + 1.0))


def hz_to_erb_rate(hz: ArrayLike) -> Floats:
    """Number of ERBs below a frequency, ``21.4 log10(1 + 0.00437 f)`` [6]."""
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

    Returns
    -------
    (n_bands, n_fft // 2 + 1), shared and read-only. A band narrower than the bins may be all 0.
    With ``"htk"`` the lowest bin with a weight is ``floor(f_low n_fft / sr + 1.5)``: HTK and
    openSMILE leave out the bin at 0 Hz, and the first one above `f_low` where that is near.

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
    if scale == "htk":
        bank[:, : int(f_low * n_fft / sr + 1.5)] = 0.0
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
    """Regression slope over time, HTK's delta coefficients ([3] eq. 5.16).

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
    out = np.zeros_like(c)
    if not n:
        return out
    padded = np.concatenate([np.repeat(c[:1], width, 0), c, np.repeat(c[-1:], width, 0)])
    for j in range(1, width + 1):
        out += j * (padded[width + j : width + j + n] - padded[width - j : width - j + n])
    out /= 2 * sum(j * j for j in range(1, width + 1))
    # The centre frame has weight 0, but a slope through an undefined value is undefined.
    return np.where(np.isnan(c), np.nan, out)


# -------------------------------------------------------------------------------------- prediction
@jit
def _levinson_frames(r: Floats, a: Floats, error: Floats, reflection: Floats) -> None:
    order = r.shape[1] - 1
    previous = np.empty(order + 1)
    for t in range(r.shape[0]):
        a[t, 0] = 1.0
        energy = r[t, 0]
        if energy <= 0.0:
            continue
        floor = energy * PREDICTABLE
        for j in range(1, order + 1):
            if energy <= floor:  # perfectly predictable: the rest of the model stays 0
                break
            correlation = r[t, j]
            for i in range(1, j):
                correlation += a[t, i] * r[t, j - i]
            k = -correlation / energy
            if abs(k) >= 1.0:  # only rounding brings this: stay with the stable lower order
                break
            reflection[t, j - 1] = k
            for i in range(1, j):
                previous[i] = a[t, i]
            for i in range(1, j):
                a[t, i] = previous[i] + k * previous[j - i]
            a[t, j] = k
            energy *= 1.0 - k * k
        error[t] = energy


def levinson(r: ArrayLike) -> LinearPrediction:
    """Solve the normal equations of linear prediction, frame by frame ([1] eq. 38).

    Parameters
    ----------
    r : (..., order + 1) autocorrelation, lags 0 ... order.

    Returns
    -------
    LinearPrediction: ``(a (..., order + 1), error (...), reflection (..., order))``. A frame with
    ``r[0] <= 0`` gives ``a = [1, 0, ...]`` and error 0. The model is always stable: where rounding
    would make it unstable (a frame that is perfectly predictable), the recursion stops early.
    """
    lags = np.asarray(r, dtype=np.float64)
    flat = np.ascontiguousarray(lags.reshape(-1, lags.shape[-1]))
    model = _empty_model(len(flat), lags.shape[-1] - 1)
    _levinson_frames(flat, *model)
    return _shaped(model, lags.shape[:-1])


@jit
def _burg_frames(x: Floats, a: Floats, error: Floats, reflection: Floats) -> None:
    length, order = x.shape[1], a.shape[1] - 1
    previous = np.empty(order + 1)
    for t in range(x.shape[0]):
        a[t, 0] = 1.0
        energy = 0.0
        for n in range(length):
            energy += x[t, n] * x[t, n]
        energy /= length
        if energy <= 0.0:
            continue
        floor = energy * PREDICTABLE
        forward, backward = x[t].copy(), x[t].copy()
        for j in range(1, order + 1):
            if energy <= floor:
                break
            across, total = 0.0, 0.0
            for n in range(j, length):
                across += forward[n] * backward[n - 1]
                total += forward[n] * forward[n] + backward[n - 1] * backward[n - 1]
            if total <= floor:
                break
            k = -2.0 * across / total
            if abs(k) >= 1.0:
                break
            reflection[t, j - 1] = k
            for n in range(length - 1, j - 1, -1):
                f, b = forward[n], backward[n - 1]
                forward[n] = f + k * b
                backward[n] = b + k * f
            for i in range(1, j):
                previous[i] = a[t, i]
            for i in range(1, j):
                a[t, i] = previous[i] + k * previous[j - i]
            a[t, j] = k
            energy *= 1.0 - k * k
        error[t] = energy


def burg(x: ArrayLike, order: int) -> LinearPrediction:
    """Fit a predictor by Burg's method: least forward and backward residual ([2]).

    Parameters
    ----------
    x : (n_frames, length) windowed or plain frames, length > order.
    order : poles.

    Returns
    -------
    LinearPrediction; ``error`` is a mean square (per sample), unlike that of `levinson` on summed
    lags. A frame of zeros gives ``a = [1, 0, ...]`` and error 0.

    Raises
    ------
    FeatureError : a frame that is not longer than the order.
    """
    frames = np.ascontiguousarray(x, dtype=np.float64)
    if frames.ndim != 2 or frames.shape[1] <= order:
        raise FeatureError(
            f"frames of shape {frames.shape} for order {order}, expected (n_frames, length) with "
            "length > order",
            code="bad-order",
        )
    model = _empty_model(len(frames), order)
    _burg_frames(frames, *model)
    return model


def _empty_model(n: int, order: int) -> LinearPrediction:
    return LinearPrediction(np.zeros((n, order + 1)), np.zeros(n), np.zeros((n, order)))


def _shaped(model: LinearPrediction, shape: tuple[int, ...]) -> LinearPrediction:
    order = model.reflection.shape[-1]
    return LinearPrediction(
        model.a.reshape(*shape, order + 1),
        model.error.reshape(shape),
        model.reflection.reshape(*shape, order),
    )


@jit
def _lpcc_frames(a: Floats, out: Floats) -> None:
    order, last = a.shape[1] - 1, out.shape[1] - 1
    for t in range(a.shape[0]):
        for n in range(1, last + 1):
            c = -a[t, n] if n <= order else 0.0
            for k in range(max(1, n - order), n):
                c -= k / n * out[t, k] * a[t, n - k]
            out[t, n] = c


def lpcc(a: ArrayLike, error: ArrayLike, n: int) -> Floats:
    """Cepstrum of an all-pole model, by recursion ([3] eq. 5.11).

    Parameters
    ----------
    a : (..., order + 1) inverse filter, ``a[0] = 1``; minimum phase.
    error : (...) squared gain.
    n : last coefficient.

    Returns
    -------
    (..., n + 1): ``c[0] = ln error`` (NaN where the error is 0) and ``c[1] ... c[n]`` of
    ``ln(error / |A|^2) = c[0] + 2 sum c[k] cos(k w)``.
    """
    polynomial, gain = np.asarray(a, dtype=np.float64), np.asarray(error, dtype=np.float64)
    flat = np.ascontiguousarray(polynomial.reshape(-1, polynomial.shape[-1]))
    out = np.zeros((len(flat), n + 1))
    _lpcc_frames(flat, out)
    out[:, 0] = np.log(np.where(gain > 0, gain, np.nan)).ravel()
    return out.reshape(*polynomial.shape[:-1], n + 1)


@jit
def _chebyshev_roots(c: Floats, roots: Floats) -> bool:
    """Real roots of ``sum c[k] T_k(x)``, all inside (-1, 1), descending; False if they are not.

    Newton's method from x = 1 runs down monotonically to the largest root; dividing by the roots
    found so far (Maehly) makes the next one the largest, without ever rounding the polynomial.
    """
    degree = len(c) - 1
    for found in range(degree):
        x = 1.0
        converged = False
        for _ in range(200):
            b1, b2, d1, d2 = 0.0, 0.0, 0.0, 0.0  # Clenshaw: value and slope
            for k in range(degree, 0, -1):
                d1, d2 = 2.0 * b1 + 2.0 * x * d1 - d2, d1
                b1, b2 = c[k] + 2.0 * x * b1 - b2, b1
            value, slope = c[0] + x * b1 - b2, b1 + x * d1 - d2
            for i in range(found):
                gap = x - roots[i]
                slope -= value / (gap if gap != 0.0 else 1e-300)
            step = value / slope if value != 0.0 else 0.0
            x -= step
            if step <= 1e-15:  # the descent ends in rounding noise; a jump up is no real root
                converged = step > -1e-6
                break
        if not converged or not -1.0 <= x <= 1.0:
            return False
        roots[found] = x
    return True


@jit
def _lsf_frames(a: Floats, out: Floats) -> None:
    order = a.shape[1] - 1
    # The trivial roots at z = 1 and z = -1 are divided out; what is left is symmetric.
    p_degree = order if order % 2 == 0 else order + 1
    q_degree = order if order % 2 == 0 else order - 1
    p, q = np.empty(order + 2), np.empty(order + 2)
    for t in range(a.shape[0]):
        for i in range(order + 2):
            ahead = a[t, i] if i <= order else 0.0
            behind = a[t, order + 1 - i] if i >= 1 else 0.0
            p[i], q[i] = ahead + behind, ahead - behind
        if order % 2 == 0:
            for i in range(1, order + 2):
                p[i] -= p[i - 1]
                q[i] += q[i - 1]
        else:
            for i in range(2, order + 2):
                q[i] += q[i - 2]
        # On the unit circle a symmetric polynomial is a Chebyshev series in x = cos w.
        p_half, q_half = p_degree // 2, q_degree // 2
        p_series, q_series = np.empty(p_half + 1), np.empty(q_half + 1)
        for k in range(p_half + 1):
            p_series[k] = p[p_half - k] * (2.0 if k else 1.0)
        for k in range(q_half + 1):
            q_series[k] = q[q_half - k] * (2.0 if k else 1.0)
        p_roots, q_roots = np.empty(p_half), np.empty(q_half)
        fine = _chebyshev_roots(p_series, p_roots) and _chebyshev_roots(q_series, q_roots)
        for i in range(order):
            root = p_roots[i // 2] if i % 2 == 0 else q_roots[i // 2]
            out[t, i] = np.arccos(root) if fine else np.nan
            if i and not out[t, i] > out[t, i - 1]:
                fine = False
        if not fine:
            out[t, :] = np.nan


def lsf(a: ArrayLike) -> Floats:
    """Line spectral frequencies of an inverse filter ([7] eq. 5-8).

    The angles of the roots of ``A(z) + z^-(p+1) A(1/z)`` and ``A(z) - z^-(p+1) A(1/z)``, which
    alternate on the unit circle exactly when A is minimum phase.

    Parameters
    ----------
    a : (..., order + 1), ``a[0] = 1``.

    Returns
    -------
    (..., order) rad, ascending in (0, pi). NaN for a polynomial that is not minimum phase, or too
    close to it to tell. The flat model ``[1, 0, ...]`` gives ``pi k / (order + 1)``.
    """
    polynomial = np.asarray(a, dtype=np.float64)
    order = polynomial.shape[-1] - 1
    flat = np.ascontiguousarray(polynomial.reshape(-1, order + 1))
    out = np.empty((len(flat), order))
    _lsf_frames(flat, out)
    return out.reshape(*polynomial.shape[:-1], order)
