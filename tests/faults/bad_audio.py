"""Makers of the catalogue's bad recordings: a folder in, files and what becomes of them out.

Nothing binary is kept in the repository: every file is written here, from a fading tone. The
numbers are those of the catalogue of faults (`docs/results/reliability.md` lists it).

Outcome: ``"E code"`` the recording is refused with this code, ``"W words"`` it is read with a flag
that holds these words, ``"R"`` it is read without a flag.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile as sf

__all__ = ["CASES", "SR", "bomb", "hiss", "through_pyav", "tone", "wav"]

SR = 16_000

Made = dict[str, str]  # file -> outcome


def tone(seconds: float = 1.0, f: float = 200.0, sr: int = SR) -> np.ndarray:
    """A tone that fades: no two of its peaks are equal, as clipped ones are."""
    n = round(seconds * sr)
    return np.linspace(0.5, 0.2, n) * np.sin(2 * np.pi * f * np.arange(n) / sr)


def hiss() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(SR)


def wav(path: Path, x: np.ndarray | None = None, sr: int = SR, **options: str) -> bytes:
    """Write a recording and return its bytes."""
    sf.write(path, tone() if x is None else x, sr, **options)
    return path.read_bytes()


def patched(path: Path, *changes: tuple[int, str, int]) -> None:
    """Write a WAV of 16 bits with other numbers in its header (44 bytes)."""
    raw = bytearray(wav(path))
    for at, form, value in changes:
        struct.pack_into(form, raw, at, value)
    path.write_bytes(raw)


def bomb(path: Path, seconds: int) -> None:
    """Write a FLAC of digital silence, which packs to a thousandth and less."""
    with sf.SoundFile(path, "w", 4_000, 1, "PCM_16", format="FLAC") as sound:
        for _ in range(seconds // 100):
            sound.write(np.zeros(400_000, dtype=np.int16))


# --- containers, 1 to 24 --------------------------------------------------------------------------


def empty(folder: Path) -> Made:
    (folder / "empty.wav").write_bytes(b"")
    return {"empty.wav": "E empty-file"}


def header_only(folder: Path) -> Made:
    wav(folder / "header.wav", np.zeros(0))
    return {"header.wav": "E no-samples"}


def short_header(folder: Path) -> Made:
    (folder / "cut.wav").write_bytes(wav(folder / "cut.wav")[:20])
    return {"cut.wav": "E bad-header"}


def halves(folder: Path) -> Made:
    """Every container that says how long it is; libsndfile reads half of each in silence."""
    made = {}
    for kind in ("wav", "aiff", "au", "w64", "rf64", "nist"):
        raw = wav(folder / f"half.{kind}", format=kind.upper())
        (folder / f"half.{kind}").write_bytes(raw[: len(raw) // 2])
        made[f"half.{kind}"] = "E truncated"
    return made


def odd_byte(folder: Path) -> Made:
    (folder / "odd.wav").write_bytes(wav(folder / "odd.wav") + b"x")
    return {"odd.wav": "W trailing bytes"}


def streamed(folder: Path) -> Made:
    patched(folder / "zero.wav", (40, "<I", 0))
    patched(folder / "open.wav", (4, "<I", 0xFFFFFFFF), (40, "<I", 0xFFFFFFFF))
    return {"zero.wav": "E no-samples", "open.wav": "W does not know the length"}


def seven_bits(folder: Path) -> Made:
    patched(folder / "seven.wav", (34, "<H", 7))
    return {"seven.wav": "E unsupported-encoding"}


def channels(folder: Path) -> Made:
    made = {}
    for n in (0, 1024, 65535):
        patched(folder / f"c{n}.wav", (22, "<H", n))
        made[f"c{n}.wav"] = "E too-many-channels" if n else "E bad-header"
    wav(folder / "c40.flac.wav", np.zeros((10, 40)))
    return made | {"c40.flac.wav": "E too-many-channels"}


def rates(folder: Path) -> Made:
    made = {}
    for rate in (0, 3_999, 384_001, 4_000_000_000):
        patched(folder / f"r{rate}.wav", (24, "<I", rate))
        made[f"r{rate}.wav"] = "E bad-rate"
    return made


def lies_upward(folder: Path) -> Made:
    patched(folder / "lie.wav", (40, "<I", 0x7FFFFFFF))
    raw = bytearray(wav(folder / "lie.flac"))
    # STREAMINFO: the last 36 bits before the MD5 are the number of samples.
    raw[21] |= 0x0F
    raw[22:26] = b"\xff\xff\xff\xff"
    (folder / "lie.flac").write_bytes(raw)
    return {"lie.wav": "E truncated", "lie.flac": "E too-long"}


def bombs(folder: Path) -> Made:
    bomb(folder / "bomb.flac", 4_000)
    return {"bomb.flac": "E too-long"}


def five_gigabytes(folder: Path) -> Made:
    """A sparse file: it takes no room."""
    patched(folder / "big.wav", (40, "<I", 0x40000000))
    with (folder / "big.wav").open("r+b") as stream:
        stream.truncate(5 * 2**30)
    return {"big.wav": "E size-mismatch"}


def flipped(folder: Path) -> Made:
    raw = bytearray(wav(folder / "flip.flac", hiss()))
    raw[len(raw) // 2] ^= 0xFF
    (folder / "flip.flac").write_bytes(raw)
    return {"flip.flac": "E corrupt"}


def cut_streams(folder: Path) -> Made:
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * SR)
    made = {}
    for suffix, part, outcome in [
        ("flac", 0.5, "E truncated"),
        ("mp3", 0.5, "E truncated"),
        ("ogg", 0.5, "E truncated"),
        ("opus", 0.5, "E truncated"),
        ("mp3", 0.995, "W truncated"),
    ]:
        name = f"cut{part}.{suffix}"
        options = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
        raw = wav(folder / name, noise, **options)
        (folder / name).write_bytes(raw[: round(part * len(raw))])
        made[name] = outcome
    return made


def impostors(folder: Path) -> Made:
    rng = np.random.default_rng(0)
    contents = {
        "random.wav": rng.bytes(4_000),
        "text.wav": b"once upon a time there was a sine\n" * 40,
        "picture.wav": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "page.mp3": b"<!DOCTYPE html><title>404</title>",
        "pointer.flac": b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "film.wav": b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(100),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return dict.fromkeys(contents, "E not-audio")


def wrong_suffix(folder: Path) -> Made:
    (folder / "really_wav.mp3").write_bytes(wav(folder / "a.wav"))
    (folder / "really_mp3.wav").write_bytes(wav(folder / "a.mp3"))
    (folder / "a.wav").unlink()
    (folder / "a.mp3").unlink()
    return {"really_wav.mp3": "W WAV file named .mp3", "really_mp3.wav": "W MP3 file named .wav"}


def formats(folder: Path) -> Made:
    made = {}
    for suffix, kind in {
        "aiff": "AIFF", "au": "AU", "caf": "CAF", "w64": "W64", "rf64": "RF64", "nist": "NIST",
    }.items():  # fmt: skip
        wav(folder / f"a.{suffix}", format=kind)
        made[f"a.{suffix}"] = "R"
    wav(folder / "a.opus", format="OGG", subtype="OPUS")
    return made | {"a.opus": "W lossy codec (OPUS)"}


def through_pyav(path: Path, container: str, codec: str, rate: int) -> bytes:
    """Write a tone as a telephone or a browser does, and return its bytes."""
    import av

    x = tone(sr=rate).astype(np.float32)[None]
    sound = av.AudioFrame.from_ndarray(x, format="fltp", layout="mono")
    sound.sample_rate = rate
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.codec_context.layout = "mono"
        stream.codec_context.bit_rate = 64_000  # FFmpeg's wmav2 takes no other at 48 kHz
        form = stream.codec_context.format
        waiting = av.AudioFifo()
        for frame in av.AudioResampler(format=form, layout="mono", rate=rate).resample(sound):
            waiting.write(frame)
        done = 0
        size = stream.codec_context.frame_size or 1024
        while (frame := waiting.read(size, partial=True)) is not None:
            frame.pts, done = done, done + frame.samples
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()


def of_telephones(folder: Path) -> Made:
    """Read through PyAV where it is installed; else refused, and the message names the extra."""
    contents = {
        "b.m4a": b"\x00\x00\x00\x20ftypM4A " + bytes(50),
        "b.webm": b"\x1a\x45\xdf\xa3" + bytes(50),
        "b.aac": b"\xff\xf1\x50\x80" + bytes(50),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    if find_spec("av") is None:
        return dict.fromkeys(contents, "E unsupported")
    import av

    made = {"b.m4a": "E bad-header", "b.webm": "E bad-header", "b.aac": "E bad-header"}
    whole = through_pyav(folder / "a.webm", "webm", "libopus", 48_000)
    (folder / "half.webm").write_bytes(whole[: len(whole) // 2])
    through_pyav(folder / "a.m4a", "ipod", "aac", 16_000)
    through_pyav(folder / "alac.m4a", "ipod", "alac", 16_000)
    made |= {"a.webm": "W lossy codec (OPUS)", "half.webm": "E truncated"}
    made |= {"a.m4a": "W lossy codec (AAC)", "alac.m4a": "R"}
    if "libopencore_amrnb" in av.codecs_available:
        through_pyav(folder / "a.amr", "amr", "libopencore_amrnb", 8_000)
        made["a.amr"] = "W lossy codec (AMRNB)"
    return made


def telephone_codecs(folder: Path) -> Made:
    made = {}
    for subtype in ("GSM610", "IMA_ADPCM", "MS_ADPCM"):
        wav(folder / f"{subtype}.wav", subtype=subtype)
        made[f"{subtype}.wav"] = f"W lossy codec ({subtype})"
    wav(folder / "g721.au", format="AU", subtype="G721_32")
    return made | {"g721.au": "W lossy codec (G721_32)"}


def encodings(folder: Path) -> Made:
    subtypes = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
    for subtype in subtypes:
        wav(folder / f"{subtype}.wav", hiss(), subtype=subtype)
    return {f"{subtype}.wav": "R" for subtype in subtypes}


def odd_chunks(folder: Path) -> Made:
    """Text chunks before and after the samples, with escape codes in them; and an ID3 tag."""
    raw = wav(folder / "chunks.wav")
    text = b"\x1b[2J\n=1+1\xff\xfe<img>"  # 17 bytes: padded to 18
    chunk = b"LIST" + struct.pack("<I", len(text)) + text + bytes(len(text) & 1)
    (folder / "chunks.wav").write_bytes(raw[:36] + chunk + raw[36:] + chunk)
    mp3 = wav(folder / "id3.mp3")
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x20" + b"\x1b[2J\xff" * 6 + b"\0\0"  # 32 bytes after ten
    (folder / "id3.mp3").write_bytes(tag + mp3)
    return {"chunks.wav": "R", "id3.mp3": "W lossy codec"}


# --- content, 25 to 43 ----------------------------------------------------------------------------


def not_a_number(folder: Path) -> Made:
    x = tone()
    x[100:200] = np.nan
    wav(folder / "nan.wav", x, subtype="FLOAT")
    return {"nan.wav": "E non-finite"}


def infinite(folder: Path) -> Made:
    x = tone()
    x[100] = -np.inf
    wav(folder / "inf.wav", x, subtype="DOUBLE")
    return {"inf.wav": "E non-finite"}


def loud(folder: Path) -> Made:
    wav(folder / "loud.wav", 3 * tone(), subtype="FLOAT")
    return {"loud.wav": "W scaled down from a peak of 1.5"}


def clipped(folder: Path) -> Made:
    wav(folder / "clipped.wav", np.clip(4 * tone(), -0.9, 0.9))
    return {"clipped.wav": "W clipped"}


def silent(folder: Path) -> Made:
    wav(folder / "silent.wav", np.zeros(SR))
    return {"silent.wav": "W digital silence"}


def offset(folder: Path) -> Made:
    wav(folder / "dc.wav", 0.3 + 0.2 * tone())
    wav(folder / "only_dc.wav", np.full(SR, 0.5))
    return {"dc.wav": "W constant offset", "only_dc.wav": "W constant offset"}


def noise(folder: Path) -> Made:
    wav(folder / "noise.wav", hiss())
    return {"noise.wav": "R"}


def steady(folder: Path) -> Made:
    impulse = np.zeros(SR)
    impulse[SR // 2] = 1.0
    train = np.zeros(SR)
    train[:: SR // 100] = 0.9
    wav(folder / "tone.wav")
    wav(folder / "impulse.wav", impulse, subtype="FLOAT")
    wav(folder / "train.wav", train - train.mean())
    wav(folder / "square.wav", 0.5 * np.sign(tone() + 1e-9))
    return {"tone.wav": "R", "impulse.wav": "R", "train.wav": "R", "square.wav": "W clipped"}


def one_side(folder: Path) -> Made:
    wav(folder / "right.wav", np.stack([0 * tone(), tone()], axis=1))
    wav(folder / "quiet.wav", np.stack([0.05 * tone(), tone()], axis=1))  # 26 dB
    return dict.fromkeys(("right.wav", "quiet.wav"), "W channels differ by more than 20 dB")


def anti_phase(folder: Path) -> Made:
    wav(folder / "anti.wav", np.stack([tone(), -tone()], axis=1))
    return {"anti.wav": "W channels cancel each other"}


def many_channels(folder: Path) -> Made:
    made = {}
    for n in (3, 8):
        wav(folder / f"c{n}.wav", np.stack([tone()] * n, axis=1))
        made[f"c{n}.wav"] = f"W {n} channels mixed"
    return made


def telephone(folder: Path) -> Made:
    for rate in (4_000, 8_000):
        wav(folder / f"r{rate}.wav", tone(sr=rate), rate)
    return {"r4000.wav": "W nothing above 2 kHz", "r8000.wav": "W nothing above 4 kHz"}


def fast(folder: Path) -> Made:
    wav(folder / "r192000.wav", tone(sr=192_000), 192_000)
    return {"r192000.wav": "R"}


CASES: dict[int, Callable[[Path], Made]] = {
    1: empty,
    2: header_only,
    3: short_header,
    4: halves,
    5: odd_byte,
    6: streamed,
    7: seven_bits,
    8: channels,
    9: rates,
    10: lies_upward,
    11: bombs,
    12: five_gigabytes,
    13: flipped,
    14: cut_streams,
    16: impostors,
    17: wrong_suffix,
    18: formats,
    19: of_telephones,
    20: telephone_codecs,
    22: encodings,
    24: odd_chunks,
    28: not_a_number,
    29: infinite,
    30: loud,
    32: clipped,
    33: silent,
    34: offset,
    35: noise,
    36: steady,
    37: one_side,
    38: anti_phase,
    39: many_channels,
    40: telephone,
    41: fast,
}
