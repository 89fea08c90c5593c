"""The loop over files: nothing is lost, nothing stale; order and workers do not matter."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat import extract as extract_module
from serfeat.audio import load_audio
from serfeat.demo import utterance
from serfeat.errors import FeatureError, UnknownNameError
from serfeat.extract import extract, manifest_of_files
from serfeat.feature_sets import FEATURE_SETS, feature_set
from serfeat.features import FeatureSet
from serfeat.lld import DESCRIPTORS, formants
from serfeat.manifest_csv import read_manifest
from serfeat.sequences import Sequences

OWN = [s for s in FEATURE_SETS.values() if not s.external]


def test_rows_follow_the_manifest(tiny: Path) -> None:
    manifest = read_manifest(tiny)
    result = extract(manifest, "prosody")
    assert result.table.index.equals(manifest.rows.index)
    assert list(result.table.columns) == list(feature_set("prosody").columns("functionals"))
    assert not result.failures
    alone = load_audio(manifest.path(manifest.rows.index[5][0])).x
    row = feature_set("prosody").compute(alone, "functionals").astype(np.float32)[0]
    np.testing.assert_array_equal(result.values[5], row)
    back = manifest.with_rows(manifest.rows.iloc[::-1])
    np.testing.assert_array_equal(extract(back, "prosody").values, result.values[::-1])


def test_workers_do_not_matter(tiny: Path, tmp_path: Path) -> None:
    """The same bytes from one process and from two."""
    one = extract(tiny, "cepstral", jobs=1, store=tmp_path / "one")
    two = extract(tiny, "cepstral", jobs=2, store=tmp_path / "two")
    assert one.computed == two.computed == 24
    np.testing.assert_array_equal(one.values, two.values)


def test_a_second_run_computes_nothing(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    first = extract(tiny, "prosody", store=tmp_path)
    second = extract(tiny, "prosody", store=tmp_path)
    assert (first.computed, second.computed) == (24, 0)
    np.testing.assert_array_equal(first.values, second.values)


def test_a_changed_recording_is_computed_anew(tmp_path: Path) -> None:
    folder = tmp_path / "speech"
    folder.mkdir()
    t = np.arange(8000) / 16_000
    sf.write(folder / "a.wav", 0.5 * np.sin(2 * np.pi * 150 * t), 16_000)
    sf.write(folder / "b.wav", 0.5 * np.sin(2 * np.pi * 250 * t), 16_000)
    column = "f0_hz__mean"
    before = extract(folder, "prosody", store=tmp_path / "s").table[column].tolist()
    assert before == pytest.approx([150, 250], rel=1e-3)
    shutil.copy(folder / "b.wav", folder / "a.wav")  # same name, other content
    after = extract(folder, "prosody", store=tmp_path / "s")
    assert after.table[column].tolist() == pytest.approx([250, 250], rel=1e-3)
    assert after.computed == 0  # that content was known under another name


@pytest.mark.parametrize("sr", [11_025, 16_000, 22_050])
def test_frames_are_dated_by_the_samples_between_them(sr: int, tmp_path: Path) -> None:
    """Seen to fail: 10 ms at 11 025 Hz are 110 samples, and a click at 19 s was dated 19.04 s."""
    x = np.zeros(20 * sr)
    x[19 * sr : 19 * sr + 200] = 0.5 * np.sin(np.arange(200))
    sf.write(tmp_path / "click.wav", x, sr)
    energy = replace(feature_set("energy"), sr=sr)
    found = extract(tmp_path, energy, level="lld", store=tmp_path / "s")
    loudest = found.table["rms_db"].idxmax()[-1]
    assert loudest.total_seconds() == pytest.approx(19, abs=0.025)
    assert found.provenance["hop_s"] == round(0.01 * sr) / sr


def test_every_setting_changes_the_key() -> None:
    base = FeatureSet("x", "", ("f0", "mfcc"), deltas=1)
    others = [
        FeatureSet("x", "", ("f0",), deltas=1),
        FeatureSet("x", "", ("mfcc", "f0"), deltas=1),
        FeatureSet("x", "", ("f0", "mfcc"), deltas=2),
        FeatureSet("x", "", ("f0", "mfcc"), deltas=1, functionals=("mean",)),
        FeatureSet("x", "", ("f0", "mfcc"), deltas=1, delta_functionals=("mean",)),
        FeatureSet("x", "", ("f0", "mfcc"), deltas=1, sr=8000),
        FeatureSet("x", "", ("f0", "mfcc"), deltas=1, hop=0.005),
    ]
    keys = [s.fingerprint("functionals") for s in (base, *others)]
    keys.append(base.fingerprint("lld"))
    assert len(set(keys)) == len(keys)
    renamed = FeatureSet("y", "other words", ("f0", "mfcc"), deltas=1)
    assert renamed.fingerprint("functionals") == keys[0]


def test_a_new_version_of_a_descriptor_changes_the_key(monkeypatch) -> None:
    import dataclasses

    before = feature_set("prosody").fingerprint("lld")
    newer = dataclasses.replace(DESCRIPTORS["zcr"], version=DESCRIPTORS["zcr"].version + 1)
    monkeypatch.setitem(DESCRIPTORS, "zcr", newer)
    fresh = dataclasses.replace(feature_set("prosody"))  # a set looks its descriptors up once
    assert fresh.fingerprint("lld") != before


def test_failures_are_rows(tmp_path: Path) -> None:
    """Rows + failures = files; a bad file costs itself only."""
    t = np.arange(16_000) / 16_000
    sf.write(tmp_path / "good.wav", 0.5 * np.sin(2 * np.pi * 200 * t), 16_000)
    good = (tmp_path / "good.wav").read_bytes()
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "half.wav").write_bytes(good[: len(good) // 2])
    sf.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    bad = np.zeros(16_000)
    bad[5] = np.nan
    sf.write(tmp_path / "nan.wav", bad, 16_000, subtype="FLOAT")
    sf.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    result = extract(tmp_path, "classic", store=tmp_path / "store")
    reasons = {f.file: (f.stage, f.reason) for f in result.failures}
    assert reasons == {
        "empty.wav": ("read", "empty-file"),
        "half.wav": ("read", "truncated"),
        "short.wav": ("read", "too-short"),
        "nan.wav": ("read", "non-finite"),
    }
    assert list(result.index.get_level_values("file")) == ["good.wav", "silent.wav"]
    assert result.flags[1] == "digital silence"
    assert not np.isinf(result.values).any()
    assert all("\n" not in f.message for f in result.failures)


def test_a_crashing_worker_is_a_failure(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    def crash(task: object) -> None:
        raise MemoryError("boom")

    monkeypatch.setattr(
        extract_module, "run", lambda function, tasks, **_: [MemoryError("x") for _ in tasks]
    )
    result = extract(tiny, "prosody", store=tmp_path)
    assert len(result.failures) == 24
    assert {(f.stage, f.reason) for f in result.failures} == {("worker", "memory")}


def test_segments_are_slices(tmp_path: Path) -> None:
    t = np.arange(32_000) / 16_000
    x = np.where(t < 1, np.sin(2 * np.pi * 150 * t), np.sin(2 * np.pi * 300 * t)) * 0.4
    sf.write(tmp_path / "a.wav", x, 16_000)
    (tmp_path / "m.csv").write_text("file,start,end\na.wav,0,1\na.wav,1,2\n")
    table = extract(tmp_path / "m.csv", "prosody", store=tmp_path / "s").table
    assert table["f0_hz__p50"].tolist() == pytest.approx([150, 300], rel=1e-3)


def test_the_sex_of_the_manifest_decides(tmp_path: Path) -> None:
    """One recording said to be of three people: seen to fail with one key for all of them."""
    for name in "abc":
        sf.write(tmp_path / f"{name}.wav", utterance("s1", "neutral", "t1").x, 16_000)
    rows = "file,speaker,sex\na.wav,1,m\nb.wav,2,female\nc.wav,3,\n"
    (tmp_path / "m.csv").write_text(rows)
    store = tmp_path / "s"
    found = extract(tmp_path / "m.csv", "formants_by_sex,energy", store=store)
    x = load_audio(tmp_path / "a.wav").x
    for row, ceiling in enumerate((5000.0, 5500.0, 5500.0)):
        f2 = formants(x, 16_000, ceiling=ceiling, frames="voiced")[:, 1]
        assert found.table["f2_hz__mean"].iloc[row] == pytest.approx(np.nanmean(f2), rel=1e-6)
    assert found.flags == ("", "", "sex unknown")
    # What was known of a man is not known of a woman: the manifest was wrong.
    (tmp_path / "m.csv").write_text(rows.replace(",m", ",f"))
    again = extract(tmp_path / "m.csv", "formants_by_sex,energy", store=store)
    assert again.computed == 0
    np.testing.assert_array_equal(again.values[0], found.values[1])
    # A set that does not ask for it is computed once.
    assert extract(tmp_path / "m.csv", "formants,energy", store=store).computed == 1


@pytest.mark.parametrize("chosen", OWN, ids=lambda s: s.name)
def test_every_set_on_every_signal(chosen: FeatureSet) -> None:
    """Columns, units and values agree at both levels, on speech-like and on degenerate signals."""
    rng = np.random.default_rng(0)
    n = chosen.sr // 2
    t = np.arange(n) / chosen.sr
    signals = {
        "noise": 0.1 * rng.standard_normal(n),
        "silence": np.zeros(n),
        "constant": np.full(n, 0.3),
        "impulse": np.eye(1, n, n // 2)[0],
        "clipped": np.clip(3 * np.sin(2 * np.pi * 180 * t), -1, 1),
        "one frame": 0.1 * rng.standard_normal(chosen.sr // 40),
    }
    for name, x in signals.items():
        frames = chosen.compute(x, "lld")
        assert frames.shape == (1 + len(x) // round(chosen.hop * chosen.sr),
                                len(chosen.columns("lld"))), name  # fmt: skip
        row = chosen.compute(x, "functionals")
        assert row.shape == (1, len(chosen.columns("functionals"))), name
        assert not np.isinf(frames).any(), name
        assert not np.isinf(row).any(), name
    for level in ("lld", "functionals"):
        columns = chosen.columns(level)
        assert len(set(columns)) == len(columns) == len(chosen.units(level))


def test_lld_table_has_times(tiny: Path) -> None:
    result = extract(tiny, "timnet39", level="lld")
    assert isinstance(result.values, Sequences)
    table = result.table
    assert table.index.names == ["file", "start", "end", "time"]
    step = table.index[1][3] - table.index[0][3]
    assert step.total_seconds() == pytest.approx(512 / 22_050, abs=1e-8)


def test_files_and_folders_by_hand(tiny: Path, tmp_path: Path) -> None:
    folder = tiny.parent
    files = sorted(folder.rglob("*.wav"))
    manifest = manifest_of_files([files[0], tmp_path / "absent.wav"])
    result = extract(manifest, "prosody")
    assert len(result.index) == 1
    assert [f.reason for f in result.failures] == ["missing"]
    assert len(manifest_of_files([folder]).rows) == 24


def test_opensmile_asks_for_its_licence_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opensmile")
    monkeypatch.delenv("SERFEAT_ACCEPT_OPENSMILE_LICENCE", raising=False)
    with pytest.raises(FeatureError, match="--accept-opensmile-licence"):
        extract(tiny, "egemaps", store=tmp_path)
    monkeypatch.setenv("SERFEAT_ACCEPT_OPENSMILE_LICENCE", "1")
    manifest = read_manifest(tiny)
    result = extract(manifest.with_rows(manifest.rows.iloc[:3]), "egemaps", store=tmp_path)
    assert result.table.shape == (3, 88)
    assert result.provenance["licence"] == "openSMILE-research"


def test_unknown_set(tiny: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'classic'"):
        extract(tiny, "clasic")
