"""An epoch of TIM-Net: our head against the same network written with torch's own layers.

Run: python bench/timnet_epoch.py

480 clips of 188 x 39 in batches of 64, forward, backward and Adam on one thread, the two in turn;
the quickest of five epochs counts, in CPU seconds. The plain one is (batch, channels, time) with
`Conv1d`, `BatchNorm1d` and `Dropout1d`, without masks: no clips of their own length. Then two folds
at once, a process each, as `serfeat compare -j 2` trains them: what `bench/timnet_keras.py` prints
for two threads is the same work in Keras.
"""

from __future__ import annotations

import multiprocessing
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serfeat.heads import make_head

CLIPS, FRAMES, COLUMNS, CLASSES, BATCH = 480, 188, 39, 7, 64


class Block(nn.Module):
    """Two causal convolutions, and the gate."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.convs = nn.ModuleList(nn.Conv1d(39, 39, 2, dilation=dilation) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(39, 1e-3, 0.01) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, 39, time) to the same shape."""
        h = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = norm(conv(F.pad(h, (self.dilation, 0))))
            h = F.dropout1d(torch.relu(h), 0.1, self.training)
        return x * torch.sigmoid(h)


class Plain(nn.Module):
    """TIM-Net without masks."""

    def __init__(self) -> None:
        super().__init__()
        self.stems = nn.ModuleList(nn.Conv1d(COLUMNS, 39, 1) for _ in range(2))
        self.streams = nn.ModuleList(nn.ModuleList(Block(2**j) for j in range(8)) for _ in range(2))
        self.fusion = nn.Parameter(torch.empty(8).uniform_(-0.05, 0.05))
        self.classifier = nn.Linear(39, CLASSES)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002
        """Classify x (batch, frames, 39)."""
        x = x.transpose(1, 2)
        scales: list[Tensor] = []
        for flip, stem, stream in zip((False, True), self.stems, self.streams, strict=True):
            h = stem(x.flip(2) if flip else x)
            for j, block in enumerate(stream):
                h = block(h)
                scales[j : j + 1] = [scales[j] + h.mean(2) if flip else h.mean(2)]
        g = torch.einsum("n,nbf->bf", self.fusion, torch.stack(scales))
        logits: Tensor = self.classifier(g)
        return logits


def epoch(module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    """CPU seconds of one pass."""
    start = time.process_time()
    module.train()
    for first in range(0, CLIPS, BATCH):
        batch = x[first : first + BATCH]
        lengths = torch.full((len(batch),), FRAMES)
        loss = F.cross_entropy(module(batch, lengths), y[first : first + BATCH])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.process_time() - start


def data() -> tuple[Tensor, Tensor]:
    """Random clips, and a class for each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return torch.randn(CLIPS, FRAMES, COLUMNS), torch.arange(CLIPS) % CLASSES


def fold(epochs: int) -> float:
    """Seconds on the clock of a fold's epoch, the first one not counted."""
    x, y = data()
    module = make_head("timnet", COLUMNS, CLASSES)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    epoch(module, optimizer, x, y)
    start = time.perf_counter()
    for _ in range(epochs):
        epoch(module, optimizer, x, y)
    return (time.perf_counter() - start) / epochs


def main() -> None:
    """Print both, and their ratio."""
    x, y = data()
    contenders = {"ours": make_head("timnet", COLUMNS, CLASSES), "plain torch": Plain()}
    count = {n: sum(p.numel() for p in m.parameters()) for n, m in contenders.items()}
    assert len(set(count.values())) == 1, count
    best = dict.fromkeys(contenders, float("inf"))
    optimizers = {n: torch.optim.Adam(m.parameters(), 1e-3) for n, m in contenders.items()}
    for _ in range(5):
        for name, module in contenders.items():
            best[name] = min(best[name], epoch(module, optimizers[name], x, y))
    for name, seconds in best.items():
        print(f"{name:12s} {seconds:6.2f} CPU s an epoch")
    print(f"ratio {best['plain torch'] / best['ours']:.2f} (torch {torch.__version__})")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        both = pool.map(fold, [10, 10], chunksize=1)
    print(f"two folds at once: {max(both) / 2:.2f} s on the clock for each fold's epoch")


if __name__ == "__main__":
    main()
