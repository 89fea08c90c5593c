"""What each recording of a manifest is like, beside what is said in it.

Two recordings with equal samples are one recording; a rate, a length or a silence that goes with
the label is a way to the label without any emotion. `serfeat.lint` looks at both.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from serfeat.audio import USUAL, Limits, load_audio
from serfeat.corpora.recordings import look
from serfeat.errors import AudioError, ManifestError
from serfeat.manifest import Manifest
from serfeat.types import Report, silent

__all__ = ["recordings"]

QUIET = 0.02  # of the peak: what is below it before the first louder sample is silence


def recordings(
    manifest: Manifest, report: Report = silent, *, limits: Limits = USUAL
) -> pd.DataFrame:
    """Say of every recording what it was recorded with, and what is in it.

    Parameters
    ----------
    report : is called with (stage, done, total).
    limits : of what is taken of truncated and of long recordings; what is there of a truncated one
        has a digest as well.

    Returns
    -------
    One row per file: content (digest of the samples; empty where it cannot be read), sample_rate
    (Hz), channels, duration (s), leading_silence (s), bytes.
    """
    seen = look(manifest, "full", lambda done, total: report("recordings", done, total))
    heard, size = [], []
    for file in manifest.files:
        heard.append(_heard(manifest, file, limits))
        try:
            size.append(float(manifest.path(file).stat().st_size))
        except (OSError, ManifestError):
            size.append(np.nan)
    names = ("content", "sample_rate", "duration", "leading_silence")
    found = pd.DataFrame(heard, index=seen.index, columns=list(names))
    unread = (seen["digest"] == "") & (found["content"] != "")  # by libsndfile, or not to its end
    return pd.DataFrame(
        {
            "content": seen["digest"].mask(unread, found["content"]),
            "sample_rate": seen["sample_rate"].astype(np.float64).fillna(found["sample_rate"]),
            "channels": seen["channels"].astype(np.float64),
            "duration": seen["duration"].astype(np.float64).mask(unread, found["duration"]),
            "leading_silence": found["leading_silence"],
            "bytes": size,
        }
    )


def _heard(manifest: Manifest, file: str, limits: Limits) -> dict[str, Any]:
    """What the decoder makes of a recording; nothing where it cannot be read."""
    try:
        audio = load_audio(
            manifest.path(file), sr=None,
            max_duration=limits.max_duration, allow_truncated=limits.allow_truncated,
        )  # fmt: skip
    except (AudioError, ManifestError):
        return {"content": "", "sample_rate": np.nan, "duration": np.nan, "leading_silence": np.nan}
    level = np.abs(audio.x)
    return {
        "content": hashlib.blake2b(np.ascontiguousarray(audio.x).data, digest_size=16).hexdigest(),
        "sample_rate": float(audio.original_sr),
        "duration": len(audio.x) / audio.sr,
        "leading_silence": float(np.argmax(level >= QUIET * level.max(initial=0.0))) / audio.sr,
    }
