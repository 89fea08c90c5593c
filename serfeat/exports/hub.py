"""A folder that Hugging Face `datasets` loads: Parquet below ``data/`` and a dataset card.

Conventions
-----------
* One row per clip: file, start, end (s), labels, columns. Text labels with classes are ClassLabel
  (int64, null where there is none); the speaker and other codes stay text. Frames are lists of
  float32, one per column, and `time`.
* A label ``split`` makes one Parquet per split, else all rows are ``train``.
* ``README.md`` begins with the YAML that the hub reads (features, splits, where the files are) and
  says units, provenance and licence. `serfeat.json` holds the same for programs.

Sources
-------
Hugging Face, "Dataset cards", "Repository structure", "Manual configuration"; `datasets`,
``features.py`` (the schema's metadata).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from serfeat.errors import printable
from serfeat.exports.content import Content, label_text, refuse, seconds
from serfeat.exports.folders import committed_folder, side_car_of

__all__ = ["write_huggingface"]

CLASSES = ("emotion", "sex")  # text labels that are classes; the others are codes


def write_huggingface(content: Content, path: Path) -> None:
    """Write the folder.

    Raises
    ------
    StoreError : a split that cannot be a file name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = [str(c) for c in content.labels]
    fields = _fields(content, labels)
    metadata = {"info": {"features": {name: entry for name, _, entry, _ in fields}}}
    about: dict[str, Any] = {"huggingface": json.dumps(metadata)}
    if content.level == "lld":
        about = {}  # the lists' words differ between versions; the schema says all there is
    schema = pa.schema([(n, t) for n, t, _, _ in fields]).with_metadata(about)
    table = pa.table([values for *_, values in fields], schema=schema)
    splits = _splits(content, path)
    with committed_folder(path, side_car_of(content, "huggingface")) as folder:
        (folder / "data").mkdir()
        for split, rows in splits.items():
            place = folder / "data" / f"{split}-00000-of-00001.parquet"
            pq.write_table(table.take(pa.array(rows)), place, compression="zstd")
        sizes = {split: len(rows) for split, rows in splits.items()}
        card = _card(content, [(n, e) for n, _, e, _ in fields], sizes)
        (folder / "README.md").write_text(card, encoding="utf-8")


def _fields(content: Content, labels: list[str]) -> list[tuple[str, Any, dict[str, Any], Any]]:
    """(name, Arrow type, entry of `datasets`, values) of every column."""
    import pyarrow as pa

    def value(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "_type": "Value"}

    fields: list[tuple[str, Any, dict[str, Any], Any]] = [
        ("file", pa.string(), value("string"), pa.array(content.files, pa.string()))
    ]
    for name in ("start", "end"):
        times = pa.array(seconds(content.times(name)), pa.float64(), from_pandas=True)
        fields.append((name, pa.float64(), value("float64"), times))
    for name in labels:
        fields.append(_label_field(content, name))
    offsets = pa.array(content.offsets.astype(np.int32))
    lists = content.level == "lld"
    if lists:
        times = pa.ListArray.from_arrays(offsets, pa.array(seconds(content.times("time"))))
        entry = {"feature": value("float64"), "_type": "Sequence"}
        fields.append(("time", times.type, entry, times))
    dtype = "float32" if content.values.dtype == np.float32 else "float64"
    for i, column in enumerate(content.columns):
        # NaN stays NaN: an undefined number is a number of the table, a null would be none
        values: Any = pa.array(np.ascontiguousarray(content.values[:, i]), from_pandas=False)
        entry = value(dtype)
        if lists:
            values = pa.ListArray.from_arrays(offsets, values)
            entry = {"feature": entry, "_type": "Sequence"}
        fields.append((column, values.type, entry, values))
    return fields


def _label_field(content: Content, name: str) -> tuple[str, Any, dict[str, Any], Any]:
    import pyarrow as pa

    classes = content.classes(name)
    if classes is None:
        numbers = pa.array(content.codes(name), pa.float64(), from_pandas=True)
        return name, pa.float64(), {"dtype": "float64", "_type": "Value"}, numbers
    if name in CLASSES and classes:
        codes = content.codes(name)
        known = [None if np.isnan(c) else int(c) for c in codes]
        return name, pa.int64(), {"names": classes, "_type": "ClassLabel"}, pa.array(known)
    texts = pa.array([label_text(v) or None for v in content.labels[name]], pa.string())
    return name, pa.string(), {"dtype": "string", "_type": "Value"}, texts


def _splits(content: Content, path: Path) -> dict[str, list[int]]:
    """Split -> its clips, in the order of the table."""
    if "split" not in content.labels:
        return {"train": list(range(len(content.clips)))}
    found: dict[str, list[int]] = {}
    for i, text in enumerate(map(label_text, content.labels["split"])):
        split = text or "train"
        if not re.fullmatch(r"\w+(\.\w+)*", split, re.ASCII):
            raise refuse(f"split {split!r} cannot be a file name", "name", where=path)
        found.setdefault(split, []).append(i)
    return found


def _card(content: Content, fields: list[tuple[str, dict[str, Any]]], sizes: dict[str, int]) -> str:
    """The dataset card: YAML between dashes, then Markdown. A JSON text is also a YAML text."""
    lines = ["---", "pretty_name: Features of speech", "license: other", "configs:"]
    lines += ["- config_name: default", "  data_files:"]
    for split in sizes:
        lines += [f"  - split: {json.dumps(split)}", f"    path: {json.dumps(f'data/{split}-*')}"]
    lines += ["dataset_info:", "  features:"]
    for name, entry in fields:
        lines += [f"  - name: {json.dumps(name)}", *_yaml_type(entry)]
    lines += ["  splits:"]
    for split, size in sizes.items():
        lines += [f"  - name: {json.dumps(split)}", f"    num_examples: {size}"]
    corpus = content.provenance.get("corpus") or {}
    said = {
        "Corpus": corpus.get("name", ""),
        "Licence of the recordings": corpus.get("licence", ""),
        "Feature set": content.provenance.get("features", ""),
        "Licence of the features": content.provenance.get("licence", ""),
    }
    lines += ["---", "", "# Features of speech", ""]
    if corpus.get("synthetic"):
        lines += ["**Synthetic speech: these numbers say nothing about people.**", ""]
    lines += [f"* {key}: {_plain(value)}" for key, value in said.items() if value]
    lines += ["", "| column | unit |", "|---|---|"]
    lines += [f"| {_plain(c)} | {_plain(content.units[c])} |" for c in content.columns]
    return "\n".join([*lines, "", "How the numbers were made is in `serfeat.json`.", ""])


def _yaml_type(entry: dict[str, Any]) -> list[str]:
    if entry["_type"] == "ClassLabel":
        names = [f"        '{i}': {json.dumps(n)}" for i, n in enumerate(entry["names"])]
        return ["    dtype:", "      class_label:", "        names:", *(f"  {n}" for n in names)]
    if entry["_type"] == "Sequence":
        return [f"    sequence: {entry['feature']['dtype']}"]
    return [f"    dtype: {entry['dtype']}"]


def _plain(value: object) -> str:
    """Text that Markdown and HTML leave alone."""
    special = str.maketrans({c: f"\\{c}" for c in "\\|`*_[]"} | {"<": "&lt;", "&": "&amp;"})
    return printable(str(value)).translate(special)
