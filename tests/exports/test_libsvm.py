"""LIBSVM: scikit-learn's and XGBoost's readers, and what zero and nothing mean to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_svmlight_file

from serfeat.errors import StoreError
from serfeat.exports import export_table
from serfeat.table import clip_index


def write(given, path: Path, name: str = "libsvm") -> Path:
    table, units, provenance, labels = given
    export_table(table, path, format=name, units=units, provenance=provenance, labels=labels)
    return path


def test_by_hand(tmp_path: Path) -> None:
    """Catches: indices from 0, a zero that is left out, NaN as a word."""
    table = pd.DataFrame(
        np.array([[0.5, 0.0], [np.nan, -2.0]], np.float32),
        index=clip_index(["a.wav", "b.wav"]),
        columns=["x", "y"],
    )
    export_table(table, tmp_path / "t.svm", format="libsvm-xgboost")
    assert (tmp_path / "t.svm").read_text() == "0 1:0.5 2:0.0\n0 2:-2.0\n"


def test_sklearn_reads_it(plain, tmp_path: Path) -> None:
    """Numbers are equal, classes are numbered in sorted order, and the side-cars say so."""
    path = write(plain, tmp_path / "t.svm")
    X, y = load_svmlight_file(str(path), zero_based=False)
    np.testing.assert_array_equal(X.toarray().astype(np.float32), plain.table.to_numpy())
    assert list(y) == [2, 0, 0, 1, 0]
    about = json.loads((tmp_path / "t.svm.json").read_text())
    assert about["labels"] == {"emotion": {"classes": {"anger": 0, "fear": 1, "sadness": 2}}}
    columns = pd.read_csv(tmp_path / "t.svm.columns.csv", keep_default_na=False)
    assert list(columns["name"]) == list(plain.table.columns)
    assert list(columns["number"]) == [1, 2, 3, 4, 5, 6]
    assert columns["unit"][0] == "Hz"
    index = pd.read_csv(tmp_path / "t.svm.index.csv")
    assert list(index["file"]) == list(plain.table.index.get_level_values("file"))


def test_xgboost_takes_what_is_left_out_as_missing(plain, tmp_path: Path) -> None:
    """Catches a zero that is left out, and indices from 0. (Its parser refuses 3.4e38.)"""
    xgboost = pytest.importorskip("xgboost")
    table = plain.table.copy()
    table.iloc[0] = [np.nan, 1.5, 2.5, 0.1, -4.0, 0.0]
    table.iloc[1, 0] = 0.0
    path = write(plain._replace(table=table), tmp_path / "t.svm", "libsvm-xgboost")
    matrix = xgboost.DMatrix(f"{path}?format=libsvm&indexing_mode=1")
    assert matrix.num_nonmissing() == table.size - 1
    assert list(matrix.get_label()) == [2, 0, 0, 1, 0]
    read = matrix.get_data().toarray()
    np.testing.assert_array_equal(read[:, -6:], table.fillna(0.0))


def test_nan_is_refused_where_it_would_be_zero(clips, plain, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"1 columns hold undefined values .* 'hnr_db__p50'") as e:
        write(clips, tmp_path / "t.svm")
    assert e.value.code == "missing-values"
    labels = plain.labels.assign(emotion=["anger", "", "fear", "fear", "fear"])
    with pytest.raises(StoreError, match=r"no emotion for 'a/1.wav'"):
        write(plain._replace(labels=labels), tmp_path / "t.svm")
    assert not list(tmp_path.iterdir())


def test_numeric_targets(plain, tmp_path: Path) -> None:
    labels = pd.DataFrame({"arousal": [0.1, 2.0, -3.5, 1e-9, 4.0]}, index=plain.labels.index)
    path = write(plain._replace(labels=labels), tmp_path / "t.svm")
    _, y = load_svmlight_file(str(path))
    np.testing.assert_array_equal(y, labels["arousal"])
