"""Tasks on a dask scheduler: a cluster that somebody runs, or one of processes on this machine.

Dask brings the tasks to the workers and starts them again where a worker was lost; everything else
is as with processes (`serfeat.engines`): a task is a batch, results come in order, and what a task
does is decided by the function alone.

Conventions
-----------
* A worker has one thread. A clip's time budget is a timer of its process, and two clips in one
  process would share it.
* A worker has the versions of this process, in every package that numbers depend on. Features are
  kept under the versions that made them; rows of another version there would be wrong for ever.
* Workers see the same files under the same names: what travels is names of recordings.
* The variables ``SERFEAT_*`` of this process (a consent to a licence, say) go with every task.

Contents
--------
`connected` : a client of a scheduler.
`submitter` : hands one task over.
`outcome`   : what became of it.

Source: the documentation of distributed 2026.8 (resilience: a task whose worker dies is tried on
another; `KilledWorker` when several have died of it).
"""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serfeat.errors import EngineError, MissingExtraError

__all__ = ["connected", "outcome", "submitter"]

# Workers that may die of a task before dask gives it up: the engine tries it once more, alone.
DEATHS = 0
PACKAGES = ("serfeat", "numpy", "scipy", "numba", "soxr", "soundfile", "scikit-learn", "torch")


@contextmanager
def connected(workers: int, address: str, memory: int) -> Iterator[tuple[Any, int]]:
    """Connect to a scheduler, or start one here with some workers.

    Parameters
    ----------
    workers : processes of a cluster on this machine.
    address : of a scheduler (``tcp://host:8786``), or a file that it wrote (``*.json``); empty:
        a cluster on this machine, which ends with the context.
    memory : bytes that a worker of it may take; 0: its share of the machine.

    Yields
    ------
    The client, and the number of workers that there are.

    Raises
    ------
    MissingExtraError : no dask.
    EngineError : nobody answers there (``no-scheduler``), a worker has several threads
        (``threads``).
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise MissingExtraError.of("distributed", "dask", "engine dask") from None
    if address:
        with _client_of(distributed, address) as client:
            threads = client.nthreads()
            if several := [name for name, n in threads.items() if n != 1]:
                raise EngineError(
                    f"{len(several)} of {len(threads)} workers have several threads",
                    where=several[0],
                    code="threads",
                    fix="start them with `dask worker --nthreads 1 --nworkers ...`",
                )
            yield client, max(1, len(threads))
        return
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=memory or "auto",
            silence_logs=logging.CRITICAL,  # a worker that dies is told of by its task
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client, workers


def _client_of(distributed: Any, address: str) -> Any:
    try:
        there = address
        if address.endswith(".json"):  # dask would wait for such a file for ever
            there = str(json.loads(Path(address).read_text(encoding="utf-8"))["address"])
        return distributed.Client(there)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EngineError(
            f"no dask scheduler answers there ({reason})",
            where=address,
            code="no-scheduler",
            fix="start one with `dask scheduler`, it prints its address",
        ) from None


def submitter(client: Any, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what hands a task over and gives its future."""
    variables = {k: v for k, v in os.environ.items() if k.startswith("SERFEAT_")}
    there = partial(_run, function, _software(), variables)

    def submit(task: Any) -> Any:
        # pure=False: the same task again is another try, not the answer of the first
        return client.submit(there, task, pure=False)

    return submit


def outcome(future: Any) -> Any:
    """Return the result of a task, or of what its worker died.

    Raises
    ------
    EngineError : the scheduler is gone (``scheduler-lost``).
    Exception : whatever the function raised that it should have caught.
    """
    from concurrent.futures import CancelledError

    from distributed.scheduler import KilledWorker

    try:
        error = future.exception()
    except (CancelledError, OSError):
        error = CancelledError()
    if error is None:
        return future.result()
    if isinstance(error, CancelledError):
        raise EngineError(
            "the dask scheduler is gone",
            code="scheduler-lost",
            fix="run the same command again, what was finished is kept",
        )
    if isinstance(error, KilledWorker | MemoryError):
        return error
    raise error


def _run(
    function: Callable[[Any], Any],
    software: Mapping[str, str],
    variables: Mapping[str, str],
    task: Any,
) -> Any:
    """Run a task in a worker that is what the client is."""
    here = _software()
    if different := [name for name in software if here[name] != software[name]]:
        name = different[0]
        raise EngineError(
            f"the worker has {name} {here[name]}, expected {software[name]}",
            where=platform.node(),
            code="other-versions",
            fix="install the same packages on every machine: features are kept by their versions",
        )
    os.environ.update(variables)
    return function(task)


@cache
def _software() -> dict[str, str]:
    """Versions of what numbers depend on."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
