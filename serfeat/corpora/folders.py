"""Any corpus that is sorted into folders: ``SPEAKER/EMOTION/*.wav`` or ``EMOTION/SPEAKER/*.wav``.

Which level holds the emotions is found with the vocabulary (`serfeat.labels`): it is the one whose
names are all emotions. Deeper folders and file names do not matter.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.errors import CorpusError, SerfeatError
from serfeat.files import audio_files
from serfeat.labels import normalise
from serfeat.manifest import rows_from_records

__all__ = ["read"]

_LAYOUT = "expected SPEAKER/EMOTION/*.wav or EMOTION/SPEAKER/*.wav, or write a CSV"


def read(root: Path) -> pd.DataFrame:
    """Read the rows of a folder tree.

    Raises
    ------
    CorpusError : no audio, files that are not two folders deep, no level (or both) with emotions
        only.
    """
    files = audio_files(root)
    if not files:
        raise CorpusError("no audio below this folder", where=root, code="no-audio", fix=_LAYOUT)
    shallow = [f for f in files if f.count("/") < 2]
    if shallow:
        raise CorpusError(
            f"{len(shallow)} of {len(files)} files are not below two folders, "
            f"the first is {shallow[0]!r}",
            where=root,
            code="no-labels",
            fix=f"{_LAYOUT}; features can be extracted without labels",
        )
    levels = [[f.split("/")[i] for f in files] for i in (0, 1)]
    unknown = [_unknown(level) for level in levels]
    if bool(unknown[0]) == bool(unknown[1]):
        found = (
            f"neither level of folders holds emotions only; unknown are {unknown[0][0]!r} "
            f"and {unknown[1][0]!r}"
            if unknown[0]
            else "both levels of folders are named after emotions"
        )
        raise CorpusError(found, where=root, code="no-labels", fix=_LAYOUT)
    emotions, speakers = levels if unknown[1] else reversed(levels)
    name = root.resolve().name or "folders"
    return rows_from_records(
        [
            {"file": f, "corpus": name, "speaker": s, "emotion": normalise(e), "emotion_code": e}
            for f, s, e in zip(files, speakers, emotions, strict=True)
        ]
    )


def _unknown(names: list[str]) -> list[str]:
    """The names that are no emotions, most telling first: those that are nearly one."""
    bad = []
    for name in sorted(set(names)):
        try:
            normalise(name)
        except SerfeatError:
            bad.append(name)
    return bad
