"""How an emotion is spoken: published prosody rules, and one portrayal of them.

Conventions
-----------
`RULES` holds departures from neutral at full strength: ``*_percent`` multiply (100 = as neutral),
``*_db`` and ``*_st`` (semitones) add. A portrayal of strength s applies ``(value / 100) ** s`` or
``value * s``. Strength is random, and every speaker has habits of its own, so that a classifier
meets weak and untypical portrayals as in a real corpus: a score of 1.0 would only show that the
labels had been written into the audio.

Dimensions
----------
A portrayal also has an arousal and a valence, about -1..1, so that a regression has something to
learn. They are ours, and as synthetic as the rest. **Arousal** is read off what is really spoken:
`AROUSAL_CUES` names five settings (mean and range of F0, tempo, level, spectral tilt), each divided
by what the rule of anger does to it at full strength, and arousal is ``tanh`` of their mean. So
full-strength anger has tanh(1) = .76, and a weakly portrayed one less. **Valence** is the emotion's
own value in `VALENCE` (signs as on Russell's circle, 1980; sizes ours) times the strength: nothing
in the voice says it but the emotion. That valence is harder to hear than arousal is so here too.

Sources
-------
Emofilt: Burkhardt (2005), "Emofilt: the simulation of emotional speech by prosody-transformation",
Interspeech; the values of its emotions.xml (hotAnger, joy, scared, sad, boredom). Russell (1980),
"A circumplex model of affect", Journal of Personality and Social Psychology 39.
Murray & Arnott (1993), J. Acoust. Soc. Am. 93, 1097, table I: the direction where Emofilt is
silent. "own" marks a number of ours in that direction. Emofilt's `jitter` (5 and 10) moves the
pitch of whole frames; taken as jitter_local it would exceed any healthy voice, so its order is
kept (sadness > anger = fear > the rest) and its size is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["AROUSAL_CUES", "RULES", "VALENCE", "Portrayal", "Rule", "portray"]

STRENGTH_MEAN, STRENGTH_SD, STRENGTH_RANGE = 0.78, 0.26, (0.05, 1.2)
HABIT_SD = 0.30  # a speaker's own size of a cue in an emotion, re the rule
SCATTER_PERCENT, SCATTER_DB, SCATTER_ST = 5.0, 1.2, 0.8  # between two utterances, neutral included


class Rule(NamedTuple):
    """A departure from neutral and where it comes from."""

    value: float
    source: str


_E, _MA, _OWN = "Emofilt", "Murray & Arnott 1993", "own"

# fmt: off
RULES: dict[str, dict[str, Rule]] = {
    "neutral": {},
    "anger": {
        "f0_mean_percent": Rule(150, _E), "f0_range_percent": Rule(200, _E),
        "duration_percent": Rule(70, _E), "level_db": Rule(7, f"{_E} (loud), size {_OWN}"),
        "tilt_db": Rule(-6, f"{_E} (loud), size {_OWN}"),
        "jitter_percent": Rule(150, f"{_E} (5), size {_OWN}"),
        "hnr_db": Rule(-2, f"{_MA} (breathy, chest), size {_OWN}"),
        "final_st": Rule(-2, f"{_MA} (abrupt on stress), size {_OWN}"),
        "accent_late_percent": Rule(85, _OWN),
        "articulation_percent": Rule(115, f"{_E} (overshoot), size {_OWN}"),
    },
    "happiness": {
        "f0_mean_percent": Rule(150, _E), "f0_range_percent": Rule(200, _E),
        "duration_percent": Rule(75, f"{_E} (70, vowels 130)"),
        "level_db": Rule(5, f"{_E} (loud), size {_OWN}"),
        "tilt_db": Rule(-3, f"{_E} (loud), size {_OWN}"),
        "hnr_db": Rule(1, _OWN), "final_st": Rule(2, f"{_E} (rising stress contour), size {_OWN}"),
        "accent_late_percent": Rule(130, f"{_E} (rising stress contour), size {_OWN}"),
        "articulation_percent": Rule(105, f"{_MA} (normal)"),
    },
    "fear": {
        "f0_mean_percent": Rule(190, f"{_E} (200)"), "f0_range_percent": Rule(160, _E),
        "duration_percent": Rule(70, _E), "tilt_db": Rule(1, f"{_MA} (normal), size {_OWN}"),
        "jitter_percent": Rule(150, f"{_E} (5), size {_OWN}"), "hnr_db": Rule(-1, _OWN),
        "final_st": Rule(5, f"{_E} (final rise), size {_OWN}"), "pauses_percent": Rule(210, _E),
    },
    "sadness": {
        "f0_mean_percent": Rule(90, f"{_E} (100), {_MA} (slightly lower)"),
        "f0_range_percent": Rule(80, _E), "duration_percent": Rule(140, _E),
        "level_db": Rule(-6, f"{_E} (soft), size {_OWN}"),
        "tilt_db": Rule(6, f"{_E} (soft), size {_OWN}"),
        "jitter_percent": Rule(180, f"{_E} (10), size {_OWN}"),
        "hnr_db": Rule(-3, f"{_MA} (resonant; breathy when soft), size {_OWN}"),
        "final_st": Rule(-1, f"{_MA} (downward inflections), size {_OWN}"),
        "pauses_percent": Rule(150, _OWN), "articulation_percent": Rule(85, f"{_E} (undershoot)"),
    },
    "boredom": {
        "f0_mean_percent": Rule(80, _E), "f0_range_percent": Rule(50, _E),
        "duration_percent": Rule(120, _E), "level_db": Rule(-4, f"{_E} (soft), size {_OWN}"),
        "tilt_db": Rule(3, f"{_E} (soft), size {_OWN}"), "final_st": Rule(1, _OWN),
        "articulation_percent": Rule(90, _OWN),
    },
}
# fmt: on

VALENCE = {
    "neutral": 0.0,
    "anger": -0.6,
    "happiness": 0.8,
    "fear": -0.7,
    "sadness": -0.6,
    "boredom": -0.3,
}

# Setting -> what the rule of anger does to it: octaves of a factor, dB.
AROUSAL_CUES = {
    "f0_mean": float(np.log2(1.5)),
    "f0_range": float(np.log2(2.0)),
    "duration": float(np.log2(0.7)),
    "level_db": 7.0,
    "tilt_db": -6.0,
}


@dataclass(frozen=True)
class Portrayal:
    """One utterance's departures from the speaker's neutral voice (factors, dB, semitones)."""

    emotion: str
    strength: float
    f0_mean: float
    f0_range: float
    duration: float
    pauses: float
    jitter: float
    articulation: float
    accent_late: float
    level_db: float
    tilt_db: float
    hnr_db: float
    final_st: float

    @property
    def arousal(self) -> float:
        """How aroused it sounds, -1..1; see the module."""
        cues = [
            (getattr(self, name) if name.endswith("_db") else np.log2(getattr(self, name))) / full
            for name, full in AROUSAL_CUES.items()
        ]
        return float(np.tanh(np.mean(cues)))

    @property
    def valence(self) -> float:
        """How pleasant it is meant to be, about -1..1; see the module."""
        strength = 0.0 if np.isnan(self.strength) else self.strength
        return VALENCE[self.emotion] * strength


PERCENT = ("f0_mean", "f0_range", "duration", "pauses", "jitter", "articulation", "accent_late")
ADDED = ("level_db", "tilt_db", "hnr_db", "final_st")


def portray(emotion: str, *, rng: np.random.Generator, habits: np.random.Generator) -> Portrayal:
    """Draw one portrayal.

    Parameters
    ----------
    emotion : a key of `RULES`.
    rng : of the utterance: strength (NaN for neutral) and scatter.
    habits : of the speaker and the emotion: the same for all sentences.
    """
    rules = RULES[emotion]
    strength = float(np.clip(rng.normal(STRENGTH_MEAN, STRENGTH_SD), *STRENGTH_RANGE))
    drawn: dict[str, float] = {}
    for name in PERCENT:
        s = strength * habits.normal(1.0, HABIT_SD)
        scatter = SCATTER_PERCENT * (0.3 if name == "articulation" else 1.0) / 100.0
        value = rules.get(f"{name}_percent", Rule(100.0, "")).value / 100.0
        drawn[name] = float(value**s * np.exp(scatter * rng.standard_normal()))
    for name in ADDED:
        s = strength * habits.normal(1.0, HABIT_SD)
        scatter = SCATTER_ST if name.endswith("_st") else SCATTER_DB
        value = rules.get(name, Rule(0.0, "")).value
        drawn[name] = float(value * s + scatter * rng.standard_normal())
    return Portrayal(emotion, strength if rules else float("nan"), **drawn)
