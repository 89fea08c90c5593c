"""What an extraction asks of the system's memory: to keep what is taken often, to take back early.

One setting of the C library's allocator is worth a third of the time of an extraction. glibc gives
arrays of more than 128 KiB back to the system when they are freed, and takes them anew for the next
block or clip: every page is then cleared and mapped again, which takes as long as the transform
that fills it. An extraction frees and takes the same few megabytes all the time, so it asks glibc
to keep them. Elsewhere (musl, macOS, Windows) nothing is changed.

The samples of a long recording, on the other hand, are read once, from the first to the last, while
the frames made of them grow: given back piece by piece, both are never in memory whole.

Contents
--------
`keep_freed_memory`     : the setting.
`trim`                  : gives back what it keeps, once: before another stage of a long recording.
`of_pages`, `give_back` : an array whose beginning can be given back while the rest is in use.

Sources: the manual pages mallopt(3) and madvise(2).
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

__all__ = ["give_back", "keep_freed_memory", "of_pages", "trim"]

# Numbers of the parameters in malloc.h, and the largest threshold that glibc accepts.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 32 << 20
KEPT = 128 << 20


def keep_freed_memory() -> bool:
    """Keep up to 128 MiB of freed memory in this process, in blocks of up to 32 MiB.

    Returns
    -------
    Whether the C library took it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(M_TRIM_THRESHOLD, KEPT))


def trim() -> None:
    """Give freed memory back to the system, where the C library is glibc; takes milliseconds."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def of_pages(n: int) -> NDArray[np.float32]:
    """Make (n,) zeros in pages of their own, for `give_back`; elsewhere an ordinary array."""
    if not (sys.platform.startswith("linux") and n):
        return np.zeros(n, dtype=np.float32)
    pages = mmap.mmap(-1, 4 * n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype=np.float32)


def give_back(x: NDArray[np.floating], n: int) -> int:
    """Give the first n samples of an array of `of_pages`, or of a part of one, back to the system.

    They read as 0 from then on. Nothing happens to any other array.

    Returns
    -------
    Bytes that were given back, whole pages.
    """
    base: object = x
    while isinstance(base, np.ndarray):
        owner, base = base, base.base
    if isinstance(base, memoryview):
        base = base.obj
    if not isinstance(base, mmap.mmap) or not x.flags.c_contiguous:
        return 0
    begin = x.ctypes.data - owner.ctypes.data
    end = (begin + min(n, len(x)) * x.itemsize) // mmap.PAGESIZE * mmap.PAGESIZE
    begin = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    if end <= begin:
        return 0
    base.madvise(mmap.MADV_DONTNEED, begin, end - begin)
    return end - begin
