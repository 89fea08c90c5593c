"""Emotion-guided masks: which frames a student of Vesper does not get to hear.

A masked stretch is worth predicting where the voice is strong. So short spans begin half at frames
whose RMS is from 0.5 to 1 of the clip's largest, half at frames from 0.2 to 0.49; later, long spans
begin at some of the same frames. The numbers are those of the authors' repository.

Source: Chen, Xing, Chen, Xu, "Vesper: A Compact and Effective Pretrained Model for Speech Emotion
Recognition", IEEE Trans. Affective Computing, 2024 (arXiv 2307.10757).

What the paper leaves open, or does otherwise (ours)
----------------------------------------------------
* The authors' code multiplies the bounds by the clip's maximum in place: from the second clip of a
  batch on they are the product of all maxima so far. Here every clip has its own.
* There a span that comes too close to another is moved away, out of its band. Here the next frame
  of the band is taken, and where the band has no room left, any frame will do; so the spans never
  overlap, and there may be fewer than asked for.
* A clip that is too short for a span gets a shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serfeat.types import Bools, Floats, Ints, Reals

__all__ = ["Masking", "emotion_masks", "frame_rms"]


@dataclass(frozen=True)
class Masking:
    """Where and how much is masked.

    Parameters
    ----------
    high, low : bands of the frames' RMS, in shares of the clip's largest.
    small, n_small : frames of a short span; spans at most.
    large, n_large : the same of the long ones.
    spacing : frames between two spans at least.
    most : largest share of the frames that the spans may take.
    """

    high: tuple[float, float] = (0.5, 1.0)
    low: tuple[float, float] = (0.2, 0.49)
    small: int = 8
    n_small: int = 20
    large: int = 40
    n_large: int = 4
    spacing: int = 1
    most: float = 0.64


def frame_rms(x: Reals, frame: int = 400, hop: int = 320) -> Floats:
    """RMS of every frame of samples x (n,): frame i is ``x[i * hop : i * hop + frame]``."""
    cut = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), frame)[::hop]
    return np.asarray(np.sqrt((cut**2).mean(axis=1)))


def emotion_masks(
    rms: Floats, rng: np.random.Generator, masking: Masking | None = None
) -> tuple[Bools, Bools]:
    """Draw the masks of one clip.

    Parameters
    ----------
    rms : (frames,), see `frame_rms`; 2 frames or more.
    rng : what is drawn from.
    masking : default `Masking`.

    Returns
    -------
    (frames,) truth values of the short spans, and of the long ones.
    """
    rule, n = masking or Masking(), len(rms)
    level = rms / max(float(rms.max()), np.finfo(np.float64).tiny)
    high, low = (
        rng.permutation(np.flatnonzero((least <= level) & (level <= most)))
        for least, most in (rule.high, rule.low)
    )
    span, count = _spans(n, rule.small, rule.n_small, rule.most)
    starts = _with_room([], high, span + rule.spacing, count // 2, n - span)
    for band in (low, rng.permutation(n)):
        starts = _with_room(starts, band, span + rule.spacing, count, n - span)
    wide, n_wide = _spans(n, rule.large, rule.n_large, rule.most)
    grown: list[int] = []
    for band in (rng.permutation(starts), rng.permutation(n)):
        grown = _with_room(grown, band, wide + rule.spacing, n_wide, n - wide)
    return _mask(starts, span, n), _mask(grown, wide, n)


def _spans(n: int, span: int, at_most: int, most: float) -> tuple[int, int]:
    """Length and number of the spans of a clip of n frames."""
    length = max(1, min(span, int(most * n)))
    return length, max(1, min(at_most, int(most * n / length)))


def _with_room(
    taken: list[int], candidates: Ints, distance: int, count: int, latest: int
) -> list[int]:
    """`taken` and those candidates, in turn, that keep the distance, until there are `count`."""
    found = list(taken)
    for start in candidates.tolist():
        if len(found) == count:
            break
        if start <= latest and all(abs(start - other) >= distance for other in found):
            found.append(start)
    return found


def _mask(starts: list[int], span: int, n: int) -> Bools:
    mask = np.zeros(n, dtype=bool)
    for start in starts:
        mask[start : start + span] = True
    return mask
