"""Twins: planted copies are found, other takes of the same sentence are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from serfeat.audio import load_audio
from serfeat.corpora import read_corpus
from serfeat.errors import AudioError
from serfeat.manifest import Manifest, manifest_of_folder, rows_from_records
from serfeat.protocols import twins
from serfeat.protocols.division import Fold
from serfeat.protocols.twins import (
    Fingerprint,
    Twin,
    find_twins,
    fingerprint,
    twins_across,
    twins_of,
)
from serfeat.types import Floats

SR = 16_000


def babble(seconds: float = 2.0, seed: int = 0) -> Floats:
    """Noise whose spectrum changes every 80 ms: as much going on as in speech."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(round(seconds / 0.08)):
        spectrum = np.fft.rfft(rng.standard_normal(1280)) * rng.exponential(size=641)
        parts.append(np.fft.irfft(spectrum))
    return np.concatenate(parts) / 10


def found(a: Floats, b: Floats) -> list[Twin]:
    return find_twins([fingerprint(a, SR), fingerprint(b, SR)])


# --- the fingerprint by its definition -------------------------------------------------------


def test_bits_by_the_definition() -> None:
    """Against loops over frames and bands, on the same spectra.

    Catches bits in another order, a difference over one axis only, and a wrong sign.
    """
    x = babble(0.6)[: 2 * (2048 + 3 * 128)]
    y = np.asarray(soxr.resample(x.astype(np.float32), SR, 8000, quality="HQ"))
    n = 1 + (len(y) - 2048) // 128
    edges = 300.0 * 10.0 ** (np.arange(34) / 33)
    frequency = np.arange(1025) * 8000 / 2048
    power = np.zeros((n, 33))
    for i in range(n):
        spectrum = np.abs(np.fft.rfft(y[128 * i : 128 * i + 2048] * np.hanning(2048))) ** 2
        for m in range(33):
            inside = (frequency >= edges[m]) & (frequency < edges[m + 1])
            power[i, m] = spectrum[inside].sum()
    expected = []
    for i in range(1, n):
        code = 0
        for m in range(32):
            grown = (power[i, m] - power[i, m + 1]) < (power[i - 1, m] - power[i - 1, m + 1])
            code = 2 * code + int(grown)
        expected.append(code)
    assert fingerprint(x, SR).codes.tolist() == expected


def test_weak_bits_are_the_nearest_ones() -> None:
    """A weak bit turned is what a little noise turns. Catches the strongest bits, and bit 31 - m.

    Among the bits that noise at 40 dB turns, most are weak ones: chance would be 3 in 32.
    """
    x = babble()
    rng = np.random.default_rng(1)
    noisy = x + 0.01 * x.std() * rng.standard_normal(len(x))
    a, b = fingerprint(x, SR), fingerprint(noisy, SR)
    turned = a.codes ^ b.codes
    assert (np.bitwise_count(a.weak) == 1).all()
    hit = np.bitwise_count(turned & np.bitwise_or.reduce(a.weak, axis=1)).sum()
    assert hit > 0.8 * np.bitwise_count(turned).sum() > 0


def test_gain_and_sign_change_no_bit() -> None:
    x = babble()
    a, b = fingerprint(x, SR), fingerprint(-0.25 * x, SR)
    assert (a.codes == b.codes).all()
    assert (a.loud == b.loud).all()
    assert a.digest != b.digest


# --- pairs -----------------------------------------------------------------------------------


def test_offset_and_similarity() -> None:
    """A cut of 0.32 s at the beginning is an offset of -0.32 s, and whole hops change no bit.

    Catches the sign of the offset, and clips that exchange places.
    """
    x = babble()
    (twin,) = found(x, 0.5 * x[round(0.32 * SR) :])
    assert (twin.first, twin.second, twin.exact) == (0, 1, False)
    assert twin.offset == pytest.approx(-0.32)
    assert twin.similarity > 0.99
    (other,) = found(0.5 * x[round(0.32 * SR) :], x)
    assert other.offset == pytest.approx(0.32)
    (half,) = found(x, np.concatenate([np.zeros(round(0.1 * SR) + 57), x]))
    assert half.offset == pytest.approx(0.1 + 57 / SR, abs=0.009)


def test_unrelated_clips_have_half_of_the_bits() -> None:
    """0.5, and no pair; also when a frame is planted in both. Catches MAX_ERROR = 0.5."""
    a, b = fingerprint(babble(seed=1), SR), fingerprint(babble(seed=2), SR)
    n = min(len(a.codes), len(b.codes))
    share = np.bitwise_count(a.codes[:n] ^ b.codes[:n]).mean() / 32
    assert share == pytest.approx(0.5, abs=0.05)
    codes = b.codes.copy()
    codes[40] = a.codes[40]
    planted = Fingerprint(codes, b.loud, b.weak)
    assert list(twins._meetings([a, planted]))
    assert not find_twins([a, planted])


def test_same_samples() -> None:
    """Exact pairs need no frame; each is paired with the first; silence is nobody's twin."""
    x, short, silence = babble(), babble(0.1), np.zeros(SR)
    clips = [silence, x, short, x.copy(), silence, x.copy(), short.copy(), short[:100]]
    pairs = find_twins([fingerprint(c, SR) for c in clips])
    assert [(p.first, p.second) for p in pairs] == [(1, 3), (1, 5), (2, 6)]
    assert all(p.exact and p.similarity == 1.0 and p.offset == 0.0 for p in pairs)
    assert fingerprint(x, SR).digest != fingerprint(x, 8000).digest  # another recording


def test_steady_sounds_prove_nothing() -> None:
    """Two tones of one pitch agree in every bit or in none; neither makes them one recording."""
    t = np.arange(2 * SR) / SR
    rng = np.random.default_rng(3)
    hum = [np.sin(2 * np.pi * 1000 * t + p) + 1e-7 * rng.standard_normal(len(t)) for p in (0, 1)]
    fixed = [Fingerprint(np.full(90, 7, np.uint32), np.ones(90, bool), np.ones((90, 3), np.uint32))]
    assert not found(*hum)
    assert not find_twins(fixed * 2)
    assert not find_twins([])
    assert not find_twins([fingerprint(np.zeros(0), SR)] * 2)


# --- folds -----------------------------------------------------------------------------------


def test_across_follows_twins_of_twins() -> None:
    """0 - 5 - 9 is one recording: 9 is tested, 0 learnt from, 5 in no part of the fold.

    Catches pairs looked at one by one, and validation rows that are not looked at.
    """
    pairs = [Twin(0, 5, 0, 0.9, False), Twin(5, 9, 0, 0.9, False), Twin(3, 4, 0, 1, True)]
    fold = Fold("x", np.array([0, 1]), np.array([4, 8, 9]), np.array([3]))
    assert twins_across(fold, pairs) == [(3, 4), (0, 9)]
    assert twins_across(Fold("x", np.array([1, 2, 3, 4]), np.array([0, 5, 9])), pairs) == []
    assert twins_across(fold, []) == []


# --- files and corpora -----------------------------------------------------------------------


def test_of_a_manifest(tmp_path: Path) -> None:
    """A WAV and its FLAC are exact, backwards is another sound, what cannot be read has no twin."""
    x = babble(3.0)
    y = (10_000 * x / np.abs(x).max()).astype(np.int16)
    for name, samples in (("a.wav", y), ("b.flac", y), ("c.wav", y[::-1])):
        soundfile.write(tmp_path / name, samples, SR)
    (tmp_path / "d.wav").write_bytes(b"RIFF")
    seen: list[tuple[int, int]] = []
    manifest = manifest_of_folder(tmp_path)
    pairs = twins_of(manifest, progress=lambda done, total: seen.append((done, total)))
    assert [(p.first, p.second, p.exact) for p in pairs] == [(0, 1, True)]
    assert seen == [(4, 4)]


def test_segments_that_overlap(tmp_path: Path) -> None:
    """0 to 2 s and 1 to 3 s share a second: 1 s earlier in the second."""
    soundfile.write(tmp_path / "a.wav", np.clip(babble(3.0), -1, 1), SR)
    records = [
        {"file": "a.wav", "start": a, "end": b, "corpus": "x", "speaker": "s", "emotion": "e"}
        for a, b in ((0.0, 2.0), (1.0, 3.0), (2.0, 3.0))
    ]
    (one, two) = twins_of(Manifest(rows_from_records(records), tmp_path, "x"), jobs=1)
    assert (one.first, one.second, one.offset) == (0, 1, pytest.approx(-1.0, abs=0.009))
    assert (two.first, two.second, two.offset) == (1, 2, pytest.approx(-1.0, abs=0.009))


def test_a_worker_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "a.wav", np.clip(babble(), -1, 1), SR)
    monkeypatch.setattr(twins, "run", lambda *a, **k: [RuntimeError()])
    with pytest.raises(AudioError, match="a worker that reads audio died"):
        twins_of(manifest_of_folder(tmp_path))


def encoded(x: Floats, kind: str) -> Floats:
    stream = io.BytesIO()
    soundfile.write(stream, 0.9 * np.clip(x, -1, 1), SR, format=kind)
    stream.seek(0)
    return np.asarray(soundfile.read(stream)[0])


def low_pass(x: Floats) -> Floats:
    from scipy.signal import butter, sosfilt

    return np.asarray(sosfilt(butter(6, 3400, fs=SR, output="sos"), x))


def noisy(x: Floats, snr: float = 20.0) -> Floats:
    noise = np.random.default_rng(len(x)).standard_normal(len(x))
    return x + noise * x.std() * 10 ** (-snr / 20)


PLANTED = {
    "gain": lambda x: -0.1 * x,
    "trimmed": lambda x: x[4800:-4800],
    "shifted": lambda x: np.concatenate([np.zeros(1971), x]),
    "resampled": lambda x: soxr.resample(soxr.resample(x, SR, 44100), 44100, SR),
    "low-pass": low_pass,
    "mp3": lambda x: encoded(x, "MP3"),
    "noise 20 dB": noisy,
    "all": lambda x: noisy(encoded(0.3 * x[3200:], "MP3"), 25.0),
}


@pytest.fixture(scope="session")
def emodb_clips(emodb_root: Path) -> tuple[list[Floats], list[Fingerprint]]:
    """Every fifth recording, and the fingerprints of them all."""
    manifest = read_corpus("emodb", emodb_root)
    clips = [load_audio(manifest.path(f)).x for f in manifest.files]
    return clips[::5], [fingerprint(x, SR) for x in clips]


def test_no_false_alarm_on_emodb(emodb_clips: tuple[list[Floats], list[Fingerprint]]) -> None:
    """535 recordings of ten sentences, many said twice by one speaker, and none twice there.

    Catches MAX_ERROR = 0.4.
    """
    assert len(emodb_clips[1]) == 535
    assert find_twins(emodb_clips[1]) == []


def test_planted_twins_are_found(emodb_clips: tuple[list[Floats], list[Fingerprint]]) -> None:
    """10 clips x 8 changes among the 535: at least 97 % found, and nothing else."""
    clips, prints = emodb_clips
    chosen = range(0, len(clips), 7)
    wanted = {}
    planted = list(prints)
    for change in PLANTED.values():
        for k in list(chosen)[:10]:
            wanted[len(planted)] = 5 * k
            planted.append(fingerprint(np.asarray(change(clips[k])), SR))
    pairs = find_twins(planted)
    direct = {(p.first, p.second) for p in pairs if p.first < len(prints)}
    right = {(original, copy) for copy, original in wanted.items()}
    assert len(direct & right) >= 0.97 * len(right)
    assert direct <= right
    assert all(wanted[p.first] == wanted[p.second] for p in pairs if p.first >= len(prints))


def test_ravdess_has_its_one_known_duplicate(ravdess_root: Path) -> None:
    """Two takes of each sentence by each actor; one file of actor 07 is there twice."""
    manifest = read_corpus("ravdess", ravdess_root).select(speaker=["07", "02"])
    (twin,) = twins_of(manifest)
    names = manifest.rows.index.get_level_values("file")
    assert [Path(names[i]).stem for i in (twin.first, twin.second)] == [
        "03-01-03-01-02-01-07",
        "03-01-03-01-02-02-07",
    ]
    assert twin.exact
