"""A trained model on a stream: what it says of the speech so far, every half second.

Two ways, chosen by the model. A causal TIM-Net takes every frame as it comes
(`serfeat.streaming.timnet`) and always knows its probabilities. Any other model wants a clip: it is
given the last `window` seconds every `every` seconds, and these have exactly the features that
`serfeat extract` computes of that segment, since they are computed in the same way.

What comes out is smoothed over `fade` seconds, and is "unknown" while nobody speaks
(`serfeat.streaming.activity`), while there is too little to say anything about, and where the
model's own record says so (`serfeat.doubt`; of the windows).

A model that was trained on whole utterances is asked here about pieces of them. How good it is at
that nobody has measured unless you did.

Contents
--------
`Moment` : what is said at one time.     `Recogniser` : samples in, moments out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from serfeat.deploy import open_model
from serfeat.doubt import UNKNOWN, judge, load_doubt, summary
from serfeat.errors import ModelError
from serfeat.features import FeatureSet
from serfeat.sequences import Sequences
from serfeat.streaming.activity import Activity
from serfeat.streaming.frames import Stream, as_samples, resampler
from serfeat.types import Floats

__all__ = ["UNKNOWN", "Moment", "Recogniser"]

SOONEST = 0.01  # s between two moments
LEAST = 1.0  # s of sound before anything is said
SPEECH = 0.1  # share of the last second below which nobody speaks
MEMORY = 3.0  # s in which a causal network forgets

SILENCE, SHORT = "silence", "too little so far"


@dataclass(frozen=True)
class Moment:
    """What a model says at one time.

    Parameters
    ----------
    time : s since the stream began: the end of the sound that it is about.
    label : the most probable label; "unknown"; empty for a model of dimensions.
    values : probability of every label, or the value of every dimension, smoothed; empty while
        there is nothing to say.
    speech : share of the last second in which somebody speaks.
    reason : why it is unknown; else empty.
    """

    time: float
    label: str
    values: Mapping[str, float]
    speech: float
    reason: str


class Recogniser:
    """A stored model that listens.

    Parameters
    ----------
    folder : of the model.
    sr : Hz of the samples that are pushed.
    window : s that the model is given at a time; a causal network needs none.
    every : s between two moments.
    fade : s in which an old answer loses its weight in the smoothed one; 0 does not smooth.

    Attributes
    ----------
    card : of the model.
    names : labels or dimensions, in the order of `Moment.values`.
    causal : whether the model takes frames as they come.
    delay : s from the centre of a frame to the last sample that it needs; 0 for windows, which end
        with the last sample.

    Raises
    ------
    ModelError : a model that cannot be trusted, or that measures a clip against its speaker's
        others; times that are not positive, or a window shorter than a second.
    FeatureError : a causal network on features that need the whole recording.
    """

    def __init__(
        self,
        folder: Path,
        sr: int,
        *,
        window: float = 3.0,
        every: float = 0.5,
        fade: float = 1.0,
    ) -> None:
        _check_times(window, every, fade)
        self.model, self.card, self.features = open_model(folder)
        if self.card.get("normalisation") == "speaker":
            raise ModelError(
                "measures every clip against its speaker's others, and a stream has none",
                where=folder,
                code="needs-speaker",
                fix="use `serfeat predict` on a folder for each speaker, or train it otherwise",
            )
        self._dimensions = list(self.card.get("dimensions") or [])
        self.names = self._dimensions or [str(c) for c in self.model.classes_]
        self.causal = is_causal(self.model)
        self._doubt = load_doubt(folder, self.card)
        self._sr, self._every, self._window = sr, every, window
        self._keep = 0.0 if fade == 0 else float(np.exp(-every / fade))
        self.delay = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is the first."""
        rate = self.features.sr
        self._resampler = resampler(self._sr, rate)
        self._activity = Activity(rate)
        self._network: Any = None
        if self.causal:
            self._network = _Network(self.model, self.features)
            self.delay = self._network.delay
        self._x = np.zeros(0)  # the last window
        self._total = 0  # samples at the features' rate
        self._moments = 0
        self._smoothed: Floats | None = None

    def warm(self) -> None:
        """Compute once on a buzz, so that nothing is compiled or loaded while somebody speaks."""
        t = np.arange(round(self._window * self.features.sr)) / self.features.sr
        self._take(0.3 * (2 * (150 * t % 1) - 1) * (t > 0.1))
        self._asked()
        self.reset()

    def push(self, samples: ArrayLike) -> list[Moment]:
        """Take a chunk of any length and return the moments that it completes.

        Raises
        ------
        AudioError : see `serfeat.streaming.frames.as_samples`; nothing of the chunk is taken then.
        """
        x = as_samples(samples)
        if self._resampler is not None:
            x = np.asarray(self._resampler.resample_chunk(x))
        found = []
        while len(x):
            # Cut where a moment ends, so that what is said does not depend on the chunks.
            due = round((self._moments + 1) * self._every * self.features.sr)
            part, x = x[: due - self._total], x[due - self._total :]
            self._take(part)
            if self._total == due:
                self._moments += 1
                found.append(self._moment())
        return found

    def end(self) -> list[Moment]:
        """Say something about what came since the last moment, if anything did."""
        if self._total == round(self._moments * self._every * self.features.sr):
            return []
        return [self._moment()]

    def _take(self, x: Floats) -> None:
        self._total += len(x)
        self._activity.push(x)
        if self._network is not None:
            self._network.push(x)
        size = round(self._window * self.features.sr)
        self._x = np.concatenate([self._x, x])[-size:]

    def _moment(self) -> Moment:
        rate = self.features.sr
        time, speech = self._total / rate, self._activity.share
        reason = SHORT if self._total < LEAST * rate else SILENCE if speech < SPEECH else ""
        if reason:
            self._smoothed = None  # what was said before a pause does not colour what comes after
            return Moment(time, UNKNOWN, {}, speech, reason)
        now, reason = self._asked()
        old = self._smoothed
        self._smoothed = now if old is None else self._keep * old + (1 - self._keep) * now
        values = dict(zip(self.names, self._smoothed.tolist(), strict=True))
        label = "" if self._dimensions else max(values, key=lambda name: values[name])
        return Moment(time, UNKNOWN if reason else label, values, speech, reason)

    def _asked(self) -> tuple[Floats, str]:
        """What the model says now, (names,), and why it is not to be believed."""
        if self._network is not None:
            return self._network.values, ""
        row = self.row()
        if self._dimensions:
            return np.asarray(self.model.predict(row), dtype=np.float64).reshape(-1), ""
        proba = np.asarray(self.model.predict_proba(row), dtype=np.float64)[0]
        if self._doubt is None:
            return proba, ""
        judgement = judge(self._doubt, float(proba.max()), summary(row)[0])
        return proba, "; ".join(judgement.reasons)

    def row(self) -> Any:
        """What the model is given now: (1, columns), or `Sequences` of one clip, of the window."""
        level = self.card["features"]["level"]
        found = self.features.compute(self._x, level).astype(np.float32)
        return found if level == "functionals" else Sequences.of([found])


def _check_times(window: float, every: float, fade: float) -> None:
    """Refuse times that make no sense: not finite, or below what each may be."""
    for name, value, least in (
        ("window", window, LEAST), ("every", every, SOONEST), ("fade", fade, 0.0),
    ):  # fmt: skip
        if not (least <= value < np.inf):
            raise ModelError(
                f"{name} is {value:g} s, expected at least {least:g} s",
                where="stream",
                code="bad-parameter",
                fix=f"give --{name} more, or leave it out",
            )


class _Network:
    """A causal network behind its preparation, fed with samples."""

    def __init__(self, model: Any, features: FeatureSet, *, memory: float | None = MEMORY) -> None:
        from serfeat.streaming.timnet import CausalTIMNet

        self._stream = Stream(features, features.sr)
        self._prepare = model[:-1]
        frames = None if memory is None else memory / self._stream.hop
        self._timnet = CausalTIMNet(model.steps[-1][1].module_, memory=frames)
        n = len(model.classes_)
        self.values: Floats = np.full(n, 1 / n)
        self.delay = self._stream.delay

    def push(self, x: Floats) -> None:
        frames = self._stream.push(x).values.astype(np.float32)
        if not len(frames):
            return
        prepared = self._prepare.transform(Sequences.of([frames])).values
        logits = self._timnet.push(prepared)[-1].astype(np.float64)
        odds = np.exp(logits - logits.max())
        self.values = odds / odds.sum()


def is_causal(model: Any) -> bool:
    """Whether a pipeline ends in a causal network that decides between labels, and nothing else."""
    last = model.steps[-1][1]
    params = getattr(last, "head_params", None) or {}
    one_task = not getattr(last, "tasks", None)
    return bool(getattr(last, "head", "") == "timnet" and params.get("causal") and one_task
                and hasattr(last, "classes_"))  # fmt: skip
