"""Descriptors of a stream: chunks of samples in, the frames that are ready out.

A frame is computed when the last sample that it looks at has come, from exactly the samples that it
has in the file; so it has the file's numbers, whatever the chunks. Kept are the samples that the
next frame looks back on, and nothing else: an hour costs the memory of a second.

Where stream and file part
--------------------------
* A file's offset (its mean) is known only at its end. A stream is told it, or takes 0.
* A file's peak, with which voicing and the critical bands of the TEO compare a frame (below 3 % of
  it is silence), is known only at its end. A stream is told it, or takes the largest sample of the
  last ten seconds (`serfeat.streaming.voice`). Told the file's offset and peak, and given the lag,
  its frames are the file's.
* F0 is decided `lag` seconds late instead of at the end (`serfeat.streaming.tracker`).
* Resampling is done piece by piece by the same filter, in the same precision: up to rounding the
  samples are the file's (`soxr.ResampleStream`).
* `serfeat.audio.load_audio` repairs a file (offset, overload, channels that cancel); a stream is
  taken as it comes.

Contents
--------
`Frames`     : rows and their times.     `Stream`    : the analysis.
`as_samples` : a chunk, checked.         `resampler` : for chunks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.audio.containers import SAMPLE_RATES
from serfeat.errors import AudioError, FeatureError
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import tell_pitch
from serfeat.streaming.contours import Contours
from serfeat.streaming.reach import LAG, reach_of, samples_of
from serfeat.streaming.voice import Level, PitchPath
from serfeat.types import Floats

__all__ = ["Frames", "Stream", "as_samples", "resampler"]

PIECE = 1 << 17  # samples that are analysed at a time
Part = tuple[ShortTime, int]


class Frames(NamedTuple):
    """Rows that became ready.

    Attributes
    ----------
    values : (n, columns) NaN where undefined.
    times : (n,) s since the stream began: the centres of the frames.
    """

    values: Floats
    times: Floats


def as_samples(samples: ArrayLike) -> Floats:
    """Check a chunk: (n,) float64 in [-1, 1]; 16-bit integers are divided by 32768.

    Raises
    ------
    AudioError : not one channel, another type, or samples that are not finite.
    """
    x = np.asarray(samples)
    known = x.dtype == np.int16 or x.dtype.kind == "f" or not len(x)
    if x.ndim != 1 or not known:
        raise AudioError(
            f"a chunk of shape {x.shape} and type {x.dtype}, expected (n,) floats or int16",
            where="stream",
            code="bad-type" if x.ndim == 1 else "not-mono",
        )
    y = x.astype(np.float64) / (32768.0 if x.dtype == np.int16 else 1.0)
    if not np.isfinite(y).all():
        raise AudioError(
            f"{int((~np.isfinite(y)).sum())} samples of a chunk are NaN or infinite",
            where="stream",
            code="non-finite",
        )
    return y


class Stream:
    """Frame-level descriptors of samples that come in chunks.

    Parameters
    ----------
    features : a feature set or its name; its frame-level descriptors, smoothing and deltas.
    sr : Hz of the samples that are pushed; they are resampled to the set's rate.
    mean, peak : of the signal, as far as they are known: see above.
    lag : s that the path of F0 is decided late; ignored by sets without F0.

    Attributes
    ----------
    columns, units : of the rows.
    hop : s between frames.
    delay : s from the centre of a frame to the last sample that it needs, without the resampler's.

    Raises
    ------
    FeatureError : a descriptor that needs the whole recording, or a set with a preparation, an
        encoder or openSMILE in it.
    """

    def __init__(
        self,
        features: FeatureSet | str,
        sr: int,
        *,
        mean: float = 0.0,
        peak: float | None = None,
        lag: float = LAG,
    ) -> None:
        self.features = feature_set(features) if isinstance(features, str) else features
        _check(self.features)
        if not (SAMPLE_RATES[0] <= sr <= SAMPLE_RATES[1]):
            raise AudioError(
                f"{sr} Hz, expected {SAMPLE_RATES[0]} to {SAMPLE_RATES[1]} Hz",
                where="stream",
                code="bad-rate",
            )
        if not (np.isfinite(mean) and (peak is None or 0 < peak < np.inf) and lag >= 0):
            raise FeatureError(
                f"mean {mean}, peak {peak} and lag {lag}; expected numbers, a positive peak and a "
                "lag that is not negative",
                where="stream",
                code="bad-parameter",
            )
        rate = self.features.sr
        self._hop = round(self.features.hop * rate)
        self.hop = self._hop / rate
        self._described = self.features.frame_descriptors
        reach = reach_of(d.name for d in self._described)
        self._pitch = PitchPath(rate, self._hop, round(lag / self.hop)) if reach.pitch else None
        before, after = samples_of(reach.before, rate), samples_of(reach.after, rate)
        self._before, self._after = -(-before // self._hop) + reach.frames, after
        self._mean, self._peak = mean, 1.0 if peak is None else peak
        self._level = None
        if peak is None and self._pitch is not None:  # without F0 nothing asks for the peak
            self._level = Level(rate, self._hop, self._pitch.after // self._hop)
        self._resampler = resampler(sr, rate)
        self._x = np.zeros(0)
        self._first = 0  # frame on whose centre the kept samples begin
        self._total = 0  # samples that have come, at the set's rate
        self._next = 0  # frame that is computed next
        self._contours = Contours(self.features.smooth, self.features.deltas)
        self._done = False
        self.columns = self.features.columns("lld")
        self.units = self.features.units("lld")
        waits = after / rate
        if self._pitch is not None:
            waits = max(waits, self._pitch.delay)
        self.delay = waits + self._contours.reach * self.hop

    def push(self, samples: ArrayLike) -> Frames:
        """Take a chunk of any length and return the frames that it completes.

        Parameters
        ----------
        samples : (n,) float in [-1, 1], or int16.

        Raises
        ------
        AudioError : see `as_samples`; nothing of the chunk is taken then.
        FeatureError : after `flush`.
        """
        if self._done:
            raise FeatureError(
                "the stream has ended", where="stream", code="ended", fix="begin another one"
            )
        chunk = as_samples(samples)
        # A recording in one chunk costs the memory of a piece of it, not of all its frames.
        parts = [
            self._take(c, last=False) for c in np.split(chunk, range(PIECE, len(chunk), PIECE))
        ]
        if len(parts) == 1:
            return parts[0]
        return Frames(*(np.concatenate(field) for field in zip(*parts, strict=True)))

    def flush(self) -> Frames:
        """End the stream and return the frames that waited for more: a file's last ones."""
        if self._done:
            return self._framed(np.zeros((0, len(self.columns))))
        self._done = True
        return self._take(np.zeros(0), last=True)

    def _take(self, chunk: Floats, *, last: bool) -> Frames:
        if self._resampler is not None:
            chunk = np.asarray(self._resampler.resample_chunk(chunk, last=last))
        self._x = np.concatenate([self._x, chunk])
        self._total += len(chunk)
        if self._level is not None:
            self._level.push(chunk - self._mean, last=last)
        raw = self._raw(last) if self._total else self._empty()
        return self._framed(self._contours.push(raw, last=last))

    def _framed(self, values: Floats) -> Frames:
        first = self._contours.given - len(values)
        times = (first + np.arange(len(values))) * self.hop
        return Frames(values, np.asarray(times, dtype=np.float64))

    def _empty(self) -> Floats:
        return np.zeros((0, sum(len(d.columns) for d in self._described)))

    def _ready(self, after: int, last: bool) -> int:
        """Frames whose samples have come: those up to ``centre + after``."""
        if last:
            return 1 + self._total // self._hop
        return max(0, 1 + (self._total - after) // self._hop)

    def _runs(self, first: int, end: int) -> Iterator[tuple[int, int, float]]:
        """Cut frames into runs that know the same peak."""
        if self._level is None:
            yield first, end, self._peak
            return
        peaks = self._level.peaks(first, end)
        cuts = [0, *(np.flatnonzero(np.diff(peaks)) + 1).tolist(), end - first]
        for a, b in pairwise(cuts):
            yield first + a, first + b, float(peaks[a])

    def _part(self, first: int, end: int, margin: int, after: int, peak: float) -> Part:
        """The signal that some frames look at, and the frame that it begins with."""
        begin = max(first - margin, 0)
        x = self._x[(begin - self._first) * self._hop :]
        x = x[: (end - 1 - begin) * self._hop + after]
        sr = self.features.sr
        return ShortTime(x, sr, self._hop / sr, mean=self._mean, peak=peak), begin

    def _raw(self, last: bool) -> Floats:
        """(n, columns of the descriptors) of the frames that are ready now."""
        end = self._ready(self._after, last)
        if (path := self._pitch) is not None:
            known = self._ready(path.after, last)
            if known > path.seen:
                for a, b, peak in self._runs(path.seen, known):
                    st, begin = self._part(a, b, path.before, path.after, peak)
                    path.push(st, a - begin, b - begin)
            if last:
                path.flush(self._total)
            end = min(end, path.decided)
        if end <= self._next:
            return self._empty()
        found = [self._described_run(*run) for run in self._runs(self._next, end)]
        self._next = end
        self._forget()
        return np.concatenate(found)

    def _described_run(self, first: int, end: int, peak: float) -> Floats:
        """(end - first, columns of the descriptors)."""
        st, begin = self._part(first, end, self._before, self._after, peak)
        rows = slice(first - begin, end - begin)
        if self._pitch is not None:
            tell_pitch(st, self._pitch.contour(begin, st.n_frames))
        return np.concatenate([d(st)[rows] for d in self._described], axis=1)

    def _forget(self) -> None:
        """Let samples go that no later frame looks at."""
        needed = self._next - self._before
        if self._pitch is not None:
            needed = min(needed, self._pitch.seen - self._pitch.before)
            self._pitch.forget(needed)
        if self._level is not None:
            self._level.forget(needed)
        if needed > self._first:
            self._x = self._x[(needed - self._first) * self._hop :]
            self._first = needed


def _check(features: FeatureSet) -> None:
    """Refuse what is computed on whole recordings, by name."""
    reasons = {
        "openSMILE computes whole recordings": bool(features.external),
        f"the encoder of {features.name} sees the whole recording": features.encoder is not None,
        f"{', '.join(features.prepare)} works on whole recordings": bool(features.prepare),
        "clips are fitted to one length": bool(features.fit),
        f"{features.backend} computes whole recordings": bool(features.backend),
        "a condition changes whole recordings": features.augment is not None,
    }
    for reason, found in reasons.items():
        if found:
            raise FeatureError(
                f"{features.name} cannot be streamed: {reason}",
                where="stream",
                code="not-causal",
                fix="predict over a sliding window, or take a set of our own descriptors",
            )


def resampler(sr: int, rate: int) -> Any:
    """Make the resampler of `serfeat.audio.resample` for chunks; None where the rates are equal."""
    if sr == rate:
        return None
    import soxr

    return soxr.ResampleStream(sr, rate, 1, dtype="float64", quality="HQ")
