"""How fast the extractors are, against openSMILE and a usual Praat script, in one interleaved run.

    make bench            on the embedded corpus
    SERFEAT_CORPORA=... python bench/extractors.py emodb

CPU seconds of one thread (user + system), medians over rounds in which the contenders take turns;
the ratios hold where the absolute times depend on the machine. Everything works on arrays that were
decoded before, so that reading is a row of its own.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_limits

from serfeat.audio import load_audio
from serfeat.features import FEATURE_SETS
from serfeat.lld import DESCRIPTORS
from serfeat.manifest import Manifest
from serfeat.shorttime import ShortTime
from serfeat.types import Floats

ROUNDS = 3
CLIPS = 48
SR = 16_000


def speech(name: str) -> Manifest:
    """The clips: the embedded corpus, or a corpus under SERFEAT_CORPORA."""
    if name == "demo":
        from serfeat.demo import make_corpus
        from serfeat.manifest_csv import read_manifest

        folder = Path(tempfile.mkdtemp(prefix="serfeat-bench-"))
        return read_manifest(make_corpus(folder, sentences=1))
    from serfeat.corpora import find_root, read_corpus

    return read_corpus(name, find_root(name))


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def contenders(clips: list[Floats]) -> dict[str, Callable[[], object]]:
    """Name -> the work on all clips."""
    work: dict[str, Callable[[], object]] = {}
    for name in ("prosody", "cepstral", "classic", "timnet39"):
        chosen = FEATURE_SETS[name]
        if chosen.sr == SR:
            work[f"serfeat {name}"] = lambda c=chosen: [c.compute(x, "functionals") for x in clips]
    try:
        from serfeat.lld import opensmile

        opensmile.accept_licence()
        work["openSMILE eGeMAPSv02"] = lambda: [
            opensmile.functionals(x, SR, "eGeMAPSv02") for x in clips
        ]
    except ImportError:
        print("openSMILE is not installed: left out")
    try:
        from serfeat.lld import _praat

        _praat.parselmouth()

        def praat() -> None:
            for x in clips:
                _praat.praat_pitch(x, SR)
                _praat.praat_formants(x, SR)
                _praat.praat_harmonicity(x, SR)

        work["Praat F0 + F1-F3 + HNR (arrays)"] = praat
    except ImportError:
        print("praat-parselmouth is not installed: left out")
    return work


def main(corpus: str) -> None:
    """Print the table of ratios and the table of stages."""
    manifest = speech(corpus)
    files = [manifest.path(f) for f in manifest.rows.index.get_level_values("file")]
    files = files[:: max(1, len(files) // CLIPS)]
    reading = cpu(lambda: [load_audio(f, sr=SR) for f in files])
    clips = [load_audio(f, sr=SR).x for f in files]
    seconds = sum(len(x) for x in clips) / SR
    work = contenders(clips)
    for once in work.values():
        once()  # compiles, opens and warms up
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, once in work.items():
            times[name].append(cpu(once))
    print(f"\n{corpus}: {len(clips)} clips, {seconds:.0f} s of speech, {ROUNDS} rounds, one thread")
    packages = ("serfeat", "numpy", "scipy", "numba")
    print(", ".join(f"{p} {version(p)}" for p in packages), platform.machine(), "\n")
    median = {name: statistics.median(t) for name, t in times.items()}
    base = median.get("openSMILE eGeMAPSv02")
    print(f"{'':34s} {'x real time':>12s} {'CPU ms per s':>13s} {'against eGeMAPS':>16s}")
    for name, t in median.items():
        ratio = f"{base / t:.1f}" if base else ""
        print(f"{name:34s} {seconds / t:12.0f} {1e3 * t / seconds:13.2f} {ratio:>16s}")
    print(f"{'read and check (audio.py)':34s} {seconds / reading:12.0f}")
    print("\nstages of one pass (a shared spectrum or pitch is paid by the first who asks)")
    stages: dict[str, float] = {}
    for x in clips:
        st = ShortTime(x, SR)
        for d in DESCRIPTORS.values():
            stages[d.name] = stages.get(d.name, 0.0) + cpu(lambda d=d, st=st: d(st))
    for name, t in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"  {name:14s} {1e3 * t / seconds:8.2f} ms per s of audio")


if __name__ == "__main__":
    with threadpool_limits(1):
        main(sys.argv[1] if len(sys.argv) > 1 else "demo")
