"""Commands of stores of features: store verify, diff, compact, merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serfeat.cli.document import plain, print_json
from serfeat.cli.panels import Panels
from serfeat.cli.screen import AsJson, Quiet, app, err, out, probe, progress_bars
from serfeat.listing import new_table

store = typer.Typer(
    cls=Panels,
    help="Look after stored features: verify, diff, compact, merge.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(store, name="store")

Where = Annotated[
    Path | None,
    typer.Argument(help="A store, or the folder above several; default: the cache."),
]


@store.command(epilog="Example: serfeat store verify")
def verify(folder: Where = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Read every segment whole: checksums, schema, keys that disagree. Exit code 2: damage.

    With --json: the fields of `serfeat.store.Verification`, a list with one object per store.
    """
    from serfeat.store import cache_folder, stores_below
    from serfeat.store import verify as verify_store

    places = stores_below(folder or cache_folder())
    verified = []
    with progress_bars(quiet=quiet) as report:
        for i, place in enumerate(places, 1):
            verified.append(verify_store(place))
            report("stores", i, len(places))
    damaged = sum(len(found.problems) for found in verified)
    if as_json:
        print_json(verified)
        raise typer.Exit(2 if damaged else 0)
    for place, found in zip(places, verified, strict=True):
        out.print(
            f"{place.name}: {found.rows} rows, {found.failures} failures in {found.segments} "
            f"segments, {found.bytes / 1e6:.1f} MB, {found.duplicates} duplicates",
            markup=False,
        )
        for name, words in found.problems:
            err.print(f"{place.name}/{name}: {words}", markup=False)
    if damaged:
        raise typer.Exit(2)


@store.command(epilog="Example: serfeat store diff before.parquet after.parquet --rtol 1e-6")
def diff(
    here: Annotated[Path, typer.Argument(help="A store or a table.")],
    there: Annotated[Path, typer.Argument(help="Another.")],
    rtol: Annotated[float, typer.Option(help="Relative tolerance.")] = 0.0,
    atol: Annotated[float, typer.Option(help="Absolute tolerance.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Say how two stores or tables differ. Exit code 1: they do.

    With --json: the fields of `serfeat.store.Difference`, and `differ`.
    """
    from serfeat.store import diff as difference

    found = difference(here, there, rtol=rtol, atol=atol)
    rows_differ = found.only_here or found.only_there or found.columns_here or found.columns_there
    differ = bool(found.beyond or rows_differ or found.lengths)
    if as_json:
        print_json({**plain(found), "differ": differ})
        raise typer.Exit(int(differ))
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
    if differ:
        raise typer.Exit(1)


@store.command(epilog="Example: serfeat store compact")
def compact(folder: Where = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Join many small segments into few; other processes may go on adding.

    With --json: a list of {store, segments, made, dropped, bytes_before, bytes_after, damaged}.
    """
    from serfeat.store import cache_folder, stores_below
    from serfeat.store import compact as compact_store

    places = stores_below(folder or cache_folder())
    compacted = []
    with progress_bars(quiet=quiet) as report:
        for i, place in enumerate(places, 1):
            compacted.append(compact_store(place))
            report("stores", i, len(places))
    if as_json:
        print_json([{"store": p, **plain(done)} for p, done in zip(places, compacted, strict=True)])
        return
    for place, done in zip(places, compacted, strict=True):
        out.print(
            f"{place.name}: {done.segments} segments -> {done.made}, {done.dropped} duplicates "
            f"dropped, {done.bytes_before / 1e6:.1f} -> {done.bytes_after / 1e6:.1f} MB",
            markup=False,
        )
        for name in done.damaged:
            err.print(f"{place.name}/{name}: cannot be read, left as it is", markup=False)


@store.command(epilog="Example: serfeat store merge part1/classic part2/classic -o all/classic")
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Stores, for example of several shards.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Store that they go into.")],
    as_json: AsJson = False,
) -> None:
    """Copy the segments of other stores into one.

    With --json: {files, output}.
    """
    from serfeat.store import merge as merge_stores

    probe(output, folder=True)
    files = merge_stores(sources, output)
    if as_json:
        print_json({"files": files, "output": output})
    else:
        out.print(f"{files} files -> {output}", markup=False)
