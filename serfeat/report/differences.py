"""The differences that the report speaks of: between entries, and between protocols.

All are those of `serfeat.stats`; where the two sides were not tested on the same clips the
difference is NaN, because a page with a gap in it is better than none.

Contents
--------
`held_and_random` : the two protocols that are compared.
`shared_entries`  : the entries that ran under both.
`mean_gap` `gaps` : what random folds add, on average and for each entry.
`difference`      : one entry minus another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serfeat.errors import ManifestError
from serfeat.report.run import Run
from serfeat.stats import Difference, paired_difference, protocol_gap

__all__ = ["difference", "gaps", "held_and_random", "mean_gap", "shared_entries"]


def held_and_random(run: Run) -> tuple[str | None, str | None]:
    """The first protocol of either sort."""
    held = [p["key"] for p in run.protocols if p["speaker_independent"]]
    random = [p["key"] for p in run.protocols if not p["speaker_independent"]]
    return next(iter(held), None), next(iter(random), None)


def _or_none(compute: Callable[[], Difference]) -> Difference:
    """A difference, or NaN where the two were not tested on the same clips."""
    try:
        return compute()
    except ManifestError:
        nan = float("nan")
        return Difference(nan, nan, nan, 0)


def difference(run: Run, a: str, b: str, protocol: str) -> Difference:
    """UAR of entry `a` minus that of `b` under one protocol."""
    return _or_none(lambda: paired_difference(run.predictions, a, b, protocol, labels=run.labels))


def shared_entries(run: Run, held: str, random: str) -> list[str]:
    """Entries that ran under both protocols, best under the first one first."""
    other = set(run.scored(random)["entry"])
    return [e for e in run.scored(held)["entry"] if e in other]


def mean_gap(run: Run, entries: Sequence[str], held: str, random: str) -> Difference:
    """What random folds add to the UAR of these entries, on average."""
    return _or_none(lambda: protocol_gap(run.predictions, entries, random, held, labels=run.labels))


def gaps(run: Run, held: str, random: str) -> list[tuple[str, Difference]]:
    """The same for each entry that ran under both protocols."""
    return [(e, mean_gap(run, [e], held, random)) for e in shared_entries(run, held, random)]
