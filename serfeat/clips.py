"""One batch of clips: read and analysed, in this process or in a worker.

Every clip of a batch becomes a row or a named failure. What a clip costs is bounded: in a worker it
has a time budget and the worker's share of the memory, and a clip that exceeds them, or that kills
the process, is the only one that is lost (`serfeat.extract` tries the others of its batch again,
one by one).

Contents
--------
`Clip`, `Failure`  : what is to be computed, and why it could not be.
`contents_of`      : knowing recordings again.
`compute_batch`    : the work.
`remembered`, `recalled`, `software` : failures that need not be tried again, and who found them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from serfeat.allocator import keep_freed_memory
from serfeat.audio import MIN_DURATION, USUAL, Audio, Limits, content_hash, load_audio
from serfeat.audio.pyav import available
from serfeat.engines import lost, time_budget
from serfeat.errors import AudioError, SerfeatError, printable
from serfeat.features import FeatureSet, Level
from serfeat.store import FailedRow, Row

__all__ = [
    "Clip",
    "Failure",
    "compute_batch",
    "contents_of",
    "recalled",
    "remembered",
    "software",
    "stamp_of",
]

BUDGET = (30.0, 20.0)  # s for a clip: at least, and per second of audio
COMPILING = 600.0  # s for a worker to get ready

# Failures that lie in the machine, not in the recording: they are tried again in the next run.
PASSING = frozenset(
    {
        *("changed", "missing", "permission", "not-a-file", "bad-path"),
        *("missing-extra", "memory", "io", ""),
    }
)

# What a decoder also says when the disk did not give it a piece of a good recording.
DOUBTFUL = frozenset({"corrupt", "truncated", "bad-header", "not-audio", "no-samples"})


@dataclass(frozen=True)
class Failure:
    """A clip without features: which, at what stage, and why.

    Parameters
    ----------
    file, start, end : the clip (s).
    stage : ``"read"`` or ``"features"`` or ``"worker"``.
    reason : the error's code; in the stage ``"worker"`` crash, timeout or memory.
    message : the error in one line.
    """

    file: str
    start: float
    end: float
    stage: str
    reason: str
    message: str


@dataclass(frozen=True)
class Clip:
    """A row of a manifest as a worker needs it.

    Parameters
    ----------
    file, path : its name in the manifest, and where it lies.
    start, end : s; `end` NaN is the end of the file.
    key : under which its features are kept, from the content of the file.
    stamp : size and time of the file when its content was looked at.
    row : of the manifest.
    speaker, sex : whose clip it is, for sets that ask.
    limits : of what is taken of its recording.
    """

    file: str
    path: Path
    start: float
    end: float
    key: str = ""
    stamp: tuple[int, int] = (0, 0)
    row: int = -1
    speaker: str = ""
    sex: str = ""
    limits: Limits = USUAL

    def failure(self, stage: str, reason: str, message: str) -> Failure:
        """Say why this clip has no features."""
        return Failure(self.file, self.start, self.end, stage, reason, message)


Batch = tuple[list[Clip], FeatureSet, Level]
Computed = tuple[list[Row], dict[str, Failure]]


def stamp_of(path: Path) -> tuple[int, int]:
    """Size and modification time (ns) of a file, by which a change shows; 0, 0 if it is gone."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def contents_of(paths: Sequence[Path]) -> list[tuple[tuple[int, int], str | SerfeatError]]:
    """Look at recordings: the stamp of each, and the hash of its content or why it has none."""
    found: list[tuple[tuple[int, int], str | SerfeatError]] = []
    for path in paths:
        stamp = stamp_of(path)
        try:
            found.append((stamp, content_hash(path)))
        except SerfeatError as error:
            found.append((stamp, error))
    return found


def compute_batch(task: Batch, *, asked: Callable[[], bool] | None = None) -> Computed:
    """Read and analyse a batch of clips.

    Parameters
    ----------
    task : the clips, and what to compute of them.
    asked : whether to stop before the next clip; the clips left are in neither result.

    Returns
    -------
    rows : of the clips that have features.
    failures : by key, of the others.
    """
    clips, features, level = task
    keep_freed_memory()
    if multiprocessing.parent_process() is not None:
        _warm_up(features, level)
    rows: list[Row] = []
    failed: dict[str, Failure] = {}
    for clip in clips:
        if asked is not None and asked():
            break
        result = _compute(clip, features, level)
        if isinstance(result, Row):
            rows.append(result)
        else:
            failed[clip.key] = result
    return rows, failed


_WARM: set[tuple[str, Level]] = set()  # the sets that this process has computed before


def _warm_up(features: FeatureSet, level: Level) -> None:
    """Compute half a second of a buzz, once in a worker: what has to be compiled is compiled.

    On a new machine that takes longer than a clip may.
    """
    if (features.name, level) in _WARM:
        return
    _WARM.add((features.name, level))
    t = np.arange(features.sr // 2) / features.sr
    buzz = 0.3 * (2 * (150 * t % 1) - 1) * (t > 0.1)
    with time_budget(COMPILING), suppress(SerfeatError):
        features.compute(buzz, level)


def _compute(clip: Clip, features: FeatureSet, level: Level) -> Row | Failure:
    """Compute one clip within its budget."""
    least, per_second = BUDGET
    stage = "read"
    try:
        audio = _heard(clip, features.sr)
        _same_file(clip)
        seconds = len(audio.x) / audio.sr
        if seconds < MIN_DURATION:
            raise AudioError(
                f"{1e3 * seconds:.2f} ms long, expected at least {1e3 * MIN_DURATION:.0f} ms",
                where=clip.path,
                code="too-short",
            )
        stage = "features"
        with time_budget(max(least, per_second * seconds)):
            flags = list(audio.flags)
            values = features.compute(
                audio.x,
                level,
                speaker=clip.speaker,
                sex=clip.sex,
                recorded=audio.original_sr,
                flags=flags,
                consume=True,
            )
        return Row(clip.key, values.astype(np.float32, copy=False), tuple(flags), seconds)
    except SerfeatError as error:
        return clip.failure(stage, error.code, str(error))
    except MemoryError as error:
        reason, words = lost(error)
        return clip.failure("worker", reason, printable(f"{clip.path}: {words}"))


def _heard(clip: Clip, sr: int) -> Audio:
    """Read a clip; twice, if it seems to be damaged.

    A decoder that the disk did not answer says that the recording ends, or is corrupt: that would
    be remembered of a good one. So all its bytes are read, in a way that tells of the disk; then
    the second answer is that of the recording.
    """

    def load() -> Audio:
        with time_budget(BUDGET[0]):
            return load_audio(
                clip.path, sr=sr, start=clip.start, end=None if np.isnan(clip.end) else clip.end,
                max_duration=clip.limits.max_duration, allow_truncated=clip.limits.allow_truncated,
            )  # fmt: skip

    try:
        audio = load()
    except AudioError as error:
        if error.code not in DOUBTFUL:
            raise
    else:
        if not any(flag.startswith("truncated") for flag in audio.flags):
            return audio
        del audio  # of a long recording: one at a time
    with time_budget(BUDGET[0]):
        content = content_hash(clip.path)
    if clip.key and not clip.key.startswith(f"{content}:"):
        raise _changed(clip.path)
    return load()


def _same_file(clip: Clip) -> None:
    """Make sure that what was read is what the key was made of.

    A row of the new content under the key of the old one would be wrong for ever.
    """
    if clip.stamp not in ((0, 0), stamp_of(clip.path)):
        raise _changed(clip.path)


def _changed(path: Path) -> AudioError:
    return AudioError(
        "changed while it was read",
        where=path,
        code="changed",
        fix="run the same command again when it is no longer written to",
    )


# --- failures that are kept -----------------------------------------------------------------------


@cache
def software() -> str:
    """What decodes and computes; a failure found by another version is tried again."""
    import soundfile as sf

    own, wrapper = version("serfeat"), version("soundfile")
    others = f", PyAV {version('av')}" if available() else ""
    return f"serfeat {own}, soundfile {wrapper}, libsndfile {sf.__libsndfile_version__}{others}"


_PLACE = "{recording}"  # stands for the path in a message: the same content may lie elsewhere


def remembered(clip: Clip, failure: Failure) -> FailedRow | None:
    """Return what the store keeps of a failure; None if it does not lie in the recording."""
    if failure.stage == "worker" or failure.reason in PASSING:
        return None
    words = failure.message.replace(printable(str(clip.path)), _PLACE)
    return FailedRow(clip.key, failure.stage, failure.reason, words, software())


def recalled(clip: Clip, known: FailedRow) -> Failure:
    """Return the failure of a clip whose content failed before."""
    words = known.message.replace(_PLACE, printable(str(clip.path)))
    return clip.failure(known.stage, known.reason, words)
