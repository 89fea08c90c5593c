"""Entries over several corpora: average ranks, whether any differ, and which.

One corpus says which entry is better there; several say whether it tends to be. Each run is one
corpus (its held-out-speaker protocol, else the only one that it has), each entry that all of them
have is ranked in each, and Friedman's test asks whether the average ranks differ at all; entries
whose ranks are less than Nemenyi's critical difference apart cannot be told apart. With the handful
of corpora that anybody has, the critical difference is wide.

Contents
--------
`rank_runs` : run folders -> `Ranking`.
`as_svg`    : its critical-difference plot.

Source: Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from serfeat.errors import StoreError
from serfeat.report.run import read_run
from serfeat.statistics.rank_tests import Friedman, average_ranks, critical_difference, friedman
from serfeat.statistics.significance_plot import (
    critical_difference_alt,
    draw_critical_difference,
    plot_height,
)

__all__ = ["Ranking", "as_svg", "rank_runs"]


@dataclass(frozen=True)
class Ranking:
    """Entries over corpora.

    Parameters
    ----------
    scores : UAR, one row per corpus and one column per entry, best average rank first.
    ranks : average rank of each entry, 1 is the best.
    test : Friedman's, whether any of them differ.
    difference : ranks that far apart differ (Nemenyi, 5 %).
    protocols : corpus -> the protocol whose scores were ranked.
    marks : corpus -> the warnings that its scores carry.
    """

    scores: pd.DataFrame
    ranks: dict[str, float]
    test: Friedman
    difference: float
    protocols: dict[str, str]
    marks: dict[str, tuple[str, ...]]

    @property
    def words(self) -> str:
        """The picture in words."""
        return critical_difference_alt(self.ranks, self.difference, len(self.scores))


def rank_runs(folders: Sequence[Path]) -> Ranking:
    """Rank the entries that all runs have.

    Parameters
    ----------
    folders : of runs on different corpora.

    Raises
    ------
    StoreError : a run on ratings, fewer than three entries in common, or two runs on one corpus.
    ModelError : fewer than two corpora.
    """
    rows, protocols, marks = {}, {}, {}
    for folder in folders:
        run = read_run(folder)
        if run.targets:
            raise StoreError(
                "a run on ratings; only runs on emotions are ranked",
                where=folder,
                code="ratings",
                fix="look at the reports side by side",
            )
        name = str(run.info["corpus"]["name"])
        if name in rows:
            raise StoreError(
                f"{name} twice, expected one run per corpus", where=folder, code="same-corpus"
            )
        first = run.protocols[0]["key"]  # held-out speakers come first
        protocols[name], marks[name] = str(first), run.marks(str(first))
        rows[name] = run.scored(first).set_index("entry")["uar"]
    scores = pd.DataFrame(rows).dropna().T
    if scores.shape[1] < 3:
        raise StoreError(
            f"{scores.shape[1]} entries that all {len(rows)} runs have, expected 3 or more",
            where=" ".join(map(str, folders)),
            code="too-few-entries",
            fix="run the same recipe on every corpus (--corpus)",
        )
    ranks = pd.Series(average_ranks(scores.to_numpy()), index=scores.columns).sort_values()
    scores = scores[ranks.index]
    return Ranking(
        scores,
        {str(name): float(rank) for name, rank in ranks.items()},
        friedman(scores.to_numpy()),
        critical_difference(scores.shape[1], len(scores)),
        protocols,
        marks,
    )


def as_svg(ranking: Ranking) -> str:
    """Draw the critical-difference plot: a file of its own, with the words as its title."""
    from serfeat.report.canvas import canvas

    out = io.StringIO()
    with canvas(7.0, plot_height(len(ranking.ranks))) as figure:
        draw_critical_difference(figure.add_subplot(), ranking.ranks, ranking.difference)
        about = {"Title": ranking.words, "Date": None, "Creator": None}
        figure.savefig(out, format="svg", metadata=about)
    return out.getvalue()
