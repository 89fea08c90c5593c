"""The models of a comparison that have to be trained, and their training where the cores are.

Contents
--------
`tasks_of`  : a task for every entry, protocol, fold and seed, and the file that its results go to.
`run_tasks` : train and apply what has no results yet.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from serfeat.compare.code import code_of
from serfeat.compare.features import File, Key, file_key
from serfeat.compare.fitting import Task, on_gpu, stack_key, train_and_predict, train_stacked
from serfeat.compare.targets import known_of, learnt_rows
from serfeat.engines import run
from serfeat.errors import ModelError, SerfeatError
from serfeat.extract import Extraction
from serfeat.families import families
from serfeat.models import MODELS
from serfeat.plan import Plan
from serfeat.splits import Fold
from serfeat.types import Bools, Report

__all__ = ["run_tasks", "tasks_of"]


def tasks_of(
    plan: Plan,
    folds_of: Mapping[str, tuple[list[Fold], str]],
    files: Mapping[File, Path],
    extractions: Mapping[Key, Extraction],
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
        learnt = learnt_rows(entry, rows)
        explained = entry.name in plan.explain
        features = extractions[entry.features, entry.level, None].features
        columns = families(features.columns(entry.level)) if explained else {}
        for protocol, (made, _) in folds_of.items():
            runs = [(seed, False) for seed in plan.seeds]
            if entry.name in plan.control and protocol == first:
                runs += [(shuffling, True) for shuffling in range(plan.control_runs)]
            folds = [_learning(fold, learnt) for fold in made]
            for (seed, control), fold in itertools.product(runs, folds):
                task = Task(
                    entry=entry,
                    protocol=protocol,
                    fold=fold,
                    seed=seed,
                    control=control,
                    features=files[file_key(entry, None)],
                    copies=tuple(files[file_key(entry, v)] for v in entry.versions),
                    conditions={c.name: files[file_key(entry, c)] for c in plan.conditions}
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


def _learning(fold: Fold, learnt: Bools) -> Fold:
    """Leave out of the training side of a fold what is not learnt from."""
    if learnt.all():
        return fold
    train, validation = (side[learnt[side]] for side in (fold.train, fold.validation))
    return replace(fold, train=train, validation=validation)


def run_tasks(tasks: Sequence[Task], jobs: int, report: Report, engine: str, address: str) -> None:
    """Train and apply what is not there yet."""
    todo = [t for t in tasks if not t.part.exists()]
    done = len(tasks) - len(todo)
    report("models", done, len(tasks))
    groups = _stacks(todo)
    # One training after the other on a GPU: what does not fit is halved, and that must not depend
    # on what others hold at that moment. The cores train all else before.
    crowd: list[list[Task]] = []
    alone: list[list[Task]] = []
    for group in groups:
        (alone if on_gpu(group[0]) else crowd).append(group)
    said = itertools.chain(
        run(_train, crowd, jobs=jobs, engine=engine, address=address),
        run(_train, alone, jobs=1, isolated=jobs != 1, engine=engine, address=address),
    )
    for group, results in zip([*crowd, *alone], said, strict=True):
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
