"""Commands of clusters: job-script."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serfeat.cli.reading import Features, Level
from serfeat.cli.screen import app, out


@app.command(
    "job-script",
    epilog="Example: serfeat job-script slurm corpus.csv -o features.parquet --parts 100 > job.sh",
)
def job_script(
    scheduler: Annotated[str, typer.Argument(help="slurm, pbs, sge or lsf")],
    source: Annotated[Path, typer.Argument(help="Manifest or folder of audio, as jobs see it.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Table of the whole, .parquet or .csv")
    ] = Path("features.parquet"),
    parts: Annotated[int, typer.Option(help="Jobs: parts of the recordings.")] = 10,
    features: Features = "classic",
    level: Level = "functionals",
    store: Annotated[
        Path | None,
        typer.Option(help="Folder that all jobs share; default: SERFEAT_CACHE where they run."),
    ] = None,
    cores: Annotated[int, typer.Option(help="Of a job.")] = 1,
    memory: Annotated[int, typer.Option(help="GB of a job.")] = 4,
    hours: Annotated[int, typer.Option(help="Time limit of a job.")] = 4,
) -> None:
    """Print the script of an array of jobs that extract features on a cluster (docs/scale.md)."""
    from serfeat.engines.schedulers import job_script as script_of
    from serfeat.feature_sets import feature_set

    feature_set(features)  # a word that is wrong is known now, not in a hundred jobs
    text = script_of(
        scheduler, source, output, parts=parts, features=features, level=level, store=store,
        cores=cores, memory=memory, hours=hours,
    )  # fmt: skip
    out.print(text, end="", markup=False)
