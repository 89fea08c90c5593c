"""LIBSVM's sparse text: ``target 1:value 2:value ...``.

Conventions
-----------
* Columns are numbered from 1, as LIBSVM asks. Their names are in ``<name>.columns.csv``, the clips
  in ``<name>.index.csv``, the class numbers (from 0, labels sorted) in ``<name>.json``; without
  labels the target is 0.
* An index that is left out means zero, so the format has no missing value: ``libsvm`` refuses NaN.
  XGBoost alone takes what is left out as missing: ``libsvm-xgboost`` leaves NaN out. Both write
  every number, zeros too, in order.

Sources
-------
Chang & Lin, LIBSVM, README ("the format of training and testing data files"); XGBoost, "Text Input
Format of DMatrix" and "Missing values".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from serfeat.exports.content import Content, number_rows, refuse
from serfeat.exports.folders import write_columns, write_index, write_side_car
from serfeat.files import committed

__all__ = ["write_libsvm"]


def write_libsvm(content: Content, path: Path, *, omit_missing: bool) -> None:
    """Write LIBSVM's format.

    Parameters
    ----------
    omit_missing : leave NaN out (XGBoost); else it is refused.

    Raises
    ------
    StoreError : NaN among the values (unless left out) or the targets; infinite numbers.
    """
    missing = np.isnan(content.values).any(axis=0)
    if missing.any() and not omit_missing:
        raise refuse(
            f"{int(missing.sum())} columns hold undefined values (NaN), the first is "
            f"{content.columns[int(np.argmax(missing))]!r}; LIBSVM would read them as 0",
            "missing-values",
            where=path,
            fix="use libsvm-xgboost, arff or parquet, or leave these columns out",
        )
    targets = _targets(content, path)
    with committed(path) as temporary, temporary.open("w", encoding="ascii", newline="") as stream:
        rows = number_rows(content, missing="", where=path)
        for clip, cells in zip(content.row_clips.tolist(), rows, strict=True):
            pairs = [f"{i}:{cell}" for i, cell in enumerate(cells, 1) if cell]
            stream.write(" ".join([targets[clip], *pairs]) + "\n")
    write_columns(content, path.with_name(path.name + ".columns.csv"))
    write_index(content, path.with_name(path.name + ".index.csv"))
    write_side_car(content, path, "libsvm-xgboost" if omit_missing else "libsvm")


def _targets(content: Content, path: Path) -> list[str]:
    """The target of each clip as text: class number, number, or 0 where there are no labels."""
    if not content.labels.shape[1]:
        return ["0"] * len(content.clips)
    name = str(content.labels.columns[0])
    codes = content.codes(name)
    if np.isnan(codes).any():
        file = content.files[int(np.argmax(np.isnan(codes)))]
        raise refuse(
            f"no {name} for {file!r}, and a row begins with its target",
            "missing-label",
            where=path,
            fix="leave the rows without label out, or export without labels",
        )
    return [f"{code:.17g}" for code in codes]
