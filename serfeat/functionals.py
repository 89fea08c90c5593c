"""Statistics over time that turn a contour into one number, aware of undefined frames.

Conventions
-----------
* A frame whose value is NaN does not take part (F0 in an unvoiced frame is undefined, not 0); a
  statistic with too few frames left is NaN, which is imputed inside the training fold, not here.
* Moments are those of the population (1/N), as in openSMILE; percentiles interpolate linearly
  between order statistics at ``p (N - 1)``, as NumPy does by default.
* What compares neighbours (steps, crossings) leaves out pairs with an undefined frame. Rates are
  per second of defined frames or pairs, except those of runs, which are per second of the clip.
* Places in time are shares of the clip: 0 is its first frame, 1 its last.
* The unit of a result is written with ``{u}`` for the unit of the column: ``{u}/s``.
* A column's functional is named ``<column>__<functional>``: ``f0_hz__p50``.

Voiced and unvoiced versions
----------------------------
Any functional can be taken over the voiced or the unvoiced frames only, whatever the column: append
``_voiced`` or ``_unvoiced`` to its name (``mfcc_1__mean_voiced``) and give `apply` the voicing of
the frames. The other frames count as undefined: ``run_mean_voiced`` is the mean length of the
voiced runs in which the column is defined. A frame of a delta is voiced if the frame itself is.

openSMILE's conventions
-----------------------
Its ``stddevNorm`` is `cv`; its ``pctlrange0-2`` with percentiles 20 and 80 is `range_p20_p80`. It
writes 0 for undefined; its non-zero functionals leave zeros out, as ours do NaN, and its others
take them as values: for these, put `to_opensmile_zeros` before `apply`. Where time matters, its
non-zero functionals also close the gaps: apply ours to ``values[np.isfinite(values)]`` instead.

`FUNCTIONALS` is the table; a new one is one function and one line. All of them read a `Contours`,
which sorts and centres once for all.

Sources
-------
[1] F. Eyben, "Real-time Speech and Music Classification by Large Audio Feature Space Extraction",
    Springer 2016 (the families: moments, percentiles, times, regression, peaks, crossings, onsets).
[2] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans.
    Affective Computing 7(2), 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError, did_you_mean
from serfeat.signal.contours import Contours
from serfeat.signal.sums import ratio
from serfeat.types import Bools, Floats

__all__ = [
    "DEFAULT_FUNCTIONALS",
    "FUNCTIONALS",
    "Contours",
    "Functional",
    "apply",
    "functional",
    "to_opensmile_zeros",
]


@dataclass(frozen=True)
class Functional:
    """A statistic over time.

    Parameters
    ----------
    name : the word after ``__`` in a column's name.
    summary : one line of meaning.
    unit : of the result; ``{u}`` stands for the column's own unit.
    compute : ``compute(contours) -> (k,)``.
    frames : which frames take part: ``"all"`` that are defined, ``"voiced"`` or ``"unvoiced"``.
    """

    name: str
    summary: str
    unit: str
    compute: Callable[[Contours], Floats]
    frames: str = "all"


F = Functional

_VALUES = (
    F("mean", "arithmetic mean", "{u}", lambda c: c.mean),
    F("std", "standard deviation (1/N)", "{u}", lambda c: c.std),
    F("cv", "std / mean, with the mean's sign; NaN where that is about 0", "1", lambda c: c.cv),
    F("min", "smallest value", "{u}", lambda c: c.low),
    F("max", "largest value", "{u}", lambda c: c.high),
    F("range", "max - min", "{u}", lambda c: c.high - c.low),
    F("p05", "5th percentile", "{u}", lambda c: c.percentiles[5]),
    F("p20", "20th percentile", "{u}", lambda c: c.percentiles[20]),
    F("p25", "25th percentile", "{u}", lambda c: c.percentiles[25]),
    F("p50", "median", "{u}", lambda c: c.percentiles[50]),
    F("p75", "75th percentile", "{u}", lambda c: c.percentiles[75]),
    F("p80", "80th percentile", "{u}", lambda c: c.percentiles[80]),
    F("p95", "95th percentile", "{u}", lambda c: c.percentiles[95]),
    F("range_p20_p80", "p80 - p20", "{u}", lambda c: c.percentiles[80] - c.percentiles[20]),
    F("iqr", "p75 - p25", "{u}", lambda c: c.percentiles[75] - c.percentiles[25]),
    F("skewness", "third standardised moment", "1", lambda c: c.standardised_moment(3)),
    F("kurtosis", "fourth standardised moment", "1", lambda c: c.standardised_moment(4)),
    F("above_mean", "share of frames above the mean", "1", lambda c: c.share_above(c.mean)),
    F(
        "above_25",
        "the same above min + 25 % of range",
        "1",
        lambda c: c.share_above(c.level(0.25)),
    ),
    F(
        "above_50",
        "the same above min + 50 % of range",
        "1",
        lambda c: c.share_above(c.level(0.50)),
    ),
    F(
        "above_75",
        "the same above min + 75 % of range",
        "1",
        lambda c: c.share_above(c.level(0.75)),
    ),
    F(
        "above_90",
        "the same above min + 90 % of range",
        "1",
        lambda c: c.share_above(c.level(0.90)),
    ),
)

# The peaks and valleys stand out by a tenth of the range: see `serfeat.signal.turns`.
_TIMES = (
    F("slope", "slope of the least-squares line", "{u}/s", lambda c: c.slope),
    F("line_error", "rms deviation from the least-squares line", "{u}", lambda c: c.line_error),
    F("line_r2", "share of the variance that the line explains", "1", lambda c: c.line_r2),
    F("centroid", "place of the centre of gravity of what exceeds min", "1", lambda c: c.centroid),
    F("min_place", "place of the first minimum", "1", lambda c: c.place(c.low)),
    F("max_place", "place of the first maximum", "1", lambda c: c.place(c.high)),
    F("rise", "mean rate of rising steps; 0 without any", "{u}/s", lambda c: c.mean_step(1)),
    F(
        "fall",
        "mean rate of falling steps (< 0); 0 without any",
        "{u}/s",
        lambda c: c.mean_step(-1),
    ),
    F("mean_abs_delta", "mean absolute rate of the steps", "{u}/s", lambda c: c.mean_step(0)),
    F(
        "zero_crossing_rate",
        "passages through 0, both ways",
        "1/s",
        lambda c: c.passages(0 * c.low),
    ),
    F("mean_crossing_rate", "passages through the mean", "1/s", lambda c: c.passages(c.mean)),
    F("onset_rate", "upward passages through mean + std", "1/s", lambda c: c.onsets),
    F("rising_slope_mean", "steepness from valley to peak", "{u}/s", lambda c: c.turns.rising_mean),
    F("rising_slope_std", "its standard deviation", "{u}/s", lambda c: c.turns.rising_std),
    F(
        "falling_slope_mean",
        "the same, peak to valley (> 0)",
        "{u}/s",
        lambda c: c.turns.falling_mean,
    ),
    F("falling_slope_std", "its standard deviation", "{u}/s", lambda c: c.turns.falling_std),
    F("peak_rate", "peaks", "1/s", lambda c: ratio(c.turns.peaks, c.seconds)),
    F("peak_distance", "mean distance of neighbouring peaks", "s", lambda c: c.turns.distance),
)

_FRAMES = (
    F("defined", "share of frames that have a value", "1", lambda c: c.count / len(c.values)),
    F("run_rate", "runs of such frames, per second of the clip", "1/s", lambda c: c.runs.rate),
    F("run_mean", "mean length of a run", "s", lambda c: c.runs.mean),
    F("run_std", "its standard deviation", "s", lambda c: c.runs.std),
    F("gap_mean", "mean length of the gaps between, before and after", "s", lambda c: c.gaps.mean),
    F("gap_std", "its standard deviation", "s", lambda c: c.gaps.std),
)

FUNCTIONALS: dict[str, Functional] = {f.name: f for f in (*_VALUES, *_TIMES, *_FRAMES)}

DEFAULT_FUNCTIONALS = ("mean", "std", "p05", "p50", "p95", "skewness", "kurtosis", "slope")


def functional(name: str) -> Functional:
    """Look a functional up by name, with or without ``_voiced`` or ``_unvoiced`` at its end.

    Raises
    ------
    UnknownNameError : the rest of the name is not in `FUNCTIONALS`; the message suggests one.
    """
    if name in FUNCTIONALS:
        return FUNCTIONALS[name]
    for frames in ("unvoiced", "voiced"):
        base = name.removesuffix(f"_{frames}")
        if base != name and base in FUNCTIONALS:
            f = FUNCTIONALS[base]
            return replace(
                f, name=name, summary=f"{f.summary}; {frames} frames only", frames=frames
            )
    raise did_you_mean("functional", name, _known(name))


def apply(
    values: ArrayLike,
    hop: float,
    names: Sequence[str] = DEFAULT_FUNCTIONALS,
    *,
    voiced: ArrayLike | None = None,
) -> Floats:
    """Compute functionals of every column.

    Parameters
    ----------
    values : (n, k), NaN where undefined.
    hop : s between frames.
    names : (m,) keys of `FUNCTIONALS`, also with ``_voiced`` or ``_unvoiced`` appended.
    voiced : (n,) True where the frame is voiced; needed for these two.

    Returns
    -------
    (k * m,) column by column: all functionals of the first column, then of the second, ...

    Raises
    ------
    UnknownNameError : a name that is not in `FUNCTIONALS`.
    FeatureError : values that are not (n, k), or a voiced functional without the voicing of every
        frame.
    """
    chosen = [functional(name) for name in names]
    everything = Contours(values, hop)
    contours = {"all": everything}
    for frames in dict.fromkeys(f.frames for f in chosen if f.frames != "all"):
        mask = _mask(voiced, np.shape(values)[0], (f.name for f in chosen if f.frames == frames))
        kept = mask if frames == "voiced" else ~mask
        masked = np.where(kept[:, None], np.asarray(values, dtype=np.float64), np.nan)
        contours[frames] = Contours(masked, hop)
    out = np.empty((everything.values.shape[1], len(chosen)))
    for i, f in enumerate(chosen):
        out[:, i] = f.compute(contours[f.frames])
    return out.reshape(-1)


def to_opensmile_zeros(values: ArrayLike) -> Floats:
    """Write undefined values as 0, as openSMILE does.

    Parameters
    ----------
    values : of any shape, NaN where undefined.

    Returns
    -------
    A copy, for functionals that are defined on the zeros too (such as the moments that openSMILE
    computes with ``nonZeroFuncts = 0``). What is 0 by right can no longer be told apart.
    """
    x = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(x), x, 0.0)


def _mask(voiced: ArrayLike | None, n: int, names: Iterable[str]) -> Bools:
    """The voicing of every frame, checked."""
    if voiced is None:
        raise FeatureError(
            f"{', '.join(names)}: no voicing was given",
            code="no-voicing",
            fix="give apply the argument voiced, a truth value per frame",
        )
    mask = np.asarray(voiced, dtype=bool)
    if mask.shape != (n,):
        raise FeatureError(
            f"voicing of shape {mask.shape}, expected ({n},), one truth value per frame",
            code="bad-shape",
        )
    return mask


def _known(name: str) -> list[str]:
    """The names to suggest from: those with the suffix of `name`, where it has one."""
    for suffix in ("_unvoiced", "_voiced"):
        if name.endswith(suffix):
            return [f"{known}{suffix}" for known in FUNCTIONALS]
    return list(FUNCTIONALS)
