"""IEMOCAP, Interactive Emotional Dyadic Motion Capture (Busso et al. 2008).

Layout: ``Session1/dialog/EmoEvaluation/Ses01F_impro01.txt`` (all labels) and
``Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav``. A label block is ::

    [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
    C-E2:	Neutral;	()
    C-E3:	Neutral; Sadness;	()
    C-F1:	Neutral;	()
    A-E3:	val 3; act 2; dom  2;	()

consensus and mean (valence, activation, dominance), 1 to 5; then each rater's categories.

* `emotion` is the consensus in our vocabulary (``exc`` counts as happiness); ``xxx``, no majority,
  is unlabelled. `emotion_code` keeps the corpus' code, to tell ``exc`` and ``hap`` apart.
* ``votes_<emotion>`` counts the outside raters (C-E...); the actors' self-reports (C-F, C-M) do not
  count. A rater who names two categories counts for both, one who says "Happiness; Excited" once.
* `speaker` is session and sex of who speaks the turn ("01F"), not of who wears the markers.
* `text_id` is the script for scripted dialogues and empty for improvised ones.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from serfeat.errors import CorpusError
from serfeat.labels import EMOTIONS, normalise
from serfeat.manifest import rows_from_records

__all__ = ["parse_evaluation", "read"]

_TURN = re.compile(
    r"\[(?P<start>[\d.]+) - (?P<end>[\d.]+)\]\s+"
    r"(?P<turn>Ses0(?P<session>[1-5])[FM]_(?P<dialogue>\w+)_(?P<sex>[FM])(?:XX)?\d+)\s+"
    r"(?P<code>[a-z]{3})\s+\[(?P<val>[\d.]+), (?P<act>[\d.]+), (?P<dom>[\d.]+)\]"
)


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a copy at `root` (the folder that holds Session1 to Session5).

    Raises
    ------
    CorpusError : no label files, or a label block that cannot be read.
    """
    records: list[dict[str, Any]] = []
    for path in sorted(root.glob("Session[1-5]/dialog/EmoEvaluation/Ses*.txt")):
        records += parse_evaluation(path.read_text(encoding="utf-8", errors="replace"), where=path)
    if not records:
        raise CorpusError(
            "no labels of IEMOCAP below this folder",
            where=root,
            code="no-labels",
            fix="expected Session1/dialog/EmoEvaluation/Ses01F_impro01.txt and so on",
        )
    return rows_from_records(records)


def parse_evaluation(text: str, *, where: object = "") -> list[dict[str, Any]]:
    """Read the turns of one EmoEvaluation file, one record each.

    Raises
    ------
    CorpusError : a line that begins like a turn and is none.
    """
    records: list[dict[str, Any]] = []
    votes: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("["):
            turn = _TURN.match(line)
            if turn is None:
                raise CorpusError(
                    f"not a turn: {line[:60]!r}", where=f"{where}, line {number}", code="bad-label"
                )
            votes = Counter()
            records.append(_record(turn, votes))
        elif line.startswith("C-E") and records:
            words = [w.strip() for w in line.split(":", 1)[1].split("(")[0].split(";")]
            place = f"{where}, line {number}"
            votes.update({normalise(w, where=place) for w in words if w})
            records[-1] |= {f"votes_{e}": float(votes[e]) for e in EMOTIONS if e in _RATED}
    return records


# What raters could choose, in our words.
_RATED = (
    *("anger", "disgust", "fear", "frustration", "happiness", "neutral", "other", "sadness"),
    "surprise",
)


def _record(turn: re.Match[str], votes: Counter[str]) -> dict[str, Any]:
    session, dialogue = turn["session"], turn["dialogue"]
    scripted = dialogue.startswith("script")
    folder = turn["turn"].rsplit("_", 1)[0]
    return {
        "file": f"Session{session}/sentences/wav/{folder}/{turn['turn']}.wav",
        "corpus": "iemocap",
        "speaker": f"0{session}{turn['sex']}",
        "emotion": normalise(turn["code"]),
        "emotion_code": turn["code"],
        "sex": "female" if turn["sex"] == "F" else "male",
        "language": "en",
        "text_id": dialogue if scripted else "",
        "session": session,
        "kind": "scripted" if scripted else "improvised",
        "dialogue": folder,
        "duration": float(turn["end"]) - float(turn["start"]),
        "valence": float(turn["val"]),
        "arousal": float(turn["act"]),
        "dominance": float(turn["dom"]),
        **{f"votes_{e}": float(votes[e]) for e in _RATED},
    }
