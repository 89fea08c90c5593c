"""A whole comparison with everything that a recipe can ask for, from TOML to the page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.cli import main
from serfeat.compare.leaderboard import leaderboard
from serfeat.deploy import predict, train
from serfeat.errors import ModelError, SplitError
from serfeat.manifest_csv import read_manifest, write_manifest
from serfeat.plan import Entry
from serfeat.recipe import read_recipe

EVERYTHING = """
title = "Everything"
[corpus]
manifest = "{manifest}"
[run]
control = ["svm"]
control_runs = 2
explain = ["svm", "xgb", "timnet"]
disjoint = []
[[protocols]]
name = "leave_one_speaker_out"
[[protocols]]
name = "random_kfold"
n = 3
[[entries]]
name = "svm"
model = "svm"
features = "f0,energy"
tune = {{ C = [1.0, 10.0], folds = 2 }}
[[entries]]
name = "by_speaker"
model = "svm"
features = "f0,energy"
normalisation = "speaker"
[[entries]]
name = "xgb"
model = "xgb"
features = "f0,energy"
params = {{ n_estimators = 5 }}
[[entries]]
name = "timnet"
model = "timnet"
features = "timnet39"
params = {{ epochs = 1, n_dilations = 2 }}
[[entries]]
name = "several"
model = "mlp"
features = "f0,energy"
params = {{ epochs = 3, tasks = {{ arousal = "ccc", sex = "classes" }} }}
[[conditions]]
kind = "white"
snr = 0
[[conditions]]
kind = "babble"
snr = 10
voices = 2
"""

NUMBERS = """
title = "Numbers"
[corpus]
manifest = "{manifest}"
[run]
dimensions = ["valence", "arousal"]
[[protocols]]
name = "leave_one_speaker_out"
[[entries]]
name = "svr"
model = "svm"
features = "f0,energy"
[[entries]]
name = "ridge"
model = "ridge"
features = "f0,energy"
"""


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the recipe through the command line."""
    folder = tmp_path_factory.mktemp("verdict")
    (folder / "all.toml").write_text(EVERYTHING.format(manifest=tiny))
    assert main(["compare", str(folder / "all.toml"), "-o", str(folder / "run"), "-j", "1"]) == 0
    return folder / "run"


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder / f"{name}.parquet")


def test_every_condition_has_every_clip_and_scores_are_of_the_clean_ones(folder: Path) -> None:
    """Catches a condition that is pooled with the clean clips: n would be three times as large."""
    said = table(folder, "predictions")
    real = said[~said["control"]]
    each = real.groupby(["entry", "protocol", "condition"]).size()
    assert set(each.index.get_level_values("condition")) == {"clean", "white 0 dB", *_babble(said)}
    assert (each == 24).all()
    assert set(said[said["control"]]["condition"]) == {"clean"}
    board = pd.read_csv(folder / "leaderboard.csv")
    assert (board["n"] == 24).all()
    labels = ["anger", "neutral", "sadness"]
    clean = leaderboard(said[said["condition"] == "clean"], labels=labels)
    pd.testing.assert_series_equal(board["uar"], clean["uar"])


def _babble(said: pd.DataFrame) -> set[str]:
    return {c for c in said["condition"] if c.startswith("babble")}


def test_noise_changes_what_is_said(folder: Path) -> None:
    """Catches conditions that are computed from the clean features."""
    said = table(folder, "predictions")
    one = said[(said["entry"] == "xgb") & (said["protocol"] == "leave_one_speaker_out")]
    by = {c: part.set_index("file")["p_anger"] for c, part in one.groupby("condition")}
    assert not np.allclose(by["clean"], by["white 0 dB"][by["clean"].index])


def test_folds_rows_and_lint_are_beside_the_run(folder: Path) -> None:
    rows, made = table(folder, "rows"), json.loads((folder / "folds.json").read_text())
    assert (rows["content"] != "").all()
    for fold in made["leave_one_speaker_out"]:
        sides = [set(rows["speaker"].iloc[fold[s]]) for s in ("train", "test")]
        assert not set.intersection(*sides)
    found = json.loads((folder / "lint.json").read_text())
    assert found["clean"]
    assert len(found["checked"]) >= 12
    assert "NOT LINTED" not in (folder / "report.html").read_text()


def test_what_was_tuned_is_kept(folder: Path) -> None:
    trials = table(folder, "tuning")
    assert set(trials["entry"]) == {"svm"}
    chosen = trials[trials["chosen"]].groupby(["protocol", "fold", "seed"]).size()
    assert (chosen == 1).all()
    assert len(chosen) == 4 + 3
    record = json.loads((folder / "run.json").read_text())
    words = {e["name"]: e["tuning"] for e in record["entries"]}
    assert "fitted 2 times" in words["svm"]
    assert words["xgb"] == ""


def test_decisions_are_explained_with_and_without_labels(folder: Path) -> None:
    importance = table(folder, "importance")
    assert set(importance["family"]) >= {"", "f0", "energy"}
    plain = importance[(importance["entry"] == "svm") & (importance["family"] == "")]
    each = plain.groupby(["protocol", "repeat"])["n"].sum()
    assert (each == 24).all()
    added = table(folder, "contributions")
    assert set(added["family"]) == {"f0", "energy", "(bias)"}
    assert set(table(folder, "gates")["entry"]) == {"timnet"}


def test_other_tasks_are_scored(folder: Path) -> None:
    said = table(folder, "tasks")
    assert set(said["target"]) == {"arousal", "sex"}
    assert (said.groupby(["protocol", "target"]).size() == 24).all()
    assert set(said.loc[said["target"] == "sex", "truth"]) == {"female", "male"}
    assert "Other tasks" in (folder / "report.html").read_text()


def test_the_record_says_whose_statistics(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    ways = {e["name"]: e["normalisation"] for e in record["entries"]}
    assert ways["by_speaker"] == "speaker"
    assert ways["svm"] == "global"
    assert "transductive" in record["normalisation"]
    apart = {p["key"]: p["independence"]["speaker"] for p in record["protocols"]}
    assert apart == {"leave_one_speaker_out": True, "random_kfold(3)": False}


def test_the_commands_of_stored_runs(folder: Path, capsys) -> None:
    assert main(["lint", str(folder)]) == 0
    assert main(["runs", str(folder.parent)]) == 0
    assert "Everything" in capsys.readouterr().out
    assert main(["runs", str(folder), str(folder)]) == 0


def test_entries_are_ranked_over_corpora(folder: Path, tmp_path: Path, capsys) -> None:
    """Three corpora that agree: ranks 1 to 4, told apart where the critical difference allows."""
    for name in ("one", "two", "three"):
        shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns("parts"))
        record = json.loads((folder / "run.json").read_text())
        record["corpus"]["name"] = name
        (tmp_path / name / "run.json").write_text(json.dumps(record))
    places = [str(tmp_path / name) for name in ("one", "two", "three")]
    capsys.readouterr()
    assert main(["runs", *places, "-o", str(tmp_path / "ranks.svg")]) == 0
    assert "Average ranks over 3 corpora" in capsys.readouterr().out
    assert (tmp_path / "ranks.svg").read_text().startswith("<?xml")
    assert main(["runs", *places, places[0]]) == 2
    assert "one twice" in capsys.readouterr().err


def test_entries_and_seeds_from_the_command_line(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "all.toml").write_text(EVERYTHING.format(manifest=tiny))
    read = read_recipe(tmp_path / "all.toml")
    plan = read.plan(["svm.normalisation=speaker"], only=["svm"], seeds=[3, 4])
    assert [e.name for e in plan.entries] == ["svm"]
    assert plan.entries[0].normalisation == "speaker"
    assert plan.seeds == (3, 4)
    assert plan.explain == ["svm"]
    with pytest.raises(Exception, match="did you mean 'svm'"):
        read.plan(only=["svn"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('["svm", "xgb", "timnet"]', '["svn"]'), "did you mean 'svm'"),
        (('kind = "white"', 'kind = "whit"'), "did you mean 'white'"),
        (("snr = 0\n", "snr = 0\nloud = 1\n"), "loud"),
        (('normalisation = "speaker"', 'normalisation = "voice"'), "speaker"),
        (("C = [1.0", "c = [1.0"), "did you mean 'C'"),
        (("disjoint = []", 'disjoint = ["speaker"]'), "text_id"),
    ],
)
def test_words_that_a_recipe_cannot_have(
    tiny: Path, tmp_path: Path, capsys, change: tuple[str, str], words: str
) -> None:
    text = EVERYTHING.format(manifest=tiny).replace(*change)
    (tmp_path / "bad.toml").write_text(text)
    assert main(["compare", str(tmp_path / "bad.toml"), "-o", str(tmp_path / "run")]) == 2
    found = capsys.readouterr().err
    assert words in found
    assert found.count("\n") == 1


def test_numbers_in_place_of_labels(tiny: Path, tmp_path: Path, capsys) -> None:
    """From a recipe to CCC, to a stored model, to numbers for a file."""
    recipe, run = tmp_path / "numbers.toml", tmp_path / "run"
    recipe.write_text(NUMBERS.format(manifest=tiny))
    assert main(["compare", str(recipe), "-o", str(run), "-j", "1"]) == 0
    assert "CCC" in capsys.readouterr().out
    said = table(run, "predictions")
    assert set(said["target"]) == {"valence", "arousal"}
    assert said["truth"].dtype == np.float64
    board = pd.read_csv(run / "leaderboard.csv")
    assert board.groupby("target")["ccc"].max()["arousal"] > 0.3
    assert "CCC" in (run / "report.html").read_text()
    model = tmp_path / "model"
    assert main(["train", str(recipe), "--entry", "svr", "-o", str(model)]) == 0
    files = sorted(tiny.parent.rglob("*.wav"))[:3]
    told = predict(model, files).table
    assert list(told.columns) == ["valence", "arousal"]
    assert np.isfinite(told.to_numpy()).all()


def test_a_model_that_measures_speakers_against_themselves(tiny: Path, tmp_path: Path) -> None:
    """A folder is a speaker: a clip alone is refused, and few are remarked on."""
    entry = Entry("svm", "svm", "f0,energy", normalisation="speaker")
    train(read_manifest(tiny), entry, tmp_path / "model")
    files = sorted(tiny.parent.rglob("s1*.wav"))
    told = predict(tmp_path / "model", files)
    assert len(told.table) == 6
    assert "fewer than 10 recordings" in told.remarks[0]
    with pytest.raises(ModelError, match="one recording"):
        predict(tmp_path / "model", files[:1])


def test_speakers_that_carry_the_label_are_not_normalised(tiny: Path, tmp_path: Path) -> None:
    """Catches a guard that is not asked: URDU's 17 UAR."""
    manifest = read_manifest(tiny)
    rows = manifest.rows
    owner = {"s1": "anger", "s2": "neutral", "s3": "sadness", "s4": "anger"}
    rows = rows[[owner.get(s, "anger") == e for s, e in rows[["speaker", "emotion"]].to_numpy()]]
    with pytest.raises(SplitError, match="scores can fall below chance"):
        train(
            manifest.with_rows(rows),
            Entry("svm", "svm", "f0,energy", normalisation="speaker"),
            tmp_path / "model",
        )


def test_several_corpora_on_the_emotions_that_all_have(tiny: Path, tmp_path: Path) -> None:
    """Two manifests of the same people are two corpora: trained on one, tested on the other."""
    manifest = read_manifest(tiny)
    for name, kept in (("a", ("anger", "neutral", "sadness")), ("b", ("anger", "sadness"))):
        rows = manifest.rows[manifest.rows["emotion"].isin(kept)]
        write_manifest(replace(manifest, rows=rows, name=name), tmp_path / f"{name}.csv")
    (tmp_path / "r.toml").write_text(
        'title = "Two"\n[corpus]\nnames = ["a.csv", "b.csv"]\n'
        '[[protocols]]\nname = "within_corpus"\nn = 2\n'
        '[[protocols]]\nname = "leave_one_corpus_out"\n'
        '[[entries]]\nname = "svm"\nmodel = "svm"\nfeatures = "f0,energy"\n'
    )
    run = tmp_path / "run"
    assert main(["compare", str(tmp_path / "r.toml"), "-o", str(run), "-j", "1"]) == 0
    said = table(run, "predictions")
    assert set(said["truth"]) == {"anger", "sadness"}
    assert set(said["corpus"]) == {"a", "b"}
    record = json.loads((run / "run.json").read_text())
    assert any("neutral (8 clips) left out" in w for w in record["warnings"])
    found = json.loads((run / "lint.json").read_text())
    assert not found["clean"]  # the same recordings are on both sides
    assert "LEAK" in (run / "report.html").read_text()


def test_a_table_of_ones_own(tiny: Path, tmp_path: Path, capsys) -> None:
    """Columns that were made elsewhere are compared on the same folds; one that leaks is found."""
    rows = read_manifest(tiny).rows
    rng = np.random.default_rng(0)
    code = rows["emotion"].map({"anger": 1.0, "neutral": 2.0, "sadness": 3.0}).to_numpy()
    own = pd.DataFrame({"file": rows.index.get_level_values("file")})
    own["loud"] = code + rng.normal(0, 1, len(code))
    own["soft"] = rng.normal(0, 1, len(code))
    own.to_csv(tmp_path / "mine.csv", index=False)
    text = NUMBERS.format(manifest=tiny).replace('dimensions = ["valence", "arousal"]', "")
    recipe = tmp_path / "own.toml"
    recipe.write_text(text.replace('"f0,energy"', '"table:mine.csv"'))
    assert main(["compare", str(recipe), "-o", str(tmp_path / "run"), "-j", "1"]) == 0
    assert pd.read_csv(tmp_path / "run" / "leaderboard.csv")["uar"].max() > 0.4
    assert main(["lint", str(recipe)]) == 0
    own.assign(emotion_code=code).to_csv(tmp_path / "mine.csv", index=False)
    capsys.readouterr()
    assert main(["lint", str(recipe)]) == 1
    assert "emotion_code" in capsys.readouterr().out
