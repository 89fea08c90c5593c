"""Files on a disk: names that stay below a folder, audio below a folder, files written whole.

Conventions
-----------
A name is relative to a root, with ``/`` between folders, and never leads out of it. A file that
serfeat writes is there whole or not at all.

Contents
--------
`AUDIO_SUFFIXES`, `audio_files` : which files are recordings.
`inside`                        : a name below a root, or an error.
`committed`, `committed_as`     : writing a file whole, under a given name or its content's.
`sweep`                         : removes what killed writers left; says early what cannot work.
`passing_folder`                : for what is needed only while something runs.
`sha256`                        : knowing a file again.
`Disk`, `DISK`                  : the calls by which all of these write.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from serfeat.errors import ManifestError, StoreError

__all__ = [
    "AUDIO_SUFFIXES",
    "DISK",
    "Disk",
    "audio_files",
    "committed",
    "committed_as",
    "inside",
    "passing_folder",
    "sha256",
    "sweep",
]

TEMPORARY = ".serfeat-"  # what the name of an unfinished file begins with
STALE = 3600.0  # s
FORGOTTEN = 7 * 86_400.0  # s: no training is silent for so long

# What libsndfile or PyAV reads and speech is kept in; lower case.
AUDIO_SUFFIXES = (
    *(".aac", ".amr", ".m4a", ".webm", ".wma"),
    *(".aif", ".aiff", ".au", ".caf", ".flac", ".mp3", ".nist", ".ogg", ".opus", ".rf64", ".snd"),
    *(".sph", ".w64", ".wav"),
)


def audio_files(folder: Path) -> list[str]:
    """Every audio file below `folder`, relative to it, sorted; hidden files are left out.

    Raises
    ------
    ManifestError : no such folder, or folders that link to one of their parents.
    """
    if not folder.is_dir():
        raise ManifestError("not a folder", where=folder, code="missing-folder")
    found: list[str] = []

    def walk(here: Path, parents: tuple[tuple[int, int], ...]) -> None:
        facts = here.stat()
        key = (facts.st_dev, facts.st_ino)
        if key in parents:
            raise ManifestError(
                "the folder links back to a folder above it",
                where=here,
                code="link-loop",
                fix="remove the link",
            )
        with os.scandir(here) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                # "._a.wav" is a Mac's resource fork and __MACOSX is full of them: no audio
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if _is_folder(entry):
                    walk(Path(entry.path), (*parents, key))
                elif entry.name.lower().endswith(AUDIO_SUFFIXES):
                    found.append(Path(entry.path).relative_to(folder).as_posix())

    walk(folder, ())
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder; a link to itself is none, and fails when it is opened."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def inside(file: str, root: Path, *, where: object) -> str:
    """`file` as a name relative to `root`; an absolute name of a file below the root becomes one.

    Lexical: ``..``, other absolute names, drives and URLs are refused, links are not looked at.

    Raises
    ------
    ManifestError : a name that would leave the root.
    """
    name = file
    if name.startswith("/"):
        base = posixpath.normpath(root.resolve().as_posix())
        name = posixpath.relpath(posixpath.normpath(name), base)
    outside = (
        not name
        or "\0" in name
        or name.startswith(("~", "\\\\"))
        or re.match(r"[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*://", name) is not None
        or posixpath.normpath(name.replace("\\", "/")).split("/")[0] in ("..", ".")
    )
    if outside:
        raise ManifestError(
            f"file {file!r} is not a name below the audio folder",
            where=where,
            code="outside-root",
            fix=f"names are relative to {root}; give another root if the audio lies elsewhere",
        )
    return posixpath.normpath(name)


# --- writing a file whole ------------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """The calls by which files come to be: the seam at which tests let the n-th call fail.

    Parameters
    ----------
    create : opens a new file for writing; it must not exist.
    flush : returns when the bytes of an open file are on the disk.
    rename : gives a file its final name, in place of what had it.
    flush_folder : returns when the names in a folder are on the disk.
    """

    create: Callable[[Path], BinaryIO]
    flush: Callable[[BinaryIO], None]
    rename: Callable[[Path, Path], None]
    flush_folder: Callable[[Path], None]


def _create(path: Path) -> BinaryIO:
    return path.open("xb")


def _flush(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    # Windows does not open folders, and writes their entries through.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


DISK = Disk(_create, _flush, os.replace, _flush_folder)

# Faults of a disk that the user has to mend, and what they are called.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BROKEN = {errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EACCES}


class committed:  # noqa: N801  (reads as a statement: with committed(path) as temporary)
    """Write to a unique temporary name; on success flush it and rename it to `path`.

    The temporary name is random, not the final name with a suffix: a long name must not become too
    long, and two writers must not meet. The file is flushed before it is renamed and its folder
    after: a power cut leaves the old file or the new one.

    Raises
    ------
    StoreError : the folder cannot be made or written (``cannot-create``), the disk is full
        (``disk-full``) or fails (``disk-fault``); the temporary file is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}.tmp"

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            DISK.create(self.temporary).close()
        except OSError as error:
            raise _cannot_write(error, self.path, "cannot-create") from None
        return self.temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            _remove(self.temporary)
            if isinstance(error, OSError) and error.errno in _FULL:
                raise _cannot_write(error, self.path, "disk-fault") from None
            return
        try:
            with self.temporary.open("rb+") as stream:
                DISK.flush(stream)
            DISK.rename(self.temporary, self.path)
            DISK.flush_folder(self.path.parent)
        except OSError as fault:
            _remove(self.temporary)
            raise _cannot_write(fault, self.path, "disk-fault") from None


@contextmanager
def committed_as(folder: Path, name: Callable[[str], str]) -> Iterator[BinaryIO]:
    """Write a new file whose name tells its content: `name` is given the SHA-256 of its bytes.

    What is written under such a name can be checked for ever after, and two writers of the same
    bytes write the same file.

    Raises
    ------
    StoreError : as `committed`.
    """
    temporary = folder / f"{TEMPORARY}{secrets.token_hex(8)}.tmp"
    code = "cannot-create"
    try:
        with DISK.create(temporary) as stream:
            code = "disk-fault"
            yield stream
            DISK.flush(stream)
        DISK.rename(temporary, folder / name(sha256(temporary)))
        DISK.flush_folder(folder)
    except OSError as error:
        _remove(temporary)
        if isinstance(error, StoreError) or error.errno not in _FULL | _BROKEN | {errno.ENOENT}:
            raise
        raise _cannot_write(error, folder, code) from None
    except BaseException:
        _remove(temporary)
        raise


def sweep(folder: Path, *, older: float = STALE) -> list[Path]:
    """Remove the temporary files that writers left behind which were killed.

    A file counts as left behind when nothing was written to it for `older` s, by the clock of the
    disk it lies on (a server's may be another one than ours).

    Returns
    -------
    The files that were removed.

    Raises
    ------
    StoreError : nothing can be written in the folder: better known before the work than after.
    """
    probe = folder / f"{TEMPORARY}{secrets.token_hex(8)}.tmp"
    try:
        DISK.create(probe).close()
        now = probe.stat().st_mtime
    except OSError as error:
        raise _cannot_write(error, folder, "cannot-create") from None
    removed = []
    for path in [probe, *folder.glob(f"{TEMPORARY}*.tmp")]:
        try:
            if path == probe or now - path.stat().st_mtime > older:
                path.unlink()
                removed.append(path)
        except OSError:  # another process was quicker
            continue
    return [path for path in removed if path != probe]


def _remove(path: Path) -> None:
    """Remove what is half written; a disk that refuses this too has its own error already."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _cannot_write(error: OSError, path: Path, code: str) -> StoreError:
    """Say what is wrong with the disk, and how much of it is free."""
    words = error.strerror or str(error)
    if error.errno not in _FULL:
        return StoreError(
            f"cannot write here ({words})",
            where=path,
            code=code,
            fix="choose another place, or mend the disk and run the same command again",
        )
    free = ""
    with suppress(OSError):
        folder = next(p for p in path.parents if p.is_dir())
        free = f"; {shutil.disk_usage(folder).free / 1e9:.2f} GB are free"
    return StoreError(
        f"cannot write here ({words}{free})",
        where=path,
        code="disk-full",
        fix="free some of it and run the same command again: what was finished is kept",
    )


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def passing_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for large files that are needed while something runs; it goes with them.

    What a process that was killed has left there is removed by the next one after a week.

    Parameters
    ----------
    parent : where it is made, on a disk with room; made as well.

    Raises
    ------
    StoreError : it cannot be made (``cannot-create``).
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for old in parent.glob(f"{TEMPORARY}*.frames"):
            with suppress(OSError):  # another process was quicker
                if old.stat().st_mtime < time.time() - FORGOTTEN:
                    shutil.rmtree(old)
        made = tempfile.TemporaryDirectory(
            prefix=TEMPORARY, suffix=".frames", dir=parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise _cannot_write(error, parent, "cannot-create") from None
    with made as folder:
        yield Path(folder)
