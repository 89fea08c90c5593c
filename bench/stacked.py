"""The folds of a protocol as one stacked network, beside fold by fold: time of an epoch.

Run: python bench/stacked.py [--device cpu] [--folds 10] [HEAD ...]

Two tables: the host alone, and real sizes on a GPU if there is one (or on --device).

Real sizes: EMO-DB for TIM-Net, ten folds of 480 clips of 188 frames of 39 columns, in batches of
64; random numbers, the quickest of three epochs.

The host alone: clips and network are shrunk until they cost nothing; what is left is what Python
and torch need to ask for the work. A GPU that works faster than it is asked waits for that. It is
measured on a CPU, by the code that a GPU runs: without the loops of `serfeat/heads/fused.py`.
"""

from __future__ import annotations

import argparse
import platform
from typing import Any

import numpy as np
import torch

from serfeat.heads import fused
from serfeat.models.stacked import fit_stacked
from serfeat.models.torch_classifier import TorchClassifier
from serfeat.sequences import Sequences

EPOCHS, CLASSES = 3, 7
# Clips of a fold, frames, columns, clips in a batch.
REAL, TINY = (480, 188, 39, 64), (60, 4, 4, 8)
SMALL: dict[str, dict[str, Any]] = {
    "timnet": {"filters": 4},
    "cnn1d": {"filters": (4, 4, 4)},
    "am_resnet": {"width": 4},
    "transformer": {"width": 8, "heads": 2, "feedforward": 8},
}


def folds(
    n: int, clips: int, frames: int, columns: int
) -> tuple[list[Sequences], list[np.ndarray]]:
    """Clips of random numbers; the folds have one clip more or less, as those of a protocol."""
    rng = np.random.default_rng(0)
    sizes = [clips + i % 2 for i in range(n)]
    rows = [rng.standard_normal((size * frames, columns)).astype(np.float32) for size in sizes]
    ends = [np.arange(0, len(r) + 1, frames, dtype=np.int64) for r in rows]
    return list(map(Sequences, rows, ends)), [np.arange(size) % CLASSES for size in sizes]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heads", nargs="*", default=["timnet"])
    parser.add_argument("--device", help="for the real sizes; by default a GPU, if there is one")
    parser.add_argument("--folds", type=int, default=10)
    args = parser.parse_args()
    torch.set_num_threads(1)
    compiled, fused.COMPILED = fused.COMPILED, False
    table(args.heads, "cpu", args.folds, host=True)
    fused.COMPILED = compiled
    device = args.device or ("cuda" if torch.cuda.is_available() else None)
    if device is not None:
        table(args.heads, device, args.folds, host=False)


def table(heads: list[str], device: str, n: int, *, host: bool) -> None:
    """Print a line for each head."""
    *sizes, batch = TINY if host else REAL
    Xs, ys = folds(n, *sizes)
    name = torch.cuda.get_device_name(0) if device == "cuda" else "CPU, one thread"
    where = f"{name}, Python {platform.python_version()}, torch {torch.__version__}"
    print(f"{'the host alone' if host else 'real sizes'}: {where}")
    print(f"{f'{n} folds':14}{'an epoch, s: one by one':>24}{'stacked':>9}{'ratio':>7}"
          f"{'500 epochs, min: one by one':>29}{'stacked':>9}")  # fmt: skip
    for head in heads:
        params = SMALL.get(head, {}) if host else {}
        settings = {"epochs": EPOCHS, "batch_size": batch, "device": device}
        models = [TorchClassifier(head, params, seed=i, **settings) for i in range(n)]
        one, together = (
            n * min(epoch["seconds"] for epoch in history)
            for history in (models[0].fit(Xs[0], ys[0]).history_, _stacked(models, Xs, ys))
        )
        print(f"{head:14}{one:24.3f}{together:9.3f}{one / together:7.1f}"
              f"{one * 500 / 60:29.1f}{together * 500 / 60:9.1f}", flush=True)  # fmt: skip


def _stacked(models: list[TorchClassifier], Xs: Any, ys: Any) -> list[dict[str, Any]]:
    return fit_stacked(models, Xs, ys)[0].history_


if __name__ == "__main__":
    main()
