"""Ragged frame sequences that scikit-learn can index.

A corpus of frame-level features is one tall array and the place where each clip begins in it. With
`shape`, `len` and integer-array indexing it is all that scikit-learn asks of an X, so that neural
heads on sequences and classical models on tables go through the same folds and the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from serfeat.errors import FeatureError
from serfeat.types import Floats32, Ints

__all__ = ["Sequences"]


class Sequences:
    """Clips of different lengths, one after the other.

    Parameters
    ----------
    values : (total_frames, k) float32; may be memory-mapped.
    offsets : (n + 1,) int64: clip i is ``values[offsets[i]:offsets[i + 1]]``.
    """

    def __init__(self, values: Floats32, offsets: Ints) -> None:
        if values.ndim != 2 or offsets.ndim != 1 or len(offsets) < 1:
            raise FeatureError(
                f"values of shape {values.shape} and offsets of shape {offsets.shape}, expected "
                "(total_frames, k) and (n + 1,)",
                code="bad-shape",
            )
        if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 1).any():
            raise FeatureError(
                f"offsets must rise from 0 to {len(values)}, the number of frames",
                code="bad-offsets",
            )
        self.values = values
        self.offsets = offsets

    @classmethod
    def of(cls, clips: Sequence[Any]) -> Sequences:
        """Join arrays of shape (frames_i, k)."""
        arrays = [np.asarray(clip, dtype=np.float32) for clip in clips]
        lengths = np.array([len(a) for a in arrays], dtype=np.int64)
        # One long recording is not copied.
        values = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]))

    @property
    def lengths(self) -> Ints:
        """(n,) frames of each clip."""
        return np.diff(self.offsets)

    @property
    def shape(self) -> tuple[int, int]:
        """(number of clips, k): what scikit-learn reads."""
        return len(self), int(self.values.shape[1])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, which: int | np.integer[Any]) -> Floats32: ...
    @overload
    def __getitem__(self, which: slice | list[int] | np.ndarray[Any, Any]) -> Sequences: ...
    def __getitem__(self, which: Any) -> Any:
        """One clip (frames, k) for an integer; `Sequences` for a slice, mask or index array."""
        if isinstance(which, int | np.integer):
            i = range(len(self))[which]
            return self.values[self.offsets[i] : self.offsets[i + 1]]
        rows = np.arange(len(self))[which]
        if not len(rows):
            return Sequences(self.values[:0], np.zeros(1, dtype=np.int64))
        return Sequences.of([self[int(i)] for i in rows])

    def __iter__(self) -> Iterator[Floats32]:
        return (self[i] for i in range(len(self)))

    def with_values(self, values: Floats32) -> Sequences:
        """Return the same clips with other numbers in them (a scaler's result)."""
        return Sequences(np.asarray(values, dtype=np.float32), self.offsets)

    def __repr__(self) -> str:
        return f"Sequences({len(self)} clips, {len(self.values)} frames, {self.shape[1]} columns)"
