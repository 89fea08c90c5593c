"""Mappers: one function over many tasks, in this process, in several, or on a cluster.

A task is a batch, never a single file: a process hand-over costs about as much as a short clip.
Results come back in the order of the tasks whatever finishes first, so that a table does not depend
on the number of workers. `processes` runs on pebble: a worker that crashes, exceeds its memory or
its time costs its own task only, and the task's place in the results is taken by the error.

Contents
--------
`run`             : the results of a function, task by task.
`time_budget`     : ends a worker that hangs, also inside a C library.
`lost`            : what a dead worker died of.
`Interrupt`       : the first Ctrl-C finishes what is open, the second does not.
`start_method`, `begin_worker`, `one_thread_per_worker` : how a worker begins, for who keeps a pool.
`ahead` : begin with what all workers have in common.
`available_cores`, `worker_memory` : what there is to share.

Sources
-------
The manual pages setitimer(2), getrlimit(2) and signal(7).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from itertools import islice
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from serfeat.engines.cluster import connected, outcome, submitter
from serfeat.engines.descriptors import workers_within
from serfeat.errors import EngineError, did_you_mean
from serfeat.jit import COMPILER

__all__ = [
    "ENGINES",
    "Interrupt",
    "ahead",
    "available_cores",
    "begin_worker",
    "lost",
    "one_thread_per_worker",
    "run",
    "start_method",
    "time_budget",
    "worker_memory",
]

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("processes", "dask")

LIVES = 3  # pools in a row that may break without a result
AHEAD = 8  # tasks per worker that wait or are done and wait for their turn
GRACE = 5.0  # s that open tasks are waited for after the first Ctrl-C
TRIES = 2  # of a task alone, after a worker died that had it; dask
LEAST_MEMORY = 2 << 30  # bytes that a worker may always take


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def worker_memory(workers: int) -> int:
    """Bytes that one of some workers may take: its share of the machine, at least 2 GiB.

    0, no limit, where the system does not say how much it has.
    """
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
    return max(LEAST_MEMORY, physical // max(1, workers))


# --- Ctrl-C ---------------------------------------------------------------------------------------


class Interrupt:
    """Within it the first Ctrl-C only asks to stop, and the second one stops.

    ``with Interrupt() as asked: ...`` - whoever computes looks at ``asked()`` between two clips,
    keeps what it has and raises `KeyboardInterrupt` itself. Outside of the main thread nothing
    changes, because Python delivers signals there alone.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: Any = None

    def __enter__(self) -> Callable[[], bool]:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self._asked.is_set

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()


def _never() -> bool:
    return False


# --- mapping --------------------------------------------------------------------------------------


def run(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int = 1,
    timeout: float | None = None,
    memory: int = 0,
    isolated: bool = False,
    asked: Callable[[], bool] = _never,
    engine: str = "processes",
    address: str = "",
) -> Iterator[Result | Exception]:
    """Apply `function` to every task and yield the results in order.

    Parameters
    ----------
    function : importable (workers are fresh interpreters); it should catch the errors that it
        expects and return them as part of its result.
    tasks : picklable.
    jobs : processes; 1 runs in this one, 0 or less uses all cores.
    timeout : s for one task (several processes only).
    memory : bytes that a worker may take (Linux, several processes only); 0 is no limit. Workers
        of a cluster elsewhere have the limits that they were started with.
    isolated : use a process of its own even for one job: a crash is then an error, not the end.
    asked : whether to stop; what is open is then waited for a few seconds, and the rest left out.
    engine : one of `ENGINES`; ``"dask"`` needs the extra ``dask``.
    address : of a dask scheduler; none: a cluster of `jobs` processes on this machine (see
        `serfeat.engines.cluster`).

    Yields
    ------
    The result of each task, or the exception that ended it (a crash, a time-out).

    Raises
    ------
    UnknownNameError, MissingExtraError, EngineError : no such engine, or none to be reached; too
        few open files for a pool (``open-files``), or a pool that could not be kept alive
        (``pool-lost``).
    """
    if engine not in ENGINES:
        raise did_you_mean("engine", engine, ENGINES)
    pending = list(tasks)
    if not pending:  # all was known: nothing is started for nothing
        return
    workers = min(jobs if jobs > 0 else available_cores(), len(pending))
    if engine == "dask":
        yield from _dask(function, pending, workers, address, memory, asked)
    elif workers == 1 and not isolated:
        for task in pending:
            if asked():
                return
            yield function(task)
    else:
        within = workers_within(workers)
        yield from _processes(function, pending, within, timeout, memory, asked)


def _processes(
    function: Callable[[Task], Result],
    tasks: list[Task],
    workers: int,
    timeout: float | None,
    memory: int,
    asked: Callable[[], bool],
) -> Iterator[Result | Exception]:
    """Yield the results of `tasks`, in order, from one pool after the other if one breaks.

    A worker that dies before its pool heard which task it had taken takes the pool with it. That
    is rare; the tasks that are not done have a new pool then.
    """
    done, lives = 0, LIVES
    while lives:
        try:
            with closing(_pool(function, tasks[done:], workers, timeout, memory, asked)) as results:
                for result in results:
                    done, lives = done + 1, LIVES
                    yield result
            return
        except BrokenProcessPool:
            if asked():
                return
            lives -= 1
    raise EngineError(
        f"the pool of {workers} workers could not be kept alive",
        where="processes",
        code="pool-lost",
        fix="use fewer jobs and run the same command again, what is done is kept; a script "
        'of your own needs `if __name__ == "__main__":` around its calls',
    )


def _pool(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    timeout: float | None,
    memory: int,
    asked: Callable[[], bool],
) -> Generator[Result | Exception, None, None]:
    """As `_processes`, from one pool.

    Raises
    ------
    BrokenProcessPool : it broke.
    """
    from pebble import ProcessExpired, ProcessPool

    context = start_method(function.__module__)
    with (
        one_thread_per_worker(),
        ProcessPool(
            max_workers=workers,
            context=context,
            initializer=begin_worker,
            initargs=[dict(os.environ), memory],
        ) as pool,
    ):

        def submit(task: Task) -> Any:
            try:
                return pool.schedule(function, args=[task], timeout=timeout)
            except RuntimeError as error:  # pebble's word for a pool that is broken already
                raise BrokenProcessPool(str(error)) from None

        try:
            for future in _in_order(submit, tasks, AHEAD * workers, asked):
                try:
                    yield future.result()
                except (FutureTimeoutError, ProcessExpired, MemoryError) as error:
                    yield error
            if asked():
                pool.stop()  # type: ignore[no-untyped-call]
        except BaseException:
            pool.stop()  # type: ignore[no-untyped-call]
            raise


def _in_order(
    submit: Callable[[Task], Any], tasks: Iterable[Task], ahead: int, asked: Callable[[], bool]
) -> Iterator[Any]:
    """Submit tasks a little ahead and yield their futures, done, in order.

    A million tasks that wait, or that are done and wait, would be a million in memory. After the
    interrupt only those are yielded that are done within `GRACE`.
    """
    rest = iter(tasks)
    open_: deque[Any] = deque(submit(task) for task in islice(rest, ahead))
    end = float("inf")
    while open_:
        future = open_.popleft()
        while not future.done():
            if asked():
                end = min(end, time.monotonic() + GRACE)
            if time.monotonic() > end:
                break
            with suppress(Exception):  # that of the task is the caller's; a time-out is none
                future.exception(timeout=0.2)
        if future.done():
            yield future
        if not asked():
            open_.extend(submit(task) for task in islice(rest, 1))


def begin_worker(variables: dict[str, str], memory: int) -> None:
    """Give a worker the environment that its parent has now, and its share of the memory.

    A fork server keeps the environment of its own start: what was set since, such as the consent to
    a licence, would not reach its children.
    """
    os.environ.update(variables)
    if memory and os.path.exists("/proc/self"):  # elsewhere RLIMIT_DATA means another thing
        import resource

        # What a process writes into, not the libraries and files that it maps.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def start_method(module: str) -> BaseContext:
    """Fresh processes that have imported `module` once for all of them, where the system can.

    Never "fork" from this process: a child would inherit OpenMP and torch threads in whatever
    state. A fork server is a process of its own, without threads, that has only imported.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module, *COMPILER])
    return context


def ahead(module: str) -> None:
    """Let the processes to come import `module` from now on, while this one does something else.

    On a machine without fork servers nothing happens.
    """
    if start_method(module).get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        with one_thread_per_worker():
            ensure_running()


@contextmanager
def one_thread_per_worker() -> Iterator[None]:
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


def _dask(
    function: Callable[[Task], Result],
    tasks: list[Task],
    workers: int,
    address: str,
    memory: int,
    asked: Callable[[], bool],
) -> Iterator[Result | Exception]:
    """Run on a dask scheduler, or on a cluster of processes on this machine."""
    with connected(workers, address, memory) as (client, present):
        hand_over = submitter(client, function)
        flying: dict[Any, Task] = {}

        def submit(task: Task) -> Any:
            future = hand_over(task)
            flying[future] = task
            return future

        for future in _in_order(submit, tasks, AHEAD * present, asked):
            task = flying.pop(future)
            result = outcome(future)
            if isinstance(result, Exception):
                result = _alone(hand_over, task, list(flying), asked) or result
            yield result


def _alone(
    submit: Callable[[Task], Any], task: Task, others: list[Any], asked: Callable[[], bool]
) -> Any:
    """Try a task again when no other is there: what its worker dies of now is not another task.

    Dask suspects every task that a worker had been given when it died, not the one that ran; and a
    worker that is only slow to answer counts as dead.

    Returns
    -------
    Its result, or the exception that ended it; None: an interrupt came first.
    """
    for future in others:
        while not (future.done() or asked()):
            time.sleep(0.05)
    result: Any = None
    for _ in range(TRIES):
        again = submit(task)
        while not again.done():
            if asked():
                return None
            time.sleep(0.05)
        result = outcome(again)
        if not isinstance(result, Exception):
            break
    return result


# --- a worker's end -------------------------------------------------------------------------------


@contextmanager
def time_budget(seconds: float) -> Iterator[None]:
    """End this process if what is inside takes longer; does nothing outside of a worker.

    An exception would only be raised when a C library comes back to Python. The alarm's default
    action ends the process at once, the parent sees by which signal (`lost`), and no half-used
    library goes on. Windows has no such timer.
    """
    in_worker = multiprocessing.parent_process() is not None
    if not in_worker or not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def lost(error: Exception) -> tuple[str, str]:
    """Say what a task was lost to: the reason (crash, timeout or memory), and a line about it."""
    if isinstance(error, MemoryError):
        return "memory", "needs more memory than a worker may take"
    if isinstance(error, FutureTimeoutError):
        return "timeout", "took longer than its time budget"
    code = getattr(error, "exitcode", None)
    if code is None:
        return "crash", f"the worker process died ({type(error).__name__})"
    if code >= 0:
        return "crash", f"the worker process ended itself (exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGALRM":
        return "timeout", "took longer than its time budget"
    if name == "SIGKILL":
        return "crash", "the worker process was killed (SIGKILL: the system, for want of memory?)"
    return "crash", f"the worker process died ({name})"
