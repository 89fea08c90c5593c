"""Mutated files, some hundreds of each: read or refused, never a crash, a hang or a foreign error.

`make fuzz` runs more; what was run is in docs/results/reliability.md.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[2] / "bench" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "count"), [("audio", 400), ("texts", 600), ("imports", 300)])
def test_mutated_files(fuzz: ModuleType, kind: str, count: int) -> None:
    """In a child. Seen to fail with a `KeyError` planted in `claims_of`."""
    found = fuzz.fuzz({kind: count}, seconds=120, seed=1_000)
    assert found["strange"] == []
    assert sum(found[kind]["outcomes"].values()) == found[kind]["inputs"] == count
    assert len(found[kind]["outcomes"]) > 10  # the mutations reach more than the first check
    assert found[kind]["outcomes"]["read"] > count / 20


def test_a_batch_that_dies_or_hangs_is_a_finding(
    fuzz: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent lives, and says which batch it was."""
    for code, limit, word in [
        ("import os; os.abort()", 20.0, "crash"),
        ("import time; time.sleep(60)", 1.0, "hang"),
    ]:
        monkeypatch.setattr(fuzz, "LIMIT", limit)
        monkeypatch.setattr(fuzz, "sys", _Python([sys.executable, "-c", code]))
        found = fuzz.fuzz({"audio": 10}, seconds=60, seed=7)
        assert found["strange"][0].startswith(f"audio:7 {word}")


class _Python:
    """Stands for `sys`: its interpreter runs something else."""

    def __init__(self, command: list[str]) -> None:
        self.executable = str(_script(command))


def _script(command: list[str]) -> Path:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "python"
    quoted = " ".join(json.dumps(word) for word in command)
    path.write_text(f"#!/bin/sh\nexec {quoted}\n")
    path.chmod(0o755)
    return path
