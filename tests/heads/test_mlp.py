"""The multilayer perceptron: a plain computation, and its sizes."""

from __future__ import annotations

import pytest
import torch

from serfeat.errors import ModelError
from serfeat.heads.mlp import MLP


def test_a_row_of_functionals_passes_the_layers_as_it_is():
    """Closed form; catches a pooling that changes a single frame."""
    head = MLP(6, 3, hidden=(4,), dropout=0.5).eval()
    x = torch.randn(5, 1, 6)
    first, last = head.layers[0], head.layers[-1]
    hidden = torch.relu(x[:, 0] @ first.weight.T + first.bias)
    expected = hidden @ last.weight.T + last.bias
    torch.testing.assert_close(head(x, torch.ones(5, dtype=torch.long)), expected)


@pytest.mark.parametrize(
    ("params", "n"),
    [
        ({}, 10 * 128 + 128 + 128 * 64 + 64 + 64 * 7 + 7),
        ({"pooling": "mean_std"}, 20 * 128 + 128 + 128 * 64 + 64 + 64 * 7 + 7),
        ({"hidden": ()}, 10 * 7 + 7),
        ({"hidden": (8,), "batch_norm": True}, 10 * 8 + 8 + 16 + 8 * 7 + 7),
    ],
)
def test_parameter_counts(params, n):
    assert sum(p.numel() for p in MLP(10, 7, **params).parameters()) == n


def test_unknown_pooling():
    with pytest.raises(ModelError, match="'max'"):
        MLP(3, 2, pooling="max")
