"""One grid, and the short-time analysis that all descriptors share.

Conventions
-----------
Frame i is centred on sample ``i * hop``; a clip of n samples has ``1 + n // hop`` frames, and
samples before the beginning and after the end are zero. This is librosa's centring (so TIM-Net's
published input is reproduced), and it lets every descriptor choose its own window length: columns
made with 25 ms and with 60 ms windows still belong to the same instant. HTK and openSMILE align
frames to the left instead (frame i covers ``i*hop ... i*hop + length``); ``align="left"`` gives
that, for the functions that need parity with them.

Contents
--------
`Grid`       : sample rate, hop, number of frames, times.
`ShortTime`  : the memoised analysis of one clip; what two descriptors need is computed once. Of a
long clip, what looks at some frames only is computed stretch by stretch.
`Descriptor` : a named, sourced, unit-carrying function of a `ShortTime`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeVar

import numpy as np
import scipy  # its parts when they are asked for: scipy.fft takes a quarter of a second to load
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import AudioError, FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.transform import can_transform, power_spectra
from serfeat.types import Floats, Ints, Reals

__all__ = [
    "Descriptor",
    "Grid",
    "ShortTime",
    "Window",
    "cut_frames",
    "emphasise",
    "squared_magnitude",
    "window",
]

T = TypeVar("T")
ComplexArray = NDArray[np.complexfloating[Any, Any]]
Window = Literal["rect", "hamming", "hann", "hann_periodic", "gauss"]

# Frames analysed at a time: the block (64 x 512 doubles = 256 KiB) stays in the cache of a core.
BLOCK = 64

# s: a longer clip stays as it was given, and is analysed in stretches of `STRETCH` s, each with
# `MARGIN` s on either side, which no window reaches beyond.
LONG = 240.0
STRETCH = 30.0
MARGIN = 2.0


@dataclass(frozen=True)
class Grid:
    """Where the frames of a clip are.

    Parameters
    ----------
    sr : Hz.
    hop : samples between frames.
    n_samples : length of the clip in samples.
    """

    sr: int
    hop: int
    n_samples: int

    @property
    def n_frames(self) -> int:
        """Frames of the clip: ``1 + n_samples // hop``."""
        return 1 + self.n_samples // self.hop

    @property
    def times(self) -> Floats:
        """(n_frames,) s: the centre of every frame."""
        return np.arange(self.n_frames, dtype=np.float64) * (self.hop / self.sr)


@lru_cache(maxsize=32)
def window(name: Window, length: int) -> Floats:
    """Make an analysis window, shared and read-only.

    Parameters
    ----------
    name : ``"hamming"`` and ``"hann"`` are symmetric (``np.hamming``), as in HTK and openSMILE;
        ``"hann_periodic"`` is the one of librosa's STFT; ``"gauss"`` is Praat's Gaussian
        ``(exp(-12 t^2) - e^-12) / (1 - e^-12)`` with t in [-1, 1) over the window.
    length : samples.

    Returns
    -------
    (length,) weights, 1 at the maximum.
    """
    if name == "rect":
        weights = np.ones(length)
    elif name == "hamming":
        weights = np.hamming(length)
    elif name == "hann":
        weights = np.hanning(length)
    elif name == "hann_periodic":
        weights = np.hanning(length + 1)[:-1]
    elif name == "gauss":
        edge = np.exp(-12.0)
        t = (2 * np.arange(length) + 1 - length) / (length + 1)
        weights = (np.exp(-12 * t**2) - edge) / (1 - edge)
    else:
        raise FeatureError(f"unknown window {name!r}", code="unknown-name")
    weights = np.array(weights, dtype=np.float64)
    weights.flags.writeable = False
    return weights


class ShortTime:
    """The short-time analysis of one clip on one grid.

    Nothing is computed before it is asked for, and nothing twice: every result is kept under its
    parameters. The arrays that it returns are shared, so they are read-only.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1); must be finite and not empty.
    sr : Hz.
    hop : s between frames; rounded to whole samples.
    mean, peak : of the recording that `x` is a stretch of, if it is one: its offset, and its
        largest sample without the offset. Default: those of `x`.
    sex : of the speaker, a word of `serfeat.labels.SEXES`, for what is fitted to it; ``""``: not
        known.
    """

    def __init__(
        self,
        x: ArrayLike,
        sr: int,
        hop: float = 0.010,
        *,
        mean: float | None = None,
        peak: float | None = None,
        sex: str = "",
    ) -> None:
        given = np.asarray(x)
        single = given.dtype == np.float32 and given.size > LONG * sr
        signal: Reals = np.ascontiguousarray(given, dtype=np.float32 if single else np.float64)
        if signal.ndim != 1:
            raise AudioError(
                f"the signal has shape {signal.shape}, expected (n_samples,)", code="not-mono"
            )
        if not len(signal):
            raise AudioError("the signal has no samples", code="no-samples")
        self._ends = float(signal.min()), float(signal.max())
        if not np.isfinite(self._ends).all():
            bad = np.flatnonzero(~np.isfinite(signal))
            raise AudioError(
                f"{len(bad)} samples are NaN or infinite, the first at {1e3 * bad[0] / sr:.2f} ms",
                code="non-finite",
                fix="repair or leave out the recording",
            )
        hop_samples = round(hop * sr)
        if hop_samples < 1:
            raise FeatureError(
                f"a hop of {hop} s is shorter than one sample at {sr} Hz", code="bad-hop"
            )
        signal = signal.view()  # the caller's own array stays as it is
        signal.flags.writeable = False
        self.samples: Reals = signal
        self.grid = Grid(sr=int(sr), hop=hop_samples, n_samples=len(signal))
        self._memory: dict[Hashable, Any] = {}
        self._mean, self._peak = mean, peak
        self.sex = sex

    @property
    def sr(self) -> int:
        """Hz."""
        return self.grid.sr

    @property
    def hop(self) -> int:
        """Samples between frames."""
        return self.grid.hop

    @property
    def n_frames(self) -> int:
        """Frames on the grid."""
        return self.grid.n_frames

    @property
    def long(self) -> bool:
        """Whether it is analysed in stretches: `samples` may then be in single precision."""
        return len(self.samples) > LONG * self.sr

    @cached_property
    def x(self) -> Floats:
        """(n,) the samples in double precision; of a long clip, `stretches` take less memory."""
        y: Floats = self.samples.astype(np.float64, copy=False)
        y.flags.writeable = False
        return y

    @cached_property
    def mean(self) -> float:
        """Mean of the samples, or of the recording that they are a stretch of."""
        if self._mean is not None:
            return self._mean
        return _sum(self.samples) / len(self.samples) if self.long else float(self.x.mean())

    @cached_property
    def centred(self) -> Floats:
        """(n,) the signal without its mean: for everything that a DC offset would disturb."""
        y: Floats = self.x - self.mean
        y.flags.writeable = False
        return y

    @cached_property
    def peak(self) -> float:
        """The largest |sample| of the clip without its mean."""
        if self._peak is not None:
            return self._peak
        least, largest = self._ends  # rounding keeps the order: it is one of the two
        return max(largest - self.mean, self.mean - least)

    @cached_property
    def scaled(self) -> Floats:
        """(n,) the signal without its mean and with a peak of 1; of a silent clip, zeros."""
        # A product takes a quarter of a division's time; 1 / peak must be a number for it.
        tiny = self.peak < np.finfo(np.float64).tiny
        y: Floats = self.centred / (self.peak or 1.0) if tiny else self.centred * (1 / self.peak)
        y.flags.writeable = False
        return y

    def stretches(self) -> Iterator[tuple[slice, slice, ShortTime]]:
        """Cut a long clip into stretches that overlap, and any other into one.

        Yields
        ------
        frames of the clip, the same frames of the stretch, and the stretch, which knows the mean
        and the peak of the clip.
        """
        if not self.long:
            yield slice(0, self.n_frames), slice(0, self.n_frames), self
            return
        some, margin = (round(s * self.sr / self.hop) for s in (STRETCH, MARGIN))
        for first in range(0, self.n_frames, some):
            last = min(first + some, self.n_frames)
            begin = max(first - margin, 0)
            part = self.samples[begin * self.hop : (last + margin) * self.hop]
            part = part.astype(np.float64)
            stretch = ShortTime(
                part, self.sr, self.hop / self.sr, mean=self.mean, peak=self.peak, sex=self.sex
            )
            yield slice(first, last), slice(first - begin, last - begin), stretch

    def by_stretches(self, compute: Callable[[ShortTime], Floats]) -> Floats:
        """Compute (n_frames, ...) of which samples `MARGIN` s away decide next to nothing."""
        if not self.long:
            return compute(self)
        found: Floats | None = None
        for frames, inside, stretch in self.stretches():
            part = compute(stretch)[inside]
            if found is None:
                found = np.empty((self.n_frames, *part.shape[1:]), dtype=part.dtype)
            found[frames] = part
        assert found is not None  # a clip has a frame
        return found

    def knows(self, word: str) -> bool:
        """Whether something was computed whose key begins with a word."""
        return any(isinstance(key, tuple) and key[:1] == (word,) for key in self._memory)

    def memo(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` returns, computed on the first call with this `key` only."""
        if key not in self._memory:
            made = make()
            if isinstance(made, np.ndarray):
                made.flags.writeable = False
            self._memory[key] = made
        kept: T = self._memory[key]
        return kept

    def frames(
        self,
        length: int,
        *,
        align: Literal["centre", "left"] = "centre",
        signal: Floats | None = None,
    ) -> Floats:
        """Cut the signal into overlapping frames, without copying it.

        Parameters
        ----------
        length : samples of a frame.
        align : ``"centre"`` is the grid; ``"left"`` is HTK's framing: frame i begins at
            ``i * hop``, only whole frames count (a shorter clip gives one zero-padded frame).
        signal : (n,) another signal of the same length and rate (pre-emphasised, filtered).

        Returns
        -------
        (frames, length) a read-only view; ``frames`` is `n_frames` for ``"centre"``.
        """
        x = self.x if signal is None else signal
        if align == "left":
            count = 1 + max(0, len(x) - length) // self.hop
            before = 0
        else:
            count = self.n_frames
            before = length // 2
        after = max(0, (count - 1) * self.hop + length - before - len(x))
        padded = np.pad(x, (before, after))
        views = np.lib.stride_tricks.sliding_window_view(padded, length)[:: self.hop]
        return views[:count]

    def power(
        self,
        length: int,
        n_fft: int | None = None,
        *,
        window_name: Window = "hamming",
        preemphasis: float = 0.0,
        align: Literal["centre", "left"] = "centre",
        centred: bool = False,
    ) -> Floats:
        """Power spectrum of every frame, ``|rfft(w * x)|^2``.

        Parameters
        ----------
        length : samples of the window.
        n_fft : points of the transform, default the next power of two.
        window_name : see `window`.
        preemphasis : a in ``y[n] = x[n] - a x[n-1]``, applied inside each frame with
            ``y[0] = (1 - a) x[0]``, as HTK does.
        align : see `frames`.
        centred : take the mean of the clip away first.

        Returns
        -------
        (frames, n_fft // 2 + 1) float64, shared and read-only.
        """
        points = n_fft or 1 << (length - 1).bit_length()
        key = ("power", length, points, window_name, preemphasis, align, centred)

        def make() -> Floats:
            signal = self.centred if centred else self.x
            count = self.n_frames
            if align == "left":
                count = 1 + max(0, len(signal) - length) // self.hop
            starts = np.arange(count) * self.hop - (length // 2 if align == "centre" else 0)
            weights, ones = window(window_name, length), np.ones(length)
            out = np.empty((count, points // 2 + 1))
            if COMPILED and can_transform(points):
                power_spectra(signal, starts, weights, points, out, preemphasis=preemphasis)
                return out
            # One zero-padded buffer for all blocks: letting the FFT pad takes longer than the FFT.
            buffer = np.zeros((min(BLOCK, count), points))
            for first in range(0, count, BLOCK):
                at = starts[first : first + BLOCK]
                block = buffer[: len(at)]
                cut_frames(signal, at, weights if not preemphasis else ones, block)
                if preemphasis:
                    emphasise(block[:, :length], preemphasis, weights)
                squared_magnitude(scipy.fft.rfft(block, axis=1), out[first : first + BLOCK])
            return out

        return self.memo(key, make)


def _sum(x: Reals) -> float:
    """Sum in double precision, in the order of NumPy's pairwise sum of the doubles themselves."""
    if len(x) <= 1 << 20:
        return float(x.astype(np.float64, copy=False).sum())
    half = len(x) // 2
    half -= half % 8
    return _sum(x[:half]) + _sum(x[half:])


@jit
def _cut_frames(signal: Reals, starts: Ints, weights: Floats, mean: Floats, out: Reals) -> None:
    length, n = len(weights), len(signal)
    for i in range(len(starts)):
        begin = min(max(-starts[i], 0), length)
        end = max(begin, min(length, n - starts[i]))
        out[i, :begin] = 0.0
        out[i, end:length] = 0.0
        # slices, so that the compiler sees that no index is negative
        here, w = out[i, begin:end], weights[begin:end]
        part = signal[starts[i] + begin : starts[i] + end]
        for j in range(len(part)):
            here[j] = (part[j] - mean[i]) * w[j]


def cut_frames(
    signal: Reals, starts: Ints, weights: Floats, out: Reals, mean: Floats | None = None
) -> None:
    """Cut frames out of a signal, window them and write them into a buffer.

    Parameters
    ----------
    signal : (n,); samples before its beginning and after its end are zero.
    starts : (frames,) first sample of every frame, may be negative.
    weights : (length,) window.
    out : (frames, at least length) receives the frames in its first columns; the others stay.
    mean : (frames,) is taken away from the samples of the clip, not from the zeros around it.
    """
    means = np.zeros(len(starts)) if mean is None else mean
    (_cut_frames if COMPILED else _cut_frames_plain)(signal, starts, weights, means, out)


def _cut_frames_plain(
    signal: Reals, starts: Ints, weights: Floats, mean: Floats, out: Reals
) -> None:
    """`_cut_frames` with whole arrays."""
    if not len(starts):
        return
    length, n = len(weights), len(signal)
    first, last = int(starts.min()), int(starts.max()) + length
    stretch = np.zeros(last - first)  # what the frames cover, with zeros beyond the clip
    begin, end = max(first, 0), max(min(last, n), 0)
    if begin < end:
        stretch[begin - first : end - first] = signal[begin:end]
    frames = np.lib.stride_tricks.sliding_window_view(stretch, length)[starts - first]
    frames -= mean[:, None]
    frames *= weights
    out[:, :length] = frames
    for i in np.flatnonzero((starts < 0) | (starts + length > n)):
        out[i, : min(max(-starts[i], 0), length)] = 0.0
        out[i, max(n - starts[i], 0) : length] = 0.0


def emphasise(frames: Reals, a: float, weights: Floats) -> None:
    """``y[n] = x[n] - a x[n-1]``, ``y[0] = (1 - a) x[0]``, then the window; in place."""
    later = (frames[:, 1:] - a * frames[:, :-1]) * weights[1:]
    frames[:, 0] = (1 - a) * frames[:, 0] * weights[0]
    frames[:, 1:] = later


@jit
def _squared_magnitude(parts: Reals, out: Reals) -> None:
    for i in range(out.shape[0]):
        for k in range(out.shape[1]):
            real, imag = parts[i, 2 * k], parts[i, 2 * k + 1]
            out[i, k] = real * real + imag * imag


def squared_magnitude(spectrum: ComplexArray, out: Reals | None = None) -> Reals:
    """``|z|^2`` of every element of a contiguous (rows, bins) array, in its precision."""
    parts = spectrum.view(spectrum.real.dtype)
    result = np.empty(spectrum.shape, dtype=parts.dtype) if out is None else out
    if COMPILED:
        _squared_magnitude(parts, result)
    else:
        squares = parts * parts
        np.add(squares[:, ::2], squares[:, 1::2], out=result)
    return result


@dataclass(frozen=True)
class Descriptor:
    """A low-level descriptor: a pure function of a `ShortTime`, with its name, units and source.

    Parameters
    ----------
    name : the word that feature sets and the command line use.
    columns : the columns that it gives, in order; a unit is part of a column's name where it has
        one (``f0_hz``).
    unit : one unit per column, or one for all of them; ``"1"`` for a pure number.
    summary : one line: what it measures.
    source : paper and equation, or the reference implementation.
    compute : ``compute(st, **params) -> (n_frames, len(columns))``, or ``(len(columns),)`` for
        ``level="clip"``. NaN where the quantity is undefined, never 0, never infinite.
    level : ``"frame"`` on the grid, or ``"clip"``: one value per recording (jitter, shimmer).
    undefined : when the value is NaN.
    params : settings handed to `compute`; part of the cache key.
    version : goes up whenever a value changes; part of the cache key.
    licence : licence of the code that computes it; carried into every table made with it.
    oracle : one line: what the tests hold it against, and how closely.
    by_sex : whether it asks for `ShortTime.sex`, which is then part of what a value is kept under.
    """

    name: str
    columns: tuple[str, ...]
    unit: str | tuple[str, ...]
    summary: str
    source: str
    compute: Callable[..., Floats]
    level: Literal["frame", "clip"] = "frame"
    undefined: str = "never"
    params: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    licence: str = "Apache-2.0"
    oracle: str = ""
    by_sex: bool = False

    @property
    def units(self) -> tuple[str, ...]:
        """One unit per column."""
        return (self.unit,) * len(self.columns) if isinstance(self.unit, str) else self.unit

    def __call__(self, st: ShortTime) -> Floats:
        """Compute the descriptor and hold it to its contract (shape, no infinities)."""
        values = np.asarray(self.compute(st, **self.params), dtype=np.float64)
        shape: tuple[int, ...] = (len(self.columns),)
        if self.level == "frame":
            shape = (st.n_frames, *shape)
            if values.ndim == 1:
                values = values[:, None]
        if values.shape != shape:
            raise FeatureError(
                f"descriptor {self.name} gave shape {values.shape}, expected {shape}",
                code="bad-shape",
                fix="this is a bug in the descriptor",
            )
        if np.isinf(values).any():
            raise FeatureError(
                f"descriptor {self.name} gave infinite values",
                code="infinite",
                fix="this is a bug in the descriptor: undefined is NaN",
            )
        return values
