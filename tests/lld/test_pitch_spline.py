"""Pitch-spline statistics: contours with known slopes, SciPy's spline, invariances, no voice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import ArrayLike

from serfeat.lld.pitch_spline import (
    COLUMNS,
    DESCRIPTORS,
    _fit,
    _smooth,
    pitch_spline,
    spline_statistics,
)
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

SR = 16000
HOP = 0.01
T = np.arange(2 * SR) / SR


def named(values: Floats) -> dict[str, float]:
    return {
        name.removeprefix("pitch_spline_"): float(v)
        for name, v in zip(COLUMNS, values, strict=True)
    }


def gaps(*runs: ArrayLike, pause: int = 20) -> Floats:
    """Runs of a contour, with unvoiced frames before, between and after."""
    parts = [np.full(pause, np.nan)]
    for run in runs:
        parts += [np.asarray(run, dtype=np.float64), np.full(pause, np.nan)]
    return np.concatenate(parts)


def voice(contour: Floats, sr: int = SR) -> Floats:
    phase = 2 * np.pi * np.cumsum(contour) / sr
    x = sum(h**-2.0 * np.cos(h * phase + h * h) for h in range(1, 15))
    return np.asarray(0.3 * x, dtype=np.float64)


@pytest.mark.parametrize("n", [5, 6, 9, 30, 150])
def test_the_spline_is_that_of_scipy(n: int) -> None:
    """`make_smoothing_spline` with its own cross-validation; within 1e-6 of a semitone.

    Catches a wrong diagonal, a trace that is not squared, a spline that is clamped, not natural.
    """
    interpolate = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(n)
    frames = np.arange(n, dtype=np.float64)
    for run in (
        rng.standard_normal(n),
        np.cumsum(rng.standard_normal(n)),
        np.sin(frames / 5) + 0.1 * rng.standard_normal(n),
    ):
        theirs = interpolate.make_smoothing_spline(frames, 40 + run)
        values, places, heights = _fit(40 + run)
        np.testing.assert_allclose(values, theirs(frames), atol=1e-6)
        np.testing.assert_allclose(heights, theirs(places), atol=1e-6)
        np.testing.assert_allclose(theirs.derivative()(places[1:-1]), 0, atol=1e-5)


def test_smoothing_against_dense_matrices() -> None:
    """Reinsch's equations written out, compiled and not. Catches a wrong weight in the trace."""
    rng = np.random.default_rng(0)
    n, penalty = 12, 3.7
    y = rng.standard_normal(n)
    q = np.zeros((n, n - 2))
    for j in range(n - 2):
        q[j : j + 3, j] = 1, -2, 1
    r = 2 / 3 * np.eye(n - 2) + (np.eye(n - 2, k=1) + np.eye(n - 2, k=-1)) / 6
    away = penalty * q @ np.linalg.solve(r + penalty * q.T @ q, q.T)  # I - H
    for kernel in (_smooth, getattr(_smooth, "py_func", _smooth)):
        out = np.empty(n)
        gcv = kernel(y, penalty, out)
        np.testing.assert_allclose(out, y - away @ y, atol=1e-12)
        expected = np.mean((away @ y) ** 2) / (np.trace(away) / n) ** 2
        assert gcv == pytest.approx(expected, rel=1e-12)


def test_a_turn_within_the_last_step() -> None:
    """A parabola whose top lies 0.6 of a frame before its end.

    Seen to catch turns that are looked for up to the last frame but one.
    """
    _, places, _ = _fit(-0.5 * (np.arange(30.0) - 28.4) ** 2)
    assert len(places) == 3
    assert places[1] == pytest.approx(28.4, abs=0.15)


def test_a_rise_and_a_fall() -> None:
    """Straight runs: every statistic is known.

    Catches slopes per frame, a last slope from the first run, exchanged columns of rise and fall,
    runs referred to the voiced time.
    """
    rise = 40 + 20 * HOP * np.arange(51)  # 10 semitones up in 0.5 s
    fall = 45 - 8 * HOP * np.arange(101)  # 8 semitones down in 1 s
    found = named(spline_statistics(gaps(rise, fall), HOP, 2.5))
    both = np.concatenate([rise, fall])
    expected = {
        "mean_st": both.mean(),
        "std_st": both.std(),
        "min_st": 37.0,
        "max_st": 50.0,
        "range_st": 13.0,
        "rise_slope_mean_st_per_s": 20.0,
        "rise_slope_std_st_per_s": 0.0,
        "fall_slope_mean_st_per_s": -8.0,
        "fall_slope_std_st_per_s": 0.0,
        "positive_derivative_mean_st_per_s": 20.0,
        "negative_derivative_mean_st_per_s": -8.0,
        "last_slope_st_per_s": -8.0,
        "runs_per_s": 0.8,
        "run_mean_s": 0.76,
    }
    assert found == pytest.approx(expected, abs=1e-6)


def test_spans_count_once_and_derivatives_weigh_by_time() -> None:
    """A slow and a fast rise. Catches the two means being the same."""
    slow, fast = 40 + 2 * HOP * np.arange(101), 40 + 30 * HOP * np.arange(21)
    found = named(spline_statistics(gaps(slow, fast), HOP, 2.0))
    assert found["rise_slope_mean_st_per_s"] == pytest.approx(16.0)
    assert found["rise_slope_std_st_per_s"] == pytest.approx(14.0)
    assert found["positive_derivative_mean_st_per_s"] == pytest.approx((2 + 6) / 1.2)
    assert np.isnan(found["fall_slope_mean_st_per_s"])
    assert np.isnan(found["negative_derivative_mean_st_per_s"])


def test_turning_points_of_a_sine_with_jitter() -> None:
    """3 semitones at 2 Hz: 6 up in 0.25 s; jitter of 0.3 semitones is smoothed away.

    Catches slopes that are read from the contour itself, which the jitter makes 38 per second.
    """
    t = HOP * np.arange(200)
    jitter = 0.3 * np.random.default_rng(0).standard_normal(200)
    found = named(spline_statistics(40 + 3 * np.sin(4 * np.pi * t) + jitter, HOP, 2.0))
    assert found["rise_slope_mean_st_per_s"] == pytest.approx(24, abs=2.5)
    assert found["fall_slope_mean_st_per_s"] == pytest.approx(-24, abs=2.5)
    assert found["range_st"] == pytest.approx(6, abs=0.3)
    assert found["std_st"] == pytest.approx(3 / np.sqrt(2), abs=0.1)


def test_short_runs_are_left_out() -> None:
    """Catches a limit of 4 frames, and one of 6."""
    long = 40 + 0.1 * np.arange(30.0)
    with_slips = gaps(np.full(4, 60.0), long, np.full(4, 20.0))
    np.testing.assert_array_equal(
        spline_statistics(with_slips, HOP, 1.0), spline_statistics(long, HOP, 1.0)
    )
    found = named(spline_statistics(gaps(long, np.full(5, 60.0)), HOP, 1.0))
    assert found["runs_per_s"] == pytest.approx(2)
    assert found["max_st"] == pytest.approx(60)


def test_a_level_melody_neither_rises_nor_falls() -> None:
    """Catches slopes that are made of rounding."""
    found = named(pitch_spline(voice(np.full(len(T), 220.0)), SR))
    assert found["mean_st"] == pytest.approx(36, abs=1e-3)
    assert found["range_st"] < 0.05  # the edges of the clip
    rounding = 1e-9 * np.random.default_rng(0).standard_normal(50)
    exact = named(spline_statistics(36.1 + rounding, HOP, 0.5))
    assert np.isnan(exact["rise_slope_mean_st_per_s"])
    assert np.isnan(exact["fall_slope_mean_st_per_s"])


def test_a_glide_in_a_signal() -> None:
    """An octave in two seconds: 6 semitones per second."""
    x = np.concatenate([np.zeros(SR), voice(110 * 2 ** (T / 2)), np.zeros(SR)])
    found = named(pitch_spline(x, SR))
    assert found["last_slope_st_per_s"] == pytest.approx(6, abs=0.1)
    assert found["mean_st"] == pytest.approx(30, abs=0.1)
    assert found["runs_per_s"] == pytest.approx(0.25)
    assert found["run_mean_s"] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("gain", [-1.0, 1e-5, 100.0])
def test_gain_and_polarity_do_not_matter(gain: float) -> None:
    x = voice(150 + 40 * np.sin(2 * np.pi * 2 * T)) * (T % 0.6 < 0.4)
    np.testing.assert_allclose(pitch_spline(gain * x, SR), pitch_spline(x, SR), rtol=1e-4)


def test_shift_by_frames() -> None:
    """Only what is referred to the length of the clip may change."""
    x = voice(150 + 40 * np.sin(2 * np.pi * 2 * T)) * (T % 0.6 < 0.4)
    x = np.concatenate([np.zeros(3200), x - x.mean() * (x != 0), np.zeros(3200)])
    x -= x.mean()
    shifted = np.concatenate([np.full(1600, x[0]), x])
    before, after = named(pitch_spline(x, SR)), named(pitch_spline(shifted, SR))
    for name in set(before) - {"runs_per_s"}:
        assert after[name] == pytest.approx(before[name], rel=1e-3), name
    assert after["runs_per_s"] * 2.5 == pytest.approx(before["runs_per_s"] * 2.4)


@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), np.eye(1, SR, 8000)[0], np.ones(1), np.ones(160)],
    ids=["silence", "offset", "impulse", "one sample", "one frame"],
)
def test_without_a_voice_there_is_no_melody(x: Floats) -> None:
    found = pitch_spline(x, SR)
    assert found.shape == (14,)
    assert named(found)["runs_per_s"] == 0
    assert np.isnan(np.delete(found, 12)).all()


@pytest.mark.parametrize("sr", [8000, 48000])
def test_other_sample_rates(sr: int) -> None:
    contour = 150 * 2 ** (np.arange(sr) / sr / 2)
    found = named(pitch_spline(voice(contour, sr), sr))
    assert found["last_slope_st_per_s"] == pytest.approx(6, abs=0.2)


def test_descriptor() -> None:
    (descriptor,) = DESCRIPTORS
    x = voice(150 + 40 * np.sin(2 * np.pi * 2 * T))
    assert descriptor.level == "clip"
    assert descriptor.columns == tuple(COLUMNS)
    assert all(name.startswith("pitch_spline_") for name in descriptor.columns)
    assert len(descriptor.units) == 14
    np.testing.assert_array_equal(descriptor(ShortTime(x, SR)), pitch_spline(x, SR))


@pytest.mark.corpus
def test_anger_moves_more_than_sadness(emodb_root: Path) -> None:
    """One sentence, 15 and 10 clips: higher (40 and 26 semitones), with steeper slopes.

    The range would not do: it is ruled by single frames in the creaky ends of phrases.
    """
    found: dict[str, list[dict[str, float]]] = {"W": [], "T": []}
    for file in sorted((emodb_root / "audio").glob("*.flac")):
        if file.stem[2:5] == "a05" and file.stem[5] in found:
            x, sr = sf.read(file)
            found[file.stem[5]].append(named(pitch_spline(x, sr)))
    medians = {
        mood: {name: np.nanmedian([clip[name] for clip in clips]) for name in clips[0]}
        for mood, clips in found.items()
    }
    assert min(len(clips) for clips in found.values()) >= 3
    assert medians["W"]["mean_st"] > medians["T"]["mean_st"] + 2
    for name in ("positive", "negative"):
        column = f"{name}_derivative_mean_st_per_s"
        assert abs(medians["W"][column]) > abs(medians["T"][column])
