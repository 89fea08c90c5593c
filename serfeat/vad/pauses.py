"""The utterance inside a clip, and the pauses inside the utterance.

Durations, rates and syllable counts all ask where speech begins, stops and ends; the answer comes
from the labels of `serfeat.vad.three_way`. A frame stands for the hop around its centre.

Contents
--------
`SHORTEST_PAUSE` : s; a shorter silence is part of speech, such as the closure of a stop.
`frame_edges`    : the places between the frames.
`find_pauses`    : the pauses, and how long the utterance lasts.
"""

from __future__ import annotations

import numpy as np

from serfeat.errors import FeatureError
from serfeat.shorttime import ShortTime
from serfeat.types import Floats
from serfeat.vad import SILENCE, runs, three_way

__all__ = ["SHORTEST_PAUSE", "find_pauses", "frame_edges"]

SHORTEST_PAUSE = 0.150


def frame_edges(st: ShortTime) -> Floats:
    """(n_frames + 1,) s: where one frame's hop ends and the next one's begins; 0 to the end."""
    places = (np.arange(st.n_frames + 1) - 0.5) * st.hop
    places[0], places[-1] = 0, st.grid.n_samples
    return np.asarray(places / st.sr)


def find_pauses(st: ShortTime, shortest: float = SHORTEST_PAUSE) -> tuple[Floats, float]:
    """Find the silences between the first and the last frame that is not silent.

    Parameters
    ----------
    st : the clip on its grid.
    shortest : s; shorter silences are speech.

    Returns
    -------
    (k, 2) s: begin and end of every pause, increasing; and the duration of the utterance, s: 0 for
    a clip without speech.

    Raises
    ------
    FeatureError : `shortest` is not positive.
    """
    if not shortest > 0:
        raise FeatureError(
            f"a shortest pause of {shortest} s, expected more than 0", code="bad-length"
        )
    edges, codes = frame_edges(st), three_way(st)
    spoken = np.flatnonzero(codes != SILENCE)
    if not len(spoken):
        return np.zeros((0, 2)), 0.0
    begin, end = int(spoken[0]), int(spoken[-1]) + 1
    first, stop, code = runs(codes[begin:end])
    silent = np.column_stack([edges[begin + first], edges[begin + stop]])[code == SILENCE]
    # Times are sums of hops: one of 0.15 s may come out a rounding error shorter.
    long = silent[:, 1] - silent[:, 0] > shortest - 1e-9
    return silent[long], float(edges[end] - edges[begin])
