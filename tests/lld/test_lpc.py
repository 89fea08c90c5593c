"""Linear prediction against scipy, closed forms and known poles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from serfeat.errors import FeatureError, UnknownNameError
from serfeat.lld.lpc import DESCRIPTORS, covariance, lpc, lpcc, lsf
from serfeat.shorttime import ShortTime
from serfeat.signal.prediction import burg

TABLE = {d.name: d for d in DESCRIPTORS}
LPC, LPCC, LSF = (TABLE[name] for name in ("lpc", "lpcc", "lsf"))
POLES = [0.95 * np.exp(0.5j), 0.95 * np.exp(-0.5j), 0.9 * np.exp(1.6j), 0.9 * np.exp(-1.6j)]
AR4 = np.poly(POLES).real


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """1 s of AR(4) noise at 16 kHz; the innovations have standard deviation 0.01."""
    return lfilter([1], AR4, 0.01 * np.random.default_rng(1).standard_normal(17_000))[1000:]


# ------------------------------------------------------------------------------------- closed form
def test_covariance_is_exact_on_an_impulse_response() -> None:
    """Seen to catch a design matrix in reversed order."""
    h = lfilter([1], AR4, np.r_[1, np.zeros(199)])
    model = covariance(h[None, 5:], 4)
    np.testing.assert_allclose(model.a[0], AR4, atol=1e-14)
    assert model.error[0] < 1e-24
    assert (np.abs(model.reflection) < 1).all()


def test_autocorrelation_is_exact_on_a_whole_impulse_response() -> None:
    from serfeat.signal.prediction import levinson

    h = lfilter([1], AR4, np.r_[1, np.zeros(1999)])
    r = np.array([h[: len(h) - k] @ h[k:] for k in range(5)])
    model = levinson(r)
    np.testing.assert_allclose(model.a, AR4, atol=1e-11)
    assert model.error == pytest.approx(1.0)  # the energy of the impulse


@pytest.mark.parametrize("method", ["autocorrelation", "covariance", "burg"])
def test_poles_of_noise(noise: np.ndarray, method: str) -> None:
    """0.3 s windows: every method finds the poles, and the gain is that of the innovations."""
    model = lpc(noise, 16_000, hop=0.1, length=0.3, order=4, method=method)
    middle = slice(2, -2)
    np.testing.assert_allclose(model.a[middle].mean(0), AR4, atol=0.03)
    np.testing.assert_allclose(model.gain[middle], 0.01, rtol=0.06)
    assert model.stable[middle].all()


def test_seed_sign_predicts(noise: np.ndarray) -> None:
    """Catches a lost minus: predicting with sum a_k s[n-k] leaves the innovations."""
    a = lpc(noise, 16_000, hop=0.1, length=0.3, order=4).coefficients[5]
    predicted = sum(a[k] * noise[3 - k : len(noise) - 1 - k] for k in range(4))
    assert np.std(noise[4:] - predicted) == pytest.approx(0.01, rel=0.02)


def test_default_order_is_two_plus_khz(noise: np.ndarray) -> None:
    assert lpc(noise, 16_000).a.shape == (101, 19)
    assert lpc(noise, 8_000).a.shape[1] == 11
    assert lpc(noise, 44_100).a.shape[1] == 47


def test_reflection_of_covariance_agrees_with_levinson(noise: np.ndarray) -> None:
    """The step-down recursion gives back what Levinson's recursion built up with."""
    from serfeat.lld.lpc import _reflection

    model = lpc(noise, 16_000, order=12)
    np.testing.assert_allclose(_reflection(model.a), model.reflection, atol=1e-8)


def test_covariance_is_lapacks_least_squares(noise: np.ndarray) -> None:
    """Frame by frame with ``np.linalg.lstsq``, also where a frame does not determine the solution.

    Seen to catch the columns in reverse, a residual without the part below R, no cut-off of the
    singular values.
    """
    n = np.arange(400)
    frames = ShortTime(noise, 16_000).frames(400)[3:90].copy()
    frames[5], frames[6], frames[7] = 0.0, 0.3, np.cos(0.3 * n)  # silence, DC, a tone
    frames[8] = 1e-6 * frames[9]
    model = covariance(frames, 12)
    for t, frame in enumerate(frames):
        past = np.array([frame[12 - k : 400 - k] for k in range(1, 13)]).T
        solution = np.linalg.lstsq(past, frame[12:], rcond=None)[0]
        np.testing.assert_allclose(-model.a[t, 1:], solution, atol=1e-9)
        error = np.mean((frame[12:] - past @ solution) ** 2)
        assert model.error[t] == pytest.approx(error, rel=1e-9, abs=1e-28)


def test_unstable_least_squares_is_flagged() -> None:
    growing = 1e-3 * 1.05 ** np.arange(1600) % 1e30
    model = covariance(np.array([growing[:120]]), 1)
    np.testing.assert_allclose(model.a[0], [1, -1.05], atol=1e-9)
    assert abs(model.reflection[0, 0]) > 1


# ------------------------------------------------------------------- an independent implementation
def test_autocorrelation_method_is_scipys(noise: np.ndarray) -> None:
    """Catches wrapped lags: the transform must be longer than the frame by the order."""
    sr, samples, order = 16_000, 510, 12  # 510 + 12 > 512
    got = lpc(noise, sr, length=samples / sr, order=order, white_noise=0.0)
    frames = ShortTime(noise, sr).frames(samples) * np.hamming(samples)
    for i in range(5, 95, 10):
        r = np.array([frames[i, : samples - k] @ frames[i, k:] for k in range(order + 1)])
        expected = np.r_[1, -solve_toeplitz(r[:order], r[1:])]
        np.testing.assert_allclose(got.a[i], expected, atol=1e-9)
        error = (expected @ r) / (np.hamming(samples) ** 2).sum()
        assert got.gain[i] == pytest.approx(np.sqrt(error), rel=1e-9)


def test_white_noise_is_added_to_lag_0() -> None:
    """1e-9 of it, if nothing is said: what two tones leave is that. Seen to catch 1e-7."""
    n = np.arange(4000)
    x = np.sin(0.3 * n) + 0.3 * np.sin(0.9 * n)
    frame = x[1080:1480] * np.hamming(400)
    r = np.array([frame[: 400 - k] @ frame[k:] for k in range(7)])
    r[0] *= 1 + 1e-9
    error = np.r_[1, -solve_toeplitz(r[:6], r[1:])] @ r / (np.hamming(400) ** 2).sum()
    assert lpc(x, 16_000, order=6).gain[8] ** 2 == pytest.approx(error, rel=1e-3)


def test_burg_is_librosas_on_the_same_frames(noise: np.ndarray) -> None:
    librosa = pytest.importorskip("librosa")
    got = lpc(noise, 16_000, order=10, method="burg", align="left")
    frames = ShortTime(noise, 16_000).frames(400, align="left")
    np.testing.assert_allclose(got.a, librosa.lpc(frames, order=10), atol=1e-10)


@pytest.mark.parametrize("method", ["burg", "covariance"])
def test_pre_emphasis_without_a_window_is_htks(noise: np.ndarray, method: str) -> None:
    """Inside the frame, its first sample times 1 - a. Seen to catch 1 + a there."""
    got = lpc(noise, 16_000, order=8, method=method, preemphasis=0.9, align="left").a[7]
    frame = noise[1120:1520]
    emphasised = np.r_[0.1 * frame[0], frame[1:] - 0.9 * frame[:-1]]
    solve = covariance if method == "covariance" else burg
    np.testing.assert_allclose(got, solve(emphasised[None], 8).a[0], atol=1e-12)


def test_lpcc_is_the_cepstrum_of_the_lpc_spectrum(noise: np.ndarray) -> None:
    a = lpc(noise, 16_000, order=12).a
    cepstrum = np.fft.ifft(-2 * np.log(np.abs(np.fft.fft(a, 4096)))).real
    np.testing.assert_allclose(lpcc(noise, 16_000, n=16), cepstrum[:, 1:17], atol=1e-8)


def test_lsf_interlace_and_find_the_resonances(noise: np.ndarray) -> None:
    """A pair of close line frequencies encloses each of the poles' angles, 0.5 and 1.6 rad."""
    got = lsf(noise, 16_000, hop=0.1, length=0.3, order=4)[2:-2]
    assert (np.diff(got) > 0).all()
    np.testing.assert_allclose(
        got.mean(0), [0.48692843, 0.63844796, 1.51262642, 1.70125134], atol=0.02
    )


# -------------------------------------------------------------------------------------- invariance
def test_gain_moves_only_the_gain(noise: np.ndarray) -> None:
    loud, quiet = LPC(ShortTime(noise, 16_000)), LPC(ShortTime(noise / 10, 16_000))
    np.testing.assert_allclose(loud[:, :12], quiet[:, :12], atol=1e-9)
    np.testing.assert_allclose(loud[:, 12] - quiet[:, 12], 20.0, atol=1e-9)
    np.testing.assert_allclose(lpcc(noise, 16_000), lpcc(noise / 10, 16_000), atol=1e-9)


def test_gain_is_re_full_scale() -> None:
    """White noise of rms 0.1 is its own innovation: -20 dB."""
    x = 0.1 * np.random.default_rng(2).standard_normal(32_000)
    assert LPC(ShortTime(x, 16_000))[3:-3, 12].mean() == pytest.approx(-20.2, abs=0.3)


def test_families_share_one_spectrum_and_one_model(noise: np.ndarray) -> None:
    from serfeat.lld.mfcc import DESCRIPTORS as MFCC
    from serfeat.lld.plp import DESCRIPTORS as PLP

    st = ShortTime(noise, 16_000)
    for d in (MFCC[0], LPC, LPCC, LSF, PLP[0]):
        d(st)
    kinds = [key[0] for key in st._memory]
    assert kinds.count("power") == 1
    assert kinds.count("lpc") == 1


def test_descriptors_are_the_functions(noise: np.ndarray) -> None:
    """Seen to catch columns with the sign of the inverse filter."""
    st, model = ShortTime(noise, 16_000), lpc(noise, 16_000, order=12, preemphasis=0.97)
    np.testing.assert_array_equal(LPC(st)[:, :12], model.coefficients)
    np.testing.assert_allclose(LPC(st)[:, 12], 20 * np.log10(model.gain), rtol=1e-12)
    np.testing.assert_array_equal(LPCC(st), lpcc(noise, 16_000, preemphasis=0.97))
    np.testing.assert_array_equal(LSF(st), lsf(noise, 16_000, preemphasis=0.97))
    for method in ("covariance", "burg"):
        model = lpc(noise, 16_000, order=12, preemphasis=0.97, method=method)
        found = TABLE[f"lpc_{method}"](st)
        np.testing.assert_array_equal(found[:, :12], model.coefficients)
        np.testing.assert_allclose(found[:, 12], 20 * np.log10(model.gain), rtol=1e-12)


# -------------------------------------------------------------------------------- degenerate input
def test_silence() -> None:
    st = ShortTime(np.zeros(1600), 16_000)
    np.testing.assert_array_equal(LPC(st)[:, :12], 0.0)
    np.testing.assert_array_equal(LPC(st)[:, 12], -120.0)
    np.testing.assert_array_equal(LPCC(st), 0.0)
    assert np.isnan(LSF(st)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["autocorrelation", "covariance", "burg"])
@pytest.mark.parametrize("sr", [8_000, 16_000, 44_100])
def test_odd_signals(method: str, sr: int) -> None:
    impulse = np.zeros(sr // 20)
    impulse[len(impulse) // 2] = 1.0
    tone = np.sin(2 * np.pi * 440 * np.arange(sr // 20) / sr)
    for x in (np.ones(1), np.full(1000, 0.5), impulse, tone, np.sign(tone), 1e-8 * tone):
        model = lpc(x, sr, order=12, method=method)
        assert len(model.a) == 1 + len(x) // round(0.01 * sr)
        assert np.isfinite(model.a).all()
        assert np.isfinite(model.gain).all()
        if method != "covariance":
            assert model.stable.all()
        for values in (lpcc(x, sr, method=method), lsf(x, sr, method=method)):
            assert not np.isinf(values).any()


def test_wrong_settings_say_so() -> None:
    x = np.zeros(1600)
    with pytest.raises(UnknownNameError, match="did you mean 'burg'"):
        lpc(x, 16_000, method="burk")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="expected 1 to 399"):
        lpc(x, 16_000, order=400)
    with pytest.raises(FeatureError, match="2 \\* order"):
        lpc(x, 16_000, order=200, method="covariance")
