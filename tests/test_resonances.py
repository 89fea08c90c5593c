"""Resonances: roots against eigenvalues; the two ways to the predictor; plain against compiled."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.signal import lfilter

from serfeat.errors import FeatureError, UnknownNameError
from serfeat.shorttime import ShortTime
from serfeat.signal import resonances as module
from serfeat.signal.resonances import _lags_of_band, _poles, polynomial_roots, resonances


def sorted_roots(roots: np.ndarray) -> np.ndarray:
    order = np.lexsort((roots.imag.round(9), roots.real.round(9)), axis=-1)
    return np.take_along_axis(roots, order, axis=-1)


@pytest.mark.parametrize("order", [1, 2, 3, 9, 10, 16])
def test_roots_against_eigenvalues(order: int) -> None:
    """2000 random stable predictors. Catches a wrong deflation and a polish that goes astray."""
    rng = np.random.default_rng(order)
    polynomials = np.ones((2000, 1))
    while polynomials.shape[1] <= order:  # step-up recursion: reflection coefficients -> predictor
        k = rng.uniform(-0.97, 0.97, (2000, 1))
        padded = np.pad(polynomials, ((0, 0), (0, 1)))
        polynomials = padded + k * padded[:, ::-1]
    got = sorted_roots(polynomial_roots(polynomials))
    expected = sorted_roots(np.array([np.roots(p) for p in polynomials]))
    assert np.abs(got - expected).max() < 1e-7  # near-double roots lose half of the digits
    assert np.median(np.abs(got - expected)) < 1e-14


def test_roots_do_not_depend_on_neighbours() -> None:
    """To the last bit, though eight are found at a time and the last ones stand in for the absent.

    A third has real roots, some of them five: those that are found one by one.
    """
    rng = np.random.default_rng(3)
    angle, radius = rng.uniform(0.1, 3.0, (41, 5)), rng.uniform(0.6, 0.99, (41, 5))
    z = radius * np.exp(1j * angle)
    z[::3] = np.concatenate([z[::3, :2], np.sort(rng.uniform(-0.9, 0.9, (14, 3)))], axis=1)
    every = [[w for x in row for w in ((x, x.conjugate()) if x.imag else (x, -x))] for row in z]
    polynomials = np.array([np.poly(row).real for row in every])
    together = polynomial_roots(polynomials)
    alone = np.concatenate([polynomial_roots(p[None]) for p in polynomials])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(sorted_roots(together), sorted_roots(np.array(every)), atol=1e-9)


def test_roots_of_special_polynomials() -> None:
    p = np.array([[1, 0, 0, 0, 0.0], [1, 0, 0, 0, -1.0], [1, 0, 0, 0, 1.0], [2, -2, 0, 0, 0.0]])
    roots = polynomial_roots(p)
    np.testing.assert_array_equal(roots[0], 0)
    np.testing.assert_allclose(roots[1:3] ** 4, [[1] * 4, [-1] * 4], atol=1e-14)
    assert len(np.unique(roots[1].round(9))) == 4
    np.testing.assert_allclose(np.sort(roots[3].real), [0, 0, 0, 1], atol=1e-14)
    double = np.sort(polynomial_roots([np.poly([0.5, 0.5, -0.25])])[0].real)
    np.testing.assert_allclose(double, [-0.25, 0.5, 0.5], atol=1e-7)
    for bad in ([[0.0, 1.0]], [[1.0, np.nan]], [1.0, 2.0]):
        with pytest.raises(FeatureError, match="finite coefficients"):
            polynomial_roots(bad)


# ------------------------------------------------------------------------------------- predictors
def test_lags_of_the_whole_band_are_the_autocorrelation() -> None:
    """At rate == sr, without pre-emphasis, the band's lags are those of the frame itself.

    Catches a first or last bin counted twice: the sums then differ by a whole bin.
    """
    x = np.random.default_rng(0).standard_normal(200)
    power = np.abs(np.fft.rfft(x, 256)) ** 2
    lags = power @ _lags_of_band(256, 8000, 8000, 10, 1e9) / 256
    expected = [np.dot(x[: 200 - k], x[k:]) for k in range(11)]
    np.testing.assert_allclose(lags, expected, rtol=1e-12, atol=1e-10)


def test_lags_of_a_lower_band() -> None:
    """A signal without energy above 3 kHz, pre-emphasised at 6 and at 16 kHz, has the same lags.

    Seen to catch bins without the weight that makes one pre-emphasis of the other, its inverse, and
    that of a corner at 55 Hz.
    """
    rng = np.random.default_rng(1)
    tones = rng.uniform(50, 2900, 40), rng.uniform(0, 6, 40)
    found = []
    for rate, points in ((6000, 2400), (16000, 6400)):
        t = np.arange(rate // 5) / rate
        x = sum(np.cos(2 * np.pi * f * t + phase) for f, phase in zip(*tones, strict=True))
        y = lfilter([1, -np.exp(-2 * np.pi * 50 / rate)], [1], x)
        bins = _lags_of_band(points, rate, 6000, 8, 50.0)
        power = np.abs(np.fft.rfft(y * np.hanning(len(y)), points)) ** 2
        lags = power[: len(bins)] @ bins
        found.append(lags / lags[0])
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


def test_no_corner_is_a_difference() -> None:
    """Pre-emphasis from 0 Hz on: ``1 - z^-1``, whose response is 0 at 0 Hz. Never 0 / 0."""
    assert np.isfinite(_lags_of_band(512, 16000, 11000, 10, 0.0)).all()


def test_poles_plain_and_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a lowest pole that is lost when more than five lie in the band."""
    a = np.ones((500, 1))
    rng = np.random.default_rng(2)
    while a.shape[1] <= 14:
        padded = np.pad(a, ((0, 0), (0, 1)))
        a = padded + rng.uniform(-0.9, 0.9, (500, 1)) * padded[:, ::-1]
    compiled = _poles(a, 11000)
    monkeypatch.setattr(module, "COMPILED", False)
    np.testing.assert_allclose(_poles(a, 11000), compiled, rtol=1e-6)


@pytest.mark.parametrize(("hz", "kept"), [(48, False), (52, True), (5448, True), (5452, False)])
def test_safety_margin(hz: float, kept: bool) -> None:
    """Praat's 50 Hz at either end of the band. Seen to catch 55."""
    z = 0.98 * np.exp(2j * np.pi * hz / 11000)
    a = np.poly([z, z.conjugate()]).real[None]
    assert np.isfinite(_poles(a, 11000)[0, 0, 0]) == kept


def test_windows_are_twice_their_nominal_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Praat's Gaussian: 50 ms for 25, at 16 kHz and at 11. Seen to catch three times."""
    sizes: list[tuple[str, int]] = []
    window = module.window
    monkeypatch.setattr(module, "window", lambda *a: sizes.append(a) or window(*a))
    x = np.cos(0.05 * np.arange(16_000)) + np.cos(0.1 * np.arange(16_000))
    resonances(ShortTime(x, 16_000), method="selective")
    resonances(ShortTime(x, 16_000), method="burg")
    assert sizes == [("gauss", 800), ("gauss", 550)]


def test_defaults_are_praats() -> None:
    """Those of `serfeat.lld.formants` above it too. Seen to catch 27.5 ms and 55 Hz."""
    praats = {"ceiling": 5500.0, "max_formants": 5.0, "length": 0.025, "preemphasis_from": 50.0}
    known = inspect.signature(resonances).parameters
    assert {name: known[name].default for name in praats} == praats


def test_errors() -> None:
    st = ShortTime(np.ones(1600), 16000)
    with pytest.raises(UnknownNameError, match="selective"):
        resonances(st, method="selectiv")  # type: ignore[arg-type]  # the misspelling is the test
    with pytest.raises(UnknownNameError, match="audible"):
        resonances(st, frames="audibel")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="more samples than poles"):
        resonances(st, length=0.0003)
    with pytest.raises(FeatureError, match="more samples than poles"):
        resonances(st, ceiling=0.0)


@pytest.mark.parametrize(("sr", "rate"), [(16_000, 11_000), (48_000, 10_000)])
def test_a_lower_rate_has_the_samples_of_the_same_tone(sr: int, rate: int) -> None:
    """What lies below the new band is as it was, and what lies above is gone.

    Seen to catch the ratio of the rates upside down, a bin less of the spectrum's.
    """
    t = np.arange(sr) / sr
    fade = np.sin(np.pi * t) ** 4  # nothing at the ends, where the filter rings
    low, high = np.cos(2 * np.pi * 1234.5 * t + 1), np.cos(2 * np.pi * 0.55 * rate * t)
    found = module._resampled(fade * (low + high), sr, rate)
    there = np.arange(len(found)) / rate
    expected = np.sin(np.pi * there) ** 4 * np.cos(2 * np.pi * 1234.5 * there + 1)
    assert len(found) == rate
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_resampling_does_not_wrap_round() -> None:
    """An impulse at the end rings into the beginning by less than 5e-4.

    Seen to catch a guard of 10 samples.
    """
    x = np.zeros(4000)
    x[-1] = 1.0
    assert np.abs(module._resampled(x, 16_000, 11_000)[:300]).max() < 5e-4
