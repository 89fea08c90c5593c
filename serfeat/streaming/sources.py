"""Where samples come from in real time: a microphone, or a recording played at its own speed.

Whoever records cannot wait. What the other side does not fetch in time is dropped and counted,
never queued without bound: a stream that lags a minute behind is of no use to anybody.

Contents
--------
`Chunk`      : samples, and when the last of them arrived.
`Feed`       : a bounded queue between who records and who computes.
`microphone` : the default input of this computer.
`paced`      : a recording in real time, or as fast as it is fetched.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serfeat.audio import load_audio
from serfeat.errors import AudioError, MissingExtraError
from serfeat.types import Floats

__all__ = ["CHUNK", "Chunk", "Feed", "microphone", "paced"]

CHUNK = 0.010  # s
WAITING = 2.0  # s of sound that may wait


class Chunk(NamedTuple):
    """Samples as they came.

    Attributes
    ----------
    samples : (n,).
    arrived : s of `time.perf_counter` at which the last of them was there.
    """

    samples: Floats
    arrived: float


class Feed:
    """A bounded queue of chunks.

    Parameters
    ----------
    sr : Hz.
    capacity : chunks that may wait.

    Attributes
    ----------
    realtime : whether what is not fetched in time is dropped.
    dropped : chunks that nobody fetched in time.
    """

    def __init__(
        self, sr: int, capacity: int = round(WAITING / CHUNK), *, realtime: bool = True
    ) -> None:
        self.sr = sr
        self.realtime = realtime
        self.dropped = 0
        self._queue: queue.Queue[Chunk] = queue.Queue(capacity)
        self._started, self._ended = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin: what came before is not kept, and a player waits for this."""
        self._started.set()

    def wait(self, seconds: float) -> bool:
        """Wait for `start`; returns whether it was called."""
        return self._started.wait(seconds)

    def put(self, samples: NDArray[Any]) -> bool:
        """Hand over a chunk, or drop it, from any thread; in real time it returns at once."""
        if not self._started.is_set():
            return False
        chunk = Chunk(np.array(samples, dtype=np.float64), time.perf_counter())
        try:
            self._queue.put(chunk, block=not self.realtime)
        except queue.Full:
            self.dropped += 1
            return False
        return True

    def end(self) -> None:
        """Say that nothing more comes."""
        self._ended.set()

    def __iter__(self) -> Iterator[Chunk]:
        """Chunks as they come, until `end`."""
        while not (self._ended.is_set() and self._queue.empty()):
            try:
                yield self._queue.get(timeout=0.1)
            except queue.Empty:
                continue


@contextmanager
def microphone(sr: int = 16_000, *, device: str | int | None = None) -> Iterator[Feed]:
    """Open a microphone.

    Parameters
    ----------
    sr : Hz that are asked for.
    device : name or number, as `sounddevice` knows it; None: the default.

    Raises
    ------
    MissingExtraError : sounddevice is not installed.
    AudioError : no PortAudio, no microphone, or one that cannot be opened so.
    """
    try:
        import sounddevice
    except ImportError:
        raise MissingExtraError.of("sounddevice", "microphone", "a microphone") from None
    except OSError:  # the package is there, the library that it calls is not
        raise AudioError(
            "the library PortAudio is not installed",
            where="microphone",
            code="no-portaudio",
            fix="install it (Debian: libportaudio2), or stream a recording with --realtime",
        ) from None
    feed = Feed(sr)

    def heard(block: Any, _frames: int, _time: Any, status: Any) -> None:
        if status.input_overflow:
            feed.dropped += 1
        feed.put(block[:, 0])

    try:
        opened = sounddevice.InputStream(
            samplerate=sr, channels=1, dtype="float32", blocksize=round(CHUNK * sr),
            device=device, callback=heard,
        )  # fmt: skip
    except (sounddevice.PortAudioError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AudioError(
            f"no microphone can be opened ({reason})",
            where="microphone",
            code="no-microphone",
            fix="connect one, or stream a recording with --realtime",
        ) from None
    with opened:
        try:
            yield feed
        finally:
            feed.end()


@contextmanager
def paced(path: Path, *, realtime: bool = True) -> Iterator[Feed]:
    """Play a recording into a feed.

    Parameters
    ----------
    path : of the recording, read whole at its own rate.
    realtime : 10 ms are handed over every 10 ms; else as fast as they are fetched, and none is
        dropped.

    Raises
    ------
    AudioError : see `serfeat.audio.load_audio`.
    """
    audio = load_audio(path, sr=None)
    size = round(CHUNK * audio.sr)
    parts = [audio.x[i : i + size] for i in range(0, len(audio.x), size)]
    feed = Feed(audio.sr, realtime=realtime)
    stop = threading.Event()

    def play() -> None:
        while not feed.wait(0.1) and not stop.is_set():
            continue
        begin = time.perf_counter()
        for i, part in enumerate(parts):
            # Against the clock, not against the last chunk: delays must not add up.
            due = max(0.0, begin + (i + 1) * CHUNK - time.perf_counter()) if realtime else 0.0
            if stop.wait(due):
                break
            feed.put(part)
        feed.end()

    player = threading.Thread(target=play, name="player", daemon=True)
    player.start()
    try:
        yield feed
    finally:
        stop.set()
        for _ in feed:  # a player that waits for room goes on, and sees that it is over
            pass
        player.join()
