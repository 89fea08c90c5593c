"""Normalisation: closed forms, scikit-learn, and the corpora that it would spoil."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from serfeat.corpora import read_corpus
from serfeat.errors import ModelError, SplitError
from serfeat.models import MODELS, fit, make_model
from serfeat.models.preparation import PREPARATIONS, WITHOUT_SCALING, FramePreparation, table_steps
from serfeat.normalisation import (
    MOST_TAU,
    NORMALISATIONS,
    by_speaker,
    coverage,
    per_speaker,
    require_coverage,
    require_speakers,
    single_clips,
)
from serfeat.sequences import Sequences

OFF: dict[str, dict[str, object]] = {
    "mlp": {"selection": "last"},
    "xgb": {"patience": None},
    "timnet": {"selection": "last"},
}


def corpus(counts: list[list[int]]) -> pd.DataFrame:
    """Rows with ``counts[s][c]`` clips of emotion c by speaker s."""
    pairs = [
        (f"s{s}", f"e{c}")
        for s, row in enumerate(counts)
        for c, n in enumerate(row)
        for _ in range(n)
    ]
    return pd.DataFrame(pairs, columns=["speaker", "emotion"])


def urdu() -> pd.DataFrame:
    """26 of 29 speakers with one of four emotions, two with two, one with three."""
    counts = [[14 * (c == s % 4) for c in range(4)] for s in range(26)]
    return corpus([*counts, [7, 7, 0, 0], [0, 0, 7, 7], [5, 5, 5, 0]])


# --- z-scores ----------------------------------------------------------------------------------


def test_hand_computed() -> None:
    """a: 1, 3 -> -1, 1; b: 10, 20, 60 -> mean 30, population sd sqrt(1400 / 3).

    Seen to fail with the sample's sd (ddof 1) and with statistics of all rows.
    """
    x = np.array([[1.0], [10.0], [3.0], [20.0], [60.0]])
    z = per_speaker(x, ["a", "b", "a", "b", "b"])
    sd = np.sqrt(1400 / 3)
    assert z[:, 0] == pytest.approx([-1, -20 / sd, 1, -10 / sd, 30 / sd])


def test_is_sklearns_scaler_for_each_speaker() -> None:
    """With NaN; tolerance 1e-12. Seen to fail where NaN counted as 0 in the mean."""
    rng = np.random.default_rng(0)
    x = rng.normal(100, 7, (60, 5))
    x[rng.random(x.shape) < 0.2] = np.nan
    speakers = rng.choice(["a", "b", "c"], 60)
    z = per_speaker(x, list(speakers))
    for s in "abc":
        assert z[speakers == s] == pytest.approx(
            StandardScaler().fit_transform(x[speakers == s]), abs=1e-12, nan_ok=True
        )
    assert (np.isnan(z) == np.isnan(x)).all()


def test_frames_are_scaled_over_all_clips_of_the_speaker() -> None:
    """Equal to the table of all frames. Seen to fail with each clip scaled by itself."""
    rng = np.random.default_rng(1)
    clips = [rng.normal(i, 2, (n, 3)) for i, n in enumerate((4, 9, 5, 7))]
    speakers = ["a", "b", "a", "b"]
    z = per_speaker(Sequences.of(clips), speakers)
    frames = np.concatenate(clips).astype(np.float32)
    whose = np.repeat(speakers, [4, 9, 5, 7])
    assert z.values.dtype == np.float32
    assert (z.lengths == [4, 9, 5, 7]).all()
    assert z.values == pytest.approx(per_speaker(frames, list(whose)), abs=1e-6)
    assert z[np.array([0, 2])].values.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-6)


def test_a_voice_does_not_matter() -> None:
    """Gain and offset of a speaker, and the order of the clips, change nothing."""
    rng = np.random.default_rng(2)
    x, speakers = rng.normal(size=(40, 4)), rng.choice(["a", "b"], 40)
    other = np.where((speakers == "a")[:, None], 5 * x + 100, x)
    z = per_speaker(x, list(speakers))
    assert per_speaker(other, list(speakers)) == pytest.approx(z, abs=1e-9)
    order = rng.permutation(40)
    assert per_speaker(x[order], list(speakers[order])) == pytest.approx(z[order], abs=1e-12)


def test_input_is_left_alone() -> None:
    """Seen to fail with z-scores written into the table that was given."""
    x = np.arange(8.0).reshape(4, 2)
    before = x.copy()
    per_speaker(x, ["a", "a", "b", "b"])
    assert (x == before).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_constant_columns_are_zero(kind: type) -> None:
    """Also one whose mean is not exact: 0.1 three times. Seen to fail with ``sd > 0``: there the
    rounding of the mean was blown up to z-scores of 1.
    """
    x = np.array([[0.1, 1], [0.1, 2], [0.1, 3], [0.7, 5], [0.9, 5]], dtype=kind)
    z = per_speaker(x, ["a", "a", "a", "b", "b"])
    assert z.dtype == kind
    assert (z[:3, 0] == 0).all()
    assert (z[3:, 1] == 0).all()
    assert z[3:, 0] == pytest.approx([-1, 1], abs=1e-5)


def test_degenerate() -> None:
    """One clip -> zeros, all NaN -> NaN, no clips -> none, without a warning."""
    x = np.array([[1.0, np.nan], [2.0, np.nan], [9.0, 4.0]])
    z = per_speaker(x, ["a", "a", "b"])
    assert np.isnan(z[:2, 1]).all()
    assert (z[2] == 0).all()
    assert single_clips(["a", "a", "b"]) == ("b",)
    assert per_speaker(np.empty((0, 3)), []).shape == (0, 3)
    with pytest.raises(ModelError, match="2 speakers for 3 clips"):
        per_speaker(x, ["a", "b"])


# --- coverage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "tau"),
    [
        ([[5, 5], [9, 9], [2, 2]], 0.0),  # one mixture
        ([[4, 0], [0, 4]], 1.0),  # who speaks is what is felt
        ([[4, 4, 0, 0], [0, 4, 4, 0], [0, 0, 4, 4], [4, 0, 0, 4]], 1 / 3),  # 2 of 4: (C/m-1)/(C-1)
        ([[3, 1], [1, 3]], 0.25),  # by hand: 2 (1/4)^2 / (1/2)
    ],
)
def test_tau_by_hand(counts: list[list[int]], tau: float) -> None:
    """Seen to fail without the square."""
    assert coverage(corpus(counts)).tau == pytest.approx(tau, abs=1e-12)


def test_tau_weighs_clips() -> None:
    """tau is the drop of Gini's impurity, 1 - E[sum p_s^2] against 1 - sum p^2: other arithmetic.

    Seen to fail with every speaker weighed alike.
    """
    rows = corpus([[30, 2, 1], [1, 1, 5], [0, 4, 4]])
    p = rows["emotion"].value_counts(normalize=True)
    within = sum(
        len(part) / len(rows) * (1 - (part["emotion"].value_counts(normalize=True) ** 2).sum())
        for _, part in rows.groupby("speaker")
    )
    assert coverage(rows).tau == pytest.approx(1 - within / (1 - (p**2).sum()))


def test_urdu_is_refused_with_the_reason() -> None:
    """Seen to fail with a limit of 1."""
    with pytest.raises(SplitError, match="26 of 29 speakers have one emotion only") as caught:
        require_coverage(urdu())
    assert "global" in str(caught.value)
    assert caught.value.code == "speakers-cover-too-little"
    assert coverage(urdu()).tau > 0.8


def test_labels_and_corpora() -> None:
    rows = corpus([[4, 4, 0], [4, 4, 9]])
    assert coverage(rows).tau > 0
    assert coverage(rows, ["e0", "e1"]).tau == 0
    one = coverage(rows, ["e0"])
    assert np.isnan(one.tau)
    assert require_coverage(rows, ["e0"]).one_emotion == ("s0", "s1")
    # Speaker 1 of one corpus is not speaker 1 of the other. Seen to fail with plain speaker codes.
    a, b = corpus([[5, 0], [0, 5]]), corpus([[0, 5], [5, 0]])
    both = pd.concat([a.assign(corpus="a"), b.assign(corpus="b")])
    assert coverage(both).tau == 1
    assert "4 speakers have 1 to 1 of 2 emotions" in coverage(both).words


@pytest.mark.parametrize("speaker", [None, ""])
def test_unknown_speakers_are_refused(speaker: str | None) -> None:
    rows = corpus([[2, 2], [2, 2]])
    rows = rows.drop(columns="speaker") if speaker is None else rows.assign(speaker=speaker)
    with pytest.raises(SplitError, match="speakers are not known"):
        require_coverage(rows)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "tau"), [("emodb", 0.016), ("ravdess", 0.0), ("emospeech", 0.028)]
)
def test_real_corpora_pass(shared: Path, name: str, tau: float) -> None:
    """EMO-DB although some of its speakers lack an emotion."""
    root = shared / "corpora" / name
    if not root.is_dir():
        pytest.skip(f"no {name} at {root}")
    assert require_coverage(read_corpus(name, root).labelled().rows).tau == pytest.approx(
        tau, abs=1e-3
    )


def uar_of(labels_each: int, *, speaker: bool, seed: int) -> tuple[float, float]:
    """UAR on held-out speakers who have `labels_each` of 4 emotions, and tau."""
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((4, 20)) * 3 / np.sqrt(20)
    x, y, s = [], [], []
    for i in range(24):
        voice, scale = rng.standard_normal(20), np.exp(0.25 * rng.standard_normal(20))
        for c in [(i * labels_each + j) % 4 for j in range(labels_each)]:
            x.append((means[c] + rng.standard_normal((24 // labels_each, 20))) * scale + voice)
            y += [f"e{c}"] * len(x[-1])
            s += [f"s{i}"] * len(x[-1])
    X, truth, who = np.concatenate(x), np.array(y), np.array(s)
    X = per_speaker(X, list(who)) if speaker else X
    test = np.isin(who, [f"s{i}" for i in range(8)])
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X[~test], truth[~test])
    tau = coverage(pd.DataFrame({"speaker": who, "emotion": truth})).tau
    return balanced_accuracy_score(truth[test], model.predict(X[test])), tau


def test_the_limit_is_where_the_gain_ends() -> None:
    """With all emotions the norm gains, with one it falls to chance; the limit lies between.

    Fails with a limit of 0 or of 1.
    """
    runs = range(6)
    gain, tau, left = {}, {}, {}
    for each in (4, 1):
        with_norm = [uar_of(each, speaker=True, seed=r) for r in runs]
        without = [uar_of(each, speaker=False, seed=r) for r in runs]
        left[each] = np.mean([u for u, _ in with_norm])
        gain[each] = left[each] - np.mean([u for u, _ in without])
        tau[each] = with_norm[0][1]
    assert gain[4] > 0.05
    assert gain[1] < -0.2
    assert left[1] < 0.35  # four emotions: chance is .25
    assert tau[4] < MOST_TAU < tau[1]


# --- new speakers, none ------------------------------------------------------------------------


def test_new_speakers() -> None:
    """Seen to fail with `<=` for the few."""
    assert require_speakers(["a"] * 10 + ["b"] * 9, 19) == ("b",)
    with pytest.raises(ModelError, match="speaker of each of the 3 recordings, found none"):
        require_speakers(None, 3)
    with pytest.raises(ModelError, match="found 2"):
        require_speakers(["a", "a"], 3)
    with pytest.raises(ModelError, match="speaker b has one recording"):
        require_speakers(["a", "a", "b"], 3)


def test_every_way_has_words_and_says_what_it_uses() -> None:
    assert set(NORMALISATIONS) == {"global", "none", "speaker"}
    assert "transductive" in NORMALISATIONS["speaker"]
    assert set(WITHOUT_SCALING) == set(PREPARATIONS)


def test_unscaled_tables_keep_their_units() -> None:
    """Imputed, with indicators, without constant columns. Seen to fail with the scaler left in."""
    x = np.array([[1.0, 500.0, 7.0], [2.0, np.nan, 7.0], [6.0, 900.0, 7.0]])
    steps = table_steps("unscaled")
    assert [name for name, _ in steps] == ["impute", "vary"]
    for _, step in steps:
        x = step.fit_transform(x)
    assert x == pytest.approx(np.array([[1, 500, 0], [2, 700, 1], [6, 900, 0.0]]))


def test_unscaled_frames_keep_their_units() -> None:
    """Seen to fail with a width that forgets the indicators."""
    clips = Sequences.of([[[1.0, 500.0, 7.0], [2.0, np.nan, 7.0]], [[6.0, 900.0, 7.0]]])
    plain = FramePreparation("unscaled").fit(clips)
    assert plain.transform(clips).values == pytest.approx(
        np.array([[1, 500, 0], [2, 700, 1], [6, 900, 0.0]])
    )
    scaled = FramePreparation("standard").fit(clips)
    assert scaled.transform(clips).shape == plain.transform(clips).shape


@pytest.mark.parametrize("way", PREPARATIONS)
def test_samples_of_a_waveform_stay_as_they_are(way: str) -> None:
    """Zeros stay zeros, a constant column stays, what stands behind the samples is prepared."""
    rng = np.random.default_rng(0)
    frames = rng.normal(3.0, 2.0, (40, 6))
    frames[:, :4] = 0.1 * (frames[:, :4] - 3.0)
    frames[30:, :4] = frames[:, 2] = 0.0
    clips = Sequences.of([frames[:25], frames[25:]])
    ready = FramePreparation(way, n_samples=4).fit(clips).transform(clips).values
    np.testing.assert_array_equal(ready[:, :4], clips.values[:, :4])
    other = FramePreparation(way).fit(clips).transform(clips).values
    np.testing.assert_allclose(ready[:, 4:6], other[:, -2:], rtol=1e-6)


@pytest.mark.parametrize("large", [False, True])
def test_samples_of_a_waveform_belong_to_no_speaker(large: bool) -> None:
    """Zeros stay zeros. Failed in a comparison: no zero was left, and so no silence to mask."""
    rng = np.random.default_rng(0)
    frames = rng.normal(3.0, 2.0, (40, 6))
    frames[30:, :4] = 0.0
    clips = Sequences.of([frames[:10], frames[10:25], frames[25:]])
    made = per_speaker(clips, ["a", "b", "a"], samples=range(4)).values
    if large:
        cuts = by_speaker(clips, ["a", "b", "a"], samples=range(4))
        made = np.concatenate([part for _, part in sorted(cuts, key=lambda cut: cut[0])])
    np.testing.assert_array_equal(made[:, :4], clips.values[:, :4])
    np.testing.assert_array_equal(made[:, 4:], per_speaker(clips, ["a", "b", "a"]).values[:, 4:])


@pytest.mark.parametrize("name", ["am_resnet", "amrwc"])
def test_silence_behind_a_waveform_changes_no_answer(name: str) -> None:
    """Through the whole pipeline. Failed while the samples were z-scored: no zero was left."""
    rng = np.random.default_rng(0)
    beside = 3 * (name == "amrwc")
    clips = [0.1 * rng.normal(size=(rng.integers(30, 50), 160 + beside)) for _ in range(8)]
    for clip in clips:
        clip[:, :160] += 0.05  # no offset of the training clips may be taken off
        clip[10:14, :160] = 0.0
    y = np.array(["anger", "joy"] * 4)
    settings = {"n_encoder": beside} if beside else {}
    model = make_model(name, n_samples=160, epochs=1, width=4, strides=(4, 4, 4), **settings)
    model = fit(model, Sequences.of(clips), y, np.array(list("aabbccdd")))
    silence = np.zeros((25, 160 + beside))
    silence[:, 160:] = 2.0  # whatever the encoder says of it
    longer = Sequences.of([np.concatenate([clip, silence]) for clip in clips])
    np.testing.assert_allclose(
        model.predict_proba(longer), model.predict_proba(Sequences.of(clips)), atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mlp", {"selection": "validation", "epochs": 1, "hidden": (4,)}),
        ("xgb", {"patience": 2, "n_estimators": 3}),
        ("timnet", {"selection": "validation", "epochs": 1, "filters": 4, "n_dilations": 2}),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_rows_that_judge_take_no_part_in_means(name: str, params: dict, given: bool) -> None:
    """Neither drawn speakers nor rows that are set apart; failed while all rows were scaled by."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 5)), np.array(["anger", "joy"] * 20)
    speakers = np.repeat(list("abcde"), 8)
    validation = speakers == "c" if given else None
    frames = MODELS[name].level == "lld"
    rows = Sequences.of([row[None, :] for row in X]) if frames else X
    model = fit(make_model(name, **params), rows, y, speakers, validation=validation)
    last = model.steps[-1][1]
    apart = last.apart(y, speakers, validation=validation)[0]
    assert apart.sum() == 8
    assert not given or (apart == validation).all()
    mean = model.named_steps["prepare" if frames else "scale"].mean_
    np.testing.assert_allclose(mean, X[~apart].mean(axis=0), rtol=1e-6)
    whole = fit(make_model(name, **{**params, **OFF[name]}), rows, y, speakers)
    mean = whole.named_steps["prepare" if frames else "scale"].mean_
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-6)


def test_models_without_scaling_differ() -> None:
    """A column in thousands decides the distances of a nearest neighbour."""
    rng = np.random.default_rng(0)
    y = np.array(["anger", "joy"] * 40)
    x = np.column_stack([(y == "joy") * 2.0 + rng.normal(size=80) / 4, rng.normal(size=80) * 1000])
    speakers = np.repeat(["a", "b", "c", "d"], 20)
    way = WITHOUT_SCALING[MODELS["knn"].preparation]
    scores = []
    for params in ({}, {"preparation": way}):
        model = fit(make_model("knn", **params), x[:40], y[:40], speakers[:40])
        scores.append(balanced_accuracy_score(y[40:], model.predict(x[40:])))
    assert scores[0] > 0.9 > 0.7 > scores[1]
