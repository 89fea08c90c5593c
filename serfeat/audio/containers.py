"""What an audio file says of itself, read from its own bytes before any decoder sees it.

libsndfile reads half of a truncated WAV, AIFF, AU, W64, RF64 or NIST file without a word, takes a
7-bit WAV for an 8-bit one, and believes the 32-bit length of a WAV of five gigabytes. So the first
bytes say which container a file is, and the container's own header says how many bytes there should
be; the file says how many there are.

Conventions
-----------
Only the header is read, at most `MAX_CHUNKS` pieces of it, and no buffer is sized by what it says.
A claim that nothing could honour is an `AudioError`; a claim of more bytes than there are is left
to the caller, who may want the rest (`Claims.share`).

Contents
--------
`Claims`   : kind, bytes announced and present, what is odd.
`claims_of`: an open file -> `Claims`, or an `AudioError` that names what it is instead of audio.

Sources
-------
Multimedia Programming Interface and Data Specifications 1.0 (RIFF); EBU Tech 3306 (RF64); Audio
Interchange File Format 1.3; RFC 3533 (Ogg); RFC 9639 (FLAC); NIST SPHERE 2.6; the Xing and Info
frames of MP3 as LAME writes them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from serfeat.audio.pyav import available
from serfeat.errors import AudioError

__all__ = ["MAX_CHANNELS", "SAMPLE_RATES", "Claims", "check_limits", "claims_of"]

MAX_CHANNELS = 32
SAMPLE_RATES = (4_000, 384_000)  # Hz
MAX_CHUNKS = 4_096  # of a RIFF file
UNKNOWN = 0xFFFFFFFF  # a length that a streaming writer did not know

# First bytes of things that are not audio but are often called .wav
_NOT_AUDIO = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"<!DO": "an HTML page (a failed download?)",
    b"<htm": "an HTML page (a failed download?)",
    b"<?xm": "XML text",
    b"version http": "a git-lfs pointer (run `git lfs pull`)",
    b"{\n": "JSON text",
    b'{"': "JSON text",
    b"PAR1": "a Parquet table",
    b"\x93NUMPY": "a NumPy array",
}
# What libsndfile does not read and `serfeat.audio.pyav` does: kind and name
_NEEDS_PYAV = {
    b"\x1a\x45\xdf\xa3": ("WEBM", "webm/matroska"),
    b"#!AMR": ("AMR", "amr"),
    b"\x30\x26\xb2\x75": ("WMA", "wma/asf"),
    b"\xff\xf1": ("AAC", "aac"),
    b"\xff\xf9": ("AAC", "aac"),
    b"ftyp": ("M4A", "m4a/mp4"),  # after the length of this box
}

# kind -> the suffixes under which it goes; TIMIT's NIST files are called .wav.
_SUFFIXES = {
    "WAV": (".wav", ".wave"),
    "RF64": (".rf64", ".wav"),
    "W64": (".w64",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "NIST": (".nist", ".sph", ".wav"),
    "MP3": (".mp3", ".mp2", ".mpga"),
    "M4A": (".m4a", ".mp4", ".3gp", ".mov"),
    "WEBM": (".webm", ".mka", ".mkv"),
    "AMR": (".amr",),
    "AAC": (".aac",),
    "WMA": (".wma", ".asf"),
}
_AUDIO_SUFFIXES = {suffix for known in _SUFFIXES.values() for suffix in known}

# Bits of a sample that a WAV may have, by format tag: integers, IEEE floats.
_BITS = {1: (8, 16, 24, 32), 3: (32, 64)}
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True)
class Claims:
    """What a header says, and what there is.

    Parameters
    ----------
    kind : of container, a key of the table of suffixes; ``""`` where it is none of them.
    announced, present : bytes; 0 where the header does not say.
    flags : odd but harmless.
    cut : the file ends within a page, so that something is missing, nobody knows how much.
    """

    kind: str = ""
    announced: int = 0
    present: int = 0
    flags: tuple[str, ...] = ()
    cut: bool = False

    @property
    def share(self) -> float:
        """Part of the announced bytes that is there, 0 to 1."""
        return 1.0 if self.present >= self.announced else self.present / self.announced


def claims_of(stream: BinaryIO, path: Path) -> Claims:
    """Look at the first bytes and the header of an open file.

    Parameters
    ----------
    stream : of a regular file, binary; its position is moved.
    path : for the messages, and for its suffix.

    Raises
    ------
    AudioError : with code empty-file, not-audio, unsupported, unsupported-encoding, bad-header,
        too-many-channels, bad-rate or size-mismatch.
    """
    size = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    head = stream.read(16)
    kind = _kind(path, head)
    found = _READERS.get(kind, _unknown)(stream, size, path)
    flags = found.flags
    suffix = path.suffix.lower()
    if kind and suffix in _AUDIO_SUFFIXES and suffix not in _SUFFIXES[kind]:
        flags = (f"a {kind} file named {suffix}", *flags)
    return replace(found, kind=kind, flags=flags)


def check_limits(path: Path, channels: int, rate: int) -> None:
    """Refuse a number of channels or a sample rate that no recording of speech has."""
    if channels < 1:
        raise AudioError("0 channels", where=path, code="bad-header", fix="export it again")
    if channels > MAX_CHANNELS:
        raise AudioError(
            f"{channels} channels, expected at most {MAX_CHANNELS}",
            where=path,
            code="too-many-channels",
            fix="export the channels that hold speech",
        )
    low, high = SAMPLE_RATES
    if not low <= rate <= high:
        raise AudioError(
            f"a sample rate of {rate} Hz, expected {low} to {high}",
            where=path,
            code="bad-rate",
            fix="resample it, or correct its header",
        )


def _kind(path: Path, head: bytes) -> str:
    """Name the container, or what the file is instead: "format not recognised" helps nobody."""
    if not head:
        raise AudioError(
            "the file is empty (0 bytes)",
            where=path,
            code="empty-file",
            fix="copy the recording again",
        )
    for magic, name in _NOT_AUDIO.items():
        if head.startswith(magic):
            raise _not_audio(path, name)
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"WEBP"):
        raise _not_audio(path, "a film (AVI)" if head[8:12] == b"AVI " else "a WebP picture")
    for magic, (kind, name) in _NEEDS_PYAV.items():
        if head.startswith(magic, 4 if magic == b"ftyp" else 0):
            if available():
                return kind
            raise AudioError(
                f"{name} needs PyAV, which is not installed",
                where=path,
                code="unsupported",
                fix="pip install 'serfeat[m4a]', or convert it, e.g. "
                f"ffmpeg -i {path.name} {path.stem}.flac",
            )
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), _sync(head))


def _not_audio(path: Path, name: str) -> AudioError:
    return AudioError(
        f"not audio: looks like {name}",
        where=path,
        code="not-audio",
        fix="leave it out, or get the recording again",
    )


_MAGIC = {
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "RF64",
    b"riff": "W64",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"fLaC": "FLAC",
    b"OggS": "OGG",
    b"NIST_1A": "NIST",
    b"ID3": "MP3",
}


def _sync(head: bytes) -> str:
    """MP3 has no name of its own: eleven set bits begin a frame."""
    return "MP3" if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 else ""


# --- one reader per container -------------------------------------------------------------------


def _unknown(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    return Claims()


def _wav(stream: BinaryIO, size: int, path: Path) -> Claims:
    """Walk the chunks: ``fmt`` must be possible, ``data`` must be there."""
    if size > UNKNOWN + 8:
        raise AudioError(
            f"{size / 2**30:.2f} GiB, and a WAV cannot say that it is longer than 4 GiB",
            where=path,
            code="size-mismatch",
            fix="store it as RF64, W64 or FLAC, or cut it",
        )
    order = "<"
    stream.seek(0)
    if stream.read(4) == b"RIFX":
        order = ">"
    stream.seek(12)
    align = 1
    for _ in range(MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack(f"{order}4sI", head)
        begin = stream.tell()
        if name == b"fmt ":
            align = _wav_format(stream.read(min(length, 40)), order, path)
        elif name == b"data":
            return _wav_samples(stream, begin, length, size, align, order)
        stream.seek(begin + length + (length & 1))
    return Claims()


def _wav_format(raw: bytes, order: str, path: Path) -> int:
    """Bytes of a frame of all channels; a format that cannot be is an error."""
    if len(raw) < 16:
        return 1
    tag, channels, rate, _, align, bits = struct.unpack(f"{order}HHIIHH", raw[:16])
    check_limits(path, channels, rate)
    if tag == _EXTENSIBLE and len(raw) >= 26:
        tag = struct.unpack(f"{order}H", raw[24:26])[0]
    if tag in _BITS and bits not in _BITS[tag]:
        raise AudioError(
            f"{bits} bits a sample, expected {', '.join(map(str, _BITS[tag]))}",
            where=path,
            code="unsupported-encoding",
            fix="export it as 16-bit WAV or FLAC",
        )
    return max(int(align), 1)


def _wav_samples(
    stream: BinaryIO, begin: int, length: int, size: int, align: int, order: str
) -> Claims:
    """Hold the length of the data chunk against the file, and look at what comes after it."""
    present = size - begin
    if length == UNKNOWN:
        return Claims(flags=("the header does not know the length",))
    if length > present or length == 0:
        return Claims(announced=length, present=max(present, 0))
    stream.seek(begin + length + (length & 1))
    for _ in range(MAX_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            break
        after = struct.unpack(f"{order}4sI", head)[1]
        stream.seek(stream.tell() + after + (after & 1))
    else:
        head = b""
    odd = length % align or head
    return Claims(flags=(("trailing bytes",) if odd else ()))


def _aiff(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    return _whole(stream, 4, ">I", size, more=8)


def _au(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    stream.seek(4)
    raw = stream.read(8)
    if len(raw) < 8:
        return Claims()
    offset, length = struct.unpack(">II", raw)
    return Claims() if length == UNKNOWN else Claims("", length, max(size - offset, 0))


def _rf64(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    return _whole(stream, 20, "<Q", size, more=8)


def _w64(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    return _whole(stream, 16, "<Q", size)


def _whole(stream: BinaryIO, at: int, form: str, size: int, *, more: int = 0) -> Claims:
    """A header that gives the length of the whole file, less `more` bytes."""
    stream.seek(at)
    raw = stream.read(struct.calcsize(form))
    if len(raw) < struct.calcsize(form):
        return Claims()
    length = int(struct.unpack(form, raw)[0])
    unknown = length in (0, 2 ** (8 * struct.calcsize(form)) - 1)
    return Claims() if unknown else Claims("", length + more, size)


def _nist(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    """Lines ``name -i value`` in a header of (usually) 1024 bytes."""
    stream.seek(0)
    lines = stream.read(1024).decode("latin-1").split("\n")
    said = {w[0]: int(w[2]) for w in map(str.split, lines) if len(w) == 3 and w[2].isdecimal()}
    count = said.get("sample_count", 0) * said.get("channel_count", 1)
    header = int(lines[1]) if len(lines) > 1 and lines[1].strip().isdecimal() else 1024
    length = count * said.get("sample_n_bytes", 2)
    compressed = any("shorten" in line or "wavpack" in line for line in lines)
    return Claims() if compressed else Claims("", length, max(size - header, 0))


def _ogg(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    """The last page of a whole stream is there to its end, and says that it is the last."""
    tail = min(size, 1 << 17)  # two of the longest pages
    stream.seek(size - tail)
    raw = stream.read(tail)
    at = raw.rfind(b"OggS")
    page = raw[at:] if at >= 0 else b""
    count = page[26] if len(page) > 26 else 0
    whole = len(page) >= 27 + count + sum(page[27 : 27 + count]) and len(page) > 26
    ended = whole and page[5] & 0x04
    return Claims(cut=not whole, flags=() if ended else ("the stream has no last page",))


def _mp3(stream: BinaryIO, size: int, path: Path) -> Claims:  # noqa: ARG001
    """A Xing or Info frame, where there is one, gives the bytes from itself to the end."""
    stream.seek(0)
    raw = stream.read(10)
    begin = 0
    if raw.startswith(b"ID3") and len(raw) == 10:
        a, b, c, d = raw[6:10]  # seven bits each
        begin = 10 + (a << 21 | b << 14 | c << 7 | d)
    stream.seek(begin)
    frame = stream.read(192)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 16:
        return Claims()
    marks = int.from_bytes(frame[at + 4 : at + 8], "big")
    if not marks & 2:
        return Claims()
    place = at + 8 + (4 if marks & 1 else 0)
    return Claims("", int.from_bytes(frame[place : place + 4], "big"), max(size - begin, 0))


_READERS: dict[str, Callable[[BinaryIO, int, Path], Claims]] = {
    "WAV": _wav,
    "AIFF": _aiff,
    "AU": _au,
    "RF64": _rf64,
    "W64": _w64,
    "NIST": _nist,
    "OGG": _ogg,
    "MP3": _mp3,
}
