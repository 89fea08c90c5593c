"""AMRWC: AM-ResNet and the frames of a pretrained encoder, fused by cross attention.

Source: Li, Zhang, "Cross-feature fusion speech emotion recognition based on attention mask residual
network and Wav2vec 2.0", Digital Communications and Networks 11(5), 2025, pp. 1567-1577,
doi 10.1016/j.dcan.2024.10.007, section 2.3, eq. 13-23. The paper's encoder is wav2vec 2.0 (base,
960 h, last hidden state, frozen); here it is whatever the trailing columns of a frame are.

The network
-----------
Branch a is `AMResNet` on the leading columns, F_a (positions, d). Branch w averages the encoder's
frames down to the same positions, F_w (positions, d) behind a linear layer. Each asks the other
(scaled dot-product attention), keeps the answer beside its own frames, and passes both through a
feed-forward layer with a shortcut; the mean over time of the two results, side by side, is
classified by one layer. Training in two stages: AM-ResNet alone, then, with AM-ResNet as it is, the
rest; see `AMRWC.stage`.

What appended silence changes
-----------------------------
Nothing, whatever the encoder's frames in it: where AM-ResNet sees the clip end, the encoder's
frames end too, and silent positions neither ask nor answer nor count in the mean. With a waveform
that is silence of exact zeros (MADD's) and padding alike; with frames of features, where zeros are
no silence (``zero_is_silence``), it is padding. Outside of this network a real encoder may give
other frames for the same speech when more silence follows it.

What the paper leaves open (ours)
---------------------------------
* d is the width of AM-ResNet, 64; F_w gets there by one linear layer behind the pooling.
* Adaptive pooling runs over the clip's own frames to the clip's own positions, up to the last one
  that is not silent; a pause within is part of it, and its positions are masked like AM-ResNet's.
* One attention head; the projections Q, K, V have no bias (a bias of K would change nothing: it
  adds the same to all scores of a query).
* The feed-forward layer has 4 d hidden units, ReLU, and dropout .1 behind it.
* ``variant="amrwf"``, "AM-ResNet+W2V2+FC" in the paper: the means over time of F_a and F_w side by
  side, one hidden layer of 4 d units (ReLU, dropout), and the classifier.
* ``variant="slides"``: a shorter form in circulation, without the concatenation and its layer norm:
  F'_a = LN(F_{w->a} + FF(F_{w->a})).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from serfeat.errors import ModelError
from serfeat.heads.am_resnet import AMResNet, dealt
from serfeat.heads.layers import adaptive_mean, length_mask, masked_mean

__all__ = ["AMRWC"]

Variant = Literal["amrwc", "amrwf", "slides"]


class Interaction(nn.Module):
    """One direction of eq. 13-23: `own` asks `other`, and goes on with the answer beside itself.

    With own = a: F_{w->a} = softmax(Q_a K_w^T / sqrt d) V_w; then F_{a+w->a} = LN(Concat(F_a,
    F_{w->a})) and F'_a = LN(F_{a+w->a} + FF(F_{a+w->a})). For own = w, a and w change places.
    """

    def __init__(self, width: int, *, heads: int, dropout: float, concatenated: bool) -> None:
        super().__init__()
        self.heads = heads
        self.concatenated = concatenated
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        wide = 2 * width if concatenated else width
        self.norm_joint = nn.LayerNorm(wide) if concatenated else nn.Identity()
        self.feed_forward = nn.Sequential(
            nn.Linear(wide, 4 * width), nn.ReLU(), nn.Linear(4 * width, wide), nn.Dropout(dropout)
        )
        self.norm_out = nn.LayerNorm(wide)

    def _split(self, x: Tensor) -> Tensor:
        """(batch, heads, time, width / heads)."""
        return x.reshape(len(x), x.shape[1], self.heads, -1).transpose(1, 2)

    def weights(self, own: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """softmax(Q K^T / sqrt d): (batch, heads, time of own, time of other), rows sum to 1."""
        q, k = self._split(self.q(own)), self._split(self.k(other))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        return torch.softmax(scores.masked_fill(~mask[:, None, None, :], -math.inf), 3)

    def attend(self, own: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """softmax(Q K^T / sqrt d) V over the valid positions of `other`: (batch, time, width)."""
        answers = self.weights(own, other, mask) @ self._split(self.v(other))
        return answers.transpose(1, 2).flatten(2)

    def forward(self, own: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """Map two (batch, time, width) to (batch, time, 2 width), or width for the slides' form."""
        joint = self.attend(own, other, mask)
        if self.concatenated:
            joint = self.norm_joint(torch.cat([own, joint], 2))
        out: Tensor = self.norm_out(joint + self.feed_forward(joint))
        return out


class AMRWC(nn.Module):
    """AM-ResNet on the leading columns, an encoder's frames in the trailing ones, and their fusion.

    Parameters
    ----------
    n_features, n_classes : columns of a frame, of both branches together; logits.
    n_encoder : the last columns of a frame that are the encoder's.
    n_samples : 0, or all columns that are not the encoder's: they are samples, see `AMResNet`.
    variant : ``"amrwc"``, cross attention; ``"amrwf"``, its ablation by concatenation;
        ``"slides"``, see the module's docstring.
    width : d, channels of AM-ResNet and of the fusion.
    attention_heads : must divide `width`.
    dropout : probability in the fusion.
    am_resnet : the `variant` of the AM-ResNet.
    strides, zero_is_silence, fixed_length, bn_statistics : of the AM-ResNet.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        n_encoder: int = 0,
        n_samples: int = 0,
        variant: Variant = "amrwc",
        width: int = 64,
        attention_heads: int = 1,
        dropout: float = 0.1,
        am_resnet: Literal["amr", "mr", "resnet"] = "amr",
        strides: Sequence[int] | None = None,
        zero_is_silence: bool | None = None,
        fixed_length: int | None = None,
        bn_statistics: Literal["valid", "paper"] = "valid",
    ) -> None:
        super().__init__()
        _check(n_features, n_encoder, variant, width, attention_heads)
        self.n_classes = n_classes
        self.n_encoder = n_encoder
        self.width = width
        self.present_stage: int | None = None
        self.am_resnet = AMResNet(
            n_features - n_encoder,
            0,  # no classifier of its own; `stage` gives it one for a while
            n_samples=n_samples,
            width=width,
            strides=strides,
            variant=am_resnet,
            zero_is_silence=zero_is_silence,
            fixed_length=fixed_length,
            bn_statistics=bn_statistics,
        )
        self.project = nn.Linear(n_encoder, width)
        self.interactions = nn.ModuleList()
        if variant == "amrwf":
            self.classifier: nn.Module = nn.Sequential(
                nn.Linear(2 * width, 4 * width),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4 * width, n_classes),
            )
            return
        concatenated = variant == "amrwc"
        self.interactions.extend(
            Interaction(width, heads=attention_heads, dropout=dropout, concatenated=concatenated)
            for _ in range(2)
        )
        self.classifier = nn.Linear((4 if concatenated else 2) * width, n_classes)

    n_stages = 2  # that `stage` knows

    def stage(self, i: int) -> None:
        """Begin a stage of the paper's training; a head that is never told trains all at once.

        Stage 0: AM-ResNet alone, and `forward` returns the logits of a classifier of its own, which
        exists in this stage only. Stage 1: the fusion alone; AM-ResNet keeps its weights and its
        batch statistics. What is trained last is the whole network, as if there were no stages.

        Raises
        ------
        ModelError : a third stage.
        """
        if not 0 <= i < self.n_stages:
            raise ModelError(
                f"stage {i}, expected 0 (AM-ResNet alone) or 1 (the fusion)",
                where="head amrwc",
                code="bad-parameter",
            )
        self.present_stage = i
        like = self.am_resnet.stem.weight
        self.am_resnet.classifier = nn.Identity()
        if i == 0:
            alone = nn.Linear(self.width, self.n_classes, device=like.device, dtype=like.dtype)
            self.am_resnet.classifier = alone
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith("am_resnet.") == (i == 0))
        self.train(self.training)

    def train(self, mode: bool = True) -> AMRWC:
        """As in torch; in stage 1 the AM-ResNet stays in evaluation mode."""
        super().train(mode)
        if self.present_stage == 1:
            self.am_resnet.eval()
        return self

    def branches(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """F_a, F_w (batch, positions, width), and which positions are valid (batch, positions)."""
        n_first = x.shape[2] - self.n_encoder
        h, masks, end = self.am_resnet.encode(x[:, :, :n_first], lengths)
        a = h.transpose(1, 2)
        step = self.am_resnet.n_samples or 1  # steps of time in a frame
        encoder = x[:, :, n_first:].masked_fill(~length_mask(lengths, x.shape[1])[:, :, None], 0)
        # (batch,) up to the end that AM-ResNet saw; filled up to a fixed length, zeros follow.
        n_frames = -(-end // step)
        pooled = adaptive_mean(encoder, n_frames, masks.inside.sum(1), a.shape[1])
        return a, self.project(pooled), masks.speech

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        logits: Tensor
        if self.present_stage == 0:
            logits = self.am_resnet(x[:, :, : x.shape[2] - self.n_encoder], lengths)
            return logits
        a, w, mask = self.branches(x, lengths)
        if self.interactions:
            ask_w, ask_a = self.interactions
            a, w = ask_w(a, w, mask), ask_a(w, a, mask)  # F'_a, F'_w
        pooled = masked_mean(torch.cat([a, w], 2), mask)  # F_c, averaged over time
        logits = self.classifier(pooled)
        return logits

    def explanation(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Look inside, see `serfeat.heads`.

        Returns
        -------
        ``mask``, ``gate`` of AM-ResNet. ``attention_encoder``, ``attention_resnet``, (batch,
        frames): how much a branch is asked at a position, mean over the valid positions that ask
        and the heads, dealt to the frames of the position; the sum is 1. ``evidence`` but for
        ``"amrwf"``, whose classifier is not linear.
        """
        n_first = x.shape[2] - self.n_encoder
        own = self.am_resnet.explanation(x[:, :, :n_first], lengths)
        if self.present_stage == 0:
            return own
        found = {name: own[name] for name in own if name != "evidence"}
        if not isinstance(self.classifier, nn.Linear):  # "amrwf", which has no attention either
            return found
        _, masks, end = self.am_resnet.encode(x[:, :, :n_first], lengths)
        cover = self.am_resnet.coverage(masks, end, lengths, x.shape[1])
        a, w, mask = self.branches(x, lengths)
        ask_w, ask_a = self.interactions
        for name, ask, asking, asked in (
            ("attention_encoder", ask_w, a, w),
            ("attention_resnet", ask_a, w, a),
        ):
            assert isinstance(ask, Interaction)
            weights = ask.weights(asking, asked, mask).mean(1)  # (batch, asking, asked)
            found[name] = dealt(masked_mean(weights, mask), cover)
        joined = torch.cat([ask_w(a, w, mask), ask_a(w, a, mask)], 2)
        winner = self.classifier.weight[self(x, lengths).argmax(1)]
        each = torch.einsum("bpw,bw->bp", joined, winner).masked_fill(~mask, 0)
        return {**found, "evidence": dealt(each / mask.sum(1, keepdim=True), cover)}


def _check(n_features: int, n_encoder: int, variant: str, width: int, heads: int) -> None:
    where, code = "head amrwc", "bad-parameter"
    if variant not in get_args(Variant):
        raise ModelError(
            f"variant {variant!r}, expected one of {', '.join(get_args(Variant))}",
            where=where,
            code=code,
        )
    if not 0 < n_encoder < n_features:
        raise ModelError(
            f"n_encoder {n_encoder} of {n_features} columns, expected from 1 to {n_features - 1}",
            where=where,
            code=code,
            fix="add an encoder's frames to the features, behind the other columns, and set "
            "n_encoder to the number of its columns",
        )
    if heads < 1 or width % heads:
        raise ModelError(
            f"attention_heads {heads}, expected a divisor of width {width}", where=where, code=code
        )
