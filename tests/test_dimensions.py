"""Leaderboard of regressions: scores, intervals, pairing, coverage, degenerate input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from serfeat import concordance, metrics
from serfeat.errors import ManifestError
from serfeat.statistics.dimensions import _interval, dimension_board, dimension_difference


def table(
    n_speakers: int = 8, entry: str = "svm", *, noise: float = 0.6, seed: int = 0, target="arousal"
) -> pd.DataFrame:
    """Predictions of one entry: 12 clips a speaker, two speakers a fold; the truth is common."""
    common = np.random.default_rng(99)
    truth = common.normal(3, 1, (n_speakers, 12))
    rng = np.random.default_rng(seed)
    said = truth + rng.normal(0, 0.4, (n_speakers, 1)) + rng.normal(0, noise, truth.shape)
    rows = [
        {
            "file": f"{s}-{i}",
            "start": pd.Timedelta(0),
            "end": pd.Timedelta(1, "s"),
            "corpus": "c",
            "speaker": str(s),
            "fold": str(s // 2),
            "seed": 0,
            "control": False,
            "entry": entry,
            "protocol": "held",
            "target": target,
            "truth": truth[s, i],
            "prediction": said[s, i],
        }
        for s in range(n_speakers)
        for i in range(12)
    ]
    return pd.DataFrame(rows)


def test_scores_of_a_row() -> None:
    """Equal to the scores of the clips. Mutations caught: mean of folds for pooled, n of rows."""
    one = table()
    row = dimension_board(one).iloc[0]
    x, y = one["truth"], one["prediction"]
    for name in ("ccc", "pcc", "rmse", "mae", "mse"):
        assert row[name] == pytest.approx(getattr(metrics, name)(x, y)), name
    folds = [metrics.ccc(f["truth"], f["prediction"]) for _, f in one.groupby("fold")]
    assert row["ccc_folds_mean"] == pytest.approx(np.mean(folds))
    assert row["ccc_folds_sd"] == pytest.approx(np.std(folds, ddof=1))
    assert row["ccc_folds_mean"] != pytest.approx(row["ccc"], abs=1e-3)
    assert row["truth_sd"] == pytest.approx(x.std(ddof=0))
    assert (row["n"], row["speakers"], row["folds"], row["seeds"]) == (96, 8, 4, 1)
    assert row["folds_undefined"] == 0
    assert np.isnan(row["ccc_seeds_sd"])
    for name in ("ccc", "pcc", "rmse"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert row["ccc_high"] < 1
    assert row["rmse_low"] > 0


def test_order_targets_conditions_and_controls() -> None:
    """Best first within protocol, target and condition; the control last, not compared."""
    good, bad = table(entry="good", noise=0.1), table(entry="bad", noise=2.0, seed=1)
    valence = table(entry="bad", target="valence")
    control = table(entry="good", noise=0.01, seed=2).assign(control=True)
    both = pd.concat([bad, valence, control, good]).assign(condition="clean")
    both = pd.concat([both, good.assign(condition="white")])
    board = dimension_board(both, n_boot=50)
    assert board["entry"].tolist() == ["good", "bad", "good", "good", "bad"]
    assert board["target"].tolist() == ["arousal"] * 4 + ["valence"]
    assert board["condition"].tolist() == ["clean"] * 3 + ["white"] + ["clean"]
    assert board["control"].tolist() == [False, False, True, False, False]


def test_the_unit_of_the_target_does_not_matter() -> None:
    """CCC and its interval stay, RMSE scales. Mutations caught: interval on the raw scale; sums
    that are not centred (far from 0 the squares lose all digits)."""
    one = table()
    row = dimension_board(one).iloc[0]
    scaled = one.assign(truth=10 * one["truth"] - 70, prediction=10 * one["prediction"] - 70)
    other = dimension_board(scaled).iloc[0]
    for name in ("ccc", "ccc_low", "ccc_high", "pcc_low", "ccc_folds_mean"):
        assert other[name] == pytest.approx(row[name], abs=1e-9), name
    for name in ("rmse", "rmse_low", "rmse_high", "mae", "truth_sd"):
        assert other[name] == pytest.approx(10 * row[name]), name
    far = one.assign(truth=one["truth"] + 1e7, prediction=one["prediction"] + 1e7)
    assert dimension_board(far).iloc[0]["ccc"] == pytest.approx(row["ccc"], abs=1e-6)


def test_two_seeds_are_averaged_not_pooled() -> None:
    """Mutation caught: moments of seeds added up (another number where their offsets differ)."""
    one = table(seed=1)
    two = table(seed=2).assign(seed=1)
    two["prediction"] += 3
    row = dimension_board(pd.concat([one, two])).iloc[0]
    each = [metrics.ccc(t["truth"], t["prediction"]) for t in (one, two)]
    assert row["ccc"] == pytest.approx(np.mean(each))
    assert row["ccc_seeds_sd"] == pytest.approx(np.std(each, ddof=1))
    assert row["ccc"] != pytest.approx(
        metrics.ccc(*pd.concat([one, two])[["truth", "prediction"]].to_numpy().T), abs=1e-3
    )
    assert (row["n"], row["seeds"]) == (96, 2)


def test_speakers_are_drawn_not_clips() -> None:
    """Eight copies of one clip a speaker give the interval of one clip a speaker."""
    one = table(20).groupby("speaker").head(1)
    many = pd.concat([one.assign(file=one["file"] + f"x{i}") for i in range(8)])
    few, all_ = dimension_board(one).iloc[0], dimension_board(many).iloc[0]
    for name in ("ccc", "ccc_low", "ccc_high"):
        assert all_[name] == pytest.approx(few[name]), name


def test_the_interval_covers() -> None:
    """400 corpora of 10 speakers: 95 % nominal, 92 to 98 % found; plain percentiles reach 90 %.

    Mutations caught: the percentile method (89 %), the ends not brought back from (1 + CCC) / 2.
    """

    def corpus(rng: np.random.Generator, size: int) -> np.ndarray:
        mean = rng.normal(0, 0.3, (size, 1))
        truth = mean + rng.normal(0, 1, (size, 20))
        gain = 1 + rng.normal(0, 0.3, (size, 1))
        said = 0.8 * (gain * (truth - mean) + mean) + rng.normal(0, 0.35, (size, 1))
        said = said + rng.normal(0, 0.75, truth.shape)
        return concordance.moments(truth, said).reshape(size, 20, 1, 7).sum(axis=1)

    rng = np.random.default_rng(0)
    true = float(concordance.ccc_of(corpus(rng, 50_000).sum(axis=(0, 1))))
    hits = []
    for i in range(400):
        low, high = _interval(corpus(rng, 10), "ccc", i, 300)
        hits.append(low <= true <= high)
    assert 0.92 <= np.mean(hits) <= 0.98


def test_paired_difference() -> None:
    """Value, sign, and an interval that knows the pairing. Mutation: speakers drawn apart."""
    a, b = table(entry="a", noise=0.3, seed=1), table(entry="b", noise=0.9, seed=2)
    both = pd.concat([a, b])
    found = dimension_difference(both, "a", "b", "held", target="arousal")
    expected = [metrics.ccc(t["truth"], t["prediction"]) for t in (a, b)]
    assert found.difference == pytest.approx(expected[0] - expected[1])
    assert found.low < found.difference < found.high
    assert found.groups == 8
    turned = dimension_difference(both, "b", "a", "held", target="arousal")
    assert turned.difference == pytest.approx(-found.difference)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    # nearly the same predictions: much closer than either score's own interval
    near = a.assign(entry="near", prediction=a["prediction"] + 0.02)
    close = dimension_difference(pd.concat([a, near]), "a", "near", "held", target="arousal")
    own = dimension_board(a).iloc[0]
    assert close.high - close.low < 0.2 * (own["ccc_high"] - own["ccc_low"])
    error = dimension_difference(both, "a", "b", "held", target="arousal", score="rmse")
    assert error.difference < 0
    seeds = pd.concat([a, a.assign(seed=1), b])  # one entry with two seeds
    again = dimension_difference(seeds, "a", "b", "held", target="arousal")
    assert again.difference == pytest.approx(found.difference)


def test_other_clips_are_refused() -> None:
    a, b = table(entry="a"), table(entry="b").iloc[1:]
    with pytest.raises(ManifestError, match="not the same"):
        dimension_difference(pd.concat([a, b]), "a", "b", "held", target="arousal")
    with pytest.raises(ManifestError, match="no predictions of valence"):
        dimension_difference(pd.concat([a, a]), "a", "a", "held", target="valence")


def test_degenerate_input() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dimension_board(table().iloc[:0]).empty
        missing = table()
        missing.loc[missing["speaker"] == "0", "truth"] = np.nan
        row = dimension_board(missing).iloc[0]
        assert (row["n"], row["speakers"]) == (84, 7)
        constant = dimension_board(table().assign(prediction=3.0)).iloc[0]
        assert constant["ccc"] == 0
        assert np.isnan(constant["pcc"])
        assert constant["rmse"] >= constant["truth_sd"]
        single = table().assign(fold=[str(i) for i in range(96)])  # a clip a fold
        row = dimension_board(single).iloc[0]
        assert (row["folds"], row["folds_undefined"]) == (96, 96)
        assert np.isnan(row["ccc_folds_mean"])
        assert np.isfinite(row["ccc"])
        alone = dimension_board(table(1)).iloc[0]
        assert np.isnan(alone["ccc_low"])
