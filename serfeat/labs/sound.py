"""Questions of the labs 01 to 03: frames, prosody, formants.

What a question is about (`of`) is an utterance of the synthesiser, with its truth, wherever it is
not said otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from serfeat.demo import PHONES, Utterance
from serfeat.labs.judging import Question, Trap
from serfeat.lld import f0, formants

__all__ = ["QUESTIONS"]

HOP_S = 0.010
SUNG_HZ = 730.0  # F1 of the vowel that lab 03 sings higher and higher


def _frames(of: Utterance) -> int:
    return 1 + len(of.x) // round(HOP_S * of.sr)


def _period_ms(of: Utterance) -> float:
    """The period in the middle of the first *a*."""
    vowel = next(s for s in of.truth.segments if s.phone == "a")
    return 1000.0 / float(of.truth.f0_hz[round((vowel.start + vowel.end) / 2 / HOP_S)])


def _f0_of_frame(of: tuple[Utterance, int]) -> float:
    return float(of[0].truth.f0_hz[of[1]])


def _lag_from_600(of: tuple[Utterance, int]) -> float:
    """F0 from a lag that was counted from the shortest one that was looked at."""
    sr = of[0].sr
    return sr / max(1.0, sr / _f0_of_frame(of) - round(sr / 600.0))


def _anger_semitones(of: tuple[Utterance, Utterance]) -> float:
    calm, angry = (float(np.nanmedian(s.truth.f0_hz)) for s in of)
    return 12.0 * float(np.log2(angry / calm))


def _nearest_vowel(of: Utterance) -> str:
    f1, f2 = of.truth.formants_hz[0, :2]
    far = {v: np.hypot(f1 - PHONES[v].targets[0][0], f2 - PHONES[v].targets[0][1]) for v in "aeiou"}
    return min(far, key=lambda v: far[v])


def _median_formant(of: Utterance, column: int) -> float:
    return float(np.nanmedian(formants(of.x, of.sr)[:, column]))


def _worst(of: Any) -> float:
    return float(np.abs(np.asarray(of, dtype=np.float64) - SUNG_HZ).max())


QUESTIONS: dict[str, Question] = {
    "01.1": Question(
        "number",
        lambda of: len(of.x) / of.sr,
        "sr samples make one second; how many seconds do len(x) samples make?",
        unit="s",
        within=0.0005,
        about="an utterance",
        traps=(
            Trap(lambda of: len(of.x), "that is the number of samples, not of seconds"),
            Trap(
                lambda of: _frames(of) * HOP_S,
                "frames times hop counts the rest behind the last frame wrong; count samples",
            ),
            Trap(lambda of: of.sr / len(of.x), "upside down: a longer sound must give more"),
        ),
    ),
    "01.2": Question(
        "number",
        _period_ms,
        "measure from one tall peak to the next tall one, not to the ripples between them",
        unit="ms",
        share=0.10,
        about="an utterance",
        traps=(
            Trap(lambda of: 1000.0 / _period_ms(of), "that is the rate in Hz; how long is one?"),
        ),
    ),
    "01.3": Question(
        "number",
        _frames,
        "a frame sits on sample 0, hop, 2 hop, ... as long as that sample exists",
        about="an utterance",
        traps=(
            Trap(
                lambda of: len(of.x) // round(HOP_S * of.sr),
                "nearly: three fence panels stand on how many posts?",
            ),
            Trap(
                lambda of: 1 + (len(of.x) - round(0.025 * of.sr)) // round(HOP_S * of.sr),
                "that counts windows that lie inside as a whole, as HTK does; here a frame is "
                "centred on its sample and may stick out",
            ),
        ),
    ),
    "01.4": Question(
        "number",
        "4f8b8621e45e6ba212d6da53",
        "frame i is centred on sample i * hop: where is the beginning of something whose middle "
        "you know?",
        traps=(
            Trap(
                "717729ad7c066c71adea101b",
                "that is its middle; the window reaches half its length to either side",
            ),
            Trap("7ab73dab959a734d363c4b30", "a window begins before its middle, not behind it"),
        ),
    ),
    "01.5": Question(
        "choice",
        "cedb4ac97dc34cfce1462403",
        "compare the two pictures: in which one do you see horizontal lines?",
        traps=(
            Trap(
                "7f2c69c1045efa28b4c0f09d",
                "in 5 ms there is half a period of this voice: how could it know the pitch?",
            ),
            Trap("0c924086b00843ae7dc2750d", "10 ms hold one period: nothing repeats in it yet"),
        ),
    ),
    "02.1": Question(
        "number",
        _f0_of_frame,
        "np.argmax over match[lo:hi], with lo = sr / 600 and hi = sr / 75 samples; then Hz",
        unit="Hz",
        share=0.04,
        about="(an utterance, a frame's number)",
        traps=(
            Trap(_lag_from_600, "argmax of a slice counts from the slice's beginning: add it"),
            Trap(lambda of: of[0].sr / _f0_of_frame(of), "that is the lag in samples"),
            Trap(lambda of: 1000 / _f0_of_frame(of), "that is the period in ms"),
        ),
    ),
    "02.2": Question(
        "number",
        lambda of: np.nanmean(of.truth.f0_hz),
        "the mean over the frames that have an F0",
        unit="Hz",
        share=0.02,
        about="an utterance",
        traps=(
            Trap(
                lambda of: np.nan_to_num(f0(of.x, of.sr)).mean(),
                "you counted silence as a pitch of 0 Hz; leave out what has none (np.nanmean)",
            ),
        ),
    ),
    "02.3": Question(
        "number",
        _anger_semitones,
        "12 semitones are a factor of 2: a logarithm of the ratio of the two medians",
        unit="semitones",
        within=0.4,
        about="(neutral, anger), both utterances",
        traps=(
            Trap(lambda of: _anger_semitones(of) / 12, "those are octaves"),
            Trap(
                lambda of: np.nanmedian(of[1].truth.f0_hz) - np.nanmedian(of[0].truth.f0_hz),
                "those are Hz: the same step is more for a deep voice",
            ),
            Trap(lambda of: _anger_semitones(of) * np.log(2), "log2, not the natural logarithm"),
        ),
    ),
    "02.4": Question(
        "number",
        lambda of: of.truth.voiced_fraction,
        "which share of the values is not NaN?",
        within=0.04,
        about="an utterance",
        traps=(Trap(lambda of: 1 - of.truth.voiced_fraction, "that share is unvoiced"),),
    ),
    "02.5": Question(
        "choice",
        "2f99ea9ec95995a9634bb078",
        "draw a wave twice as tall: does it repeat more often?",
    ),
    "03.1": Question(
        "number",
        lambda of: of.truth.formants_hz[0, 0],
        "the first column of lld.formants, its median over the frames",
        unit="Hz",
        within=45.0,
        about="an utterance",
        traps=(
            Trap(lambda of: _median_formant(of, 1), "that is F2"),
            Trap(lambda of: _median_formant(of, 3), "that is the width of F1's hill (B1)"),
            Trap(
                lambda of: np.nanmedian(of.truth.f0_hz),
                "that is F0, the folds; F1 is the first resonance of the tract",
            ),
        ),
    ),
    "03.2": Question(
        "choice",
        _nearest_vowel,
        "put F1 and F2 of the riddle into the chart: which letter is nearest?",
        about="an utterance",
    ),
    "03.3": Question(
        "number",
        "298bb95868ff4fefb50bbf27",
        "a quarter of a wave in 0.12 m: how long is the whole wave, and how often does it fit into "
        "the 350 m that sound runs in a second?",
        unit="Hz",
        within=5.0,
        traps=(
            Trap(
                "f3ec325206f1f6f2714c8f82",
                "half a wave fits into a tube that is open at both ends; this one is closed",
            ),
            Trap(
                "6f217683009608f5ec47c085",
                "centimetres: L in metres goes with c in metres per second",
            ),
        ),
    ),
    "03.4": Question(
        "number",
        _worst,
        "the largest distance from 730 Hz, whichever side it is on",
        unit="Hz",
        within=1.0,
        about="the values of F1 that were measured",
        traps=(
            Trap(
                lambda of: np.mean(np.abs(np.asarray(of) - SUNG_HZ)),
                "that is the mean error; the worst one is asked for",
            ),
            Trap(lambda of: np.max(of), "that is the largest F1, not the largest error"),
        ),
    ),
    "03.5": Question(
        "choice",
        "c3f0b579e150d45b892dd25a",
        "the analysis has two poles for each of five hills; what if there are more hills?",
        traps=(
            Trap(
                "ed495a7230179789ebbf6c4d",
                "nothing in the analysis multiplies; it has five hills to spend",
            ),
            Trap(
                "49883c3f82acd40a2b6f6b08",
                "F0 is found elsewhere, and knows no ceiling of formants",
            ),
        ),
    ),
}
