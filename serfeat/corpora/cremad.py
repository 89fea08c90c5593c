"""CREMA-D, Crowd-sourced Emotional Multimodal Actors Dataset (Cao et al. 2014).

Layout: ``AudioWAV/1001_DFA_ANG_XX.wav`` (actor, sentence, intended emotion, level), with the
authors' ``processedResults/tabulatedVotes.csv`` and ``VideoDemographics.csv``, or with one joined
``metadata.csv``. Without audio the tables alone make a manifest whose files are absent: enough to
study the votes. git-lfs pointers in place of audio are refused.

`emotion` is what the actor intended. ``votes_<emotion>`` counts the raters who only heard the clip;
``face_<emotion>`` those who only saw it, ``av_<emotion>`` those who did both. `level` is the
intensity: LO, MD, HI, or XX (unspecified).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from serfeat.corpora.names import named_files, read_table
from serfeat.errors import CorpusError
from serfeat.files import audio_files
from serfeat.labels import normalise_sex
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "read"]

EMOTION_CODES = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
# Columns of tabulatedVotes.csv, and the first digit of its row names (authors' R scripts).
_VOTE_COLUMNS = {code[0]: emotion for code, emotion in EMOTION_CODES.items()}
_CONDITIONS = {"1": "votes_", "2": "face_", "3": "av_"}
_LFS = b"version https://git-lfs"


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`.

    Raises
    ------
    CorpusError : see `serfeat.corpora.names.named_files`; also git-lfs pointers instead of audio.
    """
    votes = _votes(root)
    people = read_table(root / "VideoDemographics.csv", key="ActorID")
    joined = read_table(root / "metadata.csv")
    pattern = r"(?P<actor>1\d\d\d)_(?P<text>[A-Z]{3})_(?P<code>[A-Z]{3})_(?P<level>LO|MD|HI|XX|X)"
    if votes and root.is_dir() and not audio_files(root):
        found = [(f"AudioWAV/{stem}.wav", _parts(stem)) for stem in sorted(votes)]
    else:
        layout = "AudioWAV/1001_DFA_ANG_XX.wav"
        found = list(named_files(root, pattern, corpus="CREMA-D", layout=layout))
        _refuse_pointers(root, [file for file, _ in found])
    records = []
    for file, name in found:
        stem = Path(file).stem
        person = joined.get(stem) or people.get(name["actor"], {})
        record: dict[str, Any] = {
            "file": file,
            "corpus": "cremad",
            "speaker": name["actor"],
            "emotion": EMOTION_CODES[name["code"]],
            "emotion_code": name["code"],
            "sex": normalise_sex(person.get("sex") or person.get("Sex") or ""),
            "age": float(person.get("age") or person.get("Age") or "nan"),
            "language": "en",
            "text_id": name["text"],
            "level": name["level"],
        }
        records.append(record | votes.get(stem, {}))
    return rows_from_records(records)


def _parts(stem: str) -> dict[str, str]:
    return dict(zip(("actor", "text", "code", "level"), stem.split("_"), strict=True))


def _refuse_pointers(root: Path, files: list[str]) -> None:
    pointers = []
    for file in files:
        path = root / file
        # A pointer is three lines of text; audio is never that short.
        if path.stat().st_size < 1024 and path.read_bytes().startswith(_LFS):
            pointers.append(file)
    if pointers:
        raise CorpusError(
            f"{len(pointers)} of {len(files)} files are git-lfs pointers, not audio, "
            f"the first is {pointers[0]!r}",
            where=root,
            code="lfs-pointer",
            fix="run `git lfs pull` in the clone (a zip from the web page has no audio)",
        )


def _votes(root: Path) -> dict[str, dict[str, float]]:
    """Stem -> vote columns, from the joined table or from the authors' own; empty without one."""
    joined = read_table(root / "metadata.csv")
    if joined:
        return {stem: _joined_votes(row) for stem, row in joined.items()}
    path = root / "processedResults" / "tabulatedVotes.csv"
    votes: dict[str, dict[str, float]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                prefix = _CONDITIONS.get(row[""][:1])
                if prefix is None:
                    where = f"{path}, row {row['']}"
                    raise CorpusError("row names begin with 1, 2 or 3", where=where, code="votes")
                counts = {prefix + e: float(row[c]) for c, e in _VOTE_COLUMNS.items()}
                votes.setdefault(row["fileName"], {}).update(counts)
    return votes


def _joined_votes(row: Mapping[str, str]) -> dict[str, float]:
    pairs = (("voice_", "votes_"), ("face_", "face_"), ("av_", "av_"))
    return {
        new + emotion: float(row[old + emotion] or "nan")
        for old, new in pairs
        for emotion in EMOTION_CODES.values()
        if old + emotion in row
    }
