"""AM-ResNet: the mask, and that silence stays silence."""

from __future__ import annotations

import pytest
import soundfile as sf
import torch

from serfeat.errors import ModelError
from serfeat.heads.am_resnet import FRAME_STRIDES, AMResNet, Masks
from serfeat.heads.layers import length_mask
from serfeat.lld.samples import samples
from serfeat.vad import madd


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


@pytest.mark.parametrize("variant", ["amr", "mr", "resnet"])
def test_frames_of_samples_are_the_waveform(variant):
    """`n_samples` changes the layout of the input, nothing else; catches a transposed reshape.

    The same weights, the samples one to a frame or 20 to a frame, in a batch with padding.
    """
    head = _trained(AMResNet(1, 4, width=8, variant=variant), 1)
    framed = AMResNet(20, 4, width=8, variant=variant, n_samples=20).eval()
    framed.load_state_dict(head.state_dict())
    x, frames = torch.randn(2, 2000, 1), torch.tensor([100, 37])
    x[:, 300:500] = 0
    assert framed.signal(x.reshape(2, 100, 20), frames)[1].tolist() == [2000, 740]
    ours = framed(x.reshape(2, 100, 20), frames)
    assert _distance(ours, head(x, 20 * frames)) == 0
    alone = framed(x.reshape(2, 100, 20)[1:, :37], frames[1:])
    assert _distance(alone[0], ours[1]) < 1e-5


@pytest.mark.corpus
def test_silence_behind_real_speech(emodb_root):
    """EMO-DB as the paper has it: MADD, raw samples, the whole network; a second of silence."""
    path = emodb_root / "audio" / "03a01Fa.flac"
    muted = madd(sf.read(path)[0], 16_000)
    assert 0.02 < 1 - muted.speech.mean() < 0.6
    x = torch.from_numpy(samples(muted.x, 16_000)).float()[None]
    head = AMResNet(160, 7, n_samples=160).train()
    with torch.no_grad():
        for _ in range(3):
            head(x, torch.tensor([x.shape[1]]))
        head.eval()
        plain = head(x, torch.tensor([x.shape[1]]))
        longer = torch.cat([x, torch.zeros(1, 100, 160)], 1)
        assert _distance(head(longer, torch.tensor([longer.shape[1]])), plain) < 1e-5
        # The control: noise is not silence.
        longer[:, -100:] = x.std() * torch.randn(1, 100, 160)
        assert _distance(head(longer, torch.tensor([longer.shape[1]])), plain) > 1e-4


def test_the_rest_of_the_last_frame_is_silence():
    """A recording ends within a frame: the masked network ends with it, the plain one does not."""
    x = torch.randn(1, 1990, 1)
    frames = torch.cat([x, torch.zeros(1, 170, 1)], 1).reshape(1, 12, 180)
    for variant, same in (("amr", True), ("resnet", False)):
        head = _trained(AMResNet(1, 4, width=8, variant=variant), 1)
        framed = AMResNet(180, 4, width=8, variant=variant, n_samples=180).eval()
        framed.load_state_dict(head.state_dict())
        away = _distance(framed(frames, torch.tensor([12])), head(x, torch.tensor([1990])))
        assert (away < 1e-5) == same


def test_four_seconds_are_sixteen_positions():
    head = AMResNet(160, 4, n_samples=160, width=4).eval()
    h, mask = head.sequence(torch.randn(1, 400, 160), torch.tensor([400]))
    assert h.shape == (1, 16, 4)
    assert mask.all()


def test_the_sequence_is_what_is_averaged_and_classified():
    head = _trained(AMResNet(6, 3, width=8), 6)
    x, lengths = torch.randn(3, 90, 6), torch.tensor([90, 40, 1])
    h, mask = head.sequence(x, lengths)
    assert mask.sum(1).tolist() == [6, 3, 1]
    assert not h[~mask].any()
    pooled = torch.stack([h[i, mask[i]].mean(0) for i in range(3)])
    torch.testing.assert_close(head.classifier(pooled), head(x, lengths), atol=1e-6, rtol=0)


def test_parameter_count_of_the_paper_size():
    """Width 64, 6 blocks, 39 channels: by formula."""
    conv7, norm, conv1 = 64 * 64 * 7 + 64, 2 * 64, 64 * 64 + 64
    blocks = 6 * (2 * conv7 + 2 * norm) + 4 * conv1  # four of the blocks stride
    expected = 39 * 64 * 7 + 64 + norm + blocks + 64 * 3 + 1 + 64 * 7 + 7
    assert sum(p.numel() for p in AMResNet(39, 7).parameters()) == expected


def test_unknown_variant():
    with pytest.raises(ModelError, match=r"'amrwc'.*amr"):
        AMResNet(3, 2, variant="amrwc")


def test_samples_beside_other_columns_and_long_strides_are_refused():
    with pytest.raises(ModelError, match="160 samples in a frame of 199"):
        AMResNet(199, 2, n_samples=160)
    for strides in ((5, 2), (4, 0), ()):
        with pytest.raises(ModelError, match="expected 1 to 4"):
            AMResNet(3, 2, strides=strides)
