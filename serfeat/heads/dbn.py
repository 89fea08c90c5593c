"""DBN: deep belief network, a stack of RBMs that become the layers of a perceptron.

Sources: Hinton, Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science
313, 2006; Hinton, "A practical guide to training restricted Boltzmann machines", Neural Networks:
Tricks of the Trade, 2012 (rates, momentum, initial weights); Hinton, "Training products of experts
by minimizing contrastive divergence", Neural Computation 14, 2002.

On the attribution: the DBN for speech emotion is often credited to "Liu et al. 2011". No such paper
was found. Of that year is Stuhlsatz et al., "Deep neural networks for acoustic emotion recognition:
raising the benchmarks", ICASSP 2011, whose RBM stack is fine-tuned by a discriminant criterion.
This is the method, whoever was first.

The machine
-----------
An RBM gives visible units v and binary hidden units h the energy (rows v, h; W visible x hidden)

    Bernoulli:  E(v, h) = - b.v - c.h - v W h            v in {0, 1}
    Gaussian:   E(v, h) = |v - b|^2 / 2 - c.h - v W h    v real, unit variance

and the probability exp(-E) / Z. The hidden units are independent given the visible ones and the
other way round, so a Gibbs chain is cheap; summed over h, p(v) = exp(-F(v)) / Z with the free
energy F. The slope of log p(v) is <dF/dw> over the model less dF/dw at the data; contrastive
divergence takes k steps of a chain that starts at the data for a sample of the model.

What the papers leave open (ours)
---------------------------------
* The input is the mean of the frames; `pretrain` stores its mean and deviation over the training
  clips and scales by them, since the Gaussian RBM takes its input to have unit variance.
* A layer is trained on the hidden probabilities of the layer below, not on samples of them.
* After the pre-training the visible biases are of no use, and the head does not keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.layers import length_mask, masked_mean

__all__ = ["DBN", "RBM", "Gradient", "train_rbm"]

INITIAL_STD = 0.01  # of all weights
LEARNING_RATES = {"gaussian": 1e-3, "bernoulli": 1e-2}


class Gradient(NamedTuple):
    """Estimated slope of the mean log-likelihood (to be climbed), and what the chain came to.

    W : (n_visible, n_hidden).  b : (n_visible,).  c : (n_hidden,).  v : (n, n_visible).
    """

    W: Tensor
    b: Tensor
    c: Tensor
    v: Tensor


class RBM(nn.Module):
    """Restricted Boltzmann machine.

    Parameters
    ----------
    n_visible, n_hidden : units.
    gaussian : visible units are real with unit variance, else binary.

    Attributes
    ----------
    W : (n_visible, n_hidden), initially N(0, 0.01^2).
    b, c : (n_visible,) visible and (n_hidden,) hidden biases, initially 0.
    """

    def __init__(self, n_visible: int, n_hidden: int, *, gaussian: bool) -> None:
        super().__init__()
        self.gaussian = gaussian
        self.W = nn.Parameter(INITIAL_STD * torch.randn(n_visible, n_hidden))
        self.b = nn.Parameter(torch.zeros(n_visible))
        self.c = nn.Parameter(torch.zeros(n_hidden))

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -log sum_h exp(-E(v, h)) of v (n, n_visible), (n,): log p(v) = -F(v) - log Z."""
        hidden = F.softplus(self.c + v @ self.W).sum(1)
        visible = 0.5 * (v - self.b).square().sum(1) if self.gaussian else -(v @ self.b)
        return visible - hidden

    def hidden(self, v: Tensor) -> Tensor:
        """p(h = 1 | v) of v (n, n_visible), (n, n_hidden)."""
        return torch.sigmoid(self.c + v @ self.W)

    def visible(self, h: Tensor) -> Tensor:
        """E[v | h] of h (n, n_hidden), (n, n_visible)."""
        mean = self.b + h @ self.W.T
        return mean if self.gaussian else torch.sigmoid(mean)

    def sample(self, mean: Tensor) -> Tensor:
        """Draw visible units with the mean that `visible` gave."""
        return mean + torch.randn_like(mean) if self.gaussian else torch.bernoulli(mean)

    @torch.no_grad()
    def cd(self, v0: Tensor, k: int = 1, *, sample_visible: bool = False) -> Gradient:
        """Contrastive divergence: <v0 p(h|v0)> - <vk p(h|vk)> after k steps from the data.

        The hidden units of the chain are drawn, the last statistics take probabilities.

        Parameters
        ----------
        v0 : (n, n_visible) samples of the data, one chain each.
        k : steps.
        sample_visible : draw the visible units too. The practical guide takes their mean, which is
            less noisy but no Gibbs chain: only with draws the estimate tends to the exact slope
            as k grows.
        """
        h0 = self.hidden(v0)
        h, v = h0, v0
        for _ in range(k):
            v = self.visible(torch.bernoulli(h))
            if sample_visible:
                v = self.sample(v)
            h = self.hidden(v)
        return Gradient((v0.T @ h0 - v.T @ h) / len(v0), (v0 - v).mean(0), (h0 - h).mean(0), v)


@torch.no_grad()
def train_rbm(
    rbm: RBM,
    v: Tensor,
    *,
    epochs: int,
    learning_rate: float | None = None,
    momentum: tuple[float, float] = (0.5, 0.9),
    l2: float = 2e-4,
    batch_size: int = 32,
    k: int = 1,
) -> list[dict[str, Any]]:
    """Train `rbm` in place by CD-k on v (n, n_visible); order and draws from torch's random state.

    Parameters
    ----------
    epochs : passes over v.
    learning_rate : None: 1e-3 for Gaussian, 1e-2 for binary visible units.
    momentum : in the first five epochs, and after them.
    l2 : decay of W, not of the biases.

    Returns
    -------
    A row for each epoch: epoch (from 1), reconstruction_error, the mean over clips and units of
    ``(v0 - vk)^2``. It is no likelihood, but a quick sign of trouble.

    Raises
    ------
    ModelError : the weights diverged.
    """
    if learning_rate is None:
        learning_rate = LEARNING_RATES["gaussian" if rbm.gaussian else "bernoulli"]
    if not rbm.gaussian:  # the units' own rates: W need not explain them
        rbm.b.copy_(torch.logit(v.mean(0).clamp(1e-6, 1 - 1e-6)).clamp(-4, 4))
    weights = (rbm.W, rbm.b, rbm.c)
    speeds = [torch.zeros_like(w) for w in weights]
    history = []
    for epoch in range(1, epochs + 1):
        inertia = momentum[0] if epoch <= 5 else momentum[1]
        errors = []  # of the batches, on their device: to read one is to wait for it
        order = torch.randperm(len(v)).to(v.device)
        for start in range(0, len(v), batch_size):
            v0 = v[order[start : start + batch_size]]
            slope = rbm.cd(v0, k)
            slopes = (slope.W - l2 * rbm.W, slope.b, slope.c)
            for w, speed, direction in zip(weights, speeds, slopes, strict=True):
                w.add_(speed.mul_(inertia).add_(direction, alpha=learning_rate))
            errors.append((v0 - slope.v).square().sum())
        if not all(bool(w.isfinite().all()) for w in weights):
            raise ModelError(
                f"the pre-training diverged in epoch {epoch}",
                where="head dbn",
                code="diverged",
                fix="scale the features, or look for outliers among them",
            )
        error = float(torch.stack(errors).cpu().double().sum()) / v.numel()
        history.append({"epoch": epoch, "reconstruction_error": error})
    return history


class DBN(nn.Module):
    """Sigmoid layers that `pretrain` takes from a stack of RBMs, and a softmax layer.

    Without `pretrain` it is a perceptron with an RBM's small initial weights.

    Parameters
    ----------
    n_features, n_classes : columns of a frame; logits.
    hidden : units of each layer.
    dropout : after each layer, in the supervised training.
    pretrain_epochs : of the first RBM, whose visible units are Gaussian, and of each of the others.
    k : steps of contrastive divergence.
    """

    centre: Tensor  # (n_features,)
    spread: Tensor  # (n_features,)

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        hidden: Sequence[int] = (256, 256, 256),
        dropout: float = 0.0,
        pretrain_epochs: Sequence[int] = (100, 50),
        k: int = 1,
    ) -> None:
        super().__init__()
        two = len(pretrain_epochs) == 2
        for name, value, good, expected in (
            ("hidden", hidden, hidden and min(hidden) > 0, "one or more positive sizes"),
            ("pretrain_epochs", pretrain_epochs, two and min(pretrain_epochs) >= 0, "two counts"),
            ("k", k, k > 0, "1 or more"),
        ):
            if not good:
                raise ModelError(
                    f"{name} {value!r}, expected {expected}",
                    where="head dbn",
                    code="bad-parameter",
                )
        self.pretrain_epochs = tuple(pretrain_epochs)
        self.k = k
        self.sizes = tuple(pairwise([n_features, *hidden]))
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in self.sizes)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden[-1], n_classes)
        for label, parameter in self.named_parameters():
            if label.endswith("weight"):
                nn.init.normal_(parameter, std=INITIAL_STD)
            else:
                nn.init.zeros_(parameter)
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))

    def pooled(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Mean over the valid frames, (batch, n_features); a single row stays as it is."""
        mask = length_mask(lengths, x.shape[1])  # (batch, frames)
        return masked_mean(x.masked_fill(~mask[:, :, None], 0), mask)

    @torch.no_grad()
    def pretrain(self, x: Tensor, lengths: Tensor) -> list[dict[str, Any]]:
        """Train the RBMs, one on top of the other, and take over their weights.

        Draws from torch's present random state.

        Parameters
        ----------
        x, lengths : (clips, frames, n_features), (clips,), all training clips; or what `pooled`
            makes of them, as clips of one frame.

        Returns
        -------
        The rows of `train_rbm`, with the layer (from 1).
        """
        v = self.pooled(x, lengths)  # (clips, n_features)
        self.centre.copy_(v.mean(0))
        spread = v.std(0, correction=0)
        varies = spread > 1e-5 * self.centre.abs()  # below, it is the rounding of a constant
        self.spread.copy_(torch.where(varies, spread, torch.ones_like(spread)))
        v = (v - self.centre) / self.spread
        history = []
        for i, layer in enumerate(self.layers):
            rbm = RBM(*self.sizes[i], gaussian=i == 0).to(v)
            epochs = self.pretrain_epochs[min(i, 1)]
            rows = train_rbm(rbm, v, epochs=epochs, k=self.k)
            history += [{"layer": i + 1, **row} for row in rows]
            layer.load_state_dict({"weight": rbm.W.T, "bias": rbm.c})
            v = rbm.hidden(v)  # (clips, units of this layer)
        return history

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        h = (self.pooled(x, lengths) - self.centre) / self.spread  # (batch, n_features)
        for layer in self.layers:
            h = self.drop(torch.sigmoid(layer(h)))  # (batch, units)
        logits: Tensor = self.classifier(h)
        return logits
