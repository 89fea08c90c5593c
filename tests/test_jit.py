"""Kernels are compiled when they are first called, and not before."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from serfeat.jit import COMPILED, Kernel, jit
from serfeat.types import Floats


@jit
def _weighed(x: float, weight: float) -> float:
    return x * weight


@jit
def _total(values: Floats, weight: float) -> float:
    total = 0.0
    for value in values:
        total += _weighed(value, weight)
    return total


def test_a_kernel_calls_another() -> None:
    """The inner one is known to the outer one although nobody called it before."""
    values = np.array([1.0, 2.0, 4.0])
    assert _total(values, 0.5) == 3.5
    assert _weighed(3.0, 2.0) == 6.0
    assert getattr(_total, "py_func", _total)(values, 0.5) == 3.5
    assert _total.__name__ == "_total"


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_nothing_is_compiled_before_the_first_call() -> None:
    made: list[str] = []

    def compile_(function: Any) -> Any:
        made.append("compiled")
        return function

    kernel = Kernel(lambda x: x + 1, compile_)
    assert not made
    assert [kernel(1), kernel(2)] == [2, 3]
    assert made == ["compiled"]


def test_who_only_asks_for_names_loads_no_compiler() -> None:
    """What every worker and every command begins with: a second less on a slow machine.

    The first kernels, of a set with seven families, then load the compiler and no more of SciPy.
    Seen to catch pandas imported by `serfeat.store.tables`, and kernels that numba does not find
    where they were made in the middle of a compilation (no `refresh`).
    """
    probe = (
        "import sys, numpy\n"
        "import serfeat.clips\n"
        "from serfeat.feature_sets import FEATURE_SETS\n"
        "classic = FEATURE_SETS['classic']\n"
        "classic.columns('functionals'), classic.fingerprint('functionals')\n"
        "heavy = {'numba', 'pandas', 'pyarrow', 'scipy.fft', 'scipy.ndimage', 'scipy.special'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "from serfeat.jit import COMPILED\n"
        "classic.compute(numpy.sin(numpy.arange(8000) / 20), 'functionals')\n"
        "print(sorted({'pandas', 'scipy.fft', 'scipy.ndimage'} & set(sys.modules)) * COMPILED)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
