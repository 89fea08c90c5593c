"""A layer of an encoder as columns of a feature set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from serfeat.encoders.files import Architecture, architecture, digests, resolved, version_of
from serfeat.encoders.network import default_device, load_encoder
from serfeat.errors import FeatureError
from serfeat.types import Floats32, Reals

__all__ = ["EncoderColumns", "encoder_columns"]

Layer = int | Literal["last", "all"]

# Goes up when a value changes for another reason than the weights or the libraries.
VERSION = 1


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
            "files": dict(digests(resolved(self.where, weights=True))),
            "libraries": {name: version_of(name) for name in ("torch", "transformers")},
        }

    def require(self) -> None:
        """Load the encoder now, so that what is wrong with it is not every clip's failure.

        On the CPU: a GPU's memory is for who computes.
        """
        load_encoder(self.where, device="cpu")

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU here."""
        return default_device() != "cpu"


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
