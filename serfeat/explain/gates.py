"""Attention, gates and evidence of a neural head over the frames of clips.

What the names mean is said in `serfeat.heads`; each head's own ``explanation`` says what it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import ModelError
from serfeat.sequences import Sequences
from serfeat.types import Floats

__all__ = ["gates", "looks_inside"]

OF_A_CLASS = ("evidence", "winner_scales")
SCALES = "_scales"  # ends the names of what is not over time


def looks_inside(model: Any) -> bool:
    """Whether the fitted pipeline ends in a head on frames that can be looked into."""
    return hasattr(_head(model), "explanation")


def gates(model: Any, X: Sequences, *, hop: float = 0.01) -> pd.DataFrame:
    """Look into the head of a fitted pipeline while it hears some clips.

    Parameters
    ----------
    model : fitted pipeline that ends in a `TorchClassifier` or `TorchRegressor`.
    X : n clips, not yet prepared.
    hop : s between frames.

    Returns
    -------
    One row per clip, name and frame (or scale): clip (0..n-1), name, place, time, weight, as in the
    table ``gates`` (see `serfeat.explain`). Evidence is of the class that wins; a model of numbers,
    or of several tasks, has none: its head is no classifier.

    Raises
    ------
    ModelError : a head that shows nothing.
    """
    rows = [
        (clip, name, values)
        for clip, found in enumerate(_explanations(model, X))
        for name, values in found.items()
    ]
    sizes = [len(values) for *_, values in rows]
    places = [
        np.arange(n) + name.endswith(SCALES) for (_, name, _), n in zip(rows, sizes, strict=True)
    ]
    over_time = np.repeat([not name.endswith(SCALES) for _, name, _ in rows], sizes).astype(bool)
    place = np.concatenate([*places, np.empty(0, dtype=np.int64)]).astype(np.int64)
    return pd.DataFrame(
        {
            "clip": np.repeat(np.array([clip for clip, *_ in rows], dtype=np.int64), sizes),
            "name": np.repeat(np.array([name for _, name, _ in rows], dtype=object), sizes),
            "place": place,
            "time": np.where(over_time, place * hop, np.nan),
            "weight": np.concatenate([*(v for *_, v in rows), np.empty(0)]).astype(np.float64),
        }
    )


def _explanations(model: Any, X: Sequences) -> list[dict[str, Floats]]:
    """What the head shows of every clip, without padding: each clip is heard alone."""
    import torch

    if not looks_inside(model):
        raise ModelError(
            f"{type(model.steps[-1][1]).__name__} shows neither attention nor gates",
            code="no-gates",
            fix="use one of the heads timnet, am_resnet, amrwc, rnn, lstm, gru or transformer",
        )
    head, learner = _head(model), model.steps[-1][1]
    classifies = hasattr(learner, "classes_") and head is learner.module_
    head.eval()
    found = []
    prepared = model[:-1].transform(X)
    with torch.inference_mode():
        for clip in prepared:
            x = torch.from_numpy(np.array(clip, dtype=np.float32))[None]
            shown = head.explanation(x, torch.tensor([len(clip)]))
            found.append(
                {
                    name: value[0].double().numpy()
                    for name, value in shown.items()
                    if classifies or name not in OF_A_CLASS
                }
            )
    return found


def _head(model: Any) -> Any:
    """The head itself, also where several tasks stand on it; None of a classical model."""
    module = getattr(model.steps[-1][1], "module_", None)
    return getattr(module, "trunk", module)
