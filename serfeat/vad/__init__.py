"""Voice activity: which frames are silence, which unvoiced and which voiced speech.

Two detectors. `three_way` labels frames by level and periodicity; whoever wants functionals over
speech only, or pause statistics, starts here. `madd` finds silent samples by the spread of the
waveform alone and sets them to zero, without cutting anything out, since a cut breaks the course of
time that recurrent networks learn.

Neither is a model: with a noise floor less than 20 dB below the speech, denoise first, or take the
detectors of `serfeat.vad.sohn` and `serfeat.vad.silero`.

Contents
--------
`SILENCE`, `UNVOICED`, `VOICED` : the codes 0, 1, 2.
`three_way` : one code per frame.
`runs`      : where the codes begin and end.
`madd`      : the waveform with silence set to zero, and the mask.

Sources
-------
[1] P. Boersma, IFA Proceedings 17, 1993: the voicing threshold of 0.45.
[2] X. Li, Z. Zhang, "Cross-feature fusion speech emotion recognition based on attention mask
    residual network and Wav2vec 2.0", Digital Communications and Networks 11(5), 2025, eq. 1-2:
    maximum amplitude difference detection (MADD).
`three_way` is our own composition of level, zero crossings and [1].
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import AudioError, FeatureError
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import pitch
from serfeat.types import Bools, Floats, Ints

__all__ = ["SILENCE", "UNVOICED", "VOICED", "Muted", "Rule", "madd", "runs", "three_way"]

Rule = Literal["quantile", "paper"]  # of `madd`

Codes = NDArray[np.int8]

SILENCE, UNVOICED, VOICED = 0, 1, 2

# dB re full scale: digital silence, the last bit of 16-bit audio.
DIGITAL_SILENCE = -90.0
# dB re the loud parts of the clip: noise is never looked for above this. Otherwise the quietest
# frames of a clip without any pause would be taken for its noise floor.
HIGHEST_THRESHOLD = -20.0


# --------------------------------------------------------------------------------------- three_way
def three_way(
    st: ShortTime,
    *,
    length: float = 0.025,
    above_floor: float = 6.0,
    lowest: float = -45.0,
    voicing: float = 0.45,
    most_crossings: float = 4000.0,
    smooth: int = 5,
    shortest: float = 0.030,
    floor: float = 75.0,
    ceiling: float = 600.0,
) -> Codes:
    """Label every frame as silence, unvoiced or voiced speech.

    1. Level: RMS in dB re the 99th percentile of the clip; the 5th percentile is the noise floor.
    2. Silence: below ``max(noise floor + above_floor, lowest)``, though never above -20 dB.
    3. Voiced: a period whose autocorrelation exceeds `voicing` [1], and few zero crossings.
    4. Unvoiced: the rest. Then a median over `smooth` frames, and runs shorter than `shortest`
       are absorbed by the longer one of their neighbours.

    Parameters
    ----------
    st : the clip on its grid.
    length : s, the window of level and zero crossings.
    above_floor : dB between the noise floor and speech.
    lowest : dB re the loud parts, below which everything is silence.
    voicing : autocorrelation at the period, of 1.
    most_crossings : 1/s, zero crossings of a vowel at most (one per four samples at 16 kHz).
    smooth : frames of the median, odd; 1 leaves it out.
    shortest : s, the shortest run that stays.
    floor, ceiling : Hz, of the pitch analysis.

    Returns
    -------
    (n_frames,) int8: `SILENCE` 0, `UNVOICED` 1, `VOICED` 2. A silent or constant clip is silence
    throughout; the gain of the clip does not matter unless it is below -90 dB re full scale.

    Raises
    ------
    FeatureError : an even `smooth`, a window shorter than two samples, or bad pitch limits.
    """
    size = round(length * st.sr)
    if size < 2 or smooth < 1 or smooth % 2 == 0:
        raise FeatureError(
            f"a window of {size} samples and a median over {smooth} frames, expected at least two "
            "samples and an odd number of frames",
            code="bad-length",
        )
    settings = (length, above_floor, lowest, voicing, most_crossings, smooth, shortest)

    def make() -> Codes:
        return _three_way(st, size, *settings[1:], floor, ceiling)

    return st.memo(("three_way", *settings, floor, ceiling), make)


def _three_way(
    st: ShortTime,
    size: int,
    above_floor: float,
    lowest: float,
    voicing: float,
    most_crossings: float,
    smooth: int,
    shortest: float,
    floor: float,
    ceiling: float,
) -> Codes:
    level = st.by_stretches(lambda part: _level_db(part, size))
    loud = np.percentile(level, 99)
    noise = np.percentile(level, 5)
    threshold = max(
        min(max(noise + above_floor, loud + lowest), loud + HIGHEST_THRESHOLD), DIGITAL_SILENCE
    )
    speech = level > threshold
    if not speech.any():
        return np.zeros(st.n_frames, dtype=np.int8)
    contour = pitch(st, floor=floor, ceiling=ceiling)
    periodic = contour.voiced & (np.nan_to_num(contour.strength) > voicing)
    voiced = periodic & (st.by_stretches(lambda part: _crossings(part, size)) < most_crossings)
    # The two decisions are smoothed one after the other: a median of the codes themselves would
    # put an unvoiced frame between silence and a vowel.
    speech, voiced = _median(speech, smooth), _median(voiced, smooth)
    codes = np.where(speech, np.where(voiced, VOICED, UNVOICED), SILENCE).astype(np.int8)
    return _absorb(codes, int(np.ceil(shortest * st.sr / st.hop - 1e-9)))


def _level_db(st: ShortTime, size: int) -> Floats:
    """(n_frames,) RMS in dB re full scale, over the samples that the clip has."""
    frames = st.frames(size, signal=st.centred)
    begin = np.arange(st.n_frames) * st.hop - size // 2
    inside = np.minimum(begin + size, len(st.x)) - np.maximum(begin, 0)
    power = np.einsum("ij,ij->i", frames, frames) / np.maximum(inside, 1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-10)))


def _crossings(st: ShortTime, size: int) -> Floats:
    """(n_frames,) zero crossings per second."""
    positive = st.centred >= 0
    changes = np.zeros(len(positive))
    changes[1:] = positive[1:] != positive[:-1]
    return np.asarray(st.frames(size, signal=changes).sum(axis=1) * (st.sr / size))


def _median(decisions: Bools, width: int) -> Bools:
    if width == 1:
        return decisions
    votes = scipy.ndimage.median_filter(decisions.astype(np.uint8), size=width, mode="nearest")
    return np.asarray(votes, dtype=np.bool_)


def runs(codes: ArrayLike) -> tuple[Ints, Ints, Codes]:
    """Find the stretches of equal codes.

    Parameters
    ----------
    codes : (n_frames,) what `three_way` returns.

    Returns
    -------
    first : (k,) the first frame of every run.
    stop : (k,) the frame after its last one.
    code : (k,) its code.
    """
    labels = np.asarray(codes, dtype=np.int8)
    if not len(labels):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), labels
    change = np.flatnonzero(np.diff(labels)) + 1
    first = np.concatenate([[0], change]).astype(np.int64)
    return first, np.concatenate([change, [len(labels)]]).astype(np.int64), labels[first]


def _absorb(codes: Codes, shortest: int) -> Codes:
    """Give runs shorter than `shortest` frames to their longer neighbour, shortest first."""
    out = codes.copy()
    while True:
        first, stop, code = runs(out)
        sizes = stop - first
        if len(sizes) < 2 or sizes.min() >= shortest:
            return out
        i = int(np.argmin(sizes))
        before = sizes[i - 1] if i else -1
        after = sizes[i + 1] if i + 1 < len(sizes) else -1
        out[first[i] : stop[i]] = code[i - 1] if before >= after else code[i + 1]


# -------------------------------------------------------------------------------------------- madd
class Muted(NamedTuple):
    """What `madd` makes of a clip.

    Attributes
    ----------
    x : (n,) the signal, 0 where it was silent.
    speech : (n,) True where it was not.
    """

    x: Floats
    speech: Bools


def madd(
    x: ArrayLike,
    sr: int,
    *,
    length: float = 0.025,
    factor: float = 2.0,
    rule: Rule = "quantile",
) -> Muted:
    """Set silence to zero by maximum amplitude difference detection ([2] eq. 1-2).

    A window of `length` slides by one sample; where the difference d between its maximum and its
    minimum is small, it is silent. A sample is set to zero when every window over it is silent, so
    that onsets stay whole. Nothing is cut out.

    Parameters
    ----------
    x : (n,) mono signal; an offset does not matter, nor does the gain.
    sr : Hz.
    length : s, the window; the paper does not give it.
    factor : f; the paper does not give it.
    rule : ``"paper"`` compares d with ``f * min d``, as printed, which finds nothing in a recording
        with one stretch of digital silence; ``"quantile"`` (ours) compares it with
        ``max(f * 10th percentile of d, 2 % of the spread of the clip)``, both without the digital
        silence before and after the recording: how much of it there is changes nothing.

    Returns
    -------
    Muted. Where nothing is above the threshold there is nothing to tell speech from, and all
    samples count as speech, but for digital silence around them: the mask is never empty.

    Raises
    ------
    AudioError : not one channel, no samples, or samples that are not finite.
    FeatureError : an unknown `rule`, or a window shorter than one sample.
    """
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1 or not len(signal) or not np.isfinite(signal).all():
        raise AudioError(
            f"a signal of shape {signal.shape}, expected (n_samples,) with finite samples",
            code="bad-signal",
        )
    if rule not in ("quantile", "paper"):
        raise FeatureError(
            f"unknown rule {rule!r}, expected 'quantile' or 'paper'", code="unknown-name"
        )
    size = min(round(length * sr), len(signal))
    if size < 1:
        raise FeatureError(
            f"a window of {length} s is shorter than one sample at {sr} Hz", code="bad-length"
        )
    # d[i] is the spread of the samples i ... i + size - 1: whole windows only.
    centre, count = size // 2, len(signal) - size + 1
    highest = scipy.ndimage.maximum_filter1d(signal, size)
    spread = (highest - scipy.ndimage.minimum_filter1d(signal, size))[centre:][:count]
    first, last = 0, len(signal)
    if rule == "paper":
        loud = spread >= factor * spread.min()
    else:
        sounding = np.flatnonzero(signal)
        first, last = (sounding[0], sounding[-1] + 1) if len(sounding) else (first, last)
        begin = min(first, count - 1)  # where less than a window sounds, the one that holds it
        inside = slice(begin, max(last - size, begin) + 1)  # windows of the recording itself
        least = factor * np.percentile(spread[inside], 10)
        loud = np.zeros(count, dtype=np.bool_)
        loud[inside] = spread[inside] >= max(least, 0.02 * np.ptp(signal[first:last]))
    if not loud.any() or not np.ptp(signal):
        speech = np.zeros(len(signal), dtype=np.bool_)
        speech[first:last] = True
        return Muted(signal.copy(), speech)
    # Sample n is under the windows n - size + 1 ... n: count the loud ones among them.
    total = np.concatenate([[0], np.cumsum(loud)])
    n = np.arange(len(signal))
    over = total[np.minimum(n + 1, count)] - total[np.clip(n - size + 1, 0, count)]
    speech = np.asarray(over > 0)
    return Muted(np.where(speech, signal, 0.0), speech)
