"""docs/cli.md: every command of the command line, from the Typer app itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from made.markdown import page, table

__all__ = ["cli", "commands"]

INTRODUCTION = """\
Every command ends with a line that says what it did and where. What goes wrong is one line that
says where, what was found, and what to do. [Exit codes](promises.md#exit-codes) tell scripts
apart what was refused, what failed and what was interrupted. `SERFEAT_CORPORA` is the folder of
published corpora, `SERFEAT_CACHE` that of stored features, `SERFEAT_DEBUG=1` shows tracebacks."""


def commands(group: Any = None, words: tuple[str, ...] = ("serfeat",)) -> Iterator[tuple[str, Any]]:
    """Every command with all its words: ``("serfeat store diff", command)``, ..."""
    if group is None:
        from typer.main import get_command

        from serfeat.cli import app

        group = get_command(app)
    for name, command in group.commands.items():
        if getattr(command, "hidden", False):
            continue
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def _default(param: Any) -> str:
    """The default as one would type it; empty where leaving the option out is the default."""
    value = param.default
    if callable(value) or value is None or value in (False, "", (), []):
        return ""
    if value is True:
        return f"`{param.opts[0]}`"
    return f"`{value}`"


def _value(param: Any) -> str:
    """What an option takes, in one word; typer 0.29 keeps it elsewhere than its forerunners."""
    if getattr(param, "is_flag", False):
        return ""
    if (held := getattr(param, "type_descriptor", None)) is None:
        return f" {param.type.name.upper()}"
    shown = str(held.annotation)
    words = {"Path": "PATH", "int": "INTEGER", "float": "FLOAT"}
    return next((f" {w}" for kind, w in words.items() if kind in shown), " TEXT")


def _row(param: Any) -> tuple[str, str, str]:
    several = " ..." if param.nargs == -1 or getattr(param, "multiple", False) else ""
    if param.param_type_name == "argument":
        word = (param.metavar or param.name).upper().strip("[]").removesuffix("...")
        shown = f"`{word}`{several}"
    else:
        names = [*param.opts, *param.secondary_opts]
        shown = ", ".join(f"`{n}{_value(param)}`" for n in names) + several
    need = "required" if param.required else _default(param)
    return shown, need, (getattr(param, "help", "") or "")


def _section(words: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name != "argument" and p.name != "help"]
    shown = [_row(p)[0].replace("`", "") for p in arguments]
    needed = [p.opts[0] + _value(p) for p in options if p.required]
    usage = " ".join([words, *("[OPTIONS]",) * bool(options), *needed, *shown])
    rows = [_row(p) for p in (*arguments, *options)]
    return "\n\n".join(
        part
        for part in (
            f"## `{words}`",
            " ".join((command.help or "").split()),
            f"    {usage}",
            table(("", "default", "what"), *rows) if rows else "",
        )
        if part
    )


def cli() -> str:
    """docs/cli.md."""
    return page("# Command line", INTRODUCTION, *(_section(w, c) for w, c in commands()))
