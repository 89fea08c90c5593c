"""Gaps between groups and between speakers, and that noise is not taken for unfairness."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import permutation_test, ttest_ind

from serfeat import metrics
from serfeat.errors import ManifestError
from serfeat.statistics.fairness import (
    _spread,
    group_gaps,
    group_scores,
    recall_gaps,
    speaker_spread,
)
from serfeat.statistics.two_groups import TwoGroups

LABELS = ["anger", "fear", "neutral"]


def table(
    hit: list[float], *, sex: list[str] | None = None, clips: int = 6, seed: int = 0
) -> pd.DataFrame:
    """One speaker per hit rate, `clips` of every label; wrong clips get the next label."""
    rng = np.random.default_rng(seed)
    rows = []
    for s, rate in enumerate(hit):
        for c, truth in enumerate(LABELS):
            for i in range(clips):
                right = rng.random() < rate
                rows.append(
                    {"file": f"{s}{truth}{i}", "start": pd.Timedelta(0), "corpus": "c"}
                    | {"speaker": f"{s:02d}", "truth": truth}
                    | {"prediction": truth if right else LABELS[(c + 1) % 3]}
                    | {"sex": ("female", "male")[s % 2] if sex is None else sex[s]}
                )
    end = pd.TimedeltaIndex(np.full(len(rows), "NaT", "timedelta64[ns]"))
    return pd.DataFrame(rows).assign(
        end=end, entry="svm", protocol="held", fold="0", seed=0, control=False, condition="clean"
    )


def confusions(skill: np.ndarray, rng: np.random.Generator, clips: int = 6) -> np.ndarray:
    """(G, 3, 3) counts of speakers who are recognised with their own probability."""
    hits = rng.binomial(clips, skill[:, None], (len(skill), 3))
    counts = np.zeros((len(skill), 3, 3))
    counts[:, [0, 1, 2], [0, 1, 2]] = hits
    counts[:, [0, 1, 2], [1, 2, 0]] = clips - hits
    return counts


def uar(rows: pd.DataFrame) -> float:
    return metrics.uar(list(rows["truth"]), list(rows["prediction"]), LABELS)


# --- groups ----------------------------------------------------------------------------------


def test_scores_of_groups() -> None:
    """Against metrics of the group's rows; empty cells are counted, controls and noise are not.

    Meant to catch: unknown as a group, all clips in each group.
    """
    rows = table([0.9, 0.5, 0.8, 0.4, 0.9], sex=["female", "male", "female", "male", ""])
    more = pd.concat(
        [rows, rows.assign(control=True, prediction="fear"), rows.assign(condition="white")]
    )
    scores = group_scores(more, labels=LABELS).set_index("group")
    assert list(scores.index) == ["female", "male"]
    for sex in ("female", "male"):
        mine = rows[rows["sex"] == sex]
        assert scores.loc[sex, "uar"] == pytest.approx(uar(mine))
        assert scores.loc[sex, "war"] == pytest.approx((mine["truth"] == mine["prediction"]).mean())
    assert scores["n"].tolist() == [36, 36]
    assert scores["speakers"].tolist() == [2, 2]
    assert scores["unknown"].tolist() == [18, 18]
    assert (scores["uar_low"] < scores["uar"]).all()
    assert group_scores(rows.assign(sex=""), labels=LABELS).empty
    with pytest.raises(ManifestError, match="no column 'age'"):
        group_scores(rows, labels=LABELS, by="age")


def test_gap_of_groups_is_welchs() -> None:
    """Every speaker has equally many clips: the interval is that of Welch's t over speakers.

    Meant to catch: pooled variance, normal quantiles, no correction for few speakers, first and
    second exchanged.
    """
    rng = np.random.default_rng(1)
    hit = np.clip(rng.normal([0.85, 0.5] * 7, [0.03, 0.2] * 7), 0, 1).tolist()
    rows = table([*hit, 0.9], clips=40)  # 8 women, 7 men
    row = group_gaps(rows, labels=LABELS, n=40_000).iloc[0]
    each = rows.groupby("speaker").apply(uar)
    women, men = each.iloc[::2], each.iloc[1::2]
    expected = ttest_ind(women, men, equal_var=False).confidence_interval(0.95)
    assert (row["first"], row["second"]) == ("female", "male")
    assert row["gap"] == pytest.approx(women.mean() - men.mean())
    assert (row["gap_low"], row["gap_high"]) == pytest.approx(tuple(expected), abs=0.01)
    assert (row["speakers_first"], row["speakers_second"], row["shared_speakers"]) == (8, 7, 0)
    assert row["p"] < 0.05


def test_p_of_groups_is_that_of_all_deals() -> None:
    """Against SciPy's exact permutation test over speakers. Meant to catch: one side only."""
    rows = table([0.8, 0.55, 0.9, 0.7, 0.75, 0.5, 0.85, 0.7], clips=20)
    each = rows.groupby("speaker").apply(uar).to_numpy()
    exact = permutation_test(
        (each[::2], each[1::2]), lambda a, b, axis: abs(a.mean(axis) - b.mean(axis)),
        n_resamples=np.inf, alternative="greater", vectorized=True,
    )  # fmt: skip
    p = group_gaps(rows, labels=LABELS, n=20_000).iloc[0]["p"]
    assert p == pytest.approx(exact.pvalue, abs=0.01)


def test_equal_groups_are_found_different_in_one_of_twenty() -> None:
    """400 corpora, two groups of 5 from one population: intervals and p = .05 keep their word.

    Standard error 1.1 points. Meant to catch: clips in place of speakers (a third are "unfair").
    """
    rng = np.random.default_rng(0)
    member = np.array([[True, False], [False, True]] * 5)
    outside = small = 0
    for _ in range(400):
        counts = confusions(np.clip(rng.normal(0.65, 0.12, 10), 0, 1), rng)
        row = TwoGroups(counts[:, None] * member[:, :, None, None], member).gap(
            metrics.uar_of, n=200
        )
        outside += row["gap_low"] > 0 or row["gap_high"] < 0
        small += row["p"] <= 0.05
    assert 4 <= outside <= 32
    assert 4 <= small <= 32


def test_the_same_people_in_both_groups() -> None:
    """Two languages of the same ten people, each worse in the second: paired, so it is seen.

    Meant to catch: people drawn apart for each language (an interval twice as wide).
    """
    skill = np.linspace(0.3, 0.95, 10)
    first = table(skill.tolist(), clips=20).assign(language="de")
    second = table((skill - 0.15).tolist(), clips=20, seed=1).assign(language="en")
    second = second.assign(file="x" + second["file"])
    rows = pd.concat([first, second])
    row = group_gaps(rows, labels=LABELS, by="language").iloc[0]
    assert row["gap"] == pytest.approx(uar(first) - uar(second))
    assert row["shared_speakers"] == 10
    assert row["gap_low"] > 0
    assert row["p"] < 0.05
    apart = second.assign(speaker="x" + second["speaker"])
    other = group_gaps(pd.concat([first, apart]), labels=LABELS, by="language").iloc[0]
    assert other["gap"] == pytest.approx(row["gap"])
    assert row["gap_high"] - row["gap_low"] < 0.5 * (other["gap_high"] - other["gap_low"])
    assert other["p"] > 0.05


def test_only_classes_that_both_groups_have() -> None:
    """Men without fear: the gap is over two classes. Meant to catch: over those of each."""
    rows = table([0.9, 0.6, 0.8, 0.5], clips=10)
    rows = rows[~((rows["sex"] == "male") & (rows["truth"] == "fear")).to_numpy()]
    row = group_gaps(rows, labels=LABELS).iloc[0]
    part = rows[(rows["truth"] != "fear").to_numpy()]
    women, men = (part[(part["sex"] == s).to_numpy()] for s in ("female", "male"))
    assert row["classes"] == 2
    assert row["gap"] == pytest.approx(uar(women) - uar(men))
    by_class = recall_gaps(rows, labels=LABELS).set_index("label")
    assert np.isnan(by_class.loc["fear", "gap"])
    assert np.isnan(by_class.loc["fear", "p_holm"])


def test_recall_of_every_class_is_corrected_for_looking_at_all() -> None:
    """Only fear differs. Holm by hand. Meant to catch: the class shifted, no correction."""
    rows = table([0.9] * 12, clips=10)
    lost = (rows["sex"] == "male") & (rows["truth"] == "fear")
    rows.loc[lost, "prediction"] = np.where(np.arange(lost.sum()) % 3, "neutral", "fear")
    found = recall_gaps(rows, labels=LABELS).set_index("label")
    women = rows[(rows["sex"] == "female").to_numpy()]
    recall = metrics.recalls(list(women["truth"]), list(women["prediction"]), LABELS)
    assert found.loc["fear", "gap"] == pytest.approx(recall[1] - 1 / 3, abs=0.02)
    assert found.loc["fear", "gap_low"] > 0
    assert found["p_holm"].idxmin() == "fear"
    assert found.loc["fear", "p_holm"] == pytest.approx(min(1.0, 3 * found.loc["fear", "p"]))
    assert (found["p_holm"] >= found["p"]).all()


def test_small_groups_have_no_interval() -> None:
    """One man: a gap, no interval and no p, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = group_gaps(
            table([0.9, 0.5, 0.8], sex=["female", "male", "female"]), labels=LABELS
        ).iloc[0]
        none = group_gaps(table([0.9, 0.5], sex=["female"] * 2), labels=LABELS)
    assert np.isfinite(row["gap"])
    assert np.isnan([row["gap_low"], row["gap_high"], row["p"], row["p_holm"]]).all()
    assert none.empty


def test_speakers_of_several_corpora_are_several() -> None:
    """03 of one corpus is not 03 of another. Meant to catch: codes without their corpus."""
    one = table([0.9, 0.6], sex=["female", "male"])
    rows = pd.concat([one, one.assign(corpus="d")])
    women, men = (rows[(rows["sex"] == s).to_numpy()] for s in ("female", "male"))
    pair = TwoGroups.of(women, men, labels=LABELS)
    assert pair.member.tolist() == [[True, False], [False, True]] * 2
    assert group_gaps(rows, labels=LABELS).iloc[0]["speakers_first"] == 2


# --- speakers --------------------------------------------------------------------------------


def test_spread_of_equal_speakers_is_chance() -> None:
    """Ten speakers of one skill: 400 corpora; p <= .05 in about one of twenty.

    sd_chance is that of a mean of three recalls, sqrt(p (1 - p) / n / 3). Meant to catch: the
    recall of each speaker in place of all (p is then never small), WAR in place of UAR.
    """
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(10)]
    found = [_spread(names, confusions(np.full(10, 0.7), rng), 200, i) for i in range(400)]
    assert np.mean([f["sd_chance"] for f in found]) == pytest.approx(
        np.sqrt(0.7 * 0.3 / 6 / 3), rel=0.03
    )
    assert np.mean([f["sd"] ** 2 for f in found]) == pytest.approx(0.7 * 0.3 / 18, rel=0.1)
    assert 6 <= sum(f["p"] <= 0.05 for f in found) <= 32
    assert 1 <= sum(f["worst_p"] <= 0.05 for f in found) <= 32  # few clips: large steps


def test_a_speaker_who_is_not_understood_is_found() -> None:
    """Nine at .8, one at .3. Meant to catch: best for worst; the mean in place of the lowest."""
    rows = table([0.8] * 4 + [0.3] + [0.8] * 5, clips=20)
    row = speaker_spread(rows, labels=LABELS).iloc[0]
    each = rows.groupby("speaker").apply(uar)
    assert (row["worst"], row["best"]) == (each.idxmin(), each.idxmax()) == ("04", each.idxmax())
    assert row["worst_uar"] == pytest.approx(each.min())
    assert row["sd"] == pytest.approx(each.std(ddof=1))
    assert row["p"] < 0.01
    assert row["worst_p"] < 0.01
    assert row["worst_chance"] > 0.55
    assert row["sd_beyond"] == pytest.approx(np.sqrt(row["sd"] ** 2 - row["sd_chance"] ** 2))


def test_seeds_are_averaged() -> None:
    """The same predictions twice are the same spread. Meant to catch: clips counted twice."""
    rows = table([0.6, 0.8, 0.7, 0.5])
    one = speaker_spread(rows, labels=LABELS)
    two = speaker_spread(pd.concat([rows, rows.assign(seed=1)]), labels=LABELS)
    pd.testing.assert_frame_equal(one, two)


def test_spread_of_few() -> None:
    """One speaker, and one who lacks a class: no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = speaker_spread(table([0.7]), labels=LABELS).iloc[0]
        rows = table([0.7, 0.6, 0.8])
        lacking = (rows["speaker"] == "01") & (rows["truth"] == "fear")
        part = speaker_spread(rows[~lacking.to_numpy()], labels=LABELS).iloc[0]
    assert alone["speakers"] == 1
    assert np.isnan([alone["sd"], alone["p"], alone["worst_p"]]).all()
    assert np.isfinite([part["sd"], part["sd_chance"], part["p"]]).all()
    assert speaker_spread(rows.iloc[:0], labels=LABELS).empty


def test_entries_and_protocols_stay_apart() -> None:
    parts = [
        table([0.9, 0.5] * 3, seed=i).assign(entry=e, protocol=p)
        for i, (e, p) in enumerate(itertools.product(["svm", "xgb"], ["held", "random"]))
    ]
    gaps = group_gaps(pd.concat(parts), labels=LABELS)
    assert list(zip(gaps["protocol"], gaps["entry"], strict=True)) == [
        ("held", "svm"), ("random", "svm"), ("held", "xgb"), ("random", "xgb"),
    ]  # fmt: skip
    for gap, rows in zip(gaps["gap"], parts, strict=True):
        by_sex = rows.groupby("sex").apply(uar)
        assert gap == pytest.approx(by_sex["female"] - by_sex["male"])
