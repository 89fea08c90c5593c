"""Long recordings: what a second of audio costs, and the memory, from one second to one hour.

    python bench/long.py                          # `classic` and `prosody`, rows and frames
    python bench/long.py classic:functionals

The recordings are 48 kHz stereo FLAC, the embedded synthetic speech again and again; each is read,
resampled and analysed in a process of its own, which has extracted one second before (so that
imports and kernels do not count). CPU time of all threads; the memory is the most that the process
ever held.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

SECONDS = (1, 10, 60, 600, 3600)
WHAT = ("classic:functionals", "classic:lld", "prosody:functionals", "prosody:lld")
SR = 48_000


def recordings(folder: Path) -> list[Path]:
    """Write one recording of each length, in a folder of its own."""
    from serfeat.demo import make_corpus

    make_corpus(folder / "corpus", speakers=2, sentences=4)
    clips = sorted((folder / "corpus").rglob("*.wav"))
    speech = np.concatenate([sf.read(clip)[0] for clip in clips])
    speech = resample_poly(speech, SR // sf.info(clips[0]).samplerate, 1)
    both = np.stack([speech, 0.8 * speech], axis=1)
    made = []
    for seconds in SECONDS:
        place = folder / f"{seconds}"
        place.mkdir()
        with sf.SoundFile(place / "speech.flac", "w", SR, 2, "PCM_16") as out:
            left = seconds * SR
            while left > 0:
                out.write(both[:left])
                left -= len(both)
        made.append(place)
    return made


def child(features: str, level: str, warm: Path, place: Path) -> None:
    """Extract one recording, and tell what it took."""
    from serfeat.extract import extract

    with tempfile.TemporaryDirectory() as store:
        extract(warm, features, level=level, store=Path(store) / "warm")
        cpu, wall = time.process_time(), time.perf_counter()
        made = extract(place, features, level=level, store=Path(store) / "long")
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    assert len(made.failures) == 0, made.failures
    # Not getrusage: its figure is that of the parent before the child became another program.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    sys.stdout.write(json.dumps(spent | {"peak": peak}) + "\n")


def main() -> None:
    """Measure, and print Markdown."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:4], *map(Path, sys.argv[4:6]))
        return
    heads = [f"{s} s" if s < 3600 else "1 h" for s in SECONDS]
    lines = [
        "| set, level | " + " | ".join(f"{h}: ms/s, MiB" for h in heads) + " |",
        "|---|" + "---:|" * len(heads),
    ]
    with tempfile.TemporaryDirectory() as folder:
        places = recordings(Path(folder))
        for what in sys.argv[1:] or WHAT:
            cells = []
            for seconds, place in zip(SECONDS, places, strict=True):
                command = [sys.executable, __file__, "--child", *what.split(":"), places[0], place]
                said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
                found = json.loads(said.stdout.splitlines()[-1])
                cells.append(f"{1e3 * found['cpu'] / seconds:.1f}, {found['peak']:.0f}")
                sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what} {seconds} s: {cells[-1]}\n")
            lines.append(f"| `{what}` | " + " | ".join(cells) + " |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
