"""Dellaert's classifiers, adapted mixtures and early stopping: closed forms, planted truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from serfeat.errors import ModelError, UnknownNameError
from serfeat.models.classical import BoostedTrees, NearestNeighbours
from serfeat.models.dellaert import DELLAERT_K, FLOOR, MaximumLikelihoodBayes
from serfeat.models.gmm import GMMClassifier
from serfeat.models.preparation import FramePreparation
from serfeat.sequences import Sequences

NAMES = np.array(["anger", "neutral", "sadness"])


def rows(n: int = 150, seed: int = 0, k: int = 4):
    """Three classes with means and covariances of their own, five speakers."""
    rng = np.random.default_rng(seed)
    shape = np.random.default_rng(99)
    mixing = shape.standard_normal((3, k, k))
    centre = 1.5 * shape.standard_normal((3, k))
    c = rng.integers(0, 3, n)
    X = centre[c] + np.einsum("nij,nj->ni", mixing[c], rng.standard_normal((n, k)))
    return X, NAMES[c], np.array([f"s{i % 5}" for i in range(n)])


@parametrize_with_checks(
    [MaximumLikelihoodBayes(), NearestNeighbours(), NearestNeighbours(candidates=DELLAERT_K)]
)
def test_estimator_contract(estimator, check) -> None:
    check(estimator)


# --- maximum-likelihood Bayes ---------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["uniform", "empirical"])
def test_bayes_is_the_log_density_of_scipy(prior: str) -> None:
    """Catches half a determinant, a missing 2 pi and the prior left out."""
    X, y, _ = rows()
    model = MaximumLikelihoodBayes(prior).fit(X, y)
    new, truth, _ = rows(80, seed=3)
    expected = np.empty((80, 3))
    share = np.array([(y == name).mean() for name in NAMES])
    for c, name in enumerate(NAMES):
        wolf = LedoitWolf().fit(X[y == name])
        covariance = wolf.covariance_ + FLOOR * np.eye(4)
        expected[:, c] = multivariate_normal(X[y == name].mean(axis=0), covariance).logpdf(new)
        assert model.shrinkages_[c] == pytest.approx(wolf.shrinkage_)
    np.testing.assert_allclose(model.log_density(new), expected, rtol=1e-9)
    posterior = expected + np.log(share if prior == "empirical" else np.full(3, 1 / 3))
    np.testing.assert_allclose(model.predict_proba(new), softmax(posterior, axis=1), atol=1e-9)
    assert (model.predict(new) == NAMES[posterior.argmax(axis=1)]).all()
    assert balanced_accuracy_score(truth, model.predict(new)) > 0.75


def test_bayes_with_many_rows_is_quadratic_discriminant_analysis() -> None:
    """Shrinkage fades with the rows."""
    X, y, _ = rows(6000)
    ours = MaximumLikelihoodBayes("empirical").fit(X, y)
    theirs = QuadraticDiscriminantAnalysis().fit(X, y)
    new = rows(500, seed=3)[0]
    assert (ours.predict(new) == theirs.predict(new)).mean() > 0.99
    assert ours.shrinkages_.max() < 0.02


def test_bayes_survives_more_columns_than_rows_and_a_single_row() -> None:
    """50 columns from 12 rows a class, then a class of one row; catches the floor removed."""
    rng = np.random.default_rng(0)
    y = np.repeat(NAMES, 12)
    X = (
        rng.standard_normal((36, 50))
        + 3 * np.repeat(np.eye(3), 12, axis=0)[:, [0, 1, 2] * 16 + [0, 1]]
    )
    model = MaximumLikelihoodBayes().fit(X, y)
    assert (model.predict(X) == y).all()
    assert np.isfinite(model.log_density(X)).all()
    lone = MaximumLikelihoodBayes().fit(X[11:], y[11:])
    assert lone.predict(X[11:12]) == ["anger"]
    with pytest.raises(UnknownNameError, match="did you mean 'uniform'"):
        MaximumLikelihoodBayes("uniforme").fit(X, y)


def test_bayes_permuted_labels_score_at_chance() -> None:
    """The mean over draws: one may favour a class that is easy to tell by luck."""
    X, y, _ = rows(600)
    uar = []
    for seed in range(12):
        shuffled = np.random.default_rng(seed).permutation(y[:300])
        model = MaximumLikelihoodBayes().fit(X[:300], shuffled)
        uar.append(balanced_accuracy_score(y[300:], model.predict(X[300:])))
    assert abs(np.mean(uar) - 1 / 3) < 0.08


# --- nearest neighbours ---------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4, 9])
def test_knn_labels_and_probabilities_are_sklearns(k: int) -> None:
    X, y, _ = rows()
    new = np.vstack([rows(200, seed=2)[0], X[:5]])  # exact hits as well
    ours = NearestNeighbours(k).fit(X, y)
    theirs = KNeighborsClassifier(k, weights="distance").fit(X, y)
    assert (ours.predict(new) == theirs.predict(new)).all()
    np.testing.assert_allclose(ours.predict_proba(new), theirs.predict_proba(new))


def test_knn_ties_go_to_the_smaller_summed_distance() -> None:
    """Weights 1/1 against 1/2 + 1/2: distances 1 and 4; catches the first label of the alphabet."""
    X = np.array([[2.0], [-2.0], [1.0]])
    y = np.array(["anger", "anger", "sadness"])
    assert NearestNeighbours(3).fit(X, y).predict([[0.0]]) == ["sadness"]
    assert KNeighborsClassifier(3, weights="distance").fit(X, y).predict([[0.0]]) == ["anger"]
    # exact hits alone decide, two against one, however far the class' other rows are
    X = np.array([[0.0], [0.0], [0.0], [5.0]])
    y = np.array(["sadness", "sadness", "anger", "sadness"])
    assert NearestNeighbours(4).fit(X, y).predict([[0.0]]) == ["sadness"]


def test_knn_chooses_k_without_the_speaker() -> None:
    """The highest UAR by scikit-learn's classifier over speaker folds, the largest k of equal ones;
    catches folds that mix speakers (they choose another k here)."""
    mixed = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, y, _ = rows(120, seed=seed)
        speaker = rng.integers(0, 6, 120)
        X = 0.5 * X + 3 * rng.standard_normal((6, 4))[speaker]  # speakers are far apart
        uar = {}
        for k in DELLAERT_K:
            predicted = np.empty(120, dtype=y.dtype)
            for train, test in GroupKFold(5).split(X, y, speaker):
                index = KNeighborsClassifier(k, weights="distance").fit(X[train], y[train])
                predicted[test] = index.predict(X[test])
            uar[k] = balanced_accuracy_score(y, predicted)
        expected = max(k for k in uar if uar[k] == max(uar.values()))
        chosen = NearestNeighbours(candidates=DELLAERT_K).fit(X, y, groups=speaker)
        assert chosen.k_ == expected
        mixed += NearestNeighbours(candidates=DELLAERT_K).fit(X, y).k_ != expected
        same = KNeighborsClassifier(expected, weights="distance").fit(X, y)
        np.testing.assert_allclose(chosen.predict_proba(X + 0.1), same.predict_proba(X + 0.1))
    assert mixed >= 2


def test_knn_choice_degenerate() -> None:
    X, y, g = rows(40)
    assert NearestNeighbours(candidates=(3,)).fit(X, y, groups=g).k_ == 3
    few = NearestNeighbours(7, candidates=(1, 3)).fit(X[:3], NAMES)  # nothing can be held out
    assert few.k_ == 7
    assert few.predict(X[:3]).tolist() == NAMES.tolist()
    for wrong in ((), (0, 3)):
        with pytest.raises(ModelError, match="candidates are"):
            NearestNeighbours(candidates=wrong).fit(X, y)


# --- Gaussian mixtures ----------------------------------------------------------------------------


def clips(n: int = 36, seed: int = 0):
    """Clips whose frames come from one Gaussian per class; single frames overlap widely."""
    rng = np.random.default_rng(seed)
    labels = NAMES[np.arange(n) % 3]
    return [
        rng.standard_normal((rng.integers(20, 60), 4)) + 0.6 * (i % 3) for i in range(n)
    ], labels


def test_adapted_means_are_reynolds() -> None:
    """Loops over frames and components; catches r doubled, and the two shares exchanged."""
    frames, y = clips(9)
    model = GMMClassifier(n_components=3, ubm=True, relevance=16.0).fit(Sequences.of(frames), y)
    stacked = [
        np.concatenate([f for f, label in zip(frames, y, strict=True) if label == name])
        for name in NAMES
    ]
    stacked = [s.astype(np.float32).astype(np.float64) for s in stacked]
    ubm = GaussianMixture(
        3, covariance_type="diag", init_params="k-means++", reg_covar=1e-3, random_state=0
    ).fit(np.concatenate(stacked))
    np.testing.assert_allclose(model.background_.means_, ubm.means_)
    for mixture, own in zip(model.mixtures_, stacked, strict=True):
        np.testing.assert_array_equal(mixture.weights_, ubm.weights_)
        np.testing.assert_array_equal(mixture.covariances_, ubm.covariances_)
        for k in range(3):
            count, total = 0.0, np.zeros(4)
            for x in own:
                density = [
                    w * multivariate_normal(m, np.diag(v)).pdf(x)
                    for w, m, v in zip(ubm.weights_, ubm.means_, ubm.covariances_, strict=True)
                ]
                g = density[k] / sum(density)
                count, total = count + g, total + g * x
            a = count / (count + 16.0)
            expected = a * total / count + (1 - a) * ubm.means_[k]
            np.testing.assert_allclose(mixture.means_[k], expected, rtol=1e-6)
    fresh, truth = clips(seed=5)
    assert balanced_accuracy_score(truth, model.predict(Sequences.of(fresh))) > 0.9


def test_adaptation_limits() -> None:
    """An infinite r is the background for all, r = 0 the class's own means; few frames are fine."""
    frames, y = clips()
    X = Sequences.of(frames)
    stiff = GMMClassifier(n_components=2, ubm=True, relevance=1e12).fit(X, y)
    np.testing.assert_allclose(stiff.mixtures_[0].means_, stiff.background_.means_, atol=1e-6)
    free = GMMClassifier(n_components=1, ubm=True, relevance=0.0, max_frames=None).fit(X, y)
    own = X[np.flatnonzero(y == "neutral")].values.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(free.mixtures_[1].means_[0], own, rtol=1e-6)
    short = Sequences.of([f[:3] for f in frames[:3]])
    GMMClassifier(n_components=5, ubm=True).fit(short, y[:3])
    with pytest.raises(ModelError, match="3 frames of anger"):
        GMMClassifier(n_components=5).fit(short, y[:3])


def test_voiced_frames_only() -> None:
    """Unvoiced frames that lie about the class; catches the indicator turned round or kept."""
    frames, y = clips()
    rng = np.random.default_rng(3)
    with_f0 = []
    for clip in frames:
        f0 = np.where(rng.random(len(clip)) < 0.4, np.nan, 0.1 * rng.standard_normal(len(clip)))
        clip[np.isnan(f0)] = 5 * rng.standard_normal((np.isnan(f0).sum(), 4))
        with_f0.append(np.column_stack([clip, f0]))
    with_f0[0][:, 4] = np.nan  # a clip without a voiced frame keeps all
    X = Sequences.of(with_f0)
    Z = FramePreparation().fit(X).transform(X)
    assert Z.shape[1] == 6
    model = GMMClassifier(n_components=2, unvoiced_column=-1, max_frames=None).fit(Z, y)
    kept = [
        z[np.isfinite(c[:, 4]) | (i == 0), :5]
        for i, (z, c) in enumerate(zip(Z, with_f0, strict=True))
    ]
    byhand = GMMClassifier(n_components=2, max_frames=None).fit(Sequences.of(kept), y)
    np.testing.assert_allclose(model.log_likelihood(Z), byhand.log_likelihood(Sequences.of(kept)))
    assert np.isfinite(model.predict_proba(Z[:1])).all()
    with pytest.raises(ModelError, match="expected two"):
        GMMClassifier(n_components=2, unvoiced_column=0).fit(Z, y)


# --- boosted trees --------------------------------------------------------------------------------


def test_boosting_stops_early_on_held_out_speakers() -> None:
    """Labels of noise: boosting ought to stop at once; real ones take longer. Catches rounds kept
    beyond the best one."""
    pytest.importorskip("xgboost")
    X, y, g = rows(300)
    noise = np.random.default_rng(0).permutation(y)
    lost = BoostedTrees(patience=20).fit(X, noise, groups=g)
    good = BoostedTrees(patience=5).fit(X, y, groups=g)
    assert lost.booster_.num_boosted_rounds() < 10
    assert 25 < good.booster_.num_boosted_rounds() < 300
    assert balanced_accuracy_score(y, good.predict(X)) > 0.8
    assert BoostedTrees(n_estimators=7).fit(X, y).booster_.num_boosted_rounds() == 7
    with pytest.raises(ModelError, match="needs the speakers"):
        BoostedTrees(patience=5).fit(X, y)
