"""The Teager energy operator, demodulation with it, and the stress feature TEO-CB-Auto-Env.

``psi[n] = x[n]^2 - x[n-1] x[n+1]`` needs three samples and measures the energy that the source of
an oscillation spends, amplitude times frequency squared: ``A cos(W n + phi)`` gives exactly
``A^2 sin^2 W``. Under stress the air flow in the vocal tract becomes less regular, and so does psi
within a critical band of hearing; TEO-CB-Auto-Env measures that regularity by the area under the
autocorrelation of psi [1]: 1 for a steady profile, less for a modulated one (white noise: 0.5 to
0.65, depending on the band).

Conventions
-----------
Frequencies are Hz; sample n of a result belongs to sample n of the signal; samples without the
neighbours that the operator needs are NaN. Teager energy is negative in places, and "energy" there
only by name: a demodulation with ``psi <= 0`` is undefined, NaN.

Contents
--------
`teager`          : psi, sample by sample.
`desa1`, `desa2`  : instantaneous amplitude and frequency (discrete energy separation).
`teo_db`          : level of the mean Teager energy, frame by frame.
`teo_cb_auto_env` : TEO-CB-Auto-Env, 16 critical bands, voiced frames.

Sources
-------
[1] G. Zhou, J. Hansen, J. Kaiser, "Nonlinear feature based classification of speech under stress",
    IEEE Trans. Speech and Audio Processing 9(3), 2001.
[2] J. Kaiser, "On a simple algorithm to calculate the 'energy' of a signal", ICASSP 1990.
[3] P. Maragos, J. Kaiser, T. Quatieri, "Energy separation in signal modulations with application to
    speech analysis", IEEE Trans. Signal Processing 41(10), 1993: DESA-1 and DESA-2.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import AudioError, FeatureError
from serfeat.pitch import pitch
from serfeat.shorttime import BLOCK, Descriptor, ShortTime
from serfeat.types import Bools, Floats

__all__ = [
    "BAND_EDGES",
    "DESCRIPTORS",
    "Demodulation",
    "desa1",
    "desa2",
    "teager",
    "teo_cb_auto_env",
    "teo_db",
]

# Hz: edges of the 16 critical bands of [1], the range of telephone speech.
_LOW_EDGES = (100, 200, 300, 400, 510, 630, 770, 920)
_HIGH_EDGES = (1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700)
BAND_EDGES: tuple[int, ...] = _LOW_EDGES + _HIGH_EDGES
N_BANDS = len(BAND_EDGES) - 1
# Hz: the rate at which [1] works; a frame of 25 ms has M = 200 samples.
RATE = 8000
# Samples at `RATE` of silence behind a clip when it is filtered through the (circular) Fourier
# transform: more than the reach of the narrowest band's impulse response.
GUARD = 256
# dB re full scale squared: quieter than this is silence.
FLOOR_DB = -100.0
# dB re the clip: a band quieter than this holds rounding noise (16-bit audio has its own at -100).
EMPTY_DB = -130.0


_Spectrum = NDArray[np.complex128]


class Demodulation(NamedTuple):
    """What an oscillation does from sample to sample.

    Attributes
    ----------
    amplitude : (n,) in the unit of the signal.
    frequency : (n,) Hz.
    """

    amplitude: Floats
    frequency: Floats


# -------------------------------------------------------------------------------------- operators
def _psi(x: Floats) -> Floats:
    """(..., n - 2) the operator wherever both neighbours exist."""
    return np.asarray(x[..., 1:-1] ** 2 - x[..., :-2] * x[..., 2:])


def teager(x: ArrayLike) -> Floats:
    """Teager energy of every sample, ``x[n]^2 - x[n-1] x[n+1]`` ([2]).

    Parameters
    ----------
    x : (..., n) signals along the last axis.

    Returns
    -------
    (..., n) in the square of the unit of `x`; NaN at the first and the last sample.
    """
    signal = np.asarray(x, dtype=np.float64)
    out = np.full(signal.shape, np.nan)
    if signal.shape[-1] > 2:
        out[..., 1:-1] = _psi(signal)
    return out


def _mono(x: ArrayLike) -> Floats:
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1:
        raise AudioError(
            f"the signal has shape {signal.shape}, expected (n_samples,)", code="not-mono"
        )
    return signal


def _positive(values: Floats) -> Floats:
    """The values, NaN where they are not above 0."""
    return np.where(values > 0, values, np.nan)


def _aligned(n: int, amplitude: Floats, angle: Floats, sr: float) -> Demodulation:
    """Put results of the samples 2 ... n - 3 in their place; `angle` is rad per sample."""
    defined = np.isfinite(amplitude) & np.isfinite(angle)
    out = Demodulation(np.full(n, np.nan), np.full(n, np.nan))
    out.amplitude[2 : n - 2] = np.where(defined, amplitude, np.nan)
    out.frequency[2 : n - 2] = np.where(defined, angle * (sr / (2 * np.pi)), np.nan)
    return out


def desa1(x: ArrayLike, sr: float) -> Demodulation:
    """Separate amplitude and frequency by DESA-1 ([3]); exact for a sinusoid.

    ``y[n] = x[n] - x[n-1]``, ``G = 1 - (psi y[n] + psi y[n+1]) / (4 psi x[n])``, frequency
    ``arccos G``, amplitude ``sqrt(psi x[n] / (1 - G^2))``.

    Parameters
    ----------
    x : (n,) one oscillation, modulated slowly: a band of a signal rather than the whole of it.
    sr : Hz.

    Returns
    -------
    Demodulation, frequencies up to sr / 2. NaN at the two first and two last samples and where
    the Teager energy is not positive.
    """
    signal = _mono(x)
    n = len(signal)
    if n < 5:
        return Demodulation(np.full(n, np.nan), np.full(n, np.nan))
    psi_y = _psi(np.diff(signal))  # of y[n] for n = 2 ... n - 2
    psi_x = _positive(_psi(signal)[1:-1])
    cosine = np.clip(1 - (psi_y[:-1] + psi_y[1:]) / (4 * psi_x), -1.0, 1.0)
    amplitude = np.sqrt(psi_x / _positive(1 - cosine**2))
    return _aligned(n, amplitude, np.arccos(cosine), sr)


def desa2(x: ArrayLike, sr: float) -> Demodulation:
    """Separate amplitude and frequency by DESA-2 ([3]); exact for a sinusoid.

    ``z[n] = x[n+1] - x[n-1]``, frequency ``arccos(1 - psi z / (2 psi x)) / 2``, amplitude
    ``2 psi x / sqrt(psi z)``. Simpler than DESA-1, but only for frequencies below sr / 4.

    Parameters, returned values and NaN are those of `desa1`.
    """
    signal = _mono(x)
    n = len(signal)
    if n < 5:
        return Demodulation(np.full(n, np.nan), np.full(n, np.nan))
    psi_z = _positive(_psi(signal[2:] - signal[:-2]))
    psi_x = _positive(_psi(signal)[1:-1])
    angle = 0.5 * np.arccos(np.clip(1 - psi_z / (2 * psi_x), -1.0, 1.0))
    return _aligned(n, 2 * psi_x / np.sqrt(psi_z), angle, sr)


# ---------------------------------------------------------------------------------------- teo_db
def _teo_db(st: ShortTime, *, length: float = 0.025) -> Floats:
    size = round(length * st.sr)
    if size < 1:
        raise FeatureError(
            f"a window of {length} s is shorter than one sample at {st.sr} Hz", code="bad-length"
        )
    psi = np.zeros(len(st.x))
    if len(psi) > 2:
        psi[1:-1] = _psi(st.centred)
    mean = st.frames(size, signal=psi).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum(mean, 10 ** (FLOOR_DB / 10))))


def teo_db(x: ArrayLike, sr: int, *, hop: float = 0.010, length: float = 0.025) -> Floats:
    """Level of the mean Teager energy of every frame, ``10 log10 mean psi``.

    The mean of psi over a frame is an energy that weighs a component of W rad per sample by
    ``sin^2 W``: high for bright, tense voices. It depends on the sample rate, as psi does.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1]; its mean is removed.
    sr : Hz.
    hop, length : s between frames, and of a frame.

    Returns
    -------
    (n_frames,) dB re full scale squared; -100 (the floor) in silence and where the mean is not
    positive. A sine of amplitude A and frequency f gives ``20 log10(A sin(2 pi f / sr))``.

    Raises
    ------
    FeatureError : a window shorter than one sample.
    """
    return _teo_db(ShortTime(x, sr, hop), length=length)


# ------------------------------------------------------------------------------ TEO-CB-Auto-Env
def _gabor(spectrum: _Spectrum, spacing: float, low: float, high: float) -> _Spectrum:
    """Weigh a spectrum, with bins every `spacing` Hz, by the Gabor filter of a band (centre: 1).

    ``g(t) = exp(-(a t)^2) cos(2 pi f t)`` with ``a = sqrt(2 pi) (high - low)`` [1]: a Gaussian
    whose equivalent rectangular width is the width of the band.
    """
    a, centre = np.sqrt(2 * np.pi) * (high - low), (low + high) / 2
    # Two widths away from the centre the filter is below 1e-17 (of 1): nothing.
    reach = 2 * a
    first = max(0, int((centre - reach) / spacing))
    last = min(len(spectrum), int((centre + reach) / spacing) + 1)
    f = np.arange(first, last) * spacing
    gain = np.exp(-((np.pi * (f - centre) / a) ** 2)) + np.exp(-((np.pi * (f + centre) / a) ** 2))
    out = np.zeros_like(spectrum)
    out[first:last] = spectrum[first:last] * gain
    out /= 1 + np.exp(-((2 * np.pi * centre / a) ** 2))
    return out


def _regularity(frames: Floats, least: float) -> Floats:
    """(n,) area under |R(k)| / R(0), k = 0 ... M - 1, over M / 2; NaN where R(0) <= `least`."""
    length = frames.shape[1]
    points = scipy.fft.next_fast_len(2 * length - 1, real=True)
    points += points % 2
    padded = np.zeros((len(frames), points))  # three times quicker than to let rfft pad
    padded[:, :length] = frames
    spectrum = scipy.fft.rfft(padded, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    # The power spectrum is real and even: a DCT-I is its inverse transform, at half the price.
    lags = np.abs(scipy.fft.dct(power, type=1, axis=1)[:, :length])
    area = np.full(len(frames), np.nan)
    np.divide(lags.sum(1), lags[:, 0] * (length / 2), out=area, where=lags[:, 0] > least * points)
    return area


def _teo_cb(
    st: ShortTime, *, length: float = 0.025, floor: float = 75.0, ceiling: float = 600.0
) -> Floats:
    voiced: Bools = pitch(st, floor=floor, ceiling=ceiling).voiced
    return _bands(st, np.asarray(voiced, dtype=np.bool_), length)


def _bands(st: ShortTime, voiced: Bools, length: float) -> Floats:
    """(n_frames, 16) the feature on the `voiced` frames, NaN elsewhere."""
    out = np.full((st.n_frames, N_BANDS), np.nan)
    at = np.flatnonzero(voiced)
    size = round(length * RATE)
    if not len(at) or len(st.x) < 3:
        return out
    # One transform forward, one back per band; the band filters also bring the rate to 8 kHz.
    common = math.gcd(st.sr, RATE)
    up, down = RATE // common, st.sr // common
    n = -(-len(st.x) * up // down)
    block = scipy.fft.next_fast_len(-(-(n + GUARD) // up), real=True)
    block += block % 2  # so that up and down leave even lengths
    spectrum = scipy.fft.rfft(st.centred, block * down)[: block * up // 2 + 1] * (up / down)
    spacing = st.sr / (block * down)
    begin = np.rint(at * (st.hop * RATE / st.sr)).astype(np.int64) + size - size // 2
    loudness = np.mean(st.centred**2)
    for band, (low, high) in enumerate(pairwise(BAND_EDGES)):
        if high > st.sr / 2:
            break  # the recording has nothing there: NaN
        y = scipy.fft.irfft(_gabor(spectrum, spacing, low, high), block * up)[:n]
        psi = np.pad(_psi(y), (size + 1, size + 1))
        frames = np.lib.stride_tricks.sliding_window_view(psi, size)
        # psi of a tone with a power of EMPTY_DB re the clip, in the middle of the band
        empty = 2 * loudness * 10 ** (EMPTY_DB / 10) * np.sin(np.pi * (low + high) / RATE) ** 2
        for first in range(0, len(at), BLOCK):
            rows = slice(first, first + BLOCK)
            out[at[rows], band] = _regularity(frames[begin[rows]], size * empty**2)
    return out


def teo_cb_auto_env(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    voiced: ArrayLike | None = None,
) -> Floats:
    """Compute TEO-CB-Auto-Env: how regular the Teager energy is in 16 critical bands ([1]).

    The clip is filtered by Gabor filters at 8 kHz; psi of each band is cut into frames, and the
    area under the envelope of its normalised autocorrelation is divided by half the frame length.
    The envelope is taken as ``|R(k)|``: the modulus of the analytic signal, the other reading of
    the paper, would give 1.18 for a pure tone instead of 1. Departure: the toolkit's hop of 10 ms
    (the paper moves its 25 ms frames by 12.5 ms).

    Parameters
    ----------
    x : (n,) mono signal; its mean is removed. Gain does not matter.
    sr : Hz.
    hop, length : s between frames, and of a frame.
    voiced : (n_frames,) frames to analyse; default those that `serfeat.pitch.pitch` finds voiced.

    Returns
    -------
    (n_frames, 16) pure numbers, 1 + 1/M for a steady tone of M samples, smaller for an irregular
    one. NaN in unvoiced frames, in bands above sr / 2, and where a band is empty (130 dB
        below the clip: nothing but rounding).

    Raises
    ------
    FeatureError : a `voiced` of another length than the grid.
    """
    st = ShortTime(x, sr, hop)
    if voiced is None:
        return _teo_cb(st, length=length)
    chosen = np.asarray(voiced, dtype=np.bool_)
    if chosen.shape != (st.n_frames,):
        raise FeatureError(
            f"voiced has shape {chosen.shape}, expected ({st.n_frames},)", code="bad-shape"
        )
    return _bands(st, chosen, length)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="teo",
        columns=("teo_db",),
        unit="dB",
        summary="level of the mean Teager energy re full scale squared; floor -100 dB",
        source="Kaiser 1990",
        compute=_teo_db,
        params={"length": 0.025},
    ),
    Descriptor(
        name="teo_cb",
        columns=tuple(f"teo_cb_{band}" for band in range(1, N_BANDS + 1)),
        unit="1",
        summary="TEO-CB-Auto-Env: regularity of the Teager energy in 16 critical bands",
        source="Zhou, Hansen & Kaiser 2001",
        compute=_teo_cb,
        undefined="in unvoiced frames; in bands that are empty or above half the sample rate",
        params={"length": 0.025, "floor": 75.0, "ceiling": 600.0},
    ),
)
