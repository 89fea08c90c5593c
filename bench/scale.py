"""Many short clips: throughput, memory, workers, a killed worker; and what ten million would cost.

    python bench/scale.py --clips 100000          # measure, and print the Markdown
    python bench/scale.py --frames 2              # a head trained on 2 GB of frames, little memory
    python bench/scale.py --cost                  # what was measured last, as the cost of a corpus

Everything is synthetic: a buzz with a pitch, a length and noise of its own in every clip, so that
no two have one content. The clips lie under --folder (0.3 to 0.5 s, about 1.1 GB for 100 000) and
are made once; a run that was interrupted goes on: clips that exist are not made again, stretches
that were measured are in ``measured.json``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

SR = 16_000
STRETCHES = 10
PER_FOLDER = 1000
FEATURES = "energy,zcr"
LONG_CLIP, LONG_CLIPS, LONG_FEATURES = 3.0, 400, "classic"  # what a corpus of speech is like
TRAINED: dict[str, dict[str, Any]] = {  # on frames that do not fit into the memory
    "gru": {"epochs": 1, "hidden": 16, "learning_rate": 1e-2, "batch_size": 256},
    "gmm": {"n_components": 4},
}
# What one and two workers are compared on, each twice: the cheapest features, where starting and
# what the parent does count most, and the usual ones.
SETS = {
    "": FEATURES,
    " again": FEATURES,
    " classic": LONG_FEATURES,
    " classic again": LONG_FEATURES,
}


# --- the corpus -----------------------------------------------------------------------------------


def clip(i: int, seconds: float = 0.0) -> np.ndarray:
    """(n,) int16: clip number i, always the same; 0.3 to 0.5 s where no length is given."""
    rng = np.random.default_rng([i, 7])
    n = int(rng.integers(round(0.3 * SR), round(0.5 * SR)))
    n = round(seconds * SR) or n
    t = np.arange(n) / SR
    buzz = 2 * (rng.uniform(90, 250) * t % 1) - 1
    return np.int16(32767 * (0.3 * buzz + 0.01 * rng.standard_normal(n)).clip(-1, 1))


def corpus(folder: Path, clips: int) -> Path:
    """Make the clips that are not there, and the manifest of all."""
    for i in range(clips):
        path = folder / f"{i // PER_FOLDER:04}" / f"{i:07}.wav"
        if i % PER_FOLDER == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            there = set(os.listdir(path.parent))
        if path.name not in there:
            sf.write(path, clip(i), SR, subtype="PCM_16")
        if i % 10_000 == 0:
            say(f"clips: {i} of {clips}")
    manifest = folder / f"manifest-{clips}.csv"
    lines = [f"{i // PER_FOLDER:04}/{i:07}.wav,scale,s{i % 50:02},anger\n" for i in range(clips)]
    manifest.write_text("file,corpus,speaker,emotion\n" + "".join(lines), encoding="utf-8")
    return manifest


def longer(folder: Path) -> Path:
    """Make some clips of an ordinary length, and their manifest."""
    place = folder / "longer"
    place.mkdir(exist_ok=True)
    for i in range(LONG_CLIPS):
        if not (place / f"{i}.wav").exists():
            sf.write(place / f"{i}.wav", clip(i, LONG_CLIP), SR, subtype="PCM_16")
    lines = [f"{i}.wav,scale,s{i % 50:02},anger\n" for i in range(LONG_CLIPS)]
    manifest = place / "rows.csv"
    manifest.write_text("file,corpus,speaker,emotion\n" + "".join(lines), encoding="utf-8")
    return manifest


def say(words: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {words}\n")
    sys.stderr.flush()


# --- runs, each in a process of its own -----------------------------------------------------------


def extraction(
    manifest: Path, store: Path, clips: int, jobs: int, *, kill: bool, features: str = FEATURES
) -> dict[str, Any]:
    """Extract the first clips of the corpus in a fresh process, and tell what it took.

    Returns
    -------
    rows, computed, seconds, marks: (clips done, s, bytes of this process) ten times; peak: bytes;
    failures; dead: workers that were killed.
    """
    command = [sys.executable, __file__, "--child", manifest, store, clips, jobs, features]
    done = subprocess.run(
        [*map(str, command), *(["--kill"] if kill else [])],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(manifest: Path, store: Path, clips: int, jobs: int, features: str, *, kill: bool) -> None:
    """The work of `extraction`."""
    from serfeat.extract import extract
    from serfeat.manifest_csv import read_manifest

    whole = read_manifest(manifest)
    part = whole.with_rows(whole.rows.iloc[:clips])
    marks: list[tuple[int, float, int]] = []
    killed: list[int] = []
    workers: list[int] = []
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        reached = done * STRETCHES // max(total, 1)
        while len(marks) <= reached:
            marks.append((done, time.perf_counter() - began, memory_now()))
            workers.append(max((peak_of(n) for n in below(os.getpid())[0]), default=0))
        if kill and not killed and done > total // 2:
            killed.append(worker_of(os.getpid()))
            os.kill(killed[0], signal.SIGKILL)

    made = extract(part, features, store=store, jobs=jobs, progress=progress)
    found = {
        "rows": len(made.index),
        "computed": made.computed,
        "failures": len(made.failures),
        "seconds": time.perf_counter() - began,
        "marks": marks,
        "peak": peak_of(os.getpid()),
        "peak_worker": max(workers, default=0),
        "dead": len(killed),
        "digest": digest(np.ascontiguousarray(made.values)),
        "cpu": sum(os.times()[:4]),
        "columns": made.values.shape[1],
        "segments": sum(1 for _ in store.glob("*/seg-*.parquet")),
        "store_bytes": sum(f.stat().st_size for f in store.glob("*/*.parquet")),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def digest(values: np.ndarray) -> str:
    """SHA-256 of numbers."""
    import hashlib

    return hashlib.sha256(values.tobytes()).hexdigest()


def memory_now() -> int:
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_of(pid: int) -> int:
    """Most bytes of memory that a process held; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in text.splitlines() if x.startswith("VmHWM")), 0)


def below(pid: int) -> tuple[list[int], dict[int, int]]:
    """Processes that have this one among their parents, and the ticks that each was busy."""
    parents, busy = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        number = int(stat.parent.name)
        parents[number], busy[number] = int(fields[1]), int(fields[11]) + int(fields[12])

    def ours(number: int) -> bool:
        while number > 1:
            number = parents.get(number, 0)
            if number == pid:
                return True
        return False

    return [n for n in parents if ours(n)], busy


def worker_of(pid: int) -> int:
    """A process that computes: the busiest one below."""
    processes, busy = below(pid)
    return max(processes, key=lambda n: busy[n])


# --- what is measured -----------------------------------------------------------------------------


def measured(folder: Path, clips: int, few: int) -> dict[str, Any]:
    """Run what has not been run yet, and keep each answer."""
    manifest = corpus(folder, clips)
    answers = folder / f"measured-{clips}-{few}.json"
    known: dict[str, Any] = json.loads(answers.read_text()) if answers.exists() else {}
    known["clips"], known["few"] = clips, few
    known["manifest_bytes"] = manifest.stat().st_size
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        **{
            f"{number}{words}": partial(
                fresh, folder, manifest, few, workers, kill=False, features=features
            )
            for words, features in SETS.items()
            for number, workers in (("one", 1), ("two", 2))
        },
        "killed": lambda: fresh(folder, manifest, few, 2, kill=True),
        "whole": lambda: extraction(manifest, folder / "store", clips, 2, kill=False),
        "known": lambda: extraction(manifest, folder / "store", clips, 2, kill=False),
        "care": lambda: care(folder / "store"),
        "longer": lambda: twice(folder),
        "verify": lambda: verified(folder),
    }
    for name, run in runs.items():
        if name not in known:
            say(f"run: {name}")
            known[name] = run()
            answers.write_text(json.dumps(known, indent=1))
    shutil.copyfile(answers, folder / "measured.json")
    return known


def twice(folder: Path) -> dict[str, Any]:
    """Extract the longer clips, with everything compiled before."""
    manifest = longer(folder)
    found = {}
    with tempfile.TemporaryDirectory(dir=folder) as store:
        for clips in (1, 8, LONG_CLIPS):  # the first compiles, if that was not done before
            found[clips] = extraction(
                manifest, Path(store) / str(clips), clips, 1, kill=False, features=LONG_FEATURES
            )
        kept = care(Path(store) / str(LONG_CLIPS))["bytes_after"]
    # Of the processor, without what starting takes: other work on the machine does not matter.
    cpu = (found[LONG_CLIPS]["cpu"] - found[8]["cpu"]) / (LONG_CLIPS - 8)
    return found[LONG_CLIPS] | {"compacted": kept, "cpu_per_clip": cpu}


def verified(folder: Path) -> dict[str, Any]:
    """Verify a store of one large segment: bytes, and s of the processor."""
    from serfeat.store import Row, Store, verify

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        store = Store(Path(place), tuple(f"c{i}" for i in range(88)))
        values = rng.standard_normal((4, 100_000, 88), dtype=np.float32)
        store.add(Row(f"k{i}", v) for i, v in enumerate(values))
        began = time.process_time()
        found = verify(Path(place))
        return {"bytes": found.bytes, "cpu": time.process_time() - began, "s": found.seconds}


def fresh(
    folder: Path, manifest: Path, clips: int, jobs: int, *, kill: bool, features: str = FEATURES
) -> dict[str, Any]:
    """An extraction into an empty store."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        return extraction(manifest, Path(store), clips, jobs, kill=kill, features=features)


def care(store: Path) -> dict[str, Any]:
    """Verify and compact the store of the whole run."""
    from serfeat.store import compact, stores_below, verify

    (place,) = stores_below(store)
    before = verify(place)
    began = time.perf_counter()
    done = compact(place)
    seconds = time.perf_counter() - began
    after = verify(place)
    return {
        "verify_s": before.seconds,
        "bytes": before.bytes,
        "segments": before.segments,
        "compact_s": seconds,
        "bytes_after": after.bytes,
        "segments_after": len(list(place.glob("seg-*.parquet"))),
        "verify_after_s": after.seconds,
        "ok": before.ok and after.ok and done.damaged == (),
    }


def page(known: dict[str, Any]) -> str:
    """The Markdown of what was measured."""
    whole, few = known["whole"], known["few"]
    marks = whole["marks"]
    lines = [
        f"{known['clips']} clips of 0.3 to 0.5 s, features `{FEATURES}`, two workers:",
        "",
        "| stretch | clips per second | memory of the parent |",
        "|---:|---:|---:|",
    ]
    for i, ((n0, t0, _), (n1, t1, size)) in enumerate(itertools.pairwise(marks), 1):
        rate = (n1 - n0) / (t1 - t0) if t1 > t0 else float("nan")
        lines.append(f"| {i} | {rate:.0f} | {size / 1e6:.0f} MB |")
    compared = []
    for features in dict.fromkeys(SETS.values()):
        mine = [words for words, other in SETS.items() if other == features]
        ones, twos = ([known[number + w]["seconds"] for w in mine] for number in ("one", "two"))
        compared += [
            f"| {few} clips, `{features}`, one worker | {ones[0]:.1f} and {ones[1]:.1f} s |",
            f"| the same, two workers | {twos[0]:.1f} and {twos[1]:.1f} s, "
            f"{sum(ones) / sum(twos):.2f} times as fast |",
        ]
    killed, care_ = known["killed"], known["care"]
    same = len({known[n]["digest"] for n in ("one", "two", "killed")}) == 1
    lines += [
        "",
        "| | |",
        "|---|---|",
        f"| all clips | {whole['seconds']:.0f} s, {known['clips'] / whole['seconds']:.0f} clips a "
        f"second, peak {whole['peak'] / 1e6:.0f} MB, of a worker {whole['peak_worker'] / 1e6:.0f} "
        "MB |",
        f"| the same again, nothing to compute | {known['known']['seconds']:.1f} s |",
        *compared,
        f"| {few} clips, a worker killed midway | {killed['rows']} rows, {killed['failures']} "
        f"failures, {killed['seconds']:.1f} s; bytes {'equal' if same else 'DIFFER'} |",
        f"| store | {care_['segments']} segments, {care_['bytes'] / 1e6:.1f} MB; verified in "
        f"{care_['verify_s']:.1f} s |",
        f"| compacted | {care_['segments_after']} segments, {care_['bytes_after'] / 1e6:.1f} MB, "
        f"in {care_['compact_s']:.1f} s; verified in {care_['verify_after_s']:.2f} s |",
    ]
    return "\n".join(lines)


# --- frames ---------------------------------------------------------------------------------------


def mapped_frames(folder: Path, gigabytes: float) -> tuple[Any, np.ndarray]:
    """Memory-mapped clips of 300 x 40 frames, made once, and their labels: 0 to 3."""
    from serfeat.sequences import read_mapped, write_mapped

    k, length = 40, 300
    n = round(gigabytes * 1e9 / 4 / k / length)
    truth = np.arange(n) % 4
    place = folder / f"frames-{n}"
    made = sorted(place.glob("*.npy"))
    if made:
        return read_mapped(made[0].with_suffix("")), truth

    def parts() -> Any:
        for i in range(n):
            rng = np.random.default_rng(i)
            x = rng.standard_normal((length, k), dtype=np.float32)
            x[:, truth[i]] += 0.5
            yield i * length, x

    offsets = np.arange(n + 1, dtype=np.int64) * length
    return write_mapped(place / "x", (n * length, k), offsets, parts()), truth


def trained(folder: Path, gigabytes: float, limit: float, name: str) -> str:
    """Train one model on nine of ten clips, ask it about one of a hundred; a row of the table.

    The limit is RLIMIT_DATA: what a process writes into, which is all of its memory but the files
    that it maps and the pages of which the system may take back at any time.
    """
    from serfeat.models import fit, make_model

    clips, truth = mapped_frames(folder, gigabytes)
    soft = round(limit * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, resource.RLIM_INFINITY))
    rows = np.arange(len(clips))
    train, test = rows[rows % 10 > 0], rows[rows % 100 == 0]
    say(f"frames: {name}")
    began, watched = time.perf_counter(), Watched()
    model = make_model(name, seed=0, **TRAINED[name])
    fit(model, clips[train], truth[train].astype(str), (train % 50).astype(str))
    right = float((model.predict(clips[test]) == truth[test].astype(str)).mean())
    most, seconds = watched.stop(), time.perf_counter() - began
    return f"| {name} | {seconds:.0f} | {most / 1e6:.0f} MB | {100 * right:.0f} % |"


def frames(folder: Path, gigabytes: float, limit: float) -> str:
    """Train on more frames than the memory may hold, each model in a process; the Markdown."""
    clips, _ = mapped_frames(folder, gigabytes)
    lines = ["| model | s | most memory of its own | right |", "|---|---:|---:|---:|"]
    sizes = ["--frames", str(gigabytes), "--limit", str(limit)]
    for name in TRAINED:
        command = [sys.executable, __file__, "--folder", str(folder), *sizes, "--model", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        lines.append(done.stdout.splitlines()[-1])
    rng, taken = np.random.default_rng(0), []
    for i in rng.integers(0, len(clips), 2000).tolist():
        begin = time.perf_counter()
        clips[i].sum()
        taken.append(time.perf_counter() - begin)
    head = f"{gigabytes:g} GB of frames ({len(clips)} clips of 300 x 40), RLIMIT_DATA {limit:g} GB:"
    access = f"One clip, at random: {1e3 * float(np.median(taken)):.4f} ms (median of 2000)."
    return "\n".join([head, "", *lines, "", access])


class Watched:
    """Looks every 50 ms at the memory that this process has written into."""

    def __init__(self) -> None:
        self.most, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.over.wait(0.05):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.most = max(self.most, int(line.split()[1]) * 1024)

    def stop(self) -> int:
        """Bytes at most."""
        self.over.set()
        self.thread.join()
        return self.most


# --- the cost of a corpus -------------------------------------------------------------------------


def cost(known: dict[str, Any], n: int = 10_000_000) -> str:
    """What n clips of three seconds cost, by the formulas beside the numbers."""
    from serfeat.extract import batch_size
    from serfeat.feature_sets import feature_set

    long, whole = known["longer"], known["whole"]
    chosen = feature_set(LONG_FEATURES)
    seconds = long["cpu_per_clip"]
    rate = known["verify"]["bytes"] / known["verify"]["cpu"]
    row = long["compacted"] / LONG_CLIPS
    line = known["manifest_bytes"] / known["clips"]
    shard = 100_000
    parts = n // shard
    batch = batch_size(shard, "functionals")
    k = chosen.width("lld")
    per_clip = max(0.0, whole["peak"] - whole["marks"][0][2]) / known["clips"]
    values = {
        "CPU hours, functionals": (
            f"n x {1e3 * seconds:.1f} ms a clip / 3600", f"{n * seconds / 3600:,.0f}"
        ),
        "hours on 64 cores": ("the same / 64", f"{n * seconds / 3600 / 64:,.1f}"),
        "recordings, WAV": ("n x 3 s x 32 kB/s", f"{n * LONG_CLIP * 32e3 / 1e12:.2f} TB"),
        "store, functionals": (
            f"n x {row:.0f} bytes ({long['columns']} columns, compacted)",
            f"{n * row / 1e9:.1f} GB",
        ),
        "store, frames": (
            f"n x 300 frames x {k} columns x 4 bytes x 0.64",
            f"{n * 300 * k * 4 * 0.64 / 1e12:.2f} TB",
        ),
        "frames, memory-mapped": (
            f"n x 300 x {k} x 4 bytes", f"{n * 300 * k * 4 / 1e12:.2f} TB"
        ),
        "manifest": (f"n x {line:.0f} bytes", f"{n * line / 1e6:,.0f} MB"),
        "segments before compaction": (
            f"{parts} parts x {shard} / {batch} clips a batch", f"{parts * -(-shard // batch):,}"
        ),
        "segments after it": (
            "n x columns / 33.5 million values",
            f"{-(-n * long['columns'] // (1 << 25)):,}",
        ),
        "memory of a part": (
            f"{whole['marks'][0][2] / 1e6:.0f} MB + {shard} x {per_clip / 1e3:.2f} kB",
            f"{(whole['marks'][0][2] + shard * per_clip) / 1e6:,.0f} MB",
        ),
        "memory of the whole table": (
            f"n x ({per_clip / 1e3:.2f} kB + {long['columns']} x 4 bytes)",
            f"{n * (per_clip + long['columns'] * 4) / 1e9:.0f} GB",
        ),
        "verify, compacted": (
            f"store / {rate / 1e6:.0f} MB/s",
            f"{n * row / rate / 60:.1f} minutes",
        ),
    }  # fmt: skip
    lines = [f"| {n:,} clips of 3 s | formula | cost |", "|---|---|---:|"]
    lines += [f"| {what} | {formula} | {answer} |" for what, (formula, answer) in values.items()]
    return "\n".join(lines)


def main() -> None:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "serfeat-scale"
    )
    parser.add_argument("--clips", type=int, default=0)
    parser.add_argument("--few", type=int, default=0, help="for the comparisons; default: a tenth")
    parser.add_argument("--frames", type=float, default=0.0, help="GB")
    parser.add_argument("--limit", type=float, default=1.0, help="GB of memory for --frames")
    parser.add_argument("--model", default="", help=argparse.SUPPRESS)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--kill", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        manifest, store, clips, jobs, features = chosen.child
        child(Path(manifest), Path(store), int(clips), int(jobs), features, kill=chosen.kill)
        return
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.clips:
        few = chosen.few or max(chosen.clips // 10, 2000)
        sys.stdout.write(page(measured(chosen.folder, chosen.clips, min(few, chosen.clips))) + "\n")
    if chosen.model:
        sys.stdout.write(trained(chosen.folder, chosen.frames, chosen.limit, chosen.model) + "\n")
    elif chosen.frames:
        sys.stdout.write(frames(chosen.folder, chosen.frames, chosen.limit) + "\n")
    if chosen.cost:
        known = json.loads((chosen.folder / "measured.json").read_text())
        sys.stdout.write(cost(known) + "\n")


if __name__ == "__main__":
    main()
