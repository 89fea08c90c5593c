"""Markdown pieces that all generated pages share."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["HEAD", "page", "slug", "table"]

HEAD = "<!-- made by docs/generate.py from the tables of the code: edit those, then `make docs` -->"


def table(*rows: tuple[str, ...]) -> str:
    """Markdown table; the first row is the heading."""
    cells = [[c.replace("|", "\\|").replace("\n", " ") for c in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def page(*blocks: str) -> str:
    """A generated page: the note that it is one, then the blocks that are not empty."""
    return "\n\n".join((HEAD, *(b for b in blocks if b)))


def slug(title: str) -> str:
    """The anchor that Python-Markdown gives a heading: what is not ASCII is left out."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
