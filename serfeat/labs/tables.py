"""Questions of the labs 07 to 09: functionals and the store, classifiers, held-out speakers."""

from __future__ import annotations

from typing import Any

import numpy as np

from serfeat.labs.judging import Question, Trap
from serfeat.metrics import recalls_of, uar
from serfeat.types import Floats

__all__ = ["QUESTIONS"]


def _by_clip(of: Any, fill: float | None, statistic: Any) -> Floats:
    """A statistic of F0 for every clip of (frames, table), undefined frames filled or left out."""
    frames, table = of
    f0 = frames["f0_hz"] if fill is None else frames["f0_hz"].fillna(fill)
    each = f0.groupby("file").agg(statistic)
    return np.asarray(each.loc[table.index.get_level_values("file")], dtype=np.float64)


def _of_table(of: Any, column: str) -> Floats:
    return np.asarray(of[1][column], dtype=np.float64)


def _steadiest(of: Any) -> str:
    truth, measured = of
    moves = {
        name: abs(statistic(measured) - statistic(truth))
        for name, statistic in (("mean", np.mean), ("median", np.median), ("std", np.std))
    }
    return min(moves, key=lambda name: moves[name])


def _gain(of: Any) -> float:
    truth, plain, scaled = of
    labels = sorted(set(truth))
    return uar(truth, scaled, labels) - uar(truth, plain, labels)


def _right(of: Any) -> float:
    counts = np.asarray(of)
    return float(np.trace(counts) / counts.sum())


def _heard(of: Any) -> float:
    """Share of the test clips of (folds, speakers) whose speaker is in training."""
    folds, speaker = of
    hits = [np.isin(speaker[f.test], speaker[f.train]) for f in folds]
    return float(np.concatenate(hits).mean())


def _worth(of: Any) -> float:
    return float(np.mean(of[0]) - np.mean(of[1]))


def _optimism(of: Any) -> float:
    return float(of.max(axis=1).mean() - of[:, -1].mean())


QUESTIONS: dict[str, Question] = {
    "07.1": Question(
        "array",
        lambda of: _of_table(of, "f0_hz__mean"),
        "the mean over the frames of each file, then in the order of the table (.loc or reindex)",
        unit="Hz",
        within=0.01,
        about="(frames, table)",
        traps=(
            Trap(
                lambda of: _by_clip(of, 0.0, "mean"),
                "you counted silence as 0 Hz: this is now a measure of pauses",
            ),
            Trap(
                lambda of: _by_clip(of, None, "median"),
                "that is the median (f0_hz__p50)",
            ),
        ),
    ),
    "07.2": Question(
        "array",
        lambda of: _of_table(of, "f0_hz__std"),
        ".std of pandas has an argument that says by what it divides",
        unit="Hz",
        within=0.01,
        about="(frames, table)",
        traps=(
            Trap(
                lambda of: _by_clip(of, None, "std"),
                "pandas divides by n - 1 unless it is told otherwise (ddof)",
            ),
            Trap(lambda of: _by_clip(of, 0.0, "std"), "there are zeros among your frames"),
            Trap(lambda of: _of_table(of, "f0_hz__std") ** 2, "that is the variance"),
        ),
    ),
    "07.3": Question(
        "number",
        "a7a1e6eaa40550a83eff0e89",
        "every file that went in is either in the one table or in the other",
        traps=(
            Trap("7082b11d1bfe2ab14095e1d6", "then two files would have vanished without a word"),
        ),
    ),
    "07.4": Question(
        "number",
        "2805e44d5cbde331b5da76be",
        "which rows changed their content, and which their name?",
        traps=(
            Trap(
                "348edd25eb7115ec2d728a05",
                "the name of the changed file was known: would it have been looked at?",
            ),
            Trap(
                "c660d41a4162ba202df0ede1",
                "the other files are what they were; their old rows are right",
            ),
        ),
    ),
    "07.5": Question(
        "choice",
        _steadiest,
        "compute all three of both; 5 % of the frames lie far out: which one asks how far?",
        about="(truth, measured)",
    ),
    "08.1": Question(
        "choice",
        "907fcb1c5c1091cfa41cad43",
        "which of the four could say of a new clip that it resembles nothing it has seen?",
        traps=(
            Trap("ac3be66b9bd0916c0ea2d882", "it keeps the clips themselves and counts neighbours"),
            Trap("8280d3b77d89b4fbfbd25bc6", "it keeps the clips at the border alone"),
            Trap(
                "060145eccbfc198c51ed9615",
                "it asks questions of single columns, one after the other",
            ),
        ),
    ),
    "08.2": Question(
        "number",
        "7c50fdec33743faf154675ad",
        "which clip is nearest to a clip of the training set?",
        traps=(
            Trap(
                "4331e34f67ca1d9337dec55b",
                "chance is for who knows nothing; this one has learnt everything by heart",
            ),
        ),
    ),
    "08.3": Question(
        "number",
        _gain,
        "uar(y[test], scaled, labels) and the same of plain",
        within=0.005,
        about="(truth, prediction without scaling, with scaling)",
        traps=(
            Trap(
                lambda of: uar(of[0], of[2], sorted(set(of[0]))),
                "that is the score with scaling; by how much is it above the other?",
            ),
        ),
    ),
    "08.4": Question(
        "number",
        lambda of: np.mean(recalls_of(of)),
        "a recall is a row's right answers over the row's sum; then the plain mean of three",
        within=0.002,
        about="the counts",
        traps=(
            Trap(_right, "that is accuracy: the large class counts for most of it"),
            Trap(
                lambda of: np.mean(np.diag(of) / np.sum(of, axis=0)),
                "down the columns are precisions; recalls go along the rows",
            ),
        ),
    ),
    "09.1": Question(
        "number",
        _worth,
        "the mean of easy minus the mean of honest",
        within=0.005,
        about="(scores with random folds, with speakers held out)",
        traps=(
            Trap(lambda of: np.mean(of[0]), "that is a score, not a difference"),
            Trap(lambda of: np.mean(of[0]) - 0.5, "above chance; but the other protocol is asked"),
        ),
    ),
    "09.2": Question(
        "number",
        _heard,
        "for each fold: np.isin(speaker[fold.test], speaker[fold.train])",
        within=0.005,
        about="(folds, speakers)",
        traps=(
            Trap(
                lambda of: 1 - _heard(of),
                "the other way round: how many voices in a fold's test are known from training?",
            ),
        ),
    ),
    "09.3": Question(
        "number",
        "85ddf48b46f59683d4cba1d4",
        "the test speaker is away: how many speakers are left, and how many of them like the same?",
        within=0.01,
        traps=(
            Trap(
                "d31c17441fa1ae10b69ea5ce",
                "chance would be that if the test speaker were still among the others",
            ),
            Trap(
                "947b7bbca8d1bbd525ed276b",
                "three like it, but one of the three is the one who is asked about",
            ),
        ),
    ),
    "09.4": Question(
        "number",
        _optimism,
        "curves.max(axis=1) is the best epoch of each network, curves[:, -1] the last",
        within=0.003,
        about="the curves (networks, epochs)",
        traps=(
            Trap(
                lambda of: of.max() - of[:, -1].mean(),
                "the luckiest of all 200; the mean over the networks is asked for",
            ),
            Trap(lambda of: of.max(axis=1).mean(), "that is the mean of the best; above the last?"),
        ),
    ),
    "09.5": Question(
        "choice",
        "dd962bf6bfa4eac932792539",
        "which of the three would be the same number if there were no other clip in the world?",
        traps=(
            Trap(
                "cf0dd80fd39d0df339b23f24",
                "the mean of a column holds the test clips too: they move the scale",
            ),
            Trap(
                "5f6eb2b7bb93bcde1ddeb633",
                "to know what separates, one must look at the labels of the test clips",
            ),
        ),
    ),
}
