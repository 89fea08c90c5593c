"""Options of commands that read recordings: what is computed of them, and which are taken.

Every command that reads a manifest or a folder of audio has the same words for it.

Contents
--------
`Features`, `Level` : what is computed.
`MaxMissing`, `MaxDuration`, `AllowTruncated`, `Encoding`, `Follow` : what is taken.
`most_missing`      : the number or share that `MaxMissing` says.
`as_typed`          : those that are not the usual ones, for the record of a run.
"""

from __future__ import annotations

import math
from typing import Annotated

import typer

from serfeat.cli import words
from serfeat.errors import ManifestError

__all__ = [
    "HOUR",
    "AllowTruncated",
    "Encoding",
    "Features",
    "Follow",
    "Level",
    "MaxDuration",
    "MaxMissing",
    "as_typed",
    "most_missing",
]

HOUR = 3600.0  # s: `serfeat.audio.MAX_DURATION`, without loading NumPy for the help

Features = Annotated[
    str,
    typer.Option(
        help="A set of `serfeat list features`, or descriptors: f0,formants,hnr",
        autocompletion=words.list_of("features", "descriptors"),
    ),
]
Level = Annotated[
    str,
    typer.Option(
        help="functionals (a row per clip) or lld (one per frame)",
        autocompletion=words.one_of("levels"),
    ),
]
Encoding = Annotated[
    str, typer.Option(help="Of a manifest that is not UTF-8: latin-1, cp1252, ...")
]
Follow = Annotated[
    bool, typer.Option("--follow", help="Links may lead out of the folder of the audio.")
]
AllowTruncated = Annotated[
    bool,
    typer.Option("--allow-truncated", help="Take what is there of cut recordings, with a flag."),
]
MaxDuration = Annotated[float, typer.Option(help="s; longer recordings are refused.")]
MaxMissing = Annotated[
    str,
    typer.Option(help="End before any work if more files are missing: 12, or 5%; -1: any number."),
]


def most_missing(text: str) -> int | float | None:
    """Number of files that may be missing, or as a float their share; None: any number.

    Raises
    ------
    ManifestError : neither a number of files nor a percentage from 0 to 100.
    """
    said = text.strip()
    if said == "-1":
        return None
    try:
        if said.endswith("%"):
            share = float(said[:-1]) / 100
            if 0 <= share <= 1 and not math.isnan(share):
                return share
        elif (count := int(said)) >= 0:
            return count
    except ValueError:
        pass
    raise ManifestError(
        f"{text!r} is no number of files",
        where="--max-missing",
        code="bad-setting",
        fix="12 files, 5% of them, or -1 for any number",
    )


def as_typed(
    *, max_missing: str, max_duration: float, allow_truncated: bool, encoding: str, follow: bool
) -> str:
    """Options that are not the usual ones, as they are typed: `` --allow-truncated --follow``."""
    said = {
        f"--max-missing {max_missing}": max_missing != "-1",
        f"--max-duration {max_duration:g}": max_duration != HOUR,
        "--allow-truncated": allow_truncated,
        f"--encoding {encoding}": encoding != "utf-8",
        "--follow": follow,
    }
    return "".join(f" {words}" for words, typed in said.items() if typed)
