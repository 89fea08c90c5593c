"""Train one entry of a recipe on everything, store it, and apply it to new recordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.audio import load_audio
from serfeat.errors import ModelError, SerfeatError
from serfeat.extract import Failure, Progress, extract, manifest_of_files
from serfeat.feature_sets import feature_set
from serfeat.manifest import Manifest
from serfeat.models import MODELS, fit, make_model
from serfeat.models.storage import load_model, save_model
from serfeat.plan import Entry
from serfeat.targets import shares_of_votes, task_columns
from serfeat.types import Floats32

__all__ = ["Predictions", "predict", "train", "waveforms"]


@dataclass(frozen=True)
class Predictions:
    """Emotions of new recordings.

    Parameters
    ----------
    table : index (file, start, end); columns prediction and one p_<label> per label.
    failures : recordings without a prediction.
    licence : tag of the features that the model needs.
    trained_on : what the model's card says of its training corpus.
    """

    table: pd.DataFrame
    failures: tuple[Failure, ...]
    licence: str
    trained_on: Mapping[str, Any]


def train(
    manifest: Manifest,
    entry: Entry,
    folder: Path,
    *,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Train an entry on all rows of a manifest and store it.

    Parameters
    ----------
    manifest : rows with speaker and emotion.
    entry : model, feature set and parameters, as in a recipe.
    folder : of the model.
    seed : of the model.
    jobs, progress : see `serfeat.extract.extract`.

    Raises
    ------
    ModelError : fewer than two emotions, or no recording with features.
    """
    features = feature_set(entry.features)
    level = MODELS[entry.model].level
    extraction = extract(manifest, features, level=level, jobs=jobs, progress=progress)
    rows = manifest.rows.loc[manifest.rows.index.isin(extraction.index)]
    labels = sorted(set(rows["emotion"]))
    if len(labels) < 2:
        raise ModelError(
            f"the training rows have the emotions {labels}, expected two or more",
            where=manifest.name,
            code="one-class",
        )
    model = make_model(entry.model, seed=seed, **entry.params)
    tasks = task_columns([entry], rows)
    fit(
        model,
        extraction.values,
        rows["emotion"].to_numpy(dtype=str),
        rows["speaker"].to_numpy(),
        proportions=shares_of_votes(rows, labels) if entry.targets == "votes" else None,
        tasks={name: np.array(values) for name, values in tasks.items()},
    )
    card: dict[str, Any] = {
        "model": entry.model,
        "params": dict(entry.params),
        "seed": seed,
        "labels": labels,
        "features": {
            "name": features.name,
            "level": level,
            "fingerprint": features.fingerprint(level),
            "columns": list(features.columns(level)),
            "encoder": features.encoder.fingerprint() if features.encoder else None,
        },
        "licence": features.licence,
        "trained_on": {
            "corpus": manifest.name,
            "rows": len(rows),
            "speakers": int(rows["speaker"].nunique()),
            "synthetic": bool(manifest.card and manifest.card.synthetic),
            "licence": manifest.card.licence if manifest.card else "not stated",
        },
    }
    save_model(model, folder, card)
    return folder


def predict(
    folder: Path,
    sources: Sequence[Path],
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Predictions:
    """Apply a stored model to recordings.

    Parameters
    ----------
    folder : of the model.
    sources : audio files and folders of them.

    Raises
    ------
    ModelError : a model that cannot be trusted, or whose features this version computes otherwise.
    """
    model, card = load_model(folder)
    features = feature_set(card["features"]["name"])
    level = card["features"]["level"]
    if list(features.columns(level)) != card["features"]["columns"]:
        raise ModelError(
            f"was trained on other columns than {features.name} has in this version",
            where=folder,
            code="other-features",
            fix="train it again",
        )
    encoder = features.encoder.fingerprint() if features.encoder else None
    if encoder and encoder["files"] != (card["features"].get("encoder") or {}).get("files"):
        raise ModelError(
            f"the encoder of {features.name} has other weights than in training",
            where=folder,
            code="other-features",
            fix="put the encoder's files back, or train again",
        )
    extraction = extract(
        manifest_of_files(sources), features, level=level, jobs=jobs, progress=progress
    )
    table = pd.DataFrame(index=extraction.index, columns=["prediction"], dtype=object)
    if len(extraction.index):
        proba = model.predict_proba(extraction.values)
        table["prediction"] = [str(p) for p in model.predict(extraction.values)]
    else:
        proba = np.empty((0, len(card["labels"])))
    for i, label in enumerate(_text(model.classes_)):
        table[f"p_{label}"] = proba[:, i]
    return Predictions(table, extraction.failures, features.licence, card["trained_on"])


def waveforms(source: Manifest) -> tuple[list[Floats32], list[Failure]]:
    """Read every clip of a manifest at 16 kHz, for a training from waveforms; all are in memory.

    Returns
    -------
    (n,) samples of each clip that could be read, and the failures.
    """
    heard, failures = [], []
    for file, start, end in source.rows.index:
        first, last = start.total_seconds(), None if end is pd.NaT else end.total_seconds()
        try:
            audio = load_audio(source.path(file), start=first, end=last)
        except SerfeatError as error:
            stop = np.nan if last is None else last
            failures.append(Failure(file, first, stop, "read", error.code, str(error)))
        else:
            heard.append(audio.x.astype(np.float32))
    return heard, failures


def _text(values: Iterable[Any]) -> list[str]:
    return [str(v) for v in values]
