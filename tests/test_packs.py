"""Packs: the lists against the rules that made them, and words that say what a copy lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serfeat.corpora import read_corpus
from serfeat.errors import SplitError, UnknownNameError
from serfeat.packs import PACKS, VARIANTS, read_pack
from serfeat.packs.rules import RULES
from serfeat.splits import Fold, folds, independence

SPEAKERS = {
    "emodb": ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"],
    "ravdess": [f"{i:02d}" for i in range(1, 25)],
    "emovo": ["f1", "f2", "f3", "m1", "m2", "m3"],
    "savee": ["DC", "JE", "JK", "KL"],
    "casia": ["a", "b", "c", "d"],
    "tess": ["OAF", "YAF"],
    "cremad": [str(i) for i in range(1001, 1092)],
    "iemocap": [f"0{session}{sex}" for session in range(1, 6) for sex in "FM"],
    "cafe": [f"{i:02d}" for i in range(1, 13)],
    "aesdd": ["1", "2", "3", "4", "5"],
}
EMOTIONS = ("anger", "happiness", "neutral", "sadness")


def rows(corpus: str, takes: int = 3) -> pd.DataFrame:
    """Every speaker of a corpus with every emotion; IEMOCAP's sessions are its speakers' digits."""
    grid = [
        (f"{s}_{e}_{t}.wav", corpus, s, e, s[:2])
        for s in SPEAKERS[corpus]
        for e in EMOTIONS
        for t in range(takes)
    ]
    table = pd.DataFrame(grid, columns=["file", "corpus", "speaker", "emotion", "session"])
    return table.set_index("file")


def speakers_of(table: pd.DataFrame, numbers: np.ndarray) -> set[str]:
    return set(table["speaker"].to_numpy()[numbers])


@pytest.mark.parametrize("corpus", ["emodb", "ravdess", "emovo", "savee", "iemocap"])
def test_serab_is_its_published_rule(corpus: str) -> None:
    """Against the rule itself: sorted speakers, RandomState(0).shuffle, cut at 60 and 80 %.

    Catches one wrong code in a list, and test and validation exchanged.
    """
    shuffled = np.array(sorted(SPEAKERS[corpus]))
    np.random.RandomState(0).shuffle(shuffled)  # the published draw
    first, second = int(0.6 * len(shuffled)), int(0.8 * len(shuffled))
    table = rows(corpus)
    ((fold,), words) = folds(table, "serab", variant="published")
    assert speakers_of(table, fold.train) == set(shuffled[:first])
    assert speakers_of(table, fold.validation) == set(shuffled[first:second])
    assert speakers_of(table, fold.test) == set(shuffled[second:])
    assert "What is wrong: the classifier is chosen on the test set" in words
    assert "kept apart" in words
    assert "speakers (" not in words  # the copy is complete


def test_serab_of_pairs_drops_the_partners() -> None:
    """Catches the partners of 01F and 03M left in training."""
    table = rows("iemocap")
    ((fold,), words) = folds(table, "serab")
    assert speakers_of(table, fold.train) == {"02F", "04F", "05F", "05M"}
    assert speakers_of(table, fold.test) == {"01F", "03M"}
    assert "without the test speakers' dialogue partners" in words
    assert "Of the 120 rows a fold leaves out 24 and learns from 72." in words
    assert independence(table, [fold])["session"]


def test_emobox_on_ravdess() -> None:
    """Six folds of four actors; each actor once."""
    table = rows("ravdess")
    made, words = folds(table, "emobox")
    assert [f.name for f in made] == [f"f{i}" for i in range(1, 7)]
    tested = [sorted(speakers_of(table, f.test)) for f in made]
    assert tested[0] == ["01", "11", "20", "21"]
    assert tested[4] == ["02", "15", "16", "18"]
    assert sorted(s for part in tested for s in part) == SPEAKERS["ravdess"]
    assert not any(len(f.validation) for f in made)
    assert "kept apart" in words
    published, _ = folds(table, "emobox", variant="published")
    for a, b in zip(made, published, strict=True):
        assert np.array_equal(a.test, b.test)
        assert len(b.validation) == round(0.2 * len(a.train))
        assert np.array_equal(b.known, a.train)


def test_a_part_of_the_speakers() -> None:
    """14 of RAVDESS's 24 actors, and then actors of one fold only. Catches empty folds kept."""
    table = rows("ravdess")
    part = table[table["speaker"] <= "14"]
    made, words = folds(part, "emobox")
    assert len(made) == 6
    assert (
        "These rows have 14 of the corpus's 24 speakers (test speakers here: f1 2 of 4, f2 4 of 4, "
        "f3 2 of 4, f4 3 of 4, f5 1 of 4, f6 2 of 4): these are not the pack's folds"
    ) in words
    few = table[table["speaker"].isin(["01", "02", "11"])]
    made, words = folds(few, "emobox")
    assert [f.name for f in made] == ["f1", "f5"]
    assert "dropped, as none of its test speakers is here: f2, f3, f4, f6" in words
    with pytest.raises(SplitError, match=r"none of its test speakers .03, 12, .* has Actor_01"):
        folds(rows("emodb").assign(speaker="Actor_01"), "serab")


def test_emobox_on_emodb_is_marked(emodb_root: Path) -> None:
    """The stand-in: 5 folds of 107 with all 10 speakers in each; the corrected one holds out.

    Catches a deal of rows that are not sorted by speaker.
    """
    table = read_corpus("emodb", emodb_root).rows
    made, words = folds(table, "emobox", variant="published")
    assert [len(f.test) for f in made] == [107] * 5
    assert np.array_equal(np.sort(np.concatenate([f.test for f in made])), np.arange(535))
    speaker = table["speaker"].to_numpy()
    for fold in made:
        share = pd.Series(speaker[fold.test]).value_counts() / pd.Series(speaker).value_counts()
        assert share.between(0.15, 0.25).all()
    assert "Speaker-dependent: 50 of the 50 test speakers" in words
    assert "Stand-in: the published lists of files are not known here" in words
    again, _ = folds(table, "emobox", seed=7, variant="published")
    assert all(np.array_equal(a.test, b.test) for a, b in zip(made, again, strict=True))
    corrected, words = folds(table, "emobox")
    assert [f.name for f in corrected] == [f"speaker {s}" for s in SPEAKERS["emodb"]]
    assert "kept apart" in words


def test_emobox_crema_d_sizes() -> None:
    """5586 / 1856 of 7442 clips, as published."""
    table = rows("cremad", takes=21)[:7442]
    assert len(table) == 7442
    (fold,) = RULES["random_rows"](table, **_rule("emobox", "cremad"))
    assert (len(fold.train), len(fold.test)) == (5586, 1856)


def _rule(pack: str, corpus: str) -> dict[str, object]:
    return {k: v for k, v in read_pack(pack).corpora[corpus]["published"].items() if k != "rule"}


def test_timnet_is_kfold_in_the_features_order() -> None:
    """Against scikit-learn on the rows sorted by hand; the manifest's own order does not matter.

    Catches the manifest's order, "10" sorted before "9", and another random_state.
    """
    from sklearn.model_selection import KFold

    names = [f"{e}{i}.wav" for e in EMOTIONS for i in range(8, 13)]  # 8, 9, 10, 11, 12: natural
    table = pd.DataFrame({"emotion": [n.rstrip("0123456789.wav") for n in names]}, index=names)
    table = table.assign(emotion=[e for e in EMOTIONS for _ in range(5)], corpus="casia")
    table["speaker"] = [SPEAKERS["casia"][i % 4] for i in range(20)]
    expected = [
        {names[i] for i in test}
        for _, test in KFold(10, shuffle=True, random_state=32).split(names)
    ]
    for order in (np.arange(20), np.random.default_rng(1).permutation(20)):
        mixed = table.iloc[order]
        made, words = folds(mixed, "timnet_paper", variant="published")
        assert [set(mixed.index[f.test]) for f in made] == expected
        assert "selection = test_oracle" in words
        assert "Speaker-dependent" in words
    corrected, words = folds(table, "timnet_paper")
    assert len(corrected) == 4
    assert "kept apart" in words


def test_timnet_folds_are_the_same_in_every_copy() -> None:
    """Caught: an order by folder, so that a copy with actors' folders had other published folds."""
    table = rows("ravdess")
    names = [f"{i % 9}-{t}.wav" for i, t in enumerate(np.random.default_rng(0).permutation(288))]
    flat = table.set_axis(names)
    deep = table.set_axis([f"Actor_{s}/{n}" for s, n in zip(table["speaker"], names, strict=True)])
    made = [folds(t, "timnet_paper", variant="published") for t in (flat, deep)]
    for a, b in zip(made[0][0], made[1][0], strict=True):
        assert np.array_equal(a.test, b.test)
    assert "Stand-in" not in made[0][1]
    same = rows("casia").set_axis([f"{i // 12}/{i % 12}.wav" for i in range(48)])
    assert "Stand-in: in which order" in folds(same, "timnet_paper", variant="published")[1]


def test_timnet_random_states() -> None:
    states = {"casia": 32, "emodb": 46, "emovo": 1, "iemocap": 16, "ravdess": 46, "savee": 44}
    found = read_pack("timnet_paper").corpora
    assert {c: found[c]["published"]["random_state"] for c in found} == states


def test_amrwc_partners() -> None:
    """As published the partner is in training, as corrected the session is held out."""
    table = rows("iemocap")
    made, _ = folds(table, "amrwc", variant="published")
    assert [f.name for f in made][:3] == ["speaker 01F", "speaker 01M", "speaker 02F"]
    assert independence(table, made) == {"speaker": True, "text": False, "session": False}
    made, words = folds(table, "amrwc")
    assert len(made) == 5
    assert independence(table, made)["session"]
    assert "Published with" not in words
    _, words = folds(table.assign(emotion=table["emotion"].replace("anger", "fear")), "amrwc")
    assert "Published with anger, happiness, neutral, sadness only; these rows also have fear" in (
        words
    )


def test_compare_challenge() -> None:
    """Official sides; the corrected variant takes test speakers out of train and devel."""
    table = rows("savee")
    table["split"] = table["speaker"].map(
        {"DC": "test", "JE": "devel", "JK": "train", "KL": "train"}
    )
    ((fold,), words) = folds(table, "compare_challenge", variant="published")
    assert [len(s) for s in (fold.train, fold.validation, fold.test)] == [24, 12, 12]
    assert "kept apart" in words
    table.iloc[0, table.columns.get_loc("split")] = "train"  # one row of DC
    _, words = folds(table, "compare_challenge", variant="published")
    assert "Speaker-dependent: 1 of the 1 test speakers" in words
    ((fold,), words) = folds(table, "compare_challenge")
    assert [len(s) for s in (fold.train, fold.validation, fold.test)] == [24, 12, 11]
    assert "kept apart" in words
    assert "leaves out 1 and" in words


@pytest.mark.parametrize("name", PACKS)
def test_files_are_of_one_form(name: str) -> None:
    """Every word of every file is one that is read, and every corpus divides in both variants."""
    pack = read_pack(name)
    assert set(pack.published) <= {"selection", "flaw", "validation_share"}
    assert set(pack.corrected) == {"selection", "changes"}
    for corpus, known in pack.corpora.items():
        assert set(known) <= {"n_speakers", "labels", "folds", "unknown", *VARIANTS}
        for one in known.get("folds", ()):
            assert set(one) <= {"name", "test", "validation"}
        if corpus == "any":
            continue
        table = rows(corpus)
        assert known["n_speakers"] == len(SPEAKERS[corpus])
        for variant in VARIANTS:
            made, words = folds(table, name, variant=variant)
            assert all(isinstance(f, Fold) for f in made)
            assert ". ." not in words
            assert ".." not in words
            if variant == "corrected":
                assert independence(table, made)["speaker"]


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'published'"):
        folds(rows("emodb"), "serab", variant="publishd")
    with pytest.raises(SplitError, match="'casia' is not one corpus of this pack, which has aesdd"):
        folds(rows("casia"), "serab")
    both = pd.concat([rows("emodb"), rows("savee")])
    with pytest.raises(SplitError, match=r"emodb \+ savee are not one corpus"):
        folds(both, "serab")
    with pytest.raises(SplitError, match="column 'corpus', which is not there"):
        folds(rows("emodb").drop(columns="corpus"), "emobox")
    with pytest.raises(UnknownNameError, match="unknown pack 'serb'"):
        read_pack("serb")
