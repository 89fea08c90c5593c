"""Whatever the first request of the Sound view would otherwise wait for: imported, it is done.

The workers' fork server imports this module before the first of them is there: the libraries are
loaded, and the kernels compiled or read from their cache, once for all workers.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import scipy.linalg  # noqa: F401
import soundfile

from serfeat.lab.curves import CURVES, OURS, Settings, curves
from serfeat.lab.pictures import slice_at, spectrogram, waveform
from serfeat.lab.sounds import SR, decode

__all__: list[str] = []

SECONDS = 0.5


def _once() -> None:
    """Decode a voice and draw all of it, as a request would."""
    t = np.arange(round(SECONDS * SR)) / SR
    voice = sum(np.cos(2 * np.pi * 120 * h * t) / h for h in range(1, 20)) * 0.2
    with TemporaryDirectory(prefix="serfeat-warm-") as folder:
        file = Path(folder) / "voice.wav"
        soundfile.write(file, voice, SR, subtype="PCM_16")
        recording = decode(file, None, None, file.with_suffix(".npy"))
        curves(recording, ("voicing", *CURVES), OURS, Settings(), 0.0, SECONDS)
        spectrogram(recording, 0.0, SECONDS, 200, Settings().window)
        waveform(recording, 0.0, SECONDS, 200)
        slice_at(recording, SECONDS / 2, Settings())


# A fork server that dies of this would take every worker with it: without a temporary folder, say,
# the first request is slow, and that is all.
with suppress(Exception):
    _once()
