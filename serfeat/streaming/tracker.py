"""F0 of a stream: the Viterbi search of `serfeat.signal.pitch`, decided some frames late.

On a file, which candidate of a frame is the period is decided by the best path through the whole
recording. A stream cannot wait for its end: frame t is decided when frame ``t + lag`` is there, by
the best path up to it. With a lag as long as the recording the decisions are the file's; with a
shorter one they differ where a later frame would have changed the past, which is at onsets and
ends of voicing (how often is measured in tests/streaming/test_stream.py).

Contents
--------
`FixedLag` : candidates in, decisions out.

Sources
-------
G. D. Forney, "The Viterbi algorithm", Proceedings of the IEEE 61 (1973) 268-278: truncation to a
fixed decision depth. Candidates and costs: `serfeat.signal.pitch` (Boersma 1993).
"""

from __future__ import annotations

from collections import deque

import numpy as np

from serfeat.types import Floats, Ints

__all__ = ["FixedLag"]


class FixedLag:
    """The best path through candidates that come frame by frame.

    Parameters
    ----------
    lag : frames that a decision waits for; 0 decides at once.
    shortest : lag of the ceiling in samples, at which the octave cost is 0.
    octave_cost : per octave.
    octave_jump, voiced_unvoiced : costs per frame, as `serfeat.signal.pitch.best_path` takes them.
    """

    def __init__(
        self,
        lag: int,
        *,
        shortest: float,
        octave_cost: float,
        octave_jump: float,
        voiced_unvoiced: float,
    ) -> None:
        self.lag = lag
        self._shortest = shortest
        self._costs = (octave_cost, octave_jump, voiced_unvoiced)
        self._score: Floats = np.zeros(0)  # of the newest frame's candidates; the first: unvoiced
        self._octaves: Floats = np.zeros(0)
        # Of each undecided frame: where its candidates came from, and what they are.
        self._came: deque[Ints] = deque()
        self._frames: deque[tuple[Floats, Floats]] = deque()

    def push(self, lags: Floats, strengths: Floats, unvoiced: float) -> tuple[float, float] | None:
        """Take the next frame.

        Parameters
        ----------
        lags, strengths : (candidates,) samples, and heights; a lag of 0 is no candidate.
        unvoiced : strength of the unvoiced candidate.

        Returns
        -------
        lag and strength of the frame that is now decided, NaN where it is unvoiced; None while
        `lag` frames have not come.
        """
        octave_cost, _, _ = self._costs
        n = int((lags > 0).argmin()) if not (lags > 0).all() else len(lags)
        lags, strengths = lags[:n], strengths[:n]
        octaves = np.concatenate([[0.0], np.log2(lags / self._shortest)])
        score = np.concatenate([[unvoiced], strengths - octave_cost * octaves[1:]])
        came = np.zeros(len(score), dtype=np.int64)
        if len(self._score):
            reached = self._score - self._jumps(octaves)  # (candidates, those before)
            came = reached.argmax(axis=1)
            score += reached[np.arange(len(score)), came]
        # Only differences decide, and the sum of a day would have no digits left for them.
        self._score = score - score.max() if score.max() > 2.0**20 else score
        self._octaves = octaves
        self._came.append(came)
        self._frames.append((lags, strengths))
        return self._decide() if len(self._frames) > self.lag else None

    def flush(self) -> list[tuple[float, float]]:
        """Decide the frames that are left, by the best path to the last one."""
        return [self._decide() for _ in range(len(self._frames))]

    def _jumps(self, octaves: Floats) -> Floats:
        """(candidates, those before) costs of going from one to the other (eq. 27)."""
        _, octave_jump, voiced_unvoiced = self._costs
        costs = octave_jump * np.abs(octaves[:, None] - self._octaves)
        costs[0], costs[:, 0] = voiced_unvoiced, voiced_unvoiced
        costs[0, 0] = 0.0
        return np.asarray(costs)

    def _decide(self) -> tuple[float, float]:
        """Trace back from the best end to the oldest undecided frame, and let it go."""
        at = int(self._score.argmax())
        for came in list(self._came)[:0:-1]:
            at = int(came[at])
        lags, strengths = self._frames.popleft()
        self._came.popleft()
        return (float(lags[at - 1]), float(strengths[at - 1])) if at else (np.nan, np.nan)
