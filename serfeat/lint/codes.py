"""Checks of what a column of features says on its own: the label, the speaker, the file's name.

A number that a program wrote down (a label's code, a speaker's, a field of the file's name, the
row, the fold) is no measurement of the voice, and a model finds it at once. Two traces give it
away: its name, and that it parts the rows exactly as the code does. What a label's clips were
recorded with (rate, length, silence, size) can tell the label too; then a model may learn the
recorder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from serfeat.lint.evidence import Evidence, Trace, listed
from serfeat.types import Floats, Ints

__all__ = [
    "conditions_confounded",
    "file_name_in_features",
    "fold_in_features",
    "label_in_features",
    "row_in_features",
    "speaker_in_features",
]

# A whole column name, or what stands before "__" or "=" in it.
_NAMES = {
    "label": {
        "emotion", "emotions", "label", "labels", "target", "targets", "truth", "class", "y",
        "emotion_code", "ground_truth", "gold", "category", "prediction", "predicted",
    },
    "speaker": {"speaker", "speaker_id", "spk", "actor", "subject", "participant", "sex", "gender"},
    "file": {"file", "filename", "file_name", "path", "wav", "stem"},
    "row": {"row", "index", "unnamed: 0", "id", "level_0", "n", "no", "number"},
    "fold": {"fold", "split", "partition", "is_test", "is_train", "test", "train"},
}  # fmt: skip

SEPARATES = 0.8  # of neighbours in a column's order that share their code; real columns: below 0.4
FEW_ROWS = 20
CONDITIONS = ("sample_rate", "channels", "duration", "leading_silence", "bytes")


def _codes(values: Any) -> Ints:
    """(n,) numbers of the values; -1 where empty."""
    names = sorted(set(values) - {""})
    place = {name: i for i, name in enumerate(names)}
    return np.array([place.get(v, -1) for v in values], dtype=np.int64)


def _same_parts(x: Floats, codes: Ints) -> bool:
    """Whether a column and a code part the rows into the same groups, or a column parts the codes.

    True for a code in any order, for one-hot columns and for a coarser code; false for constants
    and for values that differ from row to row.
    """
    known = np.isfinite(x) & (codes >= 0)
    if known.sum() < FEW_ROWS:
        return False
    values = np.unique(x[known])
    distinct = len(set(codes[known].tolist()))
    if not 2 <= len(values) <= distinct or distinct > known.sum() / 3:
        return False
    pairs = np.unique(np.stack([np.searchsorted(values, x[known]), codes[known]]), axis=1)
    return int(pairs.shape[1]) == distinct  # every code has one value


def _order_agreement(x: Floats, codes: Ints) -> float:
    """Share of neighbours in the column's order that have the same code; ties in random order."""
    known = np.flatnonzero(np.isfinite(x) & (codes >= 0))
    if len(known) < FEW_ROWS:
        return 0.0
    known = np.random.default_rng(0).permutation(known)
    ordered = codes[known[np.argsort(x[known], kind="stable")]]
    return float(np.mean(ordered[1:] == ordered[:-1]))


def _stands_apart(x: Floats, codes: Ints) -> bool:
    """Whether one label's values lie in a gap of all others: its indicator, with noise on it."""
    known = np.isfinite(x) & (codes >= 0)
    x, codes = x[known], codes[known]
    for code in set(codes.tolist()):
        inside, outside = x[codes == code], x[codes != code]
        if min(len(inside), len(outside)) < 5:
            continue
        gap = max(outside.min() - inside.max(), inside.min() - outside.max())
        if gap > max(np.ptp(inside), np.ptp(outside)):
            return True
    return False


def _named(column: object, kind: str) -> bool:
    name = str(column).casefold().strip()
    return name in _NAMES[kind] or re.split(r"__|=", name)[0] in _NAMES[kind]


def _columns(e: Evidence) -> Iterator[tuple[str, list[str], Floats]]:
    for name, table in e.tables.items():
        yield name, [str(c) for c in table.columns], e.numbers(name)


def label_in_features(e: Evidence) -> Iterable[Trace]:
    """Columns that are the label: by name, by value, or but for some noise."""
    codes = _codes(e.emotion)
    n_labels = len(e.labels)
    for name, columns, X in _columns(e):
        hits = {c: "is called so" for c in columns if _named(c, "label")}
        for j, column in enumerate(columns if n_labels > 1 else []):
            if _same_parts(X[:, j], codes):
                hits[column] = "has one value per label"
            elif n_labels > 2 and _order_agreement(X[:, j], codes) >= SEPARATES:
                hits[column] = "alone puts the labels in order"
            elif n_labels > 2 and _stands_apart(X[:, j], codes):
                hits[column] = "alone sets one label apart by a gap"
        if hits:
            yield Trace(name, "; ".join(f"{c} {how}" for c, how in list(hits.items())[:3]))
        if n_labels == 2:  # of two labels, a real feature may tell them almost perfectly
            clear = [
                c
                for j, c in enumerate(columns)
                if c not in hits and _order_agreement(X[:, j], codes) >= 0.99
            ]
            if clear:
                yield Trace(name, f"{listed(clear)} alone tells the two labels", "warning")


def speaker_in_features(e: Evidence) -> Iterable[Trace]:
    """Columns that are the speaker's code."""
    yield from _telling(e, "speaker", _codes(e.text("speaker")), "one value per speaker")


def _telling(e: Evidence, kind: str, codes: Ints, how: str) -> Iterable[Trace]:
    """Columns called so, or with as many values as codes that part the rows in the same way."""
    distinct = len(set(codes.tolist()) - {-1})
    for name, columns, X in _columns(e):
        hits = {c: "is called so" for c in columns if _named(c, kind)}
        for j, column in enumerate(columns):
            values = len(np.unique(X[np.isfinite(X[:, j]), j]))
            if distinct > 1 and values == distinct and _same_parts(X[:, j], codes):
                hits[column] = f"has {how}"
        if hits:
            yield Trace(name, "; ".join(f"{c} {what}" for c, what in list(hits.items())[:3]))


def file_name_in_features(e: Evidence) -> Iterable[Trace]:
    """Columns that hold a part of the file's name."""
    stems = [PurePosixPath(f).stem for f in e.text("file")]
    parts = [re.findall(r"\d+|[^\W\d_]+", s) for s in stems]
    fields: dict[str, Ints] = {}
    if parts and len({len(p) for p in parts}) == 1:
        for i in range(len(parts[0])):
            fields[f"part {i + 1} of the file's name"] = _codes([p[i] for p in parts])
    if stems and len({len(s) for s in stems}) == 1:
        for i in range(len(stems[0])):
            letters = [s[i] for s in stems]
            fields[f"letter {i + 1} of the file's name"] = _codes(letters)
    for name, columns, X in _columns(e):
        hits = {c: "the file's name" for c in columns if _named(c, "file")}
        for j, column in enumerate(columns):
            values = len(np.unique(X[np.isfinite(X[:, j]), j]))
            for field, codes in fields.items():
                if values == len(set(codes.tolist())) and _same_parts(X[:, j], codes):
                    hits.setdefault(column, field)
        if hits:
            yield Trace(name, "; ".join(f"{c} is {what}" for c, what in list(hits.items())[:3]))


def row_in_features(e: Evidence) -> Iterable[Trace]:
    """Columns that only count the rows; corpora are sorted by speaker and label."""
    for name, columns, X in _columns(e):
        hits = [c for c in columns if _named(c, "row")]
        for j, column in enumerate(columns):
            x = X[:, j]
            if len(x) >= FEW_ROWS and np.isfinite(x).all() and column not in hits:
                steps = np.diff(x)
                if (steps > 0).all() or (steps < 0).all():
                    hits.append(column)
        if hits:
            yield Trace(name, f"{listed(hits)} count the rows")


def fold_in_features(e: Evidence) -> Iterable[Trace]:
    """Columns that are the number of the fold in which a row is tested."""
    seen = set()
    for division in e.divisions:
        codes = np.full(len(e.rows), -1, dtype=np.int64)
        for i, sides in enumerate(division.sides):
            codes[sides.test] = i
        for trace in _telling(e, "fold", codes, "one value per fold"):
            if trace not in seen:
                seen.add(trace)
                yield trace


def conditions_confounded(e: Evidence) -> Iterable[Trace]:
    """What a clip was recorded with tells its label on clips of other speakers."""
    codes, speaker = _codes(e.emotion), _codes(e.text("speaker"))
    n_labels = len(e.labels)
    if n_labels < 2 or len(codes) < 10 * n_labels:
        return
    suffix = _codes([PurePosixPath(f).suffix.casefold() for f in e.text("file")]).astype(np.float64)
    found = {c: e.rows[c].to_numpy(dtype=np.float64) for c in CONDITIONS if c in e.rows}
    for name, x in {**found, "format": suffix}.items():
        known = np.isfinite(x) & (codes >= 0)
        if known.sum() < 10 * n_labels or len(np.unique(x[known])) < 2:
            continue
        score = _told_by(x[known], codes[known], speaker[known])
        chance = 1 / n_labels
        if score >= chance + 0.4 * (1 - chance):
            yield Trace(
                name,
                f"{name} alone tells {100 * score:.0f} % of the labels (UAR; chance "
                f"{100 * chance:.0f} %)",
            )


def _told_by(x: Floats, codes: Ints, speaker: Ints) -> float:
    """UAR of the commonest label per stretch of the values, learnt on the other half's speakers."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 13)[1:-1]))
    stretch = np.searchsorted(edges, x, side="right")
    half = (speaker if len(set(speaker.tolist())) > 1 else np.arange(len(x))) % 2
    n = codes.max() + 1
    hits, support = np.zeros(n), np.zeros(n)
    for side in (0, 1):
        learn, test = half != side, half == side
        counts = np.zeros((len(edges) + 1, n))
        np.add.at(counts, (stretch[learn], codes[learn]), 1)
        share = counts / np.maximum(counts.sum(axis=0), 1)  # every label weighs the same
        said = share.argmax(axis=1)[stretch[test]]
        np.add.at(hits, codes[test], said == codes[test])
        np.add.at(support, codes[test], 1)
    return float(np.mean(hits[support > 0] / support[support > 0]))
