"""What a training minimises: losses of classes, of proportions of classes, and of dimensions.

Sources
-------
Soft targets: A. Ando et al., "Soft-target training with ambiguous emotional utterances for
DNN-based speech emotion classification", ICASSP 2018. Concordance: L. I. Lin, "A concordance
correlation coefficient to evaluate reproducibility", Biometrics 45(1), 1989; as a loss F. Weninger
et al., IJCAI 2016. Gradient reversal: Y. Ganin, V. Lempitsky, ICML 2015.

Contents
--------
`soft_cross_entropy` : against proportions of rater votes.
`ccc_loss`           : 1 - concordance correlation.
`mse_loss`           : mean squared error.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ccc_loss", "mse_loss", "soft_cross_entropy"]


def soft_cross_entropy(
    logits: Tensor, proportions: Tensor, *, weight: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Cross entropy against proportions: the mean over clips of ``-sum_c w_c p_c log q_c``.

    With one-hot proportions and no weights this is the usual cross entropy; with weights it is
    divided by the weights of the targets, as torch does for hard labels.

    Parameters
    ----------
    logits : (n, classes).
    proportions : (n, classes), rows that sum to 1.
    weight : (classes,), None for 1.
    smoothing : a; the targets become ``(1 - a) p + a / classes``, the divisor keeps the plain ones.
    """
    p = (1 - smoothing) * proportions + smoothing / proportions.shape[1]
    surprise = -F.log_softmax(logits, dim=1)  # (n, classes)
    if weight is None:
        return (p * surprise).sum(1).mean()
    return (p * weight * surprise).sum() / (proportions * weight).sum()


def ccc_loss(prediction: Tensor, target: Tensor, *, eps: float = 1e-8) -> Tensor:
    """``1 - CCC``, the mean over the columns; 0 for a perfect prediction, 1 for a constant one.

    CCC = 2 cov / (var_p + var_t + (mean_p - mean_t)^2), with population moments everywhere: with
    the variance over n - 1, the loss of a perfect prediction would not be 0.

    Parameters
    ----------
    prediction, target : (n,) or (n, k); a target of NaN is missing and takes no part.
    eps : keeps the quotient finite where both are constant.
    """
    known = torch.isfinite(target)
    weight = known.to(prediction.dtype)
    weight = weight / weight.sum(0, keepdim=True).clamp(min=1)  # (n, k), columns sum to 1 (or 0)
    truth = torch.where(known, target, torch.zeros_like(target))
    mean_p, mean_t = (weight * prediction).sum(0), (weight * truth).sum(0)
    p, t = prediction - mean_p, truth - mean_t
    covariance = (weight * p * t).sum(0)
    spread = (weight * (p * p + t * t)).sum(0) + (mean_p - mean_t) ** 2
    loss = 1 - 2 * covariance / (spread + eps)
    there = known.any(0)
    return torch.where(there, loss, torch.zeros_like(loss)).sum() / there.sum().clamp(min=1)


def mse_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the targets that are not NaN, (n,) or (n, k); 0 if all are."""
    known = torch.isfinite(target)
    error = torch.where(known, prediction - torch.nan_to_num(target), torch.zeros_like(prediction))
    return error.square().sum() / known.sum().clamp(min=1)
