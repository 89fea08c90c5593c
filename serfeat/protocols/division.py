"""What a division of the rows is: folds of training, validation and test rows, and what they share.

Conventions
-----------
Rows are numbered from 0 in the manifest's order. With several corpora a speaker is "corpus/speaker"
(so are texts and sessions): "03" of one corpus is another person than "03" of another. A fold keeps
speakers apart if no speaker of its test rows is in its training or validation rows; where a
speaker is unknown (an empty cell, no column) nothing is kept apart.

Contents
--------
`Fold` `Protocol`      : a division, and a way of making one.
`text_of` `names_of`   : a column as text, as it is and unique over corpora.
`fold_where`           : a fold from the marks of its test rows.
`independence` `heard` : what is kept apart, found and not believed.
`check`                : rows, speakers, labels; raises what a fold must not be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from serfeat.errors import SplitError
from serfeat.metrics import speaker_key
from serfeat.types import Bools, Ints

__all__ = [
    "GROUPS",
    "Fold",
    "Protocol",
    "check",
    "fold_where",
    "heard",
    "independence",
    "names_of",
    "text_of",
]

# what users call it -> the manifest's column
GROUPS = {"speaker": "speaker", "text": "text_id", "session": "session"}


def _no_rows() -> Ints:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Fold:
    """One division of the rows.

    Parameters
    ----------
    name : what is held out, e.g. ``"speaker 03"``.
    train, test : row numbers, disjoint.
    validation : row numbers that the protocol sets apart for choosing (settings, an epoch); none
        where it leaves that to the models, which then hold out speakers of the training rows.
    """

    name: str
    train: Ints
    test: Ints
    validation: Ints = field(default_factory=_no_rows)

    @property
    def known(self) -> Ints:
        """Training and validation rows: all that a model may be fitted on once all is chosen."""
        return np.sort(np.concatenate([self.train, self.validation])).astype(np.int64)


@dataclass(frozen=True)
class Protocol:
    """A way of dividing a corpus.

    Parameters
    ----------
    name : the word that recipes use.
    speaker_independent : whether no test speaker is ever heard in training; checked on every run.
        None: the rows decide; it is found on every run (`independence`) and said in words.
    words : what a reader is told; may use ``{folds}`` and the parameters' names.
    make : ``make(rows, seed, **params) -> list[Fold]``.
    params : the parameters that a recipe may set, with their defaults.
    notes : ``notes(rows, **params)``: more words, that depend on the rows.
    apart : further columns that it promises to keep apart.
    """

    name: str
    speaker_independent: bool | None
    words: str
    make: Callable[..., list[Fold]]
    params: Mapping[str, Any]
    notes: Callable[..., str] | None = None
    apart: tuple[str, ...] = ()


def text_of(rows: pd.DataFrame, column: str) -> NDArray[np.str_]:
    """Return a column as text, as it is in the manifest.

    Raises
    ------
    SplitError : no such column, or empty cells; code "no-<column>".
    """
    values = _plain(rows, column)
    if (values == "").any() or not len(values):
        found = "is not there" if column not in rows else "has empty cells"
        raise SplitError(
            f"the protocol needs the manifest's column {column!r}, which {found}",
            where="manifest",
            code="no-" + column,
            fix=f"add {column} to every row, or use a protocol that does not need it",
        )
    text: NDArray[np.str_] = values.to_numpy(dtype=str)
    return text


def names_of(rows: pd.DataFrame, column: str) -> NDArray[np.str_]:
    """Return a column as names: as `text_of`, with "corpus/" before where there are several."""
    text_of(rows, column)
    return _names_and_known(rows, column)[0]


def fold_where(name: str, is_test: ArrayLike, is_train: ArrayLike | None = None) -> Fold:
    """Make a fold from (n,) marks; training rows are, by default, all others."""
    test = np.asarray(is_test, dtype=bool)
    train = ~test if is_train is None else np.asarray(is_train, dtype=bool)
    return Fold(name, np.flatnonzero(train), np.flatnonzero(test))


def independence(rows: pd.DataFrame, folds: Iterable[Fold]) -> dict[str, bool]:
    """Find what the folds keep apart.

    Parameters
    ----------
    rows : the manifest's rows.
    folds : of row numbers.

    Returns
    -------
    speaker, text, session -> whether no test row of any fold shares it with a training or
    validation row. False where it cannot be known.
    """
    made = list(folds)
    return {
        word: not any(shared_by(fold) for fold in made)
        for word, shared_by in ((w, _sharing(rows, c)) for w, c in GROUPS.items())
    }


def heard(rows: pd.DataFrame, folds: Iterable[Fold]) -> tuple[int, int]:
    """Count test speakers that are heard in training or validation of the same fold.

    Returns
    -------
    (heard, all) summed over folds; the unknown speakers of a corpus count as one, and as heard.
    """
    names, _, _ = _names_and_known(rows, "speaker")
    shared_by = _sharing(rows, "speaker")
    tested = [(set(names[fold.test]), set(shared_by(fold))) for fold in folds]
    return sum(len(t & s) for t, s in tested), sum(len(t) for t, _ in tested)


def _sharing(rows: pd.DataFrame, column: str) -> Callable[[Fold], list[str]]:
    """Return a function: fold -> the names that its test rows share with the rows it learns from.

    An unknown name may be any name of its corpus: it is shared if the other side has a row of that
    corpus.
    """
    names, is_known, corpus = _names_and_known(rows, column)

    def doubtful(side: Ints, other: Ints) -> Ints:
        """Rows of a side whose name is unknown, and whose corpus the other side has."""
        rows_there = side[~is_known[side]]
        return rows_there[np.isin(corpus[rows_there], corpus[other])]

    def shared(fold: Fold) -> list[str]:
        both = np.intersect1d(names[fold.known], names[fold.test])
        unsure = [doubtful(fold.test, fold.known), doubtful(fold.known, fold.test)]
        return sorted({*both.tolist(), *names[np.concatenate(unsure)].tolist()})

    return shared


def _names_and_known(
    rows: pd.DataFrame, column: str
) -> tuple[NDArray[np.str_], Bools, NDArray[np.str_]]:
    """(n,) names, whether each is known, and the corpora."""
    plain, corpus = _plain(rows, column), _plain(rows, "corpus")
    names = speaker_key(pd.DataFrame({"speaker": plain, "corpus": corpus}))
    return names.to_numpy(dtype=str), (plain != "").to_numpy(), corpus.to_numpy(dtype=str)


def _plain(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return a column as text; empty where it is missing."""
    if column not in rows:
        return pd.Series("", index=rows.index)
    return rows[column].fillna("").astype(str).str.strip()


# --- what a fold must not be -----------------------------------------------------------------


def check(
    rows: pd.DataFrame,
    protocol: Protocol,
    folds: Sequence[Fold],
    *,
    disjoint: Sequence[str] = (),
) -> None:
    """Hold the folds to what is promised; never trusted, whoever made them.

    Parameters
    ----------
    rows : with speaker and emotion.
    protocol : its speakers are held apart if it says so.
    disjoint : further columns that must be held apart, e.g. text_id.

    Raises
    ------
    SplitError : no folds, an empty side, rows or names on both sides, a label that is missing from
        a training side.
    """
    if not folds:
        raise SplitError("no folds", where=protocol.name, code="empty-test")
    emotion = rows["emotion"].to_numpy(dtype=str)
    apart = {column: _sharing(rows, column) for column in _apart(rows, protocol, disjoint)}
    for fold in folds:
        where = f"{protocol.name}, {fold.name}"
        _check_rows(fold, len(rows), where)
        for column, shared_by in apart.items():
            if both := shared_by(fold):
                word = column.removesuffix("_id")
                shown = ", ".join(name or "unknown ones" for name in both[:5])
                raise SplitError(
                    f"{word}-independent, but {shown} would be on both sides",
                    where=where,
                    code=f"{word}s-overlap",
                    fix=f"use a protocol that holds out {word}s",
                )
        missing = sorted(set(emotion) - set(emotion[fold.train]))
        if missing:
            raise SplitError(
                f"no training row has {', '.join(missing)}: a model cannot learn a label that it "
                "never sees",
                where=where,
                code="label-absent",
                fix="use fewer folds, more recordings, or leave the label out with `labels`",
            )


def _apart(rows: pd.DataFrame, protocol: Protocol, disjoint: Sequence[str]) -> list[str]:
    """Columns that the folds must hold apart; those asked for have to be there."""
    for column in disjoint:
        names_of(rows, column)
    promised = ["speaker"] if protocol.speaker_independent else []
    return list(dict.fromkeys([*promised, *protocol.apart, *disjoint]))


def _check_rows(fold: Fold, n: int, where: str) -> None:
    """Every row is there, once, on one side."""
    for side, numbers in (("test", fold.test), ("training", fold.train)):
        if not len(numbers):
            raise SplitError(f"no {side} rows", where=where, code=f"empty-{side}")
    used = np.concatenate([fold.train, fold.validation, fold.test])
    if len(np.unique(used)) < len(used):
        raise SplitError("rows on both sides", where=where, code="rows-overlap")
    if used.min() < 0 or used.max() >= n:
        raise SplitError(f"a row that is not among the {n}", where=where, code="no-such-row")
