"""Packs: the protocols of papers and benchmarks with their exact folds, as published and corrected.

A published score can only be compared with one on the same folds, and is only worth comparing with
if its folds and its selection are sound. A pack is a TOML file beside this module, with the speaker
lists of each corpus, the metric, how models were selected, and what is wrong with it; ``variant =
"published"`` does as the authors did, ``"corrected"`` (the default) what a reader may believe.

Conventions
-----------
A pack is about one corpus at a time and finds its name in the manifest's column `corpus`. Speakers
of its lists that a copy lacks are counted in the words; a fold whose test speakers are all missing
is dropped. What a pack publishes but nobody can rebuild from speakers and sessions (a random list
of files) has a seeded stand-in, and the words say so. Whether speakers are kept apart is found on
the rows (`serfeat.protocols.division.independence`), in both variants.

Contents
--------
`PACKS`                : name -> title, further parameters with defaults.
`Pack` `read_pack`     : what a pack's file says.
`folds_of` `notes_of`  : the two functions that `serfeat.splits.PROTOCOLS` asks for.
`serfeat.packs.rules`  : divisions that are no lists.

Sources
-------
Scheidwasser-Clow et al., "SERAB: a multi-lingual benchmark for speech emotion recognition", ICASSP
2022. Ma et al., "EmoBox: multilingual multi-corpus speech emotion recognition toolkit and
benchmark", Interspeech 2024. Ye et al., "Temporal modeling matters", ICASSP 2023, and its authors'
corrections of 2023. Li and Zhang, Digital Communications and Networks 11(5), 2025. Schuller et al.,
the ComParE challenges. Lists were read in public repositories or computed from their rule.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import SplitError, did_you_mean
from serfeat.packs.rules import RULES, STAND_IN_SEED
from serfeat.protocols.division import Fold, names_of, text_of
from serfeat.types import Ints

__all__ = ["PACKS", "VARIANTS", "Pack", "folds_of", "notes_of", "read_pack"]

PACKS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "serab": ("SERAB", {}),
    "emobox": ("EmoBox", {}),
    "timnet_paper": ("TIM-Net's paper", {}),
    "amrwc": ("AMRWC's paper", {}),
    "compare_challenge": ("the ComParE challenges", {"column": "split"}),
}
VARIANTS = ("published", "corrected")


@dataclass(frozen=True)
class Pack:
    """What a pack's file says.

    Parameters
    ----------
    title : and year.
    metric, normalisation : as published, in words.
    published, corrected : `selection`, and `flaw` or `changes`, in words; settings of the variant.
    corpora : corpus -> n_speakers, labels (of the published task), folds (name, test, validation:
        lists of speakers) or a rule for each variant, and what is unknown; "any" is every corpus.
    """

    name: str
    title: str
    metric: str
    normalisation: str
    published: Mapping[str, Any]
    corrected: Mapping[str, Any]
    corpora: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def variant(self, word: str) -> Mapping[str, Any]:
        """What is said of a variant."""
        if word not in VARIANTS:
            raise did_you_mean("variant", word, VARIANTS, where=self.name)
        return self.published if word == "published" else self.corrected

    def corpus(self, rows: pd.DataFrame) -> tuple[str, Mapping[str, Any]]:
        """Name of the rows' corpus, and what the pack knows about it.

        Raises
        ------
        SplitError : several corpora, or one that the pack does not have.
        """
        names = sorted(set(text_of(rows, "corpus").tolist()))
        if "any" in self.corpora:
            return " + ".join(names), self.corpora["any"]
        known = ", ".join(sorted(self.corpora))
        if len(names) > 1 or names[0].lower() not in self.corpora:
            found = f"{names[0]!r} is not" if len(names) == 1 else f"{' + '.join(names)} are not"
            raise SplitError(
                f"{found} one corpus of this pack, which has {known}",
                where=self.name,
                code="no-pack",
                fix="use leave_one_speaker_out or another protocol",
            )
        return names[0], self.corpora[names[0].lower()]


@cache
def read_pack(name: str) -> Pack:
    """Read a pack's file."""
    if name not in PACKS:
        raise did_you_mean("pack", name, PACKS)
    text = (Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8")
    return Pack(name=name, **tomllib.loads(text))


def folds_of(name: str) -> Callable[..., list[Fold]]:
    """Return ``make(rows, seed, variant)`` of a pack; the seed changes nothing."""

    def make(rows: pd.DataFrame, seed: int, variant: str, **settings: Any) -> list[Fold]:  # noqa: ARG001
        pack = read_pack(name)
        said = pack.variant(variant)
        corpus, known = pack.corpus(rows)
        if "folds" in known:
            made = _of_lists(rows, known["folds"], f"{name}, {corpus}")
        else:
            rule = {k: v for k, v in known[variant].items() if k != "changes"}
            made = RULES[rule.pop("rule")](rows, **rule, **settings)
        if known.get(variant, {}).get("drop_sessions_of_test"):
            made = [_without_partners(rows, fold) for fold in made]
        if share := said.get("validation_share"):
            made = [_with_random_validation(fold, share) for fold in made]
        return made

    return make


def _of_lists(rows: pd.DataFrame, lists: Sequence[Mapping[str, Any]], where: str) -> list[Fold]:
    """Folds of speaker lists; those that have no test row here are dropped."""
    speakers = names_of(rows, "speaker")
    made = []
    for one in lists:
        tested = np.isin(speakers, one["test"])
        validated = np.isin(speakers, one.get("validation", []))
        if tested.any():
            sides = (~tested & ~validated, tested, validated)
            made.append(Fold(one["name"], *map(np.flatnonzero, sides)))
    if not made:
        wanted = ", ".join(s for one in lists for s in one["test"][:3])
        raise SplitError(
            f"none of its test speakers ({wanted}, ...) is in the manifest, which has "
            f"{', '.join(sorted(set(speakers.tolist()))[:5])}",
            where=where,
            code="pack-speakers",
            fix="give the speakers the corpus's own codes",
        )
    return made


def _without_partners(rows: pd.DataFrame, fold: Fold) -> Fold:
    """The fold without the rows of sessions in which a test speaker took part."""
    session = names_of(rows, "session")
    heard = session[fold.test]
    train, validation = (s[~np.isin(session[s], heard)] for s in (fold.train, fold.validation))
    return Fold(fold.name, train, fold.test, validation)


def _with_random_validation(fold: Fold, share: float) -> Fold:
    """The fold with a seeded share of its training rows set apart, whoever speaks."""
    order: Ints = np.random.default_rng(STAND_IN_SEED).permutation(fold.train)
    cut = round(share * len(order))
    return Fold(fold.name, np.sort(order[cut:]), fold.test, np.sort(order[:cut]))


# --- in words --------------------------------------------------------------------------------


def notes_of(name: str) -> Callable[..., str]:
    """Return ``notes(rows, variant)`` of a pack: what it publishes, what is wrong, what is here."""

    def notes(rows: pd.DataFrame, variant: str, **settings: Any) -> str:  # noqa: ARG001
        pack = read_pack(name)
        said = pack.variant(variant)
        _, known = pack.corpus(rows)
        words = [f"{pack.title} publishes {pack.metric}; its normalisation: {pack.normalisation}."]
        if variant == "published":
            words += [f"Selection: {said['selection']}.", f"What is wrong: {said['flaw']}."]
            words += [f"Stand-in: {known['unknown']}."] if "unknown" in known else []
        else:
            changes = known.get(variant, {}).get("changes", said["changes"])
            words += [f"Wrong as published: {pack.published['flaw']}."]
            words += [f"Here: {changes}; selection: {said['selection']}."]
        return " ".join([*words, *_coverage(rows, known), *_other_labels(rows, known)])

    return notes


def _coverage(rows: pd.DataFrame, known: Mapping[str, Any]) -> list[str]:
    """Say which of the pack's speakers are not in these rows."""
    if "n_speakers" not in known:
        return []
    here = set(names_of(rows, "speaker"))
    if len(here) >= known["n_speakers"]:
        return []
    words = f"These rows have {len(here)} of the corpus's {known['n_speakers']} speakers"
    lists = known.get("folds", ())
    found = [(one["name"], len(here & set(one["test"])), len(one["test"])) for one in lists]
    shown = ", ".join(f"{n} {k} of {total}" for n, k, total in found if k)
    dropped = ", ".join(n for n, k, _ in found if not k)
    words += f" (test speakers here: {shown})" if shown else ""
    words += f"; dropped, as none of its test speakers is here: {dropped}" if dropped else ""
    return [words + ": these are not the pack's folds, and scores do not compare with its own."]


def _other_labels(rows: pd.DataFrame, known: Mapping[str, Any]) -> list[str]:
    """Say which labels the published task did not have."""
    labels = set(known.get("labels", ()))
    strange = sorted(set(rows["emotion"].astype(str)) - labels) if labels else []
    if not strange:
        return []
    return [
        f"Published with {', '.join(sorted(labels))} only; these rows also have "
        f"{', '.join(strange)}: leave them out with `labels`."
    ]
