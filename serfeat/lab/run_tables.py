"""What the Runs view of the lab shows: pure functions of a stored run.

Conventions
-----------
A run is known by an identifier, never by a path that came with a request: `runs_below` looks at
what lies in the runs folder and says which folder an identifier stands for. A folder that leads out
of the runs folder through a link is not among them.

Scores are 0..1, times are seconds. Everything is counted from the clean predictions by models that
were trained on true labels. Several seeds of one clip are several rows: their confusions add up.

Contents
--------
`runs_below`       : identifier -> folder.
`overview`         : what the leaderboard page of a run needs.
`said`             : the predictions of a run.    `unreadable` : why there are none, in one line.
`of_entry`         : those of one entry under one protocol.
`confusion`, `by_speaker`, `clips` : one entry.
`versus`           : two entries, clip by clip.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.compare.reading import read_record
from serfeat.errors import SerfeatError, StoreError, did_you_mean
from serfeat.stats import clean_rows
from serfeat.store import read_parquet

__all__ = [
    "by_speaker",
    "clips",
    "confusion",
    "of_entry",
    "overview",
    "runs_below",
    "said",
    "unreadable",
    "versus",
]

CLIP = ("corpus", "file", "start", "end")
NEEDED = (*CLIP, "speaker", "truth", "prediction", "entry", "protocol", "fold", "seed", "control")
BOARD = (
    *("entry", "control", "uar", "uar_low", "uar_high", "uar_folds_mean", "war", "f1_macro"),
    *("auc", "n", "speakers", "folds", "seeds", "chance", "fit_s", "predict_ms"),
)
RATINGS = ("entry", "control", "target", "ccc", "ccc_low", "ccc_high", "pearson", "rmse", "n")
PAIR = ("a", "b", "difference", "low", "high", "p", "p_holm", "p_mcnemar", "better")
WHO = ("both", "first", "second", "neither")


def runs_below(folder: Path) -> dict[str, Path]:
    """Find the runs in a folder and below it: identifier -> folder, in the order of their names.

    The identifier is a hash of the path below `folder`: 16 hexadecimal digits.
    """
    if not folder.is_dir():
        return {}
    root = folder.resolve()
    found = {}
    for path in sorted(folder.rglob("run.json")):
        if path.resolve().is_relative_to(root):
            name = path.parent.relative_to(folder).as_posix()
            digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8)
            found[digest.hexdigest()] = path.parent
    return found


# --- a run ------------------------------------------------------------------------------------


def overview(folder: Path) -> dict[str, Any]:
    """Describe a run: its words, its marks, its leaderboard and which entry is better than which.

    Returns
    -------
    title, command, created, corpus, labels, targets (of a run on ratings), normalisation,
    selection, lint (state, findings), entries (name, kind, words, features), protocols (key, words,
    speaker_independent, marks, rows of the leaderboard with ``better_than``, tested pairs).

    Raises
    ------
    StoreError : a run that cannot be read.
    """
    from serfeat.report.differences import beaten_by
    from serfeat.report.run import read_run

    try:
        run = read_run(folder)
        info, lint = run.info, run.lint
        protocols = []
        for protocol in run.protocols:
            key = str(protocol["key"])
            rows = run.board[run.board["protocol"] == key]
            known = [c for c in (RATINGS if run.targets else BOARD) if c in rows]
            pairs = run.pairs[run.pairs["protocol"] == key]
            protocols.append(
                {
                    "key": key,
                    "words": str(protocol.get("words", "")),
                    "speaker_independent": bool(protocol["speaker_independent"]),
                    "marks": list(run.marks(key)),
                    "rows": [
                        row
                        | {"kind": run.kind(str(row["entry"]))}
                        | {"normalisation": run.normalisation(str(row["entry"]))}
                        | {"better_than": _beaten(row, lambda e, k=key: beaten_by(run, e, k))}
                        for row in rows[known].to_dict("records")
                    ],
                    "pairs": pairs[[c for c in PAIR if c in pairs]].to_dict("records"),
                }
            )
        return {
            **{k: str(info.get(k, "")) for k in ("title", "command", "created")},
            **{k: str(info.get(k, "")) for k in ("normalisation", "selection")},
            "corpus": {k: v for k, v in info["corpus"].items() if k != "counts"},
            "labels": run.labels,
            "targets": run.targets,
            "lint": _lint(lint),
            "entries": [
                {k: e.get(k, "") for k in ("name", "kind", "words", "features", "licence")}
                for e in info["entries"]
            ],
            "protocols": protocols,
        }
    except (SerfeatError, KeyError, TypeError, ValueError, AttributeError, OSError) as problem:
        raise unreadable(folder, problem) from problem


def _beaten(row: dict[str, Any], names: Any) -> list[str]:
    return [] if row.get("control") else list(names(str(row["entry"])))


def _lint(lint: dict[str, Any] | None) -> dict[str, Any]:
    """State ("clean", "leak" or "not linted") and findings of a run's lint."""
    if lint is None:
        return {"state": "not linted", "findings": []}
    known = ("kind", "severity", "where", "words")
    findings = [{k: str(f.get(k, "")) for k in known} for f in lint.get("findings", [])]
    return {"state": "clean" if lint.get("clean") else "leak", "findings": findings}


def unreadable(folder: Path, problem: Exception) -> StoreError:
    """Say in one line what is wrong with a run, and not where on this disk it lies."""
    if isinstance(problem, SerfeatError):
        words, code, fix = problem.message, problem.code, problem.fix
    else:
        words, code, fix = f"cannot be read ({type(problem).__name__}: {problem})", "", ""
    words = " ".join(words.split()).replace(f"{folder}/", "").replace(str(folder), folder.name)
    return StoreError(
        words[:300],
        where=folder.name,
        code=code or "unreadable-run",
        fix=fix or "run the comparison again",
    )


def said(folder: Path) -> tuple[list[str], pd.DataFrame]:
    """Read a run's labels and its clean predictions; start and end in seconds, end NaN: to the end.

    Raises
    ------
    StoreError : a run that cannot be read, or a run on ratings, which has no confusion.
    """
    try:
        labels = [str(label) for label in read_record(folder)["labels"]]
        table = read_parquet(folder / "predictions.parquet")
        if lacking := [c for c in NEEDED if c not in table]:
            raise StoreError(
                f"predictions without {', '.join(lacking)}", where=folder.name, code="no-column"
            )
        table = clean_rows(table).reset_index(drop=True)
        for bound in ("start", "end"):
            table[bound] = table[bound].astype("timedelta64[ns]").dt.total_seconds()
        for word in ("corpus", "file", "speaker", "entry", "protocol", "fold"):
            table[word] = table[word].astype(str)
    except (SerfeatError, OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise unreadable(folder, problem) from problem
    if "target" in table and (table["target"] != "emotion").any():
        raise StoreError(
            "a run on ratings has no confusion",
            where=folder.name,
            code="ratings",
            fix="open its report",
        )
    return labels, table


def of_entry(table: pd.DataFrame, protocol: str, entry: str) -> pd.DataFrame:
    """The predictions of one entry under one protocol.

    Raises
    ------
    UnknownNameError : a protocol or an entry that the run does not have.
    """
    mine = table[(table["protocol"] == protocol).to_numpy()]
    if mine.empty:
        raise did_you_mean("protocol", protocol, set(table["protocol"]))
    rows = mine[(mine["entry"] == entry).to_numpy()]
    if rows.empty:
        raise did_you_mean("entry", entry, set(mine["entry"]))
    return rows


# --- one entry --------------------------------------------------------------------------------


def confusion(rows: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Count what was said of what: labels, counts (truth, prediction), recall of each, seeds, uar.

    With several seeds a clip counts once a seed. A recall without a clip is NaN.
    """
    counts = metrics.confusion(list(rows["truth"]), list(rows["prediction"]), labels)
    total = counts.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.diag(counts) / total
    return {
        "labels": list(labels),
        "counts": counts.astype(int).tolist(),
        "recall": recall.tolist(),
        "seeds": int(rows["seed"].nunique()),
        "uar": float(metrics.uar_of(counts)),
    }


def by_speaker(rows: pd.DataFrame, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Score each speaker: corpus, speaker, n (clips), uar, war; the worst first.

    The UAR is over the emotions that the speaker has clips of.
    """
    found = []
    for (corpus, speaker), part in rows.groupby(["corpus", "speaker"], sort=True):
        counts = metrics.confusion(list(part["truth"]), list(part["prediction"]), labels)
        found.append(
            {"corpus": str(corpus), "speaker": str(speaker)}
            | {"n": len(part.drop_duplicates(list(CLIP)))}
            | {"uar": float(metrics.uar_of(counts)), "war": float(np.trace(counts) / len(part))}
        )
    return sorted(found, key=lambda row: (math.isnan(row["uar"]), row["uar"]))


def clips(
    rows: pd.DataFrame,
    *,
    truth: str = "",
    prediction: str = "",
    speaker: str = "",
    first: int = 0,
    count: int = 50,
) -> dict[str, Any]:
    """List the clips of a cell, or of a speaker, the surest prediction first.

    Parameters
    ----------
    truth, prediction, speaker : wanted; empty: any.
    first, count : which of them.

    Returns
    -------
    total, and rows: corpus, file, start, end, speaker, truth, prediction, chance (the probability
    of what was said, NaN: the model has none), fold, seed.
    """
    keep = np.ones(len(rows), dtype=bool)
    for column, value in (("truth", truth), ("prediction", prediction), ("speaker", speaker)):
        if value:
            keep &= (rows[column].astype(str) == value).to_numpy()
    mine = rows[keep]
    mine = mine.assign(chance=_chance(mine)).sort_values("chance", ascending=False, kind="stable")
    shown = [*CLIP, "speaker", "truth", "prediction", "chance", "fold", "seed"]
    page = mine.iloc[max(first, 0) : max(first, 0) + max(count, 0)]
    return {"total": len(mine), "rows": page[shown].to_dict("records")}


def _chance(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """(n,) probability of what was said."""
    columns = {c.removeprefix("p_"): c for c in map(str, rows.columns) if c.startswith("p_")}
    chance = np.full(len(rows), np.nan)
    for label, column in columns.items():
        mine = (rows["prediction"].astype(str) == label).to_numpy()
        chance[mine] = rows[column].to_numpy(dtype=np.float64)[mine]
    return chance


# --- two entries ------------------------------------------------------------------------------


def versus(
    a: pd.DataFrame,
    b: pd.DataFrame,
    labels: Sequence[str],
    *,
    who: str = "",
    truth: str = "",
    first: int = 0,
    count: int = 50,
) -> dict[str, Any]:
    """Compare two entries clip by clip: who is right where.

    Parameters
    ----------
    a, b : predictions of the two under one protocol.
    who : "first" (only the first is right), "second", "both", "neither"; empty: all on which one
        is right and the other wrong.
    truth : emotion; empty: any.

    Returns
    -------
    counts (of both, first, second, neither right), by_truth (the same for each emotion), unpaired
    (clips that only one of them has), total (of those asked for) and rows: the clip, speaker, truth
    and of each what it said (``first``, ``second``) and how probable it was.

    Raises
    ------
    UnknownNameError : another word for `who`.
    """
    if who and who not in WHO:
        raise did_you_mean("kind of disagreement", who, WHO)
    keys = [*CLIP, "fold", "seed"]
    sides = []
    for name, rows in (("first", a), ("second", b)):
        side = rows.assign(**{name: rows["prediction"].astype(str), f"{name}_p": _chance(rows)})
        sides.append(side[[*keys, "speaker", "truth", name, f"{name}_p"]])
    # pandas joins a missing end (the whole file) to a missing end.
    both = sides[0].merge(sides[1].drop(columns=["speaker", "truth"]), on=keys)
    right = [(both[name] == both["truth"].astype(str)).to_numpy() for name in ("first", "second")]
    kind = np.select(
        [right[0] & right[1], right[0] & ~right[1], ~right[0] & right[1]], WHO[:3], WHO[3]
    )
    both = both.assign(who=kind)
    table = pd.crosstab(both["truth"].astype(str), both["who"]).reindex(
        index=list(labels), columns=list(WHO), fill_value=0
    )
    keep = np.isin(kind, [who] if who else ["first", "second"])
    if truth:
        keep &= (both["truth"].astype(str) == truth).to_numpy()
    mine = both[keep].drop(columns=["seed"])
    return {
        "counts": {w: int((kind == w).sum()) for w in WHO},
        "by_truth": [
            {"truth": str(t), **{w: int(row[w]) for w in WHO}} for t, row in table.iterrows()
        ],
        "unpaired": len(a) + len(b) - 2 * len(both),
        "total": len(mine),
        "rows": mine.iloc[max(first, 0) : max(first, 0) + max(count, 0)].to_dict("records"),
    }
