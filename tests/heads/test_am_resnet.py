"""AM-ResNet: the mask, and that silence stays silence."""

from __future__ import annotations

import pytest
import torch

from serfeat.errors import ModelError
from serfeat.heads.am_resnet import FRAME_STRIDES, AMResNet, Masks
from serfeat.heads.layers import length_mask


def _trained(head: AMResNet, channels: int) -> AMResNet:
    """Give the normalisations statistics and biases for which 0 does not stay 0 by itself."""
    for name, parameter in head.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, 0.2, 0.5)
    head.train()
    with torch.no_grad():
        for _ in range(5):
            head(torch.randn(4, 3000 if channels == 1 else 90, channels) + 0.5, _full(4, channels))
    return head.eval()


def _distance(a: torch.Tensor, b: torch.Tensor | int) -> float:
    return float((a - b).detach().abs().max())


def _full(n: int, channels: int) -> torch.Tensor:
    return torch.full((n,), 3000 if channels == 1 else 90)


@pytest.mark.parametrize("variant", ["amr", "mr"])
@pytest.mark.parametrize("more", [1, 3, 64, 1000, 5003])
def test_appended_silence_changes_no_logit(variant, more):
    """The paper's point, on a waveform: zeros inside the length, not only padding beyond it."""
    head = _trained(AMResNet(1, 4, width=8, variant=variant), 1)
    x = torch.randn(2, 2000, 1)
    x[:, 800:1300] = 0  # a pause between words
    longer = torch.cat([x, torch.zeros(2, more, 1)], 1)
    short = head(x, torch.tensor([2000, 2000]))
    assert _distance(head(longer, torch.tensor([2000 + more] * 2)), short) < 1e-5
    assert _distance(head(longer, torch.tensor([2000, 2000])), short) < 1e-5


def test_the_plain_resnet_does_change():
    """The control: without the mask, silence that belongs to the clip moves the logits."""
    head = _trained(AMResNet(1, 4, width=8, variant="resnet"), 1)
    x = torch.randn(1, 2000, 1)
    longer = torch.cat([x, torch.zeros(1, 3000, 1)], 1)
    assert _distance(head(longer, torch.tensor([5000])), head(x, torch.tensor([2000]))) > 1e-3


@pytest.mark.parametrize("variant", ["amr", "mr", "resnet"])
def test_filling_to_a_fixed_length(variant):
    """Zeros up to `fixed_length` are part of the clip for the plain network only."""
    head = _trained(AMResNet(6, 3, width=8, variant=variant), 6)
    x, lengths = torch.randn(2, 60, 6), torch.tensor([60, 41])
    plain = head(x, lengths)
    head.fixed_length = 90
    same = torch.allclose(head(x, lengths), plain, atol=1e-5)
    assert same == (variant != "resnet")


def test_the_mask_passes_the_pooling_of_its_convolution():
    """Valid where a kernel of 7 touches speech, and never past the end of the clip.

    Catches a mask that is only subsampled (no dilation), and one that grows into the padding.
    """
    speech = torch.zeros(1, 20, dtype=torch.bool)
    speech[0, 5] = speech[0, 15] = True
    masks = Masks(speech, length_mask(torch.tensor([16]), 20))
    after = masks.after_conv(1)
    assert torch.nonzero(after.speech[0])[:, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15]
    after = masks.after_conv(2)  # positions 0, 2, 4, ... of the input
    assert torch.nonzero(after.speech[0])[:, 0].tolist() == [1, 2, 3, 4, 6, 7]
    assert after.inside[0].tolist() == [True] * 8 + [False] * 2


def test_silence_is_exactly_zero_behind_every_block():
    head = _trained(AMResNet(6, 3, width=8), 6)
    x, lengths = torch.randn(1, 90, 6), torch.tensor([40])
    seen = []
    for block in head.blocks:
        block.register_forward_hook(lambda module, args, out: seen.append(out))
    head(x, lengths)
    time = 40
    for (h, masks), stride in zip(seen, FRAME_STRIDES[1:], strict=True):
        time = -(-time // stride)
        assert masks.speech[0].sum() == time
        assert _distance(h[0, :, time:], 0) == 0
        assert float(h[0, :, :time].detach().abs().min()) > 0


def test_batch_statistics_of_speech_or_of_everything():
    """`bn_statistics="paper"` counts the pause, the default does not."""
    x = torch.randn(3, 60, 4)
    x[:, 20:45] = 0
    moments = {}
    for which in ("valid", "paper"):
        torch.manual_seed(0)
        head = AMResNet(4, 2, width=8, zero_is_silence=True, bn_statistics=which).train()
        head(x, torch.tensor([60, 60, 60]))
        moments[which] = head.stem_norm.norm.running_var
    assert float((moments["valid"] - moments["paper"]).min()) > 0


def test_all_silent_clip_counts_as_valid():
    head = _trained(AMResNet(1, 4, width=8), 1)
    assert torch.isfinite(head(torch.zeros(1, 500, 1), torch.tensor([500]))).all()


def test_parameter_count_of_the_paper_size():
    """Width 64, 6 blocks, 39 channels: by formula."""
    conv7, norm, conv1 = 64 * 64 * 7 + 64, 2 * 64, 64 * 64 + 64
    blocks = 6 * (2 * conv7 + 2 * norm) + 4 * conv1  # four of the blocks stride
    expected = 39 * 64 * 7 + 64 + norm + blocks + 64 * 3 + 1 + 64 * 7 + 7
    assert sum(p.numel() for p in AMResNet(39, 7).parameters()) == expected


def test_unknown_variant():
    with pytest.raises(ModelError, match=r"'amrwc'.*amr"):
        AMResNet(3, 2, variant="amrwc")
