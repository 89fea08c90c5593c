"""NPZ, MATLAB and NetCDF, read by NumPy, SciPy and a reader from the format's specification."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io

from serfeat.errors import StoreError
from serfeat.exports import arrays, export_table
from serfeat.exports.names import matlab_names, netcdf_names

LEVELS = pytest.mark.parametrize("level", ["clips", "frames"])


def write(given, path: Path) -> Path:
    table, units, provenance, labels = given
    export_table(table, path, units=units, provenance=provenance, labels=labels)
    return path


def clip_times(given, name: str) -> np.ndarray:
    keys = list(dict.fromkeys(k[:3] for k in given.table.index))
    return np.array([k[1 if name == "start" else 2].total_seconds() for k in keys])


@LEVELS
def test_npz(request, tmp_path: Path, level: str) -> None:
    """Read with pickle forbidden; catches objects, offsets of another order, times in ns."""
    given = request.getfixturevalue(level)
    with np.load(write(given, tmp_path / "t.npz"), allow_pickle=False) as read:
        np.testing.assert_array_equal(read["values"], given.table)
        assert read["values"].dtype == np.float32
        assert list(read["columns"]) == list(given.table.columns)
        assert list(read["units"]) == list(given.units.values())
        np.testing.assert_array_equal(read["start"], clip_times(given, "start"))
        np.testing.assert_array_equal(read["end"], clip_times(given, "end"))
        assert json.loads(str(read["provenance"])) == given.provenance
        by_key = given.labels["emotion"].to_dict()
        keys = list(dict.fromkeys(k[:3] for k in given.table.index))
        assert list(read["label_emotion"]) == [by_key[k] for k in keys]
        if level == "frames":
            assert list(read["offsets"]) == [0, 4, 5, 12, 15]
            seconds = given.table.index.get_level_values("time").total_seconds()
            np.testing.assert_array_equal(read["time"], seconds)
            assert read["time"][12] == 0.5


@LEVELS
def test_mat(request, tmp_path: Path, level: str) -> None:
    """SciPy's reader; catches text as matrices of letters, frames counted from 0."""
    given = request.getfixturevalue(level)
    read = scipy.io.loadmat(write(given, tmp_path / "t.mat"))
    np.testing.assert_array_equal(read["values"], given.table)
    assert read["values"].dtype == np.float32

    def texts(name: str) -> list[str]:
        assert read[name].dtype == object
        return ["".join(cell[0]) if cell[0].size else "" for cell in read[name]]

    assert texts("columns") == list(given.table.columns)
    assert texts("units") == list(given.units.values())
    assert texts("variables")[:2] == ["f0_hz__mean", "hnr_db__p50"]
    assert texts("file")[2] == "a/it's, ü.wav"
    np.testing.assert_array_equal(read["end_s"][:, 0], clip_times(given, "end"))
    assert json.loads(read["provenance"][0]) == given.provenance
    by_key = given.labels["emotion"].to_dict()
    keys = list(dict.fromkeys(k[:3] for k in given.table.index))
    assert texts("label_emotion") == [by_key[k] for k in keys]
    if level == "frames":
        assert read["first"].T.tolist() == [[1, 5, 6, 13]]
        assert read["last"].T.tolist() == [[4, 5, 12, 15]]
        assert read["time_s"][4:6, 0].tolist() == [0, 0]
    else:
        np.testing.assert_array_equal(read["label_arousal"][:, 0], [0.25, -1, np.nan, 0.1, 3])


def test_mat_has_no_date(plain, tmp_path: Path) -> None:
    assert write(plain, tmp_path / "t.mat").read_bytes()[:116].rstrip().endswith(b"by serfeat")


def test_matlab_names() -> None:
    """63 characters, letters first, no keyword, different; catches a cut that makes two equal."""
    long = ["a" * 63 + "x", "a" * 63 + "y", "a" * 63]
    names = matlab_names([*long, "f0 hz", "f0_hz", "", "1", "end", "ü", "_a"])
    assert names[:3] == ["a" * 63, "a" * 61 + "_2", "a" * 61 + "_3"]
    assert names[3:] == ["f0_hz", "f0_hz_2", "x", "x1", "xend", "x_", "x_a"]
    assert netcdf_names(["time", "x", "X"], ["time"]) == ["xtime", "x", "X_2"]


@pytest.mark.parametrize("suffix", [".mat", ".nc"])
def test_two_gibibytes_are_the_end(plain, tmp_path: Path, monkeypatch, suffix: str) -> None:
    monkeypatch.setattr(arrays, "LARGEST", 30)
    with pytest.raises(StoreError, match="this format holds 2") as caught:
        write(plain, tmp_path / f"t{suffix}")
    assert caught.value.code == "too-large"


@LEVELS
def test_netcdf_with_scipy(request, tmp_path: Path, level: str) -> None:
    given = request.getfixturevalue(level)
    with scipy.io.netcdf_file(str(write(given, tmp_path / "t.nc")), mmap=False) as read:
        names = json.loads((tmp_path / "t.nc.json").read_text())["variables"]
        assert list(names.values()) == list(given.table.columns)
        for written, column in names.items():
            variable = read.variables[written]
            np.testing.assert_array_equal(variable[:], given.table[column])
            assert getattr(variable, "units", b"").decode() == given.units[column]
            assert variable.long_name.decode() == column
        assert json.loads(read.provenance) == given.provenance


# --- a reader from Unidata's "NetCDF Classic Format Specification" ------------------------------

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8}
KINDS = {2: "S1", 4: ">i4", 5: ">f4", 6: ">f8"}


class Netcdf:
    """Dimensions, attributes and variables of a file with 64-bit offsets."""

    def __init__(self, raw: bytes) -> None:
        assert raw[:4] == b"CDF\x02"
        self.raw, self.place = raw, 4
        assert self.take(">i") == 0  # no records
        self.dimensions = self.items(0x0A, lambda: self.take(">i"))
        self.attributes = dict(self.items(0x0C, self.attribute))
        self.variables = dict(self.items(0x0B, self.variable))

    def take(self, form: str):
        (value,) = struct.unpack_from(form, self.raw, self.place)
        self.place += struct.calcsize(form)
        return value

    def padded(self, size: int) -> bytes:
        value = self.raw[self.place : self.place + size]
        self.place += -(-size // 4) * 4
        return value

    def items(self, tag: int, read):
        found, n = self.take(">i"), self.take(">i")
        assert found == (tag if n else 0)
        return [(self.padded(self.take(">i")).decode(), read()) for _ in range(n)]

    def attribute(self):
        kind, n = self.take(">i"), self.take(">i")
        value = self.padded(n * SIZES[kind])
        return value.decode() if kind == 2 else np.frombuffer(value, KINDS[kind])

    def variable(self):
        shape = [self.dimensions[self.take(">i")] for _ in range(self.take(">i"))]
        about = dict(self.items(0x0C, self.attribute))
        kind, _, begin = self.take(">i"), self.take(">i"), self.take(">q")
        n = int(np.prod([size for _, size in shape]))
        values = np.frombuffer(self.raw, KINDS[kind], n, begin)
        return [name for name, _ in shape], about, values.reshape([size for _, size in shape])


@LEVELS
def test_netcdf_with_a_second_reader(request, tmp_path: Path, level: str) -> None:
    """Catches: a wrong dimension, text that is cut, row_size that does not count the frames."""
    given = request.getfixturevalue(level)
    read = Netcdf(write(given, tmp_path / "t.nc").read_bytes())
    names = dict(read.dimensions)
    dimensions, about, letters = read.variables["file"]
    assert dimensions == ["clip", "file_length"]
    files = [b"".join(row).rstrip(b"\0").decode() for row in letters]
    assert files == [k[0] for k in dict.fromkeys(k[:3] for k in given.table.index)]
    dimensions, about, values = read.variables["f0_hz__mean"]
    assert dimensions == ["frame" if level == "frames" else "clip"]
    assert about["units"] == "Hz"
    assert np.isnan(about["_FillValue"]).all()
    np.testing.assert_array_equal(values, given.table["f0_hz__mean"])
    np.testing.assert_array_equal(read.variables["end"][2], clip_times(given, "end"))
    if level == "frames":
        dimensions, about, sizes = read.variables["row_size"]
        assert (dimensions, about["sample_dimension"]) == (["clip"], "frame")
        assert list(sizes) == [4, 1, 7, 3]
        assert names["frame"] == 15
    assert read.attributes["Conventions"] == "CF-1.8"


def test_netcdf4_library(frames, tmp_path: Path) -> None:
    netcdf4 = pytest.importorskip("netCDF4", reason="netCDF4 is not installed")
    with netcdf4.Dataset(write(frames, tmp_path / "t.nc")) as read:
        assert list(read["row_size"][:]) == [4, 1, 7, 3]
        np.testing.assert_array_equal(
            np.ma.filled(read["hnr_db__p50"][:], np.nan), frames.table["hnr_db__p50"]
        )
        assert read["f0_hz__mean"].units == "Hz"


def test_float64_stays_float64(plain, tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [1 / 3, 2, 3, 4, 5]}, index=plain.table.index)
    export_table(table, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as read:
        assert read["values"][0, 0] == 1 / 3
