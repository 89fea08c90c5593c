"""The Teager energy operator, what it says of a frame, and demodulation with it.

``psi[n] = x[n]^2 - x[n-1] x[n+1]`` needs three samples and measures the energy that the source of
an oscillation spends, amplitude times frequency squared: ``A cos(W n + phi)`` gives exactly
``A^2 sin^2 W``.

Conventions
-----------
Frequencies are Hz; sample n of a result belongs to sample n of the signal; samples without the
neighbours that the operator needs are NaN. Teager energy is negative in places, and "energy" there
only by name: a demodulation with ``psi <= 0`` is undefined, NaN. The mean of the clip is taken away
before frames are made. The sums over a frame touch every sample once: a frame is cut where others
begin, and the pieces are added up (no running sum: that would leave the rounding errors of loud
speech in the silence after it).

Contents
--------
`teager`         : psi, sample by sample.
`desa1`, `desa2` : instantaneous amplitude and frequency (discrete energy separation).
`teo_db`         : level of the mean Teager energy, frame by frame.  `teo_hz` : its frequency.
`desa`           : mean frequency and level by DESA-1, frame by frame.

Built on it: `serfeat.lld.teo_cb_auto_env`, `serfeat.lld.teo_fm_var`, `serfeat.lld.teo_mfcc`.

Sources
-------
[1] J. Kaiser, "On a simple algorithm to calculate the 'energy' of a signal", ICASSP 1990.
[2] P. Maragos, J. Kaiser, T. Quatieri, "Energy separation in signal modulations with application to
    speech analysis", IEEE Trans. Signal Processing 41(10), 1993: DESA-1 and DESA-2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import AudioError, FeatureError
from serfeat.jit import COMPILED, jit
from serfeat.lanes import SUMMED, Row, Rows, pairwise, squares, summed
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

__all__ = [
    "DESCRIPTORS",
    "Demodulation",
    "desa",
    "desa1",
    "desa2",
    "teager",
    "teo_db",
    "teo_hz",
]

# dB re full scale squared: quieter than this is silence.
FLOOR_DB = -100.0
FLOOR = 10 ** (FLOOR_DB / 10)
# 1 - G^2 of a sample that DESA leaves out: its frequency is within 1e-5 rad of 0 or pi, and its
# amplitude next to infinity. On audio of 16 bits G is exactly 1 here and there: rounding would
# decide between 0 and 2e-16.
EDGE = 1e-10
CELLS = 32  # hops summed up at a time: they stay in the cache
TINY = float(np.finfo(np.float64).tiny)  # keeps 0 / 0 away where the result does not count


class Demodulation(NamedTuple):
    """What an oscillation does from sample to sample.

    Attributes
    ----------
    amplitude : (n,) in the unit of the signal.
    frequency : (n,) Hz.
    """

    amplitude: Floats
    frequency: Floats


# -------------------------------------------------------------------------------------- operators
def _psi(x: Floats) -> Floats:
    """(..., n - 2) the operator wherever both neighbours exist."""
    return np.asarray(x[..., 1:-1] * x[..., 1:-1] - x[..., :-2] * x[..., 2:])


def teager(x: ArrayLike) -> Floats:
    """Teager energy of every sample, ``x[n]^2 - x[n-1] x[n+1]`` ([1]).

    Parameters
    ----------
    x : (..., n) signals along the last axis.

    Returns
    -------
    (..., n) in the square of the unit of `x`; NaN at the first and the last sample.
    """
    signal = np.asarray(x, dtype=np.float64)
    out = np.full(signal.shape, np.nan)
    if signal.shape[-1] > 2:
        out[..., 1:-1] = _psi(signal)
    return out


def _mono(x: ArrayLike) -> Floats:
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1:
        raise AudioError(
            f"the signal has shape {signal.shape}, expected (n_samples,)", code="not-mono"
        )
    return signal


def _positive(values: Floats) -> Floats:
    """The values, NaN where they are not above 0."""
    return np.where(values > 0, values, np.nan)


def _aligned(n: int, amplitude: Floats, angle: Floats, sr: float) -> Demodulation:
    """Put results of the samples 2 ... n - 3 in their place; `angle` is rad per sample."""
    defined = np.isfinite(amplitude) & np.isfinite(angle)
    out = Demodulation(np.full(n, np.nan), np.full(n, np.nan))
    out.amplitude[2 : n - 2] = np.where(defined, amplitude, np.nan)
    out.frequency[2 : n - 2] = np.where(defined, angle * (sr / (2 * np.pi)), np.nan)
    return out


def desa1(x: ArrayLike, sr: float) -> Demodulation:
    """Separate amplitude and frequency by DESA-1 ([2]); exact for a sinusoid.

    ``y[n] = x[n] - x[n-1]``, ``G = 1 - (psi y[n] + psi y[n+1]) / (4 psi x[n])``, frequency
    ``arccos G``, amplitude ``sqrt(psi x[n] / (1 - G^2))``.

    Parameters
    ----------
    x : (n,) one oscillation, modulated slowly: a band of a signal rather than the whole of it.
    sr : Hz.

    Returns
    -------
    Demodulation, frequencies up to sr / 2. NaN at the two first and two last samples and where
    the Teager energy is not positive.
    """
    signal = _mono(x)
    n = len(signal)
    if n < 5:
        return Demodulation(np.full(n, np.nan), np.full(n, np.nan))
    psi_y = _psi(np.diff(signal))  # of y[n] for n = 2 ... n - 2
    psi_x = _positive(_psi(signal)[1:-1])
    cosine = np.clip(1 - (psi_y[:-1] + psi_y[1:]) / (4 * psi_x), -1.0, 1.0)
    amplitude = np.sqrt(psi_x / _positive(1 - cosine**2))
    return _aligned(n, amplitude, np.arccos(cosine), sr)


def desa2(x: ArrayLike, sr: float) -> Demodulation:
    """Separate amplitude and frequency by DESA-2 ([2]); exact for a sinusoid.

    ``z[n] = x[n+1] - x[n-1]``, frequency ``arccos(1 - psi z / (2 psi x)) / 2``, amplitude
    ``2 psi x / sqrt(psi z)``. Simpler than DESA-1, but only for frequencies below sr / 4.

    Parameters, returned values and NaN are those of `desa1`.
    """
    signal = _mono(x)
    n = len(signal)
    if n < 5:
        return Demodulation(np.full(n, np.nan), np.full(n, np.nan))
    psi_z = _positive(_psi(signal[2:] - signal[:-2]))
    psi_x = _positive(_psi(signal)[1:-1])
    angle = 0.5 * np.arccos(np.clip(1 - psi_z / (2 * psi_x), -1.0, 1.0))
    return _aligned(n, 2 * psi_x / np.sqrt(psi_z), angle, sr)


# ---------------------------------------------------------------------------------------- frames
def _samples(st: ShortTime, length: float) -> int:
    size = round(length * st.sr)
    if size < 1:
        raise FeatureError(
            f"a window of {length} s is shorter than one sample at {st.sr} Hz", code="bad-length"
        )
    return size


def _frame_sums(
    st: ShortTime, size: int, k: int, reach: int, write: Callable[[Floats, Floats], None]
) -> Floats:
    """Sum k quantities that belong to samples over every frame.

    Frames of m hops and r samples begin in the same place of a hop, so each hop is summed up in two
    pieces: its first r samples, which end a frame, and the others.

    Parameters
    ----------
    size : samples of a frame.
    reach : neighbours that a sample needs on either side; without these it counts as 0.
    write : turns samples, (n + 2 * reach,), into quantities, (k, n), its second argument.

    Returns
    -------
    (k, n_frames).
    """
    hop, n = st.hop, len(st.x)
    whole, rest = divmod(size, hop)
    cells = st.n_frames + whole
    sums = np.empty((2, k, cells))
    edges = np.add.outer(hop * np.arange(CELLS), (0, rest) if rest else (0,)).ravel()
    x, values = np.zeros(CELLS * hop + 2 * reach), np.empty((k, CELLS * hop))
    for first in range(0, cells, CELLS):
        start = first * hop - size // 2 - reach  # of the samples; the values begin `reach` later
        stop = start + len(x)
        if start >= 0 and stop <= n:
            write(st.centred[start:stop], values)
        else:
            begin, end = min(max(0, start), n), max(0, min(stop, n))
            x[:] = 0.0
            x[begin - start : end - start] = st.centred[begin:end]
            write(x, values)
            values[:, : max(0, -start)] = 0.0
            values[:, max(0, n - 2 * reach - start) :] = 0.0
        pieces = np.add.reduceat(values, edges, axis=1)[:, : len(edges) // CELLS * (cells - first)]
        sums[0, :, first : first + CELLS] = pieces[:, ::2] if rest else 0.0
        sums[1, :, first : first + CELLS] = pieces[:, 1::2] if rest else pieces
    return _overlapped(sums, whole)


def _overlapped(sums: Floats, whole: int) -> Floats:
    """Add the pieces of `whole` hops, and the first piece of one more, up to (k, n_frames)."""
    ends, others = sums
    frames: Floats = ends[:, whole:].copy()
    for j in range(whole):
        stop = j + frames.shape[1]
        frames += ends[:, j:stop] + others[:, j:stop]
    return frames


@summed
def _psi_of_rows(x: Rows, _: Rows, at: Row) -> Row:
    """Sum of psi over `SUMMED` samples."""
    places = [at + k for k in range(0, SUMMED, x.width)]
    return pairwise([x.at(p) * x.at(p) - x.at(p - 1) * x.at(p + 1) for p in places])


@jit
def _energies_fast(x: Floats, first: int, hop: int, rest: int, out: Floats) -> None:
    """Sum up psi and the power of the pieces of every hop, in one pass over the signal.

    Parameters
    ----------
    x : (n,) signal.
    first : sample with which the first hop begins.
    hop, rest : samples of a hop, and of its first piece.
    out : (2, 2, cells) receives psi and power of both pieces; what lacks a neighbour counts as 0.
    """
    for cell in range(out.shape[2]):
        for piece in range(2):
            begin = first + cell * hop + piece * rest
            end = min(begin + (hop - rest if piece else rest), len(x) - 1)
            begin = min(max(begin, 1), end)
            psi, power = 0.0, 0.0
            if begin < end:
                whole = begin + (end - begin) // SUMMED * SUMMED
                for j in range(begin, whole, SUMMED):
                    psi += _psi_of_rows(x, x, (j,))
                    power += squares(x, x, (j,))
                for j in range(whole, end):
                    square = x[j] * x[j]
                    psi += square - x[j - 1] * x[j + 1]
                    power += square
            out[piece, 0, cell], out[piece, 1, cell] = psi, power


def _teo(st: ShortTime, *, length: float = 0.025) -> Floats:
    size = _samples(st, length)

    def energies(x: Floats, out: Floats) -> None:
        np.multiply(x[1:-1], x[1:-1], out=out[1])
        np.subtract(out[1], x[:-2] * x[2:], out=out[0])

    if COMPILED:
        whole, rest = divmod(size, st.hop)
        sums = np.empty((2, 2, st.n_frames + whole))
        _energies_fast(st.centred, -(size // 2), st.hop, rest, sums)
        psi, power = _overlapped(sums, whole) / size
    else:
        psi, power = _frame_sums(st, size, 2, 1, energies) / size
    heard = psi > FLOOR
    sine = np.sqrt(np.clip(psi / (2 * np.maximum(power, TINY)), 0.0, 1.0))
    hz = np.where(heard, np.arcsin(sine) * (st.sr / (2 * np.pi)), np.nan)
    return np.column_stack([10 * np.log10(np.maximum(psi, FLOOR)), hz])


def teo_db(x: ArrayLike, sr: int, *, hop: float = 0.010, length: float = 0.025) -> Floats:
    """Level of the mean Teager energy of every frame, ``10 log10 mean psi``.

    The mean of psi over a frame is an energy that weighs a component of W rad per sample by
    ``sin^2 W``: high for bright, tense voices. It depends on the sample rate, as psi does.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1]; its mean is removed.
    sr : Hz.
    hop, length : s between frames, and of a frame.

    Returns
    -------
    (n_frames,) dB re full scale squared; -100 (the floor) in silence and where the mean is not
    positive. A sine of amplitude A and frequency f gives ``20 log10(A sin(2 pi f / sr))``.

    Raises
    ------
    FeatureError : a window shorter than one sample.
    """
    return _teo(ShortTime(x, sr, hop), length=length)[:, 0]


def teo_hz(x: ArrayLike, sr: int, *, hop: float = 0.010, length: float = 0.025) -> Floats:
    """Frequency of the Teager energy: that of a sinusoid with the same psi per power.

    Teager energy over plain energy is ``2 sin^2 W`` for a sinusoid, so the ratio is the mean of a
    squared frequency, weighted by power: how bright the voice is, whatever its level (`teo_db` is
    level and brightness in one number). Not defined by the ratio alone are frequencies above
    sr / 4: they count as their mirror image, as in psi itself.

    Parameters
    ----------
    x : (n,) mono signal; its mean is removed. Gain does not matter above the floor.
    sr : Hz.
    hop, length : s between frames, and of a frame.

    Returns
    -------
    (n_frames,) Hz, at most sr / 4; NaN where `teo_db` is at its floor. A tone with few periods in a
    frame fluctuates: by up to 1 / (8 pi periods) of its frequency.

    Raises
    ------
    FeatureError : a window shorter than one sample.
    """
    return _teo(ShortTime(x, sr, hop), length=length)[:, 1]


def _desa(st: ShortTime, *, length: float = 0.025) -> Floats:
    size = _samples(st, length)

    def separate(x: Floats, out: Floats) -> None:
        psi_y = _psi(x[1:] - x[:-1])
        cosine = psi_y[:-1] + psi_y[1:]
        # Where psi is this small, the cosine is beyond 1: no quotient overflows, none is 0 / 0.
        psi = np.maximum(_psi(x[1:-1]), np.maximum(0.01 * np.abs(cosine), TINY))
        cosine /= -4 * psi
        cosine += 1
        np.clip(cosine, -1.0, 1.0, out=cosine)
        room = 1 - cosine * cosine
        np.multiply(psi, room > EDGE, out=out[0])
        np.multiply(out[0], np.arccos(cosine), out=out[1])
        np.multiply(out[0], np.log(psi / np.maximum(room, EDGE)), out=out[2])

    psi, angle, level = _frame_sums(st, size, 3, 2, separate) / size
    heard = psi > FLOOR
    psi = np.where(heard, psi, np.nan)
    hz = angle / psi * (st.sr / (2 * np.pi))
    return np.column_stack([hz, level / psi * (10 / np.log(10))])


def desa(x: ArrayLike, sr: int, *, hop: float = 0.010, length: float = 0.025) -> Floats:
    """Mean frequency and level of every frame by `desa1` ([2]), weighted by Teager energy.

    The whole of a voice is not one oscillation, and DESA of it is wild where psi is next to 0, so
    samples weigh by their psi; the level is a mean of decibels, because the amplitude has no mean:
    it goes to infinity where the frequency estimate goes through 0.

    Parameters
    ----------
    x : (n,) mono signal in [-1, 1]; its mean is removed.
    sr : Hz.
    hop, length : s between frames, and of a frame.

    Returns
    -------
    (n_frames, 2) frequency in Hz (up to sr / 2) and level in dB re full scale; exactly f and
    ``20 log10 A`` for a sinusoid. NaN in silence (mean psi below -100 dB).

    Raises
    ------
    FeatureError : a window shorter than one sample.
    """
    return _desa(ShortTime(x, sr, hop), length=length)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="teo",
        columns=("teo_db", "teo_hz"),
        unit=("dB", "Hz"),
        summary="level of the mean Teager energy re full scale squared, floor -100 dB; and the "
        "frequency of a sinusoid with as much Teager energy per power",
        source="Kaiser 1990",
        compute=_teo,
        undefined="teo_hz in silence",
        params={"length": 0.025},
        version=2,
        oracle="tone, 20 log10(A sin W) and its frequency, closed form: 1e-9 dB; mean psi frame by "
        "frame in plain NumPy; sinusoid, ramp, exponential: 1e-12",
    ),
    Descriptor(
        name="desa",
        columns=("desa_hz", "desa_amplitude_db"),
        unit=("Hz", "dB"),
        summary="mean instantaneous frequency and amplitude re full scale by DESA-1, weighted by "
        "Teager energy",
        source="Maragos, Kaiser & Quatieri 1993",
        compute=_desa,
        undefined="in silence",
        params={"length": 0.025},
        version=2,
        oracle="desa1 sample by sample, weighted: 1e-9; a sinusoid, closed form: 1e-10; AM-FM of "
        "known course: 4.5e-4 rms (operator), 1 % and 0.15 dB (frames)",
    ),
)
