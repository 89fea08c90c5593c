"""The classical models against scikit-learn and on planted truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from serfeat.errors import ModelError, UnknownNameError
from serfeat.models import MODELS, fit, make_model
from serfeat.models.classical import SupportVectors, _inner_parts
from serfeat.models.gmm import GMMClassifier
from serfeat.models.preparation import FramePreparation
from serfeat.sequences import Sequences

TABLE_MODELS = [m.name for m in MODELS.values() if m.level == "functionals"]
CLASSICAL = [m for m in TABLE_MODELS if MODELS[m].kind == "classical"]


def blobs(n: int = 120, classes: int = 3, k: int = 6, seed: int = 0, spread: float = 1.5):
    rng = np.random.default_rng(seed)
    y = np.array(["anger", "neutral", "sadness"])[np.arange(n) % classes]
    centre = rng.standard_normal((classes, k)) * 2
    X = centre[np.arange(n) % classes] + spread * rng.standard_normal((n, k))
    return X.astype(np.float32), y, np.array([f"s{i % 4}" for i in range(n)])


def sequences(n: int = 30, seed: int = 0):
    """Clips whose frames come from one Gaussian per class; single frames overlap widely."""
    rng = np.random.default_rng(seed)
    y = np.array(["anger", "neutral", "sadness"])[np.arange(n) % 3]
    clips = [rng.standard_normal((rng.integers(20, 60), 4)) + 0.5 * (i % 3) for i in range(n)]
    return Sequences.of(clips), y


def test_knn_is_sklearns() -> None:
    X, y, g = blobs()
    ours = fit(make_model("knn"), X, y, g).predict(X[::2] + 0.1)
    reference = make_pipeline(StandardScaler(), KNeighborsClassifier(9, weights="distance")).fit(
        X, y
    )
    assert (ours == reference.predict(X[::2] + 0.1)).all()


def test_knn_with_fewer_rows_than_neighbours() -> None:
    X, y, g = blobs(6)
    model = fit(make_model("knn", n_neighbors=9), X, y, g)
    assert model.predict_proba(X).shape == (6, 3)


@pytest.mark.parametrize("speakers", [4, 1])
def test_versions_of_a_row_go_with_it_and_are_not_tested(speakers: int) -> None:
    """k and the temperature are chosen on recorded rows; also where no speaker can be held out.

    Meant to catch: a row in training whose version is tested, or the other way round.
    """
    y = np.array(["a", "b"] * 6)
    who = np.array([f"s{i % speakers}" for i in range(12)])
    parts = _inner_parts(np.tile(y, 3), np.tile(who, 3), 3, recorded=12)
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(12))
    for train, test in parts:
        assert set(train % 12).isdisjoint(test)
        assert sorted(train) == sorted(
            row for row in range(36) if row % 12 not in test
        )  # and none is lost


@pytest.mark.parametrize("name", ["knn_dellaert", "xgb"])
def test_what_is_chosen_is_chosen_on_what_is_set_apart(name: str) -> None:
    """The labels of the rows set apart are exchanged: what fits them is another k, fewer trees.

    Meant to catch: rows that are handed on and not looked at.
    """
    X, y, speakers = blobs(spread=3.0)
    apart = speakers == "s0"
    wrong = np.where(apart, np.roll(y, 1), y)
    params = {"patience": 5, "n_estimators": 60} if name == "xgb" else {}

    def chosen(labels: np.ndarray, validation: np.ndarray | None) -> int:
        model = make_model(name, **params)
        last = fit(model, X, labels, speakers, validation=validation).steps[-1][1]
        return last.booster_.num_boosted_rounds() if name == "xgb" else last.k_

    assert chosen(wrong, apart) != chosen(y, apart)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_svm_is_sklearns(kernel: str) -> None:
    X, y, g = blobs()
    ours = fit(make_model("svm", kernel=kernel, C=2.0), X, y, g)
    svc = SVC(C=2.0, kernel=kernel, class_weight="balanced", break_ties=True)
    reference = make_pipeline(StandardScaler(), svc).fit(X, y)
    assert (ours.predict(X + 0.1) == reference.predict(X + 0.1)).all()


def test_svm_probabilities_are_calibrated_and_agree_with_the_prediction() -> None:
    """Catches a temperature of 1 and a temperature fitted on the training rows themselves."""
    X, y, g = blobs(400, spread=2.5)
    Xt, yt, _ = blobs(400, spread=2.5, seed=0)
    Xt = Xt + np.random.default_rng(9).standard_normal(Xt.shape).astype(np.float32)
    model = SupportVectors().fit(X, y, groups=g)
    p = model.predict_proba(Xt)
    assert p.sum(axis=1) == pytest.approx(1)
    assert (model.classes_[p.argmax(axis=1)] == model.predict(Xt)).all()
    raw = softmax(model.svc_.decision_function(Xt) / 0.05, axis=1)  # far too sure
    assert log_loss(yt, p, labels=model.classes_) < log_loss(yt, raw, labels=model.classes_)
    assert 0.02 < model.temperature_ < 50


@pytest.mark.parametrize("name", TABLE_MODELS)
def test_missing_values_and_string_labels(name: str) -> None:
    X, y, g = blobs()
    X[::7, 2] = np.nan
    X[:, 5] = 1.0  # constant
    params = {"epochs": 15} if name == "mlp" else {}
    model = fit(make_model(name, **params), X, y, g)
    assert set(model.predict(X)) <= set(y)
    assert list(model.classes_) == sorted(set(y))
    p = model.predict_proba(X)
    assert p.shape == (len(y), 3)
    assert p.sum(axis=1) == pytest.approx(np.ones(len(y)), abs=1e-5)
    assert balanced_accuracy_score(y, model.predict(X)) > 0.7


@pytest.mark.parametrize("name", CLASSICAL)
def test_scale_and_row_order_do_not_matter(name: str) -> None:
    """Catches a missing scaler (and, for knn and svm, an unscaled distance)."""
    X, y, g = blobs()
    scaled = X * np.array([1, 1000, 0.001, 5, 1, 1], dtype=np.float32)
    params = (
        {"n_estimators": 20, "subsample": 1.0, "colsample_bytree": 1.0} if name == "xgb" else {}
    )
    a = fit(make_model(name, **params), X, y, g).predict_proba(X)
    b = fit(make_model(name, **params), scaled, y, g).predict_proba(scaled)
    assert np.abs(a - b).max() < 0.02


@pytest.mark.parametrize("name", CLASSICAL)
def test_shuffled_labels_score_at_chance(name: str) -> None:
    """The mean of some shufflings: in one, whole clusters can fall to a label by chance."""
    X, y, g = blobs(600)
    rng = np.random.default_rng(1)
    params = {"n_estimators": 30} if name == "xgb" else {}
    scores = []
    for _ in range(6):
        model = fit(make_model(name, **params), X[:300], rng.permutation(y[:300]), g[:300])
        scores.append(balanced_accuracy_score(y[300:], model.predict(X[300:])))
    assert abs(np.mean(scores) - 1 / 3) < 0.1


def test_gmm_is_one_mixture_per_class() -> None:
    """Against scikit-learn's mixtures fitted by hand; catches a mean in place of a sum."""
    X, y = sequences()
    ours = GMMClassifier(n_components=2, max_frames=None).fit(X, y)
    expected = np.empty((len(X), 3))
    for c, label in enumerate(["anger", "neutral", "sadness"]):
        frames = np.concatenate([X[i] for i in range(len(X)) if y[i] == label]).astype(float)
        mixture = GaussianMixture(
            2, covariance_type="diag", init_params="k-means++", reg_covar=1e-3, random_state=0
        ).fit(frames)
        expected[:, c] = [mixture.score_samples(X[i].astype(float)).sum() for i in range(len(X))]
    assert ours.log_likelihood(X) == pytest.approx(expected)
    assert (ours.predict(X) == ours.classes_[expected.argmax(axis=1)]).all()
    fresh, truth = sequences(seed=5)
    assert balanced_accuracy_score(truth, ours.predict(fresh)) > 0.9
    p = ours.predict_proba(fresh)
    assert (ours.classes_[p.argmax(axis=1)] == ours.predict(fresh)).all()


def test_gmm_too_few_frames() -> None:
    X, y = sequences(n=3)
    with pytest.raises(ModelError, match="use fewer components"):
        GMMClassifier(n_components=500).fit(X, y)


def test_frame_preparation() -> None:
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal((n, 3)) * [1, 50, 0] + [0, 100, 7] for n in (5, 9, 12)]
    clips[1][::2, 0] = np.nan
    X = Sequences.of(clips)
    ready = FramePreparation().fit(X)
    Z = ready.transform(X)
    assert Z.shape == (3, 3)  # two varying columns and one indicator; the constant one is gone
    assert np.isfinite(Z.values).all()
    assert Z.values.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-5)
    assert Z.values.std(axis=0) == pytest.approx(np.ones(3), abs=1e-5)
    assert (Z.lengths == X.lengths).all()
    # statistics come from fit alone: other clips do not move them
    other = Sequences.of([clips[0] + 1000])
    assert ready.transform(other).values[:, 1].min() > 10


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'svm'"):
        make_model("svn")
    with pytest.raises(UnknownNameError, match="parameter of svm"):
        make_model("svm", Cost=3)
    with pytest.raises(UnknownNameError):
        make_model("timnet", n_dilation=4)
