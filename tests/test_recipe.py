"""Recipes: a closed vocabulary, with the nearest known word in every error."""

from __future__ import annotations

from pathlib import Path

import pytest

from serfeat.errors import RecipeError, SerfeatError, UnknownNameError
from serfeat.recipe import find_recipe, read_recipe

GOOD = """
title = "t"
[corpus]
manifest = "m.csv"
[[protocols]]
name = "random_kfold"
n = 4
[[entries]]
name = "svm"
model = "svm"
features = "prosody"
params = { C = 2.0 }
"""


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "r.toml"
    path.write_text(text)
    return path


def test_good(tmp_path: Path) -> None:
    plan = read_recipe(recipe(tmp_path, GOOD)).plan()
    assert plan.protocols[0].key == "random_kfold(4)"
    assert plan.entries[0].params == {"C": 2.0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[entries]]", "[[entrie]]", "unknown word 'entrie'; did you mean 'entries'?"),
        (
            "[corpus]",
            "[corpus]\nlable = 1",
            "[corpus]: unknown word 'lable'; did you mean 'labels'",
        ),
        ('features = "p', 'feature = "p', "[entries 1]: unknown word 'feature'"),
        ('model = "svm"', 'model = "smv"', "unknown model 'smv'; did you mean 'svm'"),
        ('"prosody"', '"prosodi"', "unknown feature set 'prosodi'; did you mean 'prosody'"),
        ("C = 2.0", "c = 2.0", "unknown parameter of svm 'c'; did you mean 'C'"),
        ("C = 2.0", "name = 'x'", "unknown parameter of svm 'name'"),
        ("C = 2.0", "task = 'regression'", "unknown parameter of svm 'task'"),
        (
            '"svm"\nfeatures = "prosody"\nparams = { C = 2.0 }',
            '"mlp"\nfeatures = "prosody"\nparams = { seed = 3 }',
            "unknown parameter of mlp 'seed'",
        ),
        ('"random_kfold"', '"random_fold"', "did you mean 'random_kfold'"),
        ("C = 2.0", "C = '2.0'", "[entries 1]: C is '2.0', expected a number"),
        (
            "C = 2.0 }",
            "C = 2.0 }\naugment = { copies = 1 }",
            "[entries 1]: augment: copies without",
        ),
        ("n = 4", "k = 4", "unknown parameter of random_kfold 'k'"),
        ('title = "t"', "title = 3", "title: input should be a valid string"),
        ('manifest = "m.csv"', "", "needs one of name, names and manifest"),
        ('title = "t"', "", "title: field required"),
        ("[[protocols]]", "[run]\ncontrol = ['svn']\n[[protocols]]", "unknown entry 'svn'"),
        ('title = "t"', "title = ", "not TOML"),
        ("[[protocols]]", "[run]\nseeds = [0, 1, 0]\n[[protocols]]", "seeds: 0 is there twice"),
    ],
)
def test_bad_words(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SerfeatError) as caught:
        read_recipe(recipe(tmp_path, GOOD.replace(old, new)))
    assert message in str(caught.value)
    assert "r.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    twice = GOOD + '[[entries]]\nname = "svm"\nmodel = "knn"\nfeatures = "prosody"\n'
    with pytest.raises(RecipeError, match="two entries are called 'svm'"):
        read_recipe(recipe(tmp_path, twice))


def test_shipped_recipes_are_good() -> None:
    folder = Path(__file__).resolve().parent.parent / "pipelines"
    names = sorted(p.name for p in folder.glob("*.toml"))
    assert "demo.toml" in names
    for name in set(names) - {"emodb_encoder.toml", "amrwc_stages.toml"}:  # they need weights
        read_recipe(folder / name)
    assert find_recipe("demo").name == "demo.toml"
    with pytest.raises(RecipeError, match="no such recipe"):
        find_recipe("nothing.toml")


@pytest.mark.parametrize("name", ["emodb_encoder", "amrwc_stages"])
def test_a_recipe_with_an_encoder(monkeypatch, shared: Path, name: str) -> None:
    path = find_recipe(name)
    monkeypatch.delenv("SERFEAT_ENCODERS", raising=False)
    with pytest.raises(SerfeatError, match=r"\[entries 1\].*no directory.*SERFEAT_ENCODERS"):
        read_recipe(path)
    monkeypatch.setenv("SERFEAT_ENCODERS", str(shared / "encoders"))
    entries = {entry.name: entry for entry in read_recipe(path).plan().entries}
    assert entries["amrwc"].params["n_encoder"] == 384


def test_unknown_label(tmp_path: Path, tiny: Path) -> None:
    text = GOOD.replace('"m.csv"', f'"{tiny}"\nlabels = ["angr"]')
    path = recipe(tmp_path, text)
    with pytest.raises(UnknownNameError, match="did you mean 'anger'"):
        read_recipe(path).manifest(path)


def test_labels_are_those_of_the_run(tmp_path: Path, tiny: Path) -> None:
    """Also with dimensions in place of emotions, and on another corpus.

    Seen to catch: a regression on all rows, and a filter that went with the corpus of the recipe.
    """
    text = GOOD.replace('"m.csv"', f'"{tiny}"\nlabels = ["anger", "neutral"]')
    numbers = text.replace("[[protocols]]", '[run]\ndimensions = ["valence"]\n[[protocols]]', 1)
    numbers = numbers.replace('"random_kfold"', '"speaker_kfold"')
    path = recipe(tmp_path, numbers)
    assert read_recipe(path).manifest(path).labels == ("anger", "neutral")
    elsewhere = read_recipe(recipe(tmp_path, text)).on(["demo"])
    assert elsewhere.corpus.name == "demo"
    assert elsewhere.corpus.labels == ["anger", "neutral"]


def test_settings_of_the_command_line(tmp_path: Path) -> None:
    """Caught: a setting for all given to models that have no such parameter."""
    path = tmp_path / "r.toml"
    path.write_text(
        GOOD
        + """
[[entries]]
name = "net"
model = "timnet"
features = "timnet39"
params = { epochs = 500 }

[[entries]]
name = "other net"
model = "mlp"
features = "classic"
"""
    )
    recipe = read_recipe(path)
    plan = recipe.plan(["epochs=7", "net.filters = 8", "net.features=mfcc", "net.device=cpu"])
    params = {e.name: dict(e.params) for e in plan.entries}
    assert params["net"] == {"epochs": 7, "filters": 8, "device": "cpu"}
    assert params["other net"] == {"epochs": 7}
    assert "epochs" not in params["svm"]
    assert {e.name: e.features for e in plan.entries}["net"] == "mfcc"
    for setting, match in {
        "epochs": "is no setting",
        "=3": "is no setting",
        "a.b.c=3": "is no setting",
        "epoch=3": "no entry has the parameter 'epoch'",
        "net.seed=3": "unknown parameter of timnet 'seed'",
        "ned.epochs=3": "did you mean 'net'",
        "net.epoch=3": "did you mean 'epochs'",
        "net.features=clasic": "did you mean 'classic'",
        "net.epochs=1O": "--set, net: epochs is '1O', expected a whole number",
    }.items():
        with pytest.raises(SerfeatError, match=match):
            recipe.plan([setting])


def test_settings_of_a_regression(tmp_path: Path) -> None:
    """Failed: the words were looked up among those of a classifier."""
    text = GOOD.replace("[[protocols]]", '[run]\ndimensions = ["valence"]\n[[protocols]]', 1)
    text = text.replace('"svm"\nfeatures', '"mlp"\nfeatures').replace("C = 2.0", 'loss = "mse"')
    read = read_recipe(recipe(tmp_path, text))
    (entry,) = read.plan(["epochs=4", "svm.loss=ccc"]).entries
    assert entry.params == {"loss": "ccc", "epochs": 4}
    with pytest.raises(RecipeError, match="no entry has the parameter 'class_weight'"):
        read.plan(["class_weight=balanced"])
