"""One guarded way from a file to an array; nothing else in serfeat opens audio.

libsndfile is robust, which is not the same as right: it reads half of a truncated WAV without a
word, and a header can claim 68 billion frames. So a file is looked at before it is decoded
(regular file, first bytes, header, caps), decoded in blocks under a running cap, and checked
afterwards (length, finite samples, channels). What is wrong raises `AudioError` with a stable code;
what is merely odd is a flag that travels with the samples.

Sources: libsndfile 1.2.2 through python-soundfile; resampling by the SoX resampler (soxr, "HQ").
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serfeat.errors import AudioError
from serfeat.types import Reals

__all__ = [
    "MAX_CHANNELS",
    "MAX_DURATION",
    "MIN_DURATION",
    "Audio",
    "content_hash",
    "load_audio",
    "resample",
]

# Caps, in one place. A header is a stranger's claim: no buffer is ever sized by one.
MIN_DURATION = 0.025  # s: one analysis frame
MAX_DURATION = 3600.0  # s
MAX_CHANNELS = 32
SAMPLE_RATES = (4_000, 384_000)  # Hz
BLOCK = 1 << 18  # samples decoded at a time
LONG = 600.0  # s: a longer recording stays in single precision, to halve its memory

# First bytes of things that are not audio but are often called .wav
_NOT_AUDIO = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"<!DO": "an HTML page (a failed download?)",
    b"<htm": "an HTML page (a failed download?)",
    b"vers": "a git-lfs pointer (run `git lfs pull`)",
    b"{\n": "JSON text",
}
_NEEDS_FFMPEG = {b"ftyp": "m4a/mp4", b"\x1a\x45\xdf\xa3": "webm/matroska", b"#!AMR": "amr"}


# Single precision holds samples of up to 16 bits, and the mean of two of them, exactly; it takes
# less time to decode and half the memory.
_EXACT_IN_FLOAT32 = {"PCM_S8", "PCM_U8", "PCM_16", "ULAW", "ALAW"}


@dataclass(frozen=True)
class Audio:
    """Samples that may be trusted.

    Parameters
    ----------
    x : (n,) mono in [-1, 1]; float64 up to ten minutes (`LONG`), float32 beyond.
    sr : Hz, of `x`.
    original_sr : Hz, of the file.
    flags : odd but accepted, e.g. ``("clipped 3.1 %", "stereo mixed")``.
    """

    x: Reals
    sr: int
    original_sr: int
    flags: tuple[str, ...] = ()


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex: the key under which its features are kept."""
    with _open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_audio(
    path: str | Path,
    *,
    sr: int | None = 16_000,
    start: float = 0.0,
    end: float | None = None,
    max_duration: float = MAX_DURATION,
) -> Audio:
    """Read a recording, or a segment of it, as a mono signal.

    Parameters
    ----------
    path : a regular file in any format of libsndfile.
    sr : Hz to resample to; None keeps the file's rate.
    start, end : s, the segment; `end` None is the end of the file.
    max_duration : s; a longer segment is refused.

    Returns
    -------
    Audio.

    Raises
    ------
    AudioError : with code empty-file, not-audio, bad-header, unsupported, too-many-channels,
        bad-rate, no-samples, truncated, corrupt, too-long, bad-segment, non-finite, missing,
        not-a-file or permission.
    """
    import soundfile as sf

    file = Path(path)
    with _open_regular(file) as stream:
        _look_at_first_bytes(file, stream.read(16))
        stream.seek(0)
        try:
            # A descriptor is read without a call back into Python for every piece.
            source: Any = stream
            if os.name == "posix":
                source = os.dup(stream.fileno())
                os.lseek(source, 0, os.SEEK_SET)
            sound = sf.SoundFile(source, closefd=True)
        except sf.LibsndfileError as error:
            raise AudioError(
                f"not audio that can be read ({error.error_string.strip()})",
                where=file,
                code="bad-header",
                fix="convert it to WAV or FLAC",
            ) from None
        with sound:
            _check_header(file, sound)
            first, count = _segment(file, sound, start, end, max_duration)
            rate = int(sound.samplerate)
            x, flags = _decode(file, sound, first, count)
    peak = float(np.maximum(x.max(initial=0.0), -x.min(initial=0.0)))  # NaN if any sample is
    if not np.isfinite(peak):
        bad = np.flatnonzero(~np.isfinite(x))
        raise AudioError(
            f"{len(bad)} samples are NaN or infinite, the first at {1e3 * bad[0] / rate:.2f} ms",
            where=file,
            code="non-finite",
            fix="repair or leave out the recording",
        )
    flags += _quality(x, peak)
    if peak > 1.0:
        flags += (f"scaled down from a peak of {peak:.3g}",)
        x = x / peak
    target = rate if sr is None else sr
    y = resample(x, rate, target)
    if len(y) <= LONG * target:
        y = y.astype(np.float64, copy=False)
    return Audio(x=y, sr=target, original_sr=rate, flags=flags)


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


def _open_regular(path: Path) -> Any:
    """Open for reading, refusing folders, pipes and devices before they can block."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise AudioError(
            "no such file",
            where=path,
            code="missing",
            fix="check the path (and, with a manifest, its root)",
        ) from None
    except (OSError, ValueError) as error:
        raise AudioError(f"cannot be looked at ({error})", where=path, code="io") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise AudioError(f"{kind}, expected an audio file", where=path, code="not-a-file")
    try:
        return path.open("rb")
    except PermissionError:
        raise AudioError("no permission to read it", where=path, code="permission") from None


def _look_at_first_bytes(path: Path, head: bytes) -> None:
    """Name the usual impostors, for a better message than "format not recognised"."""
    if not head:
        raise AudioError("the file is empty (0 bytes)", where=path, code="empty-file")
    for magic, name in _NOT_AUDIO.items():
        if head.startswith(magic):
            raise AudioError(f"not audio: looks like {name}", where=path, code="not-audio")
    for magic, name in _NEEDS_FFMPEG.items():
        if head.startswith(magic) or head[4:8] == magic:
            raise AudioError(
                f"{name} is not supported",
                where=path,
                code="unsupported",
                fix="convert it to WAV or FLAC, e.g. with ffmpeg",
            )


def _check_header(path: Path, sound: Any) -> None:
    """Hold the header's claims against the caps, and a WAV's against the file's length."""
    if sound.channels > MAX_CHANNELS:
        raise AudioError(
            f"{sound.channels} channels, expected at most {MAX_CHANNELS}",
            where=path,
            code="too-many-channels",
        )
    low, high = SAMPLE_RATES
    if not low <= sound.samplerate <= high:
        raise AudioError(
            f"a sample rate of {sound.samplerate} Hz, expected {low} to {high}",
            where=path,
            code="bad-rate",
        )
    if sound.format in {"WAV", "WAVEX"}:
        _check_wav_length(path)
    if sound.frames < 1:
        raise AudioError("a header and no samples", where=path, code="no-samples")


def _check_wav_length(path: Path) -> None:
    """Refuse a WAV whose data chunk announces more bytes than the file has.

    libsndfile reads the part that exists without an error, Praat fills with zeros: two tools, two
    sets of features. A size of 0xFFFFFFFF or 0 means "streamed, unknown" and is let through.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(12)
        while len(head := stream.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"data":
                present = size - stream.tell()
                if length != 0xFFFFFFFF and present < length:
                    raise AudioError(
                        f"truncated: {present} of {length} bytes of samples "
                        f"({100 * present / length:.0f} %) are there",
                        where=path,
                        code="truncated",
                        fix="copy the recording again",
                    )
                return
            stream.seek(length + (length & 1), os.SEEK_CUR)


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
        )
    count = min(last, frames) - first
    if count > max_duration * rate:
        raise AudioError(
            f"{count / rate:.0f} s long, expected at most {max_duration:.0f} s",
            where=path,
            code="too-long",
            fix="cut it into segments (start and end in the manifest)",
        )
    return first, count


def _decode(path: Path, sound: Any, first: int, count: int) -> tuple[Reals, tuple[str, ...]]:
    """Decode `count` samples block by block and mix them to one channel.

    The mix grows as blocks arrive: memory holds one channel, whatever the file has, and no more
    than was really there.

    Returns
    -------
    (n,) samples in a precision that holds them exactly, and the flags of the mix.
    """
    narrow = sound.subtype in _EXACT_IN_FLOAT32 and sound.channels <= 2
    dtype = "float32" if narrow else "float64"
    mix = np.empty(count, dtype=dtype)  # pages that are never written cost nothing
    power, mixed_power, done = np.zeros(sound.channels), 0.0, 0
    for block in _blocks(path, sound, first, count, dtype):
        part = block[:, 0] if sound.channels == 1 else block.mean(axis=1)
        mix[done : done + len(part)] = part
        done += len(part)
        if sound.channels > 1:
            power += (block.astype(np.float64) ** 2).sum(axis=0)
            mixed_power += float((part.astype(np.float64) ** 2).sum())
    if done < 0.99 * count:
        raise AudioError(
            f"truncated: {done} of {count} announced samples could be decoded",
            where=path,
            code="truncated",
            fix="copy the recording again",
        )
    mix = mix[:done]
    if sound.channels == 1:
        return mix, ()
    flags: tuple[str, ...] = (f"{sound.channels} channels mixed",)
    # Anti-phase stereo mixes to silence; then the louder channel is taken.
    if power.max() > 0 and mixed_power < 0.01 * power.mean():
        loudest = int(power.argmax())
        parts = [b[:, loudest].copy() for b in _blocks(path, sound, first, count, dtype)]
        return np.concatenate(parts), (f"channels cancel each other: channel {loudest + 1} taken",)
    if power.max() > 100 * power.min():
        flags += ("channels differ by more than 20 dB",)
    return mix, flags


def _blocks(path: Path, sound: Any, first: int, count: int, dtype: str) -> Iterator[Reals]:
    """Yield (n, channels) blocks from sample `first` on, `count` samples at most."""
    import soundfile as sf

    done = 0
    try:
        if sound.tell() != first:
            sound.seek(first)
        while done < count:
            block = sound.read(min(BLOCK, count - done), dtype=dtype, always_2d=True)
            if not len(block):
                break
            done += len(block)
            yield block
    except (sf.LibsndfileError, RuntimeError) as error:
        raise AudioError(
            f"the stream is corrupt after {done / sound.samplerate:.2f} s ({error})",
            where=path,
            code="corrupt",
            fix="copy the recording again",
        ) from None


def _quality(x: Reals, peak: float) -> tuple[str, ...]:
    """Flags of what is odd about a finite signal."""
    if peak == 0:
        return ("digital silence",)
    flags = []
    # A clipped peak is a plateau: two or more neighbours at the maximum. One sample at the maximum
    # is only a peak-normalised recording.
    plateau = 0
    for first in range(0, len(x), BLOCK):  # in blocks: a long recording has room for no copies
        part = x[max(first - 1, 0) : first + BLOCK]
        at_peak = (part >= 0.9999 * peak) | (part <= -0.9999 * peak)
        plateau += int(np.count_nonzero(at_peak[1:] & at_peak[:-1]))
    if plateau > 0.001 * len(x):
        flags.append(f"clipped {100 * plateau / len(x):.1f} %")
    if abs(x.mean(dtype=np.float64)) > 0.05 * peak:
        flags.append("constant offset (DC)")
    return tuple(flags)
