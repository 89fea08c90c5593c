"""How a pack divides rows where it is no list of speakers: ``(rows, **settings) -> folds``.

`RULES` is the table: the word in a pack's TOML file -> the function. The published folds that are
random have seeds of their own: a run's `fold_seed` does not change what is called published.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from serfeat.errors import SplitError
from serfeat.protocols.division import Fold, fold_where, names_of
from serfeat.protocols.groupings import one_fold_per, predefined

__all__ = ["RULES"]

STAND_IN_SEED = 0  # of divisions that stand in for published lists that are not known


def _one_fold_per_speaker(rows: pd.DataFrame) -> list[Fold]:
    return one_fold_per("speaker")(rows, 0)


def _one_fold_per_session(rows: pd.DataFrame) -> list[Fold]:
    return one_fold_per("session")(rows, 0)


def _deal_every_speaker(rows: pd.DataFrame, n: int) -> list[Fold]:
    """Each speaker's rows are shuffled and dealt to n folds in turn: all speakers in every fold."""
    order = np.random.default_rng(STAND_IN_SEED).permutation(len(rows))
    order = order[np.argsort(names_of(rows, "speaker")[order], kind="stable")]
    numbers = np.arange(len(rows))
    return [fold_where(f"fold {i + 1}", np.isin(numbers, order[i::n])) for i in range(n)]


def _random_rows(rows: pd.DataFrame, share: float) -> list[Fold]:
    """A share of the rows is tested, whoever speaks."""
    order = np.random.default_rng(STAND_IN_SEED).permutation(len(rows))
    tested = order[: round(share * len(rows))]
    return [fold_where("random rows", np.isin(np.arange(len(rows)), tested))]


def _shuffled_utterances(rows: pd.DataFrame, n: int, random_state: int) -> list[Fold]:
    """KFold over the rows in the order of TIM-Net's features: by class, then as people sort files.

    The classes' English names have the alphabetical order of our nouns in all six corpora. Files
    are sorted by their names; the folders, which every copy has of its own, decide between equal
    ones only.
    """
    from sklearn.model_selection import KFold

    if len(rows) < n:
        raise SplitError(f"{n} folds from {len(rows)} rows", code="too-few-rows")
    files = [str(key[0] if isinstance(key, tuple) else key) for key in rows.index]
    keys = [
        (emotion, _natural(file.rsplit("/", 1)[-1]), _natural(file))
        for emotion, file in zip(rows["emotion"].astype(str), files, strict=True)
    ]
    order = np.array(sorted(range(len(rows)), key=keys.__getitem__))
    parts = KFold(n, shuffle=True, random_state=random_state).split(order)
    return [
        Fold(f"fold {i + 1:0{len(str(n))}d}", np.sort(order[train]), np.sort(order[test]))
        for i, (train, test) in enumerate(parts)
    ]


def _natural(text: str) -> list[str | int]:
    """Words and numbers in turn: "a10" comes after "a9"."""
    return [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", text)]


def _split_column(
    rows: pd.DataFrame, column: str, *, drop_test_speakers: bool = False
) -> list[Fold]:
    """Return the sides of a column; on request without the test speakers' rows on the others."""
    (fold,) = predefined(rows, 0, column)
    if not drop_test_speakers:
        return [fold]
    names = names_of(rows, "speaker")
    tested = names[fold.test]
    train, validation = (s[~np.isin(names[s], tested)] for s in (fold.train, fold.validation))
    return [Fold(fold.name, train, fold.test, validation)]


RULES: dict[str, Callable[..., list[Fold]]] = {
    "one_fold_per_speaker": _one_fold_per_speaker,
    "one_fold_per_session": _one_fold_per_session,
    "deal_every_speaker": _deal_every_speaker,
    "random_rows": _random_rows,
    "shuffled_utterances": _shuffled_utterances,
    "split_column": _split_column,
}
