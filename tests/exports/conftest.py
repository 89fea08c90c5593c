"""Tables that every format is asked to hold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from serfeat.table import clip_index, frame_index


class Given(NamedTuple):
    """What an export gets."""

    table: pd.DataFrame
    units: dict[str, str]
    provenance: dict[str, object]
    labels: pd.DataFrame


COLUMNS = ["f0_hz__mean", "hnr_db__p50", "100%", 'it\'s, "odd"', "end of (it)", "a" * 70 + "x"]
UNITS = dict(zip(COLUMNS, ["Hz", "dB", "%", "", "s", "1"], strict=True))
PROVENANCE = {
    "features": "test",
    "hop_s": 0.01,
    "licence": "Apache-2.0",
    "corpus": {"name": "tiny", "licence": "CC0 | <b>free</b>", "synthetic": True},
}


def values(n: int) -> np.ndarray:
    """Numbers whose shortest text is hard: 0.1, the smallest and largest float32, NaN, -0."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((n, 6)) * 10.0 ** rng.integers(-8, 8, (n, 6))).astype(np.float32)
    x[0] = [0.1, -0.0, 3.4028235e38, 1.1754944e-38, 16777216.0, -123.0]
    x[1, 1] = np.nan
    return x


def index() -> pd.MultiIndex:
    """Five clips, one a segment; names with what breaks naive writers."""
    files = ["b/1.wav", "a/2.wav", "a/it's, ü.wav", "a/=cmd()%.wav", "a/2.wav"]
    return clip_index(files, [0, 0, 0, 0, 1.25], [np.nan, 1.25, np.nan, np.nan, 2.500000001])


def labels(clips: pd.MultiIndex) -> pd.DataFrame:
    """Labels in another order than the table."""
    said = {
        "emotion": ["sadness", "anger", "anger", "fear", "anger"],
        "speaker": ["03", "03", "=x", "11", "11"],
        "arousal": [0.25, -1.0, np.nan, 0.1, 3.0],
    }
    return pd.DataFrame(said, index=clips).iloc[::-1]


@pytest.fixture
def clips() -> Given:
    table = pd.DataFrame(values(5), index=index(), columns=COLUMNS)
    return Given(table, UNITS, PROVENANCE, labels(table.index))


@pytest.fixture
def frames() -> Given:
    """Frames of three whole files and one segment that begins at 0.5 s."""
    files = ["b/1.wav", "a/2.wav", "a/it's, ü.wav", "c.wav"]
    chosen = clip_index(files, [0, 0, 0, 0.5], [np.nan, np.nan, np.nan, 0.53])
    rows = frame_index(chosen, [4, 1, 7, 3], 0.01)
    table = pd.DataFrame(values(15), index=rows, columns=COLUMNS)
    said = pd.DataFrame({"emotion": ["fear", "anger", "", "fear"]}, index=chosen)
    return Given(table, UNITS, PROVENANCE, said)


@pytest.fixture
def plain(clips: Given) -> Given:
    """Whole files with plain names, every number defined: what the poorest format holds."""
    files = clip_index([f"a/{i}.wav" for i in range(5)])
    table = clips.table.set_axis(files).fillna(7.5)
    table.columns = [f"c{i}" for i in range(6)]
    said = pd.DataFrame({"emotion": ["sadness", "anger", "anger", "fear", "anger"]}, index=files)
    return Given(table, {"c0": "Hz"}, PROVENANCE, said)
