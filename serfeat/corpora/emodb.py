"""EMO-DB, the Berlin Database of Emotional Speech (Burkhardt et al., Interspeech 2005).

Layout: ``wav/03a01Fa.wav`` (the original download.zip), the files alone, or ``audio/*.flac`` with a
``metadata.csv``. The name is speaker (2 digits), text (a01, ...), emotion, version. Labels come
from the names alone; of ``metadata.csv`` only the listening test is taken: `listeners`,
`recognised_pct` (share that chose the intended emotion), `natural_pct` (share that judged it
natural). A file ``arousal_valence_47.csv`` (file, arousal, valence; -1..1) fills these columns for
its 47 recordings, NaN for all others; it comes with pyAudioAnalysis, and how these were rated is
not documented.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.corpora.names import named_files, read_table
from serfeat.manifest import rows_from_records

__all__ = ["EMOTION_CODES", "SPEAKERS", "read"]

# First letters of the German words: Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral.
EMOTION_CODES = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}

# (sex, age in years) from the corpus' site, as corrected in audeering/emodb 1.1.1.
SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
_DIMENSIONS = ("valence", "arousal")
_LISTENERS = ("listeners", "recognised_pct", "natural_pct")


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root`; see `serfeat.corpora.names.named_files` for the errors."""
    speakers = "|".join(SPEAKERS)
    pattern = rf"(?P<speaker>{speakers})(?P<text>[ab]\d\d)(?P<code>[WLEAFTN])(?P<version>[a-z])"
    files = named_files(root, pattern, corpus="EMO-DB", layout="wav/03a01Fa.wav")
    judged = read_table(root / "metadata.csv")
    rated = read_table(root / "arousal_valence_47.csv")
    records = []
    for file, name in files:
        sex, age = SPEAKERS[name["speaker"]]
        record = {
            "file": file,
            "corpus": "emodb",
            "speaker": name["speaker"],
            "emotion": EMOTION_CODES[name["code"].upper()],
            "emotion_code": name["code"].upper(),
            "sex": sex,
            "age": age,
            "language": "de",
            "text_id": name["text"].lower(),
            "version": name["version"].lower(),
        }
        if judged:
            row = judged.get(Path(file).stem, {})
            record |= {key: float(row.get(key) or "nan") for key in _LISTENERS}
        if rated:
            row = rated.get(Path(file).stem, {})
            record |= {key: float(row.get(key) or "nan") for key in _DIMENSIONS}
        records.append(record)
    return rows_from_records(records)
