"""Manifests of other toolkits, as ours.

Conventions
-----------
Labels come into the vocabulary of `serfeat.labels`, or through `label_map`; names stay below the
audio folder; times are seconds. The audio folder is `root`, by default the folder of the manifest.
A speaker that a format does not name is the empty text.

Contents
--------
`MANIFEST_FORMATS`  : name -> words.
`read_manifest_of`  : a file or folder -> `serfeat.manifest.Manifest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from serfeat.errors import ManifestError, did_you_mean
from serfeat.imports.audformat_folder import read_audformat
from serfeat.imports.jsonl import read_emobox, read_nemo
from serfeat.imports.lines import json_object, numbered
from serfeat.labels import normalise_sex
from serfeat.manifest import Manifest
from serfeat.manifest_csv import read_manifest

__all__ = ["MANIFEST_FORMATS", "read_manifest_of"]

MANIFEST_FORMATS = {
    "audformat": "folder with db.yaml and tables",
    "emobox": "JSONL of EmoBox, or the folder of one fold",
    "nemo": "JSONL of NVIDIA NeMo",
    "nkululeko": "CSV with file, speaker, gender, emotion",
}


def read_manifest_of(
    path: str | Path,
    format: str = "auto",  # noqa: A002
    *,
    root: str | Path | None = None,
    label_map: Mapping[str, str] | None = None,
    table: str = "",
) -> Manifest:
    """Read another toolkit's manifest.

    Parameters
    ----------
    format : a name of `MANIFEST_FORMATS`; ``auto``: by what is there.
    root : folder of the audio; default: where the manifest is.
    label_map : their label -> ours, see `serfeat.labels.normalise`.
    table : the table of an audformat database, if several have emotions.

    Raises
    ------
    ManifestError : what is wrong, with file and line.
    UnknownNameError : no such format; a label outside the vocabulary.
    MissingExtraError : audformat's header needs PyYAML.
    """
    path = Path(path)
    base = None if root is None else Path(root)
    if format not in ("auto", *MANIFEST_FORMATS):
        raise did_you_mean("manifest format", format, MANIFEST_FORMATS)
    if not path.exists():
        raise ManifestError("no such file or folder", where=path, code="missing")
    chosen = _guess(path) if format == "auto" else format
    if chosen == "audformat":
        return read_audformat(path, base, label_map, table=table)
    if chosen == "emobox":
        return read_emobox(path, base, label_map)
    if chosen == "nemo":
        return read_nemo(path, base, label_map)
    return _nkululeko(path, base, label_map)


def _guess(path: Path) -> str:
    """The format, from the name and the first line."""
    if path.name == "db.yaml" or (path / "db.yaml").is_file():
        return "audformat"
    if path.is_dir() and any(path.glob("*.jsonl")):
        return "emobox"
    if path.suffix.lower() in (".csv", ".tsv"):
        return "nkululeko"
    if path.is_file():
        first = next((t for _, t in numbered(path) if t.strip()), "")
        if first.lstrip().startswith("{"):
            keys = json_object(first, where=f"{path}, line 1")
            if "audio_filepath" in keys:
                return "nemo"
            if "wav" in keys:
                return "emobox"
    raise ManifestError(
        "no manifest that is known here",
        where=path,
        code="unknown-format",
        fix=f"give the format: {', '.join(MANIFEST_FORMATS)}",
    )


def _nkululeko(path: Path, root: Path | None, label_map: Mapping[str, str] | None) -> Manifest:
    """Read nkululeko's CSV: ours, but for the name of the sex and speakers that may be missing."""
    found = read_manifest(path, root=root, label_map=label_map, require=("emotion",))
    rows = found.rows
    if "gender" not in rows or "sex" in rows:
        return found
    texts = [normalise_sex(str(g), where=f"{path}, gender") for g in rows["gender"]]
    at = list(rows.columns).index("gender")
    renamed = rows.drop(columns="gender")
    renamed.insert(at, "sex", texts)
    return found.with_rows(renamed)
