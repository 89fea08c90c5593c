"""EMOVO, an Italian emotional speech database (Costantini et al., LREC 2014).

Layout: ``f1/dis-f1-b1.wav``: emotion - speaker - sentence. Six actors (f1-f3, m1-m3) speak the same
14 sentences (b1-b3, l1-l4, n1-n5, d1, d2) in every emotion.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.corpora.names import named_files
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "read"]

# disgusto, gioia, neutro, paura, rabbia, sorpresa, tristezza
EMOTION_CODES = {
    "dis": "disgust",
    "gio": "happiness",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`; see `serfeat.corpora.names.named_files` for the errors."""
    codes = "|".join(EMOTION_CODES)
    pattern = rf"(?P<code>{codes})-(?P<speaker>[fm][123])-(?P<text>[bldn]\d)"
    layout = "f1/dis-f1-b1.wav"
    records = [
        {
            "file": file,
            "corpus": "emovo",
            "speaker": name["speaker"].lower(),
            "emotion": EMOTION_CODES[name["code"].lower()],
            "emotion_code": name["code"].lower(),
            "sex": "female" if name["speaker"].lower().startswith("f") else "male",
            "language": "it",
            "text_id": name["text"].lower(),
        }
        for file, name in named_files(root, pattern, corpus="EMOVO", layout=layout)
    ]
    return rows_from_records(records)
