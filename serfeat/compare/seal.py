"""The seal of a run: what its files were when it was written.

A report is made from the files of a run, also years later and on another machine. Predictions that
somebody sorted in a spreadsheet, a score that was corrected by hand, files of two runs in one
folder, a comparison that was killed while it wrote: each still looks like a run. So a comparison
ends with ``seal.json``, the digests of what it wrote, and whoever reads the run can see whether it
still is that. It is no signature: whoever wants to deceive can seal again.

Of JSON the content counts, not the bytes: line ends and indentation may change. A run without a
seal is of an older version, and nothing is said of it.

Contents
--------
`seal`    : write the digests of some files.
`changed` : which of them are not what they were.
`OPTIONAL` : the tables of a run that not every run has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from serfeat.files import committed, sha256

__all__ = ["OPTIONAL", "changed", "seal"]

SEAL = "seal.json"
# The tables that a run may hold beside its predictions, by the names of their files.
OPTIONAL = ("history", "costs", "rows", "tuning", "importance", "contributions", "gates", "tasks")


def seal(folder: Path, names: Iterable[str]) -> None:
    """Write the digests of some files of a folder, the last thing that a run writes.

    A table that is not among them is of an earlier run in this folder, with another recipe: it is
    removed, so that no page shows it as this one's.
    """
    names = list(names)
    for name in OPTIONAL:
        if f"{name}.parquet" not in names:
            (folder / f"{name}.parquet").unlink(missing_ok=True)
    digests = {name: _digest(folder / name) for name in sorted(names)}
    with committed(folder / SEAL) as temporary:
        temporary.write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def changed(folder: Path) -> tuple[str, ...]:
    """Name the sealed files that are gone, differ or came later, sorted.

    The seal itself is named where it is no seal.

    Returns
    -------
    Nothing for a run without a seal.
    """
    if not (folder / SEAL).is_file():
        return ()
    try:
        digests = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        kept = {str(name): str(digest) for name, digest in digests.items()}
    except (ValueError, AttributeError):
        return (SEAL,)
    known = [*kept, *(f"{name}.parquet" for name in OPTIONAL)]
    return tuple(n for n in sorted(set(known)) if _digest(folder / n) != kept.get(n, ""))


def _digest(path: Path) -> str:
    """SHA-256 in hex of a file, or of what a JSON file says; empty where there is none."""
    if not path.is_file():  # nor a device, whose end nobody knows
        return ""
    try:
        if path.suffix != ".json":
            return sha256(path)
        said = json.dumps(json.loads(path.read_text(encoding="utf-8")), sort_keys=True)
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(said.encode()).hexdigest()
