"""What rooms, lines and other people do to a recording: pure functions of samples.

Conventions
-----------
Signals in and out are (n,) float64 and aligned to the sample: a disturbance never changes time.
Nothing is clipped or scaled at the end: a sum may leave [-1, 1], as levels are part of what is
measured. What is random comes from a generator that the caller gives.

Level of speech
---------------
The SNR is that of the *active speech level* of ITU-T P.56 (method B) over the RMS of the noise:
pauses are no speech, and a clip with a long one does not get less noise for it. With the RMS of the
whole clip in place of it, a clip that is half pause would get 3 dB less noise.

Contents
--------
`active_level`   : level of speech and the share of time in which there is some.
`at_snr`         : a noise scaled to lie so many dB below speech.
`babble`         : several voices at one level, added up.
`room`, `reverberated` : a synthetic impulse response, and a signal in that room.
`telephone`      : 300 to 3400 Hz at 8 kHz, with or without the mu-law.
`clipped`        : the loudest samples cut off.

Sources
-------
[1] ITU-T Recommendation P.56, "Objective measurement of active speech level", 2011.
[2] J. D. Polack, "La transmission de l'energie sonore dans les salles", 1988: late reverberation
    as noise that decays exponentially.
[3] M. R. Schroeder, "New method of measuring reverberation time", JASA 37, 1965.
[4] ITU-T Recommendation G.711, 1988 (the mu-law; here its continuous form with 256 levels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft

from serfeat.errors import FeatureError
from serfeat.types import Floats

__all__ = [
    "ActiveLevel",
    "active_level",
    "at_snr",
    "babble",
    "clipped",
    "reverberated",
    "room",
    "telephone",
]

ENVELOPE_S = 0.030  # s, time constant of both smoothings [1]
HANGOVER_S = 0.200  # s, speech goes on for so long after the envelope fell [1]
MARGIN_DB = 15.9  # between the active level and the threshold that finds it [1]
STEPS = 20  # thresholds, a factor of 2 apart, from the envelope's peak downwards

PREDELAY_S = 0.0025  # s between the direct sound and the tail
BAND = (300.0, 3400.0)  # Hz
LINE_SR = 8_000  # Hz
MU = 255.0


class ActiveLevel(NamedTuple):
    """What P.56 measures.

    Attributes
    ----------
    rms : of the speech while there is speech, linear; 0 for a silent clip.
    activity : share of the time in which there is speech, 0..1.
    """

    rms: float
    activity: float


def active_level(x: Floats, sr: int) -> ActiveLevel:
    """Measure the active speech level ([1], method B), without the mean of the signal.

    The envelope is compared with thresholds a factor of 2 apart. With the energy counted only
    where the envelope is above threshold c, the level is A(c); the threshold that lies `MARGIN_DB`
    below its own A(c) is the right one, by interpolation in dB.

    Parameters
    ----------
    x : (n,) samples.
    sr : Hz.
    """
    from scipy.signal import lfilter

    x = np.asarray(x, dtype=np.float64)
    if not len(x) or not np.ptp(x):
        return ActiveLevel(0.0, 0.0)
    x = x - x.mean()
    energy = float(x @ x)
    g = float(np.exp(-1 / (sr * ENVELOPE_S)))
    # Two equal smoothings in a row: a double pole at g.
    envelope = lfilter([(1 - g) ** 2], [1.0, -2 * g, g * g], np.abs(x))
    hang = round(HANGOVER_S * sr)
    place = np.arange(len(x))
    rows = []
    for c in envelope.max() * 0.5 ** np.arange(STEPS):
        last = np.maximum.accumulate(np.where(envelope >= c, place, -hang - 1))
        active = int(np.count_nonzero(place - last <= hang))
        rows.append((10 * np.log10(energy / max(active, 1)), 20 * np.log10(c), active))
    level, threshold, count = np.array(rows).T
    # From the lowest threshold upwards, as in [1]: the peak alone may be as far above its own.
    near = np.flatnonzero(level - threshold < MARGIN_DB)
    k = int(near[-1]) if len(near) else 0
    chosen, samples = level[k], count[k]
    if len(near) and k + 1 < STEPS:
        above = (level - threshold)[k : k + 2]
        part = (MARGIN_DB - above[0]) / (above[1] - above[0])
        chosen = level[k] + part * (level[k + 1] - level[k])
        samples = energy / 10 ** (chosen / 10)
    return ActiveLevel(float(10 ** (chosen / 20)), float(min(samples / len(x), 1.0)))


def at_snr(noise: Floats, level: float, snr: float) -> Floats:
    """Scale noise so that its RMS lies `snr` dB below a level; noise of zeros stays as it is."""
    rms = float(np.sqrt(np.mean(noise**2))) if len(noise) else 0.0
    if not rms:
        return noise
    return np.asarray(noise * (level / rms * 10 ** (-snr / 20)))


def babble(voices: Sequence[Floats], sr: int, n: int, rng: np.random.Generator) -> Floats:
    """Add voices up, each brought to the active level 1 and repeated from a drawn place on.

    Parameters
    ----------
    voices : (m,) samples each, of any lengths; silent ones are left out.
    sr : Hz.
    n : samples wanted.
    rng : draws where each voice begins.
    """
    total = np.zeros(n)
    for voice in voices:
        level = active_level(voice, sr).rms
        begin = int(rng.integers(max(len(voice), 1)))
        if level:
            turned = np.roll(voice - voice.mean(), -begin)
            total += np.resize(turned, n) / level
    return total


# --- rooms -----------------------------------------------------------------------------------


def room(sr: int, rt60: float, drr: float, rng: np.random.Generator) -> Floats:
    """Make an impulse response: a direct sound at sample 0, then noise that decays ([2]).

    Parameters
    ----------
    sr : Hz.
    rt60 : s in which the energy of the tail falls by 60 dB.
    drr : dB, energy of the direct sound over that of the tail.
    rng : draws the tail.

    Returns
    -------
    (m,) samples, `rt60` long after the pre-delay; the direct sound is 1, so that its level stays.

    Raises
    ------
    FeatureError : an `rt60` outside 0.05 to 10 s.
    """
    if not 0.05 <= rt60 <= 10:
        raise FeatureError(
            f"a reverberation time of {rt60} s, expected 0.05 to 10", code="bad-parameter"
        )
    first = max(1, round(PREDELAY_S * sr))
    t = np.arange(round(rt60 * sr)) / sr
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60)  # -60 dB of energy at t = rt60
    tail *= np.sqrt(10 ** (-drr / 10) / float(tail @ tail))
    return np.concatenate([[1.0], np.zeros(first - 1), tail])


def reverberated(x: Floats, response: Floats) -> Floats:
    """(n,) a signal in a room: convolved, and cut where the recording ends."""
    n = len(x)
    size = scipy.fft.next_fast_len(n + len(response) - 1, real=True)
    spectrum = scipy.fft.rfft(x, size) * scipy.fft.rfft(response, size)
    return np.asarray(scipy.fft.irfft(spectrum, size)[:n])


# --- lines -----------------------------------------------------------------------------------


def telephone(x: Floats, sr: int, *, mu_law: bool = False) -> Floats:
    """Pass a narrow-band line: 300 to 3400 Hz at 8 kHz, and back to `sr`.

    Parameters
    ----------
    x : (n,) samples.
    sr : Hz, 8000 or more.
    mu_law : quantise to the 256 levels of the continuous mu-law; samples beyond full scale are
        limited, as a line does.

    Returns
    -------
    (n,) samples, aligned: the band filter runs in both directions and has no delay.

    Raises
    ------
    FeatureError : a lower rate.
    """
    import soxr
    from scipy.signal import butter, sosfiltfilt

    if sr < LINE_SR:
        raise FeatureError(
            f"a telephone band needs {LINE_SR} Hz, not {sr}", code="bad-rate", where="telephone"
        )
    n = len(x)
    y = np.asarray(soxr.resample(x, sr, LINE_SR, quality="HQ"), dtype=np.float64)
    # Twice an order of 4: -6 dB at the edges, 48 dB per octave beyond.
    sections = butter(4, BAND, "bandpass", fs=LINE_SR, output="sos")
    if len(y):
        y = sosfiltfilt(sections, y, padlen=min(len(y) - 1, LINE_SR // 20))
    if mu_law:
        y = _mu_law(y)
    y = np.asarray(soxr.resample(y, LINE_SR, sr, quality="HQ"), dtype=np.float64)
    return np.pad(y[:n], (0, max(0, n - len(y))))


def _mu_law(x: Floats) -> Floats:
    """Compress, round to 8 bits, expand ([4])."""
    limited = np.clip(x, -1.0, 1.0)
    squeezed = np.sign(limited) * np.log1p(MU * np.abs(limited)) / np.log1p(MU)
    steps = np.round((squeezed + 1) / 2 * MU) / MU * 2 - 1
    return np.asarray(np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(MU)) / MU)


def clipped(x: Floats, share: float) -> Floats:
    """Cut off the loudest samples: `share` of them (0..1) end at the limit."""
    if not len(x):
        return x
    limit = float(np.quantile(np.abs(x), 1 - share))
    return np.asarray(np.clip(x, -limit, limit))
