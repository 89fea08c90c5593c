"""Warm, expendable processes: what a request computes cannot take the server with it.

Conventions
-----------
A worker that crashes, hangs or takes too much memory costs its own request, which is told why; the
next request finds a fresh worker. No more requests wait than a person would wait for: the others
are told to come again (429). Workers are started, and have computed once, before they are needed.

Contents
--------
`Workers` : n processes, a queue with an end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from serfeat.engines import lost, worker_memory
from serfeat.lab.answers import LabError

__all__ = ["Workers"]

Result = TypeVar("Result")

BUDGET = 60.0  # s that one request may compute
WAITING = 12  # requests per worker that may wait


class Workers:
    """Processes that compute for requests.

    Parameters
    ----------
    count : processes.
    warm : a function without arguments that loads what requests need; every worker calls it first.
    """

    def __init__(self, count: int, warm: Callable[[], object] | None = None) -> None:
        self.count = max(1, count)
        self.open = 0
        self._warm = warm
        self._pool: Any = None

    def start(self) -> None:
        """Start the processes and let each of them warm up."""
        from pebble import ProcessPool

        from serfeat.engines import _begin_worker, _context, _one_thread_per_worker

        with _one_thread_per_worker():
            variables = dict(os.environ)
            module = self._warm.__module__ if self._warm else __name__
            self._pool = ProcessPool(
                max_workers=self.count,
                context=_context(module),
                initializer=_begin_worker,
                initargs=[variables, worker_memory(self.count)],
            )
            for _ in range(self.count if self._warm else 0):
                self._pool.schedule(self._warm, timeout=BUDGET)

    def stop(self) -> None:
        """End the processes, whatever they do."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    async def work(
        self, function: Callable[..., Result], *arguments: Any, budget: float = BUDGET
    ) -> Result:
        """Compute ``function(*arguments)`` in a worker.

        Parameters
        ----------
        function : of a module's top level, so that another process finds it.
        arguments : picklable.
        budget : s.

        Raises
        ------
        LabError : 429, too many wait; 500, the worker died or took too long.
        Whatever the function raises.
        """
        from pebble import ProcessExpired

        if self._pool is None or not self._pool.active:
            self.stop()  # a pool whose workers could not even start
            self.start()
        if self.open >= self.count * WAITING:
            raise LabError(429, "busy: too many requests wait", code="busy", retry_after=1)
        self.open += 1
        try:
            future = self._pool.schedule(function, args=list(arguments), timeout=budget)
            result: Result = await asyncio.wrap_future(future)
            return result
        except (FutureTimeoutError, ProcessExpired, MemoryError, BrokenProcessPool) as error:
            code, words = lost(error)
            raise LabError(
                500, words, code=code, fix="the lab goes on; try a shorter recording"
            ) from None
        finally:
            self.open -= 1
