"""The adapter around openSMILE: consent, counts of columns, and repaired full-scale samples."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from serfeat.errors import AudioError, FeatureError, MissingExtraError, UnknownNameError
from serfeat.lld import opensmile as adapter

pytest.importorskip("opensmile")


@pytest.fixture
def consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(adapter.CONSENT, "1")


def clip(seed: int = 0) -> np.ndarray:
    """0.5 s of a buzz in noise, clipped at full scale."""
    n = np.arange(8_000)
    buzz = sum(np.sin(2 * np.pi * 150 * k * n / 16_000) / k for k in range(1, 20))
    noise = 0.05 * np.random.default_rng(seed).standard_normal(8_000)
    return np.clip(1.5 * buzz + noise, -1.0, 1.0)


def test_nothing_runs_without_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a check that any value passes: the message must say what to set."""
    for value in (None, "", "0"):
        monkeypatch.delenv(adapter.CONSENT, raising=False)
        if value is not None:
            monkeypatch.setenv(adapter.CONSENT, value)
        with pytest.raises(FeatureError, match=f"{adapter.CONSENT}=1") as caught:
            adapter.functionals(clip(), 16_000)
        assert caught.value.code == "licence-not-accepted"
        assert "\n" not in str(caught.value)


def test_accept_licence_is_the_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(adapter.CONSENT, "0")  # restored after the test
    adapter.accept_licence()
    assert os.environ[adapter.CONSENT] == "1"
    assert len(adapter.functionals(clip(), 16_000)[0]) == 88


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, consent: None) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    adapter._smile.cache_clear()
    with pytest.raises(MissingExtraError, match=r"serfeat\[opensmile\]"):
        adapter.functionals(clip(), 16_000)


@pytest.mark.parametrize("name", adapter.EXTERNAL_SETS)
def test_counts_of_columns(name: str, consent: None) -> None:
    """Every set as its paper counts it. Catches a configuration that is not the one it names."""
    expected = {
        "eGeMAPSv02": (88, 25),
        "GeMAPSv01b": (62, 18),
        "ComParE_2016": (6373, 65),
        "emobase": (988, 26),
        "IS09_emotion": (384, 16),
        "IS13_ComParE": (6373, 65),
    }[name]
    names, values = adapter.functionals(clip(), 16_000, name)
    assert (len(names), values.shape) == (expected[0], (expected[0],))
    frame_names, frames = adapter.lld(clip(), 16_000, name)
    assert (len(frame_names), frames.shape[1]) == (expected[1], expected[1])
    assert 40 < len(frames) < 52
    declared = adapter.EXTERNAL_SETS[name]
    assert (declared.n_functionals, declared.n_lld) == expected


def test_names_of_the_challenge_sets(consent: None) -> None:
    """IS09: 16 descriptors and their deltas, 12 functionals each; IS13 begins with its loudness."""
    names = adapter.columns("IS09_emotion", "functionals")
    stems = {n.rsplit("_", 1)[0] for n in names}
    assert len([n for n in names if "_sma_de" in n]) == 192
    assert {"pcm_RMSenergy_sma_max", "F0_sma_de_kurtosis", "voiceProb_sma_linregc1"} <= set(names)
    assert len(stems) == 32
    assert adapter.columns("IS09_emotion", "lld")[-2:] == ("voiceProb_sma", "F0_sma")
    names = adapter.columns("IS13_ComParE", "functionals")
    assert names[0] == "audspec_lengthL1norm_sma_range"
    assert adapter.columns("IS13_ComParE", "lld")[0] == "F0final_sma"


def test_a_set_of_ours_is_not_offered(consent: None) -> None:
    """The configuration behind the backend has no functionals, so it is no feature set."""
    assert adapter.FRAMES not in adapter.EXTERNAL_SETS
    assert len(adapter.columns(adapter.FRAMES, "lld")) == 41
    with pytest.raises(UnknownNameError, match="IS09_emotion"):
        adapter.functionals(clip(), 16_000, "IS09")


def test_values_are_the_wrappers(consent: None) -> None:
    import opensmile

    x = 0.4 * clip()
    theirs = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02).process_signal(x, 16_000)
    names, ours = adapter.functionals(x, 16_000)
    assert list(theirs.columns) == list(names)
    np.testing.assert_array_equal(ours, theirs.to_numpy()[0])


def test_full_scale_does_not_wrap(consent: None) -> None:
    """Catches a limit of 1.0: the wrapper turns a sample at +1.0 into -32768."""
    import opensmile

    x = clip()
    assert (x == 1.0).sum() > 100
    limited = np.minimum(x, 32767 / 32768)
    ours, same = adapter.functionals(x, 16_000)[1], adapter.functionals(limited, 16_000)[1]
    np.testing.assert_array_equal(ours, same)
    wrapped = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02)(x, 16_000)[0, :, 0]
    assert (np.abs(wrapped - ours) > 0.05 * np.abs(ours)).sum() > 10


@pytest.mark.filterwarnings("error:Segment too short")
def test_degenerate_clips(consent: None) -> None:
    for x in (np.zeros(1), np.ones(100)):
        assert np.isnan(adapter.functionals(x, 16_000)[1]).all()
    for x in (np.zeros(8_000), np.full(8_000, 0.5)):
        assert not np.isinf(adapter.functionals(x, 16_000)[1]).any()
    for bad in (np.array([]), np.zeros((2, 8_000)), np.array([0.0, np.nan])):
        with pytest.raises(AudioError, match="finite"):
            adapter.functionals(bad, 16_000)
    with pytest.raises(UnknownNameError, match="did you mean 'eGeMAPSv02'"):
        adapter.functionals(clip(), 16_000, "eGeMAPSv2")


def test_same_numbers_in_a_worker_process(consent: None) -> None:
    here = adapter.functionals(clip(1), 16_000)[1]
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        there = pool.submit(adapter.functionals, clip(1), 16_000).result(timeout=60)[1]
    np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("F0semitoneFrom27.5Hz_sma3nz_amean", "semitone re 27.5 Hz"),
        ("F0semitoneFrom27.5Hz_sma3nz_stddevNorm", "1"),
        ("F1frequency_sma3nz_amean", "Hz"),
        ("MeanVoicedSegmentLengthSec", "s"),
        ("jitterLocal_sma_kurtosis", ""),
        ("pcm_intensity_sma_max", ""),
    ],
)
def test_units(column: str, unit: str) -> None:
    assert adapter.unit_of(column) == unit
