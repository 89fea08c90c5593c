"""Parts of a manifest, and the same table whoever computed it, where and in which order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serfeat.errors import ManifestError
from serfeat.extract import extract
from serfeat.manifest_csv import read_manifest
from serfeat.sequences import Sequences
from serfeat.shards import read_shard, shard
from serfeat.store import merge, stores_below, write_table


def test_every_row_is_in_one_part(tiny: Path) -> None:
    whole = read_manifest(tiny)
    parts = [shard(whole, i, 3) for i in (1, 2, 3)]
    rows = [clip for part in parts for clip in part.rows.index]
    assert sorted(map(str, rows)) == sorted(map(str, whole.rows.index))
    assert all(3 <= len(part) <= 14 for part in parts)
    assert shard(whole, 1, 1).rows.equals(whole.rows)


def test_a_part_follows_from_the_row(tiny: Path) -> None:
    """Whatever else the manifest holds, in whatever order. Seen to fail with a row's place."""
    whole = read_manifest(tiny)
    part = set(shard(whole, 2, 3).rows.index)
    back = whole.with_rows(whole.rows.iloc[::-1].iloc[:15])
    assert set(shard(back, 2, 3).rows.index) == part & set(back.rows.index)


def test_the_parts_stay_for_ever(tiny: Path) -> None:
    """By hand: SHA-256 of "a.wav", tab, "0", tab, first 8 bytes, modulo 7."""
    import hashlib

    from serfeat.manifest import Manifest, rows_from_records

    rows = rows_from_records([{"file": "a.wav", "corpus": "", "speaker": "", "emotion": ""}])
    number = int(hashlib.sha256(b"a.wav\t0\t").hexdigest()[:16], 16) % 7
    found = [len(shard(Manifest(rows, Path(), "x"), i, 7)) for i in range(1, 8)]
    assert found == [int(i == number) for i in range(7)]


def test_parts_by_hand() -> None:
    assert read_shard("3/8") == (3, 8)
    assert read_shard(" 1/1 ") == (1, 1)
    for wrong in ("0/8", "9/8", "3", "3/", "-1/2", "a/b", "1/0"):
        with pytest.raises(ManifestError) as caught:
            read_shard(wrong)
        assert caught.value.code == "bad-shard"


@pytest.mark.parametrize("stores", ["one", "many"])
def test_shards_make_the_same_table(tiny: Path, tmp_path: Path, stores: str) -> None:
    """Into one store, or each into its own that are merged; byte for byte."""
    clean = extract(tiny, "prosody", store=tmp_path / "clean")
    whole = read_manifest(tiny)
    for i in (3, 1, 2):
        part = shard(whole, i, 3)
        extract(part, "prosody", store=tmp_path / ("s" if stores == "one" else f"s{i}"))
    if stores == "many":
        (folder,) = stores_below(tmp_path / "s1")
        merge([tmp_path / f"s{i}" / folder.name for i in (1, 2, 3)], tmp_path / "s" / folder.name)
    joined = extract(tiny, "prosody", store=tmp_path / "s")
    assert joined.computed == 0
    for result, name in ((clean, "clean"), (joined, "joined")):
        made = {**result.provenance, "failures": 0}
        write_table(result.table, tmp_path / f"{name}.parquet", provenance=made)
        write_table(result.table, tmp_path / f"{name}.csv")
    for suffix in ("parquet", "csv"):
        a, b = (tmp_path / f"{name}.{suffix}" for name in ("clean", "joined"))
        assert a.read_bytes() == b.read_bytes()


# --- nothing around it matters --------------------------------------------------------------------

SCRIPT = """
import hashlib, locale, sys
from pathlib import Path
import numpy as np
from serfeat import extract as module
from serfeat.manifest_csv import read_manifest

def main():
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        pass
    module.BATCH = 3  # so that there is work for eight
    m = read_manifest(Path(sys.argv[1]))
    m = m.with_rows(m.rows.iloc[np.random.default_rng(int(sys.argv[4])).permutation(len(m.rows))])
    got = module.extract(m, "classic", store=Path(sys.argv[2]), jobs=int(sys.argv[3]))
    rows = {clip[0]: row for clip, row in zip(got.index, np.ascontiguousarray(got.values))}
    text = b"".join(name.encode() + rows[name].tobytes() for name in sorted(rows))
    print(len(rows), hashlib.sha256(text).hexdigest())

if __name__ == "__main__":
    main()
"""

PLACES: dict[str, dict[str, str]] = {
    "plain": {"PYTHONHASHSEED": "0"},
    "two workers, another hash seed": {"PYTHONHASHSEED": "1", "JOBS": "2"},
    "eight workers, another order": {"ORDER": "7", "JOBS": "8"},
    "another time zone and language": {
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C.UTF-8",
        "LANG": "de_DE.UTF-8",
        "OMP_NUM_THREADS": "2",
        "ORDER": "3",
    },
}


def test_surroundings_do_not_matter(tiny: Path, tmp_path: Path) -> None:
    """24 clips, bit for bit, each time from an empty store.

    One and two and eight workers, two orders, hash seeds, time zones and locales.
    """
    script = tmp_path / "digest.py"
    script.write_text(SCRIPT)
    said = {}
    for i, (name, place) in enumerate(PLACES.items()):
        command = [script, tiny, tmp_path / str(i), place.get("JOBS", "1"), place.get("ORDER", "0")]
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", *map(str, command)],
            env={**os.environ, **place},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (name, done.returncode, done.stderr)
        said[name] = done.stdout.split("\n")
    assert said["plain"][0].startswith("24 ")
    assert len(set(map(tuple, said.values()))) == 1, said


# --- frames on the disk ---------------------------------------------------------------------------


def test_mapped_frames_are_the_same(tiny: Path, tmp_path: Path) -> None:
    inside = extract(tiny, "cepstral", level="lld", store=tmp_path / "s")
    outside = extract(tiny, "cepstral", level="lld", store=tmp_path / "s", mapped=tmp_path / "m")
    assert isinstance(inside.values, Sequences)
    assert isinstance(outside.values, Sequences)
    assert (inside.values.mapped, outside.values.mapped) == (False, True)
    assert outside.values.values.tobytes() == inside.values.values.tobytes()
    assert outside.flags == inside.flags
    assert outside.seconds_of_audio == inside.seconds_of_audio
    assert outside.table.equals(inside.table)
    again = extract(tiny, "cepstral", level="lld", store=tmp_path / "s", mapped=tmp_path / "m")
    assert len(list((tmp_path / "m").iterdir())) == 2  # the same frames have the same name
    np.testing.assert_array_equal(again.values[3], inside.values[3])
