"""AM-ResNet: residual network with a mask for silence, and attention over time.

Source: Li, Zhang, "Cross-feature fusion speech emotion recognition based on attention mask residual
network and Wav2vec 2.0", Digital Communications and Networks 11(5), 2025, pp. 1567-1577,
doi 10.1016/j.dcan.2024.10.007, sections 2.2.2 and 2.2.3, eq. 3-9. This is the first stage of the
paper's system, without the wav2vec branch.

The idea: batch normalisation moves silence and zero padding away from 0, and later layers take
them for speech. So a mask accompanies the signal, passes a max-pooling with the kernel, stride and
padding of every convolution beside it (a position is valid if its receptive field holds any
speech), and multiplies what every normalisation puts out.

What the paper leaves open (ours)
---------------------------------
* Strides, number of blocks: a stem and 6 blocks with strides 4 | 4 4 4 4 2 2 for a waveform
  (64000 samples -> 32 positions) and 1 | 2 2 2 2 1 1 for frames (280 frames -> 18 positions).
* Where a convolution strides, the shortcut is a 1x1 convolution with the same stride.
* Batch statistics count valid positions only (``bn_statistics="valid"``); ``"paper"`` counts
  silence too.
* The max-pooling spreads the mask into silence between words, but not past the last valid sample:
  a clip alone ends there, and so it must in a longer batch. With this, appended padding or silence
  of any length changes no logit.
* The attention's convolution has kernel 3.
* A clip in which nothing is valid is valid everywhere (never an empty mask).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.layers import MaskedBatchNorm, length_mask

__all__ = ["FRAME_STRIDES", "WAVEFORM_STRIDES", "AMResNet"]

Variant = Literal["amr", "mr", "resnet"]
WAVEFORM_STRIDES = (4, 4, 4, 4, 4, 2, 2)
FRAME_STRIDES = (1, 2, 2, 2, 2, 1, 1)
KERNEL = 7


class Masks(NamedTuple):
    """What is valid at the present time resolution, both (batch, time) bool.

    speech : the receptive field holds speech; multiplies the activations.
    inside : before the end of the clip.
    """

    speech: Tensor
    inside: Tensor

    def after_conv(self, stride: int) -> Masks:
        """Return the masks beside a convolution: the same kernel, stride and padding."""
        reach = F.max_pool1d(self.speech.float(), KERNEL, stride, padding=KERNEL // 2) > 0
        inside = self.inside[:, ::stride]  # position p is centred on input p * stride
        return Masks(reach & inside, inside)


class MaskedNorm(nn.Module):
    """Batch normalisation times the mask: silence and padding stay exactly 0."""

    def __init__(self, channels: int, *, statistics: str) -> None:
        super().__init__()
        self.over_speech = statistics == "valid"
        self.norm = MaskedBatchNorm(channels, eps=1e-5, momentum=0.1, time_last=True)

    def forward(self, x: Tensor, masks: Masks) -> Tensor:
        """Normalise x (batch, channels, time)."""
        y = self.norm(x, masks.speech if self.over_speech else masks.inside)
        masked: Tensor = y * masks.speech[:, None, :]
        return masked


class ResBlock(nn.Module):
    """Pre-activation block, eq. 4: x' = ReLU(BN(x)) m;  x_next = shortcut(x') + F(x').

    F is Conv7 - BN m - ReLU - Conv7; the first convolution strides.
    """

    def __init__(self, width: int, stride: int, *, statistics: str) -> None:
        super().__init__()
        self.stride = stride
        self.norm_a = MaskedNorm(width, statistics=statistics)
        self.conv_a = nn.Conv1d(width, width, KERNEL, stride, padding=KERNEL // 2)
        self.norm_b = MaskedNorm(width, statistics=statistics)
        self.conv_b = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2)
        self.shortcut = nn.Conv1d(width, width, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor, masks: Masks) -> tuple[Tensor, Masks]:
        """Map x (batch, width, time) to (batch, width, ceil(time / stride)), with its masks."""
        x = torch.relu(self.norm_a(x, masks))
        masks = masks.after_conv(self.stride)
        h = torch.relu(self.norm_b(self.conv_a(x), masks))
        masks = masks.after_conv(1)
        y: Tensor = (self.shortcut(x) + self.conv_b(h)) * masks.speech[:, None, :]
        return y, masks


class AMResNet(nn.Module):
    """AM-ResNet on frames or on a waveform, and its ablations.

    Parameters
    ----------
    n_features, n_classes : channels of the input (1 for a waveform); logits.
    width : channels of the network.
    strides : of the stem and of each block, so ``len(strides) - 1`` blocks. None:
        `WAVEFORM_STRIDES` for one channel, else `FRAME_STRIDES`.
    variant : ``"amr"``, mask and attention; ``"mr"``, mask alone; ``"resnet"``, neither: the clip
        counts from its first to its last sample (only the padding of the batch is left out, as
        another batch must not change a result).
    zero_is_silence : samples (frames) with 0 in every channel are silence, as MADD marks it; None:
        for a waveform yes, for frames no. `length` alone says what is valid then.
    fixed_length : shorter clips are filled with zeros up to this length first, as the paper does
        (4 s); for ``"resnet"`` these zeros are part of the clip. None: no filling.
    bn_statistics : ``"valid"`` or ``"paper"``, see the module's docstring.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        width: int = 64,
        strides: Sequence[int] | None = None,
        variant: Variant = "amr",
        zero_is_silence: bool | None = None,
        fixed_length: int | None = None,
        bn_statistics: Literal["valid", "paper"] = "valid",
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("variant", variant, get_args(Variant)),
            ("bn_statistics", bn_statistics, ("valid", "paper")),
        ):
            if value not in known:
                raise ModelError(
                    f"{name} {value!r}, expected one of {', '.join(known)}",
                    where="head am_resnet",
                    code="bad-parameter",
                )
        if strides is None:
            strides = WAVEFORM_STRIDES if n_features == 1 else FRAME_STRIDES
        self.masked = variant != "resnet"
        self.zero_is_silence = n_features == 1 if zero_is_silence is None else zero_is_silence
        self.fixed_length = fixed_length
        self.stem_stride, *block_strides = strides
        pad = KERNEL // 2
        self.stem = nn.Conv1d(n_features, width, KERNEL, self.stem_stride, padding=pad)
        self.stem_norm = MaskedNorm(width, statistics=bn_statistics)
        self.blocks = nn.ModuleList(
            ResBlock(width, stride, statistics=bn_statistics) for stride in block_strides
        )
        self.attention = nn.Conv1d(width, 1, 3, padding=1) if variant == "amr" else None
        self.classifier = nn.Linear(width, n_classes)

    def masks(self, x: Tensor, lengths: Tensor) -> Masks:
        """Return what is valid in x (batch, channels, time)."""
        inside = length_mask(lengths, x.shape[2])  # (batch, time)
        if not (self.masked and self.zero_is_silence):
            return Masks(inside, inside)
        speech = inside & (x != 0).any(1)
        speech = torch.where(speech.any(1, keepdim=True), speech, inside)
        # The silence after the last valid sample is padding: it must not count either.
        end = x.shape[2] - speech.flip(1).int().argmax(1)  # (batch,)
        return Masks(speech, length_mask(end, x.shape[2]))

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        x = x.masked_fill(~length_mask(lengths, x.shape[1])[:, :, None], 0)
        x = x.transpose(1, 2)  # (batch, n_features, time)
        if self.fixed_length is not None:
            x = F.pad(x, (0, max(0, self.fixed_length - x.shape[2])))
            if not self.masked:
                lengths = lengths.clamp(min=self.fixed_length)
        masks = self.masks(x, lengths)
        h = self.stem(x)  # (batch, width, time / stride)
        masks = masks.after_conv(self.stem_stride)
        h = torch.relu(self.stem_norm(h, masks))
        for block in self.blocks:
            h, masks = block(h, masks)
        h = torch.relu(h)  # E of eq. 8, 0 where it is not valid
        if self.attention is not None:
            h = h * torch.sigmoid(self.attention(h))  # eq. 8-9: (batch, 1, time) over channels
        pooled = h.sum(2) / masks.speech.sum(1, keepdim=True)  # mean over the valid positions
        logits: Tensor = self.classifier(pooled)
        return logits
