"""Comparisons whose entries learn more than a label, or choose their epoch on the test fold."""

from __future__ import annotations

import json
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from serfeat import tuning
from serfeat.compare import compare, fitting
from serfeat.compare import tasks as tasks_module
from serfeat.errors import FeatureError, ModelError, SerfeatError, SplitError, UnknownNameError
from serfeat.manifest import Manifest, rows_from_records
from serfeat.manifest_csv import read_manifest
from serfeat.metrics import speaker_key
from serfeat.models import stacked, torch_classifier, training
from serfeat.plan import ChosenProtocol, Entry, Plan
from serfeat.votes import kinds as vote_kinds

HELD_OUT = (ChosenProtocol("leave_one_speaker_out"),)
KFOLD = (ChosenProtocol("speaker_kfold", {"n": 2}),)
RANDOM = (ChosenProtocol("random_kfold", {"n": 2}),)
SMALL = {"epochs": 3, "n_dilations": 2, "filters": 6}


@pytest.fixture
def rated(tiny: Path) -> Manifest:
    """The tiny corpus with made-up votes, sex and arousal."""
    manifest = read_manifest(tiny)
    rows = manifest.rows.copy()
    for emotion in ("anger", "neutral", "sadness"):
        rows[f"votes_{emotion}"] = np.where(rows["emotion"] == emotion, 4.0, 1.0)
    rows.loc[rows.index[:2], ["votes_anger", "votes_neutral", "votes_sadness"]] = 0.0
    rows["arousal"] = np.where(rows["emotion"] == "anger", 1.0, -0.5)
    return manifest.with_rows(rows)


def test_an_oracle_is_marked_in_every_name_and_never_lower(rated: Manifest, tmp_path: Path) -> None:
    """The name in all tables says it. Caught: the test rows of another fold given as the oracle."""
    oracle = Entry("timnet", "timnet", "timnet39", SMALL | {"selection": "test_oracle"})
    plain = Entry("timnet_last", "timnet", "timnet39", SMALL)
    plan = Plan("t", (oracle, plain), HELD_OUT)
    run = compare(rated, plan, tmp_path)
    predictions = pd.read_parquet(run / "predictions.parquet")
    assert set(predictions["entry"]) == {"timnet [epoch chosen on test]", "timnet_last"}
    record = json.loads((run / "run.json").read_text())
    assert record["entries"][0]["name"] == "timnet [epoch chosen on test]"
    assert record["selection"].startswith("THE EPOCH OF timnet [epoch chosen on test] WAS CHOSEN")
    history = pd.read_parquet(run / "history.parquet")
    best = history[history["entry"] == oracle.label].groupby("fold")["validation_uar"].max()
    for fold, part in predictions[predictions["entry"] == oracle.label].groupby("fold"):
        right = part["truth"] == part["prediction"]
        assert right.groupby(part["truth"]).mean().mean() == pytest.approx(best[fold])


def test_votes_and_tasks_reach_the_training_and_only_its_rows(
    rated: Manifest, tmp_path: Path, monkeypatch
) -> None:
    """Caught: shares of all rows (so also of the test speaker) handed to `fit`."""
    seen = []
    original = fitting.fit

    def spy(model, X, y, groups, **given):
        seen.append((y, given))
        return original(model, X, y, groups, **given)

    monkeypatch.setattr(fitting, "fit", spy)
    params = SMALL | {"tasks": {"arousal": "ccc", "speaker": "adversarial"}}
    entry = Entry("timnet", "timnet", "timnet39", params, targets="votes")
    run = compare(rated, Plan("t", (entry,), HELD_OUT), tmp_path)
    assert len(pd.read_parquet(run / "predictions.parquet")) == len(rated.rows)
    for y, given in seen:
        shares = given["proportions"]
        assert shares.shape == (len(y), 3)
        labels = np.array(["anger", "neutral", "sadness"])
        assert (labels[shares.argmax(axis=1)] == y).all()
        assert sorted(set(np.round(shares.max(axis=1), 3))) in ([0.667], [0.667, 1.0])
        assert set(given["tasks"]) == {"arousal", "speaker"}
        assert len(given["tasks"]["speaker"]) == len(y) < len(rated.rows)
        assert given["oracle"] is None


@pytest.mark.parametrize("model", ["svm", "timnet"])
def test_clear_clips_alone_are_learnt_and_all_are_tested(
    rated: Manifest, tmp_path: Path, monkeypatch, model: str
) -> None:
    """Caught: the choice lost on the way, and the ambiguous clips left out of the test as well."""
    rows = rated.rows.copy()
    torn = rows.index[::3]  # as many votes for another emotion
    rows.loc[torn, ["votes_anger", "votes_neutral"]] = 4.0
    rows.loc[rows.index[0], ["votes_anger", "votes_neutral", "votes_sadness"]] = [1.0, 0.0, 0.0]
    clear = vote_kinds(rows, ["anger", "neutral", "sadness"]) == "clear"
    assert 0 < clear.sum() < len(rows) - len(torn) + 1
    seen = []
    original = fitting.fit

    def spy(fitted, X, y, groups, **given):
        seen.append(groups)
        return original(fitted, X, y, groups, **given)

    monkeypatch.setattr(fitting, "fit", spy)
    features = "prosody" if model == "svm" else "timnet39"
    entry = Entry(model, model, features, {} if model == "svm" else SMALL, train_on="clear")
    run = compare(rated.with_rows(rows), Plan("t", (entry,), HELD_OUT), tmp_path)
    predictions = pd.read_parquet(run / "predictions.parquet")
    assert len(predictions) == len(rows)
    speakers = speaker_key(rows).to_numpy(str)
    for held_out, groups in zip(np.unique(speakers), seen, strict=True):
        assert sorted(groups) == sorted(speakers[clear & (speakers != held_out)])
    assert json.loads((run / "run.json").read_text())["entries"][0]["train_on"] == "clear"


def test_clear_clips_hold_every_label_in_every_fold(rated: Manifest, tmp_path: Path) -> None:
    """Failed: a label whose clips are all ambiguous was never learnt, and nobody said so."""
    rows = rated.rows.copy()
    torn = rows.index[rows["emotion"] == "sadness"]
    rows.loc[torn, ["votes_anger", "votes_neutral"]] = 4.0
    plan = Plan("t", (Entry("svm", "svm", "prosody", train_on="clear"),), HELD_OUT)
    with pytest.raises(ModelError, match=r"svm, leave_one.*, speaker \w+: train_on = clear leaves "
                       "no training row with sadness"):  # fmt: skip
        compare(rated.with_rows(rows), plan, tmp_path)
    assert not (tmp_path / "parts").exists()  # before any work


def test_what_a_manifest_lacks_or_a_model_cannot_use_is_one_clear_line(
    rated: Manifest, tmp_path: Path
) -> None:
    entry = Entry("timnet", "timnet", "timnet39", SMALL | {"tasks": {"tension": "ccc"}})
    with pytest.raises(ModelError, match="timnet: the task 'tension' is no column"):
        compare(rated, Plan("t", (entry,), HELD_OUT), tmp_path / "a")
    entry = Entry("svm", "svm", "prosody", targets="votes")
    with pytest.raises(ModelError, match=r"SupportVectors cannot use proportions"):
        compare(rated, Plan("t", (entry,), HELD_OUT), tmp_path / "b")
    entry = Entry("svm", "svm", "prosody", train_on="clear")
    unrated = rated.with_rows(rated.rows.drop(columns=["votes_anger"]))
    with pytest.raises(SerfeatError, match="anger"):
        compare(unrated, Plan("t", (entry,), HELD_OUT), tmp_path / "c")


def test_a_killed_training_goes_on_in_the_run(rated: Manifest, tmp_path: Path, monkeypatch) -> None:
    """Caught: checkpoints of one fold used by another, checkpoints that stay behind."""
    plan = Plan("t", (Entry("timnet", "timnet", "timnet39", SMALL | {"every": 1}),), HELD_OUT)
    whole = pd.read_parquet(compare(rated, plan, tmp_path / "whole") / "predictions.parquet")
    epoch, done = training._epoch, []

    def dies(*args, **kwargs):
        if len(done) == 4:  # the second fold's second epoch
            done.append(1)
            raise KeyboardInterrupt
        done.append(1)
        return epoch(*args, **kwargs)

    monkeypatch.setattr(training, "_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        compare(rated, plan, tmp_path / "killed")
    assert len(list((tmp_path / "killed" / "parts").glob("*.training"))) == 1
    again = pd.read_parquet(compare(rated, plan, tmp_path / "killed") / "predictions.parquet")
    pd.testing.assert_frame_equal(again, whole)
    assert len(done) == 5 + 3 * 4 - 4
    assert not list((tmp_path / "killed" / "parts").glob("*.training"))


def test_stacked_folds_give_the_predictions_of_single_ones(
    rated: Manifest, tmp_path: Path, monkeypatch
) -> None:
    """As on a GPU, here on the CPU. Caught: the folds' predictions exchanged, scalers shared."""
    entry = Entry("timnet", "timnet", "timnet39", SMALL | {"dropout": 0.0, "learning_rate": 1e-3})
    plan = Plan("t", (entry,), HELD_OUT)
    single = pd.read_parquet(compare(rated, plan, tmp_path / "single") / "predictions.parquet")
    groups = []
    original = tasks_module.train_stacked
    monkeypatch.setattr(tasks_module, "stack_key", lambda task: task.entry.name)
    monkeypatch.setattr(
        tasks_module, "train_stacked", lambda group: groups.append(group) or original(group)
    )
    stacked = pd.read_parquet(compare(rated, plan, tmp_path / "stacked") / "predictions.parquet")
    assert [len(g) for g in groups] == [4]
    columns = [c for c in single if c.startswith("p_")]
    np.testing.assert_allclose(stacked[columns], single[columns], atol=2e-3)
    others = [c for c in single if not c.startswith("p_") and c != "prediction"]
    pd.testing.assert_frame_equal(stacked[others], single[others])


def test_folds_that_torch_cannot_stack_are_trained_one_by_one(
    rated: Manifest, tmp_path: Path, monkeypatch
) -> None:
    """Caught: an LSTM under `vmap`, or a full memory, that failed every fold of the entry."""

    def fails(*_):
        raise RuntimeError("Batching rule not implemented for aten::lstm.input")

    entry = Entry("timnet", "timnet", "timnet39", SMALL)
    plan = Plan("t", (entry,), HELD_OUT)
    single = pd.read_parquet(compare(rated, plan, tmp_path / "single") / "predictions.parquet")
    monkeypatch.setattr(tasks_module, "stack_key", lambda task: task.entry.name)
    monkeypatch.setattr("serfeat.models.stacked.fit_stacked", fails)
    after = pd.read_parquet(compare(rated, plan, tmp_path / "after") / "predictions.parquet")
    pd.testing.assert_frame_equal(after, single)


def test_one_training_at_a_time_on_a_gpu(rated: Manifest, tmp_path: Path, monkeypatch) -> None:
    """Caught: a process for every core, each with its own share of the one GPU."""
    entries = (Entry("knn", "knn", "prosody"), Entry("mlp", "mlp", "prosody", {"epochs": 1}))
    calls = []
    run = tasks_module.run

    def spied(function, groups, *, jobs, isolated=False, **settings):
        calls.append(([group[0].entry.name for group in groups], jobs, isolated))
        return run(function, groups, jobs=1, **settings)

    monkeypatch.setattr(tasks_module, "run", spied)
    monkeypatch.setattr(tasks_module, "on_gpu", lambda task: task.entry.model == "mlp")
    folder = compare(rated, Plan("t", entries, KFOLD), tmp_path / "run", jobs=2)
    assert calls == [(["knn", "knn"], 2, False), (["mlp", "mlp"], 1, True)]
    said = pd.read_parquet(folder / "predictions.parquet")
    assert said.groupby("entry").size().to_dict() == {"knn": 24, "mlp": 24}


def test_what_is_trained_on_a_gpu(rated: Manifest, tmp_path: Path, monkeypatch) -> None:
    """Caught: a network that is to stay on the CPU, and a table's model, waiting for the GPU."""
    entries = (
        Entry("knn", "knn", "prosody"),
        Entry("auto", "mlp", "prosody", {"epochs": 1}),
        Entry("cpu", "mlp", "prosody", {"epochs": 1, "device": "cpu"}),
    )
    asked = []
    monkeypatch.setattr(tasks_module, "on_gpu", lambda task: asked.append(task) or False)
    compare(rated, Plan("t", entries, KFOLD), tmp_path / "run")
    assert not any(map(fitting.on_gpu, asked))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    there = {task.entry.name: fitting.on_gpu(task) for task in asked}
    assert there == {"knn": False, "auto": True, "cpu": False}


@pytest.mark.parametrize("fits", [2, 0])
def test_folds_that_do_not_fit_into_the_memory_are_halved(
    rated: Manifest, tmp_path: Path, monkeypatch, fits: int
) -> None:
    """Caught: the stack that did not fit still filled the GPU while its folds were trained."""
    entry = Entry("timnet", "timnet", "timnet39", SMALL | {"dropout": 0.0, "learning_rate": 1e-3})
    plan = Plan("t", (entry,), HELD_OUT)
    single = pd.read_parquet(compare(rated, plan, tmp_path / "single") / "predictions.parquet")
    sizes, alive, alone = [], [], []
    train, train_alone = stacked._Stack.train, fitting.train_and_predict

    def narrow(stack):
        assert not any(held() is not None for held in alive)
        sizes.append(len(stack.folds))
        if len(stack.folds) <= fits:
            return train(stack)
        alive.append(weakref.ref(stack.x))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def spied(task):
        assert not any(held() is not None for held in alive)
        alone.append(task)
        return train_alone(task)

    monkeypatch.setattr(tasks_module, "stack_key", lambda task: task.entry.name)
    monkeypatch.setattr(stacked._Stack, "train", narrow)
    monkeypatch.setattr(fitting, "train_and_predict", spied)
    after = pd.read_parquet(compare(rated, plan, tmp_path / "after") / "predictions.parquet")
    assert sizes == [4, 2, 2]
    assert len(alone) == (0 if fits else 4)
    columns = [c for c in single if c.startswith("p_")]
    np.testing.assert_allclose(after[columns], single[columns], atol=2e-3)


@pytest.mark.parametrize("model", ["svm", "timnet"])
def test_versions_are_of_training_clips_alone(
    rated: Manifest, tmp_path: Path, monkeypatch, model: str
) -> None:
    """Caught: versions of the test clips in training, labels in another order than the versions."""
    seen = []
    original = fitting.fit

    def spy(pipeline, X, y, groups, **given):
        seen.append((X, y, groups))
        return original(pipeline, X, y, groups, **given)

    monkeypatch.setattr(fitting, "fit", spy)
    augment = {"copies": 2, "noise": [10, 20], "speed": [0.9, 1.1]}
    features = "prosody" if model == "svm" else "timnet39"
    entry = Entry(model, model, features, SMALL if model == "timnet" else {}, augment=augment)
    run = compare(rated, Plan("t", (entry,), HELD_OUT), tmp_path)
    predictions = pd.read_parquet(run / "predictions.parquet")
    assert len(predictions) == len(rated.rows)
    speakers = sorted(set(rated.rows["speaker"]))
    for (X, y, groups), held_out in zip(seen, speakers, strict=True):
        n = len(y) // 3
        assert n == (rated.rows["speaker"] != held_out).sum()
        assert held_out not in groups
        assert (y[:n] == y[n : 2 * n]).all()
        assert (y[:n] == y[2 * n :]).all()
        first, second, third = (
            np.array([np.nanmean(X[i]) for i in range(k * n, (k + 1) * n)]) for k in range(3)
        )
        assert (first != second).all()
        assert (second != third).all()
        if model == "svm":  # a version is far more like its clip than like the others
            assert np.corrcoef(first, second)[0, 1] > 0.5


def test_augmentations_that_cannot_be(rated: Manifest, tmp_path: Path) -> None:
    for augment, match in (({"copies": 0}, "copies is 0"), ({"nois": [1, 2]}, "'noise'")):
        entry = Entry("svm", "svm", "prosody", augment=augment)
        with pytest.raises((FeatureError, UnknownNameError), match=match):
            compare(rated, Plan("t", (entry,), HELD_OUT), tmp_path)


def test_no_version_of_a_clip_chooses_the_epoch(
    rated: Manifest, tmp_path: Path, monkeypatch
) -> None:
    """The held-out speakers' versions are neither trained on nor judged.

    Seen to catch: three times as many clips judged, two thirds of them with noise.
    """
    judged = []
    original = torch_classifier._recalls
    monkeypatch.setattr(
        torch_classifier,
        "_recalls",
        lambda module, clips, *rest: judged.append(len(clips)) or original(module, clips, *rest),
    )
    augment = {"copies": 2, "noise": [10, 20]}
    params = {"epochs": 1, "selection": "validation"}
    entry = Entry("mlp", "mlp", "prosody", params, augment=augment)
    compare(rated, Plan("t", (entry,), HELD_OUT), tmp_path, listen=False)
    assert judged == [6] * 4  # clips of one speaker


def test_validation_clips_of_a_protocol_choose(
    rated: Manifest, tmp_path: Path, monkeypatch
) -> None:
    """An epoch and a parameter are chosen on them, on nothing else.

    Seen to catch: speakers drawn anew among all rows that a fold learns from.
    """
    speaker = rated.rows["speaker"]
    first, second = sorted(set(speaker))[:2]
    sides = np.where(speaker == first, "test", np.where(speaker == second, "validation", "train"))
    manifest = rated.with_rows(rated.rows.assign(split=sides))
    fits, scored = [], []
    original, inner = fitting.fit, tuning._scores

    def spy(model, X, y, groups, **given):
        fits.append((groups, given["validation"]))
        return original(model, X, y, groups, **given)

    def searched(pipeline, fit, parts, X, y, known):
        scored.extend((set(known["groups"][a]), set(known["groups"][b])) for a, b in parts)
        return inner(pipeline, fit, parts, X, y, known)

    monkeypatch.setattr(fitting, "fit", spy)
    monkeypatch.setattr(tuning, "_scores", searched)
    entries = (
        Entry("mlp", "mlp", "prosody", {"epochs": 2, "selection": "validation"}),
        Entry("xgb", "xgb", "prosody", {"patience": 2, "n_estimators": 5}),
        Entry("knn", "knn_dellaert", "prosody"),
        Entry("ridge", "ridge", "prosody", tune={"alpha": [0.1, 1.0]}),
    )
    plan = Plan("t", entries, (ChosenProtocol("predefined"),))
    run = compare(manifest, plan, tmp_path, listen=False)
    assert len(fits) == len(entries)
    for groups, validation in fits:
        assert set(np.asarray(groups)[validation]) == {second}
        assert set(np.asarray(groups)) == set(speaker) - {first}
    assert scored == [(set(speaker) - {first, second}, {second})] * 2
    record = json.loads((run / "run.json").read_text())
    assert "scored on the validation clips" in record["entries"][-1]["tuning"]
    assert "sets 6 of the rows" in record["protocols"][0]["words"]


def segments(folder: Path, n: int = 24) -> Manifest:
    """Four files of n / 4 segments each, two corpora with the same speakers, a table of numbers."""
    i = np.arange(n)
    rows = rows_from_records(
        [
            {
                "file": f"long{k // (n // 4)}.wav",
                "start": float(k),
                "end": k + 1.0,
                "corpus": "other" if k >= n // 2 else "one",
                "speaker": f"0{k % 3}",
                "emotion": ("anger", "neutral")[k // 3 % 2],
            }
            for k in range(n)
        ]
    )
    rows["arousal"] = np.linspace(0, 1, n)
    table = pd.DataFrame({"file": rows.index.get_level_values("file"), "start": i, "end": i + 1})
    table["a__mean"], table["b__mean"] = rows["arousal"].to_numpy(), i % 5
    table.drop(index=[0, 1]).to_csv(folder / "f.csv", index=False)
    return Manifest(rows, folder, "segments")


def test_clips_and_people_are_counted_not_files_and_codes(tmp_path: Path) -> None:
    """Seen to catch: lost segments of a file as one failure; "00" of two corpora as one speaker."""
    manifest = segments(tmp_path)
    plan = Plan("t", (Entry("knn", "knn", "table:f.csv"),), KFOLD, folder=tmp_path)
    run = compare(manifest, plan, tmp_path / "run", listen=False)
    record = json.loads((run / "run.json").read_text())
    assert record["corpus"]["rows"] == 22
    assert record["extraction"]["failures"] == len(record["failures"]) == 2
    assert record["corpus"]["speakers"] == 6
    counts = record["corpus"]["counts"]
    assert set(counts) == {f"{c}/0{k}" for c in ("one", "other") for k in range(3)}
    assert sum(sum(of.values()) for of in counts.values()) == 22


def test_the_curve_of_a_regression_is_kept(tmp_path: Path) -> None:
    """Seen to catch: a column of validation scores that is empty in every epoch."""
    params = {"epochs": 2, "selection": "validation", "hidden": [4]}
    plan = Plan(
        "t",
        (Entry("mlp", "mlp", "table:f.csv", params),),
        KFOLD,
        dimensions=("arousal",),
        folder=tmp_path,
    )
    run = compare(segments(tmp_path), plan, tmp_path / "run", listen=False)
    history = pd.read_parquet(run / "history.parquet")
    assert history["validation_ccc"].notna().all()
    assert history["validation_uar"].isna().all()


def test_what_cannot_be_normalised_or_tuned_is_said_before_any_work(tmp_path: Path) -> None:
    """Seen to catch: unnamed speakers as one voice; a refusal after everything was trained."""
    manifest = segments(tmp_path)
    unnamed = manifest.with_rows(manifest.rows.assign(speaker=""))
    entry = Entry("knn", "knn", "table:f.csv", normalisation="speaker")
    numbers = Plan("t", (entry,), RANDOM, dimensions=("arousal",), folder=tmp_path)
    with pytest.raises(SplitError) as refused:
        compare(unnamed, numbers, tmp_path / "a", listen=False)
    assert refused.value.code == "no-speaker"
    entry = Entry("svm", "svm", "table:f.csv", {"C": 10.0}, tune={"C": [0.1, 1.0]})
    with pytest.raises(SerfeatError, match="C"):
        compare(manifest, Plan("t", (entry,), KFOLD, folder=tmp_path), tmp_path / "b", listen=False)
    assert not list(tmp_path.glob("[ab]/parts/*.json"))
