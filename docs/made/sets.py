"""docs/feature_sets.md and docs/formats.md: what a set is made of, and what it is written as."""

from __future__ import annotations

from made.markdown import page, table
from serfeat.exports import FORMATS
from serfeat.feature_sets import FEATURE_SETS
from serfeat.features import FeatureSet
from serfeat.imports import MANIFEST_FORMATS, TABLE_FORMATS

__all__ = ["feature_sets", "formats"]

INTRODUCTION = """\
A feature set is data: names of [descriptors](descriptors.md), orders of deltas, functionals and
a grid. At level `functionals` it gives one row per clip, at level `lld` one row per frame. A
list of descriptors is a set as well:

```sh
serfeat extract my_speech/ -o f.csv --features f0,energy,mfcc --functionals mean,p50,mean_voiced
serfeat list features
```

The cache key of a set holds every setting, the version of every descriptor and of the libraries
that compute it: a stored number is never one of other settings. Every table carries the licence
of its set; those of openSMILE are for research and private use only. Sets of values per recording
alone (`jitter,shimmer`) have no level `lld`."""


def _section(s: FeatureSet) -> str:
    clip, frame = s.width("functionals"), s.width("lld")
    deltas = ("", "first", "first and second")[s.deltas]
    rows = [
        ("columns per clip", str(clip)),
        ("columns per frame", str(frame)),
        (
            "descriptors",
            ", ".join(f"[`{d}`](descriptors.md#{d})" for d in s.descriptors)
            or (f"openSMILE's `{s.external}`" if s.external else ""),
        ),
        ("deltas", deltas),
        ("functionals", ", ".join(f"`{f}`" for f in s.functionals) if not s.external else ""),
        ("of the deltas", ", ".join(f"`{f}`" for f in s.delta_functionals) if s.deltas else ""),
        ("grid", f"{s.sr} Hz, a frame every {s.hop * 1000:.4g} ms"),
        ("smoothed over", f"{s.smooth} frames" if s.smooth > 1 else ""),
        ("prepared by", ", ".join(s.prepare)),
        ("undefined is", "0, as openSMILE writes it" if s.external else ""),
        ("licence", s.licence),
    ]
    return f"## `{s.name}`\n\n{s.summary[0].upper()}{s.summary[1:]}.\n\n" + table(
        ("", ""), *((k, v) for k, v in rows if v)
    )


def feature_sets() -> str:
    """docs/feature_sets.md."""
    contents = [("set", "per clip", "per frame", "licence", "what")]
    for s in FEATURE_SETS.values():
        clip, frame = str(s.width("functionals")), str(s.width("lld"))
        contents.append((f"[`{s.name}`](#{s.name})", clip, frame, s.licence, s.summary))
    return page(
        "# Feature sets",
        INTRODUCTION,
        table(*contents),
        *(_section(s) for s in FEATURE_SETS.values()),
    )


EXPORTS = """\
`serfeat export features.parquet -o FILE --format NAME --manifest speech.csv` writes a table
that serfeat computed for another program, with the labels of a manifest. What a format cannot
hold is refused in one line, never changed. Every export is there whole or not at all, and has a
side-car with units and provenance (`<name>.json`, or `serfeat.json` in a folder)."""
IMPORTS = """\
`serfeat import FILE -o OUT` reads tables and manifests of other programs. Nothing that is read
can run code; sizes and lines are capped; every error names the file and the line."""


def formats() -> str:
    """docs/formats.md."""
    out = [("format", "file", "rows per", "what", "specified in")]
    for name, f in FORMATS.items():
        levels = " or ".join({"functionals": "clip", "lld": "frame"}[v] for v in f.levels)
        files = ", ".join(f"`{s}`" for s in f.suffixes) or "a folder"
        out.append((f"`{name}`", files, levels, f.words, f.source))
    return page(
        "# Exports and imports",
        EXPORTS,
        table(*out),
        "## Imports",
        IMPORTS,
        table(("format", "gives"), *((f"`{n}`", w) for n, w in _imports())),
    )


def _imports() -> list[tuple[str, str]]:
    rows = [(n, f"a feature table: {words}") for n, words in TABLE_FORMATS.items()]
    return rows + [(n, f"a manifest: {words}") for n, words in MANIFEST_FORMATS.items()]
