"""Real words: the speech synthesiser of praat-parselmouth, with prosody by the same rules.

Conventions
-----------
Voice, pitch, range and rate are set in the synthesiser; level and spectral tilt, which it does not
offer, are set afterwards. Jitter and breath stay those of the voice. The truth columns say what
was asked, not what came out. The synthesiser keeps a state from call to call: the same corpus
again in a fresh process has the same bytes, a second one in the same process differs by some
milliseconds.
"""

from __future__ import annotations

import numpy as np

from serfeat.types import Floats

__all__ = ["TEXTS", "VOICES", "speak"]

TEXTS: dict[str, str] = {
    "t1": "The blue cup is on the kitchen table.",
    "t2": "We will take the bus at seven o'clock.",
    "t3": "She put the letters back in the drawer.",
    "t4": "There are two apples left in the bag.",
    "t5": "He parked the car behind the library.",
    "t6": "The meeting starts after the lunch break.",
    "t7": "I left my umbrella near the front door.",
    "t8": "They painted the fence last weekend.",
}

# speaker -> (voice of the synthesiser, its sex)
VOICES: dict[str, tuple[str, str]] = {
    "s1": ("Female1", "female"),
    "s2": ("Male1", "male"),
    "s3": ("Female2", "female"),
    "s4": ("Male2", "male"),
    "s5": ("Female4", "female"),
    "s6": ("Male3", "male"),
    "s7": ("Female5", "female"),
    "s8": ("Male7", "male"),
}

# Measured over these voices: the multiplier asked for, and the ratio of median F0 that came out.
PITCH_ASKED = (0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
PITCH_GOT = (0.65, 0.73, 0.86, 1.0, 1.18, 1.36, 1.70)
WORDS_PER_MINUTE, RATE_LIMITS = 175.0, (80.0, 450.0)
SR = 16000
LEVEL_DB, LEVEL_SD_DB, PEAK = -27.0, 1.5, 0.95
TILT_HZ = (500.0, 3000.0)


def speak(
    name: str,
    sentence: str,
    *,
    f0_mean: float,
    f0_range: float,
    duration: float,
    level_db: float,
    tilt_db: float,
    rng: np.random.Generator,
) -> tuple[Floats, int, dict[str, str | float]]:
    """Speak one sentence of `TEXTS` with a voice of `VOICES`.

    Parameters
    ----------
    f0_mean, f0_range, duration : factors on the voice's own.
    level_db : re the corpus' usual level; tilt_db : extra loss at 3 kHz.

    Returns
    -------
    x (n,), sr, and the manifest's columns: sex, voice and what was asked (within what the
    synthesiser can do: pitch 0.65 to 1.7, range up to 2).

    Raises
    ------
    MissingExtraError : parselmouth is not installed.
    """
    from serfeat.lld import _praat

    voice, sex = VOICES[name]
    pitch = float(np.interp(f0_mean, PITCH_GOT, PITCH_ASKED))
    got = float(np.interp(pitch, PITCH_ASKED, PITCH_GOT))
    # the synthesiser's range is one in Hz: at a higher pitch it spans fewer semitones
    spread = float(np.clip(f0_range * got, 0.0, 2.0))
    rate = round(float(np.clip(WORDS_PER_MINUTE / duration, *RATE_LIMITS)))
    x, sr = _praat.speak(
        TEXTS[sentence],
        language="English (America)",
        voice=voice,
        sr=SR,
        rate=rate,
        pitch=pitch,
        pitch_range=spread,
    )
    x = _tilt(x, tilt_db, sr)
    wanted = LEVEL_DB + level_db + LEVEL_SD_DB * rng.standard_normal()
    gain = 10.0 ** (wanted / 20.0) / float(np.sqrt(np.mean(x * x)))
    gain = min(gain, PEAK / float(np.abs(x).max()))
    asked: dict[str, str | float] = {
        "sex": sex,
        "voice": voice,
        "truth_asked_f0_factor": got,
        "truth_asked_f0_range_factor": spread / got,
        "truth_asked_duration_factor": WORDS_PER_MINUTE / rate,
        "truth_asked_tilt_db": tilt_db,
        "truth_level_db": float(20.0 * np.log10(gain * np.sqrt(np.mean(x * x)))),
    }
    return gain * x, sr, asked


def _tilt(x: Floats, loss_db: float, sr: int) -> Floats:
    """Tilt the spectrum by `loss_db` between 500 Hz and 3 kHz, evenly in octaves, flat outside."""
    hz = np.fft.rfftfreq(x.size, 1.0 / sr).clip(*TILT_HZ)
    share = np.log2(hz / TILT_HZ[0]) / np.log2(TILT_HZ[1] / TILT_HZ[0])
    tilted: Floats = np.fft.irfft(np.fft.rfft(x) * 10.0 ** (-loss_db * share / 20.0), x.size)
    return tilted
