"""Names for the arrays that travel through serfeat, and for who is told how far it is.

NumPy's types do not carry shapes, so a docstring states each one; these aliases say what the
numbers are. Signals and features are float64 while they are computed (autocorrelations of quiet
frames lose digits in float32) and float32 when they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Floats", "Floats32", "Ints", "Progress", "Reals", "Report", "silent"]

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]  # of either precision: what a kernel or a transform works on
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Progress = Callable[[int, int], None]  # is called with (done, total)
Report = Callable[[str, int, int], None]  # ... with (stage, done, total)


def silent(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""
