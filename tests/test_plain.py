"""Where nothing is compiled: the NumPy versions of the kernels give what the kernels give.

Every test calls both in one process. "Seen to catch" names the change to the NumPy version that
made the test fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import serfeat.signal.pitch as kernels
from serfeat.jit import COMPILED
from serfeat.shorttime import ShortTime, cut_frames
from serfeat.signal import pitch_plain, prediction, roots
from serfeat.signal.pitch import interpolation_table, pitch, tabled_peak
from serfeat.signal.resonances import resonances
from serfeat.types import Floats

# By name: `serfeat.lld` exports functions that are called as their modules are.
hnr = import_module("serfeat.lld.hnr")
formants = import_module("serfeat.lld.formants")
energy = import_module("serfeat.lld.energy")

SR = 16_000
pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled: the plain versions run")


def speechlike(seconds: float = 1.0, seed: int = 0) -> Floats:
    """A gliding voice that fades, with noise: voiced, unvoiced and nearly silent frames."""
    rng = np.random.default_rng(seed)
    n = np.arange(int(seconds * SR))
    phase = 2 * np.pi * np.cumsum(110 * 2 ** (n / len(n))) / SR
    x = sum(h**-1.5 * np.cos(h * phase + h * h) for h in range(1, 25))
    return np.asarray(0.2 * x * np.geomspace(1, 1e-3, len(n)) + 1e-3 * rng.standard_normal(len(n)))


@pytest.mark.parametrize("starts", [[-700, -320, -3, 0], [7900, 350, 0, 8100], [-9000], []])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_frames(starts: list[int], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, over the ends of the clip and beyond. Seen to catch: a mean that is taken away
    from the zeros as well, a clip that begins a sample late.
    """
    x, weights = speechlike(0.5), np.hanning(640)
    mean = np.linspace(0.1, 0.2, len(starts))
    both = []
    for compiled in (True, False):
        monkeypatch.setattr("serfeat.shorttime.COMPILED", compiled)
        out = np.full((2, len(starts), 700), 7.0).astype(kind)
        cut_frames(x, np.array(starts, dtype=np.int64), weights, out[0], mean)
        cut_frames(x, np.array(starts, dtype=np.int64), weights, out[1])
        both.append(out)
    np.testing.assert_array_equal(both[1], both[0])


def test_spectra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to catch: pre-emphasis with the sample that is already emphasised, a first sample that
    is left as it is.
    """
    both = []
    for compiled in (True, False):
        monkeypatch.setattr("serfeat.shorttime.COMPILED", compiled)
        both.append(ShortTime(speechlike(0.5), SR).power(400, preemphasis=0.97))
    np.testing.assert_allclose(both[1], both[0], rtol=1e-9, atol=1e-18)


@pytest.mark.parametrize("samples", [1, 100, 700, 8000])
def test_levels(samples: int) -> None:
    """Clips shorter than a window too. Seen to catch: zeros beyond the clip counted in the mean,
    a window that begins a sample late.
    """
    x = speechlike()[:samples]
    n, weights = 1 + samples // 160, np.hanning(640)
    mean = pitch_plain.local_means(x, 160, 213, n)
    np.testing.assert_allclose(mean, kernels._local_means(x, 160, 213, n), rtol=1e-9, atol=1e-16)
    for enough in (0.05, 1.0):
        peak = pitch_plain.peaks(x, 160, mean, weights, 107, enough)
        found = kernels._peaks(x, 160, mean, weights, 107, enough)
        np.testing.assert_allclose(peak, found, rtol=1e-12)
        assert peak.max() <= enough


def test_maxima_between_the_samples() -> None:
    """First guesses up to 1.5 samples off, and troughs. Seen to catch: two turns in place of
    four, a limit of two samples, no step along the table, a third place one sample early.
    """
    rng = np.random.default_rng(0)
    depth, k = 24, np.arange(-24, 130)
    lag = rng.uniform(40, 80, 400)
    y = np.cos(2 * np.pi * k / lag[:, None]) + 0.3 * np.cos(6 * np.pi * k / lag[:, None])
    y[300:] *= -1  # a trough
    y[390:] = 1.0  # flat
    guess = lag + rng.uniform(-1.5, 1.5, 400)
    table = interpolation_table(depth)
    places, values = pitch_plain.tabled_peaks(y, np.arange(400), table, guess)
    expected = np.array([tabled_peak(row, table, x) for row, x in zip(y, guess, strict=True)])
    np.testing.assert_allclose(places, expected[:, 0], rtol=1e-9)
    np.testing.assert_allclose(values, expected[:, 1], rtol=1e-9)


def autocorrelations() -> Floats:
    """60 rows: tones with more than 14 maxima, noise, one row without energy."""
    rng = np.random.default_rng(1)
    lag = np.arange(320)
    rows = [np.cos(2 * np.pi * lag / rng.uniform(7, 90)) for _ in range(60)]
    r = np.array(rows) * np.exp(-lag / 500) + 0.2 * rng.standard_normal((60, 320))
    r[:, 0] = 1.0 / rng.uniform(0.7, 1.1, 60)
    r[7, 0] = 0.0
    return r


@pytest.mark.parametrize("octave_cost", [0.01, 0.2])
def test_candidates(octave_cost: float) -> None:
    """Seen to catch: the last candidate giving way in place of the weakest, no reflection at 1, a
    candidate at the ceiling, a frame without energy.
    """
    r, table = autocorrelations(), interpolation_table(32)
    found = np.zeros((2, 2, 60, 14))
    arguments = (r, np.linspace(1, 1.3, 249), table, SR / 600, SR / 75, 0.225, octave_cost)
    kernels._collect(*arguments, *found[0])
    pitch_plain.collect(*arguments, *found[1])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    assert (found[0, 0] > 0).sum(axis=1).max() == 14
    assert not found[0, :, 7].any()


@pytest.mark.parametrize("frames", [1, 2, 700])
def test_best_path(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to catch: costs transposed, a path that starts anew with every stretch of frames, no
    cost between unvoiced and voiced.
    """
    rng = np.random.default_rng(2)
    lags, strengths = rng.uniform(27, 213, (frames, 14)), rng.uniform(0, 1, (frames, 14))
    lags[np.arange(14) >= rng.integers(0, 15, frames)[:, None]] = 0.0
    lags[100:200] = 0.0
    unvoiced = rng.uniform(0, 1.2, frames)
    arguments = (lags, strengths, unvoiced, 26.7, 0.01, 0.35, 0.14)
    expected = kernels._best_path(*arguments)
    for column in (1, 50, 256):
        monkeypatch.setattr(pitch_plain, "COLUMN", column)
        np.testing.assert_array_equal(pitch_plain.best_path(*arguments), expected)
    assert frames < 700 or len(np.unique(expected)) > 10


@pytest.mark.parametrize("tracks", [1, 3, 5])
def test_cheapest_path(tracks: int) -> None:
    """Seen to catch: the dearest path, octaves of one track only."""
    rng = np.random.default_rng(3)
    octaves = rng.uniform(8, 12, (300, 10, tracks))
    local = rng.uniform(0, 2, (300, 10))
    local[rng.uniform(size=(300, 10)) < 0.2] = np.inf
    local[:, 0] = 3.0
    plain = formants._cheapest_plain(local, octaves)
    np.testing.assert_array_equal(plain, formants._cheapest(local, octaves))


@pytest.mark.parametrize("order", [1, 2, 9, 10])
def test_roots(order: int) -> None:
    """Seen to catch: a first coefficient that is taken for 1, a diagonal that is shifted."""
    rng = np.random.default_rng(order)
    a = np.ones((300, 1))
    while a.shape[1] <= order:
        padded = np.pad(a, ((0, 0), (0, 1)))
        a = padded + rng.uniform(-0.95, 0.95, (300, 1)) * padded[:, ::-1]
    a[:50] *= -2.5
    a[5, -1] = 0.0
    a[6, 1:] = 0.0
    found = np.zeros((2, 300, order), dtype=np.complex128)
    roots._roots_frames(a, found[0])
    roots._roots_plain(a, found[1])
    # each root of one beside the nearest of the other
    apart = np.abs(found[0][:, :, None] - found[1][:, None]).min(axis=2)
    assert apart.max() < 1e-7  # near-double roots lose half of the digits
    assert np.median(apart) < 1e-14
    assert (found[1][6] == 0).all()
    assert (found[1][5] == 0).sum() == 1


def test_burg() -> None:
    """Among noise: silence, a tone, an impulse, NaN, an offset.

    Seen to catch: forward residuals that are not cut, a recursion that goes on after it was
    stopped, an error per frame.
    """
    x = np.random.default_rng(4).standard_normal((20, 300)) * np.hamming(300)
    x[3], x[4], x[5], x[6] = 0.0, np.cos(0.3 * np.arange(300)), 0.0, np.nan
    x[5, 40], x[7] = 1.0, 1.0
    both = []
    for fit in (prediction._burg_kernel, prediction._burg_plain):
        model = np.zeros((20, 13)), np.zeros(20), np.zeros((20, 12))
        fit(x, *model)
        both.append(model)
    noise = np.r_[0:4, 5:20]
    for compiled, plain in zip(*both, strict=True):
        np.testing.assert_allclose(plain[noise], compiled[noise], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(plain[4], compiled[4], atol=1e-6)  # rounding decides the end


def test_hnr(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.01 dB up to 30 dB: the products are single precision. Seen to catch: a mean of one stretch
    only, energies that do not run along with the lag, sums of what lies between the spans.
    """
    x = speechlike()
    one = hnr.hnr(x, SR)
    monkeypatch.setattr(hnr, "COMPILED", False)
    for block in (7, 256):
        monkeypatch.setattr(hnr, "BLOCK", block)
        np.testing.assert_allclose(hnr.hnr(x, SR), one, atol=0.01)
    assert np.isfinite(one).sum() > 30
    assert np.nanmax(one) > 25
    assert np.isnan(hnr.hnr(np.zeros(SR), SR)).all()


def test_hnr_of_an_offset() -> None:
    """50 times the noise: the mean of both stretches goes. Seen to catch a sample more of it."""
    x = (50 + np.random.default_rng(0).standard_normal(SR)).astype(np.float32)
    lags, table, found = np.full(12, SR / 150), interpolation_table(hnr.DEPTH), []
    for correlate in (hnr._correlate, hnr._correlate_plain):
        r = np.full(12, np.nan)
        correlate(x, np.arange(3000, 9000, 500), lags, 320, table, r)
        found.append(r)
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)


def test_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to catch: frames that begin on their centre."""
    x = speechlike()
    for align in ("centre", "left"):
        monkeypatch.setattr(energy, "COMPILED", True)
        one = energy.rms_db(x, SR, align=align)
        monkeypatch.setattr(energy, "COMPILED", False)
        np.testing.assert_allclose(energy.rms_db(x, SR, align=align), one, rtol=1e-9)


def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = (f"signal.{name}" for name in ("pitch", "resonances", "roots", "prediction"))
    for name in ("shorttime", "lld.hnr", *signal):
        monkeypatch.setattr(import_module(f"serfeat.{name}"), "COMPILED", False)


def test_a_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same frames voiced, F0 to what single precision leaves of it (measured 4e-7).

    Seen to catch: a first lag that is off by one.
    """
    x = speechlike()
    one = pitch(ShortTime(x, SR))
    plainly(monkeypatch)
    other = pitch(ShortTime(x, SR))
    np.testing.assert_allclose(other.f0, one.f0, rtol=2e-6)
    np.testing.assert_allclose(other.strength, one.strength, rtol=2e-6)
    assert 0.2 < one.voiced.mean() < 0.95


@pytest.mark.corpus
def test_emodb(emodb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions are the same; F0 to 2e-5, formants to 0.5 Hz, HNR to 0.05 dB (measured 0.013).

    The two ways round differently in single precision; Burg's method has double precision: 1e-9.
    """
    clips = [sf.read(f)[0] for f in sorted((emodb_root / "audio").glob("*.flac"))[::180]]

    def measure() -> list[tuple[Floats, ...]]:
        analyses = [ShortTime(x, SR) for x in clips]
        burg = [resonances(st, method="burg", frames="audible").frequency for st in analyses]
        fast = [resonances(st) for st in analyses]
        return [
            (pitch(st).f0, r.frequency, r.bandwidth, b, hnr._hnr(st)[:, 0])
            for st, r, b in zip(analyses, fast, burg, strict=True)
        ]

    compiled = measure()
    plainly(monkeypatch)
    for one, other in zip(compiled, measure(), strict=True):
        np.testing.assert_allclose(other[0], one[0], rtol=2e-5)
        for a, b in zip(one[1:3], other[1:3], strict=True):
            np.testing.assert_allclose(b, a, atol=0.5)
        np.testing.assert_allclose(other[3], one[3], rtol=1e-9, atol=1e-7)
        np.testing.assert_allclose(other[4], one[4], atol=0.05)


def test_no_kernel_of_the_classic_set_is_a_python_loop() -> None:
    """Less than a millisecond per frame (a tenth of it on a quiet machine); it was 10.

    Seen to catch: `lld.hnr._correlate` run uncompiled.
    """
    code = (
        "import numpy as np, time\n"
        "from serfeat.feature_sets import FEATURE_SETS\n"
        "from serfeat.jit import COMPILED\n"
        "assert not COMPILED\n"
        "t = np.arange(32000) / 16000\n"
        "x = sum(np.cos(2 * np.pi * 150 * h * t + h * h) / h for h in range(1, 20))\n"
        "compute = FEATURE_SETS['classic'].compute\n"
        "compute(x[:8000] / 10, 'functionals')\n"
        "start = time.process_time()\n"
        "compute(x / 10, 'functionals')\n"
        "print((time.process_time() - start) / 200)\n"
    )
    environment = {**os.environ, "SERFEAT_NO_JIT": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert float(done.stdout) < 1e-3
