"""Regressors of dimensions: scikit-learn's contract, missing targets, closed forms, every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

from serfeat import metrics
from serfeat.errors import ModelError, UnknownNameError
from serfeat.models import MODELS, fit, make_model, model_parameters
from serfeat.models.regression import (
    BoostedTreesRegressor,
    NearestNeighboursRegressor,
    RidgeRegressor,
    SupportVectorRegressor,
)
from serfeat.models.storage import load_model, save_model
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.sequences import Sequences

ABLE = [m.name for m in MODELS.values() if m.regressor is not None]
UNABLE = [m.name for m in MODELS.values() if m.regressor is None]
QUICK = {
    "dbn": {"epochs": 2, "hidden": (8,), "pretrain_epochs": (2, 2)},
    "mlp": {"epochs": 2},
    **{cell: {"epochs": 1, "hidden": 8} for cell in ("rnn", "lstm", "gru")},
    "cnn": {"epochs": 1, "n_frames": 16},
    "cnn1d": {"epochs": 1},
    "parallel_cnn": {"epochs": 1, "filters": 8, "hidden": (8,)},
    "dcrn": {
        "epochs": 1,
        "n_samples": 4,
        "sr": 1000,
        "filters": 8,
        "taps": (5, 9),
        "pool": 4,
        "hidden": 8,
    },
    "transformer": {"epochs": 1, "width": 8, "heads": 2, "layers": 1},
    "timnet": {"epochs": 1, "n_dilations": 2},
    "am_resnet": {"epochs": 1},
    "layer_weights": {"epochs": 1, "hidden": 8},
    "amrwc": {"epochs": 1, "width": 8, "n_encoder": 2},
}


@parametrize_with_checks(
    [
        SupportVectorRegressor(),
        NearestNeighboursRegressor(n_neighbors=3),
        RidgeRegressor(alpha=1.0),
        BoostedTreesRegressor(n_estimators=20),
    ]
)
def test_estimator_contract(estimator, check):
    check(estimator)


def rated(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, two targets on a scale of 1 to 5 of which some are missing, speakers."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    y = np.stack([3 + X[:, 0], 3 - 0.5 * X[:, 1]], axis=1) + 0.1 * rng.standard_normal((n, 2))
    y[::7, 0] = np.nan
    y[3, :] = np.nan
    return X, y, np.array(["a", "b", "c"] * (n // 3))


def test_ridge_and_support_vectors_are_scikit_learns() -> None:
    """On z-scored targets, then undone. Mutation caught: `* self.scale_` left out, mean of 0."""
    X, y, _ = rated()
    known = np.isfinite(y[:, 1])
    t = y[known, 1]
    z = (t - t.mean()) / t.std()
    for ours, theirs in (
        (RidgeRegressor(5.0), Ridge(alpha=5.0)),
        (SupportVectorRegressor(C=2.0, epsilon=0.2), SVR(C=2.0, epsilon=0.2)),
    ):
        expected = theirs.fit(X[known], z).predict(X) * t.std() + t.mean()
        np.testing.assert_allclose(ours.fit(X, y).predict(X)[:, 1], expected, atol=1e-10)


def test_the_scale_of_the_targets_does_not_matter() -> None:
    """y -> 100 y + 7 gives predictions 100 p + 7. Mutation caught: targets not z-scored."""
    X, y, _ = rated()
    for model in (
        SupportVectorRegressor(),
        NearestNeighboursRegressor(),
        RidgeRegressor(),
        BoostedTreesRegressor(n_estimators=20),
    ):
        one = model.fit(X, y).predict(X)
        np.testing.assert_allclose(model.fit(X, 100 * y + 7).predict(X), 100 * one + 7, rtol=1e-3)


def test_a_missing_target_takes_no_part_for_its_own_column_only() -> None:
    """Mutations caught: NaN read as 0 (trees: a gradient for a missing target); rows dropped
    for both targets where one is missing."""
    X, y, _ = rated()
    for model in (
        SupportVectorRegressor(),
        NearestNeighboursRegressor(),
        RidgeRegressor(),
        BoostedTreesRegressor(n_estimators=20, subsample=1.0, colsample_bytree=1.0),
    ):
        both = model.fit(X, y).predict(X)
        known = np.isfinite(y[:, 0])
        alone = model.fit(X[known], y[known, 0]).predict(X)
        assert alone.shape == (len(X),)
        if not isinstance(model, BoostedTreesRegressor):  # whose bins are of all rows
            np.testing.assert_allclose(both[:, 0], alone, atol=1e-8)
        assert metrics.ccc(y[known, 0], both[known, 0]) > 0.5
        assert metrics.ccc(both[:, 0], alone) > 0.99


def test_trees_equal_xgboosts_own_squared_error() -> None:
    """One target, none missing. Mutation caught: gradient with the sign turned, base score 0.5."""
    xgboost = pytest.importorskip("xgboost")
    X, y, _ = rated()
    X, t = X[np.isfinite(y[:, 1])], y[np.isfinite(y[:, 1]), 1]
    z = (t - t.mean()) / t.std()
    theirs = xgboost.XGBRegressor(
        n_estimators=30, max_depth=3, learning_rate=0.1, max_bin=32, base_score=0.0, n_jobs=1
    ).fit(X, z)
    ours = BoostedTreesRegressor(30, 3, 0.1, subsample=1.0, colsample_bytree=1.0).fit(X, t)
    expected = theirs.predict(X) * t.std() + t.mean()
    np.testing.assert_allclose(ours.predict(X), expected, atol=1e-5)


@pytest.mark.parametrize("name", ABLE)
def test_every_model_learns_two_targets_and_is_stored(name: str, tmp_path: Path) -> None:
    """Shape, finite values, the same after a round trip on disk."""
    X, y, groups = rated(24)
    clips = X
    if MODELS[name].level == "lld":
        rng = np.random.default_rng(1)
        clips = Sequences.of([rng.standard_normal((20, 4)) + x for x in X])
    model = fit(make_model(name, task="regression", **QUICK.get(name, {})), clips, y, groups)
    predicted = model.predict(clips)
    assert predicted.shape == (24, 2)
    assert np.isfinite(predicted).all()
    save_model(model, tmp_path / "m", {})
    again, _ = load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(clips), predicted)
    one = fit(model, clips, y[:, 1], groups).predict(clips)
    assert one.shape == (24,)


@pytest.mark.parametrize("name", UNABLE)
def test_models_of_classes_say_what_to_take_instead(name: str) -> None:
    with pytest.raises(ModelError, match=r"no regression; for valence.*svm"):
        make_model(name, task="regression")


def test_bad_words_and_targets_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'regression'"):
        make_model("svm", task="regresion")
    with pytest.raises(UnknownNameError, match="did you mean 'epsilon'"):
        make_model("svm", task="regression", epsilom=0.1)
    with pytest.raises(UnknownNameError, match="label_smoothing"):  # a classifier's
        make_model("mlp", task="regression", label_smoothing=0.1)
    assert "loss" in model_parameters("mlp", task="regression")
    assert "loss" not in model_parameters("mlp")
    X, y, groups = rated()
    model = make_model("ridge", task="regression")
    with pytest.raises(ModelError, match="learns numbers"):
        fit(model, X, np.array(["anger"] * len(X)), groups)
    with pytest.raises(ModelError, match="target number 2 of 2 has no value"):
        fit(model, X, np.c_[y[:, 0], np.full(len(X), np.nan)], groups)
    with pytest.raises(ModelError, match="cannot use tasks"):
        fit(model, X, y, groups, tasks={"sex": groups})


def test_ridge_classifies_too() -> None:
    """A rare class is found. Mutation caught: without class_weight (its recall is 0.3)."""
    rng = np.random.default_rng(0)
    y = np.array(["anger"] * 90 + ["fear"] * 10)
    X = rng.standard_normal((100, 3)) + 1.5 * (y == "fear")[:, None]
    predicted = fit(make_model("ridge", alpha=1.0), X, y, y).predict(X)
    assert metrics.recalls(list(y), list(predicted), ["anger", "fear"]).min() > 0.75


def test_further_tasks_come_out_on_their_own_scale() -> None:
    """Mutations caught: z-scores given back; classes by position in another order; clip order."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 4)).astype(np.float32)
    emotion = np.where(X[:, 0] > 0, "anger", "sadness")
    tasks = {"arousal": 3 + X[:, 1].astype(float), "sex": np.where(X[:, 2] > 0, "male", "female")}
    tasks["arousal"][::5] = np.nan
    model = TorchClassifier(
        "mlp",
        {"hidden": (32,), "dropout": 0.0},
        tasks={"arousal": "ccc", "sex": "classes"},
        epochs=60,
        learning_rate=5e-3,
    ).fit(X, emotion, tasks=tasks)
    said = model.predict_tasks(X)
    known = np.isfinite(tasks["arousal"])
    assert set(said) == {"arousal", "sex"}
    assert metrics.ccc(tasks["arousal"][known], said["arousal"][known]) > 0.9
    assert metrics.war(list(tasks["sex"]), list(said["sex"]), ["female", "male"]) > 0.95
    again = TorchClassifier.from_state(*model.state())
    for name, values in again.predict_tasks(X).items():
        np.testing.assert_array_equal(values, said[name])
    plain = TorchClassifier("mlp", {"hidden": (8,)}, epochs=1).fit(X, emotion)
    assert plain.predict_tasks(X) == {}
