"""Pitch, formants, voice quality: what docs/results/accuracy.md says about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from measures.rows import Row, under
from measures.truths import (
    CONTOURS,
    SR,
    VOWELS,
    T,
    emodb,
    praat_formants,
    pulse_train,
    voice,
    vowel,
    with_noise,
)

from serfeat import lld
from serfeat.lld import DESCRIPTORS
from serfeat.lld.backends import BACKENDS
from serfeat.shorttime import ShortTime
from serfeat.signal.pitch import pitch
from serfeat.signal.resonances import Method
from serfeat.types import Floats

TRACKERS: dict[str, Callable[..., Floats]] = {
    "f0": lld.f0,
    "f0_cc": lld.f0_cc,
    "f0_yin": lld.yin,
    "f0_shs": lld.f0_shs,
}
# Bias and rms in cents of a published tracker of each kind on `CONTOURS`, and its rms at an SNR of
# 10 dB, as measured by others and us: the goal is twice as much.
KNOWN = {
    "f0": ("Praat ac", ((0.01, 0.01), (0.01, 0.03), (0.03, 0.56)), 14.0),
    "f0_cc": ("Praat cc", ((0.01, 0.01), (2.4, 2.5), (0.03, 5.0)), 16.0),
    "f0_yin": ("librosa yin", ((4.4, 4.4), (3.2, 3.7), (2.7, 5.7)), 10.0),
    "f0_shs": ("openSMILE SHS", ((4.2, 4.2), (3.4, 3.4), (3.6, 4.4)), 5.2),
}
GROSS = 350  # cents, about 20 %


def cents(a: Floats, b: Floats | float) -> Floats:
    """Interval between two frequencies."""
    return np.asarray(1200 * np.log2(a / b))


# ------------------------------------------------------------------------------------------ pitch
def pitch_on_emodb() -> Iterator[Row]:
    """Praat's "To Pitch (ac)" and "(cc)" on every recording, its frames laid on ours."""
    for name, least in (("f0", 99.8), ("f0_cc", 99.6)):
        ours, theirs = [], []
        for x, sr in emodb():
            track, frames, offset = praat_track(x, sr, name)
            ours.append(TRACKERS[name](x[offset:], sr)[frames])
            theirs.append(track)
        a, b = np.concatenate(ours), np.concatenate(theirs)
        both = np.isfinite(a) & (b > 0)
        reference = "Praat ac" if name == "f0" else "Praat cc"
        on = f"whole EMO-DB, {both.sum()} frames voiced for both"
        median = float(np.median(np.abs(cents(a[both], b[both]))))
        yield under(f"{name}, median difference", reference, 0.1, median, on, " cent")
        gross = 100 * float((np.abs(a[both] / b[both] - 1) > 0.2).mean())
        yield under(f"{name}, gross errors (> 20 %)", reference, 0.1, gross, on, " %")
        equal = 100 * float((np.isfinite(a) == (b > 0)).mean())
        on = f"whole EMO-DB, {len(a)} frames"
        shown = f"{least} %", f"{equal:.3f} %"
        yield Row(f"{name}, voicing equal", reference, *shown, equal >= least, on)


def praat_track(x: Floats, sr: int, name: str) -> tuple[Floats, Floats, int]:
    """Praat's F0 (0 is unvoiced), the frames of ours that it has, and our first sample."""
    import parselmouth

    settings = {"time_step": 0.01, "pitch_floor": 75, "pitch_ceiling": 600}
    if name == "f0":  # of 642 + 160 m samples, Praat's frames lie on sample 321 + 160 k
        x = x[: 642 + 160 * ((len(x) - 642) // 160)]
        track = parselmouth.Sound(x, sr).to_pitch_ac(**settings)
        offset, places = 1, track.xs() * sr - 1
        assert np.abs(places / 160 - np.rint(places / 160)).max() < 1e-5
    else:
        track = parselmouth.Sound(x, sr).to_pitch_cc(**settings)
        centres = np.floor(track.xs() * sr + 1e-6).astype(int)
        offset = int(centres[0] % 160)
        places = centres - offset
    frames = np.rint(places / 160).astype(int)
    return np.asarray(track.selected_array["frequency"]), frames, offset


def pitch_of_known() -> Iterator[Row]:
    """All trackers on signals whose F0 is known."""
    inside = slice(21, 280)
    told = {c: np.interp(np.arange(301) * 0.01, T, f)[inside] for c, f in CONTOURS.items()}
    for name, (namesake, clean, noisy) in KNOWN.items():
        reference = f"truth (goal: twice {namesake})"
        for (contour, truth), (bias, rms) in zip(CONTOURS.items(), clean, strict=True):
            error = cents(TRACKERS[name](voice(truth), SR)[inside], told[contour])
            got = abs(float(np.mean(error))), float(np.sqrt(np.mean(error**2)))
            yield Row(
                f"{name}, {contour}: bias, rms",
                reference,
                f"{2 * bias:.2g}, {2 * rms:.2g} cent",
                f"{got[0]:.1g}, {got[1]:.2g} cent",
                got[0] <= 2 * bias and got[1] <= 2 * rms,
                "clean, 3 s, all frames voiced",
            )
        worst, errors = 0.0, []
        for contour, truth in CONTOURS.items():
            error = cents(TRACKERS[name](with_noise(voice(truth), 10), SR)[inside], told[contour])
            good = error[np.abs(error) <= GROSS]
            worst = max(worst, float(np.sqrt(np.mean(good**2))))
            errors.append(error[np.isfinite(error)])
        gross = 100 * float((np.abs(np.concatenate(errors)) > GROSS).mean())
        on = f"the three at 10 dB SNR, the worst; beside {gross:.1f} % gross errors"
        yield under(f"{name}, in noise: rms", reference, 2 * noisy, worst, on, " cent")


# --------------------------------------------------------------------------------------- formants
METHODS: dict[str, Method] = {"formants": "selective", "formants_burg": "burg"}
ITSELF = "Praat against itself 5 ms later"


def formants_on_emodb() -> Iterator[Row]:
    """Both methods beside "To Formant (burg)", and Praat beside itself 5 ms later."""
    differences: dict[str, list[Floats]] = {ITSELF: [], **{name: [] for name in METHODS}}
    for x, sr in emodb():
        st = ShortTime(x, sr)
        voiced, theirs = pitch(st).voiced, praat_formants(x, sr)
        later = praat_formants(np.concatenate([x[sr // 200 :], np.zeros(sr // 200)]), sr)
        differences[ITSELF].append((later - theirs)[voiced])
        for name in METHODS:
            differences[name].append((DESCRIPTORS[name](st)[:, :3] - theirs)[voiced])
    found = {name: np.abs(np.concatenate(parts)) for name, parts in differences.items()}
    known = np.all([np.isfinite(d).all(axis=1) for d in found.values()], axis=0)
    found = {name: d[known] for name, d in found.items()}
    on = f"whole EMO-DB, {known.sum()} voiced frames"
    reference = "Praat burg"
    most = {name: three(np.percentile(d, 90, axis=0), "Hz") for name, d in found.items()}
    tail = {name: 100 * (d > 150).mean(axis=0) for name, d in found.items()}
    for name, goals in (("formants", (5.0, 12.0, 14.0)), ("formants_burg", (1.0, 1.0, 1.0))):
        median = np.median(found[name], axis=0)
        shown = three(goals, "Hz"), three(median, "Hz"), bool((median < goals).all())
        yield Row(f"{name}: F1, F2, F3, median difference", reference, *shown, on)
        quantity = f"{name}: 90 % of frames within"
        yield Row(quantity, reference, "", most[name], None, f"{on}; {ITSELF}: {most[ITSELF]}")
        fewer = bool((tail[name] <= tail[ITSELF]).all())
        shown = f"{three(tail[ITSELF], '%')} ({ITSELF})", three(tail[name], "%"), fewer
        yield Row(f"{name}: further than 150 Hz", reference, *shown, on)


def three(values: Iterable[float], unit: str) -> str:
    """F1, F2, F3."""
    return ", ".join(f"{v:.0f}" if v >= 100 else f"{v:.2g}" for v in values) + f" {unit}"


def formants_of_vowels() -> Iterator[Row]:
    """Klatt vowels: the ceiling is half the sample rate, as the synthesis must be."""
    for name, method in METHODS.items():
        for f0 in (100.0, 200.0, None):
            length = 0.1 if f0 is None else 0.025
            off = []
            for true, bandwidths in VOWELS.values():
                x = with_noise(vowel(true, bandwidths, f0, 10_000), 60)
                got = lld.formants(x, 10_000, ceiling=5000, length=length, method=method)
                off.append(np.abs(np.nanmedian(got[20:180, :3], axis=0) - true[:3]))
            hertz = np.array(off)
            share = 100 * hertz / np.array([true[:3] for true, _ in VOWELS.values()])
            if f0 == 100:
                goal, met = "10 Hz; 1 %", hertz[:, 0].max() <= 10 and share[:, 1:].max() <= 1
            elif f0 == 200:
                goal, met = "each 45 Hz or 5 %", ((hertz <= 45) | (share <= 5)).all()
            else:
                goal, met = "1 %; 1 %", share.max() <= 1
            first = f"{share[:, 0].max():.2g} %" if f0 is None else f"{hertz[:, 0].max():.2g} Hz"
            source = "noise, 100 ms windows" if f0 is None else f"pulses at {f0:.0f} Hz"
            yield Row(
                f"{name}: F1; F2 and F3, {source}",
                "truth",
                goal,
                f"{first}; {share[:, 1:].max():.2g} %",
                bool(met),
                "Klatt vowels a, i, u, the worst",
            )


# ---------------------------------------------------------------------------------- voice quality
def harmonicity() -> Iterator[Row]:
    """HNR against the SNR of signals, and beside Praat; H1-H2 of known harmonics."""
    on = "harmonics of 120, 150, 200, 333.3 Hz in white noise, 2 s, the worst"
    for snr, goal in ((40, None), (30, 0.3), (20, 0.3), (10, 0.3), (5, 2.0), (0, 2.0)):
        off = [
            abs(float(np.nanmean(lld.hnr(with_noise(voice(np.full(2 * SR, f0)), snr), SR))) - snr)
            for f0 in (120.0, 150.0, 200.0, 333.3)
        ]
        row = under(f"hnr at {snr} dB SNR", "truth", goal or np.inf, max(off), on, " dB")
        yield row if goal else row._replace(goal="", met=None)
    off = []
    for f0 in (90.0, 150.0, 233.3):
        values = lld.harmonics(voice(np.full(2 * SR, f0)), SR)[8:-8, 0]
        off.append(float(np.abs(values - 20 * np.log10(4)).max()))
    on = "harmonics of 90, 150, 233.3 Hz falling by 12 dB per octave, the worst frame"
    yield under("h1_h2", "truth", 0.2, max(off), on, " dB")


def perturbation() -> Iterator[Row]:
    """Jitter and shimmer of pulse trains, closed form."""
    jitter, shimmer, decibels = [0.0], [0.0], [0.0]
    for sr in (16_000, 44_100):
        for p, a in ((0, 0), (0.005, 0), (0.01, 0), (0, 0.05), (0.02, 0.05)):
            st = ShortTime(pulse_train(p, a, sr), sr)
            periods = np.array([2 * p, p / 60, 4 * p / 3, 4 * p / 5, 4 * p])
            level = 20 * np.log10((1 + a) / (1 - a))
            heights = np.array([2 * a, level, 4 * a / 3, 4 * a / 5, 12 * a / 11, 4 * a])
            jitter.append(float(np.abs(DESCRIPTORS["jitter"](st) - periods).max()))
            off = np.abs(DESCRIPTORS["shimmer"](st) - heights)
            shimmer.append(float(np.delete(off, 1).max()))
            decibels.append(float(off[1]))
    on = "pulse trains, 120 Hz, jitter to 4 %, shimmer to 10 %, 16 and 44.1 kHz, the worst"
    yield under("jitter, all five columns", "truth", 1e-4, max(jitter), on)
    yield under("shimmer, five columns", "truth", 1e-4, max(shimmer), on)
    yield under("shimmer_local_db", "truth", 1e-3, max(decibels), on, " dB")


def voice_quality_on_emodb() -> Iterator[Row]:
    """Beside Praat; other choices than Praat's are ours, so nothing is promised."""
    step = 5
    praat = BACKENDS["praat"]
    ratios: dict[str, list[float]] = {"jitter": [], "shimmer": []}
    ours, theirs = [], []
    for x, sr in emodb(step):
        st = ShortTime(x, sr)
        for name, found in ratios.items():
            found.append(float(DESCRIPTORS[name](st)[0] / praat[name](st)[0]))
        ours.append(DESCRIPTORS["hnr"](st)[:, 0])
        theirs.append(praat["hnr"](st)[:, 0])
    on = f"every {step}th recording of EMO-DB ({len(ours)})"
    for name, found in ratios.items():
        off = 100 * np.abs(np.array(found) - 1)
        reached = f"{np.nanmedian(off):.2g} %, {np.nanpercentile(off, 95):.2g} %"
        quantity = f"{name}_local: median, 95th percentile of the difference"
        yield Row(quantity, "Praat", "", reached, None, on)
    a, b = np.concatenate(ours), np.concatenate(theirs)
    both = np.isfinite(a) & np.isfinite(b)
    lower, r = float(np.median(a[both] - b[both])), float(np.corrcoef(a[both], b[both])[0, 1])
    reached = f"{lower:.2f} dB; r = {r:.2f}"
    yield Row("hnr: median difference; correlation", "Praat cc", "", reached, None, on)


def cepstral_peak() -> Iterator[Row]:
    """CPPS of a vowel in noise beside Praat's values, and on real speech."""
    import parselmouth
    from parselmouth.praat import call

    x = vowel((730, 1090, 2440, 3400, 4300), (80, 90, 120, 150, 200), 120.0, SR)
    praat = {30: 19.25, 20: 16.65, 10: 13.20, 0: 7.80, -10: 4.28}
    off = [abs(lld.cpps(with_noise(x, snr), SR) - value) for snr, value in praat.items()]
    on = "Klatt a, 120 Hz, 2 s, SNR 30 to -10 dB, the worst"
    yield under("cpps", "Praat, robust line, tabled", 0.3, max(off), on, " dB")
    clean, hiss = (
        abs(lld.cpps(x, SR) - 24.2),
        0.1 * np.random.default_rng(0).standard_normal(2 * SR),
    )
    yield under("cpps without noise", "Praat, tabled", 0.8, clean, "the same vowel", " dB")
    off_noise = abs(lld.cpps(hiss, SR) - 4.19)
    yield under("cpps of white noise", "Praat, tabled", 0.3, off_noise, "2 s", " dB")
    recipe = ("yes", 0.02, 0.0005, 60, 330, 0.05, "Parabolic", 0.001, 0.05, "Straight")
    off = []
    for clip, sr in emodb(20):
        cepstra = call(parselmouth.Sound(clip, sr), "To PowerCepstrogram", 60, 0.002, 5000, 50)
        theirs = call(cepstra, "Get CPPS", *recipe, "Least squares")
        off.append(abs(lld.cpps(clip, sr, trend="least_squares") - theirs))
    on = f"every 20th recording of EMO-DB ({len(off)})"
    reached = f"{np.median(off):.2g} dB, {max(off):.2g} dB"
    quantity = "cpps, least-squares line: median, worst difference"
    yield Row(quantity, "Praat", "", reached, None, on)
