"""TEO-MFCC: the mel-frequency cepstrum of the Teager energy of a signal.

"TEO-MFCC" is two things in the literature: mel bands of mean |psi| of band-passed signals, and the
ordinary MFCC of the signal ``psi[n] = x[n]^2 - x[n-1] x[n+1]`` [1]. Here it is the second, which is
the common one and costs one transform per frame. The spectrum of psi holds the differences of the
frequencies in the voice (harmonics of F0, the beats of formants) and their sums, weighted towards
high frequencies: the spectrum of the envelope rather than that of the voice.

Conventions
-----------
Those of the toolkit's MFCC ([2]; ``serfeat.lld.mfcc`` with ``preemphasis=0``): Hamming window, 26
mel bands from 20 Hz to 8 kHz, HTK's scaling of c0, lifter 22. psi of 16-bit integers is 32767^2
times larger, and the power of a band is at least 1 there. The bank leaves out 0 Hz, but what the
window leaks of the mean of psi (two bins) is in its lowest bands.

Contents
--------
`teo_mfcc` : the coefficients of a signal.

Sources
-------
[1] J. Kaiser, "On a simple algorithm to calculate the 'energy' of a signal", ICASSP 1990.
[2] S. Davis, P. Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition", IEEE Trans. ASSP 28(4), 1980; The HTK Book (3.4), sections 5.4 and 5.6.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import Descriptor, ShortTime, cut_frames, squared_magnitude, window
from serfeat.signal.bands import SparseBank, band_powers, sparse_bank
from serfeat.spectrum import dct_ortho, mel_filterbank
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "teo_mfcc"]

INT16_POWER = 32767.0**4
BLOCK = 64  # frames analysed at a time: their spectra stay in the cache
MEL_BANDS, MEL_LOW, MEL_HIGH, LIFTER = 26, 20.0, 8000.0, 22


@lru_cache(maxsize=8)
def _tables(sr: int, points: int, n: int) -> tuple[SparseBank, Floats]:
    """Mel bank, and (bands, n) cosines with HTK's scaling and the lifter in them."""
    bank = mel_filterbank(sr, points, MEL_BANDS, f_low=MEL_LOW, f_high=MEL_HIGH, scale="htk")
    cosines = dct_ortho(np.eye(MEL_BANDS), n)
    cosines[:, 0] *= np.sqrt(2.0)
    cosines *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(n) / LIFTER)
    return sparse_bank(bank * INT16_POWER), cosines


def _teo_mfcc(st: ShortTime, *, n: int = 13, length: float = 0.025) -> Floats:
    size = round(length * st.sr)
    if size < 1:
        raise FeatureError(
            f"a window of {length} s is shorter than one sample at {st.sr} Hz", code="bad-length"
        )
    points = max(2, 1 << (size - 1).bit_length())
    bank, cosines = _tables(st.sr, points, n)
    psi, x = np.zeros(len(st.x)), st.centred
    if len(psi) > 2:
        np.multiply(x[1:-1], x[1:-1], out=psi[1:-1])
        psi[1:-1] -= x[:-2] * x[2:]
    starts, weights = np.arange(st.n_frames) * st.hop - size // 2, window("hamming", size)
    out = np.empty((st.n_frames, n))
    frames = np.zeros((min(BLOCK, st.n_frames), points))
    for first in range(0, st.n_frames, BLOCK):
        some = frames[: min(BLOCK, st.n_frames - first)]
        cut_frames(psi, starts[first : first + BLOCK], weights, some)
        power = np.asarray(squared_magnitude(scipy.fft.rfft(some, axis=1)), dtype=np.float64)
        bands = band_powers(power, bank, floor=1.0)
        np.matmul(np.log(bands, out=bands), cosines, out=out[first : first + BLOCK])
    return out


def teo_mfcc(
    x: ArrayLike, sr: int, *, hop: float = 0.010, n: int = 13, length: float = 0.025
) -> Floats:
    """TEO-MFCC: the mel-frequency cepstrum of psi ([1], [2]).

    Conventions of ``serfeat.lld.mfcc(x, sr, preemphasis=0)``: Hamming window, 26 mel bands from
    20 Hz to 8 kHz, HTK's scaling of c0, lifter 22, and a floor of 1 on the 16-bit scale.

    Parameters
    ----------
    x : (n_samples,) mono signal in [-1, 1]; its mean is removed.
    sr : Hz.
    hop, length : s between frames, and of a frame.
    n : coefficients 0 ... n - 1; at most 26.

    Returns
    -------
    (n_frames, n) finite pure numbers; c0 is the level, the others do not change with gain while no
    band is at the floor. ``[0, 0, ...]`` in digital silence.

    Raises
    ------
    FeatureError : a window shorter than one sample; more coefficients than bands.
    """
    return _teo_mfcc(ShortTime(x, sr, hop), n=n, length=length)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="teo_mfcc",
        columns=tuple(f"teo_mfcc_{k}" for k in range(13)),
        unit="1",
        summary="mel-frequency cepstrum of the Teager energy signal; teo_mfcc_0 is the level, "
        "conventions of mfcc",
        source="Kaiser 1990; Davis & Mermelstein 1980",
        compute=_teo_mfcc,
        params={"n": 13, "length": 0.025},
        oracle="mfcc of the Teager energy, and its definition in plain NumPy: 1e-9; a gain g is 4 "
        "ln g in the level alone: 1e-8",
    ),
)
