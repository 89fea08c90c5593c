"""The Emotion view: what trained models say of the current sound, and how far to believe it.

Routes (JSON)
-------------
``/api/emotion/models``            : the models, by id; how to train one; how the example is.
``/api/emotion/{model}/said``      : ?sound &start &end.
``/api/emotion/{model}/over_time`` : ?sound &start &end &window &step.
``/api/emotion/example`` (POST)    : begin to train a model on the embedded corpus.

Models are the folders that the command line named, the models in those folders, and the example. It
is trained on synthetic speech and says so wherever it speaks: it shows what the page does, and
nothing about people.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serfeat.lab.answers import number
from serfeat.lab.background import Meter, Tasks
from serfeat.lab.emotion_said import Heard, describe, over_time, said
from serfeat.lab.state import Lab, LabError, answer
from serfeat.store import cache_folder

__all__ = ["routes"]

EXAMPLE = "lab-example-model"  # its folder in the cache
ENTRY = ("xgb", "xgb", "classic")  # name, model, features
HOW = (
    "serfeat train demo --entry svm -o models/svm",
    "serfeat lab --model models/svm",
)
SYNTHETIC = "trained on synthetic speech: says nothing about people"
TASK = "example"
SIZE = (8, 8)  # speakers and sentences of the example's corpus


def example_folder() -> Path:
    """Where the example is kept: with what can be computed again."""
    return cache_folder() / EXAMPLE


def train_example(meter: Path, folder: Path, speakers: int, sentences: int) -> str:
    """Make the embedded corpus and train boosted trees on it; runs in the background.

    Returns
    -------
    The name of the model's folder.
    """
    from serfeat.demo import make_corpus
    from serfeat.deploy import train
    from serfeat.manifest_csv import read_manifest
    from serfeat.plan import Entry

    say = Meter(meter)
    corpus = make_corpus(
        folder.with_name(f"{folder.name}-corpus"),
        speakers=speakers,
        sentences=sentences,
        progress=lambda done, total: say("making the embedded corpus", done, total),
    )

    words = {"features": "measuring its features"}
    train(
        read_manifest(corpus),
        Entry(*ENTRY),
        folder,
        report=lambda stage, done, total: say(words.get(stage, stage), done, total),
    )
    return folder.name


class _Models:
    """The models of a lab, by id."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.tasks = Tasks(lab, "emotion")

    def folders(self) -> dict[str, Path]:
        """Identifier -> folder; those that the command line named first."""
        found: list[Path] = []
        for place in self.lab.options.models:
            inner = sorted(p.parent for p in place.glob("*/card.json"))
            found += [place] if (place / "card.json").is_file() or not inner else inner
        if (example_folder() / "card.json").is_file():
            found.append(example_folder())
        return {_identifier(p): p for p in dict.fromkeys(found)}

    def listed(self) -> dict[str, Any]:
        """All models, what their cards say, and how to make one."""
        models = []
        for known, folder in self.folders().items():
            about = describe(folder)
            if (about.get("trained_on") or {}).get("synthetic"):
                about["mark"] = SYNTHETIC
            models.append({"id": known, **about})
        return {"models": models, "how": list(HOW), "example": self.tasks.state(TASK)}

    def folder(self, request: Request) -> Path:
        """The folder of the model that a request names."""
        found = self.folders().get(request.path_params["model"])
        if found is None:
            raise LabError(404, "no such model (any more)", code="no-such-model")
        return found

    def in_training(self, folder: Path, request: Request) -> bool:
        """Whether a model was trained on the sound's corpus, and may know the clip."""
        sound = self.lab.sounds.get(request.query_params.get("sound", ""))
        trained_on = describe(folder).get("trained_on") or {}
        corpus = sound.row.get("corpus", "")
        return bool(corpus) and corpus in str(trained_on.get("corpus", "")).split("+")

    async def heard(self, request: Request) -> Heard:
        """The samples that a request names."""
        asked = request.query_params
        name = asked.get("sound", "")
        sound, recording = self.lab.sounds.get(name), await self.lab.recording(name)
        end = number(asked, "end", math.inf, 0.0)
        return Heard(
            recording.samples,
            recording.sr,
            sound.path,
            first=sound.start or 0.0,
            start=number(asked, "start", 0.0, 0.0),
            end=None if math.isinf(end) else end,
        )


def _identifier(folder: Path) -> str:
    """Sixteen hexadecimal digits that stay the same while the folder stays where it is."""
    text = str(folder.resolve()).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def routes(lab: Lab) -> list[BaseRoute]:
    """The routes of this view."""
    models = _Models(lab)

    async def listed(_: Request) -> Response:
        return answer(await lab.thread(models.listed))

    async def clip(request: Request) -> Response:
        folder = models.folder(request)
        found = await lab.work(said, folder, await models.heard(request))
        return answer({**found, "in_training": models.in_training(folder, request)})

    async def sliding(request: Request) -> Response:
        folder, asked = models.folder(request), request.query_params
        window = number(asked, "window", 1.0, 0.1, 30.0)
        step = number(asked, "step", 0.25, 0.02, 30.0)
        heard = await models.heard(request)
        return answer(await lab.work(over_time, folder, heard, window, step))

    async def example(_: Request) -> Response:
        models.tasks.begin(TASK, train_example, example_folder(), *SIZE)
        return answer(models.tasks.state(TASK))

    return [
        Route("/api/emotion/models", listed),
        Route("/api/emotion/example", example, methods=["POST"]),
        Route("/api/emotion/{model}/said", clip),
        Route("/api/emotion/{model}/over_time", sliding),
    ]
