"""Noise power: the definition, convergence, steps, where it begins, silence."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import FeatureError
from serfeat.signal.noise import (
    BIAS,
    LEVEL_S,
    PRESENCE_S,
    Tracker,
    _bin_by_bin,
    _frame_by_frame,
    first_noise,
    noise_psd,
    track,
)
from serfeat.types import Floats

HOP = 0.016


def white(frames: int, bins: int = 257, seed: int = 0) -> Floats:
    """|Y|^2 of white noise of power 1."""
    return np.random.default_rng(seed).exponential(size=(frames, bins))


def db(power: object) -> float:
    return float(10 * np.log10(np.mean(power)))


def test_time_constants_are_the_published_factors() -> None:
    assert np.exp(-HOP / LEVEL_S) == pytest.approx(0.8, abs=1e-3)
    assert np.exp(-HOP / PRESENCE_S) == pytest.approx(0.9, abs=1e-3)


def test_the_definition() -> None:
    """Against Gerkmann and Hendriks' recursion, bin by bin, with a burst that gets stuck.

    Catches p and 1 - p exchanged, PRIOR without the 1, presence that is never limited.
    """
    power = white(120, 3)
    power[40:] *= 1000
    got = noise_psd(power, HOP, initial=np.ones(3), fastest=np.inf) / BIAS
    xi, slow, mean = 10**1.5, np.exp(-HOP / LEVEL_S), np.exp(-HOP / PRESENCE_S)
    for k in range(3):
        noise, presence, stuck = 1.0, 0.5, 0
        for t in range(120):
            y = power[t, k]
            p = 1 / (1 + (1 / 0.5 - 1) * (1 + xi) * np.exp(-y / noise * xi / (1 + xi)))
            presence = mean * presence + (1 - mean) * p
            if presence > 0.99:
                p, stuck = min(p, 0.99), stuck + 1
            noise = slow * noise + (1 - slow) * ((1 - p) * y + p * noise)
            assert got[t, k] == pytest.approx(noise, rel=1e-9)
        assert stuck > 5


def test_white_noise_is_found_without_bias() -> None:
    """Within 0.3 dB from the first frame on; [1] itself ends 1.2 dB lower.

    Catches a missing BIAS, and a beginning that is not looked for."""
    level = noise_psd(white(600), HOP)
    assert db(level) == pytest.approx(0.0, abs=0.3)
    assert db(level[:5]) == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("step", [10.0, -10.0, 6.0])
def test_a_step_is_followed_within_a_second(step: float) -> None:
    power = white(400)
    power[200:] *= 10 ** (step / 10)
    level = noise_psd(power, HOP)
    assert db(level[150:200]) == pytest.approx(0.0, abs=0.5)
    assert db(level[263:]) == pytest.approx(step, abs=0.5)


def test_a_large_step_is_followed_in_the_end() -> None:
    """30 dB: 0.7 s until the bins are stuck, then 30 dB/s. Catches a tracker that never gets up."""
    power = white(500)
    power[100:] *= 1000
    level = noise_psd(power, HOP)
    assert db(level[130]) == pytest.approx(0.0, abs=1.0)
    assert db(level[250:]) == pytest.approx(30.0, abs=1.0)


def test_a_stuck_bin_rises_by_30_db_per_second() -> None:
    """80 dB from the first frame on: lambda stays until 1 - 0.5 * 0.9^n exceeds 0.99, in frame 37.

    Seen to catch a presence of 0.55 to begin with, 33 dB/s, and a power of 10^(1/11).
    """
    level = 10 * np.log10(noise_psd(np.full((80, 1), 1e8), HOP, initial=[1.0])[:, 0] / BIAS)
    presence = 1 - 0.5 * np.exp(-HOP / PRESENCE_S) ** np.arange(1, 81)
    stuck = int(np.argmax(presence > 0.99))
    assert stuck == 37
    np.testing.assert_allclose(level[:stuck], 0, atol=1e-9)
    np.testing.assert_allclose(np.diff(level[stuck - 1 :]), 30 * HOP, atol=1e-9)


def test_the_level_ends_100_db_below_the_loudest_frame() -> None:
    """Below the mean over its bins. Seen to catch -80 dB."""
    power = np.full((600, 2), 1e-14)
    power[0] = [3.0, 1.0]
    np.testing.assert_allclose(noise_psd(power, HOP)[-1], BIAS * 2e-10)


def test_what_the_beginning_is_made_of() -> None:
    """Of two seconds, run backwards from the mean of their quieter tenth; what follows has no part.

    Seen to catch 2.2 s, a presence of 0.55, and 0.11 for the tenth.
    """
    power = np.random.default_rng(0).exponential(size=(200, 5))
    found = first_noise(power, HOP, 1e-12)
    np.testing.assert_array_equal(found.presence, 0.5)
    for frame in (124, 125):
        other = power.copy()
        other[frame] *= 1e-3
        assert np.array_equal(first_noise(other, HOP, 1e-12).level, found.level) == (frame > 124)
    falling = 10.0 ** np.arange(20)[::-1, None]
    start = Tracker(falling[-2:].mean(axis=0), np.full(1, 0.5))
    expected = track(falling[::-1].copy(), HOP, start, 1e-12)[1].level
    np.testing.assert_allclose(first_noise(falling, HOP, 1e-12).level, expected, rtol=1e-12)


def test_the_beginning_is_that_of_the_first_frames() -> None:
    """Noise that is 20 dB louder after a second. Catches running forwards to begin with."""
    power = white(400)
    power[63:] *= 100
    assert db(noise_psd(power, HOP)[:3]) == pytest.approx(0.0, abs=1.0)


def test_speech_is_not_noise() -> None:
    """Bursts of 0.4 s, 40 dB above the noise, from the first frame on: lambda rises by less
    than 1 dB. Catches running forwards from the first frames."""
    power = white(500)
    burst = np.arange(500) // 25 % 2 == 0
    power[burst] *= 1e4
    level = noise_psd(power, HOP)
    assert db(level) == pytest.approx(0.0, abs=1.0)
    assert db(level[:20]) == pytest.approx(0.0, abs=1.0)


def test_a_recording_without_noise_does_not_leap() -> None:
    """1.2 s of sound 60 dB above the floor: [1] leaps up by 30 dB and more, ours rises by 15."""
    power = white(200)
    power[60:135] *= 1e6
    rise = db(noise_psd(power, HOP)[134])
    assert rise < 20
    assert db(noise_psd(power, HOP, fastest=np.inf)[134]) > 40


def test_digital_silence_is_passed_over() -> None:
    """Zeros before, inside and after leave the noise where it is."""
    power = white(200)
    holes = np.insert(power, [0] * 30 + [100] * 30 + [200] * 30, 0.0, axis=0)
    level = noise_psd(holes, HOP)
    assert db(level[:30]) == pytest.approx(0.0, abs=0.7)
    assert np.ptp(level[130:160], axis=0).max() == 0
    np.testing.assert_allclose(level[-1], noise_psd(power, HOP)[-1], rtol=0.2)
    zero = noise_psd(np.zeros((5, 4)), HOP)
    assert (zero > 0).all()
    assert noise_psd(np.zeros((0, 4)), HOP).shape == (0, 4)


def test_gain_does_not_matter() -> None:
    power = white(50, 7)
    np.testing.assert_allclose(noise_psd(1e-8 * power, HOP), 1e-8 * noise_psd(power, HOP))


def test_the_kernel_is_the_reference() -> None:
    """Compiled, uncompiled and in NumPy, with silence and a step in it."""
    power = white(120, 7)
    power[60:] *= 1e4
    power[10:15] = 0
    state = Tracker(np.ones(7), np.full(7, 0.98))
    levels, end = _frame_by_frame(power, state, 0.8, 0.9, 1.1, 1e-10)
    for kernel in (_bin_by_bin, getattr(_bin_by_bin, "py_func", _bin_by_bin)):
        level, presence = np.ones(7), np.full(7, 0.98)
        got = kernel(power, level, presence, 0.8, 0.9, 1.1, 1e-10)
        np.testing.assert_allclose(got, levels, rtol=1e-10)
        np.testing.assert_allclose(level, end.level, rtol=1e-10)
        np.testing.assert_allclose(presence, end.presence, rtol=1e-10)


def test_shape() -> None:
    with pytest.raises(FeatureError, match="frames, bins"):
        noise_psd(np.ones(5), HOP)
