"""What the Corpus view of the lab shows: pure functions of a manifest and of a table of features.

Conventions
-----------
Everything works for a corpus of 10 000 clips. What is not labelled has the emotion
``(unlabelled)``, and an unknown speaker is ``(unknown)``. Times are seconds. Undefined values (NaN)
take no part in a distribution and are counted beside it.

A map is a picture, not evidence: it lays some hundred columns flat, and what lies together on it
may be one speaker, one microphone or one sentence. So beside it stands what holds in all columns:
how often the nearest other clip has the same emotion, and how often the same speaker.

Contents
--------
`overview`      : counts, balance, who says what.
`seconds_of`    : durations of the clips.
`measure`       : the features of a corpus, for the background.
`separation`    : how far each column differs between emotions, and between speakers.
`distribution`  : one column, emotion by emotion.
`flat`          : two dimensions, by principal components or UMAP.
`neighbours`    : of which emotion and speaker the nearest clip is.

Sources
-------
Pearson, "On lines and planes of closest fit", Philosophical Magazine 2, 1901. McInnes, Healy and
Melville, "UMAP", arXiv 1802.03426, 2018. Fisher, "Statistical methods for research workers", 1925
(eta squared, the correlation ratio).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import FeatureError, MissingExtraError, did_you_mean
from serfeat.extract import extract
from serfeat.lab.background import Meter
from serfeat.manifest import Manifest
from serfeat.types import Floats, Floats32, Ints

__all__ = [
    "MAPS",
    "distribution",
    "flat",
    "groups_of",
    "measure",
    "neighbours",
    "overview",
    "seconds_of",
    "separation",
]

MAPS = ("pca", "umap")
UNLABELLED, UNKNOWN = "(unlabelled)", "(unknown)"
BINS = (8, 40)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ASKED = 2000  # clips whose nearest neighbour is looked for


def groups_of(manifest: Manifest, column: str) -> pd.Series:
    """(n,) text: the emotion, speaker, ... of every row, with a word where there is none."""
    if column not in manifest.rows:
        raise did_you_mean("column", column, map(str, manifest.rows.columns), where=manifest.name)
    words = manifest.rows[column].astype(str).to_numpy(dtype=object)
    missing = UNLABELLED if column == "emotion" else UNKNOWN
    return pd.Series([w if w not in ("", "nan", "None") else missing for w in words])


def overview(manifest: Manifest) -> dict[str, Any]:
    """Count what there is in a corpus.

    Returns
    -------
    name, title, licence, synthetic, warnings, rows, speakers, emotions (name, clips, share),
    imbalance (clips of the largest emotion for each of the smallest), sexes, languages, texts,
    sessions (counts by name; of texts and sessions how many), coverage (speakers, emotions, counts)
    and empty (pairs of a speaker and an emotion without a clip).
    """
    emotion, speaker = groups_of(manifest, "emotion"), groups_of(manifest, "speaker")
    clips = emotion.value_counts()
    table = pd.crosstab(speaker, emotion)
    card = manifest.card
    labelled = clips.drop(UNLABELLED, errors="ignore")
    return {
        "name": manifest.name,
        "title": (card.title if card else "") or manifest.name,
        "licence": card.licence if card else "not stated",
        "synthetic": bool(card and card.synthetic),
        "warnings": list(card.warnings) if card else [],
        "rows": len(manifest.rows),
        "files": len(manifest.files),
        "speakers": len(manifest.speakers),
        "emotions": [
            {"name": str(e), "clips": int(n), "share": float(n / max(len(emotion), 1))}
            for e, n in clips.items()
        ],
        "imbalance": float(labelled.max() / labelled.min()) if len(labelled) else float("nan"),
        "sexes": _counts(manifest, "sex"),
        "languages": _counts(manifest, "language"),
        "texts": _different(manifest, "text_id"),
        "sessions": _different(manifest, "session"),
        "coverage": {
            "speakers": [str(s) for s in table.index],
            "emotions": [str(e) for e in table.columns],
            "counts": table.to_numpy(dtype=int).tolist(),
        },
        "empty": int((table.to_numpy() == 0).sum()),
    }


def _counts(manifest: Manifest, column: str) -> dict[str, int]:
    if column not in manifest.rows:
        return {}
    return {str(k): int(n) for k, n in groups_of(manifest, column).value_counts().items()}


def _different(manifest: Manifest, column: str) -> int:
    if column not in manifest.rows:
        return 0
    return int(manifest.rows[column].replace("", np.nan).nunique())


def seconds_of(manifest: Manifest) -> dict[str, Any]:
    """Duration of every clip: seconds (n,) float32, NaN where the file cannot be read.

    From the segment's bounds, the manifest's column `duration`, or the header of the file.
    """
    index = manifest.rows.index
    start = index.get_level_values("start").total_seconds().to_numpy()
    end = np.array(index.get_level_values("end").total_seconds(), dtype=np.float64)
    seconds = end - start
    if "duration" in manifest.rows:
        given = pd.to_numeric(manifest.rows["duration"], errors="coerce").to_numpy()
        seconds = np.where(np.isnan(seconds) & (given > 0), given, seconds)
    files = index.get_level_values("file")
    lengths = {f: _length(manifest, str(f)) for f in set(files[np.isnan(seconds)])}
    for i in np.flatnonzero(np.isnan(seconds)):
        seconds[i] = lengths[files[i]] - start[i]
    return {"seconds": seconds.astype(np.float32)}


def _length(manifest: Manifest, file: str) -> float:
    """Seconds that the header of a file promises; NaN: it cannot be read."""
    import soundfile as sf

    try:
        return float(sf.info(str(manifest.path(file))).duration)
    except (OSError, ValueError, RuntimeError):
        return float("nan")


# --- features ---------------------------------------------------------------------------------


def measure(meter: Path, manifest: Manifest, features: str) -> dict[str, Any]:
    """Compute a feature set on every clip, or take it from the store; runs in the background.

    Returns
    -------
    values (m, k) float32, rows (m,) places in the manifest, columns, units (k,), failures (file,
    start, end, stage, reason, message).
    """
    say = Meter(meter)
    found = extract(
        manifest, features, progress=lambda done, total: say("measuring the clips", done, total)
    )
    return {
        "values": np.asarray(found.values, dtype=np.float32),
        "rows": manifest.rows.index.get_indexer(found.index).astype(np.int64),
        "columns": list(found.features.columns("functionals")),
        "units": list(found.features.units("functionals")),
        "failures": [
            {"file": f.file, "start": f.start, "end": f.end, "stage": f.stage}
            | {"reason": f.reason, "message": f.message}
            for f in found.failures
        ],
    }


def separation(values: Floats32, groups: Sequence[str]) -> Floats:
    """Correlation ratio eta squared of every column: the share of its variance between groups.

    Parameters
    ----------
    values : (n, k).
    groups : (n,) names.

    Returns
    -------
    (k,) 0 (all groups have one mean) to 1 (nothing varies within a group); NaN for a constant
    column and for one that is never defined.
    """
    x = np.asarray(values, dtype=np.float64)
    defined = np.isfinite(x)
    codes, names = pd.factorize(np.asarray(groups, dtype=object))
    member = np.zeros((len(names), len(x)))
    member[codes, np.arange(len(x))] = 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(defined, x, 0.0).sum(axis=0) / defined.sum(axis=0)
        centred = np.where(defined, x - mean, 0.0)
        n = member @ defined
        sums = member @ centred
        between = np.where(n > 0, sums**2 / n, 0.0).sum(axis=0)
        total = (centred**2).sum(axis=0)
        return np.asarray(np.where(total > 0, between / total, np.nan))


def distribution(values: Any, groups: Sequence[str]) -> dict[str, Any]:
    """Describe one column, group by group.

    Parameters
    ----------
    values : (n,).
    groups : (n,) names.

    Returns
    -------
    edges (m + 1,) common to all, and groups: name, n, undefined, mean, quantiles (5, 25, 50, 75,
    95 %) and density (m,), the share of the group's clips in each bin; m is 8 to 40, twice the root
    of the clips of a group. The edges span the .5 to 99.5 % points of all clips, so that an outlier
    does not flatten the picture; what lies beyond is counted in the outermost bins.
    """
    x = np.asarray(values, dtype=np.float64)
    finite = x[np.isfinite(x)]
    low, high = np.quantile(finite, [0.005, 0.995]) if len(finite) else (0.0, 1.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    names = np.asarray(groups, dtype=object)
    bins = int(np.clip(2 * (len(finite) / max(len(set(names)), 1)) ** 0.5, *BINS))
    edges = np.linspace(low, high, bins + 1)
    found = []
    for name in sorted(set(names)):
        mine = x[names == name]
        kept = mine[np.isfinite(mine)]
        counts = np.histogram(np.clip(kept, low, high), edges)[0]
        found.append(
            {"name": str(name), "n": len(kept), "undefined": len(mine) - len(kept)}
            | {"mean": float(kept.mean()) if len(kept) else float("nan")}
            | {"quantiles": np.quantile(kept, QUANTILES).tolist() if len(kept) else []}
            | {"density": (counts / max(len(kept), 1)).tolist()}
        )
    return {"edges": edges.tolist(), "groups": found}


# --- maps -------------------------------------------------------------------------------------


def standardised(values: Any) -> Floats:
    """(n, k') z-scores: undefined values at their column's median, constant columns left out."""
    x = np.asarray(values, dtype=np.float64)
    x = np.where(np.isfinite(x), x, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns that are never defined
        median = np.nan_to_num(np.nanmedian(x, axis=0))
    x = np.where(np.isnan(x), median, x)
    spread = x.std(axis=0)
    varies = spread > 1e-12 * (1 + np.abs(x).max(axis=0, initial=0.0))
    return np.asarray((x[:, varies] - x[:, varies].mean(axis=0)) / spread[varies])


def flat(values: Any, kind: str = "pca") -> dict[str, Any]:
    """Lay a table of features flat; runs in a worker.

    Parameters
    ----------
    values : (n, k), n at least 3.
    kind : "pca" (the two directions of the largest variance) or "umap" (neighbours stay neighbours,
        where that is possible).

    Returns
    -------
    x, y (n,) float32, and words; of principal components also explained (2,), shares of variance.

    Raises
    ------
    FeatureError : too few clips, or no column that varies.
    UnknownNameError : another kind. MissingExtraError : umap-learn is not installed.
    """
    if kind not in MAPS:
        raise did_you_mean("map", kind, MAPS)
    z = standardised(values) if len(values) else np.empty((0, 0))
    if len(z) < 3 or z.shape[1] < 2:
        raise FeatureError(
            f"{len(z)} clips with {z.shape[1]} columns that vary, expected 3 and 2 at least",
            code="too-few-clips",
        )
    if kind == "umap":
        place = _umap(z)
        words = (
            f"UMAP of {z.shape[1]} standardised columns: neighbours in all columns are kept "
            "together where that is possible. The distance between two heaps, and their size, mean "
            "nothing; another seed draws another map."
        )
        return {"x": place[:, 0], "y": place[:, 1], "words": words, "explained": []}
    from sklearn.decomposition import PCA

    fitted = PCA(2, random_state=0)
    place = fitted.fit_transform(z).astype(np.float32)
    first, second = (float(v) for v in fitted.explained_variance_ratio_)
    words = (
        f"The two axes hold {100 * (first + second):.0f} % of the variance of {z.shape[1]} "
        f"standardised columns ({100 * first:.0f} % and {100 * second:.0f} %); the other "
        f"{100 * (1 - first - second):.0f} % are not on this map."
    )
    return {"x": place[:, 0], "y": place[:, 1], "words": words, "explained": [first, second]}


def _umap(z: Floats) -> Floats32:
    try:
        umap: Any = import_module("umap")
    except ImportError:
        raise MissingExtraError.of("umap-learn", "umap", "a map by UMAP") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed costs the use of several cores
        fitted = umap.UMAP(n_neighbors=min(15, len(z) - 1), random_state=0)
        return np.asarray(fitted.fit_transform(z), dtype=np.float32)


def neighbours(values: Any, groups: dict[str, Sequence[str]], *, seed: int = 0) -> dict[str, Any]:
    """Find how often the nearest other clip is of the same group; in all standardised columns.

    Parameters
    ----------
    values : (n, k).
    groups : name of a grouping ("emotion", ...) -> (n,) names.
    seed : of the clips that are asked, where there are many.

    Returns
    -------
    Name of the grouping -> same (share of clips) and chance (the same if clips lay anywhere).
    """
    n = len(values)
    if n < 2:
        return {}
    z = standardised(values).astype(np.float32)
    asked: Ints = np.arange(n)
    if n > ASKED:
        asked = np.sort(np.random.default_rng(seed).choice(n, ASKED, replace=False))
    nearest = np.empty(len(asked), dtype=np.int64)
    squares = (z**2).sum(axis=1)
    for first in range(0, len(asked), 256):
        rows = asked[first : first + 256]
        distance = squares[None] - 2 * (z[rows] @ z.T)
        distance[np.arange(len(rows)), rows] = np.inf  # a clip is not its own neighbour
        nearest[first : first + len(rows)] = distance.argmin(axis=1)
    found = {}
    for name, given in groups.items():
        codes = pd.factorize(np.asarray(given, dtype=object))[0]
        size = np.bincount(codes)
        found[name] = {
            "same": float((codes[asked] == codes[nearest]).mean()),
            "chance": float((size * (size - 1)).sum() / (n * (n - 1))),
        }
    return found
