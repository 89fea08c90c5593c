"""The Live view: a microphone in the browser, its descriptors and probabilities while one speaks.

Routes
------
``/api/live/models`` (JSON)  : the models that can listen.
``/api/live`` (WebSocket)    : one stream for each connection.

The page sends its token, then ``{"sr": Hz, "model": id or ""}``, then binary messages of 32-bit
floats. The server answers JSON: ``{"ready": ...}`` once, then for what came together
``{"times", "columns": {name: [...]}, "spectrum", "moments", "level", "dropped", "compute_ms"}``, or
``{"error": ...}`` before it closes.

What is not computed in time is dropped and counted, never queued without bound; and only so many
may listen at once. Nothing of the sound is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from serfeat.errors import SerfeatError
from serfeat.lab.answers import plain
from serfeat.lab.guards import greet
from serfeat.lab.state import Lab, LabError, answer
from serfeat.spectrum import mel_filterbank
from serfeat.streaming import Recogniser, Stream
from serfeat.streaming.frames import resampler
from serfeat.streaming.latency import Latencies
from serfeat.types import Floats

__all__ = ["LISTENERS", "routes"]

LOG = logging.getLogger("serfeat.lab")
LISTENERS = 4  # streams at once
WAITING = 0.5  # s of sound that may wait
PATIENCE = 30.0  # s without a message
LARGEST = 1.0  # s in one message
RATE = 16_000  # Hz at which the curves are computed
CURVES = "f0,energy,zcr"
BANDS = 48  # of the strip of spectra


def routes(lab: Lab) -> list[BaseRoute]:
    """Routes of this view."""
    listening = _Places(LISTENERS)
    warming: list[asyncio.Task[None]] = []

    async def models(_: Request) -> Response:
        found = _models(lab)
        if found and not warming:  # whoever looks at this view is about to press Start
            warming.append(asyncio.create_task(lab.thread(_warm, lab, next(iter(found)))))
        return answer([{"id": key, "name": path.name} for key, path in found.items()])

    async def live(socket: WebSocket) -> None:
        if not await greet(socket, lab.options.token):
            return
        if not listening.take():
            await _refuse(socket, f"{LISTENERS} streams are open already: end one of them")
            return
        try:
            await _listen(lab, socket)
        finally:
            listening.give()

    return [Route("/api/live/models", models), WebSocketRoute("/api/live", live)]


class _Places:
    """A number of places, taken without waiting."""

    def __init__(self, count: int) -> None:
        self.left = count

    def take(self) -> bool:
        if not self.left:
            return False
        self.left -= 1
        return True

    def give(self) -> None:
        self.left += 1


def _models(lab: Lab) -> dict[str, Path]:
    """Models by id: the folders that the command line named, or those in them."""
    found = []
    for folder in lab.options.models:
        inside = sorted(p.parent for p in folder.glob("*/card.json"))
        found += [folder] if (folder / "card.json").is_file() else inside
    return {hashlib.sha256(str(p.resolve()).encode()).hexdigest()[:12]: p for p in found}


async def _refuse(socket: WebSocket, words: str) -> None:
    with suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_json({"error": words})
        await socket.close(1008, "refused")


async def _listen(lab: Lab, socket: WebSocket) -> None:
    """One stream, from its settings to its end."""
    try:
        wanted = await asyncio.wait_for(socket.receive_json(), PATIENCE)
        listener = await lab.thread(_prepared, lab, wanted)
    except (SerfeatError, ValueError, KeyError, TypeError, AttributeError) as error:
        known = isinstance(error, SerfeatError)
        await _refuse(socket, str(error) if known else "the first message was not understood")
        return
    except (TimeoutError, WebSocketDisconnect):
        await _refuse(socket, "no settings came")
        return
    await socket.send_json({"ready": listener.about})
    waiting: asyncio.Queue[Any] = asyncio.Queue()  # `_receive` bounds it
    receiving = asyncio.create_task(_receive(socket, listener, waiting))
    computing = asyncio.create_task(_compute(lab, socket, listener, waiting))
    try:
        await asyncio.wait({receiving, computing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        receiving.cancel()
        waiting.put_nowait(None)
    for ended in await asyncio.gather(receiving, computing, return_exceptions=True):
        if isinstance(ended, SerfeatError):
            await _refuse(socket, str(ended))
        elif isinstance(ended, Exception) and not isinstance(ended, WebSocketDisconnect):
            LOG.error("unexpected %s", type(ended).__name__, exc_info=ended)
            await _refuse(socket, f"unexpected {type(ended).__name__}; this is a bug")


async def _receive(socket: WebSocket, listener: Listener, waiting: asyncio.Queue[Any]) -> None:
    """Take messages until the page goes; what finds too much before it is dropped."""
    while True:
        try:
            message = await asyncio.wait_for(socket.receive(), PATIENCE)
        except TimeoutError:
            raise LabError(408, f"no sound came for {PATIENCE:g} s") from None
        if message["type"] == "websocket.disconnect":
            return
        chunk = message.get("bytes")
        if not chunk or len(chunk) % 4 or len(chunk) > 4 * LARGEST * listener.sr:
            raise LabError(400, f"expected 32-bit floats, at most {LARGEST:g} s at a time")
        if listener.waits + len(chunk) // 4 > WAITING * listener.sr:
            listener.dropped += 1
            continue
        listener.waits += len(chunk) // 4
        waiting.put_nowait((chunk, time.perf_counter()))


async def _compute(
    lab: Lab, socket: WebSocket, listener: Listener, waiting: asyncio.Queue[Any]
) -> None:
    """Compute what has come, all of it together, and send it."""
    while (first := await waiting.get()) is not None:
        chunks = [first]
        while not waiting.empty() and (more := waiting.get_nowait()) is not None:
            chunks.append(more)
        samples = np.concatenate([np.frombuffer(c, "<f4") for c, _ in chunks])
        listener.waits -= len(samples)
        found = await lab.thread(listener.push, samples, chunks[-1][1])
        await socket.send_json(plain(found))


def _warm(lab: Lab, model: str) -> None:
    """Load what a stream of a model needs, so that the first one does not wait for it."""
    with suppress(Exception):  # whoever starts a stream is told
        _prepared(lab, {"sr": RATE, "model": model})


def _prepared(lab: Lab, wanted: Any) -> Listener:
    """Open the model and compute once, so that nothing is compiled while somebody speaks."""
    models = _models(lab)
    key = str(wanted.get("model") or "")
    if key and key not in models:
        raise LabError(404, "no such model")
    made = Listener(int(wanted["sr"]), models.get(key))
    made.warm()
    return made


class Listener:
    """What is computed for one connection.

    Parameters
    ----------
    sr : Hz of the page's samples.
    model : folder; None: descriptors alone.

    Attributes
    ----------
    waits, dropped : samples that wait, chunks that were dropped.
    """

    def __init__(self, sr: int, model: Path | None) -> None:
        self.sr, self._model = sr, model
        self.waits = self.dropped = 0
        self._recogniser = None if model is None else Recogniser(model, sr)
        self._begin()

    def _begin(self) -> None:
        self._stream = Stream(CURVES, self.sr)
        self._strip = _Strip(self.sr)
        self._latencies = Latencies()

    @property
    def about(self) -> dict[str, Any]:
        """What the page is told at the beginning."""
        listener = self._recogniser
        return {
            "hop": self._stream.hop,
            "delay_ms": 1e3 * self._stream.delay,
            "columns": dict(zip(self._stream.columns, self._stream.units, strict=True)),
            "bands": BANDS,
            "highest": RATE / 2,
            "names": [] if listener is None else listener.names,
            "causal": bool(listener and listener.causal),
            "synthetic": bool(listener and listener.card["trained_on"]["synthetic"]),
        }

    def warm(self) -> None:
        """Compute once on a buzz."""
        t = np.arange(self.sr // 2) / self.sr
        self._stream.push(0.3 * (2 * (150 * t % 1) - 1))
        self._begin()
        if self._recogniser is not None:
            self._recogniser.warm()

    def push(self, samples: Floats, arrived: float) -> dict[str, Any]:
        """Compute what a message brings; see the module's text."""
        frames = self._stream.push(samples)
        spectrum = self._strip.push(samples)
        moments = [] if self._recogniser is None else self._recogniser.push(samples)
        self._latencies.add(time.perf_counter() - arrived)
        power = float((samples.astype(np.float64) ** 2).mean()) if len(samples) else 0.0
        columns = dict(zip(self._stream.columns, frames.values.T, strict=True))
        return {
            "times": np.round(frames.times, 4),
            "columns": {name: np.round(v, 3) for name, v in columns.items()},
            "spectrum": np.round(spectrum, 1),
            "moments": [asdict(m) for m in moments],
            "level": 10 * np.log10(max(power, 1e-12)),
            "peak": float(np.abs(samples).max(initial=0.0)),
            "dropped": self.dropped,
            "latency_ms": self._latencies.percentiles(),
        }


class _Strip:
    """Mel spectra every 20 ms, dB: a picture of what is heard, not a descriptor."""

    def __init__(self, sr: int) -> None:
        self._hop, self._size = RATE // 50, 512
        self._resampler = resampler(sr, RATE)
        self._x = np.zeros(0)
        self._window = np.hanning(self._size)
        self._bank = mel_filterbank(RATE, self._size, BANDS)

    def push(self, x: Floats) -> Floats:
        """(columns, BANDS) dB of the windows that are complete."""
        y = x.astype(np.float64)
        if self._resampler is not None:
            y = np.asarray(self._resampler.resample_chunk(y))
        self._x = np.concatenate([self._x, y])
        n = max(0, 1 + (len(self._x) - self._size) // self._hop)
        if not n:
            return np.zeros((0, BANDS))
        cut = np.lib.stride_tricks.sliding_window_view(self._x, self._size)[:: self._hop][:n]
        power = np.abs(np.fft.rfft(cut * self._window, axis=1)) ** 2
        self._x = self._x[n * self._hop :]
        return np.asarray(10 * np.log10(np.maximum(power @ self._bank.T, 1e-10)))
