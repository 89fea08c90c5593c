"""Causal TIM-Net on a stream: frames in, logits of the speech so far out.

A causal network (``model = "timnet"`` with ``causal = true`` in a recipe) has the forward stream
alone: every convolution sees its own frame and earlier ones. So the last inputs of each convolution
are all that has to be kept, 2 (2^n - 1) frames for n blocks of two taps, and each new frame costs
the same, however long the stream. The layers are those of `serfeat.heads.timnet`, run on what is
new with what was kept before it.

The average over the clip becomes one over the past: of all frames (then the logits are
`TIMNet.frame_logits`, up to rounding), or with weights that fade, so that a change of emotion shows
after seconds and not after minutes.

Contents
--------
`CausalTIMNet` : the network and what it remembers.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from serfeat.errors import ModelError
from serfeat.heads.layers import CausalConv1d
from serfeat.heads.timnet import TemporalAwareBlock, TIMNet
from serfeat.types import Floats32

__all__ = ["CausalTIMNet"]


class CausalTIMNet:
    """A trained causal TIM-Net that takes its frames piece by piece.

    Parameters
    ----------
    head : a `TIMNet` with ``causal=True``; it is put into evaluation mode.
    memory : frames after which a frame's weight in the average has fallen to 1/e; None: all frames
        weigh the same for ever, as in the batch.

    Raises
    ------
    ModelError : a network that looks at later frames.
    """

    def __init__(self, head: nn.Module, *, memory: float | None = None) -> None:
        if not isinstance(head, TIMNet) or head.backward_stream is not None:
            raise ModelError(
                f"{type(head).__name__} looks at later frames, a stream has none",
                where="stream",
                code="not-causal",
                fix="train timnet with causal = true, or predict over a sliding window",
            )
        if memory is not None and not memory > 0:
            raise ModelError(
                f"a memory of {memory} frames", where="stream", code="bad-parameter",
                fix="a positive number, or none",
            )  # fmt: skip
        self._head = head.eval()
        self._fade = 1.0 if memory is None else float(np.exp(-1.0 / memory))
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame is the first."""
        self._past: list[Tensor] = []
        for block in self._blocks():
            for conv in (block.conv_a, block.conv_b):
                n_in, kernel = conv.weight.shape[1], conv.weight.shape[2]
                # What is before the first frame is zero, as the padding of the batch is.
                self._past.append(conv.weight.new_zeros(1, (kernel - 1) * conv.dilation, n_in))
        self._sum = torch.zeros(self._head.classifier.in_features, dtype=torch.float64)
        self._weight = 0.0

    @property
    def frames_kept(self) -> int:
        """Frames that all convolutions together remember."""
        return sum(past.shape[1] for past in self._past)

    @torch.no_grad()
    def push(self, frames: ArrayLike) -> Floats32:
        """Take (n, features) prepared frames and return (n, classes) logits of what came so far."""
        weight = self._head.classifier.weight
        x = torch.from_numpy(np.array(frames)).to(weight.dtype)[None]  # (1, n, features)
        g = self._fused(x)[0].double()  # (n, filters)
        averages = torch.empty_like(g)
        for t, now in enumerate(g):
            self._sum = self._fade * self._sum + now
            self._weight = self._fade * self._weight + 1.0
            averages[t] = self._sum / self._weight
        logits = self._head.classifier(averages.to(weight.dtype))
        return np.asarray(logits.numpy(), dtype=np.float32)

    def _blocks(self) -> list[TemporalAwareBlock]:
        return [cast(TemporalAwareBlock, b) for b in self._head.forward_stream.blocks]

    def _fused(self, x: Tensor) -> Tensor:
        """(1, n, filters) what is averaged over time, of n new frames."""
        head = self._head
        mask = torch.ones(x.shape[:2], dtype=torch.bool)
        h = head.forward_stream.stem(x)
        scales = []
        for j, block in enumerate(self._blocks()):
            a = self._convolve(block.conv_a, h, 2 * j)
            a = torch.relu_(block.norm_a(a, mask))
            b = self._convolve(block.conv_b, a, 2 * j + 1)
            b = torch.relu_(block.norm_b(b, mask))
            h = h * torch.sigmoid(b) if block.gated else torch.relu(h + b)
            scales.append(h)
        if head.variant in ("no_ms", "tcn"):
            return scales[-1]
        if head.fusion is None:
            return torch.stack(scales).mean(0)
        return torch.einsum("n,nbtf->btf", head.fusion, torch.stack(scales))

    def _convolve(self, conv: CausalConv1d, x: Tensor, i: int) -> Tensor:
        """Convolve what is new, with what was kept before it, and keep the end for the next."""
        kept = self._past[i].shape[1]
        joined = torch.cat([self._past[i], x], 1)
        self._past[i] = joined[:, joined.shape[1] - kept :]
        n = x.shape[1]
        out: Tensor = conv.bias
        for tap in range(conv.weight.shape[2]):
            first = tap * conv.dilation
            out = out + functional.linear(joined[:, first : first + n], conv.weight[:, :, tap])
        return out
