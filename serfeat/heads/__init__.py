"""Neural heads: one readable file for each network.

A head is a `torch.nn.Module` made by ``factory(n_features, n_classes, **params)`` whose
``forward(x (batch, frames, features), lengths (batch,))`` returns logits (batch, n_classes). In
evaluation mode, padding of any content and length changes nothing: what a clip gets does not depend
on its neighbours in the batch. A head knows nothing of corpora, labels or training; the one
training loop is `serfeat.models.torch_classifier`. The tests in tests/heads/test_contract.py hold
every entry of `HEADS` to this.

Contents
--------
`HEADS`     : name -> factory.
`SOURCES`   : name -> where the network comes from.
`make_head` : build one by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from serfeat.errors import did_you_mean
from serfeat.heads.am_resnet import AMResNet
from serfeat.heads.mlp import MLP
from serfeat.heads.timnet import TIMNet

__all__ = ["HEADS", "SOURCES", "make_head"]

HEADS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "timnet": TIMNet,
    "am_resnet": AMResNet,
}

SOURCES: dict[str, str] = {
    "mlp": "multilayer perceptron on functionals or pooled frames (ours)",
    "timnet": "Ye et al., Temporal Modeling Matters, ICASSP 2023",
    "am_resnet": "Li & Zhang, Cross-feature fusion SER based on attention mask residual network "
    "and Wav2vec 2.0, Digital Communications and Networks 11(5), 2025",
}


def make_head(name: str, n_features: int, n_classes: int, **params: Any) -> nn.Module:
    """Build the head `name`; its initial weights come from torch's present random state.

    Parameters
    ----------
    name : a key of `HEADS`.
    n_features, n_classes : columns of a frame; logits.
    params : the keyword arguments of the head.

    Raises
    ------
    UnknownNameError : no such head, or it has no such parameter.
    """
    if name not in HEADS:
        raise did_you_mean("head", name, HEADS)
    known = set(inspect.signature(HEADS[name]).parameters) - {"n_features", "n_classes"}
    for param in params:
        if param not in known:
            raise did_you_mean("parameter", param, known, where=f"head {name}")
    return HEADS[name](n_features, n_classes, **params)
