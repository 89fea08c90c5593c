"""A pretrained encoder as a network: loaded whole or not at all, applied to one clip at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from serfeat.encoders.files import KINDS, Architecture, architecture, resolved, weight_files
from serfeat.errors import AudioError, FeatureError, MissingExtraError, ModelError
from serfeat.precision import exact_float32
from serfeat.types import Floats32

__all__ = ["Encoder", "default_device", "load_encoder"]

# Takes part in training only: the vector in place of masked frames.
_OPTIONAL = ("masked_spec_embed",)


class Encoder:
    """A pretrained encoder in evaluation mode; made by `load_encoder`.

    Attributes
    ----------
    architecture : its shape; kind, n_layers, width, hop_s are also here.
    module, extractor : the `transformers` network and what prepares its input.
    device : torch's name of where it computes.
    """

    def __init__(self, shape: Architecture, module: Any, extractor: Any, device: str) -> None:
        self.architecture = shape
        self.kind, self.n_layers, self.width = shape.kind, shape.n_layers, shape.width
        self.hop_s = shape.hop_s
        self.module = module
        self.device = device
        self.extractor = extractor

    def states(self, x: ArrayLike, sr: int, *, upto: int | None = None) -> list[Floats32]:
        """Compute the hidden states of one clip.

        Parameters
        ----------
        x : (n,) mono in [-1, 1].
        sr : Hz; must be the encoder's.
        upto : the last state that is wanted, if not all are: the layers after it do not run.

        Returns
        -------
        States 0 to `upto`, n_layers + 1 of them by default: arrays (positions, width).

        Raises
        ------
        AudioError : not a finite mono signal. FeatureError : another rate.
        """
        signal = np.asarray(x, dtype=np.float32)
        if signal.ndim != 1 or not np.isfinite(signal).all():
            raise AudioError(
                f"an encoder was given an array of shape {signal.shape}, expected (n_samples,) "
                "with finite samples",
                code="bad-signal",
            )
        shape = self.architecture
        if sr != shape.sr:
            raise FeatureError(
                f"takes {shape.sr} Hz, was given {sr} Hz",
                where=f"encoder {self.kind}",
                code="bad-rate",
                fix="resample before",
            )
        last_state = self.n_layers if upto is None else upto
        total = shape.positions(len(signal))
        if not total:
            return [np.empty((0, self.width), dtype=np.float32)] * (last_state + 1)
        pieces = -(-total // shape.longest)
        edges = [i * total // pieces for i in range(pieces + 1)]
        if self.kind != "whisper":
            signal = self._extracted(signal)  # the whole clip is normalised, not every piece
        parts = []
        for first, last in pairwise(edges):
            end = len(signal) if last == total else (last - 1) * shape.hop + shape.receptive
            parts.append(self._piece(signal[first * shape.hop : end], last_state))
        return [np.concatenate(states) for states in zip(*parts, strict=True)]

    def _extracted(self, signal: Floats32) -> Any:
        """Return what the model's own extractor makes of a signal: (n,), or (bands, mel frames)."""
        of_whisper = {"padding": "do_not_pad"} if self.kind == "whisper" else {}
        made = self.extractor(
            signal, sampling_rate=self.architecture.sr, return_tensors="np", **of_whisper
        )
        name = "input_features" if self.kind == "whisper" else "input_values"
        return np.asarray(made[name][0], dtype=np.float32)

    def _piece(self, signal: Floats32, upto: int) -> list[Floats32]:
        """States 0 to `upto` of at most `longest` positions."""
        import torch

        values = self._extracted(signal) if self.kind == "whisper" else signal
        try:
            batch = torch.from_numpy(values)[None].to(self.device)
            with torch.no_grad(), exact_float32():
                if self.kind == "whisper":
                    positions = batch.shape[-1] // 2  # two mel frames make one
                    with _own_length(self.module, positions):
                        found = _states(self.module, batch[..., : 2 * positions], upto)
                else:
                    found = _states(self.module, batch, upto)
            return [s[0].cpu().numpy() for s in found]
        except torch.OutOfMemoryError as error:  # a GPU's; no `MemoryError`, as which a clip fails
            raise MemoryError(str(error).splitlines()[0]) from None


class _ReachedError(Exception):
    """The last state that is wanted has been computed."""


def _states(module: Any, batch: Any, upto: int) -> list[Any]:
    """What goes into the first layer, what comes out of it and of the others, up to one.

    Read with hooks: what `output_hidden_states` calls the last one depends on the version of
    transformers, and it would run all layers.
    """
    layers = getattr(module, "encoder", module).layers
    found: list[Any] = []

    def keep(state: Any) -> None:
        found.append(state)
        if len(found) == upto + 1 <= len(layers):
            raise _ReachedError

    hooks = [layers[0].register_forward_pre_hook(lambda _, given: keep(given[0]))]
    for layer in layers[:-1]:
        # a layer of some families returns its attention beside its output
        hooks.append(
            layer.register_forward_hook(
                lambda _, __, out: keep(out[0] if isinstance(out, tuple) else out)
            )
        )
    try:
        found.append(module(batch).last_hidden_state)
    except _ReachedError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found


@contextmanager
def _own_length(encoder: Any, positions: int) -> Iterator[None]:
    """Within this a Whisper encoder takes ``2 * positions`` mel frames; not for several threads.

    Its forward refuses any length but that of its table of positions; so the table is cut.
    """
    import torch

    table, limit = encoder.embed_positions, encoder.config.max_source_positions
    cut: Any = torch.nn.Embedding
    encoder.embed_positions = cut.from_pretrained(table.weight[:positions])
    encoder.config.max_source_positions = positions
    try:
        yield
    finally:
        encoder.embed_positions, encoder.config.max_source_positions = table, limit


def load_encoder(where: str | Path, *, device: str = "auto") -> Encoder:
    """Load an encoder, once per process.

    Parameters
    ----------
    where : directory, or name of a repository of the hub (``"facebook/wav2vec2-base"``).
    device : ``"auto"`` takes a GPU if there is one; else a torch device.

    Raises
    ------
    MissingExtraError : torch or transformers is not installed.
    ModelError : no such encoder, files that are missing or damaged, weights that are not all there.
    """
    folder = resolved(str(where), weights=True)
    stamps = tuple((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in weight_files(folder))
    return _loaded(folder, stamps, default_device() if device == "auto" else device, os.getpid())


def default_device() -> str:
    """Where an encoder computes if nobody says: on a GPU, if there is one."""
    try:
        import torch
    except ImportError:
        return "cpu"  # it will not compute at all
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=2)
def _loaded(folder: Path, stamps: object, device: str, process: int) -> Encoder:  # noqa: ARG001
    """One encoder per directory, state of its files, device and process."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError.of(str(error.name), "ssl", "a pretrained encoder") from error
    shape = architecture(str(folder))
    chosen = getattr(transformers, KINDS[shape.kind])
    name = "WhisperFeatureExtractor" if shape.kind == "whisper" else "Wav2Vec2FeatureExtractor"
    try:
        with _quiet(transformers):
            module, info = chosen.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
            extractor = getattr(transformers, name).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # of several libraries, without a common ancestor
        first = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"cannot be loaded ({type(error).__name__}: {first[:200]})",
            where=folder,
            code="bad-encoder",
            fix="copy or fetch it again",
        ) from None
    _check_complete(folder, shape, module, info)
    encoder = module.get_encoder() if shape.kind == "whisper" else module
    return Encoder(shape, encoder.eval().requires_grad_(False).to(device), extractor, device)


def _check_complete(folder: Path, shape: Architecture, module: Any, info: Any) -> None:
    """Refuse a network of which anything was drawn at random."""
    missing = {str(name) for name in info["missing_keys"]}
    missing |= {str(entry[0]) for entry in info["mismatched_keys"]}
    needed = sorted(
        name
        for name in missing
        if not name.endswith(_OPTIONAL)
        and (shape.kind != "whisper" or name.startswith("encoder."))  # its decoder is not used
    )
    if needed:
        known = sum(1 for _ in module.state_dict())
        raise ModelError(
            f"{len(needed)} of {known} weights are missing or of another shape, the first is "
            f"{needed[0]}; they would be random",
            where=folder,
            code="missing-weights",
            fix=f"save a whole {KINDS[shape.kind]} with save_pretrained",
        )


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep the reports and progress bars of transformers off the terminal: we say what matters."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
