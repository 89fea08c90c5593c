"""The feature sets by name, and those that a name describes.

What `feature_set` reads
------------------------
A name of `FEATURE_SETS`; or descriptors (``"f0,hnr"``); or a pretrained encoder, alone or as the
last part of either (``"encoder:DIR@2"``, ``"classic,encoder:DIR@2"``, ``"f0,encoder:DIR@last"``).
The comma is the only separator; what stands after ``encoder:`` is read by
`serfeat.encoders.encoder_columns`. The encoder's columns come last; they take no deltas and no
smoothing, and of the functionals ``mean`` and ``std`` of its positions. Alone, its frames are its
positions, as many as the clip has (one undefined row where there is none); beside descriptors,
every frame of their grid takes the position in which its centre lies.
"""

from __future__ import annotations

from dataclasses import replace

from serfeat.encoders import encoder_columns
from serfeat.errors import FeatureError, did_you_mean
from serfeat.features import ENCODER, ENCODER_FUNCTIONALS, FeatureSet
from serfeat.functionals import DEFAULT_FUNCTIONALS
from serfeat.lld import DESCRIPTORS
from serfeat.serfeat88 import SERFEAT88

__all__ = ["FEATURE_SETS", "feature_set"]

# Ye et al. 2023: samples at 22 050 Hz that the clips of a corpus were brought to.
TIMNET_SAMPLES = {
    "casia": 88_000,
    "emodb": 96_000,
    "emovo": 96_000,
    "iemocap": 310_000,
    "ravdess": 110_000,
    "savee": 130_000,
}

_PROSODY = ("f0", "zcr", "energy", "loudness")
_TIMING = ("pitch_spline", "duration", "speech_rate", "loudness_peaks")
_CLASSIC = ("f0", "zcr", "energy", "formants", "mfcc", "lpc", "plp", "teo", "hnr")
_VOICE = ("jitter", "shimmer", "cpp", "cpps", "harmonics")
_MORE_FUNCTIONALS = ("p20", "p80", "iqr", "rise", "fall", "mean_voiced", "mean_unvoiced")

FEATURE_SETS: dict[str, FeatureSet] = {
    s.name: s
    for s in (
        FeatureSet(
            "prosody",
            "F0, zero-crossing rate, energy, loudness, HNR, jitter, shimmer, durations, rate",
            (*_PROSODY, *_TIMING, "hnr", "jitter", "shimmer"),
            deltas=1,
        ),
        FeatureSet("cepstral", "MFCC, LPCC and PLP with deltas", ("mfcc", "lpcc", "plp"), deltas=1),
        FeatureSet(
            "classic",
            "the seven classical families: prosody (F0, ZCR, energy), F1-F3, MFCC, LPC, PLP, TEO, "
            "HNR",
            _CLASSIC,
            deltas=1,
        ),
        FeatureSet(
            "full",
            "every family: classic with loudness, spectral shape, voice quality (jitter, shimmer, "
            "CPP, harmonics), TEO in critical bands, LSF, RASTA-PLP, durations and rate",
            (
                *_CLASSIC,
                *_VOICE,
                *_TIMING,
                "loudness",
                "spectral",
                "teo_cb",
                "teo_fm_var",
                "lsf",
                "rasta_plp",
            ),
            deltas=1,
            functionals=(*DEFAULT_FUNCTIONALS, *_MORE_FUNCTIONALS),
            delta_functionals=("std", "p05", "p95", "kurtosis"),
            sparse=True,
        ),
        FeatureSet(
            "mfcc_deltas",
            "MFCC 0-13 with first and second deltas: frame vectors for the GMM",
            ("mfcc",),
            deltas=2,
        ),
        FeatureSet(
            "timnet39",
            "TIM-Net's front end: 39 static MFCC of librosa's convention at 22 050 Hz; "
            "timnet39_emodb (_ravdess, ...) on clips of the one length it was trained on there",
            ("mfcc39",),
            sr=22_050,
            hop=512 / 22_050,
        ),
        FeatureSet(
            "waveform",
            "the samples themselves, silence set to 0 by MADD: for networks that read waveforms",
            ("samples",),
            functionals=("std",),
            prepare=("madd",),
        ),
        FeatureSet(
            "dellaert",
            "melody and rhythm as in Dellaert et al. 1996: pitch spline, durations, speech rate",
            ("f0", "pitch_spline", "duration", "speech_rate"),
            functionals=("p50", "p05", "p95"),
        ),
        FeatureSet("egemaps", "eGeMAPSv02 by openSMILE (88 functionals)", external="eGeMAPSv02"),
        FeatureSet("gemaps", "GeMAPSv01b by openSMILE (62)", external="GeMAPSv01b"),
        FeatureSet("compare2016", "ComParE 2016 by openSMILE (6373)", external="ComParE_2016"),
        FeatureSet(
            "is09", "Interspeech 2009 challenge by openSMILE (384)", external="IS09_emotion"
        ),
        FeatureSet(
            "is13", "Interspeech 2013 challenge by openSMILE (6373)", external="IS13_ComParE"
        ),
        FeatureSet(
            "serfeat88",
            "the 88 columns of eGeMAPSv02, in meaning, from our own descriptors",
            SERFEAT88.descriptors,
            functionals=SERFEAT88.functionals,
            keep=SERFEAT88.columns,
            smooth=SERFEAT88.smooth,
        ),
    )
}


def feature_set(name: str) -> FeatureSet:
    """Look a set up by name, or make one of descriptors and an encoder: see the module's text.

    Raises
    ------
    UnknownNameError : suggests the nearest set, or descriptor where there are several names.
    FeatureError : parts that do not go together.
    ModelError : no such encoder.
    """
    if name in FEATURE_SETS:
        return FEATURE_SETS[name]
    base, _, corpus = name.partition("_")
    if base == "timnet39" and corpus in TIMNET_SAMPLES:
        words = f"TIM-Net's front end on clips fitted to {TIMNET_SAMPLES[corpus]} samples"
        return replace(FEATURE_SETS[base], name=name, summary=words, fit=TIMNET_SAMPLES[corpus])
    names = tuple(part.strip() for part in name.split(","))
    if any(part.startswith(ENCODER) for part in names):
        return _with_encoder(names)
    if len(names) == 1 and names[0] not in DESCRIPTORS:
        raise did_you_mean("feature set", name, (*FEATURE_SETS, *DESCRIPTORS))
    made = FeatureSet("custom", f"the descriptors {', '.join(names)}", names)
    if not made.frame_descriptors:
        raise FeatureError(
            f"{name} has one value per recording only",
            where="feature set",
            code="no-frames",
            fix="add a descriptor with a value per frame, such as energy",
        )
    return replace(made, name=",".join(names))


def _with_encoder(names: tuple[str, ...]) -> FeatureSet:
    """Make the set of some names of which one is an encoder."""
    if sum(part.startswith(ENCODER) for part in names) > 1 or not names[-1].startswith(ENCODER):
        raise FeatureError(
            f"expected one encoder, as the last part, found {', '.join(names)}",
            where="feature set",
            code="bad-encoder",
        )
    encoder = encoder_columns(names[-1].removeprefix(ENCODER))
    shape, layer = encoder.architecture, encoder.layer
    words = f"layer {layer} of a pretrained encoder ({shape.kind})"
    if len(names) == 1:
        return FeatureSet(
            names[0], words, functionals=ENCODER_FUNCTIONALS, delta_functionals=(),
            sr=shape.sr, hop=shape.hop_s, encoder=encoder,
        )  # fmt: skip
    base = feature_set(",".join(names[:-1]))
    if base.external or base.sr != shape.sr:
        found = "has frames of openSMILE's own" if base.external else f"works at {base.sr} Hz"
        raise FeatureError(
            f"{found}, which do not go with an encoder at {shape.sr} Hz",
            where=f"feature set {base.name}",
            code="other-grid",
            fix="use another set, or the encoder alone",
        )
    summary = f"{base.summary}; {words}"
    return replace(base, name=",".join(names), summary=summary, encoder=encoder)
