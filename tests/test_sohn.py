"""Sohn's detector: a synthetic timeline in noise, noise alone, the definition, degenerate clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile as sf

from serfeat.demo import sustained
from serfeat.errors import AudioError, FeatureError
from serfeat.shorttime import ShortTime
from serfeat.types import Bools, Floats
from serfeat.vad.sohn import (
    _hang_over,
    _log_likelihood,
    _power,
    sohn_probability,
    sohn_vad,
    speech_probability,
)

SR = 16000

# s, what sounds there
TIMELINE = [
    (0.5, "silence"),
    (0.5, "vowel"),
    (0.3, "fricative"),
    (0.4, "silence"),
    (0.2, "fricative"),
    (0.6, "vowel"),
    (0.5, "silence"),
]


def timeline(sr: int = SR, floor_db: float = -60.0, seed: int = 0) -> tuple[Floats, Bools]:
    """The signal over white noise, and whether there is speech at every sample."""
    rng = np.random.default_rng(seed)
    high = scipy.signal.butter(4, 3000, "high", fs=sr, output="sos")
    vowel = sustained((730.0, 1090.0, 2440.0, 3400.0), f0=120.0, seconds=0.6, sr=sr).x
    vowel = 0.5 * vowel / np.abs(vowel).max()
    parts, speech = [], []
    for seconds, kind in TIMELINE:
        n = int(seconds * sr)
        hiss = 0.1 * scipy.signal.sosfilt(high, rng.standard_normal(n))
        parts.append({"silence": np.zeros(n), "fricative": hiss, "vowel": vowel[:n]}[kind])
        speech.append(np.full(n, kind != "silence"))
    x = np.concatenate(parts)
    return x + 10 ** (floor_db / 20) * rng.standard_normal(len(x)), np.concatenate(speech)


def accuracy(found: Bools, truth: Bools, sr: int = SR) -> float:
    """Of the frames farther than 20 ms from a boundary."""
    hop = round(0.01 * sr)
    at = np.minimum(np.arange(len(found)) * hop, len(truth) - 1)
    edges = np.flatnonzero(np.diff(truth.astype(int)))
    far = np.abs(at[:, None] - edges[None, :]).min(axis=1) > 0.02 * sr
    return float(np.mean(found[far] == truth[at][far]))


@pytest.mark.parametrize("sr", [8000, 16000, 48000])
@pytest.mark.parametrize("floor_db", [-80, -60, -45, -35])
def test_timeline(sr: int, floor_db: float) -> None:
    """At least 97 % of the frames, where `three_way` needs a floor below -45 dB.

    Catches a10 in the place of a01, a likelihood without - log(1 + xi), frames off by two hops."""
    x, truth = timeline(sr, floor_db)
    assert accuracy(sohn_vad(x, sr), truth, sr) >= 0.97


def test_the_fricative_at_ten_decibels() -> None:
    """A floor of -30 dB leaves the fricative 10 dB of SNR and the vowel more: 95 %."""
    assert accuracy(sohn_vad(*timeline(floor_db=-30)[:1], SR), timeline(floor_db=-30)[1]) >= 0.95


def test_white_noise_is_no_speech() -> None:
    """At most 1 frame in 20. Catches a threshold of 0.6: the chain alone gives 2/3."""
    for sr in (8000, 16000, 48000):
        x = 0.1 * np.random.default_rng(1).standard_normal(5 * sr)
        p = sohn_probability(x, sr)
        assert np.mean(p > 0.7) < 0.05
        assert np.median(p) == pytest.approx(2 / 3, abs=0.03)


def test_the_likelihood_of_known_snr() -> None:
    """White noise that grows by 20 dB: the evidence is gamma xi / (1 + xi) - log(1 + xi) with
    gamma = 1 + xi = 100, in the mean over the bins. Catches the sum over the bins."""
    x = 0.001 * np.random.default_rng(0).standard_normal(2 * SR)
    x[SR : SR + SR // 4] *= 10
    evidence = _log_likelihood(_power(ShortTime(x, SR)), 0.01)
    assert np.median(evidence[105:120]) == pytest.approx(99 - np.log(100), rel=0.12)
    assert np.abs(evidence[20:95]).max() < 0.15


def test_half_empty_frames_are_as_loud_as_the_others() -> None:
    """Frames over an edge of the clip: catches a share of the window that is not made up for (half
    the power)."""
    x = 0.1 * np.random.default_rng(0).standard_normal(SR)
    power = _power(ShortTime(x, SR)).mean(axis=1)
    np.testing.assert_allclose(power[[0, -1]] / power.mean(), 1.0, atol=0.25)


def test_hang_over_by_the_forward_algorithm() -> None:
    """The odds are those of the two-state chain, computed with matrices."""
    rng = np.random.default_rng(0)
    evidence = rng.standard_normal(50)
    begin, end = 0.2, 0.1
    got = _hang_over(evidence, np.ones(50, dtype=bool), begin=begin, end=end)
    step = np.array([[1 - begin, begin], [end, 1 - end]])
    state = np.array([1.0, 0.0])
    for t in range(50):
        state = (state @ step) * [1.0, np.exp(evidence[t])]
        state /= state.sum()
        assert got[t] / (1 + got[t]) == pytest.approx(state[1], rel=1e-9)


def test_speech_hangs_over() -> None:
    """After strong evidence five frames without any remain speech, and not ten."""
    evidence = np.zeros(40)
    evidence[10:20] = 3.0
    odds = _hang_over(evidence, np.ones(40, dtype=bool), begin=0.2, end=0.1)
    speech = odds / (1 + odds) > 0.7
    assert not speech[:10].any()
    assert speech[10:24].all()
    assert not speech[30:].any()


@pytest.mark.parametrize("factor", [-1.0, 0.125, 1e-6, 1e140, 1e-140])
def test_gain_and_offset_do_not_matter(factor: float) -> None:
    x, _ = timeline(floor_db=-45)
    p = sohn_probability(x, SR)
    np.testing.assert_allclose(sohn_probability(factor * x, SR), p, atol=1e-6)
    np.testing.assert_allclose(sohn_probability(x + 0.25, SR), p, atol=1e-6)


def test_digital_silence_is_no_speech_and_no_noise() -> None:
    """Zeros around do not make the noise inside an onset for longer than its frames do."""
    x, truth = timeline(floor_db=-45)
    around = np.concatenate([np.zeros(SR), x, np.zeros(SR)])
    found = sohn_vad(around, SR)
    assert not found[:98].any()
    assert not found[-98:].any()
    assert accuracy(found[100 : 101 + len(x) // 160], truth) >= 0.95
    assert (sohn_probability(np.zeros(SR), SR) == 0).all()


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize(
    ("x", "most"),
    [(np.zeros(SR), 0), (np.full(SR, 0.3), 0), (np.zeros(1), 0), (np.ones(1), 0), (IMPULSE, 5)],
    ids=["silence", "offset", "one zero", "one sample", "impulse"],
)
def test_degenerate_clips(x: Floats, most: int) -> None:
    for sr in (4000, 8000, 16000, 48000):
        p = sohn_probability(x, sr)
        assert p.shape == (1 + len(x) // round(0.01 * sr),)
        assert ((p >= 0) & (p <= 1)).all()
        if sr == SR:
            assert np.sum(p > 0.7) <= most


def test_clipping_does_not_crash() -> None:
    assert np.isfinite(sohn_probability(np.clip(9 * timeline()[0], -1, 1), SR)).all()


def test_the_same_on_a_grid() -> None:
    """The function of a signal is that of a `ShortTime`, computed once."""
    x, _ = timeline()
    st = ShortTime(x, SR, 0.005)
    p = speech_probability(st)
    assert p is speech_probability(st)
    np.testing.assert_array_equal(p, sohn_probability(x, SR, hop=0.005))
    np.testing.assert_array_equal(p > 0.5, sohn_vad(x, SR, hop=0.005, threshold=0.5))


def test_errors() -> None:
    with pytest.raises(FeatureError, match="more than the hop"):
        sohn_probability(IMPULSE, SR, silence=0.01)
    with pytest.raises(AudioError):
        sohn_vad(np.zeros(0), SR)


@pytest.mark.corpus
def test_real_speech_between_noise(emodb_root: Path) -> None:
    """Recordings with a second of white noise before and after, 15 dB below them: 80 % of their
    loud frames are speech, 5 % of the noise at most."""
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::97][:6]:
        x, sr = sf.read(file)
        rng = np.random.default_rng(0)
        whole = np.concatenate([np.zeros(sr), x, np.zeros(sr)])
        whole += 10 ** (-15 / 20) * x.std() * rng.standard_normal(len(whole))
        found = sohn_vad(whole, sr)
        power = np.array([np.mean(x[i : i + 160] ** 2) for i in range(0, len(x) - 160, 160)])
        loud = np.flatnonzero(power > 0.1 * power.max()) + sr // 160
        assert np.mean(found[loud]) > 0.8
        assert np.mean(np.concatenate([found[:98], found[-98:]])) < 0.05
