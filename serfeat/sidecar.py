"""The side-car of a manifest: ``<stem>.toml`` beside the CSV holds what a CSV cannot.

Table ``[manifest]``: corpus, root (of the audio, relative to the CSV), rows, sha256 (of the CSV),
numeric (the columns that hold numbers), licence, synthetic. Table ``[roots]``, of several corpora:
first folder of a file -> root of its audio. Table ``[card]``: what is known about the corpus,
short. Another TOML in its place (a corpus card, say) is neither read nor overwritten.
"""

from __future__ import annotations

import json
import os
import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from serfeat.errors import ManifestError
from serfeat.files import committed, sha256
from serfeat.manifest import Manifest

__all__ = ["read_sidecar", "sidecar_place", "sidecar_text", "write_sidecar"]

# The part of a card that travels.
_OF_CARD = (
    *("name", "title", "language", "licence", "licence_url", "citation", "homepage"),
    *("synthetic", "redistributable", "warnings"),
)


def read_sidecar(path: Path, n_rows: int) -> dict[str, Any]:
    """What the side-car says about the CSV at `path`; empty where there is none.

    Parameters
    ----------
    n_rows : rows found in the CSV.

    Returns
    -------
    The table ``[manifest]``; under ``card`` the arguments of a `Card`, under ``roots`` the roots of
    several corpora, if there are any.

    Raises
    ------
    ManifestError : not TOML; another number of rows. (Another checksum is a warning.)
    """
    beside = path.with_suffix(".toml")
    if path.suffix.lower() == ".toml" or not beside.is_file():
        return {}
    content = _load(beside)
    if "manifest" not in content:
        return {}
    about: dict[str, Any] = dict(content["manifest"])
    if about.get("rows", n_rows) != n_rows:
        raise ManifestError(
            f"{n_rows} rows, but {beside.name} says {about['rows']}",
            where=path,
            code="row-count",
            fix=f"the file was cut or edited; if on purpose, delete `rows` from {beside.name}",
        )
    if about.get("sha256", "") not in ("", sha256(path)):
        warnings.warn(
            f"{path} was changed after it was written ({beside.name} has another sha256)",
            stacklevel=3,
        )
    if "roots" in content:
        about["roots"] = {str(k): str(v) for k, v in content["roots"].items()}
    if "card" in content:
        card = {k: v for k, v in content["card"].items() if k in _OF_CARD}
        about["card"] = {k: tuple(v) if isinstance(v, list) else v for k, v in card.items()}
    return about


def sidecar_place(path: Path) -> Path:
    """Where the side-car of the CSV at `path` may be written.

    Raises
    ------
    ManifestError : `path` is no name for a CSV, or another kind of file is in that place.
    """
    beside = path.with_suffix(".toml")
    if beside == path:
        raise ManifestError("a manifest is a CSV", where=path, code="suffix", fix="name it *.csv")
    if beside.exists() and "manifest" not in _load(beside):
        raise ManifestError(
            "there is another kind of file in the side-car's place",
            where=beside,
            code="side-car",
            fix="write the manifest under another name",
        )
    return beside


def write_sidecar(manifest: Manifest, path: Path) -> None:
    """Write the side-car of the CSV at `path`, which was written before.

    The root is relative to the CSV where the file system allows it.
    """
    root = _relative(manifest.root, path.parent)
    roots = {name: _relative(folder, path.parent) for name, folder in manifest.roots.items()}
    rows = manifest.rows
    card = manifest.card
    about = {
        "corpus": manifest.name,
        "root": root,
        "rows": len(rows),
        "sha256": sha256(path),
        "numeric": [str(c) for c in rows.columns if pd.api.types.is_numeric_dtype(rows[c].dtype)],
        "licence": card.licence if card else "",
        "synthetic": card.synthetic if card else False,
    }
    facts = None if card is None else {key: getattr(card, key) for key in _OF_CARD}
    with committed(path.with_suffix(".toml")) as temporary:
        temporary.write_bytes(sidecar_text(about, facts, roots).encode())


def _relative(root: Path, folder: Path) -> str:
    """`root` as seen from `folder`, or as it is where there is no way (another drive)."""
    try:
        return Path(os.path.relpath(root.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return root.resolve().as_posix()


def sidecar_text(
    about: Mapping[str, Any],
    card: Mapping[str, Any] | None,
    roots: Mapping[str, str] | None = None,
) -> str:
    """The tables ``[manifest]``, ``[roots]`` and ``[card]`` as TOML.

    Values: text, numbers, booleans, lists.
    """
    text = "# Written by serfeat; belongs to the CSV of the same name.\n"
    if card is not None and not card.get("redistributable", True):
        text += "# The licence of this corpus keeps these rows on your disk: do not pass them on.\n"
    text += _table("manifest", about)
    if roots:
        text += "\n" + _table("roots", {json.dumps(k, ensure_ascii=False): roots[k] for k in roots})
    return text if card is None else f"{text}\n{_table('card', card)}"


def _load(beside: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(beside.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"not TOML: {error}", where=beside, code="not-toml") from error


def _table(name: str, values: Mapping[str, Any]) -> str:
    """A JSON literal is also a TOML literal for text, numbers, truth values and their lists."""
    lines = (f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in values.items())
    return f"[{name}]\n" + "".join(lines).replace("\x7f", "\\u007f")
