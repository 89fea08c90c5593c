"""openSMILE's descriptors on serfeat's grid, under serfeat's names: the backend "opensmile".

openSMILE aligns frames to the left: row k begins at sample k times its step of 10 ms, whatever the
length of the frame, and columns that were made with frames of 20, 25 and 60 ms share a row although
their centres are up to 20 ms apart. So it is run once for each length of frame, on the clip with
half a frame of zeros before it: row k is then centred on sample ``k * step``, which is our frame.
With another hop than 10 ms a frame takes the nearest row.

Three kinds of numbers come out:

* "zcr", "energy", "mfcc", "plp", "lpc": the same quantity as ours, from openSMILE's components with
  our settings (`opensmile_frames.conf`); they differ by its 32-bit arithmetic, and because it reads
  16 bits: where pauses are that quiet (RAVDESS) its zero-crossing rate is half of ours and less,
  and LPC and the energy of such frames differ too;
* "f0", "f0_shs", "formants", "loudness": the same quantity by another method, from eGeMAPS: F0 by
  subharmonic summation in 60 ms (about 4 cents high), formants from 20 ms without pre-emphasis
  (300 Hz from ours and from Praat's in the median); all of them smoothed over three frames;
* "hnr", "jitter", "shimmer": other quantities that share a name, so they have columns of their own.
  Its HNR does not divide the autocorrelation of the window out and saturates near 10 dB; its jitter
  and shimmer are local ones of every frame.

openSMILE says 0 for undefined; here that is NaN. Its licence must have been accepted.

Contents
--------
`DESCRIPTORS` : the names above.

Sources
-------
F. Eyben, M. Wöllmer, B. Schuller, "openSMILE", ACM Multimedia 2010; F. Eyben et al., "The Geneva
minimalistic acoustic parameter set (GeMAPS)", IEEE T-AFFC 7(2), 2016; through
`serfeat.lld.opensmile`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from serfeat.lld import opensmile
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.types import Floats, Ints

__all__ = ["DESCRIPTORS"]

STEP = 0.010  # s between openSMILE's rows
LONG, SHORT, PLAIN = 0.060, 0.020, 0.025  # s: frames of F0, of the spectrum, of our configuration
FLOOR_DB = -100.0  # of our "energy", in dB re full scale


def _rows(
    st: ShortTime,
    feature_set: str,
    frame: float,
    *,
    centred: bool,
    zero_is_positive: bool = False,
) -> dict[str, Floats]:
    """Run openSMILE with its frames centred on ours.

    Parameters
    ----------
    feature_set : of `serfeat.lld.opensmile`.
    frame : s: the length of the frames whose columns are wanted.
    centred : take the mean of the clip away first.
    zero_is_positive : put the last bit in place of samples of exactly 0.

    Returns
    -------
    (n_frames,) of every column of the set.
    """

    def make() -> dict[str, Floats]:
        step = math.floor(STEP * st.sr + 0.5)
        wanted: Ints = np.rint(np.arange(st.n_frames) * (st.hop / step)).astype(np.int64)
        before = round(frame * st.sr) // 2
        # Room for the last frame, and for the frames behind it that eGeMAPS smooths with.
        after = round(LONG * st.sr) + 3 * step
        signal = np.pad(st.centred if centred else st.x, (before, after))
        # The wrapper cuts off what is below a 16-bit step; rounding here leaves it nothing to cut.
        signal = np.rint(signal * 32768.0) / 32768.0
        if zero_is_positive:
            signal[signal == 0] = 1 / 32768
        values = opensmile.compute(signal, st.sr, feature_set, "lld")
        values = values[np.minimum(wanted, len(values) - 1)]
        names = opensmile.columns(feature_set, "lld")
        return {name: values[:, k] for k, name in enumerate(names)}

    return st.memo(("opensmile", feature_set, frame, centred, zero_is_positive), make)


def _egemaps(st: ShortTime, frame: float) -> dict[str, Floats]:
    """Run eGeMAPS; its names without "_sma3" and "_sma3nz"."""
    found = _rows(st, "eGeMAPSv02", frame, centred=True)
    return {name.split("_sma3")[0]: values for name, values in found.items()}


def _defined(values: Floats) -> Floats:
    """NaN for 0, which is how openSMILE writes undefined."""
    return np.asarray(np.where(values != 0, values, np.nan))


def _f0(st: ShortTime) -> Floats:
    """Compute "f0": (n_frames, 2) Hz, semitones re 27.5 Hz."""
    semitones = _defined(_egemaps(st, LONG)["F0semitoneFrom27.5Hz"])
    return np.column_stack([27.5 * 2 ** (semitones / 12), semitones])


def _f0_shs(st: ShortTime) -> Floats:
    """Compute "f0_shs": (n_frames, 1) Hz: what eGeMAPS calls its F0."""
    return _f0(st)[:, :1]


def _formants(st: ShortTime) -> Floats:
    """Compute "formants": (n_frames, 6) Hz, F1-F3 and B1-B3."""
    found = _egemaps(st, SHORT)
    names = [f"F{k}{what}" for what in ("frequency", "bandwidth") for k in (1, 2, 3)]
    return np.column_stack([_defined(found[name]) for name in names])


def _loudness(st: ShortTime) -> Floats:
    """Compute "loudness": (n_frames, 1)."""
    return _egemaps(st, SHORT)["Loudness"][:, None]


def _voice(st: ShortTime, *, column: str) -> Floats:
    """(n_frames, 1) of a column that openSMILE sets to 0 where the frame is unvoiced."""
    found = _egemaps(st, LONG)
    voiced = found["F0semitoneFrom27.5Hz"] > 0
    return np.where(voiced, found[column], np.nan)[:, None]


def _zcr(st: ShortTime) -> Floats:
    """Compute "zcr": (n_frames, 1) 1/s.

    openSMILE divides by the samples, not by the steps between them, and counts every 0 as a
    crossing: digital silence would have as many as samples.
    """
    size = round(PLAIN * st.sr)
    found = _rows(st, opensmile.FRAMES, PLAIN, centred=True, zero_is_positive=True)
    return np.asarray(found["pcm_zcr"] * (size / (size - 1) * st.sr))[:, None]


def _energy(st: ShortTime) -> Floats:
    """Compute "energy": (n_frames, 2) dB re full scale, ln of the summed squares on 16 bits."""
    found = _rows(st, opensmile.FRAMES, PLAIN, centred=True)
    rms = np.maximum(found["pcm_RMSenergy"], 10 ** (FLOOR_DB / 20))
    return np.column_stack([20 * np.log10(rms), found["pcm_LOGenergy"]])


def _mfcc(st: ShortTime) -> Floats:
    """Compute "mfcc": (n_frames, 14); HTK, and openSMILE with it, writes coefficient 0 last."""
    found = _rows(st, opensmile.FRAMES, PLAIN, centred=False)
    order = (13, *range(13))
    return np.column_stack([found[f"pcm_fftMag_mfcc[{k}]"] for k in order])


def _plp(st: ShortTime) -> Floats:
    """Compute "plp": (n_frames, 12)."""
    found = _rows(st, opensmile.FRAMES, PLAIN, centred=False)
    return np.column_stack([found[f"PlpCC[{k}]"] for k in range(12)])


def _lpc(st: ShortTime) -> Floats:
    """Compute "lpc": (n_frames, 12); openSMILE gives the inverse filter, of opposite sign."""
    found = _rows(st, opensmile.FRAMES, PLAIN, centred=False)
    return np.column_stack([0.0 - found[f"lpcCoeff[{k}]"] for k in range(12)])


def _tagged(
    name: str,
    columns: tuple[str, ...],
    unit: str | tuple[str, ...],
    compute: Callable[..., Floats],
    summary: str,
    source: str,
    undefined: str = "never",
    **params: str,
) -> Descriptor:
    """Make a descriptor with openSMILE's licence."""
    return Descriptor(
        name=name,
        columns=columns,
        unit=unit,
        summary=f"{summary}, by openSMILE",
        source=f"openSMILE, {source}",
        compute=compute,
        undefined=undefined,
        params=params,
        licence=opensmile.LICENCE,
    )


DESCRIPTORS: tuple[Descriptor, ...] = (
    _tagged(
        "f0",
        ("f0_hz", "f0_semitones"),
        ("Hz", "semitones re 27.5 Hz"),
        _f0,
        "rate of vocal-fold vibration",
        "eGeMAPSv02: subharmonic summation, Viterbi, smoothed over 3 frames",
        "unvoiced frames",
    ),
    _tagged(
        "f0_shs",
        ("f0_shs_hz",),
        "Hz",
        _f0_shs,
        "rate of vocal-fold vibration",
        "eGeMAPSv02: subharmonic summation, Viterbi, smoothed over 3 frames",
        "unvoiced frames",
    ),
    _tagged(
        "formants",
        ("f1_hz", "f2_hz", "f3_hz", "b1_hz", "b2_hz", "b3_hz"),
        "Hz",
        _formants,
        "frequencies and bandwidths of the first three formants",
        "eGeMAPSv02: 20 ms, order 11, no pre-emphasis, smoothed over 3 frames",
        "where no resonance is found",
    ),
    _tagged(
        "hnr",
        ("hnr_acf_opensmile_db",),
        "dB",
        _voice,
        "autocorrelation at the period over the rest (no window correction: below about 13 dB)",
        "eGeMAPSv02",
        "unvoiced frames",
        column="HNRdBACF",
    ),
    _tagged(
        "loudness",
        ("loudness",),
        "sone-like",
        _loudness,
        "loudness in 26 auditory bands",
        "eGeMAPSv02: 20 ms, smoothed over 3 frames",
    ),
    _tagged(
        "jitter",
        ("jitter_local_opensmile",),
        "1",
        _voice,
        "local jitter of every frame",
        "eGeMAPSv02",
        "unvoiced frames",
        column="jitterLocal",
    ),
    _tagged(
        "shimmer",
        ("shimmer_local_opensmile_db",),
        "dB",
        _voice,
        "local shimmer of every frame",
        "eGeMAPSv02",
        "unvoiced frames",
        column="shimmerLocaldB",
    ),
    _tagged("zcr", ("zcr_per_s",), "1/s", _zcr, "zero crossings per second", "cMZcr, 25 ms"),
    _tagged(
        "energy",
        ("rms_db", "log_energy"),
        ("dB", "ln"),
        _energy,
        "root mean square re full scale, and HTK's log energy",
        "cEnergy, 25 ms",
    ),
    _tagged(
        "mfcc",
        tuple(f"mfcc_{k}" for k in range(14)),
        "1",
        _mfcc,
        "Mel-frequency cepstrum, liftered",
        "cMfcc, htkcompatible, 0.97, 26 bands, 20-8000 Hz, 25 ms Hamming window",
    ),
    _tagged(
        "plp",
        tuple(f"plp_{k}" for k in range(1, 13)),
        "1",
        _plp,
        "perceptual linear prediction cepstrum, order 12, liftered",
        "cPlp, htkcompatible, 26 bands, 0-8000 Hz, 25 ms Hamming window",
    ),
    _tagged(
        "lpc",
        tuple(f"lpc_{k}" for k in range(1, 13)),
        "1",
        _lpc,
        "linear prediction coefficients a_k of s[n] = sum a_k s[n-k] + e[n]",
        "cLpc, autocorrelation method, order 12, 25 ms Hamming window",
    ),
)
