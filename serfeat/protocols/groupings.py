"""How protocols divide rows: one function each, ``(rows, seed, **params) -> folds``.

What every function promises in words, and what it is called in a recipe, stands in the table
`serfeat.splits.PROTOCOLS`; nothing is checked here that `serfeat.protocols.division.check` checks
for all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serfeat.errors import SplitError, did_you_mean
from serfeat.protocols.division import Fold, fold_where, names_of, text_of

__all__ = [
    "cross_corpus",
    "dealt",
    "held_out_speakers",
    "kfold_of",
    "one_fold_per",
    "predefined",
    "predefined_folds",
    "random_kfold",
    "speaker_and_text",
]

_Names = NDArray[np.str_]
_Make = Callable[..., list[Fold]]
# words in a column of official partitions -> the side that they mean
SIDES = {
    "train": "train",
    "training": "train",
    **dict.fromkeys(("devel", "dev", "val", "valid", "validation"), "validation"),
    "test": "test",
}


def one_fold_per(column: str, *, plain: bool = False) -> _Make:
    """Every distinct value of a column is the test set once.

    Parameters
    ----------
    column : of the manifest.
    plain : whether a value means the same in every corpus (a language does, a speaker does not).
    """
    noun = column.removesuffix("_id")

    def make(rows: pd.DataFrame, seed: int) -> list[Fold]:  # noqa: ARG001  (nothing is random)
        values = text_of(rows, column) if plain else names_of(rows, column)
        different = sorted(set(values.tolist()))
        if len(different) < 2:
            raise SplitError(
                f"{len(different)} {column} in the manifest, expected 2 or more",
                where=f"leave_one_{noun}_out",
                code="too-few-groups",
                fix="use more recordings or another protocol",
            )
        return [fold_where(f"{noun} {v}", values == v) for v in different]

    return make


def kfold_of(column: str) -> _Make:
    """The values of a column are shuffled and dealt to n groups of nearly equal numbers of them."""
    noun = column.removesuffix("_id")

    def make(rows: pd.DataFrame, seed: int, n: int) -> list[Fold]:
        values = names_of(rows, column)
        groups = dealt(values, n, seed, where=f"{noun}_kfold", noun=noun)
        return [fold_where(f"{noun}s {' '.join(g)}", np.isin(values, g)) for g in groups]

    return make


def within_corpus(rows: pd.DataFrame, seed: int, n: int) -> list[Fold]:
    """In every corpus by itself the speakers are dealt to n groups; training is of that corpus."""
    values, corpora = names_of(rows, "speaker"), text_of(rows, "corpus")
    made = []
    for corpus in sorted(set(corpora.tolist())):
        here = corpora == corpus
        for group in dealt(values[here], n, seed, where=f"within_corpus, {corpus}", noun="speaker"):
            held = here & np.isin(values, group)
            made.append(fold_where(f"speakers {' '.join(group)}", held, here & ~held))
    return made


def dealt(values: _Names, n: int, seed: int, *, where: str, noun: str) -> list[list[str]]:
    """Shuffle the distinct values and deal them to n groups.

    Raises
    ------
    SplitError : fewer values than groups, or fewer than two groups.
    """
    different = np.unique(values)
    if not 2 <= n <= len(different):
        raise SplitError(
            f"n = {n} folds from {len(different)} {noun}s, expected 2 to {len(different)}",
            where=where,
            code="too-few-groups",
            fix="set n in the recipe's protocol",
        )
    order = np.random.default_rng(seed).permutation(len(different))
    return [sorted(different[order[i::n]].tolist()) for i in range(n)]


def speaker_and_text(
    rows: pd.DataFrame, seed: int, speaker_groups: int, text_groups: int
) -> list[Fold]:
    """Each group of speakers with each group of texts is the test set once.

    Training rows have neither; the rows that have one of the two are left out of the fold. 0
    groups: every speaker, or text, is a group of its own.
    """
    where = "speaker_and_text"
    speakers, texts = names_of(rows, "speaker"), names_of(rows, "text_id")
    by_speaker = dealt(
        speakers, speaker_groups or len(set(speakers)), seed, where=where, noun="speaker"
    )
    by_text = dealt(texts, text_groups or len(set(texts)), seed, where=where, noun="text")
    made = []
    for voices in by_speaker:
        for words in by_text:
            spoken, said = np.isin(speakers, voices), np.isin(texts, words)
            if (spoken & said).any():  # not everyone said everything
                name = f"speakers {' '.join(voices)}, texts {' '.join(words)}"
                made.append(fold_where(name, spoken & said, ~spoken & ~said))
    return made


def random_kfold(rows: pd.DataFrame, seed: int, n: int) -> list[Fold]:
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
        fold_where(f"part {i + 1:0{width}d}", np.isin(np.arange(len(rows)), part))
        for i, part in enumerate(np.array_split(order, n))
    ]


def predefined(rows: pd.DataFrame, seed: int, column: str) -> list[Fold]:  # noqa: ARG001
    """One fold, from the words of a column: train, test, and perhaps validation (or devel, dev)."""
    values = text_of(rows, column)
    strange = sorted(set(values.tolist()) - set(SIDES))
    side = np.array([SIDES.get(v, "") for v in values])
    for word in ("train", "test"):
        if word not in side:
            raise SplitError(
                f"no row has {word!r}, found {', '.join(sorted(set(values))[:5])}",
                where=f"column {column}",
                code="bad-split-column",
                fix="use predefined_folds for a column of folds" if strange else "",
            )
    if strange:
        raise SplitError(
            f"{strange[0]!r} is no side of a split, expected train, test or validation",
            where=f"column {column}",
            code="bad-split-column",
        )
    places = {word: np.flatnonzero(side == word) for word in ("train", "test", "validation")}
    return [Fold(f"{column} = test", **places)]


def predefined_folds(rows: pd.DataFrame, seed: int, column: str) -> list[Fold]:  # noqa: ARG001
    """Every value of a column is the test set once."""
    values = text_of(rows, column)
    different = sorted(set(values.tolist()))
    if len(different) < 2:
        raise SplitError(
            f"every row has {different[0]!r}, expected 2 or more folds",
            where=f"column {column}",
            code="too-few-groups",
        )
    return [fold_where(f"{column} = {v}", values == v) for v in different]


def held_out_speakers(rows: pd.DataFrame, seed: int, speakers: str) -> list[Fold]:  # noqa: ARG001
    """One fold: the rows of the speakers named, against all others."""
    values = names_of(rows, "speaker")
    wanted = _listed(speakers, set(values.tolist()), "speaker", where="held_out_speakers")
    return [fold_where(f"speakers {' '.join(wanted)}", np.isin(values, wanted))]


def cross_corpus(rows: pd.DataFrame, seed: int, train: str, test: str) -> list[Fold]:  # noqa: ARG001
    """One fold: train on some corpora, test on others."""
    values = text_of(rows, "corpus")
    known = set(values.tolist())
    a = _listed(train, known, "corpus", where="cross_corpus, train")
    b = _listed(test, known, "corpus", where="cross_corpus, test")
    if both := sorted(set(a) & set(b)):
        raise SplitError(
            f"{', '.join(both)} on both sides", where="cross_corpus", code="corpora-overlap"
        )
    name = f"{' + '.join(a)} -> {' + '.join(b)}"
    return [fold_where(name, np.isin(values, b), np.isin(values, a))]


def _listed(text: str, known: Collection[str], kind: str, *, where: str) -> list[str]:
    """Names from "a, b"; each must be known."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise SplitError(
            f"no {kind} is named",
            where=where,
            code="no-names",
            fix=f"name some of {', '.join(sorted(known)[:12])}, with commas between",
        )
    for name in names:
        if name not in known:
            raise did_you_mean(kind, name, known, where=where)
    return names
