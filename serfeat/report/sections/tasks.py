"""What networks with several tasks said besides the emotion: numbers by CCC, classes by UAR."""

from __future__ import annotations

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
    "over all clips, a class by its UAR. An adversarial task is meant to fail: at chance, the "
    "network has unlearnt it."
)


def tasks_section(run: Run) -> Section:
    """Scores of every further task of every entry."""
    said = run.table("tasks")
    blocks: list[Block] = []
    if not said.empty:
        rows = [
            (visible(entry), visible(target), title_of(protocol), *_score(part), str(len(part)))
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


def _score(part: pd.DataFrame) -> tuple[str, str, str]:
    """Name of the score, its value and its interval."""
    numbers = part.assign(
        truth=pd.to_numeric(part["truth"], errors="coerce"),
        prediction=pd.to_numeric(part["prediction"], errors="coerce"),
    )
    if numbers[["truth", "prediction"]].notna().all(axis=None):
        row = dimension_board(numbers.assign(control=False)).iloc[0]
        ends = f"[{decimals(row['ccc_low'])}, {decimals(row['ccc_high'])}]"
        return "CCC", decimals(row["ccc"]), ends
    truth, prediction = list(part["truth"]), list(part["prediction"])
    value = metrics.uar(truth, prediction, sorted({*truth, *prediction}))
    return "UAR %", percent(value), f"chance {percent(1 / len(set(truth)))}"
