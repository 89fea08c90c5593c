"""Pretrained speech encoders: the hidden states of wav2vec 2.0, HuBERT, WavLM and Whisper.

An encoder is a directory as `transformers` writes it: ``config.json``, ``preprocessor_config.json``
and the weights as safetensors (no pickle is read). Nothing is fetched unless the user gives the
name of a repository of the Hugging Face hub instead of a directory.

Conventions
-----------
* **Weights or an error.** A weight that the file lacks would be drawn at random, with no more than
  a warning; here it is a `ModelError`. (One that takes part in training only, the vector that
  replaces masked frames, may be absent.)
* **One clip at its own length.** Clips are never padded into a batch: what a clip gets does not
  depend on its neighbours. Whisper was trained on 30 s windows and pads to them; here its table of
  positions is cut to the clip instead, which is many times less work. Both ways give different
  values (the padding is attended to): this is another feature than the padded one.
* **Long clips in pieces.** Beyond `LONGEST` positions (30 s) a clip is cut into as few equal
  pieces as it takes, each as if it were a clip of its own; no position is lost at the seams. For
  Whisper 30 s is the limit of the model, for the others it bounds the memory of attention.
* **Input** is mono at the encoder's rate, in [-1, 1]. Where the preprocessor's ``do_normalize``
  says so, the whole clip is brought to mean 0 and variance 1 first.
* **Position i** begins at sample ``i * hop``. The wav2vec family's reaches over 25 ms from there,
  ``(n - 400) // 320 + 1`` positions in n samples; Whisper's two convolutions see 62.5 ms around
  it, ``n // 320`` positions. Shorter clips have none.
* **State 0** is the input of the first transformer layer, state k the output of layer k, and the
  last one ``last_hidden_state``: after the final layer norm, where the network has one.
* **Float32**, also where half precision is stored; CPU threads are torch's own (OMP_NUM_THREADS).

Contents
--------
`load_encoder`, `Encoder`         : a network and its states.
`encoder_columns`, `EncoderColumns` : a layer of it as columns of a feature set.
`architecture`, `Architecture`    : its shape, read without loading it.

Sources
-------
[1] A. Baevski et al., "wav2vec 2.0", NeurIPS 2020.
[2] W.-N. Hsu et al., "HuBERT", IEEE/ACM TASLP 29, 2021.
[3] S. Chen et al., "WavLM", IEEE JSTSP 16(6), 2022.
[4] A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import AudioError, FeatureError, MissingExtraError, ModelError
from serfeat.files import sha256
from serfeat.types import Floats32, Reals

__all__ = [
    "KINDS",
    "LONGEST",
    "Architecture",
    "Encoder",
    "EncoderColumns",
    "architecture",
    "encoder_columns",
    "hop_and_reach",
    "load_encoder",
]

Layer = int | Literal["last", "all"]

# Goes up when a value changes for another reason than the weights or the libraries.
VERSION = 1
LONGEST = 1500  # positions of a piece: 30 s

# model_type of config.json -> the class of transformers.
KINDS = {
    "wav2vec2": "Wav2Vec2Model",
    "hubert": "HubertModel",
    "wavlm": "WavLMModel",
    "whisper": "WhisperModel",
}
# transformers leaves out of config.json what has its default value.
_WAV2VEC = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
}
_WHISPER = {"d_model": 384, "encoder_layers": 4, "max_source_positions": 1500}
# Takes part in training only: the vector in place of masked frames.
_OPTIONAL = ("masked_spec_embed",)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CONFIG, _INPUT = "config.json", "preprocessor_config.json"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Architecture:
    """The shape of an encoder, as its two configuration files tell it.

    Parameters
    ----------
    kind : a key of `KINDS`.
    n_layers : transformer layers; there is one state more.
    width : values of a state.
    sr : Hz of the input.
    hop : samples between positions.
    receptive : samples without which there is no first position.
    longest : positions of a piece at most.
    licence : what the configuration says of the weights' licence.
    """

    kind: str
    n_layers: int
    width: int
    sr: int
    hop: int
    receptive: int
    longest: int = LONGEST
    licence: str = "unknown"

    @property
    def hop_s(self) -> float:
        """Seconds between positions."""
        return self.hop / self.sr

    def positions(self, n_samples: int) -> int:
        """Positions of a clip of that many samples."""
        return max(0, (n_samples - self.receptive) // self.hop + 1)


# ---------------------------------------------------------------------- columns of a feature set


@dataclass(frozen=True)
class EncoderColumns:
    """One layer of an encoder, or all of them side by side, as columns of a table.

    Parameters
    ----------
    where : directory, or name of a repository of the hub.
    layer : 0 to the number of layers, ``"last"``, or ``"all"``: every state beside the other, so
        that a head can learn their weights.
    architecture : of the encoder.
    """

    where: str
    layer: Layer
    architecture: Architecture

    @property
    def names(self) -> tuple[str, ...]:
        """Column names: ``enc_1``, ... for one layer, ``enc0_1``, ... for all."""
        places = range(1, self.architecture.width + 1)
        if self.layer != "all":
            return tuple(f"enc_{i}" for i in places)
        return tuple(f"enc{k}_{i}" for k in range(self.architecture.n_layers + 1) for i in places)

    @property
    def licence(self) -> str:
        """Licence tag of the weights."""
        return self.architecture.licence

    def positions(self, x: Reals, sr: int) -> Floats32:
        """(positions, columns) of a clip."""
        upto = self.layer if isinstance(self.layer, int) else None
        states = load_encoder(self.where).states(x, sr, upto=upto)
        return np.concatenate(states, axis=1) if self.layer == "all" else states[-1]

    def frames(self, positions: Floats32, n_frames: int, hop: float) -> Floats32:
        """Put positions on a grid: a frame takes the position in which its centre lies.

        Parameters
        ----------
        positions : (positions, columns), of `positions`.
        n_frames, hop : of the grid (hop in s).

        Returns
        -------
        (n_frames, columns). Frames after the last position take that one (it reaches beyond its
        own hop); all are NaN where the clip is too short for a position.
        """
        if not len(positions):
            return np.full((n_frames, positions.shape[1]), np.nan, dtype=np.float32)
        centres = np.arange(n_frames) * round(hop * self.architecture.sr)  # samples
        return positions[np.minimum(centres // self.architecture.hop, len(positions) - 1)]

    def fingerprint(self) -> dict[str, Any]:
        """What the values depend on besides the samples: contents and versions, never the path."""
        return {
            "version": VERSION,
            "layer": self.layer,
            "files": dict(_digests(_resolved(self.where, weights=True))),
            "libraries": {name: _version(name) for name in ("torch", "transformers")},
        }

    def require(self) -> None:
        """Load the encoder now, so that what is wrong with it is not every clip's failure."""
        load_encoder(self.where)


def encoder_columns(expression: str) -> EncoderColumns:
    """Read ``WHERE@LAYER``: a directory or hub name, and a number, ``last`` or ``all``.

    Without ``@LAYER`` it is the last layer. WHERE may hold anything but ``,`` and ``@``; a relative
    directory starts at the current one; environment variables and ``~`` are not replaced.

    Raises
    ------
    FeatureError : a layer that the encoder does not have.
    ModelError : see `architecture`.
    """
    where, mark, word = expression.partition("@")
    where, word = where.strip(), word.strip()
    shape = architecture(where)
    if not mark or word == "last":
        return EncoderColumns(where, "last", shape)
    if word == "all":
        return EncoderColumns(where, "all", shape)
    if not word.isdecimal() or int(word) > shape.n_layers:
        raise FeatureError(
            f"no layer {word!r}, expected 0 to {shape.n_layers}, last or all",
            where=f"encoder {where}",
            code="bad-layer",
        )
    return EncoderColumns(where, int(word), shape)


# ---------------------------------------------------------------------- the network


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
        batch = torch.from_numpy(values)[None].to(self.device)
        with torch.no_grad():
            if self.kind == "whisper":
                positions = batch.shape[-1] // 2  # two mel frames make one
                with _own_length(self.module, positions):
                    found = _states(self.module, batch[..., : 2 * positions], upto)
            else:
                found = _states(self.module, batch, upto)
        return [s[0].cpu().numpy() for s in found]


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
    folder = _resolved(str(where), weights=True)
    stamps = tuple((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in _files(folder))
    return _loaded(folder, stamps, device, os.getpid())


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
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    encoder = module.get_encoder() if shape.kind == "whisper" else module
    return Encoder(shape, encoder.eval().requires_grad_(False).to(where), extractor, where)


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


# ---------------------------------------------------------------------- files


def architecture(where: str) -> Architecture:
    """Read the shape of an encoder from its configuration files; no heavy package is imported.

    Raises
    ------
    ModelError : no such directory, not reachable on the hub, not an encoder of `KINDS`, or a
        configuration that cannot be read.
    """
    folder = _resolved(where, weights=False)
    config, given = _json(folder / _CONFIG), _json(folder / _INPUT)
    kind = config.get("model_type")
    if kind not in KINDS:
        raise ModelError(
            f"is of the type {kind!r}, expected {', '.join(KINDS)}",
            where=folder / _CONFIG,
            code="unknown-encoder",
        )
    try:
        sr = int(given.get("sampling_rate", 16_000))
        licence = str(config.get("license") or config.get("licence") or "unknown")
        if kind == "whisper":
            c = _WHISPER | config
            hop = 2 * int(given.get("hop_length", 160))
            longest = int(c["max_source_positions"])
            layers, width = int(c["encoder_layers"]), int(c["d_model"])
            return Architecture(kind, layers, width, sr, hop, hop, longest, licence)
        c = _WAV2VEC | config
        hop, receptive = hop_and_reach(c["conv_kernel"], c["conv_stride"])
        layers, width = int(c["num_hidden_layers"]), int(c["hidden_size"])
        return Architecture(kind, layers, width, sr, hop, receptive, LONGEST, licence)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"has a value of another type ({error})", where=folder / _CONFIG, code="bad-config"
        ) from None


def hop_and_reach(kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Samples from one position to the next, and those that a position sees, of convolutions."""
    hop, reach = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        reach += (int(kernel) - 1) * hop
        hop *= int(stride)
    return hop, reach


def _json(path: Path) -> dict[str, Any]:
    """Read a configuration file."""
    if not path.is_file():
        raise ModelError(
            f"has no {path.name}",
            where=path.parent,
            code="missing-config",
            fix="save the model and its feature extractor there with save_pretrained",
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise ModelError(f"not JSON ({error})", where=path, code="bad-config") from None
    return found


def _resolved(where: str, *, weights: bool) -> Path:
    """Directory of an encoder; a hub name is fetched or found in the hub's own cache."""
    folder = Path(where)
    if folder.is_dir():
        return folder.resolve()
    if folder.is_absolute() or not _HUB_NAME.fullmatch(where):
        raise ModelError(
            f"the encoder {where!r} is no directory here",
            code="missing-encoder",
            fix="give a directory that holds config.json, preprocessor_config.json and "
            "model.safetensors",
        )
    return _of_hub(where, weights=weights)


@lru_cache(maxsize=16)
def _of_hub(name: str, *, weights: bool) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError.of("transformers", "ssl", f"the encoder {name}") from error
    wanted = [_CONFIG, _INPUT, *([_WEIGHTS, _INDEX, "model-*.safetensors"] if weights else [])]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # of the network, of the disk, of the hub
        raise ModelError(
            f"the encoder {name!r} is no directory here and cannot be had from the Hugging Face "
            f"hub ({type(error).__name__})",
            code="missing-encoder",
            fix="without a network, copy the model's directory here and give its path",
        ) from None


def _files(folder: Path) -> list[Path]:
    """The files that make an encoder: two configurations and the weights."""
    weights = [folder / _WEIGHTS]
    if not weights[0].is_file() and (folder / _INDEX).is_file():
        shards = _json(folder / _INDEX).get("weight_map", {}).values()
        weights = [folder / _INDEX, *(folder / Path(s).name for s in sorted(set(shards)))]
    found = [folder / _CONFIG, folder / _INPUT, *weights]
    for path in found:
        if not path.is_file():
            pickled = (folder / "pytorch_model.bin").is_file() and path.name == _WEIGHTS
            kind = KINDS.get(_json(folder / _CONFIG).get("model_type", ""), "the model")
            raise ModelError(
                f"has no {path.name}" + (", only a pickle, which is not read" if pickled else ""),
                where=folder,
                code="missing-weights",
                fix=f"load it with transformers' {kind} and save_pretrained it to a directory"
                if pickled
                else "copy or fetch it again",
            )
    return found


def _digests(folder: Path) -> list[tuple[str, str]]:
    """Name and SHA-256 of every file of an encoder."""
    return [
        (path.name, _digest(path, path.stat().st_mtime_ns, path.stat().st_size))
        for path in _files(folder)
    ]


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:  # noqa: ARG001
    """SHA-256 of a file, once for each state of it: weights are large."""
    return sha256(path)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
