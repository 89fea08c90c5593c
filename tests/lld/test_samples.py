"""The waveform as frames: nothing is lost, nothing is moved."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import FeatureError
from serfeat.lld.samples import DESCRIPTORS, samples
from serfeat.shorttime import ShortTime

SR = 16_000


@pytest.mark.parametrize("n", [1, 2, 159, 160, 161, 320, 1599, 16_000])
def test_put_together_the_frames_are_the_waveform(n: int) -> None:
    """Exactly; catches centred frames, a lost last frame, and a mean that is taken away."""
    x = np.random.default_rng(n).standard_normal(n) + 0.5
    frames = samples(x, SR)
    assert frames.shape == (1 + n // 160, 160)
    flat = frames.reshape(-1)
    np.testing.assert_array_equal(flat[:n], x)
    assert not flat[n:].any()


def test_a_frame_begins_at_its_place_on_the_grid() -> None:
    """Sample i * hop is the first column of frame i; catches a transposition."""
    frames = samples(np.arange(1000.0), SR)
    np.testing.assert_array_equal(frames[3], np.arange(480.0, 640.0))
    np.testing.assert_array_equal(frames[:6, 0], 160.0 * np.arange(6))
    np.testing.assert_array_equal(frames[6, 40:], 0)


def test_digital_silence_stays_exactly_zero() -> None:
    """What MADD marks as silent is 0 in the frames, also in single precision."""
    x = np.full(800, 1e-6)
    x[200:500] = 0
    flat = samples(x, SR).astype(np.float32).reshape(-1)
    assert np.flatnonzero(flat == 0).tolist() == [*range(200, 500), *range(800, 960)]


@pytest.mark.parametrize(("sr", "hop"), [(8000, 0.02), (44_100, 0.01), (16_000, 0.02)])
def test_other_rates_and_hops_are_refused(sr: int, hop: float) -> None:
    """Also 8 kHz with 20 ms, which has 160 samples a frame as well."""
    with pytest.raises(FeatureError, match=rf"{round(hop * sr)} samples at {sr} Hz.*16 kHz") as bad:
        samples(np.zeros(1000), sr, hop=hop)
    assert "\n" not in str(bad.value)


def test_descriptor() -> None:
    (descriptor,) = DESCRIPTORS
    x = np.random.default_rng(0).standard_normal(1000)
    x.flags.writeable = False
    np.testing.assert_array_equal(descriptor(ShortTime(x, SR)), samples(x, SR))
    assert descriptor.columns[0] == "sample_1"
    assert descriptor.columns[-1] == "sample_160"
    assert len(descriptor.columns) == 160
