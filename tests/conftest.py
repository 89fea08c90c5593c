"""Fixtures that find the real corpora; they skip with a reason where these are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One thread per process: the tests train tiny networks, where threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# On the CPU also where there is a GPU: many tests compare to the last bit. CUDA_VISIBLE_DEVICES=0
# in the environment lets them see it.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with corpora/ and encoders/: SERFEAT_SHARED, default ../shared."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("SERFEAT_SHARED", root.parent / "shared"))
    if not (folder / "corpora").is_dir():
        pytest.skip(f"no real corpora: {folder}/corpora is not a folder (set SERFEAT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def emodb_root(shared: Path) -> Path:
    root = shared / "corpora" / "emodb"
    if not root.is_dir():
        pytest.skip(f"no EMO-DB at {root}")
    return root


@pytest.fixture(scope="session")
def ravdess_root(shared: Path) -> Path:
    root = shared / "corpora" / "ravdess"
    if not root.is_dir():
        pytest.skip(f"no RAVDESS at {root}")
    return root


@pytest.fixture(scope="session", autouse=True)
def feature_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of its own for the tests, shared among them: never the user's."""
    folder = tmp_path_factory.mktemp("features")
    os.environ["SERFEAT_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of a small embedded corpus: 4 speakers x 3 emotions x 2 sentences."""
    from serfeat.demo import make_corpus

    folder = tmp_path_factory.mktemp("tiny")
    return make_corpus(folder, speakers=4, sentences=2, emotions=("anger", "neutral", "sadness"))
