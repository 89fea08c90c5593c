"""The voice source: when the glottis closes, what flows through it, and how steep its spectrum is.

Conventions
-----------
A pulse's instant is its glottal closure; instants are real numbers, not samples, so a period is
exact whatever the sample rate is.

Sources
-------
Klatt & Klatt (1990), J. Acoust. Soc. Am. 87, 820: the pulse U(t) = a t^2 - b t^3, spectral tilt.
Steps without aliasing: Brandt (2001), "Hard sync without aliasing", ICMC.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from serfeat.jit import jit
from serfeat.types import Floats

__all__ = ["glottis", "tilt", "walk"]

OVERSAMPLE = 64  # table rows a sample of the band-limited step
REACH = 16  # samples to each side of a step that it touches
BREATH_FLOOR = 0.4  # breath in the closed phase, re the widest opening
SPREAD = 3.0  # random periods are cut at this many standard deviations


@jit
def _walk(f0: Floats, voicing: Floats, dt: float, jitter: float, draws: Floats) -> Floats:
    pulses = np.empty((draws.size, 3))
    k, t, first = 0, 0.0, 1.0
    while k < draws.size:
        i = int(t / dt)
        if i >= f0.size:
            break
        if voicing[i] <= 0.0:
            t, first = (i + 1.0000001) * dt, 1.0
            continue
        # the F0 that a period has is that of its middle
        middle = min((t + 0.5 / f0[i]) / dt, f0.size - 1.0)
        j = min(int(middle), f0.size - 2)
        hz = f0[j] + (middle - j) * (f0[j + 1] - f0[j])
        period = (1.0 + jitter * draws[k]) / hz
        t += period
        pulses[k, 0], pulses[k, 1], pulses[k, 2] = t, period, first
        first = 0.0
        k += 1
    return pulses[:k]


def walk(
    f0: Floats, voicing: Floats, *, dt: float, jitter: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Find the instants of glottal closure.

    Parameters
    ----------
    f0 : (m,) Hz, every `dt` s; the walk reads it around the middle of each period.
    voicing : (m,) amplitude; 0 = no pulses.
    jitter : standard deviation of a period, relative; drawn anew for each period.

    Returns
    -------
    times : (k,) s, closures.
    periods : (k,) s, each pulse's own period; ``times[i] - times[i-1]`` inside a stretch.
    first : (k,) 1 where a voiced stretch begins, else 0.
    """
    most = int(f0.size * dt * float(np.max(f0))) * 2 + 16
    draws = rng.standard_normal(most).clip(-SPREAD, SPREAD)
    pulses = _walk(f0, voicing, dt, jitter, draws)
    return pulses[:, 0].copy(), pulses[:, 1].copy(), pulses[:, 2].copy()


@cache
def _tables() -> tuple[Floats, Floats]:
    """Band-limited unit step and unit ramp around 0, `OVERSAMPLE` rows a sample."""
    d = np.arange(-REACH * OVERSAMPLE, REACH * OVERSAMPLE + 1) / OVERSAMPLE
    impulse = np.sinc(0.95 * d) * np.kaiser(d.size, 9.0)
    half = 0.5 * (impulse[1:] + impulse[:-1])
    step = np.concatenate([[0.0], np.cumsum(half)])
    step /= step[-1]
    ramp = np.concatenate([[0.0], np.cumsum(0.5 * (step[1:] + step[:-1]))]) / OVERSAMPLE
    return step, ramp + (REACH - ramp[-1])


@jit
def _kink(out: Floats, at: float, jump: float, slope: float, step: Floats, ramp: Floats) -> None:
    """Replace a sampled jump and change of slope at the real-numbered sample `at`."""
    begin = max(int(np.ceil(at - REACH)), 0)
    for i in range(begin, min(int(np.floor(at + REACH)) + 1, out.size)):
        d = i - at
        place = (d + REACH) * OVERSAMPLE
        j = min(int(place), step.size - 2)
        w = place - j
        s = step[j] + w * (step[j + 1] - step[j])
        r = ramp[j] + w * (ramp[j + 1] - ramp[j])
        if d > 0.0:
            s -= 1.0
            r -= d
        out[i] += jump * s + slope * r


@jit
def _glottis(
    times: Floats,
    periods: Floats,
    amplitudes: Floats,
    quotient: float,
    n: int,
    sr: int,
    step: Floats,
    ramp: Floats,
) -> tuple[Floats, Floats]:
    flow, opening = np.zeros(n), np.full(n, BREATH_FLOOR)
    for k in range(times.size):
        close, length = times[k] * sr, quotient * periods[k] * sr
        begin, a = close - length, amplitudes[k]
        for i in range(max(int(np.ceil(begin)), 0), min(int(np.floor(close)) + 1, n)):
            u = (i - begin) / length
            flow[i] += a * u * (2.0 - 3.0 * u)
            opening[i] = BREATH_FLOOR + (1.0 - BREATH_FLOOR) * 6.75 * u * u * (1.0 - u)
        _kink(flow, begin, 0.0, 2.0 * a / length, step, ramp)
        _kink(flow, close, a, 4.0 * a / length, step, ramp)
    return flow, opening


def glottis(
    times: Floats, periods: Floats, amplitudes: Floats, *, open_quotient: float, n: int, sr: int
) -> tuple[Floats, Floats]:
    """Make the voice source: derivative of the glottal flow, n samples.

    A pulse is U(t) = a t^2 - b t^3 over the open phase (Klatt & Klatt 1990); its derivative is
    ``2u - 3u^2`` of the phase u, and jumps by `amplitudes` at the closure. Jump and kinks are
    band-limited, so no alias falls between the harmonics.

    Parameters
    ----------
    times, periods, amplitudes : (k,) s, s and the jump at each closure.
    open_quotient : open part of a period, 0 to 1.

    Returns
    -------
    flow : (n,) the derivative (lip radiation included).
    opening : (n,) 0.4 (closed) to 1 (widest): how much breath passes.
    """
    return _glottis(times, periods, amplitudes, open_quotient, n, sr, *_tables())


@jit
def _one_pole(x: Floats, pole: float) -> Floats:
    out = np.empty_like(x)
    y = 0.0
    for i in range(x.size):
        y = (1.0 - pole) * x[i] + pole * y
        out[i] = y
    return out


def tilt(x: Floats, *, loss_db: float, sr: int, at_hz: float = 3000.0) -> Floats:
    """Tilt a spectrum downwards by `loss_db` (>= 0) at `at_hz`, 0 dB at 0 Hz (TL of Klatt 1990)."""
    if loss_db <= 0.0:
        return x
    # |1-p|^2 / (1 - 2 p cos w + p^2) = 10^(-loss/10), a quadratic in the pole p
    gain, cos = 10.0 ** (-loss_db / 10.0), np.cos(2.0 * np.pi * at_hz / sr)
    half = (1.0 - gain * cos) / (1.0 - gain)
    return _one_pole(x, float(half - np.sqrt(half * half - 1.0)))
