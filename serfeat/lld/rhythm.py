"""Duration and pauses: how the time of a clip divides into voice, other speech, and silence.

Conventions
-----------
One value per clip, from the labels of `serfeat.vad.three_way` and the F0 contour. A frame stands
for the hop around its centre, the first and last one up to the ends: frames add up to the duration.

* The *utterance* runs from the first to the last frame that is not silent. What the recording holds
  before and after says when somebody pressed a button: it enters ``duration_s`` only.
* A *pause* is a silence of 150 ms or more inside the utterance; a shorter one is the closure of a
  stop, and speech. ``speech_s`` is the utterance without its pauses, ``phonation_ratio`` its share.
* A *voiced segment* is a run of frames with an F0, an *unvoiced segment* whatever lies between,
  before and after, silence included, and both count over the whole clip: these are the temporal
  features of eGeMAPS by its own definition [2], with our F0.

====================================  ===========  ===========  ======================
column                                no speech    no pause     no voice
====================================  ===========  ===========  ======================
speech_s, pause_count, pause_total_s  0            s, 0, 0      s, as usual
pause_rate_per_s, phonation_ratio     NaN          0, 1         as usual
pause_mean_s                          NaN          NaN          as usual
voiced_segments_per_s                 0            as usual     0
voiced_segment_mean_s                 NaN          as usual     NaN
====================================  ===========  ===========  ======================

A standard deviation (1/N, as in openSMILE) is NaN for fewer than two segments: one length does not
show how lengths differ. A count is 0 where there is nothing; a mean of nothing is undefined.

Contents
--------
`duration`    : the numbers of a signal, in the order of `COLUMNS`.
`pauses`      : begin and end of every pause.
`DESCRIPTORS` : "duration".

Sources
-------
[1] N. de Jong, T. Wempe, Behavior Research Methods 41(2), 2009: phonation time and pauses.
[2] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans.
    Affective Computing 7(2), 2016: temporal features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import pitch
from serfeat.types import Bools, Floats
from serfeat.vad import runs
from serfeat.vad.pauses import SHORTEST_PAUSE, find_pauses, frame_edges

__all__ = ["COLUMNS", "DESCRIPTORS", "duration", "pauses"]


COLUMNS = (
    "duration_s",
    "speech_s",
    "pause_count",
    "pause_rate_per_s",
    "pause_mean_s",
    "pause_total_s",
    "phonation_ratio",
    "voiced_segments_per_s",
    "voiced_segment_mean_s",
    "voiced_segment_std_s",
    "unvoiced_segment_mean_s",
    "unvoiced_segment_std_s",
)


def duration(
    x: ArrayLike, sr: int, *, hop: float = 0.010, shortest_pause: float = SHORTEST_PAUSE
) -> Floats:
    """Measure the duration of a clip, of its speech, and of its pauses and voiced segments.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames: the resolution of every time but the duration.
    shortest_pause : s; a shorter silence is speech.

    Returns
    -------
    (12,) in the order of `COLUMNS`; what is 0 and what NaN: see the module's table.

    Raises
    ------
    AudioError, FeatureError : see `ShortTime`, `serfeat.vad.three_way` and `pauses`.
    """
    return _duration(ShortTime(x, sr, hop), shortest_pause=shortest_pause)


def pauses(
    x: ArrayLike, sr: int, *, hop: float = 0.010, shortest: float = SHORTEST_PAUSE
) -> Floats:
    """Find the silences inside the utterance.

    Parameters
    ----------
    x, sr, hop : see `duration`.
    shortest : s; shorter silences are speech.

    Returns
    -------
    (k, 2) begin and end of every pause in s, increasing. The level is measured over 25 ms, so that
    a pause begins up to 12 ms late and ends as much early.

    Raises
    ------
    FeatureError : `shortest` is not positive.
    """
    return find_pauses(ShortTime(x, sr, hop), shortest)[0]


def _segments(edges: Floats, member: Bools) -> Floats:
    """(k,) s: the lengths of the runs of frames that are members."""
    first, stop, code = runs(member)
    lengths = edges[stop] - edges[first]
    return np.asarray(lengths[(code == 1) & (lengths > 0)])


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _spread(values: Floats) -> float:
    return float(values.std()) if len(values) > 1 else float("nan")


def _duration(st: ShortTime, *, shortest_pause: float = SHORTEST_PAUSE) -> Floats:
    """Compute the descriptor "duration": (12,)."""
    whole = st.grid.n_samples / st.sr
    found, utterance = find_pauses(st, shortest_pause)
    lengths = found[:, 1] - found[:, 0]
    silent = float(lengths.sum())
    edges = frame_edges(st)
    voiced = _segments(edges, pitch(st).voiced)
    unvoiced = _segments(edges, ~pitch(st).voiced)
    per_second = 1 / utterance if utterance else float("nan")
    return np.array(
        [
            whole,
            utterance - silent,
            len(lengths),
            len(lengths) * per_second,
            _mean(lengths),
            silent,
            (utterance - silent) * per_second,
            len(voiced) / whole,
            _mean(voiced),
            _spread(voiced),
            _mean(unvoiced),
            _spread(unvoiced),
        ]
    )


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="duration",
        columns=COLUMNS,
        unit=("s", "s", "1", "1/s", "s", "s", "1", "1/s", "s", "s", "s", "s"),
        summary="time of the clip, of its speech, pauses (150 ms or more, inside the utterance), "
        "voiced and unvoiced segments",
        source="pauses as de Jong & Wempe 2009; segments as the temporal features of eGeMAPS",
        compute=_duration,
        level="clip",
        undefined="means without a pause or segment, deviations with fewer than two of them; rates "
        "and ratio of a clip without speech",
        params={"shortest_pause": SHORTEST_PAUSE},
        oracle="a known layout of vowels and silence: 20 ms an edge, 3 ms a pause's centre; "
        "eGeMAPS's temporal features on EMO-DB: 15 % in the mean",
    ),
)
