"""DCRN: convolutions and LSTMs on the waveform itself, end to end.

Source: Trigeorgis, Ringeval, Brueckner, Marchi, Nicolaou, Schuller, Zafeiriou, "Adieu features?
End-to-end speech emotion recognition using a deep convolutional recurrent network", ICASSP 2016.
Two sizes: ``"paper"``, and ``"compact"``, the authors' later simplification with short filters
(Tzirakis et al., "End-to-end multimodal emotion recognition using deep neural networks", IEEE J.
Selected Topics in Signal Processing 11, 2017). The paper's text was not at hand: the sizes are
those on which independent implementations agree.

The network (compact | paper; taps at 16 kHz)
---------------------------------------------
waveform     zero mean and unit variance over each clip   (paper: plus noise of deviation 0.1)
convolution  40 filters, 20 | 80 taps, no bias; half-wave rectified; maximum of 2 samples
convolution  40 filters, 40 | 4000 taps, no bias; maximum of 10 | 20 channels, 4 | 2 are left
regrouping   frames of 40 ms, 320 samples at 8 kHz x 4 | 2 channels
recurrence   LSTM(256) twice | bidirectional LSTM(2 x 128) twice
outputs      linear, for each 40 ms; the logits of a clip are their mean

The 4000 taps are half a second: they can follow the modulation of the filters of the first layer,
which act like those of a cochlea. `fft_conv1d` computes them.

What the paper leaves open (ours)
---------------------------------
* Clips keep their length. Beyond the end every layer sees zeros: each stage is masked, and the LSTM
  of the backward direction starts at the last frame. A last frame of less than 40 ms is filled with
  zeros and counts like the others.
* 'Same' convolutions of an even number of taps take one sample more of the future than of the past.
* The second convolution is not rectified: the maximum over channels is non-linear enough.
* LSTMs without peepholes (torch has none); the bias of the forget gate starts at 1.
* Filters at another sampling rate keep their duration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from serfeat.errors import ModelError
from serfeat.heads.layers import length_mask, masked_mean

__all__ = ["DCRN", "SIZES", "Size", "channel_max", "fft_conv1d"]

FRAME_SECONDS = 0.04
LEAST_VARIANCE = 1e-12  # of a waveform in [-1, 1); a clip with less is silent


class Size(NamedTuple):
    """What the two networks differ in; see the table of the module."""

    taps: tuple[int, int]  # at 16 kHz and 8 kHz
    pool: int  # channels
    hidden: int  # units of the LSTM in each direction
    bidirectional: bool
    noise: float  # deviation, relative to the waveform's
    dropout: Literal["input", "convolutions"]


SIZES: dict[str, Size] = {
    "compact": Size((20, 40), 10, 256, False, 0.0, "input"),
    "paper": Size((80, 4000), 20, 128, True, 0.1, "convolutions"),
}


def fft_conv1d(x: Tensor, weight: Tensor) -> Tensor:
    """`F.conv1d(x, weight, padding="same")` by overlapping blocks and FFTs (overlap-save).

    A circular correlation of a block with the taps is right where it does not wrap round. The size
    of the blocks depends on the taps alone: padding at the end adds blocks and changes no other.

    Parameters
    ----------
    x : (batch, n_in, time).
    weight : (n_out, n_in, taps).

    Returns
    -------
    (batch, n_out, time)
    """
    n_out, _, taps = weight.shape
    batch, _, time = x.shape
    size = 1 << (2 * taps - 1).bit_length()  # of the FFT, at least twice the taps
    step = size - taps + 1  # right values of a block
    n_blocks = -(-time // step)
    x = F.pad(_same(x, taps), (0, n_blocks * step - time))
    spectra = torch.fft.rfft(x.unfold(2, size, step))  # (batch, n_in, n_blocks, bins)
    spectra = spectra.permute(3, 0, 2, 1).flatten(1, 2)  # (bins, batch * n_blocks, n_in)
    filters = torch.fft.rfft(weight, size).conj().permute(2, 1, 0)  # (bins, n_in, n_out)
    product = torch.bmm(spectra, filters).view(-1, batch, n_blocks, n_out).permute(1, 3, 2, 0)
    y: Tensor = torch.fft.irfft(product, size)[..., :step]  # (batch, n_out, n_blocks, step)
    return y.flatten(2)[:, :, :time]


def _same(x: Tensor, taps: int) -> Tensor:
    """Fill in zeros so that a convolution gives as many values as x (batch, channels, time) has."""
    before = (taps - 1) // 2
    return F.pad(x, (before, taps - 1 - before))


def channel_max(x: Tensor, pool: int) -> Tensor:
    """Maximum of each `pool` neighbouring channels, (batch, n * pool, time) to (batch, n, time)."""
    return x.reshape(len(x), -1, pool, x.shape[2]).amax(2)


class DCRN(nn.Module):
    """The deep convolutional recurrent network, for classes, or for dimensions in time.

    A training step holds about 30 MB for each second of each clip: batches must be small.

    Parameters
    ----------
    n_features : samples that a row of x holds; 1 without `n_samples`.
    n_classes : logits, or targets of a regression.
    size : ``"compact"`` or ``"paper"``, see the module's table.
    n_samples : x comes as frames of this many consecutive samples, `n_features` of them; 0: x is
        the waveform, one sample in a row. Zeros that fill the last of these frames belong to the
        clip.
    sr : sampling rate in Hz; 40 ms must be an even number of samples.
    dropout : of the waveform's samples (compact), of what both convolutions put out (paper).
    activation : ``"none"`` or ``"tanh"``, of the outputs of each 40 ms; tanh is for dimensions in
        [-1, 1].
    filters, taps, pool, hidden : in place of those of `size`; taps of the two convolutions, in
        samples.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        size: Literal["compact", "paper"] = "compact",
        n_samples: int = 0,
        sr: int = 16000,
        dropout: float = 0.5,
        activation: Literal["none", "tanh"] = "none",
        filters: int = 40,
        taps: Sequence[int] | None = None,
        pool: int | None = None,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        _check(size in SIZES, f"size {size!r}, expected one of {', '.join(SIZES)}")
        _check(activation in ("none", "tanh"), f"activation {activation!r}, expected none or tanh")
        _check(
            n_features == max(n_samples, 1),
            f"n_features {n_features} with n_samples {n_samples}: it reads the waveform alone",
            fix="give it the descriptor of the samples, with n_samples, and nothing else",
        )
        chosen = SIZES[size]
        if taps is None:
            taps = [max(1, round(n * sr / 16000)) for n in chosen.taps]
        _check(len(taps) == 2 and min(taps) > 0, f"taps {taps!r}, expected two positive counts")
        self.pool = pool or chosen.pool
        _check(filters % self.pool == 0, f"pool {self.pool} does not divide {filters} filters")
        self.frame = round(FRAME_SECONDS * sr)  # samples
        _check(
            self.frame > 0 and self.frame % 2 == 0,
            f"sr {sr}: 40 ms are {self.frame} samples, expected an even number",
        )
        hidden = hidden or chosen.hidden
        self.n_samples = max(n_samples, 1)
        self.noise = chosen.noise
        self.activation = activation
        on_input = chosen.dropout == "input"
        self.drop_input = nn.Dropout(dropout if on_input else 0.0)
        self.drop = nn.Dropout(0.0 if on_input else dropout)
        self.filters_a = nn.Parameter(torch.empty(filters, 1, taps[0]))
        self.filters_b = nn.Parameter(torch.empty(filters, filters, taps[1]))
        nn.init.xavier_uniform_(self.filters_a)
        nn.init.xavier_uniform_(self.filters_b)
        self.lstm = nn.LSTM(
            self.frame // 2 * (filters // self.pool),
            hidden,
            num_layers=2,
            batch_first=True,
            bidirectional=chosen.bidirectional,
        )
        _open_forget_gates(self.lstm)
        self.classifier = nn.Linear(hidden * (2 if chosen.bidirectional else 1), n_classes)

    def waveform(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scaled samples (batch, time), zeros up to whole 40 ms, and their counts."""
        x = x.masked_fill(~length_mask(lengths, x.shape[1])[:, :, None], 0)
        counts = lengths * self.n_samples
        # In double precision: the moments are then the same for any padding, and a constant is 0.
        samples = x.flatten(1).double()  # (batch, time)
        valid = length_mask(counts, samples.shape[1])
        mean = samples.sum(1, keepdim=True) / counts[:, None]
        samples = (samples - mean).masked_fill(~valid, 0)
        variance = samples.square().sum(1, keepdim=True) / counts[:, None]
        samples = samples / variance.clamp(min=LEAST_VARIANCE).sqrt()
        return F.pad(samples.to(x.dtype), (0, -samples.shape[1] % self.frame)), counts

    def _convolve(self, samples: Tensor, counts: Tensor) -> Tensor:
        """Both convolutions: (batch, time) to (batch, channels, time / 2)."""
        if self.training and self.noise:
            samples = samples + self.noise * torch.randn_like(samples)
        valid = length_mask(counts, samples.shape[1])  # (batch, time)
        samples = self.drop_input(samples).masked_fill(~valid, 0)
        h = self.drop(F.conv1d(_same(samples[:, None], self.filters_a.shape[2]), self.filters_a))
        h = h.masked_fill(~valid[:, None], 0)  # (batch, filters, time)
        h = torch.relu(torch.maximum(h[:, :, ::2], h[:, :, 1::2]))  # (batch, filters, time / 2)
        with torch.autocast(h.device.type, enabled=False):  # there is no FFT of bfloat16
            h = fft_conv1d(h.to(self.filters_b.dtype), self.filters_b)
        h = channel_max(self.drop(h), self.pool)
        return h.masked_fill(~valid[:, None, ::2], 0)

    def frame_counts(self, lengths: Tensor) -> Tensor:
        """Frames of 40 ms that hold a sample of the clip, (batch,)."""
        return -(-lengths * self.n_samples // self.frame)

    def frames(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Outputs for each 40 ms, (batch, n40, n_classes); zeros beyond `frame_counts`."""
        h = self._convolve(*self.waveform(x, lengths))  # (batch, channels, time / 2)
        h = h.reshape(*h.shape[:2], -1, self.frame // 2)  # (batch, channels, n40, frame / 2)
        h = h.permute(0, 2, 3, 1).flatten(2)  # (batch, n40, frame / 2 * channels)
        counts = self.frame_counts(lengths)
        packed = pack_padded_sequence(h, counts.cpu(), batch_first=True, enforce_sorted=False)
        with torch.autocast(h.device.type, enabled=False):  # see `serfeat.heads.rnn`
            states = self.lstm(packed)[0]
        h, _ = pad_packed_sequence(
            states, batch_first=True, total_length=h.shape[1]
        )  # (batch, n40, hidden)
        y = self.classifier(h)
        if self.activation == "tanh":
            y = torch.tanh(y)
        outputs: Tensor = y.masked_fill(~length_mask(counts, y.shape[1])[:, :, None], 0)
        return outputs

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify x (batch, frames, n_features) with `lengths` (batch,) -> logits."""
        outputs = self.frames(x, lengths)  # (batch, n40, n_classes)
        return masked_mean(outputs, length_mask(self.frame_counts(lengths), outputs.shape[1]))


def _check(good: bool, message: str, *, fix: str = "") -> None:
    if not good:
        raise ModelError(message, where="head dcrn", code="bad-parameter", fix=fix)


def _open_forget_gates(lstm: nn.LSTM) -> None:
    """Set all biases to 0 but those of the forget gates, to 1: at first the cells remember."""
    n = lstm.hidden_size
    for label, parameter in lstm.named_parameters():
        if label.startswith("bias"):
            nn.init.zeros_(parameter)
        if label.startswith("bias_ih"):  # torch's gates: input, forget, cell, output
            nn.init.ones_(parameter[n : 2 * n])
