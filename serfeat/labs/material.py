"""What the labs ask about: a vowel without a name, a small corpus, a player.

Contents
--------
`hear`    : a signal as a player in a notebook.
`mystery` : a steady vowel that is not named.
`speech`  : the synthetic corpus of the later labs, spoken once and kept.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from serfeat.demo import PHONES, Utterance, make_corpus, sustained
from serfeat.demo.folder import wav_bytes
from serfeat.errors import AudioError
from serfeat.store import cache_folder

__all__ = ["EMOTIONS", "Player", "hear", "mystery", "speech"]

VOWELS = "aeiou"
EMOTIONS = ("anger", "boredom", "neutral", "sadness")
LOUDEST = 0.9  # re full scale, what a player plays


@dataclass(frozen=True)
class Player:
    """A sound; a notebook shows it as a player, a terminal as a line of text."""

    wav: bytes
    seconds: float

    def __repr__(self) -> str:
        return f"a sound of {self.seconds:.2f} s (open the lab in a notebook to hear it)"

    def _repr_html_(self) -> str:
        encoded = base64.b64encode(self.wav).decode("ascii")
        return f'<audio controls src="data:audio/wav;base64,{encoded}"></audio>'


def hear(x: ArrayLike, sr: int) -> Player:
    """Make a player of a signal (n,), brought to the same loudest sample as all others.

    Raises
    ------
    AudioError : not one channel, no samples, or samples that are not finite.
    """
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1 or not signal.size or not np.isfinite(signal).all():
        raise AudioError(
            f"a signal of shape {signal.shape}, expected (n,) finite samples",
            where="hear",
            code="not-mono",
        )
    peak = np.abs(signal).max() or 1.0
    return Player(wav_bytes(LOUDEST / peak * signal, sr), signal.size / sr)


def mystery(number: int) -> Utterance:
    """Sing a steady vowel of a voice with some tract and F0: the same for the same `number`.

    Its truth, ``.truth.formants_hz``, is what the questions compare with.
    """
    rng = np.random.default_rng([20, number])
    phone = VOWELS[(3 * number + 1) % len(VOWELS)]
    tract = rng.uniform(0.93, 1.0)  # longer ones would leave a pole without a formant
    targets = [f / tract for f in (*PHONES[phone].targets[0], 3500.0, 4500.0)]
    return sustained(targets, f0=float(rng.uniform(95.0, 125.0)), seconds=0.6, seed=number)


def speech(*, speakers: int = 6, sentences: int = 4) -> Path:
    """Speak the corpus of the later labs: `EMOTIONS`, 96 clips of about 2 s.

    Synthetic, as all of `serfeat.demo`: a score on it says nothing about people.

    Returns
    -------
    Path of ``manifest.csv``, in the folder where serfeat keeps features too.
    """
    folder = cache_folder() / f"labs-speech-{speakers}x{len(EMOTIONS)}x{sentences}"
    return make_corpus(folder, speakers=speakers, sentences=sentences, emotions=EMOTIONS)
