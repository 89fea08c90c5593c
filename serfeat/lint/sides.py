"""Checks of the two sides of a fold: who and what is on both, and what is on neither.

A clip is on both sides as itself, as another segment of its recording, as a copy under another
name, as an augmented version, or as the same sentence of the same speaker. A model that has met it
in training is not tested by it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from serfeat.lint.evidence import Division, Evidence, Severity, Sides, Trace, listed

__all__ = [
    "augmented_copies",
    "constant_tests",
    "identical_audio",
    "labels_unknown",
    "near_identical_audio",
    "overlapping_segments",
    "promises",
    "rows_twice",
    "sessions",
    "small_tests",
    "speaker_spelling",
    "speakers_unknown",
    "texts",
    "twice_in_the_test",
]

# What a version's name adds to that of its recording: "03a01Fa_noise5db", "03a01Fa-speed0.9".
_VERSION = re.compile(
    r"(?P<base>.+?)[-_ .]+"
    r"(?:aug(?:mented)?|copy|noise|noisy|snr|white|pink|babble|pitch|speed|sp|tempo|stretch|shift"
    r"|reverb|rir|echo|gain|vol(?:ume)?|mask|mix(?:up)?|crop)"
    r"[-_ ]?[+-]?\d*(?:[.]\d+)?(?:db|x|st|pct)?",
    re.IGNORECASE,
)
_COPY = re.compile(r"(?P<base>.+?) ?\(\d+\)")
_KALDI = re.compile(r"(?:aug|sp[01][.]\d+)[-_](?P<base>.+)", re.IGNORECASE)

NEARLY_ALL = 0.95  # of a test fold with one label: its recall is all that the fold says


def _per_division(
    e: Evidence, found: Any, *, promised: str = ""
) -> Iterator[tuple[Division, list[tuple[Sides, Any]]]]:
    """Apply ``found(sides)`` to every fold of the protocols that promise; keep what it finds."""
    for division in e.divisions:
        if not promised or promised in division.apart:
            hits = [(s, f) for s in division.sides if (f := found(s))]
            if hits:
                yield division, hits


def _where(division: Division, hits: Sequence[tuple[Sides, Any]]) -> str:
    """Protocol, number of folds, the first of them."""
    return f"{division.protocol}, {len(hits)} of {len(division.sides)} folds ({hits[0][0].name})"


def _held_in(sides: Sides) -> Any:
    """Row numbers that the model or its choices have seen."""
    return np.union1d(sides.train, sides.validation)


def _shared(values: Any, sides: Sides) -> list[str]:
    return sorted((set(values[_held_in(sides)]) & set(values[sides.test])) - {""})


def rows_twice(e: Evidence) -> Iterable[Trace]:
    """Rows in the training (or validation) and the test side."""
    for division, hits in _per_division(e, lambda s: np.intersect1d(_held_in(s), s.test).tolist()):
        files = e.text("file")[[i for _, found in hits for i in found]]
        yield Trace(_where(division, hits), f"{len(files)} rows on both sides: {listed(files)}")


def promises(e: Evidence) -> Iterable[Trace]:
    """Values of a column that the protocol promises to keep apart; speakers always looked at."""
    for division in e.divisions:
        for column in dict.fromkeys(("speaker", *division.apart)):
            if column in ("session", "text_id"):
                continue  # these have a check of their own
            values = e.text(column)
            hits = [(s, f) for s in division.sides if (f := _shared(values, s))]
            if not hits:
                continue
            both = sorted({v for _, found in hits for v in found})
            kept = column in division.apart
            words = f"{column} {listed(both)} on both sides"
            words += ", which the protocol promises to keep apart" if kept else " (as it says)"
            yield Trace(_where(division, hits), words, None if kept else "note")


def _column(e: Evidence, column: str, otherwise: Severity | None) -> Iterable[Trace]:
    """Values of one column on both sides; `otherwise`: severity where nothing was promised."""
    values = e.text(column)
    for division, hits in _per_division(e, lambda s: _shared(values, s)):
        kept = column in division.apart
        if not kept and (otherwise is None or "speaker" not in division.apart):
            continue  # a speaker-dependent protocol is marked as that already
        both = sorted({v for _, found in hits for v in found})
        words = f"{column} {listed(both)} on both sides"
        words += ", which the protocol promises to keep apart" if kept else ""
        yield Trace(_where(division, hits), words, None if kept else otherwise)


def sessions(e: Evidence) -> Iterable[Trace]:
    """Recording sessions on both sides."""
    return _column(e, "session", "warning")


def texts(e: Evidence) -> Iterable[Trace]:
    """Sentences on both sides."""
    return _column(e, "text_id", "note")


def _across(pairs: Iterable[tuple[int, int]], sides: Sides) -> list[tuple[int, int]]:
    """The pairs of rows that have one end in training and one in the test."""
    seen, tested = set(_held_in(sides).tolist()), set(sides.test.tolist())
    return [(a, b) for a, b in pairs if (a in seen and b in tested) or (b in seen and a in tested)]


def _pairs_of(groups: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    """All pairs within each group."""
    return [(a, b) for g in groups for i, a in enumerate(g) for b in g[i + 1 :]]


def _groups(values: Iterable[str]) -> list[list[int]]:
    """Row numbers that share a value, two or more each; the empty value is none."""
    found: dict[str, list[int]] = defaultdict(list)
    for i, value in enumerate(values):
        if value:
            found[value].append(i)
    return [rows for rows in found.values() if len(rows) > 1]


def _paired(e: Evidence, pairs: list[tuple[int, int]], what: str) -> Iterable[Trace]:
    """Pairs across the sides, in words."""
    file = e.text("file")
    for division, hits in _per_division(e, lambda s: _across(pairs, s)):
        pairs_here = sorted({p for _, found in hits for p in found})
        names = listed((f"{file[a]} = {file[b]}" for a, b in pairs_here), shown=2)
        yield Trace(_where(division, hits), f"{len(pairs_here)} pairs of {what}: {names}")


def identical_audio(e: Evidence) -> Iterable[Trace]:
    """Recordings with the same samples on both sides."""
    start = e.rows["start"].astype(str) if "start" in e.rows else ""
    end = e.rows["end"].astype(str) if "end" in e.rows else ""
    key = np.array([f"{c} {s} {t}" if c else "" for c, s, t in _zip(e.text("content"), start, end)])
    return _paired(e, _pairs_of(_groups(key)), "clips with the same samples")


def _zip(content: Any, start: Any, end: Any) -> Iterable[tuple[str, str, str]]:
    blank = [""] * len(content)
    return zip(
        content,
        blank if isinstance(start, str) else start,
        blank if isinstance(end, str) else end,
        strict=True,
    )


def near_identical_audio(e: Evidence) -> Iterable[Trace]:
    """Recordings that are the same but for level, noise or coding."""
    return _paired(e, [(int(a), int(b)) for a, b in e.twins], "clips with nearly the same sound")


def augmented_copies(e: Evidence) -> Iterable[Trace]:
    """Versions of a clip (by column or by name) on the other side than the clip."""
    files = e.text("file")
    stems = [str(PurePosixPath(f).with_suffix("")) for f in files]
    known = {PurePosixPath(s).name for s in stems}
    origin = e.text("augmented_from")
    keys = []
    for stem, given in zip(stems, origin, strict=True):
        name = PurePosixPath(stem).name
        rules = (r.fullmatch(name) for r in (_VERSION, _COPY, _KALDI))
        base = next((m["base"] for m in rules if m and m["base"] in known), name)
        keys.append(PurePosixPath(given).stem if given else base)
    versions = np.array([k != PurePosixPath(s).name for k, s in zip(keys, stems, strict=True)])
    speaker = e.text("speaker")
    named = [f"{k} {s}" for k, s in zip(keys, speaker, strict=True)]
    groups = [g for g in _groups(named) if versions[g].any()]
    return _paired(e, _pairs_of(groups), "clip and augmented copy")


def overlapping_segments(e: Evidence) -> Iterable[Trace]:
    """Segments of one recording on both sides; a leak where they overlap in time."""
    if "start" not in e.rows or e.rows["start"].isna().all():
        return
    groups = _groups(e.text("file"))
    start = pd.to_timedelta(e.rows["start"]).dt.total_seconds().to_numpy()
    end = pd.to_timedelta(e.rows["end"]).dt.total_seconds().fillna(np.inf).to_numpy()
    pairs = _pairs_of(groups)
    over = [(a, b) for a, b in pairs if start[a] < end[b] and start[b] < end[a]]
    yield from _paired(e, over, "overlapping segments of one recording")
    apart = sorted(set(pairs) - set(over))
    for trace in _paired(e, apart, "segments of one recording"):
        yield trace._replace(severity="warning")


def speaker_spelling(e: Evidence) -> Iterable[Trace]:
    """Codes on opposite sides that are one code in other letters ("3" and "03", "Anna" "anna")."""
    speaker = e.text("speaker")
    plain = {s: re.sub(r"\b0+(?=\d)", "", s.casefold().strip()) for s in set(speaker) - {""}}
    spellings: dict[str, list[str]] = defaultdict(list)
    for code, simple in sorted(plain.items()):
        spellings[simple].append(code)
    doubtful = [codes for codes in spellings.values() if len(codes) > 1]
    if not doubtful:
        return

    def parted(sides: Sides) -> list[str]:
        train, test = set(speaker[_held_in(sides)]), set(speaker[sides.test])
        return [" and ".join(c) for c in doubtful if set(c) & train and set(c) & test]

    for division, hits in _per_division(e, parted, promised="speaker"):
        both = sorted({v for _, found in hits for v in found})
        yield Trace(_where(division, hits), f"speakers {listed(both)} may be one person")


def speakers_unknown(e: Evidence) -> Iterable[Trace]:
    """Speakers that are empty, or as many as clips: then holding out speakers holds out nothing."""
    speaker = e.text("speaker")
    kept = [d.protocol for d in e.divisions if "speaker" in d.apart]
    if not kept or not len(speaker):
        return
    empty = int((speaker == "").sum())
    if empty:
        yield Trace(listed(kept), f"{empty} of {len(speaker)} clips have no speaker")
    elif len(set(speaker)) > 0.9 * len(speaker) and len(speaker) > 20:
        yield Trace(listed(kept), f"{len(set(speaker))} speakers in {len(speaker)} clips")


def labels_unknown(e: Evidence) -> Iterable[Trace]:
    """Labels of a test side that its training side lacks."""
    emotion = e.emotion

    def missing(sides: Sides) -> list[str]:
        return sorted(set(emotion[sides.test]) - set(emotion[sides.train]))

    for division, hits in _per_division(e, missing):
        lacking = sorted({v for _, found in hits for v in found})
        yield Trace(_where(division, hits), f"no training row has {listed(lacking)}")


def constant_tests(e: Evidence) -> Iterable[Trace]:
    """Test sides of one label: a model that always says it is perfect there."""
    if len(e.labels) < 2:
        return
    emotion = e.emotion

    def commonest(sides: Sides) -> float:
        counts = Counter(emotion[sides.test].tolist())
        share = max(counts.values(), default=0) / max(len(sides.test), 1)
        return share if share >= NEARLY_ALL else 0.0

    for division, hits in _per_division(e, commonest):
        yield Trace(_where(division, hits), f"{100 * hits[0][1]:.0f} % of the test have one label")


def small_tests(e: Evidence) -> Iterable[Trace]:
    """Test sides with fewer clips than there are labels."""
    n = len(e.labels)
    for division, hits in _per_division(e, lambda s: len(s.test) < n and [len(s.test)]):
        least = min(found[0] for _, found in hits)
        yield Trace(_where(division, hits), f"{least} test clips for {n} labels")


def twice_in_the_test(e: Evidence) -> Iterable[Trace]:
    """The same samples twice in one test side: they count twice."""
    content = e.text("content")

    def doubled(sides: Sides) -> list[str]:
        counts = Counter(content[sides.test].tolist())
        return sorted(c for c, k in counts.items() if c and k > 1)

    segments = len(set(e.text("file"))) < len(e.rows)
    if segments:
        return  # segments of one file share its digest
    file = e.text("file")
    for division, hits in _per_division(e, doubled):
        digests = sorted({v for _, found in hits for v in found})
        names = listed(" = ".join(file[content == d]) for d in digests)
        yield Trace(_where(division, hits), f"the same samples twice: {names}")
