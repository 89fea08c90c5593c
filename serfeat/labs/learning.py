"""Questions of the labs 10 to 13: networks, attention, noise, and how to read a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from serfeat.labs.judging import Question, Trap
from serfeat.metrics import confusion, recalls_of, uar
from serfeat.statistics.paired_tests import holm
from serfeat.types import Floats

__all__ = ["QUESTIONS"]

ENTRY = "svm"  # the entry that the questions of lab 13 are about
TEN_DB = 2  # its place among the signal-to-noise ratios of lab 12
WANTED_DB = 6.0


def _uar(of: Any) -> float:
    truth, guess = of
    return uar(truth, guess, sorted(set(truth)))


def _share_right(of: Any) -> float:
    return float(np.mean(np.asarray(of[0]) == np.asarray(of[1])))


def _largest_change(of: Any) -> float:
    return float(np.abs(np.asarray(of) - np.asarray(of)[0]).max())


def _softmax(scores: Floats, axis: int = -1) -> Floats:
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _weights(of: Any, *, scale: bool = True, axis: int = -1) -> Floats:
    Q, K, _ = of
    return _softmax(Q @ K.T / (np.sqrt(Q.shape[1]) if scale else 1.0), axis)


def _factor(of: Any, divisor: float) -> float:
    """Factor of (signal, noise) for `WANTED_DB`; in decibels of energy, `divisor` is 20."""
    x, noise = of
    return float(np.sqrt(np.mean(x**2) / np.mean(noise**2)) * 10 ** (-WANTED_DB / divisor))


def _snr_db(of: Any) -> float:
    clean, other = of
    return float(10 * np.log10(np.sum(clean**2) / np.sum((clean - other) ** 2)))


def _furthest(of: Any) -> str:
    return str(max(of, key=lambda name: of[name][TEN_DB]))


def _of_entry(of: Any) -> tuple[Any, list[str]]:
    """The predictions of the entry, and all labels."""
    return of[of["entry"] == ENTRY], sorted(set(of["truth"]))


def _counts(of: Any) -> Any:
    rows, labels = _of_entry(of)
    return confusion(rows["truth"], rows["prediction"], labels)


def _speaker(of: Any, sign: float) -> str:
    """The speaker with the lowest (sign 1) or highest UAR."""
    rows, labels = _of_entry(of)
    each = {
        str(name): sign * uar(clips["truth"], clips["prediction"], labels)
        for name, clips in rows.groupby("speaker")
    }
    return min(each, key=lambda name: each[name])


def _mistake(of: Any, *, turned: bool = False) -> str:
    counts, labels = _counts(of).copy(), _of_entry(of)[1]
    np.fill_diagonal(counts, 0)
    true, said = np.unravel_index(int(counts.argmax()), counts.shape)
    names = (labels[int(true)], labels[int(said)])
    return ">".join(reversed(names) if turned else names)


QUESTIONS: dict[str, Question] = {
    "10.1": Question(
        "number",
        "1abeb3ee5b07d4ac3482c379",
        "1 + 2 (1 + 2 + 4 + ...), one term for each block; the picture shows it too",
        unit="frames",
        traps=(
            Trap("f1f89e0ccd1ca110282e86c5", "each block has two convolutions"),
            Trap("04c1c4cc1beca71cd500558c", "add the frame itself"),
            Trap("ecfcfdb5a5d39ffa5e736da5", "seven blocks; they are counted from 0"),
        ),
    ),
    "10.2": Question(
        "number",
        lambda _: 126 * 512 / 22050,
        "how many hops lie between the first frame and the last?",
        unit="s",
        within=0.03,
        traps=(
            Trap(lambda _: 126 * 0.010, "the hop of these frames is 512 samples at 22050 Hz"),
            Trap(lambda _: 63 * 512 / 22050, "each block has two convolutions"),
        ),
    ),
    "10.3": Question(
        "number",
        _uar,
        "uar(truth, prediction, labels) of the test clips",
        within=0.002,
        about="(truth, prediction)",
    ),
    "10.4": Question(
        "number",
        "12e814fce75f535f7644d48a",
        "what comes out of a ReLU at least? And sigmoid of that?",
        traps=(
            Trap(
                "7c303aceb80e2f46bef51c1d",
                "that is the least h, or a sigmoid of h far below 0: can h be that?",
            ),
        ),
    ),
    "10.5": Question(
        "array",
        lambda of: np.mean(of, axis=0),
        "the clip is what its frames are in the mean",
        within=1e-3,
        about="the logits of the frames",
        traps=(
            Trap(lambda of: np.sum(of, axis=0), "the sum grows with the length of the clip"),
            Trap(lambda of: np.asarray(of)[-1], "that is the opinion of the last frame alone"),
            Trap(lambda of: np.max(of, axis=0), "one frame would decide; here all have a say"),
        ),
    ),
    "11.1": Question(
        "number",
        _largest_change,
        "np.abs(masked - masked[0]).max()",
        within=1e-4,
        about="the logits (lengths, classes)",
    ),
    "11.2": Question(
        "number",
        _largest_change,
        "np.abs(plain - plain[0]).max()",
        within=1e-4,
        about="the logits (lengths, classes)",
        traps=(
            Trap(
                lambda of: np.ptp(of),
                "that is the distance between classes; how far does one class move?",
            ),
        ),
    ),
    "11.3": Question(
        "array",
        _weights,
        "Q @ K.T / sqrt(8), then exp, then each row divided by its sum",
        within=1e-6,
        about="(Q, K, V)",
        traps=(
            Trap(
                lambda of: _weights(of, axis=0),
                "who asks has to divide its attention: the rows sum to 1, not the columns",
            ),
            Trap(
                lambda of: _weights(of, scale=False),
                "without the root of d the largest score takes nearly everything",
            ),
            Trap(lambda of: of[0] @ of[1].T / np.sqrt(8), "those are the scores; now the softmax"),
        ),
    ),
    "11.4": Question(
        "array",
        lambda of: _weights(of) @ of[2],
        "a weighted mean of what W says: weights @ V",
        within=1e-6,
        about="(Q, K, V)",
        traps=(
            Trap(lambda of: _weights(of) @ of[1], "K is what is offered, V what is said"),
            Trap(lambda of: _weights(of, scale=False) @ of[2], "the root of d is missing in 11.3"),
        ),
    ),
    "11.5": Question(
        "choice",
        "9e66262526b589ddb127704c",
        "equal scores give equal weights; how large is each of nine?",
        traps=(
            Trap("7d6f25b33cfc6d04ae714e09", "the weights sum to 1 whatever the scores"),
            Trap("6a264c1e968946d362899991", "soft-max: with equal scores there is no largest"),
        ),
    ),
    "12.1": Question(
        "number",
        lambda of: _factor(of, 20.0),
        "energy of clean / energy of factor * hiss = 10 ** 0.6: solve for the factor",
        share=0.01,
        about="(clean, hiss)",
        traps=(
            Trap(lambda of: _factor(of, 20.0) ** 2, "that is the factor of the energy: a root?"),
            Trap(lambda of: _factor(of, 10.0), "6 dB of energy: 10 ** 0.6, of amplitude its root"),
            Trap(lambda of: _factor(of, -20.0), "upside down: the noise shall be weaker"),
            Trap(lambda of: _factor(of, np.inf), "that makes both equally strong: 0 dB"),
        ),
    ),
    "12.2": Question(
        "number",
        _snr_db,
        "10 log10(sum clean^2 / sum (clean - denoised)^2)",
        unit="dB",
        within=0.1,
        about="(clean, denoised)",
        traps=(
            Trap(lambda of: _snr_db(of) - WANTED_DB, "that is the gain; the SNR itself is asked"),
            Trap(lambda of: 2 * _snr_db(of), "energies: 10 log10, not 20"),
        ),
    ),
    "12.3": Question(
        "choice",
        _furthest,
        "look at the left picture above 10 dB, and compare the names with the legend",
        about="the distances by name",
    ),
    "12.4": Question(
        "choice",
        _furthest,
        "look at the right picture above 10 dB",
        about="the distances by name",
    ),
    "12.5": Question(
        "choice",
        "ff45397415b174c5a700975e",
        "a denoiser leaves traces; when should the model meet them for the first time?",
        traps=(
            Trap(
                "b4c6290f972b87b08b85b198",
                "it would meet the traces of the denoiser for the first time in the test",
            ),
            Trap(
                "01828c016a51a0bdd0a679cd",
                "whatever is chosen on test clips makes their score too good",
            ),
        ),
    ),
    "13.1": Question(
        "number",
        lambda of: np.mean(recalls_of(_counts(of))),
        "of each emotion's clips of that entry, the share that was said rightly; then the mean",
        within=0.002,
        about="the predictions",
        traps=(
            Trap(
                lambda of: np.mean(of["truth"] == of["prediction"]),
                "that is over all entries; keep the rows of one",
            ),
        ),
    ),
    "13.2": Question(
        "choice",
        lambda of: _speaker(of, 1.0),
        "the share of right answers (or UAR) by speaker, of the entry svm",
        about="the predictions",
        traps=(Trap(lambda of: _speaker(of, -1.0), "for that voice it is best"),),
    ),
    "13.3": Question(
        "number",
        lambda of: sum(gap.excludes_zero for gap in of),
        "how many bars of the picture stand clear of the dotted line?",
        about="the differences",
        traps=(
            Trap(
                lambda of: sum(gap.difference > 0 for gap in of),
                "that is how many are above 0; but how far does each bar reach?",
            ),
        ),
    ),
    "13.4": Question(
        "array",
        holm,
        "sort them, multiply by 3, 2, 1, let none be below the one before, put them back in order",
        within=1e-6,
        about="the three p",
        traps=(
            Trap(lambda of: np.minimum(1.0, 3 * of), "that is Bonferroni: all times 3"),
            Trap(
                lambda of: of * np.array([3.0, 1.0, 2.0]),
                "nearly: none may be smaller than the one before it in the sorted order",
            ),
            Trap(lambda of: np.sort(holm(of)), "back in the order in which they were given"),
        ),
    ),
    "13.5": Question(
        "choice",
        _mistake,
        "the largest number beside the diagonal: its row is the truth, its column what was said",
        about="the predictions",
        traps=(
            Trap(lambda of: _mistake(of, turned=True), "rows are the truth, columns what was said"),
        ),
    ),
}
