"""Conditions of the test: the test clips are disturbed, the training is untouched.

A condition is what a recording goes through before its features are computed: noise, other voices,
a room, a telephone, a wrong level, and then, if one wants, noise suppression and voice activity
detection. It stands in the place of `FeatureSet.augment`, so that ``replace(feature_set(name),
augment=condition)`` computes and keeps features under it like all others.

Conventions
-----------
* What is random is drawn from the seed and the clip's own samples: the same clip gets the same
  noise in any order, on any machine and under any number of workers, and the same noise at every
  SNR, so that a curve over SNR is paired.
* The SNR is that of the active speech level (ITU-T P.56) over the RMS of the noise; see
  `serfeat.conditions.disturbance`. A silent clip gets no noise.
* Babble is made of other speakers' clips (`serfeat.conditions.crowd`). With held-out speakers these
  may be voices of the training, and they carry emotions of their own.
* `denoise` is one of `serfeat.denoise.PREPARATIONS`. `vad` is a detector of `serfeat.segments`:
  what it finds to be no speech is faded to zero, in place; time does not change.

Contents
--------
`Condition`     : a kind (`serfeat.conditions.kinds`) with its settings.
`CLEAN`         : the condition that changes nothing.
`conditions_of` : tables of a recipe, in which a setting may be a list -> conditions.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from serfeat.conditions.crowd import Crowd, crowd_of
from serfeat.conditions.kinds import KINDS, RANGES
from serfeat.denoise import PREPARATIONS
from serfeat.errors import FeatureError, did_you_mean
from serfeat.manifest import Manifest
from serfeat.segments import METHODS, speech_segments
from serfeat.segments import VERSION as VAD_VERSION
from serfeat.types import Floats

__all__ = ["CLEAN", "Condition", "conditions_of"]

VERSION = 1  # goes up when the samples of a condition change
FADE_S = 0.010  # s, on both sides of a stretch of speech

# What every kind may be told besides its own settings.
COMMON = ("name", "kind", "seed", "denoise", "vad")


@dataclass(frozen=True)
class Condition:
    """One way in which test clips differ from training clips.

    Parameters
    ----------
    name : for tables and figures, default: made of the settings; not part of the cache key.
    kind : key of `serfeat.conditions.kinds.KINDS`.
    snr : dB of white, pink and babble.
    voices : people in the babble.
    rt60, drr : s and dB of a room, see `serfeat.conditions.disturbance.room`.
    mu_law : of the telephone.
    gain : dB.
    share : of the samples that are clipped, 0..1.
    seed : another one draws other noise.
    denoise : key of `serfeat.denoise.PREPARATIONS`, afterwards; empty: none.
    vad : key of `serfeat.segments.METHODS`, after that; empty: none.
    crowd : whose voices the babble is made of; see `among`.

    Raises
    ------
    FeatureError, UnknownNameError : a kind, detector or preparation that does not exist, a setting
        that the kind needs and lacks, does not have, or that is out of range.
    """

    name: str = field(default="", repr=False, compare=False)
    kind: str = "clean"
    snr: float | None = None
    voices: int | None = None
    rt60: float | None = None
    drr: float | None = None
    mu_law: bool | None = None
    gain: float | None = None
    share: float | None = None
    seed: int = 0
    denoise: str = ""
    vad: str = ""
    crowd: Crowd | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise did_you_mean("condition", self.kind, KINDS)
        kind = KINDS[self.kind]
        if self.denoise and self.denoise not in PREPARATIONS:
            raise did_you_mean("preparation", self.denoise, PREPARATIONS, where="conditions")
        if self.vad and self.vad not in METHODS:
            raise did_you_mean("voice activity detector", self.vad, METHODS, where="conditions")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise FeatureError(
                f"seed is {self.seed!r}, expected 0 or more", where=self.kind, code="bad-parameter"
            )
        for word in RANGES:
            if word in kind.settings:
                # 10 and 10.0 are one condition: a key must not tell them apart.
                object.__setattr__(self, word, _checked(self.kind, word, getattr(self, word)))
            elif getattr(self, word) is not None:
                raise did_you_mean(f"setting of {self.kind}", word, [*COMMON, *kind.settings])
        if not self.name:
            object.__setattr__(self, "name", self._words)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Condition:
        """Make one from a recipe's table; errors as of the class."""
        known = [f.name for f in fields(cls) if f.name != "crowd"]
        given = {word: value for word, value in settings.items() if value is not None}
        for word, value in given.items():
            if word not in known:
                raise did_you_mean("word of a condition", word, known)
            if word in ("name", "kind", "denoise", "vad") and not isinstance(value, str):
                raise FeatureError(
                    f"{word} is {value!r}, expected text", where="conditions", code="bad-parameter"
                )
        return cls(**given)

    @property
    def identity(self) -> str:
        """Every setting and version, as text: part of the cache key."""
        steps = [VERSION]
        if self.denoise:
            steps.append(PREPARATIONS[self.denoise].version)
        if self.vad:
            steps.append(VAD_VERSION)
        return f"{self!r} {steps}"

    @property
    def changes(self) -> bool:
        """Whether a clip is any different under it."""
        return self.kind != "clean" or bool(self.denoise or self.vad)

    def among(self, manifest: Manifest) -> Condition:
        """The same condition with the voices that it needs, taken from a manifest.

        Raises
        ------
        ManifestError : see `serfeat.conditions.crowd.crowd_of`.
        """
        if not KINDS[self.kind].of_others or self.crowd is not None:
            return self
        return replace(self, crowd=crowd_of(manifest, seed=self.seed))

    def record(self) -> dict[str, Any]:
        """The settings that are set, as JSON can hold them, and the condition in words."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "crowd"}
        settings = {k: v for k, v in known.items() if v is not None and v != ""}
        return {**settings, "words": KINDS[self.kind].words.format(**_spoken(known))}

    def __call__(self, x: Floats, sr: int, *, speaker: str = "") -> Floats:
        """Put a clip under this condition.

        Parameters
        ----------
        x : (n,) samples.
        sr : Hz.
        speaker : "corpus/speaker" of the clip, who must not be heard in the babble.

        Returns
        -------
        (n,) samples, aligned with x; they may leave [-1, 1].

        Raises
        ------
        FeatureError : babble without voices, or of an unknown speaker; see
            `serfeat.conditions.disturbance`.
        """
        y = np.asarray(x, dtype=np.float64)
        if not self.changes or not len(y):
            return y
        content = hashlib.sha256(np.ascontiguousarray(y).tobytes())
        rng = np.random.default_rng([self.seed, *content.digest()[:16]])
        kind = KINDS[self.kind]

        def others(n: int) -> list[Floats]:
            if self.crowd is None:
                raise FeatureError(
                    "babble has no voices yet",
                    where=self.name,
                    code="no-crowd",
                    fix="use condition.among(manifest)",
                )
            return self.crowd.draw(n, sr, speaker, rng)

        y = kind.apply(y, sr, rng, others, **{word: getattr(self, word) for word in kind.settings})
        if self.denoise:
            y = PREPARATIONS[self.denoise].apply(y, sr)
        return _only_speech(y, sr, self.vad) if self.vad else y

    @property
    def _words(self) -> str:
        """A name made of the settings: "white 10 dB", "pink 0 dB + mmse"."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "crowd"}
        parts = [KINDS[self.kind].short.format(**_spoken(known))]
        parts += [self.denoise] if self.denoise else []
        parts += [f"vad {self.vad}"] if self.vad else []
        return " + ".join(parts) + (f", seed {self.seed}" if self.seed else "")


def conditions_of(tables: Iterable[Mapping[str, Any]]) -> tuple[Condition, ...]:
    """Make conditions of a recipe's tables; a list means each of its values, in every combination.

    ``{kind = "white", snr = [20, 10, 0], denoise = ["", "mmse"]}`` are six conditions.

    Raises
    ------
    FeatureError : two conditions of one name, or one called "clean" that is not.
    UnknownNameError : see `Condition`.
    """
    made = []
    for table in tables:
        lists = {k: v if isinstance(v, list | tuple) else [v] for k, v in table.items()}
        made += [
            Condition.of(dict(zip(lists, values, strict=True)))
            for values in itertools.product(*lists.values())
        ]
    names = [c.name for c in made]
    twice = [c.name for c in made if names.count(c.name) > 1 or (c.name == "clean" and c.changes)]
    if twice:
        raise FeatureError(
            f"two conditions are called {twice[0]!r}",
            where="conditions",
            code="same-name",
            fix="leave `name` out, or give each its own; clean clips are always tested",
        )
    return tuple(c for c in made if c.changes)


CLEAN = Condition("clean")


def _checked(kind: str, word: str, value: Any) -> float | bool:
    """A setting in its type and range, or its default."""
    least, most, default = RANGES[word]
    value = default if value is None else value
    wanted = float if default is None else type(default)
    numbers: Any = int | float if wanted is float else wanted
    flag = isinstance(value, bool) and wanted is not bool
    if flag or not isinstance(value, numbers) or not least <= value <= most:
        found = "is missing" if value is None else f"is {value!r}"
        raise FeatureError(
            f"{word} {found}, expected {least:g} to {most:g}",
            where=f"condition {kind}",
            code="bad-parameter",
        )
    checked: float | bool = wanted(value)
    return checked


def _spoken(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings as a name says them: 10.0 is "10", 0.05 of the samples "5 %"."""
    words = {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in settings.items()}
    words["mu_law"] = ", mu-law" if settings["mu_law"] else ""
    share = settings["share"]
    words["share"] = "" if share is None else f"{100 * share:g} %"
    return words


def _only_speech(x: Floats, sr: int, method: str) -> Floats:
    """Fade to zero what a detector does not take for speech."""
    mask = np.zeros(len(x))
    for begin, end in speech_segments(x, sr, method=method):
        mask[round(begin * sr) : round(end * sr)] = 1.0
    half = round(FADE_S * sr)
    slope = np.hanning(2 * half + 3)[1:-1]
    # The ends of the clip are no edges of speech: they keep what they have.
    wide = np.pad(mask, half, mode="edge")
    return np.asarray(x * np.convolve(wide, slope / slope.sum(), "valid"))
