"""How ``serfeat --help`` is laid out: commands under what people want to do.

A command that no heading names (a new one) stands under the last. The first sentence of a command's
help is never cut, and what stands here loads nothing.

Contents
--------
`PANELS`     : heading -> names of commands, in the order in which people meet them.
`Panels`     : the group of commands that prints them so.
`usage_line` : a usage error as one line, with the nearest word.
"""

from __future__ import annotations

import difflib
from typing import Any

from typer.core import TyperGroup

__all__ = ["PANELS", "Panels", "usage_line"]

PANELS: dict[str, tuple[str, ...]] = {
    "First steps": ("demo", "init", "doctor", "lab"),
    "Recordings and corpora": ("corpora", "fetch", "manifest", "check", "segment"),
    "Features": ("extract", "agree", "export", "import", "store", "job-script"),
    "Comparisons": ("compare", "report", "runs", "lint"),
    "Your own audio": ("train", "predict", "stream", "distil"),
    "What there is": ("list",),
}


class Panels(TyperGroup):
    """A group whose help lists the commands under the headings of `PANELS`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, each with the whole first sentence of its help."""
        left = [n for n in self.list_commands(ctx) if not self.commands[n].hidden]
        last = list(PANELS)[-1]
        for heading, names in PANELS.items():
            rest = [n for n in left if not any(n in named for named in PANELS.values())]
            shown = [n for n in names if n in left] + (rest if heading == last else [])
            if shown:
                with formatter.section(heading):
                    formatter.write_dl([(n, _first_sentence(self.commands[n])) for n in shown])


def _first_sentence(command: Any) -> str:
    text = " ".join((command.help or "").split("\f")[0].split())
    sentence = text.partition(". ")[0]
    return sentence if sentence.endswith(".") else f"{sentence}."


def usage_line(error: Any) -> str:
    """Say in one line what is wrong with a command as it was typed.

    Parameters
    ----------
    error : a usage error of typer's: an unknown command or option, a missing argument, a value of
        another type.
    """
    context = getattr(error, "ctx", None)
    place = context.command_path if context is not None else "serfeat"
    words = " ".join(error.format_message().split()).rstrip(".")
    option = getattr(error, "option_name", None)
    if option is not None and context is not None:
        words = f"no such option {option}{_nearest_option(option, context)}"
    elif getattr(error, "possibilities", None) is not None:
        words = words.partition(" (Possible")[0]
    if getattr(error, "param", None) is not None and "Missing" in words:
        words += f" ({' '.join((error.param.help or '').split()).rstrip('.')})"
    words = words.replace(". Did you mean", "; did you mean")
    see = f" See `{place} --help`" if words.endswith("?") else f"; see `{place} --help`"
    return f"{place}: {words[0].lower()}{words[1:]}{see}"


def _nearest_option(option: str, context: Any) -> str:
    """Return "; did you mean --x?" for the option that is nearest, of those that there are."""
    known = [o for p in context.command.get_params(context) for o in p.opts if o.startswith("--")]
    near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(known))}"
