"""Formats of speech recognisers, which keep clips apart: HTK and Kaldi.

Conventions
-----------
* ``htk``: a folder with one file per clip, ``<file>.htk``: twelve bytes of header (big-endian:
  frames int32, frame period in 100 ns int32, bytes per frame int16, kind int16 = 9, USER) and
  float32 frames. Frames only: a period that is no whole number of 100 ns, and frames that are not
  evenly spaced, are refused. A frame is centred on its time; HTK does not say where.
* ``kaldi``: a folder with ``feats.ark``/``feats.scp`` (a matrix per clip) for frames or
  ``vectors.ark``/``vectors.scp`` (a vector per clip). Names of clips are without blanks: what Kaldi
  cannot hold is percent-encoded (``urllib.parse.unquote`` undoes it). Sorted by bytes, as
  Kaldi's ``LC_ALL=C sort``; paths in the scp are relative to the folder. Beside it ``utt2<label>``,
  and, of frames, ``utt2num_frames`` and ``frame_shift``.
* Both hold float32; NaN stays NaN. ``index.csv`` and ``columns.csv`` hold names, times, labels and
  units.

Sources
-------
Young et al., The HTK Book 3.4, section 5.10.1; Kaldi, "Kaldi I/O mechanisms" and
``matrix/kaldi-matrix.cc`` (``FM``, ``FV``).
"""

from __future__ import annotations

import struct
from pathlib import Path
from urllib.parse import quote

import numpy as np

from serfeat.exports.content import Content, label_text, refuse
from serfeat.exports.folders import (
    clip_names,
    committed_folder,
    side_car_of,
    write_columns,
    write_index,
)
from serfeat.types import Floats32

__all__ = ["write_htk", "write_kaldi"]

USER = 9  # HTK's kind for features that it does not know


def write_htk(content: Content, path: Path) -> None:
    """Write a folder of HTK files.

    Raises
    ------
    StoreError : more than 8191 columns; frames that are not evenly spaced by a multiple of 100 ns.
    """
    period = _period(content, path)
    values = _float32(content, path)
    size = 4 * values.shape[1]
    if size > 32_767:
        raise refuse(
            f"{values.shape[1]} columns, HTK's header counts up to 8191",
            "too-large",
            where=path,
            fix="use kaldi or netcdf",
        )
    names = [f"{name}.htk" for name in clip_names(content, where=path)]
    about = side_car_of(content, "htk", sample_period_100ns=period)
    with committed_folder(path, about) as folder:
        for name, first, last in zip(names, content.offsets, content.offsets[1:], strict=False):
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            header = struct.pack(">iihh", last - first, period, size, USER)
            place.write_bytes(header + values[first:last].astype(">f4").tobytes())
        write_index(content, folder / "index.csv", path=names)
        write_columns(content, folder / "columns.csv")


def _period(content: Content, path: Path) -> int:
    """The frame period in 100 ns."""
    time = content.times("time").as_unit("ns").asi8
    within = np.ones(max(len(time) - 1, 0), dtype=bool)
    within[content.offsets[1:-1] - 1] = False
    steps = np.unique(np.diff(time)[within])
    if not len(steps):  # one frame in every clip
        steps = np.array([round(float(content.provenance.get("hop_s", 0)) * 1e9)])
    if len(steps) > 1 or steps[0] <= 0 or steps[0] % 100 or steps[0] // 100 >= 2**31:
        raise refuse(
            "the frames are not evenly spaced by a multiple of 100 ns, which is all that HTK says",
            "bad-times",
            where=path,
            fix="use kaldi or netcdf",
        )
    return int(steps[0]) // 100


def _float32(content: Content, path: Path) -> Floats32:
    """The values as float32; numbers that it cannot hold are refused."""
    values = content.values
    too_large = np.isfinite(values) & (np.abs(values) > np.finfo(np.float32).max)
    if too_large.any():
        column = content.columns[int(np.argmax(too_large.any(axis=0)))]
        raise refuse(f"column {column!r} is too large for float32", "not-finite", where=path)
    return values.astype(np.float32)


def write_kaldi(content: Content, path: Path) -> None:
    """Write a folder with a Kaldi archive, its script file and the maps of the clips."""
    values = _float32(content, path)
    safe = "/!#$&'()*+,-.:;<=>?@[]^_`{|}~"  # all that is printed, but the percent sign
    clips = [quote(n, safe=safe) for n in clip_names(content, where=path)]
    order = sorted(range(len(clips)), key=lambda i: clips[i].encode())
    frames = content.level == "lld"
    stem = "feats" if frames else "vectors"
    with committed_folder(path, side_car_of(content, "kaldi")) as folder:
        lines = []
        with (folder / f"{stem}.ark").open("wb") as ark:
            for i in order:
                ark.write(f"{clips[i]} ".encode())
                lines.append(f"{clips[i]} {stem}.ark:{ark.tell()}")
                block = values[content.offsets[i] : content.offsets[i + 1]]
                ark.write(_matrix(block) if frames else _vector(block[0]))
        _lines(folder / f"{stem}.scp", lines)
        for name in map(str, content.labels):
            texts = ["_".join(label_text(v).split()) for v in content.labels[name]]
            said = [f"{clips[i]} {texts[i]}" for i in order if texts[i]]
            _lines(folder / f"utt2{_word(name)}", said)
        if frames:
            counts = np.diff(content.offsets)
            _lines(folder / "utt2num_frames", [f"{clips[i]} {counts[i]}" for i in order])
            if hop := content.provenance.get("hop_s"):
                _lines(folder / "frame_shift", [f"{hop:g}"])
        write_index(content, folder / "index.csv", utterance=clips)
        write_columns(content, folder / "columns.csv")


def _word(name: str) -> str:
    """The name of a label as Kaldi writes it: speaker is spk."""
    known = {"speaker": "spk", "sex": "gender"}
    return known.get(name, quote(name, safe=""))


def _matrix(values: Floats32) -> bytes:
    """Kaldi's binary float matrix: each size is an int32 behind the number of its bytes."""
    head = b"\0BFM " + struct.pack("<bibi", 4, values.shape[0], 4, values.shape[1])
    return head + values.astype("<f4").tobytes()


def _vector(values: Floats32) -> bytes:
    """Kaldi's binary float vector."""
    return b"\0BFV " + struct.pack("<bi", 4, len(values)) + values.astype("<f4").tobytes()


def _lines(path: Path, lines: list[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
