"""The commands of stores and shards, from extraction to one table of all parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from serfeat.cli import main
from serfeat.store import read_table


@pytest.fixture
def parts(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two shards, each with a store of its own."""
    for i in (1, 2):
        monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path / f"cache{i}"))
        words = ["extract", str(tiny), "-o", str(tmp_path / f"{i}.parquet"), "--shard", f"{i}/2"]
        assert main([*words, "--features", "energy"]) == 0
    return tmp_path


def test_shards_are_disjoint_and_make_the_whole(parts: Path, tiny: Path, monkeypatch) -> None:
    one, two = (read_table(parts / f"{i}.parquet") for i in (1, 2))
    assert len(one) + len(two) == 24
    assert not len(one.index.intersection(two.index))
    stores = [next((parts / f"cache{i}").iterdir()) for i in (1, 2)]
    merged = parts / "cache" / stores[0].name
    assert main(["store", "merge", *map(str, stores), "-o", str(merged)]) == 0
    monkeypatch.setenv("SERFEAT_CACHE", str(parts / "cache"))
    words = ["extract", str(tiny), "-o", str(parts / "all.parquet"), "--features", "energy"]
    assert main(words) == 0
    assert len(read_table(parts / "all.parquet")) == 24


def test_stores_are_verified_compared_and_compacted(parts: Path, capsys) -> None:
    stores = [next((parts / f"cache{i}").iterdir()) for i in (1, 2)]
    assert main(["store", "verify", str(parts / "cache1")]) == 0
    assert main(["store", "diff", str(stores[0]), str(stores[0])]) == 0
    assert main(["store", "diff", str(stores[0]), str(stores[1])]) == 1
    assert main(["store", "compact", str(parts / "cache1")]) == 0
    segment = next(stores[0].glob("seg-*"))
    segment.write_bytes(segment.read_bytes()[:-100])
    capsys.readouterr()
    assert main(["store", "verify", str(stores[0])]) == 2
    assert segment.name in capsys.readouterr().err


@pytest.mark.parametrize("part", ["0/2", "3/2", "half", "1/0"])
def test_parts_that_do_not_exist(tiny: Path, tmp_path: Path, part: str, capsys) -> None:
    words = ["extract", str(tiny), "-o", str(tmp_path / "f.csv"), "--shard", part]
    assert main([*words, "--features", "energy"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
