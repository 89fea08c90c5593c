"""librosa's descriptors on serfeat's grid, under serfeat's names: the backend "librosa".

librosa centres frame i on sample ``i * hop`` as serfeat does, so nothing is moved. Only what is the
same quantity is offered:

* "energy", "mfcc39": the same numbers up to rounding; so are the four columns of "spectral" that
  librosa has, of its functions on the power spectrum that ours stands on (their default is the
  magnitude of another window);
* "zcr": librosa divides by the samples of a frame, not by the steps between them (corrected here),
  and repeats the first and last sample beyond the ends where we count the clip only;
* "lpc": the same model of the same pre-emphasised frames by Burg's method, without a window, where
  ours is the autocorrelation method: an envelope about 1 dB away, not the same numbers;
* "f0": pYIN, the only one of librosa's trackers that decides on voicing. It is slow, about two
  hundred times ours, and its F0 lies on a raster of a tenth of a semitone. Its probability of
  voicing is not our voicing strength, so it is a column of its own.

MFCC in the HTK convention is left out: librosa's triangles are linear in Hz and its lifter is
shifted by one coefficient. librosa is an extra (``pip install 'serfeat[librosa]'``); this is the
only file that imports it.

Contents
--------
`DESCRIPTORS` : "f0", "zcr", "energy", "spectral", "mfcc39", "lpc".

Sources
-------
B. McFee et al., "librosa: audio and music signal analysis in Python", SciPy 2015; M. Mauch, S.
Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold distributions", ICASSP
2014.
"""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any

import numpy as np

from serfeat.errors import MissingExtraError
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "LICENCE", "librosa"]

LICENCE = "ISC (librosa)"

FLOOR, CEILING = 75.0, 600.0  # Hz, the range of F0
# Longest periods per window of pYIN, which needs two. In emotional speech it is 40 to 80 cents off
# with librosa's default of 2048 samples, which is nearly ten at 16 kHz, and 8 to 14 with 512.
PERIODS = 2.4
# What varies less than this part of the peak is rounding around a constant.
CONSTANT = 1e-10
LENGTH = 0.025  # s, the window of "zcr", "energy" and "lpc"
ORDER = 12
PREEMPHASIS = 0.97  # before "lpc"
FLOOR_DB = -100.0  # of our "energy", in dB re full scale
GAIN_FLOOR_DB = -120.0  # of our "lpc"


def librosa() -> Any:
    """Import librosa.

    Raises
    ------
    MissingExtraError : it is not installed.
    """
    try:
        return importlib.import_module("librosa")
    except ImportError as error:
        raise MissingExtraError.of("librosa", "librosa", "librosa's descriptors") from error


def _f0(st: ShortTime) -> Floats:
    """Compute "f0": (n_frames, 3) Hz, semitones re 27.5 Hz, probability of voicing."""
    length = 2 * math.ceil(PERIODS / 2 * st.sr / FLOOR)
    frequency, _, chance = librosa().pyin(
        st.centred,
        fmin=FLOOR,
        fmax=CEILING,
        sr=st.sr,
        frame_length=length,
        hop_length=st.hop,
    )
    # In digital silence pYIN may find the ceiling.
    peak = np.abs(st.frames(length, signal=st.centred)).max(axis=1)
    frequency = np.where(peak > CONSTANT * np.abs(st.x).max(), frequency, np.nan)
    return np.column_stack([frequency, 12 * np.log2(frequency / 27.5), chance])


def _zcr(st: ShortTime) -> Floats:
    """Compute "zcr": (n_frames, 1) 1/s."""
    size = round(LENGTH * st.sr)
    fraction = librosa().feature.zero_crossing_rate(
        st.centred, frame_length=size, hop_length=st.hop, threshold=0.0
    )
    return np.asarray(fraction[0, :, None] * (size / (size - 1) * st.sr))


def _energy(st: ShortTime) -> Floats:
    """Compute "energy": (n_frames, 2) dB re full scale, ln of the summed squares on 16 bits."""
    size = round(LENGTH * st.sr)
    rms = librosa().feature.rms(y=st.centred, frame_length=size, hop_length=st.hop)[0]
    db = 20 * np.log10(np.maximum(rms, 10 ** (FLOOR_DB / 20)))
    log_energy = math.log(10) / 10 * db + math.log(size * 32768.0**2)
    return np.column_stack([db, log_energy])


def _spectral(st: ShortTime) -> Floats:
    """Compute "spectral": (n_frames, 4) centroid, spread and rolloff (Hz), flatness."""
    package, size = librosa(), round(LENGTH * st.sr)
    with warnings.catch_warnings():
        # a clip shorter than the transform is padded here as everywhere
        warnings.filterwarnings("ignore", message="n_fft=")
        spectrum = package.stft(
            st.x,
            n_fft=1 << (size - 1).bit_length(),
            hop_length=st.hop,
            win_length=size,
            window=np.hamming(size),
        )
    power = np.abs(spectrum) ** 2
    shape = package.feature
    columns = [
        shape.spectral_centroid(S=power, sr=st.sr),
        shape.spectral_bandwidth(S=power, sr=st.sr),
        shape.spectral_rolloff(S=power, sr=st.sr, roll_percent=0.85),
        shape.spectral_flatness(S=power, power=1.0, amin=1e-30),
    ]
    silent = power.max(axis=0) == 0
    return np.asarray(np.where(silent, np.nan, np.concatenate(columns)).T, dtype=np.float64)


def _mfcc39(st: ShortTime) -> Floats:
    """Compute "mfcc39": (n_frames, 39)."""
    with warnings.catch_warnings():
        # a clip shorter than the window is padded here as everywhere
        warnings.filterwarnings("ignore", message="n_fft=2048 is too large")
        found = librosa().feature.mfcc(y=st.x, sr=st.sr, n_mfcc=39, hop_length=st.hop)
    return np.asarray(found.T, dtype=np.float64)


def _lpc(st: ShortTime) -> Floats:
    """Compute "lpc": (n_frames, 13) coefficients and level (dB) of the residual."""
    samples = st.frames(round(LENGTH * st.sr))
    frames = samples.copy()  # emphasised inside each, as for our own
    frames[:, 1:] -= PREEMPHASIS * samples[:, :-1]
    frames[:, 0] *= 1 - PREEMPHASIS
    a = librosa().lpc(frames, order=ORDER, axis=1)
    past = np.lib.stride_tricks.sliding_window_view(frames, ORDER + 1, axis=1)
    residual = past @ a[:, ::-1, None]
    power = np.mean(residual[..., 0] ** 2, axis=1)
    level = 10 * np.log10(np.maximum(power, 10 ** (GAIN_FLOOR_DB / 10)))
    return np.column_stack([0.0 - a[:, 1:], level])


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="f0",
        columns=("f0_hz", "f0_semitones", "voicing_probability"),
        unit=("Hz", "semitones re 27.5 Hz", "1"),
        summary="rate of vocal-fold vibration by pYIN, by librosa",
        source="librosa.pyin, 75 to 600 Hz; Mauch & Dixon 2014",
        compute=_f0,
        undefined="unvoiced frames (the probability: never)",
        licence=LICENCE,
    ),
    Descriptor(
        name="zcr",
        columns=("zcr_per_s",),
        unit="1/s",
        summary="zero crossings per second, by librosa",
        source="librosa.feature.zero_crossing_rate, 25 ms",
        compute=_zcr,
        licence=LICENCE,
    ),
    Descriptor(
        name="energy",
        columns=("rms_db", "log_energy"),
        unit=("dB", "ln"),
        summary="root mean square re full scale, and HTK's log energy; floor -100 dB, by librosa",
        source="librosa.feature.rms, 25 ms",
        compute=_energy,
        licence=LICENCE,
    ),
    Descriptor(
        name="spectral",
        columns=("centroid_hz", "spread_hz", "rolloff_hz", "spectral_flatness"),
        unit=("Hz", "Hz", "Hz", "1"),
        summary="centroid, spread, rolloff (85 %) and flatness of the power spectrum, by librosa",
        source="librosa.feature.spectral_*, 25 ms Hamming window",
        compute=_spectral,
        undefined="digital silence",
        licence=LICENCE,
    ),
    Descriptor(
        name="mfcc39",
        columns=tuple(f"mfcc_{k}" for k in range(39)),
        unit="1",
        summary="39 static coefficients of librosa's default MFCC, by librosa",
        source="librosa.feature.mfcc(n_mfcc=39)",
        compute=_mfcc39,
        licence=LICENCE,
    ),
    Descriptor(
        name="lpc",
        columns=(*(f"lpc_{k}" for k in range(1, ORDER + 1)), "lpc_gain_db"),
        unit=(*("1",) * ORDER, "dB"),
        summary="linear prediction by Burg's method and level of the residual, by librosa",
        source="librosa.lpc, order 12, pre-emphasis 0.97, 25 ms, no window",
        compute=_lpc,
        version=2,
        licence=LICENCE,
    ),
)
