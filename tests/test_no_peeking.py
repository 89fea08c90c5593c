"""The test fold's labels cannot be read during fit: a spy looks for them everywhere and fails.

The tasks are those that `serfeat.compare.compare` makes; each is trained in a process of its own,
as a worker does it. (With ``jobs = 1`` there is no worker: the comparison itself, which has to know
all labels to score them, trains in its own process. What a task hands to the model is the same.)

A spy that finds nothing proves nothing, so the labels are also hidden on purpose, in each of the
places where it looks.
"""

from __future__ import annotations

import json
import pickle
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serfeat.compare import compare
from serfeat.compare import tasks as tasks_module
from serfeat.demo import make_corpus
from serfeat.manifest_csv import read_manifest
from serfeat.plan import ChosenProtocol, Entry, Plan

SPY = Path(__file__).with_name("spy.py")
digest_of = runpy.run_path(str(SPY))["digest_of"]
WORDS = ("anger", "neutral", "sadness")
ENTRIES = (
    Entry("plain", "knn", "energy"),
    Entry("tuned", "knn", "energy", tune={"n_neighbors": [1, 5], "folds": 2}),
    Entry("speaker", "knn", "energy", normalisation="speaker"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """The first task of every entry, and all labels; these are dealt at random, so that no other
    sequence is like those of the test fold.
    """
    folder = tmp_path_factory.mktemp("peeking")
    manifest = read_manifest(
        make_corpus(folder / "corpus", speakers=4, sentences=8, emotions=WORDS)
    )
    rows = manifest.rows.copy()
    rows["emotion"] = np.random.default_rng(5).permutation(rows["emotion"].to_numpy())
    tasks = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks_module, "train_and_predict", lambda task: tasks.append(task))
        plan = Plan(
            "spied", ENTRIES, (ChosenProtocol("leave_one_speaker_out"),), control=("plain",)
        )
        with pytest.raises(FileNotFoundError):  # nothing was trained
            compare(manifest.with_rows(rows), plan, folder / "run")
    assert len(tasks) == len(ENTRIES) * 4 + 10 * 4
    first = {task.entry.name: task for task in reversed(tasks) if not task.control}
    first["control"] = next(task for task in tasks if task.control)
    return first, rows["emotion"].to_numpy(dtype=str)


def order(task: Any, labels: Any, plant: str | None = None) -> dict[str, Any]:
    """What the spy is sent out with."""
    truth = labels[task.fold.test]
    return {
        "task": task,
        "digest": digest_of(truth.tolist()),
        "words": WORDS,
        "plant": plant,
        "secret": truth if plant else None,
    }


def spied(orders: list[dict[str, Any]], folder: Path) -> list[list[str]]:
    """Where the spy finds the labels, for every order; in a process of its own."""
    sent, back = folder / "orders", folder / "findings.json"
    sent.write_bytes(pickle.dumps(orders))
    subprocess.run([sys.executable, str(SPY), str(sent), str(back)], check=True)
    return list(json.loads(back.read_text()))


def test_the_test_labels_cannot_be_read(made: Any, tmp_path: Path) -> None:
    """Seen to fail where `compare` gave each task the labels of all rows as one of its columns."""
    tasks, labels = made
    found = spied([order(task, labels) for task in tasks.values()], tmp_path)
    assert dict(zip(tasks, found, strict=True)) == {name: [] for name in tasks}


def test_the_spy_finds_what_is_hidden(made: Any, tmp_path: Path) -> None:
    """In memory, each place by itself; and at once in the environment, a file, and the features."""
    tasks, labels = made
    task = tasks["plain"]
    plants = ["view of all labels", "list in a frame", "codes in a dict"]
    orders = {plant: order(task, labels, plant) for plant in plants}
    one_hot = (labels[:, None] == np.array(WORDS)).astype(float)
    orders["columns"] = order(_knowing(task, columns={"emotion": labels}), labels)
    orders["votes"] = order(_knowing(task, votes=one_hot), labels)
    features = np.load(task.features.with_suffix(".npy"))
    codes = np.unique(labels, return_inverse=True)[1].astype(features.dtype)
    work = tmp_path / "run" / "parts"
    work.mkdir(parents=True)
    np.save(work / "f.npy", np.column_stack([features, 10 - codes]))
    listed = [f"{i},{label}" for i, label in enumerate(labels)]
    (work.parent / "rows.csv").write_text("\n".join(listed))
    (work.parent / "sorted.csv").write_text("\n".join(sorted(listed, key=lambda t: t[-3:])))
    leaky = replace(task, features=work / "f", part=work / "part.json")
    orders["outside"] = order(leaky, labels, "environment")
    found = dict(zip(orders, spied(list(orders.values()), tmp_path), strict=True))
    assert all(found.values()), found
    outside = found["outside"]
    assert {"environment", "file rows.csv", "file f.npy"} <= set(outside)
    assert "file sorted.csv" not in outside


def _knowing(task: Any, **more: Any) -> Any:
    """The task, with what it must not know."""
    return replace(task, known=replace(task.known, **more))
