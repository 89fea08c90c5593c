"""PLP against openSMILE's binary, a known all-pole auditory spectrum and invariances."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from serfeat.errors import FeatureError, UnknownNameError
from serfeat.lld.plp import (
    DESCRIPTORS,
    VARIANTS,
    critical_bands,
    equal_loudness,
    plp,
    rasta_filter,
)
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

TABLE = {d.name: d for d in DESCRIPTORS}
PLP, RASTA_PLP, PLP_ERB = (TABLE[name] for name in ("plp", "rasta_plp", "plp_erb"))
module = importlib.import_module("serfeat.lld.plp")

COMPONENT = """firstCC=1
cepLifter=22
compression=0.33
doAud=1
doLog=0
doInvLog=0
doIDFT=1
doLP=1
doLpToCeps=1
lpOrder="""


# ------------------------------------------------------------------- an independent implementation
@pytest.mark.parametrize(("order", "k"), [(5, 0.97), (12, 0.0)])
def test_htk_is_opensmiles(
    speechlike: np.ndarray, opensmile_chain: Callable[..., Floats], order: int, k: float
) -> None:
    """Seen to catch 1/3 for 0.33, the loudness curve of other frequencies, missing end bands.

    openSMILE computes in float32, and a higher order is worse conditioned.
    """
    theirs = opensmile_chain(speechlike, "cPlp", f"{COMPONENT}{order}", k=k)
    ours = plp(speechlike, 16_000, order=order, preemphasis=k, align="left")[:, 1:]
    np.testing.assert_allclose(ours, theirs[: len(ours)], atol={5: 5e-6, 12: 1e-4}[order])


# ------------------------------------------------------------------------- the steps, written out
def bark_bands(hz: Floats) -> tuple[Floats, Floats]:
    """Hermansky 1990, eq. 3 to 5, one bin at a time: weights at `hz`, and the bands' centres."""

    def bark(f: float) -> float:
        w = 2 * np.pi * f
        return float(6 * np.log(w / (1200 * np.pi) + np.sqrt((w / (1200 * np.pi)) ** 2 + 1)))

    def curve(z: float) -> float:
        if z < -1.3 or z > 2.5:
            return 0.0
        if z <= -0.5:
            return 10.0 ** (2.5 * (z + 0.5))
        return 1.0 if z < 0.5 else 10.0 ** (-1.0 * (z - 0.5))

    top = bark(hz[-1])
    places = [top * k / np.ceil(top) for k in range(1, int(np.ceil(top)))]
    # the critical band's curve runs over the place of the band less the place of the bin, mirrored:
    # a band looks further down, to -2.5, than up
    weights = [[curve(place - bark(f)) for f in hz] for place in places]
    return np.array(weights), np.array([600 * np.sinh(place / 6) for place in places])


def written_out(frame: Floats, sr: int, bank: str, compression: str) -> Floats:
    """PLP of one windowed frame: coefficients 1 to 12."""
    points = 512
    hz = np.arange(points // 2 + 1) * sr / points
    power = np.abs(np.fft.fft(32767 * frame, points)[: points // 2 + 1]) ** 2
    weights, centres = bark_bands(hz) if bank == "bark" else critical_bands("erb", sr, points)
    bands = np.maximum(weights @ power, 1.0)
    for k, f in enumerate(centres):
        w = 2 * np.pi * f
        loud = (f**2 / (f**2 + 1.6e5)) ** 2 * (f**2 + 1.44e6) / (f**2 + 9.61e6)
        bands[k] *= loud / (1 + w**6 / 9.58e26)
    n = len(bands)
    if compression == "log":
        terms = np.cos(np.pi * np.outer(np.arange(1, 13), np.arange(n) + 0.5) / n)
        return np.asarray(np.sqrt(2 / n) * terms @ np.log(bands))
    loudness = bands ** {"cuberoot": 0.33, "sqrt": 0.5}[compression]
    whole = np.r_[loudness[0], loudness, loudness[-1]]
    even = np.r_[whole, whole[-2:0:-1]]  # of a whole turn
    lags = np.fft.ifft(even).real[:13]
    a = np.r_[1.0, -solve_toeplitz(lags[:12], lags[1:])]
    cepstrum = np.zeros(13)
    for m in range(1, 13):
        earlier = sum(k * cepstrum[k] * a[m - k] for k in range(1, m))
        cepstrum[m] = -a[m] - earlier / m
    return cepstrum[1:]


@pytest.mark.parametrize(
    ("name", "bank", "compression"),
    [
        ("plp_hermansky", "bark", "cuberoot"),
        ("plp_erb", "erb", "cuberoot"),
        ("plp_erb_sqrt", "erb", "sqrt"),
        ("plp_erb_log", "erb", "log"),
    ],
)
def test_the_steps_written_out(
    speechlike: np.ndarray, name: str, bank: str, compression: str
) -> None:
    """Seen to catch a mirrored curve, a loudness without its fall, 1/3 for 0.33, lost end bands."""
    found = TABLE[name](ShortTime(speechlike, 16_000))
    for i in (40, 90, 150):
        frame = speechlike[160 * i - 200 : 160 * i + 200] * np.hamming(400)
        expected = written_out(frame, 16_000, bank, compression)
        np.testing.assert_allclose(found[i], expected, rtol=1e-9, atol=1e-9)


def test_coefficient_0_is_the_log_of_the_gain() -> None:
    """On the 16-bit scale. Seen to catch a gain of 1.1 of the model's, which no shape shows."""
    x = 0.1 * np.random.default_rng(0).standard_normal(8000)
    power = np.abs(np.fft.rfft(32767 * x[3800:4200] * np.hamming(400), 512)) ** 2
    weights, f = critical_bands("htk", 16_000, 512)
    loud = (f**2 / (f**2 + 1.6e5)) ** 2 * (f**2 + 1.44e6) / (f**2 + 9.61e6)
    bands = (weights @ power * loud) ** 0.33
    whole = np.r_[bands[0], bands, bands[-1]]
    lags = np.fft.ifft(np.r_[whole, whole[-2:0:-1]]).real[:13]
    error = np.r_[1.0, -solve_toeplitz(lags[:12], lags[1:])] @ lags
    assert plp(x, 16_000)[25, 0] == pytest.approx(np.log(error), abs=1e-8)


@pytest.mark.parametrize("level", [3e-6, 1e-5, 0.0])
def test_a_band_is_at_least_1_on_the_16_bit_scale(speechlike: np.ndarray, level: float) -> None:
    """Some bands lie below it, some above. Seen to catch 1.1."""
    x = level * speechlike / np.abs(speechlike).max()
    found = TABLE["plp_hermansky"](ShortTime(x, 16_000))[90]
    frame = x[160 * 90 - 200 : 160 * 90 + 200] * np.hamming(400)
    np.testing.assert_allclose(found, written_out(frame, 16_000, "bark", "cuberoot"), atol=1e-9)


def test_htks_bands_end_at_8_khz() -> None:
    """Whatever the sample rate. Seen to catch 8800 Hz."""
    weights, _ = critical_bands("htk", 32_000, 1024)
    hz = np.arange(513) * 31.25
    assert weights[:, hz >= 8000].max() == 0.0
    assert weights[:, (hz > 7000) & (hz < 8000)].max(axis=0).min() > 0.0


# ------------------------------------------------------------------------------------- closed form
def test_an_all_pole_auditory_spectrum_gives_its_own_model() -> None:
    """Catches wrong weights in the inverse DFT: the sampled AR(5) spectrum must come back.

    The poles are well inside the circle, so that the autocorrelation does not wrap around.
    """
    from serfeat.signal.prediction import levinson, lpcc
    from serfeat.spectrum import autocorrelation

    poles = 0.3 * np.exp(1j * np.array([0.6, -0.6, 1.9, -1.9, np.pi]))
    a = np.poly(poles).real
    n_bands = 60
    w = np.pi * np.arange(n_bands + 2) / (n_bands + 1)
    response = np.polyval(a[::-1], np.exp(-1j * w))
    spectrum = 4.0 / np.abs(response) ** 2
    model = levinson(autocorrelation(spectrum, 6))
    np.testing.assert_allclose(model.a, a, atol=1e-12)
    np.testing.assert_allclose(model.error, 4.0, rtol=1e-12)
    # PLP copies the two end points from their neighbours, which is all that differs.
    model = levinson(spectrum[1:-1] @ module._lag_weights(n_bands, 5))
    got = lpcc(model.a, model.error, 5)
    np.testing.assert_allclose(got, lpcc(a, 4.0, 5), atol=2e-3)


def test_flat_loudness_has_no_shape() -> None:
    """A flat spectrum has its power at lag 0. Seen to catch end bands that are 0."""
    lags = np.full(26, 9.0) @ module._lag_weights(26, 12)
    np.testing.assert_allclose(lags, np.r_[9.0, np.zeros(12)], atol=1e-12)


def test_equal_loudness_is_hermanskys_in_rad_per_s() -> None:
    """The printed form in w = 2 pi f; HTK's rounded constants in Hz agree to 1 %."""
    f = np.array([100.0, 500.0, 1000.0, 3000.0, 7000.0])
    w2 = (2 * np.pi * f) ** 2
    printed = (w2 + 56.8e6) * w2**2 / ((w2 + 6.3e6) ** 2 * (w2 + 0.38e9))
    np.testing.assert_allclose(equal_loudness(f), printed, rtol=0.01)
    fall = equal_loudness(f, above_5_khz=True) / equal_loudness(f)
    np.testing.assert_allclose(fall[:3], 1.0, atol=1e-3)
    half = equal_loudness(5000.0, above_5_khz=True) / equal_loudness(5000.0)
    assert half == pytest.approx(0.5, abs=0.01)


def test_equal_loudness_acts_on_frequencies_not_energies(speechlike: np.ndarray) -> None:
    """The fault of a published package: then a gain would change the shape."""
    for variant in VARIANTS:
        loud = plp(speechlike, 16_000, variant=variant)[3:-3]
        quiet = plp(speechlike / 4, 16_000, variant=variant)[3:-3]
        np.testing.assert_allclose(loud[:, 1:], quiet[:, 1:], atol=1e-9)
        np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], 0.33 * 2 * np.log(4), atol=1e-9)


def test_bark_bands_look_further_down_than_up() -> None:
    """A tone excites the bands above it more than those below; catches a mirrored curve."""
    weights, centres = critical_bands("hermansky", 16_000, 512)
    assert len(centres) == 19  # 0 ... 19.7 Bark in 20 steps, without the two ends
    tone = np.argmin(np.abs(np.arange(257) * 31.25 - centres[9]))
    excited = weights[:, tone]
    assert excited[9] == 1.0
    assert excited[10] > 5 * excited[8] > 0
    assert excited[12] == 0.0
    assert excited[7] == 0.0


def test_erb_bands_widen_with_frequency() -> None:
    weights, centres = critical_bands("erb", 16_000, 4096)
    assert len(centres) == 40
    assert centres[0] == pytest.approx(50.0)
    assert centres[-1] == pytest.approx(8000.0)
    width = (weights > 0.5).sum(1)[5:35]
    assert (np.diff(width) >= 0).all()
    assert width[-1] > 5 * width[0]
    # The equivalent rectangular width of a band is its ERB.
    area = weights[20].sum() * 16_000 / 4096
    assert area == pytest.approx(24.7 * (4.37 * centres[20] / 1000 + 1), rel=0.03)


# ------------------------------------------------------------------------------------------- RASTA
def test_rasta_is_the_printed_filter() -> None:
    """Impulse response by hand. Seen to catch the numerator's sign flipped, a pole of 0.98."""
    x = np.zeros((50, 1))
    x[10] = 1.0
    got = rasta_filter(x)[:, 0]
    expected = np.zeros(50)
    for n in range(10, 50):
        past = [x[n - j, 0] for j in range(5)]
        expected[n] = 0.94 * expected[n - 1] + 0.1 * np.dot([2, 1, 0, -1, -2], past)
    np.testing.assert_allclose(got, expected, atol=1e-14)
    for leak in (module._leak_plain, module._leak_kernel):
        y = np.eye(4)[:, :2].copy()
        leak(y, 0.5)
        np.testing.assert_array_equal(y, [[1, 0], [0.5, 1], [0.25, 0.5], [0.125, 0.25]])
    assert got[10] == pytest.approx(0.2)


def test_rasta_removes_a_fixed_channel(speechlike: np.ndarray) -> None:
    """A channel with a gentle slope changes plain PLP, and RASTA-PLP hardly."""
    through = lfilter([1.0, -0.5], [1.0], speechlike)
    settings = {"variant": "hermansky", "order": 5}
    moved = {}
    for rasta in (False, True):
        clean = plp(speechlike, 16_000, rasta=rasta, **settings)[20:-20, 1:]
        coloured = plp(through, 16_000, rasta=rasta, **settings)[20:-20, 1:]
        moved[rasta] = np.abs((coloured - clean).mean(0)).max()
    assert moved[False] > 0.05
    assert moved[True] < 0.1 * moved[False]


def test_rasta_removes_a_constant_exactly() -> None:
    bands = np.random.default_rng(3).standard_normal((40, 6))
    offset = rasta_filter(bands + np.arange(6.0))
    np.testing.assert_allclose(offset, rasta_filter(bands), atol=1e-12)
    np.testing.assert_allclose(rasta_filter(np.full((5, 2), 7.0)), 0.0, atol=1e-12)


# ------------------------------------------------------------------------------ shapes and the edge
def test_descriptors_are_the_function_without_the_level(speechlike: np.ndarray) -> None:
    st = ShortTime(speechlike, 16_000)
    np.testing.assert_array_equal(PLP(st), plp(speechlike, 16_000, preemphasis=0.97)[:, 1:])
    np.testing.assert_array_equal(
        RASTA_PLP(st), plp(speechlike, 16_000, variant="hermansky", rasta=True)[:, 1:]
    )
    np.testing.assert_array_equal(PLP_ERB(st), plp(speechlike, 16_000, variant="erb")[:, 1:])
    assert PLP.columns == tuple(f"plp_{k}" for k in range(1, 13))


def test_compressions_differ(speechlike: np.ndarray) -> None:
    got = {c: plp(speechlike, 16_000, variant="erb", compression=c) for c in ("sqrt", "cuberoot")}
    assert np.abs(got["sqrt"] - got["cuberoot"])[3:-3, 1:].max() > 0.1
    log = plp(speechlike, 16_000, variant="erb", compression="log", n_cepstra=13)
    assert log.shape == (201, 14)
    quiet = plp(speechlike / 4, 16_000, variant="erb", compression="log", n_cepstra=13)
    np.testing.assert_allclose((log - quiet)[3:-3, 0], np.sqrt(40) * 2 * np.log(4), rtol=1e-9)
    np.testing.assert_allclose((log - quiet)[3:-3, 1:], 0.0, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sr", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("rasta", [False, True])
@pytest.mark.filterwarnings("error")
def test_odd_signals_stay_finite(variant: str, sr: int, rasta: bool) -> None:
    impulse = np.zeros(sr // 20)
    impulse[len(impulse) // 2] = 1.0
    tone = np.sin(2 * np.pi * 440 * np.arange(sr // 20) / sr)
    for x in (np.zeros(1), np.ones(1), np.zeros(900), np.full(900, 0.5), impulse, np.sign(tone)):
        got = plp(x, sr, variant=variant, rasta=rasta)
        assert got.shape == (1 + len(x) // round(0.01 * sr), 13)
        assert np.isfinite(got).all()


def test_wrong_settings_say_so() -> None:
    x = np.zeros(1600)
    with pytest.raises(UnknownNameError, match="did you mean 'hermansky'"):
        plp(x, 16_000, variant="hermanski")
    with pytest.raises(UnknownNameError, match="compression"):
        plp(x, 16_000, compression="cube")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="expected 1 to 20"):
        plp(x, 16_000, variant="hermansky", order=30)
    with pytest.raises(FeatureError, match="expected at least 0"):
        plp(x, 16_000, n_cepstra=-1)
    assert plp(x, 16_000, n_cepstra=0).shape == (11, 1)
