"""Files on a disk: what counts as audio can be read, and what is written is there whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from serfeat.audio import load_audio
from serfeat.errors import ManifestError, StoreError
from serfeat.files import AUDIO_SUFFIXES, audio_files, committed, inside, sha256

FORMATS = {
    "AIFF": (".aif", ".aiff"),
    "AU": (".au", ".snd"),
    "NIST": (".nist", ".sph"),
    "OGG": (".ogg", ".opus"),
}

THROUGH_PYAV = {".aac", ".amr", ".m4a", ".webm", ".wma"}


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_what_counts_as_audio_can_be_read(tmp_path: Path, suffix: str) -> None:
    """Catches a suffix that libsndfile does not know, and one that the walk does not find."""
    if suffix in THROUGH_PYAV:
        pytest.skip("PyAV's: tests/faults/test_recordings.py, 19")
    x = 0.5 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    path = tmp_path / f"a{suffix}"
    kind = next((f for f, known in FORMATS.items() if suffix in known), suffix[1:].upper())
    sf.write(path, x, 16_000, format=kind, subtype="OPUS" if suffix == ".opus" else None)
    assert audio_files(tmp_path) == [path.name]
    assert len(load_audio(path).x) == pytest.approx(16_000, abs=2_000)


def test_committed_replaces_whole_files_only(tmp_path: Path) -> None:
    """Catches a writer that opens the final name, and a temporary file that stays."""
    path = tmp_path / "made" / "a.txt"
    with committed(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()

    def killed() -> None:
        with committed(path) as temporary:
            temporary.write_text("half of tw")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_committed_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"a.txt: cannot write here") as caught:
        committed(tmp_path / "file" / "a.txt").__enter__()
    assert caught.value.code == "cannot-create"


def test_inside(tmp_path: Path) -> None:
    """Catches a name that is not normalised, and an absolute one that is refused."""
    assert inside("x/./a.wav", tmp_path, where="") == "x/a.wav"
    assert inside(f"{tmp_path}/x/../a.wav", tmp_path, where="") == "a.wav"
    with pytest.raises(ManifestError, match=r"^here: file '../a.wav'"):
        inside("../a.wav", tmp_path, where="here")


def test_sha256(tmp_path: Path) -> None:
    """FIPS 180-4's example."""
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "abc") == expected
