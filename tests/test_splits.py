"""Protocols: what they promise is checked, and a broken promise is an error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from serfeat import splits
from serfeat.errors import SplitError, UnknownNameError
from serfeat.splits import PROTOCOLS, Fold, Protocol, folds


def rows(speakers: int = 4, emotions: int = 3, takes: int = 2) -> pd.DataFrame:
    grid = [
        (f"{s:02d}", f"e{e}", f"t{t}")
        for s in range(speakers)
        for e in range(emotions)
        for t in range(takes)
    ]
    return pd.DataFrame(grid, columns=["speaker", "emotion", "text_id"])


@pytest.mark.parametrize("name", ["leave_one_speaker_out", "speaker_kfold", "random_kfold"])
def test_every_row_is_tested_once(name: str) -> None:
    data = rows()
    params = {"n": 4} if name != "leave_one_speaker_out" else {}
    made, words = folds(data, name, seed=1, **params)
    tested = np.sort(np.concatenate([f.test for f in made]))
    assert (tested == np.arange(len(data))).all()
    assert all(len(f.train) + len(f.test) == len(data) for f in made)
    assert "{" not in words


@pytest.mark.parametrize("name", [p for p in PROTOCOLS if PROTOCOLS[p].speaker_independent])
def test_speakers_are_disjoint(name: str) -> None:
    data = rows()
    data["session"] = data["speaker"].map(lambda s: "a" if s < "02" else "b")
    data["split"] = np.where(data["speaker"] == "00", "test", "train")
    made, _ = folds(data, name, **({"n": 2} if name == "speaker_kfold" else {}))
    for fold in made:
        speaker = data["speaker"].to_numpy()
        assert not set(speaker[fold.train]) & set(speaker[fold.test])


def test_a_leaky_protocol_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that claims to hold out speakers and does not: the check counts."""

    def leaky(data: pd.DataFrame, seed: int) -> list[Fold]:
        return [Fold("leak", np.arange(1, len(data)), np.array([0]))]

    planted = {**PROTOCOLS, "leaky": Protocol("leaky", True, "", leaky, {})}
    monkeypatch.setattr(splits, "PROTOCOLS", planted)
    with pytest.raises(SplitError, match="00 would be on both sides"):
        folds(rows(), "leaky")


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'leave_one_speaker_out'"):
        folds(rows(), "leave_one_speakr_out")
    with pytest.raises(UnknownNameError, match="parameter of random_kfold"):
        folds(rows(), "random_kfold", k=3)
    with pytest.raises(SplitError, match="1 speaker in the manifest"):
        folds(rows(speakers=1), "leave_one_speaker_out")
    with pytest.raises(SplitError, match="column 'speaker'"):
        folds(rows().drop(columns="speaker"), "leave_one_speaker_out")
    lonely = pd.concat(
        [rows(), pd.DataFrame([("00", "rare", "t0")], columns=["speaker", "emotion", "text_id"])],
        ignore_index=True,
    )
    with pytest.raises(SplitError, match="speaker 00: no training row has rare"):
        folds(lonely, "leave_one_speaker_out")


def test_shuffles_depend_on_the_seed_alone() -> None:
    a, b, c = (folds(rows(), "random_kfold", seed=s, n=3)[0] for s in (1, 1, 2))
    assert all((x.test == y.test).all() for x, y in zip(a, b, strict=True))
    assert any(not np.array_equal(x.test, y.test) for x, y in zip(a, c, strict=True))
