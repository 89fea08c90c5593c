"""The differences that the report speaks of: between entries, and between protocols.

All are those of `serfeat.stats` and `serfeat.statistics.significance`; where the two sides were not
tested on the same clips the difference is NaN, because a page with a gap in it is better than none.

"Better" is said only where a paired test supports it after Holm's correction for all pairs of
entries of the protocol: the best of many entries is ahead of some other by luck alone.

Contents
--------
`held_and_random` : the two protocols that are compared.
`shared_entries`  : the entries that ran under both.
`mean_gap` `gaps` : what random folds add, on average and for each entry.
`pairs_of`        : every pair of entries under every protocol, tested.
`beaten_by`       : the entries that one is better than.
`Pair` `pair`     : one entry against another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from serfeat.errors import ManifestError
from serfeat.stats import Difference, protocol_gap

if TYPE_CHECKING:
    from serfeat.report.run import Run

__all__ = [
    "Pair",
    "beaten_by",
    "gaps",
    "held_and_random",
    "mean_gap",
    "pair",
    "pairs_of",
    "shared_entries",
]

COLUMNS = ["protocol", "a", "b", "difference", "low", "high", "p", "p_holm", "better"]


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


# --- entries against each other --------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """One entry against another under one protocol.

    Parameters
    ----------
    difference, low, high : UAR of the first minus that of the second, with its 95 % interval.
    p_holm : p-value after Holm's correction for all pairs of the protocol.
    better : whether the first is better, with what `serfeat.statistics.significance` asks for.
    tested : how many pairs the correction is for.
    """

    difference: float
    low: float
    high: float
    p_holm: float
    better: bool
    tested: int


def pairs_of(
    predictions: pd.DataFrame,
    board: pd.DataFrame,
    labels: Sequence[str],
    folds: Mapping[str, Sequence[Mapping[str, Any]]],
) -> pd.DataFrame:
    """Test every pair of entries under every protocol.

    Parameters
    ----------
    predictions, board : of a run.
    labels : all classes; none of them, for a run on dimensions: no pair is tested.
    folds : folds.json.

    Returns
    -------
    The columns of `serfeat.statistics.significance.compare_entries`, with protocol, p (of the
    deciding test) and p_holm. A protocol whose entries were not tested on the same clips has no
    row.
    """
    from serfeat.statistics.paired_tests import holm
    from serfeat.statistics.significance import DECIDING, compare_entries

    tables = []
    shown = board.loc[~board["control"].astype(bool), "protocol"] if labels else ()
    for protocol in dict.fromkeys(shown):
        try:
            table = compare_entries(
                predictions, str(protocol), labels=labels, folds=folds.get(str(protocol))
            )
        except ManifestError:
            continue
        if len(table):
            # Where that test cannot speak, the permutation decides, as in `significance`.
            p = table[f"p_{DECIDING}"].fillna(table["p_permutation"])
            tables.append(table.assign(protocol=protocol, p=p, p_holm=holm(p)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def pair(run: Run, a: str, b: str, protocol: str) -> Pair:
    """Entry `a` against entry `b`; NaN where the two were not tested on the same clips."""
    known = run.pairs[run.pairs["protocol"] == protocol]
    for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
        found = known[(known["a"] == first) & (known["b"] == second)]
        if len(found):
            row = found.iloc[0]
            low, high = sorted(sign * float(row[name]) for name in ("low", "high"))
            return Pair(
                sign * float(row["difference"]),
                low,
                high,
                float(row["p_holm"]),
                bool(row["better"]) and sign * float(row["difference"]) > 0,
                len(known),
            )
    nan = float("nan")
    return Pair(nan, nan, nan, nan, False, 0)


def beaten_by(run: Run, entry: str, protocol: str) -> list[str]:
    """Names of the entries that `entry` is better than, best first."""
    known = run.pairs[run.pairs["protocol"] == protocol]
    beaten = set(known.loc[(known["a"] == entry) & known["better"].astype(bool), "b"])
    return [str(e) for e in run.scored(protocol)["entry"] if e in beaten]
