"""Column names in formats that do not hold every name.

Contents
--------
`matlab_names` : letters, digits and underscores, 63 characters, no keyword.
`netcdf_names` : the same letters; 120 characters, none of the names in use.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

__all__ = ["matlab_names", "netcdf_names"]

# The MathWorks, "iskeyword": these cannot name a variable.
MATLAB_KEYWORDS = (
    *("break", "case", "catch", "classdef", "continue", "else", "elseif", "end", "for"),
    *("function", "global", "if", "otherwise", "parfor", "persistent", "return", "spmd"),
    *("switch", "try", "while"),
)
MATLAB_LENGTH = 63  # namelengthmax since MATLAB 7; longer names are cut without a word


def matlab_names(columns: Sequence[str]) -> list[str]:
    """Valid and different MATLAB names, in the order of `columns`.

    >>> matlab_names(["f0_hz", "f0.hz", "1st", "end"])
    ['f0_hz', 'f0_hz_2', 'x1st', 'xend']
    """
    return _valid(columns, MATLAB_LENGTH, MATLAB_KEYWORDS)


def netcdf_names(columns: Sequence[str], taken: Collection[str]) -> list[str]:
    """Valid and different names of NetCDF variables: the CF conventions' letters.

    Parameters
    ----------
    taken : names that the file uses for something else.
    """
    return _valid(columns, 120, taken)


def _valid(columns: Sequence[str], length: int, forbidden: Collection[str]) -> list[str]:
    """Replace what is not allowed, cut, and number what has become the same."""
    out: list[str] = []
    used = {word.lower() for word in forbidden}
    for column in columns:
        name = re.sub(r"[^A-Za-z0-9_]", "_", column)
        if not re.match(r"[A-Za-z]", name) or name.lower() in {w.lower() for w in forbidden}:
            name = f"x{name}"
        name = base = name[:length]
        number = 1
        # Two names that differ in case only are one name on some readers' side.
        while name.lower() in used:
            number += 1
            ending = f"_{number}"
            name = base[: length - len(ending)] + ending
        used.add(name.lower())
        out.append(name)
    return out
