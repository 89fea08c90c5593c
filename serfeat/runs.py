"""Stored runs: what there is in a folder, and one run against another.

Conventions
-----------
A run is a folder with ``run.json`` and ``predictions.parquet`` (see `serfeat.report`). Scores are
0..1. Nothing is written. A run that cannot be read has a row that says why, because one broken
folder must not hide the others.

Two runs are compared entry by entry on the predictions, not on the printed scores. Where the clips
or the labels differ there is no difference to speak of, and the row says so instead. Where they are
the same, everything else that differs (features, settings, normalisation, folds, version, lint) is
listed beside the number: any of it may be the reason.

Contents
--------
`list_runs`    : folder -> one row per run.
`compare_runs` : two runs -> one row per protocol and entry that both have.
`glance`            : of `list_runs`, what fits on a line of a terminal.
`as_rows` `as_json` : either table for a terminal, for a program.

Sources
-------
The paired interval is that of `serfeat.statistics.paired`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.compare.leaderboard import leaderboard
from serfeat.compare.reading import read_folds, read_lint, read_record
from serfeat.compare.seal import changed
from serfeat.errors import SerfeatError, StoreError
from serfeat.statistics.paired import clean_rows, paired_gap, same_clips
from serfeat.statistics.paired_tests import holm
from serfeat.store import read_parquet

__all__ = ["as_json", "as_rows", "compare_runs", "glance", "list_runs"]

LISTED = (
    *("name", "title", "corpus", "rows", "protocols", "entries", "best", "protocol", "score"),
    *("value", "low", "high", "created", "lint", "marks", "megabytes", "problem"),
)
COMPARED = (
    *("protocol", "entry", "uar_a", "uar_b", "difference", "low", "high", "p", "p_holm"),
    *("comparable", "notes"),
)
NAN = float("nan")


def list_runs(folder: Path) -> pd.DataFrame:
    """Find the runs in a folder and below it.

    Parameters
    ----------
    folder : for example ``runs``; may be a run itself.

    Returns
    -------
    One row per run, in the order of names: name (path below `folder`), title, corpus, rows (clips),
    protocols and entries (names, "; " between them), best (the entry with the highest score under
    protocol, the first that holds out speakers), score ("uar" or "ccc"), value, low, high (95 %),
    created, lint ("clean", "leak", "not linted", or "changed" since it was written), megabytes (all
    files), problem (empty: none).

    Raises
    ------
    StoreError : no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StoreError("not a folder", where=folder, code="missing-folder")
    found = sorted(p.parent for p in folder.rglob("run.json"))
    rows = []
    for run in found:
        name = str(run.relative_to(folder)) if run != folder else folder.resolve().name
        size = sum(f.stat().st_size for f in run.rglob("*") if f.is_file()) / 1e6
        row: dict[str, Any] = {"name": name, "megabytes": size, "problem": ""}
        try:
            row |= _described(run)
        except (SerfeatError, KeyError, TypeError, ValueError, OSError) as problem:
            row["problem"] = f"{type(problem).__name__}: {problem}"
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(LISTED))
    words = ["title", "corpus", "protocols", "entries", "best", "protocol", "score"]
    return table.fillna(dict.fromkeys([*words, "created", "lint", "marks"], ""))


def glance(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `list_runs` for a terminal of 80 columns: what a run is and came to."""
    short = table[["name", "title", "corpus", "best", "score", "value", "low", "high", "lint"]]
    # What nothing is wrong with needs no column for it
    return short.assign(problem=table["problem"]) if table["problem"].any() else short


def _described(run: Path) -> dict[str, Any]:
    """What run.json and the scores say of one run."""
    info = read_record(run)
    board = _board(run, info)
    board = board[~board["control"].astype(bool)]
    held = [p["key"] for p in info["protocols"] if p["speaker_independent"]]
    ran = list(dict.fromkeys(board["protocol"]))
    protocol = next((p for p in [*held, *ran] if p in ran), "")
    score = "uar" if "uar" in board else "ccc"
    mine = board[(board["protocol"] == protocol) & board[score].notna()]
    best = mine.loc[mine[score].idxmax()] if len(mine) else pd.Series(dtype=object)
    return {
        "title": str(info.get("title", "")),
        "corpus": str(info["corpus"].get("name", "")),
        "rows": int(info["corpus"].get("rows", 0)),
        "protocols": "; ".join(str(p["key"]) for p in info["protocols"]),
        "entries": "; ".join(str(e["name"]) for e in info["entries"]),
        "best": str(best.get("entry", "")),
        "protocol": protocol,
        "score": score,
        "value": float(best.get(score, NAN)),
        "low": float(best.get(f"{score}_low", NAN)),
        "high": float(best.get(f"{score}_high", NAN)),
        "created": str(info.get("created", "")),
        "lint": _lint(run),
        "marks": "; ".join(
            word
            for word, true in {
                "synthetic speech": info["corpus"].get("synthetic", False),
                "SPEAKER-DEPENDENT": bool(protocol) and protocol not in held,
            }.items()
            if true
        ),
    }


def _board(run: Path, info: Mapping[str, Any]) -> pd.DataFrame:
    """The leaderboard: the written one unless the predictions are newer."""
    written, source = run / "leaderboard.csv", run / "predictions.parquet"
    if not source.exists():
        raise StoreError("no predictions.parquet", where=run, code="incomplete-run")
    if written.exists() and written.stat().st_mtime >= source.stat().st_mtime:
        return pd.read_csv(written, keep_default_na=False, na_values=[""])
    predictions = read_parquet(source)
    if "target" in predictions and (predictions["target"] != "emotion").any():
        from serfeat.statistics.dimensions import dimension_board  # only runs on ratings need it

        board = dimension_board(predictions)
        return board[board["condition"] == "clean"] if "condition" in board else board
    if "condition" in predictions:
        predictions = predictions[predictions["condition"] == "clean"]
    return leaderboard(predictions, labels=[str(x) for x in info["labels"]])


def _lint(run: Path) -> str:
    if changed(run):
        return "changed"
    lint = read_lint(run)
    return "not linted" if lint is None else "clean" if lint["clean"] else "leak"


# --- one against another ---------------------------------------------------------------------


def compare_runs(a: Path, b: Path) -> pd.DataFrame:
    """Compare the entries that two runs have in common.

    Parameters
    ----------
    a, b : folders of runs.

    Returns
    -------
    One row per protocol and entry that both have: uar_a, uar_b, difference (b minus a, on the same
    clips), low, high (95 %, over speakers), p, p_holm (over all rows), comparable (False: the
    difference is NaN), notes (why not, or what else is not the same; empty: nothing that is known).

    Raises
    ------
    StoreError : a run that cannot be read, a run on ratings, or no entry under a protocol that
        both have.
    """
    sides = [_side(Path(x)) for x in (a, b)]
    shared = [cell for cell in sides[0].cells if cell in set(sides[1].cells)]
    if not shared:
        have = [", ".join(f"{e} ({p})" for p, e in s.cells[:5]) for s in sides]
        raise StoreError(
            f"no entry under the same protocol as in {a}: here {have[1]}, there {have[0]}",
            where=b,
            code="nothing-in-common",
            fix="compare runs that share an entry's name and a protocol",
        )
    rows = [_compared(sides[0], sides[1], protocol, entry) for protocol, entry in shared]
    table = pd.DataFrame(rows, columns=[c for c in COMPARED if c != "p_holm"])
    table.insert(COMPARED.index("p_holm"), "p_holm", holm(table["p"]))
    return table


@dataclass(frozen=True)
class _Side:
    """One of the two runs: run.json, the clean predictions, what its lint said, and its folder."""

    info: dict[str, Any]
    rows: pd.DataFrame
    lint: str
    folder: Path

    @property
    def labels(self) -> list[str]:
        """All classes."""
        return [str(x) for x in self.info["labels"]]

    @property
    def cells(self) -> list[tuple[str, str]]:
        """The (protocol, entry) that have predictions."""
        pairs = self.rows[["protocol", "entry"]].drop_duplicates()
        return [(str(p), str(e)) for p, e in pairs.itertuples(index=False)]

    def part(self, protocol: str, entry: str) -> pd.DataFrame:
        """The predictions of one cell."""
        mine = (self.rows["protocol"] == protocol) & (self.rows["entry"] == entry)
        return self.rows[mine.to_numpy()]

    @cached_property
    def _clips(self) -> Any:
        """Each row of the run with its label as a text; None of a run that does not hold them."""
        path = self.folder / "rows.parquet"
        if not path.is_file():
            return None
        names = ["corpus", "file", "start", "end", "speaker", "emotion"]
        try:
            rows = read_parquet(path)[names]
        except (OSError, ValueError, KeyError) as problem:
            raise StoreError(str(problem), where=self.folder, code="unreadable-run") from problem
        return rows.astype(object).map(str).agg("\x1f".join, axis=1).to_numpy()

    @cached_property
    def _folds(self) -> dict[str, Any]:
        return read_folds(self.folder)

    def trained_on(self, protocol: str) -> set[frozenset[str]]:
        """The training clips and their labels of each fold; what the run holds of them."""
        made = self._folds.get(protocol)
        if made is None or self._clips is None:
            return {frozenset([str(self.info.get("manifest_sha256", ""))])}
        try:
            return {frozenset(self._clips[[*f["train"], *f.get("validation", [])]]) for f in made}
        except IndexError as problem:
            raise StoreError(str(problem), where=self.folder, code="unreadable-run") from problem

    def entry(self, name: str) -> dict[str, Any]:
        """What run.json says of an entry."""
        return next((dict(e) for e in self.info["entries"] if e["name"] == name), {})


def _side(folder: Path) -> _Side:
    """Read one of the two runs."""
    info = read_record(folder)
    try:
        rows = clean_rows(read_parquet(folder / "predictions.parquet"))
    except (OSError, ValueError, KeyError) as problem:
        raise StoreError(str(problem), where=folder, code="unreadable-run") from problem
    if "target" in rows and (rows["target"] != "emotion").any():
        raise StoreError(
            "a run on ratings; only runs on emotions are compared",
            where=folder,
            code="ratings",
            fix="look at the two reports side by side",
        )
    return _Side(info, rows, _lint(folder), folder)


def _compared(a: _Side, b: _Side, protocol: str, entry: str) -> dict[str, Any]:
    """One row: the difference, or why there is none."""
    parts = [side.part(protocol, entry) for side in (a, b)]
    uars = [_uar(part, side) for part, side in zip(parts, (a, b), strict=True)]
    row: dict[str, Any] = {"protocol": protocol, "entry": entry, "uar_a": uars[0], "uar_b": uars[1]}
    row |= {"difference": NAN, "low": NAN, "high": NAN, "p": NAN}
    if set(a.labels) != set(b.labels):
        only = [sorted(set(x.labels) - set(y.labels)) for x, y in ((a, b), (b, a))]
        why = f"other labels: only the first has {only[0]}, only the second {only[1]}"
        return row | {"comparable": False, "notes": why}
    if not same_clips(*parts):
        sizes = [len(p.drop_duplicates(["corpus", "file", "start", "end"])) for p in parts]
        why = f"other clips: {sizes[0]} and {sizes[1]}, not the same"
        return row | {"comparable": False, "notes": why}
    d = paired_gap(parts[1], parts[0], labels=a.labels)
    row |= {"difference": d.difference, "low": d.low, "high": d.high, "p": d.p}
    return row | {"comparable": True, "notes": "; ".join(_other(a, b, protocol, entry))}


def _uar(part: pd.DataFrame, side: _Side) -> float:
    from serfeat import metrics

    return metrics.uar(list(part["truth"]), list(part["prediction"]), side.labels)


def _other(a: _Side, b: _Side, protocol: str, entry: str) -> list[str]:
    """Everything but the clips that differs between the two and is known."""
    one, two = a.entry(entry), b.entry(entry)
    notes = []
    for name in ("model", "features", "n_columns", "params", "targets", "augment", "tune"):
        if one.get(name) != two.get(name):
            notes.append(f"{name}: {_said(one.get(name))} against {_said(two.get(name))}")
    before, after = (e.get("normalisation", "global") for e in (one, two))
    if before != after:
        notes.append(f"normalisation: {before} against {after}, not like for like")
    if not _same_folds(a.part(protocol, entry), b.part(protocol, entry)):
        notes.append("other folds")
    elif a.trained_on(protocol) != b.trained_on(protocol):
        notes.append("trained on other clips or labels")
    seeds = [sorted(set(map(str, s.part(protocol, entry)["seed"]))) for s in (a, b)]
    if seeds[0] != seeds[1]:
        notes.append(f"seeds: {', '.join(seeds[0])} against {', '.join(seeds[1])}")
    versions = [s.info.get("versions", {}) for s in (a, b)]
    for name in sorted(set(versions[0]) | set(versions[1])):
        old, new = (v.get(name, "none") for v in versions)
        if old != new:
            notes.append(f"{name} {old} against {new}")
    notes += [f"{which}: {s.lint}" for which, s in (("a", a), ("b", b)) if s.lint != "clean"]
    return notes


def _said(value: object) -> str:
    return "nothing" if value in (None, {}, "") else str(value)


def _same_folds(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether the clips were divided alike, whatever the folds are called."""
    keys = ["corpus", "file", "start", "end"]
    sides = [p.drop_duplicates([*keys, "fold"])[[*keys, "fold"]] for p in (first, second)]
    both = sides[0].merge(sides[1], on=keys, suffixes=("_a", "_b"))
    pairs = both[["fold_a", "fold_b"]].drop_duplicates()
    return bool(pairs["fold_a"].is_unique and pairs["fold_b"].is_unique)


# --- text and JSON ---------------------------------------------------------------------------


def as_rows(table: pd.DataFrame) -> list[list[str]]:
    """A table of `list_runs` or `compare_runs` as rows of text; the first is the header.

    Scores are in percent, differences in points, "–" is "not defined".
    """
    return [list(table.columns), *([_cell(n, v) for n, v in row.items()] for row in _rows(table))]


def as_json(table: pd.DataFrame) -> str:
    """The same as JSON, full precision: a list of objects; what is not defined is null."""
    return json.dumps(_rows(table), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with plain values; NaN is None."""
    return [
        {str(k): None if pd.isna(v) else v.item() if isinstance(v, np.generic) else v
         for k, v in row.items()}
        for row in table.to_dict("records")
    ]  # fmt: skip


def _cell(name: str, value: Any) -> str:
    from serfeat.report.numbers import p_value, percent, points, visible

    if value is None:
        return "–"
    shown = {"p": p_value, "p_holm": p_value, "difference": points}
    shown |= dict.fromkeys(("uar_a", "uar_b", "value"), percent)
    if name in shown:
        return shown[name](value)
    if name in ("low", "high"):
        return f"{100 * value:.1f}".replace("-", "−")
    if isinstance(value, float):
        return f"{value:.1f}"
    return visible(value)
