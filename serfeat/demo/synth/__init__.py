"""The synthesiser: glottal pulses and noise through a cascade of moving resonators.

Conventions
-----------
`Controls` come once a millisecond, samples at `sr` (a whole number of kHz). Levels are set
afterwards: the voice so that the vowels have a given RMS, the breath so that its energy lies a
given number of dB below the voice's, friction in dB re the vowels. Voice and noise stay apart
until the end, so their true ratio is known.

Contents
--------
`Controls`, `Quality` : what is articulated, and with what voice.
`render`              : both as `Parts`: the voice, the noise, and the pulses.

Source: Klatt (1980) and Klatt & Klatt (1990), see `source` and `tract`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serfeat.demo.synth.source import glottis, tilt, walk
from serfeat.demo.synth.tract import cascade, hiss
from serfeat.types import Bools, Floats, Ints

__all__ = ["CONTROL_S", "Controls", "Parts", "Quality", "render"]

CONTROL_S = 0.001  # one row of the controls
PEAK = 0.95  # a louder utterance is turned down to this
ASPIRATION_DB = -15.0  # of h and of released stops, re the vowels
LOUD = 0.7  # voicing from which a sound counts as vowel when levels are set
SPREAD = 3.0  # random amplitudes are cut at this many standard deviations


@dataclass(frozen=True)
class Controls:
    """What is articulated, one row a millisecond (m rows).

    `voicing`, `aspiration` (m,): amplitudes, 1 = a stressed vowel's voice; `formants`,
    `bandwidths` (m, 4 to 8) Hz; `zero` (m,) Hz of the nasal anti-formant, cancelled where it
    equals `pole`; `noise_hz`, `noise_bandwidth` (m, 2) Hz and `noise_gain` (m, 2), RMS re vowels.
    """

    voicing: Floats
    aspiration: Floats
    formants: Floats
    bandwidths: Floats
    zero: Floats
    noise_hz: Floats
    noise_bandwidth: Floats
    noise_gain: Floats
    pole: float


@dataclass(frozen=True)
class Quality:
    """The voice of one utterance.

    Parameters
    ----------
    jitter, shimmer : standard deviations of a period and of a pulse's amplitude, relative.
    hnr_db : energy of the voice re the breath in vowels; inf = no breath.
    tilt_db : loss of the source at 3 kHz.
    open_quotient : open part of a cycle.
    level_db : RMS of the vowels re full scale.
    room_db : RMS of the recording's white noise; -inf = none.
    """

    jitter: float
    shimmer: float
    hnr_db: float
    tilt_db: float
    open_quotient: float
    level_db: float
    room_db: float


@dataclass(frozen=True)
class Parts:
    """The utterance is ``voice + noise`` (n,); `pulse_s`, `period_s`, `amplitude` (k,) of its
    pulses (amplitude: the random factor alone), `first` (k,) where a voiced stretch begins.
    """  # fmt: skip

    voice: Floats
    noise: Floats
    pulse_s: Floats
    period_s: Floats
    amplitude: Floats
    first: Bools


def render(
    controls: Controls, f0: Floats, quality: Quality, *, sr: int, rng: np.random.Generator
) -> Parts:
    """Synthesise.

    Parameters
    ----------
    f0 : (m,) Hz, one a millisecond; defined everywhere.

    Returns
    -------
    Parts with m * sr / 1000 samples.
    """
    block = sr // 1000
    n = controls.voicing.size * block
    times, periods, first = walk(f0, controls.voicing, dt=CONTROL_S, jitter=quality.jitter, rng=rng)
    at: Ints = np.minimum((times / CONTROL_S).astype(np.int64), controls.voicing.size - 1)
    factors = 1.0 + quality.shimmer * rng.standard_normal(times.size).clip(-SPREAD, SPREAD)
    flow, opening = glottis(
        times,
        periods,
        controls.voicing[at] * factors,
        open_quotient=quality.open_quotient,
        n=n,
        sr=sr,
    )
    voice, noise = cascade(
        tilt(flow, loss_db=quality.tilt_db, sr=sr),
        _breath(controls, opening, quality.hnr_db, block) * rng.standard_normal(n),
        formants=controls.formants,
        bandwidths=controls.bandwidths,
        zero=controls.zero,
        pole=controls.pole,
        sr=sr,
    )
    friction = hiss(
        rng.standard_normal(n),
        hz=controls.noise_hz,
        bandwidth=controls.noise_bandwidth,
        gain=controls.noise_gain,
        sr=sr,
    )
    loud = np.repeat(controls.voicing >= LOUD, block)
    voice /= _rms(voice[loud])
    noise *= 10.0 ** (-quality.hnr_db / 20.0) / _rms(noise[loud])
    noise += friction
    gain = 10.0 ** (quality.level_db / 20.0)
    gain = min(gain, PEAK / float(np.abs(voice + noise).max()))
    noise = gain * noise + 10.0 ** (quality.room_db / 20.0) * rng.standard_normal(n)
    return Parts(gain * voice, noise, times, periods, factors, first > 0.0)


def _breath(controls: Controls, opening: Floats, hnr_db: float, block: int) -> Floats:
    """(n,) envelope of the noise at the glottis: breath with the voice, and aspiration.

    The breath is scaled behind the filter. The filter is linear, so that aspiration, which goes
    the same way, can be set here in relation to it.
    """
    aspirated = 10.0 ** ((hnr_db + ASPIRATION_DB) / 20.0) if np.isfinite(hnr_db) else 0.0
    with_voice = np.repeat(controls.voicing, block) * opening
    return with_voice + aspirated * np.repeat(controls.aspiration, block)


def _rms(x: Floats) -> float:
    """Root mean square; 1 where there is nothing, so that a gain by it changes nothing."""
    rms = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    return rms if rms > 0.0 else 1.0
