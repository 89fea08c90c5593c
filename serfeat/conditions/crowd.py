"""Voices for babble: a few clips of every speaker of a manifest.

Conventions
-----------
A crowd is drawn from the content of the recordings, so that it does not depend on the order of the
rows or on where the files lie; its digest covers every clip and its speaker, since whoever is
corrected in the manifest may have talked over himself before. A crowd holds names of files, not
samples, and is small; each worker reads a voice once.

Contents
--------
`crowd_of` : manifest -> `Crowd`.
`Crowd.draw` : voices of other people.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from serfeat.audio import content_hash, load_audio
from serfeat.errors import FeatureError, ManifestError, SerfeatError
from serfeat.manifest import Manifest
from serfeat.types import Floats

__all__ = ["Crowd", "Voice", "crowd_of"]

SHORTEST = 0.5  # s: a shorter clip repeats too often to be a voice in a crowd


@dataclass(frozen=True)
class Voice:
    """A clip of somebody: where it lies (s; `end` None: to the end), and who speaks."""

    path: Path
    start: float
    end: float | None
    speaker: str


@dataclass(frozen=True)
class Crowd:
    """People who may be heard in the background.

    Parameters
    ----------
    digest : of all clips of the manifest, their speakers and the settings.
    voices : clips of all speakers.
    """

    digest: str
    voices: tuple[Voice, ...] = field(repr=False)

    def draw(self, n: int, sr: int, speaker: str, rng: np.random.Generator) -> list[Floats]:
        """Draw n voices, none of them the speaker's; of n people if there are so many.

        Parameters
        ----------
        n : voices.
        sr : Hz.
        speaker : "corpus/speaker" who is not drawn.
        rng : draws.

        Returns
        -------
        n arrays of samples, of any lengths.

        Raises
        ------
        FeatureError : the speaker is unknown, so that he might be drawn; nobody else is there.
        """
        others = sorted({v.speaker for v in self.voices} - {speaker})
        if not speaker.rpartition("/")[2] or not others:
            raise FeatureError(
                f"babble is made of other people, and the speaker is {speaker or 'unknown'!r} of "
                f"{len({v.speaker for v in self.voices})} known",
                where="babble",
                code="no-speaker",
                fix="name the speaker of every row, or use pink noise",
            )
        chosen = [others[i] for i in rng.permutation(len(others))]
        drawn = []
        for who in (chosen * (1 + n // len(chosen)))[:n]:
            theirs = [v for v in self.voices if v.speaker == who]
            drawn.append(_samples(theirs[int(rng.integers(len(theirs)))], sr))
        return drawn


def crowd_of(manifest: Manifest, *, per_speaker: int = 4, seed: int = 0) -> Crowd:
    """Choose clips of every speaker of a manifest.

    Parameters
    ----------
    manifest : rows with speakers; clips that cannot be read, are silent or shorter than 0.5 s are
        not chosen.
    per_speaker : clips of each speaker, at most.
    seed : another one chooses other clips.

    Raises
    ------
    ManifestError : fewer than two speakers have such a clip.
    """
    found: list[tuple[str, str, Voice]] = []  # content, order, voice
    hashes: dict[str, str] = {}
    codes = manifest.rows["corpus"].astype(str) + "/" + manifest.rows["speaker"].astype(str)
    for (file, start, end), speaker in zip(manifest.rows.index, codes, strict=True):
        try:
            path = manifest.path(file)
            if file not in hashes:
                hashes[file] = content_hash(path)
        except SerfeatError:
            continue  # it will be a named failure of the extraction
        last = None if end is pd.NaT else end.total_seconds()
        voice = Voice(path, start.total_seconds(), last, speaker)
        content = f"{hashes[file]}:{voice.start}:{last}"
        order = hashlib.sha256(f"{seed}:{content}".encode()).hexdigest()
        found.append((content, order, voice))
    everyone = sorted(f"{content} {voice.speaker}" for content, _, voice in found)
    settings = f"{per_speaker} {seed} {SHORTEST}"
    digest = hashlib.sha256("\n".join([settings, *everyone]).encode()).hexdigest()[:16]
    chosen: list[Voice] = []
    for _, _, voice in sorted(found, key=lambda f: (f[1], f[2].speaker)):
        mine = sum(v.speaker == voice.speaker for v in chosen)
        if mine < per_speaker and voice.speaker.rpartition("/")[2] and _usable(voice):
            chosen.append(voice)
    if len({v.speaker for v in chosen}) < 2:
        raise ManifestError(
            f"{len({v.speaker for v in chosen})} speakers have clips for babble, expected 2 or "
            "more",
            where=manifest.name,
            code="too-few-speakers",
            fix="use white or pink noise",
        )
    return Crowd(digest, tuple(chosen))


def _usable(voice: Voice) -> bool:
    """Whether a clip can be read, is long enough and is not silent."""
    try:
        audio = load_audio(voice.path, sr=None, start=voice.start, end=voice.end)
    except SerfeatError:
        return False
    return bool(len(audio.x) >= SHORTEST * audio.sr and np.ptp(audio.x) > 0)


@lru_cache(maxsize=256)
def _samples(voice: Voice, sr: int) -> Floats:
    """The samples of a voice, read once in each worker."""
    audio = load_audio(voice.path, sr=sr, start=voice.start, end=voice.end)
    return np.asarray(audio.x, dtype=np.float64)
