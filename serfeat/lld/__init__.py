"""Low-level descriptors: one file per family, and the table of all of them.

Every family module holds pure functions that work alone (``serfeat.lld.zcr(x, sr)``) and a tuple
`DESCRIPTORS` of what it contributes to the table below. The functions stand beside the table:
``serfeat.lld.zcr`` is the function, not its module. A new family is its file and its lines here.
"""

from __future__ import annotations

from serfeat.lld.energy import DESCRIPTORS as _ENERGY
from serfeat.lld.energy import log_energy, rms_db
from serfeat.lld.f0 import DESCRIPTORS as _F0
from serfeat.lld.f0 import f0, semitones, yin
from serfeat.lld.formants import DESCRIPTORS as _FORMANTS
from serfeat.lld.formants import formants
from serfeat.lld.hnr import DESCRIPTORS as _HNR
from serfeat.lld.hnr import hnr
from serfeat.lld.lpc import DESCRIPTORS as _LPC
from serfeat.lld.lpc import lpc, lpcc, lsf
from serfeat.lld.mfcc import DESCRIPTORS as _MFCC
from serfeat.lld.mfcc import mfcc
from serfeat.lld.perturbation import DESCRIPTORS as _PERTURBATION
from serfeat.lld.perturbation import jitter, shimmer
from serfeat.lld.plp import DESCRIPTORS as _PLP
from serfeat.lld.plp import plp
from serfeat.lld.teo import DESCRIPTORS as _TEO
from serfeat.lld.teo import desa1, desa2, teager, teo_cb_auto_env, teo_db
from serfeat.lld.zcr import DESCRIPTORS as _ZCR
from serfeat.lld.zcr import zcr
from serfeat.shorttime import Descriptor

__all__ = [
    "DESCRIPTORS",
    "desa1",
    "desa2",
    "f0",
    "formants",
    "hnr",
    "jitter",
    "log_energy",
    "lpc",
    "lpcc",
    "lsf",
    "mfcc",
    "plp",
    "rms_db",
    "semitones",
    "shimmer",
    "teager",
    "teo_cb_auto_env",
    "teo_db",
    "yin",
    "zcr",
]

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
