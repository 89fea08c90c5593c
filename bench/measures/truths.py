"""Signals whose truth is known, real speech, and programs that no part of serfeat wraps."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter

from serfeat.corpora import find_root
from serfeat.types import Floats

SR = 16_000
T = np.arange(3 * SR) / SR
CONTOURS = {
    "constant 200 Hz": np.full(len(T), 200.0),
    "glide 100 to 300 Hz": 100 * 3 ** (T / 3),
    "vibrato 220 Hz, 50 cents": 220 * 2 ** (50 / 1200 * np.sin(2 * np.pi * 5 * T)),
}
VOWELS = {
    "a": ((730, 1090, 2440, 3400, 4300), (80, 90, 120, 150, 200)),
    "i": ((270, 2290, 3010, 3600, 4300), (60, 90, 150, 200, 200)),
    "u": ((300, 870, 2240, 3400, 4300), (60, 80, 120, 150, 200)),
}
CONFTEST = Path(__file__).parents[2] / "tests" / "lld" / "conftest.py"


def speechlike() -> Floats:
    """2 s of noise through two resonances, the signal of the tests."""
    poles = [0.97 * np.exp(0.3j), 0.97 * np.exp(-0.3j), 0.95 * np.exp(1j), 0.95 * np.exp(-1j)]
    x = lfilter([1], np.poly(poles).real, np.random.default_rng(0).standard_normal(2 * SR))
    return on_16_bits(x / np.abs(x).max() * 0.5)


def ar4() -> Floats:
    """1 s of AR(4) noise."""
    poles = [0.95 * np.exp(0.5j), 0.95 * np.exp(-0.5j), 0.9 * np.exp(1.6j), 0.9 * np.exp(-1.6j)]
    innovation = 0.01 * np.random.default_rng(1).standard_normal(SR + 1000)
    return np.asarray(lfilter([1], np.poly(poles).real, innovation)[1000:])


def on_16_bits(x: Floats) -> Floats:
    """Rounded to the 16-bit grid whose full scale is openSMILE's."""
    return np.asarray(np.round(x * 32767) / 32767)


def emodb(step: int = 1) -> Iterator[tuple[Floats, int]]:
    """Samples and rate of every `step`-th recording of EMO-DB."""
    for file in sorted((find_root("emodb") / "audio").glob("*.flac"))[::step]:
        yield soundfile.read(file)


def voice(contour: Floats) -> Floats:
    """Harmonics that fall by 12 dB per octave, up to 0.45 of the sample rate."""
    phase = 2 * np.pi * np.cumsum(contour) / SR
    parts = [h**-2.0 * (h * contour < 0.45 * SR) * np.cos(h * phase + h * h) for h in range(1, 60)]
    return np.asarray(0.3 * np.sum(parts, axis=0))


def with_noise(x: Floats, snr: float, seed: int = 0) -> Floats:
    """White noise added, so many dB below the signal."""
    noise = np.random.default_rng(seed).standard_normal(len(x))
    return np.asarray(x + 10 ** (-snr / 20) * np.sqrt(np.mean(x**2)) * noise)


def vowel(
    formants: tuple[int, ...],
    bandwidths: tuple[int, ...],
    f0: float | None,
    sr: int,
    seconds: float = 2.0,
) -> Floats:
    """Klatt's cascade, driven by pulses between the samples, or by noise where `f0` is None."""
    n = int(seconds * sr)
    x = np.zeros(n + 1)
    if f0 is None:
        x[:n] = np.random.default_rng(1).standard_normal(n)
    else:
        at = np.arange(0, n - 1, sr / f0)
        whole = at.astype(int)
        x[whole] += 1 - (at - whole)
        x[whole + 1] += at - whole
    x = lfilter([1], [1, -np.exp(-2 * np.pi * 50 / sr)], x[:n])
    for f, b in zip(formants, bandwidths, strict=True):
        c = -np.exp(-2 * np.pi * b / sr)
        d = 2 * np.exp(-np.pi * b / sr) * np.cos(2 * np.pi * f / sr)
        x = lfilter([1 - d - c], [1, -d, -c], x)
    return np.asarray(0.5 * x / np.abs(x).max())


def pulse_train(p: float, a: float, sr: int, f0: float = 120.0, seconds: float = 3.0) -> Floats:
    """Pulses of 0.5 ms whose period (by the share p) and height (a) go up and down in turn."""
    x = np.zeros(int(seconds * sr))
    at, turn, width = 0.01, -1.0, 5e-4 * sr
    while at < seconds - 0.02:
        n = np.arange(max(0, round(at * sr - 9 * width)), min(len(x), round(at * sr + 9 * width)))
        x[n] += (1 + turn * a) * np.exp(-0.5 * ((n - at * sr) / width) ** 2)
        at += (1 + turn * p) / f0
        turn = -turn
    return 0.5 * x


def praat_formants(x: Floats, sr: int) -> Floats:
    """(n_frames, 3) F1 to F3 of "To Formant (burg)" below 5500 Hz, on the grid of serfeat.

    With steps of 5 ms in a clip of 50 ms + k 5 ms, Praat's frames are at multiples of 5 ms: half a
    sample from ours. Rounding may lose the last frame, which moves all others by 2.5 ms: then k
    is one less. NaN where Praat has no frame.
    """
    import parselmouth

    size, step = round(0.05 * sr), round(0.005 * sr)
    count = (len(x) - size) // step
    places = np.array([0.5])
    while np.abs(places - np.rint(places)).max() > 1e-4:
        sound = parselmouth.Sound(x[: size + count * step], sr)
        track = sound.to_formant_burg(time_step=0.005, maximum_formant=5500)
        places = track.ts() / 0.005
        count -= 1
    out = np.full((1 + len(x) // (2 * step), 3), np.nan)
    for place in np.rint(places).astype(int):
        if place % 2 == 0:
            t = 0.005 * place
            out[place // 2] = [track.get_value_at_time(formant, t) for formant in (1, 2, 3)]
    return out


def opensmile_chain(
    x: Floats, component: str, settings: str, *, k: float = 0.0, low: float = 0.0
) -> Floats:
    """Frames (aligned left) of the last component of openSMILE's HTK chain, as in the tests."""
    import opensmile

    text = _front_end().format(
        component=component, settings=settings, k=k, low=low, before="emph" if k else "cut"
    )
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "chain.conf"
        config.write_text(text)
        smile = opensmile.Smile(feature_set=str(config), feature_level="lld")
        # The wrapper multiplies by 32768 and cuts; full scale is 32767 in the binary.
        return np.asarray(smile(x.astype(np.float32) * np.float32(32767 / 32768), SR)[0].T)


@cache
def _front_end() -> str:
    spec = importlib.util.spec_from_file_location("conftest", CONFTEST)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.FRONT_END)


def kaldi_mfcc(x: Floats, sr: int) -> Floats:
    """13 coefficients of Kaldi's own code, without dither."""
    import kaldi_native_fbank as knf

    options = knf.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = sr
    online = knf.OnlineMfcc(options)
    online.accept_waveform(sr, (x * 32768).tolist())
    online.input_finished()
    return np.array([online.get_frame(i) for i in range(online.num_frames_ready)])
