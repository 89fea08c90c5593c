"""TEO-FM-Var: how much the frequency of a voice's fundamental varies within a frame.

The third of the features for speech under stress of [1], besides TEO-CB-Auto-Env
(`serfeat.lld.teo_cb_auto_env`): a Gabor filter at the clip's median F0 leaves the fundamental, its
instantaneous frequency follows by demodulation with the Teager energy (DESA-1, [2]), and the
variance of that within 25 ms is the feature. It is large where the voice is irregular, and also
where F0 is far from its median: the filter then lets a mixture pass.

Conventions
-----------
Filter and rate (8 kHz) are those of `serfeat.signal.gabor`; voiced frames only. The variance is
divided by the square of the median F0: a pure number, comparable between voices.

Contents
--------
`teo_fm_var` : the contour of a signal.

Sources
-------
[1] G. Zhou, J. Hansen, J. Kaiser, "Nonlinear feature based classification of speech under stress",
    IEEE Trans. Speech and Audio Processing 9(3), 2001.
[2] P. Maragos, J. Kaiser, T. Quatieri, "Energy separation in signal modulations with application to
    speech analysis", IEEE Trans. Signal Processing 41(10), 1993.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.gabor import RATE, frame_begin, frame_size, gabor_blocks
from serfeat.signal.pitch import pitch
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "teo_fm_var"]

TINY = float(np.finfo(np.float64).tiny)
# psi re the square of the clip's peak: with less, a frame holds nothing but rounding.
LEAST = 1e-16


def _desa1(y: Floats) -> tuple[Floats, Floats]:
    """Teager energy (next to 0 where not positive) and frequency in rad per sample, by DESA-1.

    Both belong to the samples 2 ... n - 3 of `y`, as in `serfeat.lld.desa1`.
    """
    d = y[1:] - y[:-1]
    psi_d = d[1:-1] * d[1:-1] - d[:-2] * d[2:]
    both = psi_d[:-1] + psi_d[1:]
    psi = np.maximum(y[2:-2] * y[2:-2] - y[1:-3] * y[3:-1], TINY)
    # Where psi is next to nothing, the cosine is beyond 1: the quotient need not overflow.
    cosine = 1 - both / (4 * np.maximum(psi, 0.01 * np.abs(both)))
    return psi, np.arccos(np.clip(cosine, -1.0, 1.0))


def _teo_fm_var(
    st: ShortTime, *, length: float = 0.025, floor: float = 75.0, ceiling: float = 600.0
) -> Floats:
    f0 = pitch(st, floor=floor, ceiling=ceiling).f0
    out = np.full(st.n_frames, np.nan)
    at = np.flatnonzero(np.isfinite(f0))
    if not len(at):
        return out
    size, centre = frame_size(length), float(np.median(f0[at]))
    begin = frame_begin(st, at, size)
    variance = np.full(len(at), np.nan)
    for rows, start, y in gabor_blocks(st, begin, size, ((centre, centre / 2),)):
        psi, angle = _desa1(np.ascontiguousarray(y[0, :, 0]))
        deviation = angle * (RATE / (2 * np.pi * centre)) - 1
        moments = np.stack([psi, psi * deviation, psi * deviation * deviation])
        edges = np.add.outer(begin[rows] - start - 2, (0, size)).ravel()
        # The sums between the edges of a frame; those from its end to the next are left out.
        weight, first, second = np.add.reduceat(moments, edges, axis=1)[:, ::2]
        heard = weight > size * LEAST * st.peak**2
        mean, square = first[heard] / weight[heard], second[heard] / weight[heard]
        variance[rows.start + np.flatnonzero(heard)] = np.maximum(square - mean * mean, 0.0)
    out[at] = variance
    return out


def teo_fm_var(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    floor: float = 75.0,
    ceiling: float = 600.0,
) -> Floats:
    """Compute TEO-FM-Var: how much the frequency of the fundamental varies within a frame ([1]).

    A Gabor filter at the clip's median F0, half an F0 wide, leaves the fundamental (and what the
    voice has instead when it is irregular); DESA-1 gives its instantaneous frequency. The variance
    is divided by the square of the median F0. Departure: samples weigh by their Teager energy,
    because DESA's frequency is arbitrary where there is next to none.

    Parameters
    ----------
    x : (n,) mono signal; its mean is removed. Gain does not matter.
    sr : Hz.
    hop, length : s between frames, and of a frame.
    floor, ceiling : Hz, the range of F0; see `serfeat.signal.pitch.pitch`.

    Returns
    -------
    (n_frames,) variance of the frequency over the squared median F0, a pure number: 0 for a steady
    tone, ``m^2 / 2`` for a frequency that swings by a part m of F0 (as far as the filter lets it).
    NaN in unvoiced frames.

    Raises
    ------
    FeatureError : see `serfeat.signal.pitch.pitch`; a window shorter than one sample.
    """
    return _teo_fm_var(ShortTime(x, sr, hop), length=length, floor=floor, ceiling=ceiling)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="teo_fm_var",
        columns=("teo_fm_var",),
        unit="1",
        summary="TEO-FM-Var: variance of the fundamental's instantaneous frequency within a frame, "
        "over the squared median F0",
        source="Zhou, Hansen & Kaiser 2001",
        compute=_teo_fm_var,
        undefined="in unvoiced frames",
        params={"length": 0.025, "floor": 75.0, "ceiling": 600.0},
        version=2,
        oracle="known modulation, m^2 / 2: 3 %; desa1 of the filtered clip, frame by frame",
    ),
)
