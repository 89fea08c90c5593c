"""The dask engine: the same bytes, one dead worker, a scheduler elsewhere, comparisons.

Each cluster is of processes on this machine, as few and as short-lived as a test allows.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serfeat import extract as extract_module
from serfeat.engines import cluster, lost, run
from serfeat.errors import EngineError, MissingExtraError
from serfeat.extract import extract
from serfeat.manifest_csv import read_manifest

pytest.importorskip("distributed", reason="the extra dask is not installed")


def fate(task: tuple[str, Path]) -> str:
    """What a task does, in a worker."""
    kind, place = task
    if kind == "dies once" and not (place / "died").exists():
        (place / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "dies":
        with (place / "deaths").open("a") as stream:
            stream.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "bug":
        raise ZeroDivisionError
    return f"{kind} {os.environ.get('SERFEAT_TEST_OF_DASK')}"


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_dead_worker_costs_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that died by chance is tried again, one that kills is given up; in order."""
    monkeypatch.setenv("SERFEAT_TEST_OF_DASK", "told")
    kinds = ["a", "dies once", "b", "dies", "c"]
    tasks = [(kind, tmp_path) for kind in kinds]
    results = list(run(fate, tasks, jobs=2, engine="dask"))
    assert [r for r in results if isinstance(r, str)] == [
        f"{kind} told" for kind in kinds if kind != "dies"
    ]
    assert isinstance(results[3], Exception)
    assert lost(results[3]) == ("crash", "the worker process died (KilledWorker)")
    assert 2 <= len((tmp_path / "deaths").read_text()) <= 3
    assert not list(Path.cwd().glob("dask-*"))  # nothing is left in the working folder


@pytest.mark.parametrize(
    ("engine", "jobs"),
    [
        ("processes", 2),
        ("dask", 1),
        ("dask", 2),
        pytest.param("dask", 8, marks=pytest.mark.slow),  # eight interpreters
    ],
)
def test_bytes_do_not_depend_on_the_engine(
    engine: str, jobs: int, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on the number of workers; rows in another order, batches of three."""
    monkeypatch.setattr(extract_module, "BATCH", 3)
    whole = read_manifest(tiny)
    expected = extract(whole, "prosody", store=tmp_path / "serial")
    order = np.random.default_rng(jobs).permutation(len(whole.rows))
    mixed = whole.with_rows(whole.rows.iloc[order])
    made = extract(mixed, "prosody", store=tmp_path / "other", jobs=jobs, engine=engine)
    assert made.computed == len(whole.rows)
    assert made.values.tobytes() == np.asarray(expected.values)[order].tobytes()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A scheduler with one worker, both started as on a cluster; gives the scheduler's file."""
    file = tmp_path / "scheduler.json"
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    main = [sys.executable, "-c", "from distributed.cli.dask_scheduler import main; main()"]
    hand = [sys.executable, "-c", "from distributed.cli.dask_worker import main; main()"]
    options = ["--scheduler-file", str(file)]
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    running = [subprocess.Popen([*main, *options, *here, "--port", "0"], **common)]
    for _ in range(200):
        if file.exists() and file.stat().st_size:
            break
        time.sleep(0.1)
    running.append(
        subprocess.Popen([*hand, *options, "--nthreads", "1", "--no-dashboard"], **common)
    )
    yield str(file)
    for process in reversed(running):
        process.terminate()
        process.wait(20)


def test_a_scheduler_elsewhere(
    scheduler: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes; a worker of other versions is refused, what a function raises is raised."""
    one = extract(tiny, "prosody", store=tmp_path / "one")
    two = extract(tiny, "prosody", store=tmp_path / "two", engine="dask", address=scheduler)
    assert two.computed == 24
    assert one.values.tobytes() == two.values.tobytes()
    with pytest.raises(ZeroDivisionError):
        list(run(_broken, [0], engine="dask", address=scheduler))
    here = cluster._software()
    monkeypatch.setattr(cluster, "_software", lambda: {**here, "numpy": "0.1"})
    with pytest.raises(EngineError, match=r"has numpy .*, expected 0\.1") as caught:
        extract(tiny, "spectral", store=tmp_path / "three", engine="dask", address=scheduler)
    assert caught.value.code == "other-versions"


def _broken(_: int) -> float:
    return 1 / 0


def test_the_documented_cluster_of_jobs(tiny: Path, tmp_path: Path) -> None:
    """The program of docs/scale.md, with dask-jobqueue's cluster of jobs on this machine for Slurm.

    Seen to fail with `from serfeat import extract`, which is the module.
    """
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    page = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
    (program,) = (b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "SLURM" in b)
    for theirs, ours in {
        "dask_jobqueue import SLURMCluster": "dask_jobqueue.local import LocalCluster",
        "SLURMCluster": "LocalCluster",
        'walltime="04:00:00"': 'scheduler_options={"host": "127.0.0.1", "dashboard": False}',
        "jobs=64": "jobs=1",
        "corpus.csv": str(tiny),
        "classic": "prosody",
    }.items():
        assert theirs in program, theirs
        program = program.replace(theirs, ours)
    program += f"    open({str(tmp_path / 'made')!r}, 'wb').write(made.values.tobytes())\n"
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    store = {"SERFEAT_CACHE": str(tmp_path / "theirs")}
    subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=os.environ | store,
        stderr=subprocess.PIPE,
        check=True,
        timeout=200,
    )
    plain = extract(tiny, "prosody", store=tmp_path / "ours")
    assert (tmp_path / "made").read_bytes() == plain.values.tobytes()


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "0.3s"}):
        for address in ("tcp://127.0.0.1:9", "nonsense://x", str(tmp_path / "none.json")):
            with pytest.raises(EngineError) as caught:
                list(run(_broken, [0], engine="dask", address=address))
            assert caught.value.code == "no-scheduler"
            assert "\n" not in str(caught.value)
    assert list(run(_broken, [], engine="dask", address="tcp://127.0.0.1:9")) == []
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"serfeat\[dask\]"):
        list(run(_broken, [0], engine="dask"))


def test_a_comparison_on_dask(tiny: Path, tmp_path: Path) -> None:
    """The parts are tasks; the predictions are those of a run in one process."""
    from serfeat.compare import compare
    from serfeat.plan import ChosenProtocol, Entry, Plan
    from serfeat.store import read_table

    plan = Plan(
        "dask",
        [Entry("svm", "svm", "prosody"), Entry("knn", "knn", "prosody")],
        [ChosenProtocol("speaker_kfold", {"n": 2})],
    )
    said = []
    for name, options in (("one", {}), ("two", {"engine": "dask", "jobs": 2})):
        folder = compare(
            read_manifest(tiny),
            plan,
            tmp_path / name,
            store=tmp_path / "s",
            listen=False,
            **options,
        )
        said.append(read_table(folder / "predictions.parquet"))
    assert said[0].equals(said[1])
