"""An audformat database: ``db.yaml`` and one CSV per table.

Conventions
-----------
* Table ``features``: the columns, scheme ``feature`` (float), the unit in each column's
  description. Table ``labels``: the labels; text with classes has a scheme of its own with the
  classes (emotion, sex), numbers are floats, other text is text.
* Segmented tables (file, start, end as ``0 days 00:00:01.5``); whole files only make filewise ones.
* Clips only: audformat has no frames. Names in the header are JSON texts, which YAML reads as such.

Sources
-------
audEERING, audformat 1.4, "Specifications": header, tables, schemes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from serfeat.exports.content import Content, label_text, number_rows, refuse
from serfeat.exports.folders import committed_folder, side_car_of, write_rows

__all__ = ["write_audformat"]

CLASSES = ("emotion", "sex")  # text labels that get a scheme with their classes


def write_audformat(content: Content, path: Path) -> None:
    """Write the folder.

    Raises
    ------
    StoreError : a label that is called like the scheme of the columns.
    """
    labels = [str(c) for c in content.labels]
    if "feature" in labels:  # the scheme of the columns
        raise refuse("a label cannot be called 'feature' here", "columns", where=path)
    index = _index(content)
    with committed_folder(path, side_car_of(content, "audformat")) as folder:
        (folder / "db.yaml").write_text(_header(content, labels, len(index)), encoding="utf-8")
        rows = number_rows(content, missing="", where=path)
        tall = ([*k, *r] for k, r in zip(zip(*index.values(), strict=True), rows, strict=True))
        write_rows(folder / "db.features.csv", [*index, *content.columns], tall)
        if labels:
            texts = {name: [label_text(v) for v in content.labels[name]] for name in labels}
            columns = {**index, **texts}
            write_rows(folder / "db.labels.csv", columns, zip(*columns.values(), strict=True))


def _index(content: Content) -> dict[str, list[str]]:
    """The levels as text: file alone where every clip is a whole file."""
    start, end = content.times("start"), content.times("end")
    if (start == pd.Timedelta(0)).all() and end.isna().all():
        return {"file": content.files}
    return {"file": content.files, "start": _times(start), "end": _times(end)}


def _times(times: pd.TimedeltaIndex) -> list[str]:
    """Pandas' text of a duration, exact to the nanosecond; NaT is empty."""
    return ["" if t is pd.NaT else str(t) for t in times]


def _header(content: Content, labels: list[str], levels: int) -> str:
    """The header as YAML."""
    corpus = content.provenance.get("corpus") or {}
    name = str(corpus.get("name") or "features")
    about = json.dumps(dict(content.provenance), default=str)
    licence = f"recordings: {corpus.get('licence', 'not stated')}; features: " + str(
        content.provenance.get("licence", "not stated")
    )
    kind = "filewise" if levels == 1 else "segmented"
    lines = [
        f"name: {json.dumps(name)}",
        f"description: {json.dumps('Features of speech, made by serfeat: ' + about)}",
        "source: serfeat",
        "usage: other",
        f"license: {json.dumps(licence)}",
        "schemes:",
        "  feature: {dtype: float}",
        *_schemes(content, labels),
        "tables:",
        "  features:",
        f"    type: {kind}",
        "    columns:",
    ]
    for column in content.columns:
        said = {"scheme_id": "feature"}
        if content.units[column]:
            said["description"] = f"unit: {content.units[column]}"
        lines.append(f"      {json.dumps(column)}: {json.dumps(said)}")
    if labels:
        lines += ["  labels:", f"    type: {kind}", "    columns:"]
        for label in labels:
            lines.append(f"      {json.dumps(label)}: {json.dumps({'scheme_id': label})}")
    return "\n".join(lines) + "\n"


def _schemes(content: Content, labels: list[str]) -> Iterator[str]:
    for label in labels:
        classes = content.classes(label)
        scheme: dict[str, object] = {"dtype": "float" if classes is None else "str"}
        if label in CLASSES and classes:
            scheme["labels"] = classes
        yield f"  {json.dumps(label)}: {json.dumps(scheme)}"
