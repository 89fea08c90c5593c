"""AM-ResNet: residual network with a mask for silence, and attention over time.

Source: Li, Zhang, "Cross-feature fusion speech emotion recognition based on attention mask residual
network and Wav2vec 2.0", Digital Communications and Networks 11(5), 2025, pp. 1567-1577,
doi 10.1016/j.dcan.2024.10.007, sections 2.2.2 and 2.2.3, eq. 3-9. This is the first stage of the
paper's system, without the wav2vec branch.

The idea: batch normalisation moves silence and zero padding away from 0, and later layers take
them for speech. So a mask accompanies the signal, passes a max-pooling with the kernel, stride and
padding of every convolution beside it (a position is valid if its receptive field holds any
speech), and multiplies what every normalisation puts out. The paper's detector of silence, MADD,
sets silent samples to 0 (`serfeat.vad.madd`) before they come here: here 0 is silence.

What the paper leaves open (ours)
---------------------------------
* Strides, number of blocks: a stem and 6 blocks with strides 4 | 4 4 4 4 2 2 for a waveform
  (64000 samples -> 16 positions) and 1 | 2 2 2 2 1 1 for frames (280 frames -> 18 positions).
* Where a convolution strides, the shortcut is a 1x1 convolution with the same stride.
* Batch statistics count valid positions only (``bn_statistics="valid"``); ``"paper"`` counts
  silence too.
* The max-pooling spreads the mask into silence between words, but not past the last valid sample:
  a clip alone ends there, and so it must in a longer batch. With this, appended padding or silence
  of any length changes no logit.
* The attention's convolution has kernel 3.
* A clip in which nothing is valid is valid everywhere (never an empty mask).
* The paper cuts utterances into segments of 4 s and does not say how their outputs become one.
  Here a clip is never cut: the network is convolutional and ends in a mean over the valid
  positions, whatever their number. ``fixed_length=64000`` fills up what is shorter, as the paper
  does; with the mask that changes no logit, so it matters for ``"resnet"`` alone. Who wants the
  segments makes each of them a clip.
* A waveform that comes in frames (`n_samples`) is a few zeros longer than the recording, up to the
  end of its last frame. To the masked variants that is silence, and changes nothing; to
  ``"resnet"`` it is part of the clip, in training and afterwards, at most 10 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.errors import ModelError
from serfeat.heads.layers import MaskedBatchNorm, length_mask

__all__ = ["FRAME_STRIDES", "WAVEFORM_STRIDES", "AMResNet", "dealt", "spread"]

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
    n_features, n_classes : columns of a frame; logits. With 0 classes there is no classifier, and
        `sequence` is what is used.
    n_samples : 0: a column is a channel of the network, 1 column is a waveform. Else, and then
        equal to `n_features`: the columns are consecutive samples, and the frames one after the
        other are a waveform, one channel of frames * n_samples.
    width : channels of the network.
    strides : of the stem and of each block, 1 to 4 each, so ``len(strides) - 1`` blocks. None:
        `WAVEFORM_STRIDES` for a waveform, else `FRAME_STRIDES`.
    variant : ``"amr"``, mask and attention; ``"mr"``, mask alone; ``"resnet"``, neither: the clip
        counts from its first to its last sample (only the padding of the batch is left out, as
        another batch must not change a result).
    zero_is_silence : samples (frames) with 0 in every channel are silence, as MADD marks it; None:
        for a waveform yes, for frames no. `length` alone says what is valid then.
    fixed_length : shorter clips are filled with zeros up to this length (samples of a waveform,
        else frames) first, as the paper does (4 s); for ``"resnet"`` these zeros are part of the
        clip. None: no filling.
    bn_statistics : ``"valid"`` or ``"paper"``, see the module's docstring.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        n_samples: int = 0,
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
        if n_samples not in (0, n_features):
            raise ModelError(
                f"{n_samples} samples in a frame of {n_features} columns, expected all or 0",
                where="head am_resnet",
                code="bad-parameter",
            )
        channels = 1 if n_samples else n_features
        waveform = channels == 1
        if strides is None:
            strides = WAVEFORM_STRIDES if waveform else FRAME_STRIDES
        if not strides or not all(1 <= stride <= KERNEL // 2 + 1 for stride in strides):
            raise ModelError(
                f"strides {tuple(strides)}, expected 1 to {KERNEL // 2 + 1}: else a convolution "
                f"of {KERNEL} passes over the end of a clip",
                where="head am_resnet",
                code="bad-parameter",
            )
        self.n_samples = n_samples
        self.masked = variant != "resnet"
        self.zero_is_silence = waveform if zero_is_silence is None else zero_is_silence
        self.fixed_length = fixed_length
        self.stem_stride, *block_strides = strides
        pad = KERNEL // 2
        self.stem = nn.Conv1d(channels, width, KERNEL, self.stem_stride, padding=pad)
        self.stem_norm = MaskedNorm(width, statistics=bn_statistics)
        self.blocks = nn.ModuleList(
            ResBlock(width, stride, statistics=bn_statistics) for stride in block_strides
        )
        self.attention = nn.Conv1d(width, 1, 3, padding=1) if variant == "amr" else None
        self.classifier = nn.Linear(width, n_classes) if n_classes else nn.Identity()

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

    def signal(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return x as (batch, channels, time), filled up, and the lengths in steps of time."""
        x = x.masked_fill(~length_mask(lengths, x.shape[1])[:, :, None], 0)
        if self.n_samples:
            x, lengths = x.reshape(len(x), -1, 1), lengths * self.n_samples
        x = x.transpose(1, 2)
        if self.fixed_length is not None:
            x = F.pad(x, (0, max(0, self.fixed_length - x.shape[2])))
            if not self.masked:
                lengths = lengths.clamp(min=self.fixed_length)
        return x, lengths

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Masks, Tensor]:
        """Run the network on x (batch, frames, n_features), up to the classifier.

        Returns
        -------
        (batch, width, positions), 0 where it is not valid; the masks of the positions; and where
        each clip ends, (batch,) in steps of time of the input.
        """
        h, masks, end = self.ungated(x, lengths)
        if self.attention is not None:
            h = h * torch.sigmoid(self.attention(h))  # eq. 8-9: (batch, 1, time) over channels
        return h, masks, end

    def ungated(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Masks, Tensor]:
        """Run the network up to the attention; returns what `encode` does."""
        x, lengths = self.signal(x, lengths)  # (batch, channels, time)
        masks = self.masks(x, lengths)
        end = masks.inside.sum(1)  # (batch,)
        h = self.stem(x)  # (batch, width, time / stride)
        masks = masks.after_conv(self.stem_stride)
        h = torch.relu(self.stem_norm(h, masks))
        for block in self.blocks:
            h, masks = block(h, masks)
        h = torch.relu(h)  # E of eq. 8, 0 where it is not valid
        return h, masks, end

    def sequence(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what another network can go on with.

        Returns
        -------
        (batch, positions, width), 0 where it is not valid; (batch, positions) bool, where it is.
        """
        h, masks, _ = self.encode(x, lengths)
        return h.transpose(1, 2), masks.speech

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        h, masks, _ = self.encode(x, lengths)  # (batch, width, positions)
        pooled = h.sum(2) / masks.speech.sum(1, keepdim=True)  # mean over the valid positions
        logits: Tensor = self.classifier(pooled)
        return logits

    def coverage(self, masks: Masks, end: Tensor, lengths: Tensor, n_frames: int) -> Tensor:
        """Say which frames of a clip a position stands for: those that are nearest to it.

        Returns
        -------
        (batch, n_frames, positions): steps of time that a frame and a position share; 0 behind the
        end of a clip.
        """
        step = self.n_samples or 1  # steps of time in a frame
        stride = self.stem_stride * math.prod(block.stride for block in self._blocks())
        position = torch.arange(masks.inside.shape[1], device=end.device) * stride
        last = masks.inside.sum(1, keepdim=True) - 1  # (batch, 1)
        right = (position + stride / 2).expand(len(end), -1)
        right = torch.where(position == last * stride, end[:, None], right)
        right = torch.minimum(right, end[:, None])[:, None, :]
        left = (position - stride / 2).clamp(min=0)
        start = (torch.arange(n_frames, device=end.device) * step)[:, None]  # of each frame
        shared = (torch.minimum(right, start + step) - torch.maximum(left, start)).clamp(min=0)
        return shared * (length_mask(lengths, n_frames)[:, :, None] & masks.inside[:, None, :])

    def explanation(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Look inside, see `serfeat.heads`: what is taken for speech, the attention, the evidence.

        Returns
        -------
        ``mask``, ``gate`` (batch, frames), both 0 to 1: a position's, at the frames nearest to it.
        ``evidence`` (batch, frames); a position's is dealt to its frames.
        """
        h, masks, end = self.ungated(x, lengths)  # (batch, width, positions)
        cover = self.coverage(masks, end, lengths, x.shape[1])
        found = {"mask": spread(masks.speech.to(x.dtype), cover)}
        if self.attention is not None:
            gate = torch.sigmoid(self.attention(h)) * masks.speech[:, None, :]
            found["gate"] = spread(gate[:, 0], cover)
            h = h * gate
        if isinstance(self.classifier, nn.Linear):
            winner = self.classifier.weight[self(x, lengths).argmax(1)]  # (batch, width)
            each = torch.einsum("bwp,bw->bp", h, winner) / masks.speech.sum(1, keepdim=True)
            found["evidence"] = dealt(each, cover)
        return found

    def _blocks(self) -> list[ResBlock]:
        return [block for block in self.blocks if isinstance(block, ResBlock)]


def spread(values: Tensor, cover: Tensor) -> Tensor:
    """(batch, frames) mean of the values (batch, positions) that a frame shares time with."""
    return torch.einsum("btp,bp->bt", cover, values) / cover.sum(2).clamp(min=1e-9)


def dealt(values: Tensor, cover: Tensor) -> Tensor:
    """(batch, frames) values (batch, positions) dealt to the frames of each, with the same sum."""
    return torch.einsum("btp,bp->bt", cover / cover.sum(1, keepdim=True).clamp(min=1e-9), values)
