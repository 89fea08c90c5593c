"""Whether somebody is speaking now: the level against the noise of the last seconds.

`serfeat.vad.three_way` measures silence by the quietest and the loudest parts of a recording. A
stream has no end, so this is its first two steps on what is known: a block of 10 ms is speech where
its level is `ABOVE` dB over the noise, the 5 % point of the last `MEMORY` seconds, and over
`LOWEST`. It says whether there is anything to say about emotions, no more: a door is speech to it,
a fan that begins to turn is for `MEMORY` seconds, and a vowel held that long is noise.

Contents
--------
`Activity` : samples in, share of speech in the last second out.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from serfeat.types import Floats

__all__ = ["Activity"]

BLOCK = 0.010  # s
MEMORY = 10.0  # s in which the noise is looked for
RECENT = 1.0  # s that "now" lasts
ABOVE = 9.0  # dB: blocks of steady noise stay within 3 dB of their 5 % point
LOWEST = -60.0  # dB re full scale
DIGITAL_SILENCE = -90.0  # dB: what a microphone sends before it is open is not its noise


class Activity:
    """The level of a stream, in blocks of 10 ms.

    Parameters
    ----------
    sr : Hz.
    """

    def __init__(self, sr: int) -> None:
        self._size = max(1, round(BLOCK * sr))
        self._rest = np.zeros(0)
        self._levels: deque[float] = deque(maxlen=round(MEMORY / BLOCK))

    def push(self, samples: Floats) -> None:
        """Take samples of any number."""
        x = np.concatenate([self._rest, samples])
        n = len(x) // self._size
        blocks = x[: n * self._size].reshape(n, self._size)
        self._rest = x[n * self._size :]
        power = (blocks**2).mean(axis=1)
        self._levels.extend((10 * np.log10(np.maximum(power, 1e-12))).tolist())

    @property
    def level(self) -> float:
        """Level of the last second, dB re full scale; -120 for digital silence and at the start."""
        recent = np.array(self._levels)[-round(RECENT / BLOCK) :]
        return float(10 * np.log10((10 ** (recent / 10)).mean())) if len(recent) else -120.0

    @property
    def share(self) -> float:
        """Share of the last second that is speech; 0 before anything came."""
        levels = np.array(self._levels)
        heard = levels[levels > DIGITAL_SILENCE]
        if not len(heard):
            return 0.0
        threshold = max(float(np.percentile(heard, 5)) + ABOVE, LOWEST)
        return float((levels[-round(RECENT / BLOCK) :] > threshold).mean())
