"""Which descriptors a stream can have, and how long each makes it wait.

A frame of a descriptor is a function of the samples around its centre. The frame is ready once the
last of them is there: half a window after its centre, and a little more where the samples are
filtered first. That is the algorithmic delay; no computer makes it shorter. Descriptors of the
voice also need to know F0, whose path is decided `LAG` later (`serfeat.streaming.tracker`).

What looks at a whole recording cannot be streamed, and is refused by name.

Contents
--------
`Reach`      : how far around its centre a descriptor looks.
`STREAMABLE` : descriptor -> `Reach`.     `WHOLE` : descriptor -> why it needs the whole recording.
`reach_of`   : of several descriptors together.     `samples_of` : seconds in samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from serfeat.errors import FeatureError

__all__ = ["LAG", "PITCH", "STREAMABLE", "WHOLE", "Reach", "reach_of", "samples_of"]

LAG = 0.05  # s that the path of F0 is decided late


@dataclass(frozen=True)
class Reach:
    """How far around its centre a frame's samples go.

    Parameters
    ----------
    before, after : s.
    frames : frames before its own that it compares it with, whatever the hop.
    pitch : whether it needs F0, and so waits for its decision.
    tolerance : 0: the same bits as from the file; else the largest difference, as a part of the
        column's largest value, that the order of additions makes.
    """

    before: float
    after: float
    pitch: bool = False
    tolerance: float = 0.0
    frames: int = 0


# Three periods of 75 Hz, which the autocorrelation of `serfeat.signal.pitch` looks at.
PITCH = Reach(0.020, 0.020)

_FRAME = Reach(0.0125, 0.0125)  # the usual window of 25 ms
_EDGE = 0.000_25  # s: operators that take a few neighbouring samples

STREAMABLE: dict[str, Reach] = {
    "f0": Reach(0.020, 0.020, pitch=True),
    "f0_yin": Reach(0.020, 0.020, tolerance=1e-9),
    "zcr": _FRAME,
    "energy": _FRAME,
    "intensity": Reach(0.0325, 0.0325, tolerance=1e-9),
    "loudness": Reach(0.0125, 0.0125, tolerance=1e-9),
    "loudness_20ms": Reach(0.010, 0.010, tolerance=1e-9),
    "formants": Reach(0.025, 0.025, pitch=True, tolerance=1e-9),
    "mfcc": _FRAME,
    "mfcc_20ms": Reach(0.010, 0.010),
    "mfcc_htk": _FRAME,
    "mfcc_kaldi": _FRAME,
    "lpc": _FRAME,
    "lpc_covariance": _FRAME,
    "lpc_burg": _FRAME,
    "lpcc": _FRAME,
    "lsf": Reach(0.0125, 0.0125, tolerance=1e-9),
    "plp": _FRAME,
    "plp_hermansky": _FRAME,
    "plp_erb": _FRAME,
    "plp_erb_sqrt": _FRAME,
    "plp_erb_log": Reach(0.0125, 0.0125, tolerance=1e-9),
    "teo": Reach(0.0125 + _EDGE, 0.0125 + _EDGE),
    "desa": Reach(0.0125 + _EDGE, 0.0125 + _EDGE),
    "teo_mfcc": Reach(0.0125 + _EDGE, 0.0125 + _EDGE),
    "teo_cb": Reach(0.060, 0.060, pitch=True, tolerance=1e-9),
    "hnr": Reach(0.040, 0.040, pitch=True),
    "hnr_ac": Reach(0.020, 0.020, pitch=True),
    "cpp": Reach(0.050, 0.050, tolerance=1e-6),
    # The flux compares a frame with the one before it.
    "spectral": Reach(0.0125, 0.0125, tolerance=1e-9, frames=1),
    "spectral_20ms": Reach(0.010, 0.010, tolerance=1e-9, frames=1),
    "harmonics": Reach(0.040, 0.040, pitch=True, tolerance=1e-9),
    "samples": Reach(0.0, 0.010),
}

WHOLE: dict[str, str] = {
    "f0_two_pass": "its range comes from the whole recording; take f0",
    "f0_cc": "its path of F0 goes through the whole recording; take f0 or f0_yin",
    "f0_shs": "its path of F0 goes through the whole recording; take f0 or f0_yin",
    "formants_by_sex": "a stream does not say who speaks; take formants",
    "formants_tracked": "its path of formants goes through the whole recording; take formants",
    "formants_burg": "it resamples the whole recording; take formants",
    "mfcc_librosa": "its floor lies 80 dB below the loudest frame of the recording; take mfcc",
    "mfcc39": "its floor lies 80 dB below the loudest frame of the recording; take mfcc",
    "rasta_plp": "its filter remembers several seconds; take plp",
    "teo_fm_var": "its filter lies at the recording's median F0; take teo_cb",
    "cycles": "it chains the pulses of the whole recording; take hnr",
    "pitch_spline": "it is a statistic of a recording",
    "speech_rate": "it is a statistic of a recording",
    "loudness_peaks": "it is a statistic of a recording",
    "sound_level": "it is a statistic of a recording",
    "duration": "it is a statistic of a recording",
    "jitter": "it is a statistic of a recording",
    "shimmer": "it is a statistic of a recording",
    "cpps": "it is a statistic of a recording",
}


def reach_of(names: Iterable[str]) -> Reach:
    """Reach of several descriptors that are asked for together.

    Raises
    ------
    FeatureError : one of them needs the whole recording.
    """
    found = []
    for name in names:
        if name not in STREAMABLE:
            reason = WHOLE.get(name, "nobody has looked how far it reaches")
            raise FeatureError(
                f"{name} cannot be streamed: {reason}",
                where="stream",
                code="not-causal",
                fix="leave it out, or predict over a sliding window",
            )
        found.append(STREAMABLE[name])
    return Reach(
        max((r.before for r in found), default=0.0),
        max((r.after for r in found), default=0.0),
        any(r.pitch for r in found),
        max((r.tolerance for r in found), default=0.0),
        max((r.frames for r in found), default=0),
    )


def samples_of(seconds: float, sr: int) -> int:
    """Samples that surely cover so many seconds: windows are rounded to either side."""
    return math.ceil(seconds * sr) + 1
