"""Mappers: one function over many tasks, in this process or in several.

A task is a batch, never a single file: a process hand-over costs about as much as a short clip.
Results come back in the order of the tasks whatever finishes first, so that a table does not depend
on the number of workers. `processes` runs on pebble: a worker that crashes or exceeds its time
costs its own task only, and the task's place in the results is taken by the error.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from typing import TypeVar

__all__ = ["available_cores", "run"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int = 1,
    timeout: float | None = None,
) -> Iterator[Result | Exception]:
    """Apply `function` to every task and yield the results in order.

    Parameters
    ----------
    function : importable (workers are fresh interpreters); it should catch the errors that it
        expects and return them as part of its result.
    tasks : picklable.
    jobs : processes; 1 runs in this one, 0 or less uses all cores.
    timeout : s for one task (several processes only).

    Yields
    ------
    The result of each task, or the exception that ended it (a crash, a time-out).
    """
    pending = list(tasks)
    workers = min(jobs if jobs > 0 else available_cores(), max(1, len(pending)))
    if workers == 1:
        yield from map(function, pending)
        return
    yield from _processes(function, pending, workers, timeout)


def _processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, timeout: float | None
) -> Iterator[Result | Exception]:
    from pebble import ProcessExpired, ProcessPool

    context = _context(function.__module__)
    with (
        _one_thread_per_worker(),
        ProcessPool(
            max_workers=workers,
            context=context,
            initializer=_take_environment,
            initargs=[dict(os.environ)],
        ) as pool,
    ):
        futures = [pool.schedule(function, args=[task], timeout=timeout) for task in tasks]
        try:
            for future in futures:
                try:
                    yield future.result()
                except (FutureTimeoutError, ProcessExpired, MemoryError) as error:
                    yield error
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise


def _take_environment(variables: dict[str, str]) -> None:
    """Give a worker the environment that its parent has now.

    A fork server keeps the one of its own start: what was set since, such as the consent to a
    licence, would not reach its children.
    """
    os.environ.update(variables)


def _context(module: str) -> BaseContext:
    """Fresh processes that have imported `module` once for all of them, where the system can.

    Never "fork" from this process: a child would inherit OpenMP and torch threads in whatever
    state. A fork server is a process of its own, without threads, that has only imported.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextmanager
def _one_thread_per_worker() -> Iterator[None]:
    """Children inherit these variables: n workers of one thread each, not n of n threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
