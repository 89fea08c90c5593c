"""Classical and deep models side by side: same rows, same folds, same labels, stored predictions.

The artefact is the table of predictions, one row per clip, entry, protocol, fold and seed; every
score is a pure function of it (`serfeat.metrics`). Nothing is selected on a test fold: a task
sees the training rows and their labels, and of the test rows only the features. Finished tasks are
kept in the run's folder, so that a comparison that was interrupted goes on where it stopped.

A run's folder: ``predictions.parquet``, ``history.parquet`` (training curves), ``costs.parquet``
(times and sizes), ``rows.parquet`` and ``folds.json`` (which clips were on which side),
``run.json`` (everything that the report says in words); more is said in `serfeat.report`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.audio import USUAL, Limits
from serfeat.augment import Version
from serfeat.compare.code import code_of
from serfeat.compare.fitting import Task, stack_key, train_and_predict, train_stacked
from serfeat.compare.parts import clips_of, folds_record, tables
from serfeat.compare.record import record
from serfeat.compare.seal import seal
from serfeat.compare.targets import known_of, numbers_of
from serfeat.conditions import Condition
from serfeat.engines import run
from serfeat.errors import FeatureError, ModelError, SerfeatError
from serfeat.explain import narrowed
from serfeat.extract import Extraction, extract
from serfeat.families import families
from serfeat.feature_sets import feature_set, whole_of
from serfeat.feature_tables import is_table, read_given, set_of
from serfeat.files import committed
from serfeat.lint import as_json, evidence_of_comparison, lint, unseen
from serfeat.listening import recordings
from serfeat.manifest import Manifest
from serfeat.metrics import speaker_key
from serfeat.models import MODELS, check_model
from serfeat.normalisation import by_speaker, per_speaker, require_coverage, require_names
from serfeat.plan import Entry, Plan
from serfeat.protocols.twins import twins_of
from serfeat.sequences import Sequences, write_mapped
from serfeat.splits import Fold, folds
from serfeat.store import write_table
from serfeat.tuning.spaces import space_of
from serfeat.types import Report

__all__ = ["compare", "extract_all"]

Heard = Version | Condition | None  # what was done to the clips before they were analysed
_Key = tuple[str, Any, Heard]  # feature set, level, what was done
_File = tuple[str, Any, Heard, bool]  # and whether every speaker was normalised


def compare(
    manifest: Manifest,
    plan: Plan,
    folder: Path,
    *,
    jobs: int = 1,
    store: Path | None = None,
    report: Report = lambda stage, done, total: None,  # noqa: ARG005
    command: str = "",
    listen: bool = True,
    engine: str = "processes",
    address: str = "",
    limits: Limits = USUAL,
    max_missing: int | float | None = None,
) -> Path:
    """Run a plan on a corpus and write the run's folder.

    Parameters
    ----------
    manifest : rows with speaker and emotion.
    plan : what to run.
    folder : is made; an interrupted run in it goes on.
    jobs : processes; 0 uses all cores.
    store : of features, see `serfeat.extract`.
    report : is called with (stage, done, total).
    command : that made the run, for the record.
    listen : decode the recordings once, to find equal and nearly equal ones (`serfeat.lint`).
    engine, address : see `serfeat.engines.run`; workers elsewhere see `folder` under its name.
    limits, max_missing : of the recordings, see `serfeat.extract.extract`.

    Returns
    -------
    The folder.

    Raises
    ------
    SplitError, UnknownNameError, ModelError, StoreError : before any model is trained where
        possible; finished tasks are kept.
    """
    began = time.perf_counter()
    _check(manifest, plan)
    if plan.dimensions:
        known = np.isfinite(numbers_of(manifest.rows, plan.dimensions)).any(axis=1)
        manifest = manifest.with_rows(manifest.rows[known])
    plan = replace(plan, conditions=[c.among(manifest) for c in plan.conditions])
    folds_of = _folds(manifest.rows, plan)  # folds that cannot be made are an error before any work
    work = folder / "parts"
    extractions = extract_all(
        manifest, plan, jobs, store, report, engine=engine, address=address, mapped=work,
        limits=limits, max_missing=max_missing,
    )  # fmt: skip
    rows = _common_rows(manifest, extractions)
    if len(rows) < len(manifest.rows):
        folds_of = _folds(rows, plan)
    labels = () if plan.dimensions else tuple(sorted(set(rows["emotion"])))
    files = _features_files(work, plan, extractions, rows)
    tasks = _tasks(plan, folds_of, files, extractions, rows, labels, work)
    _run_tasks(tasks, jobs, report, engine, address)
    others = dict.fromkeys(name for e in plan.entries for name in e.tasks)
    clips = clips_of(rows, list(dict.fromkeys([*plan.dimensions, *others])))
    about = dict(next(iter(extractions.values())).corpus)  # also: whether it is synthetic
    made = tables(tasks, clips)
    seen = recordings(manifest, report, limits=limits) if listen else None
    if seen is not None:
        clips["content"] = seen["content"].reindex(clips["file"]).fillna("").to_numpy()
    made["rows"] = clips
    for name, table in made.items():
        write_table(table, folder / f"{name}.parquet", provenance={"corpus": about})
    facts = record(
        manifest,
        plan,
        rows,
        labels,
        extractions,
        folds_of,
        command,
        time.perf_counter() - began,
    )
    evidence = evidence_of_comparison(
        rows,
        plan,
        folds_of,
        {key: e for key, e in extractions.items() if key[2] is None},
        recordings=seen,
        twins=_twins(manifest, rows, jobs, limits) if listen else (),
        tables=made,
    )
    found = as_json([*lint(evidence), *([] if listen else [unseen("audio-unseen", plan.title)])])
    for name, value in (("folds", folds_record(folds_of)), ("lint", found), ("run", facts)):
        with committed(folder / f"{name}.json") as temporary:
            temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    seal(folder, [*(f"{name}.parquet" for name in made), "folds.json", "lint.json", "run.json"])
    return folder


def _check(manifest: Manifest, plan: Plan) -> None:
    """Unknown names, parameters and columns are errors before any work."""
    for entry in plan.entries:
        check_model(entry.model, entry.params, task=plan.task)
        if entry.tune:
            space_of(entry.model, entry.tune, params=entry.params, task=plan.task)
        set_of(entry.features, plan.folder).require()
        entry.versions  # noqa: B018 - raises
    known_of(plan, manifest.rows)
    if any(e.normalisation == "speaker" for e in plan.entries):
        (require_names if plan.dimensions else require_coverage)(manifest.rows)


def _folds(rows: pd.DataFrame, plan: Plan) -> dict[str, tuple[list[Fold], str]]:
    """Protocol -> its folds and its words."""
    return {
        p.key: folds(rows, p.name, seed=plan.fold_seed, disjoint=tuple(plan.disjoint), **p.params)
        for p in plan.protocols
    }


def _twins(
    manifest: Manifest, rows: pd.DataFrame, jobs: int, limits: Limits
) -> list[tuple[int, int]]:
    """Pairs of row numbers whose audio is nearly the same."""
    place = {clip: i for i, clip in enumerate(rows.index)}
    numbers = [place.get(clip) for clip in manifest.rows.index]
    found = twins_of(manifest, jobs=jobs, limits=limits)
    pairs = [(numbers[t.first], numbers[t.second]) for t in found]
    return [(a, b) for a, b in pairs if a is not None and b is not None]


# --- features -------------------------------------------------------------------------------------


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
) -> dict[_Key, Extraction]:
    """Features of every set, level and version that an entry asks for, each computed once.

    Parameters
    ----------
    mapped : a folder for frames, which are then memory-mapped; None: they are in memory.
    limits, max_missing : of the recordings, see `serfeat.extract.extract`.
    """
    made: dict[_Key, Extraction] = {}
    known: dict[_Key, Extraction] = {}  # a part of a set takes its columns from the whole
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


def _wanted(plan: Plan) -> Iterable[_File]:
    """All features that the entries ask for."""
    for entry in plan.entries:
        for heard in (None, *entry.versions, *plan.conditions):
            yield _file_key(entry, heard)


def _file_key(entry: Entry, heard: Heard) -> _File:
    return (entry.features, entry.level, heard, entry.normalisation == "speaker")


def _common_rows(manifest: Manifest, extractions: Mapping[_Key, Extraction]) -> pd.DataFrame:
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


def _features_files(
    work: Path, plan: Plan, extractions: Mapping[_Key, Extraction], rows: pd.DataFrame
) -> dict[_File, Path]:
    """Write the rows' features where the workers can memory-map them."""
    made = {}
    for key in dict.fromkeys(_wanted(plan)):
        name, level, heard, normalised = key
        extraction = extractions[name, level, heard]
        chosen: Any = extraction.values
        if len(rows) < len(extraction.index):
            chosen = chosen[np.flatnonzero(extraction.index.isin(rows.index))]
        speakers = list(speaker_key(rows)) if normalised else None
        stem = work / f"{extraction.features.folder}-{level}"
        write = _frames_file if isinstance(chosen, Sequences) else _features_file
        made[key] = write(stem, chosen, speakers)
    return made


def _frames_file(stem: Path, clips: Sequences, speakers: Sequence[str] | None) -> Path:
    """Write frames that need not fit into memory; see `_features_file`.

    They may be in a file that is just so already: where nothing is left out and nothing changed.
    """
    if speakers is None and clips.file is not None:
        return clips.file
    parts = clips.parts() if speakers is None else by_speaker(clips, speakers)
    shape = (int(clips.offsets[-1]), clips.shape[1])
    made = write_mapped(stem, shape, clips.offsets, parts).file
    assert made is not None
    return made


def _features_file(stem: Path, values: Any, speakers: Sequence[str] | None) -> Path:
    """Write features under a name that ends in a digest of the numbers.

    The name is part of a task's key: a recording that changed under its old name, or a descriptor
    that gives other values, is a new name and so a new task.
    """
    if speakers is not None:
        values = per_speaker(values, speakers)
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    stem = stem.with_name(f"{stem.name}-{digest[:16]}")
    with committed(stem.with_name(f"{stem.name}.npy")) as temporary, temporary.open("wb") as stream:
        np.save(stream, values)
    return stem


# --- tasks ----------------------------------------------------------------------------------------


def _tasks(
    plan: Plan,
    folds_of: Mapping[str, tuple[list[Fold], str]],
    files: Mapping[_File, Path],
    extractions: Mapping[_Key, Extraction],
    rows: pd.DataFrame,
    labels: tuple[str, ...],
    work: Path,
) -> list[Task]:
    """Every model that has to be trained, the quick ones first."""
    tasks = []
    known = known_of(plan, rows)
    index = hashlib.sha256(repr(rows.index.tolist()).encode()).hexdigest()
    first = plan.protocols[0].key
    for entry in sorted(plan.entries, key=lambda e: MODELS[e.model].kind):
        code = code_of(entry)
        explained = entry.name in plan.explain
        features = extractions[entry.features, entry.level, None].features
        columns = families(features.columns(entry.level)) if explained else {}
        for protocol, (made, _) in folds_of.items():
            runs = [(seed, False) for seed in plan.seeds]
            if entry.name in plan.control and protocol == first:
                runs += [(shuffling, True) for shuffling in range(plan.control_runs)]
            for (seed, control), fold in itertools.product(runs, made):
                task = Task(
                    entry=entry,
                    protocol=protocol,
                    fold=fold,
                    seed=seed,
                    control=control,
                    features=files[_file_key(entry, None)],
                    copies=tuple(files[_file_key(entry, v)] for v in entry.versions),
                    conditions={c.name: files[_file_key(entry, c)] for c in plan.conditions}
                    if not control
                    else {},
                    labels=labels,
                    dimensions=tuple(plan.dimensions),
                    known=known.of(fold.known),
                    oracle=known.truth[fold.test] if entry.oracle else None,
                    families={} if control else columns,
                    hop=features.hop_s,
                    part=work,
                )
                name = hashlib.sha256(f"{code} {index} {task.identity}".encode()).hexdigest()
                tasks.append(replace(task, part=work / f"{name[:24]}.json"))
    return tasks


def _run_tasks(tasks: Sequence[Task], jobs: int, report: Report, engine: str, address: str) -> None:
    """Train and apply what is not there yet."""
    todo = [t for t in tasks if not t.part.exists()]
    done = len(tasks) - len(todo)
    report("models", done, len(tasks))
    groups = _stacks(todo)
    said = run(_train, groups, jobs=jobs, engine=engine, address=address)
    for group, results in zip(groups, said, strict=True):
        where = f"{group[0].entry.name}, {group[0].protocol}, {group[0].fold.name}"
        if isinstance(results, Exception):
            raise ModelError(
                f"the worker process died ({type(results).__name__})", where=where, code="worker"
            )
        for result in results:
            if result is not None:
                raise result
        done += len(group)
        report(f"models: {group[0].entry.name}", done, len(tasks))


def _stacks(tasks: Sequence[Task]) -> list[list[Task]]:
    """Tasks that are trained as one, in the order of the first of them."""
    groups: dict[Any, list[Task]] = {}
    for i, task in enumerate(tasks):
        key = stack_key(task)
        groups.setdefault(i if key is None else key, []).append(task)
    return list(groups.values())


def _train(group: Sequence[Task]) -> list[SerfeatError | None]:
    """Train a group of tasks; runs in a worker."""
    return [train_and_predict(group[0])] if len(group) == 1 else train_stacked(group)
