"""TESS, Toronto Emotional Speech Set (Pichora-Fuller & Dupuis 2010).

Layout: ``OAF_back_angry.wav`` (speaker, word, emotion) at any depth; the emotion may be written
``ps`` or ``pleasant_surprise``. Two women, 26 (YAF) and 64 (OAF) years old, say 200 words after the
carrier phrase "Say the word". One test speaker is one person: no score from TESS says how a model
does on strangers.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.corpora.names import named_files
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "read"]

EMOTION_CODES = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "pleasant_surprise": "surprise",
    "pleasant_surprised": "surprise",
    "ps": "surprise",
    "sad": "sadness",
}
_AGES = {"OAF": 64, "YAF": 26}


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`; see `serfeat.corpora.names.named_files` for the errors."""
    codes = "|".join(EMOTION_CODES)
    # one file of every copy is called OA_bite_neutral.wav
    pattern = rf"(?P<speaker>OAF?|YAF)_(?P<word>[A-Za-z-]+)_(?P<code>{codes})"
    layout = "OAF_angry/OAF_back_angry.wav"
    records = []
    for file, name in named_files(root, pattern, corpus="TESS", layout=layout):
        speaker = "YAF" if name["speaker"].upper() == "YAF" else "OAF"
        records.append(
            {
                "file": file,
                "corpus": "tess",
                "speaker": speaker,
                "emotion": EMOTION_CODES[name["code"].lower()],
                "emotion_code": name["code"].lower(),
                "sex": "female",
                "age": _AGES[speaker],
                "language": "en",
                "text_id": name["word"].lower(),
            }
        )
    return rows_from_records(records)
