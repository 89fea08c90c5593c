"""How far up a recording must reach for a column to mean anything.

A telephone call of 8 kHz has nothing above 4 kHz. Resampled to the working rate of a set it gives a
number for every column, and some of these numbers describe the empty upper half: a cepstrum whose
upper bands hold rounding noise, formants of which some lie in the empty band. They are NaN, as all
that is undefined, and the recording has a flag. A set at the recording's own rate (``--sr 8000``)
has the columns again, of the bands that there are; not those defined by a band that ends above.

Linear prediction of formants takes five from a band of 5.5 kHz. With nothing above 4 kHz a pole or
two model the emptiness and the others move: in voiced frames of EMO-DB at 8 kHz, the default set
missed what it finds in the recordings of 16 kHz by 14, 196 and 617 Hz in the median (F1, F2, F3),
and by more than 20 % in 19, 38 and 54 % of the frames; a tenth of the F1 were off by 590 Hz and
more. With ``--sr 8000`` it is 10, 42 and 66 Hz, and 14 % of the frames. So all formants go, and
with them their bandwidths, their levels and H1-A3, which ask for the same poles. Cepstral peak
prominence takes the logarithm of the band up to 5 kHz. openSMILE's formants bear an empty band: the
means of clips differed by less than 7 Hz.

What is measured of the sound that is there (level, pitch, H1-H2, the moments of the spectrum)
stays.

Contents
--------
`REACH`   : what a column's name begins with -> Hz; infinite for half the working rate.
`reach`   : of one column.
`beyond`  : the columns that a recording does not reach.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from serfeat.lld.teo_bands import BAND_EDGES
from serfeat.spectrum import hz_to_mel, mel_to_hz

__all__ = ["REACH", "beyond", "reach"]

WHOLE = math.inf

# Upper edges of 26 mel bands from 20 to 8000 Hz
_LOW, _HIGH = hz_to_mel([20.0, 8_000.0], scale="htk").tolist()
_MEL_EDGES = mel_to_hz(np.linspace(_LOW, _HIGH, 28)[2:], scale="htk").round(6)

# Ours first, then openSMILE's. The longest beginning decides.
REACH: dict[str, float] = {
    **dict.fromkeys(("mfcc_", "teo_mfcc_"), 8_000.0),
    **dict.fromkeys(("lpc_", "lpcc_", "lsf_", "plp_", "rasta_plp_", "plp_erb_"), WHOLE),
    **{f"{v}{k}_hz": 5_500.0 for k in range(1, 6) for v in "fb"},
    **dict.fromkeys(("f1_level_db", "f2_level_db", "f3_level_db", "h1_a3_db"), 5_500.0),
    **dict.fromkeys(("cpp_db", "cpps_db"), 5_000.0),
    **dict.fromkeys(("alpha_ratio_db", "hammarberg_db", "spectral_flux"), 5_000.0),
    **dict.fromkeys(("spectral_flatness", "spectral_entropy"), WHOLE),
    **{f"teo_cb_{k + 1}": float(edge) for k, edge in enumerate(BAND_EDGES[1:])},
    **dict.fromkeys(("mfcc_sma", "pcm_fftMag_mfcc"), 8_000.0),
    **{f"mfcc{k}{v}_sma": 8_000.0 for k in range(1, 5) for v in ("", "V", "UV")},
    **dict.fromkeys(("alphaRatio", "hammarbergIndex"), 5_000.0),
    "audspec_lengthL1norm": 8_000.0,
    "audspecRasta_lengthL1norm": 8_000.0,
    **{f"audSpec_Rfilt_sma[{k}]": float(edge) for k, edge in enumerate(_MEL_EDGES)},
}
_BEGINNINGS = re.compile("|".join(re.escape(b) for b in sorted(REACH, key=len, reverse=True)))


def reach(column: str) -> float:
    """Hz up to which a recording must reach; 0 where any will do."""
    found = _BEGINNINGS.match(column)
    if found is None:
        return 0.0
    # teo_cb_1 is not teo_cb_12, nor is it a column of another name
    whole = column[found.end() : found.end() + 1].isdigit() and found[0][-1].isdigit()
    return 0.0 if whole else REACH[found[0]]


@lru_cache(maxsize=64)
def beyond(columns: Sequence[str], sr: int, recorded: int) -> tuple[int, ...]:
    """Places of the columns that describe what a recording cannot hold.

    Parameters
    ----------
    columns : names, as a tuple.
    sr : Hz, the working rate: more than its half is asked of nobody.
    recorded : Hz, the rate of the recording.
    """
    if recorded >= sr:
        return ()
    return tuple(i for i, c in enumerate(columns) if min(reach(c), sr / 2) > recorded / 2)
