"""What the models of a comparison are given: every set of features once, in files for the workers.

An entry's frames or functionals, those of its augmented versions and of every condition of the
test; all entries see the rows that have every set.

Contents
--------
`extract_all`    : the features of a plan.
`common_rows`    : the rows that have them all.
`features_files` : these rows' features where workers can memory-map them; `file_key` finds one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.audio import USUAL, Limits
from serfeat.augment import Version
from serfeat.conditions import Condition
from serfeat.errors import FeatureError, ModelError
from serfeat.explain import narrowed
from serfeat.extract import Extraction, extract
from serfeat.families import families
from serfeat.feature_sets import feature_set, whole_of
from serfeat.feature_tables import is_table, read_given
from serfeat.files import committed
from serfeat.manifest import Manifest
from serfeat.metrics import speaker_key
from serfeat.normalisation import by_speaker, per_speaker
from serfeat.plan import Entry, Plan
from serfeat.sequences import Sequences, write_mapped
from serfeat.types import Report

__all__ = ["File", "Heard", "Key", "common_rows", "extract_all", "features_files", "file_key"]

Heard = Version | Condition | None  # what was done to the clips before they were analysed
Key = tuple[str, Any, Heard]  # feature set, level, what was done
File = tuple[str, Any, Heard, bool]  # and whether every speaker was normalised


def extract_all(
    manifest: Manifest,
    plan: Plan,
    jobs: int,
    store: Path | None,
    report: Report,
    *,
    engine: str = "processes",
    address: str = "",
    mapped: Path | None = None,
    limits: Limits = USUAL,
    max_missing: int | float | None = None,
) -> dict[Key, Extraction]:
    """Features of every set, level and version that an entry asks for, each computed once.

    Parameters
    ----------
    mapped : a folder for frames, which are then memory-mapped; None: they are in memory.
    limits, max_missing : of the recordings, see `serfeat.extract.extract`.
    """
    made: dict[Key, Extraction] = {}
    known: dict[Key, Extraction] = {}  # a part of a set takes its columns from the whole
    for name, level, heard in dict.fromkeys((f, v, h) for f, v, h, _ in _wanted(plan)):
        if is_table(name):
            made[name, level, heard] = _given(name, level, heard, manifest, plan)
            continue
        words = f"features {name} ({level})"
        if isinstance(heard, Version):
            words += f", version {heard.number}"
        elif heard is not None:
            words += f", {heard.name}"
        whole = whole_of(name)
        if (whole, level, heard) not in known:
            known[whole, level, heard] = extract(
                manifest,
                replace(feature_set(whole), augment=heard),
                level=level,
                jobs=jobs,
                store=store,
                progress=lambda done, total, words=words: report(words, done, total),  # type: ignore[misc]
                engine=engine,
                address=address,
                mapped=mapped,
                limits=limits,
                max_missing=max_missing,
            )
        made[name, level, heard] = narrowed(known[whole, level, heard], name)
    return made


def _given(name: str, level: Any, heard: Heard, manifest: Manifest, plan: Plan) -> Extraction:
    """The user's own features, which cannot be computed for other sounds."""
    if heard is not None:
        raise FeatureError(
            "features of a table cannot be computed under conditions or for augmented clips",
            where=name,
            code="not-computable",
            fix="leave [[conditions]] and augment out, or use one of serfeat's sets",
        )
    return read_given(name, plan.folder, manifest, level=level)


def _wanted(plan: Plan) -> Iterable[File]:
    """All features that the entries ask for."""
    for entry in plan.entries:
        for heard in (None, *entry.versions, *plan.conditions):
            yield file_key(entry, heard)


def file_key(entry: Entry, heard: Heard) -> File:
    """Find which file an entry reads of one version or condition."""
    return (entry.features, entry.level, heard, entry.normalisation == "speaker")


def common_rows(manifest: Manifest, extractions: Mapping[Key, Extraction]) -> pd.DataFrame:
    """Rows that have every feature set: all entries see the same ones."""
    index = manifest.rows.index
    for extraction in extractions.values():
        index = index[index.isin(extraction.index)]
    if not len(index):
        first = next(f for e in extractions.values() for f in e.failures)
        raise ModelError(
            f"no recording has features; the first failure: {first.message}",
            where=manifest.name,
            code="no-rows",
        )
    return manifest.rows.loc[manifest.rows.index.isin(index)]


def features_files(
    work: Path, plan: Plan, extractions: Mapping[Key, Extraction], rows: pd.DataFrame
) -> dict[File, Path]:
    """Write the rows' features where the workers can memory-map them."""
    made = {}
    for key in dict.fromkeys(_wanted(plan)):
        name, level, heard, normalised = key
        extraction = extractions[name, level, heard]
        chosen: Any = extraction.values
        if len(rows) < len(extraction.index):
            chosen = chosen[np.flatnonzero(extraction.index.isin(rows.index))]
        speakers = list(speaker_key(rows)) if normalised else None
        samples: Sequence[int] = families(extraction.features.columns(level)).get("samples", [])
        stem = work / f"{extraction.features.folder}-{level}"
        write = _frames_file if isinstance(chosen, Sequences) else _features_file
        made[key] = write(stem, chosen, speakers, samples)
    return made


def _frames_file(
    stem: Path, clips: Sequences, speakers: Sequence[str] | None, samples: Sequence[int]
) -> Path:
    """Write frames that need not fit into memory; see `_features_file`.

    They may be in a file that is just so already: where nothing is left out and nothing changed.
    """
    if speakers is None and clips.file is not None:
        return clips.file
    parts = clips.parts() if speakers is None else by_speaker(clips, speakers, samples=samples)
    shape = (int(clips.offsets[-1]), clips.shape[1])
    made = write_mapped(stem, shape, clips.offsets, parts).file
    assert made is not None
    return made


def _features_file(
    stem: Path, values: Any, speakers: Sequence[str] | None, samples: Sequence[int]
) -> Path:
    """Write features under a name that ends in a digest of the numbers.

    The name is part of a task's key: a recording that changed under its old name, or a descriptor
    that gives other values, is a new name and so a new task.
    """
    if speakers is not None:
        values = per_speaker(values, speakers, samples=samples)
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    stem = stem.with_name(f"{stem.name}-{digest[:16]}")
    with committed(stem.with_name(f"{stem.name}.npy")) as temporary, temporary.open("wb") as stream:
        np.save(stream, values)
    return stem
