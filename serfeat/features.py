"""Feature sets: which descriptors, deltas and functionals belong together under one name.

A set is data, not code: the names of descriptors (from `serfeat.lld`), how many orders of deltas,
the functionals, and the grid. At level ``"lld"`` it gives one row per frame, at ``"functionals"``
one row per clip. The sets of openSMILE are named here too and computed by their one adapter.

`fingerprint` is the part of the cache key that is not the audio: it changes whenever a setting, a
descriptor's version or a computing library changes, so that a store can never serve stale numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np

from serfeat.errors import did_you_mean
from serfeat.functionals import DEFAULT_FUNCTIONALS, FUNCTIONALS, apply
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.spectrum import delta
from serfeat.types import Floats

__all__ = ["FEATURE_SETS", "FeatureSet", "Level", "feature_set"]

Level = Literal["lld", "functionals"]

# Goes up when the arithmetic of functionals, deltas or of their order changes.
VERSION = 1


@dataclass(frozen=True)
class FeatureSet:
    """Descriptors, deltas and functionals on one grid.

    Parameters
    ----------
    name, summary : what the command line prints.
    descriptors : keys of `serfeat.lld.DESCRIPTORS`, in the order of the columns.
    deltas : orders of regression deltas added to the frame-level columns (0, 1 or 2).
    functionals : of the columns themselves.
    delta_functionals : of their deltas, whose mean says next to nothing.
    sr : Hz, the working rate that every clip is resampled to.
    hop : s between frames.
    external : name of an openSMILE set that makes the columns instead of our descriptors.
    """

    name: str
    summary: str
    descriptors: tuple[str, ...] = ()
    deltas: int = 0
    functionals: tuple[str, ...] = DEFAULT_FUNCTIONALS
    delta_functionals: tuple[str, ...] = ("std", "p05", "p95")
    sr: int = 16_000
    hop: float = 0.010
    external: str | None = None

    @cached_property
    def frame_descriptors(self) -> tuple[Descriptor, ...]:
        """The descriptors with one row per frame."""
        chosen = (DESCRIPTORS[name] for name in self.descriptors)
        return tuple(d for d in chosen if d.level == "frame")

    @cached_property
    def clip_descriptors(self) -> tuple[Descriptor, ...]:
        """The descriptors with one row per clip: they appear among the functionals only."""
        chosen = (DESCRIPTORS[name] for name in self.descriptors)
        return tuple(d for d in chosen if d.level == "clip")

    def columns(self, level: Level) -> tuple[str, ...]:
        """Column names at a level."""
        return tuple(name for name, _ in self._named(level))

    def units(self, level: Level) -> tuple[str, ...]:
        """One unit per column at a level."""
        return tuple(unit for _, unit in self._named(level))

    def width(self, level: Level) -> int:
        """Number of columns at a level; does not load openSMILE."""
        if self.external:
            from serfeat.lld.opensmile import EXTERNAL_SETS

            known = EXTERNAL_SETS[self.external]
            return known.n_lld if level == "lld" else known.n_functionals
        return len(self._named(level))

    @property
    def licence(self) -> str:
        """Licence tag of the code that computes the numbers; it travels with every table."""
        if self.external:
            from serfeat.lld.opensmile import LICENCE

            return LICENCE
        return "Apache-2.0"

    def require(self) -> None:
        """Raise now what would otherwise be every clip's failure: a licence that was not accepted.

        Raises
        ------
        FeatureError, MissingExtraError : see `serfeat.lld.opensmile`.
        """
        if self.external:
            from serfeat.lld import opensmile

            opensmile.require_consent()
            opensmile.columns(self.external, "lld")

    def compute(self, x: Floats, level: Level) -> Floats:
        """Compute the set on one clip at the set's rate.

        Parameters
        ----------
        x : (n,) mono in [-1, 1] at `sr`.
        level : ``"lld"`` or ``"functionals"``.

        Returns
        -------
        (rows, columns) float64: a row per frame for ``"lld"``, one row for ``"functionals"``.
        """
        if self.external:
            from serfeat.lld import opensmile

            return opensmile.compute(x, self.sr, self.external, level)
        st = ShortTime(x, self.sr, self.hop)
        own = np.concatenate([d(st) for d in self.frame_descriptors], axis=1)
        blocks = [own]
        for _ in range(self.deltas):
            blocks.append(delta(blocks[-1]))
        if level == "lld":
            return np.concatenate(blocks, axis=1)
        hop = st.hop / st.sr
        rows = [apply(own, hop, self.functionals)]
        rows += [apply(block, hop, self.delta_functionals) for block in blocks[1:]]
        rows += [d(st) for d in self.clip_descriptors]
        return np.concatenate(rows)[None, :]

    def fingerprint(self, level: Level) -> str:
        """16 hex digits that change with every setting, descriptor version and library."""
        settings: dict[str, Any] = {
            "set": self.name if self.external else "",
            "external": self.external,
            "level": level,
            "sr": self.sr,
            "hop": self.hop,
            "deltas": self.deltas,
            "features_version": VERSION,
            "descriptors": [
                [d.name, d.version, sorted((k, repr(v)) for k, v in d.params.items())]
                for d in (DESCRIPTORS[name] for name in self.descriptors)
            ],
            "libraries": _libraries("opensmile" if self.external else None),
        }
        if level == "functionals":
            settings["functionals"] = [self.functionals, self.delta_functionals]
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _named(self, level: Level) -> list[tuple[str, str]]:
        """(column, unit) pairs in the order of `compute`."""
        if self.external:
            from serfeat.lld import opensmile

            return [(c, opensmile.unit_of(c)) for c in opensmile.columns(self.external, level)]
        own = [
            pair for d in self.frame_descriptors for pair in zip(d.columns, d.units, strict=True)
        ]
        blocks = [own]
        for order in range(1, self.deltas + 1):
            suffix = "_delta" if order == 1 else f"_delta{order}"
            blocks.append([(f"{c}{suffix}", f"{u}/frame^{order}") for c, u in own])
        if level == "lld":
            return [pair for block in blocks for pair in block]
        named = []
        for block, names in zip(
            blocks, (self.functionals, *(self.delta_functionals,) * self.deltas), strict=True
        ):
            named += [
                (f"{c}__{f}", FUNCTIONALS[f].unit.format(u=u)) for c, u in block for f in names
            ]
        for d in self.clip_descriptors:
            named += list(zip(d.columns, d.units, strict=True))
        return named


def _libraries(extra: str | None) -> dict[str, str]:
    """Versions of the packages whose arithmetic the numbers depend on."""
    found = {}
    for package in ("numpy", "scipy", "soxr", "soundfile", *([extra] if extra else [])):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


_PROSODY = ("f0", "zcr", "energy")
_CLASSIC = ("f0", "zcr", "energy", "formants", "mfcc", "lpc", "plp", "teo", "teo_cb", "hnr")

FEATURE_SETS: dict[str, FeatureSet] = {
    s.name: s
    for s in (
        FeatureSet(
            "prosody",
            "F0, zero-crossing rate, energy, HNR, jitter and shimmer",
            (*_PROSODY, "hnr", "jitter", "shimmer"),
            deltas=1,
        ),
        FeatureSet("cepstral", "MFCC, LPCC and PLP with deltas", ("mfcc", "lpcc", "plp"), deltas=1),
        FeatureSet(
            "classic",
            "the classical families: F0, ZCR, energy, F1-F3, MFCC, LPC, PLP, TEO, HNR, jitter, "
            "shimmer",
            (*_CLASSIC, "jitter", "shimmer"),
            deltas=1,
        ),
        FeatureSet(
            "mfcc_deltas",
            "MFCC 0-13 with first and second deltas: frame vectors for the GMM",
            ("mfcc",),
            deltas=2,
        ),
        FeatureSet(
            "timnet39",
            "TIM-Net's front end: 39 static MFCC of librosa's convention at 22 050 Hz",
            ("mfcc39",),
            sr=22_050,
            hop=512 / 22_050,
        ),
        FeatureSet("egemaps", "eGeMAPSv02 by openSMILE (88 functionals)", external="eGeMAPSv02"),
        FeatureSet("compare2016", "ComParE 2016 by openSMILE (6373)", external="ComParE_2016"),
    )
}


def feature_set(name: str) -> FeatureSet:
    """Look a set up by name; an unknown one suggests the nearest."""
    if name not in FEATURE_SETS:
        raise did_you_mean("feature set", name, FEATURE_SETS)
    return FEATURE_SETS[name]
