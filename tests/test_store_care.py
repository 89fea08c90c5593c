"""Verify, compact, merge and compare stores; and the key: every setting is in it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import serfeat.store.care as care_module
import serfeat.store.segment as segment_module
from serfeat.denoise import PREPARATIONS
from serfeat.errors import StoreError
from serfeat.extract import extract
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet
from serfeat.functionals import DEFAULT_FUNCTIONALS
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import Descriptor
from serfeat.store import (
    FailedRow,
    Row,
    Store,
    compact,
    diff,
    merge,
    stores_below,
    verify,
    write_table,
)
from serfeat.table import clip_index

COLUMNS = ("a", "b", "c")
SETTINGS = {"fingerprint": "0123456789abcdef"}


def row(key: str, frames: int = 2) -> Row:
    """The same numbers for a key whoever makes them."""
    rng = np.random.default_rng(list(key.encode()))
    return Row(key, rng.standard_normal((frames, 3)).astype(np.float32), ("odd",), 1.0)


def filled(folder: Path, *batches: str) -> Store:
    store = Store(folder, COLUMNS, SETTINGS)
    for batch in batches:
        store.add([row(key) for key in batch.split()])
    return store


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("seg-*.parquet"))


# --- verify ---------------------------------------------------------------------------------------


def test_a_good_store(tmp_path: Path) -> None:
    store = filled(tmp_path, "k1 k2", "k3", "k1")
    store.add_failures([FailedRow("k9", "read", "too-short", "words", "serfeat")])
    found = verify(tmp_path)
    assert found.ok
    counts = (found.segments, found.rows, found.duplicates, found.failures, found.unchecked)
    assert counts == (3, 3, 1, 1, 0)
    assert found.bytes == sum(s.stat().st_size for s in segments(tmp_path))


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """One bit in every seventh byte, headers and footer included."""
    filled(tmp_path, "k1")
    (segment,) = segments(tmp_path)
    good = segment.read_bytes()
    for i in range(0, len(good), 7):
        raw = bytearray(good)
        raw[i] ^= 1 << (i % 8)
        segment.write_bytes(raw)
        assert segment_module.checked(segment) is False, i
    assert verify(tmp_path).problems == (
        (segment.name, "its bytes are not those that were written (SHA-256)"),
    )


def test_old_segments_are_read_without_a_checksum(tmp_path: Path) -> None:
    """Named after their keys, as serfeat 0.1 did; damage is found by the pages' checksums."""
    store = filled(tmp_path, "k1 k2")
    (segment,) = segments(tmp_path)
    old = segment.rename(tmp_path / "seg-0123456789abcdef.parquet")
    assert store.keys() == {"k1", "k2"}
    found = verify(tmp_path)
    assert (found.ok, found.unchecked) == (True, 1)
    old.write_bytes(old.read_bytes()[:-10])
    (name, words), *rest = verify(tmp_path).problems
    assert (name, rest) == (old.name, [])
    assert words.startswith("cannot be read")
    assert "\n" not in words


def test_two_answers_to_one_key(tmp_path: Path) -> None:
    """Seen to fail without the comparison: the segment that sorts first was believed."""
    store = filled(tmp_path, "k1 k2")
    store.add([Row("k1", row("k1").values + 1)])
    ((_, words),) = verify(tmp_path).problems
    assert words.startswith("has other values of k1 than seg-")
    for ask in (lambda: store.rows(["k1"]), lambda: compact(tmp_path)):
        with pytest.raises(StoreError, match="k1") as caught:
            ask()
        assert caught.value.code == "two-answers"
    assert len(segments(tmp_path)) == 2
    assert set(store.rows(["k2"])) == {"k2"}


def test_wrong_row_counts_and_other_columns(tmp_path: Path) -> None:
    filled(tmp_path / "a", "k1")
    card = json.loads((tmp_path / "a" / "store.json").read_text())
    (tmp_path / "a" / "store.json").write_text(json.dumps({**card, "columns": ["a", "b"]}))
    ((_, words),) = verify(tmp_path / "a").problems
    assert words == "clip k1 has 6 values, expected 2 x 2"
    write_table(pd.DataFrame({"x": [1.0]}, index=clip_index(["f"])), tmp_path / "a/seg-x.parquet")
    assert any("its columns are" in words for _, words in verify(tmp_path / "a").problems)


def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for ask in (verify, compact, stores_below):
        with pytest.raises(StoreError) as caught:
            ask(tmp_path / "x")
        assert caught.value.code == "missing"
    (tmp_path / "x" / "store.json").write_text("{")
    with pytest.raises(StoreError, match="store's card"):
        verify(tmp_path / "x")
    (tmp_path / "x" / "store.json").write_text('{"format": 99, "columns": []}')
    with pytest.raises(StoreError, match="format 99"):
        verify(tmp_path / "x")
    assert stores_below(tmp_path) == [tmp_path / "x"]


# --- compact --------------------------------------------------------------------------------------


def test_many_become_one(tmp_path: Path) -> None:
    keys = [f"k{i}" for i in range(20)]
    store = filled(tmp_path, *keys, "k3 k4")
    before = store.rows(keys)
    done = compact(tmp_path)
    assert (done.segments, done.made, done.rows, done.dropped) == (21, 1, 20, 2)
    assert len(segments(tmp_path)) == 1
    after = store.rows(keys)
    for key in keys:
        assert after[key].values.tobytes() == before[key].values.tobytes()
        assert (after[key].flags, after[key].seconds) == (before[key].flags, before[key].seconds)
    assert verify(tmp_path).ok
    assert compact(tmp_path).made == 0


def test_large_segments_stay(tmp_path: Path) -> None:
    """Seen to fail with the limits exchanged."""
    store = filled(tmp_path, "k1 k2", "k3", "k4")
    large = max(segments(tmp_path), key=lambda s: s.stat().st_size)
    done = compact(tmp_path, small=large.stat().st_size)
    assert (done.segments, done.made) == (2, 1)
    assert large in segments(tmp_path)
    filled(tmp_path, "k5", "k6", "k7", "k8")
    assert compact(tmp_path, large=12).made >= 4  # two rows of 6 values each
    assert store.keys() == {f"k{i}" for i in range(1, 9)}


def test_a_damaged_segment_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path, "k1", "k2", "k3")
    victim = segments(tmp_path)[1]
    victim.write_bytes(victim.read_bytes()[:-20])
    done = compact(tmp_path)
    assert (done.segments, done.damaged) == (2, (victim.name,))
    assert victim.exists()


def test_nothing_goes_before_its_rows_are_elsewhere(tmp_path: Path, monkeypatch) -> None:
    """A new segment that does not read back. Seen to fail without the second look."""
    store = filled(tmp_path, "k1", "k2", "k3")
    whole = care_module.write_segment
    monkeypatch.setattr(
        care_module, "write_segment", lambda f, rows, **k: whole(f, list(rows)[1:], **k)
    )
    with pytest.raises(StoreError, match="do not read back"):
        compact(tmp_path)
    assert store.keys() == {"k1", "k2", "k3"}


def test_others_may_add_read_and_compact_meanwhile(tmp_path: Path) -> None:
    """Seen to fail with readers that take a segment that is gone for a damaged one."""
    store = filled(tmp_path, *[f"k{i}" for i in range(10)])
    wrong: list[str] = []
    stop = threading.Event()

    def guarded(work: Any) -> Any:
        def loop() -> None:
            try:
                while not stop.is_set():
                    work()
            except Exception as error:
                wrong.append(repr(error))

        return threading.Thread(target=loop)

    def read() -> None:
        if len(store.rows([f"k{i}" for i in range(10)])) != 10:
            wrong.append("a committed row was not found")

    threads = [
        guarded(read),
        guarded(lambda: compact(tmp_path)),
        guarded(lambda: compact(tmp_path)),
    ]
    for thread in threads:
        thread.start()
    for i in range(10, 40):
        store.add([row(f"k{i}")])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.keys() == {f"k{i}" for i in range(40)}
    assert not list(tmp_path.glob("*.damaged"))
    assert verify(tmp_path).ok


# --- merge and diff -------------------------------------------------------------------------------


def test_merge(tmp_path: Path) -> None:
    filled(tmp_path / "a", "k1", "k2").add_failures([FailedRow("f", "read", "x", "y", "z")])
    filled(tmp_path / "b", "k2", "k3")
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c") == 4  # k2 is the same file
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c") == 0
    found = verify(tmp_path / "c")
    assert (found.ok, found.rows, found.failures) == (True, 3, 1)
    Store(tmp_path / "d", ("a",), SETTINGS)
    with pytest.raises(StoreError, match=r"differs from .* in columns"):
        merge([tmp_path / "d"], tmp_path / "c")
    victim = segments(tmp_path / "a")[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    shutil.rmtree(tmp_path / "c")
    with pytest.raises(StoreError, match="not those that were written"):
        merge([tmp_path / "a"], tmp_path / "c")


@pytest.mark.parametrize(
    "other", [{"prepare": ("mmse",)}, {"sr": 8000}], ids=["other preparation", "other rate"]
)
def test_stores_of_other_settings_are_not_merged(other: dict[str, Any], tmp_path: Path) -> None:
    """Same name, columns and units. Seen to fail: both were merged and later served as `energy`."""
    t = np.arange(8_000) / 16_000
    for name in "ab":
        (tmp_path / name).mkdir()
        tone = 0.2 * np.sin(2 * np.pi * (200 + ord(name)) * t)
        soundfile.write(tmp_path / name / "x.wav", tone, 16_000)
    plain = feature_set("energy")
    extract(tmp_path / "a", plain, store=tmp_path / "s")
    extract(tmp_path / "b", dataclasses.replace(plain, **other), store=tmp_path / "t")
    (ours,), (theirs,) = stores_below(tmp_path / "s"), stores_below(tmp_path / "t")
    for into in (tmp_path / "all" / ours.name, tmp_path / "s" / ours.name):
        with pytest.raises(StoreError, match="in fingerprint") as caught:
            merge([ours, theirs], into)
        assert caught.value.code == "other-store"
        assert not (tmp_path / "all" / ours.name / "store.json").exists()
    assert len(segments(ours)) == 1
    renamed = theirs.rename(tmp_path / "t" / ours.name)
    with pytest.raises(StoreError, match="of the fingerprint"):
        extract(tmp_path / "b", plain, store=renamed.parent)


def test_merge_of_old_stores(tmp_path: Path) -> None:
    """Their cards have no fingerprint: the name of the folder has it, or nothing is merged."""
    mine, other = "energy-lld-0123456789abcdef", "energy-lld-0123456789abcdee"
    for place in (f"a/{mine}", f"b/{mine}", f"c/{other}", "d/energy"):
        Store(tmp_path / place, COLUMNS).add([row(place[0])])
    assert merge([tmp_path / "a" / mine, tmp_path / "b" / mine], tmp_path / "all") == 2
    assert json.loads((tmp_path / "all/store.json").read_text())["fingerprint"] == mine[-16:]
    with pytest.raises(StoreError, match="in fingerprint"):
        merge([tmp_path / "c" / other], tmp_path / "all")
    with pytest.raises(StoreError, match="in fingerprint"):
        merge([tmp_path / "c" / other], tmp_path / "new" / mine)
    with pytest.raises(StoreError, match="nothing says") as caught:
        merge([tmp_path / "d" / "energy"], tmp_path / "new2")
    assert caught.value.code == "unknown-store"


def test_diff_of_stores(tmp_path: Path) -> None:
    filled(tmp_path / "a", "k1 k2 k3")
    other = filled(tmp_path / "b", "k3", "k4")
    moved = row("k2").values.copy()
    moved[0, 1] += 0.5
    moved[1, 2] = np.nan
    other.add([Row("k2", moved)])
    found = diff(tmp_path / "a", tmp_path / "b")
    assert (found.only_here, found.only_there) == (["k1"], ["k4"])
    assert (found.rows, found.cells, found.bit_equal, found.beyond) == (2, 12, 10, 2)
    assert found.worst["b"] == (pytest.approx(0.5), 1)
    assert found.worst["c"][1] == 1
    assert diff(tmp_path / "a", tmp_path / "b", atol=1.0).beyond == 1  # NaN on one side stays
    assert diff(tmp_path / "a", tmp_path / "a").same
    other.add([row("k1", frames=5)])
    assert diff(tmp_path / "a", tmp_path / "b").lengths == ["k1"]


def test_diff_of_tables(tmp_path: Path) -> None:
    """Rows are matched by the index, not by place."""
    index = clip_index(["a", "b", "c"])
    here = pd.DataFrame(
        {"x": [1.0, 2.0, 3.0], "y": [0.0, np.nan, 1.0], "t": ["u", "v", "w"]}, index
    )
    there = here.copy()
    there["x"] = [1.0 + 1e-9, 2.0, 3.0]
    there["t"] = ["u", "other", "w"]
    there = there.iloc[::-1]
    there = there.rename(columns={"y": "z"})
    write_table(here, tmp_path / "h.parquet")
    write_table(there, tmp_path / "t.parquet")
    found = diff(tmp_path / "h.parquet", tmp_path / "t.parquet", rtol=1e-6)
    assert (found.columns_here, found.columns_there) == (["y"], ["z"])
    assert (found.rows, found.cells, found.bit_equal, found.beyond) == (3, 6, 4, 1)
    assert list(found.worst) == ["t", "x"]
    assert not found.same
    assert diff(tmp_path / "h.parquet", tmp_path / "h.parquet").same


# --- the key --------------------------------------------------------------------------------------

BASE = FeatureSet("base", "", ("f0", "mfcc"), deltas=1, functionals=("mean", "std"))
OWN = sorted(n for n, d in DESCRIPTORS.items() if d.level == "frame" and n not in ("f0", "samples"))
OTHERS = {
    "descriptors": st.lists(st.sampled_from(OWN), min_size=1, max_size=4, unique=True).map(tuple),
    "deltas": st.integers(0, 2),
    "functionals": st.lists(
        st.sampled_from(DEFAULT_FUNCTIONALS), min_size=1, max_size=4, unique=True
    ).map(tuple),
    "delta_functionals": st.lists(
        st.sampled_from(DEFAULT_FUNCTIONALS), min_size=1, max_size=3, unique=True
    ).map(tuple),
    "sr": st.integers(4_000, 48_000),
    "hop": st.floats(0.001, 0.1),
    "prepare": st.lists(st.sampled_from(sorted(PREPARATIONS)), max_size=2, unique=True).map(tuple),
    "smooth": st.sampled_from([1, 3, 5, 7]),
    "fit": st.integers(0, 100_000),
}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_other_setting_is_another_key(data: st.DataObject) -> None:
    """Seen to fail with smooth and fit left out of the fingerprint."""
    name = data.draw(st.sampled_from(sorted(OTHERS)))
    value = data.draw(OTHERS[name])
    other = dataclasses.replace(BASE, **{name: value})
    try:
        same_columns = other.columns("functionals") == BASE.columns("functionals")
    except ValueError:  # two descriptors of one column
        return
    if getattr(BASE, name) == value:
        assert other.fingerprint("functionals") == BASE.fingerprint("functionals")
    else:
        assert other.fingerprint("functionals") != BASE.fingerprint("functionals"), (name, value)
        assert same_columns or name in ("descriptors", "deltas", "functionals", "delta_functionals")


def test_every_setting_is_drawn() -> None:
    """A new field of `FeatureSet` has to be added above, or named here with the reason."""
    elsewhere = {
        *("name", "summary"),  # words about the same numbers
        *("external", "backend", "encoder", "augment", "keep", "sparse"),  # see below and test_*
    }
    assert {f.name for f in dataclasses.fields(FeatureSet)} == elsewhere | set(OTHERS)
    keys = {BASE.fingerprint("functionals")}
    for more in (
        {"keep": BASE.columns("functionals")[:1]},
        {"sparse": True, "functionals": ("mean", "mean_voiced")},
        {"sparse": False, "functionals": ("mean", "mean_voiced")},
        {"external": "eGeMAPSv02"},
        {"external": "GeMAPSv01b"},
    ):
        if "external" in more:
            pytest.importorskip("opensmile")
        keys.add(dataclasses.replace(BASE, **more).fingerprint("functionals"))
    assert len(keys) == 6


@pytest.mark.parametrize("name", sorted(DESCRIPTORS))
def test_every_descriptor_brings_its_params_and_version(name: str, monkeypatch) -> None:
    """Another version, another value of each parameter, and one more parameter."""
    known = DESCRIPTORS[name]
    names = (name,) if known.level == "frame" else ("energy", name)

    def key() -> str:
        return FeatureSet("x", "", names).fingerprint("functionals")

    found = {key()}
    changes: list[Descriptor] = [dataclasses.replace(known, version=known.version + 1)]
    for param, value in known.params.items():
        other = not value if isinstance(value, bool) else _other(value)
        changes.append(dataclasses.replace(known, params={**known.params, param: other}))
    changes.append(dataclasses.replace(known, params={**known.params, "new": 1}))
    for change in changes:
        monkeypatch.setitem(DESCRIPTORS, name, change)
        found.add(key())
    assert len(found) == 1 + len(changes)


def _other(value: Any) -> Any:
    if isinstance(value, int | float):
        return value + 1e-9 if isinstance(value, float) else value + 1
    if isinstance(value, str):
        return value + "x"
    return (value, 1)
