"""Indian EmoSpeech Command Dataset, web-service part (Banga et al., arXiv:1910.13801).

Layout: ``audio/w009-bacho-happy-1563117175901.flac``: speaker - keyword - emotion - time stamp. The
labels are the speakers' own intention, recorded on their own devices. `text_id` is the keyword;
``bacho`` is Hindi, the others are English.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.corpora.names import named_files, read_table
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "read"]

EMOTION_CODES = {"angry": "anger", "calm": "calm", "fearful": "fear", "happy": "happiness"}


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`; see `serfeat.corpora.names.named_files` for the errors."""
    codes = "|".join(EMOTION_CODES)
    pattern = rf"(?P<speaker>w\d+)-(?P<keyword>[a-z]+)-(?P<code>{codes})-(?P<stamp>\d+)"
    layout = "audio/w009-bacho-happy-1563117175901.flac"
    table = read_table(root / "metadata.csv")
    records = []
    for file, name in named_files(root, pattern, corpus="EmoSpeech", layout=layout):
        record = {
            "file": file,
            "corpus": "emospeech",
            "speaker": name["speaker"],
            "emotion": EMOTION_CODES[name["code"].lower()],
            "emotion_code": name["code"].lower(),
            "language": "hi" if name["keyword"] == "bacho" else "en",
            "text_id": name["keyword"],
        }
        if table:
            record["environment"] = table.get(Path(file).stem, {}).get("environment", "")
        records.append(record)
    return rows_from_records(records)
