"""One entry on one fold: train, apply, write the part of the comparison that it is.

A part is a small JSON file; what a comparison has written it never computes again. On a GPU the
folds of a neural entry that can be stacked are trained as one (`serfeat.models.stacked`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serfeat.errors import ModelError, SerfeatError
from serfeat.files import committed
from serfeat.models import MODELS, fit, make_model
from serfeat.plan import Entry
from serfeat.sequences import Sequences
from serfeat.splits import Fold
from serfeat.types import Floats

__all__ = ["Known", "Task", "stack_key", "train_and_predict", "train_stacked"]


@dataclass(frozen=True)
class Known:
    """What the manifest says of every row.

    Parameters
    ----------
    truth, speakers : (n,).
    votes : (n, labels) shares of the rater votes, None unless an entry learns them.
    columns : other columns that an entry learns, (n,) each.
    """

    truth: tuple[str, ...]
    speakers: tuple[str, ...]
    votes: Floats | None
    columns: Mapping[str, tuple[Any, ...]]

    @property
    def identity(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(
            repr((self.truth, self.speakers, self.columns)).encode()
            + (b"" if self.votes is None else self.votes.tobytes())
        ).hexdigest()


@dataclass(frozen=True)
class Task:
    """One model to train and apply; picklable, the features travel as files."""

    entry: Entry
    protocol: str
    fold: Fold
    seed: int
    control: bool
    features: Path
    copies: tuple[Path, ...]
    labels: tuple[str, ...]
    known: Known
    part: Path


def train_and_predict(task: Task) -> SerfeatError | None:
    """Train one entry on one fold and write its predictions; runs in a worker.

    Returns
    -------
    None, or what went wrong: an error that names entry and fold.
    """
    train, test = task.fold.train, task.fold.test
    known = task.known
    try:
        X, y = _features(task.features), _labels(task)
        model = make_model(task.entry.model, seed=task.seed, **task.entry.params)
        unfinished = _keep_training(model, task.part)
        start = time.perf_counter()
        fit(
            model,
            _with_copies(task, X),
            _repeated(task, y),
            _repeated(task, np.array(known.speakers)[train]),
            proportions=_repeated(task, _shares(task, y)),
            tasks={
                name: _repeated(task, np.array(known.columns[name])[train])
                for name in task.entry.tasks
            },
            oracle=(X[test], np.array(known.truth)[test]) if task.entry.oracle else None,
        )
        _write_part(task, model, X, time.perf_counter() - start)
    except Exception as error:
        return _failure(task, error)
    unfinished.unlink(missing_ok=True)
    return None


def stack_key(task: Task) -> Any:
    """What tasks have in common that can be trained as one on a GPU; None for all others."""
    if MODELS[task.entry.model].kind != "deep" or task.entry.targets == "votes":
        return None
    import torch

    from serfeat.models.stacked import stackable

    if not torch.cuda.is_available():
        return None
    classifier = make_model(task.entry.model, **task.entry.params).steps[-1][1]
    if not stackable(classifier) or str(classifier.device) not in ("auto", "cuda"):
        return None
    return (task.entry.name, task.protocol, task.seed, task.control)


def train_stacked(tasks: Sequence[Task]) -> list[SerfeatError | None]:
    """Train one entry on several folds at once; see `train_and_predict`.

    Folds that turn out to differ in columns or classes are trained one by one.
    """
    from serfeat.models.stacked import fit_stacked

    models, prepared, labels = [], [], []
    X = _features(tasks[0].features)
    start = time.perf_counter()
    try:
        for task in tasks:
            model = make_model(task.entry.model, seed=task.seed, **task.entry.params)
            y = _labels(task)
            models.append(model)
            labels.append(_repeated(task, y))
            prepared.append(model[:-1].fit_transform(_with_copies(task, X), labels[-1]))
        fit_stacked([m.steps[-1][1] for m in models], prepared, labels)
    except Exception as error:
        if isinstance(error, ModelError) and error.code == "not-stackable":
            return [train_and_predict(task) for task in tasks]
        return [_failure(tasks[0], error)] * len(tasks)
    seconds = (time.perf_counter() - start) / len(tasks)
    for task, model in zip(tasks, models, strict=True):
        _write_part(task, model, X, seconds)
    return [None] * len(tasks)


def _features(stem: Path) -> Any:
    """The features of all rows, memory-mapped."""
    X: Any = np.load(stem.with_suffix(".npy"), mmap_mode="r")
    offsets = stem.with_suffix(".offsets")
    return Sequences(X, np.load(offsets)) if offsets.exists() else X


def _with_copies(task: Task, X: Any) -> Any:
    """The training rows, and then their further versions."""
    parts = [Z[task.fold.train] for Z in (X, *map(_features, task.copies))]
    if len(parts) == 1:
        return parts[0]
    if isinstance(X, Sequences):
        return Sequences.of([clip for part in parts for clip in part])
    return np.concatenate(parts)


def _repeated(task: Task, values: Any) -> Any:
    """What is known of the training rows, for them and for each of their versions."""
    return None if values is None else np.concatenate([values] * (1 + len(task.copies)))


def _labels(task: Task) -> Any:
    """Labels of the training rows, the only ones that a model can reach; shuffled for a control."""
    train = task.fold.train
    y = np.array(task.known.truth)[train]
    if task.control:
        y = np.random.default_rng([task.seed, *train[:2]]).permutation(y)
    return y


def _write_part(task: Task, model: Any, X: Any, seconds: float) -> None:
    """Apply a trained model to the test rows and write what it says."""
    test = task.fold.test
    start = time.perf_counter()
    proba = model.predict_proba(X[test])
    predicted = model.predict(X[test])
    end = time.perf_counter()
    classifier = model.steps[-1][1]
    full = np.zeros((len(test), len(task.labels)))
    full[:, [task.labels.index(str(c)) for c in model.classes_]] = proba
    part = {
        "prediction": [str(p) for p in predicted],
        "proba": full.tolist(),
        "history": getattr(classifier, "history_", []),
        "fit_s": seconds,
        "predict_s": end - start,
        "n_features": int(X.shape[1]),
        "parameters": getattr(classifier, "n_parameters_", None),
        "size_bytes": _stored_size(model),
    }
    with committed(task.part) as temporary:
        temporary.write_text(json.dumps(part), encoding="utf-8")


def _failure(task: Task, error: Exception) -> SerfeatError:
    """Say of an error where it was; one that is ours keeps its words."""
    if isinstance(error, SerfeatError):
        error.where = f"{task.entry.name}, {task.fold.name}: {error.where}".rstrip(": ")
        return error
    if not isinstance(error, ValueError | RuntimeError | MemoryError):
        raise error
    return ModelError(
        f"could not be trained ({type(error).__name__}: {str(error).splitlines()[0]})",
        where=f"{task.entry.name}, {task.protocol}, {task.fold.name}",
        code="training",
        fix="look at the entry's params and at the number of training recordings",
    )


def _keep_training(model: Any, part: Path) -> Path:
    """Let a network keep its training in a file, so that a killed comparison goes on in it."""
    file = part.with_suffix(".training")
    classifier = model.steps[-1][1]
    if "checkpoint" in classifier.get_params() and classifier.checkpoint is None:
        classifier.set_params(checkpoint=str(file))
    return file


def _shares(task: Task, y: Any) -> Floats | None:
    """Shares of the votes for the labels that occur in training; None for plain labels."""
    if task.entry.targets != "votes" or task.known.votes is None or task.control:
        return None
    columns = [task.labels.index(label) for label in np.unique(y)]
    shares = task.known.votes[task.fold.train][:, columns]
    alone = shares.sum(axis=1) == 0  # all votes went to labels that nobody has in this fold
    shares[alone] = y[alone, None] == np.unique(y)
    return shares


def _stored_size(model: Any) -> int:
    """Bytes of the model on disk, without its card."""
    import tempfile

    from serfeat.models.storage import save_model

    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder), {})
        return sum(f.stat().st_size for f in Path(folder).iterdir() if f.name != "card.json")
