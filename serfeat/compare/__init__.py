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

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from serfeat.audio import USUAL, Limits
from serfeat.compare.features import common_rows, extract_all, features_files
from serfeat.compare.parts import clips_of, folds_record, tables
from serfeat.compare.record import record
from serfeat.compare.seal import seal
from serfeat.compare.targets import known_of, numbers_of, require_labels
from serfeat.compare.tasks import run_tasks, tasks_of
from serfeat.errors import SerfeatError
from serfeat.feature_tables import set_of
from serfeat.files import committed
from serfeat.lint import as_json, evidence_of_comparison, lint, unseen
from serfeat.listening import recordings
from serfeat.manifest import Manifest
from serfeat.models import check_columns, check_model
from serfeat.normalisation import require_coverage, require_names
from serfeat.plan import Plan
from serfeat.protocols.twins import twins_of
from serfeat.splits import Fold, folds
from serfeat.store import write_table
from serfeat.tuning.spaces import space_of
from serfeat.types import Report

__all__ = ["compare"]


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
    rows = common_rows(manifest, extractions)
    if len(rows) < len(manifest.rows):
        folds_of = _folds(rows, plan)
    labels = () if plan.dimensions else tuple(sorted(set(rows["emotion"])))
    files = features_files(work, plan, extractions, rows)
    tasks = tasks_of(plan, folds_of, files, extractions, rows, labels, work)
    run_tasks(tasks, jobs, report, engine, address)
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
        features = set_of(entry.features, plan.folder)
        features.require()
        outputs = len(plan.dimensions) or max(2, len(manifest.labels))
        try:
            check_columns(
                entry.model, entry.params, features.width(entry.level), outputs, task=plan.task
            )
        except SerfeatError as error:
            error.where = f"{entry.name}, {error.where}"
            raise
        entry.versions  # noqa: B018 - raises
    known_of(plan, manifest.rows)
    if any(e.normalisation == "speaker" for e in plan.entries):
        (require_names if plan.dimensions else require_coverage)(manifest.rows)


def _folds(rows: pd.DataFrame, plan: Plan) -> dict[str, tuple[list[Fold], str]]:
    """Protocol -> its folds and its words."""
    made = {
        p.key: folds(rows, p.name, seed=plan.fold_seed, disjoint=tuple(plan.disjoint), **p.params)
        for p in plan.protocols
    }
    require_labels(plan, {key: which for key, (which, _) in made.items()}, rows)
    return made


def _twins(
    manifest: Manifest, rows: pd.DataFrame, jobs: int, limits: Limits
) -> list[tuple[int, int]]:
    """Pairs of row numbers whose audio is nearly the same."""
    place = {clip: i for i, clip in enumerate(rows.index)}
    numbers = [place.get(clip) for clip in manifest.rows.index]
    found = twins_of(manifest, jobs=jobs, limits=limits)
    pairs = [(numbers[t.first], numbers[t.second]) for t in found]
    return [(a, b) for a, b in pairs if a is not None and b is not None]
