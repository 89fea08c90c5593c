"""Functionals against closed forms, NumPy/SciPy and their own invariances."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serfeat.errors import UnknownNameError
from serfeat.functionals import FUNCTIONALS, apply

ALL = tuple(FUNCTIONALS)


def one(values: list[float], name: str, hop: float = 0.01) -> float:
    return float(apply(np.array(values, dtype=float)[:, None], hop, [name])[0])


def test_closed_form() -> None:
    """Catches 1/(N-1) in place of 1/N and a slope per frame in place of per second."""
    ramp = [1.0, 2.0, 3.0, 4.0]
    assert one(ramp, "mean") == 2.5
    assert one(ramp, "std") == pytest.approx(np.sqrt(1.25))
    assert one(ramp, "slope") == pytest.approx(100.0)
    assert one(ramp, "rise") == pytest.approx(100.0)
    assert one(ramp, "fall") == 0.0
    assert one([0.0, 1.0, -1.0], "fall") == pytest.approx(-200.0)
    assert one([np.nan, 2.0, np.nan, 4.0], "mean") == 3.0
    assert one([np.nan, 2.0, np.nan, 4.0], "defined") == 0.5
    assert one([1.0, np.nan, 2.0, 4.0], "rise") == pytest.approx(200.0)  # not across the gap


def test_against_numpy_and_scipy() -> None:
    rng = np.random.default_rng(3)
    x = rng.gamma(2.0, size=(57, 5))
    x[rng.random(x.shape) < 0.3] = np.nan
    got = apply(x, 0.01, ALL).reshape(5, len(ALL))
    for k in range(5):
        y = x[np.isfinite(x[:, k]), k]
        t = np.flatnonzero(np.isfinite(x[:, k])) * 0.01
        expected = {
            "mean": y.mean(),
            "std": y.std(),
            "min": y.min(),
            "max": y.max(),
            "range": np.ptp(y),
            "iqr": scipy.stats.iqr(y),
            "skewness": scipy.stats.skew(y),
            "kurtosis": scipy.stats.kurtosis(y, fisher=False),
            "slope": np.polyfit(t, y, 1)[0],
            **{f"p{q:02d}": np.percentile(y, q) for q in (5, 20, 50, 80, 95)},
        }
        for name, value in expected.items():
            assert got[k, ALL.index(name)] == pytest.approx(value, rel=1e-9), name


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 3)),
        elements=st.floats(-1e6, 1e6) | st.just(np.nan),
    )
)
def test_never_infinite_never_raises(values: np.ndarray) -> None:
    got = apply(values, 0.01, ALL)
    assert got.shape == (values.shape[1] * len(ALL),)
    assert not np.isinf(got).any()


def test_degenerate() -> None:
    empty = apply(np.full((4, 1), np.nan), 0.01, ALL)
    assert np.isnan(np.delete(empty, ALL.index("defined"))).all()
    assert empty[ALL.index("defined")] == 0
    constant = dict(zip(ALL, apply(np.full((9, 1), -0.1), 0.01, ALL), strict=True))
    assert constant["std"] == pytest.approx(0, abs=1e-15)
    assert np.isnan(constant["skewness"])
    assert constant["slope"] == pytest.approx(0, abs=1e-12)


def test_unknown_name_suggests() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'kurtosis'"):
        apply(np.zeros((3, 1)), 0.01, ["kurtosi"])
