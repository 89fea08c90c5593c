"""The table of backends: other programs' versions of our descriptors, on our grid.

A backend is a program that computes some of our families too. Its descriptors have our names, so
that a feature set can take them in place of ours; their columns have our names where they are the
same quantity, and names of their own where they are not. Families that a backend lacks are ours;
of a family that it has, it may have fewer columns.

========= =========================================== ============================ ==============
backend   families                                    licence of its numbers       extra
========= =========================================== ============================ ==============
praat     f0 f0_cc formants hnr intensity jitter      GPL-3.0-or-later (Praat)     praat
          shimmer
librosa   f0 (pYIN, slow) zcr energy spectral         ISC (librosa)                librosa
          mfcc39 lpc
opensmile f0 f0_shs formants hnr loudness jitter      openSMILE-research           opensmile
          shimmer zcr energy mfcc plp lpc
========= =========================================== ============================ ==============

Contents
--------
`BACKENDS`      : backend -> name of a descriptor -> `Descriptor`.
`DISTRIBUTIONS` : backend -> the package whose version its numbers depend on.
`require`       : refuse now what would otherwise be every clip's failure.
"""

from __future__ import annotations

from collections.abc import Callable

from serfeat.errors import did_you_mean
from serfeat.lld import _librosa, _opensmile_grid, _praat, _praat_grid, opensmile
from serfeat.shorttime import Descriptor

__all__ = ["BACKENDS", "DISTRIBUTIONS", "require"]

BACKENDS: dict[str, dict[str, Descriptor]] = {
    backend: {d.name: d for d in descriptors}
    for backend, descriptors in (
        ("praat", _praat_grid.DESCRIPTORS),
        ("librosa", _librosa.DESCRIPTORS),
        ("opensmile", _opensmile_grid.DESCRIPTORS),
    )
}

DISTRIBUTIONS = {"praat": "praat-parselmouth", "librosa": "librosa", "opensmile": "opensmile"}


def _require_opensmile() -> None:
    opensmile.require_consent()
    opensmile.columns(opensmile.FRAMES, "lld")


_REQUIRE: dict[str, Callable[[], object]] = {
    "praat": _praat.parselmouth,
    "librosa": _librosa.librosa,
    "opensmile": _require_opensmile,
}


def require(backend: str) -> None:
    """Check that a backend can be used here.

    Raises
    ------
    UnknownNameError : there is no such backend.
    MissingExtraError : it is not installed.
    FeatureError : its licence was not accepted.
    """
    if backend not in BACKENDS:
        raise did_you_mean("backend", backend, BACKENDS)
    _REQUIRE[backend]()
