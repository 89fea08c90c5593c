"""audformat databases: ``db.yaml`` and its tables, as a manifest.

Conventions
-----------
* The table with a column ``emotion`` gives the rows; of several, one is named with `table`, or all
  are taken if each belongs to another split of the header (column `split`).
* The speaker, and what else is known of a recording (sex, language, age, text), comes from the same
  table or from any other that knows the file. What the speaker's scheme says of a speaker (gender,
  age, language) is taken too.
* Tables are CSV or Parquet; pickles are never opened. The header is YAML without anchors, so that
  it cannot grow while it is read.

Sources
-------
audEERING, audformat 1.4, "Specifications".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serfeat.errors import ManifestError, MissingExtraError, did_you_mean
from serfeat.files import inside
from serfeat.imports.lines import checked_file, whole_characters
from serfeat.labels import UNLABELLED, normalise, normalise_sex
from serfeat.manifest import NUMBERS, Card, Manifest, rows_from_records
from serfeat.store.tables import read_arrow

__all__ = ["read_audformat"]

HEADER = 4 << 20  # bytes of db.yaml
LONGEST_NAME = 240  # bytes of a table's name: file systems take 255, with what stands around it
TABLE = 1 << 30  # bytes of a table
DEPTH = 12  # levels of the header; audformat has six
# their column -> ours
_OURS = {"gender": "sex", "transcription": "text_id"}
_KEPT = ("speaker", "sex", "gender", "language", "age", "transcription", "text_id", "session")
_FROM_SPEAKER = ("sex", "gender", "language", "age")


def read_audformat(
    path: Path, root: Path | None, label_map: Mapping[str, str] | None, *, table: str = ""
) -> Manifest:
    """Read a database.

    Parameters
    ----------
    path : its folder, or its ``db.yaml``.
    table : the table with the emotions, if there are several.

    Raises
    ------
    ManifestError : what is wrong, with its file.
    UnknownNameError : no such table; a label outside the vocabulary.
    MissingExtraError : PyYAML is not installed.
    """
    folder = path.parent if path.is_file() else path
    header = _header(folder / "db.yaml")
    base = root if root is not None else folder
    tables = _mapping(header, "tables")
    chosen = _chosen(tables, table, folder)
    facts = _facts(folder, tables)
    people = _people(folder, header)
    records = []
    for name in chosen:
        split = str(tables[name].get("split_id") or "")
        place, rows = _rows(folder, name)
        for column in ("file", "emotion"):
            if column not in rows:
                raise ManifestError(f"no column {column!r}", where=place, code=f"no-{column}")
        for i, row in enumerate(rows.to_dict("records"), 2):
            where = f"{place}, row {i}"
            about = {**facts.get(str(row["file"]), {}), **_known(row)}
            about = {**people.get(str(about.get("speaker", "")), {}), **about}
            records.append(_record(row, about, split, base, label_map, where))
    if not records:
        raise ManifestError("no rows", where=folder, code="no-rows")
    name = str(header.get("name") or folder.name)
    for record in records:
        record["corpus"] = name
    languages = header.get("languages")
    card = Card(
        name,
        title=str(header.get("description") or "")[:500],
        language=", ".join(map(str, languages)) if isinstance(languages, list) else "",
        licence=str(header.get("license") or header.get("usage") or ""),
        licence_url=str(header.get("license_url") or ""),
        homepage=str(header.get("source") or ""),
    )
    return Manifest(rows_from_records(records), base, name, card)


def _header(path: Path) -> dict[str, Any]:
    """The header, without anchors, and no deeper than audformat's."""
    try:
        import yaml
    except ImportError:
        raise MissingExtraError.of("pyyaml", "audformat", "reading an audformat database") from None
    try:
        text = checked_file(path, largest=HEADER).read_text(encoding="utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            whole_characters(getattr(event, "value", ""))
            if isinstance(event, yaml.AliasEvent) or depth > DEPTH:
                line = event.start_mark.line + 1
                raise ManifestError(
                    "an anchor or too many levels",
                    where=f"{path}, line {line}",
                    code="not-audformat",
                )
        header = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ManifestError):
            raise
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark is not None else path
        reason = str(getattr(error, "problem", "") or error).splitlines()[0]
        raise ManifestError(f"not YAML: {reason}", where=where, code="not-yaml") from None
    if not isinstance(header, dict):
        raise ManifestError("no header", where=path, code="not-audformat")
    return header


def _mapping(header: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """A part of the header: name -> mapping."""
    found = header.get(key) or {}
    if not isinstance(found, dict):
        raise ManifestError(f"{key} is no mapping", where="db.yaml", code="not-audformat")
    return {str(k): v if isinstance(v, dict) else {} for k, v in found.items()}


def _chosen(tables: Mapping[str, Mapping[str, Any]], table: str, folder: Path) -> list[str]:
    """The tables that the emotions come from."""
    if table:
        if table not in tables:
            raise did_you_mean("table", table, tables, where=folder)
        return [table]
    having = [n for n, t in tables.items() if "emotion" in (t.get("columns") or {})]
    splits = [tables[n].get("split_id") for n in having]
    if len(having) == 1 or (having and None not in splits and len(set(splits)) == len(splits)):
        return having
    raise ManifestError(
        f"{len(having)} tables have a column 'emotion': {', '.join(having) or 'none'}"[:300],
        where=folder / "db.yaml",
        code="no-emotion",
        fix=f"name one of its tables: {', '.join(tables)}"[:300],
    )


def _rows(folder: Path, name: str) -> tuple[Path, pd.DataFrame]:
    """A table as columns, from Parquet or CSV; what is text there stays text.

    Raises
    ------
    ManifestError : no such table, or it cannot be read.
    """
    if not re.fullmatch(r"[\w.+-]+", name) or len(name.encode()) > LONGEST_NAME:
        shown = f"{name[:40]}..." if len(name) > 43 else name
        raise ManifestError(f"table {shown!r} is no file name", where=folder, code="outside-root")
    place = folder / f"db.{name}.parquet"
    if not place.is_file():
        place = folder / f"db.{name}.csv"
    checked_file(place, largest=TABLE)
    try:
        if place.suffix == ".csv":
            return place, pd.read_csv(place, dtype=str, keep_default_na=False, encoding="utf-8")
        read = read_arrow(place)
        return place, pd.DataFrame({c: _column(read[c]) for c in read.column_names})
    except (ValueError, OSError, NotImplementedError) as error:  # Arrow's errors are of these
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ManifestError(f"cannot be read ({reason})", where=place, code="unreadable") from None


def _column(read: Any) -> Any:
    """A column of Arrow's; whole numbers stay whole where some are missing (speaker 3, not 3.0)."""
    import pyarrow as pa

    if pa.types.is_dictionary(read.type):
        read = read.cast(read.type.value_type)
    whole = pd.Int64Dtype() if pa.types.is_signed_integer(read.type) else pd.UInt64Dtype()
    return read.to_pandas(types_mapper=lambda t: whole if pa.types.is_integer(t) else None)


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says of the recording, under our names."""
    return {_OURS.get(k, k): row[k] for k in _KEPT if k in row and not _empty(row[k])}


def _empty(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or value == "" or value != value


def _facts(folder: Path, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """File -> what other tables say of it."""
    found: dict[str, dict[str, Any]] = {}
    for name, about in tables.items():
        if not set(about.get("columns") or {}).intersection(_KEPT):
            continue
        rows = _rows(folder, name)[1]
        for row in rows.to_dict("records") if "file" in rows else ():
            whole = _empty(row.get("end")) and not _seconds(row.get("start"), 0.0, name)
            if whole:  # what is said of a segment is not said of the file
                found.setdefault(str(row["file"]), {}).update(_known(row))
    return found


def _people(folder: Path, header: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Speaker -> what the scheme says of the person: in the header, or in a table of its own."""
    labels = _mapping(header, "schemes").get("speaker", {}).get("labels")
    if isinstance(labels, dict):
        return {str(k): _person(v) for k, v in labels.items() if isinstance(v, dict)}
    misc = _mapping(header, "misc_tables")
    if isinstance(labels, str) and labels in misc:
        levels = misc[labels].get("levels")
        key = str(next(iter(levels))) if isinstance(levels, dict | list) and levels else "speaker"
        rows = _rows(folder, labels)[1]
        if key in rows:
            return {str(r[key]): _person(r) for r in rows.to_dict("records")}
    return {}


def _person(said: Mapping[str, Any]) -> dict[str, Any]:
    return {_OURS.get(k, k): said[k] for k in _FROM_SPEAKER if k in said and not _empty(said[k])}


def _record(
    row: Mapping[str, Any],
    about: Mapping[str, Any],
    split: str,
    base: Path,
    label_map: Mapping[str, str] | None,
    where: str,
) -> dict[str, Any]:
    """A row of the manifest."""
    emotion = row["emotion"]
    record: dict[str, Any] = {
        "file": inside(str(row["file"]), base, where=where),
        "start": _seconds(row.get("start"), 0.0, where),
        "end": _seconds(row.get("end"), np.nan, where),
        "corpus": "",
        "speaker": str(about.get("speaker", "")),
        "emotion": UNLABELLED
        if _empty(emotion)
        else normalise(str(emotion), label_map=label_map, where=where),
    }
    if "sex" in about:
        record["sex"] = normalise_sex(str(about["sex"]), where=where)
    for name in ("language", "text_id", "session"):
        if name in about:
            record[name] = str(about[name])
    for name in NUMBERS:
        value = row.get(name, about.get(name))
        if not _empty(value):
            record[name] = _number(value, where)
    if split:
        record["split"] = split
    return record


def _number(value: Any, where: str) -> float:
    """A number; a duration counts in seconds."""
    if isinstance(value, pd.Timedelta) or (isinstance(value, str) and "day" in value):
        return _seconds(value, np.nan, where)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ManifestError(f"{value!r} is no number", where=where, code="not-a-number") from None


def _seconds(value: Any, default: float, where: str) -> float:
    if _empty(value):
        return default
    try:
        return float(pd.Timedelta(value).total_seconds())
    except (TypeError, ValueError):
        raise ManifestError(f"{value!r} is no time", where=where, code="bad-times") from None
