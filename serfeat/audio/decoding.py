"""Blocks of samples out of libsndfile: opened, decoded in passes, mixed, and counted.

A pass decodes a segment block by block, so that memory holds what is wanted and never what a header
promises. The first pass counts (`Heard`) and, of a recording of ordinary length, keeps the mix; a
second one decodes a single channel where the mean of all would be silence, or resamples a long
recording on its way, so that it is in memory at its new rate alone.

Contents
--------
`opened`, `chatter` : an open file as libsndfile sees it; what its MP3 decoder says meanwhile.
`Reading`           : a segment of it, as blocks.
`Heard`             : what a pass has found.
`first_pass`, `one_channel`, `streamed` : the passes.
`require_as_many`   : that a second pass found what the first did.

Sources: libsndfile 1.2.2 through python-soundfile; mpg123 inside it; soxr.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from serfeat.allocator import of_pages
from serfeat.audio.containers import Claims
from serfeat.audio.pyav import KINDS, Sound
from serfeat.errors import AudioError
from serfeat.types import Reals

__all__ = [
    "EXACT_IN_FLOAT32",
    "Heard",
    "Reading",
    "chatter",
    "first_pass",
    "one_channel",
    "opened",
    "require_as_many",
    "streamed",
]

BLOCK = 1 << 18  # samples decoded at a time
SHORT = 256  # where a file ends too early: what the failing block held is lost

# Single precision holds samples of up to 16 bits, and the mean of two of them, exactly; it takes
# half the memory, and less time to resample.
EXACT_IN_FLOAT32 = {"PCM_S8", "PCM_U8", "PCM_16", "ULAW", "ALAW"}


@contextmanager
def opened(path: Path, stream: BinaryIO, claims: Claims, said: BinaryIO) -> Iterator[Any]:
    """Open with libsndfile, or with PyAV what that does not read, what has been looked at."""
    if claims.kind in KINDS:
        with Sound(path, stream, claims.kind) as opened_sound:
            yield opened_sound
        return
    import soundfile as sf

    stream.seek(0)
    try:
        # A descriptor is read without a call back into Python for every piece.
        source: Any = stream
        if os.name == "posix":
            source = os.dup(stream.fileno())
            os.lseek(source, 0, os.SEEK_SET)
        sound = sf.SoundFile(source, closefd=True)
    except (sf.LibsndfileError, TypeError) as error:
        reason = getattr(error, "error_string", str(error)).strip()
        if not claims.kind:
            found, code = f"not audio ({reason})", "not-audio"
        elif claims.cut:
            found, code = f"truncated: its end is missing ({reason})", "truncated"
        else:
            found, code = f"not audio that can be read ({reason})", "bad-header"
        fix = "convert it to WAV or FLAC"
        raise AudioError(found + heard_of(said), where=path, code=code, fix=fix) from None
    with sound:
        yield sound


@contextmanager
def chatter(kind: str) -> Iterator[BinaryIO]:
    """Keep what the MP3 decoder writes to descriptor 2: for a message, not for the terminal."""
    if kind != "MP3":
        yield BytesIO()
        return
    with tempfile.TemporaryFile() as said:
        try:
            screen = os.dup(2)
        except OSError:  # a process without a standard error has nothing to keep clean
            yield said
            return
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def heard_of(said: BinaryIO) -> str:
    """First line of what the decoder said, if anything."""
    said.seek(0)
    lines = said.read(400).decode("utf-8", "replace").strip().splitlines()
    return f": {lines[0]}" if lines else ""


@dataclass(frozen=True)
class Reading:
    """A segment of an open file: `count` samples from `first` on; `wide` in double precision."""

    path: Path
    sound: Any
    first: int
    count: int
    said: BinaryIO
    wide: bool = False

    @property
    def dtype(self) -> str:
        """A precision that holds the samples, and the mean of two channels, exactly."""
        narrow = self.sound.subtype in EXACT_IN_FLOAT32 and self.sound.channels <= 2
        return "float32" if narrow and not self.wide else "float64"

    def blocks(self) -> Iterator[Reals]:
        """Yield (n, channels) blocks."""
        import soundfile as sf

        sound, skip, done = self.sound, 0, 0
        try:
            if not sound.seekable():
                skip = self.first  # GSM 6.10: what comes before is read as well, and once
            elif sound.tell() != self.first:
                sound.seek(self.first)
            while skip > 0 and len(passed := sound.read(min(BLOCK, skip), dtype="float32")):
                skip -= len(passed)
            while done < self.count:
                block = self._decode(min(BLOCK, self.count - done))
                if not len(block):
                    break
                done += len(block)
                yield block
        except (sf.LibsndfileError, RuntimeError) as error:
            if not self._end_is_missing():
                raise AudioError(
                    f"the stream is corrupt after {done / sound.samplerate:.2f} s "
                    f"({error}){heard_of(self.said)}",
                    where=self.path,
                    code="corrupt",
                    fix="copy the recording again",
                ) from None
            yield from self._up_to_the_cut(done)

    def _decode(self, n: int) -> Reals:
        """Read the next n samples of each channel, (n, channels); fewer at the end."""
        # NumPy is quicker to make the same numbers of them; of FLAC, libsndfile.
        if self.sound.subtype == "PCM_16" and self.sound.format == "WAV":
            whole = self.sound.read(n, dtype="int16", always_2d=True)
            samples: Reals = np.multiply(whole, 2.0**-15, dtype=self.dtype)
            return samples
        return np.asarray(self.sound.read(n, dtype=self.dtype, always_2d=True))

    def _end_is_missing(self) -> bool:
        """Whether a FLAC that cannot be decoded was cut: its last sample is not there either.

        Where a byte in the middle is wrong, libFLAC still finds the end.
        """
        import soundfile as sf

        if self.sound.format != "FLAC":
            return False
        try:
            with sf.SoundFile(os.fsencode(self.path)) as again:
                again.seek(again.frames - 1)
                return len(again.read(1)) == 0
        except (sf.LibsndfileError, RuntimeError):
            return True

    def _up_to_the_cut(self, done: int) -> Iterator[Reals]:
        """Yield what is left of a FLAC that was cut, from sample `done` of the segment on.

        A block that ends beyond the cut is an error as a whole, and libFLAC does not find its place
        in such a file: so it is read again from its beginning, in short blocks.
        """
        import soundfile as sf

        end, place = self.first + self.count, 0
        with suppress(sf.LibsndfileError, RuntimeError), sf.SoundFile(os.fsencode(self.path)) as f:
            while place < end:
                wanted = min(SHORT, end - place)
                block = f.read(wanted, dtype=self.dtype, always_2d=True)
                if not len(block):
                    return
                new = block[max(0, self.first + done - place) :]
                place += len(block)
                if len(new):
                    yield new

    def mixed(self, channel: int | None = None) -> Iterator[Reals]:
        """Yield (n,) blocks of one channel, or of the mean of all."""
        for block in self.blocks():
            if channel is None and self.sound.channels > 1:
                yield block.mean(axis=1)
            else:
                yield block[:, channel or 0]


@dataclass
class Heard:
    """What one pass over a segment has found; grows block by block.

    Attributes
    ----------
    n : samples.
    peak, total : largest magnitude and sum of the mix.
    bad, first_bad : samples that are not finite, and where the first is.
    plateau : neighbours that are both at the peak.
    power, mixed : sum of squares of each channel, and of the mix.
    """

    power: Reals
    n: int = 0
    peak: float = 0.0
    total: float = 0.0
    bad: int = 0
    first_bad: int = -1
    plateau: int = 0
    mixed: float = 0.0
    last: float = 0.0

    def add(self, part: Reals) -> None:
        """Take the next (n,) samples of the mix."""
        high, low = float(part.max()), float(part.min())  # NaN if any sample is
        peak = max(high, -low)
        if not np.isfinite(peak):
            bad = np.flatnonzero(~np.isfinite(part))
            self.first_bad = self.n + int(bad[0]) if self.first_bad < 0 else self.first_bad
            self.bad += len(bad)
        elif not self.bad:
            if peak > self.peak / 0.9999:
                self.plateau = 0  # what was at the old peak is not at this one
            self.peak = max(self.peak, peak)
            limit = 0.9999 * self.peak
            if self.peak and peak >= limit:
                at_peak = part >= limit if high >= limit else part <= -limit
                if -low >= limit:
                    at_peak |= part <= -limit
                self.plateau += int(np.count_nonzero(at_peak[1:] & at_peak[:-1]))
                self.plateau += int(at_peak[0] and abs(self.last) >= limit)
            self.total += float(part.sum(dtype=np.float64))
            self.last = float(part[-1])
        self.n += len(part)


def first_pass(read: Reading, *, keep: bool) -> tuple[Heard, Reals | None]:
    """Decode everything once: what there is, and, if `keep`, the samples of the mix."""
    found = Heard(np.zeros(read.sound.channels))
    kept: Reals | None = None
    for block in read.blocks():
        part = block[:, 0] if read.sound.channels == 1 else block.mean(axis=1)
        if keep and len(part) == read.count:
            kept = part
        elif keep:
            if kept is None:
                kept = np.empty(read.count, dtype=read.dtype)  # pages unwritten cost nothing
            kept[found.n : found.n + len(part)] = part
        if read.sound.channels > 1:
            found.power += (block.astype(np.float64) ** 2).sum(axis=0)
            found.mixed += float((part.astype(np.float64) ** 2).sum())
        found.add(part)
    if keep and kept is None:  # nothing could be decoded
        kept = np.empty(0, dtype=read.dtype)
    return found, None if kept is None else kept[: found.n]


def one_channel(read: Reading, found: Heard, channel: int, *, keep: bool) -> Reals | None:
    """Decode one channel: what there is goes to `found`; its samples, if `keep`."""
    parts = []
    for part in read.mixed(channel):
        found.add(part)
        if keep:
            parts.append(part.copy())
    return np.concatenate(parts) if keep else None


def require_as_many(read: Reading, before: int, now: int) -> None:
    """Refuse a second pass that found another number of samples than the first.

    Raises
    ------
    AudioError : with the code corrupt: mpg123 finds its place in a damaged file once here and once
        there, or the disk gave it less.
    """
    if now != before:
        raise AudioError(
            f"read twice, it gave {before} samples and then {now}",
            where=read.path,
            code="corrupt",
            fix="copy the recording again",
        )


def streamed(read: Reading, channel: int | None, n: int, target: int) -> Reals:
    """Decode and resample block by block: a long recording is in memory at its new rate alone."""
    import soxr

    rate = int(read.sound.samplerate)
    out = of_pages(round(n * target / rate) + 2)
    done = heard = 0
    stream = soxr.ResampleStream(rate, target, 1, dtype="float32", quality="HQ")
    for part in read.mixed(channel):
        heard += len(part)
        if heard > n:  # there is no place for it
            break
        piece = part.astype(np.float32, copy=False)
        y = piece if rate == target else stream.resample_chunk(piece)
        out[done : done + len(y)] = y
        done += len(y)
    require_as_many(read, n, heard)
    if rate != target:
        y = stream.resample_chunk(np.empty(0, dtype=np.float32), last=True)
        out[done : done + len(y)] = y
        done += len(y)
    return out[:done]
