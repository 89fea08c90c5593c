"""Features that a user brings: a table of their own in place of one of serfeat's sets.

An entry with ``features = "table:mine.csv"`` is trained on the numbers of that file, one row per
clip. So results of other programs stand on the same folds and in the same report as ours. What was
done to make them is not known here: `serfeat.lint` looks for the traces of the usual faults.

Conventions
-----------
* CSV or Parquet with a column (or index) `file`, relative to the audio folder as in the manifest;
  `start` and `end` in seconds where the manifest has segments. Rows join by these, never by
  position. Every other column is a feature and must be numeric.
* An empty cell is a missing value (the models' preparation fills it, in training). A clip of the
  manifest that the table lacks is a failure like a recording that cannot be read; a row of the
  table that the manifest lacks is an error, unless the table has every clip of the manifest.
* The path is relative to the recipe.

Contents
--------
`is_table`    : whether an entry's `features` name a file.
`GivenSet`    : the columns of a file, as the rest of serfeat knows a feature set.
`given_set`   : the columns of a file.
`read_given`  : a file and a manifest -> `serfeat.extract.Extraction`.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import FeatureError, SerfeatError
from serfeat.extract import Extraction, Failure
from serfeat.feature_sets import feature_set
from serfeat.features import FeatureSet, Level
from serfeat.files import sha256
from serfeat.manifest import Manifest
from serfeat.store.tables import read_parquet, require_as_written, require_ended
from serfeat.table import INDEX, clip_index
from serfeat.types import Reals

__all__ = ["PREFIX", "GivenSet", "given_set", "is_table", "read_given", "set_of"]

PREFIX = "table:"
LICENCE = "of the user's table: not known"


def is_table(features: str) -> bool:
    """Whether an entry's `features` name a file of the user's."""
    return features.startswith(PREFIX)


@dataclass(frozen=True)
class GivenSet(FeatureSet):
    """The columns of a user's table; they are read, not computed.

    Parameters
    ----------
    path : the file.
    given : names of its columns.
    digest : SHA-256 of the file, in hex.
    """

    path: Path = Path()
    given: tuple[str, ...] = ()
    digest: str = ""

    def columns(self, level: Level) -> tuple[str, ...]:
        """Names of the columns; there are none for frames."""
        return self.given if level == "functionals" else ()

    def units(self, level: Level) -> tuple[str, ...]:
        """Units are not known."""
        return ("",) * len(self.columns(level))

    def width(self, level: Level) -> int:
        """Number of columns."""
        return len(self.columns(level))

    @property
    def licence(self) -> str:
        """What is said of it wherever the numbers go."""
        return LICENCE

    @property
    def folder(self) -> str:
        """Name for files that are made of it."""
        return f"table-{self.digest[:12]}"

    def require(self) -> None:
        """Raise now what would be raised later: the file has changed or is gone."""
        if not self.path.is_file() or sha256(self.path) != self.digest:
            raise FeatureError("has changed since it was read", where=self.path, code="changed")

    def compute(self, x: Reals, level: Level, **_: Any) -> Reals:
        """Nothing can be computed: a model that was trained on a table has no way to new audio.

        Raises
        ------
        FeatureError : always.
        """
        del x, level
        raise FeatureError(
            "the features of a table cannot be computed for other recordings",
            where=self.name,
            code="not-computable",
            fix="train on one of serfeat's feature sets to predict from audio",
        )

    def fingerprint(self, level: Level, *, libraries: bool = True) -> str:
        """16 hex digits that change with the file."""
        del libraries  # none has a part in it
        return hashlib.sha256(f"{self.digest} {level}".encode()).hexdigest()[:16]


def set_of(features: str, folder: Path) -> FeatureSet:
    """What an entry's `features` name: one of serfeat's sets, or a table in the recipe's folder."""
    return given_set(features, folder) if is_table(features) else feature_set(features)


def given_set(features: str, folder: Path) -> GivenSet:
    """Read the header of a table.

    Parameters
    ----------
    features : ``"table:mine.csv"``.
    folder : of the recipe.

    Raises
    ------
    FeatureError : see `read_given`.
    """
    path = folder / features.removeprefix(PREFIX)
    return _set_of(features, path, _read(path))


def read_given(
    features: str,
    folder: Path,
    manifest: Manifest,
    *,
    level: Level = "functionals",
) -> Extraction:
    """Join a user's table to a manifest.

    Parameters
    ----------
    features : ``"table:mine.csv"``.
    folder : that the path is relative to.
    manifest : whose clips are wanted, in its order.
    level : only ``"functionals"`` is possible.

    Returns
    -------
    What `serfeat.extract.extract` would return; no audio is read, so its seconds are 0.

    Raises
    ------
    FeatureError : no such file, neither CSV nor Parquet, no column `file`, a clip twice, columns
        that are no numbers, infinite numbers, no columns, rows of clips that the manifest does not
        have, frames asked for.
    StoreError : a CSV that was cut: no newline at its end, or fewer rows than its side-car says.
    """
    began = time.perf_counter()
    path = folder / features.removeprefix(PREFIX)
    if level != "functionals":
        raise FeatureError(
            "a table has one row per clip, and this model reads frames",
            where=features,
            code="no-frames",
            fix="use a model that is trained on functionals (see serfeat list models)",
        )
    table = _read(path)
    index = manifest.rows.index
    known = table.index.isin(index)
    lacking = ~index.isin(table.index)
    if not known.all() and lacking.any():
        strange = table.index[~known]
        raise FeatureError(
            f"{len(strange)} of {len(table)} rows are of no clip of the manifest, the first is "
            f"{strange[0][0]!r}; {int(lacking.sum())} of {len(index)} clips have no row, the first "
            f"is {index[lacking][0][0]!r}",
            where=path,
            code="unknown-file",
            fix="name the files as in the manifest, relative to the audio folder",
        )
    present = index[~lacking]
    failures = tuple(_failure(f, start, end, path) for f, start, end in index[lacking])
    return Extraction(
        features=_set_of(features, path, table),
        level="functionals",
        index=present,
        values=table.reindex(present).to_numpy(dtype=np.float32),
        failures=failures,
        flags=("",) * len(present),
        seconds_of_audio=0.0,
        computed=0,
        computed_audio=0.0,
        seconds=time.perf_counter() - began,
        corpus={
            "name": manifest.name,
            "licence": manifest.card.licence if manifest.card else "not stated",
            "synthetic": bool(manifest.card and manifest.card.synthetic),
        },
    )


def _set_of(features: str, path: Path, table: pd.DataFrame) -> GivenSet:
    return GivenSet(
        name=features,
        summary=f"{table.shape[1]} columns of {path.name}, made elsewhere",
        functionals=(),
        delta_functionals=(),
        path=path,
        given=tuple(map(str, table.columns)),
        digest=sha256(path),
    )


def _failure(file: str, start: pd.Timedelta, end: pd.Timedelta, path: Path) -> Failure:
    last = end.total_seconds() if end is not pd.NaT else float("nan")
    reason = f"{file}: {path.name} has no row for this clip"
    return Failure(file, start.total_seconds(), last, "features", "no-row", reason)


def _read(path: Path) -> pd.DataFrame:
    """The table on the clips' index, all columns float64."""
    if not path.is_file():
        raise FeatureError("no such table", where=path, code="missing")
    try:
        if path.suffix.casefold() == ".parquet":
            flat = read_parquet(path)
        elif path.suffix.casefold() == ".csv":
            require_ended(path)
            flat = pd.read_csv(path, dtype={"file": str})
            require_as_written(path, len(flat))
        else:
            raise FeatureError(
                f"{path.suffix or 'no suffix'!r} is no table",
                where=path,
                code="unknown-format",
                fix="give a .csv or .parquet file",
            )
    except (ValueError, OSError) as error:
        if isinstance(error, SerfeatError):
            raise
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FeatureError(f"cannot be read ({first})", where=path, code="unreadable") from error
    if set(flat.index.names) & set(INDEX):
        flat = flat.reset_index()
    if "file" not in flat:
        raise FeatureError(
            f"no column file, found {', '.join(map(str, flat.columns[:5]))}",
            where=path,
            code="no-file-column",
            fix="add a column file with names as in the manifest",
        )
    return _numeric(path, flat)


def _numeric(path: Path, flat: pd.DataFrame) -> pd.DataFrame:
    """Set the index and check that everything else is a finite number or missing."""
    times = [_times(flat[n]) if n in flat else None for n in ("start", "end")]
    features = flat.drop(columns=[n for n in INDEX if n in flat])
    words = [
        str(c)
        for c in features
        if not pd.api.types.is_numeric_dtype(features[c].dtype) and not features[c].isna().all()
    ]
    if words or not features.shape[1]:
        found = f"{len(words)} columns are no numbers: {', '.join(words[:5])}"
        raise FeatureError(
            found if words else "no columns beside file, start and end",
            where=path,
            code="not-numeric" if words else "no-columns",
            fix="leave them out (a label, speaker or split must not be among the features)",
        )
    values = features.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        column = features.columns[int(np.argmax(np.isinf(values).any(axis=0)))]
        raise FeatureError(f"infinite numbers in {column}", where=path, code="not-finite")
    try:
        index = clip_index([str(f) for f in flat["file"]], *times)
    except ValueError as error:
        raise FeatureError(str(error), where=path, code="duplicate-row") from None
    return pd.DataFrame(values, index=index, columns=list(map(str, features.columns)))


def _times(values: pd.Series) -> Any:
    """Seconds, from numbers or from the times that serfeat writes to Parquet."""
    if pd.api.types.is_timedelta64_dtype(values.dtype):
        return values.dt.total_seconds()
    return pd.to_numeric(values, errors="coerce")
