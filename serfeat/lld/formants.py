"""Formants: the resonances of the vocal tract.

F1 falls with the closure of the vowel, F2 rises as the tongue moves forward, F3 falls with
rounding. Frequencies and bandwidths come from `serfeat.signal.resonances` (the method is described
there): the fast `"selective"` analysis by default, `"burg"` for Praat's numbers to a fraction of a
Hz.

Which frames
------------
The descriptors speak of voiced frames only (as eGeMAPS does): the poles of a hissing fricative are
numbered like formants, and would move a mean. The function `formants` gives all frames that are not
silence with ``frames="audible"``: whispered speech has formants too.

Trust
-----
F1 is drawn to the nearest harmonic, by up to 40 Hz at F0 = 200 Hz. The ceiling should fit the
speaker: `CEILINGS`. An empty upper band (telephone, MP3) renumbers the formants, in this and in
every other linear-prediction method; so does a nasal. Of a recording below 11 kHz a set at a higher
rate gives NaN (`serfeat.reach`): analyse it at its own rate. `track` repairs the numbering where
neighbours in time agree on it.

Contents
--------
`formants`        : F1 ... Fk and B1 ... Bk, frame by frame.
`track`           : the smoothest numbering along voiced runs (Viterbi).
`choose_ceiling`  : the ceiling that fits a voice.
`CEILINGS`        : the usual ones.

Sources
-------
[1] Praat manual: "Sound: To Formant (burg)...", "Formant: Track..." (the costs), and the ceilings.
[2] P. Escudero et al., "A cross-dialect acoustic description of vowels: Brazilian and European
    Portuguese", JASA 126(3), 2009: the ceiling at which a speaker's formants vary least.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError, did_you_mean
from serfeat.jit import COMPILED, jit
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch_plain import smoothest
from serfeat.signal.resonances import N_RESONANCES, Frames, Method, Resonances, resonances
from serfeat.types import Floats, Ints

__all__ = ["CEILINGS", "DESCRIPTORS", "Ceiling", "choose_ceiling", "formants", "track"]

# Hz: five formants lie below it ([1]).
CEILINGS = {"male": 5000.0, "female": 5500.0, "child": 8000.0}
Ceiling = float | Literal["male", "female", "child", "voice", "sex"]
USUAL_CEILING = 5500.0  # Hz, of a voice of which nothing is known

# What `choose_ceiling` looks through, Hz.
CANDIDATES = tuple(float(c) for c in range(4500, 6750, 250))

# Hz: where the formants of an average voice lie ([1]).
REFERENCES = (550.0, 1650.0, 2750.0, 3850.0, 4950.0)
# Of a pole: per kHz from its reference, and per ratio of bandwidth to frequency; of two neighbours
# in time: per octave between them ([1]).
FREQUENCY_COST, BANDWIDTH_COST, TRANSITION_COST = 1.0, 1.0, 1.0


def formants(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    n_formants: int = 3,
    ceiling: Ceiling = 5500.0,
    max_formants: float = 5.0,
    length: float = 0.025,
    preemphasis_from: float = 50.0,
    method: Method = "selective",
    frames: Frames = "audible",
    tracked: bool = False,
) -> Floats:
    """Formant frequencies and bandwidths ([1]).

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    n_formants : formants to give, 1 to 5.
    ceiling : Hz, top of the analysed band; or a key of `CEILINGS`; or ``"voice"``: chosen by
        `choose_ceiling`. (``"sex"`` is of the descriptors, which know whose clip it is.)
    max_formants : formants expected below the ceiling, two poles each; 4.5 means 9 poles in Praat.
    length : s, nominal; the Gaussian window is physically twice as long.
    preemphasis_from : Hz, above which the spectrum is raised by 6 dB per octave.
    method : ``"selective"``, or ``"burg"`` as in Praat.
    frames : ``"audible"`` or ``"voiced"``.
    tracked : number the resonances by `track`; with five formants there is nothing to choose.

    Returns
    -------
    (n_frames, 2 n_formants) Hz: F1 ... Fk, then B1 ... Bk. NaN in silence (60 dB below the loudest
    frame, or digital), in frames not asked for, and where the predictor has fewer resonances.

    Raises
    ------
    FeatureError : not 1 to 5 formants, or a window too short for the poles.
    UnknownNameError : a ceiling, method or choice of frames that does not exist.
    """
    return _formants(
        ShortTime(x, sr, hop),
        n_formants=n_formants,
        ceiling=ceiling,
        max_formants=max_formants,
        length=length,
        preemphasis_from=preemphasis_from,
        method=method,
        frames=frames,
        tracked=tracked,
    )


def _formants(
    st: ShortTime,
    *,
    n_formants: int = 3,
    ceiling: Ceiling = 5500.0,
    tracked: bool = False,
    max_formants: float = 5.0,
    length: float = 0.025,
    preemphasis_from: float = 50.0,
    method: Method = "selective",
    frames: Frames = "voiced",
) -> Floats:
    if not 1 <= n_formants <= N_RESONANCES:
        raise FeatureError(f"{n_formants} formants, expected 1 to {N_RESONANCES}", code="bad-count")
    found = resonances(
        st,
        ceiling=_ceiling(st, ceiling),
        max_formants=max_formants,
        length=length,
        preemphasis_from=preemphasis_from,
        method=method,
        frames=frames,
    )
    if tracked:
        found = track(found, n_formants)
    kept = found.frequency[:, :n_formants], found.bandwidth[:, :n_formants]
    return np.concatenate(kept, axis=1)


def _ceiling(st: ShortTime, ceiling: Ceiling) -> float:
    if ceiling == "voice":
        return choose_ceiling(st)
    if ceiling == "sex":
        return CEILINGS.get(st.sex, USUAL_CEILING)
    if isinstance(ceiling, str):
        if ceiling not in CEILINGS:
            raise did_you_mean("ceiling", ceiling, (*CEILINGS, "voice"))
        return CEILINGS[ceiling]
    return float(ceiling)


def choose_ceiling(st: ShortTime) -> float:
    """Find the ceiling at which the formants of a voice move least from frame to frame ([2]).

    With a wrong ceiling poles jump between formants. [2] takes the variance within a vowel; without
    vowels, this takes the mean step between neighbouring frames, in octaves, of F1, F2 and F3.

    Returns
    -------
    Hz, one of `CANDIDATES`; 5500 where nothing is voiced.
    """

    def roughness(ceiling: float) -> float:
        steps = np.abs(np.diff(np.log2(resonances(st, ceiling=ceiling).frequency[:, :3]), axis=0))
        known = steps[np.isfinite(steps).all(axis=1)]
        return float(known.mean()) if len(known) else np.inf

    def make() -> float:
        tried = [c for c in CANDIDATES if c <= st.sr / 2]
        rough = [roughness(c) for c in tried]
        return tried[int(np.argmin(rough))] if np.isfinite(rough).any() else USUAL_CEILING

    return st.memo(("ceiling",), make)


def track(found: Resonances, n_formants: int = 3) -> Resonances:
    """Number the resonances so that they run smoothly in time, as Praat's "Track" does ([1]).

    In every run of frames with resonances, a Viterbi search picks `n_formants` of the (up to five)
    resonances of each frame, in rising order, at the least cost: distance from the references,
    relative bandwidth, octaves between neighbours.

    Parameters
    ----------
    found : of every frame.
    n_formants : tracks, 1 to 5; a frame with fewer resonances has NaN in the upper tracks.

    Returns
    -------
    Resonances with `n_formants` columns.
    """
    out = Resonances(*(np.full((len(found.frequency), n_formants), np.nan) for _ in range(2)))
    count = np.isfinite(found.frequency).sum(axis=1)
    # A frame with fewer resonances than tracks ends a run: there is nothing to choose.
    few = np.flatnonzero((count > 0) & (count < n_formants))
    out.frequency[few] = found.frequency[few, :n_formants]
    out.bandwidth[few] = found.bandwidth[few, :n_formants]
    enough = np.concatenate([[False], count >= n_formants, [False]])
    choices = np.array(list(combinations(range(N_RESONANCES), n_formants)))
    for begin, end in np.flatnonzero(enough[1:] != enough[:-1]).reshape(-1, 2):
        run = slice(begin, end)
        costs = _costs(found.frequency[run], found.bandwidth[run], choices)
        chosen = choices[(_cheapest if COMPILED else _cheapest_plain)(*costs)]
        out.frequency[run] = np.take_along_axis(found.frequency[run], chosen, axis=1)
        out.bandwidth[run] = np.take_along_axis(found.bandwidth[run], chosen, axis=1)
    return out


def _costs(frequency: Floats, bandwidth: Floats, choices: Ints) -> tuple[Floats, Floats]:
    """Cost of every choice in every frame, (frames, choices), and its octaves, (..., tracks)."""
    references = np.array(REFERENCES[: choices.shape[1]])
    f, b = frequency[:, choices], bandwidth[:, choices]  # (frames, choices, tracks)
    local = FREQUENCY_COST * np.abs(f - references) / 1000 + BANDWIDTH_COST * b / f
    cost = local.sum(axis=2)
    # a choice of a resonance that is not there
    return np.where(np.isnan(cost), np.inf, cost), np.nan_to_num(np.log2(f))


def _cheapest_plain(local: Floats, octaves: Floats) -> Ints:
    """`_cheapest` with whole arrays."""

    def costs(begin: int, end: int) -> Floats:
        steps = octaves[begin:end, :, None] - octaves[begin - 1 : end - 1, None]
        return np.asarray(TRANSITION_COST * np.abs(steps).sum(axis=3))

    return smoothest(-local, costs)


@jit
def _cheapest(local: Floats, octaves: Floats) -> Ints:
    """(frames,) the choices along the cheapest path."""
    n, m, tracks = octaves.shape
    came = np.zeros((n, m), dtype=np.int64)
    score = local[0].copy()
    for t in range(1, n):
        before = score.copy()
        for c in range(m):
            best = np.inf
            for b in range(m):
                cost = before[b]
                for k in range(tracks):
                    cost += TRANSITION_COST * abs(octaves[t, c, k] - octaves[t - 1, b, k])
                if cost < best:
                    best = cost
                    came[t, c] = b
            score[c] = local[t, c] + best
    path = np.zeros(n, dtype=np.int64)
    path[n - 1] = np.argmin(score)
    for t in range(n - 1, 0, -1):
        path[t - 1] = came[t, path[t]]
    return path


def _descriptor(name: str, summary: str, source: str, oracle: str, **params: object) -> Descriptor:
    n = int(str(params.get("n_formants", 3)))
    return Descriptor(
        name=name,
        columns=tuple(f"{letter}{k}_hz" for letter in "fb" for k in range(1, n + 1)),
        unit="Hz",
        summary=summary,
        source=source,
        compute=_formants,
        undefined="in unvoiced frames; where fewer resonances are found",
        params=params,
        # Version 4: frames are pre-emphasised before they are windowed, as Burg's always were.
        version=3 if params.get("method") == "burg" else 4,
        oracle=oracle,
        by_sex=params.get("ceiling") == "sex",
    )


DESCRIPTORS: tuple[Descriptor, ...] = (
    _descriptor(
        "formants",
        "frequencies and bandwidths of the first three formants in voiced frames (selective linear "
        "prediction, ceiling 5500 Hz)",
        "Makhoul 1975; settings of Praat, Sound: To Formant (burg)",
        "Praat, To Formant (burg), on EMO-DB: 1 Hz in the median of F1, F2, F3; Klatt "
        "vowels: 10 Hz and 1 % at 100 Hz, 5 % at 200 Hz, 1 % with noise",
        ceiling=USUAL_CEILING,
    ),
    _descriptor(
        "formants_by_sex",
        "the first three formants, with a ceiling of 5000 Hz for men and 5500 Hz for women, as the "
        "manifest's column sex says; 5500 Hz, and a flag, where it says nothing",
        "Makhoul 1975; ceilings of the Praat manual, Sound: To Formant (burg)",
        "formants at these ceilings: the same numbers",
        ceiling="sex",
    ),
    _descriptor(
        "formants_tracked",
        "the first three formants, the ceiling chosen for the voice, numbered by a Viterbi search",
        "Escudero et al. 2009; Praat, Formant: Track",
        "a known layout of spurious and missing poles: exact; the resonances are those of formants",
        ceiling="voice",
        tracked=True,
    ),
    _descriptor(
        "formants_burg",
        "the first five formants by Burg's method, to a fraction of a Hz those of Praat",
        "Praat, Sound: To Formant (burg)",
        "Praat, To Formant (burg): 1e-3 Hz without resampling, on EMO-DB 1 Hz in the median; Klatt "
        "vowels: 10 Hz and 1 % at 100 Hz",
        ceiling=USUAL_CEILING,
        n_formants=5,
        method="burg",
    ),
)
