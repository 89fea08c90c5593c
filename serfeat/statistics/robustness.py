"""What is left of a score under noise, in a room, on the telephone: a curve per entry.

A pure function of the predictions: the models were trained once, on undisturbed clips, and tested
on the same clips under every condition (`serfeat.conditions`), so that differences are paired.

Contents
--------
`noise_curve` : one row per protocol, entry and condition, with what the condition costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from serfeat import metrics
from serfeat.statistics.paired import clean_rows, paired_gap, same_clips
from serfeat.stats import bootstrap_over_groups, speaker_counts

__all__ = ["noise_curve"]

NAN = float("nan")


def noise_curve(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    conditions: Iterable[Mapping[str, Any]] = (),
    n: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score every entry under every condition.

    Parameters
    ----------
    predictions : the predictions table with a column `condition`; controls are left out.
    labels : (C,) all classes.
    conditions : what `Condition.record` says of each, as ``run.json`` holds them; without them
        kind is the condition's name and snr is NaN.
    n, seed : replicates and seed of the bootstrap.

    Returns
    -------
    One row per protocol x entry x condition, "clean" first and the others in order of appearance:
    kind, snr (dB), denoise, vad (empty: none), uar, uar_low, uar_high (95 %, over speakers), loss
    (UAR under the condition minus clean, on the same clips: below 0 is worse), loss_low,
    loss_high, loss_p, n (clips), speakers. The loss is NaN where the clean clips are not the same.
    """
    about = {str(c["name"]): c for c in conditions}
    trained = predictions[~predictions["control"].astype(bool).to_numpy()]
    rows = []
    for (protocol, entry), part in trained.groupby(
        ["protocol", "entry"], sort=False, observed=True
    ):
        clean = clean_rows(part)
        names = sorted(dict.fromkeys(part["condition"]), key=lambda name: name != "clean")
        for name in names:
            mine = part[(part["condition"] == name).to_numpy()]
            key = {"protocol": protocol, "entry": entry, "condition": name}
            settings = _settings(name, about.get(name, {}))
            rows.append(key | settings | _scored(mine, clean, name, labels, n, seed))
    return pd.DataFrame(rows)


def _settings(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    snr = said.get("snr")
    return {
        "kind": said.get("kind", name),
        "snr": NAN if snr is None else float(snr),
        "denoise": said.get("denoise", ""),
        "vad": said.get("vad", ""),
    }


def _scored(
    mine: pd.DataFrame, clean: pd.DataFrame, name: str, labels: Sequence[str], n: int, seed: int
) -> dict[str, Any]:
    """Score of one condition, and what it costs."""
    speakers, counts = speaker_counts(mine, labels=labels)
    low, high = bootstrap_over_groups(counts, n=n, seed=seed)
    loss = {"loss": NAN, "loss_low": NAN, "loss_high": NAN, "loss_p": NAN}
    if name == "clean":
        loss["loss"] = 0.0
    elif same_clips(mine, clean):
        d = paired_gap(mine, clean, labels=labels, n=n, seed=seed)
        loss = {"loss": d.difference, "loss_low": d.low, "loss_high": d.high, "loss_p": d.p}
    return {
        "uar": float(metrics.uar_of(counts.sum(axis=0))),
        "uar_low": low,
        "uar_high": high,
        **loss,
        "n": len(mine) // max(mine["seed"].nunique(), 1),
        "speakers": len(speakers),
    }
