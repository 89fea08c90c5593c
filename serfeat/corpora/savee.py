"""SAVEE, Surrey Audio-Visual Expressed Emotion (Haq & Jackson 2009).

Layout: ``AudioData/DC/a01.wav`` (folder = speaker; a d f h n sa su = emotion) or the flat mirror
``DC_a01.wav``. Four men. `text_id` is ``a01`` and so on: only the first three sentences of an
emotion are common to all emotions, and which these are does not follow from the names.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.corpora.names import named_files
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "read"]

EMOTION_CODES = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`; see `serfeat.corpora.names.named_files` for the errors."""
    pattern = r"(?P<speaker>DC|JE|JK|KL)[/_](?P<code>sa|su|[adfhn])(?P<number>\d\d)"
    layout = "DC/a01.wav or DC_a01.wav"
    records = [
        {
            "file": file,
            "corpus": "savee",
            "speaker": name["speaker"].upper(),
            "emotion": EMOTION_CODES[name["code"].lower()],
            "emotion_code": name["code"].lower(),
            "sex": "male",
            "language": "en",
            "text_id": name["code"].lower() + name["number"],
        }
        for file, name in named_files(root, pattern, corpus="SAVEE", layout=layout)
    ]
    return rows_from_records(records)
