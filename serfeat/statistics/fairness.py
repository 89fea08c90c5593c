"""Whom does a model serve worse: gaps between sexes, languages and speakers, and what noise does.

Conventions
-----------
* Groups are the values of a column (`sex`, `language`); clips whose cell is empty are left out and
  counted. The unit that is drawn is the speaker, within each group, and a group of one speaker has
  no interval: it says something of that person only.
* A gap is a difference of UARs over the classes that both groups have. Where the groups are other
  people (women and men), speakers are drawn within each group, and the interval is Welch's t; p
  comes from dealing the speakers to the groups anew. Where the same people are in both (two
  languages), people are drawn with all that they say, and p comes from exchanging their sides.
* Ten speakers never score the same, even if the model hears no difference between them: with 50
  clips each, chance alone spreads their UARs by several points. `speaker_spread` says by how much,
  so that a reader does not take noise for unfairness.
* With several seeds the counts of a clip are averaged. The noise is then that of one seed, which
  is an upper bound of that of the average: a spread is called too large too rarely, not too often.

Contents
--------
`group_scores`   : UAR of every group, with intervals.
`group_gaps`     : differences of UAR between groups.
`recall_gaps`    : the same of every class, with Holm's correction.
`speaker_spread` : worst and best speaker, and the spread against chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ManifestError
from serfeat.statistics.paired import clean_rows
from serfeat.statistics.paired_tests import holm
from serfeat.statistics.two_groups import Score, TwoGroups, share_of
from serfeat.stats import bootstrap_over_groups, speaker_counts
from serfeat.types import Floats

__all__ = ["group_gaps", "group_scores", "recall_gaps", "speaker_spread"]

NAN = float("nan")
KEYS = ["protocol", "entry"]


def group_scores(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    by: str = "sex",
    n: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score every group of speakers.

    Parameters
    ----------
    predictions : the predictions table; controls and noisy conditions are left out.
    labels : (C,) all classes.
    by : a column of the table.
    n, seed : replicates and seed of the bootstrap.

    Returns
    -------
    One row per protocol x entry x group: uar, uar_low, uar_high (95 %), war, n (clips), speakers,
    classes (in the truth), unknown (clips of the entry whose cell is empty). Empty where no clip
    has a group.

    Raises
    ------
    ManifestError : no such column.
    """
    rows = []
    for key, groups, unknown in _parts(predictions, by):
        for name, part in groups.items():
            speakers, counts = speaker_counts(part, labels=labels)
            total = counts.sum(axis=0)
            low, high = bootstrap_over_groups(counts, n=n, seed=seed)
            rows.append(
                {
                    **key,
                    "group": name,
                    "uar": float(metrics.uar_of(total)),
                    "uar_low": low,
                    "uar_high": high,
                    "war": float(np.trace(total) / total.sum()),
                    "n": _clips(part),
                    "speakers": len(speakers),
                    "classes": int((total.sum(axis=1) > 0).sum()),
                    "unknown": unknown,
                }
            )
    return pd.DataFrame(rows)


def group_gaps(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    by: str = "sex",
    n: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every pair of groups.

    Parameters and errors are those of `group_scores`.

    Returns
    -------
    One row per protocol x entry x pair: first, second, gap (UAR of the first minus the second, over
    the `classes` that both have), gap_low, gap_high (95 %), p (by permutation of speakers), p_holm
    (over all pairs of a protocol and entry), speakers_first, speakers_second, shared_speakers.
    """
    return _compared(predictions, labels, by, n, seed, {"": metrics.uar_of})


def recall_gaps(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    by: str = "sex",
    n: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare every pair of groups class by class.

    Parameters and errors are those of `group_scores`.

    Returns
    -------
    The columns of `group_gaps` and `label`; the gap is of the recall of that class, and p_holm is
    corrected over all classes and pairs of a protocol and entry.
    """
    return _compared(
        predictions, labels, by, n, seed, {x: _recall(i) for i, x in enumerate(labels)}
    )


def speaker_spread(
    predictions: pd.DataFrame, *, labels: Sequence[str], n: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Say how much speakers differ, beside how much they would differ by chance.

    Chance: every speaker keeps his clips, and each clip of a class is recognised with the recall
    that the class has over all speakers.

    Parameters
    ----------
    predictions, labels : as in `group_scores`.
    n : simulations.
    seed : of the generator.

    Returns
    -------
    One row per protocol x entry: speakers, worst, worst_uar, best, best_uar, sd (of the speakers'
    UARs, each over the classes that the speaker has), sd_chance (its mean if only chance were at
    work), sd_beyond (``sqrt(sd^2 - sd_chance^2)``, 0 where chance explains all), p (share of the
    simulations with such a spread or more), worst_chance (mean of the lowest UAR by chance),
    worst_p. NaN with fewer than two speakers.
    """
    rows = []
    for key, part in clean_rows(predictions).groupby(KEYS, sort=False, observed=True):
        speakers, counts = speaker_counts(part, labels=labels)
        counts = counts / max(part["seed"].nunique(), 1)
        rows.append(dict(zip(KEYS, key, strict=True)) | _spread(speakers, counts, n, seed))
    return pd.DataFrame(rows)


# --- speakers --------------------------------------------------------------------------------


def _spread(speakers: Sequence[str], counts: Floats, n: int, seed: int) -> dict[str, Any]:
    """Observed and simulated spread of (G, C, C) counts."""
    uar = metrics.uar_of(counts)
    worst, best = int(np.argmin(uar)), int(np.argmax(uar))
    found: dict[str, Any] = {
        "speakers": len(speakers),
        "worst": speakers[worst],
        "worst_uar": float(uar[worst]),
        "best": speakers[best],
        "best_uar": float(uar[best]),
    }
    names = ("sd", "sd_chance", "sd_beyond", "p", "worst_chance", "worst_p")
    if len(speakers) < 2:
        return found | dict.fromkeys(names, NAN)
    support = np.rint(counts.sum(axis=2)).astype(np.int64)  # (G, C) clips
    recall = np.nan_to_num(metrics.recalls_of(counts.sum(axis=0)))
    hits = np.random.default_rng(seed).binomial(support, recall, size=(n, *support.shape))
    share = np.divide(hits, support, out=np.full(hits.shape, np.nan), where=support > 0)
    simulated = np.nanmean(share, axis=2)  # (n, G)
    sds, sd = simulated.std(axis=1, ddof=1), float(uar.std(ddof=1))
    lowest = simulated.min(axis=1)
    expected = float(np.sqrt(np.mean(sds**2)))
    values = (
        sd,
        expected,
        float(np.sqrt(max(sd**2 - expected**2, 0.0))),
        share_of(sds >= sd - 1e-12),
        float(lowest.mean()),
        share_of(lowest <= uar[worst] + 1e-12),
    )
    return found | dict(zip(names, values, strict=True))


# --- groups ----------------------------------------------------------------------------------


def _recall(i: int) -> Score:
    return lambda counts: metrics.recalls_of(counts)[..., i]


def _compared(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    by: str,
    n: int,
    seed: int,
    scores: dict[str, Score],
) -> pd.DataFrame:
    """Every pair of groups by every score."""
    rows: list[dict[str, Any]] = []
    for key, groups, _ in _parts(predictions, by):
        mine = []
        for first, second in combinations(groups, 2):
            pair = TwoGroups.of(groups[first], groups[second], labels=labels)
            for label, score in scores.items():
                row = {**key, "first": first, "second": second}
                row |= {"label": label} if label else {}
                mine.append(row | pair.gap(score, n=n, seed=seed))
        for row, p in zip(mine, holm([r["p"] for r in mine]), strict=True):
            rows.append(row | {"p_holm": float(p)})
    return pd.DataFrame(rows)


def _parts(
    predictions: pd.DataFrame, by: str
) -> Iterator[tuple[dict[str, Any], dict[str, pd.DataFrame], int]]:
    """Key, groups and clips of no group of every protocol and entry."""
    if by not in predictions:
        raise ManifestError(
            f"the predictions have no column {by!r}",
            where="fairness",
            code=f"no-{by}",
            fix=f"add {by} to the manifest's rows",
        )
    for key, part in clean_rows(predictions).groupby(KEYS, sort=False, observed=True):
        value = part[by].fillna("").astype(str)
        names = sorted(set(value) - {""})
        groups = {name: part[(value == name).to_numpy()] for name in names}
        unknown = _clips(part[(value == "").to_numpy()])
        yield dict(zip(KEYS, key, strict=True)), groups, unknown


def _clips(part: pd.DataFrame) -> int:
    return len(part) // max(int(part["seed"].nunique()), 1)
