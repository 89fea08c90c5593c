"""Recipes: TOML files that say what is compared with what.

The schema is closed: an unknown word is an error that suggests the nearest known one, a value out
of range names its place, and nothing in a recipe is ever run as code. ::

    title = "My speech: classical against deep"

    [corpus]
    name = "emodb"              # a corpus of `serfeat list corpora`, or
    # manifest = "mine.csv"     # a manifest, relative to this file, or
    # names = ["emodb", "mine.csv"]  # several of them, on the emotions that all have
    # labels = ["anger", "neutral"]

    [run]
    seeds = [0]
    control = ["svm"]           # also trained on shuffled labels: must score at chance
    # normalisation = "speaker" # of every entry that does not say: global, speaker or none
    # explain = ["svm"]         # importance by family, gates and attention over time
    # dimensions = ["valence"]  # numbers of the manifest in place of the emotion
    # disjoint = ["text_id"]    # no fold may have a sentence on both sides

    [[protocols]]
    name = "leave_one_speaker_out"

    [[entries]]
    name = "svm"
    model = "svm"
    features = "classic"        # or "table:mine.csv": your own, a row for each file
    params = { C = 10.0 }
    # targets = "votes"         # learn the shares of the raters' votes (deep models)
    # train_on = "clear"        # the training clips whose raters agree
    # augment = { copies = 2, noise = [5, 20], speed = [0.9, 1.1] }  # of the training clips
    # normalisation = "speaker"
    # tune = { C = [0.1, 1.0, 10.0] }  # inside the training rows, speakers held out; or "default"

    # [[conditions]]            # done to the test clips; training never hears it
    # kind = "babble"
    # snr = [20, 10, 0]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serfeat import demo
from serfeat.conditions import conditions_of
from serfeat.corpora import cache_folder, find_root, read_corpus
from serfeat.errors import RecipeError, SerfeatError, did_you_mean
from serfeat.feature_tables import set_of
from serfeat.joined import join_report, joined
from serfeat.manifest import Manifest
from serfeat.manifest_csv import read_manifest
from serfeat.models import Task, check_model, model_parameters
from serfeat.normalisation import NORMALISATIONS
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.splits import PROTOCOLS
from serfeat.tuning.spaces import space_of

__all__ = ["Recipe", "find_recipe", "read_recipe"]

LIMIT = 1 << 20  # bytes: a recipe is a page of text


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CorpusPart(_Closed):
    """Where the recordings come from."""

    name: str | None = None
    names: list[str] | None = Field(default=None, min_length=2)
    manifest: str | None = None
    labels: list[str] | None = None


class RunPart(_Closed):
    """How often, and with which control."""

    seeds: list[int] = Field(default=[0], min_length=1)
    fold_seed: int = 0
    control: list[str] = []
    control_runs: int = Field(default=10, ge=1)
    normalisation: Literal["global", "speaker", "none"] = "global"
    explain: list[str] = []
    dimensions: list[str] = []
    disjoint: list[Literal["text_id", "session"]] = []


class ProtocolPart(BaseModel):
    """A protocol and its parameters (which `serfeat.splits` knows)."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str


class EntryPart(_Closed):
    """A contender."""

    name: str = Field(min_length=1, max_length=40)
    model: str
    features: str
    params: dict[str, Any] = {}
    targets: Literal["labels", "votes"] = "labels"
    train_on: Literal["all", "clear"] = "all"
    augment: dict[str, Any] = {}
    normalisation: Literal["global", "speaker", "none"] | None = None
    tune: dict[str, Any] | Literal["", "default"] = ""


class ConditionPart(BaseModel):
    """What is done to the test clips (which words there are, `serfeat.conditions` knows)."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str


class Recipe(_Closed):
    """A whole recipe, as read."""

    title: str
    corpus: CorpusPart
    run: RunPart = RunPart()
    protocols: list[ProtocolPart] = Field(min_length=1)
    entries: list[EntryPart] = Field(min_length=1)
    conditions: list[ConditionPart] = []

    def plan(
        self,
        settings: Sequence[str] = (),
        *,
        only: Sequence[str] = (),
        seeds: Sequence[int] = (),
        folder: Path = Path(),
    ) -> Plan:
        """Return what `serfeat.compare.compare` runs.

        Parameters
        ----------
        settings : in place of the recipe's, as the command line takes them: ``"timnet.epochs=60"``
            for one entry, ``"epochs=60"`` for every entry that has such a parameter;
            ``"svm.features=full"`` and ``"svm.normalisation=speaker"`` change the entry itself.
        only : names of the entries that run; empty: all.
        seeds : in place of the recipe's.
        folder : of the recipe, where an entry's features are a table of one's own.

        Raises
        ------
        RecipeError, UnknownNameError : a setting of nothing, a value that is none.
        """
        _check_seeds(seeds, "--seeds")
        entries = [self._entry(e) for e in self.entries]
        for setting in settings:
            entries = _changed(entries, setting, folder, self.task)
        names = [e.name for e in entries]
        for name in only:
            if name not in names:
                raise did_you_mean("entry", name, names, where="--entry")
        entries = [e for e in entries if not only or e.name in only]
        kept = {e.name for e in entries}
        return Plan(
            title=self.title,
            entries=entries,
            protocols=[ChosenProtocol(p.name, dict(p.model_extra or {})) for p in self.protocols],
            seeds=tuple(seeds) or self.run.seeds,
            fold_seed=self.run.fold_seed,
            control=[name for name in self.run.control if name in kept],
            control_runs=self.run.control_runs,
            conditions=conditions_of([c.model_dump() for c in self.conditions]),
            explain=[name for name in self.run.explain if name in kept],
            dimensions=self.run.dimensions,
            disjoint=self.run.disjoint,
            folder=folder,
        )

    @property
    def task(self) -> Task:
        """What the models do."""
        return "regression" if self.run.dimensions else "classification"

    def _entry(self, part: EntryPart) -> Entry:
        return Entry(
            name=part.name,
            model=part.model,
            features=part.features,
            params=part.params,
            targets=part.targets,
            train_on=part.train_on,
            augment=part.augment,
            normalisation=part.normalisation or self.run.normalisation,
            tune=part.tune,
        )

    def on(self, corpora: Sequence[str]) -> Recipe:
        """The same recipe on another corpus, or on several."""
        one = corpora[0] if len(corpora) == 1 else None
        several = None if one else list(corpora)
        there = CorpusPart(name=one, names=several, labels=self.corpus.labels)
        return self.model_copy(update={"corpus": there})

    def manifest(
        self,
        recipe: Path,
        *,
        root: Path | None = None,
        encoding: str = "utf-8",
        follow: bool = False,
    ) -> Manifest:
        """Find the recordings.

        Parameters
        ----------
        recipe : the recipe's path; its manifests are relative to it.
        root : folder of the corpus, where it is not found by itself.
        encoding : of the recipe's own manifests.
        follow : whether links may lead out of the folder of the audio.
        """
        if self.corpus.names is not None:
            found = _together(self.corpus.names, recipe.parent, encoding)
        elif self.corpus.manifest is not None:
            required = () if self.run.dimensions else ("speaker", "emotion")
            found = read_manifest(
                recipe.parent / self.corpus.manifest,
                root=root, require=required, encoding=encoding,
            )  # fmt: skip
        elif self.corpus.name == "demo":
            found = read_manifest(demo.make_corpus(root or cache_folder("demo")))
        else:
            name = str(self.corpus.name)
            found = read_corpus(name, find_root(name, root))
        found = replace(found, follow=follow)
        found = found if self.run.dimensions else found.labelled()
        if self.corpus.labels is None:
            return found
        # With dimensions a clip need not say its emotion; what is asked for it has to say.
        strangers = sorted(set(self.corpus.labels) - set(found.labels))
        if strangers:
            raise did_you_mean("label", strangers[0], found.labels, where=recipe)
        return found.with_rows(found.rows[found.rows["emotion"].isin(self.corpus.labels)])


def _together(names: Sequence[str], folder: Path, encoding: str) -> Manifest:
    """Join corpora and manifests; what that leaves out, and what tells them apart, is a warning."""
    parts = [
        read_manifest(folder / name, encoding=encoding)
        if name.endswith(".csv")
        else read_corpus(name, find_root(name))
        for name in names
    ]
    found = joined(parts)
    assert found.card is not None  # `joined` makes one
    warnings = (*found.card.warnings, *join_report(parts)["words"])
    return replace(found, card=replace(found.card, warnings=warnings))


def _changed(entries: Sequence[Entry], setting: str, folder: Path, task: Task) -> list[Entry]:
    """Return the entries with ``[entry.]parameter=value`` set, the value as in TOML."""
    place, equals, text = setting.partition("=")
    *names, word = place.strip().split(".")
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a word without quotes
    if not equals or not word or len(names) > 1:
        raise RecipeError(
            f"{setting!r} is no setting, expected parameter=value or entry.parameter=value",
            where="--set",
            code="bad-setting",
        )
    known = [e.name for e in entries]
    if names and names[0] not in known:
        raise did_you_mean("entry", names[0], known, where="--set")
    if word == "normalisation":
        if value not in NORMALISATIONS:
            raise did_you_mean("normalisation", str(value), NORMALISATIONS, where="--set")
        chosen = [not names or e.name in names for e in entries]
        return [
            replace(e, normalisation=value) if c else e
            for e, c in zip(entries, chosen, strict=True)
        ]
    if names and word == "features":
        set_of(str(value), folder)
        return [replace(e, features=str(value)) if e.name in names else e for e in entries]
    meant = [e for e in entries if e.name in names] if names else list(entries)
    having = meant if names else [e for e in meant if word in model_parameters(e.model, task=task)]
    if not having:
        raise RecipeError(f"no entry has the parameter {word!r}", where="--set", code="bad-setting")
    changed = []
    for entry in entries:
        if entry in having:
            entry = replace(entry, params={**entry.params, word: value})
            try:
                check_model(entry.model, entry.params, task=task)
            except SerfeatError as error:
                error.where = f"--set, {entry.name}"
                raise
        changed.append(entry)
    return changed


def find_recipe(name: str) -> Path:
    """Path of a recipe: a file, or the name of one that serfeat ships (``demo``)."""
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return path
    here = Path(__file__).parent
    for folder in (here / "_shipped" / "pipelines", here.parent / "pipelines"):
        if (shipped := folder / f"{path.stem}.toml").is_file() and path.parent.name in {
            "",
            "pipelines",
        }:
            return shipped
    found = "not a recipe" if path.exists() else "no such recipe"
    raise RecipeError(found, where=name, code="missing", fix="give the path of a .toml file")


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError, UnknownNameError : not TOML, an unknown or missing word, a value of another type,
        two entries of one name, an unknown model, feature set, protocol or parameter.
    """
    try:
        if path.stat().st_size > LIMIT:
            raise RecipeError("larger than 1 MB", where=path, code="too-large")
        text = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeError(f"not TOML ({error})", where=path, code="not-toml") from None
    except OSError as error:
        raise RecipeError(
            f"cannot be read ({error.strerror})", where=path, code="unreadable"
        ) from None
    if isinstance(text.get("manifest"), dict):
        raise RecipeError(
            "this is the side-car of a manifest, not a recipe",
            where=path,
            code="side-car",
            fix="give a .toml file with [corpus], [[protocols]] and [[entries]]",
        )
    _check_words(path, text)
    try:
        recipe = Recipe.model_validate(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise RecipeError(
            f"{first['msg'][0].lower()}{first['msg'][1:]}",
            where=f"{path}, {place}",
            code="bad-value",
        ) from None
    _check_names(path, recipe)
    _check_seeds(recipe.run.seeds, f"{path}, [run] seeds")
    return recipe


def _check_words(path: Path, text: Mapping[str, Any]) -> None:
    """Every word must be known; pydantic would say so without a suggestion."""
    sections: list[tuple[str, Any, type[BaseModel]]] = [("", text, Recipe)]
    sections += [("corpus", text.get("corpus"), CorpusPart), ("run", text.get("run"), RunPart)]
    for i, entry in enumerate(text.get("entries") or []):
        sections.append((f"entries {i + 1}", entry, EntryPart))
    for place, words, model in sections:
        for word in words if isinstance(words, dict) else ():
            if word not in model.model_fields:
                where = f"{path}, [{place}]" if place else path
                raise did_you_mean("word", word, model.model_fields, where=where)


def _check_seeds(seeds: Sequence[int], where: str) -> None:
    """A seed that comes twice would count its predictions twice."""
    if twice := [seed for seed in seeds if list(seeds).count(seed) > 1]:
        raise RecipeError(
            f"{twice[0]} is there twice: every model would be counted twice",
            where=where,
            code="duplicate-seed",
            fix="name every seed once",
        )


def _check_names(path: Path, recipe: Recipe) -> None:
    corpus = recipe.corpus
    if sum(given is not None for given in (corpus.name, corpus.names, corpus.manifest)) != 1:
        raise RecipeError(
            "needs one of name, names and manifest", where=f"{path}, [corpus]", code="bad-value"
        )
    names = [e.name for e in recipe.entries]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise RecipeError(
            f"two entries are called {twice[0]!r}",
            where=path,
            code="duplicate-entry",
            fix="give every entry a name of its own",
        )
    for word in ("control", "explain"):
        for name in getattr(recipe.run, word):
            if name not in names:
                raise did_you_mean("entry", name, names, where=f"{path}, [run] {word}")
    place = str(path)
    try:
        for i, entry in enumerate(recipe.entries):
            place = f"{path}, [entries {i + 1}]"
            check_model(entry.model, entry.params, task=recipe.task)
            set_of(entry.features, path.parent)
            Entry("", entry.model, "", augment=entry.augment).versions  # noqa: B018 - raises
            if entry.tune:
                space_of(entry.model, entry.tune, params=entry.params, task=recipe.task)
        place = f"{path}, [[conditions]]"
        conditions_of([c.model_dump() for c in recipe.conditions])
        place = f"{path}, [[protocols]]"
        for protocol in recipe.protocols:
            if protocol.name not in PROTOCOLS:
                raise did_you_mean("protocol", protocol.name, PROTOCOLS)
            known = PROTOCOLS[protocol.name].params
            for word in protocol.model_extra or {}:
                if word not in known:
                    raise did_you_mean(f"parameter of {protocol.name}", word, known or ["(none)"])
    except SerfeatError as error:
        error.where = place
        raise
