"""serfeat: speech emotion recognition with features you can trust and comparisons you can believe.

``import serfeat`` loads nothing heavy; parts are loaded when they are first used::

    from serfeat.extract import extract
    table = extract("speech/", "classic").table

The data's way, and the only direction in which imports point::

    corpora -> manifest -> audio -> shorttime -> lld -> functionals -> store
            -> splits -> models (heads) -> metrics, stats, leaderboard -> report
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# What `serfeat.<name>` is, and where it lives; resolved on first use (PEP 562).
_LAZY = {
    "DESCRIPTORS": "serfeat.lld",
    "FEATURE_SETS": "serfeat.features",
    "MODELS": "serfeat.models",
    "PROTOCOLS": "serfeat.splits",
    "ShortTime": "serfeat.shorttime",
    "TorchClassifier": "serfeat.models.torch_classifier",
    "load_audio": "serfeat.audio",
    "read_manifest": "serfeat.manifest_csv",
}

# Modules that may be used without an import of their own: `serfeat.lld.f0(x, sr)`. (A function must
# not be called like its module, or the first import of the module would hide it.)
_MODULES = (
    "audio",
    "compare",
    "corpora",
    "demo",
    "extract",
    "functionals",
    "heads",
    "labels",
    "lld",
)

__all__ = ["__version__", *sorted(_LAZY)]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"serfeat.{name}")
    raise AttributeError(f"module 'serfeat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
