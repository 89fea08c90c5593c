"""Checks of what was chosen, and on what: the epoch, the parameters, the normalisation.

A choice made on the test fold is training on it. It shows in the settings, in a "validation" score
that equals the test score in every fold, in a choice that is not the best by the inner score, and
in many variants of one entry of which a reader will quote the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from serfeat.lint.evidence import Evidence, Trace, listed
from serfeat.metrics import confusion, uar_of
from serfeat.normalisation import MOST_TAU, coverage

__all__ = [
    "epoch_on_test",
    "many_variants",
    "normalised_speakers",
    "speakers_lack_labels",
    "tuning_on_test",
]

FOLD = ["entry", "protocol", "fold", "seed"]
FOLDS = 3  # that agree to the last digit: no longer chance
EXACT = 1e-9
VARIANTS = 4  # of one model on one feature set, of which the best will be quoted


def epoch_on_test(e: Evidence) -> Iterable[Trace]:
    """An epoch chosen by the test fold's score."""
    declared = [c.name for c in e.contenders if c.selection == "test_oracle"]
    if declared:
        yield Trace(listed(declared), "selection = test_oracle")
    if e.history is None or e.history.empty:
        return
    watched = [c for c in e.history.columns if "test" in str(c) and "loss" not in str(c)]
    for column in watched:
        yield from _watched(e.history, str(column))
    if e.predictions is not None and "validation_uar" in e.history:
        best = e.history.groupby(FOLD, sort=False)["validation_uar"].max().dropna()
        for entry, folds in _equal(best, e.predictions):
            if not any(entry.startswith(name) for name in declared):
                yield Trace(
                    entry,
                    f"the best validation score is the test score, to the last digit, in all "
                    f"{folds} folds",
                )


def _watched(history: pd.DataFrame, column: str) -> Iterator[Trace]:
    """Test scores of every epoch, and whether the chosen one is their best."""
    for entry, mine in history.groupby("entry", sort=False):
        if not mine[column].notna().any():
            continue
        folds = [f for _, f in mine.groupby(["protocol", "fold", "seed"], sort=False)]
        chosen = [f[f["chosen"].astype(bool)] if "chosen" in f else f.tail(1) for f in folds]
        best = [
            len(c) == 1 and c[column].iloc[0] >= f[column].max() - EXACT
            for c, f in zip(chosen, folds, strict=True)
        ]
        if len(best) >= FOLDS and all(best):
            words = f"the kept epoch has the best {column} in all {len(best)} folds"
            yield Trace(str(entry), words)
        else:
            yield Trace(str(entry), f"{column} was computed after every epoch", "warning")


def _test_scores(predictions: pd.DataFrame) -> pd.Series:
    """UAR of every entry, protocol, fold and seed on the clean test clips; empty for numbers."""
    table = predictions[~predictions["control"].astype(bool)]
    if "condition" in table:
        table = table[table["condition"] == "clean"]
    if table.empty or pd.api.types.is_float_dtype(table["truth"]):
        return pd.Series(dtype="float64")
    labels = sorted(set(table["truth"].astype(str)) | set(table["prediction"].astype(str)))

    def score(part: pd.DataFrame) -> float:
        counts = confusion(list(part["truth"]), list(part["prediction"]), labels)
        return float(uar_of(counts))

    scores = {key: score(part) for key, part in table.groupby(FOLD, sort=False, observed=True)}
    index = pd.MultiIndex.from_tuples(list(scores), names=FOLD)
    return pd.Series(list(scores.values()), index, dtype="float64")


def _equal(inner: pd.Series, predictions: pd.DataFrame) -> Iterator[tuple[str, int]]:
    """Entries whose inner score is the test score in every fold, and in how many."""
    outer = _test_scores(predictions)
    if outer.empty or inner.empty:
        return
    both = pd.concat([inner.rename("inner"), outer.rename("outer")], axis=1).dropna()
    for (entry, _), mine in both.groupby(level=["entry", "protocol"], sort=False):
        same = np.abs(mine["inner"] - mine["outer"]) < EXACT
        # Ceilings agree by themselves.
        if len(mine) >= FOLDS and same.all() and np.ptp(mine["outer"]) > 0:
            yield str(entry), len(mine)


def tuning_on_test(e: Evidence) -> Iterable[Trace]:
    """Parameters that were not chosen by a score of the training side."""
    tuning = e.tuning
    if tuning is None or tuning.empty:
        return
    for entry, mine in tuning.groupby("entry", sort=False):
        chosen = mine[mine["chosen"].astype(bool)]
        if chosen.empty or chosen["inner_score"].isna().any():
            yield Trace(str(entry), "chosen parameters without an inner score")
            continue
        folds = mine.groupby(["protocol", "fold", "seed"], sort=False)
        best = folds["inner_score"].max()
        kept = chosen.groupby(["protocol", "fold", "seed"], sort=False)["inner_score"].max()
        worse = int((kept < best.reindex(kept.index) - EXACT).sum())
        if worse:
            yield Trace(
                str(entry),
                f"in {worse} of {len(kept)} folds the chosen parameters are not the best by the "
                "inner score: something else chose them",
            )
        for protocol, part in mine.groupby("protocol", sort=False):
            if _once_for_all(part):
                yield Trace(
                    f"{entry}, {protocol}",
                    "every fold has the same inner scores: they were searched once, on all rows",
                )
    if e.predictions is not None:
        chosen = tuning[tuning["chosen"].astype(bool)]
        inner = chosen.groupby(FOLD, sort=False)["inner_score"].max().dropna()
        for entry, n in _equal(inner, e.predictions):
            yield Trace(
                entry, f"the inner score is the test score, to the last digit, in all {n} folds"
            )


def _once_for_all(part: pd.DataFrame) -> bool:
    """Whether all folds of an entry have the same inner scores in the same order of trials."""
    scores = [
        tuple(f.sort_values("trial")["inner_score"].round(12)) for _, f in part.groupby("fold")
    ]
    return len(scores) >= FOLDS and len(set(scores)) == 1 and len(set(scores[0])) > 1


def many_variants(e: Evidence) -> Iterable[Trace]:
    """Entries that differ in their parameters only: the best of them is chosen on the test."""
    groups: dict[tuple[str, str], list[str]] = {}
    for c in e.contenders:
        if not c.tuned:
            groups.setdefault((c.model, c.features), []).append(c.name)
    for (model, features), names in groups.items():
        if len(names) >= VARIANTS:
            yield Trace(
                listed(names), f"{len(names)} variants of {model} on {features} side by side"
            )


def normalised_speakers(e: Evidence) -> Iterable[Trace]:
    """Entries normalised per speaker: a test speaker's other clips are used, without labels."""
    names = [c.name for c in e.contenders if c.normalisation == "speaker"]
    if names:
        yield Trace(listed(names), "normalisation = speaker")


def speakers_lack_labels(e: Evidence) -> Iterable[Trace]:
    """Per-speaker normalisation where a speaker's clips do not cover the labels."""
    names = [c.name for c in e.contenders if c.normalisation == "speaker"]
    if not names or len(e.labels) < 2:
        return
    if (e.text("speaker") == "").any():
        yield Trace(listed(names), "speakers are not known of every clip")
        return
    found = coverage(e.rows, e.labels)
    if found.tau > MOST_TAU:
        yield Trace(listed(names), found.words.rstrip("."))
    elif found.one_emotion:
        yield Trace(listed(names), f"{listed(found.one_emotion)} have one emotion only")
