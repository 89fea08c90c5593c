"""Evaluation protocols: from a manifest's rows to folds, with their promise checked on every run.

A protocol says in words what it does and whether speakers are kept apart. Held-out speakers are
the question that users have ("does it work on someone new?"); random folds answer an easier one:
every test speaker's voice was heard in training, and are marked wherever their numbers appear.
Where only the rows can tell (a column of folds, a published pack), it is found and said.

`PROTOCOLS` is the table: name -> `Protocol`. The bare acronym LOSO is not used: speakers, sessions
and sentences can all be "left out". The protocols of papers, with their exact speaker lists, are
`serfeat.packs`; near-duplicate recordings on both sides are found by `serfeat.protocols.twins`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from serfeat import packs
from serfeat.errors import SplitError, did_you_mean
from serfeat.protocols.division import Fold, Protocol, check, heard, independence
from serfeat.protocols.groupings import (
    cross_corpus,
    held_out_speakers,
    kfold_of,
    one_fold_per,
    predefined,
    predefined_folds,
    random_kfold,
    speaker_and_text,
    within_corpus,
)

__all__ = ["PROTOCOLS", "Fold", "Protocol", "folds", "independence"]


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "leave_one_speaker_out",
            True,
            "Each of the {folds} speakers is the test set once; the models are trained on all the "
            "others and have never heard the voice that they are tested on.",
            one_fold_per("speaker"),
            {},
        ),
        Protocol(
            "speaker_kfold",
            True,
            "The speakers are dealt to {n} groups; each group is the test set once, so that no "
            "model has heard a voice that it is tested on.",
            kfold_of("speaker"),
            {"n": 5},
        ),
        Protocol(
            "held_out_speakers",
            True,
            "The speakers {speakers} are the test set; the models are trained on all the others.",
            held_out_speakers,
            {"speakers": ""},
        ),
        Protocol(
            "leave_one_session_out",
            True,
            "Each of the {folds} recording sessions is the test set once, with all its speakers.",
            one_fold_per("session"),
            {},
            apart=("session",),
        ),
        Protocol(
            "leave_one_text_out",
            None,
            "Each of the {folds} sentences is the test set once; the models are trained on the "
            "other sentences, whoever says them.",
            one_fold_per("text_id"),
            {},
            apart=("text_id",),
        ),
        Protocol(
            "text_kfold",
            None,
            "The sentences are dealt to {n} groups; each group is the test set once, whoever says "
            "them.",
            kfold_of("text_id"),
            {"n": 5},
            apart=("text_id",),
        ),
        Protocol(
            "speaker_and_text",
            True,
            "Speakers ({speaker_groups} groups) and sentences ({text_groups} groups; 0: each is a "
            "group of its own) are held out together: each of the {folds} pairs of groups is the "
            "test set once, and training has neither its speakers nor its sentences.",
            speaker_and_text,
            {"speaker_groups": 5, "text_groups": 2},
            apart=("text_id",),
        ),
        Protocol(
            "within_corpus",
            True,
            "Each corpus by itself: its speakers are dealt to {n} groups, each group is the test "
            "set once, and the models are trained on the other speakers of the same corpus.",
            within_corpus,
            {"n": 5},
        ),
        Protocol(
            "leave_one_corpus_out",
            True,
            "Each of the {folds} corpora is the test set once; the models are trained on all the "
            "others.",
            one_fold_per("corpus", plain=True),
            {},
        ),
        Protocol(
            "cross_corpus",
            True,
            "Trained on {train}, tested on {test}: other speakers, other rooms, other microphones.",
            cross_corpus,
            {"train": "", "test": ""},
        ),
        Protocol(
            "leave_one_language_out",
            None,
            "Each of the {folds} languages is the test set once; the models are trained on all the "
            "others.",
            one_fold_per("language", plain=True),
            {},
        ),
        Protocol(
            "predefined",
            None,
            "The rows marked test in the manifest's column {column} against those marked train.",
            predefined,
            {"column": "split"},
        ),
        Protocol(
            "predefined_folds",
            None,
            "Each of the {folds} values of the manifest's column {column} is the test set once.",
            predefined_folds,
            {"column": "fold"},
        ),
        Protocol(
            "random_kfold",
            False,
            "Speaker-dependent: the recordings are shuffled into {n} parts whoever speaks, so that "
            "every test voice (and every sentence) was heard in training. Published scores of this "
            "kind say how well a model knows these speakers, not how it does on a new one.",
            random_kfold,
            {"n": 10},
        ),
        *(
            Protocol(
                name,
                None,
                f"The folds of {title}, as {{variant}}.",
                packs.folds_of(name),
                {"variant": "corrected", **extra},
                packs.notes_of(name),
            )
            for name, (title, extra) in packs.PACKS.items()
        ),
    )
}


def folds(
    rows: pd.DataFrame,
    protocol: str,
    *,
    seed: int = 0,
    disjoint: Sequence[str] = (),
    **params: Any,
) -> tuple[list[Fold], str]:
    """Divide a manifest's rows and check what the protocol promises.

    Parameters
    ----------
    rows : the manifest's rows, with columns speaker and emotion.
    protocol : key of `PROTOCOLS`.
    seed : for the protocols that shuffle.
    disjoint : columns beside the speakers that training and test must not share, e.g. text_id and
        session.
    **params : of the protocol, e.g. ``n=5``.

    Returns
    -------
    The folds, and the protocol in words, with what was found on these rows: whether speakers are
    kept apart where the protocol cannot promise it, and how many rows a fold leaves out.

    Raises
    ------
    UnknownNameError : an unknown protocol or parameter.
    SplitError : too few speakers, a label that is missing from a training side, a broken promise.
    """
    if protocol not in PROTOCOLS:
        raise did_you_mean("protocol", protocol, PROTOCOLS)
    chosen = PROTOCOLS[protocol]
    settings = _settings(chosen, params)
    made = chosen.make(rows, seed, **settings)
    check(rows, chosen, made, disjoint=disjoint)
    words = [chosen.words.format(folds=len(made), **settings)]
    if chosen.notes is not None:
        words.append(chosen.notes(rows, **settings))
    if chosen.speaker_independent is None:
        words.append(_words_on_speakers(rows, made))
    words += [_words_on_left_out(len(rows), made), _words_on_validation(made)]
    return made, " ".join(w for w in words if w)


def _settings(protocol: Protocol, params: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults and given values, each of its default's type."""
    for name, value in params.items():
        if name not in protocol.params:
            known = protocol.params or ["(none)"]
            raise did_you_mean(f"parameter of {protocol.name}", name, known)
        if type(value) is not type(protocol.params[name]):
            number = isinstance(protocol.params[name], int)
            raise SplitError(
                f"{name} is {value!r}, expected {'a whole number' if number else 'text'}",
                where=protocol.name,
                code="bad-parameter",
                fix="" if number else f'write {name} = "a,b"',
            )
    return {**protocol.params, **params}


def _words_on_speakers(rows: pd.DataFrame, made: Sequence[Fold]) -> str:
    """Say whether test speakers are heard in training; loudly where they are."""
    if independence(rows, made)["speaker"]:
        return "Speakers are kept apart (found on these rows): no test voice is heard in training."
    both, total = heard(rows, made)
    if not both:
        return "Speaker-dependent, as far as is known: some rows do not say who speaks."
    return (
        f"Speaker-dependent: {both} of the {total} test speakers (summed over folds) are heard in "
        "training."
    )


def _words_on_left_out(n: int, made: Sequence[Fold]) -> str:
    """Say how many rows a fold neither learns from nor tests."""
    left = [n - len(f.known) - len(f.test) for f in made]
    if not max(left):
        return ""
    span = f"{min(left)}" if min(left) == max(left) else f"{min(left)} to {max(left)}"
    kept = [len(f.known) for f in made]
    train = f"{min(kept)}" if min(kept) == max(kept) else f"{min(kept)} to {max(kept)}"
    return f"Of the {n} rows a fold leaves out {span} and learns from {train}."


def _words_on_validation(made: Sequence[Fold]) -> str:
    sizes = [len(f.validation) for f in made]
    if not max(sizes):
        return ""
    span = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return (
        f"A fold sets {span} of the rows that it learns from apart for choosing (validation): on "
        "these, parameters are tuned and epochs selected where an entry does so; an entry that "
        "chooses nothing learns from them as from the others."
    )
