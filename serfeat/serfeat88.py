"""serfeat88: the 88 columns of eGeMAPS, in meaning, from our own descriptors.

eGeMAPSv02 [1] is the feature set that most emotion papers compare with; its program may be used for
research only. This one is ours and Apache-2.0. Every column of eGeMAPS has a counterpart here, in
its order, with our name; what they share differs from column to column:

"same"   : one definition, one setting. What differs is our grid, which has a frame more at either
           end of the clip.
"method" : one quantity, found by two methods: F0 and its course, jitter and shimmer, formant
           frequencies, H1-A3, alpha ratio, segments; and all of voiced or of unvoiced frames
           alone, which are other frames and smoothed at another step (see below). They agree as
           far as the methods do.
"name"   : another quantity, or one measured so differently that the numbers do not compare:
           openSMILE computes something else than its name (and [1]) says, we what the name says.

docs/results/serfeat88.md says how well each column agrees, measured on two corpora.

Where openSMILE departs from [1], and we do not
-----------------------------------------------
* ``HNRdBACF``: the window is not divided out of the autocorrelation: it saturates near 10 dB.
* ``logRelF0-H1-H2``: F0 is counted as harmonic 0: second over third harmonic.
* ``F1amplitudeLogRelF0`` and so on: most unvoiced frames count, as -201 dB, so that the mean is
  chiefly the share of these frames.
* ``F1bandwidth`` and so on: of 20 ms without pre-emphasis, about 1 kHz wide in the mean; ours are
  200 to 450 Hz.
* ``slope0-500``, ``slope500-1500``: a divisor of N - 1 lets the mean level into the slope.
* ``alphaRatio``: high over low; ours is low over high as in [1], with the other sign. Its lower
  band begins at 0 Hz, not at 50.
* Voiced frames (``V``, ``UV``): F0 is that of 60 ms, the spectrum that of the first 20 of these:
  the voicing comes 20 ms late. Ours belongs to the frame.
* The same columns: openSMILE chooses the frames first and then smooths over three of them that are
  not 0, so that no unvoiced neighbour has a part in a voiced frame; ours are smoothed as all frames
  are, then chosen. Beside the voicing this moves the means of 20 sentences of EMO-DB by 1 to 7 %,
  0.15 of their standard deviation at most.
* Undefined is 0; here it is NaN.

A coefficient of variation (``cv``, openSMILE's ``stddevNorm``) divides by a mean that lies near 0
for some columns (MFCC, slopes, levels in dB): there it says more about the mean than about the
variation, in either set.

Contents
--------
`SERFEAT88` : descriptors, functionals and columns, of which `serfeat.features` makes the set.
`Counterpart`, `Relation` : a column beside that of eGeMAPS.

Sources
-------
[1] F. Eyben et al., "The Geneva minimalistic acoustic parameter set (GeMAPS) for voice research and
    affective computing", IEEE Trans. Affective Computing 7(2), 2016. The names and their order are
    those of openSMILE's ``eGeMAPSv02``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["SERFEAT88", "Counterpart", "Definition", "Relation"]

Relation = Literal["same", "method", "name"]


class Counterpart(NamedTuple):
    """A column of ours beside that of eGeMAPS.

    Attributes
    ----------
    column : our name.
    egemaps : openSMILE's name.
    relation : what they share; see the module.
    sign : -1 where one is the other with its sign changed.
    """

    column: str
    egemaps: str
    relation: Relation
    sign: int = 1


@dataclass(frozen=True)
class Definition:
    """What makes the set.

    Parameters
    ----------
    descriptors : keys of `serfeat.lld.DESCRIPTORS`.
    functionals : keys of `serfeat.functionals.FUNCTIONALS`, computed of all columns.
    smooth : frames of the moving average before these, as in eGeMAPS.
    counterparts : the columns that are kept, in eGeMAPS' order.
    """

    descriptors: tuple[str, ...]
    functionals: tuple[str, ...]
    smooth: int
    counterparts: tuple[Counterpart, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Our names, in eGeMAPS' order."""
        return tuple(c.column for c in self.counterparts)


# openSMILE's word for a functional, and ours.
_Functionals = tuple[tuple[str, str], ...]
_MEAN: _Functionals = (("amean", "mean"),)
_BOTH: _Functionals = (("amean", "mean"), ("stddevNorm", "cv"))
_VALUES: _Functionals = (
    *_BOTH,
    ("percentile20.0", "p20"),
    ("percentile50.0", "p50"),
    ("percentile80.0", "p80"),
    ("pctlrange0-2", "range_p20_p80"),
)
_SLOPES: _Functionals = (
    ("meanRisingSlope", "rising_slope_mean"),
    ("stddevRisingSlope", "rising_slope_std"),
    ("meanFallingSlope", "falling_slope_mean"),
    ("stddevFallingSlope", "falling_slope_std"),
)

# openSMILE's contour, ours, which of its frames count, functionals, what the columns share.
_CONTOURS: tuple[tuple[str, str, str, _Functionals, Relation], ...] = (
    ("F0semitoneFrom27.5Hz_sma3nz", "f0_semitones", "", (*_VALUES, *_SLOPES), "method"),
    ("loudness_sma3", "loudness", "", _VALUES, "same"),
    ("loudness_sma3", "loudness", "", _SLOPES, "method"),
    ("spectralFlux_sma3", "spectral_flux", "", _BOTH, "same"),
    ("mfcc1_sma3", "mfcc_1", "", _BOTH, "same"),
    ("mfcc2_sma3", "mfcc_2", "", _BOTH, "same"),
    ("mfcc3_sma3", "mfcc_3", "", _BOTH, "same"),
    ("mfcc4_sma3", "mfcc_4", "", _BOTH, "same"),
    # undefined in unvoiced frames
    ("jitterLocal_sma3nz", "jitter_frame", "", _BOTH, "method"),
    ("shimmerLocaldB_sma3nz", "shimmer_frame_db", "", _BOTH, "method"),
    ("HNRdBACF_sma3nz", "hnr_db", "", _BOTH, "name"),
    ("logRelF0-H1-H2_sma3nz", "h1_h2_db", "", _BOTH, "name"),
    ("logRelF0-H1-A3_sma3nz", "h1_a3_db", "", _BOTH, "method"),
    ("F1frequency_sma3nz", "f1_hz", "", _BOTH, "method"),
    ("F1bandwidth_sma3nz", "b1_hz", "", _BOTH, "name"),
    ("F1amplitudeLogRelF0_sma3nz", "f1_level_db", "", _BOTH, "name"),
    ("F2frequency_sma3nz", "f2_hz", "", _BOTH, "method"),
    ("F2bandwidth_sma3nz", "b2_hz", "", _BOTH, "name"),
    ("F2amplitudeLogRelF0_sma3nz", "f2_level_db", "", _BOTH, "name"),
    ("F3frequency_sma3nz", "f3_hz", "", _BOTH, "method"),
    ("F3bandwidth_sma3nz", "b3_hz", "", _BOTH, "name"),
    ("F3amplitudeLogRelF0_sma3nz", "f3_level_db", "", _BOTH, "name"),
    # defined in every frame
    ("alphaRatioV_sma3nz", "alpha_ratio_db", "_voiced", _BOTH, "method"),
    ("hammarbergIndexV_sma3nz", "hammarberg_db", "_voiced", _BOTH, "method"),
    ("slopeV0-500_sma3nz", "slope_0_500", "_voiced", _BOTH, "name"),
    ("slopeV500-1500_sma3nz", "slope_500_1500", "_voiced", _BOTH, "name"),
    ("spectralFluxV_sma3nz", "spectral_flux", "_voiced", _BOTH, "method"),
    ("mfcc1V_sma3nz", "mfcc_1", "_voiced", _BOTH, "method"),
    ("mfcc2V_sma3nz", "mfcc_2", "_voiced", _BOTH, "method"),
    ("mfcc3V_sma3nz", "mfcc_3", "_voiced", _BOTH, "method"),
    ("mfcc4V_sma3nz", "mfcc_4", "_voiced", _BOTH, "method"),
    ("alphaRatioUV_sma3nz", "alpha_ratio_db", "_unvoiced", _MEAN, "method"),
    ("hammarbergIndexUV_sma3nz", "hammarberg_db", "_unvoiced", _MEAN, "method"),
    ("slopeUV0-500_sma3nz", "slope_0_500", "_unvoiced", _MEAN, "name"),
    ("slopeUV500-1500_sma3nz", "slope_500_1500", "_unvoiced", _MEAN, "name"),
    ("spectralFluxUV_sma3nz", "spectral_flux", "_unvoiced", _MEAN, "method"),
)

# Of the whole clip: openSMILE's column, ours.
_CLIP: tuple[tuple[str, str, Relation], ...] = (
    ("loudnessPeaksPerSec", "loudness_peaks_per_s", "method"),
    ("VoicedSegmentsPerSec", "voiced_segments_per_s", "method"),
    ("MeanVoicedSegmentLengthSec", "voiced_segment_mean_s", "method"),
    ("StddevVoicedSegmentLengthSec", "voiced_segment_std_s", "method"),
    ("MeanUnvoicedSegmentLength", "unvoiced_segment_mean_s", "method"),
    ("StddevUnvoicedSegmentLength", "unvoiced_segment_std_s", "method"),
    ("equivalentSoundLevel_dBp", "sound_level_db", "same"),
)

SERFEAT88 = Definition(
    descriptors=(
        "f0",
        "loudness_20ms",
        "spectral_20ms",
        "mfcc_20ms",
        "cycles",
        "hnr",
        "harmonics",
        "formants",
        "loudness_peaks",
        "duration",
        "sound_level",
    ),
    functionals=tuple(
        dict.fromkeys(
            f"{ours}{frames}"
            for _, _, frames, functionals, _ in _CONTOURS
            for _, ours in functionals
        )
    ),
    smooth=3,
    counterparts=(
        *(
            Counterpart(
                f"{column}__{ours}{frames}",
                f"{word}_{theirs}",
                relation,
                -1 if column == "alpha_ratio_db" else 1,
            )
            for word, column, frames, functionals, relation in _CONTOURS
            for theirs, ours in functionals
        ),
        *(Counterpart(column, word, relation) for word, column, relation in _CLIP),
    ),
)
