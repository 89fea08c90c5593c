"""Calibration: simulated truths, closed forms, scikit-learn as oracle, degenerate input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from serfeat.errors import ModelError, UnknownNameError
from serfeat.statistics import calibration

ABC = ["a", "b", "c"]


def calibrated(n: int, *, seed: int = 0, classes: int = 3) -> tuple[list[str], np.ndarray]:
    """Probabilities, and truths that are drawn with them."""
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(classes, 0.7), n)
    code = (rng.random(n)[:, None] > proba.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return list(np.array(ABC)[code]), proba


def test_a_calibrated_model_has_an_ece_of_chance() -> None:
    """40 000 clips: below .012; `ece_of_calibrated` covers 95 % of calibrated small corpora.

    Mutations caught: |gap| summed before the bins are added up (0 always is no test: see the
    overconfident model below), right = another column, bins taken from the second best class.
    """
    truth, proba = calibrated(40_000)
    for by in ("width", "mass"):
        assert calibration.ece(truth, proba, ABC, by=by) < 0.012
    assert calibration.ece_classwise(truth, proba, ABC) < 0.012
    within = 0
    for seed in range(60):
        truth, proba = calibrated(200, seed=seed)
        mean, high = calibration.ece_of_calibrated(proba, seed=seed)
        assert 0.02 < mean < 0.1  # chance alone: what a bare ECE of 200 clips hides
        within += calibration.ece(truth, proba, ABC) <= high
    assert within >= 52


def test_the_same_clip_under_several_seeds_is_one_draw() -> None:
    """A calibrated model said the same five times: as before, was 78 in 100 above chance."""
    above = 0
    for seed in range(40):
        truth, proba = calibrated(300, seed=seed)
        rows = pd.DataFrame(proba, columns=[f"p_{label}" for label in ABC]).assign(
            file=[f"{i}.wav" for i in range(300)], truth=truth, entry="e", protocol="p"
        )
        once, often = (
            calibration.calibration_board(
                pd.concat([rows] * n).assign(control=False), labels=ABC, seed=seed
            ).iloc[0]
            for n in (1, 5)
        )
        assert often["ece_chance_high"] == pytest.approx(once["ece_chance_high"], rel=0.2)
        above += often["ece"] > often["ece_chance_high"]
    assert above <= 5
    truth, proba = calibrated(50)
    clips = list(range(50))
    one = calibration.reliability(truth, proba, ABC, clips=clips)
    five = calibration.reliability(truth * 5, np.tile(proba, (5, 1)), ABC, clips=clips * 5)
    ends = ["accuracy_low", "accuracy_high"]
    pd.testing.assert_frame_equal(five[ends], one[ends])
    assert five["n"].sum() == 250


def test_an_overconfident_model_has_the_ece_that_it_must_have() -> None:
    """Always .9 sure and right in 6 of 10: ECE = MCE = .3, by hand. Mutation: sign, no abs."""
    truth = ["a"] * 6 + ["b"] * 4
    proba = np.tile([0.9, 0.06, 0.04], (10, 1))
    for by in ("width", "mass"):
        assert calibration.ece(truth, proba, ABC, by=by) == pytest.approx(0.3)
        assert calibration.mce(truth, proba, ABC, by=by) == pytest.approx(0.3)
    # per class: |.6 - .9|, |.4 - .06|, |0 - .04|
    expected = np.mean([0.3, 0.34, 0.04])
    assert calibration.ece_classwise(truth, proba, ABC) == pytest.approx(expected)
    table = calibration.reliability(truth, proba, ABC, bins=10)
    row = table[table["n"] > 0].iloc[0]
    assert (row["low"], row["high"]) == (pytest.approx(0.8), pytest.approx(0.9))  # (.8, .9]
    assert row["gap"] == pytest.approx(-0.3)
    assert row["confidence"] == pytest.approx(0.9)
    # Wilson's interval of 6 of 10, from any table
    assert (row["accuracy_low"], row["accuracy_high"]) == (
        pytest.approx(0.3127, abs=1e-4),
        pytest.approx(0.8318, abs=1e-4),
    )


def test_two_bins_by_hand() -> None:
    """Bin (.5, .75]: 2 clips, 1 right, mean .65; bin (.75, 1]: 2 clips, 2 right, mean .95."""
    truth = ["a", "b", "a", "a"]
    p = np.array([0.6, 0.7, 0.9, 1.0])
    proba = np.c_[p, 1 - p]
    table = calibration.reliability(truth, proba, ["a", "b"], bins=4)
    assert table["n"].tolist() == [0, 0, 2, 2]
    assert table["accuracy"].tolist()[2:] == [0.5, 1.0]
    assert table["confidence"].tolist()[2:] == pytest.approx([0.65, 0.95])
    assert np.isnan(table["accuracy"].iloc[0])
    assert calibration.ece(truth, proba, ["a", "b"], bins=4) == pytest.approx(0.1)
    assert calibration.mce(truth, proba, ["a", "b"], bins=4) == pytest.approx(0.15)


def test_bins_of_equal_mass_hold_equal_numbers() -> None:
    """100 distinct confidences in 5 bins are 20 each; equal ones are never torn apart."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 100)
    table = calibration.reliability(["a"] * 100, np.c_[p, 1 - p], ["a", "b"], bins=5, by="mass")
    assert table["n"].tolist() == [20] * 5
    p = np.repeat([0.6, 0.9], [70, 30])
    table = calibration.reliability(["a"] * 100, np.c_[p, 1 - p], ["a", "b"], bins=5, by="mass")
    assert sorted(table["n"].tolist()) == [30, 70]
    for n in (7, 500):
        truth, proba = calibrated(n)
        for by in ("width", "mass"):
            assert calibration.reliability(truth, proba, ABC, by=by)["n"].sum() == n


def test_proper_scores_equal_scikit_learn() -> None:
    """Mutations caught: log of the winner's probability; mean over classes in the Brier score."""
    from sklearn import metrics as sk

    truth, proba = calibrated(300)
    assert calibration.log_loss(truth, proba, ABC) == pytest.approx(sk.log_loss(truth, proba))
    each = [
        sk.brier_score_loss(np.array(truth) == label, proba[:, i]) for i, label in enumerate(ABC)
    ]
    assert calibration.brier(truth, proba, ABC) == pytest.approx(np.sum(each))
    assert calibration.brier(["a"], [[1, 0, 0]], ABC) == 0
    assert calibration.brier(["b"], [[1, 0, 0]], ABC) == 2
    assert calibration.log_loss(["b"], [[1, 0, 0]], ABC) == pytest.approx(36.04, abs=0.01)
    from sklearn.calibration import calibration_curve

    right = np.array(truth) == np.array(ABC)[proba.argmax(axis=1)]
    share, mean = calibration_curve(right, proba.max(axis=1), n_bins=10)
    table = calibration.reliability(truth, proba, ABC)
    table = table[table["n"] > 0]
    np.testing.assert_allclose(table["accuracy"], share)
    np.testing.assert_allclose(table["confidence"], mean)


def test_the_order_of_clips_and_labels_does_not_matter() -> None:
    truth, proba = calibrated(150)
    one = calibration.calibration_scores(truth, proba, ABC)
    turned = calibration.calibration_scores(truth[::-1], proba[::-1, ::-1], ABC[::-1])
    for name in set(one) - {"ece_chance", "ece_chance_high"}:  # which are drawn clip by clip
        assert turned[name] == pytest.approx(one[name]), name


def test_an_interval_over_speakers_is_wider_than_wilsons() -> None:
    """Speakers whose clips are all right or all wrong. Mutation caught: clips resampled."""
    truth = ["a"] * 50 + ["b"] * 30
    proba = np.tile([0.8, 0.1, 0.1], (80, 1))
    speakers = np.repeat(np.arange(8), 10)  # 5 speakers right, 3 wrong
    clips = calibration.reliability(truth, proba, ABC)
    people = calibration.reliability(truth, proba, ABC, speakers=list(speakers))
    width = [float((t["accuracy_high"] - t["accuracy_low"]).max()) for t in (clips, people)]
    assert width[1] > 2 * width[0]
    same = calibration.reliability(["a"] * 80, proba, ABC, speakers=list(speakers))
    assert np.isfinite(same.loc[same["n"] > 0, "accuracy_low"]).all()


def test_board_of_a_predictions_table() -> None:
    truth, proba = calibrated(60)
    one = pd.DataFrame({"truth": truth, **{f"p_{c}": proba[:, i] for i, c in enumerate(ABC)}})
    one = one.assign(protocol="held", entry="svm", control=False, condition="clean")
    noisy = one.assign(condition="white")
    control = one.assign(control=True)
    board = calibration.calibration_board(pd.concat([one, noisy, control]), labels=ABC)
    assert board["condition"].tolist() == ["clean", "white"]
    assert board["n"].tolist() == [60, 60]
    assert board["ece"].iloc[0] == calibration.ece(truth, proba, ABC)


def test_degenerate_input() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        empty = calibration.calibration_scores([], np.zeros((0, 3)), ABC)
        assert empty.pop("n") == 0
        assert all(np.isnan(v) for v in empty.values())
        lost = calibration.calibration_scores(["a"], np.full((1, 3), np.nan), ABC)
        assert np.isnan(lost["ece"])
        assert np.isnan(lost["log_loss"])
        assert calibration.reliability([], np.zeros((0, 3)), ABC)["n"].sum() == 0
    with pytest.raises(ModelError, match="sums to 2"):
        calibration.ece(["a"], [[1, 1, 0]], ABC)
    with pytest.raises(ModelError, match="shape"):
        calibration.ece(["a"], [[1, 0]], ABC)
    with pytest.raises(UnknownNameError, match="label 'd'"):
        calibration.ece(["d"], [[1, 0, 0]], ABC)
    with pytest.raises(ModelError, match="bins is 0"):
        calibration.ece(["a"], [[1, 0, 0]], ABC, bins=0)
