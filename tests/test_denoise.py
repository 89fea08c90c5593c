"""Denoising: reconstruction, noise, speech in noise, clean speech, invariances, degenerate."""

from __future__ import annotations

import inspect
import json
import pickle
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.demo import utterance
from serfeat.denoise import PREPARATIONS, denoise
from serfeat.errors import AudioError, FeatureError, UnknownNameError
from serfeat.shorttime import window
from serfeat.types import Floats
from serfeat.vad import madd

module = import_module("serfeat.denoise")  # the package's name is the function
SR = 16000
GAINS = ("stsa", "log_mmse", "wiener")


def white(seconds: float, seed: int = 0, sr: int = SR) -> Floats:
    return 0.05 * np.random.default_rng(seed).standard_normal(int(seconds * sr))


def level(x: Floats, size: int = 512) -> Floats:
    """dB of successive stretches of 32 ms."""
    whole = x[: len(x) // size * size].reshape(-1, size)
    return 10 * np.log10(np.mean(whole**2, axis=1) + 1e-12)


def segmental_snr(clean: Floats, heard: Floats) -> float:
    """Mean over the stretches within 30 dB of the loudest, each limited to -10 ... 35 dB."""
    loud = level(clean) > level(clean).max() - 30
    return float(np.clip(level(clean) - level(heard - clean), -10, 35)[loud].mean())


def with_noise(x: Floats, snr: float, seed: int = 0) -> Floats:
    noise = white(len(x) / SR + 1, seed)[: len(x)]
    return x + noise * (x.std() / noise.std() * 10 ** (-snr / 20))


@pytest.mark.parametrize("hop", [1, 80, 256, 353])
def test_squares_of_the_window_add_up_to_one(hop: int) -> None:
    weights = np.sqrt(window("hann_periodic", 2 * hop)) ** 2
    np.testing.assert_allclose(weights[:hop] + weights[hop:], 1.0, atol=1e-12)


@pytest.mark.parametrize("sr", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("n", [1, 2, 255, 256, 257, 512, 5000])
def test_without_noise_the_signal_comes_back(sr: int, n: int) -> None:
    """With the noise far below, the gain is 0.999: every sample in its place, and the ends too.

    Catches a shift by one sample or hop, ends that fade, and a window that is applied once.
    """
    rng = np.random.default_rng(n)
    x = rng.standard_normal(n)
    # Noise is what sounds all the time: 0.2 s of a sound 160 dB below make up the first 120 ms.
    x = np.concatenate([1e-8 * rng.standard_normal(sr // 5), x])
    y = denoise(x, sr, noise="initial", gain="wiener", memory=1e-3)
    assert y.shape == x.shape
    np.testing.assert_allclose(y[-n:], x[-n:], atol=2e-3 * np.abs(x).max())


@pytest.mark.parametrize(("gain", "least"), [("stsa", 15), ("log_mmse", 19), ("wiener", 26)])
def test_white_noise_is_attenuated(gain: str, least: float) -> None:
    """By 15 dB or more; measured 15.6, 19.8 and 27.9. Catches a prior SNR with half the memory
    (12.8) and a noise that is 1.2 dB too low (13.5)."""
    x = white(4.0)
    y = denoise(x, SR, gain=gain)  # type: ignore[arg-type]
    assert 20 * np.log10(x.std() / y.std()) >= least
    assert (level(x) - level(y)).min() > least - 7


def test_the_ends_are_treated_as_the_middle() -> None:
    """Attenuation of the first and last 16 ms of 30 clips. Catches zeros beyond the ends in place
    of the reflection: the first is then 6.6 dB quieter than the middle, the last 0.7 dB louder."""
    kept = np.zeros(3)
    for seed in range(30):
        x = white(1.0, seed)
        y = denoise(x, SR)
        parts = (slice(0, 256), slice(8000, 8256), slice(SR - 256, SR))
        kept += [np.sum(y[part] ** 2) for part in parts]
    first, middle, last = 10 * np.log10(kept)
    assert abs(first - middle) < 5
    assert abs(last - middle) < 0.4


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize(("snr", "least"), [(0, 3.0), (10, 1.5)])
def test_segmental_snr_rises(gain: str, snr: float, least: float) -> None:
    """Measured on six utterances: by 5 dB or more at 0 dB, by 2 at 10 dB, in every one of them."""
    for who in ("s1", "s2"):
        for emotion in ("anger", "neutral", "sadness"):
            x = utterance(who, emotion, "t1").x
            noisy = with_noise(x, snr)
            clean = denoise(noisy, SR, gain=gain)  # type: ignore[arg-type]
            assert segmental_snr(x, clean) > segmental_snr(x, noisy) + least


@pytest.mark.parametrize("gain", GAINS)
def test_clean_synthetic_speech_stays(gain: str) -> None:
    """The energy of every utterance changes by less than 0.1 dB, that of a stretch within 30 dB of
    the loudest by less than 0.6 dB in 19 of 20. Catches `fastest` left out (0.8)."""
    changes = []
    for who in ("s1", "s2"):
        for emotion in ("anger", "neutral", "sadness"):
            x = utterance(who, emotion, "t4").x
            y = denoise(x, SR, gain=gain)  # type: ignore[arg-type]
            assert abs(10 * np.log10(np.sum(y**2) / np.sum(x**2))) < 0.1
            loud = level(x) > np.percentile(level(x), 99) - 30
            changes.append((level(y) - level(x))[loud])
    assert np.percentile(np.abs(np.concatenate(changes)), 95) < 0.6


@pytest.mark.corpus
def test_clean_real_speech_stays(emodb_root: Path) -> None:
    """Energy of 20 recordings changed by 0.04 dB (0.25 at most); stretches within 20 dB of the
    loudest by 0.5 dB at most in the median of each. Catches `noise="initial"`: trimmed sentences
    begin with speech."""
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::27]:
        x, sr = sf.read(file)
        y = denoise(x, sr)
        assert abs(10 * np.log10(np.sum(y**2) / np.sum(x**2))) < 0.5
        change = (level(y) - level(x))[level(x) > np.percentile(level(x), 99) - 20]
        assert abs(np.median(change)) < 0.5


def test_louder_noise_is_followed() -> None:
    """+10 dB in the middle: attenuated as before after a second."""
    x = white(6.0)
    x[3 * SR :] *= 10**0.5
    y = denoise(x, SR)
    assert np.mean((level(x) - level(y))[4 * SR // 512 :]) > 12


def test_a_held_tone_is_noise_and_a_short_one_is_not() -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * SR) / SR)
    assert np.abs(denoise(tone, SR)[SR // 5 : -SR // 5]).max() < 0.3 * 10 ** (-20 / 20)
    short = white(2.0) * 0.01
    short[SR : SR + SR // 4] += tone[: SR // 4]
    middle = slice(SR + 1000, SR + SR // 4 - 1000)
    np.testing.assert_allclose(denoise(short, SR)[middle], short[middle], atol=0.01)


@pytest.mark.parametrize("factor", [-1.0, 0.125, 3.7, 1e-6, 1e140, 1e-140])
def test_gain_does_not_matter(factor: float) -> None:
    """Catches an absolute floor of the noise."""
    x = with_noise(utterance("s1", "neutral", "t1").x, 10.0)
    np.testing.assert_allclose(
        denoise(factor * x, SR) / factor, denoise(x, SR), atol=1e-9 * np.abs(x).max()
    )


def test_other_sample_rates() -> None:
    for sr in (8000, 22050, 48000):
        x = white(3.0, sr=sr)
        assert 20 * np.log10(x.std() / denoise(x, sr).std()) > 14.5


def test_silence_stays_silence() -> None:
    for n in (1, 2, 100, SR):
        y = denoise(np.zeros(n), SR)
        assert y.shape == (n,)
        assert not y.any()
    x = np.concatenate([np.zeros(SR), utterance("s2", "anger", "t1").x, np.zeros(SR)])
    y = denoise(x, SR)
    assert not y[: SR - 512].any()
    assert not y[-SR + 512 :].any()


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize("noise", ["mmse", "initial"])
@pytest.mark.parametrize(
    "x",
    [np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(2), np.clip(9 * white(0.3), -0.2, 0.2)],
    ids=["offset", "impulse", "one sample", "two samples", "clipped"],
)
def test_degenerate_clips(x: Floats, noise: str) -> None:
    for sr in (8000, 16000, 48000):
        y = denoise(x, sr, noise=noise)  # type: ignore[arg-type]
        assert y.shape == x.shape
        assert np.isfinite(y).all()
        assert np.abs(y).max() <= 3 * np.abs(x).max()


def test_longer_than_a_block() -> None:
    """The first seconds are the same whatever follows (after the two that are looked ahead)."""
    x = with_noise(np.tile(utterance("s1", "neutral", "t1").x, 6)[: 10 * SR], 10.0)
    short = denoise(x[: 5 * SR], SR) * 1.0
    long = denoise(np.concatenate([x, np.zeros(SR)]), SR)
    scale = np.abs(x).max()
    np.testing.assert_allclose(short[: 4 * SR], long[: 4 * SR], atol=1e-6 * scale)


@pytest.mark.parametrize("gain", GAINS)
def test_two_seconds_are_looked_at_to_begin_with(gain: str, monkeypatch) -> None:
    """Whatever the size of a block. Seen to fail: it was the first block, of 1.02 s.

    A held sound of 1.1 s then counted as noise, and was 23 dB quieter afterwards.
    """
    t = np.arange(4 * SR) / SR
    held = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 20))
    x = 0.1 * held * ((t < 1.1) | (t > 2.2)) + 0.1 * white(4.0)
    found = denoise(x, SR, gain=gain)
    for block in (16, 200):
        monkeypatch.setattr("serfeat.denoise.BLOCK", block)
        np.testing.assert_allclose(denoise(x, SR, gain=gain), found, rtol=0, atol=1e-12)


def test_windows_and_what_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 32 ms every 16, up to the first that is centred behind the clip; two seconds to
    begin with, or 120 ms with noise="initial". A bin's noise is at least 1e-10 of what white noise
    of power 1 has there, which is the sum of the window's squares: 256.

    Seen to catch windows of two thirds, a frame more, one second, 132 ms, and the window's cubes.
    """
    sizes, looked = [], []
    window, first = module.window, module.first_noise
    monkeypatch.setattr(module, "window", lambda name, n: sizes.append(n) or window(name, n))
    monkeypatch.setattr(
        module, "first_noise", lambda p, *a: looked.append((len(p), a[1])) or first(p, *a)
    )
    denoise(white(4.0), SR)
    denoise(white(1.0), SR)
    assert sizes == [512, 512]
    np.testing.assert_allclose(looked, [(125, 256e-10), (64, 256e-10)])
    power = np.random.default_rng(0).exponential(size=(40, 3))
    settings = module._Settings(0.010, "stsa", "initial", 1.0, -25.0, 30.0)
    level = module._first_noise(power, 1e-12, settings).level
    np.testing.assert_allclose(level, power[:12].mean(axis=0))


def test_errors() -> None:
    for wrong in (np.zeros((2, 5)), np.zeros(0), np.array([0.0, np.nan])):
        with pytest.raises(AudioError, match="finite samples"):
            denoise(wrong, SR)
    with pytest.raises(UnknownNameError, match="did you mean 'stsa'"):
        denoise(IMPULSE, SR, gain="stsaa")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="noise estimate"):
        denoise(IMPULSE, SR, noise="other")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="two samples"):
        denoise(IMPULSE, SR, length=1e-5)


@pytest.mark.parametrize("name", sorted(PREPARATIONS))
def test_preparations_keep_time(name: str) -> None:
    """Same length, another signal, and they can be sent to a worker."""
    step = PREPARATIONS[name]
    assert step.name == name
    assert step.summary
    assert step.source
    x = np.concatenate([1e-4 * white(0.5), utterance("s1", "anger", "t1").x])
    y = step.apply(x, SR)
    assert y.shape == x.shape
    assert (y != x).any()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(step)).apply(x, SR), y)
    assert np.corrcoef(x, y)[0, 1] > 0.99


def test_the_provenance_tells_every_setting() -> None:
    """Of the very function that is applied; MADD's are those of `madd`."""
    mmse = PREPARATIONS["mmse"].record
    assert mmse["gain"] == "stsa"
    assert (mmse["noise"], mmse["length"]) == ("mmse", 0.032)
    usual = inspect.signature(madd).parameters.values()
    expected = {p.name: p.default for p in usual if p.default is not p.empty}
    assert PREPARATIONS["madd"].record == {"name": "madd", "version": 2, **expected}
    json.dumps([p.record for p in PREPARATIONS.values()])
