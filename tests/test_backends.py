"""The backends: their frames are ours, their columns ours, and they say what lacks."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from serfeat.audio import load_audio
from serfeat.backends import why_absent, with_backend
from serfeat.cli import main
from serfeat.errors import FeatureError, MissingExtraError, UnknownNameError
from serfeat.feature_sets import FEATURE_SETS, feature_set
from serfeat.lld import DESCRIPTORS, opensmile
from serfeat.lld.backends import BACKENDS, DISTRIBUTIONS, require
from serfeat.lld.intensity import DESCRIPTORS as _INTENSITY
from serfeat.lld.loudness import DESCRIPTORS as _LOUDNESS
from serfeat.lld.spectral import DESCRIPTORS as _SPECTRAL
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

SR = 16_000
INTENSITY, LOUDNESS, SPECTRAL = _INTENSITY[0], _LOUDNESS[0], _SPECTRAL[0]
PACKAGES = {"praat": "parselmouth", "librosa": "librosa", "opensmile": "opensmile"}
ALL = [(b, d) for b, known in BACKENDS.items() for d in known.values()]


@pytest.fixture(autouse=True)
def consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(opensmile.CONSENT, "1")


def needs(backend: str) -> None:
    pytest.importorskip(PACKAGES[backend])


def glide(sr: int = SR, seconds: float = 1.5, low: float = 120.0, high: float = 260.0) -> Floats:
    """A voice whose F0 rises by 9 cents per frame: a frame that is misplaced shows."""
    t = np.arange(round(seconds * sr)) / sr
    phase = 2 * np.pi * np.cumsum(low * (high / low) ** (t / seconds)) / sr
    x = sum(h**-1.5 * np.cos(h * phase + h * h) for h in range(1, 25) if h * high < 0.45 * sr)
    return np.asarray(0.1 * x, dtype=np.float64)


def true_f0(st: ShortTime, seconds: float = 1.5, low: float = 120.0, high: float = 260.0) -> Floats:
    return np.asarray(low * (high / low) ** (st.grid.times / seconds))


def cents(a: Floats, b: Floats) -> Floats:
    return np.asarray(1200 * np.log2(a / b))


# ------------------------------------------------------------------------------------- the table
@pytest.mark.parametrize(("backend", "theirs"), ALL, ids=lambda v: getattr(v, "name", v))
def test_a_column_of_our_name_is_our_quantity(backend: str, theirs: Descriptor) -> None:
    """Same name: same unit, same level. Catches openSMILE's HNR as "hnr_db"."""
    assert (
        theirs.licence
        == {
            "praat": "GPL-3.0-or-later (Praat)",
            "librosa": "ISC (librosa)",
            "opensmile": "openSMILE-research",
        }[backend]
    )
    assert len(theirs.units) == len(theirs.columns)
    ours = DESCRIPTORS.get(theirs.name)
    if ours is None:
        return
    shared = set(ours.columns) & set(theirs.columns)
    for column in shared:
        assert theirs.units[theirs.columns.index(column)] == ours.units[ours.columns.index(column)]
        assert theirs.level == ours.level
    if backend == "opensmile" and theirs.name in {"hnr", "jitter", "shimmer"}:
        assert not shared
        assert all("opensmile" in c for c in theirs.columns)
    else:
        assert shared


def test_every_backend_names_its_package() -> None:
    assert set(DISTRIBUTIONS) == set(BACKENDS) == set(PACKAGES)


# ------------------------------------------------------------------------------------- the grid
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("sr", "hop"), [(16_000, 0.01), (8_000, 0.01), (22_050, 512 / 22_050)])
def test_frames_are_where_ours_are(backend: str, sr: int, hop: float) -> None:
    """F0 of a glide, from the inner frames; one frame off would be 9 to 21 cents.

    Seen to fail with Praat's rows one later, and with openSMILE's frames of 20 in place of 60 ms.
    """
    needs(backend)
    st = ShortTime(glide(sr), sr, hop)
    found = BACKENDS[backend]["f0"](st)[:, 0]
    error = cents(found, true_f0(st))[10:-10]
    assert len(found) == st.n_frames
    assert np.isfinite(error).mean() > 0.95
    off = abs(np.nanmedian(error))
    assert off < {"praat": 0.1, "librosa": 8.0, "opensmile": 7.0}[backend] + 4 * (hop > 0.01)


@pytest.mark.parametrize("more", [0, 1, 79, 80, 81, 159])
def test_praat_fills_every_frame(more: int) -> None:
    """For every length of the clip. Seen to fail with rows one later, and with too few zeros."""
    needs("praat")
    x = glide()[: SR + more] + 1e-3 * np.random.default_rng(1).standard_normal(SR + more)
    st = ShortTime(x, SR)
    values = BACKENDS["praat"]["formants"](st)
    assert values.shape == (101, 6)
    assert np.isfinite(values[2:-2]).all()
    assert np.isfinite(BACKENDS["praat"]["intensity"](st)).all()
    f0 = BACKENDS["praat"]["f0"](st)[5:-5, 0]
    np.testing.assert_allclose(cents(f0, true_f0(st)[5:-5]), 0.0, atol=2.0)
    ours, theirs = INTENSITY(st), BACKENDS["praat"]["intensity"](st)
    np.testing.assert_allclose(theirs[5:-5], ours[5:-5], atol=1e-3)


def test_what_praat_says_of_noise_and_silence_is_not_under_our_names() -> None:
    """Formants of silence and the HNR of noise moved the means of clips, F1's by 370 Hz."""
    needs("praat")
    x = glide()
    x[: SR // 2] = 0.1 * np.random.default_rng(1).standard_normal(SR // 2)
    st = ShortTime(x, SR)
    voiced = np.isfinite(BACKENDS["praat"]["f0"](st)[:, 0])
    assert 0.3 < voiced.mean() < 0.7
    for name in ("formants", "hnr"):
        np.testing.assert_array_equal(np.isfinite(BACKENDS["praat"][name](st)[:, 0]), voiced)


def test_praats_formants_of_a_telephone_call(shared: Path) -> None:
    """Near Praat's of 16 kHz, as ours are. Failed: 577 Hz off in F3, with Praat resampling up."""
    needs("praat")
    signed = []
    for path in sorted((shared / "corpora" / "emodb").rglob("*.flac"))[:40:5]:
        both = [
            BACKENDS["praat"]["formants"](ShortTime(load_audio(path, sr=sr).x, sr))
            for sr in (SR, 8000)
        ]
        signed.append(both[1][: len(both[0])] - both[0][: len(both[1])])
    off = np.nanmedian(np.concatenate(signed), axis=0)[:3]
    assert (np.abs(off) < [20, 40, 120]).all()


@pytest.mark.parametrize("hop", [0.01, 0.02])
def test_opensmiles_cepstra_are_ours(hop: float) -> None:
    """To the rounding of 32 bits and of 32767 for 32768; with 20 ms every other row is taken.

    Seen to fail with one zero more before the clip, with coefficient 0 where openSMILE has it, with
    the inverse filter's sign, and with zeros that count as crossings.
    """
    needs("opensmile")
    x = np.round(32768 * glide()) / 32768
    x += np.round(30 * np.random.default_rng(2).standard_normal(len(x))) / 32768
    st = ShortTime(x, SR, hop)
    theirs = {name: d(st) for name, d in BACKENDS["opensmile"].items()}
    np.testing.assert_allclose(theirs["mfcc"], DESCRIPTORS["mfcc"](st), atol=2e-3)
    np.testing.assert_allclose(theirs["plp"], DESCRIPTORS["plp"](st), atol=1e-4)
    np.testing.assert_allclose(theirs["energy"], DESCRIPTORS["energy"](st), atol=5e-3)
    lpc = theirs["lpc"] - DESCRIPTORS["lpc"](st)[:, :12]
    assert np.median(np.abs(lpc)) < 1e-2
    zcr = theirs["zcr"] - DESCRIPTORS["zcr"](st)
    assert np.median(np.abs(zcr)) < 1e-2
    silence = BACKENDS["opensmile"]["zcr"](ShortTime(np.zeros(SR), SR))
    np.testing.assert_array_equal(silence, 0.0)


def test_opensmiles_loudness_follows_ours() -> None:
    """Smoothed over three frames of 20 ms in place of 25: correlated, and not one frame late."""
    needs("opensmile")
    n = np.arange(2 * SR)
    x = np.random.default_rng(3).standard_normal(len(n)) * 0.1 * (1.1 + np.sin(n / SR * 20))
    st = ShortTime(x, SR)
    ours, theirs = LOUDNESS(st)[:, 0], BACKENDS["opensmile"]["loudness"](st)[:, 0]
    lags = [np.corrcoef(ours[5:-5], np.roll(theirs, k)[5:-5])[0, 1] for k in (-1, 0, 1)]
    assert np.argmax(lags) == 1
    assert lags[1] > 0.98


def test_librosas_numbers_are_ours() -> None:
    """Inner frames; the zcr of librosa repeats the edge samples. Catches a frame that is off."""
    needs("librosa")
    x = glide() + 0.01 * np.random.default_rng(4).standard_normal(len(glide()))
    st = ShortTime(x, SR)
    for name, tolerance in {"energy": 1e-4, "zcr": 1e-6, "mfcc39": 1e-5}.items():
        theirs = BACKENDS["librosa"][name](st)[3:-3]
        np.testing.assert_allclose(theirs, DESCRIPTORS[name](st)[3:-3], atol=tolerance)
    theirs = BACKENDS["librosa"]["spectral"]
    places = [SPECTRAL.columns.index(column) for column in theirs.columns]
    np.testing.assert_allclose(theirs(st), SPECTRAL(st)[:, places], rtol=1e-5)


def test_librosas_lpc_is_burgs() -> None:
    """Against our Burg method. Seen to fail with the inverse filter's sign, with a power in the
    decibels of an amplitude, and without pre-emphasis."""
    needs("librosa")
    from serfeat.lld import lpc

    x = glide() + 0.01 * np.random.default_rng(5).standard_normal(len(glide()))
    theirs = BACKENDS["librosa"]["lpc"](ShortTime(x, SR))[3:-3]
    model = lpc(x, SR, order=12, method="burg", preemphasis=0.97)
    np.testing.assert_allclose(theirs[:, :12], model.coefficients[3:-3], atol=1e-6)
    np.testing.assert_allclose(theirs[:, 12], 20 * np.log10(model.gain[3:-3]), atol=1.0)


def test_opensmiles_voice_columns_are_undefined_without_voice() -> None:
    """Catches zeros that stayed. Its HNR saturates: 40 dB are given as about 10."""
    needs("opensmile")
    x = np.concatenate([glide(high=120.1), np.zeros(SR)])
    x = x + 1e-4 * np.random.default_rng(6).standard_normal(len(x))
    st = ShortTime(x, SR)
    for name in ("f0", "hnr", "jitter", "shimmer"):
        values = BACKENDS["opensmile"][name](st)
        assert np.isfinite(values[10:140]).all(), name
        assert np.isnan(values[165:]).all(), name
    assert np.nanmedian(BACKENDS["opensmile"]["hnr"](st)) < 14


IMPULSE = np.zeros(4000)
IMPULSE[2000] = 1.0
ODD = {
    "one sample": np.ones(1),
    "one frame": np.full(160, 0.1),
    "silence": np.zeros(4000),
    "offset": np.full(4000, 0.3),
    "impulse": IMPULSE,
    "clipped": np.clip(3 * np.sin(np.arange(4000) / 17), -1, 1),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sr", [8_000, 16_000, 48_000])
def test_odd_clips_do_no_harm(backend: str, sr: int) -> None:
    needs(backend)
    for name, x in ODD.items():
        st = ShortTime(x, sr)
        for descriptor in BACKENDS[backend].values():
            values = descriptor(st)  # checks the shape, and that nothing is infinite
            if descriptor.columns[0] == "f0_hz" and name in ("one sample", "silence", "offset"):
                assert np.isnan(values[:, 0]).all()


# ------------------------------------------------------------------------------------- feature sets
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for backend, package in PACKAGES.items():
        monkeypatch.setitem(sys.modules, package, None)
        opensmile._smile.cache_clear()
        with pytest.raises(MissingExtraError, match=rf"serfeat\[{backend}\]"):
            require(backend)
        assert f"serfeat[{backend}]" in why_absent(backend)
    opensmile._smile.cache_clear()


def test_consent_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("opensmile")
    assert why_absent("opensmile") == ""
    monkeypatch.delenv(opensmile.CONSENT)
    assert "--accept-opensmile-licence" in why_absent("opensmile")


def test_unknown_and_unfit() -> None:
    assert with_backend(feature_set("prosody"), "") is feature_set("prosody")
    with pytest.raises(UnknownNameError, match="did you mean 'praat'"):
        with_backend(feature_set("prosody"), "prat")
    with pytest.raises(FeatureError, match="none of its families; praat has f0"):
        with_backend(feature_set("cepstral"), "praat")
    with pytest.raises(FeatureError, match="none of its families"):
        with_backend(feature_set("egemaps"), "praat")


def test_a_set_with_a_backend() -> None:
    """Praat's F0 among our columns: the licence and the key of the store follow."""
    needs("praat")
    ours, theirs = feature_set("prosody"), with_backend(feature_set("prosody"), "praat")
    assert ours.columns("lld") == theirs.columns("lld")
    assert ours.fingerprint("lld") != theirs.fingerprint("lld")
    assert (ours.licence, "GPL" in theirs.licence) == ("Apache-2.0", True)
    x = glide()
    a, b = ours.compute(x, "lld"), theirs.compute(x, "lld")
    k = ours.columns("lld").index("f0_hz")
    zcr = ours.columns("lld").index("zcr_per_s")
    praat = BACKENDS["praat"]["f0"](ShortTime(x, SR))
    np.testing.assert_array_equal(b[:, k], praat[:, 0])
    np.testing.assert_array_equal(a[:, zcr], b[:, zcr])
    assert not np.array_equal(a[:, k], b[:, k], equal_nan=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("level", ["lld", "functionals"])
def test_every_backend_fits_the_classic_set(backend: str, level: str) -> None:
    needs(backend)
    features = with_backend(FEATURE_SETS["classic"], backend)
    features.require()
    values = features.compute(glide(seconds=0.5), level)  # type: ignore[arg-type]
    assert values.shape[1] == len(features.columns(level))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_descriptor_of_a_backend_travels_to_a_worker(backend: str) -> None:
    """Catches one made of a function inside another: `extract` could not hand it on."""
    for descriptor in BACKENDS[backend].values():
        assert pickle.loads(pickle.dumps(descriptor)) == descriptor


def test_extract_with_a_backend(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tiny: Path,
    tmp_path: Path,
) -> None:
    needs("praat")
    needs("opensmile")
    wav, out = sorted(tiny.parent.rglob("*.wav"))[0], tmp_path / "t.csv"
    command = ["extract", str(wav), "--features", "prosody", "-o", str(out), "--backend"]
    assert main([*command, "praat"]) == 0
    assert "GPL-3.0-or-later (Praat)" in Path(f"{out}.json").read_text()
    hnr = ["extract", str(wav), "--features", "f0,hnr", "-o", str(out), "--backend", "opensmile"]
    assert main(hnr) == 0
    monkeypatch.delenv(opensmile.CONSENT)
    capsys.readouterr()
    assert main([*command, "opensmile"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "--accept-opensmile-licence" in err
    assert main([*command, "prat"]) == 2
