"""The vocal tract: a cascade of moving resonators for voice and breath, moving bands for friction.

Conventions
-----------
Controls come once a millisecond and hold for it; `sr` is a whole number of kHz. Voice and noise go
through the same filter side by side, so that their energies, and with them the true HNR, are known.

Sources
-------
Klatt (1980), J. Acoust. Soc. Am. 67, 971: resonators (eq. 1-2), anti-resonators (eq. 3-4).
"""

from __future__ import annotations

import numpy as np

from serfeat.jit import jit
from serfeat.types import Floats

__all__ = ["cascade", "hiss"]

NASAL_BANDWIDTH_HZ = 100.0


@jit
def _cascade(
    voice: Floats,
    noise: Floats,
    formants: Floats,
    bandwidths: Floats,
    zero: Floats,
    pole: float,
    block: int,
    sr: int,
) -> None:
    n_formants = formants.shape[1]
    state = np.zeros((n_formants + 2, 2, 2))
    for m in range(formants.shape[0]):
        lo, hi = m * block, min((m + 1) * block, voice.size)
        for k in range(n_formants + 2):
            hz, bandwidth = (
                pole,
                NASAL_BANDWIDTH_HZ,
            )  # the nasal pair: a pole, then a zero that may cancel it
            if k < n_formants:
                hz, bandwidth = formants[m, k], bandwidths[m, k]
            elif k == n_formants + 1:
                hz = zero[m]
            c = -np.exp(-2.0 * np.pi * bandwidth / sr)
            b = 2.0 * np.exp(-np.pi * bandwidth / sr) * np.cos(2.0 * np.pi * hz / sr)
            a = 1.0 - b - c
            for channel in range(2):
                x = voice if channel == 0 else noise
                y1, y2 = state[k, channel, 0], state[k, channel, 1]
                if k <= n_formants:
                    for i in range(lo, hi):
                        y = a * x[i] + b * y1 + c * y2
                        y2, y1 = y1, y
                        x[i] = y
                else:
                    for i in range(lo, hi):
                        y = x[i]
                        x[i] = (y - b * y1 - c * y2) / a
                        y2, y1 = y1, y
                state[k, channel, 0], state[k, channel, 1] = y1, y2


def cascade(
    voice: Floats,
    noise: Floats,
    *,
    formants: Floats,
    bandwidths: Floats,
    zero: Floats,
    pole: float,
    sr: int,
) -> tuple[Floats, Floats]:
    """Filter voice and noise with the same moving vocal tract.

    Parameters
    ----------
    voice, noise : (n,) sources, n = m * sr / 1000.
    formants, bandwidths : (m, k) Hz; each resonator has gain 1 at 0 Hz (Klatt 1980, eq. 1-2).
    zero : (m,) Hz of the nasal anti-resonator (eq. 3-4); `pole` Hz of the nasal resonator, which
        it cancels where both are equal.

    Returns
    -------
    voice, noise : (n,) filtered.
    """
    voice, noise = voice.copy(), noise.copy()
    _cascade(voice, noise, formants, bandwidths, zero, pole, sr // 1000, sr)
    return voice, noise


@jit
def _hiss(
    noise: Floats, hz: Floats, bandwidth: Floats, gain: Floats, block: int, sr: int
) -> Floats:
    out = np.zeros(noise.size)
    for k in range(hz.shape[1]):
        y1, y2, level = 0.0, 0.0, 0.0
        for m in range(hz.shape[0]):
            if gain[m, k] <= 0.0 and level <= 0.0:
                y1, y2 = 0.0, 0.0
                continue
            c = -np.exp(-2.0 * np.pi * bandwidth[m, k] / sr)
            b = 2.0 * np.exp(-np.pi * bandwidth[m, k] / sr) * np.cos(2.0 * np.pi * hz[m, k] / sr)
            # variance of this AR(2) for unit white noise: divide by it, so that gain is an RMS
            a = np.sqrt((1.0 + c) * ((1.0 - c) ** 2 - b * b) / (1.0 - c))
            rise = (gain[m, k] - level) / block
            for i in range(m * block, min((m + 1) * block, noise.size)):
                y = a * noise[i] + b * y1 + c * y2
                y2, y1 = y1, y
                level += rise
                out[i] += level * y
            level = gain[m, k]
    return out


def hiss(noise: Floats, *, hz: Floats, bandwidth: Floats, gain: Floats, sr: int) -> Floats:
    """Make friction: white `noise` (n,) of variance 1 through parallel moving bands.

    Parameters
    ----------
    hz, bandwidth, gain : (m, k), one row a millisecond; `gain` is the RMS of its band.
    """
    return _hiss(noise, hz, bandwidth, gain, sr // 1000, sr)
