"""Arrays for programs: NumPy, MATLAB, NetCDF.

Conventions
-----------
* ``npz``: values (rows, columns), columns, units, file, start, end (s, per clip; NaN: to the end of
  the file), labels as ``label_<name>``, provenance (JSON); of frames also time (s, per row) and
  offsets: the frames of clip i are ``values[offsets[i]:offsets[i + 1]]``. Nothing in it needs
  pickle.
* ``mat``: MATLAB 5 files with the same, in MATLAB's way: text as cell arrays, ``first`` and
  ``last`` (rows from 1) in place of offsets, times as ``start_s`` ``end_s`` ``time_s``, and
  ``variables``: the columns as valid names (63 characters), for ``array2table``.
* ``netcdf``: NetCDF 3 with 64-bit offsets. Every column is a variable with its unit; the frames
  of clips stand one after the other, ``row_size`` of each clip (CF's contiguous ragged array).
* The same table gives the same bytes: no file holds the time of its making.

Sources
-------
NumPy, ``numpy.lib.format``; The MathWorks, "MAT-File Format" (level 5); Unidata, "NetCDF Classic
Format Specification"; CF Conventions 1.8, sections 2.3, 9.3.3.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serfeat.exports.content import Content, label_text, refuse, seconds
from serfeat.exports.folders import write_side_car
from serfeat.exports.names import matlab_names, netcdf_names
from serfeat.files import committed

__all__ = ["write_mat", "write_netcdf", "write_npz"]

LARGEST = 2**31 - 1  # bytes of one variable of a MATLAB 5 or NetCDF 3 file
_HEADER = b"MATLAB 5.0 MAT-file, written by serfeat".ljust(116)  # in place of the time


def write_npz(content: Content, path: Path) -> None:
    """Write a compressed NPZ."""
    arrays: dict[str, Any] = {
        "values": content.values,
        "columns": np.array(content.columns, dtype=np.str_),
        "units": np.array([content.units[c] for c in content.columns], dtype=np.str_),
        "file": np.array(content.files, dtype=np.str_),
        "start": seconds(content.times("start")),
        "end": seconds(content.times("end")),
        "provenance": np.array(json.dumps(dict(content.provenance), default=str)),
    }
    for name in map(str, content.labels):
        arrays[f"label_{name}"] = _label(content, name, np.str_)
    if content.level == "lld":
        arrays |= {"time": seconds(content.times("time")), "offsets": content.offsets}
    # What np.savez does; its own arguments would forbid an array called `file`.
    with (
        committed(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
    write_side_car(content, path, "npz")


def _label(content: Content, name: str, dtype: type) -> NDArray[Any]:
    """A column of labels as an array of text or of float64."""
    if content.classes(name) is None:
        return content.codes(name)
    return np.array([label_text(v) for v in content.labels[name]], dtype=dtype)


def write_mat(content: Content, path: Path) -> None:
    """Write a MATLAB 5 file.

    Raises
    ------
    StoreError : values of 2 GiB or more.
    """
    import scipy.io

    _check_size(content, path, content.values.nbytes)
    label_names = matlab_names([f"label_{c}" for c in content.labels])
    variables: dict[str, Any] = {
        "values": content.values,
        "columns": _cells(content.columns),
        "variables": _cells(matlab_names(content.columns)),
        "units": _cells([content.units[c] for c in content.columns]),
        "file": _cells(content.files),
        "start_s": seconds(content.times("start"))[:, None],
        "end_s": seconds(content.times("end"))[:, None],
        "provenance": json.dumps(dict(content.provenance), default=str),
    }
    for written, name in zip(label_names, map(str, content.labels), strict=True):
        found = _label(content, name, object)
        variables[written] = found.reshape(-1, 1)
    if content.level == "lld":
        variables["time_s"] = seconds(content.times("time"))[:, None]
        variables["first"] = (content.offsets[:-1] + 1.0)[:, None]
        variables["last"] = content.offsets[1:, None].astype(np.float64)
    with committed(path) as temporary, temporary.open("w+b") as stream:
        scipy.io.savemat(stream, variables, long_field_names=True, do_compression=True)
        stream.seek(0)
        stream.write(_HEADER)
    write_side_car(content, path, "mat")


def _cells(texts: list[str]) -> NDArray[Any]:
    """Text as a column of cells."""
    out = np.empty((len(texts), 1), dtype=object)
    out[:, 0] = texts
    return out


def _check_size(content: Content, path: Path, size: int) -> None:
    if size > LARGEST:
        raise refuse(
            f"{len(content.table)} rows of {len(content.columns)} columns are {size / 2**30:.1f} "
            f"GiB in one variable, this format holds 2",
            "too-large",
            where=path,
            fix="use parquet, or export parts",
        )


def write_netcdf(content: Content, path: Path) -> None:
    """Write NetCDF 3 with 64-bit offsets.

    Raises
    ------
    StoreError : a variable of 2 GiB or more.
    """
    import scipy.io

    _check_size(content, path, 8 * len(content.table))
    frames = content.level == "lld"
    own = ("clip", "frame", "file", "file_length", "start", "end", "time", "row_size")
    labels = netcdf_names([f"label_{c}" for c in content.labels], own)
    names = netcdf_names(content.columns, (*own, *labels))
    with committed(path) as temporary:
        file = scipy.io.netcdf_file(str(temporary), "w", version=2)
        file.Conventions = b"CF-1.8"
        file.title = b"features of speech, made by serfeat"
        file.provenance = json.dumps(dict(content.provenance), default=str).encode()
        file.createDimension("clip", len(content.clips))
        _text(file, "file", content.files, "recording")
        for name, text in (("start", "start of the clip"), ("end", "end; NaN: end of the file")):
            _number(file, name, "clip", seconds(content.times(name)), "s", text)
        for written, name in zip(labels, map(str, content.labels), strict=True):
            if content.classes(name) is None:
                _number(file, written, "clip", content.codes(name), "", name)
            else:
                _text(file, written, [label_text(v) for v in content.labels[name]], name)
        if frames:
            file.createDimension("frame", len(content.table))
            sizes = np.diff(content.offsets).astype(np.int32)
            row_size = _number(file, "row_size", "clip", sizes, "", "frames of the clip")
            row_size.sample_dimension = b"frame"
            times = seconds(content.times("time"))
            _number(file, "time", "frame", times, "s", "centre of the frame in the file")
        dimension = "frame" if frames else "clip"
        for i, (written, column) in enumerate(zip(names, content.columns, strict=True)):
            values = content.values[:, i]
            _number(file, written, dimension, values, content.units[column], column)
        file.close()
    write_side_car(
        content, path, "netcdf", variables=dict(zip(names, content.columns, strict=True))
    )


def _number(file: Any, name: str, dimension: str, values: NDArray[Any], unit: str, is_: str) -> Any:
    """Make a variable of numbers; attributes are bytes of UTF-8."""
    kind = values.dtype  # big-endian on the disk: SciPy sees to it
    variable = file.createVariable(name, kind, (dimension,))
    variable[:] = values
    variable.long_name = is_.encode()
    if unit:
        variable.units = unit.encode()
    if kind.kind == "f":
        variable._FillValue = np.array(np.nan, kind)
    return variable


def _text(file: Any, name: str, texts: list[str], is_: str) -> None:
    """Make a variable of text: UTF-8 in rows of equal length, filled with NUL."""
    raw = [t.encode() for t in texts]
    width = max(1, *map(len, raw))
    file.createDimension(f"{name}_length", width)
    variable = file.createVariable(name, "c", ("clip", f"{name}_length"))
    letters = np.frombuffer(b"".join(r.ljust(width, b"\0") for r in raw), dtype="S1")
    variable[:] = letters.reshape(len(raw), width)
    variable.long_name = is_.encode()
    variable._Encoding = b"utf-8"
