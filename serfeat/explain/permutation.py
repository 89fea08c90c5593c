"""Permutation importance of families of columns.

All columns of a family are exchanged between the test clips by one permutation of the rows, so that
they stay together as they were measured; the other columns stay where they are. What the UAR loses
is what the model had from the family, as long as the other columns cannot stand in for it.

Conventions
-----------
* The trained model is as it is; only its test rows are touched. Rows are permuted *within* a test
  fold: with one held-out speaker in it, this speaker's clips among themselves. What is lost is then
  what the family tells of the emotion of a known voice, not of who speaks.
* The same permutations serve all families, so that families differ by what they hold alone.
* Frames: clip i gets the family's columns from clip j, from the beginning, cut to clip i's length,
  or repeated from the beginning where j is shorter. Its own length, and with it what a network
  reads from the duration, stays. Undefined frames (NaN) travel with their column.
* Pooled over folds and seeds: the confusion counts of a speaker are added up, then UAR is taken, as
  in the leaderboard; several seeds are as in `serfeat.stats.speaker_counts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ManifestError, ModelError
from serfeat.sequences import Sequences
from serfeat.stats import bootstrap_over_groups
from serfeat.types import Floats, Ints

__all__ = ["exchanged", "importance", "permuted"]


def permuted(
    model: Any,
    X: Any,
    families: Mapping[str, Sequence[int]],
    *,
    repeats: int = 10,
    seed: int = 0,
) -> dict[str, list[Any]]:
    """Apply a model to its test rows with one family at a time exchanged between the rows.

    Parameters
    ----------
    model : fitted, with ``predict(X)``.
    X : (n, k) or `Sequences`: the test rows of a fold.
    families : name -> places of its columns, see `serfeat.families.families`.
    repeats : permutations of the rows.
    seed : of the permutations.

    Returns
    -------
    Family -> for each repeat the n predictions; under ``""`` those of the rows as they are, once.

    Raises
    ------
    ModelError : no repeats.
    """
    if repeats < 1:
        raise ModelError(f"{repeats} repeats, expected 1 or more", code="bad-parameter")
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(X)) for _ in range(repeats)]
    said: dict[str, list[Any]] = {"": [np.asarray(model.predict(X))]}
    for family, places in families.items():
        said[family] = [_predicted(model, X, list(places), order) for order in orders]
    return said


def _predicted(model: Any, X: Any, places: Sequence[int], order: Ints) -> Any:
    """What a model says of exchanged rows; clips that are too many for the memory, in blocks."""
    if not (isinstance(X, Sequences) and X.large):
        return np.asarray(model.predict(exchanged(X, places, order)))
    said, first = [], 0
    for block in X.blocks():
        rows = np.arange(first, first + len(block))
        said.append(np.asarray(model.predict(_with_columns_of(X, places, rows, order[rows]))))
        first += len(block)
    return np.concatenate(said)


def exchanged(X: Any, places: Sequence[int], order: Ints) -> Any:
    """Give every row the columns `places` of another.

    Parameters
    ----------
    X : (n, k) or `Sequences`; is not changed.
    places : of the columns.
    order : (n,) row i gets those of row ``order[i]``.
    """
    if not isinstance(X, Sequences):
        values = np.array(X)
        values[:, places] = values[order][:, places]
        return values
    return _with_columns_of(X, places, np.arange(len(order)), order)


def _with_columns_of(X: Sequences, places: Sequence[int], rows: Ints, others: Ints) -> Sequences:
    """Some clips, each with the columns `places` of another."""
    clips = []
    for i, j in zip(rows, others, strict=True):
        clip, other = np.array(X[int(i)]), X[int(j)]
        frames = np.arange(len(clip)) % len(other)
        clip[:, places] = other[frames][:, places]
        clips.append(clip)
    return Sequences.of(clips)


def importance(
    table: pd.DataFrame,
    *,
    labels: Sequence[str] = (),
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Say how much worse the predictions are without what each family tells.

    Parameters
    ----------
    table : the table ``importance`` of a run (see `serfeat.explain`), of one or several entries.
    labels : (C,) all classes; of numbers, none.
    n, seed, level : of the bootstrap over speakers.

    Returns
    -------
    One row per entry x protocol x family, the largest drop first: entry, protocol, family, score
    (UAR, or CCC of numbers, of the rows as they are), drop (what it loses, mean over the repeats),
    low, high (interval of the drop), groups (speakers).

    Raises
    ------
    ManifestError : the table lacks the rows as they are, or has other clips for some family.
    """
    keys = ["entry", "protocol"]
    rows = []
    for key, part in table.groupby(keys, sort=False, observed=True):
        counts = _counts(part, labels) if len(labels) else _moments(part)
        score = metrics.uar_of if len(labels) else _ccc_of
        plain = counts.pop("")
        for family, each in counts.items():
            units = np.concatenate([plain, each], axis=1)  # (speakers, 1 + repeats, ...)

            def drop(drawn: Floats, score: Any = score) -> Floats:
                scores = score(drawn)  # (replicates, 1 + repeats)
                return np.asarray(scores[:, 0] - scores[:, 1:].mean(axis=1))

            low, high = bootstrap_over_groups(
                units, statistic=drop, n=n, seed=seed, level=level, method="t"
            )
            total = units.sum(axis=0, keepdims=True)
            rows.append(
                dict(zip(keys, key, strict=True))
                | {"family": family, "score": float(score(total)[0, 0])}
                | {"drop": float(drop(total)[0]), "low": low, "high": high, "groups": len(units)}
            )
    columns = [*keys, "family", "score", "drop", "low", "high", "groups"]
    made = pd.DataFrame(rows, columns=columns)
    return made.sort_values(
        [*keys, "drop"], ascending=[True, True, False], ignore_index=True, kind="stable"
    )


def _counts(part: pd.DataFrame, labels: Sequence[str]) -> dict[str, Floats]:
    """Family -> (speakers, repeats, C, C) confusion counts, added up over folds and seeds."""
    size = len(labels)
    cell = metrics.label_codes(list(part["truth"]), labels) * size + metrics.label_codes(
        list(part["prediction"]), labels
    )
    one_hot = (cell, part["n"].to_numpy(dtype=np.float64))
    made = _summed(part, size * size, lambda out, at: np.add.at(out, (*at, one_hot[0]), one_hot[1]))
    return {family: c.reshape(*c.shape[:2], size, size) for family, c in made.items()}


def _moments(part: pd.DataFrame) -> dict[str, Floats]:
    """Family -> (speakers, repeats, 6) sums that the CCC is made of: n, t, p, tt, pp, tp."""
    t, p, n = (part[c].to_numpy(dtype=np.float64) for c in ("truth", "prediction", "n"))
    sums = np.stack([n, n * t, n * p, n * t * t, n * p * p, n * t * p], axis=1)
    return _summed(part, 6, lambda out, at: np.add.at(out, at, sums))


def _summed(part: pd.DataFrame, width: int, add: Any) -> dict[str, Floats]:
    """Add rows up by family, speaker and repeat; what every family has must be the same clips."""
    families, names = pd.factorize(part["family"])
    speakers, who = pd.factorize(part["speaker"], sort=True)
    repeat = part["repeat"].to_numpy(dtype=np.int64)
    out = np.zeros((len(names), len(who), repeat.max(initial=0) + 1, width))
    add(out, (families, speakers, repeat))
    clips = np.zeros(out.shape[:3])
    np.add.at(clips, (families, speakers, repeat), part["n"].to_numpy(dtype=np.float64))
    if "" not in names:
        raise ManifestError(
            "the importance table lacks the predictions on the rows as they are",
            code="no-rows",
        )
    plain = list(names).index("")
    wrong = (clips[:, :, :] != clips[plain, :, :1]).any(axis=1)  # (families, repeats)
    wrong[plain, 1:] = False
    if wrong.any():
        family, r = np.argwhere(wrong)[0]
        raise ManifestError(
            f"family {names[family]}, repeat {r} has other clips than the rows as they are",
            code="rows-differ",
        )
    return {str(name): out[i, :, :1] if i == plain else out[i] for i, name in enumerate(names)}


def _ccc_of(sums: Floats) -> Floats:
    """(...) concordance correlation from (..., 6) sums; NaN of constants and of nothing."""
    n, t, p, tt, pp, tp = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        below = (tt - t * t / n) + (pp - p * p / n) + (t - p) ** 2 / n
        return np.asarray(2 * (tp - t * p / n) / below)
