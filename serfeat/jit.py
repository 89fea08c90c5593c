"""The one place where numba is asked to compile a kernel.

A kernel stands where NumPy cannot vectorise: recursions (Levinson, Burg), searches (Viterbi, peak
candidates) and root finding. It is written as plain Python over arrays, compiled on first use,
cached on disk, and always reachable uncompiled as ``kernel.py_func`` for the tests. With the
environment variable ``SERFEAT_NO_JIT=1``, or where numba is missing, the plain function runs.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["COMPILED", "jit"]

F = TypeVar("F", bound=Callable[..., Any])


def _found() -> bool:
    if os.environ.get("SERFEAT_NO_JIT") == "1":
        return False
    return importlib.util.find_spec("numba") is not None


# Whether kernels are compiled. Where one would take a hundred times longer without it, its module
# holds a NumPy version as well and chooses by this.
COMPILED = _found()


def jit(function: F) -> F:
    """Compile `function` with numba (nopython, cached on disk, without fast-math).

    Fast-math would let the compiler reorder sums: the last bits would then depend on the machine.
    The one exception is `serfeat.lanes`, where a product and a sum may become one instruction.
    """
    if not COMPILED:
        return function
    import numba

    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
