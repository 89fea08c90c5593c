"""A folder for Hugging Face: read by PyArrow and a YAML parser, and by `datasets`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from serfeat.errors import StoreError
from serfeat.exports import export_table

LEVELS = pytest.mark.parametrize("level", ["clips", "frames"])


def write(given, path: Path) -> Path:
    table, units, provenance, labels = given
    export_table(
        table, path, format="huggingface", units=units, provenance=provenance, labels=labels
    )
    return path


@LEVELS
def test_parquet_and_card(request, tmp_path: Path, level: str) -> None:
    """Catches: classes in another order, -1 for no label, a NaN that becomes null."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    given = request.getfixturevalue(level)
    folder = write(given, tmp_path / "out")
    read = pq.read_table(folder / "data" / "train-00000-of-00001.parquet")
    keys = list(dict.fromkeys(k[:3] for k in given.table.index))
    assert read["file"].to_pylist() == [k[0] for k in keys]
    assert read["end"].null_count == sum(k[2] is not k[2] or str(k[2]) == "NaT" for k in keys)
    front = (folder / "README.md").read_text().split("---\n")[1]
    card = yaml.safe_load(front)
    listed = card["dataset_info"]["features"]
    assert [f["name"] for f in listed] == read.column_names
    (emotion,) = [f for f in listed if f["name"] == "emotion"]
    names = emotion["dtype"]["class_label"]["names"]
    by_key = given.labels["emotion"].to_dict()
    labels = [None if c is None else names[str(c)] for c in read["emotion"].to_pylist()]
    assert labels == [by_key[k] or None for k in keys]
    assert list(names.values()) == sorted(names.values())
    for column in given.table.columns:
        assert read[column].null_count == 0
        values = read[column].combine_chunks()
        values = values.values if level == "frames" else values
        np.testing.assert_array_equal(values.to_numpy(zero_copy_only=False), given.table[column])
    (split,) = card["dataset_info"]["splits"]
    assert split == {"name": "train", "num_examples": len(keys)}
    assert card["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    text = (folder / "README.md").read_text()
    assert "Synthetic speech" in text
    assert "<b>" not in text
    assert "| f0\\_hz\\_\\_mean | Hz |" in text
    about = json.loads((folder / "serfeat.json").read_text())
    assert about["units"] == given.units


def test_metadata_of_the_schema(clips, tmp_path: Path) -> None:
    folder = write(clips, tmp_path / "out")
    schema = pq.read_schema(folder / "data" / "train-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["emotion"] == {"names": ["anger", "fear", "sadness"], "_type": "ClassLabel"}
    assert features["f0_hz__mean"] == {"dtype": "float32", "_type": "Value"}
    assert features["speaker"] == {"dtype": "string", "_type": "Value"}


def test_splits(clips, tmp_path: Path) -> None:
    labels = clips.labels.iloc[::-1].assign(split=["train", "test", "train", "", "test"])
    folder = write(clips._replace(labels=labels), tmp_path / "out")
    train = pq.read_table(folder / "data" / "train-00000-of-00001.parquet")
    test = pq.read_table(folder / "data" / "test-00000-of-00001.parquet")
    assert (len(train), len(test)) == (3, 2)
    assert test["speaker"].to_pylist() == ["03", "11"]
    bad = labels.assign(split="../x")
    with pytest.raises(StoreError, match="cannot be a file name"):
        write(clips._replace(labels=bad), tmp_path / "other")


@LEVELS
def test_datasets_loads_it(request, tmp_path: Path, monkeypatch, level: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    given = request.getfixturevalue(level)
    folder = write(given, tmp_path / "out")
    read = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    keys = list(dict.fromkeys(k[:3] for k in given.table.index))
    assert len(read) == len(keys)
    names = read.features["emotion"].names
    labels = [None if c is None else names[c] for c in read["emotion"]]
    by_key = given.labels["emotion"].to_dict()
    assert labels == [by_key[k] or None for k in keys]
    got = np.concatenate([np.atleast_1d(np.float32(v)) for v in read["f0_hz__mean"]])
    np.testing.assert_array_equal(got, given.table["f0_hz__mean"])
