"""Several corpora as one manifest, with everything that is not comparable between them said.

Conventions
-----------
* Names stay what they are, below one more folder: ``audio/03a01Fa.flac`` of ``emodb`` becomes
  ``emodb/audio/03a01Fa.flac``. `Manifest.roots` leads back, so that nothing is copied or linked,
  and features that were computed before are found again: the store knows clips by their content.
* The column `corpus` keeps the corpora apart. Speaker codes may repeat between them: whoever groups
  by speaker uses "corpus/speaker" (`serfeat.metrics.speaker_key`). Codes of sentences and sessions
  become "corpus/code": sentence 01 of two corpora is two sentences.
* Only the labels that every corpus has are kept, after the mapping (``calm`` may be counted as
  ``neutral``, if one says so): a label that only one corpus has would be found by its microphone.
  What was dropped and what was mapped is in `join_report`, with counts.
* A column that one of the corpora lacks is empty (text) or NaN (numbers) there; one that is text
  in any corpus is text.

What tells corpora apart beside emotion (rate, duration, language, the share of each label) is a
confound: a model may learn the corpus. `join_report` lists it.

Contents
--------
`joined`      : manifests -> one manifest.
`join_report` : the labels that were kept, mapped and dropped, and the confounds, for the record.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.corpora.recordings import look
from serfeat.errors import ManifestError, did_you_mean
from serfeat.labels import EMOTIONS
from serfeat.manifest import NUMBERS, Card, Manifest
from serfeat.table import clip_index

__all__ = ["join_report", "joined"]

LabelMaps = Mapping[str, Mapping[str, str]]


def joined(
    manifests: Sequence[Manifest],
    *,
    labels: Iterable[str] | None = None,
    label_maps: LabelMaps | None = None,
) -> Manifest:
    """Put several corpora into one manifest.

    Parameters
    ----------
    manifests : two or more, of different names; unlabelled rows are left out.
    labels : to keep of the common ones; default: all of them.
    label_maps : corpus -> its label -> the label that it counts as, before labels are compared.

    Returns
    -------
    Manifest named "a+b"; its `root` is the folder that all roots share.

    Raises
    ------
    ManifestError : fewer than two corpora, two of one name, fewer than two common labels.
    UnknownNameError : a corpus, a label or a mapping of something that is not there.
    """
    mapped = _mapped(manifests, label_maps or {})
    kept = _kept(mapped, labels)
    parts = [_below(m, kept) for m in mapped]
    index = clip_index(
        [f for p in parts for f in p.index.get_level_values("file")],
        np.concatenate([p.index.get_level_values("start").total_seconds() for p in parts]),
        np.concatenate([p.index.get_level_values("end").total_seconds() for p in parts]),
    )
    rows = pd.DataFrame(index=index)
    for name in dict.fromkeys(c for p in parts for c in p.columns):
        rows[name] = _column(parts, name, index)
    roots = {m.name: m.root.resolve() for m in manifests}
    shared = Path(os.path.commonpath(list(roots.values())))
    return Manifest(rows, shared, "+".join(roots), _card(manifests, kept), roots)


def join_report(
    manifests: Sequence[Manifest],
    *,
    labels: Iterable[str] | None = None,
    label_maps: LabelMaps | None = None,
    audio: bool = True,
) -> dict[str, Any]:
    """Say what joining keeps, maps and drops, and what tells the corpora apart.

    Parameters
    ----------
    manifests, labels, label_maps : as `joined` takes them.
    audio : read the header of every recording, for rates and durations.

    Returns
    -------
    As JSON can hold it: ``labels`` (kept), ``mapped`` and ``dropped`` (one entry per corpus and
    label, with clips), ``confounds`` (one entry per corpus: clips, speakers, language, licence,
    sample_rates in Hz with their clips, median and 5th to 95th percentile of the duration in s,
    share of each label), ``words`` (the same in sentences).

    Raises
    ------
    ManifestError, UnknownNameError : see `joined`.
    """
    maps = label_maps or {}
    mapped = _mapped(manifests, maps)
    kept = _kept(mapped, labels)
    changed = [
        {"corpus": m.name, "label": a, "counts_as": b, "clips": int((m.rows["emotion"] == a).sum())}
        for m in manifests
        for a, b in maps.get(m.name, {}).items()
    ]
    dropped = [
        {"corpus": m.name, "label": label or "unlabelled", "clips": int(n)}
        for m in mapped
        for label, n in m.rows["emotion"].value_counts().sort_index().items()
        if label not in kept
    ]
    confounds = [_confounds(m.with_rows(m.rows[_has(m, kept)]), kept, audio) for m in mapped]
    found = {"labels": kept, "mapped": changed, "dropped": dropped, "confounds": confounds}
    return {**found, "words": _words(found)}


# --- labels ----------------------------------------------------------------------------------


def _mapped(manifests: Sequence[Manifest], maps: LabelMaps) -> list[Manifest]:
    """The manifests with their labels mapped; what cannot be joined is an error."""
    names = [m.name for m in manifests]
    twice = sorted({n for n in names if names.count(n) > 1})
    if len(names) < 2 or twice:
        found = f"two manifests called {twice[0]!r}" if twice else f"{len(names)} corpora"
        raise ManifestError(
            f"{found}, expected two or more of different names",
            where="+".join(names),
            code="cannot-join",
            fix="give a manifest another name, or use it alone",
        )
    for m in manifests:
        if "/" in m.name or not m.name or m.roots:
            why = "is of several corpora already" if m.roots else "cannot be the name of a folder"
            raise ManifestError(f"{m.name!r} {why}", where="joined", code="cannot-join")
    for name in maps:
        if name not in names:
            raise did_you_mean("corpus", name, names, where="label mapping")
    out = []
    for manifest in manifests:
        table = maps.get(manifest.name, {})
        for label, wanted in table.items():
            if label not in manifest.labels:
                raise did_you_mean("label", label, manifest.labels, where=manifest.name)
            # A user's own vocabulary may be mapped to as well, if some corpus has the word.
            known = {*EMOTIONS, *(x for m in manifests for x in m.labels)}
            if wanted not in known:
                raise did_you_mean("label", wanted, known, where=manifest.name)
        emotion = manifest.rows["emotion"].map(lambda x, t=table: t.get(x, x))
        out.append(manifest.with_rows(manifest.rows.assign(emotion=emotion)))
    return out


def _kept(manifests: Sequence[Manifest], labels: Iterable[str] | None) -> list[str]:
    """The labels that every corpus has, of those that are wanted; sorted."""
    common = set.intersection(*(set(m.labels) for m in manifests))
    if labels is not None:
        wanted = set(labels)
        for label in sorted(wanted - common):
            raise did_you_mean("common label", label, common, where="joined corpora")
        common &= wanted
    if len(common) < 2:
        theirs = "; ".join(f"{m.name}: {', '.join(m.labels)}" for m in manifests)
        raise ManifestError(
            f"the corpora share {len(common)} labels ({theirs}), expected two or more",
            where="+".join(m.name for m in manifests),
            code="no-common-labels",
            fix="map labels onto each other, or join other corpora",
        )
    return sorted(common)


def _has(manifest: Manifest, labels: Iterable[str]) -> Any:
    return manifest.rows["emotion"].isin(list(labels)).to_numpy()


# --- rows and cards --------------------------------------------------------------------------


def _below(manifest: Manifest, labels: Iterable[str]) -> pd.DataFrame:
    """The rows with these labels, their files below a folder named after the corpus."""
    rows = manifest.rows[_has(manifest, labels)]
    levels = [rows.index.get_level_values(n) for n in ("start", "end")]
    files = [f"{manifest.name}/{f}" for f in rows.index.get_level_values("file")]
    moved = rows.assign(corpus=manifest.name)
    for name in ("text_id", "session"):
        if name in moved:
            moved[name] = [f"{manifest.name}/{v}" if v else "" for v in moved[name]]
    moved.index = pd.MultiIndex.from_arrays([files, *levels], names=["file", "start", "end"])
    return moved


def _column(parts: Sequence[pd.DataFrame], name: str, index: pd.MultiIndex) -> pd.Series:
    """One column of all corpora: numbers if it is numbers wherever it is."""
    having = [p[name] for p in parts if name in p]
    counted = name in NUMBERS or name.startswith("votes_")
    if counted or all(pd.api.types.is_numeric_dtype(c.dtype) for c in having):
        numbers = [p[name].to_numpy(np.float64) if name in p else _nothing(p) for p in parts]
        return pd.Series(np.concatenate(numbers), index)
    texts = [[_text(v) for v in p[name]] if name in p else [""] * len(p) for p in parts]
    return pd.Series([t for part in texts for t in part], index, dtype=object).astype(str)


def _nothing(part: pd.DataFrame) -> Any:
    return np.full(len(part), np.nan)


def _text(value: Any) -> str:
    """A cell as text; the number 1.0 of another corpus is "1"."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value)


def _card(manifests: Sequence[Manifest], labels: Sequence[str]) -> Card:
    """One card: every licence and citation is named with the corpus that it belongs to."""
    cards = {m.name: m.card or Card(m.name, title=m.name, licence="not stated") for m in manifests}

    def each(field: str) -> str:
        return "; ".join(
            f"{getattr(c, field)} ({n})" for n, c in cards.items() if getattr(c, field)
        )

    warnings = [f"{n}: {w}" for n, c in cards.items() for w in c.warnings]
    scaled = [
        m.name
        for m in manifests
        if any(c in m.rows and m.rows[c].notna().any() for c in NUMBERS[2:])
    ]
    if len(scaled) > 1:
        warnings.append(
            f"valence, arousal and dominance are on the own scales of {', '.join(scaled)}; they "
            "were not brought to one."
        )
    return Card(
        name="+".join(cards),
        title=" + ".join(c.title or n for n, c in cards.items()),
        language=", ".join(dict.fromkeys(c.language for c in cards.values() if c.language)),
        licence=each("licence"),
        licence_url=each("licence_url"),
        citation=each("citation"),
        homepage=each("homepage"),
        emotions=tuple(labels),
        synthetic=any(c.synthetic for c in cards.values()),
        redistributable=all(c.redistributable for c in cards.values()),
        warnings=tuple(warnings),
    )


# --- confounds -------------------------------------------------------------------------------


def _confounds(manifest: Manifest, labels: Sequence[str], audio: bool) -> dict[str, Any]:
    """What a model could tell this corpus by."""
    rows = manifest.rows
    shares = rows["emotion"].value_counts(normalize=True)
    languages = rows["language"] if "language" in rows else pd.Series([""] * len(rows))
    found = {
        "corpus": manifest.name,
        "clips": len(rows),
        "speakers": int(rows["speaker"].nunique()),
        "language": ", ".join(sorted(set(languages) - {""})) or "unknown",
        "licence": manifest.card.licence if manifest.card else "not stated",
        "shares": {label: round(float(shares[label]), 4) for label in labels},
    }
    if not audio:
        return found
    facts = look(manifest, "info", None)
    rates = facts["sample_rate"].dropna().astype(int).value_counts().sort_index()
    # A row may be a segment: its own bounds go before the length of its file.
    whole = facts["duration"].reindex(rows.index.get_level_values("file")).to_numpy(np.float64)
    start = rows.index.get_level_values("start").total_seconds().to_numpy()
    end = rows.index.get_level_values("end").total_seconds().to_numpy()
    seconds = np.where(np.isnan(end), whole, end) - start
    known = seconds[np.isfinite(seconds)]
    spread = np.quantile(known, [0.05, 0.5, 0.95]) if len(known) else np.full(3, np.nan)
    names = ("seconds_p05", "seconds_median", "seconds_p95")
    lengths = {
        n: None if np.isnan(v) else round(float(v), 3) for n, v in zip(names, spread, strict=True)
    }
    return {**found, "sample_rates": {str(r): int(n) for r, n in rates.items()}, **lengths}


def _words(found: Mapping[str, Any]) -> list[str]:
    """The label report in sentences."""
    lines = [f"Labels that every corpus has: {', '.join(found['labels'])}."]
    lines += [
        f"{m['corpus']}: {m['label']} counts as {m['counts_as']} ({m['clips']} clips)."
        for m in found["mapped"]
    ]
    for corpus in dict.fromkeys(d["corpus"] for d in found["dropped"]):
        mine = [d for d in found["dropped"] if d["corpus"] == corpus]
        words = ", ".join(f"{d['label']} ({d['clips']} clips)" for d in mine)
        lines.append(f"{corpus}: {words} left out.")
    if all("sample_rates" in c for c in found["confounds"]):
        parts = [
            f"{c['corpus']} {'/'.join(c['sample_rates'])} Hz, {c['language']}, "
            f"median {c['seconds_median']} s"
            for c in found["confounds"]
        ]
        lines.append(
            f"What tells the corpora apart beside emotion: {'; '.join(parts)}. "
            "A model may learn it."
        )
    return lines
