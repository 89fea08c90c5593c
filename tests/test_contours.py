"""The sums down the columns and the turning points, against plain versions and definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serfeat.errors import FeatureError
from serfeat.jit import COMPILED
from serfeat.signal import sums as loops
from serfeat.signal.contours import SHARES, Contours, between, between_plain
from serfeat.signal.turns import Turns, turns
from serfeat.types import Floats

NAN = np.nan


def ragged(n: int = 57, k: int = 9, seed: int = 3) -> Floats:
    """Columns with a third of their frames undefined; the first is complete, the last is empty."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, size=(n, k))
    x[rng.random(x.shape) < 0.3] = NAN
    x[:, 0] = rng.standard_normal(n)
    x[:, -1] = NAN
    return x


def test_compiled_loops_equal_the_plain_ones() -> None:
    """Catches an index shifted by one in `changes`, an undefined frame counted in `means`."""
    x = ragged()
    k = x.shape[1]
    a, b = np.zeros((3, k)), np.zeros((3, k))
    loops.means(x, *a)
    loops.means_plain(x, *b)
    np.testing.assert_allclose(a, b, rtol=1e-13)
    mean, middle, scale = a[1], a[2], np.linspace(0.5, 2.0, k)
    for compiled, plain, rows, given_ in (
        (loops.deviations, loops.deviations_plain, 3, (mean, middle)),
        (loops.z_powers, loops.z_powers_plain, 2, (mean, scale)),
        (loops.changes, loops.changes_plain, 5, ()),
    ):
        a, b = np.zeros((rows, k)), np.zeros((rows, k))
        compiled(x, *given_, *a)
        plain(x, *given_, *b)
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_compiled_percentiles_equal_the_plain_ones() -> None:
    """In every bit, also of rows with one value and with none.

    Seen to catch the upper neighbour of the last value, and a place off by 1e-15.
    """
    x = np.sort(ragged().T, axis=1)
    x[3, 1:] = NAN
    last = np.maximum(np.isfinite(x).sum(axis=1) - 1, 0)
    a, b = np.zeros((2, len(SHARES), len(x)))
    between(x, last, SHARES, a)
    between_plain(x, last, SHARES, b)
    np.testing.assert_array_equal(a, b)
    expected = np.nanpercentile(x[:-1], 100 * SHARES, axis=1)
    np.testing.assert_allclose(a[:, :-1], expected, rtol=1e-14)
    assert np.isnan(a[:, -1]).all()


def test_sums_of_a_tiny_contour() -> None:
    """Frames 0, 2 and 3 of [1, NaN, 2, 6]: mean 3, mean index 5/3."""
    sums = loops.sums(np.array([[1.0], [NAN], [2.0], [6.0]]))
    assert [float(v[0]) for v in sums] == pytest.approx([3, 3, 14, 7, 14 / 3])
    steps = loops.steps(np.array([[1.0], [NAN], [2.0], [6.0], [5.0]]))
    assert [float(v[0]) for v in steps] == [2, 1, 1, 4, -1]


def test_steps_that_stand_still() -> None:
    """Are neither up nor down, compiled or not. Seen to catch >= 0 in the plain version."""
    for count in (loops.changes, loops.changes_plain):
        found = np.zeros((5, 1))
        count(np.array([[1.0], [1], [2], [2]]), *found)
        assert found[:, 0].tolist() == [3, 1, 0, 1, 0]


@pytest.mark.skipif(not COMPILED, reason="NumPy sums a single column in another order")
def test_columns_do_not_depend_on_their_neighbours() -> None:
    """The same bits alone and among others: the compiler must not reorder a sum."""
    x = ragged(200, 13)
    together = loops.sums(x)
    for j in range(13):
        alone = loops.sums(np.ascontiguousarray(x[:, j : j + 1]))
        for a, b in zip(alone, together, strict=True):
            np.testing.assert_array_equal(a[0], b[j])


def one(row: list[float], threshold: float = 0.1, hop: float = 1.0) -> dict[str, float]:
    """The turns of one row."""
    x = np.array([row], dtype=np.float64)
    found = turns(x, np.nanmax(x, axis=1) - np.nanmin(x, axis=1), hop, threshold=threshold)
    return {name: float(v[0]) for name, v in found._asdict().items()}


def test_turns_of_tiny_contours() -> None:
    """Catches a ripple taken for a peak, the last stretch left out, undefined frames cut out."""
    zigzag = one([0, 10, 4, 8, 8, 2, 20])
    assert zigzag["peaks"] == 2
    assert zigzag["distance"] == 2  # the first of the equal values
    assert (zigzag["rising"], zigzag["falling"]) == (3, 2)
    assert zigzag["rising_mean"] == pytest.approx((10 + 4 + 18) / 3)
    assert zigzag["falling_mean"] == pytest.approx((6 + 3) / 2)
    assert zigzag["falling_std"] == pytest.approx(1.5)
    ripple = one([0, 5, 4.5, 10, 5, 5.5, 0])
    assert (ripple["peaks"], ripple["rising"], ripple["falling"]) == (1, 1, 1)
    assert ripple["rising_mean"] == pytest.approx(10 / 3)
    assert ripple["rising_std"] == 0
    assert one([0, 5, 4, 10])["peaks"] == 1  # a fall by exactly a tenth of the range counts
    assert one([0, 5, 4, 10], threshold=0.11)["peaks"] == 0
    gap = one([0, NAN, NAN, 6, 3], hop=0.5)
    assert (gap["rising_mean"], gap["falling_mean"]) == (4.0, 6.0)


@pytest.mark.parametrize(("swing", "peaks"), [(10.5, 1), (9.5, 0)])
def test_a_turn_stands_out_by_a_tenth_of_the_range(swing: float, peaks: int) -> None:
    """If nothing is said: openSMILE's default. Seen to catch 0.11."""
    row = np.array([[0.0, 50, 50 - swing, 100]])
    assert turns(row, np.array([100.0]), 0.01).peaks[0] == peaks


def test_turns_of_what_does_not_turn() -> None:
    rising = one([1, 2, 4])
    assert (rising["peaks"], rising["rising"], rising["falling"]) == (0, 1, 0)
    assert rising["rising_mean"] == 1.5
    assert np.isnan([rising["falling_mean"], rising["falling_std"], rising["distance"]]).all()
    for flat in ([3.0], [3.0, 3.0, 3.0], [NAN, 3.0]):
        found = one(flat)
        assert (found["peaks"], found["rising"], found["falling"]) == (0, 0, 0)
        assert np.isnan(found["rising_mean"])


def by_definition(x: Floats, h: float) -> Turns:
    """Turning points as `serfeat.signal.turns` defines them, frame by frame, without memory."""

    def is_peak(y: Floats, i: int) -> bool:
        rises = any(y[i] - y[a] >= h and (y[a:i] < y[i]).all() for a in range(i))
        falls = any(y[i] - y[b] >= h and (y[i : b + 1] <= y[i]).all() for b in range(i, len(y)))
        return rises and falls

    where = np.flatnonzero(np.isfinite(x))
    y = x[where]
    peaks = [i for i in range(len(y)) if is_peak(y, i)]
    inner = sorted(peaks + [i for i in range(len(y)) if is_peak(-y, i)])
    if inner:
        first, last = inner[0], inner[-1]
        begin = np.argmin(y[:first]) if first in peaks else np.argmax(y[:first])
        end = last + (np.argmin(y[last:]) if last in peaks else np.argmax(y[last:]))
        points = [int(begin), *inner, int(end)]
    else:
        points = sorted((int(np.argmin(y)), int(np.argmax(y))))
    slopes = np.diff(y[points]) / np.diff(where[points]) if points[0] != points[-1] else np.empty(0)
    up, down = slopes[slopes > 0], -slopes[slopes < 0]
    statistics = [(len(s), *((s.mean(), s.std()) if len(s) else (NAN, NAN))) for s in (up, down)]
    distance = np.diff(where[peaks]).mean() if len(peaks) > 1 else NAN
    return Turns(*(np.array(v) for v in (*statistics[0], *statistics[1], len(peaks), distance)))


@settings(max_examples=300, deadline=None)
@given(
    arrays(np.float64, st.integers(1, 25), elements=st.integers(0, 12).map(float) | st.just(NAN)),
    st.sampled_from([0.1, 0.3, 0.6]),
)
@example(np.array([5.0, 3.0, 3.0, 9.0, 9.0, 3.0, 4.0, 9.0]), 0.3)
def test_turns_follow_their_definition(x: Floats, threshold: float) -> None:
    """Catches > for >= at the threshold, and the later of equal values."""
    if not np.isfinite(x).any():
        return
    height = np.nanmax(x) - np.nanmin(x)
    if height == 0:
        return
    expected = by_definition(x, threshold * height)
    found = turns(x[None, :].copy(), np.array([height]), 1.0, threshold=threshold)
    for name, a, b in zip(Turns._fields, found, expected, strict=True):
        np.testing.assert_allclose(a[0], b, rtol=1e-12, atol=1e-12, err_msg=name)


def test_contours_refuse_what_they_cannot_read() -> None:
    for values in (np.zeros(3), np.zeros((3, 2, 1)), 1.0):
        with pytest.raises(FeatureError, match="expected \\(frames, columns\\)"):
            Contours(values, 0.01)
    for hop in (0.0, -0.01, NAN):
        with pytest.raises(FeatureError, match="hop"):
            Contours(np.zeros((3, 1)), hop)


@pytest.mark.parametrize(("mean", "defined"), [(2e-6, True), (0.5e-6, False)])
def test_cv_about_a_mean_near_0(mean: float, defined: bool) -> None:
    """Undefined below a millionth of the deviation. Seen to catch 1e-4."""
    assert np.isfinite(Contours(np.array([[-1.0], [1.0]]) + mean, 0.01).cv[0]) == defined


def test_contours_read_any_layout() -> None:
    """Single precision, Fortran order, strided views and lists are the same contours."""
    x = np.arange(12.0).reshape(6, 2) ** 2
    for same in (x.astype(np.float32), np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(Contours(same, 0.01).slope, Contours(x, 0.01).slope)
    np.testing.assert_array_equal(Contours(x.tolist(), 0.01).mean, x.mean(axis=0))


def test_contours_do_not_change_their_values() -> None:
    x = ragged()
    x[0, 0] = np.inf
    before = x.copy()
    c = Contours(x, 0.01)
    for name in ("ordered", "slope", "percentiles", "line_error", "turns", "runs", "centroid"):
        getattr(c, name)
    np.testing.assert_array_equal(x, before)
