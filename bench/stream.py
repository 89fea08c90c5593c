"""Latency of a stream: how long after the last sample of a hop its numbers are there.

    python bench/stream.py [--seconds 30] [--model FOLDER] [--file FILE.wav] [--cpu]

Measured is the time of computing on one core, from the arrival of a hop of 10 ms to the descriptors
that it completes, to the probabilities of a causal TIM-Net, and to the answer of a classical model
over a sliding window of 3 s (every 0.5 s): 50th, 95th and 99th percentile of all hops (of all
answers). The algorithmic delay, which no computer makes shorter, stands beside it and is not in it.
`--cpu` counts the time of this thread alone: what it would be on a core of its own.

Without `--model` the models are trained for a moment on the embedded corpus: that decides what they
say and not how long they take.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from serfeat.audio import load_audio
from serfeat.demo import make_corpus
from serfeat.deploy import train
from serfeat.manifest_csv import read_manifest
from serfeat.plan import Entry
from serfeat.streaming import Recogniser, Stream
from serfeat.streaming.latency import Latencies

SR = 16_000
HOP = 160
SETS = ("energy", "mfcc_deltas", "f0", "f0,energy,zcr", "classic")
CLOCK = time.thread_time if "--cpu" in sys.argv else time.perf_counter
ENTRIES = {
    "causal TIM-Net on mfcc_deltas": Entry(
        "timnet", "timnet", "mfcc_deltas", {"causal": True, "epochs": 1}
    ),
    "SVM on classic, window 3 s": Entry("svm", "svm", "classic"),
}


def line(name: str, delay: float, seen: Latencies) -> str:
    """One row of the table."""
    p = seen.percentiles()
    return (
        f"{name:32s} {1e3 * delay:8.1f} {p['p50']:8.2f} {p['p95']:8.2f} {p['p99']:8.2f} "
        f"{p['max']:8.2f} {len(seen):7d}\n"
    )


def descriptors(name: str, x: np.ndarray) -> str:
    """Latency of the frames of a set."""
    Stream(name, SR).push(x[: 2 * SR])  # compiled once
    stream, seen = Stream(name, SR), Latencies()
    for i in range(0, len(x) - HOP, HOP):
        begun = CLOCK()
        stream.push(x[i : i + HOP])
        seen.add(CLOCK() - begun)
    return line(name, stream.delay, seen)


def answers(name: str, folder: Path, x: np.ndarray) -> str:
    """Latency of the answers of a model, and of all hops."""
    listener, hops, said = Recogniser(folder, SR), Latencies(), Latencies()
    listener.warm()
    for i in range(0, len(x) - HOP, HOP):
        begun = CLOCK()
        moments = listener.push(x[i : i + HOP])
        hops.add(CLOCK() - begun)
        if any(m.values for m in moments):
            said.add(CLOCK() - begun)
    if not len(said):
        return f"{name}: never asked, there is no speech in it\n"
    return line(name, listener.delay, hops) + line("  of these, answers", listener.delay, said)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--file", type=Path)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place:
        corpus = make_corpus(Path(place) / "demo", speakers=2, sentences=2)
        files = [given.file] if given.file else sorted(corpus.parent.glob("s1/*"))
        x = np.concatenate([load_audio(file, sr=SR).x for file in files])
        x = np.resize(x, round(given.seconds * SR))
        out = sys.stdout
        out.write(
            f"{'ms':32s} {'delay':>8s} {'p50':>8s} {'p95':>8s} {'p99':>8s} {'max':>8s}    hops\n"
        )
        for name in SETS:
            out.write(descriptors(name, x))
        models = {str(m): m for m in given.model}
        if not models:
            manifest = read_manifest(corpus)
            for i, (name, entry) in enumerate(ENTRIES.items()):
                models[name] = train(manifest, entry, Path(place) / f"model{i}", held_out=0)
        for name, folder in models.items():
            out.write(answers(name, folder, x))


if __name__ == "__main__":
    main()
