"""No value changes without its version: a store could serve the old ones beside the new.

What is in a store is found by the versions of what computed it (`FeatureSet.fingerprint`); each is
a number that somebody raises by hand. ``values.json`` holds, for each version, what came out of one
signal: the share of undefined frames, the mean and the standard deviation of each column. Where
that changes and the version does not, a test fails. After raising it, and a line in the changelog:

    python tests/contracts/test_values.py          # writes values.json anew
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import lfilter

import serfeat.features as features_module
from serfeat.audio import DECODER, load_audio
from serfeat.denoise import PREPARATIONS
from serfeat.features import FeatureSet
from serfeat.functionals import FUNCTIONALS
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats, Reals

SR = 16_000
FILE = Path(__file__).with_name("values.json")
# In scales: transforms in single precision differ by 1e-5 between processors, a formula by more.
TOLERANCE = 2e-4

Said = tuple[int, list[list[float]]]  # a version; undefined share, mean and deviation by column


@cache
def voice() -> Floats:
    """(n,) 1.6 s: two vowels with a gliding pitch and a fricative, nothing of serfeat in them."""
    noise = random.Random(0)  # whose numbers are the same in every version of Python
    t = np.arange(int(1.6 * SR)) / SR
    hiss = np.array([noise.gauss(0, 1) for _ in t])
    f0 = 120 + 40 * np.sin(2 * np.pi * 0.7 * t)
    phase = np.cumsum(f0) / SR
    pulses = np.diff(np.floor(phase), prepend=0.0) * (1 + 0.1 * np.sin(2 * np.pi * 3 * t))
    first, second = (t > 0.15) & (t < 0.65), (t > 0.85) & (t < 1.45)
    x = 0.02 * np.where((t > 0.65) & (t < 0.80), np.diff(hiss, prepend=0.0), 0.0)
    for during, formants in ((first, (700, 1220, 2600)), (second, (300, 2200, 3000))):
        sound = pulses * during
        for centre, width in zip(formants, (80, 100, 140), strict=True):
            r = math.exp(-math.pi * width / SR)
            a = [1.0, -2 * r * math.cos(2 * math.pi * centre / SR), r * r]
            sound = lfilter([sum(a)], a, sound)
        x = x + 3 * sound
    return x + 1e-4 * hiss


def summary(values: Reals) -> list[list[float]]:
    """Undefined share, mean and standard deviation of each column, 40 at most."""
    table = np.atleast_2d(np.asarray(values, dtype=np.float64)).T
    rows = []
    for column in table[:40]:
        known = column[np.isfinite(column)]
        mean, sd = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)
        rows.append([1 - len(known) / len(column), mean, sd])
    return rows


def of_descriptor(d: Descriptor) -> Said:
    return d.version, summary(d(ShortTime(voice(), SR)))


def of_functional(name: str) -> Said:
    """Of a contour with undefined frames and of one without."""
    features = FeatureSet("", "", descriptors=("f0", "mfcc"), functionals=(name,))
    return features_module.VERSION, summary(features.compute(voice(), "functionals"))


def of_deltas() -> Said:
    features = FeatureSet("", "", descriptors=("energy",), deltas=2)
    return features_module.VERSION, summary(features.compute(voice(), "lld"))


def of_preparation(name: str) -> Said:
    step = PREPARATIONS[name]
    return step.version, summary(step.apply(voice(), SR).reshape(-1, 400))


def of_decoder(folder: Path) -> Said:
    """Two channels at 44.1 kHz, with an offset that is subtracted, as 16 kHz."""
    path, t = folder / "a.wav", np.arange(22_050) / 44_100
    left, right = 0.3 * np.sin(2 * np.pi * 440 * t), 0.2 * np.sin(2 * np.pi * 3000 * t)
    sf.write(path, np.stack([left, right], axis=1) + 0.05, 44_100, subtype="PCM_16")
    return DECODER, summary(load_audio(path, sr=SR).x[:8000].reshape(-1, 400))


def everything(folder: Path) -> dict[str, Callable[[], Said]]:
    """What is computed, by name."""
    return {
        **{f"descriptor {d.name}": lambda d=d: of_descriptor(d) for d in DESCRIPTORS.values()},
        **{f"functional {name}": lambda name=name: of_functional(name) for name in FUNCTIONALS},
        **{f"preparation {name}": lambda name=name: of_preparation(name) for name in PREPARATIONS},
        "deltas": of_deltas,
        "decoder": lambda: of_decoder(folder),
    }


def check(name: str, found: Said, known: Said) -> None:
    (version, now), (written, then) = found, known
    if version != written:
        pytest.fail(f"{name}: version {version}, values.json has {written}: write it anew")
    a, b = np.array(now), np.array(then)
    assert a.shape == b.shape, f"{name}: {len(a)} columns, were {len(b)}: raise its version"
    scale = np.maximum(np.abs(b[:, 1]), b[:, 2]).clip(1e-9)[:, None]
    moved = np.abs(a - b) / np.concatenate([np.ones_like(scale), scale, scale], axis=1)
    assert moved.max() <= TOLERANCE, (
        f"{name}: column {int(moved.max(axis=1).argmax())} moved by {moved.max():.2g} of its scale,"
        " and its version did not: raise it"
    )


@pytest.fixture(scope="module")
def known() -> dict[str, Said]:
    return {name: (said[0], said[1]) for name, said in json.loads(FILE.read_text()).items()}


def test_no_value_changes_without_its_version(known: dict[str, Said], tmp_path: Path) -> None:
    """Seen to fail for a pre-emphasis of 0.96, a window of 24 ms and a delta over 3 frames."""
    now = everything(tmp_path)
    assert sorted(now) == sorted(known), "values.json lacks a line, or has one too many"
    for name, compute in now.items():
        check(name, compute(), known[name])


def test_a_value_that_changed_is_found(known: dict[str, Said]) -> None:
    d = DESCRIPTORS["zcr"]
    check("descriptor zcr", of_descriptor(d), known["descriptor zcr"])
    louder = replace(d, compute=lambda st, **k: 1.001 * d.compute(st, **k))
    with pytest.raises(AssertionError, match=r"moved by 0\.001"):
        check("descriptor zcr", of_descriptor(louder), known["descriptor zcr"])
    with pytest.raises(pytest.fail.Exception, match="write it anew"):
        check("descriptor zcr", of_descriptor(replace(d, version=99)), known["descriptor zcr"])


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as place:
        said = {name: compute() for name, compute in everything(Path(place)).items()}
    lines = [
        f'"{name}": [{version}, {json.dumps([[float(f"{v:.9g}") for v in row] for row in rows])}]'
        for name, (version, rows) in sorted(said.items())
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
