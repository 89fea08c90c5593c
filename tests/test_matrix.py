"""The cross-corpus matrix and the noise curve: pure functions of predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from serfeat import metrics, stats
from serfeat.conditions import conditions_of
from serfeat.errors import ManifestError
from serfeat.statistics.matrix import cross_matrix, grid, trained_on
from serfeat.statistics.paired import paired_gap, same_clips
from serfeat.statistics.robustness import noise_curve

LABELS = ["anger", "fear", "neutral"]
CORPORA = {"a": ("de", 4), "b": ("en", 5), "c": ("en", 6)}


def clips() -> pd.DataFrame:
    """Rows of three corpora whose speakers have the same codes; every label four times each."""
    rows = [
        {"file": f"{corpus}/{s}{label}{i}", "start": pd.Timedelta(0), "end": pd.NaT}
        | {"corpus": corpus, "speaker": str(s), "language": language, "truth": label}
        for corpus, (language, speakers) in CORPORA.items()
        for s in range(speakers)
        for label in LABELS
        for i in range(4)
    ]
    table = pd.DataFrame(rows)
    return table.assign(end=pd.TimedeltaIndex(np.full(len(table), "NaT", "timedelta64[ns]")))


ROWS = clips()


def fold(name: str, test: np.ndarray, train: np.ndarray) -> dict:
    rows = np.arange(len(ROWS))
    return {"name": name, "train": rows[train].tolist(), "test": rows[test].tolist()}


def of(corpus: str) -> np.ndarray:
    return np.asarray(ROWS["corpus"] == corpus)


def all_folds() -> dict[str, list[dict]]:
    """Within each corpus one speaker out, every pair, and one corpus out."""
    speaker = ROWS["speaker"].to_numpy()
    return {
        "within": [
            fold(f"{c} {s}", of(c) & (speaker == str(s)), of(c) & (speaker != str(s)))
            for c, (_, n) in CORPORA.items()
            for s in range(n)
        ],
        "pairs": [fold(f"{x} -> {y}", of(y), of(x)) for x in "abc" for y in "abc" if x != y],
        "leave_one_corpus_out": [fold(f"corpus {c}", of(c), ~of(c)) for c in "abc"],
        "everyone": [
            fold(f"{c} {s}", of(c) & (speaker == str(s)), ~(of(c) & (speaker == str(s))))
            for c, (_, n) in CORPORA.items()
            for s in range(n)
        ],
    }


HIT = {"within": 0.9, "pairs": 0.4, "leave_one_corpus_out": 0.6, "everyone": 0.8}


def predictions(folds: dict[str, list[dict]], entry: str = "svm", seed: int = 0) -> pd.DataFrame:
    """A clip is right with the probability of its protocol."""
    rng = np.random.default_rng(seed)
    parts = []
    for protocol, made in folds.items():
        for one in made:
            rows = ROWS.iloc[one["test"]]
            right = rng.random(len(rows)) < HIT[protocol]
            guess = rng.choice(LABELS, len(rows))
            parts.append(
                rows.assign(prediction=np.where(right, rows["truth"], guess), protocol=protocol)
                .assign(fold=one["name"], entry=entry, seed=seed, control=False)
                .assign(condition="clean")
            )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return predictions(all_folds())


@pytest.fixture(scope="module")
def trained() -> pd.DataFrame:
    return trained_on(all_folds(), ROWS)


# --- the matrix ------------------------------------------------------------------------------


def test_what_a_fold_was_trained_on() -> None:
    """Read from the rows.

    Seen to catch: test for train. Meant to: speaker codes without their corpus.
    """
    found = trained_on(all_folds(), ROWS).set_index(["protocol", "fold"])
    assert found.loc[("within", "b 0"), "train"] == "b"
    assert found.loc[("pairs", "a -> c"), "train"] == "a"
    assert found.loc[("leave_one_corpus_out", "corpus b"), "train"] == "a + c"
    assert found.loc[("everyone", "a 1"), "train"] == "a + b + c"
    assert not found["shared_speakers"].any()
    leak = {"leak": [fold("x", of("a"), of("a") | of("b"))]}
    assert trained_on(leak, ROWS)["shared_speakers"].tolist() == [4]
    by_language = trained_on(all_folds(), ROWS, by="language").set_index(["protocol", "fold"])
    assert by_language.loc[("pairs", "b -> c"), "train"] == "en"
    assert by_language.loc[("leave_one_corpus_out", "corpus b"), "train"] == "de + en"
    for rows in (ROWS.drop(columns="language"), ROWS.assign(language="")):
        with pytest.raises(ManifestError, match="needs it of every row"):
            trained_on(all_folds(), rows, by="language")


def test_cells_are_scores_of_their_clips(table: pd.DataFrame, trained: pd.DataFrame) -> None:
    """Each against metrics and stats of the rows that belong there.

    Meant to catch: rows and columns exchanged, folds averaged, an interval over folds.
    """
    matrix = cross_matrix(table, trained, labels=LABELS)
    assert len(matrix) == 3 + 6 + 3 + 3
    assert matrix["setting"].value_counts().to_dict() == {
        "within": 3, "cross": 6, "others": 3, "mixed": 3,
    }  # fmt: skip
    for row in matrix.to_dict("records"):
        mine = table[(table["protocol"] == row["protocol"]) & (table["corpus"] == row["test"])]
        if row["setting"] == "cross":
            mine = mine[mine["fold"] == f"{row['train']} -> {row['test']}"]
        assert row["uar"] == pytest.approx(
            metrics.uar(list(mine["truth"]), list(mine["prediction"]), LABELS)
        )
        counts = stats.speaker_counts(mine, labels=LABELS)[1]
        assert (row["uar_low"], row["uar_high"]) == stats.bootstrap_over_groups(counts)
        speakers = CORPORA[row["test"]][1]
        assert (row["n"], row["speakers"], row["classes"]) == (12 * speakers, speakers, 3)
        assert row["chance"] == pytest.approx(1 / 3)


def test_the_gap_is_to_the_diagonal(table: pd.DataFrame, trained: pd.DataFrame) -> None:
    """Difference of the UARs, paired over speakers; none where the diagonal has other clips.

    Meant to catch: the sign; the diagonal of the training corpus.
    """
    matrix = cross_matrix(table, trained, labels=LABELS).set_index(["setting", "train", "test"])
    home = matrix.loc[("within", "b", "b"), "uar"]
    away = matrix.loc[("cross", "a", "b")]
    assert away["gap"] == pytest.approx(away["uar"] - home)
    assert away["gap_low"] < away["gap"] < away["gap_high"] < 0
    assert away["gap_p"] < 0.05
    assert np.isnan(matrix.loc[("within", "b", "b"), "gap"])
    lacking = table.drop(table[(table["protocol"] == "within") & (table["corpus"] == "b")].index[0])
    other = cross_matrix(lacking, trained, labels=LABELS).set_index(["setting", "train", "test"])
    assert np.isnan(other.loc[("cross", "a", "b"), "gap"])
    assert np.isfinite(other.loc[("cross", "a", "c"), "gap"])


def test_noise_controls_and_seeds(table: pd.DataFrame, trained: pd.DataFrame) -> None:
    """Neither noise nor controls count; two seeds are averaged and their clips count once."""
    alone = cross_matrix(table, trained, labels=LABELS, n=50)
    wrong = table.assign(prediction="fear")
    more = pd.concat([table, wrong.assign(control=True), wrong.assign(condition="white 0 dB")])
    pd.testing.assert_frame_equal(cross_matrix(more, trained, labels=LABELS, n=50), alone)
    two = predictions(all_folds(), seed=1)
    both = cross_matrix(pd.concat([table, two]), trained, labels=LABELS, n=50)
    mean = (alone["uar"] + cross_matrix(two, trained, labels=LABELS, n=50)["uar"]) / 2
    np.testing.assert_allclose(both["uar"], mean)
    assert both["n"].tolist() == alone["n"].tolist()


def test_rows_and_columns_of_the_figure(table: pd.DataFrame, trained: pd.DataFrame) -> None:
    """The diagonal is a diagonal; what was not run is empty. Meant to catch: transposed."""
    matrix = cross_matrix(table, trained, labels=LABELS)
    wide = grid(matrix, "svm")
    assert list(wide.index) == ["a", "b", "c", "all others", "all"]
    assert list(wide.columns) == ["a", "b", "c"]
    one = matrix.set_index(["train", "test"])["uar"]
    assert wide.loc["a", "b"] == one["a", "b"]
    assert wide.loc["all others", "b"] == one["a + c", "b"]
    assert np.diagonal(wide.to_numpy()[:3]).min() > 0.8
    few = grid(matrix[(matrix["train"] == "c").to_numpy()], "svm", value="gap")
    assert list(few.index) == ["c"]
    assert few.loc["c", "a"] < 0
    assert list(few.columns) == ["c", "a", "b"]


# --- pairs -----------------------------------------------------------------------------------


def test_pairs_need_the_same_clips(table: pd.DataFrame) -> None:
    """In any order and with any seeds, but with the same truths."""
    one = table[(table["protocol"] == "everyone").to_numpy()]
    assert same_clips(one, one.sample(frac=1, random_state=0).assign(prediction="fear", seed=3))
    assert not same_clips(one, one.iloc[1:])
    assert not same_clips(one, one.assign(start=pd.Timedelta(1, "s")))
    assert not same_clips(one, one.assign(truth="fear"))
    with pytest.raises(ManifestError, match="180 clips on one side and 179 on the other"):
        paired_gap(one, one.iloc[1:], labels=LABELS)


def test_paired_gap_is_that_of_stats(table: pd.DataFrame) -> None:
    """The same numbers as `stats.paired_difference` of two entries."""
    a = table[(table["protocol"] == "everyone").to_numpy()]
    b = predictions({"everyone": all_folds()["everyone"]}, "mlp", 5)
    ours = paired_gap(a, b, labels=LABELS)
    theirs = stats.paired_difference(pd.concat([a, b]), "svm", "mlp", "everyone", labels=LABELS)
    assert ours == theirs


# --- the curve -------------------------------------------------------------------------------


def test_noise_curve(table: pd.DataFrame) -> None:
    """Losses by hand; clean first. Meant to catch: gain for loss, SNR of the wrong condition."""
    one = table[(table["protocol"] == "everyone").to_numpy()]
    rng = np.random.default_rng(0)
    noisy = []
    made = conditions_of([{"kind": "white", "snr": [10, 0], "denoise": "mmse"}])
    for condition, hit in zip(made, (0.7, 0.2), strict=True):
        keep = rng.random(len(one)) < hit
        guess = np.where(keep, one["prediction"], rng.choice(LABELS, len(one)))
        noisy.append(one.assign(prediction=guess, condition=condition.name))
    control = one.assign(control=True, prediction="fear")
    every = pd.concat([*noisy, control, one])
    curve = noise_curve(every, labels=LABELS, conditions=[c.record() for c in made])
    assert curve["condition"].tolist() == ["clean", "white 10 dB + mmse", "white 0 dB + mmse"]
    assert curve["snr"].tolist()[1:] == [10.0, 0.0]
    assert curve["denoise"].tolist() == ["", "mmse", "mmse"]
    assert curve["kind"].tolist() == ["clean", "white", "white"]
    u = [metrics.uar(list(r["truth"]), list(r["prediction"]), LABELS) for r in (one, *noisy)]
    assert curve["uar"].tolist() == pytest.approx(u)
    assert curve["loss"].tolist() == pytest.approx([0.0, u[1] - u[0], u[2] - u[0]])
    last = curve.iloc[2]
    assert last["loss_low"] < last["loss"] < last["loss_high"] < 0
    assert last["loss_p"] < 0.01
    assert (last["n"], last["speakers"]) == (180, 15)
    # Paired: narrower than what two independent intervals would give.
    wide = np.hypot(*(curve["uar_high"] - curve["uar_low"]).to_numpy()[[0, 1]])
    assert curve["loss_high"][1] - curve["loss_low"][1] < wide


def test_noise_curve_of_other_clips(table: pd.DataFrame) -> None:
    """A failure under noise: scored, without a loss. And without records of the conditions."""
    one = table[(table["protocol"] == "everyone").to_numpy()]
    curve = noise_curve(
        pd.concat([one, one.iloc[1:].assign(condition="pub")]), labels=LABELS
    ).set_index("condition")
    assert np.isnan(curve.loc["pub", "loss"])
    assert np.isfinite(curve.loc["pub", "uar"])
    assert curve.loc["pub", "kind"] == "pub"
    assert np.isnan(curve.loc["pub", "snr"])
    assert noise_curve(one.iloc[:0], labels=LABELS).empty
