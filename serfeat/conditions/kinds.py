"""The kinds of conditions that a test clip can be put under.

Conventions
-----------
A kind is a function ``(x, sr, rng, others, **settings) -> y``: samples in, as many samples out,
aligned; `rng` is the only source of chance, and ``others(n)`` gives n voices of other speakers.
Adding a kind is one function and one line in `KINDS`, a new setting one line in `RANGES`.

Contents
--------
`KINDS`  : kind -> what it does and what it may be told.
`RANGES` : setting -> least, most, default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from serfeat.augment import hiss
from serfeat.conditions.disturbance import (
    active_level,
    at_snr,
    babble,
    clipped,
    reverberated,
    room,
    telephone,
)
from serfeat.types import Floats

__all__ = ["KINDS", "RANGES", "Kind"]

Others = Callable[[int], list[Floats]]


@dataclass(frozen=True)
class Kind:
    """A kind of condition.

    Parameters
    ----------
    short : its name in tables, made of the settings.
    words : what is done, in words.
    settings : what it may be told, keys of `RANGES`.
    apply : see the module.
    of_others : whether it needs other speakers' voices.
    """

    short: str
    words: str
    settings: tuple[str, ...]
    apply: Callable[..., Floats] = field(repr=False)
    of_others: bool = False


# setting -> least, most, default; a default of None: it must be given.
RANGES: Mapping[str, tuple[float, float, float | bool | None]] = {
    "snr": (-40.0, 80.0, None),
    "voices": (1, 32, 6),
    "rt60": (0.05, 10.0, None),
    "drr": (-30.0, 60.0, 0.0),
    "mu_law": (False, True, False),
    "gain": (-80.0, 80.0, None),
    "share": (0.0, 0.9, None),
}


def _as_recorded(x: Floats, sr: int, rng: np.random.Generator, others: Others) -> Floats:  # noqa: ARG001
    return x


def _white(x: Floats, sr: int, rng: np.random.Generator, _: Others, *, snr: float) -> Floats:
    return x + at_snr(hiss(len(x), rng), active_level(x, sr).rms, snr)


def _pink(x: Floats, sr: int, rng: np.random.Generator, _: Others, *, snr: float) -> Floats:
    return x + at_snr(hiss(len(x), rng, pink=True), active_level(x, sr).rms, snr)


def _babble(
    x: Floats, sr: int, rng: np.random.Generator, others: Others, *, snr: float, voices: int
) -> Floats:
    heard = babble(others(voices), sr, len(x), rng)
    return x + at_snr(heard, active_level(x, sr).rms, snr)


def _in_a_room(
    x: Floats, sr: int, rng: np.random.Generator, _: Others, *, rt60: float, drr: float
) -> Floats:
    return reverberated(x, room(sr, rt60, drr, rng))


def _telephone(
    x: Floats,
    sr: int,
    rng: np.random.Generator,  # noqa: ARG001
    others: Others,  # noqa: ARG001
    *,
    mu_law: bool,
) -> Floats:
    return telephone(x, sr, mu_law=mu_law)


def _louder(x: Floats, sr: int, rng: np.random.Generator, others: Others, *, gain: float) -> Floats:  # noqa: ARG001
    return np.asarray(x * 10 ** (gain / 20))


def _clipped(
    x: Floats,
    sr: int,  # noqa: ARG001
    rng: np.random.Generator,  # noqa: ARG001
    others: Others,  # noqa: ARG001
    *,
    share: float,
) -> Floats:
    return clipped(x, share)


KINDS: Mapping[str, Kind] = {
    "clean": Kind("clean", "as recorded", (), _as_recorded),
    "white": Kind("white {snr} dB", "white noise at {snr} dB SNR", ("snr",), _white),
    "pink": Kind("pink {snr} dB", "1/f noise at {snr} dB SNR", ("snr",), _pink),
    "babble": Kind(
        "babble of {voices}, {snr} dB",
        "{voices} voices of other speakers at {snr} dB SNR",
        ("snr", "voices"),
        _babble,
        of_others=True,
    ),
    "reverberation": Kind(
        "reverberation {rt60} s, {drr} dB",
        "a synthetic room with a reverberation time of {rt60} s and a direct-to-reverberant ratio "
        "of {drr} dB, another one for every clip",
        ("rt60", "drr"),
        _in_a_room,
    ),
    "telephone": Kind(
        "telephone{mu_law}", "300 to 3400 Hz at 8 kHz{mu_law}", ("mu_law",), _telephone
    ),
    "gain": Kind("gain {gain} dB", "the level changed by {gain} dB", ("gain",), _louder),
    "clipping": Kind(
        "clipping {share}", "{share} of the samples cut off at the limit", ("share",), _clipped
    ),
}
