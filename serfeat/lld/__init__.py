"""Low-level descriptors: one file per family, and the table of all of them.

Every family module holds pure functions that work alone (``serfeat.lld.zcr(x, sr)``) and a tuple
`DESCRIPTORS` of what it contributes to the table below. A new family is its file and one line here.
"""

from __future__ import annotations

from serfeat.lld.energy import DESCRIPTORS as _ENERGY
from serfeat.lld.f0 import DESCRIPTORS as _F0
from serfeat.lld.formants import DESCRIPTORS as _FORMANTS
from serfeat.lld.hnr import DESCRIPTORS as _HNR
from serfeat.lld.lpc import DESCRIPTORS as _LPC
from serfeat.lld.mfcc import DESCRIPTORS as _MFCC
from serfeat.lld.perturbation import DESCRIPTORS as _PERTURBATION
from serfeat.lld.plp import DESCRIPTORS as _PLP
from serfeat.lld.teo import DESCRIPTORS as _TEO
from serfeat.lld.zcr import DESCRIPTORS as _ZCR
from serfeat.shorttime import Descriptor

__all__ = ["DESCRIPTORS"]

DESCRIPTORS: dict[str, Descriptor] = {
    d.name: d
    for family in (
        _F0,
        _ZCR,
        _ENERGY,
        _FORMANTS,
        _MFCC,
        _LPC,
        _PLP,
        _TEO,
        _HNR,
        _PERTURBATION,
    )
    for d in family
}
