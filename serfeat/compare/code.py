"""What makes a part of a comparison: our own code, and the libraries under it with their versions.

A part that was made by other code is not used again: the record of a run states the versions that
all of its numbers have.

Contents
--------
`code_of`  : digest of what trains and applies an entry.
`versions` : of installed packages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from serfeat.models import MODELS
from serfeat.plan import Entry

__all__ = ["code_of", "versions"]

FOLDERS = ("models", "heads", "tuning", "explain")
FILES = (
    *("compare/fitting.py", "compare/targets.py", "families.py", "metrics.py", "concordance.py"),
    *("plan.py", "sequences.py", "stats.py"),
)
EVERYWHERE = ("numpy", "scipy", "scikit-learn", "numba")  # in the preparation of every model
XGBOOST = ("xgboost-cpu", "xgboost")  # one library under two names


def code_of(entry: Entry) -> str:
    """SHA-256 of our code and of the versions of the libraries that an entry is computed by.

    Only those that this entry uses: another torch is no reason to train an SVM again.
    """
    model = MODELS[entry.model]
    names = [*EVERYWHERE, *(["torch"] if model.kind == "deep" else [])]
    names += XGBOOST if entry.model == "xgb" else []
    names += ["optuna"] if "optuna" in str(entry.tune) else []
    used = json.dumps(versions(names), sort_keys=True)
    return hashlib.sha256(f"{_own_code()} {used}".encode()).hexdigest()


def versions(names: Iterable[str]) -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _own_code() -> str:
    """SHA-256 of the files that train, apply and explain."""
    package = Path(__file__).resolve().parent.parent
    files = sorted(f for folder in FOLDERS for f in (package / folder).glob("*.py"))
    files += [package / name for name in FILES]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
