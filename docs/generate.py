"""Write the documents that are made from serfeat's tables: ``make docs``.

`tests/test_docs.py` fails when a table and its document differ.
"""

from __future__ import annotations

from pathlib import Path

from serfeat.corpora import CORPORA
from serfeat.features import FEATURE_SETS
from serfeat.functionals import FUNCTIONALS
from serfeat.lld import DESCRIPTORS
from serfeat.models import MODELS
from serfeat.splits import PROTOCOLS

HEAD = "<!-- made by docs/generate.py from the tables of the code: edit those, then `make docs` -->"
FOLDER = Path(__file__).resolve().parent


def table(*rows: tuple[str, ...]) -> str:
    """Markdown table; the first row is the heading."""
    cells = [[c.replace("|", "\\|").replace("\n", " ") for c in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def columns(names: tuple[str, ...]) -> str:
    """Column names, the middle ones left out where they are many."""
    shown = names if len(names) <= 6 else (*names[:2], "...", names[-1])
    return " ".join(f"`{n}`" if n != "..." else n for n in shown)


def descriptors() -> str:
    """docs/descriptors.md."""
    rows = [("descriptor", "columns", "unit", "what it measures", "NaN", "source")]
    for d in DESCRIPTORS.values():
        units = "; ".join(dict.fromkeys(d.units))
        rows.append((f"`{d.name}`", columns(d.columns), units, d.summary, d.undefined, d.source))
    functionals = [("functional", "unit", "what it is")]
    functionals += [
        (f"`{f.name}`", f.unit.replace("{u}", "the column's"), f.summary)
        for f in FUNCTIONALS.values()
    ]
    return "\n\n".join(
        (
            HEAD,
            "# Descriptors",
            "Frame i is centred on sample i * hop (10 ms); a clip of n samples has 1 + n // hop "
            "frames. What is undefined is NaN, never 0. Values are computed in float64 and stored "
            "as float32. `jitter` and `shimmer` have one value per clip, the others one per frame.",
            table(*rows),
            "# Functionals",
            "Named `<column>__<functional>`. Undefined frames do not take part.",
            table(*functionals),
        )
    )


def tables() -> str:
    """docs/tables.md: feature sets, models, protocols, corpora."""
    sets = [("set", "columns per clip", "columns per frame", "rate", "licence", "what")]
    for s in FEATURE_SETS.values():
        clip, frame = s.width("functionals"), s.width("lld")
        sets.append((f"`{s.name}`", str(clip), str(frame), f"{s.sr} Hz", s.licence, s.summary))
    models = [("model", "kind", "trained on", "what", "source")]
    models += [(f"`{m.name}`", m.kind, m.level, m.summary, m.source) for m in MODELS.values()]
    protocols = [("protocol", "test speakers", "in words")]
    for p in PROTOCOLS.values():
        held = "held out" if p.speaker_independent else "**heard in training**"
        words = p.words.replace("{folds} ", "").replace("{n}", "n").replace("{column}", "*column*")
        protocols.append((f"`{p.name}`", held, words))
    corpora = [("corpus", "language", "speakers", "clips", "licence")]
    for c in CORPORA.values():
        if (card := c.card) is not None:
            counts = str(card.n_speakers or ""), str(card.n_utterances or "")
            corpora.append((f"`{c.name}` {card.title}", card.language, *counts, card.licence))
    return "\n\n".join(
        (
            HEAD,
            "# Feature sets",
            table(*sets),
            "# Models",
            table(*models),
            "# Protocols",
            table(*protocols),
            "# Corpora",
            "`serfeat fetch NAME` shows the licence and downloads, or says how to get the corpus.",
            table(*corpora),
        )
    )


DOCUMENTS = {"descriptors.md": descriptors, "tables.md": tables}


def main() -> None:
    """Write every document."""
    for name, make in DOCUMENTS.items():
        (FOLDER / name).write_text(make() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
