"""What a lint looks at, and what it says of it: plain records, so that every check is pure.

Conventions
-----------
* Rows are numbered 0..n-1; folds, feature tables and pairs of twins speak of these numbers.
* Unknown text is empty and never counts as shared; unknown numbers are NaN.

Contents
--------
`Sides`, `Division`  : one fold; the folds of one protocol, and what it promises to keep apart.
`Contender`          : what is known of an entry.
`Evidence`           : all of it, and what a stored run adds.
`Trace`, `Check`, `Finding` : what a check yields, what a check is, what a reader is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from serfeat.types import Floats, Ints

__all__ = [
    "Check",
    "Contender",
    "Division",
    "Evidence",
    "Finding",
    "Severity",
    "Sides",
    "Trace",
    "listed",
]

Severity = Literal["leak", "warning", "note"]

NOTHING: Ints = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Sides:
    """One fold.

    Parameters
    ----------
    name : what is held out.
    train, test : row numbers.
    validation : row numbers that chose an epoch or a parameter; part of `train` or beside it.
    """

    name: str
    train: Ints
    test: Ints
    validation: Ints = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True)
class Division:
    """The folds of one protocol.

    Parameters
    ----------
    protocol : its key, e.g. ``"speaker_kfold(5)"``.
    sides : the folds.
    apart : columns of which no value may be on both sides: what the protocol promises.
    """

    protocol: str
    sides: tuple[Sides, ...]
    apart: tuple[str, ...] = ("speaker",)


@dataclass(frozen=True)
class Contender:
    """What is known of an entry.

    Parameters
    ----------
    name, model, features, params : as in the recipe.
    normalisation : ``"global"``, ``"none"`` or ``"speaker"``.
    selection : of the epoch: ``"last"``, ``"validation"`` or ``"test_oracle"``.
    tuned : whether its parameters are searched inside the training side.
    """

    name: str
    model: str
    features: str
    params: Mapping[str, Any] = field(default_factory=dict)
    normalisation: str = "global"
    selection: str = "last"
    tuned: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of a comparison, before or after it ran.

    Parameters
    ----------
    rows : (n,) file, start, end (timedelta64), corpus, speaker, emotion, and where known session,
        text_id, content (digest of the samples), augmented_from (a file), and the conditions of
        the recording: sample_rate (Hz), channels, duration (s), leading_silence (s), bytes.
    divisions : one per protocol.
    tables : feature set -> (n, k) numbers with names; rows without features are NaN.
    wider : feature set -> (n, > k) the table that its columns were taken from, where known.
    contenders : the entries.
    twins : pairs of row numbers whose audio is nearly the same.
    predictions, history, tuning : of a stored run, as `serfeat.report` describes them.
    scores : what the run says of itself: protocol, entry, control, uar (0..1).
    changed : files of the run that are not what it wrote, see `serfeat.compare.seal`.
    """

    rows: pd.DataFrame
    divisions: Sequence[Division] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    wider: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    contenders: Sequence[Contender] = ()
    twins: Sequence[tuple[int, int]] = ()
    predictions: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    tuning: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    changed: Sequence[str] = ()

    def text(self, column: str) -> Any:
        """(n,) a column as text, empty where unknown; speakers and sessions of several corpora
        carry the corpus' name, because two people may share a code.
        """
        if column not in self.rows:
            return np.full(len(self.rows), "", dtype=str)
        found = self.rows[column]
        values = found.where(found.notna(), "").astype(str).to_numpy(dtype=str)
        if column in ("speaker", "session", "text_id") and "corpus" in self.rows:
            corpora = self.rows["corpus"].astype(str).to_numpy(dtype=str)
            if len(set(corpora)) > 1:
                joined = np.char.add(np.char.add(corpora, "/"), values)
                values = np.where(values == "", "", joined)
        return values

    @property
    def emotion(self) -> Any:
        """(n,) labels; empty for a run on numbers."""
        return self.text("emotion")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted(set(self.emotion) - {""}))

    def numbers(self, table: str) -> Floats:
        """(n, k) a feature table as float64."""
        return np.asarray(self.tables[table], dtype=np.float64)


class Trace(NamedTuple):
    """What a check saw: where, in words, and its own severity if it is not the check's."""

    where: str
    found: str
    severity: Severity | None = None


@dataclass(frozen=True)
class Check:
    """One kind of fault.

    Parameters
    ----------
    kind : short name, stable for programs.
    severity : ``"leak"``: the scores cannot be believed; ``"warning"``: they may mislead;
        ``"note"``: a reader should know.
    seeks : what is looked for.
    why, fix : why it matters, what to do.
    source : where the fault has been seen.
    function : ``function(evidence) -> traces``.
    """

    kind: str
    severity: Severity
    seeks: str
    why: str
    fix: str
    source: str
    function: Callable[[Evidence], Iterable[Trace]]


@dataclass(frozen=True)
class Finding:
    """A fault that was found; `words` say what, why it matters and what to do."""

    kind: str
    severity: Severity
    where: str
    words: str


def listed(values: Iterable[object], *, shown: int = 3) -> str:
    """Some values in words: ``"03, 08, 09 and 4 more"``."""
    texts = [str(v) for v in values]
    more = f" and {len(texts) - shown} more" if len(texts) > shown else ""
    return ", ".join(texts[:shown]) + more
