"""Vesper: a large WavLM compressed to a few layers, with emotion in mind.

Source: Chen, Xing, Chen, Xu, "Vesper: A Compact and Effective Pretrained Model for Speech Emotion
Recognition", IEEE Trans. Affective Computing, 2024 (arXiv 2307.10757), and the settings of the
authors' repository (Apache-2.0). Written from these; no code of the authors is used.

The recipe
----------
1. `compress`: the student's layers are some of the teacher's (`uniform_extract`: 4 of 24 are 0, 6,
   12, 18) or means of them (`uniform_average`); all else is copied.
2. Spans of the student's input are masked where the voice is strong (`encoders.emotion_masks`), and
   longer ones in its middle; the vector in their place is learnt.
3. `losses`: the student's middle layer predicts the teacher's at the short spans (weight 1), its
   last layer the teacher's last at the long spans (0.1) and the teacher's middle everywhere (1).
4. `pretrain`: AdamW, warm-up, cosine to 1 %; the convolutions stay as they are.

`distil` does all four and writes a directory that `serfeat.encoders` reads::

    distil("wavlm-large", Path("vesper-4"), waveforms, n_layers=4)   # then: encoder:vesper-4@all

What the paper leaves open, or does otherwise (ours)
----------------------------------------------------
* The rate changes with every step, not every epoch. Padding takes no part in the losses.
* The final layer norm stays in the stored student (a WavLM of `transformers` has one); the losses
  read the last layer before it, as the authors' do, so that it is the teacher's to the end.
* The masks: see `serfeat.encoders.emotion_masks`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serfeat.encoders import hop_and_reach, load_encoder
from serfeat.encoders.emotion_masks import Masking, emotion_masks, frame_rms
from serfeat.errors import ModelError
from serfeat.types import Floats32

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["compress", "distil", "losses", "pretrain", "uniform_average", "uniform_extract"]

_LAYERS = "encoder.layers."


def uniform_extract(n_teacher: int, n_student: int) -> list[list[int]]:
    """Layer i of the student is layer ``i * (n_teacher // n_student)`` of the teacher."""
    step = n_teacher // n_student
    return [[i * step] for i in range(n_student)]


def uniform_average(n_teacher: int, n_student: int) -> list[list[int]]:
    """Layer i of the student is the mean of the i-th group of neighbours of the teacher."""
    step = n_teacher // n_student
    return [list(range(i * step, (i + 1) * step)) for i in range(n_student)]


def compress(teacher: Any, groups: Sequence[Sequence[int]]) -> Any:
    """Make a student of a WavLM.

    Parameters
    ----------
    teacher : a `transformers.WavLMModel`.
    groups : for every layer of the student, the layers of the teacher that it is the mean of.

    Returns
    -------
    A WavLMModel of ``len(groups)`` layers, in evaluation mode.

    Raises
    ------
    ModelError : fewer than two layers, or one that the teacher does not have.
    """
    n = teacher.config.num_hidden_layers
    if len(groups) < 2 or not all(g and set(g) <= set(range(n)) for g in groups):
        raise ModelError(
            f"the layers {[list(g) for g in groups]}, expected two groups or more of 0 to {n - 1}",
            where="Vesper",
            code="bad-parameter",
        )
    config = copy.deepcopy(teacher.config)
    config.num_hidden_layers = len(groups)
    config.layerdrop = 0.0
    config.apply_spec_augment = False  # the masks are ours
    config.mask_time_prob = max(config.mask_time_prob, 0.05)  # at 0 there is no vector for them
    student = type(teacher)(config)
    given, weights = teacher.state_dict(), student.state_dict()
    for name in weights:
        if not name.startswith(_LAYERS) or "rel_attn_embed" in name:  # a table for all layers
            weights[name] = given.get(name, weights[name])
            continue
        layer, _, rest = name.removeprefix(_LAYERS).partition(".")
        group = groups[int(layer)]
        weights[name] = sum(given[f"{_LAYERS}{i}.{rest}"] for i in group) / len(group)
    student.load_state_dict(weights)
    return student.eval()


def losses(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    masks: Sequence[Tensor],
    predictors: Sequence[nn.Module],
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the low, the high and the cross-layer loss: mean squared errors of predictions.

    Parameters
    ----------
    student, teacher : outputs (batch, frames, width) of the middle and of the last layer.
    masks : (batch, frames) truth values: short spans, long spans, frames that are no padding.
    predictors : three, in the order of the losses.
    """
    from torch.nn.functional import mse_loss

    short, long, real = masks
    low = mse_loss(predictors[0](student[0][short]), teacher[0][short])
    high = mse_loss(predictors[1](student[1][long]), teacher[1][long])
    cross = mse_loss(predictors[2](student[1][real]), teacher[0][real])
    return low, high, cross


def pretrain(
    student: Any,
    teacher: Any,
    waveforms: Sequence[Floats32],
    *,
    epochs: int = 100,
    batch_size: int = 32,
    learning_rate: float = 5e-4,
    weight_decay: float = 0.01,
    warm_up: float = 0.05,
    weights: tuple[float, float, float] = (1.0, 0.1, 1.0),
    masking: Masking | None = None,
    n_samples: int = 80_000,
    normalize: bool = True,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Train a student to predict its teacher, in place, on the device that it is on.

    Parameters
    ----------
    student, teacher : WavLMModels with the same convolutions, on one device.
    waveforms : arrays (n,) in [-1, 1] at the teacher's rate.
    epochs, batch_size, learning_rate, weight_decay : of AdamW. The defaults are those of the
        authors' example; their configuration has 5e-3 for batches of 256.
    warm_up : share of the steps in which the rate rises to its maximum.
    weights : of the low, high and cross-layer loss.
    masking : see `serfeat.encoders.emotion_masks`.
    n_samples : of a longer clip a random part of that many samples is heard.
    normalize : bring every part to mean 0 and variance 1, as WavLM-Large was trained.
    seed : of parts, masks, dropout, order and predictors; the caller's random state is left.

    Returns
    -------
    A dict for each epoch: epoch, loss, low, high, cross (means over the steps).

    Raises
    ------
    ModelError : no waveforms, or one that is shorter than two frames.
    """
    import torch

    hop, reach = hop_and_reach(teacher.config.conv_kernel, teacher.config.conv_stride)
    if min(map(len, waveforms), default=0) < reach + hop:
        raise ModelError(
            f"needs waveforms of {reach + hop} samples or more", where="Vesper", code="too-short"
        )
    rng, history = np.random.default_rng(seed), []
    steps = epochs * -(-len(waveforms) // batch_size)
    depths = [len(model.encoder.layers) for model in (student, teacher)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        predictors = [_predictor(student.config.hidden_size, student.device) for _ in range(3)]
        student.train().requires_grad_(True)
        student.freeze_feature_encoder()
        trained = [p for m in (student, *predictors) for p in m.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=weight_decay)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i, steps, warm_up))
        for epoch in range(1, epochs + 1):
            rows = []
            for clips in _batches(waveforms, batch_size, n_samples, rng):
                arrays = _padded(clips, rng, masking, (hop, reach), normalize=normalize)
                x, heard, *masks = (torch.from_numpy(a).to(student.device) for a in arrays)
                covered = {0: masks[0], depths[0] // 2: masks[1]}
                ours = _outputs(student, x, heard, (depths[0] // 2, depths[0]), covered)
                with torch.no_grad():
                    theirs = _outputs(teacher.eval(), x, heard, (depths[1] // 2, depths[1]), {})
                parts = torch.stack(losses(ours, theirs, masks, predictors))
                loss = parts @ torch.tensor(weights, device=parts.device)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                rate.step()
                rows.append([float(v) for v in (loss.detach(), *parts.detach())])
            means = zip(("loss", "low", "high", "cross"), np.mean(rows, axis=0), strict=True)
            history.append({"epoch": epoch, **{name: float(v) for name, v in means}})
    student.eval()
    return history


def _predictor(width: int, device: Any) -> nn.Module:
    """Layer norm without parameters, then width -> width / 2 -> width with GELU."""
    from torch import nn

    norm = nn.LayerNorm(width, elementwise_affine=False)
    first, second = nn.Linear(width, width // 2), nn.Linear(width // 2, width)
    return nn.Sequential(norm, first, nn.GELU(), second).to(device)


def _rate(step: int, steps: int, warm_up: float) -> float:
    """Share of the largest rate at a step: a linear rise, then a cosine to 0.01."""
    rising = int(warm_up * steps)
    if step < rising:
        return (step + 1) / rising
    turn = (step - rising) / max(1, steps - rising)
    return float(0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(turn, 1.0))))


def _batches(
    waveforms: Sequence[Floats32], size: int, longest: int, rng: np.random.Generator
) -> Iterator[list[Floats32]]:
    """Clips in random order, a random part of each."""
    order = rng.permutation(len(waveforms))
    for first in range(0, len(order), size):
        clips = [waveforms[i] for i in order[first : first + size]]
        begins = [int(rng.integers(0, max(1, len(c) - longest + 1))) for c in clips]
        yield [c[b : b + longest] for c, b in zip(clips, begins, strict=True)]


def _padded(
    clips: list[Floats32],
    rng: np.random.Generator,
    masking: Masking | None,
    frames: tuple[int, int],
    *,
    normalize: bool,
) -> list[np.ndarray[Any, Any]]:
    """Samples and which of them are no padding (batch, samples); the three masks of `losses`."""
    hop, reach = frames
    longest = max(map(len, clips))
    x = np.zeros((len(clips), longest), dtype=np.float32)
    heard = np.zeros((len(clips), longest), dtype=np.int64)
    masks = np.zeros((3, len(clips), (longest - reach) // hop + 1), dtype=bool)
    for i, clip in enumerate(clips):
        y = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7) if normalize else clip
        x[i, : len(y)], heard[i, : len(y)] = y, 1
        short, long = emotion_masks(frame_rms(y, reach, hop), rng, masking)
        masks[:, i, : len(short)] = short, long, np.ones_like(short)
    return [x, heard, *masks]


def _outputs(
    model: Any, x: Tensor, heard: Tensor, wanted: tuple[int, int], covered: Mapping[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """Outputs of two layers (from 1), with frames of the inputs of some (from 0) covered."""
    import torch

    layers, found, hooks = model.encoder.layers, dict[int, Any](), []

    def cover(mask: Tensor) -> Any:
        def replaced(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
            return (torch.where(mask[:, :, None], model.masked_spec_embed, given[0]), *given[1:])

        return replaced

    def keep(k: int) -> Any:
        return lambda _, __, out: found.__setitem__(k, out[0])

    try:
        hooks += [layers[i].register_forward_pre_hook(cover(m)) for i, m in covered.items()]
        hooks += [layers[k - 1].register_forward_hook(keep(k)) for k in wanted]
        model(x, attention_mask=heard)
    finally:
        for hook in hooks:
            hook.remove()
    return found[wanted[0]], found[wanted[1]]


def distil(
    where: str, folder: Path, waveforms: Sequence[Floats32], *, n_layers: int = 4, **settings: Any
) -> list[dict[str, float]]:
    """Compress a WavLM, pretrain the student, and write it as a directory.

    Parameters
    ----------
    where : what `serfeat.encoders.load_encoder` takes.
    folder : of the student.
    waveforms, settings : see `pretrain`.

    Returns
    -------
    The history of `pretrain`.

    Raises
    ------
    ModelError : the encoder is no WavLM, or has fewer layers.
    """
    teacher = load_encoder(where)
    if teacher.kind != "wavlm" or not 2 <= n_layers <= teacher.n_layers:
        raise ModelError(
            f"a {teacher.kind} of {teacher.n_layers} layers cannot teach a student of {n_layers}",
            where=where,
            code="no-teacher",
            fix="give a WavLM, and 2 layers or more",
        )
    student = compress(teacher.module, uniform_extract(teacher.n_layers, n_layers))
    student.to(teacher.device)
    normalize = bool(teacher.extractor.do_normalize)
    history = pretrain(student, teacher.module, waveforms, normalize=normalize, **settings)
    student.cpu().save_pretrained(folder)
    teacher.extractor.save_pretrained(folder)
    return history
