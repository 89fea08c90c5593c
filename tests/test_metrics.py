"""Scores: a hand-computed matrix, scikit-learn as oracle, invariances, degenerate input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serfeat import metrics
from serfeat.errors import ModelError, UnknownNameError

ABC = ["a", "b", "c"]
HAND = np.array([[5, 1, 0], [2, 3, 1], [0, 0, 4]])


def unrolled(counts: np.ndarray, labels: list[str]) -> tuple[list[str], list[str]]:
    """Truths and predictions that have this confusion matrix."""
    pairs = [(labels[i], labels[j]) for (i, j), n in np.ndenumerate(counts) for _ in range(int(n))]
    return [t for t, _ in pairs], [p for _, p in pairs]


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[str], list[str], np.ndarray]:
    """Truths and predictions of at most 4 labels, rounded probabilities (so that ties occur)."""
    n = draw(st.integers(1, 25))
    label = st.sampled_from("abcd")
    truth = draw(st.lists(label, min_size=n, max_size=n))
    prediction = draw(st.lists(label, min_size=n, max_size=n))
    proba = np.random.default_rng(draw(st.integers(0, 999))).dirichlet(np.ones(4), n)
    proba = np.round(proba, 1) + 1e-3
    return truth, prediction, proba / proba.sum(axis=1, keepdims=True)


def test_hand_computed_matrix() -> None:
    """ACC .75, UAR 7/9. Mutation caught: transposed matrix (UAR .7619), recall over predictions."""
    truth, prediction = unrolled(HAND, ABC)
    assert metrics.confusion(truth, prediction, ABC).tolist() == HAND.tolist()
    assert metrics.recalls(truth, prediction, ABC) == pytest.approx([5 / 6, 1 / 2, 1])
    assert metrics.uar(truth, prediction, ABC) == pytest.approx(7 / 9)
    assert metrics.war(truth, prediction, ABC) == pytest.approx(0.75)
    # F1 = 2 n_ii / (row + column): 10/13, 6/10, 8/9
    f1 = [10 / 13, 6 / 10, 8 / 9]
    assert metrics.f1(truth, prediction, ABC) == pytest.approx(np.mean(f1))
    assert metrics.f1(truth, prediction, ABC, average="weighted") == pytest.approx(
        np.average(f1, weights=[6, 6, 4])
    )


@given(answers())
@settings(max_examples=60, deadline=None)
def test_equals_scikit_learn(case: tuple[list[str], list[str], np.ndarray]) -> None:
    """Mutation caught: an absent class counted as recall 0; ranks without ties."""
    from sklearn import metrics as sk

    truth, prediction, proba = case
    labels = list("abcd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's own about absent classes
        expected = {
            "uar": sk.balanced_accuracy_score(truth, prediction),
            "war": sk.accuracy_score(truth, prediction),
            "f1_macro": sk.f1_score(truth, prediction, average="macro", zero_division=0),
            "f1_weighted": sk.f1_score(truth, prediction, average="weighted", zero_division=0),
        }
    got = metrics.scores(truth, prediction, proba, labels=labels)
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-12), name
    matrix = sk.confusion_matrix(truth, prediction, labels=labels)
    assert metrics.confusion(truth, prediction, labels).tolist() == matrix.tolist()
    if set(truth) == set(labels):
        for name, kind in (("auc", "ovr"), ("auc_ovo", "ovo")):
            value = sk.roc_auc_score(truth, proba, multi_class=kind, labels=labels)
            assert got[name] == pytest.approx(value, abs=1e-12), name
    else:
        assert np.isnan(got["auc"])
        assert np.isnan(got["auc_ovo"])


def test_absent_class_is_left_out_not_zero() -> None:
    """The same predictions must not score .75, .5 or .375 by chance of counting (here: .75)."""
    truth, prediction = ["a", "a", "b", "b"], ["a", "a", "b", "c"]
    one = metrics.scores(truth, prediction, labels=[*ABC, "d"])
    assert one["uar"] == 0.75
    assert one["classes"] == 2
    assert np.isnan(metrics.recalls(truth, prediction, ABC)[2])


def test_label_order_does_not_matter() -> None:
    truth, prediction = unrolled(HAND, ABC)
    proba = np.random.default_rng(0).dirichlet(np.ones(3), len(truth))
    one = metrics.scores(truth, prediction, proba, labels=ABC)
    turned = metrics.scores(truth, prediction, proba[:, ::-1], labels=ABC[::-1])
    assert turned == pytest.approx(one)


def test_auc_closed_forms() -> None:
    """Perfect 1, reversed 0, constant 1/2, 3 of 4 pairs right. Mutation: the U of the rest."""
    truth = ["a", "a", "b", "b"]
    for score, area in (([0.9, 0.8, 0.2, 0.1], 1.0), ([0.1, 0.2, 0.8, 0.9], 0.0), ([0.5] * 4, 0.5)):
        p = np.array(score)
        assert metrics.auc(truth, np.c_[p, 1 - p], ["a", "b"]) == area
    p = np.array([0.9, 0.4, 0.6, 0.1])
    assert metrics.auc(truth, np.c_[p, 1 - p], ["a", "b"], multi_class="ovo") == 0.75
    assert np.isnan(metrics.auc(truth, np.full((4, 2), np.nan), ["a", "b"]))


def test_degenerate_input_is_nan_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = metrics.scores([], [], np.zeros((0, 3)), labels=ABC)
        assert empty.pop("n") == 0
        assert empty.pop("classes") == 0
        assert all(np.isnan(v) for v in empty.values())
        one = metrics.scores(["a"], ["a"], np.ones((1, 1)), labels=["a"])
        assert one["uar"] == 1.0
        assert np.isnan(one["auc"])
        for score in (metrics.mse, metrics.rmse, metrics.mae, metrics.pcc, metrics.ccc):
            assert np.isnan(score([], []))
        assert np.isnan(metrics.pcc([1, 1, 1], [1, 2, 3]))
        assert np.isnan(metrics.pcc([0.1] * 7, np.arange(7)))
        assert metrics.ccc([1, 1, 1], [1, 2, 3]) == 0
        assert np.isnan(metrics.ccc([2, 2], [2, 2]))


def test_bad_input_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'anger'"):
        metrics.uar(["angery"], ["anger"], ["anger", "fear"])
    with pytest.raises(ModelError, match="2 truths but 1"):
        metrics.uar(["a", "b"], ["a"], ABC)
    with pytest.raises(ModelError, match="2 truths but 1"):
        metrics.mse([1, 2], [1])


def test_regression_closed_forms() -> None:
    """CCC(x, a x + b) = 2 a v / (v + a^2 v + (m - a m - b)^2). Mutation: sample variance."""
    x = np.random.default_rng(1).normal(3, 2, 50)
    a, b, v, m = 0.7, -1.2, x.var(), x.mean()
    expected = 2 * a * v / (v + a * a * v + (m - a * m - b) ** 2)
    assert metrics.ccc(x, a * x + b) == pytest.approx(expected, abs=1e-12)
    assert metrics.ccc(x, x) == pytest.approx(1)
    assert metrics.pcc(x, a * x + b) == pytest.approx(1)
    assert metrics.mse(x, x + 2) == pytest.approx(4)
    assert metrics.rmse(x, x + 2) == pytest.approx(2)
    assert metrics.mae(x, x - 2) == pytest.approx(2)


def test_regression_equals_numpy_and_scikit_learn() -> None:
    from sklearn import metrics as sk

    rng = np.random.default_rng(2)
    x, y = rng.normal(size=60), rng.normal(size=60)
    assert metrics.pcc(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)
    assert metrics.mse(x, y) == pytest.approx(sk.mean_squared_error(x, y))
    assert metrics.mae(x, y) == pytest.approx(sk.mean_absolute_error(x, y))
    assert abs(metrics.ccc(x, y)) <= abs(metrics.pcc(x, y))


def test_ccc_per_sequence_is_another_number() -> None:
    x = np.array([0.0, 1, 2, 10, 11, 12])
    y = np.array([2.0, 1, 0, 12, 11, 10])
    name = ["p"] * 3 + ["q"] * 3
    assert metrics.ccc(x, y, sequences=name, aggregate="mean") == pytest.approx(-1)
    assert metrics.ccc(x, y) > 0.9
    with pytest.raises(ModelError, match="sequences"):
        metrics.ccc(x, y, aggregate="mean")


def test_per_speaker() -> None:
    """Speakers of two corpora stay apart. Mutation caught: grouping by the bare speaker code."""
    rows = pd.DataFrame(
        {
            "corpus": ["x", "x", "x", "y"],
            "speaker": ["01", "01", "02", "01"],
            "truth": ["a", "b", "a", "b"],
            "prediction": ["a", "a", "a", "b"],
            "entry": "svm",
            "protocol": "p",
            "fold": "1",
            "seed": 0,
            "control": False,
        }
    )
    table = metrics.per_speaker(rows, labels=ABC).set_index("speaker")
    assert table["uar"].to_dict() == {"x/01": 0.5, "x/02": 1.0, "y/01": 1.0}
    assert table["classes"].to_dict() == {"x/01": 2, "x/02": 1, "y/01": 1}
    assert table["n"].to_dict() == {"x/01": 2, "x/02": 1, "y/01": 1}
    twice = pd.concat([rows, rows.assign(seed=1)])
    assert metrics.per_speaker(twice).set_index("speaker")["n"].to_dict() == table["n"].to_dict()
