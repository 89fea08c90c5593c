"""Intervals: the formula, coverage in a small simulation, pairing, and the leaderboard."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from serfeat import metrics, stats
from serfeat.compare.leaderboard import leaderboard
from serfeat.errors import ManifestError, ModelError

LABELS = ["anger", "fear", "neutral"]


def table(
    n_speakers: int = 8,
    entry: str = "svm",
    protocol: str = "held",
    *,
    seed: int = 0,
    hit: float = 0.6,
) -> pd.DataFrame:
    """Predictions of one entry: every speaker says every emotion 5 times."""
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(n_speakers):
        for truth in LABELS:
            for i in range(5):
                p = rng.dirichlet(np.ones(3))
                p[LABELS.index(truth)] += 1.0 if rng.random() < hit else 0.0
                p /= p.sum()
                rows.append(
                    {"file": f"{s}{truth}{i}", "start": pd.Timedelta(0), "corpus": "c"}
                    | {"speaker": f"{s:02d}", "truth": truth}
                    | {"prediction": LABELS[int(p.argmax())], "entry": entry}
                    | {"protocol": protocol, "fold": f"{s % 4}", "seed": 0, "control": False}
                    | {f"p_{x}": v for x, v in zip(LABELS, p, strict=True)}
                )
    end = pd.TimedeltaIndex(np.full(len(rows), "NaT", "timedelta64[ns]"))
    return pd.DataFrame(rows).assign(end=end)


def mean_of(counts: np.ndarray) -> np.ndarray:
    """A statistic with a known standard error: hits / trials of (..., 2) counts."""
    return np.asarray(counts[..., 0] / counts[..., 1])


def test_interval_of_a_mean_is_students() -> None:
    """With equal groups the bootstrap's corrected error is sd / sqrt(G), so the interval is t's.

    Mutation caught: without sqrt(G / (G - 1)) it is 11 % too narrow for 5 groups; normal
    quantiles instead of t's are 29 % too narrow.
    """
    x = np.array([0.40, 0.52, 0.61, 0.47, 0.70])
    counts = np.c_[x, np.ones(5)]
    low, high = stats.bootstrap_over_groups(counts, statistic=mean_of, n=200_000, method="t")
    reach = student.ppf(0.975, 4) * x.std(ddof=1) / np.sqrt(5)
    assert (low, high) == pytest.approx((x.mean() - reach, x.mean() + reach), abs=2e-3)
    bent = stats.bootstrap_over_groups(counts, statistic=mean_of, n=200_000)
    p = x.mean()
    centre, r = np.log(p / (1 - p)), reach / (p * (1 - p))
    assert bent == pytest.approx([1 / (1 + np.exp(-(centre + s * r))) for s in (-1, 1)], abs=2e-3)


def test_coverage_with_ten_speakers() -> None:
    """Nominal 95 % intervals of UAR cover 91 to 98 % of 600 simulated corpora; percentiles do not.

    600 corpora have a standard error of .9 points. Mutation caught: resampling clips, percentile
    intervals as default, or no correction for the number of groups.
    """
    rng = np.random.default_rng(5)
    c, base = 5, np.linspace(0.0, 1.4, 5)

    def recall(n: int) -> np.ndarray:
        skill = 0.8 * rng.normal(size=(n, 1)) + 0.4 * rng.normal(size=(n, c))
        return np.asarray(1 / (1 + np.exp(-(base + skill))))

    truth = recall(200_000).mean()
    covered = {"logit": 0, "percentile": 0}
    for trial in range(600):
        clips = rng.poisson(8, size=(10, c))
        hits = rng.binomial(clips, recall(10))
        counts = np.zeros((10, c, c))
        counts[:, np.arange(c), np.arange(c)] = hits
        counts[:, np.arange(c), (np.arange(c) + 1) % c] = clips - hits
        for method in ("logit", "percentile"):
            low, high = stats.bootstrap_over_groups(counts, n=300, seed=trial, method=method)
            covered[method] += low <= truth <= high
    assert 0.91 <= covered["logit"] / 600 <= 0.98
    assert covered["percentile"] < covered["logit"] - 12


def test_groups_are_drawn_whole() -> None:
    """Rows of one group are added up first. Mutation caught: ignoring `groups`."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (6, 3, 3)).astype(float)
    split = np.concatenate([counts, counts[::-1]])
    names = [*"abcdef", *"fedcba"]
    assert stats.bootstrap_over_groups(split, names) == pytest.approx(
        stats.bootstrap_over_groups(2 * counts)
    )
    with pytest.raises(ModelError, match="12 rows of counts but 2 groups"):
        stats.bootstrap_over_groups(split, ["a", "b"])


def test_interval_that_cannot_be_known_is_nan() -> None:
    """One speaker, none, or perfect on every speaker: NaN, no warning."""
    perfect = np.stack([np.diag([4, 4]), np.diag([3, 5])])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for counts in (perfect[:1], perfect[:0], perfect, np.zeros((3, 2, 2))):
            assert np.isnan(stats.bootstrap_over_groups(counts)).all()


def test_seed_decides() -> None:
    _, counts = stats.speaker_counts(table(), labels=LABELS)
    one = stats.bootstrap_over_groups(counts, seed=3)
    assert one == stats.bootstrap_over_groups(counts, seed=3)
    assert one != stats.bootstrap_over_groups(counts, seed=4)


def test_speaker_counts_are_confusions() -> None:
    """Mutation caught: truth and prediction swapped; speakers in another order."""
    rows = table(4)
    rows = rows.sample(frac=1, random_state=1)
    speakers, counts = stats.speaker_counts(rows, labels=LABELS)
    assert speakers == ["00", "01", "02", "03"]
    for speaker, count in zip(speakers, counts, strict=True):
        mine = rows[rows["speaker"] == speaker]
        expected = metrics.confusion(list(mine["truth"]), list(mine["prediction"]), LABELS)
        assert count.tolist() == expected.tolist()


def test_paired_difference() -> None:
    """The difference is of the UARs, antisymmetric, 0 against itself, and its interval is paired.

    Mutation caught: drawing other speakers for each side (the interval of an entry against a
    nearly equal copy of itself is then as wide as two intervals).
    """
    a, b = table(hit=0.8), table(entry="mlp", hit=0.3, seed=9)
    near = a.assign(entry="near")
    right = near[near["truth"] == near["prediction"]].groupby("speaker").head(1)
    near.loc[right.index[:7], "prediction"] = [
        "fear" if t == "anger" else "anger" for t in right["truth"][:7]
    ]
    rows = pd.concat([a, b, near])

    def u(r: pd.DataFrame) -> float:
        return metrics.uar(list(r["truth"]), list(r["prediction"]), LABELS)

    d = stats.paired_difference(rows, "svm", "mlp", "held", labels=LABELS)
    assert d.difference == pytest.approx(u(a) - u(b))
    assert d.excludes_zero
    assert d.low < d.difference < d.high
    assert d.groups == 8
    back = stats.paired_difference(rows, "mlp", "svm", "held", labels=LABELS)
    assert (back.difference, back.low, back.high) == pytest.approx((-d.difference, -d.high, -d.low))
    close = stats.paired_difference(rows, "svm", "near", "held", labels=LABELS)
    low, high = stats.bootstrap_over_groups(stats.speaker_counts(a, labels=LABELS)[1])
    assert close.high - close.low < (high - low) / 2
    same = stats.paired_difference(
        pd.concat([a, a.assign(entry="copy")]), "svm", "copy", "held", labels=LABELS
    )
    assert same.difference == 0
    assert np.isnan(same.low)
    assert not same.excludes_zero


def test_p_and_interval_say_the_same() -> None:
    """At any level the interval excludes 0 where p is below 1 - level; it stays within -1..1.

    Mutations caught: one-sided p, another number of degrees of freedom, no bounds.
    """
    d = stats.difference_of(0.1, 0.04, 10)
    assert d.p == pytest.approx(2 * student.sf(2.5, 9))
    for p in (d.p * 0.99, d.p * 1.01):
        assert stats.difference_of(0.1, 0.04, 10, level=1 - p).excludes_zero == (p > d.p)
    far = stats.difference_of(-0.5, 0.2, 2)
    assert (far.low, far.high) == (-1, 1)
    assert np.isnan(stats.difference_of(0.2, float("nan"), 4).p)
    assert np.isnan(stats.student_p(0.2, 0.0, 3))


def test_noise_at_test_time_is_left_out() -> None:
    """Mutation caught: rows of every condition pooled."""
    rows = pd.concat([table(hit=0.8), table(entry="mlp", hit=0.3, seed=9)])
    noisy = rows.assign(condition="babble 0 dB", prediction="fear")
    both = pd.concat([rows.assign(condition="clean"), noisy])
    expected = stats.paired_difference(rows, "svm", "mlp", "held", labels=LABELS)
    assert stats.paired_difference(both, "svm", "mlp", "held", labels=LABELS) == expected


def test_few_speakers_who_lack_classes() -> None:
    """Two speakers, of whom one has a single class: an interval within 0..1, no warning.

    A replicate that draws the same speaker twice has the other's classes absent: UAR is then over
    those present, never NaN.
    """
    counts = np.array([[[3, 1, 0], [0, 0, 0], [0, 0, 0]], [[2, 2, 0], [1, 3, 1], [0, 1, 4]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = stats.bootstrap_over_groups(counts)
        replicates = metrics.uar_of(stats.drawn_sums(counts.astype(float), n=200, seed=0))
    assert 0 <= low < metrics.uar_of(counts.sum(axis=0)) < high <= 1
    expected = {metrics.uar_of(c).round(9) for c in (counts[0], counts[1], counts.sum(axis=0))}
    assert set(replicates.round(9)) == expected


def test_protocol_gap_is_the_mean_over_entries() -> None:
    parts = [
        table(entry=e, protocol=p, hit=h, seed=i)
        for i, (e, p, h) in enumerate(
            [("a", "held", 0.4), ("a", "random", 0.8), ("b", "held", 0.5), ("b", "random", 0.7)]
        )
    ]
    rows = pd.concat(parts)
    u = [metrics.uar(list(r["truth"]), list(r["prediction"]), LABELS) for r in parts]
    gap = stats.protocol_gap(rows, ["a", "b"], "random", "held", labels=LABELS)
    assert gap.difference == pytest.approx((u[1] - u[0] + u[3] - u[2]) / 2)


def test_different_clips_are_refused() -> None:
    rows = pd.concat([table(), table(entry="mlp").iloc[1:]])
    with pytest.raises(ManifestError, match="mlp under held was tested on 119 clips"):
        stats.paired_difference(rows, "svm", "mlp", "held", labels=LABELS)
    with pytest.raises(ManifestError, match="no predictions of xgb"):
        stats.paired_difference(rows, "svm", "xgb", "held", labels=LABELS)


def test_leaderboard() -> None:
    """Every column against its definition. Mutation caught: pooled and fold mean mixed up."""
    svm, mlp = table(hit=0.5), table(entry="mlp", hit=0.9, seed=4)
    control = table(hit=0.0, seed=5).assign(control=True)
    lacking = (svm["fold"] == "1") & (svm["truth"] == "fear")
    svm = svm[~lacking]
    costs = pd.DataFrame(
        [
            {"entry": "svm", "protocol": "held", "fold": f, "seed": 0, "control": False}
            | {"fit_s": 2.0, "predict_s": 0.3, "n_test": 30}
            for f in "0123"
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        board = leaderboard(pd.concat([control, svm, mlp]), costs, labels=LABELS)
    assert board["entry"].tolist() == ["mlp", "svm", "svm"]
    assert board["control"].tolist() == [False, False, True]
    row = board.iloc[1]
    assert row["uar"] == pytest.approx(
        metrics.uar(list(svm["truth"]), list(svm["prediction"]), LABELS)
    )
    folds = [
        metrics.uar(list(f["truth"]), list(f["prediction"]), LABELS) for _, f in svm.groupby("fold")
    ]
    assert row["uar_folds_mean"] == pytest.approx(np.mean(folds))
    assert row["uar_folds_sd"] == pytest.approx(np.std(folds, ddof=1))
    assert row["uar_low"] < row["uar"] < row["uar_high"]
    assert (row["n"], row["speakers"], row["folds"]) == (110, 8, 4)
    assert (row["folds_incomplete"], row["classes"], row["seeds"]) == (1, 3, 1)
    assert row["chance"] == pytest.approx(1 / 3)
    assert row["fit_s"] == 8.0
    assert row["predict_ms"] == pytest.approx(10.0)
    assert np.isnan(row["uar_seeds_sd"])
    assert np.isnan(board.iloc[2]["fit_s"])


def test_leaderboard_of_two_seeds() -> None:
    """UAR is the mean of the seeds', clips count once. Mutation caught: n = rows."""
    one, two = table(seed=1), table(seed=2).assign(seed=1)
    row = leaderboard(pd.concat([one, two]), labels=LABELS).iloc[0]
    u = [metrics.uar(list(r["truth"]), list(r["prediction"]), LABELS) for r in (one, two)]
    assert row["uar"] == pytest.approx(np.mean(u))
    assert row["uar_seeds_sd"] == pytest.approx(np.std(u, ddof=1))
    assert (row["n"], row["seeds"]) == (120, 2)


def test_leaderboard_of_nothing() -> None:
    assert leaderboard(table().iloc[:0], labels=LABELS).empty
