"""Compiled kernels on disk: never those of an older source, never those of another signature.

numba keeps a kernel's machine code beside its module, by the text of *that* file: when a kernel
of another file that it calls is corrected, the caller goes on with the old one, compiled into it.
And it numbers the files, in an index that two processes may write at the same time: one signature
is then given the code of another ([1] tells of the like). Both end in wrong numbers without a word.

Here a file's name says for which signature, machine and version of numba it holds code, and the
code lies beside a digest of everything that the compiler read: whatever order processes write in,
and whatever is installed over what, a kernel is found only where it is the very one.

Contents
--------
`meaning` : the digest.
`Files`   : where numba looks for a kernel's code.

References
----------
[1] https://github.com/numba/numba/issues/10128 and /issues/4807.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
from numba.core import caching

__all__ = ["Files", "meaning"]

_Theirs: Any = caching.IndexDataCacheFile


# What says how a kernel is compiled.
COMPILERS = ("jit.py", "lanes.py")


@functools.cache
def _compilers() -> bytes:
    return b"".join(Path(__file__).with_name(name).read_bytes() for name in COMPILERS)


def meaning(function: Callable[..., Any]) -> str:
    """Digest what makes a kernel: its code, that of kernels it calls, and the constants of both.

    Parameters
    ----------
    function : a kernel as it is written.
    """
    digest = hashlib.sha256(_compilers())
    pending, seen = [function], set[Any]()
    while pending:
        kernel = pending.pop()
        if kernel in seen:
            continue
        seen.add(kernel)
        digest.update(repr((kernel.__module__, kernel.__qualname__, kernel.__defaults__)).encode())
        for code in _codes(kernel.__code__):
            constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
            words = (code.co_code, constants, code.co_names, code.co_varnames)
            digest.update(repr(words).encode())
            for name in code.co_names:
                value: Any = kernel.__globals__.get(name)
                if hasattr(value, "py_func"):
                    pending.append(value.py_func)
                elif isinstance(value, np.ndarray):
                    digest.update(repr((name, value.dtype, value.shape)).encode())
                    digest.update(value.tobytes())
                elif isinstance(value, (bool, int, float, complex, str, tuple, np.generic)):
                    digest.update(repr((name, value)).encode())
    return digest.hexdigest()


def _codes(code: CodeType) -> list[CodeType]:
    """A function's code and that of the comprehensions within it."""
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return [code, *(part for one in inner for part in _codes(one))]


class Files(_Theirs):  # type: ignore[misc]  # numba says nothing of its types
    """One file for each signature, without an index.

    Parameters
    ----------
    files : numba's own, of the same kernel.
    digest : `meaning` of the kernel.
    """

    def __init__(self, files: Any, digest: str) -> None:
        self.__dict__.update(vars(files))
        self._digest = digest

    def save(self, key: Any, data: Any) -> None:
        """Keep the machine code of a signature: whole, or (on a full disk) not at all."""
        with contextlib.suppress(OSError):
            self._save_data(self._name(key), (self._digest, data))

    def load(self, key: Any) -> Any:
        """Find the machine code of a signature, or None."""
        try:
            digest, data = self._load_data(self._name(key))
        except Exception:  # no file, or a damaged one, of which a pickle may say anything
            return None
        return data if digest == self._digest else None

    def _name(self, key: Any) -> str:
        told = hashlib.sha256(repr((self._version, key)).encode()).hexdigest()
        return str(self._data_name_pattern).replace("{number:d}", told[:16])
