"""What ``serfeat list`` prints: the tables of the code, for a terminal and for a program.

A list is a function that returns its rows, each a mapping of heading -> value; the first heading is
what a row is called. A terminal gets the same words, shortened where there are many.

Contents
--------
`LISTS`     : name -> its rows.
`shown`     : rows as a table for a terminal.
`new_table` : how tables look there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

__all__ = ["LISTS", "Rows", "new_table", "shown"]

Rows = list[dict[str, Any]]
MOST = 6  # words of a cell on a terminal; of more, the first and the last


def new_table(*columns: str) -> Table:
    """Make a table without lines, whose first column is never wrapped."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return table


def shown(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make a terminal's table of rows that all have the same headings."""
    table = new_table(*(name.replace("_", " ") for name in (rows[0] if rows else ())))
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {v}" for k, v in value.items())
    if isinstance(value, list | tuple):
        words = [str(v) for v in value]
        return " ".join(words if len(words) <= MOST else (words[0], "...", words[-1]))
    return str(value)


def descriptors() -> Rows:
    """Every descriptor with columns, unit, meaning and source."""
    from serfeat.lld import DESCRIPTORS

    return [
        {
            "descriptor": d.name,
            "columns": list(d.columns),
            "unit": "; ".join(dict.fromkeys(d.units)),
            "what": d.summary,
            "undefined": d.undefined,
            "source": d.source,
        }
        for d in DESCRIPTORS.values()
    ]


def features() -> Rows:
    """Every feature set with its widths, and the rate of the samples that it is computed on."""
    from serfeat.feature_sets import FEATURE_SETS

    return [
        {
            "features": s.name,
            "per_clip": s.width("functionals"),
            "per_frame": s.width("lld"),
            "rate_hz": s.sr,
            "licence": s.licence,
            "what": s.summary,
        }
        for s in FEATURE_SETS.values()
    ]


def functionals() -> Rows:
    """Every functional."""
    from serfeat.functionals import FUNCTIONALS

    return [
        {"functional": f.name, "unit": f.unit.replace("{u}", "column's"), "what": f.summary}
        for f in FUNCTIONALS.values()
    ]


def models() -> Rows:
    """Every model."""
    from serfeat.models import MODELS

    return [
        {
            "model": m.name,
            "kind": m.kind,
            "trained_on": m.level,
            "what": m.summary,
            "source": m.source,
        }
        for m in MODELS.values()
    ]


def protocols() -> Rows:
    """Every protocol in words."""
    from serfeat.splits import PROTOCOLS

    speakers = {True: "held out", False: "NOT held out", None: "found on the rows"}
    return [
        {
            "protocol": p.name,
            "speakers": speakers[p.speaker_independent],
            "parameters": dict(p.params),
            "in_words": p.words.replace("{folds} ", "").replace("{", "").replace("}", ""),
        }
        for p in PROTOCOLS.values()
    ]


def corpora() -> Rows:
    """Every corpus, its licence and how to get it; what is not known is None."""
    from serfeat.corpora import CORPORA

    rows: Rows = []
    for corpus in CORPORA.values():
        card = corpus.card
        how = "your own folder: speaker/emotion/*.wav"
        if card is not None:
            how = f"serfeat fetch {corpus.name}" if card.downloads else card.steps
        rows.append(
            {
                "corpus": corpus.name,
                "language": card.language if card else "",
                "speakers": (card.n_speakers if card else 0) or None,
                "clips": (card.n_utterances if card else 0) or None,
                "licence": card.licence if card else "",
                "how_to_get_it": how,
            }
        )
    return rows


def formats() -> Rows:
    """Every format of other tools that is written or read."""
    from serfeat.exports import FORMATS
    from serfeat.imports import MANIFEST_FORMATS, TABLE_FORMATS

    written = [
        {"format": name, "direction": "export", "levels": ", ".join(f.levels), "what": f.words}
        for name, f in FORMATS.items()
    ]
    read = [
        {
            "format": name,
            "direction": "import",
            "levels": "features" if name in TABLE_FORMATS else "manifest",
            "what": "",
        }
        for name in (*TABLE_FORMATS, *MANIFEST_FORMATS)
    ]
    return [*written, *read]


LISTS: dict[str, Callable[[], Rows]] = {
    "descriptors": descriptors,
    "features": features,
    "functionals": functionals,
    "models": models,
    "protocols": protocols,
    "corpora": corpora,
    "formats": formats,
}
