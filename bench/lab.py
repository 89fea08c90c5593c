"""How quick the lab is, in real Chromium: upload to picture, slider to picture, ten minutes.

    python bench/lab.py [--repeats 20]

Starts `serfeat lab` and a Chromium of the system (SERFEAT_CHROMIUM), and prints one line per
figure: what, median, 95th percentile, the goal. Times are those of the page itself
(performance.now), from the file or the slider to the last drawing that it caused.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import sync_playwright

PARTS = (
    "shape", "overview", "picture", "slice", "voicing/serfeat", "f0/serfeat", "mfcc/serfeat",
    "formants/serfeat", "energy/serfeat", "zcr/serfeat", "hnr/serfeat", "teo/serfeat",
)  # fmt: skip
TOUCHED = {
    "floor": ("f0/serfeat", "hnr/serfeat", "voicing/serfeat"),
    "ceiling": ("f0/serfeat", "hnr/serfeat", "voicing/serfeat"),
    "order": ("formants/serfeat", "slice"),
    "top": ("formants/serfeat", "slice"),
    "window": ("energy/serfeat", "zcr/serfeat", "teo/serfeat", "mfcc/serfeat", "picture",
               "formants/serfeat", "slice"),
    "hop": tuple(p for p in PARTS if p.endswith("/serfeat")),
}  # fmt: skip
# Moves a slider, waits until everything that it touches was drawn, and says how long that took.
MOVE = """async ([name, value, parts]) => {
  const slider = document.getElementById('slider-' + name);
  performance.clearMarks();
  const begun = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event('input'));
  const last = () => parts.map(p => performance.getEntriesByName('drawn:' + p).at(-1)?.startTime);
  while (last().some(t => t === undefined)) await new Promise(requestAnimationFrame);
  slider.dispatchEvent(new Event('change'));
  return Math.max(...last()) - begun;
}"""
# From the choice of a file to the last part of its picture.
SEEN = """async ([parts, wanted]) => {
  const times = p => performance.getEntriesByName('drawn:' + p).map(e => e.startTime);
  const from = () => performance.getEntriesByName('upload').at(-1)?.startTime;
  const done = () => parts.every(p => times(p).some(t => t > from()));
  while (performance.getEntriesByName('upload').length < wanted || !done())
    await new Promise(requestAnimationFrame);
  return Math.max(...parts.map(p => times(p).find(t => t > from()))) - from();
}"""


def speech(seconds: float, sr: int = 16_000) -> bytes:
    """A voice whose pitch and loudness move, in a little noise."""
    t = np.arange(round(seconds * sr)) / sr
    phase = 2 * np.pi * np.cumsum(150 + 40 * np.sin(2 * np.pi * 0.7 * t)) / sr
    voice = sum(np.cos(h * phase) / h for h in range(1, 25))
    x = 0.1 * voice * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))
    x = x + 0.002 * np.random.default_rng(0).standard_normal(len(t))
    target = io.BytesIO()
    soundfile.write(target, x, sr, format="WAV", subtype="PCM_16")
    return target.getvalue()


@contextmanager
def opened() -> Iterator[Any]:
    """A page of a lab of its own."""
    command = [sys.executable, "-m", "serfeat.cli", "lab", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    names = ("chromium", "chromium-browser", "google-chrome")
    binary = os.environ.get("SERFEAT_CHROMIUM") or next(filter(None, map(shutil.which, names)))
    root = hasattr(os, "getuid") and os.getuid() == 0
    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=binary, args=["--no-sandbox"] if root else []
            )
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            page.goto(address.group(), timeout=120_000)
            page.wait_for_selector("#sound-record", timeout=120_000)
            yield page
            browser.close()
    finally:
        server.terminate()
        server.wait(30)


def give(page: Any, name: str, content: bytes) -> None:
    """Choose a file."""
    file = {"name": name, "mimeType": "audio/wav", "buffer": content}
    page.set_input_files("#sound-file", [file])


def tell(what: str, times: list[float], goal: str) -> None:
    """One line per figure."""
    low, high = np.percentile(times, [50, 95])
    print(f"{what:<42} median {low:7.0f} ms   95 % {high:7.0f} ms   goal {goal}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    folder = Path(__file__).parent.parent / "serfeat" / "lab" / "page"
    weight = sum(p.stat().st_size for p in folder.iterdir())
    print(f"{'page':<42} {weight / 1e3:.0f} kB in {len(list(folder.iterdir()))} files, goal 500 kB")
    three = speech(3.0)
    ten = three[:40] + (600 * 32_000).to_bytes(4, "little") + three[44:] * 200
    ten = ten[:4] + (len(ten) - 8).to_bytes(4, "little") + ten[8:]
    with opened() as page:
        seen = []
        for i in range(1 + repeats // 2):
            give(page, "three.wav", three)
            seen.append(page.evaluate(SEEN, [list(PARTS), i + 1]))
        print(f"{'first file of a new lab':<42} {seen[0]:14.0f} ms")
        tell("3 s: upload to the whole picture", seen[1:], "1000 ms")
        for name, parts in TOUCHED.items():
            low, high, step, default = page.evaluate(
                "n => { const s = document.getElementById('slider-' + n);"
                " return [s.min, s.max, s.step, s.value].map(Number); }",
                name,
            )
            middle = [default + step * (1 + i % 5) for i in range(repeats)]
            values = [min(high, max(low, v)) for v in middle]
            times = [page.evaluate(MOVE, [name, v, list(parts)]) for v in values]
            tell(f"3 s: slider {name} to {len(parts)} parts", times, "150 ms")
        page.evaluate("performance.clearMarks()")
        give(page, "ten.wav", ten)
        whole = page.evaluate(SEEN, [list(PARTS), 1])
        print(f"{'10 min: upload to the picture of 30 s':<42} {whole:14.0f} ms")
        times = []
        for i in range(repeats):
            page.focus(".plots")
            page.evaluate("performance.clearMarks('drawn:picture')")
            begun = page.evaluate("performance.now()")
            page.keyboard.press("ArrowRight" if i % 2 else "-" if i % 4 else "+")
            while not (drawn := page.evaluate(
                "performance.getEntriesByName('drawn:picture').at(-1)?.startTime ?? null"
            )):  # fmt: skip
                page.wait_for_timeout(5)
            times.append(drawn - begun)
        tell("10 min: move or zoom to spectrogram", times, "-")


if __name__ == "__main__":
    main()
