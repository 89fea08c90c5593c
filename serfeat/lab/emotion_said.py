"""What trained models say of one recording: computed in a worker of the lab.

Every number here is what `serfeat predict` prints for the same samples; this module adds what drove
it, how it goes over time, and when not to believe it.

Conventions
-----------
*Over time* is the same model on a window that slides over the recording. It was trained on whole
clips, so a window is shorter than what it knows, and the rule for "unknown" (`serfeat.doubt`),
which is about whole clips, is not applied to it. Heads that have attention, gates or evidence show
these too (`serfeat.explain.gates`): where they looked, which is not why they decided.

*What drove it* is exact where the model can share out its score (`serfeat.explain.contributions`).
Of any other model it is occlusion: a family of columns is set to the training clips' median, and
the probabilities that this takes away are shown. Families overlap, so that these do not add up.

Contents
--------
`describe`   : the card of a model, without loading it.
`said`       : probabilities, judgement, contributions.
`over_time`  : a sliding window, and the head's own weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from serfeat.audio import MIN_DURATION, load_audio
from serfeat.deploy import open_model
from serfeat.doubt import Doubt, far, judge, load_doubt, summary
from serfeat.errors import AudioError, ModelError, SerfeatError
from serfeat.explain import contributions, explains_clips, gates
from serfeat.explain.gates import looks_inside
from serfeat.families import families
from serfeat.features import FeatureSet
from serfeat.sequences import Sequences
from serfeat.types import Floats, Reals

__all__ = ["Heard", "describe", "over_time", "said"]

LONGEST = 60.0  # s that are predicted at once: models are trained on clips of seconds
WINDOWS = 80  # at most; the step is widened

EXACT = {
    "xgb": "exact: the trees' own shares of each label's score (TreeSHAP)",
    "svm": "exact: weights times values of the linear machine",
}
OCCLUSION = (
    "occlusion: what the probability loses when the family is set to the training clips' median; "
    "families overlap, so that these do not add up"
)


@dataclass(frozen=True)
class Heard:
    """The samples that a model is asked about.

    Parameters
    ----------
    samples : .npy, (n,) float32 mono at `sr`.
    path, first : the recording itself and where in it the samples begin (s), for sets at another
        rate.
    start, end : s, the part of the samples that is meant; `end` None: to the end.
    """

    samples: Path
    sr: int
    path: Path
    first: float = 0.0
    start: float = 0.0
    end: float | None = None

    def at(self, sr: int) -> Reals:
        """(n,) the part at a rate.

        Raises
        ------
        AudioError : too short, too long.
        """
        whole: Any = np.load(self.samples, mmap_mode="r", allow_pickle=False)
        end = len(whole) if self.end is None else min(len(whole), round(self.end * self.sr))
        begin = min(max(round(self.start * self.sr), 0), len(whole))
        seconds = (end - begin) / self.sr
        if not MIN_DURATION <= seconds <= LONGEST:
            raise AudioError(
                f"{seconds:.2f} s, expected {MIN_DURATION:g} to {LONGEST:g} s",
                code="bad-segment",
                fix="choose a part: models are trained on clips of seconds",
            )
        if sr == self.sr:
            return np.array(whole[begin:end])
        first = self.first + begin / self.sr
        try:
            return load_audio(self.path, sr=sr, start=first, end=first + seconds).x
        except SerfeatError as error:
            error.where = ""  # the page need not know where on this disk
            raise


def describe(folder: Path) -> dict[str, Any]:
    """Read what a model's card says; nothing is loaded, nothing is trusted.

    Returns
    -------
    name, model, features, level, labels, dimensions, trained_on, licence, normalisation, doubt
    (what is known of when it should say "unknown"; None: nothing) and problem (empty: none).
    """
    found: dict[str, Any] = {"name": folder.name, "problem": "", "doubt": None}
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        found |= {k: card[k] for k in ("model", "labels", "trained_on", "licence")}
        found |= {"dimensions": card.get("dimensions") or []}
        found |= {"normalisation": card.get("normalisation", "global")}
        found |= {"features": card["features"]["name"], "level": card["features"]["level"]}
        if doubt := load_doubt(folder, card):
            kept = ("speakers", "clips", "accuracy", "answered", "accuracy_answered", "usual")
            found["doubt"] = {k: getattr(doubt, k) for k in kept}
    except SerfeatError as error:
        found["problem"] = f"{error.message}; {error.fix}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found["problem"] = f"the card cannot be read ({type(error).__name__})"
    return found


@dataclass(frozen=True)
class _Model:
    """A stored model, ready to be asked."""

    pipeline: Any
    card: Mapping[str, Any]
    features: FeatureSet
    doubt: Doubt | None

    @property
    def level(self) -> Any:
        return self.card["features"]["level"]

    @property
    def labels(self) -> list[str]:
        return [str(label) for label in self.pipeline.classes_]

    def row(self, x: Reals) -> Any:
        """What the pipeline takes of one clip: (1, k) or `Sequences` of one."""
        values = np.asarray(self.features.compute(x, self.level), dtype=np.float32)
        return Sequences.of([values]) if self.level == "lld" else values


def _model(folder: Path) -> _Model:
    """Load a model, or take it from before while its card is the same."""
    card = folder / "card.json"
    facts = card.stat() if card.is_file() else None
    stamp = (facts.st_size, facts.st_mtime_ns) if facts else (0, 0)
    return _load(folder, stamp)


@lru_cache(maxsize=8)
def _load(folder: Path, stamp: tuple[int, int]) -> _Model:  # noqa: ARG001
    try:
        pipeline, card, features = open_model(folder)
        if card.get("normalisation") == "speaker":
            raise ModelError(
                "measures every clip against its speaker's others, and one recording has none",
                code="needs-speaker",
                fix="use `serfeat predict` on a folder for each speaker",
            )
        return _Model(pipeline, card, features, load_doubt(folder, card))
    except SerfeatError as error:
        error.where = folder.name  # the page need not know where on this disk
        raise


# --- the whole clip ---------------------------------------------------------------------------


def said(folder: Path, heard: Heard) -> dict[str, Any]:
    """Ask a model about a recording.

    Returns
    -------
    labels, proba (of each), prediction, judgement (see `serfeat.doubt.Judgement`), contributions
    (families, values (families, labels), bias (labels), method, unit; None where there is one
    family only). Of a model of dimensions: values by name, and nothing else.

    Raises
    ------
    ModelError : a model that cannot be trusted or applied.
    AudioError : a recording that is too short or too long.
    """
    model = _model(folder)
    row = model.row(heard.at(model.features.sr))
    if names := model.card.get("dimensions"):
        values = np.asarray(model.pipeline.predict(row)).reshape(len(names))
        return {"values": dict(zip(names, values.tolist(), strict=True))}
    proba = np.asarray(model.pipeline.predict_proba(row), dtype=np.float64)[0]
    if model.doubt is not None:
        judgement = judge(model.doubt, float(proba.max()), summary(row)[0])
    else:
        judgement = far(model.pipeline, row)
    return {
        "labels": model.labels,
        "proba": proba.tolist(),
        "prediction": str(model.pipeline.predict(row)[0]),
        "judgement": asdict(judgement),
        "contributions": _drove(model, row, proba),
    }


def _drove(model: _Model, row: Any, proba: Floats) -> dict[str, Any] | None:
    """What every family added, or took away when it was hidden."""
    found = families(model.features.columns(model.level))
    if len(found) < 2:
        return None
    if explains_clips(model.pipeline):
        shares, bias = contributions(model.pipeline, row, found)
        values, base, unit = shares[0], bias[0].tolist(), "score"
        method = EXACT.get(str(model.card["model"]), "exact shares of each label's score")
    else:
        hidden = _hidden(model.pipeline, row, list(found.values()))
        if hidden is None:
            return None
        without = np.asarray(model.pipeline.predict_proba(hidden), dtype=np.float64)
        values, base, unit, method = proba[None] - without, None, "probability", OCCLUSION
    order = np.argsort(-np.abs(values[:, int(proba.argmax())]), kind="stable")
    names = list(found)
    return {
        "families": [names[i] for i in order],
        "columns": [len(found[names[i]]) for i in order],
        "values": values[order].tolist(),
        "bias": base,
        "method": method,
        "unit": unit,
    }


def _hidden(pipeline: Any, row: Any, groups: list[tuple[int, ...]]) -> Any | None:
    """The clip once for each group of columns, with these at the training's median."""
    steps = dict(pipeline.steps)
    if isinstance(row, Sequences):
        median = getattr(steps.get("prepare"), "median_", None)
        plain = row.values
    else:
        median = getattr(steps.get("impute"), "statistics_", None)
        plain = np.asarray(row)
    if median is None:
        return None
    median = np.nan_to_num(np.asarray(median, dtype=np.float64))
    copies = []
    for places in groups:
        copy = np.array(plain)
        copy[:, list(places)] = median[list(places)]
        copies.append(copy)
    return Sequences.of(copies) if isinstance(row, Sequences) else np.concatenate(copies)


# --- over time --------------------------------------------------------------------------------


def over_time(folder: Path, heard: Heard, window: float, step: float) -> dict[str, Any]:
    """Slide a window over a recording, and look into the head where it can be looked into.

    Parameters
    ----------
    window, step : s; the step is widened where there would be more than `WINDOWS`.

    Returns
    -------
    times (s, the middle of each window, since the beginning of the part), window, step, labels,
    proba (windows, labels) or values (windows, dimensions) with names, gates (name -> times,
    weights) and scales (name -> weights).

    Raises
    ------
    ModelError, AudioError : as `said`.
    """
    model = _model(folder)
    x = heard.at(model.features.sr)
    spans, step = windows(len(x) / model.features.sr, window, step)
    whole, frames = _windowed(model, x, spans)
    middles = [(start + end) / 2 for start, end in spans]
    found: dict[str, Any] = {"times": middles, "window": spans[0][1] - spans[0][0], "step": step}
    found |= {"gates": {}, "scales": {}}
    if names := model.card.get("dimensions"):
        values = np.asarray(model.pipeline.predict(whole)).reshape(len(spans), len(names))
        found |= {"names": list(names), "values": values.tolist()}
    else:
        proba = np.asarray(model.pipeline.predict_proba(whole), dtype=np.float64)
        found |= {"labels": model.labels, "proba": proba.tolist()}
    if frames is not None and looks_inside(model.pipeline):
        found |= _looked(model, frames, len(x) / model.features.sr)
    return found


def windows(seconds: float, window: float, step: float) -> tuple[list[tuple[float, float]], float]:
    """Cut (0, seconds) into overlapping windows: (start, end) of each, and the step that was used.

    The last one ends with the recording. A recording shorter than a window is one.
    """
    if seconds <= window:
        return [(0.0, seconds)], step
    step = max(step, (seconds - window) / (WINDOWS - 1))
    starts = np.arange(0.0, seconds - window + 1e-9, step)
    if seconds - window - starts[-1] > 1e-6:
        starts = np.append(starts, seconds - window)
    return [(float(s), float(s + window)) for s in starts], step


def _windowed(model: _Model, x: Reals, spans: list[tuple[float, float]]) -> tuple[Any, Any]:
    """What the pipeline takes of every window; and the frames of the whole, if it takes frames."""
    sr = model.features.sr
    parts = [x[round(start * sr) : round(end * sr)] for start, end in spans]
    if model.level != "lld":
        return np.concatenate([model.row(part) for part in parts]), None
    frames = np.asarray(model.features.compute(x, "lld"), dtype=np.float32)
    if model.features.fit:  # every clip is brought to one length: so is every window
        return Sequences.of([model.row(part)[0] for part in parts]), frames
    per_second = len(frames) * sr / len(x)
    bounds = [(int(start * per_second), round(end * per_second)) for start, end in spans]
    return Sequences.of([frames[a : max(b, a + 1)] for a, b in bounds]), frames


def _looked(model: _Model, frames: Any, seconds: float) -> dict[str, Any]:
    """Attention, gates and evidence of the head over the whole part."""
    table = gates(model.pipeline, Sequences.of([frames]), hop=model.features.hop_s)
    fitted = model.features.fit / model.features.sr
    shift = (fitted - seconds) / 2 if fitted else 0.0  # zeros, or a cut, on both sides
    found: dict[str, Any] = {"gates": {}, "scales": {}}
    for name, part in table.groupby("name", sort=False):
        weights = part["weight"].to_numpy()
        if part["time"].isna().all():
            found["scales"][str(name)] = weights.tolist()
            continue
        times = part["time"].to_numpy() - shift
        inside = (times >= 0) & (times <= seconds)
        found["gates"][str(name)] = {
            "times": times[inside].tolist(),
            "weights": weights[inside].tolist(),
        }
    return found
