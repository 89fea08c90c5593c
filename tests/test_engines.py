"""Mappers: the environment of the workers."""

from __future__ import annotations

import os

import pytest

from serfeat.engines import run


def test_workers_see_what_was_set_since_the_first_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consent given between two runs. Seen to fail with the environment of the server's start."""
    name = "SERFEAT_TEST_OF_ENGINES"
    assert list(run(os.getenv, [name, name], jobs=2)) == [None, None]
    monkeypatch.setenv(name, "1")
    assert list(run(os.getenv, [name, name], jobs=2)) == ["1", "1"]
