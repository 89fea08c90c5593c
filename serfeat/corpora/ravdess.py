"""RAVDESS, speech, audio only (Livingstone & Russo 2018).

Layout: ``Actor_01/03-01-05-01-02-01-01.wav``, or the files in any folder, WAV or FLAC. The name is
modality (03 audio) - channel (01 speech, 02 song) - emotion - intensity - statement - repetition -
actor. Song and video files in the same folder are refused: they are another corpus.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.corpora.names import named_files
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "read"]

EMOTION_CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
_INTENSITY = {"01": "normal", "02": "strong"}


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`; see `serfeat.corpora.names.named_files` for the errors."""
    pattern = (
        r"03-01-(?P<code>0[1-8])-(?P<intensity>0[12])-(?P<text>0[12])-(?P<repetition>0[12])"
        r"-(?P<actor>[01]\d|2[0-4])"
    )
    layout = "Actor_01/03-01-05-01-02-01-01.wav"
    records = [
        {
            "file": file,
            "corpus": "ravdess",
            "speaker": name["actor"],
            "emotion": EMOTION_CODES[name["code"]],
            "emotion_code": name["code"],
            "sex": "male" if int(name["actor"]) % 2 else "female",
            "language": "en",
            "text_id": name["text"],
            "intensity": _INTENSITY[name["intensity"]],
            "repetition": name["repetition"],
        }
        for file, name in named_files(root, pattern, corpus="RAVDESS speech", layout=layout)
    ]
    return rows_from_records(records)
