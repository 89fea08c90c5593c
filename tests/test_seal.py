"""The seal of a run: a page cannot show numbers that the run did not write without saying so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from serfeat.audit import lint_run
from serfeat.compare import compare
from serfeat.compare.seal import SEAL, changed, seal
from serfeat.manifest_csv import read_manifest
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.report import write_report
from serfeat.report.run import CHANGED, read_run
from serfeat.runs import list_runs

PLAN = Plan(
    "t", [Entry("knn", "knn", "energy,zcr")], [ChosenProtocol("speaker_kfold", {"n": 2})]
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compare(read_manifest(tiny), PLAN, tmp_path_factory.mktemp("run"), listen=False)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run, on another disk as it were."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_another_recipe_leaves_nothing_behind(tiny: Path, tmp_path: Path) -> None:
    """An entry that tuned, then the same without: seen to show what tuning chose beside it."""
    plan = replace(PLAN, entries=[replace(PLAN.entries[0], tune={"n_neighbors": [1, 5]})])
    folder = compare(read_manifest(tiny), plan, tmp_path / "run", listen=False)
    tuned = (folder / "tuning.parquet").read_bytes()
    compare(read_manifest(tiny), PLAN, folder, listen=False)
    assert not (folder / "tuning.parquet").exists()
    assert changed(folder) == ()
    (folder / "tuning.parquet").write_bytes(tuned)
    assert changed(folder) == ("tuning.parquet",)
    assert "tuning.parquet" in " ".join(read_run(folder).marks())


def better(run: Path) -> None:
    """One wrong prediction put right: no count, no fold and no label tells of it."""
    path = run / "predictions.parquet"
    p = pd.read_parquet(path)
    wrong = p.index[p["prediction"].astype(str) != p["truth"].astype(str)][0]
    p.loc[wrong, "prediction"] = p.loc[wrong, "truth"]
    p.to_parquet(path)


def test_a_run_is_what_it_was(run: Path) -> None:
    assert changed(run) == ()
    assert set(json.loads((run / SEAL).read_text())) >= {
        "predictions.parquet", "rows.parquet", "history.parquet", "run.json", "folds.json",
        "lint.json",
    }  # fmt: skip
    write_report(run)
    (run / "notes.txt").write_text("mine")
    said = json.loads((run / "run.json").read_text())
    (run / "run.json").write_bytes(json.dumps(said, indent=3).replace("\n", "\r\n").encode())
    assert changed(run) == ()
    assert CHANGED not in write_report(run).read_text(encoding="utf-8")
    assert not [f for f in lint_run(run) if f.kind == "changed-since"]
    assert list_runs(run.parent)["lint"].iloc[0] != "changed"


def test_a_better_score_is_marked(run: Path) -> None:
    """Seen to fail without `changed` in `read_run`: the page then shows the score as any other."""
    before = float(read_run(run).board["uar"].iloc[0])
    better(run)
    found = read_run(run)
    assert float(found.board["uar"].iloc[0]) > before
    assert f"{CHANGED}: predictions.parquet" in found.marks()
    page = write_report(run).read_text(encoding="utf-8")
    assert "Changed since the run: predictions.parquet. What the lint found" in page
    assert "Clean: no leak was found" not in page
    assert page.count(CHANGED) > 3  # on every table and figure, and before all of them
    assert [f.where for f in lint_run(run) if f.kind == "changed-since"] == ["predictions.parquet"]
    assert list_runs(run.parent)["lint"].iloc[0] == "changed"


def test_what_is_lost_or_nonsense(run: Path) -> None:
    for name in ("folds.json", "history.parquet"):
        (run / name).unlink()
    assert changed(run) == ("folds.json", "history.parquet")
    for text in ("", "[]", "{"):
        (run / SEAL).write_text(text)
        assert changed(run) == (SEAL,)
    (run / SEAL).write_text('{"/dev/zero": "x", "../run": 1, "lint.json": null}')
    assert changed(run) == ("../run", "/dev/zero", "costs.parquet", "lint.json", "rows.parquet")
    (run / SEAL).unlink()
    assert changed(run) == ()


def test_sealed_again(run: Path, tiny: Path) -> None:
    """The same comparison into the same folder: its parts are kept, its files written anew."""
    better(run)
    compare(read_manifest(tiny), PLAN, run, listen=False)
    assert changed(run) == ()
    seal(run, ["run.json"])
    assert list(json.loads((run / SEAL).read_text())) == ["run.json"]
