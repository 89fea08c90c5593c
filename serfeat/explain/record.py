"""Explanations inside a comparison: what the worker writes down, and the tables made of it.

A worker holds the model and the test rows' features, and no test label. It writes what the model
said with each family exchanged, what each family added, and what a head showed (`explained`).
Whoever collects the parts knows the labels and makes the tables (`explained_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from serfeat import metrics
from serfeat.explain.contributions import contributions, explains_clips
from serfeat.explain.gates import gates, looks_inside
from serfeat.explain.permutation import permuted
from serfeat.sequences import Sequences
from serfeat.types import Ints

__all__ = ["explained", "explained_tables"]

MOST_CLIPS = 500  # of a fold whose contributions are kept: a part stays below a few megabytes
BIAS = "(bias)"


def explained(
    model: Any,
    X: Any,
    families: Mapping[str, Sequence[int]],
    *,
    seed: int = 0,
    repeats: int = 10,
    clips: int = 4,
) -> dict[str, Any]:
    """Write down what explains a fitted model's decisions on the test rows of a fold.

    Parameters
    ----------
    model : fitted pipeline of `serfeat.models`.
    X : (n, k) or `Sequences`, the test rows.
    families : name -> places of its columns (`serfeat.families.families`).
    seed, repeats : of the permutations.
    clips : whose gates are kept, evenly among the test rows.

    Returns
    -------
    What JSON can hold: ``permutation``, and ``contributions`` and ``gates`` of models that have
    them.
    """
    classes = [str(c) for c in getattr(model, "classes_", ())]
    code = {c: i for i, c in enumerate(classes)}
    said = permuted(model, X, families, repeats=repeats, seed=seed)
    written: dict[str, Any] = {
        "permutation": {
            "classes": classes,
            "said": {
                family: [
                    [code[str(p)] for p in each] if classes else each.tolist() for each in all_
                ]
                for family, all_ in said.items()
            },
        }
    }
    if explains_clips(model):
        rows = _some(len(X), MOST_CLIPS)
        shares, bias = contributions(model, X[rows], families)
        written["contributions"] = {
            "rows": rows.tolist(),
            "classes": classes,
            "families": [*families, BIAS],
            "shares": np.concatenate([shares, bias[:, None]], axis=1).round(5).tolist(),
        }
    if looks_inside(model) and isinstance(X, Sequences):
        rows = _some(len(X), clips)
        shown = gates(model, X[rows])
        written["gates"] = {
            "clip": rows[shown["clip"].to_numpy()].tolist(),
            **{name: shown[name].tolist() for name in ("name", "place")},
            "weight": shown["weight"].round(6).tolist(),
        }
    return written


def explained_tables(
    said: Mapping[str, Any],
    clips: pd.DataFrame,
    test: Ints,
    *,
    key: Mapping[str, Any],
    truth: Mapping[str, Any] | None = None,
    hop: float = 0.01,
) -> dict[str, pd.DataFrame]:
    """Make of one part's explanations its rows of the tables.

    Parameters
    ----------
    said : what `explained` wrote.
    clips : all clips of the run: file, start, end, corpus, speaker, emotion.
    test : row numbers of the fold's test rows.
    key : entry, protocol, fold, seed.
    truth : name of the target -> (len(test),) numbers, of a model of numbers; None: emotions.
    hop : s between frames.

    Returns
    -------
    Name of the table -> its rows, as in `serfeat.explain`; only those that there are.
    """
    rows = clips.iloc[test][["file", "start", "end"]].reset_index(drop=True)
    # Of all clips: whether speakers need their corpus in front is the same for every fold.
    rows["speaker"] = metrics.speaker_key(clips).to_numpy()[test]
    rows["truth"] = clips["emotion"].to_numpy()[test]
    made = {"importance": _importance(said["permutation"], rows, truth)}
    if "contributions" in said:
        made["contributions"] = _contributions(said["contributions"], rows)
    if "gates" in said:
        made["gates"] = _gates(said["gates"], rows, hop)
    return {name: table.assign(**key) for name, table in made.items()}


def _importance(
    said: Mapping[str, Any], rows: pd.DataFrame, truth: Mapping[str, Any] | None
) -> pd.DataFrame:
    """Clips of each speaker by family, repeat, truth and prediction."""
    classes = np.array(said["classes"], dtype=object)
    tables = []
    for family, repeats in said["said"].items():
        for repeat, values in enumerate(repeats):
            about = rows[["speaker"]].assign(family=family, repeat=repeat)
            if len(classes):
                predicted = classes[np.array(values, dtype=np.int64)]
                tables.append(
                    about.assign(target="emotion", truth=rows["truth"], prediction=predicted)
                )
                continue
            numbers = np.asarray(values, dtype=np.float64).reshape(len(rows), -1)
            for i, (target, true) in enumerate((truth or {}).items()):
                one = about.assign(target=target, truth=np.asarray(true), prediction=numbers[:, i])
                tables.append(one.dropna(subset=["truth"]))
    names = ["target", "family", "repeat", "speaker", "truth", "prediction"]
    counted = pd.concat(tables, ignore_index=True).groupby(names, sort=False, observed=True)
    return counted.size().rename("n").reset_index().astype({"repeat": np.int64, "n": np.int64})


def _contributions(said: Mapping[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
    """One row per clip, family and label."""
    shares = np.array(said["shares"], dtype=np.float64)  # (clips, families, classes)
    n, n_families, n_classes = shares.shape
    table = rows.iloc[np.repeat(said["rows"], n_families * n_classes)].reset_index(drop=True)
    families = np.array(said["families"], dtype=object)
    labels = np.array(said["classes"] or [""], dtype=object)
    return table.assign(
        family=np.tile(np.repeat(families, n_classes), n),
        label=np.tile(labels, n * n_families),
        contribution=shares.ravel(),
    )


def _gates(said: Mapping[str, Any], rows: pd.DataFrame, hop: float) -> pd.DataFrame:
    """One row per clip, name and place."""
    place = np.array(said["place"], dtype=np.int64)
    names = np.array(said["name"], dtype=object)
    scale = np.array([name.endswith("_scales") for name in said["name"]], dtype=bool)
    table = rows.iloc[np.array(said["clip"], dtype=np.int64)].reset_index(drop=True)
    return table.assign(
        name=names,
        place=place,
        time=np.where(scale, np.nan, place * hop),
        weight=np.array(said["weight"], dtype=np.float64),
    )


def _some(n: int, most: int) -> Ints:
    """(<= most,) places, evenly among n."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
