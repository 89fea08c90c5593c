"""How an answer is judged: numbers, choices and arrays, and the misconceptions behind wrong ones.

Conventions
-----------
A question knows its right answer as a function of what it is about, or as a salted hash (`seal`),
which is slow on purpose: it keeps a student from reading the answer by accident, and nobody from
cheating who wants to. A `Trap` is the answer that a usual mistake gives, with a hint for whoever
made it. A number that is right but for its unit (ms for s, a fraction for percent), its sign or an
octave gets a hint of that kind without a trap of its own.

Contents
--------
`Question`, `Trap` : the entries of the tables `serfeat.labs.sound`, `voice`, `tables`, `learning`.
`judge`            : answer -> `Result`.
`seal`             : the hash of an answer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from serfeat.types import Floats

__all__ = ["Question", "Result", "Trap", "judge", "seal"]

Answer = Callable[[Any], Any]  # of what the question is about

ROUNDS = 20_000  # of the hash: some milliseconds
# Factor between the answer and the truth -> what may have happened.
_SLIPS = {
    1000.0: "the unit: your number is a thousand times too large",
    0.001: "the unit: your number is a thousand times too small",
    100.0: "percent or fraction? Your number is a hundred times too large",
    0.01: "percent or fraction? Your number is a hundred times too small",
    -1.0: "the sign",
    2.0: "a factor of two",
    0.5: "a factor of two",
}


@dataclass(frozen=True)
class Trap:
    """The answer that a usual mistake gives (a function, or a seal), and a hint about it."""

    answer: Answer | str
    hint: str


@dataclass(frozen=True)
class Question:
    """A question of a lab.

    Parameters
    ----------
    kind : ``"number"``, ``"choice"`` (a letter or a word) or ``"array"``.
    answer : of what the question is about, or the `seal` of the answer (no array): of a number,
        that of ``round(number / within)``, or of ``f"{number:.9g}"`` where `within` is 0.
    hint : for who is wrong in a way that no trap foresees.
    unit : of a number or an array.
    within : largest difference from the truth, in that unit.
    share : largest difference as a share of the truth; the larger of both bounds holds.
    about : in words, what `answer` has to be handed; empty: nothing.
    traps : in the order in which they are tried.
    """

    kind: Literal["number", "choice", "array"]
    answer: Answer | str
    hint: str
    unit: str = ""
    within: float = 0.0
    share: float = 0.0
    about: str = ""
    traps: tuple[Trap, ...] = ()


@dataclass(frozen=True)
class Result:
    """What `serfeat.labs.check` found; true where the answer is right."""

    question: str
    right: bool
    words: str

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        return f"{self.question}  {'right' if self.right else 'not yet'}: {self.words}"

    __repr__ = __str__

    def __rich__(self) -> str:
        from rich.markup import escape

        return f"[{'green' if self.right else 'yellow'}]{escape(str(self))}[/]"

    def _repr_markdown_(self) -> str:
        return f"{'✅' if self.right else '🤔'} **{self.question}** {self.words}"


def judge(name: str, question: Question, answer: Any, of: Any) -> Result:
    """Compare an answer with the truth, then with the traps; see `serfeat.labs.check`."""
    if answer is None or answer is Ellipsis:
        return Result(name, False, "no answer so far; put yours in place of None")
    right, words = _JUDGES[question.kind](name, question, answer, of)
    return Result(name, right, words)


def seal(question: str, answer: Any) -> str:
    """Hash an answer to a question, whatever the case and the spaces around it.

    >>> seal("01.5", " C ") == seal("01.5", "c") != seal("01.6", "c")
    True
    """
    text = str(answer).strip().lower().encode()
    return hashlib.pbkdf2_hmac("sha256", text, f"serfeat labs {question}".encode(), ROUNDS)[
        :12
    ].hex()


# --- the kinds ------------------------------------------------------------------------------------


def _number(name: str, question: Question, answer: Any, of: Any) -> tuple[bool, str]:
    value = _as_float(answer)
    expected = f"a number in {question.unit}" if question.unit else "a number"
    if value is None:
        return False, f"expected {expected}, found {type(answer).__name__}"
    if not math.isfinite(value):
        return False, f"{value} is no answer: are there undefined frames, or a division by 0?"
    if _hit(name, question, question.answer, value, of):
        return True, f"{value:.4g} {question.unit}".strip()
    sprung = [t for t in question.traps if _hit(name, question, t.answer, value, of)]
    if sprung:  # bounds may overlap, as F0's and a bandwidth's do: the nearest is meant
        return False, min(sprung, key=lambda t: _distance(t.answer, value, of)).hint
    nothing = _hit(name, question, question.answer, 0.0, of)  # 0 has no unit and no sign
    for factor, hint in _SLIPS.items():
        if not nothing and _hit(name, question, question.answer, value / factor, of):
            return False, f"{hint} ({expected} is asked for)" if question.unit else hint
    return False, question.hint


def _hit(name: str, question: Question, answer: Answer | str, value: float, of: Any) -> bool:
    """Whether a number is the answer within the question's bounds.

    A sealed number is stored as the number of its step; one step more or less is as good.
    """
    if callable(answer):
        truth = float(answer(of))
        bound = max(question.within, question.share * abs(truth), 1e-9 * abs(truth))
        return abs(value - truth) <= bound
    if not question.within:
        return seal(name, f"{value:.9g}") == answer
    step = round(value / question.within)
    return any(seal(name, near) == answer for near in (step, step - 1, step + 1))


def _distance(answer: Answer | str, value: float, of: Any) -> float:
    """How far a number is from an answer; a sealed one was hit within a step."""
    return abs(value - float(answer(of))) if callable(answer) else 0.0


def _choice(name: str, question: Question, answer: Any, of: Any) -> tuple[bool, str]:
    if not isinstance(answer, str):
        return False, f"expected a letter or a word in quotes, found {type(answer).__name__}"
    given = seal(name, answer)
    if given == _sealed(name, question.answer, of):
        return True, answer.strip()
    for trap in question.traps:
        if given == _sealed(name, trap.answer, of):
            return False, trap.hint
    return False, question.hint


def _array(_: str, question: Question, answer: Any, of: Any) -> tuple[bool, str]:
    truth = np.asarray(_value(question.answer, of), dtype=np.float64)
    try:
        given = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        return False, f"expected an array of numbers, found {type(answer).__name__}"
    if given.shape != truth.shape:
        return False, f"the shape is {given.shape}, expected {truth.shape}"
    far = _far(given, truth, question)
    if not far.any():
        return True, f"all {truth.size} numbers"
    for trap in question.traps:
        wrong = np.asarray(_value(trap.answer, of), dtype=np.float64)
        if wrong.shape == given.shape and not _far(given, wrong, question).any():
            return False, trap.hint
    first = tuple(int(i) for i in np.argwhere(far)[0])
    place = str(first[0]) if len(first) == 1 else str(first)
    return False, f"{question.hint} ({far.sum()} of {far.size} differ, the first at {place})"


_JUDGES = {"number": _number, "choice": _choice, "array": _array}


def _value(answer: Answer | str, of: Any) -> Any:
    assert callable(answer), "arrays are computed"
    return answer(of)


def _sealed(name: str, answer: Answer | str, of: Any) -> str:
    return seal(name, answer(of)) if callable(answer) else answer


def _as_float(answer: Any) -> float | None:
    """A number of any make, or None; a truth value and a text are no numbers."""
    if isinstance(answer, bool | np.bool_ | str | bytes):
        return None
    try:
        array = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return float(array.reshape(())) if array.size == 1 else None


def _far(given: Floats, truth: Floats, question: Question) -> Any:
    """Where they differ; undefined in both is equal."""
    bound = np.maximum(question.within, question.share * np.abs(truth))
    with np.errstate(invalid="ignore"):
        near = np.abs(given - truth) <= np.maximum(bound, 1e-9)
    return ~(near | (np.isnan(given) & np.isnan(truth)))
