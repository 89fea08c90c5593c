"""What a comparison is made of: entries, protocols, seeds, and a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from serfeat.augment import Version
from serfeat.conditions import Condition
from serfeat.errors import FeatureError
from serfeat.models import MODELS, Task
from serfeat.models.preparation import WITHOUT_SCALING
from serfeat.splits import PROTOCOLS

__all__ = ["ChosenProtocol", "Entry", "Plan"]


@dataclass(frozen=True)
class Entry:
    """One contender: a model on a feature set.

    Parameters
    ----------
    name : unique in the plan.
    model : key of `serfeat.models.MODELS`.
    features : key of `serfeat.feature_sets.FEATURE_SETS`.
    params : of the model.
    targets : ``"labels"``, or ``"votes"``: deep entries then learn the shares of the raters' votes
        (the manifest's ``votes_<emotion>`` columns); what is predicted and scored stays the label.
    train_on : ``"all"`` training clips, or the ``"clear"`` ones, whose raters agree
        (`serfeat.votes.kinds`); what is tested stays.
    augment : further versions of the training clips: `copies` of them, and the settings of
        `serfeat.augment.Version`. Test clips have none.
    normalisation : key of `serfeat.normalisation.NORMALISATIONS`: ``"global"`` (statistics of the
        training rows), ``"speaker"`` (of every speaker's own clips, the test speakers' too, without
        their labels) or ``"none"``.
    tune : space of parameters that are chosen inside the training rows, see `serfeat.tuning`, or
        ``"default"``; empty: the parameters are what `params` says.
    """

    name: str
    model: str
    features: str
    params: Mapping[str, Any] = field(default_factory=dict)
    targets: str = "labels"
    train_on: str = "all"
    augment: Mapping[str, Any] = field(default_factory=dict)
    normalisation: str = "global"
    tune: Mapping[str, Any] | str = ""

    @property
    def versions(self) -> tuple[Version, ...]:
        """The further versions of every training clip.

        Raises
        ------
        FeatureError, UnknownNameError : settings that cannot be.
        """
        if not self.augment:
            return ()
        settings = {k: v for k, v in self.augment.items() if k != "copies"}
        copies = self.augment.get("copies", 1)
        if not isinstance(copies, int) or not 1 <= copies <= 20:
            raise FeatureError(
                f"augment: copies is {copies!r}, expected 1 to 20",
                where=self.name,
                code="bad-parameter",
            )
        first = Version.of(settings)
        if (first.noise, first.speed, first.pitch) == (None, None, None):
            raise FeatureError(
                "augment: copies without a change are the clips themselves",
                where=self.name,
                code="bad-parameter",
                fix="say what is changed: noise, speed or pitch",
            )
        return tuple(replace(first, number=first.number + i) for i in range(copies))

    @property
    def level(self) -> Any:
        """The level that the model is trained on."""
        return MODELS[self.model].level

    @property
    def oracle(self) -> bool:
        """Whether the epoch is chosen on the test fold."""
        return bool(self._setting("selection") == "test_oracle")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Columns of the manifest that are learnt beside the emotion."""
        return tuple(self._setting("tasks") or ())

    @property
    def label(self) -> str:
        """The name in every table and figure; it says so where an epoch was chosen on the test."""
        return f"{self.name} [epoch chosen on test]" if self.oracle else self.name

    def settings(self, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Parameters of the model: its own, those that were chosen, and what "none" does to it."""
        settings = {**self.params, **(chosen or {})}
        if self.normalisation == "none":
            way = settings.get("preparation", MODELS[self.model].preparation)
            settings["preparation"] = WITHOUT_SCALING.get(way, way)
        return settings

    def _setting(self, name: str) -> Any:
        return {**MODELS[self.model].params, **self.params}.get(name)


@dataclass(frozen=True)
class ChosenProtocol:
    """A protocol with its parameters."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name for tables and headings, e.g. ``random_kfold(10)``."""
        values = ", ".join(str(v) for v in {**PROTOCOLS[self.name].params, **self.params}.values())
        return f"{self.name}({values})" if values else self.name


@dataclass(frozen=True)
class Plan:
    """What is compared with what, and how.

    Parameters
    ----------
    title : heading of the report.
    entries : the contenders.
    protocols : each entry runs under each of them, on the same folds.
    seeds : of the models; the folds of a shuffling protocol are drawn with `fold_seed`.
    control : names of entries that are also trained on shuffled labels; must score at chance.
    control_runs : shufflings of the control. One is not enough: clips of one emotion lie together,
        so that a shuffling deals whole clusters to a label and a single run scatters widely.
    conditions : what is done to the test clips besides leaving them clean (`serfeat.conditions`);
        training never hears it.
    explain : names of entries whose decisions are explained (`serfeat.explain`).
    dimensions : columns of the manifest with numbers (valence, ...) that are learnt and predicted
        in place of the emotion; empty: the emotion.
    disjoint : columns of the manifest that no fold may have on both sides, besides what the
        protocol promises: ``"text_id"``, ``"session"``.
    folder : of the recipe: an entry's ``"table:mine.csv"`` is in it.
    """

    title: str
    entries: Sequence[Entry]
    protocols: Sequence[ChosenProtocol]
    seeds: Sequence[int] = (0,)
    fold_seed: int = 0
    control: Sequence[str] = ()
    control_runs: int = 10
    conditions: Sequence[Condition] = ()
    explain: Sequence[str] = ()
    dimensions: Sequence[str] = ()
    disjoint: Sequence[str] = ()
    folder: Path = Path()

    @property
    def task(self) -> Task:
        """What the models do."""
        return "regression" if self.dimensions else "classification"
