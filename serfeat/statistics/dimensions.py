"""Leaderboard of regressions (valence, arousal, dominance) with intervals over speakers.

Conventions
-----------
A pure function of the table of predictions: one row per clip, entry, protocol, fold, seed and
`target`, with float64 `truth` and `prediction`. A clip without a truth (NaN) takes no part. Scores
are pooled over all clips of a protocol (CCC over everything at once), and the mean of the folds'
own CCC stands beside it: it is another number, since it does not see that a model is off for whole
speakers. With several seeds a score is the mean of the seeds' scores.

CCC and PCC of a constant prediction are 0 and NaN; that is chance. The yardstick of RMSE is
`truth_sd`, the error of always saying the mean of the tested truths: an RMSE above it has learnt
nothing.

Which interval
--------------
Simulated as in `serfeat.stats`: speakers differ in how loudly a dimension shows (sd .3), in an
offset of the prediction (sd .35 of the truth's) and in their mean truth (sd .3), 20 clips each,
true CCC .39, .69 and .87, 1500 corpora a case, 500 replicates; how often a nominal 95 % interval
covers the CCC of all speakers:

====================================  ===========  ===========  ==========
interval                              10 speakers  24 speakers  5 speakers
====================================  ===========  ===========  ==========
percentiles of the bootstrap          88 to 90 %   91 to 92 %   83 to 85 %
bootstrap standard error, t           90 to 95 %   93 to 94 %   92 to 96 %
the same on Fisher's z (ours)         92.6-95 %    93 to 94 %   93 to 96 %
RMSE: the same on the logarithm       91.5-94 %    92 to 94 %   92 to 95 %
====================================  ===========  ===========  ==========

So the default is Fisher's z with the bootstrap's standard error over speakers and Student's t with
G - 1 degrees of freedom. It is `serfeat.stats.bootstrap_over_groups` on ``(1 + CCC) / 2``, whose
logit is ``2 atanh(CCC)``. RMSE and MAE get the same on their logarithm (an error is positive).
Differences of two entries use t without a transform: of two equally good entries whose speaker
effects correlate by .7 it excluded 0 in 4.1 to 4.2 % of the corpora. The lowest coverage is that of
a CCC of .87, where a few speakers with an offset are nearly all of the error.

Contents
--------
`dimension_board`      : the leaderboard.
`dimension_difference` : score of one entry minus another's on the same clips, with interval.

Sources
-------
Lin, Biometrics 45, 1989 (CCC and its z transform). Intervals: see `serfeat.stats`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from serfeat import concordance, metrics
from serfeat.errors import ManifestError
from serfeat.stats import Difference, bootstrap_over_groups, clean_rows, clips_said
from serfeat.types import Floats

__all__ = ["SCORES", "dimension_board", "dimension_difference"]

Score = Literal["ccc", "pcc", "rmse", "mae", "mse"]
KEYS = ("protocol", "target", "condition", "entry", "control")


def _rmse_of(sums: ArrayLike) -> Floats:
    return np.asarray(np.sqrt(concordance.mse_of(sums)))


# Score -> (..., 7) summed moments to (...); see `serfeat.concordance.moments`.
SCORES: Mapping[Score, Callable[[ArrayLike], Floats]] = {
    "ccc": concordance.ccc_of,
    "pcc": concordance.pcc_of,
    "rmse": _rmse_of,
    "mae": concordance.mae_of,
    "mse": concordance.mse_of,
}


def dimension_board(
    predictions: pd.DataFrame, *, seed: int = 0, n_boot: int = 1000
) -> pd.DataFrame:
    """Score every entry under every protocol on every target.

    Parameters
    ----------
    predictions : rows of corpus, speaker, entry, protocol, fold, seed, control, target, truth,
        prediction, and condition where there is one.
    seed, n_boot : of the bootstrap over speakers.

    Returns
    -------
    One row per protocol, target, condition (each in order of appearance) and entry (highest CCC
    first, controls last): ccc, ccc_low, ccc_high (95 %, pooled over folds), ccc_folds_mean,
    ccc_folds_sd (over the folds that have a CCC), ccc_seeds_sd, pcc, pcc_low, pcc_high, rmse,
    rmse_low, rmse_high, mae, mse, truth_sd, n (clips with a truth), speakers, folds,
    folds_undefined (too few truths, or constant ones), seeds.
    """
    known = predictions[np.isfinite(predictions["truth"].to_numpy(dtype=np.float64))]
    keys = [k for k in KEYS if k in known]
    rows = []
    for key, part in known.groupby(keys, sort=False, observed=True):
        rows.append(dict(zip(keys, key, strict=True)) | _score_row(part, seed, n_boot))
    board = pd.DataFrame(rows)
    if board.empty:
        return board
    board["control"] = board["control"].astype(bool)
    groups = [k for k in keys if k not in ("entry", "control")]
    order = [pd.Series(pd.factorize(board[k])[0], name=k) for k in groups]
    order += [board["control"], -board["ccc"].fillna(-2.0)]
    places = pd.concat(order, axis=1, keys=range(len(order)))
    return board.loc[places.sort_values(list(places), kind="stable").index].reset_index(drop=True)


def _score_row(part: pd.DataFrame, seed: int, n_boot: int) -> dict[str, object]:
    """Scores of one entry under one protocol on one target."""
    _, units = _speaker_moments(part)  # (speakers, seeds, 7)
    total = units.sum(axis=0)  # (seeds, 7)
    found = {name: float(np.mean(of(total))) for name, of in SCORES.items()}
    ends: dict[str, float] = {}
    for name in ("ccc", "pcc", "rmse"):
        low, high = _interval(units, name, seed, n_boot)
        ends |= {f"{name}_low": low, f"{name}_high": high}
    folds = _fold_ccc(part)
    defined = folds[np.isfinite(folds)]
    first = part[part["seed"] == part["seed"].iloc[0]]
    return {
        "ccc": found["ccc"],
        "ccc_low": ends["ccc_low"],
        "ccc_high": ends["ccc_high"],
        "ccc_folds_mean": float(defined.mean()) if len(defined) else float("nan"),
        "ccc_folds_sd": _sd(defined),
        "ccc_seeds_sd": _sd(concordance.ccc_of(total)),
        "pcc": found["pcc"],
        "pcc_low": ends["pcc_low"],
        "pcc_high": ends["pcc_high"],
        "rmse": found["rmse"],
        "rmse_low": ends["rmse_low"],
        "rmse_high": ends["rmse_high"],
        "mae": found["mae"],
        "mse": found["mse"],
        "truth_sd": float(first["truth"].to_numpy(dtype=np.float64).std()),
        "n": len(first),
        "speakers": len(units),
        "folds": len(folds),
        "folds_undefined": len(folds) - len(defined),
        "seeds": len(total),
    }


def _speaker_moments(part: pd.DataFrame) -> tuple[list[str], Floats]:
    """Speakers (G,) sorted, and their summed moments (G, seeds, 7)."""
    truth = part["truth"].to_numpy(dtype=np.float64)
    each = concordance.moments(
        truth, part["prediction"].to_numpy(dtype=np.float64), origin=float(np.nanmean(truth))
    )
    speaker, names = pd.factorize(metrics.speaker_key(part), sort=True)
    run, runs = pd.factorize(part["seed"], sort=True)
    units = np.zeros((len(names), len(runs), each.shape[1]))
    np.add.at(units, (speaker, run), each)
    return [str(name) for name in names], units


def _interval(units: Floats, name: str, seed: int, n_boot: int) -> tuple[float, float]:
    """95 % interval of the mean over seeds of a score; for the method see the module."""
    of = SCORES[name]  # type: ignore[index]
    if name in ("ccc", "pcc"):
        low, high = bootstrap_over_groups(
            units, statistic=lambda s: (1 + of(s).mean(axis=-1)) / 2, n=n_boot, seed=seed
        )
        return 2 * low - 1, 2 * high - 1

    def logarithm(sums: Floats) -> Floats:
        mean = of(sums).mean(axis=-1)
        return np.log(np.where(mean > 0, mean, np.nan))

    low, high = bootstrap_over_groups(units, statistic=logarithm, n=n_boot, seed=seed, method="t")
    return float(np.exp(low)), float(np.exp(high))


def _fold_ccc(part: pd.DataFrame) -> Floats:
    """(folds,) CCC of each fold, mean over its seeds; NaN for one clip or constant truths."""
    found: dict[object, list[float]] = {}
    for (fold, _), one in part.groupby(["fold", "seed"], sort=False, observed=True):
        truth = one["truth"].to_numpy(dtype=np.float64)
        value = concordance.ccc(truth, one["prediction"]) if np.ptp(truth) > 0 else float("nan")
        found.setdefault(fold, []).append(value)
    return np.array([np.mean(values) for values in found.values()])


def _sd(values: ArrayLike) -> float:
    """Standard deviation (n - 1); NaN for fewer than two values."""
    x = np.asarray(values, dtype=np.float64)
    return float(x.std(ddof=1)) if len(x) > 1 else float("nan")


def dimension_difference(
    predictions: pd.DataFrame,
    a: str,
    b: str,
    protocol: str,
    *,
    target: str,
    score: Score = "ccc",
    n: int = 1000,
    seed: int = 0,
) -> Difference:
    """Score of entry `a` minus that of entry `b` on the same clips of one protocol.

    The same speakers are drawn for both in every replicate, so what is hard for both cancels out.

    Parameters
    ----------
    predictions : the predictions table (one condition); control rows are left out.
    a, b : names of entries.
    protocol, target : key of the protocol, e.g. ``"arousal"``.
    score : key of `SCORES`.
    n, seed : replicates and seed of the bootstrap.

    Raises
    ------
    ManifestError : the two were not tested on the same clips, or not at all.
    """
    sides = [_rows_of(predictions, entry, protocol, target) for entry in (a, b)]
    clips = [clips_said(rows) for rows in sides]
    if clips[0] != clips[1]:
        raise ManifestError(
            f"{a} was tested on {len(clips[0])} clips, {b} on {len(clips[1])} that are not the "
            f"same, under {protocol}, {target}",
            code="rows-differ",
            fix="compare entries on the same rows",
        )
    counts = [_speaker_moments(rows)[1] for rows in sides]
    seeds = [c.shape[1] for c in counts]
    # Entries of other numbers of seeds: the mean over each one's own, side by side in one array.
    units = np.concatenate(counts, axis=1)  # (speakers, seeds of a + seeds of b, 7)

    def difference(sums: Floats) -> Floats:
        values = SCORES[score](sums)
        return np.asarray(values[..., : seeds[0]].mean(-1) - values[..., seeds[0] :].mean(-1))

    low, high = bootstrap_over_groups(units, statistic=difference, n=n, seed=seed, method="t")
    value = float(difference(units.sum(axis=0, keepdims=True))[0])
    return Difference(value, low, high, len(units))


def _rows_of(predictions: pd.DataFrame, entry: str, protocol: str, target: str) -> pd.DataFrame:
    mine = (predictions["entry"] == entry) & (predictions["protocol"] == protocol)
    mine &= (predictions["target"] == target) & np.isfinite(predictions["truth"].astype(float))
    rows = clean_rows(predictions[mine.to_numpy()])
    if rows.empty:
        raise ManifestError(
            f"no predictions of {target} by {entry} under {protocol}", code="no-rows"
        )
    return rows
