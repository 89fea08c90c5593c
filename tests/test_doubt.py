"""When a model says "I do not know": calibration and range, learnt on held-out speakers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serfeat.deploy import train
from serfeat.doubt import Doubt, far, judge, learn, load_doubt, save_doubt, summary
from serfeat.errors import ModelError
from serfeat.manifest_csv import read_manifest
from serfeat.models import make_model
from serfeat.models.storage import load_model
from serfeat.plan import Entry
from serfeat.sequences import Sequences

CARD = {"files": {"a": "1"}, "features": {"columns": ["x", "y"]}}


def made(**changes: Any) -> Doubt:
    plain = Doubt(
        confidence=(0.3, 0.5, 0.9), right=(0.2, 0.4, 0.8),
        low=(0.0, math.nan), high=(1.0, math.nan), usual=0.1,
        speakers=4, clips=40, groups=4,
        accuracy=0.6, answered=0.5, accuracy_answered=math.nan,
    )  # fmt: skip
    return replace(plain, **changes)


def toy(seed: int, signal: float) -> tuple[Any, Any, Any]:
    """(rows, labels, speakers): two classes apart by `signal` standard deviations."""
    rng = np.random.default_rng(seed)
    y = np.array(["anger", "calm"] * 60, dtype=object)
    X = rng.normal(size=(120, 3)) + signal * (y == "anger")[:, None]
    return X, y, np.repeat([f"s{i}" for i in range(6)], 20)


def ridge() -> Any:
    return make_model("ridge", seed=0)


def test_between_what_was_found_the_calibration_is_a_straight_line() -> None:
    """Closed form; beyond the ends it stays what it was there."""
    np.testing.assert_allclose(
        made().calibrated([0.1, 0.3, 0.4, 0.7, 1.0]), [0.2, 0.2, 0.3, 0.6, 0.8]
    )


def test_a_column_counts_as_outside_only_where_it_is_known_to_be() -> None:
    """NaN of the clip or of the range is not outside; an infinite value is."""
    doubt = made()
    np.testing.assert_allclose(
        doubt.outside([[0.5, 9.0], [1.5, 9.0], [np.nan, 0.0], [np.inf, 0.0]]), [0, 0.5, 0, 0.5]
    )


def test_unknown_where_it_was_more_often_wrong_or_where_nothing_was_like_it() -> None:
    """The two rules, each by itself and both.

    Seen to fail with `share >= doubt.usual`, with `right > RIGHT` for `right >= RIGHT`, and without
    the second reason.
    """
    known = judge(made(), 0.9, [0.5, 0.0])
    assert known.known
    assert known.reasons == ()
    assert known.calibrated == pytest.approx(0.8)
    assert judge(made(right=(0.2, 0.4, 0.5)), 0.9, [0.5, 0.0]).known
    unsure = judge(made(), 0.5, [0.5, 0.0])
    assert not unsure.known
    assert "40 %" in unsure.reasons[0]
    strange = judge(made(), 0.9, [7.0, 0.0])
    assert not strange.known
    assert "50 % of the features" in strange.reasons[0]
    assert len(judge(made(), 0.5, [7.0, 0.0]).reasons) == 2
    assert judge(made(usual=0.5), 0.9, [7.0, 0.0]).known


def test_a_model_that_knows_answers_and_one_that_guesses_does_not() -> None:
    """Six speakers, two classes that are far apart, and two that are not apart at all.

    Seen to fail where the model that judges is trained on the held-out speakers too.
    """
    good = learn(ridge, *toy(0, 4.0), groups=3)
    assert good.accuracy > 0.95
    assert good.answered > 0.9
    assert good.accuracy_answered >= good.accuracy
    assert (good.speakers, good.clips, good.groups) == (6, 120, 3)
    X, y, who = toy(1, 0.0)
    X = np.concatenate([X, np.random.default_rng(2).normal(size=(120, 60))], axis=1)
    bad = learn(ridge, X, y, who, groups=3)
    assert bad.accuracy < 0.65
    assert judge(good, 0.99, good.low).calibrated > 0.9
    assert max(bad.calibrated([0.5, 0.8, 0.99])) < 0.75


def test_calibration_rises_and_no_handful_of_clips_makes_a_certainty() -> None:
    """Isotonic, strictly inside 0..1. Seen to fail without the clip at either end."""
    doubt = learn(ridge, *toy(0, 4.0), groups=3)
    assert (np.diff(doubt.right) >= 0).all()
    assert min(doubt.right) > 0
    assert max(doubt.right) < 1


def test_the_range_is_of_the_training_and_does_not_depend_on_units() -> None:
    X, y, who = toy(0, 4.0)
    doubt = learn(ridge, X, y, who)
    np.testing.assert_allclose(doubt.low, np.quantile(X, 0.001, axis=0))
    np.testing.assert_allclose(doubt.high, np.quantile(X, 0.999, axis=0))
    scaled = learn(ridge, X * [1, 1000, 0.001] + 5, y, who)
    assert scaled.usual == doubt.usual
    assert scaled.answered == doubt.answered


def test_frames_count_as_their_mean() -> None:
    clips = Sequences.of([[[1.0, np.nan], [3.0, np.nan]], [[5.0, 2.0]]])
    np.testing.assert_array_equal(summary(clips), [[2.0, np.nan], [5.0, 2.0]])


def test_one_speaker_or_one_emotion_is_not_enough() -> None:
    X, y, who = toy(0, 4.0)
    with pytest.raises(ModelError) as one:
        learn(ridge, X, y, ["s1"] * len(y))
    assert one.value.code == "few-speakers"
    with pytest.raises(ModelError) as same:
        learn(ridge, X, ["anger"] * len(y), who)
    assert same.value.code == "one-class"


def test_without_a_record_the_rule_of_thumb_sees_what_is_far() -> None:
    """Seen to fail with `far` comparing values instead of standard deviations."""
    X, y, _ = toy(0, 4.0)
    model = ridge().fit(1000 * X, y)
    near = far(model, 1000 * X[:1])
    assert near.known
    assert near.rule == "rule of thumb"
    assert math.isnan(near.calibrated)
    away = far(model, 1000 * X[:1] + 1e6)
    assert not away.known
    assert "rule of thumb" in away.reasons[0]


def test_the_record_comes_back_and_belongs_to_its_model(tmp_path: Path) -> None:
    """NaN survives JSON; another model's record, and a damaged one, are refused."""
    assert load_doubt(tmp_path, CARD) is None
    save_doubt(made(), tmp_path, CARD)
    again = load_doubt(tmp_path, CARD)
    assert again is not None
    assert repr(again) == repr(made())
    assert "NaN" not in (tmp_path / "doubt.json").read_text()
    for card in (
        {**CARD, "files": {"a": "2"}},
        {**CARD, "features": {"columns": ["x"]}},
    ):
        with pytest.raises(ModelError) as other:
            load_doubt(tmp_path, card)
        assert other.value.code == "bad-doubt"
    held = json.loads((tmp_path / "doubt.json").read_text())
    for broken in ("{", json.dumps({**held, "x": 1}), json.dumps({**held, "right": [1]}), "[]"):
        (tmp_path / "doubt.json").write_text(broken)
        with pytest.raises(ModelError):
            load_doubt(tmp_path, CARD)


def test_training_writes_it_down_and_training_again_replaces_it(tiny: Path, tmp_path: Path) -> None:
    """A classical model has a record; without one, the old one does not stay behind.

    Seen to fail without the `unlink` in `serfeat.deploy.train`.
    """
    corpus = read_manifest(tiny)
    train(corpus, Entry("ridge", "ridge", "energy,zcr"), tmp_path)
    doubt = load_doubt(tmp_path, load_model(tmp_path)[1])
    assert doubt is not None
    assert (doubt.speakers, doubt.clips, doubt.groups) == (4, 24, 4)
    train(corpus, Entry("ridge", "ridge", "energy,zcr"), tmp_path, held_out=0)
    assert load_doubt(tmp_path, load_model(tmp_path)[1]) is None


@pytest.mark.parametrize(
    ("entry", "stages"),
    [
        (Entry("ridge", "ridge", "energy,zcr"), {"training": 1, "held-out speakers": 4}),
        (
            Entry("gru", "gru", "energy,zcr", params={"epochs": 3, "hidden": 4, "layers": 1}),
            {"training": 3},
        ),
    ],
)
def test_training_tells_how_far_it_is(
    entry: Entry, stages: dict[str, int], tiny: Path, tmp_path: Path
) -> None:
    """Every stage begins, goes on and ends; the stored model keeps nothing of who listens."""
    said: dict[str, list[tuple[int, int]]] = {}
    train(
        read_manifest(tiny), entry, tmp_path,
        report=lambda stage, done, total: said.setdefault(stage, []).append((done, total)),
    )  # fmt: skip
    assert said.pop("features")[-1] == (24, 24)
    assert {stage: steps[-1] for stage, steps in said.items()} == {
        stage: (total, total) for stage, total in stages.items()
    }
    for steps in said.values():
        assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    if entry.name == "gru":
        assert load_model(tmp_path)[0].steps[-1][1].verbose is False
