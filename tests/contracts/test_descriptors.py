"""What every descriptor promises, held against every entry of `serfeat.lld.DESCRIPTORS`.

A new descriptor is tested here without a line being written: the tests run over the table. Where a
quantity cannot keep a promise (a level does not stay when the signal is amplified), the promise's
own table names it with the reason. Every promise is a function ``check_...`` that raises, and at
the end of the file stands a fake descriptor that breaks it: the check is seen to fail.

Differences are counted in scales: the standard deviation of a column over the clip, or the size of
the value where there is one per clip.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from serfeat import lld
from serfeat.audio import load_audio, resample
from serfeat.demo import utterance
from serfeat.errors import SerfeatError
from serfeat.jit import COMPILED
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import Descriptor, ShortTime
from serfeat.signal.pitch import USUAL
from serfeat.types import Floats, Reals

SR = 16_000
HOP = 160
NEPER = 20 / np.log(10)  # dB per factor of e

# ------------------------------------------------------------------------ what cannot be kept, why
# The keys are columns, or "descriptor.column" where a column of that name has another definition.
# Gain. Logarithms: what is added per neper of gain. mfcc_0 is a sum of the logarithms of all bands.
ADDED: dict[str, float] = {
    "rms_db": NEPER,
    "log_energy": 2.0,
    "intensity_db": NEPER,
    "sound_level_db": NEPER,
    "lpc_gain_db": NEPER,
    "mfcc_0": 2 * np.sqrt(2 * 26),
    "mfcc39.mfcc_0": NEPER * np.sqrt(128),
    "mfcc_librosa.mfcc_0": NEPER * np.sqrt(128),
    "mfcc_kaldi.mfcc_0": 2.0,
    "teo_db": NEPER,
    "teo_mfcc_0": 4 * np.sqrt(2 * 26),  # the operator is a square already
    "desa_amplitude_db": NEPER,
}
# Gain. Powers: the exponent of the gain. Hermansky's cube root of the power is 0.33.
POWER: dict[str, float] = {
    "loudness": 0.66,
    "spectral_flux": 1.0,
    **{f"sample_{k}": 1.0 for k in range(1, HOP + 1)},
}
# Polarity. The waveform itself: its sign is the clip's.
SIGNED = {"samples"}
# Other rates. Columns that are samples at 16 kHz: anything else is refused.
ONE_RATE = {"samples"}

# Shift. What counts the whole clip: its value in a clip of `b` s, from that in one of `a` s.
WHOLE: dict[str, Callable[[float, float, float], float]] = {
    "duration_s": lambda v, a, b: v + b - a,
    "sound_level_db": lambda v, a, b: v + 10 * np.log10(a / b),
    "voiced_segments_per_s": lambda v, a, b: v * a / b,
    "loudness_peaks_per_s": lambda v, a, b: v * a / b,
    "pitch_spline_runs_per_s": lambda v, a, b: v * a / b,
}
# Shift. Values that may change by more than `SHIFTED`: (frames left out at the start, scales), in
# 95 of 100 frames; of all others every frame stays within.
SHIFTED = 1e-3, 0.03  # of a frame, of a clip
MOVES: dict[str, tuple[int, float, str]] = {
    "rasta_plp": (60, 0.1, "a recursive filter remembers half a second, silence as well"),
    "formants_burg": (5, 0.3, "Praat's brick-wall filter is circular: it rings with the length"),
    "cycles": (5, 0.03, "the offset is the median of the clip, which zeros move (so in shimmer)"),
}
MOVES_OF_CLIP: dict[str, tuple[float, str]] = {
    "unvoiced_segment_mean_s": (0.5, "the silence before the first voice is longer"),
    "unvoiced_segment_std_s": (0.5, "the silence before the first voice is longer"),
}
# Place. Frames by which a contour may run late: what it shows was true that much earlier.
ASIDE: dict[str, tuple[float, str]] = {
    "spectral_flux": (0.5, "a change between two frames lies between them"),
    "f0_cc_hz": (0.5, "Praat's stretch begins at one place whatever the period"),
    "f0_yin_hz": (0.5, "the stretch begins at one place whatever the period"),
}
NO_PLACE = {
    "rasta_plp": "a causal filter: its contours are late, and of another shape backwards",
    "samples": "frames begin at their sample of the grid, so that the next one goes on from there",
}

# Rates. A 16 kHz recording that was resampled has lost what lies above 7.2 kHz: median difference
# in scales, at most, of what reads these frequencies on a logarithmic axis, or predicts from them.
TOP_OF_BAND: dict[str, float] = {
    "mfcc": 0.1, "mfcc_htk": 0.1, "mfcc39": 2.0, "mfcc_librosa": 1.0, "lpc": 2.0,
    "lpc_covariance": 1.0, "lpc_burg": 1.0, "lpcc": 0.5, "lsf": 3.0, "plp": 0.1, "plp_erb": 0.3,
    "plp_erb_sqrt": 0.3, "plp_erb_log": 0.5, "teo_mfcc": 0.2,
}  # fmt: skip

# Without numba: default 1e-9 of a scale.
SINGLE = "transforms in single precision, rounded in another order"
PLAIN: dict[str, tuple[float, str]] = {
    **{f"f0_{unit}": (1e-5, SINGLE) for unit in ("hz", "semitones", "two_pass_hz")},
    **{f"{letter}{k}_hz": (1e-4, SINGLE) for letter in "fb" for k in (1, 2, 3)},
    **dict.fromkeys(DESCRIPTORS["pitch_spline"].columns, (1e-05, SINGLE)),
    **dict.fromkeys(DESCRIPTORS["harmonics"].columns, (0.0001, SINGLE)),
    "teo_fm_var": (1e-4, SINGLE),
    "voicing_strength": (1e-5, "the peak comes from a table in single precision"),
    "hnr_ac_db": (1e-4, "the same, in dB, near 1"),
    "hnr_db": (1e-4, "products in single precision, summed in another order"),
    "cpp_db": (1e-6, "the medians of its line are found by bisection"),
}
# Defaults. Settings in which a function differs from the descriptors of its module.
OWN_DEFAULTS: dict[tuple[str, str], str] = {
    ("formants", "frames"): "the function measures all that sounds, the descriptors what is voiced",
    ("lpc", "order"): "the function goes by the sample rate, the descriptors have fixed columns",
}
# Range of F0. CPP takes Praat's for a cepstrum.
OWN_RANGE = {"cpp", "cpps"}
TABLES: tuple[Mapping[str, Any], ...] = (ADDED, POWER, WHOLE, MOVES_OF_CLIP, ASIDE, PLAIN)


def stated(table: Mapping[str, Any], d: Descriptor, default: Any) -> list[Any]:
    """What a table says of the columns of a descriptor."""
    return [table.get(f"{d.name}.{c}", table.get(c, default)) for c in d.columns]


ALL = pytest.mark.parametrize("d", DESCRIPTORS.values(), ids=DESCRIPTORS)
PLACED = pytest.mark.parametrize(
    "d",
    [d for d in DESCRIPTORS.values() if d.level == "frame" and d.name not in NO_PLACE],
    ids=lambda d: d.name,
)


# ------------------------------------------------------------------------------------- the signals
class Clip:
    """A signal without offset, 1 + k hops long, and what the descriptors say of it."""

    def __init__(self, x: Floats) -> None:
        x = x[: 1 + (len(x) - 1) // HOP * HOP]
        self.x: Floats = x - x.mean()
        self.x.flags.writeable = False
        self._values: dict[tuple[str, Callable[..., Floats]], Floats] = {}

    def of(self, d: Descriptor) -> Floats:
        """(n_frames or 1, columns), computed once."""
        key = d.name, d.compute
        if key not in self._values:
            self._values[key] = values(d, self.x)
        return self._values[key]


def values(d: Descriptor, x: Reals, sr: int = SR) -> Floats:
    return np.atleast_2d(d(ShortTime(x, sr)))


@pytest.fixture(scope="module", params=["synthetic", "emodb"])
def clip(request: pytest.FixtureRequest) -> Clip:
    """A sentence with pauses, 1.8 s."""
    if request.param == "synthetic":
        return Clip(utterance("s2", "anger", "t3").x)
    path = request.getfixturevalue("emodb_root") / "audio" / "03a01Fa.flac"
    return Clip(np.asarray(sf.read(path)[0], dtype=np.float64))


@pytest.fixture(scope="module")
def short() -> Clip:
    """0.5 s of it, voiced for the most part."""
    return Clip(utterance("s2", "anger", "t3").x[6000:14_000])


def scales(v: Floats) -> Floats:
    """(columns,) what a difference is measured with."""
    if len(v) == 1:
        size = np.abs(v[0])
    else:
        some = np.isfinite(v).sum(axis=0) > 1
        size = np.where(some, np.std(v, axis=0, where=np.isfinite(v) | ~some), np.nan)
    return np.where(size > 0, size, 1.0)


def differ(a: Floats, b: Floats, percent: float = 100.0) -> Floats:
    """(columns,) percentile over the frames of |a - b| in scales of `a`; infinite if NaN moved."""
    away = np.abs(a - b) / scales(a)
    away[np.isnan(a) & np.isnan(b)] = 0.0
    away[np.isnan(a) != np.isnan(b)] = np.inf
    return np.asarray(np.percentile(away, percent, axis=0, method="lower"))


def within(d: Descriptor, found: Floats, bounds: float | Sequence[float], what: str) -> None:
    limits = np.broadcast_to(bounds, found.shape)
    wrong = [f"{c} by {v:.2g} (at most {b:g})" for c, v, b in zip(d.columns, found, limits,
             strict=True) if not v <= b]  # fmt: skip
    assert not wrong, f"{d.name}, {what}: {'; '.join(wrong)}"


# ------------------------------------------------------------------------------------ the promises
def check_form(d: Descriptor) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", d.name)
    assert d.columns
    assert len(set(d.columns)) == len(d.columns) == len(d.units)
    for column in d.columns:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", column), column
    for words in (d.summary, d.source, d.undefined, d.licence, *d.units):
        assert words.strip(), d.name
        assert "\n" not in words
    assert d.level in ("frame", "clip")
    assert d.version >= 1


def check_values(d: Descriptor, x: Reals, sr: int = SR) -> Floats:
    """Shape, no infinity, NaN only if `undefined` names a case; without any warning."""
    st = ShortTime(x, sr)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = d(st)
    rows = () if d.level == "clip" else (st.n_frames,)
    assert found.shape == (*rows, len(d.columns))
    assert found.dtype == np.float64
    assert not np.isinf(found).any()
    if d.undefined == "never":
        assert not np.isnan(found).any(), f"{d.name} says that it is never undefined"
    return found


def check_repeatable(d: Descriptor, x: Floats) -> None:
    """Twice the same bits, and the input as it was."""
    mine = x.copy()
    first = values(d, mine)
    np.testing.assert_array_equal(mine, x)
    np.testing.assert_array_equal(values(d, x.copy()), first)


def check_company(descriptors: Iterable[Descriptor], clip: Clip) -> None:
    """On a shared `ShortTime`, in the table's order, backwards and shuffled: the bits as alone."""
    table = list(descriptors)
    shuffled = [table[i] for i in np.random.default_rng(0).permutation(len(table))]
    for order in (table, table[::-1], shuffled):
        st = ShortTime(clip.x, SR)
        for d in order:
            np.testing.assert_array_equal(np.atleast_2d(d(st)), clip.of(d), err_msg=d.name)


def check_gain(d: Descriptor, clip: Clip, gain: float) -> None:
    expected = clip.of(d).copy()
    expected *= gain ** np.array(stated(POWER, d, 0.0))
    expected += np.log(gain) * np.array(stated(ADDED, d, 0.0))
    within(d, differ(expected, values(d, gain * clip.x)), 1e-4, f"times {gain:g}")


def check_polarity(d: Descriptor, clip: Clip) -> None:
    sign = -1.0 if d.name in SIGNED else 1.0
    within(d, differ(sign * clip.of(d), values(d, -clip.x)), 1e-9, "the other way up")


def check_rounding(d: Descriptor, clip: Clip) -> None:
    """The last bit of the samples decides nothing, on the grid of 16 bits that files have.

    There many sums are exactly 0 and many quotients exactly 1; whatever is asked of these with a
    plain ``> 0`` is answered by rounding. Every frame counts.
    """
    x = np.round(32_768 * clip.x) / 32_768
    last = np.random.default_rng(0).integers(-2, 3, len(x)) * np.finfo(np.float64).eps
    within(d, differ(values(d, x), values(d, x * (1 + last))), 1e-3, "its last bits changed")


def check_shift(d: Descriptor, clip: Clip, hops: int = 7) -> None:
    """Silence of some hops before the clip moves the frames and changes nothing else."""
    before, n = clip.of(d), len(clip.x)
    after = values(d, np.concatenate([np.zeros(hops * HOP), clip.x]))
    if d.level == "clip":
        seconds = n / SR, (n + hops * HOP) / SR
        whole = stated(WHOLE, d, None)
        expected = [f(v, *seconds) if f else v for f, v in zip(whole, before[0], strict=True)]
        moves = stated(MOVES_OF_CLIP, d, (SHIFTED[1],))
        bounds = [1e-9 if f else m[0] for f, m in zip(whole, moves, strict=True)]
        within(d, differ(np.array([expected]), after), bounds, "later")
        return
    start, bound = MOVES.get(d.name, (5, SHIFTED[0]))[:2]
    percent = 95 if d.name in MOVES else 100
    found = differ(before[start:-5], after[hops:][start:-5], percent)
    within(d, found, bound, f"{hops} frames later")


def check_place(d: Descriptor, clip: Clip) -> None:
    """Frame i is about sample i * hop: a clip played backwards gives the contour backwards.

    A contour that is late by k frames is found 2k frames away. This is sharp: a contour fits itself
    at least five times better than itself one frame away.
    """
    ours = clip.of(d)
    theirs = values(d, clip.x[::-1].copy())[::-1]
    lags = np.arange(-3, 4)
    away = np.array([np.abs(ours[4:-4] - np.roll(theirs, k, axis=0)[4:-4]) for k in lags])
    judged = 0
    for i, (column, aside) in enumerate(zip(d.columns, stated(ASIDE, d, (0.0,)), strict=True)):
        both = np.isfinite(away[:, :, i]).all(axis=0)
        if both.sum() < 10:
            continue
        judged += 1
        misfit = np.median(away[:, both, i], axis=1)
        near = (lags >= 0) & (lags <= 2 * aside[0])
        share = 1.0 if aside[0] else 0.2
        found = f"{d.name}, {column}: {lags[misfit.argmin()] / 2} frames off"
        assert misfit[near].min() <= share * misfit[~near].min(), found
    assert judged, f"{d.name} is hardly ever defined"


def check_slice(d: Descriptor, path: Path) -> None:
    """A segment of a file has the bits of that stretch of the file."""
    first, last = 3201, 19_202
    whole, part = load_audio(path).x, load_audio(path, start=first / SR, end=last / SR).x
    np.testing.assert_array_equal(values(d, part), values(d, whole[first:last]), err_msg=d.name)


def check_rates(d: Descriptor, x: Floats, sr: int) -> None:
    """A voice below 6.8 kHz, taken up at `sr` or at 16 kHz, before the same faint noise."""
    from scipy.signal import fftconvolve, firwin

    voice = fftconvolve(x, firwin(201, 6800, fs=SR), "same")
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(x))
    again = resample(resample(voice, SR, sr), sr, SR)
    assert len(again) == len(x)
    ours, theirs = values(d, voice + noise), values(d, again + noise)
    within(d, differ(ours, theirs, 50), 5e-3, f"median at {sr} Hz")
    within(d, differ(ours, theirs, 95), 0.05, f"at {sr} Hz")


def check_top_of_band(d: Descriptor, clip: Clip, sr: int) -> None:
    """The clip as it is, by way of `sr`: what the resampler takes off its top is what counts."""
    again = resample(resample(clip.x, SR, sr), sr, SR)
    found = differ(clip.of(d), values(d, again), 50)
    within(d, found, TOP_OF_BAND.get(d.name, 0.05), f"by way of {sr} Hz")


def check_plain(d: Descriptor, compiled: Floats, plain: Floats) -> None:
    bounds = [bound[0] for bound in stated(PLAIN, d, (1e-9,))]
    within(d, differ(np.atleast_2d(compiled), np.atleast_2d(plain)), bounds, "without numba")


def check_defaults(d: Descriptor) -> None:
    """A setting that is left out is the same in a descriptor and in the functions of its module."""
    module, own = sys.modules[d.compute.__module__], inspect.signature(d.compute).parameters
    for function in filter(inspect.isfunction, (getattr(module, n) for n in module.__all__)):
        for key, theirs in inspect.signature(function).parameters.items():
            if key not in own or (function.__name__, key) in OWN_DEFAULTS:
                continue
            if inspect.Parameter.empty not in (theirs.default, own[key].default):
                assert own[key].default == theirs.default, f"{key} of {function.__name__}"


def check_range(d: Descriptor) -> None:
    """Who follows the pitch follows it in the usual range."""
    own = inspect.signature(d.compute).parameters
    if {"floor", "ceiling"} <= set(own) and d.name not in OWN_RANGE:
        assert (own["floor"].default, own["ceiling"].default) == USUAL[:2]


# ------------------------------------------------------------------------------------ they are kept
@ALL
def test_form(d: Descriptor) -> None:
    check_form(d)


def test_the_table() -> None:
    """Its keys are the names, and a column has one unit wherever it appears."""
    units: dict[str, str] = {}
    for name, d in DESCRIPTORS.items():
        assert name == d.name
        for column, unit in zip(d.columns, d.units, strict=True):
            assert units.setdefault(column, unit) == unit, column


def test_no_exception_is_left_over() -> None:
    """What the tables above excuse exists."""
    columns = {n for d in DESCRIPTORS.values() for c in d.columns for n in (c, f"{d.name}.{c}")}
    assert {name for table in TABLES for name in table} <= columns
    assert {*MOVES, *NO_PLACE, *TOP_OF_BAND, *OWN_RANGE} <= set(DESCRIPTORS)
    for name, key in OWN_DEFAULTS:
        assert key in inspect.signature(getattr(lld, name)).parameters


@ALL
def test_defaults(d: Descriptor) -> None:
    """Seen to catch a tenth more in a floor, a ceiling, a cost, a threshold, a length."""
    check_defaults(d)


@ALL
def test_range(d: Descriptor) -> None:
    """Seen to catch a floor of 82.5 Hz in jitter and hnr_ac, a ceiling of 660 Hz in shimmer."""
    check_range(d)


@ALL
def test_values(d: Descriptor, clip: Clip) -> None:
    assert np.isfinite(check_values(d, clip.x)).any(), "speech has a value somewhere"
    check_repeatable(d, clip.x)


def test_the_signal_stays_writable() -> None:
    x = np.zeros(400)
    ShortTime(x, SR)
    assert x.flags.writeable


def test_company(clip: Clip) -> None:
    check_company(DESCRIPTORS.values(), clip)


@ALL
@pytest.mark.parametrize("gain", [0.3, 1.7])
def test_gain(d: Descriptor, clip: Clip, gain: float) -> None:
    check_gain(d, clip, gain)


@ALL
def test_polarity(d: Descriptor, clip: Clip) -> None:
    check_polarity(d, clip)


@ALL
def test_rounding(d: Descriptor, clip: Clip) -> None:
    """Seen to catch samples of DESA that were left out where 1 - G^2 was 0, and not at 2e-16."""
    check_rounding(d, clip)


@ALL
def test_shift(d: Descriptor, clip: Clip) -> None:
    check_shift(d, clip)


@PLACED
def test_place(d: Descriptor, clip: Clip) -> None:
    check_place(d, clip)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    path: Path = tmp_path_factory.mktemp("recording") / "clip.flac"
    sf.write(path, clip.x, SR)
    return path


@ALL
def test_slice(d: Descriptor, recording: Path) -> None:
    check_slice(d, recording)


@ALL
@pytest.mark.parametrize("sr", [44_100, 48_000])
def test_rates(d: Descriptor, clip: Clip, sr: int) -> None:
    check_rates(d, clip.x, sr)


@ALL
def test_top_of_band(d: Descriptor, clip: Clip) -> None:
    check_top_of_band(d, clip, 48_000)


N = SR // 2
NOISE = np.random.default_rng(0).standard_normal(N)
ODD: dict[str, tuple[Callable[[Floats], Reals], int]] = {
    "silence": (lambda x: np.zeros(N), SR),
    "offset": (lambda x: np.full(N, 0.3), SR),
    "one sample": (lambda x: np.ones(1), SR),
    "one zero": (lambda x: np.zeros(1), SR),
    "two samples": (lambda x: np.array([1.0, -1.0]), SR),
    "one frame": (lambda x: x[3000 : 3000 + HOP - 1], SR),
    "one window": (lambda x: x[3000:3400], SR),
    "4 kHz": (lambda x: resample(x, SR, 4000), 4000),
    "8 kHz": (lambda x: resample(x, SR, 8000), 8000),
    "48 kHz": (lambda x: resample(x, SR, 48_000), 48_000),
    "impulse": (lambda x: np.eye(1, N, N // 2)[0], SR),
    "impulse at the start": (lambda x: np.eye(1, N, 0)[0], SR),
    "impulse at the end": (lambda x: np.eye(1, N, N - 1)[0], SR),
    "one bit": (lambda x: np.eye(1, N, N // 2)[0] / 32768, SR),
    "clipped": (lambda x: np.clip(20 * x, -1, 1), SR),
    "faint": (lambda x: 1e-30 * NOISE, SR),
    "fainter": (lambda x: 1e-160 * NOISE, SR),
    "too loud": (lambda x: 1e10 * x, SR),
    "square wave": (lambda x: np.where(np.arange(N) % HOP < HOP // 2, 1.0, -1.0), SR),
    "alternating": (lambda x: np.where(np.arange(N) % 2, 1.0, -1.0), SR),
    "cut off": (lambda x: np.where(np.arange(len(x)) < N // 2, x, 0.0), SR),
}


@ALL
def test_odd_clips(d: Descriptor, short: Clip) -> None:
    for name, (make, sr) in ODD.items():
        if sr != SR and d.name in ONE_RATE:
            with pytest.raises(SerfeatError, match="resample to 16 kHz"):
                check_values(d, make(short.x), sr)
            continue
        try:
            check_values(d, make(short.x), sr)
        except (AssertionError, SerfeatError, Warning, ArithmeticError, LookupError) as error:
            raise AssertionError(f"{d.name} on {name}: {error!r}") from error


PLAINLY = """
import sys
import numpy as np
from serfeat.lld import DESCRIPTORS
from serfeat.shorttime import ShortTime
x = np.load(sys.argv[1])
np.savez(sys.argv[2], **{name: d(ShortTime(x, 16_000)) for name, d in DESCRIPTORS.items()})
"""


@pytest.fixture(scope="module")
def plainly(tmp_path_factory: pytest.TempPathFactory, short: Clip) -> Mapping[str, Floats]:
    """The values of all descriptors from a process without numba."""
    if not COMPILED:
        pytest.skip("nothing is compiled here")
    folder = tmp_path_factory.mktemp("plain")
    np.save(folder / "x.npy", short.x[:4800])
    command = [sys.executable, "-c", PLAINLY, str(folder / "x.npy"), str(folder / "values.npz")]
    subprocess.run(command, check=True, env=os.environ | {"SERFEAT_NO_JIT": "1"})
    with np.load(folder / "values.npz") as found:
        return dict(found)


@ALL
def test_plain(d: Descriptor, short: Clip, plainly: Mapping[str, Floats]) -> None:
    check_plain(d, d(ShortTime(short.x[:4800], SR)), plainly[d.name])


# ------------------------------------------------------------- a check that cannot fail is no check
def level(st: ShortTime) -> Floats:
    """(n_frames,) dB: honest, but for the gain that its column does not admit."""
    power = np.mean(st.frames(400, signal=st.centred) ** 2, axis=1)
    return np.asarray(10 * np.log10(1e-9 + power))


def fake(compute: Callable[..., Floats], **changes: Any) -> Descriptor:
    plain = Descriptor("fake", ("fake_db",), "dB", "a fake", "nobody", compute)
    return replace(plain, **changes)


CALLS: list[None] = []


def restless(st: ShortTime) -> Floats:
    CALLS.append(None)
    return level(st) + len(CALLS)


def writing(st: ShortTime) -> Floats:
    st.x.flags.writeable = True
    st.x[0] += 1.0
    return level(st)


def drifting(st: ShortTime) -> Floats:
    return level(st) + np.arange(st.n_frames)


def asymmetric(st: ShortTime) -> Floats:
    return np.asarray(np.log(1e-9 + np.maximum(st.frames(400), 0).sum(axis=1)))


def on_the_grid(st: ShortTime) -> Floats:
    exactly = (32_768 * st.frames(400)) % 1 == 0
    return level(st) + exactly.sum(axis=1)


def where_it_lies(st: ShortTime) -> Floats:
    return level(st) + st.x.ctypes.data % 16


def infinite(st: ShortTime) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.abs(st.frames(400)).sum(axis=1)))


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": ("a", "a")},
        {"columns": ("a", "b"), "unit": ("dB",)},
        {"columns": ("Fake",)},
        {"columns": ("fake db",)},
        {"name": "no-name"},
        {"source": ""},
        {"summary": " "},
    ],
    ids=str,
)
def test_form_can_fail(changes: Mapping[str, Any]) -> None:
    check_form(fake(level))
    with pytest.raises(AssertionError):
        check_form(fake(level, **changes))


def test_defaults_can_fail() -> None:
    def other(st: ShortTime, *, floor: float = 80.0, ceiling: float = 600.0) -> Floats:
        return np.full(st.n_frames, floor / ceiling)

    d = DESCRIPTORS["hnr"]
    other.__module__ = d.compute.__module__
    for check in (check_defaults, check_range):
        check(d)
        with pytest.raises(AssertionError):
            check(replace(d, compute=other))


def test_values_can_fail(short: Clip) -> None:
    check_values(fake(level), short.x)
    check_values(fake(lambda st: np.full(st.n_frames, np.nan), undefined="always"), short.x)
    with pytest.raises(AssertionError):
        check_values(fake(lambda st: np.full(st.n_frames, np.nan)), short.x)
    for wrong in (infinite, lambda st: np.zeros(st.n_frames + 1), lambda st: np.zeros((1, 2))):
        with pytest.raises(SerfeatError):
            check_values(fake(wrong), np.zeros(N))
    with pytest.raises(RuntimeWarning):
        check_values(fake(lambda st: np.log(0 * level(st)) * 0), short.x)


def test_repeatable_can_fail(short: Clip) -> None:
    check_repeatable(fake(level), short.x)
    for wrong in (restless, writing):
        with pytest.raises(AssertionError):
            check_repeatable(fake(wrong), short.x)


def test_company_can_fail(short: Clip) -> None:
    """Two descriptors that keep different things under one key."""
    one = fake(lambda st: st.memo("level", lambda: level(st)), name="one")
    two = fake(lambda st: st.memo("level", lambda: 2 * level(st)), name="two")
    check_company([one], short)
    with pytest.raises(AssertionError):
        check_company([one, two], short)


def late(d: Descriptor) -> Descriptor:
    """The same, one frame too late."""

    def compute(st: ShortTime, **params: Any) -> Floats:
        return np.roll(np.asarray(d.compute(st, **params)), 1, axis=0)

    return replace(d, compute=compute)


def test_invariances_can_fail(short: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level that hides its gain, one that looks at last bits, one that counts frames, a late one.

    The column of a fake whose gain is in the table passes: it is the table that decides.
    """
    monkeypatch.setitem(ADDED, "admitted.fake_db", NEPER)
    check_gain(fake(level, name="admitted"), short, 1.01)
    check_polarity(fake(level), short)
    check_rounding(fake(level), short)
    check_shift(fake(level), short)
    check_place(fake(level), short)
    for check, wrong in (
        (lambda d, x: check_gain(d, x, 1.01), fake(level)),
        (check_polarity, fake(asymmetric)),
        (check_rounding, fake(on_the_grid)),
        (check_shift, fake(drifting)),
        (check_place, late(fake(level))),
        (check_shift, fake(lambda st: np.array([level(st).mean()]), level="clip")),
    ):
        with pytest.raises(AssertionError):
            check(wrong, short)


@PLACED
def test_one_frame_late_is_seen(d: Descriptor, clip: Clip) -> None:
    """In every descriptor, also where half a frame is allowed."""
    with pytest.raises(AssertionError, match="frames off"):
        check_place(late(d), clip)


def test_files_and_rates_can_fail(short: Clip, tmp_path: Path) -> None:
    """A value that depends on where the samples lie in memory, and one on their last digits."""
    sf.write(tmp_path / "a.flac", np.tile(short.x, 3), SR)
    check_slice(fake(level), tmp_path / "a.flac")
    with pytest.raises(AssertionError):
        check_slice(fake(where_it_lies), tmp_path / "a.flac")
    chaotic = fake(lambda st: np.sin(1e6 * st.centred[::HOP]))
    for sr in (44_100, 48_000):
        check_rates(fake(level), short.x, sr)
        check_top_of_band(fake(level), short, sr)
        with pytest.raises(AssertionError):
            check_rates(chaotic, short.x, sr)
        with pytest.raises(AssertionError):
            check_top_of_band(chaotic, short, sr)


def test_plain_can_fail(short: Clip) -> None:
    ours = short.of(fake(level))
    check_plain(fake(level), ours, ours * (1 + 1e-13))
    with pytest.raises(AssertionError):
        check_plain(fake(level), ours, ours * (1 + 1e-6))
    with pytest.raises(AssertionError):
        check_plain(fake(level), ours, np.where(np.arange(len(ours))[:, None] == 3, np.nan, ours))
