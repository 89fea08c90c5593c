"""Imports: feature tables and manifests of other programs, on our index and with our labels.

Nothing that is read can run code: CSV, ARFF, JSON, Parquet and YAML without tags, with caps on the
size of files and lines. Every error names the file and the line.

Contents
--------
`read_table_of`, `TABLE_FORMATS`, `Imported` : feature tables (openSMILE, WEKA, audformat's CSV).
`read_manifest_of`, `MANIFEST_FORMATS`       : manifests (audformat, nkululeko, EmoBox, NeMo).
"""

from __future__ import annotations

from serfeat.imports.manifests import MANIFEST_FORMATS, read_manifest_of
from serfeat.imports.tables import TABLE_FORMATS, Imported, read_table_of

__all__ = [
    "MANIFEST_FORMATS",
    "TABLE_FORMATS",
    "Imported",
    "read_manifest_of",
    "read_table_of",
]
