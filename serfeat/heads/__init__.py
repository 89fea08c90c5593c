"""Neural heads: one readable file for each network.

A head is a `torch.nn.Module` made by ``factory(n_features, n_classes, **params)`` whose
``forward(x (batch, frames, features), lengths (batch,))`` returns logits (batch, n_classes). In
evaluation mode, padding of any content and length changes nothing: what a clip gets does not depend
on its neighbours in the batch. A head knows nothing of corpora, labels or training; the one
training loop is `serfeat.models.torch_classifier`. The tests in tests/heads/test_contract.py hold
every entry of `HEADS` to this.

Some can be looked into: ``explanation(x, lengths)``, in evaluation mode, gives a tensor for each
name, and changes nothing of what `forward` does:

* ``attention...`` (batch, frames): weights over time, not negative, with sum 1;
* ``gate...``, ``mask`` (batch, frames): 0 to 1, what a frame lets through;
* ``..._scales`` (batch, k): of the k resolutions of time that a head has;
* ``evidence`` (batch, frames): what each frame adds to the logit of the winning class; with the
  classifier's bias the sum is that logit.

After the end of a clip all of them are 0. Attention says where a network looked, not why it decided
(Jain & Wallace, "Attention is not explanation", NAACL 2019); the evidence adds up, but a frame's
share may come from its neighbours, which a recurrent or convolutional layer has mixed into it.

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
from serfeat.heads.amrwc import AMRWC
from serfeat.heads.cnn import CNN1D, ArticleCNN, ParallelCNN
from serfeat.heads.dbn import DBN
from serfeat.heads.dcrn import DCRN
from serfeat.heads.layer_weights import LayerWeights
from serfeat.heads.mlp import MLP
from serfeat.heads.rnn import Recurrent
from serfeat.heads.timnet import TIMNet
from serfeat.heads.transformer import Transformer

__all__ = ["HEADS", "SOURCES", "make_head"]

HEADS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "dbn": DBN,
    "rnn": Recurrent,
    "dcrn": DCRN,
    "article_cnn": ArticleCNN,
    "parallel_cnn": ParallelCNN,
    "cnn1d": CNN1D,
    "transformer": Transformer,
    "timnet": TIMNet,
    "am_resnet": AMResNet,
    "amrwc": AMRWC,
    "layer_weights": LayerWeights,
}

SOURCES: dict[str, str] = {
    "mlp": "multilayer perceptron on functionals or pooled frames (ours)",
    "dbn": "Hinton & Salakhutdinov 2006; Hinton, A practical guide to training RBMs, 2012",
    "rnn": "Elman 1990; Hochreiter & Schmidhuber 1997; Cho et al. 2014; attention of Mirsamadi et "
    "al., ICASSP 2017",
    "dcrn": "Trigeorgis et al., Adieu features?, ICASSP 2016",
    "article_cnn": "the 2-D example of an introductory article, 645 699 parameters",
    "parallel_cnn": "Aldeneh & Mower Provost, Using regional saliency for SER, ICASSP 2017",
    "cnn1d": "blocks of Zhao, Mao & Chen, Biomedical Signal Processing and Control 47, 2019",
    "transformer": "Vaswani et al. 2017, pre-norm; in the spirit of Tarantino et al., Interspeech "
    "2019",
    "timnet": "Ye et al., Temporal Modeling Matters, ICASSP 2023",
    "am_resnet": "Li & Zhang, Cross-feature fusion SER based on attention mask residual network "
    "and Wav2vec 2.0, Digital Communications and Networks 11(5), 2025",
    "amrwc": "Li & Zhang 2025 (see am_resnet), fused with a pretrained encoder by cross attention",
    "layer_weights": "the emotion task of SUPERB, Yang et al., Interspeech 2021",
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
