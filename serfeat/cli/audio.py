"""From recordings to tables: list, corpora, fetch, manifest, check, extract, segment, agree."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serfeat.cli.screen import (
    Consent,
    Jobs,
    Root,
    app,
    consent,
    err,
    out,
    print_failures,
    print_frame,
    probe,
    progress_bars,
    words_of,
)
from serfeat.errors import did_you_mean

if TYPE_CHECKING:
    from serfeat.manifest import Manifest


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(help="descriptors, features, functionals, models, protocols, corpora, ..."),
    ],
) -> None:
    """Print what there is, with units and sources."""
    from serfeat.listing import LISTS

    if what not in LISTS:
        raise did_you_mean("list", what, LISTS)
    out.print(LISTS[what]())


@app.command()
def corpora() -> None:
    """Print the corpora that serfeat reads: licence, size, how to get each."""
    from serfeat.listing import LISTS

    out.print(LISTS["corpora"]())


@app.command()
def fetch(
    corpus: Annotated[str, typer.Argument(help="Name, see `serfeat corpora`.")],
    folder: Annotated[Path | None, typer.Option("-o", "--output")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licence that is shown.")] = False,
) -> None:
    """Download a corpus: licence first, resumed where it stopped, checksum at the end."""
    from serfeat.corpora import find_corpus
    from serfeat.corpora.fetch import fetch as fetch_corpus

    card = find_corpus(corpus).card
    if card is not None:
        out.print(f"{card.title}\nLicence: {card.licence} {card.licence_url}", markup=False)
    accepted = yes or (sys.stdin.isatty() and typer.confirm("Do you accept this licence?"))
    with progress_bars() as report:
        place = fetch_corpus(
            corpus,
            folder,
            accept_licence=accepted,
            progress=lambda done, total: report(f"download {corpus} (bytes)", done, total),
        )
    out.print(f"{corpus} is in {place}", markup=False)


@app.command()
def manifest(
    corpus: Annotated[str, typer.Argument(help="Name, see `serfeat corpora`; or `folders`.")],
    root: Annotated[
        Path | None, typer.Argument(help="Its folder; default: in SERFEAT_CORPORA, or as fetched.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV to write.")] = Path(
        "manifest.csv"
    ),
) -> None:
    """Write the manifest of a corpus: one row per recording, with speaker and emotion."""
    from serfeat.corpora import find_root, read_corpus
    from serfeat.manifest_csv import write_manifest

    found = read_corpus(corpus, root or find_root(corpus))
    write_manifest(found, output)
    rows = found.rows
    out.print(
        f"{len(rows)} rows, {rows['speaker'].nunique()} speakers, "
        f"{len(found.labels)} emotions -> {output}",
        markup=False,
    )
    if found.card is not None and not found.card.redistributable:
        out.print(f"The corpus's licence ({found.card.licence}) keeps these rows on your disk.")


@app.command()
def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest to check.")],
    root: Root = None,
    full: Annotated[bool, typer.Option(help="Decode every file (duplicates, damage).")] = True,
) -> None:
    """Check a manifest against its audio and its card."""
    from serfeat.corpora.check import check_manifest
    from serfeat.manifest_csv import read_manifest

    result = check_manifest(read_manifest(manifest, root=root), decode="full" if full else "info")
    print_frame("utterances per speaker and emotion", result.counts)
    for line in result.summary:
        out.print(line, markup=False)
    for line in result.notes:
        out.print(line, markup=False)
    for line in result.warnings:
        out.print(f"warning: {line}", markup=False)
    for line in result.errors:
        err.print(f"error: {line}", markup=False)
    if not result.ok:
        raise typer.Exit(2)
    out.print(f"{manifest}: good", markup=False)


@app.command()
def extract(
    source: Annotated[Path, typer.Argument(help="Manifest, folder of audio, or audio file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet or .csv")],
    features: Annotated[
        str, typer.Option(help="A set of `serfeat list features`, or descriptors: f0,formants,hnr")
    ] = "classic",
    level: Annotated[str, typer.Option(help="functionals (a row per clip) or lld")] = "functionals",
    functionals: Annotated[
        str, typer.Option(help="In place of the set's: mean,p50,mean_voiced (docs/descriptors.md)")
    ] = "",
    prepare: Annotated[
        str, typer.Option(help="Applied to the samples first: mmse, log_mmse, madd")
    ] = "",
    backend: Annotated[
        str, typer.Option(help="praat, librosa or opensmile: theirs for the families they have.")
    ] = "",
    shard: Annotated[
        str, typer.Option(help="This part of the recordings: 3/8; the parts are made anywhere.")
    ] = "",
    engine: Annotated[str, typer.Option(help="processes or dask")] = "processes",
    address: Annotated[str, typer.Option(help="Scheduler of the dask engine.")] = "",
    jobs: Jobs = 1,
    max_failures: Annotated[int, typer.Option(help="More than these: exit code 2.")] = 0,
    accept_opensmile_licence: Consent = False,
) -> None:
    """Compute a feature set on every recording and write the table."""
    from serfeat.backends import with_backend
    from serfeat.extract import as_manifest
    from serfeat.extract import extract as extract_features
    from serfeat.feature_sets import feature_set
    from serfeat.shards import read_shard
    from serfeat.shards import shard as shard_of
    from serfeat.store import write_table

    if level not in {"functionals", "lld"}:
        raise did_you_mean("level", level, ["functionals", "lld"])
    if output.suffix not in {".parquet", ".csv"}:
        raise did_you_mean("format", output.suffix or "(none)", [".parquet", ".csv"], where=output)
    probe(output)
    consent(accept_opensmile_licence)
    chosen = replace(feature_set(features), prepare=words_of(prepare))
    if functionals:
        chosen = replace(chosen, functionals=words_of(functionals), keep=(), sparse=False)
    recordings: Path | Manifest = source
    if shard:
        recordings = shard_of(as_manifest(source), *read_shard(shard))
    with progress_bars() as report:
        result = extract_features(
            recordings,
            with_backend(chosen, backend),
            level=level,  # type: ignore[arg-type]
            jobs=jobs,
            progress=lambda done, total: report(f"features {features}", done, total),
            isolated=True,
            engine=engine,
            address=address,
        )
    if len(result.index):
        write_table(result.table, output, units=result.units, provenance=result.provenance)
    if result.failures:
        failures = output.with_name(f"{output.stem}.failures.csv")
        write_table(result.failures_table, failures)
        print_failures(result.failures, failures)
    speed = (
        f", {result.computed_audio / result.seconds:.0f} s of audio per second"
        if result.computed
        else ""
    )
    where = f"-> {output}" if len(result.index) else "(nothing written)"
    kept = len(result.index) - result.computed
    stored = f"; {kept} were known" if kept > 0 else ""
    out.print(
        f"{len(result.index)} clips ({result.seconds_of_audio:.0f} s of audio), "
        f"{len(result.failures)} failures, {len(result.units)} columns {where} "
        f"({result.computed} computed in {result.seconds:.1f} s{speed}{stored})",
        markup=False,
    )
    for flag, count in Counter(f for text in result.flags for f in text.split("; ") if f).items():
        out.print(f"flag: {count} x {flag}", markup=False)
    if result.corpus["synthetic"]:
        out.print("SYNTHETIC SPEECH: these numbers say nothing about people.")
    if len(result.failures) > max_failures:
        raise typer.Exit(2)


@app.command()
def segment(
    manifest: Annotated[Path, typer.Argument(help="Manifest of the recordings.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV to write.")],
    method: Annotated[str, typer.Option(help="three_way, sohn or silero")] = "three_way",
    min_speech: Annotated[float, typer.Option(help="s; shorter speech is dropped.")] = 0.1,
    min_pause: Annotated[float, typer.Option(help="s; shorter pauses stay inside.")] = 0.15,
    margin: Annotated[float, typer.Option(help="s kept on either side of speech.")] = 0.0,
    root: Root = None,
) -> None:
    """Find the speech in every recording: a manifest with one row per stretch of speech."""
    from serfeat.manifest_csv import read_manifest, write_manifest
    from serfeat.segments import segment_manifest

    found = segment_manifest(
        read_manifest(manifest, root=root, require=()),
        method=method,
        min_speech=min_speech,
        min_pause=min_pause,
        margin=margin,
    )
    for row in found.failures.reset_index().to_dict("records"):
        out.print(f"failed: {row['message']}", markup=False)
    write_manifest(found.manifest, output)
    out.print(f"{len(found.manifest.rows)} stretches of speech -> {output}", markup=False)
    if len(found.failures):
        raise typer.Exit(2)


@app.command()
def agree(
    manifest: Annotated[Path, typer.Argument(help="Manifest of the recordings.")],
    backend: Annotated[
        list[str] | None, typer.Option(help="praat, librosa, opensmile; default: all there are.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Clips, evenly spread; 0 takes all.")] = 50,
    output: Annotated[Path | None, typer.Option("-o", "--output", help=".csv")] = None,
    root: Root = None,
    jobs: Jobs = 1,
    accept_opensmile_licence: Consent = False,
) -> None:
    """Print how far our descriptors and other programs' differ, column by column."""
    from serfeat.agree import agree as compare_with
    from serfeat.agree import shown
    from serfeat.files import committed
    from serfeat.manifest_csv import read_manifest

    if output is not None and output.suffix != ".csv":
        raise did_you_mean("format", output.suffix or "(none)", [".csv"], where=output)
    consent(accept_opensmile_licence)
    corpus = read_manifest(manifest, root=root, require=())
    with progress_bars() as report:
        table = compare_with(
            corpus,
            backends=backend or None,
            limit=limit or None,
            jobs=jobs,
            progress=lambda done, total: report("clips", done, total),
        )
    print_frame("our descriptors against other programs", shown(table))
    noted = table[table["note"] != ""]
    for row in noted.drop_duplicates(["backend", "descriptor", "note"]).to_dict("records"):
        what = " ".join(filter(None, (row["backend"], row["column"])))
        out.print(": ".join(filter(None, (what, row["note"]))), markup=False)
    if output is not None:
        with committed(output) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
        out.print(f"{len(table)} rows -> {output}", markup=False)
