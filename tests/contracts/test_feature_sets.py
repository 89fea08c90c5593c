"""What every feature set promises, held against every entry of `serfeat.feature_sets.FEATURE_SETS`.

A new set is tested here without a line being written. Sets that openSMILE computes are left out:
they are its promises, and need its licence. Beside each check stands something that breaks it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import serfeat.extract as extract_module
import serfeat.features as features_module
from serfeat import shorttime
from serfeat.demo import utterance
from serfeat.denoise import PREPARATIONS
from serfeat.errors import UnknownNameError
from serfeat.extract import Extraction, extract
from serfeat.feature_sets import FEATURE_SETS, feature_set
from serfeat.features import FeatureSet, Level
from serfeat.functionals import FUNCTIONALS
from serfeat.lld import DESCRIPTORS
from serfeat.lld.backends import BACKENDS
from serfeat.manifest import Manifest
from serfeat.manifest_csv import read_manifest
from serfeat.sequences import Sequences
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats

OWN = {s.name: s for s in FEATURE_SETS.values() if not s.external}
LEVELS: tuple[Level, ...] = ("lld", "functionals")
EVERY = pytest.mark.parametrize("features", OWN.values(), ids=OWN)

# What a setting may be; a field of `FeatureSet` without a line here fails a test.
CHEAP = ("zcr", "energy", "loudness", "lpc", "plp", "duration", "teo")
NAMES = [*FUNCTIONALS, "mean_voiced", "std_unvoiced"]
SETTINGS: dict[str, some.SearchStrategy[Any]] = {
    "descriptors": some.lists(some.sampled_from(CHEAP), min_size=1, max_size=3, unique=True).filter(
        lambda names: names != ["duration"]  # see test_clip_values_only
    ),
    "deltas": some.integers(0, 2),
    "functionals": some.lists(some.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    "delta_functionals": some.lists(some.sampled_from(NAMES), min_size=1, max_size=2, unique=True),
    "sr": some.sampled_from([8000, 16_000, 22_050]),
    "hop": some.sampled_from([0.005, 0.010, 0.016]),
    "prepare": some.lists(some.sampled_from(sorted(PREPARATIONS)), max_size=2, unique=True),
    "backend": some.sampled_from(["", *sorted(BACKENDS)]),
    "keep": some.lists(some.integers(0, 8), max_size=2, unique=True),  # places, named below
    "smooth": some.sampled_from([1, 3, 5]),
}
NO_SETTING = {"sparse", "name", "summary", "external"} | {"encoder", "augment", "fit"}  # own tests


def made(chosen: dict[str, Any]) -> FeatureSet:
    """A feature set of these settings."""
    plain: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items() if k != "keep"
    }
    features = FeatureSet("drawn", "", **plain)
    names = features.columns("functionals")
    keep = dict.fromkeys(names[i % len(names)] for i in chosen.get("keep", ()))
    return replace(features, keep=tuple(keep))


SETS = some.fixed_dictionaries(SETTINGS).map(made)


# ------------------------------------------------------------------------------------ the promises
def check_columns(features: FeatureSet, x: Floats) -> None:
    """As many columns, units and values at both levels, under names of their own."""
    for level in LEVELS:
        columns, computed = features.columns(level), features.compute(x, level)
        assert computed.shape[1:] == (len(columns),)
        assert len(set(columns)) == len(columns) == len(features.units(level))
        assert features.width(level) == len(columns)
        assert all(u.strip() for u in features.units(level))
        assert not np.isinf(computed).any()
    frames = 1 + len(x) // round(features.hop * features.sr)
    assert features.compute(x, "lld").shape[0] == frames
    assert features.compute(x, "functionals").shape[0] == 1


Key = Callable[[FeatureSet, Level], str]


def check_key(one: FeatureSet, other: FeatureSet, key: Key = FeatureSet.fingerprint) -> None:
    """Other settings, another key; the same settings, the same."""
    again = replace(one, name="another name", summary="other words")
    assert key(one, "functionals") == key(again, "functionals")
    assert key(one, "lld") != key(one, "functionals")
    assert (key(one, "functionals") == key(other, "functionals")) == (one == other)
    if one.columns("lld") != other.columns("lld"):
        assert key(one, "lld") != key(other, "lld")


def bits(found: Extraction) -> np.ndarray:
    assert not found.failures
    values = found.values
    return values.values if isinstance(values, Sequences) else values


def check_same_bits(one: Extraction, other: Extraction) -> None:
    assert one.computed == other.computed > 0, "a store answered"
    assert one.index.equals(other.index)
    np.testing.assert_array_equal(bits(one), bits(other))


# ------------------------------------------------------------------------------------ they are kept
@pytest.fixture(scope="module", autouse=True)
def versions() -> Iterator[None]:
    """Look the libraries' versions up once: that takes longer than all the rest of a key."""
    with pytest.MonkeyPatch.context() as m:
        m.setattr(features_module, "_libraries", cache(features_module._libraries))
        yield


@pytest.fixture(scope="module")
def speech() -> Floats:
    return utterance("s1", "sadness", "t2").x[:16_000]


@EVERY
def test_columns(features: FeatureSet, speech: Floats) -> None:
    check_columns(features, speech)
    check_columns(features, speech[:400])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(SETS)
def test_columns_of_any_set(features: FeatureSet) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2000)
    check_columns(replace(features, backend="", prepare=()), noise)


def test_clip_values_only(speech: Floats) -> None:
    check_columns(FeatureSet("clip", "", ("duration", "jitter")), speech)


@EVERY
def test_columns_can_fail(
    features: FeatureSet, speech: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = FeatureSet.columns
    for level in LEVELS:

        def short(self: FeatureSet, asked: Level, level: Level = level) -> tuple[str, ...]:
            return right(self, asked)[asked == level :]

        with monkeypatch.context() as m:
            m.setattr(FeatureSet, "columns", short)
            with pytest.raises(AssertionError):
                check_columns(features, speech[:400])


def test_timnets_fitted_clips(speech: Floats) -> None:
    """One length whatever the clip's. Caught: fitted at the file's rate, cached under one key."""
    fitted, plain = feature_set("timnet39_emodb"), feature_set("timnet39")
    clip = np.tile(speech, 3)
    for x in (clip[:5000], clip[: 22_050 * 2]):
        frames = fitted.compute(x, "lld")
        assert frames.shape == (188, 39)  # specs: EMO-DB
        assert frames[0, 0] == frames[:, 0].min()  # silence before the clip
        assert plain.compute(x, "lld").shape[0] == 1 + len(x) // 512
    assert feature_set("timnet39_ravdess").compute(clip[:5000], "lld").shape == (215, 39)
    keys = {s.fingerprint("lld") for s in (fitted, plain, feature_set("timnet39_ravdess"))}
    assert len(keys) == 3


def test_every_field_is_a_setting() -> None:
    assert {f.name for f in fields(FeatureSet)} == set(SETTINGS) | NO_SETTING


@pytest.mark.parametrize("setting", SETTINGS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(drawn=some.fixed_dictionaries(SETTINGS), data=some.data())
def test_every_setting_changes_the_key(
    setting: str, drawn: dict[str, Any], data: some.DataObject
) -> None:
    """Two sets that differ in one field, or in none."""
    other = drawn | {setting: data.draw(SETTINGS[setting])}
    check_key(made(drawn), made(other))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_forgotten_setting_is_seen(setting: str) -> None:
    """A key that does not know the setting, as if its line were missing from `fingerprint`."""
    base: dict[str, Any] = {"descriptors": ["zcr", "energy"], "functionals": ["mean", "std"]}
    values: dict[str, Any] = {
        "descriptors": ["zcr", "lpc"], "deltas": 1, "functionals": ["mean", "max"],
        "delta_functionals": ["p05"], "sr": 8000, "hop": 0.005, "prepare": ["mmse"],
        "backend": "librosa", "keep": [1], "smooth": 3,
    }  # fmt: skip
    one, other = made(base), made(base | {setting: values[setting]})

    def forgetful(features: FeatureSet, level: Level) -> str:
        return replace(features, **{setting: getattr(one, setting)}).fingerprint(level)

    check_key(one, other)
    with pytest.raises(AssertionError):
        check_key(one, other, forgetful)


def test_keys_of_the_sets_differ() -> None:
    keys = [s.fingerprint(level) for s in OWN.values() for level in LEVELS]
    assert len(set(keys)) == len(keys)


@EVERY
def test_pickles(features: FeatureSet) -> None:
    """Workers get the set itself; also after it was used."""
    features.columns("functionals")
    features.fingerprint("lld")
    back = pickle.loads(pickle.dumps(features))
    assert back == features
    for level in LEVELS:
        assert back.fingerprint(level) == features.fingerprint(level)
        assert back.columns(level) == features.columns(level)


# --------------------------------------------------------------------------------- same bits anyhow
@pytest.fixture(scope="module")
def few(tiny: Path) -> Manifest:
    """Five clips: tasks of 1, of 3 and 2, of all."""
    manifest = read_manifest(tiny)
    return manifest.with_rows(manifest.rows.iloc[::5])


Extract = Callable[..., Extraction]


@pytest.fixture
def fresh(few: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Extract:
    """Extract with an empty store: ``fresh(features, batch=3, jobs=2)``."""
    stores = iter(range(99))

    def run(features: FeatureSet, *, batch: int, jobs: int = 1, level: Level) -> Extraction:
        monkeypatch.setattr(extract_module, "BATCH", batch)
        folder = tmp_path / str(next(stores))
        return extract(few, features, level=level, jobs=jobs, store=folder)

    return run


@EVERY
def test_batches_do_not_matter(features: FeatureSet, fresh: Extract) -> None:
    one, three, all_ = (fresh(features, batch=n, level="functionals") for n in (1, 3, 32))
    check_same_bits(one, three)
    check_same_bits(one, all_)


@EVERY
def test_workers_do_not_matter(features: FeatureSet, fresh: Extract) -> None:
    """Frames: the functionals are computed from them, clip by clip."""
    one = fresh(features, batch=3, level="lld")
    check_same_bits(one, fresh(features, batch=3, jobs=2, level="lld"))


def test_same_bits_can_fail(fresh: Extract, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that remembers how many clips of its batch came before."""
    seen: list[int] = []

    def restless(st: ShortTime) -> Floats:
        seen.append(extract_module.BATCH)
        return np.full(st.n_frames, len(seen) % seen[-1])

    fake = Descriptor("restless", ("restless",), "1", "a fake", "nobody", restless)
    monkeypatch.setitem(DESCRIPTORS, "restless", fake)
    chosen = FeatureSet("restless", "", ("restless",), functionals=("mean",))
    one = fresh(chosen, batch=1, level="functionals")
    with pytest.raises(AssertionError, match="not equal"):
        check_same_bits(one, fresh(chosen, batch=3, level="functionals"))


# -------------------------------------------------------------------------------- long recordings
def stretches(features: FeatureSet, x: Floats, monkeypatch: pytest.MonkeyPatch) -> list[Floats]:
    """The frames and functionals of a clip that counts as long: stretches of 1.5 s."""
    with monkeypatch.context() as m:
        m.setattr(shorttime, "LONG", 6.0)
        m.setattr(shorttime, "STRETCH", 1.5)
        return [np.asarray(features.compute(x, level), dtype=np.float64) for level in LEVELS]


def check_long(features: FeatureSet, found: list[Floats], x: Floats, bound: float) -> None:
    """The numbers of the ordinary path, relative to the size of each column."""
    for level, ours in zip(LEVELS, found, strict=True):
        whole = features.compute(x, level)
        size = np.sqrt(np.nanmean(whole**2, axis=0))
        away = np.abs(ours - whole) / np.where(size > 0, size, 1.0)
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(whole))
        wrong = dict(zip(features.columns(level), np.nanmax(away, axis=0), strict=True))
        worst = {c: float(v) for c, v in wrong.items() if v > bound}
        assert not worst, f"{features.name}, {level}: {worst}"


@pytest.fixture(scope="module")
def monologue() -> Floats:
    """8 s of one voice, sentence after sentence."""
    said = [utterance("s1", "neutral", f"t{i}").x for i in (1, 2, 4, 5, 6)]
    return np.concatenate(said)[: 8 * 16_000]


def test_long_clips(monologue: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = OWN["classic"]
    check_long(chosen, stretches(chosen, monologue, monkeypatch), monologue, 1e-4)


def test_long_clips_can_fail(monologue: Floats, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches without a margin: the windows at their ends see silence."""
    monkeypatch.setattr(shorttime, "MARGIN", 0.0)
    chosen = FeatureSet("small", "", ("energy", "mfcc"), functionals=("mean",))
    with pytest.raises(AssertionError, match="mfcc"):
        check_long(chosen, stretches(chosen, monologue, monkeypatch), monologue, 1e-4)


# ----------------------------------------------------------------------------------- unknown names
@pytest.mark.parametrize(
    ("changes", "nearest"),
    [
        ({"descriptors": ("zcr", "formant")}, "formants"),
        ({"functionals": ("mean", "skewnes")}, "skewness"),
        ({"functionals": ("kurtosys_voiced",)}, "kurtosis_voiced"),
        ({"deltas": 1, "delta_functionals": ("sdt",)}, "std"),
        ({"prepare": ("logmmse",)}, "log_mmse"),
        ({"backend": "prat"}, "praat"),
        ({"keep": ("zcr_per_s__men",)}, "zcr_per_s__mean"),
    ],
    ids=str,
)
def test_an_unknown_name_suggests_the_nearest(
    changes: dict[str, Any], nearest: str, few: Manifest, tmp_path: Path
) -> None:
    """Before any clip is read."""
    chosen = replace(FeatureSet("drawn", "", ("zcr",)), **changes)
    with pytest.raises(UnknownNameError, match=f"did you mean '{nearest}'"):
        extract(few, chosen, store=tmp_path / "store")
    assert not os.path.exists(tmp_path / "store")


def test_sparse_leaves_out_what_says_nothing() -> None:
    """Its effect on the key is that of the columns. Catches F0 over unvoiced frames, all NaN."""
    names = ("mean", "mean_voiced", "mean_unvoiced")
    dense = FeatureSet("x", "", ("f0", "energy"), functionals=names, deltas=1)
    sparse = replace(dense, sparse=True)
    left_out = set(dense.columns("functionals")) - set(sparse.columns("functionals"))
    assert left_out == {
        f"{c}__{f}"
        for c in ("f0_hz", "f0_semitones", "voicing_strength")
        for f in ("mean_voiced", "mean_unvoiced")
    }
    assert sparse.fingerprint("functionals") != dense.fingerprint("functionals")
