"""Other versions of a recording for training: noise, speed, pitch.

Conventions
-----------
What a version is, is drawn from its number and the recording's samples: the same clip gives the
same version in any batch, on any machine, so versions can be cached like everything else. Versions
are made of training clips only (`serfeat.compare` sees to it) and keep the clip's label and
speaker; they are never scored.

`noise`  : white or pink noise at an SNR drawn from a range; the speech's power is that of the whole
    clip without its mean.
`speed`  : played faster or slower by a drawn factor: duration and pitch change together, as with a
    tape (Ko et al. 2015).
`pitch`  : moved by drawn semitones, the duration stays: the clip is resampled, and stretched back
    by WSOLA (Verhelst & Roelands 1993).

Sources
-------
T. Ko, V. Peddinti, D. Povey, S. Khudanpur, "Audio augmentation for speech recognition", Interspeech
2015. W. Verhelst, M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for
high quality time-scale modification of speech", ICASSP 1993.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import scipy

from serfeat.errors import FeatureError, did_you_mean
from serfeat.types import Floats

__all__ = ["Change", "Version", "hiss", "stretched"]

LENGTH = 0.030  # s: segments of WSOLA
TOLERANCE = 0.010  # s: how far a segment may move to fit the one before


class Change(Protocol):
    """What is done to a clip before its features: a `Version`, or a condition of the test."""

    @property
    def identity(self) -> str:
        """Text that changes with every setting and version: part of the cache key."""

    def __call__(self, x: Floats, sr: int, *, speaker: str = "") -> Floats:
        """Change (n,) samples at `sr` Hz of a clip of this speaker ("corpus/speaker")."""


@dataclass(frozen=True)
class Version:
    """One more version of every clip.

    Parameters
    ----------
    number : 1, 2, ...: versions of other numbers are drawn anew.
    noise : dB, range of the SNR; None adds no noise.
    pink : power falling with 1/f instead of white.
    speed : range of the factor.
    pitch : semitones, range of the shift.
    """

    number: int = 1
    noise: tuple[float, float] | None = None
    pink: bool = False
    speed: tuple[float, float] | None = None
    pitch: tuple[float, float] | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Version:
        """Make one from a recipe's table.

        Raises
        ------
        FeatureError, UnknownNameError : unknown words, ranges that are none.
        """
        words: dict[str, Any] = {}
        known = [f.name for f in fields(cls)]
        for word, value in settings.items():
            if word not in known:
                raise did_you_mean("augmentation", word, known)
            words[word] = tuple(value) if isinstance(value, list | tuple) else value
        for word, least in (("noise", -40.0), ("speed", 0.5), ("pitch", -12.0)):
            span = words.get(word)
            if span is None:
                continue
            numbers = isinstance(span, tuple) and all(isinstance(v, int | float) for v in span)
            if not numbers or len(span) != 2 or not least <= span[0] <= span[1] <= 80:
                raise FeatureError(
                    f"augment: {word} is {span!r}, expected [least, most] from {least:g} up",
                    code="bad-parameter",
                )
        return cls(**words)

    @property
    def identity(self) -> str:
        """Every setting, as text."""
        return repr(self)

    def __call__(self, x: Floats, sr: int, *, speaker: str = "") -> Floats:  # noqa: ARG002
        """Make this version of a clip.

        Parameters
        ----------
        x : (n,) samples.
        sr : Hz.
        speaker : of the clip; does not matter.

        Returns
        -------
        (m,) samples; m is n unless the speed changes.
        """
        if self.speed is None and self.pitch is None and self.noise is None:
            return x
        content = hashlib.sha256(np.ascontiguousarray(x, dtype=np.float64).tobytes())
        rng = np.random.default_rng([self.number, *content.digest()[:16]])
        y = np.asarray(x, dtype=np.float64)
        if self.speed is not None:
            y = _faster(y, sr, rng.uniform(*self.speed))
        if self.pitch is not None:
            factor = 2 ** (rng.uniform(*self.pitch) / 12)
            y = stretched(_faster(y, sr, factor), sr, len(y))
        if self.noise is not None:
            y = y + _noise(y, rng.uniform(*self.noise), self.pink, rng)
        return y


def _faster(x: Floats, sr: int, factor: float) -> Floats:
    """Play `factor` times as fast: (about n / factor,)."""
    import soxr

    return np.asarray(soxr.resample(x, sr * factor, sr, quality="HQ"), dtype=np.float64)


def hiss(n: int, rng: np.random.Generator, *, pink: bool = False) -> Floats:
    """(n,) white noise of power 1, or noise whose power falls with 1/f (10 dB per decade)."""
    noise = rng.standard_normal(n)
    if pink and n:
        spectrum = scipy.fft.rfft(noise)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        noise = scipy.fft.irfft(spectrum, n)
    return np.asarray(noise)


def _noise(x: Floats, snr: float, pink: bool, rng: np.random.Generator) -> Floats:
    """Noise whose power is `snr` dB below that of x; none for a silent clip."""
    noise = hiss(len(x), rng, pink=pink)
    power = float(np.var(x))
    return np.asarray(noise * np.sqrt(power / 10 ** (snr / 10) / np.mean(noise**2)))


def stretched(x: Floats, sr: int, n: int) -> Floats:
    """Change the duration and not the pitch, by overlapping segments that fit each other (WSOLA).

    Output segments lie half a segment apart; each is taken from near its proportional place in the
    input, there where it continues the segment before best (the highest normalised correlation).

    Parameters
    ----------
    x : (m,) samples, longer than a segment (else x is cut or filled with zeros).
    n : samples wanted.

    Returns
    -------
    (n,) samples.
    """
    size = 2 * round(LENGTH * sr / 2)
    half, reach = size // 2, round(TOLERANCE * sr)
    if len(x) <= size or n <= size:
        return np.pad(x[:n], (0, max(0, n - len(x))))
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(x, (half + reach, size + 2 * half + reach))
    y, weight = np.zeros(n + 2 * size), np.zeros(n + 2 * size)
    wanted = None  # what would follow the segment before
    for begin in range(0, n + half, half):
        centre = half + reach + round((begin - half) * len(x) / n)
        centre = min(max(centre, reach), len(padded) - size - half - reach)
        shift = 0
        if wanted is not None:
            around = padded[centre - reach : centre + reach + size]
            products = np.correlate(around, wanted, "valid")
            energy = np.convolve(around**2, np.ones(size), "valid")
            shift = int(np.argmax(products / np.sqrt(np.maximum(energy, 1e-12)))) - reach
        at = centre + shift
        y[begin : begin + size] += window * padded[at : at + size]
        weight[begin : begin + size] += window
        wanted = padded[at + half : at + half + size]
    return np.asarray((y / np.maximum(weight, 1e-3))[half : half + n])
