"""Lint of recipes and stored runs, on the embedded corpus and on real recordings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from serfeat.audit import lint_any, lint_recipe, lint_run
from serfeat.compare import compare
from serfeat.corpora import read_corpus
from serfeat.errors import StoreError
from serfeat.extract import extract
from serfeat.lint import LINTS, UNSEEN, Division, Evidence, Sides, lint
from serfeat.manifest_csv import read_manifest
from serfeat.plan import ChosenProtocol, Entry, Plan

RECIPE = """title = "t"
[corpus]
manifest = "{manifest}"
[[protocols]]
name = "{protocol}"
{params}
[[entries]]
name = "svm"
model = "svm"
features = "f0,energy"
"""


def write_recipe(folder: Path, manifest: Path, protocol: str, params: str = "") -> Path:
    path = folder / "r.toml"
    text = RECIPE.format(manifest=manifest.as_posix(), protocol=protocol, params=params)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe(tiny: Path, tmp_path: Path) -> None:
    """Held-out speakers of the embedded corpus are clean; random folds are noted as such."""
    found = lint_recipe(write_recipe(tmp_path, tiny, "leave_one_speaker_out"))
    assert [f for f in found if f.severity == "leak"] == []
    found = lint_recipe(write_recipe(tmp_path, tiny, "random_kfold", "n = 3"), listen=False)
    assert ("speakers", "note") in {(f.kind, f.severity) for f in found}


def test_a_copied_recording_is_heard(tiny: Path, tmp_path: Path) -> None:
    """One clip's samples under another speaker's name: found by content."""
    shutil.copytree(tiny.parent, tmp_path / "corpus")
    rows = read_manifest(tiny).rows.reset_index()
    other = rows[rows["speaker"] != rows["speaker"][0]].iloc[0]
    root = read_manifest(tmp_path / "corpus" / tiny.name)
    shutil.copy(root.path(rows["file"][0]), root.path(other["file"]))
    recipe = write_recipe(tmp_path, tmp_path / "corpus" / tiny.name, "leave_one_speaker_out")
    kinds = {f.kind for f in lint_recipe(recipe) if f.severity == "leak"}
    assert {"identical-audio", "near-identical-audio"} <= kinds


def test_a_run(tiny: Path, tmp_path: Path) -> None:
    """A run is clean until one of its predictions is moved; the exit code says so."""
    plan = Plan("t", [Entry("svm", "svm", "f0,energy")], [ChosenProtocol("leave_one_speaker_out")])
    folder = compare(read_manifest(tiny), plan, tmp_path / "run")
    lines, code = lint_any(str(folder))
    assert code == 0, lines
    path = folder / "predictions.parquet"
    p = pd.read_parquet(path)
    p.iloc[1:].to_parquet(path)
    assert {f.kind for f in lint_run(folder) if f.severity == "leak"} == {
        "predictions-missing",
        "changed-since",
    }
    lines, code = lint_any(str(folder), json_text=True)
    assert code == 1
    assert json.loads(lines[0])["clean"] is False
    (folder / "run.json").unlink()
    with pytest.raises(StoreError, match=r"run\.json"):
        lint_run(folder)


def test_what_a_run_does_not_hold_stays_in_its_lint(tiny: Path, tmp_path: Path) -> None:
    """A clip that is nearly another speaker's: a run's folder does not tell, its lint.json does.

    Seen to be lost, with exit code 0, when only runs without recordings kept these findings.
    """
    shutil.copytree(tiny.parent, tmp_path / "corpus")
    manifest = read_manifest(tmp_path / "corpus" / tiny.name)
    rows = manifest.rows.reset_index()
    other = rows[rows["speaker"] != rows["speaker"][0]].iloc[0]
    x, sr = sf.read(manifest.path(rows["file"][0]))
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(x))
    sf.write(manifest.path(other["file"]), 0.5 * x + noise, sr)
    plan = Plan("t", [Entry("knn", "knn", "energy")], [ChosenProtocol("leave_one_speaker_out")])
    folder = compare(manifest, plan, tmp_path / "run")
    said = json.loads((folder / "lint.json").read_text())
    assert not said["clean"]
    assert set(said["checked"]) == set(LINTS)
    assert "near-identical-audio" in {f.kind for f in lint_run(folder) if f.severity == "leak"}
    assert lint_any(str(folder))[1] == 1


def test_what_was_not_listened_to_is_not_called_clean(tiny: Path, tmp_path: Path) -> None:
    plan = Plan("t", [Entry("knn", "knn", "energy")], [ChosenProtocol("speaker_kfold", {"n": 2})])
    folder = compare(read_manifest(tiny), plan, tmp_path / "run", listen=False)
    said = json.loads((folder / "lint.json").read_text())
    assert set(LINTS) - set(said["checked"]) == UNSEEN["audio-unseen"]
    assert [f.kind for f in lint_run(folder)].count("audio-unseen") == 1
    recipe = write_recipe(tmp_path, tiny, "leave_one_speaker_out")
    assert "audio-unseen" in {f.kind for f in lint_recipe(recipe, listen=False)}
    lines, code = lint_any(str(folder))
    assert code == 0
    assert f"{len(LINTS) - 3} kinds looked for" in lines[-1]


def test_a_row_that_is_none_is_one_line(tiny: Path, tmp_path: Path) -> None:
    """Counted from the end, a negative number would be another clip."""
    plan = Plan("t", [Entry("knn", "knn", "energy")], [ChosenProtocol("speaker_kfold", {"n": 2})])
    folder = compare(read_manifest(tiny), plan, tmp_path / "run", listen=False)
    made = json.loads((folder / "folds.json").read_text())
    for number in (99_999, -1):
        made["speaker_kfold(2)"][0]["train"][0] = number
        (folder / "folds.json").write_text(json.dumps(made))
        with pytest.raises(StoreError, match=f"has row {number}, expected 0 to"):
            lint_run(folder)


# --- real recordings ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def emodb(emodb_root: Path) -> Evidence:
    """Four speakers of EMO-DB, 39 MFCC with eight functionals each, speakers held out."""
    corpus = read_corpus("emodb", emodb_root).select(speaker=["03", "08", "09", "10"])
    rows = corpus.rows.reset_index()
    speaker = rows["speaker"].to_numpy(dtype=str)
    sides = tuple(
        Sides(f"speaker {s}", np.flatnonzero(speaker != s), np.flatnonzero(speaker == s))
        for s in sorted(set(speaker))
    )
    tables = {"timnet39": extract(corpus, "timnet39").table}
    return Evidence(rows, (Division("leave_one_speaker_out", sides),), tables)


def test_real_recordings_are_clean(emodb: Evidence) -> None:
    """Nothing but the sentences, which all speakers of EMO-DB share."""
    assert [(f.kind, f.severity) for f in lint(emodb)] == [("texts", "note")]


def best(X: Any, y: Any) -> Any:
    return X.loc[:, SelectKBest(k=20).fit(X, y).get_support()]


@pytest.mark.parametrize(
    ("kind", "fitted"),
    [
        ("scaled-before-split", lambda X, y: StandardScaler().fit_transform(X)),
        ("scaled-before-split", lambda X, y: MinMaxScaler().fit_transform(X)),
        (
            "imputed-before-split",
            lambda X, y: SimpleImputer(strategy="median").fit_transform(
                X.mask(np.random.default_rng(0).random(X.shape) < 0.05)
            ),
        ),
        ("projected-before-split", lambda X, y: PCA(20).fit_transform(X)),
        ("selected-before-split", best),
    ],
)
def test_what_scikit_learn_fits_on_all_rows_is_found(
    emodb: Evidence, kind: str, fitted: Callable[[Any, Any], Any]
) -> None:
    """Its own scaler, imputer, projection and selection, as a notebook would apply them."""
    whole = emodb.tables["timnet39"].astype(np.float64)
    made = fitted(whole, emodb.rows["emotion"])
    table = made if isinstance(made, pd.DataFrame) else pd.DataFrame(made).add_prefix("c")
    leaking = replace(emodb, tables={"mine": table.astype(np.float32)}, wider={"mine": whole})
    found = [f for f in lint(leaking) if f.kind == kind]
    assert found
    assert found[0].severity == "leak"
