"""docs/recipes.md: every word of a recipe, from the models that read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from made.markdown import page, table
from serfeat.augment import Version
from serfeat.conditions.kinds import KINDS
from serfeat.models import MODELS, model_parameters
from serfeat.recipe import Recipe
from serfeat.splits import PROTOCOLS
from serfeat.tuning.spaces import SPACES

__all__ = ["WORDS", "recipes"]

Rows = list[tuple[str, ...]]

# What each word means; a word of the schema that is missing here fails when the page is made.
WORDS = {
    "title": "of the report page",
    "corpus.name": "a corpus of `serfeat list corpora`, or `demo`",
    "corpus.names": "several corpora or manifests (`.csv`) together, on the emotions that all have",
    "corpus.manifest": "a manifest of your own, relative to the recipe",
    "corpus.labels": "take these emotions only",
    "run.seeds": "every entry is trained once with each",
    "run.fold_seed": "of the protocols that shuffle",
    "run.control": "entries that are also trained on shuffled labels: they must score at chance",
    "run.control_runs": "how often they are shuffled",
    "run.normalisation": "of every entry that does not say: over the training clips, over each "
    "speaker's own clips (transductive), or none",
    "run.explain": "entries whose families of features, gates and attention are looked at",
    "run.dimensions": "columns of numbers (valence, arousal, ...) in place of the emotion",
    "run.disjoint": "columns that training and test must not share, beside what the protocol says",
    "protocols.name": "a protocol of the table below; its parameters stand beside the name",
    "entries.name": "as it is called in every table",
    "entries.model": "a model of `serfeat list models`",
    "entries.features": "a set of `serfeat list features`; descriptors with commas between; "
    "`encoder:DIR@2`; `table:mine.csv`, your own with a row for each file",
    "entries.params": "of the model, see the table below",
    "entries.targets": "`votes`: learn the shares of the raters' votes (deep models)",
    "entries.train_on": "`clear`: the training clips on whose emotion two raters or more agree "
    "(columns `votes_<emotion>`); what is tested stays",
    "entries.augment": "further versions of the training clips: `copies`, `noise`, `speed`, "
    "`pitch`, ...",
    "entries.normalisation": "in place of `run.normalisation`",
    "entries.tune": 'values to try inside the training rows, speakers held out; `"default"` takes '
    "the model's own space",
    "conditions.kind": "what is done to the test clips; training never hears it; settings beside",
}
INTRODUCTION = """\
A recipe is a TOML file that says what is compared with what. The schema is **closed**: a word
that is not on this page is an error that suggests the nearest one, a value out of range names
its place, and nothing in a recipe is ever run as code. `serfeat lint RECIPE` checks one before
anything is trained, `serfeat compare RECIPE` runs it. How to read what comes out:
[comparisons](comparisons.md)."""
EXAMPLE = """\
```toml
title = "The smallest recipe"

[corpus]
name = "demo"

[[protocols]]
name = "leave_one_speaker_out"

[[entries]]
name = "svm"
model = "svm"
features = "prosody"
```"""
CHANGES = """\
## Changes from the command line

`--set timnet.epochs=60` changes a parameter of one entry, `--set epochs=60` of all that have
it, `--set svm.features=full` and `--set svm.normalisation=speaker` the entry itself; `--entry`,
`--seeds` and `--corpus` say what is run. Values are written as in TOML."""


def _type(kind: Any) -> str:
    """A type in the words of TOML."""
    options = get_args(kind)
    name = getattr(kind, "__name__", "")
    if str(kind).startswith("typing.Literal"):
        return ", ".join(f'`"{o}"`' if o else '`""`' for o in options)
    if name == "list":
        return f"list of {_type(options[0])}"
    if name == "dict":
        return "table"
    if options:
        return " or ".join(_type(o) for o in options if o is not type(None))
    return {"str": "text", "int": "whole number", "float": "number"}.get(name, name)


def _part(kind: Any) -> type[BaseModel] | None:
    """The model inside a field: of ``[corpus]``, or of the list ``[[entries]]``."""
    for inner in (kind, *get_args(kind)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return inner
    return None


def _rows(model: type[BaseModel], place: str) -> Rows:
    rows: Rows = [("word", "value", "default", "what")]
    for name, field in model.model_fields.items():
        if _part(field.annotation) is not None:
            continue
        default = field.default
        if field.is_required() or default is PydanticUndefined:
            shown = "required"
        else:
            shown = "" if default in (None, "", [], {}) else f"`{default}`"
        words = WORDS[f"{place}{name}"]
        rows.append((f"`{name}`", _type(field.annotation), shown, words))
    return rows


def recipes() -> str:
    """docs/recipes.md."""
    parts = [table(*_rows(Recipe, ""))]
    for name, field in Recipe.model_fields.items():
        model = _part(field.annotation)
        if model is None:
            continue
        one = field.annotation is model
        heading = f"## `[{name}]`" if one else f"## `[[{name}]]`"
        doc = " ".join((model.__doc__ or "").split())
        parts += [heading, doc, table(*_rows(model, f"{name}."))]
        if name == "corpus":
            parts.append("One of `name`, `names` and `manifest`, and not two.")
        if name == "protocols":
            parts.append(table(*_protocols()))
        if name == "entries":
            parts += ["### Words of `augment`", table(*_versions())]
            parts += ["### Parameters of the models", table(*_models())]
            parts += ["### Default spaces of `tune`", table(*_spaces())]
        if name == "conditions":
            parts.append(table(*_conditions()))
    return page("# Recipes", INTRODUCTION, EXAMPLE, *parts, CHANGES)


def _protocols() -> Rows:
    rows: Rows = [("protocol", "parameters, with their defaults")]
    for p in PROTOCOLS.values():
        shown = ", ".join(f"`{n} = {_toml(v)}`" for n, v in p.params.items())
        rows.append((f"[`{p.name}`](protocols.md#{p.name})", shown))
    return rows


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _versions() -> Rows:
    """What `entries.augment` may say: the fields of a version, and how many are made."""
    words = {
        "copies": "how many versions of every training clip, 1 to 20",
        "number": "which one is made first; others are drawn anew",
        "noise": "[least, most] signal-to-noise ratio, dB",
        "pink": "noise that falls with 1/f in place of white",
        "speed": "[least, most] factor",
        "pitch": "[least, most] semitones",
    }
    rows: Rows = [("word", "what")]
    return rows + [(f"`{n}`", words[n]) for n in ("copies", *(f.name for f in fields(Version)))]


def _models() -> Rows:
    rows: Rows = [("model", "parameters")]
    for name in MODELS:
        rows.append((f"`{name}`", ", ".join(f"`{p}`" for p in sorted(model_parameters(name)))))
    return rows


def _spaces() -> Rows:
    rows: Rows = [("model", "values")]
    for name, space in SPACES.items():
        ways = space.get("either", (space,))
        rows.append((f"`{name}`", "; or ".join(_space(way) for way in ways)))
    return rows


def _space(way: Mapping[str, Any]) -> str:
    return ", ".join(f"`{n}` " + ", ".join(map(str, v)) for n, v in way.items())


def _conditions() -> Rows:
    rows: Rows = [("kind", "settings", "what")]
    rows += [(f"`{n}`", ", ".join(f"`{s}`" for s in k.settings), k.words) for n, k in KINDS.items()]
    return rows
