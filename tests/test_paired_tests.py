"""Paired tests against numbers worked out by hand, against SciPy, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from serfeat.errors import ModelError, UnknownNameError
from serfeat.statistics.paired_tests import corrected_t, holm, mcnemar, sign_flip, wilcoxon


def test_corrected_t_by_hand() -> None:
    """Mean .03, variance .0005, factor 1/5 + 1/4: t = .03 / .015 = 2 with 4 degrees of freedom.

    Mutations caught: no ratio in the root, variance with n, k degrees of freedom.
    """
    d = [0.02, 0.04, 0.06, 0.00, 0.03]
    assert corrected_t(d) == pytest.approx(0.116117, abs=1e-6)
    assert corrected_t(d, ratio=0.25) == corrected_t(d)
    assert corrected_t(d, ratio=0.0) == pytest.approx(scipy.stats.ttest_1samp(d, 0).pvalue)
    assert corrected_t(d, ratio=1.0) > corrected_t(d)
    assert corrected_t([*d, np.nan]) == corrected_t(d)


def test_sign_flip_by_hand() -> None:
    """Mutations caught: > for >= (the observed pattern must count), one-sided."""
    assert sign_flip([1, 2, 3]) == 2 / 8
    assert sign_flip([-1, -2, -3]) == 2 / 8
    assert sign_flip([1, 1, -1]) == 1
    assert sign_flip([3, -1]) == 1.0  # sums 2, 4, -4, -2: all as far from 0
    assert sign_flip([0.1] * 5) == 2 / 32  # the least that 5 speakers can give
    # 3 x .1 is not .3 in binary; such ties must count, whatever the order of the additions
    assert sign_flip([0.1, 0.2, -0.3, 0.3]) == sign_flip([1, 2, -3, 3])


def test_sign_flip_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for size in (4, 7, 10):
        d = rng.normal(0.5, 1.0, size)
        expected = scipy.stats.permutation_test(
            (d,), np.sum, permutation_type="samples", n_resamples=np.inf
        )
        assert sign_flip(d) == pytest.approx(expected.pvalue, abs=1e-12)


def test_drawn_signs_agree_with_all() -> None:
    """A difference of 0 changes nothing but makes 17 of 16: then signs are drawn. SE .003.

    Mutation caught: without + 1 the p of 30 equal differences is 0, which no sample can show.
    """
    d = np.random.default_rng(4).normal(0.25, 1.0, 16)
    assert 0.1 < sign_flip(d) < 0.6
    assert sign_flip([*d, 0.0], n=20_000) == pytest.approx(sign_flip(d), abs=0.012)
    assert sign_flip([0.1] * 30, n=999) == 1 / 1000
    assert sign_flip([*d, 0.0], seed=4) == sign_flip([*d, 0.0], seed=4)


@pytest.mark.parametrize("size", [5, 8, 10])
def test_wilcoxon_is_scipys(size: int) -> None:
    """Exact without and with ties and zeros. Mutation caught: zeros kept, ranks not of |d|."""
    d = np.random.default_rng(size).normal(0.5, 1.0, size)
    assert wilcoxon(d) == pytest.approx(scipy.stats.wilcoxon(d).pvalue)
    tied = np.round(2 * d)
    assert len(set(np.abs(tied))) < size
    assert wilcoxon(tied) == pytest.approx(scipy.stats.wilcoxon(tied).pvalue)
    assert wilcoxon(tied / 10 + 1e-16) == wilcoxon(tied)


def test_mcnemar_by_hand() -> None:
    """1 against 5: 2 (1 + 6) / 64, less 6 / 64, and chi-squared (4 - 1)^2 / 6.

    Mutations caught: one-sided, mid-p that takes off half of it, no continuity correction.
    """
    assert mcnemar(1, 5) == pytest.approx(14 / 64)
    assert mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(1, 5, method="mid-p") == pytest.approx(8 / 64)
    assert mcnemar(0, 3, method="mid-p") == pytest.approx(1 / 8)
    assert mcnemar(1, 5, method="continuity") == pytest.approx(scipy.stats.chi2.sf(1.5, 1))
    assert mcnemar(4, 4) == mcnemar(0, 0) == mcnemar(0, 0, method="mid-p") == 1
    assert mcnemar(4, 4, method="mid-p") == pytest.approx(1)
    for b, c in ((3, 9), (20, 41), (0, 12)):
        assert mcnemar(b, c) == pytest.approx(scipy.stats.binomtest(b, b + c).pvalue)
    with pytest.raises(ModelError, match="-1 and 2 clips"):
        mcnemar(-1, 2)
    with pytest.raises(UnknownNameError, match="did you mean 'mid-p'"):
        mcnemar(1, 2, method="midp")  # type: ignore[arg-type]


def test_holm_by_hand() -> None:
    """4 x .005, 3 x .01, 2 x .03, and .04 that may not be below the one before it.

    Mutations caught: Bonferroni, no running maximum, NaN counted as a test.
    """
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = holm([0.01, np.nan, 0.04, 0.03, 0.005])
    assert np.isnan(found[1])
    assert found[[0, 2, 3, 4]] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    assert holm([]).tolist() == []
    assert np.isnan(holm([np.nan])).all()


@pytest.mark.parametrize("test", [corrected_t, sign_flip, wilcoxon])
def test_edges(test: object) -> None:
    """All 0: nothing to see. Mutation caught: NaN or a warning from 0 / 0."""
    assert callable(test)
    assert test([0.0, 0.0, 0.0]) == 1
    assert np.isnan(test([]))
    assert np.isnan(test([np.nan]))
    d = [0.1, -0.3, 0.25, 0.4, 0.02]
    assert test(d) == pytest.approx(test([-x for x in d]))  # the order of the entries
    assert test(d) == pytest.approx(test(d[::-1]))


def test_corrected_t_without_spread_is_no_test() -> None:
    assert np.isnan(corrected_t([0.2, 0.2, 0.2]))
    assert np.isnan(corrected_t([0.2]))
