"""Mappers: the environment of the workers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from serfeat.engines import run
from serfeat.errors import SerfeatError


def test_workers_see_what_was_set_since_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consent given between two runs. Seen to fail with the environment of the server's start."""
    name = "SERFEAT_TEST_OF_ENGINES"
    assert list(run(os.getenv, [name, name], jobs=2)) == [None, None]
    monkeypatch.setenv(name, "1")
    assert list(run(os.getenv, [name, name], jobs=2)) == ["1", "1"]


@pytest.mark.parametrize("broken", ["submit", "result"])
def test_a_pool_that_breaks_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """What was done is not done again; a pool that always breaks is told, not tried for ever.

    pebble breaks one where a worker dies before it said which task it had taken.
    """
    from concurrent.futures.process import BrokenProcessPool

    import pebble

    schedule, calls = pebble.ProcessPool.schedule, []

    def breaks(pool: pebble.ProcessPool, function, args, timeout):
        calls.append(args[0])
        bad = len(calls) in when
        if bad and broken == "submit":
            raise RuntimeError("Unexpected error within the Pool")
        future = schedule(pool, function, args=args, timeout=timeout)
        if bad:
            future.result()
            monkeypatch.setattr(future, "result", lambda: (_ for _ in ()).throw(BrokenProcessPool))
        return future

    monkeypatch.setattr(pebble.ProcessPool, "schedule", breaks)
    tasks = [-i for i in range(20)]
    when: object = {11, 17}
    assert list(run(abs, tasks, jobs=1, isolated=True)) == list(range(20))
    assert len(calls) < 60
    calls.clear()
    when = range(1, 1000)
    with pytest.raises(SerfeatError, match="kept alive"):
        list(run(abs, tasks, jobs=1, isolated=True))
    assert len(calls) < 30


def test_what_workers_share_is_begun_ahead() -> None:
    """Seen to fail with a fork server that nobody told what to import."""
    script = """
import multiprocessing, os, sys
from serfeat.engines import ahead
ahead("serfeat.votes")
if "forkserver" in multiprocessing.get_all_start_methods():
    look = "import os, sys; has = 'serfeat.votes' in sys.modules; "
    look += "os._exit(2 * has + (os.environ['OMP_NUM_THREADS'] == '1'))"
    child = multiprocessing.get_context("forkserver").Process(target=exec, args=(look,))
    child.start(); child.join()
    assert "serfeat.votes" not in sys.modules
    assert child.exitcode == 3, child.exitcode
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
