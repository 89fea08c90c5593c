"""Options of commands that read recordings: what is computed of them, and which are taken.

Every command that reads a manifest or a folder of audio has the same words for it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from serfeat.cli import words

__all__ = [
    "HOUR",
    "AllowTruncated",
    "Encoding",
    "Features",
    "Follow",
    "Level",
    "MaxDuration",
    "MaxMissing",
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
    int, typer.Option(help="End before any work if more files are missing; -1: any number.")
]
