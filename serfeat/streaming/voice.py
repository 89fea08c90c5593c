"""How loud the voice is and where its F0 goes, of a stream whose end nobody knows.

A frame is unvoiced where it is quiet against the peak of its recording. A stream takes the peak of
the last ten seconds: a voice that was never louder is heard as it is in a file, and a knock on the
microphone is forgotten.

Contents
--------
`Level`     : the peak that each frame knows.
`PitchPath` : F0, decided with a lag.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import PERIODS, USUAL, Pitch, candidates
from serfeat.streaming.reach import PITCH, samples_of
from serfeat.streaming.tracker import FixedLag
from serfeat.types import Floats

__all__ = ["Level", "PitchPath"]

MEMORY = 10.0  # s
LOWEST = 0.01  # a peak of -40 dB re full scale: nothing quieter counts as the loud part of speech


class Level:
    """The largest sample of the last ten seconds, hop by hop.

    Parameters
    ----------
    sr : Hz.
    hop : samples.
    ahead : hops behind the centre of a frame that it knows.
    """

    def __init__(self, sr: int, hop: int, ahead: int) -> None:
        self._hop, self._ahead = hop, ahead
        self._kept = round(MEMORY * sr / hop)
        self._rest = np.zeros(0)
        self._hops = 0
        self._falling: deque[tuple[int, float]] = (
            deque()
        )  # the maxima that may still be the largest
        self._peaks: list[float] = []  # after each hop
        self._first = 0  # hop of the first one that is kept

    def push(self, x: Floats, *, last: bool = False) -> None:
        """Take samples of any number, without their offset."""
        x = np.concatenate([self._rest, np.abs(x)])
        n = len(x) // self._hop
        maxima = x[: n * self._hop].reshape(n, self._hop).max(axis=1, initial=0.0).tolist()
        self._rest = x[n * self._hop :]
        if last and len(self._rest):
            maxima.append(float(self._rest.max()))
        for peak in maxima:
            while self._falling and self._falling[-1][1] <= peak:
                self._falling.pop()
            self._falling.append((self._hops, peak))
            while self._falling[0][0] <= self._hops - self._kept:
                self._falling.popleft()
            self._peaks.append(max(LOWEST, self._falling[0][1]))
            self._hops += 1

    def peaks(self, first: int, end: int) -> Floats:
        """(end - first,) what the frames know."""
        if not self._peaks:
            return np.full(end - first, LOWEST)
        at = np.arange(first, end) + self._ahead - 1 - self._first
        return np.array(self._peaks)[np.clip(at, 0, len(self._peaks) - 1)]

    def forget(self, frame: int) -> None:
        """Let go of what only earlier frames ask for."""
        drop = min(frame + self._ahead - 1 - self._first, len(self._peaks) - 1)
        if drop > 0:
            del self._peaks[:drop]
            self._first += drop


class PitchPath:
    """F0 of the stream: candidates of each frame as its samples come, decided with a lag.

    Parameters
    ----------
    sr : Hz.
    hop : samples.
    lag : frames.

    Attributes
    ----------
    before, after : frames and samples around a centre that the candidates need.
    delay : s.
    seen : frames whose candidates are known.
    """

    def __init__(self, sr: int, hop: int, lag: int) -> None:
        floor, ceiling, _, _, octave_cost, octave_jump, voiced_unvoiced = USUAL
        per_step = 0.01 * sr / hop  # the costs are given for frames 10 ms apart
        self._search = FixedLag(
            lag,
            shortest=sr / ceiling,
            octave_cost=octave_cost,
            octave_jump=octave_jump * per_step,
            voiced_unvoiced=voiced_unvoiced * per_step,
        )
        self._sr, self._needed = sr, PERIODS * sr / floor
        self.after = samples_of(PITCH.after, sr)
        self.before = -(-samples_of(PITCH.before, sr) // hop)
        self.delay = self.after / sr + lag * hop / sr
        self.seen = 0
        self._first = 0  # frame of the first decision that is kept
        self._kept: list[tuple[float, float]] = []

    @property
    def decided(self) -> int:
        """Frames whose F0 is known."""
        return self._first + len(self._kept)

    def push(self, st: ShortTime, first: int, end: int) -> None:
        """Take the frames `first` to `end` of a part of the signal."""
        floor, ceiling, silence, voicing, octave_cost, octave_jump, voiced_unvoiced = USUAL
        costs = (silence, voicing, octave_cost, octave_jump, voiced_unvoiced)
        lags, strengths, unvoiced = candidates(st, st.scaled, floor, ceiling, costs)
        for i in range(first, end):
            found = self._search.push(lags[i], strengths[i], float(unvoiced[i]))
            if found is not None:
                self._kept.append(found)
        self.seen += end - first

    def flush(self, total: int) -> None:
        """Decide the rest; `total` samples shorter than three periods have no F0, as in a file."""
        self._kept += self._search.flush()
        if total < self._needed:
            self._kept = [(np.nan, np.nan)] * len(self._kept)

    def contour(self, first: int, n: int) -> Pitch:
        """The contour of n frames, NaN where it is not decided yet."""
        out = np.full((n, 2), np.nan)
        here = self._kept[first - self._first :][:n]
        out[: len(here)] = np.reshape(here, (-1, 2))
        return Pitch(self._sr / out[:, 0], out[:, 1])

    def forget(self, frame: int) -> None:
        """Let decisions before a frame go."""
        if frame > self._first:
            del self._kept[: frame - self._first]
            self._first = frame
