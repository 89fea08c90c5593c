"""Train one entry of a recipe on everything and store it, with what says when to doubt it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat import doubt
from serfeat.audio import USUAL, Limits
from serfeat.augment import Version
from serfeat.compare.targets import known_of, learnt_rows
from serfeat.errors import ModelError
from serfeat.extract import Extraction, Failure, extract
from serfeat.families import families
from serfeat.feature_sets import feature_set
from serfeat.feature_tables import is_table
from serfeat.files import passing_folder
from serfeat.manifest import Manifest
from serfeat.metrics import speaker_key
from serfeat.models import MODELS, fit, make_model
from serfeat.models.storage import load_model, save_model
from serfeat.normalisation import by_speaker, per_speaker, require_coverage, require_names
from serfeat.plan import Entry, Plan
from serfeat.sequences import Sequences, write_mapped
from serfeat.store import cache_folder
from serfeat.tuning import space_of, tuned
from serfeat.types import Report, silent

__all__ = ["train"]


def train(
    manifest: Manifest,
    entry: Entry,
    folder: Path,
    *,
    dimensions: Sequence[str] = (),
    seed: int = 0,
    held_out: int | None = None,
    jobs: int = 1,
    report: Report = silent,
    limits: Limits = USUAL,
    max_missing: int | float | None = None,
    failed: Callable[[Sequence[Failure]], None] | None = None,
) -> Path:
    """Train an entry on all rows of a manifest and store it; tuned on them, if it says so.

    An entry that augments is trained on the further versions of the clips too, as in a comparison.

    Frames are memory-mapped while it lasts: a corpus may be larger than the memory.

    Parameters
    ----------
    manifest : rows with speaker and emotion.
    entry : model, feature set and parameters, as in a recipe.
    folder : of the model.
    dimensions : columns with numbers that are learnt in place of the emotion.
    seed : of the model.
    held_out : groups of speakers that further models are trained without, to write down when this
        one should say "unknown" (`serfeat.doubt`); 0: no record. Default: 4 for a classical model
        of emotions; 0 for a deep one, whose training would take five times as long.
    report : is called with (stage, done, total): recordings of "features" (and of "features,
        version 0" and so on), epochs or models of "training", models of "held-out speakers".
    jobs, limits, max_missing : see `serfeat.extract.extract`.
    failed : is called with the recordings that have no features; the model has not heard them.

    Raises
    ------
    ModelError : fewer than two emotions, or no recording with features; an entry whose epoch is
        chosen on test clips, or whose features are a table.
    """
    if is_table(entry.features):
        raise ModelError(
            "the features of a table cannot be computed for new recordings",
            where=entry.name,
            code="not-computable",
            fix="train an entry on one of serfeat's feature sets",
        )
    if entry.oracle:
        raise ModelError(
            "its epoch is chosen on test clips, and here all clips are trained on",
            where=entry.name,
            code="no-oracle",
            fix="set selection = last, or validation",
        )
    if entry.tune:  # what cannot be searched is an error before any work
        task = Plan("", [], [], dimensions=dimensions).task
        space_of(entry.model, entry.tune, params=entry.params, task=task)
    with passing_folder(cache_folder()) as work:
        made = [
            extract(
                manifest, replace(feature_set(entry.features), augment=version),
                level=entry.level, jobs=jobs, mapped=work, limits=limits, max_missing=max_missing,
                progress=partial(report, f"features{_numbered(version)}"),
            )
            for version in (None, *entry.versions)
        ]  # fmt: skip
        if failed is not None:
            failed(_failures(made))
        _train(manifest, entry, folder, made, work, dimensions, seed, held_out, report)
    return folder


def _numbered(version: Version | None) -> str:
    return "" if version is None else f", version {version.number}"


def _failures(made: Sequence[Extraction]) -> tuple[Failure, ...]:
    """Clips that lack features, those of a version too: each once."""
    clips = {(f.file, f.start, str(f.end)): f for e in reversed(made) for f in e.failures}
    return tuple(clips.values())


def _train(
    manifest: Manifest,
    entry: Entry,
    folder: Path,
    made: Sequence[Extraction],
    work: Path,
    dimensions: Sequence[str],
    seed: int,
    held_out: int | None,
    report: Report,
) -> None:
    """Train an entry on what was extracted, the recorded clips first; see `train`."""
    rows = manifest.rows
    for extraction in made:
        rows = rows.loc[rows.index.isin(extraction.index)]
    rows = rows.loc[learnt_rows(entry, rows)]
    labels = [] if dimensions else sorted(set(rows["emotion"]))
    if len(labels) < 2 and not dimensions:
        raise ModelError(
            f"the training rows have the emotions {labels}, expected two or more",
            where=manifest.name,
            code="one-class",
        )
    plan = Plan("", [entry], [], dimensions=dimensions)
    recorded = known_of(plan, rows)
    X = _material(entry, rows, made, recorded.speakers, work, dimensions)
    known = recorded.of(np.tile(np.arange(len(rows)), len(made)))
    shares: dict[str, Any] = {"proportions": known.votes, "tasks": dict(known.columns)}

    def make(params: Mapping[str, Any]) -> Any:
        return make_model(entry.model, seed=seed, task=plan.task, **entry.settings(params))

    chosen: dict[str, Any] = {}
    if entry.tune:
        chosen, _ = tuned(
            make, entry.tune, X[np.arange(len(rows))], recorded.truth, recorded.speakers,
            model=entry.model, seed=seed, proportions=recorded.votes, tasks=recorded.columns,
        )  # fmt: skip
    model = make(chosen)
    deep = MODELS[entry.model].kind == "deep"
    if deep:  # tells its epochs; the stored model has no such function
        model.steps[-1][1].set_params(verbose=partial(report, "training"))
    else:
        report("training", 0, 1)
    fit(model, X, known.truth, known.speakers, recorded=len(rows), **shares)
    if deep:
        model.steps[-1][1].set_params(verbose=False)
    else:
        report("training", 1, 1)
    save_model(
        model,
        folder,
        {
            "model": entry.model,
            "params": {**entry.params, **chosen},
            "seed": seed,
            "labels": labels,
            "dimensions": list(dimensions),
            "normalisation": entry.normalisation,
            "augment": dict(entry.augment),
            "train_on": entry.train_on,
            **_origin(manifest, rows, made),
        },
    )
    (folder / doubt.FILE).unlink(missing_ok=True)  # of the model that was here before
    if held_out is None:
        classical = MODELS[entry.model].kind == "classical" and not dimensions
        held_out = 4 if classical and len(set(known.speakers)) > 1 else 0
    if held_out:
        found = doubt.learn(
            lambda: make(chosen), X, known.truth, known.speakers, groups=held_out, shares=shares,
            recorded=len(rows), progress=partial(report, "held-out speakers"),
        )  # fmt: skip
        doubt.save_doubt(found, folder, load_model(folder)[1])


def _material(
    entry: Entry,
    rows: pd.DataFrame,
    made: Sequence[Extraction],
    speakers: Sequence[str],
    work: Path,
    dimensions: Sequence[str],
) -> Any:
    """The rows' features as recorded, and then those of each version, normalised as asked for."""
    parts: list[Any] = [
        e.values
        if len(e.index) == len(rows)
        else e.values[np.flatnonzero(e.index.isin(rows.index))]
        for e in made
    ]
    if entry.normalisation == "speaker":
        (require_names if dimensions else require_coverage)(rows)
        columns = made[0].features.columns(made[0].level)
        samples: Sequence[int] = families(columns).get("samples", [])
        parts = [
            _by_speaker(part, speakers, samples, work / f"{i}") for i, part in enumerate(parts)
        ]
    if len(parts) == 1:
        return parts[0]
    frames = isinstance(parts[0], Sequences)
    return Sequences.joined(parts) if frames else np.concatenate(parts)


def _by_speaker(X: Any, speakers: Sequence[str], samples: Sequence[int], stem: Path) -> Any:
    """Z-score every speaker; frames that are too many for the memory go to the disk again."""
    if not isinstance(X, Sequences) or not X.large:
        return per_speaker(X, speakers, samples=samples)
    shape = (int(X.offsets[-1]), X.shape[1])
    return write_mapped(stem, shape, X.offsets, by_speaker(X, speakers, samples=samples))


def _origin(manifest: Manifest, rows: pd.DataFrame, made: Sequence[Extraction]) -> dict[str, Any]:
    """What a model's card says of its features and its recordings."""
    features, level = made[0].features, made[0].level
    return {
        "features": {
            "name": features.name,
            "level": level,
            "fingerprint": features.fingerprint(level),
            "rules": features.fingerprint(level, libraries=False),
            "columns": list(features.columns(level)),
            "encoder": features.encoder.fingerprint() if features.encoder else None,
        },
        "licence": features.licence,
        "trained_on": {
            "corpus": manifest.name,
            "rows": len(rows),
            "failures": len(_failures(made)),
            "limits": made[0].limits.record,
            "speakers": int(speaker_key(rows).nunique()),
            "synthetic": bool(manifest.card and manifest.card.synthetic),
            "licence": manifest.card.licence if manifest.card else "not stated",
        },
    }
