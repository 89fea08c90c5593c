"""Classical and deep models side by side: same rows, same folds, same labels, stored predictions.

The artefact is the table of predictions, one row per clip, entry, protocol, fold and seed; every
score is a pure function of it (`serfeat.metrics`). Nothing is selected on a test fold: a task
sees the training rows and their labels, and of the test rows only the features. Finished tasks are
kept in the run's folder, so that a comparison that was interrupted goes on where it stopped.

A run's folder: ``predictions.parquet``, ``history.parquet`` (training curves), ``costs.parquet``
(times and sizes), ``run.json`` (everything that the report says in words).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.augment import Version
from serfeat.engines import run
from serfeat.errors import ModelError, SerfeatError
from serfeat.extract import Extraction, extract
from serfeat.feature_sets import feature_set
from serfeat.files import committed
from serfeat.fitting import Known, Task, stack_key, train_and_predict, train_stacked
from serfeat.manifest import Manifest
from serfeat.models import MODELS, make_model
from serfeat.plan import Entry, Plan
from serfeat.record import record
from serfeat.sequences import Sequences
from serfeat.splits import Fold, folds
from serfeat.store import write_table
from serfeat.targets import shares_of_votes, task_columns

__all__ = ["compare"]

Report = Callable[[str, int, int], None]
_Key = tuple[str, Any, Version | None]  # feature set, level, version of the clips


def compare(
    manifest: Manifest,
    plan: Plan,
    folder: Path,
    *,
    jobs: int = 1,
    store: Path | None = None,
    report: Report = lambda stage, done, total: None,  # noqa: ARG005
    command: str = "",
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

    Returns
    -------
    The folder.

    Raises
    ------
    SplitError, UnknownNameError, ModelError, StoreError : before any model is trained where
        possible; finished tasks are kept.
    """
    began = time.perf_counter()
    for entry in plan.entries:  # unknown names and parameters are errors before any work
        make_model(entry.model, **entry.params)
        feature_set(entry.features).require()
        entry.versions  # noqa: B018 - raises
    folds_of = {}
    for p in plan.protocols:  # so are folds that cannot be made
        folds_of[p.key] = folds(manifest.rows, p.name, seed=plan.fold_seed, **p.params)
    extractions = _extract_all(manifest, plan, jobs, store, report)
    rows = _common_rows(manifest, extractions)
    if len(rows) < len(manifest.rows):
        for p in plan.protocols:
            folds_of[p.key] = folds(rows, p.name, seed=plan.fold_seed, **p.params)
    labels = tuple(sorted(set(rows["emotion"])))
    work = folder / "parts"
    files = {key: _features_file(work, e, rows) for key, e in extractions.items()}
    tasks = _tasks(plan, folds_of, files, rows, labels, work)
    _run_tasks(tasks, jobs, report)
    predictions, history, costs = _collect(tasks, rows)
    about = dict(next(iter(extractions.values())).corpus)  # also: whether it is synthetic
    for name, table in (("predictions", predictions), ("history", history), ("costs", costs)):
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
    with committed(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return folder


def _extract_all(
    manifest: Manifest, plan: Plan, jobs: int, store: Path | None, report: Report
) -> dict[_Key, Extraction]:
    """Features of every set, level and version that an entry asks for, each computed once."""
    wanted = dict.fromkeys((e.features, e.level, v) for e in plan.entries for v in _versions(e))
    made = {}
    for name, level, version in wanted:
        words = f"features {name} ({level})" + (f", version {version.number}" if version else "")
        made[name, level, version] = extract(
            manifest,
            replace(feature_set(name), augment=version),
            level=level,
            jobs=jobs,
            store=store,
            progress=lambda done, total, words=words: report(words, done, total),  # type: ignore[misc]
        )
    return made


def _versions(entry: Entry) -> tuple[Version | None, ...]:
    """The clips as they are, and their further versions."""
    return (None, *entry.versions)


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


def _features_file(work: Path, extraction: Extraction, rows: pd.DataFrame) -> Path:
    """Write the rows' features where the workers can memory-map them, named after the numbers.

    The name is part of a task's key: a recording that changed under its old name, or a descriptor
    that gives other values, is a new name and so a new task.
    """
    chosen = extraction.values[np.flatnonzero(extraction.index.isin(rows.index))]
    values = chosen.values if isinstance(chosen, Sequences) else chosen
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    stem = work / f"{extraction.features.folder}-{extraction.level}-{digest[:16]}"
    with committed(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as stream:
        np.save(stream, values)
    if isinstance(chosen, Sequences):
        with committed(stem.with_suffix(".offsets")) as temporary, temporary.open("wb") as stream:
            np.save(stream, chosen.offsets)
    return stem


def _tasks(
    plan: Plan,
    folds_of: Mapping[str, tuple[list[Fold], str]],
    files: Mapping[_Key, Path],
    rows: pd.DataFrame,
    labels: tuple[str, ...],
    work: Path,
) -> list[Task]:
    """Every model that has to be trained, the quick ones first."""
    tasks = []
    voted = any(e.targets == "votes" for e in plan.entries)
    votes = shares_of_votes(rows, labels) if voted else None
    known = Known(
        tuple(rows["emotion"]), tuple(rows["speaker"]), votes, task_columns(plan.entries, rows)
    )
    index = hashlib.sha256(repr(rows.index.tolist()).encode()).hexdigest()
    identity = index + known.identity
    code = _code_digest()
    first = plan.protocols[0].key
    for entry in sorted(plan.entries, key=lambda e: MODELS[e.model].kind):
        for protocol, (made, _) in folds_of.items():
            runs = [(seed, False) for seed in plan.seeds]
            if entry.name in plan.control and protocol == first:
                runs += [(shuffling, True) for shuffling in range(plan.control_runs)]
            for (seed, control), fold in itertools.product(runs, made):
                features, *copies = (
                    files[entry.features, entry.level, v] for v in _versions(entry)
                )
                names = [f.name for f in (features, *copies)]
                settings = (entry, names, protocol, fold.name, fold.train.tolist(), seed)
                text = f"{code} {identity} {control} {settings!r}"
                part = work / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
                tasks.append(
                    Task(
                        entry,
                        protocol,
                        fold,
                        seed,
                        control,
                        features,
                        tuple(copies),
                        labels,
                        known,
                        part,
                    )
                )
    return tasks


def _code_digest() -> str:
    """SHA-256 of the code of all models and heads: a part made by other code is not used again."""
    here = Path(__file__).parent
    files = sorted(f for folder in ("models", "heads") for f in (here / folder).glob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def _run_tasks(tasks: Sequence[Task], jobs: int, report: Report) -> None:
    """Train and apply what is not there yet."""
    todo = [t for t in tasks if not t.part.exists()]
    done = len(tasks) - len(todo)
    report("models", done, len(tasks))
    groups = _stacks(todo)
    for group, results in zip(groups, run(_train, groups, jobs=jobs), strict=True):
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


def _collect(
    tasks: Sequence[Task], rows: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Join the parts into predictions, training curves and costs."""
    predictions, history, costs = [], [], []
    flat = rows.reset_index()
    for task in tasks:
        part = json.loads(task.part.read_text(encoding="utf-8"))
        test = flat.iloc[task.fold.test]
        key = {
            "entry": task.entry.label,
            "protocol": task.protocol,
            "fold": task.fold.name,
            "seed": task.seed,
            "control": task.control,
        }
        proba = np.array(part["proba"]).reshape(len(test), -1)
        predictions.append(
            pd.DataFrame(
                {
                    **{c: test[c].to_numpy() for c in ("file", "start", "end", "speaker")},
                    "corpus": test["corpus"].to_numpy() if "corpus" in test else "",
                    "truth": test["emotion"].to_numpy(),
                    "prediction": part["prediction"],
                    **{f"p_{label}": proba[:, i] for i, label in enumerate(task.labels)},
                    **key,
                }
            )
        )
        # Rows of a pre-training have no supervised loss; the curves leave them out.
        epochs = [e for e in part["history"] if "train_loss" in e and not task.control]
        history += [{**key, **epoch} for epoch in epochs]
        names = ("fit_s", "predict_s", "n_features", "parameters", "size_bytes")
        sizes = {"n_train": len(task.fold.train), "n_test": len(task.fold.test)}
        costs.append({**key, **sizes, **{n: part[n] for n in names}})
    curves = ["train_loss", "train_accuracy", "validation_uar", "seconds"]
    columns = ["entry", "protocol", "fold", "seed", "epoch", *curves]
    return (
        pd.concat(predictions, ignore_index=True),
        pd.DataFrame(history, columns=columns).astype(dict.fromkeys(curves, "float64")),
        pd.DataFrame(costs).astype({"parameters": "float64"}),
    )
