"""A corpus in a folder: 16-bit WAV files, ``manifest.csv``, and the side-car ``manifest.toml``.

Conventions
-----------
Every file is written beside its place and renamed into it, so that no half-written file has a
final name. The side-car comes last and is the mark of a finished corpus. The same samples give
the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
import tomllib
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serfeat.errors import CorpusError
from serfeat.files import committed
from serfeat.sidecar import sidecar_text
from serfeat.types import Floats

__all__ = ["NOTE", "Spoken", "wav_bytes", "write"]

NOTE = "synthetic speech: scores say nothing about people"
LICENCE = "CC0-1.0"

Key = tuple[str, str, str]  # speaker, emotion, sentence
Value = str | float
OURS = re.compile(r"s\d+/s\d+_[a-z]+_t\d+\.wav")


@dataclass(frozen=True)
class Spoken:
    """Samples (n,) in [-1, 1), Hz, and the manifest's columns about them."""

    x: Floats
    sr: int
    about: Mapping[str, Value]


def wav_bytes(x: Floats, sr: int) -> bytes:
    """Encode as mono 16-bit WAV; a sample is rounded to the nearest 1/32768."""
    held = io.BytesIO()
    with wave.open(held, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sr)
        out.writeframes(np.rint(x * 32768.0).clip(-32768, 32767).astype("<i2").tobytes())
    return held.getvalue()


def write(
    folder: Path,
    *,
    keys: Sequence[Key],
    speak: Callable[[str, str, str], Spoken],
    card: Mapping[str, str | int],
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> Path:
    """Write a corpus, or leave the folder alone where it holds this corpus already.

    Parameters
    ----------
    keys : the rows, in order.
    speak : (speaker, emotion, sentence) -> `Spoken`; called in any order.
    card : what the samples depend on, besides the keys.
    jobs : threads.
    progress : called with (done, all).

    Returns
    -------
    Path of the manifest.

    Raises
    ------
    CorpusError : the folder's side-car or manifest is not that of a demo corpus; not a folder.
    """
    files = [f"{name}/{name}_{emotion}_{sentence}.wav" for name, emotion, sentence in keys]
    manifest, sidecar = folder / "manifest.csv", folder / "manifest.toml"
    before = _listed(folder, manifest, sidecar)
    if before == files and _same(sidecar, card, len(files)) and _complete(folder, files):
        return manifest
    sidecar.unlink(missing_ok=True)
    rows = []
    for key, file, about in _write_audio(folder, keys, files, speak, jobs):
        head = {"file": file, "corpus": "demo", "speaker": key[0], "emotion": key[1]}
        rows.append({**head, "text_id": key[2], **about})
        if progress is not None:
            progress(len(rows), len(keys))
    for stale in set(before) - set(files):
        if OURS.fullmatch(stale):  # never follow a path that somebody wrote into the manifest
            (folder / stale).unlink(missing_ok=True)
    table = _csv(rows)
    with committed(manifest) as temporary:
        temporary.write_bytes(table)
    numeric = [name for name, value in rows[0].items() if not isinstance(value, str)]
    with committed(sidecar) as temporary:
        temporary.write_bytes(_sidecar(table, {**card, "rows": len(rows)}, numeric))
    return manifest


def _write_audio(
    folder: Path,
    keys: Sequence[Key],
    files: Sequence[str],
    speak: Callable[[str, str, str], Spoken],
    jobs: int,
) -> Iterator[tuple[Key, str, Mapping[str, Value]]]:
    """Speak and store every file, in order."""

    def one(key: Key, file: str) -> Mapping[str, Value]:
        spoken = speak(*key)
        with committed(folder / file) as temporary:
            temporary.write_bytes(wav_bytes(spoken.x, spoken.sr))
        return {**spoken.about, "duration": spoken.x.size / spoken.sr}

    if jobs <= 1:
        for key, file in zip(keys, files, strict=True):
            yield key, file, one(key, file)
        return
    with ThreadPoolExecutor(jobs) as pool:
        for key, file, about in zip(keys, files, pool.map(one, keys, files), strict=True):
            yield key, file, about


def _csv(rows: Sequence[Mapping[str, Value]]) -> bytes:
    """Rows as CSV; numbers with 6 digits, an undefined one as an empty cell."""
    first = ["file", "corpus", "speaker", "sex", "emotion", "language", "text_id", "duration"]
    columns = first + [name for name in rows[0] if name not in first]
    held = io.StringIO()
    out = csv.writer(held, lineterminator="\n")
    out.writerow(columns)
    for row in rows:
        out.writerow([_cell(row[name]) for name in columns])
    return held.getvalue().encode()


def _cell(value: Value) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if math.isfinite(value) else ""


def _sidecar(table: bytes, card: Mapping[str, str | int], numeric: Sequence[str]) -> bytes:
    """What the CSV cannot hold, in the layout that `serfeat.sidecar` reads."""
    manifest = {
        "corpus": "demo",
        "root": ".",
        **card,
        "sha256": hashlib.sha256(table).hexdigest(),
        "numeric": list(numeric),
        "licence": LICENCE,
        "synthetic": True,
        "note": NOTE,
    }
    about = {
        "name": "demo",
        "title": f"serfeat's embedded corpus ({card['engine']}, seed {card['seed']})",
        "licence": LICENCE,
        "synthetic": True,
        "warnings": [NOTE],
    }
    return sidecar_text(manifest, about).encode()


def _card(sidecar: Path) -> Mapping[str, object]:
    try:
        content = tomllib.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
    about = content.get("manifest")
    return about if isinstance(about, dict) else {}


def _listed(folder: Path, manifest: Path, sidecar: Path) -> list[str]:
    """Files of the demo corpus in the folder; raises where the folder is somebody else's."""
    if folder.exists() and not folder.is_dir():
        raise CorpusError("is a file", where=folder, code="not-a-folder", fix="name a folder")
    if not manifest.exists() and not sidecar.exists():
        return []
    rows: list[str] = []
    strange = sidecar.exists() and _card(sidecar).get("corpus") != "demo"
    if manifest.exists():
        with manifest.open(newline="", encoding="utf-8", errors="replace") as lines:
            for row in csv.DictReader(lines):
                strange = strange or row.get("corpus") != "demo"
                rows.append(row.get("file") or "")
    if strange:
        raise CorpusError(
            "holds a manifest of another corpus",
            where=folder,
            code="not-a-demo-corpus",
            fix="choose an empty folder",
        )
    return rows


def _same(sidecar: Path, card: Mapping[str, str | int], rows: int) -> bool:
    found = _card(sidecar)
    return all(found.get(key) == value for key, value in {**card, "rows": rows}.items())


def _complete(folder: Path, files: Sequence[str]) -> bool:
    """Whether every file is there and longer than a WAV header."""
    paths = [folder / file for file in files]
    return all(path.is_file() and path.stat().st_size > 44 for path in paths)
