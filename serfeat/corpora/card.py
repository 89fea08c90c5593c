"""Cards: where they lie, and how one is read.

A card is ``data_manifests/<corpus>.toml``: facts, no code. The wheel ships them as
``serfeat/_shipped/data_manifests``; a source checkout has them beside the package. The keys are
those of `serfeat.manifest.Card`, and an unknown one is an error.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import fields
from pathlib import Path

from serfeat.errors import CorpusError, did_you_mean
from serfeat.manifest import Card, Download

__all__ = ["cache_folder", "cards_folder", "read_card"]


def cards_folder() -> Path:
    """The folder of the cards: the installed copy, else the source checkout's.

    Raises
    ------
    CorpusError : neither is there (a broken installation).
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_shipped" / "data_manifests", package.parent / "data_manifests"):
        if folder.is_dir():
            return folder
    raise CorpusError(
        "the corpus cards are missing from this installation",
        where=package,
        code="no-cards",
        fix="install serfeat again",
    )


def read_card(path: Path) -> Card:
    """Read one card.

    Raises
    ------
    CorpusError : not TOML, or no such file.
    UnknownNameError : a key that no card has, with the nearest one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CorpusError(f"not a card: {error}", where=path, code="bad-card") from error
    known = {f.name for f in fields(Card)}
    for key in content:
        if key not in known:
            raise did_you_mean("key", key, known, where=path)
    content["downloads"] = tuple(Download(**d) for d in content.get("downloads", ()))
    for key in ("emotions", "warnings"):
        content[key] = tuple(content.get(key, ()))
    return Card(**content)


def cache_folder(name: str) -> Path:
    """Where `fetch` puts a corpus: ``$XDG_CACHE_HOME/serfeat/corpora/<name>`` (~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "serfeat" / "corpora" / name
