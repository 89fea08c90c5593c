"""Transforms side by side against SciPy's, one frame at a time."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from serfeat.jit import COMPILED
from serfeat.lanes import WIDTH
from serfeat.shorttime import cut_frames
from serfeat.transform import autocorrelations, can_transform, fast_points, power_spectra
from serfeat.types import Floats, Ints, Reals

pytestmark = pytest.mark.skipif(not COMPILED, reason="kernels are not compiled")

# Every radix, alone and beside the others; even and odd numbers of pairs; window as long as n.
SIZES = [2, 4, 6, 10, 18, 30, 54, 90, 96, 250, 256, 486, 512, 864, 900, 1000, 1024, 2048]


def clip(frames: int, length: int) -> tuple[Floats, Ints, Floats, Floats]:
    """A signal whose level falls by 120 dB, starts inside and outside of it, window, means."""
    rng = np.random.default_rng(frames + length)
    x = rng.standard_normal(3000) * np.logspace(0, -6, 3000)
    starts = rng.integers(-length - 5, 3005, frames)
    return x, starts, rng.uniform(0.1, 1, length), 1e-3 * rng.standard_normal(frames)


def emphasised(frames: Reals, a: float) -> Reals:
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    return frames - a * before


def test_fast_points_are_those_of_scipy() -> None:
    """The smallest of all: SciPy's next fast length of half as many, doubled.

    Seen to catch a search that begins two points later.
    """
    found = [fast_points(n) for n in range(1, 3000)]
    assert found == [2 * scipy.fft.next_fast_len(-(-n // 2), real=True) for n in range(1, 3000)]


@pytest.mark.parametrize("points", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("f8", 1e-13), ("f4", 2e-6)])
def test_power_is_that_of_scipy(points: int, dtype: str, tolerance: float) -> None:
    """Catches a wrong root in any butterfly, twists of the wrong pass, a lost last bin."""
    length = max(1, points - points // 5)
    x, starts, weights, _ = clip(21, length)
    frames = np.zeros((21, length))
    cut_frames(x, starts, np.ones(length), frames)
    for a in (0.0, 0.97):
        expected = np.abs(scipy.fft.rfft(emphasised(frames, a) * weights, points, axis=1)) ** 2
        out = np.full((21, points // 2 + 1), np.nan, dtype=dtype)
        power_spectra(x, starts, weights, points, out, preemphasis=a)
        assert (np.abs(out - expected).max(axis=1) <= tolerance * expected.max(axis=1)).all()
    mean = np.linspace(-2, 2, 21)
    cut_frames(x, starts, weights, frames, mean)
    expected = np.abs(scipy.fft.rfft(frames, points, axis=1)) ** 2
    power_spectra(x, starts, weights, points, out, mean=mean)
    assert (np.abs(out - expected).max(axis=1) <= tolerance * expected.max(axis=1)).all()
    power_spectra(x, starts, weights, points, out, preemphasis=0.97)
    few = np.full((21, 1 + points // 4), np.nan, dtype=dtype)
    power_spectra(x, starts, weights, points, few, preemphasis=0.97)
    np.testing.assert_array_equal(few, out[:, : 1 + points // 4])


def test_small_bins_beside_large_ones_keep_their_digits() -> None:
    """Catches powers made as sum and difference: the bin at n/2 - k would lose what k has more."""
    t = np.arange(512)
    x = np.cos(2 * np.pi * 20 * t / 512) + 1e-5 * np.cos(2 * np.pi * 236 * t / 512)
    out = np.empty((1, 257))
    power_spectra(x, np.array([0]), np.ones(512), 512, out)
    np.testing.assert_allclose(out[0, [20, 236]], [256**2, 1e-10 * 256**2], rtol=1e-9)


@pytest.mark.parametrize("points", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("f8", 1e-13), ("f4", 1e-6)])
def test_autocorrelation_is_the_sum_of_products(points: int, dtype: str, tolerance: float) -> None:
    """Against the definition, circular; catches even and odd lags exchanged, a sign, the mean."""
    length = max(1, points - points // 3)
    x, starts, weights, mean = clip(19, length)
    frames = np.zeros((19, points))
    cut_frames(x, starts, weights, frames[:, :length], mean)
    expected = np.stack(
        [np.einsum("tn,tn->t", frames, np.roll(frames, -k, axis=1)) for k in range(points)], axis=1
    )
    for n_lags in {points, points // 2 + 1, 1}:
        out = np.full((19, n_lags), np.nan, dtype=dtype)
        autocorrelations(x, starts, weights, mean, points, out)
        loud = expected[:, 0] > 0
        r = expected[loud] / expected[loud, :1]
        assert np.abs(out[loud] / out[loud, :1] - r[:, :n_lags]).max() < tolerance
        np.testing.assert_array_equal(out[~loud], 0)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_same_bits_in_any_lane_and_any_company(dtype: str) -> None:
    """Catches sums across lanes, and rests of the frames that were there before."""
    width = WIDTH[np.dtype(dtype).itemsize]
    x, starts, weights, mean = clip(3 * width + 1, 400)
    whole = np.empty((len(starts), 257), dtype=dtype), np.empty((len(starts), 130), dtype=dtype)
    power_spectra(x, starts, weights, 512, whole[0], preemphasis=0.97)
    autocorrelations(x, starts, weights, mean, 512, whole[1])
    for some in (np.arange(5), np.arange(width), np.arange(len(starts))[::-3], np.array([7])):
        part = np.empty((len(some), 257), dtype=dtype), np.empty((len(some), 130), dtype=dtype)
        power_spectra(x, starts[some], weights, 512, part[0], preemphasis=0.97)
        autocorrelations(x, starts[some], weights, mean[some], 512, part[1])
        np.testing.assert_array_equal(part[0], whole[0][some])
        np.testing.assert_array_equal(part[1], whole[1][some])


def test_no_frames_and_which_sizes() -> None:
    power_spectra(np.ones(9), np.zeros(0, dtype=np.int64), np.ones(4), 4, np.empty((0, 3)))
    assert all(can_transform(n) for n in SIZES)
    assert not any(can_transform(n) for n in (0, 1, 9, 14, 15, 22, 450 * 7))
