"""Progress of long commands, on standard error: how much is done and how long the rest takes.

On a terminal, one bar per stage; one that is narrower than `NARROW` columns has no room for the bar
itself. Elsewhere (a file, a pipe, ``TERM=dumb``) a line now and then, without any escape code:
``FORCE_COLOR`` colours words, but a bar that moves is of no use in a file. ``--quiet`` is silence.

Contents
--------
`progress_bars` : a context whose value takes (stage, done, total).
`time_left`     : seconds in words.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from serfeat.types import Report

__all__ = ["progress_bars", "time_left"]

EVERY = 10.0  # s between two lines of a stage where there is no terminal
NARROW = 60  # columns


def time_left(seconds: float) -> str:
    """Return a duration as people read it.

    >>> time_left(7.2), time_left(150), time_left(7_300)
    ('8 s', '3 min', '2 h 2 min')
    """
    whole = int(-(-seconds // 1))
    if whole < 90:
        return f"{whole} s"
    minutes = -(-whole // 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def moves(console: Console) -> bool:
    """Whether what is written can be overwritten: a terminal that is not a dumb one."""
    return console.file.isatty() and os.environ.get("TERM", "").lower() not in {"dumb", "unknown"}


@contextmanager
def progress_bars(console: Console, *, quiet: bool = False) -> Iterator[Report]:
    """Show how far each stage is, and the time that it still takes.

    Parameters
    ----------
    console : on standard error.
    quiet : show nothing.
    """
    if quiet:
        yield lambda _stage, _done, _total: None
    elif moves(console):
        with _bars(console) as report:
            yield report
    else:
        yield _lines(console)


def _lines(console: Console, clock: Callable[[], float] = time.monotonic) -> Report:
    """Write a line per stage when it is done, and one every `EVERY` seconds until then."""
    began: dict[str, tuple[float, int]] = {}  # stage -> when it was first heard of, what was done
    said: dict[str, float] = {}
    finished: set[str] = set()

    def line(stage: str, done: int, total: int) -> None:
        now = clock()
        start, first = began.setdefault(stage, (now, done))
        if done >= total:
            if stage not in finished:
                finished.add(stage)
                console.print(f"{stage}: {done} of {total}", markup=False)
        elif now - said.setdefault(stage, start) >= EVERY:
            said[stage] = now
            rate = (done - first) / (now - start)
            left = f", about {time_left((total - done) / rate)} left" if rate > 0 else ""
            console.print(f"{stage}: {done} of {total}{left}", markup=False)

    return line


@contextmanager
def _bars(console: Console) -> Iterator[Report]:
    from rich.progress import Progress
    from rich.text import Text

    with Progress(*_columns(console.width), console=console) as bars:
        known: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            group = stage.split(":")[0]
            words = Text(stage).markup  # names of files and entries are no markup
            if group not in known:
                known[group] = bars.add_task(words, total=total)
            bars.update(known[group], completed=done, total=total, description=words)

        yield update


def _columns(width: int) -> list[Any]:
    """Return what a bar shows, for a terminal of so many columns."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    if width >= NARROW:
        wide = Column(no_wrap=True, overflow="ellipsis", max_width=width // 2)
        return [
            TextColumn("{task.description}", table_column=wide), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(),
        ]  # fmt: skip
    words = Column(no_wrap=True, overflow="ellipsis", max_width=max(8, width - 14))
    return [
        TextColumn("{task.description}", table_column=words),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
    ]
