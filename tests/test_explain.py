"""Explanations: permutation, contributions, gates, ablation, and their tables."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from serfeat import metrics
from serfeat.corpora import read_corpus
from serfeat.errors import FeatureError, ManifestError, ModelError
from serfeat.explain import (
    ablation,
    ablation_entries,
    contributions,
    explained,
    explained_tables,
    explains_clips,
    gates,
    importance,
    narrowed,
    permuted,
)
from serfeat.explain.contributions import origins
from serfeat.explain.permutation import exchanged
from serfeat.extract import extract
from serfeat.families import families
from serfeat.models import fit, make_model
from serfeat.plan import Entry
from serfeat.sequences import Sequences
from serfeat.splits import folds
from serfeat.stats import paired_difference

LABELS = ["anger", "fear", "neutral"]
FAMILIES = {"loud": [0, 1], "none": [2], "gaps": [3]}


class Threshold:
    """A model by hand: the sign of column 0 decides, nothing else is read."""

    classes_ = np.array(["no", "yes"])
    steps = ((("classify"), object()),)

    def predict(self, X):
        rows = np.array([clip[0, 0] for clip in X]) if isinstance(X, Sequences) else X[:, 0]
        return np.where(rows > 0, "yes", "no")


def _rows(n: int = 90, seed: int = 0):
    """(n, 4) with NaN in column 3, labels that columns 0 and 1 tell, 6 speakers."""
    rng = np.random.default_rng(seed)
    y = np.array(LABELS)[np.arange(n) % 3]
    X = rng.normal(size=(n, 4)).astype(np.float32)
    X[:, 0] += 2.0 * (y == "anger")
    X[:, 1] += 2.0 * (y == "fear")
    X[::5, 3] = np.nan
    return X, y, np.array([f"{i // 3 % 6:02d}" for i in range(n)])


def _clips(y, speakers) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "file": [f"{i}.wav" for i in range(len(y))],
            "start": pd.Timedelta(0),
            "end": pd.TimedeltaIndex(np.full(len(y), "NaT", "timedelta64[ns]")),
            "corpus": "c",
            "speaker": speakers,
            "emotion": y,
        }
    )


# --- permutation ----------------------------------------------------------------------------------


def test_exchanged_columns_stay_together_and_the_others_stay_where_they_are() -> None:
    """By hand. Mutations caught: the inverse permutation, the last frame alone repeated."""
    X = np.arange(12.0).reshape(3, 4)
    before = X.copy()
    made = exchanged(X, [0, 2], np.array([2, 0, 1]))
    assert made.tolist() == [[8, 1, 10, 3], [0, 5, 2, 7], [4, 9, 6, 11]]
    assert np.array_equal(X, before)

    clips = Sequences.of([np.c_[[1, 2, 3], [4, 5, 6]], np.c_[[7, 8], [9, 10]]])
    made = exchanged(clips, [0], np.array([1, 0]))
    assert [c.tolist() for c in made] == [[[7, 4], [8, 5], [7, 6]], [[1, 9], [2, 10]]]


class Sum:
    """Says the sum of the first two columns: a row that keeps both says what it said."""

    def predict(self, X):
        return X[:, 0] + X[:, 1]


def test_a_family_is_exchanged_whole() -> None:
    """All columns of a family by one order: the same sums in another order; half of it: others.

    Mutation caught: the first column of a family alone is exchanged.
    """
    X = np.random.default_rng(0).normal(size=(30, 4))
    said = permuted(Sum(), X, {"both": [0, 1], "half": [0]}, repeats=2)
    for each in said["both"]:
        assert not np.array_equal(each, said[""][0])
        assert np.array_equal(np.sort(each), np.sort(said[""][0]))
    assert not np.allclose(np.sort(said["half"][0]), np.sort(said[""][0]))
    assert np.array_equal(said["both"][0], (X[:, 0] + X[:, 1])[_order(30)])


def _order(n: int) -> np.ndarray:
    """The first permutation that seed 0 draws: the same for every family."""
    return np.random.default_rng(0).permutation(n)


def test_only_the_family_that_is_read_has_an_importance() -> None:
    """A model that reads column 0 alone: the others drop exactly 0, its family drops by the share
    of rows whose partner has the other sign, for which the expectation is known.

    Mutations caught: the repeats averaged with the plain rows, the sign of the drop.
    """
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 4))
    y = np.where(X[:, 0] > 0, "yes", "no")
    said = permuted(Threshold(), X, FAMILIES, repeats=20, seed=1)
    assert [len(v) for v in said.values()] == [1, 20, 20, 20]
    part = {"classes": ["no", "yes"], "said": {k: [v == "yes" for v in e] for k, e in said.items()}}
    part["said"] = {k: [np.asarray(v, int).tolist() for v in e] for k, e in part["said"].items()}
    tables = explained_tables(
        {"permutation": part},
        _clips(y, [f"{i % 8}" for i in range(400)]),
        np.arange(400),
        key={"entry": "e", "protocol": "p", "fold": "f", "seed": 0},
    )
    found = importance(tables["importance"], labels=["no", "yes"]).set_index("family")
    assert list(found["score"]) == [1.0] * 3
    assert found.loc[["none", "gaps"], "drop"].tolist() == [0.0, 0.0]
    assert found["drop"]["loud"] == pytest.approx(0.5, abs=0.03)  # UAR at chance
    assert found["low"]["loud"] < 0.5 < found["high"]["loud"]
    assert found["groups"].tolist() == [8] * 3
    assert np.isnan(found.loc["none", ["low", "high"]].to_numpy(dtype=float)).all()


def test_the_drop_is_a_difference_of_recomputed_uars() -> None:
    """Another way: predictions of every repeat pooled over folds and scored one by one."""
    X, y, speakers = _rows()
    clips, parts, pooled = _clips(y, speakers), [], {}
    for test in (np.arange(0, 90, 2), np.arange(1, 90, 2)):
        train = np.setdiff1d(np.arange(90), test)
        model = fit(make_model("knn"), X[train], y[train], speakers[train])
        said = json.loads(json.dumps(explained(model, X[test], FAMILIES, repeats=4, seed=5)))
        assert set(said) == {"permutation"}
        key = {"entry": "e", "protocol": "p", "fold": f"{test[0]}", "seed": 0}
        parts.append(explained_tables(said, clips, test, key=key)["importance"])
        for family, each in permuted(model, X[test], FAMILIES, repeats=4, seed=5).items():
            for r, p in enumerate(each):
                pooled.setdefault((family, r), []).append((y[test], p))
    table = pd.concat(parts, ignore_index=True)
    assert table["n"].sum() == 90 * (1 + 3 * 4)
    uar = {
        k: metrics.uar(*(np.concatenate(side) for side in zip(*v, strict=True)), LABELS)
        for k, v in pooled.items()
    }
    found = importance(table, labels=LABELS).set_index("family")
    for family in FAMILIES:
        expected = uar["", 0] - np.mean([uar[family, r] for r in range(4)])
        assert found["drop"][family] == pytest.approx(expected)
    assert found.index[0] == "loud"
    assert found["low"]["loud"] > 0
    doubled = pd.concat([table, table.assign(seed=1)])
    again = importance(doubled, labels=LABELS).set_index("family")
    assert again["drop"]["loud"] == pytest.approx(found["drop"]["loud"])


def test_importance_of_numbers_is_a_drop_of_the_ccc() -> None:
    """Against metrics.ccc. Mutation caught: a product where the sum of squares belongs."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=40)
    plain, other = truth + 0.3 * rng.normal(size=40), rng.normal(size=40)
    part = {"classes": [], "said": {"": [plain.tolist()], "f0": [other.tolist(), plain.tolist()]}}
    tables = explained_tables(
        {"permutation": part},
        _clips(["x"] * 40, [f"{i % 5}" for i in range(40)]),
        np.arange(40),
        key={"entry": "e", "protocol": "p", "fold": "f", "seed": 0},
        truth={"valence": truth},
    )
    found = importance(tables["importance"]).iloc[0]
    expected = metrics.ccc(truth, plain)
    assert found["score"] == pytest.approx(expected)
    assert found["drop"] == pytest.approx((expected - metrics.ccc(truth, other)) / 2)


def test_tables_that_cannot_be_compared() -> None:
    X, y, speakers = _rows()
    with pytest.raises(ModelError, match="0 repeats"):
        permuted(Threshold(), X, FAMILIES, repeats=0)
    model = fit(make_model("knn"), X, y, speakers)
    key = {"entry": "e", "protocol": "p", "fold": "f", "seed": 0}
    said = explained(model, X, FAMILIES, repeats=2)
    table = explained_tables(said, _clips(y, speakers), np.arange(90), key=key)["importance"]
    with pytest.raises(ManifestError, match="lacks the predictions on the rows as they are"):
        importance(table[table["family"] != ""], labels=LABELS)
    with pytest.raises(ManifestError, match="family none, repeat 1 has other clips"):
        importance(table[(table["family"] != "none") | (table["repeat"] < 1)], labels=LABELS)


# --- contributions --------------------------------------------------------------------------------


def test_boosted_trees_add_up_to_their_margins() -> None:
    """Shares + bias = the margin that XGBoost says, to 1e-5; the NaN indicator counts for its
    column. Mutation caught: the indicator counted to another column."""
    xgboost = pytest.importorskip("xgboost")
    X, y, speakers = _rows()
    model = fit(make_model("xgb", n_estimators=20), X, y, speakers)
    shares, bias = contributions(model, X, FAMILIES)
    assert shares.shape == (90, 3, 3)
    rows = xgboost.DMatrix(model[:-1].transform(X))
    margin = model.steps[-1][1].booster_.predict(rows, output_margin=True)
    assert shares.sum(axis=1) + bias == pytest.approx(margin, abs=1e-5)
    assert np.abs(shares[:, 0]).mean() > 3 * np.abs(shares[:, 1:]).mean()
    assert origins(model[:-1], 4).tolist() == [0, 1, 2, 3, 3]
    alone = {str(i): [i] for i in range(4)}
    split, _ = contributions(model, X, alone)
    assert split[:, :2].sum(axis=1) == pytest.approx(shares[:, 0], abs=1e-9)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:2]])
def test_linear_support_vectors_add_up_to_their_pairwise_margins(labels) -> None:
    """Against scikit-learn's one-vs-one decision values. Mutations caught: a pair's sign, the
    intercepts left out, weights times unprepared values."""
    X, y, speakers = _rows()
    keep = np.isin(y, labels)
    X, y, speakers = X[keep], y[keep], speakers[keep]
    model = fit(make_model("svm", kernel="linear"), X, y, speakers)
    shares, bias = contributions(model, X, FAMILIES)
    said = model.predict(X)
    machine = model.steps[-1][1].svc_.set_params(decision_function_shape="ovo")
    pairs = machine.decision_function(model[:-1].transform(X))
    expected = np.zeros((len(X), len(labels)))
    if len(labels) == 2:
        expected[:, 0], expected[:, 1] = -pairs, pairs
    else:
        for p, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
            expected[:, i] += pairs[:, p]
            expected[:, j] -= pairs[:, p]
    assert shares.sum(axis=1) + bias == pytest.approx(expected, abs=1e-6)
    agree = said == model.classes_[expected.argmax(axis=1)]
    assert agree.mean() > 0.9  # votes decide first, the summed margins next


def test_models_and_families_that_have_no_contributions() -> None:
    X, y, speakers = _rows()
    model = fit(make_model("svm"), X, y, speakers)
    assert not explains_clips(model)
    with pytest.raises(ModelError, match="cannot say what each column added"):
        contributions(model, X, FAMILIES)
    linear = fit(make_model("svm", kernel="linear"), X, y, speakers)
    with pytest.raises(ModelError, match="1 columns are not in exactly one family"):
        contributions(linear, X, {"a": [0, 1], "b": [2]})
    with pytest.raises(ModelError, match="neither attention nor gates"):
        gates(linear, Sequences.of([X]))


# --- gates, and the tables of a fold --------------------------------------------------------------


def test_a_network_is_written_down_without_a_label_and_read_back() -> None:
    """A fold with frames: JSON there and back, the table is what `gates` says of these clips.

    Mutations caught: clips of the fold taken for rows of the run, times in frames.
    """
    rng = np.random.default_rng(0)
    X = Sequences.of([rng.normal(size=(int(n), 4)) for n in rng.integers(5, 12, 24)])
    y, speakers = np.array(LABELS)[np.arange(24) % 3], np.arange(24) // 6
    model = make_model("timnet", epochs=1, filters=4, n_dilations=2, threads=1)
    test = np.arange(18, 24)
    fit(model, X[:18], y[:18], speakers[:18])
    said = json.loads(json.dumps(explained(model, X[test], FAMILIES, repeats=2, clips=3)))
    key = {"entry": "t", "protocol": "p", "fold": "f", "seed": 0}
    tables = explained_tables(said, _clips(y, speakers), test, key=key, hop=0.02)
    assert set(tables) == {"importance", "gates"}
    shown = tables["gates"]
    assert list(dict.fromkeys(shown["file"])) == ["18.wav", "20.wav", "23.wav"]
    last = shown[shown["file"] == "23.wav"]
    direct = gates(model, X[[23]], hop=0.02)
    for column in ("name", "place", "time"):
        pd.testing.assert_series_equal(last[column].reset_index(drop=True), direct[column])
    assert last["weight"].to_numpy() == pytest.approx(direct["weight"].to_numpy(), abs=1e-6)
    evidence = last[last["name"] == "evidence"]
    assert len(evidence) == len(X[23])
    assert evidence["time"].iloc[-1] == pytest.approx(0.02 * (len(X[23]) - 1))
    scales = last[last["name"] == "fusion_scales"]
    assert scales["place"].tolist() == [1, 2]
    assert scales["time"].isna().all()


# --- ablation, and real speech --------------------------------------------------------------------


def test_entries_of_an_ablation() -> None:
    made = {e.name: e.features for e in ablation_entries(Entry("svm", "svm", "classic"))}
    assert len(made) == 1 + 9 + 9
    assert made["svm without f0"] == "classic-f0"
    assert made["svm only teo"] == "classic:teo"
    frames = ablation_entries(Entry("net", "timnet", "full"), ["without"])
    assert len(frames) == 1 + 12  # rhythm and perturbation have no frames
    with pytest.raises(FeatureError, match="nothing to take apart"):
        ablation_entries(Entry("net", "timnet", "timnet39"))


def _said(y, speakers, entry: str, wrong: int) -> pd.DataFrame:
    """Predictions of an entry that gets every `wrong`-th clip wrong."""
    p = y.copy()
    p[::wrong] = np.roll(np.array(LABELS), 1)[[LABELS.index(v) for v in y[::wrong]]]
    about = {"entry": entry, "protocol": "p", "fold": "f", "seed": 0, "control": False}
    return _clips(y, speakers).drop(columns="emotion").assign(truth=y, prediction=p, **about)


@pytest.mark.parametrize("mark", ["", " [epoch chosen on test]"])
def test_an_ablation_is_paired_differences(mark: str) -> None:
    """... of the full entry minus the lesser, under the names that families have.

    Mutations caught: the sign, "svm2 without" taken for one of "svm".
    """
    _, y, speakers = _rows()
    names = {"svm": 9, "svm without f0": 2, "svm only f0": 4, "svm2 without teo": 3, "knn": 5}
    table = pd.concat([_said(y, speakers, name + mark, w) for name, w in names.items()])
    found = ablation(table, "svm" + mark, "p", labels=LABELS)
    assert found[["kind", "family"]].to_numpy().tolist() == [
        ["", ""],
        ["without", "f0"],
        ["only", "f0"],
    ]
    one = paired_difference(table, "svm" + mark, "svm without f0" + mark, "p", labels=LABELS)
    row = found.iloc[1]
    assert row["loss"] == one.difference > 0
    assert (row["loss_low"], row["loss_high"]) == (one.low, one.high)
    assert row["uar"] == pytest.approx(found["uar"][0] - row["loss"])
    with pytest.raises(ManifestError, match="no entries without or with one family of knn"):
        ablation(table, "knn" + mark, "p", labels=LABELS)


@pytest.mark.corpus
def test_on_real_speech_the_pitch_matters_and_noise_does_not(emodb_root, tmp_path) -> None:
    """A clip of each speaker and emotion of EMO-DB; a column of noise is a family of its own.

    Narrowing the extraction of the whole set gives what extracting the part gives.
    """
    manifest = read_corpus("emodb", emodb_root)
    chosen = manifest.rows.groupby(["speaker", "emotion"]).head(1)
    manifest = dataclasses.replace(manifest, rows=chosen)
    whole = extract(manifest, "prosody", level="functionals", store=tmp_path)
    part = extract(manifest, "prosody:zcr+energy", level="functionals", store=tmp_path)
    made = narrowed(whole, "prosody:zcr+energy")
    assert np.array_equal(made.values, part.values, equal_nan=True)
    pd.testing.assert_frame_equal(made.table, part.table)
    with pytest.raises(FeatureError, match="classic:zcr is no part of prosody"):
        narrowed(whole, "classic:zcr")
    columns = whole.features.columns("functionals")
    noise = np.random.default_rng(0).normal(size=(len(chosen), 1)).astype(np.float32)
    X = np.concatenate([whole.values, noise], axis=1)
    groups = families([*columns, "noise"])
    assert list(groups)[:3] == ["f0", "zcr", "energy"]
    assert groups["noise"] == (len(columns),)
    rows = manifest.rows.reset_index()
    y, who = rows["emotion"].to_numpy(), rows["speaker"].to_numpy()
    tables = []
    for fold in folds(manifest.rows, "speaker_kfold", n=5)[0]:
        model = fit(make_model("svm"), X[fold.train], y[fold.train], who[fold.train])
        key = {"entry": "svm", "protocol": "p", "fold": fold.name, "seed": 0}
        said = explained(model, X[fold.test], groups, repeats=5)
        tables.append(explained_tables(said, rows, fold.test, key=key)["importance"])
    found = importance(pd.concat(tables), labels=sorted(set(y))).set_index("family")
    assert found["low"]["f0"] > 0
    assert found["drop"]["f0"] > 3 * abs(found["drop"]["noise"])
