"""Manifests: which recordings there are, who speaks in them, and what they are labelled.

Conventions
-----------
* `Manifest.rows` is a plain DataFrame on the index (file, start, end) of `serfeat.table`. `file` is
  relative to `Manifest.root`, with ``/`` between folders. The columns corpus, speaker and emotion
  are always there and are text ("03" stays "03"); an unknown speaker and a missing label are the
  empty text. Optional text: sex, language, text_id, session, split. Optional numbers, float64 with
  NaN for unknown: age (years), duration (s), valence, arousal, dominance (the corpus' own scale),
  votes_<emotion> (raters who chose it). Extra columns are kept.
* `Manifest.path` stays below the root: ``..``, absolute names, URLs and links that lead out of it
  are refused. A corpus that is kept behind links is read where the user says so: `FOLLOW`. (The
  root itself may be a link.)
* A manifest of several corpora (`serfeat.joined`) has a root for each: the first folder of a file
  is then the corpus, and `Manifest.roots` says where its audio lies. Nothing is copied or linked.

Contents
--------
`Card`, `Download`    : what is known about a corpus, and where it comes from.
`Manifest`            : rows and the folder of their audio; `Refused`: a row that is no clip.
`rows_from_records`   : rows from one mapping per utterance.
`manifest_of_folder`  : all audio below a folder.
`serfeat.manifest_csv` reads and writes manifests.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import ManifestError, did_you_mean
from serfeat.files import AUDIO_SUFFIXES, audio_files, inside
from serfeat.labels import UNLABELLED
from serfeat.table import INDEX, clip_index, escaped

__all__ = [
    "FOLLOW",
    "Card",
    "Download",
    "Manifest",
    "Refused",
    "manifest_of_folder",
    "refuse_collisions",
    "rows_from_records",
]

FOLLOW = "SERFEAT_FOLLOW_LINKS"  # =1: links may lead out of the folder of the audio

REQUIRED = ("corpus", "speaker", "emotion")
TEXT = (*REQUIRED, "sex", "language", "text_id", "session", "split")
NUMBERS = ("age", "duration", "valence", "arousal", "dominance")


@dataclass(frozen=True)
class Download:
    """One file of a corpus on its own host.

    Parameters
    ----------
    url : http(s) address.
    checksum : ``md5:...`` or ``sha256:...``; empty: recorded at the first download.
    size : bytes; 0: unknown.
    """

    url: str
    checksum: str = ""
    size: int = 0


@dataclass(frozen=True)
class Card:
    """What is known about a corpus: content, licence, citation, expected counts, how to get it.

    Parameters
    ----------
    n_speakers, n_utterances : of the whole corpus; 0: unknown.
    speakers, emotion_counts : expected utterances per speaker and per emotion, where known.
    sample_rate : Hz as distributed; 0: various or unknown.
    total_seconds : s of the whole corpus as distributed; 0: unknown.
    redistributable : False where the licence keeps even the rows on the user's disk.
    steps : how to get the corpus where there is no download.
    warnings : what a user of this corpus should know before believing a score.
    known_faults : file stem -> what is wrong with it in every copy.
    """

    name: str
    title: str = ""
    language: str = ""
    licence: str = ""
    licence_url: str = ""
    citation: str = ""
    homepage: str = ""
    emotions: tuple[str, ...] = ()
    n_speakers: int = 0
    n_utterances: int = 0
    speakers: Mapping[str, int] = field(default_factory=dict)
    emotion_counts: Mapping[str, int] = field(default_factory=dict)
    sample_rate: int = 0
    total_seconds: float = 0.0
    synthetic: bool = False
    redistributable: bool = True
    downloads: tuple[Download, ...] = ()
    steps: str = ""
    warnings: tuple[str, ...] = ()
    known_faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """A row of a CSV that is no clip: its name leaves the root, or its times make no sense.

    Parameters
    ----------
    file, start, end : as they are written there (s).
    reason, message : the error's code, and the error in one line.
    """

    file: str
    start: float
    end: float
    reason: str
    message: str


@dataclass(frozen=True)
class Manifest:
    """Rows, and the folder that their files are relative to.

    Parameters
    ----------
    rows : index (file, start, end); columns as in the module's docstring.
    root : folder of the audio.
    name : short name for tables and titles.
    card : what is known about the corpus, if anything.
    roots : first folder of a file -> the folder that the rest of its name is relative to, for the
        files whose audio does not lie below `root`.
    follow : links may lead out of the folder of the audio; `FOLLOW` allows it for all manifests.
    refused : rows that were left out; each is a failure of an extraction.
    """

    rows: pd.DataFrame
    root: Path
    name: str
    card: Card | None = None
    roots: Mapping[str, Path] = field(default_factory=dict)
    follow: bool = False
    refused: tuple[Refused, ...] = ()

    def __post_init__(self) -> None:
        if tuple(self.rows.index.names) != INDEX:
            raise ManifestError(
                f"the index is {tuple(self.rows.index.names)}, expected {INDEX}",
                where=self.name,
                code="wrong-index",
                fix="make it with serfeat.table.clip_index",
            )
        missing = [c for c in REQUIRED if c not in self.rows.columns]
        if missing:
            raise ManifestError(
                f"no column {', '.join(missing)}",
                where=self.name,
                code="missing-column",
                fix=f"every manifest has {', '.join(REQUIRED)}; leave cells empty where unknown",
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions that occur, sorted; unlabelled rows do not count."""
        return tuple(sorted(set(self.rows["emotion"]) - {UNLABELLED}))

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers that occur, sorted."""
        return tuple(sorted(set(self.rows["speaker"]) - {""}))

    @property
    def files(self) -> tuple[str, ...]:
        """The recordings, in order, each once (several segments may share one)."""
        return tuple(dict.fromkeys(self.rows.index.get_level_values("file")))

    def path(self, file: str) -> Path:
        """Where `file` lies on this disk.

        Raises
        ------
        ManifestError : a name that would leave the root.
        """
        first, _, rest = file.partition("/")
        if first in self.roots:
            root, where = self.roots[first], f"{self.name}, {first}"
            return _unlinked(root, inside(rest, root, where=where), where, self.follow)
        name = inside(file, self.root, where=self.name)
        return _unlinked(self.root, name, self.name, self.follow)

    def select(self, **wanted: str | float | Iterable[Any]) -> Manifest:
        """Keep the rows whose columns have the wanted value, or one of the wanted values.

        Raises
        ------
        UnknownNameError : a column that is not there.
        ManifestError : a value that no row has (a typo must not become an empty table).

        Examples
        --------
        ``manifest.select(emotion=["anger", "neutral"], speaker="03")``
        """
        keep = np.ones(len(self.rows), dtype=bool)
        for column, value in wanted.items():
            if column not in self.rows.columns:
                raise did_you_mean("column", column, map(str, self.rows.columns), where=self.name)
            scalar = isinstance(value, str) or not isinstance(value, Iterable)
            values = [value] if scalar else list(value)  # type: ignore[arg-type]
            for v in values:
                here = (self.rows[column] == v).to_numpy()
                if not here.any():
                    known = sorted(set(map(str, self.rows[column])))[:12]
                    raise ManifestError(
                        f"no row has {column} = {v!r}",
                        where=self.name,
                        code="no-such-value",
                        fix=f"there are {', '.join(known)}",
                    )
            keep &= self.rows[column].isin(values).to_numpy()
        return self.with_rows(self.rows[keep])

    def labelled(self) -> Manifest:
        """Keep the rows that have an emotion label."""
        return self.with_rows(self.rows[(self.rows["emotion"] != UNLABELLED).to_numpy()])

    def with_rows(self, rows: pd.DataFrame) -> Manifest:
        """The same corpus and root with other rows."""
        return replace(self, rows=rows, refused=())


def _unlinked(root: Path, name: str, where: str, follow: bool) -> Path:
    """Path of a name below `root`, unless a link on the way leads out of it."""
    path = root / name
    if not follow and os.environ.get(FOLLOW) != "1":
        real = os.path.realpath(path)
        if real == os.path.abspath(path):  # no link anywhere: the name is below the root
            return path
        base = os.path.realpath(root)
        if real != base and not real.startswith(base.rstrip(os.sep) + os.sep):
            raise ManifestError(
                f"file {name!r} is behind a link that leads out of the audio folder",
                where=where,
                code="outside-root",
                fix=f"give the folder that the link leads to, or allow it (--follow, {FOLLOW}=1)",
            )
    return path


def refuse_collisions(files: Iterable[str], *, where: object) -> None:
    """Refuse names that differ here and are one name on other systems (case, NFC and NFD).

    Their rows would be told apart on this disk, and overwrite each other on the next.

    Raises
    ------
    ManifestError : code ``colliding-names``.
    """
    seen: dict[str, str] = {}
    for file in files:
        key = file.lower() if file.isascii() else unicodedata.normalize("NFC", file).casefold()
        before = seen.setdefault(key, file)
        if before != file:
            raise ManifestError(
                f"{before!r} and {file!r} are one name on other systems",
                where=where,
                code="colliding-names",
                fix="rename one of them",
            )


def rows_from_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the rows of a manifest from one mapping per utterance.

    Parameters
    ----------
    records : each with `file`, optionally `start`, `end` (s), and columns; a column that only some
        records have is empty (text) or NaN (numbers) in the others.

    Returns
    -------
    DataFrame on `clip_index`, text as text, numbers as float64.
    """
    names = list(dict.fromkeys(key for record in records for key in record))
    index = clip_index(
        [r["file"] for r in records],
        [r.get("start", 0.0) for r in records],
        [r.get("end", np.nan) for r in records],
    )
    table = pd.DataFrame(index=index)
    for name in names:
        if name in INDEX:
            continue
        values = [r.get(name) for r in records]
        if any(isinstance(v, str) for v in values) or name in TEXT:
            table[name] = pd.Series(
                ["" if v is None else escaped(str(v)) for v in values], index
            ).astype(str)
        else:
            table[name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return table


def manifest_of_folder(folder: str | Path) -> Manifest:
    """Make a manifest of all audio below a folder, without speakers and labels.

    It is enough to extract features; training and comparing need speakers and labels.

    Raises
    ------
    ManifestError : no such folder, or no audio in it.
    """
    root = Path(folder)
    files = audio_files(root)
    if not files:
        raise ManifestError(
            "no audio below this folder",
            where=root,
            code="no-rows",
            fix=f"known suffixes: {' '.join(AUDIO_SUFFIXES)}",
        )
    refuse_collisions(files, where=root)
    name = escaped(root.resolve().name) or "folder"
    blank = {"corpus": name, "speaker": "", "emotion": UNLABELLED}
    return Manifest(rows_from_records([{"file": f, **blank} for f in files]), root, name)
