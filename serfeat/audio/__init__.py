"""One guarded way from a file to an array; nothing else in serfeat opens audio for its samples.

libsndfile is robust, which is not the same as right: it reads half of a truncated WAV without a
word, and a header can claim 68 billion frames. So a file is looked at before it is decoded, in this
order: `stat` (a regular file), first bytes and header (`serfeat.audio.containers`), libsndfile's
header, caps; it is decoded in blocks under a running cap; and what comes out is checked (length,
finite samples, channels, the file as it was). What is wrong raises `AudioError` with a stable code;
what is merely odd is a flag that travels with the samples.

Programs that serfeat calls get arrays, never a path: Praat dies on some corrupt MP3 files.

Sources: libsndfile 1.2.2 through python-soundfile, the one decoder for all formats (so an MP3 has
the encoder's delay that mpg123 leaves, whatever other tools do); m4a, webm, amr, aac and wma by
FFmpeg (`serfeat.audio.pyav`); resampling by the SoX resampler (soxr, "HQ").
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
from dataclasses import dataclass
from importlib.metadata import version
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal

import numpy as np

from serfeat.audio.containers import MAX_CHANNELS, SAMPLE_RATES, Claims, check_limits, claims_of
from serfeat.audio.decoding import (
    EXACT_IN_FLOAT32,
    Heard,
    Reading,
    chatter,
    first_pass,
    one_channel,
    opened,
    require_as_many,
    streamed,
)
from serfeat.audio.pyav import EXACT, KINDS, LOSSY
from serfeat.errors import AudioError
from serfeat.types import Reals

__all__ = [
    "DECODER",
    "MAX_CHANNELS",
    "MAX_DURATION",
    "MIN_DURATION",
    "SAMPLE_RATES",
    "USUAL",
    "Audio",
    "Limits",
    "content_hash",
    "load_audio",
    "resample",
]

DECODER = 3  # goes up when the samples of any file change; part of every key of the store

# Caps, in one place (with those of `serfeat.audio.containers`). A header is a stranger's claim.
MIN_DURATION = 0.025  # s: one analysis frame
MAX_DURATION = 3600.0  # s
LEAST_OFFSET, LARGE_OFFSET = 5e-4, 0.02  # of the peak; below, it may be rounding to 16 bits
LONG = 240.0  # s: a longer recording stays in single precision, and only at its new rate
ENOUGH = 0.99  # of what a header announces; below that a recording is truncated

# Errors of a path, not of a disk: the next run would meet them again.
_NEVER = {errno.ELOOP, errno.ENAMETOOLONG}

# What is decoded. libsndfile knows more (MATLAB files, samplers' formats), and guesses some.
_FORMATS = {
    "WAV",
    "WAVEX",
    "RF64",
    "W64",
    "AIFF",
    "AU",
    "CAF",
    "FLAC",
    "OGG",
    "NIST",
    "MP3",
    *KINDS,
}
_EXACT = EXACT_IN_FLOAT32 | {"PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
_EXACT |= {"ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"} | EXACT
_LOSSY = {"GSM610", "IMA_ADPCM", "MS_ADPCM", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"}
_LOSSY |= {"G721_32", "G723_24", "G723_40", "VOX_ADPCM", "VORBIS", "OPUS"}
_LOSSY |= {"MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"} | LOSSY

Overload = Literal["peak", "clip", "error"]


@dataclass(frozen=True)
class Audio:
    """Samples that may be trusted.

    Parameters
    ----------
    x : (n,) mono in [-1, 1] before resampling, which overshoots a little where samples are at full
        scale; float64 up to four minutes (`LONG`), float32 beyond.
    sr : Hz, of `x`.
    original_sr : Hz, of the file.
    flags : odd but accepted, e.g. ``("clipped 3.1 %", "2 channels mixed")``.
    """

    x: Reals
    sr: int
    original_sr: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a run takes of recordings that are not as they should be.

    Parameters
    ----------
    allow_truncated, max_duration : see `load_audio`.
    """

    allow_truncated: bool = False
    max_duration: float = MAX_DURATION

    def __post_init__(self) -> None:
        if not self.max_duration > 0:
            raise AudioError(
                f"a longest duration of {self.max_duration:g} s, expected more than 0",
                where="max_duration",
                code="bad-setting",
            )

    @property
    def mark(self) -> str:
        """What a row made under other limits than the usual ones bears in its key."""
        longer = "" if self.max_duration == MAX_DURATION else f":up to {self.max_duration:.9g} s"
        return (":truncated allowed" if self.allow_truncated else "") + longer

    @property
    def record(self) -> dict[str, bool | float]:
        """What the provenance of a table, a run or a model says of them."""
        return {"allow_truncated": self.allow_truncated, "max_duration_s": self.max_duration}

    @property
    def lenient(self) -> bool:
        """Whether all that the usual limits take is taken, and as they take it."""
        return self.max_duration >= MAX_DURATION


USUAL = Limits()


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex: the key under which its features are kept.

    Where libsndfile is not the decoder, the version of the decoder stands behind it.

    Raises
    ------
    AudioError : what `load_audio` would say of its first bytes and header, which cost nothing.
    """
    with _open_regular(path) as stream:
        try:
            kind = claims_of(stream, path).kind
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return f"{digest}-av{version('av')}" if kind in KINDS else digest
        except OSError as error:
            raise _io(path, error) from None


def load_audio(
    path: str | Path,
    *,
    sr: int | None = 16_000,
    start: float = 0.0,
    end: float | None = None,
    max_duration: float = MAX_DURATION,
    allow_truncated: bool = False,
    overload: Overload = "peak",
) -> Audio:
    """Read a recording, or a segment of it, as a mono signal.

    Parameters
    ----------
    path : a regular file in any format of libsndfile that speech is kept in.
    sr : Hz to resample to; None keeps the file's rate.
    start, end : s, the segment; `end` None is the end of the file.
    max_duration : s; a longer segment is refused.
    allow_truncated : take what is there of a recording that lacks more than 1 %, with a flag.
    overload : of samples beyond 1: ``"peak"`` divides by the largest, ``"clip"`` limits, both with
        a flag; ``"error"`` refuses.

    Returns
    -------
    Audio. A constant offset that is flagged was taken off.

    Raises
    ------
    AudioError : with code empty-file, not-audio, bad-header, unsupported, unsupported-encoding,
        too-many-channels, bad-rate, size-mismatch, no-samples, truncated, corrupt, too-long,
        bad-segment, non-finite, overload, changed, missing, not-a-file, bad-path, permission,
        memory or io.
    """
    file = Path(path)
    if sr is not None and sr <= 0:
        raise AudioError(f"sr is {sr}, expected Hz above 0", where=file, code="bad-rate")
    with _open_regular(file) as stream:
        before = os.fstat(stream.fileno())
        try:
            claims = claims_of(stream, file)
            with chatter(claims.kind) as said, opened(file, stream, claims, said) as sound:
                check_limits(file, sound.channels, sound.samplerate)
                flags = _check_header(file, sound, claims, allow_truncated)
                first, count = _segment(file, sound, start, end, max_duration)
                target = int(sound.samplerate) if sr is None else sr
                wide = target == sound.samplerate and count <= LONG * target  # as it is given back
                read = Reading(file, sound, first, count, said, wide)
                audio = _signal(read, target, flags, allow_truncated, overload)
        except MemoryError:
            raise AudioError(
                "there is not enough memory for its samples",
                where=file,
                code="memory",
                fix="cut it into segments, or use fewer jobs",
            ) from None
        except OSError as error:
            if isinstance(error, AudioError):
                raise
            raise _io(file, error) from None
        _check_unchanged(file, before)
    return audio


def resample(x: Reals, sr: int, target: int) -> Reals:
    """Change the sample rate with the SoX resampler, quality HQ.

    Parameters
    ----------
    x : (n,) of either precision.
    sr, target : Hz.

    Returns
    -------
    (round(n * target / sr),) in the precision of `x`; `x` itself where the rates are equal.
    """
    if sr == target:
        return x
    import soxr

    return np.asarray(soxr.resample(x, sr, target, quality="HQ"))


# --- before decoding ------------------------------------------------------------------------------


def _open_regular(path: Path) -> BufferedReader:
    """Open for reading, refusing folders, pipes and devices before they can block."""
    try:
        _check_regular(path, os.stat(path).st_mode)
        # What was looked at may have been exchanged since: without blocking, and looked at again.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        stream = os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError:
        raise AudioError(
            "no such file",
            where=path,
            code="missing",
            fix="check the path (and, with a manifest, its root)",
        ) from None
    except PermissionError:
        raise AudioError(
            "no permission to read it",
            where=path,
            code="permission",
            fix="change its owner or mode",
        ) from None
    except AudioError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _NEVER:
            raise AudioError(
                f"no path that leads to a file ({error.strerror})",
                where=path,
                code="bad-path",
                fix="remove the link, or give folders shorter names",
            ) from None
        raise _io(path, error) from None
    try:
        _check_regular(path, os.fstat(stream.fileno()).st_mode)
    except AudioError:
        stream.close()
        raise
    return stream


def _check_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise AudioError(
            f"{kind}, expected an audio file", where=path, code="not-a-file", fix="leave it out"
        )


def _io(path: Path, error: Exception) -> AudioError:
    reason = getattr(error, "strerror", None) or str(error)
    return AudioError(
        f"cannot be read ({reason})", where=path, code="io", fix="check the disk and the path"
    )


def _check_header(path: Path, sound: Any, claims: Claims, allow_truncated: bool) -> tuple[str, ...]:
    """Hold libsndfile's reading against the lists, and the file's claims against its length."""
    if sound.format not in _FORMATS or sound.subtype not in _EXACT | _LOSSY:
        raise AudioError(
            f"{sound.subtype} in {sound.format} is no encoding that speech is kept in",
            where=path,
            code="unsupported-encoding",
            fix="convert it to WAV or FLAC",
        )
    flags = claims.flags
    share = min(claims.share, getattr(sound, "share", 1.0))
    if claims.cut or share < 1.0:
        part = "" if claims.cut else f", {100 * share:.0f} % is there"
        what = f"truncated: its end is missing{part}"
        if not allow_truncated and (claims.cut or share < ENOUGH):
            raise _truncated(path, what)
        flags += (what,)
    if sound.frames < 1:
        raise AudioError(
            "a header and no samples", where=path, code="no-samples", fix="record or copy it again"
        )
    if sound.subtype in _LOSSY:
        flags += (f"lossy codec ({sound.subtype})",)
    return flags


def _truncated(path: Path, what: str) -> AudioError:
    fix = "copy the recording again, or allow truncated ones"
    return AudioError(what, where=path, code="truncated", fix=fix)


def _segment(
    path: Path, sound: Any, start: float, end: float | None, max_duration: float
) -> tuple[int, int]:
    """First sample and number of samples of the segment, inside the file."""
    rate, frames = sound.samplerate, sound.frames
    first = round(start * rate)
    last = frames if end is None or np.isnan(end) else round(end * rate)
    slack = round(0.010 * rate)  # an annotation may end within a frame of the file's end
    if not 0 <= first < last or last > frames + slack:
        raise AudioError(
            f"the segment {start:g} to {last / rate:g} s is not inside the recording "
            f"of {frames / rate:g} s",
            where=path,
            code="bad-segment",
            fix="correct start and end in the manifest",
        )
    count = min(last, frames) - first
    if count > max_duration * rate:
        raise AudioError(
            f"{count / rate:.0f} s long, expected at most {max_duration:.0f} s",
            where=path,
            code="too-long",
            fix=f"cut it into segments: serfeat segment --max-duration {count // rate + 1}, or "
            "start and end in the manifest",
        )
    return first, count


# --- from blocks to a signal --------------------------------------------------------------------


def _signal(
    read: Reading, target: int, flags: tuple[str, ...], allow_truncated: bool, overload: Overload
) -> Audio:
    """Decode, check, mix and resample; two passes where one channel or a long file asks for it."""
    rate = int(read.sound.samplerate)
    long = read.count > LONG * rate and read.sound.seekable()  # it is decoded twice
    found, kept = first_pass(read, keep=not long)
    if found.n < read.count:
        what = f"truncated: {found.n} of {read.count} announced samples could be decoded"
        if found.n < ENOUGH * read.count and not (allow_truncated and found.n):
            raise _truncated(read.path, what)
        flags += (what,)
    if found.bad:
        raise AudioError(
            f"{found.bad} samples are NaN or infinite, the first at "
            f"{1e3 * found.first_bad / rate:.2f} ms",
            where=read.path,
            code="non-finite",
            fix="repair or leave out the recording",
        )
    channel, mix_flags = _channel(read.sound.channels, found)
    if channel is not None:
        # Anti-phase stereo mixes to silence; then the louder channel is taken.
        louder = Heard(found.power)
        kept = one_channel(read, louder, channel, keep=not long)
        require_as_many(read, found.n, louder.n)
        found = louder
    flags += mix_flags + _quality(found, rate, target)
    x = streamed(read, channel, found.n, target) if kept is None else kept
    y, offset = _levelled(x, found, overload, read.path, target if kept is None else rate)
    if offset:
        flags += ("constant offset (DC)",)
    if found.peak > 1.0:
        how = "limited" if overload == "clip" else "scaled down"
        flags += (f"{how} from a peak of {found.peak:.3g}",)
    if kept is not None:
        y = resample(y, rate, target).astype(np.float64, copy=False)
    return Audio(x=y, sr=target, original_sr=rate, flags=flags)


def _channel(channels: int, found: Heard) -> tuple[int | None, tuple[str, ...]]:
    """Which channel to take in place of the mean, if one; and the flags of the mix."""
    if channels == 1:
        return None, ()
    power = found.power
    if power.max() > 0 and found.mixed < 0.01 * power.mean():
        loudest = int(power.argmax())
        return loudest, (f"channels cancel each other: channel {loudest + 1} taken",)
    flags: tuple[str, ...] = (f"{channels} channels mixed",)
    if power.max() > 100 * power.min():
        flags += ("channels differ by more than 20 dB",)
    return None, flags


def _levelled(
    x: Reals, found: Heard, overload: Overload, path: Path, sr: int
) -> tuple[Reals, float]:
    """Bring the samples into [-1, 1] and take off a constant offset; in place where it can be.

    Returns
    -------
    (n,) samples, and what was taken off, see `_offset`.
    """
    mean, peak = found.total / max(found.n, 1), found.peak
    if peak > 1.0:
        if overload == "error":
            raise AudioError(
                f"samples reach {peak:.3g}, expected at most 1",
                where=path,
                code="overload",
                fix="choose the policy 'peak' or 'clip', or export it again",
            )
        if overload == "clip":
            x = np.clip(x, -1, 1, out=x)
            mean = float(x.mean(dtype=np.float64))  # what was cut off had its part in the mean
        else:
            x, mean = np.divide(x, peak, out=x), mean / peak
        peak = 1.0
    offset = _offset(x, mean, peak, sr)
    if not offset:
        return x, 0.0
    x = np.subtract(x, offset, out=x)
    return np.divide(x, max(1.0, float(x.max()), -float(x.min())), out=x), offset


def _offset(x: Reals, mean: float, peak: float, sr: int) -> float:
    """Find the constant that a recorder added, 0 where there is none.

    A mean above 2 % of the peak is one (0.6 % is the most in EMO-DB, RAVDESS and EmoSpeech). A
    smaller one shows in the pauses, where it may well be louder than all else, and the spectrum of
    a frame is then that of its window: there the means of frames are the offset, and scatter
    little. Of the 2155 clips of these corpora one has such an offset, of 0.2 %.

    Parameters
    ----------
    x : (n,) samples.
    mean, peak : theirs.
    sr : Hz.
    """
    if abs(mean) > LARGE_OFFSET * peak:
        return mean
    size = sr // 50  # 20 ms
    frames = x[: len(x) // size * size].reshape(-1, size)
    if abs(mean) < LEAST_OFFSET / 2 * peak or len(frames) < 20:
        return 0.0
    means = frames.mean(axis=1)
    power = np.einsum("ij,ij->i", frames, frames) / size - means**2
    quiet = np.argpartition(power, len(frames) // 4)[: len(frames) // 4]
    ordered = np.sort(means[quiet])  # np.quantile is slow on so few
    tenth = len(ordered) // 10
    offset, scatter = float(ordered[len(ordered) // 2]), float(ordered[-1 - tenth] - ordered[tenth])
    sound = math.sqrt(max(float(power[quiet].mean()), 0.0))
    return offset if abs(offset) > max(LEAST_OFFSET * peak, scatter, sound / 4) else 0.0


def _quality(found: Heard, rate: int, target: int) -> tuple[str, ...]:
    """Flags of what is odd about a finite signal."""
    flags = []
    if rate < target:
        flags.append(f"sampled at {rate} Hz: nothing above {rate / 2000:g} kHz")
    if found.peak == 0:
        return (*flags, "digital silence")
    # A clipped peak is a plateau: two or more neighbours at the maximum. One sample at the maximum
    # is only a peak-normalised recording.
    if found.plateau > 0.001 * found.n:
        flags.append(f"clipped {100 * found.plateau / found.n:.1f} %")
    return tuple(flags)


def _check_unchanged(path: Path, before: os.stat_result) -> None:
    """Refuse a file that somebody was writing while it was read."""
    try:
        after = os.stat(path)
        same = (after.st_ino, after.st_size, after.st_mtime_ns) == (
            before.st_ino,
            before.st_size,
            before.st_mtime_ns,
        )
    except OSError:
        same = False
    if not same:
        raise AudioError(
            "changed while it was read",
            where=path,
            code="changed",
            fix="run again when nobody writes to it",
        )
