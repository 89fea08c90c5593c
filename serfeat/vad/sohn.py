"""Voice activity by a likelihood ratio: does the spectrum fit noise alone, or speech and noise?

`serfeat.vad.three_way` asks for the level; where speech is less than 20 dB above the noise, ask
for the statistics instead. With gamma the posterior and xi the prior SNR of a bin (see
`serfeat.signal.gains`), and complex Gaussian spectra, the log likelihood ratio is

    log Lambda = gamma xi / (1 + xi) - log(1 + xi)

The mean over the bins is the evidence of a frame. A hidden Markov chain with the states silence and
speech carries it over ("hang-over"), since weak ends of words follow strong beginnings: with a01
the probability that speech begins, a10 that it ends, the odds of speech are

    odds(t) = (a01 + a11 odds(t-1)) / (a00 + a10 odds(t-1)) Lambda(t)

The first factor alone tends to a01 / a10 = 2, a probability of 0.67, which is why the threshold is
0.7. It is a detector of everything that is not stationary noise: a door is speech to it, and so is
music. Digital silence is never speech.

Conventions
-----------
One value per frame of the grid. Windows of 25 ms, bins from 60 Hz to 8 kHz. Neither the gain of the
recording nor an offset matters.

Contents
--------
`sohn_probability` : P(speech) of every frame.  `sohn_vad` : True where it exceeds the threshold.
`speech_probability` : the same on a `ShortTime`.

Sources
-------
[1] J. Sohn, N. S. Kim, W. Sung, "A statistical model-based voice activity detection", IEEE Signal
    Processing Letters 6(1), 1999. Mean durations, memory and threshold: as in VOICEBOX's vadsohn.
Noise: `serfeat.signal.noise`; prior SNR: `serfeat.signal.gains`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import ShortTime, window
from serfeat.signal.gains import prior_snr
from serfeat.signal.noise import noise_psd
from serfeat.types import Bools, Floats

__all__ = ["sohn_probability", "sohn_vad", "speech_probability"]

LENGTH_S = 0.025  # s, the window
BAND = (60.0, 8000.0)  # Hz
GAMMA = (1e-4, 1e3)  # posterior SNR, -40 to 30 dB
LOWEST_SNR = -25.0  # dB, the floor of the prior SNR
MEMORY_S = 0.396  # s, of the prior SNR


def sohn_vad(x: ArrayLike, sr: int, *, hop: float = 0.010, threshold: float = 0.7) -> Bools:
    """Find the frames with speech.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    threshold : probability above which a frame is speech.

    Returns
    -------
    (n_frames,) True where there is speech.

    Raises
    ------
    AudioError, FeatureError : see `ShortTime`.
    """
    return np.asarray(sohn_probability(x, sr, hop=hop) > threshold)


def sohn_probability(
    x: ArrayLike, sr: int, *, hop: float = 0.010, talk: float = 0.100, silence: float = 0.050
) -> Floats:
    """Probability of speech in every frame.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    talk, silence : s, mean durations of a stretch of speech and of a pause; longer than the hop.

    Returns
    -------
    (n_frames,) in [0, 1]; 0 in digital silence.

    Raises
    ------
    AudioError, FeatureError : see `ShortTime`.
    """
    return speech_probability(ShortTime(x, sr, hop), talk=talk, silence=silence)


def speech_probability(st: ShortTime, *, talk: float = 0.100, silence: float = 0.050) -> Floats:
    """Probability of speech in every frame; parameters as in `sohn_probability`.

    Returns
    -------
    (n_frames,) in [0, 1], shared and read-only.
    """
    hop_s = st.hop / st.sr
    if not hop_s < min(talk, silence):
        raise FeatureError(
            f"mean durations of {talk} and {silence} s, expected more than the hop of {hop_s:g} s",
            code="bad-length",
        )

    def make() -> Floats:
        power = _power(st)
        evidence, sounding = _log_likelihood(power, hop_s), power.max(axis=1) > 0
        odds = _hang_over(evidence, sounding, begin=hop_s / silence, end=hop_s / talk)
        return np.asarray(odds / (1 + odds))

    return st.memo(("sohn", talk, silence), make)


def _power(st: ShortTime) -> Floats:
    """(n_frames, bins) power in the band; frames over an edge as if they were whole."""
    size = max(2, round(LENGTH_S * st.sr))
    points = 1 << (size - 1).bit_length()
    power = st.power(size, points, window_name="hamming", centred=True)
    low, high = (round(f * points / st.sr) for f in BAND)
    # The window's energy that lies on the clip: a half empty frame is no quieter noise.
    energy = np.concatenate([[0.0], np.cumsum(window("hamming", size) ** 2)])
    begin = np.arange(st.n_frames) * st.hop - size // 2
    inside = energy[np.clip(len(st.x) - begin, 0, size)] - energy[np.clip(-begin, 0, size)]
    share = np.maximum(inside / energy[-1], 0.1)
    # Silence less the mean of the clip is no silence any more, nor is a constant less its mean,
    # by rounding: both are looked for in the samples.
    alive = (st.x != 0) & (np.abs(st.centred) > 1e-9 * np.abs(st.x).max())
    sounding = st.frames(size, signal=alive.astype(np.float64)).any(axis=1)
    return np.asarray(power[:, max(low, 1) : high + 1] * (sounding / share)[:, None])


def _log_likelihood(power: Floats, hop_s: float) -> Floats:
    """(n_frames,) the mean over the bins of log Lambda ([1])."""
    noise = noise_psd(power, hop_s)
    gamma = np.clip(power / noise, *GAMMA)
    xi = prior_snr(gamma, hop_s, memory=MEMORY_S, lowest_snr=LOWEST_SNR)
    return np.asarray(np.mean(gamma * (xi / (1 + xi)) - np.log1p(xi), axis=1))


def _hang_over(evidence: Floats, sounding: Bools, *, begin: float, end: float) -> Floats:
    """Odds of speech, frame by frame; 0 in digital silence.

    Parameters
    ----------
    evidence : (n_frames,) log likelihood ratios.
    sounding : (n_frames,) False in digital silence.
    begin, end : probabilities per frame that speech begins (a01) and ends (a10).
    """
    # Odds beyond e^30 are certainty; e^(evidence) of a loud frame would overflow.
    ratio = np.where(sounding, np.exp(np.clip(evidence, -30, 30)), 0.0)
    odds = np.empty(len(ratio))
    last = 0.0
    for t, likelihood in enumerate(ratio):
        last = (begin + (1 - end) * last) / (1 - begin + end * last) * likelihood
        odds[t] = last
    return odds
