"""`serfeat train` and `serfeat predict`, and the word "unknown" between them.

What is far from everything is a loud tone of one frequency: no voice has such a spectrum.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from serfeat.cli import main
from serfeat.doubt import UNKNOWN

RECIPE = """
title = "tiny"
[corpus]
manifest = "{manifest}"
[[protocols]]
name = "speaker_kfold"
n = 2
[[entries]]
name = "svm"
model = "svm"
features = "mfcc"
[[entries]]
name = "gru"
model = "gru"
features = "mfcc"
params = { hidden = 4, layers = 1, epochs = 2 }
"""


@pytest.fixture(scope="module")
def recipe(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("unknown") / "tiny.toml"
    place.write_text(RECIPE.replace("{manifest}", str(tiny)), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def model(recipe: Path) -> Path:
    """A classical model with its record."""
    folder = recipe.parent / "svm"
    assert main(["train", str(recipe), "--entry", "svm", "-o", str(folder), "-j", "1", "-q"]) == 0
    return folder


@pytest.fixture(scope="module")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tone") / "tone.wav"
    sf.write(file, 0.9 * np.sin(2 * np.pi * 5_000 * np.arange(16_000) / 16_000), 16_000)
    return file


def said(capsys: Any, model: Path, *files: Path) -> list[dict[str, Any]]:
    """What `serfeat predict --json` says of recordings."""
    capsys.readouterr()
    assert main(["predict", str(model), *map(str, files), "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["predictions"]
    return rows


def rewritten(model: Path, **changes: Any) -> None:
    """Change what the record of a model says."""
    record = model / "doubt.json"
    held = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**held, **changes}), encoding="utf-8")


def test_what_is_unlike_the_training_is_unknown(
    capsys: Any, model: Path, tiny: Path, tone: Path
) -> None:
    """A clip of the training is answered, a tone is not, and the reason is said.

    What the model itself says of the tone is kept. Seen to fail with every answer held for known.
    """
    clip = sorted(tiny.parent.rglob("*.wav"))[0]
    known, far = said(capsys, model, clip, tone)
    assert known["said"] == known["prediction"] != UNKNOWN
    assert known["reason"] == ""
    assert far["said"] == UNKNOWN
    assert far["prediction"] in far["probabilities"]
    assert "unlike the training" in far["reason"]
    assert main(["predict", str(model), str(clip), str(tone)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == [known["prediction"], UNKNOWN]


def test_the_record_decides(
    capsys: Any, model: Path, tiny: Path, tone: Path, tmp_path: Path
) -> None:
    """The same model and sounds, with other records: each of the two rules says so by itself.

    Seen to fail with `RIGHT` at 0.3 in `serfeat.doubt`.
    """
    clip = sorted(tiny.parent.rglob("*.wav"))[0]
    other = tmp_path / "model"
    shutil.copytree(model, other)
    n = len(json.loads((model / "doubt.json").read_text(encoding="utf-8"))["low"])
    wide = {"low": [-1e9] * n, "high": [1e9] * n}
    rewritten(other, confidence=[0.0, 1.0], right=[0.9, 0.9], **wide)
    assert UNKNOWN not in [row["said"] for row in said(capsys, other, clip, tone)]
    rewritten(other, right=[0.4, 0.4])
    rows = said(capsys, other, clip, tone)
    assert [row["said"] for row in rows] == [UNKNOWN, UNKNOWN]
    assert [row["right"] for row in rows] == [0.4, 0.4]
    assert all(row["reason"].startswith("unsure: on 4 held-out speakers") for row in rows)


def test_a_model_has_the_seed_of_its_recipe(recipe: Path, tmp_path: Path, capsys: Any) -> None:
    """Failed: 0, whatever the recipe said. An epoch chosen on test clips is refused in one line."""
    other = tmp_path / "other.toml"
    text = recipe.read_text(encoding="utf-8").replace(
        "[[protocols]]", "[run]\nseeds = [7, 8]\n[[protocols]]", 1
    )
    other.write_text(text.replace("epochs = 2", 'epochs = 2, selection = "test_oracle"'))
    words = ["train", str(other), "-o", str(tmp_path / "m"), "-j", "1", "-q", "--held-out", "0"]
    assert main([*words, "--entry", "svm"]) == 0
    assert json.loads((tmp_path / "m" / "card.json").read_text(encoding="utf-8"))["seed"] == 7
    assert main([*words, "--entry", "gru"]) == 2
    assert "gru: its epoch is chosen on test clips" in capsys.readouterr().err


def test_a_network_has_a_record_where_it_is_asked_for(
    capsys: Any, recipe: Path, tone: Path, tmp_path: Path
) -> None:
    """`--held-out 2` trains a network twice more; without it there is none, and none stays.

    Seen to fail where only classical models learn a record, and without the `unlink` in `train`.
    """
    folder = tmp_path / "gru"
    words = ["train", str(recipe), "--entry", "gru", "-o", str(folder), "-j", "1", "-q"]
    assert main([*words, "--held-out", "2"]) == 0
    record = json.loads((folder / "doubt.json").read_text(encoding="utf-8"))
    assert (record["groups"], record["speakers"], record["clips"]) == (2, 4, 24)
    (far,) = said(capsys, folder, tone)
    assert far["said"] == UNKNOWN
    assert main(words) == 0
    assert not (folder / "doubt.json").exists()
