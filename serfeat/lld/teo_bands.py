"""TEO-CB-Auto-Env: how regular the Teager energy of a voice is in the critical bands of hearing.

Under stress the air flow in the vocal tract becomes less regular, and so does the Teager energy
``psi[n] = y[n]^2 - y[n-1] y[n+1]`` of a band y of the voice. The feature [1] is the area under the
envelope of the autocorrelation of psi over a frame, in each of 16 bands: 1 for a steady profile,
less for a modulated one (white noise: 0.5 to 0.65, by band).

Conventions
-----------
As in [1], the analysis works at 8 kHz on voiced frames of 25 ms, with the Gabor filters of
`serfeat.signal.gabor`, as wide as the critical bands. Departure: the toolkit's hop of 10 ms (the
paper moves its frames by 12.5 ms).

The area in closed form
-----------------------
With M samples to a frame, sum S and sum of squares Q of psi, and R(k) its autocorrelation,
``R(0) + R(1) + ... + R(M-1) = (S^2 + Q) / 2``, because S^2 counts every product of two samples
twice but the squares once. So ``sum |R| = (S^2 + Q) / 2 + 2 sum_{R < 0} |R|``: lags only matter
where R is negative. That takes a negative psi (in four frames and bands of speech out of ten), and
a bound that costs little shows for nearly all of these that it was too small to matter.

Contents
--------
`teo_cb_auto_env` : the feature.  `BAND_EDGES` : of the critical bands, Hz.

Sources
-------
[1] G. Zhou, J. Hansen, J. Kaiser, "Nonlinear feature based classification of speech under stress",
    IEEE Trans. Speech and Audio Processing 9(3), 2001.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.gabor import RATE, frame_begin, frame_size, gabor_blocks
from serfeat.signal.pitch import pitch
from serfeat.types import Bools, Floats, Ints

__all__ = ["BAND_EDGES", "DESCRIPTORS", "teo_cb_auto_env"]

# Hz: edges of the 16 critical bands of [1], the range of telephone speech.
_LOW_EDGES = (100, 200, 300, 400, 510, 630, 770, 920)
_HIGH_EDGES = (1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700)
BAND_EDGES: tuple[int, ...] = _LOW_EDGES + _HIGH_EDGES
# Hz: centre and bandwidth of each.
_CRITICAL = tuple(((low + high) / 2, float(high - low)) for low, high in pairwise(BAND_EDGES))
# dB re the peak of the clip: a band quieter than this holds rounding noise (that of 16-bit audio is
# at -120 in a band).
EMPTY_DB = -130.0
CHUNK = 8  # samples of psi, and lags, that share a bound


@jit
def _below(psi: Floats, chunks: Floats, where: Ints) -> float:
    """Sum up how far the autocorrelation of a frame goes below 0, over all lags.

    The frame is cut into chunks. A product of two samples is at least that of their chunks' minima,
    if these are positive; one with a negative sample is at least minus its modulus times the other
    chunk's maximum. Negative samples of psi are few and small, so one or two chunks mostly show
    that the `CHUNK` lags that belong to a distance between chunks are positive; where they do not,
    the lags are computed.

    Parameters
    ----------
    psi : the frame, and zeros: ``CHUNK * (count + 1)`` samples in all.
    chunks, where : (3, 2 * count + 2) and (count,) scratch.
    """
    count, found = len(psi) // CHUNK - 1, 0
    least, peak, negative = chunks[0], chunks[1], chunks[2]
    least[count:] = 0.0
    peak[count:] = 0.0
    for j in range(count):
        chunk = psi[CHUNK * j : CHUNK * j + CHUNK]
        low, high, below = chunk[0], 0.0, 0.0
        for value in chunk:
            low, high = min(low, value), max(high, value)
            below += min(value, 0.0)
        least[j], peak[j], negative[j] = max(low, 0.0), high, below
        where[found] = j
        found += below < 0.0
    total = 0.0
    for k in range(count):
        against = 0.0  # a lag that is no multiple of a chunk reaches into two of them
        for j in where[:found]:
            high = max(peak[j + k], peak[j + k + 1])
            if j >= k:
                high += max(peak[j - k], peak[j - k - 1] if j > k else 0.0)
            against -= negative[j] * high
        near, far, j = 0.0, 0.0, 0
        while j < count - k and min(CHUNK * near, near + (CHUNK - 1) * far) < against:
            near += least[j] * least[j + k]
            far += least[j] * least[j + k + 1]
            j += 1
        if min(CHUNK * near, near + (CHUNK - 1) * far) < against:
            for lag in range(CHUNK * k, CHUNK * k + CHUNK, 4):
                total += _four_below(psi, lag)
    return total


@jit
def _four_below(psi: Floats, lag: int) -> float:
    """Sum up how far four lags of the autocorrelation go below 0; `psi` ends in `CHUNK` zeros."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    later = psi[lag:]
    for n in range(len(later) - CHUNK):
        a += psi[n] * later[n]
        b += psi[n] * later[n + 1]
        c += psi[n] * later[n + 2]
        d += psi[n] * later[n + 3]
    return -(min(a, 0.0) + min(b, 0.0) + min(c, 0.0) + min(d, 0.0))


@jit
def _moments(psi: Floats, out: Floats) -> None:
    """Write sum, sum of squares and minimum (0 if all are positive) of two bands to `out`, (3, 2).

    Two strands of each band are summed up side by side: a sum waits for the one before it.
    """
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0
    l0, l1, l2, l3 = 0.0, 0.0, 0.0, 0.0
    for k in range(len(psi) // 4):
        a, b, c, d = psi[4 * k], psi[4 * k + 1], psi[4 * k + 2], psi[4 * k + 3]
        s0, s1, s2, s3 = s0 + a, s1 + b, s2 + c, s3 + d
        q0, q1, q2, q3 = q0 + a * a, q1 + b * b, q2 + c * c, q3 + d * d
        l0, l1, l2, l3 = min(l0, a), min(l1, b), min(l2, c), min(l3, d)
    if len(psi) % 4:
        a, b = psi[-2], psi[-1]
        s0, s1, q0, q1 = s0 + a, s1 + b, q0 + a * a, q1 + b * b
        l0, l1 = min(l0, a), min(l1, b)
    out[0, 0], out[1, 0], out[2, 0] = s0 + s2, q0 + q2, min(l0, l2)
    out[0, 1], out[1, 1], out[2, 1] = s1 + s3, q1 + q3, min(l1, l3)


@jit
def _areas_fast(y: Floats, first: Ints, last: Ints, size: int, least: Floats, area: Floats) -> None:
    """Do what `_areas` does by the closed form, two bands at a time."""
    count = -(-size // CHUNK)
    frame = np.zeros(CHUNK * (count + 1))
    chunks, where = np.empty((3, 2 * count + 2)), np.empty(count, dtype=np.int64)
    moments = np.empty((3, 2))
    psi = np.zeros(2 * y.shape[1])
    for pair in range(len(y)):
        flat = y[pair].reshape(-1)[2 * first[0] - 2 : 2 * last[-1] + 2]
        before, here, after = flat[:-4], flat[2:-2], flat[4:]
        inner = psi[2 * first[0] : 2 * last[-1]]
        for n in range(len(here)):
            inner[n] = here[n] * here[n] - before[n] * after[n]
        for i in range(len(first)):
            part = psi[2 * first[i] : 2 * last[i]]
            _moments(part, moments)
            for side in range(2):
                band = 2 * pair + side
                if band >= len(least) or not moments[1, side] > least[band]:
                    continue
                summed = 0.5 * (moments[0, side] ** 2 + moments[1, side])
                if moments[2, side] < 0.0:
                    frame[: len(part) // 2] = part[side::2]
                    frame[len(part) // 2 :] = 0.0
                    summed += 2.0 * _below(frame, chunks, where)
                area[i, band] = summed / (moments[1, side] * (0.5 * size))


def _areas(y: Floats, first: Ints, last: Ints, size: int, least: Floats, area: Floats) -> None:
    """Area under |R(k)| / R(0), k = 0 ... size - 1, over size / 2.

    Parameters
    ----------
    y : (pairs, samples, 2) signals of the bands.
    first, last : (k,) samples between which each frame lies; outside of these, psi is 0.
    size : samples of a frame, at least ``last - first``.
    least : (bands,) R(0) of an empty band.
    area : (k, bands) receives the areas; stays as it is where a band is empty.
    """
    bands = np.moveaxis(y, 1, 2).reshape(-1, y.shape[1])[: len(least)]
    for i in range(len(first)):
        around = bands[:, first[i] - 1 : last[i] + 1]
        psi = around[:, 1:-1] ** 2 - around[:, :-2] * around[:, 2:]
        spectrum = scipy.fft.rfft(psi, 2 * size, axis=1)
        lags = scipy.fft.irfft(spectrum.real**2 + spectrum.imag**2, axis=1)[:, :size]
        square = np.sum(psi**2, axis=1)
        np.divide(np.abs(lags).sum(1), square * (size / 2), out=area[i], where=square > least)


def _teo_cb(
    st: ShortTime, *, length: float = 0.025, floor: float = 75.0, ceiling: float = 600.0
) -> Floats:
    voiced: Bools = pitch(st, floor=floor, ceiling=ceiling).voiced
    return _regularity(st, np.asarray(voiced, dtype=np.bool_), length)


def _regularity(st: ShortTime, voiced: Bools, length: float) -> Floats:
    """(n_frames, 16) TEO-CB-Auto-Env of the `voiced` frames, NaN elsewhere."""
    out = np.full((st.n_frames, len(_CRITICAL)), np.nan)
    at = np.flatnonzero(voiced)
    size = frame_size(length)
    # What the recording has nothing of stays NaN.
    bands = tuple(band for band in _CRITICAL if band[0] + band[1] / 2 <= st.sr / 2)
    n = -(-len(st.x) * RATE // st.sr)
    if not len(at) or not bands or n < 3:
        return out
    begin = frame_begin(st, at, size)
    centre = np.array(bands)[:, 0]
    # R(0) of a tone with a power of EMPTY_DB re the clip, in the middle of the band
    power = st.peak**2 * 10 ** (EMPTY_DB / 10)
    least = size * (2 * power * np.sin(2 * np.pi * centre / RATE) ** 2) ** 2
    measure = _areas_fast if COMPILED else _areas
    area = np.full((len(at), len(bands)), np.nan)
    first = np.maximum(begin, 1)
    last = np.maximum(first, np.minimum(begin + size, n - 1))
    for rows, start, y in gabor_blocks(st, begin, size, bands):
        measure(y, first[rows] - start, last[rows] - start, size, least, area[rows])
    out[at, : len(bands)] = area
    return out


def teo_cb_auto_env(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    length: float = 0.025,
    voiced: ArrayLike | None = None,
) -> Floats:
    """Compute TEO-CB-Auto-Env: how regular the Teager energy is in 16 critical bands ([1]).

    psi of each band is cut into frames, and the area under the envelope of its normalised
    autocorrelation is divided by half the frame length. The envelope is taken as ``|R(k)|``: the
    modulus of the analytic signal, the other reading of the paper, would give 1.18 for a pure tone
    instead of 1.

    Parameters
    ----------
    x : (n,) mono signal; its mean is removed. Gain does not matter.
    sr : Hz.
    hop, length : s between frames, and of a frame.
    voiced : (n_frames,) frames to analyse; default those that `serfeat.signal.pitch.pitch` finds
        voiced.

    Returns
    -------
    (n_frames, 16) pure numbers, 1 + 1/M for a steady tone of M samples, smaller for an irregular
    one. NaN in unvoiced frames, in bands above sr / 2, and where a band is empty (130 dB
    below the clip's peak: nothing but rounding).

    Raises
    ------
    FeatureError : a `voiced` of another length than the grid, a window shorter than one sample.
    """
    st = ShortTime(x, sr, hop)
    if voiced is None:
        return _teo_cb(st, length=length)
    chosen = np.asarray(voiced, dtype=np.bool_)
    if chosen.shape != (st.n_frames,):
        raise FeatureError(
            f"voiced has shape {chosen.shape}, expected ({st.n_frames},)", code="bad-shape"
        )
    return _regularity(st, chosen, length)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="teo_cb",
        columns=tuple(f"teo_cb_{band}" for band in range(1, len(_CRITICAL) + 1)),
        unit="1",
        summary="TEO-CB-Auto-Env: regularity of the Teager energy in 16 critical bands",
        source="Zhou, Hansen & Kaiser 2001",
        compute=_teo_cb,
        undefined="in unvoiced frames; in bands that are empty or above half the sample rate",
        params={"length": 0.025, "floor": 75.0, "ceiling": 600.0},
        version=2,
        oracle="the definition in plain NumPy: 1e-6; known areas of a tone (1.005), two tones "
        "(0.671), noise (0.60): 5e-4, 2e-3, 0.03",
    ),
)
