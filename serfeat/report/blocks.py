"""What a section of the page is made of.

A section is a list of blocks; the template knows how each kind looks and gives every table and
figure its id. All text is plain: the template escapes it. The drawings are the one exception.

Contents
--------
`Table` `Picture` `Words` `Bullets` : the blocks.
`Part` `Section`                    : blocks under a heading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from serfeat.types import Floats

__all__ = ["Block", "Bullets", "Part", "Picture", "Section", "Table", "Words"]


@dataclass(frozen=True)
class Table:
    """A table of text.

    Parameters
    ----------
    caption : what it shows, in one sentence.
    head : (k,) column headers.
    rows : (n, k) cells; the first cell of a row is its header.
    text : positions of the columns that are text; all others hold numbers and align right.
    marks : warnings that belong to the caption.
    shade : (n, k) how dark each cell is, 0..1; NaN: not shaded. A shaded table is a picture whose
        numbers can be read, searched and listened to.
    """

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text: frozenset[int] = frozenset({0})
    marks: tuple[str, ...] = ()
    shade: Floats | None = None
    kind: ClassVar[str] = "table"

    def depth(self, row: int, column: int) -> str:
        """CSS class of a cell's shade: "s0" (lightest) to "s10", or none."""
        value = float("nan") if self.shade is None else float(self.shade[row, column])
        return f"s{round(10 * min(max(value, 0.0), 1.0))}" if value == value else ""


@dataclass(frozen=True)
class Picture:
    """A drawing with its caption and the numbers behind it.

    Parameters
    ----------
    svg : the drawing; the only text of the page that is not escaped (`serfeat.report.canvas` makes
        it, and escapes what it puts in).
    caption : what it shows, in one sentence.
    marks : warnings that belong to the caption (they are also in the drawing).
    table : the numbers, or None where they are in the table beside it.
    """

    svg: str
    caption: str
    marks: tuple[str, ...] = ()
    table: Table | None = None
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    code: bool = False
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences, or of (term, meaning) pairs."""

    items: Sequence[str] = ()
    terms: Sequence[tuple[str, str]] = ()
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True)
class Part:
    """Blocks under a heading of their own.

    Parameters
    ----------
    title : the heading.
    blocks : what stands under it.
    dependent : everything in it comes from speaker-dependent folds; the heading says so.
    columns : ``"grid"`` many small blocks (``"grid broad"``: not so small), ``"pair"`` two, ``""``
        one below the other.
    """

    title: str
    blocks: Sequence[Block]
    dependent: bool = False
    columns: str = ""
    kind: ClassVar[str] = "part"


Block = Table | Picture | Words | Bullets | Part


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Parameters
    ----------
    key : its anchor.
    title : its heading.
    blocks : what it holds; a section without blocks is left out of the page.
    folded : the reader opens it: only the verdict and the scores stand open on a phone.
    short : its name in the list of contents, if the title is long.
    """

    key: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    folded: bool = True
    short: str = ""
