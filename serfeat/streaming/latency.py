"""How long it took: percentiles of latencies, in a memory that does not grow.

A mean hides what users feel: one answer in twenty that comes late. The 95th and 99th percentile
say it.
"""

from __future__ import annotations

from collections import deque

import numpy as np

__all__ = ["Latencies"]

KEPT = 100_000  # of the newest: a quarter of an hour of hops


class Latencies:
    """Latencies in seconds; those of the last `KEPT` count."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=KEPT)
        self._count = 0

    def add(self, seconds: float) -> None:
        """Note one."""
        self._seconds.append(seconds)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def percentiles(self) -> dict[str, float]:
        """p50, p95, p99 and the largest, in ms; empty without any."""
        if not self._seconds:
            return {}
        ms = 1e3 * np.array(self._seconds)
        found = dict(zip(("p50", "p95", "p99"), np.percentile(ms, (50, 95, 99)), strict=True))
        return {name: round(float(v), 2) for name, v in (*found.items(), ("max", ms.max()))}
