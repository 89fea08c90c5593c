"""Families of columns, and the parts of a feature set that recipes can name."""

from __future__ import annotations

import numpy as np
import pytest

from serfeat.errors import FeatureError, UnknownNameError
from serfeat.families import FAMILIES, families, family_of
from serfeat.feature_sets import FEATURE_SETS, feature_set, only, whole_of, without
from serfeat.lld import DESCRIPTORS

FAMILY_OF = {d: family for family, members in FAMILIES.items() for d in members}


def test_the_table_names_descriptors_that_exist_each_once() -> None:
    members = [d for each in FAMILIES.values() for d in each]
    assert set(members) <= set(DESCRIPTORS)
    assert len(set(members)) == len(members)


@pytest.mark.parametrize("name", FEATURE_SETS)
@pytest.mark.parametrize("level", ["lld", "functionals"])
def test_every_column_has_one_family(name: str, level: str) -> None:
    """... that of the descriptor it is made of. Mutation caught: `_delta` not taken off."""
    features = FEATURE_SETS[name]
    if features.external:
        pytest.importorskip("opensmile")
    columns = features.columns(level)  # type: ignore[arg-type]
    found = families(columns)
    places = [p for each in found.values() for p in each]
    assert sorted(places) == list(range(len(columns)))
    if features.external:
        assert set(found) <= set(FAMILIES)
        return
    made = {c: d.name for d in features.chosen for c in d.columns}
    for family, where in found.items():
        for p in where:
            stem = next(c for c in sorted(made, key=len)[::-1] if columns[p].startswith(c))
            assert FAMILY_OF.get(made[stem], made[stem]) == family, columns[p]


def test_our_88_and_opensmiles_have_the_same_families() -> None:
    """The same 88 columns under two names: an independent count. Mutation caught: the level of a
    formant among the formants."""
    pytest.importorskip("opensmile")
    sizes = [
        {
            family: len(places)
            for family, places in families(feature_set(name).columns(level)).items()
        }
        for name in ("serfeat88", "egemaps")
        for level in ("functionals",)
    ]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("column", "family"),
    [
        ("f0_hz_delta2__p95", "f0"),
        ("duration_s", "rhythm"),
        ("jitter_local", "perturbation"),
        ("enc_17", "encoder"),
        ("enc3_17__mean", "encoder"),
        ("mine__mean", "mine"),
        ("F0semitoneFrom27.5Hz_sma3nz_amean", "f0"),
        ("pcm_fftMag_mfcc_sma[3]_max", "mfcc"),
        ("audSpec_Rfilt_sma[0]_range", "plp"),
        ("audspec_lengthL1norm_sma_range", "energy"),
    ],
)
def test_families_by_name(column: str, family: str) -> None:
    assert family_of(column) == family


PARTS = {
    "classic-teo": ("f0", "zcr", "energy", "formants", "mfcc", "lpc", "plp", "hnr"),
    "classic:f0+teo": ("f0", "teo"),
    "full:lpc": ("lpc", "lsf"),
    "full-lsf:lpc": ("lpc",),
    "full:rhythm": ("duration", "speech_rate", "loudness_peaks"),
    "serfeat88:mfcc": ("mfcc_20ms",),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_has_the_numbers_of_the_whole(name: str) -> None:
    """Same columns in the same order, same values. Mutations caught: : and - exchanged, `keep` of
    the whole in a part (serfeat88), a word that meant the descriptor and not its family."""
    part, whole = feature_set(name), feature_set(whole_of(name))
    assert part.name == name
    assert sorted(part.descriptors) == sorted(PARTS[name])
    t = np.arange(8000) / 16_000
    noise = np.random.default_rng(0).normal(size=8000)
    x = 0.3 * np.sin(2 * np.pi * 150 * t) + 0.1 * np.sin(2 * np.pi * 450 * t) + 0.01 * noise
    columns = whole.columns("functionals")
    places = [columns.index(c) for c in part.columns("functionals")]
    assert places == sorted(places)
    values, expected = (f.compute(x, "functionals")[0] for f in (part, whole))
    assert np.array_equal(values, expected[places], equal_nan=True)
    assert part.fingerprint("lld") != whole.fingerprint("lld")


def test_every_set_can_be_taken_apart_and_is_the_sum_of_its_parts() -> None:
    for name, features in FEATURE_SETS.items():
        columns = () if features.external else features.columns("functionals")
        found = families(columns)
        if len(found) < 2:
            continue
        for family, places in found.items():
            mine = feature_set(only(name, family)).columns("functionals")
            rest = feature_set(without(name, family)).columns("functionals")
            assert mine == tuple(columns[p] for p in places)
            assert rest == tuple(c for c in columns if c not in mine)


def test_parts_of_lists_and_of_parts() -> None:
    assert without("f0,f0_yin,hnr", "f0") == "hnr"
    assert only("f0,f0_yin,hnr", "f0") == "f0,f0_yin"
    assert without("classic-teo", "f0") == "classic-teo-f0"
    assert only("classic-teo", "f0") == "classic-teo:f0"
    assert whole_of("classic-teo-f0") == "classic"
    assert whole_of("classic-teo,encoder:my-dir") == "classic,encoder:my-dir"
    for name in ("encoder:a-b", "f0,hnr", "classic"):
        assert whole_of(name) == name


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("clasic-teo", UnknownNameError, "did you mean 'classic'"),
        ("classic-too", UnknownNameError, "did you mean 'teo'"),
        ("classic-loudness", UnknownNameError, "of classic 'loudness'"),
        ("egemaps-f0", FeatureError, "computes the set as a whole"),
        ("cepstral-mfcc-lpc-plp", FeatureError, "nothing left without plp"),
    ],
)
def test_a_part_that_cannot_be(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        feature_set(name)


def test_a_family_that_cannot_be_taken_out() -> None:
    with pytest.raises(UnknownNameError, match="family of classic 'teoo'; did you mean 'teo'"):
        without("classic", "teoo")
    with pytest.raises(FeatureError, match="nothing left without mfcc"):
        without("timnet39_emodb", "mfcc")
    assert only("timnet39_emodb", "mfcc") == "timnet39_emodb"
