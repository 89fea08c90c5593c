"""What ``serfeat list`` prints: the tables of the code, for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

__all__ = ["LISTS", "new_table"]


def new_table(*columns: str) -> Table:
    """Make a table without lines, whose first column is never wrapped."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return table


def descriptors() -> Table:
    """Every descriptor with columns, unit, meaning and source."""
    from serfeat.lld import DESCRIPTORS

    table = new_table("descriptor", "columns", "unit", "what", "undefined (NaN)", "source")
    for d in DESCRIPTORS.values():
        shown = d.columns if len(d.columns) <= 6 else (d.columns[0], "...", d.columns[-1])
        table.add_row(
            d.name, " ".join(shown), "; ".join(dict.fromkeys(d.units)), d.summary, d.undefined,
            d.source,
        )  # fmt: skip
    return table


def features() -> Table:
    """Every feature set with its widths."""
    from serfeat.feature_sets import FEATURE_SETS

    table = new_table("features", "per clip", "per frame", "rate", "licence", "what")
    for s in FEATURE_SETS.values():
        clip, frame = str(s.width("functionals")), str(s.width("lld"))
        table.add_row(s.name, clip, frame, f"{s.sr} Hz", s.licence, s.summary)
    return table


def functionals() -> Table:
    """Every functional."""
    from serfeat.functionals import FUNCTIONALS

    table = new_table("functional", "unit", "what")
    for f in FUNCTIONALS.values():
        table.add_row(f.name, f.unit.replace("{u}", "column's"), f.summary)
    return table


def models() -> Table:
    """Every model."""
    from serfeat.models import MODELS

    table = new_table("model", "kind", "trained on", "what", "source")
    for m in MODELS.values():
        table.add_row(m.name, m.kind, m.level, m.summary, m.source)
    return table


def protocols() -> Table:
    """Every protocol in words."""
    from serfeat.splits import PROTOCOLS

    table = new_table("protocol", "speakers", "parameters", "in words")
    for p in PROTOCOLS.values():
        speakers = {True: "held out", False: "NOT held out", None: "found on the rows"}[
            p.speaker_independent
        ]
        defaults = ", ".join(f"{k} = {v}" for k, v in p.params.items())
        words = p.words.replace("{folds} ", "").replace("{", "").replace("}", "")
        table.add_row(p.name, speakers, defaults, words)
    return table


def corpora() -> Table:
    """Every corpus, its licence and how to get it."""
    from serfeat.corpora import CORPORA

    table = new_table("corpus", "language", "speakers", "clips", "licence", "how to get it")
    for corpus in CORPORA.values():
        card = corpus.card
        if card is None:
            table.add_row(corpus.name, "", "", "", "", "your own folder: speaker/emotion/*.wav")
            continue
        how = f"serfeat fetch {corpus.name}" if card.downloads else card.steps
        table.add_row(
            corpus.name, card.language, str(card.n_speakers or ""), str(card.n_utterances or ""),
            card.licence, how,
        )  # fmt: skip
    return table


def formats() -> Table:
    """Every format of other tools that is written or read."""
    from serfeat.exports import FORMATS
    from serfeat.imports import MANIFEST_FORMATS, TABLE_FORMATS

    table = new_table("format", "direction", "levels", "what")
    for name, f in FORMATS.items():
        table.add_row(name, "export", ", ".join(f.levels), f.words)
    for name in (*TABLE_FORMATS, *MANIFEST_FORMATS):
        what = "features" if name in TABLE_FORMATS else "manifest"
        table.add_row(name, "import", what, "")
    return table


LISTS: dict[str, Callable[[], Table]] = {
    "descriptors": descriptors,
    "features": features,
    "functionals": functionals,
    "models": models,
    "protocols": protocols,
    "corpora": corpora,
    "formats": formats,
}
