"""Linear prediction: predictor coefficients, gain, LPC cepstrum and line spectral frequencies.

Each sample is predicted from the `order` before it, ``s[n] = sum a_k s[n-k] + e[n]``; the columns
``lpc_1`` ... are these a_k. Many programs give the inverse filter ``A(z) = 1 - sum a_k z^-k``
instead (MATLAB, librosa): that is `LpcModel.a`.

Three ways to find the coefficients:

* ``"autocorrelation"``: Hamming-windowed frame, Levinson-Durbin recursion; always stable. The lags
  come from the power spectrum that MFCC and PLP use too; the transform is long enough that they
  are exact.
* ``"covariance"``: least squares over the samples inside the frame, no window. Exact where the
  signal is all-pole and noise-free; may be unstable (`LpcModel.stable`).
* ``"burg"``: least forward and backward residual, no window; stable. Wrong on noise-free decaying
  signals (an impulse response): do not use it there.

Digital silence has no spectrum to model. The predictor of silence is 0 (``A = 1``), the gain is at
its floor of -120 dB, the LPC cepstrum is 0, and line spectral frequencies are NaN.

Contents
--------
`lpc`, `LpcModel` : the model of every frame.
`lpcc`, `lsf`     : two other descriptions of the same model.
`covariance`      : the least-squares method on frames.

Sources
-------
[1] J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63(4), 1975.
[2] J. Markel, A. Gray, "Linear Prediction of Speech", Springer 1976.
[3] B. Atal, "Effectiveness of linear prediction characteristics of the speech wave for automatic
    speaker identification and verification", JASA 55(6), 1974.
[4] F. Soong, B.-H. Juang, "Line spectrum pair and speech data compression", ICASSP 1984.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError, did_you_mean
from serfeat.shorttime import Descriptor, ShortTime, window
from serfeat.signal.line_spectrum import lsf as lsf_of
from serfeat.signal.prediction import LinearPrediction, burg, levinson
from serfeat.signal.prediction import lpcc as lpcc_of
from serfeat.spectrum import autocorrelation
from serfeat.types import Bools, Floats

__all__ = ["DESCRIPTORS", "LpcModel", "Method", "covariance", "lpc", "lpcc", "lsf"]

Method = Literal["autocorrelation", "covariance", "burg"]

GAIN_FLOOR_DB = -120.0

# White noise 90 dB below the frame: bounds the condition of the equations where the recording has
# no energy in part of the band (a telephone call stored at 16 kHz); invisible elsewhere.
WHITE_NOISE = 1e-9

# Frames that the covariance method solves at a time: bounds its memory.
BLOCK = 256


class LpcModel(NamedTuple):
    """The all-pole model of every frame.

    Attributes
    ----------
    a : (n_frames, order + 1) inverse filter, ``a[:, 0] = 1``.
    gain : (n_frames,) root mean square of the prediction error, full scale = 1; 0 in silence.
    reflection : (n_frames, order) reflection coefficients; NaN where an unstable model has none.
    """

    a: Floats
    gain: Floats
    reflection: Floats

    @property
    def coefficients(self) -> Floats:
        """(n_frames, order) a_k of ``s[n] = sum a_k s[n-k] + e[n]``."""
        return 0.0 - self.a[:, 1:]  # 0 - 0 is +0: no "-0.0" in a table

    @property
    def stable(self) -> Bools:
        """(n_frames,) all poles are inside the unit circle."""
        return np.asarray((np.abs(self.reflection) < 1).all(axis=1))


def lpc(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    order: int | None = None,
    method: Method = "autocorrelation",
    preemphasis: float = 0.0,
    white_noise: float = WHITE_NOISE,
    align: Literal["centre", "left"] = "centre",
) -> LpcModel:
    """Linear prediction of every frame ([1]).

    Parameters
    ----------
    x : (n_samples,) mono in [-1, 1).
    sr : Hz.
    hop, length : s between frames, and of the window.
    order : number of coefficients; default ``2 + sr / 1000``: a pole pair per kHz and two more.
    method : see the module.
    preemphasis : coefficient, inside each frame, 0 for none; the descriptors take 0.97.
    white_noise : part of lag 0 that is added to it, autocorrelation method only.
    align : ``"centre"`` for the toolkit's grid, ``"left"`` for HTK's and openSMILE's framing.

    Returns
    -------
    LpcModel: ``a``, ``gain``, ``reflection``, ``.coefficients``, ``.stable``.

    Raises
    ------
    UnknownNameError : a method that is not one of the three.
    FeatureError : an order below 1, or a frame too short for it.
    """
    st = ShortTime(x, sr, hop)
    p = round(2 + sr / 1000) if order is None else order
    return _model(
        st,
        order=p,
        length=length,
        method=method,
        preemphasis=preemphasis,
        white_noise=white_noise,
        align=align,
    )


def lpcc(
    x: ArrayLike, sr: int, *, hop: float = 0.010, n: int = 12, order: int = 12, **settings: object
) -> Floats:
    """Cepstrum of the LPC spectrum ([3]).

    Parameters
    ----------
    x, sr, hop : see `lpc`.
    n : coefficients 1 ... n; may be more than `order`.
    order : of the prediction.
    **settings : ``length``, ``method``, ``preemphasis``, ``white_noise``, ``align`` of `lpc`.

    Returns
    -------
    (n_frames, n) c_1 ... c_n, pure numbers, independent of gain; 0 in silence. (c_0 would be the
    logarithm of the squared gain.)
    """
    return _lpcc(ShortTime(x, sr, hop), n=n, order=order, **settings)


def lsf(
    x: ArrayLike, sr: int, *, hop: float = 0.010, order: int = 12, **settings: object
) -> Floats:
    """Line spectral frequencies of the LPC model ([4]).

    Parameters
    ----------
    x, sr, hop : see `lpc`.
    order : of the prediction.
    **settings : ``length``, ``method``, ``preemphasis``, ``white_noise``, ``align`` of `lpc`.

    Returns
    -------
    (n_frames, order) rad, ascending in (0, pi); multiply by ``sr / (2 pi)`` for Hz. NaN in silence
    and where the model is not minimum phase.
    """
    return _lsf(ShortTime(x, sr, hop), order=order, **settings)


def covariance(frames: ArrayLike, order: int) -> LinearPrediction:
    """Least-squares prediction of the samples ``order ... length - 1`` of each frame ([1]).

    Parameters
    ----------
    frames : (n_frames, length), length > 2 * order so that there are more equations than unknowns.
    order : number of coefficients.

    Returns
    -------
    LinearPrediction: ``error`` is a mean square; reflection coefficients are NaN beyond the point
    where the model is unstable. Where the frame does not determine the solution (silence, DC, a
    tone), it is the shortest one; of silence ``[1, 0, ...]``.
    """
    x = np.ascontiguousarray(frames, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] <= 2 * order:
        raise FeatureError(
            f"frames of shape {x.shape} for order {order}, expected (n_frames, length) with "
            "length > 2 * order",
            code="bad-order",
        )
    a, error = np.empty((len(x), order + 1)), np.empty(len(x))
    a[:, 0] = 1.0
    # Row n of the design holds s[n-1] ... s[n-order], then s[n] itself.
    columns = [*range(order - 1, -1, -1), order]
    rows = np.lib.stride_tricks.sliding_window_view(x, order + 1, axis=1)
    for first in range(0, len(x), BLOCK):
        block = slice(first, first + BLOCK)
        # Q is never needed: the last column of R is Q'y, and below its top is the residual.
        r: Floats = np.linalg.qr(rows[block][:, :, columns], mode="r")  # type: ignore[assignment]
        design, target = r[:, :order, :order], r[:, :order, order]
        solution = _least_squares(design, target, rows.shape[1])
        rest = target - np.einsum("tij,tj->ti", design, solution)
        error[block] = ((rest**2).sum(axis=1) + r[:, order, order] ** 2) / rows.shape[1]
        a[block, 1:] = 0.0 - solution
    return LinearPrediction(a, error, _reflection(a))


def _least_squares(design: Floats, target: Floats, n_rows: int) -> Floats:
    """Shortest solutions of (k, p, p) triangular systems; `n_rows` sets LAPACK's cut-off."""
    diagonal = np.abs(np.einsum("tii->ti", design))
    clear = diagonal.min(axis=1) > 1e-10 * diagonal.max(axis=1)
    out = np.empty(target.shape)
    out[clear] = np.linalg.solve(design[clear], target[clear, :, None])[:, :, 0]
    if not clear.all():
        u, s, vh = np.linalg.svd(design[~clear])
        kept = s > np.finfo(float).eps * n_rows * s[:, :1]
        part = np.einsum("tij,ti->tj", u, target[~clear]) / np.where(kept, s, np.inf)
        out[~clear] = np.einsum("tij,ti->tj", vh, part)
    return out


def _reflection(a: Floats) -> Floats:
    """Reflection coefficients of inverse filters, by the step-down recursion ([2])."""
    order = a.shape[1] - 1
    k = np.full((len(a), order), np.nan)
    current = a.copy()
    for j in range(order, 0, -1):
        last = current[:, j].copy()
        k[:, j - 1] = last
        lower = 1.0 - last**2
        lower[~(lower > 0)] = np.nan  # unstable: nothing below this order is defined
        inner = current[:, 1:j]
        current[:, 1:j] = (inner - last[:, None] * inner[:, ::-1]) / lower[:, None]
    return k


def _model(
    st: ShortTime,
    *,
    order: int,
    length: float = 0.025,
    method: Method = "autocorrelation",
    preemphasis: float = 0.0,
    white_noise: float = WHITE_NOISE,
    align: Literal["centre", "left"] = "centre",
) -> LpcModel:
    """Model of a clip on its grid, computed once for LPC, LPCC and LSF."""
    if method not in get_args(Method):
        raise did_you_mean("LPC method", method, get_args(Method))
    samples = round(length * st.sr)
    if not 1 <= order < samples:
        raise FeatureError(
            f"LPC order {order} on frames of {samples} samples, expected 1 to {samples - 1}",
            code="bad-order",
        )
    key = ("lpc", order, samples, method, preemphasis, white_noise, align)

    def make() -> LpcModel:
        if method == "autocorrelation":
            # A transform of at least length + order points: no lag wraps around.
            n_fft = 1 << (samples + order - 1).bit_length()
            power = st.power(
                samples, n_fft, window_name="hamming", preemphasis=preemphasis, align=align
            )
            lags = autocorrelation(power, order + 1)
            lags[:, 0] *= 1.0 + white_noise
            model = levinson(lags)
            mean_square = model.error / _window_energy(samples)
        else:
            frames = _emphasised(st.frames(samples, align=align), preemphasis)
            model = covariance(frames, order) if method == "covariance" else burg(frames, order)
            mean_square = model.error
        gain = np.sqrt(np.maximum(mean_square, 0.0))
        for array in (model.a, gain, model.reflection):
            array.flags.writeable = False
        return LpcModel(model.a, gain, model.reflection)

    return st.memo(key, make)


@lru_cache(maxsize=16)
def _window_energy(samples: int) -> float:
    """Sum of the squared Hamming window: from a sum over a frame to a mean square."""
    return float((window("hamming", samples) ** 2).sum())


def _emphasised(frames: Floats, preemphasis: float) -> Floats:
    """Frames with ``y[n] = x[n] - a x[n-1]`` applied inside each."""
    if not preemphasis:
        return frames
    y = frames.copy()
    y[:, 1:] -= preemphasis * frames[:, :-1]
    y[:, 0] *= 1 - preemphasis
    return y


def _lpc(st: ShortTime, *, order: int = 12, **settings: object) -> Floats:
    model = _model(st, order=order, **settings)  # type: ignore[arg-type]  # checked by _model
    out = np.empty((len(model.a), order + 1))
    np.subtract(0.0, model.a[:, 1:], out=out[:, :order])
    out[:, order] = 20 * np.log10(np.maximum(model.gain, 10.0 ** (GAIN_FLOOR_DB / 20)))
    return out


def _lpcc(st: ShortTime, *, n: int = 12, order: int = 12, **settings: object) -> Floats:
    model = _model(st, order=order, **settings)  # type: ignore[arg-type]  # checked by _model
    return lpcc_of(model.a, np.ones(len(model.a)), n)[:, 1:]


def _lsf(st: ShortTime, *, order: int = 12, **settings: object) -> Floats:
    model = _model(st, order=order, **settings)  # type: ignore[arg-type]  # checked by _model
    return np.where(model.gain[:, None] > 0, lsf_of(model.a), np.nan)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="lpc",
        columns=(*(f"lpc_{k}" for k in range(1, 13)), "lpc_gain_db"),
        unit=(*("1",) * 12, "dB"),
        summary="Linear prediction: coefficients a_k of s[n] = sum a_k s[n-k] + e[n] and level of "
        "the residual re full scale; silence: 0 and -120 dB",
        source="Makhoul 1975, autocorrelation method, order 12, pre-emphasis 0.97, 25 ms Hamming "
        "window",
        compute=_lpc,
        params={"order": 12, "preemphasis": 0.97},
        version=3,
        oracle="scipy.linalg.solve_toeplitz: 1e-9; covariance beside LAPACK's least squares: 1e-9; "
        "Burg beside librosa.lpc: 1e-10; known poles",
    ),
    Descriptor(
        name="lpc_covariance",
        columns=(*(f"lpc_{k}" for k in range(1, 13)), "lpc_gain_db"),
        unit=(*("1",) * 12, "dB"),
        summary="Linear prediction by least squares over the samples inside the frame: columns of "
        "lpc; may be unstable",
        source="Makhoul 1975, covariance method, order 12, pre-emphasis 0.97, 25 ms, no window",
        compute=_lpc,
        params={"order": 12, "preemphasis": 0.97, "method": "covariance"},
        oracle="LAPACK's least squares: 1e-9; the impulse response of known poles: 1e-9",
    ),
    Descriptor(
        name="lpc_burg",
        columns=(*(f"lpc_{k}" for k in range(1, 13)), "lpc_gain_db"),
        unit=(*("1",) * 12, "dB"),
        summary="Linear prediction of the least forward and backward residual: columns of lpc; "
        "stable without a window",
        source="Burg 1967 as in Makhoul 1975, order 12, pre-emphasis 0.97, 25 ms, no window",
        compute=_lpc,
        params={"order": 12, "preemphasis": 0.97, "method": "burg"},
        oracle="librosa.lpc: 1e-10",
    ),
    Descriptor(
        name="lpcc",
        columns=tuple(f"lpcc_{k}" for k in range(1, 13)),
        unit="1",
        summary="Cepstrum of the LPC spectrum; silence: 0",
        source="Atal 1974 on the model of lpc",
        compute=_lpcc,
        params={"n": 12, "order": 12, "preemphasis": 0.97},
        version=3,
        oracle="cepstrum of the predictor's spectrum by FFT: 1e-8",
    ),
    Descriptor(
        name="lsf",
        columns=tuple(f"lsf_{k}" for k in range(1, 13)),
        unit="rad",
        summary="Line spectral frequencies of the LPC model",
        source="Soong & Juang 1984 on the model of lpc",
        compute=_lsf,
        params={"order": 12, "preemphasis": 0.97},
        version=3,
        undefined="in digital silence",
        oracle="line frequencies of known poles (pysptk's values): 0.02 rad, on their noise",
    ),
)
