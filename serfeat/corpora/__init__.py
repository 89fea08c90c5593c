"""Corpora: one file each, ``read(root) -> rows``, and a card in ``data_manifests/``.

Adding one is ``corpora/xyz.py`` with a function `read`, a card ``data_manifests/xyz.toml``, a test,
and one line in `CORPORA`. Readers take the labels from the corpus' own rule (file names, folders,
label files) and touch no audio; `serfeat.corpora.check` looks at the audio, `serfeat.corpora.fetch`
gets it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from serfeat.corpora import (
    casia,
    cremad,
    emodb,
    emospeech,
    emovo,
    emozionalmente,
    folders,
    iemocap,
    ravdess,
    savee,
    tess,
)
from serfeat.corpora.card import cache_folder, cards_folder, read_card
from serfeat.errors import CorpusError, did_you_mean
from serfeat.manifest import Card, Manifest

__all__ = [
    "CORPORA",
    "Corpus",
    "cache_folder",
    "cards_folder",
    "find_corpus",
    "find_root",
    "read_card",
    "read_corpus",
]


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be read.

    Parameters
    ----------
    read : root -> rows of a manifest.
    has_card : False for layouts that are no particular corpus.
    """

    name: str
    read: Callable[[Path], pd.DataFrame] = field(repr=False)
    has_card: bool = True

    @property
    def card(self) -> Card | None:
        """What is known about it."""
        return read_card(cards_folder() / f"{self.name}.toml") if self.has_card else None


CORPORA: dict[str, Corpus] = {
    "casia": Corpus("casia", casia.read),
    "cremad": Corpus("cremad", cremad.read),
    "emodb": Corpus("emodb", emodb.read),
    "emospeech": Corpus("emospeech", emospeech.read),
    "emovo": Corpus("emovo", emovo.read),
    "emozionalmente": Corpus("emozionalmente", emozionalmente.read),
    "folders": Corpus("folders", folders.read, has_card=False),
    "iemocap": Corpus("iemocap", iemocap.read),
    "ravdess": Corpus("ravdess", ravdess.read),
    "savee": Corpus("savee", savee.read),
    "tess": Corpus("tess", tess.read),
}


def find_corpus(name: str) -> Corpus:
    """The corpus of this name.

    Raises
    ------
    UnknownNameError : no such corpus, with the nearest known name.
    """
    if name not in CORPORA:
        raise did_you_mean("corpus", name, CORPORA)
    return CORPORA[name]


def read_corpus(name: str, root: str | Path) -> Manifest:
    """Read the manifest of a corpus from a copy at `root`.

    Raises
    ------
    UnknownNameError : no such corpus.
    CorpusError : the folder is missing or does not hold this corpus.
    """
    corpus = find_corpus(name)
    folder = Path(root)
    if not folder.is_dir():
        raise CorpusError(
            "no such folder",
            where=folder,
            code="missing-folder",
            fix=f"`serfeat corpora` says how to get {name}" if corpus.has_card else "",
        )
    rows = corpus.read(folder)
    title = name if corpus.has_card else folder.resolve().name
    return Manifest(rows, folder, title, corpus.card)


def find_root(name: str, given: str | Path | None = None) -> Path:
    """Where the user's copy of a corpus lies.

    `given`, else ``$SERFEAT_CORPORA/<name>``, else the folder where `fetch` puts it.

    Raises
    ------
    CorpusError : none of these is a folder; the message says how to get the corpus.
    """
    corpus = find_corpus(name)
    if given is not None:
        places = [Path(given)]
    else:
        base = os.environ.get("SERFEAT_CORPORA")
        places = [Path(base) / name] if base else []
        places.append(cache_folder(name))
    for place in places:
        if place.is_dir():
            return place
    card = corpus.card
    how = f"`serfeat fetch {name}`" if card is not None and card.downloads else ""
    steps = how or (" ".join(card.steps.split()) if card is not None else "") or "give its folder"
    looked = ", ".join(map(str, places))
    raise CorpusError(
        f"no copy of {name} found (looked at {looked})",
        code="missing-folder",
        fix=f"{steps}, or set SERFEAT_CORPORA to the folder that holds {name}/",
    )
