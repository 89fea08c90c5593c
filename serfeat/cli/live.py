"""Command of streaming: stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serfeat.cli.screen import app, err, present
from serfeat.errors import AudioError

if TYPE_CHECKING:
    from serfeat.streaming import Feed, Moment, Recogniser
    from serfeat.streaming.latency import Latencies


@app.command()
def stream(
    model: Annotated[Path, typer.Argument(help="Folder of a model.")],
    source: Annotated[Path | None, typer.Argument(help="A recording; else --microphone.")] = None,
    microphone: Annotated[bool, typer.Option("--microphone", help="Listen to it.")] = False,
    device: Annotated[str, typer.Option(help="Microphone, by name or number.")] = "",
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play the recording at its own speed.")
    ] = False,
    window: Annotated[float, typer.Option(help="Seconds that the model is given.")] = 3.0,
    every: Annotated[float, typer.Option(help="Seconds between two answers.")] = 0.5,
    fade: Annotated[float, typer.Option(help="Seconds of smoothing; 0: none.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Print the emotion of speech while it is spoken, with the latency of every answer.

    Ctrl-C ends it with a summary.
    """
    from serfeat.streaming import Recogniser
    from serfeat.streaming.latency import Latencies

    present(model)
    if not as_json:
        err.print(f"loading {model}", markup=False)  # some seconds, of a network more
    hops, answers = Latencies(), Latencies()
    interrupted = False
    with _feed(source, microphone=microphone, device=device, realtime=realtime) as feed:
        listener = Recogniser(model, feed.sr, window=window, every=every, fade=fade)
        listener.warm()
        _introduce(listener, as_json)
        feed.start()
        begun = time.perf_counter()
        try:
            for moment, latency in _answers(listener, feed, hops):
                answers.add(latency)
                typer.echo(_line(moment, latency if feed.realtime else None, as_json))
        except KeyboardInterrupt:
            interrupted = True
        summary = {
            "seconds": round(time.perf_counter() - begun, 1),
            "chunks": len(hops),
            "answers": len(answers),
            "dropped": feed.dropped,
            # Of a recording that is fetched as fast as possible, waiting is no latency.
            "chunk_latency_ms": hops.percentiles() if feed.realtime else {},
            "answer_latency_ms": answers.percentiles() if feed.realtime else {},
            "delay_ms": round(1e3 * listener.delay, 1),
            "interrupted": interrupted,
        }
    _finish(summary, as_json)


def _feed(
    source: Path | None, *, microphone: bool, device: str, realtime: bool
) -> AbstractContextManager[Feed]:
    """Open what is listened to."""
    from serfeat.streaming import microphone as listen
    from serfeat.streaming import paced

    if microphone == (source is not None):
        raise AudioError(
            "a recording and the microphone" if microphone else "nothing to listen to",
            where="stream",
            code="bad-source",
            fix="give a recording, or --microphone",
        )
    if source is not None:
        if source.is_dir():
            raise AudioError(
                "a folder, expected one recording",
                where=source,
                code="bad-source",
                fix="give a file; `serfeat predict` takes folders",
            )
        return paced(source, realtime=realtime)
    return listen(device=(int(device) if device.isdecimal() else device) or None)


def _answers(listener: Recogniser, feed: Feed, hops: Latencies) -> Iterator[tuple[Moment, float]]:
    """Push what comes, and give every answer with the time since its last sample arrived."""
    for chunk in feed:
        moments = listener.push(chunk.samples)
        latency = time.perf_counter() - chunk.arrived
        hops.add(latency)
        for moment in moments:
            yield moment, latency
    begun = time.perf_counter()
    for moment in listener.end():
        yield moment, time.perf_counter() - begun


def _introduce(listener: Recogniser, as_json: bool) -> None:
    if as_json:
        return
    way = "frame by frame" if listener.causal else "over a sliding window"
    err.print(f"{', '.join(listener.names)}; {way}; Ctrl-C ends", markup=False)
    if listener.card["trained_on"]["synthetic"]:
        err.print("The model was trained on SYNTHETIC SPEECH: this says nothing about people.")


def _line(moment: Moment, latency: float | None, as_json: bool) -> str:
    ms = None if latency is None else round(1e3 * latency, 2)
    if as_json:
        row = {
            "time": round(moment.time, 3),
            "label": moment.label,
            "values": {k: round(v, 4) for k, v in moment.values.items()},
            "speech": round(moment.speech, 2),
            "reason": moment.reason,
            "latency_ms": ms,
        }
        return json.dumps(row)
    values = "  ".join(f"{name} {value:.2f}" for name, value in moment.values.items())
    took = "" if ms is None else f"{ms:.1f} ms"
    said = moment.label + (f" ({moment.reason})" if moment.reason else "")
    return "\t".join((f"{moment.time:.1f} s", said, values, took)).rstrip()


def _finish(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"summary": summary}))
        return
    latency = summary["answer_latency_ms"]
    took = f"95 % of them within {latency['p95']:.1f} ms of the sound, " if latency else ""
    err.print(
        f"{summary['answers']} answers in {summary['seconds']} s, {took}"
        f"{summary['dropped']} chunks dropped",
        markup=False,
    )
