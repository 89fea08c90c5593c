"""Work of minutes: done in a process of its own, looked at from the page, ended with the lab.

Conventions
-----------
A task has a name, and is begun once: whoever asks again sees how far it is. It runs in the one
process of `Lab.background`, so that the requests of other views never wait behind it; a crash ends
the task, which says why and may be begun again. How far it is goes through a small file in the
lab's own folder, because a process can be killed at any time and a file cannot be half renamed.

Contents
--------
`Tasks`  : begin, look at, cancel.
`Meter`  : the other side: says from within the task how far it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from serfeat.errors import SerfeatError
from serfeat.lab.state import Lab

__all__ = ["Meter", "Tasks"]

BUDGET = 3600.0  # s that a task may compute
EVERY = 0.2  # s between two looks at how far it is


class Meter:
    """Write down how far a task is: ``meter("features", 3, 40)``.

    Parameters
    ----------
    path : of the file; anything may happen to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say it, a few times a second at most."""
        now = time.monotonic()
        if now - self._last < EVERY and done < total:
            return
        self._last = now
        fresh = self.path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):  # a lab that is being closed has no folder any more
            fresh.write_text(json.dumps([stage, done, total]), encoding="utf-8")
            fresh.replace(self.path)


class Tasks:
    """Tasks by name.

    Parameters
    ----------
    lab : whose background process computes.
    prefix : of the files, one for each view.
    """

    def __init__(self, lab: Lab, prefix: str) -> None:
        self.lab = lab
        self.prefix = prefix
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._meters: dict[str, Path] = {}

    def begin(self, name: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Begin ``function(meter, *arguments)``, unless it runs or is done.

        Parameters
        ----------
        function : of a module's top level; it gets the path of its `Meter` first.
        """
        known = self._running.get(name)
        if known is not None and not (known.done() and _wrong(known)):
            return
        meter = self._meters.setdefault(
            name, self.lab.folder / f"{self.prefix}-{len(self._meters)}.progress"
        )
        meter.unlink(missing_ok=True)
        work = self.lab.background.work(function, meter, *arguments, budget=BUDGET)
        self._running[name] = asyncio.create_task(work)

    def state(self, name: str) -> dict[str, Any]:
        """How a task is: state ("none", "running", "done", "failed"), stage, done, total, error."""
        task = self._running.get(name)
        found = {"state": "none", "stage": "", "done": 0, "total": 0, "error": ""}
        if task is None:
            return found
        if task.done():
            wrong = _wrong(task)
            return found | {"state": "failed" if wrong else "done", "error": wrong}
        with suppress(OSError, ValueError):
            stage, done, total = json.loads(self._meters[name].read_text(encoding="utf-8"))
            found |= {"stage": stage, "done": done, "total": total}
        return found | {"state": "running"}

    def result(self, name: str) -> Any | None:
        """What a task returned; None where it is not done."""
        task = self._running.get(name)
        return task.result() if task is not None and task.done() and not _wrong(task) else None

    def cancel(self, name: str) -> None:
        """End a task; its process with it."""
        if task := self._running.get(name):
            task.cancel()


def _wrong(task: asyncio.Task[Any]) -> str:
    """What went wrong with a task that has ended; empty: nothing."""
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    if error is None:
        return ""
    if isinstance(error, SerfeatError):
        return str(error)
    return f"unexpected {type(error).__name__}; this is a bug, please report it"
