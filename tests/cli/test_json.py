"""``--json``: one document on standard output, whatever is said besides goes to standard error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from serfeat.cli import main
from serfeat.cli.document import plain
from serfeat.listing import LISTS, shown

RECIPE = """
title = "tiny"
[corpus]
manifest = "{manifest}"
[[protocols]]
name = "speaker_kfold"
n = 2
[[entries]]
name = "svm"
model = "svm"
features = "energy"
[[entries]]
name = "knn"
model = "knn"
features = "energy"
[[entries]]
name = "one"
model = "knn"
features = "energy"
params = { n_neighbors = 1 }
"""


def asked(capsys: Any, *words: object, code: int = 0) -> Any:
    """The document that a command prints; nothing else may be beside it."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == code, capsys.readouterr().err

    def never(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(capsys.readouterr().out, parse_constant=never)


@pytest.fixture(scope="module")
def recipe(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("json") / "tiny.toml"
    place.write_text(RECIPE.replace("{manifest}", str(tiny)))
    return place


@pytest.fixture(scope="module")
def run(recipe: Path) -> Path:
    folder = recipe.parent / "run"
    assert main(["compare", str(recipe), "-o", str(folder), "-j", "1", "-q"]) == 0
    return folder


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32("nan"), None),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (True, True),
        (pd.NaT, None),
        (pd.Timedelta("1.5s"), 1.5),
        (Path("a/b"), "a/b"),
        (np.array([[1.0, np.nan]]), [[1.0, None]]),
        pytest.param({"b", "a"}, ["a", "b"], id="a set"),  # whose order no two processes share
        ({1: (None, "x")}, {"1": [None, "x"]}),
        (pd.Series([1.0, np.nan]).to_frame("x"), [{"x": 1.0}, {"x": None}]),
    ],
    ids=str,
)
def test_plain(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert json.loads(json.dumps(found, allow_nan=False)) == expected
    assert type(found) is type(expected)


# --- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(LISTS))
def test_lists(capsys, name: str) -> None:
    rows = asked(capsys, "list", name)
    assert len(rows) >= 5
    assert all(set(row) == set(rows[0]) for row in rows)
    assert " " not in "".join(rows[0])
    assert shown(rows).row_count == len(rows)


def test_numbers_of_lists_are_numbers(capsys) -> None:
    widths = {row["features"]: row for row in asked(capsys, "list", "features")}
    assert widths["egemaps"]["per_clip"] == 88
    assert widths["classic"]["rate_hz"] == 16_000
    speakers = {row["corpus"]: row["speakers"] for row in asked(capsys, "corpora")}
    assert (speakers["emodb"], speakers["folders"]) == (10, None)
    known = {row["descriptor"]: row["columns"] for row in asked(capsys, "list", "descriptors")}
    assert len(known["mfcc"]) >= 13


def test_extract(capsys, tiny: Path, tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    sf.write(tmp_path / "a\x1b[2Jé.wav", tone, 16_000)
    (tmp_path / "empty.wav").write_bytes(b"")
    where = tmp_path / "t.csv"
    said = asked(capsys, "extract", tmp_path, "-o", where, "--features", "energy", code=2)
    assert (said["clips"], said["output"], said["level"]) == (1, str(where), "functionals")
    assert said["computed"] + said["known"] == 1
    assert said["seconds_of_audio"] == pytest.approx(1.0)
    assert [f["file"] for f in said["failures"]] == ["empty.wav"]
    assert said["columns"] == len(pd.read_csv(where).columns) - 3
    assert said["synthetic"] is False
    whole = asked(capsys, "extract", tiny, "-o", where, "--features", "energy")
    assert (whole["clips"], whole["synthetic"], whole["failures"]) == (24, True, [])


def test_compare_lists_what_the_page_lists(capsys, recipe: Path, run: Path) -> None:
    words = ("compare", recipe, "-o", run.with_name("again"), "-j", 1)
    (said,) = asked(capsys, *words)
    assert said["labels"] == ["anger", "neutral", "sadness"]
    assert said["synthetic"] is True
    assert Path(said["report"]).is_file()
    board = pd.read_csv(run / "leaderboard.csv")
    assert [row["entry"] for row in said["leaderboard"]] == list(board["entry"])
    assert [row["uar"] for row in said["leaderboard"]] == pytest.approx(list(board["uar"]))


def of_other_corpora(run: Path) -> list[Path]:
    """Copies of a run that say that they are of other corpora."""
    copies = []
    for name in ("one", "two", "three"):
        copy = Path(shutil.copytree(run, run.with_name(name)))
        record = json.loads((copy / "run.json").read_text())
        record["corpus"]["name"] = name
        (copy / "run.json").write_text(json.dumps(record))
        copies.append(copy)
    return copies


def test_runs_and_lint(capsys, recipe: Path, run: Path) -> None:
    (row,) = [r for r in asked(capsys, "runs", run.parent) if r["name"] == "run"]
    assert (row["entries"], row["problem"]) == ("svm; knn; one", "")
    pairs = asked(capsys, "runs", run, run)
    assert {p["difference"] for p in pairs} == {0.0}
    assert asked(capsys, "lint", run)["clean"] is True
    ranks = asked(capsys, "runs", *of_other_corpora(run))
    assert {e["entry"]: len(e["scores"]) for e in ranks["entries"]} == dict.fromkeys(
        ["svm", "knn", "one"], 3
    )
    assert 0 <= ranks["friedman_p"] <= 1 or ranks["friedman_p"] is None


def test_predict(capsys, recipe: Path, tiny: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    assert main(["train", str(recipe), "--entry", "knn", "-o", str(model), "-j", "1"]) == 0
    wavs = sorted(tiny.parent.rglob("*.wav"))[:2]
    (tmp_path / "bad.wav").write_bytes(b"")
    said = asked(capsys, "predict", model, *wavs, tmp_path / "bad.wav", code=2)
    assert [Path(p["file"]).name for p in said["predictions"]] == [w.name for w in wavs]
    for row in said["predictions"]:
        assert sum(row["probabilities"].values()) == pytest.approx(1.0)
        assert row["prediction"] in row["probabilities"]
        assert (row["start"], row["end"]) == (0.0, None)
    assert [f["reason"] for f in said["failures"]] == ["empty-file"]
    assert said["trained_on"]["synthetic"] is True


def test_stores(capsys, tiny: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SERFEAT_CACHE", str(tmp_path))
    assert main(["extract", str(tiny), "-o", str(tmp_path / "t.csv"), "--features", "zcr"]) == 0
    (store,) = [p.parent for p in tmp_path.rglob("store.json")]
    (said,) = asked(capsys, "store", "verify", tmp_path)
    assert (said["rows"], said["problems"], said["folder"]) == (24, [], str(store))
    same = asked(capsys, "store", "diff", store, store)
    assert (same["differ"], same["rows"], same["bit_equal"]) == (False, 24, same["cells"])
    (done,) = asked(capsys, "store", "compact", tmp_path)
    assert done["store"] == str(store)
    merged = asked(capsys, "store", "merge", store, "-o", tmp_path / "merged" / store.name)
    assert merged["files"] >= 1
    segment = next(store.glob("seg-*"))
    segment.write_bytes(segment.read_bytes()[:-50])
    (said,) = asked(capsys, "store", "verify", store, code=2)
    assert said["problems"][0][0] == segment.name


def test_check_and_agree(capsys, tiny: Path) -> None:
    said = asked(capsys, "check", tiny)
    assert said["ok"] is True
    assert sum(row["anger"] for row in said["counts"]) == 8
    pytest.importorskip("parselmouth")
    rows = asked(capsys, "agree", tiny, "--backend", "praat", "--limit", 2)
    assert {row["backend"] for row in rows} == {"praat"}
