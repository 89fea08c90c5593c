"""Versions of a clip: what they change, what they leave, and that they are always the same."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.augment import Version, stretched
from serfeat.errors import FeatureError, UnknownNameError
from serfeat.lld.f0 import f0

SR = 16_000


def _voice(hz=150.0, seconds=1.0):
    """A buzz of 20 harmonics."""
    t = np.arange(round(seconds * SR)) / SR
    return 0.05 * sum(np.cos(2 * np.pi * k * hz * t) for k in range(1, 21))


def _pitch(x):
    contour = f0(x, SR)
    return float(np.nanmedian(contour[10:-10]))


@pytest.mark.parametrize("pink", [False, True])
@pytest.mark.parametrize("snr", [0.0, 12.5])
def test_noise_has_the_snr_and_the_colour_that_were_asked_for(snr, pink):
    """Closed form. Caught: amplitude in place of power, the mean counted as speech, no colour."""
    x = _voice() + 0.3
    y = Version(noise=(snr, snr), pink=pink)(x, SR)
    noise = y - x
    assert 10 * np.log10(np.var(x) / np.mean(noise**2)) == pytest.approx(snr, abs=1e-9)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    low, high = spectrum[100:200].mean(), spectrum[1600:3200].mean()
    assert low / high == pytest.approx(16 if pink else 1, rel=0.35)


def test_speed_changes_duration_and_pitch_together():
    x = _voice()
    y = Version(speed=(1.25, 1.25))(x, SR)
    assert len(y) == pytest.approx(len(x) / 1.25, abs=2)
    assert _pitch(y) == pytest.approx(150 * 1.25, rel=1e-3)


@pytest.mark.parametrize("semitones", [-4.0, 3.0])
def test_pitch_changes_alone(semitones):
    """Caught: the factor turned round, the stretch left out."""
    x = _voice()
    y = Version(pitch=(semitones, semitones))(x, SR)
    assert len(y) == len(x)
    assert _pitch(y) == pytest.approx(150 * 2 ** (semitones / 12), rel=5e-3)
    assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(x**2)), rel=0.1)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.3])
def test_stretching_keeps_the_pitch_and_the_place_of_things(factor):
    """A burst in the middle stays in the middle. Caught: segments taken from the end."""
    x = _voice() * np.where(np.arange(SR) < SR // 2, 1.0, 0.2)
    y = stretched(x, SR, round(len(x) * factor))
    assert len(y) == round(len(x) * factor)
    assert _pitch(y) == pytest.approx(150, rel=5e-3)
    level = np.abs(y)
    half = len(y) // 2
    assert level[: half - 800].mean() / level[half + 800 :].mean() == pytest.approx(5, rel=0.1)
    if factor == 1.0:
        np.testing.assert_allclose(y[500:-500], x[500:-500], atol=1e-9)


def test_a_version_is_always_the_same_and_others_differ():
    x = _voice() + 1e-3 * np.random.default_rng(0).standard_normal(SR)
    version = Version(1, noise=(5, 20), speed=(0.9, 1.1), pitch=(-2, 2))
    assert np.array_equal(version(x, SR), version(x.copy(), SR))
    other = Version(2, noise=(5, 20), speed=(0.9, 1.1), pitch=(-2, 2))
    lengths = {len(version(x, SR)), len(other(x, SR)), len(version(x[:-7], SR))}
    assert len(lengths) == 3
    assert Version()(x, SR) is x
    # Another clip gets other noise, not only noise of another level.
    hiss = Version(noise=(0, 0))
    assert abs(np.corrcoef(hiss(x, SR) - x, hiss(0.9 * x, SR) - 0.9 * x)[0, 1]) < 0.1


@pytest.mark.parametrize("n", [1, 10, 479, 500])
def test_short_and_silent_clips(n):
    for x in (np.zeros(n), np.ones(n), np.random.default_rng(0).standard_normal(n)):
        y = Version(noise=(10, 10), speed=(1.1, 1.1), pitch=(2, 2))(x, SR)
        assert np.isfinite(y).all()


def test_strange_settings():
    assert Version.of({"noise": [5, 20], "number": 3}) == Version(3, noise=(5, 20))
    with pytest.raises(UnknownNameError, match="did you mean 'speed'"):
        Version.of({"sped": [1, 1]})
    for wrong in ([1.2, 0.9], [1.0], 1.1, [0.1, 1.0], ["a", "b"]):
        with pytest.raises(FeatureError, match=r"speed is .*expected \[least, most\]"):
            Version.of({"speed": wrong})
