"""What the teaching labs stand on: questions that can be checked, and sounds to ask them about.

The labs themselves are the files of the folder ``labs/`` at the top of the repository; a student
answers a question in them and asks::

    >>> from serfeat.labs import check
    >>> check("04.2", 12)
    04.2  not yet: those are poles; they come in pairs, one pair to a resonance

Conventions
-----------
A question is called ``"lab.number"``. Where an answer follows from a sound or a table, it is
computed from what is handed over as ``of=``, so that it stays right when a student takes another
speaker or her own voice; the other answers are stored as salted hashes. A hint leads on and never
says the answer. An answer that is wrong is no error; a question that does not exist is one.

Contents
--------
`check`    : is this answer right?
`Result`   : what `check` found.
`seal`     : the hash under which an answer is stored, for who writes new questions.
`hear`     : a player for a signal, in a notebook.
`mystery`  : a steady vowel that is not named.
`speech`   : the small synthetic corpus of the later labs.
"""

from __future__ import annotations

import importlib
from typing import Any

from serfeat.errors import FeatureError, did_you_mean
from serfeat.labs.judging import Question, Result, judge, seal

__all__ = ["Question", "Result", "check", "hear", "mystery", "questions", "seal", "speech"]

# Where what is not needed to import this package lives; resolved on first use (PEP 562).
_LAZY = {"hear", "mystery", "speech"}
_TABLES = ("sound", "voice", "tables", "learning")


def check(question: str, answer: Any, *, of: Any = None) -> Result:
    """Say whether an answer to a question of the labs is right.

    Parameters
    ----------
    question : "lab.number", e.g. ``"03.2"``.
    answer : a number in the unit of the question, a letter or a word, or an array; None is no
        answer yet.
    of : what the question is about (an utterance, predictions, ...); the lab says where it is
        needed.

    Returns
    -------
    Result, true where the answer is right; its text says so or gives a hint.

    Raises
    ------
    UnknownNameError : no such question.
    FeatureError : the answer depends on what `of` should say.
    """
    known = questions()
    if question not in known:
        raise did_you_mean("question", question, known)
    asked = known[question]
    if of is None and asked.about:
        raise FeatureError(
            f"the answer depends on {asked.about}",
            where=f"check({question!r})",
            code="no-subject",
            fix="hand it over as of=..., as the lab does",
        )
    return judge(question, asked, answer, of)


def questions() -> dict[str, Question]:
    """All questions of all labs by name."""
    found: dict[str, Question] = {}
    for table in _TABLES:
        found |= importlib.import_module(f"serfeat.labs.{table}").QUESTIONS
    return dict(sorted(found.items()))


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module("serfeat.labs.material"), name)
    raise AttributeError(f"module 'serfeat.labs' has no attribute {name!r}")
