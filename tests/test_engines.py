"""Mappers: the environment of the workers."""

from __future__ import annotations

import os

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
