"""MFCC against librosa, openSMILE's binary and TIM-Net's published row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serfeat.errors import FeatureError, UnknownNameError
from serfeat.lld.mfcc import CONVENTIONS, DESCRIPTORS, centre_fit, mfcc
from serfeat.shorttime import ShortTime

MFCC, MFCC39 = DESCRIPTORS

# Specification text for openSMILE: waveform -> frames -> (pre-emphasis) -> Hamming -> FFT -> mel
# -> MFCC, one level after the other.
OPENSMILE = r"""
[componentInstances:cComponentManager]
instance[dataMemory].type=cDataMemory
\{{\cm[source{{?}}:source include config]}}
[componentInstances:cComponentManager]
instance[cut].type=cFramer
instance[emph].type=cVectorPreemphasis
instance[taper].type=cWindower
instance[spec].type=cTransformFFT
instance[mag].type=cFFTmagphase
instance[bands].type=cMelspec
instance[cep].type=cMfcc
instance[out].type=cVectorConcat
[cut:cFramer]
reader.dmLevel=wave
writer.dmLevel=cut
noPostEOIprocessing=1
frameSize=0.025
frameStep=0.01
frameCenterSpecial=left
[emph:cVectorPreemphasis]
reader.dmLevel=cut
writer.dmLevel=emph
k={k}
[taper:cWindower]
reader.dmLevel={before}
writer.dmLevel=taper
winFunc=ham
[spec:cTransformFFT]
reader.dmLevel=taper
writer.dmLevel=spec
[mag:cFFTmagphase]
reader.dmLevel=spec
writer.dmLevel=mag
[bands:cMelspec]
reader.dmLevel=mag
writer.dmLevel=bands
htkcompatible=1
usePower=1
specScale=mel
nBands=26
lofreq={low}
hifreq=8000
[cep:cMfcc]
reader.dmLevel=bands
writer.dmLevel=cep
htkcompatible=1
firstMfcc=0
lastMfcc=13
cepLifter=22
[out:cVectorConcat]
reader.dmLevel=cep
writer.dmLevel=lld
\{{\cm[sink{{?}}:include external sink]}}
"""


@pytest.fixture
def speechlike() -> np.ndarray:
    """2 s of noise through two resonances, on the 16-bit grid, at 16 kHz."""
    from scipy.signal import lfilter

    poles = [0.97 * np.exp(0.3j), 0.97 * np.exp(-0.3j), 0.95 * np.exp(1j), 0.95 * np.exp(-1j)]
    x = lfilter([1], np.poly(poles).real, np.random.default_rng(0).standard_normal(32_000))
    return np.round(x / np.abs(x).max() * 0.5 * 32767) / 32767


# ------------------------------------------------------------------- an independent implementation
@pytest.mark.parametrize(("convention", "k", "low"), [("htk", 0.97, 0.0), ("serfeat", 0.0, 20.0)])
def test_htk_is_opensmiles(
    speechlike: np.ndarray, tmp_path: Path, convention: str, k: float, low: float
) -> None:
    """Catches a shifted lifter, 2/M in place of sqrt(2/M), a pre-emphasis over the whole signal.

    openSMILE computes in float32, hence 2e-4 on values up to 100. The band edge of 20 Hz catches a
    bank that keeps the bin at 31 Hz, which HTK leaves out.
    """
    opensmile = pytest.importorskip("opensmile")
    config = tmp_path / "chain.conf"
    config.write_text(OPENSMILE.format(k=k, low=low, before="emph" if k else "cut"))
    smile = opensmile.Smile(feature_set=str(config), feature_level="lld")
    theirs = smile(speechlike.astype(np.float32) * np.float32(32767 / 32768), 16_000)[0].T
    theirs = np.roll(theirs, 1, axis=1)  # HTK writes coefficient 0 last
    ours = mfcc(speechlike, 16_000, convention=convention, align="left")
    theirs = theirs[: len(ours)]
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize(("sr", "hop"), [(22_050, 512), (16_000, 160)])
def test_librosa_is_librosas(speechlike: np.ndarray, sr: int, hop: int) -> None:
    """The second half is silent, so the floor 80 dB below the clip's maximum is reached too."""
    librosa = pytest.importorskip("librosa")
    x = speechlike.copy()
    x[20_000:] = 0
    theirs = librosa.feature.mfcc(y=x, sr=sr, n_mfcc=39, hop_length=hop).T
    ours = mfcc(x, sr, hop=hop / sr, n=39, convention="librosa")
    assert ours.shape == theirs.shape
    # librosa keeps its filter bank in float32.
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=2e-6)


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
    np.testing.assert_array_equal(centre_fit([1, 2, 3], 6), [0, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(centre_fit([1, 2, 3, 4, 5, 6], 3), [2, 3, 4])
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
