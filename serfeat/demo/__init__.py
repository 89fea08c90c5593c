"""The embedded corpus: synthetic emotional speech whose truth is known.

A source-filter synthesiser speaks nonsense sentences with the prosody that published rules give
to an emotion. Nothing is downloaded and nothing is stored in the repository. Two uses: a corpus
that is there on every machine, and an oracle for tests, because F0, formants, jitter, shimmer and
HNR of every utterance are known. **It is synthetic: scores on it show that a pipeline runs and
say nothing about people.**

Conventions
-----------
Signals are float64 at 16 kHz, speakers "s1" (female), "s2" (male), ..., sentences "t1" to "t8".
An utterance depends on (corpus seed, speaker, emotion, sentence) alone: spoken by itself it is
the same as in the corpus, whatever the order or the number of workers.

Contents
--------
`make_corpus` : write WAV files, ``manifest.csv`` and ``manifest.toml`` into a folder.
`utterance`   : speak one sentence, with its `Truth`.
`sustained`   : a steady vowel of given F0, formants, jitter, shimmer and HNR.
`EMOTIONS`, `RULES`, `SENTENCES`, `PHONES` : the tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from serfeat.demo import folder as _folder
from serfeat.demo import words
from serfeat.demo.rules import RULES, Portrayal, Rule, portray
from serfeat.demo.sentences import (
    NASAL_HZ,
    PHONES,
    SENTENCES,
    Segment,
    articulate,
    bandwidths,
    timeline,
)
from serfeat.demo.synth import CONTROL_S, Controls, Quality, render
from serfeat.demo.truth import Truth, measure
from serfeat.demo.voice import Speaker, draw_speaker, intonation
from serfeat.errors import CorpusError, FeatureError, did_you_mean
from serfeat.types import Floats

__all__ = [
    "EMOTIONS",
    "ENGINES",
    "PHONES",
    "RULES",
    "SENTENCES",
    "SR",
    "Rule",
    "Segment",
    "Speaker",
    "Truth",
    "Utterance",
    "make_corpus",
    "speaker",
    "sustained",
    "utterance",
]

SR = 16000
VERSION = 1  # goes up when a sample of the corpus changes
COLUMNS = 2  # goes up when a column of the manifest does
EMOTIONS = tuple(RULES)
ENGINES = ("source-filter", "praat")
MAX_SPEAKERS = 99
ROOM_DB = -68.0  # white noise of the recording, re full scale


@dataclass(frozen=True)
class Utterance:
    """A spoken sentence: samples, and what is true of them.

    `x` (n,) float64, full scale 1; `sr` Hz; `strength` of the portrayal (NaN: neutral or none);
    `arousal` and `valence`, about -1..1 (see `serfeat.demo.rules`; NaN: none).
    """

    x: Floats
    sr: int
    speaker: str
    sex: str
    emotion: str
    sentence: str
    strength: float
    truth: Truth
    arousal: float = float("nan")
    valence: float = float("nan")


def _stream(*words: object) -> np.random.Generator:
    """Make the generator that belongs to these words: the same on every machine, in any order."""
    text = "|".join(str(word) for word in ("serfeat demo", *words))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest[:16], "big")))


def speaker(name: str, *, seed: int = 0) -> Speaker:
    """Meet a speaker of the corpus: "s1", "s3", ... are women, "s2", "s4", ... men.

    Raises
    ------
    UnknownNameError : not "s1" ... "s99".
    """
    known = [f"s{k}" for k in range(1, MAX_SPEAKERS + 1)]
    if name not in known:
        raise did_you_mean("speaker", name, known[:8])
    female = int(name[1:]) % 2 == 1
    return draw_speaker(name, female=female, rng=_stream(seed, name, "voice"))


def utterance(speaker_name: str, emotion: str, sentence: str, *, seed: int = 0) -> Utterance:
    """Speak one sentence.

    Parameters
    ----------
    speaker_name : "s1", "s2", ...
    emotion : one of `EMOTIONS`.
    sentence : one of `SENTENCES`, "t1" to "t8".
    seed : of the corpus.

    Returns
    -------
    Utterance, 16 kHz, with its `Truth`.

    Raises
    ------
    UnknownNameError : a speaker, emotion or sentence that does not exist.

    >>> spoken = utterance("s1", "anger", "t3")
    >>> spoken.sr, spoken.truth.f0_hz.ndim
    (16000, 1)
    """
    if emotion not in RULES:
        raise did_you_mean("emotion", emotion, EMOTIONS)
    if sentence not in SENTENCES:
        raise did_you_mean("sentence", sentence, SENTENCES)
    who = speaker(speaker_name, seed=seed)
    rng = _stream(seed, who.name, emotion, sentence)
    how = portray(emotion, rng=rng, habits=_stream(seed, who.name, emotion, "habits"))
    segments = timeline(
        SENTENCES[sentence], duration=who.rate * how.duration, pauses=how.pauses, rng=rng
    )
    tracks = articulate(
        segments,
        tract=who.tract,
        articulation=how.articulation,
        n_formants=_n_formants(who.tract, SR),
    )
    controls = Controls(**tracks, pole=NASAL_HZ)
    f0 = _melody(segments, controls, who, how, rng)
    quality = Quality(
        jitter=who.jitter * how.jitter,
        shimmer=who.shimmer,
        hnr_db=who.hnr_db + how.hnr_db,
        tilt_db=max(who.tilt_db + how.tilt_db, 0.0),
        # a louder voice closes for longer (Klatt & Klatt 1990)
        open_quotient=float(np.clip(who.open_quotient + 0.012 * how.tilt_db, 0.35, 0.85)),
        level_db=who.level_db + how.level_db,
        room_db=ROOM_DB,
    )
    x, truth = _sound(segments, controls, f0, quality, sr=SR, rng=rng)
    return Utterance(
        x, SR, who.name, who.sex, emotion, sentence, how.strength, truth, how.arousal, how.valence
    )


def _n_formants(tract: float, sr: int) -> int:
    """Resonators that fit under the Nyquist frequency, at most 8 (Klatt 1980: one per kHz)."""
    return int(np.clip(np.floor(0.97 * sr / 2000.0 / tract + 0.5), 4, 8))


def _melody(
    segments: Sequence[Segment],
    controls: Controls,
    who: Speaker,
    how: Portrayal,
    rng: np.random.Generator,
) -> Floats:
    """(m,) Hz: the F0 of a sentence, accents on its stressed vowels."""
    stressed = [s for s in segments if s.stressed and PHONES[s.phone].kind == "vowel"]
    accents = [(s.start, float(np.exp(0.2 * rng.standard_normal()))) for s in stressed]
    t: Floats = np.arange(controls.voicing.size, dtype=np.float64) * CONTROL_S
    return intonation(
        t,
        controls.voicing > 0.0,
        accents,
        mean_hz=who.f0_hz * how.f0_mean,
        accent_st=who.accent_st,
        range_factor=how.f0_range,
        final_st=how.final_st - 2.0,
        late=how.accent_late,
        rng=rng,
    )


def _sound(
    segments: Sequence[Segment],
    controls: Controls,
    f0: Floats,
    quality: Quality,
    *,
    sr: int,
    rng: np.random.Generator,
) -> tuple[Floats, Truth]:
    """Synthesise, and state what is true of the result."""
    parts = render(controls, f0, quality, sr=sr, rng=rng)
    truth = measure(
        segments,
        voice=parts.voice,
        noise=parts.noise,
        f0=f0,
        voicing=controls.voicing,
        formants=controls.formants,
        pulse_s=parts.pulse_s,
        period_s=parts.period_s,
        amplitude=parts.amplitude,
        first=parts.first,
        sr=sr,
    )
    return parts.voice + parts.noise, truth


def sustained(
    formants: Sequence[float] = (730.0, 1090.0, 2440.0, 3500.0, 4500.0),
    *,
    f0: float = 120.0,
    seconds: float = 1.0,
    jitter: float = 0.0,
    shimmer: float = 0.0,
    hnr_db: float = float("inf"),
    tilt_db: float = 6.0,
    open_quotient: float = 0.6,
    level_db: float = -20.0,
    sr: int = SR,
    seed: int = 0,
) -> Utterance:
    """Sing a steady vowel: the oracle for F0, formants, jitter, shimmer and HNR.

    Parameters
    ----------
    formants : (k,) Hz, k >= 4; bandwidths 50 + F1/20, 90, 130, 220, 260 ... Hz.
    f0 : Hz, constant. With `jitter` 0 the harmonics lie exactly at its multiples.
    seconds : duration; voiced from the first sample to the last.
    jitter, shimmer : standard deviations of a period and of a pulse, relative. jitter_local is
        about 1.13 times `jitter`; its exact value is in the truth.
    hnr_db : energy of the voice re the energy of the breath; inf = no breath.
    sr : Hz, a whole number of kHz. Choose 2 x the analysis ceiling for tests of formants.

    Raises
    ------
    FeatureError : formants, `f0`, `seconds` or `sr` out of range.
    """
    if sr % 1000 or not 4 <= len(formants) <= 8 or max(formants) >= sr / 2:
        raise FeatureError(
            f"{len(formants)} formants up to {max(formants, default=0):g} Hz at {sr} Hz",
            where="sustained",
            code="bad-vowel",
            fix="give 4 to 8 formants below sr/2, and sr in whole kHz",
        )
    if not (20.0 <= f0 <= sr / 8 and seconds >= 0.05):
        raise FeatureError(
            f"f0={f0:g} Hz and seconds={seconds:g}",
            where="sustained",
            code="bad-vowel",
            fix="f0 from 20 Hz to sr/8, seconds from 0.05",
        )
    m = round(seconds / CONTROL_S)
    tracks = np.tile(np.asarray(formants, dtype=np.float64), (m, 1))
    silent = np.zeros((m, 1))
    controls = Controls(
        voicing=np.ones(m),
        aspiration=np.zeros(m),
        formants=tracks,
        bandwidths=bandwidths(tracks),
        zero=np.full(m, NASAL_HZ),
        noise_hz=silent + 1000.0,
        noise_bandwidth=silent + 1000.0,
        noise_gain=silent,
        pole=NASAL_HZ,
    )
    quality = Quality(
        jitter, shimmer, hnr_db, tilt_db, open_quotient, level_db, room_db=float("-inf")
    )
    x, truth = _sound(
        [Segment(0.0, m * CONTROL_S, "a", 0, True)],
        controls,
        np.full(m, float(f0)),
        quality,
        sr=sr,
        rng=_stream(seed, "sustained"),
    )
    return Utterance(x, sr, "", "", "", "vowel", float("nan"), truth)


def make_corpus(
    folder: str | Path,
    *,
    speakers: int = 8,
    sentences: int = 8,
    emotions: Sequence[str] = EMOTIONS,
    seed: int = 0,
    engine: str = "source-filter",
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the embedded corpus into a folder; a folder that holds it already is left alone.

    Files are ``<speaker>/<speaker>_<emotion>_<sentence>.wav`` (16-bit), and the same bytes for a
    seed, whatever `jobs` is. The side-car ``manifest.toml`` is written last: a folder without it
    is unfinished and is filled again.

    Parameters
    ----------
    folder : made where absent.
    speakers, sentences : how many, 1 to 99 (praat: 8) and 1 to 8.
    emotions : some of `EMOTIONS`.
    seed : of the whole corpus.
    engine : "source-filter" (nonsense words, the truth is known) or "praat" (English words by
        the synthesiser of praat-parselmouth; the truth columns say what was asked of it).
    jobs : threads; the praat engine uses one.
    progress : called with (files written, files in all) after each.

    Returns
    -------
    Path of ``manifest.csv``.

    Raises
    ------
    CorpusError : numbers out of range; a folder that holds another corpus.
    UnknownNameError : an emotion or an engine that does not exist.
    MissingExtraError : engine "praat" without parselmouth.
    """
    if engine not in ENGINES:
        raise did_you_mean("engine", engine, ENGINES)
    for emotion in emotions:
        if emotion not in RULES:
            raise did_you_mean("emotion", emotion, EMOTIONS)
    most = MAX_SPEAKERS if engine == "source-filter" else len(words.VOICES)
    for what, number, limit in (
        ("speakers", speakers, most),
        ("sentences", sentences, len(SENTENCES)),
        ("emotions", len(set(emotions)), len(RULES)),
    ):
        if not 1 <= number <= limit:
            raise CorpusError(
                f"{what}={number}",
                where="demo corpus",
                code="bad-size",
                fix=f"from 1 to {limit} with engine {engine!r}",
            )
    order = [e for e in EMOTIONS if e in set(emotions)]
    speak = partial(_spoken if engine == "source-filter" else _praat_spoken, seed=seed)
    return _folder.write(
        Path(folder),
        keys=[
            (f"s{k}", emotion, f"t{j}")
            for k in range(1, speakers + 1)
            for emotion in order
            for j in range(1, sentences + 1)
        ],
        speak=speak,
        card={"engine": engine, "seed": seed, "generator": VERSION, "columns": COLUMNS},
        jobs=jobs if engine == "source-filter" else 1,
        progress=progress,
    )


def _spoken(name: str, emotion: str, sentence: str, *, seed: int) -> _folder.Spoken:
    """One row of the source-filter corpus."""
    spoken = utterance(name, emotion, sentence, seed=seed)
    about: dict[str, str | float] = {"sex": spoken.sex, "language": "synthetic"}
    about |= {"valence": spoken.valence, "arousal": spoken.arousal}
    about |= {"strength": spoken.strength, **spoken.truth.row()}
    return _folder.Spoken(spoken.x, spoken.sr, about)


def _praat_spoken(name: str, emotion: str, sentence: str, *, seed: int) -> _folder.Spoken:
    """One row of the corpus of real words."""
    rng = _stream(seed, name, emotion, sentence, "praat")
    how = portray(emotion, rng=rng, habits=_stream(seed, name, emotion, "habits"))
    x, sr, about = words.speak(
        name,
        sentence,
        f0_mean=how.f0_mean,
        f0_range=how.f0_range,
        duration=how.duration,
        level_db=how.level_db,
        tilt_db=how.tilt_db,
        rng=rng,
    )
    about = {**about, "language": "en", "valence": how.valence, "arousal": how.arousal}
    return _folder.Spoken(x, sr, {**about, "strength": how.strength})
