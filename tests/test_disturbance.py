"""Levels, noise, rooms and lines: closed forms, another implementation, invariance, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from serfeat.augment import hiss
from serfeat.conditions.disturbance import (
    active_level,
    at_snr,
    babble,
    clipped,
    reverberated,
    room,
    telephone,
)
from serfeat.errors import FeatureError

SR = 16_000


def tone(hz: float = 200.0, seconds: float = 2.0, amplitude: float = 0.3) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * SR)) / SR)


def burst(n_on: int, n: int) -> np.ndarray:
    """Noise that is on for the first n_on samples of n."""
    x = np.random.default_rng(3).standard_normal(n)
    return np.asarray(x * (np.arange(n) < n_on))


def db(x: float) -> float:
    return float(20 * np.log10(x))


# --- level -----------------------------------------------------------------------------------


def p56_sample_by_sample(x: np.ndarray, sr: int) -> tuple[float, float]:
    """ITU-T P.56, method B, written again as the text has it: a loop, counters and a search."""
    x = x - x.mean()
    g, hang = np.exp(-1 / (0.03 * sr)), round(0.2 * sr)
    p = q = 0.0
    envelope = np.empty(len(x))
    for i, v in enumerate(x):
        p = g * p + (1 - g) * abs(v)
        q = g * q + (1 - g) * p
        envelope[i] = q

    def level_above(c: float) -> tuple[float, int]:
        active, since = 0, hang + 1
        for v in envelope:
            since = 0 if v >= c else since + 1
            active += since <= hang
        return 10 * np.log10(float(x @ x) / max(active, 1)), active

    low, high = -120.0, db(envelope.max())
    for _ in range(60):  # bisection on a continuous threshold, where ours goes in steps of 6 dB
        middle = (low + high) / 2
        level, active = level_above(10 ** (middle / 20))
        low, high = (middle, high) if level - middle > 15.9 else (low, middle)
    return level, active / len(x)


def test_level_of_a_tone_is_its_rms() -> None:
    """A/sqrt(2), active throughout, but for the 30 ms in which the envelope rises.

    Meant to catch: the mean counted as speech, power in place of amplitude.
    """
    level = active_level(tone(seconds=10.0) + 0.5, SR)
    assert db(level.rms) == pytest.approx(db(0.3 / np.sqrt(2)), abs=0.05)
    assert level.activity == pytest.approx(1.0, abs=0.01)


def test_level_does_not_see_pauses() -> None:
    """One second of noise in one, two and eight: the level is that of the second.

    The hangover of 0.2 s and the fall of the envelope count as speech, which lowers it by
    10 log10(1.3) = 1.2 dB at most; the RMS of the whole falls by 9 dB. Seen to
    catch: no hangover. Meant to: the RMS, an envelope without its second smoothing.
    """
    x = burst(SR, 8 * SR)
    levels = [active_level(x[: k * SR], SR) for k in (1, 2, 8)]
    for level, share in zip(levels[1:], (2, 8), strict=True):
        assert 0.6 < db(levels[0].rms) - db(level.rms) < 1.2
        assert 1.15 / share < level.activity < 1.35 / share
    assert db(levels[1].rms) == pytest.approx(db(levels[2].rms), abs=0.1)


def test_level_against_the_recommendation_written_again() -> None:
    """Within 0.4 dB (steps of 6 dB with interpolation, as the recommendation allows: 0.5)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(SR) * np.repeat(rng.random(20) ** 3, SR // 20)
    level = active_level(x, SR)
    theirs, activity = p56_sample_by_sample(x, SR)
    assert db(level.rms) == pytest.approx(theirs, abs=0.4)
    assert level.activity == pytest.approx(activity, abs=0.08)


def test_level_follows_the_gain_alone() -> None:
    x = burst(SR // 2, SR)
    one = active_level(x, SR)
    for gain in (1e-4, 0.3, 50.0):
        other = active_level(gain * x, SR)
        assert other.rms == pytest.approx(gain * one.rms, rel=1e-9)
        assert other.activity == pytest.approx(one.activity)
    for nothing in (np.zeros(SR), np.full(SR, 0.2), np.zeros(0)):
        assert active_level(nothing, SR) == (0.0, 0.0)
    for n in (1, 2, 30):  # shorter than the envelope: a number, and no warning
        assert 0 <= active_level(np.arange(n) ** 2.0, SR).activity <= 1


@pytest.mark.parametrize("snr", [-5.0, 0.0, 12.34])
def test_noise_lies_where_it_was_asked_for(snr: float) -> None:
    """To 1e-9 dB. Seen to catch: power for amplitude. Meant to: the sign."""
    noise = at_snr(np.random.default_rng(0).standard_normal(SR), 0.25, snr)
    assert db(0.25) - db(float(np.sqrt(np.mean(noise**2)))) == pytest.approx(snr, abs=1e-9)
    assert not at_snr(np.zeros(5), 1.0, 0.0).any()


@pytest.mark.parametrize(("pink", "slope"), [(False, 0.0), (True, -10.0)])
def test_colour_of_noise(pink: bool, slope: float) -> None:
    """dB per decade of the spectral density between 50 and 5000 Hz, by SciPy's Welch.

    Meant to catch: amplitude falling with 1/f (-20 dB).
    """
    x = hiss(60 * SR, np.random.default_rng(1), pink=pink)
    f, density = welch(x, SR, nperseg=8192)
    band = (f > 50) & (f < 5000)
    fitted = np.polyfit(np.log10(f[band]), 10 * np.log10(density[band]), 1)[0]
    assert fitted == pytest.approx(slope, abs=0.3)
    assert len(hiss(0, np.random.default_rng(1), pink=pink)) == 0


# --- babble ----------------------------------------------------------------------------------


def test_voices_are_at_one_level() -> None:
    """A loud, a soft and a silent one: each part of the sum has active level 1.

    Meant to catch: voices added as they are; the beginning not drawn.
    """
    voices = [tone(200), tone(700, amplitude=1e-3), np.zeros(SR)]
    total = babble(voices, SR, 2 * SR, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(total)) / SR
    assert spectrum[2 * 200] == pytest.approx(np.sqrt(2), rel=0.01)
    assert spectrum[2 * 700] == pytest.approx(np.sqrt(2), rel=0.01)
    other = babble(voices, SR, 2 * SR, np.random.default_rng(1))
    assert not np.allclose(total, other)


def test_short_voices_are_repeated() -> None:
    x = burst(SR, SR)
    total = babble([x], SR, 3 * SR + 7, np.random.default_rng(0))
    assert len(total) == 3 * SR + 7
    np.testing.assert_allclose(total[:SR], total[SR : 2 * SR])
    assert len(babble([x], SR, 0, np.random.default_rng(0))) == 0
    assert not babble([], SR, 5, np.random.default_rng(0)).any()


# --- rooms -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rt60", [0.2, 0.5, 1.2])
@pytest.mark.parametrize("seed", range(5))
def test_reverberation_time_by_schroeder(rt60: float, seed: int) -> None:
    """T30 of the backward-integrated tail is the time asked for, within 5 %.

    Seen to catch: amplitude for energy (half the time). Meant to: e-folding for 60 dB.
    """
    tail = room(SR, rt60, 0.0, np.random.default_rng(seed))[1:]
    energy = np.cumsum(tail[::-1] ** 2)[::-1]
    level = 10 * np.log10(energy / energy[0])
    part = np.flatnonzero((level < -5) & (level > -35))
    slope = np.polyfit(part / SR, level[part], 1)[0]
    assert -60 / slope == pytest.approx(rt60, rel=0.05)


@pytest.mark.parametrize("drr", [-5.0, 0.0, 10.0])
def test_direct_sound_over_reverberation(drr: float) -> None:
    h = room(SR, 0.4, drr, np.random.default_rng(0))
    assert h[0] == 1.0
    assert not h[1:40].any()
    assert -10 * np.log10(np.sum(h[1:] ** 2)) == pytest.approx(drr, abs=1e-9)


def test_a_room_keeps_time() -> None:
    """Convolution against NumPy's; silence until the click. Seen to catch: a shifted cut."""
    h = room(SR, 0.1, 3.0, np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal(3000)
    y = reverberated(x, h)
    np.testing.assert_allclose(y, np.convolve(x, h)[:3000], atol=1e-10)
    click = np.zeros(3000)
    click[1000] = 1.0
    np.testing.assert_allclose(reverberated(click, h)[:1000], 0, atol=1e-12)
    assert reverberated(click, h)[1000] == pytest.approx(1.0)
    for wrong in (0.0, -1.0, 20.0, float("nan")):
        with pytest.raises(FeatureError, match=r"expected 0\.05 to 10"):
            room(SR, wrong, 0.0, np.random.default_rng(0))


# --- lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sr", [8_000, 16_000, 44_100])
def test_telephone_band(sr: int) -> None:
    """0 dB at 1 kHz, -6 dB at the edges, nothing below and beyond; in time.

    Seen to catch: one direction of the filter only. Meant to: other edges.
    """
    t = np.arange(2 * sr) / sr

    def through(hz: float) -> float:
        y = telephone(np.sin(2 * np.pi * hz * t), sr)[sr // 2 : -sr // 2]
        return db(max(float(np.sqrt(2 * np.mean(y**2))), 1e-9))

    assert through(1000) == pytest.approx(0.0, abs=0.05)
    assert through(300) == pytest.approx(-6.0, abs=0.2)
    assert through(3400) == pytest.approx(-6.0, abs=0.2)
    assert through(75) < -60
    assert through(3900) < -50
    x = np.sin(2 * np.pi * 1000 * t) * np.hanning(len(t))
    np.testing.assert_allclose(telephone(x, sr), x, atol=0.02)


def test_mu_law() -> None:
    """256 levels; 37 to 38 dB over the noise, nearly whatever the level: that is what it is for.

    A uniform quantiser of 8 bits has 29 dB at -20 dB re full scale. Meant to catch: no
    compression; MU of another law.
    """
    for gain in (0.5, 0.05):
        x = gain * tone(1000, amplitude=1.0)
        noise = telephone(x, SR, mu_law=True) - telephone(x, SR)
        assert 33 < db(gain / np.sqrt(2)) - db(float(noise.std())) < 41
    loud = telephone(3 * tone(1000, amplitude=1.0), SR, mu_law=True)
    assert np.abs(loud).max() < 1.6  # limited, but for the overshoot of the resampler


@pytest.mark.parametrize("n", [0, 1, 7, 100])
def test_short_clips_on_the_telephone(n: int) -> None:
    x = np.random.default_rng(0).standard_normal(n)
    for mu_law in (False, True):
        y = telephone(x, SR, mu_law=mu_law)
        assert y.shape == (n,)
        assert np.isfinite(y).all()
    with pytest.raises(FeatureError, match="needs 8000 Hz, not 6000"):
        telephone(x, 6000)


def test_clipping() -> None:
    """A ramp -1..1 with 10 % clipped stops at 0.9. Meant to catch: one side only."""
    x = np.linspace(-1, 1, 20_001)
    y = clipped(x, 0.1)
    assert (y.min(), y.max()) == pytest.approx((-0.9, 0.9), abs=1e-4)
    assert np.mean(np.abs(y) >= y.max()) == pytest.approx(0.1, abs=1e-3)
    np.testing.assert_array_equal(clipped(x, 0.0), x)
    assert len(clipped(np.zeros(0), 0.5)) == 0
