"""Linear prediction: an all-pole model of a frame, its cepstrum and its line spectral frequencies.

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
`lpcc` `lsf`        : the model's cepstrum and line spectral frequencies.

Sources
-------
[1] J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63(4), 1975.
[2] J. P. Burg, "Maximum entropy spectral analysis", PhD thesis, Stanford, 1975.
[3] S. Young et al., The HTK Book (3.4), sections 5.4-5.9.
[4] F. Soong, B.-H. Juang, "Line spectrum pair and speech data compression", ICASSP 1984.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import jit
from serfeat.types import Floats

__all__ = ["LinearPrediction", "burg", "levinson", "lpcc", "lsf"]

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


# ---------------------------------------------------------------------------------------- the model
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


# ----------------------------------------------------------------------------- what follows from it
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
    """Line spectral frequencies of an inverse filter ([4] eq. 5-8).

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
