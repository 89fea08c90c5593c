"""The files of a pretrained encoder: where they are, what they say of its shape, their digests."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serfeat.errors import MissingExtraError, ModelError
from serfeat.files import sha256

__all__ = [
    "KINDS",
    "LONGEST",
    "Architecture",
    "architecture",
    "digests",
    "hop_and_reach",
    "resolved",
    "version_of",
    "weight_files",
]

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


def architecture(where: str) -> Architecture:
    """Read the shape of an encoder from its configuration files; no heavy package is imported.

    Raises
    ------
    ModelError : no such directory, not reachable on the hub, not an encoder of `KINDS`, or a
        configuration that cannot be read.
    """
    folder = resolved(where, weights=False)
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


def resolved(where: str, *, weights: bool) -> Path:
    """Directory of an encoder: as given, in ``$SERFEAT_ENCODERS``, or fetched from the hub."""
    folder = Path(where)
    base = os.environ.get("SERFEAT_ENCODERS")
    if base and not folder.is_dir():
        folder = Path(base) / where
    if folder.is_dir():
        return folder.resolve()
    folder = Path(where)
    if folder.is_absolute() or not _HUB_NAME.fullmatch(where):
        raise ModelError(
            f"the encoder {where!r} is no directory here",
            code="missing-encoder",
            fix="give a directory that holds config.json, preprocessor_config.json and "
            "model.safetensors, or set SERFEAT_ENCODERS to the folder that holds it",
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


def weight_files(folder: Path) -> list[Path]:
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


def digests(folder: Path) -> list[tuple[str, str]]:
    """Name and SHA-256 of every file of an encoder."""
    return [
        (path.name, _digest(path, path.stat().st_mtime_ns, path.stat().st_size))
        for path in weight_files(folder)
    ]


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int) -> str:  # noqa: ARG001
    """SHA-256 of a file, once for each state of it: weights are large."""
    return sha256(path)


def version_of(package: str) -> str:
    """Version of an installed package, "absent" where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
