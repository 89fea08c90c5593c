"""Checks of a stored run: does it hold the predictions that its folds and its scores speak of?

Each clip is predicted once per entry, protocol and seed, in the fold that tests it, against the
label of the manifest; the scores follow from that; a model trained on shuffled labels knows
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from serfeat.lint.evidence import Evidence, Trace, listed
from serfeat.metrics import confusion, uar_of

__all__ = [
    "changed_since",
    "control_above_chance",
    "control_missing",
    "entries_alike",
    "perfect",
    "predicted_in_training",
    "predictions_double",
    "predictions_missing",
    "scores_differ",
    "truth_differs",
]

RUN = ["entry", "protocol", "seed", "control"]
CONTROL_MARGIN = 0.03  # of UAR above chance
TOO_GOOD = 0.995


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    """File, start and end of every row; NaT made comparable."""
    end = pd.to_timedelta(table["end"]).fillna(pd.Timedelta(-1))
    return pd.MultiIndex.from_arrays([table["file"].astype(str), table["start"], end])


def _runs(e: Evidence) -> Iterator[tuple[dict[str, Any], str, pd.DataFrame, Any]]:
    """Key, name, predictions of each entry, protocol, seed, shuffling and condition, and where."""
    if e.predictions is None:
        return
    keys = RUN + [c for c in ("condition", "target") if c in e.predictions]
    groups = e.predictions.groupby(keys, sort=False, observed=True).indices
    for key, places in groups.items():
        part = e.predictions.iloc[places]
        of = dict(zip(keys, key, strict=True))
        name = f"{of['entry']}, {of['protocol']}, seed {of['seed']}"
        extras = [str(of[c]) for c in ("condition", "target") if c in of]
        plain = {"clean", "emotion", ""}
        name += "".join(f", {x}" for x in extras if x not in plain)
        yield of, name + (", control" if of["control"] else ""), part, places


def _numbered(e: Evidence) -> Any:
    """(m,) row number of the clip of every prediction; -1 where the run has no such clip."""
    rows = _keys(e.rows)
    if e.predictions is None or rows.has_duplicates:
        return np.full(0 if e.predictions is None else len(e.predictions), -1, dtype=np.int64)
    return rows.get_indexer(_keys(e.predictions))


def _tests(e: Evidence, of: Mapping[str, Any]) -> dict[str, Any]:
    """Fold name -> row numbers of its test side, of the protocol of one run."""
    return {s.name: s.test for d in e.divisions if d.protocol == of["protocol"] for s in d.sides}


def predictions_missing(e: Evidence) -> Iterable[Trace]:
    """Test clips without a prediction."""
    numbers = _numbered(e)
    for of, name, part, places in _runs(e):
        fold = part["fold"].astype(str).to_numpy()
        lost = sum(
            len(np.setdiff1d(test, numbers[places[fold == f]])) for f, test in _tests(e, of).items()
        )
        empty = int(part["prediction"].isna().sum())
        if lost or empty:
            yield Trace(name, f"{lost + empty} test clips have no prediction")


def predictions_double(e: Evidence) -> Iterable[Trace]:
    """Test clips that are predicted twice in one fold."""
    numbers = _numbered(e)
    for _, name, part, places in _runs(e):
        pairs = pd.DataFrame({"fold": part["fold"].to_numpy(), "row": numbers[places]})
        double = int(pairs[pairs["row"] >= 0].duplicated().sum())
        if double:
            yield Trace(name, f"{double} predictions stand twice")


def predicted_in_training(e: Evidence) -> Iterable[Trace]:
    """Predictions of clips that their fold was trained on, or that it does not know."""
    numbers = _numbered(e)
    for of, name, part, places in _runs(e):
        fold = part["fold"].astype(str).to_numpy()
        tests = _tests(e, of)
        right = np.zeros(len(part), dtype=np.bool_)
        for f, test in tests.items():
            right |= (fold == f) & np.isin(numbers[places], test)
        strange = int((~right).sum()) if tests else 0
        if strange:
            yield Trace(name, f"{strange} predictions are of no test clip of their fold")


def truth_differs(e: Evidence) -> Iterable[Trace]:
    """Labels beside the predictions that are not the manifest's."""
    if e.predictions is None or pd.api.types.is_float_dtype(e.predictions["truth"]):
        return
    numbers, emotion = _numbered(e), e.emotion
    for _, name, part, places in _runs(e):
        known = numbers[places] >= 0
        expected = emotion[numbers[places][known]]
        other = int((part["truth"].to_numpy(dtype=str)[known] != expected).sum())
        if other:
            yield Trace(name, f"the label of {other} clips is not the manifest's")


def entries_alike(e: Evidence) -> Iterable[Trace]:
    """Entries that said the same of every clip, to the last digit."""
    names: dict[Any, list[str]] = {}
    for of, _, part, _ in _runs(e):
        said = [c for c in part if c.startswith("p_") and part[c].notna().all()] or ["prediction"]
        if of["control"] or (said == ["prediction"] and part["prediction"].nunique() < 2):
            continue
        ordered = part.assign(end=_keys(part).get_level_values(2)).sort_values(
            ["fold", "file", "start", "end"], kind="stable"
        )
        digest = pd.util.hash_pandas_object(ordered[["file", *said]], index=False).to_numpy()
        others = tuple(v for word, v in of.items() if word != "entry")
        names.setdefault((others, digest.tobytes()), []).append(of["entry"])
    for alike in dict.fromkeys(tuple(found) for found in names.values() if len(found) > 1):
        yield Trace(" and ".join(alike), "the same answer to every clip, to the last digit")


def _pooled(part: pd.DataFrame, labels: list[str]) -> float:
    return float(uar_of(confusion(list(part["truth"]), list(part["prediction"]), labels)))


def _labels_of(predictions: pd.DataFrame) -> list[str]:
    """The classes: those with a probability, else those that occur."""
    named = [str(c)[2:] for c in predictions.columns if str(c).startswith("p_")]
    return named or sorted(set(predictions["truth"]) | set(predictions["prediction"]))


def _emotions(e: Evidence) -> pd.DataFrame | None:
    """Predictions of labels on clean clips; None where there are none."""
    p = e.predictions
    if p is None or p.empty or pd.api.types.is_float_dtype(p["truth"]):
        return None
    return p[p["condition"] == "clean"] if "condition" in p else p


def changed_since(e: Evidence) -> Iterable[Trace]:
    """Files of the run that are not what it wrote."""
    for name in e.changed:
        yield Trace(name, "is not what the run wrote")


def scores_differ(e: Evidence) -> Iterable[Trace]:
    """Scores that the run states and its predictions do not give."""
    predictions = _emotions(e)
    if e.scores is None or predictions is None:
        return
    labels = _labels_of(predictions)
    for row in e.scores.to_dict("records"):
        mine = predictions[
            (predictions["entry"] == row["entry"])
            & (predictions["protocol"] == row["protocol"])
            & (predictions["control"].astype(bool) == bool(row.get("control", False)))
        ]
        where = f"{row['entry']}, {row['protocol']}"
        if mine.empty:
            yield Trace(where, "a score without predictions")
            continue
        # Pooled over folds, mean over seeds: as the leaderboard counts.
        found = float(np.mean([_pooled(p, labels) for _, p in mine.groupby("seed")]))
        if abs(found - float(row["uar"])) > 5e-4:
            yield Trace(
                where, f"UAR {100 * float(row['uar']):.2f} stated, {100 * found:.2f} by predictions"
            )


def control_above_chance(e: Evidence) -> Iterable[Trace]:
    """Models trained on shuffled labels that know something."""
    predictions = _emotions(e)
    if predictions is None:
        return
    labels = _labels_of(predictions)
    chance = 1 / len(labels)
    shuffled = predictions[predictions["control"].astype(bool)]
    for (entry, protocol), part in shuffled.groupby(["entry", "protocol"], sort=False):
        scores = np.array([_pooled(p, labels) for _, p in part.groupby("seed")])
        excess = float(scores.mean()) - chance
        sure = len(scores) > 1 and excess > 2 * scores.std(ddof=1) / np.sqrt(len(scores))
        words = (
            f"UAR {100 * scores.mean():.1f} with shuffled labels ({len(scores)} shufflings; "
            f"chance {100 * chance:.1f})"
        )
        if excess > CONTROL_MARGIN:
            yield Trace(f"{entry}, {protocol}", words, None if sure else "warning")
        elif excess < -CONTROL_MARGIN:
            yield Trace(f"{entry}, {protocol}", words, "warning")


def control_missing(e: Evidence) -> Iterable[Trace]:
    """Runs without an entry on shuffled labels."""
    predictions = _emotions(e)
    if predictions is not None and not predictions["control"].astype(bool).any():
        yield Trace("run", "no entry was trained on shuffled labels")


def perfect(e: Evidence) -> Iterable[Trace]:
    """Entries that hardly err on speakers they do not know."""
    predictions = _emotions(e)
    if predictions is None:
        return
    held_out = {d.protocol for d in e.divisions if "speaker" in d.apart}
    labels = _labels_of(predictions)
    real = predictions[~predictions["control"].astype(bool)]
    best = [
        f"{entry} ({protocol})"
        for (entry, protocol), part in real.groupby(["entry", "protocol"], sort=False)
        if protocol in held_out and len(part) >= 50 and _pooled(part, labels) >= TOO_GOOD
    ]
    if best:
        yield Trace(listed(best), f"UAR of {100 * TOO_GOOD:.1f} % or more on held-out speakers")
