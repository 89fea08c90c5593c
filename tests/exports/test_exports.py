"""What holds for every format: whole or not at all, the same bytes twice, a side-car, speech."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat import files
from serfeat.errors import SerfeatError, StoreError, UnknownNameError
from serfeat.exports import FORMATS, export_file, export_table, format_of
from serfeat.exports.content import labels_of, seconds_text
from serfeat.files import sha256
from serfeat.manifest_csv import read_manifest
from serfeat.store import read_metadata, read_table, write_table
from serfeat.table import clip_index, frame_index

EACH = pytest.mark.parametrize("name", FORMATS)


def place(folder: Path, name: str, stem: str = "t") -> Path:
    return folder / (stem + (FORMATS[name].suffixes[0] if not FORMATS[name].folder else ""))


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def one(plain, name: str):
    """A table that format `name` can hold: clips if it can, else frames."""
    if "functionals" in FORMATS[name].levels:
        return plain
    clips = clip_index(["a.wav", "b.wav"])
    rows = frame_index(clips, [2, 3], 0.01)
    labels = pd.DataFrame({"emotion": ["anger", "fear"]}, index=clips)
    return plain._replace(table=plain.table.set_axis(rows), labels=labels)


def write(given, path: Path, name: str) -> None:
    table, units, provenance, labels = given
    export_table(table, path, format=name, units=units, provenance=provenance, labels=labels)


@EACH
def test_the_same_bytes_twice(plain, tmp_path: Path, monkeypatch, name: str) -> None:
    """Catches a file that holds the time of its making (MATLAB's header, a zip's entries)."""
    given = one(plain, name)
    write(given, place(tmp_path / "x", name), name)
    monkeypatch.setattr("time.time", lambda: 1.0e9)
    monkeypatch.setattr("time.asctime", lambda *_: "another day")
    write(given, place(tmp_path / "y", name), name)
    assert tree(tmp_path / "x") == tree(tmp_path / "y")
    assert not list(tmp_path.rglob(".serfeat-*"))


@EACH
def test_the_side_car_says_what_it_is(plain, tmp_path: Path, name: str) -> None:
    given = one(plain, name)
    path = place(tmp_path, name)
    write(given, path, name)
    if name == "parquet":
        about = read_metadata(path)
        assert about["units"]["c0"] == "Hz"
        assert about["provenance"] == given.provenance
        return
    beside = path / "serfeat.json" if FORMATS[name].folder else Path(f"{path}.json")
    about = json.loads(beside.read_text())
    assert about["format"] == name
    assert about["rows"] == 5
    assert about["units"]["c0"] == "Hz"
    assert about["provenance"] == given.provenance
    assert about["labels"]["emotion"]["classes"]["anger"] == 0
    if not FORMATS[name].folder:
        assert about["sha256"] == sha256(path)


@EACH
def test_the_nth_call_to_the_disk_fails(plain, tmp_path: Path, monkeypatch, name: str) -> None:
    """For n = 1, 2, ... until it works: every file is the old one or the new one, whole.

    Seen to fail with a folder that is filled in its place, and without the old one put back.
    """
    given = one(plain, name)
    changed = given._replace(table=given.table + 1)
    write(changed, place(tmp_path / "new", name), name)
    after = tree(tmp_path / "new")
    path = place(tmp_path / "old", name)
    write(given, path, name)
    before = tree(tmp_path / "old")
    for n in range(1, 60):
        left = [n]

        def failing(call, left=left):
            def act(*given):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(28, "No space left on device")
                return call(*given)

            return act

        real = files.Disk(**{k: getattr(files.DISK, k) for k in files.Disk.__dataclass_fields__})
        broken = {k: failing(getattr(real, k)) for k in files.Disk.__dataclass_fields__}
        monkeypatch.setattr(files, "DISK", files.Disk(**broken))
        try:
            write(changed, path, name)
            works = True
        except StoreError as error:
            works, code = False, error.code
        monkeypatch.setattr(files, "DISK", real)
        now = tree(tmp_path / "old")
        if works:
            break
        assert code in ("disk-full", "cannot-create")
        assert set(now) == set(before)
        assert all(raw in (before[k], after[k]) for k, raw in now.items())
        assert not list((tmp_path / "old").glob(".serfeat-*")), n
    assert now == after
    assert n > 3


@EACH
def test_a_second_export_replaces_the_first(plain, tmp_path: Path, name: str) -> None:
    given = one(plain, name)
    path = place(tmp_path, name)
    write(given, path, name)
    first = tree(tmp_path)
    changed = given._replace(table=given.table.iloc[:3] + 1)
    write(changed, path, name)
    again = place(tmp_path / "new", name)
    write(changed, again, name)
    assert tree(tmp_path / "new") != first
    if FORMATS[name].folder:
        assert tree(path) == tree(again)
    else:
        assert path.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.folder])
def test_another_folder_is_left_alone(plain, tmp_path: Path, name: str) -> None:
    """Catches `-o ~` emptying a home."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(StoreError, match="something else is in this place") as caught:
        write(one(plain, name), tmp_path / "mine", name)
    assert caught.value.code == "in-the-way"
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


@EACH
def test_no_rows_no_place_wrong_table(plain, tmp_path: Path, name: str) -> None:
    given = one(plain, name)
    table = given.table
    path = place(tmp_path, name)
    wrong = {
        "no-rows": table.iloc[:0],
        "wrong-index": table.reset_index(drop=True),
        "not-numeric": table.assign(word="x"),
        "columns": table.rename(columns={"c1": "c0"}),
        "duplicate-row": pd.concat([table, table.iloc[:1]]),
    }
    for code, bad in wrong.items():
        with pytest.raises(StoreError) as caught:
            write(given._replace(table=bad), path, name)
        assert caught.value.code == code
    for taken in ("file", "start", "time", "emotion"):
        with pytest.raises(StoreError, match=f"two columns would be called '{taken}'"):
            write(given._replace(table=table.rename(columns={"c1": taken})), path, name)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write here"):
        write(given, place(tmp_path / "file", name), name)


@EACH
def test_names_that_are_not_unicode(plain, tmp_path: Path, name: str) -> None:
    files = ["bad\udcff.wav", "b.wav"]
    clips = clip_index(files)
    rows = frame_index(clips, [1, 1], 0.01) if name == "htk" else clips
    odd = pd.DataFrame({"x": [1.0, 2.0]}, index=rows)
    given = plain._replace(table=odd, labels=pd.DataFrame({"emotion": ["fear"] * 2}, index=clips))
    with pytest.raises(StoreError, match=r"not Unicode") as caught:
        write(given, place(tmp_path, name), name)
    assert caught.value.code == "name-not-unicode"


def test_labels_join_by_clip(clips, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"1 of 5 clips have no labels, the first is 'b/1.wav'"):
        write(clips._replace(labels=clips.labels.iloc[:-1]), tmp_path / "t.csv", "csv")


def test_frames_must_stand_together_in_order(frames, tmp_path: Path) -> None:
    mixed = frames.table.iloc[[0, 4, 1, 5]]
    with pytest.raises(StoreError, match="do not stand together"):
        write(frames._replace(table=mixed), tmp_path / "t.csv", "csv")
    back = frames.table.iloc[[0, 2, 1, 4]]
    with pytest.raises(StoreError, match="not in the order of their time"):
        write(frames._replace(table=back), tmp_path / "t.csv", "csv")


def test_formats_by_suffix_and_name(tmp_path: Path) -> None:
    assert format_of("auto", Path("a.CSV")) == "csv"
    assert format_of("", Path("a.arff")) == "arff"
    assert format_of("auto", Path("a.nc")) == "netcdf"
    assert format_of("libsvm", Path("a.svmlight")) == "libsvm"
    with pytest.raises(UnknownNameError, match="did you mean 'parquet'"):
        format_of("parket", Path("a"))
    with pytest.raises(StoreError, match=r"'.txt' does not say which format"):
        format_of("auto", Path("a.txt"))
    with pytest.raises(StoreError, match=r"'.txt' is not the suffix of arff; name it \*.arff"):
        format_of("arff", Path("a.txt"))


def test_times_are_exact() -> None:
    """To the nanosecond; catches seconds that went through a float of 32 bits."""
    times = pd.TimedeltaIndex([0, 1, 1_500_000_000, 86_400 * 10**9 + 123_456_789, None])
    assert seconds_text(times) == ["0", "0.000000001", "1.5", "86400.123456789", ""]


def test_every_format_says_what_it_is() -> None:
    for name, entry in FORMATS.items():
        assert entry.words, name
        assert entry.source, name
        assert set(entry.levels) <= {"functionals", "lld"}, name


# --- real speech --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoken(emodb_root: Path, tmp_path_factory: pytest.TempPathFactory):
    """Six recordings of EMO-DB, as clips and as frames, as `serfeat extract` writes them."""
    from serfeat.extract import extract

    manifest = read_manifest(emodb_root / "metadata.csv")
    few = manifest.with_rows(manifest.rows.iloc[:300:50])
    folder = tmp_path_factory.mktemp("spoken")
    for level in ("functionals", "lld"):
        found = extract(few, "f0,energy,zcr", level=level)
        write_table(
            found.table, folder / f"{level}.parquet", units=found.units, provenance=found.provenance
        )
    return folder, few


@EACH
@pytest.mark.parametrize("level", ["functionals", "lld"])
def test_real_speech(spoken, tmp_path: Path, level: str, name: str) -> None:
    """Every format takes it, or says in one line why not (undefined values in LIBSVM)."""
    folder, manifest = spoken
    if level not in FORMATS[name].levels:
        pytest.skip(f"{name} holds no {level}")
    source, path = folder / f"{level}.parquet", place(tmp_path, name)
    table = read_table(source)
    keywords = {"manifest": manifest, "labels": ("emotion", "speaker", "sex")}
    if name == "libsvm" and table.isna().to_numpy().any():
        with pytest.raises(SerfeatError, match="LIBSVM would read them as 0"):
            export_file(source, path, format=name, **keywords)
        return
    done = export_file(source, path, format=name, **keywords)
    assert done == name
    if name in ("csv", "parquet"):
        again = read_table(path)
        assert list(again.columns[:3]) == ["emotion", "speaker", "sex"]
        pd.testing.assert_frame_equal(again.iloc[:, 3:].astype(np.float32), table)
        by_file = dict(
            zip(manifest.rows.index.get_level_values(0), manifest.rows["emotion"], strict=True)
        )
        files = again.index.get_level_values("file")
        assert list(again["emotion"]) == [by_file[f] for f in files]


def test_labels_of_names_the_unknown_column(spoken) -> None:
    folder, manifest = spoken
    table = read_table(folder / "functionals.parquet")
    with pytest.raises(UnknownNameError, match="did you mean 'emotion'"):
        labels_of(table, manifest, ("emotoin",))


@pytest.mark.parametrize("raw", [b"", b"PAR1 no", b"file,start\n", b"x\n1\n", b"\xff\xfe\0"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_what_is_no_table(tmp_path: Path, raw: bytes, suffix: str) -> None:
    source = tmp_path / f"t{suffix}"
    source.write_bytes(raw)
    with pytest.raises(StoreError):
        export_file(source, tmp_path / "t.npz")
    with pytest.raises(StoreError, match="no such table"):
        export_file(tmp_path / "none.csv", tmp_path / "t.npz")
