"""``--json``: one JSON document on standard output; everything else goes to standard error.

Conventions
-----------
Names are stable and those of the library. NaN, infinity and NaT are null; times are decimal
seconds; a path is text. Characters outside ASCII are escaped, so that no locale, terminal or name
of a stranger can spoil the document. The exit code is that of the command without ``--json``.

What each command prints is said in its docstring.

Contents
--------
`plain`      : any value of ours as JSON has it.
`records`    : the rows of a DataFrame, its index first.
`print_json` : the document.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import typer

__all__ = ["plain", "print_json", "records"]


def plain(value: Any) -> Any:
    """Return a value as JSON can say it.

    Parameters
    ----------
    value : numbers, text, paths, times, NumPy and pandas scalars and arrays, DataFrames, frozen
        dataclasses, and mappings and sequences of these.

    >>> plain({"uar": float("nan"), "labels": ("anger", "fear")})
    {'uar': None, 'labels': ['anger', 'fear']}
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "total_seconds"):  # a timedelta; NaT has it too, and is not itself
        return plain(value.total_seconds()) if value == value else None
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return records(value)
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return plain(value.tolist())
    return None if value != value else str(value)


def records(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a DataFrame, one object each; levels of its index with a name come first.

    >>> import pandas as pd
    >>> records(pd.DataFrame({"x": [1.0, float("nan")]}, index=pd.Index(["a", "b"], name="file")))
    [{'file': 'a', 'x': 1.0}, {'file': 'b', 'x': None}]
    """
    named = [name for name in frame.index.names if name is not None]
    flat = frame.reset_index() if named else frame
    return [{str(k): plain(v) for k, v in row.items()} for row in flat.to_dict("records")]


def print_json(value: Any) -> None:
    """Print one document on standard output."""
    typer.echo(json.dumps(plain(value), indent=1, allow_nan=False))
