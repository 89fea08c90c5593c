"""Cepstra, linear prediction, Teager energy, level, gains: docs/results/accuracy.md on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from measures.rows import Row, under, worst_frame
from measures.truths import SR, ar4, emodb, kaldi_mfcc, on_16_bits, opensmile_chain, speechlike

from serfeat import lld
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import ShortTime
from serfeat.signal import gains
from serfeat.types import Floats

STEP = 20
REAL = f"every {STEP}th recording of EMO-DB, the worst"
NOISE = "2 s of shaped noise, the worst"
MFCC = "firstMfcc=0\nlastMfcc=13\ncepLifter=22"
PLP = (
    "firstCC=1\ncepLifter=22\ncompression=0.33\ndoAud=1\ndoLog=0\ndoInvLog=0\ndoIDFT=1\ndoLP=1\n"
    "doLpToCeps=1\nlpOrder="
)
Pair = Callable[[Floats], tuple[Floats, Floats]]


# ---------------------------------------------------------------------------------------- cepstra
def trimmed(ours: Floats, theirs: Floats) -> tuple[Floats, Floats]:
    """The frames that both have."""
    n = min(len(ours), len(theirs))
    return ours[:n], theirs[:n]


def librosas(sr: int, hop: int) -> Pair:
    """`mfcc` and librosa's, 39 coefficients."""
    import librosa

    def pair(x: Floats) -> tuple[Floats, Floats]:
        theirs = librosa.feature.mfcc(y=x, sr=sr, n_mfcc=39, hop_length=hop).T
        return lld.mfcc(x, sr, hop=hop / sr, n=39, convention="librosa"), theirs

    return pair


def htks(x: Floats) -> tuple[Floats, Floats]:
    """`mfcc` and openSMILE's; HTK writes coefficient 0 last."""
    theirs = np.roll(opensmile_chain(x, "cMfcc", MFCC, k=0.97), 1, axis=1)
    return trimmed(lld.mfcc(x, SR, convention="htk", align="left"), theirs)


def kaldis(x: Floats) -> tuple[Floats, Floats]:
    """`mfcc` and Kaldi's."""
    ours = lld.mfcc(x, SR, n=13, convention="kaldi", energy=True, align="left")
    return trimmed(ours, kaldi_mfcc(x, SR))


def plps(order: int) -> Pair:
    """`plp` and openSMILE's."""

    def pair(x: Floats) -> tuple[Floats, Floats]:
        ours = lld.plp(x, SR, order=order, preemphasis=0.97, align="left")[:, 1:]
        return trimmed(ours, opensmile_chain(x, "cPlp", f"{PLP}{order}", k=0.97))

    return pair


def cepstra() -> Iterator[Row]:
    """MFCC and PLP beside the programs whose conventions they follow."""
    real = [on_16_bits(x) for x, _ in emodb(STEP)]
    relative = "relative to each coefficient's mean size"
    table: tuple[tuple[str, str, float, Pair, bool], ...] = (
        ("mfcc `librosa`, 39 coefficients", "librosa", 1e-4, librosas(SR, 160), True),
        ("mfcc39, as if at 22 050 Hz", "librosa", 1e-4, librosas(22_050, 512), True),
        ("mfcc `htk`", "openSMILE, HTK-compatible", 1e-4, htks, True),
        ("mfcc `kaldi`", "kaldi-native-fbank", 1e-4, kaldis, True),
        ("plp, order 5", "openSMILE cPlp", 1e-5, plps(5), False),
        ("plp, order 12", "openSMILE cPlp", 1e-5, plps(12), False),
    )
    for name, reference, goal, pair, scaled in table:
        for on, clips in ((NOISE, [speechlike()]), (REAL, real)):
            quantity = f"{name}, {relative if scaled else 'absolute'}"
            pairs = (pair(x) for x in clips)
            yield worst_frame(quantity, reference, goal, pairs, on, relative=scaled)
    # A reference in single precision cannot be nearer to anybody than to itself.
    for name, program, own, scaled in (
        ("mfcc `kaldi`", "kaldi-native-fbank", kaldis, True),
        ("plp, order 5", "openSMILE cPlp", plps(5), False),
        ("plp, order 12", "openSMILE cPlp", plps(12), False),
    ):
        quantity = f"{name}: {program} beside itself, the same three times as loud"
        pairs = (louder(own, on_16_bits(0.3 * x)) for x, _ in emodb(STEP))
        yield worst_frame(quantity, program, None, pairs, REAL, relative=scaled)


def louder(pair: Pair, x: Floats) -> tuple[Floats, Floats]:
    """A program on a recording, and on it three times as loud, less what that changes for us."""
    ours, theirs = pair(x)
    ours_loud, theirs_loud = pair(3 * x)
    return theirs, theirs_loud - (ours_loud - ours)


# ------------------------------------------------------------------------------ linear prediction
def linear_prediction() -> Iterator[Row]:
    """The autocorrelation method beside a general Toeplitz solver; Burg beside librosa."""
    import librosa

    for on, clips in (("1 s of AR(4) noise, the worst", [ar4()]), (REAL, emodb_only(STEP))):
        pairs = (solved(x) for x in clips)
        reference = "scipy.linalg.solve_toeplitz"
        yield worst_frame("lpc, order 12, as extracted", reference, 1e-9, pairs, on)
    pairs = (
        (
            lld.lpc(x, SR, order=12, method="burg", align="left").a,
            librosa.lpc(ShortTime(x, SR).frames(400, align="left"), order=12),
        )
        for x in emodb_only(STEP)
    )
    yield worst_frame("lpc by Burg's method", "librosa.lpc", 1e-9, pairs, REAL)
    spectrum = np.abs(np.fft.fft(lld.lpc(ar4(), SR, order=12).a, 4096))
    cepstrum = np.fft.ifft(-2 * np.log(spectrum)).real[:, 1:17]
    pair = lld.lpcc(ar4(), SR, n=16), cepstrum
    yield worst_frame("lpcc", "cepstrum of the spectrum by FFT", 1e-8, [pair], "AR(4) noise")


def emodb_only(step: int) -> Iterator[Floats]:
    """The samples alone."""
    return (x for x, _ in emodb(step))


def solved(x: Floats) -> tuple[Floats, Floats]:
    """The descriptor's predictors, and those of sums of products by a general solver.

    With its pre-emphasis and its white noise 90 dB below the frame; no silent frames.
    """
    from scipy.linalg import solve_toeplitz

    whole = ShortTime(x, SR).frames(400)
    frames = np.concatenate([0.03 * whole[:, :1], whole[:, 1:] - 0.97 * whole[:, :-1]], axis=1)
    frames = frames * np.hamming(400)
    lags = np.array([[f[: 400 - k] @ f[k:] for k in range(13)] for f in frames])
    lags[:, 0] *= 1 + 1e-9
    audible = lags[:, 0] > 0
    ours = DESCRIPTORS["lpc"](ShortTime(x, SR))[:, :12]
    theirs = [solve_toeplitz(r[:12], r[1:]) for r in lags[audible]]
    return ours[audible], np.array(theirs)


# ----------------------------------------------------------------------------------- Teager energy
def teager_energy() -> Iterator[Row]:
    """The identities of the operator, and demodulation."""
    n = np.arange(2000)
    off = max(
        np.abs(lld.teager(0.7 * np.cos(0.3 * n + 0.4))[1:-1] - (0.7 * np.sin(0.3)) ** 2).max(),
        np.abs(lld.teager(0.5 * n[:50] + 3.0)[1:-1] - 0.25).max(),
        np.abs(lld.teager(0.99 ** n[:200])[1:-1]).max(),
    )
    on = "sinusoid, ramp, exponential, the worst"
    yield under("Teager operator", "closed form", 1e-12, float(off), on)
    modulation = np.cos(0.0025 * np.pi * np.arange(8000))
    amplitude, angle = 1 + 0.3 * modulation, 0.25 * np.pi + 0.02 * np.pi * modulation
    for name, separate in (("DESA-1", lld.desa1), ("DESA-2", lld.desa2)):
        got = separate(0.7 * np.cos(0.3 * n[:500] + 0.4), 2 * np.pi)
        off = max(np.abs(got.amplitude[2:-2] - 0.7).max(), np.abs(got.frequency[2:-2] - 0.3).max())
        on = "amplitude 0.7, 0.3 rad per sample"
        yield under(f"{name} of a sinusoid", "closed form", 1e-10, float(off), on)
        got = separate(amplitude * np.cos(np.cumsum(angle)), 2 * np.pi)
        on = "30 % AM with FM of 0.02 pi around 0.25 pi, rms"
        for quantity, part, truth, known in (
            ("frequency", got.frequency, angle, 3.2e-4),
            ("amplitude", got.amplitude, amplitude, 3.0e-4),
        ):
            rms = float(np.sqrt(np.mean((part / truth - 1)[50:-50] ** 2)))
            goal = 1.1 * known if name == "DESA-1" else 4.5e-4
            reference = f"truth (tabled {known})" if name == "DESA-1" else "truth"
            yield under(f"{name} {quantity}, relative", reference, goal, rms, on)


def auto_env() -> Iterator[Row]:
    """TEO-CB-Auto-Env of signals whose areas are tabled."""
    t = np.arange(8000) / 8000
    chosen = np.zeros(81, dtype=bool)
    chosen[10:50] = True

    def area(x: Floats) -> float:
        values = lld.teo_cb_auto_env(x, 8000, hop=0.0125, voiced=chosen)[chosen]
        return float(values.mean(axis=0)[7])

    two = np.cos(2 * np.pi * 960 * t) + np.cos(2 * np.pi * 1060 * t)
    noise = np.mean([area(np.random.default_rng(s).standard_normal(8000)) for s in range(20)])
    for signal, value, known, goal in (
        ("a tone", area(np.cos(2 * np.pi * 1000 * t)), 1.005, 5e-4),
        ("two tones", area(two), 0.671, 2e-3),
        ("noise", float(noise), 0.592, 0.03),
    ):
        on = f"band 920 to 1080 Hz at 8 kHz, M = 200: {value:.4f}"
        quantity = f"TEO-CB-Auto-Env of {signal}"
        yield under(quantity, f"tabled {known}", goal, abs(value - known), on)


# ----------------------------------------------------------------------------- level and spectrum
def loudness() -> Iterator[Row]:
    """Beside openSMILE, with its frames: 20 ms from the left, three of them averaged."""
    import opensmile

    level = opensmile.FeatureLevel.LowLevelDescriptors
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, level)
    off = []
    for x, sr in emodb(STEP):
        y = np.minimum(x, 32767 / 32768)
        # its last frame is averaged with one that it does not give
        theirs = smile.process_signal(y, sr)["Loudness_sma3"].to_numpy()[:-1]
        ours = lld.loudness(y, sr, length=0.020, align="left", smooth=3)[: len(theirs)]
        off.append(float(np.abs(ours / theirs - 1).max()))
    yield under("loudness, relative", "openSMILE, eGeMAPS", 2e-6, max(off), f"{REAL} frame")


def intensity() -> Iterator[Row]:
    """Beside Praat, whose frames lie on samples of a clip of odd length."""
    import parselmouth

    off = []
    for clip, sr in emodb(STEP):
        x = clip[: len(clip) // 2 * 2 - 1]
        track = parselmouth.Sound(x, sr).to_intensity(100, 0.010, True)
        centres = np.rint(track.xs() * sr - 0.5).astype(int)
        before = -centres[0] % 160
        ours = lld.intensity(np.pad(x, (before, 0)), sr)[(centres + before) // 160]
        off.append(float(np.abs(ours - track.values[0]).max()))
    yield under("intensity", "Praat, To Intensity", 1e-5, max(off), f"{REAL} frame", " dB")


def beside_librosa() -> Iterator[Row]:
    """Level, and moments of the same spectra."""
    from librosa import feature

    rms, moments = [], []
    columns = DESCRIPTORS["spectral"].columns
    for x, sr in emodb(STEP):
        centred = x - x.mean()
        theirs = feature.rms(y=centred, frame_length=400, hop_length=160, pad_mode="constant")[0]
        loud = theirs > 1e-4
        ours = lld.rms_db(x, sr)[: len(theirs)][loud]
        rms.append(float(np.abs(ours - 20 * np.log10(theirs[loud])).max()))
        power = np.asarray(ShortTime(x, sr).power(400, window_name="hamming"))
        f, kept = np.linspace(0, sr / 2, power.shape[1]), power.sum(axis=1) > 0
        shape, power = lld.spectral_shape(x, sr)[kept], power[kept].T
        for name, values in (
            ("centroid_hz", feature.spectral_centroid(S=power, freq=f)),
            ("spread_hz", feature.spectral_bandwidth(S=power, freq=f, p=2)),
            ("rolloff_hz", feature.spectral_rolloff(S=power, freq=f, roll_percent=0.85)),
        ):
            moments.append(float(np.abs(shape[:, columns.index(name)] / values[0] - 1).max()))
    on = f"{REAL} frame above -80 dB"
    yield under("rms_db", "librosa", 1e-4, max(rms), on, " dB")
    quantity = "spectral centroid, spread, rolloff, relative"
    yield under(quantity, "librosa", 1e-6, max(moments), f"{REAL} frame")


# -------------------------------------------------------------------------------------- denoising
# xi and gamma in dB, then the gains in dB: STSA, log-MMSE, Wiener
TABLED = (
    (-20, 0, -21.05, -22.51, -40.09),
    (-10, 0, -11.08, -12.54, -20.83),
    (0, -10, 6.15, 4.70, -6.02),
    (0, 0, -2.22, -3.59, -6.02),
    (0, 10, -5.58, -6.02, -6.02),
    (10, 0, 1.52, 0.28, -0.83),
    (10, 10, -0.59, -0.83, -0.83),
    (20, 20, -0.06, -0.09, -0.09),
)


def suppression_gains() -> Iterator[Row]:
    """MMSE gains beside the tabled ones and beside a simulation."""
    formulas = {
        "STSA": gains.stsa_gain,
        "log-MMSE": gains.log_mmse_gain,
        "Wiener": gains.wiener_gain,
    }
    xi, gamma, *tabled = np.array(TABLED).T
    for (name, formula), known in zip(formulas.items(), tabled, strict=True):
        found = 20 * np.log10(np.asarray(formula(10 ** (xi / 10), 10 ** (gamma / 10))))
        off = float(np.abs(found - known).max())
        on = "8 pairs of prior and posterior SNR, the worst"
        yield under(f"{name} gain", "tabled to 0.01 dB", 0.01, off, on, " dB")
    rng, n = np.random.default_rng(1), 3_000_000
    speech = rng.standard_normal(n) + 1j * rng.standard_normal(n)  # xi = 2
    noisy = np.abs(speech + (rng.standard_normal(n) + 1j * rng.standard_normal(n)) / np.sqrt(2))
    hit = np.abs(noisy**2 - 3.0) < 0.02
    ratio = np.abs(speech[hit]) / noisy[hit]
    simulated = {"STSA": ratio.mean(), "log-MMSE": np.exp(np.log(ratio).mean())}
    for name, value in simulated.items():
        off = abs(float(formulas[name](2.0, 3.0)) / float(value) - 1)
        on = f"xi 2, gamma 3, {hit.sum()} hits"
        yield under(f"{name} gain, relative", "simulation", 0.01, off, on)
