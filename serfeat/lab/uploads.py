"""Files from strangers: cut at the limit, named by us, decoded elsewhere, deleted after an hour.

Conventions
-----------
The body of the request is the file; its name travels beside it, percent-encoded, and is only ever
shown as text. A file is written under a name of our own into the lab's folder, never longer than
the limit, whatever the request announced; who sends nothing for half a minute is not waited for.

Contents
--------
`receive`    : a request -> a `Sound`.
`delete_old` : uploads of more than an hour ago.
`sweep_dead` : folders of servers that were killed.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request

from serfeat.errors import printable
from serfeat.lab.answers import LabError
from serfeat.lab.sounds import Sound
from serfeat.lab.state import Lab

__all__ = ["delete_old", "receive", "sweep_dead"]

PATIENCE = 30.0  # s without a byte
LIFE = 3600.0  # s
MOST = 200  # uploads that are kept at once; the oldest goes first
AT_ONCE = 24  # uploads under way; more are told to come again
MUCH = 10_000_000  # bytes
LONGEST_NAME = 120  # characters that are shown


_under_way: dict[int, int] = {}  # id of a lab -> uploads


async def receive(lab: Lab, request: Request) -> Sound:
    """Take a file.

    Raises
    ------
    LabError : 400, nothing was sent; 408, too slow; 413, too large; 429, too many at once.
    """
    limit = lab.options.upload_limit
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    if _under_way.get(id(lab), 0) >= AT_ONCE:
        raise LabError(429, "busy: too many uploads at once", code="busy", retry_after=1)
    _under_way[id(lab)] = _under_way.get(id(lab), 0) + 1
    sound = secrets.token_hex(8)
    path = lab.folder / f"{sound}.upload"
    try:
        await _store(request, path, limit)
    except BaseException:
        _delete(path)
        raise
    finally:
        _under_way[id(lab)] -= 1
    name = shown_name(request.headers.get("x-serfeat-name", ""))
    found = Sound(id=sound, name=name, path=path, uploaded=True)
    lab.sounds.add(found)
    for old in lab.sounds.uploaded()[:-MOST]:
        lab.forget(old.id)
    return found


async def _store(request: Request, path: Path, limit: int) -> None:
    """Write the body of a request to `path`, up to `limit` bytes."""
    size = 0
    chunks = request.stream()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks), PATIENCE)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise LabError(
                    408, f"nothing came for {PATIENCE:g} s", code="too-slow", fix="send it again"
                ) from None
            except ClientDisconnect:
                raise LabError(400, "the upload was broken off", code="broken-off") from None
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            file.write(chunk)
    if not size:
        raise LabError(400, "the file is empty", code="empty-file", fix="record or copy it again")


def _delete(path: Path) -> None:
    """Delete what was broken off; for much of it the disk takes its time, and nobody waits."""
    if path.is_file() and path.stat().st_size > MUCH:
        asyncio.get_running_loop().run_in_executor(None, lambda: path.unlink(missing_ok=True))
    else:
        path.unlink(missing_ok=True)


def _too_large(limit: int) -> LabError:
    return LabError(
        413,
        f"larger than {limit / 1e6:g} MB",
        code="too-large",
        fix="cut it into parts, or open its folder with `serfeat lab FOLDER`",
    )


def shown_name(header: str) -> str:
    r"""Make the name of an upload fit to be shown: one line, no marks that turn the line around.

    >>> shown_name("..%2Fa%0Ab%E2%80%AEgnp.wav")
    'a\\nb\\u202egnp.wav'
    """
    name = re.split(r"[/\\]", unquote(header, errors="replace"))[-1]
    name = printable(name).strip()
    if len(name) > LONGEST_NAME:
        name = name[: LONGEST_NAME // 2] + "…" + name[-LONGEST_NAME // 2 :]
    return name or "upload"


def delete_old(lab: Lab, *, now: float | None = None) -> int:
    """Delete uploads that are older than an hour; returns how many."""
    moment = time.time() if now is None else now
    count = 0
    for sound in lab.sounds.uploaded():
        try:
            old = moment - sound.path.stat().st_mtime > LIFE
        except FileNotFoundError:
            old = True
        if old:
            lab.forget(sound.id)
            count += 1
    return count


def sweep_dead() -> int:
    """Delete the folders of servers that were killed before they could; returns how many."""
    count = 0
    for folder in Path(tempfile.gettempdir()).glob("serfeat-lab-*"):
        number = folder.name.split("-")[2]
        if not folder.is_dir() or folder.is_symlink() or not number.isdecimal():
            continue
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
            count += 1
        except OSError:
            continue  # another user's
    return count
