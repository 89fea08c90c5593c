"""The training loop: schedules, stages, kills and resumption, augmentation, several tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from serfeat.errors import ModelError, UnknownNameError
from serfeat.models import torch_classifier, torch_estimator, training
from serfeat.models.augmentation import Augmentation
from serfeat.models.losses import mse_loss
from serfeat.models.objectives import Classification, MultiTask, Regression
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.models.torch_regressor import TorchRegressor
from serfeat.models.training import Stage
from serfeat.sequences import Sequences

CLASSES = ["anger", "fear", "neutral"]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _frames(n=36, seed=0):
    rng = np.random.default_rng(seed)
    y = np.array(CLASSES)[np.arange(n) % 3]
    clips = [
        rng.standard_normal((rng.integers(5, 31), 4)) + 1.5 * np.eye(3, 4)[i % 3] for i in range(n)
    ]
    return Sequences.of(clips), y, np.array(["s3", "s1", "s2", "s4"])[(np.arange(n) // 3) % 4]


SMALL = {"filters": 6, "n_dilations": 2}


def _weights(model):
    return {k: v.clone() for k, v in model.module_.state_dict().items()}


# ---------------------------------------------------------------------- rates and stages


def test_schedules_closed_form():
    """Caught: the boundary of a pair one epoch late, the cosine over all stages."""
    assert Stage(10, learning_rate=0.1).rate(7.3) == 0.1
    cosine = Stage(10, learning_rate=0.1, schedule="cosine")
    assert [cosine.rate(t) for t in (0, 5, 10)] == pytest.approx([0.1, 0.05, 0.0])
    paper = Stage(400, schedule=[[40, 0.01], [80, 0.001], [280, 0.0001]])
    assert [paper.rate(t) for t in (0, 39.9, 40, 119.9, 120, 399.9)] == [
        *(0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001)
    ]
    warm = Stage(20, learning_rate=0.2, warmup=0.1)
    assert [warm.rate(t) for t in (0, 0.5, 1, 2, 19)] == pytest.approx([0, 0.05, 0.1, 0.2, 0.2])


class _Staged(nn.Module):
    """Records what the loop asks of it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)
        self.calls = []

    def stage(self, i):
        self.calls.append(i)
        self.first.requires_grad_(i == 0)
        self.second.requires_grad_(i == 1)

    def forward(self, x, lengths):
        return self.first(x[:, 0]) + self.second(x[:, 0])


def test_stages_train_what_the_head_says(monkeypatch):
    """Caught: one optimiser for all stages, the second stage with the first one's settings."""
    made = []

    def make_head(*args, **kwargs):
        torch.manual_seed(0)
        made.append(_Staged())
        return made[-1]

    monkeypatch.setattr("serfeat.models.torch_estimator.make_head", make_head)
    X, y, _ = _frames()
    stages = [{"epochs": 2, "optimizer": "sgd", "learning_rate": 0.05}, {"epochs": 3}]
    model = TorchClassifier("staged", stages=stages).fit(X, y)
    assert model.module_.calls == [0, 1]
    assert [h["epoch"] for h in model.history_] == [1, 2, 3, 4, 5]
    torch.manual_seed(0)
    fresh = _Staged()
    only_first = TorchClassifier("staged", stages=stages[:1], epochs=9).fit(X, y)
    assert only_first.module_.calls == []  # a single stage trains everything
    assert not torch.equal(model.module_.second.weight, fresh.second.weight)
    assert not torch.equal(model.module_.first.weight, fresh.first.weight)
    monkeypatch.setattr(_Staged, "stage", lambda self, i: self.first.requires_grad_(False))
    frozen = TorchClassifier("staged", stages=stages).fit(X, y)
    assert torch.equal(frozen.module_.first.weight, fresh.first.weight)
    with pytest.raises(ModelError, match="'rate' is no setting of a stage"):
        TorchClassifier("mlp", stages=[{"rate": 1}]).fit(X, y)


# ---------------------------------------------------------------------- kills


@pytest.mark.parametrize("every", [3, 4])  # 4: the checkpoint lies at the end of the first stage
@pytest.mark.parametrize("stages", [None, [{"epochs": 4}, {"epochs": 5, "optimizer": "sgd"}]])
@pytest.mark.parametrize("selection", ["last", "validation"])
def test_a_killed_training_goes_on_to_the_same_bits(
    tmp_path, monkeypatch, selection, stages, every
):
    """Caught: optimiser state, torch's or NumPy's random state, or the best epoch not restored."""
    X, y, speakers = _frames()
    settings = {"epochs": 9, "batch_size": 8, "stages": stages, "selection": selection}
    settings |= {"learning_rate": 1e-2, "augment": {"noise": 0.1}}
    whole = TorchClassifier("timnet", SMALL, **settings).fit(X, y, speakers)
    file = tmp_path / "training.ckpt"
    killed = TorchClassifier("timnet", SMALL, checkpoint=str(file), every=every, **settings)
    epoch, done = training._epoch, []

    def dies(*args, **kwargs):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(1)
        return epoch(*args, **kwargs)

    monkeypatch.setattr(training, "_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        killed.fit(X, y, speakers)
    assert file.exists()
    done[:] = [1] * 10  # from now on it lives, and counts
    killed.fit(X, y, speakers)
    assert len(done) - 10 == {3: 3, 4: 5}[every]  # of 9 epochs, 6 (or 4) were kept
    for key, value in _weights(whole).items():
        assert torch.equal(value, killed.module_.state_dict()[key]), key
    assert killed.selected_epoch_ == whole.selected_epoch_
    for a, b in zip(killed.history_, whole.history_, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {
            k: v for k, v in b.items() if k != "seconds"
        }
    # Another training does not take it over, nor is a broken file a problem.
    other = TorchClassifier("timnet", SMALL, checkpoint=str(file), seed=1, **settings)
    assert len(other.fit(X, y, speakers).history_) == 9
    file.write_bytes(b"\x00" * 100)
    assert len(killed.fit(X, y, speakers).history_) == 9


@pytest.mark.parametrize("stages", [None, [{"epochs": 20}, {"epochs": 3}]])
def test_a_training_that_patience_ended_is_over(tmp_path, monkeypatch, stages):
    """Killed after its last checkpoint and before anybody stored it, it is not continued.

    Seen to catch: patience that was asked about after an epoch only, so that a restored training
    had one more and its best epoch, perhaps, was another; in a stage, one more before the next.
    """
    scores = iter([0.1, 0.9, *[0.5] * 40])
    monkeypatch.setattr(
        torch_classifier, "_recalls", lambda *args: {"validation_uar": next(scores)}
    )
    X, y, speakers = _frames()
    settings = {"epochs": 20, "stages": stages, "selection": "validation", "patience": 2}
    file = tmp_path / "training.ckpt"
    model = TorchClassifier("timnet", SMALL, checkpoint=str(file), every=4, **settings)
    first = [e["epoch"] for e in model.fit(X, y, speakers).history_]
    assert first == ([1, 2, 3, 4] if stages is None else [1, 2, 3, 4, 21, 22, 23])
    if stages is not None:  # the newest is of the second stage, the one before of the first
        training.before(file).replace(file)
    scores = iter([0.95, *[0.5] * 40])
    again = [e["epoch"] for e in model.fit(X, y, speakers).history_]
    assert again == first


def test_a_checkpoint_of_other_code_is_not_used(tmp_path, monkeypatch):
    """Caught: epochs of an older version's head, taken into a training of the new one."""
    X, y, _ = _frames()
    file = tmp_path / "training.ckpt"
    settings = {"epochs": 2, "every": 1, "checkpoint": str(file)}
    epoch, done = training._epoch, []
    monkeypatch.setattr(training, "_epoch", lambda *a, **k: done.append(1) or epoch(*a, **k))
    for expected in (2, 2):  # the second finds all epochs in the file
        TorchClassifier("timnet", SMALL, **settings).fit(X, y)
        assert len(done) == expected
    monkeypatch.setattr(torch_estimator, "_code", lambda package: "another")
    TorchClassifier("timnet", SMALL, **settings).fit(X, y)
    assert len(done) == 4


def test_what_code_a_training_depends_on(tmp_path):
    """Caught: a digest of one folder."""
    for folder in ("heads", "models", "report"):
        (tmp_path / folder).mkdir()
    digest = torch_estimator._code.__wrapped__
    nothing = digest(tmp_path)
    (tmp_path / "heads" / "mlp.py").write_text("x = 1")
    one = digest(tmp_path)
    (tmp_path / "models" / "training.py").write_text("y = 1")
    two = digest(tmp_path)
    (tmp_path / "report" / "page.py").write_text("z = 1")
    assert len({nothing, one, two}) == 3
    assert digest(tmp_path) == two


# ---------------------------------------------------------------------- augmentation


def test_masks_stay_inside_the_clip_and_mixtures_are_mixtures():
    """Caught: masks as long as the clip, the share given to the wrong partner."""
    rng = np.random.default_rng(0)
    lengths = torch.tensor([30, 12, 5])
    x = torch.ones(3, 30, 10)
    for i, n in enumerate(lengths.tolist()):
        x[i, n:] = 0
    masked = Augmentation(time_masks=1, time_width=50)(x.clone(), lengths, rng)
    zeros = [(masked.x[i, :n] == 0).all(1).sum().item() for i, n in enumerate(lengths.tolist())]
    assert all(z <= n // 5 for z, n in zip(zeros, lengths.tolist(), strict=True))
    widths = [
        int((Augmentation(feature_masks=1)(x.clone(), lengths, rng).x[0, 0] == 0).sum())
        for _ in range(40)
    ]
    assert set(widths) == {0, 1, 2}
    noisy = Augmentation(noise=0.5)(x.clone(), lengths, rng).x
    assert (noisy[1, 12:] == 0).all()
    assert 0.3 < float((noisy[0] - 1).std()) < 0.7
    y = torch.arange(3.0)[:, None, None] * x
    mixed = Augmentation(mixup=1.0)(y.clone(), lengths, rng)
    assert mixed.partner is not None
    for i, j in enumerate(mixed.partner.tolist()):
        expected = mixed.share * y[i] + (1 - mixed.share) * y[j]
        assert torch.allclose(mixed.x[i], expected)
        assert mixed.lengths[i] == max(lengths[i], lengths[j])
    assert 0 < mixed.share < 1


def test_augmented_training_learns_and_refuses_strange_words():
    X, y, _ = _frames()
    augment = {"time_masks": 1, "feature_masks": 1, "noise": 0.1, "mixup": 0.2}
    plain = TorchClassifier("timnet", SMALL, epochs=25, learning_rate=5e-3).fit(X, y)
    model = TorchClassifier("timnet", SMALL, epochs=25, learning_rate=5e-3, augment=augment)
    assert model.fit(X, y).score(X, y) > 0.85
    assert (model.predict_proba(X) != plain.predict_proba(X)).any()
    with pytest.raises(UnknownNameError, match="did you mean 'mixup'"):
        model.set_params(augment={"mix_up": 1}).fit(X, y)
    with pytest.raises(ModelError, match="noise is -1"):
        model.set_params(augment={"noise": -1}).fit(X, y)


# ---------------------------------------------------------------------- targets of other kinds


def test_proportions_take_the_place_of_labels():
    """One-hot proportions give the labels' weights; other ones are learnt. Caught: y used."""
    X, y, _ = _frames()
    hot = np.eye(3)[np.searchsorted(CLASSES, y)]
    settings = {"epochs": 2, "learning_rate": 1e-2}
    with_labels = TorchClassifier("timnet", SMALL, **settings).fit(X, y)
    with_votes = TorchClassifier("timnet", SMALL, **settings).fit(X, y, proportions=5 * hot)
    np.testing.assert_allclose(with_votes.predict_proba(X), with_labels.predict_proba(X), atol=1e-5)
    rng = np.random.default_rng(0)
    table = np.repeat(np.eye(3), 12, axis=0) + 0.1 * rng.standard_normal((36, 3))
    labels = np.repeat(CLASSES, 12)
    votes = np.repeat([[0.7, 0.3, 0.0], [0.2, 0.6, 0.2], [0.0, 0.1, 0.9]], 12, axis=0)
    model = TorchClassifier("mlp", {"dropout": 0.0}, epochs=150, learning_rate=1e-2)
    p = model.fit(table, labels, proportions=votes).predict_proba(table)
    assert np.abs(p - votes).mean() < 0.05
    for wrong in (hot[:5], np.zeros_like(hot), -hot):
        with pytest.raises(ModelError, match="proportions"):
            with_votes.fit(X, y, proportions=wrong)


def test_other_tasks_shape_the_head_and_missing_targets_do_not():
    X, y, speakers = _frames()
    level = np.searchsorted(CLASSES, y).astype(float)
    settings = {"epochs": 8, "learning_rate": 5e-3}
    tasks = {"arousal": {"loss": "ccc", "weight": 0.5}, "speaker": "adversarial", "sex": "classes"}
    sex = np.where(np.isin(speakers, ["s1", "s2"]), "female", None)
    sex[speakers == "s3"] = "male"
    given = {"arousal": level, "speaker": speakers, "sex": sex}
    model = TorchClassifier("timnet", SMALL, tasks=tasks, **settings).fit(X, y, tasks=given)
    assert model.sizes_ == {"emotion": 3, "arousal": 1, "speaker": 4, "sex": 2}
    assert model.score(X, y) > 0.8
    assert model.module_.adversarial == {"speaker"}
    # A missing value is not read: what stands for it is the same.
    level[:5] = np.nan
    one = TorchClassifier("timnet", SMALL, tasks={"arousal": "mse"}, **settings)
    first = one.fit(X, y, tasks={"arousal": level}).predict_proba(X)
    assert (one.fit(X, y, tasks={"arousal": level.copy()}).predict_proba(X) == first).all()
    level[:5] = 9.0
    assert (one.fit(X, y, tasks={"arousal": level}).predict_proba(X) != first).any()
    learnt = TorchClassifier("timnet", SMALL, tasks=tasks, learn_task_weights=True, **settings)
    learnt.fit(X, y, tasks=given)
    assert learnt.module_.log_variance.shape == (4,)
    assert (learnt.module_.log_variance != 0).all()
    tensors, card = learnt.state()
    again = TorchClassifier.from_state(tensors, card)
    assert (again.predict_proba(X) == learnt.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("tasks", "given", "match"),
    [
        ({"arousal": "cc"}, {"arousal": [0.0] * 36}, "did you mean 'ccc'"),
        ({"arousal": "ccc"}, None, "no targets for the task 'arousal'"),
        ({"arousal": "ccc"}, {"arousal": [0.0]}, "1 targets for 36 clips"),
        ({"arousal": "ccc"}, {"arousal": ["high"] * 36}, "use the loss 'classes'"),
        ({"sex": "classes"}, {"sex": [None] * 36}, "no target in training"),
    ],
)
def test_tasks_that_cannot_be(tasks, given, match):
    X, y, _ = _frames()
    with pytest.raises((ModelError, UnknownNameError), match=match):
        TorchClassifier("mlp", tasks=tasks).fit(X, y, tasks=given)


def test_the_oracle_keeps_the_epoch_that_is_best_on_the_test_clips():
    """Inflation in miniature: pure noise scores above chance on the clips that select."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 8)), np.array(CLASSES)[np.arange(60) % 3]
    other = rng.standard_normal((30, 8))
    model = TorchClassifier("mlp", epochs=30, learning_rate=1e-2, selection="test_oracle")
    model.fit(X, y, oracle=(other, y[:30]))
    uars = [h["validation_uar"] for h in model.history_]
    assert model.selected_epoch_ == 1 + int(np.argmax(uars))
    assert model.score(other, y[:30]) == pytest.approx(max(uars))
    last = TorchClassifier("mlp", epochs=30, learning_rate=1e-2).fit(X, y)
    assert model.score(other, y[:30]) > last.score(other, y[:30])
    with pytest.raises(ModelError, match="needs the clips that will be tested"):
        model.fit(X, y)


# ---------------------------------------------------------------------- dimensions


@pytest.mark.parametrize("loss", ["ccc", "mse"])
def test_the_regressor_learns_dimensions_on_their_own_scale(loss):
    """Caught: predictions that stay z-scored, columns exchanged."""
    X, _, speakers = _frames(60)
    truth = np.array([[10 + 3 * c[:, 0].mean(), -5 + 0.1 * c[:, 1].mean()] for c in X])
    truth[::7, 1] = np.nan
    model = TorchRegressor("mlp", loss=loss, epochs=60, learning_rate=1e-2).fit(X, truth)
    predicted = model.predict(X)
    assert predicted.shape == truth.shape
    for k in range(2):
        known = np.isfinite(truth[:, k])
        p, t = predicted[known, k], truth[known, k]
        ccc = 2 * np.cov(p, t, bias=True)[0, 1] / (p.var() + t.var() + (p.mean() - t.mean()) ** 2)
        assert ccc > 0.9
    again = TorchRegressor.from_state(*model.state())
    assert (again.predict(X) == predicted).all()
    held = TorchRegressor("mlp", loss=loss, epochs=9, selection="validation")
    held.fit(X, truth[:, 0], speakers)
    scores = [h["validation_ccc"] for h in held.history_]
    assert held.selected_epoch_ == 1 + int(np.argmax(scores))
    assert held.predict(X).shape == (60,)


def test_the_regressor_refuses():
    X, _, _ = _frames()
    with pytest.raises(UnknownNameError, match="did you mean 'mse'"):
        TorchRegressor("mlp", loss="mes").fit(X, np.arange(36.0))
    with pytest.raises(ModelError, match="no value in training"):
        TorchRegressor("mlp").fit(X, np.full(36, np.nan))
    with pytest.raises(ModelError, match="needs the clips"):
        TorchRegressor("mlp", selection="test_oracle").fit(X, np.arange(36.0))


def _batch(n=8):
    """Objectives over n clips, 3 outputs each, none balanced over the two halves."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.tensor([0, 0, 0, 2, 0, 1, 1, 2])
    some = torch.where(torch.arange(n) % 3 == 0, -1, targets)
    weight = torch.tensor([0.5, 2.0, 1.0])
    shares = torch.rand(n, 3, generator=generator).softmax(1)
    numbers = torch.randn(n, 3, generator=generator)
    numbers[[0, 1, 6], [0, 1, 2]] = torch.nan
    return {
        "plain": Classification(targets),
        "weighted": Classification(targets, weight=weight, smoothing=0.1),
        "votes": Classification(targets, shares, weight),
        "some labels": Classification(some, weight=weight, partial=True),
        "numbers": Regression(numbers, mse_loss),
    }


@pytest.mark.parametrize("name", [*_batch(), "several"])
def test_the_halves_of_a_batch_make_its_step(name):
    """Gradients of the parts add up to those of the whole, whatever the mean is divided by.

    Seen to catch: parts weighed by their clips, 23 % off with balanced classes.
    """
    objectives = _batch()
    of = objectives.get(name) or MultiTask({k: (o, 0.7) for k, o in objectives.items()})
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    whole = torch.arange(8)

    def gradients(parts):
        weights, spread = torch.eye(3).requires_grad_(), torch.ones(5).requires_grad_()
        for part in parts:
            outputs = x[part] @ weights
            given = (dict.fromkeys(objectives, outputs), spread) if name == "several" else outputs
            of.loss(given, part, None if len(part) == 8 else whole).backward()
        return torch.cat([weights.grad.ravel(), *([spread.grad] if name == "several" else [])])

    parts = gradients([whole[:2], whole[2:4], whole[4:]])
    torch.testing.assert_close(parts, gradients([whole]))


def test_a_training_without_room_is_the_same(monkeypatch):
    """Clips that fit only one by one: the weights are those of whole batches."""

    class Narrow(training.Room):
        def __init__(self):
            self.most = 1.0

    X, y, _ = _frames()
    X = np.stack([clip.mean(axis=0) for clip in X])
    keep = np.r_[0:36:3, 1:36:6, 2:36:9]  # unequal classes
    head = {"hidden": [8], "dropout": 0.0, "batch_norm": False}
    settings = {"epochs": 3, "class_weight": "balanced", "optimizer": "sgd"}
    whole = TorchClassifier("mlp", head, **settings).fit(X[keep], y[keep])
    monkeypatch.setattr(training, "Room", Narrow)
    narrow = TorchClassifier("mlp", head, **settings).fit(X[keep], y[keep])
    for key, value in _weights(whole).items():
        torch.testing.assert_close(_weights(narrow)[key], value, msg=key)
    assert [e["train_loss"] for e in narrow.history_] == pytest.approx(
        [e["train_loss"] for e in whole.history_]
    )


def test_half_precision_learns():
    X, y, _ = _frames()
    model = TorchClassifier("mlp", {"pooling": "mean_std"}, epochs=25, learning_rate=5e-3)
    assert model.set_params(precision="bfloat16").fit(X, y).score(X, y) > 0.8


def test_the_history_has_recall_and_accuracy_of_the_judged_clips():
    """Of unequal classes they differ; catches one in the place of the other."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((60, 8)), np.array(CLASSES)[np.arange(60) % 3]
    other, truth = rng.standard_normal((20, 8)), np.array(CLASSES)[[0] * 14 + [1] * 4 + [2] * 2]
    model = TorchClassifier("mlp", epochs=4, learning_rate=1e-2, selection="test_oracle")
    model.fit(X, y, oracle=(other, truth))
    chosen = model.history_[model.selected_epoch_ - 1]
    right = model.predict(other) == truth
    assert chosen["validation_war"] == pytest.approx(right.mean())
    recalls = [right[truth == c].mean() for c in CLASSES]
    assert chosen["validation_uar"] == pytest.approx(np.mean(recalls))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "keras_adam"])
def test_the_epsilon_reaches_the_optimiser(optimizer):
    """Beside a large one every step is next to nothing."""
    X, y = np.random.default_rng(0).standard_normal((30, 8)), np.array(CLASSES)[np.arange(30) % 3]
    usual, still = (
        TorchClassifier("mlp", epochs=8, optimizer=optimizer, learning_rate=1e-2, eps=eps).fit(X, y)
        for eps in (None, 1e6)
    )
    falls = [m.history_[0]["train_loss"] - m.history_[-1]["train_loss"] for m in (usual, still)]
    assert falls[0] > 0.1
    assert falls[0] > 3 * abs(falls[1])
