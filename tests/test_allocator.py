"""The allocator's setting: page faults before and after, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROBE = """
import resource, sys
import numpy as np
from serfeat.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(n) for n in (40_000, 80_000, 40_000, 300_000)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
print(keep_freed_memory())
faults()
print(plain, faults())
"""


def test_freed_memory_is_kept() -> None:
    """Without it the loop faults hundreds of pages in every round. Catches swapped parameters."""
    if not sys.platform.startswith("linux"):
        pytest.skip("glibc only")
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    taken, counts = done.stdout.split("\n")[:2]
    if taken != "True":
        pytest.skip("not glibc")
    plain, kept = (int(n) for n in counts.split())
    assert kept < 0.1 * plain
