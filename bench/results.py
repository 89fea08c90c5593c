"""The tables of docs/results from stored runs, as Markdown.

Run: python bench/results.py leak runs/leak runs/leak-ravdess runs/leak-emospeech
     python bench/results.py baselines runs/baselines runs/more-entries-of-it
     python bench/results.py noise runs/noise
     python bench/results.py cross runs/cross_corpus

UAR in per cent with 95 % intervals over speakers; every number is computed from the predictions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from math import nan
from pathlib import Path

import pandas as pd

from serfeat.report.run import Run, read_run
from serfeat.statistics.matrix import cross_matrix, trained_on
from serfeat.statistics.paired import paired_gap
from serfeat.statistics.robustness import noise_curve

BY_SPEAKER = "_by_speaker"
UAR = ("uar", "uar_low", "uar_high")


def row(*cells: str) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def head(*cells: str) -> list[str]:
    """The head of a table whose first column is text."""
    return [row(*cells), row("---", *["---:"] * (len(cells) - 1))]


def with_interval(uar: float, low: float, high: float) -> str:
    """A cell: 79.2 (71-86), or the score alone where the speakers do not say how certain it is."""
    if uar != uar:
        return ""
    return f"{100 * uar:.1f}" + (f" ({100 * low:.0f}-{100 * high:.0f})" if low == low else "")


def score(board: pd.DataFrame, entry: str, protocol: str) -> str:
    """UAR and interval of one entry."""
    mine = board[(board["entry"] == entry) & (board["protocol"] == protocol) & ~board["control"]]
    if mine.empty:
        return ""
    one = mine.iloc[0]
    return with_interval(one["uar"], one["uar_low"], one["uar_high"])


def leak(folders: Sequence[Path]) -> list[str]:
    """Random folds, held-out speakers and sentences, and the gap, for every corpus."""
    lines = []
    for folder in folders:
        run = read_run(folder)
        keys = {p["key"].split("(")[0]: p["key"] for p in run.info["protocols"]}
        held, random = keys["speaker_kfold"], keys["random_kfold"]
        texts = keys["leave_one_text_out"]
        lines += ["", f"### {run.info['corpus']['title']}", ""]
        lines += head(
            "entry", "random folds", "held-out speakers", "gap", "held-out sentences", "folds"
        )
        for entry in run.scored(held)["entry"]:
            cells = [score(run.board, entry, p) for p in (random, held, texts)]
            if not all(cells):
                continue
            gap = paired_gap(run.rows(random, entry), run.rows(held, entry), labels=run.labels)
            words = f"{100 * gap.difference:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
            counts = "/".join(
                str(int(run.scored(p).set_index("entry")["folds"][entry]))
                for p in (random, held, texts)
            )
            lines.append(row(f"`{entry}`", cells[0], cells[1], words, cells[2], counts))
    return lines


def baselines(folders: Sequence[Path]) -> list[str]:
    """Feature sets by classical models, with and without per-speaker normalisation.

    Runs of one corpus, with other entries of the recipe each, share a table.
    """
    runs: dict[str, list[Run]] = {}
    for run in map(read_run, folders):
        runs.setdefault(run.info["corpus"]["title"], []).append(run)
    lines = []
    for title, mine in runs.items():
        (protocol,) = {run.protocols[0]["key"] for run in mine}
        boards = pd.concat([run.board for run in mine], ignore_index=True)
        entries = {e["name"]: e for run in mine for e in run.info["entries"]}
        sets = list(dict.fromkeys(e["features"] for e in entries.values()))
        models = list(dict.fromkeys(n.removesuffix(BY_SPEAKER).split("_")[-1] for n in entries))
        for suffix, words in (("", "global"), (BY_SPEAKER, "per speaker (transductive)")):
            lines += ["", f"### {title}, normalisation {words}", ""]
            lines += head("features", "columns", *models)
            for name in sets:
                cells = [score(boards, f"{name}_{m}{suffix}", protocol) for m in models]
                wide = next(e["n_columns"] for e in entries.values() if e["features"] == name)
                lines.append(row(f"`{name}`", str(wide), *cells))
    return lines


def noise(folders: Sequence[Path]) -> list[str]:
    """UAR under every condition."""
    lines = []
    for folder in folders:
        run = read_run(folder)
        whole = pd.read_parquet(folder / "predictions.parquet")
        records = run.info.get("conditions", [])
        curve = noise_curve(whole, labels=run.labels, conditions=records)
        entries = list(dict.fromkeys(curve["entry"]))
        lines += ["", f"### {run.info['corpus']['title']}", "", *head("condition", *entries)]
        for condition, part in curve.groupby("condition", sort=False):
            by = part.set_index("entry")
            scores = by.loc[entries, list(UAR)].to_numpy()
            lines.append(row(str(condition), *(with_interval(*one) for one in scores)))
    return lines


def cross(folders: Sequence[Path]) -> list[str]:
    """Trained on the row, tested on the column."""
    lines = []
    for folder in folders:
        run = read_run(folder)
        made = json.loads((folder / "folds.json").read_text(encoding="utf-8"))
        trained = trained_on(made, pd.read_parquet(folder / "rows.parquet"))
        corpora = ~run.predictions["protocol"].str.startswith("leave_one_language_out")
        table = cross_matrix(run.predictions[corpora], trained, labels=run.labels)
        for entry, part in table.groupby("entry", sort=False):
            wide = part.pivot_table(index="train", columns="test", values=list(UAR), sort=False)
            tests = list(dict.fromkeys(part["test"]))
            lines += ["", f"### `{entry}`", "", *head("trained on", *tests)]
            for train in wide.index:
                cells = (
                    with_interval(*(wide.loc[train].get((v, test), nan) for v in UAR))
                    for test in tests
                )
                lines.append(row(str(train), *cells))
        lines += ["", "### A language held out", "", *head("entry", "UAR")]
        for entry in dict.fromkeys(table["entry"]):
            lines.append(row(f"`{entry}`", score(run.board, entry, "leave_one_language_out")))
    return lines


TABLES: dict[str, Callable[[Sequence[Path]], list[str]]] = {
    "leak": leak,
    "baselines": baselines,
    "noise": noise,
    "cross": cross,
}

if __name__ == "__main__":
    what, *places = sys.argv[1:]
    print("\n".join(TABLES[what]([Path(p) for p in places])))
