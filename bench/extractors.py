"""How fast the extractors are, against openSMILE and a usual Praat script, in one interleaved run.

    make bench                                            on the embedded corpus
    SERFEAT_CORPORA=... python bench/extractors.py emodb  on a real one (--limit N: every nth file)
    ... python bench/extractors.py emodb --wav            from WAV, as EMO-DB is distributed
    SERFEAT_NO_JIT=1 python bench/extractors.py emodb     without numba's compiler

From file to numbers, CPU seconds of one thread (user + system): every contender reads each file
itself. They take turns every 16 files, three times over, each time beginning with another one, and
the quickest of the three counts: what else the machine does slows some of them more than others.
The ratios hold where the absolute times depend on the machine. The second table says where our time
goes, the third whether a frame of a long recording costs what one of a short one does.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile as sf
from threadpoolctl import threadpool_limits

from serfeat.allocator import keep_freed_memory
from serfeat.audio import load_audio
from serfeat.feature_sets import FEATURE_SETS
from serfeat.features import FeatureSet
from serfeat.functionals import apply
from serfeat.jit import COMPILED
from serfeat.lld import DESCRIPTORS
from serfeat.manifest import Manifest
from serfeat.shorttime import ShortTime, cut_frames, window
from serfeat.signal.pitch import pitch
from serfeat.signal.resonances import resonances
from serfeat.store import Row, Store

TURN = 16  # files that a contender does before the next one has its turn
ROUNDS = 3  # of which the quickest counts: CPU time grows when others use the caches
SR = 16_000
BASE = "openSMILE eGeMAPSv02 functionals"
SAME_FAMILIES = Path(__file__).with_name("families.conf")
Work = Callable[[Path], object]


def speech(name: str) -> Manifest:
    """The clips: the embedded corpus, or a corpus under SERFEAT_CORPORA."""
    if name == "demo":
        from serfeat.demo import make_corpus
        from serfeat.manifest_csv import read_manifest

        folder = Path(tempfile.mkdtemp(prefix="serfeat-bench-"))
        return read_manifest(make_corpus(folder, sentences=1))
    from serfeat.corpora import find_root, read_corpus

    return read_corpus(name, find_root(name))


def as_wav(files: list[Path]) -> list[Path]:
    """The same samples as 16-bit WAV: what is left of a decoder's time is little."""
    folder = Path(tempfile.mkdtemp(prefix="serfeat-bench-"))
    made = []
    for number, file in enumerate(files):
        x, sr = sf.read(file, dtype="int16")
        made.append(folder / f"{number}.wav")
        sf.write(made[-1], x, sr, subtype="PCM_16")
    return made


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def each(work: Work, files: list[Path]) -> None:
    """Do the work on every file."""
    for file in files:
        work(file)


def ours(features: FeatureSet, level: str) -> Work:
    """One file through one of our sets."""
    return lambda file: features.compute(load_audio(file, sr=features.sr).x, level)  # type: ignore[arg-type]


def contenders() -> dict[str, Work]:
    """Name -> what it does with one file."""
    work: dict[str, Work] = {
        f"serfeat {name} functionals": ours(FEATURE_SETS[name], "functionals")
        for name in ("classic", "prosody", "cepstral", "full")
    }
    work["serfeat classic LLD"] = ours(FEATURE_SETS["classic"], "lld")
    try:
        import opensmile

        sets, levels = opensmile.FeatureSet, opensmile.FeatureLevel
        egemaps = opensmile.Smile(sets.eGeMAPSv02, levels.Functionals)
        families = opensmile.Smile(feature_set=str(SAME_FAMILIES), feature_level="lld")
        work[BASE] = lambda file: egemaps.process_file(str(file))
        work["openSMILE, the same families, LLD"] = lambda file: families.process_file(str(file))
    except ImportError:
        print("openSMILE is not installed: left out")
    try:
        import parselmouth

        def praat(file: Path) -> None:
            sound = parselmouth.Sound(str(file))
            sound.to_pitch_ac(time_step=0.01).selected_array["frequency"]
            track = sound.to_formant_burg(time_step=0.01)
            [[track.get_value_at_time(k, t) for k in (1, 2, 3)] for t in track.ts()]
            _ = sound.to_harmonicity_cc(time_step=0.01).values

        work["Praat script: F0, F1-F3, HNR"] = praat
    except ImportError:
        print("praat-parselmouth is not installed: left out")
    return work


def race(files: list[Path], seconds: float) -> None:
    """Print the table of ratios."""
    work = contenders()
    for once in work.values():
        for file in files[:2]:
            once(file)  # compiles, opens and warms up
    took, names = dict.fromkeys(work, 0.0), list(work)
    for first in range(0, len(files), TURN):
        turn = files[first : first + TURN]
        times: dict[str, list[float]] = {name: [] for name in work}
        for number in range(ROUNDS):
            first_one = number * len(work) // ROUNDS  # nobody always follows the same one
            for name in [*names[first_one:], *names[:first_one]]:
                times[name].append(cpu(partial(each, work[name], turn)))
        for name, t in times.items():
            took[name] += min(t)
    base = took.get(BASE)
    print(f"{'':36s} {'x real time':>12s} {'CPU ms per s':>13s} {'against eGeMAPS':>16s}")
    for name, t in took.items():
        ratio = f"{base / t:.1f}" if base else ""
        print(f"{name:36s} {seconds / t:12.0f} {1e3 * t / seconds:13.2f} {ratio:>16s}")


def stages(files: list[Path]) -> None:
    """Print where the time of the set classic goes, and what the other descriptors take."""
    classic = FEATURE_SETS["classic"]
    clips = [load_audio(f, sr=SR).x for f in files]
    seconds = sum(map(len, clips)) / SR
    analyses = [ShortTime(x, SR) for x in clips]
    took = {"read and check": cpu(lambda: [load_audio(f, sr=SR) for f in files])}
    frame = round(0.025 * SR)

    def framing() -> None:
        for st in analyses:
            starts = np.arange(st.n_frames) * st.hop - frame // 2
            cut_frames(st.x, starts, window("hamming", frame), np.empty((st.n_frames, frame)))

    took["(framing alone, 25 ms)"] = cpu(framing)
    # those of MFCC, LPC and PLP
    spectra = partial(ShortTime.power, length=frame, preemphasis=0.97)
    took["framing and FFT, 25 ms (shared)"] = cpu(lambda: [spectra(st) for st in analyses])
    took["pitch (shared)"] = cpu(lambda: [pitch(st) for st in analyses])
    took["resonances (shared)"] = cpu(lambda: [resonances(st) for st in analyses])
    for name in classic.descriptors:
        took[name] = cpu(lambda name=name: [DESCRIPTORS[name](st) for st in analyses])
    lld = [classic.compute(x, "lld") for x in clips]
    own = sum(len(d.columns) for d in classic.frame_descriptors)
    hop = classic.hop
    took["functionals"] = cpu(lambda: [apply(v[:, :own], hop, classic.functionals) for v in lld])
    names = classic.delta_functionals
    took["functionals of deltas"] = cpu(lambda: [apply(v[:, own:], hop, names) for v in lld])
    with tempfile.TemporaryDirectory() as folder:
        columns = classic.columns("functionals")
        store = Store(Path(folder) / "store", columns)
        rows = [Row(str(i), np.zeros((1, len(columns)), np.float32)) for i in range(len(clips))]
        took["write"] = cpu(lambda: [store.add(rows[i : i + 32]) for i in range(0, len(rows), 32)])
    print("\nwhere the time of classic goes")
    for name, t in took.items():
        print(f"  {name:28s} {1e4 * t / seconds:8.2f} us per frame")
    print("\nother descriptors, pitch, spectra and resonances already there")
    for name, d in DESCRIPTORS.items():
        if name not in classic.descriptors and not name.endswith("39"):
            t = cpu(lambda d=d: [d(st) for st in analyses])
            print(f"  {name:28s} {1e4 * t / seconds:8.2f} us per frame")


def lengths(files: list[Path]) -> None:
    """Print what a frame costs in recordings of 1 s to 1 h: speech one after the other."""

    def repeat(x: np.ndarray, level: str, turns: int) -> None:
        for _ in range(turns):
            FEATURE_SETS["classic"].compute(x, level)  # type: ignore[arg-type]

    speech = np.concatenate([load_audio(f, sr=SR).x for f in files])
    print("\nclassic by the length of a recording, samples in memory     LLD   functionals")
    for seconds in (1, 3, 10, 60, 600, 3600):
        x = np.resize(speech, seconds * SR).astype(np.float32)
        turns = max(1, 60 // seconds)
        row = []
        for level in ("lld", "functionals"):
            best = min(cpu(partial(repeat, x, level, turns)) for _ in range(ROUNDS))
            row.append(f"{1e4 * best / turns / seconds:8.1f}")
        print(f"  {seconds:5d} s, us per frame {'':30s}" + "   ".join(row))


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="?", default="demo")
    parser.add_argument("--limit", type=int, default=0, help="about this many files, evenly spaced")
    parser.add_argument("--wav", action="store_true", help="write them as WAV before")
    arguments = parser.parse_args()
    manifest = speech(arguments.corpus)
    files = [manifest.path(f) for f in manifest.rows.index.get_level_values("file")]
    if arguments.limit:
        files = files[:: max(1, len(files) // arguments.limit)]
    files = as_wav(files) if arguments.wav else files
    seconds = sum(len(load_audio(f).x) / load_audio(f).sr for f in files)
    packages = ("serfeat", "numpy", "scipy", "numba")
    kind = f"{len(files)} {files[0].suffix} files"
    print(f"\n{arguments.corpus}: {kind}, {seconds:.0f} s of speech, one thread,")
    print(", ".join(f"{p} {version(p)}" for p in packages), platform.machine(), end="")
    print(", compiled kernels\n" if COMPILED else ", WITHOUT compiled kernels\n")
    race(files, seconds)
    some = files[:: max(1, len(files) // 64)]
    stages(some)
    lengths(some)


if __name__ == "__main__":
    keep_freed_memory()  # as serfeat.extract does; here it helps all contenders alike
    with threadpool_limits(1):
        main()
