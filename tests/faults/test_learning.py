"""The catalogue of faults, 92 to 102: learning, comparing, and models from strangers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat import models
from serfeat.errors import ModelError, SerfeatError, SplitError
from serfeat.extract import extract
from serfeat.metrics import uar
from serfeat.models import MODELS, fit, make_model
from serfeat.models.storage import load_model, save_model
from serfeat.sequences import Sequences
from serfeat.splits import folds

from .bad_audio import tone, wav

PACKAGE = Path(models.__file__).parents[2]


def rows(n: int = 24, speakers: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "corpus": "c",
            "speaker": [f"{i % speakers:02d}" for i in range(n)],
            "emotion": [("anger", "neutral", "sadness")[i // speakers % 3] for i in range(n)],
        }
    )


def matrix(y: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((len(y), 4)) + (y == "anger")[:, None]


TABLES = [n for n, m in MODELS.items() if m.level == "functionals"]


@pytest.mark.parametrize("name", TABLES)
def test_092_one_class(name: str) -> None:
    """Refused by all alike. Seen to fail without `_refuse_one_class`: `knn` trains on."""
    y = np.array(["anger"] * 12)
    with pytest.raises(ModelError) as caught:
        fit(make_model(name), matrix(y), y, np.array(["a", "b", "c"] * 4))
    assert caught.value.code == "one-class"


def test_093_label_that_training_never_sees() -> None:
    """At split time, with its name; and the score counts the declared labels."""
    table = rows()
    table.loc[table["speaker"] != "00", "emotion"] = "neutral"
    with pytest.raises(SplitError, match="no training row has anger, sadness"):
        folds(table, "leave_one_speaker_out")
    truth, said = np.array(["anger", "anger", "fear"]), np.array(["anger", "fear", "fear"])
    assert uar(truth, said, labels=("anger", "fear")) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("table", "protocol", "options"),
    [
        (rows(speakers=1), "leave_one_speaker_out", {}),
        (rows(speakers=4), "speaker_kfold", {"n": 5}),
        (rows().drop(columns="speaker"), "leave_one_speaker_out", {}),
        (rows().assign(speaker=""), "speaker_kfold", {"n": 2}),
    ],
    ids=["one", "fewer than folds", "no column", "empty column"],
)
def test_094_too_few_speakers(table: pd.DataFrame, protocol: str, options: dict[str, int]) -> None:
    with pytest.raises(SplitError):
        folds(table, protocol, **options)


def test_094_speaker_dependent_is_said() -> None:
    assert "Speaker-dependent" in folds(rows(), "random_kfold", n=3)[1]


@pytest.mark.parametrize("name", ["svm", "knn", "xgb"])
def test_095_labels_are_text_for_every_model(name: str) -> None:
    if name == "xgb":
        pytest.importorskip("xgboost")
    y = np.array(["2", "7"] * 12)
    model = fit(make_model(name), matrix(y), y, np.array(["a", "b"] * 12))
    assert list(model.classes_) == ["2", "7"]
    assert set(model.predict(matrix(y))) <= {"2", "7"}


def test_096_more_components_than_frames() -> None:
    """Refused by name, before anything is fitted."""
    y = np.array(["anger", "neutral"] * 2)
    clips = Sequences.of([np.random.default_rng(0).standard_normal((3, 2)) for _ in y])
    with pytest.raises(ModelError, match="expected at least the 64 components"):
        fit(make_model("gmm", n_components=64), clips, y, np.array(["a", "b"] * 2))


def test_096_more_neighbours_than_rows() -> None:
    """Limited to the rows of training, as scikit-learn's own check of estimators asks."""
    y = np.array(["anger", "neutral"] * 2)
    model = fit(make_model("knn"), matrix(y), y, np.array(["a", "b"] * 2))
    assert np.isfinite(model.predict_proba(matrix(y))).all()


def test_097_random_labels_score_chance() -> None:
    """A scaler or selector that has seen the test rows would help: planted, it would be seen.

    The spies of tests/test_no_peeking.py look at every call; here only the score is looked at.
    """
    rng = np.random.default_rng(1)
    X = rng.standard_normal((120, 200))
    y = rng.permutation(np.array(["anger", "neutral"] * 60))
    speakers = np.repeat([f"{i:02d}" for i in range(6)], 20)
    table = pd.DataFrame({"corpus": "c", "speaker": speakers, "emotion": y})
    said = np.empty(120, dtype=object)
    for fold in folds(table, "leave_one_speaker_out")[0]:
        model = fit(make_model("svm"), X[fold.train], y[fold.train], speakers[fold.train])
        said[fold.test] = model.predict(X[fold.test])
    assert abs(uar(y, said, labels=("anger", "neutral")) - 0.5) < 0.15


def test_098_training_that_diverges() -> None:
    pytest.importorskip("torch")
    y = np.array(["anger", "neutral"] * 12)
    with pytest.raises(ModelError) as caught:
        fit(
            make_model("mlp", epochs=5, learning_rate=1e30),
            matrix(y),
            y,
            np.array(["a", "b", "c"] * 8),
        )
    assert caught.value.code == "diverged"


def test_099_a_clip_that_is_longer_than_all_others() -> None:
    """Batches gather clips of like length; every clip is in one."""
    pytest.importorskip("torch")
    from serfeat.models.batches import batches

    lengths = np.array([100] * 31 + [60_000])
    cuts = batches(lengths, 32, np.random.default_rng(0))
    assert sorted(int(i) for cut in cuts for i in cut) == list(range(32))


def test_099_a_batch_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halved and added up, the step is that of the whole batch; in training and in prediction."""
    torch = pytest.importorskip("torch")
    from serfeat.models import batches, training

    y = np.array(["anger", "neutral"] * 12)
    speakers = np.array(["a", "b", "c"] * 8)
    options = {"epochs": 3, "batch_size": 24, "dropout": 0.0}
    # Adam does not care for the size of a gradient; plain descent does
    options |= {"batch_norm": False, "optimizer": "sgd", "learning_rate": 0.1}
    whole = fit(make_model("mlp", **options), matrix(y), y, speakers)
    expected = whole.predict_proba(matrix(y))
    tried: list[int] = []
    real = batches.padded
    errors = iter([MemoryError("too large"), torch.OutOfMemoryError("CUDA out of memory")] * 9)

    def small(clips: Sequences, chosen: np.ndarray, device: object) -> object:
        tried.append(len(chosen))
        if len(chosen) > 8:
            raise next(errors)
        return real(clips, chosen, device)

    monkeypatch.setattr(training, "padded", small)
    monkeypatch.setattr(batches, "padded", small)
    halved = fit(make_model("mlp", **options), matrix(y), y, speakers)
    np.testing.assert_allclose(halved.predict_proba(matrix(y)), expected, atol=1e-5)
    assert tried[:10] == [24, 12, *[6] * 8]  # and what did not fit is not tried again


def test_099_a_clip_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing left to halve: refused with its length. Other errors are passed on."""
    pytest.importorskip("torch")
    from serfeat.models import training

    fault: list[Exception] = [MemoryError("x")]

    def never(*_: object) -> object:
        raise fault[0]

    monkeypatch.setattr(training, "padded", never)
    y = np.array(["anger", "neutral"] * 12)
    speakers = np.array(["a", "b", "c"] * 8)
    with pytest.raises(ModelError, match="a clip of 1 frames does not fit") as caught:
        fit(make_model("mlp", epochs=1), matrix(y), y, speakers)
    assert caught.value.code == "memory"
    fault[0] = RuntimeError("shapes do not match")
    with pytest.raises(RuntimeError, match="shapes"):
        fit(make_model("mlp", epochs=1), matrix(y), y, speakers)


def test_100_damaged_model_and_checkpoint(tmp_path: Path) -> None:
    """A changed file has another checksum; a broken checkpoint costs epochs, never a result."""
    y = np.array(["anger", "neutral"] * 6)
    model = fit(make_model("svm"), matrix(y), y, np.array(["a", "b"] * 6))
    save_model(model, tmp_path / "m", {})
    for file in sorted((tmp_path / "m").iterdir()):
        raw = file.read_bytes()
        for bad in (raw[: len(raw) // 2], raw[:-9] + b"x" + raw[-8:], b""):
            file.write_bytes(bad)
            with pytest.raises(ModelError) as caught:
                load_model(tmp_path / "m")
            assert caught.value.code in {"checksum", "bad-card"}
        file.write_bytes(raw)
    assert (
        load_model(tmp_path / "m")[0].predict(matrix(y)).tolist()
        == model.predict(matrix(y)).tolist()
    )


def test_100_damaged_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two newest are kept; one with a bit flipped, cut or of another format is not used."""
    pytest.importorskip("torch")
    from serfeat.models import training
    from serfeat.models.torch_classifier import TorchClassifier

    y = np.array(["anger", "neutral"] * 12)
    file = tmp_path / "c.training"
    settings = {"epochs": 6, "every": 2, "checkpoint": str(file), "selection": "last"}
    X = matrix(y).astype(np.float32)
    real, seen = training._read, []

    def noted(path: Path, identity: str) -> object:
        seen.append(identity)
        return real(path, identity)

    monkeypatch.setattr(training, "_read", noted)
    first = TorchClassifier("mlp", **settings).fit(X, y)
    kept = [file, training.before(file)]
    assert set(tmp_path.iterdir()) == set(kept)
    me = seen[0]
    assert [training._read_one(p, me)[1]["epoch"] for p in kept] == [6, 4]
    raw = file.read_bytes()
    flipped = bytearray(raw)
    flipped[-5] ^= 1
    other = raw.replace(b'\\"format\\": 2', b'\\"format\\": 1')
    assert other != raw
    for bad in (bytes(flipped), raw[: len(raw) // 2], other, b"", b"\x10" + bytes(7) + b"{"):
        file.write_bytes(bad)
        assert training._read_one(file, me) is None
        assert real(file, me)[1]["epoch"] == 4
    again = TorchClassifier("mlp", **settings).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), first.predict_proba(X))
    for path in kept:
        path.write_bytes(b"")
    assert real(file, me) is None


def test_101_strangers_run_nothing() -> None:
    """tests/test_security.py opens a dozen malicious files and bans every loader that runs code."""
    assert (Path(__file__).parents[1] / "test_security.py").is_file()


ONCE = """
import hashlib, pathlib, sys
from serfeat.extract import extract
made = extract(sys.argv[1], "classic", store=pathlib.Path(sys.argv[2]), jobs=int(sys.argv[3]))
print(hashlib.sha256(made.values.tobytes()).hexdigest())
"""


def test_102_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    """One and two workers, other hash seed, locale and time zone."""
    (tmp_path / "in").mkdir()
    for i in range(3):
        wav(tmp_path / "in" / f"{i}.wav", tone(0.4, 120 + 30 * i))
    seen = set()
    for i, (jobs, more) in enumerate(
        [
            ("1", {"PYTHONHASHSEED": "1"}),
            ("2", {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8"}),
        ]
    ):
        done = subprocess.run(
            [sys.executable, "-c", ONCE, str(tmp_path / "in"), str(tmp_path / f"s{i}"), jobs],
            env={**os.environ, "PYTHONPATH": str(PACKAGE), **more},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout.strip())
    here = extract(tmp_path / "in", "classic", store=tmp_path / "s")
    import hashlib

    assert seen == {hashlib.sha256(np.asarray(here.values).tobytes()).hexdigest()}
    assert issubclass(SplitError, SerfeatError)
