"""Write the documents that are made from serfeat's tables: ``make docs``.

`tests/test_docs.py` and tests/docs fail when a table and its document differ, or a picture is
missing. The pictures of descriptors are drawn by docs/pictures.py; ``python docs/generate.py
--text`` leaves them as they are. What is longer than a table is written by the modules of made/.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))  # for made/, whoever runs this file

from made.commands import cli  # noqa: E402
from made.divisions import PICTURES as DIVISIONS  # noqa: E402
from made.divisions import draw_divisions, protocols  # noqa: E402
from made.markdown import HEAD, table  # noqa: E402
from made.networks import heads  # noqa: E402
from made.schema import recipes  # noqa: E402
from made.sets import feature_sets, formats  # noqa: E402
from made.words import glossary  # noqa: E402

from serfeat.conditions.kinds import KINDS  # noqa: E402
from serfeat.corpora import CORPORA  # noqa: E402
from serfeat.feature_sets import FEATURE_SETS  # noqa: E402
from serfeat.functionals import FUNCTIONALS  # noqa: E402
from serfeat.lint import LINTS  # noqa: E402
from serfeat.lld import DESCRIPTORS  # noqa: E402
from serfeat.models import MODELS  # noqa: E402
from serfeat.packs import PACKS, read_pack  # noqa: E402
from serfeat.shorttime import Descriptor  # noqa: E402
from serfeat.splits import PROTOCOLS  # noqa: E402

PICTURES = "figures"


# Headings of docs/descriptors.md; what is not named here comes last.
FAMILIES = {
    "Pitch": ("f0", "f0_cc", "f0_shs", "f0_yin", "pitch_spline"),
    "Level, time and rhythm": (
        *("zcr", "energy", "intensity", "loudness", "loudness_20ms", "loudness_peaks"),
        *("sound_level", "duration", "speech_rate"),
    ),
    "Resonances of the vocal tract": ("formants", "formants_tracked", "formants_burg"),
    "Cepstra and linear prediction": (
        *("mfcc", "mfcc_20ms", "mfcc39", "lpc", "lpcc", "lsf", "plp", "rasta_plp", "plp_erb"),
    ),
    "Teager energy": ("teo", "desa", "teo_cb", "teo_fm_var", "teo_mfcc"),
    "Voice quality": (
        *("hnr", "hnr_ac", "jitter", "shimmer", "cycles", "cpp", "cpps", "harmonics"),
    ),
    "Spectral shape": ("spectral", "spectral_20ms"),
}
OURS = "Apache-2.0"  # the licence that goes without saying


def families() -> dict[str, list[Descriptor]]:
    """Heading -> its descriptors; every descriptor is under one."""
    found = {
        t: [DESCRIPTORS[n] for n in names if n in DESCRIPTORS] for t, names in FAMILIES.items()
    }
    named = {n for names in FAMILIES.values() for n in names}
    found["Others"] = [d for d in DESCRIPTORS.values() if d.name not in named]
    return {title: members for title, members in found.items() if members}


def columns(d: Descriptor) -> str:
    """Column names with their units, the middle ones of a numbered row left out."""
    shown: list[str] = []
    for names, unit in neighbours(d):
        long = len(names) > 6 and names[0][-1].isdigit()
        row = [names[0], names[1], "...", names[-1]] if long else names
        text = ", ".join(f"`{n}`" if n != "..." else n for n in row)
        shown.append(text if unit == "1" else f"{text} ({unit})")
    return "; ".join(shown)


def neighbours(d: Descriptor) -> list[tuple[list[str], str]]:
    """Runs of columns of one unit."""
    runs: list[tuple[list[str], str]] = []
    for column, unit in zip(d.columns, d.units, strict=True):
        if runs and runs[-1][1] == unit:
            runs[-1][0].append(column)
        else:
            runs.append(([column], unit))
    return runs


def settings(d: Descriptor) -> str:
    """What `compute` is given: its own defaults, and the descriptor's settings over them."""
    arguments = inspect.signature(d.compute).parameters.values()
    given = {p.name: p.default for p in arguments if p.default is not p.empty} | dict(d.params)
    flat: dict[str, object] = {}
    for name, value in given.items():
        if is_dataclass(value) and not isinstance(value, type):
            flat |= {f.name: getattr(value, f.name) for f in fields(value)}
        else:
            flat[name] = value
    return ", ".join(
        f"`{n}` {v:.6g}" if isinstance(v, float) else f"`{n}` {v}" for n, v in flat.items()
    )


def section(d: Descriptor) -> str:
    """What docs/descriptors.md says about one descriptor, with its picture."""
    code = f"serfeat/lld/{d.compute.__module__.rpartition('.')[2]}.py"
    lines = [
        ("columns", columns(d)),
        ("one value per", d.level),
        ("NaN", d.undefined),
        ("settings", settings(d) or "none"),
        ("source", d.source),
        ("tested against", d.oracle),
        ("licence", d.licence if d.licence != OURS else ""),
        ("code", f"[{code}](../{code}), version {d.version}"),
    ]
    return "\n\n".join(
        (
            f"### `{d.name}`",
            d.summary[0].upper() + d.summary[1:] + ".",
            table(("", ""), *((k, v) for k, v in lines if v)),
            f"![{d.name} of the utterance]({PICTURES}/{d.name}.svg)",
        )
    )


def descriptors() -> str:
    """docs/descriptors.md."""
    contents = [
        f"- [{title}](#{re.sub('[^a-z ]', '', title.lower()).replace(' ', '-')}): "
        + ", ".join(f"[`{d.name}`](#{d.name})" for d in members)
        for title, members in families().items()
    ]
    sections = [
        f"## {title}\n\n" + "\n\n".join(section(d) for d in members)
        for title, members in families().items()
    ]
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
            "frames. What is undefined is NaN, never 0; so are, of a recording below the working "
            "rate, the columns of a band that it does not have (formants below 11 kHz; "
            "`serfeat.reach`). Values are computed in float64 and stored as float32. A unit stands "
            "in brackets after the columns that have it. How close the numbers come to other "
            "programs and to the truth: [accuracy](results/accuracy.md).",
            "The pictures show one synthetic sentence of the embedded corpus (speaker s1, "
            'neutral, `utterance("s1", "neutral", "t6")`), so that what is true of it is '
            "known; voiced stretches are shaded, undefined frames are gaps.",
            "\n".join([*contents, "- [Functionals](#functionals)"]),
            *sections,
            "## Functionals",
            "Named `<column>__<functional>`. Undefined frames do not take part. Append `_voiced` "
            "or `_unvoiced` to take the voiced or unvoiced frames only.",
            table(*functionals),
        )
    )


def tables() -> str:
    """docs/tables.md: feature sets, models, protocols, packs, lint, conditions, corpora."""
    sets = [("set", "columns per clip", "columns per frame", "rate", "licence", "what")]
    for s in FEATURE_SETS.values():
        clip, frame = s.width("functionals"), s.width("lld")
        sets.append((f"`{s.name}`", str(clip), str(frame), f"{s.sr} Hz", s.licence, s.summary))
    models = [("model", "kind", "trained on", "what", "source")]
    models += [(f"`{m.name}`", m.kind, m.level, m.summary, m.source) for m in MODELS.values()]
    protocols = [("protocol", "test speakers", "in words")]
    for p in PROTOCOLS.values():
        held = {True: "held out", False: "**heard in training**", None: "counted on the rows"}
        words = re.sub(r"\{(\w+)\}", r"*\1*", p.words.replace("{folds} ", ""))
        protocols.append((f"`{p.name}`", held[p.speaker_independent], words))
    packs = [("pack", "what it is", "what is wrong with it as published", "corrected")]
    for name in PACKS:
        pack = read_pack(name)
        flaw, changes = pack.published.get("flaw", ""), pack.corrected.get("changes", "")
        packs.append((f"`{name}`", pack.title, str(flaw), str(changes)))
    lints = [("kind", "severity", "what is looked for", "why it matters", "seen in")]
    lints += [(f"`{c.kind}`", c.severity, c.seeks, c.why, c.source) for c in LINTS.values()]
    conditions = [("kind", "settings", "what")]
    conditions += [(f"`{n}`", ", ".join(k.settings), k.words) for n, k in KINDS.items()]
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
            "# Packs of published folds",
            table(*packs),
            "# What `serfeat lint` looks for",
            table(*lints),
            "# Conditions of the test",
            table(*conditions),
            "# Corpora",
            "`serfeat fetch NAME` shows the licence and downloads, or says how to get the corpus.",
            table(*corpora),
        )
    )


DOCUMENTS = {
    "descriptors.md": descriptors,
    "tables.md": tables,
    "feature_sets.md": feature_sets,
    "formats.md": formats,
    "heads.md": heads,
    "protocols.md": protocols,
    "recipes.md": recipes,
    "cli.md": cli,
    "glossary.md": glossary,
}


def main() -> None:
    """Write every document, and the pictures."""
    for name, make in DOCUMENTS.items():
        (FOLDER / name).write_text(make() + "\n", encoding="utf-8")
    draw_divisions(FOLDER / DIVISIONS)  # quick: drawn with the text
    if "--text" not in sys.argv[1:]:
        from pictures import draw_all  # beside this file

        draw_all(FOLDER / PICTURES)


if __name__ == "__main__":
    main()
