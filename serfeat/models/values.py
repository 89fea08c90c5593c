"""Values of a model's parameters, held to what its signatures say: before any work, in one line.

A recipe is text, and TOML has its own idea of ``12`` and ``"12"``. What a parameter may be is
written once, as the annotation and the default of the class that takes it; pydantic reads the
annotation strictly (a text is no number, a number no truth value), as it reads the recipe.

Contents
--------
`check_values` : parameters against the signature of the class that they are for.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from serfeat.errors import ModelError

__all__ = ["check_values"]


def check_values(maker: Any, params: Mapping[str, Any], *, counts: bool = False) -> None:
    """Refuse values that are of another type than a signature says, and counts of less than 1.

    Parameters
    ----------
    maker : class whose ``__init__`` takes the parameters.
    params : by name; those that the class does not have are left to others.
    counts : whether its integers are counts (as those of all networks are): at least 1, or at least
        0 where 0 is the default or epochs are counted.

    Raises
    ------
    ModelError : names all that is wrong at once.
    """
    wrong = []
    known = inspect.signature(maker).parameters
    for word, value in params.items():
        if word not in known:
            continue
        hint = _hints(maker)[word]
        least = 0 if known[word].default == 0 or word.endswith("epochs") else 1
        if not _fits(value, hint):
            wrong.append(f"{word} is {value!r}, expected {_words(hint)}")
        elif counts and any(n < least for n in _integers(value)):
            wrong.append(f"{word} is {value!r}, expected at least {least}")
    if wrong:
        raise ModelError("; ".join(wrong), code="bad-parameter")


@cache
def _hints(maker: Any) -> dict[str, Any]:
    return typing.get_type_hints(maker.__init__)


@cache
def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


def _fits(value: Any, hint: Any) -> bool:
    """Whether JSON's form of a value is of the type; a tuple is written as a list there."""
    from pydantic import ValidationError

    if callable(value):
        return True  # of a Python caller: no text of a recipe is one
    try:
        _adapter(hint).validate_json(json.dumps(value, default=_plain), strict=True)
    except (ValidationError, TypeError):
        return False
    return True


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is nothing that a recipe can say")


def _integers(value: Any) -> list[int]:
    """The integers that a value holds; a truth value is none."""
    found = value if isinstance(value, list | tuple) else [value]
    return [n for n in found if isinstance(n, int) and not isinstance(n, bool)]


_NAMES = {int: "whole number", float: "number", bool: "truth value", str: "text"}


def _words(hint: Any) -> str:
    """A type for the reader of a message."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool:
        return "true or false"
    if origin is Literal:
        return f"one of {', '.join(map(str, inside))}"
    if origin in (typing.Union, types.UnionType):
        said = [x for x in inside if x is not type(None) and typing.get_origin(x) is not Callable]
        return " or ".join(_words(x) for x in said)
    if origin is tuple:
        return f"a list of {len(inside)} {_noun(inside[0])}s"
    if hint is str:
        return "text"
    return f"a list of {_noun(inside[0])}s" if _noun(hint) == "list" else f"a {_noun(hint)}"


def _noun(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is None:
        return _NAMES[hint]
    return "table" if issubclass(origin, Mapping) else "list"
