"""The parts of a comparison put together: predictions, curves, costs, trials, explanations.

A part is what one model on one fold wrote (`serfeat.compare.fitting`). The tables made from all of
them are what a run's folder holds; which columns they have is said in `serfeat.report`.

Contents
--------
`tables`       : parts -> name of the file -> table.
`clips_of`     : the clips of a run and what is known of each.
`folds_record` : the row numbers of every fold, for JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from serfeat.compare.fitting import Task
from serfeat.splits import Fold

__all__ = ["clips_of", "folds_record", "tables"]

# What is repeated of the manifest beside every prediction, so that the table can be scored alone.
ABOUT = ("corpus", "speaker", "sex", "language", "text_id", "session")
KEYS = ("entry", "protocol", "fold", "seed")
JUDGED = ("validation_uar", "validation_war", "validation_ccc")
CURVES = ("train_loss", "train_accuracy", *JUDGED, "seconds")
COSTS = ("fit_s", "predict_s", "n_features", "parameters", "size_bytes")
EXPLAINED = ("importance", "contributions", "gates")

Part = Mapping[str, Any]


def clips_of(rows: pd.DataFrame, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Make the table of a run's clips, numbered as in the folds.

    Returns
    -------
    (n) file, start, end, what is known of the speaker and the text (empty where unknown), emotion,
    and further `columns`.
    """
    flat = rows.reset_index()
    names = ["file", "start", "end", *ABOUT, "emotion", *columns]
    return pd.DataFrame({n: flat.get(n, "") for n in names}, index=flat.index)


def folds_record(folds_of: Mapping[str, tuple[list[Fold], str]]) -> dict[str, Any]:
    """Return the row numbers of every fold."""
    return {
        protocol: [
            {
                "name": f.name,
                **{side: getattr(f, side).tolist() for side in ("train", "validation", "test")},
            }
            for f in made
        ]
        for protocol, (made, _) in folds_of.items()
    }


def tables(tasks: Sequence[Task], clips: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Join the parts of all tasks.

    Parameters
    ----------
    tasks : all of a run; their parts are written.
    clips : of `clips_of`.

    Returns
    -------
    predictions, history, costs; and where there is any of it: tuning, importance, contributions,
    gates, tasks (what was said of other columns of the manifest, as text).
    """
    predictions, history, costs, tuning, others = [], [], [], [], []
    explained: dict[str, list[pd.DataFrame]] = {name: [] for name in EXPLAINED}
    for task in tasks:
        part = json.loads(task.part.read_text(encoding="utf-8"))
        values = (task.entry.label, task.protocol, task.fold.name, task.seed)
        key = dict(zip(KEYS, values, strict=True))
        controlled = {**key, "control": task.control}
        predictions += _predictions(task, part, clips, controlled)
        sizes = {"n_train": len(task.fold.known), "n_test": len(task.fold.test)}
        costs.append({**controlled, **sizes, **{n: part[n] for n in COSTS}})
        if task.control:
            continue
        # Rows of a pre-training have no supervised loss; the curves leave them out.
        history += [{**key, **epoch} for epoch in part["history"] if "train_loss" in epoch]
        tuning += [{**key, **trial} for trial in part["trials"]]
        others += _others(task, part, clips, key)
        for name, table in _explained(task, part, clips, key).items():
            explained[name].append(table)
    made = {
        "predictions": pd.concat(predictions, ignore_index=True),
        "history": pd.DataFrame(history, columns=[*KEYS, "epoch", *CURVES]).astype(
            dict.fromkeys(CURVES, "float64")
        ),
        "costs": pd.DataFrame(costs).astype({"parameters": "float64"}),
    }
    made |= {"tuning": pd.DataFrame(tuning)} if tuning else {}
    made |= {"tasks": pd.concat(others, ignore_index=True)} if others else {}
    return made | {n: pd.concat(each, ignore_index=True) for n, each in explained.items() if each}


def _predictions(
    task: Task, part: Part, clips: pd.DataFrame, key: Mapping[str, Any]
) -> list[pd.DataFrame]:
    """One table for each condition and, of numbers, for each dimension."""
    test = clips.iloc[task.fold.test].reset_index(drop=True)
    about = test[["file", "start", "end", *ABOUT]]
    made = []
    for condition, said in {"clean": part, **part["conditions"]}.items():
        names: Sequence[str] = task.dimensions or ("emotion",)
        predicted: Any = [said["prediction"]]
        if task.dimensions:
            predicted = np.array(said["prediction"]).T
        chances = np.array(said.get("proba", [])).T
        for target, values in zip(names, predicted, strict=True):
            table = about.assign(truth=test[target], prediction=list(values), target=target)
            for label, chance in zip(task.labels, chances, strict=False):
                table[f"p_{label}"] = chance
            known = table[table["truth"].notna()]  # a clip may lack one of several numbers
            made.append(known.assign(condition=condition, **key))
    return made


def _others(
    task: Task, part: Part, clips: pd.DataFrame, key: Mapping[str, Any]
) -> list[pd.DataFrame]:
    """What a network with several tasks said of the others, where the truth is known."""
    test = clips.iloc[task.fold.test].reset_index(drop=True)
    made = []
    for name, values in part.get("tasks", {}).items():
        truth = test[name].astype(object)
        known = (truth.notna() & (truth != "")).to_numpy()
        table = test[["file", "start", "end", *ABOUT]].assign(
            truth=truth.astype(str), prediction=[str(v) for v in values], target=name, **key
        )
        made.append(table[known])
    return made


def _explained(
    task: Task, part: Part, clips: pd.DataFrame, key: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """What explains the decisions on the test rows, as tables."""
    if "explained" not in part:
        return {}
    from serfeat.explain import explained_tables

    test = task.fold.test
    truth = {name: clips[name].to_numpy()[test] for name in task.dimensions} or None
    return explained_tables(part["explained"], clips, test, key=key, truth=truth, hop=task.hop)
