"""What every command shares: the terminal, options, progress, tables of a frame, failures.

`out` is for results and `err` for all else. Neither writes an escape code into a file or a pipe
unless ``FORCE_COLOR`` asks for it; ``NO_COLOR`` and ``TERM=dumb`` are obeyed (rich does both).
"""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from serfeat.cli import progress, words
from serfeat.cli.panels import Panels
from serfeat.errors import FeatureError, ManifestError, RecipeError, SerfeatError, printable
from serfeat.listing import new_table

if TYPE_CHECKING:
    from serfeat.extract import Failure
    from serfeat.types import Report

__all__ = [
    "AsJson",
    "Consent",
    "Jobs",
    "Quiet",
    "Root",
    "app",
    "consent",
    "err",
    "nearest_name",
    "out",
    "present",
    "print_failures",
    "print_frame",
    "probe",
    "progress_bars",
    "words_of",
]

app = typer.Typer(
    name="serfeat",
    cls=Panels,
    help="Speech emotion recognition: features you can trust, comparisons you can believe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Into a pipe or file, rich would wrap tables at 80 columns.
PIPE_WIDTH = shutil.get_terminal_size((160, 40)).columns  # COLUMNS where it is set
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

# How codes begin of errors whose place is a file or folder that may not be there.
ABSENT = {"missing", "missing-folder", "missing-encoder", "missing-weights"}
ABSENT |= {"unreadable", "unreadable-run", "not-a-model", "not-a-store"}
LONGEST = 4096  # characters of a name that a disk is asked about

Jobs = Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0 uses all cores.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
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


def probe(output: Path, *read: Path | None, folder: bool = False) -> None:
    """Refuse an output that cannot be written, or is what is read, before the work.

    Folders that were made for this are taken away again.

    Parameters
    ----------
    read : the command's input.
    folder : the output is a folder that files go into.
    """
    from serfeat.files import committed

    for source in read:
        if source is not None and output.exists() and source.exists() and output.samefile(source):
            raise FeatureError(
                "is what the command reads: it would be overwritten",
                where=output,
                code="own-input",
                fix="give -o another name",
            )
    place = output / "probe" if folder else output
    made = [parent for parent in place.parents if not parent.exists()]
    attempt = committed(place)
    with suppress(_Probed), attempt:
        raise _Probed
    for parent in made:
        with suppress(OSError):
            parent.rmdir()


def present(path: Path) -> Path:
    """Return the path; refuse a file or folder that is not there, before anything heavy is loaded.

    Raises
    ------
    ManifestError : code ``missing``.
    """
    if not path.exists() and not path.is_symlink():
        raise ManifestError("no such file or folder", where=path, code="missing")
    return path


def nearest_name(error: SerfeatError) -> str:
    """Say which file or folder may have been meant by one that is not there; "" if none is near."""
    path = Path(error.where)
    if error.code not in ABSENT or not 0 < len(error.where) < LONGEST:
        return ""
    try:
        if path.exists():
            return ""
        there = [p.name for p in path.parent.iterdir() if not p.name.startswith(".")]
    except (OSError, ValueError):  # no folder either; a name that no disk takes
        return ""
    if isinstance(error, RecipeError) and path.name == error.where:
        there += words.recipes("")
    near = difflib.get_close_matches(path.name, there, n=1, cutoff=0.6)
    return f"; did you mean {printable(str(path.with_name(near[0])))}?" if near else ""


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


def progress_bars(*, quiet: bool = False) -> AbstractContextManager[Report]:
    """Show on standard error how far each stage is; see `serfeat.cli.progress`."""
    return progress.progress_bars(err, quiet=quiet)
