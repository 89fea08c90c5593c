"""Gains of a bin: how much of what was heard was speech.

Conventions
-----------
With the noisy spectrum Y, the power of the noise lambda and that of the speech S, ratios of power:

* gamma = |Y|^2 / lambda    is the posterior SNR,
* xi    = E|S|^2 / lambda   is the prior SNR,
* v     = gamma xi / (1 + xi).

A gain multiplies Y. Each of them is the Wiener gain ``xi / (1 + xi)`` times a correction that
depends on v alone and tends to 1 where v is large, so that one table over ln v serves them all (to
2e-5 dB) and the loop over the frames calls no Bessel function.

Contents
--------
`stsa_gain`, `log_mmse_gain`, `wiener_gain` : the formulas; `GAINS` by name.
`suppress`  : the gains of successive frames, with the decision-directed prior SNR.
`prior_snr` : that prior SNR itself.

Sources
-------
[1] Y. Ephraim, D. Malah, "Speech enhancement using a minimum mean-square error short-time spectral
    amplitude estimator", IEEE Trans. ASSP 32(6), 1984.
[2] Y. Ephraim, D. Malah, "Speech enhancement using a minimum mean-square error log-spectral
    amplitude estimator", IEEE Trans. ASSP 33(2), 1985.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.jit import COMPILED, jit
from serfeat.types import Floats

__all__ = [
    "GAINS",
    "MEMORY_S",
    "log_mmse_gain",
    "prior_snr",
    "stsa_gain",
    "suppress",
    "wiener_gain",
]

MEMORY_S = 0.792  # s, of the prior SNR: 0.98 at a hop of 16 ms
LOWEST_SNR = -25.0  # dB, the floor of the prior SNR
GAMMA = (1e-3, 1e3)  # posterior SNR is kept in here
LARGEST_GAIN = 10.0


def stsa_gain(xi: ArrayLike, gamma: ArrayLike) -> Floats:
    """Gain that minimises the squared error of the amplitude: E[A | Y] / |Y| ([1]).

    ``G = sqrt(pi v) / (2 gamma) exp(-v/2) ((1 + v) I0(v/2) + v I1(v/2))``

    Parameters
    ----------
    xi : prior SNR, > 0.
    gamma : posterior SNR, > 0; broadcast against `xi`.

    Returns
    -------
    Gain of the amplitude; above 1 where |Y| is smaller than the prior expects.
    """
    snr, gamma = np.asarray(xi, dtype=np.float64), np.asarray(gamma, dtype=np.float64)
    v = snr / (1 + snr) * gamma
    half = v / 2  # i0e and i1e hold the factor exp(-v / 2)
    bessel = (1 + v) * scipy.special.i0e(half) + v * scipy.special.i1e(half)
    return np.asarray(np.sqrt(np.pi * v) / (2 * gamma) * bessel)


def log_mmse_gain(xi: ArrayLike, gamma: ArrayLike) -> Floats:
    """Gain that minimises the squared error of the log amplitude: exp(E[ln A | Y]) / |Y| ([2]).

    ``G = xi / (1 + xi) exp(E1(v) / 2)``

    Parameters
    ----------
    xi : prior SNR, > 0.
    gamma : posterior SNR, > 0; broadcast against `xi`.

    Returns
    -------
    Gain of the amplitude, never above `stsa_gain`: quiet noise is heard less.
    """
    wiener = wiener_gain(xi, gamma)
    v = np.maximum(wiener * np.asarray(gamma, dtype=np.float64), 1e-10)  # E1(0) is infinite
    return np.asarray(wiener * np.exp(scipy.special.exp1(v) / 2))


def wiener_gain(xi: ArrayLike, gamma: ArrayLike) -> Floats:  # noqa: ARG001
    """Gain of the Wiener filter, ``xi / (1 + xi)``: both others for large v.

    Parameters
    ----------
    xi : prior SNR, > 0.
    gamma : not used; there so that all gains are called alike.

    Returns
    -------
    Gain of the amplitude, below 1.
    """
    snr = np.asarray(xi, dtype=np.float64)
    return np.asarray(snr / (1 + snr))


GAINS: Mapping[str, Callable[[ArrayLike, ArrayLike], Floats]] = {
    "stsa": stsa_gain,
    "log_mmse": log_mmse_gain,
    "wiener": wiener_gain,
}


def suppress(
    posterior: Floats,
    ratio: Floats,
    hop_s: float,
    *,
    gain: str = "stsa",
    memory: float = MEMORY_S,
    lowest_snr: float = LOWEST_SNR,
) -> tuple[Floats, Floats]:
    """Give the gains of successive frames.

    The prior SNR is decision-directed ([1]): what the frame before was found to hold, and a little
    of what this one seems to hold,
    ``xi = a G^2 gamma (of the frame before) + (1 - a) max(gamma - 1, 0)``, a = exp(-hop / memory).

    Parameters
    ----------
    posterior : (frames, bins) gamma; kept within -30 and 30 dB.
    ratio : (bins,) G^2 gamma of the frame before the first; 0 after silence.
    hop_s : s between frames.
    gain : which of `GAINS`.
    memory : s, time constant of the prior SNR.
    lowest_snr : dB, its floor.

    Returns
    -------
    (frames, bins) gains, at most 10, and (bins,) G^2 gamma of the last frame.
    """
    a, lowest = float(np.exp(-hop_s / memory)), float(10 ** (lowest_snr / 10))
    gamma = np.clip(posterior, *GAMMA)
    if not COMPILED:
        return _frame_by_frame(gamma, ratio, a, lowest, gain)
    return _bin_by_bin(gamma, ratio, a, lowest, *_corrections(gain))


def prior_snr(
    posterior: ArrayLike,
    hop_s: float,
    *,
    gain: str = "stsa",
    memory: float = MEMORY_S,
    lowest_snr: float = LOWEST_SNR,
) -> Floats:
    """Estimate the prior SNR of a whole clip; parameters as in `suppress`.

    Returns
    -------
    (frames, bins) xi, a ratio of power.
    """
    gamma = np.clip(np.asarray(posterior, dtype=np.float64), *GAMMA)
    silence = np.zeros(gamma.shape[1])
    gains, _ = suppress(gamma, silence, hop_s, gain=gain, memory=memory, lowest_snr=lowest_snr)
    a = np.exp(-hop_s / memory)
    xi = (1 - a) * np.maximum(gamma - 1, 0)
    xi[1:] += a * gains[:-1] ** 2 * gamma[:-1]
    return np.asarray(np.maximum(xi, 10 ** (lowest_snr / 10)))


def _frame_by_frame(
    posterior: Floats, ratio: Floats, a: float, lowest_snr: float, gain: str
) -> tuple[Floats, Floats]:
    """Do in NumPy what `suppress` says: the reference, and what runs where numba is missing.

    Parameters
    ----------
    posterior : (frames, bins) gamma, within `GAMMA`.
    ratio : (bins,) G^2 gamma of the frame before.
    a : memory of the prior SNR, of 1 per frame.
    lowest_snr : floor of the prior SNR.
    gain : which of `GAINS`.
    """
    gains = np.empty_like(posterior)
    for i, gamma in enumerate(posterior):
        xi = np.maximum(a * ratio + (1 - a) * np.maximum(gamma - 1, 0), lowest_snr)
        gains[i] = np.minimum(GAINS[gain](xi, gamma), LARGEST_GAIN)
        ratio = gains[i] ** 2 * gamma
    return gains, ratio


@jit
def _bin_by_bin(
    posterior: Floats, ratio: Floats, a: float, lowest_snr: float, ln_v: Floats, table: Floats
) -> tuple[Floats, Floats]:
    """Do the same with a table, ten times faster.

    Parameters
    ----------
    posterior, ratio, a, lowest_snr : see `_frame_by_frame`.
    ln_v, table : the correction of the Wiener gain at evenly spaced ln v.
    """
    gains = np.empty_like(posterior)
    ratio = ratio.copy()
    first, per_step, last = ln_v[0], 1 / (ln_v[1] - ln_v[0]), len(ln_v) - 2
    for i in range(posterior.shape[0]):
        for k in range(posterior.shape[1]):
            gamma = posterior[i, k]
            xi = max(a * ratio[k] + (1 - a) * max(gamma - 1, 0.0), lowest_snr)
            wiener = xi / (1 + xi)
            place = max((math.log(wiener * gamma) - first) * per_step, 0.0)
            before = min(int(place), last)
            after = min(place - before, 1.0)
            correction = (1 - after) * table[before] + after * table[before + 1]
            gain = min(wiener * correction, LARGEST_GAIN)
            gains[i, k] = gain
            ratio[k] = gain * gain * gamma
    return gains, ratio


@functools.cache
def _corrections(gain: str) -> tuple[Floats, Floats]:
    """Tabulate gain / Wiener gain over ln v; to 2e-6 in between."""
    v = np.geomspace(1e-7, 1e4, 4096)
    xi = 1.0  # any: the correction depends on v alone
    table = GAINS[gain](xi, v * (1 + xi) / xi) / wiener_gain(xi, v)
    return np.log(v), np.ones(len(v)) * table
