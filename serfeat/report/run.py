"""A run folder, read and checked: what every part of the report is made from.

Contents
--------
`Run` `read_run` : the folder (its parts: see `serfeat.report`).
`CLEAN`          : the condition that every score is about unless it says otherwise.
`SYNTHETIC` `DEPENDENT` `NOT_LINTED` : warnings that tables and figures carry, because they are
    copied without their page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from serfeat.compare.leaderboard import leaderboard
from serfeat.compare.reading import read_folds, read_lint, read_record
from serfeat.compare.seal import OPTIONAL, changed
from serfeat.errors import StoreError
from serfeat.report.differences import pairs_of
from serfeat.store import read_parquet

__all__ = ["CHANGED", "CLEAN", "DEPENDENT", "NOT_LINTED", "SYNTHETIC", "Run", "read_run"]

CLEAN = "clean"
SYNTHETIC = "SYNTHETIC SPEECH: scores say nothing about people"
DEPENDENT = "SPEAKER-DEPENDENT: the test speakers' other clips are in the training folds"
CHANGED = "CHANGED SINCE THE RUN, so that these may not be its numbers"
NOT_LINTED = "NOT LINTED: nobody has looked for leaks in this run"
AGAIN = "run the comparison again"


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Parameters
    ----------
    info : run.json.
    predictions : the predictions table, condition "clean" only.
    board : `serfeat.compare.leaderboard` of the predictions; of a run on dimensions that of
        `serfeat.statistics.dimensions`.
    labels : all classes; empty for a run on dimensions.
    disturbed : predictions under all other conditions (noise at test time).
    tables : the optional tables by name; an absent one is empty.
    pairs : every pair of entries under every protocol, tested (`serfeat.statistics.significance`).
    lint : lint.json, or None if the run was not linted.
    folds : folds.json; empty if absent.
    changed : files that are not what the run wrote, see `serfeat.compare.seal`.
    """

    info: dict[str, Any]
    predictions: pd.DataFrame
    board: pd.DataFrame
    labels: list[str] = field(default_factory=list)
    disturbed: pd.DataFrame = field(default_factory=pd.DataFrame)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pairs: pd.DataFrame = field(default_factory=pd.DataFrame)
    lint: dict[str, Any] | None = None
    folds: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @property
    def protocols(self) -> list[dict[str, Any]]:
        """The protocols that have predictions, speaker-independent ones first."""
        ran = set(self.board["protocol"])
        known = [p for p in self.info["protocols"] if p["key"] in ran]
        return sorted(known, key=lambda p: not p["speaker_independent"])

    @property
    def main(self) -> dict[str, Any]:
        """The protocol that the verdict is about."""
        return self.protocols[0]

    @property
    def targets(self) -> list[str]:
        """The dimensions that were predicted; empty where emotions were."""
        return targets_of(self.predictions)

    def marks(self, protocol: str | None = None) -> tuple[str, ...]:
        """The warnings that everything made from this run (and protocol) must carry."""
        out = [SYNTHETIC] if self.info["corpus"].get("synthetic") else []
        if protocol is not None and self.dependent(protocol):
            out.append(DEPENDENT)
        if self.changed:
            out.append(f"{CHANGED}: {', '.join(self.changed)}")
        return (*out, *lint_mark(self.lint), *(str(m) for m in self.info.get("marks", [])))

    def dependent(self, protocol: str) -> bool:
        """Whether the test speakers have other clips in training."""
        return any(
            p["key"] == protocol and not p["speaker_independent"] for p in self.info["protocols"]
        )

    def kind(self, entry: str) -> str:
        """Kind of an entry: classical or deep."""
        return str(self.entry(entry).get("kind", "classical"))

    def entry(self, name: str) -> dict[str, Any]:
        """What run.json says of an entry."""
        known = {e["name"]: e for e in self.info["entries"]}
        return dict(known.get(name, {}))

    def transductive(self, entry: str) -> bool:
        """Whether an entry was normalised with the test speakers' own, unlabelled audio."""
        return self.normalisation(entry) == "speaker"

    def normalisation(self, entry: str) -> str:
        """How an entry was normalised: "global", "none" or "speaker"; runs before 0.2: global."""
        return str(self.entry(entry).get("normalisation", "global"))

    def scored(self, protocol: str, *, control: bool = False) -> pd.DataFrame:
        """The leaderboard's rows of one protocol, best first."""
        mine = (self.board["protocol"] == protocol) & (self.board["control"] == control)
        return self.board[mine]

    def names(self, protocol: str) -> list[str]:
        """The entries of one protocol, best first, each once."""
        return [str(e) for e in dict.fromkeys(self.scored(protocol)["entry"])]

    def rows(self, protocol: str, entry: str) -> pd.DataFrame:
        """The predictions of one entry, without the control."""
        return rows_of(self.predictions, protocol, entry)

    def table(self, name: str, *, protocol: str = "") -> pd.DataFrame:
        """An optional table, or its rows of one protocol; empty where it is absent."""
        whole = self.tables.get(name, pd.DataFrame())
        if whole.empty or not protocol or "protocol" not in whole:
            return whole
        return whole[(whole["protocol"] == protocol).to_numpy()]


def rows_of(predictions: pd.DataFrame, protocol: str, entry: str) -> pd.DataFrame:
    """The rows of one entry under one protocol, without the control."""
    p = predictions
    mine = (p["protocol"] == protocol) & (p["entry"] == entry) & ~p["control"].astype(bool)
    return p[mine.to_numpy()]


def targets_of(predictions: pd.DataFrame) -> list[str]:
    """The dimensions in a table of predictions; empty where it holds emotions."""
    if "target" not in predictions:
        return []
    return [str(t) for t in dict.fromkeys(predictions["target"]) if t != "emotion"]


def lint_mark(lint: Mapping[str, Any] | None) -> list[str]:
    """What everything made from a run must say about its lint: nothing if it is clean."""
    if lint is None:
        return [NOT_LINTED]
    if lint.get("clean"):
        return []
    leaks = [f for f in lint.get("findings", []) if f.get("severity") == "leak"]
    kinds = list(dict.fromkeys(str(f.get("kind", "?")) for f in leaks))
    named = ", ".join(kinds[:3]) + (f" and {len(kinds) - 3} more" if len(kinds) > 3 else "")
    named = named or "see the top of the page"
    return [f"LEAK FOUND BY LINT ({named}): these scores cannot be believed"]


def read_run(folder: str | Path) -> Run:
    """Read a run folder and score its predictions.

    Raises
    ------
    StoreError : a part of the folder that is missing, cannot be read, lacks a column or says
        something else than such a part does.
    """
    folder = Path(folder)
    info, folds, lint = read_record(folder), read_folds(folder), read_lint(folder)
    try:
        predictions = read_parquet(folder / "predictions.parquet")
        tables = {
            name: read_parquet(folder / f"{name}.parquet")
            for name in OPTIONAL
            if (folder / f"{name}.parquet").exists()
        }
    except (OSError, ValueError) as problem:
        raise StoreError(str(problem), where=folder, code="unreadable-run", fix=AGAIN) from problem
    _check(folder, predictions)
    clean = (predictions["condition"] == CLEAN) if "condition" in predictions else None
    disturbed = predictions[~clean] if clean is not None else pd.DataFrame()
    predictions = predictions[clean].reset_index(drop=True) if clean is not None else predictions
    labels = [] if targets_of(predictions) else [str(label) for label in info["labels"]]
    board = _board(predictions, tables.get("costs"), labels)
    pairs = pairs_of(predictions, board, labels, folds)
    return Run(
        info,
        predictions,
        board,
        labels,
        disturbed,
        tables,
        pairs,
        lint,
        folds,
        changed(folder),
    )


def _board(
    predictions: pd.DataFrame, costs: pd.DataFrame | None, labels: list[str]
) -> pd.DataFrame:
    """The leaderboard of emotions or of dimensions."""
    if labels:
        return leaderboard(
            predictions, None if costs is None or costs.empty else costs, labels=labels
        )
    from serfeat.statistics.dimensions import dimension_board  # only runs on ratings need it

    return dimension_board(predictions)


def _check(folder: Path, predictions: pd.DataFrame) -> None:
    """Refuse predictions that lack what every page needs."""
    columns = ["file", "corpus", "speaker", "truth", "prediction", "entry", "protocol", "fold"]
    lacking = sorted({*columns, "seed", "control"} - set(predictions))
    if lacking or predictions.empty:
        found = f"without {', '.join(lacking)}" if lacking else "without any prediction"
        raise StoreError(f"a run {found}", where=folder, code="incomplete-run", fix=AGAIN)
