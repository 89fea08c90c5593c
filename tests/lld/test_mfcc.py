"""MFCC against librosa, openSMILE's binary, Kaldi's code and TIM-Net's published row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.errors import FeatureError, UnknownNameError
from serfeat.lld.mfcc import CONVENTIONS, DESCRIPTORS, centre_fit, mfcc
from serfeat.shorttime import ShortTime
from serfeat.spectrum import mel_filterbank
from serfeat.types import Floats

MFCC, MFCC39 = DESCRIPTORS[:2]

COMPONENT = "firstMfcc=0\nlastMfcc=13\ncepLifter=22"


# ------------------------------------------------------------------- an independent implementation
@pytest.mark.parametrize(("convention", "k", "low"), [("htk", 0.97, 0.0), ("serfeat", 0.0, 20.0)])
def test_htk_is_opensmiles(
    speechlike: np.ndarray,
    opensmile_chain: Callable[..., Floats],
    convention: str,
    k: float,
    low: float,
) -> None:
    """Seen to catch a shifted lifter, 2/M in place of sqrt(2/M), 32768 for 32767.

    openSMILE computes in float32, hence 2e-4 on values up to 100. The band edge of 20 Hz catches a
    bank that keeps the bin at 31 Hz, which HTK leaves out.
    """
    theirs = opensmile_chain(speechlike, "cMfcc", COMPONENT, k=k, low=low)
    theirs = np.roll(theirs, 1, axis=1)  # HTK writes coefficient 0 last
    ours = mfcc(speechlike, 16_000, convention=convention, preemphasis=k, align="left")
    theirs = theirs[: len(ours)]
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def kaldis(x: Floats, sr: int = 16_000, energy: bool = True, window: str = "povey") -> Floats:
    """MFCC by kaldi-native-fbank, which is Kaldi's own code; it computes in float32."""
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = sr
    options.frame_opts.window_type = window
    options.use_energy = energy
    online = knf.OnlineMfcc(options)
    online.accept_waveform(sr, (x * 32768).tolist())
    online.input_finished()
    return np.array([online.get_frame(i) for i in range(online.num_frames_ready)])


@pytest.mark.parametrize("sr", [16_000, 8_000])
@pytest.mark.parametrize("energy", [True, False])
def test_kaldi_is_kaldis(speechlike: np.ndarray, sr: int, energy: bool) -> None:
    """Seen to catch a window to the power of 0.8, HTK's lowest bin, the energy after pre-emphasis,
    a mean that stays, and sqrt(2) on coefficient 0.
    """
    x = speechlike + 0.05  # an offset, for the removal of the mean
    theirs = kaldis(x, sr, energy)
    ours = mfcc(x, sr, n=13, convention="kaldi", energy=energy, align="left")
    assert ours.shape == theirs.shape
    # Relative to each coefficient's size: near 0 a difference of logarithms keeps no digits.
    size = np.abs(theirs).mean(axis=0)
    assert (np.abs(ours - theirs) / size).max() < 1e-4


def test_kaldis_silence_scale_and_first_sample() -> None:
    """Seen to catch twice the floor of the energy, 32767 for 32768, and another sign of the
    pre-emphasis at the first sample, where a Hamming window is not 0.
    """
    settings = {"n": 13, "convention": "kaldi", "align": "left"}
    zeros = np.zeros(4000)
    found = mfcc(zeros, 16_000, **settings)[:, 0]
    np.testing.assert_allclose(found, kaldis(zeros)[:, 0], atol=1e-5)
    x = np.round(3000 * np.random.default_rng(0).standard_normal(4000)) / 32768
    found = mfcc(x, 16_000, **settings)[:, 0]
    np.testing.assert_allclose(found, kaldis(x)[:, 0], atol=2e-5)
    found = mfcc(x, 16_000, window="hamming", **settings)
    np.testing.assert_allclose(found, kaldis(x, window="hamming"), atol=2e-3)


def test_emphasis_of_the_spectrum_filters_the_windowed_frame(speechlike: np.ndarray) -> None:
    """The spectral weight is the filter after the window, exactly: 400 + 1 samples fit into 512.

    Seen to catch + 2 a cos w, a^2 left out, the weight of the magnitude.
    """
    from scipy.signal import lfilter

    frames = ShortTime(speechlike, 16_000).frames(400) * np.hamming(400)
    filtered = lfilter([1.0, -0.97], [1.0], np.pad(frames, ((0, 0), (0, 1))), axis=1)
    power = np.abs(np.fft.rfft(filtered, 512)) ** 2
    bank = mel_filterbank(16_000, 512, 26, f_low=20.0, f_high=8000.0, scale="htk")
    logs = np.log(np.maximum(power @ bank.T * 32767.0**2, 1.0))
    k = np.arange(14)
    cosines = np.sqrt(2 / 26) * np.cos(np.pi * np.outer(np.arange(26) + 0.5, k) / 26)
    expected = logs @ cosines * (1 + 11 * np.sin(np.pi * k / 22))
    np.testing.assert_allclose(mfcc(speechlike, 16_000, emphasised="spectrum"), expected, atol=1e-9)


@pytest.mark.corpus
def test_order_of_filter_and_window_on_speech(emodb_root: Path) -> None:
    """What the order of filter and window changes: weak high bands, into which low ones leak.

    On every tenth file of EMO-DB coefficients 1 ... 13 differ by 0.82 in the median and by 7.2 in
    the 95th percentile, where their standard deviation is 17; they correlate at 0.978 to 0.998.
    Seen to fail without the pre-emphasis (median 3.7).
    """
    after, before = [], []
    for file in sorted((emodb_root / "audio").glob("*.flac"))[::60]:
        x, sr = sf.read(file)
        after.append(mfcc(x, sr, emphasised="spectrum"))
        before.append(mfcc(x, sr))
    ours, theirs = np.concatenate(after)[:, 1:], np.concatenate(before)[:, 1:]
    assert np.median(np.abs(ours - theirs)) < 1.0
    assert np.percentile(np.abs(ours - theirs), 95) < 8.0
    for k in range(13):
        assert np.corrcoef(ours[:, k], theirs[:, k])[0, 1] > 0.97


@pytest.mark.parametrize(("sr", "hop"), [(22_050, 512), (16_000, 160)])
def test_librosa_is_librosas(speechlike: np.ndarray, sr: int, hop: int) -> None:
    """The second half is silent, so the floor 80 dB below the clip's maximum is reached too.

    Seen to catch a floor of 100 dB, a symmetric Hann window.
    """
    librosa = pytest.importorskip("librosa")
    x = speechlike.copy()
    x[20_000:] = 0
    theirs = librosa.feature.mfcc(y=x, sr=sr, n_mfcc=39, hop_length=hop).T
    ours = mfcc(x, sr, hop=hop / sr, n=39, convention="librosa")
    assert ours.shape == theirs.shape
    # librosa keeps its filter bank in float32.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=2e-6)


def test_descriptors_are_the_conventions(speechlike: np.ndarray) -> None:
    """On the toolkit's grid, the numbers of the namesake's settings; catches rows exchanged."""
    table = {d.name: d for d in DESCRIPTORS}
    for convention, n in (("htk", 13), ("kaldi", 13), ("librosa", 20)):
        found = table[f"mfcc_{convention}"](ShortTime(speechlike, 16_000))
        expected = mfcc(speechlike, 16_000, n=n, convention=convention)
        np.testing.assert_array_equal(found, expected)


# The row that TIM-Net's repository shows for this file (x86 Linux; from row 1 on both machines).
TIMNET_ROW = """-732.30524 .76334983 .73838884 .7000172 .6526552 .6016959 .55283105 .51134 .48143077
.4657153 .4648861 .47763315 .5008124 .5298445 .559294 .5835557 .59756315 .59742963 .58094174
.5478436 .49987558 .44056392 .3747858 .30816603 .24637975 .19444916 .15612221 .1334109 .1263473
.1329877 .14966433 .17145312 .1927989 .2082195 .21300061 .20379439 .1790465 .1391982
.08663828"""


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("resampler", "level", "shape"), [("kaiser_best", 1e-3, 5e-5), ("soxr_hq", 1e-2, 1e-4)]
)
def test_timnet_published_row(
    ravdess_root: Path, resampler: str, level: float, shape: float
) -> None:
    librosa = pytest.importorskip("librosa")
    if resampler == "kaiser_best":
        pytest.importorskip("resampy")
    path = ravdess_root / "audio" / "03-01-05-01-01-01-01.flac"
    x, sr = librosa.load(path, sr=22_050, res_type=resampler)
    st = ShortTime(centre_fit(x, 110_000), int(sr), 512 / 22_050)
    got = MFCC39(st)
    assert got.shape == (215, 39)
    expected = np.array(TIMNET_ROW.split(), dtype=float)
    assert abs(got[46, 0] - expected[0]) < level
    np.testing.assert_allclose(got[46, 1:], expected[1:], atol=shape)


# ------------------------------------------------------------------------------------- closed form
@pytest.mark.parametrize(
    ("corpus", "samples", "frames"),
    [
        ("casia", 88_000, 172),
        ("emodb", 96_000, 188),
        ("iemocap", 310_000, 606),
        ("ravdess", 110_000, 215),
        ("savee", 130_000, 254),
    ],
)
def test_timnet_lengths(corpus: str, samples: int, frames: int) -> None:
    x = np.random.default_rng(0).standard_normal(50_001) * 0.1
    fitted = centre_fit(x, samples)
    assert len(fitted) == samples
    assert ShortTime(fitted, 22_050, 512 / 22_050).n_frames == frames


def test_centre_fit_pads_and_crops_around_the_centre() -> None:
    """Seen to catch the odd zero put before instead of after, a third cut off in front."""
    np.testing.assert_array_equal(centre_fit([1, 2, 3], 6), [0, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(centre_fit([1, 2, 3, 4, 5, 6], 3), [2, 3, 4])
    np.testing.assert_array_equal(centre_fit(np.arange(20), 6), np.arange(7, 13))
    np.testing.assert_array_equal(centre_fit([1, 2, 3], 3), [1, 2, 3])
    with pytest.raises(FeatureError):
        centre_fit([[1.0]], 3)


def test_silence_is_the_floor_and_nothing_else() -> None:
    zeros = np.zeros(16_000)
    np.testing.assert_array_equal(mfcc(zeros, 16_000, convention="htk"), 0.0)
    silent = mfcc(zeros, 22_050, n=39, convention="librosa")
    np.testing.assert_allclose(silent[:, 0], -100 * np.sqrt(128), rtol=1e-12)  # -1131.37
    np.testing.assert_allclose(silent[:, 1:], 0.0, atol=1e-10)


# -------------------------------------------------------------------------------------- invariance
def test_gain_moves_only_the_level(speechlike: np.ndarray) -> None:
    """A gain g adds ``2 ln g`` to every log band: ``sqrt(2/26) 26 2 ln g`` to c0."""
    quiet, loud = mfcc(0.25 * speechlike, 16_000), mfcc(speechlike, 16_000)
    inside = slice(3, -3)  # frames that do not touch the zeros beyond the clip
    np.testing.assert_allclose(quiet[inside, 1:], loud[inside, 1:], atol=1e-9)
    expected = np.sqrt(2 / 26) * 26 * 2 * np.log(4)
    np.testing.assert_allclose((loud - quiet)[inside, 0], expected, rtol=1e-9)


def test_sign_does_not_matter(speechlike: np.ndarray) -> None:
    np.testing.assert_array_equal(mfcc(-speechlike, 16_000), mfcc(speechlike, 16_000))


def test_a_shift_by_whole_hops_shifts_the_frames(speechlike: np.ndarray) -> None:
    whole, later = mfcc(speechlike, 16_000), mfcc(speechlike[1600:], 16_000)
    np.testing.assert_allclose(whole[12:-2], later[2:-2], atol=1e-10)


def test_descriptor_is_the_function(speechlike: np.ndarray) -> None:
    st = ShortTime(speechlike, 16_000)
    np.testing.assert_array_equal(MFCC(st), mfcc(speechlike, 16_000))
    assert MFCC.columns == tuple(f"mfcc_{k}" for k in range(14))
    assert len(MFCC39.columns) == 39


# -------------------------------------------------------------------------------- degenerate input
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("sr", [8_000, 16_000, 44_100])
@pytest.mark.filterwarnings("error")
def test_odd_signals_stay_finite(convention: str, sr: int) -> None:
    impulse = np.zeros(sr // 10)
    impulse[len(impulse) // 2] = 1.0
    for x in (
        np.zeros(1),
        np.ones(1),
        np.full(1000, 0.5),
        impulse,
        np.sign(np.sin(np.arange(5e3))),
    ):
        got = mfcc(x, sr, convention=convention)
        assert got.shape == (1 + len(x) // round(0.01 * sr), 14)
        assert np.isfinite(got).all()


def test_unknown_words_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'librosa'"):
        mfcc(np.zeros(400), 16_000, convention="librossa")
    with pytest.raises(UnknownNameError, match="did you mean 'n_bands'"):
        mfcc(np.zeros(400), 16_000, n_band=40)
    with pytest.raises(FeatureError, match="1 to 26"):
        mfcc(np.zeros(400), 16_000, n=27)
