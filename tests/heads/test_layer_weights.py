"""The weighted layers: by hand, and that the layer that knows something gets the weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from serfeat.errors import ModelError
from serfeat.heads.layer_weights import LayerWeights
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.sequences import Sequences

LAYERS, WIDTH = 3, 4


@pytest.mark.parametrize("normalise", [False, True])
def test_by_hand(normalise: bool) -> None:
    """Catches layers and widths in the wrong order, the mean before the end, unweighted layers."""
    torch.manual_seed(0)
    head = LayerWeights(LAYERS * WIDTH, 2, n_layers=LAYERS, hidden=5, normalise=normalise)
    head = head.double().eval()
    with torch.no_grad():
        head.scores.copy_(torch.tensor([0.5, -1.0, 2.0]))
    x = torch.randn(2, 6, LAYERS * WIDTH, dtype=torch.float64)
    lengths = torch.tensor([6, 4])
    found = head(x, lengths).detach().numpy()
    w = np.exp([0.5, -1.0, 2.0]) / np.exp([0.5, -1.0, 2.0]).sum()
    np.testing.assert_allclose(head.weights.detach().numpy(), w, rtol=1e-12)
    p = {name: value.detach().numpy() for name, value in head.named_parameters()}
    for clip, n in enumerate(lengths.tolist()):
        states = x[clip, :n].numpy().reshape(n, LAYERS, WIDTH)
        if normalise:
            variance = states.var(axis=2, keepdims=True)
            states = (states - states.mean(axis=2, keepdims=True)) / np.sqrt(variance + 1e-5)
        mixed = sum(w[k] * states[:, k] for k in range(LAYERS))
        hidden = (mixed @ p["project.weight"].T + p["project.bias"]).mean(axis=0)
        logits = hidden @ p["classifier.weight"].T + p["classifier.bias"]
        np.testing.assert_allclose(found[clip], logits, rtol=1e-10)


def test_the_layer_that_knows_gets_the_weight() -> None:
    rng = np.random.default_rng(0)
    y = np.array(["anger", "joy"] * 30)
    clips = []
    for label in y:
        x = rng.standard_normal((5, LAYERS, WIDTH))
        x[:, 1] += 2.0 if label == "joy" else -2.0
        clips.append(x.reshape(5, -1))
    model = TorchClassifier(
        "layer_weights",
        {"n_layers": LAYERS, "hidden": 4},
        epochs=40,
        learning_rate=2e-2,
        threads=1,
    ).fit(Sequences.of(clips), y)
    weights = model.module_.weights.detach().numpy()
    assert weights.argmax() == 1
    assert weights[1] > 0.5


def test_columns_that_are_no_layers() -> None:
    with pytest.raises(ModelError, match="13 columns are no 3 layers"):
        LayerWeights(13, 2, n_layers=3)
