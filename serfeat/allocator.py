"""One setting of the C library's allocator, worth a third of the time of an extraction.

glibc gives arrays of more than 128 KiB back to the system when they are freed, and takes them anew
for the next block or clip: every page is then cleared and mapped again, which takes as long as the
transform that fills it. An extraction frees and takes the same few megabytes all the time, so it
asks glibc to keep them. Elsewhere (musl, macOS, Windows) nothing is changed.

Source: the manual page mallopt(3).
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

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
