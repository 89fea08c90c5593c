"""Linear prediction: an all-pole model of a frame, and its cepstrum.

Conventions
-----------
The last axis is the axis of lags or coefficients; any axes before it are frames. A predictor is
given by its inverse filter ``A(z) = 1 + a[1] z^-1 + ... + a[p] z^-p`` (the sign of MATLAB and
librosa); the predictor coefficients of ``s[n] = sum a_k s[n-k] + e[n]`` are ``-a[1:]``. A frame
without energy has the predictor ``[1, 0, ..., 0]`` and the error 0. NaN goes in, NaN comes out.

Contents
--------
`LinearPrediction`  : the model, as `levinson` and `burg` give it.
`levinson` `burg`   : the model from an autocorrelation, or from the samples.
`lpcc`              : the model's cepstrum.

Line spectral frequencies are `serfeat.signal.line_spectrum`. The kernels work with the frames last,
so that their inner loops run over neighbouring frames, which the processor does several at a time.

Sources
-------
[1] J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63(4), 1975.
[2] J. P. Burg, "Maximum entropy spectral analysis", PhD thesis, Stanford, 1975.
[3] S. Young et al., The HTK Book (3.4), sections 5.4-5.9.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.types import Floats

__all__ = ["LinearPrediction", "burg", "levinson", "lpcc"]

# A residual below this part of the energy is rounding noise: the frame is perfectly predictable.
# (Kernels see it as a constant of the compilation.)
PREDICTABLE = 1e-15

# Frames that a kernel works on at a time: a dozen rows of them stay in the first-level cache.
TILE = 128


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


# ---------------------------------------------------------------------------------------- the model
def _levinson_plain(r: Floats, a: Floats, error: Floats, reflection: Floats) -> None:
    """Recurse over the order ([1] eq. 38), for all frames at once.

    Parameters
    ----------
    r : (order + 1, n_frames).
    a, error, reflection : of the shapes of `LinearPrediction`, frames last; filled.
    """
    a[0] = 1.0
    error[:] = np.where(r[0] <= 0.0, 0.0, r[0])
    floor = error * PREDICTABLE
    going = np.ones(len(error), dtype=bool)
    for j in range(1, len(r)):
        correlation = r[j] + np.einsum("it,it->t", a[1:j], r[j - 1 : 0 : -1])
        # Perfectly predictable (the rest of the model stays 0), or |k| >= 1, which only rounding
        # brings: stay with the stable lower order. Written so that NaN goes on.
        going &= ~(error <= floor)
        k = -correlation / np.where(going, error, 1.0)
        going &= ~(np.abs(k) >= 1.0)
        k[~going] = 0.0
        a[1:j] += k * a[j - 1 : 0 : -1]
        a[j] = reflection[j - 1] = k
        error *= 1.0 - k * k


@jit
def _levinson_kernel(r: Floats, a: Floats, error: Floats, reflection: Floats) -> None:
    """`_levinson_plain`, tile by tile of frames; the inner loops are done many frames at a time.

    Every row is cut out as a contiguous array: only such loops are vectorised.
    """
    order, n = r.shape[0] - 1, r.shape[1]
    floor = np.empty(TILE)
    for begin in range(0, n, TILE):
        end = min(begin + TILE, n)
        energy, power, one = error[begin:end], r[0, begin:end], a[0, begin:end]
        for t in range(end - begin):
            energy[t] = 0.0 if power[t] <= 0.0 else power[t]
            floor[t] = energy[t] * PREDICTABLE
            one[t] = 1.0
        for j in range(1, order + 1):
            k, lag = reflection[j - 1, begin:end], r[j, begin:end]
            for t in range(end - begin):
                k[t] = lag[t]
            for i in range(1, j):
                low, lag = a[i, begin:end], r[j - i, begin:end]
                for t in range(end - begin):
                    k[t] += low[t] * lag[t]
            for t in range(end - begin):
                value = -k[t] / energy[t]
                stop = (energy[t] <= floor[t]) | (abs(value) >= 1.0)
                k[t] = 0.0 if stop else value
                floor[t] = np.inf if stop else floor[t]  # stopped is stopped for good
                energy[t] *= 1.0 - k[t] * k[t]
            for i in range(1, j // 2 + 1):  # coefficients i and j - i need each other
                low, high = a[i, begin:end], a[j - i, begin:end]
                for t in range(end - begin):
                    x, y = low[t], high[t]
                    low[t] = x + k[t] * y
                    high[t] = y + k[t] * x
            high = a[j, begin:end]
            for t in range(end - begin):
                high[t] = k[t]


_levinson_frames = _levinson_kernel if COMPILED else _levinson_plain


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
    flat = _frames_last(lags)
    order, n = len(flat) - 1, flat.shape[1]
    a, error, reflection = np.empty((order + 1, n)), np.empty(n), np.empty((order, n))
    _levinson_frames(flat, a, error, reflection)
    return _shaped(LinearPrediction(a.T, error, reflection.T), lags.shape[:-1])


def _frames_last(values: Floats) -> Floats:
    """(..., k) -> (k, frames), contiguous: loops over frames then run over neighbours."""
    return np.ascontiguousarray(values.reshape(-1, values.shape[-1]).T)


def _burg_plain(x: Floats, a: Floats, error: Floats, reflection: Floats) -> None:
    """Recurse over the order ([2]), for all frames at once; of the arguments of `_burg_kernel`."""
    a[:, 0] = 1.0
    error[:] = np.einsum("tn,tn->t", x, x) / x.shape[1]
    floor = error * PREDICTABLE
    going = ~(error <= 0.0)
    forward, backward = x[:, 1:].copy(), x[:, :-1].copy()  # of the samples that have a neighbour
    for j in range(1, a.shape[1]):
        across = np.einsum("tn,tn->t", forward, backward)
        total = np.einsum("tn,tn->t", forward, forward)
        total += np.einsum("tn,tn->t", backward, backward)
        going &= ~((error <= floor) | (total <= floor))
        k = -2.0 * across / np.where(going, total, 1.0)
        going &= ~(np.abs(k) >= 1.0)  # stopped is stopped for good: the rest of the model stays 0
        k[~going] = 0.0
        reflection[:, j - 1] = k
        k = k[:, None]
        forward, backward = (forward + k * backward)[:, 1:], (backward + k * forward)[:, :-1]
        a[:, 1:j] += k * a[:, j - 1 : 0 : -1]
        a[:, j : j + 1] = k
        error *= 1.0 - k[:, 0] * k[:, 0]


@jit
def _burg_kernel(x: Floats, a: Floats, error: Floats, reflection: Floats) -> None:
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
    n = len(frames)
    model = LinearPrediction(np.zeros((n, order + 1)), np.zeros(n), np.zeros((n, order)))
    (_burg_kernel if COMPILED else _burg_plain)(frames, *model)
    return model


def _shaped(model: LinearPrediction, shape: tuple[int, ...]) -> LinearPrediction:
    order = model.reflection.shape[-1]
    return LinearPrediction(
        model.a.reshape(*shape, order + 1),
        model.error.reshape(shape),
        model.reflection.reshape(*shape, order),
    )


# ----------------------------------------------------------------------------- what follows from it
def _lpcc_plain(a: Floats, d: Floats) -> None:
    """Recurse for ``d[k] = k c[k]``, frames last: ``d[n] = -n a[n] - sum d[k] a[n-k]``."""
    order = len(a) - 1
    for n in range(1, len(d)):
        first = max(1, n - order)
        d[n] = -n * a[n] if n <= order else 0.0
        d[n] -= np.einsum("it,it->t", d[first:n], a[n - first : 0 : -1])


@jit
def _lpcc_kernel(a: Floats, d: Floats) -> None:
    """`_lpcc_plain`, tile by tile of frames."""
    order, frames = a.shape[0] - 1, a.shape[1]
    for begin in range(0, frames, TILE):
        end = min(begin + TILE, frames)
        for n in range(1, d.shape[0]):
            out, model = d[n, begin:end], a[min(n, order), begin:end]
            for t in range(end - begin):
                out[t] = -n * model[t] if n <= order else 0.0
            for k in range(max(1, n - order), n):
                lower, model = d[k, begin:end], a[n - k, begin:end]
                for t in range(end - begin):
                    out[t] -= lower[t] * model[t]


_lpcc_frames = _lpcc_kernel if COMPILED else _lpcc_plain


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
    flat = _frames_last(polynomial)
    out = np.empty((n + 1, flat.shape[1]))
    _lpcc_frames(flat, out)
    out[1:] /= np.arange(1.0, n + 1)[:, None]
    out[0] = np.log(np.where(gain > 0, gain, np.nan)).ravel()
    return out.T.reshape(*polynomial.shape[:-1], n + 1)
