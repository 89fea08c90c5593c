"""The command line: thin commands over the library.

Every command ends with a line that says what it did and where. An error that serfeat raises on
purpose is one line on standard error and exit code 2, without a traceback (set ``SERFEAT_DEBUG=1``
to see it); an interrupt is exit code 130 and leaves everything resumable. Heavy packages are loaded
by the command that needs them, so that ``serfeat --help`` is quick.

Contents
--------
`screen`     : what every command shares.
`audio`      : list, corpora, fetch, manifest, check, extract, segment, agree.
`comparison` : compare, report, runs, lint, demo.
`own`        : train, predict, distil.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from serfeat import __version__
from serfeat.cli import audio, comparison, own  # noqa: F401 - their commands register themselves
from serfeat.cli.screen import app, err, out
from serfeat.errors import SerfeatError

__all__ = ["app", "main", "script"]

INTERRUPTED = 130  # as shells report Ctrl-C


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
        if (show := getattr(error, "show", None)) is None:
            raise
        show()
        return 2
    if code == INTERRUPTED:
        err.print("serfeat: interrupted; what is done is kept, run the same command to go on")
    return code


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
