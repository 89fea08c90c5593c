"""Protocols: what they promise is checked, and a broken promise is an error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from serfeat import splits
from serfeat.errors import SplitError, UnknownNameError
from serfeat.packs import PACKS
from serfeat.protocols.division import check, heard, names_of
from serfeat.splits import PROTOCOLS, Fold, Protocol, folds, independence


def rows(speakers: int = 4, emotions: int = 3, takes: int = 2) -> pd.DataFrame:
    grid = [
        (f"{s:02d}", f"e{e}", f"t{t}")
        for s in range(speakers)
        for e in range(emotions)
        for t in range(takes)
    ]
    return pd.DataFrame(grid, columns=["speaker", "emotion", "text_id"])


def full(speakers: int = 4, takes: int = 4) -> pd.DataFrame:
    """Rows with every column that a protocol may ask for; the two corpora share speaker codes."""
    one = rows(speakers, takes=takes).assign(corpus="a", language="de", sex="female")
    one["session"] = one["speaker"].map(lambda s: "1" if s < "02" else "2")
    two = one.assign(corpus="b", language="en")
    both = pd.concat([one, two], ignore_index=True)
    both["split"] = np.where(both["speaker"] == "00", "test", "train")
    both["fold"] = both["corpus"] + both["session"]
    return both


PARAMS = {
    "speaker_kfold": {"n": 2},
    "random_kfold": {"n": 4},
    "text_kfold": {"n": 2},
    "within_corpus": {"n": 2},
    "held_out_speakers": {"speakers": "a/00, b/01"},
    "cross_corpus": {"train": "a", "test": "b"},
    "speaker_and_text": {"speaker_groups": 2, "text_groups": 2},
}
PLAIN = [name for name in PROTOCOLS if name not in PACKS]
ONCE = [
    *("leave_one_speaker_out", "speaker_kfold", "random_kfold", "leave_one_session_out"),
    *("leave_one_text_out", "text_kfold", "leave_one_corpus_out", "leave_one_language_out"),
    "predefined_folds",
]


@pytest.mark.parametrize("name", ONCE)
def test_every_row_is_tested_once(name: str) -> None:
    data = full()
    made, words = folds(data, name, seed=1, **PARAMS.get(name, {}))
    tested = np.sort(np.concatenate([f.test for f in made]))
    assert (tested == np.arange(len(data))).all()
    assert all(len(f.train) + len(f.test) == len(data) for f in made)
    assert "{" not in words


def test_within_corpus_trains_on_the_corpus_that_is_tested() -> None:
    """Catches training rows of the other corpus, and of a speaker of the same code there."""
    data = full()
    made, _ = folds(data, "within_corpus", n=2)
    assert len(made) == 4
    for fold in made:
        assert len(set(data["corpus"].iloc[fold.train])) == 1
        assert set(data["corpus"].iloc[fold.train]) == set(data["corpus"].iloc[fold.test])
        assert len(fold.train) + len(fold.test) == len(data) // 2
    tested = np.sort(np.concatenate([f.test for f in made]))
    assert (tested == np.arange(len(data))).all()


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_promised_is_found(name: str) -> None:
    """Of every protocol: what it declares, the rows confirm; what it leaves open, the words say."""
    data = full()
    made, words = folds(data, name, **PARAMS.get(name, {}))
    found = independence(data, made)
    declared = PROTOCOLS[name].speaker_independent
    if declared is None:
        assert ("Speaker-dependent" in words) != found["speaker"]
        assert ("kept apart" in words) == found["speaker"]
    else:
        assert found["speaker"] == declared
    if "text_id" in PROTOCOLS[name].apart:
        assert found["text"]


# --- each protocol on rows that can be counted by hand ---------------------------------------


def test_speaker_and_text_by_hand() -> None:
    """2 speakers x 2 texts x 3 emotions: 4 folds of 3 test and 3 training rows; 6 are left out.

    Catches training rows that have one of the two (| for & of the two negations).
    """
    data = rows(speakers=2)
    made, words = folds(data, "speaker_and_text", speaker_groups=0, text_groups=0)
    assert [(len(f.train), len(f.test)) for f in made] == [(3, 3)] * 4
    first = made[0]
    assert first.name == "speakers 00, texts t0" or len({f.name for f in made}) == 4
    for fold in made:
        a, b = data.iloc[fold.train], data.iloc[fold.test]
        assert not set(a["speaker"]) & set(b["speaker"])
        assert not set(a["text_id"]) & set(b["text_id"])
    assert "Of the 12 rows a fold leaves out 6 and learns from 3." in words


def test_speakers_of_two_corpora_are_other_people() -> None:
    """Catches speakers compared without their corpus: then 00 of a and of b are one fold."""
    data = full(speakers=3)
    made, _ = folds(data, "leave_one_speaker_out")
    assert [f.name for f in made] == [f"speaker {c}/0{s}" for c in "ab" for s in range(3)]
    assert independence(data, folds(data, "leave_one_corpus_out")[0])["speaker"]
    assert not independence(data.assign(corpus="a"), folds(data, "leave_one_corpus_out")[0])[
        "speaker"
    ]
    texts, _ = folds(data, "leave_one_text_out")
    assert len(texts) == 8  # t0 of a is not t0 of b
    languages, _ = folds(data.assign(language="de"), "predefined_folds", column="corpus")
    assert [f.name for f in languages] == ["corpus = a", "corpus = b"]
    with pytest.raises(SplitError, match="1 language in the manifest"):
        folds(data.assign(language="de"), "leave_one_language_out")


def test_two_texts_are_enough() -> None:
    made, words = folds(rows(), "leave_one_text_out")
    assert [f.name for f in made] == ["text t0", "text t1"]
    assert "Each of the 2 sentences" in words
    assert "Speaker-dependent: 8 of the 8 test speakers" in words
    with pytest.raises(SplitError, match="1 text_id in the manifest, expected 2 or more"):
        folds(rows(takes=1), "leave_one_text_out")


def test_cross_corpus() -> None:
    data = pd.concat([full(), full().assign(corpus="c")[:24]], ignore_index=True)
    ((fold,), words) = folds(data, "cross_corpus", train="b,a", test="c")
    assert set(data["corpus"].to_numpy()[fold.train]) == {"a", "b"}
    assert set(data["corpus"].to_numpy()[fold.test]) == {"c"}
    assert fold.name == "b + a -> c"
    assert "Trained on b,a, tested on c" in words
    with pytest.raises(SplitError, match="a on both sides"):
        folds(data, "cross_corpus", train="a,b", test="a")
    with pytest.raises(UnknownNameError, match="unknown corpus 'd'"):
        folds(data, "cross_corpus", train="a", test="d")
    with pytest.raises(SplitError, match="no corpus is named"):
        folds(data, "cross_corpus", train="a")


def test_predefined_with_a_validation_side() -> None:
    data = rows()
    data["split"] = data["speaker"].map({"00": "test", "01": "devel", "02": "train", "03": "train"})
    ((fold,), words) = folds(data, "predefined")
    assert [set(data["speaker"].to_numpy()[s]) for s in (fold.test, fold.validation)] == [
        {"00"},
        {"01"},
    ]
    assert np.array_equal(fold.known, np.arange(6, 24))
    assert "sets 6 of the rows" in words
    assert "kept apart" in words
    data.loc[6, "split"] = "test"  # a row of the speaker whose others are validation
    _, words = folds(data, "predefined")
    assert "Speaker-dependent: 1 of the 2 test speakers" in words
    with pytest.raises(SplitError, match="'nobody' is no side of a split"):
        folds(data.assign(split=["nobody", *data["split"][1:]]), "predefined")
    with pytest.raises(SplitError, match=r"no row has 'train'.*use predefined_folds"):
        folds(data.assign(split=data["speaker"]), "predefined")


# --- promises --------------------------------------------------------------------------------


def test_a_leaky_protocol_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that claims to hold out speakers and does not: the check counts.

    Also one that hides them in the validation rows (catches a check of the training rows alone).
    """

    def leaky(data: pd.DataFrame, seed: int) -> list[Fold]:
        return [Fold("leak", np.arange(1, len(data)), np.array([0]))]

    def hidden(data: pd.DataFrame, seed: int) -> list[Fold]:
        return [Fold("leak", np.arange(6, len(data)), np.array([0]), np.array([1]))]

    for make in (leaky, hidden):
        planted = {**PROTOCOLS, "leaky": Protocol("leaky", True, "", make, {})}
        monkeypatch.setattr(splits, "PROTOCOLS", planted)
        with pytest.raises(SplitError, match="speaker-independent, but 00 would be on both sides"):
            folds(rows(), "leaky")
    with pytest.raises(SplitError, match="text-independent, but t0, t1 would be on both sides"):
        folds(rows(), "leave_one_speaker_out", disjoint=("text_id",))
    with pytest.raises(SplitError, match="column 'session', which is not there"):
        folds(rows(), "leave_one_speaker_out", disjoint=("session",))
    assert folds(rows(), "speaker_and_text", speaker_groups=2, disjoint=("text_id",))
    held = Protocol("leaky", False, "", leaky, {}, apart=("text_id",))
    monkeypatch.setattr(splits, "PROTOCOLS", {"leaky": held})
    with pytest.raises(SplitError, match="text-independent, but t0 would be on both sides"):
        folds(rows(), "leaky")


@pytest.mark.parametrize(
    ("train", "validation", "test", "code"),
    [
        ([6, 7], [], [0, 6], "rows-overlap"),
        ([6, 7], [0], [0, 1], "rows-overlap"),
        ([6, 6, 7], [], [0], "rows-overlap"),
        ([6, 7, 24], [], [0], "no-such-row"),
        ([6, 7], [], [-1], "no-such-row"),
        ([], [], [0], "empty-training"),
        ([6, 7], [], [], "empty-test"),
    ],
)
def test_rows_are_there_once(
    train: list[int], validation: list[int], test: list[int], code: str
) -> None:
    sides = (np.array(s, dtype=np.int64) for s in (train, test, validation))
    with pytest.raises(SplitError) as caught:
        check(rows(), PROTOCOLS["random_kfold"], [Fold("x", *sides)])
    assert caught.value.code == code


def test_an_unknown_speaker_is_not_kept_apart() -> None:
    """Anyone of the same corpus may be the unknown speaker. Catches "" taken for a name."""
    data = full()
    blank = data.assign(speaker=data["speaker"].where(data["speaker"] != "00", ""))
    by_corpus, _ = folds(blank, "leave_one_corpus_out")
    assert independence(blank, by_corpus)["speaker"]  # of another corpus: another person
    made = [Fold("x", np.arange(24), np.arange(24, 48))]
    one = blank[blank["corpus"] == "a"].reset_index(drop=True)
    made = [Fold("x", np.arange(24, 48), np.arange(12))]
    assert set(one["speaker"][:12]) == {""}
    assert not independence(one, made)["speaker"]
    assert not independence(one.drop(columns="speaker"), made)["speaker"]
    assert heard(one, made) == (1, 1)
    with pytest.raises(SplitError, match="column 'speaker', which has empty cells"):
        names_of(one, "speaker")


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'leave_one_speaker_out'"):
        folds(rows(), "leave_one_speakr_out")
    with pytest.raises(UnknownNameError, match="parameter of random_kfold"):
        folds(rows(), "random_kfold", k=3)
    with pytest.raises(SplitError, match="n is '3', expected a whole number"):
        folds(rows(), "random_kfold", n="3")
    with pytest.raises(SplitError, match="n is True, expected a whole number"):
        folds(rows(), "random_kfold", n=True)
    with pytest.raises(SplitError, match=r"speakers is 3, expected text; write speakers = "):
        folds(rows(), "held_out_speakers", speakers=3)
    with pytest.raises(UnknownNameError, match=r"unknown speaker '3'; .*Known: 00, 01, 02, 03"):
        folds(rows(), "held_out_speakers", speakers="3")
    with pytest.raises(SplitError, match="1 speaker in the manifest"):
        folds(rows(speakers=1), "leave_one_speaker_out")
    with pytest.raises(SplitError, match="n = 9 folds from 4 speakers, expected 2 to 4"):
        folds(rows(), "speaker_kfold", n=9)
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
