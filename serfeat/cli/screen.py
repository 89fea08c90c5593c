"""What every command shares: the terminal, options, progress, tables of a frame, failures."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from serfeat.listing import new_table

if TYPE_CHECKING:
    from serfeat.extract import Failure

__all__ = [
    "Consent",
    "Jobs",
    "Root",
    "app",
    "consent",
    "err",
    "out",
    "print_failures",
    "print_frame",
    "probe",
    "progress_bars",
    "words_of",
]

app = typer.Typer(
    name="serfeat",
    help="Speech emotion recognition: features you can trust, comparisons you can believe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Into a pipe or file, rich would wrap tables at 80 columns.
PIPE_WIDTH = shutil.get_terminal_size((160, 40)).columns  # COLUMNS where it is set
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Processes; 0 uses all cores.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the corpus's audio.")]
Consent = Annotated[
    bool,
    typer.Option(
        "--accept-opensmile-licence", help="openSMILE is for research and private use only."
    ),
]


def print_frame(title: str, frame: Any) -> None:
    """Print a table with its index as the first column."""
    table = new_table(str(frame.index.name or ""), *map(str, frame.columns))
    for name, row in frame.iterrows():
        table.add_row(str(name), *map(str, row))
    out.print(title)
    out.print(table)


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a comma-separated list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def consent(accepted: bool) -> None:
    """Note that openSMILE's licence was accepted, if it was."""
    if accepted:
        from serfeat.lld.opensmile import accept_licence

        accept_licence()


def probe(output: Path) -> None:
    """Refuse an output that cannot be written, before the work and not after it."""
    from serfeat.files import committed

    attempt = committed(output)
    with suppress(_Probed), attempt:
        raise _Probed


class _Probed(Exception):  # noqa: N818 - no error: it makes `committed` take its file away again
    pass


def print_failures(failures: Sequence[Failure], table: Path | None = None) -> None:
    """Print the first failures, and where all of them are."""
    for failure in failures[:5]:
        err.print(f"failed ({failure.reason}): {failure.message}", markup=False)
    if len(failures) > 5:
        err.print(f"... and {len(failures) - 5} more")
    if table is not None:
        err.print(f"all failures -> {table}", markup=False)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar per stage on a terminal, one line per stage elsewhere."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if not err.is_terminal:
        finished: set[str] = set()

        def line(stage: str, done: int, total: int) -> None:
            if done >= total and stage not in finished:
                finished.add(stage)
                err.print(f"{stage}: {done} of {total}", markup=False)

        yield line
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), console=err,
    ) as bars:  # fmt: skip
        known: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            group = stage.split(":")[0]
            if group not in known:
                known[group] = bars.add_task(stage, total=total)
            bars.update(known[group], completed=done, total=total, description=stage)

        yield update
