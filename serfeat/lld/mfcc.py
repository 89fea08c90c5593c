"""Mel-frequency cepstral coefficients, in the conventions of the programs that people compare with.

"MFCC" names a family: programs differ in framing, window, mel scale, shape of the bands, logarithm,
scale of the cosine transform and lifter, and the numbers differ by factors. Each convention here is
one row of `CONVENTIONS`, and each is held to the program that it names.

========== =============================================== =========================================
convention  what it is                                      tested against
========== =============================================== =========================================
serfeat    the default: HTK's, without pre-emphasis, from   openSMILE with the same settings
           20 Hz, so that LPC and PLP share its spectrum
htk        HTK, openSMILE with ``htkcompatible = 1``        openSMILE's cMfcc
librosa    ``librosa.feature.mfcc`` with its defaults       librosa; TIM-Net's published row
========== =============================================== =========================================

Coefficient k is always cosine coefficient k: column ``mfcc_0`` is the level (proportional to the
mean log energy of the bands), ``mfcc_1`` ... describe the shape of the spectrum and do not change
with gain while no band is at the floor. In digital silence every band is at the floor, so
``mfcc_1`` ... are 0 and ``mfcc_0`` is the lowest value it can have: a statement about the level,
not an undefined value.

Contents
--------
`CONVENTIONS`, `Convention` : the table.
`mfcc`                      : the coefficients of a signal.
`centre_fit`                : TIM-Net's padding and cropping to a fixed number of samples.

Sources
-------
[1] S. Davis, P. Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition", IEEE Trans. ASSP 28(4), 1980.
[2] S. Young et al., The HTK Book (3.4), sections 5.4 and 5.6.
[3] B. McFee et al., "librosa: audio and music signal analysis in Python", SciPy 2015.
[4] J. Ye et al., "Temporal modeling matters: a novel temporal emotional modeling approach for
    speech emotion recognition" (TIM-Net), ICASSP 2023.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError, did_you_mean
from serfeat.shorttime import Descriptor, ShortTime, Window
from serfeat.spectrum import MelScale, dct_ortho, mel_filterbank
from serfeat.types import Floats

__all__ = ["CONVENTIONS", "DESCRIPTORS", "Convention", "centre_fit", "mfcc"]

# HTK reads 16-bit integers; its floor of 1 on a band's power only has a meaning on that scale.
INT16_POWER = 32767.0**2


@dataclass(frozen=True)
class Convention:
    """The choices between a power spectrum and a cepstrum.

    Parameters
    ----------
    length : s, analysis window; or an int: samples.
    window : its shape.
    preemphasis : coefficient, inside each frame, 0 for none.
    n_bands, f_low, f_high, scale : the mel bank; `f_high` None or above it is half the sample rate.
    log : ``"ln"``: natural logarithm of the power on the 16-bit scale, at least 1 (HTK);
        ``"db"``: decibel of the power, at least 1e-10 and 80 dB below the clip's maximum (librosa).
    lifter : L of ``1 + L/2 sin(pi k / L)``, 0 for none.
    htk_c0 : scale coefficient 0 like the others, sqrt(2) above the orthonormal transform.
    """

    length: float | int = 0.025
    window: Window = "hamming"
    preemphasis: float = 0.0
    n_bands: int = 26
    f_low: float = 0.0
    f_high: float | None = 8000.0
    scale: MelScale = "htk"
    log: Literal["ln", "db"] = "ln"
    lifter: int = 22
    htk_c0: bool = True

    def samples(self, sr: int) -> int:
        """Window length at a sample rate."""
        if isinstance(self.length, int):
            return self.length
        return max(1, round(self.length * sr))


CONVENTIONS: dict[str, Convention] = {
    "serfeat": Convention(f_low=20.0),
    "htk": Convention(preemphasis=0.97),
    "librosa": Convention(
        length=2048,
        window="hann_periodic",
        n_bands=128,
        f_high=None,
        scale="slaney",
        log="db",
        lifter=0,
        htk_c0=False,
    ),
}


def mfcc(
    x: ArrayLike,
    sr: int,
    *,
    hop: float = 0.010,
    n: int = 14,
    convention: str = "serfeat",
    align: Literal["centre", "left"] = "centre",
    **changes: Any,
) -> Floats:
    """Mel-frequency cepstral coefficients ([1]; [2]).

    Parameters
    ----------
    x : (n_samples,) mono in [-1, 1).
    sr : Hz.
    hop : s between frames.
    n : coefficients 0 ... n - 1; at most the number of bands.
    convention : a key of `CONVENTIONS`.
    align : ``"centre"`` for the toolkit's grid, ``"left"`` for HTK's and openSMILE's framing.
    **changes : fields of `Convention` to change: ``n_bands=40``, ``lifter=0``, ...

    Returns
    -------
    (n_frames, n): finite, pure numbers. Silence gives ``[c0, 0, 0, ...]``; in ``"librosa"`` c0 is
    then 80 dB below the clip's loudest band, and -1131.37 where the whole clip is silent.

    Raises
    ------
    UnknownNameError : a convention that is not in the table.
    FeatureError : an unknown field, more coefficients than bands, no room for the bands.
    """
    if convention not in CONVENTIONS:
        raise did_you_mean("MFCC convention", convention, CONVENTIONS)
    unknown = set(changes) - set(Convention.__dataclass_fields__)
    if unknown:
        raise did_you_mean("MFCC setting", min(unknown), Convention.__dataclass_fields__)
    chosen = replace(CONVENTIONS[convention], **changes)
    return _coefficients(ShortTime(x, sr, hop), n=n, convention=chosen, align=align)


def _coefficients(
    st: ShortTime,
    *,
    n: int,
    convention: Convention,
    align: Literal["centre", "left"] = "centre",
) -> Floats:
    """(n_frames, n) coefficients of a clip that is already on its grid."""
    c = convention
    length = c.samples(st.sr)
    power = st.power(length, window_name=c.window, preemphasis=c.preemphasis, align=align)
    n_fft = 2 * (power.shape[1] - 1)
    bank = mel_filterbank(st.sr, n_fft, c.n_bands, f_low=c.f_low, f_high=c.f_high, scale=c.scale)
    cepstrum = dct_ortho(_log(power @ bank.T, c.log), n)
    if c.htk_c0:
        cepstrum[:, 0] *= np.sqrt(2.0)
    if c.lifter:
        cepstrum *= 1 + c.lifter / 2 * np.sin(np.pi * np.arange(n) / c.lifter)
    return cepstrum


def _log(bands: Floats, log: Literal["ln", "db"]) -> Floats:
    """Logarithm of the power in each band, with the convention's floor."""
    if log == "ln":
        return np.asarray(np.log(np.maximum(bands * INT16_POWER, 1.0)))
    db = 10 * np.log10(np.maximum(bands, 1e-10))
    return np.asarray(np.maximum(db, db.max() - 80.0))


def centre_fit(x: ArrayLike, n_samples: int) -> Floats:
    """Pad with zeros or crop a signal around its centre, as TIM-Net does before its MFCC ([4]).

    Parameters
    ----------
    x : (n,) signal; shorter: ``floor(d / 2)`` zeros before and the rest after; longer: the
        ``n_samples`` that begin at ``floor((n - n_samples) / 2)``.
    n_samples : 88 000 for CASIA, 96 000 for EMO-DB and EMOVO, 110 000 for RAVDESS, 130 000 for
        SAVEE and 310 000 for IEMOCAP, all at 22 050 Hz.

    Returns
    -------
    (n_samples,) float64.
    """
    signal = np.asarray(x, dtype=np.float64)
    if signal.ndim != 1 or n_samples < 1:
        raise FeatureError(
            f"a signal of shape {signal.shape} to fit into {n_samples} samples, expected "
            "(n_samples,) and at least one",
            code="bad-shape",
        )
    missing = n_samples - len(signal)
    if missing >= 0:
        return np.pad(signal, (missing // 2, missing - missing // 2))
    first = -missing // 2
    return signal[first : first + n_samples].copy()


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor(
        name="mfcc",
        columns=tuple(f"mfcc_{k}" for k in range(14)),
        unit="1",
        summary="Mel-frequency cepstrum: spectral envelope; mfcc_0 is the level, 26 mel bands, "
        "20-8000 Hz, 25 ms Hamming window, liftered",
        source="Davis & Mermelstein 1980; The HTK Book; = openSMILE htkcompatible",
        compute=_coefficients,
        params={"n": 14, "convention": CONVENTIONS["serfeat"]},
    ),
    Descriptor(
        name="mfcc39",
        columns=tuple(f"mfcc_{k}" for k in range(39)),
        unit="1",
        summary="TIM-Net's front end: 39 static coefficients of librosa's default MFCC "
        "(2048-sample Hann window; meant for 22 050 Hz and a hop of 512 samples)",
        source="Ye et al. 2023, published code; = librosa.feature.mfcc(n_mfcc=39)",
        compute=_coefficients,
        params={"n": 39, "convention": CONVENTIONS["librosa"]},
    ),
)
