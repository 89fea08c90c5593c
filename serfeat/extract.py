"""The one loop over files: a manifest and a feature set in, a table and the failures out.

Every clip becomes a row or a named failure: ``rows + failures = clips`` holds at the end of each
run. What is computed goes into the store batch by batch, so that a run that is killed goes on where
it stopped, and a changed recording or setting is never answered with old numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from serfeat.audio import content_hash
from serfeat.clips import Clip, Failure, compute_batch, recalled, remembered, software, stamp_of
from serfeat.engines import Interrupt, available_cores, lost, run, worker_memory
from serfeat.errors import ManifestError, SerfeatError, StoreError, printable
from serfeat.extraction import Extraction, joined
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet, Level
from serfeat.files import AUDIO_SUFFIXES, audio_files
from serfeat.manifest import Manifest, manifest_of_folder, rows_from_records
from serfeat.manifest_csv import read_manifest
from serfeat.store import Store, cache_folder

__all__ = [
    "BATCH",
    "Extraction",
    "Failure",
    "Progress",
    "as_manifest",
    "extract",
    "manifest_of_files",
]

# Clips per task: large enough that handing a task over costs nothing beside it, small enough that
# a kill loses little.
BATCH = 32

Progress = Callable[[int, int], None]


def extract(
    source: Manifest | str | Path,
    features: str | FeatureSet = "classic",
    *,
    level: Level = "functionals",
    jobs: int = 1,
    store: Path | None = None,
    progress: Progress | None = None,
    isolated: bool = False,
    engine: str = "processes",
    address: str = "",
    mapped: Path | None = None,
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
    isolated : use a process of its own even for one job: a recording that crashes a library, hangs
        or eats memory is then a failure, not the end of the run. With several jobs it always is.
    engine, address : see `serfeat.engines.run`.
    mapped : a folder for the frames of level ``"lld"``, which are then memory-mapped from it: a
        corpus may be larger than the memory.

    Returns
    -------
    Extraction.

    Raises
    ------
    ManifestError, UnknownNameError, StoreError, FeatureError (a licence that was not accepted),
    MissingExtraError : before any work. A clip that cannot be read or
        analysed is no error but a row of ``failures``.
    StoreError : a disk that is full or fails. What was finished is kept.
    KeyboardInterrupt : after the first Ctrl-C, when what was open is kept.
    """
    chosen = feature_set(features) if isinstance(features, str) else features
    chosen.require()
    again = partial(
        _extract, as_manifest(source), chosen, level=level, jobs=jobs, store=store,
        progress=progress, isolated=isolated, engine=engine, address=address, mapped=mapped,
    )  # fmt: skip
    try:
        return again()
    except StoreError as error:
        if error.code != "damaged":
            raise
        return again()  # the damaged segment was put aside, its rows are computed anew


def _extract(
    manifest: Manifest,
    chosen: FeatureSet,
    *,
    level: Level,
    jobs: int,
    store: Path | None,
    progress: Progress | None,
    isolated: bool,
    engine: str,
    address: str,
    mapped: Path | None,
) -> Extraction:
    """Compute what is not in the store, and read everything out of it."""
    began = time.perf_counter()
    fingerprint = chosen.fingerprint(level)
    kept = Store(
        (store or cache_folder()) / f"{chosen.folder}-{level}-{fingerprint}",
        chosen.columns(level),
        {"features": chosen.name, "level": level, "units": list(chosen.units(level))},
    )
    clips, failures = _keyed(manifest)
    present = kept.keys()
    known = kept.failures(by=software())
    failed = {c.key: recalled(c, known[c.key]) for c in clips if c.key in known.keys() - present}
    todo = list({c.key: c for c in clips if c.key not in present | failed.keys()}.values())
    if todo:
        kept.prepare()
    count = _Count(len(clips), len(clips) - len(todo), progress)
    mapper = partial(_compute_all, chosen=chosen, level=level, kept=kept, count=count,
                     engine=engine, address=address)  # fmt: skip
    with Interrupt() as asked:
        wrong, dead = mapper(todo, BATCH, jobs, isolated, asked)
        # One clip may have taken its whole batch with it: now each is a task of its own.
        alone, guilty = mapper([c for c, _ in dead], 1, jobs, True, asked)
    failed |= wrong | alone
    for clip, error in guilty:
        reason, words = lost(error)
        message = printable(f"{clip.path}: {words}")
        failed[clip.key] = clip.failure("worker", reason, message)
    failures += [
        Failure(c.file, c.start, c.end, f.stage, f.reason, f.message)
        for c in clips
        if (f := failed.get(c.key))
    ]
    return joined(
        chosen, level, manifest, clips, kept, failures, mapped,
        computed=count.computed, computed_audio=count.audio, began=began,
    )  # fmt: skip


@dataclass
class _Count:
    """How far a run is."""

    total: int
    done: int
    report: Progress | None
    computed: int = 0
    audio: float = 0.0

    def __post_init__(self) -> None:
        self.add(0)

    def add(self, clips: int) -> None:
        self.done += clips
        if self.report:
            self.report(self.done, self.total)


def _compute_all(
    todo: Sequence[Clip],
    size: int,
    jobs: int,
    isolated: bool,
    asked: Callable[[], bool],
    *,
    chosen: FeatureSet,
    level: Level,
    kept: Store,
    count: _Count,
    engine: str,
    address: str,
) -> tuple[dict[str, Failure], list[tuple[Clip, Exception]]]:
    """Compute clips in batches of some size and keep what comes of each.

    Returns
    -------
    failed : by key, the clips that cannot be read or analysed.
    dead : the clips of batches whose process died, and of what.
    """
    tasks = [(list(todo[i : i + size]), chosen, level) for i in range(0, len(todo), size)]
    here = jobs == 1 and not isolated and engine == "processes"
    workers = jobs if jobs > 0 else available_cores()
    results = run(
        partial(compute_batch, asked=asked) if here else compute_batch,
        tasks, jobs=jobs, memory=worker_memory(workers), isolated=isolated or jobs != 1,
        asked=asked, engine=engine, address=address,
    )  # fmt: skip
    failed: dict[str, Failure] = {}
    dead: list[tuple[Clip, Exception]] = []
    for (batch, _, _), result in zip(tasks, results, strict=False):  # an interrupt ends it early
        if isinstance(result, Exception):
            dead += [(clip, result) for clip in batch]
            count.add(len(batch) if size == 1 else 0)
            continue
        rows, wrong = result
        by_key = {c.key: c for c in batch}
        lasting = [remembered(by_key[key], f) for key, f in wrong.items()]
        try:
            kept.add(rows)
            kept.add_failures([f for f in lasting if f is not None])
        except StoreError as error:
            error.message += f"; {count.done} of {count.total} clips are done"
            raise
        failed |= wrong
        count.computed += len(rows)
        count.audio += sum(r.seconds for r in rows)
        count.add(len(rows) + len(wrong))
        del rows, result  # of a long recording: many frames
    if asked():
        raise KeyboardInterrupt
    return failed, dead


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


def as_manifest(source: Manifest | str | Path) -> Manifest:
    """Read a manifest, a folder (through its ``manifest.csv`` if it holds one) or an audio file."""
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


def _keyed(manifest: Manifest) -> tuple[list[Clip], list[Failure]]:
    """Give every clip of the manifest its content key; files that cannot be read are failures."""
    clips, failures, hashes = [], [], dict[str, str | SerfeatError]()
    stamps: dict[str, tuple[int, int]] = {}
    speakers = manifest.rows["corpus"].astype(str) + "/" + manifest.rows["speaker"].astype(str)
    index = zip(manifest.rows.index, speakers, strict=True)
    for row, ((file, start, end), speaker) in enumerate(index):
        first, last = start.total_seconds(), end.total_seconds() if end is not pd.NaT else np.nan
        clip = Clip(file, Path(), first, last)
        try:
            path = manifest.path(file)
            if file not in hashes:
                stamps[file] = stamp_of(path)
                hashes[file] = content_hash(path)
            content = hashes[file]
            if isinstance(content, SerfeatError):
                raise content
        except SerfeatError as error:
            hashes[file] = error
            failures.append(clip.failure("read", error.code, str(error)))
            continue
        key = Store.key(content, first, last)
        clips.append(Clip(file, path, first, last, key, stamps[file], row, speaker))
    return clips, failures
