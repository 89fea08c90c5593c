"""From recordings to tables: list, corpora, fetch, manifest, check, extract, segment, agree."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serfeat.cli import words
from serfeat.cli.codes import after_failures
from serfeat.cli.document import print_json, records
from serfeat.cli.reading import (
    HOUR,
    AllowTruncated,
    Encoding,
    Features,
    Follow,
    Level,
    MaxDuration,
    MaxMissing,
    most_missing,
)
from serfeat.cli.screen import (
    AsJson,
    Consent,
    Jobs,
    Quiet,
    Root,
    app,
    consent,
    err,
    out,
    present,
    print_failures,
    print_frame,
    probe,
    progress_bars,
    words_of,
)
from serfeat.errors import FeatureError, did_you_mean

if TYPE_CHECKING:
    from serfeat.extraction import Extraction

LEAST_SR, LARGEST_SR = 4000, 192_000  # Hz that `extract` works at


@app.command("list", epilog="Example: serfeat list features")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="descriptors, features, functionals, models, protocols, corpora or formats",
            autocompletion=words.one_of("lists"),
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Print what there is, with units and sources.

    With --json: a list of objects, one a row; their names are the headings, _ for a blank.
    """
    from serfeat.listing import LISTS, shown

    if what not in LISTS:
        raise did_you_mean("list", what, LISTS)
    if as_json:
        print_json(LISTS[what]())
    else:
        out.print(shown(LISTS[what]()))


@app.command(epilog="Example: serfeat corpora")
def corpora(as_json: AsJson = False) -> None:
    """Print the corpora that serfeat reads: licence, size, how to get each."""
    list_("corpora", as_json)


@app.command(epilog="Example: serfeat fetch emodb")
def fetch(
    corpus: Annotated[
        str,
        typer.Argument(help="Name, see `serfeat corpora`.", autocompletion=words.corpora),
    ],
    folder: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where it goes; default: the cache folder."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licence that is shown.")] = False,
    quiet: Quiet = False,
) -> None:
    """Download a corpus: licence first, resumed where it stopped, checksum at the end."""
    from serfeat.corpora import find_corpus
    from serfeat.corpora.fetch import fetch as fetch_corpus

    card = find_corpus(corpus).card
    if card is not None:
        out.print(f"{card.title}\nLicence: {card.licence} {card.licence_url}", markup=False)
    accepted = yes or (sys.stdin.isatty() and typer.confirm("Do you accept this licence?"))
    with progress_bars(quiet=quiet) as report:
        place = fetch_corpus(
            corpus,
            folder,
            accept_licence=accepted,
            progress=lambda done, total: report(f"download {corpus} (bytes)", done, total),
        )
    out.print(f"{corpus} is in {place}", markup=False)


@app.command(epilog="Example: serfeat manifest folders my_speech/ -o speech.csv")
def manifest(
    corpus: Annotated[
        str,
        typer.Argument(
            help="Name, see `serfeat corpora`; or `folders`.", autocompletion=words.corpora
        ),
    ],
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

    probe(output)
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


@app.command(epilog="Example: serfeat check speech.csv")
def check(
    manifest: Annotated[Path, typer.Argument(help="Manifest to check.")],
    root: Root = None,
    full: Annotated[bool, typer.Option(help="Decode every file (duplicates, damage).")] = True,
    encoding: Encoding = "utf-8",
    follow: Follow = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a manifest against its audio and its card.

    With --json: {manifest, ok, counts: [{speaker, <emotion>: n}], summary, notes, warnings,
    errors}.
    """
    from serfeat.corpora.check import check_manifest
    from serfeat.manifest_csv import read_manifest

    with progress_bars(quiet=quiet) as report:
        result = check_manifest(
            replace(read_manifest(manifest, root=root, encoding=encoding), follow=follow),
            decode="full" if full else "info",
            progress=lambda done, total: report("files", done, total),
        )
    if as_json:
        said = ("ok", "counts", "summary", "notes", "warnings", "errors")
        print_json({"manifest": manifest, **{name: getattr(result, name) for name in said}})
        raise typer.Exit(0 if result.ok else 2)
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


@app.command(epilog="Example: serfeat extract my_speech/ -o features.csv --features prosody")
def extract(
    source: Annotated[Path, typer.Argument(help="Manifest, folder of audio, or audio file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".parquet or .csv")],
    features: Features = "classic",
    level: Level = "functionals",
    functionals: Annotated[
        str,
        typer.Option(
            help="In place of the set's: mean,p50,mean_voiced (docs/descriptors.md)",
            autocompletion=words.list_of("functionals"),
        ),
    ] = "",
    prepare: Annotated[
        str,
        typer.Option(
            help="Applied to the samples first, in place of the set's: mmse, log_mmse, madd",
            autocompletion=words.list_of("preparations"),
        ),
    ] = "",
    backend: Annotated[
        str,
        typer.Option(
            help="praat, librosa or opensmile: theirs for the families they have.",
            autocompletion=words.one_of("backends"),
        ),
    ] = "",
    sr: Annotated[
        int | None,
        typer.Option(
            min=LEAST_SR,
            max=LARGEST_SR,
            help="Hz; another working rate than the set's, such as 8000 for calls.",
        ),
    ] = None,
    shard: Annotated[
        str, typer.Option(help="This part of the recordings: 3/8; the parts are made anywhere.")
    ] = "",
    engine: Annotated[
        str, typer.Option(help="processes or dask", autocompletion=words.one_of("engines"))
    ] = "processes",
    address: Annotated[str, typer.Option(help="Scheduler of the dask engine.")] = "",
    jobs: Jobs = 1,
    max_failures: Annotated[int, typer.Option(min=0, help="More than these: exit code 2.")] = 0,
    max_missing: MaxMissing = "-1",
    max_duration: MaxDuration = HOUR,
    allow_truncated: AllowTruncated = False,
    encoding: Encoding = "utf-8",
    follow: Follow = False,
    accept_opensmile_licence: Consent = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compute a feature set on every recording and write the table.

    With --json: {output (null: nothing written), features, level, clips, columns,
    seconds_of_audio, computed, known, seconds, flags: {flag: clips}, failures: [{file, ...}],
    synthetic}.
    """
    if level not in {"functionals", "lld"}:
        raise did_you_mean("level", level, ["functionals", "lld"])
    if engine not in words.WORDS["engines"]:  # also where all is known and none is needed
        raise did_you_mean("engine", engine, words.WORDS["engines"])
    if output.suffix not in {".parquet", ".csv"}:
        raise did_you_mean("format", output.suffix or "(none)", [".parquet", ".csv"], where=output)
    if address and engine != "dask":
        raise FeatureError(
            f"the engine {engine} has no scheduler",
            where="--address",
            code="bad-setting",
            fix="leave it out, or add --engine dask",
        )
    present(source)
    if jobs != 1 and engine == "processes":  # while this one imports and reads the manifest
        from serfeat.engines import ahead

        ahead("serfeat.clips")

    from serfeat.audio import Limits
    from serfeat.backends import with_backend
    from serfeat.extract import as_manifest
    from serfeat.extract import extract as extract_features
    from serfeat.feature_sets import feature_set
    from serfeat.shards import read_shard
    from serfeat.shards import shard as shard_of
    from serfeat.store import write_table

    probe(output, source)
    consent(accept_opensmile_licence)
    chosen = feature_set(features)
    if prepare:  # a set may have its own
        chosen = replace(chosen, prepare=words_of(prepare))
    if sr:
        chosen = replace(chosen, sr=sr)
    if functionals and (level == "lld" or chosen.external):
        found = "the level lld has a row per frame" if level == "lld" else f"{features} has its own"
        raise FeatureError(
            f"{found}, and no functionals to choose",
            where="--functionals",
            code="bad-setting",
            fix="leave it out",
        )
    if functionals:
        chosen = replace(chosen, functionals=words_of(functionals), keep=(), sparse=False)
    recordings = as_manifest(source, encoding=encoding, follow=follow)
    if shard:
        recordings = shard_of(recordings, *read_shard(shard))
    with progress_bars(quiet=quiet) as report:
        result = extract_features(
            recordings,
            with_backend(chosen, backend),
            level=level,  # type: ignore[arg-type]
            jobs=jobs,
            progress=lambda done, total: report(f"features {features}", done, total),
            isolated=True,
            engine=engine,
            address=address,
            limits=Limits(allow_truncated, max_duration),
            max_missing=most_missing(max_missing),
        )
    if len(result.index):
        write_table(result.table, output, units=result.units, provenance=result.provenance)
    failures = output.with_name(f"{output.stem}.failures.csv")
    for old in (failures, failures.with_name(f"{failures.name}.json")):
        old.unlink(missing_ok=True)  # of the run before
    if result.failures:
        write_table(result.failures_table, failures)
        print_failures(result.failures, failures)
    if as_json:
        print_json(_summary(result, output, features, level))
    else:
        _say(result, output)
    raise typer.Exit(after_failures(result.failures, max_failures))


def _say(result: Extraction, output: Path) -> None:
    """Print what an extraction did."""
    speed = (
        f", {result.computed_audio / result.seconds:.0f} s of audio per second"
        if result.computed
        else ""
    )
    older = f"; {output} is of an earlier run" if output.exists() else ""
    where = f"-> {output}" if len(result.index) else f"(nothing written{older})"
    kept = len(result.index) - result.computed
    stored = f"; {kept} were known" if kept > 0 else ""
    out.print(
        f"{len(result.index)} clips ({result.seconds_of_audio:.0f} s of audio), "
        f"{len(result.failures)} failures, {len(result.units)} columns {where} "
        f"({result.computed} computed in {result.seconds:.1f} s{speed}{stored})",
        markup=False,
    )
    for flag, count in _flags(result).items():
        out.print(f"flag: {count} x {flag}", markup=False)
    if result.corpus["synthetic"]:
        out.print("SYNTHETIC SPEECH: these numbers say nothing about people.")


def _summary(result: Extraction, output: Path, features: str, level: str) -> dict[str, Any]:
    """Return what an extraction did, for a program."""
    return {
        "output": output if len(result.index) else None,
        "features": features,
        "level": level,
        "clips": len(result.index),
        "columns": len(result.units),
        "seconds_of_audio": result.seconds_of_audio,
        "computed": result.computed,
        "known": len(result.index) - result.computed,
        "seconds": result.seconds,
        "flags": _flags(result),
        "failures": records(result.failures_table),
        "synthetic": bool(result.corpus["synthetic"]),
    }


def _flags(result: Extraction) -> Counter[str]:
    """How many clips have each flag."""
    return Counter(f for text in result.flags for f in text.split("; ") if f)


@app.command(epilog="Example: serfeat segment speech.csv -o stretches.csv")
def segment(
    manifest: Annotated[Path, typer.Argument(help="Manifest of the recordings.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV to write.")],
    method: Annotated[
        str,
        typer.Option(help="three_way, sohn or silero", autocompletion=words.one_of("detectors")),
    ] = "three_way",
    min_speech: Annotated[float, typer.Option(help="s; shorter speech is dropped.")] = 0.1,
    min_pause: Annotated[float, typer.Option(help="s; shorter pauses stay inside.")] = 0.15,
    margin: Annotated[float, typer.Option(help="s kept on either side of speech.")] = 0.0,
    root: Root = None,
    encoding: Encoding = "utf-8",
    follow: Follow = False,
    allow_truncated: AllowTruncated = False,
    max_duration: MaxDuration = HOUR,
    quiet: Quiet = False,
) -> None:
    """Find the speech in every recording: a manifest with one row per stretch of speech."""
    from serfeat.audio import Limits
    from serfeat.manifest_csv import read_manifest, write_manifest
    from serfeat.segments import segment_manifest

    probe(output, manifest)
    recordings = read_manifest(manifest, root=root, require=(), encoding=encoding)
    with progress_bars(quiet=quiet) as report:
        found = segment_manifest(
            replace(recordings, follow=follow),
            method=method,
            min_speech=min_speech,
            min_pause=min_pause,
            margin=margin,
            limits=Limits(allow_truncated, max_duration),
            report=report,
        )
    for row in found.failures.reset_index().to_dict("records"):
        out.print(f"failed: {row['message']}", markup=False)
    write_manifest(found.manifest, output)
    out.print(f"{len(found.manifest.rows)} stretches of speech -> {output}", markup=False)
    if len(found.failures):
        raise typer.Exit(2)


@app.command(epilog="Example: serfeat agree speech.csv --backend praat")
def agree(
    manifest: Annotated[Path, typer.Argument(help="Manifest, folder or audio file.")],
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="praat, librosa, opensmile; default: all there are.",
            autocompletion=words.one_of("backends"),
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Clips, evenly spread; 0 takes all.")] = 50,
    output: Annotated[Path | None, typer.Option("-o", "--output", help=".csv")] = None,
    root: Root = None,
    encoding: Encoding = "utf-8",
    follow: Follow = False,
    jobs: Jobs = 1,
    accept_opensmile_licence: Consent = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Print how far our descriptors and other programs' differ, column by column.

    With --json: the rows of `serfeat.agree.agree`.
    """
    from serfeat.agree import agree as compare_with
    from serfeat.agree import shown
    from serfeat.extract import as_manifest
    from serfeat.files import committed
    from serfeat.manifest_csv import read_manifest

    if output is not None and output.suffix != ".csv":
        raise did_you_mean("format", output.suffix or "(none)", [".csv"], where=output)
    if output is not None:
        probe(output, manifest)
    consent(accept_opensmile_licence)
    if manifest.suffix == ".csv":
        corpus = read_manifest(manifest, root=root, require=(), encoding=encoding)
    else:  # a folder, a recording
        corpus = as_manifest(present(manifest))
    corpus = replace(corpus, follow=follow)
    with progress_bars(quiet=quiet) as report:
        table = compare_with(
            corpus,
            backends=backend or None,
            limit=limit or None,
            jobs=jobs,
            progress=lambda done, total: report("clips", done, total),
        )
    if as_json:
        print_json(table)
    else:
        _print_agreement(table, shown(table))
    if output is not None:
        with committed(output) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
        (err if as_json else out).print(f"{len(table)} rows -> {output}", markup=False)


def _print_agreement(table: Any, printed: Any) -> None:
    """Print how far two programs agree, and what is to be known of it."""
    print_frame("our descriptors against other programs", printed)
    noted = table[table["note"] != ""]
    for row in noted.drop_duplicates(["backend", "descriptor", "note"]).to_dict("records"):
        what = " ".join(filter(None, (row["backend"], row["column"])))
        out.print(": ".join(filter(None, (what, row["note"]))), markup=False)
