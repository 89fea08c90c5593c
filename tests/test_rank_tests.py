"""Friedman and Nemenyi: Demsar's worked example, his table of quantiles, SciPy, and the plot."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from serfeat.errors import ModelError
from serfeat.statistics.rank_tests import (
    average_ranks,
    critical_difference,
    critical_difference_groups,
    friedman,
    nemenyi,
)
from serfeat.statistics.significance_plot import (
    critical_difference_alt,
    draw_critical_difference,
    plot_height,
)

# Demsar 2006, table 6: AUC of C4.5, with m, with cf, with both, on 14 data sets.
DEMSAR = np.array(
    [
        *([0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569]),
        *([0.954, 0.971, 0.968, 0.967], [0.628, 0.661, 0.654, 0.657]),
        *([0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931]),
        *([0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625]),
        *([0.775, 0.838, 0.866, 0.875], [1.000, 1.000, 1.000, 1.000]),
        *([0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669]),
        *([0.972, 0.981, 0.978, 0.975], [0.957, 0.978, 0.946, 0.970]),
    ]
)


def test_demsars_example() -> None:
    """Average ranks 3.143, 2.000, 2.893, 1.964; chi-squared 9.28 before the correction for ties.

    Mutations caught: ranks from the worst, sd with N - 1, corpora and entries swapped.
    """
    found = friedman(DEMSAR)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    n, k = DEMSAR.shape
    plain = 12 * n / (k * (k + 1)) * (np.sum(np.square(found.ranks)) - k * (k + 1) ** 2 / 4)
    assert plain == pytest.approx(9.28, abs=5e-3)
    # SciPy's correction: the sum of t^3 - t over all ties of t, as a share of N (k^3 - k).
    ties = sum((c**3 - c) for row in DEMSAR for c in np.unique(row, return_counts=True)[1] if c > 1)
    assert found.statistic == pytest.approx(plain / (1 - ties / (n * (k**3 - k))))
    assert found.f == pytest.approx(13 * found.statistic / (14 * 3 - found.statistic))
    assert found.f_p == pytest.approx(scipy.stats.f.sf(found.f, 3, 39))
    assert found.f_p < 0.05
    # He finds C4.5 worse than both of the others by Nemenyi at .10 (1.12 ranks), not at .05 (1.25).
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=5e-3)
    p = nemenyi(DEMSAR)
    assert 0.05 < p[0, 1] < 0.10
    assert 0.05 < p[0, 3] < 0.10


def test_demsars_quantiles() -> None:
    """His table 5a, q at .05 for 2 to 10 entries. Mutation caught: without the / sqrt(2)."""
    table = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for k, q in enumerate(table, start=2):
        assert critical_difference(k, 6) == pytest.approx(q * np.sqrt(k * (k + 1) / 36), rel=3e-4)


def test_p_and_critical_difference_say_the_same() -> None:
    scores = np.random.default_rng(0).normal(size=(8, 5)) + np.arange(5)
    ranks, p = average_ranks(scores), nemenyi(scores)
    apart = np.abs(ranks[:, None] - ranks) >= critical_difference(5, 8)
    assert apart.any()
    assert (apart == (p <= 0.05)).all()
    assert p.diagonal() == pytest.approx(1)
    assert friedman(scores).p == pytest.approx(scipy.stats.friedmanchisquare(*scores.T).pvalue)


def test_only_order_within_a_corpus_counts() -> None:
    """Mutation caught: ranking over all corpora at once."""
    scores = np.random.default_rng(1).random((6, 4))
    hard = scores * np.linspace(0.1, 1, 6)[:, None] + np.linspace(0, 3, 6)[:, None]
    assert friedman(hard) == friedman(scores)


def test_rank_edges() -> None:
    alike = friedman(np.full((4, 3), 0.5))
    assert (alike.ranks, alike.p, alike.f_p) == ((2.0, 2.0, 2.0), 1.0, 1.0)
    sure = friedman(np.tile([0.1, 0.2, 0.3], (5, 1)))
    assert (sure.f, sure.f_p) == (np.inf, 0.0)
    assert sure.ranks == (3.0, 2.0, 1.0)
    with pytest.raises(ModelError, match="2 entries on 4 corpora"):
        friedman(np.zeros((4, 2)))
    with pytest.raises(ModelError, match="1 missing"):
        friedman([[0.1, 0.2, np.nan], [0.1, 0.2, 0.3]])
    with pytest.raises(ModelError, match="1 entries"):
        critical_difference(1, 3)


RANKS = {"a": 1.5, "b": 2.0, "c": 2.9, "d": 3.2, "e": 5.1, "f": 6.3}


def test_groups_are_as_large_as_can_be() -> None:
    """Mutations caught: bars inside bars, <= at exactly the critical difference, bars of one."""
    assert critical_difference_groups(RANKS, 2.0) == [("a", "b", "c", "d"), ("d", "e"), ("e", "f")]
    assert critical_difference_groups(RANKS, 0.5) == [("c", "d")]
    assert critical_difference_groups({"a": 1.0, "b": 2.0}, 1.0) == []
    assert critical_difference_groups({"a": 1.0, "b": 2.0}, 1.001) == [("a", "b")]
    assert critical_difference_groups(RANKS, 9.0) == [tuple("abcdef")]
    assert critical_difference_groups({}, 1.0) == []


def test_plot_shows_every_name_and_bar() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, plot_height(6)), layout="constrained")
    ax = figure.add_subplot()
    draw_critical_difference(ax, RANKS, 2.0)
    words = " ".join(text.get_text() for text in ax.texts)
    for name, rank in RANKS.items():
        assert f"{name}  {rank:.2f}" in words or f"{rank:.2f}  {name}" in words
    assert "critical difference 2.00" in words
    bars = [tuple(np.round(x.get_xdata(), 2)) for x in ax.lines if x.get_linewidth() > 3]
    assert bars == [(1.46, 3.24), (3.16, 5.14), (5.06, 6.34)]
    figure.draw_without_rendering()
    told = critical_difference_alt(RANKS, 2.0, 1)
    assert told.startswith("Average ranks over 1 corpus, 1 is the best: a 1.50, b 2.00")
    assert told.endswith("a, b, c and d; d and e; e and f.")
