"""One entry on one fold: train, apply, write the part of the comparison that it is.

A part is a small JSON file; what a comparison has written it never computes again. On a GPU the
folds of a neural entry that can be stacked are trained as one (`serfeat.models.stacked`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from serfeat.compare.targets import Known
from serfeat.errors import ModelError, SerfeatError
from serfeat.files import committed
from serfeat.models import MODELS, fit, make_model
from serfeat.plan import Entry
from serfeat.sequences import Sequences, read_mapped
from serfeat.splits import Fold
from serfeat.types import Bools, Floats

__all__ = ["Task", "on_gpu", "stack_key", "train_and_predict", "train_stacked"]


@dataclass(frozen=True)
class Task:
    """One model to train and apply; picklable, the features travel as files.

    Parameters
    ----------
    entry, protocol, fold, seed, control : what is trained.
    features, copies : files of all rows, and of their further versions.
    conditions : name -> file of all rows under it.
    labels : all classes.
    dimensions : the numbers that are predicted in place of the class.
    known : of the training rows alone: no test label is in the process that trains.
    oracle : labels of the test rows, only for ``selection = "test_oracle"``; else None.
    families : columns of each family, to explain the decisions; empty: they are not.
    hop : s between frames.
    part : file to write.
    """

    entry: Entry
    protocol: str
    fold: Fold
    seed: int
    control: bool
    features: Path
    copies: tuple[Path, ...]
    conditions: Mapping[str, Path]
    labels: tuple[str, ...]
    dimensions: tuple[str, ...]
    known: Known
    oracle: Any
    families: Mapping[str, Sequence[int]]
    hop: float
    part: Path

    @property
    def identity(self) -> str:
        """All that the part depends on besides the code, as text; features by their digests."""
        files = (self.features, *self.copies, *self.conditions.values())
        oracle = None if self.oracle is None else self.oracle.tolist()
        families = sorted((name, list(columns)) for name, columns in self.families.items())
        sides = (self.fold.known, self.fold.validation, self.fold.test)
        fold = (self.fold.name, *(side.tolist() for side in sides))
        return repr(
            (
                *(self.entry, self.protocol, fold, self.seed, self.control),
                *([f.name for f in files], list(self.conditions), self.labels, self.dimensions),
                *(self.known.identity, oracle, families),
            )
        )


def train_and_predict(task: Task) -> SerfeatError | None:
    """Train one entry on one fold and write its predictions; runs in a worker.

    Returns
    -------
    None, or what went wrong: an error that names entry and fold.
    """
    known = task.known
    try:
        X, y = _features(task.features), _targets(task)
        start = time.perf_counter()
        params, trials = _params(task, X, y)
        model = _model(task, params)
        unfinished = _keep_training(model, task.part)
        fit(
            model,
            _with_copies(task, X),
            _repeated(task, y),
            _repeated(task, known.speakers),
            proportions=_repeated(task, _shares(task, y)),
            tasks={name: _repeated(task, known.columns[name]) for name in task.entry.tasks},
            oracle=None if task.oracle is None else (X[task.fold.test], task.oracle),
            recorded=len(y) if task.copies else None,
            validation=_repeated(task, _apart(task)),
        )
        _write_part(task, model, X, time.perf_counter() - start, trials)
    except Exception as error:
        return _failure(task, error)
    for file in (unfinished, unfinished.with_name(f"{unfinished.name}.before")):
        file.unlink(missing_ok=True)
    return None


def _model(task: Task, params: Mapping[str, Any]) -> Any:
    """Make the untrained model."""
    what: Literal["classification", "regression"] = (
        "regression" if task.dimensions else "classification"
    )
    return make_model(task.entry.model, seed=task.seed, task=what, **task.entry.settings(params))


def _params(task: Task, X: Any, y: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Parameters that are tuned inside the training rows, if the entry says so, and the trials."""
    entry = task.entry
    if not entry.tune:
        return {}, []
    from serfeat.tuning import tuned

    return tuned(
        lambda params: _model(task, params),
        entry.tune,
        X[task.fold.known],
        y,
        task.known.speakers,
        model=entry.model,
        seed=task.seed,
        proportions=_shares(task, y),
        tasks={name: task.known.columns[name] for name in entry.tasks},
        validation=_apart(task),
    )


def on_gpu(task: Task) -> bool:
    """Whether it is trained on a GPU of this machine."""
    if MODELS[task.entry.model].kind != "deep":
        return False
    import torch

    device = str(_model(task, {}).steps[-1][1].device)
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def stack_key(task: Task) -> Any:
    """What tasks have in common that can be trained as one on a GPU; None for all others."""
    entry = task.entry
    if entry.targets == "votes" or entry.tune or task.dimensions or task.oracle is not None:
        return None
    if not on_gpu(task):
        return None
    from serfeat.models.stacked import stackable

    if not stackable(_model(task, {}).steps[-1][1]):
        return None
    return (entry.name, task.protocol, task.seed, task.control)


def train_stacked(tasks: Sequence[Task]) -> list[SerfeatError | None]:
    """Train one entry on several folds at once; see `train_and_predict`.

    Folds that do not fit into the memory together are trained in two halves. Those that turn out to
    differ in columns or classes are trained one by one, and so are those of a network that torch
    cannot stack.
    """
    from serfeat.models.batches import out_of_memory

    start = time.perf_counter()
    try:
        models = _stacked(tasks)
    except Exception as error:
        unlike = isinstance(error, ModelError) and error.code == "not-stackable"
        narrow = out_of_memory(error)
        if not (unlike or narrow or isinstance(error, RuntimeError)):  # torch's own errors
            return [_failure(tasks[0], error)] * len(tasks)
    else:
        seconds = (time.perf_counter() - start) / len(tasks)
        X = _features(tasks[0].features)
        return [
            _written(task, model, X, seconds) for task, model in zip(tasks, models, strict=True)
        ]
    # Out here, as the error held all that fills the memory.
    _give_back()
    if narrow and len(tasks) > 2:
        half = len(tasks) // 2
        return train_stacked(tasks[:half]) + train_stacked(tasks[half:])
    return [train_and_predict(task) for task in tasks]


def _stacked(tasks: Sequence[Task]) -> list[Any]:
    """Train models of several folds as one."""
    from serfeat.models.stacked import fit_stacked

    models, prepared, labels = [], [], []
    X = _features(tasks[0].features)
    for task in tasks:
        model = _model(task, {})
        models.append(model)
        labels.append(_repeated(task, _targets(task)))
        prepared.append(model[:-1].fit_transform(_with_copies(task, X), labels[-1]))
    fit_stacked([m.steps[-1][1] for m in models], prepared, labels)
    return models


def _written(task: Task, model: Any, X: Any, seconds: float) -> SerfeatError | None:
    """Write the part of a trained model, or say what went wrong."""
    try:
        _write_part(task, model, X, seconds, [])
    except Exception as error:
        return _failure(task, error)
    return None


def _give_back() -> None:
    """Give back what torch keeps of the GPU's memory."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _features(stem: Path) -> Any:
    """The features of all rows, memory-mapped."""
    if stem.with_name(f"{stem.name}.offsets").exists():
        return read_mapped(stem)
    return np.load(stem.with_name(f"{stem.name}.npy"), mmap_mode="r", allow_pickle=False)


def _with_copies(task: Task, X: Any) -> Any:
    """The training rows, and then their further versions; frames stay on the disk."""
    parts = [Z[task.fold.known] for Z in (X, *map(_features, task.copies))]
    if len(parts) == 1:
        return parts[0]
    return Sequences.joined(parts) if isinstance(X, Sequences) else np.concatenate(parts)


def _repeated(task: Task, values: Any) -> Any:
    """What is known of the training rows, for them and for each of their versions."""
    return None if values is None else np.concatenate([values] * (1 + len(task.copies)))


def _apart(task: Task) -> Bools | None:
    """Marks of the training rows that the protocol sets apart for choosing; None: there are none.

    Whoever chooses nothing learns from them as from all others.
    """
    fold = task.fold
    return np.isin(fold.known, fold.validation) if len(fold.validation) else None


def _targets(task: Task) -> Any:
    """What the training rows are labelled with; shuffled for a control."""
    y = task.known.truth
    if task.control:
        y = np.random.default_rng([task.seed, *task.fold.known[:2]]).permutation(y)
    return y


def _write_part(
    task: Task, model: Any, X: Any, seconds: float, trials: Sequence[Mapping[str, Any]]
) -> None:
    """Apply a trained model to the test rows, clean and otherwise, and write what it says."""
    test = task.fold.test
    start = time.perf_counter()
    said = _said(task, model, X[test])
    end = time.perf_counter()
    learner = model.steps[-1][1]
    others = {name: _features(file)[test] for name, file in task.conditions.items()}
    part = {
        **said,
        "conditions": {name: _said(task, model, Z) for name, Z in others.items()},
        "history": getattr(learner, "history_", []),
        "trials": list(trials),
        "fit_s": seconds,
        "predict_s": end - start,
        "n_features": int(X.shape[1]),
        "parameters": getattr(learner, "n_parameters_", None),
        "size_bytes": _stored_size(model),
    }
    if task.entry.tasks:
        others = learner.predict_tasks(model[:-1].transform(X[test]))
        part["tasks"] = {name: list(values) for name, values in others.items()}
    if task.families:
        from serfeat.explain import explained

        part["explained"] = explained(model, X[test], task.families, seed=task.seed)
    with committed(task.part) as temporary:
        temporary.write_text(json.dumps(part), encoding="utf-8")


def _said(task: Task, model: Any, X: Any) -> dict[str, Any]:
    """What a model says of some rows: numbers, or labels with the probability of each."""
    if task.dimensions:
        return {"prediction": np.asarray(model.predict(X)).reshape(len(X), -1).tolist()}
    proba = np.zeros((len(X), len(task.labels)))
    proba[:, [task.labels.index(str(c)) for c in model.classes_]] = model.predict_proba(X)
    return {"prediction": [str(p) for p in model.predict(X)], "proba": proba.tolist()}


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
    shares = task.known.votes[:, columns]
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
