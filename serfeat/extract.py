"""The one loop over files: a manifest and a feature set in, a table and the failures out.

Every clip becomes a row or a named failure: ``rows + failures = clips`` holds at the end of each
run. What is computed goes into the store batch by batch, so that a run that is killed goes on where
it stopped, and a changed recording or setting is never answered with old numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from serfeat.audio import USUAL, Limits
from serfeat.clips import (
    Clip,
    Failure,
    compute_batch,
    contents_of,
    recalled,
    remembered,
    software,
)
from serfeat.engines import Interrupt, available_cores, lost, run, worker_memory
from serfeat.errors import FeatureError, ManifestError, SerfeatError, StoreError, printable
from serfeat.extraction import Extraction, joined
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet, Level
from serfeat.files import AUDIO_SUFFIXES, audio_files
from serfeat.manifest import Manifest, manifest_of_folder, rows_from_records
from serfeat.manifest_csv import read_manifest
from serfeat.store import Store, cache_folder
from serfeat.types import Progress

__all__ = [
    "BATCH",
    "Extraction",
    "Failure",
    "as_manifest",
    "batch_size",
    "extract",
    "manifest_of_files",
]

# Clips per task: large enough that handing a task over costs nothing beside it, small enough that
# a kill loses little. Each is a segment of the store, and two waits for the disk.
BATCH = 32
LARGEST_BATCH = 256
BATCHES = 100  # a run of more than these takes larger ones
HASHED_AT_ONCE = 256  # files whose content a worker looks at
MANY = 2000  # files that are worth workers for that


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
    limits: Limits = USUAL,
    max_missing: int | float | None = None,
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
    limits : what is taken of truncated and of long recordings.
    max_missing : end the run before any work if more of the manifest's files than these are not
        there: a count, or, as a float from 0 to 1, a share of them (1 is one file, 1.0 is all);
        None: each is a failure of its own.

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
    if not chosen.width(level):
        raise FeatureError(
            "has one value per recording only, and no row per frame",
            where=f"feature set {chosen.name}",
            code="no-frames",
            fix="use the level functionals, or add a descriptor of frames, such as energy",
        )
    manifest = as_manifest(source)
    if max_missing is not None:
        _refuse_missing(manifest, max_missing)
    again = partial(
        _extract, manifest, chosen, level=level, jobs=jobs, store=store, progress=progress,
        isolated=isolated, engine=engine, address=address, mapped=mapped, limits=limits,
    )  # fmt: skip
    try:
        return again()
    except StoreError as error:
        if error.code != "damaged":
            raise
        return again()  # the damaged segment was put aside, its rows are computed anew


def batch_size(clips: int, level: Level) -> int:
    """Clips of a task in a run of so many; frames of many clips would fill a worker's memory."""
    return BATCH if level == "lld" else min(LARGEST_BATCH, max(BATCH, clips // BATCHES))


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
    limits: Limits,
) -> Extraction:
    """Compute what is not in the store, and read everything out of it."""
    began = time.perf_counter()
    fingerprint = chosen.fingerprint(level)
    kept = Store(
        (store or cache_folder()) / f"{chosen.folder}-{level}-{fingerprint}",
        chosen.columns(level),
        {
            "features": chosen.name,
            "level": level,
            "units": list(chosen.units(level)),
            "fingerprint": fingerprint,
        },
    )
    hashed = partial(_hashed, jobs=jobs, engine=engine, address=address)
    clips, failures = _keyed(manifest, hashed, by_sex=chosen.by_sex)
    # Of our clips alone: the store may hold many times as many.
    present = kept.sizes(key for c in clips for key in (c.key, c.key + limits.mark))
    clips = [_under(limits, clip, present) for clip in clips]
    known = kept.failures(by=software())
    failed = {c.key: recalled(c, known[c.key]) for c in clips
              if c.key in known and c.key not in present}  # fmt: skip
    todo = list({c.key: c for c in clips if c.key not in present and c.key not in failed}.values())
    if todo:
        kept.prepare()
    count = _Count(len(clips), len(clips) - len(todo), progress)
    mapper = partial(_compute_all, chosen=chosen, level=level, kept=kept, present=present,
                     count=count, engine=engine, address=address)  # fmt: skip
    if todo and chosen.encoder is not None and chosen.encoder.on_gpu:
        # One process has the GPU: every other would put a copy of the encoder there.
        jobs, isolated = 1, isolated or jobs != 1
    with Interrupt() as asked:
        wrong, dead = mapper(todo, batch_size(len(todo), level), jobs, isolated, asked)
        # One clip may have taken its whole batch with it: now each is a task of its own.
        alone, guilty = mapper([c for c, _ in dead], 1, jobs, True, asked)
    failed |= wrong | alone
    for clip, error in guilty:
        reason, words = lost(error)
        message = printable(f"{clip.path}: {words}")
        failed[clip.key] = clip.failure("worker", reason, message)
    failures += [Failure(r.file, r.start, r.end, "manifest", r.reason, r.message)
                 for r in manifest.refused]  # fmt: skip
    failures += [
        Failure(c.file, c.start, c.end, f.stage, f.reason, f.message)
        for c in clips
        if (f := failed.get(c.key))
    ]
    return joined(
        chosen, level, manifest, clips, kept, present, failures, mapped,
        limits=limits, computed=count.computed, computed_audio=count.audio, began=began,
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
    present: dict[str, int],
    count: _Count,
    engine: str,
    address: str,
) -> tuple[dict[str, Failure], list[tuple[Clip, Exception]]]:
    """Compute clips in batches of some size and keep what comes of each.

    Parameters
    ----------
    present : key -> rows of values, of what is in the store; grows.

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
        present.update((r.key, len(r.values)) for r in rows)
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


def as_manifest(
    source: Manifest | str | Path, *, encoding: str = "utf-8", follow: bool = False
) -> Manifest:
    """Read a manifest, a folder (through its ``manifest.csv`` if it holds one) or an audio file.

    Rows of a manifest that can be no clips are among its `refused` ones.

    Parameters
    ----------
    encoding : of a manifest.
    follow : whether links may lead out of the folder of the audio.
    """
    if isinstance(source, Manifest):
        return replace(source, follow=source.follow or follow)
    path = Path(source)
    if path.is_dir() and not (path / "manifest.csv").is_file():
        found = manifest_of_folder(path)
    elif path.suffix.lower() in AUDIO_SUFFIXES and not path.is_dir():
        found = manifest_of_files([path])
    else:
        rows = path / "manifest.csv" if path.is_dir() else path
        found = read_manifest(rows, require=(), encoding=encoding, refuse=True)
    return replace(found, follow=follow)


def _under(limits: Limits, clip: Clip, present: Container[str]) -> Clip:
    """Put a clip under the limits of a run.

    They are part of its key: a row that was made of half a recording must not be the answer to who
    asks for whole ones. What is known under the usual limits holds under more lenient ones.
    """
    if not limits.mark or (limits.lenient and clip.key in present):
        return clip
    return replace(clip, key=clip.key + limits.mark, limits=limits)


def _refuse_missing(manifest: Manifest, most: int | float) -> None:
    """End a run whose audio folder is not the one that the manifest was made of."""
    gone, files = [], manifest.files
    share = isinstance(most, float)
    if most < 0 or (share and not most <= 1):
        raise ManifestError(
            f"{most:g} files may be missing, expected a count or a share from 0 to 1",
            where="max_missing",
            code="bad-setting",
        )
    for file in files:
        with suppress(SerfeatError):  # another fault, which is that file's own
            if not os.path.lexists(manifest.path(file)):
                gone.append(file)
    if len(gone) > (most * len(files) if share else most):
        words = f"{100 * most:g} %" if share else f"{most}"
        raise ManifestError(
            f"{len(gone)} of {len(files)} files are not there, expected at most {words} "
            f"to be missing; the first is {gone[0]!r}",
            where=manifest.root,
            code="too-many-missing",
            fix="give the folder of the audio (--root), or allow more with --max-missing",
        )


_Content = tuple[tuple[int, int], str | SerfeatError]  # stamp of a file, and its hash or a fault


def _keyed(
    manifest: Manifest,
    hashed: Callable[[Mapping[str, Path]], Mapping[str, _Content]],
    *,
    by_sex: bool,
) -> tuple[list[Clip], list[Failure]]:
    """Give every clip of the manifest its content key; files that cannot be read are failures.

    Parameters
    ----------
    hashed : looks at the content of files.
    by_sex : whether the features depend on the speaker's sex, which is then part of the key.
    """
    paths: dict[str, Path] = {}
    contents: dict[str, _Content] = {}
    for file in manifest.files:
        try:
            paths[file] = manifest.path(file)
        except SerfeatError as error:
            contents[file] = ((0, 0), error)
    contents.update(hashed(paths))
    clips, failures = [], []
    levels = (manifest.rows.index.get_level_values(n) for n in ("file", "start", "end"))
    files, *times = levels
    starts, ends = (np.asarray(t.total_seconds(), dtype=np.float64).tolist() for t in times)
    ends = [np.nan if end != end else end for end in ends]  # one NaN: equal failures are equal
    speakers = manifest.rows["corpus"].astype(str) + "/" + manifest.rows["speaker"].astype(str)
    sexes = manifest.rows["sex"] if by_sex and "sex" in manifest.rows else [""] * len(speakers)
    for row, (file, first, last, speaker, sex) in enumerate(
        zip(files, starts, ends, speakers, sexes, strict=True)
    ):
        stamp, content = contents[file]
        if isinstance(content, SerfeatError):
            clip = Clip(file, Path(), first, last)
            failures.append(clip.failure("read", content.code, str(content)))
            continue
        key = Store.key(content, first, last, sex)
        clips.append(Clip(file, paths[file], first, last, key, stamp, row, speaker, sex))
    return clips, failures


def _hashed(
    paths: Mapping[str, Path], *, jobs: int, engine: str, address: str
) -> dict[str, _Content]:
    """Look at the content of files; of many, on the workers."""
    here = len(paths) < MANY or (jobs == 1 and engine == "processes")
    files = list(paths)
    tasks = [
        [paths[f] for f in files[i : i + HASHED_AT_ONCE]]
        for i in range(0, len(files), HASHED_AT_ONCE)
    ]
    results = map(contents_of, tasks) if here else run(
        contents_of, tasks, jobs=jobs, engine=engine, address=address
    )  # fmt: skip
    found: list[_Content] = []
    for task, result in zip(tasks, results, strict=True):
        found += contents_of(task) if isinstance(result, Exception) else result
    return dict(zip(files, found, strict=True))
