"""Questions of the labs 04 to 06: linear prediction, cepstra, Teager energy and voice quality."""

from __future__ import annotations

from typing import Any

import numpy as np

from serfeat.labs.judging import Question, Trap
from serfeat.lld.plp import equal_loudness
from serfeat.spectrum import dct_ortho
from serfeat.types import Floats

__all__ = ["QUESTIONS"]

N_CEPSTRA = 13


def _error(of: Any, sign: float = 1.0) -> Floats:
    """The prediction error of (frame, a), with a_1 ... a_p of that sign."""
    frame, a = np.asarray(of[0]), np.array(of[1])
    a[1:] *= sign
    return np.convolve(frame, a)[: len(frame)]


def _gain_db(of: Any) -> float:
    frame, _, error = of
    return 10.0 * float(np.log10(np.sum(frame**2) / error))


def _first_formant(of: Any) -> float:
    return float(of.truth.formants_hz[0, 0])


def _loudness_db(low: float, high: float) -> float:
    weights = 10.0 * np.log10(equal_loudness([low, high]))
    return float(weights[1] - weights[0])


def _jitter(of: Any) -> float:
    periods = np.asarray(of, dtype=np.float64)
    return 100.0 * float(np.abs(np.diff(periods)).mean() / periods.mean())


QUESTIONS: dict[str, Question] = {
    "04.1": Question(
        "array",
        _error,
        "np.convolve(frame, a) is longer than the frame: keep its beginning",
        within=1e-6,
        about="(frame, a)",
        traps=(
            Trap(
                lambda of: _error(of, -1.0),
                "the signs of a[1:] are already those of the error: nothing to turn round",
            ),
            Trap(
                lambda of: np.asarray(of[0]) - _error(of),
                "that is the guess; the error is what the guess leaves",
            ),
            Trap(
                lambda of: np.convolve(of[0], of[1], "same"),
                '"same" keeps the middle; the first p values are the beginning',
            ),
        ),
    ),
    "04.2": Question(
        "number",
        "4518295fb92ae4fc42e23cfb",
        "a real filter has its poles in pairs, one above and one below the real axis",
        traps=(
            Trap(
                "1ee07f5dfcae33195d9ace8f",
                "those are poles; they come in pairs, one pair to a resonance",
            ),
            Trap(
                "3379a82e8540bd2f661b6033",
                "a pole per resonance and pairs: you have counted the other way round",
            ),
        ),
    ),
    "04.3": Question(
        "choice",
        "1e8107837224aff76fb000f2",
        "how far apart are the peaks of the curve, in Hz? Which quantity of this voice is that?",
        traps=(
            Trap(
                "0e88f16a5597e68e7b459507",
                "the formants are the hills; this curve has many more peaks than five",
            ),
            Trap("da50bfac1304bff336c10f23", "there is no noise in this vowel"),
        ),
    ),
    "04.4": Question(
        "number",
        _gain_db,
        "10 log10 of (energy of the frame / energy of the error); energy is a sum of squares",
        unit="dB",
        within=0.1,
        about="(frame, a, error)",
        traps=(
            Trap(lambda of: 2 * _gain_db(of), "20 log10 is for amplitudes; these are energies"),
            Trap(lambda of: 10 ** (_gain_db(of) / 10), "that is the ratio; in dB?"),
            Trap(
                lambda of: _gain_db(of) - 10 * np.log10(len(of[0])),
                "mean against sum: take the sum of squares of the frame, as `error` is a sum",
            ),
        ),
    ),
    "04.5": Question(
        "number",
        _first_formant,
        "angle / (2 pi) * sr for each root; keep 300 to 900 Hz, then the largest absolute value",
        unit="Hz",
        within=40.0,
        about="the vowel",
        traps=(
            Trap(lambda of: 2 * np.pi * _first_formant(of) / of.sr, "that is the angle; in Hz?"),
            Trap(
                lambda of: 2 * np.pi * _first_formant(of),
                "radians per second: a turn is 2 pi of them",
            ),
        ),
    ),
    "05.1": Question(
        "number",
        lambda of: int((np.argmax(of, axis=1) * (16000 / 512) < 1000.0).sum()),
        "np.argmax(bank, axis=1) gives the bin of each peak; hz[...] of it is a frequency",
        about="the bank",
        traps=(
            Trap(
                lambda of: round(len(of) * 1000 / 8000),
                "that would be so if the bands were equally wide in Hz; look at the picture",
            ),
        ),
    ),
    "05.2": Question(
        "array",
        lambda of: dct_ortho(np.log(of), N_CEPSTRA),
        "first the logarithm of the 26 bands, then 13 coefficients of the cosine transform",
        within=1e-6,
        about="the bands of the frame",
        traps=(
            Trap(lambda of: dct_ortho(of, N_CEPSTRA), "the logarithm is missing"),
            Trap(
                lambda of: dct_ortho(10 * np.log10(of), N_CEPSTRA),
                "those are decibels; the natural logarithm is asked for",
            ),
            Trap(lambda of: np.log(of)[:N_CEPSTRA], "those are bands; now the cosine transform"),
        ),
    ),
    "05.3": Question(
        "number",
        lambda _: np.sqrt(26) * np.log(0.25),
        "half the amplitude: which factor of the power? Its logarithm, 26 times, over root 26",
        share=0.01,
        traps=(
            Trap(
                lambda _: np.sqrt(26) * np.log(0.5),
                "half the amplitude is a quarter of the power, and the bands are power",
            ),
            Trap(lambda _: np.log(0.25), "that is one band; c0 gathers 26 of them"),
            Trap(lambda _: 26 * np.log(0.25), "a sum over the *root* of 26"),
            Trap(lambda _: 20 * np.log10(0.5), "that is the level in dB; c0 has other units"),
        ),
    ),
    "05.4": Question(
        "choice",
        "915cdae82b8970fb87184d70",
        "what do the three pictures have more of, from left to right?",
        traps=(
            Trap("c9d67464db211ef9eae837e0", "an orthonormal transform keeps the sum of squares"),
            Trap(
                "f930aae7af34dae48277c6c2",
                "noise is in the bands before and in the coefficients after",
            ),
        ),
    ),
    "05.5": Question(
        "number",
        lambda _: _loudness_db(100.0, 1000.0),
        "10 log10(equal_loudness(1000) / equal_loudness(100))",
        unit="dB",
        within=0.2,
        traps=(
            Trap(lambda _: 2 * _loudness_db(100.0, 1000.0), "a weight of power: 10 log10, not 20"),
            Trap(
                lambda _: _loudness_db(2 * np.pi * 100.0, 2 * np.pi * 1000.0),
                "the function wants Hz, not radians per second",
            ),
        ),
    ),
    "06.1": Question(
        "number",
        lambda _: 0.01 * np.sin(np.pi / 4) ** 2,
        "2000 Hz at 16000 Hz is an eighth of a turn from sample to sample",
        share=0.005,
        traps=(
            Trap(
                lambda _: 0.01 * (np.pi / 4) ** 2,
                "the angle itself is what the sine is near to for slow tones; this one is fast",
            ),
            Trap(lambda _: 0.1 * np.sin(np.pi / 4) ** 2, "the amplitude is squared as well"),
            Trap(lambda _: 0.01 * np.sin(np.pi / 4), "the sine is squared as well"),
            Trap(lambda _: 0.01 * np.sin(45.0) ** 2, "45 degrees; NumPy counts in radians"),
        ),
    ),
    "06.2": Question(
        "number",
        lambda _: 20 * np.log10(np.sin(np.pi / 4) / np.sin(np.pi / 16)),
        "10 log10 of the ratio of both values of psi",
        unit="dB",
        within=0.1,
        traps=(
            Trap(
                lambda _: 20 * np.log10(4.0),
                "the square of the frequencies is near, but the formula has sines",
            ),
            Trap(
                lambda _: 40 * np.log10(np.sin(np.pi / 4) / np.sin(np.pi / 16)),
                "psi is an energy: 10 log10, not 20",
            ),
        ),
    ),
    "06.3": Question(
        "number",
        _jitter,
        "np.diff gives the differences of neighbours; the mean of their absolute values, over the "
        "mean period",
        unit="%",
        share=0.005,
        about="the periods",
        traps=(
            Trap(
                lambda of: 100 * np.std(of) / np.mean(of),
                "the spread of all periods would count a slow melody too; compare neighbours",
            ),
            Trap(
                lambda of: 100 * np.std(of, ddof=1) / np.mean(of),
                "the spread of all periods would count a slow melody too; compare neighbours",
            ),
            Trap(lambda of: np.abs(np.diff(of)).mean(), "that is in ms; over the mean period?"),
            Trap(
                lambda of: 100 * np.diff(of).mean() / np.mean(of),
                "with their signs the differences cancel",
            ),
        ),
    ),
    "06.4": Question(
        "number",
        "88c7bfdf450712f66b96e15f",
        "10 log10(voice / breath), both energies",
        unit="dB",
        within=0.05,
        traps=(
            Trap(
                "ec9eee5b50e5fd94f7f40800", "20 log10 is for amplitudes; energies are compared here"
            ),
            Trap("fe4bad911b2a6850ae560591", "voice over breath, not breath over voice"),
            Trap("a094e4c355a5882286df7c63", "that is the ratio of the amplitudes"),
        ),
    ),
    "06.5": Question(
        "choice",
        "c2fb358f3becfc5200d600b9",
        "the limit was made for a sustained vowel; what does a sentence do that a vowel does not?",
        traps=(
            Trap(
                "211f03b453907aeee401a1f1",
                "the synthesiser knows no illness; look at what moves most in anger and fear",
            ),
            Trap(
                "823ce95b975caef2be8c0c99",
                "true in general, but these values are the truth: no noise was in the way",
            ),
        ),
    ),
}
