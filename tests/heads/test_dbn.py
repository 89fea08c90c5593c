"""The DBN: its machines against sums over all states, and how the stack becomes a perceptron."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.dbn import DBN, RBM, Gradient, train_rbm


def _states(n: int) -> np.ndarray:
    """All rows of n bits, (2^n, n)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def _small(n_visible: int = 6, n_hidden: int = 4, *, gaussian: bool = False) -> RBM:
    """An RBM far from its initial weights, in double precision."""
    rbm = RBM(n_visible, n_hidden, gaussian=gaussian).double()
    with torch.no_grad():
        for parameter in rbm.parameters():
            parameter.normal_()
    return rbm


def _weights(rbm: RBM) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    W, b, c = (p.detach().numpy() for p in (rbm.W, rbm.b, rbm.c))
    return W, b, c


def _joint(rbm: RBM) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Enumerate a binary RBM: v (V, n), h (H, m), p(v, h) (V, H), log Z; energies by loops."""
    W, b, c = _weights(rbm)
    vs, hs = _states(len(b)), _states(len(c))
    energy = np.zeros((len(vs), len(hs)))
    for i, v in enumerate(vs):
        for j, h in enumerate(hs):
            energy[i, j] = (
                -b @ v
                - c @ h
                - sum(v[p] * W[p, q] * h[q] for p in range(len(b)) for q in range(len(c)))
            )
    z = np.exp(-energy).sum()
    return vs, hs, np.exp(-energy) / z, float(np.log(z))


def _log_likelihood(rbm: RBM, v: torch.Tensor) -> float:
    """Exact mean log p(v) of a binary RBM, by the sum over all visible states."""
    every = torch.from_numpy(_states(len(rbm.b))).to(v.dtype)
    with torch.no_grad():
        return float((-rbm.free_energy(v)).mean() - torch.logsumexp(-rbm.free_energy(every), 0))


def _bars_and_stripes(n: int = 3) -> torch.Tensor:
    """The 2^(n+1) - 2 pictures of n x n pixels whose rows, or columns, are all of one colour."""
    lines = _states(n)
    rows = np.repeat(lines[:, :, None], n, 2).reshape(-1, n * n)
    columns = np.repeat(lines[:, None, :], n, 1).reshape(-1, n * n)
    return torch.from_numpy(np.unique(np.vstack([rows, columns]), axis=0)).float()


# ---------------------------------------------------------------------------- the machine


def test_free_energy_is_minus_log_p_up_to_log_z():
    """6 x 4 units, all 1024 states. Caught: softplus of v W without c, + b.v."""
    rbm = _small()
    v, _, p, log_z = _joint(rbm)
    energy = rbm.free_energy(torch.from_numpy(v)).detach().numpy()
    np.testing.assert_allclose(energy + log_z, -np.log(p.sum(1)), atol=1e-12)


def test_conditional_means_are_those_of_the_joint_table():
    """Caught: W for its transpose (with 5 x 5 units), the other side's bias."""
    rbm = _small(5, 5)
    v, h, p, _ = _joint(rbm)
    np.testing.assert_allclose(
        rbm.hidden(torch.from_numpy(v)).detach(), (p @ h) / p.sum(1)[:, None], atol=1e-12
    )
    np.testing.assert_allclose(
        rbm.visible(torch.from_numpy(h)).detach(), (p.T @ v) / p.sum(0)[:, None], atol=1e-12
    )


def test_gaussian_free_energy_integrates_to_z():
    """p(v) is a mixture of 2^m unit Gaussians at b + W h: Z = (2 pi)^(n/2) sum_h exp(...).

    Caught: a variance of 1/2 (no factor 1/2), and (v - b)^2 / 2 left out.
    """
    rbm = _small(2, 3, gaussian=True)
    W, b, c = _weights(rbm)
    heights, means = [], []
    for h in _states(3):
        means.append(b + W @ h)
        heights.append(np.exp(c @ h + (means[-1] @ means[-1] - b @ b) / 2))
        torch.testing.assert_close(
            rbm.visible(torch.from_numpy(h[None])).detach()[0], torch.from_numpy(means[-1])
        )
    v = np.random.default_rng(0).normal(size=(20, 2)) * 2
    density = sum(
        a * np.exp(-np.square(v - m).sum(1) / 2) for a, m in zip(heights, means, strict=True)
    ) / (2 * np.pi * sum(heights))
    log_z = np.log(2 * np.pi * sum(heights))
    energy = rbm.free_energy(torch.from_numpy(v)).detach().numpy()
    np.testing.assert_allclose(-energy - log_z, np.log(density), atol=1e-12)


def test_free_energy_and_hidden_probabilities_are_scikit_learns():
    """Another implementation, weights copied. sklearn's components are (hidden, visible)."""
    from sklearn.neural_network import BernoulliRBM

    rbm = _small(7, 5)
    W, b, c = _weights(rbm)
    theirs = BernoulliRBM(5)
    theirs.components_, theirs.intercept_visible_, theirs.intercept_hidden_ = W.T, b, c
    v = np.random.default_rng(0).integers(0, 2, (30, 7)).astype(float)
    np.testing.assert_allclose(
        rbm.free_energy(torch.from_numpy(v)).detach(), theirs._free_energy(v), atol=1e-12
    )
    np.testing.assert_allclose(
        rbm.hidden(torch.from_numpy(v)).detach(), theirs.transform(v), atol=1e-12
    )


# ---------------------------------------------------------------------------- the estimate


def _exact_gradient(rbm: RBM, v0: torch.Tensor) -> list[np.ndarray]:
    """Slope of the mean log p(v0): statistics of the data less those of the joint table."""
    v, h, p, _ = _joint(rbm)
    _, _, c = _weights(rbm)
    data = v0.numpy()
    h0 = 1 / (1 + np.exp(-(c + data @ _weights(rbm)[0])))
    return [
        data.T @ h0 / len(data) - v.T @ p @ h,
        data.mean(0) - p.sum(1) @ v,
        h0.mean(0) - p.sum(0) @ h,
    ]


def test_the_exact_gradient_is_that_of_autograd():
    """The reference of the next test, checked against the slope of -F(v) - log Z."""
    rbm = _small()
    v0 = torch.from_numpy(_states(6)[[3, 17, 40, 62]])
    every = torch.from_numpy(_states(6))
    (-rbm.free_energy(v0).mean() - torch.logsumexp(-rbm.free_energy(every), 0)).backward()
    for ours, theirs in zip(_exact_gradient(rbm, v0), (rbm.W, rbm.b, rbm.c), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, atol=1e-12)


def test_many_long_chains_give_the_exact_gradient():
    """CD-1000 with 8000 chains: within 4 standard errors (<= 0.5 / sqrt(8000) = 0.0056).

    Caught: the two phases swapped, visible units that stay means, statistics of h0 in the model's
    phase, and biases summed instead of averaged. The control: CD-1 is off by far more.
    """
    rbm = _small().float()
    v0 = torch.from_numpy(_states(6)[[3, 17, 40, 62]]).float()
    exact = _exact_gradient(rbm, v0)
    chains = v0.repeat(2000, 1)
    slope = rbm.cd(chains, 1000, sample_visible=True)
    biased = rbm.cd(chains, 1, sample_visible=True)
    for ours, truth in zip(slope[:3], exact, strict=True):
        np.testing.assert_allclose(ours, truth, atol=0.022)
    assert np.abs(biased.W.numpy() - exact[0]).max() > 0.1


def test_cd_takes_means_unless_told_and_draws_the_hidden_units():
    """With visible means a picture is a function of drawn bits: closed form for one hidden unit."""
    rbm = _small(3, 1)
    v0 = torch.from_numpy(_states(3)[[5]]).repeat(50, 1)
    slope = rbm.cd(v0)
    off, on = (rbm.visible(torch.tensor([[bit]]).double()).detach() for bit in (0.0, 1.0))
    is_on = (slope.v - on).abs().sum(1) < 1e-12
    is_off = (slope.v - off).abs().sum(1) < 1e-12
    assert (is_on ^ is_off).all()
    assert is_on.any()
    assert is_off.any()
    h0, h1 = rbm.hidden(v0).detach(), rbm.hidden(slope.v).detach()
    expected = (v0[:, :, None] * h0[:, None] - slope.v[:, :, None] * h1[:, None]).mean(0)
    torch.testing.assert_close(slope.W, expected, atol=1e-12, rtol=0)


# ---------------------------------------------------------------------------- training


class _Scripted(RBM):
    """An RBM whose slopes are fixed: what is left is the rule of the steps."""

    def cd(self, v0: torch.Tensor, k: int = 1, *, sample_visible: bool = False) -> Gradient:
        assert k == 1
        return Gradient(torch.zeros_like(self.W), torch.ones_like(self.b), -2 * self.c, v0 + 3)


@pytest.mark.parametrize(("gaussian", "rate"), [(True, 1e-3), (False, 1e-2)])
def test_momentum_decay_and_rates_by_hand(gaussian, rate):
    """Caught: the switch at epoch 5 or 7, decay of the biases, one rate for both, v1 unsquared."""
    rbm = _Scripted(4, 3, gaussian=gaussian).double()
    W, c = rbm.W.detach().numpy().copy(), np.array([1.0, -2.0, 0.5])
    rbm.c.data.copy_(torch.from_numpy(c))
    b = np.zeros(4)
    v = torch.full((40, 4), 0.5).double()  # the initial bias of a binary unit is then 0 too
    history = train_rbm(rbm, v, epochs=9)
    speed_W, speed_b, speed_c = 0.0, 0.0, 0.0
    for epoch in range(9):
        inertia = 0.5 if epoch < 5 else 0.9
        for _ in range(2):  # batches of 32 and 8
            speed_W = inertia * speed_W - rate * 2e-4 * W
            speed_b = inertia * speed_b + rate
            speed_c = inertia * speed_c - rate * 2 * c
            W, b, c = W + speed_W, b + speed_b, c + speed_c
    np.testing.assert_allclose(rbm.W.detach(), W, atol=1e-14)
    np.testing.assert_allclose(rbm.b.detach(), b, atol=1e-12)
    np.testing.assert_allclose(rbm.c.detach(), c, atol=1e-12)
    assert [row["epoch"] for row in history] == list(range(1, 10))
    np.testing.assert_allclose([row["reconstruction_error"] for row in history], 9.0)


def test_visible_biases_start_at_the_logits_of_the_data():
    v = torch.tensor([[0.0, 1.0, 0.25], [0.0, 1.0, 0.75], [0.0, 1.0, 0.2], [0.0, 1.0, 0.4]])
    binary, gaussian = RBM(3, 2, gaussian=False), RBM(3, 2, gaussian=True)
    train_rbm(binary, v, epochs=0)
    train_rbm(gaussian, v, epochs=0)
    np.testing.assert_allclose(binary.b.detach(), [-4, 4, np.log(0.4 / 0.6)], atol=1e-6)
    assert float(gaussian.b.detach().abs().max()) == 0


def test_training_raises_the_likelihood_of_bars_and_stripes():
    """Exact log p: from that of fair coins, -9 log 2 = -6.24, towards the best, -log 14 = -2.64.

    Caught: the slope descended, the model's phase without its chain (k = 0).
    """
    v = _bars_and_stripes()
    assert len(v) == 14
    rbm = RBM(9, 12, gaussian=False)
    start = _log_likelihood(rbm, v)
    np.testing.assert_allclose(start, -9 * np.log(2), atol=0.02)
    halfway = train_rbm(rbm, v, epochs=300, learning_rate=0.1, k=5)
    middle = _log_likelihood(rbm, v)
    history = train_rbm(rbm, v, epochs=700, learning_rate=0.1, k=5)
    end = _log_likelihood(rbm, v)
    assert start + 0.5 < middle < end
    assert end > -3.6
    assert history[-1]["reconstruction_error"] < 0.5 * halfway[0]["reconstruction_error"]


def _draws(rbm: RBM, v: torch.Tensor, steps: int) -> torch.Tensor:
    """Return v after a Gibbs chain."""
    with torch.no_grad():
        for _ in range(steps):
            v = rbm.sample(rbm.visible(torch.bernoulli(rbm.hidden(v))))
    return v


def test_gaussian_rbm_learns_two_heaps():
    """One hidden unit is exactly two unit Gaussians, at b and b + W.

    Gibbs draws from the middle must lie around the two means of the mixture, with deviation 1. (The
    odds of the two are not asked for: a short chain of means does not cross from one heap to the
    other, so it learns little about them.) Caught: draws without noise, visible units through a
    sigmoid, weights that are not trained.
    """
    means = torch.tensor([[-2.0, 1.0], [2.0, -1.0]])
    which = (torch.arange(1000) >= 300).long()
    v = means[which] + torch.randn(1000, 2)
    rbm = RBM(2, 1, gaussian=True)
    train_rbm(rbm, v, epochs=60, learning_rate=5e-3, k=10, batch_size=50)
    learnt = torch.stack([rbm.b, rbm.b + rbm.W[:, 0]]).detach()
    learnt = learnt[learnt[:, 0].argsort()]
    np.testing.assert_allclose(learnt, means, atol=0.25)
    drawn = _draws(rbm, torch.zeros(2000, 2), 300)
    right = drawn[:, 0] > 0
    np.testing.assert_allclose(drawn[right].mean(0), means[1], atol=0.3)
    np.testing.assert_allclose(drawn[~right].mean(0), means[0], atol=0.3)
    np.testing.assert_allclose(drawn[right].std(0), 1, atol=0.15)


def test_a_divergence_is_an_error():
    rbm = RBM(3, 2, gaussian=True)
    with pytest.raises(ModelError, match="diverged in epoch"):
        train_rbm(rbm, torch.randn(64, 3) * 100, epochs=50, learning_rate=10.0)


# ---------------------------------------------------------------------------- the head


def _clips(n: int = 60) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Clips of 3 classes whose means differ; padding that is not a number."""
    y = torch.arange(n) % 3
    x = torch.randn(n, 7, 6) + 2 * F.one_hot(y, 3).repeat(1, 2)[:, None, :]
    lengths = torch.arange(n) % 7 + 1
    x = x.masked_fill(torch.arange(7)[None, :, None] >= lengths[:, None, None], float("nan"))
    return x, lengths, y


def _scaled(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Means of the clips, with mean 0 and (population) deviation 1 in every column."""
    means = np.stack([x[i, :n].numpy().mean(0) for i, n in enumerate(lengths.tolist())])
    return torch.from_numpy((means - means.mean(0)) / means.std(0))


def test_forward_is_a_perceptron_of_sigmoids():
    """Closed form. Caught: no activation in the last hidden layer, the mean over the padding."""
    head = DBN(6, 3, hidden=(5, 4)).eval()
    x, lengths, _ = _clips(8)
    for i, n in enumerate(lengths.tolist()):
        h = x[i, :n].numpy().mean(0)
        for layer in head.layers:
            W, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
            h = 1 / (1 + np.exp(-(W @ h + b)))
        expected = head.classifier.weight.detach().numpy() @ h
        np.testing.assert_allclose(head(x, lengths)[i].detach(), expected, atol=1e-6)


def test_the_stack_becomes_the_layers():
    """Layer by layer what the RBMs are, on scaled clips. Caught: W untransposed (equal sizes),
    the visible bias for the hidden one, every layer Gaussian, the second trained on the input, and
    a `k` that is not handed on.
    """
    x, lengths, _ = _clips()
    head = DBN(6, 3, hidden=(6, 6), pretrain_epochs=(4, 3), k=2)
    torch.manual_seed(1)
    history = head.pretrain(x, lengths)

    torch.manual_seed(1)
    v = _scaled(x, lengths)
    errors = []
    for layer, gaussian, epochs in zip(head.layers, (True, False), (4, 3), strict=True):
        rbm = RBM(6, 6, gaussian=gaussian)
        errors += [row["reconstruction_error"] for row in train_rbm(rbm, v, epochs=epochs, k=2)]
        torch.testing.assert_close(layer.weight, rbm.W.T, atol=1e-5, rtol=0)
        torch.testing.assert_close(layer.bias, rbm.c, atol=1e-5, rtol=0)
        v = rbm.hidden(v).detach()
    assert [(row["layer"], row["epoch"]) for row in history] == [
        (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3),
    ]  # fmt: skip
    np.testing.assert_allclose([r["reconstruction_error"] for r in history], errors, atol=1e-5)


def test_after_the_pretraining_the_input_is_scaled():
    """The scaling is used, and stored with the weights. Caught: forward on the plain means.

    Weights of 1, for those of an RBM are so small that the logits hardly depend on the input.
    """
    x, lengths, _ = _clips()
    x = 5 * x + 3
    head = DBN(6, 3, hidden=(4,), pretrain_epochs=(0, 0))
    head.pretrain(x, lengths)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
    expected = head.classifier(torch.sigmoid(head.layers[0](_scaled(x, lengths))))
    torch.testing.assert_close(head(x, lengths), expected, atol=1e-5, rtol=0)
    other = DBN(6, 3, hidden=(4,))
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(x, lengths), head(x, lengths))


def test_a_constant_column_is_not_blown_up():
    x, lengths, _ = _clips()
    x[:, :, 2] = 0.1  # its means differ by the rounding alone
    head = DBN(6, 3, hidden=(4,), pretrain_epochs=(1, 1))
    head.pretrain(x, lengths)
    assert float(head.spread[2]) == 1
    assert float(head.spread[[0, 1, 3, 4, 5]].min()) > 0.1


def test_pretraining_draws_from_the_random_state():
    x, lengths, _ = _clips()

    def pretrained(seed: int) -> DBN:
        torch.manual_seed(seed)
        head = DBN(6, 3, hidden=(8, 8), pretrain_epochs=(2, 2))
        head.pretrain(x, lengths)
        return head.eval()

    first, again, other = pretrained(0), pretrained(0), pretrained(1)
    assert torch.equal(first(x, lengths), again(x, lengths))
    assert not torch.equal(first(x, lengths), other(x, lengths))


def test_fine_tuning_starts_ahead_after_the_pretraining():
    """What it is for: three sigmoid layers from N(0, 0.01) sit on a plateau at first."""
    y = torch.arange(200) % 4
    x = torch.randn(200, 1, 40)
    x[:, 0, :8] += 1.5 * F.one_hot(y, 4).repeat(1, 2)
    lengths = torch.ones(200, dtype=torch.long)
    losses = []
    for pretrain in (False, True):
        torch.manual_seed(0)
        head = DBN(40, 4)
        if pretrain:
            head.pretrain(x, lengths)
        optimizer = torch.optim.Adam(head.parameters(), lr=1e-3)
        for _ in range(40):
            loss = F.cross_entropy(head(x, lengths), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 1.2  # log 4 = 1.39
    assert losses[1] < losses[0] - 0.2


def test_initial_weights_are_small():
    """N(0, 0.01^2), biases 0, in the machine and in the head."""
    for weight in (RBM(300, 200, gaussian=False).W, DBN(300, 200).layers[0].weight):
        np.testing.assert_allclose(float(weight.detach().std()), 0.01, rtol=0.03)
    assert all(
        float(p.detach().abs().sum()) == 0 for n, p in DBN(5, 2).named_parameters() if "bias" in n
    )


def test_parameter_count():
    n = sum(p.numel() for p in DBN(88, 7).parameters())
    assert n == 88 * 256 + 256 + 2 * (256 * 256 + 256) + 256 * 7 + 7


@pytest.mark.parametrize(
    "params",
    [{"hidden": ()}, {"hidden": (4, 0)}, {"pretrain_epochs": (5,)}, {"pretrain_epochs": (5, -1)},
     {"k": 0}],
)  # fmt: skip
def test_wrong_parameters(params):
    with pytest.raises(ModelError, match=rf"head dbn: {next(iter(params))} .*expected"):
        DBN(3, 2, **params)
