"""The pages api/*.md: every public name with its signature and docstring.

They are made when the site is built (docs/site_hooks.py) and not kept, so that they are never
older than the code.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import serfeat
from made.docstrings import body, escaped, first

__all__ = ["GROUPS", "anchors", "api_pages", "public_modules"]

# Title -> the modules of that page, in the data's order; "a" stands for a and all that is below it.
GROUPS = {
    "Recordings and corpora": (
        *("audio", "manifest", "manifest_csv", "sidecar", "cells", "labels", "votes", "corpora"),
        *("joined", "demo", "segments", "clips"),
    ),
    "Analysis of a signal": (
        *("shorttime", "spectrum", "signal", "vad", "denoise", "augment", "conditions"),
        *("reach", "streaming"),
    ),
    "Descriptors and feature sets": (
        *("lld", "families", "functionals", "serfeat88", "features", "feature_sets"),
        *("feature_tables", "backends", "encoders", "agree"),
    ),
    "Extraction, store and exports": (
        *("extract", "extraction", "engines", "shards", "lanes", "store", "table", "sequences"),
        *("exports", "imports", "files"),
    ),
    "Protocols and folds": ("splits", "protocols", "packs"),
    "Heads": ("heads", "allocator", "precision"),
    "Models and training": (
        *("models", "transform", "normalisation", "tuning", "deploy", "doubt"),
    ),
    "Comparisons and reports": (
        *("recipe", "plan", "compare", "runs", "ranking", "report", "explain", "lint", "audit"),
        "listing",
    ),
    "Scores and statistics": ("metrics", "stats", "statistics", "concordance"),
    "The lab": ("lab", "labs", "listening"),
    "Foundations": ("errors", "types", "jit", "jit_cache", "doctor", "start", "clues"),
}


def public_modules() -> list[str]:
    """Dotted names of the modules that say what they offer, but for the command line."""
    package = Path(serfeat.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts and not any(p.startswith("_") for p in parts) and parts[0] != "cli":
            found.append(".".join(("serfeat", *parts)))
    return found


def _group_of(name: str) -> str:
    top = name.split(".")[1]
    return next((title for title, tops in GROUPS.items() if top in tops), "Foundations")


def _place(name: str) -> tuple[int, str]:
    """Order within a page: as `GROUPS` has it, packages before what is in them."""
    tops = [top for group in GROUPS.values() for top in group]
    top = name.split(".")[1]
    return (tops.index(top) if top in tops else len(tops)), name


def _file(title: str) -> str:
    return "api/" + title.lower().replace(",", "").replace(" ", "_") + ".md"


def anchors() -> dict[str, str]:
    """Source file ("serfeat/lld/f0.py") -> the page and anchor that describe it."""
    found = {}
    for name in public_modules():
        module = name.replace(".", "/")
        where = f"{_file(_group_of(name))}#{name}"
        found[f"{module}.py"] = found[f"{module}/__init__.py"] = found[module] = where
    return found


def _signature(name: str, value: Any) -> str:
    try:
        shown = str(inspect.signature(value))
    except (TypeError, ValueError):
        return name
    shown = shown.replace("'", "").removesuffix(" -> None") if inspect.isclass(value) else shown
    text = f"{name}{shown.replace(chr(39), '')}"
    if len(text) <= 88:
        return text
    return _broken(text)


def _broken(text: str) -> str:
    """One parameter a line, where a signature is long; brackets inside are left whole."""
    start = text.index("(") + 1
    pieces: list[str] = []
    depth, current = 1, ""
    for i, letter in enumerate(text[start:], start):
        depth += letter in "([{"
        depth -= letter in ")]}"
        if depth == 0:
            return text[:start] + "\n    " + ",\n    ".join([*pieces, current]) + ",\n" + text[i:]
        if letter == "," and depth == 1:
            pieces.append(current)
            current = ""
        elif current or letter != " ":
            current += letter
    return text


def _entry(module: str, name: str, value: Any) -> str:
    heading = f"### `{name}` {{: #{module.removeprefix('serfeat.')}.{name} }}"
    if not callable(value):
        kind = type(value).__name__
        size = f" of {len(value)}" if isinstance(value, dict | tuple | list | frozenset) else ""
        keys = ""
        if isinstance(value, dict) and value and all(isinstance(k, str) for k in value):
            keys = ": " + ", ".join(f"`{k}`" for k in value)
        return f"{heading}\n\n{kind}{size}{keys}"
    doc = value.__doc__ if inspect.isclass(value) else inspect.getdoc(value)
    generated = inspect.isclass(value) and (doc or "").startswith(f"{name}(")
    parts = [heading, "```text\n" + _signature(name, value) + "\n```"]
    if doc and not generated:
        parts += [first(doc), body(doc)]
    if inspect.isclass(value):
        parts += _methods(value)
    return "\n\n".join(p for p in parts if p)


def _methods(kind: type) -> list[str]:
    """Public methods and properties that have words of their own."""
    found = []
    for name, value in vars(kind).items():
        inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        doc = inspect.getdoc(inner) if hasattr(inner, "__doc__") else None
        if name.startswith("_") or not doc or isinstance(inner, str | int | float | tuple):
            continue
        shown = f"{name}{_arguments(inner)}" if inspect.isfunction(inner) else name
        found.append(f"- `{shown}`: {first(doc)}")
    return ["\n".join(found)] if found else []


def _arguments(function: Callable[..., Any]) -> str:
    given = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return "(" + ", ".join(p.name for p in given if p.name != "cls") + ")"


def _module(name: str) -> str:
    module = importlib.import_module(name)
    here = [n for n in getattr(module, "__all__", ()) if _home(module, n) == name]
    parts = [f"## `{name}` {{: #{name} }}", first(module.__doc__), body(module.__doc__)]
    parts += [_entry(name, n, getattr(module, n)) for n in here]
    return "\n\n".join(p for p in parts if p)


def _home(module: Any, name: str) -> str:
    """The module that a name is of; what a package hands on is described where it is made."""
    value = getattr(module, name)
    home = str(getattr(value, "__module__", "") or module.__name__)
    return home if home in public_modules() and callable(value) else str(module.__name__)


def api_pages() -> dict[str, str]:
    """Path of each page -> its Markdown."""
    held: dict[str, list[str]] = {title: [] for title in GROUPS}
    for name in sorted(public_modules(), key=_place):
        held[_group_of(name)].append(name)
    pages = {}
    for title, names in held.items():
        if names:
            contents = ", ".join(f"[`{n}`](#{n})" for n in names if n.count(".") == 1)
            pages[_file(title)] = "\n\n".join(
                (f"# {escaped(title)}", contents, *(_module(n) for n in names))
            )
    return pages
