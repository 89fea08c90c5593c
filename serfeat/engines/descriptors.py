"""Open files: how many workers a pool may have under the limit of this process (``ulimit -n``).

A pool whose pipes cannot be opened does not begin with fewer workers: it breaks in a thread of its
own, or in the server that forks. So it is asked before; a limit that may be raised is raised, as a
shell's user would do it, and otherwise there are fewer workers and a warning says so.

Contents
--------
`workers_within` : the number of workers that can be had.

Sources
-------
The manual page getrlimit(2). Measured with pebble 5 on Linux: a pool of n workers opens 2 n + 12
files in the process that has it.
"""

from __future__ import annotations

import os
import warnings
from contextlib import suppress

from serfeat.errors import EngineError

__all__ = ["workers_within"]

EACH = 2  # files of a worker: its pipe's end, and what tells of its death
POOL = 12  # files of a pool, whatever its workers
SPARE = 16  # for what is read and written meanwhile: a recording, a table, segments of the store


def workers_within(workers: int) -> int:
    """Return how many of some workers the limit of open files allows.

    Parameters
    ----------
    workers : that are wished for.

    Returns
    -------
    As many, or fewer (at least 1) with a `UserWarning`. All of them where the system has no such
    limit or does not say how many files are open.

    Raises
    ------
    EngineError : not even one (``open-files``).
    """
    taken = _open_files()
    wanted = taken + POOL + SPARE + EACH * workers
    limit = _raised(wanted) if taken else 0
    if not taken or limit < 0 or limit >= wanted:
        return workers
    if limit < taken + POOL + EACH:
        raise EngineError(
            f"this process may have {limit} files open and has {taken}, a pool of workers takes "
            f"{POOL + EACH} more",
            where="ulimit -n",
            code="open-files",
            fix="run `ulimit -n 1024` before, and the same command again",
        )
    fewer = max(1, (limit - taken - POOL - SPARE) // EACH)
    if fewer < workers:
        warnings.warn(
            f"{fewer} in place of {workers} workers, for this process may have only {limit} files "
            "open (ulimit -n)",
            stacklevel=2,
        )
    return min(fewer, workers)


def _open_files() -> int:
    """How many files this process has open; 0 where the system does not say."""
    for place in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(place))
    return 0


def _raised(wanted: int) -> int:
    """The limit, after it was raised towards what is wanted if it may be; -1: there is none."""
    try:
        import resource
    except ImportError:  # not on Windows
        return -1
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return -1
    if soft < wanted and (hard == resource.RLIM_INFINITY or hard > soft):
        target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):  # macOS has a further limit that it does not say
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
            return target
    return soft
