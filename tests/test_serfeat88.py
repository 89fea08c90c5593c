"""serfeat88: its columns stand beside openSMILE's, in its order, and mean what they say."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.feature_sets import FEATURE_SETS
from serfeat.functionals import functional
from serfeat.lld import DESCRIPTORS
from serfeat.serfeat88 import SERFEAT88
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

SR = 16000
SET = FEATURE_SETS["serfeat88"]


def row(x: Floats) -> dict[str, float]:
    """The 88 values of a clip, by eGeMAPS' names."""
    (values,) = SET.compute(x, "functionals")
    names = (c.egemaps for c in SERFEAT88.counterparts)
    return {name: float(v) for name, v in zip(names, values, strict=True)}


def vowel(f0: float = 120.0, seconds: float = 1.0) -> Floats:
    """Impulses, falling by 6 dB per octave, through five resonators; on the 16-bit grid."""
    from scipy.signal import lfilter

    x = np.zeros(int(seconds * SR))
    x[(np.arange(int(seconds * f0)) * SR / f0).astype(int)] = 1.0
    x = lfilter([1], [1, -0.95], x)
    for f, width in ((600, 60), (1500, 90), (2500, 120), (3500, 150), (4500, 200)):
        radius, angle = np.exp(-np.pi * width / SR), 2 * np.pi * f / SR
        x = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], x)
    return np.asarray(np.rint(0.3 * 32768 * x / np.abs(x).max()) / 32768)


def test_names_and_order_are_those_of_opensmile(monkeypatch: pytest.MonkeyPatch) -> None:
    """All 88. Seen to catch: a misspelt functional."""
    pytest.importorskip("opensmile")
    from serfeat.lld import opensmile

    monkeypatch.setenv(opensmile.CONSENT, "1")
    theirs = opensmile.columns("eGeMAPSv02", "functionals")
    assert tuple(c.egemaps for c in SERFEAT88.counterparts) == theirs


def test_88_columns_of_our_own() -> None:
    """Seen to catch: a column twice, a descriptor of which nothing is kept."""
    assert len(set(SERFEAT88.columns)) == len(SERFEAT88.columns) == 88
    assert SET.columns("functionals") == SERFEAT88.columns
    assert SET.licence == "Apache-2.0"
    used = {c.split("__")[1] for c in SERFEAT88.columns if "__" in c}
    assert used == set(SERFEAT88.functionals)
    columns = {c.split("__")[0] for c in SERFEAT88.columns}
    for name in SERFEAT88.descriptors:
        assert columns & set(DESCRIPTORS[name].columns), f"nothing of {name} is kept"


# What openSMILE's word for a functional means, by the end of a column's name.
MEANINGS = {
    "amean": "mean",
    "stddevNorm": "cv",
    "percentile20.0": "p20",
    "percentile50.0": "p50",
    "percentile80.0": "p80",
    "pctlrange0-2": "range_p20_p80",
    "meanRisingSlope": "rising_slope_mean",
    "stddevRisingSlope": "rising_slope_std",
    "meanFallingSlope": "falling_slope_mean",
    "stddevFallingSlope": "falling_slope_std",
}


def test_functionals_are_beside_their_own() -> None:
    """Seen to catch: mean and cv exchanged, unvoiced for voiced."""
    for c in SERFEAT88.counterparts[:81]:
        word, _, end = c.egemaps.rpartition("_")
        contour, _, ours = c.column.partition("__")
        base = functional(ours)
        assert ours.removesuffix(f"_{base.frames}") == MEANINGS[end]
        spectral = contour in DESCRIPTORS["spectral_20ms"].columns or contour.startswith("mfcc")
        stem = word.removesuffix("_sma3nz")
        wanted = "all"
        if spectral and word != stem:
            wanted = "unvoiced" if "UV" in stem else "voiced"
        assert base.frames == wanted, c


@pytest.mark.corpus
def test_same_columns_are_the_same(emodb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all frames they differ by two frames at the ends: correlation .99 and more.

    Measured on these 18 files: .997 and more. (A cv of MFCC, whose mean may lie near 0, is left
    out.) Seen to catch: MFCC with pre-emphasis, without lifter, the second for the first.
    """
    pytest.importorskip("opensmile")
    from serfeat.lld import opensmile

    monkeypatch.setenv(opensmile.CONSENT, "1")
    ours, theirs = [], []
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::30]:
        x, sr = sf.read(file)
        ours.append(SET.compute(x, "functionals")[0])
        theirs.append(opensmile.functionals(x, sr)[1])
    a, b = np.array(ours), np.array(theirs)
    for k, c in enumerate(SERFEAT88.counterparts):
        if c.relation != "same" or c.column.endswith(("_voiced", "_unvoiced")):
            continue
        if "__cv" in c.column and c.column.startswith("mfcc"):
            continue
        assert np.corrcoef(a[:, k], b[:, k])[0, 1] > 0.99, c
        if c.column.startswith("mfcc") or "__p50" in c.column or c.column == "sound_level_db":
            scale = np.abs(b[:, k]).mean()
            assert np.median(np.abs(a[:, k] - b[:, k])) < 0.02 * scale, c


def test_a_vowel_of_known_numbers() -> None:
    """Steady at 120 Hz: F0, formants, segments, and no jitter.

    Seen to catch: semitones re 55 Hz, F2 for F1, the deviation of segments for their mean.
    """
    found = row(np.concatenate([np.zeros(8000), vowel(), np.zeros(8000)]))
    semitones = 12 * np.log2(120 / 27.5)
    assert found["F0semitoneFrom27.5Hz_sma3nz_percentile50.0"] == pytest.approx(semitones, abs=0.01)
    assert found["F0semitoneFrom27.5Hz_sma3nz_stddevNorm"] < 0.01
    for k, f in enumerate((600, 1500, 2500), 1):
        assert found[f"F{k}frequency_sma3nz_amean"] == pytest.approx(f, rel=0.05)
    assert found["jitterLocal_sma3nz_amean"] < 0.01  # impulses lie on samples
    assert found["HNRdBACF_sma3nz_amean"] > 20
    assert found["VoicedSegmentsPerSec"] == pytest.approx(1 / 2)
    assert found["MeanVoicedSegmentLengthSec"] == pytest.approx(1.0, abs=0.05)
    assert found["MeanUnvoicedSegmentLength"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("gain", [0.1, 0.5])
def test_what_gain_moves(gain: float) -> None:
    """Level, loudness and flux; nothing else by more than rounding.

    Noise keeps every band above the floor. Seen to catch: mfcc_0 for mfcc_1.
    """
    x = np.concatenate([0.02 * np.random.default_rng(0).standard_normal(8000), 0.8 * vowel()])
    x += 0.002 * np.random.default_rng(1).standard_normal(len(x))
    before, after = row(x), row(gain * x)
    for name, value in before.items():
        if name == "equivalentSoundLevel_dBp":
            assert after[name] == pytest.approx(value + 20 * np.log10(gain))
        elif name.startswith("spectralFlux") and "amean" in name:
            assert after[name] == pytest.approx(gain * value)
        elif not name.startswith("loudness"):
            assert after[name] == pytest.approx(value, rel=1e-5, abs=1e-6, nan_ok=True), name


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(160)],
    ids=["silence", "offset", "impulse", "one sample", "one frame"],
)
def test_degenerate_clips(x: Floats) -> None:
    """No warning, nothing infinite; of a voice there is nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = row(x)
    assert not any(np.isinf(v) for v in found.values())
    assert np.isnan(found["F0semitoneFrom27.5Hz_sma3nz_amean"])
    assert np.isnan(found["mfcc1V_sma3nz_amean"])
    assert np.isfinite(found["mfcc1_sma3_amean"])
    assert found["VoicedSegmentsPerSec"] == 0


def test_frames_are_on_the_grid() -> None:
    """At level "lld" there is a row per frame, with every frame-level column."""
    x = vowel(seconds=0.3)
    assert SET.compute(x, "lld").shape == (ShortTime(x, SR).n_frames, SET.width("lld"))
