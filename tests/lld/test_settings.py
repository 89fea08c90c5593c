"""The settings that sources print, and those that the descriptors have: one changed is seen here.

Formulas are held to closed forms and to other programs in the tests of each family, with tolerances
that let a setting be a tenth off. A setting has no formula: its truth is what its source says.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serfeat import lld
from serfeat.demo import utterance
from serfeat.errors import FeatureError
from serfeat.shorttime import ShortTime
from serfeat.signal import pitch as pitch_module

SR = 16_000
PRAAT_CEPSTRUM = "Praat manual, Sound: To PowerCepstrogram, Get CPPS"
PRAAT_PITCH = "Praat manual, Sound: To Pitch (ac): the costs; Boersma 1993, section 4"
PRAAT_PULSES = "Praat manual, Sound & Pitch: To PointProcess (cc)"
PRAAT_VOICE = "Praat manual, Voice 2 and Voice 3: shortest, longest period, factors"
PRAAT_TRACK = "Praat manual, Formant: Track"

# Hz, edges of the critical bands from 100 to 3700 Hz (Zwicker 1961)
ZWICKER = (100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700)
ZWICKER += (3150, 3700)

# module of serfeat, name, value, source
PRINTED: tuple[tuple[str, str, Any, str], ...] = (
    ("lld.cpp", "HIGHEST", 5000.0, PRAAT_CEPSTRUM),
    ("lld.cpp", "EMPHASIS", 50.0, PRAAT_CEPSTRUM),
    ("lld.cpp", "FIT", (0.001, 0.050), PRAAT_CEPSTRUM),
    ("lld.cpp", "STEP", 0.002, PRAAT_CEPSTRUM),
    ("lld.cpp", "QUEFRENCY_WINDOW", 0.0005, PRAAT_CEPSTRUM),
    ("lld.cpp", "GROUP", 5, "half of the 20 ms that Get CPPS averages, in steps of 2 ms"),
    ("lld.f0", "FIRST_PASS", (60.0, 700.0), "Hirst's scripts: the first of two passes"),
    ("lld.f0_shs", "COMPRESSION", 0.84, "Hermes 1988"),
    ("lld.f0_shs", "HARMONICS", 15, "Hermes 1988"),
    ("lld.f0_shs", "HIGHEST", 1250.0, "Hermes 1988"),
    ("lld.f0_shs", "PER_OCTAVE", 48, "Hermes 1988"),
    ("lld.f0_shs", "BIN", 1250 / 128, "Hermes 1988: 256 points at 2500 Hz"),
    ("lld.formants", "CEILINGS", {"male": 5000.0, "female": 5500.0, "child": 8000.0}, "Praat"),
    ("lld.formants", "REFERENCES", (550.0, 1650.0, 2750.0, 3850.0, 4950.0), PRAAT_TRACK),
    ("lld.formants", "FREQUENCY_COST", 1.0, PRAAT_TRACK),
    ("lld.formants", "BANDWIDTH_COST", 1.0, PRAAT_TRACK),
    ("lld.formants", "TRANSITION_COST", 1.0, PRAAT_TRACK),
    ("lld.formants", "CANDIDATES", tuple(range(4500, 6501, 250)), "around Escudero et al. 2009"),
    ("lld.harmonics", "LIMIT", 1e-5, "the toolkit's, of amplitudes: 100 dB"),
    ("lld.hnr", "LIMIT", 1e-10, "the toolkit's, of powers: 100 dB"),
    ("lld.intensity", "REFERENCE", 2e-5, "Pa: the threshold of hearing"),
    ("lld.intensity", "SYLLABLE_FLOOR", 50.0, "de Jong & Wempe 2009"),
    ("lld.intensity", "REACH", 3.2, "Praat manual, Sound: To Intensity: 6.4 periods"),
    ("lld.loudness", "EXPONENT", 0.33, "The HTK Book, section 5.7; Hermansky 1990: cube root"),
    ("lld.loudness", "BANDS", 26, "Eyben et al. 2016"),
    ("lld.mfcc", "HTK_FLOOR", 32767.0**-2, "openSMILE: 1 on its 16-bit scale"),
    ("lld.mfcc", "KALDI_FLOOR", 2.0**-23 * 32768.0**-2, "Kaldi: float32's epsilon"),
    ("lld.plp", "EXPONENTS", {"cuberoot": 0.33, "sqrt": 0.5}, "The HTK Book, section 5.7"),
    ("lld.plp", "INT16_POWER", 32767.0**2, "openSMILE's 16-bit scale"),
    ("lld.energy", "FLOOR_DB", -100.0, "below the last bit of 16-bit audio"),
    ("lld.sound_level", "FLOOR_DB", -100.0, "that of energy"),
    ("lld.teo", "FLOOR_DB", -100.0, "that of energy"),
    ("lld.teo_bands", "BAND_EDGES", ZWICKER, "Zhou, Hansen & Kaiser 2001"),
    ("denoise", "INITIAL_S", 0.120, "the toolkit's"),
    ("signal.noise", "FASTEST", 30.0, "the toolkit's, dB/s"),
    ("signal.noise", "LOOK_S", 2.0, "the toolkit's, s"),
    ("signal.noise", "PRIOR", 10**1.5, "Gerkmann & Hendriks 2012: 15 dB"),
    ("signal.noise", "STUCK", 0.99, "Gerkmann & Hendriks 2012"),
    ("signal.pitch", "CANDIDATES", 14, "Praat: 15 with the unvoiced one"),
    ("signal.pitch", "USUAL", (75.0, 600.0, 0.03, 0.45, 0.01, 0.35, 0.14), PRAAT_PITCH),
    ("signal.pulses", "SHORTEST", 0.0001, PRAAT_VOICE),
    ("signal.pulses", "LONGEST", 0.02, PRAAT_VOICE),
    ("signal.pulses", "PERIOD_FACTOR", 1.3, PRAAT_VOICE),
    ("signal.pulses", "NEAREST", 0.8, PRAAT_PULSES),
    ("signal.pulses", "FARTHEST", 1.25, PRAAT_PULSES),
    ("signal.pulses", "RESEMBLANCE", 0.3, PRAAT_PULSES),
    ("signal.pulses", "AT_THE_EDGE", 0.7, PRAAT_PULSES),
    ("signal.pulses", "AMPLITUDE_FACTOR", 1.6, PRAAT_VOICE),
    ("signal.resonances", "SAFETY", 50.0, "Praat manual, Sound: To Formant (burg)"),
)

# function of serfeat.lld -> its defaults, and their source
DEFAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "cpp": ({"floor": 60.0, "ceiling": 330.0}, PRAAT_CEPSTRUM),
    "cpps": ({"floor": 60.0, "ceiling": 330.0}, PRAAT_CEPSTRUM),
    "f0": (
        {
            "floor": 75.0, "ceiling": 600.0, "silence": 0.03, "voicing": 0.45, "octave_cost": 0.01,
            "octave_jump": 0.35, "voiced_unvoiced": 0.14,
        },
        PRAAT_PITCH,
    ),
    "f0_cc": (
        {
            "floor": 75.0, "ceiling": 600.0, "silence": 0.03, "voicing": 0.45, "octave_cost": 0.01,
            "octave_jump": 0.35, "voiced_unvoiced": 0.14,
        },
        "Praat manual, Sound: To Pitch (cc)",
    ),
    "f0_shs": (
        {
            "floor": 75.0, "ceiling": 600.0, "silence": 0.03, "voicing": 0.52, "octave_cost": 0.01,
            "octave_jump": 0.35, "voiced_unvoiced": 0.14,
        },
        "the range and costs of f0; a voicing of the toolkit's",
    ),
    "yin": ({"window": 0.025, "trough": 0.1}, "de Cheveigne & Kawahara 2002: 25 ms, 0.1"),
    "formants": (
        {"ceiling": 5500.0, "max_formants": 5.0, "length": 0.025, "preemphasis_from": 50.0},
        "Praat manual, Sound: To Formant (burg)",
    ),
    "intensity": ({"floor": 100.0}, "Praat manual, Sound: To Intensity"),
    "zcr": ({"length": 0.025}, "the toolkit's window"),
    "rms_db": ({"length": 0.025}, "the toolkit's window"),
    "log_energy": ({"length": 0.025}, "the toolkit's window"),
    "hnr": ({"floor": 75.0, "ceiling": 600.0}, "the toolkit's pitch"),
    "teo_db": ({"length": 0.025}, "the toolkit's window"),
    "teo_hz": ({"length": 0.025}, "the toolkit's window"),
    "desa": ({"length": 0.025}, "the toolkit's window"),
    "teo_mfcc": ({"length": 0.025}, "the toolkit's window"),
    "loudness": ({"length": 0.025}, "the toolkit's window"),
    "spectral_shape": ({"length": 0.025}, "the toolkit's window"),
    "cycles": ({"length": 0.040, "floor": 75.0, "ceiling": 600.0}, "the toolkit's"),
}  # fmt: skip

# descriptor -> the function that gives its columns with its own defaults
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "f0_cc": lambda x: lld.f0_cc(x, SR),
    "f0_shs": lambda x: lld.f0_shs(x, SR),
    "f0_yin": lambda x: lld.yin(x, SR),
    "zcr": lambda x: lld.zcr(x, SR),
    "energy": lambda x: np.column_stack([lld.rms_db(x, SR), lld.log_energy(x, SR)]),
    "intensity": lambda x: lld.intensity(x, SR),
    "loudness": lambda x: lld.loudness(x, SR),
    "sound_level": lambda x: lld.sound_level(x, SR),
    "formants": lambda x: lld.formants(x, SR, frames="voiced"),
    "mfcc": lambda x: lld.mfcc(x, SR),
    "lpcc": lambda x: lld.lpcc(x, SR, preemphasis=0.97),
    "lsf": lambda x: lld.lsf(x, SR, preemphasis=0.97),
    "teo": lambda x: np.column_stack([lld.teo_db(x, SR), lld.teo_hz(x, SR)]),
    "teo_cb": lambda x: lld.teo_cb_auto_env(x, SR),
    "teo_fm_var": lambda x: lld.teo_fm_var(x, SR),
    "teo_mfcc": lambda x: lld.teo_mfcc(x, SR),
    "hnr": lambda x: lld.hnr(x, SR),
    "cpp": lambda x: lld.cpp(x, SR),
    "cpps": lambda x: lld.cpps(x, SR),
    "harmonics": lambda x: lld.harmonics(x, SR),
    "samples": lambda x: lld.samples(x, SR),
}


@pytest.mark.parametrize(
    ("module", "name", "value", "source"), PRINTED, ids=lambda v: v if isinstance(v, str) else ""
)
def test_printed_settings(module: str, name: str, value: Any, source: str) -> None:
    """Seen to catch each of them a tenth off: most survived every other test but stored numbers."""
    found = getattr(importlib.import_module(f"serfeat.{module}"), name)
    assert found == value, source


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_of_the_functions(name: str) -> None:
    settings, source = DEFAULTS[name]
    known = inspect.signature(getattr(lld, name)).parameters
    assert {k: known[k].default for k in settings} == settings, source


@pytest.mark.parametrize("name", FUNCTIONS)
def test_descriptors_have_the_settings_of_their_functions(name: str) -> None:
    """Seen to catch a default of the one that is not the other's: each is written twice."""
    x = utterance("s1", "anger", "t1").x
    found = lld.DESCRIPTORS[name](ShortTime(x, SR))
    expected = np.asarray(FUNCTIONS[name](x))
    np.testing.assert_array_equal(found.reshape(expected.shape), expected)


def test_the_pitch_of_the_descriptors_is_that_of_the_defaults() -> None:
    """`pitch` is asked without settings nearly everywhere."""
    known = inspect.signature(pitch_module.pitch).parameters
    defaults = tuple(p.default for p in known.values() if p.default is not p.empty)
    assert defaults[: len(pitch_module.USUAL)] == pitch_module.USUAL
    with pytest.raises(FeatureError):
        pitch_module.pitch(ShortTime(np.ones(1000), SR), floor=600.0, ceiling=75.0)
