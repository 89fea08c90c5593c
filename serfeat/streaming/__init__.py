"""Speech as it comes: frames, probabilities and their delay, from chunks of samples.

Conventions
-----------
Chunks may have any length; what comes out does not depend on it. A delay is algorithmic (how much
of the future a number needs) or computational (how long the computer takes), and the two are never
added up silently. Nothing grows with the length of the stream.

Contents
--------
`Stream`, `Frames`     : low-level descriptors, equal to the file's (`frames`).
`STREAMABLE`, `WHOLE`  : which descriptors can be had so, and which not and why (`reach`).
`FixedLag`             : F0's path, decided a fixed time late (`tracker`).
`CausalTIMNet`         : a network that is fed frame by frame (`timnet`; needs torch).
`Activity`             : whether somebody speaks (`activity`).
`Recogniser`, `Moment` : a stored model that listens (`recognition`).
`Feed`, `microphone`, `paced` : where samples come from in real time (`sources`).
"""

from __future__ import annotations

from serfeat.streaming.activity import Activity
from serfeat.streaming.frames import Frames, Stream
from serfeat.streaming.reach import STREAMABLE, WHOLE, Reach
from serfeat.streaming.recognition import UNKNOWN, Moment, Recogniser
from serfeat.streaming.sources import Feed, microphone, paced
from serfeat.streaming.tracker import FixedLag

__all__ = [
    "STREAMABLE",
    "UNKNOWN",
    "WHOLE",
    "Activity",
    "Feed",
    "FixedLag",
    "Frames",
    "Moment",
    "Reach",
    "Recogniser",
    "Stream",
    "microphone",
    "paced",
]
