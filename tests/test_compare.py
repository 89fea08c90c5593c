"""The comparison: same rows and folds for all, nothing read from the test fold, resumable."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from serfeat.compare import code as code_module
from serfeat.compare import compare, fitting
from serfeat.compare import tasks as tasks_module
from serfeat.compare.code import code_of
from serfeat.compare.fitting import Task
from serfeat.compare.leaderboard import leaderboard
from serfeat.compare.targets import Known
from serfeat.deploy import predict, train
from serfeat.errors import ModelError, SplitError, UnknownNameError
from serfeat.manifest_csv import read_manifest
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.splits import Fold, folds

PLAN = Plan(
    "tiny",
    entries=(
        Entry("svm", "svm", "prosody"),
        Entry("knn", "knn", "prosody", {"n_neighbors": 3}),
        Entry("timnet", "timnet", "timnet39", {"epochs": 2, "n_dilations": 2}),
    ),
    protocols=(ChosenProtocol("leave_one_speaker_out"), ChosenProtocol("random_kfold", {"n": 3})),
    control=("svm",),
    control_runs=3,
)


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compare(read_manifest(tiny), PLAN, tmp_path_factory.mktemp("run"))


def test_every_entry_predicts_every_row_once(run: Path, tiny: Path) -> None:
    predictions = pd.read_parquet(run / "predictions.parquet")
    rows = read_manifest(tiny).rows
    real = predictions[~predictions["control"]]
    for _, part in real.groupby(["entry", "protocol"]):
        assert sorted(part["file"]) == sorted(rows.index.get_level_values("file"))
    truth = dict(zip(rows.index.get_level_values("file"), rows["emotion"], strict=True))
    assert (predictions["file"].map(truth) == predictions["truth"]).all()
    folds_seen = real.groupby(["protocol", "file"])["fold"].nunique()
    assert (folds_seen == 1).all()  # the same fold for every entry
    p = predictions[["p_anger", "p_neutral", "p_sadness"]]
    assert p.sum(axis=1).to_numpy() == pytest.approx(np.ones(len(p)), abs=1e-5)


def test_scores_come_from_predictions(run: Path) -> None:
    predictions = pd.read_parquet(run / "predictions.parquet")
    board = leaderboard(predictions, labels=["anger", "neutral", "sadness"])
    row = board[(board["entry"] == "svm") & (board["protocol"] == "leave_one_speaker_out")]
    row = row[~row["control"]].iloc[0]
    mine = predictions[
        (predictions["entry"] == "svm")
        & (predictions["protocol"] == "leave_one_speaker_out")
        & ~predictions["control"]
    ]
    assert row["uar"] == pytest.approx(balanced_accuracy_score(mine["truth"], mine["prediction"]))
    assert row["uar"] > 0.5


def test_record_says_what_was_run(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["corpus"]["synthetic"] is True
    assert record["corpus"]["speakers"] == 4
    assert [p["speaker_independent"] for p in record["protocols"]] == [True, False]
    assert record["entries"][2]["kind"] == "deep"
    history = pd.read_parquet(run / "history.parquet")
    assert set(history["entry"]) == {"timnet"}
    assert set(history["epoch"]) == {1, 2}


def test_an_interrupted_run_goes_on(run: Path, tiny: Path, tmp_path: Path, monkeypatch) -> None:
    """Half of the parts are thrown away: only they are trained again, with the same result."""
    folder = tmp_path / "again"
    shutil.copytree(run, folder)
    parts = sorted((folder / "parts").glob("*.json"))
    for part in parts[::2]:
        part.unlink()
    trained = []
    original = fitting.train_and_predict
    monkeypatch.setattr(
        tasks_module, "train_and_predict", lambda task: trained.append(task) or original(task)
    )
    compare(read_manifest(tiny), PLAN, folder)
    assert len(trained) == len(parts[::2])
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "predictions.parquet"),
        pd.read_parquet(run / "predictions.parquet"),
    )


def test_changed_recordings_and_code_are_trained_anew(
    run: Path, tiny: Path, tmp_path: Path, monkeypatch
) -> None:
    """Same names, other sound, or the same sound and other code: no stored part is used."""
    speech = tmp_path / "speech"
    shutil.copytree(tiny.parent, speech)
    plan = Plan("t", PLAN.entries[1:2], PLAN.protocols[:1])
    trained = []
    original = fitting.train_and_predict
    monkeypatch.setattr(
        tasks_module, "train_and_predict", lambda task: trained.append(task) or original(task)
    )

    def again() -> int:
        trained.clear()
        compare(read_manifest(speech / "manifest.csv"), plan, tmp_path / "run")
        return len(trained)

    assert (again(), again()) == (4, 0)
    files = sorted(speech.rglob("*.wav"))
    shutil.copy(files[0], files[1])
    assert (again(), again()) == (4, 0)
    monkeypatch.setattr(tasks_module, "code_of", lambda entry: "other")
    assert (again(), again()) == (4, 0)


def test_workers_do_not_matter(run: Path, tiny: Path, tmp_path: Path) -> None:
    compare(read_manifest(tiny), PLAN, tmp_path, jobs=2)
    a = pd.read_parquet(run / "predictions.parquet")
    b = pd.read_parquet(tmp_path / "predictions.parquet")
    assert (a["prediction"] == b["prediction"]).all()


def test_the_test_fold_cannot_reach_the_model(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    """Test rows' labels and features may be anything: the fitted model stays the same.

    Seen to fail when the scaler was fitted before the split.
    """
    rows = read_manifest(tiny).rows
    made, _ = folds(rows, "leave_one_speaker_out")
    fold: Fold = made[0]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((len(rows), 4)).astype(np.float32)
    fitted = []
    monkeypatch.setattr(
        fitting,
        "fit",
        lambda model, X, y, g, **_: fitted.append((X.copy(), list(y), list(g))) or model.fit(X, y),
    )
    for poison in (False, True):
        truth = rows["emotion"].to_numpy(dtype=str).copy()
        data = X.copy()
        if poison:
            truth[fold.test] = "anger"
            data[fold.test] = 1e6
        np.save(tmp_path / "x.npy", data)
        known = Known(truth, rows["speaker"].to_numpy(dtype=str), None, {})
        task = Task(
            entry=Entry("knn", "knn", "prosody", {"n_neighbors": 1}),
            protocol="p",
            fold=fold,
            seed=0,
            control=False,
            features=tmp_path / "x",
            copies=(),
            conditions={},
            labels=("anger", "neutral", "sadness"),
            dimensions=(),
            known=known.of(fold.known),
            oracle=None,
            families={},
            hop=0.01,
            part=tmp_path / f"{poison}.json",
        )
        assert fitting.train_and_predict(task) is None
    (Xa, ya, ga), (Xb, yb, gb) = fitted
    np.testing.assert_array_equal(Xa, Xb)
    assert (ya, ga) == (yb, gb)
    assert len(ya) == len(fold.train)


def test_errors_before_any_work(tiny: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tiny)
    bad = Plan("t", (Entry("x", "svmm", "prosody"),), PLAN.protocols)
    with pytest.raises(UnknownNameError, match="did you mean 'svm'"):
        compare(manifest, bad, tmp_path)
    lonely = manifest.with_rows(manifest.rows[manifest.rows["speaker"] == "s1"])
    with pytest.raises(SplitError, match="1 speaker"):
        compare(lonely, PLAN, tmp_path)
    gone = manifest.with_rows(manifest.rows.rename(index=lambda f: f"no/{f}", level="file"))
    with pytest.raises(ModelError, match="no recording has features"):
        compare(gone, PLAN, tmp_path)


@pytest.mark.parametrize(
    ("model", "params", "words"),
    [
        ("transformer", {"width": 63}, "x, head transformer: width 63 with 4 heads"),
        ("dcrn", {}, "x, head dcrn: n_features 39 with n_samples 160"),
        ("amrwc", {"n_encoder": 50}, "x, head amrwc: n_encoder 50 of 39 columns"),
    ],
)
def test_a_network_that_cannot_read_its_columns(
    tiny: Path, tmp_path: Path, model: str, params: dict, words: str
) -> None:
    """Is an error before any work; failed: after the features of all recordings were made."""
    plan = Plan("t", (Entry("x", model, "timnet39", params),), PLAN.protocols)
    with pytest.raises(ModelError, match=words):
        compare(read_manifest(tiny), plan, tmp_path)
    assert not (tmp_path / "parts").exists()


def test_an_error_of_a_library_is_one_line(tiny: Path, tmp_path: Path) -> None:
    """scikit-learn refuses a negative C: entry, fold and reason are named, the rest is kept."""
    bad = Plan("t", [PLAN.entries[1], Entry("svm", "svm", "prosody", {"C": -1.0})], PLAN.protocols)
    with pytest.raises(ModelError, match=r"svm, leave_one_speaker_out, speaker s1: .*'C'"):
        compare(read_manifest(tiny), bad, tmp_path)
    assert len(list((tmp_path / "parts").glob("*.json"))) == 7  # knn, on both protocols


def test_train_and_predict(tiny: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tiny)
    train(manifest, PLAN.entries[0], tmp_path / "model")
    lost = predict(tmp_path / "model", [tmp_path / "absent.wav"])
    assert (len(lost.table), [f.reason for f in lost.failures]) == (0, ["missing"])
    result = predict(tmp_path / "model", [tiny.parent])
    assert len(result.table) == 24
    truth = manifest.rows["emotion"].to_numpy()
    by_name = result.table.reset_index()
    by_name["file"] = by_name["file"].map(lambda f: Path(f).name)
    order = [Path(f).name for f in manifest.rows.index.get_level_values("file")]
    by_file = by_name.set_index("file").loc[order]
    assert balanced_accuracy_score(truth, by_file["prediction"].astype(str)) > 0.8
    assert by_file.filter(like="p_").sum(axis=1).to_numpy() == pytest.approx(np.ones(24))
    one = manifest.with_rows(manifest.rows[manifest.rows["emotion"] == "anger"])
    with pytest.raises(ModelError, match="expected two or more"):
        train(one, PLAN.entries[0], tmp_path / "m2")


def test_code_of_every_model_is_in_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of an interrupted run are not used again after any of these files has changed.

    Seen to catch: folders of models that are looked for beside serfeat/compare.
    """
    read: list[str] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda p: (read.append(p.as_posix()), real(p))[1])
    code_of(PLAN.entries[0])
    for file in (
        "models/classical.py",
        "heads/timnet.py",
        "tuning/__init__.py",
        "tuning/search.py",
        "explain/permutation.py",
        "compare/fitting.py",
        "families.py",
        "metrics.py",
        "plan.py",
        "sequences.py",
    ):
        assert any(name.endswith(f"serfeat/{file}") for name in read), file


def test_libraries_of_an_entry_are_in_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade the record states the new versions: a part of the old ones is made again.

    Seen to catch: a digest of our own files alone, so that a run of scikit-learn 1.6 said 99.0.
    """
    entries = {m: Entry(m, m, "prosody") for m in ("svm", "xgb", "timnet")}

    def codes() -> dict[str, str]:
        return {name: code_of(entry) for name, entry in entries.items()}

    before, installed = codes(), code_module.version
    changed = {}
    for package in ("scikit-learn", "torch", "xgboost-cpu", "pandas"):
        monkeypatch.setattr(
            code_module, "version", lambda n, p=package: "99.0" if n == p else installed(n)
        )
        now = codes()
        changed[package] = [name for name in entries if now[name] != before[name]]
    assert changed == {
        "scikit-learn": ["svm", "xgb", "timnet"],
        "torch": ["timnet"],
        "xgboost-cpu": ["xgb"],
        "pandas": [],
    }


def test_other_families_are_explained_anew(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    """Seen to catch: a part that only knew whether decisions are explained, not by what."""
    plan = Plan("t", PLAN.entries[1:2], PLAN.protocols[:1], explain=("knn",))
    manifest = read_manifest(tiny)

    def named() -> set[str]:
        run = compare(manifest, plan, tmp_path, listen=False)
        return set(pd.read_parquet(run / "importance.parquet")["family"])

    first = named()
    monkeypatch.setattr(
        tasks_module, "families", lambda names: {"odd": (0,), "even": range(1, len(names))}
    )
    assert "odd" not in first
    assert named() >= {"odd", "even"}
