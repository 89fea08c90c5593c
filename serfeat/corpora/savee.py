"""SAVEE, Surrey Audio-Visual Expressed Emotion (Haq & Jackson 2009).

Layout: ``AudioData/DC/a01.wav`` (folder = speaker; a d f h n sa su = emotion) or the flat mirror
``DC_a01.wav``. Four men, 15 sentences an emotion and 30 neutral. Three sentences are common to all
emotions, and neutral also has 12 of the others' (Haq & Jackson 2009); which they are does not
follow from the names. So there is no `text_id`: one made of the names would call folds
text-independent that have the same sentence on both sides.
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
        }
        for file, name in named_files(root, pattern, corpus="SAVEE", layout=layout)
    ]
    return rows_from_records(records)
