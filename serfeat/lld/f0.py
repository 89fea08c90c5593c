"""F0: the rate of vocal-fold vibration.

Conventions
-----------
Hz, NaN where unvoiced. F0 is the inverse of the glottal period, not "the lowest frequency in the
signal": a telephone line that removes the first harmonic leaves F0 where it was. Semitones are
counted from 27.5 Hz (the piano's lowest A, as in eGeMAPS): differences of semitones are what
listeners hear, and they compare across speakers.

The range that is searched decides most octave errors. 75 to 600 Hz holds nearly every voice; a
range fitted to the voice at hand (``bounds="two-pass"``) leaves out what this speaker cannot mean.

Contents
--------
`f0`          : Boersma's autocorrelation method with a Viterbi search, the default.
`voice_range` : floor and ceiling for one voice, from the quartiles of a first pass.
`semitones`   : Hz to semitones.   `DESCRIPTORS` : "f0", "f0_two_pass".
Other methods: `serfeat.lld.f0_cc` (cross-correlation), `f0_shs` (subharmonics), `f0_yin`.

Sources
-------
P. Boersma, IFA Proceedings 17 (1993) 97-110. F. Eyben et al., "The Geneva Minimalistic Acoustic
Parameter Set", IEEE T-AFFC 7 (2016) 190-202: the semitones. C. De Looze, D. Hirst, "Detecting
changes in key and range for the automatic modelling and coding of intonation", Speech Prosody
2008, and D. Hirst's Praat scripts: the two passes and their factors.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import pitch
from serfeat.types import Floats

__all__ = ["DESCRIPTORS", "Bounds", "f0", "semitones", "voice_range"]

Bounds = Literal["fixed", "two-pass"]

FIRST_PASS = (60.0, 700.0)  # Hz, wide enough for a bass and for a shout
LIMITS = (50.0, 700.0)  # Hz, which the fitted range never leaves
USUAL = (75.0, 600.0)  # Hz, the range without a voice to fit it to


def f0(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    floor: float = 75.0,
    ceiling: float = 600.0,
    silence: float = 0.03,
    voicing: float = 0.45,
    octave_cost: float = 0.01,
    octave_jump: float = 0.35,
    voiced_unvoiced: float = 0.14,
    bounds: Bounds = "fixed",
) -> Floats:
    """Find the F0 contour of a signal by autocorrelation and dynamic programming.

    Parameters
    ----------
    x : (n,) mono signal.
    sr : Hz.
    hop : s between frames.
    floor, ceiling : Hz, the range of F0; not used with ``bounds="two-pass"``.
    silence, voicing, octave_cost, octave_jump, voiced_unvoiced : see `serfeat.signal.pitch.pitch`.
    bounds : ``"fixed"``, or ``"two-pass"`` to take the range from `voice_range`.

    Returns
    -------
    (n_frames,) Hz; NaN where unvoiced, and everywhere in a clip shorter than ``3 / floor``.

    Raises
    ------
    AudioError, FeatureError : see `ShortTime` and `pitch`.

    Examples
    --------
    >>> sr = 16000
    >>> t = np.arange(sr) / sr
    >>> voice = sum(np.cos(2 * np.pi * 200 * h * t) / h for h in range(1, 20))
    >>> float(np.round(np.nanmedian(f0(voice, sr)), 3))
    200.0
    """
    st = ShortTime(x, sr, hop)
    floor, ceiling = _range(st, bounds, floor, ceiling)
    contour = pitch(
        st,
        floor=floor,
        ceiling=ceiling,
        silence=silence,
        voicing=voicing,
        octave_cost=octave_cost,
        octave_jump=octave_jump,
        voiced_unvoiced=voiced_unvoiced,
    )
    return contour.f0.copy()


def voice_range(
    st: ShortTime, *, floor_factor: float = 0.75, ceiling_factor: float = 2.5
) -> tuple[float, float]:
    """Fit the range of F0 to the voice in a clip, from a first pass over 60 to 700 Hz.

    ``floor = 0.75 q25`` and ``ceiling = 2.5 q75``, with the quartiles of the first pass. Quartiles
    are robust: a few octave errors, at the ends of the distribution, do not move them. 1.5 is the
    published factor for read speech, and 2.5 the one for expressive speech, which is the rule here.

    Parameters
    ----------
    st : the clip on its grid.
    floor_factor, ceiling_factor : multiples of the quartiles; below 1 and above 1.

    Returns
    -------
    floor and ceiling in Hz, inside of 50 to 700 Hz (and of a quarter of the sample rate); 75 and
    600 Hz where the first pass finds no voice.

    Raises
    ------
    FeatureError : the factors do not enclose the quartiles, or the sample rate is below 400 Hz.
    """
    if not 0 < floor_factor < 1 < ceiling_factor:
        raise FeatureError(
            f"floor_factor {floor_factor} and ceiling_factor {ceiling_factor}; "
            "expected 0 < floor_factor < 1 < ceiling_factor",
            where="voice_range",
            code="bad-range",
            fix="0.75 and 1.5 for read speech, 0.75 and 2.5 for expressive speech",
        )
    highest = 0.25 * st.sr
    first = pitch(st, floor=FIRST_PASS[0], ceiling=min(FIRST_PASS[1], highest)).f0
    voiced = first[np.isfinite(first)]
    if not len(voiced):
        return USUAL[0], min(USUAL[1], highest)
    low, high = np.quantile(voiced, [0.25, 0.75])
    floor = max(LIMITS[0], floor_factor * float(low))
    return floor, min(LIMITS[1], highest, ceiling_factor * float(high))


def _range(st: ShortTime, bounds: str, floor: float, ceiling: float) -> tuple[float, float]:
    """Floor and ceiling in Hz: those given, or those that `voice_range` finds."""
    if bounds == "fixed":
        return floor, ceiling
    if bounds == "two-pass":
        return voice_range(st)
    raise FeatureError(
        f"unknown bounds {bounds!r}",
        where="f0",
        code="unknown-name",
        fix='"fixed" or "two-pass"',
    )


def semitones(f0_hz: ArrayLike, reference: float = 27.5) -> Floats:
    """Express frequencies in semitones above a reference, ``12 log2(f / reference)``.

    Parameters
    ----------
    f0_hz : (...,) Hz; NaN, zero and negative values have no logarithm and give NaN.
    reference : Hz.

    Returns
    -------
    (...,) semitones.

    >>> semitones([27.5, 55.0, 440.0]).tolist()
    [0.0, 12.0, 48.0]
    """
    f = np.asarray(f0_hz, dtype=np.float64)
    return np.asarray(12 * np.log2(np.where(f > 0, f, np.nan) / reference), dtype=np.float64)


def _f0(st: ShortTime, *, floor: float = 75.0, ceiling: float = 600.0) -> Floats:
    """Compute the descriptor "f0".

    Returns
    -------
    (n_frames, 3): Hz, semitones re 27.5 Hz, normalised autocorrelation at the period.
    """
    contour = pitch(st, floor=floor, ceiling=ceiling)
    return np.column_stack([contour.f0, semitones(contour.f0), contour.strength])


def _f0_two_pass(st: ShortTime) -> Floats:
    """Compute the descriptor "f0_two_pass": (n_frames,) Hz."""
    floor, ceiling = voice_range(st)
    return pitch(st, floor=floor, ceiling=ceiling).f0


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="f0",
        columns=("f0_hz", "f0_semitones", "voicing_strength"),
        unit=("Hz", "semitones re 27.5 Hz", "1"),
        summary="rate of vocal-fold vibration, and how periodic the frame is",
        source="Boersma 1993 (autocorrelation, Viterbi); semitones as in eGeMAPS (Eyben 2016)",
        compute=_f0,
        undefined="unvoiced frames",
        version=3,
        oracle="Praat, To Pitch (ac), on EMO-DB: 0.1 cent in the median, voicing equal in 99.8 % "
        "of frames; contours whose truth is known: 0.1 to 1.1 cent rms; semitones in closed "
        "form: 1e-12",
    ),
    Descriptor(
        name="f0_two_pass",
        columns=("f0_two_pass_hz",),
        unit="Hz",
        summary="rate of vocal-fold vibration, looked for in a range that a first pass has fitted "
        "to the voice: 0.75 and 2.5 times its quartiles",
        source="Boersma 1993; the range: De Looze & Hirst 2008, the ceiling for expressive speech",
        compute=_f0_two_pass,
        undefined="unvoiced frames",
        oracle="f0 in the range of the voice: the same numbers; on EMO-DB no more octave jumps "
        "than f0",
    ),
)
