"""Which recordings there are: those of corpora and folders, and those that were uploaded.

Conventions
-----------
The page knows a recording by its id alone: a hash of where it lies and which part of it is meant,
the same after a restart, so that an address can be kept. No name that comes from outside ever
becomes a path. Samples are decoded once, in a worker, at 16 kHz - what the features are computed
from - and kept as a file that every worker maps into its memory.

Contents
--------
`Sound`     : a recording or a part of one.     `Sounds` : all of them, by id.
`Recording` : its samples, decoded.             `decode` : makes them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.audio import MIN_DURATION, Audio, load_audio
from serfeat.errors import AudioError
from serfeat.lab.answers import LabError
from serfeat.manifest import Manifest
from serfeat.types import Reals

__all__ = ["SR", "Recording", "Sound", "Sounds", "decode"]

SR = 16_000  # Hz


@dataclass(frozen=True)
class Sound:
    """A recording, or a part of one.

    Parameters
    ----------
    id : 16 hex digits.
    name : for people; only ever shown as text.
    path : the file; of an uploaded one, a name that we gave.
    row : what its manifest says (corpus, speaker, emotion, ...), or empty.
    start, end : s; None: from the beginning, to the end.
    """

    id: str
    name: str
    path: Path
    uploaded: bool = False
    row: Mapping[str, Any] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None

    def about(self) -> dict[str, Any]:
        """What the page may know: everything but the path."""
        known = {"id": self.id, "name": self.name, "uploaded": self.uploaded}
        return known | {"row": dict(self.row), "start": self.start, "end": self.end}


@dataclass(frozen=True)
class Recording:
    """The samples of a sound, decoded, in a file of ours; small enough to hand to a worker.

    Parameters
    ----------
    samples : .npy, (n,) mono at `sr`, in the precision of `serfeat.audio`: the same samples as
        those of a table of features.
    original_sr : Hz, of the recording.
    flags : see `serfeat.audio.Audio`.
    mean, peak : of the whole, for `serfeat.shorttime.ShortTime` of a stretch.
    """

    samples: Path
    sr: int
    n: int
    original_sr: int
    flags: tuple[str, ...] = ()
    mean: float = 0.0
    peak: float = 1.0

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.n / self.sr

    @property
    def x(self) -> Reals:
        """(n,) read-only, mapped: only what is looked at is read."""
        mapped: Reals = np.load(self.samples, mmap_mode="r", allow_pickle=False)
        return mapped

    def audio(self) -> Audio:
        """The samples as the rest of serfeat takes them."""
        return Audio(np.asarray(self.x), self.sr, self.original_sr, self.flags)


def decode(path: Path, start: float | None, end: float | None, target: Path) -> Recording:
    """Decode a recording and keep its samples at `target`; runs in a worker.

    A truncated recording is taken, with a flag that the page shows: one may want to see why.

    Raises
    ------
    AudioError : see `serfeat.audio.load_audio`; too-short: less than one frame.
    """
    audio = load_audio(path, sr=SR, start=start or 0.0, end=end, allow_truncated=True)
    if len(audio.x) < MIN_DURATION * audio.sr:
        raise AudioError(
            f"{1e3 * len(audio.x) / audio.sr:.1f} ms, expected {1e3 * MIN_DURATION:g} ms at least",
            where=path,
            code="too-short",
            fix="record it again" if start is None else "correct the manifest",
        )
    with target.open("wb") as stream:
        np.save(stream, audio.x, allow_pickle=False)
    mean = float(audio.x.mean(dtype=np.float64))
    peak = float(max(audio.x.max() - mean, mean - audio.x.min()))
    return Recording(target, audio.sr, len(audio.x), audio.original_sr, audio.flags, mean, peak)


def sound_id(root: Path, file: str, start: float, end: float) -> str:
    """Sixteen hex digits that stay the same as long as the recording stays where it is."""
    span = f"{start:.9f}\0{end:.9f}" if math.isfinite(end) else f"{start:.9f}\0"
    key = f"{root.resolve()}\0{file}\0{span}"
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Sounds:
    """All recordings by id.

    Parameters
    ----------
    manifests : name -> rows and root.
    """

    def __init__(self, manifests: Mapping[str, Manifest]) -> None:
        self.manifests = dict(manifests)
        self._places: dict[str, tuple[str, int]] = {}  # id -> manifest, row
        self._ids: dict[tuple[str, str, float, float], str] = {}
        self._uploaded: dict[str, Sound] = {}
        for name, manifest in self.manifests.items():
            for place, (file, start, end) in enumerate(_keys(manifest)):
                known = sound_id(manifest.root, file, start, end)
                self._places[known] = (name, place)
                self._ids[name, file, start, -1.0 if math.isnan(end) else end] = known

    def get(self, sound: str) -> Sound:
        """The sound of this id.

        Raises
        ------
        LabError : 404, there is none (any more).
        """
        if sound in self._uploaded:
            return self._uploaded[sound]
        if sound not in self._places:
            raise LabError(
                404,
                "no such recording (any more)",
                code="no-such-sound",
                fix="uploads are deleted after an hour: upload it again",
            )
        name, place = self._places[sound]
        manifest = self.manifests[name]
        file, start, end = manifest.rows.index[place]
        row = {str(k): v for k, v in manifest.rows.iloc[place].items()}
        begin, stop = _seconds(start), _seconds(end)
        return Sound(
            id=sound,
            name=str(file),
            path=manifest.path(str(file)),
            row=row | {"corpus": row.get("corpus") or name},
            start=begin or None,
            end=None if math.isnan(stop) else stop,
        )

    def add(self, sound: Sound) -> None:
        """Keep an uploaded sound."""
        self._uploaded[sound.id] = sound

    def forget(self, sound: str) -> None:
        """Forget an uploaded sound; its file is the business of whoever made it."""
        self._uploaded.pop(sound, None)

    def uploaded(self) -> tuple[Sound, ...]:
        """The uploaded sounds, oldest first."""
        return tuple(self._uploaded.values())

    def find(
        self, file: str, start: object = 0.0, end: object = None, *, corpus: str = ""
    ) -> str | None:
        """Find the id of a row of a table (file, start, end), in any manifest or that of `corpus`.

        Parameters
        ----------
        start, end : s, or times of pandas; missing: the beginning, the end.

        Returns
        -------
        The id; None where no corpus of the lab has that row.
        """
        begin, stop = _seconds(start), _seconds(end)
        begin = 0.0 if math.isnan(begin) else begin
        stop = -1.0 if math.isnan(stop) else stop
        names = [corpus] if corpus in self.manifests else list(self.manifests)
        for name in names:
            known = self._ids.get((name, file, begin, stop))
            if known is not None:
                return known
        return None


def _seconds(time: object) -> float:
    """Seconds of a time of pandas or a number; NaN where missing."""
    if time is None or time is pd.NaT:
        return math.nan
    if isinstance(time, pd.Timedelta | np.timedelta64):
        return float(pd.Timedelta(time).total_seconds())
    return float(time)  # type: ignore[arg-type]


def _keys(manifest: Manifest) -> Iterator[tuple[str, float, float]]:
    """(file, start, end) of every row in seconds, NaN where a recording goes to its end."""
    index = manifest.rows.index
    starts = index.get_level_values("start").total_seconds()
    ends = index.get_level_values("end").total_seconds()
    return zip(index.get_level_values("file").astype(str), starts, ends, strict=True)
