"""Pitch: closed forms, Praat on real speech, invariances, degenerate clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import serfeat.signal.pitch as module
from serfeat.errors import FeatureError
from serfeat.jit import COMPILED
from serfeat.shorttime import ShortTime
from serfeat.signal import pitch_plain
from serfeat.signal.pitch import (
    Pitch,
    _candidates,
    interpolation_table,
    pitch,
    sinc_at,
    sinc_peak,
    tabled_peak,
)
from serfeat.signal.pulses import _next_pulse, pulses
from serfeat.types import Floats

SR = 16000
kernel = pytest.mark.skipif(not COMPILED, reason="nothing is compiled: the plain versions run")


def voice(f0: Floats, sr: int = SR, harmonics: int = 60) -> Floats:
    """Harmonics falling by 12 dB per octave along an F0 contour (Hz, one value per sample)."""
    phase = 2 * np.pi * np.cumsum(f0) / sr
    x = np.zeros(len(f0))
    for h in range(1, harmonics):
        amplitude = np.where(h * f0 < 0.45 * sr, 10 ** (-12 * np.log2(h) / 20), 0.0)
        x += amplitude * np.cos(h * phase + h * h)
    return 0.5 * x / np.abs(x).max()


def steady(f0: float, seconds: float = 1.0, sr: int = SR) -> Floats:
    return voice(np.full(int(seconds * sr), f0), sr)


def cents(a: Floats, b: Floats) -> Floats:
    return 1200 * np.log2(a / b)


T = np.arange(3 * SR) / SR
CONTOURS = {
    # F0 at every sample; bias and rms in cents that Praat reaches, which we may double
    "constant": (np.full(len(T), 200.0), 0.01, 0.01),
    "glide": (100 * 3 ** (T / 3), 0.01, 0.03),
    "vibrato": (220 * 2 ** (50 / 1200 * np.sin(2 * np.pi * 5 * T)), 0.03, 0.56),
}


@pytest.mark.parametrize("name", CONTOURS)
def test_clean_contours_are_found_to_a_few_hundredths_of_a_cent(name: str) -> None:
    """Catches a shifted lag or frame: a hop of error is 19 cents on the glide."""
    truth, bias, rms = CONTOURS[name]
    st = ShortTime(voice(truth), SR)
    inside = (st.grid.times > 0.2) & (st.grid.times < 2.8)
    found = pitch(st).f0[inside]
    # F0[n] is the step of the phase from sample n - 1 to n, where the window's centre lies
    error = cents(found, np.interp(st.grid.times[inside], T, truth))
    assert np.isfinite(found).all()
    assert abs(error.mean()) < 2 * bias
    assert np.sqrt((error**2).mean()) < 2 * rms


@pytest.mark.parametrize("name", CONTOURS)
def test_ten_decibels_of_noise_cost_less_than_28_cents(name: str) -> None:
    truth = CONTOURS[name][0]
    x = voice(truth)
    noise = np.random.default_rng(0).standard_normal(len(x))
    st = ShortTime(x + 10 ** (-0.5) * x.std() * noise, SR)
    inside = (st.grid.times > 0.2) & (st.grid.times < 2.8)
    error = cents(pitch(st).f0[inside], np.interp(st.grid.times[inside], T, truth))
    assert np.isfinite(error).all()
    assert np.abs(error).max() < 350  # no octave error
    assert np.sqrt((error**2).mean()) < 28


@pytest.mark.parametrize("sr", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("f0", [85.0, 187.3, 401.0])
def test_every_sample_rate(sr: int, f0: float) -> None:
    found = pitch(ShortTime(steady(f0, 0.5, sr), sr)).f0[6:-6]
    assert np.abs(cents(found, np.full(len(found), f0))).max() < 0.5


def test_missing_fundamental() -> None:
    """800 + 1000 + 1200 Hz repeat 200 times per second; there is no energy at 200 Hz."""
    x = sum(np.cos(2 * np.pi * f * T[:SR]) for f in (800, 1000, 1200))
    np.testing.assert_allclose(pitch(ShortTime(x, SR)).f0[5:-5], 200, atol=0.01)


def test_strong_second_harmonic_is_no_octave_error() -> None:
    """Catches a wrong sign of the octave cost, which must only break ties."""
    x = 0.15 * np.cos(2 * np.pi * 150 * T[:SR]) + np.cos(2 * np.pi * 300 * T[:SR] + 1)
    np.testing.assert_allclose(pitch(ShortTime(x, SR)).f0[5:-5], 150, atol=0.1)


def test_of_equal_candidates_the_shortest_period_is_taken() -> None:
    """Catches a missing octave cost: 100 Hz and 200 Hz fit a 200 Hz tone equally well."""
    contour = pitch(ShortTime(np.sin(2 * np.pi * 200 * T[:SR]), SR))
    np.testing.assert_allclose(contour.f0[5:-5], 200, atol=0.05)
    np.testing.assert_allclose(contour.strength[5:-5], 1, atol=1e-3)


def test_white_noise_is_unvoiced() -> None:
    x = np.random.default_rng(1).standard_normal(2 * SR)
    assert pitch(ShortTime(x, SR)).voiced.mean() < 0.02


def test_range_is_respected() -> None:
    """Catches a ceiling or floor that is not applied to the refined period."""
    x = steady(200.0)
    assert not (pitch(ShortTime(x, SR), floor=75, ceiling=190).f0 > 190).any()
    assert not (pitch(ShortTime(x, SR), floor=210, ceiling=600).f0 < 210).any()


def test_a_maximum_above_one_is_reflected() -> None:
    """Catches 1.25 taken as it is: beyond 1 the window's autocorrelation was too small (1 / r)."""
    lag = np.arange(300)
    r = (
        np.exp(-0.5 * ((lag - 80) / 6.0) ** 2) * 0.9
        + np.exp(-0.5 * ((lag - 160) / 6.0) ** 2) * 1.25
    )
    r[0] = 1.0
    lags, strengths = np.zeros((1, 14)), np.zeros((1, 14))
    _candidates(r[None], np.ones(280), SR / 600, SR / 75, 0.2, 0.01, lags, strengths)
    np.testing.assert_allclose(lags[0, :3], [80, 160, 0], atol=0.01)
    np.testing.assert_allclose(strengths[0, :3], [0.9, 0.8, 0], atol=1e-3)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=kernel), False])
def test_a_period_next_to_the_shortest(compiled: bool) -> None:
    """26.35 samples, of 26.2 at least: the highest sample is the 26th.

    Seen to catch a search that begins at 27, in the kernel and in the plain version.
    """
    r = np.cos(2 * np.pi * np.arange(300) / 26.35)[None]
    lags, strengths = np.zeros((2, 1, 14))
    collect = module._collect if compiled else pitch_plain.collect
    table = interpolation_table(32)
    collect(r, np.ones(280), table, 26.2, SR / 75, 0.2, 0.01, lags, strengths)
    assert np.abs(lags[0] - 26.35).min() < 0.01


def test_viterbi_bridges_what_a_single_frame_gets_wrong() -> None:
    """Catches transition costs that are not used: a burst of the octave below is smoothed away."""
    x = steady(200.0)
    x[8000:8200] += 0.5 * np.sin(2 * np.pi * 100 * T[:200]) * np.hanning(200)
    with_costs = pitch(ShortTime(x, SR)).f0[10:-10]
    assert np.abs(cents(with_costs, np.full(len(with_costs), 200.0))).max() < 350


@pytest.mark.corpus
def test_agrees_with_praat_on_emodb(emodb_root: Path) -> None:
    """Median below 0.1 cent and 99.8 % equal voicing; measured 0.006 cent and 100 %.

    Catches: a window that is not divided out, a parabola without sinc, a wrong silence threshold.
    """
    parselmouth = pytest.importorskip("parselmouth")
    differences, equal = [], []
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::54]:
        x, sr = sf.read(file)
        # Praat centres its frames on the clip: of 642 + 160 m samples, on sample 321 + 160 k.
        x = x[: 642 + 160 * ((len(x) - 642) // 160)]
        praat = parselmouth.Sound(x, sr).to_pitch_ac(
            time_step=0.01, pitch_floor=75, pitch_ceiling=600
        )
        frames = np.rint((praat.xs() * sr - 1) / 160).astype(int)
        np.testing.assert_allclose(praat.xs() * sr, 160 * frames + 1, atol=1e-3)
        theirs = praat.selected_array["frequency"]
        ours = pitch(ShortTime(x[1:], sr)).f0[frames]
        equal.append((theirs > 0) == np.isfinite(ours))
        both = (theirs > 0) & np.isfinite(ours)
        differences.append(cents(ours[both], theirs[both]))
    assert len(equal) >= 9
    assert np.concatenate(equal).mean() > 0.998
    assert np.median(np.abs(np.concatenate(differences))) < 0.1
    assert (np.abs(np.concatenate(differences)) > 350).mean() < 0.001


def noisy_voice() -> Floats:
    rng = np.random.default_rng(3)
    x = np.concatenate([np.zeros(3000), steady(140.0, 0.5), np.zeros(2000), steady(230.0, 0.3)])
    return x + 1e-3 * rng.standard_normal(len(x))


@pytest.mark.parametrize("gain", [1e-6, 3.7, -1.0, 1e150, 1e-150])
def test_gain_and_polarity_do_not_matter(gain: float) -> None:
    x = noisy_voice()
    one, other = pitch(ShortTime(x, SR)), pitch(ShortTime(gain * x, SR))
    np.testing.assert_allclose(other.f0, one.f0, rtol=1e-9)
    np.testing.assert_allclose(other.strength, one.strength, rtol=1e-9)


def test_offset_does_not_matter() -> None:
    x = noisy_voice()
    one, other = pitch(ShortTime(x, SR)), pitch(ShortTime(x + 0.3, SR))
    np.testing.assert_allclose(other.f0, one.f0, rtol=1e-9)


def test_a_shift_by_frames_shifts_the_contour() -> None:
    x = noisy_voice() - noisy_voice().mean()
    one = pitch(ShortTime(x, SR)).f0
    other = pitch(ShortTime(np.concatenate([np.zeros(70 * 160), x]), SR)).f0
    inside = slice(3, -3)
    np.testing.assert_allclose(other[70:][inside], one[inside], rtol=1e-9)
    assert np.isnan(other[:68]).all()


def test_same_bits_for_any_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches frames that leak from one block into the next, and sums that depend on the block."""
    x = noisy_voice()
    one = pitch(ShortTime(x, SR))
    monkeypatch.setattr("serfeat.signal.pitch.BLOCK", 7)
    other = pitch(ShortTime(x, SR))
    np.testing.assert_array_equal(other.f0, one.f0)
    np.testing.assert_array_equal(other.strength, one.strength)


def test_memoised_and_read_only() -> None:
    st = ShortTime(steady(120.0), SR)
    assert pitch(st) is pitch(st)
    assert pitch(st) is not pitch(st, ceiling=500.0)
    with pytest.raises(ValueError, match="read-only"):
        pitch(st).f0[0] = 1.0


IMPULSE = np.zeros(SR)
IMPULSE[SR // 2] = 1.0
CLIPPED = np.clip(20 * np.sin(2 * np.pi * 150 * T[:SR]), -1, 1)


@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), np.full(SR, 0.1) * 1e-300, IMPULSE, np.ones(1), np.zeros(300)],
    ids=["silence", "offset", "denormal", "impulse", "one sample", "short"],
)
def test_nothing_periodic_is_all_nan(x: Floats) -> None:
    st = ShortTime(x, SR)
    contour = pitch(st)
    assert contour.f0.shape == contour.strength.shape == (st.n_frames,)
    assert not contour.voiced.any()
    assert np.isnan(contour.strength).all()
    assert pulses(st, contour).shape == (0,)


def test_a_clip_shorter_than_the_window_is_undefined() -> None:
    """The window is 3 / 75 s = 640 samples."""
    assert not pitch(ShortTime(steady(200.0)[:639], SR)).voiced.any()
    assert pitch(ShortTime(steady(200.0)[:1600], SR)).voiced.any()


def test_clipping_keeps_the_period() -> None:
    np.testing.assert_allclose(pitch(ShortTime(CLIPPED, SR)).f0[5:-5], 150, atol=0.05)


@pytest.mark.parametrize(
    ("floor", "ceiling"), [(0, 600), (600, 75), (75, 75), (75, 5000), (-75, 600), (np.nan, 600)]
)
def test_impossible_ranges_are_refused(floor: float, ceiling: float) -> None:
    with pytest.raises(FeatureError, match="floor"):
        pitch(ShortTime(steady(200.0), SR), floor=floor, ceiling=ceiling)


def test_sinc_interpolates_a_band_limited_sequence() -> None:
    """Catches a wrong window or sign: the error of a cosine at 0.3 of the rate is below 1e-4."""
    omega = 2 * np.pi * 0.3
    y = np.cos(omega * np.arange(200))
    for x in (40.0, 40.3, 57.5, 99.99):
        assert sinc_at(y, x, 30) == pytest.approx(np.cos(omega * x), abs=1e-4)
    assert sinc_at(y, 3.4, 30) == pytest.approx(np.cos(omega * 3.4), abs=1e-4)  # mirrored at 0


def test_sinc_peak_finds_the_top_between_samples() -> None:
    """Catches a parabola through the samples, which errs by 0.02 samples here."""
    y = np.cos(2 * np.pi * np.arange(200) / 5.3)
    place, height = sinc_peak(y, 42.0, 50)
    assert place == pytest.approx(8 * 5.3, abs=1e-3)
    assert height == pytest.approx(1.0, abs=1e-5)


def pulse_train(times: Floats, seconds: float, sr: int) -> Floats:
    n = np.arange(int(seconds * sr))
    x = np.zeros(len(n))
    for t in times:
        x += np.exp(-0.5 * ((n - t * sr) / (5e-4 * sr)) ** 2)
    return x


@pytest.mark.parametrize("sr", [16000, 44100])
def test_pulses_are_where_they_were_put(sr: int) -> None:
    """Catches a half-sample shift: places agree to 2 microseconds."""
    truth = np.cumsum(np.where(np.arange(110) % 2, 0.0079, 0.0081)) + 0.01
    st = ShortTime(pulse_train(truth, 1.0, sr), sr)
    found = pulses(st, pitch(st))
    assert len(found) > 100
    nearest = np.abs(found[:, None] - truth).argmin(axis=1)
    np.testing.assert_array_equal(np.diff(nearest), 1)  # none twice, none left out
    np.testing.assert_allclose(found, truth[nearest], atol=2e-6)


def test_pulses_of_two_parts_do_not_overlap() -> None:
    x = noisy_voice()
    st = ShortTime(x, SR)
    found = pulses(st, pitch(st))
    assert (np.diff(found) > 0.8 / 235).all()
    silent = (found > 3000 / SR + 0.51) & (found < (3000 + 8000 + 2000) / SR - 0.01)
    assert not silent.any()
    assert ((found > 3000 / SR) & (found < 0.68)).sum() == pytest.approx(70, abs=2)
    assert (found > 0.8).sum() == pytest.approx(69, abs=2)


@pytest.mark.parametrize(
    ("periods", "found"), [(0.79, False), (0.82, True), (1.248, True), (1.28, False)]
)
def test_the_next_pulse_is_0_8_to_1_25_periods_away(periods: float, found: bool) -> None:
    """One of two bumps, at that distance from the other.

    Seen to catch 0.88, 1.375, and a range that ends a sample early.
    """
    n = np.arange(1000)
    x = np.exp(-0.5 * ((n - 400) / 6) ** 2) + np.exp(-0.5 * ((n - 400 - 100 * periods) / 6) ** 2)
    at, r = _next_pulse(x, 0.0, 400.0, 100.0, 1)
    assert (abs(at - 400 - 100 * periods) < 0.5 and r > 0.9) == found


@pytest.mark.parametrize(("click", "alike"), [(348, True), (352, False)])
def test_pulses_are_alike_within_half_a_period(click: int, alike: bool) -> None:
    """A click 52 samples before the first of two bumps does not count, one 48 before does.

    Seen to catch 0.55 of the period before, and 0.45 after.
    """
    n = np.arange(1000)
    x = np.exp(-0.5 * ((n - 400) / 6) ** 2) + np.exp(-0.5 * ((n - 500) / 6) ** 2)
    x[click] += 2.0
    at, r = _next_pulse(x, 0.0, 400.0, 100.0, 1)
    assert (abs(at - 500) < 0.5 and r > 0.99) == alike


def test_voiced_is_where_f0_is_finite() -> None:
    contour = Pitch(np.array([100.0, np.nan]), np.array([0.9, np.nan]))
    assert contour.voiced.tolist() == [True, False]


@kernel
@pytest.mark.parametrize("depth", [16, 24, 32])
def test_tabled_peak_is_sinc_peak(depth: int) -> None:
    """Catches a table that is shifted by a sample or by one of its places.

    Periods of one to two depths: the sum over longer ones ripples, and has maxima of its own. Near
    a sample, where the window of the sum moves on by one, both have a step.
    """
    rng = np.random.default_rng(3)
    table = interpolation_table(depth)
    k = np.arange(5 * depth)
    for _ in range(200):
        lag = rng.uniform(depth, 2 * depth)
        y = np.cos(2 * np.pi * k / lag) + 0.3 * np.cos(6 * np.pi * k / lag)
        mirrored = np.concatenate([y[depth:0:-1], y])
        guess = lag + rng.uniform(-0.3, 0.3)
        place, value = tabled_peak(mirrored, table, guess)
        exact_place, exact_value = sinc_peak(y, guess, depth)
        between = abs(lag - round(lag)) > 1 / 32
        assert place == pytest.approx(exact_place, abs=1e-4 if between else 1e-2)
        assert value == pytest.approx(exact_value, abs=1e-7 if between else 1e-5)


@pytest.mark.parametrize("compiled", [True, False])
def test_without_a_threshold_of_silence(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to catch: 0 / 0 in digital silence, after which no frame is voiced; no peak sought."""
    monkeypatch.setattr(module, "COMPILED", compiled and module.COMPILED)
    x = np.concatenate([np.zeros(SR // 2), steady(150.0), np.zeros(SR // 2)])
    quiet = np.concatenate([x, 1e-3 * steady(150.0)])
    voiced = pitch(ShortTime(quiet, SR), silence=0.0).voiced
    assert voiced[60:140].all()
    assert voiced[220:290].all()
    assert not voiced[:40].any()
    assert not pitch(ShortTime(quiet, SR)).voiced[220:290].any()


def test_a_quiet_frame_between_voiced_ones_is_voiced() -> None:
    """Where two changes of voicing cost more than eq. 23 gives. Seen to catch one for the two."""
    x = steady(200.0)
    x[7890:8111] *= 0.3  # what a frame's peak is taken from
    settings = {"silence": 0.5, "voicing": 0.45, "voiced_unvoiced": 0.5}
    assert pitch(ShortTime(x, SR), **settings).voiced[5:-5].all()
    assert not pitch(ShortTime(x, SR), **{**settings, "voiced_unvoiced": 0.3}).voiced[50]


def test_candidates_begin_at_half_of_the_voicing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Praat. Seen to catch 0.55."""
    told, search = [], module._search
    monkeypatch.setattr(module, "_search", lambda *a: told.append(a[4]) or search(*a))
    pitch(ShortTime(steady(200.0), SR), voicing=0.4)
    assert told == [0.2]


def test_quiet_frames_are_left_out_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames too quiet for any path to be voiced there are not analysed: the contour is the same.

    Catches a limit that is too high: 0.03 (the silence threshold itself) loses voiced frames.
    """
    x = np.concatenate([steady(150.0) * np.geomspace(1, 1e-4, SR), steady(220.0)])
    x += 1e-3 * np.random.default_rng(0).standard_normal(len(x))
    expected = pitch(ShortTime(x, SR))
    search = module._search
    monkeypatch.setattr(module, "_search", lambda *a: search(*a[:-2], 0.0, a[-1]))
    everything = pitch(ShortTime(x, SR))
    np.testing.assert_array_equal(expected.f0, everything.f0)
    np.testing.assert_array_equal(expected.strength, everything.strength)
    assert 0.1 < expected.voiced.mean() < 0.9
