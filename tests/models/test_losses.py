"""Losses: closed forms, missing targets, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from serfeat.heads.multi_task import MultiTask, reverse_gradient
from serfeat.models.losses import ccc_loss, mse_loss, soft_cross_entropy


def _random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_soft_cross_entropy_of_one_hot_is_torchs():
    """With weights and smoothing. Caught: weights left out of the divisor, smoothing over c - 1."""
    logits, target = _random(9, 4), torch.arange(9) % 4
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    hot = F.one_hot(target, 4).double()
    for w in (None, weight):
        for smoothing in (0.0, 0.1):
            ours = soft_cross_entropy(logits, hot, weight=w, smoothing=smoothing)
            theirs = F.cross_entropy(logits, target, weight=w, label_smoothing=smoothing)
            assert float(ours) == pytest.approx(float(theirs), abs=1e-12)


def test_soft_cross_entropy_is_least_at_the_proportions():
    """Two raters of three: the loss is the entropy where q = p, and larger elsewhere."""
    p = torch.tensor([[2 / 3, 1 / 3, 0.0]])
    at = float(soft_cross_entropy(torch.log(p.clamp(min=1e-12)), p))
    assert at == pytest.approx(-(2 / 3) * np.log(2 / 3) - (1 / 3) * np.log(1 / 3), rel=1e-5)
    assert float(soft_cross_entropy(torch.tensor([[0.5, 0.0, -3.0]]), p)) > at


def test_ccc_loss_closed_forms():
    """Caught: variances over n - 1 (a perfect prediction then costs 1/n), the means left out."""
    y = _random(20, 2)
    y = y - y.mean(0)
    assert float(ccc_loss(y, y)) == pytest.approx(0, abs=1e-8)
    assert float(ccc_loss(-y, y)) == pytest.approx(2, abs=1e-7)
    assert float(ccc_loss(torch.full_like(y, 3.0), y)) == pytest.approx(1, abs=1e-12)
    assert float(ccc_loss(torch.zeros(4), torch.zeros(4))) == 1.0  # nothing varies: no concordance
    x, t = np.array([1.0, 2, 4, 3]), np.array([1.0, 3, 3, 5])
    expected = 2 * np.cov(x, t, bias=True)[0, 1] / (x.var() + t.var() + (x.mean() - t.mean()) ** 2)
    loss = ccc_loss(torch.tensor(x), torch.tensor(t))
    assert 1 - float(loss) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("loss", [ccc_loss, mse_loss])
def test_a_missing_target_takes_no_part(loss):
    """Neither in the value nor in the gradient. Caught: zeros in place of what is missing."""
    p, t = _random(8, 2).requires_grad_(), _random(8, 2, seed=1)
    t[3, 0] = t[5, 0] = torch.nan
    kept = [i for i in range(8) if i not in (3, 5)]
    value = loss(p, t)
    parts = loss(p[kept, 0], t[kept, 0]), loss(p[:, 1], t[:, 1])
    weights = (0.5, 0.5) if loss is ccc_loss else (6 / 14, 8 / 14)
    expected = sum(w * float(v) for w, v in zip(weights, parts, strict=True))
    assert float(value) == pytest.approx(expected, abs=1e-12)
    value.backward()
    assert p.grad is not None
    assert float(p.grad[3, 0].abs() + p.grad[5, 0].abs()) == 0
    assert (p.grad[kept, 0] != 0).all()
    nothing = loss(p, torch.full((8, 2), torch.nan, dtype=torch.float64))
    assert float(nothing) == 0


def test_the_gradient_is_reversed_and_only_behind_the_trunk():
    """The adversarial layer itself learns its task. Caught: the sign of the reversal."""
    x = torch.ones(3, requires_grad=True)
    y = reverse_gradient(x, 0.5)
    assert torch.equal(y, x)
    (2 * y).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0] * 3

    class Trunk(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, x, lengths):
            return self.layer(x[:, 0])

    torch.manual_seed(0)
    gradients = {}
    both = MultiTask(Trunk(), 4, {"emotion": 2, "speaker": 3}, adversarial=["speaker"])
    plain = MultiTask(Trunk(), 4, {"emotion": 2, "speaker": 3})
    plain.load_state_dict(both.state_dict())
    clips, lengths = torch.randn(5, 1, 3), torch.ones(5, dtype=torch.int64)
    for name, module in (("both", both), ("plain", plain)):
        outputs = module.outputs(clips, lengths)
        assert torch.equal(outputs["emotion"], module(clips, lengths))
        F.cross_entropy(outputs["speaker"], torch.arange(5) % 3).backward()
        gradients[name] = {k: p.grad for k, p in module.named_parameters() if p.grad is not None}
    trunk, own = "trunk.layer.weight", "layers.1.weight"
    assert torch.allclose(gradients["both"][trunk], -gradients["plain"][trunk])
    assert torch.equal(gradients["both"][own], gradients["plain"][own])
