"""A feature set: which descriptors, deltas and functionals belong together under one name.

A set is data, not code: the names of descriptors (from `serfeat.lld`), how many orders of deltas,
the functionals, and the grid. At level ``"lld"`` it gives one row per frame, at ``"functionals"``
one row per clip. The sets of openSMILE are named here too and computed by their one adapter.

`fingerprint` is the part of the cache key that is not the audio: it changes whenever a setting, a
descriptor's version or a computing library changes, so that a store can never serve stale numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np

from serfeat.allocator import give_back, trim
from serfeat.audio import DECODER
from serfeat.augment import Change
from serfeat.denoise import PREPARATIONS, Preparation
from serfeat.encoders import EncoderColumns
from serfeat.errors import FeatureError, did_you_mean
from serfeat.functionals import DEFAULT_FUNCTIONALS, apply, functional
from serfeat.lld import DESCRIPTORS
from serfeat.lld.formants import CEILINGS
from serfeat.lld.mfcc import centre_fit
from serfeat.reach import beyond
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import Pitch, pitch, tell_pitch
from serfeat.spectrum import delta, moving_average
from serfeat.types import Floats, Floats32, Reals

__all__ = ["FeatureSet", "Level"]

Level = Literal["lld", "functionals"]

BLOCK = 8192  # frames whose deltas are computed at a time

# The word before the place of an encoder, and what is said of its columns over time.
ENCODER = "encoder:"
ENCODER_FUNCTIONALS = ("mean", "std")

# Goes up when the arithmetic of functionals, deltas or of their order changes, or `serfeat.reach`,
# or what is done to every recording when it is read.
VERSION = 7

# s of voice below which what is said of it rests on next to nothing
LITTLE_VOICE = 0.100


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
    hop : s between frames, as asked for; `hop_s` is what it is.
    external : name of an openSMILE set that makes the columns instead of our descriptors.
    prepare : keys of `serfeat.denoise.PREPARATIONS`, applied to the samples first, in this order;
        they change samples and never time.
    backend : key of `serfeat.lld.backends.BACKENDS`, whose descriptors are taken where it has them.
    keep : the columns of ``"functionals"`` that are given, in this order; none named: all of them.
    encoder : a layer of a pretrained encoder whose columns stand after all others.
    augment : computes the set on another version of every clip, for training, or under a condition
        of the test (`serfeat.conditions`).
    fit : samples that every clip is brought to first, by zeros on both sides or by cutting both
        ends (see `serfeat.lld.mfcc.centre_fit`); 0 leaves it. Frames are then those of the fitted
        clip: for networks that were published so, not for measuring.
    sparse : leave out the ``_voiced`` and ``_unvoiced`` functionals of columns that only voiced
        frames have: the former say nothing more, the latter nothing at all.
    smooth : frames of the moving average that the contours pass before their functionals (and
        before deltas); odd. Undefined frames take no part in it and stay undefined.
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
    prepare: tuple[str, ...] = ()
    backend: str = ""
    keep: tuple[str, ...] = ()
    smooth: int = 1
    sparse: bool = False
    encoder: EncoderColumns | None = None
    augment: Change | None = None
    fit: int = 0

    @cached_property
    def chosen(self) -> tuple[Descriptor, ...]:
        """The descriptors themselves, the backend's in place of ours where it has them.

        Raises
        ------
        UnknownNameError : a descriptor or backend that does not exist.
        FeatureError : two descriptors give a column of the same name.
        """
        theirs: Mapping[str, Descriptor] = {}
        if self.backend:
            from serfeat.lld.backends import BACKENDS

            if self.backend not in BACKENDS:
                raise did_you_mean("backend", self.backend, BACKENDS)
            theirs = BACKENDS[self.backend]
        for name in self.descriptors:
            if name not in DESCRIPTORS:
                raise did_you_mean("descriptor", name, DESCRIPTORS)
        found = tuple(theirs.get(name) or DESCRIPTORS[name] for name in self.descriptors)
        names = [column for d in found for column in d.columns]
        if twice := {n for n in names if names.count(n) > 1}:
            raise FeatureError(
                f"two descriptors give the column {min(twice)}",
                where=f"feature set {self.name}",
                code="same-column",
                fix="leave one of them out",
            )
        return found

    @cached_property
    def frame_descriptors(self) -> tuple[Descriptor, ...]:
        """The descriptors with one row per frame."""
        return tuple(d for d in self.chosen if d.level == "frame")

    @cached_property
    def clip_descriptors(self) -> tuple[Descriptor, ...]:
        """The descriptors with one row per clip: they appear among the functionals only."""
        return tuple(d for d in self.chosen if d.level == "clip")

    @cached_property
    def by_sex(self) -> bool:
        """Whether a value depends on the speaker's sex as the manifest has it."""
        return any(d.by_sex for d in self.chosen)

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
        """Licence tag of what computes the numbers; it travels with every table."""
        if self.external:
            from serfeat.lld.opensmile import LICENCE

            return LICENCE
        own = "Apache-2.0"
        theirs = {d.licence for d in self.chosen}
        if self.encoder is not None:
            theirs.add(f"{self.encoder.licence} (encoder)")
        return " and ".join([own, *sorted(theirs - {own})])

    @property
    def folder(self) -> str:
        """What the store calls its folder: the name, with no path of an encoder in it."""
        names = [n for n in self.name.split(",") if not n.startswith(ENCODER)]
        base = ["custom"] if len(names) > 1 or names == ["custom"] else names
        if self.encoder is not None:
            base.append(f"{self.encoder.architecture.kind}-{self.encoder.layer}")
        # A part of a set ("classic:f0+teo") has a sign in it that not every file system bears.
        return "-".join(base).replace(":", "~")

    def require(self) -> None:
        """Raise now what would otherwise be every clip's failure.

        Raises
        ------
        FeatureError, MissingExtraError : a licence that was not accepted, a package that is not
            installed; see `serfeat.lld.opensmile`.
        ModelError : an encoder whose weights are missing or damaged.
        """
        if self.external:
            from serfeat.lld import opensmile

            opensmile.require_consent()
            opensmile.columns(self.external, "lld")
        if self.backend:
            from serfeat.lld.backends import require

            require(self.backend)
        if self.prepare:
            _preparations(self.prepare)
        if self.encoder is not None:
            self.encoder.require()

    def compute(
        self,
        x: Reals,
        level: Level,
        *,
        speaker: str = "",
        sex: str = "",
        recorded: int | None = None,
        flags: list[str] | None = None,
        consume: bool = False,
    ) -> Reals:
        """Compute the set on one clip at the set's rate.

        Parameters
        ----------
        x : (n,) mono in [-1, 1] at `sr`.
        level : ``"lld"`` or ``"functionals"``.
        speaker : "corpus/speaker" of the clip, which a condition of the test may ask for.
        sex : of the speaker, if the manifest says, for descriptors `by_sex`.
        recorded : Hz, the rate at which it was recorded: columns that describe what is above the
            half of it are NaN (`serfeat.reach`). None: at least the set's.
        flags : receives what is odd about the clip and shows in the analysis only.
        consume : whether `x` is not needed afterwards: of a long clip (of `load_audio`), samples
            that were analysed are given back to the system, and read as 0 from then on.

        Returns
        -------
        (rows, columns): a row per frame for ``"lld"``, one row for ``"functionals"``. float64, or
        float32 for the frames of a long clip (`ShortTime.long`) and for those of an encoder alone.
        """
        consume = consume and self.encoder is None
        if flags is not None and self.by_sex and sex not in CEILINGS:
            flags.append("sex unknown")
        values = self._computed(x, level, speaker, sex, flags, consume)
        if recorded is not None and recorded < self.sr:
            empty = beyond(self.columns(level), self.sr, recorded)
            if empty:
                values = np.array(values)
                values[:, list(empty)] = np.nan
        return values

    def _computed(
        self,
        x: Reals,
        level: Level,
        speaker: str,
        sex: str,
        flags: list[str] | None,
        consume: bool,
    ) -> Reals:
        """(rows, columns) of all that the set is made of."""
        if self.augment is not None:
            x = self.augment(np.asarray(x, dtype=np.float64), self.sr, speaker=speaker)
        if self.fit:
            x = centre_fit(x, self.fit)
        for step in _preparations(self.prepare):
            x = step.apply(np.asarray(x, dtype=np.float64), self.sr)
        if self.external:
            from serfeat.lld import opensmile

            return opensmile.compute(x, self.sr, self.external, level)
        if self.encoder is None:
            return self._own(x, level, sex, flags, consume)
        theirs = self._of_encoder(self.encoder, x, level)
        if not self.chosen:
            return theirs
        return np.concatenate([self._own(x, level, sex, flags, consume), theirs], axis=1)

    def _of_encoder(self, encoder: EncoderColumns, x: Reals, level: Level) -> Reals:
        """(rows, columns) of the encoder, at either level."""
        positions = encoder.positions(x, self.sr)
        if level == "lld" and self.chosen:
            return encoder.frames(positions, 1 + len(x) // round(self.hop * self.sr), self.hop_s)
        if not len(positions):
            positions = np.full((1, positions.shape[1]), np.nan, dtype=np.float32)
        if level == "lld":
            return positions
        return apply(positions, encoder.architecture.hop_s, self._encoder_functionals)[None, :]

    @property
    def _encoder_functionals(self) -> tuple[str, ...]:
        """Beside descriptors, `functionals` are theirs: other statistics of a state say little."""
        return ENCODER_FUNCTIONALS if self.chosen else self.functionals

    def _own(
        self, x: Reals, level: Level, sex: str, flags: list[str] | None, consume: bool
    ) -> Reals:
        """(rows, columns) of the descriptors."""
        whole = ShortTime(x, self.sr, self.hop, sex=sex)
        if whole.long and level == "lld" and self.smooth == 1:
            return _with_deltas(self._frames(whole, 1 + self.deltas, consume), self.deltas)
        consume = consume and not (level == "functionals" and self._wants_the_whole)
        own = self._frames(whole, 1, consume) if whole.long else self._described(whole)
        if self.smooth > 1:
            own = moving_average(own, self.smooth)
        if flags is not None and whole.peak > 0 and whole.knows("pitch"):
            heard = float(pitch(whole).voiced.sum()) * self.hop_s
            flags += [f"voiced for {1e3 * heard:.0f} ms only"] if heard < LITTLE_VOICE else []
        if level == "lld" and whole.long:
            beside = np.empty((len(own), self.deltas * own.shape[1]), dtype=own.dtype)
            return _with_deltas(np.concatenate([own, beside], axis=1), self.deltas)
        if level == "lld":
            contours = [own]
            for _ in range(self.deltas):
                contours.append(delta(contours[-1]))
            return np.concatenate(contours, axis=1)
        parts = self._summed_up(own, whole)
        del own  # of a long clip they are megabytes, and the descriptors that follow take their own
        for d in self.clip_descriptors:
            parts.append(d(whole))
            if whole.long:
                trim()
        return np.concatenate(parts)[self._kept][None, :]

    def _summed_up(self, own: Reals, whole: ShortTime) -> list[Floats]:
        """Functionals of the frames, then of their deltas."""
        voiced = None
        names = (*self.functionals, *self.delta_functionals)
        if any(functional(name).frames != "all" for name in names):
            voiced = pitch(whole).voiced
        # A few columns of a long clip at a time: their copies for sorting stay small.
        width = 2 if whole.long else own.shape[1]
        rows: list[list[Floats]] = [[] for _ in range(1 + self.deltas)]
        for first in range(0, own.shape[1], max(width, 1)):
            contours = own[:, first : first + width]
            for order in range(1 + self.deltas):
                names = self.delta_functionals if order else self.functionals
                contours = delta(contours) if order else contours
                rows[order].append(apply(contours, self.hop_s, names, voiced=voiced))
        return [part for order in rows for part in order]

    @cached_property
    def _wants_the_whole(self) -> bool:
        """Whether the functionals of a long clip ask for more than its frames."""
        names = (*self.functionals, *self.delta_functionals)
        voiced = any(functional(name).frames != "all" for name in names)
        return voiced or bool(self.clip_descriptors)

    @cached_property
    def _kept(self) -> list[int]:
        """Places, among all functionals, of those that are given."""
        places = {name: i for i, (name, _) in enumerate(self._all_named("functionals"))}
        for name in self.keep:
            if name not in places:
                raise did_you_mean(f"column of {self.name}", name, places)
        if self.keep:
            return [places[name] for name in self.keep]
        if not self.sparse:
            return list(places.values())
        voiced_only = {
            column
            for d in self.frame_descriptors
            if "unvoiced" in d.undefined
            for column in d.columns
        }

        def means_something(name: str) -> bool:
            column, _, statistic = name.partition("__")
            column = column.partition("_delta")[0]
            return column not in voiced_only or not statistic.endswith(("_voiced", "_unvoiced"))

        return [i for name, i in places.items() if means_something(name)]

    @property
    def hop_s(self) -> float:
        """Seconds between frames: `hop` in whole samples, which 11 025 Hz has no 10 ms of."""
        return round(self.hop * self.sr) / self.sr

    def _described(self, st: ShortTime) -> Floats:
        """(n_frames, columns) of the frame-level descriptors."""
        nothing = np.empty((st.n_frames, 0))  # of a set of clip-level descriptors only
        return np.concatenate([nothing, *(d(st) for d in self.frame_descriptors)], axis=1)

    def _frames(self, whole: ShortTime, blocks: int, consume: bool) -> Floats32:
        """(n_frames, columns) of a long clip, stretch by stretch, so that memory stays small.

        `blocks` times as many columns: those after the first are the caller's to fill. Samples
        that no stretch asks for any more are given back to the system where `consume` allows it.

        What looks further than its margin (the path of the pitch, the loudest frame) sees only its
        stretch. The clip is told the pitch that its stretches found, as it would find it itself.
        """
        width = sum(len(d.columns) for d in self.frame_descriptors)
        out = np.empty((whole.n_frames, blocks * width), dtype=np.float32)  # costs nothing yet
        contour = np.full((2, whole.n_frames), np.nan)
        heard = False
        for frames, inside, stretch in whole.stretches():
            if consume:  # what lies before this stretch
                give_back(whole.samples, (frames.start - inside.start) * whole.hop)
            out[frames, :width] = self._described(stretch)[inside]
            if heard := stretch.knows("pitch"):
                found = pitch(stretch)
                contour[:, frames] = found.f0[inside], found.strength[inside]
        if heard:
            contour.flags.writeable = False
            tell_pitch(whole, Pitch(*contour))
        trim()  # what the stretches took is of no use to what comes after them
        return out

    def fingerprint(self, level: Level, *, libraries: bool = True) -> str:
        """16 hex digits that change with every setting, descriptor version and library.

        Parameters
        ----------
        libraries : False: the versions of other packages take no part. What is equal then is
            computed by the same rules, if not to the last bit.
        """
        settings: dict[str, Any] = {
            "set": self.name if self.external else "",
            "external": self.external,
            "level": level,
            "sr": self.sr,
            "hop": self.hop,
            "deltas": self.deltas,
            "features_version": VERSION,
            "decoder": DECODER,
            "descriptors": [
                [d.name, d.version, sorted((k, repr(v)) for k, v in d.params.items())]
                for d in self.chosen
            ],
        }
        if libraries:
            settings["libraries"] = _libraries(self._computed_by())
        if not self.external:
            settings["columns"] = self.columns(level)  # also when only the rule for them changes
        if self.smooth > 1:
            settings["smooth"] = self.smooth
        if self.encoder is not None:
            theirs = self.encoder.fingerprint()
            left_out = () if libraries else ("libraries",)
            settings["encoder"] = {k: v for k, v in theirs.items() if k not in left_out}
        if self.augment is not None:
            settings["augment"] = self.augment.identity
        if self.fit:
            settings["fit"] = self.fit
        if self.prepare:
            settings["prepare"] = [[p.name, p.version] for p in _preparations(self.prepare)]
        if self.backend:
            settings["backend"] = self.backend
        if level == "functionals":
            settings["functionals"] = [self.functionals, self.delta_functionals]
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _computed_by(self) -> str | None:
        """The package beside our own whose version the numbers depend on."""
        if self.backend:
            from serfeat.lld.backends import DISTRIBUTIONS

            return DISTRIBUTIONS[self.backend]
        return "opensmile" if self.external else None

    def _named(self, level: Level) -> list[tuple[str, str]]:
        """(column, unit) pairs in the order of `compute`."""
        named = self._all_named(level)
        if level == "functionals":
            named = [named[i] for i in self._kept]
        if self.encoder is None:
            return named
        if level == "lld":
            return named + [(c, "1") for c in self.encoder.names]
        units = [(f, functional(f).unit.format(u="1")) for f in self._encoder_functionals]
        return named + [(f"{c}__{f}", unit) for c in self.encoder.names for f, unit in units]

    def _all_named(self, level: Level) -> list[tuple[str, str]]:
        """(column, unit) pairs of the descriptors before `keep`."""
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
                (f"{c}__{f}", functional(f).unit.format(u=u)) for c, u in block for f in names
            ]
        for d in self.clip_descriptors:
            named += list(zip(d.columns, d.units, strict=True))
        return named


def _with_deltas(out: Reals, orders: int) -> Reals:
    """(n, (1 + orders) k): add to the contours in the first k columns their regression deltas."""
    n, k = len(out), out.shape[1] // (1 + orders)
    reach = 2 * orders  # frames that a delta looks to either side
    for first in range(0, n, BLOCK):  # the copies of a long clip stay small
        last, begin = min(first + BLOCK, n), max(first - reach, 0)
        contours = out[begin : last + reach, :k]
        for order in range(1, 1 + orders):
            contours = delta(contours)
            out[first:last, order * k : (order + 1) * k] = contours[first - begin : last - begin]
    return out


def _preparations(names: Sequence[str]) -> list[Preparation]:
    """The steps of these names; an unknown one suggests the nearest."""
    for name in names:
        if name not in PREPARATIONS:
            raise did_you_mean("preparation", name, PREPARATIONS)
    return [PREPARATIONS[name] for name in names]


def _libraries(extra: str | None) -> dict[str, str]:
    """Versions of the packages whose arithmetic the numbers depend on."""
    found = {}
    for package in ("numpy", "scipy", "soxr", "soundfile", *([extra] if extra else [])):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
