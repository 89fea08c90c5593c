"""The power of the noise under speech, bin by bin.

Conventions
-----------
`power` is |Y|^2 of successive frames, (frames, bins); lambda, the power of the noise, comes in the
same unit. Frames of digital silence tell nothing about a noise and are passed over.

Method
------
With p the probability that a bin holds speech [1], the noise in it is expected to be
``(1 - p) |Y|^2 + p lambda``, and lambda is the running mean of that. p comes from a fixed prior SNR
of 15 dB, so that it does not need the result. A bin that has held "speech" for 0.7 s may be noise
that grew louder: its p stays below 0.99, and lambda follows slowly.

What is ours:

* The tracker begins with the noise that is found by running it backwards over the first two
  seconds. Trimmed sentences, such as those of EMO-DB, have no pause to begin with.
* Where a bin is stuck, lambda rises by at most `FASTEST` dB a second. In a recording without noise
  it would otherwise leap to 27 dB below the speech in one frame.
* lambda is multiplied by `BIAS`: in white noise [1] ends 1.2 dB too low, because large values look
  like speech.

Contents
--------
`noise_psd` : lambda of all frames.  `Tracker`, `first_noise`, `track` : the same block by block.

Sources
-------
[1] T. Gerkmann, R. C. Hendriks, "Unbiased MMSE-based noise power estimation with low complexity and
    low tracking delay", IEEE Trans. Audio, Speech, Language Processing 20(4), 2012.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.types import Floats

__all__ = ["FASTEST", "LOOK_S", "QUIETEST", "Tracker", "first_noise", "noise_psd", "track"]

# 0.8 and 0.9 at the authors' hop of 16 ms are these time constants.
LEVEL_S = 0.0717  # s, of lambda
PRESENCE_S = 0.152  # s, of the mean probability of speech
PRIOR = 10**1.5  # SNR of speech where there is speech: 15 dB
STUCK = 0.99  # mean probability of speech beyond which a bin is not believed
FASTEST = 30.0  # dB/s
BIAS = 1.32
LOOK_S = 2.0  # s, run backwards to begin with
# Power re the loudest, -100 dB: less than the last bit of 16-bit audio is no noise.
QUIETEST = 1e-10


class Tracker(NamedTuple):
    """What is remembered from frame to frame.

    Attributes
    ----------
    level : (bins,) lambda, without the factor `BIAS`.
    presence : (bins,) running mean of the probability of speech.
    """

    level: Floats
    presence: Floats


def noise_psd(
    power: ArrayLike,
    hop_s: float,
    *,
    initial: ArrayLike | None = None,
    fastest: float = FASTEST,
) -> Floats:
    """Track the power of the noise under speech ([1]).

    Parameters
    ----------
    power : (frames, bins) |Y|^2.
    hop_s : s between frames.
    initial : (bins,) lambda before the first frame, without `BIAS`; default: `first_noise`.
    fastest : dB/s, the steepest rise of lambda; ``inf`` leaves [1] as published.

    Returns
    -------
    (frames, bins) lambda, never below -100 dB re the mean of the loudest frame.

    Raises
    ------
    FeatureError : `power` is not (frames, bins).
    """
    y = np.asarray(power, dtype=np.float64)
    if y.ndim != 2:
        raise FeatureError(
            f"a power spectrum of shape {y.shape}, expected (frames, bins)", code="bad-shape"
        )
    lowest = max(QUIETEST * float(y.mean(axis=1).max(initial=0.0)), np.finfo(float).tiny)
    if initial is None:
        state = first_noise(y, hop_s, lowest, fastest)
    else:
        level = np.maximum(np.asarray(initial, dtype=np.float64), lowest)
        state = Tracker(level, np.full(y.shape[1], 0.5))
    return track(y, hop_s, state, lowest, fastest)[0]


def first_noise(power: Floats, hop_s: float, lowest: float, fastest: float = FASTEST) -> Tracker:
    """Find what the tracker begins with, by running it backwards.

    Parameters
    ----------
    power : (frames, bins) |Y|^2 from the beginning; two seconds of it are used, if there are.
    hop_s : s between frames.
    lowest : where lambda ends.
    fastest : see `noise_psd`.
    """
    power = power[: max(1, round(LOOK_S / hop_s))]
    sounding = power[power.max(axis=1) > 0]
    presence = np.full(power.shape[1], 0.5)
    if not len(sounding):
        return Tracker(np.full(power.shape[1], lowest), presence)
    # Running backwards has to begin as well: with the quieter tenth of the frames.
    total = sounding.sum(axis=1)
    quiet = sounding[total <= np.quantile(total, 0.1)].mean(axis=0)
    last = Tracker(np.maximum(quiet, lowest), presence)
    backwards = np.ascontiguousarray(power[::-1])
    return Tracker(track(backwards, hop_s, last, lowest, fastest)[1].level, presence)


def track(
    power: Floats, hop_s: float, state: Tracker, lowest: float, fastest: float = FASTEST
) -> tuple[Floats, Tracker]:
    """Go through the frames in order.

    Parameters
    ----------
    power : (frames, bins) |Y|^2.
    hop_s : s between frames.
    state : before the first frame.
    lowest : where lambda ends.
    fastest : see `noise_psd`.

    Returns
    -------
    (frames, bins) lambda, and the state after the last frame.
    """
    slow, mean = float(np.exp(-hop_s / LEVEL_S)), float(np.exp(-hop_s / PRESENCE_S))
    most = float(10 ** (min(fastest * hop_s, 1000.0) / 10))
    if not COMPILED:
        return _frame_by_frame(power, state, slow, mean, most, lowest)
    level, presence = state.level.copy(), state.presence.copy()
    levels = _bin_by_bin(power, level, presence, slow, mean, most, lowest)
    return levels, Tracker(level, presence)


def _frame_by_frame(
    power: Floats, state: Tracker, slow: float, mean: float, most: float, lowest: float
) -> tuple[Floats, Tracker]:
    """Update the state with NumPy ([1]): the reference, and what runs where numba is missing.

    Parameters
    ----------
    power : (frames, bins) |Y|^2; an empty frame changes nothing.
    state : before the first frame.
    slow, mean : what of the level and of the presence remains after a frame, of 1.
    most : the largest factor from frame to frame where a bin is stuck.
    lowest : where the level ends.
    """
    level, presence = state
    levels = np.empty_like(power)
    for i, y in enumerate(power):
        if y.any():
            p = 1 / (1 + (1 + PRIOR) * np.exp(y / level * (-PRIOR / (1 + PRIOR))))
            presence = mean * presence + (1 - mean) * p
            stuck = presence > STUCK
            p = np.where(stuck, np.minimum(p, STUCK), p)
            new = slow * level + (1 - slow) * ((1 - p) * y + p * level)
            level = np.maximum(np.where(stuck, np.minimum(new, most * level), new), lowest)
        levels[i] = level
    return BIAS * levels, Tracker(level, presence)


@jit
def _bin_by_bin(
    power: Floats,
    level: Floats,
    presence: Floats,
    slow: float,
    mean: float,
    most: float,
    lowest: float,
) -> Floats:
    """Do the same, ten times faster; `level` and `presence` are changed in place."""
    levels = np.empty_like(power)
    for i in range(power.shape[0]):
        sounding = False
        for k in range(power.shape[1]):
            sounding = sounding or power[i, k] > 0
        for k in range(power.shape[1]):
            if sounding:
                y, old = power[i, k], level[k]
                p = 1 / (1 + (1 + PRIOR) * math.exp(y / old * (-PRIOR / (1 + PRIOR))))
                presence[k] = mean * presence[k] + (1 - mean) * p
                stuck = presence[k] > STUCK
                if stuck:
                    p = min(p, STUCK)
                new = slow * old + (1 - slow) * ((1 - p) * y + p * old)
                if stuck:
                    new = min(new, most * old)
                level[k] = max(new, lowest)
            levels[i, k] = BIAS * level[k]
    return levels
