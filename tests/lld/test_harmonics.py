"""Harmonic differences: complexes of known amplitudes, openSMILE, invariances, degenerate clips."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.lld.harmonics import COLUMNS, DESCRIPTORS, harmonics
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import pitch
from serfeat.signal.resonances import Resonances
from serfeat.types import Floats

SR = 16000
module = import_module("serfeat.lld.harmonics")  # the package's name is the function
FORMANTS = (520.0, 1480.0, 2510.0)


def tract(f: float) -> float:
    """Amplitude of a harmonic: a falling source, three bumps at the formants."""
    bumps = sum(np.exp(-(((f - at) / 150) ** 2)) for at in FORMANTS)
    return float((f / 100) ** -1.0 * (0.3 + 3 * bumps))


def known(f0: float, h2: float | None = None) -> list[float]:
    """Amplitudes of the harmonics up to 0.45 of the sample rate; the second may be set."""
    a = [tract(h * f0) for h in range(1, int(0.45 * SR / f0) + 1)]
    if h2 is not None:
        a[1] = h2 * a[0]
    return a


def sounding(f0: float, amplitudes: list[float], seconds: float = 1.0) -> Floats:
    t = np.arange(int(seconds * SR)) / SR
    parts = [a * np.cos(2 * np.pi * h * f0 * t + h * h) for h, a in enumerate(amplitudes, 1)]
    x = np.sum(parts, axis=0)
    return np.asarray(0.5 * x / np.abs(x).max(), dtype=np.float64)


@pytest.fixture
def given_formants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formants that are known, so that only the harmonics are under test."""

    def fixed(st: ShortTime, *, ceiling: float = 5500.0) -> Resonances:
        frequency = np.tile([*FORMANTS, np.nan, np.nan], (st.n_frames, 1))
        return Resonances(frequency, np.full_like(frequency, 80.0))

    monkeypatch.setattr(module, "resonances", fixed)


def near(f0: float, amplitudes: list[float], formant: float) -> float:
    """The highest of the harmonics on either side of a formant and within 10 % of it."""
    f = f0 * np.arange(1, len(amplitudes) + 1)
    chosen = (np.abs(f - formant) < f0) | (np.abs(f - formant) <= 0.1 * formant)
    return float(np.max(np.array(amplitudes)[chosen]))


@pytest.mark.usefixtures("given_formants")
@pytest.mark.parametrize("f0", [78.0, 101.3, 150.0, 233.3, 410.0])
def test_known_amplitudes(f0: float) -> None:
    """Within 0.05 dB in every frame and column.

    Catches H2 read at 3 F0, 10 log10, the sign of either difference, a window that is not a whole
    number of periods, formants in the wrong order, and one harmonic too few beside a formant.
    """
    a = known(f0)
    levels = [20 * np.log10(near(f0, a, f) / a[0]) for f in FORMANTS]
    expected = [20 * np.log10(a[0] / a[1]), -levels[2], *levels]
    values = harmonics(sounding(f0, a), SR)[8:-8]
    np.testing.assert_allclose(values, np.tile(expected, (len(values), 1)), atol=0.05)


@pytest.mark.usefixtures("given_formants")
@pytest.mark.parametrize("h1_h2", [-25.0, -10.0, 10.0, 25.0])
def test_a_weak_harmonic_beside_a_strong_one(h1_h2: float) -> None:
    """A low voice: no leakage from the neighbour. Catches a Gaussian."""
    x = sounding(90.0, known(90.0, h2=10 ** (-h1_h2 / 20)))
    np.testing.assert_allclose(harmonics(x, SR)[8:-8, 0], h1_h2, atol=0.2)


@pytest.mark.usefixtures("given_formants")
def test_how_near_a_formant_is() -> None:
    """At 8 % a harmonic counts, at 16 % a louder one does not. Catches 5 % and 30 %."""
    a = [1.0] * 40
    a[22], a[20] = 5.0, 20.0  # 2300 and 2100 Hz; the formant lies at 2510 Hz
    values = harmonics(sounding(100.0, a), SR)[8:-8, 4]
    np.testing.assert_allclose(values, 20 * np.log10(5), atol=0.05)


@pytest.mark.usefixtures("given_formants")
def test_three_periods_forgive_a_wrong_f0() -> None:
    """H2 25 dB below H1 at 78 Hz, F0 2 % off: within 0.6 dB. Catches a window of two periods."""
    x = sounding(78.0, [1.0, 10 ** (-25 / 20)])
    out = np.full((1, 5), np.nan)
    none = np.full((1, 3), np.nan)
    at, f0 = np.array([8000]), np.array([1.02 * 78 / SR])
    module._amplitudes(x, at, f0, none, module.SHORTEST * SR, out)
    assert 20 * np.log10(out[0, 0] / out[0, 1]) == pytest.approx(25, abs=0.6)


AROUND = (np.arange(8001) - 4000) / SR  # s


def cosines(*hz: float) -> Floats:
    """Of amplitude 1 and phase 0 in the middle."""
    return np.asarray(np.cos(2 * np.pi * np.outer(AROUND, hz)).sum(axis=1))


def measured(x: Floats, f0: float, formant: float = np.nan) -> Floats:
    """H1, H2, A1, A2, A3 in the middle, with a first formant."""
    out = np.full((1, 5), np.nan)
    formants = np.array([[formant, np.nan, np.nan]]) / SR
    at, lowest = np.array([4000]), np.array([f0 / SR])
    module._amplitudes(x, at, lowest, formants, module.SHORTEST * SR, out)
    return np.asarray(out[0])


@pytest.mark.parametrize("off", [0.25, 0.7, 1.4])
def test_the_window_is_a_hann(off: float) -> None:
    """A tone d bins off has ``sinc d / (1 - d^2) / 2`` left, in a window of three periods; and its
    negative frequency leaks in.

    Seen to catch 1.1 + cos, and four periods.
    """
    expected = sum(np.sinc(d) / (1 - d * d) / 2 for d in (off, 6 + off))
    found = measured(cosines(80 + off * 80 / 3), 80.0)[0]
    assert found == pytest.approx(abs(expected), rel=2e-3)


@pytest.mark.parametrize(("f0", "periods"), [(400.0, 10), (130.0, 4), (100.0, 3)])
def test_whole_periods_in_25_ms_but_three_at_least(f0: float, periods: int) -> None:
    """A tone one bin off has half of its height left, one two bins off nothing.

    Seen to catch four periods at least, 27.5 ms, and periods rounded down.
    """
    assert measured(cosines(f0 + f0 / periods), f0)[0] == pytest.approx(0.25, rel=0.03)
    assert measured(cosines(f0 + 2 * f0 / periods), f0)[0] < 0.01


@pytest.mark.parametrize("away", [-220, -180, 180, 220])
def test_near_a_formant_is_a_tenth_to_either_side(away: float) -> None:
    """At 2000 Hz, with an F0 of 20 Hz. Seen to catch 11 %, and 10 % on the lower side only."""
    x = cosines(2000.0) + 10 * cosines(2000.0 + away)
    found = measured(x, 20.0, formant=2000.0)[2]
    assert found == pytest.approx(5.0 if abs(away) < 200 else 0.5, rel=0.02)


def test_no_harmonic_lies_above_half_the_rate() -> None:
    """7680 Hz is the alias of 8320, the 16th harmonic of 520 Hz. Seen to catch 0.55 of the rate."""
    assert measured(cosines(7680.0), 520.0, formant=7900.0)[2] < 0.05


@pytest.mark.usefixtures("given_formants")
def test_glide() -> None:
    """An octave in two seconds costs less than half a dB up to the third formant."""
    f0 = 100 * 2 ** (np.arange(2 * SR) / (2 * SR))
    phase = 2 * np.pi * np.cumsum(f0) / SR
    x = sum(np.cos(h * phase + h * h) for h in range(1, 31))  # all amplitudes are equal
    values = harmonics(0.02 * np.asarray(x), SR)[8:-8]
    assert np.nanmax(np.abs(values[:, 0])) < 0.1
    assert np.nanmedian(np.abs(values)) < 0.1
    assert np.nanmax(np.abs(values)) < 1.0


@pytest.mark.usefixtures("given_formants")
def test_kernel_equals_a_fourier_sum() -> None:
    rng = np.random.default_rng(0)
    frame = rng.standard_normal(641)
    for frequency in (0.004, 0.1, 0.31):
        direct = abs(np.sum(frame * np.exp(-2j * np.pi * frequency * np.arange(641))))
        assert module._fourier(frame, frequency) == pytest.approx(direct, rel=1e-9)


def test_formants_of_the_clip_are_used() -> None:
    """A vowel of impulses through resonators: the levels are those of the tract at its formants."""
    lfilter = pytest.importorskip("scipy.signal").lfilter
    x = np.zeros(SR)
    x[::160] = 1.0  # 100 Hz
    x = lfilter([1], [1, -0.95], x)
    for f, width in ((500, 60), (1500, 90), (2500, 120), (3500, 150), (4500, 200)):
        radius, angle = np.exp(-np.pi * width / SR), 2 * np.pi * f / SR
        x = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], x)
    values = harmonics(0.3 * x / np.abs(x).max(), SR)[20:-20]
    spectrum = np.abs(np.fft.rfft(x[8000:9600]))[::10]  # ten periods: every tenth bin
    expected = 20 * np.log10(spectrum[[5, 15, 25]] / spectrum[1])
    np.testing.assert_allclose(np.nanmedian(values[:, 2:], axis=0), expected, atol=0.2)


def difference_from_f0(x: Floats, sr: int, f0: Floats, first: int) -> Floats:
    """dB of the harmonic `first` over the next one, plainly: a Hann window of 40 ms, a sum."""
    reach = round(0.020 * sr)
    n = np.arange(-reach, reach + 1)
    weights = np.hanning(2 * reach + 1)
    out = np.full(len(f0), np.nan)
    for i in np.flatnonzero(np.isfinite(f0)):
        frame = x[max(i * sr // 100 - reach, 0) : i * sr // 100 + reach + 1]
        if len(frame) == len(n):
            phase = 2j * np.pi * np.outer([first, first + 1], n) * f0[i] / sr
            a = np.abs(np.exp(-phase) @ (weights * frame))
            out[i] = 20 * np.log10(a[0] / a[1])
    return out


@pytest.mark.corpus
def test_real_speech(emodb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H1-H2 against a plain Fourier sum, and what openSMILE calls so against harmonics 2 and 3.

    openSMILE counts F0 as harmonic 0, so that its H1-H2 is the second over the third: so it is in
    synthetic complexes, and here. Its F0 is another one (SHS) and its frames start where ours are
    centred: row i belongs to our frame i + 3. Catches frames that are not where they should be.
    """
    pytest.importorskip("opensmile")
    from serfeat.lld import opensmile

    monkeypatch.setenv(opensmile.CONSENT, "1")
    ours, plain, next_pair, theirs = [], [], [], []
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::100]:
        x, sr = sf.read(file)
        f0 = pitch(ShortTime(x, sr)).f0
        names, reference = opensmile.lld(x, sr)
        n = min(len(f0) - 3, len(reference))
        ours.append(harmonics(x, sr)[3 : n + 3, 0])
        plain.append(difference_from_f0(x, sr, f0, 1)[3 : n + 3])
        next_pair.append(difference_from_f0(x, sr, f0, 2)[3 : n + 3])
        theirs.append(reference[:n, names.index("logRelF0-H1-H2_sma3nz")])
    a, b, c, d = (np.concatenate(part) for part in (ours, plain, next_pair, theirs))
    both = np.isfinite(a) & np.isfinite(b)
    assert both.sum() > 500
    assert abs(np.median(a[both] - b[both])) < 0.2
    assert np.corrcoef(a[both], b[both])[0, 1] > 0.97  # measured 0.988, median -0.1 dB
    both &= d != 0
    assert abs(np.median(c[both] - d[both])) < 1.0
    assert np.corrcoef(c[both], d[both])[0, 1] > 0.85  # measured 0.92, median -0.2 dB
    assert abs(np.corrcoef(a[both], d[both])[0, 1]) < 0.3  # measured 0.01


def test_opensmile_counts_from_f0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its H1-H2 follows the third harmonic and not the first: no reference for ours."""
    pytest.importorskip("opensmile")
    from serfeat.lld import opensmile

    monkeypatch.setenv(opensmile.CONSENT, "1")
    falling = [1 / h for h in range(1, 21)]
    for first, second, third in ((1.0, 1.0, 0.5), (2.0, 1.0, 0.5), (1.0, 1.0, 1.5)):
        x = 0.2 * sounding(200.0, [first, second, third, *falling[3:]], 2.0)
        names, reference = opensmile.lld(x, SR)
        theirs = np.median(reference[20:150, names.index("logRelF0-H1-H2_sma3nz")])
        assert theirs == pytest.approx(20 * np.log10(second / third), abs=0.3)
        ours = harmonics(x, SR)[20:150, 0]
        np.testing.assert_allclose(ours, 20 * np.log10(first / second), atol=0.05)


@pytest.mark.parametrize("gain", [1e-6, -1.0, 100.0])
def test_gain_and_polarity_do_not_matter(gain: float) -> None:
    x = sounding(150.0, known(150.0), 0.5)
    np.testing.assert_allclose(harmonics(gain * x, SR), harmonics(x, SR), atol=1e-3)


def test_shift_by_frames() -> None:
    x = sounding(150.0, known(150.0), 0.5)
    shifted = harmonics(np.concatenate([np.zeros(30 * 160), x]), SR)
    np.testing.assert_allclose(shifted[40:-10], harmonics(x, SR)[10:-10], atol=1e-3)


@pytest.mark.usefixtures("given_formants")
def test_a_pure_tone_is_limited() -> None:
    """Never infinite: beyond 100 dB rounding decides."""
    values = harmonics(sounding(200.0, [1.0]), SR)[5:-5]
    assert np.nanmin(values[:, 0]) > 40
    assert np.nanmax(values[:, 0]) <= 100


IMPULSE = np.zeros(SR)
IMPULSE[8000] = 1.0


@pytest.mark.parametrize(
    "x",
    [np.zeros(SR), np.full(SR, 0.3), IMPULSE, np.ones(1), np.ones(160)],
    ids=["silence", "offset", "impulse", "one sample", "one frame"],
)
@pytest.mark.parametrize("sr", [8000, 16000, 48000])
def test_degenerate_clips_are_undefined(x: Floats, sr: int) -> None:
    values = harmonics(x, sr)
    assert values.shape == (1 + len(x) // (sr // 100), len(COLUMNS))
    assert np.isnan(values).all()


def test_a_clip_of_a_few_periods_does_not_overrun() -> None:
    """Clips that grow by a millisecond, through all lengths of the window."""
    x = sounding(80.0, known(80.0), 0.2)
    for samples in range(640, 1400, 13):
        assert not np.isinf(harmonics(x[:samples], SR)).any()


def test_kernel_stays_inside() -> None:
    """Nothing is measured where the window would leave the signal, at either end."""
    x = sounding(80.0, known(80.0), 0.2)
    out = np.full((3, 5), np.nan)
    at = np.array([200, 1600, len(x) - 200])  # the window reaches 300 samples to either side
    f0, none = np.full(3, 80 / SR), np.full((3, 3), np.nan)
    module._amplitudes(x, at, f0, none, module.SHORTEST * SR, out)
    assert np.isnan(out[[0, 2]]).all()
    assert np.isfinite(out[1, :2]).all()


def test_unvoiced_frames_are_undefined_and_clipping_is_not() -> None:
    voice = np.clip(5 * sounding(150.0, known(150.0)), -0.3, 0.3)
    values = harmonics(np.concatenate([voice, np.zeros(SR)]), SR)
    assert np.isfinite(values[5:95, 0]).all()
    assert np.isnan(values[105:]).all()


def test_low_sample_rate() -> None:
    """At 8 kHz the harmonics up to 4 kHz are there, and nothing is infinite."""
    values = harmonics(sounding(150.0, known(150.0))[::2], 8000)
    assert np.isfinite(values[8:-8, 0]).all()
    assert not np.isinf(values).any()


def test_descriptor() -> None:
    (descriptor,) = DESCRIPTORS
    x = sounding(150.0, known(150.0), 0.5)
    np.testing.assert_array_equal(descriptor(ShortTime(x, SR)), harmonics(x, SR))
