"""Where a folder of speech says who speaks and with which emotion: folders, file names, a CSV.

Collections are laid out in many ways, and nothing in them says which. A place is tried by what it
holds: emotions are where (nearly) all words are emotions of the vocabulary; speakers are where
words look like names of people, most of whom have several emotions. A number alone is no speaker:
in ``anger_03.wav`` it counts recordings. What cannot be told is left open, never invented.

Conventions
-----------
A place is written as users write it: ``folder:1`` is the outermost folder below the root,
``name:2`` the second word of a file's name (``-``, ``_``, ``.`` and blanks divide words;
``name:-1`` is the last), ``column:emotion`` a column of a CSV, ``corpus:emodb`` the rule of a known
corpus, ``one`` a single speaker, ``none`` nobody known.

Contents
--------
`Clues`         : emotion and speaker of every file, and where they were found.
`find_clues`    : reads them, from given places or guessed ones.
`places_of`     : every place of a folder and its words.
`read_labels`   : the CSV of a user, whatever its columns are called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from serfeat.corpora import CORPORA, find_corpus, ravdess
from serfeat.errors import ManifestError, SerfeatError, did_you_mean
from serfeat.files import audio_files
from serfeat.labels import normalise

__all__ = ["Clues", "find_clues", "places_of", "read_labels"]

ENOUGH = 0.8  # share of files whose word must be an emotion
ONE, NONE = "one", "none"
SIMPLE = ("corpus", ONE, NONE)

_BETWEEN = re.compile(r"[-_. ]+")
_NUMBERED = re.compile(r"\d\d(-\d\d){6}")  # RAVDESS and its likes, song and video too
# "spk3", "actor_03": words with which people number people
_PERSON = re.compile(
    r"(spk|spkr|speaker|actor|actress|subj|subject|part|participant|person|user)[-_ ]?\w*", re.I
)
# Folders that divide a collection, but not by who speaks
_NOT_PEOPLE = {
    *("audio", "clips", "data", "files", "flac", "mp3", "raw", "recordings", "speech", "wav"),
    *("dev", "eval", "test", "train", "training", "val", "valid", "validation", "wavs"),
    *("female", "male", "high", "low", "normal", "strong"),
}
_FILE_COLUMNS = ("file", "filename", "file_name", "path", "filepath", "wav", "audio", "name")


@dataclass(frozen=True)
class Clues:
    """What a folder of speech says.

    Parameters
    ----------
    files : relative to the root, sorted.
    emotions, speakers : one per file; "" where there is none.
    emotion_from, speaker_from : the places; ``none`` where nothing was found.
    odd : word of the emotions' place that is no emotion -> how many files have it.
    rows : the whole rows of a known corpus; None otherwise.
    """

    files: tuple[str, ...]
    emotions: tuple[str, ...]
    speakers: tuple[str, ...]
    emotion_from: str
    speaker_from: str
    odd: Mapping[str, int]
    rows: pd.DataFrame | None = None


def find_clues(
    root: Path, *, emotion_from: str = "", speaker_from: str = "", table: Path | None = None
) -> Clues:
    """Read emotions and speakers from the places that are given, guess those that are not.

    Parameters
    ----------
    root : the folder.
    emotion_from, speaker_from : a place; ``corpus``, ``folder``, ``name`` and ``column`` without
        more: guess among those; "": guess.
    table : CSV of the columns; default: the only one directly below `root` that names files.

    Raises
    ------
    ManifestError : no audio; a place that no file has; no emotions found, with what there is.
    UnknownNameError : an unknown kind of place, column or corpus.
    """
    files = audio_files(root)
    if not files:
        raise ManifestError("no audio below this folder", where=root, code="no-audio")
    for place in (emotion_from, speaker_from):
        _check_kind(place)
    known = _known_corpus(root, emotion_from, speaker_from)
    if known is not None and speaker_from in ("", "corpus", known.speaker_from):
        return known
    places = places_of(files)
    places |= _columns(root, files, table, needed=(emotion_from, speaker_from))
    if known is not None:
        places[known.emotion_from] = list(known.emotions)
        emotion_from = known.emotion_from
    feeling = _emotion_place(root, places, emotion_from)
    emotions, odd = _emotions(places[feeling])
    person = _speaker_place(root, places, speaker_from, feeling, emotions)
    speakers = {ONE: [root.resolve().name or ONE] * len(files), NONE: [""] * len(files)}
    said = speakers.get(person) or places[person]
    return Clues(tuple(files), tuple(emotions), tuple(said), feeling, person, odd)


def _check_kind(place: str) -> None:
    kinds = (*SIMPLE, "folder", "name", "column")
    if place and place.partition(":")[0] not in kinds:
        raise did_you_mean("place", place, [*SIMPLE, "folder:1", "name:1", "column:emotion"])


# --- known corpora --------------------------------------------------------------------------------


def _known_corpus(root: Path, emotion_from: str, speaker_from: str) -> Clues | None:
    """Read a folder by the rule of a corpus, if one fits or is asked for."""
    kind, _, name = emotion_from.partition(":")
    if emotion_from and kind != "corpus":
        return None
    if name:
        return _by_rule(name, root, find_corpus(name).read(root))
    for name, corpus in CORPORA.items():
        if corpus.has_card:
            try:
                rows = corpus.read(root)
            except SerfeatError:  # not this one
                continue
            return _by_rule(name, root, rows)
    if "corpus" in (emotion_from, speaker_from):
        raise ManifestError(
            "follows the rule of no corpus that serfeat knows",
            where=root,
            code="unknown-corpus",
            fix=f"it knows {', '.join(n for n, c in CORPORA.items() if c.has_card)}",
        )
    return None


def _by_rule(name: str, root: Path, rows: pd.DataFrame) -> Clues:
    if not len(rows):
        raise ManifestError(f"nothing of {name} below this folder", where=root, code="no-audio")
    files = tuple(str(f) for f in rows.index.get_level_values("file"))
    emotions, speakers = (tuple(map(str, rows[c])) for c in ("emotion", "speaker"))
    return Clues(files, emotions, speakers, f"corpus:{name}", f"corpus:{name}", {}, rows)


# --- places ---------------------------------------------------------------------------------------


def places_of(files: Sequence[str]) -> dict[str, list[str]]:
    """Return every place of the names of files: its word in each file, "" where it has none.

    >>> places_of(["anna/anger_1.wav", "ben/fear_1.wav"])["folder:1"]
    ['anna', 'ben']
    """
    folders = [PurePosixPath(f).parts[:-1] for f in files]
    names = [_BETWEEN.split(PurePosixPath(f).stem) for f in files]
    places = {}
    for i in range(max(map(len, folders))):
        places[f"folder:{i + 1}"] = [p[i] if i < len(p) else "" for p in folders]
    most = max(map(len, names))
    for i in range(most):
        places[f"name:{i + 1}"] = [n[i] if i < len(n) else "" for n in names]
    if len({len(n) for n in names}) > 1:  # otherwise the last is the n-th as well
        places |= {f"name:-{i}": [n[-i] if i <= len(n) else "" for n in names] for i in (1, 2)}
    if all(_NUMBERED.fullmatch(PurePosixPath(f).stem) for f in files):
        places["name:3"] = [ravdess.EMOTION_CODES.get(n[2], n[2]) for n in names]
    return places


def _emotions(words: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Labels of words, "" where one is no emotion; and those, with their counts."""
    meaning: dict[str, str] = {}
    for word in set(words):
        try:
            meaning[word] = normalise(word) if word else ""
        except SerfeatError:
            meaning[word] = ""
    odd: dict[str, int] = {}
    for word in words:
        if not meaning[word]:
            odd[word] = odd.get(word, 0) + 1
    return [meaning[w] for w in words], dict(sorted(odd.items()))


def _emotion_place(root: Path, places: Mapping[str, list[str]], wanted: str) -> str:
    """Find the place with the most emotions; where several have as many, columns go first."""
    if wanted in places:
        return wanted
    if ":" in wanted:
        raise did_you_mean("place", wanted, places, where=root)
    best, share = "", 0.0
    order = sorted(places, key=lambda p: not p.startswith("column"))
    for place in order:
        if wanted and not place.startswith(wanted):
            continue
        labels, _ = _emotions(places[place])
        found = sum(map(bool, labels)) / len(labels)
        if len(set(labels) - {""}) > 1 and found > share:
            best, share = place, found
    if share >= ENOUGH:
        return best
    raise ManifestError(
        f"no place says the emotion: {_overview(places)}",
        where=root,
        code="no-labels",
        fix="say where with --emotion-from (folder:1, name:2, column:label), or write a CSV with "
        "the columns file, speaker, emotion",
    )


def _overview(places: Mapping[str, list[str]]) -> str:
    """What the first places hold, in words."""
    parts = []
    for place, words in list(places.items())[:4]:
        there = sorted(set(words) - {""})
        parts.append(f"{place} has {', '.join(there[:3])}{', ...' if len(there) > 3 else ''}")
    return "; ".join(parts)


def _speaker_place(
    root: Path, places: Mapping[str, list[str]], wanted: str, feeling: str, emotions: Sequence[str]
) -> str:
    """Find the place that holds people: given, or one that looks like it; ``none`` else."""
    if wanted in (ONE, NONE) or wanted in places:
        return wanted
    if ":" in wanted or wanted == "corpus":
        raise did_you_mean("place", wanted, [*places, ONE, NONE], where=root)
    if not wanted and _numbers_of(places):
        return "name:7"
    columns = [p for p in places if p.startswith("column") and _is_person(p.partition(":")[2])]
    if columns and wanted in ("", "column"):
        return columns[0]
    for place, words in places.items():
        asked = bool(wanted) and place.startswith(wanted)
        if place == feeling or (wanted and not asked) or not _several(words, emotions):
            continue
        told = all(_PERSON.fullmatch(w) for w in words)
        people = place.startswith("folder") and not {w.lower() for w in words} & _NOT_PEOPLE
        if told or people or asked:
            return place
    return NONE


def _numbers_of(places: Mapping[str, list[str]]) -> bool:
    """Whether names are RAVDESS's seven numbers, of which the last is the actor."""
    return (
        "name:7" in places
        and "name:8" not in places
        and set(places["name:3"]) <= {*ravdess.EMOTION_CODES.values()}
        and all(
            w.isdecimal() and len(w) == 2 for n in (1, 2, 4, 5, 6, 7) for w in places[f"name:{n}"]
        )
    )


def _is_person(column: str) -> bool:
    return bool(_PERSON.fullmatch(column))


def _several(words: Sequence[str], emotions: Sequence[str]) -> bool:
    """Whether words could be people: at least two, everywhere, most with several emotions."""
    if not all(words) or len(set(words)) < 2:
        return False
    said: dict[str, set[str]] = {}
    for word, emotion in zip(words, emotions, strict=True):
        said.setdefault(word, set()).add(emotion)
    return sum(len(e - {""}) > 1 for e in said.values()) > len(said) / 2


# --- a CSV ----------------------------------------------------------------------------------------


def _columns(
    root: Path, files: Sequence[str], table: Path | None, *, needed: Sequence[str]
) -> dict[str, list[str]]:
    """Return the columns of the user's CSV as places."""
    if table is None:
        candidates = [p for p in sorted(root.glob("*.csv")) if _names_files(p)]
        if len(candidates) == 1:
            table = candidates[0]
        elif any(p.startswith("column") for p in needed):
            found = "no CSV" if not candidates else f"{len(candidates)} CSVs that name files"
            raise ManifestError(
                f"{found} directly below this folder", where=root, code="no-table", fix="--csv FILE"
            )
    return {} if table is None else read_labels(table, files)


def _names_files(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            header = lines.readline(65_536)
    except OSError:
        return False
    words = {w.strip().strip('"').lower() for w in re.split(r"[,;\t]", header)}
    return bool(words & set(_FILE_COLUMNS))


def read_labels(path: Path, files: Sequence[str]) -> dict[str, list[str]]:
    """Read a user's CSV as places: ``column:<name>`` -> its cell for every file, "" for none.

    A row is found by the file's path, its name, or its name without the suffix.

    Raises
    ------
    ManifestError : unreadable; no column of files; not one of the files is in it.
    """
    try:
        head = path.read_text(encoding="utf-8-sig").partition("\n")[0]
        separator = max(",;\t", key=head.count)
        cells = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot be read: {error}", where=path, code="unreadable") from None
    names = {str(c).strip().lower(): c for c in cells.columns}
    key = next((names[c] for c in _FILE_COLUMNS if c in names), None)
    if key is None:
        raise ManifestError(
            f"no column of files among {', '.join(map(str, cells.columns))}",
            where=path,
            code="no-file",
            fix="call it file",
        )
    rows: dict[str, int] = {}
    for i, name in enumerate(cells[key]):
        whole = PurePosixPath(str(name).strip().replace("\\", "/"))
        for spelling in (str(whole), whole.name, whole.stem):
            rows.setdefault(spelling, i)
    found = []
    for file in files:
        whole = PurePosixPath(file)
        spellings = (file, whole.name, whole.stem)
        found.append(next((rows[s] for s in spellings if s in rows), -1))
    if max(found) < 0:
        raise ManifestError(
            f"names none of the {len(files)} files, the first is {files[0]!r}",
            where=path,
            code="other-files",
        )
    return {
        f"column:{c}": ["" if i < 0 else str(cells[c].iloc[i]).strip() for i in found]
        for c in cells.columns
        if c != key
    }
