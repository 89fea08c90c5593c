"""Job scripts: an extraction as an array of jobs for a cluster's scheduler.

A job is a part of the manifest (`serfeat.shards`) and knows nothing of the others. So every
scheduler with numbered jobs will do, jobs may run in any order and any number at once, and a job
that was lost is submitted again under its number: what it had finished is in the store.

The jobs add to one store, on a disk that they share (``SERFEAT_CACHE``). The last line of the
script says how the whole table is written afterwards: the same command without a part, which then
computes nothing.

Contents
--------
`SCHEDULERS` : name -> its directives, and the variable with a job's number.
`job_script` : the script.

Sources
-------
The manuals of sbatch (Slurm), qsub (PBS Professional; Grid Engine) and bsub (LSF).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serfeat.errors import EngineError, did_you_mean

__all__ = ["SCHEDULERS", "Scheduler", "job_script"]


@dataclass(frozen=True)
class Scheduler:
    """How a scheduler is asked for an array of jobs.

    Parameters
    ----------
    directives : lines with {name}, {parts}, {cores}, {memory} (GB), {hours}.
    number : variable with the number of a job.
    submit : command that takes the script.
    """

    directives: tuple[str, ...]
    number: str
    submit: str


SCHEDULERS: Mapping[str, Scheduler] = {
    "slurm": Scheduler(
        (
            "#SBATCH --job-name={name}",
            "#SBATCH --array=1-{parts}",
            "#SBATCH --cpus-per-task={cores}",
            "#SBATCH --mem={memory}G",
            "#SBATCH --time={hours}:00:00",
            "#SBATCH --output={name}-%A-%a.log",
        ),
        "SLURM_ARRAY_TASK_ID",
        "sbatch",
    ),
    "pbs": Scheduler(
        (
            "#PBS -N {name}",
            "#PBS -J 1-{parts}",
            "#PBS -l select=1:ncpus={cores}:mem={memory}gb",
            "#PBS -l walltime={hours}:00:00",
            "#PBS -j oe",
        ),
        "PBS_ARRAY_INDEX",
        "qsub",
    ),
    "sge": Scheduler(
        (
            "#$ -N {name}",
            "#$ -t 1-{parts}",
            "#$ -pe smp {cores}",
            "#$ -l h_rt={hours}:00:00",
            "#$ -cwd -j y",
        ),
        "SGE_TASK_ID",
        "qsub",
    ),
    "lsf": Scheduler(
        (
            '#BSUB -J "{name}[1-{parts}]"',
            "#BSUB -n {cores}",
            "#BSUB -W {hours}:00",
            "#BSUB -o {name}-%J-%I.log",
        ),
        "LSB_JOBINDEX",
        "bsub <",
    ),
}


def job_script(
    scheduler: str,
    source: Path,
    output: Path,
    *,
    parts: int,
    features: str = "classic",
    level: str = "functionals",
    store: Path | None = None,
    cores: int = 1,
    memory: int = 4,
    hours: int = 4,
) -> str:
    """Write the script of an array of jobs that extract features.

    Parameters
    ----------
    scheduler : key of `SCHEDULERS`.
    source : manifest or folder of audio, as the jobs see it.
    output : .parquet or .csv, of the whole; a part adds its number to the name.
    parts : jobs.
    features, level : see `serfeat.extract.extract`.
    store : folder that all jobs share; None: what ``SERFEAT_CACHE`` says where they run.
    cores, memory, hours : of one job; GB and h.

    Raises
    ------
    UnknownNameError : another scheduler.
    EngineError : numbers below 1.
    """
    if scheduler not in SCHEDULERS:
        raise did_you_mean("scheduler", scheduler, SCHEDULERS)
    numbers = {"parts": parts, "cores": cores, "memory": memory, "hours": hours}
    for word, number in numbers.items():
        if number < 1:
            raise EngineError(
                f"{word} is {number}, expected 1 or more", where="job script", code="bad-setting"
            )
    known = SCHEDULERS[scheduler]
    name = "serfeat-" + re.sub(r"[^A-Za-z0-9]+", "-", features)[:40].strip("-")
    lines = ["#!/bin/bash", *(d.format(name=name, **numbers) for d in known.directives)]
    part = f'"${{{known.number}:?is set by the scheduler}}"'
    common = f"serfeat extract {_quoted(source)} --features {shlex.quote(features)} --level {level}"
    piece = _quoted(output.with_suffix("")) + f'-"${{part}}"{output.suffix}'
    if store is not None:
        shared = [f"export SERFEAT_CACHE={_quoted(store)}"]
    else:
        shared = [': "${SERFEAT_CACHE:?name a folder that all jobs share}"']
    return "\n".join(
        [
            *lines,
            "",
            "set -euo pipefail",
            *shared,
            f"part={part}",
            f'{common} --jobs {cores} --shard "${{part}}/{parts}" -o {piece}',
            "",
            f"# Submit it with: {known.submit} THIS_FILE. When all jobs are done, the whole table:",
            f"# {common} -o {_quoted(output)}",
            "",
        ]
    )


def _quoted(path: Path) -> str:
    """A path as bash takes it; one with a line break in it could leave a comment.

    Raises
    ------
    EngineError : such a path.
    """
    text = str(path)
    if not text.isprintable():
        raise EngineError(
            f"{text!r} has signs in it that no job script can hold",
            where="job script",
            code="bad-setting",
            fix="rename it",
        )
    return shlex.quote(text if not text.startswith("-") else f"./{text}")
