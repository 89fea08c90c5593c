"""Stored models: equal after a round trip, refused when changed, never able to run code."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io

from serfeat.errors import ModelError
from serfeat.models import MODELS, fit, make_model
from serfeat.models.storage import load_model, save_model
from serfeat.sequences import Sequences

QUICK = {
    "xgb": {"n_estimators": 5},
    "gmm": {"n_components": 2},
    "mlp": {"epochs": 2},
    "dbn": {"epochs": 2, "hidden": (8,), "pretrain_epochs": (2, 2)},
    **{cell: {"epochs": 1, "hidden": 8} for cell in ("rnn", "lstm", "gru")},
    "cnn": {"epochs": 1, "n_frames": 16},
    "cnn1d": {"epochs": 1},
    "parallel_cnn": {"epochs": 1, "filters": 8, "hidden": (8,)},
    "dcrn": {
        "epochs": 1,
        "n_samples": 4,
        "sr": 1000,
        "filters": 8,
        "taps": (5, 9),
        "pool": 4,
        "hidden": 8,
    },
    "transformer": {"epochs": 1, "width": 8, "heads": 2, "layers": 1},
    "timnet": {"epochs": 1, "n_dilations": 2},
    "am_resnet": {"epochs": 1},
    "layer_weights": {"epochs": 1, "hidden": 8},
    "amrwc": {"epochs": 1, "width": 8, "n_encoder": 2},
}


def fitted(name: str):
    rng = np.random.default_rng(0)
    y = np.array(["anger", "neutral"] * 12)
    groups = np.array(["a", "b", "c"] * 8)
    if MODELS[name].level == "lld":
        X = Sequences.of([rng.standard_normal((20, 4)) + (label == "anger") for label in y])
    else:
        X = rng.standard_normal((24, 5)).astype(np.float32) + (y == "anger")[:, None]
        X[3, 2] = np.nan
    return fit(make_model(name, **QUICK.get(name, {})), X, y, groups), X


@pytest.mark.parametrize("name", MODELS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    model, X = fitted(name)
    save_model(model, tmp_path / "m", {"labels": ["anger", "neutral"]})
    again, card = load_model(tmp_path / "m")
    assert card["labels"] == ["anger", "neutral"]
    assert card["versions"]["numpy"] == np.__version__
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    for file in (tmp_path / "m").iterdir():
        assert file.suffix in {".json", ".skops", ".ubj", ".safetensors"}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    save_model(fitted("svm")[0], tmp_path / "m", {})
    return tmp_path / "m"


def test_changed_file(stored: Path) -> None:
    file = stored / "classify.skops"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(ModelError, match=r"classify\.skops differs from its checksum"):
        load_model(stored)
    file.unlink()
    with pytest.raises(ModelError, match=r"classify\.skops is missing"):
        load_model(stored)


def forge(folder: Path, card: dict) -> None:
    """Write a card with the checksum that belongs to it."""
    card.pop("sha256")
    card["sha256"] = hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card))


def test_changed_card(stored: Path) -> None:
    text = (stored / "card.json").read_text()
    (stored / "card.json").write_text(text.replace('"numpy"', '"numqy"'))
    with pytest.raises(ModelError, match=r"card\.json: differs from its checksum"):
        load_model(stored)


def replace_step(folder: Path, content: bytes) -> None:
    """Put other bytes in place of a step, with a correct checksum: a forged model."""
    (folder / "classify.skops").write_bytes(content)
    card = json.loads((folder / "card.json").read_text())
    card["files"]["classify.skops"] = hashlib.sha256(content).hexdigest()
    forge(folder, card)


class Bomb:
    """Unpickling it would create a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self):
        return (Path.touch, (self.sentinel,))


def test_strangers_are_refused_and_run_nothing(stored: Path, tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    replace_step(stored, pickle.dumps(Bomb(sentinel)))
    with pytest.raises((ModelError, zipfile.BadZipFile)):
        load_model(stored)
    replace_step(stored, skops.io.dumps(Path.touch))
    with pytest.raises(ModelError, match="not on serfeat's list"):
        load_model(stored)
    assert not sentinel.exists()


def test_card_cannot_leave_the_folder(stored: Path) -> None:
    card = json.loads((stored / "card.json").read_text())
    card["files"]["../outside"] = "0"
    forge(stored, card)
    with pytest.raises(ModelError, match=r"names the file '\.\./outside'"):
        load_model(stored)


def test_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no card\.json"):
        load_model(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(tmp_path)
