"""Praat, through parselmouth: the only file that imports it.

serfeat does not need Praat. It serves as an independent implementation in the tests, as a second
opinion, and as a speech synthesiser for examples. It is licensed under the GPL: what is computed
here carries `LICENCE`, and the package is an extra (``pip install 'serfeat[praat]'``).

Conventions
-----------
Arrays in, arrays out, and never a path. Praat puts its frames where they fill the clip evenly, not
on serfeat's grid: every contour comes with its times, in seconds, such that sample n lies at
``n / sr`` (Praat says ``(n + 0.5) / sr``; the half sample is taken off here). NaN is undefined.
parselmouth 0.4.x holds Praat 6.1.38: no filtered autocorrelation.

Contents
--------
`parselmouth`          : the package, or `MissingExtraError`.
`praat_pitch`, `praat_formants`, `praat_harmonicity`, `praat_jitter_shimmer` : analyses.
`speak`                : espeak-ng, which Praat has built in.

Sources
-------
Y. Jadoul, B. Thompson, B. de Boer, "Introducing Parselmouth", J. Phonetics 71 (2018) 1-15; P.
Boersma, D. Weenink, Praat: doing phonetics by computer.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import AudioError, FeatureError, MissingExtraError
from serfeat.types import Floats

__all__ = [
    "LICENCE",
    "parselmouth",
    "praat_formants",
    "praat_harmonicity",
    "praat_jitter_shimmer",
    "praat_pitch",
    "speak",
]

LICENCE = "GPL-3.0-or-later"

# What both quotients are made of, in serfeat's order; Praat's names of its commands.
JITTER = ("local", "local, absolute", "rap", "ppq5", "ddp")
SHIMMER = ("local", "local_dB", "apq3", "apq5", "apq11", "dda")


def parselmouth() -> ModuleType:
    """Import parselmouth.

    Raises
    ------
    MissingExtraError : it is not installed.
    """
    try:
        return importlib.import_module("parselmouth")
    except ImportError as error:
        raise MissingExtraError.of("praat-parselmouth", "praat", "Praat") from error


def _call(subject: Any, command: str, *arguments: Any) -> Any:
    """Give Praat a command; its error becomes a `FeatureError`."""
    praat = importlib.import_module("parselmouth.praat")
    try:
        return praat.call(subject, command, *arguments)
    except parselmouth().PraatError as error:
        said = " ".join(str(error).split())
        raise FeatureError(said, where=f"Praat: {command}", code="praat") from error


def _sound(x: ArrayLike, sr: int, shortest: float) -> Any:
    """Make a Praat Sound, of a signal that Praat can analyse.

    Raises
    ------
    AudioError : not mono, not finite, or shorter than `shortest` seconds.
    """
    package = parselmouth()
    if isinstance(x, str | bytes):
        # parselmouth.Sound would open it as a file
        raise AudioError("expected an array of samples, found text", where="Praat", code="not-mono")
    signal = np.ascontiguousarray(x, dtype=np.float64)
    if signal.ndim != 1:
        raise AudioError(
            f"the signal has shape {signal.shape}, expected (n_samples,)",
            where="Praat",
            code="not-mono",
        )
    if not np.isfinite(signal).all():
        raise AudioError("samples are NaN or infinite", where="Praat", code="non-finite")
    if len(signal) < shortest * sr:
        raise AudioError(
            f"{len(signal) / sr:.4f} s, expected at least {shortest:.4f} s",
            where="Praat",
            code="too-short",
        )
    return package.Sound(signal, sampling_frequency=float(sr))


def _times(analysis: Any, sr: int) -> Floats:
    """Times of the frames: s, sample n at ``n / sr``."""
    return np.asarray(analysis.xs(), dtype=np.float64) - 0.5 / sr


def praat_pitch(
    x: ArrayLike, sr: int, *, hop: float = 0.010, floor: float = 75.0, ceiling: float = 600.0
) -> tuple[Floats, Floats, Floats]:
    """Run "To Pitch (ac)" with Praat's standard settings.

    Returns
    -------
    times (s), F0 (Hz) and strength, one per frame of Praat's; NaN where unvoiced.

    Raises
    ------
    AudioError, FeatureError, MissingExtraError
    """
    sound = _sound(x, sr, 3 / floor)
    try:
        found = sound.to_pitch_ac(time_step=hop, pitch_floor=floor, pitch_ceiling=ceiling)
    except parselmouth().PraatError as error:
        raise FeatureError(" ".join(str(error).split()), where="Praat", code="praat") from error
    chosen = found.selected_array
    voiced = chosen["frequency"] > 0
    f0 = np.where(voiced, chosen["frequency"], np.nan)
    return _times(found, sr), f0, np.where(voiced, chosen["strength"], np.nan)


def praat_formants(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    ceiling: float = 5500.0,
    count: int = 5,
    window: float = 0.025,
) -> tuple[Floats, Floats, Floats]:
    """Run "To Formant (burg)".

    Parameters
    ----------
    x, sr : (n,) mono signal and its rate, Hz.
    hop : s between frames.
    ceiling : Hz: 5000 for men, 5500 for women, about 8000 for children.
    count : formants below the ceiling.
    window : s; Praat's Gaussian window is twice as long.

    Returns
    -------
    times (s), (frames, count) frequencies and (frames, count) bandwidths (Hz); NaN where absent.

    Raises
    ------
    AudioError, FeatureError, MissingExtraError
    """
    sound = _sound(x, sr, 2 * window)
    found = _call(sound, "To Formant (burg)", hop, count, ceiling, window, 50.0)
    at = found.xs()
    orders = range(1, count + 1)
    frequencies = [[found.get_value_at_time(k, t) for k in orders] for t in at]
    bandwidths = [[found.get_bandwidth_at_time(k, t) for k in orders] for t in at]
    shape = (len(at), count)
    return (
        _times(found, sr),
        np.array(frequencies, dtype=np.float64).reshape(shape),
        np.array(bandwidths, dtype=np.float64).reshape(shape),
    )


def praat_harmonicity(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    floor: float = 75.0,
    silence: float = 0.1,
    periods: float = 1.0,
) -> tuple[Floats, Floats]:
    """Run "To Harmonicity (cc)".

    Parameters
    ----------
    x, sr : (n,) mono signal and its rate, Hz.
    hop : s between frames.
    floor : Hz, the lowest F0.
    silence : part of the peak below which a frame is silent.
    periods : longest periods per window.

    Returns
    -------
    times (s) and harmonics-to-noise ratio (dB); NaN where unvoiced (Praat says -200).

    Raises
    ------
    AudioError, FeatureError, MissingExtraError
    """
    sound = _sound(x, sr, (periods + 1) / floor)
    found = _call(sound, "To Harmonicity (cc)", hop, floor, silence, periods)
    values = np.asarray(found.values[0], dtype=np.float64)
    return _times(found, sr), np.where(values > -199, values, np.nan)


def praat_jitter_shimmer(
    x: ArrayLike, sr: int, *, floor: float = 75.0, ceiling: float = 600.0
) -> tuple[Floats, Floats, Floats]:
    """Run "Get jitter" and "Get shimmer" on "To PointProcess (periodic, cc)".

    Returns
    -------
    jitter (5,), shimmer (6,), in the order of `serfeat.lld.perturbation`, and the pulses (s).

    Raises
    ------
    AudioError, FeatureError, MissingExtraError
    """
    sound = _sound(x, sr, 3 / floor)
    points = _call(sound, "To PointProcess (periodic, cc)", floor, ceiling)
    limits = (0, 0, 1e-4, 0.02, 1.3)
    jitter = [_call(points, f"Get jitter ({name})", *limits) for name in JITTER]
    both = [sound, points]
    shimmer = [_call(both, f"Get shimmer ({name})", *limits, 1.6) for name in SHIMMER]
    count = int(_call(points, "Get number of points"))
    times = [_call(points, "Get time from index", k + 1) for k in range(count)]
    return (
        np.array(jitter, dtype=np.float64),
        np.array(shimmer, dtype=np.float64),
        np.array(times, dtype=np.float64) - 0.5 / sr,
    )


def speak(
    text: str,
    *,
    language: str = "English (Great Britain)",
    voice: str = "Female1",
    sr: int = 44100,
    rate: int = 175,
    pitch: float = 1.0,
    pitch_range: float = 1.0,
    word_gap: float = 0.01,
) -> tuple[Floats, int]:
    """Say a sentence with the synthesiser that Praat has built in (espeak-ng, by formants).

    The synthesiser remembers its last sentence: the same call twice differs by some samples.

    Parameters
    ----------
    text : what to say, in the spelling of `language`.
    language : as Praat lists them: "English (America)", "German", "French (France)", ...
    voice : a variant: "Female1" ... "Female5", "Male1" ... "Male7", "Croak", "Whisper", ...
    sr : Hz.
    rate : words per minute, 80 to 450.
    pitch : 0.5 to 2, factor of the voice's mean F0.
    pitch_range : 0 to 2, factor of its melody: 0 is monotonous.
    word_gap : s between words.

    Returns
    -------
    (n,) float64 samples in [-1, 1), and `sr`.

    Raises
    ------
    FeatureError : an unknown language or voice, a setting out of range, nothing to say.
    MissingExtraError
    """
    settings = {"pitch": (pitch, 0.5, 2.0), "pitch_range": (pitch_range, 0.0, 2.0)}
    settings |= {"rate": (rate, 80, 450), "word_gap": (word_gap, 0.0, 10.0), "sr": (sr, 8e3, 96e3)}
    for name, (value, least, most) in settings.items():
        if not least <= value <= most:
            raise FeatureError(
                f"{name} is {value}, expected {least} to {most}", where="speak", code="bad-range"
            )
    if not text.strip():
        raise FeatureError("there is nothing to say", where="speak", code="empty-text")
    parselmouth()
    praat = importlib.import_module("parselmouth.praat")
    try:
        synthesiser = praat.call("Create SpeechSynthesizer", language, voice)
    except parselmouth().PraatError as error:
        said = " ".join(str(error).split())
        raise FeatureError(
            said,
            where="speak",
            code="unknown-name",
            fix='languages are spelled as in Praat ("German"), voices "Male1", "Female1", ...',
        ) from error
    _call(synthesiser, "Speech output settings", sr, word_gap, pitch, pitch_range, rate, "IPA")
    made = _call(synthesiser, "To Sound", text, "no")
    sound = made[0] if isinstance(made, list) else made
    samples = np.ascontiguousarray(sound.values[0], dtype=np.float64)
    return samples, round(sound.sampling_frequency)
