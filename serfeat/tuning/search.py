"""Candidates of a search: every one of a grid, drawn ones, or Optuna's.

Conventions
-----------
What is searched is one space or more (alternatives), each a mapping from parameters to a *list* of
values, the simplest first, or a `Range`. A method is a generator: it yields a `Candidate`, no two
the same, and is sent its score (higher is better, NaN for none). Numbers drawn from a range are
rounded to four digits, so that what a table shows is what was fitted. Equal seeds search alike.

Contents
--------
`Range`, `Candidate` : numbers between two ends; parameters to try.
`METHODS`            : name -> ``method(spaces, trials, seed)``.

Sources
-------
Bergstra and Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012. Bergstra et
al., "Algorithms for hyper-parameter optimization", NIPS 2011 (the tree-structured Parzen estimator,
TPE, that Optuna samples with).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serfeat.errors import MissingExtraError

__all__ = ["METHODS", "Candidate", "Range", "Search", "Space"]

IN_A_RANGE = 20  # values that a range counts for, where alternatives are weighed by their size


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Parameters
    ----------
    low, high : ends.
    log : drawn evenly in the logarithm.
    whole : whole numbers only.
    """

    low: float
    high: float
    log: bool
    whole: bool

    def at(self, share: float) -> float | int:
        """The number at a share 0..1 of the way from low to high."""
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(float(f"{value:.4g}"), self.low), self.high)
        return round(value) if self.whole else value


@dataclass(frozen=True)
class Candidate:
    """Parameters to try.

    Parameters
    ----------
    params : of the model.
    place : where they stand in the space; of two with one score the smaller is simpler.
    """

    params: Mapping[str, Any]
    place: tuple[float, ...]

    @property
    def text(self) -> str:
        """The parameters as JSON."""
        return json.dumps(self.params)


Space = Mapping[str, "Range | Sequence[Any]"]
Search = Generator[Candidate, float, None]


def _grid(
    subspaces: Sequence[Space],
    trials: int,
    seed: int,  # noqa: ARG001  (nothing is drawn)
) -> Search:
    """Every combination, in the order of the lists, the last parameter changing fastest."""
    for candidate in itertools.islice(_combinations(subspaces), trials):  # noqa: UP028 - is sent to
        yield candidate


def _combinations(subspaces: Sequence[Space]) -> Iterator[Candidate]:
    for i, subspace in enumerate(subspaces):
        lists: list[Sequence[Any]] = [v for v in subspace.values() if not isinstance(v, Range)]
        for places in itertools.product(*(range(len(v)) for v in lists)):
            values = [v[p] for v, p in zip(lists, places, strict=True)]
            yield Candidate(dict(zip(subspace, values, strict=True)), (i, *places))


def _random(subspaces: Sequence[Space], trials: int, seed: int) -> Search:
    """Draws without replacement (Bergstra and Bengio 2012); all, where there are no more."""
    if _most(subspaces, trials) < trials:
        yield from _grid(subspaces, trials, seed)
        return
    rng = np.random.default_rng(seed)
    weights = np.array(
        [
            math.prod(IN_A_RANGE if isinstance(v, Range) else len(v) for v in subspace.values())
            for subspace in subspaces
        ],
        dtype=np.float64,
    )
    seen: set[str] = set()
    for _ in range(100 * trials):  # ranges of whole numbers may have no more to give
        which = int(rng.choice(len(subspaces), p=weights / weights.sum()))
        candidate = _drawn(which, subspaces[which], rng)
        if candidate.text not in seen:
            seen.add(candidate.text)
            yield candidate
        if len(seen) == trials:
            return


def _most(subspaces: Sequence[Space], trials: int) -> int:
    """`trials`, or the number of all combinations, where these are fewer."""
    if any(isinstance(v, Range) for subspace in subspaces for v in subspace.values()):
        return trials
    return sum(1 for _ in itertools.islice(_combinations(subspaces), trials))


def _drawn(which: int, subspace: Space, rng: np.random.Generator) -> Candidate:
    params, place = {}, [float(which)]
    for name, values in subspace.items():
        if isinstance(values, Range):
            params[name] = values.at(float(rng.random()))
            place.append(float(params[name]))
        else:
            chosen = int(rng.integers(len(values)))
            params[name] = values[chosen]
            place.append(chosen)
    return Candidate(params, tuple(place))


def _optuna(subspaces: Sequence[Space], trials: int, seed: int) -> Search:
    """Tree-structured Parzen estimator; a quarter of the trials, 5 or more, are drawn first."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError.of("optuna", "hpo", "tune with method = 'optuna'") from None
    loudness = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        first = min(trials, max(5, trials // 4))
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        seen: dict[str, float] = {}
        trials = _most(subspaces, trials)
        for _ in range(20 * trials):  # TPE asks for a good candidate again; it is not fitted again
            trial = study.ask()
            candidate = _suggested(trial, subspaces)
            if candidate.text not in seen:
                seen[candidate.text] = yield candidate
            score = seen[candidate.text]
            if math.isnan(score):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, score)
            if len(seen) == trials:
                return
    finally:
        optuna.logging.set_verbosity(loudness)


def _suggested(trial: Any, subspaces: Sequence[Space]) -> Candidate:
    """What Optuna suggests; lists by their places, in order where they are numbers."""
    which = 0
    if len(subspaces) > 1:
        which = int(trial.suggest_categorical("either", list(range(len(subspaces)))))
    params: dict[str, Any] = {}
    place = [float(which)]
    for name, values in subspaces[which].items():
        key = f"{which}.{name}"
        if isinstance(values, Range):
            params[name] = values.at(float(trial.suggest_float(key, 0.0, 1.0)))
            place.append(float(params[name]))
            continue
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            chosen = int(trial.suggest_int(key, 0, len(values) - 1))
        else:
            chosen = int(trial.suggest_categorical(key, list(range(len(values)))))
        params[name] = values[chosen]
        place.append(chosen)
    return Candidate(params, tuple(place))


METHODS: dict[str, Callable[[Sequence[Space], int, int], Search]] = {
    "grid": _grid,
    "random": _random,
    "optuna": _optuna,
}
