"""Intervals and paired differences, with the speaker as the unit that is drawn.

Clips of one speaker resemble each other, so an interval that resamples clips is too narrow: it
speaks of these speakers only. Everything here resamples whole speakers, and what it says is about
other speakers recorded like these. It does not include the chance of training (use several seeds)
nor that of the corpus (use several corpora).

Which interval
--------------
Simulated with speakers of differing skill (normal on the logit scale, sd 0.5 to 1, plus one half
of that for each speaker and class), 3 to 8 clips per class, 4 to 8 classes, UAR .5 to .9, 1500
corpora a case, 500 replicates; how often a nominal 95 % interval covers the true UAR:

====================================  ===========  ===========  ==========
interval                              10 speakers  24 speakers  4 speakers
====================================  ===========  ===========  ==========
percentiles of the bootstrap          87 to 90 %   92 %         77 to 80 %
BCa                                   88 to 90 %   92 %         78 %
bootstrap standard error, t           93 to 95 %   94 %         93 %
the same on the logit scale (ours)    94 to 96 %   95 %         95 %
====================================  ===========  ===========  ==========

So percentiles are too narrow for the 4 to 24 speakers of acted corpora, and BCa does not help.
The default is therefore: resample speakers, take the standard deviation of the replicates times
``sqrt(G / (G - 1))`` (G speakers; the bootstrap's own standard error is that much too small), and
put Student's t with G - 1 degrees of freedom around the score on the logit scale, which keeps the
interval inside 0..1. Differences use the same without the logit: of two equally good entries
whose speaker effects correlate by .7, the interval excluded 0 in 4.7 to 5.7 % of the corpora.
`tests/test_stats.py` repeats a small version of the simulation.

Contents
--------
`bootstrap_over_groups` : interval of any statistic of summable counts.
`speaker_counts`        : predictions -> one confusion matrix per speaker.
`paired_difference`     : UAR of one entry minus another's on the same clips, with interval.
`protocol_gap`          : UAR of entries under one protocol minus another, with interval.
`drawn_sums` `standard_error` `student_p` `difference_of` : the steps, for other statistics.

Sources
-------
Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapters 12 to 14. Hesterberg,
"What teachers should know about the bootstrap", The American Statistician 69, 2015 (narrowness
with few units). Field and Welsh, "Bootstrapping clustered data", JRSS B 69, 2007.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit, stdtr, stdtrit

from serfeat import metrics
from serfeat.errors import ManifestError, ModelError
from serfeat.types import Floats

__all__ = [
    "Difference",
    "bootstrap_over_groups",
    "clean_rows",
    "clips_said",
    "difference_of",
    "drawn_sums",
    "paired_difference",
    "protocol_gap",
    "speaker_counts",
    "standard_error",
    "student_p",
]

Statistic = Callable[[Floats], Floats]
Method = Literal["logit", "t", "percentile"]
Cell = tuple[str, str]  # (entry, protocol)


@dataclass(frozen=True)
class Difference:
    """A difference of two scores and what is known about it.

    Parameters
    ----------
    difference : first minus second, -1..1.
    low, high : ends of the interval; NaN if it cannot be computed.
    groups : speakers that were resampled.
    p : two-sided p of "the two are equally good", of the same t as the interval: below .05 where a
        95 % interval excludes 0. For one pair only; many pairs need
        `serfeat.statistics.significance`.
    """

    difference: float
    low: float
    high: float
    groups: int
    p: float = float("nan")

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0 (False if there is none)."""
        return self.low > 0 or self.high < 0


def bootstrap_over_groups(
    counts: ArrayLike,
    groups: Sequence[object] | None = None,
    *,
    statistic: Statistic = metrics.uar_of,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    method: Method = "logit",
) -> tuple[float, float]:
    """Interval of a statistic when whole groups (speakers) are drawn anew.

    Parameters
    ----------
    counts : (m, ...) sufficient counts that may be added up, e.g. one confusion matrix a row.
    groups : (m,) group of each row; default: every row is a group.
    statistic : ``(replicates, ...) -> (replicates,)``, of counts summed over the drawn groups.
    n : replicates.
    seed : of the generator; the same seed and input give the same interval.
    level : nominal coverage.
    method : ``"logit"`` for scores in 0..1, ``"t"`` for differences (see the module), or
        ``"percentile"``, which is too narrow below about 50 groups, to compare with papers.

    Returns
    -------
    (low, high); NaN with fewer than 2 groups, or where no replicate differs from the others (a
    perfect score on every speaker): then the data do not say how uncertain the score is.
    """
    units = _summed(np.asarray(counts, dtype=np.float64), groups)
    size = len(units)
    if size < 2:
        return float("nan"), float("nan")
    replicates = statistic(drawn_sums(units, n=n, seed=seed))
    score = float(statistic(units.sum(axis=0, keepdims=True))[0])
    error = standard_error(replicates, size)
    if not np.isfinite(score) or not np.isfinite(error):
        return float("nan"), float("nan")
    if method == "percentile":
        low, high = np.nanquantile(replicates, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)
    reach = float(stdtrit(size - 1, (1 + level) / 2)) * error
    if method == "t" or not 0 < score < 1:
        return score - reach, score + reach
    # Delta method: d logit(p) = dp / (p (1 - p)).
    centre, reach = float(logit(score)), reach / (score * (1 - score))
    return float(expit(centre - reach)), float(expit(centre + reach))


def drawn_sums(units: Floats, *, n: int, seed: int) -> Floats:
    """Draw as many groups as there are, with replacement, and add up their counts.

    Parameters
    ----------
    units : (G, ...) counts, one row per group.
    n, seed : replicates, and seed of the generator; the same seed and G draw the same groups
        whatever is counted, so that several statistics of one draw belong together.

    Returns
    -------
    (n, ...) sums.
    """
    size = len(units)
    draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=n)
    return (draws.astype(np.float64) @ units.reshape(size, -1)).reshape(n, *units.shape[1:])


def standard_error(replicates: Floats, size: int) -> float:
    """Standard error of a statistic from bootstrap replicates over `size` groups.

    The replicates' own standard deviation is ``sqrt((G - 1) / G)`` of it (see the module). NaN if
    it cannot be known: fewer than 2 groups or finite replicates, or no two that differ.
    """
    finite = replicates[np.isfinite(replicates)]
    # Replicates of equal counts may differ in the last bit; that is no information either.
    if size < 2 or len(finite) < 2 or np.ptp(finite) < 1e-12:
        return float("nan")
    return float(finite.std(ddof=1)) * float((size / (size - 1)) ** 0.5)


def student_p(score: float, error: float, freedom: int) -> float:
    """Two-sided p of Student's t = score / error; NaN without an error."""
    return float(2 * stdtr(freedom, -abs(score / error))) if error > 0 else float("nan")


def _summed(counts: Floats, groups: Sequence[object] | None) -> Floats:
    """(G, ...) counts added up within each group."""
    if groups is None:
        return counts
    if len(groups) != len(counts):
        raise ModelError(
            f"{len(counts)} rows of counts but {len(groups)} groups", code="length-mismatch"
        )
    code, names = pd.factorize(np.asarray([str(g) for g in groups], dtype=object))
    units = np.zeros((len(names), *counts.shape[1:]))
    np.add.at(units, code, counts)
    return units


def speaker_counts(predictions: pd.DataFrame, *, labels: Sequence[str]) -> tuple[list[str], Floats]:
    """One confusion matrix per speaker.

    Parameters
    ----------
    predictions : rows of corpus, speaker, truth, prediction.
    labels : (C,) all classes.

    Returns
    -------
    speakers (G,) sorted, counts (G, C, C). With several seeds the counts add up, so that their UAR
    is the mean of the seeds' UARs.
    """
    code, names = pd.factorize(metrics.speaker_key(predictions), sort=True)
    size, classes = len(names), len(labels)
    # The truth paired with its speaker is one confusion matrix of all speakers, stacked.
    truth = metrics.label_codes(list(predictions["truth"]), labels) + classes * code
    place = truth * classes + metrics.label_codes(list(predictions["prediction"]), labels)
    flat = np.bincount(place, minlength=size * classes * classes).astype(np.float64)
    return [str(name) for name in names], flat.reshape(size, classes, classes)


# --- paired differences ----------------------------------------------------------------------


def paired_difference(
    predictions: pd.DataFrame,
    a: str,
    b: str,
    protocol: str,
    *,
    labels: Sequence[str],
    n: int = 1000,
    seed: int = 0,
) -> Difference:
    """UAR of entry `a` minus that of entry `b` on the same clips of one protocol.

    The same speakers are drawn for both in every replicate, so what is hard for both cancels out.

    Parameters
    ----------
    predictions : the predictions table; control rows are left out.
    a, b : names of entries.
    protocol : key of the protocol.
    labels : (C,) all classes.
    n, seed : replicates and seed of the bootstrap.

    Raises
    ------
    ManifestError : the two were not tested on the same clips.
    """
    return _paired(predictions, [((a, protocol), (b, protocol))], labels, n, seed)


def protocol_gap(
    predictions: pd.DataFrame,
    entries: Sequence[str],
    first: str,
    second: str,
    *,
    labels: Sequence[str],
    n: int = 1000,
    seed: int = 0,
) -> Difference:
    """UAR under protocol `first` minus protocol `second`, mean over `entries`, with interval.

    With random folds first and held-out speakers second it is what knowing the speaker is worth:
    the part of a published score that will not come back with new voices.

    Parameters and errors are those of `paired_difference`.
    """
    pairs = [((entry, first), (entry, second)) for entry in entries]
    return _paired(predictions, pairs, labels, n, seed)


def _paired(
    predictions: pd.DataFrame,
    pairs: Sequence[tuple[Cell, Cell]],
    labels: Sequence[str],
    n: int,
    seed: int,
) -> Difference:
    """Mean over `pairs` of UAR(first) - UAR(second), speakers drawn once for all of them."""
    cells = [cell for pair in pairs for cell in pair]
    rows = [_rows_of(predictions, cell) for cell in cells]
    clips = [clips_said(r) for r in rows]
    for cell, mine in zip(cells, clips, strict=True):
        if mine != clips[0]:
            raise ManifestError(
                f"{cell[0]} under {cell[1]} was tested on {len(mine)} clips, "
                f"{cells[0][0]} under {cells[0][1]} on {len(clips[0])} that are not the same",
                code="rows-differ",
                fix="compare entries on the same rows",
            )
    each = [speaker_counts(r, labels=labels)[1] for r in rows]  # equal clips: equal speakers
    counts = np.stack(each, axis=1).reshape(len(each[0]), len(pairs), 2, *each[0].shape[1:])

    def difference(drawn: Floats) -> Floats:
        u = metrics.uar_of(drawn)  # (replicates, pairs, 2)
        return np.asarray((u[..., 0] - u[..., 1]).mean(axis=-1))

    value = float(difference(counts.sum(axis=0, keepdims=True))[0])
    error = standard_error(difference(drawn_sums(counts, n=n, seed=seed)), len(counts))
    return difference_of(value, error, len(counts))


def difference_of(value: float, error: float, groups: int, *, level: float = 0.95) -> Difference:
    """A difference from its standard error: t interval (within -1..1) and p, both on G - 1."""
    if not error > 0:  # not known, or NaN
        nan = float("nan")
        return Difference(value, nan, nan, groups)
    reach = float(stdtrit(groups - 1, (1 + level) / 2)) * error
    low, high = max(value - reach, -1.0), min(value + reach, 1.0)
    return Difference(value, low, high, groups, student_p(value, error, groups - 1))


def _rows_of(predictions: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """Rows of one cell; with noise at test time (a column `condition`) only the clean ones."""
    entry, protocol = cell
    mine = (predictions["entry"] == entry) & (predictions["protocol"] == protocol)
    rows = clean_rows(predictions[mine.to_numpy()])
    if rows.empty:
        raise ManifestError(f"no predictions of {entry} under {protocol}", code="no-rows")
    return rows


def clean_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of undisturbed clips by models that were trained on true labels."""
    keep = ~predictions["control"].astype(bool)
    if "condition" in predictions:
        keep &= predictions["condition"] == "clean"
    return predictions[keep.to_numpy()]


def clips_said(rows: pd.DataFrame) -> set[tuple[object, ...]]:
    """The clips of a table of predictions, each once: corpus, file, speaker, truth, start, end."""
    # Lists of text are much quicker here than an index of pandas: the tables are many and small.
    words = [rows[name].astype(str).tolist() for name in ("corpus", "file", "speaker", "truth")]
    # Times as integers: NaT is not equal to itself.
    times = [
        rows[name].astype("timedelta64[ns]").to_numpy().view(np.int64).tolist()
        for name in ("start", "end")
    ]
    return set(zip(*words, *times, strict=True))
