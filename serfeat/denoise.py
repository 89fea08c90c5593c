"""Noise suppression that keeps time: short-time gains that minimise the error of the spectrum.

Conventions
-----------
Signals in and out have the same length and are aligned to the sample. Frames of 32 ms, hop half of
it, the square root of a periodic Hann window before and after: the squares of the windows add up to
1, so that a gain of 1 returns the input. The ends are reflected, so that the first frame is as loud
as the others. The gain of the recording does not matter, and digital silence stays digital silence.
What is stationary counts as noise: a clip of one held tone is silent afterwards.

Method
------
The power of the noise is tracked bin by bin (`serfeat.signal.noise`), the prior SNR of speech is
decision-directed, and the spectrum is multiplied by the gain that minimises the expected squared
error of the amplitude ("stsa", [1]) or of its logarithm ("log_mmse", [2]; quieter noise, and a
little more of the speech lost), or by the Wiener gain. Formulas: `serfeat.signal.gains`.

Contents
--------
`denoise` : a signal without its noise.
`Preparation`, `PREPARATIONS` : steps that change samples but never time.
`GAINS`, `stsa_gain`, `log_mmse_gain`, `wiener_gain` : from `serfeat.signal.gains`.

Sources
-------
[1] Y. Ephraim, D. Malah, "Speech enhancement using a minimum mean-square error short-time spectral
    amplitude estimator", IEEE Trans. ASSP 32(6), 1984.
[2] Y. Ephraim, D. Malah, "Speech enhancement using a minimum mean-square error log-spectral
    amplitude estimator", IEEE Trans. ASSP 33(2), 1985.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import AudioError, FeatureError, did_you_mean
from serfeat.shorttime import BLOCK, window
from serfeat.signal.gains import (
    GAINS,
    LOWEST_SNR,
    MEMORY_S,
    log_mmse_gain,
    stsa_gain,
    suppress,
    wiener_gain,
)
from serfeat.signal.noise import FASTEST, LOOK_S, QUIETEST, Tracker, first_noise, track
from serfeat.types import Floats
from serfeat.vad import Rule, madd

__all__ = [
    "GAINS",
    "PREPARATIONS",
    "Preparation",
    "denoise",
    "log_mmse_gain",
    "stsa_gain",
    "wiener_gain",
]

INITIAL_S = 0.120  # s, taken as noise by noise="initial"


# --------------------------------------------------------------------------------------- denoising
def denoise(
    x: ArrayLike,
    sr: int,
    *,
    gain: Literal["stsa", "log_mmse", "wiener"] = "stsa",
    noise: Literal["mmse", "initial"] = "mmse",
    length: float = 0.032,
    memory: float = MEMORY_S,
    lowest_snr: float = LOWEST_SNR,
    fastest: float = FASTEST,
) -> Floats:
    """Suppress stationary noise in a recording.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    gain : which of `GAINS`.
    noise : ``"mmse"`` follows the noise (`serfeat.signal.noise`); ``"initial"`` takes the first 120
        ms.
    length : s, the window.
    memory : s, time constant of the prior SNR: longer gives less musical noise and softer onsets.
    lowest_snr : dB, the floor of the prior SNR, and so about the most that noise is attenuated.
    fastest : dB/s, the steepest rise of the noise.

    Returns
    -------
    (n,) the signal without its noise, aligned with `x`.

    Raises
    ------
    AudioError : not one channel, no samples, or samples that are not finite.
    UnknownNameError : an unknown `gain` or `noise`.
    FeatureError : a window shorter than two samples.
    """
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1 or not len(signal) or not np.isfinite(signal).all():
        raise AudioError(
            f"a signal of shape {signal.shape}, expected (n_samples,) with finite samples",
            code="bad-signal",
        )
    if gain not in GAINS:
        raise did_you_mean("gain", gain, GAINS)
    if noise not in ("mmse", "initial"):
        raise did_you_mean("noise estimate", noise, ("mmse", "initial"))
    hop = round(length * sr / 2)
    if hop < 1:
        raise FeatureError(
            f"a window of {length} s is shorter than two samples at {sr} Hz", code="bad-length"
        )
    peak = np.abs(signal).max()
    if not peak:
        return np.zeros(len(signal))
    settings = _Settings(hop / sr, gain, noise, memory, lowest_snr, fastest)
    return np.asarray(_overlap_add(signal / peak, hop, settings) * peak)


@dataclass(frozen=True)
class _Settings:
    """What `denoise` was asked for."""

    hop_s: float
    gain: str
    noise: str
    memory: float
    lowest_snr: float
    fastest: float


def _overlap_add(x: Floats, hop: int, settings: _Settings) -> Floats:
    """Analyse, suppress and add up again, block by block: an hour needs no more than a minute."""
    count = -(-len(x) // hop) + 1  # frame k is centred on sample k * hop
    padded = np.pad(x, (hop, count * hop - len(x)), mode="reflect")
    weights = np.sqrt(window("hann_periodic", 2 * hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop)[::hop]
    lowest = QUIETEST * float((weights**2).sum())
    ratio = np.zeros(hop + 1)  # G^2 gamma of the frame before: as if after silence
    out = np.zeros(len(padded))
    # More than a block: a recording may begin with a second of speech, and have its noise after it.
    beginning = scipy.fft.rfft(frames[: math.ceil(LOOK_S / settings.hop_s)] * weights, axis=1)
    tracker = _first_noise(beginning.real**2 + beginning.imag**2, lowest, settings)
    for first in range(0, count, BLOCK):
        spectrum = scipy.fft.rfft(frames[first : first + BLOCK] * weights, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        if settings.noise == "initial":
            levels = np.broadcast_to(tracker.level, power.shape)
        else:
            levels, tracker = track(power, settings.hop_s, tracker, lowest, settings.fastest)
        gains, ratio = suppress(
            power / levels,
            ratio,
            settings.hop_s,
            gain=settings.gain,
            memory=settings.memory,
            lowest_snr=settings.lowest_snr,
        )
        spectrum *= gains
        clean = scipy.fft.irfft(spectrum, n=2 * hop, axis=1)
        clean *= weights
        here = out[first * hop : (first + len(clean) + 1) * hop].reshape(-1, hop)
        here[:-1] += clean[:, :hop]
        here[1:] += clean[:, hop:]
    return np.asarray(out[hop : hop + len(x)])


def _first_noise(power: Floats, lowest: float, settings: _Settings) -> Tracker:
    """What the tracker begins with; with noise="initial", what it stays with."""
    if settings.noise == "mmse":
        return first_noise(power, settings.hop_s, lowest, settings.fastest)
    sounding = power[power.max(axis=1) > 0][: max(1, round(INITIAL_S / settings.hop_s))]
    level = sounding.mean(axis=0) if len(sounding) else np.full(power.shape[1], lowest)
    return Tracker(np.maximum(level, lowest), np.full(power.shape[1], 0.5))


# ------------------------------------------------------------------------------------ preparations
@dataclass(frozen=True)
class Preparation:
    """A step before the analysis that changes samples and never their number.

    Parameters
    ----------
    name : the word that feature sets use.
    summary : one line: what it does.
    source : paper and equation.
    apply : ``apply(x, sr) -> x``, (n,) to (n,); can be sent to another process.
    version : goes up whenever a sample of its output changes; part of the cache key.
    """

    name: str
    summary: str
    source: str
    apply: Callable[[Floats, int], Floats]
    version: int = 1

    @property
    def record(self) -> dict[str, Any]:
        """Name, version and every setting, as the provenance of a table tells them."""
        settings = inspect.signature(self.apply).parameters.values()
        given = {p.name: p.default for p in settings if p.default is not p.empty}
        return {"name": self.name, "version": self.version, **given}


def _muted(
    x: Floats, sr: int, *, length: float = 0.025, factor: float = 2.0, rule: Rule = "quantile"
) -> Floats:
    return madd(x, sr, length=length, factor=factor, rule=rule).x


PREPARATIONS: dict[str, Preparation] = {
    p.name: p
    for p in (
        Preparation(
            name="mmse",
            summary="noise suppressed, MMSE of the spectral amplitude",
            source="Ephraim & Malah 1984; noise: Gerkmann & Hendriks 2012",
            apply=partial(denoise, gain="stsa"),
            version=2,
        ),
        Preparation(
            name="log_mmse",
            summary="noise suppressed, MMSE of the log spectral amplitude",
            source="Ephraim & Malah 1985; noise: Gerkmann & Hendriks 2012",
            apply=partial(denoise, gain="log_mmse"),
            version=2,
        ),
        Preparation(
            name="madd",
            summary="silence set to zero by maximum amplitude difference detection",
            source="Li & Zhang 2025, eq. 1-2; the rule for the threshold is ours",
            apply=_muted,
            version=2,
        ),
    )
}
