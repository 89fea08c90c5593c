"""What a network said of other columns: classes whose names are numbers are classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from serfeat.report.sections.tasks import _score, loss_of


def said(truth: list[str], prediction: list[str], folds: list[str]) -> pd.DataFrame:
    about = {"corpus": "c", "entry": "e", "protocol": "p", "seed": 0, "target": "t"}
    table = pd.DataFrame({"truth": truth, "prediction": prediction, "fold": folds})
    return table.assign(speaker=truth, file=[f"{i}.wav" for i in range(len(truth))], **about)


def test_codes_are_classes() -> None:
    """Ten speakers called 03 to 16, guessed: seen to be a CCC of .08."""
    rng = np.random.default_rng(0)
    truth = [f"{k:02d}" for k in (3, *range(8, 17)) for _ in range(20)]
    guess = [str(g) for g in rng.choice(sorted(set(truth)), len(truth))]
    name, value, words = _score(said(truth, guess, ["1", "2"] * 100), "adversarial")
    assert (name, words) == ("UAR %", "chance 10.0")
    right = np.array(truth) == np.array(guess)
    each = [right[np.array(truth) == t].mean() for t in set(truth)]
    assert float(value) == pytest.approx(100 * np.mean(each), abs=0.05)


def test_a_class_that_was_held_out_is_not_scored() -> None:
    """Each speaker in one fold: nobody could have said who it is, and 0 would say it unlearnt."""
    part = said(["a", "a", "b", "b"], ["b", "b", "a", "a"], ["1", "1", "2", "2"])
    assert _score(part, "adversarial") == ("UAR %", "–", "every class was held out")
    assert _score(part.assign(fold="1"), "adversarial")[1] == "0.0"


def test_numbers_are_numbers() -> None:
    values = [str(v) for v in (1.0, 2.0, 3.5, 4.0)]
    part = said(values, values, ["1", "1", "2", "2"]).assign(speaker=["a", "a", "b", "b"])
    assert _score(part, "ccc")[:2] == ("CCC", "1.000")


def test_the_loss_is_what_the_entry_says() -> None:
    entry = {"params": {"tasks": {"arousal": {"loss": "ccc", "weight": 0.5}, "sex": "classes"}}}
    assert [loss_of(entry, name) for name in ("arousal", "sex", "age")] == [
        "ccc",
        "classes",
        "None",
    ]
    assert loss_of({}, "sex") == "None"
