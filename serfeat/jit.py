"""The one place where numba is asked to compile a kernel.

A kernel stands where NumPy cannot vectorise: recursions (Levinson, Burg), searches (Viterbi, peak
candidates) and root finding. It is written as plain Python over arrays, compiled on first use,
cached on disk, and always reachable uncompiled as ``kernel.py_func`` for the tests. With the
environment variable ``SERFEAT_NO_JIT=1``, or where numba is missing, the plain function runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["jit"]

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile `function` with numba (nopython, cached on disk, without fast-math).

    Fast-math would let the compiler reorder sums: the last bits would then depend on the machine.
    """
    if os.environ.get("SERFEAT_NO_JIT") == "1":
        return function
    try:
        import numba
    except ImportError:
        return function
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
