"""The command line: thin commands over the library.

Every command ends with a line that says what it did and where. An error that serfeat raises on
purpose is one line on standard error and an exit code of `codes`, without a traceback (``--debug``
or ``SERFEAT_DEBUG=1`` shows it); what nobody foresaw is one line as well, and exit code 70, or 74
where it is the disk. After the first Ctrl-C what is open is finished and kept, the second one stops
at once; both leave everything resumable, with exit code 130. Heavy packages are loaded by the
command that needs them, so that ``serfeat --help`` is quick.

Contents
--------
`screen`     : what every command shares.
`audio`      : list, corpora, fetch, manifest, check, extract, segment, agree.
`comparison` : compare, report, runs, lint, demo.
`care`       : store verify, diff, compact, merge.
`cluster`    : job-script.
`exchange`   : export, import.
`live`       : stream.
`own`        : train, predict, distil.
`lab`        : lab. `live` : stream.
`start`      : doctor, init.
`codes`      : exit codes. `reading`: options of what is taken of recordings.
`panels`, `progress`, `document`, `words` : help, progress, ``--json``, words that shells complete.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from serfeat import __version__
from serfeat.cli import audio, care, cluster, comparison, exchange, lab, live, own, start  # noqa: F401 - their commands register themselves
from serfeat.cli.codes import BUG, DISK, INTERRUPTED, USAGE, exit_code
from serfeat.cli.panels import usage_line
from serfeat.cli.screen import app, err, nearest_name, out
from serfeat.errors import SerfeatError, printable

__all__ = ["app", "main", "script"]

_SECRET = re.compile("TOKEN|SECRET|PASSW|KEY|CREDENTIAL")  # in the name of a variable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = os.environ.get("SERFEAT_DEBUG") == "1"
    end = words.index("--") if "--" in words else len(words)
    if "--debug" in words[:end]:  # wherever it stands: nobody types a long command again
        debug = True
        words = [w for w in words[:end] if w != "--debug"] + words[end:]
    try:
        with _warnings_in_one_line():
            code = int(app(args=words, prog_name="serfeat", standalone_mode=False) or 0)
    except SerfeatError as error:
        if debug:
            raise
        err.print(f"serfeat: {error}{nearest_name(error)}", markup=False)
        return exit_code(error)
    except typer.Exit as stop:
        code = int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        # typer's own usage errors: an unknown command or option, a missing argument
        if hasattr(error, "format_message"):
            if type(error).__name__ == "NoArgsIsHelpError":  # the help is the answer
                out.print(error.format_message(), markup=False)
            else:
                err.print(printable(usage_line(error)), markup=False)
            return USAGE
        if debug:
            raise
        return _unexpected(error)
    if code == INTERRUPTED:
        err.print("serfeat: interrupted; what is done is kept, run the same command to go on")
    return code


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print what the library warns of as all else is printed: without a path, without code."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if category is UserWarning:
                err.print(f"warning: {printable(str(message))}", markup=False)
            else:
                shown(message, category, *rest, **more)

        warnings.showwarning = show
        yield


def _unexpected(error: Exception) -> int:
    """Say what nobody foresaw in one line, without a traceback; it goes to a file for the report.

    A full disk and other troubles of the system are not bugs: what is committed is kept.
    """
    if isinstance(error, OSError) and error.errno is not None:
        reason = printable(f"{error.filename or 'the system'}: {error.strerror}")
        line = f"serfeat: {reason}; what is done is kept, run the same command to go on"
        err.print(line, markup=False)
        return DISK
    trace = _without_secrets("".join(traceback.format_exception(error)))
    place = Path(tempfile.gettempdir()) / f"serfeat-crash-{secrets.token_hex(4)}.txt"
    try:
        place.write_text(f"serfeat {__version__}\n{trace}", encoding="utf-8")
        where = f"please report it with {place}"
    except OSError:
        where = "please report it; --debug shows where"
    line = printable(f"unexpected {type(error).__name__}: {error}")
    err.print(f"serfeat: {line}; this is a bug, {where}", markup=False)
    return BUG


def _without_secrets(text: str) -> str:
    """A text without the values of variables that are named like secrets, and without the home.

    A traceback has lines of code and messages, never the samples that these are about.
    """
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET.search(name.upper()):
            text = text.replace(value, f"<{name}>")
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def script() -> None:
    """Entry point of the installed command."""
    sys.exit(main())


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[  # noqa: ARG001 - `main` takes it out; here it is for the help
        bool, typer.Option("--debug", help="Show where an error comes from; after any command.")
    ] = False,
) -> None:
    if version:
        out.print(f"serfeat {__version__}")
        raise typer.Exit
