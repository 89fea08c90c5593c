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
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import resource_tracker
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
    warm : name of a module that loads what requests need while it is imported. Where processes are
        forked from a server of their own, that is imported once, before the first of them: a worker
        that takes the place of a dead one is warm at once.
    """

    def __init__(self, count: int, warm: str = "") -> None:
        self.count = max(1, count)
        self.open = 0
        self._warm = warm
        self._pool: Any = None
        self._lock = threading.Lock()
        self._stopped = False

    def start(self) -> None:
        """Start the processes and let each of them warm up, unless they run.

        It waits for the fork server, which imports first: to be called beside an event loop.
        """
        from pebble import ProcessPool

        from serfeat.engines import begin_worker, one_thread_per_worker, start_method

        with self._lock, one_thread_per_worker(), _deaf_to_ctrl_c():
            if self._runs() or self._stopped:
                return
            self._end()  # a pool whose workers could not even start
            variables = dict(os.environ)
            self._pool = ProcessPool(
                max_workers=self.count,
                context=start_method(self._warm or __name__),
                initializer=begin_worker,
                initargs=[variables, worker_memory(self.count)],
            )
            for _ in range(self.count):
                self._pool.schedule(_load, args=[self._warm], timeout=BUDGET)

    def stop(self) -> None:
        """End the processes, whatever they do; what waits for them is told, and none is started."""
        self._stopped = True
        with self._lock:
            self._end()

    def _runs(self) -> bool:
        return self._pool is not None and bool(self._pool.active)

    def _end(self) -> None:
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
        LabError : 429, too many wait; 500, the worker died or took too long; 503, the lab ends.
        Whatever the function raises.
        """
        from pebble import ProcessExpired

        if self.open >= self.count * WAITING:
            raise LabError(429, "busy: too many requests wait", code="busy", retry_after=1)
        self.open += 1
        try:
            if not self._runs():
                await self._until_stopped(asyncio.to_thread(self.start))
            if self._stopped:
                raise _closing()
            future = self._pool.schedule(function, args=list(arguments), timeout=budget)
            result: Result = await self._until_stopped(asyncio.wrap_future(future))
            return result
        except (FutureTimeoutError, ProcessExpired, MemoryError, BrokenProcessPool) as error:
            if self._stopped:  # its worker was ended with the others
                raise _closing() from None
            code, words = lost(error)
            raise LabError(
                500, words, code=code, fix="the lab goes on; try a shorter recording"
            ) from None
        except (asyncio.CancelledError, RuntimeError):
            task = asyncio.current_task()
            # Who was cancelled itself stays so: nobody waits who could be told anything else.
            if not self._stopped or (task is not None and task.cancelling()):
                raise
            raise _closing() from None
        finally:
            self.open -= 1

    async def _until_stopped(self, awaited: Awaitable[Result]) -> Result:
        """Wait for it, but not for workers that are still being started when all is to end."""
        task = asyncio.ensure_future(awaited)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=0.1)
                if self._stopped and not task.done():
                    raise _closing()
            return task.result()
        finally:
            task.cancel()


def _closing() -> LabError:
    return LabError(503, "the lab is being closed", code="closing", fix="start it again")


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started within it leave Ctrl-C to this one, which then ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # started later, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _load(module: str) -> None:
    if module:
        import_module(module)
