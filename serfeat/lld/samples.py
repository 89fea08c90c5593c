"""The waveform itself, cut into frames: what end-to-end networks read.

Frame i holds the samples ``[i * hop, (i + 1) * hop)`` as its columns, zeros after the end of the
clip, so that the frames one after the other are the waveform again: ``values.reshape(-1)[:n]``.
A network that learns from samples then goes through the same tables, folds and batches as one that
reads features. This is the one descriptor whose frames begin at their sample of the grid instead of
being centred on it, and whose columns are no measurements: nothing is windowed, centred or scaled,
since a sample of exactly 0 is what the preparation ``"madd"`` calls silence. For the same reason do
not standardise these columns: that moves the zeros.

The columns are fixed, 160 for the 10 ms of the grid at 16 kHz; a network that expects another rate
could not notice it.

Contents
--------
`samples` : (n,) signal to (frames, 160).

Sources
-------
[1] G. Trigeorgis et al., "Adieu features? End-to-end speech emotion recognition using a deep
    convolutional recurrent network", ICASSP 2016: frames of raw samples as input. The layout is
    ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "samples"]

SR = 16_000  # Hz
HOP = 160  # samples between frames, and in each


def _samples(st: ShortTime) -> Floats:
    if (st.sr, st.hop) != (SR, HOP):
        raise FeatureError(
            f"a hop of {st.hop} samples at {st.sr} Hz, but the columns of samples are the {HOP} "
            f"of {1000 * HOP / SR:g} ms at {SR} Hz",
            code="bad-hop",
            fix="resample to 16 kHz and leave the hop at 0.010 s",
        )
    out = np.zeros(st.n_frames * HOP)
    out[: len(st.x)] = st.x
    return out.reshape(-1, HOP)


def samples(x: ArrayLike, sr: int, *, hop: float = 0.010) -> Floats:
    """Cut the waveform into frames that touch and do not overlap.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1).
    sr : Hz; 16000.
    hop : s; 0.010.

    Returns
    -------
    (1 + n // 160, 160) the samples as they are, zeros after the last one; if n is a multiple of
    160, the last frame is all zeros.

    Raises
    ------
    FeatureError : another rate, or another hop.
    """
    return _samples(ShortTime(x, sr, hop))


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="samples",
        columns=tuple(f"sample_{k}" for k in range(1, HOP + 1)),
        unit="1",
        summary="the waveform, 160 samples a frame, for end-to-end networks; 16 kHz, 10 ms hop",
        source="Trigeorgis et al., ICASSP 2016; the layout is ours",
        compute=_samples,
        oracle="put together again they are the signal: exact",
    ),
)
