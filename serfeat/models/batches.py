"""Clips of different lengths as padded batches of a neural head.

Conventions
-----------
Batches are made of clips of similar length (little padding): the clips are shuffled, sorted by
length within pools of `POOL` batches, cut, and the batches are shuffled again. The last, incomplete
batch is kept; if it holds a single clip, that joins its neighbour (batch statistics of one row are
void).

Contents
--------
`as_clips`      : a table or frames, finite, as `Sequences`.
`batches`       : which clips go together in an epoch.
`padded`        : tensors of some clips.
`sent`          : an array on a device.
`logits`        : a module applied to all clips.
`outputs`       : the same for every task of a multi-task module.
`Room`          : halves what does not fit into the memory.
`out_of_memory` : whether an error says that it was wanting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from serfeat.errors import ModelError
from serfeat.sequences import Sequences
from serfeat.types import Floats32, Ints

__all__ = [
    "POOL",
    "Room",
    "as_clips",
    "batches",
    "logits",
    "out_of_memory",
    "outputs",
    "padded",
    "sent",
]

Done = TypeVar("Done")

POOL = 8  # batches that are sorted by length together


def as_clips(estimator: Any, X: Any, *, training: bool) -> Sequences:
    """Return X as clips; a row of a table is a clip of one frame.

    Parameters
    ----------
    estimator : gets `n_features_in_` when `training`, else says what X must have.
    X : (n, k) array, or `Sequences` of n clips.

    Raises
    ------
    ModelError : NaN or infinity, or other columns than in training.
    ValueError, NotFittedError : no clip; never trained (scikit-learn's contract).
    """
    if not training:
        check_is_fitted(estimator, "n_features_in_")
    if isinstance(X, Sequences):
        clips = X
        if not len(clips):
            raise ValueError("Found 0 clips, expected one or more")  # as of a table with no row
        if training:
            estimator.n_features_in_ = clips.shape[1]
        elif clips.shape[1] != estimator.n_features_in_:
            raise ModelError(
                f"the frames have {clips.shape[1]} columns, trained on {estimator.n_features_in_}",
                code="other-features",
            )
    else:
        rows = validate_data(
            estimator, X, dtype=np.float32, reset=training, ensure_all_finite=False
        )
        clips = Sequences(rows, np.arange(len(rows) + 1, dtype=np.int64))
    bad = sum(np.count_nonzero(~np.isfinite(part.values)) for part in clips.blocks())
    if bad:
        raise ModelError(
            f"X holds {bad} values that are NaN or infinity",
            code="nan-input",
            fix="impute inside the pipeline, fitted on the training rows",
        )
    return clips


def batches(lengths: Ints, size: int, rng: np.random.Generator) -> list[Ints]:
    """Cut shuffled clips into batches of similar length, in random order.

    Parameters
    ----------
    lengths : (n,) frames of each clip.
    size : clips in a batch.

    Returns
    -------
    Positions of the clips, an array for each batch; every clip is in exactly one.
    """
    order = rng.permutation(len(lengths))
    cuts = []
    for begin in range(0, len(order), POOL * size):
        pool = order[begin : begin + POOL * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        cuts += [pool[i : i + size] for i in range(0, len(pool), size)]
    if len(cuts) > 1 and len(cuts[-1]) == 1:
        cuts[-2:] = [np.concatenate(cuts[-2:])]
    return [cuts[i] for i in rng.permutation(len(cuts))]


def padded(
    clips: Sequences, rows: Ints, device: torch.device, *, frames: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return (batch, frames, k) with zeros after the end of each clip, and the lengths.

    `frames` is by default that of the longest of these clips.
    """
    lengths = clips.lengths[rows]
    longest = frames or int(lengths.max())
    x: Floats32 = np.zeros((len(rows), longest, clips.shape[1]), dtype=np.float32)
    for i, row in enumerate(rows):
        x[i, : lengths[i]] = clips[int(row)]
    return sent(x, device), sent(lengths, device)


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """Send an array to a device; the host goes on while it travels to a GPU."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Room:
    """How many padded frames fit into the memory, as far as it has been tried.

    Attributes
    ----------
    most : padded frames of a batch (clips times the longest); infinite until one did not fit.
    """

    def __init__(self) -> None:
        self.most = float("inf")

    def each(
        self,
        work: Callable[[Ints], Done],
        rows: Ints,
        lengths: Ints,
        *,
        again: Callable[[], object] = lambda: None,
    ) -> list[Done]:
        """Do some work on clips, in as few parts as fit; what it gives for each part, in order.

        Parameters
        ----------
        work : is given positions of clips.
        rows, lengths : positions, and the frames of every clip.
        again : undoes what was begun; the work begins anew with smaller parts.

        Raises
        ------
        ModelError : code ``memory``: not even one clip fits.
        """
        while True:
            try:
                return [work(part) for part in self._parts(rows, lengths)]
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                reason = str(error)
            again()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._halve(rows, lengths, reason)

    def _halve(self, rows: Ints, lengths: Ints, reason: str) -> None:
        largest = max(self._parts(rows, lengths), key=lambda p: len(p) * int(lengths[p].max()))
        if len(largest) == 1:
            raise ModelError(
                f"a clip of {int(lengths[largest].max())} frames does not fit into the memory "
                f"({(reason or 'MemoryError').splitlines()[0][:200]})",
                code="memory",
                fix="cut long recordings into segments, or take a smaller network",
            )
        self.most = len(largest) * int(lengths[largest].max()) / 2

    def _parts(self, rows: Ints, lengths: Ints) -> Iterator[Ints]:
        """Yield halves, and halves of them, until each fits or is a clip."""
        if len(rows) == 1 or len(rows) * int(lengths[rows].max()) <= self.most:
            yield rows
            return
        half = len(rows) // 2
        yield from self._parts(rows[:half], lengths)
        yield from self._parts(rows[half:], lengths)


# What torch's errors say for want of memory: of CUDA, the CPU, cuBLAS, cuDNN, and of a convolution
# for whose ways none has room.
_WANTING = (
    *("out of memory", "can't allocate memory", "alloc_failed", "allocation_failed"),
    "unable to find an engine to execute",
)


def out_of_memory(error: Exception) -> bool:
    """Whether it says that memory was wanting."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error).lower() for words in _WANTING)


def logits(module: nn.Module, clips: Sequences, batch_size: int) -> Tensor:
    """(n, n_classes) float64 on the CPU, in the order of the clips; sets evaluation mode."""
    return _applied(module, lambda x, n: {"": module(x, n)}, clips, batch_size)[""]


def outputs(module: nn.Module, clips: Sequences, batch_size: int) -> dict[str, Tensor]:
    """Task -> (n, outputs) of a `serfeat.heads.multi_task.MultiTask`, as `logits` gives them."""
    return _applied(module, module.outputs, clips, batch_size)  # type: ignore[arg-type]


def _applied(
    module: nn.Module,
    call: Callable[[Tensor, Tensor], Mapping[str, Tensor]],
    clips: Sequences,
    batch_size: int,
) -> dict[str, Tensor]:
    device = next(module.parameters()).device
    module.eval()
    order = np.argsort(clips.lengths, kind="stable")
    parts: list[Mapping[str, Tensor]] = []
    room = Room()

    def applied(rows: Ints) -> dict[str, Tensor]:
        x, lengths = padded(clips, rows, device)
        # On the CPU first: not every device knows double precision.
        return {k: v.cpu().double() for k, v in call(x, lengths).items()}

    with torch.inference_mode():
        for begin in range(0, len(order), batch_size):
            parts += room.each(applied, order[begin : begin + batch_size], clips.lengths)
    back = torch.from_numpy(np.argsort(order))
    return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}
