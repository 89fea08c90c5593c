"""The Sound view's answers: upload, choose, look at, listen to.

===================================== ==========================================================
POST /api/sound/upload                a file -> what is known of it, decoded and checked
GET  /api/sound/about                 curves, sliders, sources, vowels, corpora
GET  /api/sound/list                  recordings of a corpus, filtered, a page of them
GET  /api/sound/{id}                  name, duration, flags, what its manifest says
GET  /api/sound/{id}/wav              16-bit WAV of what the features hear
GET  /api/sound/{id}/waveform         block: lows and highs, or samples
GET  /api/sound/{id}/spectrogram      block: levels
GET  /api/sound/{id}/curves           block: curves from one source
GET  /api/sound/{id}/slice            block: the spectrum at one moment
===================================== ==========================================================
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any

import pandas as pd
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serfeat.errors import SerfeatError, did_you_mean
from serfeat.lab.answers import number
from serfeat.lab.curves import CURVES, LONGEST, OURS, SLIDERS, WHOLE, Settings, curves, sources_of
from serfeat.lab.pictures import slice_at, spectrogram, waveform
from serfeat.lab.sounds import Recording, Sound
from serfeat.lab.state import Lab, LabError, answer, block
from serfeat.lab.uploads import receive
from serfeat.lab.vowels import SOURCE, VOWELS

__all__ = ["routes"]

PAGE = 60  # recordings that a list shows at once
FILTERS = ("speaker", "emotion")

Answer = Callable[[Request], Awaitable[Response]]


def routes(lab: Lab) -> list[BaseRoute]:
    """Routes below /api/sound."""
    return [
        Route("/api/sound/upload", _upload(lab), methods=["POST"]),
        Route("/api/sound/about", _about(lab)),
        Route("/api/sound/list", _list(lab)),
        Route("/api/sound/{id}", _one(lab)),
        Route("/api/sound/{id}/wav", _wav(lab)),
        Route("/api/sound/{id}/waveform", _waveform(lab)),
        Route("/api/sound/{id}/spectrogram", _spectrogram(lab)),
        Route("/api/sound/{id}/curves", _curves(lab)),
        Route("/api/sound/{id}/slice", _slice(lab)),
    ]


def _upload(lab: Lab) -> Answer:
    async def upload(request: Request) -> Response:
        sound = await receive(lab, request)
        try:
            recording = await lab.recording(sound.id)
        except (SerfeatError, OSError):
            lab.forget(sound.id)
            raise
        return answer(known(sound, recording))

    return upload


def known(sound: Sound, recording: Recording) -> dict[str, Any]:
    """What the page may know of a decoded sound."""
    return sound.about() | {
        "duration": recording.duration,
        "sr": recording.sr,
        "original_sr": recording.original_sr,
        "flags": list(recording.flags),
    }


def _about(lab: Lab) -> Answer:
    def found() -> dict[str, Any]:
        return {
            "curves": {
                name: {
                    "title": c.title,
                    "columns": c.columns,
                    "sliders": ["hop", *c.sliders],
                    "sources": sources_of(c),
                }
                for name, c in CURVES.items()
            },
            "sliders": SLIDERS,
            "vowels": VOWELS,
            "vowels_source": SOURCE,
            "whole": WHOLE,
            "longest": LONGEST,
            "corpora": {n: _facets(m.rows) for n, m in lab.sounds.manifests.items()},
        }

    async def about(_: Request) -> Response:
        return answer(await lab.thread(found))

    return about


def _facets(rows: pd.DataFrame) -> dict[str, Any]:
    """Values that a list can be filtered by, with how many rows have each."""
    counts = {c: rows[c].value_counts().sort_index() for c in FILTERS if c in rows}
    return {"rows": len(rows)} | {
        name: {str(k): int(v) for k, v in c.items() if str(k)} for name, c in counts.items()
    }


def _list(lab: Lab) -> Answer:
    def found(words: Mapping[str, str]) -> dict[str, Any]:
        name = words.get("corpus", "")
        if name not in lab.sounds.manifests:
            raise did_you_mean("corpus", name, lab.sounds.manifests)
        manifest = lab.sounds.manifests[name]
        rows = manifest.rows
        for column in FILTERS:
            if wanted := words.get(column):
                rows = rows[(rows[column] == wanted).to_numpy()]
        if wanted := words.get("q", "").strip().lower():
            files = rows.index.get_level_values("file").str.lower()
            rows = rows[files.str.contains(wanted, regex=False)]
        begin = max(0, int(number(words, "offset", 0)))
        sounds = [
            {
                "id": lab.sounds.find(file, start, end, corpus=name),
                "name": file,
                "speaker": row.get("speaker", ""),
                "emotion": row.get("emotion", ""),
                "start": start,
                "end": end,
            }
            for (file, start, end), row in rows.iloc[begin : begin + PAGE].iterrows()
        ]
        return {"total": len(rows), "offset": begin, "page": PAGE, "sounds": sounds}

    async def listed(request: Request) -> Response:
        return answer(await lab.thread(found, request.query_params))

    return listed


def _one(lab: Lab) -> Answer:
    async def one(request: Request) -> Response:
        sound = lab.sounds.get(request.path_params["id"])
        return answer(known(sound, await lab.recording(sound.id)))

    return one


def wav(recording: Recording) -> bytes:
    """16-bit WAV of a recording; what lies beyond full scale is limited."""
    import numpy as np
    import soundfile

    target = BytesIO()
    samples = np.clip(np.asarray(recording.x), -1.0, 1.0)
    soundfile.write(target, samples, recording.sr, format="WAV", subtype="PCM_16")
    return target.getvalue()


def _wav(lab: Lab) -> Answer:
    async def whole(request: Request) -> Response:
        recording = await lab.recording(request.path_params["id"])
        return Response(await lab.thread(wav, recording), media_type="audio/wav")

    return whole


def _waveform(lab: Lab) -> Answer:
    async def picture(request: Request) -> Response:
        recording, start, end, width = await _view(lab, request)
        return block(*await lab.thread(waveform, recording, start, end, width))

    return picture


def _spectrogram(lab: Lab) -> Answer:
    async def picture(request: Request) -> Response:
        recording, start, end, width = await _view(lab, request)
        length = Settings.of(request.query_params).window
        return block(*await lab.work(spectrogram, recording, start, end, width, length))

    return picture


def _curves(lab: Lab) -> Answer:
    async def some(request: Request) -> Response:
        recording, start, end, _ = await _view(lab, request)
        names = [n for n in request.query_params.get("names", "").split(",") if n]
        for name in names:
            if name not in CURVES and name != "voicing":
                raise did_you_mean("curve", name, (*CURVES, "voicing"))
        source = request.query_params.get("source", OURS)
        settings = Settings.of(request.query_params)
        return block(*await lab.work(curves, recording, names, source, settings, start, end))

    return some


def _slice(lab: Lab) -> Answer:
    async def one(request: Request) -> Response:
        recording = await lab.recording(request.path_params["id"])
        time = number(request.query_params, "time", 0.0)
        settings = Settings.of(request.query_params)
        return block(*await lab.work(slice_at, recording, time, settings))

    return one


async def _view(lab: Lab, request: Request) -> tuple[Recording, float, float, int]:
    """The recording, the stretch that is looked at (s), and the width of the screen (pixels)."""
    recording = await lab.recording(request.path_params["id"])
    words = request.query_params
    start = max(0.0, number(words, "start", 0.0))
    end = min(recording.duration, number(words, "end", recording.duration))
    if start >= end:
        raise LabError(422, f"{start:g} to {end:g} s is no stretch of it", code="bad-segment")
    return recording, start, end, int(number(words, "width", 800))
