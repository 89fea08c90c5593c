"""An audformat database, read by audformat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import StoreError
from serfeat.exports import export_table
from serfeat.table import clip_index


def write(given, path: Path) -> Path:
    table, units, provenance, labels = given
    export_table(table, path, format="audformat", units=units, provenance=provenance, labels=labels)
    return path


@pytest.mark.parametrize("fixture", ["clips", "plain"])
def test_audformat_loads_it(request, tmp_path: Path, fixture: str) -> None:
    """Catches: times in seconds, a label outside its scheme, a segmented table of whole files."""
    audformat = pytest.importorskip("audformat", reason="audformat is not installed")
    given = request.getfixturevalue(fixture)
    db = audformat.Database.load(str(write(given, tmp_path / "out")))
    read = db["features"].df
    if fixture == "clips":
        assert db["features"].is_segmented
        pd.testing.assert_index_equal(read.index, given.table.index, exact=False)
    else:
        assert db["features"].is_filewise
        assert list(read.index) == list(given.table.index.get_level_values("file"))
    np.testing.assert_array_equal(read.to_numpy(np.float32), given.table)
    assert list(read.columns) == list(given.table.columns)
    column = str(given.table.columns[0])
    assert db["features"].columns[column].description == "unit: Hz"
    assert set(db.schemes["emotion"].labels) == {"anger", "fear", "sadness"}
    said = db["labels"].df["emotion"]
    expected = given.labels.reindex(given.table.index)["emotion"]
    assert list(said) == list(expected)
    assert db.name == "tiny"
    assert "Apache-2.0" in db.license


def test_the_first_second_of_each_file_stays_a_segment(plain, tmp_path: Path) -> None:
    """Catches ends that are lost because every clip begins at 0."""
    audformat = pytest.importorskip("audformat", reason="audformat is not installed")
    files = plain.table.index.get_level_values("file")
    table = plain.table.set_axis(clip_index(files, [0] * 5, [1.0] * 5))
    export_table(table, tmp_path / "out", format="audformat")
    db = audformat.Database.load(str(tmp_path / "out"))
    assert db["features"].is_segmented
    assert list(db["features"].df.index.get_level_values("end")) == [pd.Timedelta("1s")] * 5


def test_what_it_cannot_hold(frames, plain, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="audformat holds functionals, this table is lld"):
        write(frames, tmp_path / "out")
    labels = plain.labels.rename(columns={"emotion": "feature"})
    with pytest.raises(StoreError, match="cannot be called 'feature'"):
        write(plain._replace(labels=labels), tmp_path / "out")
    assert not list(tmp_path.iterdir())
