"""Spectral shape: closed forms, librosa, openSMILE's eGeMAPS, invariances, degenerate clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.lld.spectral import COLUMNS, DESCRIPTORS, spectral_shape
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

SR = 16000
AT = {name: k for k, name in enumerate(COLUMNS)}


def column(x: Floats, name: str, sr: int = SR) -> Floats:
    return spectral_shape(x, sr)[:, AT[name]]


def noise(seconds: float = 4.0, seed: int = 0, sr: int = SR) -> Floats:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * sr))


def shaped(decibels_per_hz: float) -> Floats:
    """Noise whose spectrum falls by a straight line in dB."""
    spectrum = np.fft.rfft(noise())
    f = np.linspace(0, SR / 2, len(spectrum))
    return np.asarray(np.fft.irfft(spectrum * 10 ** (decibels_per_hz * f / 20)))


@pytest.mark.parametrize("f", [500.0, 1234.5, 3000.0])
def test_a_sine_lies_at_its_frequency(f: float) -> None:
    """Catches an axis shifted by one bin (31 Hz), and magnitudes in place of powers."""
    x = np.sin(2 * np.pi * f * np.arange(SR) / SR)
    assert column(x, "centroid_hz")[50] == pytest.approx(f, abs=3)
    assert column(x, "rolloff_hz")[50] == pytest.approx(f, abs=SR / 512)
    assert column(x, "spectral_flatness")[50] < 1e-3
    assert column(x, "spectral_entropy")[50] < 0.35


def test_white_noise() -> None:
    """Moments of an even distribution over 0 to 8 kHz; catches every wrong exponent."""
    mean = dict(zip(COLUMNS, np.nanmean(spectral_shape(noise(20.0), SR), axis=0), strict=True))
    assert mean["centroid_hz"] == pytest.approx(4000, rel=0.01)
    assert mean["spread_hz"] == pytest.approx(8000 / np.sqrt(12), rel=0.01)
    assert mean["spectral_skewness"] == pytest.approx(0, abs=0.02)
    assert mean["spectral_kurtosis"] == pytest.approx(1.8, abs=0.03)
    assert mean["rolloff_hz"] == pytest.approx(0.85 * 8000, rel=0.01)
    assert mean["spectral_flatness"] == pytest.approx(np.exp(-np.euler_gamma), abs=0.01)
    entropy = 1 - (1 - np.euler_gamma) / np.log(257)
    assert mean["spectral_entropy"] == pytest.approx(entropy, abs=0.005)
    assert mean["slope_0_500"] == pytest.approx(0, abs=1e-3)
    assert mean["slope_500_1500"] == pytest.approx(0, abs=4e-4)
    assert mean["alpha_ratio_db"] == pytest.approx(10 * np.log10(950 / 4000), abs=0.2)
    assert mean["hammarberg_db"] == pytest.approx(0, abs=2)


@pytest.mark.parametrize("slope", [-0.02, 0.002])
def test_slopes_and_ratios_of_a_straight_spectrum(slope: float) -> None:
    """Catches the alpha ratio upside down, a slope per bin, N - 1 in the regression."""
    mean = dict(zip(COLUMNS, np.nanmean(spectral_shape(shaped(slope), SR), axis=0), strict=True))
    # a window of 25 ms smears the steepest spectrum a little at its lower end
    assert mean["slope_0_500"] == pytest.approx(slope, abs=2.5e-3)
    assert mean["slope_500_1500"] == pytest.approx(slope, abs=1e-3)
    power = [10 ** (slope * np.arange(*band) / 10) for band in ((50, 1000), (1000, 5000))]
    ratio = 10 * np.log10(power[0].sum() / power[1].sum())
    assert mean["alpha_ratio_db"] == pytest.approx(ratio, abs=0.5)


@pytest.mark.parametrize("tilt", [-0.01, 0.004])
def test_the_definitions_written_out_for_one_frame(tilt: float) -> None:
    """A lopsided spectrum with every edge of a band between two levels.

    Seen to catch the spread to the fourth under the skewness, a rolloff of 90 %, band edges at 55
    and 2200 Hz.
    """
    x = shaped(tilt)
    i = 120
    frame = x[160 * i - 200 : 160 * i + 200] * np.hamming(400)
    power = np.abs(np.fft.fft(frame, 512)[:257]) ** 2
    f = np.arange(257) * 31.25
    decibels = 10 * np.log10(power)
    p = power / power.sum()
    mean = sum(p * f)
    spread = sum(p * (f - mean) ** 2) ** 0.5
    expected = {
        "centroid_hz": mean,
        "spread_hz": spread,
        "spectral_skewness": sum(p * (f - mean) ** 3) / spread**3,
        "spectral_kurtosis": sum(p * (f - mean) ** 4) / spread**4,
        "rolloff_hz": min(f[k] for k in range(257) if power[: k + 1].sum() >= 0.85 * power.sum()),
        "slope_0_500": np.polyfit(f[1:17], decibels[1:17], 1)[0],  # 31 to 500 Hz
        "slope_500_1500": np.polyfit(f[16:49], decibels[16:49], 1)[0],
        # 62.5 to 1000 Hz over 1031 to 5000 Hz; up to 2000 Hz less 2031 to 5000 Hz
        "alpha_ratio_db": 10 * np.log10(power[2:33].sum() / power[33:161].sum()),
        "hammarberg_db": decibels[:65].max() - decibels[65:161].max(),
        "spectral_entropy": -sum(p * np.log(p)) / np.log(257),
        "spectral_flatness": np.exp(np.log(power).mean()) / power.mean(),
    }
    found = dict(zip(COLUMNS, spectral_shape(x, SR)[i], strict=True))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_hammarberg_of_two_sines() -> None:
    """20 dB between the highest of either band; a louder one above 5 kHz does not count."""
    t = np.arange(SR) / SR
    parts = [(1.0, 1000), (0.3, 500), (0.1, 3000), (0.05, 4000), (2.0, 6000)]
    x = sum(a * np.sin(2 * np.pi * f * t) for a, f in parts)
    values = column(0.1 * np.asarray(x), "hammarberg_db")[5:-5]
    np.testing.assert_allclose(values, 20, atol=0.1)


@pytest.mark.parametrize(("f", "db"), [(1880, 20.0), (2120, -20.0), (4880, -20.0)])
def test_hammarbergs_bands_end_at_2_and_5_khz(f: float, db: float) -> None:
    """A tone of 1 beside 0.1 at 1 kHz and at 3.5 kHz. Seen to catch 2200 and 4500 Hz."""
    t = np.arange(SR) / SR
    parts = [(1.0, f), (0.1, 1000), (0.1, 3500)]
    x = sum(a * np.sin(2 * np.pi * hz * t) for a, hz in parts)
    values = column(0.1 * np.asarray(x), "hammarberg_db")[5:-5]
    np.testing.assert_allclose(values, db, atol=1.0)


def test_flux() -> None:
    """Of a tone whose level changes between frames: the change, times the window's spectrum.

    Catches power in place of magnitude, a sum in place of the mean, bins above 5 kHz.
    """
    level = np.array([1.0, 1, 3, 3, 2, 2, 5, 5, 5, 0.5])
    n = np.arange(400)
    tone, high = 0.1 * np.sin(2 * np.pi * 1000 * n / SR), 0.1 * np.sin(2 * np.pi * 7000 * n / SR)
    x = np.concatenate([a * tone + k % 2 * high for k, a in enumerate(level)])
    # frames that touch but do not overlap; frame i is the level's number i
    values = spectral_shape(np.pad(x, (0, 1))[200:], SR, hop=0.025)[:10, AT["spectral_flux"]]
    spectrum = np.abs(np.fft.rfft(tone * np.hamming(400), 512))[:161]
    step = np.abs(np.diff(level)) * np.sqrt(np.mean(spectrum**2))
    np.testing.assert_allclose(values[2:9], step[1:8], rtol=0.01, atol=0.01)


def test_entropy_of_known_spectra() -> None:
    """An impulse has an even spectrum: entropy and flatness are 1."""
    x = np.zeros(SR)
    x[8000] = 1.0
    assert column(x, "spectral_entropy")[50] == pytest.approx(1, abs=1e-9)
    assert column(x, "spectral_flatness")[50] == pytest.approx(1, abs=1e-9)


def test_librosa_agrees() -> None:
    """Same magnitudes: centroid, bandwidth, rolloff and flatness to rounding."""
    feature = pytest.importorskip("librosa").feature
    x = shaped(-0.005)
    power = np.asarray(ShortTime(x, SR).power(400, window_name="hamming"))
    f = np.linspace(0, SR / 2, power.shape[1])
    ours = spectral_shape(x, SR)
    centroid = feature.spectral_centroid(S=power.T, freq=f)[0]
    spread = feature.spectral_bandwidth(S=power.T, freq=f, p=2)[0]
    rolloff = feature.spectral_rolloff(S=power.T, freq=f, roll_percent=0.85)[0]
    flatness = feature.spectral_flatness(S=power.T, power=1.0, amin=1e-30)[0]
    names = ("centroid_hz", "spread_hz", "rolloff_hz", "spectral_flatness")
    for name, reference in zip(names, (centroid, spread, rolloff, flatness), strict=True):
        np.testing.assert_allclose(ours[:, AT[name]], reference, rtol=1e-6, err_msg=name)


def three_frame_mean(values: Floats) -> Floats:
    """openSMILE's sma3, the ends repeated."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)


@pytest.mark.corpus
def test_follows_opensmile_on_emodb(emodb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flux's median to 1e-4, Hammarberg's median to 1e-3 dB, alpha (sign turned) to 0.5 dB.

    openSMILE's slopes are rebuilt from the regression divided by N - 1, to 1e-6 dB/Hz: its columns
    are no slopes, ours are not meant to equal them. Catches another band edge, another window.
    """
    pytest.importorskip("opensmile")
    from serfeat.lld import opensmile

    monkeypatch.setenv(opensmile.CONSENT, "1")
    x, sr = sf.read(sorted((emodb_root / "audio").glob("*.flac"))[5])
    names, reference = opensmile.lld(x, sr)
    theirs = {name: reference[:, k] for k, name in enumerate(names)}
    ours = spectral_shape(x, sr, length=0.020, align="left")
    n = len(reference) - 3  # it cuts the last frames off, and smooths over what is left

    def difference(name: str, mine: Floats) -> Floats:
        return np.asarray(np.abs(three_frame_mean(mine)[:n] - theirs[name][:n]))

    flux = np.sqrt(161 / 160) * ours[:, AT["spectral_flux"]]  # openSMILE divides by one bin less
    assert np.median(difference("spectralFlux_sma3", flux)) < 1e-4
    assert difference("spectralFlux_sma3", flux).max() < 0.01  # where a sample is clipped at +1
    hammarberg = difference("hammarbergIndex_sma3", ours[:, AT["hammarberg_db"]])
    assert np.median(hammarberg) < 1e-3
    assert hammarberg.max() < 0.5
    assert np.median(difference("alphaRatio_sma3", -ours[:, AT["alpha_ratio_db"]])) < 0.5
    power = ShortTime(x, sr).power(round(0.020 * sr), align="left")
    for name, low, high in (("slope0-500", 0, 500), ("slope500-1500", 500, 1500)):
        f = np.linspace(0, sr / 2, power.shape[1])
        band = (f >= low) & (f <= high)
        y, f = 10 * np.log10(power[:, band]), f[band]
        count = len(f) - 1
        wrong = (count * (y @ f) - f.sum() * y.sum(axis=1)) / (count * (f @ f) - f.sum() ** 2)
        assert difference(f"{name}_sma3", wrong).max() < 1e-6


LEVEL_FREE = [k for k, name in enumerate(COLUMNS) if name != "spectral_flux"]


@pytest.mark.parametrize("gain", [1e-6, -1.0, 100.0, 1e100, 1e-100])
def test_gain_and_polarity_do_not_matter(gain: float) -> None:
    x = shaped(-0.005)
    expected, values = spectral_shape(x, SR), spectral_shape(gain * x, SR)
    np.testing.assert_allclose(values[:, LEVEL_FREE], expected[:, LEVEL_FREE], atol=1e-6)
    flux = expected[:, AT["spectral_flux"]] * abs(gain)
    np.testing.assert_allclose(values[:, AT["spectral_flux"]], flux, rtol=1e-6)


def test_shift_by_frames() -> None:
    x = shaped(-0.005)
    shifted = spectral_shape(np.concatenate([np.zeros(30 * 160), x]), SR)
    np.testing.assert_allclose(shifted[35:-5], spectral_shape(x, SR)[5:-5], rtol=1e-9, atol=1e-12)


def test_blocks_do_not_show() -> None:
    """Catches a flux that starts again with every block of 512 frames."""
    x = noise(12.0)
    np.testing.assert_allclose(
        spectral_shape(x, SR)[400:600], spectral_shape(x[300 * 160 :], SR)[100:300], rtol=1e-9
    )


def test_low_sample_rates_lack_the_upper_bands() -> None:
    values = spectral_shape(noise(sr=8000), 8000)
    needs_5k = [AT[name] for name in ("spectral_flux", "alpha_ratio_db", "hammarberg_db")]
    assert np.isnan(values[:, needs_5k]).all()
    assert np.isfinite(np.delete(values, needs_5k, axis=1)).all()
    assert np.isnan(spectral_shape(noise(sr=2000), 2000)[:, AT["slope_500_1500"]]).all()


def test_a_band_may_end_at_half_the_rate() -> None:
    """5 kHz at 10 kHz. Seen to catch <= for <: flux, alpha ratio and Hammarberg index undefined."""
    assert np.isfinite(spectral_shape(noise(sr=10_000), 10_000)[5:-5]).all()


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(160), np.sign(noise())],
    ids=["silence", "offset", "impulse", "one sample", "one frame", "square"],
)
@pytest.mark.parametrize("sr", [8000, 16000, 48000])
def test_degenerate_clips(x: Floats, sr: int) -> None:
    values = DESCRIPTORS[0](ShortTime(x, sr))
    assert values.shape == (1 + len(x) // (sr // 100), len(COLUMNS))
    assert not np.isinf(values).any()
    if not x.any():
        assert np.isnan(values).all()


def test_descriptor() -> None:
    descriptor = DESCRIPTORS[0]
    x = noise()
    assert len(descriptor.units) == len(descriptor.columns)
    np.testing.assert_array_equal(descriptor(ShortTime(x, SR)), spectral_shape(x, SR))
