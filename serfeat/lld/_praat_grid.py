"""Praat's analyses on serfeat's grid, under serfeat's names: the backend "praat".

Praat has no fixed grid: it fits as many frames as it can into a clip and centres them. So the clip
is given to it between two stretches of zeros, chosen such that the frames that fit are exactly
ours: frame i centred on sample ``i * hop``, from the first sample of the clip to its last. Nothing
is interpolated or moved. The frames at the edges, which Praat alone would leave out, see the zeros
that every descriptor of serfeat sees there.

Settings are Praat's standard ones and those of our descriptors (75 to 600 Hz; 5 formants below
5500 Hz, at lower rates as many as the band holds). What a column's name promises holds here too:
formants and HNR are those of voiced frames, voiced to Praat. Otherwise NaN is undefined as Praat
says it; a clip shorter than the analysis window, which Praat refuses, is NaN throughout.

Contents
--------
`DESCRIPTORS` : "f0", "f0_cc", "formants", "hnr", "intensity", "jitter", "shimmer".

Sources
-------
Praat manual, "Sound: To Pitch (ac)...", "To Formant (burg)...", "To Harmonicity (cc)...",
"To Intensity...", "Voice 2. Jitter", "Voice 3. Shimmer"; through `serfeat.lld._praat`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from serfeat.lld import _praat
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats, Ints

__all__ = ["DESCRIPTORS", "LICENCE"]

LICENCE = f"{_praat.LICENCE} (Praat)"

FLOOR, CEILING = 75.0, 600.0  # Hz, the range of F0
PITCH_WINDOW = 3 / FLOOR  # s: what "To Pitch (ac)" needs around a frame
CORRELATION_WINDOW = 2 / FLOOR  # s: one period beside the period that it is compared with
INTENSITY_FLOOR = 100.0  # Hz, the lowest voice whose pulses the contour must not follow
INTENSITY_WINDOW = 6.4 / INTENSITY_FLOOR  # s
LEAST = 20 * math.log10(1e-5 / 2e-5)  # dB: our floor, -100 dB re full scale; Praat says -300
N_FORMANTS, CEILING_OF_FORMANTS = 5, 5500.0  # Hz
FORMANT_WINDOW = 0.050  # s: the Gaussian is twice as long as its nominal 25 ms

Analysis = Callable[[Floats], tuple[Floats, Floats]]


def _on_grid(st: ShortTime, signal: Floats, window: float, analyse: Analysis, width: int) -> Floats:
    """Let Praat put its frames on ours.

    Of N samples Praat takes ``1 + (N - window) // hop`` frames and centres them: the first lies at
    ``(N - (frames - 1) hop) / 2``. So that this is where the clip begins, as many samples come
    before it as N leaves after the last frame; a quarter of a hop more than the window needs keeps
    the count clear of rounding.

    Parameters
    ----------
    signal : (n,) the clip, with or without its mean.
    window : s that Praat needs around a frame.
    analyse : gives times (s) and (frames, width) values of a signal.

    Returns
    -------
    (n_frames, width); NaN for a clip shorter than the window.
    """
    out = np.full((st.n_frames, width), np.nan)
    if len(signal) < window * st.sr:
        return out
    before = math.ceil(window * st.sr / 2 + st.hop / 4)
    padded = np.zeros(2 * before + (st.n_frames - 1) * st.hop)
    part = signal[: len(padded) - before]
    padded[before : before + len(part)] = part
    times, values = analyse(padded)
    # The centre of a frame lies between two samples, half a sample before ours.
    rows: Ints = np.rint((times * st.sr + 0.5 - before) / st.hop).astype(np.int64)
    known = (rows >= 0) & (rows < st.n_frames)
    out[rows[known]] = values[known]
    return out


def _f0(st: ShortTime) -> Floats:
    """Compute "f0": (n_frames, 3) Hz, semitones re 27.5 Hz, strength; once for a clip."""
    found: Floats = st.memo("praat f0", lambda: _pitch(st))
    return found


def _voiced(st: ShortTime, values: Floats) -> Floats:
    """Leave of (n_frames, k) what is voiced to Praat, as our descriptors of the names do.

    Praat itself has formants in every frame, of silence too, and a ratio wherever a correlation is.
    """
    return np.asarray(np.where(np.isfinite(_f0(st)[:, :1]), values, np.nan))


def _pitch(st: ShortTime) -> Floats:
    def analyse(x: Floats) -> tuple[Floats, Floats]:
        times, f0, strength = _praat.praat_pitch(
            x, st.sr, hop=st.hop / st.sr, floor=FLOOR, ceiling=CEILING
        )
        return times, np.column_stack([f0, 12 * np.log2(f0 / 27.5), strength])

    return _on_grid(st, st.centred, PITCH_WINDOW, analyse, 3)


def _f0_cc(st: ShortTime) -> Floats:
    """Compute "f0_cc": (n_frames, 1) Hz."""

    def analyse(x: Floats) -> tuple[Floats, Floats]:
        sound = _praat.parselmouth().Sound(x, sampling_frequency=float(st.sr))
        found = sound.to_pitch_cc(
            time_step=st.hop / st.sr, pitch_floor=FLOOR, pitch_ceiling=CEILING
        )
        times = np.asarray(found.xs(), dtype=np.float64) - 0.5 / st.sr
        f0 = np.asarray(found.selected_array["frequency"], dtype=np.float64)
        return times, np.where(f0 > 0, f0, np.nan)[:, None]

    return _on_grid(st, st.centred, CORRELATION_WINDOW, analyse, 1)


def _formants(st: ShortTime) -> Floats:
    """Compute "formants": (n_frames, 6) Hz, F1-F3 and B1-B3."""
    # Below 11 kHz fewer formants in the band that there is, as ours: Praat would resample upwards
    # and fit the empty part too.
    ceiling = min(CEILING_OF_FORMANTS, st.sr / 2)
    count = max(1, round(N_FORMANTS * ceiling / CEILING_OF_FORMANTS))

    def analyse(x: Floats) -> tuple[Floats, Floats]:
        times, *found = _praat.praat_formants(
            x, st.sr, hop=st.hop / st.sr, ceiling=ceiling, count=count
        )
        out = np.full((2, len(times), 3), np.nan)
        out[:, :, :count] = np.stack(found)[:, :, :3]
        return times, np.concatenate(out, axis=1)

    return _voiced(st, _on_grid(st, st.x, FORMANT_WINDOW, analyse, 6))


def _hnr(st: ShortTime) -> Floats:
    """Compute "hnr": (n_frames, 1) dB."""

    def analyse(x: Floats) -> tuple[Floats, Floats]:
        times, ratio = _praat.praat_harmonicity(x, st.sr, hop=st.hop / st.sr, floor=FLOOR)
        return times, ratio[:, None]

    return _voiced(st, _on_grid(st, st.centred, CORRELATION_WINDOW, analyse, 1))


def _intensity(st: ShortTime) -> Floats:
    """Compute "intensity": (n_frames, 1) dB re 2e-5."""

    def analyse(x: Floats) -> tuple[Floats, Floats]:
        sound = _praat.parselmouth().Sound(x, sampling_frequency=float(st.sr))
        found = sound.to_intensity(INTENSITY_FLOOR, st.hop / st.sr, True)
        times = np.asarray(found.xs(), dtype=np.float64) - 0.5 / st.sr
        return times, np.maximum(np.asarray(found.values[0], dtype=np.float64), LEAST)[:, None]

    return _on_grid(st, st.centred, INTENSITY_WINDOW, analyse, 1)


def _perturbation(st: ShortTime) -> tuple[Floats, Floats]:
    """Measure jitter (5,) and shimmer (6,) of a clip once, for both descriptors."""
    if st.grid.n_samples < PITCH_WINDOW * st.sr:
        return np.full(5, np.nan), np.full(6, np.nan)
    found: tuple[Floats, Floats] = st.memo(
        "praat perturbation",
        lambda: _praat.praat_jitter_shimmer(st.x, st.sr, floor=FLOOR, ceiling=CEILING)[:2],
    )
    return found


def _jitter(st: ShortTime) -> Floats:
    """Compute "jitter": (5,)."""
    return _perturbation(st)[0]


def _shimmer(st: ShortTime) -> Floats:
    """Compute "shimmer": (6,)."""
    return _perturbation(st)[1]


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="f0",
        columns=("f0_hz", "f0_semitones", "voicing_strength"),
        unit=("Hz", "semitones re 27.5 Hz", "1"),
        summary="rate of vocal-fold vibration, by Praat",
        source="Praat, Sound: To Pitch (ac), 75 to 600 Hz",
        compute=_f0,
        undefined="unvoiced frames; a clip shorter than 40 ms",
        licence=LICENCE,
    ),
    Descriptor(
        name="f0_cc",
        columns=("f0_cc_hz",),
        unit="Hz",
        summary="rate of vocal-fold vibration by cross-correlation, by Praat",
        source="Praat, Sound: To Pitch (cc), 75 to 600 Hz",
        compute=_f0_cc,
        undefined="unvoiced frames; a clip shorter than 27 ms",
        licence=LICENCE,
    ),
    Descriptor(
        name="formants",
        columns=("f1_hz", "f2_hz", "f3_hz", "b1_hz", "b2_hz", "b3_hz"),
        unit="Hz",
        summary="frequencies and bandwidths of the first three formants, by Praat",
        source="Praat, Sound: To Formant (burg), 5 below 5500 Hz, 25 ms, from 50 Hz",
        compute=_formants,
        version=2,
        undefined="unvoiced frames; where fewer resonances are found; a clip shorter than 50 ms",
        licence=LICENCE,
    ),
    Descriptor(
        name="hnr",
        columns=("hnr_db",),
        unit="dB",
        summary="periodic over aperiodic power of the voice, by Praat",
        source="Praat, Sound: To Harmonicity (cc), 75 Hz, silence 0.1, one period",
        compute=_hnr,
        version=2,
        undefined="unvoiced frames; where Praat says -200 dB; a clip shorter than 40 ms",
        licence=LICENCE,
    ),
    Descriptor(
        name="intensity",
        columns=("intensity_db",),
        unit="dB re 2e-5",
        summary="level smoothed over 64 ms, by Praat; floor -6.02",
        source="Praat, Sound: To Intensity, 100 Hz, mean subtracted",
        compute=_intensity,
        undefined="a clip shorter than 64 ms",
        licence=LICENCE,
    ),
    Descriptor(
        name="jitter",
        columns=("jitter_local", "jitter_absolute_s", "jitter_rap", "jitter_ppq5", "jitter_ddp"),
        unit=("1", "s", "1", "1", "1"),
        summary="cycle-to-cycle variation of the glottal period, by Praat",
        source="Praat, Voice 2, on To PointProcess (periodic, cc)",
        compute=_jitter,
        level="clip",
        undefined="too few periods; a clip shorter than 40 ms",
        licence=LICENCE,
    ),
    Descriptor(
        name="shimmer",
        columns=(
            "shimmer_local",
            "shimmer_local_db",
            "shimmer_apq3",
            "shimmer_apq5",
            "shimmer_apq11",
            "shimmer_dda",
        ),
        unit=("1", "dB", "1", "1", "1", "1"),
        summary="cycle-to-cycle variation of the amplitude of the glottal pulses, by Praat",
        source="Praat, Voice 3, on To PointProcess (periodic, cc)",
        compute=_shimmer,
        level="clip",
        undefined="too few amplitudes; a clip shorter than 40 ms",
        licence=LICENCE,
    ),
)
