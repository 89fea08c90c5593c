"""Commands of other tools' formats: export, import."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from serfeat.cli import words
from serfeat.cli.screen import Quiet, app, out, probe, progress_bars, words_of
from serfeat.errors import SerfeatError, did_you_mean


@app.command(epilog="Example: serfeat export features.csv -o f.arff --manifest speech.csv")
def export(
    table: Annotated[Path, typer.Argument(help="A .parquet or .csv that serfeat wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File or folder to write.")],
    name: Annotated[
        str,
        typer.Option(
            "--format",
            help="See `serfeat list formats`.",
            autocompletion=words.one_of("export formats"),
        ),
    ] = "auto",
    manifest: Annotated[
        Path | None, typer.Option(help="Manifest whose columns are the labels.")
    ] = None,
    labels: Annotated[str, typer.Option(help="Its columns; the first is the target.")] = "emotion",
    quiet: Quiet = False,
) -> None:
    """Write a feature table for another tool: ARFF, LIBSVM, HTK, Kaldi, MATLAB, ..."""
    from serfeat.exports import export_file
    from serfeat.manifest_csv import read_manifest

    if name not in words.WORDS["export formats"]:
        raise did_you_mean("format", name, words.WORDS["export formats"])
    probe(output, table, manifest)
    rows = None if manifest is None else read_manifest(manifest, require=())
    with progress_bars(quiet=quiet) as report:
        done = export_file(
            table, output, format=name, manifest=rows, labels=words_of(labels),
            progress=lambda written, total: report("rows", written, total),
        )  # fmt: skip
    out.print(f"{table} -> {output} ({done})", markup=False)


@app.command("import", epilog="Example: serfeat import theirs.arff -o theirs.parquet")
def import_(
    source: Annotated[Path, typer.Argument(help="Features or a manifest of another tool.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet or .csv")],
    name: Annotated[
        str,
        typer.Option(
            "--format",
            help="See `serfeat list formats`.",
            autocompletion=words.one_of("import formats"),
        ),
    ] = "auto",
    root: Annotated[Path | None, typer.Option(help="Folder of the audio.")] = None,
) -> None:
    """Read openSMILE, ARFF, audformat, nkululeko, EmoBox or NeMo files as tables and manifests."""
    from serfeat.imports import MANIFEST_FORMATS, TABLE_FORMATS, read_manifest_of, read_table_of
    from serfeat.manifest_csv import write_manifest
    from serfeat.store import write_table

    known = ("auto", *TABLE_FORMATS, *MANIFEST_FORMATS)
    if name not in known:
        raise did_you_mean("format", name, known)
    probe(output, source)
    found = None
    if name in TABLE_FORMATS:
        found = read_table_of(source, format=name, root=root)
    elif name == "auto":  # what is no table either, the reader of manifests says
        with suppress(SerfeatError):
            found = read_table_of(source, root=root)
    if found is not None:
        write_table(found.table, output, units=found.units, provenance=found.provenance)
        for note in found.notes:
            out.print(note, markup=False)
        what = f"{len(found.table)} rows, {found.table.shape[1]} columns"
    else:
        read = read_manifest_of(source, format=name, root=root)
        write_manifest(read, output)
        what = f"{len(read.rows)} recordings"
    out.print(f"{source}: {what} -> {output}", markup=False)
