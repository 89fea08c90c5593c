"""What is learnt: labels, shares of rater votes, numbers, other columns of the manifest.

Contents
--------
`Known`    : what the manifest says of some rows.
`known_of` : of all rows of a plan; a task gets `Known.of` its training rows alone.
`numbers_of`, `shares_of_votes`, `task_columns` : its parts.
`learnt_rows` : which training rows an entry learns from; `require_labels` : these have them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import ModelError, did_you_mean
from serfeat.metrics import speaker_key
from serfeat.plan import Entry, Plan
from serfeat.splits import Fold
from serfeat.types import Bools, Floats, Ints
from serfeat.votes import kinds, proportions

__all__ = [
    "Known",
    "known_of",
    "learnt_rows",
    "numbers_of",
    "require_labels",
    "shares_of_votes",
    "task_columns",
]


@dataclass(frozen=True)
class Known:
    """What the manifest says of some rows.

    Parameters
    ----------
    truth : (n,) labels; for dimensions (n, targets) numbers, NaN for unknown.
    speakers : (n,).
    votes : (n, labels) shares of the rater votes, None unless an entry learns them.
    columns : other columns that an entry learns, (n,) each.
    """

    truth: Any
    speakers: Any
    votes: Floats | None
    columns: Mapping[str, Any]

    def of(self, rows: Ints) -> Known:
        """What is known of these rows, and of no others."""
        votes = None if self.votes is None else self.votes[rows]
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Known(self.truth[rows], self.speakers[rows], votes, columns)

    @property
    def identity(self) -> str:
        """SHA-256 of all of it."""
        columns = {name: values.tolist() for name, values in self.columns.items()}
        return hashlib.sha256(
            repr((self.truth.tolist(), self.speakers.tolist(), columns)).encode()
            + (b"" if self.votes is None else self.votes.tobytes())
        ).hexdigest()


def known_of(plan: Plan, rows: pd.DataFrame) -> Known:
    """What the manifest says of all rows that a plan needs to know.

    Raises
    ------
    ModelError, ManifestError, UnknownNameError : a column that is not there, or without numbers.
    """
    labels = sorted(set(rows["emotion"]))
    voted = any(e.targets == "votes" for e in plan.entries)
    return Known(
        numbers_of(rows, plan.dimensions) if plan.dimensions else rows["emotion"].to_numpy(str),
        speaker_key(rows).to_numpy(str),
        shares_of_votes(rows, labels) if voted else None,
        task_columns(plan.entries, rows),
    )


def numbers_of(rows: pd.DataFrame, dimensions: Sequence[str]) -> Floats:
    """(n, dimensions) numbers of the manifest, NaN where unknown.

    Raises
    ------
    ModelError : no such column, or one that has no numbers.
    """
    for name in dimensions:
        if name not in rows:
            raise did_you_mean("column of the manifest", name, rows.columns, where="dimensions")
        if pd.to_numeric(rows[name], errors="coerce").notna().sum() < 2:
            raise ModelError(
                f"{name} has fewer than two numbers", where="dimensions", code="no-targets"
            )
    numbers = [pd.to_numeric(rows[name], errors="coerce") for name in dimensions]
    return np.stack([np.asarray(column, dtype=np.float64) for column in numbers], axis=1)


def shares_of_votes(rows: pd.DataFrame, labels: Sequence[str]) -> Floats:
    """(n, labels) shares of the raters' votes; where nobody chose one of the labels, the label.

    Raises
    ------
    ManifestError, UnknownNameError : no columns of votes.
    """
    shares = proportions(rows, labels)
    alone = np.isnan(shares).any(axis=1)
    shares[alone] = rows["emotion"].to_numpy()[alone, None] == np.array(labels)
    return shares


def learnt_rows(entry: Entry, rows: pd.DataFrame) -> Bools:
    """(n,) marks of the rows that an entry learns from where they are in training.

    Raises
    ------
    ManifestError, UnknownNameError : ``train_on = "clear"``, and no columns of votes.
    """
    if entry.train_on == "all":
        return np.ones(len(rows), dtype=bool)
    return np.asarray(kinds(rows, sorted(set(rows["emotion"]))) == "clear")


def require_labels(plan: Plan, folds: Mapping[str, Sequence[Fold]], rows: pd.DataFrame) -> None:
    """Refuse an entry that would learn from no clip of some emotion.

    The folds hold every emotion in training; what an entry leaves out there may be all of one.

    Parameters
    ----------
    folds : protocol -> its folds of `rows`.

    Raises
    ------
    ModelError : names entry, fold and emotions.
    """
    emotion = rows["emotion"].to_numpy(dtype=str)
    for entry in plan.entries if not plan.dimensions else ():
        learnt = learnt_rows(entry, rows)
        for protocol, made in folds.items():
            for fold in made:
                clear = fold.train[learnt[fold.train]]
                if missing := sorted(set(emotion) - set(emotion[clear])):
                    raise ModelError(
                        f"train_on = {entry.train_on} leaves no training row with "
                        f"{', '.join(missing)}: a model cannot learn a label that it never sees",
                        where=f"{entry.name}, {protocol}, {fold.name}",
                        code="label-absent",
                        fix="train on all, or leave the label out with `labels`",
                    )


def task_columns(entries: Iterable[Entry], rows: pd.DataFrame) -> dict[str, Any]:
    """Name -> (n,) values of every column that an entry learns as another task.

    Raises
    ------
    ModelError : the manifest has no such column.
    """
    columns: dict[str, Any] = {}
    for entry in entries:
        for task in entry.tasks:
            if task not in rows:
                raise ModelError(
                    f"the task {task!r} is no column of the manifest, which has "
                    f"{', '.join(rows.columns)}",
                    where=entry.name,
                    code="no-targets",
                )
            columns[task] = rows[task].to_numpy()
    return columns
