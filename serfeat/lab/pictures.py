"""Pictures of a recording for one width of screen: waveform, spectrogram, one spectrum.

Conventions
-----------
Nothing is computed finer than the screen shows it, so that an hour is as quick as a second: the
waveform is the lowest and the highest sample of every column of pixels, the spectrogram has one
spectrum per column, or the mean power of several where columns are wider than the window.

Levels are dB re full scale: a sinusoid of amplitude 1 has 0 dB in the bin of its frequency.
Spectrograms are raised by 6 dB per octave above `EMPHASIS_FROM`, as spectrographs do, because the
voice falls by about that much; spectra are not.

Contents
--------
`waveform`    : lows and highs, or the samples themselves.
`spectrogram` : levels, one byte each.
`slice_at`    : the spectrum at one moment, and the resonances that linear prediction finds in it.

Sources
-------
J. Makhoul, "Spectral linear prediction: properties and applications", IEEE Trans. ASSP 23(3), 1975:
the predictor of a part of the spectrum (selective linear prediction).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from serfeat.lab.curves import Settings
from serfeat.lab.sounds import Recording
from serfeat.shorttime import cut_frames, squared_magnitude, window
from serfeat.types import Floats

__all__ = ["LOWEST", "STEP", "slice_at", "spectrogram", "waveform"]

Picture = tuple[dict[str, NDArray[Any]], dict[str, Any]]

LOWEST = -127.5  # dB of byte 0
STEP = 0.5  # dB from one byte to the next
EMPHASIS_FROM = 500.0  # Hz
WIDEST = 2400  # columns
ROWS = 256  # frequencies at most
SPECTRA = 6  # per column at most
BLOCK = 64  # frames at a time: they stay in the cache of a core


def waveform(recording: Recording, start: float, end: float, width: int) -> Picture:
    """Lows and highs of the samples in each column of pixels.

    Parameters
    ----------
    start, end : s.
    width : columns.

    Returns
    -------
    ``low`` and ``high`` (columns,) float32, or, where a column holds less than two samples, the
    samples themselves as ``x``; and start and step in s.
    """
    x, sr = recording.x, recording.sr
    first, last = _inside(recording, start, end)
    columns = max(1, min(width, WIDEST))
    if last - first <= 2 * columns:
        samples = np.asarray(x[first:last], dtype=np.float32)
        return {"x": samples}, {"start": first / sr, "step": 1 / sr}
    edges = first + (np.arange(columns + 1) * (last - first)) // columns
    part = np.asarray(x[first:last])
    at = edges[:-1] - first
    low = np.minimum.reduceat(part, at).astype(np.float32)
    high = np.maximum.reduceat(part, at).astype(np.float32)
    return {"low": low, "high": high}, {
        "start": first / sr,
        "step": (last - first) / sr / columns,
    }


def spectrogram(
    recording: Recording, start: float, end: float, width: int, length: float
) -> Picture:
    """Levels by time and frequency, up to half the sample rate.

    Parameters
    ----------
    start, end : s.
    width : columns.
    length : s, of the Hann window.

    Returns
    -------
    ``level`` (columns, rows) uint8: level in dB is ``LOWEST + STEP * byte``, row 0 is 0 Hz; and
    start, step (s), top (Hz of the last row), loudest (the 99.9th percentile, dB).
    """
    x, sr = recording.x, recording.sr
    first, last = _inside(recording, start, end)
    columns = max(1, min(width, WIDEST, 2 * (last - first)))
    size = round(length * sr)
    wide = (last - first) / columns  # samples
    several = int(min(SPECTRA, max(1, np.ceil(wide / size))))
    centres = first + (np.arange(columns * several) + 0.5) * (wide / several)
    levels = _levels(x, np.round(centres).astype(np.int64) - size // 2, size)
    power = levels if several == 1 else levels.reshape(columns, several, -1).mean(axis=1)
    bins = power.shape[1]
    pooled = -(-bins // ROWS)
    if pooled > 1:  # the strongest of neighbours: a mean would lose the lines of a voice
        power = _strongest(power, pooled)
    frequency = np.arange(power.shape[1]) * pooled * sr / 2 / (bins - 1)
    db = 10 * np.log10(np.maximum(power, 1e-20))
    db += 20 * np.log10(np.maximum(frequency, EMPHASIS_FROM) / EMPHASIS_FROM)
    level = np.clip(np.round((db - LOWEST) / STEP), 0, 255).astype(np.uint8)
    return {"level": level}, {
        "start": first / sr,
        "step": wide / sr,
        "top": float(frequency[-1]),
        "lowest": LOWEST,
        "unit": STEP,
        "loudest": float(np.percentile(db, 99.9)),
    }


def _levels(x: NDArray[Any], starts: NDArray[np.int64], size: int) -> Floats:
    """(frames, bins) power of Hann-windowed frames, 1 for a sinusoid of full scale."""
    weights = window("hann_periodic", size)
    points = max(512, 1 << (size - 1).bit_length())
    out = np.empty((len(starts), points // 2 + 1))
    block = np.zeros((min(BLOCK, len(starts)), points))
    scale = (2 / weights.sum()) ** 2
    low = max(0, int(starts.min()))
    part = np.asarray(x[low : int(starts.max()) + size], dtype=np.float64)
    for first in range(0, len(starts), len(block)):
        at = starts[first : first + len(block)] - low
        cut_frames(part, at, weights, block[: len(at)])
        squared_magnitude(scipy.fft.rfft(block[: len(at)], axis=1), out[first : first + len(at)])
    out *= scale
    return out


def _strongest(power: Floats, pooled: int) -> Floats:
    """(frames, bins) -> the largest of every `pooled` bins; the last may be of fewer."""
    out = power[:, ::pooled].copy()
    for k in range(1, pooled):  # whole columns: a maximum along an axis of two is slow
        other = power[:, k::pooled]
        here = out[:, : other.shape[1]]
        np.maximum(here, other, out=here)
    return out


def slice_at(recording: Recording, time: float, settings: Settings) -> Picture:
    """The spectrum at one moment, and the envelope of its linear prediction below `top`.

    Parameters
    ----------
    time : s, the centre of the window.
    settings : window (nominal: the Gaussian is twice as long, as for the formants), order, top.

    Returns
    -------
    ``level`` (bins,) and ``envelope`` (fewer bins, up to `top`) in dB, float32; and step in Hz.
    """
    from scipy.linalg import solve_toeplitz

    sr = recording.sr
    size = 2 * round(settings.window * sr)
    first = round(time * sr) - size // 2
    weights = window("gauss", size)
    points = max(1024, 1 << (size - 1).bit_length())
    frame = np.zeros((1, points))
    low = max(0, first)
    part = np.asarray(recording.x[low : first + size], dtype=np.float64)
    cut_frames(part, np.array([first - low]), weights, frame)
    spectrum = scipy.fft.rfft(frame[0])
    power = (spectrum.real**2 + spectrum.imag**2) * (2 / weights.sum()) ** 2
    step = sr / points
    # Resonances are found in a spectrum without the fall of the voice, and drawn with it.
    rise = 1 + (np.arange(len(power)) * step / 50.0) ** 2
    count = min(len(power), 1 + round(settings.top / step))
    selected = (power * rise)[:count] + 1e-20
    r = scipy.fft.irfft(selected)[: settings.order + 1]
    r[0] *= 1 + 1e-9
    a = np.concatenate([[1.0], -solve_toeplitz(r[:-1], r[1:])])
    gain = float(a @ r)
    angles = np.pi * np.arange(count) / (count - 1)
    response = np.exp(-1j * np.outer(angles, np.arange(len(a)))) @ a
    envelope = gain / np.abs(response) ** 2 / rise[:count]
    return {
        "level": _db(power),
        "envelope": _db(envelope),
    }, {"step": step, "time": time, "order": settings.order, "top": settings.top}


def _db(power: Floats) -> NDArray[np.float32]:
    return np.asarray(10 * np.log10(np.maximum(power, 1e-15)), dtype=np.float32)


def _inside(recording: Recording, start: float, end: float) -> tuple[int, int]:
    """First sample and the one behind the last, at least one sample, inside the recording."""
    first = min(max(0, int(start * recording.sr)), recording.n - 1)
    last = min(max(first + 1, int(np.ceil(end * recording.sr))), recording.n)
    return first, last
