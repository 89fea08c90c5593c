"""Commands of stores of features: store verify, diff, compact, merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serfeat.cli.screen import app, err, out
from serfeat.listing import new_table

store = typer.Typer(help="Look after stored features.", no_args_is_help=True)
app.add_typer(store, name="store")

Where = Annotated[
    Path | None,
    typer.Argument(help="A store, or the folder above several; default: the cache."),
]


@store.command()
def verify(folder: Where = None) -> None:
    """Read every segment whole: checksums, schema, keys that disagree. Exit code 2: damage."""
    from serfeat.store import cache_folder, stores_below
    from serfeat.store import verify as verify_store

    damaged = 0
    for place in stores_below(folder or cache_folder()):
        found = verify_store(place)
        out.print(
            f"{place.name}: {found.rows} rows, {found.failures} failures in {found.segments} "
            f"segments, {found.bytes / 1e6:.1f} MB, {found.duplicates} duplicates",
            markup=False,
        )
        for name, words in found.problems:
            err.print(f"{place.name}/{name}: {words}", markup=False)
        damaged += len(found.problems)
    if damaged:
        raise typer.Exit(2)


@store.command()
def diff(
    here: Annotated[Path, typer.Argument(help="A store or a table.")],
    there: Annotated[Path, typer.Argument(help="Another.")],
    rtol: Annotated[float, typer.Option(help="Relative tolerance.")] = 0.0,
    atol: Annotated[float, typer.Option(help="Absolute tolerance.")] = 0.0,
) -> None:
    """Say how two stores or tables differ. Exit code 1: they do."""
    from serfeat.store import diff as difference

    found = difference(here, there, rtol=rtol, atol=atol)
    out.print(
        f"{found.rows} rows in both, {len(found.only_here)} only here, {len(found.only_there)} only"
        f" there; {found.bit_equal} of {found.cells} cells bit-equal, {found.beyond} beyond the "
        "tolerance",
        markup=False,
    )
    for key, (mine, other) in found.settings.items():
        out.print(f"{key}: {mine} here, {other} there", markup=False)
    for side, names in (("here", found.columns_here), ("there", found.columns_there)):
        if names:
            out.print(f"columns only {side}: {', '.join(names)}", markup=False)
    if found.worst:
        table = new_table("column", "largest difference", "cells")
        for name, (worst, cells) in list(found.worst.items())[:20]:
            table.add_row(name, f"{worst:.3g}", str(cells))
        out.print(table)
    rows_differ = found.only_here or found.only_there or found.columns_here or found.columns_there
    if found.beyond or rows_differ or found.lengths:
        raise typer.Exit(1)


@store.command()
def compact(folder: Where = None) -> None:
    """Join many small segments into few; other processes may go on adding."""
    from serfeat.store import cache_folder, stores_below
    from serfeat.store import compact as compact_store

    for place in stores_below(folder or cache_folder()):
        done = compact_store(place)
        out.print(
            f"{place.name}: {done.segments} segments -> {done.made}, {done.dropped} duplicates "
            f"dropped, {done.bytes_before / 1e6:.1f} -> {done.bytes_after / 1e6:.1f} MB",
            markup=False,
        )
        for name in done.damaged:
            err.print(f"{place.name}/{name}: cannot be read, left as it is", markup=False)


@store.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Stores, for example of several shards.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Store that they go into.")],
) -> None:
    """Copy the segments of other stores into one."""
    from serfeat.store import merge as merge_stores

    out.print(f"{merge_stores(sources, output)} files -> {output}", markup=False)
