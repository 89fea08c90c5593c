"""Functionals against closed forms, NumPy/SciPy, openSMILE and their own invariances."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from serfeat.errors import FeatureError, UnknownNameError
from serfeat.functionals import (
    DEFAULT_FUNCTIONALS,
    FUNCTIONALS,
    apply,
    functional,
    to_opensmile_zeros,
)
from serfeat.types import Floats

ALL = tuple(FUNCTIONALS)
NAN = np.nan


def every(values: Floats, hop: float = 0.01, **options: Any) -> dict[str, Floats]:
    """All functionals by name, one value per column."""
    table = apply(values, hop, ALL, **options).reshape(values.shape[1], len(ALL))
    return dict(zip(ALL, table.T, strict=True))


def one(values: list[float], hop: float = 0.01) -> dict[str, float]:
    """All functionals of one contour."""
    return {k: float(v[0]) for k, v in every(np.array(values, dtype=float)[:, None], hop).items()}


def speechlike(n: int = 200, k: int = 4, seed: int = 5) -> Floats:
    """Smooth random contours with gaps, one of them without."""
    rng = np.random.default_rng(seed)
    x = np.stack([np.convolve(rng.standard_normal(n + 8), np.hanning(9), "valid")] * k, axis=1)
    x = x * np.linspace(1, 2, k) + 0.3 * rng.standard_normal((n, k)) + 1.0
    gap = np.convolve(rng.random(n) < 0.1, np.ones(5), "same") > 0
    x[gap, 1:] = NAN
    return x


# Of [0, 4, 1, 3, 3, 7, NaN, NaN, 2, 6] every half second.
BY_HAND = {
    "mean": 26 / 8,
    "std": np.sqrt(124 / 8 - 3.25**2),
    "cv": np.sqrt(124 / 8 - 3.25**2) / 3.25,
    "min": 0,
    "max": 7,
    "range": 7,
    "p05": 0.35,  # of 0 1 2 3 3 4 6 7, at 0.35
    "p20": 1.4,
    "p25": 1.75,
    "p50": 3,
    "p75": 4.5,
    "p80": 5.2,
    "p95": 6.65,
    "range_p20_p80": 3.8,
    "iqr": 2.75,
    "above_mean": 3 / 8,
    "above_25": 6 / 8,  # 1.75
    "above_50": 3 / 8,  # 3.5
    "above_75": 2 / 8,  # 5.25
    "above_90": 1 / 8,  # 6.3
    "centroid": (4 + 2 + 9 + 12 + 35 + 16 + 54) / 26 / 9,
    "min_place": 0,
    "max_place": 5 / 9,
    "rise": (4 + 2 + 4 + 4) / 4 / 0.5,
    "fall": -3 / 0.5,
    "mean_abs_delta": (14 + 3) / 6 / 0.5,  # six pairs of neighbours; the gap is none
    "zero_crossing_rate": 1 / 3,  # up from 0, which is not above it; in six half seconds
    "mean_crossing_rate": 4 / 3,
    "onset_rate": 2 / 3,  # through 5.47
    "rising_slope_mean": (4 / 0.5 + 6 / 1.5 + 4 / 0.5) / 3,  # over 0-4, 1-7, 2-6
    "rising_slope_std": np.std([8, 4, 8]),
    "falling_slope_mean": (3 / 0.5 + 5 / 1.5) / 2,  # over 4-1 and 7-2, through the gap
    "falling_slope_std": np.std([6, 10 / 3]),
    "peak_rate": 2 / 4,
    "peak_distance": 2,
    "defined": 0.8,
    "run_rate": 2 / 5,
    "run_mean": 2,
    "run_std": 1,
    "gap_mean": 1,
    "gap_std": 0,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name: str) -> None:
    """Catches a rate per frame in place of per second, steps across the gap, > for >= and so on."""
    values = [0, 4, 1, 3, 3, 7, NAN, NAN, 2, 6]
    assert one(values, hop=0.5)[name] == pytest.approx(BY_HAND[name], rel=1e-12)


def test_zero_crossings_are_not_those_of_the_minimum() -> None:
    """Which is 0 in the contour above. Seen to catch passages through the minimum."""
    assert one([-3, 1, 2, -1, -2, -2, 4], hop=0.5)["zero_crossing_rate"] == pytest.approx(3 / 3.0)


def test_every_functional_has_an_expected_value() -> None:
    """The other five are compared with SciPy below."""
    rest = {"skewness", "kurtosis", "slope", "line_error", "line_r2"}
    assert set(BY_HAND) | rest == set(ALL)
    assert set(DEFAULT_FUNCTIONALS) <= set(ALL)


def test_line() -> None:
    """A perfect line, and the parabola t^2 at -1, 0, 1: mean 2/3, no trend."""
    ramp = one([1.0, 2.0, NAN, 4.0])
    assert ramp["slope"] == pytest.approx(100.0)
    assert ramp["line_error"] == pytest.approx(0, abs=1e-14)
    assert ramp["line_r2"] == pytest.approx(1)
    bowl = one([1.0, 0.0, 1.0])
    assert bowl["slope"] == pytest.approx(0, abs=1e-12)
    assert bowl["line_error"] == pytest.approx(np.sqrt(2) / 3)
    assert bowl["line_r2"] == pytest.approx(0, abs=1e-14)


def test_onsets() -> None:
    """Mean 1.6, std 3.2: two bursts in nine steps. Catches mean - std, which is never passed."""
    assert one([0.0, 0, 0, 8, 0, 0, 0, 8, 0, 0])["onset_rate"] == pytest.approx(2 / 0.09)


def test_against_numpy_and_scipy() -> None:
    """Catches a mean index off by one, a power of the wrong order, an error over N - 2."""
    rng = np.random.default_rng(3)
    x = rng.gamma(2.0, size=(57, 5))
    x[rng.random(x.shape) < 0.3] = NAN
    got = every(x)
    for k in range(5):
        y = x[np.isfinite(x[:, k]), k]
        t = np.flatnonzero(np.isfinite(x[:, k])) * 0.01
        line = scipy.stats.linregress(t, y)
        expected = {
            "mean": y.mean(),
            "std": y.std(),
            "cv": scipy.stats.variation(y),
            "iqr": scipy.stats.iqr(y),
            "skewness": scipy.stats.skew(y),
            "kurtosis": scipy.stats.kurtosis(y, fisher=False),
            "slope": line.slope,
            "line_r2": line.rvalue**2,
            "line_error": np.sqrt(np.mean((y - line.intercept - line.slope * t) ** 2)),
        }
        for name, value in expected.items():
            assert got[name][k] == pytest.approx(value, rel=1e-12), name
        for q in (5, 20, 25, 50, 75, 80, 95):
            assert got[f"p{q:02d}"][k] == pytest.approx(np.percentile(y, q), rel=1e-15)


# -- invariances: the unit of a functional says how it follows its column ---------------------


def test_units_follow_the_gain() -> None:
    """``{u}`` scales with the values, all else does not. Catches a unit that is not true."""
    x = speechlike()
    before, after = every(x), every(8 * x)
    for f in FUNCTIONALS.values():
        factor = 8 if "{u}" in f.unit else 1
        np.testing.assert_allclose(after[f.name], factor * before[f.name], rtol=1e-12)


def test_units_follow_the_clock() -> None:
    """Twice the hop halves what is per second and doubles what is in seconds."""
    x = speechlike()
    before, after = every(x), every(x, 0.02)
    for f in FUNCTIONALS.values():
        factor = 0.5 if f.unit.endswith("/s") else 2 if f.unit == "s" else 1
        np.testing.assert_allclose(after[f.name], factor * before[f.name], rtol=1e-12)


def test_an_offset_moves_the_level_only() -> None:
    x = speechlike()
    before, after = every(x), every(x + 16)
    moved = {"mean", "min", "max"} | {n for n in ALL if n.startswith("p") and n[1:].isdigit()}
    for name in set(ALL) - {"cv", "zero_crossing_rate"}:
        expected = before[name] + (16 if name in moved else 0)
        np.testing.assert_allclose(after[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)


def test_time_reversal() -> None:
    """Catches a last stretch that is left out, and a first step that is left out."""
    x = speechlike()
    before, after = every(x), every(x[::-1])
    swapped = {"rising_slope_mean": "falling_slope_mean", "rising_slope_std": "falling_slope_std"}
    swapped |= {b: a for a, b in swapped.items()}
    expected = {name: before[swapped.get(name, name)] for name in ALL if name != "onset_rate"}
    expected |= {name: 1 - before[name] for name in ("centroid", "min_place", "max_place")}
    expected |= {"slope": -before["slope"], "rise": -before["fall"], "fall": -before["rise"]}
    for name, value in expected.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_polarity() -> None:
    x = speechlike()
    before, after = every(x), every(-x)
    mirror = {"min": "max", "p05": "p95", "p20": "p80", "p25": "p75", "p50": "p50", "rise": "fall"}
    mirror |= {"mean": "mean", "cv": "cv", "skewness": "skewness", "slope": "slope"}
    for a, b in mirror.items():
        np.testing.assert_allclose(after[a], -before[b], rtol=1e-12, err_msg=a)
        np.testing.assert_allclose(after[b], -before[a], rtol=1e-12, err_msg=b)
    for a, b in (("rising_slope_mean", "falling_slope_mean"), ("min_place", "max_place")):
        np.testing.assert_allclose(after[a], before[b], rtol=1e-12, err_msg=a)


def test_columns_are_independent_and_in_order() -> None:
    x = speechlike()
    together = apply(x, 0.01, ["mean", "p95"])
    alone = np.concatenate([apply(x[:, j : j + 1], 0.01, ["mean", "p95"]) for j in range(4)])
    np.testing.assert_allclose(together, alone, rtol=1e-14)


# -- voiced and unvoiced versions ---------------------------------------------------------------


def test_voiced_frames_only() -> None:
    """Catches the mask taken the wrong way round."""
    x = speechlike()
    voiced = np.arange(len(x)) % 7 < 3
    for suffix, mask in (("voiced", voiced), ("unvoiced", ~voiced)):
        names = [f"{name}_{suffix}" for name in ALL]
        got = apply(x, 0.01, names, voiced=voiced)
        np.testing.assert_array_equal(got, apply(np.where(mask[:, None], x, NAN), 0.01, ALL))
    mixed = apply(x, 0.01, ["mean_unvoiced", "mean", "mean_voiced"], voiced=voiced).reshape(4, 3)
    share = np.mean(np.isfinite(x[:, 0]) & voiced)
    assert mixed[0, 2] * share + mixed[0, 0] * (1 - share) == pytest.approx(mixed[0, 1])
    np.testing.assert_array_equal(mixed[:, 1], apply(x, 0.01, ["mean"]))


def test_voicing_must_be_given_and_fit() -> None:
    x = np.zeros((3, 1))
    with pytest.raises(FeatureError, match="mean_voiced: no voicing was given") as caught:
        apply(x, 0.01, ["mean", "mean_voiced"])
    assert caught.value.code == "no-voicing"
    for wrong in (np.ones(4, dtype=bool), np.ones((3, 1), dtype=bool)):
        with pytest.raises(FeatureError, match="one truth value per frame"):
            apply(x, 0.01, ["mean_unvoiced"], voiced=wrong)
    none = apply(x, 0.01, ["mean_voiced", "mean_unvoiced"], voiced=np.zeros(3, dtype=bool))
    np.testing.assert_array_equal(none, [NAN, 0.0])


def test_functional_by_name() -> None:
    f = functional("slope_unvoiced")
    assert (f.name, f.unit, f.frames) == ("slope_unvoiced", "{u}/s", "unvoiced")
    assert f.summary.endswith("unvoiced frames only")
    assert functional("slope") is FUNCTIONALS["slope"]
    assert not any(name.endswith(("_voiced", "_unvoiced")) for name in ALL)
    for wrong, near in (
        ("kurtosi", "kurtosis"),
        ("mean_voicd", "mean"),
        ("means_voiced", "mean_voiced"),
        ("slop_unvoiced", "slope_unvoiced"),
    ):
        with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
            apply(np.zeros((3, 1)), 0.01, [wrong])
    with pytest.raises(UnknownNameError):
        functional("mean_voiced_unvoiced")


# -- degenerate input ------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(0, 12), st.integers(1, 3)),
        elements=st.floats(-1e6, 1e6) | st.sampled_from([NAN, np.inf, -np.inf, 1e-300, 0.0]),
    ),
    st.integers(0, 2**12 - 1),
)
def test_never_infinite_never_warns(values: Floats, voicing: int) -> None:
    """And what must be in order is: percentiles, shares, and the values between the extremes."""
    voiced = np.array([voicing >> i & 1 for i in range(len(values))], dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = [*ALL, *(f"{name}_voiced" for name in ALL)]
        table = apply(values, 0.01, names, voiced=voiced).reshape(values.shape[1], len(names))
    assert not np.isinf(table).any()
    got = dict(zip(names, table.T, strict=True))
    order = np.array([got[n] for n in ("min", "p05", "p20", "p25", "p50", "p75", "p80", "p95")])
    with np.errstate(invalid="ignore"):
        assert not (np.diff(order, axis=0) < 0).any()
        for name, f in FUNCTIONALS.items():
            if "share" in f.summary or "place" in f.summary:
                assert not ((got[name] < 0) | (got[name] > 1 + 1e-12)).any(), name
            if name.endswith(("_std", "_rate")) or name in {"std", "line_error", "peak_distance"}:
                assert not (got[name] < 0).any(), name


def test_infinity_counts_as_undefined() -> None:
    a = one([1.0, np.inf, 3.0, -np.inf, 2.0])
    b = one([1.0, NAN, 3.0, NAN, 2.0])
    np.testing.assert_array_equal(list(a.values()), list(b.values()))


@pytest.mark.parametrize("frames", [0, 1, 4])
def test_nothing_defined(frames: int) -> None:
    """All NaN but for what speaks of the frames themselves; no frame is one undefined frame."""
    got = every(np.full((frames, 1), NAN))
    about_frames = {"defined": 0, "run_rate": 0, "gap_mean": max(frames, 1) * 0.01, "gap_std": 0}
    for name, value in got.items():
        assert value == pytest.approx(about_frames.get(name, NAN), nan_ok=True), name


def test_one_frame() -> None:
    got = one([5.0])
    five = {"mean", "min", "max", "p05", "p20", "p25", "p50", "p75", "p80", "p95"}
    zero = {"std", "cv", "range", "iqr", "range_p20_p80", "min_place", "max_place", "run_std"}
    zero |= {n for n in ALL if n.startswith("above_")} | {"peak_rate"}
    expected = dict.fromkeys(five, 5.0) | dict.fromkeys(zero, 0.0)
    expected |= {"defined": 1.0, "run_rate": 100.0, "run_mean": 0.01}
    for name, value in got.items():
        assert value == pytest.approx(expected.get(name, NAN), nan_ok=True), name


@pytest.mark.parametrize("value", [-0.1, 1e300, 1e-300, 0.0])
def test_constant(value: float) -> None:
    """Rounding noise of the mean has no shape and crosses nothing."""
    got = one([value] * 9)
    for name in ("skewness", "kurtosis", "line_r2", "centroid", "rising_slope_mean"):
        assert np.isnan(got[name]), name
    for name in ("std", "slope", "line_error"):
        assert abs(got[name]) <= 1e-12 * abs(value) * 100, name
    for name in ("above_mean", "mean_crossing_rate", "onset_rate", "peak_rate", "rise", "range"):
        assert got[name] == 0, name
    assert np.isnan(got["cv"]) if value == 0 else abs(got["cv"]) < 1e-12


def test_rounding_noise_has_no_shape() -> None:
    """Catches a column taken for constant only where its spread is exactly 0."""
    got = one([1.0, 1.0 + 2**-52, 1.0, 1.0] * 5)
    for name in ("skewness", "kurtosis", "line_r2", "centroid", "rising_slope_mean"):
        assert np.isnan(got[name]), name
    assert (got["above_mean"], got["mean_crossing_rate"], got["peak_rate"]) == (0, 0, 0)


def test_cv_is_undefined_about_a_mean_of_zero() -> None:
    assert np.isnan(one([1.0, -1.0])["cv"])
    assert np.isnan(one([1.0, -1.0 + 1e-9])["cv"])
    assert one([-2.0, -4.0])["cv"] == pytest.approx(-1 / 3)


def test_values_of_any_size_have_moments() -> None:
    """Powers of the values would overflow; those of the standardised values do not."""
    x = np.array([1.0, 2.0, 4.0, 3.0])
    for size in (1e-120, 1e120):
        for name in ("skewness", "kurtosis"):
            assert one(list(size * x))[name] == pytest.approx(one(list(x))[name], rel=1e-12)


# -- openSMILE ---------------------------------------------------------------------------------

# A contour goes in as a sound of 100 samples per second: cFunctionals reads it sample by sample.
CONTOUR = r"""
[componentInstances:cComponentManager]
instance[dataMemory].type=cDataMemory
\{\cm[source{?}:source]}
[componentInstances:cComponentManager]
instance[f].type=cFunctionals
[f:cFunctionals]
reader.dmLevel=wave
writer.dmLevel=func
frameMode=full
frameSize=0
frameStep=0
frameCenterSpecial=left
nonZeroFuncts=0
masterTimeNorm=frames
functionalsEnabled=Moments;Percentiles;Regression;Times;Extremes;Peaks2
Moments.variance=0
Moments.amean=1
Moments.stddev=1
Moments.stddevNorm=2
Moments.doRatioLimit=0
Percentiles.quartiles=1
Percentiles.iqr=1
Percentiles.percentile[0]=0.05
Percentiles.percentile[1]=0.95
Percentiles.interp=1
Regression.normInputs=0
Regression.normRegCoeff=0
Times.norm=segment
Extremes.norm=frames
Peaks2.numPeaks=1
Peaks2.meanPeakDist=1
Peaks2.meanRisingSlope=1
Peaks2.stddevRisingSlope=1
Peaks2.meanFallingSlope=1
Peaks2.stddevFallingSlope=1
Peaks2.relThresh=0.1
Peaks2.norm=seconds
\{\cm[sink{?}:sink]}
"""


@pytest.fixture(scope="module")
def smile(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """openSMILE's functionals of a contour of n values in [-1, 1] every 10 ms, by name."""
    opensmile = pytest.importorskip("opensmile")
    file = tmp_path_factory.mktemp("opensmile") / "contour.conf"
    file.write_text(CONTOUR, encoding="utf-8")
    engine = opensmile.Smile(str(file), feature_level="func", loglevel=0)

    def measure(x: Floats) -> dict[str, float]:
        whole = np.rint(x * 32767)  # it divides by 32767 what its wrapper multiplied by 32768
        values = engine(whole[None, :] / 32768, 100)[0, :, 0]
        names = (name.removeprefix("pcm_") for name in engine.feature_names)
        return dict(zip(names, map(float, values), strict=True))

    return measure


def contour(seed: int, n: int = 300) -> Floats:
    """A smooth contour of values that 16 bits hold."""
    rng = np.random.default_rng(seed)
    y = np.convolve(rng.standard_normal(n), np.hanning(int(rng.integers(5, 25))), "same")
    return np.asarray(np.rint(y / np.abs(y).max() * 20000) / 32767, dtype=np.float64)


@pytest.mark.parametrize("seed", range(6))
def test_opensmile_computes_the_same(smile: Any, seed: int) -> None:
    """To the digits of its single precision; its slope is per frame, its positions are frames."""
    x = contour(seed)
    theirs, ours = smile(x), one(list(x))
    same = {
        "amean": ours["mean"],
        "stddev": ours["std"],
        "stddevNorm": ours["cv"],
        "skewness": ours["skewness"],
        "kurtosis": ours["kurtosis"],
        "quartile1": ours["p25"],
        "quartile2": ours["p50"],
        "quartile3": ours["p75"],
        "iqr1-3": ours["iqr"],
        "percentile5.0": ours["p05"],
        "percentile95.0": ours["p95"],
        "max": ours["max"],
        "min": ours["min"],
        "range": ours["range"],
        "maxPos": ours["max_place"] * (len(x) - 1),
        "minPos": ours["min_place"] * (len(x) - 1),
        "linregc1": ours["slope"] * 0.01,
        "linregerrQ": ours["line_error"] ** 2,
        **{f"upleveltime{q}": ours[f"above_{q}"] for q in (25, 50, 75, 90)},
    }
    for name, value in same.items():
        assert theirs[name] == pytest.approx(value, rel=2e-5, abs=2e-6), name


def test_opensmile_finds_the_same_turning_points(smile: Any) -> None:
    """The same slopes where its two liberties with the ends make no difference
    (`serfeat.signal.turns`).

    The contour begins at its lowest and ends at its highest value, so that the stretches at the
    ends are turning points to both; the last stretch rises, and it is missing from openSMILE's
    standard deviation of the rising slopes. Upside down it falls, with the wrong sign in its mean.
    Catches steepness per frame, and a last stretch that is left out.
    """
    t = np.arange(400) / 400
    x = 0.7 * (2 * t - 1) + 0.2 * np.sin(2 * np.pi * (5.9 * t + 3.3 * t**2) + 0.3)
    x[0], x[-1] = -0.95, 0.95
    x = np.rint(x * 20000) / 32767
    theirs, ours = smile(x), one(list(x))
    assert theirs["numPeaks"] == pytest.approx(ours["peak_rate"], rel=1e-5)
    assert theirs["meanPeakDist"] == pytest.approx(ours["peak_distance"], rel=1e-5)
    assert theirs["meanRisingSlope"] == pytest.approx(ours["rising_slope_mean"], rel=1e-5)
    assert theirs["meanFallingSlope"] == pytest.approx(ours["falling_slope_mean"], rel=1e-5)
    assert theirs["stddevFallingSlope"] == pytest.approx(ours["falling_slope_std"], rel=1e-5)
    theirs, ours = smile(-x), one(list(-x))
    assert theirs["meanRisingSlope"] == pytest.approx(ours["rising_slope_mean"], rel=1e-5)
    assert theirs["stddevRisingSlope"] == pytest.approx(ours["rising_slope_std"], rel=1e-5)


def test_opensmile_agrees_on_random_contours(smile: Any) -> None:
    """Turning points without that care: 60 contours, correlations measured .995, .998, .980."""
    names = {
        "numPeaks": "peak_rate",
        "meanRisingSlope": "rising_slope_mean",
        "meanFallingSlope": "falling_slope_mean",
    }
    theirs, ours = [], []
    for seed in range(60):
        x = contour(seed)
        there, here = smile(x), one(list(x))
        theirs.append([there[name] for name in names])
        ours.append([here[name] for name in names.values()])
    for a, b, least in zip(np.array(theirs).T, np.array(ours).T, (0.98, 0.98, 0.96), strict=True):
        assert np.corrcoef(a, b)[0, 1] > least
        assert np.median(np.abs(a / b - 1)) < 0.1


@pytest.mark.corpus
def test_opensmile_on_speech(emodb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our functionals of openSMILE's contours are openSMILE's: to 1e-7, measured 9e-7 in a range.

    For columns that it defines on voiced frames; of the others it reports three frames fewer than
    it takes statistics of. Its zeros are our NaN. Catches percentiles at q / 101.
    """
    pytest.importorskip("opensmile")
    import soundfile as sf

    from serfeat.lld import opensmile

    monkeypatch.setenv(opensmile.CONSENT, "1")
    x, sr = sf.read(sorted((emodb_root / "audio").glob("*.flac"))[60])
    columns, contours = opensmile.lld(x, sr)
    theirs = dict(zip(*opensmile.functionals(x, sr), strict=True))
    ours = {"amean": "mean", "stddevNorm": "cv", "percentile20.0": "p20", "percentile50.0": "p50"}
    ours |= {"percentile80.0": "p80", "pctlrange0-2": "range_p20_p80"}
    compared = 0
    for j, column in enumerate(columns):
        if not column.startswith(("F0semi", "jitter", "shimmer", "HNR", "logRelF0")):
            continue
        values = np.where(contours[:, j : j + 1] == 0, NAN, contours[:, j : j + 1])
        for word, name in ours.items():
            if f"{column}_{word}" in theirs:
                expected = theirs[f"{column}_{word}"]
                assert apply(values, 0.01, [name])[0] == pytest.approx(expected, rel=2e-6)
                compared += 1
    assert compared == 16


def test_opensmile_zeros() -> None:
    x = np.array([[1.0, NAN], [np.inf, -0.5]])
    got = to_opensmile_zeros(x)
    np.testing.assert_array_equal(got, [[1.0, 0.0], [0.0, -0.5]])
    assert np.isnan(x[0, 1])
    assert apply(to_opensmile_zeros(np.array([[3.0], [NAN]])), 0.01, ["mean"])[0] == 1.5
