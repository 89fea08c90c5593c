"""A run folder, read and checked: what every part of the report is made from.

Contents
--------
`Run` `read_run`        : the folder (its parts: see `serfeat.report`).
`SYNTHETIC` `DEPENDENT` : warnings that tables and figures carry, because they are copied without
their page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from serfeat.errors import StoreError
from serfeat.leaderboard import leaderboard

__all__ = ["DEPENDENT", "SYNTHETIC", "Run", "read_run"]

SYNTHETIC = "SYNTHETIC SPEECH: scores say nothing about people"
DEPENDENT = "SPEAKER-DEPENDENT: the test speakers' other clips are in the training folds"


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Parameters
    ----------
    info : run.json.
    predictions, history, costs : the tables (see `serfeat.report`).
    board : `serfeat.leaderboard` of the predictions.
    """

    info: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame
    costs: pd.DataFrame
    board: pd.DataFrame
    labels: list[str] = field(default_factory=list)

    @property
    def protocols(self) -> list[dict[str, Any]]:
        """The protocols that have predictions, speaker-independent ones first."""
        ran = set(self.board["protocol"])
        known = [p for p in self.info["protocols"] if p["key"] in ran]
        return sorted(known, key=lambda p: not p["speaker_independent"])

    def marks(self, protocol: str | None = None) -> tuple[str, ...]:
        """The warnings that everything made from this run (and protocol) must carry."""
        out = [SYNTHETIC] if self.info["corpus"].get("synthetic") else []
        dependent = {p["key"] for p in self.info["protocols"] if not p["speaker_independent"]}
        if protocol in dependent:
            out.append(DEPENDENT)
        return (*out, *(str(m) for m in self.info.get("marks", [])))

    def kind(self, entry: str) -> str:
        """Kind of an entry: classical or deep."""
        kinds = {e["name"]: str(e["kind"]) for e in self.info["entries"]}
        return kinds.get(entry, "classical")

    def scored(self, protocol: str, *, control: bool = False) -> pd.DataFrame:
        """The leaderboard's rows of one protocol, best first."""
        mine = (self.board["protocol"] == protocol) & (self.board["control"] == control)
        return self.board[mine]

    def rows(self, protocol: str, entry: str) -> pd.DataFrame:
        """The predictions of one entry, without the control."""
        p = self.predictions
        mine = (p["protocol"] == protocol) & (p["entry"] == entry) & ~p["control"].astype(bool)
        return p[mine.to_numpy()]


def read_run(folder: Path) -> Run:
    """Read a run folder and score its predictions.

    Raises
    ------
    StoreError : a part of the folder that is missing, cannot be read or lacks a column.
    """
    again = "run the comparison again"
    try:
        info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        predictions = pd.read_parquet(folder / "predictions.parquet")
        optional = [folder / "history.parquet", folder / "costs.parquet"]
        history, costs = (pd.read_parquet(p) if p.exists() else pd.DataFrame() for p in optional)
    except (OSError, ValueError) as problem:
        raise StoreError(str(problem), where=folder, code="unreadable-run", fix=again) from problem
    needed = {"corpus", "labels", "protocols", "entries"} - set(info)
    columns = ["file", "corpus", "speaker", "truth", "prediction", "entry", "protocol", "fold"]
    lacking = sorted(needed | ({*columns, "seed", "control"} - set(predictions)))
    if lacking or predictions.empty:
        found = f"without {', '.join(lacking)}" if lacking else "without any prediction"
        raise StoreError(f"a run {found}", where=folder, code="incomplete-run", fix=again)
    labels = [str(label) for label in info["labels"]]
    board = leaderboard(predictions, None if costs.empty else costs, labels=labels)
    return Run(info, predictions, history, costs, board, labels)
