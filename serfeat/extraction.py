"""What comes out of a run over files: a table, what is known of it, and the failures.

The rows stand in the order of the manifest and under its index, whoever computed them and when;
they are read out of the store, segment by segment, into memory or onto the disk (`joined`).
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.audio import USUAL, Limits
from serfeat.clips import Clip, Failure
from serfeat.denoise import PREPARATIONS
from serfeat.errors import FeatureError, StoreError
from serfeat.features import FeatureSet, Level
from serfeat.manifest import Manifest
from serfeat.sequences import Sequences, write_mapped
from serfeat.store import Store
from serfeat.table import clip_index, frame_index
from serfeat.types import Floats32, Ints

__all__ = ["Extraction", "joined"]


@dataclass(frozen=True)
class Extraction:
    """What came out of a run.

    Parameters
    ----------
    features : the set.
    level : ``"lld"`` or ``"functionals"``.
    index : (n,) the clips that have features, in the manifest's order.
    values : (n, k) for functionals; `Sequences` of n clips for LLD.
    failures : the clips that have none.
    flags : (n,) text, what was odd about each recording.
    seconds_of_audio : s of all clips with features.
    computed, computed_audio, seconds : clips and s of audio computed in this run (the others came
        from the store), and s it took.
    corpus : what the manifest says of the recordings: name, licence, whether they are synthetic.
    limits : of what was taken of truncated and of long recordings.
    """

    features: FeatureSet
    level: Level
    index: pd.MultiIndex
    values: Floats32 | Sequences
    failures: tuple[Failure, ...]
    flags: tuple[str, ...]
    seconds_of_audio: float
    computed: int
    computed_audio: float
    seconds: float
    corpus: Mapping[str, Any]
    limits: Limits = USUAL

    @property
    def table(self) -> pd.DataFrame:
        """The features as a table: one row per clip, or per frame with a `time` level."""
        columns = list(self.features.columns(self.level))
        if isinstance(self.values, Sequences):
            index = frame_index(self.index, list(self.values.lengths), self.features.hop_s)
            return pd.DataFrame(self.values.values, index=index, columns=columns)
        return pd.DataFrame(self.values, index=self.index, columns=columns)

    @property
    def failures_table(self) -> pd.DataFrame:
        """One row per failure, on the same index as the features."""
        failed = self.failures
        index = clip_index(*([getattr(f, n) for f in failed] for n in ("file", "start", "end")))
        names = ["stage", "reason", "message"]
        return pd.DataFrame([[getattr(f, n) for n in names] for f in failed], index, names)

    @property
    def units(self) -> dict[str, str]:
        """Unit of every column."""
        names, units = self.features.columns(self.level), self.features.units(self.level)
        return dict(zip(names, units, strict=True))

    @property
    def provenance(self) -> dict[str, Any]:
        """How the numbers were made: enough to make them again."""
        return {
            "serfeat": version("serfeat"),
            "features": self.features.name,
            "level": self.level,
            "fingerprint": self.features.fingerprint(self.level),
            "sr": self.features.sr,
            "hop_s": self.features.hop_s,
            "licence": self.features.licence,
            "descriptors": list(self.features.descriptors),
            "prepare": list(self.features.prepare),
            "preparations": [PREPARATIONS[name].record for name in self.features.prepare],
            "backend": self.features.backend,
            "encoder": self.features.encoder.fingerprint() if self.features.encoder else None,
            "rows": len(self.index),
            "failures": len(self.failures),
            "limits": self.limits.record,
            "corpus": dict(self.corpus),
            "python": platform.python_version(),
        }


def joined(
    features: FeatureSet,
    level: Level,
    manifest: Manifest,
    clips: list[Clip],
    kept: Store,
    sizes: Mapping[str, int],
    failures: list[Failure],
    mapped: Path | None,
    *,
    limits: Limits,
    computed: int,
    computed_audio: float,
    began: float,
) -> Extraction:
    """Put the rows into the manifest's order, under the manifest's index.

    `sizes` is key -> rows of values, of what is in the store by now.
    """
    done = [c for c in clips if c.key in sizes]  # in the manifest's order, as `_keyed` made them
    inputs = len(manifest.rows) + len(manifest.refused)
    if len(done) + len(failures) != inputs:
        raise FeatureError(
            f"{len(done)} rows and {len(failures)} failures from {inputs} clips",
            code="accounting",
            fix="this is a bug: please report it",
        )
    lengths = [sizes[c.key] for c in done]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    shape = (int(offsets[-1]), len(features.columns(level)))
    placed = _Placed(kept, done, offsets)
    values: Floats32 | Sequences
    if level == "lld" and mapped is not None:
        values = write_mapped(mapped / f"{features.folder}-{level}", shape, offsets, placed)
    else:
        values = placed.gathered(shape)
        if level == "lld":
            values = Sequences(values, offsets)
    return Extraction(
        features=features,
        level=level,
        index=manifest.rows.index[[c.row for c in done]],
        values=values,
        failures=tuple(failures),
        flags=tuple(placed.flags),
        seconds_of_audio=float(sum(placed.seconds)),
        computed=computed,
        computed_audio=computed_audio,
        seconds=time.perf_counter() - began,
        corpus={
            "name": manifest.name,
            "licence": manifest.card.licence if manifest.card else "not stated",
            "synthetic": bool(manifest.card and manifest.card.synthetic),
        },
        limits=limits,
    )


class _Placed:
    """The rows of some clips on their way from the store to their places.

    Iterating yields (first row of the table, values), segment by segment.
    """

    def __init__(self, kept: Store, clips: list[Clip], offsets: Ints) -> None:
        self.kept, self.offsets = kept, offsets
        self.flags, self.seconds = [""] * len(clips), [np.nan] * len(clips)
        self.files = [clip.file for clip in clips]
        self.places: dict[str, list[int]] = {}  # the same content may be several clips
        for i, clip in enumerate(clips):
            self.places.setdefault(clip.key, []).append(i)

    def __iter__(self) -> Iterator[tuple[int, Floats32]]:
        for row in self.kept.each(self.places):
            for i in self.places[row.key]:
                own = (f for f in row.flags if _is_of(f, self.files[i]))
                self.flags[i], self.seconds[i] = "; ".join(own), row.seconds
                yield int(self.offsets[i]), row.values
        self.require_all()

    def gathered(self, shape: tuple[int, int]) -> Floats32:
        """All of them in memory; one long recording is not copied."""
        if len(self.flags) == 1:
            (alone,) = (values for _, values in self)
            return alone
        table = np.empty(shape, dtype=np.float32)
        for first, values in self:
            table[first : first + len(values)] = values
        return table

    def require_all(self) -> None:
        """Raise an error if a segment turned out to be damaged: its rows are not in their places.

        Raises
        ------
        StoreError : with the code ``damaged``; the segment was put aside.
        """
        if np.isnan(self.seconds).any():
            raise StoreError(
                "a segment is not what was written and was put aside",
                where=self.kept.folder,
                code="damaged",
                fix="run the same command again, its rows are computed anew",
            )


def _is_of(flag: str, file: str) -> bool:
    """Whether a flag of some content is one of this file: its name may be another one."""
    _, named, suffix = flag.partition(" file named ")
    return not named or file.lower().endswith(suffix.lower())
