"""Tables and the store: what is written is read back, and what is old is never served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from serfeat.errors import ManifestError, StoreError
from serfeat.store import Row, Store, read_metadata, read_table, write_table
from serfeat.store import segment as store_module
from serfeat.table import clip_index, frame_index


def index() -> pd.MultiIndex:
    return clip_index(["a.wav", "b.wav", "b.wav"], [0, 0, 1.5], [np.nan, 1.5, 2.25])


def test_index_is_audformats() -> None:
    audformat = pytest.importorskip("audformat")
    audformat.assert_index(index())
    audformat.assert_no_duplicates(index())


def test_duplicates_are_refused() -> None:
    with pytest.raises(ManifestError, match=r"1 rows have .* 'a.wav'"):
        clip_index(["a.wav", "a.wav"])


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("level", ["functionals", "lld"])
def test_round_trip(tmp_path: Path, suffix: str, level: str) -> None:
    """Catches a frame time that forgets the segment's start."""
    rows = index()
    if level == "lld":
        rows = frame_index(rows, [3, 2, 2], 0.01)
        assert rows[-1][3] == pd.Timedelta("1.51s")
    values = np.arange(len(rows) * 2, dtype=np.float32).reshape(-1, 2)
    values[0, 0] = np.nan
    table = pd.DataFrame(values, index=rows, columns=["f0_hz", "zcr_per_s"])
    path = tmp_path / f"t{suffix}"
    write_table(table, path, units={"f0_hz": "Hz"}, provenance={"made": "here"})
    again = read_table(path)
    pd.testing.assert_frame_equal(again.astype(np.float32), table)
    meta = read_metadata(path)
    assert meta["units"] == {"f0_hz": "Hz"}
    assert meta["provenance"] == {"made": "here"}
    assert not list(tmp_path.glob(".serfeat-*"))


READS = """
import os, sys
from pathlib import Path
import numpy as np, pandas as pd, pyarrow.parquet
from serfeat.store import Row, Store, read_parquet, read_table, write_table
folder = Path(sys.argv[1])
def threads():
    return set(os.listdir("/proc/self/task"))
before = threads()
for columns in (3, 600):
    table = pd.DataFrame(np.ones((50, columns)), columns=[f"c{i}" for i in range(columns)])
    write_table(table.assign(w="a"), folder / "t.parquet")
    read_table(folder / "t.parquet"), read_parquet(folder / "t.parquet")
    names = tuple(table.columns)
    Store(folder / str(columns), names).add([Row(str(i), table.values[:1]) for i in range(9)])
    kept = Store(folder / str(columns), names).rows([str(i) for i in range(9)])
    print(len(kept), len(threads() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc: threads unknown")
def test_reading_starts_no_threads(tmp_path: Path) -> None:
    """Threads of Arrow's that wait at the end of a process have made others abort or hang there.

    Seen to catch: `pyarrow.parquet.read_table`, `pandas.read_parquet`, a ParquetFile that reads
    ahead.
    """
    command = [sys.executable, "-c", READS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["9", "0", "9", "0"]


def test_csv_has_decimal_seconds(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=index()), tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "file,start,end,x"
    assert lines[1] == "a.wav,0.0,,1.0"
    assert lines[3] == "b.wav,1.5,2.25,3.0"


def test_unwritable_and_unknown(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [1.0]}, index=clip_index(["a"]))
    with pytest.raises(StoreError, match=r"use \.parquet or \.csv"):
        write_table(table, tmp_path / "t.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write here"):
        write_table(table, tmp_path / "file" / "t.csv")


def rows(*keys: str, frames: int = 2) -> list[Row]:
    return [
        Row(k, np.full((frames, 3), i, dtype=np.float32), ("odd",), 1.0) for i, k in enumerate(keys)
    ]


def test_store_adds_and_reads(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", ("a", "b", "c"))
    store.add(rows("k1", "k2"))
    store.add(rows("k3"))
    store.add([])
    assert store.keys() == {"k1", "k2", "k3"}
    found = Store(tmp_path / "s", ("a", "b", "c")).rows(["k2", "k9"])
    assert set(found) == {"k2"}
    assert (found["k2"].values == 1).all()
    assert found["k2"].values.shape == (2, 3)
    assert found["k2"].flags == ("odd",)


def test_store_refuses_other_columns(tmp_path: Path) -> None:
    Store(tmp_path / "s", ("a", "b"))
    with pytest.raises(StoreError, match="2 columns"):
        Store(tmp_path / "s", ("a", "c"))


def test_a_damaged_segment_costs_its_rows_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", ("a", "b", "c"))
    store.add(rows("k1", "k2", frames=200))
    store.add(rows("k3"))
    victim = max(store.folder.glob("seg-*.parquet"), key=lambda p: p.stat().st_size)
    raw = bytearray(victim.read_bytes())
    raw = raw[: len(raw) // 2]
    victim.write_bytes(raw)
    assert store.keys() == {"k3"}
    assert len(list(store.folder.glob("*.damaged"))) == 1


def test_store_card_says_what_it_holds(tmp_path: Path) -> None:
    Store(tmp_path / "s", ("a",), {"features": "classic"})
    card = json.loads((tmp_path / "s" / "store.json").read_text())
    assert card == {"format": 1, "columns": ["a"], "features": "classic"}


def test_long_clips_are_kept_in_groups(tmp_path: Path, monkeypatch) -> None:
    """Caught: parts of a clip in another order, a clip cut where another one of the group ends."""
    monkeypatch.setattr(store_module, "GROUP", 20)
    rng = np.random.default_rng(0)
    lengths = [1, 4, 30, 2, 9, 1, 11]
    rows = [
        Row(f"k{i}", rng.standard_normal((n, 3)).astype(np.float32), (), float(n))
        for i, n in enumerate(lengths)
    ]
    store = Store(tmp_path, ("a", "b", "c"))
    store.add(rows)
    found = store.rows([r.key for r in rows])
    assert store.keys() == {r.key for r in rows}
    for row in rows:
        np.testing.assert_array_equal(found[row.key].values, row.values)
        assert found[row.key].seconds == row.seconds
    assert set(store.rows(["k2"])) == {"k2"}
    (segment,) = tmp_path.glob("seg-*.parquet")
    assert pq.ParquetFile(segment).num_row_groups > 5


def test_a_clip_that_is_damaged_in_the_middle_is_computed_anew(tmp_path: Path, monkeypatch) -> None:
    """Caught: the part before the damage handed out as the clip."""
    monkeypatch.setattr(store_module, "GROUP", 3000)
    rng = np.random.default_rng(0)
    store = Store(tmp_path, ("a", "b", "c"))
    long = Row("long", rng.standard_normal((5000, 3)).astype(np.float32))
    store.add([Row("short", np.ones((1, 3), dtype=np.float32)), long])
    (segment,) = tmp_path.glob("seg-*.parquet")
    raw = bytearray(segment.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 40] = bytes(40)
    segment.write_bytes(raw)
    found = store.rows(["short", "long"])
    assert "long" not in found
    assert not list(tmp_path.glob("seg-*.parquet"))
    assert len(list(tmp_path.glob("*.damaged"))) == 1
