"""Transformer encoder over the frames of a clip.

Sources: Vaswani et al., "Attention is all you need", NeurIPS 2017; layer norm in front of each
part ("pre-norm") after Xiong et al., "On layer normalization in the transformer architecture", ICML
2020; for emotion, Tarantino, Garner & Lazaridis, "Self-attention for speech emotion recognition",
Interspeech 2019, in whose spirit this one is. It is not a copy of theirs: what was at hand was
their abstract, and their "global windowing" is not here. The slides of this project name "Zhang et
al. 2019" for the first transformer on speech emotion; no such paper was found (that year's paper of
Zhang, Wu & Schuller has attention, but behind a convolutional GRU).

The equations
-------------
Attention   softmax(Q K^T / sqrt(d)) V, in h heads of d = width / h columns each; a frame of padding
            is no key: its weight is 0.
Layer       x = x + Attention(LN(x));  x = x + W_2 GELU(W_1 LN(x) + b_1) + b_2
Positions   PE(t, 2i) = sin(t / 10000^(2i / width)),  PE(t, 2i + 1) = cos(t / 10000^(2i / width))

What the sources leave open (ours)
----------------------------------
* Sizes: 4 layers, 4 heads, width 256, feed-forward 512. A linear layer brings the features to the
  width; the embedding is not multiplied by sqrt(width), for frames are standardised, words are not.
* One more layer norm behind the last layer, as pre-norm needs; then the mean over the frames. Or
  attention over them, or a learnt first frame (CLS), which has no position.
* Glorot initialisation of every matrix.

The training of the specification: AdamW, rate 3e-4, weight decay .01, warm-up over 5 % of the
steps, then cosine, 100 epochs, batches of 32, label smoothing .1.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.layers import AttentionPooling, glorot_, length_mask, masked_mean

__all__ = ["EncoderLayer", "Transformer", "sinusoids"]

CHOICES = {"pooling": ("mean", "attention", "cls"), "positions": ("sinusoidal", "none")}


def sinusoids(n_frames: int, width: int, *, like: Tensor) -> Tensor:
    """Positions (n_frames, width), even columns sine, odd columns cosine; dtype, device of `like`.

    Wavelengths grow from 2 pi frames in columns 0 and 1 to nearly 20000 pi in the last.
    """
    t = torch.arange(n_frames, dtype=like.dtype, device=like.device)
    even = torch.arange(0, width, 2, dtype=like.dtype, device=like.device)  # 2i
    angle = t[:, None] * torch.exp(-math.log(10000.0) * even / width)  # (n_frames, width / 2)
    both = torch.stack([torch.sin(angle), torch.cos(angle)], 2)  # (n_frames, width / 2, 2)
    return both.flatten(1)[:, :width]  # an odd width has one sine more


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward network, each behind its layer norm, each added to x."""

    def __init__(self, width: int, *, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_a = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)  # queries, keys, values
        self.out = nn.Linear(width, width)
        self.norm_b = nn.LayerNorm(width)
        self.wide = nn.Linear(width, feedforward)
        self.narrow = nn.Linear(feedforward, width)
        self.drop = nn.Dropout(dropout)
        for layer in (self.qkv, self.out, self.wide, self.narrow):
            glorot_(layer)

    def attention(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attend from every frame to the valid ones: (batch, frames, width) to the same shape."""
        batch, frames, width = x.shape
        parts = self.qkv(x).view(batch, frames, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (batch, heads, frames, width / heads)
        h = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask[:, None, None, :], dropout_p=self.drop.p * self.training
        )
        mixed: Tensor = self.out(h.transpose(1, 2).reshape(batch, frames, width))
        return mixed

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the weights of the attention, (batch, heads, frames, frames); rows sum to 1."""
        batch, frames, width = x.shape
        parts = self.qkv(self.norm_a(x)).view(batch, frames, 3, self.heads, width // self.heads)
        q, k, _ = parts.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        return torch.softmax(scores.masked_fill(~mask[:, None, None, :], -math.inf), 3)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map x (batch, frames, width), finite everywhere, to the same shape."""
        x = x + self.drop(self.attention(self.norm_a(x), mask))
        wide = self.drop(F.gelu(self.wide(self.norm_b(x))))  # (batch, frames, feedforward)
        y: Tensor = x + self.drop(self.narrow(wide))
        return y


class Transformer(nn.Module):
    """Linear embedding, positions, encoder layers, pooling, a linear classifier.

    Parameters
    ----------
    n_features, n_classes : columns of a frame; logits.
    width : columns inside, a multiple of `heads`.
    heads : of each self-attention.
    layers : encoder layers.
    feedforward : units of the hidden layer of each feed-forward network.
    dropout : probability on the embedding, the attention weights, and in and behind each part.
    pooling : ``"mean"`` of the frames; ``"attention"``, their weighted mean; ``"cls"``, what a
        learnt frame in front of the clip becomes.
    positions : ``"sinusoidal"``, or ``"none"``: then the order of the frames does not count.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        width: int = 256,
        heads: int = 4,
        layers: int = 4,
        feedforward: int = 512,
        dropout: float = 0.1,
        pooling: Literal["mean", "attention", "cls"] = "mean",
        positions: Literal["sinusoidal", "none"] = "sinusoidal",
    ) -> None:
        super().__init__()
        for name, value in (("pooling", pooling), ("positions", positions)):
            if value not in CHOICES[name]:
                raise _bad(f"{name} {value!r}, expected one of {', '.join(CHOICES[name])}")
        if heads < 1 or width % heads:
            raise _bad(f"width {width} with {heads} heads, expected a multiple of the heads")
        self.positions = positions
        self.embed = nn.Linear(n_features, width)
        glorot_(self.embed)
        self.cls = nn.Parameter(0.02 * torch.randn(width)) if pooling == "cls" else None
        self.drop = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(width, heads=heads, feedforward=feedforward, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.attention = AttentionPooling(width) if pooling == "attention" else None
        self.classifier = nn.Linear(width, n_classes)
        glorot_(self.classifier)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        h, mask = self._embedded(x, lengths)
        for layer in self.layers:
            h = layer(h, mask)
        h = self.norm(h)
        if self.cls is not None:
            pooled = h[:, 0]  # (batch, width)
        else:
            pooled = masked_mean(h, mask) if self.attention is None else self.attention(h, mask)
        logits: Tensor = self.classifier(pooled)
        return logits

    def _embedded(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames with positions, behind the learnt one if there is one, and their mask."""
        mask = length_mask(lengths, x.shape[1])  # (batch, frames)
        h = self.embed(x.masked_fill(~mask[:, :, None], 0))  # (batch, frames, width)
        if self.positions == "sinusoidal":
            h = h + sinusoids(h.shape[1], h.shape[2], like=self.embed.weight)
        if self.cls is not None:
            h = torch.cat([self.cls.expand(len(h), 1, -1), h], 1)  # (batch, 1 + frames, width)
            mask = F.pad(mask, (1, 0), value=True)
        return self.drop(h), mask

    def explanation(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Look inside, see `serfeat.heads`: all (batch, frames).

        Returns
        -------
        ``attention_last``: the weights of the last layer, mean over its heads and over the frames
        that ask (``pooling="cls"``: the learnt frame alone asks, and what it gives to itself is
        left out of the sum). ``attention`` of the pooling, if it has one. ``evidence``, but for
        ``"cls"``. Layers mix the frames: what counts at a frame need not be in it.
        """
        h, mask = self._embedded(x, lengths)
        before = h
        for layer in self.layers:
            before, h = h, layer(h, mask)
        layer = self.layers[-1]
        assert isinstance(layer, EncoderLayer)
        last = layer.weights(before, mask).mean(1)  # (batch, asking, asked)
        if self.cls is not None:
            asked = last[:, 0, 1:]
            return {"attention_last": asked / asked.sum(1, keepdim=True)}
        h = self.norm(h)
        found = {"attention_last": masked_mean(last, mask)}
        weights = mask.to(h.dtype) / lengths[:, None]
        if self.attention is not None:
            weights = found["attention"] = self.attention.weights(h, mask)
        winner = self.classifier.weight[self(x, lengths).argmax(1)]  # (batch, width)
        each = torch.einsum("btw,bw->bt", h, winner).masked_fill(~mask, 0)
        return {**found, "evidence": each * weights}


def _bad(message: str) -> ModelError:
    return ModelError(message, where="head transformer", code="bad-parameter")
