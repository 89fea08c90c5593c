"""Long clips: the numbers of the whole at once, in a fraction of its memory.

What is computed stretch by stretch is compared, bit for bit, with the same computed at once; the
memory is measured in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import serfeat.audio
import serfeat.features as features_module
from serfeat import shorttime
from serfeat.allocator import give_back, of_pages
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet, Level, _with_deltas
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import ShortTime, _sum
from serfeat.signal import pulses
from serfeat.signal.pitch import pitch
from serfeat.spectrum import delta
from serfeat.types import Floats32, Reals
from serfeat.vad import three_way

SR = 16_000
CLIP_LEVEL = ("jitter", "shimmer", "duration", "speech_rate", "loudness_peaks", "pitch_spline")


def voice(seconds: float, seed: int = 0) -> Floats32:
    """(n,) float32: a buzz that glides, with pauses, noise and an offset."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * SR)) / SR
    phase = np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.3 * t)) / SR
    x = 0.4 * (2 * (phase % 1) - 1) * (np.sin(2 * np.pi * 0.7 * t) > -0.6)
    return (0.5 * x + 0.003 * rng.standard_normal(len(t)) + 0.01).astype(np.float32)


# 61.3 s ends within a stretch, 60 s on the edge of one, and 62 s where only a margin is left.
@pytest.mark.parametrize("seconds", [31.0, 60.0, 61.3])
def test_stretches_give_the_whole(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x = voice(seconds)
    whole = ShortTime(x, SR)
    assert not whole.long
    expected = [DESCRIPTORS[name](whole) for name in CLIP_LEVEL]
    assert all(np.isfinite(values).any() for values in expected)
    at_once = pitch(whole), three_way(whole), whole.centred, whole.peak, pulses.clip_pulses(whole)
    monkeypatch.setattr(shorttime, "LONG", 1.0)
    long = ShortTime(x, SR)
    assert long.long
    assert long.samples.dtype == np.float32
    found = [DESCRIPTORS[name](long) for name in CLIP_LEVEL]
    for name, a, b in zip(CLIP_LEVEL, found, expected, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
    assert "x" not in vars(long)  # never the whole in double precision
    assert long.peak == at_once[3]
    assert (three_way(long) == at_once[1]).all()
    for a, b in ((pitch(long).f0, at_once[0].f0), (pitch(long).strength, at_once[0].strength),
                 (pulses.clip_pulses(long), at_once[4]), (long.centred, at_once[2])):  # fmt: skip
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [1, 1000, (1 << 20) + 1, 5_000_003])
def test_the_sum_is_numpys(n: int) -> None:
    """Every rounding as in one sum over doubles."""
    x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    assert _sum(x) == x.astype(np.float64).sum()


@pytest.mark.parametrize("n", [1, 2, 7, 1000, 600_001, 600_002])
@pytest.mark.parametrize("offset", [-2.0, 0.0, 0.01])
def test_the_median_is_numpys(n: int, offset: float) -> None:
    rng = np.random.default_rng(n)
    x = np.round(rng.standard_normal(n) + offset, 3).astype(np.float32)  # with many ties
    assert pulses._median(x) == np.median(x.astype(np.float64))
    fine = rng.standard_normal(n)  # no single precision holds these
    assert pulses._median(fine) == np.median(fine)


@pytest.mark.parametrize("orders", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deltas_in_blocks(orders: int, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of all lengths around a block, with undefined frames, against the whole at once."""
    monkeypatch.setattr(features_module, "BLOCK", 16)
    for n in range(1, 70):
        own: Reals = np.random.default_rng(n).standard_normal((n, 3)).astype(dtype)
        own[n // 2, 1] = np.nan
        expected, last = [own], own
        for _ in range(orders):
            last = delta(last)
            expected.append(last.astype(dtype))
        room: Reals = np.full((n, 3 * (1 + orders)), 7.0, dtype=dtype)
        room[:, :3] = own
        np.testing.assert_array_equal(_with_deltas(room, orders), np.concatenate(expected, axis=1))


def test_samples_are_given_back() -> None:
    x = of_pages(100_000)
    x[:] = 1.0
    part = x[1000:90_000]
    assert give_back(np.ones(100_000, dtype=np.float32), 100_000) == 0
    freed = give_back(part, 50_000)
    assert (freed > 0) == sys.platform.startswith("linux")
    assert (x[:1000] == 1.0).all()  # what lies before the part
    assert (x[51_000:] == 1.0).all()
    assert (x == 0.0).sum() * 4 == freed


@pytest.mark.parametrize("name", ["classic", "prosody"])
@pytest.mark.parametrize("level", ["lld", "functionals"])
def test_giving_back_changes_nothing(
    name: str, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where functionals ask for the whole clip after its frames."""
    monkeypatch.setattr(shorttime, "LONG", 10.0)
    monkeypatch.setattr(shorttime, "STRETCH", 0.5)
    x = voice(11.0)
    paged = of_pages(len(x))
    paged[:] = x
    chosen = feature_set(name)
    expected = chosen.compute(x, level)
    np.testing.assert_array_equal(chosen.compute(paged, level, consume=True), expected)
    kept = name == "prosody" and level == "functionals"
    assert np.array_equal(paged, x) == (kept or not sys.platform.startswith("linux"))


def test_the_clip_is_told_what_it_would_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """A statistic of the melody is the same bits alone and beside the frames that found F0."""
    monkeypatch.setattr(shorttime, "LONG", 10.0)
    monkeypatch.setattr(shorttime, "STRETCH", 0.5)
    x = voice(11.0, seed=1)
    alone = FeatureSet("alone", "", ("pitch_spline",)).compute(x, "functionals")
    beside = FeatureSet("beside", "", ("f0", "pitch_spline"), functionals=("mean",))
    flags: list[str] = []
    found = beside.compute(x, "functionals", flags=flags)
    np.testing.assert_array_equal(found[:, -alone.shape[1] :], alone)
    whole = ShortTime(x, SR)
    beside._frames(whole, 1, consume=False)
    for told, own in zip(
        vars(pitch(whole)).values(), vars(pitch(ShortTime(x, SR))).values(), strict=True
    ):
        np.testing.assert_array_equal(told, own)
    assert flags == []
    beside.compute(0 * x + np.float32(0.01) * (np.arange(len(x)) == SR), "functionals", flags=flags)
    assert flags == ["voiced for 0 ms only"]


def test_long_is_the_same_for_all() -> None:
    """The decoder keeps single precision for the clips that the analysis takes in stretches."""
    assert serfeat.audio.LONG == shorttime.LONG


PROBE = """
import resource, sys
import numpy as np
from serfeat import shorttime
from serfeat.allocator import keep_freed_memory, of_pages
from serfeat.feature_sets import feature_set

name, level, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
keep_freed_memory()
shorttime.LONG = float(sys.argv[4])
chosen = feature_set(name)
n = round(seconds * 16_000)
x = of_pages(n)
for first in range(0, n, 16_000):
    t = np.arange(first, min(first + 16_000, n)) / 16_000
    x[first : first + 16_000] = 0.3 * (2 * (150 * t % 1) - 1) * (t % 3 > 0.5)
chosen.compute(x[:16_000].copy(), level)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
chosen.compute(x, level, consume=True)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize(
    ("name", "level", "most"), [("prosody", "functionals", 100), ("classic", "lld", 80)]
)
def test_memory_of_five_minutes(name: str, level: str, most: float) -> None:
    """Peak of an analysis beyond its samples, MiB; the whole at once takes 240 and 220."""
    if not sys.platform.startswith("linux"):
        pytest.skip("ru_maxrss in kB")
    command = [sys.executable, "-c", PROBE, name, level, "300", "250"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < most
