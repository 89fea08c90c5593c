"""Files on a disk: names that stay below a folder, audio below a folder, files written whole.

Conventions
-----------
A name is relative to a root, with ``/`` between folders, and never leads out of it. A file that
serfeat writes is there whole or not at all.

Contents
--------
`AUDIO_SUFFIXES`, `audio_files` : which files are recordings.
`inside`                        : a name below a root, or an error.
`committed`, `sha256`           : writing a file whole, and knowing it again.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import secrets
from pathlib import Path

from serfeat.errors import ManifestError, StoreError

__all__ = ["AUDIO_SUFFIXES", "audio_files", "committed", "inside", "sha256"]

# What libsndfile reads and speech is kept in; lower case.
AUDIO_SUFFIXES = (
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
                if entry.is_dir():
                    walk(Path(entry.path), (*parents, key))
                elif entry.name.lower().endswith(AUDIO_SUFFIXES):
                    found.append(Path(entry.path).relative_to(folder).as_posix())

    walk(folder, ())
    return sorted(found)


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


class committed:  # noqa: N801  (reads as a statement: with committed(path) as temporary)
    """Write to a unique temporary name; on success flush it and rename it to `path`.

    The temporary name is random, not the final name with a suffix: a long name must not become too
    long, and two writers must not meet.

    Raises
    ------
    StoreError : the folder cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.parent / f".serfeat-{secrets.token_hex(8)}.tmp"

    def __enter__(self) -> Path:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.temporary.touch()
        except OSError as error:
            raise StoreError(
                f"cannot write here ({error.strerror})",
                where=self.path,
                code="cannot-create",
                fix="choose another place with -o, or free the disk",
            ) from None
        return self.temporary

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self.temporary.unlink(missing_ok=True)
            return
        with self.temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        self.temporary.replace(self.path)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
