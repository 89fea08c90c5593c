"""The one loop over files: a manifest and a feature set in, a table and the failures out.

Every clip becomes a row or a named failure: ``rows + failures = clips`` holds at the end of each
run. What is computed goes into the store batch by batch, so that a run that is killed goes on where
it stopped, and a changed recording or setting is never answered with old numbers.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.allocator import keep_freed_memory
from serfeat.audio import MIN_DURATION, content_hash, load_audio
from serfeat.engines import run
from serfeat.errors import AudioError, FeatureError, ManifestError, SerfeatError
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet, Level
from serfeat.files import AUDIO_SUFFIXES, audio_files
from serfeat.manifest import Manifest, manifest_of_folder, rows_from_records
from serfeat.manifest_csv import read_manifest
from serfeat.sequences import Sequences
from serfeat.store import Row, Store, cache_folder
from serfeat.table import clip_index, frame_index
from serfeat.types import Floats32

__all__ = ["BATCH", "Extraction", "Failure", "Progress", "extract", "manifest_of_files"]

# Clips per task: large enough that handing a task over costs nothing beside it, small enough that
# a kill loses little.
BATCH = 32

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Failure:
    """A clip without features: which, at what stage, and why.

    Parameters
    ----------
    file, start, end : the clip (s).
    stage : ``"read"`` or ``"features"`` or ``"worker"``.
    reason : the error's code.
    message : the error in one line.
    """

    file: str
    start: float
    end: float
    stage: str
    reason: str
    message: str


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

    @property
    def table(self) -> pd.DataFrame:
        """The features as a table: one row per clip, or per frame with a `time` level."""
        columns = list(self.features.columns(self.level))
        if isinstance(self.values, Sequences):
            index = frame_index(self.index, list(self.values.lengths), self.features.hop)
            return pd.DataFrame(self.values.values, index=index, columns=columns)
        return pd.DataFrame(self.values, index=self.index, columns=columns)

    @property
    def failures_table(self) -> pd.DataFrame:
        """One row per failure, on the same index as the features."""
        failed = self.failures
        index = clip_index(*zip(*((f.file, f.start, f.end) for f in failed), strict=True))
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
            "hop_s": self.features.hop,
            "licence": self.features.licence,
            "descriptors": list(self.features.descriptors),
            "prepare": list(self.features.prepare),
            "backend": self.features.backend,
            "encoder": self.features.encoder.fingerprint() if self.features.encoder else None,
            "rows": len(self.index),
            "failures": len(self.failures),
            "corpus": dict(self.corpus),
            "python": platform.python_version(),
        }


@dataclass(frozen=True)
class _Clip:
    file: str
    path: Path
    start: float
    end: float
    key: str = ""
    row: int = -1  # of the manifest
    speaker: str = ""


def extract(
    source: Manifest | str | Path,
    features: str | FeatureSet = "classic",
    *,
    level: Level = "functionals",
    jobs: int = 1,
    store: Path | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Compute a feature set on every clip of a manifest or folder.

    Parameters
    ----------
    source : a manifest, its path, or a folder of audio (read through its ``manifest.csv`` if it
        holds one).
    features : a `FeatureSet` or the name of one.
    level : ``"functionals"`` (a row per clip) or ``"lld"`` (a row per frame).
    jobs : processes; the numbers do not depend on it.
    store : folder of the features computed before, default `serfeat.store.cache_folder`.
    progress : is called with (clips done, clips in all).

    Returns
    -------
    Extraction.

    Raises
    ------
    ManifestError, UnknownNameError, StoreError, FeatureError (a licence that was not accepted),
    MissingExtraError : before any work. A clip that cannot be read or
        analysed is no error but a row of ``failures``.
    """
    began = time.perf_counter()
    chosen = feature_set(features) if isinstance(features, str) else features
    chosen.require()
    manifest = _as_manifest(source)
    fingerprint = chosen.fingerprint(level)
    kept = Store(
        (store or cache_folder()) / f"{chosen.folder}-{level}-{fingerprint}",
        chosen.columns(level),
        {"features": chosen.name, "level": level, "units": list(chosen.units(level))},
    )
    clips, failures = _keyed(manifest)
    present = kept.keys()
    todo = list({c.key: c for c in clips if c.key not in present}.values())
    failed: dict[str, Failure] = {}
    done = len(clips) - len(todo)
    computed_audio = 0.0
    if progress:
        progress(done, len(clips))
    tasks = [(todo[i : i + BATCH], chosen, level) for i in range(0, len(todo), BATCH)]
    for (batch, _, _), result in zip(tasks, run(_compute_batch, tasks, jobs=jobs), strict=True):
        if isinstance(result, Exception):
            lost = f"the worker process died ({type(result).__name__})"
            failed |= {c.key: _failure(c, "worker", "worker", lost) for c in batch}
        else:
            rows, wrong = result
            kept.add(rows)
            failed |= wrong
            computed_audio += sum(r.seconds for r in rows)
            del rows, result  # of a long recording: many frames
        done += len(batch)
        if progress:
            progress(done, len(clips))
    rows_by_key = kept.rows(c.key for c in clips)
    failures += [
        Failure(c.file, c.start, c.end, f.stage, f.reason, f.message)
        for c in clips
        if (f := failed.get(c.key))
    ]
    return _joined(
        chosen, level, manifest, clips, rows_by_key, failures,
        computed=len(todo) - len(failed), computed_audio=computed_audio, began=began,
    )  # fmt: skip


def manifest_of_files(sources: Sequence[Path]) -> Manifest:
    """Make an unlabelled manifest of audio files and of the audio in folders, in that order.

    A file that is not there stays a row: it becomes a named failure, it does not vanish. Names are
    relative to the working folder if all files are below it, else to the folder that they share.
    """
    files: list[Path] = []
    for source in sources:
        whole = Path(os.path.abspath(source))
        files += [whole / f for f in audio_files(whole)] if whole.is_dir() else [whole]
    if not files:
        raise ManifestError("no audio files", where=" ".join(map(str, sources)), code="no-rows")
    files = list(dict.fromkeys(files))
    here = Path.cwd()
    below = all(f.is_relative_to(here) for f in files)
    root = here if below else Path(os.path.commonpath([f.parent for f in files]))
    nobody = {"corpus": "", "speaker": "", "emotion": ""}
    rows = rows_from_records([{"file": f.relative_to(root).as_posix(), **nobody} for f in files])
    return Manifest(rows, root, "files")


def _as_manifest(source: Manifest | str | Path) -> Manifest:
    if isinstance(source, Manifest):
        return source
    path = Path(source)
    if (path / "manifest.csv").is_file():
        return read_manifest(path / "manifest.csv", require=())
    if path.is_dir():
        return manifest_of_folder(path)
    if path.suffix.lower() in AUDIO_SUFFIXES:
        return manifest_of_files([path])
    return read_manifest(path, require=())


def _keyed(manifest: Manifest) -> tuple[list[_Clip], list[Failure]]:
    """Give every clip of the manifest its content key; files that cannot be read are failures."""
    clips, failures, hashes = [], [], dict[str, str | SerfeatError]()
    speakers = manifest.rows["corpus"].astype(str) + "/" + manifest.rows["speaker"].astype(str)
    index = zip(manifest.rows.index, speakers, strict=True)
    for row, ((file, start, end), speaker) in enumerate(index):
        first, last = start.total_seconds(), end.total_seconds() if end is not pd.NaT else np.nan
        clip = _Clip(file, Path(), first, last)
        try:
            path = manifest.path(file)
            if file not in hashes:
                hashes[file] = content_hash(path)
            content = hashes[file]
            if isinstance(content, SerfeatError):
                raise content
        except SerfeatError as error:
            hashes[file] = error
            failures.append(_failure(clip, "read", error.code, str(error)))
            continue
        key = Store.key(content, first, last)
        clips.append(_Clip(file, path, first, last, key, row, speaker))
    return clips, failures


def _compute_batch(
    task: tuple[list[_Clip], FeatureSet, Level],
) -> tuple[list[Row], dict[str, Failure]]:
    """Read and analyse a batch of clips; runs in a worker."""
    clips, features, level = task
    keep_freed_memory()
    rows, failed = [], {}
    for clip in clips:
        stage = "read"
        try:
            end = None if np.isnan(clip.end) else clip.end
            audio = load_audio(clip.path, sr=features.sr, start=clip.start, end=end)
            seconds = len(audio.x) / audio.sr
            if seconds < MIN_DURATION:
                raise AudioError(
                    f"{1e3 * seconds:.2f} ms long, expected at least {1e3 * MIN_DURATION:.0f} ms",
                    where=clip.path,
                    code="too-short",
                )
            stage = "features"
            values = features.compute(audio.x, level, speaker=clip.speaker)
            values = values.astype(np.float32, copy=False)
            rows.append(Row(clip.key, values, audio.flags, seconds))
        except SerfeatError as error:
            failed[clip.key] = _failure(clip, stage, error.code, str(error))
    return rows, failed


def _failure(clip: _Clip, stage: str, reason: str, message: str) -> Failure:
    return Failure(clip.file, clip.start, clip.end, stage, reason, message)


def _joined(
    features: FeatureSet,
    level: Level,
    manifest: Manifest,
    clips: list[_Clip],
    rows: dict[str, Row],
    failures: list[Failure],
    *,
    computed: int,
    computed_audio: float,
    began: float,
) -> Extraction:
    """Put the rows into the manifest's order, under the manifest's index."""
    done = [c for c in clips if c.key in rows]  # in the manifest's order, as `_keyed` made them
    chosen = [rows[c.key] for c in done]
    if len(chosen) + len(failures) != len(manifest.rows):
        raise FeatureError(
            f"{len(chosen)} rows and {len(failures)} failures from {len(manifest.rows)} clips",
            code="accounting",
            fix="this is a bug: please report it",
        )
    values: Floats32 | Sequences
    width = len(features.columns(level))
    if level == "lld":
        empty = Sequences(np.empty((0, width), dtype=np.float32), np.zeros(1, dtype=np.int64))
        values = Sequences.of([r.values for r in chosen]) if chosen else empty
    else:
        values = np.array([r.values[0] for r in chosen], dtype=np.float32).reshape(-1, width)
    return Extraction(
        features=features,
        level=level,
        index=manifest.rows.index[[c.row for c in done]],
        values=values,
        failures=tuple(failures),
        flags=tuple("; ".join(r.flags) for r in chosen),
        seconds_of_audio=float(sum(r.seconds for r in chosen)),
        computed=computed,
        computed_audio=computed_audio,
        seconds=time.perf_counter() - began,
        corpus={
            "name": manifest.name,
            "licence": manifest.card.licence if manifest.card else "not stated",
            "synthetic": bool(manifest.card and manifest.card.synthetic),
        },
    )
