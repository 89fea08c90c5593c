"""What every head costs: seconds of an epoch, parameters, memory, latency of one clip.

Run: python bench/heads.py [--device cpu] [--scale 0.15] [NAME ...]; a name is the beginning of one
of the table: mlp, dcrn, "dcrn paper".

An epoch is 480 clips of 188 frames of 39 columns in batches of 64 (TIM-Net's EMO-DB); heads on
waveforms get 3 s at 16 kHz in batches of 16 and fewer clips, layer_weights 140 positions of all
five states of Whisper tiny, and say so. Every head runs in a
process of its own, on one CPU thread; the quickest of three epochs counts. Memory is the peak of
the process less that of one that only imported torch. Random numbers: no accuracy here.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np

FRAMES, COLUMNS, CLASSES = 188, 39, 7
ENCODER = 384
# name -> (head, its parameters, columns, frames, clips, batch)
CASES: dict[str, tuple[str, dict[str, Any], int, int, int, int]] = {
    "mlp (a row of 594)": ("mlp", {}, 594, 1, 480, 64),
    "dbn (a row of 594)": ("dbn", {}, 594, 1, 480, 64),
    **{
        name: (head, params, COLUMNS, FRAMES, 480, 64)
        for name, head, params in (
            *((cell, "rnn", {"cell": cell}) for cell in ("rnn", "lstm", "gru")),
            ("cnn (article)", "article_cnn", {}),
            ("cnn1d", "cnn1d", {}),
            ("parallel_cnn", "parallel_cnn", {}),
            ("transformer", "transformer", {}),
            ("timnet", "timnet", {}),
            ("am_resnet", "am_resnet", {}),
        )
    },
    "timnet causal": ("timnet", {"causal": True}, COLUMNS, FRAMES, 480, 64),
    "layer_weights": ("layer_weights", {"n_layers": 5}, 5 * ENCODER, 140, 480, 64),
    "amrwc": ("amrwc", {"n_encoder": ENCODER}, COLUMNS + ENCODER, FRAMES, 480, 64),
    "am_resnet (waveform)": ("am_resnet", {"n_samples": 160}, 160, 300, 48, 16),
    "dcrn compact (waveform)": ("dcrn", {"n_samples": 160}, 160, 300, 16, 8),
    "dcrn paper (waveform)": ("dcrn", {"n_samples": 160, "size": "paper"}, 160, 300, 8, 4),
}


def measure(name: str, device: str, scale: float) -> dict[str, Any]:
    """Train and apply one head; runs in a process of its own."""
    import torch

    from serfeat.models.torch_classifier import TorchClassifier
    from serfeat.sequences import Sequences

    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head, params, columns, frames, n, batch = CASES[name]
    n = max(batch, round(n * scale))
    rng = np.random.default_rng(0)
    values = rng.standard_normal((n * frames, columns)).astype(np.float32)
    clips = Sequences(values, np.arange(n + 1) * frames)
    y = np.array([f"c{i % CLASSES}" for i in range(n)])
    model = TorchClassifier(head, params, epochs=3, batch_size=batch, device=device)
    cpu = time.process_time()
    model.fit(clips, y)
    cpu = time.process_time() - cpu
    one, latencies = clips[:1], []
    for _ in range(20):
        start = time.perf_counter()
        model.predict_proba(one)
        latencies.append(time.perf_counter() - start)
    found = {
        "clips": n,
        "columns": f"{frames} x {columns}",
        "epoch_s": min(h["seconds"] for h in model.history_ if "train_loss" in h),
        "cpu_s": cpu / 3,
        "parameters": model.n_parameters_,
        "memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "latency_ms": 1e3 * float(np.median(latencies)),
    }
    if device == "cuda":
        found["memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return found


def table(names: list[str], device: str, scale: float) -> bool:
    """Print the costs of some heads on a device; return whether one could not be measured."""
    print(f"Python {platform.python_version()}, torch {version('torch')}, {device}")
    print(f"{'':26s}{'clips':>6s}{'input':>12s}{'epoch s':>9s}{'CPU s':>8s}{'parameters':>12s}"
          f"{'MB':>7s}{'one clip ms':>13s}")  # fmt: skip
    failed = False
    for name in names:
        command = [sys.executable, __file__, "--one", name, "--device", device]
        command += ["--scale", str(scale)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name:26s}{done.stderr.splitlines()[-1]}")
            failed = True
            continue
        row = json.loads(done.stdout)
        print(f"{name:26s}{row['clips']:6d}{row['columns']:>12s}{row['epoch_s']:9.2f}"
              f"{row['cpu_s']:8.2f}{row['parameters']:12,d}{row['memory_mb']:7.0f}"
              f"{row['latency_ms']:13.1f}", flush=True)  # fmt: skip
    return failed


def main() -> None:
    """Print a table of all heads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--device", help="cpu or cuda; by default both, as far as they are there")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the clips")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        json.dump(measure(options.one, options.device, options.scale), sys.stdout)
        return
    chosen = [case for case in CASES if case.startswith(tuple(options.names or ("",)))]
    if strangers := [n for n in options.names if not any(c.startswith(n) for c in CASES)]:
        parser.error(f"no such head: {strangers[0]}; there are {', '.join(CASES)}")
    import torch

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    failed = False
    for device in [options.device] if options.device else devices:
        failed |= table(chosen, device, options.scale)
    sys.exit(failed)


if __name__ == "__main__":
    main()
