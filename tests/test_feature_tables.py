"""Tables that a user brings: joined by name, and refused where a row could land on another clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import FeatureError
from serfeat.feature_tables import given_set, is_table, read_given
from serfeat.manifest import Manifest, rows_from_records

FILES = ("b.wav", "a.wav", "c.wav")


def manifest(files: tuple[str, ...] = FILES) -> Manifest:
    about = {"corpus": "x", "speaker": "1", "emotion": "anger"}
    return Manifest(rows_from_records([{"file": f, **about} for f in files]), Path(), "x")


def write(folder: Path, text: str) -> Path:
    (folder / "mine.csv").write_text(text, encoding="utf-8")
    return folder


def test_rows_join_by_name_in_the_manifests_order(tmp_path: Path) -> None:
    """Seen to fail when the values are taken in the table's order."""
    write(tmp_path, "file,f0,energy\na.wav,1,10\nb.wav,2,\nc.wav,3,30\n")
    found = read_given("table:mine.csv", tmp_path, manifest())
    assert found.index.equals(manifest().rows.index)
    np.testing.assert_array_equal(found.values, np.float32([[2, np.nan], [1, 10], [3, 30]]))
    assert found.features.columns("functionals") == ("f0", "energy")
    assert found.table.loc[("a.wav", pd.Timedelta(0), pd.NaT), "f0"] == 1
    assert found.failures == ()
    assert "not known" in found.features.licence
    assert is_table("table:mine.csv")
    assert not is_table("classic")


def test_a_clip_without_a_row_is_a_failure(tmp_path: Path) -> None:
    write(tmp_path, "file,f0\na.wav,1\nc.wav,3\n")
    found = read_given("table:mine.csv", tmp_path, manifest())
    assert [f.file for f in found.failures] == ["b.wav"]
    assert found.failures[0].reason == "no-row"
    assert list(found.index.get_level_values("file")) == ["a.wav", "c.wav"]


def test_a_table_may_hold_more_clips_than_the_manifest(tmp_path: Path) -> None:
    write(tmp_path, "file,f0\na.wav,1\nb.wav,2\nc.wav,3\nd.wav,4\n")
    found = read_given("table:mine.csv", tmp_path, manifest())
    np.testing.assert_array_equal(found.values, np.float32([[2], [1], [3]]))


def test_parquet_with_the_index_that_serfeat_writes(tmp_path: Path) -> None:
    rows = pd.DataFrame({"f0": [1.0, 2.0, 3.0]}, manifest().rows.index)
    rows.to_parquet(tmp_path / "mine.parquet")
    found = read_given("table:mine.parquet", tmp_path, manifest())
    np.testing.assert_array_equal(found.values[:, 0], [1, 2, 3])


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("file,f0\na.wav,1\nx.wav,2\n", "unknown-file", "1 of 2 rows .* 'x.wav'; 2 of 3 clips"),
        ("wav,f0\na.wav,1\n", "no-file-column", "found wav, f0"),
        ("file,emotion\na.wav,anger\n", "not-numeric", "1 columns are no numbers: emotion"),
        ("file,f0\na.wav,inf\n", "not-finite", "infinite numbers in f0"),
        ("file\na.wav\n", "no-columns", "no columns beside"),
        ("file,f0\na.wav,1\na.wav,2\n", "duplicate-row", "occurs before"),
        ("", "unreadable", "cannot be read"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, code: str, words: str) -> None:
    write(tmp_path, text)
    with pytest.raises(FeatureError, match=words) as error:
        read_given("table:mine.csv", tmp_path, manifest())
    assert error.value.code == code


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="no such table"):
        given_set("table:none.csv", tmp_path)
    (tmp_path / "mine.xlsx").write_bytes(b"PK")
    with pytest.raises(FeatureError, match="is no table"):
        given_set("table:mine.xlsx", tmp_path)
    write(tmp_path, "file,f0\na.wav,1\n")
    made = given_set("table:mine.csv", tmp_path)
    with pytest.raises(FeatureError, match="cannot be computed"):
        made.compute(np.zeros(16000), "functionals")
    with pytest.raises(FeatureError, match="reads frames"):
        read_given("table:mine.csv", tmp_path, manifest(), level="lld")
    before = made.fingerprint("functionals")
    write(tmp_path, "file,f0\na.wav,2\n")
    with pytest.raises(FeatureError, match="has changed"):
        made.require()
    assert given_set("table:mine.csv", tmp_path).fingerprint("functionals") != before
