"""The cross-corpus matrix: trained on the row's corpus, tested on the column's.

Conventions
-----------
What a model was trained on is read from the folds and the rows, never from a protocol's name: a
fold belongs to the corpora (or languages) of its training rows, a prediction to that of its clip.
So the diagonal is whatever was trained and tested within one corpus; whether its speakers were
kept apart is counted (`shared_speakers`) and not believed.

A setting is one of

``within``  : trained on the corpus that it is tested on, and on no other.
``cross``   : trained on one other.
``others``  : trained on several others (leave one corpus out).
``mixed``   : trained on the corpus itself and on others.

The intervals are over the speakers of the test corpus: they say how the score may move with other
speakers of that corpus, and nothing of another corpus.

Contents
--------
`trained_on`   : folds and rows -> what each fold was trained on.
`cross_matrix` : predictions -> one row per entry, training and test corpus, with intervals.
`grid`         : the same of one entry as rows and columns, for a figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ManifestError
from serfeat.statistics.paired import clean_rows, paired_gap, same_clips
from serfeat.stats import bootstrap_over_groups, speaker_counts

__all__ = ["cross_matrix", "grid", "trained_on"]

JOINED = " + "
NAN = float("nan")
SETTINGS = ("within", "cross", "others", "mixed")


def trained_on(
    folds: Mapping[str, Sequence[Mapping[str, Any]]], rows: pd.DataFrame, *, by: str = "corpus"
) -> pd.DataFrame:
    """Say of every fold what it was trained on.

    Parameters
    ----------
    folds : protocol -> folds with ``name``, ``train`` and ``test`` (row numbers), as
        ``folds.json`` holds them.
    rows : one row per clip, in row-number order, with corpus and speaker (``rows.parquet``).
    by : the column that tells corpora apart, or "language".

    Returns
    -------
    protocol, fold, train (the values of the training rows, " + " between them), shared_speakers
    (how many speakers are on both sides).

    Raises
    ------
    ManifestError : no such column, or empty cells in it.
    """
    if by not in rows or (rows[by].astype(str) == "").any():
        raise ManifestError(
            f"a matrix by {by} needs it of every row", where="cross-corpus matrix", code=f"no-{by}"
        )
    value = rows[by].astype(str).to_numpy(dtype=object)
    speaker = metrics.speaker_key(rows).to_numpy(dtype=object)
    found = []
    for protocol, made in folds.items():
        for fold in made:
            train, test = np.asarray(fold["train"], int), np.asarray(fold["test"], int)
            found.append(
                {
                    "protocol": protocol,
                    "fold": fold["name"],
                    "train": JOINED.join(sorted(set(value[train]))),
                    "shared_speakers": len(set(speaker[train]) & set(speaker[test])),
                }
            )
    return pd.DataFrame(found, columns=["protocol", "fold", "train", "shared_speakers"])


def cross_matrix(
    predictions: pd.DataFrame,
    trained: pd.DataFrame,
    *,
    labels: Sequence[str],
    by: str = "corpus",
    n: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score every pair of training and test corpora.

    Parameters
    ----------
    predictions : the predictions table; controls and noisy conditions are left out.
    trained : of `trained_on`.
    labels : (C,) all classes.
    by : as in `trained_on`.
    n, seed : replicates and seed of the bootstrap.

    Returns
    -------
    One row per entry x protocol x training x test corpus: setting (see the module), uar, uar_low,
    uar_high (95 %, over the speakers of the test corpus), gap (UAR minus that within the test
    corpus, on the same clips), gap_low, gap_high, gap_p (NaN where there is no ``within`` of the
    same clips), n (clips), speakers, classes (in the truth), chance (1 / classes),
    shared_speakers (the most of any fold).
    """
    columns = ["protocol", "fold", "train", "shared_speakers"]
    rows = clean_rows(predictions).merge(trained[columns], on=["protocol", "fold"], how="inner")
    rows = rows.assign(_test=rows[by].astype(str))
    keys = ["entry", "protocol", "train", "_test"]
    parts = dict(iter(rows.groupby(keys, sort=False, observed=True)))
    within: dict[tuple[Any, Any], list[pd.DataFrame]] = {}
    for (entry, _, train, test), part in parts.items():
        if train == test:
            within.setdefault((entry, test), []).append(part)
    out = []
    for (entry, protocol, train, test), part in parts.items():
        setting = _setting(train.split(JOINED), test)
        row = {"entry": entry, "protocol": protocol, "train": train, "test": test}
        row |= {"setting": setting} | _scored(part, labels, n, seed)
        at_home = [] if setting == "within" else within.get((entry, test), [])
        row |= _gap(part, at_home, labels, n, seed)
        out.append(row | {"shared_speakers": int(part["shared_speakers"].max())})
    return pd.DataFrame(out)


def grid(matrix: pd.DataFrame, entry: str, *, value: str = "uar") -> pd.DataFrame:
    """One entry's matrix: a row per training corpus, a column per test corpus.

    Parameters
    ----------
    matrix : of `cross_matrix`.
    entry : its name.
    value : the column that stands in the cells.

    Returns
    -------
    Index: the single corpora, then "all others" (leave one out) and "all" (mixed), if there are
    any; NaN where nothing was run. Of two protocols for one cell the first stands.
    """
    mine = matrix[(matrix["entry"] == entry).to_numpy()]
    words = {"others": "all others", "mixed": "all"}
    train = [words.get(s, t) for s, t in zip(mine["setting"], mine["train"], strict=True)]
    table = mine.assign(train=train).drop_duplicates(["train", "test"])
    single = sorted(set(table["train"]) - set(words.values()))
    order = [*single, *(w for w in words.values() if w in train)]
    wide = table.pivot(index="train", columns="test", values=value)  # noqa: PD010
    # The same order both ways: the diagonal is a diagonal.
    tested = set(table["test"])
    columns = [c for c in single if c in tested] + sorted(tested - set(single))
    return wide.reindex(index=order, columns=columns).astype("float64")


def _setting(train: Sequence[str], test: str) -> str:
    if test in train:
        return "within" if len(train) == 1 else "mixed"
    return "cross" if len(train) == 1 else "others"


def _scored(part: pd.DataFrame, labels: Sequence[str], n: int, seed: int) -> dict[str, Any]:
    speakers, counts = speaker_counts(part, labels=labels)
    low, high = bootstrap_over_groups(counts, n=n, seed=seed)
    total = counts.sum(axis=0)
    classes = int((total.sum(axis=1) > 0).sum())
    return {
        "uar": float(metrics.uar_of(total)),
        "uar_low": low,
        "uar_high": high,
        "n": len(part) // max(part["seed"].nunique(), 1),
        "speakers": len(speakers),
        "classes": classes,
        "chance": 1 / classes,
    }


def _gap(
    part: pd.DataFrame, at_home: Sequence[pd.DataFrame], labels: Sequence[str], n: int, seed: int
) -> dict[str, float]:
    """What it costs (or brings) not to have been trained within the test corpus alone."""
    for home in at_home:
        if same_clips(part, home):
            d = paired_gap(part, home, labels=labels, n=n, seed=seed)
            return {"gap": d.difference, "gap_low": d.low, "gap_high": d.high, "gap_p": d.p}
    return {"gap": NAN, "gap_low": NAN, "gap_high": NAN, "gap_p": NAN}
