"""Parquet: the format of the table itself, with labels as columns before the features.

Times stay timedelta64[ns] in the index; every column has its unit in the schema, and the provenance
is in the file's metadata (`serfeat.store`). Frames have the labels of their clip.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from serfeat.exports.content import Content
from serfeat.store import write_table

__all__ = ["write_parquet"]


def write_parquet(content: Content, path: Path) -> None:
    """Write Parquet."""
    said = content.labels.iloc[content.row_clips].set_axis(content.table.index)
    table = pd.concat([said, content.table], axis=1) if said.shape[1] else content.table
    write_table(table, path, units=content.units, provenance=content.provenance)
