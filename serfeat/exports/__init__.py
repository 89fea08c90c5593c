"""Exports: one table, written for other programs, with its units and its provenance.

Conventions
-----------
`FORMATS` says what there is. Every format says in its module how it holds NaN, names, labels and
the index; what it cannot hold is refused in one line, never changed. Every export is there whole or
not at all, and has a side-car (``<name>.json``, or ``serfeat.json`` in a folder).

Contents
--------
`FORMATS`, `Format` : name -> how it is written.
`format_of`         : a format by its name, or by the suffix of a path.
`export_table`      : a table in memory.
`export_file`       : a table on disk, with labels from a manifest.
`serfeat.exports.content.labels_of` : labels for the rows of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from serfeat.errors import StoreError, did_you_mean
from serfeat.exports.arff import write_arff
from serfeat.exports.arrays import write_mat, write_netcdf, write_npz
from serfeat.exports.audformat_folder import write_audformat
from serfeat.exports.content import Content, gather, labels_of
from serfeat.exports.delimited import write_csv, write_opensmile, write_spreadsheet
from serfeat.exports.hub import write_huggingface
from serfeat.exports.libsvm import write_libsvm
from serfeat.exports.parquet import write_parquet
from serfeat.exports.speech import write_htk, write_kaldi
from serfeat.manifest import Manifest
from serfeat.store import read_metadata, read_table
from serfeat.types import Progress

__all__ = ["FORMATS", "Format", "export_file", "export_table", "format_of"]

BOTH = ("functionals", "lld")


@dataclass(frozen=True)
class Format:
    """A format that tables are written in.

    Parameters
    ----------
    words : what it is, for listings.
    suffixes : of its files; the first is its own. Empty: a folder.
    levels : what it can hold: a row per clip (functionals), per frame (lld).
    write : (content, path) -> nothing.
    source : where it is specified.
    """

    words: str
    suffixes: tuple[str, ...]
    levels: tuple[str, ...]
    write: Callable[[Content, Path], None]
    source: str

    @property
    def folder(self) -> bool:
        """Whether it is a folder and not a file."""
        return not self.suffixes


FORMATS: dict[str, Format] = {
    "arff": Format(
        "ARFF for WEKA, with file and times as attributes", (".arff",), BOTH,
        partial(write_arff, index=True), "WEKA 3.8, ARFF (stable version)",
    ),
    "arff-numeric": Format(
        "ARFF without text attributes (SciPy, learners of WEKA)", (".arff",), BOTH,
        partial(write_arff, index=False), "WEKA 3.8, ARFF (stable version)",
    ),
    "audformat": Format(
        "audformat database: db.yaml and CSV tables", (), ("functionals",),
        write_audformat, "audEERING, audformat 1.4, Specifications",
    ),
    "csv": Format("plain CSV, times in seconds", (".csv",), BOTH, write_csv, "RFC 4180"),
    "csv-opensmile": Format(
        "openSMILE's CSV: semicolons, name, frameTime", (".csv",), BOTH,
        write_opensmile, "openSMILE 3, csvSink.cpp",
    ),
    "csv-spreadsheet": Format(
        "CSV for Excel: byte order mark, no formulas", (".csv",), BOTH,
        write_spreadsheet, "OWASP, CSV Injection; Excel specifications and limits",
    ),
    "htk": Format(
        "folder of HTK files, kind USER", (), ("lld",), write_htk, "The HTK Book 3.4, 5.10.1"
    ),
    "huggingface": Format(
        "folder for Hugging Face datasets: Parquet and a card", (), BOTH,
        write_huggingface, "Hugging Face, Dataset cards; Manual configuration",
    ),
    "kaldi": Format(
        "folder with a Kaldi archive and its scp", (), BOTH, write_kaldi, "Kaldi I/O mechanisms"
    ),
    "libsvm": Format(
        "LIBSVM text; refuses undefined values", (".svm", ".libsvm", ".svmlight"), BOTH,
        partial(write_libsvm, omit_missing=False), "LIBSVM, README",
    ),
    "libsvm-xgboost": Format(
        "LIBSVM text for XGBoost: undefined values left out", (".svm", ".libsvm"), BOTH,
        partial(write_libsvm, omit_missing=True), "XGBoost, Text Input Format of DMatrix",
    ),
    "mat": Format("MATLAB 5", (".mat",), BOTH, write_mat, "The MathWorks, MAT-File Format"),
    "netcdf": Format(
        "NetCDF 3, ragged clips after CF 1.8", (".nc",), BOTH,
        write_netcdf, "Unidata, NetCDF Classic Format Specification",
    ),
    "npz": Format("NumPy, without pickle", (".npz",), BOTH, write_npz, "numpy.lib.format"),
    "parquet": Format(
        "Parquet with units and provenance", (".parquet",), BOTH, write_parquet, "Apache Parquet"
    ),
}  # fmt: skip


def format_of(name: str, path: Path) -> str:
    """A known format: by `name`, or where that is empty or ``auto`` by the suffix of `path`.

    Raises
    ------
    UnknownNameError : no such format.
    StoreError : no such suffix; a file name for a format with other suffixes.
    """
    if name not in ("", "auto"):
        if name not in FORMATS:
            raise did_you_mean("format", name, FORMATS)
        suffixes = FORMATS[name].suffixes
        if suffixes and path.suffix.lower() not in suffixes:
            raise StoreError(
                f"{path.suffix or 'no suffix'!r} is not the suffix of {name}",
                where=path,
                code="suffix",
                fix=f"name it *{suffixes[0]}",
            )
        return name
    plain = ("csv", "arff", *FORMATS)  # of several dialects the plain one
    for known in plain:
        if path.suffix.lower() in FORMATS[known].suffixes:
            return known
    suffixes = tuple(sorted({s for f in FORMATS.values() for s in f.suffixes}))
    raise StoreError(
        f"{path.suffix or 'no suffix'!r} does not say which format",
        where=path,
        code="unknown-format",
        fix=f"give --format ({', '.join(FORMATS)}), or one of {' '.join(suffixes)}",
    )


def export_table(
    table: pd.DataFrame,
    path: Path,
    *,
    format: str = "auto",  # noqa: A002  (the word of the command line)
    units: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    labels: pd.DataFrame | None = None,
    progress: Progress | None = None,
) -> str:
    """Write a table for another program.

    Parameters
    ----------
    table : on the index (file, start, end) or (file, start, end, time); numbers only.
    path : of the file, or of the folder for formats that are folders.
    format : a name of `FORMATS`; ``auto``: by the suffix.
    units : column -> unit.
    provenance : how the numbers were made.
    labels : on (file, start, end), one row per clip; the first column is the target.
    progress : is called with (rows written, rows in all) by the formats that write text.

    Returns
    -------
    The name of the format.

    Raises
    ------
    StoreError : the table is no table of ours, the format cannot hold it, or the disk refuses.
    UnknownNameError : no such format.
    """
    name = format_of(format, path)
    chosen = FORMATS[name]
    content = gather(table, units=units, provenance=provenance, labels=labels, progress=progress)
    if content.level not in chosen.levels:
        raise StoreError(
            f"{name} holds {' and '.join(chosen.levels)}, this table is {content.level}",
            where=path,
            code="level",
            fix="known: " + ", ".join(n for n, f in FORMATS.items() if content.level in f.levels),
        )
    chosen.write(content, path)
    return name


def export_file(
    source: Path,
    path: Path,
    *,
    format: str = "auto",  # noqa: A002
    manifest: Manifest | None = None,
    labels: Sequence[str] = ("emotion",),
    progress: Progress | None = None,
) -> str:
    """Write a table of ours (Parquet or CSV) for another program.

    Parameters
    ----------
    source : what `serfeat extract` wrote.
    manifest : where labels come from; without one there are none.
    labels : columns of the manifest; the first is the target.
    progress : see `export_table`.

    Returns
    -------
    The name of the format.

    Raises
    ------
    StoreError : the table cannot be read, or see `export_table`.
    """
    table, about = _read(source)
    said = labels_of(table, manifest, labels) if manifest is not None else None
    return export_table(
        table,
        path,
        format=format,
        units=about.get("units"),
        provenance=about.get("provenance"),
        labels=said,
        progress=progress,
    )


def _read(source: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table of ours, and what is known of it."""
    try:
        table = read_table(source)
        try:
            return table, read_metadata(source)
        except FileNotFoundError:
            return table, {}  # a CSV whose side-car is gone
    except StoreError:
        raise
    except (ValueError, KeyError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(
            f"cannot be read as a table ({reason})",
            where=source,
            code="unreadable",
            fix="give a .parquet or .csv that serfeat extract wrote",
        ) from None
