"""CASIA, the Chinese emotional speech corpus of the Institute of Automation.

Layout of the part that circulates in research: ``liuchanhg/angry/201.wav``: speaker / emotion /
sentence. Four speakers, six emotions, the same 50 sentences (201-250) in each.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.corpora.names import named_files
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "SPEAKERS", "read"]

EMOTION_CODES = {
    "angry": "anger",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
# The folder names of the distributed copies, spelled as there.
SPEAKERS = {
    "liuchanhg": "female",
    "wangzhe": "male",
    "zhaoquanyin": "female",
    "ZhaoZuoxiang": "male",
}


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`; see `serfeat.corpora.names.named_files` for the errors."""
    spelled = {name.lower(): name for name in SPEAKERS}
    pattern = (
        rf"(?P<speaker>{'|'.join(SPEAKERS)})/(?P<code>{'|'.join(EMOTION_CODES)})/(?P<text>\d+)"
    )
    layout = "liuchanhg/angry/201.wav"
    records = []
    for file, name in named_files(root, pattern, corpus="CASIA", layout=layout):
        speaker = spelled[name["speaker"].lower()]
        records.append(
            {
                "file": file,
                "corpus": "casia",
                "speaker": speaker,
                "emotion": EMOTION_CODES[name["code"].lower()],
                "emotion_code": name["code"].lower(),
                "sex": SPEAKERS[speaker],
                "language": "zh",
                "text_id": name["text"],
            }
        )
    return rows_from_records(records)
