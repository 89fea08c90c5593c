"""Feature sets computed by another program: ``--backend praat|librosa|opensmile``.

Conventions
-----------
The columns and the grid stay ours wherever the quantity is the same, so that a lab can lay both
tables side by side; families that the backend lacks are computed by serfeat. The licence of what
the backend computed travels with the table. What a backend computes, and how it was put on the
grid, is in `serfeat.lld.backends`; how well it agrees with ours is measured by `serfeat.agree`.

Contents
--------
`with_backend` : a feature set with a backend's descriptors in place of ours.
`why_absent`   : why a backend cannot be used here, in one line.
"""

from __future__ import annotations

from dataclasses import replace

from serfeat.errors import FeatureError, MissingExtraError, did_you_mean
from serfeat.features import FeatureSet
from serfeat.lld.backends import BACKENDS, require

__all__ = ["why_absent", "with_backend"]


def with_backend(features: FeatureSet, backend: str) -> FeatureSet:
    """Take a backend's descriptors in place of ours, for the families that it has.

    Parameters
    ----------
    features : a set of our descriptors.
    backend : a key of `serfeat.lld.backends.BACKENDS`; ``""`` is serfeat itself.

    Returns
    -------
    The set; what is not there yet (a package, a consent) is said by its `FeatureSet.require`.

    Raises
    ------
    UnknownNameError : there is no such backend.
    FeatureError : the set has no family that the backend computes, or names columns that with it
        are no more.
    """
    if not backend:
        return features
    if backend not in BACKENDS:
        raise did_you_mean("backend", backend, BACKENDS)
    known = BACKENDS[backend]
    if not set(features.descriptors) & set(known):
        raise FeatureError(
            f"{backend} computes none of its families",
            where=f"feature set {features.name}",
            code="nothing-to-compute",
            fix=f"{backend} has {', '.join(known)}",
        )
    made = replace(features, backend=backend)
    whole = replace(made, keep=()).columns("functionals") if made.keep else ()
    if lost := [name for name in made.keep if name not in whole]:
        raise FeatureError(
            f"it asks for {lost[0]}{f' and {len(lost) - 1} more' if lost[1:] else ''}, which "
            f"{backend} has under other names, as another quantity",
            where=f"feature set {features.name}",
            code="other-quantity",
            fix="use another backend, or name the descriptors",
        )
    return made


def why_absent(backend: str) -> str:
    """Say why a backend cannot be used here: not installed, licence not accepted; "" if it can.

    Raises
    ------
    UnknownNameError : there is no such backend.
    """
    try:
        require(backend)
    except (MissingExtraError, FeatureError) as error:
        return str(error)
    return ""
