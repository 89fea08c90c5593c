"""What each recording of a manifest is like, beside what is said in it.

Two recordings with equal samples are one recording; a rate, a length or a silence that goes with
the label is a way to the label without any emotion. `serfeat.lint` looks at both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from serfeat.audio import load_audio
from serfeat.corpora.recordings import look
from serfeat.errors import AudioError, ManifestError
from serfeat.manifest import Manifest

__all__ = ["recordings"]

Report = Callable[[str, int, int], None]

QUIET = 0.02  # of the peak: what is below it before the first louder sample is silence


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def recordings(manifest: Manifest, report: Report = _silent) -> pd.DataFrame:
    """Say of every recording what it was recorded with, and what is in it.

    Returns
    -------
    One row per file: content (digest of the samples; empty where it cannot be read), sample_rate
    (Hz), channels, duration (s), leading_silence (s), bytes.
    """
    seen = look(manifest, "full", lambda done, total: report("recordings", done, total))
    silence, size = [], []
    for file in manifest.files:
        silence.append(_leading_silence(manifest, file))
        try:
            size.append(float(manifest.path(file).stat().st_size))
        except (OSError, ManifestError):
            size.append(np.nan)
    return pd.DataFrame(
        {
            "content": seen["digest"],
            "sample_rate": seen["sample_rate"].astype(np.float64),
            "channels": seen["channels"].astype(np.float64),
            "duration": seen["duration"].astype(np.float64),
            "leading_silence": silence,
            "bytes": size,
        }
    )


def _leading_silence(manifest: Manifest, file: str) -> float:
    """Seconds before the first sample of `QUIET` of the peak; NaN where it cannot be read."""
    try:
        audio = load_audio(manifest.path(file), sr=None)
    except (AudioError, ManifestError):
        return float("nan")
    level = np.abs(audio.x)
    return float(np.argmax(level >= QUIET * level.max(initial=0.0))) / audio.sr
