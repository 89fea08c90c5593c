"""Votes: published tables, hand-computed targets, two ways to the same number, real corpora."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serfeat.corpora import read_corpus
from serfeat.errors import ManifestError, UnknownNameError
from serfeat.votes import (
    agreement_interval,
    agreement_lines,
    count_ratings,
    fleiss_kappa,
    kinds,
    krippendorff_alpha,
    proportions,
    vote_columns,
    vote_counts,
)

# Fleiss 1971, table 1: diagnoses of 30 patients by 6 psychiatrists each (depression, personality
# disorder, schizophrenia, neurosis, other). The paper's marginals are .144 .144 .167 .306 .239.
PSYCHIATRISTS = (
    "444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 "
    "144444 224445 333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 "
    "111155 224444 133333 555555"
)
NAN = np.nan
# Krippendorff 2011: four observers, twelve units, values 1 to 5.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T


def rows(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns)


# --- published ------------------------------------------------------------------------------------


def test_fleiss_1971() -> None:
    """Kappa .430; catches n in place of n - 1 in the pairs."""
    counts, values = count_ratings([list(word) for word in PSYCHIATRISTS.split()])
    assert list(values) == list("12345")
    assert (counts.sum(axis=0) / 180).round(3).tolist() == [0.144, 0.144, 0.167, 0.306, 0.239]
    assert fleiss_kappa(counts) == pytest.approx(0.430, abs=5e-4)
    # by hand: P = 5/9, E = (26^2 + 26^2 + 30^2 + 55^2 + 43^2) / 180^2
    assert fleiss_kappa(counts) == pytest.approx((5 / 9 - 7126 / 32400) / (1 - 7126 / 32400))


def test_fleiss_with_missing_ratings_is_irrcac() -> None:
    """irrCAC on the same twelve units prints .76117; catches shares of the pooled votes as E."""
    counts, _ = count_ratings(OBSERVERS)
    assert fleiss_kappa(counts) == pytest.approx(0.76117, abs=5e-6)


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_krippendorff_2011(level: str, published: float) -> None:
    """Catches n in place of n - 1, in a unit and in all, and votes paired with themselves."""
    counts, values = count_ratings(OBSERVERS)
    alpha = krippendorff_alpha(counts, level=level, values=values)
    assert alpha == pytest.approx(published, abs=5e-4)


# --- another way to the same number ---------------------------------------------------------------


def by_pairs(ratings: np.ndarray) -> tuple[float, float]:
    """Kappa and nominal alpha from lists of pairs of ratings, in loops."""
    units = [[v for v in unit if v == v] for unit in ratings]
    share, weighted, disagreeing, pooled = [], [], 0.0, []
    for unit in units:
        weighted.append({v: unit.count(v) / len(unit) for v in set(unit)} if unit else None)
        if len(unit) < 2:
            continue
        pairs = list(permutations(unit, 2))
        share.append(np.mean([a == b for a, b in pairs]))
        disagreeing += sum(a != b for a, b in pairs) / (len(unit) - 1)
        pooled += unit
    used = [w for w in weighted if w]
    labels = {v for w in used for v in w}
    chance = sum(np.mean([w.get(v, 0.0) for w in used]) ** 2 for v in labels)
    kappa = (np.mean(share) - chance) / (1 - chance)
    expected = np.mean([a != b for a, b in permutations(pooled, 2)])
    return float(kappa), float(1 - disagreeing / len(pooled) / expected)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_measures_are_those_of_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratings = rng.integers(0, 3, (12, 5)).astype(float)
    ratings[:, 1] = ratings[:, 0]
    ratings[rng.random(ratings.shape) < 0.3] = NAN
    ratings[0, :2] = 0, 1  # two labels at least
    counts, _ = count_ratings(ratings)
    kappa, alpha = by_pairs(ratings)
    assert fleiss_kappa(counts) == pytest.approx(kappa)
    assert krippendorff_alpha(counts) == pytest.approx(alpha)


def test_alpha_is_kappa_corrected_for_few_votes() -> None:
    """Equal numbers of raters: alpha = 1 - (1 - kappa)(n m - 1) / (n m)."""
    counts, _ = count_ratings([list(word) for word in PSYCHIATRISTS.split()])
    kappa, alpha = fleiss_kappa(counts), krippendorff_alpha(counts)
    assert alpha == pytest.approx(1 - (1 - kappa) * 179 / 180)


def test_extremes() -> None:
    """All agree: 1; no pair of votes, or one label only: undefined; an urn: 0."""
    agree = [[3, 0], [0, 4], [2, 0]]
    assert fleiss_kappa(agree) == 1
    assert krippendorff_alpha(agree) == 1
    for nothing in ([[1, 0], [0, 1]], [[3, 0], [2, 0]], np.zeros((4, 2))):
        assert np.isnan(fleiss_kappa(nothing))
        assert np.isnan(krippendorff_alpha(nothing))
    urn = np.random.default_rng(0).multinomial(6, [0.5, 0.3, 0.2], size=5000)
    assert abs(fleiss_kappa(urn)) < 0.01
    assert abs(krippendorff_alpha(urn)) < 0.01
    with pytest.raises(UnknownNameError, match="did you mean 'interval'"):
        krippendorff_alpha(agree, level="intervall")


@pytest.mark.parametrize("measure", ["kappa", "alpha"])
def test_interval_covers_and_narrows(measure: str) -> None:
    """The interval holds the truth of a simulation, is deterministic, and shrinks as 1/sqrt(n)."""
    rng = np.random.default_rng(1)
    p = np.where(np.eye(3)[rng.integers(0, 3, 800)] > 0, 0.8, 0.1)
    counts = np.stack([rng.multinomial(5, q) for q in p])
    truth = (0.66 - 1 / 3) / (2 / 3)  # pairs agree with .8^2 + 2 (.1)^2
    low, high = agreement_interval(counts, measure)
    assert low < truth < high
    assert (low, high) == agreement_interval(counts, measure)
    few = agreement_interval(counts[:50], measure)
    assert 2.5 < (few[1] - few[0]) / (high - low) < 6.5
    by_speaker = agreement_interval(counts, measure, groups=[f"s{i % 4}" for i in range(800)])
    assert by_speaker != (low, high)


# --- targets --------------------------------------------------------------------------------------

SIX = rows(
    votes_anger=[3, 2, 1, 2, 0, 2, NAN],
    votes_neutral=[1, 2, 1, 1, 0, 1, NAN],
    votes_frustration=[0, 0, 3, 2, 4, 1, NAN],
    votes_total=[4, 4, 5, 5, 4, 4, NAN],
)


def test_proportions() -> None:
    """Over target labels only; catches the total counted as a label."""
    assert vote_columns(SIX) == ("votes_anger", "votes_neutral", "votes_frustration")
    got = proportions(SIX, ["neutral", "anger"])
    expected = [[0.25, 0.75], [0.5, 0.5], [0.5, 0.5], [1 / 3, 2 / 3], [NAN, NAN], [1 / 3, 2 / 3]]
    np.testing.assert_allclose(got, [*expected, [NAN, NAN]])


def test_kinds() -> None:
    """Agreed, tied targets, outvoted, tied with another label, no target, agreed, no vote."""
    got = kinds(SIX, ["anger", "neutral"])
    expected = ["clear", "ambiguous", "ambiguous", "ambiguous", "none", "clear", "none"]
    assert list(got) == expected
    # one vote is no agreement, even if it is the only one
    assert list(kinds(rows(votes_anger=[1, 2], votes_calm=[0, 0]), ["anger"])) == [
        "ambiguous",
        "clear",
    ]


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'anger'"):
        proportions(SIX, ["angre"])
    with pytest.raises(ManifestError, match="no column votes_"):
        kinds(rows(emotion=[1.0]), ["anger"])
    with pytest.raises(ManifestError, match="-1 votes"):
        vote_counts(rows(votes_anger=[-1.0]))
    assert agreement_lines(rows(emotion=[1.0])) == ()
    assert agreement_lines(rows(votes_anger=[NAN])) == ()


# --- real votes -----------------------------------------------------------------------------------


@pytest.mark.corpus
@pytest.mark.parametrize(("prefix", "kappa"), [("votes_", 0.28), ("face_", 0.46), ("av_", 0.49)])
def test_cremad(shared: Path, prefix: str, kappa: float) -> None:
    """The figures of the copy's own SOURCE.md, by another program."""
    m = read_corpus("cremad", shared / "corpora" / "crema-d-votes")
    labels, counts = vote_counts(m.rows, prefix=prefix)
    assert labels == ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
    assert fleiss_kappa(counts) == pytest.approx(kappa, abs=0.005)
    assert krippendorff_alpha(counts) == pytest.approx(kappa, abs=0.01)


@pytest.mark.corpus
def test_cremad_in_words(shared: Path) -> None:
    m = read_corpus("cremad", shared / "corpora" / "crema-d-votes")
    lines = agreement_lines(m.rows)
    assert lines[0] == "rater votes: 68568 on 7442 clips, 4 to 12 each"
    assert lines[1].startswith("rater agreement: Fleiss' kappa 0.279 (0.27")
    assert lines[2] == "the raters' plurality is the label in 41.6% of clips"
    targets = proportions(m.rows, m.labels)
    assert np.nansum(targets, axis=1) == pytest.approx(1)
