"""Docstrings of this house as Markdown.

A paragraph becomes a paragraph; sections of numpydoc become lists; what is laid out in columns
(equations, tables of names) stays as it is, in a block of code.
"""

from __future__ import annotations

import inspect
import re

__all__ = ["body", "escaped", "first"]

_UNDERLINED = re.compile(r"^(?P<title>[^\n]+)\n-{3,}$")
_LISTED = re.compile(r"^(`[^`]+`(?:,? `[^`]+`)*|[\w*, .`]+?)\s+: ")


def first(text: str | None) -> str:
    """The first paragraph, on one line."""
    return escaped(" ".join(inspect.cleandoc(text or "").split("\n\n")[0].split()))


def body(text: str | None) -> str:
    """All that follows the first paragraph."""
    clean = inspect.cleandoc(text or "")
    # a heading is a paragraph of its own, whatever stands around it
    clean = re.sub(r"(?m)^([^\n]+)\n(-{3,})$", r"\n\1\n\2\n", clean)
    blocks = [b.strip("\n") for b in re.split(r"\n\s*\n", clean)][1:]
    made, section = [], ""
    for block in (b for b in blocks if b.strip()):
        if heading := _UNDERLINED.match(block):
            section = heading["title"]
            made.append(f"**{section}**")
        else:
            made.append(_block(block, section))
    return _joined(made)


def _block(block: str, section: str) -> str:
    lines = block.splitlines()
    if block.startswith(">>> "):
        return "```text\n" + block + "\n```"
    if all(line.startswith((" ", "* ", "- ")) for line in lines) and lines[0][:2] in ("* ", "- "):
        return "\n".join(escaped(re.sub(r"^\* ", "- ", line)) for line in lines)
    listed = section in ("Parameters", "Returns", "Raises", "Contents", "Sources", "Yields")
    if listed and _LISTED.match(lines[0]):
        return _list(lines)
    if any(line.startswith(" ") or re.search(r"\S {2,}\S", line) for line in lines):
        return "```text\n" + block.replace("```", "'''") + "\n```"
    return escaped(block.removesuffix("::") + (":" if block.endswith("::") else ""))


def _list(lines: list[str]) -> str:
    """``name : words`` with indented continuations, as a list."""
    items: list[str] = []
    for line in lines:
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        elif " : " in line:
            name, _, words = line.partition(" : ")
            name = name.strip() if "`" in name else f"`{name.strip()}`"
            items.append(f"{name}: {words.strip()}")
        else:
            items.append(line.strip())
    return "\n".join(f"- {escaped(item)}" for item in items)


def escaped(text: str) -> str:
    """Text in which Markdown sees code, and neither HTML nor emphasis."""
    parts = re.split(r"(``[^`]+``|`[^`\n]*`)", text)
    for i in range(0, len(parts), 2):
        parts[i] = parts[i].replace("&", "&amp;").replace("<", "&lt;")
        parts[i] = re.sub(r"(?<=\S)\*(?=\S)|(?<!\w)_(?=\w)|\[(?=[^\]]*\]\()", r"\\\g<0>", parts[i])
    return "".join(parts)


def _joined(blocks: list[str]) -> str:
    """Neighbouring blocks of code become one."""
    text = "\n\n".join(blocks)
    return re.sub(r"\n```\n\n```text\n", "\n\n", text)
