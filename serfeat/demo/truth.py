"""What is true of an utterance, from what the synthesiser was driven with.

Conventions
-----------
The F0 contour stands on serfeat's grid (10 ms, frame i at i * 0.01 s, 1 + n // hop frames) and is
NaN where there is no voice. Perturbation is that of the periods and pulses really used, by the
formulas of Praat. HNR compares the energies of the two parts that were added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from serfeat.types import Bools, Floats

__all__ = ["Spell", "Truth", "measure"]

HOP_S = 0.010
HNR_WINDOW_S = 0.040
VOWELS = "aeiouAWY"


class Spell(Protocol):
    """A phone with its times (`serfeat.demo.Segment`)."""

    @property
    def start(self) -> float:
        """Beginning, s."""

    @property
    def end(self) -> float:
        """End, s."""

    @property
    def phone(self) -> str:
        """One character."""


@dataclass(frozen=True)
class Truth:
    """What is true of an utterance.

    Parameters
    ----------
    f0_hz : (n_frames,) every 10 ms, NaN = unvoiced.
    segments : phones with their times.
    formants_hz : (n_segments, 4) F1 to F4 in the middle of each segment.
    pulse_s : (k,) s, instants of glottal closure.
    period_s : (k,) s, the period that ends at each closure; NaN at the first of a stretch.
    jitter_local : mean |T_i - T_(i-1)| / mean T inside voiced stretches (F0 movement included).
    shimmer_local : mean |A_i - A_(i-1)| / mean A of the pulses' random factors.
    hnr_db : mean over voiced frames of 10 log10(energy of the voice / energy of the noise);
        inf where no noise was added.
    voiced_fraction : share of the frames that are voiced.
    duration_s, level_db : length; RMS of the whole utterance re full scale.
    """

    f0_hz: Floats
    segments: tuple[Spell, ...]
    formants_hz: Floats
    pulse_s: Floats
    period_s: Floats
    jitter_local: float
    shimmer_local: float
    hnr_db: float
    voiced_fraction: float
    duration_s: float
    level_db: float

    def row(self) -> dict[str, float]:
        """Columns of the manifest; formants are medians over the middles of the vowels."""
        f0 = self.f0_hz[np.isfinite(self.f0_hz)]
        st = 12.0 * np.log2(f0 / f0.mean())
        vowels = np.array([s.phone in VOWELS for s in self.segments])
        low = np.median(self.formants_hz[vowels], axis=0)
        return {
            "truth_f0_mean_hz": float(f0.mean()),
            "truth_f0_sd_semitones": float(st.std()),
            "truth_f0_min_hz": float(f0.min()),
            "truth_f0_max_hz": float(f0.max()),
            "truth_f0_range_semitones": float(st.max() - st.min()),
            **{f"truth_f{k + 1}_hz": float(low[k]) for k in range(4)},
            "truth_jitter_local": self.jitter_local,
            "truth_shimmer_local": self.shimmer_local,
            "truth_hnr_db": self.hnr_db,
            "truth_voiced_fraction": self.voiced_fraction,
            "truth_level_db": self.level_db,
        }


def measure(
    segments: Sequence[Spell],
    *,
    voice: Floats,
    noise: Floats,
    f0: Floats,
    voicing: Floats,
    formants: Floats,
    pulse_s: Floats,
    period_s: Floats,
    amplitude: Floats,
    first: Bools,
    sr: int,
) -> Truth:
    """State the truth of an utterance.

    Parameters
    ----------
    voice, noise : (n,) the two parts whose sum is the utterance.
    f0, voicing : (m,) controls, one a millisecond; formants (m, k >= 4) Hz.
    pulse_s, period_s, amplitude, first : (k,) of the pulses, from `synth.render`.
    """
    n, hop = voice.size, round(HOP_S * sr)
    frames = np.arange(1 + n // hop)
    at = np.minimum(frames * round(HOP_S * 1000), f0.size - 1)
    voiced = voicing[at] > 0.0
    middle = [min(round(500.0 * (s.start + s.end)), f0.size - 1) for s in segments]
    inside = ~first
    total = voice + noise
    return Truth(
        f0_hz=np.where(voiced, f0[at], np.nan),
        segments=tuple(segments),
        formants_hz=formants[middle, :4],
        pulse_s=pulse_s,
        period_s=np.where(inside, period_s, np.nan),
        jitter_local=_perturbation(period_s, inside),
        shimmer_local=_perturbation(amplitude, inside),
        hnr_db=_hnr(voice, noise, voiced, hop, sr),
        voiced_fraction=float(voiced.mean()),
        duration_s=n / sr,
        level_db=float(10.0 * np.log10(np.mean(total * total))),
    )


def _perturbation(values: Floats, inside: Bools) -> float:
    """Mean |v_i - v_(i-1)| / mean v over neighbours of one voiced stretch (Praat's "local")."""
    both = inside[1:] & inside[:-1]
    if not both.any():
        return float("nan")
    return float(np.abs(np.diff(values))[both].mean() / values[inside].mean())


def _hnr(voice: Floats, noise: Floats, voiced: Bools, hop: int, sr: int) -> float:
    """Mean over the frames that are voiced throughout their window, dB."""
    reach = round(HNR_WINDOW_S * sr / hop / 2)
    full = np.ones(2 * reach + 1)
    if voiced.size < full.size:
        return float("nan")
    steady = np.flatnonzero(np.convolve(voiced, full, "same") >= full.size)
    if not steady.size:
        return float("nan")
    energies = []
    for part in (voice, noise):
        total = np.concatenate([[0.0], np.cumsum(part * part)])
        hi = np.minimum((steady + reach) * hop, voice.size)
        energies.append(total[hi] - total[(steady - reach) * hop])
    if not energies[1].all():
        return float("inf")
    return float(np.mean(10.0 * np.log10(energies[0] / energies[1])))
