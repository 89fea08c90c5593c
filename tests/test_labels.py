"""The vocabulary: synonyms, case, the user's own map, and typos that must not become classes."""

from __future__ import annotations

import pytest

from serfeat.errors import ManifestError, UnknownNameError
from serfeat.labels import EMOTIONS, SYNONYMS, UNLABELLED, normalise, normalise_sex


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("anger", "anger"),
        ("Angry", "anger"),
        ("hap", "happiness"),
        ("exc", "happiness"),
        ("JOY", "happiness"),
        ("pleasant_surprise", "surprise"),
        ("Pleasant-Surprise", "surprise"),
        ("Neutral state", "neutral"),
        (" fru ", "frustration"),
        ("oth", "other"),
        ("xxx", UNLABELLED),
        ("unlabelled", UNLABELLED),
    ],
)
def test_synonyms_lead_to_nouns(written: str, label: str) -> None:
    """Catches a wrong entry, and `normalise` forgetting case, blanks or underscores."""
    assert normalise(written) == label


def test_tables_are_closed() -> None:
    """Catches a synonym that leads nowhere or that hides a label."""
    assert set(SYNONYMS.values()) <= {*EMOTIONS, UNLABELLED}
    assert not set(SYNONYMS) & set(EMOTIONS)
    assert list(EMOTIONS) == sorted(EMOTIONS)
    assert all(key == key.lower() and "_" not in key for key in SYNONYMS)


def test_typo_suggests_the_nearest() -> None:
    """`boredem` is in a published fold list; catches `return word` without the check."""
    with pytest.raises(UnknownNameError, match="did you mean 'boredom'") as caught:
        normalise("boredem", where="folds.jsonl, line 3")
    assert str(caught.value).startswith("folds.jsonl, line 3: ")
    assert "\n" not in str(caught.value)


def test_empty_is_an_error() -> None:
    with pytest.raises(ManifestError, match="write 'unlabelled'"):
        normalise("  ")


def test_own_map_and_vocabulary() -> None:
    """Catches the map applied after the synonyms, and synonyms leaking out of a vocabulary."""
    assert normalise("F", label_map={"F": "happiness"}) == "happiness"
    assert normalise("sad", label_map={"sad": "neutral"}) == "neutral"
    assert normalise("sarcasm", labels=["sarcasm", "plain"]) == "sarcasm"
    assert normalise("NA", labels=["NA", "anger"]) == "NA"
    with pytest.raises(UnknownNameError, match="Known: plain, sarcasm"):
        normalise("angry", labels=["sarcasm", "plain"])


def test_sex() -> None:
    assert [normalise_sex(s) for s in ("F", "w", "Male", "m", "", "unknown")] == [
        "female",
        "female",
        "male",
        "male",
        "",
        "",
    ]
    with pytest.raises(UnknownNameError, match="did you mean 'female'"):
        normalise_sex("femal")
