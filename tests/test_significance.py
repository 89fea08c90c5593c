"""Pairs of entries: from predictions to a verdict, against brute force, and simulated."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

from serfeat import metrics, stats
from serfeat.compare.leaderboard import leaderboard
from serfeat.corpora import read_corpus
from serfeat.errors import ManifestError, UnknownNameError
from serfeat.statistics.paired_tests import corrected_t, holm, mcnemar, wilcoxon
from serfeat.statistics.significance import TESTS, Hits, compare_entries, compare_hits, hits_of

LABELS = ["anger", "fear", "neutral"]


def table(
    *, speakers: int = 6, entry: str = "svm", hit: float = 0.6, seed: int = 0, run: int = 0
) -> pd.DataFrame:
    """Predictions with one fold per two speakers; classes of unequal size, speaker 1 lacks fear."""
    rng = np.random.default_rng(seed)
    rows = []
    for s in range(speakers):
        for truth, clips in zip(LABELS, (3, 0 if s == 1 else 4, 6 + s), strict=True):
            for i in range(clips):
                guess = truth if rng.random() < hit else LABELS[int(rng.integers(3))]
                rows.append(
                    {"file": f"{s}{truth}{i}", "start": pd.Timedelta(0), "corpus": "c"}
                    | {"speaker": f"{s:02d}", "truth": truth, "prediction": guess}
                    | {"entry": entry, "protocol": "held", "fold": f"part {s // 2}"}
                    | {"seed": run, "control": False}
                )
    end = pd.TimedeltaIndex(np.full(len(rows), "NaT", "timedelta64[ns]"))
    return pd.DataFrame(rows).assign(end=end)


def two(**kwargs: object) -> pd.DataFrame:
    a = table(hit=0.7, **kwargs)  # type: ignore[arg-type]
    return pd.concat([a, table(entry="mlp", hit=0.45, seed=5, **kwargs)])  # type: ignore[arg-type]


def row_of(rows: pd.DataFrame, **kwargs: object) -> pd.Series:
    return compare_entries(rows, "held", labels=LABELS, **kwargs).iloc[0]  # type: ignore[arg-type]


def uar(rows: pd.DataFrame) -> float:
    return metrics.uar(list(rows["truth"]), list(rows["prediction"]), LABELS)


def test_scores_and_interval_are_those_of_the_leaderboard() -> None:
    """Mutations caught: recall over all labels, other draws than `paired_difference`."""
    rows = two()
    found = row_of(rows)
    board = leaderboard(rows, labels=LABELS).set_index("entry")["uar"]
    assert (found["a"], found["b"]) == ("svm", "mlp")
    assert (found["uar_a"], found["uar_b"]) == pytest.approx((board["svm"], board["mlp"]))
    a = rows[rows["entry"] == "svm"]
    expected = sklearn.metrics.balanced_accuracy_score(a["truth"], a["prediction"])
    assert found["uar_a"] == pytest.approx(expected)
    d = stats.paired_difference(rows, "svm", "mlp", "held", labels=LABELS)
    got = found[["difference", "low", "high", "p_t"]].tolist()
    assert got == pytest.approx([d.difference, d.low, d.high, d.p])
    assert (found["speakers"], found["folds"]) == (6, 3)
    assert (d.p < 0.05) == d.excludes_zero


def test_permutation_is_brute_force() -> None:
    """In each of the 2^6 patterns the entries really change names within some speakers.

    Mutations caught: flipping the speakers' own UARs (they weigh classes otherwise), contributions
    that do not add up to the UAR.
    """
    rows = pd.concat([table(hit=0.6), table(entry="mlp", hit=0.5, seed=5)])  # not p = 2 / 64
    a, b = (rows[rows["entry"] == e].reset_index(drop=True) for e in ("svm", "mlp"))
    speaker = a["speaker"].to_numpy()
    observed, extreme = abs(uar(a) - uar(b)), 0
    for pattern in itertools.product([False, True], repeat=6):
        swapped = np.isin(speaker, [f"{s:02d}" for s in range(6) if pattern[s]])
        one = a.assign(prediction=np.where(swapped, b["prediction"], a["prediction"]))
        two_ = b.assign(prediction=np.where(swapped, a["prediction"], b["prediction"]))
        extreme += abs(uar(one) - uar(two_)) >= observed - 1e-12
    assert 4 <= extreme <= 60
    assert row_of(rows)["p_permutation"] == pytest.approx(extreme / 64)


def test_other_tests_get_their_units() -> None:
    """Folds for the corrected t, clips for McNemar, speakers for Wilcoxon.

    Mutations caught: units exchanged, ratio of the wrong sides, discordant clips counted once.
    """
    rows = two()
    a, b = (rows[rows["entry"] == e].reset_index(drop=True) for e in ("svm", "mlp"))
    found = row_of(rows)

    def by(name: str) -> list[float]:
        return [uar(a[a[name] == v]) - uar(b[b[name] == v]) for v in sorted(set(a[name]))]

    sizes = a.groupby("fold").size()
    ratio = float((sizes / (len(a) - sizes)).mean())
    assert found["p_corrected_t"] == pytest.approx(corrected_t(by("fold"), ratio=ratio))
    folds = [{"train": range(10), "test": range(5)}, {"train": range(20), "test": range(30)}]
    told = row_of(rows, folds=folds)["p_corrected_t"]
    assert told == pytest.approx(corrected_t(by("fold"), ratio=1.0))
    assert told > found["p_corrected_t"]
    right = [(x["truth"] == x["prediction"]).to_numpy() for x in (a, b)]
    only = [int((right[i] & ~right[1 - i]).sum()) for i in (0, 1)]
    assert found["p_mcnemar"] == pytest.approx(mcnemar(*only))
    assert found["p_wilcoxon"] == pytest.approx(wilcoxon(by("speaker")))


def test_seeds_are_averaged() -> None:
    """The same predictions under three seeds are not three times as sure.

    Mutations caught: rows of seeds counted as clips (McNemar's p falls), an entry with three seeds
    weighing three times one with one.
    """
    rows = two()
    again = [rows, rows.assign(seed=1), rows.assign(seed=2)]
    numbers = [f"p_{name}" for name in TESTS] + ["uar_a", "difference", "low", "high"]
    one = row_of(rows)[numbers].astype(float)
    assert row_of(pd.concat(again))[numbers].astype(float).tolist() == pytest.approx(one.tolist())
    lopsided = pd.concat([again[0], *(r[r["entry"] == "mlp"] for r in again[1:])])
    assert row_of(lopsided)[numbers].astype(float).tolist() == pytest.approx(one.tolist())
    other = table(hit=0.7, seed=9, run=1)
    mean = row_of(pd.concat([rows, other]))
    assert mean["uar_a"] == pytest.approx((uar(other) + row_of(rows)["uar_a"]) / 2)


def test_what_does_not_matter() -> None:
    """Order of rows; control rows; noise at test time; categories that do not occur."""
    rows = two()
    expected = compare_entries(rows, "held", labels=LABELS)
    control = rows.assign(control=True, prediction="fear")
    noisy = rows.assign(condition="babble 0 dB", prediction="fear")
    mixed = pd.concat([rows.assign(condition="clean"), control.assign(condition="clean"), noisy])
    mixed = mixed.sample(frac=1, random_state=0)
    # The order of first appearance breaks ties only; UARs here differ.
    found = compare_entries(mixed, "held", labels=LABELS)
    pd.testing.assert_frame_equal(found, expected)
    clean = mixed[~mixed["control"]]
    assert stats.paired_difference(clean, "svm", "mlp", "held", labels=LABELS).low == pytest.approx(
        expected["low"][0]
    )
    typed = rows.astype(
        dict.fromkeys(("entry", "protocol", "fold", "speaker", "truth"), "category")
    )
    pd.testing.assert_frame_equal(compare_entries(typed, "held", labels=LABELS), expected)
    flat = compare_entries(mixed, "held", labels=LABELS, condition="babble 0 dB").iloc[0]
    assert flat["difference"] == 0
    assert flat[[f"p_{name}" for name in TESTS if name != "t"]].eq(1).all()
    assert not flat["better"]


def test_a_clip_in_two_folds() -> None:
    """It counts twice for the UAR and once for McNemar. Mutation caught: clips = rows."""
    rows = two()
    again = rows[rows["speaker"] == "00"].assign(fold="extra")
    hits = hits_of(pd.concat([rows, again]), "held", labels=LABELS)
    assert len(hits.truth) == len(rows) // 2 + len(again) // 2
    assert len(np.unique(hits.clip)) == len(rows) // 2
    assert compare_hits(hits)["p_mcnemar"][0] == pytest.approx(row_of(rows)["p_mcnemar"])


def many(hit: np.ndarray, speakers: int) -> Hits:
    """One class; every speaker is a fold with as many clips."""
    speaker = np.repeat(np.arange(speakers), len(hit) // speakers)
    names = tuple(f"e{i}" for i in range(hit.shape[1]))
    zeros = np.zeros(len(hit), dtype=np.int64)
    return Hits(names, hit.astype(float), zeros, speaker, speaker, np.arange(len(hit)))


def test_better_is_holms() -> None:
    """One clear entry among four equal ones: its pairs are marked, in its favour, no other.

    Mutation caught: raw p (a pair of equal entries is marked too), a and b exchanged.
    """
    rng = np.random.default_rng(4)
    hit = rng.random((200, 5)) < np.array([0.5, 0.5, 0.95, 0.5, 0.5])
    found = compare_hits(many(hit, 10))
    assert len(found) == 10
    assert (found["difference"] >= 0).all()
    assert found["better"].sum() == 4
    assert set(found[found["better"]]["a"]) == {"e2"}
    for name in TESTS:
        assert found[f"p_{name}_holm"].to_numpy() == pytest.approx(holm(found[f"p_{name}"]))
    assert (found["better"] == (found["p_t_holm"] < 0.05)).all()


def test_the_same_difference_for_every_speaker() -> None:
    """There is no error to divide by; sign flips decide. Mutation caught: never, or always."""
    hit = np.tile([[1, 1], [1, 0]], (10, 1))
    ten = compare_hits(many(hit, 10)).iloc[0]
    assert np.isnan(ten[["low", "high", "p_t"]].astype(float)).all()
    assert ten["p_permutation"] == 2 / 1024
    assert ten["better"]
    assert not compare_hits(many(hit[:10], 5)).iloc[0]["better"]  # 2 / 32 is not below .05


def test_edges() -> None:
    """One entry: no pair, the same columns. Two speakers, one fold, one speaker, perfect: no
    warning, no verdict.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none = compare_entries(table(), "held", labels=LABELS)
        assert none.empty
        assert list(none) == list(compare_entries(two(), "held", labels=LABELS))
        row = row_of(two(speakers=2))
        assert row["folds"] == 1
        assert np.isnan(row["p_corrected_t"])
        assert -1 <= row["low"] <= row["difference"] <= row["high"] <= 1
        alone = row_of(two(speakers=1))
        assert np.isnan(alone[["low", "high", "p_t"]].astype(float)).all()
        assert not alone["better"]
        perfect = row_of(pd.concat([table(hit=1.0), table(hit=1.0, entry="mlp")]))
        assert (perfect["difference"], perfect["better"]) == (0, False)
        above = row_of(pd.concat([table(hit=1.0), table(hit=0.3, entry="mlp", seed=2)]))
        assert above["low"] > 0
        assert above["better"]


def test_errors() -> None:
    rows = two()
    with pytest.raises(UnknownNameError, match="did you mean 'held'"):
        compare_entries(rows, "helt", labels=LABELS)
    with pytest.raises(ManifestError, match="no predictions under held, babble"):
        compare_entries(rows.assign(condition="clean"), "held", labels=LABELS, condition="babble")
    with pytest.raises(ManifestError, match="mlp under held was tested on 85 of 89 clips"):
        compare_entries(rows.iloc[:-4], "held", labels=LABELS)
    with pytest.raises(UnknownNameError, match="unknown label 'fear'"):
        compare_entries(rows, "held", labels=["anger", "neutral"])


@pytest.mark.corpus
def test_real_speakers_lack_classes(emodb_root: Path) -> None:
    """EMO-DB's clips, where a speaker may lack an emotion: scores are scikit-learn's, all is known.

    Mutation caught: a class that a speaker lacks counted as recall 0 (Wilcoxon, corrected t).
    """
    rows = read_corpus("emodb", emodb_root).rows
    assert (pd.crosstab(rows["speaker"], rows["emotion"]) == 0).any(axis=None)
    labels = sorted(set(rows["emotion"]))
    rng = np.random.default_rng(0)
    parts = []
    for entry, hit in (("svm", 0.8), ("mlp", 0.6)):
        truth = rows["emotion"].astype(str).to_numpy()
        guess = np.where(rng.random(len(truth)) < hit, truth, rng.choice(labels, len(truth)))
        made = rows.reset_index()[["file", "start", "end", "corpus", "speaker"]]
        made = made.assign(truth=truth, prediction=guess, entry=entry, protocol="held")
        parts.append(made.assign(fold=made["speaker"], seed=0, control=False))
    found = compare_entries(pd.concat(parts), "held", labels=labels).iloc[0]
    for side, made in zip("ab", parts, strict=True):
        expected = sklearn.metrics.balanced_accuracy_score(made["truth"], made["prediction"])
        assert found[f"uar_{side}"] == pytest.approx(expected)
    assert found["low"] < found["difference"] < found["high"]
    each = [
        metrics.uar(list(a["truth"]), list(a["prediction"]), labels)
        - metrics.uar(list(b["truth"]), list(b["prediction"]), labels)
        for (_, a), (_, b) in zip(
            *(p.groupby("speaker", observed=True) for p in parts), strict=True
        )
    ]
    assert len(each) == found["speakers"] == 10
    assert found["p_wilcoxon"] == pytest.approx(wilcoxon(each))
    assert found["better"]


# --- simulation ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The full simulation, of which a small part runs here."""
    path = Path(__file__).resolve().parent.parent / "bench" / "significance.py"
    spec = importlib.util.spec_from_file_location("bench_significance", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_significance"] = module
    spec.loader.exec_module(module)
    return module


def test_false_verdicts_of_ten_speakers(bench: ModuleType) -> None:
    """Of 300 corpora with two equally good entries; the standard error at .05 is 1.3 points.

    Mutations caught: clips drawn instead of speakers, normal quantiles in place of t's, a rule
    that trusts McNemar.
    """
    found = bench.verdicts("skilled", 10, 2, 0.0, 300, 2).mean()
    assert found["better"] <= 0.075
    assert found["t"] >= 0.02
    assert found["permutation"] <= 0.075
    assert found["wilcoxon"] <= 0.075
    assert found["corrected_t"] < found["t"]  # it expects training sets to matter
    assert found["mcnemar"] > 0.12  # what taking clips as independent costs


def test_many_entries_and_power(bench: ModuleType) -> None:
    """Six equal entries: 15 raw tests go wrong in a third of the corpora, the rule does not.

    An entry that is 10 points ahead is found in most corpora, and never the other one.
    """
    equal = bench.verdicts("trained", 10, 6, 0.0, 80, 3).mean()
    assert equal["t"] > 0.2
    assert equal["better"] <= 0.11
    ahead = bench.verdicts("skilled", 10, 2, 10.0, 100, 4).mean()
    assert ahead["better"] > 0.5
    assert ahead["wrong"] <= 0.02


def test_simulated_truth(bench: ModuleType) -> None:
    """The world's UAR is what its corpora have on average. Mutation caught: a shifted base."""
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(100):
        hits = bench.skilled(rng, speakers=40, entries=1)
        scores.append(np.mean([hits.hit[hits.truth == c].mean() for c in range(5)]))
    assert np.mean(scores) == pytest.approx(bench.true_uar(), abs=0.01)
    assert bench.true_uar(bench.logits_ahead(5)) == pytest.approx(bench.true_uar() + 0.05)
