"""What was compiled is found again where it is the very kernel, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serfeat.jit import COMPILED, jit

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")

INNER = """
import numpy as np
from serfeat.jit import jit

SHARE = 0.5
TABLE = np.array([1.0, 2.0])

@jit
def half(x):
    return x * SHARE * TABLE[0] + sum([i for i in range(3)])
"""
OUTER = """
from inner import half
from serfeat.jit import jit

@jit
def total(values):
    t = 0.0
    for value in values:
        t += half(value)
    return t
"""
ASK = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from outer import total
print(total(np.ones(4, sys.argv[2])), sum(total.compiled.stats.cache_hits.values()))
"""


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[float, int]]:
    """Start a process that calls `total`; says what came out and how many kernels were found."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "inner.py").write_text(INNER)
    (tmp_path / "outer.py").write_text(OUTER)

    def run(kind: str = "f8") -> tuple[float, int]:
        command = [sys.executable, "-c", ASK, str(tmp_path), kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        value, hits = done.stdout.split()
        return float(value), int(hits)

    return run


@pytest.mark.parametrize(
    ("old", "new", "then"),
    [
        ("SHARE = 0.5", "SHARE = 0.25", 13.0),
        ("[1.0, 2.0]", "[3.0, 2.0]", 18.0),
        ("range(3)", "range(2)", 6.0),
        ("x * SHARE", "x + SHARE", 18.0),
    ],
)
def test_a_kernel_is_as_new_as_those_it_calls(
    ask: Callable[..., tuple[float, int]], tmp_path: Path, old: str, new: str, then: float
) -> None:
    """As after an update that corrects one file of two. numba's own says 14, 14, 14."""
    assert [ask(), ask()] == [(14.0, 0), (14.0, 1)]
    (tmp_path / "inner.py").write_text(INNER.replace(old, new))
    assert [ask(), ask()] == [(then, 0), (then, 1)]


def test_a_damaged_file_is_compiled_again(
    ask: Callable[..., tuple[float, int]], tmp_path: Path
) -> None:
    ask()
    for file in (tmp_path / "__pycache__").glob("*.nbc"):
        file.write_bytes(file.read_bytes()[:100])
    assert [ask(), ask()] == [(14.0, 0), (14.0, 1)]


def test_a_comment_compiles_nothing(ask: Callable[..., tuple[float, int]], tmp_path: Path) -> None:
    ask()
    (tmp_path / "inner.py").write_text(INNER + "# and no more\n")
    assert ask() == (14.0, 1)


def _meet(files: list[Any], monkeypatch: pytest.MonkeyPatch, kind: Any) -> list[Any]:
    """Two processes keep a signature each: both look, the first and the second write their index.

    Then the second writes its data, and the first last.
    """
    both, first, second = threading.Barrier(2, timeout=20), threading.Event(), threading.Event()
    look, write_index, write = kind._load_index, kind._save_index, kind._save_data

    def look_together(self: Any) -> Any:
        found = look(self)
        both.wait()
        return found

    def index_in_turn(self: Any, overloads: Any) -> None:
        if self is files[1]:
            first.wait(20)
        write_index(self, overloads)
        first.set()

    def data_in_turn(self: Any, name: str, data: Any) -> None:
        if self is files[0]:
            second.wait(20)
        write(self, name, data)
        second.set()

    with monkeypatch.context() as patch:
        patch.setattr(kind, "_load_index", look_together)
        patch.setattr(kind, "_save_index", index_in_turn)
        patch.setattr(kind, "_save_data", data_in_turn)
        threads = [
            threading.Thread(target=file.save, args=((word,), word))
            for file, word in zip(files, ("first", "second"), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    return [file.load((word,)) for file, word in zip(files, ("first", "second"), strict=True)]


def test_each_signature_has_its_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes when. numba's own gives one of two signatures the code of the other."""
    from numba.core.caching import IndexDataCacheFile

    from serfeat.jit_cache import Files

    kind: Any = IndexDataCacheFile
    plain = [kind(str(tmp_path), "a", b"stamp") for _ in range(2)]
    mixed_up = [None, "first"]  # why serfeat.jit_cache exists
    assert _meet(plain, monkeypatch, kind) == mixed_up
    ours = [Files(file, "digest") for file in plain]
    assert _meet(ours, monkeypatch, Files) == ["first", "second"]


@jit
def _plus(x: Any, y: float) -> Any:
    return x + y


def test_a_full_disk_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from serfeat.jit_cache import Files

    def full(self: Any, name: str, data: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Files, "_save_data", full)
    assert _plus(np.float32(2.0), 1.0) == 3.0
