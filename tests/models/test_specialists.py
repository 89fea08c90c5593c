"""Voting specialists: planted subspaces, loops of the definition, scikit-learn's neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from serfeat.errors import ModelError
from serfeat.models import specialists
from serfeat.models.specialists import SubspaceSpecialists

NAMES = np.array(["anger", "fear", "joy", "sadness"])


def planted(n: int = 240, noise: int = 40, seed: int = 0, classes: int = 4):
    """Class c differs from all others in columns 2c and 2c + 1 only; the rest is noise.

    Each of the two columns alone is of little use: the class lies on a ring around the others.
    """
    rng = np.random.default_rng(seed)
    c = rng.integers(0, classes, n)
    X = rng.standard_normal((n, 2 * classes + noise))
    angle = rng.uniform(0, 2 * np.pi, n)
    for i in range(classes):
        own = c == i
        ring = 4.5 * np.column_stack([np.cos(angle[own]), np.sin(angle[own])])
        X[own, 2 * i : 2 * i + 2] = ring + 0.4 * rng.standard_normal((own.sum(), 2))
    return X, NAMES[c], np.array([f"s{i % 6}" for i in range(n)])


@parametrize_with_checks([SubspaceSpecialists(n_features=3)])
def test_estimator_contract(estimator, check) -> None:
    check(estimator)


def test_planted_subspaces_are_recovered() -> None:
    """Every specialist takes the two columns of one of its classes first; catches distances
    that are not added up, and weights without their square root."""
    X, y, g = planted()
    model = SubspaceSpecialists().fit(X, y, groups=g)
    for (a, b), subspace in zip(model.pairs_, model.subspaces_, strict=True):
        chosen = {int(column) for column in subspace[:2]}
        assert chosen in ({2 * a, 2 * a + 1}, {2 * b, 2 * b + 1})
    assert model.scores_.min() > 0.95
    fresh, truth, _ = planted(seed=1)
    got = balanced_accuracy_score(truth, model.predict(fresh))
    everything = KNeighborsClassifier(5, weights="distance").fit(X, y).predict(fresh)
    assert got > 0.9
    assert got > balanced_accuracy_score(truth, everything)


def slow_posteriors(X, second, speakers, k):
    """Leave-one-speaker-out posteriors by scikit-learn, one speaker at a time."""
    out = np.empty(len(X))
    for speaker in np.unique(speakers):
        test = speakers == speaker
        index = KNeighborsClassifier(k, weights="distance").fit(X[~test], second[~test])
        out[test] = index.predict_proba(X[test])[:, list(index.classes_).index(True)]
    return out


@pytest.mark.parametrize("seed", [4, 13])
def test_selection_is_that_of_loops(seed: int) -> None:
    """The greedy search by scikit-learn's classifier; catches rows of the same speaker counted,
    and columns that are added for their margin only (seed 13)."""
    X, y, g = planted(60, noise=3, classes=2, seed=seed)
    X = X + 0.8 * np.random.default_rng(0).standard_normal(X.shape)  # no perfect scores
    second = y == "fear"
    chosen: list[int] = []
    best = (-1.0, 0.0)
    while len(chosen) < 5:
        scores = {}
        for column in sorted(set(range(X.shape[1])) - set(chosen)):
            p = slow_posteriors(X[:, [*chosen, column]], second, g, 5)
            recall = [np.mean((p > 0.5)[second]), np.mean((p <= 0.5)[~second])]
            margin = [np.mean(p[second]), np.mean(1 - p[~second])]
            scores[column] = (round(np.mean(recall), 10), round(np.mean(margin), 10))
        column = max(scores, key=lambda c: (scores[c], -c))
        if scores[column][0] <= best[0]:
            break
        best = scores[column]
        chosen.append(column)
    model = SubspaceSpecialists().fit(X, y, groups=g)
    assert [c for c in model.subspaces_[0] if c >= 0] == chosen
    assert model.scores_[0] == pytest.approx(best[0])
    fresh = planted(40, noise=3, classes=2, seed=5)[0]
    index = KNeighborsClassifier(5, weights="distance").fit(X[:, chosen], second)
    np.testing.assert_allclose(
        model.duels(fresh)[:, 0], index.predict_proba(fresh[:, chosen])[:, 1]
    )


def test_votes_by_hand() -> None:
    """Three classes that each win one duel: the posteriors decide. Catches posteriors that outweigh
    a duel, and the loser's share given to the winner."""
    model = SubspaceSpecialists().fit(*planted(60, classes=3))
    duel = np.array([[0.4, 0.9, 0.2], [0.49, 0.51, 0.99]])
    model.duels = lambda X: duel
    # pairs (0, 1), (0, 2), (1, 2): 0 beats 1, 2 beats 0, 1 beats 2; sums .7, 1.2, 1.1
    # second row: 0 beats 1, 2 beats 0, 2 beats 1: two duels for 2, whatever the sums .98 .5 1.5
    np.testing.assert_allclose(
        model.standing(None),
        [[1 + 0.7 / 3, 1 + 1.2 / 3, 1 + 1.1 / 3], [1 + 1.0 / 3, 0.5 / 3, 2 + 1.5 / 3]],
    )
    assert list(model.predict(None)) == ["fear", "joy"]
    p = model.predict_proba(None)
    assert p.sum(axis=1) == pytest.approx(1)
    assert list(p.argmax(axis=1)) == [1, 2]


@pytest.mark.parametrize("k", [1, 5, 50])
def test_both_kernels(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled and in NumPy: equal, also with exact hits, ties and more neighbours than rows."""
    rng = np.random.default_rng(0)
    squared = rng.integers(0, 4, (30, 20)).astype(float)
    given = (
        squared, np.zeros(30), np.zeros(20), rng.random(20) < 0.5,
        rng.integers(0, 4, 30), rng.integers(0, 4, 20), k,
    )  # fmt: skip
    kernel = getattr(specialists._vote_compiled, "py_func", specialists._vote_compiled)
    plain = specialists._vote_plain(*given)
    np.testing.assert_allclose(specialists._vote_compiled(*given), plain, rtol=1e-12)
    np.testing.assert_allclose(kernel(*given), plain, rtol=1e-12)


def test_permuted_labels_score_at_chance() -> None:
    X, y, g = planted(400)
    shuffled = np.random.default_rng(1).permutation(y[:200])
    model = SubspaceSpecialists(n_features=2).fit(X[:200], shuffled, groups=g[:200])
    assert abs(balanced_accuracy_score(y[200:], model.predict(X[200:])) - 0.25) < 0.12


def test_degenerate() -> None:
    """One class, one speaker, equal columns, fewer rows than neighbours; wrong parameters."""
    X, y, g = planted(24, classes=2)
    one = SubspaceSpecialists().fit(X[:5], np.full(5, "anger"), groups=g[:5])
    assert list(one.predict(X[:3])) == ["anger"] * 3
    lonely = SubspaceSpecialists().fit(X, y, groups=np.full(24, "s"))
    assert lonely.scores_[0] > 0.7
    same = SubspaceSpecialists().fit(np.ones((6, 3)), y[:6], groups=g[:6])
    assert list(same.subspaces_[0]) == [0, -1, -1, -1, -1]
    tiny = SubspaceSpecialists(n_neighbors=50).fit(X[:6], y[:6], groups=g[:6])
    assert set(tiny.predict(X)) <= {"anger", "fear"}
    with pytest.raises(ModelError, match="at least 1"):
        SubspaceSpecialists(n_features=0).fit(X, y)
    with pytest.raises(ValueError, match="inconsistent"):
        SubspaceSpecialists().fit(X, y, groups=g[:3])
