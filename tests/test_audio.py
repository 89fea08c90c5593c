"""The guarded decoder: what is wrong is refused with its code, what is odd is flagged."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.audio import content_hash, load_audio, resample
from serfeat.audio.pyav import available
from serfeat.errors import AudioError

SR = 16_000


def tone(seconds: float = 0.5, f: float = 200.0, sr: int = SR) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * f * np.arange(round(seconds * sr)) / sr)


def wav(path: Path, x: np.ndarray, sr: int = SR, subtype: str = "PCM_16") -> Path:
    sf.write(path, x, sr, subtype=subtype)
    return path


def code(path: Path, **options: float) -> str:
    with pytest.raises(AudioError) as caught:
        load_audio(path, **options)
    assert str(caught.value).count("\n") == 0
    assert path.name in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_reads_what_was_written(tmp_path: Path, subtype: str) -> None:
    x = tone()
    audio = load_audio(wav(tmp_path / "a.wav", x, subtype=subtype))
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23}.get(subtype, 1e-6)
    assert audio.x.dtype == np.float64
    assert np.abs(audio.x - x).max() <= step
    assert audio.flags == ()


def test_segment_is_a_slice(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.flac", tone(1.0), subtype="PCM_16")
    whole = load_audio(path).x
    part = load_audio(path, start=0.25, end=0.75).x
    assert (part == whole[4000:12000]).all()
    assert code(path, start=0.9, end=0.8) == "bad-segment"
    assert code(path, start=0.0, end=1.5) == "bad-segment"
    assert len(load_audio(path, end=1.005).x) == SR  # within a frame of the end


def test_resampling_keeps_a_tone() -> None:
    """Catches a wrong ratio: the tone's frequency and length must be kept."""
    x = tone(1.0, 440.0, 44_100)
    y = resample(x, 44_100, SR)
    assert len(y) == SR
    expected = tone(1.0, 440.0, SR)
    assert np.abs(y - expected)[500:-500].max() < 1e-4


def test_bad_files_are_refused_by_name(tmp_path: Path) -> None:
    good = wav(tmp_path / "good.wav", tone()).read_bytes()
    cases = {
        "empty.wav": (b"", "empty-file"),
        "half.wav": (good[: len(good) // 2], "truncated"),
        "header.wav": (good[:20], "bad-header"),
        "text.wav": (b"hello world, this is no audio at all", "not-audio"),
        "picture.wav": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not-audio"),
        "page.wav": (b"<!DOCTYPE html><html></html>", "not-audio"),
        "lfs.wav": (b"version https://git-lfs.github.com/spec/v1\noid x", "not-audio"),
        "phone.m4a": (
            b"\x00\x00\x00\x20ftypM4A " + bytes(50),
            "bad-header" if available() else "unsupported",
        ),
    }
    for name, (content, expected) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert code(tmp_path / name) == expected, name
    sf.write(tmp_path / "none.wav", np.zeros(0), SR)
    assert code(tmp_path / "none.wav") == "no-samples"
    assert code(tmp_path / "absent.wav") == "missing"
    (tmp_path / "folder.wav").mkdir()
    assert code(tmp_path / "folder.wav") == "not-a-file"
    os.mkfifo(tmp_path / "pipe.wav")  # would block for ever if it were opened
    assert code(tmp_path / "pipe.wav") == "not-a-file"


def test_bad_content_is_refused(tmp_path: Path) -> None:
    x = tone()
    x[1000:1100] = np.nan
    with pytest.raises(AudioError, match=r"100 samples .* first at 62\.50 ms") as caught:
        load_audio(wav(tmp_path / "nan.wav", x, subtype="FLOAT"))
    assert caught.value.code == "non-finite"
    assert code(wav(tmp_path / "long.wav", tone(2.0)), max_duration=1.0) == "too-long"
    assert code(wav(tmp_path / "many.wav", np.zeros((10, 40)))) == "too-many-channels"
    assert code(wav(tmp_path / "slow.wav", tone(), sr=1000)) == "bad-rate"


def test_a_header_that_lies_upward_allocates_nothing(tmp_path: Path) -> None:
    raw = bytearray(wav(tmp_path / "a.wav", tone()).read_bytes())
    at = raw.index(b"data") + 4
    raw[at : at + 4] = struct.pack("<I", 0x7FFFFFFF)
    (tmp_path / "lie.wav").write_bytes(raw)
    assert code(tmp_path / "lie.wav") == "truncated"


def test_flac_with_a_flipped_byte(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(SR)
    raw = bytearray(wav(tmp_path / "a.flac", noise).read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "flip.flac").write_bytes(raw)
    assert code(tmp_path / "flip.flac") in {"corrupt", "truncated"}


def test_channels(tmp_path: Path) -> None:
    x = tone()
    same = load_audio(wav(tmp_path / "same.wav", np.stack([x, x], axis=1)))
    assert np.abs(same.x - x).max() < 1e-4
    anti = load_audio(wav(tmp_path / "anti.wav", np.stack([x, -x], axis=1)))
    assert np.abs(anti.x).max() > 0.4  # the plain mean would be silence
    assert "cancel" in anti.flags[0]
    right = load_audio(wav(tmp_path / "right.wav", np.stack([0 * x, x], axis=1)))
    assert any("20 dB" in f for f in right.flags)


def test_flags(tmp_path: Path) -> None:
    silent = load_audio(wav(tmp_path / "silent.wav", np.zeros(SR)))
    assert silent.flags == ("digital silence",)
    clipped = load_audio(wav(tmp_path / "clip.wav", np.clip(4 * tone(), -0.9, 0.9)))
    assert any(f.startswith("clipped") for f in clipped.flags)
    offset = load_audio(wav(tmp_path / "dc.wav", 0.3 + 0.2 * tone()))
    assert "constant offset (DC)" in offset.flags
    loud = load_audio(wav(tmp_path / "loud.wav", 3 * tone(), subtype="FLOAT"))
    assert np.abs(loud.x).max() == pytest.approx(1.0)
    assert any("scaled down" in f for f in loud.flags)


def test_hash_is_of_the_content(tmp_path: Path) -> None:
    a = wav(tmp_path / "a.wav", tone())
    (tmp_path / "b.wav").write_bytes(a.read_bytes())
    assert content_hash(a) == content_hash(tmp_path / "b.wav")
    wav(tmp_path / "b.wav", tone(f=201))
    assert content_hash(a) != content_hash(tmp_path / "b.wav")


def test_errors_cross_processes() -> None:
    error = AudioError("bad", where="a.wav", code="x", fix="y")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code) == (str(error), "x")
    assert str(AudioError("bad", where="a\n\x1b[2Jb.wav")) == "a\\n\\x1b[2Jb.wav: bad"


def test_real_speech(emodb_root: Path) -> None:
    audio = load_audio(emodb_root / "audio" / "03a01Fa.flac")
    assert len(audio.x) == 30_372
    assert audio.sr == SR


@pytest.mark.parametrize("sr", [0, -8000])
def test_a_rate_that_cannot_be(tmp_path: Path, sr: int) -> None:
    with pytest.raises(AudioError, match=f"sr is {sr}, expected Hz above 0"):
        load_audio(wav(tmp_path / "a.wav", tone()), sr=sr)
