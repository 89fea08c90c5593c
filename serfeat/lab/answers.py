"""What the lab's server answers (JSON, blocks of arrays, errors in one line), and numbers asked.

Conventions
-----------
JSON has no NaN: undefined is null. Curves and pictures travel as blocks, because a number written
out is three times as long and has to be parsed: a little-endian uint32 n, n bytes of JSON
``{"about": ..., "arrays": {name: {"dtype", "shape", "offset"}}}``, then the bytes of the arrays at
their offsets from the end of that header, each at a multiple of 8, C order, little-endian.

Contents
--------
`LabError` : an error with its HTTP status.     `answer` : a value as JSON.
`failure`  : any exception as an answer.        `block`  : arrays as bytes.
`number`   : a number of a request.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from starlette.responses import Response

from serfeat.errors import SerfeatError

__all__ = ["LabError", "answer", "block", "failure", "number"]

ALIGNMENT = 8  # bytes: the widest element of a typed array
LARGEST = 1e9  # s, Hz or pixels: what lies beyond is no number that a page has
# What JavaScript has typed arrays for; whole numbers of 64 bits have none that one can plot.
DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


class LabError(SerfeatError, ValueError):
    """A request that cannot be answered.

    Parameters
    ----------
    status : of HTTP (404: no such sound, 413: too large, 429: busy, ...).
    message : one line for the page.
    retry_after : s, when to ask again; 0: no such advice.
    """

    def __init__(
        self, status: int, message: str, *, fix: str = "", code: str = "", retry_after: int = 0
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message, code=code, fix=fix)

    def __reduce__(self) -> tuple[object, ...]:
        state = {"status": self.status, "retry_after": self.retry_after}
        return (_lab_error, (self.status, self.message), {**super().__reduce__()[2], **state})  # type: ignore[dict-item]


def _lab_error(status: int, message: str) -> LabError:
    return LabError(status, message)


def number(
    words: Mapping[str, str],
    name: str,
    default: float,
    low: float = -LARGEST,
    high: float = LARGEST,
) -> float:
    """A number of a request; the default where the request has none.

    Raises
    ------
    LabError : no number (400, bad-number), or one out of range.
    """
    text = words.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        within = "" if (low, high) == (-LARGEST, LARGEST) else f" from {low:g} to {high:g}"
        raise LabError(400, f"{name} is {text!r}, expected a number{within}", code="bad-number")
    return value


def answer(value: object, status: int = 200) -> Response:
    """Answer with JSON.

    Parameters
    ----------
    value : mappings, sequences, frozen dataclasses, arrays, frames (one mapping per row), scalars
        of NumPy and pandas, paths; times become seconds, dates ISO text.
    status : of HTTP.
    """
    text = json.dumps(plain(value), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate (a file name that is no UTF-8) must not be the end of the answer.
    body = text.encode("utf-8", "backslashreplace")
    return Response(body, status_code=status, media_type="application/json")


def plain(value: Any) -> Any:
    """`value` in the words of JSON; NaN, infinities and missing values are None."""
    if value is None or value is pd.NaT or value is pd.NA or isinstance(value, bool | str):
        return value if isinstance(value, bool | str) else None
    if isinstance(value, np.generic) and not isinstance(value, np.timedelta64 | np.datetime64):
        return plain(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.timedelta64 | datetime.timedelta):  # pandas' Timedelta is one
        return pd.Timedelta(value).total_seconds()
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return _plain_collection(value)


def _plain_collection(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, pd.DataFrame):
        return [
            {str(k): plain(v) for k, v in zip(value.columns, row, strict=True)}
            for row in value.itertuples(index=False, name=None)
        ]
    if isinstance(value, np.ndarray | pd.Series | pd.Index):
        return [plain(v) for v in value.tolist()]
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: plain(getattr(value, f.name)) for f in fields}
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def block(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> Response:
    """Answer with arrays as they are in memory, and what is known about them.

    Parameters
    ----------
    arrays : of any shape; of a type that JavaScript lacks they become float64, bools uint8.
    about : see `answer`.
    """
    entries, parts, offset = {}, [], 0
    for name, given in arrays.items():
        array = _portable(given)
        entries[name] = {"dtype": str(array.dtype), "shape": array.shape, "offset": offset}
        size = array.nbytes
        parts.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        parts.append(b"\0" * (-size % ALIGNMENT))
        offset += size + -size % ALIGNMENT
    head = json.dumps(plain({"about": about, "arrays": entries}), allow_nan=False).encode()
    head += b" " * (-(4 + len(head)) % ALIGNMENT)  # the arrays then begin aligned
    body = b"".join([len(head).to_bytes(4, "little"), head, *parts])
    return Response(body, media_type="application/octet-stream")


def _portable(array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array)
    if array.dtype == bool:
        return array.astype(np.uint8)
    return array if str(array.dtype) in DTYPES else array.astype(np.float64)


def failure(error: Exception) -> Response:
    """Answer with what went wrong: never a traceback, never a path of ours."""
    if isinstance(error, LabError):
        response = answer({"error": str(error), "code": error.code}, error.status)
        if error.status in (408, 413, 429):  # what the client still sends is not read
            response.headers["Connection"] = "close"
        if error.retry_after:
            response.headers["Retry-After"] = str(error.retry_after)
        return response
    if isinstance(error, SerfeatError):
        return answer({"error": str(error), "code": error.code}, 422)
    words = f"unexpected {type(error).__name__}; this is a bug, please report it"
    return answer({"error": words, "code": "bug"}, 500)
