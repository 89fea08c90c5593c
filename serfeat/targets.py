"""What an entry learns beside the label: shares of rater votes, other columns of the manifest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import ModelError
from serfeat.plan import Entry
from serfeat.types import Floats
from serfeat.votes import proportions

__all__ = ["shares_of_votes", "task_columns"]


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


def task_columns(entries: Iterable[Entry], rows: pd.DataFrame) -> dict[str, tuple[Any, ...]]:
    """Name -> (n,) values of every column that an entry learns as another task.

    Raises
    ------
    ModelError : the manifest has no such column.
    """
    columns: dict[str, tuple[Any, ...]] = {}
    for entry in entries:
        for task in entry.tasks:
            if task not in rows:
                raise ModelError(
                    f"the task {task!r} is no column of the manifest, which has "
                    f"{', '.join(rows.columns)}",
                    where=entry.name,
                    code="no-targets",
                )
            columns[task] = tuple(rows[task])
    return columns
