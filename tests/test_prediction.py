"""Linear prediction, against the normal equations, closed forms, librosa and numpy's roots."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from serfeat.errors import FeatureError
from serfeat.signal import line_spectrum, prediction

POLES = [0.95 * np.exp(0.5j), 0.95 * np.exp(-0.5j), 0.9 * np.exp(1.6j), 0.9 * np.exp(-1.6j)]
AR4 = np.poly(POLES).real


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((40, 400)) * np.hamming(400)


def direct_lags(x: np.ndarray, n: int) -> np.ndarray:
    length = x.shape[1]
    return np.array([[v[: length - k] @ v[k:] for k in range(n)] for v in x])


@pytest.mark.parametrize("order", [1, 2, 12, 18])
def test_levinson_solves_the_normal_equations(frames: np.ndarray, order: int) -> None:
    """Seen to catch lags in the wrong order, an error that grows by 1 + k^2, a lost middle one."""
    r = direct_lags(frames, order + 1)
    model = prediction.levinson(r)
    expected = [np.r_[1, -solve_toeplitz(q[:order], q[1:])] for q in r]
    np.testing.assert_allclose(model.a, expected, atol=1e-9)
    np.testing.assert_allclose(model.error, np.einsum("tk,tk->t", model.a, r), rtol=1e-9)
    np.testing.assert_allclose(model.a[:, -1], model.reflection[:, -1], atol=0)
    assert (np.abs(model.reflection) < 1).all()


def test_levinson_keeps_leading_axes(frames: np.ndarray) -> None:
    r = direct_lags(frames, 5)
    model = prediction.levinson(r.reshape(8, 5, 5))
    assert [v.shape for v in model] == [(8, 5, 5), (8, 5), (8, 5, 4)]
    one = prediction.levinson(r[0])
    assert one.a.shape == (5,)
    np.testing.assert_array_equal(one.a, model.a[0, 0])


def test_levinson_of_nothing_and_of_the_predictable() -> None:
    """Silence, DC, a pure tone and NaN: no crash, no instability, no infinity."""
    n = np.arange(5)
    r = np.stack([0 * n, 1.0 + 0 * n, np.cos(0.3 * n), np.full(5, 1e-320), np.full(5, np.nan)])
    model = prediction.levinson(r)
    np.testing.assert_array_equal(model.a[0], [1, 0, 0, 0, 0])
    assert model.error[0] == 0
    assert np.isfinite(model.a[:4]).all()
    assert (np.abs(model.reflection[:4]) < 1).all()
    assert np.isnan(model.a[4, 1:]).all()


def test_burg_is_librosas(frames: np.ndarray) -> None:
    librosa = pytest.importorskip("librosa")
    expected = librosa.lpc(frames, order=12)
    np.testing.assert_allclose(prediction.burg(frames, 12).a, expected, atol=1e-10)


def test_burg_finds_the_poles_of_noise() -> None:
    x = lfilter([1], AR4, np.random.default_rng(1).standard_normal(200_000))[None, 1000:]
    model = prediction.burg(x, 4)
    np.testing.assert_allclose(model.a[0], AR4, atol=0.01)
    assert model.error[0] == pytest.approx(1.0, abs=0.02)


def test_burg_of_silence_dc_and_short_frames() -> None:
    model = prediction.burg(np.stack([np.zeros(30), np.ones(30)]), 4)
    np.testing.assert_array_equal(model.a[0], [1, 0, 0, 0, 0])
    assert np.isfinite(model.a).all()
    assert (model.error >= 0).all()
    with pytest.raises(FeatureError, match="length > order"):
        prediction.burg(np.zeros((3, 4)), 4)


def test_lpcc_is_the_cepstrum_of_the_model() -> None:
    """Seen to catch a factor n lost in the recursion; the FFT cepstrum knows no recursion."""
    cepstrum = np.fft.ifft(np.log(4.0 / np.abs(np.fft.fft(AR4, 8192)) ** 2)).real
    got = prediction.lpcc(AR4, 4.0, 30)
    np.testing.assert_allclose(got, cepstrum[:31], atol=1e-12)


def test_lpcc_of_one_pole_is_a_power_series() -> None:
    n = np.arange(1, 9)
    np.testing.assert_allclose(prediction.lpcc([1, -0.8], 1.0, 8)[1:], 0.8**n / n, rtol=1e-12)
    assert np.isnan(prediction.lpcc([1, 0.0], 0.0, 3)[0])


def test_lsf_golden() -> None:
    """Values of pysptk.lpc2lsp for the same polynomial.

    Seen to catch the trivial roots divided out the wrong way round, a series not doubled.
    """
    expected = [0.48692843, 0.63844796, 1.51262642, 1.70125134]
    np.testing.assert_allclose(line_spectrum.lsf(AR4), expected, atol=1e-8)


@pytest.mark.parametrize("order", [1, 2, 3, 12, 13, 24])
def test_lsf_are_the_roots_of_the_sum_and_difference(frames: np.ndarray, order: int) -> None:
    a = prediction.levinson(direct_lags(frames, order + 1)).a
    for got, poly in zip(line_spectrum.lsf(a), a, strict=True):
        ends = np.r_[poly, 0], np.r_[0, poly[::-1]]
        roots = np.concatenate([np.roots(ends[0] + ends[1]), np.roots(ends[0] - ends[1])])
        angles = np.angle(roots)
        expected = np.sort(angles[(angles > 1e-7) & (angles < np.pi - 1e-7)])
        np.testing.assert_allclose(got, expected, atol=1e-7)


@pytest.mark.parametrize("width", [0.02, 0.002])
def test_lsf_of_sharp_resonances(width: float) -> None:
    """Roots of P closer than the cells of the first grid (0.05 rad), then than those of the second.

    A minimum-phase A made of alternating frequencies: ``A = (P + Q) / 2``. Seen to fail without
    the finer grids.
    """
    expected = np.array([0.603, 0.603 + width, 0.603 + 1.5 * width, 1.6, 2.0, 2.5])
    p, q = np.ones(1), np.ones(1)
    for i, w in enumerate(expected):
        factor = [1.0, -2 * np.cos(w), 1.0]
        p, q = (np.convolve(p, factor), q) if i % 2 == 0 else (p, np.convolve(q, factor))
    a = (np.convolve(p, [1, 1]) + np.convolve(q, [1, -1])) / 2
    got = line_spectrum.lsf(np.stack([a[:-1], np.r_[1, np.zeros(6)]]))
    np.testing.assert_allclose(got[0], expected, atol=1e-9)
    np.testing.assert_allclose(got[1], np.pi * np.arange(1, 7) / 7, atol=1e-12)


def test_lsf_of_flat_and_unstable_models() -> None:
    np.testing.assert_allclose(line_spectrum.lsf([1, 0, 0, 0, 0]), np.pi * np.arange(1, 5) / 5)
    assert np.isnan(line_spectrum.lsf([1.0, -2.0, 1.5])).all()  # poles outside the circle
    assert np.isnan(line_spectrum.lsf([1.0, np.nan, 0.1])).all()


def test_kernels_are_the_plain_versions(frames: np.ndarray) -> None:
    """A full tile and a rest; among them silence, a tone, NaN and what is no autocorrelation.

    Seen to catch a recursion that goes on after it was stopped, a sign in the cepstrum's kernel.
    """
    x = np.random.default_rng(1).standard_normal((130, 400)) * np.hamming(400)
    x[7], x[70], x[129] = 0.0, np.cos(0.3 * np.arange(400)), np.nan
    r = np.ascontiguousarray(direct_lags(x, 13).T)
    r[:, 100] = np.cos(0.3 * np.arange(13))  # perfectly predictable from order 2
    r[:4, 101] = [1.0, 0.5, 1.5, 0.5]  # no autocorrelation: |k| > 1 at order 2, less at order 3
    both = []
    for levinson, lpcc in (
        (prediction._levinson_plain, prediction._lpcc_plain),
        (prediction._levinson_kernel, prediction._lpcc_kernel),
    ):
        model = np.empty((13, 130)), np.empty(130), np.empty((12, 130))
        cepstrum = np.zeros((21, 130))
        with np.errstate(all="ignore"):  # uncompiled, the kernel would warn of 0 / 0
            levinson(r, *model)
            lpcc(model[0], cepstrum)
        both.append((*model, cepstrum))
    assert (both[0][2][1:, 101] == 0).all()
    for plain, compiled in zip(*both, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("order", [1, 2, 3, 12])
def test_lsf_kernel_is_the_plain_version(
    frames: np.ndarray, order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = prediction.levinson(direct_lags(frames, order + 1)).a
    both = []
    for refine in (line_spectrum._refine_plain, line_spectrum._refine_kernel):
        monkeypatch.setattr(line_spectrum, "_refine", refine)
        both.append(line_spectrum.lsf(a))
    np.testing.assert_allclose(*both, atol=1e-12)
