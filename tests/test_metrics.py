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
@settings(max_examples=30, deadline=None)
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
            "f1_micro": sk.f1_score(truth, prediction, average="micro"),
            "uar_declared": sk.recall_score(
                truth, prediction, labels=list("abcd"), average="macro", zero_division=0
            ),
        }
    got = metrics.scores(truth, prediction, proba, labels=labels)
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-12), name
    matrix = sk.confusion_matrix(truth, prediction, labels=labels)
    assert metrics.confusion(truth, prediction, labels).tolist() == matrix.tolist()
    for name, of in (("truth", "true"), ("prediction", "pred"), ("all", "all")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = sk.confusion_matrix(truth, prediction, labels=labels, normalize=of)
        np.testing.assert_allclose(np.nan_to_num(metrics.rates(matrix, of=name)), theirs)
    for name, kind in (("auc", "ovr"), ("auc_ovo", "ovo")):
        for average, key in (("macro", name), ("weighted", f"{name}_weighted")):
            if set(truth) != set(labels):
                assert np.isnan(got[key])
                continue
            value = sk.roc_auc_score(truth, proba, multi_class=kind, average=average, labels=labels)
            assert got[key] == pytest.approx(value, abs=1e-12), key


@given(answers())
@settings(max_examples=20, deadline=None)
def test_per_class_equals_scikit_learn(case: tuple[list[str], list[str], np.ndarray]) -> None:
    """Mutations caught: precision over rows, recall of an absent class 0, the flag of the other."""
    from sklearn import metrics as sk

    truth, prediction, proba = case
    labels = list("abcd")
    table = metrics.per_class(truth, prediction, proba, labels=labels).set_index("label")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, n = sk.precision_recall_fscore_support(
            truth, prediction, labels=labels, zero_division=0
        )
    assert table["n"].tolist() == n.tolist()
    np.testing.assert_allclose(table["precision"], precision)
    np.testing.assert_allclose(table["f1"].fillna(0), f1)
    np.testing.assert_allclose(table["recall"].fillna(0), recall)
    for i, label in enumerate(labels):
        row = table.loc[label]
        assert np.isnan(row["recall"]) == (label not in truth)
        assert row["never_predicted"] == (label not in prediction)
        is_it = np.array(truth) == label
        if 0 < is_it.sum() < len(is_it):
            assert row["auc"] == pytest.approx(sk.roc_auc_score(is_it, proba[:, i]), abs=1e-12)
        else:
            assert np.isnan(row["auc"])


def test_rates_of_the_hand_computed_matrix() -> None:
    """Rows are recall, columns precision; an absent class is NaN, not 0. Mutation: other axis."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = metrics.rates(HAND)
        columns = metrics.rates(HAND, of="prediction")
        lacking = metrics.rates([[1, 1, 0], [0, 0, 0], [0, 2, 0]])
        unsaid = metrics.rates([[1, 1, 0], [0, 0, 0], [0, 2, 0]], of="prediction")
    assert rows[1].tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 6])
    assert columns[:, 0].tolist() == pytest.approx([5 / 7, 2 / 7, 0])
    assert metrics.precisions_of(HAND).tolist() == pytest.approx([5 / 7, 3 / 4, 4 / 5])
    assert metrics.rates(HAND, of="all").sum() == pytest.approx(1)
    assert np.isnan(lacking[1]).all()
    assert lacking[2].tolist() == [0, 1, 0]
    assert np.isnan(unsaid[:, 2]).all()
    assert np.isnan(metrics.precisions_of([[1, 1, 0], [0, 0, 0], [0, 2, 0]])[2])


def test_pooled_and_mean_of_folds_are_two_numbers() -> None:
    """By hand: folds of UAR 1 (one class only) and 1/4. Mutation: mean of folds for pooled."""
    truth = ["a", "a", "a", "b", "a", "b"]
    prediction = ["a", "a", "b", "b", "b", "a"]
    folds = [1, 1, 2, 2, 2, 2]
    found = metrics.uar_over_folds(truth, prediction, folds, labels=["a", "b"])
    assert found["pooled"] == pytest.approx((2 / 4 + 1 / 2) / 2)
    assert found["mean"] == pytest.approx((1 + (0 / 2 + 1 / 2) / 2) / 2)
    assert found["sd"] == pytest.approx(np.std([1, 0.25], ddof=1))
    assert (found["folds"], found["incomplete"]) == (2, 1)
    lacking = metrics.uar_over_folds(list("aaab"), list("abab"), [1, 1, 2, 2], labels=["a", "b"])
    assert lacking["incomplete"] == 1  # by the truth, whatever is predicted
    one = metrics.uar_over_folds(truth, prediction, [0] * 6, labels=["a", "b"])
    assert one["mean"] == one["pooled"] == metrics.uar(truth, prediction, ["a", "b"])
    assert np.isnan(one["sd"])


def test_absent_class_is_left_out_not_zero() -> None:
    """The same predictions must not score .75, .5 or .375 by chance of counting (here: .75)."""
    truth, prediction = ["a", "a", "b", "b"], ["a", "a", "b", "c"]
    one = metrics.scores(truth, prediction, labels=[*ABC, "d"])
    assert one["uar"] == 0.75
    assert one["classes"] == 2
    assert one["uar_declared"] == 0.375  # the same over all four declared labels, both conventions
    assert metrics.uar(truth, prediction, [*ABC, "d"], absent="zero") == 0.375
    assert metrics.uar(truth, prediction, ["a", "b", "c"], absent="zero") == 0.5
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


def test_summed_moments_give_the_same_scores() -> None:
    """Of parts that are added up; far from 0, where squares lose digits unless centred.

    Mutations caught: moments of x in the place of y, `origin` not subtracted, a variance of
    rounding taken for one.
    """
    from serfeat import concordance as c

    rng = np.random.default_rng(3)
    for centre in (0.0, 1e5):
        x = centre + rng.normal(size=50)
        y = 0.6 * (x - centre) + centre + rng.normal(0.3, 0.5, 50)
        sums = sum(c.moments(x[i::3], y[i::3], origin=centre).sum(axis=0) for i in range(3))
        for of, score in (
            (c.ccc_of, metrics.ccc),
            (c.pcc_of, metrics.pcc),
            (c.mse_of, metrics.mse),
            (c.mae_of, metrics.mae),
        ):
            assert float(of(sums)) == pytest.approx(score(x, y), abs=1e-9), score.__name__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(2, 20):  # the variance of n times .1 is rounding, of either sign
            constant = c.moments([0.1] * n, np.arange(n)).sum(axis=0)
            assert float(c.ccc_of(constant)) == 0
            assert np.isnan(c.pcc_of(constant))
        assert np.isnan(c.ccc_of(np.zeros(7)))
        assert np.isnan(c.ccc_of(c.moments([2.3, 2.3], [2.3, 2.3]).sum(axis=0)))


def test_a_missing_truth_takes_no_part() -> None:
    """A missing prediction does. Mutation caught: NaN of either side dropped."""
    x, y = np.array([1.0, np.nan, 2, 4]), np.array([1.5, 9, 2, 3])
    known = ~np.isnan(x)
    for score in (metrics.mse, metrics.rmse, metrics.mae, metrics.pcc, metrics.ccc):
        assert score(x, y) == score(x[known], y[known])
        assert np.isnan(score(y, x))


@pytest.mark.parametrize("value", [0.1, 0.5, 1 / 3, 1e17])
def test_the_same_constant_agrees_with_nothing(value: float) -> None:
    """0 / 0 whatever its digits: of .1 the mean is another number, which made a CCC of 1."""
    assert np.isnan(metrics.ccc([value] * 3, [value] * 3))
    assert metrics.ccc([value] * 3, [value * 2] * 3) == 0.0
    assert metrics.ccc([value] * 3, [value, 2 * value, 3 * value]) == 0.0


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
