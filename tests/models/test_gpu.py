"""What trainings do for a GPU, as far as it can be seen without one."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.backends import cudnn

from serfeat.errors import ModelError
from serfeat.heads.rnn import Recurrent
from serfeat.models import surroundings, torch_estimator
from serfeat.models.batches import Room, out_of_memory
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.models.training import _pooled


def _fitted(**settings):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((24, 5)).astype(np.float32), np.arange(24) % 3
    return TorchClassifier("mlp", {"hidden": (4,)}, epochs=1, **settings).fit(X, y), X


def test_float32_is_float32(monkeypatch):
    """Catches TF32, cuDNN's default, in training or in application, and a caller's lost setting."""
    seen = []

    def spied(function):
        def call(*args, **kwargs):
            seen.append(cudnn.allow_tf32)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(torch_estimator, "train", spied(torch_estimator.train))
    monkeypatch.setattr(torch_estimator, "logits", spied(torch_estimator.logits))
    assert cudnn.allow_tf32  # torch's default
    model, X = _fitted()
    model.predict(X)
    assert seen == [False, False]
    assert cudnn.allow_tf32


def test_the_seed_is_that_of_the_device(monkeypatch):
    """Caught: "cuda:1" was not seeded, as torch seeds the present device."""
    present, seeded = [torch.device("cuda:0")], []

    @contextmanager
    def device(chosen):
        before, present[0] = present[0], chosen
        yield
        present[0] = before

    @contextmanager
    def fork_rng(devices):
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: seeded.append((present[0], seed)))
    monkeypatch.setattr(torch.random, "fork_rng", fork_rng)
    before = torch.get_rng_state()
    with surroundings.own_random_state(torch.device("cuda:1"), 7):
        pass
    torch.set_rng_state(before)
    assert seeded == [(torch.device("cuda:1"), 7)]


def test_a_model_of_a_gpu_is_applied_without_one():
    """Caught: a model that was stored with device "cuda" asked for a GPU wherever it was used."""
    model, X = _fitted()
    tensors, card = model.state()
    card["params"]["device"] = "cuda"
    there = TorchClassifier.from_state(tensors, card)
    assert there.device == "auto"
    assert (there.predict_proba(X) == model.predict_proba(X)).all()
    card["params"]["device"] = "cpu"
    assert TorchClassifier.from_state(tensors, card).device == "cpu"


def test_a_module_comes_back_when_its_application_fails(monkeypatch):
    """Caught: a module left on the GPU, so that the model could no longer be stored."""
    model, X = _fitted()
    back = []
    monkeypatch.setattr(model.module_, "cpu", lambda: back.append(True))

    def fails(*_):
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(torch_estimator, "logits", fails)
    with pytest.raises(RuntimeError, match="no kernel image"):
        model.predict(X)
    assert back == [True]


@pytest.mark.parametrize(
    ("error", "wanting"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate "
                      "memory: you tried to allocate 4 bytes."), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ModelError("the training diverged"), False),
    ],
)  # fmt: skip
def test_what_says_that_memory_is_wanting(error, wanting):
    assert out_of_memory(error) is wanting


def test_what_does_not_fit_says_why():
    """Caught: a card that lacks an operation, told as want of memory and nothing else."""

    def work(_):
        raise RuntimeError("GET was unable to find an engine to execute this computation\nmore")

    with pytest.raises(ModelError, match=r"of 9 frames .* \(GET was unable [a-z ]*\)") as raised:
        Room().each(work, np.arange(2), np.array([5, 9]))
    assert raised.value.code == "memory"


def test_recurrent_layers_stay_in_float32():
    """Caught: on a GPU autocast gives them float16, without the scaling of the loss it needs."""
    head = Recurrent(4, 3, hidden=5)
    kinds = []
    for layer in head.layers.modules():
        if isinstance(layer, torch.nn.LSTM):
            layer.register_forward_hook(lambda _, x, y: kinds.extend([x[0].dtype, y[0].dtype]))
    with torch.autocast("cpu", torch.bfloat16):
        head(torch.randn(2, 6, 4), torch.tensor([6, 3]))
    assert set(kinds) == {torch.float32}
    assert len(kinds) == 8  # two layers, both directions


def test_pretraining_sees_means_and_not_all_frames():
    """Caught: all clips at once, padded to the longest, where a mean of each is wanted."""
    rng = np.random.default_rng(0)
    from serfeat.heads.dbn import DBN
    from serfeat.sequences import Sequences

    clips = Sequences.of([rng.standard_normal((n, 4)).astype(np.float32) for n in (3, 9, 1, 5, 7)])
    rows = np.array([4, 0, 2, 1])
    sizes = []
    head = DBN(4, 3, hidden=(5,))
    pooled = head.pooled
    head.pooled = lambda x, n: sizes.append(tuple(x.shape)) or pooled(x, n)
    x, lengths = _pooled(head, clips, rows, 2, Room())
    assert sizes == [(2, 7, 4), (2, 9, 4)]
    assert lengths.tolist() == [1] * 4
    means = [[clips[int(row)].mean(0)] for row in rows]
    np.testing.assert_allclose(x, np.array(means), atol=1e-6)
