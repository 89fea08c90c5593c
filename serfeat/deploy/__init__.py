"""Apply a stored model to new recordings; `serfeat.deploy.training` trains and stores one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat import doubt
from serfeat.audio import USUAL, Limits, load_audio
from serfeat.deploy.training import train
from serfeat.errors import ModelError, SerfeatError, printable
from serfeat.extract import Failure, as_manifest, extract, manifest_of_files
from serfeat.families import families
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet
from serfeat.manifest import Manifest
from serfeat.models.storage import load_model
from serfeat.normalisation import FEW_CLIPS, per_speaker, require_speakers
from serfeat.types import Floats32, Progress

__all__ = ["Predictions", "open_model", "predict", "train", "waveforms"]


@dataclass(frozen=True)
class Predictions:
    """Emotions of new recordings.

    Parameters
    ----------
    table : index (file, start, end); columns prediction, said (the same, or "unknown" where the
        answer should not be believed, see `serfeat.doubt`), right (share of such answers that were
        right on held-out speakers; NaN: not measured), reason (why unknown; else empty) and one
        p_<label> per label; or one column for each dimension.
    failures : recordings without a prediction.
    licence : tag of the features that the model needs.
    trained_on : what the model's card says of its training corpus.
    remarks : what a reader of these predictions should know.
    limits : of what was taken of truncated and of long recordings.
    """

    table: pd.DataFrame
    failures: tuple[Failure, ...]
    licence: str
    trained_on: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    limits: Limits = USUAL


def open_model(folder: Path) -> tuple[Any, dict[str, Any], FeatureSet]:
    """Read a stored model with its card, and the features that it needs.

    Raises
    ------
    ModelError : a model that cannot be trusted, or whose features this version computes otherwise.
    """
    model, card = load_model(folder)
    stored = card["features"]
    features = feature_set(stored["name"])
    level = stored["level"]
    encoder = features.encoder.fingerprint() if features.encoder else None
    found = fix = ""
    if list(features.columns(level)) != stored["columns"]:
        found = f"was trained on other columns than {features.name} has in this version"
    elif encoder and encoder["files"] != (stored.get("encoder") or {}).get("files"):
        found = f"the encoder of {features.name} has other weights than in training"
        fix = "put the encoder's files back, or train again"
    elif not _by_the_same_rules(stored, features):
        found = f"{features.name} is computed otherwise in this version than in training"
    if found:
        raise ModelError(found, where=folder, code="other-features", fix=fix or "train it again")
    return model, card, features


def _by_the_same_rules(stored: Mapping[str, Any], features: FeatureSet) -> bool:
    """Whether settings and descriptors are those of training; libraries may have new versions.

    An older card does not tell the two apart: it is believed where nothing at all has changed.
    """
    level = stored["level"]
    if "rules" in stored:
        return bool(stored["rules"] == features.fingerprint(level, libraries=False))
    return bool(stored["fingerprint"] == features.fingerprint(level))


def predict(
    folder: Path,
    sources: Sequence[Path],
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    limits: Limits = USUAL,
    follow: bool = False,
) -> Predictions:
    """Apply a stored model to recordings.

    Parameters
    ----------
    folder : of the model.
    sources : audio files and folders of them. For a model that measures every clip against its
        speaker's others, a folder is a speaker.
    jobs, progress, limits : see `serfeat.extract.extract`.
    follow : whether links may lead out of the folder of the audio.

    Raises
    ------
    ModelError : a model that cannot be trusted, or whose features this version computes otherwise;
        a speaker with one clip, for a model that needs several.
    """
    model, card, features = open_model(folder)
    level = card["features"]["level"]
    manifest = as_manifest(manifest_of_files(sources), follow=follow)
    extraction = extract(
        manifest, features, level=level, jobs=jobs, progress=progress, limits=limits
    )
    X: Any = extraction.values
    remarks = []
    if card.get("normalisation") == "speaker" and len(X):
        folders = [str(Path(file).parent) for file in extraction.index.get_level_values("file")]
        for few in require_speakers(folders, len(X)):
            remarks.append(
                f"{few}: fewer than {FEW_CLIPS} recordings of this speaker; the model measures "
                "every clip against its speaker's others, and needs more of them"
            )
        samples: Sequence[int] = families(features.columns(level)).get("samples", [])
        X = per_speaker(X, folders, samples=samples)
    for (file, *_), flags in zip(extraction.index, extraction.flags, strict=True):
        remarks += [
            f"{printable(file)}: {flag}" for flag in flags.split("; ") if "truncated" in flag
        ]
    table = _said(model, X, card, extraction.index)
    if not card.get("dimensions"):
        table = _judged(table, model, X, doubt.load_doubt(folder, card))
    return Predictions(
        table, extraction.failures, features.licence, card["trained_on"], tuple(remarks), limits
    )


def _said(model: Any, X: Any, card: Mapping[str, Any], index: pd.MultiIndex) -> pd.DataFrame:
    """What the model says of each clip."""
    if card.get("dimensions"):
        names = card["dimensions"]
        values = np.asarray(model.predict(X) if len(X) else []).reshape(len(X), len(names))
        return pd.DataFrame(values, index=index, columns=names)
    table = pd.DataFrame(index=index, columns=["prediction"], dtype=object)
    proba = np.empty((0, len(card["labels"])))
    if len(X):
        proba = model.predict_proba(X)
        table["prediction"] = [str(p) for p in model.predict(X)]
    for i, label in enumerate(_text(model.classes_)):
        table[f"p_{label}"] = proba[:, i]
    return table


def _judged(table: pd.DataFrame, model: Any, X: Any, record: doubt.Doubt | None) -> pd.DataFrame:
    """Put beside each prediction whether it may be believed."""
    chances = [c for c in table.columns if c.startswith("p_")]
    rows = doubt.summary(X) if record is not None else None
    found = [
        doubt.far(model, X[[i]])
        if record is None or rows is None
        else doubt.judge(record, float(table[chances].iloc[i].max()), rows[i])
        for i in range(len(table))
    ]
    known = [judgement.known for judgement in found]
    table.insert(1, "said", table["prediction"].where(known, doubt.UNKNOWN))
    table.insert(2, "right", [judgement.calibrated for judgement in found])
    table.insert(3, "reason", ["; ".join(judgement.reasons) for judgement in found])
    return table


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
