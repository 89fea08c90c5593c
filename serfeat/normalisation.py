"""Normalisation as a named protocol: whose statistics the features are measured against.

Three ways, printed in every result (`NORMALISATIONS`). ``global`` and ``none`` know nothing of the
test speakers. ``speaker`` z-scores every column over all clips of its speaker, whatever is said in
them; it needs no label, but it does need the test speaker's own recordings, all of them at once:
the result is *transductive*, and not to be compared with one that is not. It takes the voice away
(EMO-DB with an SVM gains 5 to 8 UAR points) and with it whatever else a speaker's clips share.

When it may be used
-------------------
If that is the emotion, the emotion is gone: in URDU 26 of 29 speakers have one emotion only, and
UAR falls from .64 to .17, far below chance. What the mean of a speaker carries of the label is
Goodman and Kruskal's tau, the share of the label's variance that the speaker explains::

    tau = sum_s w_s sum_c (p_sc - p_c)^2 / sum_c p_c (1 - p_c)

(w_s the speaker's share of the clips, p_sc the share of emotion c among these, p_c among all): 0
where all speakers have the same mixture of emotions, 1 where each has one emotion. Simulated: 24
speakers with 28 clips, 20 columns, emotions apart so that UAR is .95 without any voice, voices with
an offset in every column whose sd is v times that of the clips; linear discriminant, speakers held
out; UAR with global and with per-speaker normalisation:

=========================  =====  =======  ===========  ===========  ===========
mixture of the speakers    tau    speaker  global, v .5 global, v 1  global, v 2
=========================  =====  =======  ===========  ===========  ===========
4 of 4 emotions            .00    .94      .92          .80          .61
3 of 4                     .11    .86      .91          .79          .61
4, shares by chance        .14    .83      .88          .76          .57
4, unequal shares          .22    .78      .90          .81          .58
2 of 4                     .33    .81      .87          .73          .47
4, very unequal            .54    .55      .90          .75          .50
1 of 4                     1.00   .27      .85          .76          .42
=========================  =====  =======  ===========  ===========  ===========

The score after normalisation depends on the mixtures and not on the voices; whether it is a gain
depends on both. Where shares are unequal it ends at a tau of .07 with v = .5, at about .2 with
v = 1, beyond .5 with v = 2; EMO-DB's gain lies between those of .5 and 1. `require_coverage`
refuses from .2 on, where 15 of the 94 points are gone. The corpora at hand are far below: RAVDESS
.00, EMO-DB .02 (some speakers have six of the seven emotions), EmoSpeech .03.

Contents
--------
`NORMALISATIONS`   : name -> words for the reader of a result.
`per_speaker`      : z-score tables and frames by speaker.
`by_speaker`       : the same for frames on the disk, of one speaker at a time.
`single_clips`     : speakers with one clip, of whom nothing is left.
`coverage`         : tau, and what emotions each speaker has.
`require_names`    : refuses rows that do not say who speaks.
`require_coverage` : refuses a corpus that per-speaker normalisation would spoil.
`require_speakers` : the same for new recordings, whose speakers have to be told.

Sources
-------
Goodman and Kruskal, "Measures of association for cross classifications", Journal of the American
Statistical Association 49, 1954. Busso, Mariooryad, Metallinou and Narayanan, "Iterative feature
normalization scheme for automatic emotion detection from speech", IEEE Trans. Affective Computing
4(4), 2013 (why neutral speech alone is the better reference, where it can be told).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from serfeat.errors import ModelError, SplitError
from serfeat.metrics import speaker_key
from serfeat.sequences import Sequences
from serfeat.types import Floats, Floats32, Ints

__all__ = [
    "MOST_TAU",
    "NORMALISATIONS",
    "Coverage",
    "by_speaker",
    "coverage",
    "per_speaker",
    "require_coverage",
    "require_names",
    "require_speakers",
    "single_clips",
]

NORMALISATIONS: dict[str, str] = {
    "global": (
        "Global normalisation: mean and standard deviation of the training clips; nothing is known "
        "of the test speakers."
    ),
    "none": (
        "No normalisation: features keep their units; only missing values are replaced, by medians "
        "of the training clips."
    ),
    "speaker": (
        "Per-speaker normalisation: every feature is z-scored over all clips of its speaker. This "
        "uses the test speakers' own recordings, without their labels (transductive): it says what "
        "to expect where many clips of the new speaker are at hand, with emotions in about the "
        "same mixture, and is not comparable with results that do without."
    ),
}

MOST_TAU = 0.2  # see the module's table
FEW_CLIPS = 10  # with fewer of a new speaker global would be better, see `require_speakers`

_Table = TypeVar("_Table", Floats, Sequences)


def per_speaker(X: _Table, speakers: Sequence[str], *, samples: Sequence[int] = ()) -> _Table:
    """Z-score every column over all clips of each speaker; no label is used.

    Parameters
    ----------
    X : (n, k), or `Sequences` of n clips, then over all frames of the speaker's clips. NaN is left
        out of the statistics and stays NaN.
    speakers : (n,) whose clip each is; speakers of different corpora by different names.
    samples : columns that hold samples of a waveform. They stay as they are: a sample of exactly 0
        is silence, which networks look for.

    Returns
    -------
    As X: float32 for `Sequences`, for tables the type that they have. A column that does not vary
    within a speaker is 0 for this speaker, and so is every column of a speaker with one clip in a
    table (`single_clips`): of these nothing is left.

    Raises
    ------
    ModelError : another number of speakers than of clips.
    """
    _require_as_many(speakers, X)
    code = _numbered(speakers)
    if isinstance(X, Sequences):
        return X.with_values(_standardised(X.values, np.repeat(code, X.lengths), samples))
    table: _Table = _standardised(X, code, samples)
    return table


def by_speaker(
    X: Sequences, speakers: Sequence[str], *, samples: Sequence[int] = ()
) -> Iterator[tuple[int, Floats32]]:
    """Yield what `per_speaker` makes of clips, with the frames of one speaker in memory at a time.

    Parameters
    ----------
    X, speakers, samples : as of `per_speaker`; meant for clips that are memory-mapped.

    Yields
    ------
    (frame at which a clip begins, its frames), speaker by speaker: every clip once.

    Raises
    ------
    ModelError : as `per_speaker`.
    """
    _require_as_many(speakers, X)
    code = _numbered(speakers)
    for number in range(int(code.max(initial=-1)) + 1):
        rows = np.flatnonzero(code == number)
        own = X[rows]
        frames = _standardised(own.values, np.zeros(int(own.offsets[-1]), dtype=np.int64), samples)
        for row, first, length in zip(rows, own.offsets[:-1], own.lengths, strict=True):
            yield int(X.offsets[row]), frames[first : first + length]


def _numbered(speakers: Sequence[str]) -> Ints:
    """(n,) a number from 0 for each speaker."""
    return np.unique(np.asarray(speakers, dtype=str), return_inverse=True)[1].astype(np.int64)


def _require_as_many(speakers: Sequence[str], X: Any) -> None:
    if len(speakers) != len(X):
        raise ModelError(
            f"{len(speakers)} speakers for {len(X)} clips",
            where="normalisation = speaker",
            code="length-mismatch",
        )


def _standardised(values: Any, code: Any, samples: Sequence[int]) -> Any:
    """(rows, k) z-scored within each code 0 ... S - 1, one speaker at a time in memory."""
    out = np.empty(values.shape, dtype=values.dtype)
    order = np.argsort(code, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(code))[:-1]) if len(code) else ():
        out[rows] = _z_scores(values[rows].astype(np.float64), np.finfo(values.dtype).eps)
    untouched = list(samples)
    out[:, untouched] = values[:, untouched]
    return out


def _z_scores(x: Floats, eps: float) -> Floats:
    """(rows, k) minus mean, by the population's standard deviation; 0 in a constant column.

    Parameters
    ----------
    eps : rounding of the stored numbers: a column whose sd is below it, relative to its largest
        value, is constant. Otherwise the rounding of a constant would be blown up to z-scores.
    """
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, x, 0.0)
    centred = np.where(known, x - filled.sum(axis=0) / count, 0.0)
    sd = np.sqrt((centred**2).sum(axis=0) / count)
    varies = sd > eps * np.abs(filled).max(axis=0)
    z = np.where(varies, centred / np.where(varies, sd, 1.0), 0.0)
    return np.asarray(np.where(known, z, np.nan))


def single_clips(speakers: Sequence[str]) -> tuple[str, ...]:
    """Speakers with one clip, sorted: their z-scores in a table are all 0."""
    return tuple(sorted(s for s, n in Counter(map(str, speakers)).items() if n == 1))


@dataclass(frozen=True)
class Coverage:
    """How evenly a corpus' speakers have its emotions.

    Parameters
    ----------
    tau : 0 (all speakers have the same mixture) to 1 (each has one emotion), see the module; NaN
        with one emotion in all.
    clips : speaker by emotion, numbers of clips.
    """

    tau: float
    clips: pd.DataFrame

    @property
    def one_emotion(self) -> tuple[str, ...]:
        """Speakers whose clips all have the same emotion."""
        return tuple(self.clips.index[(self.clips > 0).sum(axis=1) == 1])

    @property
    def words(self) -> str:
        """One sentence for the reader of a result."""
        present = (self.clips > 0).sum(axis=1)
        return (
            f"{len(self.clips)} speakers have {present.min()} to {present.max()} of "
            f"{self.clips.shape[1]} emotions each; who speaks tells {self.tau:.0%} of the emotion "
            f"(Goodman and Kruskal's tau; the limit for per-speaker normalisation is "
            f"{MOST_TAU:.0%})."
        )


def require_names(rows: pd.DataFrame) -> None:
    """Refuse rows that do not say who speaks: the unknown ones would all be one speaker.

    Raises
    ------
    SplitError : no column of speakers, or an empty cell in it.
    """
    if "speaker" not in rows or (rows["speaker"].fillna("").astype(str).str.strip() == "").any():
        raise SplitError(
            "speakers are not known of every clip",
            where="normalisation = speaker",
            code="no-speaker",
            fix="add a speaker to every row of the manifest, or use normalisation = global",
        )


def coverage(rows: pd.DataFrame, labels: Sequence[str] | None = None) -> Coverage:
    """Say how evenly the speakers have the emotions.

    Parameters
    ----------
    rows : with speaker and emotion; `corpus` tells speakers of one name apart.
    labels : only clips with these.

    Raises
    ------
    SplitError : no column of speakers, or an empty cell in it.
    """
    require_names(rows)
    if labels is not None:
        rows = rows[rows["emotion"].isin(labels)]
    emotion = rows["emotion"].to_numpy(dtype=str)
    speaker = speaker_key(rows) if "corpus" in rows else rows["speaker"]
    clips = pd.crosstab(
        speaker.to_numpy(dtype=str), emotion, rownames=["speaker"], colnames=["emotion"]
    )
    n = clips.to_numpy(dtype=np.float64)
    mixture = n / n.sum(axis=1, keepdims=True)
    overall = n.sum(axis=0) / n.sum()
    between = (n.sum(axis=1) / n.sum()) @ ((mixture - overall) ** 2).sum(axis=1)
    total = (overall * (1 - overall)).sum()
    return Coverage(float(between / total) if total > 0 else float("nan"), clips)


def require_coverage(rows: pd.DataFrame, labels: Sequence[str] | None = None) -> Coverage:
    """Refuse a corpus whose speakers differ in their emotions; see `coverage`.

    Returns
    -------
    The coverage, if it suffices.

    Raises
    ------
    SplitError : tau above `MOST_TAU`: the speaker's mean holds the emotion, and goes with it.
    """
    found = coverage(rows, labels)
    if not found.tau > MOST_TAU:
        return found
    alone = len(found.one_emotion)
    who = f"{alone} of {len(found.clips)} speakers have one emotion only, and " if alone else ""
    raise SplitError(
        f"{who}who speaks tells {found.tau:.0%} of the emotion (limit {MOST_TAU:.0%}): a speaker's "
        "mean holds the emotion here, so that subtracting it erases what is to be recognised and "
        "scores can fall below chance",
        where="normalisation = speaker",
        code="speakers-cover-too-little",
        fix="use normalisation = global",
    )


def require_speakers(speakers: Sequence[str] | None, n: int) -> tuple[str, ...]:
    """Check what per-speaker normalisation needs to know of new recordings.

    On EMO-DB (classic, svm, held-out speakers), normalised with only m clips of the test speaker
    drawn at random, UAR is .46 with m = 2, .62 with 3, .69 with 5, .75 with 10, .82 with 20 and
    .83 with all; global normalisation has .76.

    Parameters
    ----------
    speakers : (n,) of the recordings, None where nobody said; every clip of a speaker has to be
        among them, since all are normalised together.
    n : recordings.

    Returns
    -------
    Speakers with fewer than `FEW_CLIPS` clips, of whom the caller should say that their
    predictions are uncertain.

    Raises
    ------
    ModelError : no speakers, another number of them, or a speaker with one clip.
    """
    where = "a model with per-speaker normalisation"
    if speakers is None or len(speakers) != n:
        found = "none" if speakers is None else str(len(speakers))
        raise ModelError(
            f"needs the speaker of each of the {n} recordings, found {found}",
            where=where,
            code="no-speaker",
            fix="give a manifest with a column speaker, or train with normalisation = global",
        )
    if alone := single_clips(speakers):
        raise ModelError(
            f"speaker {alone[0]} has one recording, which cannot be compared with any other of "
            f"the same voice ({len(alone)} such speakers)",
            where=where,
            code="one-clip",
            fix=f"give {FEW_CLIPS} or more recordings of each speaker, in different emotions",
        )
    few = {s: m for s, m in Counter(map(str, speakers)).items() if m < FEW_CLIPS}
    return tuple(sorted(few))
