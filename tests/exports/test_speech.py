"""HTK and Kaldi, read by readers that were written from the books, and by kaldiio."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import StoreError
from serfeat.exports import export_table
from serfeat.table import clip_index, frame_index


def write(given, path: Path, name: str) -> Path:
    table, units, provenance, labels = given
    export_table(table, path, format=name, units=units, provenance=provenance, labels=labels)
    return path


def htk(path: Path):
    """The HTK Book 3.4, section 5.10.1: nSamples, sampPeriod, sampSize, parmKind."""
    raw = path.read_bytes()
    n, period, size, kind = struct.unpack(">iihh", raw[:12])
    return np.frombuffer(raw[12:], ">f4").reshape(n, size // 4), period, kind


def test_htk(frames, tmp_path: Path) -> None:
    """Catches: little-endian numbers, a period in other units, clips that share frames."""
    folder = write(frames, tmp_path / "out", "htk")
    names = ["b/1.wav", "a/2.wav", "a/it's, ü.wav", "c.wav_0.5-0.53"]
    for name, (key, block) in zip(
        names, frames.table.groupby(level=[0, 1, 2], sort=False, dropna=False), strict=True
    ):
        values, period, kind = htk(folder / f"{name}.htk")
        assert (period, kind) == (100_000, 9)  # 10 ms, USER
        np.testing.assert_array_equal(values, block, err_msg=str(key))
    index = pd.read_csv(folder / "index.csv", keep_default_na=False)
    assert list(index["path"]) == [f"{n}.htk" for n in names]
    assert list(index["emotion"]) == ["fear", "anger", "", "fear"]
    assert list(index["start"].astype(float)) == [0, 0, 0, 0.5]
    about = json.loads((folder / "serfeat.json").read_text())
    assert about["provenance"] == frames.provenance
    assert about["units"] == frames.units


def test_htk_refuses_what_its_header_cannot_say(frames, plain, tmp_path: Path) -> None:
    uneven = frames.table.iloc[[0, 1, 3]]
    with pytest.raises(StoreError, match="not evenly spaced"):
        export_table(uneven, tmp_path / "out", format="htk")
    odd = frame_index(clip_index(["a.wav"]), [3], 1 / 300)
    table = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=odd)
    with pytest.raises(StoreError, match="not evenly spaced"):
        export_table(table, tmp_path / "out", format="htk")
    wide = pd.DataFrame(
        np.zeros((3, 8192), np.float32), index=frame_index(clip_index(["a.wav"]), [3], 0.01)
    )
    wide.columns = [f"c{i}" for i in range(8192)]
    with pytest.raises(StoreError, match="8192 columns, HTK's header counts up to 8191"):
        export_table(wide, tmp_path / "out", format="htk")
    with pytest.raises(StoreError, match="htk holds lld, this table is functionals"):
        write(plain, tmp_path / "out", "htk")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x.wav", "/etc/x.wav", "a/../../x.wav", "C:\\x.wav", "~/x"])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"x": [1.0]}, index=frame_index(clip_index([name]), [1], 0.01))
    for format_ in ("htk", "kaldi"):
        with pytest.raises(StoreError, match="not a plain name") as caught:
            export_table(table, tmp_path / "in" / "out", format=format_, provenance={"hop_s": 0.01})
        assert caught.value.code == "outside-root"
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


# --- Kaldi --------------------------------------------------------------------------------------


def ark(folder: Path, stem: str) -> dict[str, np.ndarray]:
    """ "Kaldi I/O mechanisms": a script file of names, archives and offsets."""
    found = {}
    for line in (folder / f"{stem}.scp").read_text().splitlines():
        name, place = line.split(" ")
        file, offset = place.rsplit(":", 1)
        raw = (folder / file).read_bytes()
        assert raw[int(offset) - len(name.encode()) - 1 : int(offset)] == f"{name} ".encode()
        raw = raw[int(offset) :]
        assert raw[:2] == b"\0B"
        kind, n_sizes = raw[2:5], {b"FM ": 2, b"FV ": 1}[raw[2:5]]
        head = struct.unpack_from("<" + "bi" * n_sizes, raw, 5)
        assert set(head[::2]) == {4}, kind
        shape = head[1::2]
        found[name] = np.frombuffer(raw, "<f4", int(np.prod(shape)), 5 + 5 * n_sizes).reshape(shape)
    return found


@pytest.mark.parametrize(("level", "stem"), [("clips", "vectors"), ("frames", "feats")])
def test_kaldi(request, tmp_path: Path, level: str, stem: str) -> None:
    """Catches: an offset at the name, rows for columns, names with blanks, an unsorted script."""
    given = request.getfixturevalue(level)
    folder = write(given, tmp_path / "out", "kaldi")
    read = ark(folder, stem)
    assert list(read) == sorted(read, key=lambda n: n.encode())
    index = pd.read_csv(folder / "index.csv", keep_default_na=False)
    clips = [b for _, b in given.table.groupby(level=[0, 1, 2], sort=False, dropna=False)]
    assert len(read) == len(clips)
    for name, file, block in zip(index["utterance"], index["file"], clips, strict=True):
        assert unquote(name).startswith(file)
        assert " " not in name
        expected = block.to_numpy() if stem == "feats" else block.to_numpy()[0]
        np.testing.assert_array_equal(read[name], expected)
    said = dict(line.split(" ") for line in (folder / "utt2emotion").read_text().splitlines())
    expected = dict(zip(index["utterance"], index["emotion"], strict=True))
    assert said == {k: v for k, v in expected.items() if v}
    assert (folder / "utt2spk").exists() == (level == "clips")
    if level == "frames":
        assert (folder / "frame_shift").read_text() == "0.01\n"
        counts = (folder / "utt2num_frames").read_text().splitlines()
        assert "b/1.wav 4" in counts


@pytest.mark.parametrize(("level", "stem"), [("clips", "vectors"), ("frames", "feats")])
def test_kaldiio(request, tmp_path: Path, monkeypatch, level: str, stem: str) -> None:
    kaldiio = pytest.importorskip("kaldiio", reason="kaldiio is not installed")
    given = request.getfixturevalue(level)
    folder = write(given, tmp_path / "out", "kaldi")
    monkeypatch.chdir(folder)  # paths in the script file are relative
    read = kaldiio.load_scp(f"{stem}.scp")
    second = ark(folder, stem)
    assert set(read) == set(second)
    for name, values in second.items():
        np.testing.assert_array_equal(read[name], values)


def test_too_large_for_float32(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [1e300]}, index=clip_index(["a.wav"]))
    with pytest.raises(StoreError, match="'x' is too large for float32"):
        export_table(table, tmp_path / "out", format="kaldi")
