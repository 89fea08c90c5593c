"""TIM-Net: temporal-aware bi-directional multi-scale network.

Source: Ye, Wen, Wei, Xu, Liu, Wang, Shan, "Temporal Modeling Matters: A Novel Temporal Emotional
Modeling Approach for Speech Emotion Recognition", ICASSP 2023. Written from the equations and
from the published sizes; no code of the authors is used. The logits and the parameter counts are
those of the authors' network (see tests/heads/test_timnet.py).

The network
-----------
Two streams, the clip and its time reversal, each with its own weights. A 1x1 convolution, then n
temporal-aware blocks (TABs) with dilations 1, 2, 4, ...; every TAB gates its input with a number
between 1/2 and 1 that it computes from the past. The sum of both streams, averaged over time, is
the scale g_j; a learnt weighting of the n scales feeds the classifier.

All that follows the streams is linear, so that every frame has logits of its own and the logits of
a clip are their mean: `TIMNet.frame_logits`. With ``causal=True`` there is the forward stream
alone, and frame t has the logits of the clip if it ended there: what a stream of audio can show
while it comes in. (In evaluation; batch statistics in training see the whole clip.)

What the paper leaves open, or does otherwise (ours)
----------------------------------------------------
The authors pad or cut every clip to one length; here the clips keep theirs, the padding of a batch
is masked (batch statistics, time reversal, time average), and on clips of one length both are the
same. Batch normalisation follows Keras, in which the authors trained: eps 1e-3, momentum 0.99,
biased running variance.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from serfeat.errors import ModelError
from serfeat.heads.fused import convolved
from serfeat.heads.layers import (
    CausalConv1d,
    MaskedBatchNorm,
    SpatialDropout,
    glorot_,
    length_mask,
    masked_mean,
    reverse_valid,
)

__all__ = ["TIMNet"]

Variant = Literal["full", "no_bd", "no_ms", "no_df", "tcn"]


class TemporalAwareBlock(nn.Module):
    """One TAB: two rounds of causal convolution, batch norm, ReLU, dropout; then the gate.

    ``out = x * sigmoid(h)``. As h >= 0 after its ReLU, the gate lies in [1/2, 1). With
    ``gated=False`` it is the block of a plain TCN instead: ``out = ReLU(x + h)``.
    """

    def __init__(
        self, filters: int, *, kernel: int, dilation: int, dropout: float, gated: bool
    ) -> None:
        super().__init__()
        self.gated = gated
        self.conv_a = CausalConv1d(filters, filters, kernel=kernel, dilation=dilation)
        self.norm_a = MaskedBatchNorm(filters)
        self.conv_b = CausalConv1d(filters, filters, kernel=kernel, dilation=dilation)
        self.norm_b = MaskedBatchNorm(filters)
        self.drop = SpatialDropout(dropout)

    def activity(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return h (batch, frames, filters), not negative: the gate is sigmoid(h)."""
        h = convolved(x, self.conv_a, self.norm_a, self.drop, mask)
        return convolved(h, self.conv_b, self.norm_b, self.drop, mask)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map x (batch, frames, filters) to the same shape."""
        h = self.activity(x, mask)
        return x * torch.sigmoid(h) if self.gated else torch.relu(x + h)


class Stream(nn.Module):
    """One direction of time: the 1x1 convolution and the chain of blocks."""

    def __init__(
        self,
        n_features: int,
        filters: int,
        *,
        n_dilations: int,
        kernel: int,
        dropout: float,
        gated: bool,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(n_features, filters)  # a 1x1 convolution over frames
        glorot_(self.stem)
        self.blocks = nn.ModuleList(
            TemporalAwareBlock(filters, kernel=kernel, dilation=2**j, dropout=dropout, gated=gated)
            for j in range(n_dilations)
        )

    def forward(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """Return the output of every block, n times (batch, frames, filters)."""
        h = self.stem(x)
        scales = []
        for block in self.blocks:
            h = block(h, mask)
            scales.append(h)
        return scales

    def gates(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the gates, averaged over channels and blocks: (batch, frames)."""
        h, gates = self.stem(x), []
        for block in self.blocks:
            assert isinstance(block, TemporalAwareBlock)
            gates.append(torch.sigmoid(block.activity(h, mask)).mean(2))
            h = block(h, mask)
        return torch.stack(gates).mean(0)


class TIMNet(nn.Module):
    """TIM-Net and its ablations.

    Parameters
    ----------
    n_features, n_classes : columns of a frame (the paper: 39 MFCCs); logits.
    filters : channels of both streams.
    n_dilations : blocks in a stream; the last one sees ``1 + 2 * (kernel - 1) * (2**n - 1)``
        frames. The paper: 8, and 10 for IEMOCAP.
    kernel : taps of a convolution.
    dropout : probability that a channel of a clip is dropped after each convolution.
    variant : the ablations of the paper.
        ``"full"``; ``"no_bd"``, no bi-direction: the forward stream alone;
        ``"no_ms"``, no multi-scale: the last scale alone; ``"no_df"``, no dynamic fusion: the
        plain mean of the scales; ``"tcn"``: forward, residual blocks without gates, the last
        block alone (the paper does not define its TCN; this one is ours).
    causal : the forward stream alone, whatever the variant (``"full"`` is then ``"no_bd"``), and
        `frame_logits` that no later frame changes.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        filters: int = 39,
        n_dilations: int = 8,
        kernel: int = 2,
        dropout: float = 0.1,
        variant: Variant = "full",
        causal: bool = False,
    ) -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise ModelError(
                f"variant {variant!r}, expected one of {', '.join(get_args(Variant))}",
                where="head timnet",
                code="bad-parameter",
            )
        self.variant = variant
        self.causal = causal

        def stream() -> Stream:
            return Stream(
                n_features,
                filters,
                n_dilations=n_dilations,
                kernel=kernel,
                dropout=dropout,
                gated=variant != "tcn",
            )

        self.forward_stream = stream()
        forward_only = causal or variant in ("no_bd", "tcn")
        self.backward_stream = None if forward_only else stream()
        self.fusion: nn.Parameter | None = None
        if variant in ("full", "no_bd"):
            # Free weights, neither normalised nor positive; Keras' "uniform" initialisation.
            self.fusion = nn.Parameter(torch.empty(n_dilations).uniform_(-0.05, 0.05))
        self.classifier = nn.Linear(filters, n_classes)
        glorot_(self.classifier)

    def _scales(self, x: Tensor, lengths: Tensor, *, turned: bool) -> tuple[list[Tensor], Tensor]:
        """Sum of both streams, n times (batch, frames, filters), and the mask (batch, frames).

        Frame t of the backward stream is frame (last - t) of the clip; `turned`: turn it round
        again before it is added.
        """
        mask = length_mask(lengths, x.shape[1])  # (batch, frames)
        x = x.masked_fill(~mask[:, :, None], 0)
        scales = self.forward_stream(x, mask)
        if self.backward_stream is not None:
            reversed_scales = self.backward_stream(reverse_valid(x, lengths), mask)
            if turned:
                reversed_scales = [reverse_valid(b, lengths) for b in reversed_scales]
            scales = [f + b for f, b in zip(scales, reversed_scales, strict=True)]
        return scales, mask

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        # The authors do not turn the backward stream round: the average does not see it.
        scales, mask = self._scales(x, lengths, turned=False)
        if self.variant in ("no_ms", "tcn"):
            g = masked_mean(scales[-1], mask)  # (batch, filters)
        else:
            g_j = torch.stack([masked_mean(s, mask) for s in scales])  # (n, batch, filters)
            g = g_j.mean(0) if self.fusion is None else torch.einsum("n,nbf->bf", self.fusion, g_j)
        logits: Tensor = self.classifier(g)
        return logits

    def frame_logits(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify every frame: (batch, frames, n_classes), 0 after the end of a clip.

        Frame t has its own logits, from both streams at t; their mean over the clip is what
        `forward` returns. With `causal` it has the mean of those of the frames up to t; the one of
        the last frame is what `forward` returns.
        """
        scales, mask = self._scales(x, lengths, turned=True)
        if self.variant in ("no_ms", "tcn"):
            g = scales[-1]  # (batch, frames, filters)
        elif self.fusion is None:
            g = torch.stack(scales).mean(0)
        else:
            g = torch.einsum("n,nbtf->btf", self.fusion, torch.stack(scales))
        if self.causal:
            count = torch.arange(1, g.shape[1] + 1, device=g.device)
            g = g.cumsum(1) / count[:, None]
        logits: Tensor = self.classifier(g).masked_fill(~mask[:, :, None], 0)
        return logits

    def explanation(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Look inside, see `serfeat.heads`: gates, what each scale and each frame adds.

        Returns
        -------
        ``gate_forward``, ``gate_backward`` (batch, frames): mean of a direction's gates, 1/2 to 1,
        at the frame that they act on. ``fusion_scales`` (batch, n): the learnt weights, the same
        for every clip, of either sign. ``winner_scales`` (batch, n): what each scale adds to the
        winning logit. ``evidence`` (batch, frames).
        """
        mask = length_mask(lengths, x.shape[1])
        x = x.masked_fill(~mask[:, :, None], 0)
        found: dict[str, Tensor] = {}
        if self.variant != "tcn":
            found["gate_forward"] = self.forward_stream.gates(x, mask)
            if self.backward_stream is not None:
                turned = self.backward_stream.gates(reverse_valid(x, lengths), mask)
                found["gate_backward"] = reverse_valid(turned[:, :, None], lengths)[:, :, 0]
            found = {name: gate.masked_fill(~mask, 0) for name, gate in found.items()}
        scales, _ = self._scales(x, lengths, turned=True)
        if self.variant in ("no_ms", "tcn"):
            scales = scales[-1:]
        weights = x.new_full((len(scales),), 1 / len(scales))
        if self.fusion is not None:
            weights = self.fusion.detach()
            found["fusion_scales"] = weights.expand(len(x), -1)
        winner = self.classifier.weight[self(x, lengths).argmax(1)]  # (batch, filters)
        each = torch.einsum("n,nbtf,bf->nbt", weights, torch.stack(scales), winner)
        each = each.masked_fill(~mask, 0) / lengths[:, None]
        if len(scales) > 1:
            found["winner_scales"] = each.sum(2).T
        return {**found, "evidence": each.sum(0)}
