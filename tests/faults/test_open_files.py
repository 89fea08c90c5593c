"""061: too few open files for a pool. Fewer workers and one line, or an error before any work."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from serfeat.engines import descriptors
from serfeat.engines.descriptors import EACH, POOL, SPARE, workers_within
from serfeat.errors import EngineError

from .bad_audio import hiss, wav

resource = pytest.importorskip("resource")

SCRIPT = """
import resource, sys
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from serfeat.cli import main
if __name__ == "__main__":
    code = main(sys.argv[3:])
    print("limit", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    sys.exit(code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings for three batches of 32."""
    place = tmp_path_factory.mktemp("files") / "in"
    place.mkdir()
    for i in range(70):
        wav(place / f"{i}.wav", hiss()[: 4000 + i])
    return place


def extracted(folder: Path, out: Path, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    (out / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(out / "script.py"), str(soft), str(hard), "extract", str(folder)]
    command += ["-o", str(out / "t.csv"), "--features", "zcr", "--jobs", "3", "-q", "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_061_fewer_workers(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hard limit of 24: one worker in place of three, one line, every clip."""
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path / "s"))
    done = extracted(folder, tmp_path, 24, 24)
    assert done.returncode == 0, done.stderr
    assert '"clips": 70' in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: 1 in place of 3 workers")
    assert "24 files open (ulimit -n)" in line


def test_061_a_limit_that_may_be_raised_is_raised(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path / "s"))
    done = extracted(folder, tmp_path, 20, 200)
    assert (done.returncode, done.stderr) == (0, "")
    assert 20 < int(done.stdout.split()[-1]) <= 200


def test_061_not_even_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any work: one line that says what to do, exit code 74, and no table."""
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path / "s"))
    done = extracted(folder, tmp_path, 16, 16)
    assert done.returncode == 74
    (line,) = done.stderr.splitlines()
    assert "this process may have 16 files open" in line
    assert "ulimit -n 1024" in line
    assert not (tmp_path / "t.csv").exists()


# --- the arithmetic -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "workers", "had"),
    [
        (10 + POOL + SPARE + 8 * EACH, 8, 8),  # exactly enough
        (10 + POOL + SPARE + 8 * EACH - 1, 8, 7),
        (10 + POOL + EACH, 8, 1),  # without anything to spare
        (-1, 5000, 5000),  # no limit
    ],
)
def test_how_many(monkeypatch: pytest.MonkeyPatch, limit: int, workers: int, had: int) -> None:
    """Seen to fail with 0 workers where nothing is to spare."""
    monkeypatch.setattr(descriptors, "_open_files", lambda: 10)
    monkeypatch.setattr(descriptors, "_raised", lambda wanted: limit)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert workers_within(workers) == had
    assert len(said) == int(had < workers)


def test_what_is_not_known_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_open_files", lambda: 0)
    assert workers_within(9) == 9
    monkeypatch.setattr(descriptors, "_open_files", lambda: 10)
    monkeypatch.setattr(descriptors, "_raised", lambda wanted: 10 + POOL + EACH - 1)
    with pytest.raises(EngineError) as caught:
        workers_within(9)
    assert caught.value.code == "open-files"
