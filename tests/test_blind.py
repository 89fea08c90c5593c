"""A model cannot read the labels that it is tested on: a test tries.

Two corpora that differ in nothing but the labels of one speaker must give that speaker the same
predictions, and the task that trains for it must be the same to the last byte.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.compare import compare
from serfeat.compare import tasks as tasks_module
from serfeat.compare.fitting import Task
from serfeat.manifest_csv import read_manifest
from serfeat.plan import ChosenProtocol, Entry, Plan

PLAN = Plan(
    "blind",
    [
        Entry("svm", "svm", "f0,energy"),
        Entry("tuned", "svm", "f0,energy", tune={"C": [0.1, 1.0]}),
        Entry("spoken", "knn", "f0,energy", normalisation="speaker"),
    ],
    [ChosenProtocol("leave_one_speaker_out")],
)


def test_the_test_labels_are_not_in_the_task(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail (other bytes) when the order of the classes follows the test speaker's labels.

    A task that knows the labels of all rows, or of the test rows without being an oracle, does not
    get as far: the training refuses it.
    """
    manifest = read_manifest(tiny)
    held_out = manifest.rows["speaker"].iloc[0]
    mine = (manifest.rows["speaker"] == held_out).to_numpy()
    emotion = manifest.rows["emotion"].to_numpy(dtype=object).copy()
    emotion[mine] = np.roll(emotion[mine], 1)
    assert (emotion != manifest.rows["emotion"]).any()
    other = manifest.with_rows(manifest.rows.assign(emotion=emotion))
    train, seen = tasks_module.train_and_predict, []

    def spy(task: Task) -> object:
        # The file that it writes is named after all of the task; its folder is the run's.
        features = Path(task.features.name)
        seen.append(replace(task, part=Path(task.part.name), features=features))
        return train(task)

    monkeypatch.setattr(tasks_module, "train_and_predict", spy)
    said, tasks = [], []
    for i, corpus in enumerate((manifest, other)):
        seen.clear()
        folder = compare(corpus, PLAN, tmp_path / str(i))
        p = pd.read_parquet(folder / "predictions.parquet")
        said.append(p[p["speaker"] == held_out].drop(columns="truth").reset_index(drop=True))
        tasks.append([t for t in seen if t.fold.name == f"speaker {held_out}"])
    assert len(tasks[0]) == len(PLAN.entries)
    for a, b in zip(*tasks, strict=True):
        assert pickle.dumps(a) == pickle.dumps(b), f"{a.entry.name}: the task depends on them"
    pd.testing.assert_frame_equal(*said)
