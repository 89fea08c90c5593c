"""Python source as a tree, for the tests that read code."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Put the garbage collector off while sources are parsed.

    Python 3.11 stops with a SystemError ("AST constructor recursion depth mismatch") if another
    parse begins inside the first, as when the collector meets an object whose end is reported with
    a traceback, and the traceback's source is parsed.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def parsed(source: str) -> ast.Module:
    """The tree of a module."""
    with nothing_collected():
        return ast.parse(source)
