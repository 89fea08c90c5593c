"""Recurrent networks: plain RNN, LSTM and GRU over the frames of a clip.

Sources: Elman, "Finding structure in time", 1990; Hochreiter & Schmidhuber, "Long short-term
memory", 1997, with the forget gate of Gers, Schmidhuber & Cummins, 2000; Cho et al., "Learning
phrase representations using RNN encoder-decoder", 2014. The attention over frames is that of
Mirsamadi, Barsoum & Zhang, "Automatic speech emotion recognition using recurrent neural networks
with local attention", ICASSP 2017.

The equations
-------------
x_t is a frame, h_t the state, sigma the logistic function, * the product of elements; each W, U, b
belongs to the gate of its letter. These are the forms that torch computes.

RNN     h_t = tanh(W x_t + U h_{t-1} + b)

LSTM    i_t = sigma(W_i x_t + U_i h_{t-1} + b_i)        input gate
        f_t = sigma(W_f x_t + U_f h_{t-1} + b_f)        forget gate
        o_t = sigma(W_o x_t + U_o h_{t-1} + b_o)        output gate
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)         candidate
        c_t = f_t * c_{t-1} + i_t * g_t                 cell
        h_t = o_t * tanh(c_t)

GRU     r_t = sigma(W_r x_t + U_r h_{t-1} + b_r)        reset gate
        z_t = sigma(W_z x_t + U_z h_{t-1} + b_z)        update gate
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + b_hn))
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

(In Cho et al. r_t multiplies h_{t-1} before U_n does; behind it, as here, is torch's convention.)

The article that this project started from prints others: gates under the name of a plain RNN, which
has none, and an LSTM whose forget and output gates do not see x_t. Those are slips, not variants;
they are not offered here.

Both directions of time run over the valid frames alone: what comes after the end of a clip reaches
no state before it, and the backward direction reads the valid frames reversed. The states are those
of torch's packed sequences (the tests compare them), which take several times as long on a CPU.

What the papers leave open (ours)
---------------------------------
Two bidirectional layers of 128 units, dropout between the layers and before the classifier, and a
forget bias that starts 1 higher than torch's, so that an untrained cell remembers (Jozefowicz,
Zaremba & Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from serfeat.errors import ModelError
from serfeat.heads.layers import AttentionPooling, length_mask, masked_mean, reverse_valid

__all__ = ["CELLS", "Recurrent"]

CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
POOLINGS = ("last", "mean", "attention")


class Recurrent(nn.Module):
    """Recurrent layers, pooling over the frames, a linear classifier.

    Parameters
    ----------
    n_features, n_classes : columns of a frame; logits.
    cell : ``"rnn"``, ``"lstm"`` or ``"gru"``.
    hidden : units of each layer and direction.
    layers : recurrent layers, one upon the other.
    bidirectional : a second stream runs from the last frame to the first; the states of both are
        joined after each layer.
    dropout : probability between the layers and before the classifier.
    pooling : ``"last"``, the state after the whole clip: of the last valid frame forward, of the
        first frame backward; ``"mean"`` of the states of all frames; ``"attention"``, their
        weighted mean, see `AttentionPooling`.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        cell: Literal["rnn", "lstm", "gru"] = "lstm",
        hidden: int = 128,
        layers: int = 2,
        bidirectional: bool = True,
        dropout: float = 0.3,
        pooling: Literal["last", "mean", "attention"] = "attention",
    ) -> None:
        super().__init__()
        for name, value, known in (("cell", cell, CELLS), ("pooling", pooling, POOLINGS)):
            if value not in known:
                raise _bad(f"{name} {value!r}, expected one of {', '.join(known)}")
        if min(layers, hidden) < 1:
            raise _bad(f"{layers} layers of {hidden} units, expected at least one of each")
        self.pooling = pooling
        directions = 2 if bidirectional else 1
        width = directions * hidden
        self.layers = nn.ModuleList(
            nn.ModuleList(
                CELLS[cell](width if i else n_features, hidden, batch_first=True)
                for _ in range(directions)
            )
            for i in range(layers)
        )
        if cell == "lstm":
            for name, parameter in self.layers.named_parameters():
                if name.endswith("bias_ih_l0"):  # b of the equations is bias_ih + bias_hh
                    with torch.no_grad():
                        parameter[hidden : 2 * hidden] += 1  # torch's order: i, f, g, o
        self.attention = AttentionPooling(width) if pooling == "attention" else None
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, n_classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        h, states, mask = self._run(x, lengths)
        if self.pooling == "last":
            clips = torch.arange(len(h), device=h.device)
            last = states[0][clips, lengths - 1]  # (batch, hidden), of the last valid frame
            pooled = torch.cat([last, *(s[:, 0] for s in states[1:])], 1)
        else:
            pooled = masked_mean(h, mask) if self.attention is None else self.attention(h, mask)
        logits: Tensor = self.classifier(self.drop(pooled))
        return logits

    def _run(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """States of the last layer (batch, frames, width), by direction too, and the mask."""
        mask = length_mask(lengths, x.shape[1])  # (batch, frames)
        h = x.masked_fill(~mask[:, :, None], 0)
        states: list[Tensor] = []  # of one layer, by direction: (batch, frames, hidden)
        for i, layer in enumerate(self.layers):
            states = _states(layer, self.drop(h) if i else h, lengths)
            h = torch.cat(states, 2)  # (batch, frames, directions * hidden)
        return h, states, mask

    def explanation(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Look inside, see `serfeat.heads`: ``attention`` and ``evidence``, both (batch, frames).

        Nothing for ``pooling="last"``, ``evidence`` alone for ``"mean"``. A state has seen the
        frames around its own: what counts at a frame need not be in it.
        """
        if self.pooling == "last":
            return {}
        h, _, mask = self._run(x, lengths)
        weights = mask.to(h.dtype) / lengths[:, None]
        found = {}
        if self.attention is not None:
            weights = found["attention"] = self.attention.weights(h, mask)
        winner = self.classifier.weight[self(x, lengths).argmax(1)]  # (batch, width)
        each = torch.einsum("btw,bw->bt", h, winner).masked_fill(~mask, 0)
        return {**found, "evidence": each * weights}


def _states(layer: Any, h: Tensor, lengths: Tensor) -> list[Tensor]:
    """States of each direction of a layer, each in the order of the clip's frames.

    Those in the padding are finite and mean nothing.
    """
    # cuDNN's layers know no bfloat16 under autocast: they would take float16, whose range small
    # gradients leave.
    with torch.autocast(h.device.type, enabled=False):
        h = h.float() if h.dtype in (torch.bfloat16, torch.float16) else h
        states = [layer[0](h)[0]]
        if len(layer) == 2:
            states.append(reverse_valid(layer[1](reverse_valid(h, lengths))[0], lengths))
    return states


def _bad(message: str) -> ModelError:
    return ModelError(message, where="head rnn", code="bad-parameter")
