"""Ragged frame sequences that scikit-learn can index, in memory or on the disk.

A corpus of frame-level features is one tall array and the place where each clip begins in it. With
`shape`, `len` and integer-array indexing it is all that scikit-learn asks of an X, so that neural
heads on sequences and classical models on tables go through the same folds and the same code.

Conventions
-----------
Where the tall array is memory-mapped it may be larger than the memory, and nothing is read before
it is used: choosing clips and joining them only notes which (`__getitem__`, `joined`), a scaler's
work is done on each clip when it is asked for (`each_frame`), and whoever needs all frames takes
them in `blocks` or a few `columns` at a time. The property `values` is there in both cases, and
reads everything. A map that is not `large` may be read: then training is quicker.

Contents
--------
`Sequences`    : the clips.
`write_mapped` : makes the two files of a memory map, ``<stem>.npy`` and ``<stem>.offsets``.
`read_mapped`  : the clips that are in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from serfeat.errors import FeatureError, StoreError
from serfeat.files import committed, committed_as
from serfeat.types import Floats32, Ints

__all__ = ["Sequences", "read_mapped", "write_mapped"]

BLOCK = 1 << 22  # values that are read at a time: 16 MiB
IN_MEMORY = 1 << 27  # values: more of them, if on the disk, stay there: 512 MiB

FrameFunction = Callable[[Any], Any]  # (frames, k) -> (frames, m), frame by frame


class Sequences:
    """Clips of different lengths, one after the other.

    Parameters
    ----------
    values : (total_frames, k) float32; may be memory-mapped.
    offsets : (n + 1,) int64: clip i is ``values[offsets[i]:offsets[i + 1]]``.

    Attributes
    ----------
    mapped : whether the frames stay on the disk until they are used.
    file : stem of the two files that hold these clips and no others; None if there are none.
    lengths : (n,) frames of each clip.
    """

    def __init__(self, values: Floats32, offsets: Ints) -> None:
        if values.ndim != 2 or offsets.ndim != 1 or len(offsets) < 1:
            raise FeatureError(
                f"values of shape {values.shape} and offsets of shape {offsets.shape}, expected "
                "(total_frames, k) and (n + 1,)",
                code="bad-shape",
            )
        lengths = np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != len(values) or (lengths < 1).any():
            raise FeatureError(
                f"offsets must rise from 0 to {len(values)}, the number of frames",
                code="bad-offsets",
            )
        self.mapped = isinstance(values, np.memmap)
        self.file: Path | None = None
        # A plain view of the map: slicing a np.memmap costs more than reading a short clip.
        self._base: Any = np.asarray(values)
        self._begins = np.asarray(offsets[:-1])
        self._steps: tuple[FrameFunction, ...] = ()
        self.lengths: Ints = lengths
        self.offsets: Ints = offsets

    @classmethod
    def of(cls, clips: Sequence[Any]) -> Sequences:
        """Join arrays of shape (frames_i, k)."""
        arrays = [np.asarray(clip, dtype=np.float32) for clip in clips]
        lengths = np.array([len(a) for a in arrays], dtype=np.int64)
        # One long recording is not copied.
        values = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]))

    @property
    def large(self) -> bool:
        """Whether the frames should stay on the disk: there are more than `IN_MEMORY` values."""
        return self.mapped and int(self.offsets[-1]) * self.shape[1] > IN_MEMORY

    @classmethod
    def joined(cls, parts: Sequence[Sequences]) -> Sequences:
        """Put the clips of several one after the other; those on the disk stay there.

        Raises
        ------
        FeatureError : no parts, or parts of different columns.
        """
        if len({part.shape[1] for part in parts}) != 1:
            raise FeatureError(
                f"parts of {sorted({part.shape[1] for part in parts})} columns, expected one "
                "number for all",
                code="bad-shape",
            )
        if not all(part.mapped and not part._steps for part in parts):
            return cls.of([clip for part in parts for clip in part])
        base = _Stacked([part._base for part in parts])
        made = parts[0]._chosen(np.arange(0))
        made._base = base
        shifts = zip(parts, base.begins, strict=True)
        made._begins = np.concatenate([part._begins + shift for part, shift in shifts])
        made.lengths = np.concatenate([part.lengths for part in parts])
        made.offsets = np.concatenate([[0], np.cumsum(made.lengths, dtype=np.int64)])
        return made

    @property
    def values(self) -> Floats32:
        """(total_frames, k): all frames, read from the disk if they are mapped."""
        if self._contiguous and not self._steps:
            return np.asarray(self._base[self._whole], dtype=np.float32)
        return self.columns(0, self.shape[1])

    @property
    def _contiguous(self) -> bool:
        """Whether the clips stand one after the other in the base."""
        if isinstance(self._base, _Stacked):
            return False
        ends = self._begins + self.lengths
        return bool((ends[:-1] == self._begins[1:]).all())

    @property
    def _whole(self) -> slice:
        first = int(self._begins[0]) if len(self) else 0
        return slice(first, first + int(self.offsets[-1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(number of clips, k): what scikit-learn reads."""
        return len(self), int(self._applied(self._base[:0]).shape[1])

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, which: int | np.integer[Any]) -> Floats32: ...
    @overload
    def __getitem__(self, which: slice | list[int] | np.ndarray[Any, Any]) -> Sequences: ...
    def __getitem__(self, which: Any) -> Any:
        """One clip (frames, k) for an integer; `Sequences` for a slice, mask or index array.

        Clips that stand one after the other, and all clips of a memory map, are not copied.
        """
        if isinstance(which, int | np.integer):
            i = range(len(self))[which]
            first = self._begins[i]
            return self._applied(self._base[first : first + self.lengths[i]])
        rows = np.arange(len(self))[which]
        chosen = self._chosen(rows)
        if self.mapped or chosen._contiguous:
            return chosen
        return Sequences.of([self[int(i)] for i in rows])

    def __iter__(self) -> Iterator[Floats32]:
        return (self[i] for i in range(len(self)))

    def blocks(self, values: int = BLOCK) -> Iterator[Sequences]:
        """Yield the clips in order, in parts of about so many values, at least one clip each."""
        frames = max(1, values // max(1, self._base.shape[1]))
        first = 0
        while first < len(self):
            end = int(np.searchsorted(self.offsets, self.offsets[first] + frames, "right")) - 1
            end = max(end, first + 1)
            yield self._chosen(np.arange(first, end))
            first = end

    def portions(self) -> Iterator[Sequences]:
        """Yield all clips at once, or in `blocks` where they are too many for the memory."""
        return self.blocks() if self.large else iter([self])

    def parts(self) -> Iterator[tuple[int, Floats32]]:
        """Yield (frame at which it begins, frames) in `blocks`: what `write_mapped` takes."""
        first = 0
        for block in self.blocks():
            yield first, block.values
            first += int(block.offsets[-1])

    def columns(self, first: int, end: int) -> Floats32:
        """(total_frames, end - first): some columns of all frames, in memory."""
        out = np.empty((int(self.offsets[-1]), end - first), dtype=np.float32)
        for i, clip in enumerate(self):
            out[self.offsets[i] : self.offsets[i + 1]] = clip[:, first:end]
        return out

    def with_values(self, values: Floats32) -> Sequences:
        """Return the same clips with other numbers in them (a scaler's result)."""
        return Sequences(np.asarray(values, dtype=np.float32), self.offsets)

    def each_frame(self, function: FrameFunction) -> Sequences:
        """Return the same clips after `function`, which works on each frame by itself.

        In memory it is applied at once; to a memory map, clip by clip whenever one is asked for.
        """
        if not self.mapped:
            return self.with_values(function(self.values))
        made = self._chosen(np.arange(len(self)))
        made._steps = (*self._steps, function)
        return made

    def _chosen(self, rows: Ints) -> Sequences:
        """Some clips over the same base."""
        made = object.__new__(Sequences)
        made.mapped, made._base, made._steps = self.mapped, self._base, self._steps
        made.file = None
        made._begins, made.lengths = self._begins[rows], self.lengths[rows]
        made.offsets = np.concatenate([[0], np.cumsum(made.lengths, dtype=np.int64)])
        return made

    def _applied(self, frames: Any) -> Any:
        for step in self._steps:
            frames = np.asarray(step(frames), dtype=np.float32)
        return frames

    def __repr__(self) -> str:
        return f"Sequences({len(self)} clips, {self.offsets[-1]} frames, {self.shape[1]} columns)"


class _Stacked:
    """Several tall arrays as one that is read clip by clip; no clip lies in two of them."""

    def __init__(self, bases: Sequence[Any]) -> None:
        # A base may be such a stack itself.
        self.bases = [b for base in bases for b in getattr(base, "bases", [base])]
        ends = np.cumsum([len(base) for base in bases], dtype=np.int64)
        self.begins = [0, *ends[:-1].tolist()]  # of the arrays that were given
        self._ends = np.cumsum([len(base) for base in self.bases], dtype=np.int64)
        self.shape = (int(ends[-1]), self.bases[0].shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: slice) -> Any:
        first = frames.start or 0
        i = min(int(np.searchsorted(self._ends, first, "right")), len(self.bases) - 1)
        shift = int(self._ends[i]) - len(self.bases[i])
        return self.bases[i][first - shift : frames.stop - shift]


# --- memory maps ----------------------------------------------------------------------------------


def write_mapped(
    stem: Path, shape: tuple[int, int], offsets: Ints, parts: Iterable[tuple[int, Floats32]]
) -> Sequences:
    """Write frames to the disk as they come, and map them.

    Parameters
    ----------
    stem : of the two files' names; a digest of the frames is added.
    shape : (total_frames, k).
    offsets : (n + 1,), as in `Sequences`.
    parts : (frame at which it begins, (frames, k)), in any order, together every frame.

    Raises
    ------
    StoreError : the disk is full or fails; nothing is left of the file.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    names: list[str] = []

    def name(digest: str) -> str:
        names.append(f"{stem.name}-{digest[:16]}")
        return f"{names[0]}.npy"

    # Written, not mapped: a map on a full disk ends the process instead of raising an error.
    with committed_as(stem.parent, name) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        begin = stream.tell()
        for frame, values in parts:
            stream.seek(begin + frame * shape[1] * 4)
            stream.write(np.ascontiguousarray(values, dtype="<f4").data)
    made = stem.with_name(names[0])
    with committed(made.with_name(f"{names[0]}.offsets")) as temporary, temporary.open("wb") as f:
        np.save(f, np.asarray(offsets, dtype=np.int64), allow_pickle=False)
    return read_mapped(made)


def read_mapped(stem: Path) -> Sequences:
    """Map the frames of ``<stem>.npy``, whose clips are those of ``<stem>.offsets``.

    Raises
    ------
    StoreError : one of the files is not there or is not what was written.
    """
    files = [stem.with_name(stem.name + suffix) for suffix in (".npy", ".offsets")]
    try:
        offsets = np.load(files[1], allow_pickle=False)
        mode: Any = "r" if offsets[-1] else None  # nothing cannot be mapped
        made = Sequences(np.load(files[0], mmap_mode=mode, allow_pickle=False), offsets)
        made.file = stem
        return made
    except FileNotFoundError as error:
        raise StoreError("no such frames", where=error.filename, code="missing") from None
    except (ValueError, IndexError, EOFError):
        raise StoreError(
            "not the frames that were written",
            where=stem,
            code="damaged",
            fix="remove the files, they are made anew",
        ) from None
