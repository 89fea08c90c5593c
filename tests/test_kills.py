"""Kill it, fail its calls, fill its disk: no committed row is lost, and the end is the same.

Two processes write the rows of one table to one store, in batches, and note each batch that was
committed; both are killed at random instants, begin again where the store says, and so on until
every row is there. Then the store has to hold what a run that was left alone would have made.

The number of kills follows from `SERFEAT_KILLS`: 12 by default, 1000 for the long one. The issue's
200 are the slow test.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serfeat import files
from serfeat.errors import StoreError
from serfeat.files import committed, committed_as, sweep
from serfeat.store import Row, Store, compact, read_table, verify, write_table

COLUMNS = ("a", "b", "c")
BATCH = 3

WRITER = """
import os, sys
from pathlib import Path
import numpy as np
from serfeat.store import Row, Store, compact

folder, log, order, rows = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
store = Store(folder, ("a", "b", "c"))
store.prepare()
keys = [f"k{i:04}" for i in range(rows)][::order]
present = store.keys()
todo = [k for k in keys if k not in present]
note = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for i in range(0, len(todo), 3):
    batch = todo[i : i + 3]
    made = []
    for key in batch:
        rng = np.random.default_rng(list(key.encode()))
        made.append(Row(key, rng.standard_normal((50, 3)).astype(np.float32), ("odd",), 1.0))
    store.add(made)
    os.write(note, "".join(f"{k}\\n" for k in batch).encode())
    if order == 1 and i % 60 == 57:
        compact(folder)
"""


def expected(key: str, frames: int = 50) -> Row:
    rng = np.random.default_rng(list(key.encode()))
    return Row(key, rng.standard_normal((frames, 3)).astype(np.float32), ("odd",), 1.0)


def check_whole(store: Store, keys: list[str], frames: int = 50) -> None:
    """The store is good and holds these rows with the values of a clean run."""
    found = store.rows(keys)
    assert sorted(found) == sorted(keys)
    for key in keys:
        want = expected(key, frames)
        assert found[key].values.tobytes() == want.values.tobytes()
        assert (found[key].flags, found[key].seconds) == (want.flags, want.seconds)
    assert verify(store.folder).problems == ()


def kill_two_writers(folder: Path, kills: int, rows: int) -> int:
    """Kill writers until `kills` of them died; return how many rows were committed by then."""
    folder.mkdir()
    script, store, log = folder / "writer.py", folder / "store", folder / "committed.txt"
    script.write_text(WRITER)
    rng = random.Random(kills)
    running: dict[int, subprocess.Popen[bytes]] = {}
    died = finished = 0
    while finished < 2:
        for order in (1, -1):
            if order not in running:
                command = [sys.executable, script, store, log, str(order), str(rows)]
                running[order] = subprocess.Popen(command, stderr=subprocess.PIPE)
        if died < kills:
            time.sleep(rng.uniform(0.0, 0.4))
            order = rng.choice((1, -1))
            victim = running.pop(order)
            victim.kill()
            victim.communicate()
            died += 1
            # Nothing that was said to be committed may be gone, at any time.
            if died % 5 == 0 and log.exists():
                said = set(log.read_text().split())
                assert said <= Store(store, COLUMNS).keys()
            continue
        for child in running.values():
            _, err = child.communicate(timeout=120 + kills)
            assert child.returncode == 0, err.decode()
            finished += 1
    said = set(log.read_text().split())
    kept = Store(store, COLUMNS)
    assert said <= kept.keys()
    check_whole(kept, [f"k{i:04}" for i in range(rows)])
    assert not list(store.glob("*.damaged"))
    return len(said)


@pytest.mark.timeout(7200)  # a thousand of them, on a busy machine
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_kills(tmp_path: Path) -> None:
    """Rows that were said to be committed are looked for after every fifth kill, and at the end."""
    kills = int(os.environ.get("SERFEAT_KILLS", "12"))
    assert kill_two_writers(tmp_path / "k", kills, 20 * max(kills, 12)) > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_two_hundred_kills(tmp_path: Path) -> None:
    """The issue's figure; a minute and a half of CPU."""
    assert kill_two_writers(tmp_path / "k", 200, 6000) > 0


# --- the n-th call fails --------------------------------------------------------------------------


class Faulty:
    """A disk of which one call, the n-th, fails."""

    def __init__(self, n: int, error: int) -> None:
        self.left, self.error = n, error
        self.calls: list[str] = []
        real = files.DISK
        self.disk = replace(
            real,
            create=lambda path: _FaultyStream(self.step("create", real.create, path), self),
            flush=lambda stream: self.step("flush", real.flush, stream),
            rename=lambda a, b: self.step("rename", real.rename, a, b),
            flush_folder=lambda folder: self.step("flush_folder", real.flush_folder, folder),
        )

    def step(self, name: str, call: Any, *arguments: Any) -> Any:
        self.calls.append(name)
        self.left -= 1
        if self.left == 0:
            raise OSError(self.error, os.strerror(self.error))
        return call(*arguments)


class _FaultyStream:
    """A file whose writes are counted too; half of the one that fails is on the disk."""

    def __init__(self, stream: Any, faulty: Faulty) -> None:
        self.stream, self.faulty = stream, faulty

    def write(self, data: Any) -> int:
        try:
            return int(self.faulty.step("write", self.stream.write, data))
        except OSError:
            self.stream.write(bytes(data)[: len(data) // 2])
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def job(folder: Path, *, join: bool) -> Iterator[list[str]]:
    """A small run; yields the keys after each commit."""
    store = Store(folder, COLUMNS)
    store.prepare()
    keys = [f"k{i:04}" for i in range(9)]
    present = store.keys()
    todo = [k for k in keys if k not in present]
    for i in range(0, len(todo), BATCH):
        batch = todo[i : i + BATCH]
        store.add([expected(k, 5) for k in batch])
        yield batch
    if join:
        compact(folder)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("join", [False, True], ids=["add", "compact"])
def test_every_call_fails_once(tmp_path: Path, monkeypatch, error: int, join: bool) -> None:
    """N = 1, 2, ... until a run gets through. Seen to fail without the removal of the temporary
    file, and with old segments that are removed before the new ones are flushed."""
    real, seen, faults = files.DISK, set[str](), list[StoreError]()
    for n in range(1, 500):
        folder = tmp_path / str(n)
        faulty, said = Faulty(n, error), list[str]()
        monkeypatch.setattr(files, "DISK", faulty.disk)
        try:
            for batch in job(folder, join=join):
                said += batch
            through = True
        except StoreError as fault:
            through = False
            faults.append(fault)
        monkeypatch.setattr(files, "DISK", real)
        seen.update(faulty.calls)
        if folder.exists() and (folder / "store.json").exists():
            assert set(said) <= Store(folder, COLUMNS).keys(), (n, faulty.calls[-1])
            assert verify(folder).problems == (), (n, faulty.calls[-1])
        assert not list(folder.glob(".serfeat-*")), (n, faulty.calls[-1])
        for _ in job(folder, join=join):  # run it again
            pass
        check_whole(Store(folder, COLUMNS), [f"k{i:04}" for i in range(9)], 5)
        if through:
            break
    codes = {errno.ENOSPC: {"disk-full"}, errno.EIO: {"disk-fault", "cannot-create"}}
    assert {fault.code for fault in faults} == codes[error]
    assert all("run the same command again" in str(fault) for fault in faults)
    assert through
    assert n > 30
    assert seen == {"create", "write", "flush", "rename", "flush_folder"}


def test_a_table_is_old_or_new(tmp_path: Path, monkeypatch) -> None:
    """The same for `write_table`, whose file exists before."""
    import pandas as pd

    from serfeat.table import clip_index

    old, new = (pd.DataFrame({"x": [v]}, index=clip_index(["a"])) for v in (1.0, 2.0))
    real = files.DISK
    for suffix in (".parquet", ".csv"):
        for n in range(1, 50):
            path = tmp_path / f"t{suffix}"
            write_table(old, path)
            faulty = Faulty(n, errno.ENOSPC)
            monkeypatch.setattr(files, "DISK", faulty.disk)
            try:
                write_table(new, path)
                break
            except StoreError:
                assert read_table(path)["x"].tolist() in ([1.0], [2.0])
            finally:
                monkeypatch.setattr(files, "DISK", real)
            assert not list(tmp_path.glob(".serfeat-*"))
        assert read_table(path)["x"].tolist() == [2.0]
        assert n > 3


# --- what is left and what is full ----------------------------------------------------------------


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    """Seen to fail with the probe left behind."""
    fresh, stale = tmp_path / ".serfeat-aa.tmp", tmp_path / ".serfeat-bb.tmp"
    for path in (fresh, stale, tmp_path / "seg-x.parquet"):
        path.touch()
    os.utime(stale, (time.time() - 4000,) * 2)
    assert sweep(tmp_path) == [stale]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".serfeat-aa.tmp", "seg-x.parquet"]
    with pytest.raises(StoreError) as caught:
        sweep(tmp_path / "seg-x.parquet")
    assert caught.value.code == "cannot-create"


def test_a_name_tells_the_content(tmp_path: Path) -> None:
    """SHA-256 of "abc" by FIPS 180-4; an error inside leaves nothing."""
    with committed_as(tmp_path, lambda digest: f"x-{digest[:8]}") as stream:
        stream.write(b"abc")
    assert [p.name for p in tmp_path.iterdir()] == ["x-ba7816bf"]

    def wrong() -> None:
        with committed_as(tmp_path, str) as stream:
            stream.write(b"abc")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wrong()
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_is_flushed_after_the_rename(tmp_path: Path, monkeypatch) -> None:
    """A power cut: the file, then its name, then the folder. Seen to fail in another order."""
    faulty = Faulty(0, 0)
    monkeypatch.setattr(files, "DISK", faulty.disk)
    with committed(tmp_path / "a") as temporary:
        temporary.write_text("a")
    assert faulty.calls == ["create", "flush", "rename", "flush_folder"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no program mount")
    if done.returncode:
        pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    store = Store(small_disk / "store", COLUMNS)
    committed_keys: list[str] = []
    with pytest.raises(StoreError) as caught:  # noqa: PT012
        for i in range(100):
            store.add([expected(f"k{i:04}", 3000)])
            committed_keys.append(f"k{i:04}")
    assert caught.value.code == "disk-full"
    assert "0.00 GB are free" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert committed_keys
    assert not list(small_disk.rglob(".serfeat-*"))
    check_whole(store, committed_keys, 3000)


def test_an_extraction_on_a_full_disk(small_disk: Path, tiny: Path) -> None:
    """What was finished is kept, and the message says how much that is."""
    from serfeat.extract import extract

    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    with pytest.raises(StoreError, match=r"of 24 clips are done"):
        extract(tiny, "prosody", level="lld", store=small_disk / "store", jobs=1)
    ballast.unlink()


def test_a_mapped_table_on_a_full_disk(small_disk: Path, tiny: Path, tmp_path: Path) -> None:
    """An error, not SIGBUS: that is why it is written and only then mapped."""
    from serfeat.extract import extract

    with pytest.raises(StoreError) as caught:
        extract(tiny, "classic", level="lld", store=tmp_path / "store", mapped=small_disk / "m")
    assert caught.value.code == "disk-full"
    assert not list(small_disk.rglob("*.npy"))
    assert not list(small_disk.rglob(".serfeat-*"))
