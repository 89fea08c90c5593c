"""Recordings of telephones and browsers (m4a, webm, amr, aac, wma), through PyAV (extra ``m4a``).

libsndfile reads none of them. PyAV holds FFmpeg's libraries; here they are kept to what speech
comes in: the container is the one that the first bytes name, never one that FFmpeg guesses, and
nothing is opened by a name, so that no playlist or reference can lead to another file or the
network. `Sound` looks like an open `soundfile.SoundFile`: everything that `serfeat.audio` does to
one (caps, blocks, checks) is done to the other.

Conventions
-----------
How long a recording is, is counted, by decoding it once without keeping it, up to `COUNTED`
seconds; of one that says that it is longer, its word is taken (it will be refused). A container
that announces more than can be decoded is truncated. AAC begins with a packet of silence, which
FFmpeg takes off where the container says so (m4a does, a bare aac stream cannot).

Contents
--------
`KINDS` : kind of container -> FFmpeg's name of it.
`Sound` : an open recording.

Sources: PyAV 18; FFmpeg's documentation of demuxers.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from serfeat.errors import AudioError
from serfeat.types import Reals

__all__ = ["EXACT", "KINDS", "LOSSY", "Sound", "available"]

KINDS = {"M4A": "mov", "WEBM": "matroska", "AMR": "amr", "AAC": "aac", "WMA": "asf"}
LOSSY = {"AAC", "OPUS", "VORBIS", "AMRNB", "AMRWB", "MP3", "MP3FLOAT", "WMAV2"}
EXACT = {"ALAC", "FLAC", "PCM_S16LE", "PCM_S24LE", "PCM_S32LE", "PCM_F32LE"}
COUNTED = 2 * 3600.0  # s
SLACK = 4096  # samples: a packet and the silence before it


def available() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


class _Quiet:
    """A file that answers a jump to an impossible place, instead of raising.

    PyAV prints a traceback for the second exception of a file within one call of FFmpeg.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.read, self.tell, self._stream = stream.read, stream.tell, stream

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Return the new position, or below 0, FFmpeg's word for a failure."""
        try:
            return self._stream.seek(offset, whence)
        except (OSError, ValueError):
            return -errno.EINVAL


class Sound:
    """An open recording, with the attributes and methods of a `soundfile.SoundFile`.

    Parameters
    ----------
    path : for messages.
    stream : the open file, at any position.
    kind : a key of `KINDS`.

    Attributes
    ----------
    format, subtype : the kind, and the codec in capitals.
    samplerate, channels, frames : Hz, and samples of each channel.
    share : part of the announced length that there is, 0 to 1.

    Raises
    ------
    AudioError : with the code bad-header, corrupt or unsupported-encoding.
    """

    def __init__(self, path: Path, stream: BinaryIO, kind: str) -> None:
        self.path, self.format = path, kind
        self._stream = os.fdopen(os.dup(stream.fileno()), "rb")
        self._blocks: Iterator[Reals] = iter(())
        self._container: Any = None
        self._at, self._rest = 0, np.empty((0, 1), dtype=np.float32)
        try:
            found = self._open()
            codec = found.codec_context
            if codec is None:
                raise self._error("its codec is one that nobody knows", "unsupported-encoding")
            self.subtype = str(codec.name).upper()
            self.samplerate, self.channels = int(codec.sample_rate), int(codec.layout.nb_channels)
            if self.subtype not in LOSSY | EXACT:
                raise self._error(f"{codec.name} is no codec of speech", "unsupported-encoding")
            self.frames, self.share = 0, 1.0
            if self.samplerate > 0 and self.channels > 0:
                self._measure(self._announced(found))
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        """Open the container from its beginning and return its first stream of sound."""
        import av

        av.logging.set_level(av.logging.PANIC)  # an error is raised; more need not be printed
        self._stream.seek(0)
        if self._container is not None:
            self._container.close()
        try:
            self._container = av.open(_Quiet(self._stream), mode="r", format=KINDS[self.format])
            streams = self._container.streams.audio
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            what = f"not audio that can be read ({reason})"
            raise self._error(what, "bad-header") from None
        if not streams:
            raise self._error("it holds no sound", "no-samples")
        return streams[0]

    def _announced(self, found: Any) -> float:
        """Samples that the container announces, 0 where it is only FFmpeg's guess."""
        if self.format in ("AMR", "AAC"):
            return 0.0
        if found.duration:
            return float(found.duration * found.time_base) * self.samplerate
        return (self._container.duration or 0) / 1e6 * self.samplerate

    def _measure(self, announced: float) -> None:
        """Count the samples, if that may be worth it."""
        most = COUNTED * self.samplerate
        if announced > most:
            self.frames = round(announced)
            return
        self.seek(0)
        counted = 0
        for block in self._blocks:
            counted += len(block)
            if counted > (announced + SLACK if announced else most) + SLACK:
                break
        self.frames = counted
        if announced and counted > announced:
            self.frames = round(announced)  # what follows is the filling of the last packet
        elif announced > counted + SLACK:
            self.share = counted / announced
        self.seek(0)

    def _decoded(self) -> Iterator[Reals]:
        """Yield (n, channels) blocks in float32, packet by packet."""
        import av

        layout = self._container.streams.audio[0].codec_context.layout.name
        same = av.AudioResampler(format="fltp", layout=layout, rate=self.samplerate)
        try:
            for frame in self._container.decode(audio=0):
                if (frame.sample_rate, frame.layout.nb_channels) != (
                    self.samplerate, self.channels,
                ):  # fmt: skip
                    raise self._error("its rate or channels change on the way", "corrupt")
                frame.pts = None  # holes in time are not filled
                for part in same.resample(frame):
                    yield np.asarray(part.to_ndarray().T, dtype=np.float32)
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self._error(f"the stream is corrupt ({reason})", "corrupt") from None

    def _error(self, what: str, code: str) -> AudioError:
        fix = f"copy it again, or convert it, e.g. ffmpeg -i {self.path.name} {self.path.stem}.flac"
        return AudioError(what, where=self.path, code=code, fix=fix)

    # --- as soundfile.SoundFile -----------------------------------------------------------------

    def __enter__(self) -> Sound:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the container and the file."""
        if self._container is not None:
            self._container.close()
        self._stream.close()

    def seekable(self) -> bool:
        """True: `seek` decodes from the beginning, which is exact, as a jump by packets is not."""
        return True

    def tell(self) -> int:
        """Sample that is read next."""
        return self._at

    def seek(self, frame: int) -> int:
        """Go to a sample."""
        self._open()
        self._blocks = self._decoded()
        self._at, self._rest = 0, np.empty((0, self.channels), dtype=np.float32)
        while self._at < frame and len(self.read(min(1 << 16, frame - self._at))):
            pass
        return self._at

    def read(self, frames: int, dtype: str = "float64", always_2d: bool = True) -> Reals:  # noqa: ARG002
        """(n, channels) samples, fewer than `frames` at the end only."""
        parts, have = [self._rest], len(self._rest)
        while have < frames and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            have += len(block)
        whole = np.concatenate(parts)
        self._rest = whole[frames:]
        self._at += min(frames, len(whole))
        return whole[:frames].astype(dtype)
