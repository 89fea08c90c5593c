"""Mel-frequency cepstral coefficients, in the conventions of the programs that people compare with.

"MFCC" names a family: programs differ in framing, window, mel scale, shape of the bands, logarithm,
scale of the cosine transform and lifter, and the numbers differ by factors. Each convention here is
one row of `CONVENTIONS`, and each is held to the program that it names.

========== =============================================== =========================================
convention  what it is                                      tested against
========== =============================================== =========================================
serfeat    the default: HTK's with bands from 20 Hz        openSMILE with the same settings
htk        HTK, openSMILE with ``htkcompatible = 1``        openSMILE's cMfcc
kaldi      ``compute-mfcc-feats --dither=0``; with          kaldi-native-fbank
           ``energy=False``: ``--use-energy=false``
librosa    ``librosa.feature.mfcc`` with its defaults       librosa; TIM-Net's published row
========== =============================================== =========================================

The formula, with the numbers of [2]: ``y[n] = x[n] - 0.97 x[n-1]`` (5.1), a Hamming window (5.2),
the power spectrum, N = 26 triangles equally spaced on ``mel(f) = 2595 log10(1 + f / 700)`` (5.13),
the logarithm m_j of each band's power, ``c_k = sqrt(2 / N) sum_j m_j cos(pi k (j - 0.5) / N)``
(5.14), times ``1 + 11 sin(pi k / 22)`` (5.12).

Pre-emphasis comes before the window, as in HTK. After it (``emphasised="spectrum"``) it is a weight
of the power spectrum, and one spectrum less is needed; but by then the window's side lobes
have leaked low frequencies into weak high bands. On EMO-DB coefficients 1 ... 13 then differ by 0.8
in the median and by 7 at the 95th percentile (their standard deviation is 17).

Coefficient k is always cosine coefficient k: column ``mfcc_0`` is the level (proportional to the
mean log energy of the bands), ``mfcc_1`` ... describe the shape of the spectrum and do not change
with gain while no band is at the floor. In digital silence every band is at the floor, so
``mfcc_1`` ... are 0 and ``mfcc_0`` is the lowest value it can have: a statement about the level,
not an undefined value. In `kaldi` coefficient 0 is the log energy of the frame (HTK's ``_E``).

Contents
--------
`CONVENTIONS`, `Convention` : the table.
`mfcc`                      : the coefficients of a signal.
`centre_fit`                : TIM-Net's padding and cropping to a fixed number of samples.

Sources
-------
[1] S. Davis, P. Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition", IEEE Trans. ASSP 28(4), 1980.
[2] S. Young et al., The HTK Book (3.4), sections 5.2 to 5.6.
[3] B. McFee et al., "librosa: audio and music signal analysis in Python", SciPy 2015.
[4] J. Ye et al., "Temporal modeling matters: a novel temporal emotional modeling approach for
    speech emotion recognition" (TIM-Net), ICASSP 2023.
[5] D. Povey et al., "The Kaldi speech recognition toolkit", ASRU 2011; its feat/feature-mfcc.cc.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from serfeat.errors import FeatureError, did_you_mean
from serfeat.shorttime import Descriptor, ShortTime, Window, window
from serfeat.signal.bands import SparseBank, band_powers, sparse_bank
from serfeat.spectrum import MelScale, dct_ortho, mel_filterbank
from serfeat.types import Floats

__all__ = ["CONVENTIONS", "DESCRIPTORS", "Convention", "centre_fit", "mfcc"]

# Programs for 16-bit integers have a floor on a band's power that only means something on that
# scale. openSMILE's full scale is 32767, Kaldi's 32768.
HTK_FLOOR = 32767.0**-2
KALDI_FLOOR = float(np.finfo(np.float32).eps) / 32768.0**2

# Frames analysed at a time for Kaldi: bounds the memory.
BLOCK = 256


@dataclass(frozen=True)
class Convention:
    """The choices between the samples and a cepstrum.

    Parameters
    ----------
    length : s, analysis window; or an int: samples.
    window : its shape; ``"povey"`` is Kaldi's, a Hann window to the power of 0.85.
    remove_mean : take the mean of each frame away first.
    preemphasis : a of ``1 - a z^-1``, 0 for none.
    emphasised : where: ``"frame"``: inside each frame, before the window, ``y[0] = (1 - a) x[0]``
        (HTK, Kaldi); ``"spectrum"``: after the window, as a weight of the power spectrum.
    n_bands, f_low, f_high, scale : the mel bank; `f_high` None or above it is half the sample rate.
    first_bin : lowest bin that a band may use; None: as HTK.
    floor : least power of a band, full scale = 1.
    full_scale : of the samples that the logarithm sees.
    log : ``"ln"``: natural logarithm; ``"db"``: decibel, at least 80 dB below the clip's maximum.
    lifter : L of ``1 + L/2 sin(pi k / L)``, 0 for none.
    htk_c0 : scale coefficient 0 like the others, sqrt(2) above the orthonormal transform.
    energy : coefficient 0 is the log energy of the frame, before pre-emphasis and window.
    """

    length: float | int = 0.025
    window: Window | Literal["povey"] = "hamming"
    remove_mean: bool = False
    preemphasis: float = 0.97
    emphasised: Literal["frame", "spectrum"] = "frame"
    n_bands: int = 26
    f_low: float = 0.0
    f_high: float | None = 8000.0
    scale: MelScale = "htk"
    first_bin: int | None = None
    floor: float = HTK_FLOOR
    full_scale: float = 32767.0
    log: Literal["ln", "db"] = "ln"
    lifter: int = 22
    htk_c0: bool = True
    energy: bool = False

    def samples(self, sr: int) -> int:
        """Window length at a sample rate."""
        if isinstance(self.length, int):
            return self.length
        return max(1, round(self.length * sr))


CONVENTIONS: dict[str, Convention] = {
    "serfeat": Convention(f_low=20.0),
    "htk": Convention(),
    "kaldi": Convention(
        window="povey",
        remove_mean=True,
        n_bands=23,
        f_low=20.0,
        f_high=None,
        first_bin=0,
        floor=KALDI_FLOOR,
        full_scale=32768.0,
        htk_c0=False,
        energy=True,
    ),
    "librosa": Convention(
        length=2048,
        window="hann_periodic",
        preemphasis=0.0,
        n_bands=128,
        f_high=None,
        scale="slaney",
        floor=1e-10,
        full_scale=1.0,
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
    n : coefficients 0 ... n - 1; at most the number of bands. (Kaldi's own default is 13.)
    convention : a key of `CONVENTIONS`.
    align : ``"centre"`` for the toolkit's grid, ``"left"`` for the framing of HTK, openSMILE and
        Kaldi (``--snip-edges=true``).
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
    if c.window == "povey" or c.remove_mean or c.energy:
        power, energy = _kaldi_spectrum(st, c, align)
    else:
        before = c.preemphasis if c.emphasised == "frame" else 0.0
        samples = c.samples(st.sr)
        power = st.power(samples, window_name=c.window, preemphasis=before, align=align)
    bank, cosines = _tables(c, st.sr, 2 * (power.shape[1] - 1), n)
    bands = band_powers(power, bank, c.floor * c.full_scale**2)
    if c.log == "ln":
        np.log(bands, out=bands)
    else:
        np.log10(bands, out=bands)
        bands *= 10.0
        np.maximum(bands, bands.max() - 80.0, out=bands)
    cepstrum: Floats = bands @ cosines
    if c.energy:
        cepstrum[:, 0] = np.log(np.maximum(energy, c.floor) * c.full_scale**2)
    return cepstrum


@lru_cache(maxsize=32)
def _tables(c: Convention, sr: int, n_fft: int, n: int) -> tuple[SparseBank, Floats]:
    """Bank with the spectral pre-emphasis and the scale, and (n_bands, n) liftered cosines."""
    bank = mel_filterbank(
        sr,
        n_fft,
        c.n_bands,
        f_low=c.f_low,
        f_high=c.f_high,
        scale=c.scale,
        first_bin=c.first_bin,
    )
    if c.emphasised == "spectrum":
        w = 2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft
        bank = bank * (1 - 2 * c.preemphasis * np.cos(w) + c.preemphasis**2)
    cosines = dct_ortho(np.eye(c.n_bands), n)
    if c.htk_c0:
        cosines[:, 0] *= np.sqrt(2.0)
    if c.lifter:
        cosines *= 1 + c.lifter / 2 * np.sin(np.pi * np.arange(n) / c.lifter)
    return sparse_bank(bank * c.full_scale**2), np.ascontiguousarray(cosines)


def _kaldi_spectrum(
    st: ShortTime, c: Convention, align: Literal["centre", "left"]
) -> tuple[Floats, Floats]:
    """(frames, bins) power and (frames,) energy; steps in the order of Kaldi's feature-window.cc.

    The energy is that of the frame without its mean, before pre-emphasis and window ("raw").
    """
    length = c.samples(st.sr)
    n_fft = 1 << (length - 1).bit_length()
    frames = st.frames(length, align=align)
    weights = window("hann", length) ** 0.85 if c.window == "povey" else window(c.window, length)
    before = c.preemphasis if c.emphasised == "frame" else 0.0
    power, energy = np.empty((len(frames), n_fft // 2 + 1)), np.empty(len(frames))
    padded = np.zeros((min(BLOCK, len(frames)), n_fft))
    for first in range(0, len(frames), BLOCK):
        block = frames[first : first + BLOCK]
        if c.remove_mean:
            block = block - block.mean(axis=1, keepdims=True)
        rows = slice(first, first + len(block))
        energy[rows] = np.einsum("tn,tn->t", block, block)
        out = padded[: len(block), :length]
        out[:] = block
        out[:, 1:] -= before * block[:, :-1]
        out[:, 0] -= before * block[:, 0]
        out *= weights
        spectrum = scipy.fft.rfft(padded[: len(block)], axis=1)
        power[rows] = spectrum.real**2 + spectrum.imag**2
    return power, energy


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
        "20-8000 Hz, 25 ms Hamming window, pre-emphasis 0.97, liftered",
        source="Davis & Mermelstein 1980; The HTK Book; = openSMILE htkcompatible",
        compute=_coefficients,
        params={"n": 14, "convention": CONVENTIONS["serfeat"]},
        version=2,
        oracle="openSMILE's HTK-compatible chain: 2e-4 absolute; the conventions librosa and kaldi "
        "beside their namesakes: 1e-6 and 1e-4 relative",
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
        version=2,
        oracle="librosa.feature.mfcc: 1e-6 relative; the row that TIM-Net's authors print for a "
        "file of RAVDESS: 5e-5",
    ),
    Descriptor(
        name="mfcc_20ms",
        columns=tuple(f"mfcc_{k}" for k in range(5)),
        unit="1",
        summary="MFCC of eGeMAPS: 20 ms Hamming window, no pre-emphasis, 26 mel bands, 20-8000 Hz, "
        "liftered",
        source="The HTK Book; = openSMILE's eGeMAPSv02",
        compute=_coefficients,
        params={
            "n": 5,
            "convention": replace(CONVENTIONS["htk"], length=0.020, preemphasis=0.0, f_low=20.0),
        },
        version=2,
        oracle="openSMILE's means of mfcc1 to mfcc4 on EMO-DB: 2 % in the median (its grid has two "
        "frames less)",
    ),
    Descriptor(
        name="mfcc_htk",
        columns=tuple(f"mfcc_{k}" for k in range(13)),
        unit="1",
        summary="MFCC of HTK: as mfcc, with 26 mel bands from 0 Hz",
        source="The HTK Book 3.4, sections 5.4 and 5.6; = openSMILE htkcompatible",
        compute=_coefficients,
        params={"n": 13, "convention": CONVENTIONS["htk"]},
        oracle="openSMILE's HTK-compatible chain, in HTK's framing: 2e-4 absolute",
    ),
    Descriptor(
        name="mfcc_kaldi",
        columns=tuple(f"mfcc_{k}" for k in range(13)),
        unit="1",
        summary="MFCC of Kaldi: 25 ms Povey window, 23 mel bands, 20-8000 Hz, liftered; mfcc_0 is "
        "the log energy of the frame",
        source="Povey et al. 2011, feat/feature-mfcc.cc, without dither",
        compute=_coefficients,
        params={"n": 13, "convention": CONVENTIONS["kaldi"]},
        oracle="kaldi-native-fbank, in Kaldi's framing: 1e-4 relative",
    ),
    Descriptor(
        name="mfcc_librosa",
        columns=tuple(f"mfcc_{k}" for k in range(20)),
        unit="1",
        summary="MFCC of librosa: 2048-sample Hann window, 128 Slaney mel bands, dB no more than "
        "80 below the clip's maximum",
        source="McFee et al. 2015; = librosa.feature.mfcc(hop_length=160)",
        compute=_coefficients,
        params={"n": 20, "convention": CONVENTIONS["librosa"]},
        oracle="librosa.feature.mfcc: 1e-6 relative",
    ),
)
