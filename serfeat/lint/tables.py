"""Checks of feature tables: was anything fitted on all rows before they were divided?

A table has one value per row for all folds, so whatever was fitted to make it (a scaler, an
imputer, a selection, a projection, new rows against imbalance) has seen the test rows. Such a fit
leaves a trace that is exact over all rows and over no training side: means of 0 and standard
deviations of 1, a value that is the mean of all the others, columns that are the best on all rows,
rows on the line between two others. The traces are looked for to the rounding of float32 and of
six digits in a CSV.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from serfeat.lint.evidence import Evidence, Trace, listed
from serfeat.types import Bools, Floats, Ints

__all__ = [
    "balanced",
    "equal_rows",
    "imputed",
    "normalised_per_speaker",
    "normalised_with_labels",
    "projected",
    "scaled",
    "selected",
]

ROUNDING = 2e-4  # of a mean or standard deviation, in units of the standard deviation
MOST = 0.9  # of the columns: a constant column or two show nothing
ENOUGH_ROWS = 20
WIDTH = 64  # columns that rows are compared by
MANY_ROWS = 5_000  # beyond, distances between all rows take too long; equality is still seen


def _varying(X: Floats) -> Floats:
    """(n, <= k) the columns that have values and vary."""
    with np.errstate(invalid="ignore"):
        low, high = np.nanmin(X, axis=0, initial=np.inf), np.nanmax(X, axis=0, initial=-np.inf)
    return X[:, high > low]


def _moments(X: Floats) -> tuple[Floats, Floats]:
    """(k,) means and standard deviations, NaN left out."""
    known = np.isfinite(X)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, X, 0.0).sum(axis=0) / n
    deviation = np.where(known, X - mean, 0.0)
    return mean, np.sqrt((deviation**2).sum(axis=0) / n)


def _is_standard(X: Floats) -> Bools:
    """(k,) whether a column has mean 0 and standard deviation 1 (n or n - 1)."""
    mean, sd = _moments(X)
    n = np.maximum(np.isfinite(X).sum(axis=0), 2)
    one = np.minimum(np.abs(sd - 1), np.abs(sd * np.sqrt(n / (n - 1)) - 1))
    # A column that is constant in these rows becomes 0 under any scaler.
    standard = (np.abs(mean) < ROUNDING) & ((one < ROUNDING) | (sd < ROUNDING))
    return np.asarray(standard & (n >= 3), dtype=np.bool_)


def _in_range(X: Floats) -> Bools:
    """(k,) whether a column fills [0, 1] or [-1, 1] exactly, or has median 0 and IQR 1."""
    low, high = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
    q1, q2, q3 = np.nanpercentile(X, [25, 50, 75], axis=0)
    unit = (np.abs(high - 1) < ROUNDING) & ((np.abs(low) < ROUNDING) | (np.abs(low + 1) < ROUNDING))
    robust = (np.abs(q2) < ROUNDING) & (np.abs(q3 - q1 - 1) < ROUNDING)
    return np.asarray(unit | robust, dtype=np.bool_)


def _wide(e: Evidence) -> Iterator[tuple[str, Floats]]:
    """Tables with enough rows and three or more varying columns."""
    for name in e.tables:
        X = _varying(e.numbers(name))
        X = X[np.isfinite(X).any(axis=1)] if X.shape[1] else X
        if len(X) >= ENOUGH_ROWS and X.shape[1] >= 3:
            yield name, X


def _within(X: Floats, groups: Any) -> float:
    """Share of columns that are standard within every group of three or more rows."""
    parts = [X[groups == g] for g in sorted(set(groups)) if (groups == g).sum() >= 3]
    if len(parts) < 2:
        return 0.0
    return float(np.mean(np.all([_is_standard(p) for p in parts], axis=0)))


def _centred(X: Floats, groups: Any) -> float:
    """Share of columns whose mean is 0 within every group of three or more rows."""
    parts = [X[groups == g] for g in sorted(set(groups)) if (groups == g).sum() >= 3]
    if len(parts) < 2:
        return 0.0
    sd = _moments(X)[1]
    return float(np.mean(np.all([np.abs(_moments(p)[0]) < ROUNDING * sd for p in parts], axis=0)))


def scaled(e: Evidence) -> Iterable[Trace]:
    """Columns scaled by the statistics of all rows."""
    speaker, emotion = e.text("speaker"), e.emotion
    for name, X in _wide(e):
        has = np.isfinite(_varying(e.numbers(name))).any(axis=1)
        if _within(X, speaker[has]) >= MOST or _centred(X, emotion[has]) >= MOST:
            continue  # these have names of their own
        standard, ranged = _is_standard(X).mean(), _in_range(X).mean()
        if max(standard, ranged) >= MOST:
            how = (
                "mean 0 and standard deviation 1"
                if standard >= ranged
                else "the range of all rows (0 to 1, -1 to 1, or median 0 and quartiles 1 apart)"
            )
            share = 100 * max(standard, ranged)
            yield Trace(name, f"{share:.0f} % of the columns have {how} over all {len(X)} rows")


def normalised_per_speaker(e: Evidence) -> Iterable[Trace]:
    """Columns z-scored within every speaker, test speakers too."""
    speaker = e.text("speaker")
    for name, X in _wide(e):
        has = np.isfinite(_varying(e.numbers(name))).any(axis=1)
        share = _within(X, speaker[has])
        if share >= MOST:
            yield Trace(name, f"{100 * share:.0f} % of the columns are z-scored per speaker")


def normalised_with_labels(e: Evidence) -> Iterable[Trace]:
    """Columns centred within every label, or on the neutral clips of every speaker."""
    speaker, emotion = e.text("speaker"), e.emotion
    for name, X in _wide(e):
        has = np.isfinite(_varying(e.numbers(name))).any(axis=1)
        label, who = emotion[has], speaker[has]
        share = _centred(X, label)
        if share >= MOST:
            yield Trace(name, f"{100 * share:.0f} % of the columns have mean 0 within every label")
            continue
        for one in e.labels:
            of = label == one
            # Each speaker's clips of one label centred, while all their clips are not.
            share = _centred(X[of], who[of])
            if share >= MOST and _centred(X, who) < MOST:
                yield Trace(
                    name, f"{100 * share:.0f} % of the columns have mean 0 over {one} per speaker"
                )


def projected(e: Evidence) -> Iterable[Trace]:
    """Columns without any correlation over all rows: the scores of a projection fitted on them."""
    for name, X in _wide(e):
        if len(X) <= X.shape[1] + 1 or not np.isfinite(X).all():
            continue
        correlation = np.asarray(np.corrcoef(X, rowvar=False))
        above = np.abs(correlation[np.triu_indices(X.shape[1], 1)])
        if float(above.max()) < ROUNDING:
            yield Trace(name, f"no two of {X.shape[1]} columns correlate over all {len(X)} rows")


def imputed(e: Evidence) -> Iterable[Trace]:
    """A value that stands in many rows of a column and is the mean or median of all the others."""
    for name in e.tables:
        X = e.numbers(name)
        columns = list(e.tables[name].columns)
        hits = {columns[j]: how for j in range(X.shape[1]) if (how := _filled_with(X[:, j]))}
        if hits:
            first = next(iter(hits))
            yield Trace(
                name,
                f"in {len(hits)} columns one value stands in many rows and is the {hits[first]} "
                f"of all others: {listed(hits)}",
            )


def _filled_with(x: Floats) -> str:
    """``"mean"`` or ``"median"`` if the commonest value is that of the other rows, else ``""``."""
    x = x[np.isfinite(x)]
    values, counts = np.unique(x, return_counts=True)
    if len(x) < ENOUGH_ROWS or len(values) < 3:
        return ""
    most = int(np.argmax(counts))
    others = np.delete(values, most)
    repeats = len(x) - int(counts[most])
    # Measured values hardly repeat; counts and zeros do, and say nothing. (openSMILE's mean change
    # of F0 is 0 in many clips and around 0 in all others.)
    if (
        values[most] == 0
        or not max(3, 0.01 * len(x)) <= counts[most] <= 0.6 * len(x)
        or len(others) < 0.9 * repeats
    ):
        return ""
    rest = x[x != values[most]]
    tolerance = 1e-5 * float(rest.std())
    for word, value in (("mean", rest.mean()), ("median", np.median(rest))):
        if abs(float(value) - values[most]) <= tolerance:
            return word
    return ""


# --- rows that are no recordings ------------------------------------------------------------------


def _comparable(X: Floats) -> Floats:
    """(n, k) z-scored, NaN as 0."""
    mean, sd = _moments(X)
    return np.where(np.isfinite(X), (X - mean) / np.where(sd > 0, sd, 1.0), 0.0)


def _thinned(X: Floats) -> Floats:
    """(n, <= 2 WIDTH) z-scored, evenly chosen columns: enough to tell whether rows are equal."""
    return _comparable(X[:, :: max(X.shape[1] // WIDTH, 1)])


def _neighbours(Z: Floats, n: int) -> tuple[Floats, Ints]:
    """(rows, n) distances to and numbers of the nearest other rows."""
    from sklearn.neighbors import NearestNeighbors

    # numpy's distances between all rows lose half of the digits; this tree computes each.
    found = NearestNeighbors(n_neighbors=n, algorithm="kd_tree").fit(Z)
    distance, number = found.kneighbors()
    return distance, number.astype(np.int64)


def _crosses(e: Evidence, groups: Iterable[tuple[int, ...]]) -> dict[str, list[tuple[int, ...]]]:
    """Protocol -> the groups of rows whose first is on the other side than one of the rest."""
    found: dict[str, list[tuple[int, ...]]] = {}
    groups = list(groups)
    for division in e.divisions:
        across = set()
        for sides in division.sides:
            side = np.zeros(len(e.rows), dtype=np.int8)
            side[sides.train], side[sides.test] = 1, 2
            for group in groups:
                own, rest = side[group[0]], side[list(group[1:])]
                if own and any(r and r != own for r in rest):
                    across.add(group)
        if across:
            found[division.protocol] = sorted(across)
    return found


def equal_rows(e: Evidence) -> Iterable[Trace]:
    """Different clips of (nearly) the same features on both sides."""
    file = e.text("file")
    for name, X in _wide(e):
        kept = np.flatnonzero(np.isfinite(e.numbers(name)).any(axis=1))
        if len(kept) != len(X) or len(X) > MANY_ROWS:
            continue
        distance, number = _neighbours(_thinned(X), 1)
        near = np.flatnonzero(distance[:, 0] < 0.01 * np.median(distance[:, 0]))
        pairs = {tuple(sorted((int(kept[i]), int(kept[number[i, 0]])))) for i in near}
        for protocol, across in _crosses(e, sorted(pairs)).items():
            names = listed((f"{file[a]} = {file[b]}" for a, b in across), shown=2)
            yield Trace(f"{name}, {protocol}", f"{len(across)} pairs of equal rows: {names}")


def balanced(e: Evidence) -> Iterable[Trace]:
    """Rows that lie exactly between two rows of their label, one of them on the other side."""
    emotion, file = e.emotion, e.text("file")
    for name, X in _wide(e):
        kept = np.flatnonzero(np.isfinite(e.numbers(name)).any(axis=1))
        if len(kept) != len(X) or len(X) > MANY_ROWS:
            continue
        triples = []
        Z = _thinned(X)
        for label in e.labels:
            rows = kept[emotion[kept] == label]
            if len(rows) > 3:
                here = Z[np.isin(kept, rows)]
                triples += [tuple(int(rows[i]) for i in t) for t in _between(here)]
        for protocol, across in _crosses(e, triples).items():
            made = sorted({t[0] for t in across})
            yield Trace(
                f"{name}, {protocol}",
                f"{len(made)} rows lie on the line between two others, as SMOTE makes them: "
                f"{listed(file[made], shown=2)}",
            )


def _between(Z: Floats, n: int = 12) -> Iterator[tuple[int, int, int]]:
    """(row, one end, other end) of rows between two of their nearest rows."""
    distance, number = _neighbours(Z, min(n, len(Z) - 1))
    for i in range(len(Z)):
        far = distance[i] > 1e-6
        towards = (Z[number[i]] - Z[i])[far] / distance[i][far, None]
        cosine = towards @ towards.T
        if cosine.size:
            a, b = np.unravel_index(int(np.argmin(cosine)), cosine.shape)
            if cosine[a, b] < -1 + 1e-6:
                ends = number[i][far]
                yield i, int(ends[a]), int(ends[b])


def selected(e: Evidence) -> Iterable[Trace]:
    """Columns that are exactly the best of a wider table by all rows' labels."""
    for name, whole in e.wider.items():
        columns = [str(c) for c in e.tables[name].columns]
        names = [str(c) for c in whole.columns]
        k = len(columns)
        if k < 3 or k >= len(names) or not set(columns) <= set(names):
            continue
        X, y = whole.to_numpy(dtype=np.float64), e.emotion
        everywhere = _best(X, y, k, names)
        folds = [s for d in e.divisions for s in d.sides]
        fitting = [_best(X[s.train], y[s.train], k, names) == set(columns) for s in folds]
        shared = len(everywhere & set(columns)) / k
        if shared == 1 and not all(fitting):
            yield Trace(
                name,
                f"its {k} columns are the {k} of {len(names)} that tell the labels of all rows "
                f"best (F test); by the training rows alone they are in {sum(fitting)} of "
                f"{len(fitting)} folds",
            )
        elif shared > 0.5 + 0.5 * k / len(names):
            yield Trace(
                name,
                f"{100 * shared:.0f} % of its {k} columns are among the {k} of {len(names)} that "
                "tell the labels of all rows best",
                "warning",
            )


def _best(X: Floats, y: Any, k: int, names: list[str]) -> set[str]:
    """The k columns of the greatest F statistic between labels."""
    from sklearn.feature_selection import f_classif

    Z = _comparable(X)
    with np.errstate(all="ignore"):
        score = np.nan_to_num(f_classif(Z, y)[0], nan=-1.0)
    return {names[i] for i in np.argsort(-score, kind="stable")[:k]}
