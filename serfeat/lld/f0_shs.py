"""F0 by subharmonic summation: every spectral peak votes for the pitches it may be a harmonic of.

Conventions
-----------
Hz, NaN where unvoiced, on the grid of the toolkit. A peak at f supports f, f/2, f/3, ...; the
pitch is where most support meets, so that it is found where the fundamental is missing (telephone),
or much weaker than the second harmonic. Only the spectrum below 1250 Hz is looked at, where
harmonics are resolved. Subharmonic summation knows no "unvoiced": that is decided by the
correlation of two neighbouring stretches, one period apart.

Method
------
1. Amplitude spectrum of a Hamming-windowed frame of three longest periods (40 ms).
2. What lies more than two bins (20 Hz) from a local maximum is set to zero, and the rest smoothed
   by (1/4, 1/2, 1/4): the skirts of the window must not vote.
3. Summation over harmonics, ``H(f) = sum_m 0.84^(m-1) W(m f) A(m f)``, at 48 frequencies per
   octave, where the weight W falls off below 65 Hz as hearing does. Hermes shifts a spectrum on
   a logarithmic axis by log2 m, rounded to a 48th; here A is interpolated at m f itself, and since
   interpolation and summation are linear, step 3 is one matrix: a comb for every frequency.
4. The maxima of H are the candidates, each as strong as its H (the highest being 1) times the
   correlation at its period; the Viterbi search of `serfeat.signal.pitch` picks one, or "unvoiced".

Contents
--------
`f0_shs` : the contour of a signal.  `DESCRIPTORS` : "f0_shs".

Sources
-------
D. J. Hermes, "Measurement of pitch by subharmonic summation", JASA 83 (1988) 257-264. Praat manual,
"Sound: To Pitch (shs)...": the settings (0.84, 15, 1250 Hz, 48 per octave) and the criterion of
voicing, a correlation of 0.52. The path search is not part of either.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.jit import jit
from serfeat.shorttime import Descriptor, ShortTime, window
from serfeat.signal.pitch import best_path
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "f0_shs"]

BLOCK = 64  # frames analysed at a time
PERIODS = 3.0  # longest periods per window
HIGHEST = 1250.0  # Hz, end of the spectrum that is looked at
PER_OCTAVE = 48  # frequencies at which the sum is taken
HARMONICS = 15
COMPRESSION = 0.84  # weight of a harmonic, relative to the one below it
BIN = 1250 / 128  # Hz between spectral bins, as in the paper
CANDIDATES = 6  # per frame
ROUNDING = 1e-12  # part of the energy of its neighbour that a constant stretch may keep
CONSTANT = 1e-10  # a signal varying by less than this part of its offset is rounding noise


def f0_shs(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    floor: float = 75.0,
    ceiling: float = 600.0,
    silence: float = 0.03,
    voicing: float = 0.52,
    octave_cost: float = 0.01,
    octave_jump: float = 0.35,
    voiced_unvoiced: float = 0.14,
) -> Floats:
    """Find the F0 contour by subharmonic summation and dynamic programming.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    floor, ceiling : Hz, the range of F0; the ceiling is at most 625 Hz, so that two harmonics lie
        below 1250 Hz, and a quarter of the sample rate.
    voicing : correlation above which a frame is taken for voiced.
    silence, octave_cost, octave_jump, voiced_unvoiced : see `serfeat.signal.pitch.pitch`.

    Returns
    -------
    (n_frames,) Hz; NaN where unvoiced, and everywhere in a clip shorter than ``3 / floor``.

    Raises
    ------
    AudioError : see `ShortTime`.  FeatureError : floor and ceiling do not fit each other.
    """
    return _f0_shs(
        ShortTime(x, sr, hop),
        floor=floor,
        ceiling=ceiling,
        silence=silence,
        voicing=voicing,
        octave_cost=octave_cost,
        octave_jump=octave_jump,
        voiced_unvoiced=voiced_unvoiced,
    )


def _f0_shs(
    st: ShortTime,
    *,
    floor: float = 75.0,
    ceiling: float = 600.0,
    silence: float = 0.03,
    voicing: float = 0.52,
    octave_cost: float = 0.01,
    octave_jump: float = 0.35,
    voiced_unvoiced: float = 0.14,
) -> Floats:
    """Compute the descriptor "f0_shs".

    Returns
    -------
    (n_frames,) Hz.
    """
    if not 0 < floor < ceiling <= min(st.sr / 4, HIGHEST / 2):
        raise FeatureError(
            f"floor {floor} Hz and ceiling {ceiling} Hz at {st.sr} Hz; expected "
            f"0 < floor < ceiling <= {HIGHEST / 2:g} Hz and a quarter of the sample rate",
            where="f0_shs",
            code="bad-range",
            fix="speech lies between 75 and 600 Hz",
        )
    f0 = np.full(st.n_frames, np.nan)
    scale = st.peak
    if st.grid.n_samples < PERIODS * st.sr / floor or scale <= CONSTANT * np.abs(st.x).max():
        return f0
    shortest, longest = st.sr / ceiling, st.sr / floor
    frames = st.frames(2 * (int(PERIODS * longest) // 2), signal=st.centred / scale)
    lags, strengths = np.zeros((2, st.n_frames, CANDIDATES))
    peak = np.zeros(st.n_frames)
    for first in range(0, st.n_frames, BLOCK):
        part = slice(first, min(first + BLOCK, st.n_frames))
        block = frames[part] - frames[part].mean(axis=1, keepdims=True)
        peak[part] = np.abs(block).max(axis=1)
        support = subharmonic_sum(block, st.sr, floor, ceiling)
        _candidates(support, block, shortest, longest, lags[part], strengths[part])
    unvoiced = voicing + np.maximum(0.0, 2 - np.minimum(peak, 1) * (1 + voicing) / silence)
    per_step = 0.01 * st.sr / st.hop  # the costs are given for frames 10 ms apart
    jump, change = octave_jump * per_step, voiced_unvoiced * per_step
    chosen = best_path(lags, strengths, unvoiced, shortest, octave_cost, jump, change)
    rows = np.flatnonzero(chosen >= 0)
    f0[rows] = st.sr / lags[rows, chosen[rows]]
    return f0


def subharmonic_sum(frames: Floats, sr: int, floor: float, ceiling: float) -> Floats:
    """Sum the spectrum of each frame over the harmonics of every possible pitch (steps 1 to 3).

    Returns
    -------
    (n, points) sums of frames (n, length); column k is at ``floor * 2 ** ((k - 1) / 48)`` Hz.
    """
    length = frames.shape[1]
    n_fft = int(scipy.fft.next_fast_len(max(length, round(sr / BIN)), real=True))
    combs = _combs(sr / n_fft, floor, ceiling)
    spectrum = scipy.fft.rfft(frames * window("hamming", length), n_fft, axis=1)
    amplitude = np.abs(spectrum[:, : len(combs)])
    return np.asarray(_peaks_only(amplitude) @ combs, dtype=np.float64)


def _peaks_only(amplitude: Floats) -> Floats:
    """Keep what lies within two bins of a local maximum, and smooth it (step 2).

    Returns
    -------
    (frames, bins) like `amplitude`.
    """
    around = np.pad(amplitude, ((0, 0), (1, 1)))
    summit = (amplitude > around[:, :-2]) & (amplitude >= around[:, 2:])
    near = np.pad(summit, ((0, 0), (2, 2)))
    near = near[:, :-4] | near[:, 1:-3] | near[:, 2:-2] | near[:, 3:-1] | near[:, 4:]
    around[:, 1:-1] *= near
    return np.asarray(0.25 * (around[:, :-2] + 2 * around[:, 1:-1] + around[:, 2:]), np.float64)


@lru_cache(maxsize=8)
def _combs(spacing: float, floor: float, ceiling: float) -> Floats:
    """Make the matrix that interpolates a spectrum at all harmonics and sums them (step 3).

    Parameters
    ----------
    spacing : Hz between the bins of the spectrum.
    floor, ceiling : Hz.

    Returns
    -------
    (bins, points); one point more on either side of the range shows what is a maximum.
    """
    bins = int(HIGHEST / spacing) + 3  # a margin of one bin for the cubic interpolation
    points = int(np.ceil(PER_OCTAVE * np.log2(ceiling / floor))) + 3
    f = floor * 2 ** ((np.arange(points) - 1) / PER_OCTAVE)
    m = np.arange(1, HARMONICS + 1)[:, None]
    hearing = 0.5 + np.arctan(3 * np.log2(m * f / 65.0)) / np.pi
    weight = np.where(m * f <= HIGHEST, COMPRESSION ** (m - 1.0) * hearing, 0.0)
    combs = np.empty((bins, points))
    for b, unit in enumerate(np.eye(bins)):
        shape = scipy.ndimage.map_coordinates(unit, [m * f / spacing], order=3, mode="mirror")
        combs[b] = (weight * shape).sum(axis=0)
    combs.flags.writeable = False
    return combs


@jit
def _candidates(
    support: Floats,
    frames: Floats,
    shortest: float,
    longest: float,
    lags: Floats,
    strengths: Floats,
) -> None:
    """Collect the highest maxima of the subharmonic sum, each with its correlation (step 4).

    Parameters
    ----------
    support : (frames, points) of `subharmonic_sum`.
    frames : (frames, length) samples around each centre.
    shortest, longest : lags of the ceiling and of the floor, in samples.
    lags, strengths : (frames, candidates) receive the candidates; 0 where there are fewer.
    """
    most = lags.shape[1]
    for i in range(len(support)):
        row = support[i]
        highest = row.max()
        if highest <= 0.0:
            continue
        found = 0
        for k in range(1, len(row) - 1):
            if row[k] <= row[k - 1] or row[k] < row[k + 1]:
                continue
            bend = (row[k] - row[k - 1]) + (row[k] - row[k + 1])
            shift = 0.5 * (row[k + 1] - row[k - 1]) / bend
            lag = longest / 2.0 ** ((k - 1 + shift) / PER_OCTAVE)
            if lag < shortest or lag > longest:
                continue
            place = found
            if found == most:  # full: the weakest candidate gives way
                place = int(np.argmin(strengths[i]))
                if strengths[i, place] >= row[k] / highest:
                    continue
            else:
                found += 1
            lags[i, place] = lag
            strengths[i, place] = row[k] / highest
        for c in range(found):
            whole = int(lags[i, c])
            part = lags[i, c] - whole
            r = _correlation(frames[i], whole) * (1.0 - part)
            if part > 0.0:
                r += _correlation(frames[i], whole + 1) * part
            strengths[i, c] *= max(r, 0.0)


@jit
def _correlation(frame: Floats, lag: int) -> float:
    """Correlate two neighbouring stretches of a frame, `lag` samples apart and about its centre.

    Returns
    -------
    the correlation, in [-1, 1]; 0 where a stretch is constant.
    """
    length = len(frame) // 3  # one longest period
    begin = (len(frame) - length - lag) // 2
    sum_a, sum_b, aa, bb, ab = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(begin, begin + length):
        a, b = frame[j], frame[j + lag]
        sum_a += a
        sum_b += b
        aa += a * a
        bb += b * b
        ab += a * b
    here = aa - sum_a * sum_a / length
    there = bb - sum_b * sum_b / length
    if min(here, there) <= ROUNDING * max(aa, bb):
        return 0.0
    return (ab - sum_a * sum_b / length) / math.sqrt(here * there)


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="f0_shs",
        columns=("f0_shs_hz",),
        unit="Hz",
        summary="rate of vocal-fold vibration, by the harmonics that share it",
        source="Hermes 1988 (subharmonic summation); Boersma 1993 (Viterbi)",
        compute=_f0_shs,
        undefined="unvoiced frames",
        oracle="contours whose truth is known: 9 cent rms; plain sums of harmonics: 1e-3; f0 on "
        "EMO-DB: 15 cent in the median",
    ),
)
