"""Families of columns: what is left out, permuted and added up together when a model is explained.

A set of features has hundreds of columns, and many of them say the same: asking what one of them is
worth says next to nothing, for its neighbours stand in for it. So the question is put to families:
what is the pitch worth, what the formants? Every column of every set belongs to exactly one.

Conventions
-----------
A family is told from a column's name alone: ``f0_hz_delta__p95`` is what the descriptor `f0` gives,
its deltas and its functionals. A descriptor that the table below does not name is a family of its
own, so a new one needs no line here. openSMILE's names are read by the patterns at the end, an
encoder's states are the family ``encoder``. Of a column that nobody knows (of the user's own
table), the family is what stands before ``__``.

Contents
--------
`FAMILIES`  : family -> descriptors.
`family_of` : the family of a column.
`families`  : family -> places of its columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from serfeat.lld import DESCRIPTORS

__all__ = ["FAMILIES", "families", "family_of", "family_of_descriptor"]

FAMILIES: dict[str, tuple[str, ...]] = {
    "f0": ("f0", "f0_two_pass", "f0_cc", "f0_shs", "f0_yin", "pitch_spline"),
    "energy": ("energy", "intensity", "loudness", "loudness_20ms", "sound_level"),
    "rhythm": ("duration", "speech_rate", "loudness_peaks"),
    "zcr": ("zcr",),
    "formants": ("formants", "formants_by_sex", "formants_tracked", "formants_burg"),
    "mfcc": ("mfcc", "mfcc39", "mfcc_20ms", "mfcc_htk", "mfcc_kaldi", "mfcc_librosa"),
    "lpc": ("lpc", "lpc_covariance", "lpc_burg", "lpcc", "lsf"),
    "plp": ("plp", "plp_hermansky", "rasta_plp", "plp_erb", "plp_erb_sqrt", "plp_erb_log"),
    "teo": ("teo", "desa", "teo_cb", "teo_fm_var", "teo_mfcc"),
    "hnr": ("hnr", "hnr_ac"),
    "perturbation": ("jitter", "shimmer", "cycles"),
    "cpp": ("cpp", "cpps"),
    "spectral": ("spectral", "spectral_20ms"),
    "harmonics": ("harmonics",),
}

_FAMILY_OF_DESCRIPTOR = {d: family for family, members in FAMILIES.items() for d in members}

# Beginnings of openSMILE's names (eGeMAPS, ComParE 2016, IS09, IS13); the first that fits counts.
# The level of a formant against F0 is a matter of harmonics, as in the descriptor `harmonics`.
_OPENSMILE = (
    (r"F0|voicingFinal|voiceProb", "f0"),
    (r"loudnessPeaks|.*VoicedSegment|.*UnvoicedSegment", "rhythm"),
    (r"loudness|equivalentSoundLevel|pcm_RMSenergy|audspec(Rasta)?_lengthL1norm", "energy"),
    (r"pcm_zcr", "zcr"),
    (r"logRelF0|F\d+amplitude", "harmonics"),
    (r"F\d+(frequency|bandwidth)", "formants"),
    (r"mfcc|pcm_fftMag_mfcc", "mfcc"),
    (r"jitter|shimmer", "perturbation"),
    (r"(log)?HNR", "hnr"),
    (r"audSpec_Rfilt", "plp"),  # the RASTA-filtered auditory spectrum, of which RASTA-PLP is made
    (r"pcm_fftMag|spectralFlux|alphaRatio|hammarberg|slope", "spectral"),
)


@cache
def _family_of_column() -> dict[str, str]:
    """The family of every column that a descriptor gives."""
    return {c: family_of_descriptor(d.name) for d in DESCRIPTORS.values() for c in d.columns}


def family_of_descriptor(name: str) -> str:
    """Name the family of a descriptor; its own name where the table has none."""
    return _FAMILY_OF_DESCRIPTOR.get(name, name)


def family_of(column: str) -> str:
    """Name the family of a column at either level: a key of `FAMILIES`, or a name of its own."""
    stem = column.partition("__")[0]
    known = _family_of_column()
    for name in (stem, re.sub(r"_delta\d*$", "", stem)):
        if name in known:
            return known[name]
    if re.match(r"enc\d*_\d+$", stem):
        return "encoder"
    for pattern, family in _OPENSMILE:
        if re.match(pattern, column, re.IGNORECASE):
            return family
    return stem


def families(columns: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Sort columns into families.

    Parameters
    ----------
    columns : names, as `serfeat.features.FeatureSet.columns` gives them at a level.

    Returns
    -------
    Family -> places of its columns, families in the order of their first column; every place is in
    exactly one.
    """
    found: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        found.setdefault(family_of(column), []).append(place)
    return {family: tuple(places) for family, places in found.items()}
