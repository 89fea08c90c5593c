"""Manifests of EmoBox and NeMo: one JSON object per line.

Conventions
-----------
* EmoBox: key, dataset, wav, emo, length (s). The labels are the corpus' own codes;
  ``label_map.json`` beside the file or one folder above says what they mean. A folder ``fold_1``
  with ``*_train_*.jsonl`` and ``*_test_*.jsonl`` is read as one manifest with the column `split`.
  EmoBox names no speakers: they stay unknown, and no speaker-independent protocol can be run.
* NeMo: audio_filepath, label, perhaps offset and duration (s), speaker. Rows are segments in files
  of which a row begins after 0; else each row is a whole file, and the duration is a column.

Sources
-------
Ma et al., "EmoBox", Interspeech 2024, and its repository, ``data/``; NVIDIA NeMo, "Speech
Classification: data formats".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serfeat.errors import ManifestError
from serfeat.files import inside
from serfeat.imports.lines import checked_file, json_object, numbered
from serfeat.labels import normalise, normalise_sex
from serfeat.manifest import Manifest, rows_from_records

__all__ = ["read_emobox", "read_nemo"]

SMALL = 1 << 20  # bytes of a label map
LONG = 256 << 20  # bytes of a manifest: a million rows


def read_emobox(path: Path, root: Path | None, label_map: Mapping[str, str] | None) -> Manifest:
    """Read a JSONL file of EmoBox, or a folder of one fold.

    Raises
    ------
    ManifestError : what is wrong, with file and line.
    UnknownNameError : a label that means nothing here.
    """
    parts = {path: _split_of(path)} if path.is_file() else _parts(path)
    folder = path if path.is_dir() else path.parent
    base = root if root is not None else folder
    records: list[dict[str, Any]] = []
    name = ""
    for part, split in parts.items():
        meaning = {**_label_map(part.parent), **(label_map or {})}
        for where, row in _objects(part):
            code = _text(row, "emo", where)
            name = name or str(row.get("dataset", ""))
            record: dict[str, Any] = {
                "file": inside(_text(row, "wav", where), base, where=where),
                "corpus": str(row.get("dataset", "")),
                "speaker": str(row.get("speaker", row.get("spk", ""))),
                "emotion": normalise(code, label_map=meaning, where=where),
                "emotion_code": code,
                "key": str(row.get("key", "")),
                "split": split,
            }
            if "length" in row:
                record["duration"] = _seconds(row, "length", where)
            records.append(record)
    return _manifest(records, base, name or path.stem, path)


def _parts(folder: Path) -> dict[Path, str]:
    """The JSONL files of a fold's folder with their splits."""
    found = {p: _split_of(p) for p in sorted(folder.glob("*.jsonl"))}
    splits = [s for s in found.values() if s]
    if not found or len(set(splits)) < len(found):
        names = ", ".join(p.name for p in found) or "no *.jsonl"
        raise ManifestError(
            f"expected one file per split in a fold's folder, found {names}",
            where=folder,
            code="no-rows",
            fix="give one file, or the folder of one fold",
        )
    return found


def _split_of(path: Path) -> str:
    """What the name of a file says it is: ``cafe_test_fold_1.jsonl`` is ``test``."""
    words = path.stem.lower().split("_")
    known = {"train": "train", "test": "test", "valid": "dev", "val": "dev", "dev": "dev"}
    return next((known[w] for w in words if w in known), "")


def _label_map(folder: Path) -> dict[str, str]:
    """The corpus' codes -> words, from the ``label_map.json`` that is nearest."""
    for place in (folder / "label_map.json", folder.parent / "label_map.json"):
        if place.is_file():
            text = checked_file(place, largest=SMALL).read_bytes().decode("utf-8", "replace")
            found = json_object(text, where=str(place))
            return {str(k): str(v) for k, v in found.items()}
    return {}


def read_nemo(path: Path, root: Path | None, label_map: Mapping[str, str] | None) -> Manifest:
    """Read a manifest of NeMo.

    Raises
    ------
    ManifestError : what is wrong, with file and line.
    UnknownNameError : a label outside the vocabulary.
    """
    base = root if root is not None else path.parent
    rows = list(_objects(path))
    places = [inside(_text(r, "audio_filepath", w), base, where=w) for w, r in rows]
    offsets = [_seconds(r, "offset", w) for w, r in rows]
    cut = {f for f, o in zip(places, offsets, strict=True) if o > 0}
    records = []
    for (where, row), file, offset in zip(rows, places, offsets, strict=True):
        record: dict[str, Any] = {"file": file, "corpus": path.stem}
        record["speaker"] = str(row.get("speaker", row.get("speaker_id", "")) or "")
        record["emotion"] = normalise(
            _text(row, _label_key(row, where), where), label_map=label_map, where=where
        )
        if row.get("duration") is not None:
            duration = _seconds(row, "duration", where)
            record["duration"] = duration
            if file in cut and duration <= 0:
                raise ManifestError("a segment without length", where=where, code="bad-times")
            if file in cut:
                record |= {"start": offset, "end": offset + duration}
        elif file in cut:
            record["start"] = offset
        sex = row.get("gender", row.get("sex"))
        if isinstance(sex, str):
            record["sex"] = normalise_sex(sex, where=where)
        records.append(record)
    return _manifest(records, base, path.stem, path)


def _label_key(row: Mapping[str, Any], where: str) -> str:
    known = [k for k in ("label", "emotion", "emo", "command") if k in row]
    if not known:
        raise ManifestError(
            f"no label; found {', '.join(list(row)[:6])}", where=where, code="no-emotion"
        )
    return known[0]


def _objects(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """(where, object) of every line that is not blank."""
    return [
        (f"{path}, line {line}", json_object(text, where=f"{path}, line {line}"))
        for line, text in numbered(path, largest=LONG)
        if text.strip()
    ]


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ManifestError(
            f"{key} is {value!r}, expected a text", where=where, code="missing-value"
        )
    return str(value)


def _seconds(row: Mapping[str, Any], key: str, where: str) -> float:
    """A time that is not negative; 0 where there is none."""
    value = row.get(key)
    if value is None:
        return 0.0
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1e9:
        raise ManifestError(f"{key} is {value!r}, expected seconds", where=where, code="bad-times")
    return float(value)


def _manifest(records: list[dict[str, Any]], root: Path, name: str, path: Path) -> Manifest:
    if not records:
        raise ManifestError("no rows", where=path, code="no-rows")
    try:
        return Manifest(rows_from_records(records), root, name)
    except ManifestError as error:
        raise ManifestError(error.message, where=path, code=error.code, fix=error.fix) from None
