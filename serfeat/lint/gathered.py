"""From a plan and its folds to the evidence that the checks look at.

Contents
--------
`divisions_of`           : folds and what their protocol promises.
`contenders_of`          : the entries.
`tables_of`              : feature tables of the clips, rows in the run's order.
`evidence_of_comparison` : all of it, before or after the models were trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from serfeat.extract import Extraction
from serfeat.lint.evidence import Contender, Division, Evidence, Sides
from serfeat.models import MODELS
from serfeat.plan import Entry, Plan
from serfeat.sequences import Sequences
from serfeat.splits import PROTOCOLS, Fold, independence

__all__ = ["contenders_of", "divisions_of", "evidence_of_comparison", "tables_of"]


def divisions_of(
    rows: pd.DataFrame, plan: Plan, folds_of: Mapping[str, tuple[Sequence[Fold], str]]
) -> tuple[Division, ...]:
    """Folds of every protocol, with the columns that it keeps apart.

    A protocol that promises nothing about speakers but keeps them apart on these rows is held to
    it: its report says so.
    """
    found = []
    for protocol in plan.protocols:
        made = folds_of[protocol.key][0]
        known = PROTOCOLS[protocol.name]
        independent = known.speaker_independent
        if independent is None:
            independent = independence(rows, made)["speaker"]
        apart = (("speaker",) if independent else ()) + (*known.apart, *plan.disjoint)
        sides = tuple(Sides(f.name, f.train, f.test, f.validation) for f in made)
        found.append(Division(protocol.key, sides, tuple(dict.fromkeys(apart))))
    return tuple(found)


def contenders_of(entries: Iterable[Entry]) -> tuple[Contender, ...]:
    """What is known of the entries."""
    return tuple(
        Contender(
            name=e.label,
            model=e.model,
            features=e.features,
            params=dict(e.params),
            normalisation=e.normalisation,
            selection=str({**MODELS[e.model].params, **e.params}.get("selection", "last")),
            tuned=bool(e.tune),
        )
        for e in entries
    )


def tables_of(
    extractions: Mapping[tuple[str, Any, Any], Extraction], rows: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Feature set -> (n, k) of the clips as they are; of frames, their means over the clip."""
    tables = {}
    for (name, level, version), extraction in extractions.items():
        if version is not None:
            continue
        values = extraction.values
        if isinstance(values, Sequences):
            values = _means(values)
            name = f"{name} (means of frames)"
        columns = list(extraction.features.columns(level))
        table = pd.DataFrame(values, index=extraction.index, columns=columns)
        tables[name] = table.reindex(rows.index)
    return tables


def _means(clips: Sequences) -> Any:
    """(n, k) means over the frames of each clip, NaN left out."""
    means = np.full((len(clips), clips.shape[1]), np.nan)
    for i, frames in enumerate(clips):
        known = np.isfinite(frames)
        counts = known.sum(axis=0)
        total = np.where(known, frames, 0.0).sum(axis=0, dtype=np.float64)
        means[i] = np.divide(total, counts, out=means[i], where=counts > 0)
    return means


def evidence_of_comparison(
    rows: pd.DataFrame,
    plan: Plan,
    folds_of: Mapping[str, tuple[Sequence[Fold], str]],
    extractions: Mapping[tuple[str, Any, Any], Extraction],
    *,
    recordings: pd.DataFrame | None = None,
    twins: Iterable[tuple[int, int]] = (),
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> Evidence:
    """Gather what is known of a comparison.

    Parameters
    ----------
    rows : of the manifest, that every entry saw, on the index (file, start, end).
    plan, folds_of, extractions : as `serfeat.compare` holds them.
    recordings : facts per file (content, sample_rate, ...), see `serfeat.audit.recordings`.
    twins : pairs of row numbers, see `serfeat.protocols.twins`.
    tables : of a finished run: predictions, history, tuning.
    """
    flat = rows.reset_index()
    if recordings is not None:
        facts = recordings.reindex(flat["file"]).reset_index(drop=True)
        flat = flat.assign(**{str(c): facts[c] for c in facts})
    if plan.dimensions:
        flat = flat.assign(emotion="")
    made = tables_of(extractions, rows)
    stored = dict(tables or {})
    return Evidence(
        rows=flat,
        divisions=divisions_of(rows, plan, folds_of),
        tables=made,
        wider=_wider(made),
        contenders=contenders_of(plan.entries),
        twins=tuple((int(a), int(b)) for a, b in twins),
        predictions=stored.get("predictions"),
        history=stored.get("history"),
        tuning=stored.get("tuning"),
    )


def _wider(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """For each table the widest other that has all of its columns."""
    found: dict[str, pd.DataFrame] = {}
    for name, table in tables.items():
        for other in tables.values():
            more = set(other.columns) > set(table.columns)
            if more and (name not in found or other.shape[1] > found[name].shape[1]):
                found[name] = other
    return found
