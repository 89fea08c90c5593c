"""What networks with several tasks said besides the emotion: numbers by CCC, classes by UAR."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from serfeat import metrics
from serfeat.report.blocks import Block, Section, Table, Words
from serfeat.report.numbers import decimals, percent, visible
from serfeat.report.run import Run
from serfeat.report.words import title_of
from serfeat.statistics.dimensions import dimension_board

__all__ = ["tasks_section"]

WORDS = (
    "These entries learnt more than the emotion, in one network. A number is scored by its CCC "
    "over all clips, a class by its UAR over the clips whose class occurs in other folds as well: "
    "which speaker of the training it is cannot be said of one who was held out. An adversarial "
    "task is meant to fail: at chance, the network has unlearnt it."
)
NUMBERS = ("ccc", "mse")  # the losses whose targets are numbers; those of classes may look like it


def tasks_section(run: Run) -> Section:
    """Scores of every further task of every entry."""
    said = run.table("tasks")
    blocks: list[Block] = []
    if not said.empty:
        rows = [
            (
                *(visible(entry), visible(target), title_of(protocol)),
                *_score(part, loss_of(run.entry(str(entry)), str(target))),
                str(len(part)),
            )
            for (protocol, entry, target), part in said.groupby(
                ["protocol", "entry", "target"], sort=False, observed=True
            )
        ]
        head = ("Entry", "Task", "Protocol", "Score", "Value", "95 % interval", "Clips")
        blocks = [
            Words(WORDS),
            Table("The other tasks.", head, rows, frozenset({0, 1, 2, 3, 5}), run.marks()),
        ]
    return Section("tasks", "Other tasks", blocks)


def loss_of(entry: Mapping[str, object], task: str) -> str:
    """What an entry's record says of a task: the loss that it was trained with."""
    params = entry.get("params")
    tasks = params.get("tasks") if isinstance(params, Mapping) else None
    said = tasks.get(task) if isinstance(tasks, Mapping) else None
    return str(said.get("loss") if isinstance(said, Mapping) else said)


def _score(part: pd.DataFrame, loss: str) -> tuple[str, str, str]:
    """Name of the score, its value and its interval."""
    if loss in NUMBERS:
        numbers = part.assign(
            truth=pd.to_numeric(part["truth"], errors="coerce"),
            prediction=pd.to_numeric(part["prediction"], errors="coerce"),
        )
        row = dimension_board(numbers.assign(control=False)).iloc[0]
        ends = f"[{decimals(row['ccc_low'])}, {decimals(row['ccc_high'])}]"
        return "CCC", decimals(row["ccc"]), ends
    folds = part.groupby("truth", observed=True)["fold"].transform("nunique")
    if len(set(part["fold"])) > 1:
        part = part[(folds > 1).to_numpy()]
    if part.empty:
        return "UAR %", "–", "every class was held out"
    truth, prediction = list(part["truth"]), list(part["prediction"])
    value = metrics.uar(truth, prediction, sorted({*truth, *prediction}))
    return "UAR %", percent(value), f"chance {percent(1 / len(set(truth)))}"
