"""Emozionalmente, crowd-sourced Italian (Catania): amateur actors, five votes a clip.

Layout: ``audio/1612871026347.wav`` with the authors' ``metadata/samples.csv`` (who was asked for
what), ``metadata/users.csv`` (age, gender) and ``metadata/evaluations.csv`` (the single votes), or
with one joined ``metadata.csv``. File names are time stamps, so that every label comes from a
table. Without audio the tables alone make a manifest whose files are absent: enough to study votes.

`emotion` is what the actor was asked for; ``votes_<emotion>`` counts the raters who heard it.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
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
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happiness",
    "neutrality": "neutral",
    "sadness": "sadness",
    "surprise": "surprise",
}


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`.

    Raises
    ------
    CorpusError : see `serfeat.corpora.names.named_files`; also a clip that no table has, and a word
        that is none of the corpus' emotions.
    """
    known = _joined(root) or _original(root)
    if known and root.is_dir() and not audio_files(root):
        found = [f"audio/{stem}.wav" for stem in sorted(known)]
    else:
        layout = "audio/1612871026347.wav and metadata/samples.csv"
        named = named_files(root, r"(?P<stamp>\d+)", corpus="Emozionalmente", layout=layout)
        found = [file for file, _ in named]
    strangers = [file for file in found if Path(file).stem not in known]
    if strangers:
        raise CorpusError(
            f"{len(strangers)} of {len(found)} clips are in no table, the first is "
            f"{strangers[0]!r}",
            where=root,
            code="no-label",
            fix="the labels are in metadata/samples.csv of the corpus; keep it beside audio/",
        )
    return rows_from_records(
        [{"file": file, "corpus": "emozionalmente", **known[Path(file).stem]} for file in found]
    )


def _joined(root: Path) -> dict[str, dict[str, Any]]:
    """Stem -> columns, from one table with everything; empty without it."""
    emotions = EMOTION_CODES.values()
    return {
        stem: {
            "speaker": row["speaker"],
            "emotion": _emotion(row["emotion"], dict(zip(emotions, emotions, strict=True)), root),
            "sex": normalise_sex(row.get("sex", "")),
            "age": float(row.get("age") or "nan"),
            "language": "it",
            "text_id": row.get("text_id", ""),
            **{
                f"votes_{e}": float(row[f"votes_{e}"] or "nan")
                for e in emotions
                if f"votes_{e}" in row
            },
        }
        for stem, row in read_table(root / "metadata.csv").items()
    }


def _original(root: Path) -> dict[str, dict[str, Any]]:
    """Stem -> columns, from the authors' tables; empty without them."""
    folder = root / "metadata"
    samples = read_table(folder / "samples.csv", key="file_name")
    people = read_table(folder / "users.csv", key="username")
    votes = _votes(folder / "evaluations.csv")
    texts = sorted({row["sentence"] for row in samples.values()})
    number = {text: f"t{i:02d}" for i, text in enumerate(texts, start=1)}
    records = {}
    for stem, row in samples.items():
        person = people.get(row["actor"], {})
        records[stem] = {
            "speaker": row["actor"],
            "emotion": _emotion(row["emotion_expressed"], EMOTION_CODES, folder),
            "emotion_code": row["emotion_expressed"],
            "sex": normalise_sex(person.get("gender", "")),
            "age": float(person.get("age") or "nan"),
            "language": "it",
            "text_id": number[row["sentence"]],
        }
        if votes:
            counts = votes[stem]
            records[stem] |= {f"votes_{e}": float(counts[e]) for e in EMOTION_CODES.values()}
    return records


def _votes(path: Path) -> dict[str, Counter[str]]:
    """Stem -> votes for each emotion; empty without the table of single votes."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                emotion = _emotion(row["emotion_recognized"], EMOTION_CODES, path)
                votes[Path(row["file_name"]).stem][emotion] += 1
    return votes


def _emotion(word: str, codes: Mapping[str, str], where: Path) -> str:
    if word not in codes:
        raise CorpusError(
            f"{word!r} is no emotion of Emozionalmente, expected one of {', '.join(codes)}",
            where=where,
            code="strange-label",
        )
    return codes[word]
