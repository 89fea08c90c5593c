"""Manifests: which recordings there are, who speaks in them, and what they are labelled.

Conventions
-----------
* `Manifest.rows` is a plain DataFrame on the index (file, start, end) of `serfeat.table`. `file` is
  relative to `Manifest.root`, with ``/`` between folders. The columns corpus, speaker and emotion
  are always there and are text ("03" stays "03"); an unknown speaker and a missing label are the
  empty text. Optional text: sex, language, text_id, session, split. Optional numbers, float64 with
  NaN for unknown: age (years), duration (s), valence, arousal, dominance (the corpus' own scale),
  votes_<emotion> (raters who chose it). Extra columns are kept.
* On disk: CSV (UTF-8; times in decimal seconds, only where segments are used) with a side-car
  ``<stem>.toml`` that holds what a CSV cannot: the audio's root, the number of rows, a checksum,
  the licence. Any other CSV with a column `file` can be read as well.
* Nothing is repaired in silence: what is wrong is an error that names the line.
* `Manifest.path` is lexical: ``..``, absolute names and URLs cannot leave the root; links inside
  the root are followed, because corpora are often kept behind links.

Contents
--------
`Card`, `Download` (what is known about a corpus), `Manifest`, `read_manifest`, `write_manifest`,
`manifest_of_folder`, `audio_files`, `rows_from_records`. Longer than other modules: reading and
writing stay side by side, so that what one writes the other is seen to read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import posixpath
import re
import tempfile
import tomllib
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import ManifestError, did_you_mean
from serfeat.labels import UNLABELLED, UNLABELLED_WORD, normalise, normalise_sex
from serfeat.table import INDEX, clip_index

__all__ = [
    "AUDIO_SUFFIXES",
    "Card",
    "Download",
    "Manifest",
    "audio_files",
    "manifest_of_folder",
    "read_manifest",
    "rows_from_records",
    "write_manifest",
]

AUDIO_SUFFIXES = (".aiff", ".au", ".caf", ".flac", ".mp3", ".ogg", ".opus", ".w64", ".wav")
REQUIRED = ("corpus", "speaker", "emotion")
TEXT = (*REQUIRED, "sex", "language", "text_id", "session", "split")
NUMBERS = ("age", "duration", "valence", "arousal", "dominance")

# What other tools call our columns; an error names it, nothing is renamed in silence.
_OTHER_NAMES = {
    "file": ("wav", "path", "filename", "file_name", "audio_filepath", "filepath", "audio", "name"),
    "speaker": ("speaker_id", "spk", "spkr", "subject", "actor", "participant", "user"),
    "emotion": ("label", "emo", "emotions", "class", "target", "category"),
}
_PURPOSE = {
    "file": "the recordings, relative to the audio folder",
    "speaker": "one code per person; without it no split can keep speakers apart",
    "emotion": "the label",
}


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


# The part of a card that travels in a side-car.
_CARD_IN_SIDECAR = (
    *("name", "title", "language", "licence", "licence_url", "citation", "homepage"),
    *("synthetic", "redistributable", "warnings"),
)


@dataclass(frozen=True)
class Manifest:
    """Rows, and the folder that their files are relative to.

    Parameters
    ----------
    rows : index (file, start, end); columns as in the module's docstring.
    root : folder of the audio.
    name : short name for tables and titles.
    card : what is known about the corpus, if anything.
    """

    rows: pd.DataFrame
    root: Path
    name: str
    card: Card | None = None

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
        return self.root / _inside(file, self.root, self.name)

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
        return replace(self, rows=rows)


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
            table[name] = pd.Series(["" if v is None else str(v) for v in values], index).astype(
                str
            )
        else:
            table[name] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return table


def audio_files(folder: Path) -> list[str]:
    """Every audio file below `folder`, relative to it, sorted; hidden files are left out.

    Raises
    ------
    ManifestError : no such folder, or folders that link to one of their parents.
    """
    if not folder.is_dir():
        raise ManifestError("not a folder", where=folder, code="missing-folder")
    found: list[str] = []

    def walk(here: Path, parents: tuple[tuple[int, int], ...]) -> None:
        facts = here.stat()
        key = (facts.st_dev, facts.st_ino)
        if key in parents:
            raise ManifestError(
                "the folder links back to a folder above it",
                where=here,
                code="link-loop",
                fix="remove the link",
            )
        with os.scandir(here) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                # "._a.wav" is a Mac's resource fork and __MACOSX is full of them: no audio
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if entry.is_dir():
                    walk(Path(entry.path), (*parents, key))
                elif entry.name.lower().endswith(AUDIO_SUFFIXES):
                    found.append(Path(entry.path).relative_to(folder).as_posix())

    walk(folder, ())
    return sorted(found)


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
    name = root.resolve().name or "folder"
    blank = {"corpus": name, "speaker": "", "emotion": UNLABELLED}
    return Manifest(rows_from_records([{"file": f, **blank} for f in files]), root, name)


# --- reading ------------------------------------------------------------------------------------


def read_manifest(
    path: str | Path,
    *,
    root: str | Path | None = None,
    encoding: str = "utf-8",
    label_map: Mapping[str, str] | None = None,
    labels: Collection[str] | None = None,
    require: Collection[str] = ("speaker", "emotion"),
) -> Manifest:
    """Read a manifest, ours or any CSV with a column `file`.

    Separator ``,`` ``;`` or tab (the one that the header has most of); UTF-8, or UTF-16 with a byte
    order mark, or `encoding`. Cells are text: a label ``NA`` is a label, speaker ``03`` stays
    ``03``. With ``;``, numbers may have a decimal comma. An extra column is numeric where the
    side-car says so; without a side-car, where every cell is a number without leading zeros.

    Parameters
    ----------
    root : folder of the audio; default: the side-car's, else the folder of the CSV.
    label_map, labels : see `serfeat.labels.normalise`.
    require : columns that must be there and be filled; ``()`` to only extract features.

    Raises
    ------
    ManifestError : anything that cannot be trusted, with its line.
    UnknownNameError : a label outside the vocabulary, with the nearest known one.
    """
    path = Path(path)
    header, lines, cells, separator = _parse(_text_of(path, encoding), path, require)
    about = _read_sidecar(path, len(cells))
    folder = Path(root) if root is not None else path.parent / about.get("root", ".")
    columns = {name: [row[i] for row in cells] for i, name in enumerate(header)}
    where = [f"{path}, line {line}" for line in lines]

    files = [_inside(f, folder, w) for f, w in zip(columns["file"], where, strict=True)]
    comma = separator == ";"
    starts = _times(columns.get("start"), 0.0, where, comma)
    ends = _times(columns.get("end"), np.nan, where, comma)
    _check_keys(files, starts, ends, lines, path)

    rows = pd.DataFrame(index=clip_index(files, starts, ends))
    corpus = str(about.get("corpus", path.stem))
    for name in dict.fromkeys((*REQUIRED, *header)):
        if name in INDEX:
            continue
        texts = columns.get(name, [corpus if name == "corpus" else ""] * len(files))
        if name == "emotion" and (name in require or any(texts)):
            texts = [
                normalise(t, label_map=label_map, labels=labels, where=w)
                if t or name in require
                else UNLABELLED
                for t, w in zip(texts, where, strict=True)
            ]
        elif name == "sex":
            texts = [normalise_sex(t, where=w) for t, w in zip(texts, where, strict=True)]
        elif name in require and not all(texts):
            raise ManifestError(
                f"the {name} is empty in {sum(not t for t in texts)} rows",
                where=where[texts.index("")],
                code="missing-value",
                fix=f"fill it ({_PURPOSE.get(name, name)})",
            )
        if _is_number(name, texts, about.get("numeric")):
            rows[name] = [
                _number(t, f"{w}, {name}", comma) for t, w in zip(texts, where, strict=True)
            ]
        else:
            rows[name] = pd.Series(texts, rows.index, dtype=object).astype(str)
    card = Card(**about["card"]) if "card" in about else None
    return Manifest(rows, folder, corpus, card)


def _text_of(path: Path, encoding: str) -> str:
    """The file's text; byte order marks decide before `encoding` does."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError(f"cannot be read: {reason}", where=path, code="unreadable") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif raw.startswith(b"\xef\xbb\xbf"):
        encoding = "utf-8-sig"
    try:
        return raw.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        line = raw[: getattr(error, "start", 0)].count(b"\n") + 1
        raise ManifestError(
            f"the text is not {encoding}",
            where=f"{path}, line {line}",
            code="wrong-encoding",
            fix="save it as UTF-8, or name the encoding (latin-1, cp1252, ...)",
        ) from error


def _parse(
    text: str, path: Path, require: Collection[str]
) -> tuple[list[str], list[int], list[list[str]], str]:
    """Split into header, line numbers, cells and the separator; what is ragged is an error."""
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ManifestError("a NUL byte", where=f"{path}, line {line}", code="nul-byte")
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    lines: list[int] = []
    cells: list[list[str]] = []
    try:
        for row in reader:
            if not row:
                continue
            where = f"{path}, line {reader.line_num}"
            if not header:
                header = [name.strip() for name in row]
                _check_header(header, path, require)
            elif len(row) != len(header):
                raise ManifestError(
                    f"{len(row)} fields, the header has {len(header)}",
                    where=where,
                    code="ragged-row",
                    fix="quote the fields that contain the separator",
                )
            else:
                lines.append(reader.line_num)
                cells.append([cell.strip() for cell in row])
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise ManifestError(f"not CSV: {error}", where=where, code="not-csv") from error
    if not cells:
        raise ManifestError("no rows", where=path, code="no-rows")
    if not text.endswith(("\n", "\r")):
        raise ManifestError(
            "no newline after the last row, so the file may have been cut",
            where=f"{path}, line {lines[-1]}",
            code="no-final-newline",
            fix="check the last row and end it with a newline",
        )
    return header, lines, cells, separator


def _check_header(header: list[str], path: Path, require: Collection[str]) -> None:
    where = f"{path}, line 1"
    twice = sorted({name for name in header if header.count(name) > 1 and name})
    if twice:
        raise ManifestError(f"column {', '.join(twice)} occurs twice", where=where, code="columns")
    if "" in header:
        n = header.index("") + 1
        raise ManifestError(f"column {n} has no name", where=where, code="columns")
    for name in dict.fromkeys(("file", *require)):
        if name in header:
            continue
        others = [h for h in header if h.lower() in (name, *_OTHER_NAMES.get(name, ()))]
        purpose = _PURPOSE.get(name, "it was required")
        fix = f"rename {others[0]!r} to {name!r}" if others else f"add it ({purpose})"
        raise ManifestError(
            f"no column {name!r}; found {', '.join(header)}",
            where=where,
            code=f"no-{name}",
            fix=fix,
        )


def _inside(file: str, root: Path, where: str) -> str:
    """`file` relative to `root`, or an error if it would leave it."""
    name = file
    if name.startswith("/"):
        # an absolute name of a file below the root is fine; it becomes relative
        base = posixpath.normpath(root.resolve().as_posix())
        name = posixpath.relpath(posixpath.normpath(name), base)
    outside = (
        not name
        or "\0" in name
        or name.startswith(("~", "\\\\"))
        or re.match(r"[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*://", name) is not None
        or posixpath.normpath(name.replace("\\", "/")).split("/")[0] in ("..", ".")
    )
    if outside:
        raise ManifestError(
            f"file {file!r} is not a name below the audio folder",
            where=where,
            code="outside-root",
            fix=f"names are relative to {root}; give another root if the audio lies elsewhere",
        )
    return posixpath.normpath(name)


def _times(
    texts: list[str] | None, default: float, where: list[str], comma: bool
) -> list[float] | None:
    """Seconds from decimal seconds or from audformat's ``0 days 00:00:01.5``."""
    if texts is None:
        return None
    seconds = []
    for text, place in zip(texts, where, strict=True):
        if "day" in text:
            try:
                seconds.append(pd.Timedelta(text).total_seconds())
            except ValueError as error:
                raise ManifestError(
                    f"{text!r} is no time", where=place, code="bad-times"
                ) from error
        else:
            value = _number(text, place, comma)
            seconds.append(default if np.isnan(value) else value)
    return seconds


def _check_keys(
    files: list[str],
    starts: list[float] | None,
    ends: list[float] | None,
    lines: list[int],
    path: Path,
) -> None:
    """Times that make sense, and no (file, start, end) twice."""
    seen: dict[tuple[str, float, float], int] = {}
    twice: list[str] = []
    for i, (file, line) in enumerate(zip(files, lines, strict=True)):
        start = 0.0 if starts is None else starts[i]
        end = float("nan") if ends is None else ends[i]
        if start < 0 or end <= start:
            raise ManifestError(
                f"start {start:g} s and end {end:g} s of {file!r}: expected 0 <= start < end",
                where=f"{path}, line {line}",
                code="bad-times",
            )
        before = seen.setdefault((file, start, -1.0 if np.isnan(end) else end), line)
        if before != line:
            twice.append(f"line {line} = line {before} ({file})")
    if twice:
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise ManifestError(
            f"repeated rows: {', '.join(twice[:5])}{more}",
            where=path,
            code="duplicate-row",
            fix="remove them; segments of one file need different start or end",
        )


def _is_number(name: str, texts: list[str], numeric: Sequence[str] | None) -> bool:
    if name in TEXT or name == "emotion_code":
        return False
    if name in NUMBERS or name.startswith("votes_"):
        return True
    if numeric is not None:
        return name in numeric
    plain = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
    return any(texts) and all(t == "" or plain.fullmatch(t) is not None for t in texts)


def _number(text: str, where: str, comma: bool) -> float:
    """A finite number, or NaN for an empty cell and for Praat's ``--undefined--``."""
    if text.lower() in ("", "nan", "--undefined--"):
        return float("nan")
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError:
        value = float("inf")
    if not np.isfinite(value):
        raise ManifestError(
            f"{text!r} is not a finite number",
            where=where,
            code="not-a-number",
            fix="leave the cell empty where the value is unknown",
        )
    return value


# --- side-car and writing -----------------------------------------------------------------------


def _read_sidecar(path: Path, n_rows: int) -> dict[str, Any]:
    """What ``<stem>.toml`` says about the CSV, and its card; empty where there is none."""
    beside = path.with_suffix(".toml")
    if path.suffix.lower() == ".toml" or not beside.is_file():
        return {}
    try:
        content = tomllib.loads(beside.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"not TOML: {error}", where=beside, code="not-toml") from error
    if "manifest" not in content:  # some other TOML, a corpus card for example
        return {}
    about: dict[str, Any] = dict(content["manifest"])
    if about.get("rows", n_rows) != n_rows:
        raise ManifestError(
            f"{n_rows} rows, but {beside.name} says {about['rows']}",
            where=path,
            code="row-count",
            fix=f"the file was cut or edited; if on purpose, delete `rows` from {beside.name}",
        )
    if about.get("sha256", "") not in ("", _sha256(path.read_bytes())):
        warnings.warn(
            f"{path} was changed after it was written ({beside.name} has another sha256)",
            stacklevel=3,
        )
    if "card" in content:
        card = {k: v for k, v in content["card"].items() if k in _CARD_IN_SIDECAR}
        about["card"] = {k: tuple(v) if isinstance(v, list) else v for k, v in card.items()}
    return about


def write_manifest(manifest: Manifest, path: str | Path) -> Path:
    """Write the rows as CSV and what a CSV cannot hold as ``<stem>.toml`` beside it.

    Both are written to a temporary file and renamed, so that a reader never sees half of one.
    The root is written relative to the CSV where the file system allows it.

    Returns
    -------
    Path of the CSV.

    Raises
    ------
    ManifestError : no rows; a file name that is not Unicode; a ``<stem>.toml`` that is no side-car.
    """
    path = Path(path)
    beside = path.with_suffix(".toml")
    if beside == path:
        raise ManifestError("a manifest is a CSV", where=path, code="suffix", fix="name it *.csv")
    if beside.exists() and "manifest" not in tomllib.loads(beside.read_text(encoding="utf-8")):
        raise ManifestError(
            "there is another kind of file in the side-car's place",
            where=beside,
            code="side-car",
            fix="write the manifest under another name",
        )
    if not len(manifest):
        raise ManifestError("no rows", where=path, code="no-rows")
    try:
        raw = _to_csv(manifest).encode("utf-8")
    except UnicodeEncodeError as error:
        name = error.object[error.start : error.end]
        raise ManifestError(
            f"a file name is not Unicode (near {name!r})",
            where=path,
            code="name-not-unicode",
            fix="rename the file",
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, raw)
    _write(beside, _sidecar(manifest, path, raw).encode("utf-8"))
    return path


def _to_csv(manifest: Manifest) -> str:
    rows = manifest.rows
    flat: dict[str, list[str]] = {"file": [str(f) for f in rows.index.get_level_values("file")]}
    start, end = rows.index.get_level_values("start"), rows.index.get_level_values("end")
    if (start != pd.Timedelta(0)).any() or end.notna().any():
        flat["start"] = [f"{t.value / 1e9:.9f}".rstrip("0").rstrip(".") for t in start]
        flat["end"] = [
            "" if t is pd.NaT else f"{t.value / 1e9:.9f}".rstrip("0").rstrip(".") for t in end
        ]
    for name in rows.columns:
        values = rows[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            flat[name] = [
                "" if np.isnan(v) else repr(v).removesuffix(".0") for v in values.astype(float)
            ]
        else:
            flat[name] = ["" if pd.isna(v) else str(v) for v in values]
    if any(flat["emotion"]):
        flat["emotion"] = [e or UNLABELLED_WORD for e in flat["emotion"]]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(flat)
    writer.writerows(zip(*flat.values(), strict=True))
    return out.getvalue()


def _sidecar(manifest: Manifest, path: Path, raw: bytes) -> str:
    try:
        root = Path(os.path.relpath(manifest.root.resolve(), path.parent.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        root = manifest.root.resolve().as_posix()
    rows = manifest.rows
    numeric = [str(c) for c in rows.columns if pd.api.types.is_numeric_dtype(rows[c].dtype)]
    card = manifest.card
    about: dict[str, Any] = {
        "corpus": manifest.name,
        "root": root,
        "rows": len(manifest),
        "sha256": _sha256(raw),
        "numeric": numeric,
        "licence": card.licence if card else "",
        "synthetic": card.synthetic if card else False,
    }
    note = "# Written by serfeat; belongs to the CSV of the same name.\n"
    if card is not None and not card.redistributable:
        note += "# The licence of this corpus keeps these rows on your disk: do not pass them on.\n"
    text = note + "[manifest]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in about.items())
    if card is not None:
        parts = {key: getattr(card, key) for key in _CARD_IN_SIDECAR}
        text += "\n[card]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in parts.items())
    return text


def _toml(value: Any) -> str:
    """A JSON literal is also a TOML literal for text, numbers, truth values and their lists."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _write(path: Path, raw: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".serfeat-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(raw)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)  # mkstemp makes files that only the owner may read
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
