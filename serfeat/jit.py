"""The one place where numba is asked to compile a kernel.

A kernel stands where NumPy cannot vectorise: recursions (Levinson, Burg), searches (Viterbi, peak
candidates) and root finding. It is written as plain Python over arrays, compiled on first use,
cached on disk, and always reachable uncompiled as ``kernel.py_func`` for the tests. With the
environment variable ``SERFEAT_NO_JIT=1``, or where numba is missing, the plain function runs.

numba itself is imported when the first kernel is called: half a second that a process is spared
which only asks what a feature set is called and has for columns.

Contents
--------
`COMPILED`, `COMPILER` : whether kernels are compiled, and the packages that do it.
`jit`                  : the decorator.
`Kernel`               : what it makes.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["COMPILED", "COMPILER", "Kernel", "jit"]

F = TypeVar("F", bound=Callable[..., Any])


def _found() -> bool:
    if os.environ.get("SERFEAT_NO_JIT") == "1":
        return False
    return importlib.util.find_spec("numba") is not None


# Whether kernels are compiled. Where one would take a hundred times longer without it, its module
# holds a NumPy version as well and chooses by this.
COMPILED = _found()

# What a fork server imports beforehand, so that its workers need not.
COMPILER = ("numba",) if COMPILED else ()


class Kernel:
    """A function that is compiled when it is first called, from Python or from another kernel.

    Parameters
    ----------
    py_func : the function as it is written.
    compile_ : makes of it what numba knows how to call.
    """

    def __init__(self, py_func: Callable[..., Any], compile_: Callable[..., Any]) -> None:
        self.py_func = py_func
        self._compile = compile_
        functools.update_wrapper(self, py_func)

    @functools.cached_property
    def compiled(self) -> Any:
        """What numba made of it; its signatures are compiled one by one, on demand."""
        return self._compile(self.py_func)

    def __call__(self, *arguments: Any) -> Any:
        """Compute."""
        return self.compiled(*arguments)

    @property
    def _numba_type_(self) -> Any:
        """The type under which numba finds it where another kernel calls it."""
        from numba.core.registry import cpu_target

        compiled, context = self.compiled, cpu_target.typing_context
        context.refresh()  # it may have been made a moment ago, in the middle of a compilation
        return context.resolve_value_type(compiled)


def jit(function: F) -> F:
    """Compile `function` with numba (nopython, cached on disk, without fast-math).

    Fast-math would let the compiler reorder sums: the last bits would then depend on the machine.
    The one exception is `serfeat.lanes`, where a product and a sum may become one instruction.
    """
    return cast(F, Kernel(function, _njit)) if COMPILED else function


def _njit(function: Callable[..., Any]) -> Any:
    import numba

    from serfeat.jit_cache import Files, meaning

    made: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    made._cache._cache_file = Files(made._cache._cache_file, meaning(function))
    return made
