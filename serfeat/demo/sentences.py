"""What is said: the phones, the nonsense sentences, and where each phone lies in time.

Conventions
-----------
A sentence is written with one character a phone: ``'`` opens a stressed syllable, ``.`` an
unstressed one, a space ends a word and ``,`` a phrase. ``S`` is *sh*; ``A`` is the diphthong of
*my*, ``W`` of *now*, ``Y`` of *boy*. The words mean nothing, so no emotion hides in them.
Frequencies in Hz belong to a tract of 17.5 cm (`tract` = 1); times are seconds.

Contents
--------
`PHONES`, `SENTENCES` : the tables.
`timeline`            : a sentence as timed `Segment` rows.
`articulate`          : the segments as controls for the synthesiser, one row a millisecond.

Sources
-------
Vowels: Peterson & Barney (1952), men, table II. Consonant loci and noise bands: Klatt (1980),
tables II and III. Locus equations (the second formant at a consonant's edge leans towards the
vowel): Lindblom (1963). Nasal pole and zero: Klatt (1980), section I.D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from serfeat.types import Floats

__all__ = ["PHONES", "SENTENCES", "Phone", "Segment", "articulate", "bandwidths"]
__all__ += ["neutral_tract", "timeline"]

CONTROL_S = 0.001  # one row of the controls (serfeat.demo.synth.CONTROL_S)
SMOOTH_S = 0.060  # a formant takes this long from one target to the next
ONSET_S = 0.012  # and a sound this long to begin or end
BURST_MS = 12  # a stop's burst; it decays by e in 5 ms
NASAL_HZ = 270.0  # the nasal pole; outside nasals the zero lies on it and cancels it
UPPER_BANDWIDTHS = (220.0, 260.0, 320.0, 400.0, 500.0)  # F4 to F8

Kind = Literal["vowel", "liquid", "nasal", "fricative", "aspirate", "stop", "pause"]
Band = tuple[float, float, float]  # centre Hz, bandwidth Hz, dB re the vowels


@dataclass(frozen=True)
class Phone:
    """One speech sound.

    Parameters
    ----------
    kind : how it is made.
    seconds : duration at a normal rate, unstressed.
    targets : one triple (F1, F2, F3) in Hz; diphthongs have two.
    voicing : amplitude of the voice, 1 in a vowel (in a stop: of the closure).
    noise : up to two bands of friction; in a stop these make the burst.
    vot : s from burst to voice (stops).
    zero : Hz of the anti-formant (nasals).
    """

    kind: Kind
    seconds: float
    targets: tuple[tuple[float, float, float], ...]
    voicing: float = 0.0
    noise: tuple[Band, ...] = ()
    vot: float = 0.0
    zero: float = NASAL_HZ


_LABIAL, _ALVEOLAR, _VELAR = (
    (250.0, 900.0, 2200.0),
    (250.0, 1750.0, 2700.0),
    (250.0, 1900.0, 2300.0),
)
_PALATAL = (270.0, 1850.0, 2500.0)
_P = ((900.0, 1800.0, -16.0),)
_T = ((4200.0, 1500.0, -12.0),)
_K = ((2000.0, 700.0, -12.0),)

# fmt: off
PHONES: dict[str, Phone] = {
    "a": Phone("vowel", .105, ((730, 1090, 2440),), 1.0),
    "e": Phone("vowel", .100, ((530, 1840, 2480),), 1.0),
    "i": Phone("vowel", .095, ((270, 2290, 3010),), 1.0),
    "o": Phone("vowel", .105, ((570, 840, 2410),), 1.0),
    "u": Phone("vowel", .095, ((300, 870, 2240),), 1.0),
    "A": Phone("vowel", .150, ((730, 1090, 2440), (330, 2050, 2700)), 1.0),
    "W": Phone("vowel", .150, ((730, 1090, 2440), (350, 900, 2300)), 1.0),
    "Y": Phone("vowel", .150, ((570, 840, 2410), (330, 2050, 2700)), 1.0),
    "l": Phone("liquid", .065, ((340, 1200, 2700),), .55),
    "m": Phone("nasal", .070, ((270, 1100, 2200),), .45, zero=750.0),
    "n": Phone("nasal", .065, ((270, 1500, 2500),), .45, zero=1150.0),
    "s": Phone("fricative", .105, (_ALVEOLAR,), noise=((5200, 1200, -11), (6800, 1200, -14))),
    "S": Phone("fricative", .105, (_PALATAL,), noise=((2700, 600, -11), (4300, 1500, -14))),
    "f": Phone("fricative", .095, (_LABIAL,), noise=((1500, 2000, -26), (6000, 4000, -22))),
    "h": Phone("aspirate", .060, ((500, 1500, 2500),)),
    "p": Phone("stop", .110, (_LABIAL,), noise=_P, vot=.045),
    "t": Phone("stop", .105, (_ALVEOLAR,), noise=_T, vot=.050),
    "k": Phone("stop", .110, (_VELAR,), noise=_K, vot=.055),
    "b": Phone("stop", .080, (_LABIAL,), .16, noise=_P, vot=.008),
    "d": Phone("stop", .075, (_ALVEOLAR,), .16, noise=_T, vot=.010),
    "g": Phone("stop", .080, (_VELAR,), .16, noise=_K, vot=.014),
    "_": Phone("pause", .160, ((500, 1500, 2500),)),
}

SENTENCES: dict[str, str] = {
    "t1": "'ma.no 'sA.ti,.be 'ku.la",
    "t2": ".di 'fo.men.ta 'Si.go 'la.pu",
    "t3": "'te.ka 'nW.di,.so 'me.li.bu",
    "t4": ".pa 'gi.nu 'ho.se.ma 'tYl",
    "t5": "'Su.bi 'da.lo.ken,'fA.ma.to",
    "t6": ".no 'pe.sa 'li.du,'ka.fi 'mo.ne",
    "t7": "'gu.ma.ni 'ba.ho 'se.tu",
    "t8": ".ke 'da.Si 'lW.po,.mi 'nas.te",
}
# fmt: on


@dataclass(frozen=True)
class Segment:
    """A phone in time; `syllable` counts from 0 (-1 in a pause), `stressed` is its syllable's."""

    start: float
    end: float
    phone: str
    syllable: int
    stressed: bool


def _spell(text: str) -> list[tuple[str, int, bool]]:
    """Split a written sentence into (phone, syllable, stressed)."""
    said: list[tuple[str, int, bool]] = []
    syllable, stressed = -1, False
    for mark in text:
        if mark in "'.":
            syllable, stressed = syllable + 1, mark == "'"
        elif mark == ",":
            said.append(("_", -1, False))
        elif mark != " ":
            said.append((mark, syllable, stressed))
    return said


def timeline(
    text: str, *, duration: float, pauses: float, rng: np.random.Generator
) -> list[Segment]:
    """Lay the phones of a sentence out in time.

    Stressed vowels are a quarter longer, the vowel of the last syllable 40 % (final lengthening),
    each phone varies by 7 %; silence stands before and after.

    Parameters
    ----------
    text : a sentence of `SENTENCES`.
    duration, pauses : factors on the phones and on the pauses between phrases.
    """
    said = _spell(text)
    last = max(syllable for _, syllable, _ in said)
    rows: list[Segment] = []
    clock = 0.0
    for phone, syllable, stressed in [("_", -1, False), *said, ("_", -1, False)]:
        vowel = PHONES[phone].kind == "vowel"
        factor = pauses if phone == "_" else duration
        factor *= 1.25 if vowel and stressed else 1.0
        factor *= 1.40 if vowel and syllable == last else 1.0
        factor *= np.exp(0.07 * rng.standard_normal())
        if phone == "_" and (not rows or len(rows) == len(said) + 1):
            factor = rng.uniform(0.6, 1.0)  # the room before and after, not a pause
        end = clock + factor * PHONES[phone].seconds
        rows.append(Segment(clock, end, phone, syllable, stressed))
        clock = end
    return rows


def neutral_tract(tract: float, n: int) -> Floats:
    """(n,) Hz: the formants of a uniform tube, 500, 1500, 2500, ... times `tract`."""
    tube: Floats = tract * (500.0 + 1000.0 * np.arange(n, dtype=np.float64))
    return tube


def _own_targets(phone: Phone, articulation: float) -> list[Floats]:
    """Targets of a phone, drawn away from (> 1) or towards (< 1) the uniform tube."""
    tube = neutral_tract(1.0, 3)
    pull = articulation if phone.kind == "vowel" else 1.0
    return [tube + pull * (np.array(t, dtype=np.float64) - tube) for t in phone.targets]


def _targets(segments: Sequence[Segment], articulation: float) -> list[list[Floats]]:
    """Formant targets of every segment; consonants lean towards the next vowel (locus)."""
    own = [_own_targets(PHONES[s.phone], articulation) for s in segments]
    following = neutral_tract(1.0, 3)
    for i in range(len(segments) - 1, -1, -1):
        kind = PHONES[segments[i].phone].kind
        if kind == "vowel":
            following = own[i][0]
        elif kind in {"aspirate", "pause"}:
            own[i] = [following]  # h is whispered in the shape of the vowel to come
        else:
            lean = np.array([0.0, 0.4, 0.3])
            own[i] = [own[i][0] + lean * (following - own[i][0])]
    for i in range(1, len(segments)):
        if segments[i].phone == "_":
            own[i] = [own[i - 1][-1]]  # the tract rests where it was
    return own


def _smooth(track: Floats, seconds: float) -> Floats:
    """Move along the first axis with a Hann weight of that width, edges held."""
    width = max(round(seconds / CONTROL_S), 1)
    weights = np.hanning(width + 2)[1:-1]
    weights = weights / weights.sum()
    before = width // 2
    padded: Floats = np.concatenate(
        [track[:1].repeat(before), track, track[-1:].repeat(width - before - 1)]
    )
    rounded: Floats = np.convolve(padded, weights, mode="valid")
    return rounded


def articulate(
    segments: Sequence[Segment], *, tract: float, articulation: float, n_formants: int
) -> dict[str, Floats]:
    """Turn timed phones into the synthesiser's controls.

    Every control jumps from target to target at the segments' edges; a moving Hann weight then
    rounds the jumps, so that short phones miss their targets as they do in fast speech.

    Parameters
    ----------
    segments : the `timeline`.
    tract : formant scale of the speaker (1 = 17.5 cm, larger = shorter tract).
    articulation : 1 as in `PHONES`; above 1 overshoot, below 1 undershoot of the vowels.
    n_formants : resonators, 4 to 8.

    Returns
    -------
    The arrays of `serfeat.demo.synth.Controls` by their names.
    """
    edges = np.rint(np.array([s.start for s in segments] + [segments[-1].end]) / CONTROL_S)
    m = int(edges[-1])
    low = np.empty((m, 3))
    drive = {name: np.zeros(m) for name in ("voicing", "aspiration", "zero")}
    noise = {"hz": np.full((m, 2), 3000.0), "bandwidth": np.full((m, 2), 1000.0)}
    noise |= {"hiss": np.zeros((m, 2)), "burst": np.zeros((m, 2))}
    all_targets = _targets(segments, articulation)
    for segment, targets, a, b in zip(segments, all_targets, edges[:-1], edges[1:], strict=True):
        i, j = int(a), int(b)
        turn = i + int(0.45 * (j - i)) if len(targets) > 1 else j
        low[i:turn], low[turn:j] = targets[0], targets[-1]
        _excite(segment, drive, noise, i, j)
    log_low = np.column_stack([_smooth(np.log(low[:, k]), SMOOTH_S) for k in range(3)])
    upper = np.broadcast_to(neutral_tract(1.0, 8)[3:n_formants], (m, n_formants - 3))
    formants = tract * np.hstack([np.exp(log_low), upper])
    voicing = _smooth(drive["voicing"], ONSET_S)
    hiss = np.column_stack([_smooth(noise["hiss"][:, k], 0.02) for k in range(2)])
    return {
        "voicing": np.where(voicing > 0.03, voicing, 0.0),
        "aspiration": _smooth(drive["aspiration"], ONSET_S),
        "formants": formants,
        "bandwidths": bandwidths(formants),
        "zero": _smooth(drive["zero"], 0.02),
        "noise_hz": noise["hz"] * np.sqrt(tract),
        "noise_bandwidth": noise["bandwidth"],
        "noise_gain": hiss + noise["burst"],
    }


def _excite(
    segment: Segment, drive: dict[str, Floats], noise: dict[str, Floats], i: int, j: int
) -> None:
    """Set the sources of one phone in rows i to j: voice, aspiration, friction or burst."""
    phone = PHONES[segment.phone]
    drive["voicing"][i:j] = phone.voicing * (1.0 if segment.stressed else 0.8)
    drive["zero"][i:j] = phone.zero
    release = max(j - round(phone.vot / CONTROL_S), i)
    if phone.kind == "aspirate":
        drive["aspiration"][i:j] = 1.0
    elif phone.kind == "stop":
        # the closure may hum (b d g); behind the release there is breath until the vowel begins
        drive["voicing"][release:j] *= float(phone.voicing > 0.0)
        drive["aspiration"][release:j] = 0.3 if phone.voicing > 0.0 else 0.7
    for k, (hz, bandwidth, db) in enumerate(phone.noise):
        noise["hz"][i:j, k], noise["bandwidth"][i:j, k] = hz, bandwidth
        gain = 10.0 ** (db / 20.0)
        if phone.kind == "stop":
            rows = noise["burst"][release : release + BURST_MS, k]
            rows[:] = gain * np.exp(-np.arange(rows.size) / 5.0)
        else:
            noise["hiss"][i:j, k] = gain


def bandwidths(formants: Floats) -> Floats:
    """(m, k) Hz: 50 + F1/10 for F1, 90 and 130 Hz for F2 and F3, wider above (Klatt 1980)."""
    wide = np.empty_like(formants)
    wide[:, 0] = 50.0 + 0.05 * formants[:, 0]
    wide[:, 1], wide[:, 2] = 90.0, 130.0
    wide[:, 3:] = UPPER_BANDWIDTHS[: formants.shape[1] - 3]
    return wide
