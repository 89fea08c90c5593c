"""Perceptual linear prediction (PLP), RASTA-PLP, and PLP on an ERB filter bank.

PLP shapes the power spectrum the way hearing does before it fits an all-pole model [1]:

1. critical bands: energies on an auditory frequency scale;
2. (RASTA [2]: band-pass filter of each band's logarithm over time: removes a fixed channel;)
3. equal loudness: each band weighted by the ear's sensitivity at the band's centre **frequency**
   (one published package applies the curve to the energies instead: that is not PLP);
4. intensity to loudness: power 0.33;
5. the first and last value repeated at the ends, inverse DFT, Levinson recursion;
6. cepstrum of the model, by recursion; liftered in HTK.

========= ============================================== ==========================================
variant   critical bands                                 rest
========= ============================================== ==========================================
htk       26 triangles on the mel scale, 0-8000 Hz       lifter 22; = openSMILE's cPlp
hermansky asymmetric curve on the Bark scale, about one  loudness of [1] with its term above 5 kHz,
          band per Bark                                  no lifter
erb       40 gammatone magnitudes on the ERB scale,      as hermansky
          50 Hz to sr / 2
========= ============================================== ==========================================

The signal is put on the 16-bit scale and a band is at least 1 there (as in HTK), so digital silence
gives the finite cepstrum of the loudness curve. A gain changes only coefficient 0 as long as no
band is at that floor.

Contents
--------
`plp`             : cepstra of a signal.
`VARIANTS`        : the table above.
`critical_bands`  : weights and centre frequencies of a variant.
`equal_loudness`  : sensitivity of the ear at a frequency.
`rasta_filter`    : the band-pass filter over time.

Sources
-------
[1] H. Hermansky, "Perceptual linear predictive analysis of speech", JASA 87(4), 1990.
[2] H. Hermansky, N. Morgan, "RASTA processing of speech", IEEE Trans. SAP 2(4), 1994.
[3] S. Young et al., The HTK Book (3.4), section 5.7.
[4] M. Slaney, "An efficient implementation of the Patterson-Holdsworth auditory filter bank",
    Apple TR 35, 1993; B. Glasberg, B. Moore, Hearing Research 47, 1990.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError, did_you_mean
from serfeat.jit import COMPILED, jit
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.bands import SparseBank, band_powers, sparse_bank
from serfeat.signal.prediction import levinson, lpcc
from serfeat.spectrum import (
    autocorrelation,
    bark_to_hz,
    dct_ortho,
    erb,
    hz_to_bark,
    hz_to_erb_rate,
    hz_to_mel,
    mel_filterbank,
    mel_to_hz,
)
from serfeat.types import Floats

__all__ = [
    "DESCRIPTORS",
    "VARIANTS",
    "Compression",
    "Variant",
    "critical_bands",
    "equal_loudness",
    "plp",
    "rasta_filter",
]

Compression = Literal["log", "sqrt", "cuberoot"]

# The 16-bit scale, on which a band's floor of 1 has its meaning.
INT16_POWER = 32767.0**2

# Hermansky's cube root is printed, and used by every implementation, as 0.33.
EXPONENTS: dict[str, float] = {"cuberoot": 0.33, "sqrt": 0.5}


@dataclass(frozen=True)
class Variant:
    """What distinguishes one PLP from another.

    Parameters
    ----------
    bank : shape of the critical bands.
    above_5_khz : weight the loudness curve down above 5 kHz ([1]).
    lifter : L of ``1 + L/2 sin(pi k / L)``, 0 for none.
    """

    bank: Literal["mel", "bark", "erb"]
    above_5_khz: bool
    lifter: int


VARIANTS: dict[str, Variant] = {
    "htk": Variant(bank="mel", above_5_khz=False, lifter=22),
    "hermansky": Variant(bank="bark", above_5_khz=True, lifter=0),
    "erb": Variant(bank="erb", above_5_khz=True, lifter=0),
}


def plp(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    order: int = 12,
    n_cepstra: int | None = None,
    variant: str = "htk",
    compression: Compression = "cuberoot",
    rasta: bool = False,
    preemphasis: float = 0.0,
    length: float = 0.025,
    lifter: int | None = None,
    align: Literal["centre", "left"] = "centre",
) -> Floats:
    """Cepstra of perceptual linear prediction ([1]).

    Parameters
    ----------
    x : (n_samples,) mono in [-1, 1).
    sr : Hz.
    hop, length : s between frames, and of the Hamming window.
    order : poles of the model; 5 in [1], 12 in HTK.
    n_cepstra : last coefficient, at least 0; default `order`.
    variant : a key of `VARIANTS`.
    compression : ``"cuberoot"`` (power 0.33) or ``"sqrt"``, then an all-pole model; ``"log"``: a
        logarithm is not a power spectrum, so its cosine transform is given and `order` plays no
        part.
    rasta : filter the log bands over time; the filter is meant for a hop of 10 ms.
    preemphasis : inside each frame, 0 for none; the descriptor "plp" takes 0.97, as HTK's and
        openSMILE's configurations do.
    lifter : instead of the variant's.
    align : ``"centre"`` for the toolkit's grid, ``"left"`` for HTK's and openSMILE's framing.

    Returns
    -------
    (n_frames, n_cepstra + 1) coefficients 0 ... n_cepstra, pure numbers, finite. Coefficient 0 is
    the logarithm of the model's squared gain.

    Raises
    ------
    UnknownNameError : a variant or compression that is not in the tables.
    FeatureError : an order that the number of bands does not support, a last coefficient below 0.
    """
    return _cepstra(
        ShortTime(x, sr, hop),
        order=order,
        n_cepstra=n_cepstra,
        variant=variant,
        compression=compression,
        rasta=rasta,
        preemphasis=preemphasis,
        length=length,
        lifter=lifter,
        align=align,
    )


def _cepstra(
    st: ShortTime,
    *,
    order: int,
    n_cepstra: int | None = None,
    variant: str = "htk",
    compression: Compression = "cuberoot",
    rasta: bool = False,
    preemphasis: float = 0.0,
    length: float = 0.025,
    lifter: int | None = None,
    align: Literal["centre", "left"] = "centre",
) -> Floats:
    """(n_frames, n_cepstra + 1) cepstra of a clip that is already on its grid."""
    if variant not in VARIANTS:
        raise did_you_mean("PLP variant", variant, VARIANTS)
    if compression not in (*EXPONENTS, "log"):
        raise did_you_mean("PLP compression", compression, (*EXPONENTS, "log"))
    kind = VARIANTS[variant]
    n = order if n_cepstra is None else n_cepstra
    if n < 0:
        raise FeatureError(f"a last coefficient of {n}, expected at least 0", code="bad-count")
    samples = max(1, round(length * st.sr))
    power = st.power(samples, window_name="hamming", preemphasis=preemphasis, align=align)
    n_fft = 2 * (power.shape[1] - 1)
    bank, log_weights = _log_bands(variant, st.sr, n_fft)
    bands = band_powers(power, bank, 1.0)
    np.log(bands, out=bands)
    if rasta:
        bands = rasta_filter(bands)
    bands += log_weights
    if compression == "log":
        cepstrum = dct_ortho(bands, n + 1)
    else:
        bands *= EXPONENTS[compression]
        lags = np.exp(bands, out=bands) @ _lag_weights(bands.shape[1], order)
        model = levinson(lags)
        cepstrum = lpcc(model.a, model.error, n)
    size = kind.lifter if lifter is None else lifter
    if size:
        cepstrum *= 1 + size / 2 * np.sin(np.pi * np.arange(n + 1) / size)
    return cepstrum


@lru_cache(maxsize=32)
def _log_bands(variant: str, sr: int, n_fft: int) -> tuple[SparseBank, Floats]:
    """Bank for the 16-bit scale, and the logarithm of each band's weight for equal loudness."""
    weights, centres = critical_bands(variant, sr, n_fft)
    loudness = equal_loudness(centres, above_5_khz=VARIANTS[variant].above_5_khz)
    return sparse_bank(weights * INT16_POWER), np.log(loudness)


@lru_cache(maxsize=32)
def _lag_weights(n_bands: int, order: int) -> Floats:
    """(n_bands, order + 1): from the loudness of the bands to its autocorrelation (step 5).

    The inverse DFT is linear, and so is repeating the first and the last band at the ends.
    """
    if not 1 <= order <= n_bands + 1:
        raise FeatureError(
            f"PLP order {order} on {n_bands} bands, expected 1 to {n_bands + 1}", code="bad-order"
        )
    ends = np.pad(np.eye(n_bands), ((0, 0), (1, 1)), mode="edge")
    return autocorrelation(ends, order + 1)


# ---------------------------------------------------------------------------------- critical bands
@lru_cache(maxsize=32)
def critical_bands(variant: str, sr: int, n_fft: int) -> tuple[Floats, Floats]:
    """Weights and centre frequencies of a variant's critical bands.

    Parameters
    ----------
    variant : a key of `VARIANTS`.
    sr, n_fft : Hz and points of the transform whose bins are weighted.

    Returns
    -------
    weights : (n_bands, n_fft // 2 + 1), shared and read-only.
    centres : (n_bands,) Hz.
    """
    bank = VARIANTS[variant].bank
    nyquist = sr / 2
    bins = np.arange(n_fft // 2 + 1) * (sr / n_fft)
    if bank == "mel":
        high = min(8000.0, nyquist)
        weights = mel_filterbank(sr, n_fft, 26, f_high=high, scale="htk")
        centres = mel_to_hz(np.linspace(0, hz_to_mel(high, "htk"), 28)[1:-1], "htk")
    elif bank == "bark":
        # Equally spaced from 0 Hz to half the sample rate, about 1 Bark apart; the bands at the
        # two ends are not computed: step 5 copies their neighbours there.
        top = float(hz_to_bark(nyquist))
        centres = bark_to_hz(np.linspace(0, top, int(np.ceil(top)) + 1)[1:-1])
        weights = _critical_band_curve(hz_to_bark(centres)[:, None] - hz_to_bark(bins))
    else:
        rates = np.linspace(hz_to_erb_rate(50.0), hz_to_erb_rate(nyquist), 40)
        centres = (10 ** (rates / 21.4) - 1) / 4.37e-3
        # Magnitude of a fourth-order gammatone filter, squared ([4]).
        offset = (bins - centres[:, None]) / (1.019 * erb(centres)[:, None])
        weights = (1 + offset**2) ** -4
    weights.flags.writeable = False
    centres.flags.writeable = False
    return weights, centres


def _critical_band_curve(bark: Floats) -> Floats:
    """Excitation at a distance in Bark above a tone ([1]).

    Steep below the tone (25 dB per Bark), shallow above it (10 dB per Bark): low tones mask high
    ones. A band therefore looks further down than up.
    """
    below = 10.0 ** (2.5 * np.minimum(bark + 0.5, 0.0))
    above = 10.0 ** -np.maximum(bark - 0.5, 0.0)
    return np.where((bark >= -1.3) & (bark <= 2.5), below * above, 0.0)


def equal_loudness(hz: ArrayLike, *, above_5_khz: bool = False) -> Floats:
    """Sensitivity of the ear (power) at 40 dB, by frequency ([1], in Hz).

    ``(f^2 / (f^2 + 1.6e5))^2 (f^2 + 1.44e6) / (f^2 + 9.61e6)``, as HTK writes it [3].

    Parameters
    ----------
    hz : (...) frequency.
    above_5_khz : multiply by ``1 / (1 + w^6 / 9.58e26)``, the fall above 5 kHz.

    Returns
    -------
    (...) weight of the power, below 1.
    """
    f = np.asarray(hz, dtype=np.float64)
    square = f**2
    weight = (square / (square + 1.6e5)) ** 2 * (square + 1.44e6) / (square + 9.61e6)
    if above_5_khz:
        weight = weight / (1 + (2 * np.pi * f) ** 6 / 9.58e26)
    return np.asarray(weight)


def rasta_filter(log_bands: ArrayLike) -> Floats:
    """Band-pass filter each band's logarithm over time ([2]).

    ``H(z) = 0.1 (2 + z^-1 - z^-3 - 2 z^-4) / (1 - 0.94 z^-1)``: passes about 1 to 12 Hz at 100
    frames per second. The filter is causal (no advance by four frames). It starts as if the first
    frame had always been there, so a constant is removed from the first frame on; the pole is
    0.94 as in common implementations (0.98 in the paper).

    Parameters
    ----------
    log_bands : (n_frames, n_bands).

    Returns
    -------
    (n_frames, n_bands).
    """
    bands = np.asarray(log_bands, dtype=np.float64)
    x = np.concatenate([np.repeat(bands[:1], 4, axis=0), bands])
    out: Floats = 0.1 * (2.0 * x[4:] + x[3:-1] - x[1:-3] - 2.0 * x[:-4])
    _leak(out, 0.94)
    return out


def _leak_plain(x: Floats, pole: float) -> None:
    """``y[t] = x[t] + pole y[t-1]`` over the first axis, in place; y is 0 before the first row."""
    for t in range(1, len(x)):
        x[t] += pole * x[t - 1]


@jit
def _leak_kernel(x: Floats, pole: float) -> None:
    for t in range(1, x.shape[0]):
        for band in range(x.shape[1]):
            x[t, band] += pole * x[t - 1, band]


_leak = _leak_kernel if COMPILED else _leak_plain


def _without_level(st: ShortTime, **settings: object) -> Floats:
    """Coefficients 1 ... order: shape without level."""
    return _cepstra(st, **settings)[:, 1:]  # type: ignore[arg-type]  # checked by _cepstra


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="plp",
        columns=tuple(f"plp_{k}" for k in range(1, 13)),
        unit="1",
        summary="Perceptual linear prediction cepstrum: pre-emphasis 0.97 and mel bands as for "
        "mfcc, equal loudness, order 12, "
        "liftered",
        source="Hermansky 1990; The HTK Book section 5.7; = openSMILE cPlp",
        compute=_without_level,
        params={"order": 12, "variant": "htk", "preemphasis": 0.97},
        version=3,
        oracle="openSMILE's cPlp: 5e-6 (order 5), 1e-4 (order 12); a known all-pole auditory "
        "spectrum: 1e-12",
    ),
    Descriptor(
        name="plp_hermansky",
        columns=tuple(f"plp_{k}" for k in range(1, 13)),
        unit="1",
        summary="PLP cepstrum of the paper: asymmetric critical bands on the Bark scale, no "
        "pre-emphasis, no lifter, order 12: columns of plp",
        source="Hermansky 1990, eq. 3 to 9",
        compute=_without_level,
        params={"order": 12, "variant": "hermansky"},
        oracle="the steps of the paper, written out for one frame: 1e-9",
    ),
    Descriptor(
        name="rasta_plp",
        columns=tuple(f"rasta_plp_{k}" for k in range(1, 13)),
        unit="1",
        summary="RASTA-PLP cepstrum: Bark bands filtered over time, so that a fixed channel drops "
        "out; order 12",
        source="Hermansky & Morgan 1994; Hermansky 1990",
        compute=_without_level,
        params={"order": 12, "variant": "hermansky", "rasta": True},
        version=2,
        oracle="the printed filter's impulse response: 1e-14; a constant offset of the log bands "
        "vanishes: 1e-12; a fixed channel: a tenth of what plp shows",
    ),
    Descriptor(
        name="plp_erb",
        columns=tuple(f"plp_erb_{k}" for k in range(1, 13)),
        unit="1",
        summary="PLP cepstrum on 40 gammatone bands of the ERB scale, cube root, order 12",
        source="Hermansky 1990 with the filter bank of Glasberg & Moore 1990",
        compute=_without_level,
        params={"order": 12, "variant": "erb"},
        version=2,
        oracle="equivalent rectangular width of the bands, closed form: 3 %; a gain changes the "
        "level alone: 1e-9",
    ),
    Descriptor(
        name="plp_erb_sqrt",
        columns=tuple(f"plp_erb_{k}" for k in range(1, 13)),
        unit="1",
        summary="plp_erb with the square root in place of the cube root: columns of plp_erb",
        source="Hermansky 1990 with the filter bank of Glasberg & Moore 1990",
        compute=_without_level,
        params={"order": 12, "variant": "erb", "compression": "sqrt"},
        oracle="the same steps, written out for one frame: 1e-9",
    ),
    Descriptor(
        name="plp_erb_log",
        columns=tuple(f"plp_erb_{k}" for k in range(1, 13)),
        unit="1",
        summary="cosine transform of the logarithms of the weighted ERB bands, without a model: "
        "columns of plp_erb",
        source="Hermansky 1990 with the filter bank of Glasberg & Moore 1990",
        compute=_without_level,
        params={"order": 12, "variant": "erb", "compression": "log"},
        oracle="the same steps, written out for one frame: 1e-9",
    ),
)
