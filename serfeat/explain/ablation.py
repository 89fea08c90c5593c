"""Drop-one and only-one: the same model trained without a family of features, and with it alone.

Every contender of an ablation is an entry of its own (`ablation_entries`), run by the same
comparison on the same rows and folds, so that the differences are paired (`ablation`). How a set
without a family is named in a recipe (``"classic-teo"``, ``"classic:f0"``) is said in
`serfeat.feature_sets`.

An interval that contains 0 does not show that a family matters, nor that it does not; and of as
many families as a set has, one in twenty is expected outside by chance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from serfeat import metrics
from serfeat.errors import FeatureError, ManifestError
from serfeat.extract import Extraction
from serfeat.families import families
from serfeat.feature_sets import feature_set, only, whole_of, without
from serfeat.plan import Entry
from serfeat.sequences import Sequences
from serfeat.stats import bootstrap_over_groups, paired_difference, speaker_counts

__all__ = ["ablation", "ablation_entries", "narrowed"]

KINDS = ("without", "only")


def ablation_entries(entry: Entry, kinds: Sequence[str] = KINDS) -> list[Entry]:
    """Make the contenders of an ablation: the entry itself, and with less of its features.

    Parameters
    ----------
    entry : with two families of features or more; openSMILE's sets cannot be taken apart.
    kinds : ``"without"`` each family, and each ``"only"``.

    Returns
    -------
    The entry, then for each family ``<name> without <family>`` and ``<name> only <family>``.
    Families that have no column at the entry's level are passed over.

    Raises
    ------
    FeatureError : a set of openSMILE's, or of one family.
    """
    columns = feature_set(entry.features).columns(entry.level)
    found = list(families(columns))
    if len(found) < 2:
        raise FeatureError(
            f"{entry.features} has one family of features, {found[0]}: nothing to take apart",
            where=entry.name,
            code="one-family",
        )
    rename = {"without": without, "only": only}
    made = [entry]
    for kind in kinds:
        for family in found:
            reduced = rename[kind](entry.features, family)
            feature_set(reduced)
            made.append(replace(entry, name=f"{entry.name} {kind} {family}", features=reduced))
    return made


def narrowed(whole: Extraction, name: str) -> Extraction:
    """Take the columns of the set `name` out of an extraction of the set it is a part of.

    Raises
    ------
    FeatureError : the extraction is of another set.
    """
    if whole_of(name) != whole.features.name:
        raise FeatureError(
            f"{name} is no part of {whole.features.name}", where="feature set", code="other-set"
        )
    part = replace(feature_set(name), augment=whole.features.augment)
    place = {column: i for i, column in enumerate(whole.features.columns(whole.level))}
    columns = [place[column] for column in part.columns(whole.level)]
    values = whole.values
    if columns == list(range(len(place))):
        kept: Sequences | object = values
    elif isinstance(values, Sequences):
        kept = values.each_frame(partial(_columns_of, columns))
    else:
        kept = values[:, columns]
    return replace(whole, features=part, values=kept)  # type: ignore[arg-type]


def _columns_of(columns: list[int], frames: Any) -> Any:
    return frames[:, columns]


def ablation(
    predictions: pd.DataFrame,
    full_entry: str,
    protocol: str,
    *,
    labels: Sequence[str],
    n: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare an entry with itself on less: what it loses without a family, what one can do alone.

    Parameters
    ----------
    predictions : of a run of `ablation_entries`.
    full_entry : name of the entry on all families, as in the table.
    protocol : key of the protocol.
    labels : (C,) all classes.
    n, seed : of the bootstrap over speakers.

    Returns
    -------
    One row per entry of the ablation: kind (``""`` for the full one), family, uar, low, high (its
    interval over speakers), loss (UAR of the full entry minus it, positive where less is worse),
    loss_low, loss_high, groups (speakers); the largest loss first within a kind.

    Raises
    ------
    ManifestError : no ablation of this entry, or other clips in one of its entries.
    """
    mine = predictions[predictions["protocol"] == protocol]
    # Where the epoch was chosen on the test, the entry's label says so behind its name.
    name, mark, suffix = full_entry.partition(" [")
    pattern = re.compile(f"{re.escape(name)} ({'|'.join(KINDS)}) (.+){re.escape(mark + suffix)}")
    rows: list[dict[str, object]] = []
    for entry in [full_entry, *dict.fromkeys(mine["entry"])]:
        found = pattern.fullmatch(entry)
        kind, family = found.groups() if found else ("", "")
        if kind or not rows:
            scores = _compared(mine, entry, full_entry, protocol, labels, n, seed)
            rows.append({"kind": kind, "family": family, **scores})
    if len(rows) < 2:
        raise ManifestError(
            f"no entries without or with one family of {full_entry}",
            code="no-rows",
            fix="run the entries of serfeat.explain.ablation_entries",
        )
    columns = ["kind", "family", "uar", "low", "high", "loss", "loss_low", "loss_high", "groups"]
    table = pd.DataFrame(rows, columns=columns)
    order = table["kind"].map({"": 0, "without": 1, "only": 2})
    return (
        table.assign(order=order)
        .sort_values(["order", "loss"], ascending=[True, False], kind="stable", ignore_index=True)
        .drop(columns="order")
    )


def _compared(
    predictions: pd.DataFrame,
    entry: str,
    full: str,
    protocol: str,
    labels: Sequence[str],
    n: int,
    seed: int,
) -> dict[str, float]:
    """UAR of an entry, and what it loses against the full one, both with intervals."""
    own = predictions[(predictions["entry"] == entry) & ~predictions["control"].astype(bool)]
    speakers, counts = speaker_counts(own, labels=labels)
    low, high = bootstrap_over_groups(counts, n=n, seed=seed)
    found = {"uar": float(metrics.uar_of(counts.sum(axis=0))), "low": low, "high": high}
    if entry == full:
        return {**found, "loss": 0.0, "loss_low": 0.0, "loss_high": 0.0, "groups": len(speakers)}
    d = paired_difference(predictions, full, entry, protocol, labels=labels, n=n, seed=seed)
    return {
        **found,
        "loss": d.difference,
        "loss_low": d.low,
        "loss_high": d.high,
        "groups": d.groups,
    }
