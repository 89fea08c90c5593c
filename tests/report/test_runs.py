"""Stored runs: what is listed, and what may be compared with what."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat import metrics
from serfeat.cli import main
from serfeat.compare import compare
from serfeat.errors import StoreError
from serfeat.manifest_csv import read_manifest
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.runs import as_json, as_rows, compare_runs, list_runs

Make = Callable[..., Path]
HELD = "leave_one_speaker_out"
TWO = {"svm": ("classical", 0.8, 0.9), "knn": ("classical", 0.3, 0.6)}
SMALL = {"entries": TWO, "protocols": (HELD,), "control": False, "clips": 3}


def _change(folder: Path, **changes: object) -> None:
    """Change run.json."""
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(info | changes))


def test_list_names_the_best_entry_of_held_out_speakers(tmp_path: Path, make_run: Make) -> None:
    """Seen to fail with idxmin, and with the first protocol of the list instead of the held-out."""
    make_run(tmp_path / "b" / "deep", entries=TWO, clips=2, protocols=("random_kfold(10)", HELD))
    make_run(tmp_path / "a", **SMALL)
    (tmp_path / "a" / "lint.json").write_text('{"clean": true, "findings": [], "checked": []}')
    table = list_runs(tmp_path)
    assert list(table["name"]) == ["a", "b/deep"]
    assert list(table["best"]) == ["svm", "svm"]
    assert list(table["protocol"]) == [HELD, HELD]
    assert list(table["lint"]) == ["clean", "not linted"]
    rows = pd.read_parquet(tmp_path / "a" / "predictions.parquet")
    rows = rows[rows["entry"] == "svm"]
    labels = sorted(set(rows["truth"]))
    value = metrics.uar(list(rows["truth"]), list(rows["prediction"]), labels)
    assert table["value"][0] == pytest.approx(value, abs=1e-12)
    assert table["low"][0] < value < table["high"][0]
    assert (table["problem"] == "").all()


def test_list_survives_a_broken_run(tmp_path: Path, make_run: Make) -> None:
    """One unreadable folder is a row that says so; seen to fail without the `except`."""
    make_run(tmp_path / "good", **SMALL)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "run.json").write_text("{}")
    table = list_runs(tmp_path).set_index("name")
    assert "StoreError" in table["problem"]["broken"]
    assert "without corpus" in table["problem"]["empty"]
    assert table["problem"]["good"] == ""
    assert {len(r) for r in as_rows(list_runs(tmp_path))} == {17}
    with pytest.raises(StoreError, match="not a folder"):
        list_runs(tmp_path / "nowhere")


def test_difference_is_second_minus_first(tmp_path: Path, make_run: Make) -> None:
    """Hand made: the second run has all of svm right; seen to fail with a and b swapped."""
    a, b = (make_run(tmp_path / name, **SMALL) for name in "ab")
    rows = pd.read_parquet(b / "predictions.parquet").reset_index(drop=True)
    wrong = rows.index[(rows["entry"] == "svm") & (rows["prediction"] != rows["truth"])]
    rows.loc[wrong, "prediction"] = rows.loc[wrong, "truth"]
    rows.to_parquet(b / "predictions.parquet")
    table = compare_runs(a, b).set_index("entry")
    assert table["uar_b"]["svm"] == 1.0
    assert table["difference"]["svm"] == pytest.approx(1.0 - table["uar_a"]["svm"], abs=1e-12)
    assert table["low"]["svm"] > 0
    assert table["p_holm"]["svm"] < 0.05
    assert table["difference"]["knn"] == 0.0
    assert table["comparable"].all()
    said = json.loads(as_json(compare_runs(a, b)))
    assert said[0]["entry"] in ("svm", "knn")
    assert [r["low"] for r in said if r["entry"] == "knn"] == [None]  # no NaN in JSON


@pytest.mark.parametrize("fault", ["clips", "truth", "labels"])
def test_not_comparable(tmp_path: Path, make_run: Make, fault: str) -> None:
    """Other clips, truths or labels: no difference, and why. Seen to fail without each check."""
    a, b = (make_run(tmp_path / name, **SMALL) for name in "ab")
    rows = pd.read_parquet(b / "predictions.parquet")
    if fault == "clips":
        rows["file"] = "other/" + rows["file"]
    elif fault == "truth":
        rows["truth"] = rows["truth"].replace({"anger": "fear", "fear": "anger"})
    else:
        _change(b, labels=["anger", "boredom", "fear", "happiness", "neutral", "disgust"])
    rows.to_parquet(b / "predictions.parquet")
    table = compare_runs(a, b)
    assert not table["comparable"].any()
    assert table["difference"].isna().all()
    word = "only the second ['disgust']" if fault == "labels" else "other clips"
    assert table["notes"].str.contains(word, regex=False).all()


def test_notes_say_what_else_differs(tmp_path: Path, make_run: Make) -> None:
    """Normalisation, settings, version, folds and lint. Seen to fail with each note left out."""
    a, b = (make_run(tmp_path / name, **SMALL) for name in "ab")
    info = json.loads((b / "run.json").read_text())
    for entry in info["entries"]:
        entry |= {"normalisation": "speaker", "params": {"C": 3.0}}
    _change(b, entries=info["entries"], versions={"serfeat": "9.9"})
    rows = pd.read_parquet(b / "predictions.parquet")
    rows["fold"] = np.where(rows["speaker"] < "12", "one", "two")
    rows.to_parquet(b / "predictions.parquet")
    (b / "lint.json").write_text('{"clean": false, "findings": [], "checked": []}')
    words = ("normalisation: global against speaker", "C': 3.0", "serfeat 0.1.0 against 9.9")
    for notes in compare_runs(a, b)["notes"]:
        for word in (*words, "other folds", "a: not linted", "b: leak"):
            assert word in notes
    same = compare_runs(a, a)["notes"]
    assert set(same) == {"a: not linted; b: not linted"}


def test_other_training_clips_are_noted(tiny: Path, tmp_path: Path) -> None:
    """The same test speaker, two thirds of the training clips gone. Seen to be silent."""
    manifest = read_manifest(tiny)
    speaker = manifest.rows["speaker"]
    one = str(speaker.iloc[0])
    protocol = ChosenProtocol("held_out_speakers", {"speakers": one})
    plan = Plan("t", [Entry("knn", "knn", "energy")], [protocol])
    fewer = manifest.with_rows(manifest.rows[speaker.isin([one, str(speaker.iloc[-1])])])
    runs = [
        compare(m, plan, tmp_path / name, listen=False)
        for name, m in (("a", manifest), ("b", fewer), ("c", manifest))
    ]
    (row,) = compare_runs(runs[0], runs[1]).to_dict("records")
    assert row["comparable"]
    assert "trained on other clips" in row["notes"]
    assert compare_runs(runs[0], runs[2])["notes"].to_list() == [""]


def test_dependent_and_synthetic_scores_are_marked(
    tmp_path: Path, make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the list and in the ranks, where no page stands beside them. Seen to be bare."""
    random = SMALL | {"protocols": ("random_kfold(10)",), "synthetic": False}
    make_run(tmp_path / "a", **SMALL | {"synthetic": True})
    make_run(tmp_path / "b", **random)
    table = list_runs(tmp_path).set_index("name")
    assert table["marks"]["a"] == "synthetic speech"
    assert table["marks"]["b"] == "SPEAKER-DEPENDENT"
    assert main(["runs", str(tmp_path)]) == 0
    assert "b: SPEAKER-DEPENDENT" in capsys.readouterr().out


def test_nothing_in_common(tmp_path: Path, make_run: Make) -> None:
    a = make_run(tmp_path / "a", **SMALL)
    b = make_run(tmp_path / "b", **SMALL | {"entries": {"mlp": ("deep", 0.5, 0.5)}})
    with pytest.raises(StoreError, match="no entry under the same protocol"):
        compare_runs(a, b)


def test_hostile_names_cannot_rewrite_a_terminal(tmp_path: Path, make_run: Make) -> None:
    """Seen to fail with `str` in place of `visible`."""
    make_run(tmp_path / "a", **SMALL | {"entries": {"svm\x1b[2J": TWO["svm"]}})
    assert not any("\x1b" in cell for row in as_rows(list_runs(tmp_path)) for cell in row)
