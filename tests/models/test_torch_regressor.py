"""scikit-learn's contract of the regressor; what it learns is in test_training.py."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from serfeat.errors import ModelError
from serfeat.models.torch_regressor import TorchRegressor
from serfeat.sequences import Sequences


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# scikit-learn's checks that the estimator does not pass, and why that is right: name -> reason.
EXCEPTIONS: dict[str, str] = {
    "check_methods_subset_invariance": "asks for 1e-7; single precision gives 3e-7 between batches "
    "of other sizes (the classifier's probabilities are divided by a sum and pass)",
}


@parametrize_with_checks(
    [TorchRegressor("mlp", {"hidden": (16,), "dropout": 0.0}, epochs=30, learning_rate=1e-2)],
    expected_failed_checks=lambda _: EXCEPTIONS,
)
def test_estimator_contract(estimator, check):
    check(estimator)


def test_a_tanh_reaches_its_targets() -> None:
    """Z-scored targets lie beyond 1: predictions had stopped a deviation from the mean."""
    rng = np.random.default_rng(0)
    y = np.repeat([-0.9, 0.9], 4)
    t = np.arange(640) / 16_000
    clips = [
        np.sin(2 * np.pi * (300 if v > 0 else 2000) * t) + 0.05 * rng.standard_normal(640)
        for v in y
    ]
    X = Sequences.of([clip.reshape(4, 160) for clip in clips])
    small = {"n_samples": 160, "hidden": 8, "filters": 10, "taps": [8, 8], "activation": "tanh"}
    model = TorchRegressor(
        "dcrn", small | {"dropout": 0.0}, epochs=60, batch_size=8, learning_rate=1e-2, loss="mse"
    )
    found = model.fit(X, y).predict(X)
    assert np.abs(found - y).max() < 0.2
    with pytest.raises(ModelError, match="up to 3 in magnitude"):
        model.fit(X, y / 0.3)
