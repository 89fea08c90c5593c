"""Low-level descriptors: one file per family, and the table of all of them.

Every family module holds pure functions that work alone (``serfeat.lld.zcr(x, sr)``) and a tuple
`DESCRIPTORS` of what it contributes to the table below. The functions stand beside the table:
``serfeat.lld.zcr`` is the function, not its module. A new family is its file and its lines here.
"""

from __future__ import annotations

from serfeat.lld.cpp import DESCRIPTORS as _CPP
from serfeat.lld.cpp import cpp, cpps
from serfeat.lld.cycles import DESCRIPTORS as _CYCLES
from serfeat.lld.cycles import cycles
from serfeat.lld.energy import DESCRIPTORS as _ENERGY
from serfeat.lld.energy import log_energy, rms_db
from serfeat.lld.f0 import DESCRIPTORS as _F0
from serfeat.lld.f0 import f0, semitones, voice_range
from serfeat.lld.f0_cc import DESCRIPTORS as _F0_CC
from serfeat.lld.f0_cc import f0_cc
from serfeat.lld.f0_shs import DESCRIPTORS as _F0_SHS
from serfeat.lld.f0_shs import f0_shs
from serfeat.lld.f0_yin import DESCRIPTORS as _F0_YIN
from serfeat.lld.f0_yin import yin
from serfeat.lld.formants import DESCRIPTORS as _FORMANTS
from serfeat.lld.formants import formants
from serfeat.lld.harmonics import DESCRIPTORS as _HARMONICS
from serfeat.lld.harmonics import harmonics
from serfeat.lld.hnr import DESCRIPTORS as _HNR
from serfeat.lld.hnr import hnr
from serfeat.lld.intensity import DESCRIPTORS as _INTENSITY
from serfeat.lld.intensity import intensity, syllable_nuclei
from serfeat.lld.loudness import DESCRIPTORS as _LOUDNESS
from serfeat.lld.loudness import loudness, loudness_peaks
from serfeat.lld.lpc import DESCRIPTORS as _LPC
from serfeat.lld.lpc import lpc, lpcc, lsf
from serfeat.lld.mfcc import DESCRIPTORS as _MFCC
from serfeat.lld.mfcc import mfcc
from serfeat.lld.perturbation import DESCRIPTORS as _PERTURBATION
from serfeat.lld.perturbation import jitter, shimmer
from serfeat.lld.pitch_spline import DESCRIPTORS as _PITCH_SPLINE
from serfeat.lld.pitch_spline import pitch_spline
from serfeat.lld.plp import DESCRIPTORS as _PLP
from serfeat.lld.plp import plp
from serfeat.lld.rhythm import DESCRIPTORS as _RHYTHM
from serfeat.lld.rhythm import duration
from serfeat.lld.samples import DESCRIPTORS as _SAMPLES
from serfeat.lld.samples import samples
from serfeat.lld.sound_level import DESCRIPTORS as _SOUND_LEVEL
from serfeat.lld.sound_level import sound_level
from serfeat.lld.spectral import DESCRIPTORS as _SPECTRAL
from serfeat.lld.spectral import spectral_shape
from serfeat.lld.teo import DESCRIPTORS as _TEO
from serfeat.lld.teo import desa, desa1, desa2, teager, teo_db, teo_hz
from serfeat.lld.teo_bands import DESCRIPTORS as _TEO_BANDS
from serfeat.lld.teo_bands import teo_cb_auto_env
from serfeat.lld.teo_fm import DESCRIPTORS as _TEO_FM
from serfeat.lld.teo_fm import teo_fm_var
from serfeat.lld.teo_mfcc import DESCRIPTORS as _TEO_MFCC
from serfeat.lld.teo_mfcc import teo_mfcc
from serfeat.lld.zcr import DESCRIPTORS as _ZCR
from serfeat.lld.zcr import zcr
from serfeat.shorttime import Descriptor

__all__ = [
    "DESCRIPTORS",
    "cpp",
    "cpps",
    "cycles",
    "desa",
    "desa1",
    "desa2",
    "duration",
    "f0",
    "f0_cc",
    "f0_shs",
    "formants",
    "harmonics",
    "hnr",
    "intensity",
    "jitter",
    "log_energy",
    "loudness",
    "loudness_peaks",
    "lpc",
    "lpcc",
    "lsf",
    "mfcc",
    "pitch_spline",
    "plp",
    "rms_db",
    "samples",
    "semitones",
    "shimmer",
    "sound_level",
    "spectral_shape",
    "syllable_nuclei",
    "teager",
    "teo_cb_auto_env",
    "teo_db",
    "teo_fm_var",
    "teo_hz",
    "teo_mfcc",
    "voice_range",
    "yin",
    "zcr",
]

DESCRIPTORS: dict[str, Descriptor] = {
    d.name: d
    for family in (
        _F0,
        _F0_CC,
        _F0_SHS,
        _F0_YIN,
        _PITCH_SPLINE,
        _ZCR,
        _ENERGY,
        _INTENSITY,
        _LOUDNESS,
        _SOUND_LEVEL,
        _RHYTHM,
        _FORMANTS,
        _MFCC,
        _LPC,
        _PLP,
        _TEO,
        _TEO_BANDS,
        _TEO_FM,
        _TEO_MFCC,
        _HNR,
        _PERTURBATION,
        _CYCLES,
        _CPP,
        _SPECTRAL,
        _HARMONICS,
        _SAMPLES,
    )
    for d in family
}
