"""Conditions of the test: settings, determinism, whose voices, and the way into the store."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serfeat.augment import Version
from serfeat.conditions import CLEAN, Condition, conditions_of
from serfeat.conditions.crowd import _samples, crowd_of
from serfeat.conditions.disturbance import active_level
from serfeat.conditions.kinds import KINDS, RANGES
from serfeat.corpora import read_corpus
from serfeat.denoise import PREPARATIONS
from serfeat.errors import FeatureError, ManifestError, UnknownNameError
from serfeat.extract import extract
from serfeat.feature_sets import feature_set
from serfeat.manifest import Manifest
from serfeat.manifest_csv import read_manifest

SR = 16_000

# One of each kind, with what it needs.
EXAMPLES = {
    "clean": Condition(),
    "white": Condition(kind="white", snr=10),
    "pink": Condition(kind="pink", snr=3),
    "reverberation": Condition(kind="reverberation", rt60=0.3),
    "telephone": Condition(kind="telephone"),
    "gain": Condition(kind="gain", gain=-20),
    "clipping": Condition(kind="clipping", share=0.05),
}


@pytest.fixture(scope="module")
def speech(tiny: Path) -> Manifest:
    return read_manifest(tiny)


@pytest.fixture(scope="module")
def clip(speech: Manifest) -> np.ndarray:
    from serfeat.audio import load_audio

    return np.asarray(load_audio(speech.path(speech.files[0]), sr=SR).x)


def db(ratio: float) -> float:
    return float(20 * np.log10(ratio))


# --- what is done ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
@pytest.mark.parametrize("snr", [-3.0, 12.0])
def test_snr_is_that_of_the_speech_while_there_is_speech(
    kind: str, snr: float, clip: np.ndarray, speech: Manifest
) -> None:
    """To 0.01 dB, and as much noise with a pause of three seconds after the speech.

    Meant to catch: the RMS of the whole clip as level of speech (6 dB less noise).
    """
    condition = Condition(kind=kind, snr=snr).among(speech)
    for x in (clip, np.concatenate([clip, np.zeros(3 * SR)])):
        noise = condition(x, SR, speaker="?/0") - x
        level = active_level(x, SR).rms
        assert db(level / np.sqrt(np.mean(noise**2))) == pytest.approx(snr, abs=0.01)


def test_pink_is_pink_and_white_is_white(clip: np.ndarray) -> None:
    power = {}
    for kind in ("white", "pink"):
        noise = np.abs(np.fft.rfft(EXAMPLES[kind](clip, SR) - clip)) ** 2
        f = np.fft.rfftfreq(len(clip), 1 / SR)
        power[kind] = noise[(f > 100) & (f < 200)].mean() / noise[(f > 1600) & (f < 3200)].mean()
    assert power["white"] == pytest.approx(1, rel=0.4)
    assert power["pink"] == pytest.approx(16, rel=0.4)


def test_gain_and_clean(clip: np.ndarray) -> None:
    np.testing.assert_allclose(EXAMPLES["gain"](clip, SR), 0.1 * clip)
    assert CLEAN(clip, SR) is clip
    assert not CLEAN.changes


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_a_condition_keeps_time_and_bears_anything(kind: str, clip: np.ndarray) -> None:
    """As many samples as before, aligned, finite; silence stays silent; a clip of nothing too."""
    condition = EXAMPLES[kind]
    y = condition(clip, SR)
    assert y.shape == clip.shape
    best = int(np.argmax(np.correlate(y[2000:12000], clip[2200:11800], "valid")))
    assert best == 200
    for n in (0, 1, 10, 500):
        assert not condition(np.zeros(n), SR).any()
        assert np.isfinite(condition(np.ones(n), SR)).all()


def test_every_kind_is_tried() -> None:
    assert set(EXAMPLES) | {"babble"} == set(KINDS)
    assert {word for kind in KINDS.values() for word in kind.settings} == set(RANGES)


def test_noise_belongs_to_the_clip_and_the_seed(clip: np.ndarray) -> None:
    """The same in any order, the same noise at every SNR, another one for another clip or seed.

    Seen to catch: one generator for all clips. Meant to: the SNR in the seed.
    """
    ten, four = Condition(kind="white", snr=10), Condition(kind="white", snr=4)
    first = ten(clip, SR)
    ten(clip[:-9], SR)
    np.testing.assert_array_equal(ten(clip.copy(), SR), first)
    np.testing.assert_allclose((four(clip, SR) - clip) / 10 ** (6 / 20), first - clip, atol=1e-12)
    noise = first - clip
    for other in (replace(ten, seed=1)(clip, SR) - clip, ten(0.5 * clip, SR) - 0.5 * clip):
        assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05


def test_denoising_comes_after_the_noise(clip: np.ndarray) -> None:
    """The noise of a pause is attenuated by 10 dB or more. Meant to catch: denoised before."""
    x = np.concatenate([np.zeros(SR), clip])
    noisy = Condition(kind="white", snr=10)
    residue = replace(noisy, denoise="log_mmse")(x, SR)[4000:12000].std()
    assert db(residue / noisy(x, SR)[4000:12000].std()) < -10


@pytest.mark.parametrize("vad", ["three_way", "sohn"])
def test_what_is_no_speech_is_faded_out(vad: str, clip: np.ndarray) -> None:
    """In place: a pause is zero afterwards, the middle of the speech as it was, no sharp edge.

    Seen to catch: an empty mask. Meant to: pauses cut out; edges without a slope.
    """
    hiss = 1e-4 * np.random.default_rng(0).standard_normal(2 * SR)
    x = np.concatenate([hiss, clip, hiss])
    y = Condition(vad=vad)(x, SR)
    assert y.shape == x.shape
    assert not y[: SR // 2].any()
    assert not y[-SR // 2 :].any()
    kept = np.mean(y[2 * SR : -2 * SR] ** 2) / np.mean(clip**2)
    assert kept == pytest.approx(1.0, abs=0.02)
    ones = Condition(vad=vad)(np.where(np.abs(x) > 0, x, 0) + 0.0, SR)
    ratio = np.divide(ones, x, out=np.zeros(len(x)), where=np.abs(x) > 1e-9)
    assert np.abs(np.diff(ratio[np.abs(x) > 1e-9])).max() < 0.2


# --- whose voices ----------------------------------------------------------------------------


def test_nobody_talks_over_himself(speech: Manifest) -> None:
    """200 draws of 3 of 4 speakers: each of the others, all different, never oneself.

    Meant to catch: drawing from everybody; with replacement.
    """
    crowd = crowd_of(speech)
    owner = {id(_samples(v, SR)): v.speaker for v in crowd.voices}
    codes = sorted({v.speaker for v in crowd.voices})
    assert len(codes) == 4
    assert all("/" in c for c in codes)
    seen = set()
    for i in range(50):
        for me in codes:
            drawn = crowd.draw(3, SR, me, np.random.default_rng(i))
            heard = [owner[id(x)] for x in drawn]
            assert sorted(heard) == sorted(set(codes) - {me})
            seen |= {id(x) for x in drawn}
    assert seen == set(owner)
    assert len(crowd.draw(11, SR, codes[0], np.random.default_rng(0))) == 11


def test_a_crowd_does_not_depend_on_the_order_of_rows(speech: Manifest) -> None:
    """And changes with a speaker, a clip or the seed: all of it is in the cache key.

    Meant to catch: only the chosen voices in the digest; paths in it.
    """
    one = crowd_of(speech, per_speaker=2)
    turned = crowd_of(speech.with_rows(speech.rows.iloc[::-1]), per_speaker=2)
    assert one == turned
    assert len(one.voices) == 8
    rows = speech.rows.copy()
    chosen = {v.path.name for v in one.voices}
    file = next(f for f in speech.files if Path(f).name not in chosen)
    rows.loc[[file], "speaker"] = "someone else"
    others = [
        crowd_of(speech.with_rows(rows), per_speaker=2),
        crowd_of(speech.with_rows(speech.rows.iloc[1:]), per_speaker=2),
        crowd_of(speech, per_speaker=2, seed=1),
        crowd_of(speech, per_speaker=3),
    ]
    assert len({c.digest for c in [one, *others]}) == 5
    assert str(speech.root) not in repr(one)


def test_babble_that_cannot_be_made(speech: Manifest, clip: np.ndarray) -> None:
    babble = Condition(kind="babble", snr=5)
    with pytest.raises(FeatureError, match=r"no voices yet; use condition\.among"):
        babble(clip, SR, speaker="c/1")
    ready = babble.among(speech)
    for unknown in ("", "demo/"):
        with pytest.raises(FeatureError, match="name the speaker of every row"):
            ready(clip, SR, speaker=unknown)
    alone = speech.select(speaker=speech.speakers[0])
    with pytest.raises(ManifestError, match="1 speakers have clips for babble"):
        babble.among(alone)
    assert EXAMPLES["white"].among(alone) is EXAMPLES["white"]
    assert ready.among(alone) is ready


def test_bad_voices_are_not_chosen(speech: Manifest, tmp_path: Path) -> None:
    """A silent, a short and a damaged file. Meant to catch: `_usable` always true."""
    import shutil

    import soundfile

    folder = tmp_path / "copy"
    shutil.copytree(speech.root, folder)
    files = list(speech.files)
    soundfile.write(folder / files[0], np.zeros(SR), SR)
    soundfile.write(folder / files[1], 0.1 * np.ones(2000), SR)
    (folder / files[2]).write_bytes(b"RIFF0000WAVEno")
    crowd = crowd_of(replace(speech, root=folder), per_speaker=99)
    names = {v.path.relative_to(folder).as_posix() for v in crowd.voices}
    assert names == set(files[3:])


# --- the way into the store ------------------------------------------------------------------


def test_features_under_a_condition(speech: Manifest, tmp_path: Path) -> None:
    """Other numbers, kept under another key; the same for two workers, any order and again.

    Meant to catch: the condition left out of the fingerprint; the speaker not handed on.
    """
    small = speech.with_rows(speech.rows.iloc[::3])
    babble = Condition(kind="babble", snr=5).among(speech)
    assert len(pickle.dumps(babble)) < 8_000
    chosen = replace(feature_set("prosody"), augment=babble)
    clean = extract(small, "prosody", store=tmp_path / "a")
    noisy = extract(small, chosen, store=tmp_path / "a")
    assert noisy.computed == len(small)
    assert not noisy.failures
    assert not np.array_equal(noisy.values, clean.values, equal_nan=True)
    again = extract(small, replace(chosen, augment=replace(babble, name="x")), store=tmp_path / "a")
    assert again.computed == 0
    turned = small.with_rows(small.rows.iloc[::-1])
    other = extract(turned, chosen, store=tmp_path / "b", jobs=2)
    np.testing.assert_array_equal(other.values[::-1], noisy.values)


def test_the_cache_key(speech: Manifest) -> None:
    """Every setting changes it but the name; 10 is 10.0; versions of training stay what they are.

    Meant to catch: the name in the repr; the version of the denoiser left out.
    """
    base = Condition(kind="reverberation", rt60=1)
    assert base.identity == Condition("name", kind="reverberation", rt60=1.0, drr=0).identity
    others = [
        replace(base, rt60=0.9),
        replace(base, drr=3),
        replace(base, seed=1),
        replace(base, denoise="mmse"),
        replace(base, vad="sohn"),
        EXAMPLES["white"],
        EXAMPLES["pink"],
        Condition(kind="babble", snr=10),
        Condition(kind="babble", snr=10).among(speech),
    ]
    assert len({c.identity for c in [base, *others]}) == 10
    assert others[3].identity.endswith(f"[1, {PREPARATIONS['mmse'].version}]")
    version = Version(2, noise=(5, 20))
    assert version.identity == repr(version)


# --- settings --------------------------------------------------------------------------------


def test_tables_of_a_recipe() -> None:
    """Lists are multiplied out, names made of the settings, clean left out."""
    made = conditions_of(
        [
            {"kind": "white", "snr": [20, 0], "denoise": ["", "mmse"]},
            {"kind": "telephone", "mu_law": [False, True]},
            {"kind": "clipping", "share": 0.05, "vad": "sohn", "name": None},
            {"kind": "clean"},
            {"kind": "babble", "snr": 5, "voices": 4, "seed": 3, "name": "pub"},
        ]
    )
    assert [c.name for c in made] == [
        "white 20 dB",
        "white 20 dB + mmse",
        "white 0 dB",
        "white 0 dB + mmse",
        "telephone",
        "telephone, mu-law",
        "clipping 5 % + vad sohn",
        "pub",
    ]
    assert made[1].record() == {
        "name": "white 20 dB + mmse",
        "kind": "white",
        "snr": 20.0,
        "seed": 0,
        "denoise": "mmse",
        "words": "white noise at 20 dB SNR",
    }
    assert made[-1].record()["words"] == "4 voices of other speakers at 5 dB SNR"


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"kind": "whit"}, UnknownNameError, "did you mean 'white'"),
        ({"kind": "white"}, FeatureError, "snr is missing, expected -40 to 80"),
        ({"kind": "white", "snr": 99}, FeatureError, "snr is 99, expected -40 to 80"),
        ({"kind": "white", "snr": True}, FeatureError, "snr is True"),
        ({"kind": "white", "snr": "10"}, FeatureError, "snr is '10'"),
        ({"kind": "white", "snr": 1, "rt60": 1}, UnknownNameError, "unknown setting of white"),
        ({"kind": "babble", "snr": 1, "voices": 2.5}, FeatureError, "voices is 2.5"),
        ({"kind": "telephone", "mu_law": 1}, FeatureError, "mu_law is 1"),
        ({"kind": "white", "snr": 1, "seed": -1}, FeatureError, "seed is -1"),
        ({"kind": 3}, FeatureError, "kind is 3, expected text"),
        ({"sort": "white"}, UnknownNameError, "unknown word of a condition 'sort'"),
        ({"denoise": "mmsee"}, UnknownNameError, "did you mean 'mmse'"),
        ({"vad": "sone"}, UnknownNameError, "did you mean 'sohn'"),
        ({"kind": "gain", "gain": [3, 3]}, FeatureError, "two conditions are called 'gain 3 dB'"),
        ({"kind": "gain", "gain": 3, "name": "clean"}, FeatureError, "are called 'clean'"),
    ],
)
def test_strange_settings(table: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.replace(".", r"\.")):
        conditions_of([table])


def test_real_speech_in_babble(emodb_root: Path) -> None:
    """Ten clips of EMO-DB: the SNR holds and the features have values."""
    emodb = read_corpus("emodb", emodb_root)
    few = emodb.with_rows(emodb.rows.iloc[::55])
    babble = Condition(kind="babble", snr=0).among(few)
    found = extract(few, replace(feature_set("prosody"), augment=babble))
    assert not found.failures
    assert np.isfinite(found.values).mean() > 0.9
