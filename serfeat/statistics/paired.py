"""The difference between two tables of predictions of the same clips, with its interval.

The same speakers are drawn for both sides in every replicate, so that what is hard for both (a
mumbled sentence, a speaker who sounds alike in everything) cancels out.

Contents
--------
`paired_gap` : UAR of one table minus that of another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.errors import ManifestError
from serfeat.stats import (
    Difference,
    clean_rows,
    clips_said,
    difference_of,
    drawn_sums,
    speaker_counts,
    standard_error,
)
from serfeat.types import Floats

__all__ = ["clean_rows", "paired_gap", "same_clips"]


def same_clips(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two tables of predictions are of the same clips with the same truths."""
    return clips_said(first) == clips_said(second)


def paired_gap(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    labels: Sequence[str],
    n: int = 1000,
    seed: int = 0,
) -> Difference:
    """UAR of the first table minus that of the second, with an interval over speakers.

    Parameters
    ----------
    first, second : predictions of the same clips; several seeds of a clip are averaged.
    labels : (C,) all classes.
    n, seed : replicates and seed of the bootstrap.

    Raises
    ------
    ManifestError : not the same clips.
    """
    if not same_clips(first, second):
        raise ManifestError(
            f"{len(clips_said(first))} clips on one side and {len(clips_said(second))} on the "
            "other that are not the same",
            where="paired difference",
            code="rows-differ",
            fix="compare on the same clips",
        )
    each = [speaker_counts(side, labels=labels)[1] for side in (first, second)]
    counts = np.stack(each, axis=1)  # (speakers, 2, C, C)

    def gap(drawn: Floats) -> Floats:
        u = metrics.uar_of(drawn)
        return np.asarray(u[..., 0] - u[..., 1])

    value = float(gap(counts.sum(axis=0, keepdims=True))[0])
    error = standard_error(gap(drawn_sums(counts, n=n, seed=seed)), len(counts))
    return difference_of(value, error, len(counts))
