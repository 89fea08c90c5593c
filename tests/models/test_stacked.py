"""Stacked trainings are the trainings one by one."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from serfeat.errors import ModelError
from serfeat.heads import HEADS as ALL
from serfeat.models import stacked
from serfeat.models.batches import as_clips
from serfeat.models.stacked import fit_stacked, stackable
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.sequences import Sequences

CLASSES = np.array(["anger", "fear", "neutral"])
HEADS = {
    "timnet": {"filters": 6, "n_dilations": 3, "dropout": 0.0},
    "mlp": {"hidden": (8,), "dropout": 0.0, "pooling": "mean_std"},
    "am_resnet": {"width": 6, "strides": (1, 2, 2)},
    "transformer": {"width": 8, "heads": 2, "layers": 1, "feedforward": 16, "dropout": 0.0},
    "cnn1d": {"filters": (6, 6), "pool": 2, "dropout": 0.0},
    "article_cnn": {"n_frames": 24, "filters": 8},
    "parallel_cnn": {"filters": 6, "hidden": (8,), "dropout": 0.0},
    "layer_weights": {"n_layers": 2, "hidden": 8},
    "amrwc": {"width": 6, "n_encoder": 2, "strides": (1, 2, 2), "dropout": 0.0},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _folds():
    """Three folds of other sizes, so that their last batches differ."""
    rng = np.random.default_rng(0)
    Xs, ys = [], []
    for n in (25, 27, 24):
        y = CLASSES[np.arange(n) % 3]
        Xs.append(
            Sequences.of(
                [
                    rng.standard_normal((rng.integers(4, 20), 4)) + 1.5 * np.eye(3, 4)[i % 3]
                    for i in range(n)
                ]
            )
        )
        ys.append(y)
    return Xs, ys


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "keras_adam"])
def test_three_folds_at_once_are_three_folds(head, optimizer):
    """Same losses and predictions as `fit`, fold by fold.

    Caught: the moments of an idle fold moved, the class weights of another fold, Adam's step
    counted for all folds together, batch statistics of the last batch lost.
    """
    Xs, ys = _folds()
    settings = {
        "epochs": 4, "batch_size": 8, "learning_rate": 5e-3, "label_smoothing": 0.1,
        "weight_decay": 0.01, "class_weight": "balanced", "optimizer": optimizer, "eps": 1e-3,
        "schedule": "cosine",
    }  # fmt: skip
    ys[1][:5] = "fear"
    one_by_one = [
        TorchClassifier(head, HEADS[head], seed=i, **settings).fit(X, y)
        for i, (X, y) in enumerate(zip(Xs, ys, strict=True))
    ]
    models = [TorchClassifier(head, HEADS[head], seed=i, **settings) for i in range(3)]
    together = fit_stacked(models, Xs, ys)
    for single, one, X in zip(one_by_one, together, Xs, strict=True):
        # Not weight by weight: the bias before a normalisation has no gradient but rounding, which
        # Adam makes as large as any other step.
        np.testing.assert_allclose(one.predict_proba(X), single.predict_proba(X), atol=3e-3)
        for a, b in zip(single.history_, one.history_, strict=True):
            assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-4)
            assert a["train_accuracy"] == b["train_accuracy"]
        assert one.n_parameters_ == single.n_parameters_
        assert one.classes_.tolist() == single.classes_.tolist()


@pytest.mark.parametrize("variant", [{"pooling": "attention"}, {"pooling": "cls"}])
def test_a_clip_of_no_frame_changes_nothing(variant):
    """Caught: a softmax over no frame at all, whose NaN reached every weight."""
    Xs, ys = _folds()
    settings = {"epochs": 2, "batch_size": 8, "schedule": "cosine"}
    params = HEADS["transformer"] | variant
    alone = [
        TorchClassifier("transformer", params, **settings).fit(*f) for f in zip(Xs, ys, strict=True)
    ]
    models = [TorchClassifier("transformer", params, **settings) for _ in range(3)]
    for single, one, X in zip(alone, fit_stacked(models, Xs, ys), Xs, strict=True):
        np.testing.assert_allclose(one.predict_proba(X), single.predict_proba(X), atol=1e-4)


def _stack(head, Xs, ys, *, device="cpu"):
    """The state of a stacked training that begins."""
    models = [TorchClassifier(head, HEADS[head], seed=i, batch_size=7) for i in range(3)]
    folds = [
        stacked._Fold(m, as_clips(m, X, training=True), y)
        for m, X, y in zip(models, Xs, ys, strict=True)
    ]
    modules = [f.model._new_module(f.sizes).to(device).train() for f in folds]
    return stacked._Stack(modules, folds, models[0], torch.device(device)), models[0]._stages()[0]


@pytest.mark.parametrize("head", ["timnet", "am_resnet"])
def test_batches_of_different_sizes_go_together(head):
    """Caught: a step for every size of a last batch, twice as many as one fold alone has."""
    stack, stage = _stack(head, *_folds())
    steps = stack._steps_of_an_epoch(stage, 0)
    empty = 25 + 27 + 24  # the clip of no frame comes after those of the folds
    if head == "timnet":
        assert [tuple(step.rows.shape) for step in steps] == [(3, 7)] * 4
    else:  # it would take the clip of no frame for silence: each size by itself
        assert len(steps) > 4
        assert all(bool((step.rows < empty).all()) for step in steps)
    clips = torch.zeros(3)
    for step in steps:
        clips[step.at] += step.clips
        assert torch.equal(step.clips, (step.rows < empty).sum(1).float())
    assert clips.tolist() == [25, 27, 24]


@pytest.mark.parametrize("head", HEADS)
def test_works_on_its_device(head, monkeypatch):
    """Catches an index or a rate on the CPU; "meta" stands for the GPU, see `tests/heads`."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    stack, stage = _stack(head, *_folds(), device="meta")
    for step in stack._steps_of_an_epoch(stage, 0):
        assert {part.device.type for part in stack._step(step, stage)} == {"meta"}


@pytest.mark.parametrize("head", ALL)
def test_a_head_is_tested_here_or_not_stackable(head):
    """Caught: dbn, whose pre-training was left out; rnn and dcrn, which torch cannot stack."""
    assert stackable(TorchClassifier(head)) == (head in HEADS)


def test_dropout_differs_from_fold_to_fold():
    """Caught: the same mask for all folds (randomness="same"), or none."""
    Xs, ys = _folds()
    settings = {"epochs": 1, "batch_size": 64, "seed": 3}
    models = [TorchClassifier("mlp", {"dropout": 0.9}, **settings) for _ in range(2)]
    a, b = fit_stacked(models, [Xs[0], Xs[0]], [ys[0], ys[0]])
    assert (a.predict_proba(Xs[0]) != b.predict_proba(Xs[0])).any()
    models = [TorchClassifier("mlp", {"dropout": 0.0}, **settings) for _ in range(2)]
    a, b = fit_stacked(models, [Xs[0], Xs[0]], [ys[0], ys[0]])
    np.testing.assert_allclose(a.predict_proba(Xs[0]), b.predict_proba(Xs[0]), atol=1e-6)


def test_what_cannot_be_stacked():
    """Caught: an LSTM behind convolutions, and products in bfloat16 that were made in float32."""
    Xs, ys = _folds()
    assert stackable(TorchClassifier("timnet"))
    assert not stackable(TorchClassifier("cnn1d", {"lstm_units": 8}))
    for setting in (
        {"selection": "validation"}, {"augment": {"noise": 1}}, {"optimizer": "sgd"},
        {"precision": "bfloat16"},
    ):  # fmt: skip
        model = TorchClassifier("timnet", **setting)
        assert not stackable(model)
        with pytest.raises(ModelError, match="cannot be trained as one"):
            fit_stacked([model], Xs[:1], ys[:1])
    models = [TorchClassifier("mlp", epochs=e) for e in (1, 2)]
    with pytest.raises(ModelError, match="cannot be trained as one"):
        fit_stacked(models, Xs[:2], ys[:2])
    ys[1] = np.where(ys[1] == "fear", "anger", ys[1])
    with pytest.raises(ModelError, match="differ in columns or classes"):
        fit_stacked([TorchClassifier("mlp"), TorchClassifier("mlp")], Xs[:2], ys[:2])
