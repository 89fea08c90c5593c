"""How long nkululeko's praat extractor takes, measured against the same yardstick as ours.

nkululeko pins other versions than serfeat, so it has an environment of its own:

    python3 -m venv peer && peer/bin/pip install nkululeko
    peer/bin/python bench/nkululeko_praat.py FOLDER_OF_AUDIO [every_nth_file]

CPU seconds (user + system, all threads of the process) from file to numbers. It and openSMILE's
eGeMAPSv02 `process_file` take turns every 8 files; `bench/extractors.py` measures serfeat against
the same yardstick, and the quotient of the two ratios is serfeat against nkululeko.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from importlib.metadata import version
from pathlib import Path

import audformat
import opensmile
import soundfile
from nkululeko.feat_extract import feats_praat_core

TURN = 8


def main(folder: Path, every: int) -> None:
    """Print the two times and their ratio."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in {".wav", ".flac"})[::every]
    seconds = sum(soundfile.info(f).duration for f in files)
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)

    def peer(some: list[Path]) -> None:
        ends = [soundfile.info(f).duration for f in some]
        index = audformat.segmented_index([str(f) for f in some], [0.0] * len(some), ends)
        with contextlib.redirect_stdout(io.StringIO()):
            feats_praat_core.compute_features(index)

    def yardstick(some: list[Path]) -> None:
        for file in some:
            smile.process_file(str(file))

    took = {"nkululeko praat": 0.0, "openSMILE eGeMAPSv02": 0.0}
    work = {"nkululeko praat": peer, "openSMILE eGeMAPSv02": yardstick}
    for once in work.values():
        once(files[:2])  # opens and warms up
    for first in range(0, len(files), TURN):
        for name, once in work.items():
            start = time.process_time()
            once(files[first : first + TURN])
            took[name] += time.process_time() - start
    print(f"{len(files)} files, {seconds:.0f} s; nkululeko {version('nkululeko')}")
    for name, t in took.items():
        print(f"{name:24s} {seconds / t:8.1f} x real time")
    ratio = took["nkululeko praat"] / took["openSMILE eGeMAPSv02"]
    print(f"nkululeko praat takes {ratio:.2f} times as long as eGeMAPSv02")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
