"""Stored models: what they are applied to, and what they were trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serfeat.deploy import open_model, predict, train, training
from serfeat.errors import ModelError, SerfeatError, SplitError
from serfeat.lld import DESCRIPTORS
from serfeat.manifest_csv import read_manifest
from serfeat.models.storage import load_model, save_model
from serfeat.plan import Entry

KNN = Entry("knn", "knn", "energy,zcr", {"n_neighbors": 3})


@pytest.fixture(scope="module")
def model(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a small one, without a record of doubt."""
    return train(read_manifest(tiny), KNN, tmp_path_factory.mktemp("model"), held_out=0)


def test_features_that_are_computed_otherwise_are_refused(
    model: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns are the same, their numbers are not; other libraries are no reason.

    Seen to catch: a card whose fingerprint nobody reads, so that the predictions were other ones.
    """
    trained, card = load_model(model)
    old = {k: v for k, v in card["features"].items() if k != "rules"}
    save_model(trained, tmp_path, {**card, "features": old})
    files = sorted(tiny.parent.glob("*.wav"))[:1] or [tiny.parent]

    with monkeypatch.context() as other:
        other.setattr("serfeat.features._libraries", lambda extra: {"numpy": "99"})
        assert len(predict(model, files).table)
        with pytest.raises(ModelError, match="computed otherwise"):
            open_model(tmp_path)  # of an older card nobody knows what has changed
    assert open_model(tmp_path)[1]["features"] == old
    energy = DESCRIPTORS["energy"]
    monkeypatch.setitem(DESCRIPTORS, "energy", replace(energy, version=energy.version + 1))
    for folder in (model, tmp_path):
        with pytest.raises(ModelError, match="computed otherwise") as refused:
            predict(folder, files)
        assert refused.value.code == "other-features"
    assert json.loads((model / "card.json").read_text())["features"]["rules"]


def test_further_versions_are_trained_on(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`augment` of an entry does the same as in a comparison, and the card says so.

    Versions are trained on; nobody is asked about them for the record of doubt, nor is anything
    tuned on them. Seen to catch: an `augment` that nothing was done with.
    """
    augment = {"copies": 2, "noise": [0, 5]}
    fits, learnt, searched = [], [], []
    real_fit, real_learn, real_tuned = training.fit, training.doubt.learn, training.tuned
    monkeypatch.setattr(
        training, "fit", lambda m, X, *a, **k: fits.append(np.asarray(X)) or real_fit(m, X, *a, **k)
    )
    monkeypatch.setattr(
        training.doubt, "learn", lambda *a, **k: learnt.append(real_learn(*a, **k)) or learnt[-1]
    )
    monkeypatch.setattr(
        training,
        "tuned",
        lambda m, t, X, *a, **k: searched.append(len(X)) or real_tuned(m, t, X, *a, **k),
    )
    entry = replace(KNN, params={}, augment=augment, tune={"n_neighbors": [1, 3]})
    train(read_manifest(tiny), entry, tmp_path / "more", held_out=2)
    train(read_manifest(tiny), KNN, tmp_path / "plain", held_out=0)
    more, plain = fits
    assert (len(more), len(plain), searched) == (72, 24, [24])
    np.testing.assert_array_equal(more[:24], plain)
    assert (more[24:48, 0] != plain[:, 0]).all()
    assert learnt[0].clips == 24
    assert load_model(tmp_path / "more")[1]["augment"] == augment
    with pytest.raises(SerfeatError, match="n_neighbors"):  # in params, too: before any work
        train(read_manifest(tiny), replace(entry, params=KNN.params), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_clear_clips_alone_are_learnt(tiny: Path, tmp_path: Path) -> None:
    """As in a comparison. Seen to catch: a word that nothing was done with."""
    manifest = read_manifest(tiny)
    rows = manifest.rows.copy()
    for emotion in sorted(set(rows["emotion"])):
        rows[f"votes_{emotion}"] = 3.0 * (rows["emotion"] == emotion)
    rows.loc[rows.index[::4], "votes_anger"] = 3.0  # torn, where it is not anger
    torn = rows.index[::4][rows["emotion"].iloc[::4] != "anger"]
    assert len(torn) > 1
    train(manifest.with_rows(rows), replace(KNN, train_on="clear"), tmp_path, held_out=0)
    card = load_model(tmp_path)[1]
    assert card["train_on"] == "clear"
    assert card["trained_on"]["rows"] == len(rows) - len(torn)


def test_speakers_of_two_corpora_are_counted_apart_and_have_to_be_named(
    tiny: Path, tmp_path: Path
) -> None:
    """Seen to catch: "03" of two corpora as one; unnamed speakers of a regression as one voice."""
    manifest = read_manifest(tiny)
    rows = manifest.rows.assign(arousal=np.linspace(0, 1, len(manifest.rows)), speaker="a")
    rows["corpus"] = np.where(np.arange(len(rows)) % 2, "one", "other")
    both = manifest.with_rows(rows)
    train(both, KNN, tmp_path, held_out=0)
    assert load_model(tmp_path)[1]["trained_on"]["speakers"] == 2
    unnamed = manifest.with_rows(rows.assign(speaker=""))
    entry = replace(KNN, normalisation="speaker")
    with pytest.raises(SplitError) as refused:
        train(unnamed, entry, tmp_path, dimensions=["arousal"], held_out=0)
    assert refused.value.code == "no-speaker"
