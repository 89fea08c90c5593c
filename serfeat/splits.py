"""Evaluation protocols: from a manifest's rows to folds, with their promise checked on every run.

A protocol says in words what it does and whether speakers are kept apart. Held-out speakers are
the question that users have ("does it work on someone new?"); random folds answer an easier one:
every test speaker's voice was heard in training, and are marked wherever their numbers appear.

`PROTOCOLS` is the table: name -> `Protocol`. The bare acronym LOSO is not used: speakers, sessions
and sentences can all be "left out".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import SplitError, did_you_mean
from serfeat.types import Ints

__all__ = ["PROTOCOLS", "Fold", "Protocol", "folds"]


@dataclass(frozen=True)
class Fold:
    """One division of the rows.

    Parameters
    ----------
    name : what is held out, e.g. ``"speaker 03"``.
    train, test : row numbers, disjoint.
    """

    name: str
    train: Ints
    test: Ints


@dataclass(frozen=True)
class Protocol:
    """A way of dividing a corpus.

    Parameters
    ----------
    name : the word that recipes use.
    speaker_independent : whether no test speaker is ever heard in training; checked on every run.
    words : what a reader is told; may use ``{n}``, ``{column}`` and ``{folds}``.
    make : ``make(rows, seed, **params) -> list[Fold]``.
    params : the parameters that a recipe may set, with their defaults.
    """

    name: str
    speaker_independent: bool
    words: str
    make: Callable[..., list[Fold]]
    params: Mapping[str, Any]


def _one_fold_per(column: str) -> Callable[..., list[Fold]]:
    """Every distinct value of a column is the test set once."""

    def make(rows: pd.DataFrame, seed: int) -> list[Fold]:  # noqa: ARG001  (nothing is random)
        values = _column(rows, column)
        if len(set(values)) < 2:
            raise SplitError(
                f"{len(set(values))} {column} in the manifest, expected 2 or more",
                where=f"leave_one_{column}_out",
                code="too-few-groups",
                fix="use more recordings or another protocol",
            )
        noun = column.removesuffix("_id")
        return [_fold(f"{noun} {v}", values == v) for v in sorted(set(values))]

    return make


def _speaker_kfold(rows: pd.DataFrame, seed: int, n: int) -> list[Fold]:
    """Speakers are shuffled and dealt to n groups of nearly equal numbers of speakers."""
    values = _column(rows, "speaker")
    speakers = np.array(sorted(set(values)))
    if not 2 <= n <= len(speakers):
        raise SplitError(
            f"n = {n} folds from {len(speakers)} speakers, expected 2 to {len(speakers)}",
            where="speaker_kfold",
            code="too-few-groups",
            fix="set n in the recipe's protocol",
        )
    order = np.random.default_rng(seed).permutation(len(speakers))
    groups = [sorted(speakers[order[i::n]]) for i in range(n)]
    return [_fold(f"speakers {' '.join(g)}", np.isin(values, g)) for g in groups]


def _random_kfold(rows: pd.DataFrame, seed: int, n: int) -> list[Fold]:
    """Rows are shuffled and cut into n parts, whoever speaks (TIM-Net's published protocol)."""
    if not 2 <= n <= len(rows):
        raise SplitError(
            f"n = {n} folds from {len(rows)} rows, expected 2 to {len(rows)}",
            where="random_kfold",
            code="too-few-rows",
            fix="set n in the recipe's protocol",
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    width = len(str(n))
    return [
        _fold(f"part {i + 1:0{width}d}", np.isin(np.arange(len(rows)), part))
        for i, part in enumerate(np.array_split(order, n))
    ]


def _predefined(rows: pd.DataFrame, seed: int, column: str) -> list[Fold]:  # noqa: ARG001
    """One fold: the rows marked ``test`` in a column against those marked ``train``."""
    values = _column(rows, column)
    for word in ("train", "test"):
        if word not in values:
            raise SplitError(
                f"no row has {word!r}, found {', '.join(sorted(set(values))[:5])}",
                where=f"column {column}",
                code="bad-split-column",
            )
    train, test = np.flatnonzero(values == "train"), np.flatnonzero(values == "test")
    return [Fold(f"{column} = test", train, test)]


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "leave_one_speaker_out",
            True,
            "Each of the {folds} speakers is the test set once; the models are trained on all the "
            "others and have never heard the voice that they are tested on.",
            _one_fold_per("speaker"),
            {},
        ),
        Protocol(
            "speaker_kfold",
            True,
            "The speakers are dealt to {n} groups; each group is the test set once, so that no "
            "model has heard a voice that it is tested on.",
            _speaker_kfold,
            {"n": 5},
        ),
        Protocol(
            "leave_one_session_out",
            True,
            "Each of the {folds} recording sessions is the test set once, with all its speakers.",
            _one_fold_per("session"),
            {},
        ),
        Protocol(
            "leave_one_text_out",
            False,
            "Each of the {folds} sentences is the test set once. The test speakers are heard in "
            "training, with other sentences.",
            _one_fold_per("text_id"),
            {},
        ),
        Protocol(
            "predefined",
            True,
            "The rows marked test in the manifest's column {column} against those marked train.",
            _predefined,
            {"column": "split"},
        ),
        Protocol(
            "random_kfold",
            False,
            "Speaker-dependent: the recordings are shuffled into {n} parts whoever speaks, so that "
            "every test voice (and every sentence) was heard in training. Published scores of this "
            "kind say how well a model knows these speakers, not how it does on a new one.",
            _random_kfold,
            {"n": 10},
        ),
    )
}


def folds(
    rows: pd.DataFrame, protocol: str, *, seed: int = 0, **params: Any
) -> tuple[list[Fold], str]:
    """Divide a manifest's rows and check what the protocol promises.

    Parameters
    ----------
    rows : the manifest's rows, with columns speaker and emotion.
    protocol : key of `PROTOCOLS`.
    seed : for the protocols that shuffle.
    **params : of the protocol, e.g. ``n=5``.

    Returns
    -------
    The folds, and the protocol in words.

    Raises
    ------
    UnknownNameError : an unknown protocol or parameter.
    SplitError : too few speakers, a label that is missing from a training side, a broken promise.
    """
    if protocol not in PROTOCOLS:
        raise did_you_mean("protocol", protocol, PROTOCOLS)
    chosen = PROTOCOLS[protocol]
    for name in params:
        if name not in chosen.params:
            raise did_you_mean(f"parameter of {protocol}", name, chosen.params or ["(none)"])
    settings = {**chosen.params, **params}
    made = chosen.make(rows, seed, **settings)
    _check(rows, chosen, made)
    return made, chosen.words.format(folds=len(made), **settings)


def _check(rows: pd.DataFrame, protocol: Protocol, made: list[Fold]) -> None:
    """Hold the folds to their promise; never trusted, whoever made them."""
    speaker = rows["speaker"].to_numpy(dtype=str) if "speaker" in rows else None
    emotion = rows["emotion"].to_numpy(dtype=str)
    labels = set(emotion)
    for fold in made:
        where = f"{protocol.name}, {fold.name}"
        if np.intersect1d(fold.train, fold.test).size:
            raise SplitError("rows on both sides", where=where, code="rows-overlap")
        if protocol.speaker_independent and speaker is not None:
            both = sorted(set(speaker[fold.train]) & set(speaker[fold.test]))
            if both:
                raise SplitError(
                    f"speaker-independent, but {', '.join(both[:5])} would be on both sides",
                    where=where,
                    code="speakers-overlap",
                    fix="use a protocol that holds out speakers",
                )
        missing = sorted(labels - set(emotion[fold.train]))
        if missing:
            raise SplitError(
                f"no training row has {', '.join(missing)}: a model cannot learn a label that it "
                "never sees",
                where=where,
                code="label-absent",
                fix="use fewer folds, more recordings, or leave the label out with `labels`",
            )
        if not len(fold.test):
            raise SplitError("no test rows", where=where, code="empty-test")


def _fold(name: str, is_test: Any) -> Fold:
    return Fold(name, np.flatnonzero(~is_test), np.flatnonzero(is_test))


def _column(rows: pd.DataFrame, name: str) -> Any:
    """Return a column as text; one that is absent or has empty cells is an error."""
    if name not in rows or (rows[name].astype(str).str.strip() == "").any():
        found = "is not there" if name not in rows else "has empty cells"
        raise SplitError(
            f"the protocol needs the manifest's column {name!r}, which {found}",
            where="manifest",
            code="no-" + name,
            fix=f"add {name} to every row, or use a protocol that does not need it",
        )
    return rows[name].astype(str).to_numpy(dtype=str)
