"""The command line: thin commands over the library.

Every command ends with a line that says what it did and where. An error that serfeat raises on
purpose is one line on standard error and exit code 2, without a traceback (set ``SERFEAT_DEBUG=1``
to see it); what nobody foresaw is one line as well, and exit code 70, or 74 where it is the disk;
an interrupt is exit code 130 and leaves everything resumable. Heavy packages are loaded
by the command that needs them, so that ``serfeat --help`` is quick.

Contents
--------
`screen`     : what every command shares.
`audio`      : list, corpora, fetch, manifest, check, extract, segment, agree.
`comparison` : compare, report, runs, lint, demo.
`care`       : store verify, diff, compact, merge.
`exchange`   : export, import.
`own`        : train, predict, distil.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from serfeat import __version__
from serfeat.cli import audio, care, comparison, exchange, own  # noqa: F401 - their commands register themselves
from serfeat.cli.screen import app, err, out
from serfeat.errors import SerfeatError, printable

__all__ = ["app", "main", "script"]

INTERRUPTED = 130  # as shells report Ctrl-C
BUG, DISK = 70, 74  # as sysexits.h has them: EX_SOFTWARE, EX_IOERR


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code = int(app(args=arguments, standalone_mode=False) or 0)
    except SerfeatError as error:
        if os.environ.get("SERFEAT_DEBUG") == "1":
            raise
        err.print(f"serfeat: {error}", markup=False)
        return 2
    except typer.Exit as stop:
        code = int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        # click's own usage errors (unknown option, missing argument) know how to show themselves
        if (show := getattr(error, "show", None)) is not None:
            show()
            return 2
        if os.environ.get("SERFEAT_DEBUG") == "1":
            raise
        return _unexpected(error)
    if code == INTERRUPTED:
        err.print("serfeat: interrupted; what is done is kept, run the same command to go on")
    return code


def _unexpected(error: Exception) -> int:
    """Say what nobody foresaw in one line, without a traceback; it goes to a file for the report.

    A full disk and other troubles of the system are not bugs: what is committed is kept.
    """
    if isinstance(error, OSError) and error.errno is not None:
        reason = printable(f"{error.filename or 'the system'}: {error.strerror}")
        line = f"serfeat: {reason}; what is done is kept, run the same command to go on"
        err.print(line, markup=False)
        return DISK
    trace = "".join(traceback.format_exception(error))
    place = Path(tempfile.gettempdir()) / f"serfeat-crash-{secrets.token_hex(4)}.txt"
    try:
        place.write_text(f"serfeat {__version__}\n{trace}", encoding="utf-8")
        where = f"please report it with {place}"
    except OSError:
        where = "please report it; SERFEAT_DEBUG=1 shows where"
    line = printable(f"unexpected {type(error).__name__}: {error}")
    err.print(f"serfeat: {line}; this is a bug, {where}", markup=False)
    return BUG


def script() -> None:
    """Entry point of the installed command."""
    sys.exit(main())


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        out.print(f"serfeat {__version__}")
        raise typer.Exit
