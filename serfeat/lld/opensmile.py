"""openSMILE's standard feature sets, as a reference back end: the only file that imports it.

openSMILE comes under audEERING's research licence, not an open-source one (the PyPI classifier of
the wrapper says MIT; the engine inside is not): non-commercial use only, and products may not even
use models trained on its features. So nothing runs before the user has agreed, and every table made
here carries the tag `LICENCE`.

What the wrapper does to samples is repaired before the call. It multiplies by 32768 and casts to
16-bit integers without a limit: a sample at +1.0 becomes -32768, which moves most of a clipped
recording's features. Here samples are first limited to [-1, 32767/32768]. Its cache (keyed by file
name only) is never used: arrays go in, arrays come out.

Rows at level ``"lld"`` are openSMILE's own frames (every 10 ms, aligned to its windows), not
serfeat's grid (for that see `serfeat.lld._opensmile_grid`). openSMILE writes 0 where a value is
undefined (F0 of an unvoiced frame), and these zeros are kept: its functionals are defined on them.

Contents
--------
`functionals`, `lld`       : (names, values) of one clip.
`compute`, `columns`,
`unit_of`                  : the same for `serfeat.features`.
`EXTERNAL_SETS`            : the sets.
`LICENCE`, `accept_licence`: the licence tag, and the user's consent.

Sources
-------
[1] F. Eyben, M. Wöllmer, B. Schuller, "openSMILE: the Munich versatile and fast open-source audio
    feature extractor", ACM Multimedia 2010.
[2] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS)", IEEE Trans.
    Affective Computing 7(2), 2016.
[3] B. Schuller et al., "The INTERSPEECH 2016 computational paralinguistics challenge", 2016.
[4] B. Schuller et al., "The INTERSPEECH 2009 emotion challenge", 2009.
[5] B. Schuller et al., "The INTERSPEECH 2013 computational paralinguistics challenge", 2013.
"""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import AudioError, FeatureError, MissingExtraError, did_you_mean
from serfeat.types import Floats

__all__ = [
    "CONSENT",
    "EXTERNAL_SETS",
    "FRAMES",
    "LICENCE",
    "NOTICE",
    "ExternalSet",
    "accept_licence",
    "columns",
    "compute",
    "functionals",
    "lld",
    "require_consent",
    "unit_of",
]

LICENCE = "openSMILE-research"
CONSENT = "SERFEAT_ACCEPT_OPENSMILE_LICENCE"
NOTICE = (
    "openSMILE is under audEERING's research licence: private, research and teaching use only; no "
    "use in products, directly or through models and features made with it"
)

Level = Literal["lld", "functionals"]


class ExternalSet(NamedTuple):
    """A feature set of openSMILE.

    Attributes
    ----------
    opensmile_name : its name in ``opensmile.FeatureSet``, or, with a slash, its configuration among
        those that openSMILE installs, or, with a suffix, one of ours.
    n_functionals, n_lld : columns at each level.
    """

    opensmile_name: str
    n_functionals: int
    n_lld: int


EXTERNAL_SETS: dict[str, ExternalSet] = {
    "eGeMAPSv02": ExternalSet("eGeMAPSv02", 88, 25),
    "GeMAPSv01b": ExternalSet("GeMAPSv01b", 62, 18),
    "ComParE_2016": ExternalSet("ComParE_2016", 6373, 65),
    "emobase": ExternalSet("emobase", 988, 26),
    "IS09_emotion": ExternalSet("is09-13/IS09_emotion", 384, 16),
    "IS13_ComParE": ExternalSet("is09-13/IS13_ComParE", 6373, 65),
}
# Frame-level components with the settings of our descriptors; it has no functionals.
FRAMES = "frames"
_OWN = {FRAMES: ExternalSet("opensmile_frames.conf", 0, 41)}

# Units that the names of the (e)GeMAPS sets imply, by the beginning of the name [2]. The names of
# the other sets imply none: their functionals include positions, errors and moments.
_UNITS = {
    "F0semitone": "semitone re 27.5 Hz",
    "jitterLocal": "1",
    "shimmerLocaldB": "dB",
    "HNRdBACF": "dB",
    "logRelF0-H1": "dB",
    "alphaRatio": "dB",
    "hammarbergIndex": "dB",
    "slope": "dB/Hz",
    "F1frequency": "Hz",
    "F2frequency": "Hz",
    "F3frequency": "Hz",
    "F1bandwidth": "Hz",
    "F2bandwidth": "Hz",
    "F3bandwidth": "Hz",
    "F1amplitude": "dB",
    "F2amplitude": "dB",
    "F3amplitude": "dB",
    "mfcc": "1",
}
_WHOLE_CLIP = {
    "equivalentSoundLevel_dBp": "dB",
    "loudnessPeaksPerSec": "1/s",
    "VoicedSegmentsPerSec": "1/s",
    "MeanVoicedSegmentLengthSec": "s",
    "StddevVoicedSegmentLengthSec": "s",
    "MeanUnvoicedSegmentLength": "s",
    "StddevUnvoicedSegmentLength": "s",
}
# Functionals that are not in the unit of their column.
_RATIOS = ("stddevNorm",)
_PER_SECOND = ("RisingSlope", "FallingSlope")


def accept_licence() -> None:
    """Record that the user has agreed to openSMILE's licence, for this and its worker processes."""
    os.environ[CONSENT] = "1"


def functionals(
    x: ArrayLike, sr: int, feature_set: str = "eGeMAPSv02"
) -> tuple[tuple[str, ...], Floats]:
    """Compute one row of statistics of a clip.

    Parameters
    ----------
    x : (n_samples,) mono in [-1, 1]; limited to what 16 bits hold.
    sr : Hz; openSMILE does not resample.
    feature_set : a key of `EXTERNAL_SETS`.

    Returns
    -------
    names : openSMILE's own.
    values : (len(names),); all NaN where the clip is too short for openSMILE.

    Raises
    ------
    FeatureError : no consent to the licence.
    MissingExtraError : openSMILE is not installed.
    UnknownNameError : a set that is not in the table.
    AudioError : samples that are not a finite mono signal.
    """
    return columns(feature_set, "functionals"), compute(x, sr, feature_set, "functionals")[0]


def lld(x: ArrayLike, sr: int, feature_set: str = "eGeMAPSv02") -> tuple[tuple[str, ...], Floats]:
    """Compute one row of low-level descriptors per frame of openSMILE's.

    Parameters and errors are those of `functionals`.

    Returns
    -------
    names : openSMILE's own.
    values : (n_frames, len(names)), a frame every 10 ms; one row of NaN for a clip that is too
        short.
    """
    return columns(feature_set, "lld"), compute(x, sr, feature_set, "lld")


def compute(x: ArrayLike, sr: int, feature_set: str, level: Level) -> Floats:
    """Compute a set on a clip: `functionals` and `lld` without the names.

    Returns
    -------
    (rows, columns) float64; one row for ``"functionals"``.
    """
    require_consent()
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1 or not len(signal) or not np.isfinite(signal).all():
        raise AudioError(
            f"openSMILE was given an array of shape {signal.shape}, expected (n_samples,) with "
            "finite samples",
            code="bad-signal",
        )
    limited = np.clip(signal, -1.0, 32767 / 32768)
    smile = _smile(feature_set, level, os.getpid())
    with warnings.catch_warnings():
        # "Segment too short, filling with NaN": which is what undefined means here too.
        warnings.filterwarnings("ignore", message="Segment too short")
        values = np.asarray(smile(limited[None, :], sr), dtype=np.float64)[0].T
    return np.where(np.isfinite(values), values, np.nan)


def columns(feature_set: str, level: Level) -> tuple[str, ...]:
    """Column names of a set, in openSMILE's words and order."""
    return tuple(_smile(feature_set, level, os.getpid()).feature_names)


def unit_of(column: str) -> str:
    """Unit of a column as far as its name tells; an empty text where it does not."""
    if column in _WHOLE_CLIP or "_sma3" not in column:
        return _WHOLE_CLIP.get(column, "")
    if any(word in column for word in _RATIOS):
        return "1"
    for beginning, unit in _UNITS.items():
        if column.startswith(beginning):
            return f"{unit}/s" if any(word in column for word in _PER_SECOND) else unit
    return ""


def require_consent() -> None:
    """Refuse to go on before the user has agreed to openSMILE's licence.

    Raises
    ------
    FeatureError : code ``licence-not-accepted``.
    """
    if os.environ.get(CONSENT) != "1":
        raise FeatureError(
            NOTICE,
            where="openSMILE",
            code="licence-not-accepted",
            fix=f"if you agree, set {CONSENT}=1 or pass --accept-opensmile-licence",
        )


@lru_cache(maxsize=16)
def _smile(feature_set: str, level: Level, process: int) -> Any:  # noqa: ARG001
    """One extractor per set, level and process (a forked worker must not share its parent's)."""
    known = EXTERNAL_SETS | _OWN
    if feature_set not in known:
        raise did_you_mean("openSMILE set", feature_set, EXTERNAL_SETS)
    levels = {"lld": "LowLevelDescriptors", "functionals": "Functionals"}
    if level not in levels:
        raise did_you_mean("level", level, levels)
    try:
        import opensmile
    except ImportError as error:
        raise MissingExtraError.of("opensmile", "opensmile", f"the set {feature_set}") from error
    name = known[feature_set].opensmile_name
    chosen: Any
    if "." in name:
        chosen = str(Path(__file__).with_name(name))
    elif "/" in name:
        chosen = str(Path(opensmile.__file__).parent / "core" / "config" / f"{name}.conf")
    else:
        chosen = opensmile.FeatureSet[name]
    return opensmile.Smile(
        feature_set=chosen, feature_level=opensmile.FeatureLevel[levels[level]], loglevel=0
    )
