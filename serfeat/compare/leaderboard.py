"""The leaderboard: predictions become one row of scores with intervals per protocol and entry.

A pure function of the table of predictions. UAR is reported twice: pooled over the folds (with its
interval over speakers, `serfeat.stats`) and as the mean of the folds, because a fold may lack a
class. Scores are 0..1; NaN is "not defined" (one fold has no spread, one seed neither).

Contents
--------
`leaderboard` : the table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from serfeat import metrics
from serfeat.stats import bootstrap_over_groups, speaker_counts

__all__ = ["leaderboard"]


def leaderboard(
    predictions: pd.DataFrame,
    costs: pd.DataFrame | None = None,
    *,
    labels: Sequence[str],
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Score every entry under every protocol.

    Parameters
    ----------
    predictions : the predictions table (columns: see `serfeat.report`).
    costs : fit_s, predict_s, n_test, ... per entry x protocol x fold x seed x control; optional.
    labels : (C,) all classes.
    seed, n_boot : of the bootstrap over speakers.

    Returns
    -------
    One row per protocol (in order of appearance) and entry (best first, controls last): uar
    (pooled over folds, mean over seeds), uar_low, uar_high (95 %), uar_folds_mean, uar_folds_sd
    (over folds, NaN with one), uar_seeds_sd (NaN with one seed), war, f1_macro, auc, n (clips),
    classes (present in the truth), speakers, folds, folds_incomplete (folds that lack a class),
    seeds, chance (1 / C); with `costs` also fit_s (all folds, mean over seeds) and predict_ms
    (milliseconds per clip).
    """
    rows = []
    keys = ["protocol", "entry", "control"]
    for key, part in predictions.groupby(keys, sort=False, observed=True):
        row = dict(zip(keys, key, strict=True))
        row |= _score_row(part, labels, seed, n_boot)
        if costs is not None:
            row |= _cost_row(costs, row)
        rows.append(row)
    board = pd.DataFrame(rows)
    if board.empty:
        return board
    board["control"] = board["control"].astype(bool)
    order = {p: i for i, p in enumerate(dict.fromkeys(board["protocol"]))}
    board = board.assign(_p=board["protocol"].map(order), _u=-board["uar"])
    board = board.sort_values(["_p", "control", "_u"], kind="stable")
    return board.drop(columns=["_p", "_u"]).reset_index(drop=True)


def _score_row(
    part: pd.DataFrame, labels: Sequence[str], seed: int, n_boot: int
) -> dict[str, object]:
    """Scores of one entry under one protocol."""
    speakers, counts = speaker_counts(part, labels=labels)
    low, high = bootstrap_over_groups(counts, seed=seed, n=n_boot)
    columns = [f"p_{label}" for label in labels]
    seeds = []
    for _, one in part.groupby("seed", sort=True):
        proba = one[columns].to_numpy() if set(columns) <= set(one.columns) else None
        seeds.append(
            metrics.scores(list(one["truth"]), list(one["prediction"]), proba, labels=labels)
        )
    folds = _fold_scores(part, labels)
    each_fold = folds.groupby("fold", sort=False)["uar"].mean()
    mean = {name: float(np.mean([s[name] for s in seeds])) for name in ("war", "f1_macro", "auc")}
    return {
        "uar": float(metrics.uar_of(counts.sum(axis=0))),
        "uar_low": low,
        "uar_high": high,
        "uar_folds_mean": float(each_fold.mean()),
        "uar_folds_sd": _sd(each_fold),
        "uar_seeds_sd": _sd([s["uar"] for s in seeds]),
        **mean,
        "n": int(seeds[0]["n"]),
        "classes": int(seeds[0]["classes"]),
        "speakers": len(speakers),
        "folds": len(each_fold),
        "folds_incomplete": int(folds[folds["classes"] < len(labels)]["fold"].nunique()),
        "seeds": len(seeds),
        "chance": 1 / len(labels),
    }


def _sd(values: ArrayLike) -> float:
    """Standard deviation (n - 1); NaN for fewer than two values."""
    x = np.asarray(values, dtype=np.float64)
    return float(x.std(ddof=1)) if len(x) > 1 else float("nan")


def _fold_scores(part: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """UAR and number of classes present, one row per fold and seed."""
    rows = []
    for (fold, _), one in part.groupby(["fold", "seed"], sort=False):
        counts = metrics.confusion(list(one["truth"]), list(one["prediction"]), labels)
        classes = int((counts.sum(axis=1) > 0).sum())
        rows.append({"fold": fold, "uar": float(metrics.uar_of(counts)), "classes": classes})
    return pd.DataFrame(rows)


def _cost_row(costs: pd.DataFrame, row: dict[str, object]) -> dict[str, float]:
    """Seconds of training over all folds (mean over seeds) and milliseconds per tested clip."""
    mine = costs[(costs["entry"] == row["entry"]) & (costs["protocol"] == row["protocol"])]
    mine = mine[mine["control"].astype(bool) == bool(row["control"])]
    if mine.empty:
        return {"fit_s": float("nan"), "predict_ms": float("nan")}
    clips = float(mine["n_test"].sum())
    return {
        "fit_s": float(mine["fit_s"].sum() / mine["seed"].nunique()),
        "predict_ms": 1000 * float(mine["predict_s"].sum()) / clips if clips else float("nan"),
    }
