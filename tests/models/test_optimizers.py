"""The optimisers: closed forms, NumPy, torch, and five steps of TIM-Net."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from serfeat.errors import ModelError, UnknownNameError
from serfeat.heads.timnet import TIMNet
from serfeat.models.optimizers import OPTIMIZERS, KerasAdam, make_optimizer

LR, BETAS, EPS = 1e-3, (0.93, 0.98), 1e-8


class NumpyAdam:
    """Epsilon hat, written from the paper: alpha_t = alpha sqrt(1 - b2^t) / (1 - b1^t)."""

    def __init__(self, n: int, lr: float, betas: tuple[float, float], eps: float) -> None:
        self.lr, (self.b1, self.b2), self.eps = lr, betas, eps
        self.m, self.v, self.t = np.zeros(n), np.zeros(n), 0

    def step(self, p: np.ndarray, g: np.ndarray) -> np.ndarray:
        self.t += 1
        self.m = self.b1 * self.m + (1 - self.b1) * g
        self.v = self.b2 * self.v + (1 - self.b2) * g * g
        alpha = self.lr * np.sqrt(1 - self.b2**self.t) / (1 - self.b1**self.t)
        return p - alpha * self.m / (np.sqrt(self.v) + self.eps)


def _gradients(n: int = 7) -> np.ndarray:
    """Three steps; sizes around epsilon, where its place matters, and well above."""
    sizes = 10.0 ** -np.arange(n)
    return np.random.default_rng(0).standard_normal((3, n)) * sizes


def test_first_step_by_hand():
    """p1 = p0 - lr sqrt(1 - b2) g / (sqrt(1 - b2) |g| + eps).

    At |g| = eps torch's Adam moves by lr / 2, this one by lr sqrt(.02) / (sqrt(.02) + 1). Catches
    epsilon on the corrected root, and a forgotten correction.
    """
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    p.grad = torch.tensor([EPS, -3.0], dtype=torch.float64)
    KerasAdam([p], LR, betas=BETAS, eps=EPS).step()
    root = np.sqrt(0.02)
    expected = [1 - LR * root / (root + 1), 1 + LR * root * 3 / (root * 3 + EPS)]
    np.testing.assert_allclose(p.detach(), expected, atol=1e-15, rtol=0)


def test_three_steps_are_numpys():
    """Rung 2, float64; catches a wrong power of beta, swapped betas, a stale mean."""
    gradients = _gradients()
    p = torch.nn.Parameter(torch.ones(7, dtype=torch.float64))
    ours, theirs = KerasAdam([p], LR, betas=BETAS, eps=1e-7), NumpyAdam(7, LR, BETAS, 1e-7)
    expected = np.ones(7)
    for g in gradients:
        p.grad = torch.from_numpy(g.copy())
        ours.step()
        expected = theirs.step(expected, g)
        np.testing.assert_allclose(p.detach(), expected, atol=1e-14, rtol=0)


def test_three_steps_are_torchs_with_another_epsilon():
    """Rung 2: torch.optim.Adam given eps_t = eps / sqrt(1 - b2^t) in step t; and not without it."""
    away = {}
    for adjusted in (True, False):
        a, b = (torch.nn.Parameter(torch.ones(7, dtype=torch.float64)) for _ in range(2))
        ours = KerasAdam([a], LR, betas=BETAS, eps=1e-7)
        theirs = torch.optim.Adam([b], LR, betas=BETAS, eps=1e-7)
        for t, g in enumerate(_gradients(), start=1):
            a.grad, b.grad = torch.from_numpy(g.copy()), torch.from_numpy(g.copy())
            if adjusted:
                theirs.param_groups[0]["eps"] = 1e-7 / np.sqrt(1 - BETAS[1] ** t)
            ours.step()
            theirs.step()
        away[adjusted] = float((a - b).detach().abs().max())
    assert away[True] < 1e-12
    assert away[False] > 1e-5


def test_weight_decay_is_decoupled():
    """Without a gradient the weights shrink by lr wd a step; as torch's AdamW does."""
    a, b = (torch.nn.Parameter(torch.full((3,), 2.0, dtype=torch.float64)) for _ in range(2))
    ours = make_optimizer("keras_adam", [a], learning_rate=0.1, weight_decay=0.5, eps=1e-8)
    theirs = make_optimizer("adamw", [b], learning_rate=0.1, weight_decay=0.5)
    for _ in range(3):
        a.grad, b.grad = torch.zeros_like(a), torch.zeros_like(b)
        ours.step()
        theirs.step()
    torch.testing.assert_close(a.detach(), torch.full_like(a, 2 * 0.95**3), atol=1e-14, rtol=0)
    torch.testing.assert_close(a, b, atol=1e-14, rtol=0)


def _timnet() -> TIMNet:
    torch.manual_seed(46)
    return TIMNet(39, 7, n_dilations=8, dropout=0.0).double().train()


def _loss(head: TIMNet) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 60, 39, generator=generator, dtype=torch.float64)
    x[:, :, 0] = 60 * x[:, :, 0] - 300  # c0 of unscaled MFCCs
    logits = head(x, torch.full((8,), 60))
    return F.cross_entropy(logits, torch.arange(8) % 7, label_smoothing=0.1)


def test_five_steps_of_timnet_in_double_precision():
    """The training of the paper against NumPy on torch's gradients: every weight to 1e-10.

    The published graph was compared in the same way (five steps, 1e-8). What is left, 2e-12, is
    rounding: where gradients are near 0, Adam divides by them. The control: torch's Adam is further
    away than 1e-8.
    """
    head, reference, torchs = _timnet(), _timnet(), _timnet()
    ours = make_optimizer("keras_adam", head.parameters(), learning_rate=LR, betas=BETAS, eps=EPS)
    theirs = make_optimizer("adam", torchs.parameters(), learning_rate=LR, betas=BETAS, eps=EPS)
    plain = NumpyAdam(sum(p.numel() for p in reference.parameters()), LR, BETAS, EPS)
    for _ in range(5):
        for module, optimizer in ((head, ours), (torchs, theirs)):
            optimizer.zero_grad()
            _loss(module).backward()
            optimizer.step()
        reference.zero_grad()
        _loss(reference).backward()
        weights = torch.nn.utils.parameters_to_vector(reference.parameters()).detach()
        gradient = torch.cat([p.grad.reshape(-1) for p in reference.parameters()])
        moved = torch.from_numpy(plain.step(weights.numpy(), gradient.numpy()))
        torch.nn.utils.vector_to_parameters(moved, reference.parameters())
    expected = torch.nn.utils.parameters_to_vector(reference.parameters())
    for module, low, high in ((head, 0.0, 1e-10), (torchs, 1e-8, 1e-2)):
        found = torch.nn.utils.parameters_to_vector(module.parameters())
        assert low <= float((found - expected).detach().abs().max()) < high


def test_interrupted_and_resumed():
    """The state holds all that there is: steps 1-2, stored, 3 elsewhere = steps 1-3."""
    p = torch.nn.Parameter(torch.ones(7, dtype=torch.float64))
    q = torch.nn.Parameter(torch.ones(7, dtype=torch.float64))
    whole, first = KerasAdam([p], LR), KerasAdam([q], LR)
    for i, g in enumerate(_gradients()):
        p.grad = torch.from_numpy(g.copy())
        whole.step()
        if i == 2:
            state = first.state_dict()
            first = KerasAdam([q], 0.7)
            first.load_state_dict(state)
        q.grad = torch.from_numpy(g.copy())
        first.step()
    assert torch.equal(p, q)


def test_state_has_torchs_names():
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    ours, theirs = KerasAdam([p]), torch.optim.Adam([q])
    for parameter, optimizer in ((p, ours), (q, theirs)):
        parameter.grad = torch.ones(2)
        optimizer.step()
    assert set(ours.state[p]) == set(theirs.state[q])


def test_a_parameter_without_a_gradient_stays():
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = KerasAdam([{"params": [p]}, {"params": [q], "lr": 0.5}])
    q.grad = torch.ones(2)
    loss = optimizer.step(lambda: 3.0)
    assert loss == 3.0
    assert torch.equal(p.detach(), torch.ones(2))
    torch.testing.assert_close(q.detach(), torch.full((2,), 0.5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_by_name_with_the_settings_it_has(name):
    """Catches a setting that is swallowed, and an epsilon of the wrong library."""
    p = torch.nn.Parameter(torch.ones(2))
    plain = make_optimizer(name, [p]).param_groups[0]
    assert plain["lr"] == 1e-3
    assert plain["weight_decay"] == 0
    assert plain.get("eps") == {"keras_adam": 1e-7, "sgd": None}.get(name, 1e-8)
    group = make_optimizer(
        name, [p], learning_rate=0.3, betas=(0.5, 0.6), weight_decay=0.1, momentum=0.7, eps=1e-3
    ).param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.3, 0.1)
    if name == "sgd":
        assert group["momentum"] == 0.7
    else:
        assert (group["betas"], group["eps"]) == ((0.5, 0.6), 1e-3)


def test_two_steps_of_sgd_with_momentum_by_hand():
    """v = .9 v + g; p = p - lr v: 1 - .1 (1 + 1.9)."""
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = make_optimizer("sgd", [p], learning_rate=0.1, momentum=0.9)
    for _ in range(2):
        p.grad = torch.ones(1)
        optimizer.step()
    assert float(p.detach()) == pytest.approx(1 - 0.1 * 2.9, abs=1e-6)


def test_errors():
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(UnknownNameError, match="did you mean 'keras_adam'"):
        make_optimizer("keras_adm", [p])
    with pytest.raises(ModelError, match=r"betas \(0.9, 1\)"):
        make_optimizer("keras_adam", [p], betas=(0.9, 1))
