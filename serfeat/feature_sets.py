"""The feature sets by name, and those that a name describes.

What `feature_set` reads
------------------------
A name of `FEATURE_SETS`; or a part of such a set: without some families or descriptors
(``"classic-teo"``, ``"full-teo-lsf"``), or some alone (``"classic:f0"``, ``"full:f0+hnr"``, read
from left to right: ``"full-lsf:lpc"``); or descriptors (``"f0,hnr"``); or a pretrained encoder,
alone or as the last part of any of these (``"encoder:DIR@2"``, ``"classic,encoder:DIR@2"``,
``"f0,encoder:DIR@last"``). Families are those of `serfeat.families`; a word that names a family and
a descriptor means the family. A part has those columns of the whole set that are left, with the
same numbers. The comma is the only separator; what stands after ``encoder:`` is read by
`serfeat.encoders.encoder_columns`. The encoder's columns come last; they take no deltas and no
smoothing, and of the functionals ``mean`` and ``std`` of its positions. Alone, its frames are its
positions, as many as the clip has (one undefined row where there is none); beside descriptors,
every frame of their grid takes the position in which its centre lies.
"""

from __future__ import annotations

import re
from dataclasses import replace

from serfeat.encoders import encoder_columns
from serfeat.errors import FeatureError, did_you_mean
from serfeat.families import family_of_descriptor
from serfeat.features import ENCODER, ENCODER_FUNCTIONALS, FeatureSet
from serfeat.functionals import DEFAULT_FUNCTIONALS
from serfeat.lld import DESCRIPTORS
from serfeat.serfeat88 import SERFEAT88

__all__ = ["FEATURE_SETS", "feature_set", "only", "whole_of", "without"]

# Ye et al. 2023: samples at 22 050 Hz that the clips of a corpus were brought to.
TIMNET_SAMPLES = {
    "casia": 88_000,
    "emodb": 96_000,
    "emovo": 96_000,
    "iemocap": 310_000,
    "ravdess": 110_000,
    "savee": 130_000,
}

# A set, and what is taken out of it (-) or kept of it (:), as often as one likes.
_PART = re.compile(r"(\w+)((?:[-:]\w+(?:\+\w+)*)+)")

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
    FeatureError : parts that do not go together, or a part of a set in which nothing is left.
    ModelError : no such encoder.
    """
    if name in FEATURE_SETS:
        return FEATURE_SETS[name]
    base, _, corpus = name.partition("_")
    if base == "timnet39" and corpus in TIMNET_SAMPLES:
        words = f"TIM-Net's front end on clips fitted to {TIMNET_SAMPLES[corpus]} samples"
        return replace(FEATURE_SETS[base], name=name, summary=words, fit=TIMNET_SAMPLES[corpus])
    if (part := _PART.fullmatch(name)) and not name.startswith(ENCODER):
        return _part_of_set(part[1], part[2])
    names = tuple(part.strip() for part in name.split(","))
    if any(part.startswith(ENCODER) for part in names):
        return _with_encoder(names)
    if len(names) == 1 and names[0] not in DESCRIPTORS:
        raise did_you_mean("feature set", name, (*FEATURE_SETS, *DESCRIPTORS))
    made = FeatureSet("custom", f"the descriptors {', '.join(names)}", names)
    made.require()  # names that there are
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


# --- parts of a set -------------------------------------------------------------------------------


def without(name: str, family: str) -> str:
    """Name the set `name` without one family, as `feature_set` reads it.

    Raises
    ------
    UnknownNameError : the set has no such family.
    FeatureError : nothing is left without it, or the set is openSMILE's.
    """
    return _reduced(name, family, "-")


def only(name: str, family: str) -> str:
    """Name what the set `name` has of one family, as `feature_set` reads it; see `without`."""
    return _reduced(name, family, ":")


def whole_of(name: str) -> str:
    """Name the set that `name` is a part of (``"classic-teo"``: ``"classic"``), else `name`.

    The columns of the part are among the whole's, with the same numbers: who has computed the whole
    need not compute the part.
    """
    base, comma, rest = name.partition(",")
    part = None if base.startswith(ENCODER) else _PART.fullmatch(base)
    return part[1] + comma + rest if part else name


def _reduced(name: str, family: str, sign: str) -> str:
    """`name` without (-) or with nothing but (:) a family."""
    names = [part.strip() for part in name.split(",")]
    encoder = [names.pop()] if names[-1].startswith(ENCODER) else []
    base = ",".join(names)
    known = _families_of(feature_set(base)) if base else []
    known += ["encoder"] * len(encoder)
    if family not in known:
        raise did_you_mean(f"family of {name}", family, known)
    if len(known) == 1:
        if sign == "-":
            raise _nothing_left(name, f"without {family}")
        return name
    if family == "encoder":
        return base if sign == "-" else encoder[0]
    if all(n in DESCRIPTORS for n in names):
        same = [n for n in names if family_of_descriptor(n) == family]
        made = ",".join(same if sign == ":" else [n for n in names if n not in same])
    else:
        made = f"{base}{sign}{family}"
    return ",".join([made, *(encoder if sign == "-" else [])]).strip(",")


def _part_of_set(whole: str, steps: str) -> FeatureSet:
    """Make the part of the set `whole` that ``"-teo:f0+hnr"`` leaves, read from left to right."""
    made = feature_set(whole)
    if made.external:
        raise FeatureError(
            "openSMILE computes the set as a whole",
            where=f"feature set {whole}",
            code="no-parts",
            fix="take a part of one of our own sets, such as serfeat88 or full",
        )
    for sign, words in re.findall(r"([-:])([\w+]+)", steps):
        named = [_named_by(made, word) for word in words.split("+")]
        mentioned = {d for names in named for d in names}
        left = tuple(d for d in made.descriptors if (d in mentioned) == (sign == ":"))
        if not left:
            raise _nothing_left(made.name, f"without {words.replace('+', ', ')}")
        gone = {c for d in made.descriptors if d not in left for c in DESCRIPTORS[d].columns}
        keep = tuple(c for c in made.keep if re.sub(r"(_delta\d*)?__.*", "", c) not in gone)
        made = replace(made, name=f"{made.name}{sign}{words}", descriptors=left, keep=keep)
    return replace(made, summary=f"of {whole}: {', '.join(made.descriptors)}")


def _named_by(features: FeatureSet, word: str) -> list[str]:
    """Descriptors of a set that a word means: a family's, or that one."""
    found = [d for d in features.descriptors if family_of_descriptor(d) == word]
    if not found and word not in features.descriptors:
        known = dict.fromkeys([*_families_of(features), *features.descriptors])
        raise did_you_mean(f"family or descriptor of {features.name}", word, known)
    return found or [word]


def _families_of(features: FeatureSet) -> list[str]:
    """The families of a set's descriptors, each once."""
    return list(dict.fromkeys(family_of_descriptor(d) for d in features.descriptors))


def _nothing_left(name: str, words: str) -> FeatureError:
    return FeatureError(
        f"{name} has nothing left {words}",
        where="feature set",
        code="no-columns",
        fix="leave something in it",
    )
