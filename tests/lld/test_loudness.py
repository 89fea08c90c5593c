"""Loudness: openSMILE, the curve of equal loudness, sample rates, gain, degenerate clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.lld.loudness import DESCRIPTORS, equal_loudness, loudness, loudness_peaks
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

SR = 16000
SILENCE = 1.03397e-3


def noise(seconds: float = 1.0, amplitude: float = 0.1, seed: int = 0) -> Floats:
    return amplitude * np.random.default_rng(seed).standard_normal(int(seconds * SR))


def bursts(rate: float, seconds: float = 4.0) -> Floats:
    """Noise whose amplitude rises and falls `rate` times per second; never silent."""
    t = np.arange(int(seconds * SR)) / SR
    return noise(seconds) * (0.55 - 0.45 * np.cos(2 * np.pi * rate * t))


@pytest.fixture
def speech(emodb_root: Path) -> list[Floats]:
    """Ten recordings, limited to what 16 bits hold."""
    files = sorted((emodb_root / "audio").glob("*.flac"))[::55]
    return [np.minimum(sf.read(file)[0], 32767 / 32768) for file in files]


@pytest.mark.corpus
def test_opensmiles_contour_on_emodb(speech: list[Floats], monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 2e-6 of ``Loudness_sma3``; measured 4e-7, which is openSMILE's float32.

    Its last frame is left out: openSMILE averages it with one that it does not give. Catches w^6 in
    place of w^7, a sum in place of the mean, a power 1/3, a loudness of the summed bands, samples
    over 32768 (2e-5), and a smoothing that takes zeros beyond the ends.
    """
    pytest.importorskip("opensmile")
    from serfeat.lld import opensmile as adapter

    monkeypatch.setenv(adapter.CONSENT, "1")
    for x in speech:
        names, values = adapter.lld(x, SR, "eGeMAPSv02")
        theirs = values[:, names.index("Loudness_sma3")]
        ours = loudness(x, SR, length=0.020, align="left", smooth=3)
        assert 0 <= len(ours) - len(theirs) <= 3  # openSMILE waits for its 60 ms frames
        both = len(theirs) - 1
        np.testing.assert_allclose(ours[:both], theirs[:both], rtol=2e-6)


@pytest.mark.corpus
def test_default_agrees_with_egemaps_functionals(
    speech: list[Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mean and median within 3 %, peaks per second within 1; measured 0.6 %, 0.5.

    The default has 25 ms windows on the centred grid. Catches a power that is not divided by the
    window's (8 %), and peaks of a contour that is not smoothed.
    """
    pytest.importorskip("opensmile")
    from serfeat.lld import opensmile as adapter

    monkeypatch.setenv(adapter.CONSENT, "1")
    for x in speech:
        names, values = adapter.functionals(x, SR)
        found = dict(zip(names, values, strict=True))
        contour = loudness(x, SR, smooth=3)
        assert contour.mean() == pytest.approx(found["loudness_sma3_amean"], rel=0.03)
        assert np.median(contour) == pytest.approx(found["loudness_sma3_percentile50.0"], rel=0.03)
        assert loudness_peaks(x, SR) == pytest.approx(found["loudnessPeaksPerSec"], abs=1)


def test_equal_loudness_is_hermanskys_below_5_khz() -> None:
    """Same as the curve of PLP, but for one factor and the fall above 5 kHz.

    Catches f in place of w, and a wrong constant of the two poles and the zero.
    """
    f = np.array([50.0, 200.0, 500.0, 1000.0, 1500.0])
    plp = (f**2 / (f**2 + 1.6e5)) ** 2 * (f**2 + 1.44e6) / (f**2 + 9.61e6)
    np.testing.assert_allclose(equal_loudness(f) * 0.17 / plp, 1, rtol=4e-3)
    high = equal_loudness([8000.0, 16000.0])
    assert high[1] / high[0] == pytest.approx(2.0**-7, rel=0.2)
    assert 3000 < 100 * np.argmax(equal_loudness(np.arange(100) * 100.0)) < 4000


def test_ten_decibels() -> None:
    """10 dB more are a factor of 10^0.33 = 2.14. Catches 0.3, 1/3, and a logarithm."""
    x = noise()
    ratio = loudness(np.sqrt(10) * x, SR) / loudness(x, SR)
    np.testing.assert_allclose(ratio, 10**0.33, rtol=1e-9)


def test_two_tones_are_louder_than_one() -> None:
    """The same power in two distant bands: 2^0.67 times as loud, if the ear hears both alike.

    Catches a power 0.33 of the summed bands, by which nothing would change.
    """
    t = np.arange(SR) / SR
    floor = loudness(np.zeros(SR), SR)[50]

    def heard(*tones: float) -> float:
        x = sum(np.sin(2 * np.pi * f * t) / np.sqrt(len(tones)) for f in tones)
        return float(np.median(loudness(0.1 * np.asarray(x), SR)) - floor)

    assert heard(1000, 3000) / heard(3000) > 1.3


@pytest.mark.parametrize("sr", [22050, 32000, 44100, 48000])
def test_sample_rate_does_not_matter(sr: int) -> None:
    """The same harmonics up to 7.8 kHz at every rate, within 2 %; measured 0.3 %.

    Catches a power that grows with the points of the transform (a factor of 1.3 to 2 here).
    """

    def buzz(rate: int) -> Floats:
        n = np.arange(rate)
        tones = [np.sin(2 * np.pi * 130 * h * n / rate + h * h) / h for h in range(1, 61)]
        return np.asarray(0.1 * np.sum(tones, axis=0))

    a, b = loudness(buzz(SR), SR)[5:-5], loudness(buzz(sr), sr)[5:-5]
    assert np.median(b / a) == pytest.approx(1, abs=0.02)


def test_bands_above_half_the_rate_are_empty() -> None:
    """At 8 kHz the same bands, the upper ones empty: a tone at 1 kHz is as loud as at 16 kHz.

    Catches 26 bands squeezed into 4 kHz, and a mean over the bands that are left.
    """
    tone = [0.1 * np.sin(2 * np.pi * 1000 * np.arange(sr) / sr) for sr in (8000, SR)]
    low, high = loudness(tone[0], 8000)[50], loudness(tone[1], SR)[50]
    assert low == pytest.approx(high, rel=0.02)


@pytest.mark.parametrize("m", [2, 4, 7])
def test_peaks_per_second(m: int) -> None:
    """Bursts are counted: m per second, within 0.3 (the ripple of noise is no peak)."""
    assert loudness_peaks(bursts(m), SR) == pytest.approx(m, abs=0.3)


def test_peaks_are_those_of_scipy() -> None:
    """`find_peaks` with a prominence of a tenth of the range, within the first and last peak.

    Catches 0.2 in place of 0.1, a threshold on the maximum, and a contour that is not smoothed.
    """
    signal = pytest.importorskip("scipy.signal")
    for seed in range(5):
        x = noise(4.0, seed=seed) * np.repeat(noise(4.0, 1.0, seed + 50)[:400], 160)
        contour = loudness(x, SR, smooth=3)
        expected = len(signal.find_peaks(contour, prominence=0.1 * np.ptp(contour))[0])
        assert abs(loudness_peaks(x, SR) * 4 - expected) <= 1
        assert expected > 30


def test_peaks_do_not_depend_on_the_gain() -> None:
    x = bursts(3)
    assert loudness_peaks(0.1 * x, SR) == loudness_peaks(x, SR) == loudness_peaks(-x, SR)


def test_polarity_and_shift() -> None:
    x = noise()
    np.testing.assert_array_equal(loudness(-x, SR), loudness(x, SR))
    shifted = loudness(np.concatenate([np.zeros(5 * 160), x]), SR)
    np.testing.assert_allclose(shifted[7:-2], loudness(x, SR)[2:-2], rtol=1e-12)


def test_smoothing_is_a_moving_average() -> None:
    raw, smooth = loudness(noise(), SR), loudness(noise(), SR, smooth=3)
    np.testing.assert_allclose(smooth[1:-1], (raw[:-2] + raw[1:-1] + raw[2:]) / 3, rtol=1e-12)
    assert smooth[0] == pytest.approx((2 * raw[0] + raw[1]) / 3)


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize("sr", [8000, SR, 48000])
@pytest.mark.parametrize(
    "x",
    [np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(160), np.sign(noise())],
    ids=["offset", "impulse", "one sample", "one frame", "clipping"],
)
def test_degenerate_clips_are_finite(x: Floats, sr: int) -> None:
    values = loudness(x, sr)
    assert values.shape == (1 + len(x) // (sr // 100),)
    assert np.isfinite(values).all()
    assert values.min() > 0.99 * SILENCE
    assert loudness_peaks(x, sr) >= 0


def test_silence_is_the_floor() -> None:
    """openSMILE's own value for digital silence; no peaks are counted in nothing.

    Catches a floor of 1 / 32767^2 (5e-4 too much).
    """
    np.testing.assert_allclose(loudness(np.zeros(SR), SR), SILENCE, rtol=1e-5)
    assert np.isnan(loudness_peaks(np.zeros(SR), SR))


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="odd"):
        loudness(noise(), SR, smooth=2)
    with pytest.raises(ValueError, match="samples"):
        loudness(noise(), SR, length=1e-5)


def test_descriptors() -> None:
    """The default uses the spectrum of MFCC, LPC and PLP: it is computed once."""
    contour, peaks = DESCRIPTORS[:2]
    st = ShortTime(noise(), SR)
    shared = st.power(400, window_name="hamming")
    kept = len(st._memory)
    np.testing.assert_array_equal(contour(st)[:, 0], loudness(noise(), SR))
    assert len(st._memory) == kept + 1
    assert shared.shape == (101, 257)
    assert peaks(st)[0] == loudness_peaks(noise(), SR)
    assert contour.columns == ("loudness",)
    assert peaks.columns == ("loudness_peaks_per_s",)
