"""The record of a run: what was compared, on what, with which versions, in words for the report."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from serfeat.compare.code import versions
from serfeat.engines import available_cores
from serfeat.extract import Extraction
from serfeat.manifest import Manifest
from serfeat.metrics import speaker_key
from serfeat.models import MODELS
from serfeat.normalisation import NORMALISATIONS, coverage
from serfeat.plan import Entry, Plan
from serfeat.splits import Fold, independence
from serfeat.tuning.spaces import space_of, words

__all__ = ["record"]

PACKAGES = (
    *("serfeat", "numpy", "scipy", "numba", "pandas", "scikit-learn", "torch"),
    *("xgboost-cpu", "xgboost", "soundfile", "soxr", "opensmile"),
)


def record(
    manifest: Manifest,
    plan: Plan,
    rows: pd.DataFrame,
    labels: tuple[str, ...],
    extractions: Mapping[tuple[str, Any, Any], Extraction],
    folds_of: Mapping[str, tuple[list[Fold], str]],
    command: str,
    seconds: float,
) -> dict[str, Any]:
    """Describe a run.

    Parameters
    ----------
    manifest, plan, labels, command : of the run.
    rows : that every entry saw.
    extractions : (feature set, level, version) -> what was extracted.
    folds_of : protocol key -> its folds and its words.
    seconds : that the run took.

    Returns
    -------
    Everything that the report says in words, as JSON can hold it; the corpus's card is quoted.
    """
    speakers = speaker_key(rows)
    counts = pd.crosstab(speakers.to_numpy(str), rows["emotion"].to_numpy(str))
    card = manifest.card
    first = next(iter(extractions.values()))
    failures = {
        (f.file, f.start, None if pd.isna(f.end) else f.end): f  # NaN is not even itself
        for e in extractions.values()
        for f in e.failures
    }
    return {
        "title": plan.title,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": list(labels),
        "corpus": {
            "name": manifest.name,
            "title": card.title if card else manifest.name,
            "rows": len(rows),
            "speakers": int(speakers.nunique()),
            "seconds_of_audio": first.seconds_of_audio,
            "licence": card.licence if card else "not stated",
            "citation": card.citation if card else "",
            "synthetic": bool(card and card.synthetic),
            "counts": {s: counts.loc[s].astype(int).to_dict() for s in counts.index},
        },
        "protocols": [
            {
                "key": p.key,
                "speaker_independent": apart["speaker"],
                "independence": apart,
                "words": folds_of[p.key][1],
                "folds": len(folds_of[p.key][0]),
            }
            for p in plan.protocols
            for apart in [independence(rows, folds_of[p.key][0])]
        ],
        "entries": [
            _entry_record(e, extractions[e.features, e.level, None])
            | {"tuning": _tuning(e, plan, folds_of)}
            for e in plan.entries
        ],
        "normalisation": _normalisation(plan, rows),
        "selection": _selection(plan),
        "task": "regression" if plan.dimensions else "classification",
        "dimensions": list(plan.dimensions),
        "conditions": [{"name": c.name, **c.record()} for c in plan.conditions],
        "disjoint": list(plan.disjoint),
        "manifest_sha256": hashlib.sha256(
            rows.to_csv().encode("utf-8", "surrogateescape")
        ).hexdigest(),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "machine": {
            "cores": available_cores(),
            "processor": platform.machine(),
            "gpu": _gpu(),
            "os": platform.system(),
        },
        # JSON has no NaN: a failure of a whole recording has no end
        "failures": [
            {name: v for name, v in vars(f).items() if not pd.isna(v)} for f in failures.values()
        ],
        "warnings": list(card.warnings) if card else [],
        "extraction": {
            "seconds_of_audio": sum(e.computed_audio for e in extractions.values()),
            "seconds": sum(e.seconds for e in extractions.values()),
            "rows": len(rows),
            "failures": len(failures),
            "limits": first.limits.record,
        },
        "seeds": list(plan.seeds),
        "seconds": seconds,
    }


def _selection(plan: Plan) -> str:
    """Say how epochs were chosen; loudly where it was on the test folds."""
    words = "Nothing is selected on a test fold."
    if oracles := [e.label for e in plan.entries if e.oracle]:
        words = (
            f"THE EPOCH OF {', '.join(oracles)} WAS CHOSEN ON THE TEST FOLDS, to reproduce a "
            "paper: these scores are too high and compare with nothing else here. For all other "
            "entries nothing is selected on a test fold."
        )
    return (
        f"{words} Deep entries keep the weights of their last epoch unless their parameters say "
        "selection = validation (training speakers held out, or a protocol's validation clips)."
    )


def _normalisation(plan: Plan, rows: pd.DataFrame) -> str:
    """Say which entries are normalised how."""
    ways: dict[str, list[str]] = {}
    for entry in plan.entries:
        ways.setdefault(entry.normalisation, []).append(entry.label)
    said = dict(NORMALISATIONS)
    if "speaker" in ways and not plan.dimensions:
        said["speaker"] += f" {coverage(rows).words}"
    if len(ways) == 1:
        return said[next(iter(ways))]
    return " ".join(f"{', '.join(names)}: {said[way]}" for way, names in ways.items())


def _tuning(entry: Entry, plan: Plan, folds_of: Mapping[str, tuple[list[Fold], str]]) -> str:
    """Say how an entry was tuned; otherwise where a protocol has rows for it."""
    if not entry.tune:
        return ""
    said = words(space_of(entry.model, entry.tune, params=entry.params, task=plan.task))
    apart = [key for key, (made, _) in folds_of.items() if any(len(f.validation) for f in made)]
    if apart:
        said += (
            f" Under {', '.join(apart)} each candidate is fitted once and scored on the validation "
            "clips of the protocol."
        )
    return said


def _entry_record(entry: Entry, extraction: Extraction) -> dict[str, Any]:
    model = MODELS[entry.model]
    return {
        "name": entry.label,
        "model": entry.model,
        "kind": model.kind,
        "features": entry.features,
        "level": entry.level,
        "n_columns": len(extraction.features.columns(entry.level)),
        "licence": extraction.features.licence,
        "params": dict(entry.params),
        "targets": entry.targets,
        "train_on": entry.train_on,
        "augment": dict(entry.augment),
        "normalisation": entry.normalisation,
        "tune": entry.tune if isinstance(entry.tune, str) else dict(entry.tune),
        "words": f"{model.summary} ({model.source})",
    }


def _gpu() -> str:
    """Name of the GPU that deep entries use, or "none"; torch is asked only if it is loaded."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return "none"
    return str(torch.cuda.get_device_name(0))
