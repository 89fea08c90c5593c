"""Stretches of speech: where they begin and end, and a manifest with one row for each.

Cutting silence out of a signal would change its time, so serfeat never does: a voice activity
detector makes new rows (file, start, end) instead, and the audio stays as it is.

Conventions
-----------
Seconds from the beginning of the signal. Frame i stands for the half hop before and after its
centre, ``(i - 1/2) hop`` to ``(i + 1/2) hop``. Pauses shorter than `min_pause` belong to the speech
around them (a stop consonant is silent for up to 0.15 s); after that, speech shorter than
`min_speech` is dropped.

Contents
--------
`METHODS` : detector by name.
`speech_segments`  : of one signal.
`segment_manifest` : of all rows of a manifest, with what went wrong and how it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from serfeat.audio import USUAL, Limits, load_audio
from serfeat.errors import AudioError, FeatureError, SerfeatError, did_you_mean
from serfeat.manifest import Manifest
from serfeat.shorttime import ShortTime
from serfeat.table import clip_index
from serfeat.types import Bools, Floats, Report, silent
from serfeat.vad import SILENCE, runs, three_way
from serfeat.vad.silero import silero_vad
from serfeat.vad.sohn import sohn_vad

__all__ = ["METHODS", "Segmentation", "segment_manifest", "speech_segments"]

HOP = 0.010  # s
SR = 16_000  # Hz, at which recordings are listened to

METHODS: Mapping[str, Callable[[ArrayLike, int], Bools]] = {
    "three_way": lambda x, sr: np.asarray(three_way(ShortTime(x, sr, HOP)) != SILENCE),
    "sohn": lambda x, sr: sohn_vad(x, sr, hop=HOP),
    "silero": lambda x, sr: silero_vad(x, sr, hop=HOP),
}
VERSION = 1  # goes up when a boundary changes


def speech_segments(
    x: ArrayLike,
    sr: int,
    *,
    method: str = "three_way",
    min_speech: float = 0.100,
    min_pause: float = 0.150,
    margin: float = 0.0,
) -> Floats:
    """Find the stretches of speech in a signal.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    method : ``"three_way"`` (level and periodicity; clean recordings), ``"sohn"`` (likelihood
        ratio; stationary noise) or ``"silero"`` (network; needs the extra ``vad``).
    min_speech, min_pause : s, shorter stretches are dropped, shorter pauses are closed.
    margin : s added at both ends of a stretch, up to half a pause.

    Returns
    -------
    (k, 2) s, begin and end, in order and without overlap; (0, 2) where there is no speech.

    Raises
    ------
    UnknownNameError : an unknown `method`.
    FeatureError : a negative duration, or a margin above half of `min_pause`.
    MissingExtraError : the method's package is not installed.
    AudioError : see `ShortTime`.
    """
    if method not in METHODS:
        raise did_you_mean("voice activity detector", method, METHODS)
    if min(min_speech, min_pause, margin) < 0 or margin > min_pause / 2:
        raise FeatureError(
            f"min_speech {min_speech}, min_pause {min_pause}, margin {margin} s; expected none "
            "below 0 and a margin of at most half of min_pause",
            code="bad-length",
        )
    speech = METHODS[method](x, sr)
    hop_s, end = round(HOP * sr) / sr, np.size(x) / sr
    first, stop, code = runs(speech)
    edges = np.column_stack([first, stop]) * hop_s - hop_s / 2
    edges[0, 0], edges[-1, 1] = 0.0, end  # the outer frames reach to the ends of the clip
    edges = np.clip(edges, 0.0, end)[code != 0]
    if not len(edges):
        return np.zeros((0, 2))
    # A pause is kept where the next stretch begins long enough after this one ends.
    kept = edges[1:, 0] - edges[:-1, 1] >= min_pause - 1e-9
    begins = edges[np.concatenate([[True], kept]), 0]
    ends = edges[np.concatenate([kept, [True]]), 1]
    long = ends - begins >= min_speech - 1e-9
    wider = np.column_stack([begins[long] - margin, ends[long] + margin])
    return np.asarray(np.clip(wider, 0.0, end))


class Segmentation(NamedTuple):
    """What `segment_manifest` makes of a manifest.

    Attributes
    ----------
    manifest : a row for every stretch of speech, with the columns of the row that it lies in and
        `segmentation`, the text of how it was found.
    failures : rows without a segment; columns stage, reason, message, as in an extraction.
    provenance : method, settings and counts.
    """

    manifest: Manifest
    failures: pd.DataFrame
    provenance: dict[str, Any]


def segment_manifest(
    manifest: Manifest,
    *,
    method: str = "three_way",
    min_speech: float = 0.100,
    min_pause: float = 0.150,
    margin: float = 0.0,
    limits: Limits = USUAL,
    report: Report = silent,
) -> Segmentation:
    """Replace every row of a manifest by rows for its stretches of speech.

    A label is copied to every segment: it was given to the whole recording, and a segment of it
    need not carry the emotion. Keep the segments of one recording on one side of every split; all
    protocols that separate speakers do.

    Parameters
    ----------
    manifest : rows with or without start and end; the new ones lie inside of the old.
    method, min_speech, min_pause, margin : see `speech_segments`.
    limits : of recordings; one that is too long for an analysis can be cut into segments here.
    report : is told how many rows are done.

    Returns
    -------
    Segmentation.

    Raises
    ------
    UnknownNameError, FeatureError, MissingExtraError : see `speech_segments`.
    ManifestError : overlapping rows of which two hold the same stretch.
    """
    settings = {"min_speech": min_speech, "min_pause": min_pause, "margin": margin}
    speech_segments(np.zeros(1), SR, method=method, **settings)  # what is wrong, is wrong at once
    places, spans, failed = [], [], []
    for row, key in enumerate(manifest.rows.index):
        report("speech", row, len(manifest))
        try:
            found = _segments_of(manifest, key, method, settings, limits)
        except SerfeatError as error:
            failed.append((row, "read", error.code, str(error)))
            continue
        if not len(found):
            failed.append((row, "segments", "no-speech", f"{key[0]}: no speech found"))
        places += [row] * len(found)
        spans += found.tolist()
    report("speech", len(manifest), len(manifest))
    how = f"{method} {VERSION}; " + ", ".join(f"{k} {v:g} s" for k, v in settings.items())
    rows = _rows(manifest.rows, places, spans, how)
    about = {
        "method": method,
        "version": VERSION,
        **{f"{k}_s": v for k, v in settings.items()},
        "rows_before": len(manifest),
        "rows": len(rows),
        "failures": len(failed),
        "limits": limits.record,
    }
    return Segmentation(manifest.with_rows(rows), _failures(manifest.rows, failed), about)


def _segments_of(
    manifest: Manifest,
    key: tuple[Any, ...],
    method: str,
    settings: Mapping[str, float],
    limits: Limits,
) -> Floats:
    """(k, 2) s from the beginning of the file."""
    file, start = key[0], key[1].total_seconds()
    end = None if key[2] is pd.NaT else key[2].total_seconds()
    audio = load_audio(
        manifest.path(file), sr=SR, start=start, end=end,
        max_duration=limits.max_duration, allow_truncated=limits.allow_truncated,
    )  # fmt: skip
    if not len(audio.x):
        raise AudioError("no samples at 16 kHz", where=file, code="too-short")
    return np.asarray(start + speech_segments(audio.x, audio.sr, method=method, **settings))


def _rows(before: pd.DataFrame, places: list[int], spans: list[list[float]], how: str) -> Any:
    """The rows at `places` of the old table, on new times."""
    rows = before.iloc[places].copy()
    files = rows.index.get_level_values("file")
    rows.index = clip_index(files, [s[0] for s in spans], [s[1] for s in spans])
    if "duration" in rows.columns:
        rows["duration"] = np.array([s[1] - s[0] for s in spans], dtype=np.float64)
    rows["segmentation"] = pd.Series([how] * len(rows), rows.index, dtype=object).astype(str)
    return rows


def _failures(before: pd.DataFrame, failed: list[tuple[int, str, str, str]]) -> pd.DataFrame:
    index = before.index[[f[0] for f in failed]]
    return pd.DataFrame([f[1:] for f in failed], index, ["stage", "reason", "message"])
